# The files that are built into the library are in it also when PostgreSQL and its extensions are
# built with link-time optimization, as distributions do.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use FastIngest;
use PostgreSQL::Test::Utils;
use Test::More;

my $src = "$FindBin::RealBin/../../src";
my $made = "$FindBin::RealBin/../../tmp_build/web";
my $library = PostgreSQL::Test::Utils::tempdir() . '/pages.so';

# The private copy of PostgreSQL has no headers
my $path = join ':', grep { !m{/tmp_install/} } split /:/, $ENV{PATH};

sub pg_config
{
	local $ENV{PATH} = $path;
	my ($value) = run_command([ $ENV{PG_CONFIG} || 'pg_config', "--$_[0]" ]);

	return $value;
}

my ($out, $errors) = run_command(
	[
		split(' ', pg_config('cc')), '-flto', '-O2', '-fPIC', '-shared', '-D_GNU_SOURCE', "-I$src",
		'-I' . pg_config('includedir-server'), "-Wa,-I$made", '-o', $library,
		glob("$src/http/pages/*.[cS]")
	]);
is($errors =~ s/^lto-wrapper:.*\n?//gmr, '', 'the pages: built with -flto');

my $built = -f $library ? slurp_file($library) : '';
my @files = map { ($_, "$_.gz", "$_.etag") } qw(index.html docs.html openapi.json);
cmp_ok(index($built, slurp_file("$made/$_")), '>', 0, "$_ is in it") foreach @files, 'index.html.csp', 'docs.html.csp';
my ($undefined) = run_command([ 'nm', '-D', '--undefined-only', $library ]);
unlike($undefined, qr/page_/, 'nothing of it is looked for elsewhere');

done_testing();
