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
my $library = PostgreSQL::Test::Utils::tempdir() . '/docs.so';

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
		'-I' . pg_config('includedir-server'), "-Wa,-I$src/http/answer/pages", '-o', $library,
		glob("$src/http/answer/pages*.[cS]")
	]);
is($errors =~ s/^lto-wrapper:.*\n?//gmr, '', 'the files of the documentation: built with -flto');

my $built = -f $library ? slurp_file($library) : '';
cmp_ok(index($built, slurp_file("$src/http/answer/pages/$_")), '>', 0, "$_ is in it") foreach 'openapi.json', 'docs.html';
my ($undefined) = run_command([ 'nm', '-D', '--undefined-only', $library ]);
unlike($undefined, qr/docs/, 'nothing of it is looked for elsewhere');

done_testing();
