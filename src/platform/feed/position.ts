import { z } from 'zod';

/**
 * How far a reader has read: all changes up to the tick `after`, and of those up to the tick `upTo` the ones whose ids are
 * not above `id`. Ticks and ids are 64-bit numbers, as texts.
 */
export interface Position {
  after: string;
  upTo: string;
  id: string;
}

const POSITION = /^([1-9]\d{0,17})(?:-([1-9]\d{0,17})-([1-9]\d{0,17}))?$/;

export const positionText = z
  .string()
  .regex(POSITION, 'must be the id of a change')
  .meta({ description: 'The `id` of the last change that was received.', examples: ['1042-1043-99871'] });

/** All changes up to a tick. */
export const at = (tick: string): Position => ({ after: tick, upTo: tick, id: '0' });

/** @returns undefined for a text that is none */
export function readPosition(text: string): Position | undefined {
  const [, after, upTo, id] = POSITION.exec(text) ?? [];
  if (after === undefined) return undefined;
  return upTo === undefined || id === undefined ? at(after) : { after, upTo, id };
}

export const writePosition = ({ after, upTo, id }: Position): string =>
  after === upTo ? after : `${after}-${upTo}-${id}`;
