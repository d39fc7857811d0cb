import { Injectable, Logger, type OnApplicationBootstrap } from '@nestjs/common';
import { KEY_VERSION } from '../cache/invalidations.js';
import { Background } from '../lifecycle/background.js';
import { Redis } from '../redis/redis.js';
import { firstOf, sqlState, TOO_MANY_CONNECTIONS } from './database-problem.js';
import { PrimaryAndReplicas, TAKES_NO_WRITES } from './primary-and-replicas.js';

const CHECK_INTERVAL_MS = 1000;
/** There when a process found that it can use PostgreSQL, no longer ago than this. */
const CAN = `${KEY_VERSION}:postgresql`;
const REMEMBERED_MS = 1800;
/** Longer: what is there may be this process's own word, or from before it failed for all; and not all find it back at once. */
const SETTLED_MS = 1900;
/** Redis may miss a call or two, as on a machine that has too much to do; after so long nobody knows what others can. */
const UNHEARD_MS = 4000;

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
  /** Whether others can use it while this process cannot. It becomes so, and ends, when that has lasted. */
  isAlone = false;
  private readonly logger = new Logger(PrimaryWatch.name);
  /** Since when every look has found otherwise than `isAlone` says. */
  private otherwiseSince: number | undefined;
  /** When it was last known whether others can. */
  private knownAt = Number.NEGATIVE_INFINITY;

  constructor(
    private readonly servers: PrimaryAndReplicas,
    private readonly redis: Redis,
    private readonly background: Background,
  ) {}

  onApplicationBootstrap(): void {
    this.background.every(CHECK_INTERVAL_MS, 'look at PostgreSQL', () => this.check());
  }

  private async check(): Promise<void> {
    const { flaw, cause } = await this.look();
    if (flaw === undefined) await this.redis.attempt((client) => client.set(CAN, '1', { PX: REMEMBERED_MS }), null);
    this.settle(flaw !== undefined && (await this.canOthers(flaw)));
    // Who was left out has it back only when it is no longer left out.
    if (flaw === this.flaw || (flaw === undefined && this.isAlone)) return;
    this.flaw = flaw;
    if (flaw === undefined) this.logger.log('PostgreSQL can be used again.');
    else this.logger.warn(`PostgreSQL ${flaw}${cause === undefined ? '.' : `: ${cause}`}`);
  }

  private async look(): Promise<{ flaw?: Flaw; cause?: string | undefined }> {
    const { probe } = this.servers.primary;
    if (this.servers.leadToReadOnly) probe.renew();
    try {
      const { rows } = await probe.query(TAKES_NO_WRITES);
      if (rows[0].is) {
        this.servers.leadToReadOnly = true;
        return { flaw: 'takes no writes' };
      }
      if (this.servers.leadToReadOnly) this.servers.renew();
      return {};
    } catch (error) {
      const flaw = sqlState(error) === TOO_MANY_CONNECTIONS ? 'refuses connections' : 'cannot be reached';
      return { flaw, cause: firstOf(error as Error).message };
    }
  }

  /** Places are refused to all alike, so nobody is alone with that. @returns undefined when Redis does not say */
  private async canOthers(flaw: Flaw): Promise<boolean | undefined> {
    if (flaw === 'refuses connections') return false;
    return this.redis.attempt<boolean | undefined>(async (client) => (await client.exists(CAN)) === 1, undefined);
  }

  private settle(found: boolean | undefined): void {
    const now = performance.now();
    if (found !== undefined) this.knownAt = now;
    else if (now - this.knownAt < UNHEARD_MS) return;
    const isAlone = found ?? false;
    this.otherwiseSince = isAlone === this.isAlone ? undefined : (this.otherwiseSince ?? now);
    if (this.otherwiseSince === undefined || now - this.otherwiseSince < SETTLED_MS) return;
    this.isAlone = isAlone;
    this.otherwiseSince = undefined;
    if (isAlone) this.logger.warn('Other replicas can use PostgreSQL: this one says that it is not ready.');
    else this.logger.log('This replica says that it is ready again.');
  }
}
