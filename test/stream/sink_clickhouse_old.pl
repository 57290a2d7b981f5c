# ClickHouse 18.16 gets each event once, whatever happens on the way: lost answers, bodies that are
# cut off, queries that go on, rows and tables that do not fit. It has no tokens: the rows of a batch
# are counted after a doubt.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use FastIngest::ClickHouse;
use FastIngest::ClickHouseStream;
use FastIngest::Streams;
use FastIngest::Tls;
use FastIngest::Wait;
use PostgreSQL::Test::Utils;
use Test::More;

my $server = FastIngest::Streams->new('old');
my $authority = new_authority('mine');
my $clickhouse = FastIngest::ClickHouse->new(user => 'streams', password => 'first', certificate => new_certificate($authority));
my $stream = FastIngest::ClickHouseStream->new($server, $clickhouse);
my $proxy = $stream->proxy;

# The next batch's query_id is taken by a query that runs.
sub test_running
{
	my $id = $server->sql(q{SELECT 'fi-' || epoch || '-1-' || batch + 1 FROM fast_ingest.stream_progress});
	my $pid = fork;

	if ($pid == 0)
	{
		$clickhouse->request('SELECT sleep(3)', settings => { query_id => $id });
		POSIX::_exit(0);
	}
	$clickhouse->wait_for("SELECT toString(count()) FROM system.processes WHERE query_id = '$id'", '1');
	$stream->post(100);
	$stream->is_so("last_error ~ 'writing batch'", 'a query with the id of a batch runs: the stream waits');
	$stream->all_arrive('and the events arrive when it has ended');
	waitpid $pid, 0;
	return;
}

# A body without compression that is cut off behind a row is whole for 18.16: a person must look.
sub test_cut_body
{
	$stream->drop;
	$stream->create(compression => 'none');
	$stream->is_so("state = 'running'", 'a stream without compression runs');
	$proxy->on(qr/INSERT/, cut_rows => 30);
	$stream->post(100);
	$stream->is_so("state = 'blocked' AND detail ~ '30 rows for the 100'", 'it is blocked, and says what is there');
	$stream->do_what_it_says;
	$stream->all_arrive('a body was cut off behind a row');
	$stream->is_so("state = 'running'", 'and the stream runs again');
	return;
}

# The server's certificate is of an authority of its own, and the password is in a file.
sub test_tls
{
	my $file = PostgreSQL::Test::Utils::tempdir() . '/secret';
	my %tls = (url => 'https://localhost:' . $clickhouse->https_port, secret_file => $file);

	append_to_file($file, "first\n");
	$stream->drop;
	$stream->create(%tls, ca_file => new_authority('another') . '.crt');
	$stream->is_so("state = 'retrying' AND last_error ~* 'certificate'", 'a certificate of an unknown authority is refused');
	$stream->drop;
	$stream->create(%tls, ca_file => "$authority.crt");
	$stream->is_so("state = 'running'", 'that of a known one is not');
	$server->sql('TRUNCATE fast_ingest.events');
	$clickhouse->query('TRUNCATE TABLE events');
	$stream->post(100);
	$stream->all_arrive('events arrive over TLS');
	return;
}

$server->sql(q{SELECT fi_create_partition((now() AT TIME ZONE 'UTC')::date)});
$stream->test_refusals(
	[ 'distributed', 'CREATE TABLE distributed AS events ENGINE = Distributed(here, default_database, events)', 'engine Distributed.*give the local table' ],
	[ 'memory', 'CREATE TABLE memory AS events ENGINE = Memory', 'engine Memory, and must have MergeTree' ],
	[ 'short_key', $stream->table_like_events('short_key', qr/, _source, _lsn, _n\)/, ', _lsn, _n)'), 'ORDER BY lacks _source, _lsn or _n' ],
	[ 'no_null', $stream->table_like_events('no_null', qr/user_id Nullable\(String\)/, 'user_id String'),
		'column user_id has type String, and must have Nullable' ]);
$stream->create;
$server->sql('TRUNCATE fast_ingest.events');
$stream->is_so("state = 'running' AND guarantee = 'exactly once (counted after a doubt)'", 'the stream runs');
$stream->test_doubts;
$stream->test_killed_worker;
test_running();
$stream->test_rows;
$stream->test_target;
$stream->test_days(25);
test_cut_body();
test_tls();

unlike(PostgreSQL::Test::Utils::slurp_file($server->node->logfile), qr/secret => |X-ClickHouse-Key: first/i, 'no secret is in the log');
done_testing();
