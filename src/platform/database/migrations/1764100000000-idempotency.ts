import type { MigrationInterface, QueryRunner } from 'typeorm';

export class Idempotency1764100000000 implements MigrationInterface {
  name = 'Idempotency1764100000000';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      -- Requests with an Idempotency-Key and their results. No foreign key to users, since rows expire by age.
      CREATE TABLE idempotency_keys (
        caller_id   uuid NOT NULL,
        key         text NOT NULL,
        -- A hash of the route and, except for a bulk upload, of the body.
        fingerprint bytea NOT NULL,
        -- The answer's body; null while the request is running.
        body        text,
        -- A bulk upload's progress, committed with each batch: items done, the hash of their bytes, and the report.
        items       integer NOT NULL DEFAULT 0,
        digest      bytea,
        -- Not jsonb, which cannot store NUL: a report may contain one.
        report      json,
        -- The upload that holds the key, and the end of its lease.
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
