# The server goes away under the dashboard: it says so in words, keeps the numbers, and goes on by
# itself when the server is there again. Whatever part of the server fails, the page stands.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use FastIngest;
use FastIngest::Browser;
use FastIngest::Dashboard;
use Test::More;

my $server = FastIngest->new('server_restarts', conf => "fast_ingest.query_timeout = '2s'");
my @failed = map { qr/^console: error: Failed to load resource: $_/ } 'net::ERR_', 'the server responded with a status of 503 ';
my @all = (from => q(timestamptz '2000-01-01Z'));

post_shop($server, '2024-08-20');

my $browser = FastIngest::Browser->new($server);
my $page = $browser->open('/?tz=UTC&period=all');
is_true($server, $page, 'all is well', @all);
$page->is_quiet('all is well');
my $before = totals($page);

# Change the filters and take it back: a new question, which fails
sub ask_again
{
	$page->press('x');
	$page->press('i');
	return;
}

# It stops

$server->node->stop('fast');
ask_again();
$page->wait_for('#notice:not([hidden]) >> text=The server does not answer');
like($page->text('#notice'), qr/Does PostgreSQL run/, 'a server that is stopped: what to do');
like($page->text('#notice'), qr/The numbers below are older/, 'and that the numbers are older');
is($page->js('document.querySelector("[aria-label=Totals] .tile-value").title.replaceAll(",", "")'), $before->{Users}, 'which are still there');
$page->has_no_barriers('without a server');
$page->fits('without a server');
$page->screenshot('server_stopped');
$page->is_quiet('a server that is stopped', @failed);

# and comes back, with more

$server->start_again;
$page->wait_for('#notice', 'hidden');
is_true($server, $page, 'a server that is there again: it goes on by itself', @all);
post_all($server, map { event($_) } 1 .. 10);
$page->reload;
is_true($server, $page, 'with what came since', @all);
$page->is_quiet('a server that is there again', @failed);

# It crashes

$server->crash(at_once => 1);
ask_again();
$page->wait_for('#notice:not([hidden])');
$server->start_again;
$page->wait_for('#notice', 'hidden');
is_true($server, $page, 'a server that crashed', @all);
$page->is_quiet('a server that crashed', @failed);

# A question that takes too long

my $lock = $server->lock_table('fast_ingest.rollup');
ask_again();
$page->wait_for('#notice:not([hidden]) >> text=The server is busy or not ready');
like($page->text('#notice'), qr/query_timeout/, 'a question that takes too long: which setting matters');
$lock->quit;
$page->click('#notice button:has-text("Try now")');
$page->wait_for('#notice', 'hidden');
is_true($server, $page, 'and is answered when asked again', @all);
$page->is_quiet('a question that takes too long', @failed);

# The extension goes

$server->sql('DROP EXTENSION fast_ingest');
$server->wait_not_ready(qr/extension/i);
ask_again();
$page->wait_for('#notice:not([hidden]) >> text=extension');
$page->is_quiet('no extension', @failed);
my $fresh = $browser->open('/?tz=UTC');
$fresh->wait_for('#notice:not([hidden]) >> text=extension');
$fresh->fits('a page that has no numbers yet');
$fresh->has_no_barriers('a page that has no numbers yet');
$fresh->is_quiet('no extension yet', @failed);
$server->create_extension;
$fresh->wait_for('#notice', 'hidden');
$fresh->wait_for('text=/Waiting for the first event|No events/');
pass('a new extension: it waits for the first event');
$fresh->is_quiet('a new extension', @failed);
$server->post_event(event(1));
$fresh->close;
$page->is_quiet('the older page', @failed);

# Rows that a question needs are gone

post_all($server, map { event($_, metadata => { colour => 'red' }) } 2 .. 10);
$server->sql('SELECT fi_refresh()');
$page->go("/?tz=UTC&from=$DAY&to=$DAY");
is(totals($page)->{Events}, 10, 'ten events');
$server->sql("DROP TABLE $_") foreach split /\n/, $server->sql('SELECT DISTINCT tableoid::regclass FROM fast_ingest.events');
$page->reload;
is(totals($page)->{Events}, 10, 'their rows are dropped: the rollup knows them');
$page->go("/?tz=UTC&from=$DAY&to=$DAY&metadata.colour=red");
settled($page);
$page->wait_for('.card-problem >> nth=0');
like($page->text('[aria-label=Chart] .card-problem'), qr/could not be answered.*Ask for whole days.*have been dropped/s, 'what the rollup does not know: in words');
is($page->text('[aria-label=Totals] .tile-value >> nth=0'), "\x{2013}", 'and no number is made up');
$page->fits('rows that are gone');
$page->has_no_barriers('rows that are gone');
$page->screenshot('rows_gone');
# Cards that need raw rows ask for them, and the browser says that they were refused
$page->is_quiet('rows that are gone', qr/^console: error: Failed to load resource: the server responded with a status of 422 /);
$browser->close;

done_testing();
