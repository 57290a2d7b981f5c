# A PostgreSQL server that runs fast_ingest, and clients to talk to it.
#
#   my $server = FastIngest->new('name');          # started, CREATE EXTENSION done, ready
#   my $answer = $server->post_event(event(1));    # { status, headers, body, json }
#
# The methods stand in the classes below, and what they export is exported here too.
# Nothing in there waits for a time: everything waits for a condition, with a
# deadline of PG_TEST_TIMEOUT_DEFAULT (180 seconds).

package FastIngest;

use strict;
use warnings;

use Exporter 'import';
use FastIngest::Books;
use FastIngest::Event;
use FastIngest::Http;
use FastIngest::Process;
use FastIngest::Server;
use FastIngest::Wait;

our @ISA = qw(FastIngest::Server FastIngest::Http FastIngest::Event FastIngest::Process FastIngest::Books);
our @EXPORT = (
	@FastIngest::Books::EXPORT, @FastIngest::Event::EXPORT,
	@FastIngest::Http::EXPORT, @FastIngest::Wait::EXPORT);

1;
