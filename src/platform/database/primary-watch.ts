import { Injectable, Logger, type OnApplicationBootstrap } from '@nestjs/common';
import { KEY_VERSION } from '../cache/membership.js';
import { Background } from '../lifecycle/background.js';
import { Redis } from '../redis/redis.js';
import { firstOf, sqlState, TOO_MANY_CONNECTIONS } from './database-problem.js';
import { PrimaryAndReplicas, TAKES_NO_WRITES } from './primary-and-replicas.js';

const CHECK_INTERVAL_MS = 1000;
/** The Redis key that a process sets when it can use PostgreSQL, and how long the key lives. */
const CAN = `${KEY_VERSION}:postgresql`;
const REMEMBERED_MS = 1800;
/**
 * How long a finding must last. It is longer than the key lives, since the key may be this process's own, or older than an
 * outage for all, and since not all processes find PostgreSQL again at once.
 */
const SETTLED_MS = 1900;
/** How long the last answer of Redis counts: it may miss a call or two on a busy machine. */
const UNHEARD_MS = 4000;

/** What is wrong with the primary, as the end of a sentence. */
export type Flaw = 'cannot be reached' | 'takes no writes' | 'refuses connections';

/**
 * Checks every second whether the primary can be used, and tells the other processes over Redis if it can. While the
 * primary's name leads to a read-only server, each check opens a new connection and so resolves the name again. Once it leads
 * to a writable server, all older connections are closed.
 */
@Injectable()
export class PrimaryWatch implements OnApplicationBootstrap {
  flaw: Flaw | undefined;
  /** Whether other processes can use it while this one cannot. It changes only when that has lasted for SETTLED_MS. */
  isAlone = false;
  private readonly logger = new Logger(PrimaryWatch.name);
  /** Since when every check has contradicted `isAlone`. */
  private otherwiseSince: number | undefined;
  /** When Redis last said whether others can. */
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
    // A process that was alone reports recovery only once it counts as ready again.
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

  /** A full PostgreSQL refuses all processes alike, so none is alone then. @returns undefined when Redis does not answer */
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
