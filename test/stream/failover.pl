# A standby to which PostgreSQL synchronizes the slot of a stream takes the stream over when it is
# promoted. Nothing is sent that the standby does not have, and a batch that may have arrived is
# sent again under its own id, so that the target has each event once.

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

plan skip_all => 'slots are synchronized to standbys since PostgreSQL 17'
  if (qx(postgres --version) =~ /(\d+)/)[0] < 17;

my $webhook = FastIngest::Webhook->new;
my $primary = FastIngest->new('primary', conf => stream_conf() . <<'EOC');
fast_ingest.deduplicate = 'key'
hot_standby = on
wal_sender_timeout = 0
EOC

my $posted = 0;

# Post that many events more, each in a transaction.
sub post_events
{
	my ($server, $count) = @_;
	my @numbers = $posted + 1 .. $posted + $count;

	$posted += $count;
	is(scalar(grep { $server->post_event(event($_))->{status} eq '202' } @numbers), $count, "$count events come in");
	return;
}

# The events that the target has, without a batch that came again: user by id
sub events_of_target
{
	my (%batches, %users);

	foreach my $request (grep { !$batches{ $_->{headers}{'webhook-id'} }++ } $webhook->requests)
	{
		foreach my $event (map { JSON::PP::decode_json($_) } @{ $request->{rows} })
		{
			$users{ $event->{id} } .= $event->{user_id};
		}
	}
	return %users;
}

sub check_events
{
	my ($test) = @_;
	my %users;

	wait_until(sub { %users = events_of_target(); keys %users >= $posted });
	is_deeply([ sort values %users ], [ sort map { "user-$_" } 1 .. $posted ], $test);
	return %users;
}

# Is the state as it is when all that was sent has been noted?
sub wait_until_noted
{
	return wait_until(
		sub { $primary->sql('SELECT intent_id IS NULL AND done_lsn <> \'0/0\' FROM fast_ingest.stream_progress') eq 't' });
}

$primary->sql("SELECT pg_create_physical_replication_slot('standby', true)");
$primary->sql("SELECT fi_create_stream('out', 'webhook', '" . $webhook->url('/events') . "', flush_interval => '20 ms')");
wait_for_state($primary, 'out', 'running');
my $standby = $primary->standby('standby', conf => <<EOC);
primary_conninfo = 'host=@{[ $primary->node->host ]} port=@{[ $primary->node->port ]} dbname=postgres application_name=standby'
primary_slot_name = 'standby'
hot_standby_feedback = on
sync_replication_slots = on
EOC
$primary->set(synchronized_standby_slots => 'standby');

# The standby takes a slot when the primary's needs nothing that the standby does not have
ok( wait_until(
		sub {
			$primary->sql('SELECT pg_log_standby_snapshot()');
			$primary->post_event(event(++$posted));
			wait_until_noted();
			return $standby->sql("SELECT synced AND NOT temporary FROM pg_replication_slots WHERE slot_name ~ '^fast_ingest'") eq 't';
		}),
	'the slot is synchronized');
post_events($primary, 20);
check_events('the primary sends events');

# A standby that is away
$standby->node->stop;
my $before = $webhook->count;
post_events($primary, 5);
my $stream = wait_for_state($primary, 'out', 'waiting', 'the stream waits for a standby that is away');
like($stream->{detail}, qr/synchronized_standby_slots/, "and says so: $stream->{detail}");
like(slurp_file($primary->node->logfile), qr/"standby" specified in parameter "synchronized_standby_slots"/, 'the log says for which');
is($webhook->count, $before, 'nothing is sent that the standby does not have');
$standby->node->start;
check_events('it is sent when the standby has it');
wait_for_state($primary, 'out', 'running');
ok(wait_until_noted(), 'and noted');

# A batch is on its way, and the standby gets nothing of what becomes of it
$webhook->pause;
post_events($primary, 1);
ok(wait_until(sub { $standby->sql('SELECT intent_id IS NOT NULL FROM fast_ingest.stream_progress') eq 't' }),
	'a standby knows of a batch before it is sent');
$primary->node->wait_for_catchup($standby->node, 'flush', $primary->node->lsn('insert'));
my $batch = $standby->sql('SELECT intent_id FROM fast_ingest.stream_progress');
my $receiver = $standby->sql('SELECT pid FROM pg_stat_wal_receiver');
is(kill('STOP', $receiver), 1, 'the standby receives no WAL');
$webhook->go_on;
ok(wait_until_noted(), 'the primary notes that the batch was sent');
post_events($primary, 1);
wait_for_state($primary, 'out', 'waiting', 'the next event waits');
my $noted = $standby->sql('SELECT confirmed_lsn FROM fast_ingest.stream_progress');
is($primary->sql("SELECT confirmed_flush_lsn <= '$noted' FROM pg_replication_slots WHERE slot_name ~ '^fast_ingest'"),
	't', 'the slot confirms nothing that the standby does not know of');

# The primary dies, and with it the event that only it had
$primary->node->stop('immediate');
$posted--;
kill 'TERM', $receiver;
kill 'CONT', $receiver;
$standby->node->promote;
$standby->wait_ready;
wait_for_state($standby, 'out', 'running', 'on the promoted standby the stream goes on by itself');
my @same = ();
ok(wait_until(sub { @same = grep { $_->{headers}{'webhook-id'} eq $batch } $webhook->requests; @same == 2 }),
	'the batch that may have arrived is sent again under its id');
is($same[1]{text}, $same[0]{text}, 'byte for byte');
post_events($standby, 20);
my %users = check_events('the target has each event once, and none is missing');
my %timelines;
$timelines{ /^[^-]+-(\d+)-/ ? $1 : '' }++ foreach keys %users;
is_deeply(\%timelines, { 1 => $posted - 20, 2 => 20 }, 'ids name the timeline of each commit');
is(scalar(grep { $_->{headers}{'webhook-id'} =~ /^fi-[^-]+-2-/ } $webhook->requests) > 0, 1, 'and those of batches');
$standby->restart;
post_events($standby, 5);
check_events('so it does after a restart');
wait_for_state($standby, 'out', 'running');

done_testing();
