import pg from 'pg';
import { until } from './collections.js';
import type { TestDatabase } from './database.js';
import { pause } from './process.js';

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
