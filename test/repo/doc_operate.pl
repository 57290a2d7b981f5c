# The commands of the page for whoever runs a server.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use FastIngest::Doc;

run_pages('doc/operate.md');
