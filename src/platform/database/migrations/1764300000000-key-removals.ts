import type { MigrationInterface, QueryRunner } from 'typeorm';

/** What is kept under Idempotency-Keys goes behind its caller, or the collection that it is of. */
export class KeyRemovals1764300000000 implements MigrationInterface {
  name = 'KeyRemovals1764300000000';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      ALTER TABLE idempotency_keys ADD COLUMN collection_id uuid;
      CREATE INDEX idempotency_keys_collection ON idempotency_keys (collection_id);
      -- The id in removals, of a collection so far, may be a user's too.
      CREATE TRIGGER users_removed AFTER DELETE ON users
        FOR EACH ROW EXECUTE FUNCTION remember_removal();
    `);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`
      DROP TRIGGER users_removed ON users;
      ALTER TABLE idempotency_keys DROP COLUMN collection_id;
    `);
  }
}
