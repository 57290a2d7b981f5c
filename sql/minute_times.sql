--
-- Times of the events of a minute: a range may begin and end at any microsecond, and reads
-- no raw rows for it
--
\set VERBOSITY terse
CREATE TABLE fast_ingest.events_times PARTITION OF fast_ingest.events DEFAULT;

-- events of microseconds, milliseconds, seconds and minutes, many at the same time, some without
-- a user, in a closed day and in the hours around now
CREATE FUNCTION add_times(start timestamptz, length interval, n integer) RETURNS void LANGUAGE sql AS $$
INSERT INTO fast_ingest.events (event_name, channel, user_id, ts)
SELECT CASE WHEN random() < 0.9 THEN 'times' ELSE 'other times' END,
       (ARRAY['web', 'mobile', 'api'])[1 + floor(random() * 3)::integer],
       CASE WHEN random() < 0.8 THEN 'times ' || floor(random() ^ 2 * 100) END,
       CASE floor(random() * 5) WHEN 0 THEN ts WHEN 1 THEN date_trunc('milliseconds', ts)
           WHEN 2 THEN date_trunc('second', ts) WHEN 3 THEN date_trunc('minute', ts)
           ELSE date_trunc('minute', ts) + interval '59.999999 s' END
FROM (SELECT start + random() ^ 2 * length AS ts FROM generate_series(1, n)) AS t
$$;
-- what raw rows say
CREATE FUNCTION raw_times(low timestamptz, high timestamptz, group_kind text, only_channel text)
RETURNS TABLE (group_key text, total_events bigint, unique_users bigint) LANGUAGE sql STABLE AS $$
SELECT CASE group_kind WHEN 'channel' THEN channel
           WHEN 'hour' THEN to_char(ts AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24":00:00Z"') END,
       count(*), count(DISTINCT user_id)
FROM fast_ingest.events
WHERE event_name = 'times' AND ts >= low AND ts < high AND (only_channel IS NULL OR channel = only_channel)
GROUP BY 1
$$;
-- Compare so many random ranges; returns what differs, and how many raw rows were read
CREATE FUNCTION compare_times(n integer, start timestamptz, length interval) RETURNS TABLE (wrong text, raw_rows bigint)
LANGUAGE plpgsql AS $$
DECLARE
    bounds timestamptz[];
    group_kind text;
    only_channel text;
    ours text;
    raw text;
BEGIN
    raw_rows := 0;
    FOR i IN 1..n LOOP
        SELECT array_agg(b ORDER BY b) INTO bounds FROM (
            SELECT CASE floor(random() * 4) WHEN 0 THEN at WHEN 1 THEN date_trunc('minute', at)
                       ELSE (SELECT ts + floor(random() * 3 - 1) * interval '1 microsecond' FROM fast_ingest.events
                             WHERE event_name = 'times' AND ts >= at ORDER BY ts LIMIT 1) END AS b
            FROM (SELECT start + random() * length * 0.99 AS at FROM generate_series(1, 2) AS s WHERE i > 0) AS t) AS t;
        IF random() < 0.3 THEN
            bounds[2] := bounds[1] + floor(random() * 100000000) * interval '1 microsecond';
        END IF;
        CONTINUE WHEN bounds[1] IS NULL OR bounds[2] IS NULL OR bounds[1] >= bounds[2];
        group_kind := (ARRAY[NULL, 'channel', 'hour'])[1 + floor(random() * 3)::integer];
        only_channel := (ARRAY[NULL, 'web'])[1 + floor(random() * 2)::integer];
        SELECT string_agg(m::text, ' ' ORDER BY m::text) INTO ours
        FROM fi_metrics('times', bounds[1], bounds[2], group_kind, only_channel, fill => false) AS m WHERE total_events > 0;
        SELECT string_agg(r::text, ' ' ORDER BY r::text) INTO raw
        FROM raw_times(bounds[1], bounds[2], group_kind, only_channel) AS r;
        IF ours IS DISTINCT FROM raw THEN
            wrong := format('%s %s %s %s: %s, but %s', bounds[1], bounds[2], group_kind, only_channel, ours, raw);
            RETURN NEXT;
            RETURN;
        END IF;
        raw_rows := raw_rows + (SELECT rows_read FROM fi_metrics_sources('times', bounds[1], bounds[2], group_kind, only_channel)
                                WHERE source = 'raw');
    END LOOP;
    RETURN NEXT;
END $$;

-- in deltas
BEGIN;
SELECT FROM fi_refresh();
SELECT add_times('2024-11-05 10:20Z', '3 hours', 3000), add_times(now() - interval '30 minutes', '30 minutes', 3000);
SELECT * FROM compare_times(20, '2024-11-05 10:20Z', '3 hours');
SELECT * FROM compare_times(50, now() - interval '30 minutes', '30 minutes');
-- in rows of hours and minutes
SELECT FROM fi_refresh();
SELECT count(*) > 0 AS minutes, sum(length(minutes)) / sum(events) < 9 AS bytes,
       bool_and((SELECT count(*) FROM fast_ingest.unpack_times(minutes)) = events) AS complete
FROM fast_ingest.rollup WHERE level = 1 AND event_name = 'times';
SELECT * FROM compare_times(20, '2024-11-05 10:20Z', '3 hours');
SELECT * FROM compare_times(50, now() - interval '30 minutes', '30 minutes');
-- in both, and in parts of rows
SELECT add_times('2024-11-05 10:20Z', '3 hours', 500), add_times(now() - interval '30 minutes', '30 minutes', 500);
SELECT * FROM compare_times(20, '2024-11-05 10:20Z', '3 hours');
SELECT * FROM compare_times(50, now() - interval '30 minutes', '30 minutes');
SELECT FROM fi_refresh();
SELECT add_times('2024-11-05 10:20Z', '3 hours', 100), add_times(now() - interval '30 minutes', '30 minutes', 100);
SELECT FROM fi_refresh();
SELECT count(*) > 0 AS parts FROM fast_ingest.rollup WHERE level = 1 AND event_name = 'times' AND is_part;
SELECT * FROM compare_times(20, '2024-11-05 10:20Z', '3 hours');
SELECT * FROM compare_times(50, now() - interval '30 minutes', '30 minutes');

-- events that were changed are counted again, first from raw rows
UPDATE fast_ingest.events SET ts = ts + interval '1.5 minutes' WHERE event_name = 'times' AND user_id = 'times 7';
DELETE FROM fast_ingest.events WHERE event_name = 'times' AND user_id = 'times 8';
SELECT wrong, raw_rows > 0 AS from_raw_rows FROM compare_times(20, '2024-11-05 10:20Z', '3 hours');
SELECT FROM fi_refresh();
SELECT * FROM compare_times(20, '2024-11-05 10:20Z', '3 hours');
SELECT * FROM compare_times(50, now() - interval '30 minutes', '30 minutes');
-- and so are all, and some
SELECT recounted_rows > 0 AS rebuilt FROM fi_rebuild('2024-11-05 10:30Z', '2024-11-05 12:10Z');
SELECT * FROM compare_times(20, '2024-11-05 10:20Z', '3 hours');
SELECT recounted_rows > 0 AS rebuilt FROM fi_rebuild();
SELECT * FROM compare_times(20, '2024-11-05 10:20Z', '3 hours');
SELECT * FROM compare_times(50, now() - interval '30 minutes', '30 minutes');

-- a minute whose times are not all there is read from raw rows; it does not spoil others
UPDATE fast_ingest.rollup SET minutes = NULL WHERE level = 1 AND event_name = 'times' AND key = 'web';
SELECT wrong, raw_rows > 0 AS from_raw_rows FROM compare_times(50, now() - interval '30 minutes', '30 minutes');
UPDATE fast_ingest.rollup AS r SET minutes =
    (SELECT fast_ingest.pack_minutes(minute, m.events, m.users, CASE WHEN minute % 2 = 0 THEN times END)
     FROM fast_ingest.unpack_minutes(r.users, r.minutes) AS m)
WHERE level = 2 AND breakdown = 1 AND event_name = 'times' AND key = 'api';
SELECT wrong, raw_rows > 0 AS from_raw_rows FROM compare_times(20, '2024-11-05 10:20Z', '3 hours');
ROLLBACK;

-- names and keys that are counted together
BEGIN;
UPDATE fast_ingest.breakdowns SET max_keys = 1 WHERE name = 'channel';
SELECT FROM fi_refresh();
SELECT add_times('2024-11-05 10:20Z', '3 hours', 1000);
SELECT FROM fi_refresh();
SELECT count(*) > 0 AS others FROM fast_ingest.rollup WHERE event_name = 'times' AND is_other AND level = 2;
SELECT group_key, total_events = (SELECT count(*) FROM fast_ingest.events WHERE event_name = 'times'
    AND ts >= '2024-11-05 10:40:30.5Z' AND ts < '2024-11-05 11:30:10Z') AS same
FROM fi_metrics('times', '2024-11-05 10:40:30.5Z', '2024-11-05 11:30:10Z');
SELECT sum(total_events) = (SELECT count(*) FROM fast_ingest.events WHERE event_name = 'times'
    AND ts >= '2024-11-05 10:40:30.5Z' AND ts < '2024-11-05 11:30:10Z') AS same
FROM fi_metrics('times', '2024-11-05 10:40:30.5Z', '2024-11-05 11:30:10Z', 'channel');
ROLLBACK;

-- after a user was erased, also from days whose rows are gone
BEGIN;
SELECT add_times('2024-11-05 10:20Z', '3 hours', 1000), add_times(now() - interval '30 minutes', '30 minutes', 1000);
SELECT FROM fi_refresh();
ALTER TABLE fast_ingest.events DETACH PARTITION fast_ingest.events_times;
SELECT events, rollup_rows > 0 AS rollup_rows FROM fi_erase_user('times 0');
SELECT total_events = (SELECT count(*) FROM fast_ingest.events_times WHERE event_name = 'times'
        AND ts >= '2024-11-05 10:40:30.5Z' AND ts < '2024-11-05 11:30:10Z') AS events,
    unique_users = (SELECT count(DISTINCT user_id) FROM fast_ingest.events_times WHERE event_name = 'times'
        AND ts >= '2024-11-05 10:40:30.5Z' AND ts < '2024-11-05 11:30:10Z' AND user_id <> 'times 0') AS users
FROM fi_metrics('times', '2024-11-05 10:40:30.5Z', '2024-11-05 11:30:10Z');
SELECT total_events = (SELECT count(*) FROM fast_ingest.events_times WHERE event_name = 'times'
        AND ts >= now() - interval '18 minutes 30.5 s') AS events,
    unique_users = (SELECT count(DISTINCT user_id) FROM fast_ingest.events_times WHERE event_name = 'times'
        AND ts >= now() - interval '18 minutes 30.5 s' AND user_id <> 'times 0') AS users
FROM fi_metrics('times', now() - interval '18 minutes 30.5 s');
ROLLBACK;

-- damaged bytes are an error and no crash: each byte of an hour and of a minute in turn
BEGIN;
SELECT setseed(0.5);
INSERT INTO fast_ingest.events (event_name, channel, user_id, ts)
SELECT 'damaged', 'web', 'times ' || i % 7, start + i * interval '1.000001 s'
FROM generate_series(0, 100) AS i, unnest(ARRAY['2024-11-05 10:20Z', date_trunc('minute', now()) - interval '2 minutes']) AS start;
SELECT FROM fi_refresh();
CREATE FUNCTION damage_times(bucket_level integer, low timestamptz, high timestamptz) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    place tid;
    good bytea;
    noticed integer := 0;
    named integer := 0;
    answered integer := 0;
BEGIN
    SELECT ctid, minutes INTO place, good FROM fast_ingest.rollup
    WHERE event_name = 'damaged' AND breakdown = 1 AND level = bucket_level AND bucket <= low ORDER BY bucket DESC LIMIT 1;
    FOR i IN 0..length(good) - 1 LOOP
        FOR bit IN 6..8 LOOP
            BEGIN
                UPDATE fast_ingest.rollup SET minutes = CASE bit WHEN 8 THEN substr(good, 1, i)
                    ELSE set_byte(good, i, get_byte(good, i) # (1 << bit)) END WHERE ctid = place;
                -- names of whole hours are counted without a look at minutes, unlike their times
                BEGIN
                    PERFORM fi_event_names(date_trunc('hour', low), date_trunc('hour', high) + interval '1 hour');
                EXCEPTION WHEN data_corrupted THEN named := named + 1;
                END;
                PERFORM fi_metrics('damaged', low, high);
                IF bucket_level = 2 THEN
                    PERFORM fast_ingest.unpack_minutes(users, minutes) FROM fast_ingest.rollup
                    WHERE event_name = 'damaged' AND breakdown = 1 AND level = 2;
                ELSE
                    PERFORM fast_ingest.unpack_times(minutes) FROM fast_ingest.rollup
                    WHERE event_name = 'damaged' AND breakdown = 1 AND level = 1;
                END IF;
                RAISE EXCEPTION USING ERRCODE = 'P0001';
            EXCEPTION WHEN raise_exception THEN answered := answered + 1;
                WHEN data_corrupted THEN noticed := noticed + 1;
            END;
        END LOOP;
    END LOOP;
    RETURN CASE WHEN least(noticed, named) > length(good) AND answered > 0 THEN 'noticed'
        ELSE format('%s and %s of %s', noticed, named, 3 * length(good)) END;
END $$;
SELECT damage_times(2, '2024-11-05 10:20:30Z', '2024-11-05 10:21:15Z');
SELECT damage_times(1, date_trunc('minute', now()) - interval '90 s', date_trunc('minute', now()) - interval '61 s');
ROLLBACK;

-- the functions over times
SELECT fast_ingest.union_times(t) IS NULL AS "null" FROM (VALUES (NULL::bytea)) AS v (t);
SELECT fast_ingest.union_times(t) AS times FROM (VALUES ('\x0a 0508 0003'::bytea), (NULL), ('\x02'), ('\x05 8827 00')) AS v (t);
SELECT * FROM fast_ingest.unpack_times('\x0d 05 08 8827 00 00 03');
SELECT * FROM fast_ingest.unpack_times('\x0a 3b 08 00 03');
SELECT fast_ingest.unpack_times('\x0a 3c 08 00 03');                  -- the 61st second
SELECT fast_ingest.unpack_times('\x03');                              -- another unit
SELECT fast_ingest.unpack_times('');
SELECT fast_ingest.unpack_times('\x0a 05 08 00');                     -- too short
SELECT fast_ingest.unpack_times('\x0a 05 08 00 03 00');               -- too long
SELECT fast_ingest.unpack_times('\x04 00 ffffffff0f');                -- the largest user
SELECT fast_ingest.unpack_times('\x04 00 ffffffff10');                -- beyond it
SELECT fast_ingest.unpack_times('\xfcffffff0f');                      -- too many events
SELECT fast_ingest.forget_user_in_times('\x0a 05 08 00 03', 7), fast_ingest.forget_user_in_times('\x0a 05 08 00 03', 3);
SELECT fast_ingest.pack_minutes(3, 2, '{2,7}', '\x0a 05 08 00 03') AS "no bitmap",
       fast_ingest.pack_minutes(3, 2, '{2,7,9}', '\x0a 05 08 00 03') AS "and a bitmap",
       fast_ingest.pack_minutes(3, 3, '{2,7}', '\x0a 05 08 00 03') AS "not all times";
SELECT * FROM fast_ingest.unpack_minutes('{2,7}', (SELECT fast_ingest.pack_minutes(3, 2, '{2,7}', '\x0a 05 08 00 03')));
SELECT * FROM fast_ingest.unpack_minutes('{2,7,9}', (SELECT fast_ingest.pack_minutes(3, 2, '{2,7,9}', '\x0a 05 08 00 03')));
SELECT * FROM fast_ingest.unpack_minutes('{2,7}', (SELECT fast_ingest.pack_minutes(3, 3, '{2,7}', '\x0a 05 08 00 03')));
SELECT fast_ingest.pack_minutes(3, 2, '{2}', '\x0a 05 08 00 03');     -- a user of the times only
SELECT fast_ingest.pack_minutes(3, 2, '{2}', '\x0a 05');

DROP TABLE fast_ingest.events_times;
DROP FUNCTION add_times, raw_times, compare_times;
