import { Injectable, type OnModuleInit } from '@nestjs/common';
import { Invalidations } from '../cache/invalidations.js';
import { Background } from '../lifecycle/background.js';
import { Redis } from '../redis/redis.js';
import { clock, Throttle } from './throttle.js';

const TICK_MS = 20;

/** Adds to all levels, or to none if one would exceed its maximum. Returns the new levels in both cases. */
const ADD = `
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local tats, levels, fits = {}, {}, true
for i, key in ipairs(KEYS) do
  tats[i] = math.max(tonumber(redis.call('GET', key)) or now, now) + ARGV[2 * i - 1]
  levels[i] = string.format('%.17g', tats[i] - now)
  fits = fits and tats[i] - now <= tonumber(ARGV[2 * i])
end
for i, key in ipairs(fits and KEYS or {}) do
  redis.call('SET', key, string.format('%.17g', tats[i]), 'PX', math.max(1, math.ceil(tats[i] - now)))
end
return levels`;

/** An addition to a key's level, which is the ms until all admitted requests have drained. */
interface Addition {
  key: string;
  ms: number;
  /** The highest level allowed; without it, any. */
  most?: number;
}

/**
 * Shares the limits between replicas in the background: no request waits for Redis. Every TICK_MS a replica takes the
 * keys that are due, adds what it admitted to the shared levels in one call, and takes over the sums.
 *
 * A burst through all replicas may exceed a limit once: on each, by a twentieth of the limit and what it admits during
 * TICK_MS and a call to Redis (REDIS_TIMEOUT_MS at most). The excess drains before more is admitted. A call that Redis
 * did not answer is not repeated, so that nothing is counted twice.
 */
@Injectable()
export class Settlement implements OnModuleInit {
  /** The number of replicas when Redis last answered. */
  private replicas = 1;

  constructor(
    private readonly redis: Redis,
    private readonly background: Background,
    private readonly invalidations: Invalidations,
    private readonly throttle: Throttle,
  ) {}

  onModuleInit(): void {
    if (this.redis.isConfigured) this.background.every(TICK_MS, 'settlement of rate limits', () => this.settle());
  }

  /**
   * Adds to all levels, or to none if one would exceed its maximum; in one call, by Redis' clock.
   * @returns the levels including the additions, or undefined without Redis
   */
  async add(additions: Addition[]): Promise<number[] | undefined> {
    const send = {
      // One script may touch keys of one slot only.
      keys: additions.map(({ key }) => `{floodgate:limit}:${key}`),
      arguments: additions.flatMap(({ ms, most = Number.MAX_VALUE }) => [String(ms), String(most)]),
    };
    const levels = await this.redis.attempt((client) => client.eval(ADD, send) as Promise<string[]>, undefined);
    return levels?.map(Number);
  }

  private async settle(): Promise<void> {
    const due = [...this.throttle.limits].flatMap(([id, limit]) =>
      limit.takeDue().map((bucket) => {
        return { limit, bucket, key: `${id}:${bucket.key}`, ms: bucket.unsettled * limit.interval };
      }),
    );
    for (const { bucket } of due) bucket.unsettled = 0;
    const levels = due.length > 0 ? await this.add(due) : [];
    if (!levels || !this.redis.isAnswering) return this.throttle.divideBy(this.replicas);
    this.replicas = this.invalidations.replicas;
    this.throttle.divideBy(1);
    const now = clock();
    for (const [i, { limit, bucket }] of due.entries()) limit.adopt(bucket, levels[i] as number, now);
  }
}
