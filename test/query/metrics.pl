# GET /metrics and GET /stats: every answer of the contract, exactly, and the
# query worker as a citizen: its limits, its ends, and nobody else's time.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use FastIngest;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time usleep);

my $HOUR = 3600;
my $server = FastIngest->new('query');
my $n = 0;
my $answer;

# The path of a question; each value is escaped.
sub question
{
	my ($path, @parameters) = @_;
	my @pairs;

	while (my ($name, $value) = splice @parameters, 0, 2)
	{
		utf8::encode($value) if utf8::is_utf8($value);
		$value =~ s/([^A-Za-z0-9._-])/sprintf '%%%02X', ord $1/ge;
		push @pairs, "$name=$value";
	}
	return "$path?" . join('&', @pairs);
}

sub metrics
{
	return $server->get(question('/metrics', @_));
}

sub stats
{
	return $server->get(question('/stats', @_));
}

# The whole body, byte for byte.
sub is_body
{
	my ($answer, $body, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;

	return is(
		"$answer->{status} $answer->{headers}{'content-type'} $answer->{body}",
		"200 application/json $body", $name);
}

sub groups
{
	my ($answer) = @_;

	return [ map { $_->{group} } @{ $answer->{json}{data} || [] } ];
}

sub wait_for_query_worker
{
	my ($which) = @_;

	return wait_until(
		sub {
			($which || $server)->get('/stats?site_id=x')->{status} eq '200';
		});
}

# Send a question on a connection of its own and wait for nothing.
sub ask
{
	my ($path, $which) = @_;
	my $connection = ($which || $server)->connect;

	$connection->send(http_message('GET', $path));
	return $connection;
}

# A session that makes every question wait, until its quit().
sub block_queries
{
	return $server->lock_table(
		$server->sql(
			"SELECT string_agg(oid::regclass::text, ', ') FROM pg_class
			 WHERE relnamespace = 'fast_ingest'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition"
		));
}

# Wait until the query worker waits for a lock.
sub wait_until_blocked
{
	return wait_until(
		sub {
			$server->sql(
				"SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'fast_ingest query' AND wait_event_type = 'Lock'"
			);
		});
}

# ---------------------------------------------------------------------------
# Answers
# ---------------------------------------------------------------------------

# 13:20 to 15:20 UTC of $DAY; user 1 on both channels
my @events = (
	[ 'web', 'u1', 0, '/home' ],
	[ 'web', 'u1', 1, '/home' ],
	[ 'web', 'u2', 59, '/pricing' ],
	[ 'mobile', 'u1', 2 * $HOUR, '/home' ],
	[ 'mobile', undef, 2 * $HOUR + 1, undef ]);
my $begin = $NOON + 80 * 60;

is( $server->post_bulk(
		[
			map {
				{
					event_name => 'view',
					channel => $_->[0],
					user_id => $_->[1] || 'u3',
					timestamp => $begin + $_->[2],
					site_id => 'shop',
					$_->[3] ? (path => $_->[3]) : ()
				}
			} @events
		])->{status},
	202,
	'events are stored');
ok(wait_for_query_worker(), 'the query worker answers');

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

# Freshness: what has been acknowledged is counted

my @late = grep {
	my $answer = $server->post_event(
		event($_, event_name => 'fresh', user_id => "fresh-$_"));

	$answer->{status} ne 202
	  || metrics(event_name => 'fresh')->{json}{total_events} != $_
} 1 .. 30;
is("@late", '', 'every event is counted as soon as it is acknowledged');

# The same before and after a refresh

my @questions = map { question('/metrics', event_name => 'view', @$_) } (
	[], [ group_by => 'channel' ], [ group_by => 'hour' ], [ group_by => 'page' ],
	[ from => $begin + 1, group_by => 'day', timezone => 'Asia/Kathmandu' ]);
my @before = map { $server->get($_)->{body} } @questions, "/stats?site_id=shop&date=$DAY";

$server->sql('SELECT fi_refresh()');
is_deeply([ map { $server->get($_)->{body} } @questions, "/stats?site_id=shop&date=$DAY" ],
	\@before, 'a refresh changes no answer');

# A breakdown of one's own, with more keys than are kept

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

# Text that needs escaping, on all ways

my $strange = "a \"b\"\\/+&=%\x{e9}\x{1F600}\x{7}";
utf8::encode(my $bytes = $strange);
is($server->post_event(event(1, event_name => $strange))->{status}, 202, 'a strange name is stored');
is_deeply(
	metrics(event_name => $bytes)->{json},
	{ event_name => $strange, total_events => 1, unique_users => 1 },
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
foreach my $path ('/metrics', '/stats')
{
	$answer = $server->post($path, {});
	is_error($answer, 405, qr/GET, HEAD/, "POST $path");
	is($answer->{headers}{allow}, 'GET, HEAD', "POST $path: Allow");
}

# ---------------------------------------------------------------------------
# Pages
# ---------------------------------------------------------------------------

# Channels of two days, of which no bucket has very many; totals repeat.
my @many = map {
	event(
		$_,
		event_name => 'paged',
		channel => sprintf('c%04d', $_ % 1200),
		timestamp => $NOON + ($_ % 1200 < 600 ? 0 : 86400))
} 0 .. 1299;
foreach my $part ([ 0 .. 649 ], [ 650 .. 1299 ])
{
	is($server->post_bulk([ @many[@$part] ])->{status}, 202, 'events of many channels');
}

my @wanted =
  ((map { sprintf 'c%04d', $_ } 0 .. 99), (map { sprintf 'c%04d', $_ } 100 .. 1199));

# All pages, one after the other.
sub all_pages
{
	my @parameters = @_;
	my @rows;
	my @sizes;
	my $cursor;

	for (1 .. 2000)
	{
		my $answer = metrics(@parameters, defined $cursor ? (cursor => $cursor) : ());
		my $data = $answer->{json}{data} or return "$answer->{status} $answer->{body}";

		push @sizes, scalar @$data;
		push @rows, @$data;
		$cursor = $answer->{json}{next_cursor};
		last unless defined $cursor;
	}
	return (\@rows, \@sizes);
}

my ($rows, $sizes) = all_pages(event_name => 'paged', group_by => 'channel');
is_deeply($sizes, [ 1000, 200 ], 'a page of keys has 1000 groups by default');
is_deeply([ map { $_->{group} } @$rows ],
	\@wanted, 'the pages are all groups, by total, then by key');
is_deeply(
	(all_pages(event_name => 'paged', group_by => 'channel', limit => 1200))[1],
	[1200],
	'a page that is exactly full is the last');
($rows, $sizes) = all_pages(event_name => 'paged', group_by => 'channel', limit => 77);
is_deeply([ map { $_->{group} } @$rows ], \@wanted, 'pages of 77');
is(scalar(@$sizes), 16, 'pages of 77: there are 16');
is(metrics(event_name => 'paged', group_by => 'channel', limit => 3)->{json}{total_events},
	1300, 'a page tells the total of all');

my $full = metrics(@by_hour);
($rows, $sizes) = all_pages(@by_hour, limit => 1);
is_deeply($rows, $full->{json}{data}, 'hours, one at a time');
is_deeply($sizes, [ 1, 1, 1, 1 ], 'hours, one at a time: each once');
($rows) = all_pages(@by_hour, fill => 'false', limit => 1);
is_deeply([ map { $_->{group} } @$rows ],
	[ "${DAY}T13:00:00Z", "${DAY}T15:00:00Z" ], 'hours with events, one at a time');
my @berlin = (
	event_name => 'view',
	group_by => 'hour',
	timezone => 'Europe/Berlin',
	from => '2024-10-27T00:00:00+02:00',
	to => '2024-10-28T00:00:00+01:00');
($rows) = all_pages(@berlin, limit => 2);
is_deeply(
	[ map { $_->{group} } @$rows ],
	groups(metrics(@berlin)),
	'two at a time over the end of summer time');

# ---------------------------------------------------------------------------
# CSV
# ---------------------------------------------------------------------------

my @quoted = ('plain', 'with,comma', 'with "quotes"', "two\nlines");
$server->post_bulk(
	[
		map {
			event(++$n, event_name => 'csv', user_id => 'u', channel => $quoted[$_])
		} 0, 1, 1, 2, 2, 2, 3, 3, 3, 3
	]);
$answer = metrics(event_name => 'csv', group_by => 'channel', format => 'csv');
is($answer->{status}, 200, 'csv');
is($answer->{headers}{'content-type'}, 'text/csv; charset=utf-8', 'csv: Content-Type');
is( $answer->{body},
	join("\r\n",
		'group,total_events,unique_users,is_other',
		"\"two\nlines\",4,1,false",
		'"with ""quotes""",3,1,false',
		'"with,comma",2,1,false',
		'plain,1,1,false'),
	'csv: quoted by RFC 4180');

# What a spreadsheet could take for a formula, and what not
my %protected = (
	(map { $_ => "'$_" } '=1+1', '+1', '-1', '@SUM(A1)', "\x{ff1d}1+1", "\x{ff0b}1", "\x{ff0d}1", "\x{ff20}x"),
	(map { $_ => "'$_" } ' =1', '  +1', " \x{ff1d}1", "\x{b}-1"),
	"\t=1" => "\"'\t=1\"", "\r=1" => "\"'\r=1\"", "\n=1" => "\"'\n=1\"",
	'=HYPERLINK("http://x","y")' => '"\'=HYPERLINK(""http://x"",""y"")"', 'a;=1+1' => '"a;=1+1"', "a\t=1+1" => "\"a\t=1+1\"",
	(map { $_ => $_ } "'=1", '1-1', 'a=b', '', ' ', ' 1', "\x{e9}"));
my @protected = sort keys %protected;

$server->post_bulk([ map { event(++$n, event_name => 'formula', path => $_) } @protected ]);
$answer = metrics(event_name => 'formula', group_by => 'page', format => 'csv');
utf8::encode($_) foreach values %protected;
is_deeply(
	[ sort split /,1,1,false(?:\r\n|\z)/, $answer->{body} =~ s/^.*?\r\n//r ],
	[ sort values %protected ],
	'csv: no group is a formula');
is_deeply([ sort @{ groups(metrics(event_name => 'formula', group_by => 'page')) } ],
	\@protected, 'JSON has them as they are');
is(metrics(event_name => 'view', format => 'csv')->{body},
	"group,total_events,unique_users\r\n,5,3", 'csv of one row');
is(metrics(event_name => 'csv', group_by => 'channel', format => 'csv')->{headers}{'next-cursor'},
	undef, 'csv of all groups has no cursor');
$answer = metrics(event_name => 'csv', group_by => 'channel', format => 'csv', limit => 3);
is( metrics(
		event_name => 'csv',
		group_by => 'channel',
		format => 'csv',
		cursor => $answer->{headers}{'next-cursor'})->{body},
	"group,total_events,unique_users,is_other\r\nplain,1,1,false",
	'csv: a header tells the cursor of the next page');
is( metrics(event_name => 'csv', group_by => 'channel', limit => 3)->{json}{next_cursor},
	$answer->{headers}{'next-cursor'},
	'it is the same as that of JSON');
is(scalar(split /\r\n/, metrics(event_name => 'paged', group_by => 'channel', format => 'csv')->{body}),
	1201, 'csv has all groups');
is_error(metrics(event_name => 'view', format => 'csv', limit => 'x'),
	400, qr/limit/, 'csv: an error is JSON');

# ---------------------------------------------------------------------------
# What is refused
# ---------------------------------------------------------------------------

my @ok = (event_name => 'view');
foreach my $case (
	[ 'no event_name', [ group_by => 'hour' ], qr/event_name/ ],
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
	[ 'an unknown parameter', [ @ok, form => 1 ], qr/form.*event_name, from, to/ ],
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
is_error($server->get('/metrics'), 400, qr/event_name/, 'no parameters');
is_error($server->get('/metrics?event_name'), 400, qr/event_name/, 'a name without a value');
is_error($server->get('/metrics?event_name=' . 'x' x 20000), 431, qr/16384/, 'a URL that is too long');
is(metrics(event_name => 'x' x 10000)->{json}{total_events}, 0, 'a long name is just unknown');

# ---------------------------------------------------------------------------
# GET /stats
# ---------------------------------------------------------------------------

is_body(
	stats(site_id => 'shop', date => $DAY),
	"{\"site_id\":\"shop\",\"date\":\"$DAY\",\"total_views\":5,\"unique_users\":3,"
	  . '"top_paths":[{"path":"/home","views":3},{"path":"/pricing","views":1}]}',
	'/stats');
is_body(
	stats(site_id => 'shop', date => $DAY, limit => 1),
	"{\"site_id\":\"shop\",\"date\":\"$DAY\",\"total_views\":5,\"unique_users\":3,"
	  . '"top_paths":[{"path":"/home","views":3}]}',
	'/stats: limit');
is_body(
	stats(site_id => 'shop', date => '2024-08-11'),
	'{"site_id":"shop","date":"2024-08-11","total_views":0,"unique_users":0,"top_paths":[]}',
	'/stats: a day without events');
$answer = stats(site_id => 'nowhere');
is( $answer->{json}{date},
	$server->sql("SELECT (now() AT TIME ZONE 'UTC')::date"),
	'/stats: today');
is($server->post('/event', { site_id => 'live', event_type => 'page_view', path => '/now', user_id => 'u' })->{status},
	204, '/event');
is_deeply(
	stats(site_id => 'live')->{json}{top_paths},
	[ { path => '/now', views => 1 } ],
	'/stats: an event of now is counted');
$server->post_bulk(
	[ map { event($_, site_id => 'big', path => '/' . int(sqrt $_)) } 0 .. 399 ]);
is_deeply(
	[ map { $_->{path} } @{ stats(site_id => 'big', date => $DAY)->{json}{top_paths} } ],
	[ map { "/$_" } reverse 10 .. 19 ],
	'/stats: ten paths, most viewed first');
$answer = $server->request('HEAD', "/stats?site_id=shop&date=$DAY");
is( "$answer->{status} $answer->{headers}{'content-length'}",
	'200 ' . length stats(site_id => 'shop', date => $DAY)->{body},
	'/stats: HEAD');
foreach my $case (
	[ 'no site_id', [ date => $DAY ], qr/site_id/ ],
	[ 'an empty site_id', [ site_id => '' ], qr/site_id/ ],
	[ 'a day that does not exist', [ site_id => 'a', date => '2025-02-29' ], qr/date.*2025-02-29/ ],
	[ 'month 13', [ site_id => 'a', date => '2025-13-01' ], qr/date.*2025-13-01/ ],
	[ 'a date of another form', [ site_id => 'a', date => '14.11.2025' ], qr/date.*YYYY-MM-DD/ ],
	[ 'a short date', [ site_id => 'a', date => '2025-1-1' ], qr/date.*YYYY-MM-DD/ ],
	[ 'limit 0', [ site_id => 'a', limit => 0 ], qr/limit/ ],
	[ 'an unknown parameter', [ site_id => 'a', event_name => 'b' ], qr/event_name.*site_id, date/ ])
{
	my ($name, $parameters, $pattern) = @$case;

	is_error(stats(@$parameters), 400, $pattern, "/stats: $name");
}

# ---------------------------------------------------------------------------
# The same by SQL
# ---------------------------------------------------------------------------

my $seconds_to = $begin + 86400;
foreach my $range ("$begin, $seconds_to", "${begin}000, ${seconds_to}000",
	"'$begin', '$seconds_to'", "to_timestamp($begin), to_timestamp($seconds_to)")
{
	is( $server->sql("SELECT fi_metrics_json('view', $range, 'channel', \"limit\" => 1)"),
		metrics(
			event_name => 'view',
			from => $begin,
			to => $seconds_to,
			group_by => 'channel',
			limit => 1)->{body},
		"fi_metrics_json('view', $range)");
}
is( $server->sql("SELECT fi_metrics_json('view')"),
	metrics(event_name => 'view')->{body},
	'fi_metrics_json of one argument');
is( $server->sql("SELECT fi_stats_json('shop', '$DAY', 1)"),
	stats(site_id => 'shop', date => $DAY, limit => 1)->{body},
	'fi_stats_json');
foreach my $call ("fi_metrics_json(NULL)", "fi_metrics_json('view', 'infinity'::timestamptz)",
	"fi_metrics_json('view', \"limit\" => 0)", "fi_metrics_json('view', 'x')",
	"fi_stats_json(NULL)", "fi_stats_json('a', 'infinity')", "fi_stats_json('a', max_paths => 0)")
{
	my ($result, $stdout, $stderr) =
	  $server->node->psql('postgres', "\\set VERBOSITY sqlstate\nSELECT $call");

	like($stderr, qr/22023/, "$call is refused");
}

# ---------------------------------------------------------------------------
# Large answers
# ---------------------------------------------------------------------------

# two years of hours: more than a megabyte
my @large = (
	event_name => 'view',
	group_by => 'hour',
	from => $NOON - 365 * 86400,
	to => $NOON + 365 * 86400);
my $large = metrics(@large)->{body};
cmp_ok(length $large, '>', 1_000_000, 'a large answer');
is( $server->sql('SELECT md5(fi_metrics_json(\'view\', '
		  . ($NOON - 365 * 86400) . ', '
		  . ($NOON + 365 * 86400)
		  . ", 'hour')::text)"),
	do { require Digest::MD5; Digest::MD5::md5_hex($large) },
	'it is complete');

my @readers = map { ask(question('/metrics', @large)) } 1 .. 6;
is_body(metrics(event_name => 'view'),
	'{"event_name":"view","total_events":5,"unique_users":3}',
	'a small answer while large ones are not read');
is($server->post_event(event(++$n))->{status}, 202, 'an event while large ones are not read');
is(scalar(grep { $_->read_answer->{body} eq $large } @readers),
	6, 'they are complete when they are read');

@readers = map { ask(question('/metrics', @large)) } 1 .. 6;
$_->close foreach @readers;
ok(wait_for_query_worker(), 'large answers whose readers left');

$server->set('fast_ingest.max_request_memory' => '1MB');
is_error($server->wait_for_answer(503, sub { metrics(@large) }),
	503, qr/fast_ingest\.max_request_memory/, 'a larger answer than there is memory for');
is(metrics(event_name => 'view')->{status}, 200, 'a smaller one');
$server->set('fast_ingest.max_request_memory' => '256MB');
is($server->wait_for_answer(200, sub { metrics(@large) })->{body}, $large, 'and with memory again');

# ---------------------------------------------------------------------------
# Time
# ---------------------------------------------------------------------------

my $pid = $server->worker_pid('query');
my $view = '/metrics?event_name=view';
my $lock;

# The lock is in the way of the queries, and the time is over.

$server->set('fast_ingest.query_timeout' => '400ms');
$lock = block_queries();
$answer = $server->wait_for_answer(503, sub { $server->get($view) });
is_error($answer, 503, qr/fast_ingest\.query_timeout/, 'a query that takes too long');
ok($answer->{headers}{'retry-after'}, 'a query that takes too long: Retry-After');

my $start = time;
my @waiting = map { ask($view) } 1 .. 8;
my @answers = map { $_->read_answer } @waiting;
cmp_ok(time - $start, '<', 10, 'their time counts while they wait for the worker');
is(scalar(grep { $_->{status} eq 503 && $_->{body} =~ /query_timeout/ } @answers),
	8, 'all that wait hear of it');
like($server->sql("SELECT last_error FROM fi_status() WHERE worker = 'query 1'"),
	qr/query_timeout/, 'fi_status() shows it');
$lock->quit;
is($server->wait_for_answer(200, sub { $server->get($view) })->{status}, 200, 'answered when the lock is gone');
is($server->worker_pid('query'), $pid, 'by the same worker');
$server->set('fast_ingest.query_timeout' => '60s');

# The setting reaches the listener some time after this

$lock = undef;
ok( wait_until(
		sub {
			my $session = block_queries();
			my $asked = ask($view);
			my $early = $asked->read_answer(seconds => 1);

			$session->quit;
			return $early->{status} eq 'timeout'
			  && $asked->read_answer->{status} eq 200;
		}),
	'a longer time');

# ---------------------------------------------------------------------------
# A slow query is in nobody's way
# ---------------------------------------------------------------------------

$server->pause($pid);
@waiting = map { ask($view) } 1 .. 40;
my $load = $server->start_load(name => 'beside');
$start = time;
ok($load->wait_for_acknowledgements(200), 'events are taken while a query hangs');
cmp_ok(time - $start, '<', 30, 'long before its time is over');
is($server->get('/health')->{status}, 200, '/health');
is($server->get('/ready')->{status}, 200, '/ready');

# Some clients do not wait for their answers.
$_->close foreach splice @waiting, 0, 20;
$server->resume($pid);
is(scalar(grep { $_->read_answer->{status} eq 200 } @waiting), 20, 'the others are answered');
$load->stop;
$server->stored_once($load, 'beside a slow query');
$server->books_balance('beside a slow query');

# A query that runs is seen, and leaves no snapshot behind.

$lock = block_queries();
@waiting = (ask($view));
ok(wait_until_blocked(), 'a query waits for a lock');
is( $server->sql(
		"SELECT state, query FROM pg_stat_activity WHERE backend_type = 'fast_ingest query'"),
	'active|GET /metrics',
	'pg_stat_activity shows it');

# Cancelled

is($server->sql("SELECT pg_cancel_backend($pid)"), 't', 'pg_cancel_backend');
is_error($waiting[0]->read_answer, 503, qr/cancel/, 'a cancelled query');
$lock->quit;
is($server->sql("SELECT pg_cancel_backend($pid)"), 't', 'pg_cancel_backend of an idle worker');
is($server->get($view)->{status}, 200, 'it goes on');
is($server->worker_pid('query'), $pid, 'it is the same worker');
ok( wait_until(
		sub {
			$server->sql(
				"SELECT count(*) FROM pg_stat_activity WHERE pid = $pid AND state = 'idle' AND xact_start IS NULL AND backend_xmin IS NULL"
			);
		}),
	'an idle worker holds no snapshot');

# ---------------------------------------------------------------------------
# Ends
# ---------------------------------------------------------------------------

# The worker is ended in a query, with others waiting.

$lock = block_queries();
@waiting = (ask($view));
ok(wait_until_blocked(), 'a query waits for a lock');
push @waiting, map { ask($view) } 1 .. 3;
$start = time;
$server->sql("SELECT pg_terminate_backend($pid)");
is_error($waiting[0]->read_answer, 503, qr/worker/, 'a worker that ended');
cmp_ok(time - $start, '<', 10, 'is not waited for');
$lock->quit;
like(join(' ', map { $_->read_answer->{status} } @waiting[ 1 .. 3 ]),
	qr/^(200|503) (200|503) (200|503)$/, 'those who waited are answered');
isnt($server->wait_for_other_pid('query', $pid), $pid, 'another worker is started');
ok(wait_for_query_worker(), 'and answers');

# The listener is ended with queries running and waiting.

my $listener = $server->worker_pid('listener');
$lock = block_queries();
@waiting = (ask($view));
ok(wait_until_blocked(), 'a query waits for a lock');
push @waiting, map { ask($view) } 1 .. 3;
usleep(100_000);
$server->sql("SELECT pg_terminate_backend($listener)");
is(join(' ', map { $_->read_answer->{status} } @waiting),
	'503 503 503 503', 'all are told when the listener ends');
$server->wait_for_other_pid('listener', $listener);
@waiting = ();
wait_until(
	sub {
		my $connection = $server->try_connect or return 0;

		$connection->send(http_message('GET', $view));
		push @waiting, $connection;
		return 1;
	});
$lock->quit;
is($waiting[0]->read_answer->{status}, 200, 'the next listener gets the slot');

# The worker is killed: the server starts its processes again.

$listener = $server->worker_pid('listener');
$lock = block_queries();
@waiting = (ask($view));
ok(wait_until_blocked(), 'a query waits for a lock');
kill 'KILL', $server->worker_pid('query');
is($waiting[0]->read_answer->{status}, 'closed', 'a crash closes the connection');
eval { $lock->quit };
ok( wait_until(
		sub {
			my ($result, $stdout) = $server->node->psql('postgres',
				"SELECT pid FROM pg_stat_activity WHERE backend_type = 'fast_ingest listener'");

			return $result == 0 && $stdout =~ /^\d+$/ && $stdout != $listener;
		}),
	'the listener is back after a crash');
$server->wait_ready;
ok(wait_for_query_worker(), 'and so is the query worker');

# A smart client that asks and leaves at once, many times

foreach (1 .. 100)
{
	my $connection = ask($view);
	$connection->close;
}
ok(wait_for_query_worker(), 'clients that left did no harm');

# The extension goes and comes while queries run.

sub ask_in_background
{
	my ($seconds) = @_;
	my $file = PostgreSQL::Test::Utils::tempdir() . '/answers';
	my $child = fork;

	die "could not fork: $!" unless defined $child;
	if ($child == 0)
	{
		my $until = time + $seconds;
		my %seen;

		while (time < $until && !-e "$file.stop")
		{
			my $answer = eval { $server->get($view) } || { status => 'died' };

			$seen{ $answer->{status} eq 503 ? "503 $answer->{body}" : $answer->{status} }++;
		}
		open my $out, '>', $file or POSIX::_exit(1);
		print $out map { "$_\n" } sort keys %seen;
		close $out;
		POSIX::_exit(0);
	}
	return sub {
		open my $stop, '>', "$file.stop" or die;
		close $stop;
		waitpid $child, 0;
		return PostgreSQL::Test::Utils::slurp_file($file);
	};
}

my $answers = ask_in_background(60);
foreach my $round (1 .. 5)
{
	$server->sql('DROP EXTENSION fast_ingest');
	is_error($server->wait_for_answer(503, sub { $server->get($view) }),
		503, qr/extension/, "round $round: DROP EXTENSION");
	$server->sql('CREATE EXTENSION fast_ingest');
	is($server->wait_for_answer(200, sub { $server->get($view) })->{status},
		200, "round $round: CREATE EXTENSION");
}
unlike($answers->(), qr/^(?!200|503)/m, 'nothing but 200 and 503 meanwhile');
is_body($server->get($view), '{"event_name":"view","total_events":0,"unique_users":0}', 'an empty extension');

# Shutdown

$lock = block_queries();
@waiting = map { ask($view) } 1 .. 5;
ok(wait_until_blocked(), 'a query waits for a lock');
$start = time;
$server->node->stop('fast');
cmp_ok(time - $start, '<', 20, 'the server stops');
# who holds the lock may end before the query worker is told to: then it answers until it is
like(join(' ', map { $_->read_answer->{status} } @waiting),
	qr/^(200 ?)*(503 ?)*$/, 'and tells all who wait');
eval { $lock->quit };

# ---------------------------------------------------------------------------
# Several workers; databases; no workers
# ---------------------------------------------------------------------------

my $app = FastIngest->new(
	'query_workers',
	database => 'app',
	extension => 0,
	conf => "fast_ingest.query_workers = 3\n");

ok(wait_until(sub { $app->get($view)->{body} =~ /could not connect to database/ }),
	'no database: queries are refused with the reason');
$app->sql('CREATE DATABASE app TEMPLATE template0', 'template1');
ok( wait_until(sub { $app->get($view)->{body} =~ /extension/ }),
	'no extension: queries are refused with the reason');
$app->create_extension;
ok(wait_for_query_worker($app), 'CREATE EXTENSION: queries are answered');
is( $app->sql("SELECT string_agg(worker || ' ' || state, ', ' ORDER BY worker) FROM fi_status() WHERE worker LIKE 'query%'"),
	'query 1 running, query 2 running, query 3 running',
	'fi_status() shows all');

# in the order in which questions are given to them
my @pids = split /\n/,
  $app->sql("SELECT pid FROM fi_status() WHERE worker LIKE 'query%' ORDER BY worker");
is(scalar(@pids), 3, 'three processes');
$app->pause($_) foreach @pids[ 0, 1 ];
@waiting = map { ask($view, $app) } 1 .. 9;
my @held = grep { $_->read_answer(seconds => 2)->{status} ne '200' } @waiting;
is(scalar(@held), 2, 'one worker answers what two others do not hold');
$app->resume($_) foreach @pids[ 0, 1 ];
is(scalar(grep { $_->read_answer->{status} eq '200' } @held), 2, 'they answer in the end');

# A question that takes a minute and waits for no lock: each of its rows sleeps,
# where it is read by a query worker.
sub slow_question
{
	$app->post_bulk([ map { event($_, event_name => 'slow') } 1 .. 60 ]);
	$app->sql(<<'EOQ');
CREATE FUNCTION sleepy(path text) RETURNS text IMMUTABLE LANGUAGE plpgsql
AS $$BEGIN
  IF current_setting('transaction_read_only')::boolean THEN
    PERFORM pg_catalog.pg_sleep(1);
  END IF;
  RETURN path;
END$$;
SELECT fi_add_breakdown('sleepy', 'public.sleepy(path)', '{day}');
EOQ
	my $asked = ask('/metrics?event_name=slow&group_by=sleepy', $app);
	ok( wait_until(
			sub {
				$app->sql(
					"SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'fast_ingest query' AND wait_event = 'PgSleep'",
					'template1');
			}),
		'a slow query runs');
	return $asked;
}

foreach my $how ('', ' WITH (FORCE)')
{
	my $slow = slow_question();
	my @asked = map { ask($view, $app) } 1 .. 10;
	my $begin = time;

	$app->sql("DROP DATABASE app$how", 'template1');
	cmp_ok(time - $begin, '<', 5, "DROP DATABASE$how");
	is($slow->read_answer->{status}, 503, "DROP DATABASE$how: a running query gives way");
	is(scalar(grep { $_->read_answer->{status} =~ /^(200|503)$/ } @asked),
		10, "DROP DATABASE$how: all are answered");
	is_error($app->wait_for_answer(503, sub { $app->get($view) }),
		503, qr/database|restart/, "DROP DATABASE$how: queries are refused");
	$app->sql('CREATE DATABASE app TEMPLATE template0', 'template1');
	$app->create_extension;
	ok(wait_for_query_worker($app), "CREATE DATABASE after DROP DATABASE$how");
}
$app->node->stop;

my $few = FastIngest->new('few_processes',
	conf => "max_worker_processes = 2\nmax_logical_replication_workers = 0\n");
is_error($few->get($view), 503, qr/max_worker_processes/, 'no process for queries: the answer says why');
is($few->post_event(event(1))->{status}, 202, 'no process for queries: events are taken');
$few->node->stop;

done_testing();
