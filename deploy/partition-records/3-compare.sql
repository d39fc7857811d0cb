-- Must find 0, also while the app writes: one statement sees one moment.
SELECT count(*) AS differences FROM records r FULL JOIN records_parts p USING (id, collection_id) WHERE r.* IS DISTINCT FROM p.*;
