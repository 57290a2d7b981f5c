# What an operator sees is what the server's own tables and functions say, and what he does there is
# done: dead letters with their reasons, retried one by one, by reason and all; workers, staging,
# streams with trouble, settings that differ.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use FastIngest;
use FastIngest::Browser;
use FastIngest::Dashboard;
use Test::More;

my $server = FastIngest->new('operator_page', conf => "fast_ingest.max_body_size = '12MB'\nwal_level = logical\nmax_wal_senders = 4\nfast_ingest.max_streams = 2");

# Two reasons
$server->sql(<<'EOS');
ALTER TABLE fast_ingest.events ADD CONSTRAINT no_robots CHECK (user_id NOT LIKE 'robot%');
ALTER TABLE fast_ingest.events ADD CONSTRAINT no_tests CHECK (channel <> 'test');
EOS
is($server->post_event(event($_, user_id => "robot-$_"))->{status}, 422, 'refused') foreach 1 .. 3;
is($server->post_event(event($_, channel => 'test'))->{status}, 422, 'refused') foreach 4 .. 8;
is($server->post_event(event(9))->{status}, 202, 'stored');

my $browser = FastIngest::Browser->new($server);
my $page = $browser->open('/?tz=UTC&view=operator');
my $letters = '#operator-dead-letters';

# Rows of a table by its caption
sub rows
{
	my ($caption) = @_;

	settled($page, 'operator');
	return @{ $page->js(<<'EOJ', $caption) };
caption => [...document.querySelectorAll("#view-operator table")].filter(table => table.caption?.textContent === caption)
  .flatMap(table => [...table.tBodies].flatMap(body => [...body.rows].map(row => [...row.cells].map(cell => cell.innerText.trim()).join("|"))))
EOJ
}

# Press a button, and wait for what comes of it
sub retry
{
	my ($button, $outcome) = @_;

	$page->click("$letters $button");
	$page->wait_for("$letters [role=status]:has-text(\"$outcome\")");
	return settled($page, 'operator');
}

sub is_left
{
	my ($n, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;

	is($server->sql('SELECT count(*) FROM fast_ingest.dead_letters'), $n, "$name: $n are left");
	$page->wait_for_js(qq{document.querySelector("$letters").textContent.includes("Retry all $n")});
	return;
}

like($page->text('#operator-attention'), qr/dead letter|refused/i, 'dead letters need attention');
my @reasons = rows('Dead letters by reason');
is(join(' ', map { (split /\|/)[1] . ' ' . (split /\|/)[2] } @reasons), '23514 5 23514 3', 'two reasons, with their code and number');
like($reasons[0], qr/no_tests/, 'the first is the most frequent');
like($reasons[1], qr/no_robots/, 'then the other');
is(scalar(rows('The newest dead letters')), 8, 'and all eight events');
$page->click("$letters details summary >> nth=0");
like($page->text("$letters details[open] pre"), qr/"channel": "test"/, 'an event is shown whole');

# Nothing has changed: refused again
retry('button:has-text("Retry all")', '8 were refused again');
is_left(8, 'refused again');

# One of them, then a reason, then all
$server->sql('ALTER TABLE fast_ingest.events DROP CONSTRAINT no_robots');
my ($id) = $server->sql(q(SELECT max(id) FROM fast_ingest.dead_letters WHERE message LIKE '%no_robots%'));
retry("button:has-text(\"Retry event $id\")", '1 is stored');
is_left(7, 'one event');
retry('button:has-text("Retry these"):has-text("no_robots")', '2 are stored');
is_left(5, 'one reason');
$server->sql('ALTER TABLE fast_ingest.events DROP CONSTRAINT no_tests');
is($server->post_event(event(8, channel => 'test'))->{status}, 202, 'a client sends one again');
retry('button:has-text("Retry all")', '4 are stored, 1 was there already');
is_left(0, 'all');
is($server->sql('SELECT count(*) FROM fast_ingest.events'), 9, 'each event is stored once');
ok(!$page->js(qq{document.querySelector("$letters button")?.offsetParent}), 'there is nothing to retry');
$page->is_quiet('dead letters');

# Workers, settings

is(join("\n", sort map { s/\|.*//r } rows('Workers')), $server->sql('SELECT worker FROM fi_status() ORDER BY worker COLLATE "C"'), 'the workers');
like(join("\n", rows('Settings that differ from their defaults')), qr/fast_ingest\.max_body_size\|12(?:\.0)? MB\|20(?:\.0)? MB/, 'a setting that differs');
like($page->text('#operator-attention'), qr/All is well|Nothing needs attention|Note/i, 'nothing else needs attention');

# A stream whose target is not there

$server->sql(q(SELECT fi_create_stream('warehouse', 'webhook', 'http://127.0.0.1:1/events', secret => 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw')));
$server->post_event(event(10));
$page->wait_for_js('document.querySelector("#operator-streams").textContent.includes("retrying")');
like(join("\n", rows('Streams')), qr/warehouse \(webhook\)\|retrying/, 'a stream that cannot send: its state');
like($page->text('#operator-streams'), qr/connect/i, 'and why');
like($page->text('#operator-attention'), qr/warehouse/, 'it needs attention');
$page->has_no_barriers('with a stream');
$page->fits('with a stream');
$page->screenshot('operator_stream');
$page->press('/');
$page->press('?');
$page->wait_for('role=dialog[name="Keys"]');
pass('/ opens no list of websites, since this view has none: other keys go on');
$page->is_quiet('a stream');
$browser->close;

done_testing();
