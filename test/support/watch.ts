import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import type { Client } from './client.js';
import type { Program } from './process.js';

/** Memory that a process takes, in MiB. */
export const memoryOf = ({ pid }: Program): number =>
  Number(execFileSync('ps', ['-o', 'rss=', '-p', String(pid)])) / 1024;

/** The most memory that a process has taken since its start, in MiB. Linux alone says it. */
export const mostMemoryOf = ({ pid }: Program): number =>
  Number(/^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024;

/**
 * Watches the memory that a process holds for good: without its program's pages, which lie on disk and which the system takes
 * back when a container is full. Linux alone says it.
 * @returns the most so far, in MiB
 */
export function watchHeldMemory({ pid }: Program): () => number {
  let most = 0;
  const look = () => {
    const status = readFileSync(`/proc/${pid}/status`, 'utf8');
    most = Math.max(most, Number(/^RssAnon:\s+(\d+) kB$/m.exec(status)?.[1]) / 1024);
    return most;
  };
  const timer = setInterval(() => {
    try {
      look();
    } catch {
      // It has ended.
      clearInterval(timer);
    }
  }, 20).unref();
  return look;
}

/** How many files, sockets among them, a process has open. */
export function descriptorsOf({ pid }: Program): number {
  if (process.platform === 'linux') return readdirSync(`/proc/${pid}/fd`).length;
  return execFileSync('lsof', ['-p', String(pid)])
    .toString()
    .split('\n').length;
}

/** A look at /metrics: the figure of a series, by its name with its labels as they stand there. */
export async function figuresOf(client: Client): Promise<(series: string) => number> {
  const { text } = await client.get('/metrics');
  const figures = new Map(text.split('\n').map((line) => line.split(/ (?=\S+$)/) as [string, string]));
  return (series) => {
    const figure = figures.get(series);
    if (figure === undefined) throw new Error(`${series} is not in /metrics`);
    return Number(figure);
  };
}

/** The most that a process takes while work is done, looked at every so often. */
export async function peakOf(program: Program, work: () => Promise<unknown>): Promise<number> {
  let peak = memoryOf(program);
  const timer = setInterval(() => {
    peak = Math.max(peak, memoryOf(program));
  }, 100);
  try {
    await work();
  } finally {
    clearInterval(timer);
  }
  return Math.max(peak, memoryOf(program));
}

/** The value in MiB as a figure. */
export const inMiB = (mebibytes: number): string => `${Math.round(mebibytes)} MiB`;
