# What fast_ingest.rollup has to hold, computed from raw rows: every row of every breakdown and
# level, while no limit of names and keys is reached.

package FastIngest::StoredRows;

use strict;
use warnings;

use Exporter 'import';

our @EXPORT = qw(insert_events stored_rows_differ);

# Rows that the rollup has to have, by its state: at the finest level, or one level up where
# that is closed, and at the levels of closed hours and days.
my $WANTED = <<'EOQ';
WITH state AS (SELECT coalesce(min(hours_closed), '-infinity') AS hours, coalesce(min(days_closed), '-infinity') AS days
  FROM fast_ingest.rollup_state)
SELECT b.id AS breakdown, l.level, b.event_name, l.bucket, b.scope, b.key, count(*) AS events,
	count(DISTINCT b.user_id) AS users
FROM state,
LATERAL (%s) AS b,
LATERAL (SELECT greatest(b.fine_from, CASE WHEN b.fine_days = 0 THEN '-infinity' ELSE days - b.fine_days * interval '24 hours' END) AS fine) AS f,
LATERAL (VALUES
	(1, CASE WHEN b.quarters THEN date_bin('15 minutes', ts, '2000-01-01Z') ELSE date_trunc('minute', ts, 'UTC') END,
	 finest = 1 AND ts >= hours AND ts >= fine),
	(2, date_trunc('hour', ts, 'UTC'), (finest = 2 OR finest = 1 AND ts < hours) AND ts >= fine),
	(3, date_trunc('day', ts, 'UTC'), ts < days OR b.id >= 0 AND (finest = 3 OR ts < fine))) AS l (level, bucket, is_there)
WHERE l.is_there AND b.key IS NOT NULL AND (b.id > 0 OR l.level > 1) AND (b.id >= -1 OR l.level = 3)
GROUP BY 1, 2, 3, 4, 5, 6
EOQ

# The rows of a breakdown's events: what $WANTED reads.
sub events_of
{
	my ($id, %of) = @_;

	return "SELECT $id AS id, $of{name} AS event_name, ts, user_id, "
	  . ($of{is_array} ? 'element' : $of{key}) . ' AS key,'
	  . " coalesce($of{scope}, '') AS scope, $of{finest} AS finest, $of{quarters} AS quarters,"
	  . ' ' . ($of{fine_days} || 0) . ' AS fine_days, ' . ($of{fine_from} ? "'$of{fine_from}'::timestamptz" : "'-infinity'::timestamptz") . ' AS fine_from'
	  . ' FROM fast_ingest.events'
	  . ($of{is_array} ? ", LATERAL (SELECT DISTINCT unnest($of{key}) AS element) AS elements" : '');
}

# Insert n events of the last three hours, or of three hours that many days before.
sub insert_events
{
	my ($server, $n, $days) = @_;
	my $moment = 'now() - interval ' . ($days ? "'$days days'" : "'50 minutes'");

	$server->sql(<<"EOQ");
INSERT INTO fast_ingest.events (event_name, channel, user_id, ts, site_id, path, campaign_id, tags, metadata)
SELECT (ARRAY['view', 'click', 'buy'])[1 + (random() * 2)::int], (ARRAY['web', 'mobile'])[1 + (random())::int],
	nullif('u' || (random() * 20)::int, 'u0'), $moment + random() * interval '3 hours', nullif('s' || (random() * 3)::int, 's0'),
	nullif('/' || (random() * 4)::int, '/0'), nullif('c' || (random() * 3)::int, 'c0'),
	CASE WHEN random() < 0.7 THEN ARRAY['t' || (random() * 3)::int, 't' || (random() * 3)::int, nullif('t' || (random() * 3)::int, 't0')] END,
	jsonb_build_object('plan', 'p' || (random() * 2)::int)
FROM generate_series(1, $n)
EOQ
	return;
}

# Rows of the rollup that differ from raw rows, as text; '' if there are none. Everything must be
# merged. Times of which events are lost are left out.
sub stored_rows_differ
{
	my ($server) = @_;
	my @events = map { events_of($_->[0], name => $_->[1], key => "''::text", scope => "''", finest => 1, quarters => 'false') }
	  [ 0, 'event_name' ], [ -1, "''::text" ];

	foreach (split /\n/, $server->sql('SELECT id, key, scope, finest, quarters, is_array, fine_days, fine_from FROM fast_ingest.breakdowns'))
	{
		my ($id, $key, $scope, $finest, $quarters, $is_array, $fine_days, $fine_from) = split /\|/;

		# of each name, and of all, of which there are rows of closed days only
		push @events, map {
		  events_of($_->[0], name => $_->[1], key => $is_array eq 't' ? $key : "($key)::text", scope => $scope || "''",
			finest => $finest, quarters => $quarters eq 't' ? 'true' : 'false', is_array => $is_array eq 't', fine_days => $fine_days, fine_from => $fine_from)
		} [ $id, 'event_name' ], [ -1 - $id, "''::text" ];
	}
	return $server->sql(sprintf <<'EOQ', sprintf $WANTED, join "\nUNION ALL ", @events);
WITH wanted AS (%s), stored AS (
SELECT breakdown, level, event_name, bucket, scope, key, sum(events) AS events,
	coalesce(fast_ingest.cardinality(fast_ingest.union_users(users)), sum(unique_users)) AS users
FROM fast_ingest.rollup GROUP BY 1, 2, 3, 4, 5, 6)
SELECT * FROM (
SELECT 'missing', * FROM (TABLE wanted EXCEPT TABLE stored) m
UNION ALL SELECT 'wrong', * FROM (TABLE stored EXCEPT TABLE wanted) w
) d WHERE NOT EXISTS (SELECT FROM fast_ingest.lost_rows WHERE low < bucket + interval '24 hours' AND high > bucket) ORDER BY 2, 3, 5, 1 LIMIT 10
EOQ
}

1;
