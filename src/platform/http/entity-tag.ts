import { invalid, Problem } from './problem.js';

const TAGS = /^\s*(?:(?:W\/)?"[\x21\x23-\x7e]*"\s*(?:,\s*|$))+$/;
const TAG = /(W\/)?"([\x21\x23-\x7e]*)"/g;

/**
 * The strong entity tag of one version of a thing. The time of its making is part of it, so that
 * a thing that is deleted and made again under its name never has an old one's tag. PostgreSQL makes the same (see
 * record.statements.ts).
 */
export const entityTag = (thing: { version: number; createdAt: Date }): string =>
  `"${thing.version}-${thing.createdAt.getTime().toString(16)}"`;

/** A compressed variant has its own tag, by suffix; it is the same version. */
const withoutVariant = (tag: string) => tag.replace(/-(?:gzip|br)$/, '');

function listed(header: string, current: string, weakToo: boolean): boolean {
  if (header.trim() === '*') return true;
  const wanted = current.slice(1, -1);
  for (const [, weak, tag] of header.matchAll(TAG)) {
    if ((weakToo || !weak) && withoutVariant(tag as string) === wanted) return true;
  }
  return false;
}

/**
 * Whether the change that a caller asks for is based on what is there now (RFC 9110, 13.1.1).
 * @throws Problem precondition-required without If-Match, precondition-failed when it is stale
 */
export function assertIfMatch(header: string | undefined, current: string | undefined): void {
  if (header === undefined)
    throw new Problem('precondition-required', 'Send If-Match with the entity tag (ETag) that you last read.');
  if (header.trim() !== '*' && !TAGS.test(header)) throw invalid('If-Match is not a list of entity tags.');
  if (current === undefined || !listed(header, current, false))
    throw new Problem('precondition-failed', 'Read it again: it is no longer what If-Match says.');
}

/** Whether the caller already has this version (RFC 9110, 13.1.2). */
export const isNotModified = (header: string | undefined, current: string): boolean =>
  header !== undefined && listed(header, current, true);
