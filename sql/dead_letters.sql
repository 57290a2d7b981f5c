--
-- Dead letters for people: shown, retried, purged. They are written by hand here;
-- test/flush/dead_letters.pl has them come by HTTP.
--
SET timezone = 'UTC';

-- Letters as the flusher writes them: a row of events by column
CREATE FUNCTION pg_temp.letter(user_id text, ts timestamptz, changes jsonb DEFAULT '{}', at timestamptz DEFAULT now()) RETURNS bigint
LANGUAGE sql AS $$
  INSERT INTO fast_ingest.dead_letters (failed_at, last_attempt, sqlstate, message, event)
  SELECT at, at, '23514', 'new row violates check constraint "no_bots"', jsonb_build_object(
    'event_name', 'dead_letter', 'channel', 'web', 'user_id', user_id, 'ts', ts, 'campaign_id', NULL, 'site_id', NULL,
    'path', NULL, 'tags', NULL, 'metadata', NULL, 'event_key', md5(user_id)::uuid) || changes
  RETURNING id
$$;
TRUNCATE fast_ingest.dead_letters RESTART IDENTITY;
SELECT pg_temp.letter('bot-1', '2024-03-01 10:00Z', '{"tags": ["a", "b"], "metadata": {"price": 1.50, "note": null}}', '2024-03-02 00:00Z');
SELECT pg_temp.letter('bot-2', '2024-03-01 23:59:59.25Z', '{"site_id": "shop", "path": "/p"}', '2024-03-03 00:00Z');
SELECT pg_temp.letter(NULL, '2024-03-02 10:00Z', '{"event_name": "page_view", "site_id": "shop", "event_key": "00000000-0000-0000-0000-000000000001"}');

-- as they can be posted again, newest first
SELECT id, attempts, at = last_attempt AS once, sqlstate, reason, post_to, event, event_key FROM fi_dead_letters();

-- chosen by each argument
SELECT id FROM fi_dead_letters(ids => '{3,1,99}');
SELECT id FROM fi_dead_letters(sqlstate => '23505');
SELECT id FROM fi_dead_letters(reason => 'no_bots');
SELECT id FROM fi_dead_letters(reason => '%');
SELECT id FROM fi_dead_letters(event => '{"tags": ["b"]}');
SELECT id FROM fi_dead_letters(event => '{"timestamp": 1709337599.25}');
SELECT id FROM fi_dead_letters(since => '2024-03-02 00:00Z', until => '2024-03-03 00:00Z');
SELECT id FROM fi_dead_letters(ids => '{1,2}', event => '{"site_id": "shop"}');

-- what the database still refuses stays, with the new reason; others are stored,
-- and their partition is made
ALTER TABLE fast_ingest.events ADD CONSTRAINT no_shops CHECK (site_id <> 'shop');
SELECT * FROM fi_retry_dead_letters();
SELECT id, attempts, last_attempt > at AS later, sqlstate, reason FROM fi_dead_letters(ids => '{1,2}');
SELECT user_id, ts, tags, metadata, event_key FROM fast_ingest.events WHERE event_name = 'dead_letter';
SELECT * FROM fi_metrics('dead_letter', '2024-03-01', '2024-03-02');
ALTER TABLE fast_ingest.events DROP CONSTRAINT no_shops;

-- only those chosen, the oldest first
SELECT * FROM fi_retry_dead_letters(reason => 'no_shops', max_rows => 1);
SELECT user_id FROM fast_ingest.events WHERE event_name = 'dead_letter' ORDER BY user_id;
SELECT * FROM fi_retry_dead_letters(ids => '{}');

-- stored already, be it in the table or by another letter
SELECT count(pg_temp.letter(u, '2024-03-01 10:00Z')) FROM unnest('{bot-1,bot-4,bot-4}'::text[]) u;
SELECT * FROM fi_retry_dead_letters(event => '{"event_name": "dead_letter"}');
SELECT * FROM fi_retry_dead_letters(event => '{"event_type": "page_view"}');
SELECT count(*) FROM fi_dead_letters();

-- one of many
SELECT count(pg_temp.letter('many-' || n, '2024-03-01 10:00Z')) FROM generate_series(1, 2500) n;
ALTER TABLE fast_ingest.events ADD CONSTRAINT not_this CHECK (user_id NOT IN ('many-1', 'many-1500', 'many-2500'));
SELECT * FROM fi_retry_dead_letters();
SELECT event ->> 'user_id' AS user_id, attempts FROM fi_dead_letters();
SELECT * FROM fi_metrics('dead_letter', '2024-03-01', '2024-03-02');
ALTER TABLE fast_ingest.events DROP CONSTRAINT not_this;

-- a deferred constraint, too, refuses only the letter that violates it
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'not in the end'; END $$;
CREATE CONSTRAINT TRIGGER in_the_end AFTER INSERT ON fast_ingest.events_20240301 DEFERRABLE INITIALLY DEFERRED
  FOR EACH ROW WHEN (NEW.user_id = 'many-1500') EXECUTE FUNCTION refuse();
SELECT * FROM fi_retry_dead_letters();
SELECT event ->> 'user_id' AS user_id, attempts, sqlstate, reason FROM fi_dead_letters();
DROP TRIGGER in_the_end ON fast_ingest.events_20240301;

-- an error that is not the letters' fault: nothing has happened
ALTER TABLE fast_ingest.events RENAME COLUMN path TO way;
SELECT * FROM fi_retry_dead_letters();
ALTER TABLE fast_ingest.events RENAME COLUMN way TO path;
SELECT id = 1506 AS same, attempts FROM fi_dead_letters();

-- nothing has happened if the transaction rolls back
BEGIN;
SELECT * FROM fi_retry_dead_letters();
ROLLBACK;
SELECT count(*) FROM fi_dead_letters();
SELECT * FROM fi_retry_dead_letters();

-- purged by age
SELECT count(pg_temp.letter('old-' || n, '2024-03-01 10:00Z', '{}', now() - n * interval '1 day')) FROM generate_series(0, 4) n;
SELECT fi_purge_dead_letters('2 days');
SELECT event ->> 'user_id' AS user_id FROM fi_dead_letters();
SELECT fi_purge_dead_letters('0');
SELECT fi_purge_dead_letters('-1 day');
SELECT fi_purge_dead_letters(NULL);

-- how many there are, in the status
SELECT count(pg_temp.letter('bot', '2024-03-01 10:00Z')) FROM generate_series(1, 3);
SELECT worker, dead_letters FROM fi_status() WHERE dead_letters IS NOT NULL;
SELECT fi_purge_dead_letters('0');

-- for the owner only
CREATE ROLE fi_reader;
GRANT EXECUTE ON FUNCTION fi_status() TO fi_reader;
SET ROLE fi_reader;
SELECT fi_dead_letters();
SELECT fi_retry_dead_letters();
SELECT fi_purge_dead_letters('0');
SELECT sum(dead_letters) IS NULL AS unknown FROM fi_status();
RESET ROLE;
REVOKE ALL ON FUNCTION fi_status() FROM fi_reader;
DROP ROLE fi_reader;
BEGIN READ ONLY;
SELECT fi_retry_dead_letters();
ROLLBACK;

DROP FUNCTION refuse();
DROP TABLE fast_ingest.events_20240301, fast_ingest.events_20240302;
-- and what the rollup has counted of them
TRUNCATE fast_ingest.events;
