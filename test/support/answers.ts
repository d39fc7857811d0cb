import type { Client, Response } from './client.js';

export const etagOf = ({ headers }: Response): string => headers.get('etag') as string;

/** @returns the answer @throws when it has another status */
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

/** Waits until `isDone` returns true. */
export async function until(isDone: () => Promise<boolean>, seconds = 15): Promise<void> {
  for (const end = Date.now() + seconds * 1000; Date.now() < end; ) {
    if (await isDone()) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`not within ${seconds} s`);
}
