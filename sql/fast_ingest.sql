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
    RESTRICT = eqsel, JOIN = eqjoinsel
);

CREATE OPERATOR @> (
    LEFTARG = fi_user_set, RIGHTARG = bigint, FUNCTION = fi_user_set_contains,
    RESTRICT = contsel, JOIN = contjoinsel
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
'What makes the event idempotent within its day; NULL: stored as often as it is sent';
COMMENT ON COLUMN fast_ingest.events.ingested_at IS 'Start of the transaction that stored the event';

CREATE TABLE fast_ingest.dead_letters (
    id bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
    failed_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    sqlstate text NOT NULL,
    message text NOT NULL,
    event jsonb NOT NULL
);

COMMENT ON TABLE fast_ingest.dead_letters IS
'Events that were valid and that the database refused to store, with its error';

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
'Keys of an event_name in a bucket that have rows of their own; later ones are counted as (other)';

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
    minutes bytea
);

ALTER TABLE fast_ingest.rollup ALTER COLUMN minutes SET STORAGE EXTERNAL;
CREATE INDEX rollup_bucket ON fast_ingest.rollup (breakdown, level, event_name, bucket);
CREATE INDEX rollup_scope ON fast_ingest.rollup (scope, bucket, breakdown) WHERE scope <> '';

COMMENT ON TABLE fast_ingest.rollup IS
'Events and users by breakdown, event_name and bucket, as of the last fi_refresh()';
COMMENT ON COLUMN fast_ingest.rollup.breakdown IS
'fast_ingest.breakdowns.id; 0: what the channels add up to';
COMMENT ON COLUMN fast_ingest.rollup.level IS
'Width of the bucket: 1 minute (of hours not closed yet), 2 hour, 3 day';
COMMENT ON COLUMN fast_ingest.rollup.users IS
'Numbers of the users (fast_ingest.users); NULL in rows that only count them';
COMMENT ON COLUMN fast_ingest.rollup.minutes IS
'Events and users of each minute of an hour, packed; fi_unpack_minutes() shows them';

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
'Times (from low to before high) whose events were changed or deleted since the last fi_refresh(), in one breakdown or in all (NULL)';

CREATE TABLE fast_ingest.rollup_state (
    hours_closed timestamptz NOT NULL,
    days_closed timestamptz NOT NULL,
    users bigint NOT NULL
);

COMMENT ON TABLE fast_ingest.rollup_state IS
'How far the rollup is: hours and days that begin before these times are closed, and so many users have numbers';

CREATE TABLE fast_ingest.users (
    user_hash uuid PRIMARY KEY,
    user_no integer NOT NULL
);

COMMENT ON TABLE fast_ingest.users IS
'Dictionary of the rollup: the first 128 bits of SHA-256 of a user_id, and the user''s number';

SELECT pg_catalog.pg_extension_config_dump('fast_ingest.breakdowns', 'WHERE id >= 100');
SELECT pg_catalog.pg_extension_config_dump('fast_ingest.breakdowns_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('fast_ingest.rollup', '');
SELECT pg_catalog.pg_extension_config_dump('fast_ingest.rollup_delta', '');
SELECT pg_catalog.pg_extension_config_dump('fast_ingest.rollup_dirty', '');
SELECT pg_catalog.pg_extension_config_dump('fast_ingest.rollup_state', '');
SELECT pg_catalog.pg_extension_config_dump('fast_ingest.users', '');

CREATE FUNCTION fi_events_inserted() RETURNS trigger
    AS 'MODULE_PATHNAME' LANGUAGE C;
CREATE FUNCTION fi_events_changed() RETURNS trigger
    AS 'MODULE_PATHNAME' LANGUAGE C;
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
'Merge what was inserted since the last refresh into the rollup, count again what was changed, and close hours and days that are over; all or nothing. Waits for another refresh, stops neither inserts nor readers. Returns the events merged, the groups they fell into, the users seen for the first time, the raw rows counted again, and the hours and days closed. Error 0A000 at isolation level REPEATABLE READ or above.';

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
'Count the raw rows from one time (NULL: the first) to before another (NULL: the last) again, as far as partitions hold them, and refresh. Returns what fi_refresh() returns. Errors: 22023 if from is not before to, and those of fi_refresh().';

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
'Exact number of events and of different users of an event_name from one time to before another (NULL: no bound), as the statement''s snapshot has them. group_by: NULL (one row, group_key NULL), hour, day (ISO 8601 instants in the time zone, in order; with fill also empty ones) or the name of a breakdown (keys, most events first). channel: count only this one. Errors: 22023 for an argument that is not valid, 55000 if raw events are needed that were dropped.';
COMMENT ON FUNCTION fi_metrics(text, bigint, bigint, text, text, text, boolean) IS
'fi_metrics with from and to as Unix seconds (above 1e11: milliseconds).';
COMMENT ON FUNCTION fi_metrics(text, text, text, text, text, text, boolean) IS
'fi_metrics with from and to as text: Unix seconds or milliseconds, RFC 3339, or whatever timestamptz reads.';

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
'What a website saw on a UTC day (NULL: today), whatever the event_name: first a row with path NULL, all its events and different users, then its most viewed paths, at most max_paths. Error 22023 for an argument that is not valid.';

CREATE FUNCTION fi_add_breakdown(
    name text,
    expression text,
    levels text[] DEFAULT '{hour,day}',
    max_keys integer DEFAULT 1000
) RETURNS void
    AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp;

COMMENT ON FUNCTION fi_add_breakdown(text, text, text[], integer) IS
'Keep metrics by an immutable SQL expression over a row of fast_ingest.events, from now on and for all events stored, at the levels {day}, {hour,day} or {minute,hour,day}; group_by => name asks for them. Beyond max_keys different keys of an event_name in a bucket the next are counted together as (other). Inserts wait until the transaction ends; until the next fi_refresh() answers come from raw rows. Errors: 22023 for an argument that is not valid, 42710 if the name is taken, and those of the expression.';

CREATE FUNCTION fi_drop_breakdown(name text) RETURNS void
    AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp;

COMMENT ON FUNCTION fi_drop_breakdown(text) IS
'Drop a breakdown that fi_add_breakdown() made, and its rows. Errors: 42704 if there is none of that name, 55000 if it is built in.';

REVOKE ALL ON FUNCTION fi_refresh() FROM PUBLIC;
REVOKE ALL ON FUNCTION fi_rebuild(timestamptz, timestamptz) FROM PUBLIC;
REVOKE ALL ON FUNCTION fi_add_breakdown(text, text, text[], integer) FROM PUBLIC;
REVOKE ALL ON FUNCTION fi_drop_breakdown(text) FROM PUBLIC;

-- ---------------------------------------------------------------------------
-- Functions
-- ---------------------------------------------------------------------------

CREATE FUNCTION fi_create_partition(day date) RETURNS regclass
    AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp;

COMMENT ON FUNCTION fi_create_partition(date) IS
'Make the partition of fast_ingest.events for a UTC day unless it is there, without blocking inserts. Returns the partition. Error 22008 for a day out of range, 42P17 if another partition is in the way.';

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
    OUT committed bigint,
    OUT dead_lettered bigint,
    OUT staged bigint,
    OUT staging_size bigint,
    OUT oldest_staged interval,
    OUT last_commit timestamptz
) RETURNS SETOF record
    AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE PARALLEL SAFE ROWS 4;

COMMENT ON FUNCTION fi_status() IS
'One row per worker. A listener counts events received, accepted and rejected since server start; a flusher those committed, duplicate, dead-lettered and still staged, the size of the staging ring in bytes, the age of the oldest staged event and the time of the last commit. At rest accepted = committed + duplicate + dead_lettered + staged. Error 55000 if fast_ingest is not in shared_preload_libraries.';

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
    AS 'MODULE_PATHNAME' LANGUAGE C STABLE PARALLEL RESTRICTED;

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
    AS 'MODULE_PATHNAME' LANGUAGE C STABLE PARALLEL RESTRICTED;

COMMENT ON FUNCTION fi_metrics_json(text, bigint, bigint, text, text, text, boolean, integer, text) IS
'As fi_metrics_json of timestamps, with "from" and "to" in Unix seconds, or in milliseconds above 100000000000.';

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
    AS 'MODULE_PATHNAME' LANGUAGE C STABLE PARALLEL RESTRICTED;

COMMENT ON FUNCTION fi_metrics_json(text, text, text, text, text, text, boolean, integer, text) IS
'As fi_metrics_json of timestamps, with "from" and "to" as HTTP takes them: Unix seconds or milliseconds, or RFC 3339.';

CREATE FUNCTION fi_stats_json(site_id text, date date DEFAULT NULL, max_paths integer DEFAULT 10) RETURNS json
    AS 'MODULE_PATHNAME' LANGUAGE C STABLE PARALLEL RESTRICTED;

COMMENT ON FUNCTION fi_stats_json(text, date, integer) IS
'The body of GET /stats: what a website saw on a UTC day (NULL: today), with its max_paths most viewed paths. Error 22023 for an argument that is not allowed.';
