# fi_alter_breakdown() changes what the rollup keeps of a breakdown, and no answer: before the next
# refresh, after it, with deltas that wait, with days of which events are lost, and with more keys
# than are kept apart.
#
# FI_ALTER_SEED: repeats a run (the seed is printed).

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use FastIngest;
use FastIngest::Clock;
use FastIngest::StoredRows;
use PostgreSQL::Test::Utils;
use Test::More;

my $seed = $ENV{FI_ALTER_SEED} || (time ^ ($$ << 8)) & 0x7fffffff;

diag("FI_ALTER_SEED=$seed");
srand $seed;

my $HOUR = 3600;
my $clock = FastIngest::Clock->new;
$clock->set_ahead(86400 + 43200 - time % 86400);
my $server = $clock->run(sub { FastIngest->new('alter', conf => "fast_ingest.refresh_backlog = 0\njit = off\n") });
my %KEYS = (site => 'site_id', page => 'path', campaign => 'campaign_id', plan => "metadata->>'plan'", person => 'user_id');
my @LEVELS = ('{day}', '{hour,day}', '{quarter,hour,day}', '{minute,hour,day}');

$server->sql(<<'EOQ');
SELECT fi_create_partition(current_date + n) FROM generate_series(-10, 20) n;
SELECT fi_add_breakdown('plan', metadata => 'plan', per_site => true);
SELECT fi_add_breakdown('campaign', 'campaign_id', '{quarter,hour,day}', fine_days => 2);
SELECT fi_add_breakdown('person', 'user_id', '{hour,day}', 4);
EOQ

# Answers by every breakdown that differ from raw rows, for ranges of all widths. Keys beyond the
# limit are compared by their sum.
sub wrong_answers
{
	my ($since) = @_;
	my @wrong;

	foreach my $group (sort keys %KEYS)
	{
		foreach my $range (
			[ "now() - interval '3 days'", "now() + interval '1 day'" ],
			[ "date_trunc('day', now(), 'UTC') - interval '2 days'", "date_trunc('hour', now())" ],
			[ "date_bin('15 minutes', now() - interval '40 hours', '2000-01-01')", "date_bin('15 minutes', now(), '2000-01-01')" ],
			[ "date_trunc('day', now(), 'UTC') - interval '6 days'", "date_trunc('day', now(), 'UTC') - interval '1 days'" ])
		{
			my ($from, $to) = ($range->[0], $range->[1]);

			$from = "greatest($from, '$since')" if $since;
			my $differ = $server->sql(<<"EOQ");
WITH bounds AS MATERIALIZED (SELECT $from AS low, $to AS high),
ours AS (SELECT m.* FROM bounds, fi_metrics('view', low, high, '$group') AS m),
raw AS (SELECT $KEYS{$group}, count(*) AS n, count(DISTINCT user_id) FROM fast_ingest.events, bounds
	WHERE event_name = 'view' AND ts >= low AND ts < high AND $KEYS{$group} IS NOT NULL GROUP BY 1)
SELECT CASE WHEN EXISTS (SELECT FROM ours WHERE group_key IS NULL)
	THEN (SELECT sum(total_events) FROM ours) <> (SELECT sum(n) FROM raw)
	ELSE EXISTS ((TABLE ours EXCEPT TABLE raw) UNION ALL (TABLE raw EXCEPT TABLE ours)) END
EOQ
			push @wrong, "$group from $from to $to" if $differ ne 'f';
		}
	}
	foreach my $site ($since ? () : qw(s1 s2))
	{
		my $differ = $server->sql(<<"EOQ");
SELECT count(*) FROM generate_series(current_date - 3, current_date, '1 day') AS day, fi_stats('$site', day::date) AS s,
LATERAL (SELECT count(*) AS n, count(DISTINCT user_id) AS users FROM fast_ingest.events
	WHERE site_id = '$site' AND ts >= day AND ts < day + interval '1 day') AS raw
WHERE s.total_views <> n OR s.unique_users <> users
EOQ
		push @wrong, "fi_stats('$site')" if $differ;
	}
	return join "\n", @wrong;
}

sub one_of { return $_[ rand @_ ] }

sub alter
{
	my ($name) = @_;
	my @arguments;

	push @arguments, "levels => '" . one_of(@LEVELS) . "'" if rand() < 0.8;
	push @arguments, 'fine_days => ' . one_of(0, 1, 2, 4) if rand() < 0.6;
	push @arguments, 'max_keys => ' . one_of(3, 4) if $name eq 'person' && rand() < 0.5;
	$server->sql("SELECT fi_alter_breakdown(" . join(', ', "'$name'", @arguments) . ')');
	return "$name(@arguments)";
}

my $lost;

foreach my $round (1 .. 6)
{
	insert_events($server, 100);
	insert_events($server, 40, $_) foreach 1 .. ($lost ? 3 : 6);
	$server->sql('SELECT fi_refresh()') if rand() < 0.7;
	insert_events($server, 40, one_of(0, 1, 2));
	my @done = map { alter($_) } grep { rand() < 0.7 } sort keys %KEYS;

	is(wrong_answers($lost), '', "round $round: @done");
	insert_events($server, 20, one_of(0, 1, 2));
	is(wrong_answers($lost), '', "round $round: with deltas");
	$server->sql('SELECT fi_refresh()');
	is(wrong_answers($lost), '', "round $round: refreshed");
	$clock->advance($round % 2 ? 2 * $HOUR : (20 + rand 30) * $HOUR);
	$server->sql("DELETE FROM fast_ingest.events WHERE random() < 0.03" . ($lost ? " AND ts >= '$lost'" : ''));
	$server->sql('SELECT fi_refresh()');
	is(wrong_answers($lost), '', "round $round: later");
	is($server->sql("SELECT count(*) FROM fast_ingest.breakdowns b JOIN fast_ingest.rollup r ON r.breakdown = b.id, fast_ingest.rollup_state"
			  . " WHERE r.level < 3 AND (finest = 3 OR bucket < fine_from OR fine_days > 0 AND bucket < days_closed - fine_days * interval '24 hours')"),
		0, "round $round: no finer rows than are kept");
	next if $round != 4;

	# Events of old days go; their days are known all the same
	my ($day, $table) = split /\|/, $server->sql("SELECT current_date - 4, to_char(current_date - 4, 'YYYYMMDD')");
	my $pages = "SELECT * FROM fi_metrics('view', '$day 00:00Z', '$day 24:00Z', 'page') ORDER BY 1";
	my $known = $server->sql($pages);

	$server->sql("SELECT fi_alter_breakdown('page', '{day}'); SELECT fi_refresh()");
	$server->sql("DROP TABLE fast_ingest.events_$table");
	is($server->sql($pages), $known, 'pages of a day of which events were dropped');
	$server->sql("SELECT fi_alter_breakdown('page', '{minute,hour,day}', fine_days => 0)");
	is($server->sql($pages), $known, 'and with finer levels');
	$server->sql('SELECT fi_refresh()');
	is($server->sql($pages), $known, 'and refreshed');
	$lost = $server->sql("SELECT date '$day' + 1") . ' 00:00Z';
}

# What the limit of keys leaves apart is not compared row by row
$server->sql("SELECT fi_drop_breakdown('person'); SELECT fi_refresh()");
$server->sql("SELECT fi_alter_breakdown('page', '{day}'), fi_alter_breakdown('site', '{hour,day}'); SELECT fi_refresh()");
is(stored_rows_differ($server), '', 'the rows are those that are wanted');
is($server->sql("SELECT name, finest, quarters, is_altered FROM fast_ingest.breakdowns WHERE id < 100 ORDER BY id"),
	"channel|1|f|f\nsite|2|f|t\npage|3|f|t", 'the breakdowns');

# An altered built-in breakdown survives a dump
my $dump = PostgreSQL::Test::Utils::tempdir() . '/dump.sql';
my $definitions = 'SELECT name, finest, quarters, max_keys, fine_days, fine_from FROM fast_ingest.breakdowns ORDER BY id';
my $answers = "SELECT * FROM fi_metrics('view', date_trunc('day', now(), 'UTC') - interval '3 days', date_trunc('day', now(), 'UTC'), 'page') ORDER BY 1";

$server->node->command_ok([ 'pg_dump', '--file', $dump, '--dbname', $server->node->connstr('postgres') ], 'dump');
$server->sql('CREATE DATABASE other');
$server->node->command_ok([ 'psql', '-q', '-X', '-v', 'ON_ERROR_STOP=1', '-f', $dump, '-d', $server->node->connstr('other') ], 'restore');
is($server->node->safe_psql('other', $definitions), $server->sql($definitions), 'restored: the breakdowns');
is($server->node->safe_psql('other', $answers), $server->sql($answers), 'restored: answers');

# What is refused

foreach my $refused (
	[ "'nothing'", qr/breakdown "nothing" does not exist/ ],
	[ "'channel', '{day}'", qr/breakdown "channel" cannot be changed/ ],
	[ "'page', '{week}'", qr/levels \{week\} are not valid/ ],
	[ "'page', max_keys => 0", qr/max_keys 0 is not valid/ ],
	[ "'page', fine_days => -1", qr/fine_days -1 is not valid/ ],
	[ 'NULL', qr/name is NULL/ ])
{
	my ($code, $out, $error) = $server->node->psql('postgres', "SELECT fi_alter_breakdown($refused->[0])");

	like($error, $refused->[1], "fi_alter_breakdown($refused->[0])");
}
my ($code, $out, $error) =
  $server->node->psql('postgres', "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT fi_alter_breakdown('page', '{day}')");
like($error, qr/breakdowns cannot be changed at isolation level repeatable read/, 'not in a transaction with one snapshot');

$server->node->stop;
done_testing();
