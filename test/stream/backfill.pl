# Events that a stream reads from the table: each one is sent by the backfill or live, never by
# both and never by none, whatever runs, ends, crashes or is dropped meanwhile. Dead letters are
# sent again when somebody asks for it. The target is a webhook that can refuse and hang.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use FastIngest;
use FastIngest::Webhook;
use PostgreSQL::Test::Utils;
use Test::More;

my $server = FastIngest->new('backfill', conf => "wal_level = logical\nfast_ingest.max_streams = 2\nmax_prepared_transactions = 5");
my $next = 1;

$server->sql("SELECT fi_create_partition(d::date) FROM generate_series('2024-05-01'::date, '2024-05-10', '1 day') d");

# A statement that inserts so many events, with numbers of their own, on a day of May 2024
sub insert_events
{
	my ($count, $day, %opt) = @_;
	my ($from, $to) = ($next, $next + $count - 1);
	my $name = $opt{name} || 'view';

	$next = $to + 1;
	return "INSERT INTO fast_ingest.events (event_name, channel, user_id, ts, metadata)
		SELECT '$name', 'web', 'u' || i, '2024-05-$day 00:00+00'::timestamptz + i % 80000 * interval '1 s',
			jsonb_build_object('number', i) FROM generate_series($from, $to) i";
}

sub create_stream
{
	my ($name, $webhook, %opt) = @_;
	my %arguments = (flush_interval => '100 ms', batch_rows => 500, %opt);

	$server->sql("SELECT fi_create_stream('$name', 'webhook', '" . $webhook->url('/events') . "', "
		  . join(', ', map { "$_ => '$arguments{$_}'" } sort keys %arguments) . ')');
	return;
}

sub drop_stream
{
	my ($name, $webhook) = @_;

	$server->sql("SELECT fi_drop_stream('$name')");
	$webhook->stop;
	return;
}

# What a column of fi_streams() shows
sub stream
{
	my ($name, $column) = @_;

	return $server->sql("SELECT $column FROM fi_streams() WHERE name = '$name'");
}

# How often the collector has each event, by its number. A batch that was sent again counts once.
sub numbers
{
	my ($webhook, $from) = @_;
	my (%seen, %batches);

	foreach my $request (FastIngest::Webhook::taken($webhook->requests($from)))
	{
		next if $batches{ $request->{headers}{'webhook-id'} }++;
		$seen{$_}++ foreach map { /number\\?": ?(\d+)/ } @{ $request->{rows} };
	}
	return \%seen;
}

# The collector gets the events of the table that a condition is true of, each once, and no others.
sub gets_each_once
{
	my ($webhook, $condition, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my @wanted = split /\n/,
	  $server->sql("SELECT (metadata ->> 'number')::int FROM fast_ingest.events WHERE $condition ORDER BY 1");
	my $seen;

	wait_until(sub { $seen = numbers($webhook); return !grep { !$seen->{$_} } @wanted }, 20);
	is(scalar(grep { !$seen->{$_} } @wanted), 0, "$name: none of " . @wanted . ' events is missing');
	is_deeply([ grep { $seen->{$_} > 1 } sort keys %$seen ], [], "$name: none comes twice");
	my %wanted = map { $_ => 1 } @wanted;
	is_deeply([ grep { !$wanted{$_} } sort keys %$seen ], [], "$name: no other comes");
	return;
}

sub wait_until_done
{
	my ($name) = @_;

	return wait_until(
		sub {
			$server->sql("SELECT count(*) FROM fast_ingest.stream_backfills b JOIN fast_ingest.streams s ON s.id = b.stream_id
			 WHERE s.name = '$name' AND done_at IS NULL") == 0;
		}, 20);
}

sub log_position { return -s $server->node->logfile }

# What was there, while more comes

{
	my $webhook = FastIngest::Webhook->new;

	$server->sql(insert_events(3000, '01'));
	$server->sql(insert_events(3000, '02'));
	$server->sql("BEGIN; SAVEPOINT a; " . insert_events(200, '02') . '; ROLLBACK TO a; ' . insert_events(100, '03') . '; COMMIT');
	create_stream('all', $webhook, backfill_since => '-infinity');
	foreach (1 .. 30)
	{
		$server->sql(insert_events(50, $_ % 2 ? '02' : '04'));
		$server->sql('BEGIN; ' . insert_events(10, '02') . '; ROLLBACK');
	}
	ok(wait_until_done('all'), 'the backfill comes to its end');
	gets_each_once($webhook, 'true', 'existing events while more come');
	is(stream('all', 'backfill_left'), 0, 'nothing is left');
	ok( wait_until(
			sub {
				$server->sql(insert_events(1, '03'));
				return $server->sql('SELECT count(*) FROM fast_ingest.stream_backfills') == 0;
			}, 60),
		'the backfill is forgotten when the slot is past it');
	gets_each_once($webhook, 'true', 'after that');
	drop_stream('all', $webhook);
}

# Transactions that are open when the cut is taken

{
	my $webhook = FastIngest::Webhook->new;

	create_stream('cut', $webhook);
	ok(wait_until(sub { stream('cut', 'state') eq 'running' }), 'the stream runs');
	my ($early, $sub, $prepared, $late) = map { $server->node->background_psql('postgres') } 1 .. 4;
	my %numbers;
	my $count = sub { my ($kind, $n) = @_; push @{ $numbers{$kind} }, $next .. $next + $n - 1; return insert_events($n, '05') };

	$early->query_safe('BEGIN; ' . $count->('kept', 20));
	$early->query_safe('SAVEPOINT a; ' . $count->('kept', 20));
	$sub->query_safe('BEGIN; SAVEPOINT a; ' . $count->('kept', 20) . '; SAVEPOINT b; ' . $count->('gone', 20));
	$server->sql('BEGIN; ' . $count->('kept', 20) . "; PREPARE TRANSACTION 'ready'");
	$server->sql("SELECT fi_resend_stream('cut', '2024-05-05 00:00+00', '2024-05-06 00:00+00')");
	ok( wait_until(sub { stream('cut', 'detail') =~ /transaction \d+ of process \d+|prepared as 'ready'/ }, 30),
		'what the backfill waits for is named');
	$server->sql($count->('kept', 20));
	$late->query_safe('BEGIN; ' . $count->('kept', 20));
	$sub->query_safe('ROLLBACK TO b; SAVEPOINT c; ' . $count->('kept', 20) . '; RELEASE c; RELEASE a');
	$early->query_safe('RELEASE a; ' . $count->('kept', 20) . '; SAVEPOINT d; ' . $count->('gone', 20) . '; ROLLBACK TO d; COMMIT');
	$sub->query_safe('COMMIT');
	ok(wait_until(sub { stream('cut', 'detail') =~ /prepared as 'ready'/ }, 30), 'a prepared transaction is named');
	$server->sql("COMMIT PREPARED 'ready'");
	ok(wait_until_done('cut'), 'the backfill comes to its end before a later transaction has');
	$late->query_safe('COMMIT');
	gets_each_once($webhook, "ts >= '2024-05-05 00:00+00' AND ts < '2024-05-06 00:00+00'",
		'transactions and savepoints across the cut');
	$_->quit foreach $early, $sub, $late, $prepared;
	drop_stream('cut', $webhook);
}

# From a time on, with a filter

{
	my $webhook = FastIngest::Webhook->new;

	$server->sql(insert_events(50, '06', name => 'click'));
	$server->sql(insert_events(50, '06', name => 'view'));
	create_stream('since', $webhook, backfill_since => '2024-05-05 12:00+00', event_names => '{click,none}');
	ok(wait_until_done('since'), 'the backfill comes to its end');
	$server->sql(insert_events(50, '01', name => 'none'));
	gets_each_once($webhook, "event_name IN ('click', 'none')", 'from a time, with a filter');
	drop_stream('since', $webhook);
}

# A crash while a chunk is on its way

{
	my $webhook = FastIngest::Webhook->new(plan => [ { status => 204, times => 3 }, { hang => 1 } ]);

	create_stream('crash', $webhook, backfill_since => '2024-05-01 00:00+00');
	ok(wait_until(sub { $webhook->count == 4 }, 60), 'the target hangs in the fourth chunk');
	$webhook->plan({ status => 204 });
	my ($hung) = $webhook->requests(3);
	$server->crash(at_once => 1);
	$server->start_again;
	$server->sql(insert_events(100, '02'));
	ok(wait_until_done('crash'), 'the backfill goes on after a crash');
	gets_each_once($webhook, 'true', 'after a crash');
	my @again = grep { $_->{headers}{'webhook-id'} eq $hung->{headers}{'webhook-id'} } $webhook->requests(4);
	is(scalar @again, 1, 'the chunk is sent again with its id');
	is($again[0]{text}, $hung->{text}, 'and with the same bytes');
	drop_stream('crash', $webhook);
}

# A restart, a partition that is dropped, and one that is rewritten meanwhile

{
	my $webhook = FastIngest::Webhook->new(plan => [ { status => 204, times => 2 }, { status => 503 } ]);
	my $from = log_position();
	my $rewritten = $server->sql("SELECT count(*) FROM fast_ingest.events WHERE ts < '2024-05-02'");

	create_stream('drop', $webhook, backfill_since => '-infinity');
	ok(wait_until(sub { stream('drop', 'state') eq 'retrying' }, 60), 'the target refuses the third chunk');
	$server->restart;
	my ($first) = split /\n/, $server->sql("SELECT tableoid::regclass FROM fast_ingest.events WHERE ts < '2024-05-02' LIMIT 1");
	my ($fifth) = split /\n/, $server->sql("SELECT tableoid::regclass FROM fast_ingest.events WHERE ts >= '2024-05-05' AND ts < '2024-05-06' LIMIT 1");
	$server->sql("DROP TABLE $fifth");
	$server->sql("VACUUM FULL $first");
	$webhook->plan({ status => 204 });
	ok(wait_until_done('drop'), 'the backfill comes to its end');
	ok($server->wait_for_log_line(qr/stream "drop": table \d+ was dropped or detached/, $from), 'the log says that a table is gone');
	ok($server->wait_for_log_line(qr/stream "drop": table "\w+" was rewritten/, $from), 'the log says that a table was rewritten');
	my @wanted = split /\n/, $server->sql("SELECT (metadata ->> 'number')::int FROM fast_ingest.events");
	my $seen;
	wait_until(sub { $seen = numbers($webhook); return !grep { !$seen->{$_} } @wanted }, 20);
	is(scalar(grep { !$seen->{$_} } @wanted), 0, 'no event is missing after a rewrite');
	my %twice = map { $_ => 1 } split /\n/, $server->sql("SELECT (metadata ->> 'number')::int FROM fast_ingest.events WHERE ts < '2024-05-02'");
	is(scalar(grep { $seen->{$_} > 1 && !$twice{$_} } keys %$seen), 0, 'only events of the rewritten table come twice');
	drop_stream('drop', $webhook);
}

# Dead letters

{
	my $webhook = FastIngest::Webhook->new(plan => [ { status => 422, times => 2 }, { status => 204 } ]);

	create_stream('letters', $webhook);
	ok(wait_until(sub { stream('letters', 'state') eq 'running' }), 'the stream runs');
	$server->sql(insert_events(2, '07'));
	my $letters = 'SELECT count(*) FROM fast_ingest.stream_dead_letters';
	ok(wait_until(sub { $server->sql($letters) == 1 }, 30), 'one of two events is a dead letter');
	my ($bad) = split /\n/, $server->sql('SELECT event FROM fast_ingest.stream_dead_letters');

	$webhook->plan({ status => 422 });
	is($server->sql("SELECT fi_retry_stream_dead_letters('letters', ARRAY[-1::bigint])"), 0, 'no letter has that id');
	is($server->sql("SELECT fi_retry_stream_dead_letters('letters')"), 1, 'it is to be sent again');
	ok(wait_until(sub { $server->sql("$letters WHERE NOT retry") == 1 }, 30), 'it stays when it is refused again');
	is($server->sql($letters), 1, 'and there is no second one');

	$webhook->plan({ status => 204 });
	my $before = $webhook->count;
	is($server->sql("SELECT fi_retry_stream_dead_letters('letters', (SELECT array_agg(id) FROM fast_ingest.stream_dead_letters))"),
		1, 'it is to be sent again');
	ok(wait_until(sub { $server->sql($letters) == 0 }, 30), 'it is deleted when the target has it');
	my ($again) = $webhook->requests($before);
	is($again->{text}, "$bad\n", 'it was sent as it was');
	$server->sql(insert_events(2, '07'));
	gets_each_once($webhook, "ts >= '2024-05-07' AND ts < '2024-05-08'", 'dead letters');

	my ($out, $error) = ('', '');
	$server->node->psql('postgres', "SELECT here, target IS NULL, equal IS NULL FROM fi_check_stream('letters', '2024-05-07')", stdout => \$out, stderr => \$error);
	is($out, '4|t|t', 'a webhook cannot be asked how many events it has');
	like($error, qr/NOTICE:  the target of stream "letters" cannot be asked/, 'and a notice says so');
	drop_stream('letters', $webhook);
}

# Errors

sub fails
{
	my ($statement, $pattern, $name) = @_;
	my (undef, undef, $error) = $server->node->psql('postgres', "\\set VERBOSITY verbose\n$statement");

	like($error, $pattern, $name);
	return;
}

fails("SELECT fi_resend_stream('none', '2024-05-01', '2024-05-02')", qr/42704.*"none"/, 'no such stream');
fails("SELECT * FROM fi_check_stream(NULL, '2024-05-01')", qr/22004.*name/, 'a name is needed');
fails("SELECT fi_retry_stream_dead_letters('none')", qr/42704.*"none"/, 'no such stream to retry');

done_testing();
