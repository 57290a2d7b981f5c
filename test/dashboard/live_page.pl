# The live view shows what happens now, as the raw rows have it: users, events, minutes, pages and
# names, of a website or any filter. It refreshes by itself, and can be read meanwhile: rows keep their
# elements, and their places while somebody is at them. It asks nothing while nobody sees it.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use FastIngest;
use FastIngest::Browser;
use FastIngest::Dashboard;
use Test::More;

my $server = FastIngest->new('live_page');
my $user = 0;

# So many events of now, each of another user
sub view_page
{
	my ($path, $n, %with) = @_;

	post_all($server, map { { event_name => 'page_view', channel => 'web', site_id => 'shop.example', path => $path, user_id => 'u' . ++$user, timestamp => time, %with } } 1 .. $n);
	return;
}

view_page('/one', 5);
view_page('/two', 3);
view_page('/three', 1, event_name => 'purchase', channel => 'mobile');
view_page('/elsewhere', 4, site_id => 'blog.example');
# Before the last five minutes, and before the last thirty
post_all($server, map { event($_, timestamp => time - 60 * $_, user_id => "old-$_", path => undef) } 10, 20, 45);

my $browser = FastIngest::Browser->new($server);
my $page = $browser->open(undef, reducedMotion => 'no-preference');
$page->call(['clock'], ['install']);
$page->go('/?tz=UTC');

# The four numbers
sub numbers { settled($page, 'live'); return join ' ', $page->texts('.live-numbers .live-value') }

# "path users events", in their order
sub rows
{
	my ($title) = @_;

	settled($page, 'live');
	return join ', ', @{ $page->js(<<'EOJ', $title) };
title => [...document.querySelectorAll("#view-live .group-card")].filter(card => card.querySelector("h3").textContent === title)
  .flatMap(card => [...card.querySelectorAll("tbody tr")].map(row => [...row.cells].map(cell => cell.innerText.trim()).join(" ")))
EOJ
}

sub wait_for_row
{
	my ($text, $users) = @_;

	return $page->wait_for_js("[...document.querySelectorAll('#view-live tbody tr')].some(row => row.cells[0].innerText.trim() === '$text' && row.cells[1].innerText === '$users')");
}

# ---------------------------------------------------------------------------
# Numbers
# ---------------------------------------------------------------------------

settled($page);
$page->press('r');
settled($page, 'live');
is($page->address, '/?view=live&tz=UTC', 'R leads there');
like(numbers(), qr/\A13 15 15 /, 'users of 5 minutes, users and events of 30');
cmp_ok((split ' ', numbers())[3], '>', 0, 'and events per second');
is(rows('Events'), 'page_view 14 14, purchase 1 1', 'names');
like(rows('Pages'), qr{\A/one 5 5, /elsewhere 4 4, /two 3 3, /three 1 1\z}, 'pages');
is($page->js('document.querySelectorAll(".minute-bars rect").length'), 30, 'a bar for each minute');
$page->click('#view-live details summary');
my @minutes = $page->texts('#view-live details tbody tr');
is(scalar @minutes, 30, 'and a row');
my $sum = 0;
$sum += (split /\t/, $_)[2] foreach @minutes;
is($sum, 15, 'of all events');
$page->click('role=button[name=/Events/]');
like($page->text('.live-chart h3'), qr/Events by minute/, 'a click on a number puts it into the chart');
like($page->address, qr/metric=events/, 'which the address says');

# Filters
$page->go('/?tz=UTC&view=live&site=shop.example');
like(numbers(), qr/\A9 9 9 /, 'a website');
$page->click('#view-live .group-card a:has-text("/two")');
$page->wait_for('#view-live .chip');
like(numbers(), qr/\A3 3 3 /, 'a row is a filter, also of the users of 5 minutes');
is(rows('Pages'), '/two 3 3', 'and of the rows');
is($page->address, '/?site=shop.example&view=live&tz=UTC&page=/two', 'in the address');
$page->back;
settled($page, 'live');
like(numbers(), qr/\A9 9 9 /, 'the way back');
$page->go('/?tz=UTC&view=live&channel=mobile,web&event=purchase');
like(numbers(), qr/\A1 1 1 /, 'an event, and one of two channels');

# ---------------------------------------------------------------------------
# While it is looked at
# ---------------------------------------------------------------------------

$page->go('/?tz=UTC&view=live&site=shop.example');
is(rows('Pages'), '/one 5 5, /two 3 3, /three 1 1', 'rows');
$page->js('() => { window.rows = [...document.querySelectorAll("#view-live .group-card tbody tr")]; window.glides = 0;'
	  . ' const animate = Element.prototype.animate; Element.prototype.animate = function (...how) { window.glides += /translateY/.test(JSON.stringify(how)); return animate.apply(this, how); }; }');
view_page('/two', 6);
wait_for_row('/two', 9);
is(rows('Pages'), '/two 9 9, /one 5 5, /three 1 1', 'they change by themselves');
ok($page->js('window.rows.every(row => row.isConnected)'), 'the elements stay');
is($page->js('window.glides'), 2, 'and glide to their places');
$page->js('document.querySelector("#view-live .group-card tbody tr:last-child a").focus()');
view_page('/three', 20);
wait_for_row('/three', 21);
is(rows('Pages'), '/two 9 9, /one 5 5, /three 21 21', 'they keep their places while one has the focus');
is($page->js('document.activeElement.innerText'), '/three', 'which it keeps');
$page->js('document.activeElement.blur()');
$page->wait_for_js('document.querySelector("#view-live .group-card tbody th").innerText.trim() === "/three"');
pass('then they move');

# Nothing is asked while the tab is hidden, and at once when it is seen
$page->js('() => { Object.defineProperty(document, "hidden", { value: true, configurable: true }); document.dispatchEvent(new Event("visibilitychange")); }');
settled($page, 'live');
$page->requests;
$page->call(['clock'], [ 'fastForward', 60_000 ]);
is(join(' ', $page->requests), '', 'nothing is asked while nobody sees it');
view_page('/four', 1);
$page->js('() => { Object.defineProperty(document, "hidden", { value: false, configurable: true }); document.dispatchEvent(new Event("visibilitychange")); }');
wait_for_row('/four', 1);
pass('it catches up when it is seen');

$page->press('r');
settled($page);
is($page->address, '/?site=shop.example&tz=UTC', 'R leads back');
$page->is_quiet('the live view');
$browser->close;

done_testing();
