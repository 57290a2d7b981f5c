# After a promotion the former primary's slot is not there. The stream is lost and says so, and
# posts nothing. A standby that had not got everything uses positions again that the primary has
# given to other events: no id of an event or a batch is used twice, whether the stream is filled
# up or goes on without what it lost.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use FastIngest;
use FastIngest::StreamState;
use FastIngest::Webhook;
use JSON::PP ();
use PostgreSQL::Test::Utils;
use Test::More;

# The ids of events come from their position, not from a key
my $conf = stream_conf() . <<'EOC';
fast_ingest.deduplicate = 'key'
hot_standby = on
autovacuum = off
EOC

# Events of users from number to number, each in a transaction
sub post_events
{
	my ($server, @numbers) = @_;

	return scalar grep { $server->post_event(event($_))->{status} eq '202' } @numbers;
}

# Wait until events of so many users have come, each of which has one.
sub wait_for_users
{
	my ($webhook, $count) = @_;
	my ($seen, %users) = (0);

	wait_until(
		sub {
			my @requests = $webhook->requests($seen);

			$seen += @requests;
			$users{ JSON::PP::decode_json($_)->{user_id} } = 1 foreach map { @{ $_->{rows} } } @requests;
			return keys %users >= $count;
		});
	return scalar keys %users;
}

# The ids of batches that were posted, and of their events
sub ids
{
	my (@requests) = @_;

	return map { ($_->{headers}{'webhook-id'}, map { JSON::PP::decode_json($_)->{id} } @{ $_->{rows} }) } @requests;
}

sub common
{
	my ($some, $others) = @_;
	my %seen = map { $_ => 1 } @$some;

	return join ' ', grep { $seen{$_} } @$others;
}

# A primary with a stream, its standby, and what the webhook got of events 1 to 20
sub pair
{
	my ($name) = @_;
	my $webhook = FastIngest::Webhook->new;
	my $primary = FastIngest->new("$name\_primary", conf => $conf);

	$primary->sql("SELECT fi_create_stream('out', 'webhook', '" . $webhook->url('/events') . "', flush_interval => '20 ms')");
	wait_for_state($primary, 'out', 'running', "$name: the stream runs on the primary");
	my $standby = $primary->standby("$name\_standby");

	is(post_events($primary, 1 .. 20), 20, "$name: events on the primary");
	is(wait_for_users($webhook, 20), 20, "$name: arrive");
	wait_for_stream($primary, 'out', sub { $_[0]->{lag_events} == 0 });
	$primary->node->wait_for_catchup($standby->node, 'replay', $primary->node->lsn('insert'));
	return ($webhook, $primary, $standby);
}

sub promote
{
	my ($standby) = @_;

	$standby->node->promote;
	$standby->wait_ready;
	return;
}

# ---------------------------------------------------------------------------
# A standby that has everything
# ---------------------------------------------------------------------------

my ($webhook, $primary, $standby) = pair('whole');

is($standby->sql("SELECT count(*) FROM pg_stat_activity WHERE backend_type ~ 'fast_ingest stream'"), 0, 'no stream worker runs on a standby');
my $failover = $primary->major_version >= 17
  && $primary->sql("SELECT failover FROM pg_replication_slots WHERE slot_name ~ '^fast_ingest'") eq 't';
SKIP:
{
	skip 'slots that fail over came with PostgreSQL 17', 1 unless $primary->major_version >= 17;
	ok($failover, 'the slot may be synchronized to standbys');
}

$primary->node->stop('immediate');
my $before = $webhook->count;

promote($standby);
my $stream = wait_for_state($standby, 'out', 'lost', 'whole: on the promoted standby, to which no slot was synchronized, the stream is lost');

like($stream->{detail}, qr/slot/, "and says why: $stream->{detail}");
like(slurp_file($standby->node->logfile), qr/stream "out".*lost/, 'so does the log');
is(post_events($standby, 21 .. 30), 10, 'events come in all the same');
$standby->restart;
wait_for_state($standby, 'out', 'lost', 'it is lost after a restart, too');
is($webhook->count, $before, 'not one request was posted');

$standby->sql("SELECT fi_resume_stream('out', refill => true)");
is(wait_for_users($webhook, 30), 30, 'filled up, the target has all events');
wait_for_state($standby, 'out', 'running');
is(common([ ids(($webhook->requests)[ 0 .. $before - 1 ]) ], [ ids($webhook->requests($before)) ]), '', 'under new ids');
is(post_events($standby, 31 .. 40), 10, 'new events');
is(wait_for_users($webhook, 40), 40, 'arrive');
$standby->node->stop;

# ---------------------------------------------------------------------------
# One that lags, filled up or not
# ---------------------------------------------------------------------------

foreach my $how ('refill', 'skip_lost')
{
	($webhook, $primary, $standby) = pair($how);

	# The primary goes on alone
	$standby->node->stop;
	is(post_events($primary, 101 .. 120), 20, "$how: events that the standby does not get");
	is(wait_for_users($webhook, 40), 40, 'arrive');
	$primary->node->stop('immediate');
	my @old = $webhook->requests;

	$standby->node->start;
	promote($standby);
	wait_for_state($standby, 'out', 'lost', "$how: a standby that lagged is promoted: the stream is lost");
	is(post_events($standby, 201 .. 240), 40, 'other events, at positions that were used before');
	is($webhook->count, scalar @old, 'nothing is posted');

	$standby->sql("SELECT fi_resume_stream('out', $how => true)");
	wait_for_state($standby, 'out', 'running');
	is(post_events($standby, 301 .. 320), 20, 'new events');
	my $wanted = 40 + ($how eq 'refill' ? 40 : 0) + 20;
	is(wait_for_users($webhook, $wanted), $wanted, $how eq 'refill' ? 'all arrive' : 'arrive, and not the lost ones');
	my @new = $webhook->requests(scalar @old);

	is(common([ ids(@old) ], [ ids(@new) ]), '', 'no id of a batch or an event from before comes again');
	$standby->node->stop;
}

done_testing();
