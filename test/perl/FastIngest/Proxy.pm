# A proxy process between a stream and its target, which does to a request or to its answer what a
# bad network does. It passes bytes as they are and keeps those of each request.
#
#   my $proxy = FastIngest::Proxy->new(target => $clickhouse->port);
#   $proxy->on(qr/INSERT/, drop_answer => 1);    # the next such request, once
#   ...
#   my @posts = $proxy->requests(qr/INSERT/);    # { head, body, outcome, answer, ... }
#
# A request is known by its head, that is its first line and its headers. Its body is what was sent:
# chunked or compressed if it was.

package FastIngest::Proxy;

use strict;
use warnings;

use FastIngest::ProxyProcess;
use FastIngest::Wait;
use IO::Select;
use JSON::PP ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use POSIX ();
use Socket qw(AF_UNIX PF_UNSPEC SOCK_STREAM);

my $json = JSON::PP->new->utf8->canonical;
my $number = 0;

# Options: target: the port of the server behind it; keep_bodies => 0: for long loads, in which
# requests() has no bodies
sub new
{
	my ($class, %opt) = @_;
	my $self = bless {
		port => PostgreSQL::Test::Cluster::get_free_port(),
		directory => PostgreSQL::Test::Utils::tempdir() . '/proxy' . ++$number
	}, $class;

	mkdir $self->{directory} or die "could not create $self->{directory}: $!";
	socketpair(my $ours, my $theirs, AF_UNIX, SOCK_STREAM, PF_UNSPEC) or die "could not make sockets: $!";
	my $listener = FastIngest::ProxyProcess::open_listener($self->{port}) or die "could not listen at port $self->{port}: $!";
	my $pid = fork;

	die "could not fork: $!" unless defined $pid;
	if ($pid == 0)
	{
		close $ours;
		$SIG{$_} = sub { POSIX::_exit(0) } foreach qw(INT TERM);
		$SIG{PIPE} = 'IGNORE';
		my $proxy = FastIngest::ProxyProcess->new(
			%$self,
			parent => getppid,
			target => $opt{target},
			keep => $opt{keep_bodies} // 1,
			control => $theirs,
			listener => $listener);

		eval { $proxy->serve; 1 } or print STDERR "the proxy has failed: $@";
		POSIX::_exit(0);
	}
	close $theirs;
	$listener->close;
	$self->{pid} = $pid;
	$self->{control} = $ours;
	return $self;
}

sub port { return $_[0]->{port} }
sub url { return 'http://127.0.0.1:' . $_[0]->{port} }

# What to do with the next request whose head matches the pattern. The proxy acts once, or
# as often as times says, after the first "skip" such requests. times => 0: until clear().
#
# cut_body => k		pass k bytes of the body, then close both connections
# cut_rows => k		the same behind the k-th whole row, of gzip behind the first byte that completes it
# drop_answer => 1	read the whole answer, then close the client's connection
# cut_answer => k	pass k bytes of the answer, then close
# delay => s		keep the whole request for so many seconds before it is passed
# delay_answer => s	the same with the answer
# hang => 1		keep the request, and say nothing, until release()
# hang_answer => 1	pass the request, and keep the whole answer, until release()
# answer => text	answer so, and pass nothing: the bytes of an HTTP answer
# close => 1		close the connection, and pass nothing
# reset => 1		with one that closes: by RST
sub on
{
	my ($self, $pattern, %rule) = @_;

	return $self->tell(command => 'on', rule => { times => 1, skip => 0, %rule, pattern => "$pattern" });
}

# Forget what on() was told
sub clear { return $_[0]->tell(command => 'clear') }

# Let go on what hangs
sub release { return $_[0]->tell(command => 'release') }

# Refuse connections, and close those there are, until accept()
sub refuse { return $_[0]->tell(command => 'refuse') }
sub accept { return $_[0]->tell(command => 'accept') }

# Pass requests to another port from now on
sub set_target { return $_[0]->tell(command => 'target', port => $_[1]) }

# How many connections it has accepted
sub connections { return $_[0]->tell(command => 'requests', from => 1e9)->{connections} }

# The requests so far whose heads match, in the order they came in. Each has number, head, body,
# at (the time it began), answer (all of it that the target gave) and outcome: 'open', 'passed', or
# what was done, as in on(). 'aborted': the client or the target went away.
sub requests
{
	my ($self, $pattern) = @_;
	my @requests = grep { !$pattern || $_->{head} =~ $pattern } @{ $self->tell(command => 'requests', from => 0)->{requests} };

	foreach my $request (@requests)
	{
		my $file = "$self->{directory}/$request->{number}";

		$request->{body} = -e $file ? PostgreSQL::Test::Utils::slurp_file($file) : undef;
	}
	return @requests;
}

# Wait until so many requests match and are no longer open. Returns them, or as many as there are.
sub wait_for_requests
{
	my ($self, $count, $pattern) = @_;
	my @requests;

	wait_until(
		sub {
			@requests = grep { $_->{outcome} ne 'open' } $self->requests($pattern);
			return @requests >= $count;
		});
	return @requests;
}

# Forget the requests so far
sub forget { return $_[0]->tell(command => 'forget') }

sub tell
{
	my ($self, %command) = @_;
	my $select = IO::Select->new($self->{control});
	my $answer = '';

	syswrite $self->{control}, $json->encode(\%command) . "\n";
	until ($answer =~ /\n\z/)
	{
		$select->can_read($TIMEOUT) && sysread $self->{control}, $answer, 1 << 20, length $answer
		  or die 'the proxy does not answer';
	}
	return $json->decode($answer);
}

1;
