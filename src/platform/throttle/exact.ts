import { Injectable } from '@nestjs/common';
import { Redis } from '../redis/redis.js';
import { judge, type Verdict } from './gcra.js';
import { clock, type Figures, idOf, Throttle } from './throttle.js';

/** One limit that a request has to pass. */
export interface Limit extends Figures {
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
 * Limits that hold over all replicas to the request, in one call to Redis and by Redis' clock. Without Redis each replica
 * admits its part alone, and goes on from what it knows.
 */
@Injectable()
export class ExactLimits {
  constructor(
    private readonly redis: Redis,
    private readonly throttle: Throttle,
  ) {}

  /** @returns a verdict for each limit; the request may pass if it may pass all */
  async take(limits: Limit[]): Promise<Verdict[]> {
    const local = limits.map((limit) => ({ ...this.throttle.limit(limit).take(limit.key, clock()) }));
    return (await this.ask(limits, 1)) ?? local;
  }

  /** Takes back that one was taken. */
  async giveBack(limit: Limit): Promise<void> {
    this.throttle.limit(limit).giveBack(limit.key, clock());
    await this.ask([limit], -1);
  }

  private async ask(limits: Limit[], count: number): Promise<Verdict[] | undefined> {
    const figures = limits.map((limit) => this.throttle.limit(limit));
    const left = await this.redis.attempt(
      (client) =>
        client.eval(TAKE, {
          keys: limits.map((limit) => `floodgate:exact:${idOf(limit)}:${limit.key}`),
          arguments: figures.flatMap(({ interval, window }) => [String(count * interval), String(window)]),
        }) as Promise<string[]>,
      undefined,
    );
    return left && figures.map(({ interval }, i) => judge(Number(left[i]), interval, {} as Verdict));
  }
}
