# Ingestion does not wait for a stream. Every event is acknowledged while the target is dead, while
# it takes connections and never answers, and while the stream's worker stands still. Nor do
# those wait who ask how the stream is.
# How many a second is a matter of `make bench`.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use FastIngest;
use FastIngest::StreamState;
use FastIngest::Webhook;
use PostgreSQL::Test::Cluster;
use Test::More;

my $webhook = FastIngest::Webhook->new;
my $server = FastIngest->new('schedule', conf => stream_conf() . <<'EOC');
fast_ingest.request_timeout = '5s'
autovacuum = off
EOC
my $n = 0;

# Post events one by one and in bulk, and check that all are acknowledged and stored.
sub all_acknowledged
{
	my ($when) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $before = $server->count;
	my @answers = map { $server->post_event(event(++$n)) } 1 .. 100;

	is(scalar(grep { $_->{status} eq '202' } @answers), 100, "$when: 100 events are acknowledged, one after the other");
	foreach (1 .. 10)
	{
		my $answer = $server->post_bulk([ map { event(++$n) } 1 .. 200 ]);

		is("$answer->{status} " . ($answer->{json}{accepted} // ''), '202 200', "$when: 200 in one request");
	}
	is($server->count, $before + 2100, "$when: and stored");
	$server->books_balance($when);
	return;
}

sub create
{
	my ($url) = @_;

	$server->sql("SELECT fi_create_stream('out', 'webhook', '$url', flush_interval => '20 ms', batch_rows => 100)");
	return;
}

sub drop
{
	$server->sql("SELECT fi_drop_stream('out')");
	ok(wait_until(sub { $server->sql('SELECT count(*) FROM pg_replication_slots') == 0 }), 'the slot of a dropped stream is gone');
	return;
}

all_acknowledged('no stream');

# ---------------------------------------------------------------------------
# A dead target
# ---------------------------------------------------------------------------

create('http://127.0.0.1:' . PostgreSQL::Test::Cluster::get_free_port() . '/events');
all_acknowledged('a new stream to a dead target');
my $stream = wait_for_state($server, 'out', 'retrying', 'connection refused: the stream tries again');

like($stream->{last_error}, qr/refused|connect/i, "and says why: $stream->{last_error}");
all_acknowledged('dead target');
drop();

# ---------------------------------------------------------------------------
# One that hangs
# ---------------------------------------------------------------------------

$webhook->plan({ hang => 1 });
create($webhook->url('/events'));
# What is committed before its slot is made is not the stream's
wait_for_state($server, 'out', 'running');
is($server->post_event(event(++$n))->{status}, 202, 'an event');
is(scalar $webhook->wait_for_requests(1), 1, 'is posted, and the answer does not come');
is($server->sql("SELECT count(*) FROM pg_stat_activity WHERE backend_type ~ '^fast_ingest stream' AND (xact_start IS NOT NULL OR backend_xmin IS NOT NULL)"),
	0, 'meanwhile the worker has no transaction');
my $began = time;

is($server->get('/health')->{json}{status}, 'ok', '/health answers');
is(stream_of($server, 'out')->{state}, 'running', 'and so does fi_streams()');
cmp_ok(time - $began, '<', 15, 'without waiting for the target, for which the worker waits 30 seconds');
all_acknowledged('hanging target');
is(scalar $webhook->requests, 1, 'and the answer has not come');

# ---------------------------------------------------------------------------
# A worker that stands still
# ---------------------------------------------------------------------------

my $pid = stream_pid($server, 'out');

$server->pause($pid);
all_acknowledged('the worker stands still');
$server->resume($pid);

# ---------------------------------------------------------------------------
# Well again
# ---------------------------------------------------------------------------

$webhook->plan({ status => 204 });
drop();
create($webhook->url('/events'));
wait_for_state($server, 'out', 'running');
my $before = $webhook->count;

all_acknowledged('a target that is well');
ok(wait_until(sub { grep { $_->{user_id} eq "user-$n" } $webhook->events($before) }), 'and the stream carries them');
$server->node->stop;

done_testing();
