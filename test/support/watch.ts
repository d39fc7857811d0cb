import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import type { Client } from './client.js';
import type { Program } from './process.js';

/** The resident memory of a process, in MiB. */
export const memoryOf = ({ pid }: Program): number =>
  Number(execFileSync('ps', ['-o', 'rss=', '-p', String(pid)])) / 1024;

/** The peak memory of a process since its start, in MiB. Only on Linux. */
export const mostMemoryOf = ({ pid }: Program): number =>
  Number(/^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024;

/**
 * Watches the memory of a process without its program's pages, which are on disk and which the system frees
 * when a container is full. Only on Linux.
 * @returns a function that gives the most so far, in MiB
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
      // The process has ended.
      clearInterval(timer);
    }
  }, 20).unref();
  return look;
}

/** The number of open files of a process, including sockets. */
export function descriptorsOf({ pid }: Program): number {
  if (process.platform === 'linux') return readdirSync(`/proc/${pid}/fd`).length;
  return execFileSync('lsof', ['-p', String(pid)])
    .toString()
    .split('\n').length;
}

/** Scrapes /metrics. @returns a function from a series, with its labels as they are written there, to its value */
export async function figuresOf(client: Client): Promise<(series: string) => number> {
  const { text } = await client.get('/metrics');
  const figures = new Map(text.split('\n').map((line) => line.split(/ (?=\S+$)/) as [string, string]));
  return (series) => {
    const figure = figures.get(series);
    if (figure === undefined) throw new Error(`${series} is not in /metrics`);
    return Number(figure);
  };
}

/** The most memory that a process takes during the work, sampled repeatedly. */
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
