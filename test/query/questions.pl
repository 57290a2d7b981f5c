# GET /series, /event_names and /live answer what the SQL functions of their names say, byte for byte
# as the contract has it, as JSON and CSV, and refuse each bad parameter with its name and value.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use FastIngest;
use FastIngest::Query;
use JSON::PP ();
use Test::More;

my $HOUR = 3600;
my $server = FastIngest->new('questions');
my $begin = post_views($server);
my $hour = $begin - $begin % $HOUR;
my $answer;

sub series { return $server->query('/series', @_) }
sub names { return $server->query('/event_names', @_) }
sub live { return $server->query('/live', @_) }

$server->post_bulk([ map { event($_, event_name => '=1+1', user_id => 'u' . $_ % 3, channel => 'a;"b"', timestamp => $begin + $_, site_id => 'blog', path => "/$_") } 1 .. 6 ]);
$server->post_event(event(1, event_name => 'odd', channel => 'web', timestamp => $begin + 0.25, site_id => 'blog'));

# ---------------------------------------------------------------------------
# /series
# ---------------------------------------------------------------------------

my @range = (from => $hour, to => $hour + 3 * $HOUR);
my $range = "\"from\":$hour,\"to\":" . ($hour + 3 * $HOUR);

# The members of a point, or of counts
sub counts { return "\"total_events\":$_[0],\"unique_users\":$_[1]" }
sub point { return "{\"time\":$_[0]," . counts(@_[ 1, 2 ]) . '}' }

is_body(
	series(event_name => 'view', @range, step => '1h'),
	"{\"event_name\":\"view\",$range,\"step\":\"1h\"," . counts(5, 3) . ',"series":[{"group":null,' . counts(5, 3) . ',"points":['
	  . join(',', point($hour, 3, 2), point($hour + $HOUR, 0, 0), point($hour + 2 * $HOUR, 2, 2)) . ']}]}',
	'a series');
like(series(event_name => 'view', @range)->{body}, qr/"unique_users":3,"raw_rows":\d+,"series":\[/, 'which tells how many raw rows it took');
is_body(
	series(event_name => 'view', @range, step => 'hour', fill => 'false', group_by => 'channel'),
	"{\"event_name\":\"view\",$range,\"step\":\"1h\",\"grouped_by\":\"channel\"," . counts(5, 3)
	  . ',"series":[{"group":"web",' . counts(3, 2) . ',"points":[' . point($hour, 3, 2) . ']},{"group":"mobile",' . counts(2, 2)
	  . ',"points":[' . point($hour + 2 * $HOUR, 2, 2) . ']}]}',
	'by channel, without empty points');
is_body(
	series(@range, step => '6h', align => 'false', group_by => 'event', top => 1),
	"{$range,\"step\":\"6h\",\"grouped_by\":\"event\"," . counts(12, 5)
	  . ',"series":[{"group":"=1+1",' . counts(6, 3) . ',"points":[' . point($NOON, 6, 3) . ']},{"group":null,"other":true,' . counts(6, 4)
	  . ',"points":[' . point($NOON, 6, 4) . ']}]}',
	'all names, the largest one and the others')
  or diag(series(@range, step => '6h', align => 'false', group_by => 'event', top => 1)->{body});

# What fi_series says, as a list of points, and what the answer has
sub is_as_by_sql
{
	my ($arguments, @parameters) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $json = series(@parameters)->{json};
	my @points = map {
		my $one = $_;
		map { join '|', $_->{time}, $one->{group} // '', $one->{other} ? 't' : 'f', $_->{total_events}, $_->{unique_users} } @{ $one->{points} }
	} @{ $json->{series} || [] };

	cmp_ok(scalar @points, '>', 0, query_path('there are points: ', @parameters));
	return is(
		join("\n", sort @points),
		join("\n", sort split /\n/, $server->sql("SELECT extract(epoch FROM \"time\")::bigint, group_key, is_other, total_events, unique_users FROM fi_series($arguments)")),
		query_path('as by SQL: ', @parameters));
}

is_as_by_sql("'view', to_timestamp($begin), to_timestamp($begin + 7200), '15m'", event_name => 'view', from => $begin, to => $begin + 7200, step => '15m');
is_as_by_sql("since => to_timestamp($begin), until => to_timestamp($begin + 7200), step => '30s', group_by => 'page', top => 2",
	from => $begin, to => $begin + 7200, step => '30s', group_by => 'page', top => 2);
is_as_by_sql("filter => '{\"site\":[\"shop\",\"blog\"],\"channel\":\"web\"}', step => '1w', time_zone => 'Asia/Kathmandu', week_start => 'sunday', group_by => 'event'",
	site => 'shop,blog', channel => 'web', step => '1w', timezone => 'Asia/Kathmandu', week_start => 'sunday', group_by => 'event');
is_as_by_sql("since => to_timestamp($begin + 1), until => to_timestamp($begin + 100), align => false, step => '1m'",
	from => $begin + 1, to => $begin + 100, align => 'false', step => '1m');

$answer = series(from => $begin + 1.5, to => $begin + 100, step => '1m')->{json};
is("$answer->{from} $answer->{to}", $begin . ' ' . ($begin + 120), 'aligned unless otherwise asked: the range that was answered is echoed');
$answer = series(from => $begin + 1.5, to => $begin + 100, step => '1m', align => 'false')->{json};
is("$answer->{from} $answer->{to}", $begin + 1.5 . ' ' . ($begin + 100), 'or not aligned');
like(series()->{json}{step}, qr/^\d+[mhdwo]+$/, 'a step is chosen');
is(series(event_name => 'nothing', @range, step => '1h')->{json}{total_events}, 0, 'an unknown event_name: zeros');

# CSV

$answer = series(@range, step => '1h', format => 'csv', event_name => 'view');
is($answer->{headers}{'content-type'}, 'text/csv; charset=utf-8', 'CSV');
is($answer->{body}, join("\r\n", 'time,total_events,unique_users', "$hour,3,2", $hour + $HOUR . ',0,0', $hour + 2 * $HOUR . ',2,2'), 'CSV of one series');
is( series(@range, step => '1d', format => 'csv', group_by => 'channel', align => 'false', top => 1)->{body},
	join("\r\n", 'time,group,total_events,unique_users,is_other', $NOON - 43200 . ',"a;""b""",6,3,false', $NOON - 43200 . ',,6,4,true'),
	'CSV of groups: text as in /metrics');
like(series(@range, step => '1d', format => 'csv', group_by => 'event')->{body}, qr/\r\n\d+,'=1\+1,6,3,false\r\n/, 'no formula');

# ---------------------------------------------------------------------------
# /event_names
# ---------------------------------------------------------------------------

my $last = $begin + 7201;

is_body(
	names(),
	'{"event_names":[{"event_name":"=1+1",' . counts(6, 3) . ',"first_seen":' . ($begin + 1) . ',"last_seen":' . ($begin + 6)
	  . '},{"event_name":"view",' . counts(5, 3) . ",\"first_seen\":$begin,\"last_seen\":$last},"
	  . '{"event_name":"odd",' . counts(1, 1) . ",\"first_seen\":$begin.25,\"last_seen\":$begin.25}]}",
	'/event_names')
  or diag(names()->{body});
is(join(' ', map { $_->{event_name} } @{ names(site => 'shop', from => $begin, to => $begin + 1)->{json}{event_names} }), 'view', 'of a site, in a range');
like(names(from => $begin, to => $begin + 1)->{body}, qr/^\{"from":$begin,"to":@{[ $begin + 1 ]},"raw_rows":0,"event_names":\[.*"event_name":"view",[^}]*"first_seen":$begin,"last_seen":$begin\}\]/, 'which is echoed, without raw rows');
is(names(from => $begin + 0.2, to => $begin + 4.5)->{json}{raw_rows}, 0, 'nor for parts of minutes');
is(names(site => 'nobody')->{body} =~ s/\d+/0/r, '{"raw_rows":0,"event_names":[]}', 'none');
is( names(format => 'csv')->{body},
	join("\r\n",
		'event_name,total_events,unique_users,first_seen,last_seen,is_other',
		"'=1+1,6,3," . ($begin + 1) . ',' . ($begin + 6) . ',false',
		"view,5,3,$begin,$last,false", "odd,1,1,$begin.25,$begin.25,false"),
	'as CSV');
is(names(format => 'csv')->{headers}{'content-type'}, 'text/csv; charset=utf-8', 'with its type');
is( join("\n", map { join '|', @$_{qw(event_name total_events unique_users)} } @{ names('metadata.x' => 'y', channel => 'web')->{json}{event_names} }),
	$server->sql(q(SELECT event_name, total_events, unique_users FROM fi_event_names(filter => '{"channel":"web","metadata":{"x":"y"}}'))), 'as by SQL');

# ---------------------------------------------------------------------------
# /live
# ---------------------------------------------------------------------------

$server->post_bulk([ map { event($_, user_id => 'u' . $_ % 2, timestamp => time, site_id => 'a,b', path => '/' . $_ % 4, metadata => { n => $_ }) } 1 .. 10 ]);
$server->post_event(event(1, timestamp => time - 600, site_id => 'c', user_id => 'u9'));
$answer = live()->{json};
is(join(' ', map { @{ $answer->{$_} }{qw(total_events unique_users)} } qw(last_5_minutes last_30_minutes)), '10 2 11 3', '/live');
is(scalar @{ $answer->{minutes} }, 30, 'thirty minutes');
is(join(' ', grep { $_ != 60 } map { $answer->{minutes}[ $_ + 1 ]{time} - $answer->{minutes}[$_]{time} } 0 .. 28), '', 'in order');
my $sum = 0;
$sum += $_->{total_events} foreach @{ $answer->{minutes} };
is($sum, 11, 'which have all events');
cmp_ok($answer->{now}, '>=', $answer->{minutes}[29]{time}, 'until now');
cmp_ok($answer->{now} - $answer->{minutes}[29]{time}, '<', 60, 'and no longer');
cmp_ok($answer->{pages_since}, '<=', $answer->{minutes}[0]{time}, 'pages are of a little more time');
is($answer->{pages_since} % 900, 0, 'from a quarter of an hour on');
$answer = live(site => 'a\\,b', top => 2)->{json};
is($answer->{site}, 'a,b', 'the site is echoed');
is(join(' ', map { "$_->{path} $_->{total_events} $_->{unique_users}" } @{ $answer->{pages} }), '/1 3 1 /2 3 1', 'its two largest pages');
is_deeply($answer->{event_names}, [ { event_name => 'page_view', total_events => 10, unique_users => 2 } ], 'and its names');
is($answer->{last_30_minutes}{total_events}, 10, 'and nothing of others');
is(live(site => 'nobody')->{json}{last_30_minutes}{total_events}, 0, 'a site that has none');
$server->post_event(event(11, timestamp => time, site_id => 'nobody'));
is(live(site => 'nobody')->{json}{last_5_minutes}{total_events}, 1, 'an event is there as soon as it is acknowledged');

# ---------------------------------------------------------------------------
# Requests
# ---------------------------------------------------------------------------

foreach my $path ('/series?event_name=view&step=1h', '/series?format=csv&step=1d', '/event_names', '/event_names?format=csv')
{
	my $full = $server->get($path);
	my $head = $server->request('HEAD', $path);

	is("$head->{status} $head->{headers}{'content-length'}", '200 ' . length $full->{body}, "HEAD $path");
}
is($server->request('HEAD', '/live')->{status}, 200, 'HEAD /live');
foreach my $path (qw(/series /event_names /live))
{
	$answer = $server->post($path, {});
	is_error($answer, 405, qr/GET, HEAD/, "POST $path");
	is($answer->{headers}{allow}, 'GET, HEAD', "POST $path: Allow");
}

my $points = 'unknown parameter "%s": expected event_name, from, to, step, group_by, top, timezone, week_start, fill, align, format, or as a filter channel';
my $every = 'unknown parameter "%s": expected from, to, format, or as a filter channel';

foreach my $case (
	[ '/series', step => '7m3', qr/^step "7m3" / ],
	[ '/series', step => '0s', qr/^step "0s" / ],
	[ '/series', step => '-1h', qr/^step "-1h" / ],
	[ '/series', top => 0, qr/^top "0" is not allowed: expected a whole number from 1 to 1000$/ ],
	[ '/series', top => 1001, qr/^top "1001" is not allowed: expected a whole number from 1 to 1000$/ ],
	[ '/series', top => 'x', qr/^top "x"/ ],
	[ '/series', group_by => 'hour', qr/^group_by .*hour/ ],
	[ '/series', group_by => 'colour', qr/^group_by "colour"/ ],
	[ '/series', timezone => 'Mars/Base', qr/^timezone "Mars\/Base"/ ],
	[ '/series', week_start => 'friday', qr/^week_start "friday" is not allowed: expected monday or sunday$/ ],
	[ '/series', fill => 'maybe', qr/^fill "maybe"/ ],
	[ '/series', align => 'maybe', qr/^align "maybe"/ ],
	[ '/series', from => 'x', qr/^from "x" .*Unix seconds/ ],
	[ '/series', to => '', qr/^to is empty/ ],
	[ '/series', event_name => '', qr/^event_name is empty/ ],
	[ '/series', format => 'xml', qr/^format "xml"/ ],
	[ '/series', limit => 1, qr/^\Q@{[ sprintf $points, 'limit' ]}\E/ ],
	[ '/series', site => 'a,', qr/^site "a,"/ ],
	[ '/event_names', from => 'x', qr/^from "x" .*Unix seconds/ ],
	[ '/event_names', format => 'xml', qr/^format "xml" is not allowed: expected json or csv$/ ],
	[ '/event_names', event_name => 'view', qr/^\Q@{[ sprintf $every, 'event_name' ]}\E/ ],
	[ '/event_names', step => '1h', qr/^\Q@{[ sprintf $every, 'step' ]}\E/ ],
	[ '/live', site => '', qr/^site is empty/ ],
	[ '/live', site => 'a,b', qr/^site "a,b" is not allowed: expected one website, and \\, for a comma/ ],
	[ '/live', site => 'a\\', qr/^site "a\\" is not allowed: expected \\\\ for a backslash/ ],
	[ '/live', top => 101, qr/^top "101" is not allowed: expected a whole number from 1 to 100$/ ],
	[ '/live', channel => 'web', qr/^unknown parameter "channel": expected site and top$/ ])
{
	my ($path, $name, $value, $pattern) = @$case;

	is_error($server->query($path, $name => $value), 400, $pattern, "$path: $name=$value");
}
foreach my $path (qw(/series /event_names))
{
	is_error($server->query($path, from => 6, to => 5), 400, qr/^from must be before to: /, "$path: times in the wrong order");
	is_error($server->query($path, from => 5, to => 5), 400, qr/^from must be before to: /, "$path: an empty range");
}
is_error(series(step => '1m', from => '2000-01-01T00:00:00Z', to => '2024-01-01T00:00:00Z'), 400, qr/step.*too many|too many.*step/, 'too many points');
foreach my $path (qw(/series /event_names /live))
{
	is_error($server->query($path, colour => 'red'), 400, qr/^unknown parameter "colour": expected /, "$path: an unknown parameter");
	is_error($server->query($path, site => 'a', site => 'b'), 400, qr/"site".*more than once/, "$path: one twice");
	is_error($server->query($path, site => "a\0"), 400, qr/%00/, "$path: NUL");
	is_error($server->query($path, site => "\xff"), 400, qr/"site".*UTF-8/, "$path: not UTF-8");
	is_error($server->query($path, site => 'x' x 20000), 431, qr/16384/, "$path: too long");
	is($server->query($path, site => q(<script>"'\\\\;$$--))->{status}, 200, "$path: markup in a value");
	is($server->query($path, site => 'x' x 9000)->{status}, 200, "$path: a long value");
}

# A lock holds up the questions until their time is over.

my $lock = block_queries($server);
$server->set('fast_ingest.query_timeout' => '400ms');
foreach my $path (qw(/series /event_names /live))
{
	$answer = $server->wait_for_answer(503, sub { $server->get($path) });
	is_error($answer, 503, qr/fast_ingest\.query_timeout/, "$path: too late");
	ok($answer->{headers}{'retry-after'}, "$path: Retry-After");
}
$lock->quit;
is($server->wait_for_answer(200, sub { $server->get($_) })->{status}, 200, "$_ again") foreach qw(/series /event_names /live);

$server->node->stop;
done_testing();
