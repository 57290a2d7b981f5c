# Random queries, each as SQL that compares the answer with that of the raw rows in the same
# snapshot: what fi_metrics, fi_stats and fi_top_paths say, and what count(*) and count(DISTINCT user_id)
# say. The SQL returns a row that begins with ASKED, and one with DIFFERS for each group that
# differs. If any does, rows that begin with WHY follow: what there is to find out why.
#
# At READ COMMITTED a statement is planned before its snapshot is taken. If a partition is attached
# in between, count(*) misses the rows that the snapshot shows of it. So the raw rows are counted by
# a function, raw_rows(), which plans a query when there is a snapshot, and counts by this snapshot.
#
# A partition may also be attached while a session reads the list of partitions. PostgreSQL then
# keeps the list without it, and the session's statements miss its rows, in later transactions, too,
# until the table changes again. Our functions read the list again: raw_rows() calls one first.

package FastIngest::RandomQueries;

use strict;
use warnings;

use Exporter 'import';
use FastIngest::RandomEvents;
use FastIngest::RandomSeries qw(random_series);
use JSON::PP ();

our @EXPORT = qw(make_raw_rows query @breakdowns %capped %MAX_KEYS @ZONES);

our @ZONES = ('UTC', 'UTC', 'Europe/Istanbul', 'America/New_York',
	'Asia/Kathmandu', 'Australia/Lord_Howe', 'Atlantic/Azores');

# Breakdowns and what gives their key. The first three are there from the start.
my %KEYS = (
	channel => 'channel',
	site => 'site_id',
	page => 'path',
	campaign => 'campaign_id',
	plan => "metadata->>'plan'",
	person => 'user_id');
our @breakdowns = qw(channel site page);

# Breakdowns with more keys than rows of their own: one from the first round on, and those of the
# second half
our %capped;
our %MAX_KEYS = (person => 5, channel => 2, site => 2, page => 4);

# A random range: SQL of two values of type timestamptz, each of which may be NULL, and its width
# in days if none is.
sub range
{
	my ($zone) = @_;
	my $end = now() + $DAY_LENGTH;
	my $width = exp(rand(log(20 * $DAY_LENGTH)));
	my ($from, $to);

	$width = $DAY_LENGTH * between(1, 6) if chance(0.2);
	$to = chance(0.7) ? $end - rand(4 * $DAY_LENGTH) : first_day() * $DAY_LENGTH + rand($end - first_day() * $DAY_LENGTH);
	$from = $to - $width;
	if (chance(0.2) && $width > 2 * $DAY_LENGTH)
	{
		# local days
		return ((map { literal(day_name(int($_ / $DAY_LENGTH)) . " 00:00:00 $zone") . '::timestamptz' } $from, $to),
			$width / $DAY_LENGTH);
	}
	foreach ($from, $to)
	{
		my $unit = pick(1, 1, $MINUTE, $MINUTE, $HOUR, $HOUR, $DAY_LENGTH, 1e-6);

		$_ = int($_ / $unit) * int($unit * 1e6);
	}
	$to = $from + pick(1, 1e6, 60e6, 3600e6, 86400e6) if $to <= $from;
	my $days = ($to - $from) / 86400e6;
	($from, $to) = map { literal(timestamp($_)) . '::timestamptz' } $from, $to;
	if (chance(0.2))
	{
		$from = 'NULL' if chance(0.6);
		$to = 'NULL' if $from ne 'NULL' || chance(0.6);
		$days = undef;
	}
	return ($from, $to, $days);
}

# Make the function on a server. It must be STABLE: a volatile one takes snapshots of its own.
sub make_raw_rows
{
	my ($server) = @_;

	$server->sql(<<'EOQ');
CREATE FUNCTION raw_rows(query text) RETURNS TABLE (k text, t bigint, u bigint) LANGUAGE plpgsql STABLE AS $$
BEGIN
  PERFORM FROM fi_metrics('nothing', '2000-01-01 00:00Z', '2000-01-01 00:01Z');
  RETURN QUERY EXECUTE 'SELECT q.k::text, q.t::bigint, q.u::bigint FROM (' || query || ') q';
END
$$
EOQ
	return;
}

sub by_snapshot
{
	my ($raw) = @_;

	return 'SELECT * FROM raw_rows(' . literal($raw) . ')';
}

# SQL that shows, by the snapshot of its own statement, which is the same at REPEATABLE READ, whether
# the answer still differs, and what answers are made of
sub reasons
{
	my ($comparison) = @_;

	$comparison =~ s/'(?:DIFFERS|ASKED)',/'WHY', 'asked again',/g;
	return <<EOQ;
SELECT 'WHY', current_setting('transaction_isolation'), pg_current_snapshot(), clock_timestamp();
$comparison
SELECT 'WHY', 'rollup_state', s.xmin, s.* FROM fast_ingest.rollup_state s;
SELECT 'WHY', 'recount', r.xmin, r.* FROM fast_ingest.recount r LIMIT 10;
SELECT 'WHY', 'lost_rows', l.xmin, l.* FROM fast_ingest.lost_rows l LIMIT 10;
SELECT 'WHY', 'rollup_delta', d.xmin, first_ts, last_ts, events FROM fast_ingest.rollup_delta d ORDER BY age(d.xmin) LIMIT 10;
SELECT 'WHY', 'event_names', count(*), count(*) FILTER (WHERE is_other) FROM fast_ingest.event_names;
SELECT 'WHY', 'attached', i.xmin, inhrelid::regclass FROM pg_inherits i
WHERE inhparent = 'fast_ingest.events'::regclass ORDER BY age(i.xmin) LIMIT 5;
EOQ
}

# SQL that compares our rows with those of the raw events, both with columns k, t, u. It returns
# what differs, and a row that says that it asked.
sub comparison
{
	my ($query, $ours, $raw) = @_;
	my $text = literal($query);
	my $comparison = <<EOQ;
WITH ours AS (SELECT k, t, u, row_number() OVER (PARTITION BY k) AS n FROM ($ours) o),
raw AS (SELECT k, t, u, 1 AS n FROM ($raw) r)
SELECT 'DIFFERS', $text, ours.k, ours.t, ours.u, 'not', raw.k, raw.t, raw.u
FROM ours FULL JOIN raw ON coalesce(ours.k, '(null)') = coalesce(raw.k, '(null)') AND ours.n = raw.n
WHERE (ours.t, ours.u) IS DISTINCT FROM (raw.t, raw.u)
UNION ALL
SELECT 'ASKED', NULL, NULL, NULL, NULL, NULL, NULL, (SELECT sum(t) FROM raw), NULL;
EOQ

	return $comparison
	  . "\\set differs false\nSELECT :ROW_COUNT > 1 AS differs \\gset\n"
	  . "\\if :differs\n" . reasons($comparison) . "\\endif\n";
}

# What filters may name: what gives their key, and some values
my %FILTERS = (
	channel => [ 'channel', @CHANNELS, 'nothing' ],
	site => [ 'site_id', grep { defined } @SITES ],
	path => [ 'path', '/', '/a', '/b', '(other)' ],
	page => [ 'path', '/', '/c' ],
	campaign_id => [ 'campaign_id', 'c1', 'c2', 'nothing' ],
	campaign => [ 'campaign_id', 'c1', 'c3', '(other)' ],
	plan => [ "metadata->>'plan'", 'free', 'pro', '(other)' ],
	person => [ 'user_id', 'u1', 'u2', "o'brien" ]);

# Random filters, as an object, and the conditions that they stand for
sub random_filters
{
	my %known = map { $_ => 1 } @breakdowns, 'path', 'campaign_id';
	my @names = chance(0.3) ? ('site', 'path') : chance(0.5) ? pick(sort keys %known) : map { pick(sort keys %known) } 1 .. 2;
	my %filter;
	my @conditions;

	foreach my $name (@names)
	{
		my ($sql, @values) = @{ $FILTERS{$name} };
		my @some = map { pick(@values) } 1 .. pick(1, 1, 1, 2, 3);

		next if exists $filter{$name};
		$filter{$name} = @some == 1 ? $some[0] : \@some;
		push @conditions, "$sql IN (" . join(', ', map { literal($_) } @some) . ')';
	}
	if (chance(0.2))
	{
		$filter{metadata} = { plan => 'pro' };
		push @conditions, "metadata->>'plan' = 'pro'";
	}
	return (\%filter, @conditions);
}

# SQL of the instant at which the period of a time begins
sub period
{
	my ($unit, $ts, $zone, $sunday) = @_;

	return "date_trunc('$unit', $ts, '$zone')" unless $unit eq 'week' && $sunday;
	return "((date_trunc('week', ($ts AT TIME ZONE '$zone') + interval '1 day') - interval '1 day') AT TIME ZONE '$zone')";
}

# The range that align makes of one: whole minutes for questions that the channels answer, and
# whole days for others, which stay what they are
sub aligned
{
	my ($from, $to, $minutes) = @_;
	my ($unit, $width) = $minutes ? ('minute', '1 minute') : ('day', '24 hours');
	my ($low, $high) = ("date_trunc('$unit', $from, 'UTC')", "(date_trunc('$unit', $to - interval '1 microsecond', 'UTC') + interval '$width')");

	return $minutes ? ($from, $to, $low, $high) : ($low, $high, $low, $high);
}

# Keys of periods are compared as the instants they are.
sub metrics_query
{
	my ($group, %opt) = @_;
	my $name = chance(0.3) ? undef : chance(0.03) ? 'nothing' : pick(@NAMES);
	my $zone = pick(@ZONES);
	my $sunday = chance(0.4);
	my $channel = chance(0.2) ? pick(@CHANNELS, 'nothing') : undef;
	my ($filter, @conditions) = chance(0.35) ? random_filters() : ();
	my ($from, $to, $days) = range($zone);
	my ($low, $high) = ($from, $to);
	my $align = chance(0.15) && defined $days;
	my $by_time = defined $group && $group =~ /^(hour|day|week|month)$/;
	my $by_key = defined $group && !$by_time && $group ne 'event';
	my $filled = $by_time && chance(0.5);
	my $exactly = $filled && defined $days && $days < ($group eq 'hour' ? 5 : 60);

	($from, $to, $low, $high) = aligned($from, $to, !$filter && (!$by_key || $group eq 'channel')) if $align;
	my $where = join ' AND ', 'true', (defined $name ? 'event_name = ' . literal($name) : ()),
	  ($from ne 'NULL' ? "ts >= $low" : ()), ($to ne 'NULL' ? "ts < $high" : ()),
	  (defined $channel ? 'channel = ' . literal($channel) : ()), @conditions;
	my $arguments = join ', ', (defined $name ? literal($name) : 'NULL'), $from eq 'NULL' ? 'NULL::timestamptz' : $from,
	  $to eq 'NULL' ? 'NULL::timestamptz' : $to, literal($group), literal($channel), literal($zone), $filled ? 'true' : 'false',
	  ($filter ? literal(JSON::PP->new->canonical->encode($filter)) . '::jsonb' : 'NULL'), $align ? 'true' : 'false',
	  $sunday ? "'sunday'" : "'monday'";
	# the first of all groups, where no keys are counted together
	my $most = !$by_time && defined $group && !$capped{$group} && $group ne 'event' && chance(0.4) ? between(1, 4) : undef;
	$arguments .= ", $most" if defined $most;
	my $call = "fi_metrics($arguments)";
	my ($ours, $raw);

	if (!defined $group)
	{
		$ours = "SELECT group_key AS k, total_events AS t, unique_users AS u FROM $call";
		$raw = "SELECT NULL::text AS k, count(*) AS t, count(DISTINCT user_id) AS u FROM fast_ingest.events WHERE $where";
	}
	elsif ($by_time)
	{
		$ours = "SELECT group_key::timestamptz::text AS k, total_events AS t, unique_users AS u FROM $call"
		  . ($filled && !$exactly ? ' WHERE total_events > 0' : '');
		$raw = 'SELECT ' . period($group, 'ts', $zone, $sunday) . '::text AS k, count(*) AS t, count(DISTINCT user_id) AS u'
		  . " FROM fast_ingest.events WHERE $where GROUP BY 1";

		# every bucket that has a moment in the range; offsets are multiples of 15 minutes
		$raw = "SELECT k, coalesce(t, 0) AS t, coalesce(u, 0) AS u FROM ($raw) counted FULL JOIN"
		  . ' (SELECT DISTINCT ' . period($group, "greatest(moment, $low)", $zone, $sunday) . '::text AS k'
		  . " FROM generate_series(date_bin('15 minutes', $low, '2000-01-01'), $high - interval '1 microsecond', '15 minutes') moment) filled USING (k)"
		  if $exactly;
	}
	else
	{
		my $key = $by_key ? $KEYS{$group} : 'event_name';

		$ours = "SELECT group_key AS k, total_events AS t, unique_users AS u FROM $call";
		$raw = "SELECT $key AS k, count(*) AS t, count(DISTINCT user_id) AS u"
		  . " FROM fast_ingest.events WHERE $where AND $key IS NOT NULL GROUP BY 1"
		  . (defined $most ? " ORDER BY 2 DESC, ($key) COLLATE \"C\" LIMIT $most" : '');
	}
	$raw = by_snapshot($raw);
	return ($capped{ $group || '' } || ($group || '') eq 'event' ? capped_comparison($call, $arguments, $ours, $raw) : comparison($call, $ours, $raw))
	  . ($opt{plan} ? "SELECT 'PLAN', source FROM fi_metrics_sources($arguments) WHERE rows_read > 0;\n" : '');
}

# For a breakdown with more keys than rows of their own: all events are counted somewhere, and no
# key has too many. Without a group of others, every key is right.
sub capped_comparison
{
	my ($call, $arguments, $ours, $raw) = @_;

	return comparison(
		"sum of $call",
		"SELECT NULL::text AS k, coalesce(sum(t), 0)::bigint AS t, 0 AS u FROM ($ours) o",
		"SELECT NULL::text AS k, coalesce(sum(t), 0)::bigint AS t, 0 AS u FROM ($raw) r")
	  . comparison(
		"keys of $call",
		"SELECT o.* FROM ($ours) o LEFT JOIN ($raw) r USING (k) WHERE NOT EXISTS (SELECT FROM ($ours) o WHERE k IS NULL)"
		  . ' OR k IS NOT NULL AND (o.t > coalesce(r.t, 0) OR o.u > coalesce(r.u, 0))',
		"SELECT * FROM ($raw) r WHERE NOT EXISTS (SELECT FROM ($ours) o WHERE k IS NULL)")
	  . first_comparison($call, $arguments);
}

# The groups of the most events, with or without a group of others, are the first of all
sub first_comparison
{
	my ($call, $arguments) = @_;
	my $most = between(1, 5);
	my $numbered = 'SELECT row_number() OVER () || coalesce(\' \' || group_key, \'\') AS k, total_events AS t, unique_users AS u FROM';

	return '' unless chance(0.3);
	return comparison("$most of $call", "$numbered fi_metrics($arguments, $most)", "$numbered (SELECT * FROM $call LIMIT $most) a");
}

# fi_stats and fi_top_paths: the whole site, and its most viewed paths, most first
sub stats_query
{
	my $site = literal(pick(grep { defined } @SITES));
	my $day = literal(day_name(any_day()));
	my $paths = between(1, 6);

	my $events = "fast_ingest.events WHERE site_id = $site AND ts >= ${day}::timestamp AT TIME ZONE 'UTC'"
	  . " AND ts < (${day}::date + 1)::timestamp AT TIME ZONE 'UTC'";

	return comparison(
		"fi_stats($site, $day)",
		"SELECT NULL::text AS k, total_views AS t, unique_users AS u FROM fi_stats($site, $day)",
		by_snapshot("SELECT NULL::text AS k, count(*) AS t, count(DISTINCT user_id) AS u FROM $events"))
	  . comparison(
		"fi_top_paths($site, $day, $paths)",
		"SELECT path AS k, views AS t, 0 AS u FROM fi_top_paths($site, $day, $paths)",
		by_snapshot("SELECT path AS k, count(*) AS t, 0 AS u FROM $events AND path IS NOT NULL"
		  . " GROUP BY 1 ORDER BY 2 DESC, path COLLATE \"C\" LIMIT $paths"));
}

# fi_series, fi_event_names or fi_live
sub series_query
{
	my $zone = pick(@ZONES);
	my ($since, $until, $days) = range($zone);

	return random_series(
		zone => $zone,
		since => $since,
		until => $until,
		days => $days,
		group_by => pick(undef, undef, 'event', @breakdowns),
		capped => \%capped);
}

sub query
{
	my (%opt) = @_;

	return stats_query() if chance(0.06);
	return series_query() if chance(0.25);
	return metrics_query(
		chance(0.3) ? undef
		: chance(0.45) ? pick('hour', 'day', 'hour', 'day', 'week', 'month')
		: pick(@breakdowns, 'event'),
		%opt);
}

1;
