# Kafka by REST: each event becomes a record with its user_id as the key, and after errors that
# the proxies report in their own ways no record is missing and those of a key are in order. The
# proxies are stand-ins that answer as the sources of Redpanda and Confluent do, for there is no
# broker to test with.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use FastIngest;
use FastIngest::KafkaRest;
use PostgreSQL::Test::Utils;
use Test::More;

my $server = FastIngest->new('kafka_rest', conf => "wal_level = logical\nfast_ingest.max_streams = 4");
my $password = 'pa55word-of-kafka';
my $n = 0;

# The stand-in's hash is that of Kafka's own tests.
foreach my $case ([ '21', -973932308 ], [ 'foobar', -790332482 ], [ 'abc', 479470107 ])
{
	my $hash = FastIngest::KafkaRest::murmur2($case->[0]);

	is($hash > 0x7fffffff ? $hash - 2**32 : $hash, $case->[1], "murmur2 of $case->[0]");
}

# Wait until a condition holds for the stream's row of fi_streams().
sub wait_for_stream
{
	my ($condition) = @_;
	my $holds = wait_until(sub { $server->sql("SELECT count(*) FROM fi_streams() WHERE $condition") });

	diag($server->sql('SELECT state, detail, last_error FROM fi_streams()')) if !$holds;
	return $holds;
}

# Post so many events of four users in one transaction. Returns the number of each in order.
sub post
{
	my ($count, %changes) = @_;
	my @numbers = map { ++$n } 1 .. $count;

	is($server->post_bulk([ map { event($_, user_id => 'user-' . $_ % 4, %changes) } @numbers ])->{json}{accepted},
		$count, "$count events are posted");
	return @numbers;
}

sub number_of
{
	my ($record) = @_;

	return $record->{event}{path} =~ s{\D}{}gr;
}

# Wait until the topic has these events, and check that it has no others in requests from number
# $from on, that each key's partition has the last copies of its events in order, and that records are
# as they should be.
sub events_arrive
{
	my ($kafka, $from, $numbers, $name) = @_;
	my (%seen, @records);

	wait_until(
		sub {
			%seen = map { number_of($_) => 1 } grep { $_->{request} >= $from } $kafka->records('events');
			return keys %seen >= @$numbers;
		});
	wait_for_stream('lag_events = 0');
	@records = grep { $_->{request} >= $from } $kafka->records('events');
	%seen = map { number_of($_) => 1 } @records;
	is(join(' ', sort keys %seen), join(' ', sort @$numbers), "$name: no event is missing");

	my (%last, %partitions);
	foreach my $record (@records)
	{
		$partitions{ $record->{key} }{ $record->{partition} } = 1;
		$last{ $record->{key} }{ number_of($record) } = $record->{offset};
	}
	is(scalar(grep { keys %{ $partitions{$_} } != 1 } keys %partitions), 0, "$name: a key has one partition");
	is(scalar(grep { $_->{key} ne $_->{event}{user_id} } @records), 0, "$name: the key is the user_id");
	foreach my $key (sort keys %last)
	{
		my @by_offset = sort { $last{$key}{$a} <=> $last{$key}{$b} } keys %{ $last{$key} };

		is("@by_offset", join(' ', sort { $a <=> $b } @by_offset), "$name: the events of $key are in order");
	}
	return;
}

foreach my $flavour (qw(redpanda confluent))
{
	my $kafka = FastIngest::KafkaRest->new(
		flavour => $flavour,
		topics => { events => 3 },
		username => 'bob',
		password => $password,
		max_record => 20_000);

	$server->sql("SELECT fi_create_stream('kafka', 'kafka_rest', '" . $kafka->url
		  . "', 'events', flush_interval => '50 ms', username => 'bob', secret => '$password')");
	ok(wait_for_stream("state = 'running'"), "$flavour: the stream runs");
	my @numbers = post(40);
	events_arrive($kafka, 0, \@numbers, $flavour);
	{
		my ($request) = $kafka->requests;

		is($request->{path}, '/topics/events', "$flavour: to the topic");
		is($request->{headers}{'content-encoding'}, undef, "$flavour: not compressed, which no proxy could read");
		my ($record) = $kafka->records('events');
		is($record->{event}{id}, $record->{event}{event_key}, "$flavour: events have ids");
	}

	# Failures after which the whole batch is sent again
	foreach my $case (
		[ { partitions => { 1 => 6 }, records => { 3 => [ 50003, 'not now' ] } }, 'an error inside status 200' ],
		[ { partitions => { 0 => 7, 1 => 19, 2 => 56 }, records => { map { $_ => [ 50002, 'gone' ] } 0 .. 19 } }, 'errors of all' ],
		[ { lose => 1 }, 'an answer is lost' ],
		[ { cut => 60 }, 'an answer is cut off' ],
		[ { status => 503 }, 'status 503' ],
		[ { status => 400, body => '{"error_code":40002,"message":"kafka_bad_request"}' }, 'no leader, by Redpanda 400' ],
		[ { status => 200, body => '<html>' }, 'status 200 by something else than a proxy' ],
		[ { status => 200, body => '{"offsets":[]}' }, 'an answer without offsets' ],
		[ { status => 404, body => '{"error_code":40401,"message":"Topic not found."}' }, 'a topic is missing' ])
	{
		my ($order, $name) = @$case;
		my $from = $kafka->count;

		$kafka->plan($order, {});
		my @posted = post(20);
		events_arrive($kafka, $from, \@posted, "$flavour, $name");
		my ($first, $second) = ($kafka->wait_for_requests($from + 2))[ $from, $from + 1 ];
		is($second->{body}, $first->{body}, "$flavour, $name: the whole batch is sent again, the same bytes");
		ok(wait_for_stream("state = 'running'"), "$flavour, $name: the stream runs again");
	}

	# No answer at all. A command ends the wait for it.
	if ($flavour eq 'redpanda')
	{
		my $from = $kafka->count;

		$kafka->plan({ hang => 1 }, {});
		my @posted = post(20);
		$kafka->wait_for_requests($from + 1);
		$server->sql("SELECT fi_resume_stream('kafka')");
		events_arrive($kafka, $from, \@posted, "$flavour, an answer that never comes");
		my ($first, $second) = ($kafka->wait_for_requests($from + 2))[ $from, $from + 1 ];
		is($second->{body}, $first->{body}, "$flavour, an answer that never comes: the same bytes again");
		ok(wait_for_stream("doubts > 0 AND state = 'running'"), "$flavour: it is counted as a doubt");
	}

	# Wait as told
	{
		my $from = $kafka->count;

		$kafka->plan({ status => 429, headers => [ 'Retry-After', 2 ] }, {});
		my @posted = post(4);
		ok(wait_for_stream("state = 'retrying' AND last_error LIKE '%429%'"), "$flavour: the stream says why it waits");
		my ($first, $second) = ($kafka->wait_for_requests($from + 2))[ $from, $from + 1 ];
		cmp_ok($second->{at} - $first->{at}, '>=', 2, "$flavour: Retry-After is honoured");
		events_arrive($kafka, $from, \@posted, "$flavour, 429");
	}

	# A record that Kafka does not take, in the midst of others
	{
		my $from = $kafka->count;
		my @posted;

		$kafka->plan({});
		$server->sql(
			"INSERT INTO fast_ingest.events (event_name, channel, user_id, ts, path, metadata)"
			  . " SELECT 'page_view', 'web', 'user-' || i % 4, to_timestamp($NOON), '/page/' || i,"
			  . " CASE WHEN i = $n + 10 THEN jsonb_build_object('x', repeat('y', 30000)) END"
			  . " FROM generate_series($n + 1, $n + 20) i");
		@posted = grep { $_ != $n + 10 } $n + 1 .. $n + 20;
		$n += 20;
		events_arrive($kafka, $from, \@posted, "$flavour, beside a record that is too large");
		ok(wait_for_stream('dead_letters > 0'), "$flavour: the record is a dead letter");
		like($server->sql('SELECT reason FROM fast_ingest.stream_dead_letters'), qr/larger than|MESSAGE_TOO_LARGE/,
			"$flavour: with the reason");
	}

	$server->sql("SELECT fi_drop_stream('kafka')");
	ok(wait_until(sub { !$server->sql('SELECT count(*) FROM pg_replication_slots') }), "$flavour: the stream is dropped");
}

# A batch that is too large for the proxy is halved
{
	my $kafka = FastIngest::KafkaRest->new(topics => { events => 3 }, max_body => 8_000);

	$server->sql("SELECT fi_create_stream('kafka', 'kafka_rest', '" . $kafka->url
		  . "', 'events', flush_interval => '50 ms')");
	ok(wait_for_stream("state = 'running'"), 'a proxy that takes small bodies only');
	my @posted = post(64);
	events_arrive($kafka, 0, \@posted, '413');
	is($server->sql('SELECT count(*) FROM fast_ingest.stream_dead_letters l JOIN fast_ingest.streams s ON s.id = l.stream_id'),
		0, '413: no dead letter');
	$server->sql("SELECT fi_drop_stream('kafka')");
}

# A wrong password
{
	my $kafka = FastIngest::KafkaRest->new(topics => { events => 3 }, username => 'bob', password => 'another');

	$server->sql("SELECT fi_create_stream('kafka', 'kafka_rest', '" . $kafka->url
		  . "', 'events', flush_interval => '50 ms', username => 'bob', secret => '$password')");
	post(1);
	ok(wait_for_stream("state = 'retrying' AND last_error LIKE '%401%'"), 'a wrong password is told');
	unlike(slurp_file($server->node->logfile), qr/\Q$password\E/, 'and not shown in the log');
	unlike($server->sql('SELECT string_agg(s::text, chr(10)) FROM fi_streams() s'), qr/\Q$password\E/, 'nor in fi_streams()');
	$server->sql("SELECT fi_drop_stream('kafka')");
}

# Definitions that cannot be right
foreach my $case (
	[ "'http://h/'", 'target of kafka_rest stream "x" is missing' ],
	[ "'http://h/', ''", 'target of kafka_rest stream "x" is ""' ],
	[ "'http://h/', '..'", 'target of kafka_rest stream "x" is ".."' ],
	[ "'http://h/', 'a/b'", 'target of kafka_rest stream "x" is "a/b"' ],
	[ "'http://h/', repeat('t', 250)", 'expected the name of a topic' ],
	[ "'http://h/', 't', username => 'u'", 'only one of username and secret' ],
	[ "'http://h/', 't', secret => 'p4ssw0rd'", 'only one of username and secret' ])
{
	my ($arguments, $expected) = @$case;
	my ($status, $output, $error) = $server->node->psql('postgres', "SELECT fi_create_stream('x', 'kafka_rest', $arguments)");

	like($error, qr/\Q$expected\E/, "refused: $expected");
}

done_testing;
