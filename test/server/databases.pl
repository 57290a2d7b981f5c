# The database of the events may come and go, and the workers never hold up other databases.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use FastIngest;
use IO::Socket::INET;
use Test::More;
use Time::HiRes qw(time);

my $n = 0;

# Run a statement, in template1 by default. Returns the seconds that it took.
sub seconds
{
	my ($server, $query, $database) = @_;
	my $begin = time;

	$server->sql($query, $database || 'template1');
	return time - $begin;
}

# Events are stored again in a database with the extension.
sub comes_to_life
{
	my ($server, $name) = @_;
	my $answer =
	  $server->wait_for_answer(202, sub { $server->post_event(event(++$n)) });

	is($answer->{status}, 202, "$name: events are taken");
	is($server->wait_ready->{status}, 200, "$name: ready");
	cmp_ok($server->count, '>', 0, "$name: events are stored");
	return;
}

# The database is not there yet, then is empty, then has the extension

my $server =
  FastIngest->new('databases', database => 'app', extension => 0);

is($server->wait_for_answer(200, sub { $server->get('/health') })->{status}, 200, 'no database: the listener runs');
ok($server->wait_not_ready(qr/database/), 'no database: /ready says so');
is_error($server->post_event(event(++$n)),
	503, qr/database/, 'no database: events are refused with the reason');

seconds($server, 'CREATE DATABASE app TEMPLATE template0');
ok($server->wait_not_ready(qr/extension/i), 'no extension: /ready says so');
my $answer = $server->post_event(event(++$n));
is_error($answer, 503, qr/extension/i, 'no extension: events are refused with the reason');
ok($answer->{headers}{'retry-after'}, 'no extension: with Retry-After');
is($server->get('/health')->{status}, 200, 'no extension: the listener runs');

$server->sql('CREATE EXTENSION fast_ingest');
comes_to_life($server, 'CREATE EXTENSION');

# A schema of the same name is no extension

my $other = FastIngest->new('schema_only', extension => 0);
$other->sql('CREATE SCHEMA fast_ingest; CREATE TABLE fast_ingest.events (a int)');
ok($other->wait_not_ready(qr/extension/i), 'a schema of the same name is not taken for it');
$other->sql('DROP SCHEMA fast_ingest CASCADE');
$other->create_extension;
comes_to_life($other, 'the extension in its place');
$other->node->stop;

# Other databases

foreach my $when ('idle', 'under load')
{
	my $load = $when eq 'idle' ? undef : $server->start_load(name => 'neighbour');

	ok($load->wait_for_acknowledgements(100), 'events are coming') if $load;
	foreach my $round (1 .. 3)
	{
		cmp_ok(seconds($server, 'CREATE DATABASE other'),
			'<', 5, "$when: CREATE DATABASE of another, round $round");
		cmp_ok(seconds($server, 'DROP DATABASE other'),
			'<', 5, "$when: DROP DATABASE of another, round $round");
	}
	if ($load)
	{
		ok($load->wait_for_acknowledgements(100), 'events are still coming');
		$load->stop;
		$server->stored_once($load, $when);
	}
}

# The extension is dropped and created again while events come. What was
# stored is gone with it: that is what DROP EXTENSION means.

my $load = $server->start_load(name => 'droploop');

foreach my $round (1 .. 5)
{
	ok($load->wait_for_acknowledgements(20), "round $round: events are coming");
	cmp_ok(seconds($server, 'DROP EXTENSION fast_ingest CASCADE', 'app'),
		'<', 30, "round $round: DROP EXTENSION");
	ok($server->wait_not_ready(qr/extension/i), "round $round: /ready says what is missing");
	is_error(
		$server->wait_for_answer(503, sub { $server->post_event(event(++$n)) }),
		503, qr/extension/i, "round $round: events are refused");
	$server->sql('CREATE EXTENSION fast_ingest');
	$server->wait_ready;
}
ok($load->wait_for_acknowledgements(20), 'events are coming at the end');
$load->stop;
is(join("\n", $load->complaints), '', 'no other answer than 202 and 503');
is( $server->sql(
		'SELECT count(*) - count(DISTINCT user_id) FROM fast_ingest.events'),
	0,
	'none is stored twice');
comes_to_life($server, 'after the last CREATE EXTENSION');

# DROP DATABASE of the database with the events: the workers give way

foreach my $how ('', ' WITH (FORCE)')
{
	my $listener = $server->worker_pid('listener', 'template1');

	cmp_ok(seconds($server, "DROP DATABASE app$how"), '<', 10,
		"DROP DATABASE$how of the events' database");
	ok($server->wait_not_ready(qr/database/), "DROP DATABASE$how: /ready says so");
	is_error(
		$server->wait_for_answer(503, sub { $server->post_event(event(++$n)) }),
		503, qr/database/, "DROP DATABASE$how: events are refused");
	is($server->worker_pid('listener', 'template1'),
		$listener, "DROP DATABASE$how: the listener goes on");

	seconds($server, 'CREATE DATABASE app TEMPLATE template0');
	$server->create_extension;
	comes_to_life($server, "DROP DATABASE$how and CREATE DATABASE");
}
$server->node->stop;

# The port is taken: the server starts, says so, and gets it when it is free

my $late = FastIngest->new('port_taken', start => 0);
my $thief = IO::Socket::INET->new(
	LocalAddr => '127.0.0.1',
	LocalPort => $late->port,
	Proto => 'tcp',
	Listen => 5) or die "could not listen on port " . $late->port . ": $!";

$late->node->start;
my $port = $late->port;
ok($late->wait_for_log_line(qr/\b$port\b.*in use|in use.*\b$port\b/s),
	'port taken: the log names it');
$late->sql('CREATE EXTENSION fast_ingest');
ok( wait_until(
		sub {
			$late->sql(
				"SELECT count(*) FROM fi_status() WHERE worker LIKE 'listener%' AND last_error ~ '$port'"
			);
		}),
	'port taken: fi_status() says so');
$thief->close;
comes_to_life($late, 'the port is free');
$late->node->stop;

done_testing();
