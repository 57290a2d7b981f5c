# fi_maintain() has the maintenance worker do the work in transactions of its own: it
# holds nothing while it waits, each partition goes by itself, what is done stays done,
# and a caller gets an answer whoever is in the way, and if it is itself.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use FastIngest;
use IPC::Run;
use PostgreSQL::Test::Utils;
use Test::More;

# No refresh but those that the tests ask for, and no lock of autovacuum on a partition that is
# to be dropped.
my $server = FastIngest->new('passes', database => 'app', extension => 0,
	conf => "fast_ingest.refresh_backlog = 0\nfast_ingest.refresh_backlog_age = 0\nfast_ingest.retention = '5d'\nautovacuum = off\n");
my $n = 0;

$server->sql('CREATE DATABASE app TEMPLATE template0', 'postgres');
$server->create_extension;
$server->sql('SELECT * FROM fi_maintain()');

# What the worker did, but for indexes: a row for each partition.
my $MAINTAIN = "SELECT action, replace(partition, 'fast_ingest.events_', ''), detail FROM fi_maintain() WHERE action <> 'summarized'";

# Call it in another session; its rows are in $$output when finish() returns.
sub start_maintain
{
	my ($output, $errors, $before) = @_;

	return IPC::Run::start(
		[ 'psql', '-XAtq', '-v', 'VERBOSITY=verbose', '-h', $server->node->host, '-p', $server->node->port, '-c', ($before // '') . $MAINTAIN, 'app' ],
		'<', \undef, '>', $output, '2>', $errors);
}

sub day
{
	my ($ago) = @_;

	return $server->sql("SELECT to_char(now() AT TIME ZONE 'UTC' - interval '$ago days', 'YYYYMMDD')");
}

# Make partitions that have expired, with an event each that the rollup knows; returns their days.
sub expired
{
	my ($count) = @_;
	my @days = split /\n/, $server->sql("SELECT to_char(now() AT TIME ZONE 'UTC' - i * interval '1 day', 'YYYYMMDD') FROM generate_series(20, 19 + $count) i ORDER BY 1");

	$server->sql(join ';', (map { "SELECT fi_create_partition('$_')" } @days),
		(map { "INSERT INTO fast_ingest.events (event_name, channel, ts) VALUES ('old', 'web', '$_ 12:00Z')" } @days), 'SELECT fi_refresh()');
	return @days;
}

sub dropped { return join "\n", map { "dropped|$_|" } @_ }

sub worker_waits
{
	my ($type, $name) = @_;

	ok( wait_until(
			sub {
				$server->sql("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'fast_ingest maintenance' AND wait_event_type = '$type'", 'postgres') == 1;
			}),
		$name);
	return;
}

# How many sessions are in a call of it?
sub callers
{
	return $server->sql("SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND pid <> pg_backend_pid() AND query LIKE '%FROM fi_maintain()%'", 'postgres');
}

# Two callers, and inserts, while a refresh is in the way

my @days = expired(30);
my ($first, $second, $errors) = ('', '', '');
my $holder = $server->node->background_psql('app');

$holder->query_safe('BEGIN; SELECT fi_refresh()');
my $first_call = start_maintain(\$first, \$errors);
worker_waits('Lock', 'the worker waits for the refresh');
my $second_call = start_maintain(\$second, \$errors);
ok(wait_until(sub { callers() == 2 }), 'two sessions call it');
is($server->sql(<<'EOQ'), 0, 'it has no lock on the table or a partition, and asks for none');
SELECT count(*)
FROM pg_locks l JOIN pg_stat_activity a USING (pid)
WHERE a.backend_type = 'fast_ingest maintenance' AND (l.relation = 'fast_ingest.events'::regclass
    OR l.relation IN (SELECT i.inhrelid FROM pg_inherits i WHERE i.inhparent = 'fast_ingest.events'::regclass))
EOQ
is($server->post_event(event(++$n, timestamp => int time))->{status}, 202, 'an event is stored meanwhile');
worker_waits('Lock', 'and the worker still waits');
$holder->query_safe('COMMIT');
$_->finish foreach $first_call, $second_call;
is($first, dropped(@days) . "\n", 'the first caller hears of all partitions');
is($second, '', 'the second caller hears that nothing was left to do');
is($errors, '', 'and neither of an error');
is($server->sql('SELECT count(DISTINCT xmin::text) FROM fast_ingest.lost_rows'), 30, 'each partition was dropped by a transaction of its own');
is($server->sql("SELECT total_events FROM fi_metrics('old')"), 30, 'the rollup keeps their events');

# A caller that gives up: its request is done all the same, and the next caller gets its own answer

@days = expired(3);
$holder->query_safe('BEGIN; SELECT fi_refresh()');
$first_call = start_maintain(\$first, \$errors, "SET statement_timeout = '1s'; ");
worker_waits('Lock', 'the worker waits again');
$first_call->finish;
like($errors, qr/ERROR:  57014: canceling statement due to statement timeout/, 'a caller that waits can be cancelled');
$second_call = start_maintain(\$second, \$errors);
ok(wait_until(sub { callers() == 1 }), 'another one calls');
$holder->query_safe('COMMIT');
$second_call->finish;
is($second, '', 'and hears only of what was left for it');
is($server->sql("SELECT count(*) FROM fi_partitions() WHERE day < now() - interval '10 days'"), 0, 'all was done');

# The worker ends in the midst of it, hanging in the third partition

@days = expired(5);
$server->sql(<<"EOQ");
CREATE FUNCTION public.hang() RETURNS event_trigger LANGUAGE plpgsql AS \$\$
BEGIN
    PERFORM pg_sleep(3600) FROM pg_event_trigger_dropped_objects() o WHERE o.object_name = 'events_$days[2]';
END \$\$;
CREATE EVENT TRIGGER hang ON sql_drop EXECUTE FUNCTION public.hang();
EOQ
my $pid = $server->worker_pid('maintenance');
($first, $errors) = ('', '');
$first_call = start_maintain(\$first, \$errors);
worker_waits('Timeout', 'the worker hangs');
$server->sql("SELECT pg_terminate_backend($pid)", 'postgres');
$first_call->finish;
like($errors, qr/ERROR:  57000: the maintenance worker ended.*DETAIL:  .*stays done/s, 'the caller hears that the worker ended');
is($first, '', 'and gets no rows');
is($server->sql("SELECT string_agg(to_char(day, 'YYYYMMDD'), ' ' ORDER BY day) FROM fi_partitions() WHERE day < now() - interval '10 days'"),
	"@days[2 .. 4]", 'what was done stays done');
$server->sql('DROP EVENT TRIGGER hang');
is($server->sql($MAINTAIN), dropped(@days[ 2 .. 4 ]), 'the next call does the rest, by the next worker');
isnt($server->worker_pid('maintenance'), $pid, 'it is another one');

# The worker meets an error with a long message

@days = expired(1);
$server->sql(<<'EOQ');
CREATE FUNCTION public.fail() RETURNS event_trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'no%', repeat(chr(233), 1000);
END $$;
CREATE EVENT TRIGGER fail ON sql_drop EXECUTE FUNCTION public.fail();
CREATE FUNCTION public.message() RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    PERFORM fi_maintain();
    RETURN NULL;
EXCEPTION WHEN OTHERS THEN
    RETURN sqlerrm;
END $$;
EOQ
is($server->sql("SELECT public.message() = 'no' || repeat(chr(233), 510)"), 't', 'a long message is cut, but not within a character');
$server->sql('DROP EVENT TRIGGER fail');
is($server->sql($MAINTAIN), dropped(@days), 'what could not be done is done by the next call');

# A partition is renamed while the worker waits, and another table gets its name

@days = expired(1);
$holder->query_safe('BEGIN; SELECT fi_refresh()');
$first = '';
$first_call = start_maintain(\$first, \$errors);
worker_waits('Lock', 'the worker waits before it drops a partition');
$server->sql("ALTER TABLE fast_ingest.events_$days[0] RENAME TO renamed; CREATE TABLE fast_ingest.events_$days[0] ()");
$holder->query_safe('COMMIT');
$first_call->finish;
is($first, "dropped|fast_ingest.renamed|\n", 'it drops the partition, which has another name by then');
is($server->sql("SELECT to_regclass('fast_ingest.events_$days[0]') IS NOT NULL, to_regclass('fast_ingest.renamed') IS NULL"), 't|t', 'and not the table that has taken its name');
$server->sql("DROP TABLE fast_ingest.events_$days[0]");

# The caller is in the way itself

@days = expired(3);
is($server->sql("BEGIN; SELECT count(*) FROM fast_ingest.events_$days[1]; $MAINTAIN; ROLLBACK"),
	"1\ndropped|$days[0]|\nskipped|$days[1]|could not obtain lock on relation \"fast_ingest.events_$days[1]\"\ndropped|$days[2]|",
	'a caller that uses a partition');
is($server->sql($MAINTAIN), dropped($days[1]), 'what was done stays done though the caller rolled back');

@days = expired(2);
is($server->sql("BEGIN; SELECT count(*) FROM fast_ingest.events WHERE event_name = 'old'; $MAINTAIN; COMMIT"),
	join("\n", 2, map { "skipped|$_|fast_ingest.events is in use" } @days), 'a caller that uses the table');
is($server->sql("BEGIN; LOCK TABLE fast_ingest.events; $MAINTAIN; COMMIT"),
	join("\n", ('skipped||fast_ingest.events is in use') x 2), 'a caller that has locked the table');

$errors = '';
start_maintain(\$first, \$errors, "SET statement_timeout = '2min'; BEGIN; LOCK TABLE pg_extension; ")->finish;
like($errors, qr/ERROR:  55000: the maintenance worker does not run: canceling statement due to lock timeout/, 'a caller that keeps the worker from finding the extension');

$first = '';
$first_call = start_maintain(\$first, \$errors, 'BEGIN; DO $$ BEGIN PERFORM fi_refresh(); END $$; ');

# Where there is no worker. These do not wait for the one that waits for the caller.

sub refused
{
	my ($node, $database, $pattern, $name) = @_;
	my ($result, $stdout, $stderr) = $node->psql($database, "\\set VERBOSITY verbose\nSELECT * FROM fi_maintain()");

	like($stderr, $pattern, $name);
	return;
}

$server->sql('CREATE DATABASE other TEMPLATE template0', 'postgres');
$server->sql('CREATE EXTENSION fast_ingest', 'other');
refused($server->node, 'other', qr/ERROR:  55000: .*works in database "app", not in "other".*HINT:  .*fast_ingest\.database/s, 'another database');

my $few = FastIngest->new('few', extension => 0, conf => "max_worker_processes = 2\nmax_logical_replication_workers = 0\n");
$few->sql('CREATE EXTENSION fast_ingest');
refused($few->node, 'postgres', qr/ERROR:  55000: the maintenance worker does not run: .*max_worker_processes/, 'no process for the worker');
$few->node->stop;

$first_call->finish;
is($first, join("\n", map { "skipped|$_|the rollup is being refreshed" } @days) . "\n", 'a caller that has refreshed the rollup');
is($server->sql($MAINTAIN), dropped(@days), 'when it is no longer in the way, they are dropped');

# More rows than fit: none of the days of a year can have its partition

my $name = 'default_partition_' . 'x' x 45;

$server->sql(<<"EOQ");
CREATE TABLE fast_ingest.$name PARTITION OF fast_ingest.events DEFAULT;
INSERT INTO fast_ingest.events (event_name, channel, ts) SELECT 'new', 'web', now() + i * interval '1 day' FROM generate_series(3, 366) i;
EOQ
$server->set('fast_ingest.partitions_ahead' => 366);
ok(wait_until(sub { $server->sql('SHOW fast_ingest.partitions_ahead') == 366 }), 'partitions_ahead = 366');
my @rows = split /\n/, $server->sql($MAINTAIN);
my ($omitted) = (pop @rows) =~ /\Aomitted\|\|(\d+) more rows\z/;

cmp_ok($omitted // 0, '>', 0, 'rows that do not fit are counted');
is((grep { /\Askipped\|\|the partition of .*"$name" would be violated by some row\z/ } @rows) + ($omitted // 0), 364, 'none is missing');
$server->books_balance;
$server->node->stop;

done_testing();
