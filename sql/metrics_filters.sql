--
-- Filters, all event_names, and groups by event, week and month: every answer is that of the
-- raw rows. The days are long over, so that nothing here depends on the clock.
--
SET timezone = 'UTC';
SET datestyle = 'ISO, YMD';
\set SHOW_CONTEXT never

SELECT count(*) AS partitions
FROM generate_series('2023-12-30'::date, '2024-01-03', '1 day') day, LATERAL fi_create_partition(day::date);

-- Around the end of a month, which is a Sunday and the end of a year
CREATE VIEW sample AS
SELECT (ARRAY['view', 'view', 'click', 'it''s'])[n % 4 + 1] AS event_name,
       (ARRAY['web', 'mobile', 'a,b'])[n % 3 + 1] AS channel,
       CASE WHEN n % 7 > 0 THEN 'user' || n * 11 % 61 END AS user_id,
       '2023-12-30 00:00Z'::timestamptz + n * interval '18 minutes 1 second' AS ts,
       CASE WHEN n % 4 > 0 THEN 'c' || n % 4 END AS campaign_id,
       CASE WHEN n % 6 > 0 THEN 'site' || n % 3 END AS site_id,
       CASE WHEN n % 5 > 0 THEN '/' || n % 5 END AS path,
       CASE n % 4 WHEN 0 THEN '{a,b,a}' WHEN 1 THEN '{a}' WHEN 2 THEN '{NULL,c}' END::text[] AS tags,
       jsonb_build_object('plan', (ARRAY['pro', 'free', NULL])[n % 3 + 1], 'n', n % 2, 'ok', n % 2 = 0, 'it''s', 'x') AS metadata
FROM generate_series(0, 390) n;

INSERT INTO fast_ingest.events (event_name, channel, user_id, ts, campaign_id, site_id, path, tags, metadata)
SELECT * FROM sample;
SELECT 'added' AS campaign FROM fi_add_breakdown('campaign', 'campaign_id');
SELECT 'added' AS plan FROM fi_add_breakdown('plan', metadata => 'plan', levels => '{minute,hour,day}');
SELECT 'added' AS label FROM fi_add_breakdown('label', 'tags');
SELECT 'added' AS source FROM fi_add_breakdown('source', 'campaign_id', '{quarter,hour,day}', per_site => true);

-- Filters, and the conditions that they stand for
CREATE VIEW filters AS
SELECT * FROM (VALUES (NULL, 'true'),
  ('{}', 'true'),
  ('{"channel": "web"}', 'channel = ''web'''),
  ('{"channel": ["web", "a,b", "web", "fax"]}', 'channel IN (''web'', ''a,b'')'),
  ('{"site": "site1"}', 'site_id = ''site1'''),
  ('{"site": ["site1", "site2"]}', 'site_id IN (''site1'', ''site2'')'),
  ('{"site": ""}', 'site_id = '''''),
  ('{"page": "/1"}', 'path = ''/1'''),
  ('{"site": "site1", "path": "/1"}', 'site_id = ''site1'' AND path = ''/1'''),
  ('{"site": ["site0", "site1"], "page": ["/1", "/4"]}', 'site_id IN (''site0'', ''site1'') AND path IN (''/1'', ''/4'')'),
  ('{"site": "site1", "channel": "mobile"}', 'site_id = ''site1'' AND channel = ''mobile'''),
  ('{"campaign_id": "c1"}', 'campaign_id = ''c1'''),
  ('{"campaign": ["c1", "c3"], "channel": "web"}', 'campaign_id IN (''c1'', ''c3'') AND channel = ''web'''),
  ('{"tag": "a"}', 'tags @> ''{a}'''),
  ('{"label": ["a", "c"]}', 'tags && ''{a,c}'''),
  ('{"site": "site1", "source": ["c1", "c3", "c1"]}', 'site_id = ''site1'' AND campaign_id IN (''c1'', ''c3'')'),
  ('{"tag": ["a", "c"], "site": "site2"}', 'tags && ''{a,c}'' AND site_id = ''site2'''),
  ('{"plan": "pro"}', 'metadata->>''plan'' = ''pro'''),
  ('{"metadata": {"plan": "pro"}}', 'metadata->>''plan'' = ''pro'''),
  ('{"metadata": {"plan": ["pro", "free"], "n": 1, "it''s": "x"}}', 'metadata->>''plan'' IN (''pro'', ''free'') AND metadata->>''n'' = ''1'''),
  ('{"metadata": {"ok": true}}', 'metadata->>''ok'' = ''true'''),
  ('{"metadata": {"none": "x"}}', 'false')) f (filter, condition);

-- How many queries are asked, how many groups of the answers are not those of the raw rows, and
-- in which answers these are
CREATE FUNCTION differing(names text[], OUT queries integer, OUT differing bigint, OUT wrong text[]) LANGUAGE plpgsql STABLE AS $$
DECLARE
  q record;
  n bigint;
BEGIN
  queries := 0;
  differing := 0;
  FOR q IN
    SELECT * FROM
      unnest(names) event_name,
      (VALUES (NULL::timestamptz, NULL::timestamptz), ('2023-12-31 07:00Z', '2024-01-02 22:00Z'),
        ('2023-12-31 07:08:09Z', '2024-01-02 22:23Z')) range (since, until),
      (VALUES ('channel', 'channel', 'UTC'), ('site', 'site_id', 'UTC'), ('page', 'path', 'UTC'), ('campaign', 'campaign_id', 'UTC'),
        (NULL, '''-''::text', 'UTC'), ('event', 'event_name', 'UTC'),
        ('hour', 'date_trunc(''hour'', ts, %L)::text', 'Asia/Kathmandu'), ('day', 'date_trunc(''day'', ts, %L)::text', 'America/New_York'),
        ('week', 'date_trunc(''week'', ts, %L)::text', 'UTC'), ('week', 'date_trunc(''week'', ts, %L)::text', 'America/New_York'),
        ('month', 'date_trunc(''month'', ts, %L)::text', 'Asia/Kathmandu')) grouping (name, key, zone),
      filters
  LOOP
    EXECUTE format($q$
      SELECT count(*) FROM
        (SELECT CASE WHEN $1 IN ('hour', 'day', 'week', 'month') THEN group_key::timestamptz::text ELSE coalesce(group_key, '-') END AS k,
                total_events AS t, unique_users AS u
         FROM fi_metrics($6, $2, $3, $1, time_zone => $4, filter => $5::jsonb, fill => false)) ours
        FULL JOIN
        (SELECT %s AS k, count(*) AS t, count(DISTINCT user_id) AS u FROM fast_ingest.events
         WHERE event_name = coalesce($6, event_name) AND ts >= coalesce($2, '-infinity') AND ts < coalesce($3, 'infinity')
           AND %s GROUP BY 1) raw USING (k)
      WHERE (coalesce(ours.t, 0), coalesce(ours.u, 0)) IS DISTINCT FROM (coalesce(raw.t, 0), coalesce(raw.u, 0))
        AND coalesce(raw.k, ours.k) IS NOT NULL $q$, format(q.key, q.zone), q.condition)
      INTO n USING q.name, q.since, q.until, q.zone, q.filter, q.event_name;
    queries := queries + 1;
    differing := differing + n;
    IF n > 0 AND coalesce(cardinality(wrong), 0) < 5 THEN
      wrong := wrong || q::text;
    END IF;
  END LOOP;
END $$;

--
-- The same answers before and after the refresh, and with late events
--
SELECT * FROM differing('{NULL,view}');
SELECT count(*) FROM fi_refresh();
SELECT * FROM differing('{NULL,it''s}');
INSERT INTO fast_ingest.events (event_name, channel, user_id, ts, campaign_id, site_id, path, tags, metadata)
SELECT 'late', channel, user_id, ts, campaign_id, site_id, path, tags, metadata FROM sample
WHERE ts >= '2023-12-31 20:00Z' AND ts < '2024-01-01 02:00Z';
DELETE FROM fast_ingest.events WHERE path = '/2' AND ts < '2023-12-30 12:00Z';
SELECT * FROM differing('{late}');
SELECT count(*) FROM fi_refresh();
SELECT * FROM differing('{NULL}');

--
-- What answers: rows of the rollup wherever it has them
--
CREATE FUNCTION sources(filter jsonb, group_by text DEFAULT NULL, event_name text DEFAULT NULL) RETURNS text LANGUAGE sql AS $$
  SELECT string_agg(source || ' ' || rows_read, ', ') FROM fi_metrics_sources(event_name, '2023-12-30 00:00Z', '2024-01-03 00:00Z', group_by, filter => filter)
  WHERE rows_read > 0
$$;
SELECT sources(NULL);
SELECT sources(NULL, 'event');
SELECT sources(NULL, 'week');
SELECT sources('{"channel": "web"}');
SELECT sources('{"channel": "web"}', 'event');
SELECT sources('{"channel": ["web", "mobile"]}', 'channel', 'view');
SELECT sources('{"site": "site1"}');
SELECT sources('{"site": "site1"}', 'event');
SELECT sources('{"site": "site1"}', 'site');
SELECT sources('{"site": "site1"}', 'page');
SELECT sources('{"site": "site1"}', 'page', 'view');
SELECT sources('{"site": "site1", "page": "/1"}');
SELECT sources('{"site": "site1", "path": "/1"}', 'page', 'view');
SELECT sources('{"page": ["/1", "/2"]}');
SELECT sources('{"metadata": {"plan": "pro"}}');
SELECT sources('{"tag": "a"}');
SELECT sources('{"site": "site1", "source": "c1"}', 'event');
SELECT sources('{"site": "site1"}', 'source', 'view');
SELECT sources('{"site": "site1", "channel": "mobile"}') LIKE 'raw %' AS raw;
SELECT sources('{"site": "site1", "channel": "mobile"}', 'day', 'view') LIKE 'raw %' AS raw;
SELECT sources('{"tag": ["a", "c"]}') LIKE 'raw %' AS raw;
SELECT sources('{"tag": "a"}', 'label') LIKE 'raw %' AS raw;
SELECT sources('{"channel": "web"}', 'site') LIKE 'raw %' AS raw;

--
-- Groups
--
SELECT * FROM fi_metrics(group_by => 'event');
SELECT * FROM fi_metrics('view', group_by => 'event', filter => '{"site": "site1"}');
-- an event counts once for each of its tags, and an event with one of them for all
SELECT * FROM fi_metrics(group_by => 'label');
SELECT * FROM fi_metrics(group_by => 'label') EXCEPT ALL
SELECT tag, count(*), count(DISTINCT user_id) FROM fast_ingest.events, LATERAL (SELECT DISTINCT t FROM unnest(tags) t WHERE t IS NOT NULL) d (tag) GROUP BY 1;
SELECT * FROM fi_metrics('view', group_by => 'label', filter => '{"label": "a"}');
SELECT * FROM fi_metrics('view', group_by => 'label', filter => '{"label": "a"}') EXCEPT ALL
SELECT tag, count(*), count(DISTINCT user_id) FROM fast_ingest.events, LATERAL (SELECT DISTINCT t FROM unnest(tags) t WHERE t IS NOT NULL) d (tag)
WHERE event_name = 'view' AND tags @> '{a}' GROUP BY 1;
SELECT * FROM fi_metrics(group_by => 'week');
SELECT * FROM fi_metrics(group_by => 'week', week_start => 'sunday');
SELECT * FROM fi_metrics(group_by => 'week', week_start => 'sunday', time_zone => 'America/New_York');
SELECT * FROM fi_metrics(since => '2023-11-15 00:00Z', until => '2024-01-02 00:00Z', group_by => 'month', time_zone => 'Australia/Lord_Howe');
SELECT * FROM fi_metrics(since => '2023-11-15 00:00Z', until => '2024-01-02 00:00Z', group_by => 'month', time_zone => 'Australia/Lord_Howe', fill => false);
SELECT count(*) FROM fi_metrics(since => '2023-12-31 22:00Z', until => '2024-01-01 02:00Z', group_by => 'hour');
-- a filter may have very many values
SELECT m.total_events = (SELECT count(*) FROM fast_ingest.events WHERE site_id IN ('site1', 'site2')) AS same
FROM (SELECT jsonb_agg('site' || n) AS many FROM generate_series(1, 1500) n) v,
     fi_metrics(filter => jsonb_build_object('site', many || many)) m;
SELECT m.total_events = (SELECT count(*) FROM fast_ingest.events WHERE site_id IN ('site1', 'site2')) AS same
FROM (SELECT jsonb_agg('site' || 1 + n % 2) AS many FROM generate_series(1, 100000) n) v,
     fi_metrics(filter => jsonb_build_object('site', many)) m;

-- a long range has as many groups as there are with events
SELECT count(*) FROM fi_metrics(since => '0001-01-01 00:00Z', until => '9999-01-01 00:00Z', group_by => 'hour', fill => false);
SELECT count(*) FROM fi_metrics(since => '0001-01-01 00:00Z', until => '9999-01-01 00:00Z', group_by => 'hour');

--
-- align: whole minutes, or whole days where the breakdown has rows of days
--
SELECT * FROM fi_metrics(since => '2023-12-31 06:01:50Z', until => '2023-12-31 11:43:30Z');
SELECT * FROM fi_metrics(since => '2023-12-31 06:01:50Z', until => '2023-12-31 11:43:30Z', align => true);
SELECT * FROM fi_metrics(since => '2023-12-31 06:01Z', until => '2023-12-31 11:44Z');
SELECT rows_read AS raw_rows FROM fi_metrics_sources(since => '2023-12-31 06:01:50Z', until => '2023-12-31 11:43:30Z', align => true) WHERE source = 'raw';
SELECT * FROM fi_metrics('view', '2023-12-31 10:00:30Z', '2023-12-31 11:59:01Z', filter => '{"metadata": {"n": 1}}', align => true)
EXCEPT SELECT * FROM fi_metrics('view', '2023-12-31 10:00Z', '2023-12-31 12:00Z', filter => '{"metadata": {"n": 1}}');

--
-- Filters that are not valid
--
SELECT * FROM fi_metrics(filter => '{"colour": "red"}');
SELECT * FROM fi_metrics(filter => '{"event_name": "view"}');
SELECT * FROM fi_metrics(filter => '{"metadata.": "x"}');
SELECT * FROM fi_metrics(filter => '{"site": null}');
SELECT * FROM fi_metrics(filter => '{"site": []}');
SELECT * FROM fi_metrics(filter => '{"site": ["site1", null]}');
SELECT * FROM fi_metrics(filter => '{"site": ["site1", {"a": 1}]}');
SELECT * FROM fi_metrics(filter => '{"site": {"a": 1}}');
SELECT * FROM fi_metrics(filter => '{"metadata": "pro"}');
SELECT * FROM fi_metrics(filter => '{"metadata": {"plan": {"a": 1}}}');
SELECT * FROM fi_metrics(filter => '["site"]');
SELECT * FROM fi_metrics(filter => '"site"');
-- values are no SQL
SELECT * FROM fi_metrics(filter => '{"metadata": {"x'') OR true OR (''": "''; DROP TABLE fast_ingest.events; --"}}');
SELECT * FROM fi_metrics(filter => '{"site": "'' OR true --"}');

--
-- Raw rows that are gone: what the rollup keeps is answered, anything else is an error
--
CREATE TABLE kept AS
SELECT f.filter, m.* FROM filters f, fi_metrics(since => '2023-12-31 00:00Z', until => '2024-01-01 00:00Z', filter => f.filter::jsonb) m
WHERE f.filter ~ '^{"(site|page|plan|channel|campaign_id)": ("[^"]+"|[[][^]]*])}$';
SELECT count(*) FROM kept;
DROP TABLE fast_ingest.events_20231231;
SELECT k.filter, m.* FROM (SELECT DISTINCT filter FROM kept) k, fi_metrics(since => '2023-12-31 00:00Z', until => '2024-01-01 00:00Z', filter => k.filter::jsonb) m
EXCEPT SELECT * FROM kept;
SELECT * FROM fi_metrics(since => '2023-12-31 00:00Z', until => '2024-01-01 00:00Z', filter => '{"metadata": {"n": 1}}');
SELECT * FROM fi_metrics(since => '2023-12-31 00:00Z', until => '2024-01-01 00:00Z', filter => '{"channel": "web", "site": "site1"}');
SELECT * FROM fi_metrics(since => '2023-12-31 10:00:30Z', until => '2024-01-01 00:00Z');
SELECT count(*) FROM fi_metrics(since => '2023-12-31 10:00:30Z', until => '2024-01-01 00:00Z', align => true);
SELECT count(*) FROM fi_metrics(since => '2023-12-31 10:00:30Z', until => '2023-12-31 23:00Z', filter => '{"site": "site1"}', align => true);

DROP TABLE kept;
SELECT 'dropped' AS campaign FROM fi_drop_breakdown('campaign');
SELECT 'dropped' AS plan FROM fi_drop_breakdown('plan');
SELECT 'dropped' AS label FROM fi_drop_breakdown('label');
SELECT 'dropped' AS source FROM fi_drop_breakdown('source');
DO $$
DECLARE
  partition regclass;
BEGIN
  FOR partition IN SELECT inhrelid FROM pg_inherits WHERE inhparent = 'fast_ingest.events'::regclass LOOP
    EXECUTE 'DROP TABLE ' || partition;
  END LOOP;
END $$;
TRUNCATE fast_ingest.events;
DROP FUNCTION differing, sources;
DROP VIEW filters, sample;
