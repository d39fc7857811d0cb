import type { MigrationInterface, QueryRunner } from 'typeorm';
import { lockingRecords } from './locking-records.js';

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
  const use = `DROP CONSTRAINT records_pkey, ADD CONSTRAINT records_pkey PRIMARY KEY USING INDEX ${index}`;
  await lockingRecords(runner, `ALTER TABLE records ${use}`);
}
