# Three streams at once, to three kinds of targets, each with columns and filters of its own. They
# go on after a restart and after a crash of the server, and none takes from another: each target
# has exactly the events that are meant for it.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use FastIngest;
use FastIngest::ClickHouse;
use FastIngest::KafkaRest;
use FastIngest::StreamState;
use FastIngest::Webhook;
use Test::More;

my $clickhouse = FastIngest::ClickHouse->new;
my $kafka = FastIngest::KafkaRest->new(topics => { events => 3 });
my $webhook = FastIngest::Webhook->new;
my $server = FastIngest->new('many', conf => stream_conf(3) . "autovacuum = off\n");
my @names = qw(page_view click purchase);
my @channels = qw(web mobile api);
my @sites = qw(shop blog);
my $n = 0;

sub post_events
{
	my ($count) = @_;
	my $answer = $server->post_bulk([
		map {
			my $i = ++$n;

			event($i, event_name => $names[ $i % 3 ], channel => $channels[ $i / 3 % 3 ], site_id => $sites[ $i / 9 % 2 ])
		} 1 .. $count ]);

	return is("$answer->{status} $answer->{json}{accepted}", "202 $count", "$count events");
}

# The user_ids that a stream's filters let pass, in order
sub wanted
{
	my ($where) = @_;

	return $server->sql("SELECT string_agg(user_id, ' ' ORDER BY user_id COLLATE \"C\") FROM fast_ingest.events WHERE $where");
}

sub list { my %seen = map { $_ => 1 } @_; return join ' ', sort keys %seen }

# The events that the stand-ins have got, decoded
sub in_webhook { return $webhook->events }
sub in_kafka { return map { $_->{event} } $kafka->records('events') }

my %WHERE = (
	clickhouse => 'true',
	kafka => "event_name IN ('click', 'purchase')",
	webhook => "channel = 'mobile' AND site_id = 'blog'");

sub check_all
{
	my ($when) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my %wanted = map { $_ => wanted($WHERE{$_}) } keys %WHERE;

	equal_counts($server, $clickhouse, 'events', "$when: ClickHouse has all events, each once");
	foreach ([ kafka => \&in_kafka ], [ webhook => \&in_webhook ])
	{
		my ($target, $events) = @$_;
		my $got;

		wait_until(sub { ($got = list(map { $_->{user_id} } $events->())) eq $wanted{$target} }, 60);
		is($got, $wanted{$target}, "$when: $target has those that are meant for it");
	}
	return;
}

clickhouse_table($server, $clickhouse, 'events');
$server->sql("SELECT fi_create_stream('house', 'clickhouse', '" . $clickhouse->url . "', target => 'events', columns => '{event_name,user_id,ts,path}', flush_interval => '20 ms')");
$server->sql("SELECT fi_create_stream('log', 'kafka_rest', '" . $kafka->url . "', target => 'events', event_names => '{click,purchase}', columns => '{event_name,user_id,channel,ts}', flush_interval => '20 ms')");
$server->sql("SELECT fi_create_stream('hook', 'webhook', '" . $webhook->url('/events') . "', channels => '{mobile}', sites => '{blog}', flush_interval => '20 ms')");
wait_for_state($server, $_, 'running') foreach qw(house log hook);
is($server->sql('SELECT count(DISTINCT pid), count(DISTINCT slot_name) FROM fi_streams()'), '3|3', 'each has a worker and a slot');
my ($result, $stdout, $stderr) = $server->node->psql('postgres', "SELECT fi_create_stream('fourth', 'webhook', 'http://127.0.0.1:1/')");

like($stderr, qr/ERROR: .*max_streams/s, 'there is no worker for a fourth one');

post_events(900);
check_all('after the start');
is(list(map { keys %$_ } in_kafka()) =~ /\b(path|site_id|metadata)\b/ ? $1 : '', '', 'Kafka gets no other columns than it should');
is($clickhouse->count('events', "channel != ''"), 0, 'nor does ClickHouse');

$server->restart;
post_events(900);
check_all('after a restart');

# While events come in, and one target is away
$webhook->plan({ status => 503 });
post_events(450);
ok($server->crash(at_once => 1), 'the server crashes while one target is away');
$server->start_again;
post_events(450);
equal_counts($server, $clickhouse, 'events', 'the other targets do not wait for it');
$webhook->plan({ status => 204 });
check_all('after the crash');
wait_for_state($server, $_, 'running') foreach qw(house log hook);

$server->sql("SELECT fi_drop_stream('log')");
ok(wait_until(sub { $server->sql('SELECT count(*) FROM pg_replication_slots') == 2 }), 'one is dropped');
my $events = in_kafka();

post_events(90);
equal_counts($server, $clickhouse, 'events', 'the others go on');
is(scalar(in_kafka()), $events, 'and it does not');
$server->node->stop;

done_testing();
