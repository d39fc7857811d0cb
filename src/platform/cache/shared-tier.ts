import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { CACHE_MANAGER, type Cache as CacheManager } from '@nestjs/cache-manager';
import { Inject, Injectable } from '@nestjs/common';
import { type CacheManagerStore, KeyvAdapter } from 'cache-manager';
import { redisInsStore } from 'cache-manager-redis-yet';
import Keyv from 'keyv';
import { CONFIG, type Config } from '../config.token.js';
import { Redis } from '../redis/redis.js';
import type { RedisClient } from '../redis/servers.js';
import { Invalidations } from './invalidations.js';
import { KEY_VERSION, SECOND_TIER_TTL_MS } from './membership.js';

/** A replica that dies while it computes a value blocks the others no longer than this. */
const TURN_MS = 10_000;
const TURN_POLL_MS = 50;

/** The tag of first-tier entries made of a value of `once()`: computing a new value drops them. */
export const foundTag = (name: string): string => `found:${name}`;

/** cache-manager's store on our Redis connection: redisStore() would open its own, whose errors nobody handles. */
export function redisTier(redis: Redis): Keyv {
  const commands = {
    get: (key: string) => redis.client?.get(key),
    set: (...given: Parameters<RedisClient['set']>) => redis.client?.set(...given),
    mGet: (keys: string[]) => redis.client?.mGet(keys),
    // In place of a transaction, whose keys have to share a slot in a cluster.
    multi: () => {
      const sets: Parameters<RedisClient['set']>[] = [];
      const set = (...given: Parameters<RedisClient['set']>) => sets.push(given);
      return { set, exec: () => Promise.all(sets.map((given) => redis.client?.set(...given))) };
    },
  };
  const store = new KeyvAdapter(redisInsStore(commands as never) as unknown as CacheManagerStore);
  // The store serializes values itself.
  const keyv = new Keyv({ store, namespace: KEY_VERSION });
  keyv.serialize = undefined;
  keyv.deserialize = undefined;
  return keyv;
}

/** The cache's second tier, in Redis, for all replicas. It is not used while invalidations may have been missed. */
@Injectable()
export class SharedTier {
  constructor(
    @Inject(CONFIG) private readonly config: Config,
    @Inject(CACHE_MANAGER) private readonly manager: CacheManager,
    private readonly redis: Redis,
    private readonly invalidations: Invalidations,
  ) {}

  /** @returns undefined for a miss, and for a name that just changed: a slow reader may still put in an old value */
  async getMany<T>(names: string[]): Promise<(T | undefined)[]> {
    return this.keeps ? this.read(names) : [];
  }

  private async read<T>(names: string[]): Promise<(T | undefined)[]> {
    const asked = names.filter((name) => !this.invalidations.hasChanged(name));
    if (!this.isUsed || asked.length === 0) return [];
    const kept = await this.redis.attempt(() => this.manager.mget<T>(asked), []);
    const found = new Map(asked.map((name, at) => [name, kept[at]]));
    return names.map((name) => found.get(name));
  }

  /**
   * Puts values in, in the background, except those that were changed meanwhile.
   * @param since when reading them began, in ms of performance.now()
   */
  setMany(values: Map<string, unknown>, since: number): void {
    if (!this.keeps) return;
    const current = this.invalidations.putting([...values.keys()], since);
    if (current.length === 0) return;
    const list = current.map((key) => ({ key, value: values.get(key), ttl: SECOND_TIER_TTL_MS }));
    void this.redis.attempt(() => this.manager.mset(list), []);
  }

  /**
   * Computes an expensive value on one replica at a time, while the others wait for its result.
   * @param maxAgeMs an older result is computed again
   * @returns the value, and how long ago its computation began
   */
  async once<T>(name: string, maxAgeMs: number, work: () => Promise<T>): Promise<{ value: T; ageMs: number }> {
    const deadline = Date.now() + TURN_MS;
    while (this.isUsed && Date.now() < deadline) {
      const [kept] = await this.read<{ value: T; at: number }>([name]);
      // The replicas' clocks may differ.
      const ageMs = kept ? Math.max(0, Date.now() - kept.at) : maxAgeMs;
      if (kept && ageMs < maxAgeMs) return { value: kept.value, ageMs };
      const turn = `${KEY_VERSION}:turn:${name}`;
      const token = randomUUID();
      const isOurs = await this.redis.attempt(
        async (client) => !!(await client.set(turn, token, { NX: true, PX: TURN_MS })),
        true,
      );
      if (isOurs) {
        try {
          const at = Date.now();
          const found = await timed(work);
          const left = Math.ceil(maxAgeMs - found.ageMs);
          if (left > 0)
            await this.redis.attempt(() => this.manager.set(name, { value: found.value, at }, left), undefined);
          this.invalidations.tell([foundTag(name)]);
          return found;
        } finally {
          void this.redis.attempt((client) => client.eval(RELEASE, { keys: [turn], arguments: [token] }), undefined);
        }
      }
      await sleep(TURN_POLL_MS);
    }
    return timed(work);
  }

  /** Whether rows are kept. Values of `once()` have a TTL of their own. */
  private get keeps(): boolean {
    return this.isUsed && this.config.CACHE_TTL_MS > 0;
  }

  private get isUsed(): boolean {
    return this.invalidations.areHeard() && this.redis.isUp;
  }
}

/** The age of a value counts from the start of its computation. */
async function timed<T>(work: () => Promise<T>): Promise<{ value: T; ageMs: number }> {
  const begun = performance.now();
  return { value: await work(), ageMs: performance.now() - begun };
}

/** Deletes the lock, if it is still ours. */
const RELEASE = `if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end`;
