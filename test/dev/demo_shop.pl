#!/usr/bin/perl
# demo_shop.pl: make up the events of a shop, for `make demo`.
#
#   demo_shop.pl START SINCE NOW [COUNTS]
#
# prints those of SINCE <= time < NOW as lines of JSON, in the order of time. All three are Unix
# seconds. The shop is first watched on the day START, and everything follows from that day and
# the tables below: the same START gives the same events, whenever it is asked. Only the half hour
# before NOW is busier than it would be if it were asked about later. COUNTS is a file that gets
# "site event_name events users" of the first 30 days.
#
# The shop sells coffee, and has three sites:
#
#   shop.example   visitors look at products, and few buy: page_view, search, product_view,
#                  add_to_cart, checkout, purchase; signup, login; letters: email_open,
#                  email_click; messages: push_open
#   blog.example   page_view, read_to_end, subscribe; some readers go on to the shop
#   app.example    cafes order here, in working hours: signup, login, page_view, search,
#                  export_report, invite_member, upgrade; their tills call the API all day
#
#   growth         a little more than one percent more newcomers a day
#   week           the shop is busiest at weekends, the app on workdays
#   quiet weekend  the first one after a week
#   big-sale       a campaign, four days from day 18 of each 30
#   a post that everybody reads, for two days from day 25 of each 30
#   newsletter     on Tuesdays at 9:00, to subscribers; a push message on Fridays at 17:00

use strict;
use warnings;

use List::Util qw(sum);

die "usage: $0 START SINCE NOW [COUNTS]\n" unless @ARGV == 3 || @ARGV == 4;
my ($start, $since, $now, $counts) = @ARGV;
my $day_length = 86400;
my $days_counted = 30;
$start -= $start % $day_length;

# How many newcomers there are on an ordinary day, and how many of those who came within
# so many days may come again
my $newcomers = 210;
my $memory = 60;
# Visits that begin in each minute of the last half hour, beside those of the tables
my $visits_now = 2;

# ---------------------------------------------------------------------------
# Tables. The first column is the value, the second how often it is the one.
# ---------------------------------------------------------------------------

my @home = ([ 'shop', 56 ], [ 'blog', 32 ], [ 'app', 12 ]);

# chance to come on a day, days until it is a third of that, most visits of a day
my @habit = (
	[ 'once', 66, 0, 1, 1 ],
	[ 'seldom', 22, .09, 25, 1 ],
	[ 'often', 9, .32, 60, 2 ],
	[ 'daily', 3, .85, 200, 4 ]);

# hours before UTC
my @country = (
	[ 'DE', 31, 1 ], [ 'US', 19, -6 ], [ 'GB', 12, 0 ], [ 'FR', 9, 1 ], [ 'AT', 7, 1 ], [ 'NL', 6, 1 ],
	[ 'TR', 6, 3 ], [ 'IN', 4, 5.5 ], [ 'BR', 3, -3 ], [ 'JP', 2, 9 ], [ 'CA', 1, -5 ]);

my @device = ([ 'phone', 55 ], [ 'desktop', 37 ], [ 'tablet', 8 ]);
my %browser = (
	phone => [ [ 'Safari', 44 ], [ 'Chrome', 46 ], [ 'Samsung Internet', 7 ], [ 'Firefox', 3 ] ],
	desktop => [ [ 'Chrome', 58 ], [ 'Firefox', 17 ], [ 'Edge', 14 ], [ 'Safari', 11 ] ],
	tablet => [ [ 'Safari', 71 ], [ 'Chrome', 29 ] ]);

my %source = (
	shop => [ [ 'google', 39 ], [ 'direct', 30 ], [ 'instagram', 13 ], [ 'duckduckgo', 7 ], [ 'bing', 5 ], [ 'partners', 6 ] ],
	blog => [ [ 'google', 52 ], [ 'direct', 17 ], [ 'reddit', 12 ], [ 'mastodon', 8 ], [ 'duckduckgo', 11 ] ],
	app => [ [ 'direct', 74 ], [ 'google', 17 ], [ 'partners', 9 ] ]);

my %plan = (
	shop => [ [ 'guest', 74 ], [ 'member', 26 ] ],
	blog => [ [ 'guest', 93 ], [ 'member', 7 ] ],
	app => [ [ 'free', 58 ], [ 'pro', 31 ], [ 'team', 11 ] ]);

# of a local day
my %hours = (
	shop => [ 14, 8, 4, 3, 3, 5, 12, 24, 34, 40, 44, 47, 53, 50, 44, 42, 45, 52, 64, 80, 92, 88, 62, 32 ],
	blog => [ 9, 5, 3, 2, 3, 6, 18, 44, 58, 52, 46, 47, 70, 66, 48, 42, 40, 44, 46, 48, 52, 46, 32, 18 ],
	app => [ 1, 1, 1, 1, 2, 8, 24, 60, 94, 100, 96, 84, 58, 78, 90, 86, 72, 46, 24, 14, 10, 7, 4, 2 ]);

# Sunday first
my %week = (
	shop => [ 1.30, .98, .92, .94, .98, 1.06, 1.24 ],
	blog => [ .76, 1.10, 1.12, 1.10, 1.02, .92, .70 ],
	app => [ .20, 1.04, 1.08, 1.06, 1.00, .88, .26 ]);

# tags, price
my @product = (
	[ 'house-blend', 22, [ 'coffee', 'bestseller' ], 12.9 ],
	[ 'ethiopia-yirgacheffe', 17, [ 'coffee', 'organic' ], 15.5 ],
	[ 'decaf-swiss-water', 9, ['coffee'], 13.9 ],
	[ 'espresso-roma', 12, ['coffee'], 11.9 ],
	[ 'hand-grinder', 10, [ 'gear', 'bestseller' ], 89 ],
	[ 'pour-over-set', 9, ['gear'], 44.5 ],
	[ 'travel-mug', 8, [ 'gear', 'gift' ], 24.9 ],
	[ 'paper-filters-100', 6, ['gear'], 5.9 ],
	[ 'gift-card-50', 4, ['gift'], 50 ],
	[ 'espresso-machine', 3, ['gear'], 649 ]);
my @listing = ([ '/', 50 ], [ '/coffee', 24 ], [ '/gear', 14 ], [ '/gifts', 6 ], [ '/about', 4 ], [ '/shipping', 2 ]);
my @query = ([ 'decaf', 30 ], [ 'grinder', 25 ], [ 'filters', 20 ], [ 'gift', 15 ], [ 'descaler', 10 ]);
my @post = (
	[ 'how-to-brew-with-a-v60', 30, [ 'howto', 'brewing' ] ],
	[ 'grind-size-explained', 24, ['howto'] ],
	[ 'a-visit-to-yirgacheffe', 12, [ 'origin', 'organic' ] ],
	[ 'water-matters', 11, ['howto'] ],
	[ 'is-decaf-bad', 10, ['opinion'] ],
	[ 'cold-brew-in-winter', 8, [ 'howto', 'brewing' ] ],
	[ 'we-measured-40-grinders', 5, [ 'opinion', 'gear' ] ]);
my @screen = ([ '/dashboard', 40 ], [ '/orders', 30 ], [ '/stock', 14 ], [ '/reports', 10 ], [ '/settings', 6 ]);

# ---------------------------------------------------------------------------
# Chance
# ---------------------------------------------------------------------------

my %sum;    # of a table's second column

# pick(TABLE): a row of it
sub pick
{
	my ($table) = @_;
	my $sum = $sum{$table} ||= sum(map { $_->[1] } @$table);
	my $left = rand $sum;

	foreach my $row (@$table)
	{
		return $row if ($left -= $row->[1]) < 0;
	}
	return $table->[-1];
}

sub chance
{
	my ($p) = @_;

	return rand() < $p;
}

# About so many seconds, at least one
sub pause
{
	my ($mean) = @_;

	return 1 + int(-$mean * log(1 - rand));
}

# ---------------------------------------------------------------------------
# Days, counted from START; those before it have had visitors, too
# ---------------------------------------------------------------------------

sub weekday
{
	my ($day) = @_;

	return ($start / $day_length + $day + 4) % 7;
}

sub is_sale
{
	my ($day) = @_;

	return $day >= 0 && $day % 30 >= 18 && $day % 30 <= 21;
}

sub is_post_of_the_day
{
	my ($day) = @_;

	return $day >= 0 && ($day % 30 == 25 || $day % 30 == 26);
}

# How busy a site is, 1 is ordinary
sub busy
{
	my ($site, $day) = @_;
	my $weekday = weekday($day);
	my $busy = $week{$site}[$weekday];
	# of the Saturday
	my $weekend = $weekday == 0 ? $day - 1 : $day;

	$busy *= .5 if ($weekday == 0 || $weekday == 6) && $weekend >= 7 && $weekend < 14;
	return $busy;
}

# ---------------------------------------------------------------------------
# Visitors
# ---------------------------------------------------------------------------

sub newcomers_of
{
	my ($day) = @_;
	my $growth = 1 + .012 * ($day < 90 ? $day : 90);
	my @users;

	srand 1_000_000 + $start / $day_length + $day;
	foreach my $home (@home)
	{
		my ($site, $share) = @$home;
		my $n = $newcomers * $share / 100 * $growth * busy($site, $day) * (.92 + rand .16);

		$n *= 2.1 if $site eq 'shop' && is_sale($day);
		$n *= 3.4 if $site eq 'blog' && is_post_of_the_day($day);
		push @users, new_user($site, $day, scalar @users) for 1 .. $n;
	}
	return @users;
}

sub new_user
{
	my ($site, $day, $number) = @_;
	my $habit = pick(\@habit);
	my $country = pick(\@country);
	my $device = $site eq 'app' && chance(.7) ? 'desktop' : pick(\@device)->[0];
	my $source = pick($source{$site})->[0];
	my $campaign;

	# A cafe comes to stay
	$habit = $habit[ chance(.3) ? 3 : 2 ] if $site eq 'app' && chance(.3);
	($source, $campaign) = ('instagram', 'big-sale') if $site eq 'shop' && is_sale($day) && chance(.55);
	$source = 'reddit' if $site eq 'blog' && is_post_of_the_day($day) && chance(.75);
	return {
		id => sprintf('u%02d%04d', $day + $memory, $number),
		site => $site,
		since => $day,
		may_come => $habit->[2],
		fades_in => $habit->[3],
		visits => $habit->[4],
		country => $country->[0],
		ahead => $country->[2],
		channel => $device eq 'desktop' ? 'web' : $device eq 'tablet' || chance(.45) ? 'web' : 'mobile',
		device => $device,
		browser => pick($browser{$device})->[0],
		plan => pick($plan{$site})->[0],
		source => $source,
		campaign => $campaign,
		subscribed => chance(.22),
	};
}

# ---------------------------------------------------------------------------
# Events
# ---------------------------------------------------------------------------

# of the day that is being made up: [time, line, site, event_name, user_id]
my (@events, %seen);

# event(USER, SITE, TIME, NAME, path => ..., tags => [...], metadata => '"a":1', ...)
sub event
{
	my ($user, $site, $time, $name, %opt) = @_;

	return if $time < $since || $time >= $now;

	my $campaign = $opt{campaign};
	my $line = sprintf '{"event_name":"%s","channel":"%s","user_id":"%s","timestamp":%d,"site_id":"%s.example"',
	  $name, $opt{channel} || $user->{channel}, $user->{id}, $time, $site;
	$line .= ",\"path\":\"$opt{path}\"" if $opt{path};
	$line .= ",\"campaign_id\":\"$campaign\"" if $campaign;
	$line .= ',"tags":["' . join('","', @{ $opt{tags} }) . '"]' if $opt{tags};
	$line .= ',"metadata":{"demo":true';
	foreach my $member (qw(country device browser plan))
	{
		$line .= ",\"$member\":\"$user->{$member}\"" if $user->{$member};
	}
	my $source = $opt{source};
	$line .= ",\"source\":\"$source\"" if $source;
	$line .= ",\"utm_campaign\":\"$campaign\"" if $campaign;
	$line .= ",$opt{metadata}" if $opt{metadata};
	$line .= '}}';
	# The same twice would be stored once
	push @events, [ $time, $line, $site, $name, $user->{id} ] unless $seen{$line}++;
	return;
}

sub visit_shop
{
	my ($user, $time, $day, %from) = @_;
	my $new = $user->{since} == $day && $user->{site} eq 'shop';
	my $sale = is_sale($day);
	my @view = ($user, 'shop');

	%from = (source => $user->{source}, $new ? (campaign => $user->{campaign}) : ()) unless %from;
	event(@view, $time, 'page_view', path => $from{campaign} && $sale ? '/sale' : pick(\@listing)->[0], %from);
	# Every third leaves after one page
	return if chance($new ? .38 : .2);

	if ($user->{plan} eq 'member' && chance(.4))
	{
		event(@view, $time += pause(15), 'login', path => '/login', %from);
	}
	while (chance(.45))
	{
		event(@view, $time += pause(35), 'page_view', path => $sale && chance(.4) ? '/sale' : pick(\@listing)->[0], %from);
	}
	if (chance(.16))
	{
		event(@view, $time += pause(20), 'search', path => '/search', metadata => '"query":"' . pick(\@query)->[0] . '"', %from);
	}
	return if chance(.22);

	my ($price, $items) = (0, 0);
	do
	{
		my $product = pick(\@product);
		my @what = (
			path => "/p/$product->[0]",
			tags => [ @{ $product->[2] }, $sale ? 'sale' : () ],
			metadata => "\"price\":$product->[3]",
			%from);

		event(@view, $time += pause(40), 'product_view', @what);
		if (chance($new ? .06 : .1))
		{
			event(@view, $time += pause(25), 'add_to_cart', @what);
			$price += $product->[3];
			$items++;
		}
	} while (chance(.5));
	return if !$items || chance($sale ? .34 : .44);

	my @cart = (metadata => sprintf('"price":%.2f,"items":%d', $price, $items), %from);
	event(@view, $time += pause(40), 'checkout', path => '/checkout', @cart);
	return if chance($sale ? .22 : .31);

	if ($user->{plan} eq 'guest' && chance(.35))
	{
		event(@view, $time += pause(60), 'signup', path => '/signup', %from);
		$user->{plan} = 'member';
	}
	event(@view, $time += pause(70), 'purchase', path => '/thanks', @cart);
	return;
}

sub visit_blog
{
	my ($user, $time, $day) = @_;
	my %from = (source => $user->{source});
	my @view = ($user, 'blog');

	do
	{
		my $of_the_day = is_post_of_the_day($day) && $user->{since} == $day && chance(.8);
		my $post = $of_the_day ? $post[-1] : pick(\@post);
		my @what = (path => "/posts/$post->[0]", tags => $post->[2], %from);

		event(@view, $time, 'page_view', @what);
		event(@view, $time += pause(150), 'read_to_end', @what) if chance(.38);
		$time += pause(30);
	} while (chance(.36));
	if (chance(.03) && !$user->{subscribed})
	{
		event(@view, $time += pause(20), 'subscribe', path => '/subscribe', %from);
		$user->{subscribed} = 1;
	}
	visit_shop($user, $time + pause(20), $day, source => 'blog.example') if chance(.1);
	return;
}

sub visit_app
{
	my ($user, $time, $day) = @_;
	my @view = ($user, 'app');

	if ($user->{since} == $day)
	{
		event(@view, $time, 'page_view', path => '/', source => $user->{source});
		return if chance(.55);
		event(@view, $time += pause(60), 'signup', path => '/signup', source => $user->{source});
	}
	event(@view, $time += pause(10), 'login', path => '/login');
	do
	{
		event(@view, $time += pause(60), 'page_view', path => pick(\@screen)->[0]);
		event(@view, $time += pause(15), 'search', path => '/orders', metadata => '"query":"' . pick(\@query)->[0] . '"') if chance(.07);
	} while (chance(.74));
	event(@view, $time += pause(30), 'export_report', path => '/reports', tags => ['csv']) if chance(.09);
	event(@view, $time += pause(40), 'invite_member', path => '/settings') if chance(.02);
	if ($user->{plan} eq 'free' && chance(.008))
	{
		$user->{plan} = 'pro';
		event(@view, $time += pause(90), 'upgrade', path => '/settings/plan', metadata => '"price":29');
	}
	return;
}

my %visit = (shop => \&visit_shop, blog => \&visit_blog, app => \&visit_app);

my %hour_table = map {
	my $site = $_;
	($site => [ map { [ $_, $hours{$site}[$_] ] } 0 .. 23 ])
} keys %hours;

# A time of the user's local day, at an hour that suits the site
sub time_of_day
{
	my ($user, $midnight) = @_;
	my $hour = pick($hour_table{ $user->{site} })->[0];

	return $midnight + (($hour - $user->{ahead}) * 3600 + int rand 3600) % $day_length;
}

# The newsletter and the push message
sub send_letters
{
	my ($day, $midnight, @users) = @_;
	my $weekday = weekday($day);

	foreach my $user (@users)
	{
		if ($weekday == 2 && $user->{subscribed} && chance(.24))
		{
			my %letter = (campaign => sprintf('newsletter-%02d', $day / 7 + 9), source => 'newsletter');
			my $time = $midnight + 9 * 3600 + pause(9000);

			event($user, 'shop', $time, 'email_open', channel => 'email', %letter);
			next if chance(.72);
			event($user, 'shop', $time += pause(30), 'email_click', channel => 'email', path => '/coffee', %letter);
			visit_shop($user, $time + 2, $day, %letter);
		}
		elsif ($weekday == 5 && $user->{channel} eq 'mobile' && $user->{site} eq 'shop' && chance(.09))
		{
			event($user, 'shop', $midnight + 17 * 3600 + pause(2400), 'push_open', channel => 'push', campaign => 'friday-roast', source => 'push');
		}
	}
	return;
}

# Tills ask for prices every quarter of an hour while their cafe is open
sub call_api
{
	my ($midnight) = @_;

	foreach my $till (1 .. 14)
	{
		my $user = { id => sprintf('till_%02d', $till), channel => 'api', plan => $till % 3 ? 'pro' : 'team', country => $till % 4 ? 'DE' : 'AT' };

		foreach my $quarter (22 .. 76)
		{
			event($user, 'app', $midnight + $quarter * 900 + $till, 'api_call', path => chance(.8) ? '/api/prices' : '/api/orders');
		}
	}
	return;
}

# ---------------------------------------------------------------------------
# Day by day
# ---------------------------------------------------------------------------

my $today = int(($now - $start) / $day_length);
my (@regulars, %count, %users);

foreach my $day (-$memory .. $today)
{
	my $midnight = $start + $day * $day_length;
	my @new = newcomers_of($day);

	@regulars = grep { $day - $_->{since} < $memory } @regulars;
	if ($day >= 0)
	{
		srand 2_000_000 + $start / $day_length + $day;
		event({ id => 'shop', channel => 'api' }, 'shop', $start, 'shop_opened') if $day == 0;
		$visit{ $_->{site} }->($_, time_of_day($_, $midnight), $day) foreach @new;
		foreach my $user (@regulars)
		{
			next unless chance($user->{may_come} * exp(-($day - $user->{since}) / $user->{fades_in}) * busy($user->{site}, $day));
			$visit{ $user->{site} }->($user, time_of_day($user, $midnight), $day) for 1 .. 1 + int rand $user->{visits};
		}
		send_letters($day, $midnight, @regulars);
		call_api($midnight);
	}
	push @regulars, grep { $_->{may_come} } @new;

	# Whoever is there now; it changes nothing for the visits of other days
	foreach my $minute (grep { $_ * 60 >= $midnight && $_ * 60 < $midnight + $day_length } int($now / 60) - 29 .. int($now / 60))
	{
		srand 3_000_000 + $minute;
		foreach (1 .. $visits_now)
		{
			my $user = { %{ $regulars[ rand @regulars ] } };

			$visit{ $user->{site} }->($user, $minute * 60 + int rand 60, $day);
		}
	}

	foreach my $event (sort { $a->[0] <=> $b->[0] || $a->[1] cmp $b->[1] } @events)
	{
		my ($time, $line, $site, $name, $user) = @$event;

		print "$line\n" or die "could not write: $!\n";
		next if $time >= $start + $days_counted * $day_length;
		$count{"$site.example $name"}++;
		$users{"$site.example $name"}{$user} = 1;
	}
	@events = %seen = ();
}

if ($counts)
{
	open my $file, '>', $counts or die "$counts: $!\n";
	print $file "$_ $count{$_} " . keys(%{ $users{$_} }) . "\n" foreach sort keys %count;
	close $file or die "$counts: $!\n";
}
