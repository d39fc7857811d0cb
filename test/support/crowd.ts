import { once } from 'node:events';
import { Worker } from 'node:worker_threads';

const portOf = (url: string) => Number(new URL(url).port);
const start = (file: string, workerData: object) => new Worker(new URL(file, import.meta.url), { workerData });

/** How the server ended a connection: with which status, 0 for none, and after how long. */
export interface End {
  status: number;
  ms: number;
}

export interface Drip {
  /** Resolves when all connections have been opened, to how many of them still are. */
  opened: Promise<number>;
  ended: Promise<End[]>;
  stop(): Promise<unknown>;
}

/** Connections that send a beginning at once and the rest a byte at a time, again and again, until the server ends them. */
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
  /** What it sends, one character a byte. */
  bytes: string;
  /** It hangs up so long after that, or when so many bytes of the answer have come. */
  afterMs?: number;
  afterBytes?: number;
}

/** `count` callers, `atOnce` at the same time, who hang up; in turn as given. @returns how many had anything of an answer */
export async function hangUp(url: string, callers: Caller[], count: number, atOnce: number): Promise<number> {
  const worker = start('./hanging-up.ts', { port: portOf(url), callers, count, atOnce });
  const [{ answered }] = await once(worker, 'message');
  return answered;
}
