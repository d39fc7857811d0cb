import { randomUUID } from 'node:crypto';
import { Injectable, Logger, type OnApplicationBootstrap } from '@nestjs/common';
import { KEY_VERSION } from '../cache/invalidations.js';
import { Background } from '../lifecycle/background.js';
import { Redis } from '../redis/redis.js';
import { sqlState, TOO_MANY_CONNECTIONS } from './database-problem.js';
import { PrimaryAndReplicas, TAKES_NO_WRITES } from './primary-and-replicas.js';

const CHECK_INTERVAL_MS = 1000;
/** Who last found that it can use PostgreSQL; forgotten after so long. */
const CAN = `${KEY_VERSION}:postgresql`;
const REMEMBERED_MS = 1800;

/** What may be wrong with the primary, as the end of a sentence. */
export type Flaw = 'cannot be reached' | 'takes no writes' | 'refuses connections';

/**
 * Looks every second whether the primary can be used, and tells the other processes over Redis when it can. As long as its name
 * leads, or has led, to a server that takes no writes, it is asked on a connection of which the name is looked up anew; once
 * that leads to one that takes them, all connections from before are given up.
 */
@Injectable()
export class PrimaryWatch implements OnApplicationBootstrap {
  flaw: Flaw | undefined;
  /** Whether others can use it while this process cannot. */
  isAlone = false;
  private readonly logger = new Logger(PrimaryWatch.name);
  private readonly id = randomUUID();
  private flawedSince = Number.NEGATIVE_INFINITY;

  constructor(
    private readonly servers: PrimaryAndReplicas,
    private readonly redis: Redis,
    private readonly background: Background,
  ) {}

  onApplicationBootstrap(): void {
    this.background.every(CHECK_INTERVAL_MS, 'look at PostgreSQL', () => this.check());
  }

  private async check(): Promise<void> {
    const flaw = await this.look();
    if (flaw !== this.flaw) {
      this.flawedSince = performance.now();
      if (flaw === undefined) this.logger.log('PostgreSQL can be used again.');
      else this.logger.warn(`PostgreSQL ${flaw}.`);
    }
    this.flaw = flaw;
    this.isAlone = await this.share();
  }

  private async look(): Promise<Flaw | undefined> {
    const { probe } = this.servers.primary;
    if (this.servers.leadToReadOnly) probe.renew();
    try {
      const { rows } = await probe.query(TAKES_NO_WRITES);
      if (rows[0].is) {
        this.servers.leadToReadOnly = true;
        return 'takes no writes';
      }
      if (this.servers.leadToReadOnly) this.servers.renew();
      return undefined;
    } catch (error) {
      return sqlState(error) === TOO_MANY_CONNECTIONS ? 'refuses connections' : 'cannot be reached';
    }
  }

  /** Places are refused to all alike, so nobody is alone with that. @returns whether others can use what this process cannot */
  private async share(): Promise<boolean> {
    if (this.flaw === undefined) {
      await this.redis.attempt((client) => client.set(CAN, this.id, { PX: REMEMBERED_MS }), null);
      return false;
    }
    // Until then it may be from before it failed for all.
    if (this.flaw === 'refuses connections' || performance.now() - this.flawedSince < REMEMBERED_MS)
      return this.isAlone;
    const who = await this.redis.attempt((client) => client.get(CAN), null);
    return who !== null && who !== this.id;
  }
}
