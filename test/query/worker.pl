# The query worker is a good citizen: it keeps to its time, no query is in the way of events, every
# client hears when a worker, the listener or the server ends, and the work goes on afterwards.
# This holds for several workers, for databases that come and go, and on a server without a query
# worker clients hear why.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use FastIngest;
use FastIngest::Query;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $server = FastIngest->new('query_worker');
my $answer;

post_views($server);

# ---------------------------------------------------------------------------
# Time
# ---------------------------------------------------------------------------

my $pid = $server->worker_pid('query');
my $view = '/metrics?event_name=view';
my $lock;

# A lock holds up the queries until their time is over.

$server->set('fast_ingest.query_timeout' => '400ms');
$lock = block_queries($server);
$answer = $server->wait_for_answer(503, sub { $server->get($view) });
is_error($answer, 503, qr/fast_ingest\.query_timeout/, 'a query that takes too long');
ok($answer->{headers}{'retry-after'}, 'a query that takes too long: Retry-After');

my $start = time;
my @waiting = map { send_query($server, $view) } 1 .. 8;
my @answers = map { $_->read_answer } @waiting;
cmp_ok(time - $start, '<', 10, 'their time counts while they wait for the worker');
is(scalar(grep { $_->{status} eq 503 && $_->{body} =~ /query_timeout/ } @answers),
	8, 'all that wait hear of it');
like($server->sql("SELECT last_error FROM fi_status() WHERE worker = 'query 1'"),
	qr/query_timeout/, 'fi_status() shows it');
$lock->quit;
is($server->wait_for_answer(200, sub { $server->get($view) })->{status}, 200, 'answered when the lock is gone');
is($server->worker_pid('query'), $pid, 'by the same worker');
$server->set('fast_ingest.query_timeout' => '60s');

# The setting reaches the listener some time after this

$lock = undef;
ok( wait_until(
		sub {
			my $session = block_queries($server);
			my $asked = send_query($server, $view);
			my $early = $asked->read_answer(seconds => 1);

			$session->quit;
			return $early->{status} eq 'timeout'
			  && $asked->read_answer->{status} eq 200;
		}),
	'a longer time');

# ---------------------------------------------------------------------------
# A slow query delays nobody
# ---------------------------------------------------------------------------

$server->pause($pid);
@waiting = map { send_query($server, $view) } 1 .. 40;
my $load = $server->start_load(name => 'beside');
$start = time;
ok($load->wait_for_acknowledgements(200), 'events are taken while a query hangs');
cmp_ok(time - $start, '<', 30, 'long before its time is over');
is($server->get('/health')->{status}, 200, '/health');
is($server->get('/ready')->{status}, 200, '/ready');

# Some clients do not wait for their answers.
$_->close foreach splice @waiting, 0, 20;
$server->resume($pid);
is(scalar(grep { $_->read_answer->{status} eq 200 } @waiting), 20, 'the others are answered');
$load->stop;
$server->stored_once($load, 'beside a slow query');
$server->books_balance('beside a slow query');

# A running query shows in pg_stat_activity, and leaves no snapshot behind.

$lock = block_queries($server);
@waiting = (send_query($server, $view));
ok(wait_until_blocked($server), 'a query waits for a lock');
is( $server->sql(
		"SELECT state, query FROM pg_stat_activity WHERE backend_type = 'fast_ingest query'"),
	'active|GET /metrics',
	'pg_stat_activity shows it');

# Cancelled

is($server->sql("SELECT pg_cancel_backend($pid)"), 't', 'pg_cancel_backend');
is_error($waiting[0]->read_answer, 503, qr/cancel/, 'a cancelled query');
$lock->quit;
is($server->sql("SELECT pg_cancel_backend($pid)"), 't', 'pg_cancel_backend of an idle worker');
is($server->get($view)->{status}, 200, 'it goes on');
is($server->worker_pid('query'), $pid, 'it is the same worker');
ok( wait_until(
		sub {
			$server->sql(
				"SELECT count(*) FROM pg_stat_activity WHERE pid = $pid AND state = 'idle' AND xact_start IS NULL AND backend_xmin IS NULL"
			);
		}),
	'an idle worker holds no snapshot');

# ---------------------------------------------------------------------------
# Ends
# ---------------------------------------------------------------------------

# The worker is ended in a query, with others waiting.

$lock = block_queries($server);
@waiting = (send_query($server, $view));
ok(wait_until_blocked($server), 'a query waits for a lock');
push @waiting, map { send_query($server, $view) } 1 .. 3;
$start = time;
$server->sql("SELECT pg_terminate_backend($pid)");
is_error($waiting[0]->read_answer, 503, qr/worker/, 'a worker that ended');
cmp_ok(time - $start, '<', 10, 'is not waited for');
$lock->quit;
like(join(' ', map { $_->read_answer->{status} } @waiting[ 1 .. 3 ]),
	qr/^(200|503) (200|503) (200|503)$/, 'those who waited are answered');
isnt($server->wait_for_other_pid('query', $pid), $pid, 'another worker is started');
ok(wait_for_query_worker($server), 'and answers');

# The listener is ended with queries running and waiting.

my $listener = $server->worker_pid('listener');
$lock = block_queries($server);
@waiting = (send_query($server, $view));
ok(wait_until_blocked($server), 'a query waits for a lock');
push @waiting, map { send_query($server, $view) } 1 .. 3;
ok(wait_until(sub { $server->open_connections >= @waiting }), 'others wait behind it');
$server->sql("SELECT pg_terminate_backend($listener)");
is(join(' ', map { $_->read_answer->{status} } @waiting),
	'503 503 503 503', 'all are told when the listener ends');
$server->wait_for_other_pid('listener', $listener);
@waiting = ();
wait_until(
	sub {
		my $connection = $server->try_connect or return 0;

		$connection->send(http_message('GET', $view));
		push @waiting, $connection;
		return 1;
	});
$lock->quit;
is($waiting[0]->read_answer->{status}, 200, 'the next listener gets the slot');

# The worker is killed: the server starts its processes again.

$listener = $server->worker_pid('listener');
$lock = block_queries($server);
@waiting = (send_query($server, $view));
ok(wait_until_blocked($server), 'a query waits for a lock');
kill 'KILL', $server->worker_pid('query');
is($waiting[0]->read_answer->{status}, 'closed', 'a crash closes the connection');
eval { $lock->quit };
ok( wait_until(
		sub {
			my ($result, $stdout) = $server->node->psql('postgres',
				"SELECT pid FROM pg_stat_activity WHERE backend_type = 'fast_ingest listener'");

			return $result == 0 && $stdout =~ /^\d+$/ && $stdout != $listener;
		}),
	'the listener is back after a crash');
$server->wait_ready;
ok(wait_for_query_worker($server), 'and so is the query worker');

# A client asks and leaves at once, many times.

foreach (1 .. 100)
{
	my $connection = send_query($server, $view);
	$connection->close;
}
ok(wait_for_query_worker($server), 'clients that left did no harm');

# The extension is dropped and created while queries run.

sub ask_in_background
{
	my ($seconds) = @_;
	my $file = PostgreSQL::Test::Utils::tempdir() . '/answers';
	my $child = fork;

	die "could not fork: $!" unless defined $child;
	if ($child == 0)
	{
		my $until = time + $seconds;
		my %seen;

		while (time < $until && !-e "$file.stop")
		{
			my $answer = eval { $server->get($view) } || { status => 'died' };

			$seen{ $answer->{status} eq 503 ? "503 $answer->{body}" : $answer->{status} }++;
		}
		open my $out, '>', $file or POSIX::_exit(1);
		print $out map { "$_\n" } sort keys %seen;
		close $out;
		POSIX::_exit(0);
	}
	return sub {
		open my $stop, '>', "$file.stop" or die;
		close $stop;
		waitpid $child, 0;
		return PostgreSQL::Test::Utils::slurp_file($file);
	};
}

my $answers = ask_in_background(60);
foreach my $round (1 .. 5)
{
	$server->sql('DROP EXTENSION fast_ingest');
	is_error($server->wait_for_answer(503, sub { $server->get($view) }),
		503, qr/extension/, "round $round: DROP EXTENSION");
	$server->sql('CREATE EXTENSION fast_ingest');
	is($server->wait_for_answer(200, sub { $server->get($view) })->{status},
		200, "round $round: CREATE EXTENSION");
}
unlike($answers->(), qr/^(?!200|503)/m, 'nothing but 200 and 503 meanwhile');
is_body($server->get($view), '{"event_name":"view","total_events":0,"unique_users":0}', 'an empty extension');

# Shutdown

$lock = block_queries($server);
@waiting = map { send_query($server, $view) } 1 .. 5;
ok(wait_until_blocked($server), 'a query waits for a lock');
$start = time;
$server->node->stop('fast');
cmp_ok(time - $start, '<', 20, 'the server stops');
# the session with the lock may end before the query worker is told to end, which then answers
like(join(' ', map { $_->read_answer->{status} } @waiting),
	qr/^(200 ?)*(503 ?)*$/, 'and tells all who wait');
eval { $lock->quit };

# ---------------------------------------------------------------------------
# Several workers; databases; no workers
# ---------------------------------------------------------------------------

my $app = FastIngest->new(
	'query_workers',
	database => 'app',
	extension => 0,
	conf => "fast_ingest.query_workers = 3\n");

ok(wait_until(sub { $app->get($view)->{body} =~ /could not connect to database/ }),
	'no database: queries are refused with the reason');
$app->sql('CREATE DATABASE app TEMPLATE template0', 'template1');
ok( wait_until(sub { $app->get($view)->{body} =~ /extension/ }),
	'no extension: queries are refused with the reason');
$app->create_extension;
ok(wait_for_query_worker($app), 'CREATE EXTENSION: queries are answered');
is( $app->sql("SELECT string_agg(worker || ' ' || state, ', ' ORDER BY worker) FROM fi_status() WHERE worker LIKE 'query%'"),
	'query 1 running, query 2 running, query 3 running',
	'fi_status() shows all');

# in the order in which queries are given to them
my @pids = split /\n/,
  $app->sql("SELECT pid FROM fi_status() WHERE worker LIKE 'query%' ORDER BY worker");
is(scalar(@pids), 3, 'three processes');
$app->pause($_) foreach @pids[ 0, 1 ];
@waiting = map { send_query($app, $view) } 1 .. 9;
my @held = @waiting;
wait_until(
	sub {
		@held = grep { $_->read_answer(seconds => 0.1)->{status} ne '200' } @held;
		return @held <= 2;
	});
is(scalar(@held), 2, 'one worker answers what two others do not hold');
$app->resume($_) foreach @pids[ 0, 1 ];
is(scalar(grep { $_->read_answer->{status} eq '200' } @held), 2, 'they answer in the end');

# A query that takes a minute and waits for no lock: each of its rows sleeps,
# where it is read by a query worker.
sub slow_query
{
	$app->post_bulk([ map { event($_, event_name => 'slow') } 1 .. 60 ]);
	$app->sql(<<'EOQ');
CREATE FUNCTION sleepy(path text) RETURNS text IMMUTABLE LANGUAGE plpgsql
AS $$BEGIN
  IF current_setting('transaction_read_only')::boolean THEN
    PERFORM pg_catalog.pg_sleep(1);
  END IF;
  RETURN path;
END$$;
SELECT fi_add_breakdown('sleepy', 'public.sleepy(path)', '{day}');
EOQ
	my $asked = send_query($app, '/metrics?event_name=slow&group_by=sleepy');
	ok( wait_until(
			sub {
				$app->sql(
					"SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'fast_ingest query' AND wait_event = 'PgSleep'",
					'template1');
			}),
		'a slow query runs');
	return $asked;
}

foreach my $how ('', ' WITH (FORCE)')
{
	my $slow = slow_query();
	my @asked = map { send_query($app, $view) } 1 .. 10;
	my $begin = time;

	$app->sql("DROP DATABASE app$how", 'template1');
	cmp_ok(time - $begin, '<', 5, "DROP DATABASE$how");
	is($slow->read_answer->{status}, 503, "DROP DATABASE$how: a running query gives way");
	is(scalar(grep { $_->read_answer->{status} =~ /^(200|503)$/ } @asked),
		10, "DROP DATABASE$how: all are answered");
	is_error($app->wait_for_answer(503, sub { $app->get($view) }),
		503, qr/database|restart/, "DROP DATABASE$how: queries are refused");
	$app->sql('CREATE DATABASE app TEMPLATE template0', 'template1');
	$app->create_extension;
	ok(wait_for_query_worker($app), "CREATE DATABASE after DROP DATABASE$how");
}
$app->node->stop;

my $few = FastIngest->new('few_processes',
	conf => "max_worker_processes = 2\nmax_logical_replication_workers = 0\n");
is_error($few->get($view), 503, qr/max_worker_processes/, 'no process for queries: the answer says why');
is($few->post_event(event(1))->{status}, 202, 'no process for queries: events are taken');
$few->node->stop;

done_testing();
