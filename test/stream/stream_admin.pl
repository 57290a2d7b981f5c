# Who may call the functions of streams, what a copy of the database says of its streams, and
# that no slot stays of a stream that is dropped while there is no worker.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use FastIngest;
use FastIngest::StreamState;
use Test::More;

my $server = FastIngest->new('admin', conf => stream_conf(3));
my $node = $server->node;

sub slots { return $server->sql('SELECT count(*) FROM pg_replication_slots') }

sub error_of
{
	my ($database, $statements) = @_;
	my (undef, undef, $error) = $node->psql($database, "\\set VERBOSITY verbose\n$statements");

	return $error;
}

# An ordinary role, which may execute the functions and has no rights on the tables

$server->sql('CREATE ROLE keeper');
like(error_of('postgres', "SET ROLE keeper; SELECT fi_pause_stream('a')"), qr/42501/, 'nobody may call them who was not granted it');
$server->sql(<<'SQL');
DO $$
DECLARE
  f regprocedure;
BEGIN
  FOR f IN SELECT oid FROM pg_proc WHERE proname ~ '^fi_.*stream' LOOP
    EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO keeper', f);
  END LOOP;
END
$$
SQL
sub as_keeper { return $server->sql("SET ROLE keeper; $_[0]") }

as_keeper("SELECT fi_create_stream('$_', 'webhook', 'http://127.0.0.1:1/')") foreach qw(a b c);
wait_for_state($server, $_, 'running') foreach qw(a b c);
as_keeper("SELECT fi_pause_stream('a'); SELECT fi_resume_stream('a')");
is(as_keeper("SELECT here, target FROM fi_check_stream('a', '2024-05-01')"), '0|', 'who was granted it counts');
as_keeper("SELECT fi_resend_stream('a', '2024-05-01', '2024-05-02')");
is(as_keeper("SELECT fi_retry_stream_dead_letters('a')"), 0, 'and sends dead letters again');
like(error_of('postgres', "SET ROLE keeper; SELECT fi_create_stream('d', 'webhook', 'http://127.0.0.1:1/', $_ => '/etc/hostname')"), qr/42501: .*keeper.*$_/, "but names no $_")
  foreach qw(secret_file ca_file cert_file key_file);
like(error_of('postgres', "SET ROLE keeper; TABLE fast_ingest.streams"), qr/42501/, 'and reads no table');
like(error_of('postgres', "SELECT fi_resend_stream($_)"), qr/22004: \w+ is NULL/, "NULL is an error: $_")
  foreach ("NULL, '2024-05-01', '2024-05-02'", "'a', NULL, '2024-05-02'", "'a', '2024-05-01', NULL");

# A copy in the same server, whose streams have the ids of the original's

my $dump = $node->basedir . '/dump.sql';

$node->command_ok([ 'pg_dump', '-f', $dump, $node->connstr('postgres') ], 'a dump');
$node->safe_psql('postgres', 'CREATE DATABASE copy');
$node->command_ok([ 'psql', '-q', '-f', $dump, $node->connstr('copy') ], 'is restored');
is($node->safe_psql('copy', 'SELECT count(*), min(state), min(detail) FROM fi_streams()'),
	'3|lost|its position is not in this database: it was restored from a dump', 'the streams of a copy are lost');
like(error_of('copy', "SELECT fi_resume_stream('a', refill => true)"), qr/55000: streams are of database "postgres"/, 'and cannot go on there');

# There are no workers: the session that drops a stream drops its slot

$node->append_conf('postgresql.conf', 'fast_ingest.max_streams = 0');
$server->restart;
is(slots(), 3, 'three slots');
$server->sql("BEGIN; SELECT fi_drop_stream('a'); ROLLBACK");
is(slots(), 3, 'a transaction that is rolled back drops none');
$server->sql("BEGIN; SELECT fi_drop_stream('a'); SAVEPOINT s; SELECT fi_drop_stream('b'); ROLLBACK TO s; SAVEPOINT t; SELECT fi_drop_stream('c'); RELEASE t; COMMIT");
is($server->sql('SELECT s.name FROM pg_replication_slots JOIN fast_ingest.stream_progress USING (slot_name) JOIN fast_ingest.streams s ON s.id = stream_id'),
	'b', 'one that drops two drops the slots of both, and keeps that of a savepoint that was rolled back');
is(slots(), 1, 'and no other');
$node->stop;

done_testing();
