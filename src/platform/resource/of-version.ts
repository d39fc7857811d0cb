import { assertIfMatch } from '../http/entity-tag.js';
import type { Problem } from '../http/problem.js';
import type { Locked } from './repository.js';

/**
 * Work for a repository's change(), on the version that If-Match names.
 * @throws Problem the one of `missing`, precondition-required, precondition-failed
 */
export const ofVersion =
  <T, K extends keyof T, R>(
    ifMatch: string | undefined,
    missing: () => Problem,
    work: (locked: Locked<T, K>) => Promise<R>,
  ) =>
  (locked: Locked<T, K> | undefined): Promise<R> => {
    if (!locked) throw missing();
    assertIfMatch(ifMatch, locked.row.etag);
    return work(locked);
  };
