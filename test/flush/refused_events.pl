# The database refuses one event without harm to its neighbours: the client hears why, the event
# is kept as a dead letter, and the other events of the transaction are stored. An event that is
# refused only for the moment is tried again.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use FastIngest;
use JSON::PP ();
use Test::More;
use Time::HiRes qw(time);

my $server = FastIngest->new('poison');
my $n = 0;
my $answer;
my $lock;

sub dead_letters
{
	my ($where) = @_;

	return $server->sql('SELECT count(*) FROM fast_ingest.dead_letters'
		  . ($where ? " WHERE $where" : ''));
}

# The day's partition, so that the first batches are like all others.
$server->post_event(event(++$n));

# A CHECK constraint of the user's

$server->sql(q{ALTER TABLE fast_ingest.events
	ADD CONSTRAINT nothing_forbidden CHECK (event_name <> 'forbidden')});

my %bad = (
	event_name => 'forbidden',
	user_id => 'poisoner',
	tags => [ 'a', 'b' ],
	metadata => { k => 'v' });
$answer = $server->post_event(event(++$n, %bad));
is_error($answer, 422, qr/nothing_forbidden/, 'a refused event: 422 says why');
is(dead_letters(), 1, 'it is a dead letter');
is( dead_letters(
		q{sqlstate = '23514' AND message LIKE '%nothing_forbidden%' AND now() - failed_at < '1 hour'}
	),
	1,
	'the dead letter has sqlstate, message and time');

my $letter = JSON::PP->new->utf8->decode(
	$server->sql('SELECT event FROM fast_ingest.dead_letters'));
is_deeply(
	{ map { $_ => $letter->{$_} } qw(event_name channel user_id path tags metadata) },
	{ %bad, channel => 'web', path => "/page/$n" },
	'the dead letter has the event');
is($server->status->{dead_lettered}, 1, 'it is counted');
is($server->count, 1, 'it is not among the events');

# In one batch with others: the events that come while the table is locked are one batch,
# except those that the flusher had taken before.

$lock = $server->lock_table;
my @events =
  map { event(++$n, $_ == 7 || $_ == 19 ? (event_name => 'forbidden') : ()) } 0 .. 29;
my @waiting = $server->send_events(@events);
is($server->wait_for_staged(30), 30, '30 events wait, two of them bad');
$lock->quit;
is( join(' ', map { $_->read_answer->{status} } @waiting),
	join(' ', map { $_->{event_name} eq 'forbidden' ? 422 : 202 } @events),
	'each client hears of its own event');
is($server->count, 1 + 28, 'the neighbours are stored');
is(dead_letters(), 3, 'the bad ones are dead letters');

# In bulk

$answer = $server->post_bulk(
	[ map { event(++$n, $_ % 4 == 3 ? (event_name => 'forbidden') : ()) } 0 .. 7 ]);
is($answer->{status}, 202, 'bulk with refused events');
is($answer->{json}{status}, 'accepted', 'bulk: status');
is($answer->{json}{accepted}, 6, 'bulk: accepted');
is($answer->{json}{rejected}, 2, 'bulk: rejected');
is_deeply([ map { $_->{index} } @{ $answer->{json}{errors} } ],
	[ 3, 7 ], 'bulk: where');
like($answer->{json}{errors}[0]{error}, qr/nothing_forbidden/, 'bulk: why');
is($server->count, 29 + 6, 'bulk: the others are stored');

$answer = $server->post_bulk(
	[
		event(++$n), event(++$n, event_name => ''),
		event(++$n, event_name => 'forbidden'), event(++$n, foo => 1)
	]);
is($answer->{status}, 202, 'bulk with invalid and refused events');
is($answer->{json}{accepted}, 1, 'both: accepted');
is($answer->{json}{rejected}, 3, 'both: rejected');
is_deeply([ sort map { $_->{index} } @{ $answer->{json}{errors} } ],
	[ 1, 2, 3 ], 'both: where');

$answer = $server->post_bulk([ map { event(++$n, %bad, user_id => "p$_") } 1 .. 3 ]);
is($answer->{status}, 422, 'bulk with refused events only');
is($answer->{json}{status}, 'rejected', 'only refused: status');
is($answer->{json}{accepted}, 0, 'only refused: accepted');
is($answer->{json}{rejected}, 3, 'only refused: rejected');
is($server->count, 36, 'only refused: nothing is stored');
is(dead_letters(), 9, 'each has its dead letter');

is( $server->post_bulk(
		[ map { event(++$n, $_ == 500 ? (event_name => 'forbidden') : ()) } 0 .. 999 ]
	)->{json}{accepted},
	999,
	'one bad event of a thousand');
is($server->count, 36 + 999, 'the other 999 are stored');

# A duplicate among the bad is still a duplicate.

my $twice = event(++$n);
$answer = $server->post_bulk([ $twice, event(++$n, event_name => 'forbidden'), $twice ]);
is($answer->{json}{accepted}, 2, 'a duplicate beside a bad event');
is($server->count("user_id = '$twice->{user_id}'"), 1, 'is stored once');
$server->books_balance('bad events');

# Triggers of the user's

$server->sql(<<'EOQ');
CREATE FUNCTION opinion() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NEW.event_name = 'raise' THEN RAISE EXCEPTION 'not on my watch'; END IF;
  IF NEW.event_name = 'divide' THEN NEW.metadata = to_jsonb(1 / 0); END IF;
  IF NEW.event_name = 'suppress' THEN RETURN NULL; END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER opinion BEFORE INSERT ON fast_ingest.events
FOR EACH ROW EXECUTE FUNCTION opinion();
EOQ
is_error($server->post_event(event(++$n, event_name => 'raise')),
	422, qr/not on my watch/, 'a trigger raises an error');
is_error($server->post_event(event(++$n, event_name => 'divide')),
	422, qr/division by zero/, 'a trigger divides by zero');
is( $server->sql(
		'SELECT sqlstate FROM fast_ingest.dead_letters ORDER BY id DESC LIMIT 2'),
	"22012\nP0001",
	'their dead letters have their sqlstates');
is($server->post_event(event(++$n, event_name => 'suppress'))->{status},
	202, 'a trigger swallows an event: that was the wish of its author');
is($server->post_event(event(++$n))->{status}, 202, 'other events pass it');
$server->books_balance('triggers');
$server->sql('DROP TRIGGER opinion ON fast_ingest.events');

# Not now: a locked table

my $letters = dead_letters();

$lock = $server->lock_table;
@events = map { event(++$n) } 1 .. 20;
@waiting = $server->send_events(@events);
is($server->wait_for_staged(20), 20, 'events wait for a locked table');
is($server->get('/health')->{status}, 200, 'the listener does not');
$lock->quit;
is(scalar(grep { $_->read_answer->{status} eq 202 } @waiting),
	20, 'they are stored when it is released');

# Not now: serialization failures. nextval() counts although they roll back.

$server->sql(<<'EOQ');
CREATE SEQUENCE attempt;
CREATE FUNCTION not_yet() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NEW.event_name = 'later' AND nextval('public.attempt') <= 3 THEN
    RAISE EXCEPTION 'not yet' USING ERRCODE = '40001';
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER not_yet BEFORE INSERT ON fast_ingest.events
FOR EACH ROW EXECUTE FUNCTION not_yet();
EOQ
is($server->post_event(event(++$n, event_name => 'later'))->{status},
	202, 'three serialization failures: tried again');
is($server->count("event_name = 'later'"), 1, 'stored once');
cmp_ok($server->sql('SELECT last_value FROM attempt'), '>=', 4, 'at the fourth attempt');
$server->sql('DROP TRIGGER not_yet ON fast_ingest.events');

# Not now: read-only

$server->set('default_transaction_read_only' => 'on');
wait_until(sub { $server->sql('SHOW default_transaction_read_only') eq 'on' });
@waiting = $server->send_events(event(++$n, user_id => 'patient'));
$server->sql(
	'SET default_transaction_read_only = off; ALTER SYSTEM RESET default_transaction_read_only'
);
$server->node->reload;
is($waiting[0]->read_answer->{status}, 202, 'a read-only moment passes');
is($server->count("user_id = 'patient'"), 1, 'and the event is stored once');

is(dead_letters(), $letters, 'nothing of this was given up');

# Not now: no partition can be created, which is never the events' fault.

$server->sql(<<'EOQ');
CREATE FUNCTION no_ddl() RETURNS event_trigger LANGUAGE plpgsql AS
  $$ BEGIN RAISE EXCEPTION 'no DDL today%', repeat(chr(233), 500); END $$;
CREATE EVENT TRIGGER no_ddl ON ddl_command_start WHEN TAG IN ('CREATE TABLE') EXECUTE FUNCTION no_ddl();
EOQ
@waiting = $server->send_events(event(++$n, user_id => 'new-day', timestamp => $NOON + 200 * 86400));
ok( wait_until(
		sub { $server->sql('SELECT count(*) FROM fi_status() WHERE last_error ~ $$no DDL today$$') == 1 }
	),
	'a partition that cannot be made is an error of its own');
is($server->sql("SELECT count(*) FROM fi_status() WHERE last_error LIKE '% cannot be made: no DDL today' || repeat(chr(233), 99)"),
	1, 'a long message is cut, but not within a character');
$server->sql('DROP EVENT TRIGGER no_ddl');
is($waiting[0]->read_answer->{status}, 202, 'the event waits for it');
is($server->count("user_id = 'new-day'"), 1, 'and is stored once');
is(dead_letters(), $letters, 'nothing of this was given up either');

# Many days at once: more partitions than a transaction could lock

$answer = $server->post_bulk(
	[ map { event(++$n, user_id => 'traveller', timestamp => $NOON - $_ * 86400) } 1 .. 400 ]);
is($answer->{json}{accepted}, 400, 'events of 400 days in one request');
is($server->count("user_id = 'traveller'"), 400, 'all of them are stored');

# Later than the client will wait

$server->set('fast_ingest.request_timeout' => '2s');
$lock = $server->lock_table;
my $late;
my $begin;
$answer = $server->wait_for_answer(
	503,
	sub {
		$late = event(++$n);
		$begin = time;
		return $server->post_event($late);
	});
is_error($answer, 503, qr/./, 'a client that waited for request_timeout hears 503');
cmp_ok(time - $begin, '>', 1, 'not at once');
cmp_ok(time - $begin, '<', 40, 'and not for ever');
$lock->quit;
is($server->wait_for_count(1, "user_id = '$late->{user_id}'"),
	1, 'its event is stored nevertheless');
is($server->wait_for_answer(202, sub { $server->post_event($late) })->{status},
	202, 'it tries again, as it should');
is($server->count("user_id = '$late->{user_id}'"), 1, 'and is stored once');

$server->books_balance;
$server->node->stop;
done_testing();
