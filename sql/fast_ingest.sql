/*
 * fast_ingest: install script. make copies it to its versioned name.
 *
 * Schema fast_ingest holds the tables, the views and the plumbing: functions that
 * only the server and the library call. The type fi_user_set, its operators and all
 * functions that people call are in the schema that CREATE EXTENSION names.
 *
 *     Plumbing        the type fi_user_set, packed minutes, trigger functions
 *     Tables          events, dead letters, rollup, API keys
 *     Functions       metrics, rollup, breakdowns, API keys, partitions, dead letters,
 *                     maintenance, status
 *     Views           workers, listeners, flushers
 *     Privileges      who may call what; functions that grant the rest
 */

-- complain if this is sourced in psql instead of being run by CREATE EXTENSION
\echo Use "CREATE EXTENSION fast_ingest" to load this file. \quit

CREATE SCHEMA fast_ingest;

COMMENT ON SCHEMA fast_ingest IS 'Tables, views and internal functions of fast_ingest';

-- ---------------------------------------------------------------------------
-- Plumbing: the type fi_user_set
-- ---------------------------------------------------------------------------

CREATE TYPE fi_user_set;

CREATE FUNCTION fast_ingest.user_set_in(cstring) RETURNS fi_user_set
    AS 'MODULE_PATHNAME', 'fi_user_set_in' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE FUNCTION fast_ingest.user_set_out(fi_user_set) RETURNS cstring
    AS 'MODULE_PATHNAME', 'fi_user_set_out' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE FUNCTION fast_ingest.user_set_recv(internal) RETURNS fi_user_set
    AS 'MODULE_PATHNAME', 'fi_user_set_recv' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE FUNCTION fast_ingest.user_set_send(fi_user_set) RETURNS bytea
    AS 'MODULE_PATHNAME', 'fi_user_set_send' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

-- external: bitmaps hardly compress, and are always read whole
CREATE TYPE fi_user_set (
    INPUT = fast_ingest.user_set_in,
    OUTPUT = fast_ingest.user_set_out,
    RECEIVE = fast_ingest.user_set_recv,
    SEND = fast_ingest.user_set_send,
    INTERNALLENGTH = variable,
    ALIGNMENT = int4,
    STORAGE = external
);

COMMENT ON TYPE fi_user_set IS
'An exact set of users by their numbers, 0 to 4294967295, stored as a roaring bitmap. The text form is {1,5,7}; the binary form is the portable serialization of roaring bitmaps.';

COMMENT ON FUNCTION fast_ingest.user_set_in(cstring) IS
'Input function of fi_user_set. Reads {1,5,7}: numbers in any order, repetitions allowed. Errors: 22P02 for anything else, 22003 for a number above 4294967295.';
COMMENT ON FUNCTION fast_ingest.user_set_out(fi_user_set) IS
'Output function of fi_user_set. Writes the numbers in ascending order, as {1,5,7}. Errors: 54000 for a set too large to be a text, XX001 for a damaged set.';
COMMENT ON FUNCTION fast_ingest.user_set_recv(internal) IS
'Receive function of fi_user_set. Reads the portable serialization of a roaring bitmap. Error 22P03 if it is not well-formed.';
COMMENT ON FUNCTION fast_ingest.user_set_send(fi_user_set) IS
'Send function of fi_user_set. Writes the portable serialization of the roaring bitmap.';

CREATE FUNCTION fast_ingest.user_set_or(a fi_user_set, b fi_user_set) RETURNS fi_user_set
    AS 'MODULE_PATHNAME', 'fi_user_set_or' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE FUNCTION fast_ingest.user_set_and(a fi_user_set, b fi_user_set) RETURNS fi_user_set
    AS 'MODULE_PATHNAME', 'fi_user_set_and' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE FUNCTION fast_ingest.user_set_and_not(a fi_user_set, b fi_user_set) RETURNS fi_user_set
    AS 'MODULE_PATHNAME', 'fi_user_set_and_not' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE FUNCTION fast_ingest.user_set_eq(a fi_user_set, b fi_user_set) RETURNS boolean
    AS 'MODULE_PATHNAME', 'fi_user_set_eq' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE FUNCTION fast_ingest.user_set_contains(users fi_user_set, user_no bigint) RETURNS boolean
    AS 'MODULE_PATHNAME', 'fi_user_set_contains' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION fast_ingest.user_set_or(fi_user_set, fi_user_set) IS
'Implements a | b: the users who are in a, in b or in both. Error XX001 for a damaged set.';
COMMENT ON FUNCTION fast_ingest.user_set_and(fi_user_set, fi_user_set) IS
'Implements a & b: the users who are in both a and b. Error XX001 for a damaged set.';
COMMENT ON FUNCTION fast_ingest.user_set_and_not(fi_user_set, fi_user_set) IS
'Implements a - b: the users who are in a and not in b. Error XX001 for a damaged set.';
COMMENT ON FUNCTION fast_ingest.user_set_eq(fi_user_set, fi_user_set) IS
'Implements a = b: whether a and b hold the same users. Error XX001 for a damaged set.';
COMMENT ON FUNCTION fast_ingest.user_set_contains(fi_user_set, bigint) IS
'Implements users @> user_no: whether the set holds the user of that number. False for a number that no user can have. Error XX001 for a damaged set.';

CREATE OPERATOR | (
    LEFTARG = fi_user_set, RIGHTARG = fi_user_set, FUNCTION = fast_ingest.user_set_or, COMMUTATOR = |
);

CREATE OPERATOR & (
    LEFTARG = fi_user_set, RIGHTARG = fi_user_set, FUNCTION = fast_ingest.user_set_and, COMMUTATOR = &
);

CREATE OPERATOR - (
    LEFTARG = fi_user_set, RIGHTARG = fi_user_set, FUNCTION = fast_ingest.user_set_and_not
);

CREATE OPERATOR = (
    LEFTARG = fi_user_set, RIGHTARG = fi_user_set, FUNCTION = fast_ingest.user_set_eq, COMMUTATOR = =,
    RESTRICT = pg_catalog.eqsel, JOIN = pg_catalog.eqjoinsel
);

CREATE OPERATOR @> (
    LEFTARG = fi_user_set, RIGHTARG = bigint, FUNCTION = fast_ingest.user_set_contains,
    RESTRICT = pg_catalog.contsel, JOIN = pg_catalog.contjoinsel
);

COMMENT ON OPERATOR | (fi_user_set, fi_user_set) IS 'users who are in either';
COMMENT ON OPERATOR & (fi_user_set, fi_user_set) IS 'users who are in both';
COMMENT ON OPERATOR - (fi_user_set, fi_user_set) IS 'users of the first who are not in the second';
COMMENT ON OPERATOR = (fi_user_set, fi_user_set) IS 'equal';
COMMENT ON OPERATOR @> (fi_user_set, bigint) IS 'contains';

CREATE FUNCTION fi_cardinality(users fi_user_set) RETURNS bigint
    AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION fi_cardinality(fi_user_set) IS
'The number of users in the set. Error XX001 for a damaged set.';

CREATE FUNCTION fast_ingest.union_add(internal, fi_user_set) RETURNS internal
    AS 'MODULE_PATHNAME', 'fi_union_add' LANGUAGE C IMMUTABLE PARALLEL SAFE;

CREATE FUNCTION fast_ingest.union_result(internal) RETURNS fi_user_set
    AS 'MODULE_PATHNAME', 'fi_union_result' LANGUAGE C IMMUTABLE PARALLEL SAFE;

COMMENT ON FUNCTION fast_ingest.union_add(internal, fi_user_set) IS
'Transition function of fi_union.';
COMMENT ON FUNCTION fast_ingest.union_result(internal) IS
'Final function of fi_union.';

CREATE AGGREGATE fi_union(users fi_user_set) (
    SFUNC = fast_ingest.union_add, STYPE = internal, SSPACE = 65536,
    FINALFUNC = fast_ingest.union_result, PARALLEL = SAFE
);

COMMENT ON AGGREGATE fi_union(fi_user_set) IS
'The users who are in any of the sets; NULL if there is no set. Error XX001 for a damaged set.';

-- fi_cardinality and fi_union once more, at a place that the library's SQL can name
-- whatever schema the extension is in

CREATE FUNCTION fast_ingest.cardinality(users fi_user_set) RETURNS bigint
    AS 'MODULE_PATHNAME', 'fi_cardinality' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE AGGREGATE fast_ingest.union_users(users fi_user_set) (
    SFUNC = fast_ingest.union_add, STYPE = internal, SSPACE = 65536,
    FINALFUNC = fast_ingest.union_result, PARALLEL = SAFE
);

COMMENT ON FUNCTION fast_ingest.cardinality(fi_user_set) IS
'fi_cardinality, for the library''s own SQL.';
COMMENT ON AGGREGATE fast_ingest.union_users(fi_user_set) IS
'fi_union, for the library''s own SQL.';

-- ---------------------------------------------------------------------------
-- Plumbing: packed minutes
-- ---------------------------------------------------------------------------

CREATE FUNCTION fast_ingest.pack_minutes_add(internal, integer, bigint, fi_user_set, bytea) RETURNS internal
    AS 'MODULE_PATHNAME', 'fi_pack_minutes_add' LANGUAGE C IMMUTABLE PARALLEL SAFE;

CREATE FUNCTION fast_ingest.pack_minutes_result(internal) RETURNS bytea
    AS 'MODULE_PATHNAME', 'fi_pack_minutes_result' LANGUAGE C IMMUTABLE PARALLEL SAFE;

COMMENT ON FUNCTION fast_ingest.pack_minutes_add(internal, integer, bigint, fi_user_set, bytea) IS
'Transition function of pack_minutes.';
COMMENT ON FUNCTION fast_ingest.pack_minutes_result(internal) IS
'Final function of pack_minutes.';

CREATE AGGREGATE fast_ingest.pack_minutes(minute integer, events bigint, users fi_user_set, times bytea) (
    SFUNC = fast_ingest.pack_minutes_add, STYPE = internal, SSPACE = 262144,
    FINALFUNC = fast_ingest.pack_minutes_result, PARALLEL = SAFE
);

COMMENT ON AGGREGATE fast_ingest.pack_minutes(integer, bigint, fi_user_set, bytea) IS
'Pack the minutes of an hour into the value that fast_ingest.rollup.minutes holds. minute: 0 to 59, may come more than once; events: number of events; users: NULL for none; times: when the events were, as in rows of level minute, or NULL if that is not known. Times are kept of minutes that have the times of all events, and of no minute if there are more than 67108864. Store the result beside the union of the users: unpack_minutes needs both. Errors: 22023 for another minute, a negative number of events, or times of a user who is not among the users, XX001 for damaged times, 22004 if minute or events is NULL, 22003 for too many events, 54000 for more than 71582788 users.';

CREATE FUNCTION fast_ingest.unpack_minutes(users fi_user_set, minutes bytea)
    RETURNS TABLE (minute integer, events bigint, users fi_user_set, times bytea)
    AS 'MODULE_PATHNAME', 'fi_unpack_minutes' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE ROWS 60;

COMMENT ON FUNCTION fast_ingest.unpack_minutes(fi_user_set, bytea) IS
'The minutes of an hour that have events or users, in order. users and minutes are those of one row of fast_ingest.rollup, of level hour. times: when the events were, NULL where that is not kept; fast_ingest.unpack_times shows them. Error XX001 if they are damaged or do not belong together.';

-- ---------------------------------------------------------------------------
-- Plumbing: times of the events of a minute
-- ---------------------------------------------------------------------------

CREATE FUNCTION fast_ingest.union_times_add(internal, bytea) RETURNS internal
    AS 'MODULE_PATHNAME', 'fi_union_times_add' LANGUAGE C IMMUTABLE PARALLEL SAFE;

CREATE FUNCTION fast_ingest.union_times_result(internal) RETURNS bytea
    AS 'MODULE_PATHNAME', 'fi_union_times_result' LANGUAGE C IMMUTABLE PARALLEL SAFE;

COMMENT ON FUNCTION fast_ingest.union_times_add(internal, bytea) IS
'Transition function of union_times.';
COMMENT ON FUNCTION fast_ingest.union_times_result(internal) IS
'Final function of union_times.';

CREATE AGGREGATE fast_ingest.union_times(times bytea) (
    SFUNC = fast_ingest.union_times_add, STYPE = internal, SSPACE = 65536,
    FINALFUNC = fast_ingest.union_times_result, PARALLEL = SAFE
);

COMMENT ON AGGREGATE fast_ingest.union_times(bytea) IS
'Put together the times of events of one minute, as rows of fast_ingest.rollup of level minute hold them in column minutes. NULL counts as none; the result is NULL without any, and for more than 67108864 events. Error XX001 if times are damaged.';

CREATE FUNCTION fast_ingest.forget_user_in_times(times bytea, user_no bigint) RETURNS bytea
    AS 'MODULE_PATHNAME', 'fi_forget_user_in_times' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION fast_ingest.forget_user_in_times(bytea, bigint) IS
'The same times in which the events of a user have none. Error XX001 if they are damaged.';

CREATE FUNCTION fast_ingest.unpack_times(times bytea) RETURNS TABLE (microsecond integer, user_no bigint)
    AS 'MODULE_PATHNAME', 'fi_unpack_times' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION fast_ingest.unpack_times(bytea) IS
'When the events of a minute were, in order, in microseconds from its beginning, and their users'' numbers, NULL for none. times: minutes of a row of fast_ingest.rollup of level minute, or times of unpack_minutes. Error XX001 if they are damaged.';

-- ---------------------------------------------------------------------------
-- Plumbing: trigger functions, API keys
-- ---------------------------------------------------------------------------

-- Breakdowns call functions of others, which must not see the search path of the session
-- that inserts.
CREATE FUNCTION fast_ingest.events_inserted() RETURNS trigger
    AS 'MODULE_PATHNAME', 'fi_events_inserted' LANGUAGE C
    SET search_path = pg_catalog, pg_temp;

CREATE FUNCTION fast_ingest.events_changed() RETURNS trigger
    AS 'MODULE_PATHNAME', 'fi_events_changed' LANGUAGE C
    SET search_path = pg_catalog, pg_temp;

CREATE FUNCTION fast_ingest.events_truncated() RETURNS trigger
    AS 'MODULE_PATHNAME', 'fi_events_truncated' LANGUAGE C
    SET search_path = pg_catalog, pg_temp;

CREATE FUNCTION fast_ingest.breakdown_replaced() RETURNS trigger
    AS 'MODULE_PATHNAME', 'fi_breakdown_replaced' LANGUAGE C
    SET search_path = pg_catalog, pg_temp;
CREATE FUNCTION fast_ingest.row_replaced() RETURNS trigger
    AS 'MODULE_PATHNAME', 'fi_row_replaced' LANGUAGE C
    SET search_path = pg_catalog, pg_temp;

CREATE FUNCTION fast_ingest.api_keys_changed() RETURNS trigger
    AS 'MODULE_PATHNAME', 'fi_api_keys_changed' LANGUAGE C
    SET search_path = pg_catalog, pg_temp;

COMMENT ON FUNCTION fast_ingest.events_inserted() IS
'Trigger of fast_ingest.events and its partitions: records in fast_ingest.rollup_delta what a statement inserted.';
COMMENT ON FUNCTION fast_ingest.events_changed() IS
'Trigger of fast_ingest.events and its partitions: marks the minutes whose events a statement updated or deleted, for the next refresh to recount.';
COMMENT ON FUNCTION fast_ingest.events_truncated() IS
'Trigger of fast_ingest.events and its partitions: empties the rollup, or marks the time range of the truncated partition.';
COMMENT ON FUNCTION fast_ingest.row_replaced() IS
'Trigger of tables that hold one row: deletes the present row when a restore inserts another, and makes all processes read it again. Waits for a running refresh.';
COMMENT ON FUNCTION fast_ingest.breakdown_replaced() IS
'Trigger of fast_ingest.breakdowns: a row of a built-in breakdown that a restore inserts, because fi_alter_breakdown() has changed it, replaces the present one. Waits for a running refresh.';
COMMENT ON FUNCTION fast_ingest.api_keys_changed() IS
'Trigger of fast_ingest.api_keys: publishes the keys to the listeners at commit. Errors: 53400 at commit if there is no room for them, 0A000 at PREPARE TRANSACTION.';

CREATE FUNCTION fast_ingest.publish_api_keys() RETURNS void
    AS 'MODULE_PATHNAME', 'fi_publish_api_keys' LANGUAGE C VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp;

COMMENT ON FUNCTION fast_ingest.publish_api_keys() IS
'Publish the keys of fast_ingest.api_keys to the listeners at commit. Does nothing in a database other than fast_ingest.database. Errors: as api_keys_changed.';

-- ---------------------------------------------------------------------------
-- Tables: events and dead letters
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
'Events, partitioned by the UTC day of ts. Partitions are created on demand for events that arrive over HTTP; for INSERT and COPY, fi_create_partition(day) creates one.';
COMMENT ON COLUMN fast_ingest.events.ts IS 'When the event happened, according to the client';
COMMENT ON COLUMN fast_ingest.events.event_key IS
'Makes the event idempotent within its UTC day. NULL: the event is stored as often as it is sent. For events that arrive over HTTP it is taken from a SHA-256 digest of the API key''s tenant, the site_id and the client''s idempotency key, or of the tenant and the content';
COMMENT ON COLUMN fast_ingest.events.ingested_at IS 'Start of the transaction that stored the event';

CREATE TRIGGER fi_inserted AFTER INSERT ON fast_ingest.events
    REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION fast_ingest.events_inserted();
CREATE TRIGGER fi_updated AFTER UPDATE ON fast_ingest.events
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION fast_ingest.events_changed();
CREATE TRIGGER fi_deleted AFTER DELETE ON fast_ingest.events
    REFERENCING OLD TABLE AS old_rows
    FOR EACH STATEMENT EXECUTE FUNCTION fast_ingest.events_changed();
CREATE TRIGGER fi_truncated AFTER TRUNCATE ON fast_ingest.events
    FOR EACH STATEMENT EXECUTE FUNCTION fast_ingest.events_truncated();

-- for publications; partitions that the library creates copy it
ALTER TABLE fast_ingest.events REPLICA IDENTITY FULL;

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
'Valid events that the database refused to store, with its error. fi_dead_letters() shows them, fi_retry_dead_letters() stores them, fi_purge_dead_letters() deletes them';
COMMENT ON COLUMN fast_ingest.dead_letters.failed_at IS 'When the database first refused the event';
COMMENT ON COLUMN fast_ingest.dead_letters.message IS 'The error of the last attempt';
COMMENT ON COLUMN fast_ingest.dead_letters.event IS 'The refused row, by column';

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

SELECT pg_catalog.pg_extension_config_dump('fast_ingest.events', '');
SELECT pg_catalog.pg_extension_config_dump('fast_ingest.dead_letters', '');
SELECT pg_catalog.pg_extension_config_dump('fast_ingest.dead_letters_id_seq', '');

-- ---------------------------------------------------------------------------
-- Tables: rollup
-- ---------------------------------------------------------------------------

CREATE TABLE fast_ingest.breakdowns (
    id smallint PRIMARY KEY,
    name text COLLATE "C" NOT NULL UNIQUE,
    key text NOT NULL,
    scope text,
    finest smallint NOT NULL CHECK (finest BETWEEN 1 AND 3),
    max_keys integer NOT NULL CHECK (max_keys > 0),
    quarters boolean NOT NULL DEFAULT false CHECK (finest = 1 OR NOT quarters),
    fine_days integer NOT NULL DEFAULT 0 CHECK (fine_days >= 0),
    is_array boolean NOT NULL DEFAULT false,
    fine_from timestamptz NOT NULL DEFAULT '-infinity',
    is_altered boolean NOT NULL DEFAULT false
);

COMMENT ON TABLE fast_ingest.breakdowns IS
'The breakdowns of the rollup: channel, site, page and those of fi_add_breakdown(); fi_drop_breakdown() drops one';
COMMENT ON COLUMN fast_ingest.breakdowns.key IS
'SQL expression over a row of fast_ingest.events; rows for which it is NULL are not counted';
COMMENT ON COLUMN fast_ingest.breakdowns.scope IS
'SQL expression over the same row. Equal keys of different scopes are different keys; NULL: there is one scope';
COMMENT ON COLUMN fast_ingest.breakdowns.finest IS
'Finest level that rows are kept at: 1 minute, 2 hour, 3 day';
COMMENT ON COLUMN fast_ingest.breakdowns.quarters IS
'Rows of level minute are of quarters of an hour, 15 minutes';
COMMENT ON COLUMN fast_ingest.breakdowns.fine_days IS
'How many closed UTC days have rows at levels below day; 0: all of them since fine_from';
COMMENT ON COLUMN fast_ingest.breakdowns.fine_from IS
'UTC days that begin before it have rows of the level day only, whatever fine_days says: fi_alter_breakdown() has made it so';
COMMENT ON COLUMN fast_ingest.breakdowns.is_altered IS
'fi_alter_breakdown() has changed the breakdown, so that a dump must have it although it is built in';
COMMENT ON COLUMN fast_ingest.breakdowns.is_array IS
'key is an array of text: an event counts once for each of its elements';
COMMENT ON COLUMN fast_ingest.breakdowns.max_keys IS
'How many keys of an event_name get rows of their own in an hour, or in a day if that is the finest level; if keys have scopes, how many of each scope, and ten times as many of all (of sites, whose key is the scope, so many of all). Further keys are counted together, in rows with is_other';

INSERT INTO fast_ingest.breakdowns (id, name, key, scope, finest, quarters, fine_days, max_keys) VALUES
    (1, 'channel', 'channel', NULL, 1, false, 0, 1000),
    (2, 'site', 'site_id', 'site_id', 1, false, 3, 1000),
    (3, 'page', 'path', 'site_id', 1, true, 3, 10000);

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
CREATE INDEX rollup_scope ON fast_ingest.rollup (scope, breakdown, level, bucket) WHERE scope <> '';

COMMENT ON TABLE fast_ingest.rollup IS
'Events and users by breakdown, event_name and bucket, as of the last fi_refresh()';
COMMENT ON COLUMN fast_ingest.rollup.breakdown IS
'fast_ingest.breakdowns.id, or 0 for the total of all channels; ~id (-1 for 0, -2 for 1): the same of all event_names together, of closed days, and of 0 of closed hours, too; event_name is empty there and has no meaning';
COMMENT ON COLUMN fast_ingest.rollup.level IS
'Width of the bucket: 1 minute (only in hours that are not closed yet), 2 hour, 3 day';
COMMENT ON COLUMN fast_ingest.rollup.users IS
'Numbers of the users (fast_ingest.users); NULL in rows that only count them';
COMMENT ON COLUMN fast_ingest.rollup.is_part IS
'The key has several rows in this bucket, each with other events; a later refresh puts them together';
COMMENT ON COLUMN fast_ingest.rollup.is_other IS
'The row counts all keys beyond the breakdown''s max_keys: those of its scope, or of all scopes if that is empty; its key is empty and has no meaning';
COMMENT ON COLUMN fast_ingest.rollup.is_other_name IS
'The row counts all event_names beyond fast_ingest.max_event_names; its event_name is empty and has no meaning';
COMMENT ON COLUMN fast_ingest.rollup.minutes IS
'Of level hour: events and users of each minute, and the times of the events of channels, packed; fast_ingest.unpack_minutes(users, minutes) shows them. Of level minute: the times of the events of channels; fast_ingest.unpack_times(minutes) shows them';

CREATE TABLE fast_ingest.event_names (
    day timestamptz NOT NULL,
    event_name text COLLATE "C" NOT NULL,
    is_other boolean NOT NULL,
    PRIMARY KEY (day, event_name, is_other)
);

CREATE INDEX event_names_other ON fast_ingest.event_names (day) WHERE is_other;

COMMENT ON TABLE fast_ingest.event_names IS
'The event_names that have rows of their own in the rollup on a UTC day, at most fast_ingest.max_event_names; fi_rebuild() of that day chooses again';
COMMENT ON COLUMN fast_ingest.event_names.is_other IS
'The day had more event_names, which are counted together; event_name is empty and has no meaning';

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
'One row for each statement that inserted into fast_ingest.events since the last fi_refresh(): what it adds to the rollup';

CREATE TABLE fast_ingest.recount (
    low timestamptz NOT NULL,
    high timestamptz NOT NULL,
    breakdown smallint
);

COMMENT ON TABLE fast_ingest.recount IS
'Time ranges, from low to before high, that a refresh must recount because their events were updated or deleted, in one breakdown or in all (NULL); and those that a breakdown cannot know, because it was added after their events had been dropped';

CREATE TABLE fast_ingest.rollup_state (
    hours_closed timestamptz NOT NULL,
    days_closed timestamptz NOT NULL,
    users bigint NOT NULL,
    erased bigint NOT NULL DEFAULT 0,
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row)
);

COMMENT ON TABLE fast_ingest.rollup_state IS
'The state of the rollup: hours and days that begin before hours_closed and days_closed are closed; users is how many users have been given numbers, erased users included, and erased how many of these have been erased';

CREATE TABLE fast_ingest.lost_rows (
    low timestamptz NOT NULL,
    high timestamptz NOT NULL,
    partition oid NOT NULL
);

COMMENT ON TABLE fast_ingest.lost_rows IS
'Time ranges, from low to before high, whose partition was dropped, or detached and not attached again; the rollup keeps what it had counted there';

CREATE TABLE fast_ingest.users (
    user_hash uuid NOT NULL,
    user_no integer NOT NULL,
    PRIMARY KEY (user_hash) INCLUDE (user_no)
);

COMMENT ON TABLE fast_ingest.users IS
'The numbers of users: user_hash is a keyed hash of a user_id (the first 128 bits of SHA-256 of fast_ingest.secret and the user_id), user_no the number that stands for the user in sets';

CREATE TABLE fast_ingest.secret (
    secret bytea NOT NULL CHECK (pg_catalog.octet_length(secret) OPERATOR(pg_catalog.=) 32)
);

COMMENT ON TABLE fast_ingest.secret IS
'The database''s secret, with which user_ids are hashed. Whoever has it can test whether a user_id is in fast_ingest.users; if it is lost or replaced, the rollup no longer recognizes any user';

-- each of the UUIDs has 122 random bits
INSERT INTO fast_ingest.secret (secret) VALUES (pg_catalog.sha256(
    pg_catalog.uuid_send(pg_catalog.gen_random_uuid())
    OPERATOR(pg_catalog.||) pg_catalog.uuid_send(pg_catalog.gen_random_uuid())
    OPERATOR(pg_catalog.||) pg_catalog.uuid_send(pg_catalog.gen_random_uuid())));

-- No statistics on columns that are derived from user_ids: no plan needs them, and they
-- would keep values of erased users.
ALTER TABLE fast_ingest.users ALTER COLUMN user_hash SET STATISTICS 0;
ALTER TABLE fast_ingest.rollup_delta ALTER COLUMN groups SET STATISTICS 0;
ALTER TABLE fast_ingest.dead_letters ALTER COLUMN event SET STATISTICS 0;
ALTER TABLE fast_ingest.dead_letters ALTER COLUMN message SET STATISTICS 0;

-- They mark where the data of a dump begins and ends: pg_dump orders tables by name and
-- writes sequences after all tables.
CREATE SEQUENCE fast_ingest.data_end;

CREATE TABLE fast_ingest.data_begin (
    number bigint NOT NULL
);

COMMENT ON SEQUENCE fast_ingest.data_end IS
'Has the number of fast_ingest.data_begin, except while a restore is running';
COMMENT ON TABLE fast_ingest.data_begin IS
'A number that a restore writes here first and into fast_ingest.data_end last; as long as the two differ no refresh touches the rollup';

INSERT INTO fast_ingest.data_begin (number) VALUES (pg_catalog.setval('fast_ingest.data_end',
    pg_catalog.abs(pg_catalog.hashtextextended(pg_catalog.gen_random_uuid()::pg_catalog.text, 0))));

-- A restore replaces the rows that CREATE EXTENSION has just made, because the dump's users
-- were numbered with the dump's secret. Unique constraints would refuse the new row where
-- triggers are disabled, so there are none, and the last row counts.
CREATE TRIGGER fi_changed BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON fast_ingest.secret
    FOR EACH STATEMENT EXECUTE FUNCTION fast_ingest.row_replaced();
ALTER TABLE fast_ingest.secret ENABLE ALWAYS TRIGGER fi_changed;
CREATE TRIGGER fi_replaced BEFORE INSERT ON fast_ingest.data_begin
    FOR EACH STATEMENT EXECUTE FUNCTION fast_ingest.row_replaced();
ALTER TABLE fast_ingest.data_begin ENABLE ALWAYS TRIGGER fi_replaced;
CREATE TRIGGER fi_replaced BEFORE INSERT ON fast_ingest.breakdowns
    FOR EACH ROW EXECUTE FUNCTION fast_ingest.breakdown_replaced();
ALTER TABLE fast_ingest.breakdowns ENABLE ALWAYS TRIGGER fi_replaced;

-- for publications FOR ALL TABLES: rows of these tables are deleted
ALTER TABLE fast_ingest.rollup REPLICA IDENTITY FULL;
ALTER TABLE fast_ingest.rollup_delta REPLICA IDENTITY FULL;
ALTER TABLE fast_ingest.recount REPLICA IDENTITY FULL;
ALTER TABLE fast_ingest.lost_rows REPLICA IDENTITY FULL;
ALTER TABLE fast_ingest.secret REPLICA IDENTITY FULL;
ALTER TABLE fast_ingest.data_begin REPLICA IDENTITY FULL;

SELECT pg_catalog.pg_extension_config_dump('fast_ingest.breakdowns', 'WHERE id >= 100 OR is_altered');
SELECT pg_catalog.pg_extension_config_dump('fast_ingest.breakdowns_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('fast_ingest.rollup', '');
SELECT pg_catalog.pg_extension_config_dump('fast_ingest.event_names', '');
SELECT pg_catalog.pg_extension_config_dump('fast_ingest.rollup_delta', '');
SELECT pg_catalog.pg_extension_config_dump('fast_ingest.recount', '');
SELECT pg_catalog.pg_extension_config_dump('fast_ingest.rollup_state', '');
SELECT pg_catalog.pg_extension_config_dump('fast_ingest.lost_rows', '');
SELECT pg_catalog.pg_extension_config_dump('fast_ingest.users', '');
SELECT pg_catalog.pg_extension_config_dump('fast_ingest.secret', '');
SELECT pg_catalog.pg_extension_config_dump('fast_ingest.data_begin', '');
SELECT pg_catalog.pg_extension_config_dump('fast_ingest.data_end', '');

-- ---------------------------------------------------------------------------
-- Tables: API keys
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
'The valid API keys; fi_create_api_key() adds one, fi_revoke_api_key() deletes one. Changes take effect at commit';
COMMENT ON COLUMN fast_ingest.api_keys.id IS 'The digits that follow fi_ in the key; not secret';
COMMENT ON COLUMN fast_ingest.api_keys.tenant IS
'Whose events the key sends. Events with the same idempotency key, or without one and with the same content, are one event within a UTC day and a tenant; keys of one tenant share this';
COMMENT ON COLUMN fast_ingest.api_keys.secret_hash IS 'SHA-256 of the key';
COMMENT ON COLUMN fast_ingest.api_keys.scopes IS
'What the key allows: write (POST of events), read (GET of metrics), admin (operation); no scope includes another';
COMMENT ON COLUMN fast_ingest.api_keys.site_ids IS 'Websites that the key is limited to; NULL: all';
COMMENT ON COLUMN fast_ingest.api_keys.channels IS 'Channels that the key is limited to; NULL: all';
COMMENT ON COLUMN fast_ingest.api_keys.origins IS
'Values of the header Origin that the key is limited to; NULL: all, and requests without the header';
COMMENT ON COLUMN fast_ingest.api_keys.rate_limit IS
'Events per second; 0: no limit, NULL: fast_ingest.rate_limit_per_key';
COMMENT ON COLUMN fast_ingest.api_keys.burst IS
'Events at once after a pause; NULL: as many as fast_ingest.rate_limit_burst allows';

CREATE TRIGGER fi_changed BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON fast_ingest.api_keys
    FOR EACH STATEMENT EXECUTE FUNCTION fast_ingest.api_keys_changed();
ALTER TABLE fast_ingest.api_keys ENABLE ALWAYS TRIGGER fi_changed;

-- Keys of an extension that was dropped are still published: publish that there are none.
SELECT fast_ingest.publish_api_keys();

SELECT pg_catalog.pg_extension_config_dump('fast_ingest.api_keys', '');

-- ---------------------------------------------------------------------------
-- Tables: streams
-- ---------------------------------------------------------------------------

CREATE TABLE fast_ingest.streams (
    id integer GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
    name text COLLATE "C" NOT NULL UNIQUE
        CHECK (name OPERATOR(pg_catalog.<>) '' AND pg_catalog.octet_length(name) OPERATOR(pg_catalog.<) 64),
    worker integer NOT NULL UNIQUE CHECK (worker OPERATOR(pg_catalog.>=) 0),
    kind text NOT NULL CHECK (kind OPERATOR(pg_catalog.=) ANY ('{clickhouse,kafka_rest,webhook}')),
    url text NOT NULL,
    source text NOT NULL UNIQUE
        DEFAULT pg_catalog.left(pg_catalog.replace(pg_catalog.gen_random_uuid()::pg_catalog.text, '-', ''), 16)
        CHECK (source OPERATOR(pg_catalog.~) '^[0-9a-f]{16}$'),
    target text,
    event_names text[] CHECK (event_names OPERATOR(pg_catalog.<>) '{}'),
    sites text[] CHECK (sites OPERATOR(pg_catalog.<>) '{}'),
    channels text[] CHECK (channels OPERATOR(pg_catalog.<>) '{}'),
    columns text[] CHECK (columns OPERATOR(pg_catalog.<>) '{}'),
    batch_rows integer NOT NULL,
    batch_bytes integer NOT NULL,
    flush_interval interval NOT NULL,
    compression text NOT NULL CHECK (compression OPERATOR(pg_catalog.=) ANY ('{none,gzip,zstd}')),
    username text,
    secret_file text,
    ca_file text,
    cert_file text,
    key_file text,
    max_retained_wal bigint NOT NULL CHECK (max_retained_wal OPERATOR(pg_catalog.>) 0),
    paused boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL DEFAULT pg_catalog.now()
);

COMMENT ON TABLE fast_ingest.streams IS
'The streams of committed events to other systems, as fi_create_stream() was told';
COMMENT ON COLUMN fast_ingest.streams.source IS
'Random; ClickHouse''s column _source. Several servers can fill one table, and each deletes only what it sent';
COMMENT ON COLUMN fast_ingest.streams.worker IS
'Number of the stream worker that serves it, below fast_ingest.max_streams';

COMMENT ON COLUMN fast_ingest.streams.target IS
'The table of ClickHouse or the topic of Kafka; NULL for a webhook';
COMMENT ON COLUMN fast_ingest.streams.event_names IS 'As sites and channels: only events with one of these are sent; NULL: all';
COMMENT ON COLUMN fast_ingest.streams.columns IS 'Columns of fast_ingest.events that are sent; NULL: all';
COMMENT ON COLUMN fast_ingest.streams.batch_bytes IS 'Bytes of a batch before compression';
COMMENT ON COLUMN fast_ingest.streams.secret_file IS 'Path of a file on the server, as those of ca_file, cert_file and key_file';
COMMENT ON COLUMN fast_ingest.streams.max_retained_wal IS
'Bytes of WAL and of files that the stream may keep; beyond them it is lost';

CREATE TABLE fast_ingest.stream_secrets (
    stream_id integer PRIMARY KEY REFERENCES fast_ingest.streams ON DELETE CASCADE,
    secret text NOT NULL
);

COMMENT ON TABLE fast_ingest.stream_secrets IS
'Passwords and signing secrets of streams. No dump has them; fi_create_stream(secret_file => ...) keeps a secret out of the database';

CREATE TABLE fast_ingest.stream_progress (
    stream_id integer PRIMARY KEY REFERENCES fast_ingest.streams ON DELETE CASCADE,
    epoch text NOT NULL,
    slot_name text NOT NULL,
    start_lsn pg_lsn,
    done_lsn pg_lsn NOT NULL DEFAULT '0/0',
    done_n bigint NOT NULL DEFAULT 0,
    done_at timestamptz,
    confirmed_lsn pg_lsn NOT NULL DEFAULT '0/0',
    unsent_xid xid8 NOT NULL,
    batch bigint NOT NULL DEFAULT 0,
    intent_id text,
    intent_lsn pg_lsn,
    intent_n bigint,
    intent_rows integer,
    intent_hash bytea,
    intent_backfill bigint,
    intent_partition oid,
    intent_from tid,
    lost_at timestamptz,
    lost_reason text
);

COMMENT ON TABLE fast_ingest.stream_progress IS
'How far each stream has come. A dump has none of it: the copy of a server must not post';
COMMENT ON COLUMN fast_ingest.stream_progress.epoch IS 'Random; made with the replication slot. The ids of batches begin with it';
COMMENT ON COLUMN fast_ingest.stream_progress.start_lsn IS 'Where decoding began; NULL until the slot was made';
COMMENT ON COLUMN fast_ingest.stream_progress.lost_at IS
'When the position was lost, for lost_reason; NULL: it is not';
COMMENT ON COLUMN fast_ingest.stream_progress.batch IS 'The number of the last batch that was begun';
COMMENT ON COLUMN fast_ingest.stream_progress.done_lsn IS
'With done_n the position of the last event that the target has: its commit, and its number in the transaction';
COMMENT ON COLUMN fast_ingest.stream_progress.confirmed_lsn IS
'The slot may have confirmed this position, and none after it';
COMMENT ON COLUMN fast_ingest.stream_progress.unsent_xid IS
'Events of transactions before this one have been sent, whatever becomes of the slot';
COMMENT ON COLUMN fast_ingest.stream_progress.intent_id IS
'The batch that was begun last and is not known to be done: its id, last position, rows and SHA-256 of the rows; of a backfill the partition and where it began, and intent_lsn 0 with the last tid in intent_n';

CREATE TABLE fast_ingest.stream_backfills (
    id bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
    stream_id integer NOT NULL REFERENCES fast_ingest.streams ON DELETE CASCADE,
    since timestamptz NOT NULL,
    until timestamptz NOT NULL,
    unsent_xid xid8,
    cut xid8,
    clear boolean NOT NULL,
    cleared boolean NOT NULL DEFAULT false,
    requested_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    ended_lsn pg_lsn,
    done_at timestamptz,
    events_sent bigint NOT NULL DEFAULT 0
);

COMMENT ON TABLE fast_ingest.stream_backfills IS
'Events that streams read from the table: what was there before, what is to be sent again. Done ones are kept while the stream may still meet their transactions in WAL';
COMMENT ON COLUMN fast_ingest.stream_backfills.cut IS
'The transaction id before which an event of the range belongs to the backfill; NULL until the worker has begun';
COMMENT ON COLUMN fast_ingest.stream_backfills.unsent_xid IS
'Only events from this transaction on; NULL: all';
COMMENT ON COLUMN fast_ingest.stream_backfills.clear IS 'Whether the target deletes the range first';
COMMENT ON COLUMN fast_ingest.stream_backfills.ended_lsn IS
'Behind this position WAL has no transaction before the cut; NULL until the backfill has begun to read';

CREATE TABLE fast_ingest.stream_backfill_partitions (
    backfill_id bigint NOT NULL REFERENCES fast_ingest.stream_backfills ON DELETE CASCADE,
    partition oid NOT NULL,
    number integer NOT NULL,
    position tid NOT NULL DEFAULT '(0,0)',
    filenode oid,
    blocks bigint,
    done boolean NOT NULL DEFAULT false,
    PRIMARY KEY (backfill_id, partition)
);

COMMENT ON TABLE fast_ingest.stream_backfill_partitions IS
'How far a backfill has come in each partition: everything up to position has been sent';
COMMENT ON COLUMN fast_ingest.stream_backfill_partitions.filenode IS
'The file that position is in: a table that was rewritten is read again';
COMMENT ON COLUMN fast_ingest.stream_backfill_partitions.blocks IS
'The size of the partition when no transaction before the cut ran any more';

CREATE TABLE fast_ingest.stream_dead_letters (
    id bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
    stream_id integer NOT NULL REFERENCES fast_ingest.streams ON DELETE CASCADE,
    failed_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    lsn pg_lsn NOT NULL,
    n bigint NOT NULL,
    reason text NOT NULL,
    event text NOT NULL,
    retry boolean NOT NULL DEFAULT false,
    retry_batch text
);

COMMENT ON TABLE fast_ingest.stream_dead_letters IS
'Events that a stream''s target refuses, one by one, with its reason. fi_retry_stream_dead_letters() sends them again';
COMMENT ON COLUMN fast_ingest.stream_dead_letters.lsn IS
'With n the position of the event: its commit, and its number in the transaction; of a backfill its number and a tid';
COMMENT ON COLUMN fast_ingest.stream_dead_letters.event IS 'The line of JSON as it was posted';
COMMENT ON COLUMN fast_ingest.stream_dead_letters.retry IS
'Whether fi_retry_stream_dead_letters() asked for it; retry_batch is the batch in which it is sent';

SELECT pg_catalog.pg_extension_config_dump('fast_ingest.streams', '');
SELECT pg_catalog.pg_extension_config_dump('fast_ingest.streams_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('fast_ingest.stream_dead_letters', '');
SELECT pg_catalog.pg_extension_config_dump('fast_ingest.stream_dead_letters_id_seq', '');

-- ---------------------------------------------------------------------------
-- Functions: metrics
-- ---------------------------------------------------------------------------

CREATE FUNCTION fi_metrics(
    event_name text DEFAULT NULL,
    since timestamptz DEFAULT NULL,
    until timestamptz DEFAULT NULL,
    group_by text DEFAULT NULL,
    channel text DEFAULT NULL,
    time_zone text DEFAULT 'UTC',
    fill boolean DEFAULT true,
    filter jsonb DEFAULT NULL,
    align boolean DEFAULT false,
    week_start text DEFAULT 'monday',
    max_groups integer DEFAULT NULL
) RETURNS TABLE (group_key text, total_events bigint, unique_users bigint)
    AS 'MODULE_PATHNAME' LANGUAGE C STABLE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp;

COMMENT ON FUNCTION fi_metrics(text, timestamptz, timestamptz, text, text, text, boolean, jsonb, boolean, text, integer) IS
'Exact number of events and of unique users of an event_name (NULL: of all events), from since (inclusive; NULL: the first event) to until (exclusive; NULL: the last event), in the snapshot of the statement. group_by: NULL (one row, group_key is NULL), hour, day, week or month (rows in order; group_key is the ISO 8601 instant at which the period begins in time_zone; fill adds those without events), event (rows by total_events, descending; group_key is the event_name, or NULL for all names beyond fast_ingest.max_event_names together) or the name of a breakdown (the same; group_key is the key, or NULL for all keys beyond the breakdown''s max_keys together). channel: count only this channel (NULL: all). time_zone: a name of the time zone database (NULL: UTC). filter: count only events that meet all members of an object like {"channel": "web", "site": ["a.example", "b.example"], "metadata": {"plan": "pro"}}; its members are channel, campaign_id, path, tag, names of breakdowns, and metadata; a value is text, a number or a boolean, or an array of these, one of which is enough. What the rollup does not keep is answered from raw events. align: widen the range to whole buckets of the rollup, so that its ends need no raw events. week_start: monday or sunday. max_groups: return only so many event_names or keys, those of the most events, without reading the users of others (NULL: all); at least 1, and only with such a group_by. Errors: 22023 for an argument that is not valid, 55000 if raw events are needed that were dropped, or while the rollup is being restored.';

CREATE FUNCTION fi_metrics_sources(
    event_name text DEFAULT NULL,
    since timestamptz DEFAULT NULL,
    until timestamptz DEFAULT NULL,
    group_by text DEFAULT NULL,
    channel text DEFAULT NULL,
    time_zone text DEFAULT 'UTC',
    fill boolean DEFAULT true,
    filter jsonb DEFAULT NULL,
    align boolean DEFAULT false,
    week_start text DEFAULT 'monday',
    max_groups integer DEFAULT NULL
) RETURNS TABLE (source text, rows_read bigint)
    AS 'MODULE_PATHNAME' LANGUAGE C STABLE PARALLEL UNSAFE ROWS 5
    SET search_path = pg_catalog, pg_temp;

COMMENT ON FUNCTION fi_metrics_sources(text, timestamptz, timestamptz, text, text, text, boolean, jsonb, boolean, text, integer) IS
'Answer as fi_metrics() does for the same arguments, but return how many rows of each source the answer read. source: day, hour, minute (rows of the rollup), delta (groups that are not merged yet), raw (events). Errors: as fi_metrics().';

CREATE FUNCTION fi_series(
    event_name text DEFAULT NULL,
    since timestamptz DEFAULT NULL,
    until timestamptz DEFAULT NULL,
    step text DEFAULT 'auto',
    group_by text DEFAULT NULL,
    top integer DEFAULT 10,
    filter jsonb DEFAULT NULL,
    time_zone text DEFAULT 'UTC',
    fill boolean DEFAULT true,
    align boolean DEFAULT true,
    week_start text DEFAULT 'monday'
) RETURNS TABLE ("time" timestamptz, group_key text, is_other boolean, total_events bigint, unique_users bigint)
    AS 'MODULE_PATHNAME' LANGUAGE C STABLE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp;

COMMENT ON FUNCTION fi_series(text, timestamptz, timestamptz, text, text, integer, jsonb, text, boolean, boolean, text) IS
'Points for a chart: the exact number of events and of unique users in each step from since (inclusive; NULL: the first event) to until (exclusive; NULL: the last event), in the snapshot of the statement, ordered by time and then by series. time: when the step begins. event_name: NULL counts the events of all names. step: 1m, 5m, 15m, 1h, 6h, 1d, 1w, 1mo, minute, hour, day, week, month, or an interval as Grafana writes it (30s, 2m, 12h, 7d, 1M), which is rounded up to one of these; auto (or NULL) is the smallest step of which there are at most 300 in the range and which the rollup keeps. group_by: NULL (one series), event or the name of a breakdown (one series for each key; group_key is the key). top: how many series, those of the most events in the whole range; all other keys are one more series, whose group_key is NULL and is_other true; 1 to 1000. filter: count only events with these values, as {"channel": "web", "site": ["a", "b"], "metadata": {"plan": "pro"}}. time_zone: of days, weeks and months, and of the local hours that shorter steps begin at. fill: return steps without events, too. align: widen the range to whole minutes, hours or days that the rollup keeps, so that no raw events are read for its ends; a step that the range cuts is counted only as far as the range goes. week_start: monday or sunday. Errors: 22023 for an argument that is not valid and for more than 200000 points, 55000 if raw events are needed that were dropped, or while the rollup is being restored.';

CREATE FUNCTION fi_event_names(
    since timestamptz DEFAULT NULL,
    until timestamptz DEFAULT NULL,
    filter jsonb DEFAULT NULL
) RETURNS TABLE (event_name text, total_events bigint, unique_users bigint, first_seen timestamptz, last_seen timestamptz)
    AS 'MODULE_PATHNAME' LANGUAGE C STABLE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp;

COMMENT ON FUNCTION fi_event_names(timestamptz, timestamptz, jsonb) IS
'The names of the events from since (inclusive; NULL: the first event) to until (exclusive; NULL: the last event), in the snapshot of the statement, with the exact number of events and of unique users of each, by total_events, descending. event_name: NULL for all names beyond fast_ingest.max_event_names together. filter: as of fi_series(). first_seen, last_seen: the ts of the first and the last event of the name in the range; with a filter on other than channel, where the raw events were dropped, the beginning of their bucket of the rollup. Errors: as fi_series().';

CREATE FUNCTION fi_live(
    site text DEFAULT NULL,
    top integer DEFAULT 10
) RETURNS TABLE (part text, key text, total_events bigint, unique_users bigint)
    AS 'MODULE_PATHNAME' LANGUAGE C STABLE PARALLEL UNSAFE ROWS 52
    SET search_path = pg_catalog, pg_temp;

COMMENT ON FUNCTION fi_live(text, integer) IS
'What happens now, of all event_names together, in the snapshot of the statement. part: last 5 minutes, last 30 minutes (one row each, key is NULL), minute (30 rows in order; key is the ISO 8601 instant of its beginning), page (the paths of the most events since the quarter of an hour in which the first of these minutes is) and event (the names of the most events in the 30 minutes). Minutes are whole ones; the last one is the minute of the statement. Events that are ahead of the clock are not counted. site: count only events of this site_id (NULL: all). top: most rows of page and of event, 1 to 100. Errors: 22023 for an argument that is not valid, 55000 if raw events are needed that were dropped, or while the rollup is being restored.';

CREATE FUNCTION fi_stats(
    site_id text,
    day date DEFAULT NULL,
    OUT total_views bigint,
    OUT unique_users bigint
) RETURNS record
    AS 'MODULE_PATHNAME' LANGUAGE C STABLE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp;

COMMENT ON FUNCTION fi_stats(text, date) IS
'Exact number of events and of unique users of a website on a UTC day (NULL: today), of all event_names together. Errors: 22023 for an argument that is not valid, 55000 if raw events are needed that were dropped, or while the rollup is being restored.';

CREATE FUNCTION fi_top_paths(
    site_id text,
    day date DEFAULT NULL,
    max_rows integer DEFAULT 10
) RETURNS TABLE (path text, views bigint)
    AS 'MODULE_PATHNAME' LANGUAGE C STABLE PARALLEL UNSAFE ROWS 10
    SET search_path = pg_catalog, pg_temp;

COMMENT ON FUNCTION fi_top_paths(text, date, integer) IS
'The most viewed paths of a website on a UTC day (NULL: today), at most max_rows (NULL: 10), the most viewed first and paths with equal views in the order of their bytes. views: number of events, of all event_names together. Errors: as fi_stats(), and 22023 for max_rows below 1.';

-- ---------------------------------------------------------------------------
-- Functions: rollup
-- ---------------------------------------------------------------------------

CREATE FUNCTION fi_refresh(
    OUT events bigint,
    OUT groups bigint,
    OUT new_users bigint,
    OUT recounted_rows bigint,
    OUT hours_closed bigint,
    OUT days_closed bigint
) RETURNS record
    AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp;

COMMENT ON FUNCTION fi_refresh() IS
'Bring the rollup up to date: merge what was inserted since the last refresh, recount what was updated or deleted, and close hours and days that are over. All of it happens, or none. Waits for another refresh; blocks neither inserts nor readers. Returns events: events merged; groups: groups of a breakdown, event_name, bucket and key that they fell into; new_users: users seen for the first time; recounted_rows: rows of fast_ingest.events that were counted again; hours_closed, days_closed: hours and days closed. Errors: 0A000 at isolation level REPEATABLE READ or above, 55000 while the rollup is being restored.';

CREATE FUNCTION fi_rebuild(
    since timestamptz DEFAULT NULL,
    until timestamptz DEFAULT NULL,
    OUT events bigint,
    OUT groups bigint,
    OUT new_users bigint,
    OUT recounted_rows bigint,
    OUT hours_closed bigint,
    OUT days_closed bigint
) RETURNS record
    AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp;

COMMENT ON FUNCTION fi_rebuild(timestamptz, timestamptz) IS
'Recount all events from since (inclusive; NULL: the first) to until (exclusive; NULL: the last), widened to whole minutes, as far as partitions hold them, and refresh. Use it for changes that no trigger sees, for example rows of a table that was attached. Returns the same as fi_refresh(). Errors: 22023 if since is not before until, and those of fi_refresh().';

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
'Remove a user from all tables of fast_ingest as of now: the events of all partitions, the dead letters, also those of streams, the user''s number from every set of the rollup, and the row of fast_ingest.users. First waits for events that are staged now to be stored, at most 10 seconds, and for a running refresh; also refreshes. Events that arrive later are those of a new user. Returns events: events deleted; dead_letters: dead letters that were deleted or whose error no longer quotes the user_id; rollup_rows: rows of the rollup that the user was removed from; users: 1 if fast_ingest.users knew the user, otherwise 0. Events stay counted on days whose partition was dropped. What streams have sent stays in their targets. Acts with the rights of the tables'' owners, whoever calls it. Makes constraints immediate for the rest of the transaction. Errors: 22023 for a user_id that is NULL or empty, 55000 if staged events are not stored in time, if a trigger keeps events from being deleted or while the rollup is being restored, 0A000 at isolation level REPEATABLE READ or above.';

-- ---------------------------------------------------------------------------
-- Functions: breakdowns
-- ---------------------------------------------------------------------------

CREATE FUNCTION fi_add_breakdown(
    name text,
    expression text DEFAULT NULL,
    levels text[] DEFAULT '{hour,day}',
    max_keys integer DEFAULT 1000,
    per_site boolean DEFAULT false,
    metadata text DEFAULT NULL,
    fine_days integer DEFAULT 0
) RETURNS void
    AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp;

COMMENT ON FUNCTION fi_add_breakdown(text, text, text[], integer, boolean, text, integer) IS
'Keep metrics by the value of an expression, for events from now on and for all events stored; fi_metrics(..., group_by => name) returns them. expression: an immutable SQL expression over a row of fast_ingest.events; if it is an array, an event counts once for each different element that is not NULL. metadata: the name of a member of metadata, instead of an expression. levels: {day}, {hour,day}, {quarter,hour,day} (quarters of an hour) or {minute,hour,day}. max_keys: how many keys of an event_name are kept apart in an hour, or in a day if that is the only level; further keys are counted together, and their group_key is NULL. per_site: keep the keys of each site_id apart, each with max_keys, and all together with ten times as many. fine_days: how many closed UTC days keep the levels below day (0: all). Inserts wait until the transaction ends; until the next refresh answers are computed from raw events. Errors: 22023 for an argument that is not valid, 42710 if the name is taken, and those of the expression.';

CREATE FUNCTION fi_alter_breakdown(
    name text,
    levels text[] DEFAULT NULL,
    max_keys integer DEFAULT NULL,
    fine_days integer DEFAULT NULL
) RETURNS void
    AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp;

COMMENT ON FUNCTION fi_alter_breakdown(text, text[], integer, integer) IS
'Change what the rollup keeps of a breakdown; of those that are built in, of site and page. levels, max_keys, fine_days: as in fi_add_breakdown(); NULL leaves them as they are. Rows of levels that are no longer kept are deleted. Finer levels are counted again by the next refresh, as far back as all events are there and fine_days allows, and until then answers are computed from raw events; earlier days keep rows of days only. So do days that have lost their finer rows when fine_days grows. Waits for a running refresh; inserts wait until the transaction ends. Errors: 42704 if there is no breakdown of that name, 22023 for an argument that is not valid, 55000 for the breakdown channel, if events of a day were dropped that is not closed, or while the rollup is being restored, 0A000 at isolation level REPEATABLE READ or above.';

CREATE FUNCTION fi_breakdowns() RETURNS TABLE (
    name text,
    expression text,
    levels text[],
    max_keys integer,
    per_site boolean,
    fine_days integer
)
    AS 'MODULE_PATHNAME' LANGUAGE C STABLE PARALLEL UNSAFE ROWS 10
    SET search_path = pg_catalog, pg_temp;

COMMENT ON FUNCTION fi_breakdowns() IS
'The breakdowns: what group_by of fi_metrics() and fi_series() may name, and the names of filters that the rollup answers. levels, max_keys, fine_days: as fi_add_breakdown() takes them; per_site: keys of each site are kept apart.';

CREATE FUNCTION fi_drop_breakdown(name text) RETURNS void
    AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp;

COMMENT ON FUNCTION fi_drop_breakdown(text) IS
'Drop a breakdown that fi_add_breakdown() made, with its rows of the rollup. Errors: 42704 if there is no breakdown of that name, 55000 if it is built in.';

-- ---------------------------------------------------------------------------
-- Functions: API keys
-- ---------------------------------------------------------------------------

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
'Create an API key and return it. It cannot be shown again, because only its SHA-256 digest is stored. It is valid from the commit on. scopes: write, read, admin; site_ids, channels, origins: what the key is limited to (NULL: no limit); rate_limit: events per second (0: no limit, NULL: fast_ingest.rate_limit_per_key); burst: events at once (NULL: as many as fast_ingest.rate_limit_burst allows); tenant: whose events the key sends, within which idempotency keys are unique (NULL: the name). A key that replaces another one needs that key''s tenant. Errors: 22023 for an argument that is not valid, 42710 if the name is taken, 53400 at commit if there is no room for more keys.';

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
'Delete an API key. Requests with it are refused from the commit on. Error 42704 if there is no key of that name.';

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
'The valid API keys by name: their scopes, what they are limited to and their tenants. Keys and their digests are not shown.';

-- ---------------------------------------------------------------------------
-- Functions: partitions
-- ---------------------------------------------------------------------------

CREATE FUNCTION fi_create_partition(day date) RETURNS regclass
    AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp;

COMMENT ON FUNCTION fi_create_partition(date) IS
'Create the partition of fast_ingest.events for a UTC day unless there is one, without blocking inserts. Returns the partition. Errors: 22008 for a day out of range, 42P17 if another partition is in the way.';

-- This reads the catalog: the library would have to lock fast_ingest.events for anybody who
-- asks. Settings fix the format and time zone in which bounds are printed and read back.
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
'The partitions of fast_ingest.events that hold exactly one UTC day, in order. Partitions with other bounds, the default partition, foreign tables and partitions that are being detached are left out.';

-- ---------------------------------------------------------------------------
-- Functions: dead letters
-- ---------------------------------------------------------------------------

CREATE FUNCTION fi_dead_letters(
    ids bigint[] DEFAULT NULL,
    sqlstate text DEFAULT NULL,
    reason text DEFAULT NULL,
    event jsonb DEFAULT NULL,
    since timestamptz DEFAULT NULL,
    until timestamptz DEFAULT NULL
) RETURNS SETOF fast_ingest.dead_letter
    LANGUAGE sql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT d.id, d.failed_at, d.attempts, d.last_attempt, d.sqlstate, d.message,
        CASE WHEN d.event ->> 'user_id' IS NULL THEN '/event' ELSE '/events' END,
        f.form, (d.event ->> 'event_key')::uuid
    FROM fast_ingest.dead_letters d, LATERAL (
        -- A NULL is an absent field. Only events of websites have no user_id.
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
        AND (fi_dead_letters.since IS NULL OR d.failed_at >= fi_dead_letters.since)
        AND (fi_dead_letters.until IS NULL OR d.failed_at < fi_dead_letters.until)
    ORDER BY d.id DESC
$$;

COMMENT ON FUNCTION fi_dead_letters(bigint[], text, text, jsonb, timestamptz, timestamptz) IS
'The events that the database refused, the newest first. Returns id; at: when it was first refused; attempts and last_attempt; sqlstate and reason: the error of the last attempt; post_to and event: the path and the body that post the event again; event_key. /event takes no idempotency key in its body: send event_key:<uuid> as its header. The event keeps its event_key if it is posted without an API key where none is required, or with a key that has the scopes write and admin; otherwise it is stored once, with another event_key. Arguments select letters, NULL selects all: ids, sqlstate, reason: a part of the error, event: fields that the event contains (as the operator @> of jsonb), since (inclusive) and until (exclusive): when it was first refused.';

CREATE FUNCTION fi_retry_dead_letters(
    ids bigint[] DEFAULT NULL,
    sqlstate text DEFAULT NULL,
    reason text DEFAULT NULL,
    event jsonb DEFAULT NULL,
    since timestamptz DEFAULT NULL,
    until timestamptz DEFAULT NULL,
    max_rows bigint DEFAULT NULL,
    OUT retried bigint,
    OUT stored bigint,
    OUT duplicates bigint,
    OUT failed bigint
) RETURNS record
    AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp;

COMMENT ON FUNCTION fi_retry_dead_letters(bigint[], text, text, jsonb, timestamptz, timestamptz, bigint) IS
'Insert dead letters into fast_ingest.events again, as if they had just arrived over HTTP: those that fi_dead_letters() returns for the same arguments, the oldest first, at most max_rows (NULL: all). Letters that are stored, or turn out to be stored already, leave fast_ingest.dead_letters in the same transaction; those that are refused again stay, with the new error. Letters that another session is retrying are skipped. Returns retried: letters tried; stored; duplicates: stored already; failed: refused again. Where these three are less than retried, a BEFORE trigger discarded the rest. Makes constraints immediate for the rest of the transaction. An error that is not the fault of an event (a lock timeout, a missing column or privilege, a partition that cannot be created) ends the call and undoes it.';

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
'Delete the dead letters that were first refused at least older_than ago (0: all). Returns how many. Waits for sessions that are retrying them. Error 22023 for an interval that is NULL or negative.';

-- ---------------------------------------------------------------------------
-- Functions: maintenance
-- ---------------------------------------------------------------------------

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
-- Functions: status
-- ---------------------------------------------------------------------------

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
    AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE PARALLEL RESTRICTED ROWS 4
    SET search_path = pg_catalog, pg_temp;

COMMENT ON FUNCTION fi_status() IS
'One row for each worker process: listeners, flushers, query workers and the maintenance worker; the views fast_ingest.workers, listeners and flushers show it in parts. since: when the worker entered its state. Counters start with the server. Listener: events received, accepted and rejected. Flusher: events committed, duplicate (stored already), discarded (by a BEFORE trigger), dead_lettered and staged (not stored yet); dead_letters_dropped: old dead letters deleted because of fast_ingest.max_dead_letters; staging_size: bytes of its staging ring; oldest_staged: age of the oldest staged event; last_commit. At rest accepted = committed + duplicate + discarded + dead_lettered + staged. Maintenance: dead_letters, the number of rows of fast_ingest.dead_letters (NULL in another database, without SELECT on the table, and while it is locked). Error 55000 if fast_ingest is not in shared_preload_libraries.';

CREATE FUNCTION fi_version(OUT library text, OUT sql_objects text) RETURNS record
    AS 'MODULE_PATHNAME' LANGUAGE C STABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp;

COMMENT ON FUNCTION fi_version() IS
'The version of the loaded library and that of the SQL objects of this database. Where they differ, restart the server if the library is the older one, and run ALTER EXTENSION fast_ingest UPDATE if the SQL objects are.';

-- ---------------------------------------------------------------------------
-- Functions: streams
-- ---------------------------------------------------------------------------

CREATE FUNCTION fi_create_stream(
    name text,
    kind text,
    url text,
    target text DEFAULT NULL,
    event_names text[] DEFAULT NULL,
    sites text[] DEFAULT NULL,
    channels text[] DEFAULT NULL,
    columns text[] DEFAULT NULL,
    backfill_since timestamptz DEFAULT NULL,
    batch_rows integer DEFAULT 50000,
    batch_bytes integer DEFAULT 8388608,
    flush_interval interval DEFAULT '1 second',
    compression text DEFAULT 'gzip',
    username text DEFAULT NULL,
    secret text DEFAULT NULL,
    secret_file text DEFAULT NULL,
    ca_file text DEFAULT NULL,
    cert_file text DEFAULT NULL,
    key_file text DEFAULT NULL,
    max_retained_wal text DEFAULT '10GB'
) RETURNS void
    AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp;

COMMENT ON FUNCTION fi_create_stream(text, text, text, text, text[], text[], text[], text[], timestamptz, integer, integer, interval, text, text, text, text, text, text, text, text) IS
'Send events to another system: every one that is committed once the state is running. Its worker makes the replication slot after this transaction commits, and waits for older transactions. kind: clickhouse, kafka_rest or webhook. url: http or https, without user and password. target: the table of ClickHouse or Kafka''s topic. event_names, sites, channels: only events with one of these values (NULL: all). columns: of fast_ingest.events (NULL: all). backfill_since: also send events that are stored already, from this ts on (-infinity: all; NULL: none). A batch is sent when it has batch_rows rows (1 to 1000000) or batch_bytes bytes before compression (1024 to 67108864), or flush_interval after its first row (10 ms to 1 hour). compression: none, gzip or zstd. username, and secret or secret_file: HTTP Basic, or the signing secret of a webhook; a secret is in no dump, view or message of fast_ingest, but in the log if the statement is logged; a secret_file is read by the server. ca_file, cert_file, key_file: PEM, for TLS. max_retained_wal: the disk space that WAL and files of the stream may take, at least 16MB; beyond it the stream is lost. Errors: 22023 for an argument that is not valid, 22004 for one that must not be NULL, 42710 if the name is taken, 42501 for a file that the role must not read, 53400 if fast_ingest.max_streams streams exist, 55000 if wal_level is not logical, in another database than fast_ingest.database or without shared_preload_libraries.';

CREATE FUNCTION fi_pause_stream(name text) RETURNS void
    AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp;

COMMENT ON FUNCTION fi_pause_stream(text) IS
'Send nothing more of a stream until fi_resume_stream(). What is committed meanwhile is kept as WAL, up to max_retained_wal. Errors: 42704 if there is no stream of that name.';

CREATE FUNCTION fi_resume_stream(
    name text,
    refill boolean DEFAULT false,
    skip_lost boolean DEFAULT false
) RETURNS void
    AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp;

COMMENT ON FUNCTION fi_resume_stream(text, boolean, boolean) IS
'Let a stream go on: one that is paused; one that is blocked, after you have looked at the target; one that waits for its next try, which then comes at once. It reads files of secrets and certificates again. A stream that is lost needs one of the others. refill: send again what may be missing in the target; ClickHouse removes the days concerned first. skip_lost: go on with events that are committed from now on. Errors: 42704 if there is no stream of that name, 22023 if both are true, 55000 if the stream is lost and neither is, or is not lost and one is.';

CREATE FUNCTION fi_drop_stream(name text) RETURNS void
    AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp;

COMMENT ON FUNCTION fi_drop_stream(text) IS
'Drop a stream, with its position, its dead letters and its secret. Its worker drops the replication slot a moment after the commit. Errors: 42704 if there is no stream of that name.';

CREATE FUNCTION fi_streams() RETURNS TABLE (
    name text,
    kind text,
    url text,
    target text,
    state text,
    since timestamptz,
    detail text,
    lag_events bigint,
    lag_bytes bigint,
    lag interval,
    sent_lsn pg_lsn,
    retained_wal bigint,
    max_retained_wal bigint,
    events_sent bigint,
    bytes_sent bigint,
    batches_sent bigint,
    retries bigint,
    doubts bigint,
    dead_letters bigint,
    backfill_left bigint,
    last_sent timestamptz,
    last_error text,
    last_error_at timestamptz,
    guarantee text,
    pid integer,
    slot_name text
)
    AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE PARALLEL UNSAFE ROWS 4
    SET search_path = pg_catalog, pg_temp;

COMMENT ON FUNCTION fi_streams() IS
'One row for each stream. state: waiting (for the database or the worker), running, retrying (the target does not take what is sent), paused, blocked (a person must look at the target), lost (the position is gone); since when, and detail says why. lag_events: decoded and not acknowledged; lag_bytes: of WAL that is not sent; lag: age of the oldest event decoded and not acknowledged; sent_lsn: all events that were committed before this position have been sent. retained_wal: bytes of WAL and files that the stream keeps; at max_retained_wal it is lost. events_sent, bytes_sent, batches_sent, retries, doubts (requests whose effect was not known): since the server started. dead_letters: events that the target refuses. backfill_left: estimated events of backfills. guarantee: exactly once or at least once, NULL until the target was seen. pid: of the worker. Counters are NULL while no worker serves the stream.';

CREATE FUNCTION fi_clickhouse_ddl(
    table_name text DEFAULT 'events',
    cluster text DEFAULT NULL,
    version text DEFAULT 'modern'
) RETURNS text
    AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp;

COMMENT ON FUNCTION fi_clickhouse_ddl(text, text, text) IS
'Statements of ClickHouse that create the table a stream fills, and one that adds it up by hour through a materialised view. Read them and run them there. table_name: may name a database before a point. cluster: the name of a cluster of ClickHouse, for replicated tables on each shard and distributed ones over them; NULL: one node. version: modern (23.3 and later) or old (18.16). Errors: 22023 for a value that is not valid, 22004 if table_name or version is NULL.';

-- ---------------------------------------------------------------------------
-- Views
-- ---------------------------------------------------------------------------

CREATE VIEW fast_ingest.workers AS
    SELECT s.worker, s.pid, s.state, s.since, s.last_error
    FROM @extschema@.fi_status() s;

COMMENT ON VIEW fast_ingest.workers IS
'One row for each worker process, with its state and its last error';

CREATE VIEW fast_ingest.listeners AS
    SELECT pg_catalog.split_part(s.worker, ' ', 2)::pg_catalog.int4 AS listener, s.pid, s.state,
        s.received, s.accepted, s.rejected
    FROM @extschema@.fi_status() s
    WHERE pg_catalog.starts_with(s.worker, 'listener ');

COMMENT ON VIEW fast_ingest.listeners IS
'One row for each listener, with the events it has received, accepted and rejected since the server started';

CREATE VIEW fast_ingest.flushers AS
    SELECT pg_catalog.split_part(s.worker, ' ', 2)::pg_catalog.int4 AS flusher, s.pid, s.staged,
        pg_catalog.date_trunc('milliseconds', s.oldest_staged) AS oldest_staged,
        s.committed, s.duplicate, s.discarded, s.dead_lettered
    FROM @extschema@.fi_status() s
    WHERE pg_catalog.starts_with(s.worker, 'flusher ');

COMMENT ON VIEW fast_ingest.flushers IS
'One row for each flusher, with the events that wait to be stored, the age of the oldest one, and what has become of the others since the server started';

-- ---------------------------------------------------------------------------
-- Functions: psql as an interface
-- ---------------------------------------------------------------------------

CREATE FUNCTION fi_sparkline(
    event_name text DEFAULT NULL,
    since timestamptz DEFAULT NULL,
    until timestamptz DEFAULT NULL,
    group_by text DEFAULT NULL,
    top integer DEFAULT 10,
    filter jsonb DEFAULT NULL,
    time_zone text DEFAULT 'UTC',
    metric text DEFAULT 'unique_users'
) RETURNS TABLE (group_key text, sparkline text, most bigint, step text)
    LANGUAGE plpgsql STABLE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    bars CONSTANT text[] := '{▁,▂,▃,▄,▅,▆,▇,█}';
    high CONSTANT timestamptz := coalesce(until, now());
    low CONSTANT timestamptz := coalesce(since, high - interval '24 hours');
    -- a line of at most 62 bars
    bar CONSTANT text := CASE WHEN NOT isfinite(low) OR NOT isfinite(high) THEN NULL
        WHEN high - low <= interval '1 hour' THEN '1m' WHEN high - low <= interval '5 hours' THEN '5m'
        WHEN high - low <= interval '15 hours' THEN '15m' WHEN high - low <= interval '60 hours' THEN '1h'
        WHEN high - low <= interval '15 days' THEN '6h' WHEN high - low <= interval '60 days' THEN '1d'
        WHEN high - low <= interval '420 days' THEN '1w' ELSE '1mo' END;
BEGIN
    IF metric IS NULL OR metric NOT IN ('unique_users', 'total_events') THEN
        RAISE EXCEPTION 'metric "%" is not valid: expected unique_users or total_events', metric
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF NOT isfinite(low) OR NOT isfinite(high) THEN
        RAISE EXCEPTION '% "%" is not valid: expected a time that is finite',
            CASE WHEN isfinite(high) THEN 'since' ELSE 'until' END, CASE WHEN isfinite(high) THEN low ELSE high END
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    RETURN QUERY
    SELECT CASE WHEN l.is_other THEN '(other)' ELSE l.group_key END,
        string_agg(CASE WHEN l.value = 0 THEN ' ' ELSE bars[ceil(8.0 * l.value / l.most)] END, '' ORDER BY l."time"),
        min(l.most), bar
    FROM (SELECT p."time", p.group_key, p.is_other, p.place, p.value,
            max(p.value) OVER (PARTITION BY p.group_key, p.is_other) AS most
        FROM (SELECT s.*, CASE metric WHEN 'unique_users' THEN s.unique_users ELSE s.total_events END AS value
            FROM @extschema@.fi_series(fi_sparkline.event_name, low, high, bar, fi_sparkline.group_by, fi_sparkline.top,
                fi_sparkline.filter, fi_sparkline.time_zone, true, true, 'monday'::text)
                WITH ORDINALITY AS s ("time", group_key, is_other, total_events, unique_users, place)) AS p) AS l
    GROUP BY l.group_key, l.is_other ORDER BY min(l.place);
END
$$;

COMMENT ON FUNCTION fi_sparkline(text, timestamptz, timestamptz, text, integer, jsonb, text, text) IS
'Draw what fi_series() answers, one line of bars for each group. since: NULL is 24 hours before until; until: NULL is now. metric: unique_users or total_events. most: the value of the highest bar; step: the time of one bar, chosen so that a line has at most 62; a blank is a time without events. Errors: 22023 for another metric and for infinite times, and those of fi_series().';

CREATE FUNCTION fi_help() RETURNS TABLE (topic text, call text, answer text)
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
    VALUES
    ('ask', 'fi_metrics(''page_view'', now() - interval ''1 day'')', 'events and users'),
    ('ask', 'fi_metrics(''page_view'', group_by => ''hour'')', 'by hour, day, event, page ...'),
    ('ask', 'fi_series(''page_view'', group_by => ''channel'')', 'points over time, for charts'),
    ('ask', 'fi_sparkline(''page_view'')', 'the same as bars, here'),
    ('ask', 'fi_live(''shop.example'')', 'the last 30 minutes'),
    ('ask', 'fi_event_names()', 'which names events have'),
    ('ask', 'fi_stats(''shop.example'')', 'a site''s day: views and users'),
    ('ask', 'fi_top_paths(''shop.example'')', 'a site''s day: most viewed paths'),
    ('ask', 'fi_metrics_sources(''page_view'')', 'what fi_metrics() reads'),
    ('ask', 'fast_ingest.metrics_by_day', 'a view, for tools; metrics_by_hour'),
    ('keep', 'fi_add_breakdown(''plan'', metadata => ''plan'')', 'keep metrics by a value'),
    ('keep', 'fi_alter_breakdown(''page'', ''{day}'')', 'keep more or less of it'),
    ('keep', 'fi_breakdowns()', 'what there is'),
    ('keep', 'fi_drop_breakdown(''plan'')', 'keep it no longer'),
    ('keep', 'fi_refresh()', 'merge what came in'),
    ('keep', 'fi_rebuild()', 'count the raw events again'),
    ('keep', 'fi_schedule()', 'have pg_cron do this'),
    ('keep', 'fi_unschedule()', 'and no longer'),
    ('keep', 'fi_maintain()', 'make and drop partitions'),
    ('keep', 'fi_create_partition(current_date)', 'one for INSERT and COPY'),
    ('keep', 'fi_erase_user(''user_42'')', 'forget a person'),
    ('watch', 'fi_status()', 'workers, their counts and errors'),
    ('watch', 'fi_partitions()', 'days and their size'),
    ('watch', 'fi_version()', 'library and SQL objects'),
    ('mend', 'fi_dead_letters()', 'events the database refused'),
    ('mend', 'fi_retry_dead_letters()', 'store them now'),
    ('mend', 'fi_purge_dead_letters(''30 days'')', 'delete old ones'),
    ('keys', 'fi_create_api_key(''shop'', ''{write}'')', 'a key for clients'),
    ('keys', 'fi_api_keys()', 'which there are'),
    ('keys', 'fi_revoke_api_key(''shop'')', 'end one'),
    ('keys', 'fi_grant_metrics(''analyst'')', 'let a role ask'),
    ('keys', 'fi_grant_ingest(''ingest'')', 'let a role run the workers'),
    ('onwards', 'fi_create_stream(''ch'', ''clickhouse'', ''http://...'')', 'carry events elsewhere'),
    ('onwards', 'fi_streams()', 'streams and their lag'),
    ('onwards', 'fi_pause_stream(''ch'')', 'stop one for a while'),
    ('onwards', 'fi_resume_stream(''ch'')', 'let it go on'),
    ('onwards', 'fi_resend_stream(''ch'', ''2026-01-01'', ''2026-01-02'')', 'send a range again'),
    ('onwards', 'fi_check_stream(''ch'', current_date - 1)', 'count on both sides'),
    ('onwards', 'fi_retry_stream_dead_letters(''ch'')', 'send what was refused'),
    ('onwards', 'fi_drop_stream(''ch'')', 'end one'),
    ('onwards', 'fi_clickhouse_ddl()', 'tables for ClickHouse'),
    ('sets', 'fi_cardinality(users)', 'the size of a set of users'),
    ('sets', 'fi_union(users)', 'the users of several sets')
$$;

COMMENT ON FUNCTION fi_help() IS
'What there is to call, by topic, each with an example. \df+ and the comments say the rest.';

-- ---------------------------------------------------------------------------
-- Views of metrics
-- ---------------------------------------------------------------------------

-- For tools that know only tables. What is finished is found by rollup_bucket: conditions on
-- the columns go down to the index.

CREATE FUNCTION fast_ingest.open_buckets(
    level smallint,
    OUT breakdown smallint,
    OUT since timestamptz,
    OUT until timestamptz,
    OUT event_name text,
    OUT site_id text,
    OUT key text,
    OUT total_events bigint,
    OUT unique_users bigint
) RETURNS SETOF record
    AS 'MODULE_PATHNAME', 'fi_open_buckets' LANGUAGE C STABLE STRICT PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp;

COMMENT ON FUNCTION fast_ingest.open_buckets(smallint) IS
'Count the hours (level 2) or days (3) that the rollup does not hold as finished rows: those that are not over, and those with events that wait to be merged or counted again. Rows without events are the ranges of these buckets. For the views metrics_by_hour and metrics_by_day. Errors: 22023 for another level, and those of fi_metrics().';

CREATE VIEW fast_ingest.metrics_by_hour AS
WITH open AS MATERIALIZED (SELECT * FROM fast_ingest.open_buckets(2::pg_catalog.int2)),
open_ranges AS MATERIALIZED (SELECT * FROM open WHERE total_events = 0),
names (id, name) AS MATERIALIZED (
    SELECT b.id, b.name FROM fast_ingest.breakdowns b
    UNION ALL VALUES (0::pg_catalog.int2, 'total'), ((-1)::pg_catalog.int2, 'total'))
SELECT r.bucket AS "time", r.event_name, n.name AS breakdown,
    CASE WHEN NOT r.is_other AND r.breakdown <> 0 THEN r.key END AS key,
    CASE WHEN r.scope <> '' THEN r.scope END AS site_id,
    r.events AS total_events, r.unique_users
FROM fast_ingest.rollup r JOIN names n ON n.id = r.breakdown
WHERE r.level = 2 AND NOT r.is_other_name AND r.breakdown <> -1
    AND NOT EXISTS (SELECT FROM open_ranges o
        WHERE o.breakdown = r.breakdown AND r.bucket >= o.since AND r.bucket < o.until)
UNION ALL
SELECT r.bucket, NULL, n.name,
    CASE WHEN NOT r.is_other AND r.breakdown NOT IN (0, -1) THEN r.key END,
    CASE WHEN r.scope <> '' THEN r.scope END,
    r.events, r.unique_users
FROM fast_ingest.rollup r JOIN names n ON n.id = r.breakdown
WHERE r.level = 2 AND r.event_name = '' AND (r.is_other_name OR r.breakdown = -1)
    AND NOT EXISTS (SELECT FROM open_ranges o
        WHERE o.breakdown = r.breakdown AND r.bucket >= o.since AND r.bucket < o.until)
UNION ALL
SELECT o.since, o.event_name, n.name, o.key, o.site_id, o.total_events, o.unique_users
FROM open o JOIN names n ON n.id = o.breakdown
WHERE o.total_events > 0;

COMMENT ON VIEW fast_ingest.metrics_by_hour IS
'Exact events and unique users by hour (UTC), event_name and breakdown, for tools that read tables. Unique users do not add up over rows: ask fi_metrics() or fi_series() for those of several hours';
COMMENT ON COLUMN fast_ingest.metrics_by_hour."time" IS
'The beginning of the hour, UTC';
COMMENT ON COLUMN fast_ingest.metrics_by_hour.event_name IS
'NULL: all event_names (breakdown total), or those beyond fast_ingest.max_event_names together';
COMMENT ON COLUMN fast_ingest.metrics_by_hour.breakdown IS
'total, channel, site, page or a breakdown of fi_add_breakdown(); ask for one at a time';
COMMENT ON COLUMN fast_ingest.metrics_by_hour.key IS
'The channel, site, path or other key; NULL of totals, and of all keys beyond the breakdown''s max_keys together';
COMMENT ON COLUMN fast_ingest.metrics_by_hour.site_id IS
'The website of the key, where the breakdown is kept per site';
COMMENT ON COLUMN fast_ingest.metrics_by_hour.total_events IS
'Number of events; adds up over times, event_names and keys';
COMMENT ON COLUMN fast_ingest.metrics_by_hour.unique_users IS
'Number of different users of this row; does not add up';

CREATE VIEW fast_ingest.metrics_by_day AS
WITH open AS MATERIALIZED (SELECT * FROM fast_ingest.open_buckets(3::pg_catalog.int2)),
open_ranges AS MATERIALIZED (SELECT * FROM open WHERE total_events = 0),
names (id, name) AS MATERIALIZED (
    SELECT b.id, b.name FROM fast_ingest.breakdowns b
    UNION ALL VALUES (0::pg_catalog.int2, 'total'), ((-1)::pg_catalog.int2, 'total'))
SELECT r.bucket AS "time", r.event_name, n.name AS breakdown,
    CASE WHEN NOT r.is_other AND r.breakdown <> 0 THEN r.key END AS key,
    CASE WHEN r.scope <> '' THEN r.scope END AS site_id,
    r.events AS total_events, r.unique_users
FROM fast_ingest.rollup r JOIN names n ON n.id = r.breakdown
WHERE r.level = 3 AND NOT r.is_other_name AND r.breakdown <> -1
    AND NOT EXISTS (SELECT FROM open_ranges o
        WHERE o.breakdown = r.breakdown AND r.bucket >= o.since AND r.bucket < o.until)
UNION ALL
SELECT r.bucket, NULL, n.name,
    CASE WHEN NOT r.is_other AND r.breakdown NOT IN (0, -1) THEN r.key END,
    CASE WHEN r.scope <> '' THEN r.scope END,
    r.events, r.unique_users
FROM fast_ingest.rollup r JOIN names n ON n.id = r.breakdown
WHERE r.level = 3 AND r.event_name = '' AND (r.is_other_name OR r.breakdown = -1)
    AND NOT EXISTS (SELECT FROM open_ranges o
        WHERE o.breakdown = r.breakdown AND r.bucket >= o.since AND r.bucket < o.until)
UNION ALL
SELECT o.since, o.event_name, n.name, o.key, o.site_id, o.total_events, o.unique_users
FROM open o JOIN names n ON n.id = o.breakdown
WHERE o.total_events > 0;

COMMENT ON VIEW fast_ingest.metrics_by_day IS
'Exact events and unique users by day (UTC), event_name and breakdown, for tools that read tables. Unique users do not add up over rows: ask fi_metrics() or fi_series() for those of several days';
COMMENT ON COLUMN fast_ingest.metrics_by_day."time" IS
'The beginning of the day, UTC';
COMMENT ON COLUMN fast_ingest.metrics_by_day.event_name IS
'NULL: all event_names (breakdown total), or those beyond fast_ingest.max_event_names together';
COMMENT ON COLUMN fast_ingest.metrics_by_day.breakdown IS
'total, channel, site, page or a breakdown of fi_add_breakdown(); ask for one at a time';
COMMENT ON COLUMN fast_ingest.metrics_by_day.key IS
'The channel, site, path or other key; NULL of totals, and of all keys beyond the breakdown''s max_keys together';
COMMENT ON COLUMN fast_ingest.metrics_by_day.site_id IS
'The website of the key, where the breakdown is kept per site';
COMMENT ON COLUMN fast_ingest.metrics_by_day.total_events IS
'Number of events; adds up over times, event_names and keys';
COMMENT ON COLUMN fast_ingest.metrics_by_day.unique_users IS
'Number of different users of this row; does not add up';

-- ---------------------------------------------------------------------------
-- Functions: streams, events sent again
-- ---------------------------------------------------------------------------

CREATE FUNCTION fi_resend_stream(name text, since timestamptz, until timestamptz) RETURNS void
    AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp;

COMMENT ON FUNCTION fi_resend_stream(text, timestamptz, timestamptz) IS
'Send the events of a stream whose ts is in [since, until) again, as they are in the table, while new ones go on. ClickHouse first removes what the stream had sent of exactly this range; other targets get them twice. The worker begins after the commit; fi_streams() shows what is left. Errors: 22004 for a NULL, 42704 for a stream that does not exist, 22023 if since is not before until, or ClickHouse would lose events that are here no more.';

CREATE FUNCTION fi_check_stream(
    name text,
    since date,
    until date DEFAULT NULL,
    OUT day date,
    OUT here bigint,
    OUT target bigint,
    OUT equal boolean
) RETURNS SETOF record
    AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp;

COMMENT ON FUNCTION fi_check_stream(text, date, date) IS
'Count the events of the UTC days from since to before until (NULL: one day) in fast_ingest.events, with the filters of a stream, and in its target. Events that are on their way, or were deleted here, make the counts differ: ask for days that are over. target and equal are NULL for a target that cannot be asked (Kafka, webhook). Errors: 22004 if name or since is NULL, 42704 for a stream that does not exist, 22023 for days that are not valid, 08006 if the target does not answer.';

CREATE FUNCTION fi_retry_stream_dead_letters(name text, ids bigint[] DEFAULT NULL) RETURNS bigint
    AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp;

COMMENT ON FUNCTION fi_retry_stream_dead_letters(text, bigint[]) IS
'Have the worker of a stream send dead letters again (ids; NULL: all), byte for byte, and return how many. Those that the target takes are deleted; the others stay in fast_ingest.stream_dead_letters with the new reason. Errors: 22004 if name is NULL, 42704 for a stream that does not exist.';

-- ---------------------------------------------------------------------------
-- Privileges
-- ---------------------------------------------------------------------------

-- Roles belong to the whole cluster: the extension creates none, and grants to those that
-- it is given.
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
            AND p.proname IN ('fi_metrics', 'fi_metrics_sources', 'fi_stats', 'fi_top_paths',
                'fi_series', 'fi_event_names', 'fi_live', 'fi_sparkline', 'fi_breakdowns',
                -- the views call these
                'open_buckets')
        UNION ALL
        SELECT format(c.command, grantee)
        FROM (VALUES ('GRANT USAGE ON SCHEMA fast_ingest TO %s'),
            ('GRANT SELECT ON TABLE fast_ingest.metrics_by_hour, fast_ingest.metrics_by_day TO %s')) AS c (command)
    LOOP
        EXECUTE command;
        RETURN NEXT command;
    END LOOP;
END
$$;

COMMENT ON FUNCTION fi_grant_metrics(regrole) IS
'Let a role ask for metrics: grants EXECUTE on fi_metrics(), fi_metrics_sources(), fi_series(), fi_event_names(), fi_live(), fi_stats() and fi_top_paths(), and USAGE on their schema. The role needs no rights on tables, and gets none. Runs the commands with the rights of the caller, and returns them.';

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
            -- also for POST /dead_letters/retry, which stores with the rights of the role
            ('GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE fast_ingest.dead_letters TO %s')
        ) AS c (command)
        UNION ALL
        SELECT format('GRANT EXECUTE ON FUNCTION %s TO %s', p.oid::regprocedure, grantee)
        FROM pg_proc p JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid
        WHERE d.refclassid = 'pg_extension'::regclass AND d.refobjid = extension AND d.deptype = 'e'
            AND p.proname IN ('fi_create_partition', 'fi_maintain', 'fi_refresh', 'fi_schedule', 'fi_unschedule',
                'fi_dead_letters', 'fi_retry_dead_letters',
                -- partitions get triggers with these
                'events_inserted', 'events_changed', 'events_truncated')
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
'Prepare a role for fast_ingest.role, as which the workers run: makes it the owner of fast_ingest.events and its partitions, and grants what else it takes to store events, to retry dead letters and to run the jobs of fi_schedule(). The role gets no rights on the rollup. Runs the commands with the rights of the caller, and returns them.';

-- Tables have no privileges but their owner's. PUBLIC may call what the type and its
-- operators need, fi_cardinality(), fi_union(), fi_partitions() and fi_version(), but not
-- what answers queries, changes something or shows errors.
REVOKE ALL ON FUNCTION fast_ingest.union_add(internal, fi_user_set) FROM PUBLIC;
REVOKE ALL ON FUNCTION fast_ingest.union_result(internal) FROM PUBLIC;
REVOKE ALL ON FUNCTION fast_ingest.cardinality(fi_user_set) FROM PUBLIC;
REVOKE ALL ON FUNCTION fast_ingest.union_users(fi_user_set) FROM PUBLIC;
REVOKE ALL ON FUNCTION fast_ingest.pack_minutes_add(internal, integer, bigint, fi_user_set, bytea) FROM PUBLIC;
REVOKE ALL ON FUNCTION fast_ingest.pack_minutes_result(internal) FROM PUBLIC;
REVOKE ALL ON FUNCTION fast_ingest.pack_minutes(integer, bigint, fi_user_set, bytea) FROM PUBLIC;
REVOKE ALL ON FUNCTION fast_ingest.unpack_minutes(fi_user_set, bytea) FROM PUBLIC;
REVOKE ALL ON FUNCTION fast_ingest.union_times_add(internal, bytea) FROM PUBLIC;
REVOKE ALL ON FUNCTION fast_ingest.union_times_result(internal) FROM PUBLIC;
REVOKE ALL ON FUNCTION fast_ingest.union_times(bytea) FROM PUBLIC;
REVOKE ALL ON FUNCTION fast_ingest.forget_user_in_times(bytea, bigint) FROM PUBLIC;
REVOKE ALL ON FUNCTION fast_ingest.unpack_times(bytea) FROM PUBLIC;
REVOKE ALL ON FUNCTION fast_ingest.events_inserted() FROM PUBLIC;
REVOKE ALL ON FUNCTION fast_ingest.events_changed() FROM PUBLIC;
REVOKE ALL ON FUNCTION fast_ingest.events_truncated() FROM PUBLIC;
REVOKE ALL ON FUNCTION fast_ingest.row_replaced() FROM PUBLIC;
REVOKE ALL ON FUNCTION fast_ingest.breakdown_replaced() FROM PUBLIC;
REVOKE ALL ON FUNCTION fast_ingest.api_keys_changed() FROM PUBLIC;
REVOKE ALL ON FUNCTION fast_ingest.publish_api_keys() FROM PUBLIC;
REVOKE ALL ON FUNCTION fi_metrics(text, timestamptz, timestamptz, text, text, text, boolean, jsonb, boolean, text, integer) FROM PUBLIC;
REVOKE ALL ON FUNCTION fi_metrics_sources(text, timestamptz, timestamptz, text, text, text, boolean, jsonb, boolean, text, integer) FROM PUBLIC;
REVOKE ALL ON FUNCTION fi_series(text, timestamptz, timestamptz, text, text, integer, jsonb, text, boolean, boolean, text) FROM PUBLIC;
REVOKE ALL ON FUNCTION fi_event_names(timestamptz, timestamptz, jsonb) FROM PUBLIC;
REVOKE ALL ON FUNCTION fi_live(text, integer) FROM PUBLIC;
REVOKE ALL ON FUNCTION fi_stats(text, date) FROM PUBLIC;
REVOKE ALL ON FUNCTION fi_top_paths(text, date, integer) FROM PUBLIC;
REVOKE ALL ON FUNCTION fast_ingest.open_buckets(smallint) FROM PUBLIC;
REVOKE ALL ON FUNCTION fi_sparkline(text, timestamptz, timestamptz, text, integer, jsonb, text, text) FROM PUBLIC;
REVOKE ALL ON FUNCTION fi_refresh() FROM PUBLIC;
REVOKE ALL ON FUNCTION fi_rebuild(timestamptz, timestamptz) FROM PUBLIC;
REVOKE ALL ON FUNCTION fi_erase_user(text) FROM PUBLIC;
REVOKE ALL ON FUNCTION fi_add_breakdown(text, text, text[], integer, boolean, text, integer) FROM PUBLIC;
REVOKE ALL ON FUNCTION fi_breakdowns() FROM PUBLIC;
REVOKE ALL ON FUNCTION fi_alter_breakdown(text, text[], integer, integer) FROM PUBLIC;
REVOKE ALL ON FUNCTION fi_drop_breakdown(text) FROM PUBLIC;
REVOKE ALL ON FUNCTION fi_create_api_key(text, text[], text[], text[], text[], integer, integer, text) FROM PUBLIC;
REVOKE ALL ON FUNCTION fi_revoke_api_key(text) FROM PUBLIC;
REVOKE ALL ON FUNCTION fi_api_keys() FROM PUBLIC;
REVOKE ALL ON FUNCTION fi_create_partition(date) FROM PUBLIC;
REVOKE ALL ON FUNCTION fi_dead_letters(bigint[], text, text, jsonb, timestamptz, timestamptz) FROM PUBLIC;
REVOKE ALL ON FUNCTION fi_retry_dead_letters(bigint[], text, text, jsonb, timestamptz, timestamptz, bigint) FROM PUBLIC;
REVOKE ALL ON FUNCTION fi_purge_dead_letters(interval) FROM PUBLIC;
REVOKE ALL ON FUNCTION fi_maintain() FROM PUBLIC;
REVOKE ALL ON FUNCTION fi_schedule(text, text) FROM PUBLIC;
REVOKE ALL ON FUNCTION fi_unschedule() FROM PUBLIC;
REVOKE ALL ON FUNCTION fi_status() FROM PUBLIC;
REVOKE ALL ON FUNCTION fi_create_stream(text, text, text, text, text[], text[], text[], text[], timestamptz, integer, integer, interval, text, text, text, text, text, text, text, text) FROM PUBLIC;
REVOKE ALL ON FUNCTION fi_pause_stream(text) FROM PUBLIC;
REVOKE ALL ON FUNCTION fi_resume_stream(text, boolean, boolean) FROM PUBLIC;
REVOKE ALL ON FUNCTION fi_drop_stream(text) FROM PUBLIC;
REVOKE ALL ON FUNCTION fi_streams() FROM PUBLIC;
REVOKE ALL ON FUNCTION fi_clickhouse_ddl(text, text, text) FROM PUBLIC;
REVOKE ALL ON FUNCTION fi_resend_stream(text, timestamptz, timestamptz) FROM PUBLIC;
REVOKE ALL ON FUNCTION fi_check_stream(text, date, date) FROM PUBLIC;
REVOKE ALL ON FUNCTION fi_retry_stream_dead_letters(text, bigint[]) FROM PUBLIC;
REVOKE ALL ON FUNCTION fi_grant_metrics(regrole) FROM PUBLIC;
REVOKE ALL ON FUNCTION fi_grant_ingest(regrole) FROM PUBLIC;

-- Monitoring
GRANT EXECUTE ON FUNCTION fi_status() TO pg_monitor;
GRANT EXECUTE ON FUNCTION fi_streams() TO pg_monitor;
GRANT USAGE ON SCHEMA fast_ingest TO pg_monitor;
GRANT SELECT ON fast_ingest.workers, fast_ingest.listeners, fast_ingest.flushers TO pg_monitor;
