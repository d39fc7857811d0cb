import { Inject, Injectable, Logger, type OnApplicationBootstrap, type OnApplicationShutdown } from '@nestjs/common';
import { LRUCache } from 'lru-cache';
import type { ClientBase, PoolConfig } from 'pg';
import { DataSource } from 'typeorm';
import { entries } from '../bounds.js';
import { Invalidations } from '../cache/invalidations.js';
import { CONFIG, type Config } from '../config.token.js';
import { Background } from '../lifecycle/background.js';
import { showInUse } from '../metrics/in-use.js';
import { READ_ONLY_SERVER } from './client-with-timeout.js';
import { frugalSocket } from './copy-lines.js';
import { Pipeline } from './pipeline.js';
import { poolOf, WaitingPool } from './pool.js';
import { remarkOnMode, urlForPg } from './url.js';

/** How often servers are checked, and how long one may take to answer. */
const CHECK_INTERVAL_MS = 1000;
const CHECK_TIMEOUT_MS = 1500;
/** Prefix of messages that tell other processes who has written here. */
const WRITER = 'writer:';
const WRITERS_REMEMBERED = 50_000;
/** Extra time after a writer's own, for answers that were cached before its end. */
const WRITERS_REMEMBERED_MS = 60_000;
/** How soon PostgreSQL stops a statement after the stream's connection was lost. */
export const ABANDONED_AFTER_MS = 100;
/** True for a server in recovery or set to read-only. */
export const TAKES_NO_WRITES = `SELECT current_setting('transaction_read_only')::boolean AS is`;

/** A PostgreSQL server, with one pool for requests and one for work at the caller's pace (exports, atomic uploads). */
export interface Server {
  host: string;
  pool: WaitingPool;
  /** For short reads. */
  pipeline: Pipeline;
  streams: WaitingPool;
  /** A connection for checks: a fully used pool must not make its server look dead. */
  probe: WaitingPool;
  isFit: boolean;
}

/** A caller who has written: until when to read from the primary, and whether other processes know. */
interface Writer {
  until: number;
  isTold: boolean;
}

/**
 * The primary and its read replicas (DATABASE_REPLICA_URLS). A replica is used while it answers and lags by no more
 * than DATABASE_REPLICA_MAX_LAG_MS, which is checked every second. A caller who has just written, through any process,
 * reads from the primary for twice that time.
 */
@Injectable()
export class PrimaryAndReplicas implements OnApplicationBootstrap, OnApplicationShutdown {
  readonly primary: Server;
  /** Whether a connection was seen to lead to a read-only server since the last `renew`. */
  leadToReadOnly = false;
  private readonly logger = new Logger(PrimaryAndReplicas.name);
  private readonly replicas: Server[];
  private readonly writers: LRUCache<string, Writer>;
  /** The primary's positions, oldest first, for as long as the allowed lag: [time in ms, WAL position]. */
  private positions: [at: number, position: number][] = [];
  /** All pools but the primary's, which TypeORM ends. */
  private readonly own: { end(): Promise<void> }[] = [];
  private readonly writerMs: number;
  private turn = 0;
  private suspectedUntil = 0;

  constructor(
    dataSource: DataSource,
    private readonly background: Background,
    private readonly others: Invalidations,
    @Inject(CONFIG) private readonly config: Config,
  ) {
    for (const url of [config.DATABASE_URL as string, ...(config.DATABASE_REPLICA_URLS ?? [])]) {
      const remark = remarkOnMode(url);
      if (remark) this.logger.warn(remark);
    }
    const pool = quiet(poolOf(dataSource));
    const look = { onConnect: (client: ClientBase) => this.look(client) };
    this.primary = this.serverAt('primary', Object.assign(pool.options, look), pool);
    this.replicas = (config.DATABASE_REPLICA_URLS ?? []).map((url) =>
      this.serverAt(new URL(url).host, { ...pool.options, connectionString: urlForPg(url), onConnect: ignore }),
    );
    this.writerMs = 2 * config.DATABASE_REPLICA_MAX_LAG_MS;
    this.writers = new LRUCache({ ...entries(WRITERS_REMEMBERED), ttl: this.writerMs + WRITERS_REMEMBERED_MS });
    others.listen({
      drop: (names) => {
        for (const name of names) if (name.startsWith(WRITER)) this.noteWriter(name.slice(WRITER.length), true);
      },
      // Messages were lost, so anybody may have written through another process.
      dropAll: () => {
        this.suspectedUntil = performance.now() + this.writerMs;
      },
    });
  }

  async onApplicationBootstrap(): Promise<void> {
    for (const { pipeline } of [this.primary, ...this.replicas]) void pipeline.open();
    if (this.replicas.length === 0) return;
    // Often enough to leave out a lagging replica before a caller who has written reads from it again.
    const interval = Math.min(CHECK_INTERVAL_MS, this.config.DATABASE_REPLICA_MAX_LAG_MS / 4);
    await this.note();
    this.background.every(interval, 'check of the primary', () => this.note());
    for (const replica of this.replicas)
      this.background.every(interval, `check of the replica at ${replica.host}`, () => this.check(replica));
  }

  /** The server to read a list, an export or statistics from: the fit replicas in turn, or the primary. */
  forReading(callerId: string | undefined): Server {
    if (this.hasWritten(callerId)) return this.primary;
    const fit = this.replicas.filter(({ isFit }) => isFit);
    return fit[this.turn++ % fit.length] ?? this.primary;
  }

  /** Whether a caller has written so recently that a stale read could miss it. */
  hasWritten(callerId: string | undefined): boolean {
    if (callerId === undefined) return false;
    return performance.now() < Math.max(this.writerUntil(callerId), this.suspectedUntil) || !this.others.areHeard();
  }

  /** Until when a caller who has written reads from the primary (performance.now()); 0 for others. */
  writerUntil(callerId: string | undefined): number {
    return (callerId !== undefined && this.writers.get(callerId)?.until) || 0;
  }

  /** How stale a read can be for a caller who has not written. */
  get mostBehindMs(): number {
    return this.replicas.length > 0 ? this.config.DATABASE_REPLICA_MAX_LAG_MS + CHECK_INTERVAL_MS : 0;
  }

  /** Must be called after a caller's write. Without replicas, others need not know before a read depends on it. */
  wrote(callerId: string): void {
    this.noteWriter(callerId, false);
    if (this.replicas.length > 0) this.tellOf(callerId);
  }

  /** Reopens every connection to the primary, with a new DNS lookup, and drops what was cached from the old ones. */
  renew(): void {
    this.logger.warn('Connections led to a read-only PostgreSQL server: all are reopened.');
    this.leadToReadOnly = false;
    for (const part of [this.primary.pool, this.primary.streams, this.primary.pipeline]) part.renew();
    this.others.dropAll();
  }

  /** Leaves to other processes, while this one drains, what it does not use. */
  giveBackIdle(): void {
    for (const { pool, streams } of [this.primary, ...this.replicas]) {
      pool.giveBackIdle();
      streams.giveBackIdle();
    }
  }

  /** Tells other processes to give a caller who has written here nothing older than that. */
  tellOf(callerId: string | undefined): void {
    const writer = callerId === undefined ? undefined : this.writers.get(callerId);
    if (!writer || writer.isTold) return;
    writer.isTold = true;
    this.others.tell([WRITER + callerId]);
  }

  private noteWriter(callerId: string, isTold: boolean): void {
    this.writers.set(callerId, { until: performance.now() + this.writerMs, isTold });
  }

  async onApplicationShutdown(): Promise<void> {
    await Promise.all(this.own.map((pool) => pool.end()));
  }

  /** Checks whether a new connection to the primary leads to a read-only server. */
  private async look(client: ClientBase): Promise<void> {
    const sawReadOnly = () => {
      this.leadToReadOnly = true;
    };
    client.once(READ_ONLY_SERVER, sawReadOnly);
    const { rows } = await client.query(TAKES_NO_WRITES);
    if (rows[0].is) sawReadOnly();
    // Before a write on this connection, which the connections to the old server could not read.
    else if (this.leadToReadOnly) this.renew();
  }

  /** Records the primary's WAL position. While it cannot be reached, replicas are judged by the last positions. */
  private async note(): Promise<void> {
    const now = Date.now();
    const position = await positionOf(this.primary, 'pg_current_wal_lsn()').catch(() => undefined);
    if (position !== undefined) this.positions.push([now, position]);
    const oldest = now - this.config.DATABASE_REPLICA_MAX_LAG_MS;
    while (this.positions.length > 1 && (this.positions[1]?.[0] ?? now) <= oldest) this.positions.shift();
  }

  private async check(replica: Server): Promise<void> {
    const flaw = await positionOf(replica, 'coalesce(pg_last_wal_replay_lsn(), pg_current_wal_lsn())').then(
      (position) => (position < (this.positions[0]?.[1] ?? 0) ? 'it is too far behind' : undefined),
      (error: Error) => error.message,
    );
    if (flaw !== undefined && replica.isFit) this.logger.warn(`The replica at ${replica.host} is left out: ${flaw}`);
    if (flaw === undefined && !replica.isFit) this.logger.log(`The replica at ${replica.host} is used.`);
    replica.isFit = flaw === undefined;
  }

  private serverAt(host: string, options: PoolConfig, pool = this.open(options)): Server {
    const probe = { ...options, max: 1, connectionTimeoutMillis: CHECK_TIMEOUT_MS, query_timeout: CHECK_TIMEOUT_MS };
    // No statement time-out: an export takes as long as its reader, an atomic upload as long as its sender.
    const streams = this.open({
      ...options,
      max: this.config.STREAM_CONCURRENCY,
      stream: frugalSocket,
      statement_timeout: 0,
      idle_in_transaction_session_timeout: this.config.REQUEST_TIMEOUT_MS,
    });
    // Some operating systems do not support this; there PostgreSQL notices when it next sends something.
    const check = `SET client_connection_check_interval = ${ABANDONED_AFTER_MS}`;
    streams.on('connect', (client) => void client.query(check).catch(ignore));
    const pipeline = new Pipeline(options);
    this.own.push(pipeline);
    const server = { host, pool, pipeline, streams, probe: this.open(probe), isFit: false };
    for (const starved of [pool, streams, server.probe]) starved.onStarved = () => pipeline.pause();
    return server;
  }

  private open(options: PoolConfig): WaitingPool {
    const pool = quiet(new WaitingPool(options));
    this.own.push(pool);
    showInUse('other_connections', () => pool.totalCount - pool.idleCount + pool.waitingCount);
    return pool;
  }
}

/** Users of a connection report its loss themselves; without a listener the pool's event would end the process. */
const quiet = (pool: WaitingPool): WaitingPool => pool.on('error', ignore);

function ignore(): void {}

async function positionOf({ probe }: Server, expression: string): Promise<number> {
  const { rows } = await probe.query(`SELECT pg_wal_lsn_diff(${expression}, '0/0')::bigint AS position`);
  return Number(rows[0].position);
}
