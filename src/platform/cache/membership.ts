import { randomUUID } from 'node:crypto';
import type { Redis } from '../redis/redis.js';

/** The prefix of keys and channels. Builds of two prefixes hear nothing of each other's changes. */
export const KEY_VERSION = 'floodgate1';
/** When each replica last gave a sign of life. */
export const PRESENT = `${KEY_VERSION}:present`;
/** The number of the last change, in the same slot of a Redis Cluster. */
export const CHANGED = `{${PRESENT}}:changed`;
/** The second tier's TTL. A replica without Redis may still write to PostgreSQL, so it counts as silent for as long. */
export const SECOND_TIER_TTL_MS = 60_000;
/** A replica silent for so long is forgotten. */
export const FORGOTTEN_MS = SECOND_TIER_TTL_MS + 1000;
/** A replica silent for so long is no longer counted when limits are divided. */
const GONE_AFTER_MS = 5000;
/** How long a sign of life proves that its replica has told all of its changes. */
export const TRUSTED_MS = 800;

/**
 * Enters a sign of life, and returns the number of the last change, the age of the oldest sign, how many replicas have
 * signed lately, how many are known, and the time, in ms. A replica that is forgotten raises the number, since it may have
 * left changes untold. In a full Redis, the removal at the beginning lets the other writes pass. Scores below 1e11 are
 * seconds: signs of older builds, whose age comes out as decades.
 */
export const SIGN = `
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local id, at, known, size = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local gone = redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', time[1] - ${FORGOTTEN_MS / 1000})
  + redis.call('ZREMRANGEBYSCORE', KEYS[1], 1e11, now - ${FORGOTTEN_MS})
local stored = tonumber(redis.call('GET', KEYS[2])) or 0
local number = math.max(stored, known)
if gone > 0 then number = math.max(number + 1, time[1] * 1000000 + time[2]) end
if number > stored then redis.call('SET', KEYS[2], number) end
if at ~= '' and redis.call('ZADD', KEYS[1], math.min(at, now), id) == 1 and size > 0 then
  -- Redis has lost who was there. Those who are not back yet count as silent.
  local first = redis.call('ZRANGE', KEYS[1], 0, 0)[1]
  if string.find(first, '^missing') then redis.call('ZREM', KEYS[1], first) end
  for i = redis.call('ZCARD', KEYS[1]) + 1, size do
    redis.call('ZADD', KEYS[1], now - ${TRUSTED_MS}, 'missing:' .. now .. ':' .. i)
  end
end
local oldest = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')[2] or now
local all = redis.call('ZCARD', KEYS[1])
local lately = all - redis.call('ZCOUNT', KEYS[1], 1e11, now - ${GONE_AFTER_MS})
return { number, math.max(now - oldest, 0), lately, all, now }`;

/** What Redis says of all replicas. */
export interface Signed {
  /** The number of the last change. */
  number: number;
  /** All replicas have told their changes before that, in ms of performance.now(). */
  toldUntil: number;
}

/**
 * Which replicas there are. Each signs in Redis four times a second, and so says that it has told all of its changes.
 * Ages are Redis' own: a replica counts from its last answer on, so that a sign which arrives late is as old as it is.
 */
export class Membership {
  readonly id = randomUUID();
  /** Replicas that have signed within GONE_AFTER_MS, including this one; 1 without Redis. */
  replicas = 1;
  /** The last answer, by this process's clock and by Redis'. */
  private answered: { at: number; now: number } | undefined;
  /** How many replicas were known then; 0 when this one was not entered. */
  private size = 0;

  constructor(private readonly redis: Redis) {}

  /**
   * @param at when this replica had told all of its changes, in ms of performance.now()
   * @param known the highest number that this replica knows of
   * @returns undefined without Redis
   */
  async sign(at: number, known: number): Promise<Signed | undefined> {
    const isFirst = this.answered === undefined;
    const { answered } = this;
    const redisAt = answered ? String(Math.floor(answered.now + at - answered.at)) : '';
    const size = answered && at - answered.at < SECOND_TIER_TTL_MS ? this.size : 0;
    const given = { keys: [PRESENT, CHANGED], arguments: [this.id, redisAt, String(known), String(size)] };
    const sentAt = performance.now();
    const said = await this.redis.attempt(
      async (client) => (await client.eval(SIGN, given)) as number[] | undefined,
      undefined,
    );
    if (!said) return undefined;
    const [number, age, lately, all, now] = said as [number, number, number, number, number];
    this.answered = { at: performance.now(), now };
    // Only now does it know what time it is there.
    if (isFirst) return this.sign(at, known);
    this.size = all;
    this.replicas = lately;
    return { number, toldUntil: sentAt - age };
  }

  async leave(): Promise<void> {
    await this.redis.attempt((client) => client.zRem(PRESENT, this.id), 0);
  }
}
