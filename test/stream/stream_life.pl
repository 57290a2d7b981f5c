# The life of a stream: created, refused, paused, resumed, dropped, with its server stopped,
# crashed and copied. Each event that was committed reaches the target, whatever happens, and a
# stream whose position is gone posts nothing.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use FastIngest;
use FastIngest::Webhook;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $hook = FastIngest::Webhook->new;
my $server = FastIngest->new('life', database => 'app', extension => 0, conf => <<'EOC');
wal_level = logical
max_wal_senders = 4
fast_ingest.max_streams = 3
EOC
my $n = 0;

$server->sql('CREATE DATABASE app TEMPLATE template0', 'postgres');
$server->create_extension;

# Insert events and return how many there are in all.
sub post
{
	my ($count) = @_;
	my $answer = $server->post_bulk([ map { event(++$n) } 1 .. $count ]);

	die "not accepted: $answer->{body}" unless $answer->{json}{accepted} == $count;
	return $n;
}

sub create
{
	my ($name, %opt) = @_;
	my $collector = delete $opt{hook} || $hook;
	my %arguments = (flush_interval => '50 ms', %opt);

	$server->sql("SELECT fi_create_stream('$name', 'webhook', '" . $collector->url("/$name") . "'"
		  . join('', map { ", $_ => '$arguments{$_}'" } sort keys %arguments) . ')');
	return;
}

sub field
{
	my ($name, $field) = @_;

	return $server->sql("SELECT $field FROM fi_streams() WHERE name = '$name'");
}

sub wait_for_state
{
	my ($name, $state, $test) = @_;

	ok(wait_until(sub { field($name, 'state') eq $state }, 60), $test // "$name is $state")
	  or diag($server->sql('SELECT * FROM fi_streams()'));
	return;
}

sub slots
{
	return $server->sql("SELECT count(*) FROM pg_replication_slots", 'postgres');
}

sub wait_for_no_slot
{
	my ($test) = @_;

	ok(wait_until(sub { slots() == 0 }, 30), $test) or diag($server->sql('TABLE pg_replication_slots', 'postgres'));
	return;
}

# The error of a statement, with its code.
sub error_of
{
	my ($query, $database) = @_;
	my ($result, $stdout, $stderr) = $server->node->psql($database || 'app', "\\set VERBOSITY verbose\n$query");

	return $stderr;
}

# Are the events that came those of the table, each once? A request that was in doubt may have
# come twice, with the same id and bytes.
sub check_all_came
{
	my ($name, $collector) = @_;
	my (%bodies, %events);
	my $doubles = 0;

	is($collector->wait_for_events($n, 60), $n, "$name: all events came");
	foreach my $request (FastIngest::Webhook::taken($collector->requests))
	{
		my $id = $request->{headers}{'webhook-id'};

		isnt($request->{text}, $bodies{$id}, "$name: $id came with other bytes")
		  if exists $bodies{$id} && $request->{text} ne $bodies{$id};
		next if exists $bodies{$id};
		$bodies{$id} = $request->{text};
		$events{$_}++ foreach map { /"id":"([^"]+)"/ } @{ $request->{rows} };
	}
	$doubles = grep { $_ > 1 } values %events;
	is($doubles, 0, "$name: no event came in two batches");
	is(scalar keys %events, $server->count, "$name: as many as in the table");
	return;
}

# --- refusals ----------------------------------------------------------------

my $url = $hook->url('/x');
foreach my $case (
	[ "'x', 'carrier_pigeon', '$url'", qr/22023: kind "carrier_pigeon" is not known/ ],
	[ "'', 'webhook', '$url'", qr/22023: name "" is not valid/ ],
	[ "'x', 'webhook', '$url', batch_rows => 0", qr/22023: batch_rows 0 is not valid: expected 1 to 1000000/ ],
	[ "'x', 'webhook', '$url', batch_bytes => 1", qr/22023: batch_bytes 1 is not valid/ ],
	[ "'x', 'webhook', '$url', flush_interval => '1 day'", qr/22023: flush_interval "1 day" is not valid/ ],
	[ "'x', 'webhook', '$url', compression => 'rar'", qr/22023: compression "rar" is not known/ ],
	[ "'x', 'webhook', '$url', sites => '{}'", qr/22023: sites is empty/ ],
	[ "'x', 'webhook', '$url', channels => '{NULL}'", qr/22023: channels has a NULL in it/ ],
	[ "'x', 'webhook', '$url', columns => '{ts,colour}'", qr/22023: column "colour" of columns does not exist/ ],
	[ "'x', 'webhook', '$url', max_retained_wal => '1MB'", qr/22023: max_retained_wal "1MB" is not valid: expected at least 16MB/ ],
	[ "'x', 'webhook', '$url', secret => 'whsec_x', secret_file => '/x'", qr/22023: secret and secret_file are both given/ ],
	[ "'x', 'webhook', '$url', secret_file => '/does/not/exist'", qr/58P01: could not open secret_file/ ],
	[ "'x', 'webhook', NULL", qr/22004: url is NULL/ ],
	[ "'x', 'webhook', 'ftp://host'", qr/22023: .*ftp/ ])
{
	like(error_of("SELECT fi_create_stream($case->[0])"), $case->[1], "refused: $case->[0]");
}
like(error_of("SELECT fi_$_('nobody')"), qr/42704: stream "nobody" does not exist/, "$_ of no stream")
  foreach qw(pause_stream resume_stream drop_stream);
$server->sql("CREATE ROLE clerk; GRANT USAGE ON SCHEMA fast_ingest TO clerk;"
	  . "DO \$\$ BEGIN EXECUTE (SELECT format('GRANT EXECUTE ON FUNCTION %s TO clerk', oid::regprocedure)"
	  . " FROM pg_proc WHERE proname = 'fi_create_stream'); END \$\$");
like(error_of("SET ROLE clerk; SELECT fi_create_stream('x', 'webhook', '$url', secret_file => '/etc/passwd')"),
	qr/42501: role "clerk" must not name a file of the server as secret_file/, 'a file of the server');
is(slots(), 0, 'no refusal leaves a slot');

# --- create, pause, resume, drop -----------------------------------------------

create('first');
wait_for_state('first', 'running');
like(error_of("SELECT fi_create_stream('first', 'webhook', '$url')"), qr/42710: stream "first" exists already/, 'the name is taken');
post(500);
check_all_came('created', $hook);
is(field('first', 'guarantee'), 'at least once', 'the guarantee is known');
ok(wait_until(sub { $server->sql('SELECT intent_id IS NULL AND done_n > 0 FROM fast_ingest.stream_progress') eq 't' }, 30),
	'what is done is noted without a next batch');
$server->sql("BEGIN; SELECT fi_create_stream('undone', 'webhook', '$url'); ROLLBACK");
is(slots(), 1, 'a stream that is rolled back gets no slot');

$server->sql("SELECT fi_pause_stream('first')");
wait_for_state('first', 'paused');
my $before = $hook->count;
post(100);
is($server->sql("SELECT active FROM pg_replication_slots"), 't', 'a paused stream holds its slot');
is($hook->count, $before, 'nothing is posted while it is paused');
$server->sql("SELECT fi_resume_stream('first')");
check_all_came('resumed', $hook);
like(error_of("SELECT fi_resume_stream('first', refill => true)"), qr/55000: stream "first" is not lost/, 'nothing to refill');

$server->sql("BEGIN; SAVEPOINT s; SELECT fi_drop_stream('first'); ROLLBACK TO s; COMMIT");
is(slots(), 1, 'a drop that is rolled back drops nothing');
$server->sql("SELECT fi_create_stream('other$_', 'webhook', '$url') ") foreach 2 .. 3;
like(error_of("SELECT fi_create_stream('fourth', 'webhook', '$url')"), qr/53400: there are fast_ingest.max_streams = 3 streams already/, 'no worker is free');
wait_for_state("other$_", 'running') foreach 2 .. 3;
$server->sql("SELECT fi_drop_stream('other$_')") foreach 2 .. 3;
ok(wait_until(sub { slots() == 1 }, 30), 'the slots of dropped streams are dropped');

# --- the server ends and comes back ----------------------------------------------

post(200);
$server->restart;
check_all_came('restart', $hook);

# The worker dies while the target has its request and has not answered: the batch comes again
# with the same id and bytes.
foreach my $how (qw(worker server))
{
	$hook->plan({ hang => 1 }, {});
	my $seen = $hook->count;

	post(300);
	ok(wait_until(sub { $hook->count > $seen }, 30), "$how dies: a request hangs");
	$how eq 'worker' ? kill('KILL', field('first', 'pid')) : $server->crash(at_once => 1);
	$how eq 'worker' ? $server->recover : $server->start_again;
	check_all_came("$how dies while posting", $hook);
}

# It dies when the answer has come, and before or after that is noted
foreach my $turn (1 .. 3)
{
	my $seen = $hook->count;

	post(50);
	ok(wait_until(sub { $hook->count > $seen }, 30), "turn $turn: answered");
	Time::HiRes::usleep(400_000 * ($turn - 1));
	kill 'KILL', field('first', 'pid');
	$server->recover;
	check_all_came("turn $turn: killed after an answer", $hook);
}

# A fast shutdown does not wait for a target that hangs
$hook->plan({ hang => 1 }, {});
my $seen = $hook->count;
post(10);
ok(wait_until(sub { $hook->count > $seen }, 30), 'a request hangs');
my $begin = time;
$server->node->stop('fast');
cmp_ok(time - $begin, '<', 5, 'a fast shutdown takes less than 5 s');
$server->start_again;
check_all_came('stopped while posting', $hook);

# --- what the target says ----------------------------------------------------------

$hook->plan({ status => 503, headers => [ 'Retry-After', 1 ], times => 2 }, {});
post(20);
wait_for_state('first', 'retrying');
like(field('first', 'detail'), qr/503/, 'it says why');
check_all_came('tried again', $hook);
wait_for_state('first', 'running');

$hook->plan({ status => 410 }, {});
post(5);
wait_for_state('first', 'paused', 'HTTP 410 pauses it');
$server->sql("SELECT fi_resume_stream('first')");
check_all_came('resumed after 410', $hook);

# --- the position is gone ------------------------------------------------------------

sub lose
{
	my ($name, $how, $pattern) = @_;
	my $requests;

	$server->sql("SELECT fi_pause_stream('first')");
	wait_for_state('first', 'paused');
	$server->node->stop('fast');
	$server->node->append_conf('postgresql.conf', 'fast_ingest.max_streams = 0');
	$server->node->start;
	$server->wait_ready;
	$requests = $hook->count;
	post(10);
	$server->sql($how);
	$server->sql("UPDATE fast_ingest.streams SET paused = false");
	$server->node->append_conf('postgresql.conf', 'fast_ingest.max_streams = 3');
	$server->restart;
	wait_for_state('first', 'lost', "$name: lost");
	like(field('first', 'detail'), $pattern, "$name: it says why");
	is($hook->count, $requests, "$name: not one request");
	like(error_of("SELECT fi_resume_stream('first')"), qr/55000: stream "first" is lost/, "$name: it does not just go on");
	$server->sql("SELECT fi_resume_stream('first', skip_lost => true)");
	wait_for_state('first', 'running', "$name: it goes on with events of now");
	post(10);
	ok(wait_until(sub { field('first', 'events_sent') == 10 }, 30), "$name: with these only");
	return;
}

lose('slot dropped', 'SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots', qr/does not exist/);
lose('slot advanced', 'SELECT pg_replication_slot_advance(slot_name, pg_current_wal_lsn()) FROM pg_replication_slots', qr/moved/);

# --- a copy of the server posts nothing ------------------------------------------------

$server->node->append_conf('pg_hba.conf', 'local replication all trust');
$server->node->reload;
$server->node->backup('copy');
my $copy = PostgreSQL::Test::Cluster->new('copy');
$copy->init_from_backup($server->node, 'copy');
$copy->append_conf('postgresql.conf', 'fast_ingest.port = ' . PostgreSQL::Test::Cluster::get_free_port());
$before = $hook->count;
$copy->start;
ok(wait_until(sub { $copy->safe_psql('app', "SELECT state FROM fi_streams()") eq 'lost' }, 30), 'a copy: its stream is lost');
is($hook->count, $before, 'a copy posts nothing');
$copy->stop;

# --- the disk ----------------------------------------------------------------------------

my $dead = FastIngest::Webhook->new(plan => [ { status => 503 } ]);
create('full', hook => $dead, max_retained_wal => '16MB');
ok(wait_until(sub { field('full', 'state') =~ /running|retrying/ }, 30), 'a stream to a dead target');
my $offset = -s $server->node->logfile;
$server->sql("SELECT pg_logical_emit_message(false, 'x', repeat('x', 1000000)) FROM generate_series(1, 9)");
post(1);
ok($server->wait_for_log_line(qr/stream "full" holds back \d+ bytes/, $offset), 'a warning at half of the limit');
$server->sql("SELECT pg_logical_emit_message(false, 'x', repeat('x', 1000000)) FROM generate_series(1, 9)");
wait_for_state('full', 'lost', 'lost at the limit');
ok(wait_until(sub { slots() == 1 }, 30), 'its slot is gone');
is($server->sql("SELECT lost_reason LIKE '%max_retained_wal%' AND lost_at IS NOT NULL FROM fast_ingest.stream_progress p JOIN fast_ingest.streams s ON s.id = p.stream_id WHERE s.name = 'full'"),
	't', 'it is recorded');
is($server->post_bulk([ event(++$n) ])->{json}{accepted}, 1, 'events are taken all the same');
$server->sql("SELECT fi_drop_stream('full')");

# --- the extension and the database are dropped ----------------------------------------------

$server->sql('DROP EXTENSION fast_ingest CASCADE; DROP SCHEMA IF EXISTS fast_ingest CASCADE');
wait_for_no_slot('DROP EXTENSION: no slot remains');
$server->create_extension;
create('again');
wait_for_state('again', 'running');
$hook->plan({ hang => 1 });
$seen = $hook->count;
$server->post_bulk([ event(1) ]);
ok(wait_until(sub { $hook->count > $seen }, 30), 'a request hangs');
$server->sql('DROP DATABASE app', 'postgres');
wait_for_no_slot('DROP DATABASE while posting: no slot remains');

done_testing();
