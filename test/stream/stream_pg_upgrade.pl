# pg_upgrade and streams. Before PostgreSQL 17 it leaves logical slots behind: the stream is lost
# and says so, posts nothing, and is filled up upon command. From 17 on it takes a slot along that
# has read everything. It runs between two clusters of the version that is tested.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use FastIngest;
use FastIngest::StreamState;
use FastIngest::Webhook;
use PostgreSQL::Test::Utils;
use Test::More;

my $webhook = FastIngest::Webhook->new;
my $conf = stream_conf() . "autovacuum = off\n";
my $old = FastIngest->new('old', conf => $conf);
my $new = FastIngest->new('new', conf => $conf, start => 0);
my $version = $old->major_version;

chomp(my $bin = `pg_config --bindir`);

$old->sql("SELECT fi_create_stream('out', 'webhook', '" . $webhook->url('/events') . "', flush_interval => '20 ms')");
wait_for_state($old, 'out', 'running');
is($old->post_bulk([ map { event($_) } 1 .. 50 ])->{json}{accepted}, 50, 'events');
is($webhook->wait_for_events(50), 50, 'arrive');
wait_for_stream($old, 'out', sub { $_[0]->{lag_events} == 0 });
my $progress = $old->sql('SELECT epoch, slot_name, stream_id FROM fast_ingest.stream_progress');

$old->node->stop;
my $before = $webhook->count;
my $directory = PostgreSQL::Test::Utils::tempdir();

chdir $directory or die "no $directory: $!";
command_ok(
	[
		'pg_upgrade', '--retain', '--old-datadir', $old->node->data_dir, '--new-datadir', $new->node->data_dir,
		'--old-bindir', $bin, '--new-bindir', $bin, '--socketdir', $new->node->host,
		'--old-port', $old->node->port, '--new-port', $new->node->port, '--username', getpwuid($<) || 'postgres'
	],
	'pg_upgrade after a stop of the server');
chdir $FindBin::RealBin;
is($webhook->count, $before, 'its servers post nothing');

$new->node->start;
$new->wait_ready;
is($new->sql('SELECT epoch, slot_name, stream_id FROM fast_ingest.stream_progress'), $progress, 'the stream has come along');

if ($version < 17)
{
	is($new->sql('SELECT count(*) FROM pg_replication_slots'), 0, 'its slot has not');
	my $stream = wait_for_state($new, 'out', 'lost', 'so the stream is lost');

	like($stream->{detail}, qr/slot/, "and says why: $stream->{detail}");
	is($new->post_bulk([ map { event($_) } 51 .. 80 ])->{json}{accepted}, 30, 'events come in all the same');
	$new->restart;
	wait_for_state($new, 'out', 'lost', 'also after a restart');
	is($webhook->count, $before, 'not one request was posted');
	$new->sql("SELECT fi_resume_stream('out', refill => true)");
}
else
{
	note('PostgreSQL 17 and later: the slot comes along');
	is($new->sql('SELECT count(*) FROM pg_replication_slots'), 1, 'its slot has come along, too');
	is($new->post_bulk([ map { event($_) } 51 .. 80 ])->{json}{accepted}, 30, 'events');
}
is($webhook->wait_for_events(80), 80, 'the target has all events');
wait_for_state($new, 'out', 'running');
$new->node->stop;

done_testing();
