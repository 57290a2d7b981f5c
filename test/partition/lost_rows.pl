# Whatever happens to partitions, answers stay those of the raw rows. Random commands create,
# attach, detach, drop and truncate partitions: default ones, wide ones, ones of a part of a day,
# ones that are partitioned again. Rows come and go, breakdowns are added and dropped, the rollup
# is refreshed or not, and the database is dumped and restored. After every step everything is
# asked and compared.
#
# The model is in the database as well, in tables of the test: "ghosts" are the rows of partitions
# that were dropped or detached, which the metrics keep. An answer is that of the raw rows and the
# ghosts. Where a range cuts a bucket that has ghosts, the answer is the error that says so, also
# if the events asked for are late ones of such a day. fast_ingest.lost_rows has the days of the
# ghosts and no other.
#
# FI_PARTITIONS_SEED: repeats a run (the seed is printed). FI_PARTITIONS_STEPS: how much.
# FI_TORTURE: ten times as much.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use FastIngest;
use List::Util;
use POSIX qw(strftime);
use PostgreSQL::Test::Utils;
use Test::More;

my $steps = $ENV{FI_PARTITIONS_STEPS} || 250 * ($ENV{FI_TORTURE} ? 10 : 1);
my $seed = $ENV{FI_PARTITIONS_SEED} || (time ^ ($$ << 8)) & 0x7fffffff;

diag("FI_PARTITIONS_SEED=$seed");
srand $seed;

my $STEPS_OF_A_DATABASE = 50;
my $DAYS = 10;
my $FIRST = $NOON - 43200;    # midnight
my $LAST = $FIRST + $DAYS * 86400;
my $tempdir = PostgreSQL::Test::Utils::tempdir();
my $server = FastIngest->new('partitions', conf => "fast_ingest.refresh_backlog = 0\n");

sub day { return strftime('%Y-%m-%d', gmtime $FIRST + $_[0] * 86400) }
sub pick { return $_[ rand @_ ] }
sub chance { return rand() < $_[0] }
sub between { return $_[0] + int rand($_[1] - $_[0] + 1) }
sub literal { return defined $_[0] ? "'" . $_[0] =~ s/'/''/gr . "'" : 'NULL' }

# Seconds since 1970, with a fraction
sub timestamp
{
	my ($time) = @_;
	my $seconds = POSIX::floor($time);

	return strftime('%Y-%m-%d %H:%M:%S', gmtime $seconds) . sprintf('.%06d+00', ($time - $seconds) * 1e6);
}

# ---------------------------------------------------------------------------
# The model, and the queries
# ---------------------------------------------------------------------------

my $MODEL = <<'EOQ';
CREATE TABLE public.ghosts (source text, event_name text, channel text, user_id text, ts timestamptz, site_id text, path text, plan text);
CREATE TABLE public.detached (name text, parent text, bound text);
CREATE TABLE public.blind (day date);
CREATE VIEW public.truth AS
  SELECT event_name, channel, user_id, ts, site_id, path, metadata->>'plan' AS plan FROM fast_ingest.events
  UNION ALL SELECT event_name, channel, user_id, ts, site_id, path, plan FROM public.ghosts;
CREATE FUNCTION public.ghost_days() RETURNS SETOF date LANGUAGE sql AS
  $$ SELECT DISTINCT (ts AT TIME ZONE 'UTC')::date FROM public.ghosts $$;
CREATE FUNCTION public.asked(name text, day timestamptz, by text) RETURNS TABLE (k text, t bigint, u bigint) LANGUAGE plpgsql AS $$
BEGIN
  RETURN QUERY SELECT * FROM fi_metrics(name, asked.day, asked.day + '1 day', by);
EXCEPTION WHEN object_not_in_prerequisite_state THEN
  IF by <> 'plan' OR asked.day NOT IN (SELECT b.day FROM public.blind b) THEN RAISE; END IF;
  RETURN QUERY SELECT plan, count(*), count(DISTINCT user_id) FROM public.truth
    WHERE event_name = name AND ts >= asked.day AND ts < asked.day + '1 day' AND plan IS NOT NULL GROUP BY 1;
END $$;
EOQ

# Days of which a breakdown cannot know everything: it was made after they had gone.
# The answer is right, or an error.
my $BLIND = 'INSERT INTO public.blind SELECT * FROM public.ghost_days();';
my $UNBLIND = 'DELETE FROM public.blind WHERE day NOT IN (SELECT * FROM public.ghost_days());';

# Of the range without bounds; of single days, which a breakdown kept by days answers;
# of websites; and what is marked. Not all days after every step.
sub checks
{
	my ($names, $days) = @_;

	return <<EOQ;
SET timezone = 'UTC';
SELECT 'DIFFERS', * FROM
  (SELECT n, d::date AS d, g, k, t, u FROM unnest('{$names}'::text[]) n, unnest('{$days}'::timestamptz[]) d,
     unnest('{channel,site,page,plan}'::text[]) g, LATERAL public.asked(n, d, g) m (k, t, u)
   WHERE EXISTS (SELECT FROM fast_ingest.breakdowns b WHERE b.name = g)
   UNION ALL SELECT n, NULL, g, k, t, u FROM unnest('{$names}'::text[]) n, unnest('{channel,hour,day}'::text[]) g, LATERAL fi_metrics(n, group_by => g, fill => false) m (k, t, u)
   UNION ALL SELECT n, NULL, 'all', '', t, u FROM unnest('{$names}'::text[]) n, LATERAL fi_metrics(n) m (k, t, u) WHERE t > 0) ours
  FULL JOIN
  (SELECT event_name, d, g, k, count(*) AS t, count(DISTINCT user_id) AS u FROM public.truth,
    LATERAL (VALUES (ts::date, 'channel', channel), (ts::date, 'site', site_id), (ts::date, 'page', path), (ts::date, 'plan', plan),
      (NULL, 'channel', channel), (NULL, 'hour', to_char(ts, 'YYYY-MM-DD"T"HH24:00:00"Z"')), (NULL, 'day', to_char(ts, 'YYYY-MM-DD"T"00:00:00"Z"')), (NULL, 'all', '')) keys (d, g, k)
    WHERE event_name = ANY ('{$names}') AND (d IS NULL OR d = ANY ('{$days}')) AND k IS NOT NULL AND (g <> 'plan' OR EXISTS (SELECT FROM fast_ingest.breakdowns b WHERE b.name = 'plan')) GROUP BY 1, 2, 3, 4) truth
  ON n = event_name AND coalesce(ours.d, 'infinity') = coalesce(truth.d, 'infinity') AND ours.g = truth.g AND ours.k = truth.k
WHERE (ours.t, ours.u) IS DISTINCT FROM (truth.t, truth.u) ORDER BY 2, 3, 4 LIMIT 5;
SELECT 'DIFFERS', 'stats', s, d, ours.v, ours.u, raw.v, raw.u
FROM unnest('{a.example,b.example}'::text[]) s, unnest('{$days}'::timestamptz[]) d,
  LATERAL fi_stats(s, d::date) ours (v, u),
  LATERAL (SELECT count(*), count(DISTINCT user_id) FROM public.truth WHERE site_id = s AND ts >= d AND ts < d + '1 day') raw (v, u)
WHERE (ours.v, ours.u) IS DISTINCT FROM (raw.v, raw.u) LIMIT 5;
SELECT 'DIFFERS', 'marked without having lost a row', low, high, day FROM fast_ingest.lost_rows,
  generate_series(date_trunc('day', greatest(low, '2024-08-01')), least(high, '2024-09-01') - '1 microsecond'::interval, '1 day') day
WHERE NOT EXISTS (SELECT FROM public.ghosts g WHERE g.ts >= low AND g.ts < high AND g.ts >= day AND g.ts < day + '1 day') LIMIT 5;
SELECT 'DIFFERS', 'marked what nobody had', low, high FROM fast_ingest.lost_rows WHERE low < '2024-08-01' OR high > '2024-09-01' LIMIT 5;
SELECT 'DIFFERS', 'lost and not marked', g.ts FROM public.ghosts g
WHERE NOT EXISTS (SELECT FROM fast_ingest.lost_rows d WHERE g.ts >= d.low AND g.ts < d.high) LIMIT 5;
EOQ
}

# A range that cuts buckets
sub cut_question
{
	my $from = $FIRST + rand($DAYS * 86400);
	my $to = $from + exp(rand(log(3 * 86400)));
	my $name = pick(qw(view view click));
	my $group = pick('NULL', 'NULL', "'channel'", "'site'", "'hour'");
	my $key = $group eq "'channel'" ? 'channel' : $group eq "'site'" ? 'site_id' : $group eq "'hour'" ? q(to_char(ts, 'YYYY-MM-DD"T"HH24:00:00"Z"')) : "'all'";

	($from, $to) = map { literal(timestamp(chance(0.3) ? int($_ / 3600) * 3600 : chance(0.3) ? int($_ / 60) * 60 : $_)) } $from, $to + 3600;
	return <<EOQ;
DO \$do\$
DECLARE
  cut boolean := EXISTS (SELECT FROM public.truth WHERE event_name = '$name' AND ts::date IN (SELECT * FROM public.ghost_days()) AND
    (date_trunc('day', ts) = date_trunc('day', ${from}::timestamptz) OR date_trunc('day', ts) = date_trunc('day', ${to}::timestamptz)));
  differs text;
BEGIN
  SELECT string_agg(format('%s: %s %s, not %s %s', k, ours.t, ours.u, truth.t, truth.u), '; ') INTO differs FROM
    (SELECT coalesce(group_key, 'all') AS k, total_events AS t, unique_users AS u FROM fi_metrics('$name', ${from}::timestamptz, ${to}::timestamptz, $group, fill => false) WHERE total_events > 0) ours
    FULL JOIN (SELECT $key AS k, count(*) AS t, count(DISTINCT user_id) AS u FROM public.truth WHERE event_name = '$name' AND ts >= $from AND ts < $to AND $key IS NOT NULL GROUP BY 1) truth USING (k)
  WHERE (ours.t, ours.u) IS DISTINCT FROM (truth.t, truth.u);
  IF differs IS NOT NULL THEN RAISE NOTICE 'DIFFERS % from % to %: %', '$name', $from, $to, differs; END IF;
EXCEPTION WHEN object_not_in_prerequisite_state THEN
  IF NOT cut THEN RAISE NOTICE 'DIFFERS % from % to %: %', '$name', $from, $to, SQLERRM; END IF;
END \$do\$;
EOQ
}

# What there is, for the next step to choose from
my $STATE = <<'EOQ';
SELECT 'PARTITION', t.relid::regclass, t.parentrelid::regclass, c.relkind, pg_get_expr(c.relpartbound, c.oid),
  EXISTS (SELECT FROM pg_trigger WHERE tgrelid = t.relid AND tgname = 'fi_truncated'),
  EXISTS (SELECT FROM pg_inherits JOIN pg_class s ON s.oid = inhrelid WHERE inhparent = t.parentrelid AND pg_get_expr(s.relpartbound, s.oid) = 'DEFAULT')
FROM pg_partition_tree('fast_ingest.events') t JOIN pg_class c ON c.oid = t.relid WHERE t.parentrelid IS NOT NULL ORDER BY 1, 2;
SELECT 'DETACHED', name, parent, bound FROM public.detached ORDER BY 2;
SELECT 'BREAKDOWN', count(*) FROM fast_ingest.breakdowns WHERE name = 'plan';
EOQ

# ---------------------------------------------------------------------------
# The steps: each returns what psql is to run, or nothing where it cannot be done
# ---------------------------------------------------------------------------

my $database;
my $number = 0;
my (@partitions, @detached, $has_plan);

sub any_time
{
	my $time = $FIRST + rand($DAYS * 86400);

	$time = int($time / 3600) * 3600 + pick(0, 0, 1e-6, -1e-6, 1799.5) if chance(0.3);
	return $time;
}

sub any_row
{
	my ($time) = @_;

	return [
		pick(qw(view view click)), pick(qw(web mobile api)), (chance(0.1) ? undef : 'u' . between(1, 9)),
		timestamp(defined $time ? $time : any_time()),
		pick('a.example', 'b.example', undef), pick('/', '/a', undef), pick('{"plan": "pro"}', '{"plan": "free"}', undef)
	];
}

my $COLUMNS = 'event_name, channel, user_id, ts, site_id, path, metadata';

sub insert
{
	my ($table, @rows) = @_;

	return "INSERT INTO $table ($COLUMNS) VALUES " . join(', ', map { '(' . join(', ', map { literal($_) } @$_) . ')' } @rows) . ";\n";
}

# Around one moment, so that there is a partition for all or for none
sub near
{
	my $time = any_time();

	return map { any_row($time + rand(pick(1, 60, 3600))) } 1 .. between(1, 12);
}

# A bound is a time or one of the ends
sub bounds
{
	my $from = $FIRST + between(-1, $DAYS) * 86400;
	my $to = $from + between(1, 4) * 86400;

	($from, $to) = map { $_ - 3 * 3600 } $from, $to if chance(0.2);
	$from += pick(43200, 1800, 61, 12.5) if chance(0.15);
	($from, $to) = map { literal(timestamp($_)) } $from, $to;
	$from = pick('MINVALUE', "'-infinity'") if chance(0.1);
	$to = pick('MAXVALUE', "'infinity'") if chance(0.1);
	return "FROM ($from) TO ($to)";
}

sub name { return 'public.part_' . ++$number }
sub parents { return 'fast_ingest.events', 'fast_ingest.events', map { $_->{name} } grep { $_->{kind} eq 'p' } @partitions }
sub leaf { return pick(grep { $_->{kind} eq 'r' } @partitions) }
sub ghosts { return "INSERT INTO public.ghosts SELECT " . literal($_[0]) . ", event_name, channel, user_id, ts, site_id, path, metadata->>'plan' FROM $_[0];\n" }

# Rows of days that have lost some stay counted, whatever becomes of them
my $WHOLE_DAY = "(ts AT TIME ZONE 'UTC')::date NOT IN (SELECT * FROM public.ghost_days())";

sub some_rows
{
	my $from = any_time();

	return sprintf "ts >= '%s' AND ts < '%s' AND $WHOLE_DAY%s", timestamp($from), timestamp($from + pick(60, 7200, 86400, 3 * 86400)), pick('', '', " AND channel = 'web'");
}

# Only where a table's rows are all of such days
sub only_whole_days
{
	my ($table, $sql) = @_;

	return "SELECT EXISTS (SELECT FROM $table WHERE NOT $WHOLE_DAY) AS lost \\gset\n\\if :lost\n\\else\n$sql\\endif\n";
}

my %steps = (
	day => sub { 'SELECT fi_create_partition(' . literal(strftime('%Y-%m-%d', gmtime any_time())) . ");\n" },
	partition => sub { 'CREATE TABLE ' . name() . ' PARTITION OF ' . pick(parents()) . ' FOR VALUES ' . bounds() . ";\n" },
	default => sub { 'CREATE TABLE ' . name() . ' PARTITION OF ' . pick(parents()) . " DEFAULT;\n" },
	nested => sub {
		my $name = name();
		my $sql = "CREATE TABLE $name PARTITION OF " . pick(parents()) . ' ' . (chance(0.2) ? 'DEFAULT' : 'FOR VALUES ' . bounds());

		if (chance(0.4))
		{
			$sql .= " PARTITION BY LIST (channel);\nCREATE TABLE " . name() . " PARTITION OF $name FOR VALUES IN ('web');\n";
			$sql .= 'CREATE TABLE ' . name() . " PARTITION OF $name " . pick('DEFAULT', "FOR VALUES IN ('mobile', 'api')") . ";\n";
			return $sql;
		}
		$sql .= " PARTITION BY RANGE (ts);\n";
		$sql .= 'CREATE TABLE ' . name() . " PARTITION OF $name FOR VALUES " . bounds() . ";\n" if chance(0.5);
		$sql .= 'CREATE TABLE ' . name() . " PARTITION OF $name DEFAULT;\n" if chance(0.6);
		return $sql;
	},
	attach => sub {
		my $name = name();
		my $day = $FIRST + between(0, $DAYS - 1) * 86400;

		return "CREATE TABLE $name (LIKE fast_ingest.events INCLUDING ALL);\n"
		  . insert($name, map { any_row($day + rand(86400)) } 1 .. between(1, 8))
		  . only_whole_days($name,
			    'ALTER TABLE ' . pick(parents()) . " ATTACH PARTITION $name "
			  . (chance(0.3) ? 'DEFAULT' : sprintf "FOR VALUES FROM ('%s') TO ('%s')", map { timestamp($_) } $day, $day + 86400) . ";\n");
	},
	detach => sub {
		my $partition = pick(@partitions) or return;
		my $name = $partition->{name};
		my $concurrently = !$partition->{beside_default} && chance(0.4);

		# what could not be detached is no ghost
		return "ALTER TABLE $partition->{parent} DETACH PARTITION $name" . ($concurrently ? ' CONCURRENTLY' : '') . ";\n"
		  . "\\if :ERROR\n\\else\n" . ghosts($name)
		  . 'INSERT INTO public.detached VALUES (' . join(', ', map { literal($_) } $name, $partition->{parent}, $partition->{bound}) . ");\n\\endif\n";
	},
	attach_again => sub {
		my $detached = pick(@detached) or return;
		my $name = $detached->{name};

		return "BEGIN;\n" . (join '', map { "DROP TRIGGER IF EXISTS fi_$_ ON $name;\n" } qw(inserted updated deleted))
		  . "ALTER TABLE $detached->{parent} ATTACH PARTITION $name $detached->{bound};\n"
		  . "DELETE FROM public.detached WHERE name = '$name';\nDELETE FROM public.ghosts WHERE source = '$name';\n$UNBLIND\nCOMMIT;\n";
	},
	change_detached => sub {
		my $detached = pick(@detached) or return;
		my $other = "EXISTS (SELECT FROM public.ghosts g, $detached->{name} r WHERE g.source <> '$detached->{name}' AND (g.ts AT TIME ZONE 'UTC')::date = (r.ts AT TIME ZONE 'UTC')::date)";

		return "DELETE FROM $detached->{name} WHERE user_id = 'u" . between(1, 9) . "' AND NOT $other;\n";
	},
	drop_detached => sub {
		my $detached = pick(@detached) or return;

		return "DROP TABLE $detached->{name};\nDELETE FROM public.detached WHERE name = '$detached->{name}';\nUPDATE public.ghosts SET source = 'gone' WHERE source = '$detached->{name}';\n";
	},
	drop => sub {
		my $partition = pick(@partitions) or return;

		return "BEGIN;\n" . ghosts($partition->{name}) . "DROP TABLE $partition->{name};\n"
		  . "UPDATE public.ghosts SET source = 'gone' WHERE source = '$partition->{name}';\nCOMMIT;\n";
	},
	changed_and_dropped => sub {
		my $partition = leaf() or return;

		return "BEGIN;\nDELETE FROM fast_ingest.events WHERE tableoid = '$partition->{name}'::regclass AND user_id > 'u4' AND $WHOLE_DAY;\n"
		  . ghosts($partition->{name}) . "DROP TABLE $partition->{name};\n"
		  . "UPDATE public.ghosts SET source = 'gone' WHERE source = '$partition->{name}';\nCOMMIT;\n";
	},
	truncate => sub {
		my $partition = pick(grep { $_->{has_trigger} } @partitions) or return;

		return only_whole_days($partition->{name}, "TRUNCATE $partition->{name};\n");
	},
	rolled_back => sub {
		my $partition = pick(@partitions) or return;

		return "BEGIN;\n" . pick("DROP TABLE $partition->{name};\n", "ALTER TABLE $partition->{parent} DETACH PARTITION $partition->{name};\n") . "ROLLBACK;\n";
	},
	insert => sub { insert('fast_ingest.events', near()) },
	insert_more => sub { join '', map { insert('fast_ingest.events', any_row()) } 1 .. 8 },
	copy => sub {
		my $file = "$tempdir/copy" . ++$number;

		PostgreSQL::Test::Utils::append_to_file($file, join '', map { join("\t", map { defined $_ ? $_ : '\N' } @$_) . "\n" } near());
		return "COPY fast_ingest.events ($COLUMNS) FROM '$file';\n";
	},
	update => sub { "UPDATE fast_ingest.events SET user_id = 'u" . between(1, 9) . "', path = '/u' WHERE " . some_rows() . ";\n" },
	move => sub {
		my $interval = "interval '" . pick('1 day', '-1 day', '90 minutes', '1 second') . "'";

		return "UPDATE fast_ingest.events SET ts = ts + $interval WHERE ts > '2024-08-12 00:00Z' AND ts < '2024-08-21 00:00Z' AND " . some_rows() . ' AND ' . $WHOLE_DAY =~ s/\(ts /((ts + $interval) /r . ";\n";
	},
	delete => sub { 'DELETE FROM fast_ingest.events WHERE ' . some_rows() . ";\n" },
	delete_in_partition => sub {
		my $partition = pick(grep { $_->{has_trigger} } @partitions) or return;

		return "DELETE FROM $partition->{name} WHERE " . some_rows() . ";\n";
	},
	breakdown => sub {
		return $has_plan
		  ? "BEGIN;\nSELECT fi_drop_breakdown('plan');\nDELETE FROM public.blind;\nCOMMIT;\n"
		  : "BEGIN;\nSELECT fi_add_breakdown('plan', 'metadata->>''plan''', '" . pick('{day}', '{hour,day}', '{minute,hour,day}') . "');\n$BLIND\nCOMMIT;\n";
	},
	refresh => sub { "SELECT fi_refresh();\n" },
	rebuild => sub {
		return 'SELECT fi_rebuild(' . pick('', join ', ', map { literal(timestamp($_)) } sort { $a <=> $b } any_time(), any_time() + 1) . ");\n";
	});

# How often a step is chosen, if not once
my %often = (insert => 6, insert_more => 4, copy => 2, delete => 3, update => 2, move => 2, detach => 3, drop => 2, refresh => 4,
	partition => 3, attach_again => 3, day => 4, dump => 2, http => 2);

# What users may run into: overlapping bounds, rows without a partition or in the way of
# one, a second default partition, an event_key twice
my $MAY = qr/^(42P17|42P16|42P01|23514|25P02|0A000)$/;

# ---------------------------------------------------------------------------
# Dump, restore, HTTP
# ---------------------------------------------------------------------------

my $databases = 0;
my $commands = '';

sub begin_database
{
	$database = $databases++ ? "world$databases" : $server->{database};
	$server->sql("CREATE DATABASE $database") if $databases > 1;
	$server->sql('CREATE EXTENSION fast_ingest', $database) if $databases > 1;
	$server->sql($MODEL, $database);
	($commands, @partitions, @detached) = '';
	return;
}

# The database goes on as its own copy
sub dump_and_restore
{
	my $copy = 'world' . ++$databases;
	my $file = "$tempdir/$copy";
	my @from = $server->node->connstr($database);
	my @to = $server->node->connstr($copy);
	my $way = pick(qw(psql custom parallel sections));
	my @restore = ('pg_restore', '--exit-on-error', '-d', @to);
	my @errors;

	$server->sql("CREATE DATABASE $copy");
	push @errors, $? if system_log('pg_dump', $way eq 'psql' ? () : '-Fc', '-f', $file, '-d', @from);
	push @errors, $? if
		$way eq 'psql' ? system_log('psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', $file, '-d', @to)
	  : $way eq 'sections' ? (system_log(@restore, '--section=pre-data', $file)
		  || system_log(@restore, '--section=data', $file)
		  || system_log(@restore, '--section=post-data', $file))
	  : system_log(@restore, $way eq 'parallel' ? ('-j', '2') : (), $file);
	# for PostgreSQL a detached partition is a table like any other from here on
	$server->sql("TRUNCATE public.detached; UPDATE public.ghosts SET source = 'gone'", $copy);
	$server->sql("DROP DATABASE $database") unless $database eq $server->{database};
	$database = $copy;
	return ($way, @errors);
}

sub post
{
	my $day = int(any_time() / 86400) * 86400;
	my $name = strftime('%Y-%m-%d', gmtime $day);
	my @events = map {
		{
			event_name => pick(qw(view click)), channel => pick(qw(web mobile)), user_id => 'u' . between(1, 9),
			timestamp => $day + int rand 86400, site_id => 'a.example', path => '/'
		}
	} 1 .. between(1, 20);

	return unless $database eq $server->{database};
	# a day of which another partition takes a part is none for HTTP
	my ($status) = $server->node->psql($database, "SELECT fi_create_partition('$name')");
	return if $status != 0 || $server->sql("SELECT count(*) FROM fi_partitions() WHERE day = '$name'", $database) == 0;
	is($server->post('/events/bulk', \@events)->{status}, 202, "events of $name by HTTP");
	return;
}

# ---------------------------------------------------------------------------

# Run a step, and ask everything. Returns what is wrong.
sub run_and_check
{
	my ($sql, $full) = @_;
	my ($out, $err) = ('', '');
	my (@wrong, @state);

	$server->node->psql($database,
		"\\set VERBOSITY verbose\nSET timezone = 'UTC';\n$sql;\nROLLBACK;\n\\warn CHECKS\n"
		  . ($full ? checks('view,click', join ',', map { day($_) } -1 .. $DAYS + 1) : checks(pick(qw(view view click)), day(between(-1, $DAYS + 1))))
		  . cut_question() . cut_question() . $STATE,
		stdout => \$out, stderr => \$err, on_error_stop => 0);
	my $checking = 0;
	foreach my $line (split /\n/, $err)
	{
		$checking = 1 if $line eq 'CHECKS';
		push @wrong, $line
		  if $line =~ /DIFFERS|server closed|connection to server/ || ($line =~ /(?:ERROR|FATAL|PANIC): +(\w{5}):/ && ($checking || $1 !~ $MAY));
	}
	(@partitions, @detached) = ();
	$has_plan = undef;
	foreach my $line (split /\n/, $out)
	{
		my ($kind, @fields) = split /\|/, $line;

		push @wrong, $line if defined $kind && $kind eq 'DIFFERS';
		next unless defined $kind && $kind =~ /^(PARTITION|DETACHED|BREAKDOWN)$/;
		push @partitions, { name => $fields[0], parent => $fields[1], kind => $fields[2], bound => $fields[3], has_trigger => $fields[4] eq 't', beside_default => $fields[5] eq 't' }
		  if $kind eq 'PARTITION';
		push @detached, { name => $fields[0], parent => $fields[1], bound => $fields[2] } if $kind eq 'DETACHED';
		$has_plan = $fields[0] if $kind eq 'BREAKDOWN';
	}
	push @wrong, "no state: $out $err" unless defined $has_plan;
	return @wrong;
}

my @bag = map { ($_) x ($often{$_} || 1) } sort keys %steps, qw(dump http);
my $left = 0;
my (@deck, %done);

for my $step (1 .. $steps)
{
	@deck = List::Util::shuffle(@bag) unless @deck;

	my $name = pop @deck;
	my $sql = '';
	my @wrong;

	if ($left-- == 0)
	{
		begin_database();
		$left = $STEPS_OF_A_DATABASE;
		run_and_check('', 1);
	}
	if ($name eq 'dump')
	{
		my ($way, @errors) = dump_and_restore();

		push @wrong, "restore by $way failed" if @errors;
		$sql = "-- dumped and restored: $way\n";
	}
	elsif ($name eq 'http')
	{
		post();
		$sql = "-- posted\n";
	}
	else
	{
		$sql = $steps{$name}->();
		next unless $sql;
	}
	$commands .= $sql;
	push @wrong, run_and_check($sql, $name eq 'dump' || $step % 10 == 0 || $step == $steps);
	$done{$name}++;
	next unless @wrong;
	fail("step $step: $name");
	diag($_) foreach @wrong;
	diag("what was done:\n$commands");
	last;
}
note(join ', ', map { "$_ $done{$_}" } sort keys %done);
ok(Test::More->builder->is_passing, "$steps steps");

done_testing();
