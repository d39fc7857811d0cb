import { Injectable } from '@nestjs/common';
import { Redis } from '../redis/redis.js';
import { Gcra, judge, type Verdict } from './gcra.js';
import { clock, Throttle } from './throttle.js';

/** One limit that a request has to pass. */
export interface Limit {
  name: string;
  limit: number;
  windowMs: number;
  key: string;
}

/** GCRA on all keys or, when one of them has no room, on none. Gives the ms that each has left; below zero, it has no room. */
const TAKE = `
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local tats, left, fits = {}, {}, true
for i, key in ipairs(KEYS) do
  tats[i] = math.max(tonumber(redis.call('GET', key)) or now, now) + ARGV[2 * i - 1]
  local free = now + ARGV[2 * i] - tats[i]
  left[i] = string.format('%.17g', free)
  fits = fits and free >= 0
end
for i, key in ipairs(fits and KEYS or {}) do
  redis.call('SET', key, string.format('%.17g', tats[i]), 'PX', math.max(1, math.ceil(tats[i] - now)))
end
return left`;

/**
 * Limits that hold over all replicas to the request, in one call to Redis and by Redis' clock, whatever the clocks of the
 * replicas say. Without Redis each replica goes by what passed through itself, and admits its part alone.
 */
@Injectable()
export class ExactLimits {
  private readonly local = new Map<string, Gcra>();

  constructor(
    private readonly redis: Redis,
    private readonly throttle: Throttle,
  ) {}

  /** @returns a verdict for each limit; the request may pass if it may pass all */
  async take(limits: Limit[]): Promise<Verdict[]> {
    const now = clock();
    const local = limits.map((limit) => ({ ...this.gcraOf(limit).take(limit.key, now) }));
    return (await this.ask(limits, 1)) ?? local;
  }

  /** Takes back what was taken from a limit. */
  async giveBack(limit: Limit): Promise<void> {
    this.gcraOf(limit).giveBack(limit.key, clock());
    await this.ask([limit], -1);
  }

  private async ask(limits: Limit[], count: number): Promise<Verdict[] | undefined> {
    const intervals = limits.map((limit) => this.gcraOf(limit).interval);
    const left = await this.redis.attempt(
      (client) =>
        client.eval(TAKE, {
          keys: limits.map(({ name, key }) => `throttle:${name}:${key}`),
          arguments: limits.flatMap(({ limit }, i) =>
            [count, limit].map((times) => String(times * (intervals[i] as number))),
          ),
        }) as Promise<string[]>,
      undefined,
    );
    return left?.map((free, i) =>
      judge(Number(free), intervals[i] as number, { admitted: true, remaining: 0, reset: 0 }),
    );
  }

  private gcraOf({ name, limit, windowMs }: Limit): Gcra {
    let gcra = this.local.get(name);
    if (!gcra) {
      gcra = new Gcra(limit, windowMs);
      this.local.set(name, gcra);
    }
    gcra.divideBy(this.throttle.replicas);
    return gcra;
  }
}
