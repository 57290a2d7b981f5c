# pg_upgrade takes everything along: the workers keep out of it, and afterwards partitions,
# triggers, rollup, user numbers, lost rows and the rights of the role are there. Events that are
# sent again are recognized, and ingestion goes on. It runs between two clusters of the version
# that is tested.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use FastIngest;
use PostgreSQL::Test::Utils;
use Test::More;

my $directory = PostgreSQL::Test::Utils::tempdir();
my $conf = "fast_ingest.refresh_backlog = 0\n";
my $old = FastIngest->new('old', conf => $conf, extension => 0);
my $new = FastIngest->new('new', conf => $conf, start => 0);

chomp(my $bin = `pg_config --bindir`);

# Everything that must be the same on both sides
my $PICTURE = <<'EOQ';
SET timezone = 'UTC';
SELECT 'events', count(*), md5(string_agg(md5(e::text), '' ORDER BY md5(e::text))) FROM fast_ingest.events e;
SELECT 'partition', inhrelid::regclass, inhrelid, pg_get_expr(relpartbound, inhrelid), relowner::regrole
FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid WHERE inhparent = 'fast_ingest.events'::regclass ORDER BY 2;
SELECT 'index', indexdef FROM pg_indexes WHERE schemaname = 'fast_ingest' ORDER BY indexdef;
SELECT 'trigger', tgrelid::regclass, tgname, tgfoid::regprocedure, tgenabled FROM pg_trigger WHERE tgname ~ '^fi_' ORDER BY 2, 3;
SELECT 'rollup', count(*), sum(events), md5(string_agg(md5(r::text), '' ORDER BY md5(r::text))) FROM fast_ingest.rollup r;
SELECT 'delta', count(*), md5(string_agg(md5(d::text), '' ORDER BY md5(d::text))) FROM fast_ingest.rollup_delta d;
SELECT 'recount', d.* FROM fast_ingest.recount d ORDER BY low;
SELECT 'state', s.* FROM fast_ingest.rollup_state s;
SELECT 'user', count(*), md5(string_agg(u::text, '' ORDER BY user_no)) FROM fast_ingest.users u;
SELECT 'lost rows', d.* FROM fast_ingest.lost_rows d ORDER BY low;
SELECT 'breakdown', b.* FROM fast_ingest.breakdowns b ORDER BY id;
SELECT 'dead letter', d.* FROM fast_ingest.dead_letters d;
SELECT 'extension', extversion, extnamespace::regnamespace, cardinality(extconfig) FROM pg_extension WHERE extname = 'fast_ingest';
SELECT 'rights', p.oid::regprocedure, p.proconfig, p.proacl FROM pg_proc p WHERE p.proname ~ '^fi_' ORDER BY p.oid::regprocedure::text;
SELECT 'all', m.* FROM fi_metrics('page_view') m;
SELECT 'hour', m.* FROM fi_metrics('page_view', group_by => 'hour', fill => false) m;
SELECT 'page', m.* FROM fi_metrics('page_view', group_by => 'page') m;
SELECT 'campaign', m.* FROM fi_metrics('page_view', group_by => 'campaign') m;
SELECT 'dropped day', m.* FROM fi_metrics('page_view', '2024-08-10 00:00Z', '2024-08-11 00:00Z', 'channel') m;
SELECT 'sets', fi_cardinality(fi_union(users)) FROM fast_ingest.rollup;
EOQ

# Rows in which the answers, from the day after the dropped one, differ from the raw rows
my $DIFFERENCES = wrong_groups_query('2024-08-11 00:00Z', qw(channel page campaign hour day));

# Events of five days, the first of which is dropped
sub events
{
	my ($first, $last, $from_day) = @_;

	return [
		grep { $_->{timestamp} >= $NOON - 43200 - 86400 * 2 + 86400 * $from_day }
		  map {
			event($_,
				user_id => 'user-' . $_ * 7 % 97,
				timestamp => $NOON - 86400 * 2 + $_ * 997 % (86400 * 5) - 43200,
				channel => (qw(web mobile api))[ $_ % 3 ],
				path => '/' . $_ % 5,
				$_ % 2 ? (campaign_id => 'c' . $_ % 6) : ())
		  } $first .. $last
	];
}

# Everything that a rollup can hold, partly not merged

$old->sql('CREATE ROLE ingest LOGIN');
$old->create_extension;
$old->sql("SELECT fi_grant_ingest('ingest')");
$old->node->append_conf('postgresql.conf', "fast_ingest.role = 'ingest'");
$old->restart;
$old->sql("SELECT fi_add_breakdown('campaign', 'campaign_id')");
is($old->post_bulk(events(1, 1000, 0))->{json}{accepted}, 1000, 'events');
$old->sql('SELECT fi_refresh()');
$old->sql('DROP TABLE fast_ingest.events_20240810');
$old->sql("ALTER TABLE fast_ingest.events DETACH PARTITION fast_ingest.events_20240814");
$old->sql("DELETE FROM fast_ingest.events WHERE path = '/4' AND ts < '2024-08-12 00:00Z'");
$old->sql("ALTER TABLE fast_ingest.events ADD CONSTRAINT no_bots CHECK (user_id <> 'bot')");
is($old->post_event(event(1, user_id => 'bot'))->{status}, 422, 'a dead letter');
$old->sql("INSERT INTO fast_ingest.events (event_name, channel, user_id, ts, path) SELECT 'page_view', 'sql', 'sql-' || n, '2024-08-13 10:00Z'::timestamptz + n * interval '7 seconds', '/1' FROM generate_series(1, 50) n");

my $picture = $old->sql($PICTURE);

like($picture, qr/^lost rows\|.*\nlost rows\|/m, 'a dropped partition, and a detached one');
like($picture, qr/^delta\|[1-9].*^recount\|/ms, 'and what is not merged');
$old->node->stop;

# pg_upgrade

chdir $directory or die "no $directory: $!";
command_ok(
	[
		'pg_upgrade', '--retain', '--old-datadir', $old->node->data_dir, '--new-datadir', $new->node->data_dir,
		'--old-bindir', $bin, '--new-bindir', $bin, '--socketdir', $new->node->host,
		'--old-port', $old->node->port, '--new-port', $new->node->port, '--username', getpwuid($<) || 'postgres'
	],
	'pg_upgrade');
chdir $FindBin::RealBin;

# Its servers' logs, in the cluster since 15, before that where it was started
my @logs = grep { -f } glob("$directory/*.log"), glob($new->node->data_dir . '/pg_upgrade_output.d/*/log/*.log');
my $log = join '', map { slurp_file($_) } @logs;

like($log, qr/database system is ready to accept connections/, 'its servers wrote a log');
unlike($log, qr/fast_ingest \w+ started|background worker "fast_ingest/, 'no worker took part');

$new->node->append_conf('postgresql.conf', "fast_ingest.role = 'ingest'");
$new->node->start;
$new->wait_ready;
is($new->sql($PICTURE), $picture, 'everything is there, and the answers are the same');

# Ingestion goes on


my $known = [ grep { $_->{timestamp} >= $NOON - 43200 && $_->{timestamp} < $NOON + 43200 + 86400 } @{ events(1, 1000, 1) } ];
my $count = $new->count;

is($new->post_bulk($known)->{json}{accepted}, scalar @$known, 'events it has');
is($new->count, $count, 'are not stored again');
is($new->post_bulk([ map { event($_, timestamp => $NOON + 86400 * 5) } 3001 .. 3100 ])->{json}{accepted}, 100, 'events of a new day');
is($new->post_bulk([ map { event($_) } 3101 .. 3200 ])->{json}{accepted}, 100, 'and of one that was there');
is($new->count, $count + 200, 'are stored');
$new->sql("ALTER TABLE fast_ingest.events_20240814 ADD CONSTRAINT no_bots CHECK (user_id <> 'bot')");
$new->sql('ALTER TABLE fast_ingest.events ATTACH PARTITION fast_ingest.events_20240814 FOR VALUES FROM (\'2024-08-14 00:00Z\') TO (\'2024-08-15 00:00Z\')');
is($new->sql('SELECT count(*) FROM fast_ingest.lost_rows'), 1, 'a partition that was detached is known when it comes back');
is($new->sql($DIFFERENCES), '', 'the answers are those of the raw rows');
$new->sql('SELECT fi_refresh()');
is($new->sql($DIFFERENCES), '', 'merged, too');
is($new->sql('SELECT count(*) - count(DISTINCT user_no) FROM fast_ingest.users'), 0, 'users have numbers of their own');
is($new->post_event(event(2, user_id => 'bot'))->{status}, 422, 'a new dead letter');
is($new->sql('SELECT count(*), count(DISTINCT id) FROM fast_ingest.dead_letters'), '2|2', 'with a number of its own');
$new->sql("SELECT fi_rebuild('2024-08-11 00:00Z', '2024-08-18 00:00Z')");
is($new->sql($DIFFERENCES), '', 'counted again, too');
$new->books_balance;
$new->node->stop;

done_testing();
