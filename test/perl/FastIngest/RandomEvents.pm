# Random events, and random SQL that writes and changes them: INSERT, COPY, MERGE, into
# partitions, with conflicts, savepoints and prepared transactions, late, into the future,
# on the edges of minutes, hours and days.
#
# A seed gives the same events again, as long as the clock does.

package FastIngest::RandomEvents;

use strict;
use warnings;

use Exporter 'import';
use POSIX qw(strftime);

our @EXPORT = qw(make_for make_partitions pick chance between literal timestamp day_name partition now first_day
  any_day any_time any_event http_event statement transaction
  @NAMES @CHANNELS @SITES @USERS $MINUTE $HOUR $DAY_LENGTH);

# More names than the rollup keeps apart
our @NAMES = (qw(page_view page_view page_view page_view click), '(other)', 'n1', 'n2', 'n3');
our @CHANNELS = (qw(web web mobile api), '(other)');
our @SITES = ('a.example', 'a.example', 'b.example', '(other)', undef);
our @PATHS = ('/', '/a', '/b', '/c', '(other)', undef);
our @CAMPAIGNS = ('c1', 'c2', 'c3', '(other)', undef, undef);
our @PLANS = ('free', 'pro', '(other)', undef);
our @USERS = ((map { "u$_" } 1 .. 40), '(other)', "o'brien", "\x{c3}\x{bc}ser", ' ');

our $MINUTE = 60;
our $HOUR = 3600;
our $DAY_LENGTH = 86400;

my $serial = 0;

# What make_for() was told, and what follows from it
my ($server, $clock, $directory, $first_day, $has_merge);
my %partitions;    # days since 1970 that have one

# Make everything for this server, which has no partition yet, by the time of this clock.
# Files of rows for COPY go to the directory.
sub make_for
{
	($server, $clock, $directory) = @_;
	$has_merge = $server->major_version >= 15;
	$first_day = int(now() / $DAY_LENGTH) - 2;
	return;
}

# By the clock
sub now { return $clock->now }

# The first day that events happen on, in days since 1970
sub first_day { return $first_day }

# ---------------------------------------------------------------------------
# Values
# ---------------------------------------------------------------------------

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

sub day_name { return strftime('%Y-%m-%d', gmtime $_[0] * $DAY_LENGTH) }
sub partition { return 'fast_ingest.events_' . strftime('%Y%m%d', gmtime $_[0] * $DAY_LENGTH) }

# ---------------------------------------------------------------------------
# Events
# ---------------------------------------------------------------------------

sub make_partitions
{
	my $today = int(now() / $DAY_LENGTH);
	my @days = grep { !$partitions{$_}++ } $today - 3 .. $today + 3;

	return unless @days;
	$server->sql(join '', map { "SELECT fi_create_partition('" . day_name($_) . "');\n" } @days);
	return;
}

# A day that has a partition, today and yesterday more often than others
sub any_day
{
	my $today = int(now() / $DAY_LENGTH);

	return chance(0.6) ? between($today - 1, $today) : pick(sort keys %partitions);
}

# A random time of an event. Options: past: not in the future; day: on that day.
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

# In a transaction block the lines come from a file: after an error psql would take them for
# statements.
sub copy
{
	my ($table, $events, %opt) = @_;
	my $lines = join '', map { copy_line($_) . "\n" } @$events;

	return "COPY $table ($COLUMNS) FROM stdin;\n$lines\\.\n" if $opt{alone};
	my $name = "$directory/copy" . ++$serial;
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

my %changes = (
	merge => \&merge,
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

# A statement that inserts. Options: changes: or changes what is there; queries: a function that
# makes a query, which may stand behind it; alone: it is in no transaction block.
sub statement
{
	my (%opt) = @_;
	my %statements = (%inserts, $opt{changes} ? %changes : ());

	delete $statements{merge} unless $has_merge;
	my $name = pick(sort keys %statements);

	return $statements{$name}->(%opt) . ($opt{queries} && chance(0.15) ? $opt{queries}->() : '');
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
	$sql .= $opt{queries}->() if $opt{queries} && chance(0.5);
	if ($opt{prepare} && chance(0.15))
	{
		my $name = "'p" . ++$serial . "'";

		return $sql . "PREPARE TRANSACTION $name;\n" . pick('COMMIT', 'COMMIT', 'ROLLBACK') . " PREPARED $name;\n";
	}
	return $sql . pick('COMMIT', 'COMMIT', 'COMMIT', 'ROLLBACK') . ";\n";
}

1;
