# The views metrics_by_hour and metrics_by_day show what count(*) and count(DISTINCT user_id) of
# the raw rows show: before a refresh, after it, with late events, deleted and changed ones and a
# breakdown that was just added. Conditions reach the index of the rollup, and a role that may
# ask for metrics may read the views.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use FastIngest;
use Test::More;

my $server = FastIngest->new('views');

# The breakdowns and what they count: key and site
my %key = (total => [ 'NULL', 'NULL' ], channel => [ 'channel', 'NULL' ], site => [ 'site_id', 'site_id' ], page => [ 'path', 'site_id' ]);

# Events of three days until now, and of an hour half a year ago
sub insert_events
{
	my ($n) = @_;

	$server->sql(<<"EOQ");
INSERT INTO fast_ingest.events (event_name, channel, user_id, ts, site_id, path, metadata)
SELECT 'name_' || i % 3, 'channel_' || i % 4, CASE WHEN i % 7 > 0 THEN 'user_' || (i * 31) % 50 END, t,
    CASE WHEN i % 5 > 0 THEN 'site_' || i % 5 END, CASE WHEN i % 6 > 0 THEN '/' || i % 6 END,
    jsonb_build_object('plan', i % 2)
FROM generate_series(1, $n) i,
    LATERAL (SELECT CASE WHEN i % 10 = 0 THEN date_trunc('day', now(), 'UTC') - interval '180 days'
        ELSE now() - random() * interval '60 hours' END) AS t (t)
EOQ
	return;
}

# The rows of raw events as the view of hours or days shows them
sub raw_rows
{
	my ($unit, $breakdown) = @_;
	my ($key, $site) = @{ $key{$breakdown} };
	my $group = "SELECT date_trunc('$unit', ts, 'UTC') AS time, %s AS event_name, ($key)::text AS key, ($site)::text AS site_id,
    count(*), count(DISTINCT user_id) FROM fast_ingest.events WHERE " . ($breakdown eq 'total' ? 'true' : "($key) IS NOT NULL") . ' GROUP BY 1, 2, 3, 4';
	my $rows = sprintf $group, 'event_name';

	$rows .= ' UNION ALL ' . sprintf($group, 'NULL::text') if $breakdown eq 'total';
	return $rows;
}

sub error_of
{
	my ($sql) = @_;

	$server->node->psql('postgres', $sql, stderr => \my $error);
	return $error;
}

sub compare
{
	my ($what) = @_;

	foreach my $breakdown (sort keys %key)
	{
		foreach my $unit ('hour', 'day')
		{
			# a breakdown that is not kept by hours has no rows there
			next if $unit eq 'hour' && $server->sql("SELECT EXISTS (SELECT FROM fi_breakdowns() WHERE name = '$breakdown' AND (NOT 'hour' = ANY (levels) OR fine_days > 0))") eq 't';
			my $raw = raw_rows($unit, $breakdown);
			my $view = "SELECT \"time\", event_name, key, site_id, total_events, unique_users FROM fast_ingest.metrics_by_$unit WHERE breakdown = '$breakdown'";

			is($server->sql("SELECT count(*) > 0 FROM ($view) v"), 't', "$breakdown by $unit has rows: $what");
			is($server->sql("SELECT * FROM ((($view) EXCEPT ALL ($raw)) UNION ALL (($raw) EXCEPT ALL ($view))) d LIMIT 5"),
				'', "$breakdown by $unit is what the raw rows say: $what");
		}
	}
	return;
}

$server->sql("SELECT fi_create_partition((now() AT TIME ZONE 'UTC')::date - d) FROM unnest('{0,1,2,3,180}'::integer[]) d");
insert_events(2000);
compare('nothing is merged');
$server->sql('SELECT fi_refresh()');
compare('all is merged');
insert_events(500);
compare('some is late');
$server->sql('SELECT fi_refresh()');
insert_events(300);
$server->sql("DELETE FROM fast_ingest.events WHERE user_id = 'user_31'");
$server->sql("UPDATE fast_ingest.events SET channel = 'changed' WHERE user_id = 'user_12'");
compare('some are deleted and changed');
$key{plan} = [ q(metadata->>'plan'), 'NULL' ];
$server->sql(q(SELECT fi_add_breakdown('plan', $$metadata->>'plan'$$, '{hour,day}')));
compare('a breakdown is new');
$server->sql('SELECT fi_refresh()');
compare('it is counted');

# Totals with several rows of a day, of which no channel has any: three users of three channels, and
# one more of one of them
my $day = "date_trunc('day', now(), 'UTC') - interval '170 days'";
my $insert = "INSERT INTO fast_ingest.events (event_name, channel, user_id, ts)";
$server->sql("SELECT fi_create_partition((now() AT TIME ZONE 'UTC')::date - 170)");
$server->sql("$insert SELECT 'parts', 'channel_' || i, 'user_' || i, $day FROM generate_series(1, 3) i; SELECT fi_refresh(); $insert VALUES ('parts', 'channel_1', 'user_4', $day); SELECT fi_refresh()");
is($server->sql("SELECT string_agg(DISTINCT breakdown::text, ' ' ORDER BY breakdown::text) FROM fast_ingest.rollup WHERE is_part AND level = 3 AND bucket = $day"),
	'-1 0', 'totals have several rows');
compare('totals have several rows');

# In one transaction, and before its commit
is(
	$server->sql(<<'EOQ'), "t\nt", 'what this transaction has inserted is there');
BEGIN ISOLATION LEVEL REPEATABLE READ;
CREATE TEMP TABLE before AS SELECT sum(total_events) FROM fast_ingest.metrics_by_day WHERE breakdown = 'channel';
INSERT INTO fast_ingest.events (event_name, channel, user_id, ts) VALUES ('name_0', 'channel_0', 'x', now());
SELECT sum(total_events) = (SELECT sum + 1 FROM before) FROM fast_ingest.metrics_by_day WHERE breakdown = 'channel';
SELECT sum(total_events) = (SELECT sum + 1 FROM before) FROM fast_ingest.metrics_by_hour WHERE breakdown = 'channel';
ROLLBACK;
EOQ

# Conditions go down to the index
my $plan = $server->sql(<<'EOQ');
SET enable_seqscan = off;
EXPLAIN (COSTS OFF) SELECT * FROM fast_ingest.metrics_by_hour
WHERE breakdown = 'channel' AND event_name = 'name_1' AND "time" >= '2026-01-01' AND "time" < '2026-02-01'
EOQ
like($plan, qr/Index Cond: \(.*event_name = 'name_1'.*bucket >= .*bucket < /, 'time and event_name are conditions of the index');

# Who may ask may read, and nobody else
$server->sql('CREATE ROLE analyst LOGIN; CREATE ROLE nobody_at_all LOGIN');
$server->sql("SELECT fi_grant_metrics('analyst')");
my $sum = "SELECT sum(total_events) FROM fast_ingest.metrics_by_day WHERE breakdown = 'channel'";
is($server->sql("SET ROLE analyst; $sum"), $server->sql($sum), 'a role that may ask reads the view');
like(error_of('SET ROLE analyst; SELECT * FROM fast_ingest.rollup'), qr/permission denied/, 'but not the tables behind it');
like(error_of("SET ROLE nobody_at_all; $sum"), qr/permission denied/, 'another role reads nothing');
is($server->sql("SELECT count(*) FROM pg_attribute a WHERE attrelid = ANY ('{fast_ingest.metrics_by_hour,fast_ingest.metrics_by_day}'::regclass[])
    AND attnum > 0 AND col_description(attrelid, attnum) IS NULL"), '0', 'each column has a comment');

# fi_help() names all there is to call, and fits into 100 columns
is(
	$server->sql(<<'EOQ'), '', 'fi_help() leaves nothing out, and names nothing else');
SELECT name FROM (
    SELECT DISTINCT substring(call FROM '^fi_\w+') AS name FROM fi_help() WHERE call LIKE 'fi\_%'
    EXCEPT
    SELECT p.proname FROM pg_proc p JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
    WHERE p.proname LIKE 'fi\_%') AS unknown
UNION ALL
SELECT name FROM (
    SELECT p.proname::text AS name FROM pg_proc p JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
    WHERE p.proname LIKE 'fi\_%' AND p.pronamespace <> 'fast_ingest'::regnamespace AND p.proname <> 'fi_help'
    EXCEPT
    SELECT substring(call FROM '^fi_\w+') FROM fi_help()) AS missing
EOQ
is($server->sql('SELECT max(length(topic)) + max(length(call)) + max(length(answer)) + 8 <= 100 FROM fi_help()'), 't', 'it fits into a terminal');

done_testing();
