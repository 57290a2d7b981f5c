# The dashboard of a standby shows the same numbers as that of its primary, says that it is one, and
# does nothing that only a primary can.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use FastIngest;
use FastIngest::Browser;
use FastIngest::Dashboard;
use Test::More;

my $server = FastIngest->new('standby_page', conf => "wal_level = replica\nmax_wal_senders = 4");

post_shop($server, '2024-08-20');
$server->sql(q(ALTER TABLE fast_ingest.events ADD CONSTRAINT no_robots CHECK (user_id <> 'robot')));
is($server->post_event(event(1, user_id => 'robot'))->{status}, 422, 'a dead letter');

my $standby = $server->standby('standby_page_standby');
$server->node->wait_for_catchup($standby->node, 'replay');
$standby->wait_for_answer(200, sub { $standby->get('/ready?for=read') });

my $browser = FastIngest::Browser->new($server);
my $page = $browser->open('/?tz=UTC&period=all', server => $standby);
is_true($server, $page, 'the numbers of the primary', from => q(timestamptz '2000-01-01Z'));
$page->is_quiet('numbers');
$page->go('/?tz=UTC&view=live');
settled($page, 'live');
$page->is_quiet('live');

$page->go('/?tz=UTC&view=operator');
settled($page, 'operator');
like($page->text('role=main'), qr/standby/i, 'the operator is told that it is a standby');
like($page->text('#operator-dead-letters'), qr/no_robots/, 'and sees the dead letters');
unlike($page->text('#operator-attention'), qr/urgent/i, 'a standby is no trouble');
$page->has_no_barriers('a standby');
$page->is_quiet('an operator');
$page->click('#operator-dead-letters button:has-text("Retry all")');
$page->wait_for('#operator-dead-letters [role=status]:has-text("Not done")');
like($page->text('#operator-dead-letters [role=status]'), qr/standby/i, 'a retry is for the primary: in words');
$page->is_quiet('a retry', qr/^console: error: Failed to load resource: the server responded with a status of 503 /);

# It becomes a primary under the page

$standby->node->promote;
$standby->wait_ready;
$page->reload;
settled($page, 'operator');
$page->click('#operator-dead-letters button:has-text("Retry all")');
$page->wait_for('#operator-dead-letters [role=status]:has-text("refused again")');
pass('a server that was promoted retries');
$page->is_quiet('promoted');
$browser->close;
$standby->node->stop;

done_testing();
