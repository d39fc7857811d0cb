import { setTimeout as sleep } from 'node:timers/promises';
import { Logger } from '@nestjs/common';
import { createClient, ErrorReply, type RedisClientOptions } from 'redis';

/** The pause before connecting again, doubled each time until a connection lasts for LASTING_MS. */
const RETRY_MS = { least: 50, most: 1000 };
const LASTING_MS = 1000;
const PING_MS = 1000;
/** TCP may not notice that the other end is gone, so a connection without an answer for so long is closed. */
const MUTE_MS = 3000;

export type RedisClient = ReturnType<typeof createClient>;

/**
 * A connection to Redis that is opened again whenever it breaks, or its other end is mute: each time with a new client, in
 * which nothing of the old connection is left.
 */
export class Connection {
  /** Undefined while there is no connection. */
  client: RedisClient | undefined;
  private readonly logger = new Logger('Redis');
  private isMissed = false;
  private isOver = false;

  /**
   * @param prepare prepares a new connection for use
   * @param says the log messages for a lost connection and for one that is back
   */
  constructor(
    private readonly options: RedisClientOptions,
    private readonly prepare: (client: RedisClient) => Promise<void>,
    private readonly says: { gone: string; back: string },
  ) {}

  /** Resolves when the first try has ended, successful or not. */
  open(): Promise<void> {
    return new Promise((resolve) => void this.keep(resolve));
  }

  close(): void {
    this.isOver = true;
    this.client?.destroy();
  }

  private async keep(tried: () => void): Promise<void> {
    for (let failures = 0; !this.isOver; ) {
      const client = createClient({ ...this.options, socket: { ...this.options.socket, reconnectStrategy: false } });
      const broken = new Promise<Error>((resolve) => client.on('error', resolve));
      const begun = performance.now();
      const { message } = await Promise.race([broken, this.use(client, tried)]);
      const hasLasted = this.client !== undefined && performance.now() - begun > LASTING_MS;
      this.client = undefined;
      client.destroy();
      if (this.isOver) return;
      if (!this.isMissed) this.logger.warn(`${this.says.gone}: ${message}`);
      this.isMissed = true;
      tried();
      failures = hasLasted ? 0 : failures + 1;
      await sleep(Math.min(RETRY_MS.least * 2 ** failures, RETRY_MS.most), undefined, { ref: false });
    }
  }

  /** Connects, and pings as long as it is answered. @returns why the connection ended */
  private async use(client: RedisClient, tried: () => void): Promise<Error> {
    try {
      await within(MUTE_MS, client.connect().then(this.prepare));
      if (this.isOver) throw new Error('the app has shut down');
      this.client = client;
      if (this.isMissed) this.logger.log(this.says.back);
      this.isMissed = false;
      tried();
      for (;;) {
        await sleep(PING_MS, undefined, { ref: false });
        await within(MUTE_MS, client.ping().catch(unlessReply));
      }
    } catch (error) {
      return error as Error;
    }
  }
}

function within<T>(ms: number, work: Promise<T>): Promise<T> {
  const late = sleep(ms, undefined, { ref: false }).then(() => {
    throw new Error('it did not answer in time');
  });
  return Promise.race([work, late]);
}

/** An error reply is an answer too. */
function unlessReply(error: Error): void {
  if (!(error instanceof ErrorReply)) throw error;
}
