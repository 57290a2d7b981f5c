# A COPY of many events is one transaction, and far larger than what a stream may keep in
# memory. PostgreSQL spills it to disk and so does the stream, which counts it. The worker is
# killed between two of its batches. Afterwards ClickHouse has each event once.
#
# FI_STREAM_ROWS is the number of events; `make torture` takes two million.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use FastIngest;
use FastIngest::ClickHouse;
use FastIngest::Process;
use FastIngest::StreamState;
use List::Util qw(max);
use PostgreSQL::Test::Utils;
use Test::More;

my $rows = $ENV{FI_STREAM_ROWS} || ($ENV{FI_TORTURE} ? 2_000_000 : 500_000);
my $megabyte = 1024 * 1024;

# What decoding and a batch may take. Two million events are some 300 MB of JSON.
my $memory = 96 * 1024;

my $clickhouse = FastIngest::ClickHouse->new;
my $server = FastIngest->new('huge', conf => stream_conf() . <<'EOC');
logical_decoding_work_mem = '4MB'
max_wal_size = '4GB'
autovacuum = off
jit = off
EOC

# The largest of what was seen: bytes of temporary files, and of what the stream says it holds
# beyond WAL
my %most = (files => 0, counted => 0);

sub look
{
	my ($done, $files, $counted, $batch) = split /\|/, $server->sql(<<'EOQ');
SELECT done_n, (SELECT coalesce(sum(size), 0) FROM pg_ls_tmpdir()),
  coalesce((SELECT s.retained_wal - pg_wal_lsn_diff(pg_current_wal_lsn(), r.restart_lsn) FROM fi_streams() s JOIN pg_replication_slots r USING (slot_name)), 0),
  batch
FROM fast_ingest.stream_progress
EOQ

	return (0, 0) unless defined $batch;
	$most{files} = max($most{files}, $files);
	$most{counted} = max($most{counted}, $counted);
	return ($done, $batch);
}

clickhouse_table($server, $clickhouse, 'events');
$server->sql("SELECT fi_create_stream('huge', 'clickhouse', '" . $clickhouse->url . "', target => 'events', batch_rows => 20000, batch_bytes => 2097152)");
wait_for_state($server, 'huge', 'running');

my $pid = stream_pid($server, 'huge');
my @peaks = (FastIngest::record_peak_memory($pid));
my $path = PostgreSQL::Test::Utils::tempdir() . '/rows';

open my $file, '>', $path or die "could not create $path: $!";
printf $file "page_view\tweb\tuser-%d\t2024-08-12 12:%02d:%02dZ\t/%d\n", $_ % 1000, $_ / 60 % 60, $_ % 60, $_ foreach 1 .. $rows;
close $file or die "could not write $path: $!";
$server->sql("SELECT fi_create_partition('2024-08-12')");
# without the rollup, of which this is no test, it takes a third of the time
$server->sql('ALTER TABLE fast_ingest.events DISABLE TRIGGER USER');
$server->sql("COPY fast_ingest.events (event_name, channel, user_id, ts, path) FROM '$path'");
unlink $path;

# Between two batches

my ($done, $batch);

ok(wait_until(sub { ($done, $batch) = look(); return $batch >= 5 && $done > 0 }), 'some batches of the transaction are done');
kill 'KILL', $pid;
ok($done < $rows, "the worker is killed when $done of $rows events of the transaction are done");
$server->recover;
isnt(wait_for_stream($server, 'huge', sub { $_[0]->{pid} })->{pid}, $pid, 'another one starts');
push @peaks, FastIngest::record_peak_memory(stream_pid($server, 'huge'));

ok(wait_until(sub { ($done) = look(); return $done >= $rows }, 300), 'it goes on to the end');
equal_counts($server, $clickhouse, 'events');
is($clickhouse->query('SELECT toString(uniqExact(_lsn)) FROM events'), '1', 'they are one transaction');
is($clickhouse->query('SELECT concat(toString(min(_n)), \' \', toString(max(_n))) FROM events'), "1 $rows", 'numbered without a gap');

# Memory and disk

foreach my $peak (map { slurp_file($_) } @peaks)
{
	cmp_ok($peak, '>', 0, "its memory was looked at: $peak kB");
	cmp_ok($peak, '<', $memory, 'it stays small');
}
cmp_ok($most{files}, '>', 20 * $megabyte, "what is not yet sent is on disk: $most{files} bytes at most");
cmp_ok($most{counted}, '>', 20 * $megabyte, "and is counted to what the stream retains: $most{counted} bytes");
cmp_ok($server->sql('SELECT sum(spill_bytes) FROM pg_stat_replication_slots'), '>', 20 * $megabyte, 'PostgreSQL says how much decoding has spilled');
ok(wait_until(sub { $server->sql('SELECT coalesce(sum(size), 0) FROM pg_ls_tmpdir()') == 0 }), 'no temporary file is left');
$server->node->stop;

done_testing();
