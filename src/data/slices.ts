import { setTimeout as sleep } from 'node:timers/promises';
import { Injectable } from '@nestjs/common';
import { LRUCache } from 'lru-cache';
import pLimit from 'p-limit';
import { QUERY_CANCELED } from '../platform/database/database.js';
import { sqlState } from '../platform/database/database-problem.js';

/** How long a request waits for slices, and how long they are counted on behind it. */
const PATIENCE_MS = 1000;
const BEHIND_MS = 10_000;
/** Slices that are counted at a time, so that the pool has connections left for others. */
const UNDER_WAY = 2;
const KEPT_BYTES = 16_777_216;

/** A span of time, with the mark of its hours and about how many records it has. */
export interface Slice {
  begun: string;
  ended: string;
  mark: string;
  count: number;
}

/** What a slice holds, as JSON, and the mark that its hours had. */
export interface SliceCount {
  mark: string;
  json: string;
  /** Rare values were left out. */
  isCut: boolean;
}

/** Counts large collections slice by slice, and keeps what was counted: only slices that have changed are counted again. */
@Injectable()
export class Slices {
  private readonly kept = new LRUCache<string, SliceCount>({
    maxSize: KEPT_BYTES,
    sizeCalculation: ({ json }) => json.length + 500,
  });
  private readonly running = new Map<string, Promise<SliceCount | undefined>>();
  private readonly limit = pLimit(UNDER_WAY);

  /**
   * @param shape what is counted, whatever the range
   * @returns the counts that there are, and the share of the records whose counts are up to date
   */
  async count(
    shape: string,
    slices: Slice[],
    count: (slice: Slice) => Promise<SliceCount>,
  ): Promise<{ counts: SliceCount[]; progress: number }> {
    const nameOf = ({ begun, ended }: Slice) => `${shape} ${begun} ${ended}`;
    const found = slices.map((slice) => this.kept.get(nameOf(slice)));
    const isCurrent = slices.map(({ mark }, at) => found[at]?.mark === mark);
    const until = performance.now() + BEHIND_MS;
    const work = async () => {
      for (const [at, slice] of slices.entries()) {
        if (isCurrent[at]) continue;
        if (performance.now() > until) return;
        const counted = await this.once(nameOf(slice), slice.mark, () => count(slice));
        found[at] = counted ?? found[at];
        isCurrent[at] = counted !== undefined;
      }
    };
    const working = work();
    working.catch(() => {});
    await Promise.race([working, sleep(PATIENCE_MS, undefined, { ref: false })]);
    const sum = (of: Slice[]) => of.reduce((total, slice) => total + slice.count, 0);
    const left = sum(slices.filter((_, at) => !isCurrent[at]));
    return {
      counts: found.filter((one) => one !== undefined),
      progress: left === 0 ? 1 : Math.floor(1000 * (1 - left / sum(slices))) / 1000,
    };
  }

  /** Callers who have seen the same mark share a count. @returns undefined if it takes too long */
  private once(name: string, mark: string, count: () => Promise<SliceCount>): Promise<SliceCount | undefined> {
    const key = `${name} ${mark}`;
    const underWay = this.running.get(key);
    if (underWay) return underWay;
    const run = async () => {
      try {
        const counted = await this.limit(count);
        this.kept.set(name, counted);
        return counted;
      } catch (error) {
        if (sqlState(error) !== QUERY_CANCELED) throw error;
        return undefined;
      } finally {
        this.running.delete(key);
      }
    };
    const running = run();
    this.running.set(key, running);
    return running;
  }
}
