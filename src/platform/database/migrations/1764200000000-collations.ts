import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * Makes equality and order of letters independent of the database's default collation. PostgreSQL rebuilds the indexes
 * on these two columns, which takes about a second for a million users.
 */
export class Collations1764200000000 implements MigrationInterface {
  name = 'Collations1764200000000';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      SET LOCAL lock_timeout = '2s';
      ALTER TABLE users ALTER COLUMN email TYPE text COLLATE "C";
      ALTER TABLE collections ALTER COLUMN name TYPE text COLLATE "C";
    `);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`
      ALTER TABLE users ALTER COLUMN email TYPE text COLLATE "default";
      ALTER TABLE collections ALTER COLUMN name TYPE text COLLATE "default";
    `);
  }
}
