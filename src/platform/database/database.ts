import { Injectable, type OnApplicationShutdown } from '@nestjs/common';
import { Pool, type PoolClient } from 'pg';
import { DataSource, type EntityManager } from 'typeorm';
import { sqlState } from './database-problem.js';
import { SCHEMA_VERSION } from './migrations/index.js';
import { poolOf } from './pool.js';
import { schemaVersion } from './schema.js';

/** A statement that PostgreSQL prepares once per connection under its name. */
export interface Statement {
  /** Without it, it is planned anew each time, for the values at hand. */
  name?: string;
  text: string;
}

/** SQLSTATEs of work that failed only because of what else was going on: serialization failure, deadlock. */
const RETRYABLE = new Set(['40001', '40P01']);
const ATTEMPTS = 3;

/** The hot statements, sent past TypeORM's query builder, and transactions that survive a deadlock. */
@Injectable()
export class Database implements OnApplicationShutdown {
  /** A connection apart: a pool that is all in use must not make every replica look dead at once. */
  private readonly probe: Pool;

  constructor(private readonly dataSource: DataSource) {
    this.probe = new Pool({ ...poolOf(dataSource).options, max: 1 });
    this.probe.on('error', ignore);
    // A connection may be lost between being lent and being listened to; its query fails too and tells.
    for (const pool of [poolOf(dataSource), this.probe])
      pool.on('connect', (client) => client.on('error', ignore));
  }

  async rows<Row>({ name, text }: Statement, values: unknown[]): Promise<Row[]> {
    const result = await poolOf(this.dataSource).query({ ...(name ? { name } : {}), text, values });
    return result.rows;
  }

  /** Runs work in a transaction, again when PostgreSQL broke it off in favour of another one. */
  async transaction<T>(work: (manager: EntityManager) => Promise<T>): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.dataSource.transaction(work);
      } catch (error) {
        if (attempt === ATTEMPTS || !RETRYABLE.has(sqlState(error) ?? '')) throw error;
      }
    }
  }

  /** Lends a connection for COPY; one on which something failed is not used again. */
  async client<T>(work: (client: PoolClient) => Promise<T>): Promise<T> {
    const client = await poolOf(this.dataSource).connect();
    // The pool's first connection is older than this class.
    client.on('error', ignore);
    let failure: Error | undefined;
    try {
      return await work(client);
    } catch (error) {
      failure = error as Error;
      throw error;
    } finally {
      client.off('error', ignore);
      client.release(failure);
    }
  }

  /** Fails when PostgreSQL does not answer. */
  async ping(): Promise<void> {
    await this.probe.query('SELECT 1');
  }

  async hasCurrentSchema(): Promise<boolean> {
    return (await schemaVersion(this.probe)) >= SCHEMA_VERSION;
  }

  async onApplicationShutdown(): Promise<void> {
    await this.probe.end();
  }
}

function ignore(): void {}
