# What the dashboard shows, read from a page of FastIngest::Browser, and the same from raw rows.
#
# %question: event, site, ... as the page's filters; from and to as moments in SQL; tz. It becomes a
# condition on fast_ingest.events.

package FastIngest::Dashboard;

use strict;
use warnings;

use Exporter 'import';
use FastIngest::Wait;
use Test::More;

our @EXPORT = qw(settled totals changes chart card chips post_all quoted condition raw_totals raw_groups is_true post_shop);

# Wait until the page shows the answer to its present question.
sub settled
{
	my ($page, $view) = @_;

	$view //= 'overview';
	$page->wait_for_js(qq{(() => { const view = document.getElementById("view-$view"); return view && !view.hidden && view.dataset.state === "fresh" && !view.hasAttribute("aria-busy"); })()});
	return $page;
}

# The headline, as numbers: label => number
sub totals
{
	my ($page) = @_;

	settled($page);
	return $page->js(<<'EOJ');
() => Object.fromEntries([...document.querySelectorAll("[aria-label=Totals] .tile")].map(tile =>
  [tile.querySelector(".tile-label").textContent, tile.querySelector(".tile-value").title.replaceAll(",", "")]))
EOJ
}

# How the headline has changed: label => text
sub changes
{
	my ($page) = @_;

	settled($page);
	return $page->js(<<'EOJ');
() => Object.fromEntries([...document.querySelectorAll("[aria-label=Totals] .tile")].map(tile =>
  [tile.querySelector(".tile-label").textContent, tile.querySelector(".tile-change").textContent]))
EOJ
}

# The table behind the chart: a list of [ value, value before ]
sub chart
{
	my ($page) = @_;

	settled($page);
	return $page->js(<<'EOJ');
() => [...document.querySelectorAll("[aria-label=Chart] table tbody tr")].map(row =>
  [...row.querySelectorAll("td")].map(cell => cell.textContent.replaceAll(",", "")))
EOJ
}

# The rows of a card by its title: [ group, users, events ]
sub card
{
	my ($page, $title) = @_;

	settled($page);
	return $page->js(<<'EOJ', $title);
title => {
  const card = [...document.querySelectorAll("section.group-card")].find(one => one.querySelector("h3")?.firstChild?.textContent === title);
  return card ? [...card.querySelectorAll("tbody tr")].map(row =>
    [row.querySelector("th").innerText.trim(), ...[...row.querySelectorAll("td")].map(cell => cell.title.replaceAll(",", ""))]) : null;
}
EOJ
}

# The chips of filters, as they read
sub chips
{
	my ($page) = @_;

	return map { s/\s+/ /gr } $page->texts('[aria-label=Filters] .chip');
}

# Post events in requests of 1,000, all of which must be stored.
sub post_all
{
	my ($server, @events) = @_;

	while (my @part = splice @events, 0, 1000)
	{
		my $answer = $server->post_bulk(\@part);

		die "$answer->{status} $answer->{body}" unless ($answer->{json}{accepted} // 0) == @part;
	}
	return;
}

sub quoted { return q(') . $_[0] =~ s/'/''/gr . q(') }

my %column = (event => 'event_name', site => 'site_id', channel => 'channel', page => 'path', path => 'path', campaign_id => 'campaign_id');

# How a filter or a group is computed from a row
sub expression_of
{
	my ($name) = @_;

	return $column{$name} // q(metadata->>) . quoted($name =~ s/^metadata\.//r);
}

# The condition on raw rows that a question is. A value may be a list.
sub condition
{
	my (%question) = @_;
	my @conditions = ('true');

	push @conditions, "ts >= $question{from}" if $question{from};
	push @conditions, "ts < $question{to}" if $question{to};
	foreach my $name (sort grep { !/^(?:from|to|tz|step)\z/ } keys %question)
	{
		my @values = ref $question{$name} ? @{ $question{$name} } : $question{$name};
		my $list = join ', ', map { quoted($_) } @values;

		push @conditions, $name eq 'tag' ? "tags && ARRAY[$list]" : expression_of($name) . " IN ($list)";
	}
	return join ' AND ', @conditions;
}

# users|events
sub raw_totals
{
	my ($server, %question) = @_;

	return $server->sql('SELECT count(DISTINCT user_id), count(*) FROM fast_ingest.events WHERE ' . condition(%question));
}

# group|users|events, largest first
sub raw_groups
{
	my ($server, $by, $limit, %question) = @_;
	my $key = expression_of($by);

	return $server->sql("SELECT key COLLATE \"C\", count(DISTINCT user_id), count(*) FROM (SELECT $key AS key, user_id FROM fast_ingest.events WHERE "
		  . condition(%question) . ") chosen WHERE key IS NOT NULL GROUP BY 1 ORDER BY 3 DESC, 1 LIMIT $limit");
}

# Check the headline against the raw rows.
sub is_true
{
	my ($server, $page, $name, %question) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my ($users, $events) = split /\|/, raw_totals($server, %question);
	my $shown = totals($page);

	return is("$shown->{Users} users, $shown->{Events} events", "$users users, $events events", $name);
}

# A shop of which the raw rows are few enough to count: three websites, 62 days up to $last_day,
# users who come again. The last days have more, so that numbers change.
sub post_shop
{
	my ($server, $last_day) = @_;
	my $serial = 0;
	my $next = sub { $serial = ($serial * 1103515245 + 12345) % 2147483648; return int($serial / 65536) % $_[0] };
	my @names = (('page_view') x 5, 'product_view', 'product_view', 'add_to_cart', 'purchase');
	my ($end) = $server->sql("SELECT extract(epoch FROM date '$last_day' + 1)::bigint");
	my @events;

	foreach my $day (0 .. 61)
	{
		foreach (1 .. 20 + $day)
		{
			my $site = (qw(shop.example shop.example blog.example docs.example))[ $next->(4) ];

			push @events,
			  {
				event_name => $names[ $next->(scalar @names) ],
				channel => (qw(web web web mobile email))[ $next->(5) ],
				user_id => 'u' . $next->(40 + 3 * $day),
				timestamp => $end - 86400 * (62 - $day) + $next->(24) * 3600 + $next->(3600),
				site_id => $site,
				path => '/p/' . $next->(14),
				$next->(3) ? () : (campaign_id => 'c' . $next->(4)),
				$next->(4) ? () : (tags => [ 'new', 'sale' ]),
				metadata => { plan => (qw(free free pro team))[ $next->(4) ], n => "$serial" }
			  };
		}
	}
	$server->sql(q(SELECT fi_add_breakdown('plan', metadata => 'plan')));
	post_all($server, @events);
	return;
}

1;
