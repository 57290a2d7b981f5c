# One request may carry many events, in three forms. When some of them are invalid, the answer
# says which. A request that cannot be read stores nothing.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use FastIngest;
use Test::More;

my $server = FastIngest->new('bulk');
my $n = 0;
my $stored = 0;
my $answer;

my @ndjson = (type => 'application/x-ndjson');

sub valid
{
	my ($count) = @_;

	return map { event(++$n) } 1 .. $count;
}

sub invalid
{
	return event(++$n, event_name => '', @_);
}

sub ndjson
{
	return join '', map { encode_json($_) . "\n" } @_;
}

# The answer accepts exactly this many events, and they are stored.
sub accepts
{
	my ($answer, $count, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;

	is($answer->{status}, 202, $name);
	is_deeply($answer->{json}, { status => 'accepted', accepted => $count },
		"$name: what is answered");
	$stored += $count;
	is($server->count, $stored, "$name: all are stored at that moment");
	return;
}

# The answer is an error, and nothing was stored.
sub refuses
{
	my ($answer, $pattern, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;

	is_error($answer, 400, $pattern, $name);
	is($server->count, $stored, "$name: nothing is stored");
	return;
}

# The three forms

accepts($server->post_bulk([ valid(1) ]), 1, 'an array of one');
accepts($server->post_bulk([ valid(10) ]), 10, 'an array');
accepts($server->post_bulk({ events => [ valid(10) ] }), 10, 'an object with events');
accepts($server->post_bulk(ndjson(valid(10)), @ndjson), 10, 'NDJSON');
accepts(
	$server->post_bulk(
		ndjson(valid(2)), type => 'application/x-ndjson; charset=utf-8'),
	2,
	'NDJSON with a charset');
accepts($server->post_bulk(ndjson(valid(3)) =~ s/\n\z//r, @ndjson),
	3, 'NDJSON without a line end at its end');
accepts($server->post_bulk(ndjson(valid(3)) =~ s/\n/\r\n/gr, @ndjson),
	3, 'NDJSON with CR LF');
accepts(
	$server->post_bulk(
		"\n  \n" . ndjson(valid(3)) =~ s/\n/\n\n\r\n/gr . "\n", @ndjson),
	3,
	'NDJSON with blank lines');
accepts($server->post_bulk(" \n[ " . encode_json(valid(1)) . "\n]\n "),
	1, 'an array with blanks around');
accepts($server->post_bulk([ valid(1000) ]), 1000, 'max_bulk_events');

my @chunks = ndjson(valid(50)) =~ /(.{1,97})/gs;
my $connection = $server->connect;
$connection->send(
	http_message(
		'POST', '/events/bulk',
		body => '',
		headers => [ 'Transfer-Encoding', 'chunked' ], @ndjson));
$connection->send(sprintf "%x\r\n%s\r\n", length $_, $_) foreach @chunks;
$connection->send("0\r\n\r\n");
accepts($connection->read_answer, 50, 'NDJSON in chunks that cut lines');

# Some are invalid

$answer = $server->post_bulk(
	[ valid(1), invalid(), valid(2), invalid(event_name => 'x', foo => 1) ]);
is($answer->{status}, 202, 'some are invalid');
is_deeply([ sort keys %{ $answer->{json} } ],
	[qw(accepted errors rejected status)], 'some are invalid: fields');
is($answer->{json}{status}, 'accepted', 'some are invalid: status');
is($answer->{json}{accepted}, 3, 'some are invalid: accepted');
is($answer->{json}{rejected}, 2, 'some are invalid: rejected');
is_deeply([ map { $_->{index} } @{ $answer->{json}{errors} } ],
	[ 1, 4 ], 'some are invalid: where');
like($answer->{json}{errors}[0]{error}, qr/event_name/, 'and why the one');
like($answer->{json}{errors}[1]{error}, qr/unknown field.*foo/, 'and the other');
is_deeply([ sort keys %{ $answer->{json}{errors}[0] } ],
	[qw(error index)], 'some are invalid: fields of an error');
is($server->count, $stored += 3, 'the valid ones are stored');

$answer =
  $server->post_bulk(ndjson(valid(2), invalid(), valid(1)), @ndjson);
is($answer->{status}, 202, 'NDJSON with an invalid event');
is_deeply([ map { $_->{index} } @{ $answer->{json}{errors} } ],
	[2], 'NDJSON: the index counts the events');
is($server->count, $stored += 3, 'NDJSON: the valid ones are stored');

$answer = $server->post_bulk([ 1, valid(1), 'two', undef, [] ]);
is($answer->{status}, 202, 'elements that are no objects');
is_deeply([ map { $_->{index} } @{ $answer->{json}{errors} } ],
	[ 0, 2, 3, 4 ], 'elements that are no objects are invalid events');
is($server->count, $stored += 1, 'the object among them is stored');

$answer = $server->post_bulk([ (map { invalid() } 1 .. 150), valid(1) ]);
is($answer->{status}, 202, '150 invalid ones');
is($answer->{json}{rejected}, 150, 'all are counted');
is_deeply([ map { $_->{index} } @{ $answer->{json}{errors} } ],
	[ 0 .. 99 ], 'the first 100 are told');
is($server->count, $stored += 1, 'the valid one is stored');

$answer = $server->post_bulk([ map { invalid() } 1 .. 3 ]);
is($answer->{status}, 400, 'all are invalid');
is($answer->{json}{status}, 'rejected', 'all are invalid: status');
is($answer->{json}{accepted}, 0, 'all are invalid: accepted');
is($answer->{json}{rejected}, 3, 'all are invalid: rejected');
is_deeply([ map { $_->{index} } @{ $answer->{json}{errors} } ],
	[ 0, 1, 2 ], 'all are invalid: where');
is($server->count, $stored, 'all are invalid: nothing is stored');

# All or none

$answer = $server->post_bulk([ valid(5), invalid() ], query => 'atomic=true');
is($answer->{status}, 400, 'atomic=true: one invalid event refuses all');
like($answer->{body}, qr/event_name/, 'atomic=true: it says why');
like($answer->{body}, qr/\b5\b/, 'atomic=true: it says which');
is($server->count, $stored, 'atomic=true: nothing is stored');
accepts($server->post_bulk([ valid(5) ], query => 'atomic=true'),
	5, 'atomic=true: all are valid');
$answer = $server->post_bulk([ valid(1), invalid() ], query => 'atomic=false');
is($answer->{status}, 202, 'atomic=false');
is($server->count, $stored += 1, 'atomic=false: the valid one is stored');

foreach (
	[ 'atomic', qr/atomic is "": expected true or false/ ],
	[ 'atomic=', qr/atomic is ""/ ],
	[ 'atomic=perhaps', qr/atomic is "perhaps"/ ],
	[ 'atomic=true%00', qr/./ ],
	[ 'atmoic=true', qr/unknown parameter "atmoic": expected atomic and key/ ],
	[ 'Atomic=true', qr/unknown parameter "Atomic"/ ],
	[ 'atomic=true&atomic=true', qr/more than once/ ],
	[ 'atomic=true&x=1', qr/unknown parameter "x"/ ],
	[ 'x=1&atomic=true', qr/unknown parameter "x"/ ],
	[ 'atomic=true&%ff=1', qr/./ ],
	[ 'key=1&key=2', qr/more than once/ ])
{
	my ($query, $pattern) = @$_;

	refuses($server->post_bulk([ valid(1), invalid() ], query => $query), $pattern, "?$query");
}

# A text that cannot be stored refuses its own event and no other

my @bad = ('a\u0000b', '\u0000', '\ud83d', 'x\ude00', '\ud83d\ud83d\ude00', '\ud83d\u0041', '\ud83d\\\\u', '\uD83Dx', '\udfff\udbff');
my @places = (
	(map { ("\"$_\":\"%s\"") } qw(path site_id campaign_id idempotency_key)),
	'"tags":["a","%s"]', '"metadata":{"a":"%s"}', '"metadata":{"a":[{"b":["%s"]}]}', '"metadata":{"%s":1}',
	'"metadata":{"a":{"%s":"%1$s"}}', '"%s":1', '"metadata":{"%s":1},"path":"%1$s"');

foreach my $form ('array', 'object', 'NDJSON')
{
	my @lines;
	my @wrong;

	foreach my $place (@places)
	{
		foreach my $text (@bad)
		{
			my $fields = '"event_name":"text","channel":"web","user_id":"u","timestamp":' . ($NOON + ++$n % 10000);

			push @wrong, scalar @lines;
			push @lines, "{$fields," . sprintf($place, $text) . '}';
			push @lines, "{$fields,\"metadata\":{\"n\":$n,\"v\":\"\\\\u0000\\ufffd\\uFFFd\\uFffD\\ud83d\\ude00\"}}";
		}
	}
	my $body = $form eq 'NDJSON' ? join("\n", @lines) : '[' . join(',', @lines) . ']';
	$body = "{\"events\":$body}" if $form eq 'object';
	$answer = $server->post_bulk($body, $form eq 'NDJSON' ? @ndjson : ());
	is($answer->{status}, 202, "$form: texts that cannot be stored");
	is($answer->{json}{rejected}, scalar @wrong, "$form: their events are rejected");
	is_deeply([ map { $_->{index} } @{ $answer->{json}{errors} } ], \@wrong, "$form: each by its index");
	is(scalar(grep { $_->{error} !~ /holds (U\+0000|half a surrogate pair) at byte \d+: expected text without it/ } @{ $answer->{json}{errors} }),
		0, "$form: for that reason");
	is($server->count, $stored += @wrong, "$form: the others are stored");
}
is( $server->count(q{event_name = 'text' AND metadata ->> 'v' <> E'\\\\u0000\uFFFD\uFFFD\uFFFD\U0001F600'}),
	0, 'as they were sent');
$answer = $server->post_bulk('["a\u0000b","\ud83d",' . encode_json(valid(1)) . ',"\u0000"]');
is("$answer->{json}{accepted} $answer->{json}{rejected}", '1 3', 'such texts in place of events');
is($server->count, ++$stored, 'the event among them is stored');
refuses($server->post_bulk('[' . encode_json(valid(1)) . ',{"path":"\u0000"},{"path":"\u00"}]'), qr/at byte \d+/,
	'one that cannot be read refuses them all');
$answer = $server->post_bulk('[' . encode_json(valid(1)) . ',{"path":"\u0000"}]', query => 'atomic=true');
is($answer->{status}, 400, 'atomic=true: such a text refuses all');

# A byte order mark

my $mark = "\xef\xbb\xbf";

accepts($server->post_bulk($mark . encode_json([ valid(2) ])), 2, 'a byte order mark before an array');
accepts($server->post_bulk($mark . encode_json({ events => [ valid(2) ] })), 2, 'before an object');
accepts($server->post_bulk($mark . ndjson(valid(2)), @ndjson), 2, 'before NDJSON');
accepts($server->post_bulk(join($mark, '', ndjson(valid(2)), ndjson(valid(2)), "\r\n"), @ndjson), 4,
	'before each of several files in a row, one of them empty');

# One event after the other: the message says what to send instead

my $one = encode_json(valid(1));

foreach ("$one$one", "$one\n$one\n", $one, "{\"events\":[$one]}{\"events\":[$one]}", "[$one][$one]", "[$one]\n$one")
{
	refuses($server->post_bulk($_), qr/with Content-Type application\/x-ndjson, one event a line/, 'one after the other');
}
refuses($server->post_bulk("$one$one\n", @ndjson), qr/at byte \d+.* Send one event a line/, 'two on a line');
refuses($server->post_bulk($one =~ s/,/,\n/r, @ndjson), qr/at byte \d+.* Send one event a line/, 'one on two lines');

# Bodies that are no list of events

refuses($server->post_bulk([]), qr/./, 'an empty array');
refuses($server->post_bulk({ events => [] }), qr/./, 'an object with no events');
refuses($server->post_bulk('', @ndjson), qr/./, 'empty NDJSON');
refuses($server->post_bulk("\n\n", @ndjson), qr/./, 'NDJSON of blank lines');
refuses($server->post_bulk(''), qr/./, 'an empty body');
refuses($server->post_bulk({}), qr/events/, 'an object without events');
refuses($server->post_bulk({ events => 5 }), qr/events/, 'events is no array');
refuses($server->post_bulk({ events => undef }), qr/events/, 'events is null');
refuses($server->post_bulk('5'), qr/./, 'a number');

my @events = valid(1001);
$answer = $server->post_bulk(\@events);
is($answer->{status}, 413, 'more than max_bulk_events');
like($answer->{json}{error}, qr/\b1000\b/, 'the message names the limit');
is($server->count, $stored, 'none of them is stored');
$answer = $server->post_bulk(ndjson(@events), @ndjson);
is($answer->{status}, 413, 'NDJSON: more than max_bulk_events');
is($server->count, $stored, 'NDJSON: none of them is stored');

# Malformed bodies: nothing of the request is stored

my @good = map { encode_json($_) } valid(5);
my $good = join ',', @good;

foreach (
	[ 'an array cut off', "[$good" ],
	[ 'an array cut off in an event', "[$good,{\"event_name\":\"x" ],
	[ 'an array with a comma at its end', "[$good,]" ],
	[ 'an array with more behind', "[$good] 1" ],
	[ 'an array without a comma', "[$good[0]$good[1]]" ],
	[ 'an object cut off', "{\"events\":[$good]" ],
	[ 'not UTF-8 in the last event', "[$good,{\"event_name\":\"\xff\"}]", qr/./ ],
	[ 'NDJSON with a line cut off', join("\n", @good, '{"event_name":'), @ndjson ],
	[ 'NDJSON with a line of two', "$good[0]\n$good[1]$good[2]\n", @ndjson ],
	[ 'NDJSON with a line of words', "$good[0]\nhello\n$good[1]\n", @ndjson ],
	[ 'NDJSON with an event over two lines', $good[0] =~ s/,/,\n/r, @ndjson ])
{
	my ($what, $body, @options) = @$_;
	my $pattern = ref $options[0] ? shift @options : qr/at byte \d+/;

	$answer = $server->post_bulk($body, @options);
	refuses($answer, $pattern, $what);

	my ($byte) = $answer->{body} =~ /at byte (\d+)/;
	ok( !defined $byte || ($byte > 0 && $byte <= length($body) + 1),
		"$what: the byte is counted from the beginning of the body");
}
$answer = $server->post_bulk("[$good,{\"event_name\":\"x");
my ($byte) = $answer->{body} =~ /at byte (\d+)/;
cmp_ok($byte || 0, '>', length $good, 'the byte is where it went wrong');
accepts($server->post_bulk("[$good]"), 5, 'the same events well-formed');

# The limit is a setting

$server->set('fast_ingest.max_bulk_events' => '3');
wait_until(sub { $server->post_bulk([ valid(4) ])->{status} ne '202' });
$stored = $server->count;
$answer = $server->post_bulk([ valid(4) ]);
is($answer->{status}, 413, 'max_bulk_events is read anew at SIGHUP');
like($answer->{json}{error}, qr/\b3\b/, 'and named');
accepts($server->post_bulk([ valid(3) ]), 3, 'so many are taken');

$server->books_balance;
$server->node->stop;
done_testing();
