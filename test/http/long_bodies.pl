# A listener that reads a long body still takes its part in the cluster: DROP DATABASE and others
# that wait for every process need not wait for the end of the body. A process that handles
# interrupts also reports its memory when asked, here in the middle of an event that has
# megabytes already.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use FastIngest;
use PostgreSQL::Test::Utils;
use Test::More;

my $server = FastIngest->new('long_bodies');
my $listener = $server->worker_pid('listener');
my $texts = join ',', map { '"' . 'x' x 200 . '"' } 1 .. 90_000;
my $n = 0;

# A long event: its metadata is built up while the body is read
sub long_event
{
	return '{"event_name":"long","channel":"web","user_id":"u' . ++$n
	  . "\",\"timestamp\":$NOON,\"metadata\":{\"texts\":[$texts]}}";
}

my $asked = "DO \$\$ BEGIN FOR i IN 1 .. 50 LOOP PERFORM pg_log_backend_memory_contexts($listener); PERFORM pg_sleep(0.01); END LOOP; END \$\$";
my $asker = $server->node->background_psql('postgres');
my $offset = length slurp_file($server->node->logfile);

my $seen = 0;

# when the listener is asked is a matter of luck
for (my $try = 0; $try < 20 && !$seen; $try++)
{
	$asker->query_until(qr/asked/, "\\echo asked\n$asked;\n");
	is($server->post_event(long_event())->{status}, 202, "long event $n") foreach 1 .. 3;
	$asker->query_safe('SELECT 1');
	$seen = slurp_file($server->node->logfile, $offset) =~ /fast_ingest event: \d{7,} total/;
}
ok($seen, 'the listener looks at interrupts in the midst of an event');
$asker->quit;
is($server->count, $n, 'all of them are stored');
is($server->worker_pid('listener'), $listener, 'it is still the same listener');

$server->books_balance;
$server->node->stop;
done_testing();
