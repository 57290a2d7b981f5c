# The commands of the pages for whoever watches a server.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use FastIngest::Doc;

run_pages('doc/monitor.md', 'doc/troubleshoot.md');
