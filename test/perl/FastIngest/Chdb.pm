# The engine of a new ClickHouse (npm's chdb, 26.7), behind test/stream/chdb_front.js: with tokens,
# windows and headers that Debian's 18.16 does not have. It is used like FastIngest::ClickHouse.
# `make stream-packages` installs it; there is one for x86-64 only.

package FastIngest::Chdb;

use strict;
use warnings;

use Cwd ();
use Exporter 'import';
use FastIngest::ClickHouse;
use File::Basename ();
use POSIX ();

our @ISA = qw(FastIngest::ClickHouse);
our @EXPORT_OK = qw(no_chdb_here);

my $tree = Cwd::abs_path(File::Basename::dirname(__FILE__) . '/../../..');
my $packages = $ENV{FI_STREAM_PACKAGES} || "$tree/tmp_stream_packages";

# Why there can be none on this machine, for plan skip_all; undef where there can.
sub no_chdb_here
{
	my $machine = (POSIX::uname())[4];

	return $machine eq 'x86_64' ? undef : "npm's chdb has no engine for $machine";
}

sub configure { return }

sub command
{
	my ($self) = @_;

	die "npm's chdb is missing in $packages: make stream-packages\n"
	  unless -d "$packages/node_modules/\@chdb/lib-linux-x64-gnu";
	$ENV{FI_STREAM_PACKAGES} = $packages;
	return ('node', "$tree/test/stream/chdb_front.js", $self->{port}, "$self->{directory}/data",
		$self->{password} eq '' && $self->{user} eq 'default' ? () : ($self->{user}, $self->{password}));
}

# Its user is an argument of the front.
sub set_password
{
	my ($self, $password) = @_;

	$self->{password} = $password;
	$self->restart;
	return;
}

1;
