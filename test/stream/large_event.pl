# An event that is small in the table, and whose text is larger than any buffer: numbers of a few
# bytes with 131,000 digits. It becomes a dead letter, and the events behind it come: those of now,
# and those that are read from the table.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use FastIngest::Streams;
use FastIngest::Wait;
use FastIngest::Webhook;
use Test::More;

my $webhook = FastIngest::Webhook->new;
my $server = FastIngest::Streams->new('large_event', streams => 2);

sub users
{
	my ($from) = @_;

	return join ' ', sort map { $_->{user_id} } $webhook->events($from);
}

sub dead_letters
{
	my ($name) = @_;

	return $server->sql("SELECT string_agg(reason, ', ') FROM fast_ingest.stream_dead_letters JOIN fast_ingest.streams AS s ON s.id = stream_id WHERE name = '$name'");
}

$server->create_stream('live', 'webhook', $webhook->url);
$server->wait_for_state('live', 'running');
my $numbers = '[' . join(',', ('1e131071') x 9000) . ']';

foreach my $user (qw(before large behind))
{
	my $metadata = $user eq 'large' ? qq(, "metadata": {"n": $numbers}) : '';

	is($server->post('/events', qq({"event_name": "view", "channel": "web", "user_id": "$user", "timestamp": "2024-05-01T00:00:00Z"$metadata}))->{status},
		202, "the event \"$user\" is taken");
}
ok(wait_until(sub { users() eq 'before behind' }), 'the events around it come') or diag(users());
like(dead_letters('live'), qr/\Athe event is too large: .* 100 MB\z/, 'it is a dead letter that says so');

$server->sql('SELECT fi_retry_stream_dead_letters(\'live\')');
ok(wait_until(sub { $server->sql('SELECT count(*) FROM fast_ingest.stream_dead_letters WHERE NOT retry') == 1 }), 'it is one again after a retry');

my $from = $webhook->count;

$server->create_stream('backfill', 'webhook', $webhook->url, backfill_since => '-infinity');
ok(wait_until(sub { users($from) eq 'before behind' }), 'a backfill sends the events around it') or diag(users($from));
like(dead_letters('backfill'), qr/\Athe event is too large/, 'and it is a dead letter');
$server->node->stop;

done_testing();
