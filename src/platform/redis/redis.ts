import { setTimeout as sleep } from 'node:timers/promises';
import { Inject, Injectable, Logger, type OnApplicationShutdown, type OnModuleInit } from '@nestjs/common';
import { createClient } from 'redis';
import type { Config } from '../../config.js';
import { CONFIG } from '../config.token.js';
import './decoder.js';

/** After so many failures in a row nothing is sent for a while, so that a dead or hung Redis costs no waiting. */
const FAILURES_TOLERATED = 5;
const PAUSE_MS = 500;
const RECONNECT_MS = { least: 50, most: 1000 };

export type RedisClient = ReturnType<typeof createClient>;

/**
 * The one connection to Redis (REDIS_URL), and one beside it for messages. Redis is an accelerator, never a need: every
 * call is bounded by REDIS_TIMEOUT_MS and fails at once while Redis is known to be gone; nothing is queued for its return.
 */
@Injectable()
export class Redis implements OnModuleInit, OnApplicationShutdown {
  private readonly logger = new Logger(Redis.name);
  readonly client: RedisClient | undefined;
  readonly subscriber: RedisClient | undefined;
  private failures = 0;
  private pausedUntil = 0;

  constructor(@Inject(CONFIG) private readonly config: Config) {
    if (!config.REDIS_URL) return;
    this.client = createClient({
      url: config.REDIS_URL,
      disableOfflineQueue: true,
      commandsQueueMaxLength: 10_000,
      socket: {
        connectTimeout: config.REDIS_TIMEOUT_MS * 20,
        reconnectStrategy: (attempt: number) => Math.min(RECONNECT_MS.least * 2 ** attempt, RECONNECT_MS.most),
        ...(config.REDIS_CA ? { tls: true, ca: config.REDIS_CA } : {}),
      },
    });
    this.subscriber = this.client.duplicate();
    let isLost = false;
    this.client
      .on('error', (error: Error) => {
        if (!isLost) this.logger.warn(`Redis cannot be reached, and is done without: ${error.message}`);
        isLost = true;
      })
      .on('ready', () => {
        if (isLost) this.logger.log('Redis is back.');
        isLost = false;
        this.failures = 0;
      });
    this.subscriber.on('error', ignore);
  }

  /** Begins to connect, and waits for it no longer than one call may take: a start without Redis is a start. */
  async onModuleInit(): Promise<void> {
    const connecting = [this.client, this.subscriber].map((client) => client?.connect().catch(ignore));
    await Promise.race([Promise.all(connecting), sleep(this.config.REDIS_TIMEOUT_MS * 4, undefined, { ref: false })]);
  }

  /** Whether Redis is configured, and answers as far as is known. */
  get isUp(): boolean {
    return this.client?.isReady === true && (this.failures < FAILURES_TOLERATED || Date.now() > this.pausedUntil);
  }

  /** Whether Redis is configured, and has been found not to answer. */
  get isDown(): boolean {
    return this.client !== undefined && (!this.client.isReady || this.failures >= FAILURES_TOLERATED);
  }

  /** Whether it answered when it was last asked. */
  get isAnswering(): boolean {
    return this.client?.isReady === true && this.failures === 0;
  }

  /**
   * Runs commands; what they give, or `otherwise` when Redis is gone, too slow or refuses.
   * @param work sends all its commands at once, so that they go out together
   */
  async attempt<T>(work: (client: RedisClient) => Promise<T>, otherwise: T): Promise<T> {
    if (!this.client || !this.isUp) return otherwise;
    // After a pause one call goes first, and what it meets decides about the others.
    if (this.failures >= FAILURES_TOLERATED) this.pausedUntil = Date.now() + this.config.REDIS_TIMEOUT_MS + PAUSE_MS;
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(reject, this.config.REDIS_TIMEOUT_MS, new Error('Redis did not answer in time'));
    });
    try {
      const result = await Promise.race([work(this.client), late]);
      this.failures = 0;
      return result;
    } catch (error) {
      this.fail(error as Error);
      return otherwise;
    } finally {
      clearTimeout(timer);
    }
  }

  async onApplicationShutdown(): Promise<void> {
    await Promise.all([this.client, this.subscriber].map((client) => client?.disconnect().catch(ignore)));
  }

  private fail({ message }: Error): void {
    if (++this.failures < FAILURES_TOLERATED) return;
    if (this.failures === FAILURES_TOLERATED) this.logger.warn(`Redis is left alone for a while: ${message}`);
    this.pausedUntil = Date.now() + PAUSE_MS;
  }
}

function ignore(): void {}
