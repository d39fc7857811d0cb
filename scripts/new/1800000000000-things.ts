import type { MigrationInterface, QueryRunner } from 'typeorm';

export class Things1800000000000 implements MigrationInterface {
  name = 'Things1800000000000';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      CREATE TABLE things (
        id         uuid PRIMARY KEY DEFAULT uuidv7(),
        owner_id   uuid NOT NULL REFERENCES users ON DELETE CASCADE,
        name       text NOT NULL,
        note       text,
        version    integer NOT NULL DEFAULT 1,
        created_at timestamptz(3) NOT NULL DEFAULT now(),
        updated_at timestamptz(3) NOT NULL DEFAULT now()
      );
      -- A list's index: what it is narrowed to, what it is sorted by, and the id.
      CREATE INDEX things_of_owner_by_time ON things (owner_id, created_at, id);
      CREATE INDEX things_by_time ON things (created_at, id);
    `);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP TABLE things');
  }
}
