# A target that refuses rows: halving finds them, they become dead letters, the others arrive. A
# target that refuses everything is at fault itself: nothing becomes a dead letter.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use FastIngest;
use FastIngest::Webhook;
use Test::More;

# A collector that refuses a batch with a certain text in it
package Picky;

our @ISA = ('FastIngest::Webhook');

sub answer
{
	my ($self, $request, $order) = @_;
	my $text = FastIngest::StandIn::uncompress($request->{body}, $request->{headers}{'content-encoding'});

	return (422, [], 'no') if $order->{refuses} && $text =~ /$order->{refuses}/;
	return (204, [], '');
}

package main;

my $hook = Picky->new(plan => [ { refuses => 'poison' } ]);
my $server = FastIngest->new('refusals', conf => "wal_level = logical\nfast_ingest.max_streams = 1\n");
my $n = 0;

sub post
{
	my ($count, %poisoned) = @_;
	my @events = map { event(++$n, path => $poisoned{$_} ? "/poison/$n" : "/fine/$n") } 1 .. $count;

	is($server->post_bulk(\@events)->{json}{accepted}, $count, "$count events");
	return;
}

sub letters
{
	return $server->sql('SELECT count(*) FROM fast_ingest.stream_dead_letters');
}

# The events that were taken, by id, with how often they came
sub taken
{
	my %events;

	foreach my $request (FastIngest::Webhook::taken($hook->requests))
	{
		$events{$_}++ foreach map { /"id":"([^"]+)"/ } @{ $request->{rows} };
	}
	return \%events;
}

sub wait_for_taken
{
	my ($count, $name) = @_;

	ok(wait_until(sub { keys %{ taken() } == $count }, 60), "$name: $count events were taken")
	  or diag(scalar(keys %{ taken() }) . ' ' . $server->sql('SELECT * FROM fi_streams()'));
	is(scalar(grep { $_ > 1 } values %{ taken() }), 0, "$name: none of them twice");
	return;
}

$server->sql("SELECT fi_create_stream('picky', 'webhook', '" . $hook->url . "', flush_interval => '200 ms')");
ok(wait_until(sub { $server->sql("SELECT state FROM fi_streams()") eq 'running' }, 30), 'the stream runs');

post(100, 17 => 1, 18 => 1, 100 => 1);
wait_for_taken(97, 'three bad rows of 100');
ok(wait_until(sub { letters() == 3 }, 30), 'they are dead letters');
is($server->sql("SELECT count(*) FROM fast_ingest.stream_dead_letters WHERE event LIKE '%poison%' AND reason LIKE '%422%'"),
	3, 'with the event and the reason');
is($server->sql("SELECT dead_letters FROM fi_streams()"), 3, 'fi_streams() counts them');

# A single bad row may be the fault of the target, until that takes another
post(1, 1 => 1);
ok(wait_until(sub { $server->sql("SELECT detail FROM fi_streams()") =~ /refuses each of/ }, 30), 'a batch of one bad row');
post(1);
wait_for_taken(98, 'another one comes');
ok(wait_until(sub { letters() == 4 }, 30), 'the bad row is a dead letter');

# All rows are bad: more likely the target is
$hook->plan({ refuses => '.' });
post(20);
ok(wait_until(sub { $server->sql("SELECT detail FROM fi_streams()") =~ /refuses each of/ }, 60), 'a target that refuses all is at fault')
  or diag($server->sql('SELECT * FROM fi_streams()'));
is($server->sql("SELECT state FROM fi_streams()"), 'retrying', 'it is tried again');
$hook->plan({ refuses => 'poison' });
$server->sql("SELECT fi_resume_stream('picky')");
wait_for_taken(118, 'the target is well again');
ok(wait_until(sub { letters() == 4 }, 30), 'none of these is a dead letter');
ok(wait_until(sub { $server->sql('SELECT count(*) FROM fast_ingest.stream_dead_letters WHERE retry') == 0 }, 30),
	'those of before had their other chance');

# Dead letters again: one stays one, the others are taken
$hook->plan({ refuses => 'poison/100"' });
is($server->sql("SELECT fi_retry_stream_dead_letters('picky')"), 4, 'all are to be sent again');
wait_for_taken(121, 'dead letters again');
ok(wait_until(sub { letters() == 1 }, 30), 'the one that is refused again stays')
  or diag($server->sql('SELECT * FROM fast_ingest.stream_dead_letters'));
is($server->sql("SELECT retry FROM fast_ingest.stream_dead_letters"), 'f', 'and waits for the next time');
is($server->sql("SELECT intent_id IS NULL FROM fast_ingest.stream_progress"), 't', 'nothing is in flight');

post(10);
wait_for_taken(131, 'afterwards');

done_testing();
