import { setTimeout as sleep } from 'node:timers/promises';
import { Inject, Injectable, Logger, type OnApplicationShutdown, type OnModuleInit } from '@nestjs/common';
import { CONFIG, type Config } from '../config.token.js';
import { Connection } from './connection.js';
import { type RedisClient, Servers } from './servers.js';

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
  private readonly servers: Servers | undefined;
  private readonly commands: Connection | undefined;
  private messages: Connection | undefined;
  private subscriber: RedisClient | undefined;
  private readonly channels = new Map<string, (message: string) => void>();
  private failures = 0;
  private pausedUntil = 0;
  private readonly losers: (() => void)[] = [];

  constructor(@Inject(CONFIG) private readonly config: Config) {
    this.isConfigured = config.REDIS_URL !== undefined;
    if (config.REDIS_URL === undefined) return;
    const lose = () => {
      for (const hear of this.losers) hear();
    };
    const servers = new Servers(config, config.REDIS_URL, lose);
    this.servers = servers;
    this.commands = new Connection(() => servers.forCommands(), {
      begin: () => {
        this.failures = 0;
      },
      lose,
      gone: 'Redis cannot be reached; the app works without it',
      back: 'Redis is back.',
    });
  }

  /** The client for commands, while it is connected. It takes keys of different slots together only where Redis Cluster does. */
  get client(): RedisClient | undefined {
    return this.commands?.client;
  }

  /** Connects, but waits only briefly, since the app also starts without Redis. */
  async onModuleInit(): Promise<void> {
    if (!this.commands) return;
    await Promise.race([this.commands.start(), sleep(this.config.REDIS_TIMEOUT_MS * 4, undefined, { ref: false })]);
  }

  /** Subscribes to a channel, and again on every new connection. */
  listen(channel: string, hear: (message: string) => void): void {
    const servers = this.servers;
    if (!servers) return;
    this.channels.set(channel, hear);
    // If it breaks now, the next connection subscribes to all channels.
    if (this.messages) return void this.subscriber?.subscribe(channel, hear).catch(() => {});
    this.messages = new Connection(() => servers.forMessages(), {
      begin: (client) => {
        this.subscriber = client;
        return Promise.all([...this.channels].map(([name, take]) => client.subscribe(name, take)));
      },
      gone: 'Messages over Redis cannot be received',
      back: 'Messages over Redis are received again.',
    });
    void this.messages.start();
  }

  /** Calls back whenever a server is lost: another one that takes its place may lack its last changes. */
  onLoss(hear: () => void): void {
    this.losers.push(hear);
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
    this.commands?.close();
    this.messages?.close();
  }

  private fail({ message }: Error): void {
    if (++this.failures < FAILURES_TOLERATED) return;
    if (this.failures === FAILURES_TOLERATED)
      this.logger.warn(`Redis keeps failing and is not used for a while: ${message}`);
    this.pausedUntil = Date.now() + PAUSE_MS;
  }
}
