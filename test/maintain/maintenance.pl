# The maintenance worker refreshes the rollup when the backlog is long, rests otherwise, and
# disturbs nobody. fi_maintain() creates partitions and drops expired ones; answers stay as they
# were, and inserts hardly wait.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use FastIngest;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

# No refresh but those that the tests ask for.
my $server = FastIngest->new('maintain', database => 'app', extension => 0,
	conf => "fast_ingest.refresh_backlog = 0\nfast_ingest.refresh_backlog_age = 0");
my $n = 0;

$server->sql('CREATE DATABASE app TEMPLATE template0', 'postgres');
$server->create_extension;

sub post
{
	my ($count, %changes) = @_;

	is($server->post_bulk([ map { event(++$n, %changes) } 1 .. $count ])->{json}{accepted},
		$count, "$count events");
	return;
}

sub deltas
{
	return $server->sql('SELECT count(*) FROM fast_ingest.rollup_delta');
}

sub wait_for_refresh
{
	my ($name) = @_;

	ok(wait_until(sub { deltas() == 0 }), "$name: the rollup is refreshed");
	is($server->sql("SELECT total_events FROM fi_metrics('page_view')"),
		$server->count, "$name: no event is missing in it");
	return;
}

sub activity
{
	my ($worker, $column) = @_;

	return $server->sql(
		"SELECT $column FROM pg_stat_activity WHERE backend_type = 'fast_ingest $worker'",
		'postgres');
}

# Wait until a refresh hangs in the lock that this session holds.
sub wait_for_hanging_refresh
{
	my ($name) = @_;

	ok(wait_until(sub { activity('maintenance', 'wait_event_type') eq 'Lock' }),
		"$name: a refresh is under way");
	return;
}

sub refresh_failures
{
	my ($count) = $server->get('/metrics/prometheus')->{body} =~ /^fast_ingest_refresh_failures_total (\d+)$/m;

	return $count;
}

sub seconds
{
	my ($action) = @_;
	my $begin = time;

	$action->();
	return time - $begin;
}

# At rest the maintenance worker does not look at its database, though the flusher does now
# and then.

ok(wait_until(sub { activity('maintenance', 'state') eq 'idle' }), 'the worker runs');
is(activity('maintenance', 'datname'), 'app', 'it is connected to the database');

sub stays_idle
{
	my ($name) = @_;
	my $since = activity('maintenance', 'state_change');
	my $flusher = activity('flusher', 'state_change');

	foreach my $look (1 .. 2)
	{
		wait_until(sub { activity('flusher', 'state_change') ne $flusher });
		$flusher = activity('flusher', 'state_change');
	}
	is(activity('maintenance', 'state_change'), $since, "$name: no transaction");
	is(activity('maintenance', 'backend_xmin IS NULL AND xact_start IS NULL'),
		't', "$name: no snapshot");
	return;
}

wait_until(sub { activity('maintenance', "state_change < now() - interval '1 s'") eq 't' });
stays_idle('nothing to do');
post(100);
stays_idle('refresh_backlog = 0');
is(deltas() > 0, 1, 'refresh_backlog = 0: what came is not merged');

# A long backlog wakes the worker

$server->set('fast_ingest.refresh_backlog' => 100);
wait_for_refresh('refresh_backlog was lowered');
post(60);
stays_idle('a short backlog');
is(deltas() > 0, 1, 'a short backlog is not merged');
post(60);
wait_for_refresh('a long backlog');
ok( wait_until(
		sub {
			$server->sql(
				"SELECT n_tup_del > 0 FROM pg_stat_user_tables WHERE relname = 'rollup_delta'"
			) eq 't';
		}),
	'autovacuum knows what was deleted');

# Deltas are bounded by their number and age as well: statements of one event each

$server->set('fast_ingest.refresh_backlog' => 1000000, 'fast_ingest.refresh_backlog_deltas' => 100);
sub insert_one_by_one
{
	my ($count) = @_;

	$server->sql(
		join ';',
		map {
			"INSERT INTO fast_ingest.events (event_name, channel, ts) VALUES ('page_view', 'web', '$DAY')"
		} 1 .. $count);
	return;
}
insert_one_by_one(60);
stays_idle('few deltas');
is(deltas(), 60, 'few deltas are not merged');
insert_one_by_one(60);
ok(wait_until(sub { deltas() < 60 }), 'many deltas are merged');

# 20,000 commits of one event each: no more wait than were inserted while one refresh ran
my $script = PostgreSQL::Test::Utils::tempdir() . '/insert.sql';
PostgreSQL::Test::Utils::append_to_file($script,
	"INSERT INTO fast_ingest.events (event_name, channel, user_id, ts) VALUES ('page_view', 'web', random()::text, '$DAY');\n");
$server->set('fast_ingest.refresh_backlog_deltas' => 1000);
$server->node->command_ok(
	[ 'pgbench', '-n', '-f', $script, '-c', 8, '-t', 2500, 'app' ],
	'20,000 commits of one event each');
cmp_ok(deltas(), '<', 5000, 'few of their deltas are not merged');
ok(wait_until(sub { deltas() < 1000 }), 'and fewer when they have ended');
is($server->sql("SELECT total_events FROM fi_metrics('page_view')"),
	$server->count, 'no event is missing');

$server->set('fast_ingest.refresh_backlog' => 0, 'fast_ingest.refresh_backlog_age' => '1s');
$server->sql('SELECT fi_refresh()');
insert_one_by_one(1);
stays_idle('refresh_backlog = 0, whatever the age');
is(deltas(), 1, 'refresh_backlog = 0: an old delta is not merged');
$server->set('fast_ingest.refresh_backlog' => 1000000);
wait_for_refresh('an old delta');
$server->set('fast_ingest.refresh_backlog_age' => 0);
insert_one_by_one(1);
$server->restart;
is(deltas(), 1, 'no age is too old');
$server->set('fast_ingest.refresh_backlog_age' => '1s');
wait_for_refresh('a delta left from before the server started');
$server->set(
	'fast_ingest.refresh_backlog' => 100,
	'fast_ingest.refresh_backlog_deltas' => 1000,
	'fast_ingest.refresh_backlog_age' => 0);

# An error is logged once, and the refresh is tried again

my $pid = $server->worker_pid('maintenance');
my $log = -s $server->node->logfile;

$server->sql('ALTER TABLE fast_ingest.rollup RENAME TO away');
post(100);
ok($server->wait_for_log_line(qr/LOG:.*fast_ingest maintenance: .*rollup.*does not exist/, $log),
	'a refresh that fails is in the log');
is($server->post_event(event(++$n))->{status}, 202, 'events are taken');
ok(deltas() > 0, 'nothing of it happened');
$server->sql('ALTER TABLE fast_ingest.away RENAME TO rollup');
wait_for_refresh('mended');
is($server->worker_pid('maintenance'), $pid, 'it is the same worker');
is(() = substr(slurp_file($server->node->logfile), $log) =~ /LOG:.*fast_ingest maintenance: /g,
	1, 'the same error is logged once');

# Another session refreshes for longer than the worker waits for a lock: it tries again, and
# nothing has failed

my $refresher = $server->node->background_psql('app');

$refresher->query_safe('BEGIN; SELECT fi_refresh()');
my $last_error = $server->sql("SELECT last_error FROM fast_ingest.workers WHERE worker = 'maintenance'");
my $failures = refresh_failures();

$server->sql("INSERT INTO fast_ingest.events (event_name, channel, ts) SELECT 'page_view', 'web', '$DAY' FROM generate_series(1, 200)");
wait_for_hanging_refresh('another session refreshes');
my $first_try = activity('maintenance', 'xact_start');

ok( wait_until(
		sub {
			activity('maintenance', 'xact_start') ne $first_try && activity('maintenance', 'wait_event_type') eq 'Lock';
		}),
	'the worker tries again');
is($server->sql("SELECT state, last_error FROM fast_ingest.workers WHERE worker = 'maintenance'"),
	"running|$last_error", 'it has met no error');
is(refresh_failures(), $failures, 'no refresh has failed');
$refresher->query_safe('COMMIT');
wait_for_refresh('the other session has refreshed');
$refresher->quit;

# The worker is ended in the middle of a refresh

my $lock = $server->lock_table('fast_ingest.rollup');

post(100);
wait_for_hanging_refresh('terminated');
$pid = $server->worker_pid('maintenance');
$server->sql("SELECT pg_terminate_backend($pid)");
isnt($server->wait_for_other_pid('maintenance', $pid) || $pid, $pid, 'terminated: another one is started');
wait_for_hanging_refresh('started again');
$lock->quit;
wait_for_refresh('unlocked');

$pid = $server->worker_pid('maintenance');
kill 'KILL', $pid;
ok( wait_until(
		sub {
			my ($result, $other) = $server->node->psql('app',
				"SELECT pid FROM pg_stat_activity WHERE backend_type = 'fast_ingest maintenance'");

			return $result == 0 && $other && $other ne $pid;
		}),
	'killed: another one is started');
$server->wait_ready;
post(100);
wait_for_refresh('killed');

# DROP EXTENSION, CREATE EXTENSION

$pid = $server->worker_pid('maintenance');
foreach my $round (1 .. 3)
{
	$server->sql('DROP EXTENSION fast_ingest CASCADE');
	ok($server->wait_not_ready(qr/extension/i), "round $round: the extension is dropped");
	$server->create_extension;
	post(100);
	wait_for_refresh("round $round");
}
is($server->worker_pid('maintenance'), $pid, 'it is the same worker');

# DROP DATABASE does not wait for a refresh. While the lock is held, only
# SIGTERM ends the worker.

$lock = $server->lock_table('fast_ingest.rollup');
post(100);
wait_for_hanging_refresh('DROP DATABASE');
my $drop = $server->node->background_psql('postgres');

$drop->query_until(qr/begun/, "\\echo begun\nDROP DATABASE app;\n");
ok(wait_until(sub { $server->worker_pid('maintenance', 'postgres') eq '' }, 4),
	'DROP DATABASE: the refresh makes way');
$lock->quit;
ok( wait_until(
		sub {
			$server->sql("SELECT count(*) FROM pg_database WHERE datname = 'app'", 'postgres') == 0;
		}, 10),
	'DROP DATABASE: the database is gone');
$drop->quit;
$server->sql('CREATE DATABASE app TEMPLATE template0', 'postgres');
$server->create_extension;
post(100);
wait_for_refresh('CREATE DATABASE');

# A server that stops does not wait for a refresh

$lock = $server->lock_table('fast_ingest.rollup');
post(100);
wait_for_hanging_refresh('stop');
cmp_ok(seconds(sub { $server->node->stop('fast') }), '<', 5, 'the server stops');
eval { $lock->quit };
$server->start_again;
post(100);
wait_for_refresh('after the restart');

# ---------------------------------------------------------------------------
# fi_maintain()
# ---------------------------------------------------------------------------

sub maintain
{
	return $server->sql(<<'EOQ');
SELECT action, regexp_replace(partition, 'fast_ingest\.', ''), detail FROM fi_maintain()
WHERE action <> 'summarized' ORDER BY partition
EOQ
}

sub day
{
	my ($ago) = @_;

	return $server->sql("SELECT to_char(now() AT TIME ZONE 'UTC' - interval '$ago days', 'YYYYMMDD')");
}

# Partitions ahead; a day may pass between two of our looks

my $today;
my $made;

do
{
	$today = day(0);
	$made = maintain();
} while ($today ne day(0));
is($made, join("\n", map { "created|events_" . day(-$_) . '|' } 0 .. 2), 'partitions are made ahead');
is(maintain(), '', 'and are there then');
$server->set('fast_ingest.partitions_ahead' => 4);
ok(wait_until(sub { $server->sql('SHOW fast_ingest.partitions_ahead') == 4 }), 'partitions_ahead = 4');
like(maintain(), qr/\Acreated\|events_\d{8}\|\ncreated\|events_\d{8}\|\z/, 'two more are made');

# BRIN

$server->sql(<<"EOQ");
INSERT INTO fast_ingest.events (event_name, channel, user_id, ts)
SELECT 'page_view', 'web', 'brin', date_trunc('day', now(), 'UTC') + i * interval '1 ms' FROM generate_series(1, 30000) i
EOQ
like($server->sql("SELECT action, detail FROM fi_maintain() WHERE partition = 'fast_ingest.events_$today'"),
	qr/\Asummarized\|[1-9]\d* block ranges of fast_ingest\.events_${today}_ts_idx\z/,
	'new block ranges are summarized');

# Retention. Kept for ever by default: a day that is over is a partition of its
# own, and so are those of the tests above.

$server->sql("SELECT fi_create_partition((now() AT TIME ZONE 'UTC')::date - $_)") foreach 1 .. 12;
$server->sql(<<'EOQ');
CREATE TABLE fast_ingest.events_2001 (LIKE fast_ingest.events);
CREATE TABLE fast_ingest.events_other (LIKE fast_ingest.events);
ALTER TABLE fast_ingest.events ATTACH PARTITION fast_ingest.events_2001 FOR VALUES FROM ('2001-01-01 00:00Z') TO ('2001-02-01 00:00Z');
ALTER TABLE fast_ingest.events ATTACH PARTITION fast_ingest.events_other DEFAULT;
INSERT INTO fast_ingest.events (event_name, channel, user_id, ts)
SELECT 'page_view', 'web', 'user-' || i % 1000, date_trunc('day', now(), 'UTC') - i * interval '5 min'
FROM generate_series(1, 3400) i
UNION ALL VALUES ('page_view', 'web', 'old', '2001-01-15 12:00Z'::timestamptz), ('page_view', 'web', 'older', '1999-01-15 12:00Z');
EOQ
is(maintain(), '', 'retention = 0: nothing is dropped');
is($server->sql("SELECT count(*) FROM fi_partitions()"), 1 + 12 + 1 + 4,
	'fi_partitions() lists the partitions of a day');

# what happened before today
my $picture = <<'EOQ';
SELECT * FROM fi_metrics('page_view', until => date_trunc('day', now(), 'UTC'));
SELECT * FROM fi_metrics('page_view', until => date_trunc('day', now(), 'UTC'), group_by => 'day', fill => false);
SELECT * FROM fi_metrics('page_view', until => date_trunc('day', now(), 'UTC'), group_by => 'channel')
EOQ
my $before = $server->sql($picture);
my $count = $server->count;

# A day goes when its last moment is older than that.
$server->set('fast_ingest.retention' => '5d');
ok(wait_until(sub { $server->sql('SHOW fast_ingest.retention') eq '5d' }), 'retention = 5d');
$today = day(0);
my @expired = map { "events_$_" } reverse map { day($_) } 6 .. 12;
unshift @expired, 'events_20240812';

# Somebody reads the whole table: inserts do not wait behind fi_maintain() for the reader

my $reader = $server->node->background_psql('app');
my $maintainer = $server->node->background_psql('app');

$reader->query_safe('BEGIN');
$reader->query_safe('SELECT count(*) FROM fast_ingest.events');
$maintainer->query_until(qr/begun/, "\\echo begun\nSELECT count(*) FROM fi_maintain();\n");
my $posts = 0;
my $longest = 0;

do
{
	my $took = seconds(sub { $server->post_event(event(++$n, timestamp => int time)) });

	$longest = $took if $took > $longest;
	$posts++;
} while ($server->sql("SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%FROM fi_maintain();'", 'postgres') > 0);
cmp_ok($posts, '>', 1, 'somebody reads: events are stored meanwhile');
cmp_ok($longest, '<', 1.5, 'somebody reads: none of them waits for long');
$maintainer->quit;
is(maintain(), join("\n", map { "skipped|$_|fast_ingest.events is in use" } @expired),
	'somebody reads: nothing is dropped');
$reader->quit;

# Somebody uses one partition, and something depends on another

$reader = $server->node->background_psql('app');
$reader->query_safe('BEGIN');
$reader->query_safe("SELECT count(*) FROM fast_ingest.$expired[3]");
$server->sql("CREATE VIEW public.old AS SELECT * FROM fast_ingest.$expired[5]");
is( maintain(),
	join("\n",
		map {
			$_ eq $expired[3] ? "skipped|$_|could not obtain lock on relation \"fast_ingest.$_\""
			  : $_ eq $expired[5] ? "skipped|$_|cannot drop table fast_ingest.$_ because other objects depend on it"
			  : "dropped|$_|"
		} @expired),
	'the others are dropped');
$reader->quit;
$server->sql('DROP VIEW public.old');
is(maintain(), join("\n", map { "dropped|$_|" } @expired[ 3, 5 ]), 'then these as well');
is(maintain(), '', 'and that is all');
is($server->sql('SELECT min(day) = max(day) - 5 - 4 FROM fi_partitions()'), 't', 'five days and today are kept');
is($server->count("ts < '2002-01-01'"), 2, 'partitions that are no day are kept');

SKIP:
{
	skip 'the day is over', 2 if $today ne day(0);
	cmp_ok($server->count, '<', $count, 'raw events are gone');
	is($server->sql($picture), $before, 'the answers are the same');
}

# A refresh waits for the one of fi_maintain() itself: it does not keep the partition

# Wait until a session waits for a lock: one that runs a query, or the maintenance worker.
sub wait_for_waiting
{
	my ($who) = @_;

	return wait_until(
		sub {
			$server->sql("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND '$who' IN (query, backend_type)", 'postgres') == 1;
		});
}

my $changed = day(30);
$server->sql("SELECT fi_create_partition('$changed')");
$server->sql("INSERT INTO fast_ingest.events (event_name, channel, user_id, ts) SELECT 'changed', 'web', 'u' || i, '$changed 12:00Z' FROM generate_series(1, 3) i");
$server->sql('SELECT fi_refresh()');
$server->sql("DELETE FROM fast_ingest.events_$changed WHERE user_id = 'u1'");
my ($holder, $rebuilder);
($holder, $maintainer, $rebuilder) = map { $server->node->background_psql('app') } 1 .. 3;
$holder->query_safe('BEGIN; SELECT fi_refresh()');
$server->sql("INSERT INTO fast_ingest.recount SELECT '$changed 12:00Z', '$changed 12:01Z'");
$maintainer->query_until(qr/begun/, "\\echo begun\nSELECT count(*) FROM fi_maintain();\n");
ok(wait_for_waiting('fast_ingest maintenance'), 'fi_maintain() waits for a refresh');
$rebuilder->query_until(qr/begun/, "\\echo begun\nSELECT count(*) FROM fi_refresh();\n");
ok(wait_for_waiting('SELECT count(*) FROM fi_refresh();'), 'another refresh waits behind it');
$holder->query_safe('COMMIT');
$_->quit foreach $holder, $maintainer, $rebuilder;
is($server->sql("SELECT to_regclass('fast_ingest.events_$changed') IS NULL"), 't', 'the partition is dropped all the same');
is($server->sql("SELECT total_events FROM fi_metrics('changed')"), 2, 'its changed rows were counted before');

# A partition of late events is dropped although a breakdown never knew all of its day

$server->sql("SELECT fi_add_breakdown('late', 'user_id'); SELECT fi_refresh(); SELECT fi_create_partition('$changed')");
$server->sql("INSERT INTO fast_ingest.events (event_name, channel, user_id, ts) VALUES ('changed', 'web', 'u9', '$changed 13:00Z')");
is($server->sql('SELECT count(*) FROM fast_ingest.recount WHERE breakdown IS NOT NULL') > 0, 1, 'a breakdown does not know of days');
is(maintain(), "dropped|events_$changed|", 'a partition of one of them is dropped');
$server->sql("SELECT fi_drop_breakdown('late')");

# Roles that may not call it, and moments at which nobody may

sub refused
{
	my ($query, $sqlstate, $pattern, $name) = @_;
	my ($result, $stdout, $stderr) =
	  $server->node->psql('app', "\\set VERBOSITY verbose\n$query");

	like($stderr, qr/ERROR:  $sqlstate: $pattern/, $name);
	return;
}

$server->sql('CREATE ROLE nobody');
refused('SET ROLE nobody; SELECT fi_maintain()', '42501', qr/permission denied for function/, 'not for everybody');
$server->sql('GRANT EXECUTE ON FUNCTION fi_maintain() TO nobody');
refused('SET ROLE nobody; SELECT fi_maintain()', '42501', qr/must be owner of table fast_ingest\.events.*HINT:.*postgres/s,
	'not the owner');
is($server->sql('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) >= 0 FROM fi_maintain(); COMMIT'), 't',
	'the snapshot of the caller does not matter');
refused('BEGIN READ ONLY; SELECT fi_maintain()', '25006', qr/.*read-only.*HINT:  Run BEGIN READ WRITE/s, 'a read-only transaction');
refused('SET default_transaction_isolation = serializable; SELECT fi_refresh()', '0A000', qr/.*serializable.*HINT:  Run BEGIN ISOLATION LEVEL READ COMMITTED/s,
	'a refresh in one snapshot');
is($server->sql("SET default_transaction_isolation = serializable; SET default_transaction_read_only = on; SET row_security = off;"
	  . " BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; SELECT count(*) > 0 FROM fi_refresh(); SELECT count(*) >= 0 FROM fi_maintain(); COMMIT"),
	"t\nt", 'what the hints say works');
is($server->sql("SET lock_timeout = '7s'; SELECT count(*) FROM fi_maintain(); SHOW lock_timeout") =~ /7s/, 1,
	'lock_timeout is what it was');

# A role that owns the table

$server->sql(<<'EOQ');
DROP TABLE fast_ingest.events_other;
CREATE ROLE ingest;
SELECT fi_grant_ingest('ingest');
EOQ
$server->set('fast_ingest.partitions_ahead' => 5, 'fast_ingest.retention' => 0);
ok(wait_until(sub { $server->sql('SHOW fast_ingest.partitions_ahead') == 5 }), 'partitions_ahead = 5');
like($server->sql('SET ROLE ingest; SELECT action, partition FROM fi_maintain()'), qr/created\|fast_ingest\.events_\d{8}$/,
	'the owner may');
$server->books_balance;
$server->node->stop;

# Not preloaded: there are no settings

my $plain = FastIngest->new('plain', preload => 0, extension => 0);

$plain->sql('CREATE EXTENSION fast_ingest');
my ($result, $stdout, $stderr) = $plain->node->psql('postgres', "\\set VERBOSITY verbose\nSELECT fi_maintain()");
like($stderr, qr/ERROR:  55000: .*HINT:.*shared_preload_libraries/s, 'not preloaded: the hint says what to do');
$plain->node->stop;

done_testing();
