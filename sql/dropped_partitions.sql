--
-- Partitions of every kind come and go: the metrics are those of the rows, and what
-- is noted as dropped are the days that have lost some
--
SET timezone = 'UTC';
SET datestyle = 'ISO, YMD';
CREATE FUNCTION add(times timestamptz[]) RETURNS bigint LANGUAGE sql AS $$
  INSERT INTO fast_ingest.events (event_name, channel, user_id, ts, site_id) SELECT 'kind', 'web', 'user', t, 'kind' FROM unnest(times) t;
  SELECT count(*) FROM fast_ingest.events WHERE event_name = 'kind'
$$;
-- total, by minutes; and by days
CREATE FUNCTION counted() RETURNS TABLE (raw bigint, channels bigint, sites bigint) LANGUAGE sql AS $$
  SELECT count(*), (SELECT total_events FROM fi_metrics('kind')), (SELECT coalesce(sum(total_events), 0) FROM fi_metrics('kind', group_by => 'site'))
  FROM fast_ingest.events WHERE event_name = 'kind'
$$;

-- a default partition with one row: its day is gone, and no other
CREATE TABLE public.rest PARTITION OF fast_ingest.events DEFAULT;
SELECT add('{2033-01-10 12:00Z}');
SELECT add('{2033-01-11 12:00Z}');
DROP TABLE public.rest;
SELECT low, high FROM fast_ingest.lost_rows;
SELECT fi_create_partition('2033-03-01');
SELECT add('{2033-03-01 12:00:10Z,2033-03-01 12:00:50Z}');
DELETE FROM fast_ingest.events WHERE ts = '2033-03-01 12:00:10Z';
SELECT * FROM counted();
SELECT recounted_rows FROM fi_rebuild();
SELECT * FROM counted();
SELECT total_events FROM fi_metrics('kind', '2033-03-01 12:00:30Z', '2033-03-02');
SELECT total_events FROM fi_metrics('kind', '2033-01-10 12:00:30Z', '2033-03-02');
DROP TABLE fast_ingest.events_20330301;
TRUNCATE fast_ingest.events;

-- without bounds, which is not the default partition; and back again
CREATE TABLE public.everything PARTITION OF fast_ingest.events FOR VALUES FROM (MINVALUE) TO (MAXVALUE);
SELECT add('{2033-01-10 12:00Z,2033-01-12 12:00Z}');
ALTER TABLE fast_ingest.events DETACH PARTITION public.everything CONCURRENTLY;
SELECT low, high FROM fast_ingest.lost_rows ORDER BY low;
ALTER TABLE fast_ingest.events ATTACH PARTITION public.everything FOR VALUES FROM ('-infinity') TO ('infinity');
SELECT low, high FROM fast_ingest.lost_rows;
SELECT * FROM counted();
-- other times than before, and other rows
ALTER TABLE fast_ingest.events DETACH PARTITION public.everything;
DELETE FROM public.everything WHERE ts > '2033-01-12';
INSERT INTO public.everything (event_name, channel, user_id, ts, site_id) VALUES ('kind', 'web', 'user', '2033-01-10 13:00Z', 'kind');
ALTER TABLE fast_ingest.events ATTACH PARTITION public.everything FOR VALUES FROM (MINVALUE) TO ('2033-01-12');
SELECT low, high FROM fast_ingest.lost_rows;
SELECT * FROM counted();
SELECT recounted_rows FROM fi_refresh();
SELECT * FROM counted();
DROP TABLE public.everything;
TRUNCATE fast_ingest.events;

-- partitions of partitions: by time, with a default one, and by something else
CREATE TABLE public.month PARTITION OF fast_ingest.events FOR VALUES FROM ('2033-02-01') TO ('2033-03-01') PARTITION BY RANGE (ts);
CREATE TABLE public.month_first PARTITION OF public.month FOR VALUES FROM (MINVALUE) TO ('2033-02-10');
CREATE TABLE public.month_rest PARTITION OF public.month DEFAULT PARTITION BY LIST (channel);
CREATE TABLE public.month_rest_web PARTITION OF public.month_rest FOR VALUES IN ('web');
CREATE TABLE public.month_rest_others PARTITION OF public.month_rest DEFAULT;
SELECT add('{2033-02-05 12:00Z,2033-02-06 12:00Z,2033-02-20 12:00Z}');
INSERT INTO fast_ingest.events (event_name, channel, user_id, ts, site_id) VALUES ('kind', 'api', 'user', '2033-02-21 12:00Z', 'kind');
-- a leaf
ALTER TABLE public.month DETACH PARTITION public.month_first;
SELECT low, high FROM fast_ingest.lost_rows;
ALTER TABLE public.month ATTACH PARTITION public.month_first FOR VALUES FROM (MINVALUE) TO ('2033-02-10');
SELECT low, high FROM fast_ingest.lost_rows;
-- one that shares its times: only the day on which it held rows is gone
DROP TABLE public.month_rest_others;
SELECT low, high FROM fast_ingest.lost_rows;
DELETE FROM fast_ingest.events WHERE ts = '2033-02-20 12:00Z';
SELECT * FROM counted();
-- a branch, as it is now
SELECT add('{2033-02-20 13:00Z}');
ALTER TABLE fast_ingest.events DETACH PARTITION public.month;
SELECT low, high FROM fast_ingest.lost_rows ORDER BY low;
SELECT * FROM counted();
ALTER TABLE fast_ingest.events ATTACH PARTITION public.month FOR VALUES FROM ('2033-02-01') TO ('2033-03-01');
SELECT low, high FROM fast_ingest.lost_rows ORDER BY low;
UPDATE fast_ingest.events SET ts = ts + interval '10 days' WHERE ts < '2033-02-06';
SELECT recounted_rows FROM fi_refresh();
SELECT * FROM counted();
DROP TABLE public.month, public.month_first;
SELECT low, high FROM fast_ingest.lost_rows ORDER BY low;
TRUNCATE fast_ingest.events;

-- what was changed is counted before the rows go
SELECT fi_create_partition('2033-01-10');
SELECT add('{2033-01-10 12:00Z,2033-01-10 13:00Z}');
SELECT events FROM fi_refresh();
DELETE FROM fast_ingest.events WHERE ts = '2033-01-10 13:00Z';
BEGIN ISOLATION LEVEL REPEATABLE READ;
DROP TABLE fast_ingest.events_20330110;
ROLLBACK;
ALTER TABLE fast_ingest.events DETACH PARTITION fast_ingest.events_20330110;
SELECT low, high FROM fast_ingest.lost_rows;
SELECT * FROM counted();
DROP TABLE fast_ingest.events_20330110;
-- nothing is left of what was deleted
SELECT fi_create_partition('2033-01-11');
SELECT add('{2033-01-11 12:00Z}');
TRUNCATE fast_ingest.events_20330111;
DROP TABLE fast_ingest.events_20330111;
SELECT low, high FROM fast_ingest.lost_rows;
SELECT * FROM counted();
TRUNCATE fast_ingest.events;

-- one that is detached is not marked by what took its day meanwhile, and comes back whole
SELECT fi_create_partition('2033-01-10');
SELECT add('{2033-01-10 12:00Z,2033-01-10 13:00Z}');
SELECT events FROM fi_refresh();
ALTER TABLE fast_ingest.events DETACH PARTITION fast_ingest.events_20330110;
CREATE TABLE public.everything PARTITION OF fast_ingest.events DEFAULT;
DROP TABLE public.everything;
SELECT low, high, partition::regclass FROM fast_ingest.lost_rows;
DROP TRIGGER fi_inserted ON fast_ingest.events_20330110;
DROP TRIGGER fi_updated ON fast_ingest.events_20330110;
DROP TRIGGER fi_deleted ON fast_ingest.events_20330110;
ALTER TABLE fast_ingest.events ATTACH PARTITION fast_ingest.events_20330110 FOR VALUES FROM ('2033-01-10 00:00Z') TO ('2033-01-11 00:00Z');
SELECT low, high FROM fast_ingest.lost_rows;
DELETE FROM fast_ingest.events WHERE ts = '2033-01-10 12:00Z';
SELECT * FROM counted();
-- what was stored in it meanwhile is missing nevertheless
ALTER TABLE fast_ingest.events DETACH PARTITION fast_ingest.events_20330110;
CREATE TABLE public.everything PARTITION OF fast_ingest.events DEFAULT;
SELECT add('{2033-01-10 14:00Z}');
DROP TABLE public.everything;
DROP TABLE fast_ingest.events_20330110;
SELECT low, high FROM fast_ingest.lost_rows;
SELECT * FROM counted();
TRUNCATE fast_ingest.events;

-- nor for the rest of a day of which somebody else's part has gone
CREATE TABLE public.somebody PARTITION OF fast_ingest.events FOR VALUES FROM ('2033-01-09 21:00Z') TO ('2033-01-10 21:00Z');
CREATE TABLE public.everything PARTITION OF fast_ingest.events DEFAULT;
SELECT add('{2033-01-10 12:00Z,2033-01-11 12:00Z}');
DROP TABLE public.somebody;
DROP TABLE public.everything;
SELECT low, high FROM fast_ingest.lost_rows ORDER BY low;
SELECT * FROM counted();
TRUNCATE fast_ingest.events;

-- a breakdown that is added later does not know what is gone, and says so
SELECT fi_create_partition('2033-01-10'), fi_create_partition('2033-01-11');
SELECT add('{2033-01-10 12:00Z,2033-01-11 12:00Z,2033-01-11 13:00Z}');
ALTER TABLE fast_ingest.events DETACH PARTITION fast_ingest.events_20330110;
SELECT 'added' AS user FROM fi_add_breakdown('user', 'user_id');
SELECT total_events FROM fi_metrics('kind', group_by => 'user');
SELECT recounted_rows FROM fi_refresh();
SELECT low, high, breakdown IS NOT NULL AS is_of_one FROM fast_ingest.recount;
SELECT recounted_rows FROM fi_refresh();
SELECT total_events FROM fi_metrics('kind', group_by => 'user');
SELECT total_events FROM fi_metrics('kind', '2033-01-11'::timestamptz, group_by => 'user');
SELECT total_events FROM fi_metrics('other', group_by => 'user');
-- until it comes back
DROP TRIGGER fi_inserted ON fast_ingest.events_20330110;
DROP TRIGGER fi_updated ON fast_ingest.events_20330110;
DROP TRIGGER fi_deleted ON fast_ingest.events_20330110;
ALTER TABLE fast_ingest.events ATTACH PARTITION fast_ingest.events_20330110 FOR VALUES FROM ('2033-01-10 00:00Z') TO ('2033-01-11 00:00Z');
SELECT total_events FROM fi_metrics('kind', group_by => 'user');
SELECT recounted_rows > 0 AS counted FROM fi_refresh();
SELECT low, high FROM fast_ingest.recount;
SELECT total_events FROM fi_metrics('kind', group_by => 'user');
SELECT 'dropped' AS user FROM fi_drop_breakdown('user');
DROP TABLE fast_ingest.events_20330110, fast_ingest.events_20330111;
TRUNCATE fast_ingest.events;

-- rows that come with their table
CREATE TABLE public.brought (LIKE fast_ingest.events INCLUDING ALL);
INSERT INTO public.brought (event_name, channel, user_id, ts, site_id) VALUES ('kind', 'web', 'user', '2033-01-10 12:00Z', 'kind'), ('kind', 'web', 'user', '2033-04-01 12:00Z', 'kind');
ALTER TABLE fast_ingest.events ATTACH PARTITION public.brought DEFAULT;
SELECT low, high, breakdown FROM fast_ingest.recount ORDER BY low;
SELECT * FROM counted();
SELECT recounted_rows > 0 AS merged FROM fi_refresh();
SELECT * FROM counted();
DROP TABLE public.brought;
TRUNCATE fast_ingest.events;

-- or are elsewhere; and a table whose server cannot be asked may go
CREATE FOREIGN DATA WRAPPER regress_fast_ingest;
CREATE SERVER regress_fast_ingest FOREIGN DATA WRAPPER regress_fast_ingest;
CREATE FOREIGN TABLE public.elsewhere PARTITION OF fast_ingest.events FOR VALUES FROM ('2033-01-10') TO ('2033-01-12') SERVER regress_fast_ingest;
SELECT low, high FROM fast_ingest.recount;
DROP FOREIGN TABLE public.elsewhere;
DROP SERVER regress_fast_ingest;
DROP FOREIGN DATA WRAPPER regress_fast_ingest;
SELECT low, high FROM fast_ingest.lost_rows;
TRUNCATE fast_ingest.events;

-- of days in another time zone: part of two UTC days, and of an hour
CREATE TABLE public.kathmandu PARTITION OF fast_ingest.events FOR VALUES FROM ('2033-01-10 00:00 Asia/Kathmandu') TO ('2033-01-11 00:00 Asia/Kathmandu');
CREATE TABLE public.kathmandu_next PARTITION OF fast_ingest.events FOR VALUES FROM ('2033-01-11 00:00 Asia/Kathmandu') TO ('2033-01-12 00:00 Asia/Kathmandu');
SELECT add('{2033-01-10 12:00Z,2033-01-10 18:10Z,2033-01-10 18:20Z,2033-01-11 12:00Z}');
SELECT events FROM fi_refresh();
DELETE FROM fast_ingest.events WHERE ts = '2033-01-10 12:00Z';
SELECT * FROM counted();
SELECT recounted_rows FROM fi_refresh();
SELECT * FROM counted();
SELECT total_events FROM fi_metrics('kind', '2033-01-10 18:10:30Z', '2033-01-11 13:00Z');
DELETE FROM fast_ingest.events WHERE ts = '2033-01-10 18:20Z';
SELECT recounted_rows FROM fi_refresh();
DROP TABLE public.kathmandu_next;
-- none after 18:15 on the 10th
SELECT low, high FROM fast_ingest.lost_rows ORDER BY low;
SELECT * FROM counted();
DROP TABLE public.kathmandu;
TRUNCATE fast_ingest.events;

-- marks without an end are such as SQL reads
SELECT 'added' AS campaign FROM fi_add_breakdown('campaign', 'campaign_id');
SELECT low, high FROM fast_ingest.recount WHERE breakdown IS NOT NULL;
SELECT low::text::timestamptz = low AND high::text::timestamptz = high AS is_read FROM fast_ingest.recount;
SELECT recounted_rows FROM fi_refresh();
SELECT 'dropped' AS campaign FROM fi_drop_breakdown('campaign');

DROP FUNCTION add(timestamptz[]), counted();
