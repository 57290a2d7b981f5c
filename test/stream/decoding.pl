# What a stream reads from WAL: each committed event of fast_ingest.events once, in the order of
# the commits, wherever its row is stored, and nothing else. Its output plugin serves only the
# stream workers. A large transaction does not make the worker large.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use FastIngest;
use FastIngest::Webhook;
use JSON::PP ();
use PostgreSQL::Test::Utils;
use Test::More;

# Private memory of the worker, kB: the spool's 16 MB, logical_decoding_work_mem, a batch, and the
# process itself
use constant MEMORY => 80 * 1024;
use constant LARGE => 300_000;
use constant BATCH => 25_000;

my $webhook = FastIngest::Webhook->new;
my $server = FastIngest->new('decoding', conf => <<EOC);
wal_level = logical
max_replication_slots = 4
max_wal_senders = 4
max_prepared_transactions = 2
logical_decoding_work_mem = 4MB
fast_ingest.max_streams = 1
EOC
my $day = '2026-03-01';
my $marks = 0;
my $requests = 0;
my %batches;

# The statements of one transaction, or several with BEGIN and COMMIT among them
sub run_sql
{
	return $server->sql($_[0]);
}

# An INSERT of events with these names
sub insert
{
	my (@names) = @_;

	return "INSERT INTO fast_ingest.events (event_name, channel, ts) VALUES "
	  . join(', ', map { "('$_', 'web', '$day 12:00+00')" } @names) . ';';
}

# The name of an event, from its line. There are too many to decode them all.
sub event_name
{
	return $_[0] =~ /"event_name":"([^"]*)"/ ? $1 : '';
}

# The lines that were sent since the last call, without a batch that came again: insert one more
# event, and wait for it
sub lines_arrived
{
	my $mark = 'mark ' . ++$marks;
	my @lines;

	run_sql(insert($mark));
	wait_until(
		sub {
			my @new = $webhook->requests($requests);

			$requests += @new;
			push @lines, map { @{ $_->{rows} } } grep { !$batches{ $_->{headers}{'webhook-id'} }++ } @new;
			return @lines && event_name($lines[-1]) eq $mark;
		}) or diag("$mark has not come");
	pop @lines;
	return @lines;
}

sub arrived
{
	return map { JSON::PP::decode_json($_) } lines_arrived();
}

sub names_arrived
{
	return [ map { event_name($_) } lines_arrived() ];
}

sub private_memory
{
	my ($pid) = @_;
	my $status = "/proc/$pid/status";

	return -e $status && PostgreSQL::Test::Utils::slurp_file($status) =~ /^RssAnon:\s+(\d+) kB/m ? $1 : 0;
}

run_sql("SELECT fi_create_partition('$day')");
run_sql("SELECT fi_create_stream('hook', 'webhook', '" . $webhook->url('/events') . "', batch_rows => " . BATCH . ", flush_interval => '20 ms')");
ok(wait_until(sub { run_sql('SELECT state FROM fi_streams()') eq 'running' }), 'the stream runs');

# Values
run_sql(<<EOQ);
INSERT INTO fast_ingest.events (event_name, channel, user_id, ts, campaign_id, site_id, path, tags, metadata)
VALUES ('full', 'web', 'u"1', '$day 12:00+00', 'c', 's', '/\xc3\xa9', '{x,NULL,"y,z"}', '{"k": [1, 2.50, null]}');
EOQ
my ($full) = arrived();
is_deeply($full->{tags}, [ 'x', undef, 'y,z' ], 'an array with NULL in it');
is_deeply([ @$full{qw(user_id campaign_id site_id)} ], [ 'u"1', 'c', 's' ], 'texts');
is_deeply($full->{metadata}, { k => [ 1, 2.50, undef ] }, 'metadata');
run_sql(insert('empty'));
my ($empty) = arrived();
is_deeply([ grep { defined } @$empty{qw(user_id campaign_id site_id path event_key)} ], [], 'NULLs');
run_sql(<<EOQ);
INSERT INTO fast_ingest.events (event_name, channel, ts, metadata, path)
SELECT 'toast', 'web', '$day 12:00+00', jsonb_build_object('a', string_agg(md5(i::text), '')), repeat('p', 5000)
FROM generate_series(1, 32768) i
EOQ
my ($toast) = arrived();
is(length($toast->{metadata}{a}), 1048576, 'metadata of 1 MB');
is($toast->{path}, 'p' x 5000, 'a compressed value');
run_sql("UPDATE fast_ingest.events SET path = 'q' WHERE event_name = 'toast'");
run_sql("DELETE FROM fast_ingest.events WHERE event_name = 'toast'");
is_deeply(names_arrived(), [], 'neither an UPDATE nor a DELETE is sent');

# Transactions
run_sql('BEGIN; ' . insert('never') . ' ROLLBACK;');
run_sql(
	join ' ', 'BEGIN;', insert('s1'), 'SAVEPOINT a;', insert('aborted'), 'ROLLBACK TO a;',
	'SAVEPOINT b;', insert('s2', 's3'), 'RELEASE b;', insert('s4'), 'COMMIT;');
is_deeply(names_arrived(), [qw(s1 s2 s3 s4)], 'subtransactions, and none that was rolled back');
run_sql('BEGIN; ' . insert('prepared') . " PREPARE TRANSACTION 'p';");
is_deeply(names_arrived(), [], 'a prepared transaction is not committed');
run_sql("COMMIT PREPARED 'p'");
is_deeply(names_arrived(), ['prepared'], 'until it is');

my $early = $server->node->background_psql('postgres');
$early->query_safe('BEGIN');
$early->query_safe(insert('written first, committed last'));
run_sql(insert('committed first'));
$early->query_safe('COMMIT');
$early->quit;
is_deeply(
	names_arrived(),
	[ 'committed first', 'written first, committed last' ],
	'the order is that of the commits');

# Tables
run_sql(<<EOQ);
BEGIN;
CREATE TABLE own (ingested_at timestamptz NOT NULL DEFAULT now(), dropped integer, event_key uuid, metadata jsonb, tags text[], path text,
  site_id text, campaign_id text, ts timestamptz NOT NULL, user_id text, channel text NOT NULL, event_name text NOT NULL);
ALTER TABLE own DROP COLUMN dropped;
INSERT INTO own (event_name, channel, ts) VALUES ('not yet a partition', 'web', '2026-04-01 12:00+00');
ALTER TABLE fast_ingest.events ATTACH PARTITION own FOR VALUES FROM ('2026-04-01 00:00+00') TO ('2026-04-02 00:00+00');
INSERT INTO fast_ingest.events (event_name, channel, ts) VALUES ('attached', 'web', '2026-04-01 12:00+00');
COMMIT;
INSERT INTO own (event_name, channel, ts) VALUES ('by its own name', 'web', '2026-04-01 12:00+00');
ALTER TABLE fast_ingest.events ADD COLUMN extra integer;
INSERT INTO fast_ingest.events (event_name, channel, ts, extra) VALUES ('with another column', 'web', '2026-04-01 12:00+00', 1);
ALTER TABLE fast_ingest.events DETACH PARTITION own;
INSERT INTO own (event_name, channel, ts) VALUES ('not a partition any more', 'web', '2026-04-01 12:00+00');
CREATE TABLE other (LIKE fast_ingest.events INCLUDING DEFAULTS);
INSERT INTO other (event_name, channel, ts) VALUES ('other', 'web', '$day 12:00+00');
SELECT fi_refresh();
EOQ
is_deeply(
	names_arrived(),
	[ 'attached', 'by its own name', 'with another column' ],
	'partitions with other columns, while they are partitions; no other table, not the rollup');

# A large transaction, whose rows are put into temporary files twice: by PostgreSQL while it has not
# ended, and by the stream until the target has them
my $path = PostgreSQL::Test::Utils::tempdir() . '/rows';
open my $rows, '>', $path or die $!;
print $rows "large $_\tweb\t$day 12:00+00\tuser $_\n" foreach 1 .. LARGE;
close $rows;
chmod 0644, $path;
my $large = $server->node->background_psql('postgres');
$large->query_safe('BEGIN');
$large->query_safe("COPY fast_ingest.events (event_name, channel, ts, user_id) FROM '$path'");
ok( wait_until(
		sub {
			run_sql(<<'EOQ') eq 't';
WITH files AS (
  SELECT coalesce(sum((pg_stat_file(folder || '/' || file, true)).size), 0) AS size
  FROM (SELECT 'pg_replslot/' || slot_name FROM fast_ingest.stream_progress) AS f (folder), pg_ls_dir(folder) AS file
  WHERE file LIKE 'xid%'
)
SELECT files.size > 20000000 AND s.retained_wal = files.size + pg_wal_lsn_diff(pg_current_wal_insert_lsn(), restart_lsn)
FROM fi_streams() s JOIN pg_replication_slots USING (slot_name), files
EOQ
		}),
	'the files of a transaction that is open count as retained');
my $batches = $webhook->count;
my $largest = 0;
my $temporary = 0;
my $done;
my $watch = sub {
	my $files;

	($files, $done, my $pid) = split /\|/, run_sql(<<'EOQ');
SELECT (SELECT coalesce(sum(size), 0) FROM pg_ls_tmpdir()), (SELECT done_n FROM fast_ingest.stream_progress), (SELECT pid FROM fi_streams())
EOQ
	my $now = private_memory($pid);

	$largest = $now if $now > $largest;
	$temporary = $files if $files > $temporary;
	return $done;
};
$large->query_safe('COMMIT');
$large->quit;
wait_until(sub { $watch->(); $webhook->count >= $batches + 3 });
$server->restart;
cmp_ok($watch->(), '<', LARGE, 'the server is restarted when the target has a part of it');
wait_until(sub { $watch->() == LARGE });
my $names = names_arrived();
is(scalar @$names, LARGE, 'each event of a large transaction');
is(scalar(grep { $names->[$_] ne 'large ' . ($_ + 1) } 0 .. $#$names), 0, 'in their order');
cmp_ok($webhook->count - $batches, '>=', LARGE / BATCH, 'in several batches');
cmp_ok($largest, '<', MEMORY, "the worker stays small ($largest kB)");
cmp_ok($temporary, '>', 1024 * 1024, "and uses temporary files ($temporary bytes)");
is(run_sql('SELECT coalesce(sum(size), 0) FROM pg_ls_tmpdir()'), 0, 'which are gone afterwards');

# After a restart
run_sql(insert('before the stop'));
$server->restart;
run_sql(insert('after the start'));
is_deeply(names_arrived(), [ 'before the stop', 'after the start' ], 'a restart loses and repeats nothing');

# The plugin from outside. Servers that let only trusted plugins in are told to trust it.
if (run_sql("SELECT count(*) FROM pg_settings WHERE name = 'output_plugin_libraries'"))
{
	is(run_sql('SHOW output_plugin_libraries') =~ /fast_ingest/ ? 1 : 0, 0, 'the server need not trust the plugin');
	run_sql('ALTER SYSTEM SET output_plugin_libraries = pgoutput, fast_ingest');
	$server->node->reload;
	wait_until(sub { run_sql('SHOW output_plugin_libraries') =~ /fast_ingest/ });
}
my ($result, $stdout, $stderr) =
  $server->node->psql('postgres', "SELECT pg_create_logical_replication_slot('mine', 'fast_ingest')");
like($stderr, qr/output plugin "fast_ingest" serves only the streams/, 'no slot for others by SQL');
$server->node->command_fails_like(
	[
		'pg_recvlogical', '--dbname' => $server->node->connstr('postgres'), '--slot' => 'mine',
		'--create-slot', '--plugin' => 'fast_ingest'
	],
	qr/serves only the streams/,
	'nor by pg_recvlogical');
is(run_sql("SELECT count(*) FROM pg_replication_slots WHERE slot_name = 'mine'"), 0, 'and none is left');
my $slot = run_sql('SELECT slot_name FROM fast_ingest.stream_progress');
($result, $stdout, $stderr) =
  $server->node->psql('postgres', "SELECT * FROM pg_logical_slot_get_binary_changes('$slot', NULL, NULL)");
like($stderr, qr/is active for PID/, 'the slot of a stream is its own');

done_testing();
