import pg from 'pg';
import { until } from './answers.js';
import type { TestDatabase } from './database.js';
import { pause } from './process.js';

/**
 * A transaction of the test's own that is committed once so many statements wait for its locks: what it has done comes
 * between what the app saw before and what it does under its lock.
 */
export async function beforeCommit<T>(
  database: TestDatabase,
  statements: [text: string, values: unknown[]][],
  waiting: number,
  work: () => Promise<T>,
): Promise<T> {
  const holder = new pg.Client({ connectionString: database.url });
  await holder.connect();
  try {
    await holder.query('BEGIN');
    for (const [text, values] of statements) await holder.query(text, values);
    const result = work();
    const held = `SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`;
    await until(async () => (await database.query(held)).length === waiting);
    await holder.query('COMMIT');
    return await result;
  } finally {
    await holder.end();
  }
}

/**
 * Nobody can read these tables while the work is begun, and for so long, in ms, after a first statement waits for them.
 * @param look what is seen just before they are free again
 */
export async function whileLocked<T, Seen>(
  database: TestDatabase,
  tables: string,
  forMs: number,
  work: () => Promise<T>,
  look?: () => Promise<Seen>,
): Promise<[T, Seen | undefined]> {
  const holder = new pg.Client({ connectionString: database.url });
  await holder.connect();
  try {
    await holder.query('BEGIN');
    await holder.query(`LOCK TABLE ${tables} IN ACCESS EXCLUSIVE MODE`);
    const result = work();
    await until(async () => (await database.query('SELECT FROM pg_locks WHERE NOT granted')).length > 0);
    await pause(forMs);
    const seen = await look?.();
    await holder.query('COMMIT');
    return [await result, seen];
  } finally {
    await holder.end();
  }
}
