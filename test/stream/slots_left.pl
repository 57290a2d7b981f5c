# Where there are no workers for streams, those who drop a stream, or the extension, drop the slots,
# which would hold back WAL until the disk is full.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use FastIngest::Streams;
use FastIngest::Wait;
use FastIngest::Webhook;
use Test::More;

my $webhook = FastIngest::Webhook->new;
my $server = FastIngest::Streams->new('slots_left', streams => 4);

sub slots
{
	return $server->sql('SELECT count(*) FROM pg_replication_slots');
}

foreach my $name (qw(a b c d))
{
	$server->create_stream($name, 'webhook', $webhook->url);
	$server->wait_for_state($name, 'running');
}
$server->node->append_conf('postgresql.conf', 'fast_ingest.max_streams = 0');
$server->restart;

$server->sql("BEGIN; SAVEPOINT s; SELECT fi_drop_stream('a'); ROLLBACK TO s; COMMIT");
is(slots(), 4, 'a savepoint that is rolled back drops no slot');
$server->sql("BEGIN; SELECT fi_drop_stream('a'); ROLLBACK");
is(slots(), 4, 'nor does a transaction');
$server->sql("SELECT fi_drop_stream(name) FROM fi_streams() WHERE name IN ('a', 'b')");
is(slots(), 2, 'a transaction that drops two streams drops both slots');
$server->sql('BEGIN; DROP EXTENSION fast_ingest; ROLLBACK');
is(slots(), 2, 'the extension is not dropped');

# as after a crash between noting that it is lost and dropping the slot
$server->sql("UPDATE fast_ingest.stream_progress SET lost_at = now(), lost_reason = 'a test'
	WHERE stream_id = (SELECT id FROM fast_ingest.streams WHERE name = 'd')");
$server->node->append_conf('postgresql.conf', 'fast_ingest.max_streams = 4');
$server->restart;
ok(wait_until(sub { slots() == 1 }, 60), 'the slot of a lost stream is dropped');
ok($server->wait_for_state('c', 'running'), 'and that of another one is in use');
$server->node->append_conf('postgresql.conf', 'fast_ingest.max_streams = 0');
$server->restart;
$server->sql('DROP EXTENSION fast_ingest');
is(slots(), 0, 'the extension is dropped with its slot');
$server->node->stop;

done_testing();
