# The books balance while processes are killed, tables are changed, clocks are set, and a primary
# is lost: see FastIngest::Fault.
#
# FI_TORTURE=1: more rounds and longer faults (`make torture`).

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use FastIngest;
use FastIngest::Clock;
use FastIngest::Fault;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

# The rounds of a kill, of a fault that takes its time, and its seconds.
my ($kills, $rounds, $seconds) = $ENV{FI_TORTURE} ? (50, 10, 10) : (3, 2, 2);

# ---------------------------------------------------------------------------
# Processes
# ---------------------------------------------------------------------------

my $conf = $FastIngest::Fault::CONF;
my $server = FastIngest->new('faults', conf => $conf);

fault($server, 'kill -9 of the postmaster', $kills,
	sub { $server->crash; $server->start_again });
fault($server, 'kill -9 of all processes, events staged', $kills,
	sub {
		my $lock = $server->lock_table;

		wait_until(sub { $server->status->{staged} > 0 });
		$server->crash(at_once => 1);
		eval { $lock->quit };
		$server->start_again;
	});

foreach my $worker ('listener', 'flusher', 'query', 'maintenance')
{
	my $pid;

	fault($server, "kill -9 of the $worker worker", $kills,
		sub {
			$pid = $server->any_worker_pid($worker);
			kill 'KILL', $pid;
			$server->wait_for_other_pid($worker, $pid);
		});
	fault($server, "pg_terminate_backend of the $worker worker", $rounds,
		sub {
			$pid = $server->any_worker_pid($worker);
			$server->sql("SELECT pg_terminate_backend($pid)");
			$server->wait_for_other_pid($worker, $pid);
		});
}

fault($server, "flusher stopped for $seconds s", 1,
	sub {
		my $pid = $server->any_worker_pid('flusher');

		$server->pause($pid);
		sleep $seconds;
		$server->resume($pid);
	});

foreach my $mode ('fast', 'smart', 'immediate')
{
	fault($server, "$mode shutdown", $rounds,
		sub { $server->node->stop($mode); $server->start_again });
}

# ---------------------------------------------------------------------------
# The table
# ---------------------------------------------------------------------------

fault($server, "events locked for $seconds s", 1,
	sub {
		my $lock = $server->lock_table;

		sleep $seconds;
		$lock->quit;
	});
fault($server, 'ALTER TABLE events ADD COLUMN', $rounds,
	sub { $server->sql("ALTER TABLE fast_ingest.events ADD COLUMN more$_[0] int") });
fault($server, 'CREATE INDEX, VACUUM FULL', $rounds,
	sub {
		$server->sql('CREATE INDEX ON fast_ingest.events (user_id)');
		$server->sql('VACUUM FULL fast_ingest.events');
		$server->sql('VACUUM FULL fast_ingest.rollup');
		$server->sql('VACUUM FULL fast_ingest.rollup_delta');
	});

fault_drop_extension($server, 'DROP and CREATE EXTENSION', $rounds);
$server->node->stop;

my $databases = FastIngest->new('databases', conf => $conf, database => 'app', extension => 0);
$databases->sql('CREATE DATABASE app TEMPLATE template0', 'postgres');
$databases->create_extension;
fault_drop_database($databases, "DROP DATABASE$_", $rounds, "DROP DATABASE app$_")
  foreach '', ' WITH (FORCE)';
$databases->node->stop;

# ---------------------------------------------------------------------------
# The clock
# ---------------------------------------------------------------------------

# Whichever way the clock leaps, what waits is answered after its time and not
# before. (The table is locked, so that it has to wait.)
my $clock = FastIngest::Clock->new;
my $timed = $clock->run(sub { FastIngest->new('clock', conf => $conf) });
my $timeout = 1.5;    # fast_ingest.request_timeout
my $n = 0;

foreach my $leap (3600, -7200, 86400, -86400, -3 * 86400)
{
	fault($timed, "wall clock set by $leap s", 1,
		sub {
			my $lock = $timed->lock_table;
			my $begin = time;
			my ($waiting) = $timed->send_events(event(++$n));
			my $half = $timed->connect;

			$half->send("POST /events HTTP/1.1\r\n");
			wait_until(sub { $timed->status->{staged} > 0 });
			$clock->set_ahead($clock->ahead + $leap);
			is($waiting->read_answer(seconds => 30)->{status}, 503, "$leap s: what waits is answered");
			cmp_ok(time - $begin, '>=', $timeout, "$leap s: not before its time");
			is($half->read_answer(seconds => 30)->{status}, 408, "$leap s: half a request is cut");
			cmp_ok(time - $begin, '>=', $timeout, "$leap s: not before its time either");
			$lock->quit;
		});
}
$timed->node->stop;

# ---------------------------------------------------------------------------
# The ring
# ---------------------------------------------------------------------------

# The least that an event takes of the ring (see RECORD_HEADER_SIZE and
# REFUSAL_ROOM): so many times at least has the load gone round it.
my $ring = FastIngest->new('ring', conf => $conf);
my $laps = $ENV{FI_TORTURE} ? 30 : 5;
my $per_event = 280;

fault($ring, "$laps times round the ring, now and then full", 1,
	sub {
		my (undef, $load) = @_;
		my $lap = 1024 * 1024 / $per_event;

		foreach (1 .. $laps)
		{
			my $pid = $ring->any_worker_pid('flusher');

			$ring->pause($pid);
			wait_until(sub { $ring->get('/ready')->{status} eq 503 }, 1);
			$ring->resume($pid);
			$load->wait_for_acknowledgements($lap) or last;
		}
	},
	load => { clients => 8, pause => 0 });
$ring->node->stop;

# ---------------------------------------------------------------------------
# A standby
# ---------------------------------------------------------------------------

# Confirmed by a synchronous standby, and the primary is lost.
my $standby_number = 0;
my $primary = FastIngest->new('primary',
	conf => "$conf\nwal_level = replica\nmax_wal_senders = 4\nhot_standby = on\nwal_log_hints = on");

sub make_standby
{
	my ($of, $port) = @_;
	my $name = 'standby' . ++$standby_number;
	my $standby = PostgreSQL::Test::Cluster->new($name);

	$of->append_conf('pg_hba.conf', 'local replication all trust');
	$of->reload;
	$of->backup($name);
	$standby->init_from_backup($of, $name, has_streaming => 1);
	$standby->append_conf('postgresql.conf', <<"EOC");
fast_ingest.port = $port
primary_conninfo = '@{[ $of->connstr ]} application_name=$name'
EOC
	$standby->start;
	$of->append_conf('postgresql.conf', "synchronous_standby_names = '$name'");
	$of->reload;
	$of->poll_query_until('postgres',
		"SELECT sync_state = 'sync' FROM pg_stat_replication WHERE application_name = '$name'")
	  or die 'the standby is not synchronous';
	return $standby;
}

my $promotions = $ENV{FI_TORTURE} ? 5 : 2;
my @ports =
  ($primary->port, map { PostgreSQL::Test::Cluster::get_free_port() } 1 .. $promotions);
my $standby = make_standby($primary->node, $ports[1]);

fault($primary, 'a synchronous standby promoted', $promotions,
	sub {
		my ($round) = @_;

		$primary->crash(at_once => 1);
		$standby->append_conf('postgresql.conf', "synchronous_standby_names = ''");
		$standby->promote;
		@$primary{qw(node port)} = ($standby, $ports[$round]);
		return if $round == $promotions;
		$primary->wait_ready;
		$standby = make_standby($primary->node, $ports[ $round + 1 ]);
	},
	load => { ports => [@ports], readers => 0 });
$primary->node->stop;

done_testing();
