# A connection to a listener that sends any bytes and reads whole answers:
# { status, headers, body, json }. An answer that never came is an answer too: its
# status is 'closed' or 'timeout', so that a test compares the status and need not
# look for undef.

package FastIngest::Connection;

use strict;
use warnings;

use Errno qw(EAGAIN EINTR EWOULDBLOCK);
use FastIngest::Wait;
use IO::Select;
use IO::Socket::INET;
use JSON::PP ();
use Socket qw(IPPROTO_TCP TCP_NODELAY);
use Time::HiRes qw(time);

my $json = JSON::PP->new->utf8->allow_nonref;

# A server that has gone shows in the answers.
$SIG{PIPE} = 'IGNORE';

sub new
{
	my ($class, $port) = @_;
	my $socket = IO::Socket::INET->new(
		PeerAddr => '127.0.0.1',
		PeerPort => $port,
		Proto => 'tcp') or return undef;

	$socket->blocking(0);
	setsockopt($socket, IPPROTO_TCP, TCP_NODELAY, 1);
	return bless { socket => $socket, buffer => '', end => 0 }, $class;
}

sub no_answer
{
	my ($why) = @_;

	return { status => $why, headers => { 'content-type' => '' }, body => '' };
}

# Send the bytes, and read meanwhile what the server sends: a server that answers early and stops
# reading is no deadlock. Returns false when the server has closed the connection.
sub send
{
	my ($self, $bytes) = @_;
	my $deadline = time + $TIMEOUT;
	my $sent = 0;

	while ($sent < length $bytes)
	{
		my ($readable, $writable) =
		  $self->wait_for_socket($deadline, 1);

		return 0 unless $readable || $writable;
		$self->read_some if $readable;
		return 0 if $self->{end};
		next unless $writable;

		my $n = syswrite $self->{socket}, $bytes, 65536, $sent;

		if (defined $n)
		{
			$sent += $n;
		}
		elsif ($! != EAGAIN && $! != EWOULDBLOCK && $! != EINTR)
		{
			return 0;
		}
	}
	return 1;
}

# No more from this side; answers can still come.
sub shutdown_write
{
	my ($self) = @_;

	return shutdown $self->{socket}, 1;
}

sub close
{
	my ($self) = @_;

	return CORE::close $self->{socket};
}

# The next answer of the connection, which may be an interim one (100). One that is sent in chunks
# has complete => 1 if its last chunk came; else the body is what came.
# Options: head => 1: to a HEAD request; seconds: how long to wait; take => sub: gets each chunk, of
# which the body is not made then.
sub read_answer
{
	my ($self, %opt) = @_;
	my $deadline = time + ($opt{seconds} || $TIMEOUT);
	my %answer = (headers => { 'content-type' => '' }, body => '');
	my $why;

	$why = $self->read_until(sub { $self->{buffer} =~ /\r\n\r\n/ }, $deadline);
	return no_answer($why) if $why;

	# The buffer keeps the answer until it is whole, so that the caller may ask again after a
	# timeout.
	my ($head) = $self->{buffer} =~ /\A(.*?)\r\n\r\n/s;
	my ($status_line, @lines) = split /\r\n/, $head;
	my $begin = length($head) + 4;

	$status_line =~ m{\AHTTP/1\.[01] (\d{3})} or return no_answer('not HTTP');
	$answer{status} = $1;
	foreach my $line (@lines)
	{
		my ($name, $value) = split /:\s*/, $line, 2;

		$answer{headers}{ lc $name } = $value;
	}

	if (lc($answer{headers}{'transfer-encoding'} // '') eq 'chunked')
	{
		substr($self->{buffer}, 0, $begin) = '';
		$answer{complete} =
		  $opt{head} || $self->read_chunks($opt{take} || sub { $answer{body} .= $_[0] }, $deadline);
		return \%answer;
	}

	my $length = $answer{headers}{'content-length'};

	$length = 0 if $opt{head} || $answer{status} =~ /^(1..|204|304)$/;
	$why = $self->read_until(
		sub { defined $length && length $self->{buffer} >= $begin + $length },
		$deadline);
	return no_answer($why) if $why && (defined $length || $why ne 'closed');
	$length = length($self->{buffer}) - $begin unless defined $length;
	$answer{body} = substr $self->{buffer}, $begin, $length;
	substr($self->{buffer}, 0, $begin + $length) = '';
	$answer{json} = eval { $json->decode($answer{body}) }
	  if $answer{headers}{'content-type'} eq 'application/json'
	  && $answer{body} ne '';
	return \%answer;
}

# Read the chunks of a body. Returns true if the last one came.
sub read_chunks
{
	my ($self, $take, $deadline) = @_;

	for (;;)
	{
		my $size;

		return 0 if $self->read_until(sub { $self->{buffer} =~ /\A([0-9A-Fa-f]+)\r\n/ && defined($size = hex $1) }, $deadline);
		my $begin = index($self->{buffer}, "\r\n") + 2;
		return 0 if $self->read_until(sub { length $self->{buffer} >= $begin + $size + 2 }, $deadline);
		$take->(substr $self->{buffer}, $begin, $size) if $size > 0;
		substr($self->{buffer}, 0, $begin + $size + 2) = '';
		return 1 if $size == 0;
	}
}

# Did the server close the connection, without another byte?
sub is_closed
{
	my ($self, $seconds) = @_;
	my $why = $self->read_until(sub { $self->{buffer} ne '' },
		time + ($seconds || $TIMEOUT));

	return defined $why && $why eq 'closed';
}

# Read until the condition holds: undef, or why it never will.
sub read_until
{
	my ($self, $condition, $deadline) = @_;

	until ($condition->())
	{
		return 'closed' if $self->{end};

		my ($readable) = $self->wait_for_socket($deadline, 0);

		return 'timeout' unless $readable;
		$self->read_some;
	}
	return undef;
}

sub read_some
{
	my ($self) = @_;
	my $n = sysread $self->{socket}, $self->{buffer}, 65536,
	  length $self->{buffer};

	$self->{end} = 1
	  if defined $n
	  ? $n == 0
	  : $! != EAGAIN && $! != EWOULDBLOCK && $! != EINTR;
	return;
}

# (readable, writable); neither when the deadline has passed.
sub wait_for_socket
{
	my ($self, $deadline, $want_write) = @_;
	my $select = IO::Select->new($self->{socket});

	for (;;)
	{
		my $left = $deadline - time;

		return (0, 0) if $left <= 0;

		my ($r, $w) = IO::Select->select(
			$self->{end} ? undef : $select,
			$want_write ? $select : undef,
			undef, $left);

		return (scalar @$r, scalar @$w) if $r;
	}
}

1;
