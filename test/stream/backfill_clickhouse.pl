# Events that a stream sends to ClickHouse again: a day that somebody asks for, while new events of
# that day come, and what is missing after the stream was lost. The target has each event once
# afterwards, and fi_check_stream() says so.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use FastIngest;
use FastIngest::ClickHouse;
use PostgreSQL::Test::Utils;
use Test::More;

my $clickhouse = FastIngest::ClickHouse->new;
my $server = FastIngest->new('backfill_clickhouse', conf => "wal_level = logical\nfast_ingest.max_streams = 1");
my $next = 1;

$server->sql("SELECT fi_create_partition(d::date) FROM generate_series('2024-05-01'::date, '2024-05-05', '1 day') d");
my ($ddl) = $server->sql("SELECT fi_clickhouse_ddl(table_name => 'events', version => 'old')") =~ /(CREATE TABLE.*?);/s;
$clickhouse->query($ddl);

sub insert
{
	my ($count, $day) = @_;
	my ($from, $to) = ($next, $next + $count - 1);

	$next = $to + 1;
	$server->sql("INSERT INTO fast_ingest.events (event_name, channel, user_id, ts, metadata)
		SELECT 'view', 'web', 'u' || i, '2024-05-$day 00:00+00'::timestamptz + i % 80000 * interval '1 s',
			jsonb_build_object('number', i) FROM generate_series($from, $to) i");
	return;
}

sub stream
{
	my ($column) = @_;

	return $server->sql("SELECT $column FROM fi_streams()");
}

sub left
{
	return $server->sql('SELECT count(*) FROM fast_ingest.stream_backfills WHERE done_at IS NULL');
}

# Both sides have the same users, each once.
sub is_equal
{
	my ($name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $wanted = $server->sql("SELECT string_agg(user_id, ',' ORDER BY user_id COLLATE \"C\") FROM fast_ingest.events");
	my $got;

	wait_until(
		sub {
			$got = join ',', sort map { $_->[0] } $clickhouse->rows(q{SELECT user_id FROM events WHERE _source != 'another'});
			return $got eq $wanted;
		}, 60);
	return ok($got eq $wanted, "$name: each event is there once")
	  || diag(scalar(split /,/, $got) . ' events in place of ' . split /,/, $wanted);
}

sub check
{
	return $server->sql("SELECT string_agg(concat_ws(' ', day, here, target, equal), ', ' ORDER BY day)
		FROM fi_check_stream('c', '2024-05-01', '2024-05-04')");
}

insert(2000, '01');
insert(2000, '02');
$server->sql("SELECT fi_create_stream('c', 'clickhouse', '" . $clickhouse->url
	  . "', target => 'events', backfill_since => '-infinity', batch_rows => 300, flush_interval => '100 ms')");
insert(500, '02');
is_equal('what was there');
ok(wait_until(sub { left() == 0 }, 30), 'the backfill is done');
is(check(), '2024-05-01 2000 2000 t, 2024-05-02 2500 2500 t, 2024-05-03 0 0 t', 'and the counts say so');

# A day is sent again, while events of it come

my $noon = $server->sql("SELECT extract(epoch FROM '2024-05-02 12:00+00'::timestamptz)::bigint * 1000000");
my $source = $server->sql('SELECT source FROM fast_ingest.streams');
$clickhouse->query("INSERT INTO events (event_name, ts_us, _source) VALUES ('false', $noon, 'another')");
is(check(), '2024-05-01 2000 2000 t, 2024-05-02 2500 2500 t, 2024-05-03 0 0 t', "another server's event is not counted");
$clickhouse->query("INSERT INTO events (event_name, ts_us, _source) VALUES ('false', $noon, '$source')");
is(check(), '2024-05-01 2000 2000 t, 2024-05-02 2500 2501 f, 2024-05-03 0 0 t', 'an event too many is seen');
my $open = $server->node->background_psql('postgres');
$open->query_safe("BEGIN; INSERT INTO fast_ingest.events (event_name, channel, user_id, ts) VALUES ('view', 'web', 'early', '2024-05-02 01:00+00')");
$server->sql("SELECT fi_resend_stream('c', '2024-05-02 00:00+00', '2024-05-03 00:00+00')");
insert(20, '02') foreach 1 .. 20;
$open->query_safe('COMMIT');
$open->quit;
insert(20, '02') foreach 1 .. 10;
ok(wait_until(sub { left() == 0 }, 60), 'the day is sent again');
is_equal('a day again');
is(check(), '2024-05-01 2000 2000 t, 2024-05-02 3101 3101 t, 2024-05-03 0 0 t', 'and the counts say so');

my (undef, undef, $error) = $server->node->psql('postgres', "SELECT fi_resend_stream('c', '2020-01-01', '2024-05-02 00:00+00')");
like($error, qr/the target would lose the events before 2024-05-01/, 'what is here no more is not removed there');
(undef, undef, $error) = $server->node->psql('postgres', "SELECT fi_resend_stream('c', '2024-05-02', '2024-05-02')");
like($error, qr/since must be before until/, 'an empty range is refused');

# Lost: the slot is dropped while no worker has it

$server->node->append_conf('postgresql.conf', 'fast_ingest.max_streams = 0');
$server->restart;
insert(100, '03');
$server->sql('SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots');
insert(100, '02');
$server->node->append_conf('postgresql.conf', 'fast_ingest.max_streams = 1');
$server->restart;
ok(wait_until(sub { stream('state') eq 'lost' }, 30), 'a stream without its slot is lost');
insert(100, '04');
my $from = -s $server->node->logfile;
$server->sql("SELECT fi_resume_stream('c', refill => true)");
insert(20, '03') foreach 1 .. 5;
is_equal('after a refill');
ok(wait_until(sub { left() == 0 }, 60), 'the refill is done');
ok($server->wait_for_log_line(qr/all events of [23] days that may have missing ones will be sent again/, $from),
	'only days with missing events were sent again');
is(check(), '2024-05-01 2000 2000 t, 2024-05-02 3201 3201 t, 2024-05-03 200 200 t', 'the counts are equal');
insert(10, '01');
is_equal('later events');
is($clickhouse->query(q{SELECT count() FROM events WHERE _source = 'another'}), '1', "another server's event was not removed");

# The target does not answer

$clickhouse->stop;
(undef, undef, $error) = $server->node->psql('postgres', "\\set VERBOSITY verbose\nSELECT * FROM fi_check_stream('c', '2024-05-01')");
like($error, qr/08006: .*does not count/, 'a target that does not answer is an error');

done_testing();
