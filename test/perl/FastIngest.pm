# A PostgreSQL server that runs fast_ingest, and clients to talk to it.
#
#   my $server = FastIngest->new('name');          # started, CREATE EXTENSION done, ready
#   my $answer = $server->post_event(event(1));    # { status, headers, body, json }
#
# An answer that never came is an answer too: its status is 'closed' or
# 'timeout', so that a test compares the status and need not look for undef.
# Nothing in here waits for a time: everything waits for a condition, with a
# deadline of PG_TEST_TIMEOUT_DEFAULT (180 seconds).

package FastIngest;

use strict;
use warnings;

use Exporter 'import';
use FastIngest::Load;
use IO::Select;
use IO::Socket::INET;
use JSON::PP ();
use POSIX ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

our @EXPORT = qw(event encode_json http_message wait_until is_error
  $TIMEOUT $DAY $NOON);

our $TIMEOUT = $ENV{PG_TEST_TIMEOUT_DEFAULT} || 180;

# The events of event() happen in the hours after $NOON of $DAY.
our $DAY = '2024-08-12';
our $NOON = 1723464000;

my $json = JSON::PP->new->utf8->canonical->allow_nonref;
my $test_pid = $$;
my %stopped_processes;
my @loads;

$SIG{PIPE} = 'IGNORE';

# ---------------------------------------------------------------------------
# Values
# ---------------------------------------------------------------------------

# The nth of any number of events that differ from each other.
sub event
{
	my ($n, %changes) = @_;

	return {
		event_name => 'page_view',
		channel => 'web',
		user_id => "user-$n",
		timestamp => $NOON + $n % 10000,
		path => "/page/$n",
		%changes
	};
}

sub encode_json
{
	return $json->encode($_[0]);
}

# The bytes of one HTTP request. body: a string as it is, a reference as JSON.
sub http_message
{
	my ($method, $path, %opt) = @_;
	my $body = ref $opt{body} ? encode_json($opt{body}) : $opt{body};
	my @headers = ('Host', 'localhost', @{ $opt{headers} || [] });

	if (defined $body)
	{
		my $type = exists $opt{type} ? $opt{type} : 'application/json';

		push @headers, 'Content-Type', $type if defined $type;
		push @headers, 'Content-Length', length $body
		  unless grep { /^(Content-Length|Transfer-Encoding)$/i } @headers;
	}

	my $message = "$method $path HTTP/1.1\r\n";
	while (my ($name, $value) = splice @headers, 0, 2)
	{
		$message .= "$name: $value\r\n";
	}
	return "$message\r\n" . (defined $body ? $body : '');
}

# Call the function until it returns true; undef when that never happens.
sub wait_until
{
	my ($condition, $seconds) = @_;
	my $deadline = time + ($seconds || $TIMEOUT);

	for (;;)
	{
		my $result = $condition->();

		return $result if $result;
		return undef if time > $deadline;
		Time::HiRes::usleep(20_000);
	}
}

# The answer is an error as API.md wants it: {"error": "<what is wrong>"}.
sub is_error
{
	my ($answer, $status, $pattern, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;

	my $error = ref $answer->{json} eq 'HASH' ? $answer->{json}{error} : undef;
	my $ok =
		 $answer->{status} eq $status
	  && $answer->{headers}{'content-type'} eq 'application/json'
	  && $answer->{body} !~ /\n\z/
	  && defined $error
	  && !ref $error
	  && keys %{ $answer->{json} } == 1
	  && $error =~ $pattern;

	ok($ok, $name)
	  or diag("wanted $status with an error like $pattern\n",
		"got $answer->{status} ",
		$answer->{headers}{'content-type'} || '',
		": $answer->{body}");
	return $ok;
}

# ---------------------------------------------------------------------------
# The server
# ---------------------------------------------------------------------------

# Options: conf: lines for postgresql.conf; database: fast_ingest.database;
# preload => 0: without shared_preload_libraries; start => 0: only initdb;
# extension => 0: started, but without CREATE EXTENSION; directory: where its data
# is to be; initdb: more options of initdb; install_path: another installation than
# the one of all tests.
sub new
{
	my ($class, $name, %opt) = @_;
	my $cluster = 'PostgreSQL::Test::Cluster';
	# the new() of PostgreSQL 14 takes options for something else
	my $new = $cluster->can('get_new_node') || $cluster->can('new');
	my $node = $cluster->$new($name, $opt{install_path} ? (install_path => $opt{install_path}) : ());
	my $self = bless {
		node => $node,
		port => PostgreSQL::Test::Cluster::get_free_port(),
		database => $opt{database} || 'postgres'
	}, $class;

	$node->{_basedir} = $opt{directory} if $opt{directory};
	$node->init(extra => [ '--encoding=UTF8', '--locale=C', @{ $opt{initdb} || [] } ]);
	$node->append_conf('postgresql.conf', <<EOC);
shared_buffers = 32MB
log_statement = none
restart_after_crash = on
max_worker_processes = 16
EOC
	$node->append_conf('postgresql.conf', <<EOC)
shared_preload_libraries = 'fast_ingest'
fast_ingest.database = '$self->{database}'
fast_ingest.listen_addresses = '127.0.0.1'
fast_ingest.port = $self->{port}
fast_ingest.max_age = 0
EOC
	  unless defined $opt{preload} && !$opt{preload};
	$node->append_conf('postgresql.conf', $opt{conf}) if $opt{conf};

	return $self if defined $opt{start} && !$opt{start};
	$node->start;
	return $self if defined $opt{extension} && !$opt{extension};
	$self->create_extension;
	return $self;
}

# A standby that streams from it and has a port of its own. Options: conf: lines for
# postgresql.conf. The server needs max_wal_senders.
sub standby
{
	my ($self, $name, %opt) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name);
	my $standby = bless {
		node => $node,
		port => PostgreSQL::Test::Cluster::get_free_port(),
		database => $self->{database}
	}, ref $self;

	$self->node->append_conf('pg_hba.conf', 'local replication all trust');
	$self->node->reload;
	$self->node->backup($name);
	$node->init_from_backup($self->node, $name, has_streaming => 1);
	$node->append_conf('postgresql.conf', "fast_ingest.port = $standby->{port}");
	$node->append_conf('postgresql.conf', $opt{conf}) if $opt{conf};
	$node->start;
	return $standby;
}

sub node { return $_[0]->{node} }
sub port { return $_[0]->{port} }

# Of the PostgreSQL that runs: 15, say. The node of PostgreSQL 14 does not tell.
sub major_version
{
	my ($self) = @_;

	return int($self->sql('SHOW server_version_num') / 10000);
}

sub create_extension
{
	my ($self) = @_;

	$self->sql('CREATE EXTENSION fast_ingest');
	$self->wait_ready;
	return;
}

sub restart
{
	my ($self) = @_;

	$self->node->restart;
	$self->wait_ready;
	return;
}

# kill -9 of the postmaster. Its children leave by themselves, unless they are
# to be killed at_once; true once they have, so that the server can be started
# again.
sub crash
{
	my ($self, %opt) = @_;
	my @pids = split /\n/, $self->sql('SELECT pid FROM pg_stat_activity');

	my $pid_file = $self->node->data_dir . '/postmaster.pid';

	push @pids, PostgreSQL::Test::Utils::slurp_file($pid_file) =~ /\A(\d+)/;
	kill 'KILL', @pids if $opt{at_once};
	$self->node->kill9;
	return 0 unless wait_until(sub { !grep { is_running($_) } @pids });

	# Where init does not wait for orphans, as in some containers, their
	# process ids seem to be in use still.
	unlink $pid_file, $self->node->host . '/.s.PGSQL.' . $self->node->port . '.lock'
	  if kill 0, $pids[-1];
	return 1;
}

# A process that nobody has waited for yet (state Z) does not run.
sub is_running
{
	my ($pid) = @_;

	return 0 unless kill 0, $pid;
	open my $stat, '<', "/proc/$pid/stat" or return kill 0, $pid;
	return <$stat> !~ /\) Z /;
}

# Start it after a crash or a stop, and wait for the workers.
sub start_again
{
	my ($self) = @_;

	wait_until(sub { $self->node->start(fail_ok => 1) }, 30);
	$self->wait_ready;
	return;
}

# Wait until it has recovered by itself, and start it where it has ended.
sub recover
{
	my ($self) = @_;
	my $pid_file = $self->node->data_dir . '/postmaster.pid';

	wait_until(
		sub {
			my ($pid) = -e $pid_file ? PostgreSQL::Test::Utils::slurp_file($pid_file) =~ /\A(\d+)/ : ();

			$self->node->start(fail_ok => 1) unless $pid && is_running($pid);
			return $self->get('/ready')->{status} eq 200;
		}) or die 'the server has not recovered';
	return;
}

# Wait for GET /ready 200; returns the last answer.
sub wait_ready
{
	my ($self) = @_;
	my $answer = $self->wait_for_answer(200, sub { $self->get('/ready') });

	die "not ready in time: $answer->{status} $answer->{body}"
	  unless $answer->{status} eq 200;
	return $answer;
}

# Wait for GET /ready 503 with an error that matches the pattern.
sub wait_not_ready
{
	my ($self, $pattern) = @_;

	return wait_until(
		sub {
			my $answer = $self->get('/ready');

			return $answer->{status} eq 503
			  && $answer->{body} =~ ($pattern || qr/./);
		});
}

# Ask until the answer has this status; returns the last answer.
sub wait_for_answer
{
	my ($self, $status, $ask) = @_;
	my $answer;

	wait_until(sub { $answer = $ask->(); $answer->{status} eq $status });
	return $answer;
}

sub sql
{
	my ($self, $query, $database) = @_;

	return $self->node->safe_psql($database || $self->{database}, $query);
}

# ALTER SYSTEM SET and reload. The workers hear of it a moment later: wait for
# the behaviour that was asked for.
sub set
{
	my ($self, %settings) = @_;

	foreach my $name (sort keys %settings)
	{
		$self->sql("ALTER SYSTEM SET $name = '$settings{$name}'");
	}
	$self->node->reload;
	return;
}

# Rows of events, of those that match the condition.
sub count
{
	my ($self, $where) = @_;

	return $self->sql('SELECT count(*) FROM fast_ingest.events'
		  . ($where ? " WHERE $where" : ''));
}

sub wait_for_count
{
	my ($self, $count, $where) = @_;
	my $found;

	wait_until(sub { ($found = $self->count($where)) == $count });
	return $found;
}

# The counters of fi_status(), summed over the workers.
sub status
{
	my ($self) = @_;

	return $json->decode($self->sql(<<'EOQ'));
SELECT row_to_json(s) FROM (
  SELECT sum(received) AS received, sum(accepted) AS accepted,
    sum(rejected) AS rejected, sum(duplicate) AS duplicate, sum(discarded) AS discarded,
    sum(committed) AS committed, sum(dead_lettered) AS dead_lettered,
    sum(staged) AS staged
  FROM fi_status()) s
EOQ
}

sub wait_for_staged
{
	my ($self, $count) = @_;
	my $status;

	wait_until(sub { ($status = $self->status)->{staged} == $count });
	return $status->{staged};
}

# At rest, every event that was accepted is somewhere, and only once.
sub books_balance
{
	my ($self, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $status;

	$name = $name ? "$name: the books balance" : 'the books balance';
	wait_until(sub { ($status = $self->status)->{staged} == 0 });

	my $ok =
		 defined $status->{received}
	  && defined $status->{staged}
	  && $status->{staged} == 0
	  && $status->{accepted} ==
	  $status->{committed} + $status->{duplicate} + $status->{discarded} + $status->{dead_lettered}
	  && $status->{received} == $status->{accepted} + $status->{rejected};

	ok($ok, $name) or diag(explain($status));
	return $ok;
}

# Rows in which the metrics of page_view differ from a count of the raw rows, in
# one snapshot: in total, by channel and by hour. Empty when there are none.
sub wrong_metrics
{
	my ($self) = @_;

	return $self->sql(<<'EOQ');
WITH metrics AS (
  SELECT * FROM fi_metrics('page_view')
  UNION ALL SELECT * FROM fi_metrics('page_view', group_by => 'channel')
  UNION ALL SELECT * FROM fi_metrics('page_view', group_by => 'hour', fill => false)),
raw AS (
  SELECT channel, to_char(ts AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:00:00Z') AS hour, user_id
  FROM fast_ingest.events WHERE event_name = 'page_view'),
recount AS (
  SELECT coalesce(channel, hour), count(*), count(DISTINCT user_id) FROM raw
  GROUP BY GROUPING SETS ((), (channel), (hour)))
(SELECT 'metrics', * FROM metrics EXCEPT SELECT 'metrics', * FROM recount)
UNION ALL (SELECT 'recount', * FROM recount EXCEPT SELECT 'recount', * FROM metrics)
EOQ
}

# A line of the worker's /proc/<pid>/status, in kB.
sub memory_of
{
	my ($pid, $what) = @_;
	my ($kb) = PostgreSQL::Test::Utils::slurp_file("/proc/$pid/status") =~ /^$what:\s*(\d+) kB/m;

	return $kb;
}

# Seconds of processor time that a process has used.
sub cpu_time
{
	my ($pid) = @_;
	my ($user, $system) = (split / /,
		PostgreSQL::Test::Utils::slurp_file("/proc/$pid/stat") =~ s/^.*\) //sr)[ 11, 12 ];

	return ($user + $system) / POSIX::sysconf(&POSIX::_SC_CLK_TCK);
}

# Connections that the listener says it has; it says so once a second at most.
sub open_connections
{
	my ($self) = @_;

	return $self->sql("SELECT substring(query from '(\\d+) connections') FROM pg_stat_activity"
		  . " WHERE backend_type = 'fast_ingest listener'");
}

# which: 'listener' or 'flusher'; empty when there is none.
sub worker_pid
{
	my ($self, $which, $database) = @_;

	return $self->sql(
		'SELECT pid FROM pg_stat_activity'
		  . " WHERE backend_type = 'fast_ingest $which'",
		$database);
}

# The worker's pid, once there is one.
sub any_worker_pid
{
	my ($self, $which) = @_;

	return $self->wait_for_other_pid($which, '');
}

# The worker's new pid, once it is another one than this; undef when there is
# none in time.
sub wait_for_other_pid
{
	my ($self, $which, $old_pid) = @_;
	my $pid;

	return wait_until(
		sub {
			$pid = eval { $self->worker_pid($which) };
			return defined $pid && $pid ne '' && $pid ne $old_pid;
		}) ? $pid : undef;
}

# SIGSTOP a worker until resume(); END lets it go in any case.
sub pause
{
	my ($self, $pid) = @_;

	kill 'STOP', $pid or die "could not stop process $pid: $!";
	$stopped_processes{$pid} = 1;
	return;
}

sub resume
{
	my ($self, $pid) = @_;

	delete $stopped_processes{$pid};
	kill 'CONT', $pid;
	return;
}

# A session that holds ACCESS EXCLUSIVE on the table until its quit().
sub lock_table
{
	my ($self, $table) = @_;
	my $session = $self->node->background_psql($self->{database});

	$session->query_safe('BEGIN');
	$session->query_safe('LOCK TABLE '
		  . ($table || 'fast_ingest.events')
		  . ' IN ACCESS EXCLUSIVE MODE');
	return $session;
}

# Is there a line like this in the server's log, from this offset on?
sub wait_for_log_line
{
	my ($self, $pattern, $offset) = @_;

	return wait_until(
		sub {
			my $log = PostgreSQL::Test::Utils::slurp_file($self->node->logfile);

			return substr($log, $offset || 0) =~ $pattern;
		});
}

# ---------------------------------------------------------------------------
# Requests
# ---------------------------------------------------------------------------

# A connection; undef when the server refuses it.
sub try_connect
{
	my ($self) = @_;

	return FastIngest::Connection->new($self->{port});
}

sub connect
{
	my ($self) = @_;

	return $self->try_connect || die "could not connect to the listener: $@";
}

# One request over a connection of its own.
sub request
{
	my ($self, $method, $path, %opt) = @_;
	my $connection = $self->try_connect
	  or return FastIngest::Connection::no_answer('closed');

	$connection->send(http_message($method, $path, %opt));
	return $connection->read_answer(head => $method eq 'HEAD');
}

sub get
{
	my ($self, $path, %opt) = @_;

	return $self->request('GET', $path, %opt);
}

sub post
{
	my ($self, $path, $body, %opt) = @_;

	return $self->request('POST', $path, %opt, body => $body);
}

sub post_event
{
	my ($self, $event, %opt) = @_;

	return $self->post('/events', $event, %opt);
}

sub post_bulk
{
	my ($self, $events, %opt) = @_;
	my $query = delete $opt{query};

	return $self->post('/events/bulk' . ($query ? "?$query" : ''),
		$events, %opt);
}

# Send each event on a connection of its own and wait for nothing. Returns the
# connections, for read_answer.
sub send_events
{
	my ($self, @events) = @_;

	return map {
		my $connection = $self->connect;

		$connection->send(http_message('POST', '/events', body => $_));
		$connection
	} @events;
}

# ---------------------------------------------------------------------------
# Load
# ---------------------------------------------------------------------------

# Clients that post until they are told to stop; see FastIngest::Load.
sub start_load
{
	my ($self, %opt) = @_;
	my $load = FastIngest::Load->new($self, %opt);

	push @loads, $load;
	return $load;
}

# What was acknowledged is stored, nothing is stored twice, and clients heard
# nothing else than what they may hear.
sub stored_once
{
	my ($self, $load, $name, %opt) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $books = $load->books(%opt);

	ok( $books->{acknowledged} > 0
		  && $books->{lost} == 0
		  && $books->{twice} == 0
		  && $books->{unexpected} == 0,
		"$name: $books->{acknowledged} acknowledged events are stored, none twice")
	  or diag(explain($books));
	is(join("\n", $load->complaints), '', "$name: no other answer than 202 and 503");
	return $books;
}

END
{
	my $exit_code = $?;

	if ($$ == $test_pid)
	{
		kill 'CONT', $_ foreach keys %stopped_processes;
		$_->stop foreach @loads;
	}
	$? = $exit_code;
}

# ---------------------------------------------------------------------------
# A raw connection: sends any bytes, reads whole answers
# ---------------------------------------------------------------------------

package FastIngest::Connection;

use strict;
use warnings;

use Errno qw(EAGAIN EINTR EWOULDBLOCK);
use Socket qw(IPPROTO_TCP TCP_NODELAY);
use Time::HiRes qw(time);

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

# Send the bytes. A server that answers early and stops reading is no
# deadlock: what it sends meanwhile is taken in. False when it has gone.
sub send
{
	my ($self, $bytes) = @_;
	my $deadline = time + $FastIngest::TIMEOUT;
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

# The next answer of the connection, of an interim one (100) too.
# Options: head => 1: to a HEAD request; seconds: how long to wait.
sub read_answer
{
	my ($self, %opt) = @_;
	my $deadline = time + ($opt{seconds} || $FastIngest::TIMEOUT);
	my %answer = (headers => { 'content-type' => '' }, body => '');
	my $why;

	$why = $self->read_until(sub { $self->{buffer} =~ /\r\n\r\n/ }, $deadline);
	return no_answer($why) if $why;

	# Nothing is taken out of the buffer before the answer is whole, so that
	# one may ask again after a timeout.
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

# Did the server close the connection, without another byte?
sub is_closed
{
	my ($self, $seconds) = @_;
	my $why = $self->read_until(sub { $self->{buffer} ne '' },
		time + ($seconds || $FastIngest::TIMEOUT));

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
