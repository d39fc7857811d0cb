import { setTimeout as sleep } from 'node:timers/promises';
import { Logger } from '@nestjs/common';
import type { Link, RedisClient } from './servers.js';
import { within } from './within.js';

/** The pause before connecting again, doubled each time until a connection lasts for LASTING_MS. */
const RETRY_MS = { least: 50, most: 1000 };
const LASTING_MS = 1000;
const CHECK_MS = 1000;
/** TCP may not notice that the other end is gone, so a connection without an answer for so long is closed. */
const MUTE_MS = 3000;

/**
 * A connection to Redis that is opened again whenever it breaks, each time with a new client and where Redis is now: a
 * client that reconnects by itself goes to the same address, and does not notice a server that has become mute.
 */
export class Connection {
  /** Undefined while there is no connection. */
  client: RedisClient | undefined;
  private readonly logger = new Logger('Redis');
  private isMissed = false;
  private isOver = false;

  /**
   * @param open finds out where to connect to
   * @param its what prepares a new connection for use, what hears of a lost one, and the log's messages for both
   */
  constructor(
    private readonly open: () => Promise<Link>,
    private readonly its: { begin(client: RedisClient): unknown; lose?(): void; gone: string; back: string },
  ) {}

  /** Resolves when the first try has ended, successful or not. */
  start(): Promise<void> {
    return new Promise((resolve) => void this.keep(resolve));
  }

  close(): void {
    this.isOver = true;
    this.client?.destroy();
  }

  private async keep(tried: () => void): Promise<void> {
    for (let failures = 0; !this.isOver; ) {
      const begun = performance.now();
      let link: Link | undefined;
      try {
        link = await this.open();
        await Promise.race([link.broken, this.use(link, tried)]);
        // What it has in hand may still be answered while the next one is used.
        setTimeout(() => link?.client.destroy(), LASTING_MS).unref();
      } catch (error) {
        const hasLasted = this.client !== undefined && performance.now() - begun > LASTING_MS;
        if (this.client) this.its.lose?.();
        for (const client of [this.client, link?.client]) client?.destroy();
        this.client = undefined;
        if (this.isOver) return;
        if (!this.isMissed) this.logger.warn(`${this.its.gone}: ${(error as Error).message}`);
        this.isMissed = true;
        tried();
        failures = hasLasted ? 0 : failures + 1;
        await sleep(Math.min(RETRY_MS.least * 2 ** failures, RETRY_MS.most), undefined, { ref: false });
      }
    }
  }

  /** Connects, and checks the connection as long as it is answered and a new one would be no better. */
  private async use({ client, check }: Link, tried: () => void): Promise<void> {
    await within(
      MUTE_MS,
      client
        .connect()
        .then(check)
        .then(() => this.its.begin(client)),
    );
    if (this.isOver) throw new Error('the app has shut down');
    this.client = client;
    if (this.isMissed) this.logger.log(this.its.back);
    this.isMissed = false;
    tried();
    do await sleep(CHECK_MS, undefined, { ref: false });
    while (await within(MUTE_MS, check()));
  }
}
