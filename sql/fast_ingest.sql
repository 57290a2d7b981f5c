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
    AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE PARALLEL SAFE ROWS 2;

COMMENT ON FUNCTION fi_status() IS
'One row per worker. A listener counts events received, accepted and rejected since server start; a flusher those committed, duplicate, dead-lettered and still staged, the size of the staging ring in bytes, the age of the oldest staged event and the time of the last commit. At rest accepted = committed + duplicate + dead_lettered + staged. Error 55000 if fast_ingest is not in shared_preload_libraries.';
