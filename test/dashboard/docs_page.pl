# GET /docs in a browser: it shows every route, sends what a reader fills in and shows the answer,
# and is quiet, whatever the width and the colours.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use FastIngest;
use FastIngest::Browser;
use JSON::PP ();
use PostgreSQL::Test::Utils;
use Test::More;

my $server = FastIngest->new('docs_page');
my $browser = FastIngest::Browser->new($server);
my $api = JSON::PP->new->utf8->decode(slurp_file("$FindBin::RealBin/../../web/openapi.json"));

my $page = $browser->open('/docs');
$page->wait_for('text=Store one event');
my $n = map { keys %$_ } values %{ $api->{paths} };
is($page->count('details'), $n, 'it has every operation');
is($page->js('Object.keys(window).filter(name => ["api", "element", "send"].includes(name)).length'), 0, 'its script leaves nothing to the window');

# Send what it shows

$page->click('#postEvent summary');
$page->click('#postEvent button');
$page->wait_for('#postEvent [role=status]:has-text("202")');
is($server->sql(q(SELECT event_name, channel, metadata->>'currency' FROM fast_ingest.events)), 'product_view|web|TRY', 'POST /events stores the example');
$page->click('#getMetrics summary');
$page->fill('#getMetrics input[aria-label="event_name"]', '<b>none</b>');
like($page->text('#getMetrics [aria-label="The same for a shell"]'), qr{/metrics\?event_name=%3Cb%3Enone%3C%2Fb%3E'\z}, 'what is filled in is in the line for a shell');
$page->click('#getMetrics button');
$page->wait_for('#getMetrics [role=status]:has-text("200")');
like($page->text('#getMetrics [aria-label="Answer"]'), qr{"event_name": "<b>none</b>"}, 'GET /metrics shows what was asked as text');
is($page->count('#getMetrics pre b'), 0, 'and not as markup');
$page->is_quiet('sending');

# One operation by its address

my $one = $browser->open('/docs#getLive');
$one->wait_for('#getLive button');
ok($one->js('document.getElementById("getLive").open'), 'an address leads to an operation');
$one->is_quiet('an address');

# Everybody can read it

foreach my $scheme ('light', 'dark')
{
	foreach my $width (320, 768, 1280, 2560)
	{
		my $look = $browser->open('/docs', colorScheme => $scheme, viewport => { width => $width, height => 900 });

		$look->wait_for('text=Store one event');
		$look->js('() => { for (const id of ["postEvent", "getSeries"]) document.getElementById(id).open = true; }');
		$look->fits("$scheme, $width");
		$look->has_no_barriers("$scheme, $width");
		$look->screenshot("docs_${scheme}_$width");
		$look->is_quiet("$scheme, $width");
		$look->close;
	}
}
$browser->close;

done_testing();
