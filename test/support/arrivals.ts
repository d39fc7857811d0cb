import { once } from 'node:events';
import { type IncomingHttpHeaders, type IncomingMessage, request } from 'node:http';
import { pause } from './process.js';

/** The time between two readers. */
const REST_MS = 30;

/** The answer to one reader; status 0 when none came. */
export interface Arrival {
  path: string;
  status: number;
  ms: number;
  headers: IncomingHttpHeaders;
}

/**
 * Anonymous readers who come one after the other, each on a new connection.
 * @param paths that they read, in turn
 * @returns a function that ends them and resolves with their answers
 */
export function arrivals(url: string, paths: string[]): () => Promise<Arrival[]> {
  const all: Arrival[] = [];
  let isOver = false;
  const coming = (async () => {
    while (!isOver) {
      all.push(await arrive(url, paths[all.length % paths.length] as string));
      await pause(REST_MS);
    }
  })();
  return async () => {
    isOver = true;
    await coming;
    return all;
  };
}

async function arrive(url: string, path: string): Promise<Arrival> {
  const begun = performance.now();
  const ms = () => performance.now() - begun;
  try {
    const [response]: [IncomingMessage] = (await once(
      request(url + path, { agent: false }).end(),
      'response',
    )) as never;
    await response.resume().toArray();
    return { path, status: response.statusCode ?? 0, ms: ms(), headers: response.headers };
  } catch {
    return { path, status: 0, ms: ms(), headers: {} };
  }
}
