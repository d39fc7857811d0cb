import { loadConfig } from '../../src/config.js';
import { Invalidations } from '../../src/platform/cache/invalidations.js';
import { Background } from '../../src/platform/lifecycle/background.js';
import { Redis } from '../../src/platform/redis/redis.js';

/** Of a replica only what tells it from the others, and them from it; over a real Redis. */
export class Member {
  /** What it was told to drop, by name, and how often to drop everything. */
  readonly dropped: string[] = [];
  timesDroppedAll = 0;
  /** When it last dropped anything, in ms of performance.now(). */
  droppedAt = 0;
  readonly invalidations: Invalidations;
  private readonly redis: Redis;
  private readonly background = new Background();

  private constructor(redisUrl: string, timeoutMs: number) {
    const settings = { NODE_ENV: 'test', REDIS_URL: redisUrl, REDIS_TIMEOUT_MS: String(timeoutMs) };
    this.redis = new Redis(loadConfig({ ...settings, APP_SECRET: 'x'.repeat(32) }));
    this.invalidations = new Invalidations(this.redis, this.background);
    this.invalidations.listen({
      drop: (names) => {
        this.dropped.push(...names);
        this.droppedAt = performance.now();
      },
      dropAll: () => {
        this.timesDroppedAll++;
        this.droppedAt = performance.now();
      },
    });
  }

  static async start(redisUrl: string, timeoutMs = 1000): Promise<Member> {
    const member = new Member(redisUrl, timeoutMs);
    await member.redis.onModuleInit();
    member.invalidations.onModuleInit();
    member.invalidations.onApplicationBootstrap();
    return member;
  }

  get areHeard(): boolean {
    return this.invalidations.areHeard();
  }

  /** Ends, and says so to the others. */
  async leave(): Promise<void> {
    await this.background.beforeApplicationShutdown();
    await this.invalidations.beforeApplicationShutdown();
    await this.redis.onApplicationShutdown();
  }

  /** Ends without a word. */
  async crash(): Promise<void> {
    await this.background.beforeApplicationShutdown();
    await this.redis.onApplicationShutdown();
  }
}
