# The commands of the pages for whoever sends events.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use FastIngest::Doc;

run_pages('doc/send-events.md', 'doc/api-keys.md');
