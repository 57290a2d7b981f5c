# A server that is asked to stop first commits and answers what it has taken. What cannot be
# committed never keeps it from stopping.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use FastIngest;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

# Seconds that a stop may take in addition to the drain
my $some = 15;
my $drain_timeout = 5;
my $n = 0;

sub seconds_to_stop
{
	my ($server, $mode) = @_;
	my $begin = time;

	$server->node->stop($mode);
	return time - $begin;
}

# The clients go on through all of it, trying again what was not acknowledged.

my $server = FastIngest->new('shutdown');
my $load = $server->start_load;

foreach my $mode (qw(fast smart fast smart))
{
	ok($load->wait_for_acknowledgements(200), "$mode: events are coming");
	cmp_ok(seconds_to_stop($server, $mode),
		'<', $drain_timeout + $some, "$mode: the server stops in time");
	$server->start_again;
	$server->stored_once($load, "$mode shutdown");
}
ok($load->wait_for_acknowledgements(200), 'events are coming at the end');
$load->stop;
$server->stored_once($load, 'all shutdowns');
$server->books_balance;

# What was staged when the stop came is committed and answered. (The lock's
# session ends at once in a fast shutdown.)

my $lock = $server->lock_table;
my @waiting = $server->send_events(map { event(++$n, user_id => "staged-$n") } 1 .. 20);
is($server->wait_for_staged(20), 20, 'events are staged when the stop comes');
cmp_ok(seconds_to_stop($server, 'fast'),
	'<', $drain_timeout + $some, 'staged events: the server stops in time');
eval { $lock->quit };
is(scalar(grep { $_->read_answer->{status} eq 202 } @waiting),
	20, 'staged events: all are answered 202');
ok($waiting[0]->is_closed, 'staged events: then the connection is closed');
is($server->try_connect, undef, 'a stopped server listens no more');
$server->start_again;
is($server->count("user_id LIKE 'staged-%'"), 20, 'staged events: all are stored');

# An idle keep-alive connection does not keep the server from stopping, nor
# does half a request.

my $idle = $server->connect;
$idle->send(http_message('GET', '/health'));
is($idle->read_answer->{status}, 200, 'a connection is idle');
my $half = $server->connect;
$half->send(
	http_message(
		'POST', '/events',
		body => '{',
		headers => [ 'Content-Length', 1000 ]));
cmp_ok(seconds_to_stop($server, 'fast'),
	'<', $drain_timeout + $some, 'idle clients: the server stops in time');
ok($idle->is_closed, 'idle clients: the connection is closed');
like($half->read_answer->{status}, qr/^(503|closed|408)$/,
	'half a request is not acknowledged');
$server->start_again;

# A smart shutdown waits for sessions, and so do the workers.

my $session = $server->node->background_psql('postgres');
my $offset = -s $server->node->logfile;
system_log('pg_ctl', '-D', $server->node->data_dir, '-m', 'smart', '-W', 'stop');
ok($server->wait_for_log_line(qr/received smart shutdown request/, $offset),
	'a smart shutdown waits for a session');
is($server->post_event(event(++$n, user_id => 'smart'))->{status},
	202, 'smart: events are taken as long as it waits');
$session->quit;
$server->node->stop('smart', fail_ok => 1);
$server->start_again;
is($server->count("user_id = 'smart'"), 1, 'smart: they are stored');

# A batch that does not end is left behind after drain_timeout.

$server->sql(<<'EOQ');
CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NEW.event_name = 'dawdle' THEN PERFORM pg_sleep(600); END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER dawdle BEFORE INSERT ON fast_ingest.events
FOR EACH ROW EXECUTE FUNCTION dawdle();
EOQ
$server->set('fast_ingest.drain_timeout' => '2s');
@waiting = $server->send_events(event(++$n, event_name => 'dawdle'));
is($server->wait_for_staged(1), 1, 'a batch takes ten minutes');
cmp_ok(seconds_to_stop($server, 'fast'),
	'<', 2 + $some, 'drain_timeout: the server stops in time');
isnt($waiting[0]->read_answer->{status}, 202, 'drain_timeout: it is not acknowledged');
$server->start_again;
is($server->count("event_name = 'dawdle'"), 0, 'drain_timeout: nor is it stored');
$server->node->stop;

# A commit that waits for a standby that does not exist does not keep the
# server from stopping.

my $primary = FastIngest->new('primary', conf => <<'EOC');
wal_level = replica
max_wal_senders = 2
EOC
$primary->post_event(event(++$n));
$primary->set('synchronous_standby_names' => 'nobody');
wait_until(sub { $primary->sql('SHOW synchronous_standby_names') eq 'nobody' });
@waiting = $primary->send_events(event(++$n));
ok( wait_until(
		sub {
			$primary->sql(
				"SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'fast_ingest flusher' AND wait_event = 'SyncRep'"
			);
		}),
	'synchronous replication: a commit waits for its standby');
cmp_ok(seconds_to_stop($primary, 'fast'),
	'<', $drain_timeout + $some, 'synchronous replication: the server stops in time');

# Acknowledged when staged: a clean shutdown loses nothing.

my $stage = FastIngest->new('stage', conf => "fast_ingest.acknowledge = 'stage'\n");
$load = $stage->start_load;
foreach my $mode (qw(fast smart))
{
	ok($load->wait_for_acknowledgements(200), "stage, $mode: events are coming");
	cmp_ok(seconds_to_stop($stage, $mode),
		'<', $drain_timeout + $some, "stage, $mode: the server stops in time");
	$stage->start_again;
	ok($load->wait_for_acknowledgements(1), "stage, $mode: and goes on");
}
$load->stop;
$stage->books_balance('stage');
$stage->stored_once($load, 'stage');
$stage->node->stop;

done_testing();
