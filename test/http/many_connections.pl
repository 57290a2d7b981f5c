# More connections than PostgreSQL reserves descriptors for are served, and the server stops in
# order with all of them open. With fewer descriptors than connections the listener pauses, and
# goes on.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use FastIngest;
use PostgreSQL::Test::Utils;
use Test::More;

my $connections = 500;
my $server = FastIngest->new('many', conf => 'fast_ingest.max_connections = 600');
my $listener = $server->worker_pid('listener');
my @idle = map { $server->connect } 1 .. $connections;

is($server->post_event(event(1))->{status}, 202, "an event beside $connections idle connections");
$idle[-1]->send(http_message('POST', '/events', body => event(2)));
is($idle[-1]->read_answer->{status}, 202, 'an event on the last of them');
is($server->worker_pid('listener'), $listener, 'the listener is the same');

my $offset = -s $server->node->logfile;

$server->node->stop('fast');

my $log = substr(slurp_file($server->node->logfile), $offset);

like($log, qr/listener is draining/, 'the listener drains');
unlike($log, qr/ERROR|FATAL|PANIC/, 'nothing goes wrong at the end');

$server->start_again;
$server->wait_ready;
is($server->count, 2, 'both events are stored');

# Out of descriptors (prlimit takes them from the running listener)

$listener = $server->worker_pid('listener');
$offset = -s $server->node->logfile;
my $early = $server->connect;
$early->send(http_message('GET', '/health'));
is($early->read_answer->{status}, 200, 'a connection from before');
system_or_bail('prlimit', '--pid', $listener, '--nofile=60:60');
@idle = grep { defined } map { $server->try_connect } 1 .. 100;
ok($server->wait_for_log_line(qr/cannot accept a connection/, $offset), 'the log says so');
$early->send(http_message('POST', '/events', body => event(3)));
is($early->read_answer->{status}, 202, 'open connections are served meanwhile');
$_->close foreach @idle;
is($server->wait_for_answer(202, sub { $server->post_event(event(4)) })->{status},
	202, 'new ones again, when descriptors are free');
is($server->worker_pid('listener'), $listener, 'by the same listener');
$server->node->stop;

done_testing();
