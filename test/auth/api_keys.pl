# With fast_ingest.require_api_key nobody gets in without a key, a key permits what it was made
# for and nothing else, and a change of the keys is in force as soon as it is committed,
# whatever the workers are doing.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use FastIngest;
use PostgreSQL::Test::Utils;
use Test::More;

my $server = FastIngest->new('keys', conf => "fast_ingest.max_api_keys = 20\nmax_prepared_transactions = 2\nsynchronous_commit = local\nwal_level = replica\nmax_wal_senders = 2\nsynchronous_standby_names = nobody");
my $n = 0;
my $offset;

sub bearer { return (headers => [ 'Authorization', "Bearer $_[0]", @_[ 1 .. $#_ ] ]) }
sub x_api_key { return (headers => [ 'X-API-Key', @_ ]) }
sub post { return $server->post_event(event(++$n), @_) }
sub status { return $_[0]->{status} }

sub create
{
	my ($arguments) = @_;

	return $server->sql("SELECT fi_create_api_key($arguments)");
}

sub refused
{
	my ($query, $sqlstate, $pattern, $name) = @_;
	my ($result, $stdout, $stderr) =
	  $server->node->psql('postgres', "\\set VERBOSITY verbose\n$query");

	like($stderr, qr/ERROR:  $sqlstate: .*$pattern/s, $name);
	return;
}

# Off, which is the default: nobody checks keys

is(status(post()), 202, 'off: no key');
is(status(post(bearer('nonsense'))), 202, 'off: any key');
is($server->get('/key', bearer('nonsense'))->{body}, '{"require_api_key":false,"scopes":null,"sites":null,"channels":null}',
	'off: GET /key says so');

# Keys can be created before they are required

my $writer = create("'writer'");
my $reader = create("'reader', '{read}'");
my $both = create("'both', '{write,read}'");
my $admin = create("'admin', '{admin}'");

like($writer, qr/\Afi_[0-9a-f]{12}_[0-9a-f]{64}\z/, 'a key has an id and 256 bits');
isnt($writer, $both, 'and is another each time');
is($server->sql("SELECT secret_hash = sha256('$writer') FROM fast_ingest.api_keys WHERE name = 'writer'"),
	't', 'its SHA-256 is stored');
unlike($server->sql('SELECT k::text FROM fast_ingest.api_keys k'), qr/\Q@{[substr $writer, -64]}\E/,
	'it is not');
unlike($server->sql('SELECT k::text FROM fi_api_keys() k'), qr/\\\\x/, 'fi_api_keys() shows no hash');
is($server->sql('SELECT name, scopes FROM fi_api_keys()'),
	"admin|{admin}\nboth|{write,read}\nreader|{read}\nwriter|{write}", 'it shows what they are for');

$server->set('fast_ingest.require_api_key' => 'on');
$server->wait_for_answer(401, \&post);

# Without a key, or with a wrong one

my $answer = post();

is_error($answer, 401, qr/Authorization: Bearer.*X-API-Key.*parameter key/, 'no key');
is($answer->{headers}{'www-authenticate'}, 'Bearer realm="fast_ingest"', 'no key: what is asked for');
foreach my $wrong ('', 'x', substr($writer, 0, -1), "${writer}0", uc $writer, $writer =~ s/.\z/g/r,
	substr($writer, 0, 16) . substr($both, 16),
	$writer =~ s/(.)\z/$1 eq '0' ? '1' : '0'/er)
{
	$answer = post(bearer($wrong));
	is_error($answer, 401, qr/\Athe API key is not valid\z/, "wrong key '" . substr($wrong, 0, 6) . "...'");
	is($answer->{headers}{'www-authenticate'}, 'Bearer realm="fast_ingest", error="invalid_token"',
		'and what is wrong');
}
is_error($server->get('/metrics?event_name=page_view'), 401, qr/X-API-Key: \.\.\."\z/, 'GET /metrics');
is_error($server->get('/stats?site_id=x'), 401, qr/./, 'GET /stats');
is_error($server->post_bulk([ event(++$n) ]), 401, qr/./, 'POST /events/bulk');
is_error($server->post('/event', { site_id => 's', event_type => 't' }), 401, qr/./, 'POST /event');
is_error($server->post_event('not JSON at all'), 401, qr/./, 'the body is not looked at');
is_error($server->get('/nothing'), 404, qr/./, 'a path that is not there');

my $connection = $server->connect;

$connection->send("POST /events HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 1000000\r\n\r\n");
is($connection->read_answer->{status}, 401, 'the body is not waited for');
is(status($server->get($_)), 200, "$_ needs none") foreach qw(/health /ready /openapi.json /docs /);

# What a key may do

is($server->get('/key', bearer($reader))->{body}, '{"require_api_key":true,"scopes":["read"],"sites":null,"channels":null}', 'GET /key: one scope');
is($server->get('/key', x_api_key($both))->{body}, '{"require_api_key":true,"scopes":["write","read"],"sites":null,"channels":null}', 'two');
is($server->get('/key', bearer($admin))->{json}{scopes}[0], 'admin', 'any key may ask');
is($server->get('/key', bearer($admin))->{headers}{'cache-control'}, 'no-store', 'and nobody keeps the answer');
is_error($server->get('/key'), 401, qr/X-API-Key: \.\.\."\z/, 'none may not');
is_error($server->get("/key?key=$reader"), 401, qr/an API key is needed/, 'nor one in the URL, which is in logs');
is_error($server->get('/key', bearer("${reader}0")), 401, qr/\Athe API key is not valid\z/, 'nor a wrong one');

# The three ways to send a key

is(status(post(bearer($writer))), 202, 'Authorization: Bearer');
is(status(post(headers => [ 'Authorization', "bearer  $writer" ])), 202, 'bearer, in small letters');
is(status(post(x_api_key($writer))), 202, 'X-API-Key');
is(status(post(headers => [ 'Authorization', 'Basic eDp5', 'X-API-Key', $writer ])), 202,
	'X-API-Key beside a proxy\'s own Authorization');
is(status($server->post("/events?key=$writer", event(++$n))), 202, '?key=');
is(status($server->post("/events/bulk?key=$writer&atomic=true", [ event(++$n) ])), 202, '?key= with another parameter');
is_error($server->get("/metrics?event_name=page_view&key=$both"), 401, qr/./, '?key= is for writing only');
is_error($server->post("/events?key=$writer", event(++$n), bearer('x')), 401, qr/./, 'a header comes before it');

# Scopes

is_error(post(bearer($reader)), 403, qr/scope "write"/, 'read: POST /events');
is(status($server->get('/metrics?event_name=page_view', bearer($reader))), 200, 'read: GET /metrics');
is(status($server->get('/stats?site_id=x', bearer($reader))), 200, 'read: GET /stats');
is_error($server->get('/metrics?event_name=page_view', bearer($writer)), 403, qr/scope "read"/, 'write: GET /metrics');
is_error($server->get('/stats?site_id=x', x_api_key($writer)), 403, qr/scope "read"/, 'write: GET /stats');
is_error(post(bearer($admin)), 403, qr/scope "write"/, 'admin does not include write');
is_error($server->get('/metrics?event_name=page_view', bearer($admin)), 403, qr/scope "read"/, 'nor read');
is(status(post(bearer($both))), 202, 'both: POST');
is(status($server->get('/metrics?event_name=page_view', bearer($both))), 200, 'both: GET');

# Restrictions

my $shop = create(q('shop', '{write,read}', '{shop,café}', '{web,mobile}'));
is_deeply($server->get('/key', bearer($shop))->{json},
	{ require_api_key => JSON::PP::true, scopes => [ 'write', 'read' ], sites => [ "caf\x{e9}", 'shop' ], channels => [ 'mobile', 'web' ] },
	'GET /key: what it is restricted to');

is(status(post(bearer($shop))), 403, 'no site_id');
is_error($server->post_event(event(++$n), bearer($shop)), 403, qr/site_id is missing/, 'no site_id: it is named');
is(status($server->post_event(event(++$n, site_id => 'shop'), bearer($shop))), 202, 'its site_id');
is(status($server->post_event(event(++$n, site_id => "caf\x{e9}"), bearer($shop))), 202, 'its other one');
foreach my $other ('sho', 'shopx', 'Shop')
{
	is_error($server->post_event(event(++$n, site_id => $other), bearer($shop)), 403,
		qr/site_id "\Q$other\E" is not allowed/, "site_id '$other'");
}
is_error($server->post_event(event(++$n, site_id => 'shop', channel => 'api'), bearer($shop)), 403,
	qr/channel "api" is not allowed/, 'another channel');
is_error($server->post_event(event(++$n, site_id => 'shop', user_id => ''), bearer($shop)), 400,
	qr/user_id/, 'an event that is not valid at all');
is(status($server->post('/event', { site_id => 'shop', event_type => 't' }, bearer($shop))), 204, 'POST /event');
is_error($server->post('/event', { site_id => 'x', event_type => 't' }, bearer($shop)), 403, qr/site_id "x"/,
	'POST /event of another website');

is(status($server->post_event(event(++$n, site_id => ''), bearer($shop))), 400, 'a site_id that is none');

my @mixed = (
	event(++$n, site_id => 'shop'),
	event(++$n, site_id => 'other'),
	event(++$n, site_id => 'shop', channel => 'api'),
	event(++$n, site_id => 'shop', channel => 'mobile'));
my $before = $server->count;

$answer = $server->post_bulk(\@mixed, bearer($shop));
is($answer->{status}, 202, 'bulk: some are allowed');
is_deeply([ map { $_->{index} } @{ $answer->{json}{errors} } ], [ 1, 2 ], 'bulk: the others are errors');
like($answer->{json}{errors}[0]{error}, qr/site_id "other" is not allowed for the API key/, 'bulk: which say why');
is($server->count, $before + 2, 'bulk: only those that are allowed are stored');
is(status($server->post_bulk(\@mixed, query => 'atomic=true', bearer($shop))), 400, 'bulk, atomic: all or nothing');

# Questions: a key for some websites or channels must name them

# An answer, as a status and what the error says
sub asked
{
	my ($key, $path) = @_;
	my $got = $server->get($path, bearer($key));

	return $got->{status} . ($got->{json}{error} ? " $got->{json}{error}" : '');
}

my $site = create(q('site', '{read}', '{shop,other,"a,b\\\\c"}'));
my $channel = create(q('channel', '{read}', channels => '{web,mobile}'));
my $add_site = '403 the API key is for some websites only: expected the parameter site with one or more of them';
my $add_channel = '403 the API key is for some channels only: expected the parameter channel with one or more of them';

foreach my $route (qw(/metrics /series /event_names))
{
	foreach my $ok ('site=shop', 'site=shop,other', 'site=a%5C,b%5C%5Cc', 'site=a%5C,b%5C%5Cc,shop', 'channel=api&site=other')
	{
		is(asked($site, "$route?$ok"), 200, "$route of its websites: $ok");
	}
	foreach my $wrong ('', 'site=', 'site=nobody', 'site=shop,nobody', 'site=shop,', 'site=,shop', 'site=shop%5C', 'site=a,b%5C%5Cc',
		'site_id=shop', 'SITE=shop', 'Site=shop&site=nobody', 'channel=web', 'site=%20shop', 'site=shop%5C,other', 'page=shop')
	{
		is(asked($site, "$route?$wrong"), $add_site, "$route of others: '$wrong'");
	}
	is(asked($channel, "$route?channel=$_"), 200, "$route of its channels: $_") foreach 'web', 'web,mobile', 'mobile&site=shop';
	is(asked($channel, "$route?$_"), $add_channel, "$route of other channels: '$_'")
	  foreach '', 'site=shop', 'channel=api', 'channel=web,api', 'CHANNEL=web', 'CHANNEL=web&channel=api', 'group_by=channel';
	like(asked($channel, "$route?channel=web&channel=api"), qr/400 .*more than once/, "$route of both, given twice");
	like(asked($site, "$route?site=shop&site=nobody"), qr/400 .*more than once/, "$route of a website, and another");
	is(asked($shop, "$route?channel=web&site=shop"), 200, "$route: a key for both");
	is(asked($shop, "$route?channel=web"), $add_site, "$route: and for no other website");
	is(asked($shop, "$route?site=shop"), $add_channel, "$route: and for no other channel");
}
is(asked($site, "/live?site=$_"), 200, "/live of its website: $_") foreach 'shop', 'a%5C,b%5C%5Cc';
is(asked($site, "/live?$_"), $add_site, "/live of others: '$_'") foreach '', 'site=nobody', 'top=1';
is(asked($channel, "$_=shop"), '403 the API key is for some channels only: GET ' . (split /\?/)[0] . ' is about all', $_)
  foreach '/live?site', '/stats?site_id', '/live?channel=web&site';
is(asked($site, '/stats?site_id=shop'), 200, '/stats of its website');
is(asked($site, "/stats?$_"), $add_site =~ s/parameter site/parameter site_id/r, "/stats of others: '$_'")
  foreach '', 'site_id=nobody', 'site_id=shop,other', 'site=shop', 'SITE_ID=shop&site_id=nobody';

my $browser = create(q('browser', origins => '{https://shop.example}'));

is(status(post(bearer($browser, 'Origin', 'https://shop.example'))), 202, 'its origin');
is_error(post(bearer($browser, 'Origin', 'https://shop.example.evil')), 403, qr/Origin/, 'another origin');
is_error(post(bearer($browser)), 403, qr/Origin/, 'no origin');

# Tenants: what one sends is never taken for what another one sent, whether the same
# idempotency key or the same content

my @tenants = map { create($_) } "'a'", "'b'", "'b too', tenant => 'b'";
my $uuid = '5d1f3a52-4c1b-4f0e-9a8e-0b6d3c2a1f00';

is($server->sql("SELECT name, tenant FROM fi_api_keys() WHERE name IN ('a', 'b', 'b too')"), "a|a\nb|b\nb too|b",
	'a tenant is called as its key, if nothing else is said');
foreach my $time ('first', 'again')
{
	foreach my $key (@tenants)
	{
		status($server->post_event(event(1, user_id => 'tenant text', idempotency_key => 'k'), bearer($key)));
		status($server->post_event(event(1, user_id => 'tenant uuid', idempotency_key => $uuid), bearer($key)));
		status($server->post_event(event(1, user_id => 'tenant header'), bearer($key, 'Idempotency-Key', 'h')));
		status($server->post_bulk([ event(1, user_id => 'tenant bulk') ], bearer($key, 'Idempotency-Key', 'h')));
		status($server->post_event(event(1, user_id => 'tenant content'), bearer($key)));
	}
	is($server->count("user_id = 'tenant $_'"), 2, "$time: $_, one event of each tenant")
	  foreach qw(text uuid header bulk content);
}

# A key that replaces another one keeps the scope by its name, or by its tenant

$server->sql("SELECT fi_revoke_api_key('a')");
foreach my $next ("'a'", "'renamed', tenant => 'a'")
{
	my $key = create($next);

	$server->post_event(event(1, user_id => 'tenant text', idempotency_key => 'k'), bearer($key));
	$server->post_event(event(1, user_id => 'tenant content'), bearer($key));
	is($server->count("user_id IN ('tenant text', 'tenant content')"), 4, "rotated: $next");
	$server->sql(q(SELECT fi_revoke_api_key(name) FROM fi_api_keys() WHERE tenant = 'a'));
}
$server->sql(q(UPDATE fast_ingest.api_keys SET tenant = 'c' WHERE name = 'b'));
$server->post_event(event(1, user_id => 'tenant text', idempotency_key => 'k'), bearer($tenants[1]));
is($server->count("user_id = 'tenant text'"), 3, 'another tenant is another scope, from the commit on');

# A dead letter keeps its event_key when it is retried: a resend is a duplicate

$server->sql("ALTER TABLE fast_ingest.events ADD CONSTRAINT none CHECK (user_id <> 'buried')");
my $buried = event(1, user_id => 'buried', idempotency_key => 'buried');
is(status($server->post_event($buried, bearer($tenants[1]))), 422, 'an event that the database refuses');
my $shown = $server->sql('SELECT event FROM fi_dead_letters()');
my $event_key = $server->sql('SELECT event_key FROM fi_dead_letters()');
$server->sql('ALTER TABLE fast_ingest.events DROP CONSTRAINT none');
my $operator = create(q('operator', '{write,admin}'));
is(status($server->post_event($shown, bearer($tenants[2]))), 202, 'another tenant may post it');
is($server->count("user_id = 'buried' AND event_key <> '$event_key'"), 1, '... as its own, under another event_key');
$server->sql("DELETE FROM fast_ingest.events WHERE user_id = 'buried'");
is(status($server->post_event($shown, bearer($operator))), 202, 'an operator posts it again');
is($server->count("user_id = 'buried' AND event_key = '$event_key'"), 1, '... as what it is');
is($server->sql('SELECT stored, duplicates FROM fi_retry_dead_letters()'), '0|1', '... so that a retry finds it');
$server->sql("DELETE FROM fast_ingest.events WHERE user_id = 'buried'; SELECT fi_revoke_api_key('operator')");
$server->sql("ALTER TABLE fast_ingest.events ADD CONSTRAINT none CHECK (user_id <> 'buried')");
is(status($server->post_event($buried, bearer($tenants[1]))), 422, 'it is refused once more');
$server->sql('ALTER TABLE fast_ingest.events DROP CONSTRAINT none');
is($server->sql('SELECT stored FROM fi_retry_dead_letters()'), 1, 'it is retried');
is(status($server->post_event($buried, bearer($tenants[$_]))), 202, "sent again by tenant $_") foreach 1, 2;
is($server->count("user_id = 'buried'"), 2, 'it is known of the tenant it is from');
$server->sql("SELECT fi_revoke_api_key(name) FROM fi_api_keys() WHERE name LIKE 'b%' AND name NOT IN ('both', 'browser')");

# A change is in force at commit: the maintenance worker may be busy for as long as it
# likes, here stopped

$server->pause($server->any_worker_pid('maintenance'));

my $late = create("'late'");

is(status(post(bearer($late))), 202, 'a key is valid from its commit on');
$server->sql("SELECT fi_revoke_api_key('late')");
is_error(post(bearer($late)), 401, qr/not valid/, 'and not any more from its revocation on');
$server->sql("UPDATE fast_ingest.api_keys SET scopes = '{read}' WHERE name = 'both'");
is_error(post(bearer($both)), 403, qr/scope "write"/, 'changed by hand');

my $uncommitted = $server->node->background_psql('postgres');
my $aborted = $server->sql("BEGIN; SELECT fi_create_api_key('aborted'); ROLLBACK");

is_error(post(bearer($aborted)), 401, qr/./, 'rolled back');
$uncommitted->query_safe('BEGIN');
my $open = $uncommitted->query_safe("SELECT fi_create_api_key('open')");
$uncommitted->query_safe("DELETE FROM fast_ingest.api_keys WHERE name = 'writer'");
is_error(post(bearer($open)), 401, qr/./, 'not committed: not valid yet');
is(status(post(bearer($writer))), 202, 'not committed: valid still');
$uncommitted->query_safe('SAVEPOINT s');
$uncommitted->query_safe("DELETE FROM fast_ingest.api_keys");
$uncommitted->query_safe('ROLLBACK TO s');
$uncommitted->query_safe('COMMIT');
is(status(post(bearer($open))), 202, 'committed: valid');
is_error(post(bearer($writer)), 401, qr/./, 'committed: not valid');
is(status($server->get('/stats?site_id=shop', bearer($site))), 200, 'what a savepoint took back is as it was');

# Two at a time. One is held up in the midst of its commit, by a standby that is not
# there: the other waits, so that none publishes keys without the other's.

my $first;
my $second;
my $waiting = $server->node->background_psql('postgres');

$uncommitted->query_safe('SET synchronous_commit = on');
$uncommitted->query_until(qr/begun/, "\\echo begun\nSELECT fi_create_api_key('first');\n");
ok(wait_until(sub { $server->sql("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'") == 1 }),
	'one is in the midst of its commit');
$waiting->query_until(qr/begun/, "\\echo begun\nSELECT fi_create_api_key('second');\n");
ok( wait_until(
		sub {
			$server->sql("SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'object'") == 1
			  || $server->sql("SELECT count(*) FROM fi_api_keys() WHERE name = 'second'") == 1;
		}),
	'the other is at its commit');
$server->sql("SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'");
($first) = $uncommitted->query('SELECT 1') =~ /(fi_\w+)/;
($second) = $waiting->query('SELECT 1') =~ /(fi_\w+)/;
is(status(post(bearer($first || ''))), 202, 'the first is valid');
is(status(post(bearer($second || ''))), 202, 'the second is valid');
$waiting->quit;
$uncommitted->quit;
refused("BEGIN; SELECT fi_create_api_key('prepared'); PREPARE TRANSACTION 'p'", '0A000', qr/cannot PREPARE/,
	'two-phase commit is refused');
$server->sql("SET session_replication_role = replica; SELECT fi_revoke_api_key('first')");
is_error(post(bearer($first)), 401, qr/./, 'a replication worker\'s change counts as well');

# A slow body: its key is checked again when the body is complete

$connection = $server->connect;
my $body = encode_json(event(++$n));

$connection->send("POST /events HTTP/1.1\r\nHost: h\r\nX-API-Key: $open\r\nContent-Length: " . length($body) . "\r\n\r\n");
$connection->send(substr $body, 0, 10);
is(status($server->get('/health')), 200, 'the head was read');
$server->sql("SELECT fi_revoke_api_key('open')");
$connection->send(substr $body, 10);
is($connection->read_answer->{status}, 401, 'revoked in the midst of a request');
$server->resume($server->worker_pid('maintenance'));

# Arguments

refused("SELECT fi_create_api_key('admin')", '42710', qr/API key "admin" exists already/, 'a name that is taken');
refused("SELECT fi_create_api_key(NULL)", '22023', qr/name/, 'no name');
refused("SELECT fi_create_api_key('x', '{}')", '22023', qr/scopes is empty/, 'no scope');
refused("SELECT fi_create_api_key('x', '{write,fly}')", '22023', qr/scope "fly" is not known/, 'an unknown scope');
refused("SELECT fi_create_api_key('x', site_ids => '{}')", '22023', qr/site_ids is empty/, 'an empty list');
refused("SELECT fi_create_api_key('x', channels => '{web,NULL}')", '22023', qr/channels has a NULL/, 'NULL in a list');
refused("SELECT fi_create_api_key('x', rate_limit => -1)", '22023', qr/rate_limit -1/, 'rate_limit');
refused("SELECT fi_create_api_key('x', burst => 0)", '22023', qr/burst 0/, 'burst');
refused("SELECT fi_create_api_key('x', tenant => '')", '22023', qr/tenant is empty/, 'tenant');
refused("SELECT fi_revoke_api_key('nobody')", '42704', qr/"nobody" does not exist/, 'revoke what is not there');
$server->sql('CREATE ROLE nobody; GRANT USAGE ON SCHEMA fast_ingest TO nobody');
refused("SET ROLE nobody; SELECT $_", '42501', qr/permission denied for function/, "$_ is not for everybody")
  foreach "fi_create_api_key('x')", "fi_revoke_api_key('admin')", 'fi_api_keys()';
refused("SET ROLE nobody; SELECT * FROM fast_ingest.api_keys", '42501', qr/permission denied/, 'nor is the table');

# Room

my $used = $server->sql('SELECT count(*) FROM fast_ingest.api_keys');

create("'room $_'") foreach $used + 1 .. 20;
refused("SELECT fi_create_api_key('one too many')", '53400', qr/no room.*max_api_keys = 20.*HINT/s, 'no room for another');
is($server->sql('SELECT count(*) FROM fast_ingest.api_keys'), 20, 'it is not stored');
is(status($server->get('/stats?site_id=shop', bearer($site))), 200, 'the others are valid');
$server->sql("SELECT fi_revoke_api_key('room 20')");
refused("SELECT fi_create_api_key('long', site_ids => ARRAY(SELECT repeat('x', 100) || i FROM generate_series(1, 200) i))",
	'53400', qr/no room/, 'no room for so long a list');
my $long = create("'long', site_ids => ARRAY(SELECT repeat('x', 50) || i FROM generate_series(1, 100) i)");
is(status($server->post_event(event(++$n, site_id => ('x' x 50) . $_), bearer($long))), 202, "website $_ of a long list")
  foreach 1, 50, 100;
is(status($server->post_event(event(++$n, site_id => ('x' x 50) . $_), bearer($long))), 403, "website $_, which is not in it")
  foreach 0, 101;

# Less room than there are keys: the oldest are valid, and any can be revoked

$offset = length slurp_file($server->node->logfile);
$server->node->append_conf('postgresql.conf', 'fast_ingest.max_api_keys = 9');
$server->restart;
my ($oldest, $newest) = split /\n/, $server->sql(<<'EOQ');
(SELECT name FROM fi_api_keys() ORDER BY created_at LIMIT 1)
UNION ALL (SELECT name FROM fi_api_keys() ORDER BY created_at DESC LIMIT 1)
EOQ
is($oldest, 'reader', 'the oldest key');
is($newest, 'long', 'the newest key');
is(status($server->get('/stats?site_id=x', bearer($reader))), 200, 'less room: the oldest is valid');
is_error($server->post_event(event(++$n, site_id => ('x' x 50) . 1), bearer($long)), 401, qr/not valid/, 'less room: the newest is not');
ok($server->wait_for_log_line(qr/no room for \d+ of the API keys, which are refused/, $offset), 'less room: the log says so');
$server->sql("SELECT fi_revoke_api_key('reader')");
is_error($server->get('/stats?site_id=x', bearer($reader)), 401, qr/not valid/, 'less room: revoked');
refused("SELECT fi_create_api_key('more')", '53400', qr/no room/, 'less room: no more keys');
$server->sql("DELETE FROM fast_ingest.api_keys WHERE name LIKE 'room%'");
is($server->post_event(event(++$n, site_id => ('x' x 50) . 1), bearer($long))->{status}, 401, 'a list needs its room');
$server->node->append_conf('postgresql.conf', 'fast_ingest.max_api_keys = 20');
$server->restart;
is($server->post_event(event(++$n, site_id => ('x' x 50) . 1), bearer($long))->{status}, 202, 'room for all: all are valid');

# Workers come and go

kill 'TERM', $server->worker_pid('maintenance');
kill 'TERM', my $listener = $server->worker_pid('listener');
ok($server->wait_for_other_pid('listener', $listener), 'the listener was restarted');
$server->wait_ready;
is(status($server->get('/stats?site_id=shop', bearer($site))), 200, 'keys are valid');
is_error(post(bearer($writer)), 401, qr/./, 'and revoked ones are not');

$listener = $server->worker_pid('listener');
kill 'KILL', $server->any_worker_pid('query');
ok($server->wait_for_other_pid('listener', $listener), 'a crash');
$server->wait_ready;
is(status($server->get('/stats?site_id=shop', bearer($site))), 200, 'after a crash they are valid again');
is_error(post(bearer($writer)), 401, qr/./, 'as they were');

# Keys that could not be loaded let nobody in

$server->sql('DROP EXTENSION fast_ingest');
$server->sql('CREATE EXTENSION fast_ingest');
is_error(post(bearer($admin)), 401, qr/not valid/, 'keys of an extension that was dropped are not valid');
my $next = create("'next'");
$server->wait_ready;
is(status(post(bearer($next))), 202, 'a new key is');
$server->sql('DROP EXTENSION fast_ingest');
$server->node->restart;
is_error($server->wait_for_answer(503, sub { post(bearer($next)) }), 503, qr/the API keys are not loaded yet/,
	'no extension: keys are not known');
is_error(post(), 503, qr/the API keys are not loaded yet/, 'with no key neither');
ok($server->wait_not_ready(qr/./), '/ready says so');
$server->create_extension;
is_error(post(bearer($next)), 401, qr/not valid/, 'it is there: the keys are known');

# Dump and restore

my $kept = create(q('kept', '{write}', '{shop}', rate_limit => 5, tenant => 'shop'));
my $dump = PostgreSQL::Test::Utils::tempdir() . '/dump.sql';
my $new = FastIngest->new('new', extension => 0, conf => 'fast_ingest.require_api_key = on');

command_ok([ 'pg_dump', '-f', $dump, '-d', $server->node->connstr('postgres') ], 'pg_dump');
command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', $dump, '-d', $new->node->connstr('postgres') ], 'psql reads it');
$new->wait_ready;
is($new->post_event(event(1, site_id => 'shop'), bearer($kept))->{status}, 202, 'the key is valid there');
is($new->post_event(event(1, site_id => 'x'), bearer($kept))->{status}, 403, 'and restricted as it was');
is($new->sql("SELECT rate_limit, tenant FROM fi_api_keys()"), '5|shop', 'with its limit and its tenant');
$new->node->stop;

# No key is in the log

my $log = slurp_file($server->node->logfile);
unlike($log, qr/\Q@{[substr $_, -64]}\E/, 'no key is in the log') foreach $writer, $reader, $next;

# A server that listens to the world without requiring keys warns

unlike($log, qr/can be reached from elsewhere/, 'on localhost nobody is warned');
$server->node->append_conf('postgresql.conf', "fast_ingest.listen_addresses = '0.0.0.0'");
$offset = length $log;
$server->restart;
ok($server->wait_for_log_line(qr/WARNING:.*reached from elsewhere without TLS/, $offset), 'with keys: no TLS');
$server->set('fast_ingest.require_api_key' => 'off');
$offset = length slurp_file($server->node->logfile);
$server->restart;
ok($server->wait_for_log_line(qr/WARNING:.*reached from elsewhere, and needs no API keys/, $offset), 'without keys: so');
$server->books_balance;
$server->node->stop;

done_testing();
