# fi_schedule() has pg_cron refresh the rollup and maintain the partitions. Whatever happens to the
# extension, no job is left that fails. Without pg_cron a hint says what to do.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use FastIngest;
use PostgreSQL::Test::Utils;
use Test::More;

# A server with pg_cron in this database; it connects like any other client.
sub cron_server
{
	my ($name, $cron_database, %opt) = @_;
	my $server = FastIngest->new($name, start => 0, %opt);

	$server->node->append_conf('postgresql.conf', <<"EOC");
shared_preload_libraries = 'pg_cron,fast_ingest'
cron.database_name = '$cron_database'
cron.host = '@{[$server->node->host]}'
fast_ingest.refresh_backlog = 0
EOC
	$server->node->start;
	return $server;
}

sub jobs
{
	my ($server) = @_;

	return $server->sql('SELECT jobname, schedule, username, database, active FROM cron.job ORDER BY 1, 3');
}

sub fails
{
	my ($server, $query, $pattern, $name, $database) = @_;
	my ($result, $stdout, $stderr) =
	  $server->node->psql($database || 'postgres', "\\set VERBOSITY verbose\n$query");

	like($stderr, $pattern, $name);
	return;
}

my $server = cron_server('schedule', 'postgres');
my $n = 0;

$server->create_extension;

# pg_cron is loaded, but its extension is not created

fails($server, 'SELECT * FROM fi_schedule()', qr/ERROR:  55000: .*pg_cron.*DETAIL: .*HINT:  Run CREATE EXTENSION pg_cron/s,
	'no extension pg_cron: the hint says to create it');
is($server->sql('SELECT fi_unschedule()'), 0, 'no extension pg_cron: nothing to remove');

# Jobs

$server->sql('CREATE EXTENSION pg_cron');
my $seconds = $server->sql("SELECT string_to_array(substring(extversion FROM '^[0-9]+[.][0-9]+'), '.')::int[] >= '{1,5}' FROM pg_extension WHERE extname = 'pg_cron'");
my $often = $seconds eq 't' ? '5 seconds' : '* * * * *';
my $refresh = "fast_ingest refresh|$often|postgres|postgres|t";
my $maintain = 'fast_ingest maintain|17 * * * *|postgres|postgres|t';

is($server->sql('SELECT * FROM fi_schedule() ORDER BY 1'), "fast_ingest maintain|17 * * * *\nfast_ingest refresh|$often",
	'fi_schedule() says what it did');
is(jobs($server), "$maintain\n$refresh", 'there are two jobs');
$server->sql(q(SELECT * FROM fi_schedule(maintain_schedule => '* * * * *')));
is(jobs($server), ($maintain =~ s/17 \*/* */r) . "\n$refresh", 'fi_schedule() again replaces them');
fails($server, q(SELECT * FROM fi_schedule('now and then')), qr/ERROR: .*now and then/, 'pg_cron refuses what is no schedule');
is(jobs($server), ($maintain =~ s/17 \*/* */r) . "\n$refresh", 'then they stay');

# Jobs run whatever the defaults of database and role are. pg_cron sends a command as psql -c
# does. The refresh meets a lock and waits for longer than the time-outs.

my $strange = join ' ', map { "-c $_" } 'default_transaction_isolation=serializable', 'default_transaction_read_only=on',
  'statement_timeout=300ms', 'lock_timeout=100ms', 'row_security=off', 'timezone=Pacific/Apia', 'datestyle=German',
  'intervalstyle=sql_standard', 'quote_all_identifiers=on', 'standard_conforming_strings=off', 'search_path=cron',
  'plpgsql.variable_conflict=use_column';

sub run_job
{
	my ($job, $stderr) = @_;
	my $command = $server->sql("SELECT command FROM cron.job WHERE jobname = 'fast_ingest $job'");

	local $ENV{PGOPTIONS} = $strange;
	return IPC::Run::start([ 'psql', '-XAtq', '-h', $server->node->host, '-p', $server->node->port, '-c', $command, 'postgres' ],
		'<', \undef, '2>', $stderr);
}

my ($refresh_errors, $maintain_errors) = ('', '');
my $holder = $server->node->background_psql('postgres');

$holder->query_safe('BEGIN; SELECT fi_refresh()');
my $run = run_job('refresh', \$refresh_errors);
ok( wait_until(
		sub {
			$server->sql("SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SET TRANSACTION%' AND wait_event_type = 'Lock'
				AND now() - query_start > '500ms'") == 1;
		}, 30), 'whatever the defaults, the refresh waits for another one');
$holder->query_safe('COMMIT');
$holder->quit;
$run->finish;
is($refresh_errors, '', 'and does its work');
run_job('maintain', \$maintain_errors)->finish;
is($maintain_errors, '', 'so does the other job');
$server->sql('ALTER DATABASE postgres SET default_transaction_isolation = serializable; ALTER DATABASE postgres SET row_security = off');

# Both jobs run at the next minute.

my $events = 50;

is($server->post_bulk([ map { event(++$n) } 1 .. $events ])->{json}{accepted}, $events, 'events');
cmp_ok($server->sql('SELECT count(*) FROM fast_ingest.rollup_delta'), '>', 0, 'they are not in the rollup yet')
  unless $seconds eq 't';
$server->sql(<<'EOQ');
INSERT INTO cron.job_run_details (jobid, runid, database, username, command, status, start_time, end_time)
SELECT jobid, -id, database, username, command, status, now() - age, now() - age
FROM cron.job, (VALUES (100, 'failed', NULL), (4, 'succeeded', interval '25 hours'), (3, 'failed', '1 day 1 min'),
  (2, 'succeeded', '1 hour'), (1, 'running', NULL)) AS run (id, status, age)
WHERE jobname = 'fast_ingest refresh'
UNION ALL
VALUES (4711, -5, 'postgres', 'postgres', 'SELECT another', 'succeeded', now() - interval '2 days', now() - interval '2 days')
EOQ
ok(wait_until(sub { $server->sql('SELECT count(*) FROM fast_ingest.rollup_delta') == 0 }, 90),
	'pg_cron refreshes the rollup');
is($server->sql("SELECT total_events FROM fi_metrics('page_view')"), $events, 'no event is missing in it');
ok( wait_until(
		sub {
			$server->sql("SELECT to_regclass('fast_ingest.events_' || to_char(now() AT TIME ZONE 'UTC', 'YYYYMMDD')) IS NOT NULL") eq 't';
		}, 90),
	'pg_cron makes partitions');
ok( wait_until(
		sub {
			$server->sql("SELECT count(DISTINCT command) FROM cron.job_run_details WHERE runid > 0 AND status = 'succeeded'") == 2;
		}),
	'both jobs succeeded');
is($server->sql('SELECT string_agg(runid::text, \' \' ORDER BY runid) FROM cron.job_run_details WHERE runid < 0'),
	'-5 -2 -1', 'what pg_cron noted of our jobs more than a day ago is deleted');
is($server->sql("SELECT count(*) FROM cron.job_run_details WHERE status = 'failed'"), 0, 'none failed');
$server->sql('ALTER DATABASE postgres RESET ALL');

is($server->sql('SELECT fi_unschedule()'), 2, 'fi_unschedule() removes them');
is(jobs($server), '', 'they are gone');
is($server->sql('SELECT fi_unschedule()'), 0, 'there is nothing left to remove');

# A job works only as the owner of the tables, so it is the owner's

$server->sql(<<'EOQ');
CREATE ROLE ingest LOGIN;
CREATE ROLE nobody LOGIN;
GRANT USAGE ON SCHEMA cron TO ingest, nobody;
GRANT EXECUTE ON FUNCTION fi_schedule, fi_unschedule TO nobody;
SELECT fi_grant_ingest('ingest');
EOQ
fails($server, 'SET ROLE nobody; SELECT * FROM fi_schedule()', qr/ERROR:  42501: must be owner of table fast_ingest\.events.*HINT:.*ingest/s,
	'not the owner');
$server->sql('SET ROLE ingest; SELECT * FROM fi_schedule()');
is(jobs($server), join("\n", map { s/\|postgres/|ingest/r } $maintain, $refresh), 'the jobs are the owner\'s');
is($server->sql('SET ROLE nobody; SELECT fi_unschedule()'), 0, 'others do not remove them');
$server->sql('SELECT * FROM fi_schedule()');
is(jobs($server), "$maintain\n$refresh", 'a superuser replaces them');

# Jobs are removed with the extension

$server->sql("SELECT cron.schedule('mine', '0 0 * * *', 'SELECT 1')");
my $mine = 'mine|0 0 * * *|postgres|postgres|t';
my %commands = map { split /\|/, $_, 2 } split /\n/,
  $server->sql(q(SELECT jobname, command FROM cron.job WHERE jobname LIKE 'fast_ingest%'));

$server->sql('BEGIN; DROP EXTENSION fast_ingest; ROLLBACK');
is(jobs($server), "$maintain\n$refresh\n$mine", 'DROP EXTENSION, rolled back: they stay');
$server->sql('DROP EXTENSION fast_ingest');
is(jobs($server), $mine, 'DROP EXTENSION: they are gone');

# A job that was left nevertheless calls no function of another owner, and removes itself

$server->sql(<<'EOQ');
CREATE TABLE public.called ();
CREATE FUNCTION public.fi_refresh() RETURNS void LANGUAGE sql AS 'INSERT INTO public.called DEFAULT VALUES';
EOQ
$server->sql("SELECT cron.schedule('$_', '0 0 1 1 *', \$job\$$commands{$_}\$job\$)") foreach sort keys %commands;
$server->sql($commands{'fast_ingest refresh'});
is(jobs($server), "fast_ingest maintain|0 0 1 1 *|postgres|postgres|t\n$mine",
	'without the extension a job removes itself');
$server->sql($commands{'fast_ingest maintain'});
unlike(jobs($server), qr/fast_ingest/, 'and the other one as well');
is($server->sql('SELECT count(*) FROM public.called'), 0, 'a function of the same name is not called');
$server->sql('DROP FUNCTION public.fi_refresh()');

foreach my $how ('DROP SCHEMA "odd Schema" CASCADE', 'DROP OWNED BY app CASCADE', 'DROP EXTENSION pg_cron, fast_ingest')
{
	$server->sql('CREATE EXTENSION IF NOT EXISTS pg_cron; CREATE SCHEMA IF NOT EXISTS "odd Schema"');
	$server->sql('CREATE ROLE app SUPERUSER LOGIN; SET ROLE app; CREATE EXTENSION fast_ingest SCHEMA "odd Schema"; SELECT * FROM "odd Schema".fi_schedule()');
	$server->sql($server->sql("SELECT command FROM cron.job WHERE jobname = 'fast_ingest refresh'"));
	is($server->sql("SELECT count(*) FROM cron.job WHERE jobname LIKE 'fast_ingest%'"), 2, "$how: there are jobs");
	$server->sql($how);
	is($server->sql("SELECT to_regclass('cron.job') IS NULL") eq 't'
		  || $server->sql("SELECT count(*) FROM cron.job WHERE jobname LIKE 'fast_ingest%'"),
		$how =~ /pg_cron/ ? 1 : 0, "$how: they are gone");
	is($server->sql("SELECT count(*) FROM pg_extension WHERE extname = 'fast_ingest'"), 0, "$how: the extension, too");
	$server->sql('DROP OWNED BY app CASCADE; DROP ROLE app');
}
$server->node->stop;

# pg_cron works in another database: the command of the hint, run there, works

my $other = cron_server('other', 'postgres', database => 'app');

$other->sql('CREATE DATABASE app TEMPLATE template0', 'postgres');
$other->create_extension;
fails($other, 'SELECT * FROM fi_schedule()', qr/ERROR:  55000: .*pg_cron.*DETAIL: .*HINT:  .*"postgres".*CREATE EXTENSION/s,
	'another database: the hint says which', 'app');
my ($result, $stdout, $stderr) = $other->node->psql('app', 'SELECT * FROM fi_schedule()');
my ($commands) = $stderr =~ /Run there: (.*;)$/m;

$other->sql('ALTER DATABASE app SET default_transaction_isolation = serializable');
$other->sql($commands, 'postgres');
is($other->sql('SELECT jobname, database FROM cron.job ORDER BY 1', 'postgres'),
	"fast_ingest maintain|app\nfast_ingest refresh|app", 'another database: what it says works');
foreach my $command (split /\n/, $other->sql('SELECT command FROM cron.job ORDER BY jobname', 'postgres'))
{
	$other->node->command_ok([ 'psql', '-XAtq', '-h', $other->node->host, '-p', $other->node->port, '-c', $command, 'app' ], $command);
}
$other->sql('CREATE ROLE reader; GRANT USAGE ON SCHEMA fast_ingest TO reader; GRANT EXECUTE ON FUNCTION fi_schedule TO reader');
fails($other, 'SET ROLE reader; SELECT * FROM fi_schedule()', qr/ERROR:  55000: .*HINT:/s,
	'another database: a hint for those who may not read settings', 'app');
$other->node->stop;

# Without pg_cron everything but the schedule works

my $plain = FastIngest->new('plain');

fails($plain, 'SELECT * FROM fi_schedule()', qr/ERROR:  55000: .*pg_cron.*DETAIL: .*HINT:  Add pg_cron to shared_preload_libraries/s,
	'no pg_cron: the hint says what to set');
is($plain->sql('SELECT fi_unschedule()'), 0, 'no pg_cron: nothing to remove');
is($plain->sql("SELECT count(*) FROM fi_maintain() WHERE action = 'created'"), 3, 'no pg_cron: fi_maintain() works');
$plain->sql('SELECT fi_refresh()');
$plain->sql('DROP EXTENSION fast_ingest');
$plain->node->stop;

done_testing();
