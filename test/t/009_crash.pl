# kill -9 of the server in the middle of load, again and again: every event
# that was answered 202 is there afterwards, and none is there twice though
# the clients send again what was not answered.
#
# In every other round a lock keeps the events from being stored before all
# processes are killed at the same moment: what is staged then is lost, and must
# not have been acknowledged.
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
	my $lock = $round % 2 == 0 ? $server->lock_table : undef;

	ok(!$lock || wait_until(sub { $server->status->{staged} > 0 }),
		"round $round: with events " . ($lock ? 'staged' : 'on their way'));
	ok($server->crash(at_once => defined $lock), "round $round: killed, and no process is left");
	eval { $lock->quit } if $lock;
	$server->start_again;
	$server->stored_once($load, "round $round");
}
ok($load->wait_for_acknowledgements(100), 'events are coming at the end');
$load->stop;
$server->stored_once($load, 'all rounds');
$server->books_balance;

$server->node->stop;
done_testing();
