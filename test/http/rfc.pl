# HTTP is spoken as its RFCs say: blanks around the values of headers, the forms of a target and
# the escapes in it, one answer to each request, and how long an idle connection is kept.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use Compress::Zlib ();
use FastIngest;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $server = FastIngest->new('http_rfc', conf => <<'EOC');
fast_ingest.cors_origins = 'https://shop.example'
fast_ingest.trusted_proxies = '127.0.0.1'
fast_ingest.log_requests = 'all'
fast_ingest.request_timeout = '30s'
EOC
my $n = 0;

# The answer to these bytes, which are sent as they are, and whether another head follows
sub answer_to
{
	my ($bytes) = @_;
	my $connection = $server->connect;

	$connection->send($bytes);
	my $answer = $connection->read_answer;
	$answer = $connection->read_answer if $answer->{status} eq 100;
	$answer->{ended} = $connection->read_until(sub { 0 }, time + $FastIngest::TIMEOUT) eq 'closed';
	$answer->{more} = $connection->{buffer};
	$connection->close;
	return $answer;
}

# A request that ends its connection
sub message
{
	my ($method, $target, @headers) = @_;
	my $body = @headers % 2 ? pop @headers : undef;

	return http_message($method, $target, body => $body, headers => [ 'Connection', 'close', @headers ]);
}

sub get { return answer_to(message('GET', @_)) }

# A body in one chunk
sub chunks
{
	my ($body) = @_;

	return sprintf "%x\r\n%s\r\n0\r\n\r\n", length $body, $body;
}

# ---------------------------------------------------------------------------
# Blanks around the value of a header are no part of it
# ---------------------------------------------------------------------------

my $key = $server->sql(q(SELECT fi_create_api_key('shop', '{write,read}')));
my $restricted = $server->sql(q(SELECT fi_create_api_key('page', '{write}', origins => '{https://shop.example}')));

foreach my $blanks ([ '', '' ], [ '', ' ' ], [ '', "\t" ], [ " \t ", " \t \t" ])
{
	my ($before, $behind) = @$blanks;
	my $around = sub { $before . $_[0] . $behind };
	my $what = "'$before' and '$behind'";
	my $answer;
	my $body = encode_json(event(++$n));
	my $gzip = Compress::Zlib::memGzip($body);

	$what =~ s/\t/\\t/g;
	my %posts = (
		'Content-Type' => [ 'text/plain;charset=utf-8', $body ],
		'Content-Encoding' => [ 'gzip', $gzip ],
		'Expect' => [ '100-continue', $body ],
		'Host' => [ 'localhost', $body ],
		'Connection' => [ 'close', $body ]);
	foreach my $name (sort keys %posts)
	{
		my ($value, $sent) = @{ $posts{$name} };
		my @headers = ('Host', 'localhost', 'Connection', 'close', 'Content-Type', 'application/json',
			'Content-Length', length $sent);
		my %headers = (@headers, $name, $around->($value));

		$answer = answer_to("POST /events HTTP/1.1\r\n"
			  . join('', map { "$_: $headers{$_}\r\n" } sort keys %headers) . "\r\n$sent");
		is($answer->{status}, 202, "$name: blanks $what");
	}

	$answer = answer_to(message('POST', '/events', 'Content-Length', $before . length($body), $body));
	is($answer->{status}, 202, "Content-Length: blanks before, $what");

	$answer = answer_to(message('POST', '/events', 'Content-Length', $around->(length $body), $body));
	is($answer->{status}, 202, "Content-Length: blanks $what");
	$answer = answer_to(message('POST', '/events', 'Transfer-Encoding', $around->('chunked'), chunks($body)));
	is($answer->{status}, 202, "Transfer-Encoding: blanks $what");

	$answer = answer_to(message('POST', '/events', 'Idempotency-Key', $around->('order-77'), encode_json(event(77))));
	is($answer->{status}, 202, "Idempotency-Key: blanks $what");

	$answer = get('/health', 'X-Request-Id', $around->('mine'), 'Origin', $around->('https://shop.example'));
	is($answer->{headers}{'x-request-id'}, 'mine', "X-Request-Id: blanks $what");
	is($answer->{headers}{'access-control-allow-origin'}, 'https://shop.example', "Origin: blanks $what");

	$answer = answer_to(message('OPTIONS', '/events', 'Origin', $around->('https://shop.example'),
		'Access-Control-Request-Method', $around->('POST')));
	is($answer->{status}, 204, "a preflight: blanks $what");

	my $id = 'client-' . ++$n;
	get('/health', 'X-Request-Id', $id, 'X-Forwarded-For', $around->('192.0.2.7'));
	ok($server->wait_for_log_line(qr/id=$id .*client=192\.0\.2\.7 /), "X-Forwarded-For: blanks $what");

	$server->set('fast_ingest.require_api_key' => 'on');
	ok(wait_until(sub { get('/stats?site_id=a')->{status} eq 401 }), 'keys are required');
	foreach (
		[ 'X-API-Key', $key ], [ 'Authorization', "Bearer $key" ], [ 'authorization', "bearer $key" ])
	{
		$answer = get('/stats?site_id=a', $_->[0], $around->($_->[1]));
		is($answer->{status}, 200, "$_->[0]: blanks $what");
	}
	$answer = answer_to(message('POST', '/events', 'X-API-Key', $around->($restricted), 'Origin',
		$around->('https://shop.example'), encode_json(event(++$n))));
	is($answer->{status}, 202, "Origin of a key: blanks $what");
	$server->set('fast_ingest.require_api_key' => 'off');
	ok(wait_until(sub { get('/stats?site_id=a')->{status} eq 200 }), 'keys are not required');
}
is($server->count("user_id = '" . event(77)->{user_id} . "'"), 1, 'one idempotency key, whatever blanks are around it');

# ---------------------------------------------------------------------------
# Blanks behind what says where a body ends, wherever the head is in what comes
# ---------------------------------------------------------------------------

# A request with this event that has blanks behind the value, and headers before that
sub blank_behind
{
	my ($field, $event, $blanks, @headers) = @_;
	my $body = encode_json($event);
	my ($value, $sent) = $field eq 'Transfer-Encoding' ? ('chunked', chunks($body)) : (length $body, $body);

	return http_message('POST', '/events', body => $sent, headers => [ @headers, $field, $value . $blanks ]);
}

foreach my $field ('Content-Length', 'content-length', 'Transfer-Encoding')
{
	foreach my $blanks (' ', "\t", " \t ", ' ' x 200)
	{
		my $what = "$field, " . length($blanks) . ' blanks, the first ' . ord $blanks;
		my @events = map { event(++$n, path => '/blanks', user_id => "$field $n") } 1 .. 3;
		my $used = $server->connect;

		$used->send(http_message('GET', '/health'));
		is($used->read_answer->{status}, 200, "$what: a request before");
		$used->send(blank_behind($field, $events[0], $blanks));
		is($used->read_answer->{status}, 202, "$what: as the second request");

		# after chunks the connection ends
		my $pipe = $server->connect;
		my $length = $field =~ /length/i;
		$pipe->send(http_message('POST', '/events', body => event(++$n))
			  . blank_behind($field, $events[1], $blanks)
			  . ($length ? blank_behind($field, $events[2], $blanks) . http_message('GET', '/health') : ''));
		is($pipe->read_answer->{status}, 202, "$what: a request with another behind it");
		is($pipe->read_answer->{status}, 202, "$what: the one behind it");
		next unless $length;
		is($pipe->read_answer->{status}, 202, "$what: another one");
		is($pipe->read_answer->{status}, 200, "$what: and one more");
	}
}
is($server->sql(q(SELECT count(*) || ' ' || count(DISTINCT user_id) FROM fast_ingest.events WHERE path = '/blanks')),
	'32 32', 'each event is stored once');

# In pieces, or with so large a head that its end is in another page, it is taken or refused, once
foreach my $field ('Content-Length', 'Transfer-Encoding')
{
	my $whole = blank_behind($field, event(++$n, path => '/pieces'), ' ', 'Connection', 'close');
	my $begin = index $whole, $field;
	my $end = index $whole, "\r\n\r\n";
	my $taken = 0;

	foreach my $at (10, index($whole, "\n") + 1, $begin - 1 .. $begin + 1, $end - 10 .. $end + 4)
	{
		my $pieces = $server->connect;

		$pieces->send(substr $whole, 0, $at);
		$server->get('/health'); # it has the first piece
		$pieces->send(substr $whole, $at);
		my $answer = $pieces->read_answer;
		like($answer->{status}, qr/^(202|400)$/, "$field cut at $at: an answer");
		is($pieces->read_until(sub { 0 }, time + $FastIngest::TIMEOUT), 'closed', "$field cut at $at: closed");
		is($pieces->{buffer}, '', "$field cut at $at: nothing more");
		$taken++ if $answer->{status} eq 202;
	}
	cmp_ok($taken, '>', 0, "$field: $taken are taken");

	# a page of memory has 4,096 bytes or more
	my %answers = map { $_ => answer_to($whole =~ s/\n/"\nA: " . 'x' x $_ . "\r\n"/er) }
	  3_000, 3_900 .. 4_000, 5_000, 15_000;
	is($answers{3_000}{status}, 202, "$field behind 3,000 bytes is taken");
	is(join(' ', grep { "$answers{$_}{status}$answers{$_}{more}" !~ /^(202|400)$/ } sort keys %answers),
		'', "$field behind any number of bytes has one answer");
}
is($server->sql(q(SELECT count(DISTINCT user_id) FROM fast_ingest.events WHERE path = '/pieces')), 2, 'nothing else is stored');

# ---------------------------------------------------------------------------
# The forms of a target (RFC 9112, 3.2)
# ---------------------------------------------------------------------------

is(get($_)->{body}, '{"status":"ok"}', "GET $_")
  foreach '/health', '/health?', '/health?a=b', 'http://events.example/health', 'http://127.0.0.1:8080/health?a=b',
  'https://events.example/health', 'HTTP://x/health', 'http://[::1]:80/health';
is(get('http://events.example/metrics?event_name=a%20b')->{json}{event_name}, 'a b', 'parameters of a URL');
is(answer_to(message('POST', 'http://x/events', encode_json(event(++$n))))->{status}, 202, 'POST to a URL');
like(get($_)->{body}, qr/^<!DOCTYPE html>/, "GET $_ is GET /") foreach 'http://x', 'http://x?a=b';
is_error(get($_), 404, qr/no such path/, "GET $_") foreach 'http://x/http://x/health', 'http://x//', 'http://x/index.html';
is_error(get($_), 400, qr/^malformed request: the request's target /, "GET $_")
  foreach 'x:443', 'health', 'ftp://x/health', 'http:/health', 'http://', 'http:///health', 'http://:80/health',
  'http://user@x/health', '*', '**', '?a=b';
is_error(answer_to(message('CONNECT', 'x:443')), 400, qr/neither a path nor a URL/, 'CONNECT');
my $options = answer_to(message('OPTIONS', '*'));
is($options->{status}, 204, 'OPTIONS *');
is($options->{headers}{allow}, 'GET, HEAD, POST, OPTIONS', 'OPTIONS *: Allow');

# ---------------------------------------------------------------------------
# Escapes in a path
# ---------------------------------------------------------------------------

is(get($_)->{status}, 200, "GET $_") foreach '/%68ealth', '/healt%68', '/%68%65%61%6c%74%68', '/%68%65%61%6C%74%68',
  '/openapi%2ejson', '/openapi%2Ejson';
is(answer_to(message('POST', $_, encode_json([ event(++$n) ])))->{status}, 404, "POST $_")
  foreach '/events%2Fbulk', '/events%2fbulk', '%2Fevents' =~ s{^}{/}r, '/events%5Cbulk', '/events%3Fbulk', '/events%252Fbulk';
is_error(answer_to(message('POST', $_, encode_json(event(++$n)))), 400, qr/holds %00/, "POST $_")
  foreach '/events%00', '/events%00x', '/%00/events', '/events?a=%00', '/events?%00';
is_error(get($_), 400, qr/is not followed by two hexadecimal digits/, "GET $_")
  foreach '/health%', '/health%6', '/%zzhealth', '/health%%68', '/health?%', '/health?a=%4', '/health?a=%g1&b=c',
  'http://x/health?a=%';
is($server->count("path = '/smuggled'"), 0, 'nothing is stored that way');

# ---------------------------------------------------------------------------
# Parameters as browsers write them
# ---------------------------------------------------------------------------

foreach (
	[ 'event_name=a+b', 'a b' ], [ 'event_name=a%20b', 'a b' ], [ 'event_name=a%2Bb', 'a+b' ],
	[ 'event%5Fname=%61', 'a' ], [ 'event_name=a&', 'a' ], [ '&event_name=a', 'a' ],
	[ '&&event_name=a&&channel=web&&', 'a' ], [ 'event_name=a=b', 'a=b' ], [ 'event_name=%3D%26', '=&' ],
	[ 'event_name=%C3%A4', "\xe4" ], [ '&' x 500 . 'event_name=a', 'a' ], [ 'event_name=a?b', 'a?b' ])
{
	my ($parameters, $name) = @$_;

	is(get("/metrics?$parameters")->{json}{event_name}, $name, 'parameters ' . substr $parameters, -40);
}
foreach (
	[ '2024-08-12T15:13:32+00:00', 1723475612 ], [ '2024-08-12+15:13:32+00:00', 1723475612 ],
	[ '2024-08-12%2015:13:32+03:00', 1723464812 ], [ '2024-08-12t18:13:32+0300', 1723475612 ],
	[ '20240812+181332+03', 1723475612 ], [ '2024-08-12+15:13:32Z', 1723475612 ], [ '2024-08-12+15:13:32+UTC', 1723475612 ],
	[ '2024-08-12T15:13:32Z+', 1723475612 ], [ '+1723475612', 1723475612 ])
{
	my ($time, $seconds) = @$_;

	is(get("/metrics?event_name=a&from=$time")->{json}{from}, $seconds, "from=$time");
}
is_error(get("/metrics?event_name=a&from=$_"), 400, qr/has no zone/, "from=$_")
  foreach '2024-08-12+15:13:32', '2024-08-12T15:13:32', '2024-08-12+15:13';
foreach my $equal ([ 'channel', 'channel=' ], [ 'event_name=a&channel&limit', 'event_name=a&channel=&limit=' ])
{
	my ($short, $long) = map { get("/metrics?event_name=x&$_") } @$equal;

	is("$short->{status} $short->{body}", "$long->{status} $long->{body}", "$equal->[0] is $equal->[1]");
	is($short->{status}, 400, "$equal->[0]: and refused");
}
is_error(get('/metrics?' . join('&', map { "p$_" } 1 .. 101)), 400, qr/too many parameters/, '101 parameters');

# ---------------------------------------------------------------------------
# One answer, with one head, to each request
# ---------------------------------------------------------------------------

my $head = "POST /events HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nX-Request-Id: one-answer\r\n";
foreach my $length ('abc', '', '-1', '+2', '2x', '0x2', '2 2', '2,2', '2.0', '99999999999999999999', '18446744073709551615',
	'18446744073709551616', '9' x 500)
{
	my $what = 'Content-Length ' . substr $length, 0, 30;
	my $answer = answer_to("${head}Content-Length: $length\r\n\r\n{}");

	is_error($answer, $length =~ /^\d{20}/ ? 413 : 400, qr/./, "$what: refused");
	is($answer->{headers}{'x-request-id'}, 'one-answer', "$what: has its id");
	is($answer->{more}, '', "$what: nothing more");
	ok($answer->{ended}, "$what: closed");
}
foreach my $chunks ("zz\r\n{}\r\n0\r\n\r\n", "-2\r\n{}\r\n0\r\n\r\n", "\r\n\r\n", "fffffffffffffffffff\r\n{}",
	"2\r\n{}xx\r\n", "2\r\n{}\r\n0\r\nno colon\r\n\r\n")
{
	my $answer = answer_to("${head}Transfer-Encoding: chunked\r\n\r\n$chunks");

	like($answer->{status}, qr/^4(00|13)$/, 'chunks ' . substr($chunks, 0, 20) =~ s/\r\n/|/gr);
	is($answer->{more}, '', '... nothing more');
	ok($answer->{ended}, '... closed');
}
foreach my $lines ("no colon\r\n", "A: " . 'x' x 40_000 . "\r\n", "Transfer-Encoding: cow\r\n", "Host: y\r\n",
	"Content-Length: 2\r\nContent-Length: 2\r\n", "A: b\r\n" x 10_000, 'Cookie: ' . 'a=b; ' x 3_000 . "\r\n",
	"Transfer-Encoding: chunked\r\nContent-Length: 2\r\n")
{
	my $answer = answer_to("${head}Connection: close\r\n$lines\r\n{}");

	like($answer->{status}, qr/^4\d\d$/, 'header ' . substr($lines, 0, 20) =~ s/\r\n/|/gr);
	is($answer->{more}, '', '... nothing more');
	ok($answer->{ended}, '... closed');
}
ok($server->wait_for_log_line(qr/id=one-answer method=- route=- status=400 sent=yes /), 'refused heads are logged');
like($server->get('/metrics/prometheus')->{body}, qr/^fast_ingest_http_requests_total\{route="[^"]*",code="413"\} [1-9]/m,
	'and counted');

foreach my $target ('/metrics?' . 'x' x 40_000, '/metrics?' . join('&', map { 'x' x 300 . $_ } 1 .. 99),
	'/metrics?' . 'a&' x 10_000, '/' . 'x' x 20_000, '/metrics?event_name=' . '%41' x 8_000)
{
	my $answer = get($target);

	# a client that still sends when the connection ends may miss the answer
	like($answer->{status}, qr/^(4\d\d|closed)$/, 'target ' . substr $target, 0, 20);
	is($answer->{more}, '', '... nothing more');
	ok($answer->{ended}, '... closed');
}

# A client that is refused while others are served, pipelined behind a good request
my $connection = $server->connect;
$connection->send(http_message('GET', '/health') . "${head}Content-Length: abc\r\n\r\n" . http_message('GET', '/health'));
is($connection->read_answer->{status}, 200, 'a good request');
is_error($connection->read_answer, 400, qr/Content-Length/, 'a bad one behind it');
ok($connection->is_closed, 'and nothing after that');

# ---------------------------------------------------------------------------
# Idle connections are kept for keepalive_timeout, whatever request_timeout is
# ---------------------------------------------------------------------------

is($server->sql('SHOW fast_ingest.keepalive_timeout'), '75s', 'keepalive_timeout outlasts load balancers');
my $ask = http_message('GET', '/health');

sub idle_connection
{
	my $idle = $server->connect;

	$idle->send($ask);
	is($idle->read_answer->{status}, 200, 'a connection that was used');
	return $idle;
}

# A setting is in force once the server cuts a connection because of it
sub reload
{
	my (%settings) = @_;

	$server->set(%settings);
	ok($server->wait_for_answer(200, sub { get('/health') }), 'the server reloads');
	return;
}

reload('fast_ingest.request_timeout' => '500ms');
my $kept = idle_connection();
my $fresh = $server->connect;
my $began = time;
ok($fresh->is_closed, 'a connection without a first request is closed after request_timeout');
my $slow = idle_connection();
$slow->send("GET /health HTTP/1.1\r\nHost: x\r\nX-Slow:");
is_error($slow->read_answer, 408, qr/request_timeout/, 'half a head on a used connection is cut after request_timeout');
my $half = idle_connection();
$half->send("POST /events HTTP/1.1\r\nHost: x\r\nX-Request-Id: half\r\nContent-Length: 100\r\n\r\n{");
my $answer = $half->read_answer;
is_error($answer, 408, qr/request_timeout/, 'and half a body');
is($answer->{headers}{'x-request-id'}, 'half', 'with its id');
cmp_ok(time - $began, '>', 1.4, 'three request_timeouts later');
$kept->send($ask);
is($kept->read_answer->{status}, 200, 'the idle connection is still there');

reload('fast_ingest.request_timeout' => '30s', 'fast_ingest.keepalive_timeout' => '500ms');
ok($kept->is_closed, 'it ends after keepalive_timeout');
my $busy = $server->connect;
$busy->send("GET /health HTTP/1.1\r\nHost: x\r\n");
my $idle = idle_connection();
ok($idle->is_closed, 'an idle connection ends after keepalive_timeout');
$busy->send("\r\n");
is($busy->read_answer->{status}, 200, 'which is not for a request in progress');
ok($busy->is_closed, 'but from its end on');

$server->books_balance;
$server->node->stop;
done_testing();
