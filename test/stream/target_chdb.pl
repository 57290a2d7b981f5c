# The engine of a new ClickHouse behind its front behaves as one does: a token inserts once where the
# table has a window and each time where it has none, and a body that was cut off is refused.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use FastIngest;
use FastIngest::Chdb qw(no_chdb_here);
use FastIngest::Proxy;
use IO::Compress::Gzip qw(gzip);
use PostgreSQL::Test::Utils;
use Test::More;

plan skip_all => no_chdb_here() if no_chdb_here();

my $clickhouse = FastIngest::Chdb->new(user => 'streams', password => 'first');
my $proxy = FastIngest::Proxy->new(target => $clickhouse->port);
my $rows = join '', map { qq({"a":$_,"b":"row $_"}\n) } 1 .. 1000;
my @login = ('X-ClickHouse-User', 'streams', 'X-ClickHouse-Key', 'first');

# A POST of rows through the proxy. Returns the answer.
sub insert
{
	my ($table, $body, %opt) = @_;
	my $path = query_path('/', query => "INSERT INTO $table (a, b) FORMAT JSONEachRow", %{ $opt{settings} || {} });
	my @headers = @login;
	my $connection = FastIngest::Connection->new($proxy->port) or return { status => 'refused' };

	push @headers, 'Content-Encoding', $opt{gzip} ? 'gzip' : $opt{encoding} if $opt{gzip} || $opt{encoding};
	gzip(\(my $plain = $body), \$body) if $opt{gzip};
	if ($opt{chunked})
	{
		push @headers, 'Transfer-Encoding', 'chunked';
		$body = join('', map { sprintf "%x\r\n%s\r\n", length, $_ } $body =~ /(.{1,700})/gs) . "0\r\n\r\n";
	}
	$connection->send(http_message('POST', $path, body => $body, headers => \@headers));
	return $connection->read_answer(seconds => 60);
}

my $tables = 0;

sub new_table
{
	my ($window) = @_;
	my $table = 't' . ++$tables;

	$clickhouse->query("CREATE TABLE $table (a UInt64, b String) ENGINE = MergeTree ORDER BY a"
		  . ($window ? " SETTINGS non_replicated_deduplication_window = $window" : ''));
	return $table;
}

like($clickhouse->query('SELECT version()'), qr/\A26\./, 'a new version');

# Tokens and windows
my $settings = { insert_deduplication_token => 'fi-1', async_insert => 0, wait_end_of_query => 1, insert_deduplicate => 1 };
foreach my $way ({}, { gzip => 1 }, { chunked => 1 }, { gzip => 1, chunked => 1 })
{
	my $name = join(' and ', sort keys %$way) || 'plain';
	my $with = new_table(100);
	my $without = new_table;
	my $answer;

	foreach (1 .. 2)
	{
		$answer = insert($with, $rows, %$way, settings => $settings);
		is("$answer->{status}$answer->{body}", 200, "$name: an insert with a token is answered so");
		insert($without, $rows, %$way, settings => $settings);
	}
	like($answer->{headers}{'x-clickhouse-summary'}, qr/"written_rows":"\d+"/, "$name: with a summary");
	is($clickhouse->count($with), 1000, "$name: the same token is one set of rows");
	is($clickhouse->count($without), 2000, "$name: without a window it is two");
	insert($with, $rows, %$way, settings => { %$settings, insert_deduplication_token => 'fi-2' });
	is($clickhouse->count($with), 2000, "$name: another token is another set");
	insert($with, '{"a":1,"b":"other"}', %$way, settings => $settings);
	is($clickhouse->count($with), 2000, "$name: other rows with the same token are dropped");

	# a body that ends early
	foreach my $rule ([ cut_rows => 300 ], [ cut_body => 700 ])
	{
		my $table = new_table(100);

		$proxy->on(qr/INTO%20$table%20/, @$rule);
		is(insert($table, $rows, %$way, settings => $settings)->{status}, 'closed', "$name: $rule->[0]");
		$proxy->wait_for_requests(1, qr/INTO%20$table%20/);
		is($clickhouse->count($table), 0, "$name: nothing of a body that was cut off is inserted");
		is(insert($table, $rows, %$way, settings => $settings)->{status}, 200, "$name: the batch is sent again");
		is($clickhouse->count($table), 1000, "$name: and is there, once");
	}
}

# A zstd frame
my $zstd = new_table(100);
my $file = PostgreSQL::Test::Utils::tempdir() . '/rows';
append_to_file($file, $rows);
my $frame = `zstd -qc $file`;
is(insert($zstd, $frame, encoding => 'zstd')->{status}, 200, 'zstd');
is($clickhouse->count($zstd), 1000, 'is decompressed');
like(insert($zstd, substr($frame, 0, -20), encoding => 'zstd')->{body}, qr/\ACode: \d+\. DB::Exception/, 'a frame that ends early is an error');
is($clickhouse->count($zstd), 1000, 'of which nothing is inserted');

# The answer is lost after the server has committed
my $table = new_table(100);
$proxy->on(qr/INTO%20$table%20/, drop_answer => 1);
is(insert($table, $rows, settings => $settings)->{status}, 'closed', 'the answer is lost');
is(insert($table, $rows, settings => $settings)->{status}, 200, 'the batch is sent again');
is($clickhouse->count($table), 1000, 'and is there, once');

# Errors by code
sub is_code
{
	my ($answer, $status, $code, $name) = @_;

	is("$answer->{status} " . ($answer->{headers}{'x-clickhouse-exception-code'} // ''), "$status $code", $name);
	like($answer->{body}, qr/\ACode: $code\. DB::Exception: /, "$name: in the body");
	return;
}
is_code(insert('missing', $rows), 404, 60, 'a table that is missing');
is_code(insert($table, $rows, settings => { no_such_setting => 1 }), 404, 115, 'a setting that is missing');
is_code(insert($table, qq({"a":"x"}\n)), 400, 27, 'a row that cannot be read');
is_code($clickhouse->request('SELECT 1', headers => { 'X-ClickHouse-Key' => 'wrong' }), 403, 516, 'a wrong password');
is($clickhouse->count($table), 1000, 'and nothing was inserted');
is($clickhouse->query("SELECT toString(count()) FROM system.settings WHERE name = 'insert_deduplication_token'"), 1,
	'system.settings knows tokens');

# The same query id while the first runs
my $slow = FastIngest::Connection->new($clickhouse->port);
$slow->send(http_message('POST', query_path('/', query_id => 'fi-9'), body => 'SELECT sleep(2)', headers => \@login));
ok(wait_until(sub { $clickhouse->count('system.processes', "query_id = 'fi-9'") eq '1' }), 'a query runs under its id');
is_code(insert($table, $rows, settings => { query_id => 'fi-9' }), 500, 216, 'its id is taken');
is($slow->read_answer(seconds => 30)->{status}, 200, 'it goes on');
is(insert($table, $rows, settings => { query_id => 'fi-9', insert_deduplication_token => 'after' })->{status}, 200, 'then the id is free');

# Rows are deleted by a mutation
is($clickhouse->request("ALTER TABLE $table DELETE WHERE a <= 500", settings => { mutations_sync => 1 })->{status}, 200, 'a mutation');
is($clickhouse->count($table), 1000, 'deletes');
is($clickhouse->query("SELECT toString(countIf(NOT is_done)) FROM system.mutations WHERE table = '$table'"), 0, 'and is done');

# Its ends
$clickhouse->kill9;
$clickhouse->start;
is($clickhouse->count($table), 1000, 'its rows outlive kill -9');
insert($table, $rows, settings => $settings);
is($clickhouse->count($table), 1000, 'and so does its window');
$clickhouse->restart;
is($clickhouse->count($table), 1000, 'and a restart');
is_deeply([ $clickhouse->rows("SELECT a, b FROM $table ORDER BY a LIMIT 1") ], [ [ '501', 'row 501' ] ], 'rows are read');

done_testing;
