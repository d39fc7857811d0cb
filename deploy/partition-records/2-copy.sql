-- Copies what is there, 5,000 rows in a transaction. Changes of these rows wait for its end. It can be run again.
DO $copy$
DECLARE
  last uuid := '00000000-0000-0000-0000-000000000000';
  reached uuid;
BEGIN
  WHILE EXISTS (SELECT FROM records WHERE id > last) LOOP
    -- FOR SHARE: else a row that is deleted meanwhile would come back with its copy.
    WITH batch AS MATERIALIZED (SELECT * FROM records WHERE id > last ORDER BY id LIMIT 5000 FOR SHARE),
      copied AS (INSERT INTO records_parts SELECT * FROM batch ON CONFLICT DO NOTHING)
    SELECT max(id::text)::uuid INTO reached FROM batch;
    last := coalesce(reached, last);
    COMMIT;
  END LOOP;
END
$copy$;
