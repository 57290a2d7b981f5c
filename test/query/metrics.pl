# GET /metrics answers byte for byte what the contract says, the same before and after a
# refresh and by SQL, and refuses each bad parameter with its name and value.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use FastIngest;
use FastIngest::Query;
use Test::More;

my $HOUR = 3600;
my $server = FastIngest->new('metrics');
my $begin = post_views($server);
my $answer;

sub metrics { return $server->query('/metrics', @_) }

is_body(metrics(event_name => 'view'),
	'{"event_name":"view","total_events":5,"unique_users":3}', 'all of an event');
is_body(metrics(event_name => 'nothing'),
	'{"event_name":"nothing","total_events":0,"unique_users":0}',
	'an unknown event_name: zeros');
is_body(
	metrics(event_name => 'nothing', group_by => 'channel'),
	'{"event_name":"nothing","grouped_by":"channel","total_events":0,"unique_users":0,"data":[]}',
	'an unknown event_name by channel');
is_body(
	metrics(event_name => 'view', from => $begin, to => $begin + 59),
	"{\"event_name\":\"view\",\"from\":$begin,\"to\":"
	  . ($begin + 59)
	  . ',"total_events":2,"unique_users":1}',
	'from is inclusive, to exclusive, both are echoed');
is_body(
	metrics(event_name => 'view', from => $begin + 1),
	'{"event_name":"view","from":' . ($begin + 1) . ',"total_events":4,"unique_users":3}',
	'from alone');
is_body(
	metrics(event_name => 'view', to => $begin + 1),
	'{"event_name":"view","to":' . ($begin + 1) . ',"total_events":1,"unique_users":1}',
	'to alone');
is_body(
	metrics(event_name => 'view', from => ($begin + 1) . '000', to => "${DAY}T13:20:59Z"),
	'{"event_name":"view","from":'
	  . ($begin + 1) . ',"to":'
	  . ($begin + 59)
	  . ',"total_events":1,"unique_users":1}',
	'milliseconds and RFC 3339 are echoed as Unix seconds');
is_body(
	metrics(event_name => 'view', from => ($begin + 1) . '500'),
	'{"event_name":"view","from":' . ($begin + 1) . '.5,"total_events":3,"unique_users":3}',
	'a part of a second is echoed');
is_body(
	$server->get("/metrics?event_name=view&from=${DAY}T19:05:01+05:45"),
	'{"event_name":"view","from":' . ($begin + 1) . ',"total_events":4,"unique_users":3}',
	'a "+" that is not escaped is understood');
is_body(metrics(event_name => 'view', from => $_),
	'{"event_name":"view","from":' . ($begin + 1) . ',"total_events":4,"unique_users":3}', "from=$_")
  foreach ($begin + 1) . '000000', ($begin + 1) . '000000000', ($begin + 1) . '.0', ($begin + 1) . '000.0', ($begin + 1) / 1e9 . 'e9',
  "${DAY}T13:20:01+0000", "$DAY 13:20:01 UTC", "${DAY}t15:20:01+02";
is_body(metrics(event_name => 'view', channel => 'mobile'),
	'{"event_name":"view","total_events":2,"unique_users":2}', 'one channel');

my $channels =
  '"data":[{"group":"web","total_events":3,"unique_users":2},{"group":"mobile","total_events":2,"unique_users":2}]';

is_body(
	metrics(event_name => 'view', group_by => 'channel'),
	"{\"event_name\":\"view\",\"grouped_by\":\"channel\",\"total_events\":5,\"unique_users\":3,$channels}",
	'by channel: most first, users are not added up');
is_body(
	metrics(
		event_name => 'view',
		group_by => 'channel',
		from => $begin,
		to => $begin + 86400),
	"{\"event_name\":\"view\",\"from\":$begin,\"to\":"
	  . ($begin + 86400)
	  . ",\"grouped_by\":\"channel\",\"total_events\":5,\"unique_users\":3,$channels}",
	'by channel in a range');
is_body(
	metrics(event_name => 'view', group_by => 'channel', channel => 'web'),
	'{"event_name":"view","grouped_by":"channel","total_events":3,"unique_users":2,"data":[{"group":"web","total_events":3,"unique_users":2}]}',
	'by channel, one channel');

my @by_hour = (
	event_name => 'view',
	group_by => 'hour',
	from => $begin,
	to => $begin + 3 * $HOUR);
my $by_hour =
  "{\"event_name\":\"view\",\"from\":$begin,\"to\":"
  . ($begin + 3 * $HOUR)
  . ',"grouped_by":"hour","total_events":5,"unique_users":3,"data":[';

is_body(
	metrics(@by_hour),
	$by_hour
	  . join(',',
		"{\"group\":\"${DAY}T13:00:00Z\",\"total_events\":3,\"unique_users\":2}",
		"{\"group\":\"${DAY}T14:00:00Z\",\"total_events\":0,\"unique_users\":0}",
		"{\"group\":\"${DAY}T15:00:00Z\",\"total_events\":2,\"unique_users\":2}",
		"{\"group\":\"${DAY}T16:00:00Z\",\"total_events\":0,\"unique_users\":0}")
	  . ']}',
	'by hour, with empty hours');
is_body(
	metrics(@by_hour, fill => 'false'),
	$by_hour
	  . join(',',
		"{\"group\":\"${DAY}T13:00:00Z\",\"total_events\":3,\"unique_users\":2}",
		"{\"group\":\"${DAY}T15:00:00Z\",\"total_events\":2,\"unique_users\":2}")
	  . ']}',
	'by hour, without them');
is_deeply(
	groups(metrics(@by_hour, timezone => 'Asia/Kathmandu')),
	[ map { "${DAY}T$_:00:00+05:45" } 19 .. 22 ],
	'by hour in Kathmandu');
is_body(
	metrics(
		event_name => 'view',
		group_by => 'day',
		timezone => 'Asia/Kathmandu',
		from => $NOON,
		to => $NOON + $HOUR * 24),
	"{\"event_name\":\"view\",\"from\":$NOON,\"to\":"
	  . ($NOON + $HOUR * 24)
	  . ',"grouped_by":"day","total_events":5,"unique_users":3,"data":['
	  . '{"group":"2024-08-12T00:00:00+05:45","total_events":5,"unique_users":3},'
	  . '{"group":"2024-08-13T00:00:00+05:45","total_events":0,"unique_users":0}]}',
	'by day in Kathmandu');
is_deeply(
	groups(
		metrics(
			event_name => 'view',
			group_by => 'day',
			timezone => 'Europe/Berlin',
			from => '2024-10-26T00:00:00+02:00',
			to => '2024-10-29T00:00:00+01:00')),
	[
		'2024-10-26T00:00:00+02:00', '2024-10-27T00:00:00+02:00',
		'2024-10-28T00:00:00+01:00'
	],
	'the day on which summer time ends');
is( scalar(
		@{
			groups(
				metrics(
					event_name => 'view',
					group_by => 'hour',
					timezone => 'Europe/Berlin',
					from => '2024-10-27T00:00:00+02:00',
					to => '2024-10-28T00:00:00+01:00'))
		}),
	25,
	'it has 25 hours');

# An event is counted as soon as it is acknowledged

my @late = grep {
	my $answer = $server->post_event(
		event($_, event_name => 'fresh', user_id => "fresh-$_"));

	$answer->{status} ne 202
	  || metrics(event_name => 'fresh')->{json}{total_events} != $_
} 1 .. 30;
is("@late", '', 'every event is counted as soon as it is acknowledged');

# The same before and after a refresh

my @queries = map { query_path('/metrics', event_name => 'view', @$_) } (
	[], [ group_by => 'channel' ], [ group_by => 'hour' ], [ group_by => 'page' ],
	[ from => $begin + 1, group_by => 'day', timezone => 'Asia/Kathmandu' ]);
my @before = map { without_raw_rows($server->get($_)->{body}) } @queries, "/stats?site_id=shop&date=$DAY";

$server->sql('SELECT fi_refresh()');
is_deeply([ map { without_raw_rows($server->get($_)->{body}) } @queries, "/stats?site_id=shop&date=$DAY" ],
	\@before, 'a refresh changes no answer');

# A breakdown of the user's, with more keys than are kept apart

$server->post_bulk(
	[ map { event($_, event_name => 'capped', user_id => 'u', campaign_id => 'c' . int sqrt $_) } 0 .. 24 ]);
$server->sql("SELECT fi_add_breakdown('campaign', 'campaign_id', '{day}', 3); SELECT fi_refresh()");
$answer = metrics(event_name => 'capped', group_by => 'campaign')->{json};
is($answer->{grouped_by}, 'campaign', 'by a breakdown of one\'s own');
ok($answer->{capped}, 'the answer says that keys are counted together');
is(scalar(grep { !defined $_->{group} && $_->{other} } @{ $answer->{data} }), 1, 'and which');
my $sum = 0;
$sum += $_->{total_events} foreach @{ $answer->{data} };
is($sum, 25, 'no event is left out');
ok(!exists metrics(event_name => 'view', group_by => 'channel')->{json}{capped},
	'other answers say nothing of that');

# Text that must be escaped, in every form

my $strange = "a \"b\"\\/+&=%\x{e9}\x{1F600}\x{7}";
utf8::encode(my $bytes = $strange);
is($server->post_event(event(1, event_name => $strange))->{status}, 202, 'a strange name is stored');
is_deeply(
	metrics(event_name => $bytes)->{json},
	{ event_name => $strange, total_events => 1, unique_users => 1, raw_rows => 0 },
	'a strange name is found and shown');

# HEAD, other methods, other requests on the same connection

my $connection = $server->connect;
$connection->send(http_message('HEAD', '/metrics?event_name=view'));
$answer = $connection->read_answer(head => 1);
is( "$answer->{status} $answer->{headers}{'content-length'}",
	'200 ' . length metrics(event_name => 'view')->{body},
	'HEAD');
$connection->send(http_message('GET', '/metrics?event_name=view'));
is($connection->read_answer->{json}{total_events}, 5, 'GET behind HEAD');
$connection->send(http_message('GET', '/metrics?event_name=nothing')
	  . http_message('GET', '/health')
	  . http_message('GET', '/stats?site_id=nothing'));
is(join(' ', map { $connection->read_answer->{status} } 1 .. 3),
	'200 200 200', 'pipelined requests');
$answer = $server->post('/metrics', {});
is_error($answer, 405, qr/GET, HEAD/, 'POST /metrics');
is($answer->{headers}{allow}, 'GET, HEAD', 'POST /metrics: Allow');

# ---------------------------------------------------------------------------
# Bad parameters
# ---------------------------------------------------------------------------

my @ok = (event_name => 'view');
foreach my $case (
	[ 'an empty event_name', [ event_name => '' ], qr/event_name/ ],
	[ 'from = to', [ @ok, from => 5, to => 5 ], qr/from.*5/ ],
	[ 'from > to', [ @ok, from => 6, to => 5 ], qr/from.*to/ ],
	[ 'from is no number', [ @ok, from => '12x' ], qr/from.*12x.*Unix seconds/ ],
	[ 'to is empty', [ @ok, to => '' ], qr/to is empty/ ],
	[ 'to is no day', [ @ok, to => '2024-02-30T00:00:00Z' ], qr/to.*2024-02-30/ ],
	[ 'an unknown group_by', [ @ok, group_by => 'colour' ], qr/group_by.*colour.*channel/ ],
	[ 'an unknown timezone', [ @ok, group_by => 'day', timezone => 'Mars/Base' ], qr/timezone.*Mars\/Base/ ],
	[ 'limit 0', [ @ok, group_by => 'channel', limit => 0 ], qr/limit.*0.*from 1/ ],
	[ 'limit -1', [ @ok, group_by => 'channel', limit => -1 ], qr/limit.*-1/ ],
	[ 'limit abc', [ @ok, group_by => 'channel', limit => 'abc' ], qr/limit.*abc/ ],
	[ 'limit 1.5', [ @ok, group_by => 'channel', limit => '1.5' ], qr/limit.*1\.5/ ],
	[ 'limit 99999999999', [ @ok, group_by => 'channel', limit => '99999999999' ], qr/limit.*2147483647/ ],
	[ 'a made-up cursor', [ @ok, group_by => 'channel', cursor => 'xyz' ], qr/cursor.*xyz.*next_cursor/ ],
	[ 'a cursor of nothing', [ @ok, group_by => 'channel', cursor => '00' ], qr/cursor/ ],
	[ 'a cursor of bad text', [ @ok, group_by => 'channel', cursor => '3120ff' ], qr/cursor/ ],
	[ 'a cursor without group_by', [ @ok, cursor => '3120' ], qr/cursor.*group_by/ ],
	[ 'fill is no boolean', [ @ok, group_by => 'hour', fill => 'maybe' ], qr/fill.*maybe.*true/ ],
	[ 'an unknown format', [ @ok, format => 'xml' ], qr/format.*xml.*csv/ ],
	[ 'a key in the wrong place', [ @ok, key => 'fi_secret' ], qr/"key".*API key goes into the header(?!.*fi_secret)/ ],
	[ 'align is no boolean', [ @ok, align => '2' ], qr/align "2" is not allowed: expected true or false/ ],
	[ 'an unknown week_start', [ @ok, week_start => 'Monday' ], qr/week_start "Monday" is not allowed: expected monday or sunday/ ],
	[ 'an unknown parameter', [ @ok, form => 1 ], qr/^unknown parameter "form": expected event_name, from, to, .*, format, or as a filter channel, site, page, campaign_id, path, tag, metadata\.<member> or a breakdown/ ],
	[ 'a parameter of another route', [ @ok, step => '1h' ], qr/^unknown parameter "step"/ ],
	[ 'a parameter without a name', [ @ok, '' => 1 ], qr/parameter/ ],
	[ 'a NUL', [ event_name => "a\0b" ], qr/target holds %00/ ],
	[ 'bytes that are not UTF-8', [ event_name => "a\xff" ], qr/event_name.*UTF-8/ ],
	[ 'a name that is not UTF-8', [ @ok, '%ff' => 1 ], qr/UTF-8/ ],
	[ 'a parameter twice', [ @ok, @ok ], qr/event_name.*more than once/ ],
	[ 'too many parameters', [ map { ("p$_" => 1) } 1 .. 40 ], qr/at most 32/ ])
{
	my ($name, $parameters, $pattern) = @$case;

	is_error(metrics(@$parameters), 400, $pattern, $name);
}
is_error($server->get('/metrics?event_name'), 400, qr/event_name/, 'a name without a value');
is_error($server->get('/metrics?event_name=' . 'x' x 20000), 431, qr/16384/, 'a URL that is too long');
is(metrics(event_name => 'x' x 10000)->{json}{total_events}, 0, 'a long name is just unknown');

# ---------------------------------------------------------------------------
# The same by SQL
# ---------------------------------------------------------------------------

my $seconds_to = $begin + 86400;
my $tomorrow = $server->sql("SELECT '$DAY'::date + 1");
my $by_http = metrics(event_name => 'view', from => $begin, to => $seconds_to, group_by => 'channel')->{json};
foreach my $range ("to_timestamp($begin), to_timestamp($seconds_to)", "'$DAY 13:20Z', '$tomorrow 13:20Z'",
	"until => '${tomorrow}T13:20:00Z', since => '${DAY}T15:20:00+02:00'")
{
	is( $server->sql("SELECT total_events, unique_users FROM fi_metrics('view', $range)"),
		"$by_http->{total_events}|$by_http->{unique_users}",
		"fi_metrics('view', $range)");
	is( $server->sql("SELECT * FROM fi_metrics('view', $range, group_by => 'channel')"),
		join("\n", map { "$_->{group}|$_->{total_events}|$_->{unique_users}" } @{ $by_http->{data} }),
		"fi_metrics('view', $range) by channel");
}
foreach my $case (
	[ "fi_metrics(filter => '{\"colour\": \"red\"}')", qr/filter "colour" is not valid/ ],
	[ "fi_metrics('view', 'infinity')", qr/since must be before until/ ],
	[ "fi_metrics('view', '$tomorrow', '$DAY')", qr/since must be before until/ ],
	[ "fi_metrics('view', time_zone => 'Mars/Base')", qr/time_zone "Mars\/Base" is not valid/ ],
	[ "fi_metrics('view', '0001-01-01', '$DAY', 'hour')", qr/group_by=hour has too many groups from "since" to "until"/ ])
{
	my ($call, $pattern) = @$case;
	my ($result, $stdout, $stderr) =
	  $server->node->psql('postgres', "\\set VERBOSITY verbose\nSELECT $call");

	like($stderr, qr/22023: $pattern/, "$call is refused");
}
is_error(metrics(@ok, group_by => 'hour', from => '0001-01-01T00:00:00Z', to => $begin),
	400, qr/^group_by=hour has too many groups from "from" to "to": at most/, 'too many groups by HTTP');
is_error(metrics(@ok, from => 6, to => 5),
	400, qr/^from must be before to: /, 'times in the wrong order by HTTP');

$server->node->stop;
done_testing();
