# A server may be busy in another database while nothing happens in ours. The stream reads that
# WAL, too, and lets go of it. When all is quiet it writes no WAL of its own.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use FastIngest;
use FastIngest::StreamState;
use FastIngest::Webhook;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $megabyte = 1024 * 1024;

# Seconds of quiet in which a worker that writes each second, or each few, would show
my $quiet = 6;

my $webhook = FastIngest::Webhook->new;
my $server = FastIngest->new('neighbour', conf => stream_conf() . <<'EOC');
autovacuum = off
checkpoint_timeout = '1h'
max_wal_size = '1GB'
wal_keep_size = '512MB'    # for pg_waldump
EOC

sub lsn { return $server->sql('SELECT pg_current_wal_insert_lsn()') }

sub bytes_between { return $server->sql("SELECT pg_wal_lsn_diff('$_[1]', '$_[0]')::bigint") }

# Write WAL in the other database, megabytes of it.
sub write_elsewhere
{
	my ($megabytes) = @_;

	$server->sql("INSERT INTO noise SELECT repeat(md5(n::text), 56) FROM generate_series(1, 600 * $megabytes) n", 'busy');
	return;
}

# The records of WAL between two positions, as pg_waldump shows them
sub records
{
	my ($from, $to) = @_;
	my ($out, $err) = run_command([ 'pg_waldump', '--path', $server->node->data_dir . '/pg_wal', '--start', $from, '--end', $to ]);

	die "pg_waldump: $err" if $err;
	return grep { /^rmgr:/ } split /\n/, $out;
}

$server->sql('CREATE DATABASE busy', 'template1');
$server->sql('CREATE TABLE noise (line text)', 'busy');
$server->sql("SELECT fi_create_stream('out', 'webhook', '" . $webhook->url('/events') . "', flush_interval => '20 ms')");
wait_for_state($server, 'out', 'running');
is($server->post_event(event(1))->{status}, 202, 'an event');
is($webhook->wait_for_events(1), 1, 'arrives');
wait_for_stream($server, 'out', sub { $_[0]->{lag_events} == 0 });

# ---------------------------------------------------------------------------
# A busy neighbour
# ---------------------------------------------------------------------------

my $start = lsn();

write_elsewhere(80);
cmp_ok(bytes_between($start, lsn()), '>', 80 * $megabyte, 'the other database writes 80 MB of WAL');

# The record of running transactions, without which no slot moves, is part of a checkpoint
ok( wait_until(
		sub {
			$server->sql('CHECKPOINT');
			return bytes_between($start, $server->sql("SELECT restart_lsn FROM pg_replication_slots")) > 60 * $megabyte;
		},
		60),
	'the slot lets go of most of it');
my $stream = wait_for_stream($server, 'out', sub { $_[0]->{retained_wal} < 24 * $megabyte });

cmp_ok($stream->{retained_wal}, '<', 24 * $megabyte, "and so says the stream: $stream->{retained_wal} bytes");
is($stream->{state}, 'running', 'which runs');
is($webhook->wait_for_events(1), 1, 'and has sent nothing');
is($server->sql("SELECT confirmed_flush_lsn <= (SELECT confirmed_lsn FROM fast_ingest.stream_progress) FROM pg_replication_slots"),
	't', 'what the slot has confirmed is durable');

# ---------------------------------------------------------------------------
# Quiet
# ---------------------------------------------------------------------------

# It has read everything, and what follows from that has been written.
sub settle
{
	wait_for_stream($server, 'out', sub { $_[0]->{lag_bytes} == 0 });
	my $at = lsn();
	my $since = time;

	wait_until(
		sub {
			my $now = lsn();

			($at, $since) = ($now, time) if $now ne $at;
			return time - $since > 2;
		});
	return $at;
}

my $oid = $server->sql("SELECT oid FROM pg_database WHERE datname = 'postgres'");

my $from = settle();
my $end = time + $quiet;

ok(wait_until(sub { time > $end }), 'some seconds of quiet');
my $to = lsn();
my @records = $from eq $to ? () : records($from, $to);

is(join("\n", grep { !/RUNNING_XACTS|CHECKPOINT/ } @records), '', 'nothing but the server itself has written WAL');

# A neighbour that writes a little
$from = settle();
write_elsewhere(1);
$server->sql('CHECKPOINT');
wait_for_stream($server, 'out', sub { $_[0]->{lag_bytes} < 64 * 1024 });
$to = settle();
@records = records($from, $to);
cmp_ok(scalar @records, '>', 100, 'the other database writes one MB');
is(join("\n", grep { m{rel \d+/$oid/} } @records), '', 'and ours nothing');

is($server->post_event(event(2))->{status}, 202, 'an event after that');
is($webhook->wait_for_events(2), 2, 'arrives');
$server->restart;
is($server->post_event(event(3))->{status}, 202, 'and one after a restart');
is($webhook->wait_for_events(3), 3, 'arrives');
my %ids = map { $_->{id} => 1 } $webhook->events;

is(scalar keys %ids, 3, 'and they are three, also if one was sent again for the restart');
$server->node->stop;

done_testing();
