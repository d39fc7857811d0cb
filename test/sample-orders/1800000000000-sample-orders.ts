import type { MigrationInterface, QueryRunner } from 'typeorm';

export class SampleOrders1800000000000 implements MigrationInterface {
  name = 'SampleOrders1800000000000';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      CREATE TABLE sample_orders (
        id            uuid PRIMARY KEY DEFAULT uuidv7(),
        owner_id      uuid NOT NULL REFERENCES users ON DELETE CASCADE,
        number        text NOT NULL,
        status        text NOT NULL CONSTRAINT sample_orders_status CHECK (status IN ('open', 'paid', 'sent', 'cancelled')),
        total         numeric(12, 2) NOT NULL,
        lines         jsonb NOT NULL,
        note          text,
        delivery_at   timestamptz(3),
        internal_note text,
        version       integer NOT NULL DEFAULT 1,
        created_at    timestamptz(3) NOT NULL DEFAULT now(),
        updated_at    timestamptz(3) NOT NULL DEFAULT now()
      );
      CREATE UNIQUE INDEX sample_orders_number ON sample_orders (owner_id, number);
      -- A list's index: what it is narrowed to, what it is sorted by, and the id.
      CREATE INDEX sample_orders_of_owner_by_time ON sample_orders (owner_id, created_at, id);
      CREATE INDEX sample_orders_of_owner_by_total ON sample_orders (owner_id, total, id);
      CREATE INDEX sample_orders_by_time ON sample_orders (created_at, id);
      CREATE INDEX sample_orders_by_total ON sample_orders (total, id);
      -- Listeners are told of its changes.
      SELECT feed_changes('sample_orders', 'owner_id');
    `);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP TABLE sample_orders');
  }
}
