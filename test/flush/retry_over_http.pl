# POST /dead_letters/retry stores what the database refused, once its cause is gone: each letter once,
# counted once. Only an administrator's key may ask, and no page of another website can: the body must
# be named JSON, which a browser asks about first. What is not a request for a retry is refused with
# the reason, and nothing is retried. Letters of streams are sent again.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use FastIngest;
use FastIngest::Query;
use FastIngest::Streams;
use FastIngest::Webhook;
use PostgreSQL::Test::Utils;
use Test::More;

my $server = FastIngest::Streams->new('retry', streams => 1, conf => <<'EOC');
hot_standby = on
fast_ingest.refresh_backlog = 0
EOC
my $n = 0;

sub refuse
{
	$server->sql(q{ALTER TABLE fast_ingest.events ADD CONSTRAINT no_bots CHECK (user_id NOT LIKE 'bot%') NOT VALID});
	return;
}

sub refuse_no_more { $server->sql('ALTER TABLE fast_ingest.events DROP CONSTRAINT no_bots'); return }

sub bury
{
	my ($count) = @_;
	my @bots = map { ++$n; event($n, user_id => "bot-$n") } 1 .. $count;

	is(join(' ', map { $server->post_event($_)->{status} } @bots), join(' ', (422) x $count), "$count events are refused");
	return @bots;
}

# Numbers, not texts of digits
sub letters { return [ map { $_ + 0 } split /\n/, $server->sql('SELECT id FROM fast_ingest.dead_letters ORDER BY id') ] }

sub retry
{
	my ($body, %opt) = @_;

	return $server->post('/dead_letters/retry', $body, %opt);
}

# retried|stored|duplicates|failed|left
sub counts
{
	my ($answer) = @_;

	return $answer->{status} eq 200 ? join('|', @{ $answer->{json} }{qw(retried stored duplicates failed left)}) : "$answer->{status} $answer->{body}";
}

my %all = (all => JSON::PP::true);

# ---------------------------------------------------------------------------
# Letters of the table
# ---------------------------------------------------------------------------

ok(wait_for_query_worker($server), 'the query worker answers');
is(counts(retry({%all})), '0|0|0|0|0', 'there is nothing to retry');
refuse();
my @bots = bury(4);
is(counts(retry({%all})), '4|0|0|4|4', 'the database refuses all again');
is($server->sql('SELECT string_agg(attempts::text, $$ $$) FROM fast_ingest.dead_letters'), '2 2 2 2', 'each was tried');
is($server->count, 0, 'none is stored');
refuse_no_more();
my @ids = @{ letters() };
is(counts(retry({ ids => [ @ids[ 1, 2 ], 999999 ] })), '2|2|0|0|2', 'two of them, and one that there is not');
is(join(' ', @{ letters() }), "@ids[0, 3]", 'the others are left');
is($server->post_event($bots[0])->{status}, 202, 'a client sends one again');
# of the events that were taken last, the flusher tries one when all are refused
is($server->post_event(event(9000))->{status}, 202, 'an event like others');
is(counts(retry({%all})), '2|1|1|0|0', 'it is a duplicate');
is($server->count, 5, 'every event is stored once');
is($server->sql(q{SELECT total_events || '|' || unique_users FROM fi_metrics('page_view')}), '5|5', 'and counted once');
$server->sql('SELECT fi_refresh()');
is($server->wrong_metrics, '', 'also in the rollup');

# Some are refused for ever; of many, ten thousand are tried at once
refuse();
bury(1);
$server->sql(<<"EOQ");
INSERT INTO fast_ingest.dead_letters (sqlstate, message, event)
SELECT '22000', 'by hand', jsonb_build_object('event_name', 'page_view', 'channel', 'web', 'user_id', 'many', 'ts', to_timestamp($NOON + i)) FROM generate_series(1, 10001) i
EOQ
is(counts(retry({%all})), '10000|9999|0|1|3', 'ten thousand at once, one of which is refused again');
is(counts(retry({%all})), '3|2|0|1|1', 'then the rest');
$server->sql('DELETE FROM fast_ingest.dead_letters');
refuse_no_more();

# Those of one reason, whatever their partition
refuse();
bury(3);
my $reasons = $server->get('/status')->{json}{dead_letters}{reasons};
is(join(' ', map { "$_->{sqlstate} $_->{count}" } @$reasons), '23514 3', 'a reason');
my %those = (%all, map { $_ => $reasons->[0]{$_} } qw(sqlstate reason));
refuse_no_more();
$server->sql(q(UPDATE fast_ingest.dead_letters SET message = 'another' WHERE id = (SELECT min(id) FROM fast_ingest.dead_letters)));
is(counts(retry({ %those, sqlstate => '23505' })), '0|0|0|0|3', 'none has it with this code');
is(counts(retry({ %those, reason => 'no_bots' })), '0|0|0|0|3', 'none has a part of it as its reason');
is(counts(retry({%those})), '2|2|0|0|1', 'those that have it');
is(counts(retry({ %all, sqlstate => '23514' })), '1|1|0|0|0', 'those of a code');

# Beside load
refuse();
bury(20);
refuse_no_more();
my $before = $server->count;
my $load = $server->start_load(clients => 2);
ok($load->wait_for_acknowledgements(50), 'events come in');
is(counts(retry({%all})), '20|20|0|0|0', 'a retry beside them');
$load->stop;
$server->stored_once($load, 'beside');

# A retry that cannot be done is undone: another session has the partition
refuse();
bury(2);
refuse_no_more();
$server->set('fast_ingest.query_timeout' => '1s');
my $lock = $server->lock_table('fast_ingest.events');
is_error(retry({%all}), 503, qr/not answered within fast_ingest.query_timeout/, 'a retry that takes too long');
$lock->quit;
ok($server->sql("SELECT count(*) = 2 AND bool_and(attempts = 1) FROM fast_ingest.dead_letters"), 'has not happened');
$server->set('fast_ingest.query_timeout' => '10s');
is($server->wait_for_answer(200, sub { retry({%all}) })->{json}{left}, 0, 'it is done later');

# ---------------------------------------------------------------------------
# What is no request for a retry
# ---------------------------------------------------------------------------

refuse();
bury(1);
refuse_no_more();
foreach (
	[ '', qr/body is not JSON: The input string ended unexpectedly\. Expected \{"ids":\[1,2\]\} or \{"all":true\}/ ],
	[ '{', qr/body is not JSON/ ],
	[ '{"all":true} x', qr/body is not JSON: .*"x"/ ],
	[ '{"all":"\\u0000"}', qr/body is not JSON/ ],
	[ '[' x 10000, qr/body is not JSON/ ],
	[ '[]', qr/body is not allowed: expected \{"ids"/ ],
	[ 'true', qr/body is not allowed: expected \{"ids"/ ],
	[ '{}', qr/body with neither ids nor all is not allowed/ ],
	[ '{"stream":"x"}', qr/body with neither ids nor all/ ],
	[ '{"all":true,"ids":[1]}', qr/body with both ids and all is not allowed/ ],
	[ '{"all":false}', qr/all is not allowed: expected true/ ],
	[ '{"all":1}', qr/all is not allowed: expected true/ ],
	[ '{"ids":1}', qr/ids is not allowed: expected an array of numbers/ ],
	[ '{"ids":{"1":1}}', qr/ids is not allowed: expected an array of numbers/ ],
	[ '{"ids":[]}', qr/ids with 0 numbers is not allowed: expected 1 to 1000, or "all":true/ ],
	[ '{"ids":[' . join(',', 1 .. 1001) . ']}', qr/ids with 1001 numbers is not allowed/ ],
	[ '{"ids":[0]}', qr/ids with 0 is not allowed: expected whole numbers from 1/ ],
	[ '{"ids":[-1]}', qr/ids with -1 is not allowed/ ],
	[ '{"ids":[1.5]}', qr/ids with 1.5 is not allowed/ ],
	[ '{"ids":[9223372036854775808]}', qr/ids with 9223372036854775808 is not allowed/ ],
	[ '{"ids":["1"]}', qr/ids is not allowed: expected whole numbers/ ],
	[ '{"ids":[[1]]}', qr/ids is not allowed: expected whole numbers/ ],
	[ '{"ids":[null]}', qr/ids is not allowed: expected whole numbers/ ],
	[ '{"all":true,"reason":1}', qr/reason is not allowed: expected the reason of dead letters/ ],
	[ '{"ids":[1],"reason":"x"}', qr/sqlstate or reason with ids or a stream is not allowed: expected them with "all":true/ ],
	[ '{"stream":"x","all":true,"sqlstate":"x"}', qr/sqlstate or reason with ids or a stream is not allowed/ ],
	[ '{"stream":1,"all":true}', qr/stream is not allowed: expected the name of a stream/ ],
	[ '{"stream":"nothing","all":true}', qr/stream "nothing" is not allowed: expected the name of a stream/ ],
	[ '{"where":"id > 0"}', qr/unknown member "where" is not allowed/ ],
	[ '{"x' . "\xc3\xa4" x 31 . '":1}', qr/unknown member "x(?:\x{e4}|\xc3\xa4){29}" is not allowed/ ],
	[ '{"stream":"x' . "\xc3\xa4" x 31 . '","all":true}', qr/stream "x(?:\x{e4}|\xc3\xa4){29}" is not allowed/ ],
	[ "{\"all\":true,\"\xff\":1}", qr/body is not text in UTF-8/ ],
	[ "{\"all\":true}\0", qr/body is not text in UTF-8/ ])
{
	my ($body, $expected) = @$_;

	is_error(retry($body), 400, $expected, 'refused: ' . substr $body, 0, 40);
}
is_error(retry(' ' x 65536 . '{"all":true}'), 413, qr/body is longer than 65536 bytes/, 'a long body');
is_error($server->post('/dead_letters/retry?all=true', '{"all":true}'), 400, qr/parameters are not allowed: expected a body/, 'parameters');
is_error($server->get('/dead_letters/retry'), 405, qr/expected POST/, 'GET');

# Another website: what a form or a script can send without the browser's asking first
foreach my $type ('text/plain', 'text/plain;charset=UTF-8', 'application/x-www-form-urlencoded', 'multipart/form-data; boundary=x', 'application/x-ndjson', 'application/jsonx', 'text/plain; application/json', '')
{
	is_error(retry('{"all":true}', headers => [ 'Content-Type', $type, 'Origin', 'http://evil.example' ]),
		415, qr/Content-Type ".*" is not supported: expected application\/json, in UTF-8/, "Content-Type \"$type\"");
}
my @preflight = ('Origin', 'http://evil.example', 'Access-Control-Request-Method', 'POST', 'Access-Control-Request-Headers', 'content-type');
my $asked = $server->request('OPTIONS', '/dead_letters/retry', headers => [@preflight]);
is_error($asked, 403, qr/Origin "http:\/\/evil.example" is not one of fast_ingest.cors_origins/, 'a browser that asks is told no');
is($asked->{headers}{'access-control-allow-origin'}, undef, 'in its own words, too');
is($server->sql('SELECT count(*) FROM fast_ingest.dead_letters WHERE attempts = 1'), 1, 'nothing was retried');

# ---------------------------------------------------------------------------
# Who may
# ---------------------------------------------------------------------------

my %keys = map { $_->[0] => $server->sql("SELECT fi_create_api_key('$_->[0]', $_->[1])") } (
	[ admin => q('{admin}') ],
	[ others => q('{read,write}') ],
	[ site => q('{admin}', site_ids => '{shop}') ],
	[ channel => q('{admin}', channels => '{web}') ]);

sub as { return retry({%all}, headers => [ 'X-API-Key' => $keys{ $_[0] }, 'Content-Type' => 'application/json' ]) }

$server->set('fast_ingest.require_api_key' => 'on');
$server->wait_for_answer(401, sub { $server->get('/metrics') });
is_error(retry({%all}), 401, qr/an API key is needed/, 'nobody without a key');
is_error($server->post("/dead_letters/retry?key=$keys{admin}", '{"all":true}'), 401, qr/an API key is needed/, 'nor with one in the address');
is_error(as('others'), 403, qr/has not the scope "admin"/, 'nor with a key that reads and writes');
is_error(as('site'), 403, qr/for some websites only: POST \/dead_letters\/retry is about all/, 'nor with one for a website');
is_error(as('channel'), 403, qr/for some channels only/, 'nor with one for a channel');
is(scalar @{ letters() }, 1, 'nothing was retried');
is(counts(as('admin')), '1|1|0|0|0', 'an administrator');
$server->set('fast_ingest.require_api_key' => 'off');
$server->wait_for_answer(200, sub { retry({%all}) });

# ---------------------------------------------------------------------------
# The worker's other work
# ---------------------------------------------------------------------------

is($server->get('/metrics?event_name=page_view')->{status}, 200, 'the worker answers questions');
is($server->sql(q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'fast_ingest query' AND query LIKE '%bot%'}), 0, 'and shows no event');

# An export keeps the worker's transaction read-only
$server->sql(qq{INSERT INTO fast_ingest.events (event_name, channel, user_id, ts) SELECT repeat('x', 150), 'web', repeat('y', 150), to_timestamp($NOON + i % 40000) FROM generate_series(1, 60000) i});
my $export = send_query($server, '/export');
ok(wait_until(sub { $server->sql("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'fast_ingest query' AND query = 'GET /export' AND state = 'active'") }), 'an export is made');
is_error(retry({%all}), 503, qr/the query worker is making an export: try again when that has ended/, 'meanwhile nothing is retried');
is($server->get('/metrics')->{status}, 200, 'though questions are answered');
$export->close;
is($server->wait_for_answer(200, sub { retry({%all}) })->{status}, 200, 'then it is');

# A user's trigger that fails, whose error quotes an event
$server->sql(<<'EOQ');
CREATE FUNCTION complain() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN EXECUTE format('SELECT %I', NEW.user_id); RETURN NEW; END$$;
CREATE TRIGGER complain BEFORE INSERT ON fast_ingest.events FOR EACH ROW WHEN (NEW.user_id LIKE 'bot%') EXECUTE FUNCTION complain();
INSERT INTO fast_ingest.dead_letters (sqlstate, message, event) VALUES ('22000', 'by hand', '{"event_name": "page_view", "channel": "web", "user_id": "bot-x", "ts": "2024-08-12T12:00:00Z"}');
EOQ
is_error(retry({%all}), 503, qr/^error 42703$/, 'the error of a trigger is not shown');
is($server->sql('SELECT attempts FROM fast_ingest.dead_letters'), 1, 'nothing was done');
unlike(PostgreSQL::Test::Utils::slurp_file($server->node->logfile), qr/fast_ingest[^\n]*bot-x/, 'nor is it in the log');
$server->sql('DROP TRIGGER complain ON fast_ingest.events; DELETE FROM fast_ingest.dead_letters');

# A trigger's settings end with the retry
$server->sql(<<'EOQ');
CREATE FUNCTION set_read_only() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN PERFORM set_config('default_transaction_read_only', 'on', false); RETURN NEW; END$$;
CREATE TRIGGER set_read_only BEFORE INSERT ON fast_ingest.events FOR EACH ROW EXECUTE FUNCTION set_read_only();
INSERT INTO fast_ingest.dead_letters (sqlstate, message, event) VALUES ('22000', 'by hand', '{"event_name": "page_view", "channel": "web", "user_id": "x", "ts": "2024-08-12T12:00:00Z"}');
EOQ
is(counts(retry({%all})), '1|1|0|0|0', 'a retry with a trigger that makes the session read-only');
$server->sql('DROP TRIGGER set_read_only ON fast_ingest.events');
is(counts(retry({%all})), '0|0|0|0|0', 'and another one');

# Others may make functions of the same name in the schema of the extension
$server->sql(<<'EOQ');
CREATE FUNCTION fi_retry_dead_letters(ids bigint[], max_rows bigint, OUT retried bigint, OUT stored bigint, OUT duplicates bigint, OUT failed bigint)
	LANGUAGE sql AS 'SELECT 6::bigint, 6::bigint, 6::bigint, 6::bigint';
EOQ
is(counts(retry({%all})), '0|0|0|0|0', 'they are not called');
$server->sql('DROP FUNCTION fi_retry_dead_letters(bigint[], bigint)');

# A role with few rights
my $login = $server->major_version >= 17 ? 'NOLOGIN' : 'LOGIN';
$server->sql("CREATE ROLE ingest NOSUPERUSER $login; SELECT fi_grant_ingest('ingest')");
$server->node->append_conf('postgresql.conf', "fast_ingest.role = 'ingest'");
$server->restart;
ok(wait_for_query_worker($server), 'the query worker has few rights');
is($server->post_event(event(9001))->{status}, 202, 'an event like others');
refuse();
bury(2);
is(counts(retry({%all})), '2|0|0|2|2', 'it retries');
refuse_no_more();
is(counts(retry({%all})), '2|2|0|0|0', 'and stores');

# ---------------------------------------------------------------------------
# Letters of a stream, and a standby
# ---------------------------------------------------------------------------

my $hook = FastIngest::Webhook->new;
$server->create_stream('hook', 'webhook', $hook->url);
ok($server->wait_for_state('hook', 'running'), 'a stream runs');
$server->sql(q{INSERT INTO fast_ingest.stream_dead_letters (stream_id, lsn, n, reason, event) SELECT id, '0/1', i, 'no', '{"id":"' || i || '"}' FROM fast_ingest.streams, generate_series(1, 3) i});
my $first = $server->sql('SELECT min(id) FROM fast_ingest.stream_dead_letters');
is_deeply(retry({ stream => 'hook', ids => [ $first + 0 ] })->{json}, { retried => 1 }, 'a letter of a stream');
ok(wait_until(sub { $server->sql('SELECT count(*) FROM fast_ingest.stream_dead_letters') == 2 }), 'is sent');
is_deeply(retry({ stream => 'hook', %all })->{json}, { retried => 2 }, 'and the others');
ok(wait_until(sub { $server->sql('SELECT count(*) FROM fast_ingest.stream_dead_letters') == 0 }), 'are, too');

my $standby = $server->standby('retry_standby');
ok(wait_for_query_worker($standby), 'a standby answers questions');
is_error($standby->post('/dead_letters/retry', {%all}), 503, qr/the server is a standby: it stores no events before it is promoted/, 'and retries nothing');

$server->books_balance;
done_testing();
