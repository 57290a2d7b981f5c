# Questions that the rollup cannot answer read raw rows with PostgreSQL's parallel workers, with the
# rights of a role that may only ask, and answer what one process answers.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use FastIngest;
use Test::More;

my $server = FastIngest->new('parallel');

$server->sql(<<'EOQ');
CREATE ROLE analyst;
SELECT fi_grant_metrics('analyst');
SELECT fi_create_partition('2024-08-12'::date + n) FROM generate_series(0, 3) n;
INSERT INTO fast_ingest.events (event_name, channel, user_id, ts, tags, metadata)
SELECT (ARRAY['view', 'click'])[n % 2 + 1], (ARRAY['web', 'mobile', 'api'])[n % 3 + 1], CASE WHEN n % 13 > 0 THEN 'user' || n * 7 % 401 END,
       '2024-08-12 00:00Z'::timestamptz + n * interval '17.28 s', (ARRAY['{a,b,a}', '{b,c}', '{}'])[n % 3 + 1]::text[],
       jsonb_build_object('plan', 'plan' || n % 4)
FROM generate_series(0, 19999) n;
ANALYZE fast_ingest.events;
SELECT count(*) FROM fi_refresh();
SELECT fi_add_breakdown('label', 'tags', '{day}'), fi_add_breakdown('third', 'channel || ''!''', '{day}');
EOQ
cmp_ok($server->sql('SELECT count(*) FROM fast_ingest.users'), '==', 401, 'users have numbers in the rollup');

# Workers where the planner may have some, and what it says of each statement within another
my $SETTINGS = <<'EOQ';
LOAD 'auto_explain';
SET auto_explain.log_min_duration = 0;
SET auto_explain.log_nested_statements = on;
SET auto_explain.log_analyze = on;
SET client_min_messages = log;
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
SET SESSION AUTHORIZATION analyst;
EOQ

# What analyst is answered, and the greatest number of workers that a statement had
sub ask
{
	my ($query) = @_;
	my ($status, $rows, $messages) = $server->node->psql('postgres', "\\o /dev/null\n$SETTINGS\\o\n$query", on_error_stop => 1);

	is($status, 0, 'is answered') or diag($messages);
	my ($workers) = sort { $b <=> $a } $messages =~ /Workers Launched: (\d+)/g;
	return ($rows, $workers // 0);
}

sub is_parallel
{
	my ($query, $raw, $what) = @_;
	my ($rows, $workers) = ask("$query ORDER BY 1");

	is($rows, $server->sql("$raw ORDER BY 1"), $what);
	cmp_ok($workers, '>', 0, "$what: by workers");
	return;
}

my $PLAN = q(filter => '{"metadata":{"plan":"plan1"}}');
my $COUNTS = 'count(*), count(DISTINCT user_id) FROM fast_ingest.events';
my $THREE_DAYS = q('2024-08-12 01:02:03Z', '2024-08-15 04:05:06Z');
my $IN_THREE_DAYS = q(ts >= '2024-08-12 01:02:03Z' AND ts < '2024-08-15 04:05:06Z');

is_parallel("SELECT total_events, unique_users FROM fi_metrics('click', $PLAN)",
	"SELECT $COUNTS WHERE event_name = 'click' AND metadata->>'plan' = 'plan1'", 'a member of metadata');
is_parallel("SELECT total_events, unique_users FROM fi_metrics(NULL, $THREE_DAYS, $PLAN)",
	"SELECT $COUNTS WHERE $IN_THREE_DAYS AND metadata->>'plan' = 'plan1'", '... of a range');
is_parallel("SELECT group_key, total_events, unique_users FROM fi_metrics(NULL, $THREE_DAYS, 'channel', $PLAN)",
	"SELECT channel, $COUNTS WHERE $IN_THREE_DAYS AND metadata->>'plan' = 'plan1' GROUP BY 1", '... by channel');
is_parallel("SELECT group_key, total_events, unique_users FROM fi_metrics(NULL, $THREE_DAYS, 'third', $PLAN)",
	"SELECT channel || '!', $COUNTS WHERE $IN_THREE_DAYS AND metadata->>'plan' = 'plan1' GROUP BY 1", "... by a breakdown's expression");
is_parallel("SELECT group_key, total_events, unique_users FROM fi_metrics(NULL, $THREE_DAYS, 'day', $PLAN)",
	qq(SELECT to_char(ts AT TIME ZONE 'UTC', 'YYYY-MM-DD"T00:00:00Z"'), $COUNTS WHERE $IN_THREE_DAYS AND metadata->>'plan' = 'plan1' GROUP BY 1), '... by day');

my $tags = '(SELECT DISTINCT tag, e.* FROM fast_ingest.events e, unnest(tags) tag) e';
is_parallel("SELECT group_key, total_events, unique_users FROM fi_metrics(NULL, $THREE_DAYS, 'label', $PLAN)",
	"SELECT tag, count(*), count(DISTINCT user_id) FROM $tags WHERE $IN_THREE_DAYS AND metadata->>'plan' = 'plan1' GROUP BY 1",
	'... by the elements of an array');

# What the rollup answers but for the ends of the range
my ($rows, $workers) = ask("SELECT total_events, unique_users FROM fi_metrics('view', $THREE_DAYS)");
is($rows, $server->sql("SELECT $COUNTS WHERE event_name = 'view' AND $IN_THREE_DAYS"), 'without a filter');
is($workers, 0, 'without a filter: no workers for the minutes at its ends');

# Settings of the session are as they were
($rows) = ask("SELECT count(*) FROM fi_metrics('view', $PLAN); SHOW enable_seqscan; SELECT session_user, current_user");
is($rows, "1\non\nanalyst|analyst", 'settings and role are as before');
my (undef, undef, $error) = $server->node->psql('postgres', "$SETTINGS SELECT * FROM fast_ingest.events");
like($error, qr/ERROR:  permission denied for (table|schema)/, 'analyst may not read events itself');

done_testing();
