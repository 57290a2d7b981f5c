--
-- The rollup and its queries: fi_metrics and what goes with it. The days are
-- long over, so that nothing here depends on the clock.
--
SET timezone = 'UTC';
SET datestyle = 'ISO, YMD';
\set SHOW_CONTEXT never

SELECT count(*) AS partitions
FROM generate_series('2024-08-11'::date, '2024-08-15', '1 day') day, LATERAL fi_create_partition(day::date);

-- Ten minutes of every hour of three days: two names, three channels, a user
-- for each event, one of seven without
CREATE VIEW sample AS
SELECT CASE WHEN n % 5 = 0 THEN 'click' ELSE 'view' END AS event_name,
       (ARRAY['web', 'mobile', 'api'])[n % 3 + 1] AS channel,
       CASE WHEN n % 7 > 0 THEN 'user' || n * 11 % 211 END AS user_id,
       '2024-08-12 00:00Z'::timestamptz + n * interval '6 minutes 1 second' AS ts,
       CASE WHEN n % 4 > 0 THEN 'c' || n % 4 END AS campaign_id,
       CASE WHEN n % 6 > 0 THEN 'site' || n % 2 END AS site_id,
       '/' || n % 4 AS path,
       CASE n % 3 WHEN 0 THEN '{"plan": "pro"}' WHEN 1 THEN '{"plan": null}' END::jsonb AS metadata
FROM generate_series(0, 717) n;

INSERT INTO fast_ingest.events (event_name, channel, user_id, ts, campaign_id, site_id, path, metadata)
SELECT * FROM sample;

-- How many queries are asked, and how many rows of the answers are not those
-- of the raw rows: every range, group, channel and time zone
CREATE FUNCTION differing(OUT queries integer, OUT differing bigint) LANGUAGE plpgsql STABLE AS $$
DECLARE
  q record;
  n bigint;
BEGIN
  queries := 0;
  differing := 0;
  FOR q IN
    SELECT * FROM
      unnest('{UTC,Asia/Kathmandu,America/New_York}'::text[]) zone,
      (VALUES (NULL::timestamptz, NULL::timestamptz), ('2024-08-12 00:00Z', '2024-08-15 00:00Z'),
        ('2024-08-12 07:00Z', '2024-08-14 22:00Z'), ('2024-08-12 07:08Z', '2024-08-14 22:23Z'),
        ('2024-08-12 07:08:09Z', '2024-08-12 07:49:01Z'), ('2024-08-12 23:59:57.5Z', '2024-08-14 00:00:00.000001Z'),
        ('2024-08-13 12:34:56Z', NULL), (NULL, '2024-08-13 00:00Z')) range (since, until),
      (VALUES ('channel', 'channel'), ('site', 'site_id'), ('page', 'path'), (NULL, '''-''::text'),
        ('hour', 'date_trunc(''hour'', ts, %L)::text'), ('day', 'date_trunc(''day'', ts, %L)::text')) grouping (name, key),
      unnest('{web,NULL}'::text[]) channel
  LOOP
    EXECUTE format($q$
      SELECT count(*) FROM
        (SELECT CASE WHEN $1 IN ('hour', 'day') THEN group_key::timestamptz::text ELSE coalesce(group_key, '-') END AS k,
                total_events AS t, unique_users AS u
         FROM fi_metrics('view', $2, $3, $1, $4, $5, false)) ours
        FULL JOIN
        (SELECT %s AS k, count(*) AS t, count(DISTINCT user_id) AS u FROM fast_ingest.events
         WHERE event_name = 'view' AND ts >= coalesce($2, '-infinity') AND ts < coalesce($3, 'infinity')
           AND channel = coalesce($4, channel) GROUP BY 1) raw USING (k)
      WHERE (coalesce(ours.t, 0), coalesce(ours.u, 0)) IS DISTINCT FROM (coalesce(raw.t, 0), coalesce(raw.u, 0))
        AND coalesce(raw.k, ours.k) IS NOT NULL $q$, format(q.key, q.zone))
      INTO n USING q.name, q.since, q.until, q.channel, q.zone;
    queries := queries + 1;
    differing := differing + n;
  END LOOP;
END $$;

-- what is in the rollup, and what has yet to come into it
CREATE VIEW backlog AS
SELECT (SELECT count(*) FROM fast_ingest.rollup_delta) > 0 AS deltas,
       (SELECT count(*) FROM fast_ingest.recount) > 0 AS marked,
       (SELECT coalesce(sum(events), 0) FROM fast_ingest.rollup WHERE breakdown = 1 AND level = 3) AS in_days;

--
-- The same answers before and after the refresh
--
SELECT * FROM fi_metrics('view');
SELECT * FROM differing();
SELECT * FROM backlog;
SELECT events, groups, new_users, recounted_rows FROM fi_refresh();
SELECT * FROM fi_metrics('view');
SELECT * FROM differing();
SELECT * FROM backlog;
-- nothing is left to do
SELECT events, groups, new_users, recounted_rows FROM fi_refresh();

--
-- fi_metrics
--
SELECT * FROM fi_metrics('view', group_by => 'channel');
SELECT * FROM fi_metrics('view', group_by => 'site');
SELECT * FROM fi_metrics('view', group_by => 'page');
SELECT * FROM fi_metrics('view', group_by => 'day');
SELECT * FROM fi_metrics('view', group_by => 'day', channel => 'web', time_zone => 'America/New_York');
SELECT * FROM fi_metrics('view', '2024-08-12 22:00Z', '2024-08-13 02:00Z', 'hour');
SELECT * FROM fi_metrics('view', '2024-08-12 22:00Z', '2024-08-13 02:00Z', 'hour', time_zone => 'Asia/Kathmandu');
SELECT * FROM fi_metrics('view', '2024-08-12 22:00Z', '2024-08-13 02:00Z', 'hour', time_zone => '+02');
-- the groups of the most events only, whose rows are all that is read of users
SELECT * FROM fi_metrics('view', group_by => 'page', max_groups => 2);
SELECT * FROM fi_metrics(group_by => 'event', max_groups => 1);
SELECT * FROM fi_metrics(group_by => 'site', max_groups => NULL) EXCEPT ALL SELECT * FROM fi_metrics(group_by => 'site', max_groups => 2147483647);
SELECT * FROM fi_metrics('view', group_by => 'channel', max_groups => 0);
SELECT * FROM fi_metrics('view', group_by => 'day', max_groups => 3);
SELECT * FROM fi_metrics_sources('view', max_groups => 3);
-- one row where there are no groups, whatever was asked
SELECT * FROM fi_metrics('nothing');
SELECT * FROM fi_metrics('view', channel => 'fax');
SELECT * FROM fi_metrics('view', '1999-01-01', '1999-01-02');
SELECT * FROM fi_metrics('view', '1999-01-01', '1999-01-02', 'channel');
-- the session's time zone and search_path do not matter
SET timezone = 'Australia/Lord_Howe';
SET search_path = pg_catalog;
SELECT * FROM public.fi_metrics('view', '2024-08-12 12:00Z', '2024-08-12 14:00Z', 'hour');
RESET search_path;
SET timezone = 'UTC';
-- called for every row of something
SELECT name, m.* FROM unnest('{click,view,nothing}'::text[]) name, LATERAL fi_metrics(name) m ORDER BY name;
SELECT fi_metrics('click');

-- hours and days without events: zeros, or nothing
SELECT * FROM fi_metrics('view', '2024-08-14 22:00Z', '2024-08-15 02:00Z', 'hour');
SELECT * FROM fi_metrics('view', '2024-08-14 22:00Z', '2024-08-15 02:00Z', 'hour', fill => false);
SELECT * FROM fi_metrics('view', '2024-08-10 00:00Z', '2024-08-17 00:00Z', 'day');
SELECT * FROM fi_metrics('nothing', '2024-08-12 01:30Z', '2024-08-12 03:30Z', 'hour');
SELECT * FROM fi_metrics('nothing', group_by => 'hour');

-- times: an untyped literal is one, and Unix seconds become one
SELECT * FROM fi_metrics('view', '2024-08-12 12:00:01Z'::timestamptz, '2024-08-12 13:00:02Z'::timestamptz);
SELECT * FROM fi_metrics('view', '2024-08-12 12:00:01Z', '2024-08-12T15:00:02+02:00');
SELECT * FROM fi_metrics('view', to_timestamp(1723464001), to_timestamp(1723467602));
SELECT * FROM fi_metrics('view', since => '2024-08-12 12:00:01Z', until => '2024-08-12 13:00:02Z');
SELECT * FROM fi_metrics('view', 1723464001);
SELECT * FROM fi_metrics('view', 'yesterday is long ago', NULL);
SELECT * FROM fi_metrics('view', '12:61', NULL);
-- without one of them, or both
SELECT * FROM fi_metrics('view', '2024-08-12 12:00:01Z', NULL);
SELECT * FROM fi_metrics('view', NULL, '2024-08-12 13:00:02Z'::timestamptz);
SELECT * FROM fi_metrics('view', NULL, NULL);
SELECT * FROM fi_metrics('view', '-infinity'::timestamptz, 'infinity'::timestamptz);
SELECT * FROM fi_metrics('view', '-infinity'::timestamptz, 'infinity'::timestamptz, 'day');

-- queries that have no answer
SELECT * FROM fi_metrics(group_by => 'nothing');
SELECT * FROM fi_metrics('');
SELECT * FROM fi_metrics('view', '2024-08-13 00:00Z', '2024-08-12 00:00Z');
SELECT * FROM fi_metrics('view', '2024-08-13 00:00Z', '2024-08-13 00:00Z');
SELECT * FROM fi_metrics('view', week_start => 'tuesday');
SELECT * FROM fi_metrics('view', group_by => '');
SELECT * FROM fi_metrics('view', group_by => 'Channel');
SELECT * FROM fi_metrics('view', time_zone => 'Mars/Olympus');
SELECT * FROM fi_metrics('view', time_zone => '');
SELECT * FROM fi_metrics('view', group_by => 'hour', time_zone => 'Mars/Olympus');
SELECT * FROM fi_metrics('view', '0001-01-01 00:00Z', '2024-08-12 00:00Z', 'hour');

--
-- What an answer is made from
--
-- all names together, of days: as many rows as keys
SELECT * FROM fi_metrics_sources(NULL, '2024-08-12 00:00Z', '2024-08-15 00:00Z', 'page') WHERE source = 'day';
SELECT * FROM fi_metrics_sources(NULL, '2024-08-12 00:00Z', '2024-08-15 00:00Z', filter => '{"site": "site1"}') WHERE source = 'day';
SELECT * FROM fi_metrics_sources(NULL, '2024-08-12 00:00Z', '2024-08-15 00:00Z', 'page', max_groups => 1) WHERE source = 'day';
SELECT * FROM fi_metrics_sources('view', '2024-08-12 00:00Z', '2024-08-15 00:00Z');
SELECT * FROM fi_metrics_sources('view', '2024-08-12 00:00Z', '2024-08-15 00:00Z', 'channel');
SELECT * FROM fi_metrics_sources('view', '2024-08-12 00:00Z', '2024-08-14 05:00Z');
SELECT * FROM fi_metrics_sources('view', '2024-08-12 00:30Z', '2024-08-12 02:20Z');
SELECT * FROM fi_metrics_sources('view', '2024-08-12 00:30:01Z', '2024-08-14 02:20:59Z');
SELECT * FROM fi_metrics_sources('view', '2024-08-12 00:00Z', '2024-08-13 00:00Z', 'hour');

--
-- fi_stats, fi_top_paths
--
SELECT * FROM fi_stats('site1', '2024-08-13');
SELECT count(*) AS total_views, count(DISTINCT user_id) AS unique_users FROM fast_ingest.events
WHERE site_id = 'site1' AND ts >= '2024-08-13 00:00Z' AND ts < '2024-08-14 00:00Z';
SELECT * FROM fi_top_paths('site1', '2024-08-13');
SELECT path, count(*) FROM fast_ingest.events
WHERE site_id = 'site1' AND ts >= '2024-08-13 00:00Z' AND ts < '2024-08-14 00:00Z' GROUP BY 1 ORDER BY 2 DESC, 1;
SELECT * FROM fi_top_paths('site1', '2024-08-13', 1);
SELECT * FROM fi_stats('site9', '2024-08-13');
SELECT * FROM fi_top_paths('site9', '2024-08-13');
SELECT * FROM fi_stats('site1', '1999-01-01');
SELECT * FROM fi_top_paths('site1', '1999-01-01');
SELECT * FROM fi_top_paths('site1', '2024-08-13', 0);
SELECT * FROM fi_top_paths('site1', '2024-08-13', NULL) EXCEPT SELECT * FROM fi_top_paths('site1', '2024-08-13', 10);
SELECT * FROM fi_stats(NULL, '2024-08-13');
SELECT * FROM fi_top_paths(NULL, '2024-08-13');
SELECT * FROM fi_stats('', '2024-08-13');
SELECT * FROM fi_stats('site1', 'infinity');
SELECT * FROM fi_top_paths('site1', 'infinity');

--
-- Offsets that change: days of 23, 25 and 24 and a half hours
--
DO $$BEGIN
  PERFORM fi_create_partition(day::date)
  FROM unnest('{2024-03-10,2024-03-11,2024-10-05,2024-10-06,2024-11-03,2024-11-04,2025-04-05,2025-04-06}'::date[]) day;
END$$;
INSERT INTO fast_ingest.events (event_name, channel, user_id, ts)
SELECT 'dst', 'web', 'user' || n % 4, start + n * interval '15 minutes'
FROM unnest('{2024-03-10 05:00Z,2024-11-03 04:00Z,2024-10-05 13:30Z,2025-04-05 13:00Z}'::timestamptz[]) start, generate_series(0, 15) n;
SELECT * FROM fi_metrics('dst', '2024-03-10 00:00 America/New_York', '2024-03-10 05:00 America/New_York', 'hour', time_zone => 'America/New_York');
SELECT * FROM fi_metrics('dst', '2024-11-03 00:00 America/New_York', '2024-11-03 04:00 America/New_York', 'hour', time_zone => 'America/New_York');
SELECT * FROM fi_metrics('dst', '2024-10-06 00:00 Australia/Lord_Howe', '2024-10-06 05:00 Australia/Lord_Howe', 'hour', time_zone => 'Australia/Lord_Howe');
SELECT * FROM fi_metrics('dst', '2025-04-06 00:00 Australia/Lord_Howe', '2025-04-06 04:00 Australia/Lord_Howe', 'hour', time_zone => 'Australia/Lord_Howe');
CREATE VIEW dst AS
SELECT zone, m.* FROM unnest('{UTC,America/New_York,Australia/Lord_Howe}'::text[]) zone,
  LATERAL fi_metrics('dst', group_by => 'day', time_zone => zone, fill => false) m;
SELECT * FROM dst;
CREATE TABLE before AS SELECT * FROM dst;
SELECT count(*) AS refreshes FROM fi_refresh();
SELECT * FROM dst EXCEPT ALL SELECT * FROM before;
SELECT count(*) FROM dst;
SELECT * FROM fi_metrics('dst', '2024-10-06 00:00 Australia/Lord_Howe', '2024-10-06 05:00 Australia/Lord_Howe', 'hour', time_zone => 'Australia/Lord_Howe');
SELECT * FROM fi_metrics('dst', '2024-11-02 00:00 America/New_York', '2024-11-06 00:00 America/New_York', 'day', time_zone => 'America/New_York');
DROP TABLE before;
DROP VIEW dst;

--
-- Events that come late, whichever way
--
INSERT INTO fast_ingest.events (event_name, channel, user_id, ts, path)
VALUES ('view', 'web', 'late', '2024-08-13 00:00Z', '/late'), ('view', 'fax', NULL, '2024-08-13 23:59:59.999999Z', '/late');
INSERT INTO fast_ingest.events_20240813 (event_name, channel, user_id, ts) VALUES ('view', 'web', 'partition', '2024-08-13 12:00Z');
COPY fast_ingest.events (event_name, channel, user_id, ts) FROM stdin;
view	web	copy	2024-08-12 12:00:00+00
view	api	\N	2024-08-14 12:00:00+00
\.
COPY fast_ingest.events_20240812 (event_name, channel, user_id, ts) FROM stdin;
view	web	copy	2024-08-12 12:00:00+00
\.
INSERT INTO fast_ingest.events (event_name, channel, user_id, ts, event_key)
VALUES ('view', 'web', 'once', '2024-08-12 12:00Z', '00000000-0000-0000-0000-000000000001'),
       ('view', 'web', 'once', '2024-08-12 12:00Z', '00000000-0000-0000-0000-000000000001') ON CONFLICT DO NOTHING;
INSERT INTO fast_ingest.events_20240812 (event_name, channel, user_id, ts, event_key)
VALUES ('view', 'web', 'once', '2024-08-12 12:00Z', '00000000-0000-0000-0000-000000000001') ON CONFLICT DO NOTHING;
BEGIN;
INSERT INTO fast_ingest.events (event_name, channel, user_id, ts) VALUES ('view', 'web', 'never', '2024-08-12 12:00Z');
SELECT * FROM fi_metrics('view');
SAVEPOINT s;
INSERT INTO fast_ingest.events (event_name, channel, user_id, ts) VALUES ('view', 'web', 'never, either', '2024-08-12 12:00Z');
SELECT * FROM fi_metrics('view');
ROLLBACK TO s;
SELECT * FROM fi_metrics('view');
ROLLBACK;
SELECT * FROM fi_metrics('view');
SELECT * FROM differing();
SELECT * FROM fi_metrics_sources('view', '2024-08-12 00:00Z', '2024-08-15 00:00Z');
SELECT events, groups, new_users, recounted_rows FROM fi_refresh();
SELECT * FROM differing();
SELECT * FROM backlog;
SELECT * FROM fi_metrics_sources('view', '2024-08-12 00:00Z', '2024-08-15 00:00Z');
-- users have numbers of their own, the next of which the state knows
SELECT count(*) = count(DISTINCT user_no) AND max(user_no) < (SELECT users FROM fast_ingest.rollup_state) AS numbered FROM fast_ingest.users;

--
-- Events that go, or change
--
DELETE FROM fast_ingest.events WHERE user_id = 'user1' AND ts < '2024-08-13 00:00Z';
SELECT * FROM backlog;
SELECT * FROM differing();
SELECT * FROM fi_metrics_sources('view', '2024-08-12 00:00Z', '2024-08-15 00:00Z');
SELECT events, groups, new_users, recounted_rows FROM fi_refresh();
SELECT * FROM differing();
SELECT * FROM backlog;
UPDATE fast_ingest.events SET user_id = 'user2', channel = 'web' WHERE user_id = 'user3' AND ts >= '2024-08-14 00:00Z';
-- into another partition
UPDATE fast_ingest.events SET ts = ts + interval '1 day' WHERE path = '/1' AND ts BETWEEN '2024-08-12 20:00Z' AND '2024-08-13 01:00Z';
UPDATE fast_ingest.events_20240812 SET event_name = 'click' WHERE path = '/2' AND ts < '2024-08-12 04:00Z';
DELETE FROM fast_ingest.events_20240814 WHERE path = '/3';
SELECT * FROM differing();
SELECT events, groups, new_users, recounted_rows FROM fi_refresh();
SELECT * FROM differing();
-- nothing was deleted: nothing to do
DELETE FROM fast_ingest.events WHERE user_id = 'nobody';
UPDATE fast_ingest.events SET path = '/' WHERE user_id = 'nobody';
SELECT * FROM backlog;

--
-- fi_rebuild
--
CREATE TABLE good AS SELECT breakdown, level, event_name, bucket, scope, key, events, unique_users, users::text FROM fast_ingest.rollup;
UPDATE fast_ingest.rollup SET events = events + 1 WHERE event_name = 'view';
SELECT differing > 0 AS differing FROM differing();
SELECT events, groups, new_users, recounted_rows FROM fi_rebuild('2024-08-12 00:00Z', '2024-08-16 00:00Z');
SELECT * FROM differing();
SELECT count(*) FROM (
  SELECT breakdown, level, event_name, bucket, scope, key, events, unique_users, users::text FROM fast_ingest.rollup
  EXCEPT ALL SELECT * FROM good) changed;
DROP TABLE good;
SELECT events, groups, new_users, recounted_rows FROM fi_rebuild('2024-08-13 00:00Z', '2024-08-12 00:00Z');
SELECT events, groups, new_users, recounted_rows FROM fi_rebuild(NULL, NULL);

-- rows that somebody has spoilt are an error, and made again
BEGIN;
UPDATE fast_ingest.rollup SET users = NULL, minutes = NULL WHERE breakdown IN (0, 1);
SELECT * FROM fi_metrics('view', '2024-08-12 00:00Z', '2024-08-14 00:00Z');
ROLLBACK;
BEGIN;
UPDATE fast_ingest.rollup SET minutes = NULL;
SELECT * FROM fi_metrics('view', '2024-08-12 03:14Z', '2024-08-12 03:49Z');
ROLLBACK;
BEGIN;
INSERT INTO fast_ingest.rollup SELECT * FROM fast_ingest.rollup WHERE breakdown = 0 AND level = 2;
SELECT * FROM fi_metrics('view', '2024-08-12 03:00Z', '2024-08-12 04:00Z', 'hour');
ROLLBACK;
UPDATE fast_ingest.rollup SET users = NULL, minutes = NULL;
SELECT events, groups, new_users, recounted_rows FROM fi_rebuild();
SELECT * FROM differing();

-- a refresh must see what others have committed: it refuses a transaction with one snapshot
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT fi_refresh();
ROLLBACK;
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT fi_refresh();
ROLLBACK;
BEGIN READ ONLY;
SELECT fi_refresh();
ROLLBACK;
-- in such a transaction the answers are the same
BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;
SELECT * FROM differing();
COMMIT;

--
-- Breakdowns
--
SELECT 'added' AS campaign FROM fi_add_breakdown('campaign', 'campaign_id');
SELECT 'added' AS plan FROM fi_add_breakdown('plan', 'metadata->>''plan''', '{minute,hour,day}');
SELECT 'added' AS length FROM fi_add_breakdown('length', 'length(user_id)::text || ''/'' || upper(channel)', '{day}');
SELECT name, key, scope, finest, max_keys FROM fast_ingest.breakdowns ORDER BY id;
-- what was there, and what comes
SELECT * FROM fi_metrics('view', group_by => 'campaign');
SELECT campaign_id, count(*), count(DISTINCT user_id) FROM fast_ingest.events
WHERE event_name = 'view' AND campaign_id IS NOT NULL GROUP BY 1 ORDER BY 2 DESC, 1;
INSERT INTO fast_ingest.events (event_name, channel, user_id, ts, campaign_id, metadata)
VALUES ('view', 'web', 'new', '2024-08-12 12:00Z', 'c9', '{"plan": "gold"}'), ('view', 'web', 'new', '2024-08-12 12:00Z', '', '{"plan": ["a"]}');
SELECT * FROM fi_metrics('view', group_by => 'campaign');
SELECT * FROM fi_metrics('view', '2024-08-12 11:59Z', '2024-08-12 12:31:30Z', 'plan');
SELECT events, groups, new_users, recounted_rows FROM fi_refresh();
SELECT * FROM fi_metrics('view', group_by => 'campaign');
SELECT * FROM fi_metrics('view', '2024-08-12 11:59Z', '2024-08-12 12:31:30Z', 'plan');
SELECT metadata->>'plan' AS plan, count(*), count(DISTINCT user_id) FROM fast_ingest.events
WHERE event_name = 'view' AND ts >= '2024-08-12 11:59Z' AND ts < '2024-08-12 12:31:30Z' AND metadata->>'plan' IS NOT NULL GROUP BY 1 ORDER BY 2 DESC, 1;
SELECT * FROM fi_metrics('view', '2024-08-12 11:59Z', '2024-08-12 13:31Z', 'length', 'web');

-- names
SELECT fi_add_breakdown('campaign', 'campaign_id');
SELECT fi_add_breakdown('channel', 'channel');
SELECT fi_add_breakdown('hour', 'path');
SELECT fi_add_breakdown('day', 'path');
SELECT fi_add_breakdown('event_name', 'path');
SELECT fi_add_breakdown('metadata.plan', 'path');
SELECT fi_add_breakdown('metadata', 'path');
SELECT fi_add_breakdown('', 'path');
SELECT fi_add_breakdown(NULL, 'path');
SELECT fi_add_breakdown(repeat('x', 300), 'path');
-- expressions
SELECT fi_add_breakdown('bad', NULL);
SELECT fi_add_breakdown('bad', '');
SELECT fi_add_breakdown('bad', 'no_such_column');
SELECT fi_add_breakdown('bad', 'path ||');
SELECT fi_add_breakdown('bad', 'path, site_id');
SELECT fi_add_breakdown('bad', '*');
SELECT fi_add_breakdown('bad', 'events');
SELECT fi_add_breakdown('bad', 'random()::text');
SELECT fi_add_breakdown('bad', 'now()::text');
SELECT fi_add_breakdown('bad', 'ts::text');
SELECT fi_add_breakdown('bad', 'current_user::text');
SELECT fi_add_breakdown('bad', 'max(path)');
SELECT fi_add_breakdown('bad', 'first_value(path) OVER ()');
SELECT fi_add_breakdown('bad', 'unnest(tags)');
SELECT fi_add_breakdown('bad', '(SELECT path)');
SELECT fi_add_breakdown('bad', 'CASE WHEN EXISTS (SELECT 1 FROM pg_class) THEN path END');
SELECT fi_add_breakdown('bad', '$1');
SELECT fi_add_breakdown('bad', 'DEFAULT');
SELECT fi_add_breakdown('bad', '1) FROM x; DROP TABLE y --');
SELECT fi_add_breakdown('bad', 'path; DROP TABLE fast_ingest.events');
SELECT fi_add_breakdown('bad', 'path FROM fast_ingest.events');
SELECT fi_add_breakdown('bad', 'path /* ');
SELECT fi_add_breakdown('bad', 'pg_catalog.pg_sleep(1)::text');
SELECT fi_add_breakdown('bad', 'xmin::text');
SELECT fi_add_breakdown('bad', 'hash_record(events)::text');
SELECT fi_add_breakdown('bad', 'tableoid::text');
-- levels and the number of keys
SELECT fi_add_breakdown('bad', 'path', NULL);
SELECT fi_add_breakdown('bad', 'path', '{}');
SELECT fi_add_breakdown('bad', 'path', '{week}');
SELECT fi_add_breakdown('bad', 'path', '{hour,NULL}');
SELECT fi_add_breakdown('bad', 'path', '{minute,day}');
SELECT fi_add_breakdown('bad', 'path', '{minute}');
SELECT fi_add_breakdown('bad', 'path', '{day}', 0);
SELECT fi_add_breakdown('bad', 'path', '{day}', -1);
SELECT fi_add_breakdown('bad', 'path', '{day}', NULL);
SELECT fi_add_breakdown('bad', 'path', '{minute,quarter,hour,day}');
SELECT fi_add_breakdown('bad', 'path', '{quarter,day}');
SELECT fi_add_breakdown('bad', 'path', fine_days => -1);
SELECT fi_add_breakdown('bad', 'path', per_site => NULL);
SELECT name FROM fast_ingest.breakdowns WHERE name = 'bad' OR name LIKE 'x%';
SELECT fi_drop_breakdown('bad');
SELECT fi_drop_breakdown('channel');
SELECT fi_drop_breakdown('page');
SELECT fi_drop_breakdown('hour');
SELECT fi_drop_breakdown(NULL);

-- a comment ends with its line
SELECT 'added' AS path FROM fi_add_breakdown('paths', 'path -- ) FROM no_such_table');
SELECT count(*) FROM (SELECT * FROM fi_metrics('view', group_by => 'paths') EXCEPT SELECT * FROM fi_metrics('view', group_by => 'page')) differ;
SELECT 'dropped' AS path FROM fi_drop_breakdown('paths');
-- a member of metadata, whatever its name
SELECT fi_add_breakdown('bad');
SELECT fi_add_breakdown('bad', 'path', metadata => 'plan');
SELECT 'added' AS it FROM fi_add_breakdown('it', metadata => $$it's "\ $$, per_site => true, fine_days => 2);
SELECT key, scope, fine_days, is_array FROM fast_ingest.breakdowns WHERE name = 'it';
SELECT 'dropped' AS it FROM fi_drop_breakdown('it');
-- each element of an array
SELECT 'added' AS either FROM fi_add_breakdown('either', 'ARRAY[channel, path, NULL, channel]', '{quarter,hour,day}');
CREATE TEMP VIEW either AS
SELECT * FROM fi_metrics('view', '2024-08-12 07:15Z', '2024-08-14 22:45Z', 'either')
EXCEPT
SELECT key, count(*), count(DISTINCT user_id)
FROM (SELECT *, channel AS key FROM fast_ingest.events UNION ALL SELECT *, path FROM fast_ingest.events) e
WHERE event_name = 'view' AND ts >= '2024-08-12 07:15Z' AND ts < '2024-08-14 22:45Z' GROUP BY 1;
SELECT count(*) AS differ FROM either;
SELECT count(*) AS keys FROM fi_metrics('view', group_by => 'either');
SELECT 'refreshed' AS either FROM fi_refresh();
SELECT count(*) AS differ FROM either;
SELECT source, rows_read FROM fi_metrics_sources('view', '2024-08-12 07:15Z', '2024-08-14 22:45Z', 'either') WHERE source = 'raw';
DROP VIEW either;
SELECT 'dropped' AS either FROM fi_drop_breakdown('either');

-- an expression that fails for an event refuses the event, and one that fails
-- for an event that is there is not added
SELECT 'added' AS number FROM fi_add_breakdown('number', '((metadata->>''n'')::integer)::text');
SELECT fi_add_breakdown('bad', '(1 / (length(channel) - 3))::text');
INSERT INTO fast_ingest.events (event_name, channel, user_id, ts, metadata) VALUES ('view', 'web', 'x', '2024-08-12 12:00Z', '{"n": "many"}');
SELECT count(*) FROM fast_ingest.events WHERE user_id = 'x';
SELECT 'dropped' AS number FROM fi_drop_breakdown('number');
SELECT name FROM fast_ingest.breakdowns WHERE name IN ('bad', 'number');

-- keys beyond the largest number of them are counted together
SELECT 'added' AS hit FROM fi_add_breakdown('hit', 'path', '{hour,day}', 2);
SELECT count(*) AS refreshes FROM fi_refresh();
SELECT count(*) AS keys, sum(total_events) AS total FROM fi_metrics('view', '2024-08-13 00:00Z', '2024-08-14 00:00Z', 'hit');
SELECT count(*) FROM fast_ingest.events
WHERE event_name = 'view' AND ts >= '2024-08-13 00:00Z' AND ts < '2024-08-14 00:00Z' AND path IS NOT NULL;
SELECT count(*) FROM fi_metrics('view', '2024-08-13 00:00Z', '2024-08-14 00:00Z', 'hit') WHERE group_key IS NULL;
-- of an hour; a day has all keys of its hours
SELECT level, max(keys) FROM (
  SELECT level, count(*) AS keys FROM fast_ingest.rollup
  WHERE breakdown = (SELECT id FROM fast_ingest.breakdowns WHERE name = 'hit') AND NOT is_other GROUP BY event_name, level, bucket) bucket
GROUP BY level ORDER BY level;
-- a key may be long
INSERT INTO fast_ingest.events (event_name, channel, user_id, ts, campaign_id)
VALUES ('long', 'web', 'a', '2024-08-12 12:00Z', repeat('x', 5000) || 1), ('long', 'web', 'a', '2024-08-12 12:00Z', repeat('x', 5000) || 2),
       ('long', 'web', 'b', '2024-08-12 12:00Z', repeat('x', 5000) || 2);
SELECT octet_length(group_key) < 300 AS cut, total_events, unique_users FROM fi_metrics('long', group_by => 'campaign') ORDER BY 2;
SELECT count(*) AS refreshes FROM fi_refresh();
SELECT octet_length(group_key) < 300 AS cut, total_events, unique_users FROM fi_metrics('long', group_by => 'campaign') ORDER BY 2;
SELECT total_events, unique_users FROM fi_metrics('long', channel => repeat('x', 5000));

-- dropped, with all it had
SELECT 'dropped' AS hit FROM fi_drop_breakdown('hit');
SELECT 'dropped' AS length FROM fi_drop_breakdown('length');
SELECT * FROM fi_metrics('view', group_by => 'hit');
SELECT count(*) AS refreshes FROM fi_refresh();
SELECT count(*) FROM fast_ingest.rollup WHERE greatest(breakdown, ~breakdown) NOT IN (SELECT id FROM fast_ingest.breakdowns UNION SELECT 0);
SELECT * FROM differing();

-- one statement with events far apart: it has none on the day between
SELECT count(*) FROM unnest('{2024-08-20,2024-08-21,2024-08-22}'::date[]) day, LATERAL fi_create_partition(day);
INSERT INTO fast_ingest.events (event_name, channel, ts) VALUES ('gap', 'web', '2024-08-20 12:00Z'), ('gap', 'web', '2024-08-22 12:00Z');
DROP TABLE fast_ingest.events_20240821;
SELECT count(*) FROM fast_ingest.lost_rows WHERE low < '2024-08-22 00:00Z' AND high > '2024-08-21 00:00Z';
SELECT * FROM fi_metrics('gap', '2024-08-21 12:00:30Z', '2024-08-21 12:00:45Z');
DELETE FROM fast_ingest.events WHERE event_name = 'gap';
SELECT count(*) AS refreshes FROM fi_refresh();

--
-- The rollup outlives the raw rows
--
CREATE TABLE before AS
SELECT 1 AS n, m.* FROM fi_metrics('view') m
UNION ALL SELECT 2, m.* FROM fi_metrics('view', '2024-08-12 00:00Z', '2024-08-14 00:00Z', 'hour') m
UNION ALL SELECT 3, m.* FROM fi_metrics('view', '2024-08-12 00:00Z', '2024-08-14 00:00Z', 'channel') m
UNION ALL SELECT 4, m.* FROM fi_metrics('view', '2024-08-12 00:00Z', '2024-08-14 00:00Z', 'campaign') m
UNION ALL SELECT 5, m.* FROM fi_metrics('view', '2024-08-12 03:14Z', '2024-08-12 07:08Z') m;
CREATE VIEW after AS
SELECT 1 AS n, m.* FROM fi_metrics('view') m
UNION ALL SELECT 2, m.* FROM fi_metrics('view', '2024-08-12 00:00Z', '2024-08-14 00:00Z', 'hour') m
UNION ALL SELECT 3, m.* FROM fi_metrics('view', '2024-08-12 00:00Z', '2024-08-14 00:00Z', 'channel') m
UNION ALL SELECT 4, m.* FROM fi_metrics('view', '2024-08-12 00:00Z', '2024-08-14 00:00Z', 'campaign') m
UNION ALL SELECT 5, m.* FROM fi_metrics('view', '2024-08-12 03:14Z', '2024-08-12 07:08Z') m;
DROP TABLE fast_ingest.events_20240812;
ALTER TABLE fast_ingest.events DETACH PARTITION fast_ingest.events_20240813;
SELECT count(*) AS refreshes FROM fi_refresh();
SELECT * FROM (TABLE before EXCEPT ALL TABLE after) gone;
SELECT * FROM (TABLE after EXCEPT ALL TABLE before) come;
-- a query that needs raw rows says that they are gone
SELECT * FROM fi_metrics('view', '2024-08-12 03:14:15Z', '2024-08-12 07:08Z');
-- a rebuild does not forget what was counted of them
SELECT count(*) AS rebuilds FROM fi_rebuild('2024-08-11 00:00Z', '2024-08-15 00:00Z');
SELECT * FROM (TABLE before EXCEPT ALL TABLE after) gone;
-- a table that is no partition is not counted, and rows that come back are not counted twice
INSERT INTO fast_ingest.events_20240813 (event_name, channel, user_id, ts) VALUES ('view', 'web', 'detached', '2024-08-13 12:00Z');
UPDATE fast_ingest.events_20240813 SET channel = 'fax' WHERE user_id = 'detached';
DELETE FROM fast_ingest.events_20240813 WHERE user_id = 'detached';
SELECT * FROM backlog;
BEGIN;
TRUNCATE fast_ingest.events_20240813;
SELECT * FROM (TABLE before EXCEPT ALL TABLE after) gone;
ROLLBACK;
SELECT * FROM (TABLE before EXCEPT ALL TABLE after) gone;
ALTER TABLE fast_ingest.events ATTACH PARTITION fast_ingest.events_20240813 FOR VALUES FROM ('2024-08-13 00:00Z') TO ('2024-08-14 00:00Z');
SELECT count(*) AS refreshes FROM fi_refresh();
SELECT * FROM (TABLE before EXCEPT ALL TABLE after) gone;
DROP VIEW after;
DROP TABLE before;

--
-- TRUNCATE: of a partition, undone, and of all
--
BEGIN;
TRUNCATE fast_ingest.events_20240814;
SELECT * FROM fi_metrics('view', '2024-08-14 00:00Z', '2024-08-15 00:00Z');
ROLLBACK;
SELECT * FROM fi_metrics('view', '2024-08-14 00:00Z', '2024-08-15 00:00Z');
TRUNCATE fast_ingest.events_20240814;
SELECT * FROM fi_metrics('view', '2024-08-14 00:00Z', '2024-08-15 00:00Z');
SELECT count(*) AS refreshes FROM fi_refresh();
SELECT * FROM fi_metrics('view', '2024-08-14 00:00Z', '2024-08-15 00:00Z');
TRUNCATE fast_ingest.events;
SELECT * FROM fi_metrics('view');
SELECT * FROM fi_metrics('dst');
SELECT count(*) AS refreshes FROM fi_refresh();
SELECT * FROM fi_metrics('view');
SELECT * FROM backlog;

--
-- Not for everybody
--
CREATE ROLE regress_fast_ingest_nobody;
SET ROLE regress_fast_ingest_nobody;
SELECT * FROM fi_metrics('view');
SELECT fi_refresh();
SELECT fi_rebuild('2024-08-12 00:00Z', '2024-08-16 00:00Z');
SELECT fi_add_breakdown('mine', 'path');
SELECT fi_drop_breakdown('campaign');
RESET ROLE;
DROP ROLE regress_fast_ingest_nobody;

-- nothing is left
SELECT 'dropped' AS campaign FROM fi_drop_breakdown('campaign');
SELECT 'dropped' AS plan FROM fi_drop_breakdown('plan');
DO $$
DECLARE
  partition regclass;
BEGIN
  FOR partition IN SELECT inhrelid FROM pg_inherits WHERE inhparent = 'fast_ingest.events'::regclass LOOP
    EXECUTE 'DROP TABLE ' || partition;
  END LOOP;
END $$;
DROP VIEW backlog, sample;
DROP FUNCTION differing();
