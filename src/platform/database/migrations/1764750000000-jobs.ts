import { getConstructionPlans } from 'pg-boss';
import type { MigrationInterface, QueryRunner } from 'typeorm';
import { StartError } from '../../start-error.js';

/** The schema of pg-boss, in which jobs wait. */
export class Jobs1764750000000 implements MigrationInterface {
  name = 'Jobs1764750000000';
  /** pg-boss's statements are a transaction of their own. */
  transaction = false;

  async up(runner: QueryRunner): Promise<void> {
    const [{ schema, tables }] = await runner.query(
      `SELECT to_regnamespace('pgboss') AS schema, to_regclass('pgboss.version') AS tables`,
    );
    // They are there already if an earlier run was cut off before it was recorded.
    if (tables !== null) return;
    // Made before by an owner of the database, it needs no right to create one.
    const [{ may, role, name }] = await runner.query(
      `SELECT has_database_privilege(current_database(), 'CREATE') AS may, current_user AS role, current_database() AS name`,
    );
    if (schema === null && !may)
      throw new StartError(
        `The role ${role} may not make the schema pgboss, and nothing was changed. Run this as an owner of the database, and start again: CREATE SCHEMA pgboss AUTHORIZATION "${role}", or GRANT CREATE ON DATABASE "${name}" TO "${role}".`,
      );
    if (schema === null) await runner.query('CREATE SCHEMA pgboss');
    await runner.query(getConstructionPlans('pgboss', { createSchema: false }));
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP SCHEMA pgboss CASCADE');
  }
}
