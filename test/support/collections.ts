import type { Client, Response } from './client.js';

let names = 0;

/** A name that no other test of the file has taken. */
export const freshName = (): string => `set-${++names}`;

export interface MadeCollection {
  name: string;
  path: string;
  records: string;
  etag: string;
}

/** A new collection of the caller's. */
export async function makeCollection(
  owner: Client,
  visibility: 'public' | 'private' = 'public',
  name = freshName(),
): Promise<MadeCollection> {
  const path = `/api/v1/data/${name}`;
  const made = must(201, await owner.put(path, { visibility }));
  return { name, path, records: `${path}/records`, etag: etagOf(made) };
}

/** A new record, with where it is and its tag. */
export async function makeRecord(
  owner: Client,
  { records }: { records: string },
  data: unknown = { a: 1 },
  occurredAt?: string,
): Promise<{ path: string; etag: string; id: string }> {
  const made = must(201, await owner.post(records, { data, ...(occurredAt ? { occurredAt } : {}) }));
  return { path: `${records}/${made.body.id}`, etag: etagOf(made), id: made.body.id };
}

export const etagOf = ({ headers }: Response): string => headers.get('etag') as string;

/** The answer, which a test only goes on with when it is as expected. */
export function must(status: number, response: Response): Response {
  if (response.status !== status) throw new Error(`expected ${status}, got ${response.status}: ${response.text}`);
  return response;
}

/** The items of all pages, by `nextCursor`; `between` runs after every page. */
export async function readAll<Item>(
  client: Client,
  path: string,
  between: () => Promise<void> = async () => {},
): Promise<Item[]> {
  const items: Item[] = [];
  for (let cursor: string | null = ''; cursor !== null; ) {
    const next = cursor && `${path.includes('?') ? '&' : '?'}cursor=${encodeURIComponent(cursor)}`;
    const { body } = must(200, await client.get(path + next));
    items.push(...body.items);
    cursor = body.nextCursor;
    await between();
  }
  return items;
}

/** Waits until `isDone` says so. */
export async function until(isDone: () => Promise<boolean>, seconds = 15): Promise<void> {
  for (const end = Date.now() + seconds * 1000; Date.now() < end; ) {
    if (await isDone()) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`not within ${seconds} s`);
}
