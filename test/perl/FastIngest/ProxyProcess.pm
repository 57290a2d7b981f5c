# The process of a FastIngest::Proxy: it accepts connections, passes bytes both ways, does to each request
# what the first rule for it says, and obeys the commands that the test sends through a socket, one JSON
# object a line, each of which is answered by another.

package FastIngest::ProxyProcess;

use strict;
use warnings;

use Compress::Raw::Zlib ();
use Errno qw(EAGAIN EINTR EWOULDBLOCK);
use IO::Select;
use IO::Socket::INET;
use JSON::PP ();
use Socket qw(IPPROTO_TCP SOL_SOCKET SO_LINGER TCP_NODELAY);
use Time::HiRes qw(time);

my $json = JSON::PP->new->utf8->canonical;

# Options:
# port, listener	where it accepts connections
# target		the port of the server behind it
# control		the socket that commands come through
# directory		where it keeps bodies, each in a file named by the request's number
# keep			whether it keeps them
# parent		the process with which it ends
sub new
{
	my ($class, %opt) = @_;

	return bless { %opt, rules => [], requests => [], connections => [], accepted => 0, forgotten => 0, commands => '' }, $class;
}

sub open_listener
{
	my ($port) = @_;
	my $socket = IO::Socket::INET->new(Listen => 100, LocalAddr => '127.0.0.1', LocalPort => $port, ReuseAddr => 1);

	$socket->blocking(0) if $socket;
	return $socket;
}

# Until the test has gone
sub serve
{
	my ($self) = @_;

	while (getppid == $self->{parent})
	{
		my ($read, $write) = (IO::Select->new($self->{control}), IO::Select->new);
		my @connections = @{ $self->{connections} };

		$read->add($self->{listener}) if $self->{listener};
		foreach my $c (@connections)
		{
			$read->add($c->{client}) unless $c->{client_end};
			$read->add($c->{server}) if $c->{server} && !$c->{server_end};
			$write->add($c->{client}) if $c->{to_client} ne '';
			$write->add($c->{server}) if $c->{server} && $c->{to_server} ne '';
		}
		my ($readable, $writable) = IO::Select->select($read, $write, undef, 0.05);
		my %ready = map { ("r$_" => 1) } @{ $readable || [] };

		$ready{"w$_"} = 1 foreach @{ $writable || [] };
		$self->obey or return if $ready{"r$self->{control}"};
		if ($self->{listener} && $ready{"r$self->{listener}"})
		{
			$self->accept_connection;
		}
		foreach my $c (@connections)
		{
			next if $c->{closed};
			read_some($c->{client}, \$c->{from_client}, \$c->{client_end}) if $ready{"r$c->{client}"};
			read_some($c->{server}, \$c->{from_server}, \$c->{server_end})
			  if $c->{server} && $ready{"r$c->{server}"};
			$self->go_on($c);
			next if $c->{closed};
			write_some($c->{client}, \$c->{to_client}, \$c->{client_end}) if $c->{to_client} ne '';
			write_some($c->{server}, \$c->{to_server}, \$c->{server_end})
			  if $c->{server} && $c->{to_server} ne '';
			$self->go_on($c);
		}
		@{ $self->{connections} } = grep { !$_->{closed} } @{ $self->{connections} };
	}
	return;
}

# Read commands. Returns false at their end.
sub obey
{
	my ($self) = @_;
	my $n = sysread $self->{control}, my $bytes, 65536;

	return 0 unless $n;
	$self->{commands} .= $bytes;
	while ($self->{commands} =~ s/\A(.*)\n//)
	{
		my $command = $json->decode($1);
		my $what = $command->{command};
		my %answer;

		if ($what eq 'on') { push @{ $self->{rules} }, $command->{rule} }
		elsif ($what eq 'clear') { $self->{rules} = [] }
		elsif ($what eq 'target') { $self->{target} = $command->{port} }
		elsif ($what eq 'release') { $_->{released} = 1 foreach map { $_->{request} || () } @{ $self->{connections} } }
		elsif ($what eq 'forget') { $self->{forgotten} = @{ $self->{requests} } }
		elsif ($what eq 'refuse')
		{
			$self->{listener}->close if $self->{listener};
			$self->{listener} = undef;
			$self->end_connection($_, 'aborted') foreach @{ $self->{connections} };
		}
		elsif ($what eq 'accept') { $self->{listener} ||= open_listener($self->{port}) || die "could not listen again: $!" }
		elsif ($what eq 'requests')
		{
			my @known = @{ $self->{requests} };

			splice @known, 0, $self->{forgotten};
			@known = () if $command->{from};
			$answer{connections} = $self->{accepted};
			$answer{requests} = [
				map {
					my $r = $_;
					+{ map { $_ => $r->{$_} } qw(number head at outcome answer body_length) }
				} @known ];
		}
		$self->{control}->blocking(1);
		my $line = $json->encode(\%answer) . "\n";

		while ($line ne '')
		{
			my $sent = syswrite $self->{control}, $line;

			return 0 unless $sent;
			substr($line, 0, $sent) = '';
		}
	}
	return 1;
}

sub accept_connection
{
	my ($self) = @_;
	my $client = $self->{listener}->accept or return;

	$client->blocking(0);
	setsockopt $client, IPPROTO_TCP, TCP_NODELAY, 1;
	$self->{accepted}++;
	push @{ $self->{connections} },
	  { client => $client, map { $_ => '' } qw(from_client from_server to_client to_server) };
	return;
}

sub read_some
{
	my ($socket, $buffer, $end) = @_;
	my $n = sysread $socket, $$buffer, 1 << 18, length $$buffer;

	$$end = 1 if defined $n ? $n == 0 : $! != EAGAIN && $! != EWOULDBLOCK && $! != EINTR;
	return;
}

sub write_some
{
	my ($socket, $buffer, $end) = @_;
	my $n = syswrite $socket, $$buffer, 1 << 18;

	if (defined $n) { substr($$buffer, 0, $n) = '' }
	elsif ($! != EAGAIN && $! != EWOULDBLOCK && $! != EINTR) { $$end = 1; $$buffer = '' }
	return;
}

# The length of the message that begins the bytes, once it is whole, and that of its head. An answer
# without a length ends with the connection.
sub message_length
{
	my ($bytes, $is_answer, $end) = @_;
	my $head = index $$bytes, "\r\n\r\n";

	return (undef, undef) if $head < 0;
	my $lines = substr $$bytes, 0, $head += 4;
	my $at = $head;

	return ($head, $head) if $is_answer && $lines =~ m{\AHTTP/1\.. (1\d\d|204|304)};
	if ($lines =~ /^Transfer-Encoding:.*chunked/mi)
	{
		for (;;)
		{
			pos($$bytes) = $at;
			return (undef, $head) unless $$bytes =~ /\G([0-9A-Fa-f]+)[^\r\n]*\r\n/gc;
			my $size = hex $1;

			$at = pos($$bytes) + $size + 2;
			return (undef, $head) if $at > length $$bytes;
			return ($at, $head) if $size == 0;
		}
	}
	if ($lines =~ /^Content-Length:\s*(\d+)/mi)
	{
		return ($head + $1 <= length $$bytes ? $head + $1 : undef, $head);
	}
	return $is_answer ? ($end ? length $$bytes : undef, $head) : ($head, $head);
}

# How many bytes of a body there are up to the end of its k-th row
sub rows_length
{
	my ($head, $body, $k) = @_;
	my $is_chunked = $head =~ /^Transfer-Encoding:.*chunked/mi;
	my $is_gzip = $head =~ /^Content-Encoding:\s*gzip/mi;
	my ($inflate) = $is_gzip ? Compress::Raw::Zlib::Inflate->new(-WindowBits => 31) : ();
	my ($at, $left, $rows) = (0, $is_chunked ? 0 : length $body, 0);

	while ($at < length $body)
	{
		if ($left == 0)
		{
			pos($body) = $at;
			last unless $body =~ /\G(?:\r\n)?([0-9A-Fa-f]+)[^\r\n]*\r\n/gc;
			$left = hex $1;
			last unless $left;
			$at = pos $body;
		}
		my $byte = substr $body, $at++, 1;
		my $output = $byte;

		$left--;
		if ($inflate)
		{
			my $copy = $byte;

			$output = '';
			$inflate->inflate($copy, $output);
		}
		$rows += $output =~ tr/\n//;
		return $at if $rows >= $k;
	}
	return length $body;
}

# The first rule for a request, which is thereby used
sub take_rule
{
	my ($self, $head) = @_;

	foreach my $rule (@{ $self->{rules} })
	{
		next if $head !~ /$rule->{pattern}/ || $rule->{used};
		next if $rule->{skip} && $rule->{skip}--;
		$rule->{used} = 1 if $rule->{times} && --$rule->{times} == 0;
		return {%$rule};
	}
	return {};
}

sub begin_request
{
	my ($self, $c, $head) = @_;
	my $request = {
		number => scalar @{ $self->{requests} },
		head => substr($c->{from_client}, 0, $head),
		head_length => $head,
		at => time,
		outcome => 'open',
		answer => '',
		passed => 0,
		rule => $self->take_rule(substr $c->{from_client}, 0, $head)
	};

	push @{ $self->{requests} }, $request;
	$c->{request} = $request;
	return $request;
}

# Pass what may be passed of a request and its answer
sub go_on
{
	my ($self, $c) = @_;
	my ($length, $head) = message_length(\$c->{from_client}, 0);
	my $request = $c->{request} || (defined $head ? $self->begin_request($c, $head) : undef);

	if (!$request)
	{
		$self->end_connection($c, 'aborted') if ($c->{client_end} || $c->{server_end}) && $c->{to_client} eq '';
		return;
	}
	my $rule = $request->{rule};
	my $whole = defined $length;

	# what came of the body is kept even if no more comes
	$request->{body_length} = ($length // length $c->{from_client}) - $request->{head_length};
	$request->{whole_at} ||= time if $whole;
	return $self->end_connection($c, 'aborted')
	  if $c->{client_end} && !(defined $request->{cut} && $whole);

	# the request
	if ($rule->{close}) { return $self->end_connection($c, 'close') }
	if (defined $rule->{answer})
	{
		return unless $whole;
		$c->{to_client} .= $rule->{answer};
		return $self->finish_request($c, $length, 'answer');
	}
	return if $rule->{hang} && !$request->{released};
	return if $rule->{delay} && !($whole && time >= $request->{whole_at} + $rule->{delay});

	my $may_pass = $length // length $c->{from_client};

	if (defined $rule->{cut_rows})
	{
		return unless $whole;
		$rule->{cut_body} //= rows_length($request->{head},
			substr($c->{from_client}, $request->{head_length}, $length - $request->{head_length}), $rule->{cut_rows});
	}
	if (defined $rule->{cut_body})
	{
		my $limit = $request->{head_length} + $rule->{cut_body};

		$may_pass = $limit if $may_pass > $limit;
		$request->{cut} = $may_pass == $limit ? 1 : 0;
	}
	if ($may_pass > $request->{passed})
	{
		$self->connect_target($c) or return $self->end_connection($c, 'aborted');
		$c->{to_server} .= substr $c->{from_client}, $request->{passed}, $may_pass - $request->{passed};
		$request->{passed} = $may_pass;
	}

	# A target that gets no more says what it thinks of it, or closes.
	if ($request->{cut})
	{
		return if $c->{to_server} ne '' && !$c->{server_end};
		return $self->end_connection($c, 'cut') if $rule->{reset};
		shutdown $c->{server}, 1 unless $request->{shut}++;
		$request->{answer} = $c->{from_server};
		my ($answered) = message_length(\$c->{from_server}, 1, $c->{server_end});

		$self->end_connection($c, 'cut') if defined $answered || $c->{server_end};
		return;
	}

	# the answer
	return unless $c->{server};
	my ($answer_length) = message_length(\$c->{from_server}, 1, $c->{server_end});

	if (defined $answer_length && $c->{from_server} =~ m{\AHTTP/1\.. 1\d\d})
	{
		$c->{to_client} .= substr $c->{from_server}, 0, $answer_length, '';
		return;
	}
	if (!defined $answer_length)
	{
		$self->end_connection($c, 'aborted') if $c->{server_end};
		return;
	}
	$request->{answer} = substr $c->{from_server}, 0, $answer_length;
	$request->{answered_at} ||= time;
	return if $rule->{hang_answer} && !$request->{released};
	return if $rule->{delay_answer} && time < $request->{answered_at} + $rule->{delay_answer};
	return $self->end_connection($c, 'drop_answer') if $rule->{drop_answer};
	$c->{to_client} .= defined $rule->{cut_answer} ? substr $request->{answer}, 0, $rule->{cut_answer} : $request->{answer};
	substr($c->{from_server}, 0, $answer_length) = '';
	return $self->finish_request($c, $length // length $c->{from_client}, defined $rule->{cut_answer} ? 'cut_answer' : 'passed',
		defined $rule->{cut_answer});
}

sub connect_target
{
	my ($self, $c) = @_;

	return 1 if $c->{server};
	$c->{server} = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $self->{target}) or return 0;
	$c->{server}->blocking(0);
	setsockopt $c->{server}, IPPROTO_TCP, TCP_NODELAY, 1;
	return 1;
}

sub note_request
{
	my ($self, $c, $length, $outcome) = @_;
	my $request = delete $c->{request} or return;

	$request->{outcome} = $outcome;
	return unless $self->{keep};
	open my $out, '>', "$self->{directory}/$request->{number}" or die "could not create a file: $!";
	print $out substr $c->{from_client}, $request->{head_length}, $length - $request->{head_length};
	close $out;
	return;
}

sub finish_request
{
	my ($self, $c, $length, $outcome, $close) = @_;

	$self->note_request($c, $length, $outcome);
	substr($c->{from_client}, 0, $length) = '';
	return unless $close;
	write_some($c->{client}, \$c->{to_client}, \$c->{client_end}) while $c->{to_client} ne '' && !$c->{client_end};
	$self->end_connection($c, $outcome);
	return;
}

sub end_connection
{
	my ($self, $c, $outcome) = @_;
	my $reset = $c->{request} && $c->{request}{rule}{reset};

	return if $c->{closed};
	$self->note_request($c, length $c->{from_client}, $outcome) if $c->{request};
	foreach my $socket (grep { $_ } @$c{qw(client server)})
	{
		setsockopt $socket, SOL_SOCKET, SO_LINGER, pack('ii', 1, 0) if $reset;
		close $socket;
	}
	$c->{closed} = 1;
	return;
}

1;
