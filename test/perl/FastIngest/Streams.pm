# Streams of a server in tests: its configuration, their states, and the oracle: every event of the
# table is in the target once, at a position of its own.
#
#   my $server = FastIngest::Streams->new('name');     # a FastIngest with streams
#   $server->create_table($clickhouse, 'events');
#   $server->create_stream('s', 'clickhouse', $proxy->url, target => 'events', batch_rows => 100);
#   $server->wait_until_sent('s');
#   $server->same_events($clickhouse, 'events', 'all are there');

package FastIngest::Streams;

use strict;
use warnings;

use FastIngest;
use FastIngest::Wait;
use Test::More;

our @ISA = qw(FastIngest);

# Options of FastIngest::Server, and streams: how many there can be (4)
sub new
{
	my ($class, $name, %opt) = @_;
	my $streams = delete $opt{streams} // 4;
	my $conf = $opt{conf} // '';

	return $class->SUPER::new($name, %opt, conf => <<EOC);
wal_level = logical
max_replication_slots = 10
max_wal_senders = 4
max_worker_processes = 24
fast_ingest.max_streams = $streams
$conf
EOC
}

sub quote
{
	my ($value) = @_;

	return 'NULL' unless defined $value;
	return 'ARRAY[' . join(', ', map { quote($_) } @$value) . ']::text[]' if ref $value;
	return "'" . ($value =~ s/'/''/gr) . "'";
}

# fi_create_stream() with arguments by name. A batch is sent 50 ms after its first row, if nothing
# else is said.
sub create_stream
{
	my ($self, $name, $kind, $url, %arguments) = @_;

	%arguments = (flush_interval => '50 ms', %arguments);
	return $self->sql('SELECT fi_create_stream(' . join(', ', map { quote($_) } $name, $kind, $url)
		  . join('', map { ", $_ => " . quote($arguments{$_}) } sort keys %arguments) . ')');
}

# The tables for a stream that carries all columns, as fi_clickhouse_ddl() prints them
sub create_table
{
	my ($self, $clickhouse, $table) = @_;
	my $version = $clickhouse->query('SELECT version()') =~ /\A18\./ ? 'old' : 'modern';
	my $ddl = $self->sql("SELECT fi_clickhouse_ddl(" . quote($table) . ", version => '$version')");

	$ddl =~ s/^--.*\n//mg;
	$clickhouse->query($_) foreach grep { /\S/ } split /;\s*(?:\n|\z)/, $ddl;
	return;
}

# A column of fi_streams()
sub stream
{
	my ($self, $name, $column) = @_;

	return $self->sql("SELECT $column FROM fi_streams() WHERE name = " . quote($name));
}

# Wait until a stream is in this state. Returns true; else prints what it is in, and returns false.
sub wait_for_state
{
	my ($self, $name, $state) = @_;

	return 1 if wait_until(sub { (eval { $self->stream($name, 'state') } // '') eq $state });
	diag("$name is not $state: " . $self->stream($name, "concat_ws(', ', state, detail, last_error)"));
	return 0;
}

# Wait until everything that is committed now has been sent and acknowledged.
sub wait_until_sent
{
	my ($self, $name) = @_;
	my $lsn = $self->sql('SELECT pg_current_wal_insert_lsn()');

	return 1
	  if wait_until(
		sub {
			return (eval { $self->sql(<<EOQ) } // '') eq 't';
SELECT state = 'running' AND coalesce(backfill_left, 0) = 0 AND sent_lsn >= '$lsn'
FROM fi_streams() WHERE name = ${\ quote($name) }
EOQ
		});
	diag("$name has not sent all: "
		  . $self->stream($name, "concat_ws(', ', state, detail, lag_events, lag_bytes, backfill_left, last_error)"));
	return 0;
}

# The rows of a table of ClickHouse are those of fast_ingest.events: each once, with its values, and
# at a position that no other has. Options: where: a condition that is SQL here, and there; live =>
# 0: rows of backfills may be among them, whose _lsn is 0.
sub same_events
{
	my ($self, $clickhouse, $table, $name, %opt) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $where = $opt{where} ? "WHERE $opt{where}" : '';
	my $is_old = $clickhouse->query(
		"SELECT toString(count()) FROM system.columns WHERE database = currentDatabase() AND table = '$table' AND name = 'ts_us'");
	my $ts = $is_old ? 'ts_us' : 'toUnixTimestamp64Micro(ts)';
	my @there = map { join "\t", map { $_ // '\N' } @$_ } $clickhouse->rows(
		"SELECT event_name, channel, user_id, toString($ts), site_id, path, metadata FROM $table $where");
	my @here = split /\n/, $self->sql(<<EOQ);
SELECT concat_ws(E'\\t', event_name, channel, coalesce(user_id, '\\N'), (extract(epoch FROM ts) * 1000000)::bigint,
	coalesce(site_id, '\\N'), coalesce(path, '\\N'), coalesce(metadata::text, '\\N'))
FROM fast_ingest.events $where
EOQ
	my ($different) = $clickhouse->rows("SELECT toString(uniqExact(_lsn, _n)), toString(count()) FROM $table $where");
	my %count;

	$count{$_}++ foreach @here;
	$count{$_}-- foreach @there;
	my @missing = grep { $count{$_} > 0 } sort keys %count;
	my @too_many = grep { $count{$_} < 0 } sort keys %count;
	my $ok = !@missing && !@too_many && ($opt{live} // 1 ? $different->[0] == $different->[1] : 1);

	ok($ok, $name)
	  or diag(@here . ' rows here, ' . @there . " there, at $different->[0] positions\nmissing: @missing[0 .. ($#missing < 4 ? $#missing : 4)]\n"
		  . "too many: @too_many[0 .. ($#too_many < 4 ? $#too_many : 4)]");
	return $ok;
}

1;
