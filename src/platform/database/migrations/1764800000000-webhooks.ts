import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Subscriptions of URLs to changes. */
export class Webhooks1764800000000 implements MigrationInterface {
  name = 'Webhooks1764800000000';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      CREATE FUNCTION last_tick() RETURNS text LANGUAGE sql SET search_path FROM CURRENT AS
        'SELECT max(tick)::text FROM change_ticks';
      CREATE TABLE webhooks (
        id            uuid PRIMARY KEY DEFAULT uuidv7(),
        of            text NOT NULL,
        scope         uuid,
        owner_id      uuid NOT NULL REFERENCES users ON DELETE CASCADE,
        -- They go with their collection.
        collection_id uuid GENERATED ALWAYS AS (CASE WHEN of = 'records' THEN scope END) STORED
                        CONSTRAINT webhooks_collection REFERENCES collections ON DELETE CASCADE,
        url           text NOT NULL,
        ordered       boolean NOT NULL DEFAULT false,
        state         text NOT NULL DEFAULT 'on' CONSTRAINT webhooks_state CHECK (state IN ('on', 'failing', 'off')),
        since         timestamptz(3) NOT NULL DEFAULT now(),
        last_error    text,
        seed          uuid NOT NULL DEFAULT gen_random_uuid(),
        old_seed      uuid,
        rotated_at    timestamptz(3),
        position      text NOT NULL DEFAULT last_tick(),
        failures      integer NOT NULL DEFAULT 0,
        retry_at      timestamptz NOT NULL DEFAULT '-infinity',
        waiting       integer NOT NULL DEFAULT 0,
        version       integer NOT NULL DEFAULT 1,
        created_at    timestamptz(3) NOT NULL DEFAULT now(),
        updated_at    timestamptz(3) NOT NULL DEFAULT now()
      );
      CREATE INDEX webhooks_of_collection ON webhooks (collection_id);
      CREATE INDEX webhooks_by_scope ON webhooks (scope, created_at, id);
      CREATE INDEX webhooks_of_all ON webhooks (of) WHERE scope IS NULL;
      CREATE INDEX webhooks_failing ON webhooks (id) WHERE state = 'failing';
      CREATE INDEX webhooks_by_owner ON webhooks (owner_id, of, created_at, id);

      -- A change is sent once for each of them.
      CREATE FUNCTION limit_webhooks() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
        BEGIN
          PERFORM pg_advisory_xact_lock(hashtextextended(format('webhooks %s %s', NEW.owner_id, NEW.scope), 0));
          IF (SELECT count(*) FROM webhooks
              WHERE owner_id = NEW.owner_id AND of = NEW.of AND scope IS NOT DISTINCT FROM NEW.scope) >= 20 THEN
            RAISE 'too many webhooks' USING ERRCODE = 'check_violation', CONSTRAINT = 'webhooks_most';
          END IF;
          RETURN NEW;
        END $$;
      CREATE TRIGGER webhooks_most BEFORE INSERT ON webhooks FOR EACH ROW EXECUTE FUNCTION limit_webhooks();
    `);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP TABLE webhooks; DROP FUNCTION limit_webhooks, last_tick');
  }
}
