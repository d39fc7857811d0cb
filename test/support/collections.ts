import { etagOf, must } from './answers.js';
import type { Client } from './client.js';

export { etagOf, must, readAll, until } from './answers.js';

let names = 0;

/** A name that no other test of the file has taken. */
export const freshName = (): string => `set-${++names}`;

export interface MadeCollection {
  name: string;
  path: string;
  records: string;
  etag: string;
}

/** A new collection, owned by the caller. */
export async function makeCollection(
  owner: Client,
  visibility: 'public' | 'private' = 'public',
  name = freshName(),
): Promise<MadeCollection> {
  const path = `/api/v1/data/${name}`;
  const made = must(201, await owner.put(path, { visibility }));
  return { name, path, records: `${path}/records`, etag: etagOf(made) };
}

/** A new record, with its path and its tag. */
export async function makeRecord(
  owner: Client,
  { records }: { records: string },
  data: unknown = { a: 1 },
  occurredAt?: string,
): Promise<{ path: string; etag: string; id: string }> {
  const made = must(201, await owner.post(records, { data, ...(occurredAt ? { occurredAt } : {}) }));
  return { path: `${records}/${made.body.id}`, etag: etagOf(made), id: made.body.id };
}
