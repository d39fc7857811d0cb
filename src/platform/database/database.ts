import { setTimeout as sleep } from 'node:timers/promises';
import { Inject, Injectable } from '@nestjs/common';
import type { Pool, PoolClient } from 'pg';
import { DataSource, type EntityManager } from 'typeorm';
import { isOrderly, sqlState, TOO_MANY_CONNECTIONS } from './database-problem.js';
import type { Migration } from './migrations/index.js';
import { PrimaryAndReplicas, type Server } from './primary-and-replicas.js';
import { isMigrated } from './schema.js';

/** A statement that PostgreSQL prepares once per connection under its name. */
export interface Statement {
  /** Without it, it is planned anew each time, for the values at hand. */
  name?: string;
  text: string;
  /** It reads, and takes so little time that others may wait behind it: for one request, or for a batch of them. */
  isShort?: 'one' | 'many';
}

/** Stands, in Nest's injector, for the migrations that this build needs. */
export const MIGRATIONS = Symbol('MIGRATIONS');

/** SQLSTATEs of work that failed only because of what else was going on: serialization failure, deadlock. */
const RETRYABLE = new Set(['40001', '40P01']);
const ATTEMPTS = 3;
/** Those who were let through must come to take their locks before it is tried again: from so long to three times as long. */
const PAUSE_MS = 20;
const QUERY_CANCELED = '57014';

/** The hot statements, sent past TypeORM's query builder, and transactions; both survive a deadlock. */
@Injectable()
export class Database {
  constructor(
    private readonly dataSource: DataSource,
    private readonly servers: PrimaryAndReplicas,
    @Inject(MIGRATIONS) private readonly migrations: Migration[],
  ) {}

  /** Rows of a statement on the primary. */
  async rows<Row>(statement: Statement, values: unknown[]): Promise<Row[]> {
    return persist(() => read<Row>(this.servers.primary, statement, values));
  }

  /** Rows that may be a little old: from a read replica, unless the caller has just written or it fails. */
  async replicaRows<Row>(callerId: string | undefined, statement: Statement, values: unknown[]): Promise<Row[]> {
    const server = this.servers.forReading(callerId);
    if (server === this.servers.primary) return this.rows(statement, values);
    try {
      return await read<Row>(server, statement, values);
    } catch (error) {
      // What takes too long there would take too long here.
      if (sqlState(error) === QUERY_CANCELED) throw error;
      return this.rows(statement, values);
    }
  }

  /** Runs work in a transaction, again when PostgreSQL broke it off in favour of another one. */
  transaction<T>(work: (manager: EntityManager) => Promise<T>): Promise<T> {
    return persist(() => this.dataSource.transaction(work));
  }

  /**
   * Runs work on a connection of its own, for COPY; one that may be out of step is not used again.
   * @param from the pool for requests, where work is done again as a transaction is, or the one for work that lasts as
   *   long as its caller's sending
   */
  async client<T>(from: 'pool' | 'streams', work: (client: PoolClient) => Promise<T>): Promise<T> {
    const run = () => withClient(this.servers.primary[from], work);
    return from === 'pool' ? persist(run) : run();
  }

  async hasCurrentSchema(): Promise<boolean> {
    return isMigrated(this.servers.primary.probe, this.migrations);
  }
}

/** Does work again that PostgreSQL broke off, and so undid, in favour of another one's. */
async function persist<T>(work: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await work();
    } catch (error) {
      if (attempt === ATTEMPTS || !RETRYABLE.has(sqlState(error) ?? '')) throw error;
      await sleep(PAUSE_MS * (1 + 2 * Math.random()));
    }
  }
}

async function read<Row>({ pool, pipeline }: Server, { isShort, ...statement }: Statement, values: unknown[]) {
  const query = { ...statement, values };
  if (isShort && !pipeline.isPaused) {
    try {
      const { rows } = await pipeline.query(query, isShort === 'many');
      return rows as Row[];
    } catch (error) {
      if (sqlState(error) !== TOO_MANY_CONNECTIONS) throw error;
    }
  }
  const { rows } = await withClient(pool, (client) => client.query(query));
  return rows as Row[];
}

/** The pool's own query() would end the connection of every statement that PostgreSQL refuses. */
async function withClient<T>(pool: Pool, work: (client: PoolClient) => Promise<T>): Promise<T> {
  const client = await pool.connect();
  let failure: Error | undefined;
  try {
    return await work(client);
  } catch (error) {
    if (!isOrderly(error)) failure = error as Error;
    throw error;
  } finally {
    client.release(failure);
  }
}
