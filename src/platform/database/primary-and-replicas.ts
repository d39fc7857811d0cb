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

/** How often servers are looked at, and how long one may take to answer. */
const CHECK_INTERVAL_MS = 1000;
const CHECK_TIMEOUT_MS = 1500;
/** How other processes are told who has written here. */
const WRITER = 'writer:';
const WRITERS_REMEMBERED = 50_000;
/** Behind that time, for what was kept before its end. */
const WRITERS_REMEMBERED_MS = 60_000;
/** How soon PostgreSQL breaks off what it does on a stream's connection that is gone. */
export const ABANDONED_AFTER_MS = 100;
/** In recovery, or told to be so. */
export const TAKES_NO_WRITES = `SELECT current_setting('transaction_read_only')::boolean AS is`;

/** One PostgreSQL, with a pool for requests and one for what takes as long as its caller does (exports, atomic uploads). */
export interface Server {
  host: string;
  pool: WaitingPool;
  /** For short reads. */
  pipeline: Pipeline;
  streams: WaitingPool;
  /** A connection apart: a pool that is all in use must not make its server look dead. */
  probe: WaitingPool;
  isFit: boolean;
}

/** Who has written: until when all is read from the primary, and whether other processes know. */
interface Writer {
  until: number;
  isTold: boolean;
}

/**
 * The primary and its read replicas (DATABASE_REPLICA_URLS). A replica is used while it answers and is no further behind
 * than DATABASE_REPLICA_MAX_LAG_MS; checked every second. Who has just written, on any process, reads from the primary for
 * twice that time.
 */
@Injectable()
export class PrimaryAndReplicas implements OnApplicationBootstrap, OnApplicationShutdown {
  readonly primary: Server;
  /** Whether a connection was seen to lead to a server that takes no writes, since `renew` was called last. */
  leadToReadOnly = false;
  private readonly logger = new Logger(PrimaryAndReplicas.name);
  private readonly replicas: Server[];
  private readonly writers: LRUCache<string, Writer>;
  /** Where the primary was, oldest first, back to the lag that is allowed: [time in ms, WAL position]. */
  private positions: [at: number, position: number][] = [];
  /** All but the primary's pool, which is TypeORM's to end. */
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
      // Messages were lost: anybody may have written on another process.
      dropAll: () => {
        this.suspectedUntil = performance.now() + this.writerMs;
      },
    });
  }

  async onApplicationBootstrap(): Promise<void> {
    for (const { pipeline } of [this.primary, ...this.replicas]) void pipeline.open();
    if (this.replicas.length === 0) return;
    // Often enough that a replica is left out before who has written reads from it again.
    const interval = Math.min(CHECK_INTERVAL_MS, this.config.DATABASE_REPLICA_MAX_LAG_MS / 4);
    await this.note();
    this.background.every(interval, 'look at the primary', () => this.note());
    for (const replica of this.replicas)
      this.background.every(interval, `check of the replica at ${replica.host}`, () => this.check(replica));
  }

  /** Where to read a list, an export or figures for a caller: the fit replicas in turn, or the primary. */
  forReading(callerId: string | undefined): Server {
    if (this.hasWritten(callerId)) return this.primary;
    const fit = this.replicas.filter(({ isFit }) => isFit);
    return fit[this.turn++ % fit.length] ?? this.primary;
  }

  /** Whether a caller may miss own work in anything that is a little old. */
  hasWritten(callerId: string | undefined): boolean {
    if (callerId === undefined) return false;
    return performance.now() < Math.max(this.writerUntil(callerId), this.suspectedUntil) || !this.others.areHeard;
  }

  /** Until when a caller who has written has read from the primary (performance.now()); 0 for any other. */
  writerUntil(callerId: string | undefined): number {
    return (callerId !== undefined && this.writers.get(callerId)?.until) || 0;
  }

  /** By how much what is read here for who has not written may be behind. */
  get mostBehindMs(): number {
    return this.replicas.length > 0 ? this.config.DATABASE_REPLICA_MAX_LAG_MS + CHECK_INTERVAL_MS : 0;
  }

  /** To be called when a caller's write is done. Without replicas, others need not know before something was seen of it. */
  wrote(callerId: string): void {
    this.noteWriter(callerId, false);
    if (this.replicas.length > 0) this.tellOf(callerId);
  }

  /** Has every connection to the primary made anew, for which its name is looked up again, and what was read on them forgotten. */
  renew(): void {
    this.logger.warn('Connections led to a PostgreSQL that takes no writes: all are made anew.');
    this.leadToReadOnly = false;
    for (const part of [this.primary.pool, this.primary.streams, this.primary.pipeline]) part.renew();
    this.others.dropAll();
  }

  /** Has other processes give a caller who has written here nothing that is older. */
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

  /** Where a new connection to the primary really leads. */
  private async look(client: ClientBase): Promise<void> {
    const sawReadOnly = () => {
      this.leadToReadOnly = true;
    };
    client.once(READ_ONLY_SERVER, sawReadOnly);
    const { rows } = await client.query(TAKES_NO_WRITES);
    if (rows[0].is) sawReadOnly();
    // Before anything is written here that could not be read elsewhere.
    else if (this.leadToReadOnly) this.renew();
  }

  /** Notes where the primary is. While it is gone, what replicas have is the best there is. */
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
    // An export takes as long as its reader, an atomic upload as long as its writer.
    const streams = this.open({
      ...options,
      max: this.config.STREAM_CONCURRENCY,
      stream: frugalSocket,
      statement_timeout: 0,
      idle_in_transaction_session_timeout: this.config.REQUEST_TIMEOUT_MS,
    });
    // Not every system that PostgreSQL runs on can do it; there it notices when it next sends something.
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

/** That a connection was lost is told by whoever uses it; without a listener a pool's event would end the process. */
const quiet = (pool: WaitingPool): WaitingPool => pool.on('error', ignore);

function ignore(): void {}

async function positionOf({ probe }: Server, expression: string): Promise<number> {
  const { rows } = await probe.query(`SELECT pg_wal_lsn_diff(${expression}, '0/0')::bigint AS position`);
  return Number(rows[0].position);
}
