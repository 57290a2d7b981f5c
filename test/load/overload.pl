# Under twice the load that the server can take, events are accepted as fast as before and
# everything else is answered 503 with Retry-After. Memory does not grow, nothing acknowledged is
# lost, and when the load ends everything is as it was.
#
# FI_TORTURE=1: for two minutes, and the throughput is judged, which makes no sense on a shared
# machine. FI_RESULTS: a file to which the figures are added.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use FastIngest;
use File::Spec;
use List::Util qw(max sum);
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $torture = $ENV{FI_TORTURE};
my ($calm_seconds, $seconds) = $torture ? (15, 120) : (3, 6);
my $bulk = 100;
my $first = 10_000_000;

my $directory = PostgreSQL::Test::Utils::tempdir();
my $bench = "$FindBin::RealBin/../bench";
system_or_bail('cc', '-O2', '-o', "$directory/event_client", "$bench/event_client.c", "$bench/request.c");

# Staging is full before every connection waits.
my $server = FastIngest->new('overload', conf => <<'EOC');
fast_ingest.staging_size = '16MB'
fast_ingest.max_connections = 1100
shared_buffers = 256MB
max_wal_size = 4GB
EOC

# Run event_client for so many seconds. Returns what it counted, and the RssAnon of
# listener and flusher, in kB, in each second.
sub run_client
{
	my ($run_seconds, @options) = @_;
	my @memory;
	my $output = "$directory/output";
	my @pids = map { $server->any_worker_pid($_) } 'listener', 'flusher';
	my $pid = fork;

	die "could not fork: $!" unless defined $pid;
	if (!$pid)
	{
		open STDOUT, '>', $output;
		exec "$directory/event_client", '-p', $server->port, '-n', 10_000_000, '-e', $bulk,
		  '-f', $first, '-t', $run_seconds + 60, @options;
	}

	my $begin = time;

	foreach my $second (1 .. $run_seconds)
	{
		Time::HiRes::sleep($begin + $second - time) if $begin + $second > time;
		push @memory, sum(map { FastIngest::memory_of($_, 'RssAnon') } @pids);
	}
	kill 'TERM', $pid;
	waitpid $pid, 0;

	my %result = slurp_file($output) =~ /(\w+)=([\d.]+)/g;

	$first += $result{requests};
	$result{memory} = \@memory;
	$result{exit} = $?;
	$result{rate} = $result{accepted} / $result{seconds};
	return \%result;
}

run_client(1, '-c', 32);

my $calm = run_client($calm_seconds, '-c', 32);
is($calm->{exit}, 0, 'as much as it can take: everything is accepted');

my $stored = $server->count;
my $over = run_client($seconds, '-c', 1000, '-a', '-r', int 2 * $calm->{rate});
my $end = time;
my $answer = $server->post_event(event(1));
my $back = time - $end;

is($over->{exit}, 0, 'twice as much: every answer is 202, or 503 with Retry-After');
cmp_ok($over->{turned_away}, '>', 0, 'some of it is turned away');
cmp_ok($over->{accepted}, '>', 0, 'some of it is accepted');
is($server->count - $stored, $over->{accepted} + 1, 'what was accepted is stored, and nothing else');
$server->books_balance;
is($server->get('/ready')->{status}, 200, 'ready, when it is over');
is($answer->{status}, 202, 'an event is accepted, when it is over');

# All connections' bodies may be there in any second.
my @memory = @{ $over->{memory} };
my $bodies = 1000 * 32;
my $early = max(@memory[ 0 .. $#memory / 2 ]);
my $late = max(@memory[ $#memory / 2 + 1 .. $#memory ]);
cmp_ok($late, '<', $early + $bodies, 'memory does not grow');

my $figures = sprintf "| %d s of %.0f events/s, best %.0f | accepted %.0f events/s (%.2f of the best)"
  . " | turned away %d requests | p99 %.0f ms (calm: %.0f ms) | memory %d to %d kB"
  . " | %.2f s until an event is taken again |\n",
  $seconds, 2 * $calm->{rate}, $calm->{rate}, $over->{rate}, $over->{rate} / $calm->{rate},
  $over->{turned_away}, $over->{p99_us} / 1000, $calm->{p99_us} / 1000, $early, $late, $back;
note($figures);
if ($torture)
{
	cmp_ok($over->{rate}, '>=', 0.9 * $calm->{rate}, 'accepted within 10 % of the best');
	cmp_ok($back, '<', 2, 'back within 2 seconds');
}
open my $results, '>>', $ENV{FI_RESULTS} || File::Spec->devnull
  or die "could not open the file of results: $!";
print {$results} $figures;
$server->node->stop;

done_testing();
