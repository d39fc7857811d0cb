import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Lets the rows of Idempotency-Keys be removed after their user or collection was deleted. */
export class KeyRemovals1764300000000 implements MigrationInterface {
  name = 'KeyRemovals1764300000000';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      ALTER TABLE idempotency_keys ADD COLUMN collection_id uuid;
      CREATE INDEX idempotency_keys_collection ON idempotency_keys (collection_id);
      -- removals.collection_id may from now on be a user's id, too.
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
