# What a stream says of itself, and what its target has of the events of a server.

package FastIngest::StreamState;

use strict;
use warnings;

use Exporter 'import';
use FastIngest::Wait;
use JSON::PP ();
use Test::More;

our @EXPORT = qw(stream_conf stream_of wait_for_state wait_for_stream stream_pid clickhouse_table equal_counts);

# Lines for postgresql.conf of a server with streams
sub stream_conf
{
	my ($streams) = @_;

	return <<"EOC";
wal_level = logical
max_replication_slots = 10
max_wal_senders = 4
fast_ingest.max_streams = @{[ $streams || 1 ]}
EOC
}

# A row of fi_streams()
sub stream_of
{
	my ($server, $name) = @_;

	return JSON::PP::decode_json(
		$server->sql("SELECT coalesce((SELECT row_to_json(s) FROM fi_streams() s WHERE name = '$name'), '{}')"));
}

# Wait until a function of the stream's row is true. Returns the last row.
sub wait_for_stream
{
	my ($server, $name, $condition, $seconds) = @_;
	my $stream;

	wait_until(sub { $stream = eval { stream_of($server, $name) } || {}; $condition->($stream) }, $seconds);
	return $stream;
}

# Wait for a state, and check it. Returns the stream's row.
sub wait_for_state
{
	my ($server, $name, $state, $test) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $stream = wait_for_stream($server, $name, sub { ($_[0]->{state} || '') =~ /^(?:$state)$/ });

	like($stream->{state}, qr/^(?:$state)$/, $test || "stream $name is $state") or diag(explain($stream));
	return $stream;
}

# The pid of the worker that serves a stream; empty while there is none
sub stream_pid
{
	my ($server, $name) = @_;

	return $server->sql("SELECT pid FROM fi_streams() WHERE name = '$name'");
}

# Make an empty table in ClickHouse 18.16: the server's own, but of an engine that shows an event which
# came twice for ever.
sub clickhouse_table
{
	my ($server, $clickhouse, $table) = @_;
	my ($statement) = split /;/, $server->sql("SELECT fi_clickhouse_ddl('$table', version => 'old')") =~ s/^\s*--.*$//mgr;

	$statement =~ s/\bReplacingMergeTree\b/MergeTree/ or die "another engine in: $statement";
	$clickhouse->query("DROP TABLE IF EXISTS $table");
	$clickhouse->query($statement);
	return;
}

# Check that a table of ClickHouse has each event of the server's once. The sum shows that they are
# the same: the digits of user_id and path.
sub equal_counts
{
	my ($server, $clickhouse, $table, $test, $where) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $condition = $where ? "WHERE $where" : '';
	my ($count, $sum) = split /\|/, $server->sql(<<"EOQ");
SELECT count(*), coalesce(sum(regexp_replace(user_id || path, '[^0-9]', '', 'g')::numeric), 0)
FROM fast_ingest.events $condition
EOQ
	my $wanted = "$count $count $sum";
	my $query = <<"EOQ";
SELECT concat(toString(count()), ' ', toString(uniqExact(_lsn, _n)), ' ',
  toString(sum(toUInt64OrZero(replaceRegexpAll(concat(assumeNotNull(user_id), assumeNotNull(path)), '[^0-9]', '')))))
FROM $table
EOQ
	my $got = $clickhouse->wait_for($query, $wanted);

	return is($got, $wanted, $test || "ClickHouse has the $count events, each once");
}

1;
