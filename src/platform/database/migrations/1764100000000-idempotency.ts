import type { MigrationInterface, QueryRunner } from 'typeorm';

export class Idempotency1764100000000 implements MigrationInterface {
  name = 'Idempotency1764100000000';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      -- What became of a request with an Idempotency-Key. No foreign key to users: rows go by their age.
      CREATE TABLE idempotency_keys (
        caller_id   uuid NOT NULL,
        key         text NOT NULL,
        -- Of the route and, but for a bulk upload, of the body.
        fingerprint bytea NOT NULL,
        -- The answer's body; null while the request is running.
        body        text,
        -- A bulk upload's progress, committed with each batch: items done, the hash of their bytes, what was found.
        items       integer NOT NULL DEFAULT 0,
        digest      bytea,
        -- Not jsonb, which has no NUL: what was found may name one.
        report      json,
        -- Who is at it, and until when without a sign of life.
        holder      uuid,
        held_until  timestamptz(3),
        created_at  timestamptz(3) NOT NULL DEFAULT now(),
        PRIMARY KEY (caller_id, key)
      );
      CREATE INDEX idempotency_keys_age ON idempotency_keys (created_at);
    `);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP TABLE idempotency_keys');
  }
}
