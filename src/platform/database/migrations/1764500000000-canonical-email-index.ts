import type { MigrationInterface, QueryRunner } from 'typeorm';

/** How many rows are locked at a time. */
const BATCH = 1000;
const FIRST_ID = '00000000-0000-0000-0000-000000000000';

/** Blocks no sign-in and no registration. After an interruption it can be run again. */
export class CanonicalEmailIndex1764500000000 implements MigrationInterface {
  name = 'CanonicalEmailIndex1764500000000';
  transaction = false;

  async up(runner: QueryRunner): Promise<void> {
    for (let after = FIRST_ID; ; ) {
      const ids = await runner.query('SELECT id FROM users WHERE id > $1 ORDER BY id LIMIT $2', [after, BATCH]);
      if (ids.length === 0) break;
      const last = ids.at(-1).id;
      await runner.query(
        `UPDATE users SET canonical_email = lower(email COLLATE "C")
         WHERE id > $1 AND id <= $2 AND canonical_email IS NULL`,
        [after, last],
      );
      after = last;
    }
    await runner.query('ALTER TABLE users VALIDATE CONSTRAINT users_canonical_email_there');
    // An interrupted build leaves an invalid index. users_email stays while the previous release may still run.
    await runner.query('DROP INDEX CONCURRENTLY IF EXISTS users_canonical_email');
    await runner.query('CREATE UNIQUE INDEX CONCURRENTLY users_canonical_email ON users (canonical_email)');
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP INDEX users_canonical_email');
  }
}
