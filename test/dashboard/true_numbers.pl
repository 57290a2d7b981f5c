# What the dashboard shows is what SQL counts in the raw rows: headline, changes, chart, cards and
# whole lists, for any range, interval, time zone, comparison and filter; and the statement behind
# "SQL" answers the same.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use FastIngest;
use FastIngest::Browser;
use FastIngest::Dashboard;
use Test::More;

my $server = FastIngest->new('true_numbers');
my $zone = 'Asia/Kathmandu';

post_shop($server, '2024-08-20');
$server->sql('SELECT fi_refresh()');

my $browser = FastIngest::Browser->new($server);

# A page at a fixed time of the browser's clock, at which the last day of the events is not over
sub open_at
{
	my ($path) = @_;
	my $page = $browser->open(undef);

	$page->call(['clock'], [ 'setFixedTime', '2024-08-20T12:34:56Z' ]);
	$page->go($path);
	return $page;
}

# The moment at which a day begins in a zone
sub midnight
{
	my ($day, $tz) = @_;

	return "(timestamp '$day' AT TIME ZONE '" . ($tz // 'UTC') . "')";
}

sub days
{
	my ($first, $last, $tz) = @_;

	return (from => midnight($first, $tz), to => midnight("$last 24:00", $tz), $tz ? (tz => $tz) : ());
}

# What the chart is in SQL: a value for each bucket from "from" to "to"
sub raw_chart
{
	my ($unit, $value, %question) = @_;
	my $tz = $question{tz} // 'UTC';
	my $bucket = sub { return "date_trunc('$unit', $_[0], '$tz')" };

	# buckets are counted in local time, of which days may have 23 hours
	return join ' ', split /\n/, $server->sql("SELECT coalesce(v, 0) FROM generate_series("
		  . $bucket->($question{from}) . " AT TIME ZONE '$tz', ($question{to} - interval '1 second') AT TIME ZONE '$tz', '1 $unit') local"
		  . " LEFT JOIN (SELECT " . $bucket->('ts') . " AT TIME ZONE '$tz' AS local, $value AS v FROM fast_ingest.events WHERE " . condition(%question) . ' GROUP BY 1) counted USING (local)'
		  . ' ORDER BY local');
}

sub chart_values { return join ' ', map { $_->[ $_[1] // 0 ] } @{ chart($_[0]) } }

# Ranges

my %range = (
	'period=day' => [ '2024-08-20', '2024-08-20' ],
	'period=yesterday' => [ '2024-08-19', '2024-08-19' ],
	'period=7d' => [ '2024-08-14', '2024-08-20' ],
	'period=28d' => [ '2024-07-24', '2024-08-20' ],
	'' => [ '2024-07-22', '2024-08-20' ],
	'period=91d' => [ '2024-05-22', '2024-08-20' ],
	'period=month' => [ '2024-08-01', '2024-08-20' ],
	'period=lastmonth' => [ '2024-07-01', '2024-07-31' ],
	'period=year' => [ '2024-01-01', '2024-08-20' ],
	'period=6mo' => [ '2024-03-01', '2024-08-20' ],
	'period=12mo' => [ '2023-09-01', '2024-08-20' ],
	'period=all' => [ '2000-01-01', '2024-08-20' ],
	'from=2024-07-03&to=2024-07-05' => [ '2024-07-03', '2024-07-05' ],
	'from=2024-07-03' => [ '2024-07-03', '2024-07-03' ]);

my $page = open_at('/?tz=UTC');
foreach my $query (sort keys %range)
{
	$page->go("/?tz=UTC&$query");
	is_true($server, $page, "'$query'", days(@{ $range{$query} }));
}
$page->go("/?tz=$zone&period=7d");
is_true($server, $page, "7 days of $zone", days('2024-08-14', '2024-08-20', $zone));
$page->go("/?tz=$zone&from=2024-07-03&to=2024-07-05");
is_true($server, $page, "days of $zone", days('2024-07-03', '2024-07-05', $zone));
$page->go('/?tz=UTC&from=2024-07-03T10:30&to=2024-07-03T12:45');
is_true($server, $page, 'from a minute to another', from => q(timestamptz '2024-07-03 10:30Z'), to => q(timestamptz '2024-07-03 12:45Z'));
$page->go('/?period=7d');
is_true($server, $page, 'the zone of the browser', days('2024-08-14', '2024-08-20', 'America/New_York'));
$page->is_quiet('ranges');

# Filters

my %week = days('2024-08-14', '2024-08-20');
foreach my $case (
	[ 'event=purchase', event => 'purchase' ],
	[ 'site=shop.example', site => 'shop.example' ],
	[ 'site=blog.example,docs.example', site => [ 'blog.example', 'docs.example' ] ],
	[ 'channel=web,email', channel => [ 'web', 'email' ] ],
	[ 'page=/p/3', page => '/p/3' ],
	[ 'path=/p/3', path => '/p/3' ],
	[ 'plan=pro,team', plan => [ 'pro', 'team' ] ],
	[ 'metadata.plan=pro', 'metadata.plan' => 'pro' ],
	[ 'campaign_id=c1', campaign_id => 'c1' ],
	[ 'tag=sale', tag => 'sale' ],
	[ 'event=page_view&site=shop.example&plan=pro&channel=web', event => 'page_view', site => 'shop.example', plan => 'pro', channel => 'web' ],
	[ 'site=nobody.example', site => 'nobody.example' ])
{
	my ($query, %filters) = @$case;

	$page->go("/?tz=UTC&period=7d&$query");
	is_true($server, $page, $query, %week, %filters);
	is(chart_values($page), raw_chart('day', 'count(DISTINCT user_id)', %week, %filters), "$query: its chart")
	  unless $filters{site} && $filters{site} eq 'nobody.example';
}
is_deeply([ map { chips($page) } $page->go('/?tz=UTC&period=7d&event=purchase&plan=pro,team') ], [ 'event is purchase', 'plan is pro or team' ],
	'the filters are named');

# The chart

foreach my $case (
	[ 'interval=hour', 'hour', 'UTC', days('2024-08-14', '2024-08-20') ],
	[ 'interval=day', 'day', 'UTC', days('2024-08-14', '2024-08-20') ],
	[ 'interval=hour', 'hour', $zone, days('2024-08-14', '2024-08-20', $zone) ],
	[ 'interval=day', 'day', $zone, days('2024-08-14', '2024-08-20', $zone) ],
	[ 'interval=week&from=2024-07-01&to=2024-08-18', 'week', 'UTC', days('2024-07-01', '2024-08-18') ],
	[ 'interval=month&from=2024-07-01&to=2024-08-31', 'month', 'UTC', days('2024-07-01', '2024-08-31') ],
	[ 'interval=hour&from=2024-07-03&to=2024-07-03', 'hour', 'Europe/Berlin', days('2024-07-03', '2024-07-03', 'Europe/Berlin') ])
{
	my ($query, $unit, $tz, %question) = @$case;

	foreach my $metric ([ 'users', 'count(DISTINCT user_id)' ], [ 'events', 'count(*)' ])
	{
		$page->go("/?tz=$tz&period=7d&metric=$metric->[0]&$query");
		is(chart_values($page), raw_chart($unit, $metric->[1], %question), "$query in $tz: $metric->[0]");
	}
}

# What it is compared with

foreach my $case (
	[ 'period=yesterday', 'previous', 'hour', days('2024-08-19', '2024-08-19'), '2024-08-18', '2024-08-18' ],
	[ 'period=lastmonth', 'previous', 'day', days('2024-07-01', '2024-07-31'), '2024-06-01', '2024-06-30' ],
	[ 'from=2024-08-01&to=2024-08-07', 'previous', 'day', days('2024-08-01', '2024-08-07'), '2024-07-25', '2024-07-31' ],
	[ 'from=2024-08-01&to=2024-08-07', '2024-07-01..2024-07-07', 'day', days('2024-08-01', '2024-08-07'), '2024-07-01', '2024-07-07' ])
{
	my ($query, $compare, $unit) = splice @$case, 0, 3;
	my %question = splice @$case, 0, 4;
	my %before = days(@$case);

	$page->go("/?tz=UTC&interval=$unit&$query&compare=$compare&metric=events");
	is_true($server, $page, "$query, $compare", %question);
	my ($now, $then) = map { (split /\|/, raw_totals($server, %$_))[1] } \%question, \%before;
	my $percent = sprintf '%.0f', abs($now - $then) / $then * 100;
	like(changes($page)->{Events}, qr/\Q$percent%/, "$query, $compare: $percent % more or less");
	my @before = grep { $_ ne '' } map { $_->[1] } @{ chart($page) };
	my @expected = split / /, raw_chart($unit, 'count(*)', %before);
	splice @expected, @before;
	is("@before", "@expected", "$query, $compare: what was before");
}
$page->go('/?tz=UTC&period=7d&compare=off');
is(join('', values %{ changes($page) }), '', 'no comparison');
is(scalar(@{ chart($page)->[0] }), 1, 'in the chart neither');
$page->is_quiet('filters, intervals and comparisons');

# Until now: the period before ends as far in
$page->go('/?tz=UTC&period=day&metric=events');
my ($today, $before) = map { (split /\|/, raw_totals($server, from => $_->[0], to => $_->[1]))[1] }
  [ midnight('2024-08-20'), midnight('2024-08-21') ], [ midnight('2024-08-19'), q(timestamptz '2024-08-19 12:34Z') ];
my $percent = sprintf '%.0f', ($today - $before) / $before * 100;
like(changes($page)->{Events}, qr/\Q$percent%/, "today is compared with yesterday until now: $percent %");

# Cards

$page->go('/?tz=UTC&period=7d');
foreach my $case ([ 'Events', 'event' ], [ 'Channels', 'channel' ], [ 'Websites', 'site' ], [ 'Pages', 'page' ], [ 'Plans', 'plan' ])
{
	my ($title, $by) = @$case;

	is(join("\n", map { join '|', @$_ } @{ card($page, $title) // [] }), raw_groups($server, $by, 9, %week), "card $title");
}
$page->click('role=link[name="pro"]');
like($page->address, qr/[?&]plan=pro\b/, 'a row is a filter');
is_true($server, $page, 'and counts', %week, plan => 'pro');
is(join("\n", map { join '|', @$_ } @{ card($page, 'Pages') }), raw_groups($server, 'page', 9, %week, plan => 'pro'), 'the other cards, too');

# The whole list, and what the page hands out

$page->go('/?tz=UTC&period=7d&event=page_view');
settled($page);
$page->click('role=button[name="Whole list: Pages"]');
$page->wait_for('dialog tbody tr >> nth=13');
is(
	join("\n", @{ $page->js('() => [...document.querySelectorAll("dialog tbody tr")].map(row => [...row.querySelectorAll("th, td")].slice(0, 3).map(cell => cell.innerText.trim()).join("|"))') }),
	raw_groups($server, 'page', 100, %week, event => 'page_view'), 'the whole list');
$page->fill('dialog input[type=search]', '/p/1');
is($page->count('dialog tbody tr'), 5, 'is searched');
$page->fill('dialog input[type=search]', '');
$page->click('dialog th button:has-text("Users")');
my @users = @{ $page->js('() => [...document.querySelectorAll("dialog tbody tr td:nth-child(2)")].map(cell => Number(cell.innerText))') };
is("@users", join(' ', sort { $b <=> $a } @users), 'and sorted');
$page->press('Escape');
$page->wait_for('dialog', 'hidden');

sub sql_of
{
	my ($button) = @_;

	$page->click("role=button[name=\"$button\"]");
	my $statement = $page->text('dialog pre');
	$page->press('Escape');
	$page->wait_for('dialog', 'hidden');
	return $statement;
}

is($server->sql("SET TimeZone = 'Asia/Tokyo'; " . (sql_of('SQL: Pages') =~ s/SELECT \*/SELECT group_key, unique_users, total_events/r)),
	raw_groups($server, 'page', 100, %week, event => 'page_view'), 'the SQL of a card answers the same');
is(join(' ', map { (split /\|/)[2] } split /\n/, $server->sql(sql_of('SQL of the chart'))), chart_values($page), 'and that of the chart');
my $csv = $page->attribute('role=link[name="CSV: Pages"]', 'href');
is(join("\n", map { join '|', (split /,/)[ 0, 2, 1 ] } (split /\r?\n/, $server->get("/$csv")->{body})[ 1 .. 14 ]),
	raw_groups($server, 'page', 100, %week, event => 'page_view'), 'and so does the CSV');
$page->is_quiet('cards and lists');

# What happens now

my $now = $browser->open('/?tz=UTC&period=day');
is(totals($now)->{Events}, '0', 'nothing today');
post_all($server, map { { event_name => 'page_view', channel => 'web', user_id => "now-$_", timestamp => time - 1, site_id => 'shop.example', path => '/now' } } 1 .. 3);
$now->reload;
settled($now);
is($now->text('.live-badge strong'), '3', 'three users are there now');
$now->is_quiet('now');

# A card that only raw rows can answer is loaded alone, and again with the others
my $alone = $browser->open(undef);
$alone->call(['clock'], ['install']);
$alone->go('/?tz=UTC&period=day&site=shop.example');
$alone->wait_for('section.group-card:has(h3:has-text("Channels")) tbody td >> nth=0');
is(join('|', @{ card($alone, 'Channels')->[0] }), 'web|3|3', 'a card that is loaded alone');
post_all($server, { event_name => 'page_view', channel => 'web', user_id => 'now-4', timestamp => time - 1, site_id => 'shop.example', path => '/now' });
$alone->js('document.querySelector("[aria-label^=\"CSV: Channels\"]").focus()');
$alone->call(['clock'], [ 'fastForward', 31_000 ]);
$alone->wait_for_js('[...document.querySelectorAll("section.group-card")].find(card => card.querySelector("h3")?.firstChild?.textContent === "Channels")?.querySelector("td")?.title === "4"');
is($alone->js('document.activeElement.getAttribute("aria-label")'), 'CSV: Channels', 'is loaded again with the others, and keeps the focus');
$alone->is_quiet('a card that is loaded alone');
$browser->close;

done_testing();
