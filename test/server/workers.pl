# The workers are good citizens of their server: its views show them, they come back whatever ends
# them, they follow reloads, and autovacuum knows of their work.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use FastIngest;
use PostgreSQL::Test::Utils;
use Test::More;

my $server = FastIngest->new('workers');
my $n = 0;
my $answer;

sub still_serves
{
	my ($what) = @_;
	my $event = event(++$n);

	is( $server->wait_for_answer(202, sub { $server->post_event($event) })
		  ->{status},
		202,
		"$what: events are taken");
	is($server->count("user_id = '$event->{user_id}'"),
		1, "$what: and stored once");
	return;
}

# The workers in the server's views

ok( wait_until(
		sub {
			$server->sql(
				"SELECT bool_and(state = 'running') FROM fi_status()") eq 't';
		}),
	'all workers run');
is( $server->sql(<<'EOQ'), <<'EOR' =~ s/\n\z//r, 'they are in pg_stat_activity');
SELECT backend_type, coalesce(datname, 'no database') FROM pg_stat_activity
WHERE backend_type LIKE 'fast_ingest%'
ORDER BY 1
EOQ
fast_ingest flusher|postgres
fast_ingest listener|no database
fast_ingest maintenance|postgres
fast_ingest query|postgres
EOR
is( $server->sql(<<'EOQ'),
SELECT s.worker, s.pid = a.pid, s.state, s.since <= now()
FROM fi_status() s LEFT JOIN pg_stat_activity a
  ON a.backend_type = 'fast_ingest ' || split_part(s.worker, ' ', 1)
WHERE s.worker <> 'maintenance'
ORDER BY 1
EOQ
	"flusher 1|t|running|t\nlistener 1|t|running|t\nquery 1|t|running|t",
	'fi_status() shows them at work');

still_serves('at the start');
is( $server->sql(<<'EOQ'),
SELECT worker, num_nulls(received, accepted, rejected),
  num_nulls(duplicate, committed, dead_lettered, staged, staging_size)
FROM fi_status() ORDER BY 1
EOQ
	"flusher 1|3|0\nlistener 1|0|5\nmaintenance|3|5\nquery 1|3|5",
	'fi_status() counts where it happens');
is( $server->sql(<<'EOQ'),
SELECT received, accepted, rejected FROM fi_status() WHERE worker LIKE 'listener%'
UNION ALL
SELECT committed, duplicate, staged FROM fi_status() WHERE worker LIKE 'flusher%'
EOQ
	"1|1|0\n1|0|0",
	'fi_status() counts one event');
is( $server->sql(<<'EOQ'),
SELECT staging_size >= 1024 * 1024, oldest_staged IS NULL,
  now() - last_commit BETWEEN '-1 min' AND '5 min'
FROM fi_status() WHERE worker LIKE 'flusher%'
EOQ
	't|t|t',
	'fi_status() shows the staging area and the last commit');

my $lock = $server->lock_table;
my ($waiting) = $server->send_events(event(++$n));
$server->wait_for_staged(1);
ok( wait_until(
		sub {
			$server->sql(
				"SELECT count(*) FROM fi_status() WHERE oldest_staged > '0.1 s'");
		}),
	'fi_status() shows the age of what waits');
is( $server->sql(
		"SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'fast_ingest flusher' AND state = 'active' AND query <> ''"
	),
	1,
	'pg_stat_activity shows what the flusher does');
$lock->quit;
is($waiting->read_answer->{status}, 202, 'it is stored in the end');
ok( wait_until(
		sub {
			$server->sql(
				"SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'fast_ingest flusher' AND xact_start IS NULL AND backend_xmin IS NULL"
			);
		}),
	'an idle flusher holds no snapshot');

# Statistics

$server->post_bulk([ map { event(++$n) } 1 .. 200 ]);
ok( wait_until(
		sub {
			$server->sql(
				"SELECT sum(n_tup_ins) >= 200 AND sum(n_live_tup) > 0 FROM pg_stat_user_tables WHERE schemaname = 'fast_ingest' AND relname LIKE 'events_2%'"
			) eq 't';
		}),
	'the inserts are in the statistics that autovacuum reads');

# Workers that end come back

foreach my $which (qw(listener flusher))
{
	my $pid = $server->worker_pid($which);

	is($server->sql("SELECT pg_cancel_backend($pid)"), 't', "cancel of the $which");
	still_serves("cancel of the $which");
	is($server->worker_pid($which), $pid, "cancel of the $which: it is the same");
}
$server->books_balance('cancelled');

foreach my $which (qw(listener flusher listener flusher))
{
	my $pid = $server->worker_pid($which);

	is($server->sql("SELECT pg_terminate_backend($pid)"), 't', "end of the $which");
	isnt($server->wait_for_other_pid($which, $pid) || $pid,
		$pid, "end of the $which: another one is started");
	still_serves("end of the $which");
	is($server->wait_ready->{status}, 200, "end of the $which: ready");
}

# A flusher that ends while events wait: they are staged, not lost.

my @events = map { event(++$n, user_id => "orphan-$n") } 1 .. 20;
$lock = $server->lock_table;
my @waiting = $server->send_events(@events);
is($server->wait_for_staged(20), 20, 'events are staged');
my $pid = $server->worker_pid('flusher');
$server->sql("SELECT pg_terminate_backend($pid)");
$lock->quit;
is(scalar(grep { $_->read_answer->{status} eq 202 } @waiting),
	20, 'a new flusher takes over what the ended one left');
is($server->count("user_id LIKE 'orphan-%'"), 20, 'all are stored, once');
$server->books_balance('a flusher that ended');
$server->wait_for_other_pid('flusher', $pid);
$server->wait_ready;

# A flusher cancelled in the middle of a batch tries it again.

@events = map { event(++$n, user_id => "cancelled-$n") } 1 .. 20;
$lock = $server->lock_table;
@waiting = $server->send_events(@events);
is($server->wait_for_staged(20), 20, 'events are staged again');
$server->sql('SELECT pg_cancel_backend(' . $server->worker_pid('flusher') . ')');
$lock->quit;
is(scalar(grep { $_->read_answer->{status} eq 202 } @waiting),
	20, 'a cancelled batch is not given up');
is($server->count("user_id LIKE 'cancelled-%'"), 20, 'it is stored once');
is($server->sql('SELECT count(*) FROM fast_ingest.dead_letters'),
	0, 'nothing of it is a dead letter');
$server->books_balance('a flusher that was cancelled');

# A server that crashes and comes back takes its workers with it

foreach my $victim ('a client backend', 'the flusher')
{
	my $session = $server->node->background_psql('postgres', on_error_stop => 0);
	my $listener = $server->worker_pid('listener');
	my $flusher = $server->worker_pid('flusher');
	my $backend = $session->query_safe('SELECT pg_backend_pid()');

	kill 'KILL', $victim eq 'the flusher' ? $flusher : $backend;
	ok( wait_until(
			sub {
				my ($result, $stdout) = $server->node->psql('postgres',
					"SELECT string_agg(pid::text, ' ' ORDER BY backend_type) FROM pg_stat_activity WHERE backend_type IN ('fast_ingest flusher', 'fast_ingest listener')"
				);

				return
					 $result == 0
				  && $stdout =~ /^(\d+) (\d+)$/
				  && $1 != $flusher
				  && $2 != $listener;
			}),
		"crash of $victim: both workers are back");
	eval { $session->quit };
	$server->wait_ready;
	still_serves("crash of $victim");
	$server->books_balance("crash of $victim");
}

# Reload

$pid = $server->worker_pid('listener');
$server->set('fast_ingest.max_bulk_events' => 2, 'fast_ingest.channels' => 'web');
ok( wait_until(
		sub {
			$server->post_bulk([ map { event(++$n) } 1 .. 3 ])->{status} =~ /^4/;
		}),
	'SIGHUP: max_bulk_events');
is_error($server->post_event(event(++$n, channel => 'mobile')),
	400, qr/channel.*mobile.*web/, 'SIGHUP: channels');
still_serves('SIGHUP');
is($server->worker_pid('listener'), $pid, 'SIGHUP: it is the same listener');

$server->books_balance;
$server->node->stop;

# Not preloaded: the extension can be created (pg_restore does so), and what
# needs the workers says what to set.

my $plain = FastIngest->new('plain', preload => 0, extension => 0);
my ($result, $stdout, $stderr);

$plain->sql('CREATE EXTENSION fast_ingest');
($result, $stdout, $stderr) = $plain->node->psql('postgres',
	"\\set VERBOSITY verbose\nSELECT * FROM fi_status()");
isnt($result, 0, 'not preloaded: fi_status() fails');
like($stderr, qr/55000/, 'not preloaded: sqlstate');
like($stderr, qr/HINT:.*shared_preload_libraries/s, 'not preloaded: hint');
is( $plain->sql(
		"SELECT fi_create_partition('2024-08-12'); INSERT INTO fast_ingest.events (event_name, channel, ts) VALUES ('e', 'web', '2024-08-12 12:00Z'); SELECT count(*) FROM fast_ingest.events"
	),
	"fast_ingest.events_20240812\n1",
	'not preloaded: the tables work');
$plain->sql('DROP EXTENSION fast_ingest');
$plain->node->stop;

done_testing();
