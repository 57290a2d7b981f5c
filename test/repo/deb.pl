# make deb: the package holds what make install installs, dpkg installs it beside Debian's
# PostgreSQL, and the server there takes an event and counts it.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use FastIngest;
use JSON::PP qw(decode_json);
use PostgreSQL::Test::Utils;
use Test::More;

my $tree = "$FindBin::RealBin/../..";
my $directory = PostgreSQL::Test::Utils::tempdir();

# neither the make that runs the tests, nor the copy of PostgreSQL they run with
delete @ENV{qw(MAKEFLAGS MAKELEVEL MFLAGS)};
my $path = join ':', grep { !/tmp_install/ } split /:/, $ENV{PATH};

sub run
{
	my (@command) = @_;

	system(@command) == 0 or die "failed: @command";
	return;
}

chomp(my $bin = `pg_config --bindir`);
my ($private) = $bin =~ m{\A(.*/tmp_install)/} or die "not a private installation: $bin";
my $pg_bin = $bin =~ s/\A\Q$private\E//r;

plan skip_all => "the PostgreSQL of $pg_bin is not Debian's" unless $pg_bin =~ m{\A/usr/lib/postgresql/(\d+)/bin\z};
my $package = "postgresql-$1-fast-ingest";

# The package

run('mkdir', "$directory/tree");
run("tar -c -C '$tree' --exclude='./tmp_*' . | tar -x -C '$directory/tree'");
my $output = do { local $ENV{PATH} = $path; `make -s -C $directory/tree deb 2>&1` };
like($output, qr{^tmp_deb/\Q$package\E_\S+\.deb$}m, 'make deb: says what it made') or BAIL_OUT($output);
my ($deb) = glob "$directory/tree/tmp_deb/${package}_*.deb";

my $meta = decode_json(slurp_file("$tree/META.json"));
chomp(my $version = `dpkg-deb -f $deb Version`);
is($version, "$meta->{version}-1", 'its version is that of META.json');
like(`dpkg-deb -f $deb Depends`, qr/\b\Q$_\E\b/, "it depends on $_") foreach 'libcurl4', 'libmicrohttpd12', 'libroaring0', "postgresql-$1";

# Installed into a root of its own, which has the PostgreSQL of the tests without fast_ingest

my $root = "$directory/root";
run('cp', '-a', $private, $root);
run("find '$root' -name '*fast_ingest*' -exec rm -rf {} +");
run('mkdir', '-p', map { "$root/var/lib/dpkg/$_" } qw(info updates));
run('touch', "$root/var/lib/dpkg/status");
{
	# dpkg wants what root has in its PATH
	local $ENV{PATH} = "$path:/usr/sbin:/sbin";

	$output = `fakeroot dpkg --root=$root --force-depends --install $deb 2>&1`;
	is($?, 0, 'dpkg installs it') or diag($output);
}
my @files = grep { -f "$root$_" } split /\n/, `dpkg --root=$root --listfiles $package`;
ok(scalar(grep { /$_\z/ } @files), "it has $_") foreach qw(/fast_ingest.so /fast_ingest.control /copyright /README.md /doc/install.md), qr{/fast_ingest--[\d.]+\.sql};

my $server = FastIngest->new('package', install_path => "$root$pg_bin" =~ s{/bin\z}{}r);

is($server->post_event(event(1))->{status}, 202, 'an event is taken');
is($server->sql("SELECT total_events, unique_users FROM fi_metrics('@{[event(1)->{event_name}]}')"), '1|1', 'and counted');
$server->node->stop;

# And removed

{
	local $ENV{PATH} = "$path:/usr/sbin:/sbin";

	$output = `fakeroot dpkg --root=$root --remove $package 2>&1`;
	is($?, 0, 'dpkg removes it') or diag($output);
}
is(join(' ', grep { -e "$root$_" } @files), '', 'and leaves nothing behind');

done_testing();
