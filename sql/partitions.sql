--
-- fi_create_partition
--
CREATE FUNCTION bounds() RETURNS TABLE (partition text, bounds text) LANGUAGE sql AS $$
  SELECT inhrelid::regclass::text, pg_get_expr(relpartbound, inhrelid)
  FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
  WHERE inhparent = 'fast_ingest.events'::regclass ORDER BY inhrelid::regclass::text COLLATE "C";
$$;

-- days are days of UTC wherever one is
SET timezone = 'America/Los_Angeles';
SELECT fi_create_partition('2031-01-01');
SET timezone = 'Asia/Kathmandu';
SELECT fi_create_partition('2031-01-02');
SET timezone = 'UTC';
SELECT * FROM bounds() WHERE partition LIKE '%2031%';

-- once more: the same
SELECT fi_create_partition('2031-01-01');
SELECT count(*) FROM bounds() WHERE partition LIKE '%2031%';

-- ends of months, of years, and the leap day
SELECT fi_create_partition(day::date)
FROM unnest('{2031-12-31,2032-02-28,2032-02-29,2032-03-01}'::date[]) day;
SELECT * FROM bounds() WHERE partition ~ '203(112|20)';

-- every partition has its index on the key, and one on ts
SELECT c.relname AS partition, a.amname AS method, x.indisunique AS unique,
       pg_get_indexdef(x.indexrelid, 1, true) AS column, pg_get_expr(x.indpred, x.indrelid) AS condition
FROM pg_index x JOIN pg_class c ON c.oid = x.indrelid
  JOIN pg_class i ON i.oid = x.indexrelid JOIN pg_am a ON a.oid = i.relam
WHERE c.relnamespace = 'fast_ingest'::regnamespace AND c.relname IN ('events_20310101', 'events_20320229')
ORDER BY 1, 2, 4;

-- NULL, and infinite dates
SELECT fi_create_partition(NULL);
SELECT fi_create_partition('infinity');
SELECT fi_create_partition('-infinity');

-- it does not depend on the caller's search_path
SET search_path = pg_catalog;
DO $$
BEGIN
  EXECUTE format('SELECT %s(%L)',
    (SELECT oid::regproc FROM pg_proc WHERE proname = 'fi_create_partition'), '2031-01-03');
END $$;
RESET search_path;
SELECT * FROM bounds() WHERE partition LIKE '%20310103';

-- dropped, and made again
DROP TABLE fast_ingest.events_20310101;
SELECT fi_create_partition('2031-01-01');

-- detached, and in the way
ALTER TABLE fast_ingest.events DETACH PARTITION fast_ingest.events_20310102;
SELECT fi_create_partition('2031-01-02');
DROP TABLE IF EXISTS fast_ingest.events_20310102;

-- not for everybody
CREATE ROLE regress_fast_ingest_nobody;
SET ROLE regress_fast_ingest_nobody;
SELECT fi_create_partition('2031-01-04');
SELECT count(*) FROM fast_ingest.events;
RESET ROLE;
GRANT EXECUTE ON FUNCTION fi_create_partition(date) TO regress_fast_ingest_nobody;
SET ROLE regress_fast_ingest_nobody;
SELECT fi_create_partition('2031-01-04');
RESET ROLE;
DROP OWNED BY regress_fast_ingest_nobody;
DROP ROLE regress_fast_ingest_nobody;

DO $$
DECLARE
  name text;
BEGIN
  FOR name IN SELECT partition FROM bounds() WHERE partition LIKE '%events_203%' LOOP
    EXECUTE 'DROP TABLE ' || name;
  END LOOP;
END $$;
DROP FUNCTION bounds();
