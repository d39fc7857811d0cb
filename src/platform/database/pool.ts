import { Pool, type PoolClient, type PoolConfig } from 'pg';
import type { DataSource } from 'typeorm';
import type { PostgresDriver } from 'typeorm/driver/postgres/PostgresDriver.js';
import type { ClientWithTimeout } from './client-with-timeout.js';
import { sqlState, TOO_MANY_CONNECTIONS } from './database-problem.js';

/** While the process drains, a connection that is idle for this long is closed. */
const DRAINING_IDLE_MS = 100;
/** After a connection could not be opened, the pool waits this long before it tries another. */
const PAUSE_MS = 250;

/** TypeORM's own pool, for what TypeORM does not offer: named statements, COPY and pool metrics. */
export const poolOf = (dataSource: DataSource): WaitingPool => (dataSource.driver as PostgresDriver).master;

type Done = (release?: Error | boolean) => void;
type Taken = (error: Error | undefined, client: PoolClient | undefined, done: Done) => void;

/**
 * A pool whose callers do not fail when opening a connection fails: while other connections exist, or PostgreSQL has no
 * slot left, the caller waits for one to be released, up to DATABASE_ACQUIRE_TIMEOUT_MS.
 */
export class WaitingPool extends Pool {
  /** Called when PostgreSQL refuses a connection and this pool has no other. */
  onStarved: () => void = () => {};
  private readonly most: number;
  /** Open connections. */
  private standing = 0;
  private renewedAt = 0;

  constructor(options: PoolConfig) {
    super(options);
    this.most = this.options.max;
    this.on('connect', () => this.standing++).on('remove', () => this.standing--);
    // The pool removes a client that is ending.
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

  /** Closes every open connection; those in use when they are released. */
  renew(): void {
    this.renewedAt = performance.now();
    for (let count = this.idleCount; count > 0; count--) this.take(giveBack, 0);
  }

  /** From now on closes idle connections. */
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

  /** Goes on for a while with the connections that there are. */
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

/** Releases a client right away. pg-pool passes no release function if there was no connection in time. */
const giveBack: Taken = (_error, _client, done) => (done as Done | undefined)?.();
const throwAway: Taken = (_error, _client, done) => (done as Done | undefined)?.(true);
