--
-- fi_series, fi_event_names and fi_live: what they return, and what they refuse.
-- test/query/series.pl and live.pl compare them with raw rows.
--
SET timezone = 'UTC';
SET datestyle = 'ISO, YMD';
\set SHOW_CONTEXT never

SELECT count(*) AS partitions
FROM generate_series('2023-10-27'::date, '2023-11-06', '1 day') day, LATERAL fi_create_partition(day::date);

-- Every hour over the night in which New York sets back its clocks: two names, four channels
INSERT INTO fast_ingest.events (event_name, channel, user_id, ts, site_id, path, metadata)
SELECT CASE WHEN n % 4 = 0 THEN 'click' ELSE 'view' END, (ARRAY['web', 'web', 'web', 'mobile', 'mobile', 'api', 'tv'])[n % 7 + 1],
       'user' || n % 5, '2023-11-04 00:00:30Z'::timestamptz + n * interval '20 minutes', 'site' || n % 2, '/' || n % 3,
       CASE WHEN n % 2 = 0 THEN '{"plan": "pro"}' END::jsonb
FROM generate_series(0, 143) n;

SELECT * FROM fi_series('view', '2023-11-04 00:00Z', '2023-11-06 00:00Z', '6h');
SELECT * FROM fi_series('view', '2023-11-05 04:00Z', '2023-11-05 08:00Z', '1h', time_zone => 'America/New_York');
SELECT * FROM fi_series('view', '2023-11-04', '2023-11-06', '1d', time_zone => 'America/New_York');
SELECT * FROM fi_series(step => '1w', since => '2023-10-28', until => '2023-11-06', week_start => 'sunday');
SELECT * FROM fi_series(step => '1w', since => '2023-10-28', until => '2023-11-06', fill => false);
SELECT * FROM fi_series(step => '1M', time_zone => 'Asia/Kathmandu', since => '2023-10-28', until => '2023-11-06');
-- the largest keys, and all others
SELECT * FROM fi_series('view', '2023-11-04', '2023-11-06', '1d', 'channel', top => 2);
SELECT * FROM fi_series(NULL, '2023-11-04', '2023-11-06', '12h', 'event', top => 1);
SELECT * FROM fi_series('view', '2023-11-04', '2023-11-06', '1d', 'channel', filter => '{"site": "site1", "channel": ["web", "tv"]}');
SELECT * FROM fi_series('view', '2023-11-04', '2023-11-06', '1d', filter => '{"metadata": {"plan": "pro"}}');
-- whole minutes, or exactly
SELECT * FROM fi_series('view', '2023-11-04 01:00:30.5Z', '2023-11-04 01:20:29Z', '15m');
SELECT * FROM fi_series('view', '2023-11-04 01:00:30.5Z', '2023-11-04 01:20:29Z', '15m', align => false);
SELECT "time", total_events FROM fi_series('view', '2023-11-05 22:30Z', '2023-11-05 23:50Z', '5m', fill => false);
-- steps
SELECT step, count(*) AS points, min("time"), max("time") - min("time") AS width
FROM unnest('{auto,NULL,hour,30m,2h,6h,24h,25h,1mo,1y}'::text[]) step, LATERAL fi_series('view', '2023-11-04', '2023-11-06', step)
GROUP BY step ORDER BY 2 DESC, 1;
SELECT * FROM fi_series('nothing', '2023-11-04', '2023-11-05', '1d');
SELECT * FROM fi_series('nothing', '2023-11-04', '2023-11-05', '1d', 'channel');
SELECT * FROM fi_series('nothing');

SELECT * FROM fi_event_names('2023-11-04', '2023-11-06');
SELECT * FROM fi_event_names('2023-11-04', '2023-11-04 00:10Z');
SELECT * FROM fi_event_names('2023-11-04 00:00:30.000001Z', '2023-11-05 12:00:30Z', '{"site": "site1"}');
SELECT * FROM fi_event_names('2023-11-04', '2023-11-06', '{"channel": "nothing"}');

SELECT part, count(*) AS rows, sum(total_events) AS events, sum(unique_users) AS users FROM fi_live() GROUP BY 1 ORDER BY 1;
SELECT count(*) FROM fi_live('site1', 100);

-- what is not valid
SELECT * FROM fi_series('view', step => '1x');
SELECT * FROM fi_series('view', step => '0m');
SELECT * FROM fi_series('view', top => 0);
SELECT * FROM fi_series('view', group_by => 'hour');
SELECT * FROM fi_series('view', '2023-01-01', '2024-01-01', '1m');
SELECT * FROM fi_series('', '2023-01-01', '2024-01-01');
SELECT * FROM fi_series('view', '2024-01-01', '2023-01-01');
SELECT * FROM fi_series('view', time_zone => 'Mars/Base');
SELECT * FROM fi_series('view', week_start => 'tuesday');
SELECT * FROM fi_series('view', filter => '{"nothing": "x"}');
SELECT * FROM fi_event_names('2024-01-01', '2023-01-01');
SELECT * FROM fi_live('');
SELECT * FROM fi_live(top => 101);

-- all times there are: no step is long enough, and the longest is named
SELECT * FROM fi_series('view', '4713-01-01 BC', '294276-12-31');
SELECT * FROM fi_sparkline('view', since => '-infinity');
SELECT * FROM fi_sparkline('view', until => 'infinity');

-- not for everybody
CREATE ROLE regress_fast_ingest_nobody;
SET ROLE regress_fast_ingest_nobody;
SELECT * FROM fi_series('view');
SELECT * FROM fi_event_names();
SELECT * FROM fi_live();
RESET ROLE;
DROP ROLE regress_fast_ingest_nobody;

-- nothing is left
TRUNCATE fast_ingest.events;
DO $$
DECLARE
  partition regclass;
BEGIN
  FOR partition IN SELECT inhrelid FROM pg_inherits WHERE inhparent = 'fast_ingest.events'::regclass LOOP
    EXECUTE 'DROP TABLE ' || partition;
  END LOOP;
END $$;
