import { setTimeout as sleep } from 'node:timers/promises';
import { Inject, Injectable, Logger, type OnApplicationShutdown, type OnModuleInit } from '@nestjs/common';
import type { RedisClientOptions } from 'redis';
import { CONFIG, type Config } from '../config.token.js';
import { Connection, type RedisClient } from './connection.js';

/** After so many failures in a row nothing is sent for a while, so that a dead or hung Redis costs no waiting. */
const FAILURES_TOLERATED = 5;
const PAUSE_MS = 500;

/**
 * Redis (REDIS_URL), on one connection for commands, and one for messages. It is an accelerator, never a need: every
 * call is bounded by REDIS_TIMEOUT_MS and fails at once while Redis is known to be gone; nothing is queued for its return.
 */
@Injectable()
export class Redis implements OnModuleInit, OnApplicationShutdown {
  readonly isConfigured: boolean;
  private readonly logger = new Logger(Redis.name);
  private readonly options: RedisClientOptions;
  private readonly commands: Connection;
  private messages: Connection | undefined;
  private failures = 0;
  private pausedUntil = 0;

  constructor(@Inject(CONFIG) private readonly config: Config) {
    this.isConfigured = config.REDIS_URL !== undefined;
    this.options = {
      ...(config.REDIS_URL ? { url: config.REDIS_URL } : {}),
      disableOfflineQueue: true,
      commandsQueueMaxLength: 10_000,
      socket: {
        connectTimeout: config.REDIS_TIMEOUT_MS * 20,
        ...(config.REDIS_CA ? { tls: true, ca: config.REDIS_CA } : {}),
      },
    };
    const begin = async () => {
      this.failures = 0;
    };
    this.commands = new Connection(this.options, begin, {
      gone: 'Redis cannot be reached, and is done without',
      back: 'Redis is back.',
    });
  }

  /** The connection that commands go out on, if it stands. */
  get client(): RedisClient | undefined {
    return this.commands.client;
  }

  /** Begins to connect, and waits for it no longer than one call may take: a start without Redis is a start. */
  async onModuleInit(): Promise<void> {
    if (!this.isConfigured) return;
    await Promise.race([this.commands.open(), sleep(this.config.REDIS_TIMEOUT_MS * 4, undefined, { ref: false })]);
  }

  /** Has messages heard, from now on, whenever there is a connection. */
  listen(channel: string, hear: (message: string) => void): void {
    const subscribe = (client: RedisClient) => client.subscribe(channel, hear);
    this.messages = new Connection(this.options, subscribe, {
      gone: 'Messages over Redis cannot be heard',
      back: 'Messages over Redis are heard again.',
    });
    void this.messages.open();
  }

  /** Whether Redis is configured, and answers as far as is known. */
  get isUp(): boolean {
    return this.client?.isReady === true && (this.failures < FAILURES_TOLERATED || Date.now() > this.pausedUntil);
  }

  /** Whether Redis is configured, and has been found not to answer. */
  get isDown(): boolean {
    return this.isConfigured && (!this.client?.isReady || this.failures >= FAILURES_TOLERATED);
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
    await Promise.all([this.commands.close(), this.messages?.close()]);
  }

  private fail({ message }: Error): void {
    if (++this.failures < FAILURES_TOLERATED) return;
    if (this.failures === FAILURES_TOLERATED) this.logger.warn(`Redis is left alone for a while: ${message}`);
    this.pausedUntil = Date.now() + PAUSE_MS;
  }
}
