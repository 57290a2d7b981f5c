--
-- fi_erase_user(): nothing stays that was computed from a user_id. The days are long over,
-- so that nothing here depends on the clock.
--
SET timezone = 'UTC';
SET datestyle = 'ISO, YMD';
\set SHOW_CONTEXT never

-- Two user_ids are equal if their bytes are, whatever a collation says; its index is used
-- (erase_1.out is for a PostgreSQL that was built without ICU)
\set VERBOSITY terse
BEGIN;
CREATE COLLATION public.ignore_case (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
CREATE TABLE fast_ingest.other_case PARTITION OF fast_ingest.events FOR VALUES FROM ('2024-10-20 00:00Z') TO ('2024-10-21 00:00Z');
ALTER TABLE fast_ingest.events ALTER COLUMN user_id TYPE text COLLATE public.ignore_case;
INSERT INTO fast_ingest.events (event_name, channel, user_id, ts) VALUES ('case', 'web', 'Eve', '2024-10-20 12:00Z'), ('case', 'web', 'eve', '2024-10-20 12:01Z');
SELECT * FROM fi_erase_user('eve');
SELECT user_id FROM fast_ingest.events WHERE event_name = 'case';
ROLLBACK;
\set VERBOSITY default

-- Four days of 7 users and of events without one; the second day in a partition of
-- partitions, the fourth in the default partition
SELECT fi_create_partition('2024-10-01');
CREATE TABLE fast_ingest.nested PARTITION OF fast_ingest.events
  FOR VALUES FROM ('2024-10-02 00:00Z') TO ('2024-10-03 00:00Z') PARTITION BY LIST (channel);
CREATE TABLE fast_ingest.nested_web PARTITION OF fast_ingest.nested FOR VALUES IN ('web');
CREATE TABLE fast_ingest.nested_rest PARTITION OF fast_ingest.nested DEFAULT;
SELECT fi_create_partition('2024-10-03');
CREATE TABLE fast_ingest."the rest" PARTITION OF fast_ingest.events DEFAULT;
SELECT fi_add_breakdown('campaign', 'campaign_id', '{minute,hour,day}');

CREATE FUNCTION pg_temp.person(n integer) RETURNS text LANGUAGE sql IMMUTABLE AS $$
  SELECT (ARRAY['ann', 'anna', 'ann@example.org', '%', 'o''brien', repeat('long', 1000), repeat('long', 1000) || '.', NULL])[n % 8 + 1]
$$;
INSERT INTO fast_ingest.events (event_name, channel, user_id, ts, site_id, path, campaign_id)
SELECT 'erase ' || n / 8 % 2, (ARRAY['web', 'mobile', 'api'])[n % 3 + 1], pg_temp.person(n), '2024-10-01 00:00Z'::timestamptz + n * interval '24 minutes 1 second',
  CASE WHEN n % 5 > 0 THEN 's' || n % 2 END, '/' || n % 4, 'c' || n % 3
FROM generate_series(0, 239) n;

-- Every answer beside that of the raw rows
CREATE VIEW pg_temp.differing AS
SELECT coalesce(ours.e, raw.e) AS event_name, coalesce(ours.g, raw.g) AS grouping, coalesce(ours.k, raw.k) AS key, ours.t, ours.u, raw.t AS raw_t, raw.u AS raw_u FROM
  (SELECT e, g, k, t, u FROM unnest('{erase 0,erase 1}'::text[]) e, unnest('{channel,site,page,campaign,hour,day}'::text[]) g,
    LATERAL fi_metrics(e, '2024-10-02 00:00Z'::timestamptz, '2024-10-05 00:00Z'::timestamptz, g, fill => false) m (k, t, u)
   UNION ALL
   SELECT e, 'cut', NULL, t, u FROM unnest('{erase 0,erase 1}'::text[]) e, fi_metrics(e, '2024-10-02 00:50Z', '2024-10-04 13:37Z') m (k, t, u)) ours
  FULL JOIN
  (SELECT event_name AS e, g, k, count(*) AS t, count(DISTINCT user_id) AS u FROM fast_ingest.events,
    LATERAL (VALUES ('channel', channel), ('site', site_id), ('page', path), ('campaign', campaign_id),
      ('hour', to_char(ts, 'YYYY-MM-DD"T"HH24:00:00"Z"')), ('day', to_char(ts, 'YYYY-MM-DD"T"00:00:00"Z"'))) keys (g, k)
    WHERE ts >= '2024-10-02 00:00Z' AND ts < '2024-10-05 00:00Z' AND k IS NOT NULL GROUP BY 1, 2, 3
   UNION ALL
   SELECT event_name, 'cut', NULL, count(*), count(DISTINCT user_id) FROM fast_ingest.events
    WHERE ts >= '2024-10-02 00:50Z' AND ts < '2024-10-04 13:37Z' GROUP BY 1) raw
  ON ours.e = raw.e AND ours.g = raw.g AND ours.k IS NOT DISTINCT FROM raw.k
WHERE (ours.t, ours.u) IS DISTINCT FROM (raw.t, raw.u);

-- What the tables have of a user: the text in any column, the keyed hash anywhere; and
-- rows of the rollup with a number that is nobody's
CREATE FUNCTION pg_temp.traces(id text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
  name regclass;
  hash bytea := substr(sha256((SELECT s.secret FROM fast_ingest.secret s) || convert_to(id, 'UTF8')), 1, 16);
  numbers fi_user_set := (SELECT '{' || string_agg(user_no::text, ',') || '}' FROM fast_ingest.users);
  found boolean;
BEGIN
  FOR name IN SELECT c.oid FROM pg_class c WHERE c.relnamespace = 'fast_ingest'::regnamespace AND c.relkind = 'r' ORDER BY c.relname LOOP
    EXECUTE format('SELECT EXISTS (SELECT FROM %s t WHERE $1 = ANY (SELECT v FROM jsonb_each_text(to_jsonb(t)) j (k, v))
      OR strpos(replace(t::text, ''-'', ''''), encode($2, ''hex'')) > 0)', name) INTO found USING id, hash;
    IF found THEN
      RETURN NEXT name;
    END IF;
  END LOOP;
  RETURN QUERY SELECT DISTINCT 'nobody in level ' || r.level || ' of breakdown ' || r.breakdown FROM fast_ingest.rollup r
    WHERE fi_cardinality(r.users - numbers) > 0 OR EXISTS (SELECT FROM fast_ingest.unpack_minutes(r.users, r.minutes) m WHERE fi_cardinality(m.users - numbers) > 0);
END
$$;
CREATE FUNCTION pg_temp.number_of(id text) RETURNS bigint LANGUAGE sql AS $$
  SELECT user_no FROM fast_ingest.users WHERE user_hash = encode(substr(sha256((SELECT secret FROM fast_ingest.secret) || convert_to(id, 'UTF8')), 1, 16), 'hex')::uuid
$$;

-- Deltas hold the keyed hash, and no other
SELECT * FROM pg_temp.traces('ann');
SELECT count(*) FROM fast_ingest.rollup_delta WHERE position(substr(sha256('ann'), 1, 4) IN groups) > 0;

-- Errors, and who is not there
SELECT fi_erase_user(NULL);
SELECT fi_erase_user('');
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT fi_erase_user('ann');
ROLLBACK;
BEGIN READ ONLY;
SELECT fi_erase_user('ann');
ROLLBACK;
SELECT * FROM fi_erase_user('an');
SELECT * FROM fi_erase_user('ANN');

-- Before the first refresh, all of it is in deltas
SELECT * FROM fi_erase_user('ann');
SELECT * FROM pg_temp.traces('ann');
SELECT * FROM pg_temp.differing;
SELECT * FROM fi_erase_user('ann');

-- Merged, but for some late events and deletions; one day's rows are gone
SELECT events FROM fi_refresh();
SELECT total_events, unique_users FROM fi_metrics('erase 0', '2024-10-01 00:00Z', '2024-10-02 00:00Z');
SELECT count(*) AS hours, sum(unique_users) AS users FROM fi_metrics('erase 0', '2024-10-01 00:00Z', '2024-10-02 00:00Z', 'hour', fill => false);
DROP TABLE fast_ingest.events_20241001;
INSERT INTO fast_ingest.events (event_name, channel, user_id, ts, site_id)
SELECT 'erase 0', 'web', pg_temp.person(n), '2024-10-03 12:00Z'::timestamptz + n * interval '20 seconds', 's' FROM generate_series(0, 7) n;
DELETE FROM fast_ingest.events WHERE user_id = 'anna' AND ts < '2024-10-02 12:00Z';
SELECT * FROM fi_erase_user('anna');
SELECT * FROM pg_temp.traces('anna');
SELECT * FROM pg_temp.differing;
SELECT total_events, unique_users FROM fi_metrics('erase 0', '2024-10-01 00:00Z', '2024-10-02 00:00Z');
SELECT sum(unique_users) AS users FROM fi_metrics('erase 0', '2024-10-01 00:00Z', '2024-10-02 00:00Z', 'hour', fill => false);
SELECT count(*) AS pending FROM (SELECT FROM fast_ingest.rollup_delta UNION ALL SELECT FROM fast_ingest.recount) p;

-- A late event of the day whose rows are gone is one of its events, which stay; a
-- statistic has a user_id, too
INSERT INTO fast_ingest.events (event_name, channel, user_id, ts) VALUES ('erase 0', 'web', 'o''brien', '2024-10-01 12:00Z');
ANALYZE fast_ingest.events;
SELECT count(*) FROM pg_stats WHERE schemaname = 'fast_ingest' AND (most_common_vals::text ~ 'brien' OR histogram_bounds::text ~ 'brien');
SELECT * FROM fi_erase_user('o''brien');
SELECT total_events, unique_users FROM fi_metrics('erase 0', '2024-10-01 00:00Z', '2024-10-02 00:00Z');
SELECT tablename FROM pg_stats WHERE schemaname = 'fast_ingest' AND (most_common_vals::text ~ 'brien' OR histogram_bounds::text ~ 'brien');
SELECT count(*) > 0 AS others_stay FROM pg_stats WHERE schemaname = 'fast_ingest' AND tablename ~ 'events|nested' AND attname = 'path';
SELECT tablename, attname FROM pg_stats WHERE schemaname = 'fast_ingest' AND attname IN ('user_hash', 'groups', 'event', 'message');

-- Texts that look like others', and one longer than HTTP allows
SELECT * FROM fi_erase_user('%');
SELECT * FROM fi_erase_user(repeat('long', 1000));
SELECT * FROM pg_temp.differing;
SELECT user_id = repeat('long', 1000) || '.' AS longer, count(*) FROM fast_ingest.events WHERE event_name LIKE 'erase%' AND user_id <> 'ann@example.org' GROUP BY 1;

-- A number is not given out again
SELECT users FROM fast_ingest.rollup_state \gset
INSERT INTO fast_ingest.events (event_name, channel, user_id, ts) VALUES ('erase 0', 'web', 'anna', '2024-10-03 12:00Z');
SELECT new_users FROM fi_refresh();
SELECT pg_temp.number_of('anna') = :users AS is_new;
SELECT * FROM pg_temp.differing;

-- Dead letters of the user, and others that quote one
TRUNCATE fast_ingest.dead_letters;
INSERT INTO fast_ingest.dead_letters (sqlstate, message, event) SELECT '23514', message, jsonb_build_object('user_id', user_id, 'path', '/anna')
FROM (VALUES ('refused', 'anna'), ('anna is not "anna", annatto or joanna; anna', 'bob'), ('anna_anna', 'bob'), ('annaanna', NULL), ('anna', 'bob'), ('refused', 'annanna')) l (message, user_id);
SELECT * FROM fi_erase_user('anna');
SELECT message, event ->> 'user_id' AS user_id FROM fast_ingest.dead_letters ORDER BY id;
TRUNCATE fast_ingest.dead_letters;

-- Dead letters of streams: lines of JSON, and Kafka's records with a key in base64
BEGIN;
INSERT INTO fast_ingest.streams (name, worker, kind, url, batch_rows, batch_bytes, flush_interval, compression, max_retained_wal)
VALUES ('s', 0, 'webhook', 'http://localhost', 1, 1024, '1 second', 'none', 16777216);
INSERT INTO fast_ingest.stream_dead_letters (stream_id, lsn, n, reason, event)
SELECT s.id, '0/0', n, 'r', line FROM fast_ingest.streams s,
  unnest(ARRAY['{"id":"1","user_id":"%"}', '{"id":"2","user_id":"%%","path":"%"}', '{"key":"JQ==","value":"e30="}',
    '{"key":"JSU=","value":"e30="}', format('{"key":"%s","value":"e30="}', translate(encode(convert_to(repeat('long', 1000), 'UTF8'), 'base64'), E'\n', ''))]) WITH ORDINALITY l (line, n);
SELECT dead_letters FROM fi_erase_user('%');
SELECT dead_letters FROM fi_erase_user(repeat('long', 1000));
SELECT n, left(event, 40) AS event FROM fast_ingest.stream_dead_letters ORDER BY n;
ROLLBACK;

-- What a trigger keeps is not said to be erased
CREATE FUNCTION public.keep() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE TRIGGER keep BEFORE DELETE ON fast_ingest.nested_web FOR EACH ROW EXECUTE FUNCTION public.keep();
SELECT fi_erase_user('ann@example.org');
SELECT count(*) > 0 AS kept FROM fast_ingest.events WHERE user_id = 'ann@example.org';
DROP TRIGGER keep ON fast_ingest.nested_web;

-- One that is deferred does not keep anything from being deleted
CREATE CONSTRAINT TRIGGER in_the_end AFTER DELETE ON fast_ingest.nested_web DEFERRABLE INITIALLY DEFERRED
  FOR EACH ROW EXECUTE FUNCTION public.keep();
BEGIN;
SELECT events FROM fi_erase_user('ann@example.org');
ROLLBACK;
DROP TRIGGER in_the_end ON fast_ingest.nested_web;
DROP FUNCTION public.keep();

-- All of it together with what else a transaction does, or nothing
BEGIN;
INSERT INTO fast_ingest.events (event_name, channel, user_id, ts) VALUES ('erase 0', 'web', 'ann@example.org', '2024-10-03 12:00Z');
SELECT * FROM fi_erase_user('ann@example.org');
SELECT * FROM fi_erase_user('anna');
SELECT * FROM pg_temp.differing;
ROLLBACK;
SELECT count(*) > 0 AS there FROM fast_ingest.events WHERE user_id = 'ann@example.org';
SELECT * FROM pg_temp.differing;

-- A role needs EXECUTE on the function and nothing else, and fi_grant_metrics() does not grant it
CREATE ROLE regress_dpo;
GRANT USAGE ON SCHEMA public TO regress_dpo;
SET ROLE regress_dpo;
SELECT fi_erase_user('ann@example.org');
SELECT * FROM fast_ingest.secret;
RESET ROLE;
SELECT count(*) FROM (SELECT fi_grant_metrics('regress_dpo')) g;
SELECT has_function_privilege('regress_dpo', 'fi_erase_user(text)', 'EXECUTE'), has_table_privilege('regress_dpo', 'fast_ingest.secret', 'SELECT');
GRANT EXECUTE ON FUNCTION fi_erase_user(text) TO regress_dpo;
SET ROLE regress_dpo;
SELECT * FROM fi_erase_user('ann@example.org');
SELECT unique_users FROM fi_metrics('erase 1', '2024-10-02 00:00Z', '2024-10-04 00:00Z');
RESET ROLE;
SELECT * FROM pg_temp.differing;
DROP OWNED BY regress_dpo;
DROP ROLE regress_dpo;

-- The secret: random, replaced by another as a restore does it, and needed
SELECT octet_length(secret) FROM fast_ingest.secret;
BEGIN;
INSERT INTO fast_ingest.secret (secret) SELECT sha256('of a dump');
SELECT count(*), bool_and(secret = sha256('of a dump')) FROM fast_ingest.secret;
INSERT INTO fast_ingest.events (event_name, channel, user_id, ts) VALUES ('erase 0', 'web', 'new', '2024-10-03 12:00Z');
SELECT * FROM pg_temp.traces('new');
SAVEPOINT without;
DELETE FROM fast_ingest.secret;
INSERT INTO fast_ingest.events (event_name, channel, user_id, ts) VALUES ('erase 0', 'web', 'ann', '2024-10-03 12:00Z');
ROLLBACK TO without;
TRUNCATE fast_ingest.secret;
INSERT INTO fast_ingest.events (event_name, channel, user_id, ts) VALUES ('erase 0', 'web', 'ann', '2024-10-03 12:00Z');
ROLLBACK;
INSERT INTO fast_ingest.events (event_name, channel, user_id, ts) VALUES ('erase 0', 'web', 'old', '2024-10-03 12:00Z');
SELECT * FROM pg_temp.traces('old');

SELECT fi_drop_breakdown('campaign');
DROP TABLE fast_ingest.nested, fast_ingest."the rest", fast_ingest.events_20241003;
TRUNCATE fast_ingest.events;
