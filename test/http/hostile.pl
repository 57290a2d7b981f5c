# Hostile clients do no harm. Whatever they send is answered with an error or cut off by a
# documented limit. Nothing hidden in a body is taken for a request. The memory of the listener
# stays below the documented bound. An honest client beside them gets 202 for every event.
#
# FI_TORTURE=1: the floods are ten times as long.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use Compress::Zlib ();
use Errno qw(EAGAIN);
use FastIngest;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time usleep);

my $times = $ENV{FI_TORTURE} ? 10 : 1;
my $max_connections = 200;
my $max_body = 1024;
my $max_memory = 8 * 1024;

my $server = FastIngest->new('hostile', conf => <<"EOC");
fast_ingest.max_connections = $max_connections
fast_ingest.max_body_size = '${max_body}kB'
fast_ingest.max_request_memory = '${max_memory}kB'
fast_ingest.request_timeout = '5s'
fast_ingest.keepalive_timeout = '5s'
EOC
my $listener = $server->worker_pid('listener');
my $started = $server->sql('SELECT pg_postmaster_start_time()');
my $honest = $server->start_load(clients => 2, name => 'honest', only_202 => 1, pause => 0.002);
my $peak = FastIngest::record_peak_memory($listener);
my $n = 0;

# The bound of doc/operate.md on the listener's memory, in kB.
sub memory_bound
{
	my ($connections) = @_;

	return 16 * 1024 + 100 * $connections + 2 * $max_memory + 8 * $max_body;
}

# Check what must hold after each kind of attack.
sub unharmed
{
	my ($what) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;

	ok($honest->wait_for_acknowledgements(20), "$what: the honest clients are served");
	is(join("\n", $honest->complaints), '', "$what: and with nothing but 202");
	is($server->worker_pid('listener'), $listener, "$what: by the same listener");

	my $used = slurp_file($peak) || 0;
	my $bound = memory_bound($max_connections);

	note("$what: at most $used kB of $bound kB");
	cmp_ok($used, '<', $bound, "$what: memory stays below its bound");
	return;
}

# Only the honest clients are connected.
sub back_to_idle
{
	my ($what) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $open;

	wait_until(sub { ($open = $server->open_connections) == 2 });
	is($open, 2, "$what: the connections are gone");
	return;
}

# Write what the sockets take, until nothing moves for a moment.
sub flood
{
	my ($bytes, @connections) = @_;
	my %sent = map { $_ => 0 } @connections;
	my $moved = time;

	while (time - $moved < 0.3)
	{
		my $n = 0;

		foreach my $c (@connections)
		{
			next if $sent{$c} >= length $bytes;

			my $written = syswrite $c->{socket}, $bytes, 65536, $sent{$c};

			$sent{$c} += $written || 0;
			$n += $written || 0;
			$sent{$c} = length $bytes if !defined $written && $! != EAGAIN;
		}
		$moved = time if $n;
		usleep(1_000) unless $n;
		last unless grep { $sent{$_} < length $bytes } @connections;
	}
	return;
}

# ---------------------------------------------------------------------------
# Smuggling and malformed requests: each shape once, all at a time
# ---------------------------------------------------------------------------

# A request that only a server that was misled would see
sub inner
{
	my ($what) = @_;

	return http_message('POST', '/events',
		body => event(++$n, path => "/smuggled", user_id => "smuggled $what"));
}

sub post
{
	my ($headers, $body, %opt) = @_;
	my $version = $opt{version} || 'HTTP/1.1';

	return "POST /events $version\r\nHost: x\r\n$headers\r\n\r\n$body";
}

# The connection ends without another answer.
sub nothing_more
{
	my ($connection) = @_;
	my $why = $connection->read_until(sub { 0 }, time + $TIMEOUT);

	return $why eq 'closed' && $connection->{buffer} !~ m{HTTP/1};
}

my @shapes;

# Where a body ends. 0 chunks or bytes follow, and then the inner request.
foreach my $headers (
	"Content-Length: 5\r\nTransfer-Encoding: chunked",
	"Transfer-Encoding: chunked\r\nContent-Length: 5",
	"Content-Length: 5\r\nContent-Length: 5",
	"Content-Length: 0\r\nContent-Length: 5",
	"Content-Length: 5\r\ncontent-length: 0",
	'Content-Length: +5', 'Content-Length: -5', 'Content-Length: 5 5',
	'Content-Length: 5, 5', 'Content-Length: 5,5', 'Content-Length: 0x5',
	'Content-Length: 5e0', 'Content-Length: 5;', 'Content-Length: 5.0',
	'Content-Length: "5"', 'Content-Length:', 'Content-Length: five',
	'Content-Length: 99999999999999999999', 'Content-Length: 18446744073709551621',
	'Content-Length: ' . '9' x 1000,
	'Transfer-Encoding: chunked, chunked', 'Transfer-Encoding: xchunked',
	'Transfer-Encoding: chunked ', 'Transfer-Encoding: chunked,',
	'Transfer-Encoding: identity', 'Transfer-Encoding: gzip, chunked',
	'Transfer-Encoding: chunked, identity', 'Transfer-Encoding: chunked;q=1',
	'Transfer-Encoding: "chunked"', 'Transfer-Encoding:', 'Transfer-Encoding: cow',
	"Transfer-Encoding: \x0bchunked", "Transfer-Encoding: chunked\x0b",
	"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
	"Transfer-Encoding: identity\r\nTransfer-Encoding: chunked",
	"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
	"Transfer-Encoding: chunked\r\nTransfer-Encoding:",
	'Transfer-Encoding : chunked', "Transfer-Encoding\t: chunked",
	' Transfer-Encoding: chunked', "X-A: b\r\n Transfer-Encoding: chunked",
	"X-A: b\r\n\tTransfer-Encoding: chunked", "Transfer-Encoding:\r\n chunked",
	"Transfer-Enc: chunked\r\n oding", "Content-Le: 5\r\n ngth",
	"Content-Length: 5\r\n 0", "Content-Length:\r\n 5", 'Content-Length : 5',
	'Content-Length : 5 ', 'Content-Length: 5 5 ', 'Content-Length: 5, ', "Content-Length: \t ",
	"Content-Length: 5 \r\n 0", "Content-Length: 5 \0", "Content-Length: 5\0 ", "Content-Length: 5 \r",
	"Content-Length: 5 \r\nContent-Length: 5 ", "Content-Length: 5 \r\nTransfer-Encoding: chunked ",
	"X-A: b\nContent-Length: 5 ", "X-A: b\rContent-Length: 5 ", "X-A: b\0Content-Length: 5 ",
	"Content-Length: 5 \nX-A: b", 'Transfer-Encoding: chunked , ', "Transfer-Encoding: chunked\x0b ",
	'Transfer-Encoding : chunked ', "Transfer-Encoding: chunked \r\nTransfer-Encoding: chunked ",
	"X-A: b\nTransfer-Encoding: chunked ",
	' Content-Length: 5', "Content-Length: 5\0", "Content-Length\0: 5",
	"X-A: b\nContent-Length: 5", "X-A: b\rContent-Length: 5",
	"X-A: b\rTransfer-Encoding: chunked", "X-A: b\nTransfer-Encoding: chunked",
	"X-A: b\0Transfer-Encoding: chunked", "X-A: b\0\0Transfer-Encoding: chunked",
	"X-A: b\0\r\nX-B: c", "X-A: b\r\r\nX-B: c", "X-A: b\n\r\nX-B: c",
	"X-A: b\n\nX-B: c", 'no colon', ': no name', "X A: b", "X-\x80: b", "X-A\x01: b",
	"X-A: \x01", "X-A: \x7f", "Host: y", "host: x")
{
	push @shapes, [ $headers, post($headers, "0\r\n\r\n" . inner($headers)) ];
}
push @shapes,
  [ 'Transfer-Encoding in HTTP/1.0',
	post('Transfer-Encoding: chunked', "0\r\n\r\n" . inner('1.0'), version => 'HTTP/1.0') ];

# How chunks are framed
foreach my $chunks ("0\n\n", "0\r\n\n", "0\n\r\n", "0;x=\n\r\n\r\n", "-1\r\n\r\n",
	"+0\r\n\r\n", "0x0\r\n\r\n", " 0\r\n\r\n", "0 \r\n\r\n", "0\t\r\n\r\n", "\r\n\r\n",
	"00000000000000000000\r\n\r\n", "ffffffffffffffff\r\n{}\r\n0\r\n\r\n",
	"10000000000000002\r\n{}\r\n0\r\n\r\n", "8000000000000000\r\n{}\r\n0\r\n\r\n" . 'x' x 3_000_000,
	"2\r\n{}0\r\n\r\n", "2\r\n{}xx0\r\n\r\n", "2\n{}\n0\n\n", "2;a\n{}\r\n0\r\n\r\n",
	"2\r{}\r\n0\r\n\r\n", "g\r\n\r\n", "2\r\n{}\r\n0\r\nX: y\r\n\r\n",
	"2\r\n{}\r\n0\r\n X: y\r\n\r\n", "2\r\n{}\r\n0\r\nContent-Length: 5\r\n\r\n",
	"2\r\n{}\r\n0\r\nno colon\r\n\r\n", "0" x 50_000 . "\r\n\r\n",
	"2\r\n{}\r\n0\r\n" . "X: y\r\n" x 20_000 . "\r\n",
	"2\r\n{}\r\n0\r\nX: " . 'y' x 100_000 . "\r\n\r\n")
{
	push @shapes,
	  [ 'chunks ' . substr($chunks, 0, 40),
		post('Transfer-Encoding: chunked', $chunks . inner('chunks')) ];
}

# The request line
my $rest = "Host: x\r\n\r\n" . inner('line');
foreach my $line ('GET  /health HTTP/1.1', "GET\t/health HTTP/1.1", 'GET /health  HTTP/1.1',
	' GET /health HTTP/1.1', 'GET /hea lth HTTP/1.1', "GET /health\0 HTTP/1.1",
	"GET /health\0HTTP/1.1 HTTP/1.1", "GET /health\x01 HTTP/1.1", "GET /health\x7f HTTP/1.1",
	"GET /hea\rlth HTTP/1.1", 'GET /health HTTP/1.1 ', "GET /health HTTP/1.1\t",
	'GET /health HTTP/0.9', 'GET /health HTTP/2.0', 'GET /health HTTP/3', 'GET /health HTTP/1.',
	'GET /health http/1.1', 'GET /health HTTP/1.10', 'GET /health HTTP/11', 'GET /health HTTPS/1.1',
	'GET /health HTTP/-1.1', 'GET /health', 'GET', '/health', 'GET /health x', "G\x01T /health HTTP/1.1",
	'(GET) /health HTTP/1.1', 'G@T /health HTTP/1.1', "\x80 /health HTTP/1.1",
	'PRI * HTTP/2.0', 'GET x.example:80 HTTP/1.1', 'GET ftp://x.example/health HTTP/1.1',
	'GET http:// HTTP/1.1', 'GET http:///health HTTP/1.1', 'GET http://a@x/health HTTP/1.1',
	'GET http:/health HTTP/1.1', 'GET health HTTP/1.1', 'GET * HTTP/1.1',
	'CONNECT x:443 HTTP/1.1', 'TRACE /health HTTP/1.1', 'POST /health HTTP/1.1',
	'GET /health%00 HTTP/1.1', 'GET /health? HTTP/1.1 HTTP/1.1', 'GET /health?% HTTP/1.1',
	'GET /health?a=%0 HTTP/1.1', 'GET /health?a=%00 HTTP/1.1', 'GET /%zz HTTP/1.1',
	'GET ' . '/x' x 100_000 . ' HTTP/1.1', 'GET /metrics?' . 'a=b&' x 50_000 . ' HTTP/1.1',
	'GET /metrics?' . join('&', 1 .. 3000) . ' HTTP/1.1',
	'GET /metrics?event_name=' . 'x' x 17_000 . ' HTTP/1.1', 'X' x 100_000 . ' / HTTP/1.1')
{
	# those that are understood, but refused, may be followed by others
	push @shapes, [ 'line ' . substr($line, 0, 40), "$line\r\n$rest",
		$line !~ m{^(POST|TRACE|GET /metrics\?1&)} ];
}
push @shapes,
  [ 'line ended by LF', "GET /health HTTP/1.1\nHost: x\r\n\r\n" . inner('LF') ],
  [ 'all ended by LF', "GET /health HTTP/1.1\nHost: x\n\n" . inner('LF') ],
  [ 'head ended by LF', "GET /health HTTP/1.1\r\nHost: x\r\n\n" . inner('LF') ],
  [ 'ended by LF without headers', "GET /health HTTP/1.1\n\r\n" . inner('LF') ],
  [ 'no Host', "GET /health HTTP/1.1\r\n\r\n" . inner('Host') ],
  [ 'two Hosts', "GET /health HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n" . inner('Host') ],
  [ 'two Hosts in 1.0', "GET /health HTTP/1.0\r\nHost: x\r\nHost: y\r\n\r\n" . inner('Host') ],
  [ '500 headers', "GET /health HTTP/1.1\r\nHost: x\r\n" . "a: b\r\n" x 500 . 'b: ' . 'x' x 16_000 . "\r\n\r\n" . inner('headers') ],
  [ '100,000 headers', "GET /health HTTP/1.1\r\nHost: x\r\n" . "a: b\r\n" x 100_000 . "\r\n" . inner('headers') ],
  [ 'a header of 1 MB', "GET /health HTTP/1.1\r\nHost: x\r\nA: " . 'x' x 1_000_000 . "\r\n\r\n" . inner('headers') ],
  [ 'a header without an end', "GET /health HTTP/1.1\r\nHost: x\r\nA: " . 'x' x 3_000_000 ],
  [ 'a name without an end', "GET /health HTTP/1.1\r\nHost: x\r\n" . 'x' x 3_000_000 ],
  [ 'folded without end', "GET /health HTTP/1.1\r\nHost: x\r\nA: b\r\n" . " c\r\n" x 100_000 . "\r\n" . inner('folded') ],
  [ 'cookies', "GET /nothing-here HTTP/1.1\r\nHost: x\r\nCookie: " . 'a=b;' x 3_000 . "\r\n\r\n" . inner('line'), 0 ];

my @sent;
foreach (@shapes)
{
	my ($what, $bytes, $closes) = @$_;
	my $connection = $server->connect;

	flood($bytes, $connection);
	push @sent, [ $what, $connection, $closes // 1 ];
}
foreach (@sent)
{
	my ($what, $connection, $closes) = @$_;
	my $answer = $connection->read_answer;

	$what =~ s/([^ -~])/sprintf '\\x%02x', ord $1/ge;
	$what = substr $what, 0, 70;
	# a connection that does not even begin like a request is closed without an answer
	like($answer->{status},
		$what =~ m{^line (GET|/health| GET /health HTTP/1.1|.*\\x0[09].*|X{40})$} ? qr/^(4\d\d|closed)$/ : qr/^(4\d\d|50[15])$/,
		"$what: refused")
	  or diag(substr $answer->{body}, 0, 200);
	ok(!$closes || nothing_more($connection), "$what: nothing behind it is answered");
	$connection->close;
}
is($server->count("path = '/smuggled' AND user_id <> 'smuggled line'"), 0, 'no inner request was taken');

# Legal requests are served. (libmicrohttpd 1.0 reads no extension of a chunk.)
foreach (
	[ 'chunks', 'Chunked', '', qr/^202$/ ],
	[ 'a chunk extension', 'chunked', ';a=b', qr/^(202|400)$/ ])
{
	my ($what, $encoding, $extension, $statuses) = @$_;
	my $body = encode_json(event(++$n));
	my $connection = $server->connect;

	$connection->send(
		post("Transfer-Encoding: $encoding", sprintf("%x$extension\r\n%s\r\n0\r\nX-T: y\r\n\r\n", length $body, $body))
		  . inner('behind chunks'));
	like($connection->read_answer->{status}, $statuses, "$what are taken");
	ok($connection->is_closed, "$what: the connection ends with the answer");
}
is($server->count("user_id = 'smuggled behind chunks'"), 0, 'what is behind chunks is not taken');

my $connection = $server->connect;
my $swallowed = inner('in a body of GET');
$connection->send(
	"GET /health HTTP/1.1\r\nHost: x\r\nContent-Length: " . length($swallowed) . "\r\n\r\n$swallowed"
	  . http_message('GET', '/nothing-here'));
is($connection->read_answer->{status}, 200, 'a GET with a body');
is($connection->read_answer->{status}, 404, 'its body is not the next request');
is($server->count("user_id = 'smuggled in a body of GET'"), 0, 'and not taken');
$connection->close;
unharmed('smuggling');
back_to_idle('smuggling');


# ---------------------------------------------------------------------------
# Floods and bombs
# ---------------------------------------------------------------------------

# Requests whose answers are not read: the server stops reading, too.
my @flooders = map { $server->connect } 1 .. 8;
flood("GET /health HTTP/1.1\r\nHost: x\r\n\r\n" x (200_000 * $times), @flooders);
unharmed('pipelined requests without an end');
my $nonsense = http_message('POST', '/events/bulk',
	body => [ map { { map { ("\x01" x 60 . $_) => 1 } 1 .. 2 } } 1 .. 200 ]);
push @flooders, map { $server->connect } 1 .. 20;
flood($nonsense x (50 * $times), @flooders[ 8 .. 27 ]);
unharmed('pipelined errors without an end');

# Answers of 600 kB that are not read, of which max_request_memory holds a dozen.
my $query = http_message('GET',
	"/metrics?event_name=none&group_by=hour&from=$NOON&to=" . ($NOON + 8_000 * 3600));
my @askers = map { $server->connect } 1 .. 10;
flood($query x 2, @askers);
unharmed('pipelined queries');
my %statuses;
$statuses{ $_->read_answer->{status} }++ foreach @askers;
is(join(' ', grep { !/^(200|503|closed)$/ } keys %statuses), '', 'pipelined queries: answered or cut');
cmp_ok($statuses{200} || 0, '>', 0, 'pipelined queries: some are answered');
note(explain(\%statuses));
$_->close foreach @flooders, @askers;
back_to_idle('floods');

# Bombs: [ what, bytes, statuses ]
my $chunked = "POST /events HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
my $zeros = Compress::Zlib::memGzip('{"event_name":"' . '0' x 50_000_000 . '"}');
my $start = '{"event_name":"e","channel":"web","user_id":"u","timestamp":' . $NOON;
foreach (
	[ 'chunks of a byte beyond the limit', $chunked . "1\r\nx\r\n" x (1024 * $max_body + 1) . "0\r\n\r\n", qr/^413$/ ],
	[ 'chunks of a byte without an end', $chunked . "1\r\nx\r\n" x (3 * 1024 * $max_body), qr/^413$/ ],
	[ 'a chunk of a terabyte', $chunked . "10000000000\r\n" . 'x' x (4 * 1024 * $max_body), qr/^413$/ ],
	[ 'a body of a terabyte', post('Content-Length: 1099511627776', 'x' x 1_000_000), qr/^413$/ ],
	[ 'gzip of 50 MB', http_message('POST', '/events', body => $zeros, headers => [ 'Content-Encoding', 'gzip' ]), qr/^(413|415)$/ ],
	[ 'deflate of 50 MB', http_message('POST', '/events', body => Compress::Zlib::compress('[' x 50_000_000), headers => [ 'Content-Encoding', 'deflate' ]), qr/^(413|415|400)$/ ],
	[ 'metadata of 500,000 numbers', http_message('POST', '/events', body => $start . ',"metadata":{"a":[' . join(',', (1) x 500_000) . ']}}'), qr/^400$/ ],
	[ 'tags without an end', http_message('POST', '/events', body => $start . ',"tags":[' . join(',', ('""') x 300_000) . ']}'), qr/^400$/ ],
	[ 'an unknown field of 500,000 numbers', http_message('POST', '/events', body => $start . ',"x":[' . join(',', (1) x 500_000) . ']}'), qr/^400$/ ],
	[ '200,000 unknown fields', http_message('POST', '/events', body => $start . ',"x":1' x 170_000 . '}'), qr/^400$/ ],
	[ 'a million numbers instead of events', http_message('POST', '/events/bulk', body => '[' . join(',', (1) x 500_000) . ']'), qr/^413$/ ],
	[ 'half a million lines', http_message('POST', '/events/bulk', body => "1\n" x 500_000, type => 'application/x-ndjson'), qr/^413$/ ])
{
	my ($what, $bytes, $statuses) = @$_;
	my @bombers;

	foreach (1 .. 3)
	{
		push @bombers, $server->connect;
		$bombers[-1]->send($bytes);
	}
	is(join(' ', grep { $_ !~ $statuses } map { $_->read_answer->{status} } @bombers), '', $what);
	$_->close foreach @bombers;
}
unharmed('bombs');

back_to_idle('bombs');

# ---------------------------------------------------------------------------
# Slow ones: a byte now and then does not help beyond request_timeout
# ---------------------------------------------------------------------------

my @slow = map { { what => $_->[0], begin => $_->[1], drip => $_->[2], statuses => $_->[3] } } (
	[ 'nothing at all', '', '', qr/^closed$/ ],
	[ 'line ends', "\r\n", "\r\n", qr/^closed$/ ],
	[ 'a slow request line', 'GET /hea', 'x', qr/^closed$/ ],
	[ 'a line of headers that drips', "GET /health HTTP/1.1\r\nHost: x\r\nX:", 'y', qr/^408$/ ],
	[ 'headers that drip', "GET /health HTTP/1.1\r\nHost: x\r\n", "X: y\r\n", qr/^408$/ ],
	[ 'a body that drips', post('Content-Length: 100000', '{'), ' ', qr/^408$/ ],
	[ 'chunks that drip', $chunked, "1\r\n \r\n", qr/^408$/ ],
	[ 'a chunk extension that drips', $chunked . '5', ';x', qr/^408$/ ],
	[ 'trailers that drip', $chunked . "2\r\n{}\r\n0\r\n", "X: y\r\n", qr/^408$/ ],
	[ 'half a body', post('Content-Length: 1000', '{'), '', qr/^408$/ ],
	[ 'a TLS hello', "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" . 'x' x 500, '', qr/^closed$/ ],
	[ 'half of a request line, closed', 'GET /health HT', '', qr/^closed$/ ],
	[ 'half of headers, closed', "GET /health HTTP/1.1\r\nHost: x\r\n", '', qr/^(408|closed)$/ ],
	[ 'half a body, closed', post('Content-Length: 1000', '{'), '', qr/^(408|closed)$/ ],
	[ 'half of the chunks, closed', $chunked . "2\r\n{}\r\n", '', qr/^(408|closed)$/ ],
	[ 'answers that are not read', $query x 20, '', undef ]);
foreach my $slow (@slow)
{
	$slow->{connection} = $server->connect;
	flood($slow->{begin}, $slow->{connection});
	$slow->{connection}->shutdown_write if $slow->{what} =~ /, closed$/;
}
my $connected = time;
wait_until(
	sub {
		foreach my $slow (grep { $_->{drip} ne '' && !$_->{over} } @slow)
		{
			my ($readable) = $slow->{connection}->wait_for_socket(time + 0.001, 0);

			$slow->{over} = 1 if $readable;
			syswrite $slow->{connection}{socket}, $slow->{drip} unless $readable;
		}
		return !grep { $_->{drip} ne '' && !$_->{over} } @slow;
	},
	60);
foreach my $slow (@slow)
{
	next unless $slow->{statuses};
	like($slow->{connection}->read_answer->{status}, $slow->{statuses}, $slow->{what});
	ok(nothing_more($slow->{connection}), "$slow->{what}: and cut");
}
cmp_ok(time - $connected, '<', 60, 'slow clients are cut about request_timeout later');
unharmed('slow clients');
back_to_idle('slow clients'); # also the one that has not read its answers

# ---------------------------------------------------------------------------
# More connections than there may be
# ---------------------------------------------------------------------------

# (no time-out may make room meanwhile)
$server->set('fast_ingest.request_timeout' => '180s');
my @idle = map { $server->connect } 1 .. $max_connections - 2;
my %turned_away;
foreach (1 .. 500 * $times)
{
	my $one = $server->connect;

	$turned_away{ $one->read_answer->{status} }++;
	$one->close;
}
cmp_ok($turned_away{503} || 0, '>', 0, 'connections beyond max_connections get 503');
is(join(' ', sort keys %turned_away), '503', '... all of them');
unharmed('connections beyond max_connections');
$_->close foreach @idle;
back_to_idle('connections beyond max_connections');
$server->set('fast_ingest.request_timeout' => '5s');

$honest->stop;
$server->stored_once($honest, 'honest clients');
# A line without an end gives libmicrohttpd nothing to do but to look again.
my $stuck = $server->connect;
$stuck->send($chunked . '5;' . 'x' x 100_000);
my $before = FastIngest::cpu_time($listener);
my $began = time;
like($stuck->read_answer->{status}, qr/^(408|400|413|closed)$/, 'the line of a chunk without an end');
my $share = (FastIngest::cpu_time($listener) - $before) / (time - $began);
cmp_ok($share, '<', 0.1, 'the line of a chunk without an end: the listener does not spin');
note(sprintf 'it took %.0f %% of a processor', 100 * $share);
$stuck->close;

is($server->sql('SELECT count(*) FROM fast_ingest.dead_letters'), 0, 'no dead letter');
$server->books_balance;
is($server->sql('SELECT pg_postmaster_start_time()'), $started, 'it is still the same server');

# ---------------------------------------------------------------------------
# 10,000 idle connections
# ---------------------------------------------------------------------------

my $wanted = 10_000;
my $allowed = POSIX::sysconf(&POSIX::_SC_OPEN_MAX) - 200;
if ($allowed < $wanted)
{
	diag("ONLY $allowed INSTEAD OF $wanted IDLE CONNECTIONS: ulimit -n allows no more");
	$wanted = $allowed;
}
$max_connections = $wanted + 100;
$server->set('fast_ingest.max_connections' => $max_connections, 'fast_ingest.request_timeout' => '60s');
$server->restart;
$listener = $server->worker_pid('listener');
$honest = $server->start_load(clients => 2, name => 'crowd', only_202 => 1, pause => 0.002);
$peak = FastIngest::record_peak_memory($listener);

$began = time;
@idle = map { $server->connect } 1 .. $wanted;
note(sprintf '%d connections in %.1f s', $wanted, time - $began);
my $open = 0;
wait_until(sub { ($open = $server->open_connections) >= $wanted + 2 });
is($open, $wanted + 2, "$wanted idle connections are open");
unharmed('idle connections');
$before = FastIngest::cpu_time($listener);
$began = time;
$honest->wait_for_acknowledgements(500);
note(sprintf 'beside them, 500 events took %.2f s and %.2f s of the listener',
	time - $began, FastIngest::cpu_time($listener) - $before);
$idle[-1]->send(http_message('GET', '/health'));
is($idle[-1]->read_answer->{status}, 200, 'the last of them can ask');
$server->set('fast_ingest.request_timeout' => '5s');
back_to_idle('idle connections');
is(scalar(grep { sysread($_->{socket}, my $byte, 1) // -1 } @idle), 0, 'all of them were closed');
unharmed('idle connections that end');
$honest->stop;
$server->stored_once($honest, 'honest clients beside idle ones');
$server->books_balance;

$server->node->stop;
done_testing();
