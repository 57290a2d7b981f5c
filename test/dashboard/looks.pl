# Everybody can read the dashboard: no page of it scrolls sideways from 320 to 2,560 pixels, axe-core
# finds no barrier in it, light or dark, and what opens on it fits, too. It loads nothing but itself
# and says nothing in the console. The screenshots are for people to look at.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use FastIngest;
use FastIngest::Browser;
use FastIngest::Dashboard;
use Test::More;

my $server = FastIngest->new('looks');

# Two months that end today, and somebody who is there now
my $today = $server->sql(q(SELECT (now() AT TIME ZONE 'UTC')::date));
post_shop($server, $server->sql("SELECT date '$today' - 1"));
post_all($server,
	map { { event_name => 'page_view', channel => 'web', user_id => "now-$_", timestamp => time - $_ * 20, site_id => 'shop.example', path => '/p/' . $_ % 5, metadata => { plan => 'pro' } } } 1 .. 60);
$server->sql('SELECT fi_refresh()');
$server->sql(q(ALTER TABLE fast_ingest.events ADD CONSTRAINT no_robots CHECK (user_id <> 'robot')));
is($server->post_event(event(1, user_id => 'robot'))->{status}, 422, 'a dead letter');

my $browser = FastIngest::Browser->new($server);
my %view = (overview => '', live => 'view=live', operator => 'view=operator', empty => 'site=nobody.example', filtered => 'event=purchase&plan=pro&channel=web,mobile&period=91d&metric=events');

foreach my $scheme ('light', 'dark')
{
	my $page = $browser->open(undef, colorScheme => $scheme);

	foreach my $name (sort keys %view)
	{
		$page->go("/?tz=UTC&$view{$name}");
		settled($page, $name =~ /^(?:live|operator)\z/ ? $name : 'overview');
		foreach my $width (320, 375, 768, 1024, 1440, 2560)
		{
			$page->resize($width, $width < 500 ? 700 : 900);
			$page->fits("$name, $scheme, $width");
			$page->screenshot("${name}_${scheme}_$width") if $width == 375 || $width == 1440 || ($width == 2560 && $scheme eq 'light');
			$page->has_no_barriers("$name, $scheme, $width") if $width == 320 || $width == 1440;
		}
	}
	$page->is_quiet("all views, $scheme");

	# What opens
	$page->go('/?tz=UTC');
	settled($page);
	foreach my $width (320, 1440)
	{
		$page->resize($width, 700);
		foreach my $case (
			[ 'range', 'role=button[name=/^Range of time/]', '.popup' ],
			[ 'comparison', 'role=button[name=/^Compare/]', '.popup' ],
			[ 'settings', 'role=button[name="Settings"]', '.popup' ],
			[ 'websites', 'role=button[name=/^Website: /]', '.popup [role=option]' ],
			[ 'events', 'role=button[name=/^Event: /]', '.popup [role=option]' ],
			[ 'list', 'role=button[name="Whole list: Pages"]', 'dialog tbody tr' ],
			[ 'sql', 'role=button[name="SQL: Pages"]', 'dialog pre' ])
		{
			my ($name, $button, $opened) = @$case;

			$page->click($button);
			$page->wait_for("$opened >> nth=0");
			$page->fits("$name, $scheme, $width");
			$page->has_no_barriers("$name, $scheme, $width");
			is($page->js(<<'EOJ', $opened), '', "$name, $scheme, $width: it is within the window");
selector => {
  const box = document.querySelector(selector).closest(".popup, dialog").getBoundingClientRect();
  return box.left >= -1 && box.right <= innerWidth + 1 && box.top >= -1 ? "" : JSON.stringify(box);
}
EOJ
			$page->screenshot("${name}_${scheme}_$width", fullPage => JSON::PP::false);
			$page->press('Escape');
			$page->wait_for($opened =~ s/ .*//r, 'hidden');
		}
		$page->press('?');
		$page->wait_for('role=dialog[name="Keys"]');
		$page->has_no_barriers("keys, $scheme, $width");
		$page->screenshot("keys_${scheme}_$width", fullPage => JSON::PP::false);
		$page->press('Escape');
	}
	$page->is_quiet("what opens, $scheme");
	$page->close;
}

# A theme of one's own is kept in the address or the browser, whatever the system says

my $page = $browser->open('/?tz=UTC', colorScheme => 'light');
my $background = sub { settled($page); return $page->js('getComputedStyle(document.documentElement).backgroundColor + getComputedStyle(document.body).backgroundColor') };
my $light = $background->();
$page->click('role=button[name="Settings"]');
$page->click('role=menuitemradio[name=/^Dark/]');
isnt($background->(), $light, 'a dark theme can be chosen');
$page->reload;
isnt($background->(), $light, 'and is kept');

# Who wants no motion, and who has more contrast

my $calm = $browser->open('/?tz=UTC', forcedColors => 'active', reducedMotion => 'reduce');
settled($calm);
$calm->has_no_barriers('forced colours');
is($calm->js('document.getAnimations().filter(one => one.playState === "running").length'), 0, 'nothing moves for who wants no motion');

# By the keyboard alone: everything that can be clicked can be reached, in the order of the page

$page->go('/?tz=UTC');
settled($page);
is($page->js(<<'EOJ'), '', 'every button and link can be reached by Tab, in the order of the page');
() => [...document.querySelectorAll("main button, main a, header button, header a")].filter(one => one.offsetParent !== null && !one.disabled && (one.tabIndex !== 0 || (one.tagName === "A" && !one.href)))
  .map(one => one.outerHTML.slice(0, 100)).join("\n")
EOJ
$page->press('Tab');
is($page->js('document.activeElement.textContent'), 'Skip to the numbers', 'the first leads past the header');
isnt($page->js('getComputedStyle(document.activeElement).outlineStyle'), 'none', 'what has the focus shows it');
is($page->js('document.documentElement.lang'), 'en', 'the language is said');
$page->is_quiet('keyboard');
$browser->close;

done_testing();
