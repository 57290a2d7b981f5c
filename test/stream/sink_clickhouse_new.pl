# A ClickHouse that has tokens gets each event once, whatever happens on the way, and so do its
# materialised views. Where the table has no window for tokens, the rows of a batch are counted.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use FastIngest::Chdb qw(no_chdb_here);
use FastIngest::ClickHouseStream;
use FastIngest::Streams;
use FastIngest::Wait;
use PostgreSQL::Test::Utils;
use Test::More;

plan skip_all => no_chdb_here() if no_chdb_here();

my $server = FastIngest::Streams->new('new');
my $clickhouse = FastIngest::Chdb->new(user => 'streams', password => 'first');
my $stream = FastIngest::ClickHouseStream->new($server, $clickhouse);
my $proxy = $stream->proxy;

# The tables of a cluster are of its grammar. There is no cluster here to make them in.
sub test_ddl
{
	foreach my $arguments ("cluster => 'my_cluster'", "'db.my events', cluster => 'a cluster'")
	{
		my @statements = $stream->statements($arguments);

		is(scalar @statements, 5, "$arguments: two tables, a view, and what asks all shards");
		foreach my $statement (@statements)
		{
			my ($what) = $statement =~ /\A\s*(.*)/;
			my $text = $statement =~ s/([\\'])/\\$1/gr;

			like(eval { $clickhouse->query("SELECT formatQuerySingleLine('$text')") } // $@, qr/\ACREATE .* ON CLUSTER /, $what);
		}
	}
	return;
}

# The first request of a batch has written it, and deduplication remembers it. Rows of it are deleted,
# by whomever: the batch must not be taken for a whole one, nor be dropped as one that is known.
sub test_deleted
{
	my $doubts = $server->sql('SELECT doubts FROM fi_streams()');

	$proxy->on(qr/INSERT/, drop_answer => 1);
	$proxy->on(qr/POST/, hang => 1);
	$stream->post(100);
	$stream->is_so("doubts > $doubts", 'the answer of a batch is lost');
	$stream->delete_rows(q{ALTER TABLE events DELETE WHERE _batch = (SELECT argMax(_batch, _lsn) FROM events) AND _n % 2 = 0});
	ok(wait_until(sub { grep { $_->{outcome} eq 'open' } $proxy->requests }), 'the next request is held back');
	$proxy->release;
	$stream->is_so("state = 'blocked' AND detail ~ 'rows for the 100'", 'rows of it are deleted: the stream is blocked');
	$stream->do_what_it_says;
	$stream->all_arrive('after that all of it is there');
	$stream->is_so("state = 'running'", 'and the stream runs again');
	return;
}

# A view fails behind the table, which has its rows then. They are sent again for the view, and the
# table knows them, and so does the other view.
sub test_view_fails
{
	$clickhouse->query('CREATE TABLE gate (open UInt8) ENGINE = MergeTree ORDER BY open');
	$clickhouse->query('CREATE TABLE checked (c UInt8) ENGINE = MergeTree ORDER BY c SETTINGS non_replicated_deduplication_window = 100');
	$clickhouse->query('CREATE MATERIALIZED VIEW failing TO checked AS SELECT throwIf(NOT exists(SELECT 1 FROM gate)) AS c FROM events');
	$stream->post(100);
	$stream->is_so("state = 'retrying' AND last_error ~ 'failing'", 'a view fails: the stream waits and names it');
	$clickhouse->query('INSERT INTO gate SELECT 1');
	$stream->all_arrive('it does not fail any more: the events are there once');
	is($clickhouse->query('SELECT toString(count()) FROM checked'), '100', 'the view has them, once');
	is($server->sql('SELECT count(*) FROM fast_ingest.stream_dead_letters'), '0', 'no event is taken for a bad one');
	$stream->view_agrees('and the other view has counted them once');
	$clickhouse->query('DROP VIEW failing');
	return;
}

# Answers lost and bodies cut off with another compression
sub test_compression
{
	my ($compression) = @_;

	$stream->drop;
	$stream->create(compression => $compression);
	$stream->is_so("state = 'running'", "compression $compression: the stream runs");
	$stream->merge(0);
	$proxy->on(qr/INSERT/, drop_answer => 1);
	$stream->post(100);
	$stream->all_arrive("$compression: an answer is lost");
	$proxy->on(qr/INSERT/, $compression eq 'none' ? (cut_rows => 30) : (cut_body => 1000));
	$stream->post(100);
	$stream->all_arrive("$compression: a body is cut off");
	$stream->is_so("state = 'running' AND doubts >= 2", "$compression: both were in doubt");
	$stream->view_agrees("$compression: the view agrees");
	$stream->merge(1);
	return;
}

# A table that remembers no batch
sub test_no_window
{
	$clickhouse->query($stream->table_like_events('no_window', qr/\nSETTINGS .*/, ''));
	$server->sql('TRUNCATE fast_ingest.events');
	$stream->drop;
	$stream->create(target => 'no_window');
	$stream->is_so("state = 'running' AND guarantee = 'exactly once (counted after a doubt)'", 'a table without a window: rows are counted');
	$stream->merge(0);
	$proxy->on(qr/INSERT/, drop_answer => 1);
	$stream->post(100);
	$stream->all_arrive('an answer is lost', 'no_window');
	$proxy->on(qr/INSERT/, cut_rows => 30);
	$stream->post(100);
	$stream->all_arrive('a body is cut off', 'no_window');
	$stream->merge(1);
	return;
}

$server->sql(q{SELECT fi_create_partition((now() AT TIME ZONE 'UTC')::date)});
test_ddl();
$stream->test_refusals(
	[ 'memory', 'CREATE TABLE memory AS events ENGINE = Memory', 'engine Memory, and must have MergeTree' ],
	[ 'short_key', $stream->table_like_events('short_key', qr/, _lsn, _n\)/, ', _n)'), 'ORDER BY lacks _source, _lsn or _n' ],
	[ 'no_null', $stream->table_like_events('no_null', qr/user_id Nullable\(String\)/, 'user_id String'),
		'column user_id has type String, and must have Nullable' ]);
$server->sql('TRUNCATE fast_ingest.events');
$stream->create;
$stream->is_so("state = 'running' AND guarantee = 'exactly once (deduplication window of 10000)'", 'the stream runs');
$stream->test_doubts;
$stream->test_killed_worker;
test_view_fails();
test_deleted();
$stream->test_rows;
$stream->test_target;
$stream->test_days(110);
$server->sql('TRUNCATE fast_ingest.events');
$clickhouse->query("TRUNCATE TABLE $_") foreach qw(events events_by_hour);
test_compression('none');
test_compression('zstd');
test_no_window();

unlike(PostgreSQL::Test::Utils::slurp_file($server->node->logfile), qr/secret => |X-ClickHouse-Key: first/i, 'no secret is in the log');
done_testing();
