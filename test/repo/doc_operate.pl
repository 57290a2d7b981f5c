# The commands of the pages for whoever runs a server, and opens it to others.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use FastIngest::Doc;

run_pages('doc/operate.md', 'doc/secure.md');
