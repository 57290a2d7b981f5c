# Sessions that work on one server at the same time, in processes of their own, and what they
# must not meet: an answer that differs from the raw rows, or an error that their work does not
# explain.

package FastIngest::Sessions;

use strict;
use warnings;

use Exporter 'import';
use FastIngest::RandomEvents;
use FastIngest::RandomQueries;
use FastIngest::Wait;
use POSIX ();
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes ();

our @EXPORT = qw(writer reader refresh_call refresher cancelled eraser rebuilder http_writer);

# ---------------------------------------------------------------------------
# Kinds of sessions
# ---------------------------------------------------------------------------

# The SQLSTATEs that each kind of session may meet; any other is a fault. Writers write the same
# rows, and into days without a partition.
my %may = (
	writer => qr/^(40P01|40001|23505|23514|25P02|21000|42704|3B001)$/,
	refresher => qr/^$/,
	cancelled => qr/^57014$/,
	eraser => qr/^(40P01|40001|55P03)$/,
	reader => qr/^$/,
	http => qr/^$/);

sub writer
{
	my (%opt) = @_;

	return { kind => 'writer', sql => join '', map { transaction(%opt) } 1 .. $opt{transactions} };
}

sub reader
{
	my ($transactions) = @_;
	my $sql = '';

	foreach (1 .. $transactions)
	{
		$sql .= "SET timezone = '" . pick(@ZONES) . "';\n";
		$sql .= 'BEGIN ISOLATION LEVEL ' . pick('REPEATABLE READ', 'REPEATABLE READ', 'READ COMMITTED') . ";\n";
		$sql .= query(plan => chance(0.3)) foreach 1 .. between(1, 5);
		$sql .= "COMMIT;\n";
	}
	return { kind => 'reader', sql => $sql };
}

sub refresh_call { return pick('SELECT fi_refresh();', "DO 'BEGIN PERFORM fi_refresh(); END';") . "\n" }

# Calls of fi_refresh, alone and in transactions that query or roll back
sub refresher
{
	my ($calls) = @_;
	my $sql = "SET application_name = 'refresher';\n";

	foreach (1 .. $calls)
	{
		$sql .=
			chance(0.75) ? refresh_call()
		  : "BEGIN;\n" . refresh_call() . query() . pick('COMMIT', 'ROLLBACK') . ";\n";
		$sql .= sprintf "DO 'BEGIN PERFORM pg_sleep(%.3f); END';\n", rand(0.05);
	}
	return { kind => 'refresher', sql => $sql };
}

# Refreshes that are cancelled in the middle
sub cancelled
{
	my ($calls) = @_;

	return {
		kind => 'cancelled',
		sql => join '',
		map { 'SET statement_timeout = ' . between(1, 40) . ";\n" . refresh_call() } 1 .. $calls
	};
}

# Erasures. They wait for rows that writers have locked, prepared transactions among them.
sub eraser
{
	my ($calls) = @_;

	return {
		kind => 'eraser',
		sql => "SET lock_timeout = '2s';\n" . join '',
		map { 'DO $$BEGIN PERFORM fi_erase_user(' . literal(pick(@USERS)) . "); END\$\$;\n" } 1 .. $calls
	};
}

sub rebuilder
{
	my $from = any_time();
	my $to = $from + pick(1, 90, 3600, 100000) * 1e6;

	return {
		kind => 'refresher',
		sql => sprintf "DO \$\$BEGIN PERFORM fi_rebuild('%s', '%s'); END\$\$;\n",
		timestamp($from), timestamp($to)
	};
}

sub http_writer
{
	my ($requests) = @_;

	return {
		kind => 'http',
		requests => [
			map {
				chance(0.3)
				  ? [ '/events', http_event(any_event(past => 1, keys => 400)) ]
				  : chance(0.2) ? [
					'/event',
					{
						site_id => 'a.example', event_type => 'page_view', path => pick('/', '/a'),
						chance(0.5) ? (timestamp => int(any_time(past => 1) / 1e6)) : ()
					}
				  ]
				  : [
					'/events/bulk',
					[ map { http_event(any_event(past => 1, keys => chance(0.5) ? 400 : undef)) } 1 .. between(1, 60) ]
				  ]
			} 1 .. $requests
		]
	};
}

# ---------------------------------------------------------------------------
# Running them
# ---------------------------------------------------------------------------

# Options: server; clock: the server's; directory: where scripts and output go; seed: what to
# tell when something differs. seen counts queries (asked), the events they were about
# (events) and the sources that answered (sources).
sub new
{
	my ($class, %opt) = @_;

	return bless { %opt, number => 0, seen => { asked => 0, events => 0, sources => {} } }, $class;
}

# Write a line for each answer other than success.
sub post_requests
{
	my ($self, $session, $file) = @_;

	open my $log, '>', $file or die "could not create $file: $!";
	foreach my $request (@{ $session->{requests} })
	{
		my $answer = $self->{server}->post(@$request);

		syswrite $log, "$answer->{status} $answer->{body}\n" unless $answer->{status} =~ /^20/;
	}
	return;
}

sub start_session
{
	my ($self, $session) = @_;
	my $file = $session->{file} = "$self->{directory}/session" . ++$self->{number};

	if ($session->{sql})
	{
		open my $script, '>', "$file.sql" or die "could not create $file.sql: $!";
		print $script "\\set VERBOSITY verbose\nSET client_encoding = 'UTF8';\n$session->{sql}";
		close $script;
	}

	$session->{pid} = fork;
	die "could not fork: $!" unless defined $session->{pid};
	return if $session->{pid} != 0;
	if ($session->{requests})
	{
		# No END block of the parent's may run in here.
		eval { $self->post_requests($session, "$file.out") };
		POSIX::_exit($@ ? 1 : 0);
	}
	open STDOUT, '>', "$file.out";
	open STDERR, '>', "$file.err";
	exec 'psql', '-X', '-q', '-A', '-t', '-d', $self->{server}->node->connstr('postgres'), '-f', "$file.sql"
	  or POSIX::_exit(127);
}

# Run sessions at the same time. Options: meanwhile: a function to call again and again until all
# have ended; killed: the server dies meanwhile.
sub run
{
	my ($self, $name, $sessions, %opt) = @_;
	my $meanwhile = $opt{meanwhile} || sub { };
	my (@complaints, @differing, @reasons, %errors);
	my $asked = 0;

	$self->start_session($_) foreach @$sessions;
	my $ended = wait_until(
		sub {
			$meanwhile->();
			$_->{ended} ||= waitpid($_->{pid}, POSIX::WNOHANG()) != 0 foreach @$sessions;
			return !grep { !$_->{ended} } @$sessions;
		});
	kill 'KILL', map { $_->{pid} } grep { !$_->{ended} } @$sessions;

	foreach my $session (@$sessions)
	{
		my ($out, $err) = map { -f $_ ? PostgreSQL::Test::Utils::slurp_file($_) : '' } "$session->{file}.out", "$session->{file}.err";

		foreach (split /\n/, $out)
		{
			if (/^ASKED\|.*?(\d*)\|$/) { $asked++; $self->{seen}{events} += $1 || 0 }
			elsif (/^PLAN\|(\w+)/) { $self->{seen}{sources}{$1}++ }
			elsif (/^DIFFERS/) { push @differing, "$session->{kind} ($session->{file}): $_" }
			elsif (/^WHY/) { push @reasons, "$session->{kind} ($session->{file}): $_" }
			elsif ($session->{kind} eq 'http')
			{
				# a leap of the clock may be longer than a request's time
				push @complaints, "$session->{kind}: $_"
				  unless /^(503|408|closed)/ && $opt{killed} || /^503 .*request_timeout/ && $opt{meanwhile};
			}
		}
		while ($err =~ /^(.*(?:ERROR|FATAL|PANIC):  (\w{5}): .*(?:\n(?!psql).*)*)/mg)
		{
			my ($message, $state) = ($1, $2);

			$errors{$state}++;
			push @complaints, "$session->{kind} ($session->{file}): $message"
			  unless $state =~ $may{ $session->{kind} } || $opt{killed} && $state =~ /^(57P|08)/;
		}
		push @complaints, "$session->{kind} ($session->{file}): $err"
		  if $err =~ /connection to server/ && !$opt{killed};
	}
	$self->{seen}{asked} += $asked;
	ok( $ended && !@differing && !@complaints,
		"$name: $asked queries answered exactly"
		  . (%errors ? ' (errors: ' . join(', ', map { "$errors{$_} $_" } sort keys %errors) . ')' : ''))
	  or diag("seed $self->{seed}, " . ($ended ? '' : 'sessions did not end; ')
		  . @differing . " differing rows, " . @complaints . " complaints\n",
		map { "$_\n" } @differing[ 0 .. ($#differing > 7 ? 7 : $#differing) ],
		@reasons[ 0 .. ($#reasons > 59 ? 59 : $#reasons) ],
		@complaints[ 0 .. ($#complaints > 7 ? 7 : $#complaints) ]);
	return;
}

# Returns a function that lets the clock leap this often, by at most so many seconds each time.
sub leaping
{
	my ($self, $leaps, $seconds) = @_;
	my @at = map { Time::HiRes::time() + 0.3 + $_ * 0.4 } 1 .. $leaps;
	my @by = map { between(1, $seconds) } 1 .. $leaps;

	return sub {
		return unless @at && Time::HiRes::time() > $at[0];
		shift @at;
		$self->{clock}->advance(shift @by);
	};
}

# While nobody writes: check queries in one snapshot, and the same over HTTP.
sub at_rest
{
	my ($self, $name) = @_;
	my $sql = "BEGIN ISOLATION LEVEL REPEATABLE READ;\n" . join('', map { query(plan => 1) } 1 .. 30) . "COMMIT;\n";

	$self->run("$name, at rest", [ { kind => 'reader', sql => $sql } ]);
	$self->ask_http($name);
	return;
}

# GET /metrics says what the raw rows say. The worker's refresh may run meanwhile.
sub ask_http
{
	my ($self, $name) = @_;
	my $unit = pick(1, $MINUTE, $HOUR);
	my $to = int(now() / $unit) * $unit;
	my $from = $to - between(1, 4 * $DAY_LENGTH);
	my $raw = $self->{server}->sql('SELECT count(*), count(DISTINCT user_id) FROM fast_ingest.events'
		  . " WHERE event_name = 'page_view' AND ts >= to_timestamp($from) AND ts < to_timestamp($to)");
	my $answer = $self->{server}->get("/metrics?event_name=page_view&from=$from&to=$to");
	my $json = $answer->{json};

	is($answer->{status} eq 200 && ref $json ? "$json->{total_events}|$json->{unique_users}" : "$answer->{status} $answer->{body}",
		$raw, "$name: GET /metrics from $from to $to");
	return;
}

sub refresh
{
	my ($self) = @_;

	$self->run('refresh', [ { kind => 'refresher', sql => "SELECT fi_refresh();\n" } ]);
	return;
}

# Returns a function that kills once, with kill -9: a process that refreshes, upon which the server
# starts over, or the server itself.
sub killing
{
	my ($self, $what) = @_;
	my $at = Time::HiRes::time() + 0.2 + rand(0.5);
	my $done = 0;

	return sub {
		my ($at_last) = @_;

		return if $done || !$at_last && Time::HiRes::time() < $at;
		$done = 1;
		if ($what eq 'server')
		{
			die 'the server did not die' unless $self->{server}->crash(at_once => chance(0.5));
		}
		else
		{
			my $pid = $self->{server}->sql(q{SELECT pid FROM pg_stat_activity WHERE application_name = 'refresher'
				OR backend_type = 'fast_ingest maintenance' ORDER BY coalesce(state, '') = 'active' DESC LIMIT 1});

			kill 'KILL', $pid if $pid;
		}
	};
}

# End the prepared transactions that a crash left, one way or the other.
sub end_prepared
{
	my ($self) = @_;

	foreach my $name (split /\n/, $self->{server}->sql('SELECT gid FROM pg_prepared_xacts ORDER BY gid'))
	{
		$self->{server}->sql(pick('COMMIT', 'ROLLBACK') . " PREPARED '$name'");
	}
	return;
}

1;
