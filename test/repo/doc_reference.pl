# The commands of the pages to look things up, and of those about how it works.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use FastIngest::Doc;

run_pages(map { "doc/$_.md" }
	  qw(reference-settings reference-sql reference-http reliability performance internals contributing));
