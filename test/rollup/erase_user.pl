# After fi_erase_user() everything acknowledged before the call is gone, and what is sent later
# belongs to a new user, whatever clients do meanwhile. Every answer is that of the raw rows that
# are left. Where raw rows were dropped, the user is not counted any more. Nothing that is made of
# the user_id is left in a table, or in a dump.
#
# FI_ERASE_SEED: repeats a run (the seed is printed).

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use Digest::SHA qw(sha256_hex);
use FastIngest;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $seed = $ENV{FI_ERASE_SEED} || (time ^ ($$ << 8)) & 0x7fffffff;

diag("FI_ERASE_SEED=$seed");
srand $seed;

my $tempdir = PostgreSQL::Test::Utils::tempdir();
my $conf = "fast_ingest.refresh_backlog = 0\nfast_ingest.deduplicate = 'key'\nautovacuum = off\n";
my $server = FastIngest->new('erase', conf => $conf);
my $victim = 'someone@example.org';

sub erase { return $server->sql("SELECT * FROM fi_erase_user('$_[0]')") }

sub pick { return $_[ rand @_ ] }

# Tables that have the user_id, or a hash of it, keyed or not, in a row or its statistics
sub traces
{
	my ($of, $user) = @_;

	return $of->sql(<<"EOQ");
CREATE FUNCTION pg_temp.traces(id text) RETURNS SETOF text LANGUAGE plpgsql AS \$\$
DECLARE
  name regclass;
  secret bytea := (SELECT s.secret FROM fast_ingest.secret s);
  found boolean;
BEGIN
  FOR name IN SELECT oid FROM pg_class WHERE relnamespace = 'fast_ingest'::regnamespace AND relkind = 'r' ORDER BY 1 LOOP
    EXECUTE format('SELECT EXISTS (SELECT FROM %s t WHERE strpos(t::text, \$1) > 0 OR replace(t::text, ''-'', '''') ~ \$2)', name)
      INTO found USING id, left(encode(sha256(id::bytea), 'hex'), 32) || '|' || left(encode(sha256(secret || id::bytea), 'hex'), 32);
    IF found THEN
      RETURN NEXT name;
    END IF;
  END LOOP;
END \$\$;
SELECT string_agg(t, ' ') FROM pg_temp.traces('$user') t;
EOQ
}

# ---------------------------------------------------------------------------
# Staged events
# ---------------------------------------------------------------------------

is($server->post_event(event(1, user_id => $victim))->{status}, 202, 'an event');
is($server->post_event(event(2))->{status}, 202, 'and another user\'s');

my $lock = $server->lock_table;
my @waiting = $server->send_events(map { event($_, user_id => $victim) } 3 .. 5);

is($server->wait_for_staged(3), 3, 'events that cannot be stored');
my $started = time;
my ($status, undef, $error) = $server->node->psql('postgres', "SELECT fi_erase_user('$victim')");
like($error, qr/staged events were not stored within 10 seconds/, 'are waited for, not for ever');
cmp_ok(time - $started, '<', 60, 'but for the time that the documentation has');

my $session = $server->node->background_psql('postgres');
$session->query_until(qr/begun/, "\\echo begun\nSELECT * FROM fi_erase_user('$victim');\n\\echo ended\n");
ok( wait_until(
		sub { $server->sql("SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%fi_erase_user%' AND wait_event = 'Extension'") == 1 }),
	'they are waited for');
$lock->query_safe('COMMIT');
$lock->quit;
like($session->query_until(qr/ended/, ''), qr/^4\|0\|\d+\|1$/m, 'until they are stored, and erased');
$session->quit;
is($_->read_answer->{status}, 202, 'their clients hear that they were stored') foreach @waiting;
is($server->count, 1, 'the other user\'s event is there');
is(traces($server, $victim), '', 'and nothing of the erased user');
is($server->get('/metrics?event_name=page_view')->{json}{unique_users}, 1, 'GET /metrics knows it');

# ---------------------------------------------------------------------------
# Clients that go on sending
# ---------------------------------------------------------------------------

# Each client is a process that notes when it sent an event and when it got the answer
my $stop = "$tempdir/stop";
my @clients;

foreach my $client (1 .. 2)
{
	my $pid = fork;

	die "could not fork: $!" unless defined $pid;
	push @clients, $pid and next if $pid;
	open my $book, '>', "$tempdir/client.$client" or POSIX::_exit(1);
	for (my $n = 1; !-e $stop; $n++)
	{
		my @events = map { event($n, user_id => $_, path => "/$client/$n", timestamp => $NOON + $n % 7200) } $victim, "user-$n";
		my $sent = time;
		my $answer = $n % 3 ? $server->post_bulk(\@events) : $server->post_event($events[0]);

		printf $book "%d %.6f %.6f\n", $n, $sent, time if $answer->{status} eq 202;
	}
	close $book;
	POSIX::_exit(0);
}

my @calls;
my $other = $server->node->background_psql('postgres');
for my $call (1 .. 6)
{
	my $before = $server->count;

	ok(wait_until(sub { $server->count > $before + 50 }), 'events come in');
	push @calls, [ time ];
	erase($victim);
	push @{ $calls[-1] }, time;
	$other->query_safe($call % 2 ? 'SELECT fi_refresh()' : "SELECT fi_erase_user('user-$call')");
}
open my $file, '>', $stop;
close $file;
waitpid $_, 0 foreach @clients;
$other->quit;

my ($begun, $ended) = @{ $calls[-1] };
my %stored = map { $_ => 1 } split /\n/, $server->sql("SELECT path FROM fast_ingest.events WHERE user_id = '$victim'");
my (@left, @lost, $erased);

foreach my $client (1 .. 2)
{
	foreach my $line (split /\n/, slurp_file("$tempdir/client.$client"))
	{
		my ($n, $sent, $heard) = split / /, $line;

		push @left, $n if $heard < $begun && $stored{"/$client/$n"};
		push @lost, $n if $sent > $ended && !$stored{"/$client/$n"};
		$erased++ if $heard < $begun;
	}
}
ok($erased, 'events were acknowledged before the last call');
is("@left", '', 'none of these is left');
is("@lost", '', 'those that were sent after it are stored');
is($server->wrong_metrics, '', 'metrics are those of the raw rows');
$server->sql('SELECT fi_refresh()');
is($server->wrong_metrics, '', 'merged, too');
erase($victim);
is(traces($server, $victim), '', 'nothing is left once it is erased again');
$server->books_balance;

# ---------------------------------------------------------------------------
# Dead letters
# ---------------------------------------------------------------------------

$server->sql(<<'EOQ');
CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'no events of %, who knows someone@example.org', NEW.user_id USING ERRCODE = 'check_violation';
END $$;
CREATE TRIGGER refuse BEFORE INSERT ON fast_ingest.events FOR EACH ROW WHEN (NEW.event_name = 'refused') EXECUTE FUNCTION public.refuse();
EOQ
is($server->post_event(event(1, event_name => 'refused', user_id => $_))->{status}, 422, "refused: $_") foreach $victim, 'other';
is(erase($victim), '0|2|0|0', 'dead letters are erased');
is($server->sql('SELECT event ->> \'user_id\', message FROM fast_ingest.dead_letters'),
	'other|no events of other, who knows (erased)', 'that of another user stays, without the user_id');
is(traces($server, $victim), '', 'nothing is left');
$server->sql('DROP FUNCTION public.refuse() CASCADE; TRUNCATE fast_ingest.dead_letters; TRUNCATE fast_ingest.events');

# ---------------------------------------------------------------------------
# Random events, erasures and drops of partitions, each answer against what it must be
# ---------------------------------------------------------------------------

my @days = map { sprintf '2024-09-%02d', $_ } 1 .. 6;
my @users = ('ann', 'anna', 'Ann', 'an', "o''brien", 'x' x 3000, 'ann@example.org', 'bob');
my (%dropped, %counted);    # what the rollup must remember of dropped days

# Rows of the answers for days with rows that are not those of the raw rows. Cuts within
# hours and within days, channels, and all groups.
sub differences
{
	my $days = join ',', map { "'$_ 00:00Z'" } grep { !$dropped{$_} } @days;

	return $server->sql(<<"EOQ");
SET timezone = 'UTC';
SELECT * FROM
  (SELECT d, c, g, k, t, u FROM unnest(ARRAY[$days]::timestamptz[]) d, unnest('{web,NULL}'::text[]) c, unnest('{channel,site,page,plan,hour}'::text[]) g,
    LATERAL fi_metrics('e', d, d + interval '1 day', g, c, fill => false) m (k, t, u)
   UNION ALL SELECT d, c, 'cut', '', t, u FROM unnest(ARRAY[$days]::timestamptz[]) d, unnest('{web,NULL}'::text[]) c,
    LATERAL fi_metrics('e', d + interval '3 hours 7 minutes 5.5 s', d + interval '20 hours 53 minutes 2 s', NULL, c) m (k, t, u)) ours
  FULL JOIN
  (SELECT d, c, g, k, count(*) AS t, count(DISTINCT user_id) AS u FROM unnest(ARRAY[$days]::timestamptz[]) d, unnest('{web,NULL}'::text[]) c,
    fast_ingest.events, LATERAL (VALUES ('channel', channel), ('site', site_id), ('page', path), ('plan', metadata ->> 'plan'),
      ('hour', to_char(ts, 'YYYY-MM-DD"T"HH24:00:00"Z"')),
      ('cut', CASE WHEN ts >= d + interval '3 hours 7 minutes 5.5 s' AND ts < d + interval '20 hours 53 minutes 2 s' THEN '' END)) keys (g, k)
    WHERE event_name = 'e' AND ts >= d AND ts < d + interval '1 day' AND k IS NOT NULL AND channel = coalesce(c, channel) GROUP BY 1, 2, 3, 4) raw
  ON ours.d = raw.d AND ours.c IS NOT DISTINCT FROM raw.c AND ours.g = raw.g AND ours.k = raw.k
WHERE (coalesce(ours.t, 0), coalesce(ours.u, 0)) IS DISTINCT FROM (coalesce(raw.t, 0), coalesce(raw.u, 0)) LIMIT 5;
EOQ
}

# What raw rows say of a day: events, and users by name, in all, by hour, by channel and in a cut
sub picture
{
	my ($day) = @_;
	my %picture;

	foreach my $line (split /\n/, $server->sql(<<"EOQ"))
SET timezone = 'UTC';
SELECT k, count(*), string_agg(DISTINCT user_id, ' ') FROM fast_ingest.events,
  unnest(ARRAY['all', channel, to_char(ts, 'YYYY-MM-DD"T"HH24:00:00"Z"'), CASE WHEN ts >= '$day 03:07:05.5Z' AND ts < '$day 20:53:02Z' THEN 'cut' END]) k
WHERE event_name = 'e' AND ts >= '$day 00:00Z' AND ts < '$day 24:00Z' AND k IS NOT NULL GROUP BY k
EOQ
	{
		my ($key, $events, $users) = split /\|/, $line;

		$picture{$key} = { events => $events, users => { map { $_ => 1 } split / /, $users || '' } };
	}
	return \%picture;
}

sub remembered
{
	my ($day) = @_;

	return join "\n", map { "$_|$counted{$day}{$_}{events}|" . keys %{ $counted{$day}{$_}{users} } } sort keys %{ $counted{$day} };
}

sub answered
{
	my ($day) = @_;

	return $server->sql(<<"EOQ");
SELECT * FROM (
  SELECT 'all' AS k, total_events, unique_users FROM fi_metrics('e', '$day 00:00Z', '$day 24:00Z')
  UNION ALL SELECT 'cut', total_events, unique_users FROM fi_metrics('e', '$day 03:07:05.5Z', '$day 20:53:02Z')
  UNION ALL SELECT * FROM fi_metrics('e', '$day 00:00Z', '$day 24:00Z', 'channel')
  UNION ALL SELECT * FROM fi_metrics('e', '$day 00:00Z', '$day 24:00Z', 'hour', fill => false)) a
WHERE total_events > 0 ORDER BY k COLLATE "C"
EOQ
}

sub insert_events
{
	my ($n) = @_;
	my @alive = grep { !$dropped{$_} } @days;

	$server->sql('INSERT INTO fast_ingest.events (event_name, channel, user_id, ts, site_id, path, metadata) VALUES '
		  . join ', ',
		map {
			my $user = rand() < 0.1 ? 'NULL' : "'" . pick(@users) . "'";
			my $metadata = rand() < 0.5 ? 'NULL' : "'{\"plan\": \"" . pick(qw(free pro)) . "\"}'";

			sprintf "('e', '%s', %s, '%s %02d:%02d:%02dZ', '%s', '/%d', %s)", pick(qw(web api)), $user,
			  pick(@alive), rand 24, rand 60, rand 60, pick(qw(s1 s2)), rand 3, $metadata
		} 1 .. $n);
	return;
}

$server->sql("SELECT fi_create_partition(d::date) FROM unnest('{" . join(',', @days) . "}'::text[]) d");
$server->sql("SELECT fi_add_breakdown('plan', 'metadata ->> ''plan''', '{minute,hour,day}')");
insert_events(400);
for my $round (1 .. 12)
{
	my @done;

	foreach (1 .. 3)
	{
		my $what = rand;

		if ($what < 0.4)
		{
			insert_events(1 + int rand 60);
			push @done, 'insert';
		}
		elsif ($what < 0.6)
		{
			$server->sql('SELECT fi_refresh()');
			push @done, 'refresh';
		}
		elsif ($what < 0.75)
		{
			$server->sql(sprintf "DELETE FROM fast_ingest.events WHERE path = '/1' AND ts::date = '%s'", pick(@days));
			push @done, 'delete';
		}
	}
	if ($round % 3 == 0)
	{
		my $day = pick(grep { !$dropped{$_} } @days[ 0 .. 4 ]);

		# the test must know which rows are deleted before they are gone
		$server->sql('SELECT fi_refresh()');
		insert_events(10);
		$counted{$day} = picture($day);
		$dropped{$day} = 1;
		$server->sql('DROP TABLE fast_ingest.events_' . $day =~ tr/-//dr);
		push @done, "drop $day";
	}
	my $user = pick(@users);

	erase($user);
	delete $_->{users}{ $user =~ s/''/'/r } foreach map { values %$_ } values %counted;
	push @done, 'erase ' . substr($user, 0, 20);
	is(differences(), '', "round $round: " . join ', ', @done);
	is(answered($_), remembered($_), "round $round: $_, which was dropped") foreach sort keys %dropped;
	is($server->count("user_id = '$user'"), 0, "round $round: no row is left");
}
ok($server->sql('SELECT count(*) < (SELECT users FROM fast_ingest.rollup_state) FROM fast_ingest.users') eq 't',
	'numbers of erased users are not given out again');

# ---------------------------------------------------------------------------
# A dump has nothing of the erased, and all that is needed to go on
# ---------------------------------------------------------------------------

my $dump = "$tempdir/dump.sql";
my $new = FastIngest->new('restored', conf => $conf, extension => 0);

$server->sql("INSERT INTO fast_ingest.events (event_name, channel, user_id, ts) SELECT 'e', 'web', u, '$days[-1] 12:00Z' FROM unnest('{$victim,known}'::text[]) u");
$server->sql('SELECT fi_refresh()');
erase($victim);
insert_events(20);
command_ok([ 'pg_dump', '-f', $dump, '-d', $server->node->connstr('postgres') ], 'pg_dump');
my $text = slurp_file($dump);
my $hash = join '-', substr(sha256_hex($victim), 0, 32) =~ /(.{8})(.{4})(.{4})(.{4})(.{12})/;
unlike($text, qr/\Q$victim\E|$hash|@{[ substr(sha256_hex($victim), 0, 32) ]}/, 'has neither the user_id nor its hash');
command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', $dump, '-d', $new->node->connstr('postgres') ], 'restored');
is($new->sql('SELECT secret FROM fast_ingest.secret'), $server->sql('SELECT secret FROM fast_ingest.secret'), 'with its secret');

my $old = $server;
$server = $new;
$server->wait_ready;
is(differences(), '', 'the answers are those of the raw rows');
is(answered($_), remembered($_), "$_, which was dropped") foreach sort keys %dropped;
is($server->sql(q(SELECT new_users FROM fi_refresh())), $old->sql(q(SELECT new_users FROM fi_refresh())), 'who was known is known');
insert_events(50);
erase('ann');
delete $_->{users}{ann} foreach map { values %$_ } values %counted;
is(differences(), '', 'erased there, too');
is(answered($_), remembered($_), "$_, which was dropped") foreach sort keys %dropped;

# Another database has another secret
$server->sql('CREATE DATABASE other');
$server->sql('CREATE EXTENSION fast_ingest', 'other');
isnt($server->sql('SELECT secret FROM fast_ingest.secret', 'other'), $server->sql('SELECT secret FROM fast_ingest.secret'), 'another database has another secret');
my $first = $server->sql('SELECT secret FROM fast_ingest.secret', 'other');
$server->sql('DROP EXTENSION fast_ingest; CREATE EXTENSION fast_ingest', 'other');
isnt($server->sql('SELECT secret FROM fast_ingest.secret', 'other'), $first, 'and so has another extension');

$_->node->stop foreach $old, $new;
done_testing();
