# The commands of the pages for whoever asks for metrics, and for raw events.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use FastIngest::Doc;

run_pages('doc/dashboard.md', 'doc/metrics.md', 'doc/tools.md', 'doc/export.md');
