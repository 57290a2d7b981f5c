# People can read dead letters, post them again, retry them once the cause is gone, and purge
# them. Whether a refused event comes back by a retry or from its client, it is stored and
# counted once. There are never more dead letters than allowed, and those that had to be deleted
# are counted.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use FastIngest;
use IPC::Run;
use JSON::PP ();
use Test::More;

my $server = FastIngest->new('dead_letters');
my $n = 0;

sub refuse
{
	$server->sql(q{ALTER TABLE fast_ingest.events
		ADD CONSTRAINT no_bots CHECK (user_id NOT LIKE 'bot%' AND path <> '/forbidden') NOT VALID});
	return;
}

sub refuse_no_more
{
	$server->sql('ALTER TABLE fast_ingest.events DROP CONSTRAINT no_bots');
	return;
}

sub bot { return event(++$n, user_id => "bot-$n", @_) }

sub letters { return $server->sql('SELECT count(*) FROM fi_dead_letters()') }

# retried|stored|duplicates|failed
sub retry
{
	my ($arguments) = @_;

	return $server->sql("SET lock_timeout = '60s'; SELECT * FROM fi_retry_dead_letters("
		  . ($arguments || '') . ')');
}

sub status_of
{
	my ($column) = @_;

	return $server->sql("SELECT sum($column) FROM fi_status()");
}

sub statuses
{
	return join ' ', map { $server->post_event($_)->{status} } @_;
}

# ---------------------------------------------------------------------------
# A constraint that was a mistake
# ---------------------------------------------------------------------------

refuse();
my @bots = map { bot() } 1 .. 4;
my $with_key = bot(idempotency_key => 'order-1', tags => ['a'], metadata => { price => 1.5, none => undef });
is(statuses(@bots, $with_key), '422 422 422 422 422', 'events are refused');
is(statuses($bots[0]), '422', 'one of them again');
my $answer = $server->post_bulk([ event(++$n), bot(), event(++$n), bot() ]);
is("$answer->{status} $answer->{json}{accepted} $answer->{json}{rejected}",
	'202 2 2', 'and two of a bulk request');
$answer = $server->post('/event',
	{ site_id => 'shop', event_type => 'page_view', path => '/forbidden', timestamp => $NOON });
is($answer->{status}, 422, 'and one without a user');

is(letters(), 9, 'all of them are dead letters');
is(status_of('dead_letters'), 9, 'the status says how many there are');
is(status_of('dead_lettered'), 9, 'and how many there ever were');
is(retry(), '9|0|0|9', 'a retry while the constraint is there stores none of them');
is($server->sql('SELECT count(*) FROM fi_dead_letters() WHERE attempts = 2 AND last_attempt > at'),
	9, 'and counts the attempt');
is(retry(qq{event => '{"user_id": "$bots[3]{user_id}"}'}), '1|0|0|1', 'a retry of one');
is($server->sql('SELECT string_agg(attempts::text, $$ $$ ORDER BY id) FROM fi_dead_letters()'),
	'2 2 2 3 2 2 2 2 2', 'is one of that');
is($server->count, 2, 'nothing was stored by that');

refuse_no_more();

# Posted again, as fi_dead_letters() has it

my @again = map { my ($to, $event) = split /\|/, $_, 2; [ $to, $event ] } split /\n/,
  $server->sql(qq{SELECT post_to, event FROM fi_dead_letters()
	WHERE event->>'user_id' = '$with_key->{user_id}' OR post_to = '/event' ORDER BY post_to});
is(join(' ', map { $server->post($_->[0], $_->[1])->{status} } @again),
	'204 202', 'letters can be posted again as they are shown');
my $stored = JSON::PP->new->utf8->decode(
	$server->sql(qq{SELECT to_jsonb(e) FROM fast_ingest.events e WHERE user_id = '$with_key->{user_id}'}));
is_deeply(
	{ map { $_ => $stored->{$_} } qw(event_name channel user_id path tags metadata) },
	{ map { $_ => $with_key->{$_} } qw(event_name channel user_id path tags metadata) },
	'they are what the client sent');
is($server->sql(qq{SELECT extract(epoch FROM ts)::bigint FROM fast_ingest.events WHERE user_id = '$with_key->{user_id}'}),
	$with_key->{timestamp}, 'at the time that it said');

# The client sends them again

is(statuses($bots[1], $with_key), '202 202', 'clients send their own again');

# fi_retry_dead_letters()

is(retry(), '9|5|4|0', 'a retry stores what is not stored yet');
is(letters(), 0, 'no letter is left');
is(status_of('dead_letters'), 0, 'the status says so');
is(statuses(@bots, $with_key), '202 202 202 202 202', 'clients that try again now are told that all is well');
is($server->count, 10, 'and every event is there once');
is($server->sql('SELECT count(*) FROM (SELECT user_id FROM fast_ingest.events GROUP BY 1 HAVING count(*) > 1) twice'),
	0, 'none of them twice');
is($server->wrong_metrics, '', 'the metrics are those of a recount');
$server->sql('SELECT fi_refresh()');
is($server->wrong_metrics, '', 'and after a refresh');
is(retry(), '0|0|0|0', 'there is nothing left to retry');
$server->books_balance('retries');

# ---------------------------------------------------------------------------
# Several at once
# ---------------------------------------------------------------------------

sub refused_bots
{
	my ($count) = @_;
	my @events = map { bot() } 1 .. $count;

	refuse();
	$server->post_bulk(\@events);
	refuse_no_more();
	return @events;
}

my $before = $server->count;
my @many = refused_bots(30);
my $session = $server->node->background_psql('postgres');

$session->query_safe('BEGIN');
is($session->query_safe('SELECT * FROM fi_retry_dead_letters(max_rows => 20)'),
	'20|20|0|0', 'a retry that has not committed');
is(retry(), '10|10|0|0', 'another one does not wait for it, and takes the others');

my @waiting = $server->send_events($many[0]);
is($server->wait_for_staged(1), 1, 'the event of a letter under way comes from its client: it waits');
$session->query_safe('COMMIT');
is($waiting[0]->read_answer->{status}, 202, 'and was stored by the retry');
is($server->count - $before, 30, 'everything is stored once');
is(letters(), 0, 'no letter is left');

@many = refused_bots(5);
$session->query_safe('BEGIN');
$session->query_safe('SELECT * FROM fi_retry_dead_letters()');
@waiting = $server->send_events($many[0]);
is($server->wait_for_staged(1), 1, 'once more');
$session->query_safe('ROLLBACK');
is($waiting[0]->read_answer->{status}, 202, 'but the retry rolls back: the event is stored for its client');
is(letters(), 5, 'the letters are still there');
is(retry(), '5|4|1|0', 'and can be retried');
is($server->count - $before, 35, 'everything is stored once');

# Under load, by several sessions that begin at the same time
@many = refused_bots(300);
my $load = $server->start_load(name => 'beside', clients => 2, bulks => 1, think => 0.01);
$load->wait_for_every_client;
my @sessions = map {
	my ($in, $out) = (join('', ('SELECT * FROM fi_retry_dead_letters(max_rows => 10);' . "\n") x 40), '');

	[   IPC::Run::start(
			[ 'psql', '-XqAt', '-v', 'ON_ERROR_STOP=1', $server->node->connstr('postgres') ],
			'<', \$in, '>', \$out),
		\$out
	]
} 1 .. 3;
my %sums = (retried => 0, stored => 0);

foreach (@sessions)
{
	my ($psql, $out) = @$_;

	$psql->finish;
	is($psql->result(0), 0, 'a session that retries has no error');
	foreach my $line (split /\n/, $$out)
	{
		my ($retried, $stored) = split /\|/, $line;

		$sums{retried} += $retried;
		$sums{stored} += $stored;
	}
}
is($server->wrong_metrics, '', 'under load the metrics are those of a recount');
$load->stop;
is("$sums{retried} $sums{stored}", '300 300', 'together they retry each letter once');
is(letters(), 0, 'no letter is left');
is($server->count("user_id LIKE 'bot-%'"),
	$server->sql(q{SELECT count(DISTINCT user_id) FROM fast_ingest.events WHERE user_id LIKE 'bot-%'}),
	'and none is stored twice');
is($server->count(q{user_id IN ('} . join(q{', '}, map { $_->{user_id} } @many) . q{')}),
	300, 'but each of them once');
$server->stored_once($load, 'beside retries');
$server->books_balance('several at once');

# ---------------------------------------------------------------------------
# The limit of their number
# ---------------------------------------------------------------------------

# Users of the letters, the oldest first
sub letter_users
{
	return $server->sql(q{SELECT string_agg(event->>'user_id', ' ' ORDER BY id) FROM fi_dead_letters()});
}

sub post_bots
{
	my ($count) = @_;
	my @events = map { bot() } 1 .. $count;
	my %codes = map { $server->post_event($_)->{status} => 1 } @events;

	return (join(' ', sort keys %codes), map { $_->{user_id} } @events);
}

my $log = -s $server->node->logfile;
refuse();
$server->set('fast_ingest.max_dead_letters' => 5);
ok(wait_until(sub { post_bots(1); status_of('dead_letters_dropped') > 0 }),
	'there is a bound: letters are dropped');
my $dropped = status_of('dead_letters_dropped');
my ($codes, @users) = post_bots(8);
is($codes, '422', 'clients hear 422 as ever');
is(letter_users(), join(' ', @users[ 3 .. 7 ]), 'the five newest are kept');
is(status_of('dead_letters'), 5, 'the status says how many there are');
is(status_of('dead_letters_dropped'), $dropped + 8, 'and how many were dropped');
ok($server->wait_for_log_line(qr/fast_ingest dropped \d+ of the oldest dead letters/, $log),
	'the log says so');
unlike(substr(PostgreSQL::Test::Utils::slurp_file($server->node->logfile), $log),
	qr/LOG: .*bot-\d/, 'and names no user');

# Letters that others delete make room
$server->sql('DELETE FROM fast_ingest.dead_letters');
$dropped = status_of('dead_letters_dropped');
($codes, @users) = post_bots(5);
is(letter_users(), join(' ', @users), 'letters that were deleted have made room for as many');
is(status_of('dead_letters_dropped'), $dropped, 'none had to go');

# A retry under way holds up no flusher
$session->query_safe('BEGIN');
$session->query_safe('SELECT * FROM fi_retry_dead_letters()');
my ($code, $newest) = post_bots(1);
is($code, 422, 'while a retry holds all the letters, another one comes');
is($server->sql("SELECT count(*) FROM fi_dead_letters() WHERE event->>'user_id' = '$newest'"),
	1, 'and is kept');
$session->query_safe('ROLLBACK');
($codes, @users) = post_bots(2);
is(letter_users() =~ tr/ //, 4, 'after it the bound holds again');

# After a restart the number is counted first
$server->restart;
$session->quit;
my @kept = split / /, letter_users();
($codes, @users) = post_bots(2);
is(letter_users(), join(' ', @kept[ 2 .. 4 ], @users), 'it holds from the first letter on after a restart');
is(status_of('dead_letters_dropped'), 2, 'counted from the start');

# The limit lowered, and switched off
$server->set('fast_ingest.max_dead_letters' => 2);
ok(wait_until(sub { post_bots(1); letters() == 2 }), 'a lower bound is met with the next letter');
$server->set('fast_ingest.max_dead_letters' => 0);
ok(wait_until(sub { post_bots(1); letters() > 5 }), 'and 0 is no bound');
$server->books_balance('the bound');

# ---------------------------------------------------------------------------
# Purged
# ---------------------------------------------------------------------------

my $letters = letters();

$server->sql(q{UPDATE fast_ingest.dead_letters SET failed_at = now() - interval '8 days'
	WHERE id IN (SELECT id FROM fi_dead_letters() LIMIT 3)});
is($server->sql(q{SELECT fi_purge_dead_letters('7 days')}), 3, 'letters of a certain age are purged');
is(letters(), $letters - 3, 'and no others');
is($server->sql(q{SELECT fi_purge_dead_letters('0')}), $letters - 3, 'or all of them');
is(letters(), 0, 'none is left');
is($server->wrong_metrics, '', 'the metrics are those of a recount');

$server->node->stop;
done_testing();
