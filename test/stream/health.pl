# GET /health names the streams that need a person, and why: those that hold half of the disk that
# they may hold, and those that are lost. GET /ready does not look at them, and events are taken.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use FastIngest;
use PostgreSQL::Test::Cluster;
use Test::More;

my $server = FastIngest->new('health', conf => <<'EOC');
wal_level = logical
fast_ingest.max_streams = 2
EOC

# Nobody listens there
my $target = 'http://127.0.0.1:' . PostgreSQL::Test::Cluster::get_free_port() . '/hook';

sub create_stream
{
	my ($name, $limit) = @_;

	$server->sql(<<"EOQ");
SELECT fi_create_stream(\$\$$name\$\$, 'webhook', '$target', max_retained_wal => '$limit',
    secret => 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw')
EOQ
	return;
}

# Wait until /health says that.
sub is_health
{
	my ($expected, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $got;

	wait_until(
		sub {
			$got = $server->get('/health');
			return encode_json($got->{json}) eq encode_json($expected);
		});
	is($got->{status}, 200, "$name: 200");
	is_deeply($got->{json}, $expected, $name);
	return;
}

# Wait until the state of a stream is that.
sub is_state
{
	my ($name, $expected) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $state = '';

	wait_until(sub { ($state = $server->sql("SELECT state FROM fi_streams() WHERE name = \$\$$name\$\$")) eq $expected });
	is($state, $expected, "$name is $expected");
	return;
}

# Write so many segments of WAL, of 16 MB each
sub write_wal
{
	my ($segments) = @_;

	$server->sql(q(SELECT pg_logical_emit_message(false, 'test', 'x'), pg_switch_wal())) foreach 1 .. $segments;
	return;
}

is_health({ status => 'ok' }, 'without a stream');
create_stream('roomy', '10GB');
create_stream('a "small" one', '160MB');
# What is committed before the slots are made is not theirs
is_state($_, 'running') foreach 'roomy', 'a "small" one';
is($server->post_event(event(1))->{status}, 202, 'an event');
is_state($_, 'retrying') foreach 'roomy', 'a "small" one';
is_health({ status => 'ok' }, 'streams whose target is away are no reason');

write_wal(6);
wait_until(sub { ($server->get('/health')->{json}{streams}[0]{reason} || '') =~ /^it holds \d/ });
my $percent = ($server->get('/health')->{json}{streams}[0]{reason} || '') =~ /(\d+) %/ ? $1 : 0;
ok($percent >= 50 && $percent < 100, 'the small one holds more than half') or diag($percent);
is_health(
	{ status => 'degraded', streams => [ { name => 'a "small" one', state => 'retrying', reason => "it holds $percent % of max_retained_wal" } ] },
	'and is named');
is($server->get('/ready')->{json}{status}, 'ready', 'the server is ready');
is($server->post_event(event(2))->{status}, 202, 'and takes events');

write_wal(6);
is_state('a "small" one', 'lost');
is_health(
	{ status => 'degraded', streams => [ { name => 'a "small" one', state => 'lost', reason => 'its position is lost, and events are missing in the target' } ] },
	'one that is lost is named');
is($server->get('/ready')->{json}{status}, 'ready', 'the server is ready');
is($server->post_event(event(3))->{status}, 202, 'and takes events');
is_state('roomy', 'retrying');

is($server->sql(q(SELECT worker, state FROM fast_ingest.workers WHERE worker LIKE 'stream%')),
	"stream 1|running\nstream 2|running", 'the workers of both run');

$server->sql('SELECT fi_drop_stream($$a "small" one$$)');
is_health({ status => 'ok' }, 'a stream that was dropped is not named');
$server->node->stop;

done_testing();
