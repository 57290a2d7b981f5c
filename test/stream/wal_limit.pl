# How much disk a stream may hold. Its own max_retained_wal warns at half, and ends the stream at
# full; PostgreSQL's max_slot_wal_keep_size ends the slot at a checkpoint. Either way the stream is
# lost and says so, WAL goes away, and ingestion goes on. Filled up, the target has each event once.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use FastIngest;
use FastIngest::ClickHouse;
use FastIngest::StreamState;
use PostgreSQL::Test::Utils;
use Test::More;

my $megabyte = 1024 * 1024;
my $clickhouse = FastIngest::ClickHouse->new;
my $server = FastIngest->new('limit', conf => stream_conf() . <<'EOC');
min_wal_size = '32MB'
max_wal_size = '64MB'
checkpoint_timeout = '1h'
autovacuum = off
EOC
my $n = 0;

sub post_events
{
	my ($count) = @_;
	my $answer = $server->post_bulk([ map { event(++$n) } 1 .. $count ]);

	return is("$answer->{status} $answer->{json}{accepted}", "202 $count", "$count events come in");
}

# Fill segments of WAL, 16 MB each.
sub fill_wal
{
	my ($segments) = @_;

	$server->sql("SELECT pg_logical_emit_message(false, 'test', 'x'); SELECT pg_switch_wal()") foreach 1 .. $segments;
	return;
}

# Fill them until the slot retains so many megabytes, at most a segment more.
sub fill_until
{
	my ($megabytes) = @_;

	foreach (1 .. 20)
	{
		return if $server->sql("SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), restart_lsn) >= $megabytes * 1048576 FROM pg_replication_slots") ne 'f';
		fill_wal(1);
	}
	die "no WAL is retained";
}

sub wal_on_disk { return $server->sql('SELECT sum(size) FROM pg_ls_waldir()') }
sub log_from { return substr slurp_file($server->node->logfile), $_[0] }
sub log_end { return -s $server->node->logfile }
sub slots { return $server->sql('SELECT count(*) FROM pg_replication_slots') }

sub create
{
	my ($limit) = @_;

	clickhouse_table($server, $clickhouse, 'events');
	$server->sql('TRUNCATE fast_ingest.events');
	$server->sql("SELECT fi_create_stream('out', 'clickhouse', '" . $clickhouse->url
		  . "', target => 'events', flush_interval => '20 ms', max_retained_wal => '$limit')");
	wait_for_state($server, 'out', 'running');
	post_events(100);
	equal_counts($server, $clickhouse, 'events', 'they arrive');
	wait_for_stream($server, 'out', sub { $_[0]->{lag_events} == 0 });
	return;
}

# What all ways of losing a stream have in common
sub check_lost
{
	my ($why, $log) = @_;
	my $stream = wait_for_state($server, 'out', 'lost', 'the stream is lost');
	my $pid = stream_pid($server, 'out');

	like($stream->{detail}, $why, "and says why: $stream->{detail}");
	is($server->sql('SELECT lost_at IS NOT NULL AND lost_reason IS NOT NULL FROM fast_ingest.stream_progress'), 't', 'that is recorded');
	post_events(100);
	ok( wait_until(sub { $server->sql('CHECKPOINT'); return wal_on_disk() <= 80 * $megabyte }, 30),
		'WAL is gone: ' . wal_on_disk() . ' bytes');

	# No loop
	my $starts = () = log_from($log) =~ /fast_ingest stream \d+ started/g;

	fill_wal(2);
	$server->sql('CHECKPOINT');
	post_events(100);
	is(stream_pid($server, 'out'), $pid, 'the worker stays');
	is(scalar(() = log_from($log) =~ /fast_ingest stream \d+ started/g), $starts, 'and is not started again and again');
	cmp_ok($starts, '<=', 1, 'it was started once at most');
	is(stream_of($server, 'out')->{state}, 'lost', 'the stream is still lost');
	is($server->sql('SELECT count(*) FROM pg_replication_slots WHERE active'), 0, 'and holds no slot');
	return;
}

# Filled up, each event is there once.
sub check_refill
{
	$clickhouse->start;
	is($clickhouse->count('events'), 100, 'the target has what it got before');
	$server->sql("SELECT fi_resume_stream('out', refill => true)");
	equal_counts($server, $clickhouse, 'events', 'filled up, it has each event once');
	wait_for_state($server, 'out', 'running');
	post_events(100);
	equal_counts($server, $clickhouse, 'events', 'and what comes after');
	is($server->get('/health')->{json}{status}, 'ok', 'the server is well');
	return;
}

# ---------------------------------------------------------------------------
# The stream's own limit
# ---------------------------------------------------------------------------

create('112MB');
$clickhouse->stop;
my $log = log_end();

post_events(100);
wait_for_state($server, 'out', 'retrying', 'the target is dead');
unlike(log_from($log), qr/WARNING:[^\n]*stream "out"/, 'no warning yet');
fill_until(56);
ok($server->wait_for_log_line(qr/WARNING:[^\n]*stream "out"/, $log), 'at half of it there is a warning');
ok(wait_until(sub { $server->get('/health')->{json}{status} eq 'degraded' }), 'and /health says degraded');
is($server->get('/health')->{status}, 200, 'which is no reason to take the server out');
is(stream_of($server, 'out')->{state}, 'retrying', 'the stream still tries');
cmp_ok(stream_of($server, 'out')->{retained_wal}, '>=', 56 * $megabyte, 'it shows what it holds');
post_events(100);
my $warnings = () = log_from($log) =~ /WARNING:[^\n]*stream "out"/g;

fill_wal(1);
ok(wait_until(sub { stream_of($server, 'out')->{retained_wal} >= 70 * $megabyte }), 'it holds more');
is(scalar(() = log_from($log) =~ /WARNING:[^\n]*stream "out"/g), $warnings, 'it warns once');
cmp_ok(wal_on_disk(), '>', 64 * $megabyte, 'WAL grows');
fill_until(112);
check_lost(qr/max_retained_wal|limit/, $log);
is(slots(), 0, 'the slot is dropped');
check_refill();
$server->sql("SELECT fi_drop_stream('out')");
ok(wait_until(sub { slots() == 0 }), 'a dropped stream leaves no slot');

# ---------------------------------------------------------------------------
# PostgreSQL's limit
# ---------------------------------------------------------------------------

create('10GB');
$clickhouse->stop;
$log = log_end();
$server->set(max_slot_wal_keep_size => '64MB');
post_events(100);
wait_for_state($server, 'out', 'retrying', 'the target is dead again');
my $pid = stream_pid($server, 'out');

fill_wal(8);
$server->sql('CHECKPOINT');
ok($server->wait_for_log_line(qr/terminating process $pid to release replication slot/, $log), 'the checkpointer ends the worker');
ok(wait_until(sub { my $new = stream_pid($server, 'out'); $new && $new ne $pid }), 'another one starts');
check_lost(qr/slot/, $log);
check_refill();
$server->node->stop;

done_testing();
