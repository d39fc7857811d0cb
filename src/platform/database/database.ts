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
  /** Without a name, PostgreSQL plans the statement for each set of values. */
  name?: string;
  text: string;
  /** A read so quick that others may be pipelined behind it: for one request, or for a batch of them. */
  isShort?: 'one' | 'many';
}

/** Injection token of the migrations that this build needs. */
export const MIGRATIONS = Symbol('MIGRATIONS');

/** SQLSTATEs of work that failed only because of concurrent work: serialization failure, deadlock. */
const RETRYABLE = new Set(['40001', '40P01']);
const ATTEMPTS = 3;
/** The shortest pause before a retry, in which other transactions take their locks; the longest is three times it. */
const PAUSE_MS = 20;
/** The SQLSTATE of a statement that has run into its time-out. */
export const QUERY_CANCELED = '57014';

/** Runs transactions, and hot statements without TypeORM's query builder. Both are tried again after a deadlock. */
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

  /** Rows that may be slightly stale: from a read replica, unless it fails or the caller has just written. */
  async replicaRows<Row>(callerId: string | undefined, statement: Statement, values: unknown[]): Promise<Row[]> {
    const server = this.servers.forReading(callerId);
    if (server === this.servers.primary) return this.rows(statement, values);
    try {
      return await read<Row>(server, statement, values);
    } catch (error) {
      // A statement that timed out there would time out on the primary too.
      if (sqlState(error) === QUERY_CANCELED) throw error;
      return this.rows(statement, values);
    }
  }

  /** Runs work in a transaction, and again if PostgreSQL aborts it in favour of another. */
  transaction<T>(work: (manager: EntityManager) => Promise<T>): Promise<T> {
    return persist(() => this.dataSource.transaction(work));
  }

  /**
   * Runs work on a connection of its own, for COPY. A connection in an unknown state is not used again.
   * @param from the pool for requests, where work is retried like a transaction, or the pool for work that lasts as
   *   long as its caller sends
   */
  async client<T>(from: 'pool' | 'streams', work: (client: PoolClient) => Promise<T>): Promise<T> {
    const run = () => withClient(this.servers.primary[from], work);
    return from === 'pool' ? persist(run) : run();
  }

  async hasCurrentSchema(): Promise<boolean> {
    return isMigrated(this.servers.primary.probe, this.migrations);
  }
}

/** Retries work that PostgreSQL has aborted, and so rolled back, in favour of other work. */
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
  // A text of several statements has several results.
  const result = [await withClient(pool, (client) => client.query(query))].flat().at(-1);
  return result?.rows as Row[];
}

/** Used instead of the pool's query(), which ends the connection of every statement that PostgreSQL refuses. */
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
