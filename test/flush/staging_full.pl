# The staging area is bounded. When it is full, clients hear it at once and are told when to come
# back. What was accepted is stored in the end, without help.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use FastIngest;
use Test::More;
use Time::HiRes qw(time);

my $server = FastIngest->new('staging', conf => <<'EOC');
fast_ingest.staging_size = '1MB'
fast_ingest.request_timeout = '5min'
EOC
my $n = 0;
my $answer;

sub bulk
{
	my ($size) = @_;

	return [ map { event(++$n, timestamp => int(time), metadata => { padding => 'x' x 300 }) } 1 .. $size ];
}

# Send bulk requests of so many events on connections of their own until one of
# them is answered although nothing is committed. Returns that answer, and the
# others' connections.
sub fill
{
	my ($size) = @_;
	my @waiting;

	for (;;)
	{
		my $before = $server->status->{staged};
		my $connection = $server->connect;

		$connection->send(http_message('POST', '/events/bulk', body => bulk($size)));

		my $answer;
		wait_until(
			sub {
				my $early = $connection->read_answer(seconds => 0.01);

				$answer = $early if $early->{status} ne 'timeout';
				return $answer || $server->status->{staged} > $before;
			});
		return ($answer, @waiting) if $answer;
		push @waiting, $connection;
		die "a staging area of 1MB takes too much" if @waiting > 500;
	}
}

# The server takes events again without help.
sub recovers
{
	my ($name) = @_;

	is($server->wait_ready->{status}, 200, "$name: ready again");
	is($server->post_event(event(++$n))->{status}, 202, "$name: events are taken again");
	$server->books_balance($name);
	return;
}

is( $server->sql("SELECT staging_size FROM fi_status() WHERE worker LIKE 'flusher%'"),
	1024 * 1024,
	'fi_status() shows the size');
$server->post_event(event(++$n));

# Full because a table is locked

foreach my $round (1 .. 3)
{
	my $stored = $server->count;
	my $lock = $server->lock_table;
	my ($full, @waiting) = fill(100);

	is_error($full, 503, qr/./, "round $round: full staging is 503");
	is($full->{headers}{'retry-after'}, 1, "round $round: with Retry-After: 1");
	cmp_ok(scalar @waiting, '>=', 10, "round $round: much was staged before");
	is($server->wait_for_staged(100 * @waiting),
		100 * @waiting, "round $round: and of the refused request nothing");

	my ($full_of_small, @small) = fill(1);

	is($full_of_small->{status}, 503, "round $round: no room for a small one");
	ok($server->wait_not_ready(qr/staging/i), "round $round: /ready says why");
	is($server->get('/health')->{status}, 200, "round $round: the listener runs");
	$lock->quit;

	my $events = 100 * @waiting + @small;

	is( scalar(grep { $_->read_answer->{status} eq 202 } @waiting, @small),
		@waiting + @small,
		"round $round: all that waited are answered 202");
	is($server->count, $stored + $events, "round $round: and stored");
	recovers("round $round");
}

# Full because the flusher does not run

my $stored = $server->count;
my $flusher = $server->worker_pid('flusher');

$server->pause($flusher);
my ($full, @waiting) = fill(100);
is($full->{status}, 503, 'a flusher that does not run: 503');
is($full->{headers}{'retry-after'}, 1, 'a flusher that does not run: Retry-After');
$server->resume($flusher);
is(scalar(grep { $_->read_answer->{status} eq 202 } @waiting),
	scalar @waiting, 'a flusher that runs again: all are answered 202');
is($server->count, $stored + 100 * @waiting, 'and stored');
recovers('a flusher that runs again');

# The flusher stands still for longer than the clients wait

$server->set('fast_ingest.request_timeout' => '2s');
$server->pause($flusher);
my $event;
$answer = $server->wait_for_answer(
	503,
	sub {
		$event = event(++$n);
		return $server->post_event($event);
	});
is($answer->{status}, 503, 'a flusher that stands for long: 503 in the end');
$server->resume($flusher);
is($server->wait_for_count(1, "user_id = '$event->{user_id}'"),
	1, 'the event is stored when it goes on');
$server->set('fast_ingest.request_timeout' => '5min');
recovers('a flusher that stood for long');

# More than the staging area could ever hold

is_error($server->post_event(event(++$n, path => 'x' x (2 * 1024 * 1024))),
	413, qr/./, 'an event larger than the staging area');
$answer = $server->post_bulk(
	[ map { event(++$n, path => '/' . 'x' x 3000) } 1 .. 1000 ]);
is($answer->{status}, 413, 'a request larger than the staging area');
recovers('too large');

# Many times the size of the staging area goes through it.

my $accepted = 0;
$stored = $server->count;
foreach (1 .. 60)
{
	my $size = 1 + int rand 200;

	$answer = $server->post_bulk(
		[
			map { event(++$n, metadata => { padding => 'x' x int rand 2000 }) }
			  1 .. $size
		]);
	$accepted += $answer->{json}{accepted} if $answer->{status} eq 202;
}
is($server->count, $stored + $accepted, 'what is accepted is stored, of any size');
recovers('round and round');

# Acknowledged when staged

$server->set('fast_ingest.acknowledge' => 'stage');
my $lock = $server->lock_table;
my $begin;
$answer = $server->wait_for_answer(
	202,
	sub {
		$event = event(++$n);
		$begin = time;

		my $connection = $server->connect;

		$connection->send(http_message('POST', '/events', body => $event));
		return $connection->read_answer(seconds => 5);
	});
is($answer->{status}, 202, 'acknowledge = stage: answered while the table is locked');
my $taken = 1;
do
{
	$answer = $server->post_bulk(bulk(100));
	$taken += 100 if $answer->{status} eq 202;
} while $answer->{status} eq 202 && $taken < 100_000;
is($answer->{status}, 503, 'acknowledge = stage: a full staging area is 503 as well');
is($answer->{headers}{'retry-after'}, 1, 'acknowledge = stage: with Retry-After');
cmp_ok($taken, '>=', 1000, 'acknowledge = stage: much is taken before');
$lock->quit;
is($server->wait_for_count(1, "user_id = '$event->{user_id}'"),
	1, 'acknowledge = stage: stored later');
recovers('acknowledge = stage');

$server->node->stop;
done_testing();
