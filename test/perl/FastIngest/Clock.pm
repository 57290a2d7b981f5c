# A clock that a test moves: servers started by run() live by it (clock.c).

package FastIngest::Clock;

use strict;
use warnings;

use FindBin;
use PostgreSQL::Test::Utils;

sub new
{
	my ($class) = @_;
	my $directory = PostgreSQL::Test::Utils::tempdir();
	my $self = bless { file => "$directory/clock", library => "$directory/clock.so", ahead => 0 }, $class;
	my ($cc) = split ' ', `"@{[ $ENV{PG_CONFIG} || 'pg_config' ]}" --cc`;

	foreach my $compiler ($cc || 'cc', 'cc')
	{
		last
		  if system($compiler, '-shared', '-fPIC', '-O', '-o', $self->{library},
			"$FindBin::RealBin/../perl/clock.c") == 0;
	}
	die 'could not build clock.so' unless -f $self->{library};
	open my $file, '>', $self->{file} or die "could not create the clock: $!";
	close $file;
	$self->set_ahead(0);
	return $self;
}

# Put it so many seconds ahead of the machine's.
sub set_ahead
{
	my ($self, $seconds) = @_;

	open my $file, '+<', $self->{file} or die "could not open the clock: $!";
	syswrite $file, pack('q', int($seconds) * 1_000_000);
	close $file;
	$self->{ahead} = $seconds;
	return;
}

sub advance { return $_[0]->set_ahead($_[0]->ahead + $_[1]) }
sub ahead { return $_[0]->{ahead} }
sub now { return time + $_[0]->{ahead} }

# Processes that are started meanwhile live by it.
sub run
{
	my ($self, $do) = @_;
	local $ENV{LD_PRELOAD} = $self->{library};
	local $ENV{FI_CLOCK} = $self->{file};

	return $do->();
}

1;
