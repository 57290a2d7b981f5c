# A client, a key and a channel may send as many events as their rate limits allow, over any
# number of connections, and no more. A refused client is told when to come back, and the refusal
# costs no tokens.
#
# Buckets here gain 1 token a second and hold 1000. So it makes no difference how many seconds a
# test takes on a slow machine.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use FastIngest;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $server = FastIngest->new('limits', conf => <<'EOC');
fast_ingest.rate_limit_burst = '1000s'
fast_ingest.max_bulk_events = 3000
fast_ingest.staging_size = '1MB'
EOC
my $n = 0;

sub post { return $server->post_event(event(++$n), @_) }
sub bulk { my ($size, %changes) = @_; return [ map { event(++$n, %changes) } 1 .. $size ] }
sub from { return (headers => [ 'X-Forwarded-For', $_[0] ]) }
sub bearer { return (headers => [ 'Authorization', "Bearer $_[0]" ]) }
sub remaining { my $left = $_[0]->{headers}{'ratelimit-remaining'}; return defined $left ? $left : -1 }

# Is the count as expected, give or take the tokens of a minute?
sub is_about
{
	my ($number, $expected, $name) = @_;

	ok($number >= $expected && $number < $expected + 90, $name) or diag("got $number, wanted about $expected");
	return;
}

# Change settings, and wait until requests like this one have these limits.
sub set_limit
{
	my ($limit, $ask, %settings) = @_;
	my $answer;

	$server->set(%settings);
	ok( wait_until(sub { $answer = $ask->(); ($answer->{headers}{'ratelimit-limit'} || '') eq $limit }),
		join(' ', map { "$_ = $settings{$_}" } sort keys %settings));
	return $answer;
}

sub is_refused
{
	my ($answer, $pattern, $name) = @_;

	is_error($answer, 429, $pattern, $name);
	like($answer->{headers}{'retry-after'}, qr/\A[1-9]\d*\z/, "$name: when to come back");
	return;
}

# Take all that is left of a bucket by several connections at the same time; returns an
# answer to one that came too late.
sub take_all
{
	my ($of, $name, $connections, $left, @headers) = @_;
	my $before = $of->count;
	my $began = time;
	my %answers;
	my $late;

	foreach my $round (1 .. int($left / @$connections) + 20)
	{
		$_->send(http_message('POST', '/events', body => event(++$n), @headers)) foreach @$connections;
		foreach my $connection (@$connections)
		{
			my $got = $connection->read_answer;

			$answers{ $got->{status} }++;
			$late = $got if $got->{status} == 429;
		}
	}

	my $seconds = time - $began;
	cmp_ok($answers{202}, '>=', $left, "$name: all $left are taken");
	cmp_ok($answers{202}, '<=', $left + $seconds + 1, "$name: and none twice");
	is(join(' ', sort keys %answers), '202 429', "$name: no other answer");
	is($of->count - $before, $answers{202}, "$name: what was accepted is stored");
	return $late;
}

# No limit by default

my $answer = post();

is($answer->{status}, 202, 'no limit');
ok(!exists $answer->{headers}{'ratelimit-limit'}, 'no limit: no headers');

# Per client address

$answer = set_limit(1000, \&post, 'fast_ingest.rate_limit_per_client' => 1);
is($answer->{headers}{'ratelimit-limit'}, 1000, 'client: RateLimit-Limit');
is_about(remaining($answer), 999, 'client: RateLimit-Remaining');
like($answer->{headers}{'ratelimit-reset'}, qr/\A[1-9]\d?\z/, 'client: RateLimit-Reset');

my $left = remaining($answer);

$answer = $server->post_bulk(bulk(600));
is($answer->{status}, 202, 'client: a bulk request');
is_about(remaining($answer), $left - 600, 'client: counts its events');
$left = remaining($answer);
$answer = $server->post_bulk(bulk(600));
is_refused($answer, qr/rate limit of the client address is reached: 1 events per second/, 'client: too many');
is_about(remaining($answer), $left, 'client: all or nothing, and what is refused costs nothing');
cmp_ok($answer->{headers}{'retry-after'}, '<=', 600 - $left, 'client: Retry-After is no longer than it takes');
cmp_ok($answer->{headers}{'retry-after'}, '>', 600 - $left - 90, 'client: nor shorter');
$answer = $server->post_bulk([ @{ bulk(50) }, map { { bad => $_ } } 1 .. 50 ]);
is($answer->{json}{rejected}, 50, 'client: a bulk request with invalid events');
is_about(remaining($answer), $left - 100, 'client: they count, too');
$left = remaining($answer);
is_about(remaining($server->post_event({ bad => 1 })), $left - 1, 'client: and so does an invalid one');
is_about(remaining($server->post('/events', 'no JSON')), $left - 2, 'client: and what is no event at all');
is_about(remaining($server->get('/metrics?event_name=page_view')), $left - 3, 'client: and a query');
is($server->get('/health')->{status}, 200, 'client: /health');
ok(!exists $server->get('/ready')->{headers}{'ratelimit-limit'}, 'client: /ready is not limited');
is_error($server->post_bulk(bulk(1001)), 413, qr/1001 events at a time.*client address ever allows: at most 1000/,
	'client: more than there will ever be');

# What is left goes to eight connections at the same time

my @connections = map { $server->connect } 1 .. 8;
my $retry = take_all($server, 'eight connections', \@connections, remaining($server->post_event({ bad => 1 })));

is_refused($retry, qr/client address/, 'the bucket is empty');
is(remaining($retry), 0, 'the bucket is empty: nothing is left');
cmp_ok($retry->{headers}{'retry-after'}, '<=', 1, 'one more is there in a second');
is($server->wait_for_answer(202, \&post)->{status}, 202, 'it is');

# An empty bucket refuses before the body

ok( wait_until(
		sub {
			my $connection = $server->connect;

			post() foreach 1 .. 3;
			$connection->send("POST /events/bulk HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 1000000\r\n\r\n");
			return $connection->read_answer->{status} eq 429;
		}),
	'the body of a refused request is not waited for');

# Whose bucket it is

is_refused($server->wait_for_answer(429, sub { post(from('192.0.2.1')) }), qr/client address/, 'anybody can say to be another');
$server->set('fast_ingest.trusted_proxies' => '10.0.0.0/8,127.0.0.1');
ok(wait_until(sub { post(from('192.0.2.1'))->{status} eq 202 }), 'a trusted proxy');
is_about(remaining($server->post_bulk(bulk(300), from('192.0.2.2'))), 700, 'each address has a bucket');
is_about(remaining(post(from('198.51.100.7, 192.0.2.2'))), 699, 'the last address is whose it is');
is_about(remaining(post(from('192.0.2.2, 10.1.2.3'))), 698, 'but for trusted ones');
is_about(remaining(post(headers => [ 'X-Forwarded-For', '198.51.100.8', 'X-Forwarded-For', '192.0.2.2' ])), 697,
	'in two headers');
is_about(remaining($server->post_bulk(bulk(300), from('2001:db8:0:1::1'))), 700, 'IPv6');
is_about(remaining(post(from('2001:db8:0:1:ffff::2'))), 699, 'IPv6: the same network');
is_about(remaining(post(from('2001:db8:0:2::1'))), 999, 'IPv6: another one');
is($server->wait_for_answer(429, sub { post(from('rubbish')) })->{status}, 429, 'no address: the proxy itself');
my ($result, $stdout, $stderr) =
  $server->node->psql('postgres', "ALTER SYSTEM SET fast_ingest.trusted_proxies = '10.0.0.0/8, example.com'");
like($stderr, qr/ERROR:.*\n.*"example.com" is neither an address nor a range/, 'a name is refused');

# Full staging: tokens come back. Small events take more room than their JSON, so that
# it is found to be full after they were counted.

my $lock = $server->lock_table;
my @waiting;

# Send until one is answered, though nothing is committed; returns how many wait.
sub fill
{
	my ($address, $size, %changes) = @_;
	my $staged = $server->status->{staged};
	my $waits = 0;

	for (;;)
	{
		my $connection = $server->connect;

		$connection->send(http_message('POST', '/events/bulk', body => bulk($size, %changes), from($address)));
		wait_until(
			sub {
				$answer = $connection->read_answer(seconds => 0.01);
				return $answer->{status} ne 'timeout' || $server->status->{staged} > $staged;
			});
		last if $server->status->{staged} == $staged;
		push @waiting, $connection;
		$waits++;
		$staged += $size;
	}
	is($answer->{status}, 503, "staging is full for $size events");
	ok(!exists $answer->{headers}{'ratelimit-limit'}, "staging is full for $size events: nothing is counted");
	return $waits;
}

fill('192.0.2.51', 50, metadata => { padding => 'x' x 1500 });
$left = 1000;
$left -= $_ * fill('192.0.2.50', $_) foreach 100, 50, 25;
is_about(remaining($server->post_event({ bad => 1 }, from('192.0.2.50'))), $left - 1, 'staging is full: nothing was taken');
$lock->quit;
is(scalar(grep { $_->read_answer->{status} ne 202 } @waiting), 0, 'the others are stored');

# Per key

my $calm = $server->sql(q(SELECT fi_create_api_key('calm', '{write,read}')));
my $own = $server->sql(q(SELECT fi_create_api_key('own', rate_limit => 1, burst => 10)));
my $free = $server->sql(q(SELECT fi_create_api_key('free', rate_limit => 0)));

$server->set('fast_ingest.require_api_key' => 'on', 'fast_ingest.trusted_proxies' => '');
$server->wait_for_answer(429, sub { post(bearer('x')) });
is_error($server->wait_for_answer(401, sub { post(bearer('x')) }), 401, qr/not valid/, 'a wrong key');
is($server->wait_for_answer(429, sub { post(bearer('x')) })->{status}, 429, 'wrong keys count as well');
$server->set('fast_ingest.rate_limit_per_client' => 0);
$answer = set_limit(1000, sub { post(bearer($calm)) }, 'fast_ingest.rate_limit_per_key' => 1);
$left = remaining($answer);
$answer = $server->post_bulk(bulk(300), bearer($calm));
is_about(remaining($answer), $left - 300, 'key: counts events');
$answer = post(bearer($own));
is($answer->{headers}{'ratelimit-limit'}, 10, 'a key with a limit of its own');
is_error($server->post_bulk(bulk(11), bearer($own)), 413, qr/API key.*at most 10/, 'its burst is the most at a time');
is_refused($server->wait_for_answer(429, sub { post(bearer($own)) }), qr/rate limit of the API key is reached: 1 events/, 'its limit');
$answer = post(bearer($free));
is($answer->{status}, 202, 'a key without a limit');
ok(!exists $answer->{headers}{'ratelimit-limit'}, 'a key without a limit: no headers');
$server->sql("SELECT fi_revoke_api_key('free')");
is_about(remaining(post(bearer($calm))), $left - 301, 'a change of keys fills no bucket');
$server->sql("UPDATE fast_ingest.api_keys SET rate_limit = 2 WHERE name = 'calm'");
$answer = post(bearer($calm));
is($answer->{headers}{'ratelimit-limit'}, 2000, 'a change of a limit counts at once');
is_about(remaining($answer), $left + 1000 - 302, 'and keeps what was taken');
is_about(remaining($server->get('/metrics?event_name=page_view', bearer($calm))), $left + 1000 - 303, 'key: queries count');
$server->set('fast_ingest.require_api_key' => 'off', 'fast_ingest.rate_limit_per_key' => 0);
$server->wait_for_answer(202, \&post);

# Per channel

$answer = set_limit(1000, sub { $server->post_event(event(++$n, channel => 'mobile')) }, 'fast_ingest.rate_limit_per_channel' => 1);
$left = remaining($answer);
my @two = map { event(++$n, channel => $_ % 2 ? 'api' : 'email') } 1 .. 800;
is_about(remaining($server->post_bulk(\@two)), 600, 'channel: a bulk request counts for each of its channels');
is_about(remaining($server->post_event(event(++$n, channel => 'mobile'))), $left - 1, 'channel: and for no other');
is_error($server->post_bulk([ map { event(++$n, channel => $_ % 2 ? 'a' : 'b') } 1 .. 2002 ]), 413,
	qr/1001 events at a time.*channel ever allows: at most 1000/, 'channel: more than there will ever be, here and there');
is_refused($server->post_bulk([ @{ bulk(100, channel => 'push') }, @{ bulk(700, channel => 'api') } ]),
	qr/rate limit of the channel/, 'channel: one of two has too few');
is_about(remaining($server->post_event(event(++$n, channel => 'push'))), 999, 'channel: the other has paid nothing');
is_about(remaining($server->post('/event', { site_id => 's', event_type => 't' })), 999, 'channel: POST /event is of web');
$server->set('fast_ingest.rate_limit_per_channel' => 0);
ok(wait_until(sub { !exists post()->{headers}{'ratelimit-limit'} }), 'no limit again');
$server->books_balance;
$server->node->stop;

# Two listeners know the same keys and take from the same buckets

my $two = FastIngest->new('two', conf => <<'EOC');
fast_ingest.listeners = 2
fast_ingest.require_api_key = on
fast_ingest.rate_limit_per_key = 1
fast_ingest.rate_limit_burst = '400s'
EOC
ok(wait_until(sub { $two->sql("SELECT bool_and(state = 'running') FROM fi_status()") eq 't' }), 'two listeners: all workers run');

my $key = $two->sql("SELECT fi_create_api_key('both')");

@connections = map { $two->connect } 1 .. 8;
is_refused(take_all($two, 'two listeners', \@connections, 400, bearer($key)), qr/rate limit of the API key/, 'two listeners');
is($two->sql("SELECT count(*) FROM fi_status() WHERE worker LIKE 'listener %' AND accepted > 20"), 2, 'two listeners: both');
$two->sql("SELECT fi_revoke_api_key('both')");
$_->send(http_message('POST', '/events', body => event(++$n), bearer($key))) foreach @connections;
is(join(' ', map { $_->read_answer->{status} } @connections), join(' ', (401) x 8), 'two listeners: a key that was revoked');
$two->books_balance;
$two->node->stop;

done_testing();
