import { setTimeout as sleep } from 'node:timers/promises';
import { Inject, Injectable, Logger, type OnApplicationShutdown, type OnModuleInit } from '@nestjs/common';
import type { RedisClientOptions } from 'redis';
import { CONFIG, type Config } from '../config.token.js';
import { Connection, type RedisClient } from './connection.js';

/** After so many failures in a row no command is sent for PAUSE_MS, since every request would wait for its time-out. */
const FAILURES_TOLERATED = 5;
const PAUSE_MS = 500;

/**
 * Redis (REDIS_URL), with one connection for commands and one for messages. The app works without it: every call ends
 * within REDIS_TIMEOUT_MS, and fails at once while Redis is known to be down. No command is queued until it is back.
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
      // It would bound only the wait until a command is sent, by a timer for each command.
      commandOptions: { timeout: 0 },
      // Redis Enterprise's: it would cost a look-up of the name on each connection.
      maintNotifications: 'disabled',
      socket: {
        connectTimeout: config.REDIS_TIMEOUT_MS * 20,
        ...(config.REDIS_CA ? { tls: true, ca: config.REDIS_CA } : {}),
      },
    };
    const begin = async () => {
      this.failures = 0;
    };
    this.commands = new Connection(this.options, begin, {
      gone: 'Redis cannot be reached; the app works without it',
      back: 'Redis is back.',
    });
  }

  /** The client for commands, while it is connected. */
  get client(): RedisClient | undefined {
    return this.commands.client;
  }

  /** Connects, but waits only briefly, since the app also starts without Redis. */
  async onModuleInit(): Promise<void> {
    if (!this.isConfigured) return;
    await Promise.race([this.commands.open(), sleep(this.config.REDIS_TIMEOUT_MS * 4, undefined, { ref: false })]);
  }

  /** Subscribes to a channel, and again on every new connection. */
  listen(channel: string, hear: (message: string) => void): void {
    const subscribe = (client: RedisClient) => client.subscribe(channel, hear);
    this.messages = new Connection(this.options, subscribe, {
      gone: 'Messages over Redis cannot be received',
      back: 'Messages over Redis are received again.',
    });
    void this.messages.open();
  }

  /** Whether Redis is connected and commands are sent to it. */
  get isUp(): boolean {
    return this.client?.isReady === true && (this.failures < FAILURES_TOLERATED || Date.now() > this.pausedUntil);
  }

  /** Whether Redis is configured, but not connected or not answering. */
  get isDown(): boolean {
    return this.isConfigured && (!this.client?.isReady || this.failures >= FAILURES_TOLERATED);
  }

  /** Whether Redis answered the last command. */
  get isAnswering(): boolean {
    return this.client?.isReady === true && this.failures === 0;
  }

  /**
   * Runs commands.
   * @param work sends all its commands at once, so that they go out together
   * @returns their result, or `otherwise` when Redis is down, too slow or answers with an error
   */
  async attempt<T>(work: (client: RedisClient) => Promise<T>, otherwise: T): Promise<T> {
    if (!this.client || !this.isUp) return otherwise;
    // After a pause one call goes first, and its result decides about the others.
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

  onApplicationShutdown(): void {
    this.commands.close();
    this.messages?.close();
  }

  private fail({ message }: Error): void {
    if (++this.failures < FAILURES_TOLERATED) return;
    if (this.failures === FAILURES_TOLERATED)
      this.logger.warn(`Redis keeps failing and is not used for a while: ${message}`);
    this.pausedUntil = Date.now() + PAUSE_MS;
  }
}
