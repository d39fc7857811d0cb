import { setTimeout as sleep } from 'node:timers/promises';
import { Logger } from '@nestjs/common';
import { createClient, ErrorReply, type RedisClientOptions } from 'redis';

/** Between one connection's end and the next try, ever longer as long as none lasts. */
const RETRY_MS = { least: 50, most: 1000 };
const LASTING_MS = 1000;
const PING_MS = 1000;
/** What is sent on a connection that stands may be lost for ever, and nobody says so: with no answer for so long it is given up. */
const MUTE_MS = 3000;

export type RedisClient = ReturnType<typeof createClient>;

/**
 * One connection to Redis, made anew whenever it breaks, and each time with a client of its own: one that connects again
 * by itself takes the beginning of a reply that was cut off for that of the next one, and then mixes replies up.
 */
export class Connection {
  /** The one that stands, if any. */
  client: RedisClient | undefined;
  private readonly logger = new Logger('Redis');
  private isMissed = false;
  private isOver = false;

  /**
   * @param prepare does what makes it of use
   * @param says what the log is told when it is gone, and when it is back
   */
  constructor(
    private readonly options: RedisClientOptions,
    private readonly prepare: (client: RedisClient) => Promise<void>,
    private readonly says: { gone: string; back: string },
  ) {}

  /** Resolves when the first try has ended, well or not. */
  open(): Promise<void> {
    return new Promise((resolve) => void this.keep(resolve));
  }

  async close(): Promise<void> {
    this.isOver = true;
    await this.client?.disconnect().catch(ignore);
  }

  private async keep(tried: () => void): Promise<void> {
    for (let failures = 0; !this.isOver; ) {
      const client = createClient({ ...this.options, socket: { ...this.options.socket, reconnectStrategy: false } });
      const broken = new Promise<Error>((resolve) => client.on('error', resolve));
      const begun = performance.now();
      const { message } = await Promise.race([broken, this.use(client, tried)]);
      const hasLasted = this.client !== undefined && performance.now() - begun > LASTING_MS;
      this.client = undefined;
      client.disconnect().catch(ignore);
      if (this.isOver) return;
      if (!this.isMissed) this.logger.warn(`${this.says.gone}: ${message}`);
      this.isMissed = true;
      tried();
      failures = hasLasted ? 0 : failures + 1;
      await sleep(Math.min(RETRY_MS.least * 2 ** failures, RETRY_MS.most), undefined, { ref: false });
    }
  }

  /** Connects, and looks now and then whether it answers. @returns why it is no more of use */
  private async use(client: RedisClient, tried: () => void): Promise<Error> {
    try {
      await within(MUTE_MS, client.connect().then(this.prepare));
      if (this.isOver) throw new Error('it is too late');
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
    throw new Error('it does not answer');
  });
  return Promise.race([work, late]);
}

/** Who refuses does answer. */
function unlessReply(error: Error): void {
  if (!(error instanceof ErrorReply)) throw error;
}

function ignore(): void {}
