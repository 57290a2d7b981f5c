# make dist: the release archive holds what is committed and nothing that make built, it
# builds the extension, which installs and uninstalls, and everything that has a version has the same one.

use strict;
use warnings;

use FindBin;
use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;

my $tree = "$FindBin::RealBin/../..";
my $directory = PostgreSQL::Test::Utils::tempdir();

# neither the make that runs the tests, nor the copy of PostgreSQL they run with
delete @ENV{qw(MAKEFLAGS MAKELEVEL MFLAGS)};
$ENV{PATH} = join ':', grep { !/tmp_install/ } split /:/, $ENV{PATH};

sub output_of
{
	my ($command) = @_;
	my $output = `$command`;

	die "failed: $command: $output" if $?;
	return $output;
}

# Versions

my $meta = decode_json(slurp_file("$tree/META.json"));
my ($control_version) = slurp_file("$tree/fast_ingest.control") =~ /^default_version = '(.*)'$/m;

is($meta->{version}, "$control_version.0", 'META.json has the version of fast_ingest.control');
is($meta->{provides}{fast_ingest}{version}, $meta->{version}, 'which is that of the extension');
my $api = decode_json(slurp_file("$tree/web/openapi.json"));
is($api->{info}{version}, $control_version, 'and of the description of the API');
ok(-f "$tree/$meta->{provides}{fast_ingest}{$_}", "META.json: the $_ is there") foreach qw(file docfile);
my @headings = slurp_file("$tree/CHANGELOG.md") =~ /^## \[(.*?)\]/mg;
is($headings[0], 'Unreleased', 'the changelog begins with what is not released');
like($_, qr/\A\d+\.\d+\.\d+\z/, "the changelog has a version $_") foreach @headings[ 1 .. $#headings ];

# The archive, of a repository made here: the copy of the tree that the tests run in has none

mkdir "$directory/tree" or die $!;
output_of("tar -c -C '$tree' --exclude=./.git --exclude='./tmp_*' . | tar -x -C '$directory/tree'");
my $git = "git -C $directory/tree -c user.name=test -c user.email=test\@localhost";
output_of("$git -c init.defaultBranch=main init -q && $git add -A && $git commit -q -m test");
my $name = "fast_ingest-$meta->{version}";

is(output_of("make -s -C $directory/tree dist"), "tmp_dist/$name.zip\ntmp_dist/$name.tar.gz\n", 'make dist: says what it made');
output_of("unzip -q $directory/tree/tmp_dist/$name.zip -d $directory");
is(output_of("tar -t -f $directory/tree/tmp_dist/$name.tar.gz | grep -v '/\$' | sort"),
	output_of("cd $directory && find $name -type f | sort"),
	'both archives hold the same');
is(output_of("cd $directory/$name && find . -path './tmp_*' -o -name '*.o' -o -name '*.so' -o -name '*.d' -type f"),
	'', 'nothing that was built');
ok(-f "$directory/$name/$_", "it has $_")
  foreach qw(Makefile META.json README.md CHANGELOG.md LICENSE fast_ingest.control sql/fast_ingest.sql src/fast_ingest.c);

output_of("make -s -C $directory/$name -j2 2>&1");
output_of("make -s -C $directory/$name install DESTDIR=$directory/install 2>&1");
chomp(my $pkglibdir = `pg_config --pkglibdir`);
ok(-s "$directory/install$pkglibdir/fast_ingest.so", 'it builds and installs the extension');
chomp(my $docdir = `pg_config --docdir`);
is(output_of("cd $directory/install$docdir/extension/fast_ingest && find . -type f | sort"),
	output_of("cd $directory/$name && find ./LICENSE ./README.md ./doc -type f | sort"),
	'and the pages, in folders in which their links hold');
output_of("make -s -C $directory/$name uninstall DESTDIR=$directory/install 2>&1");
is(output_of("find $directory/install -not -type d -o -name 'fast_ingest*'"), '', 'make uninstall: leaves nothing');

# What the Dockerfile copies is enough to install. It is built already, and cp keeps its times.

my @copied = map { split ' ' } slurp_file("$tree/docker/Dockerfile") =~ /^COPY (?!--)(.*) \S+$/mg;
cmp_ok(scalar(grep { $_ ne 'docker/entrypoint.sh' } @copied), '>', 3, 'the Dockerfile copies files');
mkdir "$directory/image" or die $!;
output_of("cd $directory/$name && cp -a --parents @copied fast_ingest.so $directory/image");
is(system("make -s -C $directory/image install DESTDIR=$directory/install >$directory/image.log 2>&1"), 0,
	'the Docker image can be built of what it gets')
  or diag(slurp_file("$directory/image.log"));

# Without a repository

like(`make -s -C $directory/$name dist 2>&1`, qr/is not a git repository/, 'an archive makes no archive');

done_testing();
