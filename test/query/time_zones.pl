# Days, hours, weeks, months and the steps of charts are what SQL says: in every zone of the time zone
# database, around every change of its clock from 1970 to 2037, and in answers over HTTP. The names of zones are those of the
# database. A page may end anywhere in time.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use FastIngest;
use JSON::PP ();
use PostgreSQL::Test::Utils;
use Test::More;

my $server = FastIngest->new('zones', conf => "fast_ingest.refresh_backlog = 0\njit = off\n");
my $pg_config = $ENV{PG_CONFIG} || 'pg_config';
my $answer;

sub metrics { return $server->query('/metrics', @_) }

# ---------------------------------------------------------------------------
# Every zone, every change: src/rollup/calendar/calendar.c against AT TIME ZONE. A session's time
# zone stands for it: names such as CET are abbreviations to AT TIME ZONE.
# ---------------------------------------------------------------------------

my $library = PostgreSQL::Test::Utils::tempdir() . '/calendar.so';
chomp(my ($cc, $include) = map { `"$pg_config" $_` } '--cc', '--includedir-server');
foreach my $compiler ((split ' ', $cc)[0], 'cc')
{
	last
	  if system($compiler, '-shared', '-fPIC', '-O2', "-I$FindBin::RealBin/../../src",
		"-I$include", '-o', $library, "$FindBin::RealBin/../perl/calendar.c") == 0;
}
die 'could not build calendar.so' unless -f $library;
$server->sql(<<"EOQ");
CREATE FUNCTION calendar_changes(zone text, low timestamptz, high timestamptz,
  OUT change timestamptz, OUT before integer, OUT after integer) RETURNS SETOF record AS '$library' LANGUAGE c STRICT;
CREATE FUNCTION calendar_pieces(zone text, low timestamptz, high timestamptz, step text, sunday boolean,
  OUT "time" timestamptz, OUT label text, OUT low timestamptz, OUT high timestamptz, OUT owner integer) RETURNS SETOF record
  AS '$library' LANGUAGE c STRICT;
CREATE FUNCTION calendar_zone(name text) RETURNS text AS '$library' LANGUAGE c STRICT;
CREATE FUNCTION calendar_step(name text) RETURNS text AS '$library' LANGUAGE c STRICT;
CREATE FUNCTION calendar_auto(low timestamptz, high timestamptz, least_width interval) RETURNS text AS '$library' LANGUAGE c STRICT;

-- The local time at which a step begins
CREATE FUNCTION begin_of(step text, local timestamp) RETURNS timestamp LANGUAGE sql IMMUTABLE AS \$\$
  SELECT CASE step WHEN '1mo' THEN date_trunc('month', local) WHEN 'monday' THEN date_trunc('week', local)
    WHEN 'sunday' THEN date_trunc('week', local + interval '1 day') - interval '1 day'
    WHEN '1d' THEN date_trunc('day', local) WHEN '1h' THEN date_trunc('hour', local)
    ELSE date_bin(replace(step, 'm', ' minutes')::interval, local, '2000-01-01') END
\$\$;

CREATE TABLE changes AS
SELECT name AS zone, c.* FROM pg_timezone_names, calendar_changes(name, '1970-01-01 00:00Z', '2038-01-01 00:00Z') c
WHERE name NOT LIKE 'posix/%';
ANALYZE changes;

-- Pieces of ranges around the changes of a zone that are not where they should be. Beside a
-- name, a step may be monday or sunday: a week.
CREATE FUNCTION wrong_pieces(zone text, step text, widths interval[]) RETURNS SETOF text LANGUAGE plpgsql AS \$\$
DECLARE
  is_long CONSTANT boolean := step IN ('6h', '1d', 'monday', 'sunday', '1mo');
BEGIN
  PERFORM set_config('timezone', zone, true);
  RETURN QUERY
  WITH ranges AS (
    SELECT c.change - n AS low, c.change + n AS high
    FROM changes c, unnest(widths) n
    WHERE c.zone = wrong_pieces.zone),
  pieces AS (
    SELECT r.low AS range_low, r.high AS range_high, p.*, begin_of(step, p.low::timestamp) AS local,
      left(p.label, 19)::timestamp AS label_local, p.label::timestamptz AS label_ts,
      lag(p.owner) OVER (PARTITION BY r.low, r.high ORDER BY p.low) AS previous_owner,
      lag(p.high, 1, r.low) OVER (PARTITION BY r.low, r.high ORDER BY p.low) AS previous_high,
      lead(p.low, 1, r.high) OVER (PARTITION BY r.low, r.high ORDER BY p.low) AS next_low
    FROM ranges r, calendar_pieces(zone, r.low, r.high, CASE WHEN step LIKE '%day' THEN '1w' ELSE step END, step = 'sunday') p),
  -- in between, the clock only goes on
  moments AS (
    SELECT p.*, p.low AS ts FROM pieces p
    UNION ALL SELECT p.*, p.high - interval '1 us' FROM pieces p
    UNION ALL SELECT p.*, m.ts FROM pieces p JOIN changes c ON c.zone = wrong_pieces.zone AND c.change > p.low AND c.change < p.high,
      LATERAL (VALUES (c.change), (c.change - interval '1 us')) m (ts))
  SELECT format('%s %s: %s [%s, %s) in [%s, %s)', zone, m.ts, m.label, m.low, m.high, m.range_low, m.range_high)
  FROM moments m
  WHERE m.low <> m.previous_high OR m.high <> m.next_low OR m.low >= m.high OR m.owner = m.previous_owner
    OR begin_of(step, m.ts::timestamp) <> m.label_local
    OR m."time" <> m.label_ts
    OR is_long AND begin_of(step, m.ts::timestamp)::timestamptz <> m.label_ts
    OR step IN ('1d', '1h', '1mo') AND date_trunc(CASE step WHEN '1d' THEN 'day' WHEN '1h' THEN 'hour' ELSE 'month' END, m.ts) <> m.label_ts
    OR NOT is_long AND m.ts::timestamp - (m.ts AT TIME ZONE 'UTC') <> m.label_local - (m.label_ts AT TIME ZONE 'UTC')
  UNION ALL
  SELECT format('%s %s: a group is not all of %s', zone, g.range_low, min(label)) FROM pieces g
  GROUP BY g.range_low, g.range_high, g.label HAVING count(DISTINCT owner) <> 1
  UNION ALL
  SELECT format('%s %s: %s is out of order', zone, o.range_low, o.label)
  FROM (SELECT p.*, lag(p.local) OVER (PARTITION BY p.range_low, p.range_high ORDER BY p.owner) AS previous FROM pieces p) o
  WHERE is_long AND o.previous > o.local;
END \$\$;
EOQ

my ($changes, $zones) = split /\|/, $server->sql('SELECT count(*), count(DISTINCT zone) FROM changes');
cmp_ok($changes, '>', 10000, "$changes changes of the clocks of $zones zones");
foreach (
	[ '1d' => '27 hours' ], [ '1h' => '2:17:11.5' ], [ monday => '11 days' ], [ sunday => '8 days 7 hours' ],
	[ '1mo' => '47 days' ], [ '6h' => '13 hours' ], [ '15m' => '47:11.5' ], [ '5m' => '7:11.5' ], [ '1m' => '3:11.5' ])
{
	my ($step, $width) = @$_;

	$width = "00:$width" if $width =~ /^\d+:[\d.]+$/;
	is( $server->sql(<<"EOQ"), '', "steps of $step around each of them");
SELECT w FROM (
  -- many zones have several names
  SELECT min(zone) AS zone FROM (
    SELECT zone, array_agg((change, before, after) ORDER BY change) AS clock FROM changes GROUP BY 1) z GROUP BY clock) z,
  wrong_pieces(zone, '$step', '{$width,1 second}') w LIMIT 20
EOQ
}
is( $server->sql(<<'EOQ'), '', 'from 1970 to 2037 in one piece, and what comes long after');
SET timezone = 'Atlantic/Azores';
SELECT p.* FROM (VALUES ('1970-01-01'::timestamptz, '2038-01-01'::timestamptz), ('2430-01-01', '2444-01-01'), ('9990-01-01', '10010-01-01')) r (low, high),
  (VALUES ('1d', 'day'), ('1w', 'week'), ('1mo', 'month')) u (step, unit),
  calendar_pieces('Atlantic/Azores', r.low, r.high, step, false) p
WHERE date_trunc(unit, p.low) <> p.label::timestamptz OR date_trunc(unit, p.high - interval '1 us') <> p.label::timestamptz
EOQ

# ---------------------------------------------------------------------------
# Names of steps: src/rollup/calendar/time_step.c
# ---------------------------------------------------------------------------

my %steps = (
	'1m' => '1m 30s 60s 10s 500ms 1ms 60000ms minute 01m',
	'5m' => '5m 2m 61s 300s 60001ms',
	'15m' => '15m 6m 10m 900s',
	'1h' => '1h 16m 20m 30m 60m 3600s hour',
	'6h' => '6h 2h 3h 61m 360m',
	'1d' => '1d 7h 12h 24h 86400s day',
	'1w' => '1w 2d 7d 25h 168h week',
	'1mo' => '1mo 1M 8d 2w 30d 3M 1y 10y 2mo month 9999999999y 9999999999ms 9999999999d',
	'' => "x 1x m 0m 0s 00000000ms 1M1 -1m +1m 1.5h 1H 1D '' 1month 1Y 11111111111m 1 auto ");
foreach my $step (sort keys %steps)
{
	foreach my $name (split ' ', $steps{$step})
	{
		$name =~ tr/'//d;
		is($server->sql("SELECT calendar_step('$name')"), $step, "\"$name\" is " . ($step || 'no step'));
	}
}
foreach (
	[ '1 minute' => '1m' ], [ '5 hours' => '1m' ], [ '5:00:01' => '5m' ], [ '24 hours' => '5m' ], [ '3 days' => '15m' ],
	[ '7 days' => '1h' ], [ '30 days' => '6h' ], [ '90 days' => '1d' ], [ '2 years' => '1w' ], [ '20 years' => '1mo' ],
	[ '5 hours', '1 hour' => '1h' ], [ '5 hours', '15 minutes' => '15m' ], [ '1 day', '1 day' => '1d' ])
{
	my ($range, $least, $step) = @$_ == 3 ? @$_ : ($_->[0], '1 minute', $_->[1]);

	is($server->sql("SELECT calendar_auto('2026-03-01', '2026-03-01'::timestamptz + '$range'::interval, '$least')"),
		$step, "auto is $step for $range and buckets of $least");
}

# ---------------------------------------------------------------------------
# Answers equal raw rows
# ---------------------------------------------------------------------------

# Midnights that come twice or not at all, clocks set back into the day before, a day that is
# left out, and changes by 15, 20, 30, 44.5 and 120 minutes.
$server->sql(<<'EOQ');
CREATE TABLE awkward AS
SELECT zone || ' ' || day AS name, zone, change
FROM (VALUES ('Atlantic/Azores', '2026-10-25'), ('America/Havana', '2024-11-03'), ('America/Sao_Paulo', '2018-11-04'),
  ('America/St_Johns', '1999-10-31'), ('America/Asuncion', '2024-03-24'), ('Asia/Pyongyang', '2015-08-14'),
  ('Pacific/Apia', '2011-12-30'), ('Pacific/Kwajalein', '1993-08-20'), ('Asia/Kathmandu', '1985-12-31'),
  ('Africa/Monrovia', '1972-01-07'), ('Australia/Lord_Howe', '2024-10-05'), ('Australia/Lord_Howe', '2025-04-05'),
  ('Antarctica/Troll', '2024-10-27')) c (zone, day),
  calendar_changes(zone, (day || ' 00:00Z')::timestamptz - interval '1 day', (day || ' 00:00Z')::timestamptz + interval '2 days');
DO $$BEGIN
  PERFORM fi_create_partition(day::date)
  FROM awkward, generate_series(change - interval '2 days', change + interval '2 days', interval '1 day') day GROUP BY day::date;
END$$;
INSERT INTO fast_ingest.events (event_name, channel, user_id, ts)
SELECT name, (ARRAY['web', 'api'])[1 + abs(n) % 2], 'u' || abs(n) % 29, change + n * interval '7 minutes 13 seconds'
FROM awkward, generate_series(-290, 290) n;
INSERT INTO fast_ingest.events (event_name, channel, user_id, ts)
SELECT name, 'web', 'u0', change + n FROM awkward, unnest('{-1 us,0,1 us}'::interval[]) n;

-- Differences between answers and raw rows, each range by day and by hour.
CREATE FUNCTION wrong_answers() RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
  c record;
BEGIN
  FOR c IN SELECT a.*, unit, channel, change + low AS low, change + high AS high
    FROM awkward a, unnest('{day,hour}'::text[]) unit, unnest('{NULL,api}'::text[]) channel,
      (VALUES (NULL::interval, NULL::interval), ('-30 hours', '30 hours'), ('-90 minutes', '47 minutes'),
        ('-28:13:11.5', '0'), ('0', '25:01'), ('20 minutes', NULL), ('59 minutes', '1 hour 1 minute')) r (low, high)
  LOOP
    PERFORM set_config('timezone', c.zone, true);
    RETURN QUERY
    WITH answer AS (
      SELECT left(group_key, CASE c.unit WHEN 'day' THEN 10 ELSE 19 END)::timestamp, group_key::timestamptz, total_events, unique_users
      FROM fi_metrics(c.name, c.low, c.high, c.unit, c.channel, lower(c.zone), false)),
    raw AS (
      SELECT date_trunc(c.unit, ts::timestamp), date_trunc(c.unit, ts), count(*), count(DISTINCT user_id) FROM fast_ingest.events
      WHERE event_name = c.name AND (c.channel IS NULL OR channel = c.channel) AND (c.low IS NULL OR ts >= c.low) AND (c.high IS NULL OR ts < c.high)
      GROUP BY 1, 2)
    SELECT format('%s by %s, channel %s, %s to %s: %s', c.name, c.unit, c.channel, c.low, c.high, d)
    FROM ((SELECT 'answer', * FROM answer EXCEPT ALL SELECT 'answer', * FROM raw)
      UNION ALL (SELECT 'raw', * FROM raw EXCEPT ALL SELECT 'raw', * FROM answer)) d;
  END LOOP;
END $$;
EOQ

is($server->sql('SELECT * FROM wrong_answers() LIMIT 20'), '', 'answers from deltas equal raw rows');
$server->sql('SELECT fi_refresh()');
is($server->sql('SELECT * FROM wrong_answers() LIMIT 20'), '', 'and so do those from the rollup');

# The groups of all pages of an answer; undef if one of them is none.
sub pages
{
	my (@query) = @_;
	my @groups;
	my $cursor;

	do
	{
		my $page = metrics(@query, defined $cursor ? (cursor => $cursor) : ());

		return undef if $page->{status} ne 200 || @groups > 1000;
		push @groups, @{ $page->{json}{data} };
		$cursor = $page->{json}{next_cursor};
	} while (defined $cursor);
	return \@groups;
}

foreach my $name (split /\n/, $server->sql('SELECT name FROM awkward ORDER BY 1'))
{
	my ($zone) = split / /, $name;

	foreach my $unit ('day', 'hour')
	{
		my @query = (event_name => $name, group_by => $unit, timezone => $zone);
		my $sql = $server->sql(
			"SELECT group_key, total_events, unique_users FROM fi_metrics('$name', group_by => '$unit', time_zone => '$zone')");

		is( join("\n", map { join '|', @$_{qw(group total_events unique_users)} } @{ pages(@query) }),
			$sql, "$name over HTTP, by $unit");
		is_deeply(pages(@query, limit => $unit eq 'day' ? 1 : 4),
			pages(@query), "$name page by page, by $unit");
	}
}

# ---------------------------------------------------------------------------
# Pages where offsets have seconds and years any number of digits
# ---------------------------------------------------------------------------

foreach (
	[ 'Asia/Kathmandu', '1900-01-01T00:00:00Z', '1900-01-05T00:00:00Z', '1900-01-01T00:00:00+05:41:16' ],
	[ 'Africa/Monrovia', '1971-12-30T00:00:00Z', '1972-01-10T00:00:00Z', '1971-12-29T00:00:00-00:44:30' ],
	[ 'America/New_York', '0001-01-01T00:00:00Z', '0001-01-05T00:00:00Z', '0000-12-31T00:00:00-04:56:02' ],
	[ 'Pacific/Kiritimati', '9999-12-30T00:00:00Z', '9999-12-31T23:00:00Z', '9999-12-30T00:00:00+14:00' ])
{
	my ($zone, $from, $to, $first) = @$_;

	foreach my $unit ('day', 'hour')
	{
		my @query = (
			event_name => 'nothing',
			group_by => $unit,
			timezone => $zone,
			from => $from,
			to => $to);

		is_deeply(
			pages(@query, limit => $unit eq 'day' ? 1 : 7),
			metrics(@query)->{json}{data},
			"pages in $zone from $from by $unit");
	}
	is( metrics(
			event_name => 'nothing',
			group_by => 'day',
			timezone => $zone,
			from => $from,
			to => $to)->{json}{data}[0]{group},
		$first, "$zone begins with $first");
}
my @ides = (
	event_name => 'nothing',
	group_by => 'day',
	limit => 1,
	map { $_->[0] => $server->sql("SELECT extract(epoch FROM '0044-03-$_->[1] BC'::timestamptz)::bigint") } [ from => 14 ], [ to => 16 ]);
$answer = metrics(@ides)->{json};
is($answer->{data}[0]{group}, '-0043-03-14T00:00:00Z', 'a year before Christ as in ISO 8601');
is( metrics(@ides, cursor => $answer->{next_cursor})->{json}{data}[0]{group},
	'-0043-03-15T00:00:00Z',
	'and the page behind it');
is($server->sql("SELECT group_key FROM fi_metrics('nothing', '0044-03-14 BC', '0044-03-15 BC', 'day')"),
	'-0043-03-14T00:00:00Z', 'the same by SQL');

# What is not a cursor of ours is refused, whatever it is
foreach my $cursor ('x', '3', '20', '3120', '31', unpack('H*', '99999999999999999999 '),
	unpack('H*', '1 x'), unpack('H*', "1\0 "), unpack('H*', " "), unpack('H*', "1 \xff"), '0' x 599)
{
	my $of_times = $cursor eq '3120';

	is( metrics(event_name => 'nothing', group_by => 'day', cursor => $cursor)->{status},
		$of_times ? 200 : 400,
		$of_times ? 'a cursor' : "not a cursor: $cursor");
}

# ---------------------------------------------------------------------------
# Names
# ---------------------------------------------------------------------------

is( $server->sql(
		"SELECT name FROM pg_timezone_names WHERE (calendar_zone(name), calendar_zone(upper(name))) IS DISTINCT FROM (name, name)"
	),
	'',
	'every name of pg_timezone_names is one, in any case');
foreach my $name (
	'UTC+3', 'Etc/UTC+3', 'x/a5', 'Mars/Base', 'Europe/Istanbul3', '<+03>-3', '<a/b>-3', '+03', '-03:00', 'EST5', 'EST5EDT4',
	'EST5EDT,M3.2.0,M11.1.0', 'right/Europe/Berlin', 'Europe', 'Europe/', '/Europe/Berlin', 'Europe//Berlin', 'Europe/../Europe/Berlin',
	'../zoneinfo/Europe/Berlin', './UTC', '.', '..', 'tzdata.zi', 'zone.tab', 'iso3166.tab', 'leapseconds', 'a' x 255, 'a' x 256, 'a/' x 400,
	'utc ', "\xc3\xa9/1", '3', 'interval', 'INTERVAL -03:00')
{
	is_error(
		metrics(event_name => 'nothing', timezone => $name),
		400, qr/^timezone "/, 'not a time zone: ' . substr($name, 0, 40));
}
my (undef, undef, $error) =
  $server->node->psql($server->{database}, "SELECT fi_metrics('nothing', time_zone => 'x/a5')");
like($error, qr/ERROR:  time_zone "x\/a5" is not valid: expected a name like UTC/, 'nor by SQL');
is(metrics(event_name => 'nothing', group_by => 'day', timezone => 'eUROPE/iSTANBUL')->{status},
	200, 'a name in any case');

# Names that are none leave nothing behind: pg_tzset would keep 24 kB of each
my $connection = $server->connect;
my $n = 0;

sub made_up
{
	my ($count) = @_;
	my $refused = 0;

	foreach (1 .. $count / 100)
	{
		$connection->send(
			join '',
			map { http_message('GET', query_path('/metrics', event_name => 'e', timezone => 'x/' . (++$n =~ tr/0-9/a-j/r) . '5')) } 1 .. 100);
		$refused += $connection->read_answer->{status} eq 400 foreach 1 .. 100;
	}
	return $refused;
}

my $pid = $server->worker_pid('query');
made_up(200);
my $before = FastIngest::memory_of($pid, 'RssAnon');
is(made_up(3000), 3000, 'made-up names are refused');
my $growth = FastIngest::memory_of($pid, 'RssAnon') - $before;
cmp_ok($growth, '<', 4096, "the query worker grows by $growth kB");
is( $server->sql(<<'EOQ'), 't', 'nor do those of SQL fill a cache');
DO $$BEGIN
  FOR n IN 1..20000 LOOP
    IF calendar_zone('x/y' || translate(n::text, '0123456789', 'abcdefghij') || '5') IS NOT NULL THEN RAISE 'taken'; END IF;
  END LOOP;
END$$;
SELECT sum(total_bytes) < 1000000 FROM pg_backend_memory_contexts WHERE name = 'Timezones'
EOQ

done_testing();
