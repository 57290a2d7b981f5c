# No event is lost because an administrator made a mistake with the table. When the table refuses
# every event for one reason, events wait, clients and monitoring see why, and the events are
# stored when the table is mended. A client whose own events are bad is told so. What is shown
# without a key contains no text of an event. Settings of the database or of the role, which are
# meant for others, change nothing.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use FastIngest;
use PostgreSQL::Test::Utils qw(slurp_file);
use Test::More;

my $PRIVATE = 'somebody-s-secret';
my $server = FastIngest->new('administrator', conf => "fast_ingest.staging_size = '1MB'\nfast_ingest.request_timeout = '10min'\n");
my $log = -s $server->node->logfile;
my $n = 0;

sub now_event { return event(++$n, timestamp => int(time), user_id => "$PRIVATE-$n", @_) }

sub dead_letters { return $server->sql('SELECT count(*) FROM fast_ingest.dead_letters') }

sub gauge
{
	return $server->get('/metrics/prometheus')->{body} =~ /^fast_ingest_table_refuses_all\{pair="1"\} (\d)$/m ? $1 : undef;
}

sub shows_nothing
{
	my ($name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;

	unlike($server->get($_)->{body}, qr/\Q$PRIVATE\E/, "$name: $_ has no event's text")
	  foreach '/ready', '/ready?for=read', '/health', '/metrics/prometheus';
	unlike(substr(slurp_file($server->node->logfile), $log), qr/\Q$PRIVATE\E/, "$name: nor has the log");
	return;
}

# Every event is refused: while $mistake is in force, until $mended.
sub refuses_all
{
	my ($name, $mistake, $mended, $reason, %opt) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $letters = dead_letters();
	my $offset = -s $server->node->logfile;

	$server->sql($mistake);
	my @waiting = $server->send_events(map { now_event() } 1 .. 5);

	push @waiting, $server->connect;
	$waiting[-1]->send(http_message('POST', '/events/bulk', body => [ map { now_event() } 1 .. 10 ]));
	ok($server->wait_not_ready($reason), "$name: /ready says why");
	is($server->wait_for_staged(15), 15, "$name: all events wait");
	is($server->sql(q{SELECT state || ' ' || (last_error <> '') FROM fi_status() WHERE worker = 'flusher 1'}),
		'retrying true', "$name: and so does fi_status()");
	ok($server->wait_for_log_line($reason, $offset), "$name: and the log");
	is(gauge(), $opt{refused} ? 1 : 0, "$name: Prometheus hears of it") if exists $opt{refused};
	shows_nothing($name);
	$server->sql($mended);
	is(join(' ', map { $_->read_answer->{status} } @waiting), '202 202 202 202 202 202', "$name: all are stored when it is mended");
	is(dead_letters(), $letters, "$name: none was given up");
	$server->wait_ready;
	is(gauge(), 0, "$name: Prometheus hears that it is over");
	$server->books_balance($name);
	return;
}

is($server->post_event(now_event())->{status}, 202, 'nothing is wrong') foreach 1 .. 3;

# ---------------------------------------------------------------------------
# The table
# ---------------------------------------------------------------------------

my $trigger = 'CREATE TRIGGER wrong BEFORE INSERT ON fast_ingest.events FOR EACH ROW EXECUTE FUNCTION public.wrong()';
my $no_trigger = 'DROP TRIGGER wrong ON fast_ingest.events; DROP FUNCTION public.wrong()';

sub trigger
{
	my ($body) = @_;

	return "CREATE FUNCTION public.wrong() RETURNS trigger LANGUAGE plpgsql AS \$\$ BEGIN $body; RETURN NEW; END \$\$; $trigger";
}

my $not_null = 'ALTER TABLE fast_ingest.events ADD COLUMN x int NOT NULL DEFAULT 0; ALTER TABLE fast_ingest.events ALTER x DROP DEFAULT';

refuses_all('a column without a default', $not_null,
	'ALTER TABLE fast_ingest.events DROP COLUMN x', qr/error 23502 of column \\?"x/, refused => 1);
refuses_all('a constraint', 'ALTER TABLE fast_ingest.events ADD CONSTRAINT none CHECK (false) NOT VALID',
	'ALTER TABLE fast_ingest.events DROP CONSTRAINT none', qr/error 23514 of constraint \\?"none/, refused => 1);
refuses_all('a trigger that raises an error', trigger(q{RAISE EXCEPTION 'no %', NEW.user_id}),
	$no_trigger, qr/error P0001/, refused => 1);
refuses_all('a trigger that divides by zero', trigger(q{NEW.path = 1 / 0}), $no_trigger, qr/error 22012/, refused => 1);
refuses_all('a trigger that names the user', trigger(q{RAISE EXCEPTION 'no' USING CONSTRAINT = NEW.user_id, TABLE = NEW.user_id, COLUMN = NEW.user_id}),
	$no_trigger, qr/error P0001/, refused => 1);
refuses_all("a trigger with code $_", trigger(qq{RAISE EXCEPTION 'no %', NEW.user_id USING ERRCODE = '$_'}),
	$no_trigger, qr/error $_/, refused => 0)
  foreach qw(42501 40001 55P03 57014);
refuses_all('a trigger with wrong SQL', trigger(q{EXECUTE format('SELECT FROM %I', NEW.user_id)}), $no_trigger, qr/error 42P01/, refused => 0);
refuses_all('a trigger that looks for a file', trigger(q{PERFORM pg_read_file(NEW.user_id)}), $no_trigger, qr/error 58P01/, refused => 0);
refuses_all('a column that is gone', 'ALTER TABLE fast_ingest.events RENAME COLUMN campaign_id TO gone',
	'ALTER TABLE fast_ingest.events RENAME COLUMN gone TO campaign_id', qr/campaign_id/, refused => 0);

# The mistake is in the partition of today only, and events of other days are stored

my $today = $server->sql("SELECT tableoid::regclass FROM fast_ingest.events WHERE user_id = '$PRIVATE-1'");

is($server->post_event(event(++$n))->{status}, 202, 'an event of another day is stored');
refuses_all('a constraint of the partition of today', "ALTER TABLE $today ADD CONSTRAINT none CHECK (false) NOT VALID",
	"ALTER TABLE $today DROP CONSTRAINT none", qr/error 23514 of constraint \\?"none/, refused => 1);

# A unique index of another table

refuses_all('a trigger that meets a unique index', 'CREATE TABLE public.seen (channel text PRIMARY KEY); INSERT INTO public.seen VALUES (\'web\');'
	. trigger('INSERT INTO public.seen VALUES (NEW.channel)'),
	"$no_trigger; DROP TABLE public.seen", qr/error 23505 of constraint \\?"seen_pkey/, refused => 1);

# The mistake lasts until staging is full.

$server->sql('ALTER TABLE fast_ingest.events ADD CONSTRAINT none CHECK (false) NOT VALID');
my @waiting;
my $full;
while (!$full)
{
	my $connection = $server->connect;

	$connection->send(http_message('POST', '/events/bulk', body => [ map { now_event(metadata => { padding => 'x' x 300 }) } 1 .. 200 ]));
	my $before = @waiting;
	wait_until(sub {
		my $answer = $connection->read_answer(seconds => 0.01);
		$full = $answer if $answer->{status} ne 'timeout';
		return $full || $server->status->{staged} == 200 * (@waiting + 1);
	});
	push @waiting, $connection unless $full;
}
is($full->{status}, 503, 'when staging is full, clients hear 503');
is($full->{headers}{'retry-after'}, 1, 'with Retry-After');
$server->sql('ALTER TABLE fast_ingest.events DROP CONSTRAINT none');
is(scalar(grep { $_->read_answer->{status} eq 202 } @waiting), scalar @waiting, 'what was staged is stored');
is(dead_letters(), 0, 'nothing of all this is a dead letter');
$server->wait_ready;

# ---------------------------------------------------------------------------
# A client
# ---------------------------------------------------------------------------

$server->sql(q{ALTER TABLE fast_ingest.events ADD CONSTRAINT no_bots CHECK (channel <> 'bot')});
is($server->post_bulk([ map { now_event(channel => 'bot') } 1 .. 3 ])->{status}, 422, 'a client that sends bad events only hears 422')
  foreach 1 .. 12;
is($server->post_event(now_event())->{status}, 202, 'others are stored');
is(dead_letters(), 36, 'its events are dead letters');
is($server->get('/ready')->{status}, 200, 'the server is ready all the time');

# Nothing is known about the table after a restart.
$server->restart;
is($server->post_bulk([ map { now_event(channel => 'bot') } 1 .. 3 ])->{status}, 422, 'also after a restart');
$server->restart;
refuses_all('a column without a default after a restart', $not_null,
	'ALTER TABLE fast_ingest.events DROP COLUMN x', qr/error 23502 of column \\?"x/, refused => 1);
$server->sql('ALTER TABLE fast_ingest.events DROP CONSTRAINT no_bots');

# ---------------------------------------------------------------------------
# Settings
# ---------------------------------------------------------------------------

my %settings = (
	session_replication_role => 'replica',
	default_transaction_read_only => 'on',
	default_transaction_deferrable => 'on',
	default_transaction_isolation => 'serializable',
	default_table_access_method => 'heap',
	default_toast_compression => 'pglz',
	check_function_bodies => 'off',
	client_min_messages => 'debug5',
	DateStyle => 'SQL, DMY',
	IntervalStyle => 'sql_standard',
	TimeZone => 'Asia/Kathmandu',
	bytea_output => 'escape',
	extra_float_digits => -15,
	array_nulls => 'off',
	quote_all_identifiers => 'on',
	standard_conforming_strings => 'off',
	transform_null_equals => 'on',
	constraint_exclusion => 'off',
	enable_indexscan => 'off',
	enable_bitmapscan => 'off',
	enable_hashjoin => 'off',
	enable_nestloop => 'off',
	enable_partition_pruning => 'off',
	jit => 'on',
	jit_above_cost => 0,
	plan_cache_mode => 'force_generic_plan',
	search_path => 'nowhere',
	row_security => 'on',
	statement_timeout => 1,
	lock_timeout => 1,
	idle_in_transaction_session_timeout => 1);

my $first_day = 400;

foreach my $of ('DATABASE postgres', 'ROLE ' . $server->sql('SELECT current_user'))
{
	# the test's own sessions keep theirs
	$ENV{PGOPTIONS} = join ' ', map { "-c $_->[0]=$_->[1]" }
	  [ session_replication_role => 'origin' ], [ default_transaction_read_only => 'off' ], [ statement_timeout => 0 ],
	  [ lock_timeout => 0 ], [ idle_in_transaction_session_timeout => 0 ], [ search_path => 'public' ],
	  [ client_min_messages => 'notice' ], [ timezone => 'UTC' ], [ default_transaction_isolation => 'read\\ committed' ];
	$server->sql(join ';', map { "ALTER $of SET $_ = '$settings{$_}'" } sort keys %settings);
	$server->restart;

	my @events = map { event(++$n, user_id => "set-$n", timestamp => $NOON + 86400 * ($first_day + $_), tags => [ 'null', 'a' ]) } 1 .. 20;

	is($server->post_bulk(\@events)->{json}{accepted}, 20, "settings of $of: events are stored");
	is($server->wrong_metrics, '', "settings of $of: and counted");
	$server->set('fast_ingest.refresh_backlog' => 1);
	ok(wait_until(sub { $server->post_event(event(++$n)); $server->sql('SELECT count(*) FROM fast_ingest.rollup_delta') <= 1 }),
		"settings of $of: the worker refreshes");
	is($server->wrong_metrics, '', "settings of $of: the metrics are right after it");
	$server->set('fast_ingest.refresh_backlog' => 1000000);
	my $from = $server->sql("SELECT to_char(min(ts), 'YYYY-MM-DD') FROM fast_ingest.events WHERE user_id = '$events[0]{user_id}'");
	like($server->get("/metrics?event_name=page_view&from=${from}T00:00:00Z&to=${from}T23:59:59Z")->{body},
		qr/"total_events":1,/, "settings of $of: queries are answered");
	$server->sql(join ';', map { "ALTER $of RESET $_" } sort keys %settings);
	delete $ENV{PGOPTIONS};
	$first_day += 50;
}
# ---------------------------------------------------------------------------
# The partition of today is gone, and somebody prevents a new one
# ---------------------------------------------------------------------------

{
	my $letters = dead_letters();

	$server->sql("DROP TABLE $today");
	my $holder = $server->node->background_psql('postgres');
	$holder->query_safe('BEGIN; LOCK TABLE fast_ingest.events IN SHARE UPDATE EXCLUSIVE MODE');
	my @homeless = $server->send_events(map { now_event() } 1 .. 5);
	ok($server->wait_not_ready(qr/the partition of \d+-\d+-\d+ cannot be made: given up after 1000 ms/),
		'a partition that cannot be made in time: /ready says so');
	$holder->quit;
	is(join(' ', map { $_->read_answer->{status} } @homeless), '202 202 202 202 202', 'the events are stored when it can be');
	is(dead_letters(), $letters, 'none of them was given up');
	$server->wait_ready;
}

$server->books_balance;
$server->node->stop;
done_testing();
