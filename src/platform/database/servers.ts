import { Inject, Injectable, Logger, type OnApplicationBootstrap, type OnApplicationShutdown } from '@nestjs/common';
import { LRUCache } from 'lru-cache';
import { Pool, type PoolConfig } from 'pg';
import { DataSource } from 'typeorm';
import type { Config } from '../../config.js';
import { CONFIG } from '../config.token.js';
import { Background } from '../lifecycle/background.js';
import { poolOf } from './pool.js';

const CHECK_INTERVAL_MS = 1000;
const WRITERS_REMEMBERED = 50_000;
/** How soon PostgreSQL breaks off what it does on a stream's connection that is gone. */
export const ABANDONED_AFTER_MS = 100;

/** One PostgreSQL, with a pool for requests and one for what takes as long as its caller does (exports, atomic uploads). */
export interface Server {
  host: string;
  pool: Pool;
  streams: Pool;
  isFit: boolean;
}

/**
 * The primary and its read replicas (DATABASE_REPLICA_URLS). A replica is used while it answers and is no further behind
 * than DATABASE_REPLICA_MAX_LAG_MS; checked every second. Who has just written reads from the primary for twice that time.
 */
@Injectable()
export class Servers implements OnApplicationBootstrap, OnApplicationShutdown {
  readonly primary: Server;
  /** A connection apart: a pool that is all in use must not make every process look dead at once. */
  readonly probe: Pool;
  private readonly logger = new Logger(Servers.name);
  private readonly replicas: Server[];
  private readonly writers: LRUCache<string, true>;
  /** Where the primary was, oldest first, back to the lag that is allowed: [time in ms, WAL position]. */
  private positions: [at: number, position: number][] = [];
  private turn = 0;

  constructor(
    dataSource: DataSource,
    private readonly background: Background,
    @Inject(CONFIG) private readonly config: Config,
  ) {
    const pool = poolOf(dataSource);
    quiet(pool);
    this.probe = quiet(new Pool({ ...pool.options, max: 1 }));
    this.primary = { host: 'primary', pool, streams: this.streamsFor(pool.options), isFit: true };
    this.replicas = (config.DATABASE_REPLICA_URLS ?? []).map((connectionString) => {
      const options = { ...pool.options, connectionString };
      const { host } = new URL(connectionString);
      return { host, pool: quiet(new Pool(options)), streams: this.streamsFor(options), isFit: false };
    });
    this.writers = new LRUCache({ max: WRITERS_REMEMBERED, ttl: 2 * config.DATABASE_REPLICA_MAX_LAG_MS });
  }

  async onApplicationBootstrap(): Promise<void> {
    if (this.replicas.length === 0) return;
    await this.check();
    this.background.every(CHECK_INTERVAL_MS, 'check of the read replicas', () => this.check());
  }

  /** Where to read a list, an export or figures for a caller: the fit replicas in turn, or the primary. */
  forReading(callerId: string | undefined): Server {
    if (callerId !== undefined && this.writers.has(callerId)) return this.primary;
    const fit = this.replicas.filter(({ isFit }) => isFit);
    return fit[this.turn++ % fit.length] ?? this.primary;
  }

  /** To be called when a caller's write is done. */
  wrote(callerId: string): void {
    if (this.replicas.length > 0) this.writers.set(callerId, true);
  }

  /** Leaves a replica out until a check finds it fit again. */
  leaveOut(server: Server, why: string): void {
    if (server.isFit) this.logger.warn(`The replica at ${server.host} is left out: ${why}`);
    server.isFit = false;
  }

  async onApplicationShutdown(): Promise<void> {
    const pools = [this.probe, this.primary.streams, ...this.replicas.flatMap(({ pool, streams }) => [pool, streams])];
    await Promise.all(pools.map((pool) => pool.end()));
  }

  private async check(): Promise<void> {
    const now = Date.now();
    const position = await positionOf(this.probe, 'pg_current_wal_lsn()').catch(() => undefined);
    // Without the primary, what a replica has is the best there is.
    if (position !== undefined) this.positions.push([now, position]);
    const oldest = now - this.config.DATABASE_REPLICA_MAX_LAG_MS;
    while (this.positions.length > 1 && (this.positions[1]?.[0] ?? now) <= oldest) this.positions.shift();
    const needed = this.positions[0]?.[1] ?? 0;
    await Promise.all(this.replicas.map((replica) => this.checkReplica(replica, needed)));
  }

  private async checkReplica(replica: Server, needed: number): Promise<void> {
    try {
      const position = await positionOf(replica.pool, 'coalesce(pg_last_wal_replay_lsn(), pg_current_wal_lsn())');
      if (position < needed) return this.leaveOut(replica, 'it is too far behind');
      if (!replica.isFit) this.logger.log(`The replica at ${replica.host} is used.`);
      replica.isFit = true;
    } catch (error) {
      this.leaveOut(replica, (error as Error).message);
    }
  }

  /** No time-out but the socket's: an export takes as long as its reader, an atomic upload as long as its writer. */
  private streamsFor(options: PoolConfig): Pool {
    const { REQUEST_TIMEOUT_MS, STREAM_CONCURRENCY } = this.config;
    const pool = new Pool({
      ...options,
      max: STREAM_CONCURRENCY,
      statement_timeout: 0,
      query_timeout: 0,
      idle_in_transaction_session_timeout: REQUEST_TIMEOUT_MS,
    });
    // Not every system that PostgreSQL runs on can do it; there it notices when it next sends something.
    const check = `SET client_connection_check_interval = ${ABANDONED_AFTER_MS}`;
    return quiet(pool.on('connect', (client) => void client.query(check).catch(ignore)));
  }
}

/** A lost connection says so by its query that fails; without a listener its event would end the process. */
function quiet(pool: Pool): Pool {
  pool.on('error', ignore);
  pool.on('connect', (client) => client.on('error', ignore));
  return pool;
}

function ignore(): void {}

async function positionOf(pool: Pool, expression: string): Promise<number> {
  const { rows } = await pool.query(`SELECT pg_wal_lsn_diff(${expression}, '0/0')::float8 AS position`);
  return rows[0].position;
}
