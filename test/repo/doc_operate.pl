# The commands of the pages for whoever runs a server.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use FastIngest::Doc;

run_pages('doc/operate.md', 'doc/monitor.md', 'doc/troubleshoot.md');
