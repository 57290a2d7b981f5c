# The books balance when the disk is full and has room again. The disk is a small file system in
# memory, in a mount namespace of this test.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use Test::More;

# In the namespace from here on. PostgreSQL's modules take standard output when
# they are loaded.
BEGIN
{
	my @namespace = qw(unshare --map-current-user --mount --keep-caps);

	if (!$ENV{FI_SMALL_DISK})
	{
		plan skip_all => 'no mount namespace here: the disk cannot be made full'
		  if system("@namespace mount -t tmpfs tmpfs /mnt 2>/dev/null") != 0;
		$ENV{FI_SMALL_DISK} = 1;
		exec @namespace, $^X, $0, @ARGV
		  or die "could not run @namespace: $!";
	}
}

use FastIngest;
use FastIngest::Fault;
use PostgreSQL::Test::Utils;

my ($rounds, $seconds) = $ENV{FI_TORTURE} ? (3, 10) : (1, 2);
my $disk = PostgreSQL::Test::Utils::tempdir();
my $elsewhere = PostgreSQL::Test::Utils::tempdir();

# Fill the disk for some seconds.
sub fill_disk
{
	my $file = "$disk/ballast";

	system("cat /dev/zero >$file 2>/dev/null");
	sleep $seconds;
	unlink $file;
	return;
}

sub mount_disk
{
	system_or_bail('mount', '-t', 'tmpfs', '-o', 'size=300m', 'tmpfs', $disk);
	return;
}

# Tables cannot grow: nothing is stored meanwhile, and nothing needs to be started
# again.
mount_disk();
my $server = FastIngest->new(
	'tables_full',
	directory => $disk,
	initdb => [ '--waldir', "$elsewhere/wal" ],
	conf => $FastIngest::Fault::CONF);
my $postmaster = $server->sql("SELECT pg_postmaster_start_time()");

fault($server, "no room for tables for $seconds s", $rounds, \&fill_disk);
is($server->sql("SELECT pg_postmaster_start_time()"), $postmaster, 'the server is the same');
like(slurp_file($server->node->logfile), qr/No space left on device/, 'the disk was full');
$server->node->stop;
system_or_bail('umount', $disk);

# Nor can the WAL: PostgreSQL panics and may not come back by itself.
mount_disk();
$server = FastIngest->new(
	'wal_full',
	directory => $disk,
	initdb => ['--wal-segsize=1'],
	conf => "$FastIngest::Fault::CONF\nmin_wal_size = 2MB\nwal_recycle = off");

fault($server, "no room for WAL for $seconds s", $rounds,
	sub {
		fill_disk();
		$server->recover;
	});
like(slurp_file($server->node->logfile), qr/No space left on device/, 'the disk was full');
$server->node->stop;

done_testing();
