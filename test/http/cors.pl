# Pages of the origins in fast_ingest.cors_origins may send requests and read the answers. The
# answer to a preflight request makes browsers ask only once a day.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use FastIngest;
use Test::More;

my $shop = 'https://shop.example';
my $server = FastIngest->new('cors');
my $n = 0;

sub preflight
{
	my ($path, $origin, $method) = @_;

	return $server->request(
		'OPTIONS', $path,
		headers => [
			'Origin', $origin,
			'Access-Control-Request-Method', $method || 'POST',
			'Access-Control-Request-Headers', 'content-type,idempotency-key'
		]);
}

sub header
{
	my ($answer, $name) = @_;

	return $answer->{headers}{ 'access-control-' . $name };
}

sub set_origins
{
	my ($origins, $status) = @_;

	$server->set('fast_ingest.cors_origins' => $origins);
	is($server->wait_for_answer($status, sub { preflight('/events', $shop) })->{status},
		$status, "cors_origins = '$origins'");
	return;
}

# None by default

is_error(preflight('/events', $shop), 403, qr{"https://shop\.example".*cors_origins}, 'no origin may');
my $answer = $server->post_event(event(++$n), headers => [ 'Origin', $shop ]);
is($answer->{status}, 202, 'a page can send all the same');
is(header($answer, 'allow-origin'), undef, 'but may not read the answer');
is($answer->{headers}{vary}, undef, 'which is the same for all');

# Some

set_origins("$shop, http://localhost:3000", 204);
$answer = preflight('/events', $shop);
is($answer->{body}, '', 'the answer is all in its head');
is(header($answer, 'allow-origin'), $shop, 'this origin may');
like(header($answer, 'allow-methods'), qr/\bPOST\b/, 'post');
like(header($answer, 'allow-headers'), qr/\b$_\b/i, "with $_")
  foreach 'Content-Type', 'Content-Encoding', 'Idempotency-Key', 'Authorization', 'X-API-Key', 'X-Request-Id';
is(header($answer, 'max-age'), 86400, 'and ask again tomorrow');
is($answer->{headers}{vary}, 'Origin', 'other origins hear another answer');
is(header($answer, 'allow-credentials'), undef, 'without cookies');
like(header(preflight('/metrics', $shop, 'GET'), 'allow-methods'), qr/\bGET\b/, 'or get metrics');
is(header(preflight('/events', 'http://localhost:3000'), 'allow-origin'), 'http://localhost:3000', 'another one may');

foreach my $origin ('http://shop.example', "$shop:8443", "$shop.evil.example", 'null', 'https://evil.example', '*')
{
	is_error(preflight('/events', $origin), 403, qr/cors_origins/, "$origin may not");
	is(header($server->get('/health', headers => [ 'Origin', $origin ]), 'allow-origin'),
		undef, "nor read an answer");
}

$answer = $server->post_event(event(++$n), headers => [ 'Origin', $shop ]);
is(header($answer, 'allow-origin'), $shop, 'answers may be read');
like(header($answer, 'expose-headers'), qr/Retry-After.*X-Request-Id/, 'and their headers');
is(header($server->post_event({}, headers => [ 'Origin', $shop ]), 'allow-origin'), $shop, 'errors, too');
is(header($server->get('/nowhere', headers => [ 'Origin', $shop ]), 'allow-origin'), $shop, 'of any path');
is($server->get('/health')->{headers}{vary}, 'Origin', 'who is no browser hears that answers differ');
is(preflight('/nowhere', $shop)->{status}, 404, 'a path that does not exist');
is_error($server->request('OPTIONS', '/events', headers => [ 'Origin', $shop ]),
	405, qr/expected POST/, 'OPTIONS without the headers of a preflight request is not allowed');

# API keys: a preflight request needs none

$server->set('fast_ingest.require_api_key' => 'on');
$answer =
  $server->wait_for_answer(401, sub { $server->post_event({}, headers => [ 'Origin', $shop ]) });
is(header($answer, 'allow-origin'), $shop, 'that a key is needed may be read');
like(header($answer, 'expose-headers'), qr/WWW-Authenticate/, 'and how');
is(preflight('/events', $shop)->{status}, 204, 'to ask needs none');
$server->set('fast_ingest.require_api_key' => 'off');
is($server->wait_for_answer(400, sub { $server->post_event({}) })->{status}, 400, 'and none again');

# All origins, and none again

set_origins('*', 204);
is(header(preflight('/events', 'https://evil.example'), 'allow-origin'), '*', 'any origin may');
is(header($server->get('/health', headers => [ 'Origin', 'null' ]), 'allow-origin'), '*', 'read, too');
set_origins('', 403);
is($server->count, $n, 'the events are stored');
$server->books_balance;
$server->node->stop;

done_testing();
