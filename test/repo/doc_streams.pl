# The commands of the pages about streams, with a real ClickHouse: what /metrics answers here, its
# SQL answers there.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use FastIngest::ClickHouse;
use FastIngest::Doc;
use PostgreSQL::Test::Cluster;

my $clickhouse = FastIngest::ClickHouse->new;

lead_port(8123, $clickhouse->port);

# Nobody listens there
lead_port(9000, PostgreSQL::Test::Cluster::get_free_port());

run_pages('doc/streams.md', 'doc/grow.md');
