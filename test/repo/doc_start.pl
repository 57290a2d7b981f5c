# The commands of the pages that a newcomer reads first.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use FastIngest::Doc;

run_pages('README.md', 'doc/install.md');
