# The install script, and the objects that it creates, give nobody a way to run code with the
# rights of the role that creates the extension or calls its functions.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use FastIngest;
use PostgreSQL::Test::Utils;
use ScriptAudit;
use Test::More;

# ---------------------------------------------------------------------------
# The script as a text, and copies of it with a defect each
# ---------------------------------------------------------------------------

my $script = slurp_file("$FindBin::RealBin/../../sql/fast_ingest.sql");
my @defects = (
	[ 'CREATE OR REPLACE', 'CREATE FUNCTION fi_unschedule()', 'CREATE OR REPLACE FUNCTION fi_unschedule()' ],
	[ 'IF NOT EXISTS', 'CREATE TABLE fast_ingest.users', 'CREATE TABLE IF NOT EXISTS fast_ingest.users' ],
	[ 'schema IF NOT EXISTS', 'CREATE SCHEMA fast_ingest', 'CREATE SCHEMA IF NOT EXISTS fast_ingest' ],
	[ 'a table without its schema', 'CREATE TABLE fast_ingest.users', 'CREATE TABLE users' ],
	[ 'a sequence without its schema', 'CREATE SEQUENCE fast_ingest.breakdowns_id_seq', 'CREATE SEQUENCE breakdowns_id_seq' ],
	[ 'an index on a table without its schema', 'ON fast_ingest.rollup (bucket)', 'ON rollup (bucket)' ],
	[ 'a trigger on a table without its schema', 'AFTER TRUNCATE ON fast_ingest.events', 'AFTER TRUNCATE ON events' ],
	[ 'a trigger with a function of others', 'EXECUTE FUNCTION fast_ingest.events_truncated()', 'EXECUTE FUNCTION truncated()' ],
	[ 'ALTER of a table without its schema', 'ALTER TABLE fast_ingest.recount', 'ALTER TABLE recount' ],
	[ 'a default that is looked up', 'DEFAULT pg_catalog.now()', 'DEFAULT now()' ],
	[ 'a check that is looked up', 'CHECK (max_keys > 0)', 'CHECK (abs(max_keys) > 0)' ],
	[ 'an index predicate that is looked up', "WHERE scope <> ''", "WHERE length(scope) > 0" ],
	[ 'a support function of others', 'INPUT = fast_ingest.user_set_in', 'INPUT = user_set_in' ],
	[ 'a support function of others', 'SFUNC = fast_ingest.union_add', 'SFUNC = union_add' ],
	[ 'an operator with a function of others', 'FUNCTION = fast_ingest.user_set_or', 'FUNCTION = user_set_or' ],
	[ 'a function in a view without its schema', 'FROM @extschema@.fi_status() s', 'FROM fi_status() s' ],
	[ 'a call in a view that is looked up', 'pg_catalog.split_part', 'split_part' ],
	[ 'a view', 'CREATE SEQUENCE', "CREATE VIEW fast_ingest.v AS SELECT lower(key) FROM fast_ingest.rollup;\nCREATE SEQUENCE" ],
	[ 'a view on a table without its schema', 'CREATE SEQUENCE', "CREATE VIEW fast_ingest.v AS SELECT key FROM rollup;\nCREATE SEQUENCE" ],
	[ 'an estimator that is looked up', 'pg_catalog.eqsel', 'eqsel' ],
	[ 'INSERT into a table without its schema', 'INSERT INTO fast_ingest.breakdowns', 'INSERT INTO breakdowns' ],
	[ 'a call that is looked up', 'SELECT pg_catalog.pg_extension_config_dump', 'SELECT pg_extension_config_dump' ],
	[ 'a table in a body without its schema', 'FROM fast_ingest.dead_letters d, LATERAL', 'FROM dead_letters d, LATERAL' ],
	[ 'a function in a body without its schema', 'PERFORM @extschema@.fi_unschedule()', 'PERFORM fi_unschedule()' ],
	[ 'no search_path for plpgsql', qr/(CREATE FUNCTION fi_unschedule.*?)\n\s+SET search_path = pg_catalog, pg_temp/s ],
	[ 'no search_path for sql', qr/(CREATE FUNCTION fi_partitions.*?)\n\s+SET search_path = pg_catalog, pg_temp/s ],
	[ 'no search_path for C that runs SQL', qr/(CREATE FUNCTION fi_stats\(.*?)\n\s+SET search_path = pg_catalog, pg_temp/s ],
	[ 'no search_path for a trigger', qr/(CREATE FUNCTION fast_ingest\.events_inserted.*?)\n\s+SET search_path = pg_catalog, pg_temp/s ],
	[ 'pg_temp first', 'SET search_path = pg_catalog, pg_temp', 'SET search_path = pg_temp, pg_catalog' ],
	[ 'the caller\'s schema in the path', 'SET search_path = pg_catalog, pg_temp', 'SET search_path = public, pg_catalog, pg_temp' ],
	[ 'SECURITY DEFINER', 'fi_cardinality(users fi_user_set) RETURNS bigint', 'fi_cardinality(users fi_user_set) RETURNS bigint SECURITY DEFINER' ],
	[ '@extschema@ quoted', 'PERFORM @extschema@.fi_unschedule()', "PERFORM '\@extschema\@.fi_unschedule'::regproc" ],
	[ 'a table for everybody', 'CREATE SEQUENCE', "GRANT SELECT ON fast_ingest.events TO PUBLIC;\nCREATE SEQUENCE" ],
	[ 'a function for everybody', 'CREATE SEQUENCE', "GRANT EXECUTE ON FUNCTION fi_refresh() TO PUBLIC;\nCREATE SEQUENCE" ],
	[ 'dynamic SQL put together', 'EXECUTE command', "EXECUTE 'GRANT ' || command" ],
	[ 'dynamic SQL of an argument', 'PERFORM @extschema@.fi_unschedule();', "EXECUTE format('SELECT %s', maintain_schedule);" ],
	[ 'DO', 'CREATE SEQUENCE', "DO \$\$ BEGIN PERFORM 1; END \$\$;\nCREATE SEQUENCE" ]);

is(join("\n", audit_script($script)), '', 'the script has none of the defects');
foreach my $defect (@defects)
{
	my ($name, $what, $instead) = @$defect;
	my $copy = $script;

	ok(ref $what ? $copy =~ s/$what/$1/ : $copy =~ s/\Q$what\E/$instead/, "a copy with a defect: $name") or next;

	my @complaints = audit_script($copy);

	ok(@complaints > 0, "is found: $name") and note($complaints[0]);
}

# ---------------------------------------------------------------------------
# The objects that it creates
# ---------------------------------------------------------------------------

my $server = FastIngest->new('script', extension => 0);
my $members = q((SELECT classid, objid FROM pg_depend WHERE refclassid = 'pg_extension'::regclass AND deptype = 'e'
  AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'fast_ingest')));

sub safe_catalog
{
	my ($database, $name) = @_;

	is($server->sql(<<"EOQ", $database), '', "$name: functions that run SQL pin their search path, none runs as its owner");
SELECT p.oid::regprocedure FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang
WHERE ('pg_proc'::regclass, p.oid) IN $members AND p.prokind = 'f' AND (p.prosecdef
  OR (l.lanname <> 'c' OR p.provolatile <> 'i')
    AND NOT coalesce('search_path=pg_catalog, pg_temp' = ANY (p.proconfig), false))
EOQ
	is($server->sql(<<"EOQ", $database), 'fi_partitions fi_version', "$name: everybody may call what computes, and what reads the catalog");
SELECT string_agg(p.proname, ' ' ORDER BY p.proname) FROM pg_proc p
WHERE ('pg_proc'::regclass, p.oid) IN $members AND has_function_privilege('public', p.oid, 'EXECUTE')
  AND p.provolatile <> 'i'
EOQ
	is($server->sql(<<"EOQ", $database), <<"EOT" =~ s/\n\z//r, "$name: of the plumbing everybody may call what the type and its operators need");
SELECT string_agg(p.proname, E'\n' ORDER BY p.proname) FROM pg_proc p
WHERE ('pg_proc'::regclass, p.oid) IN $members AND p.pronamespace = 'fast_ingest'::regnamespace AND has_function_privilege('public', p.oid, 'EXECUTE')
EOQ
user_set_and
user_set_and_not
user_set_contains
user_set_eq
user_set_in
user_set_or
user_set_out
user_set_recv
user_set_send
EOT
	is($server->sql(<<"EOQ", $database), '', "$name: no table, sequence or schema is for everybody");
SELECT c.oid::regclass::text FROM pg_class c, aclexplode(c.relacl) a WHERE ('pg_class'::regclass, c.oid) IN $members AND a.grantee = 0
UNION ALL SELECT n.nspname FROM pg_namespace n, aclexplode(n.nspacl) a WHERE n.nspname = 'fast_ingest' AND a.grantee = 0
EOQ
	is($server->sql(<<"EOQ", $database), '', "$name: nothing of it depends on what others have made");
SELECT pg_describe_object(d.classid, d.objid, d.objsubid), pg_describe_object(d.refclassid, d.refobjid, d.refobjsubid) FROM pg_depend d
WHERE (d.classid, d.objid) IN $members AND d.refobjid >= 16384 AND (d.refclassid, d.refobjid) NOT IN $members
  AND d.refclassid NOT IN ('pg_extension'::regclass, 'pg_namespace'::regclass)
EOQ
	return;
}

$server->create_extension;
safe_catalog('postgres', 'as usual');
$server->sql("SELECT fi_create_partition('2024-08-12')");

# ---------------------------------------------------------------------------
# Functions with the names of PostgreSQL's own, which come first in the search path
# ---------------------------------------------------------------------------

my $look_alikes = <<'EOQ';
SET SESSION AUTHORIZATION mallory;
SET client_min_messages = warning;
DO $do$
DECLARE
  item record;
  body text := $$LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''a look-alike runs''; END'$$;
BEGIN
  FOR item IN
    SELECT DISTINCT proname AS name, oidvectortypes(proargtypes) AS arguments FROM pg_proc
    WHERE pronamespace = 'pg_catalog'::regnamespace AND prokind IN ('f', 'a') AND provariadic = 0 AND proname IN
      ('now', 'count', 'sum', 'min', 'max', 'lower', 'date_trunc', 'set_config', 'current_setting', 'current_database', 'to_regnamespace',
       'pg_has_role', 'has_table_privilege', 'has_schema_privilege', 'generate_series', 'regexp_match', 'pg_get_expr', 'starts_with',
       'clock_timestamp', 'brin_summarize_new_values', 'pg_sleep', 'unnest', 'string_to_array', 'substring', 'replace', 'eqsel',
       'eqjoinsel', 'contsel', 'contjoinsel', 'to_jsonb', 'extract', 'bool_and', 'split_part', 'starts_with', 'pg_extension_config_dump', 'pg_partition_tree', 'length')
  LOOP
    BEGIN
      EXECUTE format('CREATE FUNCTION public.%I(%s) RETURNS text %s', item.name, item.arguments, body);
    EXCEPTION WHEN feature_not_supported OR invalid_function_definition OR undefined_object OR invalid_object_definition THEN NULL;
    END;
  END LOOP;
  FOR item IN
    SELECT o.oprname AS name, o.oprleft::regtype AS l, o.oprright::regtype AS r FROM pg_operator o
    WHERE o.oprname IN ('=', '<>', '<', '<=', '>', '>=', '+', '-', '*', '||', '~', '!~~', '~~')
      AND o.oprleft <> 0 AND (o.oprleft::regtype::text || o.oprright::regtype::text) !~ 'any'
  LOOP
    EXECUTE format('CREATE OR REPLACE FUNCTION public.look_alike(%s, %s) RETURNS boolean %s', item.l, item.r, body);
    EXECUTE format('CREATE OPERATOR public.%s (LEFTARG = %s, RIGHTARG = %s, FUNCTION = public.look_alike)', item.name, item.l, item.r);
  END LOOP;
  CREATE DOMAIN public.timestamptz AS text CHECK (false);
  CREATE DOMAIN public.date AS text CHECK (false);
END $do$;
EOQ
my $temporary = <<'EOQ';
DO $do$
DECLARE
  name text;
BEGIN
  FOREACH name IN ARRAY '{events,rollup,rollup_delta,users,breakdowns,staged,merged,pg_class,pg_extension,pg_inherits,pg_proc,pg_namespace,pg_index,pg_am,pg_settings,pg_depend,pg_roles}'::text[] LOOP
    EXECUTE format('CREATE TEMPORARY TABLE %I (oid oid, nothing text)', name);
  END LOOP;
END $do$;
RESET SESSION AUTHORIZATION;
SET search_path = pg_temp, public, pg_catalog;
EOQ

# Each call, as a superuser, with nothing in it to look up
my @calls = map { "SELECT fi.$_" } (
	"fi_create_partition('2024-08-13')", "fi_partitions()", "fi_refresh()", "fi_rebuild()",
	"fi_metrics('e')", "fi_metrics('e', to_timestamp(1723464001))", "fi_metrics('e', '2024-08-12 12:00:01Z', group_by := 'page')",
	"fi_metrics('e', group_by := 'hour', time_zone := 'Asia/Kathmandu')", "fi_metrics_sources('e', '2024-08-12 12:00:01Z')",
	"fi_series('e', '2024-08-12 12:00:01Z', group_by := 'channel')", "fi_series(group_by := 'event', align := false)",
	"fi_event_names()", "fi_event_names('2024-08-12 12:00:01Z', filter := '{\"site\": \"s\"}')", "fi_live()", "fi_live('s')",
	"fi_stats('s', '2024-08-12')", "fi_top_paths('s', '2024-08-12')", "fi_version()",
	"fi_add_breakdown('mine', 'upper(path)')", "fi_refresh()", "fi_metrics('e', group_by := 'mine')", "fi_drop_breakdown('mine')",
	"fi_maintain()", "fi_schedule()", "fi_unschedule()", "fi_grant_metrics('mallory')", "fi_grant_ingest('postgres')",
	"fi_cardinality('{1,2}')", "fi_union('{1,2}')");

unshift @calls, "SELECT fi.fi_create_partition('2024-08-12')", map { "INSERT INTO fast_ingest.events (event_name, channel, user_id, ts, site_id, path) VALUES ('e', 'web', 'u$_', '2024-08-12 12:00:0${_}Z', 's', '/')" } 1 .. 5;
push @calls, "SELECT fast_ingest.user_set_eq('{1}', '{1}')", 'SELECT worker FROM fast_ingest.workers',
  'SELECT listener, received FROM fast_ingest.listeners', 'SELECT flusher, staged FROM fast_ingest.flushers',
  "UPDATE fast_ingest.events SET path = NULL", "SELECT fi.fi_refresh()",
  'BEGIN', 'DROP TABLE fast_ingest.events_20240812', 'SELECT low, high FROM fast_ingest.lost_rows', 'ROLLBACK', 'DELETE FROM fast_ingest.events',
  "SELECT fi.fi_metrics('e')", 'TRUNCATE fast_ingest.events';

# Without what differs between databases
sub s_names
{
	my ($text) = @_;

	return $text =~ s/psql:<stdin>:\d+: //gr =~ s/\b(?:hostile|clean)\b/database/gr;
}

sub run_calls
{
	my ($database, $before) = @_;
	my ($status, $out, $error) = $server->node->psql($database,
		"SET timezone = 'UTC'; $before\n\\echo calls\n" . join('', map { "$_;\n" } @calls), on_error_stop => 0);

	return ($out =~ s/.*^calls\n//msr, $error);
}

$server->sql(<<'EOQ');
CREATE ROLE mallory LOGIN;
CREATE DATABASE clean;
CREATE DATABASE hostile;
EOQ
$server->sql('GRANT CREATE ON SCHEMA public TO mallory', 'hostile');
my ($status, $out, $error) = $server->node->psql('hostile', $look_alikes);
is($error, '', 'look-alikes of an ordinary role');
$server->sql('CREATE SCHEMA fi; CREATE EXTENSION fast_ingest SCHEMA fi', 'clean');
$server->sql('SET search_path = public; CREATE SCHEMA fi; CREATE EXTENSION fast_ingest SCHEMA fi', 'hostile');
safe_catalog('hostile', 'among look-alikes');

($status, $out, $error) = $server->node->psql('hostile', "SET search_path = public, pg_catalog; SELECT now();");
like($error, qr/a look-alike runs/, 'a look-alike runs where it is looked up');

my ($expected, $errors) = run_calls('clean', '');
my ($found, $found_errors) = run_calls('hostile', "SET SESSION AUTHORIZATION mallory; $temporary");

isnt($expected, '', 'calls have results');
unlike($found_errors, qr/look-alike/, 'no look-alike runs');
is(s_names($found_errors), s_names($errors), 'the errors are the same');
is(s_names($found), s_names($expected), 'so are the results');

# ---------------------------------------------------------------------------
# Objects that existed before are not taken over
# ---------------------------------------------------------------------------

$server->sql('CREATE DATABASE taken');
$server->sql('GRANT CREATE ON SCHEMA public TO mallory; GRANT CREATE ON DATABASE taken TO mallory', 'taken');
foreach my $object (
	[ 'SCHEMA fast_ingest', '' ],
	[ 'TYPE public.fi_user_set', ' AS ENUM ()' ],
	[ 'FUNCTION public.fi_refresh', '() RETURNS void LANGUAGE sql AS $$ SELECT $$' ],
	[ 'FUNCTION public.fi_partitions', '() RETURNS void LANGUAGE sql AS $$ SELECT $$' ],
	[ 'FUNCTION public.fi_version', '() RETURNS void LANGUAGE sql AS $$ SELECT $$' ])
{
	my ($name, $definition) = @$object;

	$server->sql("SET SESSION AUTHORIZATION mallory; CREATE $name$definition", 'taken');
	($status, $out, $error) = $server->node->psql('taken', 'CREATE EXTENSION fast_ingest SCHEMA public');
	like($error, qr/already exists|must be|is not a member/, "not taken over: $name");
	is($server->sql("SELECT count(*) FROM pg_extension WHERE extname = 'fast_ingest'", 'taken'), 0, 'nothing is created');
	$server->sql("DROP $name", 'taken');
}
$server->sql('CREATE EXTENSION fast_ingest SCHEMA public', 'taken');
safe_catalog('taken', 'at last');

# Without the extension a schema of its name is left alone, whatever it holds

$server->sql('CREATE DATABASE another');
$server->sql('GRANT CREATE ON DATABASE another TO mallory', 'another');
$server->sql(<<'EOQ', 'another');
SET SESSION AUTHORIZATION mallory;
CREATE SCHEMA fast_ingest;
CREATE TABLE fast_ingest.events (ts timestamptz) PARTITION BY RANGE (ts);
CREATE TABLE fast_ingest.events_1 PARTITION OF fast_ingest.events FOR VALUES FROM ('2024-08-12 00:00Z') TO ('2024-08-13 00:00Z');
CREATE TABLE fast_ingest.events_2 PARTITION OF fast_ingest.events FOR VALUES FROM ('2024-08-13 00:00Z') TO ('2024-08-14 00:00Z');
CREATE TABLE fast_ingest.rollup (breakdown smallint, level smallint, bucket timestamptz);
INSERT INTO fast_ingest.rollup VALUES (1, 1, '2024-08-12 12:00Z'), (1, 1, '2024-08-13 12:00Z');
CREATE TABLE fast_ingest.rollup_delta ();
DO $do$ BEGIN
  EXECUTE (SELECT 'CREATE TABLE fast_ingest.lost_rows (' || string_agg('c' || n || ' text', ', ') || ')' FROM generate_series(1, 1000) n);
END $do$;
EOQ
foreach my $command ('DROP TABLE fast_ingest.events_1', 'ALTER TABLE fast_ingest.events DETACH PARTITION fast_ingest.events_2',
	"ALTER TABLE fast_ingest.events ATTACH PARTITION fast_ingest.events_2 FOR VALUES FROM ('2024-08-13 00:00Z') TO ('2024-08-14 00:00Z')",
	'DROP SCHEMA fast_ingest CASCADE')
{
	($status, $out, $error) = $server->node->psql('another', "SET SESSION AUTHORIZATION mallory; SET client_min_messages = error; $command");
	is($error, '', "where there is no extension: $command");
	is($server->sql('SELECT count(*) FROM fast_ingest.lost_rows', 'another'), 0, 'nothing is noted') unless $command =~ /SCHEMA/;
}
unlike(slurp_file($server->node->logfile), qr/was terminated by signal/, 'and nothing crashes');
$server->node->stop;

done_testing();
