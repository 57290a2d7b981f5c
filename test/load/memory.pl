# The workers need no more memory however long they run. Requests of every kind and outcome come
# in rounds that are all alike, with statements of sessions beside them. After the first round no
# worker grows from round to round. A leak of 64 bytes per request, batch or query would show.
#
# The test looks at palloc'ed memory in use, as the process itself counts it, and at RssAnon of
# the kernel, which includes malloc'ed memory. Memory may be taken once, as for a cache that is
# built again, but a leak grows in each round. So the round with the least growth counts.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use FastIngest;
use List::Util qw(min);
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes ();

my $rounds = $ENV{FI_MEMORY_ROUNDS} || 3;
my $cycles = 180;    # of requests in a round

# How much more memory a round may take: by request, batch or query, and in all. The kernel
# counts pages, and malloc leaves holes.
my $bytes_per_thing = 20;
my %bytes_per_round = (palloc => 16 * 1024, RssAnon => 128 * 1024);
# The deltas that a refresh merges vary in number: malloc keeps the memory for the most that
# there ever were.
my %bytes_on_top = (maintenance => { RssAnon => 512 * 1024 });

my $server = FastIngest->new('memory', conf => <<'EOC');
fast_ingest.staging_size = '1MB'
fast_ingest.max_body_size = '256kB'
fast_ingest.max_bulk_events = 3000
fast_ingest.max_connections = 100
fast_ingest.refresh_backlog = 100
autovacuum = off
jit = off
EOC
my $n = 0;
my %done;    # things done, by process
my @unexpected;

$server->sql(<<'EOQ');
ALTER TABLE fast_ingest.events ADD CONSTRAINT not_bad CHECK (user_id NOT LIKE 'bad%');
EOQ

# Every request with the status it must get. Those of a cycle are sent in one go
# over one connection; each that is accepted is a batch of its own.

sub single
{
	my (%changes) = @_;

	++$n;
	return event(
		$n,
		user_id => 'user-' . $n % 500,
		timestamp => $NOON + $n % 3600,
		path => '/p' . $n % 20,
		%changes);
}

sub post
{
	my ($status, $path, $body, %opt) = @_;

	return [ $status, http_message('POST', $path, body => $body, %opt) ];
}

sub get
{
	my ($status, $path, $method) = @_;

	return [ $status, http_message($method || 'GET', $path), $method ];
}

sub cycle
{
	my @old = map { event($_, site_id => 'shop') } 1 .. 3;
	my %unknown = (colour => 'red');
	my %bad = (user_id => "bad-$n");
	my $number = encode_json(single()) =~ s/}$/,"metadata":{"n":1e999999}}/r;
	my $metrics = '/metrics?event_name=page_view';

	return (
		# stored
		post(202, '/events', single()),
		post(202, '/events', single(metadata => { deep => [ { n => 1.5 } ] })),
		post(202, '/events', single(tags => [ 'a', 'b' ], campaign_id => 'c')),
		post(202, '/events', single(), headers => [ 'Idempotency-Key', "k-$n" ]),
		post(202, '/events', $old[0]),
		post(202, '/events', encode_json(single()), type => 'text/plain'),
		post(204, '/event', { site_id => 'shop', event_type => "view-$n" }),
		post(202, '/events/bulk', [ map { single() } 1 .. 5 ]),
		post(202, '/events/bulk', { events => [ @old, single() ] }),
		post(
			202, '/events/bulk',
			join("\n", map { encode_json(single()) } 1 .. 3),
			type => 'application/x-ndjson'),
		# some refused
		post(202, '/events/bulk', [ single(), single(%unknown), single(user_id => undef) ]),
		post(202, '/events/bulk', [ map { single(%$_) } {}, {}, \%bad, \%unknown ]),
		# refused by the database
		post(422, '/events', single(%bad)),
		post(422, '/events/bulk', [ single(%bad), single(%unknown) ]),
		# refused at the door
		post(400, '/events', single(channel => undef)),
		post(400, '/events', '{"event_name": }'),
		post(400, '/events', ''),
		post(400, '/events', $number),
		post(400, '/events/bulk', [ single(%unknown), single(%unknown) ]),
		post(400, '/events/bulk?atomic=true', [ single(), single(%unknown) ]),
		post(400, '/events/bulk?atomic=perhaps', [ single() ]),
		post(400, '/events/bulk', '[' . encode_json(single()) . ','),
		post(415, '/events', single(), type => 'text/html'),
		post(415, '/events', single(), headers => [ 'Content-Encoding', 'br' ]),
		[ 404, http_message('GET', '/nothing') ],
		[ 405, http_message('DELETE', '/events') ],
		# queries
		get(200, '/health'),
		get(200, '/health', 'HEAD'),
		get(200, '/ready'),
		get(200, $metrics),
		get(200, "$metrics&from=" . ($NOON + 7) . '&to=' . ($NOON + 3000)),
		get(200, "$metrics&group_by=page&limit=5"),
		get(200, "$metrics&group_by=hour&timezone=Asia/Kolkata&format=csv"),
		get(200, "/stats?site_id=shop&date=$DAY"),
		get(200, "$metrics&site=shop,other&metadata.plan=pro"),
		get(200, "/series?from=$NOON&to=" . ($NOON + 86400) . '&step=15m&group_by=page&top=3'),
		get(200, '/event_names'),
		get(200, '/live?site=shop'),
		get(400, "$metrics&from=never"),
		get(400, "$metrics&group_by=nothing"),
		get(400, "$metrics&colour=red"),
		get(400, '/series?step=0s'),
		get(400, '/live?colour=red'),
		get(400, '/stats'));
}

# How many things the processes did for a request
sub note_done
{
	my ($message, $status) = @_;

	$done{listener}++;
	$done{flusher}++ if $status =~ /^(202|204|422)$/;
	$done{'query'}++ if $message =~ m{\A(GET|HEAD) /(metrics|stats)};
	return;
}

# Requests for one connection, their answers
sub ask
{
	my (@requests) = @_;
	my $connection = $server->connect;

	$connection->send(join '', map { $_->[1] } @requests);
	foreach my $request (@requests)
	{
		my ($status, $message, $method) = @$request;
		my $answer = $connection->read_answer(head => ($method || '') eq 'HEAD');

		push @unexpected,
		  "$answer->{status} for $status: $answer->{body} to "
		  . substr($message, 0, 200)
		  if $answer->{status} ne $status;
		note_done($message, $answer->{status});
	}
	$connection->close;
	return;
}

# Connections that break, or are cut because what they send is too large or no HTTP
sub break_connections
{
	my $event = http_message('POST', '/events', body => single());
	my $large = http_message('POST', '/events', body => 'x' x 300_000);
	my $huge = http_message(
		'POST', '/events/bulk',
		body => 'x',
		headers => [ 'Content-Length', 10_000_000 ]);

	foreach my $bytes (
		'', 'POST /events HT', substr($event, 0, 60), substr($event, 0, -10), $event,
		http_message('GET', '/metrics?event_name=page_view'),
		http_message('GET', '/' . 'x' x 20_000),
		http_message('GET', '/' . 'x' x 40_000),
		"no HTTP\r\n\r\n", substr($large, 0, 250_000))
	{
		my $connection = $server->connect;

		$connection->send($bytes);
		$connection->close;
		$done{listener}++;
	}
	ask([ 413, $large ]);
	ask([ 413, $huge ]);
	return;
}

# More connections than are allowed
sub open_too_many
{
	my @connections = map { $server->connect } 1 .. 120;

	$_->send(http_message('GET', '/health')) foreach @connections;

	my %statuses;
	$statuses{ $_->read_answer->{status} }++ foreach @connections;
	$_->close foreach @connections;
	push @unexpected, 'all of too many connections are served'
	  if $statuses{200} == @connections;
	$done{listener} += @connections;
	return;
}

# Nothing is committed and nothing is read: staging becomes full, requests time out
sub wait_in_vain
{
	my @locks = map { $server->lock_table("fast_ingest.$_") } 'events', 'rollup';
	my @waiting;

	$server->set('fast_ingest.request_timeout' => '2s', 'fast_ingest.query_timeout' => '1s');
	# what the listener takes before it has read that waits for as long as before, and so do those
	# behind it
	wait_until(sub { $server->sql('SHOW fast_ingest.request_timeout') eq '2s' });
	$server->get('/health') foreach 1, 2;
	push @waiting, $server->send_events(map { single() } 1 .. 10);
	foreach my $i (1 .. 10)
	{
		my $connection = $server->connect;

		$connection->send(http_message('GET', '/metrics?event_name=page_view'));
		push @waiting, $connection;
	}
	foreach my $i (1 .. 60)
	{
		my $connection = $server->connect;

		$connection->send(
			http_message('POST', '/events/bulk', body => [ map { single() } 1 .. 100 ]));
		push @waiting, $connection;
	}
	# half a request
	foreach my $i (1 .. 10)
	{
		my $connection = $server->connect;

		$connection->send(
			substr http_message('POST', '/events', body => single()), 0, -5);
		push @waiting, $connection;
	}

	my %statuses;
	$statuses{ $_->read_answer->{status} }++ foreach @waiting;
	$_->close foreach @waiting;
	push @unexpected, map { "$_ while all waits" }
	  grep { !/^(408|503)$/ } keys %statuses;
	push @unexpected, "no $_" foreach grep { !$statuses{$_} } 408, 503;
	$_->quit foreach @locks;
	$server->sql('ALTER SYSTEM RESET ALL');
	$server->node->reload;
	$server->wait_ready;
	return;
}

# More than half of staging in one request
sub stage_too_much
{
	my %short = (event_name => 'e', channel => 'c', user_id => 'u', timestamp => 1);

	ask(post(413, '/events/bulk', [ map { \%short } 1 .. 2300 ]));
	return;
}

# Sessions of SQL: triggers, refreshes, queries, breakdowns, user sets
my $session = $server->node->background_psql($server->{database});
$session->set_query_timer_restart;
my $session_pid = $session->query_safe('SELECT pg_backend_pid()');


sub use_session
{
	my $statements = <<'EOQ';
INSERT INTO fast_ingest.events (event_name, channel, user_id, ts)
  SELECT 'sql', 'web', 'user-' || i, '2024-08-12 12:00Z'::timestamptz + i * interval '1 second'
  FROM generate_series(1, 50) i;
UPDATE fast_ingest.events SET channel = 'app' WHERE event_name = 'sql' AND user_id = 'user-7';
SELECT FROM fi_refresh();
SELECT count(*) FROM fi_metrics('sql', group_by => 'page');
SELECT count(*) FROM fi_metrics('sql', '2024-08-12 12:00:07Z', '2024-08-12 12:00:31Z');
SELECT count(*) FROM fi_metrics_sources('page_view', group_by => 'hour');
SELECT count(*) FROM fi_stats('shop', '2024-08-12'), fi_top_paths('shop', '2024-08-12');
SELECT count(*) FROM fi_status();
SELECT fi_cardinality(fi_union(('{' || i || ',' || i * 70000 || '}')::fi_user_set))
  FROM generate_series(1, 500) i;
DELETE FROM fast_ingest.events WHERE event_name = 'sql';
SELECT FROM fi_refresh();
EOQ

	# a statement is what ends at a semicolon: psql sends them one by one
	$session->query_safe($statements x 10);
	$done{session} += 10;
	return;
}

# Bytes that a process has in use
sub memory_of
{
	my ($pid) = @_;
	my $offset = -s $server->node->logfile;
	my $used;

	$server->sql("SELECT pg_log_backend_memory_contexts($pid)");
	wait_until(
		sub {
			my $log = slurp_file($server->node->logfile);

			($used) = substr($log, $offset) =~ /\[$pid\].*Grand total: .* (\d+) used$/m;
			return defined $used;
		});

	my ($anonymous) = slurp_file("/proc/$pid/status") =~ /^RssAnon:\s+(\d+) kB$/m;

	return { palloc => $used, RssAnon => $anonymous * 1024 };
}

my %pids = map { split /\|/ } split /\n/, $server->sql(<<'EOQ');
SELECT replace(backend_type, 'fast_ingest ', ''), pid FROM pg_stat_activity
WHERE backend_type LIKE 'fast_ingest %'
EOQ
my %workers = %pids;
is(join(' ', sort keys %workers), 'flusher listener maintenance query', 'the workers');
$pids{session} = $session_pid;

my %before;
my %growth;    # by process, for each round

foreach my $round (0 .. $rounds)
{
	my $begin = Time::HiRes::time;

	%done = ();
	open_too_many();
	wait_in_vain();
	stage_too_much() foreach 1 .. 10;
	foreach my $i (1 .. $cycles)
	{
		ask(cycle());
		next if $i % 20 > 0;
		break_connections();
		use_session();
		# all rounds find the same
		$server->sql('TRUNCATE fast_ingest.events');
	}
	wait_until(sub { $server->status->{staged} == 0 });

	foreach my $name (sort keys %pids)
	{
		my $now = memory_of($pids{$name});

		push @{ $growth{$name} },
		  { map { $_ => $now->{$_} - $before{$name}{$_} } keys %$now }
		  if $round > 0;
		$before{$name} = $now;
	}
	note(sprintf 'round %d: %s; %.1f s', $round,
		join(', ', map { "$_ $done{$_}" } sort keys %done), Time::HiRes::time - $begin);
}

is(join("\n", @unexpected), '', 'every request got the answer that it must get');
foreach my $name (sort keys %pids)
{
	foreach my $kind ('palloc', 'RssAnon')
	{
		my @bytes = map { $_->{$kind} } @{ $growth{$name} };
		my $most =
			$bytes_per_round{$kind}
		  + ($bytes_on_top{$name}{$kind} || 0)
		  + $bytes_per_thing * ($done{$name} || 0);

		note("$name, $kind: @bytes");
		ok(min(@bytes) < $most,
			"$name: $kind grows by less than $most bytes a round");
	}
}
is($server->worker_pid($_), $workers{$_}, "$_: it is the same process") foreach sort keys %workers;
$server->books_balance;
$session->quit;

# One statement with large values, which are compressed: each is 100 kB to be counted

$server->sql(<<'EOQ');
CREATE TABLE public.large AS SELECT repeat('x', 100000) AS value FROM generate_series(1, 1);
SELECT fi_create_partition('2024-08-12');
EOQ
$session = $server->node->background_psql('postgres');
my $pid = $session->query_safe('SELECT pg_backend_pid()');
my $insert = <<'EOQ';
INSERT INTO fast_ingest.events (event_name, channel, user_id, ts, site_id, path)
SELECT 'page_view', 'web', value, '2024-08-12 12:00Z', value, value FROM public.large, generate_series(1, %d)
EOQ
$session->query_safe(sprintf $insert, 10);
my $peak = FastIngest::memory_of($pid, 'VmHWM');
$session->query_safe(sprintf $insert, 1000);
cmp_ok(FastIngest::memory_of($pid, 'VmHWM') - $peak, '<', 50 * 1024, 'a statement does not keep the large values of all its rows');
$session->quit;
$server->node->stop;

done_testing();
