# What fi_series, fi_event_names and fi_live say, compared with the raw rows in the same snapshot:
# questions that a test asks, and random ones. The SQL returns rows as that of
# FastIngest::RandomQueries does.

package FastIngest::RandomSeries;

use strict;
use warnings;

use Exporter 'import';
use FastIngest::RandomEvents qw(literal pick chance between @NAMES);
use JSON::PP ();

our @EXPORT = qw(series_comparison event_names_comparison live_comparison random_series %KEYS @STEPS $EVENTS);

# Keys of series, and what gives them
our %KEYS = (
	event => 'event_name',
	channel => 'channel',
	site => 'site_id',
	page => 'path',
	campaign => 'campaign_id',
	plan => "metadata->>'plan'",
	person => 'user_id');
# The table of raw rows
our $EVENTS = 'fast_ingest.events';
our @STEPS = ('1m', '5m', '15m', '1h', '6h', '1d', '1w', '1mo');

# Conditions of a filter
my %CONDITIONS = (%KEYS, path => 'path', campaign_id => 'campaign_id');
delete $CONDITIONS{event};

my $json = JSON::PP->new->canonical;

# SQL of the instant at which the step of a time begins. The offset of a short step is that of the
# time; a longer one begins at a local time.
sub step_begin
{
	my ($step, $zone, $sunday, $ts) = @_;
	my $local = "($ts AT TIME ZONE '$zone')";
	my $week = $sunday ? "date_trunc('week', $local + interval '1 day') - interval '1 day'" : "date_trunc('week', $local)";
	my %begin = ('1mo' => "date_trunc('month', $local)", '1w' => $week, '1d' => "date_trunc('day', $local)");

	return "(($begin{$step}) AT TIME ZONE '$zone')" if $begin{$step};
	my ($n, $unit) = $step =~ /^(\d+)([mh])$/ or die "no step: $step";
	my $floor = "date_bin('$n " . ($unit eq 'm' ? 'minutes' : 'hours') . "', $local, '2000-01-01')";

	return $step eq '6h' ? "(($floor) AT TIME ZONE '$zone')" : "($ts - ($local - $floor))";
}

# SQL of the conditions of a filter
sub conditions
{
	my ($filter) = @_;
	my @conditions;

	foreach my $name (sort keys %{ $filter || {} })
	{
		my $value = $filter->{$name};
		my %of = $name eq 'metadata' ? map { ("metadata->>'$_'" => $value->{$_}) } keys %$value : ($CONDITIONS{$name} => $value);

		push @conditions, map { "$_ IN (" . join(', ', map { literal($_) } ref $of{$_} ? @{ $of{$_} } : $of{$_}) . ')' } sort keys %of;
	}
	return @conditions;
}

sub where
{
	my (%q) = @_;

	return join ' AND ', 'true', (defined $q{event_name} ? 'event_name = ' . literal($q{event_name}) : ()),
	  (defined $q{since} ? "ts >= $q{since}" : ()), (defined $q{until} ? "ts < $q{until}" : ()), conditions($q{filter});
}

sub filter_argument { return $_[0] ? literal($json->encode($_[0])) . '::jsonb' : 'NULL' }

sub time_argument { return defined $_[0] ? $_[0] : 'NULL' }

# Compare a series. Members: event_name, step (a name of @STEPS), group_by, top, filter, zone,
# sunday, fill (with since and until only), align; since and until are SQL of whole minutes or more if
# align is set, so that they stay what they are; asked is the step to ask for (if not step itself).
# capped: keys may be counted together although they are among the largest.
sub series_comparison
{
	my (%q) = (zone => 'UTC', top => 10, @_);
	my $call =
		'fi_series('
	  . join(', ',
		'event_name => ' . literal($q{event_name}),
		'since => ' . time_argument($q{since}),
		'until => ' . time_argument($q{until}),
		'step => ' . literal($q{asked} || $q{step}),
		'group_by => ' . literal($q{group_by}),
		"top => $q{top}",
		'filter => ' . filter_argument($q{filter}),
		"time_zone => '$q{zone}'",
		'fill => ' . ($q{fill} ? 'true' : 'false'),
		'align => ' . ($q{align} ? 'true' : 'false'),
		'week_start => ' . ($q{sunday} ? "'sunday'" : "'monday'")) . ')';
	my $begin = step_begin($q{step}, $q{zone}, $q{sunday}, 'ts');
	my $key = defined $q{group_by} ? "($KEYS{ $q{group_by} })" : 'NULL::text';
	my $where = where(%q) . (defined $q{group_by} ? " AND $key IS NOT NULL" : '');
	my $name = q{concat_ws('|', "time", is_other, group_key)};
	my $ours = "SELECT $name AS k, total_events AS t, unique_users AS u FROM $call";
	my $largest = "SELECT $key FROM $EVENTS WHERE $where GROUP BY 1 ORDER BY count(*) DESC, $key COLLATE \"C\" LIMIT $q{top}";
	my $is_other = defined $q{group_by} ? "$key NOT IN ($largest)" : 'false';
	my $raw =
		"SELECT $begin AS \"time\", CASE WHEN NOT $is_other THEN $key END AS group_key, $is_other AS is_other, count(*) AS t,"
	  . " count(DISTINCT user_id) AS u FROM $EVENTS WHERE $where GROUP BY 1, 2, 3";

	if ($q{capped})
	{
		return comparison(
			"sum of $call",
			"SELECT \"time\"::text AS k, sum(total_events)::bigint AS t, 0 AS u FROM $call GROUP BY 1 HAVING sum(total_events) > 0",
			"SELECT \"time\"::text AS k, sum(t)::bigint AS t, 0 AS u FROM ($raw) r GROUP BY 1");
	}
	if ($q{fill})
	{
		# every step that has a moment in the range; offsets are multiples of 15 minutes
		my $moments = $q{step} =~ /^15?m$/ ? '1 minute' : $q{step} eq '5m' ? '5 minutes' : '15 minutes';
		my $steps = 'SELECT DISTINCT ' . step_begin($q{step}, $q{zone}, $q{sunday}, "greatest(moment, $q{since})")
		  . " AS \"time\" FROM generate_series(date_bin('$moments', $q{since}, '2000-01-01'), $q{until} - interval '1 microsecond', '$moments') moment";
		my $series = defined $q{group_by} ? 'SELECT DISTINCT group_key, is_other FROM counted' : 'SELECT NULL::text AS group_key, false AS is_other';

		$raw = "WITH counted AS ($raw) SELECT st.\"time\", se.group_key, se.is_other, coalesce(c.t, 0) AS t, coalesce(c.u, 0) AS u"
		  . " FROM ($steps) st CROSS JOIN ($series) se LEFT JOIN counted c"
		  . ' ON c."time" = st."time" AND c.is_other = se.is_other AND c.group_key IS NOT DISTINCT FROM se.group_key';
	}
	return comparison($call, $ours, "SELECT $name AS k, t, u FROM ($raw) r");
}

# Compare names. Members: since, until, filter. capped: there may be more names than are kept apart.
sub event_names_comparison
{
	my (%q) = @_;
	my $call = 'fi_event_names(' . join(', ', time_argument($q{since}), time_argument($q{until}), filter_argument($q{filter})) . ')';
	my $where = where(%q);
	my $unless_capped = $q{capped} ? " WHERE NOT EXISTS (SELECT FROM $call WHERE event_name IS NULL)" : '';

	return comparison(
		"sum of $call",
		"SELECT NULL::text AS k, coalesce(sum(total_events), 0)::bigint AS t, 0 AS u FROM $call",
		"SELECT NULL::text AS k, count(*) AS t, 0 AS u FROM $EVENTS WHERE $where")
	  . comparison(
		$call,
		"SELECT concat_ws('|', event_name, first_seen, last_seen) AS k, total_events AS t, unique_users AS u FROM $call$unless_capped",
		"SELECT * FROM (SELECT concat_ws('|', event_name, min(ts), max(ts)) AS k, count(*) AS t, count(DISTINCT user_id) AS u"
		  . " FROM $EVENTS WHERE $where GROUP BY event_name) r$unless_capped");
}

# Compare what happens now, of a site or of all (undef). capped: without pages and names.
sub live_comparison
{
	my ($site, $top, %opt) = @_;
	my $call = 'fi_live(' . literal($site) . ", $top)";
	my $minute = "date_trunc('minute', statement_timestamp())";
	my $events = "$EVENTS WHERE true" . (defined $site ? ' AND site_id = ' . literal($site) : '');
	my $counts = 'count(*) AS t, count(DISTINCT user_id) AS u';
	my $range = "ts >= $minute - interval '29 minutes' AND ts < $minute + interval '1 minute'";
	my $quarter = sub { return "date_bin('15 minutes', $_[0], '2000-01-01 00:00Z')" };
	my $raw =
		"SELECT 'last 5 minutes' AS k, $counts FROM $events AND ts >= $minute - interval '4 minutes' AND ts < $minute + interval '1 minute'"
	  . " UNION ALL SELECT 'last 30 minutes', $counts FROM $events AND $range"
	  . " UNION ALL SELECT 'minute|' || to_char(m AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'), coalesce(t, 0), coalesce(u, 0)"
	  . " FROM generate_series($minute - interval '29 minutes', $minute, '1 minute') m"
	  . " LEFT JOIN (SELECT date_trunc('minute', ts) AS m, $counts FROM $events AND $range GROUP BY 1) c USING (m)";

	$raw .=
		" UNION ALL SELECT * FROM (SELECT 'page|' || path, $counts FROM $events AND path IS NOT NULL AND ts >= "
	  . $quarter->("$minute - interval '29 minutes'")
	  . ' AND ts < '
	  . $quarter->($minute)
	  . " + interval '15 minutes' GROUP BY path ORDER BY t DESC, path COLLATE \"C\" LIMIT $top) pages"
	  . " UNION ALL SELECT * FROM (SELECT 'event|' || event_name, $counts FROM $events AND $range"
	  . " GROUP BY event_name ORDER BY t DESC, event_name COLLATE \"C\" LIMIT $top) names"
	  unless $opt{capped};
	return comparison($call,
		"SELECT concat_ws('|', part, key) AS k, total_events AS t, unique_users AS u FROM $call"
		  . ($opt{capped} ? " WHERE part NOT IN ('page', 'event')" : ''),
		$raw);
}

# A random series, names or live, of a time zone and a range: SQL of since and until, or NULL, and its
# days if it has both. Members: zone, since, until, days; group_by: a breakdown, event or none; capped: a
# hash of breakdowns with too many keys. Names may be too many.
sub random_series
{
	my (%q) = @_;
	my $align = chance(0.3);
	my $filter =
		chance(0.7) ? undef
	  : chance(0.4) ? { site => pick([ 'a.example', '(other)' ], 'b.example') }
	  : chance(0.5) ? { channel => 'web', metadata => { plan => pick('pro', [ 'free', '(other)' ]) } }
	  : { path => [ '/', '/a' ] };
	my $short = defined $q{days} && !$align && $q{days} < 1;
	my %range;

	return live_comparison(pick(undef, 'a.example', 'b.example'), between(1, 10), capped => 1) if chance(0.2);

	# whole days stay what they are, whatever the rollup keeps
	foreach (grep { $q{$_} ne 'NULL' } 'since', 'until')
	{
		$range{$_} = $q{$_};
		$range{$_} = "date_trunc('day', $range{$_}, 'UTC')" if $align;
		$range{$_} = "($range{$_} + interval '1 day')" if $align && $_ eq 'until';
	}
	return event_names_comparison(%range, filter => $filter, capped => 1) if chance(0.2);
	return series_comparison(
		%range,
		event_name => chance(0.5) ? undef : pick(@NAMES),
		step => $short ? pick(@STEPS) : pick(@STEPS[3 .. 7]),
		group_by => $q{group_by},
		top => between(1, 4),
		filter => $filter,
		zone => $q{zone},
		sunday => chance(0.5),
		fill => defined $q{days} && $q{days} < 20 && chance(0.4),
		align => $align,
		capped => defined $q{group_by} && ($q{group_by} eq 'event' || $q{capped}{ $q{group_by} }));
}

# RandomQueries has the comparison, and asks for random series itself
sub comparison
{
	require FastIngest::RandomQueries;
	return FastIngest::RandomQueries::comparison(@_);
}

1;
