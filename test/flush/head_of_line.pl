# Events of today never wait for other events: not for a thousand days whose partitions must be
# created, not for a partition that is locked or in the way, and not for an event whose trigger
# raises an error of any kind, is slow, or waits for a lock. The events that are held up are
# stored as soon as possible, or become dead letters that say why.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use FastIngest;
use Test::More;
use Time::HiRes qw(time);

# In seconds: much longer than a commit takes, and much shorter than any trouble here lasts
my $SOON = 5;

my $server = FastIngest->new('head_of_line');
my $n = 0;
my $slowest = 0;

sub now_event { return event(++$n, timestamp => int(time), @_) }

sub old_event
{
	my ($days_ago, %changes) = @_;

	return event(++$n, timestamp => int(time) - 86400 * $days_ago, %changes);
}

# Events of other clients are committed meanwhile, soon.
sub others_pass
{
	my ($name, $count) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my %statuses;
	my $longest = 0;

	foreach (1 .. $count || 3)
	{
		my $begin = time;

		$statuses{ $server->post_event(now_event())->{status} }++;
		$longest = time - $begin if time - $begin > $longest;
	}
	$slowest = $longest if $longest > $slowest;
	ok($longest < $SOON && join(' ', keys %statuses) eq '202', "$name: events of today are committed")
	  or diag(explain(\%statuses), "the slowest took $longest s");
	return;
}

sub unanswered
{
	my ($connection, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;

	is($connection->read_answer(seconds => 0.01)->{status}, 'timeout', "$name: waits");
	return;
}

sub send_bulk
{
	my (@events) = @_;
	my $connection = $server->connect;

	$connection->send(http_message('POST', '/events/bulk', body => \@events));
	return $connection;
}

sub ready_warning
{
	my ($pattern) = @_;
	my $answer;

	wait_until(sub {
		$answer = $server->get('/ready');
		return $answer->{status} eq 200 && $answer->{body} =~ $pattern;
	});
	return $answer->{body};
}

sub partition_of
{
	my ($event) = @_;

	return $server->sql("SELECT tableoid::regclass FROM fast_ingest.events WHERE user_id = '$event->{user_id}'");
}

$server->set('fast_ingest.request_timeout' => '10min');
others_pass('nothing is wrong');

# ---------------------------------------------------------------------------
# Days
# ---------------------------------------------------------------------------

# Many of them, of two clients, one of which sends something of today, too

my $mixed = now_event();
my @days = map {
	my $k = $_;

	send_bulk(($k ? $mixed : ()), map { old_event(10 + 150 * $k + $_, user_id => "backfill-$k-$_") } 1 .. 150)
} 0, 1;
$server->wait_for_staged(1) while $server->status->{staged} < 1;
others_pass('many days', 5);
cmp_ok($server->status->{staged}, '>', 0, 'many days: they are not done yet');
is(join(' ', map { $_->read_answer->{status} } @days), '202 202', 'many days: all are accepted in the end');
is($server->count("user_id LIKE 'backfill-%'"), 300, 'many days: and stored');
is($server->count("user_id = '$mixed->{user_id}'"), 1, 'many days: with what came with them');

# A partition that is locked

my $log = -s $server->node->logfile;
my $old = old_event(11);
my $lock = $server->lock_table('fast_ingest.' . $server->sql(
	q{SELECT relname FROM pg_class WHERE oid = (SELECT tableoid FROM fast_ingest.events WHERE user_id = 'backfill-0-1')}));
my ($locked) = $server->send_events($old);
others_pass('a locked partition', 10);
unanswered($locked, 'its own event');
like(ready_warning(qr/warning/), qr/as other events waited/, 'a locked partition: /ready is 200 and has a warning');
ok($server->wait_for_log_line(qr/fast_ingest flusher: given up after/, $log), 'a locked partition: the log says so');
is($server->sql(q{SELECT state FROM fi_status() WHERE worker = 'flusher 1'}), 'running', 'a locked partition: the flusher runs');
$lock->quit;
is($locked->read_answer->{status}, 202, 'a locked partition: its event is stored when the lock is gone');
is($server->count("user_id = '$old->{user_id}'"), 1, 'a locked partition: once');
ok(wait_until(sub { $server->get('/ready')->{body} eq '{"status":"ready"}' }), 'a locked partition: the warning is gone');

# A partition of a local day: 21:00Z to 21:00Z

$server->sql(q{SET timezone = 'Europe/Istanbul'; CREATE TABLE fast_ingest.local_day
	PARTITION OF fast_ingest.events FOR VALUES FROM ('2023-05-01') TO ('2023-05-02')});
# no event whose metrics are checked: it is dropped with its partition
my $taken = event(++$n, timestamp => '2023-05-01T10:00:00Z', event_name => 'local');
my $rest = event(++$n, timestamp => '2023-05-01T22:00:00Z', user_id => 'rest');
is($server->post_event($taken)->{status}, 202, 'a partition in local time takes what it can');
is(partition_of($taken), 'fast_ingest.local_day', 'a partition in local time has it');
is($server->post_event($rest)->{status}, 202, 'for what it does not take of the day');
is(partition_of($rest), 'fast_ingest.events_20230501_2100', 'another one is made');
others_pass('a partition in local time');
is($server->get('/ready')->{body}, '{"status":"ready","warning":"partition \"local_day\" takes a part of the UTC day 2023-05-01"}', '/ready names the partition');
ok($server->wait_for_log_line(qr/partition "local_day" takes a part of the UTC day 2023-05-01/, $log), 'and so does the log');
$server->sql('DROP TABLE fast_ingest.local_day');
ok(wait_until(sub { $server->get('/ready')->{body} eq '{"status":"ready"}' }), 'the warning ends with the partition');

# No partition can be created

$server->sql(<<'EOQ');
CREATE FUNCTION no_ddl() RETURNS event_trigger LANGUAGE plpgsql AS
  $$ BEGIN RAISE EXCEPTION 'no DDL today'; END $$;
CREATE EVENT TRIGGER no_ddl ON ddl_command_start WHEN TAG IN ('CREATE TABLE') EXECUTE FUNCTION no_ddl();
EOQ
my ($homeless) = $server->send_events(old_event(3000));
like(ready_warning(qr/no DDL/), qr/the partition of \d+-\d+-\d+ cannot be made: no DDL today/, 'no DDL: /ready has a warning');
others_pass('no DDL', 10);
unanswered($homeless, 'no DDL: an event without a partition');
$server->sql('DROP EVENT TRIGGER no_ddl');
is($homeless->read_answer->{status}, 202, 'no DDL: it is stored later');

# A partition with a trigger of its own

$server->sql(<<'EOQ');
CREATE FUNCTION broken() RETURNS trigger LANGUAGE plpgsql AS
  $$ BEGIN PERFORM 1 FROM public.not_there; RETURN NEW; END $$;
EOQ
my $of_broken = $server->sql(q{SELECT tableoid::regclass FROM fast_ingest.events WHERE user_id = 'backfill-0-2'});
$server->sql("CREATE TRIGGER broken BEFORE INSERT ON $of_broken FOR EACH ROW EXECUTE FUNCTION broken()");
my ($broken) = $server->send_events(old_event(12));
others_pass('a broken partition', 10);
$server->sql("DROP TRIGGER broken ON $of_broken");
like($broken->read_answer->{status}, qr/^(202|422)$/, 'a broken partition: its event is not forgotten');
$server->books_balance('days');

# ---------------------------------------------------------------------------
# Single events, of today and of another day
# ---------------------------------------------------------------------------

$server->sql(<<'EOQ');
CREATE TABLE pages (path text PRIMARY KEY, views int);
INSERT INTO pages VALUES ('/held', 0);
CREATE FUNCTION strange() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NEW.event_name = 'raise' THEN
    RAISE EXCEPTION 'not %', NEW.user_id USING ERRCODE = NEW.path;
  ELSIF NEW.event_name = 'table' THEN EXECUTE format('INSERT INTO %I VALUES (1)', NEW.user_id);
  ELSIF NEW.event_name = 'nowait' THEN PERFORM FROM public.pages FOR UPDATE NOWAIT;
  ELSIF NEW.event_name = 'slow' THEN PERFORM pg_sleep(600);
  ELSIF NEW.event_name = 'count' THEN UPDATE public.pages SET views = views + 1 WHERE path = NEW.path;
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER strange BEFORE INSERT ON fast_ingest.events FOR EACH ROW EXECUTE FUNCTION strange();
EOQ
my $holder = $server->node->background_psql('postgres');
$holder->query_safe('BEGIN; SELECT * FROM pages FOR UPDATE');
is($server->post_event(old_event(12))->{status}, 202, 'an event of another day');

foreach my $day (0, 12)
{
	my $when = $day ? 'another day' : 'today';
	my @strange = map { old_event($day, event_name => 'raise', path => $_) }
	  qw(P0001 42501 42P01 40001 40P01 55P03 55000 57014 53000 58030 XX000 XX001 08006);

	push @strange, old_event($day, event_name => 'table'), old_event($day, event_name => 'nowait');
	my @waiting = $server->send_events(@strange);
	my $bulk = send_bulk(map { old_event($day, user_id => "neighbour-$day-$_", $_ == 5 ? (event_name => 'table') : ()) } 1 .. 10);

	others_pass("strange events of $when", 5);
	is(join(' ', map { $_->read_answer->{status} } @waiting),
		join(' ', map { 422 } @waiting),
		"strange events of $when are refused");
	is($bulk->read_answer->{json}{accepted}, 9, "strange events of $when: neighbours in a bulk are stored");
}

# A thousand bad ones in a bulk

$server->sql(q{ALTER TABLE fast_ingest.events ADD CONSTRAINT no_bots CHECK (channel <> 'bot')});
my $bots = send_bulk(map { now_event($_ % 3 ? (channel => 'bot') : ()) } 0 .. 999);
others_pass('a bulk of bad events', 5);
is($bots->read_answer->{json}{accepted}, 334, 'a bulk of bad events: the good ones among them are stored');
is($server->sql(q{SELECT count(*) FROM fast_ingest.dead_letters WHERE event->>'channel' = 'bot'}), 666, 'a bulk of bad events: the others are dead letters');
$server->sql('ALTER TABLE fast_ingest.events DROP CONSTRAINT no_bots');

# Events whose triggers hang

foreach my $kind ('slow', 'count')
{
	my $event = now_event(event_name => $kind, path => '/held');
	my ($hangs) = $server->send_events($event);

	others_pass("a hanging event ($kind)", 5);
	is_error($hangs->read_answer, 422, qr/given up after \d+ ms, as other events waited/, "a hanging event ($kind) is refused");
	is($server->sql("SELECT sqlstate FROM fast_ingest.dead_letters WHERE event->>'user_id' = '$event->{user_id}'"),
		'57014', "a hanging event ($kind) is a dead letter");
}
my ($hangs) = $server->send_events(old_event(12, event_name => 'count', path => '/held'));
others_pass('a hanging event of another day', 10);
unanswered($hangs, 'it');
$holder->query_safe('ROLLBACK');
is($hangs->read_answer->{status}, 202, 'it is stored when it can be');
$holder->quit;

# A deferred trigger hangs at the commit, or refuses a thousand events

$server->sql(<<'EOQ');
CREATE CONSTRAINT TRIGGER deferred AFTER INSERT ON fast_ingest.events DEFERRABLE INITIALLY DEFERRED
  FOR EACH ROW WHEN (NEW.channel = 'deferred') EXECUTE FUNCTION strange();
EOQ
$server->sql(q{ALTER TABLE fast_ingest.events DISABLE TRIGGER strange});
($hangs) = $server->send_events(now_event(event_name => 'slow', channel => 'deferred'));
others_pass('a deferred constraint that hangs', 5);
is($hangs->read_answer->{status}, 422, 'a deferred constraint that hangs: its event is refused');
my $refused = send_bulk(map { now_event(event_name => 'raise', path => 'P0001', channel => $_ % 3 ? 'deferred' : 'web') } 0 .. 999);
others_pass('a deferred constraint that refuses', 5);
is($refused->read_answer->{json}{accepted}, 334, 'a deferred constraint that refuses: other events are stored');
$server->sql(q{DROP TRIGGER deferred ON fast_ingest.events; ALTER TABLE fast_ingest.events ENABLE TRIGGER strange});

# A thousand events for which a trigger raises an error that means "not now"

my $denied = send_bulk(map { now_event($_ % 3 ? (event_name => 'raise', path => '42501') : ()) } 0 .. 999);
others_pass('a bulk of events that are denied', 5);
is($denied->read_answer->{json}{accepted}, 334, 'a bulk of events that are denied: the others are stored');

# A slow event delays nobody

$server->sql(<<'EOQ');
CREATE FUNCTION slowly() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(1); RETURN NEW; END $$;
CREATE TRIGGER slowly BEFORE INSERT ON fast_ingest.events FOR EACH ROW WHEN (NEW.event_name = 'slowly') EXECUTE FUNCTION slowly();
EOQ
is($server->post_event(now_event(event_name => 'slowly'))->{status}, 202, 'a slow event is stored if nobody waits for it');

# All events are slow

$server->sql('DROP TRIGGER slowly ON fast_ingest.events;'
	. 'CREATE TRIGGER slowly BEFORE INSERT ON fast_ingest.events FOR EACH ROW EXECUTE FUNCTION slowly()');
my @slow = $server->send_events(map { now_event() } 1 .. 3);
is(join(' ', map { $_->read_answer->{status} } @slow), '202 202 202', 'where every event is slow, every event is stored');
$server->sql('DROP TRIGGER slowly ON fast_ingest.events');

# A constraint of the user's that ON CONFLICT cannot use

foreach my $deferrable ('', ' DEFERRABLE')
{
	my $day = 20 + length $deferrable;
	my $user = "only-once$deferrable";
	my $first = old_event($day, user_id => $user);

	$server->post_event($first);
	my $partition = partition_of($first);
	$server->sql("ALTER TABLE $partition ADD CONSTRAINT one_each_$day EXCLUDE (user_id WITH =)$deferrable");
	foreach my $round ('plain', 'careful')
	{
		my $answer = $server->post_bulk([ old_event($day, user_id => $user), old_event($day) ]);

		is($answer->{json}{accepted}, $deferrable ? 1 : 2, "an exclusion constraint$deferrable, $round: its conflicts are "
			  . ($deferrable ? 'refused' : 'duplicates'));
	}
	is($server->sql("SELECT count(*) FROM $partition WHERE user_id = '$user'"), 1, "an exclusion constraint$deferrable: stored once");
}

others_pass('after all that');
$server->books_balance;
is($server->wrong_metrics, '', 'the metrics are those of a recount');
note("the slowest event of today took $slowest s");
$server->node->stop;
done_testing();
