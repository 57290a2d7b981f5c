--
-- The rollup where its surroundings change: columns, partitions, rights,
-- publications, row security
--
SET timezone = 'UTC';
SET datestyle = 'ISO, YMD';
SELECT count(*) FROM generate_series('2024-09-01'::date, '2024-09-02', '1 day') day, LATERAL fi_create_partition(day::date);
INSERT INTO fast_ingest.events (event_name, channel, user_id, ts, site_id, path)
SELECT 'edge', 'web', 'user' || n % 10, '2024-09-01 00:00Z'::timestamptz + n * interval '10 seconds', 'site', '/' || n % 3
FROM generate_series(0, 99) n;
SELECT events, new_users FROM fi_refresh();

-- a partition that was dropped: what was counted stays, with or without later
-- events, and whatever partition takes them
DROP TABLE fast_ingest.events_20240901;
SELECT low, high FROM fast_ingest.lost_rows;
SELECT * FROM fi_metrics('edge');
SELECT * FROM fi_metrics('edge', '2024-09-01 00:00:05Z', '2024-09-01 00:10Z');
CREATE TABLE fast_ingest.events_rest PARTITION OF fast_ingest.events DEFAULT;
INSERT INTO fast_ingest.events (event_name, channel, user_id, ts, site_id) VALUES ('edge', 'web', 'late', '2024-09-01 00:00:30Z', 'site');
SELECT * FROM fi_metrics('edge');
SELECT * FROM fi_metrics('edge', '2024-09-01 00:00:05Z', '2024-09-01 00:10Z');
SELECT * FROM fi_stats('site', '2024-09-01');
SELECT * FROM fi_top_paths('site', '2024-09-01');
DELETE FROM fast_ingest.events WHERE user_id = 'late';
SELECT * FROM fi_metrics('edge');
SELECT recounted_rows FROM fi_rebuild();
SELECT recounted_rows FROM fi_rebuild('2024-09-01 10:30Z', NULL);
SELECT * FROM fi_metrics('edge');
DROP TABLE fast_ingest.events_rest;

-- an empty one leaves nothing to remember, and one that comes back is not missing
DELETE FROM fast_ingest.lost_rows;
DROP TABLE fast_ingest.events_20240902;
SELECT fi_create_partition('2024-09-02');
INSERT INTO fast_ingest.events (event_name, channel, user_id, ts) VALUES ('edge', 'web', 'user', '2024-09-02 12:00:30Z');
ALTER TABLE fast_ingest.events DETACH PARTITION fast_ingest.events_20240902;
SELECT low, high FROM fast_ingest.lost_rows;
SELECT * FROM fi_metrics('edge', '2024-09-02 12:00:05Z', '2024-09-02 13:00Z');
ALTER TABLE fast_ingest.events ATTACH PARTITION fast_ingest.events_20240902 FOR VALUES FROM ('2024-09-02 00:00Z') TO ('2024-09-03 00:00Z');
SELECT low, high FROM fast_ingest.lost_rows;
SELECT * FROM fi_metrics('edge', '2024-09-02 12:00:05Z', '2024-09-02 13:00Z');
ALTER TABLE fast_ingest.events DETACH PARTITION fast_ingest.events_20240902 CONCURRENTLY;
SELECT low, high FROM fast_ingest.lost_rows;
ALTER TABLE fast_ingest.events ATTACH PARTITION fast_ingest.events_20240902 FOR VALUES FROM ('2024-09-02 00:00Z') TO ('2024-09-03 00:00Z');

-- rows that no trigger saw, outside of all hours that the rollup knows, are not counted by
-- accident where raw rows are read because keys are counted together
UPDATE fast_ingest.breakdowns SET max_keys = 1 WHERE name = 'channel';
SELECT count(*) FROM generate_series('2024-08-20'::date, '2024-08-21', '1 day') day, LATERAL fi_create_partition(day::date);
INSERT INTO fast_ingest.events (event_name, channel, user_id, ts)
SELECT 'far', channel, 'user', ts FROM unnest('{web,api,mobile}'::text[]) channel, unnest('{2024-08-20 12:00Z,2024-08-20 13:30Z}'::timestamptz[]) ts;
SELECT events FROM fi_refresh();
SET session_replication_role = replica;
INSERT INTO fast_ingest.events (event_name, channel, user_id, ts) VALUES ('far', 'api', 'far', '2024-08-21 23:59Z');
RESET session_replication_role;
SELECT * FROM fi_metrics('far', group_by => 'hour', channel => 'api');
SELECT * FROM fi_metrics('far', group_by => 'day', channel => 'api', time_zone => 'Asia/Kathmandu');
SELECT * FROM fi_metrics('far', '2024-08-20 13:00Z', group_by => 'hour', channel => 'api');
SELECT * FROM fi_metrics_sources('far', group_by => 'hour', channel => 'api');
SELECT * FROM fi_metrics_sources('far', group_by => 'hour', channel => 'web');
UPDATE fast_ingest.breakdowns SET max_keys = 1000 WHERE name = 'channel';
DROP TABLE fast_ingest.events_20240821;
DELETE FROM fast_ingest.events WHERE event_name = 'far';
SELECT recounted_rows FROM fi_refresh();
DROP TABLE fast_ingest.events_20240820;
DELETE FROM fast_ingest.lost_rows WHERE low < '2024-09-01';

-- a damaged delta is an error, or an answer that is wrong, and never a crash:
-- each byte of one in turn
INSERT INTO fast_ingest.events (event_name, channel, user_id, ts, site_id, path) VALUES
  ('edge', 'web', 'user', '2024-09-02 12:00:30Z', 'site', '/'), ('edge', 'api', NULL, '2024-09-02 13:00:30Z', NULL, '/a');
DO $$
DECLARE
  good bytea := (SELECT groups FROM fast_ingest.rollup_delta ORDER BY first_ts DESC, events DESC LIMIT 1);
  failed integer := 0;
BEGIN
  FOR i IN 0 .. length(good) - 1 LOOP
    FOR value IN 0 .. 1 LOOP
      BEGIN
        UPDATE fast_ingest.rollup_delta SET groups = set_byte(good, i, value * 255) WHERE groups = good;
        PERFORM fi_metrics('edge', group_by => name), fi_stats('site', '2024-09-02'), fi_top_paths('site', '2024-09-02') FROM unnest('{channel,site,page}'::text[]) name;
        PERFORM fi_refresh();
        RAISE EXCEPTION USING ERRCODE = 'P0001';
      EXCEPTION WHEN raise_exception THEN NULL;
        WHEN OTHERS THEN failed := failed + 1;
      END;
    END LOOP;
  END LOOP;
  IF failed < 100 THEN
    RAISE EXCEPTION 'only % damages of % bytes were noticed', failed, length(good);
  END IF;
END $$;
DELETE FROM fast_ingest.events WHERE channel = 'api' OR site_id = 'site' AND ts > '2024-09-02';

-- nor is a damaged byte in the minutes of a closed hour ever a crash, when some of them are
-- asked for: each byte in turn
SELECT * FROM fi_metrics('edge', '2024-09-01 00:03Z', '2024-09-01 00:05Z');
DO $$
DECLARE
  good bytea := (SELECT minutes FROM fast_ingest.rollup
                 WHERE event_name = 'edge' AND breakdown = 1 AND level = 2 AND bucket = '2024-09-01 00:00Z');
  noticed integer := 0;
BEGIN
  FOR i IN 0 .. length(good) - 1 LOOP
    BEGIN
      UPDATE fast_ingest.rollup SET minutes = set_byte(good, i, 255 - get_byte(good, i)) WHERE minutes = good;
      PERFORM fi_metrics('edge', '2024-09-01 00:00:05Z', '2024-09-01 00:59Z');
      RAISE EXCEPTION USING ERRCODE = 'P0001';
    EXCEPTION WHEN raise_exception THEN NULL;
      WHEN data_corrupted THEN noticed := noticed + 1;
    END;
  END LOOP;
  IF noticed < length(good) / 2 THEN
    RAISE EXCEPTION 'only % damages of % bytes were noticed', noticed, length(good);
  END IF;
END $$;
-- infinite times
INSERT INTO fast_ingest.events (event_name, channel, user_id, ts) VALUES ('edge', 'web', 'user', 'infinity');
CREATE TABLE fast_ingest.events_rest PARTITION OF fast_ingest.events DEFAULT;
INSERT INTO fast_ingest.events (event_name, channel, user_id, ts) VALUES ('edge', 'web', 'user', 'infinity');
UPDATE fast_ingest.events SET ts = '-infinity' WHERE event_name = 'edge';
DROP TABLE fast_ingest.events_rest;
SELECT * FROM fi_metrics('edge', 'infinity'::timestamptz);
SELECT * FROM fi_metrics('edge', until => '-infinity');

-- columns of other types are an error, and new columns none of our business
BEGIN;
ALTER TABLE fast_ingest.events ALTER user_id TYPE bigint USING 5;
INSERT INTO fast_ingest.events (event_name, channel, user_id, ts) VALUES ('edge', 'web', 7, '2024-09-02 12:00Z');
ROLLBACK;
BEGIN;
ALTER TABLE fast_ingest.events DROP COLUMN campaign_id;
ALTER TABLE fast_ingest.events ADD COLUMN country text DEFAULT 'tr';
INSERT INTO fast_ingest.events (event_name, channel, user_id, ts, country) VALUES ('edge', 'web', 'user', '2024-09-02 12:00Z', 'de');
SELECT 'added' AS country FROM fi_add_breakdown('country', 'country');
INSERT INTO fast_ingest.events_20240902 (event_name, channel, user_id, ts, country) VALUES ('edge', 'web', 'user', '2024-09-02 12:00Z', 'de');
SELECT * FROM fi_metrics('edge', '2024-09-02'::timestamptz, group_by => 'country');
ROLLBACK;

-- the function of a breakdown is gone: events wait for it to come back, and none is lost
CREATE FUNCTION public.edge_key(text) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT upper($1) $$;
SELECT 'added' AS edge FROM fi_add_breakdown('edge', 'public.edge_key(channel)');
INSERT INTO fast_ingest.events (event_name, channel, user_id, ts) VALUES ('edge', 'web', 'user', '2024-09-02 12:00Z');
DROP FUNCTION public.edge_key(text);
\set VERBOSITY sqlstate
INSERT INTO fast_ingest.events (event_name, channel, user_id, ts) VALUES ('edge', 'web', 'user', '2024-09-02 12:00Z');
\set VERBOSITY default
SELECT 'dropped' AS edge FROM fi_drop_breakdown('edge');
INSERT INTO fast_ingest.events (event_name, channel, user_id, ts) VALUES ('edge', 'web', 'user', '2024-09-02 12:00Z');

-- who may write events needs no rights on the rollup, nor on what breakdowns call
CREATE FUNCTION public.edge_key(text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RETURN upper($1); END $$;
REVOKE ALL ON FUNCTION public.edge_key(text) FROM PUBLIC;
SELECT 'added' AS edge FROM fi_add_breakdown('edge', 'public.edge_key(channel)');
CREATE ROLE regress_fast_ingest_writer;
CREATE VIEW public.edge_events AS SELECT event_name, channel, user_id, ts FROM fast_ingest.events;
GRANT INSERT ON public.edge_events TO regress_fast_ingest_writer;
SET ROLE regress_fast_ingest_writer;
INSERT INTO public.edge_events VALUES ('edge', 'web', 'writer', '2024-09-02 12:00Z');
RESET ROLE;
GRANT USAGE ON SCHEMA fast_ingest TO regress_fast_ingest_writer;
GRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE ON fast_ingest.events TO regress_fast_ingest_writer;
SET ROLE regress_fast_ingest_writer;
INSERT INTO fast_ingest.events (event_name, channel, user_id, ts) VALUES ('edge', 'web', 'writer', '2024-09-02 12:00Z');
UPDATE fast_ingest.events SET user_id = 'another' WHERE user_id = 'writer';
DELETE FROM fast_ingest.events WHERE user_id = 'another';
RESET ROLE;
SELECT * FROM fi_metrics('edge', '2024-09-02 00:00Z', group_by => 'edge');
SELECT 'dropped' AS edge FROM fi_drop_breakdown('edge');
DROP VIEW public.edge_events;
DROP FUNCTION public.edge_key(text);

-- row security would give everybody metrics of their own: there are none
ALTER TABLE fast_ingest.events ENABLE ROW LEVEL SECURITY;
SELECT count(*) AS grants FROM fi_grant_metrics('regress_fast_ingest_writer');
SET ROLE regress_fast_ingest_writer;
SELECT * FROM fi_metrics('edge');
RESET ROLE;
ALTER TABLE fast_ingest.events DISABLE ROW LEVEL SECURITY;

-- a publication of all tables stops no refresh
SET client_min_messages = error;
CREATE PUBLICATION regress_fast_ingest FOR ALL TABLES;
RESET client_min_messages;
INSERT INTO fast_ingest.events (event_name, channel, user_id, ts) VALUES ('edge', 'web', 'user', '2024-09-02 12:00Z');
SELECT events > 0 AS merged FROM fi_refresh();
DROP PUBLICATION regress_fast_ingest;

-- a range may begin with time and end within an hour
BEGIN;
CREATE TABLE public.edge_past PARTITION OF fast_ingest.events FOR VALUES FROM (MINVALUE) TO ('2024-09-01 00:00Z');
INSERT INTO fast_ingest.events (event_name, channel, user_id, ts)
  SELECT 'edge', 'web', 'user', '2024-08-31 09:10Z'::timestamptz + i * interval '20 minutes' FROM generate_series(0, 5) AS i;
SELECT events FROM fi_refresh();
SELECT recounted_rows FROM fi_rebuild(until => '2024-08-31 10:40Z');
SELECT * FROM fi_metrics('edge', until => '2024-09-01 00:00Z', group_by => 'hour', fill => false);
ROLLBACK;

-- no breakdown is added in a transaction with one snapshot: the latest ones count
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT fi_add_breakdown('edge', 'path');
ROLLBACK;

-- the owner of events may be another than that of the rollup
ALTER TABLE fast_ingest.events OWNER TO regress_fast_ingest_writer;
SET ROLE regress_fast_ingest_writer;
TRUNCATE fast_ingest.events;
RESET ROLE;
ALTER TABLE fast_ingest.events OWNER TO postgres;
SELECT * FROM fi_metrics('edge');
SELECT count(*) FROM fast_ingest.lost_rows;

DROP OWNED BY regress_fast_ingest_writer;
DROP ROLE regress_fast_ingest_writer;
DROP TABLE fast_ingest.events_20240902;
