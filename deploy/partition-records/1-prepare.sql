-- Makes a table beside `records`, in 16 parts by a hash of the collection, and a trigger that copies each change to it.
SET LOCAL lock_timeout = '1500ms';

CREATE TABLE records_parts (LIKE records INCLUDING ALL) PARTITION BY HASH (collection_id);

DO $parts$
BEGIN
  FOR part IN 0 .. 15 LOOP
    EXECUTE format('CREATE TABLE records_%1$s PARTITION OF records_parts FOR VALUES WITH (MODULUS 16, REMAINDER %1$s)', part);
  END LOOP;
END
$parts$;

-- With the rights of its owner: the app's role has none on the new table yet.
CREATE FUNCTION copy_record_change() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $copy$
  BEGIN
    IF TG_OP <> 'INSERT' THEN
      DELETE FROM records_parts WHERE id = OLD.id AND collection_id = OLD.collection_id;
    END IF;
    IF TG_OP <> 'DELETE' THEN
      INSERT INTO records_parts SELECT NEW.*;
    END IF;
    RETURN NULL;
  END
$copy$;
CREATE TRIGGER copy_record_change AFTER INSERT OR UPDATE OR DELETE ON records
  FOR EACH ROW EXECUTE FUNCTION copy_record_change();
