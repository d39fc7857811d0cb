import { invalid, Problem } from './problem.js';

/** An element of a list (RFC 9110, 5.6.1), which may be empty, with its comma. */
const ELEMENT = /[ \t]*(?:(W\/)?"([\x21\x23-\x7e\x80-\xff]*)"[ \t]*)?(?:,|$)/y;

/**
 * The strong entity tag of one version of a resource. It contains the time of creation, so that a resource that is
 * deleted and created again never reuses a tag. PostgreSQL makes the same tag (see platform/resource/table.ts).
 */
export const entityTag = (thing: { version: number; createdAt: Date }): string =>
  `"${thing.version}-${thing.createdAt.getTime().toString(16)}"`;

/** A compressed variant has a suffix on its tag, but is the same version. */
const withoutVariant = (tag: string) => tag.replace(/-(?:br|zstd|gzip)$/, '');

interface Tag {
  tag: string;
  isWeak: boolean;
}

/** The tags of a list; none when the header is malformed. */
function tagsIn(header: string): Tag[] {
  const tags: Tag[] = [];
  ELEMENT.lastIndex = 0;
  while (ELEMENT.lastIndex < header.length) {
    const found = ELEMENT.exec(header);
    if (!found) return [];
    if (found[2] !== undefined) tags.push({ tag: found[2], isWeak: found[1] !== undefined });
  }
  return tags;
}

const isAny = (header: string) => header.trim() === '*';
const isOf = (current: string, { tag }: Tag) => withoutVariant(tag) === current.slice(1, -1);

/**
 * Asserts that a caller's change is based on the current version (RFC 9110, 13.1.1).
 * @throws Problem precondition-required without If-Match, precondition-failed when it is stale
 */
export function assertIfMatch(header: string | undefined, current: string | undefined): void {
  if (header === undefined)
    throw new Problem('precondition-required', 'Send If-Match with the entity tag (ETag) that you last read.');
  const tags = tagsIn(header);
  if (!isAny(header) && tags.length === 0) throw invalid('If-Match is not a list of entity tags.');
  if (current === undefined)
    throw new Problem('precondition-failed', 'There is nothing here yet: leave If-Match out to make it.');
  if (!isAny(header) && !tags.some((tag) => !tag.isWeak && isOf(current, tag)))
    throw new Problem('precondition-failed', 'If-Match does not name the current version: read the resource again.');
}

/** Whether the caller already has this version (RFC 9110, 13.1.2). */
export const isNotModified = (header: string | undefined, current: string): boolean =>
  header !== undefined && (isAny(header) || tagsIn(header).some((tag) => isOf(current, tag)));
