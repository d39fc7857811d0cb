-- Puts the new table in the old one's place, with its name, the names of its indexes, and its triggers, in one transaction. When
-- it does not get its lock in time it changes nothing, and can be run again.
DO $swap$
DECLARE
  trigger record;
  definitions text[] := '{}';
  line text;
BEGIN
  SET LOCAL lock_timeout = '1500ms';
  LOCK TABLE records IN ACCESS EXCLUSIVE MODE;
  DROP TRIGGER copy_record_change ON records;
  DROP FUNCTION copy_record_change;
  FOR trigger IN
    SELECT tgname AS name, pg_get_triggerdef(oid) AS text FROM pg_trigger WHERE tgrelid = 'records'::regclass AND NOT tgisinternal
  LOOP
    definitions := definitions || trigger.text;
    EXECUTE format('DROP TRIGGER %I ON records', trigger.name);
  END LOOP;
  -- What comes behind USING is the same for an index and for its like on the other table.
  FOR line IN
    WITH indexes AS (
      SELECT indrelid, relname AS name, split_part(pg_get_indexdef(indexrelid), ' USING ', 2) AS columns, indisunique
      FROM pg_index JOIN pg_class c ON c.oid = indexrelid)
    SELECT format('ALTER INDEX %I RENAME TO %I; ALTER INDEX %I RENAME TO %I', o.name, 'old_' || o.name, n.name, o.name)
    FROM indexes AS o JOIN indexes AS n USING (columns, indisunique)
    WHERE o.indrelid = 'records'::regclass AND n.indrelid = 'records_parts'::regclass
  LOOP
    EXECUTE line;
  END LOOP;
  ALTER TABLE records RENAME TO old_records;
  ALTER TABLE records_parts RENAME TO records;
  FOREACH line IN ARRAY definitions LOOP
    EXECUTE line;
  END LOOP;
END
$swap$;
