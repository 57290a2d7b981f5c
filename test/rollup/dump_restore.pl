# The rollup survives a dump and a restore, by psql and by pg_restore with two jobs: with deltas
# that are not merged yet, with marks of changed buckets, with breakdowns of the user's, and with
# days whose raw rows are gone. A hot standby answers as its primary does.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use FastIngest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $DROPPED = '2024-08-10';    # a day whose partition is dropped
my $dump = PostgreSQL::Test::Utils::tempdir() . '/dump';
my $conf = "wal_level = replica\nmax_wal_senders = 4\nhot_standby = on\nfast_ingest.refresh_backlog = 0\n"
  . "fast_ingest.max_event_names = 2\n";
my $old = FastIngest->new('old', conf => $conf);

# Every kind of answer
my $ANSWERS = <<'EOQ';
SET timezone = 'UTC';
SELECT 'all', m.* FROM fi_metrics('page_view') m;
SELECT 'hour', m.* FROM fi_metrics('page_view', '2024-08-10 00:00Z', '2024-08-16 00:00Z', 'hour', fill => false) m;
SELECT 'day', m.* FROM fi_metrics('page_view', '2024-08-11 00:00Z', '2024-08-16 00:00Z', 'day', time_zone => 'Asia/Kathmandu') m;
SELECT 'ragged', m.* FROM fi_metrics('page_view', '2024-08-11 10:11:12Z', '2024-08-15 13:14:15Z') m;
SELECT 'mobile', m.* FROM fi_metrics('page_view', '2024-08-11 10:11:00Z', '2024-08-15 13:14:00Z', 'day', 'mobile') m;
SELECT 'channel', m.* FROM fi_metrics('page_view', group_by => 'channel') m;
SELECT 'site', m.* FROM fi_metrics('page_view', group_by => 'site') m;
SELECT 'page', m.* FROM fi_metrics('page_view', group_by => 'page') m;
SELECT 'campaign', m.* FROM fi_metrics('page_view', group_by => 'campaign') m;
SELECT 'plan', m.* FROM fi_metrics('page_view', group_by => 'plan') m;
SELECT 'name', n, m.* FROM generate_series(0, 3) n, fi_metrics('name-' || n, '2024-08-11 00:00Z'::timestamptz) m;
SELECT 'length', m.* FROM fi_metrics('page_view', '2024-08-11 00:00Z'::timestamptz, group_by => 'length') m;
SELECT 'far', m.* FROM fi_metrics('far', NULL::timestamptz, '2024-08-10 00:00Z', group_by => 'day', fill => false) m;
SELECT 'far', m.* FROM fi_metrics('far', '2024-08-11 00:00Z'::timestamptz, group_by => 'day', fill => false) m;
SELECT 'dropped day', m.* FROM fi_metrics('page_view', '2024-08-10 00:00Z', '2024-08-11 00:00Z', 'channel') m;
SELECT 'part of a dropped day', m.* FROM fi_metrics('page_view', '2024-08-10 03:04:05.6Z', '2024-08-10 17:18:19Z', 'channel') m;
SELECT 'dropped hours', m.* FROM fi_metrics('page_view', '2024-08-10 00:00Z', '2024-08-11 00:00Z', 'hour', fill => false) m;
EOQ

# Some of the rows in which the answers, all but those of the dropped day, differ from the
# raw rows
my $DIFFERENCES = wrong_groups_query('2024-08-11 00:00Z', qw(channel site page campaign plan hour day)) . <<'EOQ';
SELECT n, m.total_events, r.* FROM generate_series(0, 3) n, fi_metrics('name-' || n, '2024-08-11 00:00Z'::timestamptz) m,
  LATERAL (SELECT count(*) FROM fast_ingest.events WHERE event_name = 'name-' || n AND ts >= '2024-08-11 00:00Z') r
WHERE m.total_events <> r.count;
EOQ

# What is not yet in the rollup; a breakdown never knows the day that was dropped before
my $PENDING = <<'EOQ';
SELECT (SELECT count(*) > 0 FROM fast_ingest.rollup_delta), (SELECT count(*) > 0 FROM fast_ingest.recount WHERE breakdown IS NULL OR high = 'infinity');
EOQ

# Events of six days from the dropped one on
sub events
{
	my ($first, $last) = @_;

	return [
		map {
			event($_,
				user_id => 'user-' . $_ * 7 % 97,
				timestamp => $NOON - 86400 * 2 + $_ * 997 % (86400 * 6) - 43200,
				channel => (qw(web mobile api))[ $_ % 3 ],
				path => '/' . $_ % 5,
				$_ % 9 ? () : (event_name => 'name-' . $_ % 4),
				$_ % 4 ? (site_id => 'site-' . $_ % 3) : (),
				$_ % 2 ? (campaign_id => 'c' . $_ % 6) : (),
				$_ % 5 ? (metadata => { plan => (qw(free pro))[ $_ % 2 ] }) : ())
		} $first .. $last
	];
}

# None of the dropped day's
sub later_events
{
	return [ grep { $_->{timestamp} >= $NOON - 86400 - 43200 } @{ events(@_) } ];
}

# The server has the same answers as the other one, and goes on.
sub is_like
{
	my ($new, $answers, $pending, $name) = @_;

	is($new->sql($ANSWERS), $answers, "$name: the same answers");
	is($new->sql($DIFFERENCES), '', "$name: they are those of the raw rows");
	is($new->sql($PENDING), $pending, "$name: what is to be merged came along");
	return;
}

# Merge and change it, and add events of known and of unknown users.
sub goes_on
{
	my ($new, $answers, $name) = @_;

	$new->sql('SELECT fi_refresh()');
	is($new->sql($ANSWERS), $answers, "$name: the same answers after a refresh");
	is($new->sql($PENDING), 'f|f', "$name: all is merged");
	is($new->post_bulk(later_events(2001, 2300))->{status}, 202, "$name: new events");
	is($new->sql($DIFFERENCES), '', "$name: the answers have them");
	$new->sql('SELECT fi_refresh()');
	is($new->sql($DIFFERENCES), '', "$name: merged, too");
	is($new->sql('SELECT count(*) - count(DISTINCT user_no) FROM fast_ingest.users'), 0,
		"$name: users have numbers of their own");
	$new->sql("SELECT fi_rebuild('2024-08-11 00:00Z', '2024-08-18 00:00Z')");
	is($new->sql($DIFFERENCES), '', "$name: rebuilt, too");
	return;
}

# Everything that a rollup can hold: rows, a dropped day, deltas, marks, breakdowns, event_names that are
# counted together

$old->sql("SELECT fi_add_breakdown('campaign', 'campaign_id')");
$old->sql("SELECT fi_add_breakdown('plan', 'metadata->>''plan''', '{minute,hour,day}')");
is($old->post_bulk(events(1, 1000))->{json}{accepted}, 1000, 'events');
$old->sql('SELECT fi_refresh()');
is($old->sql($DIFFERENCES), '', 'their answers are those of the raw rows');
cmp_ok($old->sql('SELECT count(*) FROM fast_ingest.event_names WHERE is_other'), '>', 3, 'some are counted together');

my $day = "fi_metrics('page_view', '$DROPPED 00:00Z', '$DROPPED 24:00Z', 'hour')";
my $hours = $old->sql("SELECT * FROM $day");

$old->sql('DROP TABLE fast_ingest.events_' . $DROPPED =~ tr/-//dr);
is($old->sql("SELECT * FROM $day"), $hours, 'a day whose partition is dropped has the answers it had');
$old->sql('SELECT fi_refresh()');
is($old->sql("SELECT * FROM $day"), $hours, 'refreshed, too');

# Partitions without bounds
$old->sql(<<'EOQ');
CREATE TABLE public.late PARTITION OF fast_ingest.events FOR VALUES FROM ('2024-10-01 00:00Z') TO (MAXVALUE);
CREATE TABLE public.rest PARTITION OF fast_ingest.events DEFAULT;
INSERT INTO fast_ingest.events (event_name, channel, user_id, ts) VALUES ('far', 'sql', 'a', '2024-10-02 12:00Z'), ('far', 'sql', 'b', '2024-01-02 12:00Z'), ('far', 'sql', 'b', '2024-01-03 12:00Z');
DELETE FROM fast_ingest.events WHERE ts = '2024-01-03 12:00Z';
ALTER TABLE fast_ingest.events DETACH PARTITION public.late;
DROP TABLE public.rest;
EOQ
is($old->sql("SET timezone = 'UTC'; SELECT group_key FROM fi_metrics('far', NULL::timestamptz, '2024-08-10 00:00Z', group_by => 'day', fill => false) UNION ALL SELECT group_key FROM fi_metrics('far', '2024-08-11 00:00Z'::timestamptz, group_by => 'day', fill => false)"),
	"2024-01-02T00:00:00Z\n2024-10-02T00:00:00Z", 'what partitions without bounds had is counted');

$old->sql("DELETE FROM fast_ingest.events WHERE path = '/4' AND ts < '2024-08-14 00:00Z'");
$old->sql("UPDATE fast_ingest.events SET ts = ts + interval '90 minutes' WHERE path = '/3' AND ts > '2024-08-14 12:00Z' AND ts < '2024-08-15 22:00Z'");
$old->sql(<<'EOQ');
INSERT INTO fast_ingest.events (event_name, channel, user_id, ts)
SELECT 'page_view', 'sql', CASE WHEN n > 3 THEN 'sql-' || n END, '2024-08-13 11:59:57Z'::timestamptz + n * interval '1 second'
FROM generate_series(1, 9) n;
EOQ
# A breakdown that is not counted yet
$old->sql("SELECT fi_add_breakdown('length', 'length(user_id)::text')");
my $answers = $old->sql($ANSWERS);
my $pending = $old->sql($PENDING);

is($pending, 't|t', 'some is not yet in the rollup');
is($old->sql($DIFFERENCES), '', 'the answers have it');

# pg_dump | psql

my $second = FastIngest->new('second', conf => $conf, extension => 0);

command_ok([ 'pg_dump', '-f', "$dump.sql", '-d', $old->node->connstr('postgres') ], 'pg_dump');
command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', "$dump.sql", '-d', $second->node->connstr('postgres') ],
	'psql reads it without an error, the workers running');
$second->wait_ready;
is_like($second, $answers, $pending, 'psql');

# pg_restore -j 2, of what the second has

my $third = FastIngest->new('third', conf => $conf, extension => 0);

command_ok([ 'pg_dump', '-Fc', '-f', "$dump.custom", '-d', $second->node->connstr('postgres') ], 'pg_dump -Fc');
command_ok([ 'pg_restore', '-j', '2', '--exit-on-error', '-d', $third->node->connstr('postgres'), "$dump.custom" ],
	'pg_restore -j 2');
$third->wait_ready;
is_like($third, $answers, $pending, 'pg_restore');

goes_on($second, $answers, 'psql');
goes_on($third, $answers, 'pg_restore');
$_->node->stop foreach $second, $third;

# A hot standby, first with what is not merged, then while the primary merges it

my $standby = PostgreSQL::Test::Cluster->new('standby');

sub on_standby { return $standby->safe_psql('postgres', $_[0]) }

sub caught_up
{
	return $old->node->wait_for_catchup($standby, 'replay', $old->node->lsn('write'));
}

$old->node->append_conf('pg_hba.conf', 'local replication all trust');
$old->node->reload;
$old->node->backup('backup');
$standby->init_from_backup($old->node, 'backup', has_streaming => 1);
$standby->append_conf('postgresql.conf', 'fast_ingest.port = ' . PostgreSQL::Test::Cluster::get_free_port());
# a snapshot of the standby's may keep the primary from vacuuming, but never ends
$standby->append_conf('postgresql.conf', "max_standby_streaming_delay = -1\nhot_standby_feedback = on");
$standby->start;
caught_up();
is(on_standby($ANSWERS), $answers, 'the standby answers as the primary does');
is(on_standby($DIFFERENCES), '', 'which is what the raw rows say');

my ($status, undef, $error) = $standby->psql('postgres', 'SELECT fi_refresh()');
isnt($status, 0, 'a standby does not refresh');
like($error, qr/read-only transaction|recovery/, 'and says why');

my $reader = $standby->background_psql('postgres');

$reader->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ');
is($reader->query_safe($ANSWERS), $answers, 'in a snapshot of the standby');
$old->sql('SELECT fi_refresh()');
is($old->post_bulk(later_events(3001, 3300))->{status}, 202, 'the primary merges, and goes on');
$old->sql("DELETE FROM fast_ingest.events WHERE path = '/2'");
$old->sql('SELECT fi_refresh()');
$old->post_bulk(later_events(3301, 3400));
caught_up();
is($reader->query_safe($ANSWERS), $answers, 'the snapshot of the standby has the answers it had');
is($reader->query_safe($DIFFERENCES), '', 'those of its raw rows');
$reader->query_safe('COMMIT');
$reader->quit;
isnt($old->sql($ANSWERS), $answers, 'the primary has others');
is(on_standby($ANSWERS), $old->sql($ANSWERS), 'and so has the standby, in a new snapshot');
is(on_standby($DIFFERENCES), '', 'those of the raw rows');

# Promoted, it goes on from there

$old->node->stop('fast');
$standby->promote;
$standby->safe_psql('postgres', 'SELECT fi_refresh()');
is(on_standby($DIFFERENCES), '', 'promoted, it merges and answers exactly');
$standby->stop;

done_testing();
