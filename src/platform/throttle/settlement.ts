import { randomUUID } from 'node:crypto';
import { Injectable, type OnModuleInit } from '@nestjs/common';
import { Background } from '../lifecycle/background.js';
import { Redis } from '../redis/redis.js';
import { clock, Throttle } from './throttle.js';

const TICK_MS = 20;

/** How often a replica says that it is there; one that has not said so for REPLICA_LIFE_MS is not counted. */
const HEARTBEAT_MS = 200;
const REPLICA_LIFE_MS = 2000;

const MEMBERS = 'floodgate:replicas';

/** Adds to each key what this replica admitted, in ms, and gives how many replicas there are, and each key's level in ms. */
const SETTLE = `
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZADD', KEYS[1], now, ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - ${REPLICA_LIFE_MS})
local answer = { tostring(redis.call('ZCARD', KEYS[1])) }
for i = 2, #KEYS do
  local tat = math.max(tonumber(redis.call('GET', KEYS[i])) or now, now) + ARGV[i]
  redis.call('SET', KEYS[i], string.format('%.17g', tat), 'PX', math.max(1, math.ceil(tat - now)))
  answer[i] = string.format('%.17g', tat - now)
end
return answer`;

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
  private readonly id = randomUUID();
  private heardAt = Number.NEGATIVE_INFINITY;

  constructor(
    private readonly redis: Redis,
    private readonly background: Background,
    private readonly throttle: Throttle,
  ) {}

  onModuleInit(): void {
    if (this.redis.client) this.background.every(TICK_MS, 'settlement of rate limits', () => this.settle());
  }

  private async settle(): Promise<void> {
    const due = [...this.throttle.limits].flatMap(([id, limit]) =>
      limit.takeDue().map((bucket) => ({ limit, bucket, key: `floodgate:limit:${id}:${bucket.key}` })),
    );
    if (due.length === 0 && clock() - this.heardAt < HEARTBEAT_MS) return;
    this.heardAt = clock();
    const admitted = due.map(({ limit, bucket }) => String(bucket.unsettled * limit.interval));
    for (const { bucket } of due) bucket.unsettled = 0;
    const answer = await this.redis.attempt(
      (client) =>
        client.eval(SETTLE, {
          keys: [MEMBERS, ...due.map(({ key }) => key)],
          arguments: [this.id, ...admitted],
        }) as Promise<string[]>,
      undefined,
    );
    if (!answer) return this.throttle.divideBy(this.throttle.replicas);
    const [replicas, ...levels] = answer.map(Number);
    this.throttle.replicas = replicas as number;
    this.throttle.divideBy(1);
    const now = clock();
    due.forEach(({ limit, bucket }, i) => {
      limit.adopt(bucket, levels[i] as number, now);
    });
  }
}
