import pg from 'pg';
import { until } from './answers.js';
import type { TestDatabase } from './database.js';
import { pause } from './process.js';

/**
 * A transaction of the test that is committed once this many statements wait for its locks: its effect comes
 * between the app's reads and its work under the lock.
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
 * Locks these tables while the work begins, and for this time in ms after the first statement waits for them.
 * @param look runs just before they are unlocked
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
