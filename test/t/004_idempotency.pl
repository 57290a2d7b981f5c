# The same event is stored once, however often, however quickly and over
# however many restarts a client sends it; different events are never taken
# for the same.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use FastIngest;
use Test::More;

my $server = FastIngest->new('idempotency');

sub once
{
	my ($user, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;

	is($server->count("user_id = '$user'"), 1, "$name: one row");
	return;
}

# 100 times each: [ what, the event ]

foreach (
	[ 'content', event(1, user_id => 'content', tags => ['a'], metadata => { a => 1 }) ],
	[ 'text', event(1, user_id => 'text', idempotency_key => 'order 17, "first"') ],
	[ 'uuid', event(1, user_id => 'uuid',
			idempotency_key => '5d1f3a52-4c1b-4f0e-9a8e-0b6d3c2a1f00') ])
{
	my ($what, $event) = @$_;
	my $before = $server->status->{duplicate};
	my $answer = $server->post_bulk([ ($event) x 100 ]);

	is($answer->{status}, 202, "$what: 100 times in one request");
	is($answer->{json}{accepted}, 100, "$what: all are accepted");
	once($what, "$what: in one request");

	is( scalar(grep { $server->post_event($event)->{status} eq 202 } 1 .. 100),
		100, "$what: 100 requests are all answered 202");
	once($what, "$what: in many requests");

	my @waiting = map { $server->send_events(($event) x 20) } 1 .. 5;
	is(scalar(grep { $_->read_answer->{status} eq 202 } @waiting),
		100, "$what: 100 requests at once are all answered 202");
	once($what, "$what: at once");

	is($server->status->{duplicate}, $before + 299, "$what: 299 are duplicates");
	is($server->status->{rejected}, 0, "$what: none is rejected");
}
is( $server->sql(
		"SELECT event_key FROM fast_ingest.events WHERE user_id = 'uuid'"),
	'5d1f3a52-4c1b-4f0e-9a8e-0b6d3c2a1f00',
	'a uuid is the key as it is');
is( $server->post_event(
		event(1, user_id => 'uuid',
			idempotency_key => uc '5d1f3a52-4c1b-4f0e-9a8e-0b6d3c2a1f00'))
	  ->{status},
	202,
	'the same uuid in capitals');
once('uuid', 'the same uuid in capitals');

# At once, the first time: several clients race for the same new events

my @race = map { event($_, user_id => "race-$_") } 1 .. 10;
my @waiting = map { $server->send_events(@race) } 1 .. 10;
is(scalar(grep { $_->read_answer->{status} eq 202 } @waiting),
	100, 'ten clients race with ten events');
is($server->count("user_id LIKE 'race-%'"), 10, 'a race: each event once');

my $lock = $server->lock_table;
@waiting = $server->send_events((event(1, user_id => 'gathered')) x 50);
is($server->wait_for_staged(50), 50, '50 times the same gather for one batch');
$lock->quit;
is(scalar(grep { $_->read_answer->{status} eq 202 } @waiting),
	50, 'one batch: all are answered 202');
once('gathered', 'in one batch');

# The header

foreach my $user ('header', 'header again')
{
	is( $server->post_event(
			event(1, user_id => $user), headers => [ 'Idempotency-Key', 'h-1' ]
		)->{status},
		202,
		"Idempotency-Key of user $user");
}
is($server->count("user_id LIKE 'header%'"), 1, 'the header is a key');
is( $server->post_event(
		event(1, user_id => 'header body', idempotency_key => 'h-1'))->{status},
	202,
	'the same key in the body');
is($server->count("user_id LIKE 'header%'"), 1, 'header and field are one key');

# A key is more than the content, and its day is its scope

my $late = 86400 - 12 * 3600 - 1;
$server->post_event(
	event(1, user_id => "scope-$_->[0]", idempotency_key => 'scope',
		timestamp => $NOON + $_->[1]))
  foreach [ 'first', 0 ], [ 'last second', $late ], [ 'next day', $late + 1 ];
is( $server->sql(
		"SELECT string_agg(user_id, ',' ORDER BY ts) FROM fast_ingest.events WHERE user_id LIKE 'scope%'"
	),
	'scope-first,scope-next day',
	'the first of a day with the same key wins; another day is another scope');

# Events that differ in anything are different

my %base = (user_id => 'differ', path => undef);
my @different = (
	event(1, %base),
	event(1, %base, path => ''),
	event(1, %base, path => 'x'),
	event(1, %base, site_id => 'x'),
	event(1, %base, campaign_id => 'x'),
	event(1, %base, site_id => 'x', campaign_id => 'y'),
	event(1, %base, site_id => 'xy', campaign_id => ''),
	event(1, %base, site_id => '', campaign_id => 'xy'),
	event(1, %base, event_name => 'page_vie', channel => 'wweb'),
	event(1, %base, event_name => 'other'),
	event(1, %base, channel => 'mobile'),
	event(1, %base, timestamp => $NOON + 2),
	event(1, %base, timestamp => $NOON + 1.5),
	event(1, %base, tags => []),
	event(1, %base, tags => ['']),
	event(1, %base, tags => [ 'a', 'b' ]),
	event(1, %base, tags => [ 'b', 'a' ]),
	event(1, %base, tags => ['ab']),
	event(1, %base, tags => [ 'ab', '' ]),
	event(1, %base, metadata => {}),
	event(1, %base, metadata => { a => 1 }),
	event(1, %base, metadata => { a => '1' }),
	event(1, %base, metadata => { a => undef }),
	event(1, %base, metadata => { a => { b => 1 } }));
foreach (1, 2)
{
	is($server->post_bulk(\@different)->{json}{accepted},
		scalar @different, 'events that differ in one thing each');
	is($server->count("user_id = 'differ'"),
		scalar @different, 'all of them are stored, once');
}

# Without a timestamp there is nothing to know a repeated visit by

foreach (1 .. 3)
{
	$server->post('/event', { site_id => 'visits', event_type => 'v' });
	$server->post('/event',
		{ site_id => 'timed', event_type => 'v', timestamp => 1723475612 });
}
is($server->count("site_id = 'visits'"), 3, 'POST /event without timestamp: each counts');
is($server->count("site_id = 'timed'"), 1, 'POST /event with timestamp: once');

# After a restart

$server->restart;
is($server->post_event(event(1, user_id => 'text',
			idempotency_key => 'order 17, "first"'))->{status},
	202, 'the same key after a restart');
once('text', 'after a restart');
is( $server->post_event(
		event(1, user_id => 'content', tags => ['a'], metadata => { a => 1 }))
	  ->{status},
	202,
	'the same content after a restart');
once('content', 'after a restart');
is($server->post_bulk(\@different)->{status}, 202, 'many after a restart');
is($server->count("user_id = 'differ'"),
	scalar @different, 'many after a restart: nothing is added');
is($server->status->{duplicate}, 2 + @different, 'they are counted');

# Only keys

my $n = 0;
$server->set('fast_ingest.deduplicate' => 'key');
wait_until(
	sub {
		my $user = 'probe-' . ++$n;

		$server->post_event(event(1, user_id => $user)) foreach 1, 2;
		return $server->count("user_id = '$user'") == 2;
	});
is($server->post_event(event(1, user_id => 'keyless'))->{status}, 202, 'keyless')
  foreach 1 .. 3;
is($server->count("user_id = 'keyless' AND event_key IS NULL"),
	3, 'deduplicate = key: the same content counts each time');
is( $server->post_event(
		event(1, user_id => 'keyed', idempotency_key => 'only'))->{status},
	202,
	'keyed')
  foreach 1 .. 3;
once('keyed', 'deduplicate = key');

$server->books_balance;
$server->node->stop;
done_testing();
