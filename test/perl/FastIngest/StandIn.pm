# An HTTP server for tests that stands in for another system. It is a process of its own on
# 127.0.0.1 that answers one request after the other, records each byte for byte, and ends with the
# test. FastIngest::Webhook and FastIngest::KafkaRest say what it answers.
#
# A class of its own defines answer($request, $order, \%options), which is called in the process of
# the server, may act, and returns (status, headers, body).
#
#   $server->plan({ status => 503 }, { status => 200, times => 2 }, ...);
#   my @requests = $server->requests;
#
# The plan is a list of orders. Each holds for as many requests as times says (1), the last one for
# all that follow. What an order may ask, whatever the answer is:
# status, headers, body	of the answer; headers is a list of names and values
# hang => 1		read the request, act on it, and never answer
# lose => 1		act on it, and close the connection without an answer
# cut => n		act on it, and close after n bytes of the answer
# refuse => n		close after n bytes of the request's body, and act on nothing

package FastIngest::StandIn;

use strict;
use warnings;

use Compress::Raw::Zlib ();
use FastIngest::Wait;
use IO::Select;
use IO::Socket::INET;
use JSON::PP ();
use POSIX ();
use PostgreSQL::Test::Utils;
use Time::HiRes qw(time);

# Bytes of a request, and seconds in which it must come
use constant MAX_REQUEST => 256 * 1024 * 1024;
use constant REQUEST_TIME => 60;
use constant MAX_REQUESTS => 200_000;

my $json = JSON::PP->new->canonical->latin1;
my $test_pid = $$;
my $number = 0;
my %running;

# Options:
# certificate		path without .crt and .key: HTTPS
# client_authority	path without .crt: whose certificates clients must have
# plan			the first orders
sub new
{
	my ($class, %opt) = @_;
	my $directory = PostgreSQL::Test::Utils::tempdir() . '/stand_in' . ++$number;
	my $self = bless { directory => $directory, plans => 0, tls => $opt{certificate} }, $class;

	mkdir $directory or die "could not make $directory: $!";
	$self->plan(@{ $opt{plan} || [] });
	my $listener = IO::Socket::INET->new(Listen => 128, LocalAddr => '127.0.0.1', Proto => 'tcp', ReuseAddr => 1)
	  or die "could not listen: $!";
	$self->{port} = $listener->sockport;

	my $pid = fork // die "could not fork: $!";
	if ($pid == 0)
	{
		# neither END blocks nor destructors of the test
		$SIG{$_} = 'DEFAULT' foreach qw(INT TERM);
		$SIG{PIPE} = 'IGNORE';
		eval { $self->serve($listener, %opt) };
		print STDERR "stand-in: $@" if $@;
		POSIX::_exit($@ ? 1 : 0);
	}
	close $listener;
	$self->{pid} = $pid;
	$running{$pid} = 1;
	return $self;
}

# Where a client finds it
sub url
{
	my ($self, $path) = @_;

	return ($self->{tls} ? 'https://localhost' : 'http://127.0.0.1') . ":$self->{port}" . ($path // '');
}

# Replace the orders.
sub plan
{
	my ($self, @orders) = @_;

	$self->write_file('plan.new', $json->encode({ number => ++$self->{plans}, orders => \@orders }));
	rename "$self->{directory}/plan.new", "$self->{directory}/plan" or die $!;
	return;
}

# How many requests were recorded so far
sub count
{
	my ($self) = @_;
	my @lines = $self->lines('requests');

	return scalar @lines;
}

# The requests from number $from on: { method, path, head, headers, body, text, rows, status, at,
# client, bytes }. headers has names in lower case; body is as it was sent, text is without its
# compression, rows are its lines. status is that of the answer, or what was done instead.
sub requests
{
	my ($self, $from) = @_;
	my @requests;

	foreach my $line ($self->lines('requests', $from))
	{
		my $request = $json->decode($line);

		$request->{$_} = slurp_file("$self->{directory}/$request->{file}.$_") foreach qw(head body);
		$request->{text} = uncompress($request->{body}, $request->{headers}{'content-encoding'});
		$request->{rows} = [ split /\n/, $request->{text} ] if defined $request->{text};
		push @requests, $request;
	}
	return @requests;
}

# Wait until so many requests were recorded, and return them all.
sub wait_for_requests
{
	my ($self, $count) = @_;

	wait_until(sub { $self->count >= $count });
	return $self->requests;
}

# Have the process stand still, so that requests wait for their answer, until go_on().
sub pause
{
	my ($self) = @_;

	kill('STOP', $self->{pid}) or die "could not stop $self->{pid}: $!";
	return;
}

sub go_on
{
	my ($self) = @_;

	kill 'CONT', $self->{pid};
	return;
}

# End the process. The port is free then.
sub stop
{
	my ($self) = @_;
	my $pid = delete $self->{pid} or return;

	delete $running{$pid};
	kill 'KILL', $pid;
	waitpid $pid, 0;
	return;
}

# --- files: what both processes use ----------------------------------------

sub write_file
{
	my ($self, $name, $bytes) = @_;

	open my $file, '>:raw', "$self->{directory}/$name" or die "could not write $name: $!";
	print $file $bytes;
	close $file or die "could not write $name: $!";
	return;
}

# Append a line that is seen as a whole or not at all.
sub append_line
{
	my ($self, $name, $value) = @_;
	my $line = $json->encode($value) . "\n";

	open my $file, '>>:raw', "$self->{directory}/$name" or die "could not write $name: $!";
	syswrite($file, $line) == length $line or die "could not write $name: $!";
	close $file;
	return;
}

# The whole lines of a file, from number $from on
sub lines
{
	my ($self, $name, $from) = @_;
	my $path = "$self->{directory}/$name";
	my @lines;

	return () unless -e $path;
	@lines = slurp_file($path) =~ /^(.*)\n/mg;
	return @lines[ $from || 0 .. $#lines ];
}

# Undo a Content-Encoding; undef when the body is not of it, or is cut.
sub uncompress
{
	my ($body, $encoding) = @_;
	my $text = '';

	return $body unless defined $encoding;
	if ($encoding eq 'gzip')
	{
		my ($inflate) = Compress::Raw::Zlib::Inflate->new(-WindowBits => Compress::Raw::Zlib::WANT_GZIP());
		my $copy = $body;

		return undef unless $inflate->inflate($copy, $text) == Compress::Raw::Zlib::Z_STREAM_END();
		return $text;
	}
	return undef unless $encoding eq 'zstd';
	return eval { IPC::Run::run([qw(zstd -q -d -c)], '<', \$body, '>', \$text, '2>', '/dev/null') } ? $text : undef;
}

# --- the process of its own --------------------------------------------------

# Answer requests until the test has ended.
sub serve
{
	my ($self, $listener, %opt) = @_;
	my $waiting = IO::Select->new($listener);
	my $left = MAX_REQUESTS;

	while ($left > 0)
	{
		return if getppid() != $test_pid;
		foreach my $socket ($waiting->can_read(0.1))
		{
			if ($socket == $listener)
			{
				my $connection = $listener->accept or next;

				$left--;
				$connection = accept_tls($connection, %opt) or next if $opt{certificate};
				$waiting->add($connection) if $self->serve_connection($connection, \%opt) eq 'hang';
				next;
			}
			# One that was left without an answer: the client has given up
			$waiting->remove($socket);
			close $socket;
		}
	}
	return;
}

# TLS on a connection; undef when it comes to nothing.
sub accept_tls
{
	my ($connection, %opt) = @_;

	require IO::Socket::SSL;
	return IO::Socket::SSL->start_SSL(
		$connection,
		SSL_server => 1,
		SSL_cert_file => "$opt{certificate}.crt",
		SSL_key_file => "$opt{certificate}.key",
		Timeout => REQUEST_TIME,
		$opt{client_authority}
		? (
			SSL_ca_file => "$opt{client_authority}.crt",
			SSL_verify_mode => IO::Socket::SSL::SSL_VERIFY_PEER() | IO::Socket::SSL::SSL_VERIFY_FAIL_IF_NO_PEER_CERT())
		: ());
}

# The order that holds for the request at hand
sub next_order
{
	my ($self) = @_;
	my $plan = $json->decode(slurp_file("$self->{directory}/plan"));

	if (!$self->{current} || $self->{current}{number} != $plan->{number})
	{
		$self->{current} = $plan;
		$self->{used} = 0;
	}
	my $orders = $self->{current}{orders};
	return {} unless @$orders;
	if (@$orders > 1 && $self->{used} >= ($orders->[0]{times} // 1))
	{
		shift @$orders;
		$self->{used} = 0;
	}
	$self->{used}++;
	return $orders->[0];
}

# Read a request, act, answer. Returns 'hang' when the connection must stay open.
sub serve_connection
{
	my ($self, $connection, $opt) = @_;
	my $order = $self->next_order;
	my $request = read_request($connection, $order->{refuse}) or return 'closed';
	my ($status, $headers, $body);

	$request->{client} = $connection->peer_certificate('subject') // '' if $connection->can('peer_certificate');
	($status, $headers, $body) = $self->answer($request, $order, $opt) if $request->{whole};
	$self->record($request,
		!$request->{whole} ? 'refused' : $order->{hang} ? 'hung' : $order->{lose} ? 'lost' : $status);
	return 'hang' if $order->{hang};
	if ($request->{whole} && !$order->{lose})
	{
		my $answer = answer_message($status, $headers, $body);

		$answer = substr $answer, 0, $order->{cut} if defined $order->{cut};
		write_all($connection, $answer);
	}
	$connection->close;
	return 'closed';
}

sub record
{
	my ($self, $request, $status) = @_;
	my $file = ++$self->{recorded};

	$self->write_file("$file.$_", $request->{$_}) foreach qw(head body);
	$self->append_line(
		'requests',
		{
			file => $file,
			status => $status,
			at => time,
			bytes => length $request->{body},
			map { $_ => $request->{$_} } qw(method path headers client)
		});
	return;
}

# Read a request. limit: stop after so many bytes of its body. undef when the client went away
# before the end of the head.
sub read_request
{
	my ($connection, $limit) = @_;
	my $deadline = time + REQUEST_TIME;
	my $buffer = '';
	my %request = (whole => 0, body => '');

	while ($buffer !~ /\r\n\r\n/)
	{
		read_more($connection, \$buffer, $deadline) or return undef;
	}
	@request{qw(head body)} = $buffer =~ /\A(.*?\r\n\r\n)(.*)\z/s;
	@request{qw(method path)} = $request{head} =~ /\A(\S+) (\S+) HTTP/;
	$request{headers} = { map { lc($_->[0]) => $_->[1] } map { [/\A([^:]+):\s*(.*?)\s*\z/] } grep { /:/ } split /\r\n/, $request{head} };
	write_all($connection, "HTTP/1.1 100 Continue\r\n\r\n") if ($request{headers}{expect} // '') =~ /100-continue/i;

	my $chunked = ($request{headers}{'transfer-encoding'} // '') =~ /chunked/i;
	my $length = $request{headers}{'content-length'} // 0;
	for (;;)
	{
		return \%request if defined $limit && length $request{body} >= $limit;
		last if $chunked ? $request{body} =~ /(?:\A|\r\n)0\r\n\r\n\z/ : length $request{body} >= $length;
		read_more($connection, \$request{body}, $deadline) or return \%request;
	}
	$request{body} = join_chunks($request{body}) if $chunked;
	$request{whole} = 1;
	return \%request;
}

sub join_chunks
{
	my ($chunks) = @_;
	my ($body, $at) = ('', 0);

	while (substr($chunks, $at, 20) =~ /\A([0-9a-fA-F]+)\r\n/)
	{
		$at += length($1) + 2;
		$body .= substr $chunks, $at, hex $1;
		$at += hex($1) + 2;
	}
	return $body;
}

# Read what there is; false at the end of the connection, of the time, and of what may be read.
sub read_more
{
	my ($connection, $buffer, $deadline) = @_;

	return 0 if length $$buffer > MAX_REQUEST;
	unless ($connection->can('pending') && $connection->pending)
	{
		my $left = $deadline - time;

		return 0 if $left <= 0 || !IO::Select->new($connection)->can_read($left);
	}
	return $connection->sysread($$buffer, 256 * 1024, length $$buffer);
}

sub write_all
{
	my ($connection, $bytes) = @_;
	my $sent = 0;

	while ($sent < length $bytes)
	{
		my $n = $connection->syswrite($bytes, length($bytes) - $sent, $sent) or return 0;

		$sent += $n;
	}
	return 1;
}

sub answer_message
{
	my ($status, $headers, $body) = @_;
	my @headers = (@$headers, 'Content-Length', length $body, 'Connection', 'close');
	my $message = "HTTP/1.1 $status Answer\r\n";

	while (my ($name, $value) = splice @headers, 0, 2)
	{
		$message .= "$name: $value\r\n";
	}
	return "$message\r\n$body";
}

END
{
	my $exit_code = $?;

	if ($$ == $test_pid)
	{
		foreach my $pid (keys %running)
		{
			kill 'KILL', $pid;
			waitpid $pid, 0;
		}
	}
	$? = $exit_code;
}

1;
