# A process that decodes WAL does not hold vacuum back from rows of ordinary tables. The stream's
# worker decodes, and runs transactions of its own: in those it must hold vacuum back as any other
# process does, or the rows that it reads could be taken away.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use FastIngest;
use FastIngest::StreamState;
use FastIngest::Webhook;
use Test::More;

my $webhook = FastIngest::Webhook->new;
my $server = FastIngest->new('flag', conf => stream_conf() . "autovacuum = off\n");
my $number = 0;

# Delete a row, vacuum, and return how many dead rows vacuum must leave.
sub dead_rows_left
{
	my $table = 'public.victim' . ++$number;

	$server->sql("CREATE TABLE $table AS SELECT 1 AS n; DELETE FROM $table");
	my ($result, $stdout, $stderr) = $server->node->psql('postgres', "VACUUM (VERBOSE) $table");
	my ($left) = $stderr =~ /(\d+) (?:are dead but not yet removable|dead row versions cannot be removed yet)/;

	return $left;
}

$server->sql("SELECT fi_create_stream('out', 'webhook', '" . $webhook->url('/events') . "', flush_interval => '20 ms')");
wait_for_state($server, 'out', 'running');
is($server->post_event(event(1))->{status}, 202, 'an event');
is($webhook->wait_for_events(1), 1, 'arrives');
wait_for_stream($server, 'out', sub { $_[0]->{lag_events} == 0 });
is(dead_rows_left(), 0, 'an idle worker does not hold vacuum back');

# Have it wait in the midst of a transaction: for a lock that takes no transaction id, which itself
# would hold vacuum back.
my $session = $server->node->background_psql('postgres');

$session->query_safe('BEGIN');
$session->query_safe('LOCK TABLE fast_ingest.stream_progress IN EXCLUSIVE MODE');
is(dead_rows_left(), 0, 'nor does a lock');
is($server->post_event(event(2))->{status}, 202, 'an event');
ok( wait_until(
		sub {
			$server->sql("SELECT count(*) FROM pg_stat_activity WHERE backend_type ~ '^fast_ingest stream' AND wait_event_type = 'Lock' AND backend_xmin IS NOT NULL") == 1;
		}),
	'the worker waits in a transaction, with a snapshot');
cmp_ok(dead_rows_left(), '>', 0, 'vacuum leaves what it may still see');
$session->query_safe('COMMIT');
$session->quit;
is($webhook->wait_for_events(2), 2, 'the event arrives');
ok(wait_until(sub { dead_rows_left() == 0 }), 'afterwards vacuum takes everything');
$server->node->stop;

done_testing();
