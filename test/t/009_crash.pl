# kill -9 of the server in the middle of load, again and again: every event
# that was answered 202 is there afterwards, and none is there twice though
# the clients send again what was not answered.
#
# FI_CRASH_ROUNDS: how often (20).

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use FastIngest;
use Test::More;

my $rounds = $ENV{FI_CRASH_ROUNDS} || 20;
my $server = FastIngest->new('crash');
my $load = $server->start_load(clients => 6, name => 'crash');

srand 20240812;
foreach my $round (1 .. $rounds)
{
	ok($load->wait_for_acknowledgements(50 + int rand 300),
		"round $round: events are coming");
	ok($server->crash, "round $round: killed, and no process is left");
	$server->start_again;
	$server->stored_once($load, "round $round");
}
ok($load->wait_for_acknowledgements(100), 'events are coming at the end');
$load->stop;
$server->stored_once($load, 'all rounds');
$server->books_balance;

$server->node->stop;
done_testing();
