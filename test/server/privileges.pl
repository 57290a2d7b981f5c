# Everything runs with the least privilege: the workers as an ordinary role that owns the table of
# events and little else. A role that may ask gets answers and sees no table. What comes with the
# definition of the table runs as its owner, whoever asks. Nothing that clients send over HTTP
# becomes SQL.

use strict;
use warnings;
use utf8;

use Encode ();
use FindBin;
use lib "$FindBin::RealBin/../perl";

use FastIngest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $server = FastIngest->new(
	'privileges',
	extension => 0,
	conf => "fast_ingest.refresh_backlog = 50\nfast_ingest.request_timeout = '1s'\n"
	  . "wal_level = replica\nmax_wal_senders = 4\nhot_standby = on\n");
my $login = $server->major_version >= 17 ? 'NOLOGIN' : 'LOGIN';

# No role has rights other than those granted here.
$server->sql(<<"EOQ");
CREATE ROLE ingest NOSUPERUSER NOINHERIT $login;
CREATE ROLE analyst LOGIN;
CREATE ROLE mallory LOGIN;
REVOKE CONNECT, TEMPORARY ON DATABASE postgres FROM PUBLIC;
REVOKE ALL ON SCHEMA public FROM PUBLIC;
CREATE SCHEMA api;
ALTER DATABASE postgres SET search_path = api;
CREATE TABLE public.secret (secret text);
EOQ
$server->create_extension;

my $INGEST = $server->sql("SELECT fi_grant_ingest('ingest')");
my $METRICS = $server->sql("SELECT fi_grant_metrics('analyst')");

$server->node->append_conf('postgresql.conf', "fast_ingest.role = 'ingest'");
$server->restart;

# The errors of a role's statements, or ''
sub errors_of
{
	my ($role, $statements) = @_;
	my ($status, $out, $error) = $server->node->psql('postgres',
		"\\set VERBOSITY verbose\nSET SESSION AUTHORIZATION $role;\n$statements",
		on_error_stop => 0);

	return join "\n", $error =~ /ERROR:  (.*)/g;
}

sub answers_to
{
	my ($role, $query) = @_;

	return $server->sql("SET SESSION AUTHORIZATION $role; $query");
}

# Statements, one a line, of which each must be refused for want of a privilege
sub refuses
{
	my ($role, $statements) = @_;

	foreach my $statement (grep { /\S/ } split /\n/, $statements)
	{
		like(errors_of($role, "$statement;"), qr/\A42501: /, "$role may not: $statement");
	}
	return;
}

# The function of the extension that a role may call and the public may not
sub functions_of
{
	my ($role) = @_;

	return $server->sql(<<"EOQ");
SELECT string_agg(DISTINCT p.proname, ' ' ORDER BY p.proname)
FROM pg_proc p JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid
WHERE d.deptype = 'e' AND d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'fast_ingest')
  AND has_function_privilege('$role', p.oid, 'EXECUTE') AND NOT has_function_privilege('mallory', p.oid, 'EXECUTE')
EOQ
}

# The tables and sequences of the extension that a role may do anything with
sub tables_of
{
	my ($role) = @_;

	return $server->sql(<<"EOQ");
SELECT coalesce(string_agg(c.relname || ' ' || p, ', ' ORDER BY c.relname, p), '')
FROM pg_class c, unnest('{SELECT,INSERT,UPDATE,DELETE,TRUNCATE,REFERENCES,TRIGGER}'::text[]) p
WHERE c.relnamespace = 'fast_ingest'::regnamespace AND c.relname !~ '^events'
  AND CASE c.relkind WHEN 'S' THEN p = 'SELECT' AND has_sequence_privilege('$role', c.oid, 'USAGE, SELECT, UPDATE')
    WHEN 'r' THEN CASE WHEN p IN ('DELETE', 'TRUNCATE', 'TRIGGER') THEN has_table_privilege('$role', c.oid, p)
      ELSE has_any_column_privilege('$role', c.oid, p) END END
EOQ
}

# ---------------------------------------------------------------------------
# Workers without rights
# ---------------------------------------------------------------------------

is($server->sql(<<'EOQ'), "fast_ingest flusher|ingest\nfast_ingest maintenance|ingest\nfast_ingest query|ingest", 'the workers run as the role');
SELECT backend_type, usename FROM pg_stat_activity WHERE backend_type LIKE 'fast\_ingest %' AND datname IS NOT NULL ORDER BY 1
EOQ

$server->sql("ALTER TABLE fast_ingest.events ADD CONSTRAINT no_bots CHECK (user_id <> 'bot')");
is($server->post_bulk([ map { event($_, timestamp => $NOON + 86400 * ($_ % 3), site_id => 's') } 1 .. 99 ])->{json}{accepted},
	99, 'events of three days');
is($server->post_bulk([ map { event($_, timestamp => $NOON + 86400 * ($_ % 3), site_id => 's') } 1 .. 99 ])->{json}{accepted},
	99, 'again');
is($server->count, 99, 'are stored once, in partitions made for them');
is($server->sql(q(SELECT DISTINCT relowner::regrole FROM pg_class WHERE relname ~ '^events' AND relkind IN ('r', 'p', 'i'))),
	'ingest', 'which are the role\'s');
is($server->post_event(event(1, user_id => 'bot'))->{status}, 422, 'what the table refuses');
is($server->sql('SELECT sqlstate FROM fast_ingest.dead_letters'), '23514', 'is a dead letter');
ok(wait_until(sub { $server->sql('SELECT count(*) FROM fast_ingest.rollup_delta') == 0 && $server->sql('SELECT count(*) FROM fast_ingest.users') == 99 }),
	'the maintenance worker refreshes');
is($server->get('/metrics?event_name=page_view')->{body}, '{"event_name":"page_view","total_events":99,"unique_users":99,"raw_rows":0}',
	'GET /metrics');
is($server->get('/metrics?event_name=page_view&from=' . ($NOON + 7))->{json}{total_events},
	$server->count('ts >= to_timestamp(' . ($NOON + 7) . ')'), 'GET /metrics that reads raw rows');
is($server->get("/stats?site_id=s&date=$DAY")->{json}{total_views}, 33, 'GET /stats');

$server->set('fast_ingest.partitions_ahead' => 1, 'fast_ingest.retention' => '3650d');
wait_until(sub { $server->sql('SHOW fast_ingest.retention') eq '3650d' });
my $tomorrow = answers_to('ingest', 'SELECT action, partition FROM fi_maintain()');
is(() = $tomorrow =~ /^created\|fast_ingest\.events_/mg, 2, 'fi_maintain() makes partitions ahead');
$server->set('fast_ingest.retention' => '1d');
wait_until(sub { $server->sql('SHOW fast_ingest.retention') eq '1d' });
answers_to('ingest', "DELETE FROM fast_ingest.events WHERE user_id = 'user-1'");
is(() = answers_to('ingest', 'SELECT action, partition FROM fi_maintain()') =~ /^dropped\|/mg, 3, 'and drops old ones');
is($server->get('/metrics?event_name=page_view')->{json}{total_events}, 98, 'the metrics stay, with what was deleted counted before');
is(tables_of('ingest'), 'dead_letters DELETE, dead_letters INSERT, dead_letters SELECT, dead_letters UPDATE', 'it has rights on one table beside its own');
is(functions_of('ingest'), 'events_changed events_inserted events_truncated fi_create_partition fi_dead_letters fi_maintain fi_refresh fi_retry_dead_letters fi_schedule fi_unschedule', 'and on functions for partitions, dead letters and jobs');

refuses('ingest', <<'EOQ');
SELECT * FROM pg_authid
SELECT * FROM public.secret
SELECT * FROM fast_ingest.users
SELECT * FROM fast_ingest.secret
SELECT * FROM fast_ingest.rollup
DELETE FROM fast_ingest.rollup_delta
INSERT INTO fast_ingest.rollup_state VALUES (now(), now(), 0)
INSERT INTO fast_ingest.breakdowns VALUES (200, 'mine', 'path', NULL, 2, 10)
DROP TABLE fast_ingest.users
SELECT fi_add_breakdown('mine', 'path')
SELECT fi_rebuild()
SELECT fi_erase_user('user-1')
SELECT fi_status()
SELECT * FROM fast_ingest.workers
SELECT * FROM fast_ingest.listeners
SELECT * FROM fast_ingest.flushers
SELECT fast_ingest.publish_api_keys()
SELECT fi_metrics('page_view')
SELECT fi_grant_metrics('ingest')
COPY (SELECT 1) TO PROGRAM 'true'
SELECT pg_read_file('postgresql.conf')
ALTER EXTENSION fast_ingest UPDATE
DROP EXTENSION fast_ingest
ALTER FUNCTION fi_refresh() RESET ALL
CREATE TABLE public.t ()
CREATE TABLE api.t ()
CREATE SCHEMA mine
CREATE ROLE mine
SET ROLE postgres
ALTER SYSTEM SET work_mem = '1GB'
EOQ

# ---------------------------------------------------------------------------
# No grant too many
# ---------------------------------------------------------------------------

my $n = 0;

# a session of the role tries whether it may connect
$server->sql('ALTER ROLE ingest LOGIN');

# Everything that the role has to do. Returns what of it failed.
sub what_fails
{
	my ($status, $out, $error) = $server->node->psql('postgres', 'SELECT 1', extra_params => [ '-U', 'ingest' ]);
	my @failed = $error =~ /permission denied for database/ ? 'connecting' : ();
	my $day = $NOON + 86400 * ++$n;

	push @failed, 'storing' if $server->post_event(event($n, timestamp => $day))->{status} ne 202;
	push @failed, 'burying' if $server->post_event(event($n, timestamp => $day, user_id => 'bot'))->{status} ne 422;
	push @failed, 'retrying' if $server->post('/dead_letters/retry', { all => JSON::PP::true })->{status} ne 200;
	push @failed, grep { !/pg_cron is not created/ } split /\n/, errors_of('ingest', <<'EOQ');
SELECT fi_refresh();
SELECT fi_create_partition('2031-01-01');
BEGIN;
SELECT fi_maintain();
ROLLBACK;
SELECT fi_schedule();
SELECT fi_unschedule();
DO $$
DECLARE
  partition regclass;
BEGIN
  FOR partition IN SELECT inhrelid::regclass FROM pg_inherits WHERE inhparent = 'fast_ingest.events'::regclass LOOP
    EXECUTE format('DROP TABLE %s', partition);
    EXIT WHEN partition IS NULL;
  END LOOP;
  RAISE EXCEPTION 'pg_cron is not created' USING HINT = 'This only puts the partitions back.';
END $$;
EOQ
	return join ', ', @failed;
}

$server->set('fast_ingest.retention' => '1000d');
is(what_fails(), '', 'with all grants, everything works');
like($INGEST, qr/^ALTER TABLE fast_ingest\.events OWNER TO ingest$/m, 'fi_grant_ingest() says what it does');

my $partition = $server->sql("SELECT min(inhrelid::regclass::text) FROM pg_inherits WHERE inhparent = 'fast_ingest.events'::regclass");

foreach my $command (split(/\n/, $INGEST), "ALTER TABLE $partition OWNER TO ingest")
{
	my $undo = $command =~ s/^GRANT (.*) TO ingest$/REVOKE $1 FROM ingest/r =~ s/OWNER TO ingest$/OWNER TO postgres/r;

	isnt($undo, $command, "undone: $command");
	$server->sql($undo);

	my $failed = what_fails();

	isnt($failed, '', 'something fails') and note($failed);
	$server->sql($command);
	$server->wait_ready;
	is($server->wait_for_staged(0), 0, 'until it is granted again');
}
is(what_fails(), '', 'with all grants again, everything works');

# Functions that others make beside ours are not called in place of ours, nor keep ours from being called

is(errors_of('ingest', <<'EOQ'), '', 'the role may make functions beside the tables');
CREATE FUNCTION fast_ingest.user_set_in(text) RETURNS api.fi_user_set LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''called by %'', current_user; END';
CREATE FUNCTION fast_ingest.user_set_contains(api.fi_user_set, integer) RETURNS boolean LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''called by %'', current_user; END';
CREATE FUNCTION fast_ingest.forget_user_in_times(bytea, integer) RETURNS bytea LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''called by %'', current_user; END';
EOQ
$server->sql(<<'EOQ');
GRANT USAGE, CREATE ON SCHEMA api TO mallory;
DO $$BEGIN PERFORM fi_create_partition('2025-01-05'); END$$;
INSERT INTO fast_ingest.events (event_name, channel, user_id, ts) VALUES ('e', 'c', 'beside', '2025-01-05 12:00Z');
DO $$BEGIN PERFORM fi_refresh(); END$$;
EOQ
is(errors_of('mallory', <<'EOQ'), '', 'another one beside the functions');
CREATE FUNCTION api.fi_series(text, timestamptz, timestamptz, text, text, integer, jsonb, text)
	RETURNS TABLE ("time" timestamptz, group_key text, is_other boolean, total_events bigint, unique_users bigint)
	LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''called by %'', current_user; END';
EOQ
is($server->sql("SELECT count(*) FROM fi_sparkline('e', '2025-01-05 12:00Z', '2025-01-05 13:00Z')"), 1, 'fi_sparkline() calls fi_series()');
is($server->sql("SELECT users FROM fi_erase_user('beside')"), 1, 'fi_erase_user() calls what is the extension\'s');
$server->sql('DROP OWNED BY mallory; DROP FUNCTION fast_ingest.user_set_in(text), fast_ingest.user_set_contains(api.fi_user_set, integer), fast_ingest.forget_user_in_times(bytea, integer)');

# Workers of the role check API keys, though the role cannot read them

my $key = $server->sql("SELECT fi_create_api_key('client', '{read}')");
my @with_key = (headers => [ 'Authorization', "Bearer $key" ]);

$server->set('fast_ingest.require_api_key' => 'on');
$server->restart;
is($server->wait_for_answer(200, sub { $server->get('/metrics?event_name=page_view', @with_key) })->{status}, 200, 'a key is known after a restart');
is_error($server->get('/metrics?event_name=page_view'), 401, qr/an API key is needed/, 'and needed');
refuses('ingest', <<'EOQ');
SELECT * FROM fast_ingest.api_keys
DELETE FROM fast_ingest.api_keys
SELECT fi_api_keys()
SELECT fi_create_api_key('mine')
SELECT fi_revoke_api_key('client')
EOQ
$server->set('fast_ingest.require_api_key' => 'off');
is($server->wait_for_answer(200, sub { $server->get('/metrics?event_name=page_view') })->{status}, 200, 'not needed any more');
$server->books_balance;

# ---------------------------------------------------------------------------
# Answers without rights
# ---------------------------------------------------------------------------

my @queries = map { "SELECT $_" } (
	"fi_metrics('page_view')",
	"fi_metrics('page_view', '2025-01-05 12:00:01Z'::timestamptz, group_by => 'page')",
	"fi_metrics('page_view', to_timestamp(1736078401))",
	"fi_metrics('page_view', '2025-01-05 12:00:01Z', group_by => 'hour', fill => false)",
	"fi_metrics('page_view', '2025-01-05 12:00:01Z', group_by => 'day')",
	"fi_metrics_sources('page_view', '2025-01-05 12:00:01Z')",
	"fi_series('page_view', '2025-01-05 12:00:01Z', group_by => 'page')",
	"fi_event_names('2025-01-05 12:00:01Z')",
	"count(*) FROM fi_live('s')",
	"fi_sparkline('page_view', '2025-01-05', '2025-01-07')",
	'fi_breakdowns()',
	"sum(total_events) FROM fast_ingest.metrics_by_day WHERE breakdown = 'page'",
	"fi_stats('s', '2025-01-06')",
	"fi_top_paths('s', '2025-01-06')");

# Merged rows, deltas, changed buckets, raw rows
$server->set('fast_ingest.refresh_backlog' => 0);
$server->sql('SELECT fi_refresh()');
$server->sql(<<'EOQ');
SELECT fi_create_partition(day) FROM unnest('{2025-01-05,2025-01-06}'::date[]) day;
INSERT INTO fast_ingest.events (event_name, channel, user_id, ts, site_id, path)
SELECT 'page_view', 'sql', 'late-' || n, '2025-01-06 11:00Z'::timestamptz + n * interval '1 minute', 's', '/' || n % 3 FROM generate_series(1, 50) n;
DELETE FROM fast_ingest.events WHERE user_id = 'late-7';
EOQ
is($server->sql(q(SELECT DISTINCT relowner::regrole FROM pg_class WHERE relname ~ '^events' AND relkind IN ('r', 'p', 'i'))),
	'ingest', 'partitions that a superuser makes are the role\'s');
foreach my $query (@queries)
{
	my $answer = $server->sql($query);

	isnt($answer, '', $query);
	is(answers_to('analyst', $query), $answer, 'a role that may ask gets the same answer');
	is(answers_to('analyst', "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; $query; COMMIT"), $answer, 'read-only, in one snapshot');
	is(answers_to('analyst', 'SET ' . ($server->major_version >= 16 ? 'debug_parallel_query' : 'force_parallel_mode') . " = on; $query"),
		$answer, 'by parallel workers');
}
is(functions_of('analyst'), 'fi_breakdowns fi_event_names fi_live fi_metrics fi_metrics_sources fi_series fi_sparkline fi_stats fi_top_paths open_buckets', 'these functions are all it may call');
is(tables_of('analyst'), '', 'and it has no rights on tables');
refuses('analyst', <<'EOQ');
SELECT user_id FROM fast_ingest.events
INSERT INTO fast_ingest.events (event_name, channel, user_id, ts) VALUES ('e', 'c', 'u', now())
SELECT * FROM fast_ingest.users
SELECT * FROM fast_ingest.secret
SELECT * FROM fast_ingest.rollup
SELECT * FROM fast_ingest.dead_letters
SELECT fi_refresh()
SELECT fi_rebuild()
SELECT fi_erase_user('user-1')
SELECT fi_maintain()
SELECT fi_status()
SELECT * FROM fast_ingest.workers
SELECT fi_create_partition('2031-01-01')
SELECT fi_add_breakdown('user', 'user_id')
SELECT fi_drop_breakdown('channel')
SELECT fi_schedule()
SELECT fi_unschedule()
SELECT fi_grant_ingest('analyst')
SELECT fi_grant_metrics('mallory')
EOQ
$server->sql('GRANT USAGE ON SCHEMA api TO mallory');
refuses('mallory', join "\n", @queries);
foreach my $command (split /\n/, $METRICS)
{
	$server->sql($command =~ s/^GRANT (.*) TO analyst$/REVOKE $1 FROM analyst/r);
	isnt(errors_of('analyst', join '', map { "$_;" } @queries), '', "needed: $command");
	$server->sql($command);
}
is(errors_of('analyst', join '', map { "$_;" } @queries), '', 'with all of them it may ask');

# Monitoring

$server->sql('CREATE ROLE monitor LOGIN; GRANT pg_monitor TO monitor; GRANT USAGE ON SCHEMA api TO monitor');
is(errors_of('monitor', 'SELECT fi_status(); SELECT fi_streams(); SELECT * FROM fast_ingest.workers; SELECT * FROM fast_ingest.listeners; SELECT * FROM fast_ingest.flushers; SELECT fi_version();'),
	'', 'pg_monitor sees the workers');
is(functions_of('monitor'), 'fi_status fi_streams', 'and may call nothing else');
is(tables_of('monitor'), '', 'nor see a table');
refuses('monitor', <<'EOQ');
SELECT * FROM fast_ingest.events
SELECT * FROM fast_ingest.users
SELECT fi_metrics('page_view')
SELECT fast_ingest.union_users('{1}')
SELECT fast_ingest.unpack_minutes('{}', '')
EOQ

# A hot standby, which writes nothing

my $standby = PostgreSQL::Test::Cluster->new('standby');

$server->node->append_conf('pg_hba.conf', 'local replication all trust');
$server->node->reload;
$server->node->backup('backup');
$standby->init_from_backup($server->node, 'backup', has_streaming => 1);
$standby->append_conf('postgresql.conf', 'fast_ingest.port = ' . PostgreSQL::Test::Cluster::get_free_port());
$standby->start;
$server->node->wait_for_catchup($standby, 'replay', $server->node->lsn('write'));
is($standby->safe_psql('postgres', "SET SESSION AUTHORIZATION analyst; $queries[$_]"), $server->sql($queries[$_]), "a standby: $queries[$_]")
  foreach 0, 1, $#queries;
$standby->stop;

# Row security is never ignored silently

$server->sql('ALTER TABLE fast_ingest.events ENABLE ROW LEVEL SECURITY');
like(errors_of('analyst', "$_;"), qr/\A0A000: /, "row security: no answer: $_") foreach grep { !/fi_breakdowns/ } @queries;
$server->sql('ALTER TABLE fast_ingest.events FORCE ROW LEVEL SECURITY');
is($server->sql($queries[1]) =~ tr/\n//, 2, 'who sees all rows is answered, though the owner would not see them');
is($server->get('/metrics?event_name=page_view')->{status}, 500, 'workers as the owner, whom it hides rows from, do not answer');
$server->sql('ALTER TABLE fast_ingest.events NO FORCE ROW LEVEL SECURITY, DISABLE ROW LEVEL SECURITY');

# ---------------------------------------------------------------------------
# What belongs to the table runs as its owner
# ---------------------------------------------------------------------------

# The role as which the functions ran
sub ran_as
{
	my ($offset) = @_;
	my %users = map { $_ => 1 } substr(slurp_file($server->node->logfile), $offset) =~ /hostile function runs as (\w+)/g;

	return join ' ', sort keys %users;
}

my $hostile = q(LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RAISE LOG 'hostile function runs as %', current_user; RETURN 'web'; END $$);

$server->sql(<<"EOQ");
SET SESSION AUTHORIZATION ingest;
CREATE TYPE fast_ingest.hostile AS ENUM ('web', 'sql');
CREATE FUNCTION fast_ingest.hostile(fast_ingest.hostile) RETURNS text $hostile;
CREATE CAST (fast_ingest.hostile AS text) WITH FUNCTION fast_ingest.hostile(fast_ingest.hostile);
ALTER TABLE fast_ingest.events ALTER channel TYPE fast_ingest.hostile USING channel::fast_ingest.hostile;
EOQ
foreach my $statement (
	"INSERT INTO fast_ingest.events (event_name, channel, user_id, ts) VALUES ('hostile', 'web', 'u', '2025-01-06 12:00:01Z')",
	"SELECT fi_add_breakdown('hostile', 'channel')",
	"SELECT fi_metrics('hostile', '2025-01-06 12:00:00.5Z'::timestamptz, group_by => 'hostile')",
	'SELECT fi_rebuild()')
{
	my $offset = -s $server->node->logfile;

	$server->sql($statement);
	is(ran_as($offset), 'ingest', "a superuser's $statement");
}

my $offset = -s $server->node->logfile;

is(answers_to('analyst', "SELECT total_events FROM fi_metrics('hostile', '2025-01-06 12:00:00.5Z'::timestamptz, group_by => 'hostile')"), 1, 'an answer');
is(ran_as($offset), 'ingest', 'evaluated as the owner');
$offset = -s $server->node->logfile;
$server->sql("SELECT fi_drop_breakdown('hostile')");
is(ran_as($offset), '', 'dropping a breakdown evaluates nothing');
$server->sql(<<'EOQ');
ALTER TABLE fast_ingest.events ALTER channel TYPE text USING 'sql';
DROP TYPE fast_ingest.hostile CASCADE;
EOQ

# Nor does what is done behind its commands look anything up in its search path

$server->sql(<<"EOQ");
SET SESSION AUTHORIZATION ingest;
CREATE FUNCTION fast_ingest.hostile(smallint, integer) RETURNS boolean @{[ $hostile =~ s/'web'/true/r ]};
CREATE OPERATOR fast_ingest.= (LEFTARG = smallint, RIGHTARG = integer, FUNCTION = fast_ingest.hostile);
EOQ
foreach my $statement ('SELECT 1::smallint = 1', 'DROP TABLE fast_ingest.events_20250106',
	'ALTER TABLE fast_ingest.events DETACH PARTITION fast_ingest.events_20250106', 'SELECT fi_refresh()', 'SELECT fi_maintain()', 'TRUNCATE fast_ingest.events')
{
	$offset = -s $server->node->logfile;
	$server->sql("SET SESSION AUTHORIZATION ingest; SET search_path = fast_ingest, api, pg_catalog; BEGIN; $statement; ROLLBACK");
	is(ran_as($offset), $statement =~ /::smallint/ ? 'ingest' : '', "with a search path of the role's own: $statement");
}
$server->sql('DROP OPERATOR fast_ingest.= (smallint, integer); DROP FUNCTION fast_ingest.hostile(smallint, integer)');

# Functions that breakdowns call do not see the search path of who inserts

$server->sql(<<"EOQ");
CREATE FUNCTION api.kind(text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS \$\$ BEGIN RETURN lower(\$1); END \$\$;
SELECT fi_add_breakdown('kind', 'api.kind(path)');
CREATE SCHEMA mallory AUTHORIZATION mallory;
GRANT USAGE ON SCHEMA mallory TO PUBLIC;
GRANT USAGE ON SCHEMA fast_ingest TO mallory;
GRANT INSERT, UPDATE, DELETE, SELECT ON fast_ingest.events TO mallory;
SET SESSION AUTHORIZATION mallory;
CREATE FUNCTION mallory.lower(text) RETURNS text $hostile;
EOQ
$offset = -s $server->node->logfile;
$server->sql(<<'EOQ');
SET SESSION AUTHORIZATION mallory;
SET search_path = mallory, pg_catalog;
INSERT INTO fast_ingest.events (event_name, channel, user_id, ts, path) VALUES ('kind', 'web', 'u', '2025-01-06 12:00:01Z', 'A');
UPDATE fast_ingest.events SET path = 'B' WHERE event_name = 'kind';
EOQ
is(ran_as($offset), '', 'a function of who inserts does not run');
$server->sql("SELECT fi_refresh()");
is(answers_to('analyst', "SELECT group_key FROM fi_metrics('kind', group_by => 'kind')"), 'b', 'the right one does');

# ---------------------------------------------------------------------------
# Text of clients never becomes SQL
# ---------------------------------------------------------------------------

my @texts = ("line\nline", "\x{2028}\x{2029}", "\x{1F600}", split /\n/, <<'EOT');
'
"
''
\
\'
';DROP TABLE fast_ingest.events;--
') UNION SELECT 1 --
$$;SELECT pg_sleep(9);$$
$1
:x
/*
%s%n%1$s%n%x
{"a":1}
E'\\x27'
a;b
pg_sleep(9)
0x27
../../etc
EOT
my %statements = ((map { ( "GET /$_" => 1 ) } qw(metrics series event_names live stats)), 'looking for the extension' => 1, 'storing staged events' => 1,
	'storing a dead letter' => 1, 'creating a partition' => 1, 'refreshing the rollup' => 1, 'looking for partitions' => 1, 'dropping a partition' => 1,
	'looking for BRIN indexes' => 1, 'summarizing a BRIN index' => 1, 'cleaning cron.job_run_details' => 1, 'looking at the API keys' => 1, '' => 1);

sub objects
{
	return $server->sql(q(SELECT (SELECT md5(string_agg(c.oid || relname, ',' ORDER BY c.oid)) FROM pg_class c WHERE relnamespace <> 'pg_toast'::regnamespace),
		(SELECT count(*) FROM pg_proc), (SELECT count(*) FROM pg_roles), (SELECT count(*) FROM pg_namespace)));
}

my $before = objects();
my %answers;

foreach my $text (@texts)
{
	my $escaped = join '', map { sprintf '%%%02X', ord } split //, Encode::encode('UTF-8', $text);
	my $name = Encode::encode('UTF-8', $text);

	$answers{ $server->get("/metrics?event_name=page_view&$_=$escaped")->{status} }++
	  foreach qw(from to group_by channel site page path tag campaign_id timezone week_start fill align limit cursor format), $escaped,
	  "metadata.$escaped";
	$answers{ $server->get("/series?from=1736078401&to=1736164801&$_=$escaped")->{status} }++
	  foreach qw(event_name from to step group_by top channel site timezone week_start fill align format), $escaped, "metadata.$escaped";
	$answers{ $server->get("/event_names?$_=$escaped")->{status} }++ foreach qw(from to channel page tag format), $escaped, "metadata.$escaped";
	$answers{ $server->get("/live?$_=$escaped")->{status} }++ foreach qw(site top), $escaped;
	$answers{ $server->get("/metrics?event_name=$escaped&$_&channel=$escaped")->{status} }++
	  foreach 'group_by=channel', 'group_by=page&from=1736078401', 'from=1736078401';
	$answers{ $server->get("/stats?site_id=$escaped&$_=$escaped")->{status} }++ foreach qw(date limit);
	$answers{ $server->get("/stats?site_id=$escaped")->{status} }++;

	my $event = { map { $_ => $text } qw(event_name channel user_id campaign_id site_id path idempotency_key) };

	is($server->post_event({ %$event, timestamp => 1736164800, tags => [$text], metadata => { $text => $text } })->{status}, 202, "an event of $name");
	is($server->node->safe_psql('postgres', <<"EOQ"), 1, 'is stored as it is');
SELECT count(*) FROM fast_ingest.events e, convert_from('\\x@{[ unpack 'H*', $name ]}', 'UTF8') AS t
WHERE (event_name, channel, user_id, campaign_id, site_id, path) = (t, t, t, t, t, t) AND tags = ARRAY[t] AND metadata = jsonb_build_object(t, t)
EOQ
	is($server->query('/metrics', event_name => $name, channel => $name =~ s/([\\,])/\\$1/gr)->{json}{total_events}, 1, 'and counted');
	is($server->post_event(event(1, timestamp => $text))->{status}, 400, 'it is no timestamp');
}
is(join(' ', sort keys %answers), '200 400 422', 'queries are answered, or refused as bad ones, or need events that were dropped');
is($server->get("/metrics?event_name=a%00b")->{status}, 400, 'NUL in a query');
is($server->post('/events', '{"event_name":"a\u0000b","channel":"c","user_id":"u","timestamp":1723464000}')->{status}, 400, 'NUL in an event');
is(objects(), $before, 'nothing was made, changed or dropped');
is($server->sql('SELECT count(*) FROM pg_stat_activity WHERE backend_type = \'fast_ingest listener\' AND datname IS NULL'),
	1, 'the listener has no database');

my @unknown = grep { !$statements{ s/\?.*//sr } } split /\x01/,
  $server->sql(q(SELECT string_agg(query, E'\x01') FROM pg_stat_activity WHERE backend_type ~ 'fast_ingest (flusher|query|maintenance)'));

is("@unknown", '', 'workers do what they are made for');
$server->books_balance;
$server->node->stop;

done_testing();
