import { Injectable, type OnModuleInit } from '@nestjs/common';
import { Invalidations } from '../cache/invalidations.js';
import { Background } from '../lifecycle/background.js';
import { Redis } from '../redis/redis.js';
import { clock, Throttle } from './throttle.js';

const TICK_MS = 20;

/** Adds to each key what this replica admitted, in ms, and gives each key's level in ms. */
const SETTLE = `
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local levels = {}
for i, key in ipairs(KEYS) do
  local tat = math.max(tonumber(redis.call('GET', key)) or now, now) + ARGV[i]
  redis.call('SET', key, string.format('%.17g', tat), 'PX', math.max(1, math.ceil(tat - now)))
  levels[i] = string.format('%.17g', tat - now)
end
return levels`;

/**
 * Shares the limits between replicas, in the background: no request waits for Redis. Every TICK_MS a replica adds what it
 * admitted of the keys that are due to what all have admitted, in one call, and takes the sum over.
 *
 * What may pass beyond a limit, once, at a burst through all replicas: from each a twentieth of the limit, and what that
 * one admits in TICK_MS and a call to Redis (REDIS_TIMEOUT_MS at most). It is paid off before more is admitted. What was
 * sent to a Redis that then did not answer is not sent again, and so never counted twice.
 */
@Injectable()
export class Settlement implements OnModuleInit {
  /** How many there were when Redis last answered. */
  private replicas = 1;

  constructor(
    private readonly redis: Redis,
    private readonly background: Background,
    private readonly invalidations: Invalidations,
    private readonly throttle: Throttle,
  ) {}

  onModuleInit(): void {
    if (this.redis.client) this.background.every(TICK_MS, 'settlement of rate limits', () => this.settle());
  }

  private async settle(): Promise<void> {
    const due = [...this.throttle.limits].flatMap(([id, limit]) =>
      limit.takeDue().map((bucket) => ({ limit, bucket, key: `floodgate:limit:${id}:${bucket.key}` })),
    );
    const admitted = due.map(({ limit, bucket }) => String(bucket.unsettled * limit.interval));
    for (const { bucket } of due) bucket.unsettled = 0;
    const levels =
      due.length > 0
        ? await this.add(
            due.map(({ key }) => key),
            admitted,
          )
        : [];
    if (!levels || !this.redis.isAnswering) return this.throttle.divideBy(this.replicas);
    this.replicas = this.invalidations.replicas;
    this.throttle.divideBy(1);
    const now = clock();
    for (const [i, { limit, bucket }] of due.entries()) limit.adopt(bucket, Number(levels[i]), now);
  }

  private add(keys: string[], admitted: string[]): Promise<string[] | undefined> {
    const send = { keys, arguments: admitted };
    return this.redis.attempt((client) => client.eval(SETTLE, send) as Promise<string[]>, undefined);
  }
}
