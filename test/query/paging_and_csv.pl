# Answers that are long: pages contain every group once and in order, CSV is what RFC 4180
# says and safe for spreadsheets, and megabytes are complete and in nobody's way.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use FastIngest;
use FastIngest::Query;
use Test::More;

my $HOUR = 3600;
my $server = FastIngest->new('paging_and_csv');
my $begin = post_views($server);
my $n = 0;
my $answer;

sub metrics { return $server->query('/metrics', @_) }

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

my @by_hour = (
	event_name => 'view',
	group_by => 'hour',
	from => $begin,
	to => $begin + 3 * $HOUR);
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
is( join('', map { "$_->{group}|$_->{total_events}|$_->{unique_users}\n" } @{ JSON::PP::decode_json($large)->{data} }),
	$server->sql('SELECT * FROM fi_metrics(\'view\', to_timestamp('
		  . ($NOON - 365 * 86400) . '), to_timestamp('
		  . ($NOON + 365 * 86400)
		  . "), 'hour')") . "\n",
	'it is complete');

my @readers = map { send_query($server, query_path('/metrics', @large)) } 1 .. 6;
is_body(metrics(event_name => 'view'),
	'{"event_name":"view","total_events":5,"unique_users":3}',
	'a small answer while large ones are not read');
is($server->post_event(event(++$n))->{status}, 202, 'an event while large ones are not read');
is(scalar(grep { $_->read_answer->{body} eq $large } @readers),
	6, 'they are complete when they are read');

@readers = map { send_query($server, query_path('/metrics', @large)) } 1 .. 6;
$_->close foreach @readers;
ok(wait_for_query_worker($server), 'large answers whose readers left');

$server->set('fast_ingest.max_request_memory' => '1MB');
is_error($server->wait_for_answer(503, sub { metrics(@large) }),
	503, qr/fast_ingest\.max_request_memory/, 'a larger answer than there is memory for');
is(metrics(event_name => 'view')->{status}, 200, 'a smaller one');
$server->set('fast_ingest.max_request_memory' => '256MB');
is($server->wait_for_answer(200, sub { metrics(@large) })->{body}, $large, 'and with memory again');

$server->node->stop;
done_testing();
