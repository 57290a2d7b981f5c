--
-- User sets, and an hour's packed minutes
--
\set VERBOSITY terse

-- text
SELECT '{}'::fi_user_set, '{ }'::fi_user_set, ' { 7,1 ,5, 1 } '::fi_user_set,
       '{4294967295,0}'::fi_user_set, '{007}'::fi_user_set;
SELECT ''::fi_user_set;
SELECT '1,2'::fi_user_set;
SELECT '{'::fi_user_set;
SELECT '{1'::fi_user_set;
SELECT '{1 2}'::fi_user_set;
SELECT '{1,}'::fi_user_set;
SELECT '{,1}'::fi_user_set;
SELECT '{1}}'::fi_user_set;
SELECT '{} x'::fi_user_set;
SELECT '{-1}'::fi_user_set;
SELECT '{1.5}'::fi_user_set;
SELECT '{4294967296}'::fi_user_set;
SELECT '{99999999999999999999999999}'::fi_user_set;
\set VERBOSITY default
SELECT '{1,b}'::fi_user_set;
SELECT '{1;2}'::fi_user_set;
SELECT '{4294967296}'::fi_user_set;
\set VERBOSITY terse

-- operators
SELECT '{1,2,3}'::fi_user_set | '{3,70000}' AS "or", '{1,2,3}'::fi_user_set & '{3,2,9}' AS "and",
       '{1,2,3}'::fi_user_set - '{3,9}' AS "and not",
       fi_cardinality('{1,2,70000}') AS cardinality, fi_cardinality('{}') AS nobody;
SELECT '{1,2}'::fi_user_set = '{2,1}' AS same, '{1,2}'::fi_user_set = '{1,3}' AS other,
       '{}'::fi_user_set = '{}' AS nobody, '{}'::fi_user_set = '{0}' AS zero;
SELECT '{1,4294967295}'::fi_user_set @> 1 AS one, '{1,4294967295}'::fi_user_set @> 2 AS two,
       '{1,4294967295}'::fi_user_set @> 4294967295 AS last, '{1,4294967295}'::fi_user_set @> -1 AS negative,
       '{1,4294967295}'::fi_user_set @> 4294967296 AS above, '{0}'::fi_user_set @> 4294967296 AS wrapped;
SELECT '{1}'::fi_user_set | NULL AS "null";

-- aggregate
SELECT fi_union(users) FROM (VALUES ('{1,2}'::fi_user_set), (NULL), ('{2,3}')) AS t (users);
SELECT fi_union(users), fi_union(users) IS NULL AS "null"
FROM (SELECT '{}'::fi_user_set WHERE false) AS t (users);
SELECT k, fi_union(users) FROM
    (VALUES (1, '{1}'::fi_user_set), (2, NULL), (3, '{}'), (1, '{9}')) AS t (k, users)
GROUP BY k ORDER BY k;
SELECT k, fi_union(users) OVER (ORDER BY k) FROM
    (VALUES (1, '{1}'::fi_user_set), (2, '{70000}'), (3, '{1,9}')) AS t (k, users);

-- the portable serialization, with each kind of container: as any roaring library writes it
CREATE FUNCTION range_set(first bigint, last bigint, step bigint DEFAULT 1) RETURNS fi_user_set
LANGUAGE sql IMMUTABLE AS
$$SELECT ('{' || coalesce(string_agg(n::text, ','), '') || '}')::fi_user_set FROM generate_series(first, last, step) AS n$$;
SELECT fast_ingest.user_set_send('{}') AS nobody;
SELECT fast_ingest.user_set_send('{1,70000}') AS arrays;
SELECT fast_ingest.user_set_send(range_set(10, 19) | '{70000}') AS "run and array";
SELECT substr(fast_ingest.user_set_send(range_set(0, 9999, 2)), 1, 20) AS bitset,
       length(fast_ingest.user_set_send(range_set(0, 9999, 2)));

-- binary input, by COPY: what is not a well-formed bitmap is refused
CREATE TABLE sets (users fi_user_set);
SELECT attstorage, attalign FROM pg_attribute WHERE attrelid = 'sets'::regclass AND attname = 'users';
CREATE FUNCTION binary_set(bytes bytea) RETURNS fi_user_set LANGUAGE plpgsql AS $$
DECLARE
    file text := current_setting('data_directory') || '/user_set_test';
    row bytea := '\x5047434f50590aff0d0a00' || '\x0000000000000000'::bytea || '\x0001'::bytea
        || int4send(length(bytes)) || bytes || '\xffff'::bytea;
    object oid := lo_from_bytea(0, row);
BEGIN
    TRUNCATE sets;
    PERFORM lo_export(object, file), lo_unlink(object);
    EXECUTE format('COPY sets FROM %L WITH (FORMAT binary)', file);
    RETURN (SELECT users FROM sets);
END $$;
SELECT binary_set(fast_ingest.user_set_send(s)) = s AS same
FROM (VALUES ('{}'::fi_user_set), ('{1,70000}'), (range_set(10, 19) | '{70000}'), (range_set(0, 9999, 2)),
      (range_set(0, 69999)), ('{0,65536,131072,196608,262144}'), (range_set(65530, 65540) | '{0,131072,196608,262144}')) AS t (s);
-- an array where runs are smaller: the same set
SELECT fast_ingest.user_set_send(binary_set('\x3a300000 01000000 0000 0900 10000000 0a000b000c000d000e000f0010001100 12001300')) = fast_ingest.user_set_send(range_set(10, 19)) AS same;
SELECT binary_set('');
SELECT binary_set('\x3a30');
SELECT binary_set('\x3a30000000');                                          -- no number of containers
SELECT binary_set('\x3a300000ffffffff');                                    -- too many
SELECT binary_set('\x3a30000001000100');
SELECT binary_set('\x0000000000000000');                                    -- another cookie
SELECT binary_set('\x3a3001000000000000');
SELECT binary_set('\x3a300000 00000000 00');                                -- a byte more
SELECT binary_set('\x3a300000 01000000 0000 0100 10000000 0100');           -- a number less
SELECT binary_set('\x3a300000 01000000 0000 0100 11000000 0100 0200');      -- another offset
SELECT binary_set('\x3a300000 01000000 0000 0100 10000000 0200 0100');      -- not in order
SELECT binary_set('\x3a300000 01000000 0000 0100 10000000 0100 0100');      -- the same twice
SELECT binary_set('\x3a300000 02000000 0100 0000 0000 0000 18000000 1a000000 0100 0200'); -- keys not in order
SELECT binary_set('\x3a300000 02000000 0000 0000 0000 0000 18000000 1a000000 0100 0200'); -- the same key twice
SELECT binary_set('\x3a300000 01000000 0000 8713 10000000'
    || decode(repeat('00', 8192), 'hex'));                                  -- a bitset of no bits
SELECT binary_set('\x3a300000 01000000 0000 8713 10000000'
    || decode(repeat('ff', 8191), 'hex'));                                  -- too short
SELECT binary_set('\x3b300000 01 0000 0900 0100 0a00 0900');                -- one run: fine
SELECT binary_set('\x3b300000 01 0000 0800 0100 0a00 0900');                -- another length
SELECT binary_set('\x3b300000 01 0000 0900 0000');                          -- no run
SELECT binary_set('\x3b300000 01 0000 0300 0200 0a00 0100 0c00 0100');      -- runs touch
SELECT binary_set('\x3b300000 01 0000 0300 0200 0a00 0100 0100 0100');      -- not in order
SELECT binary_set('\x3b300000 01 0000 0900 0100 fcff 0900');                -- beyond 16 bits
SELECT binary_set('\x3b300000 01 0000 0900 0100 0a00');                     -- too short
SELECT binary_set('\x3b300000');
SELECT binary_set('\x3b30ffff 00');

-- all 4,294,967,296 numbers in 900 kB: more than a text can name, or minutes be packed for
CREATE TABLE everybody AS
SELECT binary_set('\x3b30ffff' || decode(repeat('ff', 8192)
    || string_agg(lpad(to_hex(i % 256 << 8 | i / 256), 4, '0') || 'ffff', '' ORDER BY i)
    || string_agg(lpad(to_hex((o % 256)::bigint << 24 | (o / 256 % 256 << 16) | (o / 65536 << 8)), 8, '0'), '' ORDER BY i)
    || repeat('01000000ffff', 65536), 'hex')) AS users
FROM generate_series(0, 65535) AS i, LATERAL (SELECT 4 + 8192 + 65536 * 8 + i * 6) AS t (o);
SELECT fi_cardinality(users), length(fast_ingest.user_set_send(users)) FROM everybody;
SELECT users FROM everybody;
SELECT (users - '{7}')::text FROM everybody;
SELECT fast_ingest.pack_minutes(0, 1, users, NULL) FROM everybody;
SELECT fast_ingest.unpack_minutes(users, (SELECT fast_ingest.pack_minutes(0, 1, '{7}', NULL))) FROM everybody;
DROP TABLE everybody;

-- text and binary tell the same of random sets of all kinds of containers
CREATE FUNCTION random_set(kind integer) RETURNS fi_user_set LANGUAGE sql VOLATILE AS $$
SELECT ('{' || string_agg(n::text, ',') || '}')::fi_user_set FROM (
    SELECT CASE kind % 5
        WHEN 0 THEN floor(random() * 4294967296)::bigint       -- sparse everywhere
        WHEN 1 THEN floor(random() * 100000)::bigint           -- arrays
        WHEN 2 THEN 60000 + i                                  -- one run
        WHEN 3 THEN floor(random() * 12000)::bigint            -- a bitset
        ELSE i / 50 * 100 + i % 50 END                         -- many runs
    FROM generate_series(1, CASE kind % 5 WHEN 3 THEN 20000 ELSE floor(random() * 6000)::integer + 1 END) AS i
) AS t (n)
$$;
SELECT setseed(0.25);
TRUNCATE sets;
CREATE TABLE random_sets (id integer, users fi_user_set);
INSERT INTO random_sets SELECT kind, random_set(kind) FROM generate_series(0, 29) AS kind;
CREATE TABLE members AS
SELECT id, unnest(users::text::bigint[]) AS n FROM random_sets;
SELECT count(*) FILTER (WHERE fi_cardinality(users) = (SELECT count(DISTINCT n) FROM members m WHERE m.id = s.id)) AS sizes,
       count(*) FILTER (WHERE binary_set(fast_ingest.user_set_send(users)) = users) AS binaries,
       count(*) FILTER (WHERE users::text::fi_user_set = users) AS texts
FROM random_sets s;
SELECT count(*) AS pairs,
       count(*) FILTER (WHERE (a.users | b.users)::text::bigint[] =
           ARRAY(SELECT n FROM members WHERE id = a.id UNION SELECT n FROM members WHERE id = b.id ORDER BY n)) AS "or",
       count(*) FILTER (WHERE (a.users & b.users)::text::bigint[] =
           ARRAY(SELECT n FROM members WHERE id = a.id INTERSECT SELECT n FROM members WHERE id = b.id ORDER BY n)) AS "and",
       count(*) FILTER (WHERE (a.users - b.users)::text::bigint[] =
           ARRAY(SELECT n FROM members WHERE id = a.id EXCEPT SELECT n FROM members WHERE id = b.id ORDER BY n)) AS "and not",
       count(*) FILTER (WHERE a.users = b.users) AS equal
FROM random_sets a JOIN random_sets b ON a.id < 10 AND b.id < 10;
-- the union of any of them in any order, and of more than are united between two repairs
SELECT count(*) AS prefixes, count(*) FILTER (WHERE u.users::text::bigint[] = m.n) AS same
FROM (SELECT id, fi_union(users) OVER (ORDER BY id) AS users FROM random_sets) u
JOIN LATERAL (SELECT ARRAY(SELECT DISTINCT n FROM members WHERE id <= u.id ORDER BY n) AS n) m ON true
WHERE u.id % 7 = 1;
SELECT fi_union(users ORDER BY id) = fi_union(users ORDER BY id DESC) AS same,
       fi_union(users ORDER BY id)::text::bigint[] = (SELECT array_agg(DISTINCT n ORDER BY n) FROM members) AS right
FROM random_sets;

-- minutes
CREATE FUNCTION show_minutes(users fi_user_set, minutes bytea) RETURNS SETOF text LANGUAGE sql AS
$$SELECT format('%s: %s events of %s', m.minute, m.events, m.users) FROM fast_ingest.unpack_minutes(users, minutes) AS m$$;
SELECT show_minutes('{5,9,70000,4294967295}', fast_ingest.pack_minutes(minute, events, users, NULL))
FROM (VALUES (59, 3::bigint, '{9,4294967295}'::fi_user_set), (0, 1, '{70000}'), (7, 2, '{5,9}'),
             (8, 300, NULL), (9, 5, '{}'), (10, 0, '{5}'), (11, 0, '{}'), (7, 10, '{70000}')) AS t (minute, events, users);
SELECT show_minutes('{}', fast_ingest.pack_minutes(minute, events, '{}', NULL))
FROM (VALUES (0, 255::bigint), (1, 256), (2, 65536), (31, 4294967296), (32, 9223372036854775807)) AS t (minute, events);
SELECT events, length(minutes), show_minutes('{}', minutes)
FROM (SELECT events, fast_ingest.pack_minutes(59, events, NULL, NULL) AS minutes
      FROM (VALUES (255::bigint), (256), (65535), (65536), (4294967295), (4294967296), (9223372036854775807)) AS t (events)
      GROUP BY events) AS t
ORDER BY events;
SELECT fast_ingest.pack_minutes(1, 1, '{}', NULL) IS NULL AS "null" WHERE false;
SELECT count(*) FROM fast_ingest.unpack_minutes('{}', (SELECT fast_ingest.pack_minutes(1, 0, NULL, NULL)));
SELECT fast_ingest.pack_minutes(60, 1, '{1}', NULL);
SELECT fast_ingest.pack_minutes(-1, 1, '{1}', NULL);
SELECT fast_ingest.pack_minutes(0, -1, '{1}', NULL);
SELECT fast_ingest.pack_minutes(NULL, 1, '{1}', NULL);
SELECT fast_ingest.pack_minutes(0, NULL, '{1}', NULL);
SELECT fast_ingest.pack_minutes(0, 9223372036854775807, NULL, NULL) FROM generate_series(1, 2);
-- two bytes a user and minute, and less where users fill the hour
SELECT length(fast_ingest.pack_minutes(minute, 1, range_set(1000000 + minute, 1020000, 20), NULL)) < 2 * 60 * 1000 + 500 AS sparse,
       length(fast_ingest.pack_minutes(minute, 1, range_set(0, 999), NULL)) AS dense
FROM generate_series(0, 59) AS minute;

-- random hours: packed, merged and taken apart they are what they were
CREATE TABLE hour_minutes (hour integer, minute integer, events bigint, users fi_user_set);
INSERT INTO hour_minutes
SELECT hour, floor(random() * 60)::integer, floor(random() ^ 8 * 10000000000)::bigint + 1,
       random_set(CASE WHEN hour > 3 THEN i % 4 + 1 ELSE i END) -- none is sparse in the later ones
FROM generate_series(1, 6) AS hour, generate_series(1, 12) AS i;
CREATE VIEW naive AS
SELECT hour, minute, sum(events)::bigint AS events, fi_union(users) AS users FROM hour_minutes GROUP BY hour, minute;
CREATE VIEW packed AS
SELECT hour, fi_union(users) AS users, fast_ingest.pack_minutes(minute, events, users, NULL) AS minutes FROM hour_minutes GROUP BY hour;
SELECT count(*) > 50 AS many, count(*) FILTER (WHERE n.users = u.users) = count(*) AS same
FROM naive n FULL JOIN (SELECT hour, u.* FROM packed p, fast_ingest.unpack_minutes(p.users, p.minutes) AS u) u USING (hour, minute, events);
WITH pairs AS (
    SELECT a.hour AS a, b.hour AS b, a.users | b.users AS users,
           (SELECT fast_ingest.pack_minutes(minute, events, m.users, NULL) FROM (
               SELECT * FROM fast_ingest.unpack_minutes(a.users, a.minutes)
               UNION ALL SELECT * FROM fast_ingest.unpack_minutes(b.users, b.minutes)) m) AS minutes
    FROM packed a JOIN packed b ON a.hour < b.hour),
merged AS (SELECT a, b, u.* FROM pairs, fast_ingest.unpack_minutes(pairs.users, pairs.minutes) AS u),
expected AS (
    SELECT a, b, minute, sum(events)::bigint AS events, fi_union(n.users) AS users
    FROM pairs JOIN naive n ON n.hour IN (a, b) GROUP BY a, b, minute)
SELECT count(*) > 100 AS many, count(*) FILTER (WHERE m.users = e.users) = count(*) AS same
FROM merged m FULL JOIN expected e USING (a, b, minute, events);

-- some of the minutes: fi_metrics() reads them out of rows of hours, and refuses damaged ones
CREATE FUNCTION put_hour(name text, at timestamptz, users fi_user_set, minutes bytea, events bigint) RETURNS void LANGUAGE sql AS $$
INSERT INTO fast_ingest.rollup (breakdown, level, event_name, bucket, scope, key, events, unique_users, users, minutes)
VALUES (1, 2, name, at, '', 'web', events, fi_cardinality(users), users, minutes)
$$;
SELECT fi_refresh() IS NOT NULL AS refreshed;
SELECT count(*) FROM packed p, put_hour('packed ' || hour, '2001-01-01 12:00Z', users, minutes, (SELECT sum(events)::bigint FROM naive n WHERE n.hour = p.hour));
SELECT count(*) AS ranges,
       count(*) FILTER (WHERE (m.total_events, m.unique_users) = (n.events, n.users)) AS same
FROM packed p, generate_series(0, 60, 12) AS first, generate_series(0, 60, 15) AS last,
     LATERAL fi_metrics('packed ' || p.hour, '2001-01-01 12:00Z'::timestamptz + first * interval '1 minute',
                        '2001-01-01 12:00Z'::timestamptz + last * interval '1 minute') AS m,
     LATERAL (SELECT coalesce(sum(events), 0)::bigint AS events, coalesce(fi_cardinality(fi_union(users)), 0) AS users
              FROM naive WHERE naive.hour = p.hour AND minute >= first AND minute < last) AS n
WHERE first < last AND last - first < 60;
SELECT FROM put_hour('large', '2001-01-01 12:00Z', '{}', (SELECT fast_ingest.pack_minutes(m, 9223372036854775807, NULL, NULL) FROM generate_series(1, 2) AS m), 0);
SELECT * FROM fi_metrics('large', '2001-01-01 12:00Z', '2001-01-01 12:59Z');
SELECT FROM put_hour('small', '2001-01-01 12:00Z', '{7}', (SELECT fast_ingest.pack_minutes(4, 2, '{7}', NULL)), 2);
SELECT * FROM fi_metrics('small', '2001-01-01 12:03Z', '2001-01-01 12:05Z');
SELECT * FROM fi_metrics('small', '2001-01-01 12:00Z', '2001-01-01 12:04Z');
SELECT * FROM fi_metrics('small', '2001-01-01 12:05Z', '2001-01-01 12:59Z');
SELECT FROM put_hour('damaged', '2001-01-01 12:00Z', '{7,8}', (SELECT fast_ingest.pack_minutes(4, 2, '{7}', NULL)), 2);
SELECT * FROM fi_metrics('damaged', '2001-01-01 12:00Z', '2001-01-01 12:59Z');

-- packed minutes with a byte more, less or other than they were are refused or
-- read, and minutes of other users are refused
CREATE FUNCTION try_unpack(users fi_user_set, minutes bytea) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    PERFORM count(*) FROM fast_ingest.unpack_minutes(users, minutes);
    RETURN 'read';
EXCEPTION WHEN data_corrupted THEN
    RETURN SQLERRM;
END $$;
CREATE TABLE small AS
SELECT fi_union(users) AS users, fast_ingest.pack_minutes(minute, events, users, NULL) AS minutes
FROM (VALUES (3, 300::bigint, '{1,5}'::fi_user_set), (40, 2, '{5,9}')) AS t (minute, events, users);
SELECT users, minutes FROM small;
SELECT try_unpack(users, ''), try_unpack('{1,5}', minutes), try_unpack('{1,5,9,11}', minutes) FROM small;
SELECT try_unpack('{1,5,9}', set_byte(fast_ingest.pack_minutes(0, 1, '{1,5}', NULL), 4, 3)) AS "nobody's minute";
SELECT try_unpack(users, substr(minutes, 1, n)), count(*)
FROM small, generate_series(1, length(minutes)) AS n GROUP BY 1 ORDER BY 1;
SELECT try_unpack(users, minutes || '\x00') FROM small;
SELECT try_unpack(users, set_byte(minutes, n, byte)), count(*)
FROM small, generate_series(0, length(minutes) - 1) AS n, generate_series(0, 255) AS byte GROUP BY 1 ORDER BY 1;
\set VERBOSITY default
SELECT fast_ingest.unpack_minutes('{1,5}', minutes) FROM small;
SELECT fast_ingest.unpack_minutes('{1,5,9}', set_byte(minutes, 0, 9)) FROM small;
SELECT fast_ingest.unpack_minutes('{1,5,9}', '\x00');
\set VERBOSITY terse

-- an ERROR leaks nothing, whatever it interrupts: bitmaps are malloc'ed, so the
-- process tells. Each of these holds a set of 600 kB when it fails.
CREATE TABLE large AS
SELECT ('{' || string_agg((n * 13)::text, ',') || '}')::fi_user_set AS users FROM generate_series(1, 300000) AS n;
CREATE TABLE large_hour AS
SELECT fi_union(users) AS users, fast_ingest.pack_minutes(minute, 1, users, NULL) AS minutes FROM large, generate_series(0, 2) AS minute;
SELECT FROM large_hour, put_hour('large hour', '2001-01-01 12:00Z', users - '{13}', minutes, 3);
CREATE FUNCTION fail(users fi_user_set) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RAISE 'failed'; END $$;
CREATE FUNCTION fail_often(statement text) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    before integer;
    resident integer;
BEGIN
    FOR i IN 1..120 LOOP
        BEGIN
            EXECUTE statement;
            RAISE assert_failure;
        EXCEPTION WHEN data_corrupted OR raise_exception OR invalid_text_representation OR invalid_parameter_value THEN
        END;
        resident := (regexp_match(pg_read_file('/proc/' || pg_backend_pid() || '/status'), 'VmRSS:\s+(\d+) kB'))[1];
        IF i = 40 THEN before := resident; END IF;
    END LOOP;
    RETURN resident - before < 80 * 200;
END $$;
SELECT fail_often(statement) AS bounded, statement FROM (VALUES
    (1, 'SELECT fi_union(CASE n WHEN 2 THEN ''x''::text::fi_user_set ELSE users END) FROM large, generate_series(1, 2) AS n'),
    (2, 'SELECT fi_union(users), bool_or(fail(users)) FROM large'),
    (3, 'SELECT fail(users | users) FROM large'),
    (4, 'SELECT fast_ingest.pack_minutes(minute, 1, users, NULL) FROM large, generate_series(59, 60) AS minute'),
    (5, 'SELECT fast_ingest.unpack_minutes(users - ''{13}'', minutes) FROM large_hour'),
    (6, 'SELECT fast_ingest.unpack_minutes(users, '''') FROM large_hour'),
    (7, 'SELECT fi_metrics(''large hour'', ''2001-01-01 12:00Z'', ''2001-01-01 12:03Z'')'),
    (8, 'SELECT fast_ingest.unpack_minutes(users, set_byte(minutes, 12, 3)) FROM large_hour')
) AS t (id, statement) ORDER BY id;

DELETE FROM fast_ingest.rollup WHERE bucket = '2001-01-01 12:00Z';
DROP VIEW naive, packed;
DROP TABLE sets, random_sets, members, hour_minutes, small, large, large_hour;
DROP FUNCTION range_set, binary_set, random_set, show_minutes, put_hour, try_unpack, fail, fail_often;
