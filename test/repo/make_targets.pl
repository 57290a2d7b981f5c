# Each make target that asks the cluster of `make run` says what it does and what came back, and
# fails when that is not right or when there is no cluster. The other targets run what `make help`
# says.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use FastIngest;
use FastIngest::Doc;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

chdir "$FindBin::RealBin/../.." or die "could not go to the top of the tree: $!";
# The private copy of PostgreSQL cannot build extensions
$ENV{PATH} = join ':', grep { !m{/tmp_install/} } split /:/, $ENV{PATH};
delete @ENV{qw(MAKEFLAGS MAKELEVEL MFLAGS SECONDS CONNECTIONS TESTS)};

# A cluster of its own, beside that of the developer
my $parent = PostgreSQL::Test::Utils::tempdir_short();
$ENV{FI_RUN} = "$parent/run";
$ENV{FI_PORT} = PostgreSQL::Test::Cluster::get_free_port();

# Exit code and output of a command
sub exit_and_output
{
	my ($input, @command) = @_;
	my $output = '';

	IPC::Run::run(\@command, '<', \$input, '>', \$output, '2>&1', IPC::Run::timeout($TIMEOUT));
	return ($? >> 8, $output);
}

sub target
{
	my ($name, %opt) = @_;

	return exit_and_output($opt{input} || '', 'make', '-s', $name, @{ $opt{variables} || [] });
}

# Check that the target succeeds, or fails, and that its output matches.
sub is_target
{
	my ($good, $name, $pattern, $description, %opt) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my ($code, $output) = target($name, %opt);

	ok(($code == 0) == $good && $output =~ $pattern, "make $name: $description")
	  or diag("exit code $code, wanted ", $good ? '0' : 'another one', " and output like $pattern:\n$output");
	return;
}

my $unaligned = "\\set ON_ERROR_STOP 1\n\\pset tuples_only\n\\pset format unaligned\n";

sub sql
{
	my ($sql) = @_;
	my ($code, $output) = exit_and_output("$unaligned$sql;\n", 'test/dev/cluster.sh', 'psql');

	die "$sql: $output" if $code;
	return (split /\n/, $output)[-1];
}

END
{
	my $exit_code = $?;

	system 'test/dev/cluster.sh reset >/dev/null 2>&1' if $ENV{FI_RUN};
	$? = $exit_code;
}

my @targets = qw(health ready test-event test-metrics load-test psql);

my (undef, $commands) = exit_and_output('', qw(make --always-make --dry-run));
like($commands, qr/ -o fast_ingest\.so /, 'make without a target makes the extension');

# The tests cannot run themselves: what they would run
foreach my $case (
	[ 'check', qr{^TESTS= test/dev/test\.sh check$}m ],
	[ 'test', qr{^test/dev/test\.sh$}m ],
	(map { [ "test-$_", qr{^TESTS='a b' test/dev/test\.sh $_$}m ] } qw(regress isolation tap unit fuzz)),
	[ 'torture', qr{^TESTS='a b' test/dev/test\.sh torture$}m ],
	[ 'test-valgrind', qr{^VALGRIND=yes TESTS='a b' test/dev/test\.sh tap$}m ],
	[ 'fuzz', qr{^FUZZ_SECONDS='300' test/dev/test\.sh fuzz$}m ],
	[ 'check-includes', qr{^perl test/dev/check_includes\.pl$}m ])
{
	my ($name, $pattern) = @$case;
	my (undef, $output) = target($name, variables => [ '--dry-run', 'TESTS=a b' ]);

	like($output, $pattern, "make $name");
}

is_target(0, $_, qr/there is no cluster running: make run/, 'there is no cluster') foreach @targets;
is_target(0, 'logs', qr/there is no cluster: make run/, 'there is no cluster');

my ($code, $output) = target('run');
is($code, 0, 'make run') or diag($output);
like($output, qr{ready at http://127\.0\.0\.1:$ENV{FI_PORT}$}m, 'make run: at the port that was asked for');
ok(output_matches($output =~ s/127\.0\.0\.1:$ENV{FI_PORT}/127.0.0.1:8080/gr, block_of('README.md', qr/\Amake run$/)->{output}),
	'make run: prints what the README says')
  or diag($output);

my $url = "http://127.0.0.1:$ENV{FI_PORT}";

is_target(1, 'health', qr{^\$ curl -s $url/health\n200 \{"status":"ok"\}\n\z}, 'the command and the answer');
is_target(1, 'ready', qr{^\$ curl -s $url/ready\n200 \{"status":"ready"\}\n\z}, 'the command and the answer');
is_target(1, 'psql', qr/^events\n\z/m, 'a session in the database', input => "${unaligned}SELECT current_database();\n");
is_target(1, 'logs', qr/fast_ingest listens on localhost port $ENV{FI_PORT}/, 'the end of the log');
is_target(0, 'test-metrics', qr/there are no events: make test-event/, 'there is nothing to compare');

# An event

is_target(1, 'test-event',
	qr{\$ curl -s $url/events -H 'Content-Type: application/json' -d '\{"event_name":"test_event".*\}'\n202 \{"status":"accepted"\}\n.*test_event \| web .*\nstored once\n\z}s,
	'posted and stored');
is_target(1, 'test-event', qr/\nstored once\n\z/, 'and another one');
is(sql('SELECT count(*) FROM fast_ingest.events'), 2, 'so there are two');
is_target(1, 'test-metrics',
	qr{fi_metrics\('test_event'.*web +\| +2 \| +2\n.*\$ curl -s -G $url/metrics .*\n200 \{.*"total_events":2,.*\nSQL, HTTP and the raw rows say the same\n\z}s,
	'by SQL and by HTTP');

# Wrong metrics are noticed

sql(q{SET session_replication_role = replica; INSERT INTO fast_ingest.events (event_name, channel, user_id, ts) SELECT 'test_event', 'web', 'unseen', max(ts) FROM fast_ingest.events});
is_target(0, 'test-metrics', qr/the raw rows say .*"total_events": 3/, 'a row that no trigger saw');
sql('SELECT fi_rebuild()');
is_target(1, 'test-metrics', qr/say the same\n\z/, 'until it is counted');
sql(q{INSERT INTO fast_ingest.events (event_name, channel, user_id, ts) SELECT $$it's "odd" & more$$, $$a'b"c\d$$, 'u' || n, max(ts) FROM fast_ingest.events, generate_series(1, 5) n GROUP BY n});
is_target(1, 'test-metrics', qr/it's.*say the same\n\z/s, 'names that must be quoted');

# Load

is_target(1, 'load-test',
	qr{posting single events to $url/events over 4 connections for 1 seconds\n\d+ events accepted in \d+\.\d s: \d+ events/s, p50 \d+\.\d\d ms, p99 \d+\.\d\d ms\nthe books balance: },
	'figures and books',
	variables => [ 'SECONDS=1', 'CONNECTIONS=4' ]) foreach 1, 2;
is(sql('SELECT sum(duplicate) FROM fi_status()'), 0, 'make load-test: the second one posts other events than the first');
is_target(0, 'load-test', qr/SECONDS is 1h: expected 1 to 999/, 'for how long?', variables => ['SECONDS=1h']);

# The demo: it fills a month, and adds nothing twice

my $now = time;
my @demo = (
	1, 'demo',
	qr{^9999 events accepted\n.*^both are what the raw rows say\n.*^rejected: user_id is required\n.*^1\d{5} events accepted\n.*^events and users are those that were made up, and what the raw rows say\n.*^the dashboard: $url/\?site=shop\.example\n\z}ms);
my $shop = "FROM fast_ingest.events WHERE (metadata->>'demo')::boolean AND ts < to_timestamp($now)";

is_target(@demo, 'a log, a month of a shop, and where to see it');
cmp_ok(sql("SELECT count(DISTINCT ts::date) $shop"), '>=', 30, 'make demo: events on each day');
cmp_ok(sql(q{SELECT unique_users FROM fi_live('shop.example') WHERE part = 'last 30 minutes'}), '>', 0, 'make demo: somebody is there now');
my $events = sql("SELECT count(*) $shop");
is_target(@demo, 'again');
is(sql("SELECT count(*) $shop"), $events, 'make demo: nothing is there twice');
is(sql(q{SELECT count(*) FROM fi_dead_letters(reason => 'invalid input syntax for type numeric')}), 3, 'make demo: three dead letters');
is(sql('SELECT stored FROM fi_retry_dead_letters()'), 3, 'make demo: which can be stored');
is_target(1, 'demo-live', qr{^posting what happens in the next 2 seconds: $url/.*\n\d+ events posted\n\z}, 'as it happens', variables => ['SECONDS=2']);

# Refused events, for a reason that does not hold for every event

sql(q{DO $$ BEGIN EXECUTE format('ALTER TABLE fast_ingest.events ADD CONSTRAINT nothing_new CHECK (ts < %L AND event_name <> ''product_view'') NOT VALID', date_trunc('second', now())); END $$});
is_target(0, 'test-event', qr/\n422 .*nothing_new.*\n.*the answer is not 202/, 'a refusal is a failure');
is_target(0, 'load-test', qr/answer was HTTP\S+ 422 .*not every answer was a 202/s, 'a refusal is a failure',
	variables => [ 'SECONDS=1', 'CONNECTIONS=1' ]);
sql('ALTER TABLE fast_ingest.events DROP CONSTRAINT nothing_new');
sql('SELECT fi_unschedule(); DROP EXTENSION fast_ingest');
my $not_ready;
ok(wait_until(sub { ($code, $not_ready) = target('ready'); $code != 0 }),
	'make ready: fails when nothing is ready to take events');
like($not_ready, qr/\n503 \{"error":.*\n.*the answer is not 200/, 'make ready: and shows why');
is_target(1, 'health', qr/^200 /m, 'the listener is well nevertheless');

# The end

is_target(1, 'stop', qr/server stopped/, 'stops it');
is_target(0, 'health', qr/there is no cluster running: make run/, 'there is none after that');
is_target(1, 'logs', qr/database system is shut down/, 'what it said is still there');
is_target(1, 'reset', qr/there is no cluster running/, 'deletes it');
ok(!-e $ENV{FI_RUN}, 'make reset: nothing is left');

# The list of targets

($code, $output) = target('help');
like($output, qr/^make .*\b$_\b/m, "make help: lists $_")
  foreach qw(run demo demo-log demo-live demo-streams stream-packages dashboard-packages screenshots dist deb health ready test-event test-metrics load-test psql logs stop reset check test torture test-valgrind fuzz
  test-regress test-isolation test-tap test-unit test-fuzz bench format format-check check-includes tmp-install clean);

done_testing();
