# The commands of the page for whoever asks for metrics.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use FastIngest::Doc;

run_pages('doc/metrics.md');
