import { getConstructionPlans } from 'pg-boss';
import type { MigrationInterface, QueryRunner } from 'typeorm';

/** The schema of pg-boss, in which jobs wait. */
export class Jobs1764750000000 implements MigrationInterface {
  name = 'Jobs1764750000000';
  /** pg-boss's statements are a transaction of their own. */
  transaction = false;

  async up(runner: QueryRunner): Promise<void> {
    const [{ isThere }] = await runner.query(`SELECT to_regclass('pgboss.version') IS NOT NULL AS "isThere"`);
    // It is there already if an earlier run was cut off before it was recorded.
    if (!isThere) await runner.query(getConstructionPlans('pgboss'));
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP SCHEMA pgboss CASCADE');
  }
}
