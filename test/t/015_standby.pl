# A standby takes no events and is kept from nothing; promoted, it opens the
# port by itself and knows what the old primary has stored.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use FastIngest;
use IO::Socket::INET;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $primary = FastIngest->new('primary', conf => "wal_level = replica\nmax_wal_senders = 4\nhot_standby = on");
my $port = PostgreSQL::Test::Cluster::get_free_port();
my $standby = PostgreSQL::Test::Cluster->new('standby');

sub opens
{
	return defined IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port, Timeout => 5);
}

is($primary->post_bulk([ map { event($_) } 1 .. 50 ])->{json}{accepted}, 50, 'events on the primary');
$primary->node->append_conf('pg_hba.conf', "local replication all trust");
$primary->node->reload;
$primary->node->backup('backup');
$standby->init_from_backup($primary->node, 'backup', has_streaming => 1);
$standby->append_conf('postgresql.conf', "fast_ingest.port = $port");
$standby->start;
$primary->node->wait_for_catchup($standby, 'replay', $primary->node->lsn('write'));

is($standby->safe_psql('postgres', 'SELECT count(*) FROM fast_ingest.events'), 50, 'the standby has them');
ok(!opens(), 'it does not listen');
is($standby->safe_psql('postgres', q(SELECT string_agg(DISTINCT state, ' ') FROM fi_status())),
	'stopped', 'fi_status() says that its workers do not run');

$primary->node->stop('fast');
$standby->promote;
ok(wait_until(\&opens), 'promoted, it listens');

$primary->{node} = $standby;
$primary->{port} = $port;
is($primary->wait_ready->{status}, 200, 'it is ready');
is($primary->post_bulk([ map { event($_) } 26 .. 75 ])->{json}{accepted}, 50, 'events on the new primary');
is($primary->count, 75, 'those it had are not stored again');
$standby->stop;

done_testing();
