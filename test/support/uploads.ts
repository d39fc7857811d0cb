import { once } from 'node:events';
import { type ClientRequest, request as httpRequest, type IncomingMessage } from 'node:http';
import type { Client, Response } from './client.js';
import type { TestDatabase } from './database.js';

export const NDJSON = { 'content-type': 'application/x-ndjson' };

/** Numbered lines of NDJSON, so that each is unique. */
export const lines = (from: number, to: number): string =>
  Array.from({ length: to - from + 1 }, (_, i) => `{"data":{"n":${from + i}}}\n`).join('');

/** The number of records in a collection, and of different numbers in them. */
export async function tally(database: TestDatabase, { name }: { name: string }): Promise<[all: number, kinds: number]> {
  const [row] = await database.query<{ all: number; kinds: number }>(
    `SELECT count(*)::int AS all, count(DISTINCT data->'n')::int AS kinds
     FROM records r JOIN collections c ON c.id = r.collection_id WHERE c.name = $1`,
    [name],
  );
  return [row!.all, row!.kinds];
}

export interface OpenUpload {
  request: ClientRequest;
  answer: Promise<Pick<Response, 'status' | 'body'>>;
  /** Resolves when the text has been written to the socket. */
  write(text: string): Promise<void>;
}

/** An upload that the test writes piece by piece, and ends in any way. */
export function openUpload(client: Client, path: string, headers: Record<string, string> = {}): OpenUpload {
  const request = httpRequest(client.url + path, {
    method: 'POST',
    agent: false,
    headers: { ...NDJSON, authorization: `Bearer ${client.tokens?.accessToken}`, ...headers },
  });
  // Its error shows in the answer.
  request.on('error', () => {});
  const answer = (async () => {
    const [response] = (await once(request, 'response')) as [IncomingMessage];
    const body = JSON.parse(Buffer.concat(await response.toArray()).toString());
    return { status: response.statusCode as number, body };
  })();
  // The test awaits the answer later; until then a failure is not unhandled.
  answer.catch(() => {});
  return {
    request,
    answer,
    write: (text) => new Promise((resolve) => request.write(text, () => resolve())),
  };
}

/** Repeats the request while the answer is 409, because another one with the key is still running. */
export async function untilFree(ask: () => Promise<Response>, seconds = 10): Promise<Response> {
  for (const end = Date.now() + seconds * 1000; ; await new Promise((resolve) => setTimeout(resolve, 50))) {
    const answer = await ask();
    if (answer.status !== 409 || Date.now() > end) return answer;
  }
}
