# Clients, each a process, that post numbered events, and the books of what became of them. A
# client repeats an event until it is acknowledged, like any client that must lose nothing.
#
# A client has one event, or one bulk of events, under way at a time, and begins the next when it
# is acknowledged. So its state is two numbers: the last event that it has sent, and the last that
# was acknowledged.

package FastIngest::Load;

use strict;
use warnings;

use FastIngest::Connection;
use FastIngest::Event;
use FastIngest::Http;
use FastIngest::Wait;
use File::Temp ();
use POSIX ();
use Time::HiRes qw(time);

# The statuses after which a client retries
my $not_now = qr/^(?:408|429|502|503|504|closed)$/;

# How many events a bulk has, and the seconds before a retry
my $bulk = 20;
my $retry = 0.01;

# Options:
# name		what user_ids begin with
# clients	how many (4). Every other one gives idempotency keys, the others rely on
#			the content; with bulks => 1 the second half sends bulks.
# readers	how many more ask GET /metrics and know how many events there must be
# ports		where to go on when one does not answer (default: the server's)
# connect	returns a connection to a port (default: one without TLS)
# pause		the seconds that a client waits after each answer (0)
# only_202	"not now" and a closed connection are complaints, too
sub new
{
	my ($class, $server, %opt) = @_;
	my $self = bless {
		server => $server,
		name => $opt{name} || 'load',
		ports => $opt{ports} || [ $server->port ],
		connect => $opt{connect} || sub { FastIngest::Connection->new($_[0]) },
		bulks => $opt{bulks},
		pause => $opt{pause} || 0,
		only_202 => $opt{only_202},
		clients => $opt{clients} || 4,
		directory => File::Temp::tempdir(CLEANUP => 1),
		pids => []
	}, $class;

	foreach my $client (1 .. $self->{clients})
	{
		write_position($self->open_position($client, '+>'), 0, 0);
	}
	$self->run_process("$_.complaints", \&post_until_told, $_)
	  foreach 1 .. $self->{clients};
	$self->run_process("reader-$_.complaints", \&read_until_told, $_)
	  foreach 1 .. $opt{readers} || 0;
	return $self;
}

sub run_process
{
	my ($self, $file, $function, @arguments) = @_;
	my $pid = fork;

	die "could not fork: $!" unless defined $pid;
	if ($pid == 0)
	{
		# No END block of the parent's may run in here.
		eval {
			local $SIG{TERM} = sub { $self->{told_to_stop} = 1 };
			local $SIG{INT} = 'IGNORE';
			open $self->{complaints}, '>', "$self->{directory}/$file"
			  or die "could not create $file: $!";
			$function->($self, @arguments);
			1;
		} or syswrite $self->{complaints} || \*STDERR, "client died: $@\n";
		POSIX::_exit(0);
	}
	push @{ $self->{pids} }, $pid;
	return;
}

# ---------------------------------------------------------------------------
# In the clients
# ---------------------------------------------------------------------------

sub open_position
{
	my ($self, $client, $mode) = @_;

	open my $file, $mode, "$self->{directory}/$client.position"
	  or die "could not open the position of client $client: $!";
	return $file;
}

sub write_position
{
	my ($file, $sent, $acknowledged) = @_;

	sysseek $file, 0, 0;
	syswrite $file, pack('QQ', $sent, $acknowledged);
	return;
}

sub complain
{
	my ($self, $answer, $to) = @_;

	syswrite $self->{complaints}, "$answer->{status} to $to: $answer->{body}\n";
	return;
}

# Send the message, to one port after the other, until an answer is final. Returns it, or undef
# when told to stop.
sub ask_until_answered
{
	my ($self, $message) = @_;

	until ($self->{told_to_stop})
	{
		$self->{connection} ||= $self->{connect}->($self->{ports}[0]);
		my $answer = FastIngest::Connection::no_answer('closed');

		if ($self->{connection})
		{
			$self->{connection}->send($message);
			$answer = $self->{connection}->read_answer;
		}
		undef $self->{connection}
		  if $answer->{status} !~ /^\d/ || ($answer->{headers}{connection} || '') eq 'close';
		return $answer if $answer->{status} !~ $not_now;
		$self->complain($answer, 'a request') if $self->{only_202};
		push @{ $self->{ports} }, shift @{ $self->{ports} };
		undef $self->{connection} if @{ $self->{ports} } > 1;
		Time::HiRes::sleep($retry);
	}
	return undef;
}

sub post_until_told
{
	my ($self, $client) = @_;
	my $position = $self->open_position($client, '+<');
	my $events = $self->{bulks} && $client > $self->{clients} / 2 ? $bulk : 1;
	my $acknowledged = 0;

	until ($self->{told_to_stop})
	{
		my @events = map {
			my $id = "$self->{name}-$client-$_";

			event(
				$_,
				user_id => $id,
				channel => (qw(web mobile api))[ $_ % 3 ],
				$client % 2 ? (idempotency_key => $id) : ())
		} $acknowledged + 1 .. $acknowledged + $events;
		my $message =
		  $events == 1
		  ? http_message('POST', '/events', body => $events[0])
		  : http_message('POST', '/events/bulk', body => \@events);

		write_position($position, $acknowledged + $events, $acknowledged);
		my $answer = $self->ask_until_answered($message);

		last unless $answer;
		$self->complain($answer, "$self->{name}-$client-" . ($acknowledged + 1))
		  unless $answer->{status} eq 202
		  && ($events == 1 || $answer->{json}{accepted} == $events);
		$acknowledged += $events;
		write_position($position, $acknowledged, $acknowledged)
		  if $answer->{status} eq 202;
		Time::HiRes::sleep($self->{pause}) if $self->{pause};
	}
	return;
}

# Check that every answer of GET /metrics counts at least the events acknowledged before it.
sub read_until_told
{
	my ($self) = @_;
	my $message = http_message('GET', '/metrics?event_name=page_view&group_by=channel');

	until ($self->{told_to_stop})
	{
		my $least = $self->acknowledged;
		my $answer = $self->ask_until_answered($message);

		last unless $answer;
		$self->complain($answer, "metrics of at least $least events")
		  unless $answer->{status} eq 200
		  && $answer->{json}{total_events} >= $least
		  && $answer->{json}{unique_users} == $answer->{json}{total_events};
		Time::HiRes::sleep($retry);
	}
	return;
}

# ---------------------------------------------------------------------------
# In the test
# ---------------------------------------------------------------------------

# [ sent, acknowledged ] of each client
sub positions
{
	my ($self) = @_;

	return map {
		my $file = $self->open_position($_, '<');

		sysread $file, my $bytes, 16;
		[ unpack 'QQ', $bytes ]
	} 1 .. $self->{clients};
}

# The number of events that were acknowledged.
sub acknowledged
{
	my ($self) = @_;
	my $sum = 0;

	$sum += $_->[1] foreach $self->positions;
	return $sum;
}

# Answers that must not occur, each with what it answered
sub complaints
{
	my ($self) = @_;

	return map { chomp; $_ } map {
		open my $file, '<', $_ or die "could not open $_: $!";
		<$file>
	} glob "$self->{directory}/*.complaints";
}

# Wait for this many acknowledgements more than there are; false when they
# never came.
sub wait_for_acknowledgements
{
	my ($self, $count) = @_;
	my $wanted = $self->acknowledged + $count;

	return wait_until(sub { $self->acknowledged >= $wanted });
}

# Wait until every client is acknowledged once more.
sub wait_for_every_client
{
	my ($self) = @_;
	my @before = $self->positions;

	return wait_until(
		sub {
			my @now = $self->positions;

			!grep { $now[$_][1] <= $before[$_][1] } 0 .. $#now;
		});
}

# Compare what the clients know with what the tables hold. Returns a hash of the numbers of
# events acknowledged, stored, lost (acknowledged and not stored), twice (stored
# more than once) and unexpected (stored and never sent). Exact at any moment:
# acknowledged is read before the tables, and sent after.
# Options: tables: where events may be (fast_ingest.events); since: for each client the
# last event that these books leave out.
sub books
{
	my ($self, %opt) = @_;
	my $from = join ' UNION ALL ',
	  map { "SELECT user_id FROM $_ WHERE user_id LIKE '$self->{name}-%'" }
	  @{ $opt{tables} || ['fast_ingest.events'] };
	my %books = (
		acknowledged => 0,
		map { $_ => 0 } qw(stored lost twice unexpected));
	my @since = @{ $opt{since} || [] };
	my @before = $self->positions;
	my $positions = join ', ',
	  map { sprintf '(%d, %d, %d)', $_, $since[ $_ - 1 ] || 0, $before[ $_ - 1 ][1] } 1 .. @before;
	my %stored = map { my ($client, @counts) = split /\|/; ($client => \@counts) }
	  split /\n/, $self->{server}->sql(<<"EOQ");
WITH stored AS (
  SELECT split_part(user_id, '-', -2)::int AS client, split_part(user_id, '-', -1)::bigint AS n
  FROM ($from) e)
SELECT client, count(DISTINCT n) FILTER (WHERE n > since), count(*) - count(DISTINCT n),
  count(DISTINCT n) FILTER (WHERE n > since AND n <= acknowledged), max(n)
FROM (VALUES $positions) c (client, since, acknowledged) FULL JOIN stored USING (client)
WHERE n IS NOT NULL GROUP BY client
EOQ
	my @after = $self->positions;

	foreach my $client (1 .. @before)
	{
		my ($count, $twice, $kept, $last) = @{ delete $stored{$client} || [ 0, 0, 0, 0 ] };
		my $acknowledged = $before[ $client - 1 ][1] - ($since[ $client - 1 ] || 0);
		my $unsent = $last - $after[ $client - 1 ][0];

		$books{acknowledged} += $acknowledged;
		$books{stored} += $count;
		$books{lost} += $acknowledged - $kept;
		$books{twice} += $twice;
		$books{unexpected} += $unsent if $unsent > 0;
	}
	$books{unexpected} += $_->[0] foreach values %stored;
	return \%books;
}

sub stop
{
	my ($self) = @_;
	my $exit_code = $?;
	my @pids = splice @{ $self->{pids} };

	kill 'TERM', @pids;
	foreach my $pid (@pids)
	{
		next
		  if wait_until(sub { waitpid($pid, POSIX::WNOHANG()) != 0 }, 30);
		kill 'KILL', $pid;
		waitpid $pid, 0;
	}
	$? = $exit_code;
	return;
}

1;
