# Each field of an event follows its rule. An error names the field and the value, and what is
# accepted is stored as the contract says.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use FastIngest;
use JSON::PP ();
use Test::More;

my $server = FastIngest->new('validation');
my $n = 0;
my $answer;

my ($true, $null) = ($JSON::PP::true, undef);
my $text_200 = 'a' x 200;
my $text_201 = 'a' x 201;

# "e" with an acute accent is two bytes of UTF-8: 100 of them are 200.
my $wide_200 = "\xe9" x 100;
my $wide_201 = "\xe9" x 100 . 'a';

# A valid event with these changes
sub with
{
	return event(++$n, @_);
}

sub without
{
	my ($field) = @_;
	my $event = event(++$n);

	delete $event->{$field};
	return $event;
}

# Refused by POST /events: [ what, event, message ]

foreach (
	[ 'no event_name', without('event_name'), qr/event_name is required/ ],
	[ 'event_name null', with(event_name => $null), qr/event_name is required/ ],
	[ 'event_name empty', with(event_name => ''), qr/event_name/ ],
	[ 'event_name a number', with(event_name => 5), qr/event_name/ ],
	[ 'event_name an array', with(event_name => ['a']), qr/event_name/ ],
	[ 'event_name of 201 bytes', with(event_name => $text_201), qr/event_name.*200/ ],
	[ 'event_name of 201 bytes in 101 characters',
		with(event_name => $wide_201), qr/event_name.*200/ ],
	[ 'no channel', without('channel'), qr/channel is required/ ],
	[ 'channel null', with(channel => $null), qr/channel is required/ ],
	[ 'channel empty', with(channel => ''), qr/channel/ ],
	[ 'channel a boolean', with(channel => $true), qr/channel/ ],
	[ 'no user_id', without('user_id'), qr/user_id is required/ ],
	[ 'user_id null', with(user_id => $null), qr/user_id is required/ ],
	[ 'user_id empty', with(user_id => ''), qr/user_id/ ],
	[ 'user_id a number', with(user_id => 42), qr/user_id/ ],
	[ 'user_id of 201 bytes', with(user_id => $text_201), qr/user_id.*200/ ],
	[ 'no timestamp', without('timestamp'), qr/timestamp is required/ ],
	[ 'timestamp null', with(timestamp => $null), qr/timestamp is required/ ],
	[ 'timestamp 0', with(timestamp => 0), qr/timestamp.*\b0\b/ ],
	[ 'timestamp negative', with(timestamp => -5), qr/timestamp.*-5/ ],
	[ 'timestamp true', with(timestamp => $true), qr/timestamp/ ],
	[ 'timestamp an object', with(timestamp => {}), qr/timestamp/ ],
	[ 'timestamp a word', with(timestamp => 'yesterday'), qr/timestamp.*yesterday/ ],
	[ 'timestamp now', with(timestamp => 'now'), qr/timestamp.*now/ ],
	[ 'timestamp infinity', with(timestamp => 'infinity'), qr/timestamp.*infinity/ ],
	[ 'timestamp empty', with(timestamp => ''), qr/timestamp "" is empty/ ],
	[ 'timestamp a day', with(timestamp => '2024-08-12'),
		qr/timestamp "2024-08-12" has no time of day: expected .*Unix seconds.*zone/ ],
	[ 'timestamp without a zone', with(timestamp => '2024-08-12T15:13:32'),
		qr/timestamp "2024-08-12T15:13:32" has no zone/ ],
	[ 'timestamp in another zone', with(timestamp => '2024-08-12 15:13:32 CEST'),
		qr/something else than a zone/ ],
	[ 'timestamp in month 13', with(timestamp => '2024-13-12T15:13:32Z'),
		qr/has a month that is not 01 to 12/ ],
	[ 'timestamp that is a long text', with(timestamp => 'x' x 5000),
		qr/\Atimestamp "x{64}\.\.\." is not a time/ ],
	[ 'timestamp that is too large', with(timestamp => '1e30'), qr/"1e30" is too large/ ],
	[ 'timestamp on a day that is not', with(timestamp => '2024-02-30T00:00:00Z'),
		qr/timestamp.*2024-02-30/ ],
	[ 'timestamp at hour 25', with(timestamp => '2024-08-12T25:00:00Z'),
		qr/timestamp.*T25/ ],
	[ 'timestamp with more behind', with(timestamp => '2024-08-12T15:13:32Z x'),
		qr/timestamp/ ],
	[ 'timestamp with an offset of 25 hours',
		with(timestamp => '2024-08-12T15:13:32+25:00'), qr/timestamp/ ],
	[ 'timestamp in an hour', with(timestamp => time() + 3600), qr/timestamp/ ],
	[ 'timestamp far in the future', with(timestamp => '9999-12-31T23:59:59Z'),
		qr/timestamp/ ],
	[ 'timestamp 1e11, still seconds', with(timestamp => 100000000000),
		qr/timestamp.*100000000000/ ],
	[ 'campaign_id a number', with(campaign_id => 7), qr/campaign_id/ ],
	[ 'site_id an object', with(site_id => {}), qr/site_id/ ],
	[ 'site_id empty', with(site_id => ''), qr/site_id is "": expected non-empty text/ ],
	[ 'path an array', with(path => ['/']), qr/path/ ],
	[ 'tags a text', with(tags => 'a'), qr/tags/ ],
	[ 'tags an object', with(tags => { a => 1 }), qr/tags/ ],
	[ 'tags with a number', with(tags => [ 'a', 1 ]), qr/tags/ ],
	[ 'tags with an array', with(tags => [ ['a'] ]), qr/tags/ ],
	[ 'metadata an array', with(metadata => [1]), qr/metadata/ ],
	[ 'metadata a text', with(metadata => 'x'), qr/metadata/ ],
	[ 'metadata a number', with(metadata => 5), qr/metadata/ ],
	[ 'idempotency_key a number', with(idempotency_key => 5), qr/idempotency_key/ ],
	[ 'an unknown field', with(foo => 1), qr/unknown field.*foo/ ],
	[ 'a field in other letters', with(User_ID => 'x'), qr/unknown field.*User_ID/ ])
{
	my ($what, $event, $pattern) = @$_;

	is_error($server->post_event($event), 400, $pattern, $what);
}
is($server->count, 0, 'nothing of it was stored');
is($server->status->{rejected}, $server->status->{received}, 'all of it was counted');

# Refused as bytes: [ what, body, message ]

my $head = '"event_name":"raw","channel":"web","timestamp":1723475612';

foreach (
	[ 'an empty body', '', qr/./ ],
	[ 'only blanks', "  \n ", qr/./ ],
	[ 'an array', "[{$head,\"user_id\":\"u\"}]", qr/./ ],
	[ 'a text', '"event"', qr/./ ],
	[ 'null', 'null', qr/./ ],
	[ 'cut off', "{$head,\"user_", qr/at byte \d+/ ],
	[ 'a comma too many', "{$head,\"user_id\":\"u\",}", qr/at byte \d+/ ],
	[ 'more behind the object', "{$head,\"user_id\":\"u\"} x", qr/at byte \d+/ ],
	[ 'two objects', "{$head,\"user_id\":\"u\"}" x 2, qr/at byte \d+.* Send several events to \/events\/bulk/ ],
	[ 'single quotes', "{'event_name':'raw'}", qr/at byte \d+/ ],
	[ 'NaN', '{"event_name":"raw","channel":"web","user_id":"u","timestamp":NaN}',
		qr/at byte \d+/ ],
	[ 'a line end in a text', "{$head,\"user_id\":\"u\nv\"}", qr/at byte \d+/ ],
	[ 'an unknown escape', "{$head,\"user_id\":\"\\x41\"}", qr/at byte \d+/ ],
	[ 'a byte order mark behind', "{$head,\"user_id\":\"u\"}\xef\xbb\xbf", qr/at byte/ ],
	[ 'two byte order marks', "\xef\xbb\xbf\xef\xbb\xbf{$head,\"user_id\":\"u\"}", qr/at byte 3/ ],
	[ 'only a byte order mark', "\xef\xbb\xbf", qr/at byte 3/ ],
	[ 'a lone high surrogate', "{$head,\"user_id\":\"\\ud83d\"}", qr/\Auser_id holds half a surrogate pair at byte 70/ ],
	[ 'a high surrogate before a letter', "{$head,\"user_id\":\"\\ud83dx\"}", qr/./ ],
	[ 'a lone low surrogate', "{$head,\"user_id\":\"\\ude00\"}", qr/\Auser_id holds half/ ],
	[ '\u0000 in a text', "{$head,\"user_id\":\"a\\u0000b\"}", qr/\Auser_id holds U\+0000 at byte 71: expected text without it/ ],
	[ '\u0000 in the name of a field', "{$head,\"user_id\":\"u\",\"pa\\u0000th\":\"\"}", qr/\Athe name of a field holds U\+0000/ ],
	[ '\u0000 in a tag', "{$head,\"user_id\":\"u\",\"tags\":[\"\\u0000\"]}", qr/\Atags holds U\+0000/ ],
	[ '\u0000 in metadata',
		"{$head,\"user_id\":\"u\",\"metadata\":{\"a\":\"\\u0000\"}}", qr/\Ametadata holds U\+0000/ ],
	[ 'a NUL byte', "{$head,\"user_id\":\"a\0b\"}", qr/./ ],
	[ 'a NUL byte behind the object', "{$head,\"user_id\":\"u\"}\0", qr/./ ],
	[ 'a byte that is not UTF-8', "{$head,\"user_id\":\"\xff\"}", qr/./ ],
	[ 'a UTF-8 character cut short', "{$head,\"user_id\":\"\xe2\x82\"}", qr/./ ],
	[ 'an overlong UTF-8 character', "{$head,\"user_id\":\"\xc0\x80\"}", qr/./ ],
	[ 'a surrogate in UTF-8', "{$head,\"user_id\":\"\xed\xa0\x80\"}", qr/./ ],
	[ 'not UTF-8 in metadata',
		"{$head,\"user_id\":\"u\",\"metadata\":{\"a\":\"\xff\"}}", qr/./ ],
	[ 'not UTF-8 in a key of metadata',
		"{$head,\"user_id\":\"u\",\"metadata\":{\"\xff\":1}}", qr/./ ],
	[ 'a number no one can hold',
		"{$head,\"user_id\":\"u\",\"metadata\":{\"a\":1e999999999}}", qr/./ ],
	[ 'a timestamp no one can hold',
		'{"event_name":"raw","channel":"web","user_id":"u","timestamp":1e400}',
		qr/timestamp/ ],
	[ 'metadata 100,000 deep',
		"{$head,\"user_id\":\"u\",\"metadata\":{\"a\":"
		  . '[' x 100_000
		  . ']' x 100_000 . '}}',
		qr/./ ],
	[ '100,000 brackets', '[' x 100_000, qr/./ ],
	[ 'a field twice', "{$head,\"user_id\":\"u\",\"user_id\":\"v\"}", qr/user_id/ ],
	[ 'a field twice, once null',
		"{$head,\"user_id\":\"u\",\"path\":null,\"path\":\"/\"}", qr/path/ ],
	[ 'a field twice, once escaped',
		"{$head,\"user_id\":\"u\",\"pa\\u0074h\":\"/\",\"path\":\"/\"}", qr/path/ ])
{
	my ($what, $body, $pattern) = @$_;

	$answer = $server->post_event($body);
	is_error($answer, 400, $pattern, $what);
	cmp_ok($1, '<=', length($body) + 1, "$what: the byte is one of the body")
	  if $answer->{body} =~ /at byte (\d+)/;
}
is($server->count, 0, 'nothing of it was stored');

# Timestamps: [ as sent, as stored ]

foreach (
	[ '1723475612', '2024-08-12 15:13:32+00' ],
	[ '1723475612.5', '2024-08-12 15:13:32.5+00' ],
	[ '1723475612.000001', '2024-08-12 15:13:32.000001+00' ],
	[ '1.723475612e9', '2024-08-12 15:13:32+00' ],
	[ '1723475612123', '2024-08-12 15:13:32.123+00' ],
	[ '100000000001', '1973-03-03 09:46:40.001+00' ],
	[ '1723475612123.4', '2024-08-12 15:13:32.1234+00' ],
	[ '1723475612123.0', '2024-08-12 15:13:32.123+00' ],
	[ '1.723475612123456e12', '2024-08-12 15:13:32.123456+00' ],
	[ '172347561212345678e-8', '2024-08-12 15:13:32.123456+00' ],
	[ '1723475612.1234569', '2024-08-12 15:13:32.123456+00' ],
	[ '1723475612123456', '2024-08-12 15:13:32.123456+00' ],
	[ '1723475612123456789', '2024-08-12 15:13:32.123456+00' ],
	[ '"1723475612"', '2024-08-12 15:13:32+00' ],
	[ '"1723475612.5"', '2024-08-12 15:13:32.5+00' ],
	[ '"1723475612123"', '2024-08-12 15:13:32.123+00' ],
	[ '"1.723475612e9"', '2024-08-12 15:13:32+00' ],
	[ '"1723475612\n"', '2024-08-12 15:13:32+00' ],
	[ '"2024-08-12T15:13:32+0000"', '2024-08-12 15:13:32+00' ],
	[ '"2024-08-12T18:13:32+03"', '2024-08-12 15:13:32+00' ],
	[ '"2024-08-12T20:58:32+0545"', '2024-08-12 15:13:32+00' ],
	[ '"2024-08-12T15:13Z"', '2024-08-12 15:13:00+00' ],
	[ '"2024-08-12 18:13:32.5 +0300"', '2024-08-12 15:13:32.5+00' ],
	[ '"2024-08-12 15:13:32 UTC"', '2024-08-12 15:13:32+00' ],
	[ '"2024-08-12t15:13:32,123456789z"', '2024-08-12 15:13:32.123456+00' ],
	[ '"20240812T151332Z"', '2024-08-12 15:13:32+00' ],
	[ '"2024/08/12 15:13:32Z"', '2024-08-12 15:13:32+00' ],
	[ '1', '1970-01-01 00:00:01+00' ],
	[ '"2024-08-12T15:13:32Z"', '2024-08-12 15:13:32+00' ],
	[ '"2024-08-12T18:13:32+03:00"', '2024-08-12 15:13:32+00' ],
	[ '"2024-08-12T07:13:32-08:00"', '2024-08-12 15:13:32+00' ],
	[ '"2024-08-12T20:58:32.25+05:45"', '2024-08-12 15:13:32.25+00' ],
	[ '"2024-08-12T15:13:32.123456Z"', '2024-08-12 15:13:32.123456+00' ],
	[ '"2024-08-13T00:30:00+01:00"', '2024-08-12 23:30:00+00' ],
	[ '"2024-02-29T23:59:59Z"', '2024-02-29 23:59:59+00' ])
{
	my ($sent, $stored) = @$_;
	my $user = 'time-' . ++$n;

	is( $server->post_event(
			"{\"event_name\":\"t\",\"channel\":\"web\",\"user_id\":\"$user\",\"timestamp\":$sent}"
		)->{status},
		202,
		"timestamp $sent");
	is( $server->sql(
			"SET timezone = 'UTC'; SELECT ts FROM fast_ingest.events WHERE user_id = '$user'"
		),
		$stored,
		"timestamp $sent is $stored");
}
is($server->post_event(event(++$n, timestamp => time() + 200))->{status},
	202, 'timestamp in 200 seconds: clocks differ');

# Texts: [ what, as sent, SQL expression of what must be stored ]

foreach (
	[ 'escapes', '"q\"b\\\\s\/t\tn\nr\rf\fb\b"',
		q{E'q"b\\\\s/t\tn\nr\rf\fb\b'} ],
	[ '\u escapes', '"\u00e9\u0041\u20ac"', q{U&'\00E9A\20AC'} ],
	[ 'a surrogate pair', '"\ud83d\ude00!"', q{U&'\+01F600!'} ],
	[ 'UTF-8 of 1 to 4 bytes', "\"a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\"",
		q{U&'a\00E9\20AC\+01F600'} ],
	[ '200 bytes', "\"$text_200\"", "repeat('a', 200)" ],
	[ '200 bytes in 100 characters', encode_json($wide_200),
		q{repeat(U&'\00E9', 100)} ],
	[ 'what looks like SQL', q{"'); DROP TABLE x; --"}, q{$q$'); DROP TABLE x; --$q$} ],
	[ 'what looks like null', '"null"', q{'null'} ],
	[ 'a blank', '" "', q{' '} ])
{
	my ($what, $sent, $stored) = @$_;
	my $path = '/text-' . ++$n;

	is( $server->post_event(
			"{\"event_name\":$sent,\"channel\":\"web\",\"user_id\":$sent,\"timestamp\":1723475612,\"path\":\"$path\"}"
		)->{status},
		202, $what);
	is( $server->sql(
			"SELECT user_id = $stored AND event_name = $stored FROM fast_ingest.events WHERE path = '$path'"
		),
		't',
		"$what: stored as it was meant");
}

# A byte order mark before JSON

is($server->post_event("\xef\xbb\xbf{$head,\"user_id\":\"marked\"}")->{status}, 202, 'a byte order mark');
is($server->count("user_id = 'marked'"), 1, 'the event behind it is stored');

# An empty Content-Type means the same as none

foreach (undef, '', ' ', "\t ")
{
	is($server->post_event(event(++$n), type => $_)->{status}, 202,
		'Content-Type ' . (defined ? "'$_'" : 'missing'));
}
is($server->post_event(event(++$n), type => 'text/html')->{status}, 415, 'Content-Type text/html');

# Parameters that do not exist

foreach (
	[ 'atomic=true', qr/unknown parameter "atomic": expected key/ ],
	[ 'x', qr/unknown parameter "x"/ ],
	[ 'Key=x', qr/unknown parameter "Key"/ ],
	[ 'key=a&key=b', qr/more than once/ ])
{
	my ($query, $pattern) = @$_;

	is_error($server->post("/events?$query", event(++$n)), 400, $pattern, "/events?$query");
	is_error($server->post("/event?$query", { site_id => 's', event_type => 'unasked' }), 400, $pattern, "/event?$query");
}
is($server->count("event_name = 'unasked'"), 0, 'nothing of it was stored');
is($server->post('/events?key=any', event(++$n))->{status}, 202, 'a key that nobody asks for');

# All fields are stored as they were sent

my %full = (
	event_name => 'purchase',
	channel => 'mobile',
	user_id => "full-\x{20ac}",
	campaign_id => "summer {24}, \"50%\" \\ off",
	site_id => 'example.com',
	path => '/checkout?a=1&b=%20' . '/long' x 1000,
	tags => [ 'a', 'with space', 'c,d', '{e}', '"f"', '\\g', '', 'NULL', "\x{1f600}" ],
	metadata => {
		text => "v\x{e9}",
		number => 12,
		yes => $true,
		none => $null,
		list => [ 1, [], {}, 'two' ],
		'' => { deep => { deeper => { deepest => [ [ [1] ] ] } } }
	});
is($server->post_event({ %full, timestamp => 1723475612 })->{status},
	202, 'an event with all fields');

my $stored = JSON::PP->new->utf8->decode(
	$server->sql(<<'EOQ'));
SET timezone = 'UTC';
SELECT to_jsonb(e) FROM fast_ingest.events e WHERE event_name = 'purchase'
EOQ
is(delete $stored->{ts}, '2024-08-12T15:13:32+00:00', 'all fields: ts');
ok(delete $stored->{event_key}, 'all fields: event_key');
ok(delete $stored->{ingested_at}, 'all fields: ingested_at');
is_deeply($stored, \%full, 'all fields: stored as sent');

is( $server->post_event(
		"{$head,\"user_id\":\"numbers\",\"metadata\":{\"a\":12345678901234567890.123456789,\"b\":1e-7,\"c\":-0}}"
	)->{status},
	202,
	'numbers of metadata');
is( $server->sql(
		"SELECT metadata->>'a' FROM fast_ingest.events WHERE user_id = 'numbers'"),
	'12345678901234567890.123456789',
	'numbers of metadata lose nothing');

is( $server->post_event(
		event(
			++$n,
			user_id => 'nulls',
			map { $_ => $null } qw(campaign_id site_id path tags metadata idempotency_key)
		))->{status},
	202,
	'null is the same as absent');
is( $server->count(
		"user_id = 'nulls' AND num_nulls(campaign_id, site_id, path, tags, metadata) = 5"
	),
	1,
	'null is stored as null');
$server->post_event(event(++$n, user_id => 'empty', tags => [], metadata => {}));
is($server->count("user_id = 'empty' AND tags = '{}' AND metadata = '{}'"),
	1, 'empty tags and metadata are stored empty');

# POST /event

$answer = $server->post('/event',
	{ site_id => 'test123', event_type => 'page_view', path => '/home',
		user_id => 'visitor', timestamp => 1723475612 });
is($answer->{status}, 204, 'POST /event');
is($answer->{body}, '', 'POST /event: no body');
is( $server->count(
		"user_id = 'visitor' AND event_name = 'page_view' AND channel = 'web' AND site_id = 'test123' AND path = '/home' AND ts = to_timestamp(1723475612)"
	),
	1,
	'POST /event: stored with event_name = event_type and channel web');

is($server->post('/event', { site_id => 'short', event_type => 'click' })->{status},
	204, 'POST /event: the required fields are enough');
is( $server->count(
		"site_id = 'short' AND user_id IS NULL AND path IS NULL AND event_key IS NULL AND now() - ts BETWEEN '-1 min' AND '1 min'"
	),
	1,
	'POST /event: without a timestamp it is now');

is_error($server->post('/event', { event_type => 'click' }),
	400, qr/site_id is required/, 'POST /event: site_id is required');
is_error($server->post('/event', { site_id => 's' }),
	400, qr/event_type is required/, 'POST /event: event_type is required');
is_error($server->post('/event', { site_id => '', event_type => 'click' }),
	400, qr/site_id/, 'POST /event: site_id is not empty');
is_error(
	$server->post('/event', { site_id => 's', event_type => 'click', foo => 1 }),
	400, qr/unknown field.*foo/, 'POST /event: unknown field');
is_error(
	$server->post('/event',
		{ site_id => 's', event_type => 'click', timestamp => 'soon' }),
	400, qr/timestamp.*soon/, 'POST /event: timestamp');
is_error($server->post('/event', '{"site_id":'),
	400, qr/at byte \d+/, 'POST /event: malformed');

# Settings that change the rules, without a restart

$server->set('fast_ingest.channels' => 'web, mobile');
is_error(
	$server->wait_for_answer(
		400, sub { $server->post_event(event(++$n, channel => 'fax')) }),
	400, qr/channel.*fax.*web.*mobile/, 'a channel that is not allowed');
is($server->post_event(event(++$n, channel => $_))->{status},
	202, "channel $_ is allowed")
  foreach qw(web mobile);
is_error($server->post_event(event(++$n, channel => 'we')),
	400, qr/channel/, 'the beginning of an allowed channel is not allowed');

$server->set('fast_ingest.unknown_fields' => 'metadata');
is( $server->wait_for_answer(
		202,
		sub {
			$server->post_event(
				event(1, user_id => 'fold', metadata => { k => 1 },
					foo => { a => [1] }, bar => 'x'));
		})->{status},
	202,
	'unknown fields are folded into metadata');
is( $server->count(
		q{user_id = 'fold' AND metadata = '{"k": 1, "foo": {"a": [1]}, "bar": "x"}'}),
	1, 'they are there beside the others');
is($server->post_event(event(1, user_id => 'fold2', foo => 1))->{status},
	202, 'an unknown field without metadata');
is($server->count(q{user_id = 'fold2' AND metadata = '{"foo": 1}'}),
	1, 'becomes metadata');

$server->set('fast_ingest.max_age' => '30d');
is_error(
	$server->wait_for_answer(400, sub { $server->post_event(event(++$n)) }),
	400, qr/timestamp/, 'an event older than max_age');
is($server->post_event(event(++$n, timestamp => time() - 29 * 86400))->{status},
	202, 'an event younger than max_age');

$server->set('fast_ingest.max_age' => '3650d');
is( $server->wait_for_answer(
		202, sub { $server->post_event(event(++$n, timestamp => 1723475612)) }
	)->{status},
	202,
	'the example of the contract passes by default');

$server->set('fast_ingest.max_future' => '2h');
is( $server->wait_for_answer(
		202, sub { $server->post_event(event(++$n, timestamp => time() + 3600)) }
	)->{status},
	202,
	'an event in an hour with max_future of two');

$server->books_balance;
$server->node->stop;
done_testing();
