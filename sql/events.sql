--
-- The table of events, for those who come by SQL
--
SET timezone = 'UTC';

SELECT attname AS column, format_type(atttypid, atttypmod) AS type,
       attnotnull AS required, pg_get_expr(adbin, adrelid) AS default
FROM pg_attribute LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
WHERE attrelid = 'fast_ingest.events'::regclass AND attnum > 0 AND NOT attisdropped
ORDER BY attnum;

SELECT pg_get_partkeydef('fast_ingest.events'::regclass);

\set VERBOSITY terse
-- a day without a partition
INSERT INTO fast_ingest.events (event_name, channel, ts)
VALUES ('page_view', 'web', '2024-08-12 12:00');

-- a day with one
SELECT fi_create_partition('2024-08-12');
INSERT INTO fast_ingest.events (event_name, channel, user_id, ts, tags, metadata)
VALUES ('page_view', 'web', 'ann', '2024-08-12 12:00', '{a,b}', '{"k": "v"}');

-- both ends of it
INSERT INTO fast_ingest.events (event_name, channel, user_id, ts)
VALUES ('page_view', 'web', 'first', '2024-08-12 00:00'),
       ('page_view', 'web', 'last', '2024-08-12 23:59:59.999999');
INSERT INTO fast_ingest.events (event_name, channel, user_id, ts)
VALUES ('page_view', 'web', 'next', '2024-08-13 00:00');

-- COPY
COPY fast_ingest.events (event_name, channel, user_id, ts) FROM stdin;
click	mobile	bob	2024-08-12 13:00:00+00
click	mobile	\N	2024-08-12 14:00:00+00
\.

SELECT event_name, channel, user_id, ts, tags, metadata, event_key,
       ingested_at <= now() AS ingested, tableoid::regclass AS partition
FROM fast_ingest.events ORDER BY ts;

-- required columns
INSERT INTO fast_ingest.events (channel, ts) VALUES ('web', '2024-08-12 12:00');
INSERT INTO fast_ingest.events (event_name, ts) VALUES ('page_view', '2024-08-12 12:00');
INSERT INTO fast_ingest.events (event_name, channel) VALUES ('page_view', 'web');

-- a key is there once on its day
INSERT INTO fast_ingest.events (event_name, channel, ts, event_key)
VALUES ('keyed', 'web', '2024-08-12 12:00', '00000000-0000-0000-0000-000000000001');
INSERT INTO fast_ingest.events (event_name, channel, ts, event_key)
VALUES ('again', 'web', '2024-08-12 18:00', '00000000-0000-0000-0000-000000000001');
INSERT INTO fast_ingest.events (event_name, channel, ts, event_key)
VALUES ('again', 'web', '2024-08-12 18:00', '00000000-0000-0000-0000-000000000001'),
       ('other', 'web', '2024-08-12 18:00', '00000000-0000-0000-0000-000000000002')
ON CONFLICT DO NOTHING;
SELECT event_name, event_key FROM fast_ingest.events
WHERE event_key IS NOT NULL ORDER BY event_key;

-- and may be there on another
SELECT fi_create_partition('2024-08-13');
INSERT INTO fast_ingest.events (event_name, channel, ts, event_key)
VALUES ('next day', 'web', '2024-08-13 12:00', '00000000-0000-0000-0000-000000000001')
ON CONFLICT DO NOTHING;
SELECT count(*) FROM fast_ingest.events
WHERE event_key = '00000000-0000-0000-0000-000000000001';

-- it is an ordinary table: a user's index and constraint
CREATE INDEX by_user ON fast_ingest.events (user_id);
ALTER TABLE fast_ingest.events ADD CONSTRAINT no_fax CHECK (channel <> 'fax');
INSERT INTO fast_ingest.events (event_name, channel, ts)
VALUES ('page_view', 'fax', '2024-08-12 12:00');
SELECT fi_create_partition('2024-08-14');
SELECT count(*) FROM pg_inherits WHERE inhparent = 'fast_ingest.by_user'::regclass;
INSERT INTO fast_ingest.events (event_name, channel, ts)
VALUES ('page_view', 'fax', '2024-08-14 12:00');
ALTER TABLE fast_ingest.events DROP CONSTRAINT no_fax;
DROP INDEX fast_ingest.by_user;

TRUNCATE fast_ingest.events;
