import { z } from 'zod';
import { positionText } from './position.js';

export const EVENT_STREAM = 'text/event-stream';

/** How a reader asks for changes. */
export interface Asked {
  /** The position to go on from. */
  after?: string | undefined;
  /** How long to wait for a change, in ms. */
  wait: number;
}

const LONGEST_S = 60;

/** The query parameters that every feed has. */
export const feedParameters = {
  after: positionText.optional(),
  wait: z
    .string()
    .regex(/^\d{1,2}s$/, 'must be whole seconds, like 20s')
    .transform((text) => Math.min(Number.parseInt(text, 10), LONGEST_S) * 1000)
    .prefault('0s')
    .meta({
      description: `How long to wait for a change before an empty answer, up to ${LONGEST_S}s. Not for streams.`,
      pattern: '^\\d{1,2}s$',
      default: '0s',
    }),
};
