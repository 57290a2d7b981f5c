# Exactness: whatever is asked at whatever moment, fi_metrics answers what
# count(*) and count(DISTINCT user_id) say of the raw rows in the same snapshot.
#
# Random sessions write in every way there is (HTTP, INSERT, COPY, MERGE, into
# partitions, with conflicts, savepoints, prepared transactions, late, into the
# future, on the edges of buckets), delete, update, truncate and erase, refresh at the
# same time, are cancelled and killed, while the server's clock runs through days
# on which zones change their offset. Readers compare all the while, in snapshots
# of their own, and after every phase at rest.
#
# FI_EXACTNESS_SEED: what to do again (the seed is printed; what sessions do is
# the same then, not how they interleave). FI_EXACTNESS_ROUNDS: how much (10, which
# takes about a minute).

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use FastIngest;
use FastIngest::Clock;
use JSON::PP ();
use POSIX qw(strftime);
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes ();
use Time::Local qw(timegm);

my $rounds = $ENV{FI_EXACTNESS_ROUNDS} || 10;
my $seed = $ENV{FI_EXACTNESS_SEED} || (time ^ ($$ << 8)) & 0x7fffffff;

diag("FI_EXACTNESS_SEED=$seed");
srand $seed;

# ---------------------------------------------------------------------------
# The world: what events can be, and what can be asked
# ---------------------------------------------------------------------------

# Of names there are more than the rollup keeps apart.
my @NAMES = (qw(page_view page_view page_view page_view click), '(other)', 'n1', 'n2', 'n3');
my @CHANNELS = (qw(web web mobile api), '(other)');
my @SITES = ('a.example', 'a.example', 'b.example', '(other)', undef);
my @PATHS = ('/', '/a', '/b', '/c', '(other)', undef);
my @CAMPAIGNS = ('c1', 'c2', 'c3', '(other)', undef, undef);
my @PLANS = ('free', 'pro', '(other)', undef);
my @USERS = ((map { "u$_" } 1 .. 40), '(other)', "o'brien", "\x{c3}\x{bc}ser", ' ');
my @ZONES = ('UTC', 'UTC', 'Europe/Istanbul', 'America/New_York',
	'Asia/Kathmandu', 'Australia/Lord_Howe', 'Atlantic/Azores');

# Breakdowns and what gives their key. The first three are there from the start.
my %KEYS = (
	channel => 'channel',
	site => 'site_id',
	page => 'path',
	campaign => 'campaign_id',
	plan => "metadata->>'plan'",
	person => 'user_id');
my @breakdowns = qw(channel site page);

# Breakdowns with more keys than have rows of their own: one from the first round on,
# and those of the second half
my %capped;
my %CAPS = (person => 5, channel => 2, site => 2, page => 4);

my $MINUTE = 60;
my $HOUR = 3600;
my $DAY_LENGTH = 86400;

sub pick { return $_[ rand @_ ] }
sub chance { return rand() < $_[0] }
sub between { return $_[0] + int rand($_[1] - $_[0] + 1) }

sub literal
{
	my ($text) = @_;

	return 'NULL' unless defined $text;
	$text =~ s/'/''/g;
	return "'$text'";
}

# Times are microseconds since 1970, UTC.
sub timestamp
{
	my ($us) = @_;
	my $seconds = POSIX::floor($us / 1e6);

	return strftime('%Y-%m-%d %H:%M:%S', gmtime $seconds)
	  . sprintf('.%06d+00', $us - $seconds * 1e6);
}

# The Sunday of a month, counted from 1, on which some zone changes its offset.
sub sunday
{
	my ($year, $month, $nth) = @_;
	my $first = timegm(0, 0, 0, 1, $month - 1, $year);

	return $first + (((7 - (gmtime $first)[6]) % 7) + ($nth - 1) * 7) * $DAY_LENGTH;
}

# Where the clock is put at the beginning of each round: a day before New York or
# Lord Howe changes. All in the years to come, as a server's clock must not be
# behind that of the machine.
my @starts = map {
	my $year = $_;
	map { $_ - $DAY_LENGTH - 3 * $HOUR } sunday($year, 3, 2), sunday($year, 4, 1),
	  sunday($year, 10, 1), sunday($year, 11, 1)
} (gmtime)[5] + 1901 .. (gmtime)[5] + 1901 + int($rounds / 4);

# ---------------------------------------------------------------------------
# The clock
# ---------------------------------------------------------------------------

my $tempdir = PostgreSQL::Test::Utils::tempdir();
my $clock = FastIngest::Clock->new;

sub now { return $clock->now }

sub set_ahead
{
	my ($seconds) = @_;

	die 'the clock would run backwards' if $seconds < $clock->ahead;
	$clock->set_ahead($seconds);
	return;
}

sub advance { return set_ahead($clock->ahead + $_[0]) }

set_ahead($starts[0] - time);
my $server = $clock->run(
	sub {
		FastIngest->new('exactness', conf => <<'EOC') });
max_prepared_transactions = 20
max_connections = 40
fast_ingest.refresh_backlog = 0
fast_ingest.deduplicate = 'key'
fast_ingest.max_event_names = 3
autovacuum_naptime = 2s
EOC

# ---------------------------------------------------------------------------
# Events
# ---------------------------------------------------------------------------

my $first_day = int($starts[0] / $DAY_LENGTH) - 2;    # days since 1970
my %partitions;                                       # days that have one
my $serial = 0;

sub make_partitions
{
	my $today = int(now() / $DAY_LENGTH);
	my @days = grep { !$partitions{$_}++ } $today - 3 .. $today + 3;

	return unless @days;
	$server->sql(join '', map { "SELECT fi_create_partition('" . day_name($_) . "');\n" } @days);
	return;
}

sub day_name { return strftime('%Y-%m-%d', gmtime $_[0] * $DAY_LENGTH) }
sub partition { return 'fast_ingest.events_' . strftime('%Y%m%d', gmtime $_[0] * $DAY_LENGTH) }

# A day that has a partition, today and yesterday more often than others
sub any_day
{
	my $today = int(now() / $DAY_LENGTH);

	return chance(0.6) ? between($today - 1, $today) : pick(sort keys %partitions);
}

# When an event happens. Options: past: not after now; day: on that day.
sub any_time
{
	my (%opt) = @_;
	my $now = now();
	my $edge = 0;
	my $us;

	$us =
		$opt{day} ? ($opt{day} * $DAY_LENGTH + rand $DAY_LENGTH)
	  : chance(0.45) ? $now - rand(3 * $HOUR)
	  : chance(0.7) ? any_day() * $DAY_LENGTH + rand $DAY_LENGTH
	  : chance(0.3) ? $now + rand(30 * $HOUR)
	  : $now - rand(40 * $HOUR);
	if (chance(0.3))
	{
		my $width = pick($MINUTE, $HOUR, $HOUR, $DAY_LENGTH);

		$us = int($us / $width) * $width;
		$edge = pick(0, 0, -1, 1);
	}
	$us = int($us * 1e6) + $edge;
	$us = ($now - 1) * 1e6 if $opt{past} && $us > $now * 1e6;
	if ($opt{day})
	{
		my ($begin, $end) = map { $_ * $DAY_LENGTH * 1e6 } $opt{day}, $opt{day} + 1;

		$us = $begin if $us < $begin;
		$us = $end - 1 if $us >= $end;
	}
	return int $us;
}

sub any_event
{
	my (%opt) = @_;

	return {
		event_name => pick(@NAMES),
		channel => pick(@CHANNELS),
		user_id => chance(0.1) ? undef : $USERS[ @USERS * rand() * rand() ],
		ts => any_time(%opt),
		campaign_id => pick(@CAMPAIGNS),
		site_id => pick(@SITES),
		path => pick(@PATHS),
		plan => pick(@PLANS),
		key => $opt{keys} ? between(1, $opt{keys}) : undef
	};
}

my $COLUMNS = 'event_name, channel, user_id, ts, campaign_id, site_id, path, metadata, event_key';

sub key_text
{
	my ($event) = @_;

	return defined $event->{key} ? sprintf('00000000-0000-0000-0000-%012x', $event->{key}) : undef;
}

sub plan_text
{
	my ($event) = @_;

	return defined $event->{plan} ? qq({"plan": "$event->{plan}"}) : undef;
}

sub row
{
	my ($event) = @_;

	return '('
	  . join(', ',
		(map { literal($event->{$_}) } qw(event_name channel user_id)),
		literal(timestamp($event->{ts})),
		(map { literal($event->{$_}) } qw(campaign_id site_id path)),
		literal(plan_text($event)),
		literal(key_text($event)))
	  . ')';
}

sub copy_line
{
	my ($event) = @_;

	return join "\t", map { defined $_ ? $_ : '\N' }
	  @{$event}{qw(event_name channel user_id)}, timestamp($event->{ts}),
	  @{$event}{qw(campaign_id site_id path)}, plan_text($event), key_text($event);
}

sub http_event
{
	my ($event) = @_;
	my %body = map { $_ => $event->{$_} }
	  grep { defined $event->{$_} } qw(event_name channel campaign_id site_id path);

	$body{user_id} = defined $event->{user_id} && $event->{user_id} =~ /^\w+$/ ? $event->{user_id} : 'u1';
	$body{timestamp} = int($event->{ts} / pick(1e3, 1e6));
	$body{metadata} = { plan => $event->{plan} } if defined $event->{plan};
	$body{idempotency_key} = key_text($event) if defined $event->{key};
	return \%body;
}

# ---------------------------------------------------------------------------
# Statements that write
# ---------------------------------------------------------------------------

sub insert
{
	my ($table, $events, $tail) = @_;

	return "INSERT INTO $table ($COLUMNS) VALUES\n"
	  . join(",\n", map { row($_) } @$events)
	  . ($tail ? " $tail" : '') . ";\n";
}

# psql would take the lines for statements where a transaction has failed before:
# in one, they come from a file.
sub copy
{
	my ($table, $events, %opt) = @_;
	my $lines = join '', map { copy_line($_) . "\n" } @$events;

	return "COPY $table ($COLUMNS) FROM stdin;\n$lines\\.\n" if $opt{alone};
	my $name = "$tempdir/copy" . ++$serial;
	open my $file, '>', $name or die "could not create $name: $!";
	print $file $lines;
	close $file;
	return "COPY $table ($COLUMNS) FROM '$name';\n";
}

# A condition on a few events
sub some_events
{
	my $from = any_time();
	my $to = $from + pick(1, 20, 300, 3600) * 1e6;
	my $user = literal(pick(@USERS));

	return sprintf "ts >= '%s' AND ts < '%s'%s", timestamp($from), timestamp($to),
	  pick('', " AND user_id = $user", " AND channel = 'mobile'");
}

my %inserts = (
	insert => sub {
		insert('fast_ingest.events', [ map { any_event() } 1 .. between(1, 30) ]);
	},
	conflict => sub {
		insert('fast_ingest.events', [ map { any_event(keys => 400) } 1 .. between(1, 30) ],
			'ON CONFLICT DO NOTHING');
	},
	copy => sub {
		copy('fast_ingest.events', [ map { any_event() } 1 .. between(1, 60) ], @_);
	},
	copy_into_partition => sub {
		my $day = any_day();

		copy(partition($day), [ map { any_event(day => $day) } 1 .. between(1, 30) ], @_);
	},
	insert_into_partition => sub {
		my $day = any_day();

		insert(partition($day), [ map { any_event(day => $day, keys => 400) } 1 .. between(1, 20) ],
			'ON CONFLICT DO NOTHING');
	},
	insert_select => sub {
		"INSERT INTO fast_ingest.events ($COLUMNS) SELECT event_name, channel, user_id, ts,"
		  . ' campaign_id, site_id, path, metadata, NULL FROM fast_ingest.events WHERE '
		  . some_events()
		  . " LIMIT 20;\n";
	},
	loop => sub {
		my $rows = join ', ', map { row($_) } map { any_event(keys => 400) } 1 .. between(2, 8);

		<<EOQ;
DO \$\$
DECLARE r record;
BEGIN
  FOR r IN SELECT * FROM (VALUES $rows) AS v ($COLUMNS) LOOP
    BEGIN
      INSERT INTO fast_ingest.events ($COLUMNS) VALUES (r.event_name, r.channel, r.user_id, r.ts::timestamptz,
        r.campaign_id, r.site_id, r.path, r.metadata::jsonb, r.event_key::uuid);
    EXCEPTION WHEN unique_violation THEN NULL;
    END;
  END LOOP;
END \$\$;
EOQ
	});

my %changes = (
	delete => sub { 'DELETE FROM fast_ingest.events WHERE ' . some_events() . ";\n" },
	delete_in_partition => sub {
		'DELETE FROM ' . partition(any_day()) . ' WHERE ' . some_events() . ";\n";
	},
	update_user => sub {
		'UPDATE fast_ingest.events SET user_id = '
		  . literal(pick(@USERS, undef))
		  . ' WHERE '
		  . some_events() . ";\n";
	},
	update_key => sub {
		my ($column, @values) =
		  @{ pick([ 'event_name', @NAMES ], [ 'channel', @CHANNELS ], [ 'site_id', @SITES ],
			[ 'path', @PATHS ], [ 'campaign_id', @CAMPAIGNS ],
			[ 'metadata', '{"plan": "pro"}', '{}' ]) };

		"UPDATE fast_ingest.events SET $column = "
		  . literal(pick(@values))
		  . ' WHERE '
		  . some_events() . ";\n";
	},
	move => sub {
		"UPDATE fast_ingest.events SET ts = ts + interval '"
		  . pick('1 second', '61 seconds', '-1 hour', '1 day', '-1 day', '1 microsecond')
		  . "' WHERE "
		  . some_events() . ";\n";
	},
	upsert => sub {
		my $day = any_day();

		insert(partition($day), [ any_event(day => $day, keys => 400) ],
			"ON CONFLICT (event_key) WHERE event_key IS NOT NULL DO UPDATE SET path = '/upsert', user_id = excluded.user_id"
		);
	},
	replace => sub {
		"WITH gone AS (DELETE FROM fast_ingest.events WHERE "
		  . some_events()
		  . " RETURNING *)\nINSERT INTO fast_ingest.events ($COLUMNS) SELECT event_name, channel,"
		  . " user_id, ts, 'c1', site_id, path, metadata, NULL FROM gone;\n";
	});

# MERGE, where there is
sub merge
{
	my $rows = join ', ', map { row($_) } map { any_event(keys => 400) } 1 .. 5;

	return <<EOQ;
MERGE INTO fast_ingest.events e
USING (SELECT DISTINCT ON (event_key) * FROM (VALUES $rows) AS v ($COLUMNS)) v
ON e.event_key = v.event_key::uuid AND e.ts = v.ts::timestamptz
WHEN MATCHED AND v.channel = 'api' THEN DELETE
WHEN MATCHED THEN UPDATE SET user_id = v.user_id
WHEN NOT MATCHED THEN INSERT ($COLUMNS) VALUES (v.event_name, v.channel, v.user_id, v.ts::timestamptz,
  v.campaign_id, v.site_id, v.path, v.metadata::jsonb, v.event_key::uuid);
EOQ
}

$changes{merge} = \&merge if $server->sql('SHOW server_version_num') >= 150000;

# A statement; in transactions that ask, questions too
sub statement
{
	my (%opt) = @_;
	my %statements = (%inserts, $opt{changes} ? %changes : ());
	my $name = pick(sort keys %statements);

	return $statements{$name}->(%opt) . ($opt{questions} && chance(0.15) ? question() : '');
}

sub savepoint
{
	my (%opt) = @_;
	my $name = 's' . ++$serial;

	return "SAVEPOINT $name;\n"
	  . statement(%opt)
	  . (chance(0.3) ? savepoint(%opt) : '')
	  . pick("ROLLBACK TO $name;\n", "RELEASE $name;\n", '')
	  . (chance(0.5) ? statement(%opt) : '');
}

# One transaction, or one statement
sub transaction
{
	my (%opt) = @_;
	my $sql;

	return statement(%opt, alone => 1) if chance(0.5);
	$sql = 'BEGIN ISOLATION LEVEL '
	  . pick('READ COMMITTED', 'READ COMMITTED', 'READ COMMITTED', 'REPEATABLE READ', 'SERIALIZABLE')
	  . ";\n";
	$sql .= chance(0.5) ? savepoint(%opt) : statement(%opt) foreach 1 .. between(1, 3);
	$sql .= question() if $opt{questions} && chance(0.5);
	if ($opt{prepare} && chance(0.15))
	{
		my $name = "'p" . ++$serial . "'";

		return $sql . "PREPARE TRANSACTION $name;\n" . pick('COMMIT', 'COMMIT', 'ROLLBACK') . " PREPARED $name;\n";
	}
	return $sql . pick('COMMIT', 'COMMIT', 'COMMIT', 'ROLLBACK') . ";\n";
}

# ---------------------------------------------------------------------------
# Questions
# ---------------------------------------------------------------------------

# from and to: SQL of timestamptz, or NULL. Returns also the width in days where
# both are given.
sub range
{
	my ($zone) = @_;
	my $end = now() + $DAY_LENGTH;
	my $width = exp(rand(log(20 * $DAY_LENGTH)));
	my ($from, $to);

	$width = $DAY_LENGTH * between(1, 6) if chance(0.2);
	$to = chance(0.7) ? $end - rand(4 * $DAY_LENGTH) : $first_day * $DAY_LENGTH + rand($end - $first_day * $DAY_LENGTH);
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

# Compare our rows with those of the raw events, both of columns k, t, u. The
# query returns what differs, and that it asked.
sub comparison
{
	my ($question, $ours, $raw) = @_;
	my $text = literal($question);

	return <<EOQ;
WITH ours AS (SELECT k, t, u, row_number() OVER (PARTITION BY k) AS n FROM ($ours) o),
raw AS (SELECT k, t, u, 1 AS n FROM ($raw) r)
SELECT 'DIFFERS', $text, ours.k, ours.t, ours.u, 'not', raw.k, raw.t, raw.u
FROM ours FULL JOIN raw ON coalesce(ours.k, '(null)') = coalesce(raw.k, '(null)') AND ours.n = raw.n
WHERE (ours.t, ours.u) IS DISTINCT FROM (raw.t, raw.u)
UNION ALL
SELECT 'ASKED', NULL, NULL, NULL, NULL, NULL, NULL, (SELECT sum(t) FROM raw), NULL;
EOQ
}

# Keys of hours and days are compared as the instants they are.
sub metrics_question
{
	my ($group, %opt) = @_;
	my $name = chance(0.03) ? 'nothing' : pick(@NAMES);
	my $zone = pick(@ZONES);
	my $channel = chance(0.3) ? pick(@CHANNELS, 'nothing') : undef;
	my ($from, $to, $days) = range($zone);
	my $by_time = defined $group && $group =~ /^(hour|day)$/;
	my $filled = $by_time && chance(0.5);
	my $exactly = $filled && defined $days && $days < ($group eq 'hour' ? 5 : 60);
	my $where = join ' AND ', 'event_name = ' . literal($name),
	  ($from ne 'NULL' ? "ts >= $from" : ()), ($to ne 'NULL' ? "ts < $to" : ()),
	  (defined $channel ? 'channel = ' . literal($channel) : ());
	my $arguments = join ', ', literal($name), $from eq 'NULL' ? 'NULL::timestamptz' : $from,
	  $to eq 'NULL' ? 'NULL::timestamptz' : $to, literal($group), literal($channel), literal($zone);
	my $call = "fi_metrics($arguments, " . ($filled ? 'true' : 'false') . ')';
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
		$raw = "SELECT date_trunc('$group', ts, '$zone')::text AS k, count(*) AS t, count(DISTINCT user_id) AS u"
		  . " FROM fast_ingest.events WHERE $where GROUP BY 1";

		# every bucket that has a moment in the range; offsets are multiples of 15 minutes
		$raw = "SELECT k, coalesce(t, 0) AS t, coalesce(u, 0) AS u FROM ($raw) counted FULL JOIN"
		  . " (SELECT DISTINCT date_trunc('$group', greatest(moment, $from), '$zone')::text AS k"
		  . " FROM generate_series(date_bin('15 minutes', $from, '2000-01-01'), $to - interval '1 microsecond', '15 minutes') moment) filled USING (k)"
		  if $exactly;
	}
	else
	{
		$ours = "SELECT group_key AS k, total_events AS t, unique_users AS u FROM $call";
		$raw = "SELECT $KEYS{$group} AS k, count(*) AS t, count(DISTINCT user_id) AS u"
		  . " FROM fast_ingest.events WHERE $where AND $KEYS{$group} IS NOT NULL GROUP BY 1";
	}
	return ($capped{ $group || '' } ? capped_comparison($call, $ours, $raw) : comparison($call, $ours, $raw))
	  . ($opt{plan} ? "SELECT 'PLAN', source FROM fi_metrics_plan($arguments) WHERE rows_read > 0;\n" : '');
}

# By keys of which there are more than have rows of their own: all events are
# counted somewhere, and no key has events that it has not. Where there is no group of
# others, every key is right.
sub capped_comparison
{
	my ($call, $ours, $raw) = @_;

	return comparison(
		"sum of $call",
		"SELECT NULL::text AS k, coalesce(sum(t), 0)::bigint AS t, 0 AS u FROM ($ours) o",
		"SELECT NULL::text AS k, coalesce(sum(t), 0)::bigint AS t, 0 AS u FROM ($raw) r")
	  . comparison(
		"keys of $call",
		"SELECT o.* FROM ($ours) o LEFT JOIN ($raw) r USING (k) WHERE NOT EXISTS (SELECT FROM ($ours) o WHERE k IS NULL)"
		  . ' OR k IS NOT NULL AND (o.t > coalesce(r.t, 0) OR o.u > coalesce(r.u, 0))',
		"SELECT * FROM ($raw) r WHERE NOT EXISTS (SELECT FROM ($ours) o WHERE k IS NULL)");
}

# fi_stats: its first row is the whole site, those with a path are the most viewed, most
# first
sub stats_question
{
	my $site = literal(pick(grep { defined } @SITES));
	my $day = literal(day_name(any_day()));
	my $paths = between(1, 6);
	my $call = "fi_stats($site, $day, $paths)";

	my $events = "fast_ingest.events WHERE site_id = $site AND ts >= ${day}::timestamp AT TIME ZONE 'UTC'"
	  . " AND ts < (${day}::date + 1)::timestamp AT TIME ZONE 'UTC'";

	return comparison(
		"all of $call",
		"SELECT path AS k, views AS t, unique_users AS u FROM $call WHERE path IS NULL",
		"SELECT NULL::text AS k, count(*) AS t, count(DISTINCT user_id) AS u FROM $events")
	  . comparison(
		"paths of $call",
		"SELECT path AS k, views AS t, 0 AS u FROM $call WHERE path IS NOT NULL",
		"SELECT path AS k, count(*) AS t, 0 AS u FROM $events AND path IS NOT NULL GROUP BY 1 ORDER BY 2 DESC, path COLLATE \"C\""
		  . " LIMIT $paths");
}

sub question
{
	my (%opt) = @_;

	return stats_question() if chance(0.06);
	return metrics_question(
		chance(0.3) ? undef
		: chance(0.45) ? pick('hour', 'day')
		: pick(@breakdowns),
		%opt);
}

# ---------------------------------------------------------------------------
# Sessions
# ---------------------------------------------------------------------------

# SQLSTATEs that a session may meet in its work; any other is a fault. Writers
# write the same rows, and into days that have no partition.
my %may = (
	writer => qr/^(40P01|40001|23505|23514|25P02|21000|42704|3B001)$/,
	refresher => qr/^$/,
	cancelled => qr/^57014$/,
	eraser => qr/^(40P01|40001|55P03)$/,
	reader => qr/^$/,
	http => qr/^$/);

sub writer
{
	my (%opt) = @_;

	return { kind => 'writer', sql => join '', map { transaction(%opt) } 1 .. $opt{transactions} };
}

sub reader
{
	my ($transactions) = @_;
	my $sql = '';

	foreach (1 .. $transactions)
	{
		$sql .= "SET timezone = '" . pick(@ZONES) . "';\n";
		$sql .= 'BEGIN ISOLATION LEVEL ' . pick('REPEATABLE READ', 'REPEATABLE READ', 'READ COMMITTED') . ";\n";
		$sql .= question(plan => chance(0.3)) foreach 1 .. between(1, 5);
		$sql .= "COMMIT;\n";
	}
	return { kind => 'reader', sql => $sql };
}

sub refresh_call { return pick('SELECT fi_refresh();', "DO 'BEGIN PERFORM fi_refresh(); END';") . "\n" }

# Calls of fi_refresh, alone and in transactions that ask or give up
sub refresher
{
	my ($calls) = @_;
	my $sql = "SET application_name = 'refresher';\n";

	foreach (1 .. $calls)
	{
		$sql .=
			chance(0.75) ? refresh_call()
		  : "BEGIN;\n" . refresh_call() . question() . pick('COMMIT', 'ROLLBACK') . ";\n";
		$sql .= sprintf "DO 'BEGIN PERFORM pg_sleep(%.3f); END';\n", rand(0.05);
	}
	return { kind => 'refresher', sql => $sql };
}

# Refreshes that are told to stop in the middle
sub cancelled
{
	my ($calls) = @_;

	return {
		kind => 'cancelled',
		sql => join '',
		map { 'SET statement_timeout = ' . between(1, 40) . ";\n" . refresh_call() } 1 .. $calls
	};
}

# Erasures. They wait for rows that writers have locked, prepared transactions among them.
sub eraser
{
	my ($calls) = @_;

	return {
		kind => 'eraser',
		sql => "SET lock_timeout = '2s';\n" . join '',
		map { 'DO $$BEGIN PERFORM fi_erase_user(' . literal(pick(@USERS)) . "); END\$\$;\n" } 1 .. $calls
	};
}

sub rebuilder
{
	my $from = any_time();
	my $to = $from + pick(1, 90, 3600, 100000) * 1e6;

	return {
		kind => 'refresher',
		sql => sprintf "DO \$\$BEGIN PERFORM fi_rebuild('%s', '%s'); END\$\$;\n",
		timestamp($from), timestamp($to)
	};
}

sub http_writer
{
	my ($requests) = @_;

	return {
		kind => 'http',
		requests => [
			map {
				chance(0.3)
				  ? [ '/events', http_event(any_event(past => 1, keys => 400)) ]
				  : chance(0.2) ? [
					'/event',
					{
						site_id => 'a.example', event_type => 'page_view', path => pick('/', '/a'),
						chance(0.5) ? (timestamp => int(any_time(past => 1) / 1e6)) : ()
					}
				  ]
				  : [
					'/events/bulk',
					[ map { http_event(any_event(past => 1, keys => chance(0.5) ? 400 : undef)) } 1 .. between(1, 60) ]
				  ]
			} 1 .. $requests
		]
	};
}

# A line for each answer other than success. When the server dies there is none.
sub post_requests
{
	my ($session, $file) = @_;

	open my $log, '>', $file or die "could not create $file: $!";
	foreach my $request (@{ $session->{requests} })
	{
		my $answer = $server->post(@$request);

		syswrite $log, "$answer->{status} $answer->{body}\n" unless $answer->{status} =~ /^20/;
	}
	return;
}

my %seen = (ASKED => 0, events => 0, PLAN => {});
my $session_number = 0;

sub start_session
{
	my ($session) = @_;
	my $file = $session->{file} = "$tempdir/session" . ++$session_number;

	if ($session->{sql})
	{
		open my $script, '>', "$file.sql" or die "could not create $file.sql: $!";
		print $script "\\set VERBOSITY verbose\nSET client_encoding = 'UTF8';\n$session->{sql}";
		close $script;
	}

	$session->{pid} = fork;
	die "could not fork: $!" unless defined $session->{pid};
	return if $session->{pid} != 0;
	if ($session->{requests})
	{
		# No END block of the parent's may run in here.
		eval { post_requests($session, "$file.out") };
		POSIX::_exit($@ ? 1 : 0);
	}
	open STDOUT, '>', "$file.out";
	open STDERR, '>', "$file.err";
	exec 'psql', '-X', '-q', '-A', '-t', '-d', $server->node->connstr('postgres'), '-f', "$file.sql"
	  or POSIX::_exit(127);
}

# Run sessions at the same time; meanwhile is called again and again until all
# are done. Options: killed: the server dies meanwhile.
sub run
{
	my ($name, $sessions, %opt) = @_;
	my $meanwhile = $opt{meanwhile} || sub { };
	my (@complaints, @differing, %errors);
	my $asked = 0;

	start_session($_) foreach @$sessions;
	my $ended = wait_until(
		sub {
			$meanwhile->();
			$_->{ended} ||= waitpid($_->{pid}, POSIX::WNOHANG()) != 0 foreach @$sessions;
			return !grep { !$_->{ended} } @$sessions;
		});
	kill 'KILL', map { $_->{pid} } grep { !$_->{ended} } @$sessions;

	foreach my $session (@$sessions)
	{
		my ($out, $err) = map { -f $_ ? PostgreSQL::Test::Utils::slurp_file($_) : '' } "$session->{file}.out", "$session->{file}.err";

		foreach (split /\n/, $out)
		{
			if (/^ASKED\|.*?(\d*)\|$/) { $asked++; $seen{events} += $1 || 0 }
			elsif (/^PLAN\|(\w+)/) { $seen{PLAN}{$1}++ }
			elsif (/^DIFFERS/) { push @differing, "$session->{kind}: $_" }
			elsif ($session->{kind} eq 'http')
			{
				# a leap of the clock may be longer than a request's time
				push @complaints, "$session->{kind}: $_"
				  unless /^(503|408|closed)/ && $opt{killed} || /^503 .*request_timeout/ && $opt{meanwhile};
			}
		}
		while ($err =~ /^(.*(?:ERROR|FATAL|PANIC):  (\w{5}): .*(?:\n(?!psql).*)*)/mg)
		{
			my ($message, $state) = ($1, $2);

			$errors{$state}++;
			push @complaints, "$session->{kind} ($session->{file}): $message"
			  unless $state =~ $may{ $session->{kind} } || $opt{killed} && $state =~ /^(57P|08)/;
		}
		push @complaints, "$session->{kind} ($session->{file}): $err"
		  if $err =~ /connection to server/ && !$opt{killed};
	}
	$seen{ASKED} += $asked;
	ok( $ended && !@differing && !@complaints,
		"$name: $asked questions answered exactly"
		  . (%errors ? ' (errors: ' . join(', ', map { "$errors{$_} $_" } sort keys %errors) . ')' : ''))
	  or diag("seed $seed, " . ($ended ? '' : 'sessions did not end; ')
		  . @differing . " differing rows, " . @complaints . " complaints\n",
		map { "$_\n" } @differing[ 0 .. ($#differing > 7 ? 7 : $#differing) ],
		@complaints[ 0 .. ($#complaints > 7 ? 7 : $#complaints) ]);
	return;
}

# Leaps of the clock while sessions run: so many, so many seconds each at most
sub leaping
{
	my ($leaps, $seconds) = @_;
	my @at = map { Time::HiRes::time() + 0.3 + $_ * 0.4 } 1 .. $leaps;
	my @by = map { between(1, $seconds) } 1 .. $leaps;

	return sub {
		return unless @at && Time::HiRes::time() > $at[0];
		shift @at;
		advance(shift @by);
	};
}

# Nobody writes: questions in one snapshot, and the same over HTTP
sub at_rest
{
	my ($name) = @_;
	my $sql = "BEGIN ISOLATION LEVEL REPEATABLE READ;\n" . join('', map { question(plan => 1) } 1 .. 30) . "COMMIT;\n";

	run("$name, at rest", [ { kind => 'reader', sql => $sql } ]);
	ask_http($name);
	return;
}

# GET /metrics says what the raw rows say. The worker's refresh may run meanwhile.
sub ask_http
{
	my ($name) = @_;
	my $unit = pick(1, $MINUTE, $HOUR);
	my $to = int(now() / $unit) * $unit;
	my $from = $to - between(1, 4 * $DAY_LENGTH);
	my $raw = $server->sql('SELECT count(*), count(DISTINCT user_id) FROM fast_ingest.events'
		  . " WHERE event_name = 'page_view' AND ts >= to_timestamp($from) AND ts < to_timestamp($to)");
	my $answer = $server->get("/metrics?event_name=page_view&from=$from&to=$to");
	my $json = $answer->{json};

	is($answer->{status} eq 200 && ref $json ? "$json->{total_events}|$json->{unique_users}" : "$answer->{status} $answer->{body}",
		$raw, "$name: GET /metrics from $from to $to");
	return;
}

sub refresh
{
	run('refresh', [ { kind => 'refresher', sql => "SELECT fi_refresh();\n" } ]);
	return;
}

# Kill -9 in the middle: a process that refreshes, upon which the server starts
# over, or the server itself.
sub killing
{
	my ($what) = @_;
	my $at = Time::HiRes::time() + 0.2 + rand(0.5);
	my $done = 0;

	return sub {
		my ($at_last) = @_;

		return if $done || !$at_last && Time::HiRes::time() < $at;
		$done = 1;
		if ($what eq 'server')
		{
			die 'the server did not die' unless $server->crash(at_once => chance(0.5));
		}
		else
		{
			my $pid = $server->sql(q{SELECT pid FROM pg_stat_activity WHERE application_name = 'refresher'
				OR backend_type = 'fast_ingest maintenance' ORDER BY coalesce(state, '') = 'active' DESC LIMIT 1});

			kill 'KILL', $pid if $pid;
		}
	};
}

# After a crash: prepared transactions end one way or the other
sub end_prepared
{
	foreach my $name (split /\n/, $server->sql('SELECT gid FROM pg_prepared_xacts ORDER BY gid'))
	{
		$server->sql(pick('COMMIT', 'ROLLBACK') . " PREPARED '$name'");
	}
	return;
}

# ---------------------------------------------------------------------------
# The rounds
# ---------------------------------------------------------------------------

foreach my $round (1 .. $rounds)
{
	my $r = "round $round";

	set_ahead($starts[ $round - 1 ] - time) if $starts[ $round - 1 ] - time > $clock->ahead;
	make_partitions();
	if ($round == int($rounds / 2) + 1)
	{
		%capped = map { $_ => 1 } keys %CAPS;
		$server->sql(join '', map { "UPDATE fast_ingest.breakdowns SET max_keys = $CAPS{$_} WHERE name = '$_';\n" } keys %CAPS);
	}

	# Nothing refreshes: answers come from the deltas alone, or with what the
	# rounds before left.
	$server->set('fast_ingest.refresh_backlog' => 0);
	run("$r, events arrive",
		[ (map { writer(transactions => 12) } 1 .. 3), http_writer(10), reader(6) ],
		meanwhile => leaping(3, 2000));
	at_rest("$r, events arrived");
	refresh() if chance(0.5);

	# Hours and days close while several refresh and late events come in.
	foreach my $turn (1 .. 2)
	{
		advance(between(1, 20 * $HOUR));
		make_partitions();
		run("$r, hours close $turn",
			[
				(map { refresher(8) } 1 .. 3),
				(map { writer(transactions => 10, questions => 1) } 1 .. 2),
				http_writer(8),
				reader(10)
			],
			meanwhile => leaping(4, 2 * $HOUR));
		at_rest("$r, hours closed $turn");
	}

	# Everything at once, the maintenance worker too
	$server->set('fast_ingest.refresh_backlog' => 50);
	make_partitions();
	my @ddl;
	if ($round == 1)
	{
		@ddl = (
			{
				kind => 'refresher',
				sql => "DO \$\$BEGIN PERFORM fi_add_breakdown('campaign', 'campaign_id'); END\$\$;\n"
				  . "DO \$\$BEGIN PERFORM fi_add_breakdown('plan', 'metadata->>''plan''', '{minute,hour,day}'); END\$\$;\n"
				  . "DO \$\$BEGIN PERFORM fi_add_breakdown('person', 'user_id', '{hour,day}', $CAPS{person}); END\$\$;\n"
			});
	}
	run("$r, changes",
		[
			(map { writer(transactions => 15, questions => 1, changes => 1, prepare => 1) } 1 .. 3),
			http_writer(10),
			(map { refresher(6) } 1 .. 2),
			cancelled(12),
			rebuilder(),
			eraser(2),
			(map { reader(8) } 1 .. 2),
			@ddl
		],
		meanwhile => leaping(4, 2 * $HOUR));
	if (@ddl)
	{
		push @breakdowns, qw(campaign plan person);
		$capped{person} = 1;
	}
	at_rest("$r, changed");

	# TRUNCATE shows in snapshots taken before it, so nobody reads meanwhile.
	make_partitions();
	my ($gone, $kept) = (partition(any_day()), partition(any_day()));
	run("$r, a partition is truncated",
		[
			(map { writer(transactions => 8, changes => 1) } 1 .. 2),
			http_writer(5),
			(map { { kind => 'refresher', sql => join '', map { refresh_call() } 1 .. 8 } } 1 .. 2),
			{
				kind => 'writer',
				sql => "SELECT pg_sleep(0.1);\nTRUNCATE $gone;\nBEGIN;\nTRUNCATE $kept;\n" . statement() . "ROLLBACK;\n"
			}
		],
		meanwhile => leaping(2, $HOUR));
	at_rest("$r, a partition was truncated");
	refresh();
	at_rest("$r, refreshed");

	# The end of a process, and of all
	my $victim = $round % 2 ? 'server' : 'refresher';
	my $kill = killing($victim);
	make_partitions();
	run("$r, $victim killed",
		[
			(map { writer(transactions => 80, changes => 1, prepare => 1) } 1 .. 3),
			http_writer(30),
			(map { refresher(40) } 1 .. 2)
		],
		meanwhile => $kill,
		killed => 1);
	$kill->(1);
	$victim eq 'server' ? $clock->run(sub { $server->start_again }) : $server->wait_ready;
	end_prepared();
	at_rest("$r, started again");
	refresh();
	at_rest("$r, refreshed again");

	# A breakdown goes and comes again; what it says then is made from raw rows.
	if (chance(0.5))
	{
		my @all = @breakdowns;

		$server->sql("SELECT fi_drop_breakdown('campaign')");
		@breakdowns = grep { $_ ne 'campaign' } @all;
		run("$r, a breakdown comes again",
			[
				writer(transactions => 10, changes => 1),
				refresher(4),
				{
					kind => 'refresher',
					sql => "DO \$\$BEGIN PERFORM fi_add_breakdown('campaign', 'campaign_id', '{day}'); END\$\$;\n"
				}
			]);
		@breakdowns = @all;
		at_rest("$r, a breakdown came again");
	}
}

# What the test is worth: it asked about events, and every source has answered.

cmp_ok($seen{events} / ($seen{ASKED} || 1), '>', 20, "$seen{ASKED} questions in all, about many events");
is(join(' ', sort keys %{ $seen{PLAN} }), 'day delta hour minute raw', 'answers came from every source');
cmp_ok($server->sql('SELECT count(*) FROM fast_ingest.event_names WHERE is_other'), '>', 0, 'there were too many event_names');
is($server->sql('SELECT max(n) FROM (SELECT count(*) AS n FROM fast_ingest.event_names WHERE NOT is_other GROUP BY day) d'), 3,
	'so many of them are kept apart on a day');
is($server->sql('SELECT string_agg(DISTINCT b.name, \' \' ORDER BY b.name) FROM fast_ingest.rollup r'
		. ' JOIN fast_ingest.breakdowns b ON b.id = r.breakdown WHERE r.is_other'),
	join(' ', sort keys %CAPS), 'and too many keys of every breakdown that has a cap');

# All of it is recomputed from raw rows, and all is emptied.

$server->sql(sprintf "SELECT fi_rebuild('%s', '%s')", day_name($first_day), day_name(now() / $DAY_LENGTH + 5));
at_rest('rebuilt');
$server->sql('TRUNCATE fast_ingest.events');
at_rest('truncated');
refresh();
at_rest('truncated and refreshed');
is($server->sql('SELECT count(*) FROM fast_ingest.rollup WHERE events <> 0'), 0, 'the rollup is empty');
is($server->sql('SELECT (SELECT count(*) FROM fast_ingest.rollup_delta) + (SELECT count(*) FROM fast_ingest.rollup_dirty)'
		. ' + (SELECT count(*) FROM fast_ingest.event_names)'),
	0, 'nothing is left to be merged');

$server->node->stop;
done_testing();
