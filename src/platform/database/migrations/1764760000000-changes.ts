import type { MigrationInterface, QueryRunner } from 'typeorm';
import { lockingRecords } from './locking-records.js';

/** A statement that touches more rows writes one change for all of them. Creates of many callers together are fewer. */
const MANY = 500;

const MAKE = `
  CREATE TABLE changes (
    -- Given out under the row's lock, so that the ids of a row's changes are in the order of their commits.
    id    bigint GENERATED ALWAYS AS IDENTITY,
    xid   xid8 NOT NULL,
    of    text NOT NULL,
    -- What readers are let into: an owner, a collection. Null reaches all of them.
    scope uuid,
    kind  text NOT NULL,
    row   jsonb NOT NULL DEFAULT '{}'
  ) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 50000);
  CREATE INDEX changes_xid ON changes (xid);
  CREATE INDEX changes_scope ON changes (scope, xid);
  CREATE TABLE change_ticks (
    tick     bigint PRIMARY KEY,
    snapshot pg_snapshot NOT NULL,
    at       timestamptz NOT NULL DEFAULT now()
  );
  INSERT INTO change_ticks VALUES (1, pg_current_snapshot());

  CREATE FUNCTION feed_changes(of regclass, scope name) RETURNS void LANGUAGE plpgsql SET search_path FROM CURRENT AS $feed$
    DECLARE
      name text := (SELECT relname FROM pg_class WHERE oid = of);
      note text := format('note_%s_changes', name);
    BEGIN
      -- With the rights of its owner, since old releases write before the app's role is given any on these tables. Named last,
      -- temporary tables of a caller cannot take the place of ours.
      EXECUTE format($make$
        CREATE OR REPLACE FUNCTION %1$I() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path TO %4$I, pg_temp AS $$
          BEGIN
            IF TG_OP = 'INSERT' THEN
              IF (SELECT count(*) FROM added) > ${MANY} THEN
                INSERT INTO changes (xid, of, scope, kind, row)
                SELECT pg_current_xact_id(), %2$L, %3$I, 'bulk',
                  jsonb_build_object('count', count(*), 'first', min(id::text), 'last', max(id::text))
                FROM added GROUP BY %3$I;
              ELSE
                INSERT INTO changes (xid, of, scope, kind, row)
                SELECT pg_current_xact_id(), %2$L, %3$I, 'created', to_jsonb(added.*) FROM added;
              END IF;
            ELSIF TG_OP = 'TRUNCATE' THEN
              INSERT INTO changes (xid, of, kind) VALUES (pg_current_xact_id(), %2$L, 'reset');
            ELSIF (SELECT count(*) FROM removed) > ${MANY} THEN
              INSERT INTO changes (xid, of, scope, kind)
              SELECT DISTINCT pg_current_xact_id(), %2$L, %3$I, 'reset' FROM removed;
            ELSIF TG_OP = 'DELETE' THEN
              INSERT INTO changes (xid, of, scope, kind, row)
              SELECT pg_current_xact_id(), %2$L, %3$I, 'deleted', to_jsonb(removed.*) FROM removed;
            END IF;
            RETURN NULL;
          END $$ $make$, note, name, scope, current_schema());
      EXECUTE format($make$
        CREATE OR REPLACE FUNCTION %1$I() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path TO %4$I, pg_temp AS $$
          BEGIN
            IF (SELECT count(*) FROM removed) > ${MANY} THEN
              INSERT INTO changes (xid, of, scope, kind)
              SELECT DISTINCT pg_current_xact_id(), %2$L, s, 'reset'
              FROM (SELECT %3$I AS s FROM removed UNION SELECT %3$I FROM added) AS scopes;
            ELSE
              INSERT INTO changes (xid, of, scope, kind, row)
              SELECT pg_current_xact_id(), %2$L, removed.%3$I, 'deleted', to_jsonb(removed.*)
              FROM removed JOIN added USING (id) WHERE removed.%3$I IS DISTINCT FROM added.%3$I;
              INSERT INTO changes (xid, of, scope, kind, row)
              SELECT pg_current_xact_id(), %2$L, %3$I, 'updated', to_jsonb(added.*) FROM added;
            END IF;
            RETURN NULL;
          END $$ $make$, note || '_of_updates', name, scope, current_schema());
      EXECUTE format('REVOKE EXECUTE ON FUNCTION %I, %I FROM PUBLIC', note, note || '_of_updates');
      EXECUTE format('CREATE OR REPLACE TRIGGER feed_added AFTER INSERT ON %s REFERENCING NEW TABLE AS added
        FOR EACH STATEMENT EXECUTE FUNCTION %I()', of, note);
      EXECUTE format('CREATE OR REPLACE TRIGGER feed_removed AFTER DELETE ON %s REFERENCING OLD TABLE AS removed
        FOR EACH STATEMENT EXECUTE FUNCTION %I()', of, note);
      EXECUTE format('CREATE OR REPLACE TRIGGER feed_updated AFTER UPDATE ON %s REFERENCING NEW TABLE AS added OLD TABLE AS removed
        FOR EACH STATEMENT EXECUTE FUNCTION %I()', of, note || '_of_updates');
      EXECUTE format('CREATE OR REPLACE TRIGGER feed_truncated AFTER TRUNCATE ON %s
        FOR EACH STATEMENT EXECUTE FUNCTION %I()', of, note);
    END
  $feed$;
  -- The older one of this kind, too.
  DO $$ BEGIN
    EXECUTE format('ALTER FUNCTION note_record_changes() SET search_path TO %I, pg_temp', current_schema());
  END $$;
  SELECT feed_changes('records', 'collection_id')`;
const REMOVE = `
  DROP FUNCTION IF EXISTS note_records_changes, note_records_changes_of_updates CASCADE;
  DROP FUNCTION IF EXISTS feed_changes;
  DROP TABLE IF EXISTS changes, change_ticks`;

/**
 * What a change feed reads. `feed_changes('orders', 'owner_id')` makes every statement that changes the table, whoever
 * sends it, write its changes in the same transaction. A tick is a snapshot that all readers agree on: the changes
 * between two ticks are those that one of them sees and the other does not.
 */
export class Changes1764760000000 implements MigrationInterface {
  name = 'Changes1764760000000';
  transaction = false;

  async up(runner: QueryRunner): Promise<void> {
    const [{ table }] = await runner.query(`SELECT to_regclass('changes') AS table`);
    // It is there already if an earlier run was cut off before it was recorded.
    if (table === null) await lockingRecords(runner, MAKE);
  }

  async down(runner: QueryRunner): Promise<void> {
    await lockingRecords(runner, REMOVE);
  }
}
