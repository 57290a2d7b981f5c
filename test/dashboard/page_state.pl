# What the dashboard shows is in its address, which anybody can read, keep and share: clicks and keys
# change it, the back button takes them back, and an address that makes no sense does no harm.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use FastIngest;
use FastIngest::Browser;
use FastIngest::Dashboard;
use Test::More;

my $server = FastIngest->new('page_state');

post_shop($server, '2024-08-20');

my $browser = FastIngest::Browser->new($server);
my $page = $browser->open(undef);
$page->call(['clock'], [ 'setFixedTime', '2024-08-20T12:34:56Z' ]);

# What the first view costs: the page, what the key may do, and one question

$page->go('/?tz=UTC');
settled($page);
my @requests = $page->requests;
is(scalar(grep { m{^GET /(?:overview|metrics|series|event_names|live)\b} } @requests), 1, 'a view is one question') or diag("@requests");
is($requests[0], 'GET /?tz=UTC', 'the page comes first');
is(join(' ', map { m{^GET /(\w*)} } @requests), ' key overview', 'and no file beside it');

# Keys

my %key = (
	d => 'period=day', e => 'period=yesterday', h => 'period=24h', w => 'period=7d', f => 'period=28d', n => 'period=91d',
	m => 'period=month', p => 'period=lastmonth', y => 'period=year', s => 'period=6mo', l => 'period=12mo', a => 'period=all', r => 'view=live');

foreach my $key (sort keys %key)
{
	$page->press($key);
	like($page->address, qr/[?&]\Q$key{$key}\E(?:&|\z)/, "key $key: $key{$key}");
}
$page->press('t');
settled($page);
is($page->address, '/?tz=UTC', 'key t: 30 days, which need not be said');
$page->press('x');
like($page->address, qr/compare=off/, 'key x: no comparison');
$page->press('x');
is($page->address, '/?tz=UTC', 'and again');
$page->press('w');
$page->press('ArrowLeft');
is($page->address, '/?period=custom&from=2024-08-07&to=2024-08-13&tz=UTC', 'the week before');
is_true($server, $page, 'its numbers', from => q(timestamptz '2024-08-07Z'), to => q(timestamptz '2024-08-14Z'));
$page->press('ArrowRight');
is_true($server, $page, 'and the week after that', from => q(timestamptz '2024-08-14Z'), to => q(timestamptz '2024-08-21Z'));
$page->press('ArrowRight');
is_true($server, $page, 'of the future there is none', from => q(timestamptz '2024-08-14Z'), to => q(timestamptz '2024-08-21Z'));
$page->go('/?tz=UTC&period=7d');
settled($page);
$page->press('i');
like($page->address, qr/interval=\w+/, 'key i: another interval');
$page->press('c');
$page->wait_for('role=dialog');
$page->press('d');
unlike($page->address, qr/period=day/, 'in a dialog keys are letters');
$page->press('Escape');
$page->wait_for('role=dialog', 'hidden');
$page->press('?');
$page->wait_for('role=dialog[name="Keys"]');
like($page->text('role=dialog'), qr/Last 7 days/, 'key ?: the keys');
$page->press('Escape');
$page->press('/');
$page->wait_for('role=listbox[name="Websites"]');
$page->press('Escape');
$page->call(['keyboard'], [ 'press', 'Control+d' ]);
unlike($page->address, qr/period=day/, 'keys of the browser are left to it');
$page->press('1');
like($page->address, qr/site=shop\.example/, 'key 1: the largest website') if settled($page);
$page->press('0');
unlike($page->address, qr/site=/, 'key 0: all of them');
$page->is_quiet('keys');

# Filters

$page->go('/?tz=UTC&period=7d');
settled($page);
$page->click('role=link[name="purchase"]');
$page->click('role=link[name="pro"]');
is($page->address, '/?event=purchase&period=7d&tz=UTC&plan=pro', 'two rows are two filters');
is(join('; ', chips($page)), 'event is purchase; plan is pro', 'which are named');
my %week = (from => q(timestamptz '2024-08-14Z'), to => q(timestamptz '2024-08-21Z'));
is_true($server, $page, 'and counted', %week, event => 'purchase', plan => 'pro');
$page->click('role=button[name="Remove the filter event"]');
is_true($server, $page, 'one is taken away', %week, plan => 'pro');
$page->press('Escape');
is(scalar(chips($page)), 0, 'Esc takes away all');
is_true($server, $page, 'and counts again', %week);

# Back and forth

$page->back;
is_true($server, $page, 'back: with one filter', %week, plan => 'pro');
$page->back;
is_true($server, $page, 'back: with two', %week, event => 'purchase', plan => 'pro');
is($page->address, '/?event=purchase&period=7d&tz=UTC&plan=pro', 'as the address says');
$page->back;
$page->back;
is_true($server, $page, 'back: with none', %week);
$page->forward;
is_true($server, $page, 'forth', %week, event => 'purchase');

# Others see the same

my $shared = $page->address;
my $other = $browser->open(undef);
$other->call(['clock'], [ 'setFixedTime', '2024-08-20T12:34:56Z' ]);
$other->go($shared);
is_true($server, $other, 'a link shows the same', %week, event => 'purchase');
is_deeply(chart($other), chart($page), 'the same chart, too');
$other->reload;
is_true($server, $other, 'and again', %week, event => 'purchase');
$other->is_quiet('a link');
$other->close;

# The headline and the metric

$page->go('/?tz=UTC&period=7d');
settled($page);
$page->click('role=button[name=/^Events\b/] >> nth=0');
like($page->address, qr/metric=events/, 'a number is put into the chart');
is($page->attribute('[aria-label=Totals] button:has-text("Events") >> nth=0', 'aria-pressed'), 'true', 'and says so');

# A click into the chart goes into a bucket

$page->call([ 'locator', '.plot-area' ], [ 'focus' ]);
$page->press('ArrowRight');
like($page->attribute('.plot-area', 'aria-valuetext'), qr/\d+ events/, 'the arrow keys tell the values');
$page->press('Enter');
is_true($server, $page, 'Enter goes into a day', from => q(timestamptz '2024-08-14Z'), to => q(timestamptz '2024-08-15Z'));
$page->is_quiet('filters and chart');

# Addresses that make no sense

foreach my $query (
	'period=tomorrow', 'tz=Mars/Olympus', 'from=2024-13-45&to=x', 'from=2024-08-20&to=2024-08-01', 'compare=sideways', 'compare=2024..',
	'metric=money', 'interval=1s', 'view=admin', 'site=', 'site=,,,', 'site=a%5C', '=', '&&&', 'from=9999-12-31', 'period=1mo&period=2mo',
	'x' x 2000, 'constructor=1', '__proto__=1', 'toString=x', '%F0%9F%98%80=%F0%9F%98%80', '%ff=%ff')
{
	$page->go("/?$query");
	$page->wait_for_js('document.querySelector("#view-overview").dataset.state === "fresh" || !document.querySelector("#notice").hidden');
	pass('it stands: ' . substr $query, 0, 40);
	is(join("\n", grep { !/Failed to load resource: the server responded with a status of 400/ } $page->complaints), '', 'and is quiet');
}
$page->go('/?tz=UTC&view=admin');
settled($page);
is($page->text('nav [aria-current]'), 'Overview', 'a view that is none is the overview');
$page->press('x');
like($page->address, qr/compare=off/, 'with its keys');
$page->go('/?tz=UTC&compare=sideways');
is($page->text('role=button[name=/^Compare/]'), 'vs. previous', 'a comparison that is none is the usual one');
$page->requests;
$page->press('Tab');
$page->press('Enter');
is($page->js('location.hash'), '#main', 'the first link leads past the header');
settled($page);
is(join(' ', $page->requests), '', 'and asks for nothing');
$browser->close;

done_testing();
