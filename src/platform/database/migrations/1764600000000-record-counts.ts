import type { MigrationInterface, QueryRunner } from 'typeorm';

/** How many collections are counted at a time. */
const BATCH = 100;
const FIRST_ID = '00000000-0000-0000-0000-000000000000';
const HOUR = `date_bin('1 hour', occurred_at, '2000-01-01T00:00:00Z')`;
/** A set of changes has the XOR of their marks, which no other set has. */
const MARK = 'random(-9223372036854775807, 9223372036854775807)';

/**
 * Counts the records of each collection by hour, so that statistics need not. Every statement that changes records,
 * whoever sends it, adds a row for each hour that it touches; no writer waits for another. The app adds the rows up in
 * record_counts. After an interruption the migration can be run again.
 */
export class RecordCounts1764600000000 implements MigrationInterface {
  name = 'RecordCounts1764600000000';
  transaction = false;

  async up(runner: QueryRunner): Promise<void> {
    // As one message, these are one transaction, which blocks writers for some milliseconds.
    await runner.query(`
      SET LOCAL lock_timeout = '2s';
      CREATE TABLE IF NOT EXISTS record_counts (
        collection_id uuid, hour timestamptz, count bigint NOT NULL, mark bigint NOT NULL, PRIMARY KEY (collection_id, hour));
      CREATE TABLE IF NOT EXISTS record_changes (
        collection_id uuid NOT NULL, hour timestamptz NOT NULL, count bigint NOT NULL, mark bigint NOT NULL
      ) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 10000);
      -- With the rights of its owner, since old releases write before the app's role is given any on these tables.
      CREATE OR REPLACE FUNCTION note_record_changes() RETURNS trigger LANGUAGE plpgsql
        SECURITY DEFINER SET search_path FROM CURRENT AS $$
        BEGIN
          IF TG_OP = 'INSERT' THEN
            INSERT INTO record_changes SELECT collection_id, ${HOUR}, count(*), ${MARK} FROM added GROUP BY 1, 2;
          ELSIF TG_OP = 'DELETE' THEN
            INSERT INTO record_changes SELECT collection_id, ${HOUR}, -count(*), ${MARK} FROM removed GROUP BY 1, 2;
          ELSIF TG_OP = 'UPDATE' THEN
            INSERT INTO record_changes SELECT collection_id, ${HOUR}, sum(n), ${MARK} FROM (
              SELECT collection_id, occurred_at, 1 AS n FROM added
              UNION ALL SELECT collection_id, occurred_at, -1 FROM removed) AS changed GROUP BY 1, 2;
          ELSE
            DELETE FROM record_changes;
            DELETE FROM record_counts;
          END IF;
          RETURN NULL;
        END
      $$;
      CREATE OR REPLACE TRIGGER records_added AFTER INSERT ON records REFERENCING NEW TABLE AS added
        FOR EACH STATEMENT EXECUTE FUNCTION note_record_changes();
      CREATE OR REPLACE TRIGGER records_changed AFTER UPDATE ON records REFERENCING NEW TABLE AS added OLD TABLE AS removed
        FOR EACH STATEMENT EXECUTE FUNCTION note_record_changes();
      CREATE OR REPLACE TRIGGER records_removed AFTER DELETE ON records REFERENCING OLD TABLE AS removed
        FOR EACH STATEMENT EXECUTE FUNCTION note_record_changes();
      CREATE OR REPLACE TRIGGER records_truncated AFTER TRUNCATE ON records
        FOR EACH STATEMENT EXECUTE FUNCTION note_record_changes();
    `);
    for (let after = FIRST_ID; ; ) {
      const ids = await runner.query('SELECT id FROM collections WHERE id > $1 ORDER BY id LIMIT $2', [after, BATCH]);
      if (ids.length === 0) break;
      // One statement sees one moment, so what is missing is right whatever is written meanwhile.
      await runner.query(
        `INSERT INTO record_changes SELECT collection_id, hour, sum(count), ${MARK} FROM (
           SELECT collection_id, ${HOUR} AS hour, count(*) FROM records WHERE collection_id = ANY ($1) GROUP BY 1, 2
           UNION ALL SELECT collection_id, hour, -count FROM record_counts WHERE collection_id = ANY ($1)
           UNION ALL SELECT collection_id, hour, -count FROM record_changes WHERE collection_id = ANY ($1)) AS all_counts
         GROUP BY 1, 2 HAVING sum(count) <> 0`,
        [ids.map(({ id }: { id: string }) => id)],
      );
      after = ids.at(-1).id;
    }
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`
      SET LOCAL lock_timeout = '2s';
      DROP TRIGGER records_added ON records;
      DROP TRIGGER records_changed ON records;
      DROP TRIGGER records_removed ON records;
      DROP TRIGGER records_truncated ON records;
      DROP FUNCTION note_record_changes;
      DROP TABLE record_counts, record_changes;
    `);
  }
}
