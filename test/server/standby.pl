# A hot standby answers queries exactly, from what it has replayed, and takes no events. Clients do
# not notice what replay does to a query. Once promoted it takes events at once, and its listener
# keeps running.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use FastIngest;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $metrics = '/metrics?event_name=page_view&group_by=channel';
my $stats = '/stats?site_id=shop&date=2024-08-12';
my $answer;

# The refresh runs all the time, and replay cancels what is in its way.
my $primary = FastIngest->new(
	'primary',
	conf => <<'EOC', database => 'app', extension => 0);
wal_level = replica
max_wal_senders = 8
hot_standby = on
fast_ingest.refresh_backlog = 100
max_standby_streaming_delay = 1ms
EOC
$primary->sql('CREATE DATABASE app TEMPLATE template0', 'postgres');
my $standby = $primary->standby('standby');

sub wait_for_replay
{
	my ($from, $to) = @_;

	return $from->node->wait_for_catchup($to->node, 'replay',
		$from->node->lsn($from->sql('SELECT pg_is_in_recovery()', 'template1') eq 't' ? 'replay' : 'write'));
}

sub bearer { return (headers => [ 'Authorization', "Bearer $_[0]" ]) }

# Set fast_ingest.require_api_key, and wait until a query without a key is answered
# by this status.
sub require_key
{
	my ($server, $value, $status) = @_;

	$server->set('fast_ingest.require_api_key' => $value);
	return $server->wait_for_answer($status, sub { $server->get($metrics) });
}

sub workers
{
	my ($server) = @_;

	return $server->sql("SELECT string_agg(worker || ' ' || state, ', ' ORDER BY worker) FROM fi_status()");
}

# ---------------------------------------------------------------------------
# Before the extension exists
# ---------------------------------------------------------------------------

ok( wait_until(sub { $standby->get('/ready?for=read')->{body} =~ /extension fast_ingest is not created/ }),
	'a standby of a server without the extension is not ready for reading, and says why');
is_error($standby->get('/ready'), 503, qr/the server is a standby/, 'nor for writing');
is_error($standby->get($metrics), 503, qr/extension fast_ingest is not created/, 'nor does it answer');
$standby->set('fast_ingest.require_api_key' => 'on');
ok(wait_until(sub { $standby->get($metrics)->{body} =~ /the API keys are not loaded yet/ }),
	'where keys are needed, nobody is let in before they are known');
$primary->create_extension;
is($standby->wait_for_answer(200, sub { $standby->get('/ready?for=read') })->{status},
	200, 'the replayed CREATE EXTENSION makes it ready for reading');
is_error($standby->get($metrics), 401, qr/an API key is needed/, 'and it knows that there are none');
is(require_key($standby, 'off', 200)->{status}, 200, 'without keys it answers');

# ---------------------------------------------------------------------------
# Queries and events
# ---------------------------------------------------------------------------

my @events = map { event($_, site_id => 'shop', channel => (qw(web mobile))[ $_ % 2 ]) } 1 .. 50;

is($primary->post_bulk(\@events)->{json}{accepted}, 50, 'events on the primary');
wait_for_replay($primary, $standby);
foreach my $path ($metrics, $stats, "$metrics&format=csv", '/metrics?group_by=event&site=shop', '/series?step=1h&group_by=channel',
	"/series?from=$NOON&top=1&group_by=page&metadata.plan=pro", '/event_names', '/event_names?channel=web&format=csv')
{
	$answer = $standby->get($path);
	is($answer->{status}, 200, "the standby answers $path");
	is($answer->{body}, $primary->get($path)->{body}, 'as the primary does');
}
is($standby->get($metrics)->{json}{total_events}, 50, 'and knows all events');
is($standby->get('/live?site=shop')->{json}{last_30_minutes}{total_events}, 0, 'the standby answers /live');

foreach my $request ([ '/events', event(51) ], [ '/events/bulk', [ event(51) ] ],
	[ '/event', { site_id => 's', event_type => 'e' } ])
{
	$answer = $standby->post(@$request);
	is_error($answer, 503, qr/the server is a standby/, "$request->[0] is refused");
	cmp_ok($answer->{headers}{'retry-after'}, '>', 0, 'until later');
}
is($standby->get('/health')->{status}, 200, '/health');
is($standby->get('/ready?for=read')->{status}, 200, '/ready?for=read');
is_error($standby->get($_), 503, qr/the server is a standby/, $_) foreach '/ready', '/ready?for=write';
is_error($standby->get('/ready?for=x'), 400, qr/"for".*expected read or write/, '/ready?for=x');
is($primary->get("/ready$_")->{status}, 200, "/ready$_ of the primary")
  foreach '', '?for=read', '?for=write';
is(workers($standby), 'flusher 1 stopped, listener 1 running, maintenance stopped, query 1 running',
	'fi_status() of the standby');
my ($result, $stdout, $stderr) = $standby->node->psql('app', "\\set VERBOSITY verbose\nSELECT fi_maintain()");
like($stderr, qr/ERROR:  25006: .*read-only.*HINT:  .*not on a standby/s, 'fi_maintain() of the standby');

# ---------------------------------------------------------------------------
# API keys, which are the primary's
# ---------------------------------------------------------------------------

my $key = $primary->sql("SELECT fi_create_api_key('client', '{write,read}')");
my $lost = $primary->sql("SELECT fi_create_api_key('lost', '{read}')");

is_error(require_key($standby, 'on', 401), 401, qr/an API key is needed/, 'a standby asks for keys, too');
foreach my $known ($key, $lost)
{
	is($standby->wait_for_answer(200, sub { $standby->get($metrics, bearer($known)) })->{body},
		$primary->get($metrics)->{body}, 'and knows those of the primary');
}
is_error($standby->post_event(event(51), bearer($key)), 503, qr/the server is a standby/, 'with a key events are refused as ever');
$primary->sql("SELECT fi_revoke_api_key('lost')");
is_error($standby->wait_for_answer(401, sub { $standby->get($metrics, bearer($lost)) }),
	401, qr/not valid/, 'a key that was revoked there is refused');
is($standby->get($metrics, bearer($key))->{status}, 200, 'the other one is not');
$standby->node->restart;
is($standby->wait_for_answer(200, sub { $standby->get($metrics, bearer($key)) })->{status}, 200, 'after a restart they are known again');
is_error($standby->get($metrics, bearer($lost)), 401, qr/not valid/, 'as they were');
is(require_key($standby, 'off', 200)->{status}, 200, 'without keys it answers');

# A standby of the standby
my $cascade = $standby->standby('cascade');

is($cascade->wait_for_answer(200, sub { $cascade->get('/ready?for=read') })->{status},
	200, "a standby's standby is ready for reading");
is($cascade->get($metrics)->{body}, $primary->get($metrics)->{body}, 'and answers as the primary does');

# ---------------------------------------------------------------------------
# Replay in the way of a query
# ---------------------------------------------------------------------------

# The query has locked the events, which replay wants, and wants the rollup,
# which replay has locked.
my $session = $primary->node->background_psql('app');
my $connection = $standby->connect;

sub lock_on_primary
{
	$session->query_safe("LOCK TABLE fast_ingest.$_[0]");
	$primary->sql('SELECT pg_switch_wal()');
	return;
}

# Does replay hold what the primary has locked?
sub wait_for_lock
{
	my ($table) = @_;

	return wait_until(
		sub {
			$standby->sql("SELECT count(*) FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND granted"
				  . " AND relation = (SELECT oid FROM pg_class WHERE relname = '$table')") == 1;
		});
}

$session->query_safe('BEGIN');
lock_on_primary('rollup');
ok(wait_for_lock('rollup'), 'replay holds a lock');
$connection->send(http_message('GET', $metrics));
ok( wait_until(
		sub {
			$standby->sql(q(SELECT wait_event_type FROM pg_stat_activity WHERE backend_type = 'fast_ingest query'))
			  eq 'Lock';
		}),
	'a query waits for it');
lock_on_primary('events');
ok(wait_for_lock('events'), 'replay takes from it what it has locked');
$session->quit;
$answer = $connection->read_answer;
is($answer->{status}, 200, 'and the client has its answer');
is($answer->{body}, $primary->get($metrics)->{body}, 'the right one');

# Nor does a check of the API keys keep the worker
$session = $primary->node->background_psql('app');
$session->query_safe('BEGIN');
lock_on_primary('api_keys');
ok(wait_for_lock('api_keys'), 'replay holds the lock of the API keys');
my $locked_at = $standby->sql('SELECT clock_timestamp()');
ok( wait_until(
		sub {
			$standby->sql("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'fast_ingest query'"
				  . " AND query = 'looking at the API keys' AND state_change > '$locked_at'") == 1;
		}),
	'the query worker looks at them');
is($standby->get($metrics)->{status}, 200, 'and queries are answered');
$session->quit;

# ---------------------------------------------------------------------------
# Queries under load
# ---------------------------------------------------------------------------

# Each event has a user of its own, so that a torn snapshot shows.
my $load = $primary->start_load(clients => 3, bulks => 1, think => 0.005, ports => [ $primary->port, $standby->port ]);
my $queries = 0;
my $wrong = 0;
my $last = 0;
my $enough = 0;

until ($enough >= 150 || $queries > 5000)
{
	$primary->sql('VACUUM fast_ingest.rollup_delta') if $queries % 10 == 0;
	$answer = $standby->get($metrics);
	$queries++;

	my $json = $answer->{json};
	my $sum = 0;

	$sum += $_->{total_events} foreach @{ $json->{data} };
	my $right =
		 $answer->{status} eq 200
	  && $json->{total_events} == $sum
	  && $json->{total_events} == $json->{unique_users}
	  && $json->{total_events} >= $last;

	$wrong++ unless $right;
	diag("wrong answer after $last events: $answer->{status} $answer->{body}") unless $right;
	$enough++ if $right && $json->{total_events} > $last;
	$last = $json->{total_events} if $right;
}
is($wrong, 0, 'all answers of the standby under load are those of one snapshot');
cmp_ok($enough, '>=', 150, 'and there was something to see');
note("$queries queries up to event $last; conflicts: "
	  . $standby->sql(
		q(SELECT to_json(c) FROM pg_stat_database_conflicts c WHERE datname = 'app')));

# ---------------------------------------------------------------------------
# Promotion
# ---------------------------------------------------------------------------

my $listener = $standby->worker_pid('listener');
my $kept = $standby->connect;

$kept->send(http_message('POST', '/events', body => event(60)));
is_error($kept->read_answer, 503, qr/the server is a standby/, 'before the promotion: no events');
$primary->node->stop('fast');
is($standby->sql('SELECT pg_promote()', 'template1'), 't', 'promoted');

my $begin = time;
my $taken = wait_until(
	sub {
		$kept->send(http_message('POST', '/events', body => event(60)));
		return $kept->read_answer->{status} eq 202;
	});

note(sprintf 'the first event is taken %.3f s after pg_promote()', time - $begin);
ok($taken, 'it takes events, on the same connection');
is($standby->worker_pid('listener'), $listener, 'its listener is the same process');
is($standby->wait_ready->{status}, 200, 'and it is ready');
ok($load->wait_for_every_client, 'the clients go on there');
$load->stop;
$load->{server} = $standby;
$standby->stored_once($load, 'promotion');
$standby->books_balance('promotion');
is($standby->wrong_metrics, '', 'the metrics are those of a recount');
is($standby->post_bulk(\@events)->{json}{accepted}, 50, 'events that the old primary has stored');
is($standby->count("site_id = 'shop'"), 50, 'are not stored again');
is(require_key($standby, 'on', 401)->{status}, 401, 'it asks for keys');
is($standby->post_event(event(1), bearer($key))->{status}, 202, 'and knows those of the old primary');
$lost = $standby->sql("SELECT fi_create_api_key('lost')");
is($standby->post_event(event(1), bearer($lost))->{status}, 202, 'a key is valid from its commit on');
$standby->sql("SELECT fi_revoke_api_key('lost')");
is_error($standby->post_event(event(1), bearer($lost)), 401, qr/not valid/, 'to the one that revokes it');
is(require_key($standby, 'off', 200)->{status}, 200, 'without keys it answers');

# ---------------------------------------------------------------------------
# DROP DATABASE replayed
# ---------------------------------------------------------------------------

wait_for_replay($standby, $cascade);
is($cascade->get($metrics)->{body}, $standby->get($metrics)->{body}, "the standby's standby has followed");
$standby->sql('DROP DATABASE app', 'template1');
ok(wait_until(sub { $cascade->get('/ready?for=read')->{status} eq 503 }),
	'the database gone, it is not ready for reading');
ok(wait_until(sub { $cascade->get($metrics)->{json}{error} =~ /could not connect to database "app"/ }),
	'and says why');
$standby->sql('CREATE DATABASE app TEMPLATE template0', 'template1');
$standby->create_extension;
is($standby->post_bulk(\@events)->{json}{accepted}, 50, 'events in the new database');
wait_for_replay($standby, $cascade);
is($cascade->wait_for_answer(200, sub { $cascade->get($metrics) })->{json}{total_events},
	50, 'are known to the standby by themselves');

# Without query workers there is nothing to listen for before the promotion.
$cascade->node->append_conf('postgresql.conf', 'hot_standby = off');
my $offset = -s $cascade->node->logfile;
$cascade->node->restart;
ok($cascade->wait_for_log_line(qr/consistent recovery state reached/, $offset),
	'without hot_standby a standby replays');
ok(!defined $cascade->try_connect, 'and does not listen');
$cascade->node->promote;
is($cascade->wait_ready->{status}, 200, 'promoted, it is ready');
$cascade->node->stop;
$standby->node->stop;

done_testing();
