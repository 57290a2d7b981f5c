# Every kind of JSON that RFC 8259 names, valid or not, is answered: as one event, in both forms
# of bulk, and as lines. After 202 it is stored as PostgreSQL itself reads it; a 400 says where
# or what is wrong. None of it becomes a dead letter.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use FastIngest;
use Test::More;

my $server = FastIngest->new('json');
my $listener = $server->worker_pid('listener');
my $n = 0;
my @stored; # [ user_id, name, JSON of metadata ]

my @valid = (
	# literals and numbers
	qw(true false null 0 -0 -0.0 0.0 1 -1 0.5 10 1.0 1e5 1E5 1e+5 1E-5 0e0 0e+1 0E-1 -1.5e-7
	  1e1000 1e-1000 -1e1000 1e131071 9007199254740993 18446744073709551616 999999999999999999
	  -999999999999999999 1234567890123456789 -9223372036854775808),
	'1' x 100, '-' . '9' x 1000, '0.' . '3' x 1000, '0' . '.' . '0' x 1000 . '1', '1' . '0' x 100_000,

	# texts
	'""', '"a"', '"\"\\\\\/\b\f\n\r\t"', '"\u0041"', '"\u00e9\u00E9"', '"\u20ac"', '"\ud83d\ude00"',
	'"\uD83D\uDE00"', '"\udbff\udfff"', '"\ud800\udc00"', '"\u0001\u001f"', '"\u007f"', '"\uffff\ufffe\ufeff"',
	'"\u2028\u2029"', '"\u005C"', '"\\\\u0000"', "\"\x7f\"", "\"\xc2\x80\xdf\xbf\"", "\"\xe0\xa0\x80\xef\xbf\xbf\"",
	"\"\xef\xbb\xbf\"", "\"\xed\x9f\xbf\xee\x80\x80\"", "\"\xf0\x90\x80\x80\xf4\x8f\xbf\xbf\"", "\"e\xcc\x81\"",
	'"' . 'x' x 1_000_000 . '"', '"' . '\u00e9' x 100_000 . '"', '"' . "\xf0\x9f\x98\x80" x 100_000 . '"',

	# structure
	'[]', '{}', '[[]]', '[{}]', '{"a":{}}', '{"":""}', '[1,"a",null,true,{"b":[]}]', '{"a":1,"b":[2]}',
	'{"a":1,"a":2}', '{"a":{"x":1},"a":[]}', '{"a":1,"\u0061":2}', '{"b":1,"a":2,"b":null}', '{"A":1,"a":2}',
	'{"__proto__":1}', '{"' . 'k' x 100_000 . '":1}', "[1\t, 2 ]", " [ 1 ,\t2\r,3 ] ", "\t\r {\t\"a\" :\r1 } ",
	"[\n1\n,\n2\n]", '[' . join(',', (1) x 90_000) . ']', '{' . join(',', map { "\"$_\":$_" } 1 .. 20_000) . '}',
	'[' x 10 . ']' x 10, '[' x 100 . '1' . ']' x 100, '{"a":' x 100 . '1' . '}' x 100);

my @invalid = (
	# literals and numbers
	'1,000', qw(01 -01 00 -00 - + +1 .5 -.5 1. 1.e5 1e 1e+ 1E- 1e5.5 0x10 0b1 0o7 1_000 1.2.3 --1 1- 1+2 1e5e5
	  NaN nan -NaN Infinity -Infinity inf TRUE True tru truee nul nulll nil undefined None a $ @),
	"\xd9\xa1", '', ',',

	# numbers that jsonb does not hold
	qw(1e999999 -1e999999 1e131072 1e99999999999999999999 1e-99999999999999999999), '9' x 131_073, '1' . '0' x 200_000,

	# texts
	'"a', '"a\"', '\'a\'', '"a\'', '"\x41"', '"\a"', '"\\\'"', '"\U0041"', '"\\', '"\u"', '"\u1"', '"\u12"', '"\u123"',
	'"\u12G4"', '"\u 123"', '"\u-123"', '"\u{41}"', '"\ud83d"', '"\ud83dx"', '"\ud83d\n"', '"\ud83d\u0041"',
	'"\ud83d\ud83d"', '"\ude00"', '"\ude00\ud83d"', '"\udfff\udbff"', '"a\u0000b"', '"\u0000"', '"\ud83d\u0000"',
	(map { '"a' . chr($_) . 'b"' } 0 .. 31),
	(map { "\"a$_\"" } "\x80", "\xbf", "\xe9", "\xc0\x80", "\xc1\xbf", "\xe0\x80\x80", "\xe0\x9f\xbf", "\xf0\x80\x80\x80",
		"\xf0\x8f\xbf\xbf", "\xed\xa0\x80", "\xed\xbf\xbf", "\xed\xa0\xbd\xed\xb8\x80", "\xf4\x90\x80\x80",
		"\xf5\x80\x80\x80", "\xf7\xbf\xbf\xbf", "\xf8\x88\x80\x80\x80", "\xfc\x84\x80\x80\x80\x80", "\xfe", "\xff",
		"\xc3", "\xe2\x82", "\xf0\x9f\x98", "\xe2(\xa1", "\xc3(", "\xf0\x9f(\x80"),
	'"' . 'x' x 1_000_000, '"' . '\u00' x 1000,

	# structure
	'[', ']', '{', '}', '[1', '[1,', '[1,]', '[,]', '[,1]', '[1,,2]', '[1 2]', '[1}', '{"a":1]', '[1]]', '{"a":1}}',
	'{"a"}', '{"a":}', '{"a":1,}', '{,"a":1}', '{"a" 1}', '{"a"::1}', '{"a":1 "b":2}', '{"a":1:2}', '{a:1}', "{'a':1}",
	'{1:1}', '{null:1}', '{[]:1}', '{"a":1;"b":2}', '"a""b"', '"a" "b"', '1 2', '[1:2]', '(1)', '<a>', '`a`',
	'// c', '1 // c', '/* c */ 1', '1 /* c */', '[1, # c', '1;', "\f1", "\x0b1", "\xc2\xa01", "\xe2\x80\x8b1",
	"\xef\xbb\xbf1", "1\x00", "\x1a1",
	(map { ('[' x $_ . ']' x $_, '{"a":' x $_ . '1' . '}' x $_, '[{"a":' x $_ . '1' . '}]' x $_, '[' x $_) }
		  130, 1000, 100_000, 1_000_000));

# The name of a test of that JSON
sub name_of
{
	my ($text) = @_;

	$text = substr($text, 0, 40) . '... (' . length($text) . ' bytes)' if length $text > 50;
	$text =~ s/([^ -~])/sprintf '\\x%02x', ord $1/ge;
	return $text;
}

# An event, of which each test has its own.
sub with
{
	my ($fields) = @_;

	return '{"event_name":"json","channel":"web","user_id":"u' . ++$n . "\",\"timestamp\":$NOON,$fields}";
}

# The ways to send an event of these fields: [ name, path, body, user_id, options ]
sub forms
{
	my ($fields) = @_;
	my @forms = ([ 'single', '/events', '%s' ]);

	push @forms, [ 'array', '/events/bulk', '[%s]' ], [ 'object', '/events/bulk', '{"events":[%s]}' ],
	  [ 'lines', '/events/bulk', "%s\n", type => 'application/x-ndjson' ]
	  unless length $fields > 200_000;
	return map {
		my ($name, $path, $around, @opt) = @$_;

		form($name, $path, sprintf($around, with($fields)), @opt)
	} grep { $_->[0] ne 'lines' || $fields !~ /\n/ } @forms;
}

# One way to send the event that with() has just made.
sub form
{
	my ($name, $path, $body, @opt) = @_;

	return [ $name, $path, $body, "u$n", @opt ];
}

sub ask
{
	my ($form) = @_;
	my ($name, $path, $body, $user, %opt) = @$form;

	return $server->post($path, $body, %opt);
}

sub accepted
{
	my ($form, $metadata, $name) = @_;
	my $answer = ask($form);

	is($answer->{status}, 202, "$name: accepted ($form->[0])") or diag($answer->{body});
	push @stored, [ $form->[3], "$name ($form->[0])", $metadata ];
	return;
}

# The answer is 400, and the error names the byte or the field.
sub refused
{
	my ($form, $name) = @_;
	my $answer = ask($form);
	my $json = $answer->{json};
	my $error = '';

	$error = $json->{error} // ($json->{errors} || [])->[0]{error} // '' if ref $json eq 'HASH';
	my $good = $answer->{status} eq 400
	  && $error =~ /at byte (\d+)|^(metadata|path|event_name|body|event|events|user_id|unknown field|timestamp)\b/;
	my $byte = $1;
	ok($good && (!defined $byte || $byte <= length $form->[2]), "$name: refused ($form->[0])")
	  or diag("$answer->{status} $answer->{body}");
	return;
}

# Each value is sent in metadata, and a text also as a field and as a key
foreach my $json (@valid)
{
	my $name = name_of($json);

	accepted($_, "{\"v\":$json}", $name) foreach forms("\"metadata\":{\"v\":$json}");
	next unless $json =~ /^"/;
	accepted(form('field', '/events', with("\"path\":$json,\"metadata\":{\"v\":$json}")), "{\"v\":$json}", $name);
	accepted(form('key', '/events', with("\"metadata\":{$json:1}")), "{$json:1}", $name);
	accepted(form('tag', '/events', with("\"tags\":[$json],\"metadata\":{\"v\":$json}")), "{\"v\":$json}", $name);
}
foreach my $json (@invalid)
{
	my $name = name_of($json);

	refused($_, $name) foreach forms("\"metadata\":{\"v\":$json}");
	next unless $json =~ /^"/;
	refused(form('field', '/events', with("\"path\":$json")), $name);
	refused(form('key', '/events', with("\"metadata\":{$json:1}")), $name);
	refused(form('tag', '/events', with("\"tags\":[$json]")), $name);
}

# Whole bodies
my $e = sub { with('"metadata":{"v":1}') };
foreach my $around ([ ' ', '' ], [ '', ' ' ], [ "\r\n\t ", "\r\n\t " ])
{
	accepted(form('single', '/events', $around->[0] . $e->() . $around->[1]), '{"v":1}', 'blanks around');
	accepted(form('array', '/events/bulk', "$around->[0]\[$around->[1]" . $e->() . "$around->[0]]$around->[1]"),
		'{"v":1}', 'blanks around');
}
accepted(form('single', '/events', "\xef\xbb\xbf " . $e->()), '{"v":1}', 'a byte order mark');
accepted(form('array', '/events/bulk', "\xef\xbb\xbf\n[" . $e->() . ']'), '{"v":1}', 'a byte order mark');
accepted(form('lines', '/events/bulk', "\xef\xbb\xbf" . $e->(), type => 'application/x-ndjson'), '{"v":1}', 'a byte order mark');
accepted(form('single', '/events', '{"event_name":"json","channel":"web","user_id":"u' . ++$n
	  . "\",\"timestamp\":$NOON,\"metadata\":{\"a\":1,\"b\":2,\"a\":3}}"), '{"a":3,"b":2}', 'a key twice');

sub wide
{
	my ($zeros_before, $zeros_behind, $text) = @_;

	$text =~ s/(.)/"\0" x $zeros_before . $1 . "\0" x $zeros_behind/gse;
	return $text;
}

my $event = $e->();
my $other = $e->();
foreach (
	[ 'nothing', '' ], [ 'blanks', " \r\n\t" ], [ 'null', 'null' ], [ 'true', 'true' ], [ 'a number', '1' ],
	[ 'a text', '"x"' ], [ 'an array', '[]' ], [ 'an object', '{}' ], [ 'an array of an event', "[$event]" ],
	[ 'a byte order mark behind', "$event\xef\xbb\xbf" ], [ 'UTF-16LE', wide(0, 1, $event) ], [ 'UTF-16BE', wide(1, 0, $event) ],
	[ 'UTF-16LE with a mark', "\xff\xfe" . wide(0, 1, $event) ], [ 'UTF-16BE with a mark', "\xfe\xff" . wide(1, 0, $event) ],
	[ 'UTF-32LE', wide(0, 3, $event) ], [ 'UTF-32BE', wide(3, 0, $event) ], [ 'UTF-7', "+AHs-$event" ],
	[ 'two events', "$event$other" ], [ 'a comma behind', "$event," ], [ 'a brace behind', "$event}" ],
	[ 'a NUL behind', "$event\0" ], [ 'a NUL before', "\0$event" ], [ 'text behind', "$event x" ],
	[ 'text before', "x $event" ], [ 'a record separator', "\x1e$event" ], [ 'a comment', "// x\n$event" ],
	[ 'a prefix against XSSI', ")]}',\n$event" ], [ 'gzip', "\x1f\x8b\x08\0\0\0\0\0" ], [ 'a form', 'event_name=a&channel=b' ],
	[ 'XML', '<event/>' ], [ 'cut off', substr $event, 0, -1 ], [ 'cut in a text', substr $event, 0, 30 ],
	[ 'user_id twice', with('"user_id":"x"') ], [ 'metadata twice', with('"metadata":{},"metadata":{}') ],
	[ 'metadata twice, once escaped', with('"metadata":{},"meta\u0064ata":{}') ], [ 'metadata null, then an object', with('"metadata":null,"metadata":{}') ],
	[ 'a field that is empty', with('"":1') ], [ 'a field with NUL', with('"pa\u0000th":1') ],
	(map { ( [ "$_ brackets", '[' x $_ ], [ "$_ braces", '{"a":' x $_ ], [ "$_ arrays in an unknown field", with('"x":' . '[' x $_ . ']' x $_) ] ) } 200, 100_000, 1_000_000))
{
	refused(form('single', '/events', $_->[1]), $_->[0]);
}
foreach (
	[ 'nothing', '' ], [ 'null', 'null' ], [ 'a number', '1' ], [ 'a text', '"x"' ], [ 'an empty array', '[]' ],
	[ 'an object', '{}' ], [ 'an event alone', $event ], [ 'no events', '{"events":[]}' ], [ 'events null', '{"events":null}' ],
	[ 'events an object', '{"events":{}}' ], [ 'events a text', '{"events":"x"}' ], [ 'event', "{\"event\":[$event]}" ],
	[ 'events twice', "{\"events\":[$event],\"events\":[$other]}" ], [ 'events and more', "{\"events\":[$event],\"x\":1}" ],
	[ 'a comma behind', "[$event,]" ], [ 'a comma before', "[,$event]" ], [ 'two commas', "[$event,,$other]" ],
	[ 'no comma', "[$event $other]" ], [ 'not closed', "[$event" ], [ 'closed twice', "[$event]]" ], [ 'two arrays', "[$event][$other]" ],
	[ 'closed wrongly', "{\"events\":[$event}]" ], [ 'a byte order mark within', "[\xef\xbb\xbf$event]" ],
	[ 'an array of null', '[null]' ], [ 'an array of texts', '["a"]' ], [ 'an array of arrays', "[[$event]]" ],
	(map { ([ "$_ brackets", '[' x $_ ], [ "$_ arrays", '[' x $_ . ']' x $_ ]) } 200, 1_000_000))
{
	refused(form('bulk', '/events/bulk', $_->[1]), $_->[0]);
}
foreach (
	[ 'nothing', '' ], [ 'blank lines', "\n \n\r\n" ], [ 'null', "null\n" ], [ 'an array', "[$event]\n" ],
	[ 'two events on a line', "$event$other\n" ], [ 'an event on two lines', "{\"event_name\":\n\"x\"}" ],
	[ 'a line cut off', "$event\n{\"event_name\":\"x\n$other\n" ], [ 'a line that is no JSON', "$event\nx\n" ],
	[ 'a line of 1,000 brackets', "$event\n" . '[' x 1000 . "\n" ], [ 'two byte order marks', "\xef\xbb\xbf\xef\xbb\xbf$event\n" ],
	[ 'a comma at the end of a line', "$event,\n$other\n" ])
{
	refused(form('lines', '/events/bulk', $_->[1], type => 'application/x-ndjson'), $_->[0]);
}
my $lines = "$event\n" . '{"metadata":' . '[' x 1000;
my $answer = $server->post('/events/bulk', $lines, type => 'application/x-ndjson');
like($answer->{json}{error}, qr/at byte (\d+)/, 'too deep in the second line');
my ($byte) = $answer->{json}{error} =~ /at byte (\d+)/;
is($byte, length("$event\n" . '{"metadata":') + 127, '... the byte is counted from the beginning of the body');

# An event that jsonb cannot hold costs the others of a bulk request nothing.
my ($before, $behind) = ($e->(), $e->());
$answer = $server->post('/events/bulk', "[$before," . with('"metadata":{"v":1e999999}') . ",$behind]");
is($answer->{status}, 202, 'an impossible number among others');
is("$answer->{json}{accepted} $answer->{json}{rejected} $answer->{json}{errors}[0]{index}",
	'2 1 1', '... is the only one that is rejected');

# What was accepted is stored as PostgreSQL reads it.
my $expected = join ",\n", map { "('$_->[0]', \$json\$$_->[2]\$json\$)" } @stored;
my %wrong = map { $_ => 1 } split /\n/, $server->sql(<<"EOQ");
SELECT expected.user_id
FROM (VALUES $expected) AS expected (user_id, metadata)
LEFT JOIN fast_ingest.events USING (user_id)
WHERE events.metadata::text IS DISTINCT FROM expected.metadata::jsonb::text
  OR events.path IS NOT NULL AND events.path IS DISTINCT FROM events.metadata->>'v'
  OR events.tags IS NOT NULL AND events.tags IS DISTINCT FROM ARRAY[events.metadata->>'v']
EOQ
cmp_ok(scalar @stored, '>', 300, 'many were accepted');
is(join("\n", map { $_->[1] } grep { $wrong{ $_->[0] } } @stored), '', 'each was stored as it was sent');
is($server->count, @stored + 2, 'nothing else was stored');
is($server->sql('SELECT count(*) FROM fast_ingest.dead_letters'), 0, 'nothing is a dead letter');
is($server->worker_pid('listener'), $listener, 'it is still the same listener');
$server->books_balance;

$server->node->stop;
done_testing();
