import { once } from 'node:events';
import { Worker } from 'node:worker_threads';

const portOf = (url: string) => Number(new URL(url).port);
const start = (file: string, workerData: object) => new Worker(new URL(file, import.meta.url), { workerData });

/** The end of a connection by the server: its status, 0 for none, and the time until then. */
export interface End {
  status: number;
  ms: number;
}

export interface Drip {
  /** Resolves when all connections have been opened, with the number of those that are still open. */
  opened: Promise<number>;
  ended: Promise<End[]>;
  stop(): Promise<unknown>;
}

/** Opens connections that send a start at once and the rest a byte at a time, repeatedly, until the server closes them. */
export function drip(
  url: string,
  senders: { start: string; rest: string }[],
  { everyMs = 1000, burst = 50 } = {},
): Drip {
  const worker = start('./dripping.ts', { port: portOf(url), senders, everyMs, burst });
  const opened = once(worker, 'message').then(([{ open }]) => open as number);
  return {
    opened,
    ended: opened.then(() => once(worker, 'message')).then(([{ ends }]) => ends as End[]),
    stop: () => worker.terminate(),
  };
}

export interface Caller {
  /** The bytes that it sends, one character each. */
  bytes: string;
  /** It hangs up this long after sending, or when this many bytes of the answer have arrived. */
  afterMs?: number;
  afterBytes?: number;
}

/** Runs `count` callers who hang up, `atOnce` at the same time, of the given kinds in turn. @returns how many got any part of an answer */
export async function hangUp(url: string, callers: Caller[], count: number, atOnce: number): Promise<number> {
  const worker = start('./hanging-up.ts', { port: portOf(url), callers, count, atOnce });
  const [{ answered }] = await once(worker, 'message');
  return answered;
}
