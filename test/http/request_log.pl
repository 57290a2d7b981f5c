# Each log level logs one line for each of its requests, which says what happened to the request.
# Nothing that a client sends gets into the log but the id of its request, which every answer
# names.
#
# The listener reads its settings between two turns of its loop. A level is in force once the
# origin that was set together with it is allowed.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use FastIngest;
use JSON::PP ();
use PostgreSQL::Test::Utils;
use Socket qw(SOL_SOCKET SO_LINGER SO_RCVBUF);
use Test::More;
use Time::HiRes qw(time);

# This text is in every user_id, and in everything else that must not get into a log.
my $private = 'PrivateMatter';

my $server = FastIngest->new('request_log', conf => <<'EOC');
logging_collector = on
log_directory = 'log'
log_filename = 'server.log'
log_error_verbosity = verbose
fast_ingest.max_body_size = '64kB'
EOC
my $json_is_known = $server->major_version >= 15;

if ($json_is_known)
{
	$server->node->append_conf('postgresql.conf', q(log_destination = 'stderr,jsonlog'));
	$server->restart;
}

my $log = $server->node->data_dir . '/log/server.log';
my $nevents = 0;
my $nids = 0;
my $nlevels = 0;

sub visit { return event(++$nevents, user_id => "$private-$nevents", @_) }
sub id { my ($answer) = @_; return $answer->{headers}{'x-request-id'} }
sub with_id { return (headers => [ 'X-Request-Id', @_ ]) }

# The lines of requests, in order: their members
sub entries
{
	return map { { map { /\A(\w+)=(.*)\z/ ? ($1 => $2) : ('?' => $_) } split / / } }
	  slurp_file($log) =~ /LOG:  00000: fast_ingest request (.*)$/mg;
}

# The entry of a request, once it is there
sub entry
{
	my ($id) = @_;
	my @found;

	wait_until(sub { @found = grep { $_->{id} eq $id } entries() });
	return $found[0] || {};
}

# Send a request with an id of its own; its answer and its entry
sub logged
{
	my ($method, $path, %opt) = @_;
	my $id = "test/" . ++$nids;
	my $answer = $server->request($method, $path, %opt, headers => [ @{ $opt{headers} || [] }, 'X-Request-Id', $id ]);

	is(id($answer), $id, "$method: $answer->{status} names its id");
	return ($answer, entry($id));
}

# Check that the entry has these members.
sub is_entry
{
	my ($entry, $name, %expected) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;

	is_deeply({ map { $_ => $entry->{$_} } keys %expected }, \%expected, $name) or diag(explain($entry));
	return;
}

sub is_logged
{
	my ($status, $request, %expected) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my ($answer, $entry) = logged(@$request);

	is($answer->{status}, $status, "$request->[0]: $status") or diag($answer->{body});
	is_entry($entry, "and so says the log", status => $status, sent => 'yes', reply_bytes => length $answer->{body}, %expected);
	return $entry;
}

sub set_level
{
	my ($level, %more) = @_;
	my $origin = 'https://' . ++$nlevels . '.example';

	$server->set('fast_ingest.log_requests' => $level, 'fast_ingest.cors_origins' => $origin, %more);
	is( $server->wait_for_answer(
			204,
			sub {
				$server->request('OPTIONS', '/events',
					headers => [ 'Origin', $origin, 'Access-Control-Request-Method', 'POST' ]);
			})->{status},
		204,
		"log_requests = $level");
	return;
}

# Off by default, but answers have ids

is($server->sql('SHOW fast_ingest.log_requests'), 'off', 'no log by default');
my @kept = ('a', 'f81d4fae-7dec-11d0-a765-00a0c91e6bf6', 'A.b_c:d/e+f-9', 'x' x 128);
my @replaced = (
	'', 'two words', 'status=200', '"', '\\', 'a;b', 'a@example.com', "a\tb", 'x' x 129, 'x' x 5000,
	"\xc3\xa9", "\xff", '%0d%0a', "\$(id)", "'");
is(id($server->post_event(visit(), with_id($_))), $_, "id kept: $_") foreach @kept;
foreach my $id (@replaced)
{
	like(id($server->get('/health', with_id($id))), qr/\A[0-9a-f]{16}-\d+\z/, 'id replaced: ' . substr $id, 0, 30);
}

my %made;
my $connection = $server->connect;
foreach (1 .. 100)
{
	$connection->send(http_message('GET', '/health') . http_message('POST', '/event', body => '{}') . http_message('GET', '/nowhere'));
	$made{ id($connection->read_answer) }++ foreach 1 .. 3;
}
is(scalar keys %made, 300, 'pipelined requests have ids of their own');

my ($prefix) = map { /\A([0-9a-f]{16})-/ ? $1 : '' } keys %made;
is((grep { !/\A$prefix-\d+\z/ } keys %made), 0, 'that are made');

# All

set_level('all', 'fast_ingest.trusted_proxies' => '127.0.0.1');
my $entry = is_logged(
	202, [ 'POST', '/events', body => visit() ],
	method => 'POST',
	route => '/events',
	bytes => length encode_json(event($nevents, user_id => "$private-$nevents")),
	events => 1,
	rejected => 0,
	client => '127.0.0.1',
	key => '-');
is((grep { $_->{method} ne 'OPTIONS' } entries()), 1, 'what came before is not logged');
is(join(' ', sort keys %$entry),
	'bytes client commit_ms duration_ms events id key method rejected reply_bytes route sent staged_ms status',
	'a line has these members');
ok($entry->{staged_ms} >= 0 && $entry->{commit_ms} > 0, 'the times are there');
ok($entry->{duration_ms} + 0.01 >= $entry->{staged_ms} + $entry->{commit_ms}, 'and within that of the request')
  or diag(explain($entry));

is_logged(202, [ 'POST', '/events/bulk?atomic=false', body => [ visit(), {}, visit() ] ],
	route => '/events/bulk', events => 3, rejected => 1);
is_logged(400, [ 'POST', '/events/bulk?atomic=true', body => [ visit(), {}, visit() ] ], events => 3, rejected => 3, commit_ms => '-');
is_logged(204, [ 'POST', '/event', body => { site_id => 's', event_type => 'view', user_id => $private } ],
	route => '/event', events => 1);
is_logged(400, [ 'POST', '/events', body => { user_id => $private, $private => $private } ],
	events => 1, rejected => 1, staged_ms => '-', commit_ms => '-');
is_logged(400, [ 'POST', '/events', body => "{ \"$private" ], bytes => 3 + length $private, events => 0);
is_logged(404, [ 'GET', "/$private?user_id=$private" ], route => '-', method => 'GET');
is_logged(405, [ 'DELETE', '/events' ], route => '/events', method => 'DELETE');
is_logged(405, [ uc $private, '/event' ], method => '-');
is_logged(415, [ 'POST', '/events', body => '{}', type => "text/$private" ]);
is_logged(413, [ 'POST', '/events', body => ' ' x 70_000 ], bytes => 70_000);
is_logged(200, [ 'GET', '/health' ], route => '/health', bytes => 0, events => 0);
is_logged(200, [ 'GET', '/metrics?event_name=page_view' ], route => '/metrics', bytes => 0);
is_logged(200, [ 'GET', '/stats?site_id=s' ], route => '/stats');
is_logged(400, [ 'GET', "/metrics?event_name=x&user_id=$private" ]);
is_logged(200, [ 'GET', "/series?site=$private&from=1723464000&to=1723467600" ], route => '/series');
is_logged(200, [ 'GET', "/event_names?metadata.$private=$private" ], route => '/event_names');
is_logged(200, [ 'GET', "/live?site=$private" ], route => '/live');
is_logged(204, [ 'OPTIONS', '/events',
		headers => [ 'Origin', "https://$nlevels.example", 'Access-Control-Request-Method', 'POST' ] ],
	method => 'OPTIONS');
is_logged(403, [ 'OPTIONS', '/events', headers => [ 'Origin', $private, 'Access-Control-Request-Method', 'POST' ] ]);

$server->request('HEAD', '/health', with_id('a-head'));
is_entry(entry('a-head'), 'HEAD', method => 'HEAD', status => 200, reply_bytes => 0);

# The address of the client

foreach my $case (
	[ '203.0.113.9', '203.0.113.9' ],
	[ '2001:DB8:0::7', '2001:db8::7' ],
	[ "$private, 198.51.100.1", '198.51.100.1' ],
	[ $private, '127.0.0.1' ],
	[ '1" status=200', '127.0.0.1' ])
{
	is_logged(200, [ 'GET', '/health', headers => [ 'X-Forwarded-For', $case->[0] ] ], client => $case->[1]);
}

# An event that the database refuses is logged without the user it is of

$server->sql(<<'EOQ');
ALTER TABLE fast_ingest.events ADD CONSTRAINT short CHECK (length(user_id) < 60);
CREATE FUNCTION bouncer() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NEW.path = '/banned' THEN RAISE EXCEPTION 'no entry for %', NEW.user_id USING DETAIL = NEW.user_id; END IF;
  IF NEW.path = '/table' THEN EXECUTE format('SELECT FROM %I', NEW.user_id); END IF;
  IF NEW.path = '/number' THEN PERFORM NEW.user_id::integer; END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER bouncer BEFORE INSERT ON fast_ingest.events FOR EACH ROW EXECUTE FUNCTION bouncer();
EOQ
is_logged(422, [ 'POST', '/events', body => visit(user_id => $private x 6) ], events => 1, rejected => 1);
is_logged(422, [ 'POST', '/events', body => visit(path => '/banned') ]);
is_logged(422, [ 'POST', '/events', body => visit(path => '/number') ]);
is_logged(202, [ 'POST', '/events/bulk', body => [ visit(path => '/banned'), visit() ] ], events => 2, rejected => 1);
ok(wait_until(sub { slurp_file($log) =~ /fast_ingest flusher: error 22P02$/m }), 'the log has the kind of error');
like(slurp_file($log), qr/fast_ingest flusher: error P0001$/m, 'of a trigger, too');
like(slurp_file($log), qr/fast_ingest flusher: error 23514 of constraint "short"$/m, 'and the constraint');
is_logged(422, [ 'POST', '/events', body => visit(path => '/table') ]);
ok(wait_until(sub { slurp_file($log) =~ /fast_ingest flusher: error 42P01$/m }), 'or that it was SQL made of the event');
$server->sql('DROP TRIGGER bouncer ON fast_ingest.events');

# A query that fails

$server->sql('ALTER TABLE fast_ingest.rollup_delta RENAME TO elsewhere');
is_logged(503, [ 'GET', "/metrics?event_name=$private" ], route => '/metrics');
ok( wait_until(sub { slurp_file($log) =~ /DETAIL:  It was raised by GET \/metrics\.$/m }),
	'the log says which path it was');
$server->sql('ALTER TABLE fast_ingest.elsewhere RENAME TO rollup_delta');

# Requests that end before their time

$connection = $server->connect;
$connection->send(http_message('POST', '/events', headers => [ 'X-Request-Id', 'left', 'Expect', '100-continue', 'Content-Length', 10 ]));
is($connection->read_answer->{status}, 100, 'a client is told to go on');
$connection->close;
is_entry(entry('left'), 'and has left', status => 0, sent => 'no', route => '/events', events => 0, reply_bytes => 0);

my $lock = $server->lock_table;
$connection = $server->connect;
$connection->send(http_message('POST', '/events', body => visit(), with_id('gone')));
is($server->wait_for_staged(1), 1, 'a client that waits');
setsockopt $connection->{socket}, SOL_SOCKET, SO_LINGER, pack('ii', 1, 0);
$connection->close;
$lock->quit;
is_entry(entry('gone'), 'and gave up', status => 202, sent => 'no', events => 1, rejected => 0);

# Requests that libmicrohttpd rejects by itself are logged, but the answer carries no id

$connection = $server->connect;
$connection->send("POST /events HTTP/1.1\r\nHost: x\r\nX-Request-Id: chunks\r\nTransfer-Encoding: chunked\r\n\r\n$private\r\n");
my $answer = $connection->read_answer;
is($answer->{status}, 400, 'chunks that are none');
is_entry(entry('chunks'), 'have a line', status => 400, sent => 'yes', route => '/events');

# No client can break a line of the log

$connection = $server->connect;
$connection->send("GET /health HTTP/1.1\r\nHost: x\r\nX-Request-Id: cut\nLOG:  00000: fast_ingest request id=forged\r\n\r\n");
is($connection->read_answer->{status}, 400, 'an id with a line feed');
is(entry('cut')->{status}, 400, 'is cut there');
$connection = $server->connect;
$connection->send("GET /health HTTP/1.1\r\nHost: x\r\nX-Request-Id: fold\r\n LOG:  00000: fast_ingest request id=forged\r\n\r\n");
is($connection->read_answer->{status}, 400, 'a folded one');

# Slow ones

set_level('slow', 'fast_ingest.log_min_duration_request' => '200ms');
$lock = $server->lock_table;
my $sent_at = time;
$connection = $server->connect;
$connection->send(http_message('POST', '/events', body => visit(), with_id('slow')));
is($server->wait_for_staged(1), 1, 'a request waits for a lock');
my $staged_at = time;
wait_until(sub { time > $staged_at + 0.3 });
my $waited = time - $staged_at;
$lock->quit;
is($connection->read_answer->{status}, 202, 'and is answered');
my $took = time - $sent_at;
$entry = entry('slow');
ok($entry->{commit_ms} >= $waited * 1000 && $entry->{commit_ms} <= $took * 1000, 'commit_ms is what it waited')
  or diag("$waited to $took: ", explain($entry));
ok($entry->{duration_ms} >= $entry->{commit_ms} && $entry->{staged_ms} < $took * 1000 - $entry->{commit_ms}, 'and part of the duration')
  or diag(explain($entry));

# Each level has those before it, and no more

my %levels = (off => '', errors => 'failed', slow => 'failed', all => 'failed quick');
foreach my $level ('errors', 'all', 'slow', 'off')
{
	set_level($level, 'fast_ingest.log_min_duration_request' => '1h');
	$server->get('/health', with_id("$level.quick"));
	$server->get('/nowhere', with_id("$level.failed"));
	$server->get('/health', with_id("$level.quick"));
	$server->get('/nowhere', with_id("$level.failed"));
}
set_level('slow', 'fast_ingest.log_min_duration_request' => '0');
$server->get('/health', with_id('slow.0'));
is(entry('slow.0')->{status}, 200, 'from 0 ms on every request is slow');
foreach my $level (sort keys %levels)
{
	foreach my $what ('quick', 'failed')
	{
		is((grep { $_->{id} eq "$level.$what" } entries()),
			$levels{$level} =~ $what ? 2 : 0, "$level: those that were $what");
	}
}

# Keys

my $key = $server->sql(q(SELECT fi_create_api_key('shop')));
my $other_key = $key =~ s/.$/$&^"\x01"/er;
set_level('all', 'fast_ingest.require_api_key' => 'on');
my $shop = $server->sql('SELECT id FROM fi_api_keys()');
foreach my $right ([ [ 'Authorization', "Bearer $key" ], '' ], [ [ 'X-API-Key', $key ], '' ], [ [], "?key=$key" ])
{
	is_logged(202, [ 'POST', "/events$right->[1]", body => visit(), headers => $right->[0] ], key => $shop);
}
is_logged(401, [ 'POST', '/events', body => visit() ], key => '-', bytes => length encode_json(event($nevents, user_id => "$private-$nevents")));
is_logged(401, [ 'POST', '/events', body => visit(), headers => [ 'Authorization', "Bearer $_" ] ], key => '-')
  foreach $other_key, $private;
is_logged(401, [ 'POST', "/events?key=$other_key", body => visit() ], key => '-');
is_logged(403, [ 'GET', '/metrics?event_name=x', headers => [ 'X-API-Key', $key ] ], key => $shop);
is_logged(401, [ 'GET', "/metrics?event_name=x&key=$key" ], key => '-');
is_logged(404, [ 'GET', "/$key?key=$key" ], key => '-');

# Limits of rate and time

set_level('all', 'fast_ingest.require_api_key' => 'off', 'fast_ingest.rate_limit_per_client' => 1, 'fast_ingest.rate_limit_burst' => '1000s');
$answer = $server->wait_for_answer(429, sub { $server->post_bulk([ map { visit() } 1 .. 200 ]) });
is_entry(entry(id($answer)), 'too many', status => 429, events => $answer->{status} eq 429 ? entry(id($answer))->{rejected} : -1, staged_ms => '-');
set_level('all', 'fast_ingest.rate_limit_per_client' => 0, 'fast_ingest.request_timeout' => '1s');
$lock = $server->lock_table;
my ($late) = $server->send_events(visit());
$connection = $server->connect;
$connection->send(substr http_message('POST', '/events', body => visit(), with_id('late')), 0, -5);
is($connection->read_answer->{status}, 408, 'half a request');
is_entry(entry('late'), 'is logged', status => 408, sent => 'yes', route => '/events', events => 0);
$answer = $late->read_answer;
is($answer->{status}, 503, 'not committed in time');
is_entry(entry(id($answer)), 'is logged', status => 503, sent => 'yes', events => 1, commit_ms => '-');
$lock->quit;
set_level('all', 'fast_ingest.request_timeout' => '30s');

# JSON

SKIP:
{
	skip 'PostgreSQL 14 has no jsonlog', 3 unless $json_is_known;

	my @of_requests;

	ok( wait_until(
			sub {
				my @lines = map { JSON::PP->new->utf8->decode($_) }
				  slurp_file($server->node->data_dir . '/log/server.json') =~ /^(.*)\n/mg;

				@of_requests = grep { ($_->{message} || '') =~ /\Afast_ingest request id=/ } @lines;
				return @of_requests == entries();
			}),
		'jsonlog has the same lines');
	my %kinds = map { $_->{backend_type} . ' ' . $_->{error_severity} => 1 } @of_requests;
	is(join(', ', keys %kinds), 'fast_ingest listener LOG', 'of the listener');
	is((grep { $_->{statement} || $_->{context} || $_->{detail} } @of_requests), 0, 'and nothing besides');
}

# Several listeners, and another start

$server->sql('ALTER SYSTEM SET fast_ingest.listeners = 2');
$server->restart;
my @connections;
my %ids = ($prefix => undef);
ok( wait_until(
		sub {
			push @connections, $server->connect;
			$connections[-1]->send(http_message('GET', '/health'));

			my $id = id($connections[-1]->read_answer);
			$ids{ substr $id, 0, 16 } = $id;
			return keys %ids == 3;
		}),
	'each listener, and each start, has ids of its own');
is(entry($_)->{status}, 200, 'logged by either') foreach grep { defined } values %ids;

# A listener that has to end at once

set_level('all', 'fast_ingest.drain_timeout' => 0);
$lock = $server->lock_table;
($late) = $server->connect;
$late->send(http_message('POST', '/events', body => visit(), with_id('abandoned')));
is($server->wait_for_staged(1), 1, 'a request waits');

# a client that sends more requests than it reads answers
my $reader = $server->connect;
my $written = 0;
setsockopt $reader->{socket}, SOL_SOCKET, SO_RCVBUF, 4096;
syswrite $reader->{socket}, http_message('GET', '/openapi.json', with_id('unread')) x 400;
ok( wait_until(
		sub {
			my $before = $written;

			$written = grep { $_->{id} eq 'unread' } entries();
			return $written > 0 && $written == $before;
		}),
	'another one is being answered');
$server->sql(q(SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'fast_ingest listener'));
is($late->read_answer->{status}, 503, 'its listener does not');
is_entry(entry('abandoned'), 'which is logged', status => 503, sent => 'yes', commit_ms => '-');
ok(wait_until(sub { grep { $_->{id} eq 'unread' && $_->{sent} eq 'no' } entries() }), 'and so is the other one');
$lock->quit;
$server->wait_ready;
$server->books_balance;

# What the server says of a worker that dies

is($server->get("/metrics?event_name=$private")->{status}, 200, 'a query');
kill 'KILL', $server->worker_pid('query');
ok(wait_until(sub { slurp_file($log) =~ /DETAIL:  Failed process was running: GET \/metrics$/m }), 'its worker is killed');
$server->wait_ready;
$server->node->stop;

# One line for each request, and no data of users

my %lines;
$lines{ $_->{id} }++ foreach entries();
is((grep { $lines{$_} > 1 && !/\A(\w+\.(quick|failed)|unread)\z/ } keys %lines), 0, 'no request has two lines')
  or diag(join ' ', grep { $lines{$_} > 1 } keys %lines);
is((grep { exists $_->{'?'} || keys %$_ != 14 } entries()), 0, 'every line is whole');
my @secrets = ($private, uc $private, substr($key, 16), substr($other_key, 16));
foreach my $file ($server->node->logfile, glob $server->node->data_dir . '/log/*')
{
	my $text = slurp_file($file);

	is(join(' ', grep { index($text, $_) >= 0 } @secrets), '', 'nothing private in ' . $file =~ s{.*/}{}r)
	  or diag((grep { /$private/i } split /\n/, $text)[0]);
}

done_testing();
