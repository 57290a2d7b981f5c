# fi_series and fi_event_names equal the raw rows: every step in zones whose clocks change, by event
# and by breakdown, the largest keys and all others together, with filters; from deltas, from the
# rollup, and with rows that are to be counted again. A panel of Grafana, whose range has milliseconds,
# reads no raw rows, and is answered after retention has dropped them. Nor do names of channels: the
# times at which they were first and last seen stay exact.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use FastIngest;
use FastIngest::RandomSeries;
use Test::More;

$EVENTS = 'raw';
my $server = FastIngest->new('series', conf => <<'EOC');
fast_ingest.refresh_backlog = 0
jit = off
wal_level = replica
max_wal_senders = 3
hot_standby = on
EOC

# ---------------------------------------------------------------------------
# Events of six weeks, in which clocks are changed, and many around the changes
# ---------------------------------------------------------------------------

$server->sql(<<'EOQ');
DO $$BEGIN
  PERFORM fi_create_partition(day::date) FROM generate_series('2024-02-24'::date, '2024-04-09', '1 day') day;
END$$;
CREATE FUNCTION add_events(low timestamptz, high timestamptz, n integer, seed integer) RETURNS void LANGUAGE sql AS $$
  INSERT INTO fast_ingest.events (event_name, channel, user_id, ts, site_id, path, campaign_id, metadata)
  SELECT (ARRAY['view', 'view', 'view', 'click', 'buy'])[1 + h % 5], (ARRAY['web', 'web', 'mobile', 'api', 'tv'])[1 + h / 5 % 5],
    CASE WHEN h % 11 > 0 THEN 'u' || h / 25 % 61 END, low + (high - low) * (i::float8 / n),
    CASE WHEN h / 7 % 5 > 0 THEN 'site' || h / 7 % 3 END, '/' || h / 13 % 12, CASE WHEN h % 4 > 0 THEN 'c' || h % 4 END,
    jsonb_build_object('plan', (ARRAY['free', 'pro'])[1 + h / 3 % 2], 'n', h % 3)
  FROM generate_series(0, n - 1) i, LATERAL (SELECT abs(hashint4(i + seed) / 2) AS h) r
$$;
SELECT add_events('2024-02-25 00:00Z', '2024-04-07 00:00Z', 2500, 1);
CREATE TABLE raw (LIKE fast_ingest.events);
-- New York, Azores and Lord Howe
SELECT add_events(change - interval '5 hours', change + interval '5 hours', 400, 2)
FROM unnest('{2024-03-10 07:00Z,2024-03-31 01:00Z,2024-04-06 15:00Z}'::timestamptz[]) change;
EOQ

my @zones = ('UTC', 'Asia/Kathmandu', 'America/New_York', 'Atlantic/Azores', 'Australia/Lord_Howe');
my @ranges = (
	[ "'2024-02-25 00:00Z'::timestamptz", "'2024-04-07 00:00Z'::timestamptz" ],
	[ "'2024-03-10 03:07:11.5Z'::timestamptz", "'2024-03-11 09:31:00.001Z'::timestamptz" ],
	[ "'2024-03-30 23:55Z'::timestamptz", "'2024-03-31 04:05Z'::timestamptz" ],
	[ "'2024-04-06 11:00:30Z'::timestamptz", "'2024-04-06 18:00Z'::timestamptz" ]);

# The rows that say that an answer differs
sub differing
{
	my ($on, @sql) = @_;

	return join "\n", grep { /^DIFFERS/ } split /\n/, $on->sql(join '', @sql);
}

# Steps of which a range has not too many
sub steps_of
{
	my ($range) = @_;

	return $range == $ranges[0] ? @STEPS[3 .. 7] : @STEPS;
}

# All that is asked of one state of the rollup. The raw rows are a table without partitions, which is
# faster to plan for.
my $turn = 0;

sub ask
{
	my ($state, $on, @zones) = @_;

	$server->sql('TRUNCATE raw; INSERT INTO raw SELECT * FROM fast_ingest.events') if $on == $server;
	foreach my $zone (@zones)
	{
		my @sql;

		foreach my $range (@ranges)
		{
			my @bounds = (since => $range->[0], until => $range->[1], zone => $zone);
			my @kinds = (
				[ event_name => 'view', fill => 1 ],
				[ group_by => 'channel', top => 2, sunday => 1 ],
				[ event_name => 'view', group_by => 'channel', top => 3, fill => 1 ]);

			push @sql, series_comparison(@bounds, step => $_, @{ $kinds[ $turn++ % @kinds ] }) foreach steps_of($range);
			next if $range != $ranges[0] && $range != $ranges[1];
			push @sql, series_comparison(@bounds, step => '1w', group_by => 'event', fill => 1, sunday => $_) foreach 0, 1;
			push @sql, series_comparison(@bounds, step => '6h', group_by => 'event', top => 1),
			  series_comparison(@bounds, step => '1d', event_name => 'view', group_by => 'page', top => 4, fill => 1),
			  series_comparison(@bounds, step => '1h', group_by => 'site', filter => { site => [ 'site0', 'site2' ] }),
			  series_comparison(@bounds, step => '1mo', event_name => 'click', filter => { channel => 'web' }, fill => 1),
			  series_comparison(@bounds, step => '1d', group_by => 'page', top => 2, filter => { site => 'site1', channel => [ 'web', 'api' ] }),
			  series_comparison(@bounds, step => '1w', group_by => 'event', filter => { metadata => { plan => 'pro', n => [ 1, 2 ] } });
		}
		is(differing($on, @sql), '', "$state, in $zone");
	}
	is( differing(
			$on,
			(map { series_comparison(step => $_, event_name => 'view') } '1d', '1w', '1mo'),
			(map { series_comparison(step => '1mo', group_by => $_, top => 2) } 'event', 'channel', 'site'),
			series_comparison(step => '1d', since => $ranges[1][0]),
			series_comparison(step => '1h', until => $ranges[1][1], event_name => 'buy')),
		'',
		"$state, without bounds");
	is( differing(
			$on,
			event_names_comparison(),
			(map { event_names_comparison(since => $_->[0], until => $_->[1]) } @ranges),
			event_names_comparison(since => $ranges[1][1]),
			event_names_comparison(until => $ranges[1][1], filter => { site => 'site1' }),
			event_names_comparison(since => $ranges[0][0], filter => { channel => [ 'web', 'tv' ] }),
			event_names_comparison(since => $ranges[0][0], filter => { metadata => { plan => 'free' } })),
		'',
		"$state, names");
	return;
}

ask('from deltas', $server, @zones[0, 2]);
$server->sql('SELECT fi_refresh()');
ask('from the rollup', $server, @zones);
$server->sql(<<'EOQ');
SELECT add_events('2024-02-25 00:00Z', '2024-04-07 00:00Z', 300, 3);
DELETE FROM fast_ingest.events WHERE user_id = 'u7' AND ts > '2024-03-10 05:00Z';
UPDATE fast_ingest.events SET event_name = 'click' WHERE user_id = 'u8' AND path = '/3';
EOQ
ask('with deltas and marks', $server, @zones[1, 3]);
my $standby = $server->standby('series_standby');
$server->node->wait_for_catchup($standby->node);
ask('on a standby', $standby, $zones[4]);
$server->sql('SELECT fi_refresh()');

# ---------------------------------------------------------------------------
# Steps as tools ask for them
# ---------------------------------------------------------------------------

my @day = (since => "'2024-03-10 00:00Z'::timestamptz", until => "'2024-03-11 00:00Z'::timestamptz", fill => 1);
my @month = (since => "'2024-03-01 00:00Z'::timestamptz", until => "'2024-04-01 00:00Z'::timestamptz", fill => 1);

is( differing(
		$server,
		(map { series_comparison(@day, step => '1m', asked => $_) } '30s', '500ms', '1m', 'minute'),
		(map { series_comparison(@day, step => '5m', asked => $_) } '2m', '5m', 'auto'),
		(map { series_comparison(@month, step => '1d', asked => $_) } '12h', 'day', '1d'),
		(map { series_comparison(@month, step => '1w', asked => $_) } '2d', '7d', 'week'),
		(map { series_comparison(@month, step => '1mo', asked => $_) } '1M', '1y', '30d', 'month'),
		series_comparison(@month, step => '6h', asked => 'auto')),
	'',
	'names of steps');

# ---------------------------------------------------------------------------
# A panel of Grafana: its range has milliseconds, and is widened to whole buckets
# ---------------------------------------------------------------------------

# The answer and how often tables of events were scanned for it
sub answer_and_scans
{
	my ($query) = @_;
	my @lines = split /\n/, $server->sql(<<"EOQ");
BEGIN;
$query;
SELECT sum(coalesce(seq_scan, 0) + coalesce(idx_scan, 0)) FROM pg_stat_xact_user_tables WHERE schemaname = 'fast_ingest' AND relname LIKE 'events\\_2%';
COMMIT;
EOQ
	my $scans = pop @lines;

	return (join("\n", @lines), $scans);
}

$server->sql(<<'EOQ');
INSERT INTO fast_ingest.events (event_name, channel, user_id, ts)
VALUES ('view', 'web', 'before', '2024-03-10 02:00:01Z'), ('view', 'web', 'after', '2024-03-10 08:00:59Z')
EOQ
my $panel = "SELECT * FROM fi_series('view', '2024-03-10 02:00:03.211Z', '2024-03-10 08:00:03.211Z', '5m', 'channel', time_zone => 'America/New_York'";
my ($aligned, $scans) = answer_and_scans("$panel)");
is($scans, 0, 'reads no raw rows');
is($aligned, $server->sql($panel =~ s/00:03.211Z'/00:00Z'/r =~ s/00:03.211Z'/01:00Z'/r . ', align => false)'), 'for whole minutes');
my ($cut, $cut_scans) = answer_and_scans("$panel, align => false)");
is($cut_scans, 0, 'nor without align, where the channels know the times');
isnt($cut, $aligned, 'which are others then');
is( $server->sql("SELECT min(\"time\"), max(\"time\"), count(DISTINCT \"time\") FROM ($panel)) p"),
	'2024-03-10 02:00:00+00|2024-03-10 08:00:00+00|73', 'the first and the last point are parts of a step');

my $by_page = "SELECT * FROM fi_series(NULL, '2024-03-10 01:17:03.211Z', '2024-03-12 07:17:03.211Z', '1d', 'page'";
my ($pages, $page_scans) = answer_and_scans("$by_page)");
is($page_scans, 0, 'by page, too');
my (undef, $cut_page_scans) = answer_and_scans("$by_page, align => false)");
cmp_ok($cut_page_scans, '>', 0, 'raw rows answer its ends otherwise');

# ---------------------------------------------------------------------------
# Names: channels keep the time of each event
# ---------------------------------------------------------------------------

# Events of now: of closed hours, open minutes, and what is not merged yet
$server->sql(<<'EOQ');
DO $$BEGIN
  PERFORM fi_create_partition(day::date) FROM generate_series(now() - interval '1 day', now() + interval '1 day', '1 day') day;
END$$;
CREATE TABLE clock AS SELECT now() AS ts;
SELECT add_events(ts - interval '3 hours', ts + interval '1 minute', 2000, 4) FROM clock;
SELECT fi_refresh();
SELECT add_events(ts - interval '3 hours', ts - interval '2 minutes', 200, 5), add_events(ts - interval '90 s', ts - interval '60 s', 100, 6) FROM clock;
TRUNCATE raw;
INSERT INTO raw SELECT * FROM fast_ingest.events;
EOQ
is($server->sql('SELECT count(DISTINCT level) FROM fast_ingest.rollup, clock WHERE breakdown = 1 AND bucket >= ts - interval \'4 hours\' AND level < 3'), 2, 'hours are closed, and minutes are open');

my $clock = "'" . $server->sql('SELECT ts FROM clock') . "'::timestamptz";
# a minute that a range cuts is closed, open, has a delta, or is the same at both ends
my @cuts = map { [ $_->[0] && "$clock - interval '$_->[0]'", $_->[1] && "$clock - interval '$_->[1]'" ] } (
	[ '175 min 17.000001 s', '4 min 11 s' ], [ '177 min', '170 min 0.5 s' ], [ '100 s', '65.25 s' ], [ '63.5 s', undef ],
	[ '130 min 10 s', '129 min 50 s' ], [ '75 s', '70 s' ], [ undef, '150 min 0.5 s' ]);
my @names = (@ranges[ 1, 3 ], @cuts, [ undef, undef ]);
my @filters = (undef, { channel => 'web' }, { channel => [ 'tv', 'api' ] });

sub names_are_exact
{
	my ($state) = @_;

	is(differing($server, map { my $filter = $_; map { event_names_comparison(since => $_->[0], until => $_->[1], filter => $filter) } @names } @filters),
		'', "names, $state");
	foreach my $range (@names)
	{
		my ($since, $until) = map { defined $_ ? $_ : 'NULL' } @$range;
		my (undef, $scans) = answer_and_scans("SELECT * FROM fi_event_names($since, $until)");

		is($scans, 0, "without raw rows: $since, $until" =~ s/\Q$clock\E/now/gr);
	}
	return;
}

names_are_exact('with deltas');
$server->sql('SELECT fi_refresh()');
names_are_exact('from the rollup');
is( differing(
		$server,
		"BEGIN;\n",
		"UPDATE fast_ingest.rollup r SET minutes = (SELECT fast_ingest.pack_minutes(minute, events, users, NULL) FROM fast_ingest.unpack_minutes(r.users, r.minutes))"
		  . " WHERE breakdown = 1 AND level = 2 AND (key = 'web' OR bucket > '2024-03-20');\n",
		"UPDATE fast_ingest.rollup SET minutes = NULL WHERE breakdown = 1 AND level = 1 AND key <> 'web';\n",
		map { event_names_comparison(since => $_->[0], until => $_->[1]) } @names),
	'',
	'raw rows tell where there are no times');

# ---------------------------------------------------------------------------
# After retention
# ---------------------------------------------------------------------------

my $names = join ' UNION ALL ',
  map { my ($since, $until) = map { defined $_ ? $_ : 'NULL' } @$_; ("SELECT * FROM fi_event_names($since, $until)", "SELECT * FROM fi_event_names($since, $until, '{\"channel\": \"web\"}')") } @names;
my $named = $server->sql($names);
my $by_site = q(SELECT bool_and(first_seen BETWEEN '2024-02-25 00:00Z' AND '2024-02-26 00:00Z') FROM fi_event_names(filter => '{"site": "site1"}'));
is($server->sql($by_site), 't', 'names of a site were seen first');
$server->sql(<<'EOQ');
DO $$
DECLARE
  day date;
BEGIN
  FOR day IN SELECT p.day FROM fi_partitions() p WHERE p.day < '2024-03-20' OR p.day > '2024-04-09' LOOP
    EXECUTE 'DROP TABLE fast_ingest.events_' || to_char(day, 'YYYYMMDD');
  END LOOP;
END$$;
EOQ
is($server->sql("$panel)"), $aligned, 'the panel is answered when its raw rows are gone');
is($server->sql("$by_page)"), $pages, 'by page, too');
is($server->sql($names), $named, 'names are there, and the times at which they were seen');
is($server->sql($by_site), 't', 'and the day on which they were first seen on a site');
is($server->sql("$panel, align => false)"), $cut, 'and of its very range');
my (undef, undef, $error) = $server->node->psql($server->{database}, "$by_page, align => false)");
like($error, qr/raw events before .* are needed and have been dropped/, 'pages need whole buckets');

# ---------------------------------------------------------------------------
# What is not valid
# ---------------------------------------------------------------------------

foreach (
	[ "step => '1x'", qr/step "1x" is not valid: expected 1m, 5m, 15m, 1h, 6h, 1d, 1w, 1mo, auto/ ],
	[ "step => ''", qr/step "" is not valid/ ],
	[ "step => '1m', since => '2024-01-01', until => '2025-01-01'", qr/step "1m" has too many points from "since" to "until": at most 200000 are allowed/ ],
	[ "step => '1d', since => '0300-01-01', until => '2025-01-01'", qr/step "1d" has too many points/ ],
	[ "top => 0", qr/top 0 is not valid: expected 1 to 1000/ ],
	[ "top => 1001", qr/top 1001 is not valid: expected 1 to 1000/ ],
	[ "group_by => 'hour'", qr/group_by "hour" is not valid: expected event/ ],
	[ "group_by => 'nothing'", qr/group_by "nothing" is not valid: expected .*event/ ],
	[
		"group_by => 'page', step => '15m', top => 1000, since => '2024-03-01', until => '2025-03-01'",
		qr/step "15m" has too many points from "since" to "until" in 12 series: at most 200000 are allowed/
	],
	[ "time_zone => 'Mars/Base'", qr/time_zone "Mars\/Base" is not valid/ ],
	[ "week_start => 'tuesday'", qr/week_start "tuesday" is not valid: expected monday or sunday/ ],
	[ "event_name => ''", qr/event_name is empty/ ],
	[ "since => '2024-03-02', until => '2024-03-01'", qr/since must be before until/ ],
	[ "filter => '{\"nothing\": \"x\"}'", qr/filter.*nothing/ ])
{
	my ($arguments, $expected) = @$_;
	my ($status, undef, $error) = $server->node->psql($server->{database}, "SELECT * FROM fi_series($arguments)");

	is($status, 3, "refused: $arguments");
	like($error, $expected, 'with the reason');
}
is($server->sql("SELECT count(*) FROM fi_series('nothing', '2024-03-01', '2024-03-02', '1h')"), 24, 'a name that no event has: zeros');
is($server->sql("SELECT count(*) FROM fi_series('nothing', '2024-03-01', '2024-03-02', '1h', 'channel')"), 0, 'and no series');
is($server->sql("SELECT count(*) FROM fi_series('nothing')"), 0, 'and no points without bounds');

done_testing();
