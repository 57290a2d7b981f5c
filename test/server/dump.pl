# Events, dead letters and what the user has made around them survive pg_dump | psql into a new
# server. Ingestion goes on there, and the server recognizes events that it stored before.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use FastIngest;
use PostgreSQL::Test::Utils;
use Test::More;

my $old = FastIngest->new('old');
my $new = FastIngest->new('new', extension => 0);
my $dump = PostgreSQL::Test::Utils::tempdir() . '/dump.sql';

# Five days, with and without keys; odd texts; dead letters.

my @events = (
	(map { event($_, timestamp => $NOON + 86400 * ($_ % 5)) } 1 .. 500),
	event(501, idempotency_key => 'mine'),
	event(502, idempotency_key => '5d1f3a52-4c1b-4f0e-9a8e-0b6d3c2a1f00'),
	event(503,
		path => "tab\t, newline\n, \\backslash\\, 'quote', \"double\", \x{1f600}",
		campaign_id => '\N', site_id => ' ',
		tags => [ 'a,b', '{}', '"', '\\', 'NULL', '' ],
		metadata => { 'k"' => [ 1, 2.5, undef, { a => "\\.\n\\." } ] }));
my %refused = (event_name => 'forbidden', user_id => 'refused');

sub forbid
{
	my ($server) = @_;

	$server->sql(<<'EOQ');
ALTER TABLE fast_ingest.events DROP CONSTRAINT IF EXISTS nothing_forbidden;
ALTER TABLE fast_ingest.events ADD CONSTRAINT nothing_forbidden CHECK (event_name <> 'forbidden');
EOQ
	return;
}

# Everything that must be the same on both sides.
sub picture
{
	my ($server) = @_;

	return $server->sql(<<'EOQ');
SET timezone = 'UTC';
SELECT 'events', count(*), md5(string_agg(md5(e::text), '' ORDER BY md5(e::text)))
FROM fast_ingest.events e;
SELECT 'dead letters', count(*), md5(string_agg(d::text, '' ORDER BY id))
FROM fast_ingest.dead_letters d;
SELECT 'partition', inhrelid::regclass::text, pg_get_expr(relpartbound, inhrelid)
FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
WHERE inhparent = 'fast_ingest.events'::regclass ORDER BY 2;
SELECT 'index', tablename, indexdef FROM pg_indexes
WHERE schemaname = 'fast_ingest' ORDER BY indexdef;
SELECT 'view', * FROM public.per_day ORDER BY 2;
SELECT 'grant', has_table_privilege('reader', 'fast_ingest.events', 'SELECT'),
  has_table_privilege('reader', 'fast_ingest.events', 'INSERT');
EOQ
}

is($old->post_bulk(\@events)->{json}{accepted}, 503, 'events');
$old->post('/event', { site_id => 's', event_type => 'v', timestamp => 1723475612 });
is($old->post('/event', { site_id => 's', event_type => 'v' })->{status},
	204, 'an event without a key');
forbid($old);
is($old->post_event(event($_, %refused))->{status}, 422, "dead letter $_")
  foreach 1 .. 3;
$old->sql("INSERT INTO fast_ingest.events (event_name, channel, ts) VALUES ('sql', 'batch', '2024-08-12 01:00Z')");
$old->sql(<<'EOQ');
CREATE VIEW public.per_day AS
SELECT ts::date AS day, count(*) FROM fast_ingest.events GROUP BY 1;
CREATE ROLE reader;
GRANT USAGE ON SCHEMA fast_ingest TO reader;
GRANT SELECT ON fast_ingest.events TO reader;
EOQ

$new->sql('CREATE ROLE reader');
command_ok([ 'pg_dump', '-f', $dump, '-d', $old->node->connstr('postgres') ],
	'pg_dump');
command_ok(
	[
		'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1',
		'-f', $dump, '-d', $new->node->connstr('postgres')
	],
	'psql reads it without an error, the workers running');
is(picture($new), picture($old), 'the new server has what the old one has');
is($new->wait_ready->{status}, 200, 'the new server is ready');

# Ingestion goes on there

my $count = $new->count;

is($new->post_bulk(\@events)->{json}{accepted}, 503, 'the same events again');
is($new->count, $count, 'none is stored twice');
is($new->status->{duplicate}, 503, 'they were known');
is($new->post_bulk([ map { event($_) } 1001 .. 1100 ])->{json}{accepted},
	100, 'new events of a day that was restored');
is( $new->post_bulk(
		[ map { event($_, timestamp => $NOON + 86400 * 10) } 2001 .. 2100 ])
	  ->{json}{accepted},
	100,
	'new events of a new day');
is($new->count, $count + 200, 'they are stored');

forbid($new);
is($new->post_event(event(4, %refused))->{status}, 422, 'a new dead letter');
is( $new->sql('SELECT count(*), count(DISTINCT id) FROM fast_ingest.dead_letters'),
	'4|4',
	'it has a number of its own');
$new->books_balance;

# A dump of the new one again, with the custom format and two jobs: the order
# of restoring does not matter.

my $third = FastIngest->new('third', extension => 0);
$third->sql('CREATE ROLE reader');
command_ok(
	[ 'pg_dump', '-Fc', '-f', "$dump.custom", '-d', $new->node->connstr('postgres') ],
	'pg_dump -Fc');
command_ok(
	[
		'pg_restore', '-j', '2', '--exit-on-error',
		'-d', $third->node->connstr('postgres'), "$dump.custom"
	],
	'pg_restore -j 2');
is(picture($third), picture($new), 'the third server has what the second has');
$third->wait_ready;
is($third->post_bulk(\@events)->{status}, 202, 'the same events once more');
is($third->count, $count + 200, 'none is stored twice');

$_->node->stop foreach $old, $new, $third;
done_testing();
