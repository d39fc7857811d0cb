import type { ObjectLiteral } from 'typeorm';
import type { Caller } from '../http/caller.js';
import { StartError } from '../start-error.js';
import type { ResourceDefinition } from './definition.js';

/**
 * The scopes of a resource's feed whose changes a caller may have; undefined for all.
 * @throws StartError when the policy narrows lists by another column than `changes`
 */
export function scopesOf<T extends ObjectLiteral>(
  { changes = '', policy, entity }: ResourceDefinition<T>,
  caller: Caller | undefined,
): string[] | undefined {
  const listed = [policy.listed(caller)].flat() as Record<string, string>[];
  if (listed.some((narrowed) => Object.keys(narrowed).length === 0)) return undefined;
  if (listed.some((narrowed) => Object.keys(narrowed).join() !== changes))
    throw new StartError(`${entity.name}.${changes} must be what lists are narrowed to, since its changes are`);
  return listed.map((narrowed) => narrowed[changes]).filter((one) => one !== undefined);
}
