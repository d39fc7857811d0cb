import { setTimeout as sleep } from 'node:timers/promises';
import type { MigrationInterface, QueryRunner } from 'typeorm';
import { StartError } from '../../start-error.js';
import { LOCK_NOT_AVAILABLE, sqlState } from '../database-problem.js';

/** Longer than deadlock_timeout (1 s), after which an autovacuum gives way; shorter than what a request waits (2 s). */
const LOCK_MS = 1500;
/** In between, those who have waited behind it are served. */
const PAUSE_MS = 4500;
const ATTEMPTS = 20;

/**
 * Adds the collection to the primary key of records, as a split by collection needs it. The id stays first: reads by id,
 * also of older releases, use it as before, and new rows stay together at its end. After an interruption it can be run
 * again.
 */
export class RecordKey1764900000000 implements MigrationInterface {
  name = 'RecordKey1764900000000';
  transaction = false;

  async up(runner: QueryRunner): Promise<void> {
    await replaceKey(runner, 'records_id_collection', '(id, collection_id)');
  }

  async down(runner: QueryRunner): Promise<void> {
    await replaceKey(runner, 'records_id', '(id)');
  }
}

/** @throws StartError when others do not let go of the table */
async function replaceKey(runner: QueryRunner, index: string, columns: string): Promise<void> {
  const [{ key }] = await runner.query(
    `SELECT pg_get_constraintdef(oid) AS key FROM pg_constraint WHERE conrelid = 'records'::regclass AND contype = 'p'`,
  );
  if (key === `PRIMARY KEY ${columns}`) return;
  const built = await runner.query('SELECT indisvalid AS is FROM pg_index WHERE indexrelid = to_regclass($1)', [index]);
  // An interrupted build leaves an invalid index.
  if (!built[0]?.is) {
    await runner.query(`DROP INDEX CONCURRENTLY IF EXISTS ${index}`);
    await runner.query(`CREATE UNIQUE INDEX CONCURRENTLY ${index} ON records ${columns}`);
  }
  for (let attempt = 1; ; attempt++) {
    try {
      // As one message, these are one transaction.
      return await runner.query(`
        SET LOCAL lock_timeout = ${LOCK_MS};
        ALTER TABLE records DROP CONSTRAINT records_pkey, ADD CONSTRAINT records_pkey PRIMARY KEY USING INDEX ${index}`);
    } catch (error) {
      if (sqlState(error) !== LOCK_NOT_AVAILABLE) throw error;
      if (attempt === ATTEMPTS)
        throw new StartError(
          'The table records was in use all the time, by a long export, transaction or VACUUM: migrate again after it. The new index is kept.',
        );
      await sleep(PAUSE_MS);
    }
  }
}
