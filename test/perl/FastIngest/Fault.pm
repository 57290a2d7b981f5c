# The books balance under faults. Clients post numbered events, single and in bulk, with and
# without keys, and repeat those that are not acknowledged; others ask for metrics. Meanwhile
# something breaks. Afterwards everything acknowledged is stored, nothing is stored twice, no
# event is stored that nobody sent, the metrics equal a recount of the raw rows, and every client
# is served again.
#
# FI_FAULTS: a regular expression: only the faults that it matches.
# FI_SEED: the seed of the random moments.
# FI_RESULTS: a file to which each fault adds a line of the table of results.

package FastIngest::Fault;

use strict;
use warnings;

use Exporter 'import';
use File::Spec;
use FastIngest;
use Test::More;
use Time::HiRes qw(time);

our @EXPORT = qw(fault fault_drop_extension fault_drop_database);

# Settings that give faults more to break: the maintenance worker is always busy, positions in the
# ring wrap around, and a request that waits too long is repeated.
our $CONF = <<'EOC';
fast_ingest.refresh_backlog = 200
fast_ingest.staging_size = '1MB'
fast_ingest.request_timeout = '1500ms'
max_wal_size = '200MB'
log_min_messages = warning
EOC

my $only = $ENV{FI_FAULTS} || '';
my $number = 0;

srand($ENV{FI_SEED} || 20261121);
open my $results, '>>', $ENV{FI_RESULTS} || File::Spec->devnull
  or die "could not open the file of results: $!";
$results->autoflush(1);

# Run load, and let the fault happen several times, each at a random moment. The fault may return
# books of events that it removed. Options: load: options of the load; tables: where events may
# be; since: a function that returns the positions after which events must be stored at the end.
sub fault
{
	my ($server, $name, $times, $happen, %opt) = @_;

	return unless $name =~ /$only/;

	my $load = $server->start_load(
		name => 'fault' . ++$number,
		clients => 4,
		bulks => 1,
		readers => 1,
		pause => 0.002,
		%{ $opt{load} || {} });
	my @counts = qw(acknowledged stored lost twice unexpected);
	my %books;
	my $recovered = 0;
	my $outage = 0;    # from the fault on until every client is served

	foreach my $round (1 .. $times)
	{
		last unless $load->wait_for_acknowledgements(1 + int rand 200);
		Time::HiRes::sleep(rand 0.05);

		my $begin = time;
		my $before = $happen->($round, $load);

		$books{$_} += $before->{$_} foreach ref $before ? @counts : ();
		last unless $load->wait_for_every_client;
		$outage = time - $begin if time - $begin > $outage;
		$recovered++;
	}
	is($recovered, $times, "$name: clients are served again, $times times");
	$load->stop;

	my $rest = $server->stored_once($load, $name,
		tables => $opt{tables}, since => $opt{since} && $opt{since}->());

	$books{$_} += $rest->{$_} foreach @counts;
	$server->books_balance($name);
	is($server->wrong_metrics, '', "$name: the metrics are those of a recount");
	$server->sql('SELECT fi_refresh()');
	is($server->wrong_metrics, '', "$name: and after a refresh");
	printf {$results} "| %s | %d | %d | %d | %d | %d | %d | %.1f s |\n", $name, $times,
	  @books{@counts}, $outage;
	return;
}

# Drop the extension and create it again. The transaction that drops it keeps a copy of the events.
# It locks the table before the extension, unlike the flusher, and is repeated after a deadlock.
sub fault_drop_extension
{
	my ($server, $name, $times) = @_;

	# With the events of earlier faults the copy would take so long that there is always a deadlock.
	$server->sql('TRUNCATE fast_ingest.events');
	$server->sql('CREATE TABLE kept (user_id text)');
	fault($server, $name, $times,
		sub {
			wait_until(sub { eval { $server->sql(<<'EOC'); 1 } }) or die 'the extension stays';
BEGIN;
LOCK TABLE fast_ingest.events;
INSERT INTO kept SELECT user_id FROM fast_ingest.events;
DROP EXTENSION fast_ingest;
COMMIT;
EOC
			$server->sql('CREATE EXTENSION fast_ingest');
		},
		tables => [ 'kept', 'fast_ingest.events' ],
		load => { readers => 0 });
	return;
}

# Drop the database with this command, and create it again. Its events are lost with it:
# everything acknowledged before the command must have been stored then, and everything after it
# is stored at the end.
sub fault_drop_database
{
	my ($server, $name, $times, $command) = @_;
	my @since;

	fault($server, $name, $times,
		sub {
			my ($round, $load) = @_;
			my $books = $server->stored_once($load, "$name: before round $round", since => [@since]);

			$server->sql($command, 'postgres');
			@since = map { $_->[1] } $load->positions;
			$server->sql("CREATE DATABASE $server->{database} TEMPLATE template0", 'postgres');
			$server->sql('CREATE EXTENSION fast_ingest');
			return $books;
		},
		since => sub { [@since] },
		load => { readers => 0 });
	return;
}

1;
