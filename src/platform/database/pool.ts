import { Pool, type PoolClient, type PoolConfig } from 'pg';
import type { DataSource } from 'typeorm';
import type { PostgresDriver } from 'typeorm/driver/postgres/PostgresDriver.js';
import type { ClientWithTimeout } from './client-with-timeout.js';
import { sqlState, TOO_MANY_CONNECTIONS } from './database-problem.js';

/** While the process drains, a connection that nobody takes for so long is ended. */
const DRAINING_IDLE_MS = 100;
/** Where no connection could be opened, none is tried again for so long. */
const PAUSE_MS = 250;

/** TypeORM's own pool, for what TypeORM has no word for: named statements, COPY, and its figures. */
export const poolOf = (dataSource: DataSource): WaitingPool => (dataSource.driver as PostgresDriver).master;

type Done = (release?: Error | boolean) => void;
type Taken = (error: Error | undefined, client: PoolClient | undefined, done: Done) => void;

/**
 * A pool in which who comes first to open a connection does not fail with it: where PostgreSQL refuses another one, or others
 * stand, it waits like anybody else for one that is given back, as long as DATABASE_ACQUIRE_TIMEOUT_MS.
 */
export class WaitingPool extends Pool {
  /** Called when PostgreSQL refuses the only connection. */
  onStarved: () => void = () => {};
  private readonly most: number;
  /** Connections that have been opened and not ended. */
  private standing = 0;
  private renewedAt = 0;

  constructor(options: PoolConfig) {
    super(options);
    this.most = this.options.max;
    this.on('connect', () => this.standing++).on('remove', () => this.standing--);
    // The pool removes what is being ended.
    this.on('release', (_error, client) => {
      if ((client as unknown as ClientWithTimeout).openedAt < this.renewedAt) void client.end();
    });
  }

  override connect(): Promise<PoolClient>;
  override connect(callback: Taken): void;
  override connect(callback?: Taken): Promise<PoolClient> | undefined {
    const until = performance.now() + (this.options.connectionTimeoutMillis ?? 0);
    if (callback) return void this.take(callback, until);
    return new Promise((resolve, reject) => {
      this.take((error, client) => (error ? reject(error) : resolve(client as PoolClient)), until);
    });
  }

  /** Has every connection that stands now ended, those in use when they are given back. */
  renew(): void {
    this.renewedAt = performance.now();
    for (let count = this.idleCount; count > 0; count--) this.take(giveBack, 0);
  }

  /** From now on keeps no connection that nobody uses. */
  giveBackIdle(): void {
    this.options.idleTimeoutMillis = DRAINING_IDLE_MS;
    for (let count = this.idleCount; count > 0; count--) this.take(throwAway, 0);
  }

  private take(callback: Taken, until: number): void {
    super.connect((error, client, done) => {
      if (!error || performance.now() > until || !this.isWorthWaiting(error)) return callback(error, client, done);
      this.waitForOthers();
      this.take(callback, until);
    });
  }

  private isWorthWaiting(error: Error): boolean {
    return !this.ending && (this.standing > 0 || sqlState(error) === TOO_MANY_CONNECTIONS);
  }

  /** For a while with the connections that there are. */
  private waitForOthers(): void {
    if (this.standing === 0) this.onStarved();
    const isPaused = this.options.max < this.most;
    this.options.max = Math.min(this.standing, this.most - 1);
    if (isPaused) return;
    setTimeout(() => {
      this.options.max = this.most;
      if (this.waitingCount > 0) this.take(giveBack, 0);
    }, PAUSE_MS).unref();
  }
}

/** What was only looked for. pg-pool gives nothing to be called where it had no connection in time. */
const giveBack: Taken = (_error, _client, done) => (done as Done | undefined)?.();
const throwAway: Taken = (_error, _client, done) => (done as Done | undefined)?.(true);
