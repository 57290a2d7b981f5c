# The targets of the other stream tests are what they are taken for: Debian's ClickHouse 18.16,
# which inserts what it has got of a body that was cut off, and the proxy that cuts.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use FastIngest;
use FastIngest::ClickHouse;
use FastIngest::Proxy;
use IO::Compress::Gzip qw(gzip);
use Test::More;
use Time::HiRes qw(time);

my $clickhouse = FastIngest::ClickHouse->new(user => 'streams', password => 'first');
my $proxy = FastIngest::Proxy->new(target => $clickhouse->port);
my $rows = join '', map { qq({"a":$_,"b":"row $_"}\n) } 1 .. 1000;

# A POST of rows through the proxy, in one piece or with chunks. Returns the answer.
sub insert
{
	my ($table, $body, %opt) = @_;
	my $path = query_path('/', query => "INSERT INTO $table FORMAT JSONEachRow", %{ $opt{settings} || {} });
	my @headers = ('X-ClickHouse-User', 'streams', 'X-ClickHouse-Key', $clickhouse->{password});
	my $connection = FastIngest::Connection->new($proxy->port) or return { status => 'refused' };

	push @headers, 'Content-Encoding', 'gzip' if $opt{gzip};
	gzip(\(my $plain = $body), \$body) if $opt{gzip};
	if ($opt{chunked})
	{
		push @headers, 'Transfer-Encoding', 'chunked';
		$body = join('', map { sprintf "%x\r\n%s\r\n", length, $_ } $body =~ /(.{1,700})/gs) . "0\r\n\r\n";
	}
	$connection->send(http_message('POST', $path, body => $body, headers => [ @headers, 'Connection', 'close' ]));
	return $connection->read_answer(seconds => $opt{seconds} || 60);
}

my $tables = 0;

sub new_table
{
	my $table = 't' . ++$tables;

	$clickhouse->query("CREATE TABLE $table (a UInt64, b String) ENGINE = MergeTree ORDER BY a");
	return $table;
}

is($clickhouse->query('SELECT version()'), '18.16.1', 'Debian\'s version');
is($clickhouse->query("SELECT toString(count()) FROM system.settings WHERE name = 'insert_deduplication_token'"),
	0, 'it knows no token');

# Bytes are passed as they are, each way of sending them.
foreach my $way ({}, { gzip => 1 }, { chunked => 1 }, { gzip => 1, chunked => 1 })
{
	my $name = join(' and ', sort keys %$way) || 'plain';
	my $table = new_table;

	is(insert($table, $rows, %$way)->{status}, 200, "$name: inserted");
	is($clickhouse->count($table), 1000, "$name: all rows are there");

	my ($request) = $proxy->requests(qr/INTO%20$table%20/);

	is($request->{outcome}, 'passed', "$name: the proxy passed it");
	is($request->{body}, $rows, "$name: and kept its bytes") unless %$way;

	# behind a whole row, and in the middle of one
	foreach my $rule ([ cut_rows => 300 ], [ cut_body => length($request->{body}) / 2 ])
	{
		my $cut_table = new_table;

		$proxy->on(qr/INTO%20$cut_table%20/, @$rule);
		is(insert($cut_table, $rows, %$way)->{status}, 'closed', "$name: $rule->[0] leaves no answer");
		($request) = $proxy->wait_for_requests(1, qr/INTO%20$cut_table%20/);
		is($request->{outcome}, 'cut', "$name: $rule->[0]: the proxy cut it");

		my $count = $clickhouse->count($cut_table);

		note "$name: $rule->[0]: $count rows are there; answer: " . substr $request->{answer}, 0, 60;
		is($count, 300, "$name: 18.16 inserts 300 whole rows of a body that was cut off behind them")
		  if $rule->[0] eq 'cut_rows' && !%$way;
		cmp_ok($count, '<', 1000, "$name: $rule->[0]: rows are missing");
	}
}

# A target that is not reached, or says nothing
my $table = new_table;

$proxy->on(qr/INTO%20$table%20/, drop_answer => 1);
is(insert($table, $rows)->{status}, 'closed', 'the answer is dropped');
is($clickhouse->count($table), 1000, 'after the rows were inserted');
my ($dropped) = $proxy->requests(qr/INTO%20$table%20/);
like($dropped->{answer}, qr/\AHTTP\/1.1 200 /, 'and the proxy knows the answer');
is(insert($table, $rows)->{status}, 200, 'the proxy acts once');
is($clickhouse->count($table), 2000, 'without tokens the same rows are inserted again');
my ($first, $second) = $proxy->requests(qr/INTO%20$table%20/);
is($first->{head} . $first->{body}, $second->{head} . $second->{body}, 'the same bytes came twice');

$proxy->on(qr/INTO%20$table%20/, close => 1, reset => 1);
is(insert($table, $rows)->{status}, 'closed', 'the connection is closed');
$proxy->on(qr/INTO%20$table%20/, cut_answer => 20);
like(insert($table, $rows)->{status}, qr/closed|not HTTP/, 'a part of an answer');
is($clickhouse->count($table), 3000, 'the first was not passed on, the second was');

$proxy->on(qr/INTO%20$table%20/, answer => "HTTP/1.1 503 Unavailable\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n");
my $answer = insert($table, $rows);
is($answer->{status}, 503, 'an answer of the proxy\'s own');
is($answer->{headers}{'retry-after'}, 7, 'with its headers');

$proxy->refuse;
is(insert($table, $rows)->{status}, 'refused', 'connections are refused');
$proxy->accept;
$proxy->on(qr/INTO%20$table%20/, delay => 0.3);
my $begin = time;
is(insert($table, $rows)->{status}, 200, 'and accepted again');
cmp_ok(time - $begin, '>=', 0.3, 'after a delay');

foreach my $hang (qw(hang hang_answer))
{
	my $before = $clickhouse->count($table);
	my $connection = FastIngest::Connection->new($proxy->port);
	my $message = http_message('POST', query_path('/', query => "INSERT INTO $table FORMAT JSONEachRow"),
		body => $rows, headers => [ 'X-ClickHouse-User', 'streams', 'X-ClickHouse-Key', 'first' ]);

	$proxy->on(qr/INTO%20$table%20/, $hang => 1);
	$connection->send($message);
	is($connection->read_answer(seconds => 1)->{status}, 'timeout', "$hang: nothing comes");
	is($clickhouse->count($table), $before + ($hang eq 'hang' ? 0 : 1000), "$hang: what has been inserted");
	$proxy->release;
	is($connection->read_answer(seconds => 30)->{status}, 200, "$hang: until it is released");
	is($clickhouse->count($table), $before + 1000, "$hang: the rows are there");
}
cmp_ok($proxy->connections, '>=', 15, 'connections are counted');

# Errors, in the form of 18.16
$answer = insert('missing', $rows);
is($answer->{status}, 404, 'a table that is missing');
like($answer->{body}, qr/^Code: 60, e\.displayText\(\) = /m, 'by its code');
ok(!exists $answer->{headers}{'x-clickhouse-exception-code'}, 'which no header tells');

# The same query id while the first runs
my $slow = FastIngest::Connection->new($clickhouse->port);
my @login = ('X-ClickHouse-User', 'streams', 'X-ClickHouse-Key', 'first');
$slow->send(http_message('POST', query_path('/', query_id => 'fi-1'), body => 'SELECT sleep(2)', headers => \@login));
ok(wait_until(sub { $clickhouse->count('system.processes', "query_id = 'fi-1'") eq '1' }), 'a query runs');
$answer = insert($table, $rows, settings => { query_id => 'fi-1' });
like($answer->{body}, qr/^Code: 216, .*fi-1/m, 'its id cannot be used meanwhile');
is($slow->read_answer(seconds => 30)->{status}, 200, 'it goes on');

# Its ends
$clickhouse->set_password('second');
is($clickhouse->count($table) > 0, 1, 'another password');
is($clickhouse->request('SELECT 1', headers => { 'X-ClickHouse-Key' => 'first' })->{status} ne 200, 1, 'the old one is refused');
my $count = $clickhouse->count($table);
$clickhouse->kill9;
is(insert($table, $rows)->{status}, 'closed', 'nobody is there');
$clickhouse->start;
is($clickhouse->count($table), $count, 'its rows outlive kill -9');
is_deeply([ $clickhouse->rows("SELECT a, b FROM $table ORDER BY a LIMIT 1") ], [ [ '1', 'row 1' ] ], 'rows are read');

done_testing;
