/* fast_ingest: install script. make copies it to its versioned name. */

-- complain if this is sourced in psql instead of being run by CREATE EXTENSION
\echo Use "CREATE EXTENSION fast_ingest" to load this file. \quit

CREATE SCHEMA fast_ingest;

COMMENT ON SCHEMA fast_ingest IS 'Tables of fast_ingest: events and what belongs to them';

-- ---------------------------------------------------------------------------
-- User sets
-- ---------------------------------------------------------------------------

CREATE TYPE fi_user_set;

CREATE FUNCTION fi_user_set_in(cstring) RETURNS fi_user_set
    AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE FUNCTION fi_user_set_out(fi_user_set) RETURNS cstring
    AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE FUNCTION fi_user_set_recv(internal) RETURNS fi_user_set
    AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE FUNCTION fi_user_set_send(fi_user_set) RETURNS bytea
    AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

-- external: bitmaps do not compress, and are read in whole
CREATE TYPE fi_user_set (
    INPUT = fi_user_set_in,
    OUTPUT = fi_user_set_out,
    RECEIVE = fi_user_set_recv,
    SEND = fi_user_set_send,
    INTERNALLENGTH = variable,
    ALIGNMENT = int4,
    STORAGE = external
);

COMMENT ON TYPE fi_user_set IS
'An exact set of users by their numbers, 0 to 4294967295: a roaring bitmap. Written {1,5,7}, in binary as the portable serialization of roaring bitmaps.';

COMMENT ON FUNCTION fi_user_set_in(cstring) IS
'Read {1,5,7}: numbers in any order, as often as one likes. Errors 22P02 for anything else, 22003 for a number above 4294967295.';
COMMENT ON FUNCTION fi_user_set_out(fi_user_set) IS
'Write the numbers in order, as {1,5,7}. Error XX001 for a damaged set, as by all that read one.';
COMMENT ON FUNCTION fi_user_set_recv(internal) IS
'Read the portable serialization of a roaring bitmap. Error 22P03 if it is not well-formed.';
COMMENT ON FUNCTION fi_user_set_send(fi_user_set) IS
'Write the portable serialization of the roaring bitmap.';

CREATE FUNCTION fi_user_set_or(a fi_user_set, b fi_user_set) RETURNS fi_user_set
    AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION fi_user_set_or(fi_user_set, fi_user_set) IS
'The users who are in a or b. Operator a | b.';

CREATE FUNCTION fi_user_set_and(a fi_user_set, b fi_user_set) RETURNS fi_user_set
    AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION fi_user_set_and(fi_user_set, fi_user_set) IS
'The users who are in both a and b. Operator a & b.';

CREATE FUNCTION fi_user_set_and_not(a fi_user_set, b fi_user_set) RETURNS fi_user_set
    AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION fi_user_set_and_not(fi_user_set, fi_user_set) IS
'The users who are in a and not in b. Operator a - b.';

CREATE FUNCTION fi_user_set_eq(a fi_user_set, b fi_user_set) RETURNS boolean
    AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION fi_user_set_eq(fi_user_set, fi_user_set) IS
'Whether a and b hold the same users. Operator a = b.';

CREATE FUNCTION fi_user_set_contains(users fi_user_set, user_no bigint) RETURNS boolean
    AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION fi_user_set_contains(fi_user_set, bigint) IS
'Whether a user is in the set; false for what is not a user''s number. Operator users @> user_no.';

CREATE FUNCTION fi_cardinality(users fi_user_set) RETURNS bigint
    AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION fi_cardinality(fi_user_set) IS
'The number of users in the set.';

CREATE OPERATOR | (
    LEFTARG = fi_user_set, RIGHTARG = fi_user_set, FUNCTION = fi_user_set_or, COMMUTATOR = |
);

CREATE OPERATOR & (
    LEFTARG = fi_user_set, RIGHTARG = fi_user_set, FUNCTION = fi_user_set_and, COMMUTATOR = &
);

CREATE OPERATOR - (
    LEFTARG = fi_user_set, RIGHTARG = fi_user_set, FUNCTION = fi_user_set_and_not
);

CREATE OPERATOR = (
    LEFTARG = fi_user_set, RIGHTARG = fi_user_set, FUNCTION = fi_user_set_eq, COMMUTATOR = =,
    RESTRICT = pg_catalog.eqsel, JOIN = pg_catalog.eqjoinsel
);

CREATE OPERATOR @> (
    LEFTARG = fi_user_set, RIGHTARG = bigint, FUNCTION = fi_user_set_contains,
    RESTRICT = pg_catalog.contsel, JOIN = pg_catalog.contjoinsel
);

COMMENT ON OPERATOR | (fi_user_set, fi_user_set) IS 'users who are in either';
COMMENT ON OPERATOR & (fi_user_set, fi_user_set) IS 'users who are in both';
COMMENT ON OPERATOR - (fi_user_set, fi_user_set) IS 'users of the first who are not in the second';
COMMENT ON OPERATOR = (fi_user_set, fi_user_set) IS 'equal';
COMMENT ON OPERATOR @> (fi_user_set, bigint) IS 'contains';

CREATE FUNCTION fi_union_add(internal, fi_user_set) RETURNS internal
    AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE PARALLEL SAFE;

COMMENT ON FUNCTION fi_union_add(internal, fi_user_set) IS
'Transition function of fi_union.';

CREATE FUNCTION fi_union_result(internal) RETURNS fi_user_set
    AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE PARALLEL SAFE;

COMMENT ON FUNCTION fi_union_result(internal) IS
'Final function of fi_union.';

CREATE AGGREGATE fi_union(fi_user_set) (
    SFUNC = fi_union_add, STYPE = internal, SSPACE = 65536, FINALFUNC = fi_union_result,
    PARALLEL = SAFE
);

COMMENT ON AGGREGATE fi_union(fi_user_set) IS
'The users who are in any of the sets; NULL if there is no set.';

CREATE FUNCTION fi_pack_minutes_add(internal, integer, bigint, fi_user_set) RETURNS internal
    AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE PARALLEL SAFE;

COMMENT ON FUNCTION fi_pack_minutes_add(internal, integer, bigint, fi_user_set) IS
'Transition function of fi_pack_minutes.';

CREATE FUNCTION fi_pack_minutes_result(internal) RETURNS bytea
    AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE PARALLEL SAFE;

COMMENT ON FUNCTION fi_pack_minutes_result(internal) IS
'Final function of fi_pack_minutes.';

CREATE AGGREGATE fi_pack_minutes(minute integer, events bigint, users fi_user_set) (
    SFUNC = fi_pack_minutes_add, STYPE = internal, SSPACE = 262144,
    FINALFUNC = fi_pack_minutes_result, PARALLEL = SAFE
);

COMMENT ON AGGREGATE fi_pack_minutes(integer, bigint, fi_user_set) IS
'Pack an hour''s minutes (0 to 59), each with its number of events and its users (NULL: none), for fi_unpack_minutes. To be kept with the union of the users. The same minute may come more than once. Errors 22023 for another minute or negative events, 22004 where one of them is NULL, 22003 for too many events, 54000 for more than 71582788 users.';

CREATE FUNCTION fi_merge_minutes(
    users_a fi_user_set, minutes_a bytea, users_b fi_user_set, minutes_b bytea
) RETURNS bytea
    AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION fi_merge_minutes(fi_user_set, bytea, fi_user_set, bytea) IS
'Add up the packed minutes of two rows of one hour. To be kept with users_a | users_b. Errors as fi_pack_minutes, and XX001 if users and minutes are damaged or do not belong together.';

CREATE FUNCTION fi_unpack_minutes(users fi_user_set, minutes bytea)
    RETURNS TABLE (minute integer, events bigint, users fi_user_set)
    AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE ROWS 60;

COMMENT ON FUNCTION fi_unpack_minutes(fi_user_set, bytea) IS
'The minutes of an hour that have events or users, in order. Error XX001 if users and minutes are damaged or do not belong together.';

CREATE FUNCTION fi_sum_minutes(
    users fi_user_set, minutes bytea, first integer, last integer,
    OUT events bigint, OUT users fi_user_set
) RETURNS record
    AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION fi_sum_minutes(fi_user_set, bytea, integer, integer) IS
'Events and users of the minutes first <= minute < last of an hour. Errors XX001 if users and minutes are damaged or do not belong together, 22003 for too many events.';

-- ---------------------------------------------------------------------------
-- Events
-- ---------------------------------------------------------------------------

CREATE TABLE fast_ingest.events (
    event_name text NOT NULL,
    channel text NOT NULL,
    user_id text,
    ts timestamptz NOT NULL,
    campaign_id text,
    site_id text,
    path text,
    tags text[],
    metadata jsonb,
    event_key uuid,
    ingested_at timestamptz NOT NULL DEFAULT pg_catalog.now()
) PARTITION BY RANGE (ts);

COMMENT ON TABLE fast_ingest.events IS
'Events, partitioned by UTC day of ts. Partitions are made on demand for events that come over HTTP; fi_create_partition(day) makes one for INSERT and COPY.';
COMMENT ON COLUMN fast_ingest.events.ts IS 'When the event happened, as the client said';
COMMENT ON COLUMN fast_ingest.events.event_key IS
'What makes the event idempotent within its day; NULL: stored as often as it is sent. By HTTP it is cut from SHA-256 of the tenant of the API key, the site_id and the client''s idempotency key, or of the tenant and the content';
COMMENT ON COLUMN fast_ingest.events.ingested_at IS 'Start of the transaction that stored the event';

CREATE TABLE fast_ingest.dead_letters (
    id bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
    failed_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    sqlstate text NOT NULL,
    message text NOT NULL,
    event jsonb NOT NULL,
    attempts integer NOT NULL DEFAULT 1,
    last_attempt timestamptz NOT NULL DEFAULT pg_catalog.now()
);

COMMENT ON TABLE fast_ingest.dead_letters IS
'Events that were valid and that the database refused to store, with its error; fi_dead_letters() shows them, fi_retry_dead_letters() stores them, fi_purge_dead_letters() deletes them';
COMMENT ON COLUMN fast_ingest.dead_letters.failed_at IS 'When the database refused it first';
COMMENT ON COLUMN fast_ingest.dead_letters.message IS 'Its error at the last attempt';
COMMENT ON COLUMN fast_ingest.dead_letters.event IS 'The row that was refused, by column';

CREATE TYPE fast_ingest.dead_letter AS (
    id bigint,
    at timestamptz,
    attempts integer,
    last_attempt timestamptz,
    sqlstate text,
    reason text,
    post_to text,
    event jsonb,
    event_key uuid
);

COMMENT ON TYPE fast_ingest.dead_letter IS 'A row of fi_dead_letters()';

-- for publications; the server's partitions get it, too
ALTER TABLE fast_ingest.events REPLICA IDENTITY FULL;

SELECT pg_catalog.pg_extension_config_dump('fast_ingest.events', '');
SELECT pg_catalog.pg_extension_config_dump('fast_ingest.dead_letters', '');
SELECT pg_catalog.pg_extension_config_dump('fast_ingest.dead_letters_id_seq', '');

-- ---------------------------------------------------------------------------
-- Rollup
-- ---------------------------------------------------------------------------

CREATE TABLE fast_ingest.breakdowns (
    id smallint PRIMARY KEY,
    name text COLLATE "C" NOT NULL UNIQUE,
    key text NOT NULL,
    scope text,
    finest smallint NOT NULL CHECK (finest BETWEEN 1 AND 3),
    max_keys integer NOT NULL CHECK (max_keys > 0)
);

COMMENT ON TABLE fast_ingest.breakdowns IS
'What the rollup is broken down by; fi_add_breakdown() adds one, fi_drop_breakdown() drops it';
COMMENT ON COLUMN fast_ingest.breakdowns.key IS
'SQL expression over a row of fast_ingest.events; rows for which it is NULL are not counted';
COMMENT ON COLUMN fast_ingest.breakdowns.scope IS
'SQL expression: keys of different scopes have rows of their own';
COMMENT ON COLUMN fast_ingest.breakdowns.finest IS
'Finest level that rows are kept at: 1 minute, 2 hour, 3 day';
COMMENT ON COLUMN fast_ingest.breakdowns.max_keys IS
'Keys of an event_name that have rows of their own in an hour, or a day where that is the finest level; later ones are counted together (fast_ingest.rollup.is_other)';

INSERT INTO fast_ingest.breakdowns (id, name, key, scope, finest, max_keys) VALUES
    (1, 'channel', 'channel', NULL, 1, 1000),
    (2, 'site', 'site_id', 'site_id', 3, 1000),
    (3, 'page', 'path', 'site_id', 3, 10000);

CREATE SEQUENCE fast_ingest.breakdowns_id_seq AS smallint MINVALUE 100;

CREATE TABLE fast_ingest.rollup (
    breakdown smallint NOT NULL,
    level smallint NOT NULL,
    event_name text COLLATE "C" NOT NULL,
    bucket timestamptz NOT NULL,
    scope text COLLATE "C" NOT NULL,
    key text COLLATE "C" NOT NULL,
    events bigint NOT NULL,
    unique_users bigint NOT NULL,
    users fi_user_set,
    minutes bytea,
    is_part boolean NOT NULL DEFAULT false,
    is_other boolean NOT NULL DEFAULT false,
    is_other_name boolean NOT NULL DEFAULT false
) WITH (
    autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_cost_delay = 0,
    toast.autovacuum_vacuum_scale_factor = 0.05, toast.autovacuum_vacuum_cost_delay = 0
);

ALTER TABLE fast_ingest.rollup ALTER COLUMN minutes SET STORAGE EXTERNAL;
CREATE INDEX rollup_bucket ON fast_ingest.rollup (breakdown, level, event_name, bucket, scope, key);
CREATE INDEX rollup_other ON fast_ingest.rollup (breakdown, bucket, event_name) WHERE is_other;
CREATE INDEX rollup_parts ON fast_ingest.rollup (bucket) WHERE is_part;
CREATE INDEX rollup_scope ON fast_ingest.rollup (scope, bucket, breakdown) WHERE scope <> '';

COMMENT ON TABLE fast_ingest.rollup IS
'Events and users by breakdown, event_name and bucket, as of the last fi_refresh()';
COMMENT ON COLUMN fast_ingest.rollup.breakdown IS
'fast_ingest.breakdowns.id; 0: what the channels add up to';
COMMENT ON COLUMN fast_ingest.rollup.level IS
'Width of the bucket: 1 minute (of hours not closed yet), 2 hour, 3 day';
COMMENT ON COLUMN fast_ingest.rollup.users IS
'Numbers of the users (fast_ingest.users); NULL in rows that only count them';
COMMENT ON COLUMN fast_ingest.rollup.is_part IS
'There are other rows of this key in this bucket, with other events; a refresh puts them together in a quiet moment';
COMMENT ON COLUMN fast_ingest.rollup.is_other IS
'These are the keys, of all scopes, beyond the breakdown''s max_keys; scope and key are empty and mean nothing';
COMMENT ON COLUMN fast_ingest.rollup.is_other_name IS
'These are the event_names beyond fast_ingest.max_event_names; event_name is empty and means nothing';
COMMENT ON COLUMN fast_ingest.rollup.minutes IS
'Events and users of each minute of an hour, packed; fi_unpack_minutes() shows them';

CREATE TABLE fast_ingest.event_names (
    day timestamptz NOT NULL,
    event_name text COLLATE "C" NOT NULL,
    is_other boolean NOT NULL,
    PRIMARY KEY (day, event_name, is_other)
);

CREATE INDEX event_names_other ON fast_ingest.event_names (day) WHERE is_other;

COMMENT ON TABLE fast_ingest.event_names IS
'Event_names that the rollup keeps apart on a UTC day, at most fast_ingest.max_event_names; fi_rebuild() of the day chooses anew';
COMMENT ON COLUMN fast_ingest.event_names.is_other IS
'There were more, which are counted together; event_name is empty and means nothing';

CREATE TABLE fast_ingest.rollup_delta (
    events integer NOT NULL,
    first_ts timestamptz NOT NULL,
    last_ts timestamptz NOT NULL,
    groups bytea NOT NULL
) WITH (
    toast_tuple_target = 128,
    autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000,
    autovacuum_vacuum_insert_threshold = -1, autovacuum_vacuum_cost_delay = 0,
    toast.autovacuum_vacuum_scale_factor = 0, toast.autovacuum_vacuum_threshold = 1000,
    toast.autovacuum_vacuum_insert_threshold = -1, toast.autovacuum_vacuum_cost_delay = 0
);

ALTER TABLE fast_ingest.rollup_delta ALTER COLUMN groups SET STORAGE EXTERNAL;

COMMENT ON TABLE fast_ingest.rollup_delta IS
'What statements added to fast_ingest.events since the last fi_refresh()';

CREATE TABLE fast_ingest.rollup_dirty (
    low timestamptz NOT NULL,
    high timestamptz NOT NULL,
    breakdown smallint
);

COMMENT ON TABLE fast_ingest.rollup_dirty IS
'Times (from low to before high) whose events were changed or deleted since the last fi_refresh(), in one breakdown or in all (NULL), and those that a breakdown does not know, because it was added after their rows had been dropped';

CREATE TABLE fast_ingest.rollup_state (
    hours_closed timestamptz NOT NULL,
    days_closed timestamptz NOT NULL,
    users bigint NOT NULL,
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row)
);

COMMENT ON TABLE fast_ingest.rollup_state IS
'How far the rollup is: hours and days that begin before these times are closed, and so many users have got numbers, erased ones among them';

CREATE TABLE fast_ingest.dropped (
    low timestamptz NOT NULL,
    high timestamptz NOT NULL,
    partition oid NOT NULL
);

COMMENT ON TABLE fast_ingest.dropped IS
'Times (from low to before high) whose partition was dropped, or detached and not attached again, while the rollup keeps what it had counted';

CREATE TABLE fast_ingest.users (
    user_hash uuid NOT NULL,
    user_no integer NOT NULL,
    PRIMARY KEY (user_hash) INCLUDE (user_no)
);

COMMENT ON TABLE fast_ingest.users IS
'Dictionary of the rollup: a keyed hash of a user_id (the first 128 bits of SHA-256 of fast_ingest.secret and the user_id), and the user''s number';

CREATE TABLE fast_ingest.secret (
    secret bytea NOT NULL CHECK (pg_catalog.octet_length(secret) OPERATOR(pg_catalog.=) 32)
);

COMMENT ON TABLE fast_ingest.secret IS
'The database''s secret, which user_ids are hashed with. Who has it can tell whether somebody is in the dictionary; without it, or with another one, the rollup knows no user any more';

-- each of the UUIDs has 122 random bits
INSERT INTO fast_ingest.secret (secret) VALUES (pg_catalog.sha256(
    pg_catalog.uuid_send(pg_catalog.gen_random_uuid())
    OPERATOR(pg_catalog.||) pg_catalog.uuid_send(pg_catalog.gen_random_uuid())
    OPERATOR(pg_catalog.||) pg_catalog.uuid_send(pg_catalog.gen_random_uuid())));

-- no statistics of what is made of user_ids: nothing is planned by them, and they would
-- remember who was erased
ALTER TABLE fast_ingest.users ALTER COLUMN user_hash SET STATISTICS 0;
ALTER TABLE fast_ingest.rollup_delta ALTER COLUMN groups SET STATISTICS 0;
ALTER TABLE fast_ingest.dead_letters ALTER COLUMN event SET STATISTICS 0;
ALTER TABLE fast_ingest.dead_letters ALTER COLUMN message SET STATISTICS 0;

-- Where the data of a dump begins and where it ends. pg_dump orders tables by name, and
-- puts sequences behind all tables: these names do what they say.
CREATE SEQUENCE fast_ingest.data_end;

CREATE TABLE fast_ingest.data_begin (
    number bigint NOT NULL
);

COMMENT ON SEQUENCE fast_ingest.data_end IS
'The number of fast_ingest.data_begin; while a restore is under way, another one';
COMMENT ON TABLE fast_ingest.data_begin IS
'A number that a restore brings first, and last as that of fast_ingest.data_end: in between no refresh touches the rollup';

INSERT INTO fast_ingest.data_begin (number) VALUES (pg_catalog.setval('fast_ingest.data_end',
    pg_catalog.abs(pg_catalog.hashtextextended(pg_catalog.gen_random_uuid()::pg_catalog.text, 0))));

-- What a dump has of these, its dictionary is made with, takes the place of what was made
-- here. No key keeps it out where triggers are disabled: then the last row is what counts.
CREATE FUNCTION fi_row_replaced() RETURNS trigger
    AS 'MODULE_PATHNAME' LANGUAGE C
    SET search_path = pg_catalog, pg_temp;

COMMENT ON FUNCTION fi_row_replaced() IS
'Trigger of tables of one row: deletes the row that another is inserted for, as a restore does, and has all processes read it again. Waits for a refresh under way.';

CREATE TRIGGER fi_changed BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON fast_ingest.secret
    FOR EACH STATEMENT EXECUTE FUNCTION fi_row_replaced();
ALTER TABLE fast_ingest.secret ENABLE ALWAYS TRIGGER fi_changed;
CREATE TRIGGER fi_replaced BEFORE INSERT ON fast_ingest.data_begin
    FOR EACH STATEMENT EXECUTE FUNCTION fi_row_replaced();
ALTER TABLE fast_ingest.data_begin ENABLE ALWAYS TRIGGER fi_replaced;

-- Rows of these are deleted, which publications FOR ALL TABLES want to be told
ALTER TABLE fast_ingest.rollup REPLICA IDENTITY FULL;
ALTER TABLE fast_ingest.rollup_delta REPLICA IDENTITY FULL;
ALTER TABLE fast_ingest.rollup_dirty REPLICA IDENTITY FULL;
ALTER TABLE fast_ingest.dropped REPLICA IDENTITY FULL;
ALTER TABLE fast_ingest.secret REPLICA IDENTITY FULL;
ALTER TABLE fast_ingest.data_begin REPLICA IDENTITY FULL;

SELECT pg_catalog.pg_extension_config_dump('fast_ingest.breakdowns', 'WHERE id >= 100');
SELECT pg_catalog.pg_extension_config_dump('fast_ingest.breakdowns_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('fast_ingest.rollup', '');
SELECT pg_catalog.pg_extension_config_dump('fast_ingest.event_names', '');
SELECT pg_catalog.pg_extension_config_dump('fast_ingest.rollup_delta', '');
SELECT pg_catalog.pg_extension_config_dump('fast_ingest.rollup_dirty', '');
SELECT pg_catalog.pg_extension_config_dump('fast_ingest.rollup_state', '');
SELECT pg_catalog.pg_extension_config_dump('fast_ingest.dropped', '');
SELECT pg_catalog.pg_extension_config_dump('fast_ingest.users', '');
SELECT pg_catalog.pg_extension_config_dump('fast_ingest.secret', '');
SELECT pg_catalog.pg_extension_config_dump('fast_ingest.data_begin', '');
SELECT pg_catalog.pg_extension_config_dump('fast_ingest.data_end', '');

-- functions that breakdowns call must not see the search path of who inserts
CREATE FUNCTION fi_events_inserted() RETURNS trigger
    AS 'MODULE_PATHNAME' LANGUAGE C
    SET search_path = pg_catalog, pg_temp;
CREATE FUNCTION fi_events_changed() RETURNS trigger
    AS 'MODULE_PATHNAME' LANGUAGE C
    SET search_path = pg_catalog, pg_temp;
CREATE FUNCTION fi_events_truncated() RETURNS trigger
    AS 'MODULE_PATHNAME' LANGUAGE C
    SET search_path = pg_catalog, pg_temp;

COMMENT ON FUNCTION fi_events_inserted() IS
'Trigger of fast_ingest.events and its partitions: writes what a statement adds to the rollup.';
COMMENT ON FUNCTION fi_events_changed() IS
'Trigger of fast_ingest.events and its partitions: marks the minutes whose events were updated or deleted.';
COMMENT ON FUNCTION fi_events_truncated() IS
'Trigger of fast_ingest.events and its partitions: empties the rollup, or marks the partition''s time.';

CREATE TRIGGER fi_inserted AFTER INSERT ON fast_ingest.events
    REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION fi_events_inserted();
CREATE TRIGGER fi_updated AFTER UPDATE ON fast_ingest.events
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION fi_events_changed();
CREATE TRIGGER fi_deleted AFTER DELETE ON fast_ingest.events
    REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION fi_events_changed();
CREATE TRIGGER fi_truncated AFTER TRUNCATE ON fast_ingest.events
    FOR EACH STATEMENT EXECUTE FUNCTION fi_events_truncated();

CREATE FUNCTION fi_refresh(
    OUT events bigint,
    OUT groups bigint,
    OUT users bigint,
    OUT raw_rows bigint,
    OUT hours_closed bigint,
    OUT days_closed bigint
) RETURNS record
    AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp;

COMMENT ON FUNCTION fi_refresh() IS
'Merge what was inserted since the last refresh into the rollup, count again what was changed, and close hours and days that are over; all or nothing. Waits for another refresh, stops neither inserts nor readers. Returns the events merged, the groups they fell into, the users seen for the first time, the raw rows counted again, and the hours and days closed. Errors: 0A000 at isolation level REPEATABLE READ or above, 55000 while the rollup is being restored.';

CREATE FUNCTION fi_rebuild(
    "from" timestamptz DEFAULT NULL,
    "to" timestamptz DEFAULT NULL,
    OUT events bigint,
    OUT groups bigint,
    OUT users bigint,
    OUT raw_rows bigint,
    OUT hours_closed bigint,
    OUT days_closed bigint
) RETURNS record
    AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp;

COMMENT ON FUNCTION fi_rebuild(timestamptz, timestamptz) IS
'Count the raw rows from one time (NULL: the first) to before another (NULL: the last) again, as far as partitions hold them, and refresh. For what no trigger sees: rows of a table that was attached, say. Returns what fi_refresh() returns. Errors: 22023 if from is not before to, and those of fi_refresh().';

CREATE FUNCTION fi_erase_user(
    user_id text,
    OUT events bigint,
    OUT dead_letters bigint,
    OUT rollup_rows bigint,
    OUT users bigint
) RETURNS record
    AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp;

COMMENT ON FUNCTION fi_erase_user(text) IS
'Remove a user from all tables of fast_ingest, as of now: events of all partitions, dead letters, the user''s number out of every set of the rollup, and the dictionary. Waits at most 10 seconds until what was staged before is stored, and for a refresh under way; refreshes. Events that arrive later are those of a new user. Returns how many rows of events were deleted, how many dead letters were deleted or had the user_id taken out of their error, how many rows of the rollup the user was taken out of, and whether the dictionary knew the user (1 or 0). Of days whose rows were dropped the events stay counted. Acts with the rights of the tables'' owners, whoever may execute it. Constraints are immediate from here on in the transaction. Errors: 22023 for NULL or an empty user_id, 55000 if staged events are not stored in time, a trigger keeps events from being deleted or the rollup is being restored, 0A000 at isolation level REPEATABLE READ or above.';

CREATE FUNCTION fi_metrics(
    event_name text,
    "from" timestamptz DEFAULT NULL,
    "to" timestamptz DEFAULT NULL,
    group_by text DEFAULT NULL,
    channel text DEFAULT NULL,
    timezone text DEFAULT 'UTC',
    fill boolean DEFAULT true
) RETURNS TABLE (group_key text, total_events bigint, unique_users bigint)
    AS 'MODULE_PATHNAME', 'fi_metrics' LANGUAGE C STABLE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp;

CREATE FUNCTION fi_metrics(
    event_name text,
    "from" bigint,
    "to" bigint DEFAULT NULL,
    group_by text DEFAULT NULL,
    channel text DEFAULT NULL,
    timezone text DEFAULT 'UTC',
    fill boolean DEFAULT true
) RETURNS TABLE (group_key text, total_events bigint, unique_users bigint)
    AS 'MODULE_PATHNAME', 'fi_metrics_unix' LANGUAGE C STABLE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp;

CREATE FUNCTION fi_metrics(
    event_name text,
    "from" text,
    "to" text DEFAULT NULL,
    group_by text DEFAULT NULL,
    channel text DEFAULT NULL,
    timezone text DEFAULT 'UTC',
    fill boolean DEFAULT true
) RETURNS TABLE (group_key text, total_events bigint, unique_users bigint)
    AS 'MODULE_PATHNAME', 'fi_metrics_text' LANGUAGE C STABLE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp;

COMMENT ON FUNCTION fi_metrics(text, timestamptz, timestamptz, text, text, text, boolean) IS
'Exact number of events and of different users of an event_name from one time to before another (NULL: no bound), as the statement''s snapshot has them. group_by: NULL (one row, group_key NULL), hour, day (ISO 8601 instants in the time zone, in order; with fill also empty ones) or the name of a breakdown (keys, most events first; group_key NULL: the keys beyond its max_keys together). channel: count only this one. Errors: 22023 for an argument that is not valid, 55000 if raw events are needed that were dropped, or while the rollup is being restored.';
COMMENT ON FUNCTION fi_metrics(text, bigint, bigint, text, text, text, boolean) IS
'fi_metrics with from and to as Unix seconds (above 1e11: milliseconds, above 1e14: microseconds, above 1e17: nanoseconds).';
COMMENT ON FUNCTION fi_metrics(text, text, text, text, text, text, boolean) IS
'fi_metrics with from and to as text: what HTTP takes (Unix time, RFC 3339), or whatever timestamptz reads.';

CREATE FUNCTION fi_metrics_plan(
    event_name text,
    "from" timestamptz DEFAULT NULL,
    "to" timestamptz DEFAULT NULL,
    group_by text DEFAULT NULL,
    channel text DEFAULT NULL,
    timezone text DEFAULT 'UTC',
    fill boolean DEFAULT true
) RETURNS TABLE (source text, rows_read bigint)
    AS 'MODULE_PATHNAME' LANGUAGE C STABLE PARALLEL UNSAFE ROWS 5
    SET search_path = pg_catalog, pg_temp;

COMMENT ON FUNCTION fi_metrics_plan(text, timestamptz, timestamptz, text, text, text, boolean) IS
'Answer a question as fi_metrics() does, and say how many rows of each source that took: of days, hours and minutes of the rollup, groups of deltas not merged yet, and raw events. Errors: those of fi_metrics().';

CREATE FUNCTION fi_stats(
    site_id text,
    date date DEFAULT NULL,
    max_paths integer DEFAULT 10
) RETURNS TABLE (path text, views bigint, unique_users bigint)
    AS 'MODULE_PATHNAME' LANGUAGE C STABLE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp;

COMMENT ON FUNCTION fi_stats(text, date, integer) IS
'What a website saw on a UTC day (NULL: today), whatever the event_name: first a row with path NULL, all its events and different users, then its most viewed paths, at most max_paths, whose users are not counted (NULL). Errors: 22023 for an argument that is not valid, 55000 if raw events are needed that were dropped, or while the rollup is being restored.';

CREATE FUNCTION fi_add_breakdown(
    name text,
    expression text,
    levels text[] DEFAULT '{hour,day}',
    max_keys integer DEFAULT 1000
) RETURNS void
    AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp;

COMMENT ON FUNCTION fi_add_breakdown(text, text, text[], integer) IS
'Keep metrics by an immutable SQL expression over a row of fast_ingest.events, from now on and for all events stored, at the levels {day}, {hour,day} or {minute,hour,day}; group_by => name asks for them. Beyond max_keys different keys of an event_name in an hour, or a day where that is the only level, the next are counted together, as the group whose key is NULL. Inserts wait until the transaction ends; until the next fi_refresh() answers come from raw rows. Errors: 22023 for an argument that is not valid, 42710 if the name is taken, and those of the expression.';

CREATE FUNCTION fi_drop_breakdown(name text) RETURNS void
    AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp;

COMMENT ON FUNCTION fi_drop_breakdown(text) IS
'Drop a breakdown that fi_add_breakdown() made, and its rows. Errors: 42704 if there is none of that name, 55000 if it is built in.';

-- ---------------------------------------------------------------------------
-- API keys
-- ---------------------------------------------------------------------------

CREATE TABLE fast_ingest.api_keys (
    id text COLLATE "C" PRIMARY KEY CHECK (id OPERATOR(pg_catalog.~) '^[0-9a-f]{12}$'),
    name text COLLATE "C" NOT NULL UNIQUE CHECK (name OPERATOR(pg_catalog.<>) ''),
    tenant text COLLATE "C" NOT NULL CHECK (tenant OPERATOR(pg_catalog.<>) ''),
    secret_hash bytea NOT NULL CHECK (pg_catalog.octet_length(secret_hash) OPERATOR(pg_catalog.=) 32),
    scopes text[] NOT NULL CHECK (scopes OPERATOR(pg_catalog.<>) '{}' AND scopes OPERATOR(pg_catalog.<@) '{write,read,admin}'),
    site_ids text[] CHECK (site_ids OPERATOR(pg_catalog.<>) '{}'),
    channels text[] CHECK (channels OPERATOR(pg_catalog.<>) '{}'),
    origins text[] CHECK (origins OPERATOR(pg_catalog.<>) '{}'),
    rate_limit integer CHECK (rate_limit OPERATOR(pg_catalog.>=) 0),
    burst integer CHECK (burst OPERATOR(pg_catalog.>) 0),
    created_at timestamptz NOT NULL DEFAULT pg_catalog.now()
);

COMMENT ON TABLE fast_ingest.api_keys IS
'API keys that are valid; fi_create_api_key() adds one, fi_revoke_api_key() deletes it. Changes take effect at commit';
COMMENT ON COLUMN fast_ingest.api_keys.id IS 'What stands in the key after fi_; no secret';
COMMENT ON COLUMN fast_ingest.api_keys.tenant IS
'Whose events it sends: an idempotency key, or the same content, means one event within a day and a tenant. Keys of one tenant share that';
COMMENT ON COLUMN fast_ingest.api_keys.secret_hash IS 'SHA-256 of the key';
COMMENT ON COLUMN fast_ingest.api_keys.scopes IS
'What it is for: write (POST of events), read (GET of metrics), admin (operation); none includes another';
COMMENT ON COLUMN fast_ingest.api_keys.site_ids IS 'Websites that it is for; NULL: all';
COMMENT ON COLUMN fast_ingest.api_keys.channels IS 'Channels that it is for; NULL: all';
COMMENT ON COLUMN fast_ingest.api_keys.origins IS
'Values of the header Origin that it is for; NULL: all, and requests without one';
COMMENT ON COLUMN fast_ingest.api_keys.rate_limit IS
'Events per second; 0: no limit, NULL: fast_ingest.rate_limit_per_key';
COMMENT ON COLUMN fast_ingest.api_keys.burst IS
'Events at a time after a pause; NULL: those of fast_ingest.rate_limit_burst';

CREATE FUNCTION fi_api_keys_changed() RETURNS trigger
    AS 'MODULE_PATHNAME' LANGUAGE C
    SET search_path = pg_catalog, pg_temp;

COMMENT ON FUNCTION fi_api_keys_changed() IS
'Trigger of fast_ingest.api_keys: lets the listener know the keys at commit. Error 53400 at commit if there is no room for them, 0A000 at PREPARE TRANSACTION.';

CREATE TRIGGER fi_changed BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON fast_ingest.api_keys
    FOR EACH STATEMENT EXECUTE FUNCTION fi_api_keys_changed();
ALTER TABLE fast_ingest.api_keys ENABLE ALWAYS TRIGGER fi_changed;

-- keys of an extension that was dropped are not valid any more
DELETE FROM fast_ingest.api_keys;

SELECT pg_catalog.pg_extension_config_dump('fast_ingest.api_keys', '');

CREATE FUNCTION fi_create_api_key(
    name text,
    scopes text[] DEFAULT '{write}',
    site_ids text[] DEFAULT NULL,
    channels text[] DEFAULT NULL,
    origins text[] DEFAULT NULL,
    rate_limit integer DEFAULT NULL,
    burst integer DEFAULT NULL,
    tenant text DEFAULT NULL
) RETURNS text
    AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp;

COMMENT ON FUNCTION fi_create_api_key(text, text[], text[], text[], text[], integer, integer, text) IS
'Make an API key and return it, this once: only its SHA-256 is stored. It is valid from the commit on. scopes: write, read, admin; site_ids, channels, origins: what it is restricted to (NULL: nothing); rate_limit: events per second (0: no limit, NULL: fast_ingest.rate_limit_per_key); burst: events at a time (NULL: what fast_ingest.rate_limit_burst allows); tenant: whose events it sends, within which idempotency keys are unique (NULL: the name). A key that replaces another one needs its tenant, or its name. Errors: 22023 for an argument that is not valid, 42710 if the name is taken, 53400 at commit if there is no room for more keys.';

CREATE FUNCTION fi_revoke_api_key(name text) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    DELETE FROM fast_ingest.api_keys k WHERE k.name = fi_revoke_api_key.name;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'API key "%" does not exist', name USING ERRCODE = 'undefined_object';
    END IF;
END
$$;

COMMENT ON FUNCTION fi_revoke_api_key(text) IS
'Delete an API key: it is refused from the commit on. Error 42704 if there is none of that name.';

CREATE FUNCTION fi_api_keys()
RETURNS TABLE (
    name text, id text, scopes text[], site_ids text[], channels text[], origins text[],
    rate_limit integer, burst integer, tenant text, created_at timestamptz
)
    LANGUAGE sql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT k.name, k.id, k.scopes, k.site_ids, k.channels, k.origins, k.rate_limit, k.burst, k.tenant, k.created_at
    FROM fast_ingest.api_keys k
    ORDER BY k.name
$$;

COMMENT ON FUNCTION fi_api_keys() IS
'The API keys that are valid, by name, what they are for, and whose events they send (tenant); never what they are compared with.';

-- ---------------------------------------------------------------------------
-- Functions
-- ---------------------------------------------------------------------------

CREATE FUNCTION fi_create_partition(day date) RETURNS regclass
    AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp;

COMMENT ON FUNCTION fi_create_partition(date) IS
'Make the partition of fast_ingest.events for a UTC day unless it is there, without blocking inserts. Returns the partition. Error 22008 for a day out of range, 42P17 if another partition is in the way.';

CREATE FUNCTION fi_dead_letters(
    ids bigint[] DEFAULT NULL,
    sqlstate text DEFAULT NULL,
    reason text DEFAULT NULL,
    event jsonb DEFAULT NULL,
    "from" timestamptz DEFAULT NULL,
    "to" timestamptz DEFAULT NULL
) RETURNS SETOF fast_ingest.dead_letter
    LANGUAGE sql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT d.id, d.failed_at, d.attempts, d.last_attempt, d.sqlstate, d.message,
        CASE WHEN d.event ->> 'user_id' IS NULL THEN '/event' ELSE '/events' END,
        f.form, (d.event ->> 'event_key')::uuid
    FROM fast_ingest.dead_letters d, LATERAL (
        -- null is absent; without a user it can only have been a website's event
        SELECT jsonb_object_agg(
            CASE
                WHEN m.key = 'ts' THEN 'timestamp'
                WHEN m.key = 'event_key' THEN 'idempotency_key'
                WHEN m.key = 'event_name' AND d.event ->> 'user_id' IS NULL THEN 'event_type'
                ELSE m.key
            END,
            CASE m.key
                WHEN 'ts' THEN to_jsonb(trim_scale(extract(epoch FROM (d.event ->> 'ts')::timestamptz)))
                WHEN 'event_key' THEN to_jsonb('event_key:' || (m.value #>> '{}'))
                ELSE m.value
            END) AS form
        FROM jsonb_each(d.event) m
        WHERE m.value <> 'null' AND (d.event ->> 'user_id' IS NOT NULL OR m.key NOT IN ('channel', 'event_key'))
    ) f
    WHERE (fi_dead_letters.ids IS NULL OR d.id = ANY (fi_dead_letters.ids))
        AND (fi_dead_letters.sqlstate IS NULL OR d.sqlstate = fi_dead_letters.sqlstate)
        AND (fi_dead_letters.reason IS NULL OR strpos(d.message, fi_dead_letters.reason) > 0)
        AND (fi_dead_letters.event IS NULL OR f.form @> fi_dead_letters.event)
        AND (fi_dead_letters."from" IS NULL OR d.failed_at >= fi_dead_letters."from")
        AND (fi_dead_letters."to" IS NULL OR d.failed_at < fi_dead_letters."to")
    ORDER BY d.id DESC
$$;

COMMENT ON FUNCTION fi_dead_letters(bigint[], text, text, jsonb, timestamptz, timestamptz) IS
'Events that the database refused, newest first: id, when it was refused first, how often and when last, the error, the event as it can be posted again, and the path to post it to (/event has no field for an idempotency key: event_key:<uuid> would be its header). Posted by who needs no API key, or has one with the scopes write and admin, it keeps its event_key; by others it is stored once, under another one. Arguments choose, NULL is any: ids, sqlstate, a part of the reason, what the event contains (as @> of jsonb), refused first from one time to before another.';

CREATE FUNCTION fi_retry_dead_letters(
    ids bigint[] DEFAULT NULL,
    sqlstate text DEFAULT NULL,
    reason text DEFAULT NULL,
    event jsonb DEFAULT NULL,
    "from" timestamptz DEFAULT NULL,
    "to" timestamptz DEFAULT NULL,
    "limit" bigint DEFAULT NULL,
    OUT retried bigint,
    OUT stored bigint,
    OUT duplicates bigint,
    OUT failed bigint
) RETURNS record
    AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp;

COMMENT ON FUNCTION fi_retry_dead_letters(bigint[], text, text, jsonb, timestamptz, timestamptz, bigint) IS
'Insert dead letters into fast_ingest.events as if they came by HTTP, those that fi_dead_letters() shows for the same arguments, the oldest first and no more than limit (NULL: all). What is stored, or was there already, leaves the dead letters in the same transaction; what is refused stays, with the new error. Letters that another retry is at are left to it. Returns how many were retried, stored, there already, refused again; what these do not add up to a BEFORE trigger discarded. Constraints are immediate from here on in the transaction. An error that is not an event''s fault (a lock timeout, a missing column or privilege, a partition that cannot be made) ends the call, and nothing has happened.';

CREATE FUNCTION fi_purge_dead_letters(older_than interval) RETURNS bigint
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    n bigint;
BEGIN
    IF older_than IS NULL OR older_than < interval '0' THEN
        RAISE EXCEPTION 'older_than is %: expected an interval that is not negative', coalesce(quote_literal(older_than::text), 'NULL') USING
            ERRCODE = 'invalid_parameter_value';
    END IF;
    DELETE FROM fast_ingest.dead_letters d WHERE d.failed_at <= now() - older_than;
    GET DIAGNOSTICS n = ROW_COUNT;
    RETURN n;
END
$$;

COMMENT ON FUNCTION fi_purge_dead_letters(interval) IS
'Delete the dead letters that were refused first so long ago or longer (0: all). Returns how many. Waits for retries of them. Error 22023 for NULL or a negative interval.';

REVOKE ALL ON FUNCTION fi_dead_letters(bigint[], text, text, jsonb, timestamptz, timestamptz) FROM PUBLIC;
REVOKE ALL ON FUNCTION fi_retry_dead_letters(bigint[], text, text, jsonb, timestamptz, timestamptz, bigint) FROM PUBLIC;
REVOKE ALL ON FUNCTION fi_purge_dead_letters(interval) FROM PUBLIC;

CREATE FUNCTION fi_status(
    OUT worker text,
    OUT pid integer,
    OUT state text,
    OUT since timestamptz,
    OUT last_error text,
    OUT received bigint,
    OUT accepted bigint,
    OUT rejected bigint,
    OUT duplicate bigint,
    OUT discarded bigint,
    OUT committed bigint,
    OUT dead_lettered bigint,
    OUT dead_letters bigint,
    OUT dead_letters_dropped bigint,
    OUT staged bigint,
    OUT staging_size bigint,
    OUT oldest_staged interval,
    OUT last_commit timestamptz
) RETURNS SETOF record
    AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE PARALLEL SAFE ROWS 4;

COMMENT ON FUNCTION fi_status() IS
'One row per worker. A listener counts events received, accepted and rejected since server start; a flusher those committed, duplicate, discarded by a BEFORE trigger, dead-lettered and still staged, the older dead letters it dropped for fast_ingest.max_dead_letters, the size of the staging ring in bytes, the age of the oldest staged event and the time of the last commit. The row of maintenance has the number of rows in fast_ingest.dead_letters (NULL in another database, without SELECT on the table, and while it is locked). At rest accepted = committed + duplicate + discarded + dead_lettered + staged. Error 55000 if fast_ingest is not in shared_preload_libraries.';

-- ---------------------------------------------------------------------------
-- Answers as HTTP gives them
-- ---------------------------------------------------------------------------

CREATE FUNCTION fi_metrics_json(
    event_name text,
    "from" timestamptz DEFAULT NULL,
    "to" timestamptz DEFAULT NULL,
    group_by text DEFAULT NULL,
    channel text DEFAULT NULL,
    timezone text DEFAULT 'UTC',
    fill boolean DEFAULT true,
    "limit" integer DEFAULT NULL,
    cursor text DEFAULT NULL
) RETURNS json
    AS 'MODULE_PATHNAME' LANGUAGE C STABLE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp;

COMMENT ON FUNCTION fi_metrics_json(text, timestamptz, timestamptz, text, text, text, boolean, integer, text) IS
'The body of GET /metrics: events named event_name from "from" (inclusive) to "to" (exclusive), in all and by hour, day or a breakdown, of one channel only where it is given. hour and day are those of timezone; fill adds those without events. limit is the number of groups (NULL: 1000, hours and days all), cursor the next_cursor of the page before. Times in the answer are Unix seconds. Error 22023 for an argument that is not allowed.';

CREATE FUNCTION fi_metrics_json(
    event_name text,
    "from" bigint,
    "to" bigint DEFAULT NULL,
    group_by text DEFAULT NULL,
    channel text DEFAULT NULL,
    timezone text DEFAULT 'UTC',
    fill boolean DEFAULT true,
    "limit" integer DEFAULT NULL,
    cursor text DEFAULT NULL
) RETURNS json
    AS 'MODULE_PATHNAME' LANGUAGE C STABLE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp;

COMMENT ON FUNCTION fi_metrics_json(text, bigint, bigint, text, text, text, boolean, integer, text) IS
'As fi_metrics_json of timestamps, with "from" and "to" in Unix seconds (above 1e11: milliseconds, above 1e14: microseconds, above 1e17: nanoseconds).';

CREATE FUNCTION fi_metrics_json(
    event_name text,
    "from" text,
    "to" text DEFAULT NULL,
    group_by text DEFAULT NULL,
    channel text DEFAULT NULL,
    timezone text DEFAULT 'UTC',
    fill boolean DEFAULT true,
    "limit" integer DEFAULT NULL,
    cursor text DEFAULT NULL
) RETURNS json
    AS 'MODULE_PATHNAME' LANGUAGE C STABLE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp;

COMMENT ON FUNCTION fi_metrics_json(text, text, text, text, text, text, boolean, integer, text) IS
'As fi_metrics_json of timestamps, with "from" and "to" as HTTP takes them: Unix time, or RFC 3339.';

CREATE FUNCTION fi_stats_json(site_id text, date date DEFAULT NULL, max_paths integer DEFAULT 10) RETURNS json
    AS 'MODULE_PATHNAME' LANGUAGE C STABLE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp;

COMMENT ON FUNCTION fi_stats_json(text, date, integer) IS
'The body of GET /stats: what a website saw on a UTC day (NULL: today), with its max_paths most viewed paths. Error 22023 for an argument that is not allowed.';

-- ---------------------------------------------------------------------------
-- Maintenance
-- ---------------------------------------------------------------------------

-- Bounds are compared in the zone and format that they are printed in.
CREATE FUNCTION fi_partitions()
RETURNS TABLE (partition regclass, day date)
    LANGUAGE sql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
    SET datestyle = 'ISO'
    SET timezone = 'UTC'
AS $$
    SELECT p.partition, p.lower::date
    FROM (
        SELECT c.oid::regclass AS partition, b.bounds[1]::timestamptz AS lower, b.bounds[2]::timestamptz AS upper
        FROM pg_inherits i
            JOIN pg_class c ON c.oid = i.inhrelid,
            regexp_match(pg_get_expr(c.relpartbound, c.oid), $re$^FOR VALUES FROM \('([^']+)'\) TO \('([^']+)'\)$re$) AS b (bounds)
        WHERE i.inhparent = 'fast_ingest.events'::regclass AND NOT i.inhdetachpending AND c.relkind IN ('r', 'p')
    ) p
    WHERE p.lower = date_trunc('day', p.lower) AND p.upper = p.lower + interval '1 day'
    ORDER BY p.lower
$$;

COMMENT ON FUNCTION fi_partitions() IS
'The partitions of fast_ingest.events that hold one UTC day, in order. Partitions of other bounds, a default partition, foreign tables and what is being detached are left out.';

CREATE FUNCTION fi_maintain()
RETURNS TABLE (action text, partition text, detail text)
    AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp;

COMMENT ON FUNCTION fi_maintain() IS
'What has to be done now and then, for pg_cron to call. Makes the partitions of today and of fast_ingest.partitions_ahead days more, drops those whose events are all older than fast_ingest.retention (the rollup keeps them), summarizes BRIN indexes of today and yesterday, deletes what pg_cron noted about our jobs more than a day ago, as far as the caller may. The maintenance worker does this in short transactions of its own, and the function waits for it: what is done stays done if the caller''s transaction is rolled back. No insert waits for more than about 0.3 seconds; what would make it wait longer is skipped and left to the next call. Callers are served one after the other. Returns what was done: action (created, dropped, skipped, summarized, cleaned), partition, detail. Rows that do not fit into 64 kB, more than a thousand, are only counted, in a last row of action omitted. Errors: 42501 unless the caller owns fast_ingest.events; 25006 in a read-only transaction; 55000 if fast_ingest is not in shared_preload_libraries, or the maintenance worker does not run or works in another database; 57000 if the worker ended meanwhile; any other that the worker met.';

CREATE FUNCTION fi_unschedule() RETURNS integer
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
    SET row_security = on
AS $$
DECLARE
    n integer := 0;
BEGIN
    IF EXISTS (SELECT FROM pg_extension e WHERE e.extname = 'pg_cron') THEN
        SELECT count(cron.unschedule(j.jobid)) INTO n
        FROM cron.job j
        WHERE j.jobname IN ('fast_ingest refresh', 'fast_ingest maintain') AND j.database = current_database();
    END IF;
    RETURN n;
END
$$;

COMMENT ON FUNCTION fi_unschedule() IS
'Remove the jobs of fi_schedule() from pg_cron: one''s own, a superuser those of all users. Returns how many there were.';

CREATE FUNCTION fi_schedule(refresh_schedule text DEFAULT NULL, maintain_schedule text DEFAULT NULL)
RETURNS TABLE (job text, schedule text)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
    SET row_security = on
AS $$
DECLARE
    owner CONSTANT oid := (SELECT c.relowner FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = 'fast_ingest' AND c.relname = 'events');
    schema CONSTANT regnamespace := (SELECT e.extnamespace FROM pg_extension e WHERE e.extname = 'fast_ingest');
    cron_version CONSTANT text := (SELECT e.extversion FROM pg_extension e WHERE e.extname = 'pg_cron');
    -- only some may read the setting
    cron_database CONSTANT text := CASE WHEN pg_has_role('pg_read_all_settings', 'USAGE') THEN current_setting('cron.database_name', true) END;
    has_seconds CONSTANT boolean := string_to_array(substring(cron_version FROM '^[0-9]+[.][0-9]+'), '.')::integer[] >= '{1,5}';
    -- What the defaults of database and role must not change. One transaction runs all of a
    -- command, so these come before the function.
    settings CONSTANT text := 'SET TRANSACTION ISOLATION LEVEL READ COMMITTED, READ WRITE;'
        ' SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0; ';
    -- A job outlives the extension where cron_jobs.c cannot remove it. Then it removes itself,
    -- and calls no function of others that happens to have the name.
    command CONSTANT text := settings || 'DO $fast_ingest$ BEGIN PERFORM pg_catalog.set_config(''search_path'', ''pg_catalog, pg_temp'', true);'
        ' IF EXISTS (SELECT FROM pg_extension WHERE extname = ''fast_ingest'' AND extnamespace = to_regnamespace(%L))'
        ' THEN PERFORM %s.%s(); ELSE PERFORM cron.unschedule(%L); END IF; END $fast_ingest$';
BEGIN
    IF cron_version IS NULL THEN
        RAISE EXCEPTION 'extension pg_cron is not created in database "%"', current_database() USING
            ERRCODE = 'object_not_in_prerequisite_state',
            DETAIL = 'pg_cron is the clock of fi_refresh() and fi_maintain(). Without it the rollup is refreshed when fast_ingest.refresh_backlog events wait for it, many deltas or an old one, and fi_maintain() is for you to call.',
            HINT = CASE
                WHEN cron_database = current_database() THEN
                    'Run CREATE EXTENSION pg_cron, and fi_schedule() again.'
                WHEN cron_database IS NOT NULL THEN
                    format('pg_cron works in database "%1$s". Run there: '
                        'CREATE EXTENSION IF NOT EXISTS pg_cron; '
                        'SELECT cron.schedule_in_database(''fast_ingest refresh'', ''* * * * *'', ''%4$sSELECT %2$s.fi_refresh()'', %3$L), '
                        'cron.schedule_in_database(''fast_ingest maintain'', ''17 * * * *'', ''%4$sSELECT %2$s.fi_maintain()'', %3$L);',
                        cron_database, schema, current_database(), settings)
                ELSE
                    format('Add pg_cron to shared_preload_libraries, set cron.database_name = %L, restart the server, run CREATE EXTENSION pg_cron, and fi_schedule() again.', current_database())
                END;
    END IF;
    IF NOT pg_has_role(owner, 'USAGE') THEN
        RAISE EXCEPTION 'must be owner of table fast_ingest.events' USING
            ERRCODE = 'insufficient_privilege',
            DETAIL = 'Jobs run as the role that schedules them.',
            HINT = format('Run fi_schedule() as role %s, or as a member of it.', owner::regrole);
    END IF;

    -- anew rather than changed: a restored or renamed database's jobs have its old name
    PERFORM @extschema@.fi_unschedule();
    FOR job, schedule IN VALUES
        ('fast_ingest refresh', coalesce(refresh_schedule, CASE WHEN has_seconds THEN '5 seconds' ELSE '* * * * *' END)),
        ('fast_ingest maintain', coalesce(maintain_schedule, '17 * * * *'))
    LOOP
        PERFORM cron.schedule(job, schedule, format(command, schema, schema, replace(job, 'fast_ingest ', 'fi_'), job));
        RETURN NEXT;
    END LOOP;
END
$$;

COMMENT ON FUNCTION fi_schedule(text, text) IS
'Have pg_cron run fi_refresh() and fi_maintain(), as the current user. The schedules are pg_cron''s; by default every 5 seconds (every minute before pg_cron 1.5) and every hour. Replaces earlier jobs; DROP EXTENSION removes them. Returns the jobs. Error 55000 with a hint where pg_cron is not in this database, 42501 unless the caller owns fast_ingest.events, 22023 or what else pg_cron says to a schedule it does not understand.';

-- ---------------------------------------------------------------------------
-- Privileges
-- ---------------------------------------------------------------------------

-- Tables have no privileges but their owner's. Of the functions, those that only
-- compute are for everybody, and fi_partitions(), which reads the catalog. What
-- answers questions, changes something or shows errors is not.
REVOKE ALL ON FUNCTION fi_refresh() FROM PUBLIC;
REVOKE ALL ON FUNCTION fi_rebuild(timestamptz, timestamptz) FROM PUBLIC;
REVOKE ALL ON FUNCTION fi_erase_user(text) FROM PUBLIC;
REVOKE ALL ON FUNCTION fi_metrics(text, timestamptz, timestamptz, text, text, text, boolean) FROM PUBLIC;
REVOKE ALL ON FUNCTION fi_metrics(text, bigint, bigint, text, text, text, boolean) FROM PUBLIC;
REVOKE ALL ON FUNCTION fi_metrics(text, text, text, text, text, text, boolean) FROM PUBLIC;
REVOKE ALL ON FUNCTION fi_metrics_plan(text, timestamptz, timestamptz, text, text, text, boolean) FROM PUBLIC;
REVOKE ALL ON FUNCTION fi_metrics_json(text, timestamptz, timestamptz, text, text, text, boolean, integer, text) FROM PUBLIC;
REVOKE ALL ON FUNCTION fi_metrics_json(text, bigint, bigint, text, text, text, boolean, integer, text) FROM PUBLIC;
REVOKE ALL ON FUNCTION fi_metrics_json(text, text, text, text, text, text, boolean, integer, text) FROM PUBLIC;
REVOKE ALL ON FUNCTION fi_stats(text, date, integer) FROM PUBLIC;
REVOKE ALL ON FUNCTION fi_stats_json(text, date, integer) FROM PUBLIC;
REVOKE ALL ON FUNCTION fi_add_breakdown(text, text, text[], integer) FROM PUBLIC;
REVOKE ALL ON FUNCTION fi_drop_breakdown(text) FROM PUBLIC;
REVOKE ALL ON FUNCTION fi_create_partition(date) FROM PUBLIC;
REVOKE ALL ON FUNCTION fi_create_api_key(text, text[], text[], text[], text[], integer, integer, text) FROM PUBLIC;
REVOKE ALL ON FUNCTION fi_revoke_api_key(text) FROM PUBLIC;
REVOKE ALL ON FUNCTION fi_api_keys() FROM PUBLIC;
REVOKE ALL ON FUNCTION fi_status() FROM PUBLIC;
REVOKE ALL ON FUNCTION fi_maintain() FROM PUBLIC;
REVOKE ALL ON FUNCTION fi_schedule(text, text) FROM PUBLIC;
REVOKE ALL ON FUNCTION fi_unschedule() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION fi_status() TO pg_monitor;

-- Roles are the cluster's: the extension makes none, and grants to those it is told.
CREATE FUNCTION fi_grant_metrics(grantee regrole) RETURNS SETOF text
    LANGUAGE plpgsql VOLATILE STRICT PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    extension CONSTANT oid := (SELECT e.oid FROM pg_extension e WHERE e.extname = 'fast_ingest');
    command text;
BEGIN
    FOR command IN
        SELECT format('GRANT USAGE ON SCHEMA %s TO %s', e.extnamespace::regnamespace, grantee)
        FROM pg_extension e WHERE e.oid = extension
        UNION ALL
        SELECT format('GRANT EXECUTE ON FUNCTION %s TO %s', p.oid::regprocedure, grantee)
        FROM pg_proc p JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid
        WHERE d.refclassid = 'pg_extension'::regclass AND d.refobjid = extension AND d.deptype = 'e'
            AND p.proname IN ('fi_metrics', 'fi_metrics_json', 'fi_metrics_plan', 'fi_stats', 'fi_stats_json')
    LOOP
        EXECUTE command;
        RETURN NEXT command;
    END LOOP;
END
$$;

COMMENT ON FUNCTION fi_grant_metrics(regrole) IS
'Let a role ask: fi_metrics(), fi_stats(), their JSON forms and fi_metrics_plan(), whatever raw rows these read; no table, and nothing else. Runs GRANT with the caller''s rights and returns the commands.';

CREATE FUNCTION fi_grant_ingest(grantee regrole) RETURNS SETOF text
    LANGUAGE plpgsql VOLATILE STRICT PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    extension CONSTANT oid := (SELECT e.oid FROM pg_extension e WHERE e.extname = 'fast_ingest');
    command text;
BEGIN
    FOR command IN
        SELECT format(c.command, grantee)
        FROM (VALUES
            (format('GRANT CONNECT ON DATABASE %I', current_database()) || ' TO %s'),
            (format('GRANT USAGE ON SCHEMA %s', (SELECT e.extnamespace::regnamespace FROM pg_extension e WHERE e.oid = extension)) || ' TO %s'),
            -- to find the table, and to make its partitions
            ('GRANT USAGE ON SCHEMA fast_ingest TO %s'),
            ('GRANT CREATE ON SCHEMA fast_ingest TO %s'),
            ('GRANT INSERT ON TABLE fast_ingest.dead_letters TO %s')
        ) AS c (command)
        UNION ALL
        SELECT format('GRANT EXECUTE ON FUNCTION %s TO %s', p.oid::regprocedure, grantee)
        FROM pg_proc p JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid
        WHERE d.refclassid = 'pg_extension'::regclass AND d.refobjid = extension AND d.deptype = 'e'
            AND p.proname IN ('fi_create_partition', 'fi_maintain', 'fi_refresh', 'fi_schedule', 'fi_unschedule')
        UNION ALL
        SELECT format('ALTER TABLE %s OWNER TO %s', t.relid, grantee)
        FROM pg_partition_tree('fast_ingest.events') t
    LOOP
        EXECUTE command;
        RETURN NEXT command;
    END LOOP;
END
$$;

COMMENT ON FUNCTION fi_grant_ingest(regrole) IS
'Let the workers run as a role (fast_ingest.role): makes it the owner of fast_ingest.events and its partitions, and grants what else storing events takes, and the jobs of fi_schedule(). It gets no rights on the rollup. Runs the commands with the caller''s rights and returns them.';

REVOKE ALL ON FUNCTION fi_grant_metrics(regrole) FROM PUBLIC;
REVOKE ALL ON FUNCTION fi_grant_ingest(regrole) FROM PUBLIC;
