# Several listeners on one port, each with a flusher of its own, look like one server: nothing is
# lost or stored twice whichever of them ends, limits hold for all of them together, and nobody
# else can take the port.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use FastIngest;
use FastIngest::Fault;
use IO::Socket::INET;
use List::Util qw(shuffle sum);
use PostgreSQL::Test::Utils;
use Test::More;

my $rounds = $ENV{FI_TORTURE} ? 20 : 2;
my $conf = $FastIngest::Fault::CONF;
my $event_number = 1_000_000;
my $answer;

sub worker
{
	my ($server, $name) = @_;
	my $pid;

	wait_until(
		sub {
			$pid = eval { $server->sql("SELECT pid FROM fi_status() WHERE worker = '$name'") };
			return $pid;
		});
	return $pid;
}

sub all_run
{
	my ($server) = @_;

	return wait_until(sub { eval { $server->sql(q(SELECT bool_and(state = 'running') FROM fi_status())) } eq 't' });
}

# What each listener has received.
sub received
{
	my ($server) = @_;

	return split /\n/, $server->sql(q(SELECT received FROM fi_status() WHERE worker LIKE 'listener %' ORDER BY worker));
}

sub ask
{
	my ($connection, @message) = @_;

	$connection->send(http_message(@message));
	return $connection->read_answer;
}

# The number of the listener that a connection is with, from 1.
sub listener_of
{
	my ($server, $connection) = @_;
	my @before = received($server);

	ask($connection, 'POST', '/events', body => event(++$event_number));
	my @after = received($server);

	return (grep { $after[ $_ - 1 ] > $before[ $_ - 1 ] } 1 .. @after)[0];
}

# A connection to each listener.
sub connect_to_each
{
	my ($server, $listeners) = @_;
	my @found;
	my @others;

	foreach (1 .. 200)
	{
		my $connection = $server->connect;
		my $listener = listener_of($server, $connection);

		push @others, $connection;
		$found[ $listener - 1 ] ||= $connection;
		return @found if $listeners == grep { defined } @found;
	}
	die 'a listener gets no connections';
}

# ---------------------------------------------------------------------------
# Two pairs
# ---------------------------------------------------------------------------

my $server = FastIngest->new('two', database => 'app', extension => 0, conf => <<"EOC");
$conf
fast_ingest.listeners = 2
fast_ingest.max_connections = 50
fast_ingest.request_timeout = '30s'
deadlock_timeout = 100ms
EOC
$server->sql('CREATE DATABASE app TEMPLATE template0', 'postgres');
$server->create_extension;

ok(all_run($server), 'all workers run');
is( $server->sql(q(SELECT string_agg(worker, ', ') FROM fi_status())),
	'listener 1, flusher 1, listener 2, flusher 2, query 1, maintenance',
	'fi_status() has a row for each');
is( $server->sql(q(SELECT count(*) FROM fi_status() s JOIN pg_stat_activity a USING (pid)
WHERE a.backend_type = 'fast_ingest ' || split_part(s.worker, ' ', 1))), 6, 'and they are in pg_stat_activity');

my @many;
my %share;

foreach (1 .. 20)
{
	push @many, $server->connect;
	$share{ listener_of($server, $many[-1]) }++;
}
cmp_ok($share{$_} || 0, '>=', 4, "listener $_ has its share of 20 connections") foreach 1, 2;

push @many, map { $server->connect } 21 .. 50;
is(scalar(grep { ask($_, 'GET', '/health')->{status} eq 200 } @many), 50, 'max_connections are served');
is_error($server->get('/health'), 503, qr/too many connections/, 'one more of all together is not');
$_->close foreach @many;
is($server->wait_for_answer(200, sub { $server->get('/health') })->{status}, 200, 'until some have gone');

# The same events through both

my @pair = connect_to_each($server, 2);

foreach my $key ('content', 'key')
{
	my $deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = 'app'";
	my $before = $server->sql($deadlocks);
	my $stored = $server->count;

	foreach my $round (1 .. 8)
	{
		my @events = map { event(++$event_number, $key eq 'key' ? (idempotency_key => "k$event_number") : ()) } 1 .. 800;

		# both flushers have all of them when they begin
		my $lock = $server->lock_table;

		$pair[0]->send(http_message('POST', '/events/bulk', body => \@events));
		$pair[1]->send(http_message('POST', '/events/bulk', body => [ reverse @events ]));
		$server->wait_for_staged(1600);
		$lock->quit;
		foreach my $connection (@pair)
		{
			$answer = $connection->read_answer;
			is($answer->{json}{accepted}, 800, "$key, round $round: the same events through both are accepted")
			  or diag(explain($answer));
		}
	}
	is($server->count, $stored + 6400, "$key: and stored once");
	is($server->sql($deadlocks), $before, "$key: no flusher waited for one that waited for it");
}

# The same new days through both

foreach my $round (1 .. 3)
{
	my @events = map { event(++$event_number, timestamp => 1600000000 + ($round * 20 + $_) * 86400) } 1 .. 8;
	my $lock = $server->lock_table;

	$pair[0]->send(http_message('POST', '/events/bulk', body => \@events));
	$pair[1]->send(http_message('POST', '/events/bulk', body => [ reverse @events ]));
	$server->wait_for_staged(16);
	$lock->quit;
	is(join(' ', map { $_->read_answer->{status} } @pair), '202 202', 'both need the same new partitions');
	is($server->count("ts BETWEEN to_timestamp(1600000000 + $round * 1728000) AND to_timestamp(1600000000 + $round * 1728000 + 864000)"),
		8, 'and have them');
}
$server->books_balance('both at once');

# What the database refuses

$server->sql(q(ALTER TABLE fast_ingest.events ADD CONSTRAINT good CHECK (path <> '/bad')));
foreach my $n (1, 2)
{
	is_error(ask($pair[ $n - 1 ], 'POST', '/events', body => event(++$event_number, path => '/bad')),
		422, qr/good/, "refused through pair $n");
	is($server->sql("SELECT dead_lettered FROM fi_status() WHERE worker = 'flusher $n'"), 1, 'is in its books');
}
is($server->sql('SELECT count(*) FROM fast_ingest.dead_letters'), 2, 'and in the dead letters');
$server->sql('ALTER TABLE fast_ingest.events DROP CONSTRAINT good');

# A listener and a flusher in trouble

my $flusher = worker($server, 'flusher 2');

$server->set('fast_ingest.request_timeout' => '2s');
$server->pause($flusher);
$pair[1]->send(http_message('POST', '/events', body => event(++$event_number)));
is(ask($pair[0], 'POST', '/events', body => event(++$event_number))->{status}, 202, 'while one flusher hangs, the other stores');

my $ready = 1;

wait_until(
	sub {
		$ready &&= ask($pair[0], 'GET', '/ready')->{status} eq 200;
		$answer = $pair[1]->read_answer(seconds => 0.1);
		$answer->{status} ne 'timeout';
	});
is($answer->{status}, 503, 'the client of the first one hears of it');
ok($ready, '/ready is 200 of the good pair');
ok(wait_until(sub { ask($pair[1], 'GET', '/ready')->{status} eq 503 }), 'and 503 of the other');
$server->resume($flusher);
ok(wait_until(sub { ask($pair[1], 'GET', '/ready')->{status} eq 200 }), 'until it goes on');
$server->set('fast_ingest.request_timeout' => '30s');

# Both send queries to one query worker

my $query = worker($server, 'query 1');
my @asking = map { $server->connect } 1 .. 16;
my %asked;

$asked{ listener_of($server, $_) }++ foreach @asking;
is(scalar(keys %asked), 2, 'clients of both listeners');
$server->pause($query);
$_->send(http_message('GET', '/metrics?event_name=page_view')) foreach @asking;
is(ask($pair[$_], 'POST', '/events', body => event(++$event_number))->{status}, 202, 'queries wait, events do not') foreach 0, 1;
$server->resume($query);
is(join(' ', map { $_->read_answer->{status} } @asking), join(' ', (200) x 16), 'ask together, and all have answers');
$_->close foreach @asking;

# ---------------------------------------------------------------------------
# Each of them ends
# ---------------------------------------------------------------------------

# Connections that a listener has not accepted are not lost when it ends, because the
# others accept them. (It has the more connections, and does not go first.)
my @held = grep { listener_of($server, $_) == 1 } map { $server->connect } 1 .. 16;

my $first = worker($server, 'listener 1');
my $second = worker($server, 'listener 2');

$_->close foreach @pair;
cmp_ok(scalar @held, '>', 2, 'a listener with connections');
$server->pause($_) foreach $first, $second;
my @queued = $server->send_events(map { event(++$event_number) } 1 .. 10);

kill 'TERM', $first;
$server->resume($first);
ok(wait_until(sub { !FastIngest::is_running($first) }), 'a listener ends while connections wait');
$server->resume($second);
is(join(' ', map { $_->read_answer->{status} } @queued), join(' ', (202) x 10), 'and another one serves them');
ok(all_run($server), 'all workers run');

sub end_each
{
	my ($server, $listeners) = @_;
	my @workers = map { ("listener $_", "flusher $_") } 1 .. $listeners;

	fault($server, "$listeners pairs, each terminated", $rounds,
		sub {
			foreach my $name (shuffle @workers)
			{
				my $pid = worker($server, $name);

				kill 'TERM', $pid;
				wait_until(sub { worker($server, $name) ne $pid });
			}
		},
		load => { clients => 3 * $listeners });
	fault($server, "$listeners pairs, kill -9", $rounds,
		sub {
			my $name = $workers[ rand @workers ];

			my $pid = worker($server, $name);

			kill 'KILL', $pid;
			wait_until(
				sub {
					my $now = eval { worker($server, $name) };
					return $now && $now ne $pid;
				});
		},
		load => { clients => 3 * $listeners });
	fault($server, "$listeners pairs, fast shutdown", $rounds,
		sub {
			$server->node->stop('fast');
			$server->start_again;
		},
		load => { clients => 3 * $listeners });
	ok(all_run($server), "$listeners pairs: all workers run");
	return;
}

$server->set('fast_ingest.request_timeout' => '1500ms');
end_each($server, 2);

fault_drop_extension($server, '2 pairs, DROP and CREATE EXTENSION', $rounds);
fault_drop_database($server, '2 pairs, DROP DATABASE', $rounds, 'DROP DATABASE app');

# ---------------------------------------------------------------------------
# The port
# ---------------------------------------------------------------------------

my $other = FastIngest->new('other', start => 0, conf => 'fast_ingest.listeners = 2');

$other->node->append_conf('postgresql.conf', 'fast_ingest.port = ' . $server->port);
$other->{port} = $server->port;
$other->node->start;
$other->sql('CREATE EXTENSION fast_ingest');
foreach my $n (1, 2)
{
	my $state = "SELECT state || ': ' || last_error FROM fi_status() WHERE worker = 'listener $n'";

	ok( wait_until(sub { $other->sql($state) =~ /^waiting: could not listen on .* Address already in use/ }),
		"a second server does not get the port: its listener $n says so");
}
ok($other->wait_for_log_line(qr/could not listen on .* Address already in use.*HINT:  Is another server on that port/s),
	'and its log');
ok( !IO::Socket::INET->new(
		LocalAddr => '127.0.0.1', LocalPort => $server->port, Proto => 'tcp', Listen => 5,
		ReuseAddr => 1, ReusePort => 1),
	'nor does any other process of the same user, with SO_REUSEPORT');

my $before = $server->count;

is($server->post_event(event(++$event_number))->{status}, 202, 'events come in') foreach 1 .. 30;
is($server->count, $before + 30, 'all of them to the first server');
$server->node->stop('fast');
is($other->wait_ready->{status}, 200, 'which stopped, the second one has the port');
ok(all_run($other), 'with both listeners');
is($other->post_event(event(1))->{status}, 202, 'and takes events');
connect_to_each($other, 2);
pass('both of them');
$other->node->stop;

# ---------------------------------------------------------------------------
# Four pairs
# ---------------------------------------------------------------------------

my $four = FastIngest->new('four', conf => "$conf\nfast_ingest.listeners = 4\nfast_ingest.query_workers = 2");

ok(all_run($four), '4 pairs: all workers run');
connect_to_each($four, 4);
end_each($four, 4);
$four->node->stop;

done_testing();
