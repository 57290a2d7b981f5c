# The rows of the rollup are what the raw rows say, in every breakdown and at every level,
# whatever is inserted, late or not, deleted and counted again, while hours and days close.
#
# FI_STORED_SEED: repeats a run (the seed is printed).

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use FastIngest;
use FastIngest::Clock;
use FastIngest::StoredRows;
use Test::More;

my $seed = $ENV{FI_STORED_SEED} || (time ^ ($$ << 8)) & 0x7fffffff;

diag("FI_STORED_SEED=$seed");
srand $seed;

my $HOUR = 3600;
my $clock = FastIngest::Clock->new;
# noon, so that the first hours close no day
$clock->set_ahead(86400 + 43200 - time % 86400);
my $server = $clock->run(sub { FastIngest->new('stored', conf => "fast_ingest.refresh_backlog = 0\njit = off\n") });

$server->sql("SELECT fi_create_partition(current_date + n) FROM generate_series(-8, 12) n");
$server->sql(<<'EOQ');
SELECT fi_add_breakdown('plan', levels => '{quarter,hour,day}', metadata => 'plan');
SELECT fi_add_breakdown('campaign', 'campaign_id', per_site => true);
SELECT fi_add_breakdown('each_tag', 'tags', '{minute,hour,day}', 100000);
SELECT fi_add_breakdown('site_tag', 'array_append(tags, channel)', '{day}', per_site => true);
SELECT fi_add_breakdown('old_tag', 'tags', '{quarter,hour,day}', fine_days => 2);
SELECT fi_add_breakdown('old_campaign', 'campaign_id', per_site => true, fine_days => 1);
EOQ

sub insert { return insert_events($server, @_) }

sub is_right
{
	my ($name) = @_;

	$server->sql('SELECT fi_refresh()');
	is(stored_rows_differ($server), '', $name);
	return;
}

foreach my $round (1 .. 6)
{
	insert(100);
	insert(30, 1 + int rand 6);
	is_right("round $round: inserted");
	insert(50);
	insert(30, $_) foreach 1, 2 + int rand 5;
	is_right("round $round: late");
	$clock->advance($round % 2 == 0 ? (20 + rand 60) * $HOUR : 2 * $HOUR);
	is_right("round $round: later");
	$server->sql("DELETE FROM fast_ingest.events WHERE random() < 0.02");
	insert(20, 1 + int rand 5);
	is_right("round $round: deleted");
	next unless $round % 3 == 0;
	$server->sql("SELECT fi_rebuild(now() - interval '50 hours', now())");
	is_right("round $round: rebuilt in part");
	$server->sql("SELECT fi_erase_user('u$round')");
	is_right("round $round: erased");
}
$server->sql('SELECT fi_rebuild()');
is_right('rebuilt');
cmp_ok($server->sql('SELECT count(DISTINCT bucket) FROM fast_ingest.rollup WHERE level = 3'), '>', 5, 'of many days');
is($server->sql('SELECT sum(n) FROM (SELECT count(*) AS n FROM fast_ingest.rollup WHERE breakdown = -1 AND level = 3 GROUP BY bucket HAVING count(*) > 2) d'),
	'', 'a day of all event_names has few rows');

# More elements of an array than fit in a delta
$server->sql(<<'EOQ');
INSERT INTO fast_ingest.events (event_name, channel, user_id, ts, tags)
SELECT 'big', 'web', 'u' || n, now(), (SELECT array_agg('tag ' || i % 70000) FROM generate_series(1, 70010) i) FROM generate_series(1, 2) n
EOQ
cmp_ok($server->sql('SELECT count(*) FROM fast_ingest.rollup_delta'), '>', 2, 'an event in several deltas');
is($server->sql('SELECT sum(events) FROM fast_ingest.rollup_delta'), 2, 'is one event');
foreach my $state ('deltas', 'merged')
{
	is( $server->sql("SELECT count(*), min(total_events), max(total_events), min(unique_users), max(unique_users) FROM fi_metrics('big', group_by => 'each_tag')"),
		'70000|2|2|2|2',
		"each of many elements counts once: $state");
	$server->sql('SELECT fi_refresh()');
}

$server->node->stop;
done_testing();
