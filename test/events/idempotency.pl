# The same event is stored once, however often and however quickly a client sends it, also across
# restarts. Different events are never taken for the same.

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
isnt(
	$server->sql("SELECT event_key FROM fast_ingest.events WHERE user_id = 'uuid'"),
	'5d1f3a52-4c1b-4f0e-9a8e-0b6d3c2a1f00',
	'a uuid is no key of everybody');
is( $server->post_event(
		event(1, user_id => 'uuid',
			idempotency_key => uc '5d1f3a52-4c1b-4f0e-9a8e-0b6d3c2a1f00'))
	  ->{status},
	202,
	'the same uuid in capitals');
once('uuid', 'the same uuid in capitals');

# Several clients send the same new events at the same time

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

is_error(
	$server->post_event(event(1), headers => [ 'Idempotency-Key', '' ]),
	400, qr/Idempotency-Key is empty/, 'an empty header');

# The header of a bulk request: a key for each of its events, by its position

my @ndjson = (type => 'application/x-ndjson');
my @parts = (
	event(1, user_id => 'part 1'),
	event(2, user_id => ''),
	event(3, user_id => 'part 3'),
	event(3, user_id => 'part 3'),
	event(5, user_id => 'part 5', idempotency_key => 'own'));
my @forms = (
	[ 'array', encode_json(\@parts) ],
	[ 'object', encode_json({ events => \@parts }) ],
	[ 'NDJSON', "\n" . join("\n\n", map { encode_json($_) } @parts), @ndjson ]);

foreach (@forms)
{
	my ($form, $body, @options) = @$_;

	foreach my $time ('first', 'again')
	{
		my $answer = $server->post_bulk($body =~ s/part/$form part/gr =~ s/own/$form own/r,
			@options, headers => [ 'Idempotency-Key', "bulk $form" ]);

		is("$answer->{json}{accepted} $answer->{json}{rejected}", '4 1', "$form, $time: four are accepted");
		is($server->count("user_id = '$form part 1'"), 1, "$form, $time: one row");
		is($server->count("user_id = '$form part 3'"), 2, "$form, $time: equal events are two, for they have two positions");
	}
	$server->post_event(event(9, user_id => "$form other", idempotency_key => "$form own"));
	is($server->count("user_id IN ('$form part 5', '$form other')"), 1, "$form: an event's own key goes before");
	$server->post_event(event(9, user_id => "$form single", idempotency_key => "bulk $form"));
	is($server->count("user_id = '$form single'"), 1, "$form: and the request's key is not that of one event");
}
is($server->post_bulk([ event(1, user_id => 'moved'), event(2, user_id => 'part 1') ],
		headers => [ 'Idempotency-Key', 'bulk array' ])->{json}{accepted}, 2, 'another request with the same key');
is($server->count("user_id IN ('moved', 'part 1')"), 1, '... whose first event is known, and its second is not');
is_error(
	$server->post_bulk([ event(1) ], headers => [ 'Idempotency-Key', '' ]),
	400, qr/Idempotency-Key is empty/, 'an empty header of a bulk request');

# Two websites use the same key: in the field, as a UUID, and in the header

foreach my $key ('1001', '6f1f3a52-4c1b-4f0e-9a8e-0b6d3c2a1f00')
{
	my @sites = ({ site_id => 'a' }, { site_id => 'b' }, { site_id => 'ab' }, {});

	foreach my $time ('first', 'again')
	{
		my @events = map { event(1, user_id => "site $key", idempotency_key => $key, %$_) } @sites;
		is($server->post_bulk(\@events)->{json}{accepted}, 4, "$key of three websites and none, $time");
		is($server->count("user_id = 'site $key'"), 4, "$key, $time: four events");
		$server->post_event(event(1, user_id => "header $key", %$_), headers => [ 'Idempotency-Key', "h$key" ]) foreach @sites;
		is($server->count("user_id = 'header $key'"), 4, "header $key, $time: four events");
	}
}

# Texts that would be equal if they were joined without their lengths

$server->post_event(event(1, user_id => 'split', site_id => $_->[0], idempotency_key => $_->[1]))
  foreach [ 'a', 'bc' ], [ 'ab', 'c' ], [ 'abc', ' ' ];
is($server->count("user_id = 'split'"), 3, 'a website and a key are not one text');

# A key overrides the content, and is one of its day

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
	event(1, %base, campaign_id => 'xy'),
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

# Without a timestamp a repeated visit cannot be recognized

foreach (1 .. 3)
{
	$server->post('/event', { site_id => 'visits', event_type => 'v' });
	$server->post('/event',
		{ site_id => 'timed', event_type => 'v', timestamp => 1723475612 });
}
is($server->count("site_id = 'visits'"), 3, 'POST /event without timestamp: each counts');
is($server->count("site_id = 'timed'"), 1, 'POST /event with timestamp: once');

# An event that a trigger refuses as if ON CONFLICT did not work changes nothing for those after it,
# and where it does not work indeed, keys are looked for

$server->sql(<<'EOQ');
CREATE FUNCTION odd() RETURNS trigger LANGUAGE plpgsql AS
  $$ BEGIN RAISE EXCEPTION 'odd' USING ERRCODE = '55000'; END $$;
CREATE TRIGGER odd BEFORE INSERT ON fast_ingest.events FOR EACH ROW WHEN (NEW.user_id = 'odd') EXECUTE FUNCTION odd();
EOQ
foreach my $user ('before', 'odd', 'before')
{
	is($server->post_event(event(1, user_id => $user, idempotency_key => "seen $user"))->{status},
		$user eq 'odd' ? 422 : 202, "an odd event among retries: $user");
}
$server->sql('DROP FUNCTION odd() CASCADE');
my $partition = $server->sql("SELECT tableoid::regclass FROM fast_ingest.events WHERE user_id = 'before'");
$server->sql("ALTER TABLE $partition ADD CONSTRAINT deferred UNIQUE (event_key, user_id) DEFERRABLE");
my $answer = $server->post_bulk([ map { event(1, user_id => $_, idempotency_key => $_) } 'before', 'beside', 'beside' ]);
is($answer->{json}{accepted}, 3, 'a deferrable constraint: a bulk with repeated keys is accepted');
is($server->post_event(event(1, user_id => 'before', idempotency_key => 'seen before'))->{status}, 202, 'a deferrable constraint: so is a retry');
$server->sql("ALTER TABLE $partition DROP CONSTRAINT deferred");
is($server->count("user_id = 'before'"), 2, 'a deferrable constraint: of each key one is stored');
once('beside', 'a deferrable constraint: once in a bulk');

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

# Deduplication by key only

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
