# The listener speaks HTTP/1.1: its routes, its error answers, and every way in which a client can
# be slow, odd, gone or hostile. Nothing of it ends the listener.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use FastIngest;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $server = FastIngest->new('http', conf => <<'EOC');
fast_ingest.max_body_size = '1MB'
fast_ingest.max_connections = 20
EOC
my $limit = 1024 * 1024;
my $listener = $server->worker_pid('listener');
my $started = $server->sql('SELECT pg_postmaster_start_time()');
my $n = 0;
my $answer;
my $connection;

sub still_serves
{
	my ($what) = @_;
	my $answer =
	  $server->wait_for_answer(202, sub { $server->post_event(event(++$n)) });

	is($answer->{status}, 202, "$what: the listener serves the next client");
	return;
}

# Routes

$answer = $server->get('/health');
is($answer->{status}, 200, 'GET /health');
is($answer->{body}, '{"status":"ok"}', 'GET /health: body, no newline at its end');
is($answer->{headers}{'content-type'}, 'application/json', 'GET /health: type');

$answer = $server->get('/ready');
is($answer->{status}, 200, 'GET /ready');
is($answer->{body}, '{"status":"ready"}', 'GET /ready: body');

$answer = $server->post_event(event(++$n));
is($answer->{status}, 202, 'POST /events');
is($answer->{body}, '{"status":"accepted"}', 'POST /events: body');
is($answer->{headers}{'content-type'}, 'application/json', 'POST /events: type');

is_error($server->get('/nothing-here'), 404, qr/./, 'unknown path');
is_error($server->post('/events/bulk/more', {}), 404, qr/./, 'path below a route');

foreach (
	[ 'GET', '/events', 'POST' ],
	[ 'DELETE', '/events/bulk', 'POST' ],
	[ 'PUT', '/event', 'POST' ],
	[ 'POST', '/health', 'GET' ],
	[ 'PATCH', '/ready', 'GET' ])
{
	my ($method, $path, $allowed) = @$_;

	$answer = $server->request($method, $path,
		$method =~ /^P/ ? (body => '{}') : ());
	is_error($answer, 405, qr/./, "$method $path");
	like($answer->{headers}{allow}, qr/\b$allowed\b/, "$method $path: Allow");
}

# An idle server answers at once what needs no commit: nothing else comes to
# turn its loop. (Without that, each of these would wait for a time-out.)

my $began = time;

is_error($server->get("/idle-$_"), 404, qr/./, "idle server, probe $_") foreach 1 .. 5;
cmp_ok(time - $began, '<', 10, 'an idle server keeps nobody waiting');

# Content types

foreach my $type ('application/json', 'application/json; charset=utf-8',
	'Application/JSON', 'text/plain', 'text/plain;charset=UTF-8', undef)
{
	is($server->post_event(event(++$n), type => $type)->{status},
		202, 'Content-Type: ' . ($type || 'none'));
}
foreach my $type ('application/x-www-form-urlencoded', 'multipart/form-data',
	'application/jsonp', 'application/xml')
{
	is_error($server->post_event(event(++$n), type => $type),
		415, qr/content-type/i, "Content-Type: $type");
}
is_error(
	$server->post_event(event(++$n), headers => [ 'Content-Encoding', 'x-own' ]),
	415, qr/x-own/, 'unknown Content-Encoding');
is( $server->post_event(
		event(++$n), headers => [ 'Content-Encoding', 'identity' ])->{status},
	202,
	'Content-Encoding: identity');
is($server->post_event(event(++$n), headers => [ 'Content-Encoding', $_ ])->{status},
	202, "an empty Content-Encoding: '$_'") foreach '', ' ', "\t ";

SKIP:
{
	skip 'no curl', 2 if system('curl --version >/dev/null 2>&1') != 0;

	my @curl = ('curl', '-s', '-o', '/dev/null', '-w', '%{http_code}');
	my $url = 'http://127.0.0.1:' . $server->port . '/events';

	my ($form) = run_command([ @curl, '-d', '{}', $url ]);
	is($form, '415', "curl -d, which sends a form's type");

	my ($data) = run_command(
		[
			@curl, '-H', 'Content-Type: application/json',
			'-d', encode_json(event(++$n)), $url
		]);
	is($data, '202', 'curl with the type of JSON');
}

# Limits of size

my $body = encode_json(event(++$n));
is($server->post_event($body . ' ' x ($limit - length $body))->{status},
	202, 'a body of just max_body_size');
is_error($server->post_event($body . ' ' x ($limit + 1 - length $body)),
	413, qr/./, 'a body of one byte more');

$connection = $server->connect;
$connection->send(
	http_message(
		'POST', '/events',
		body => '',
		headers => [ 'Content-Length', 10 * $limit ]));
is_error($connection->read_answer, 413, qr/./,
	'a Content-Length over the limit is refused before the body');

$connection = $server->connect;
$connection->send(
	http_message(
		'POST', '/events',
		body => '',
		headers => [ 'Transfer-Encoding', 'chunked' ]));
for (my $sent = 0; $sent <= 2 * $limit; $sent += 65536)
{
	last unless $connection->send("10000\r\n" . ' ' x 65536 . "\r\n");
}
$connection->send("0\r\n\r\n");
is_error($connection->read_answer, 413, qr/./, 'chunks over the limit');

$answer = $server->get('/health', headers => [ 'X-Long', 'x' x 20_000 ]);
is($answer->{status}, 431, 'headers of 20 kB');
still_serves('431');

# One connection, many requests

$connection = $server->connect;
foreach (1 .. 3)
{
	$connection->send(http_message('POST', '/events', body => event(++$n)));
	is($connection->read_answer->{status}, 202, "keep-alive: request $_");
}
$connection->send(http_message('POST', '/events', body => '{"event_name":'));
is($connection->read_answer->{status}, 400, 'keep-alive: an invalid request');
$connection->send(http_message('POST', '/events', body => event(++$n)));
is($connection->read_answer->{status}, 202, 'keep-alive: and a valid one again');

$connection->send(http_message('HEAD', '/health'));
$answer = $connection->read_answer(head => 1);
is($answer->{status}, 200, 'HEAD /health');
$connection->send(http_message('GET', '/health'));
is($connection->read_answer->{body},
	'{"status":"ok"}', 'HEAD has no body: the next answer follows at once');

$connection->send(
	http_message('GET', '/health', headers => [ 'Connection', 'close' ]));
is($connection->read_answer->{status}, 200, 'Connection: close');
ok($connection->is_closed, 'Connection: close is done as it was asked for');

# Every third of these is invalid, so that the order of the answers shows.
my @pipelined =
  map { event(++$n, $_ % 3 ? () : (channel => "bad$_", nonsense => "n$_")) }
  1 .. 20;
$connection = $server->connect;
$connection->send(
	join '', map { http_message('POST', '/events', body => $_) } @pipelined);
my @answers = map { $connection->read_answer } @pipelined;
is( join(' ', map { $_->{status} } @answers),
	join(' ', map { $_->{nonsense} ? 400 : 202 } @pipelined),
	'20 pipelined requests in one write: 20 answers in order');
is( $server->count(
		'user_id IN (' . join(',', map { "'$_->{user_id}'" } @pipelined) . ')'),
	14,
	'pipelined: what was answered 202 is stored');

# Odd ways to send a request

$connection = $server->connect;
$connection->send($_)
  foreach split //, http_message('POST', '/events', body => event(++$n));
is($connection->read_answer->{status}, 202, 'a request byte by byte');

$body = encode_json(event(++$n, path => '/chunked'));
$connection = $server->connect;
$connection->send(
	http_message(
		'POST', '/events',
		body => '',
		headers => [ 'Transfer-Encoding', 'chunked' ])
	  . join('', map { "1\r\n$_\r\n" } split //, $body)
	  . "0\r\n\r\n");
is($connection->read_answer->{status}, 202, 'a body in chunks of one byte');
is($server->count("path = '/chunked'"), 1, 'the chunks became one event');

$body = encode_json(event(++$n));
$connection = $server->connect;
$connection->send(
	http_message(
		'POST', '/events',
		body => '',
		headers => [ 'Content-Length', length $body, 'Expect', '100-continue' ]));
is($connection->read_answer->{status}, 100, 'Expect: the server says to go on');
$connection->send($body);
is($connection->read_answer->{status}, 202, 'Expect: and takes the body');

$connection = $server->connect;
$connection->send(
	http_message(
		'POST', '/events',
		body => '',
		headers =>
		  [ 'Content-Length', 10 * $limit, 'Expect', '100-continue' ]));
is($connection->read_answer->{status},
	413, 'Expect: a body over the limit is refused instead');

$connection = $server->connect;
$connection->send(http_message('POST', '/events', body => event(++$n)));
$connection->shutdown_write;
is($connection->read_answer->{status},
	202, 'a client that has closed its write side gets its answer');

# Clients that leave

$connection = $server->connect;
$connection->send(
	http_message('POST', '/events', body => event(++$n, path => '/left')));
$connection->close;
still_serves('a client that left after its request');
cmp_ok($server->count("path = '/left'"), '<=', 1, 'its event is not there twice');

my $lock = $server->lock_table;
($connection) = $server->send_events(event(++$n, path => '/left-waiting'));
is($server->wait_for_staged(1), 1, 'an event waits for a lock');
$connection->close;
$lock->quit;
is($server->wait_for_count(1, "path = '/left-waiting'"),
	1, 'it is stored though its client has left');
still_serves('a client that left while its request waited');

$connection = $server->connect;
$connection->send(
	http_message(
		'POST', '/events',
		body => '{"event_na',
		headers => [ 'Content-Length', 1000 ]));
$connection->close;
still_serves('a client that left in the middle of its body');

# Garbage is refused or cut off, and never served. (The limit is short so that
# what looks like the beginning of a request is not waited for.)

$server->set('fast_ingest.request_timeout' => '2s', 'fast_ingest.keepalive_timeout' => '2s');

srand 20240812;
my %garbage = (
	'zeros' => "\0" x 1000,
	'a TLS hello' => "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" . 'x' x 500,
	'random bytes' => join('', map { chr int rand 256 } 1 .. 4096),
	'no HTTP' => "EHLO example.com\r\n\r\n",
	'no version' => "POST /events\r\n\r\n",
	'another version' => "GET /nothing-here HTTP/9.9\r\n\r\n",
	'only line ends' => "\r\n" x 100,
	'a Content-Length that is no number' =>
	  "POST /events HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
	  . "Content-Length: abc\r\n\r\n{}",
	'a negative Content-Length' =>
	  "POST /events HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
	  . "Content-Length: -5\r\n\r\n{}",
	'a Content-Length beyond 64 bits' =>
	  "POST /events HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
	  . "Content-Length: 99999999999999999999999\r\n\r\n{}",
	'a chunk size that is no number' =>
	  "POST /events HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
	  . "Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
	'a chunk size beyond 64 bits' =>
	  "POST /events HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
	  . "Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n{}\r\n",
	'a path of 100 kB' => 'GET /' . 'x' x 100_000 . " HTTP/1.1\r\nHost: x\r\n\r\n",
	'percent signs' => "GET /%00%ff%zz%%?%=%&& HTTP/1.1\r\nHost: x\r\n\r\n");

foreach my $what (sort keys %garbage)
{
	$connection = $server->connect;
	$connection->send($garbage{$what});
	$connection->shutdown_write;
	like($connection->read_answer->{status},
		qr/^(closed|4\d\d|50[15])$/, "garbage: $what");
}
still_serves('garbage');

# Clients that stall

is( $server->wait_for_answer(
		408,
		sub {
			my $stalled = $server->connect;

			$stalled->send(
				http_message(
					'POST', '/events',
					body => '{"event_name":',
					headers => [ 'Content-Length', 1000 ]));
			return $stalled->read_answer;
		})->{status},
	408,
	'a body that does not arrive within request_timeout');

my $begin = time;
$connection = $server->connect;
$connection->send("POST /events HTTP/1.1\r\nHost: x\r\nX-Slow:");
like($connection->read_answer->{status}, qr/^(408|closed)$/,
	'headers that do not arrive within request_timeout');

$connection = $server->connect;
$connection->send(http_message('GET', '/health'));
is($connection->read_answer->{status}, 200, 'a connection does its work');
ok($connection->is_closed, 'and is closed after it has been idle for keepalive_timeout');

$connection = $server->connect;
ok($connection->is_closed, 'a connection that never sent a byte is closed');
cmp_ok(time - $begin, '<', 45, 'each of these about request_timeout later');

my $drip = $server->connect;
$drip->send(
	http_message(
		'POST', '/events',
		body => '{',
		headers => [ 'Content-Length', 1000 ]));
wait_until(sub { !$drip->send(' ') || $drip->{buffer} ne '' || $drip->{end} }, 60);
like($drip->read_answer->{status}, qr/^(408|closed)$/,
	'a body that drips in does not hold its connection for ever');
still_serves('stalled clients');

# Too many connections

$server->set('fast_ingest.request_timeout' => '60s', 'fast_ingest.keepalive_timeout' => '60s');
my @held;
wait_until(
	sub {
		my $one = $server->connect;

		$one->send(http_message('GET', '/health'));
		$answer = $one->read_answer;
		push @held, $one if $answer->{status} eq 200;
		return $answer->{status} eq 503 || @held > 20;
	});
is($answer->{status}, 503, 'a connection over max_connections gets 503');
ok($answer->{headers}{'retry-after'}, 'with Retry-After');
cmp_ok(scalar @held, '<=', 20, 'no more than max_connections are served');
cmp_ok(scalar @held, '>=', 15, 'and nearly as many');
$held[0]->send(http_message('GET', '/health'));
is($held[0]->read_answer->{status}, 200, 'those that are in are served on');
$_->close foreach @held;
is($server->wait_for_answer(200, sub { $server->get('/health') })->{status},
	200, 'the next one gets in once they have left');

# After all that the server works as before

is($server->worker_pid('listener'), $listener, 'it is still the same listener');
is($server->sql('SELECT pg_postmaster_start_time()'),
	$started, 'and the same server');
$server->books_balance;

$server->node->stop;
done_testing();
