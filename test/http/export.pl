# GET /export: what it sends can be posted again and is then the same rows; pages are complete while
# events arrive; any size needs no more memory than a small one; clients that are slow or leave, and
# workers that end, harm nobody, and a body that is not complete shows.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use FastIngest;
use FastIngest::Process;
use FastIngest::Query;
use JSON::PP ();
use POSIX ();
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $server = FastIngest->new('export', conf => "max_wal_senders = 4\nwal_level = replica\n");
my $json = JSON::PP->new->utf8->allow_nonref;
my $COLUMNS = 'event_name, channel, user_id, ts, campaign_id, site_id, path, tags, metadata, event_key';

sub export_of
{
	my ($from, @parameters) = @_;

	return $from->query('/export', @parameters);
}

sub export { return export_of($server, @_) }

# The events of an export, or why there are none
sub lines
{
	my ($answer) = @_;

	return "$answer->{status} $answer->{body}" if $answer->{status} ne '200' || !$answer->{complete};
	return join '', map { "$_\n" } split /\n/, $answer->{body};
}

# The names of its events
sub names
{
	my ($answer) = @_;

	return $answer->{status} eq '200'
	  ? join(' ', map { $json->decode($_)->{event_name} } split /\n/, $answer->{body})
	  : "$answer->{status} $answer->{body}";
}

# Post NDJSON in requests of a few lines. Returns the number of accepted events.
sub post_lines
{
	my ($to, $text) = @_;
	my @lines = split /^/, $text;
	my $accepted = 0;

	while (my @some = splice @lines, 0, 100)
	{
		my $answer = $to->post('/events/bulk', join('', @some), type => 'application/x-ndjson');

		$accepted += $answer->{json}{accepted} || 0;
		diag($answer->{body}) if $answer->{status} ne '202' || $answer->{json}{rejected};
	}
	return $accepted;
}

sub rows_of
{
	my ($from, $where) = @_;

	return $from->sql("SELECT $COLUMNS FROM fast_ingest.events "
		  . ($where || '')
		  . " ORDER BY ts, event_key NULLS LAST, $COLUMNS");
}

# ---------------------------------------------------------------------------
# Posted again
# ---------------------------------------------------------------------------

ok(wait_for_query_worker($server), 'the query worker answers');
is(lines(export()), '', 'nothing to export');
is(export()->{headers}{'content-type'}, 'application/x-ndjson', 'as NDJSON');

my $odd = "\x{fc}\x{1f600}\x{2028} \"\\/\b\f\n\r\t\x{1}\x{7f}';--";
my @odd = (
	event(1),
	event(2, timestamp => "2024-08-12T12:00:00.000001Z"),
	event(3, timestamp => "2024-08-12T23:59:59.999999Z", tags => [], metadata => {}),
	event(4, timestamp => 1, event_name => $odd, channel => $odd, user_id => $odd, campaign_id => $odd,
		site_id => $odd, path => $odd, tags => [ $odd, '', 'a,b', '{"c"}', $odd ], metadata => { $odd => [ $odd, undef, { '' => '' } ] }),
	event(5, timestamp => "2023-12-31T23:59:59.999999Z", campaign_id => '', path => ''),
	event(6, idempotency_key => 'mine'),
	event(7, idempotency_key => '12345678-1234-1234-1234-123456789abc', site_id => 's'));
my @texts = map { encode_json($_) } @odd;

# numbers as PostgreSQL keeps them
push @texts,
  map { '{"event_name":"number","channel":"api","user_id":"u","timestamp":' . $NOON . ',"metadata":{"n":' . $_ . '}}' }
  '1.10', '-0.0', '1e30', '1E-30', '123456789012345678901234567890.123456789', 'true', '"1"';
is(post_lines($server, join '', map { "$_\n" } @texts), scalar @texts, 'odd events');
$server->sql("INSERT INTO fast_ingest.events ($COLUMNS) VALUES"
	  . " ('no key', 'web', 'u', '2024-08-12 12:00Z', NULL, NULL, NULL, '{x}', '{\"a\": 1}', NULL),"
	  . " ('no key', 'web', 'u', '2024-08-12 12:00Z', NULL, NULL, NULL, '{x}', '{\"a\": 1}', NULL),"
	  . " ('no key', 'web', 'v', '2024-08-12 12:00Z', NULL, NULL, NULL, NULL, NULL, NULL)");

my $all = lines(export());
my $n = @texts + 3;

is(scalar(split /\n/, $all), $n, 'all of them are exported');
is(scalar(grep { !ref eval { $json->decode($_) } } split /\n/, $all), 0, 'each is a line of JSON');
unlike($all, qr/:null[,}]|ingested_at/, 'what is NULL is left out');
is(lines(export()), $all, 'again the same');

my $other = FastIngest->new('import', conf => "fast_ingest.deduplicate = 'key'\n");

is(post_lines($other, $all), $n, 'they are posted to another server');
is(rows_of($other), rows_of($server), 'the rows are the same');
is(lines(export_of($other)), $all, 'and exported they are the same bytes');
is(post_lines($other, $all), $n, 'they are posted once more');
is($other->sql('SELECT count(*), count(event_key) FROM fast_ingest.events'),
	($n + 3) . '|' . ($n - 3), 'those with a key are stored once, the others again');
is(post_lines($server, $all), $n, 'and to the server that they are from');
is($server->sql('SELECT count(*) FROM fast_ingest.events WHERE event_key IS NULL'), 3, 'which knows them by their keys');
$other->node->stop;
$server->sql("DELETE FROM fast_ingest.events WHERE event_name = 'no key' AND event_key IS NOT NULL");

# ---------------------------------------------------------------------------
# CSV
# ---------------------------------------------------------------------------

my $csv = export(format => 'csv');
my $csv_file = PostgreSQL::Test::Utils::tempdir() . '/export.csv';

is($csv->{headers}{'content-type'}, 'text/csv; charset=utf-8', 'CSV: its type');
append_to_file($csv_file, $csv->{body});
$server->sql(
	"CREATE TABLE imported (event_name text, channel text, user_id text, ts timestamptz, campaign_id text, site_id text, path text,
	   tag_list jsonb, metadata jsonb, key text, ingested_at timestamptz)");
$server->sql("COPY imported FROM '$csv_file' (FORMAT csv, HEADER)");
is( $server->sql(
		"SELECT event_name, channel, user_id, ts, campaign_id, site_id, path,
		   CASE WHEN tag_list IS NOT NULL THEN ARRAY(SELECT jsonb_array_elements_text(tag_list)) END, metadata, substr(key, 11)::uuid, ingested_at
		 FROM imported ORDER BY ts, key NULLS LAST, event_name, user_id"),
	$server->sql("SELECT $COLUMNS, ingested_at FROM fast_ingest.events ORDER BY ts, event_key NULLS LAST, event_name, user_id"),
	'CSV: COPY reads the same rows');
like($csv->{body}, qr/^event_name,channel,user_id,timestamp,.*\r\n.*\r\n\z/s, 'CSV: a header line, and lines end with CRLF');
$server->post_event(event(20, event_name => '=1+1', timestamp => $NOON + 86400));
is( export(format => 'csv', from => $NOON + 86400, to => $NOON + 86401)->{body} =~ s/.*?\r\n//r =~ s/,event_key.*//sr,
	"'=1+1,web,user-20,2024-08-13T12:00:00.000000Z,,,/page/20,,", 'CSV: nothing is a formula');

# ---------------------------------------------------------------------------
# Ranges and filters
# ---------------------------------------------------------------------------

my $day = $NOON + 10 * 86400;

sub filtered { return names(export(from => $day, @_)) }
post_lines(
	$server,
	join '',
	map { encode_json(event(100 + $_->[0], timestamp => $day + $_->[0], event_name => "f$_->[0]", %{ $_->[1] })) . "\n" } (
		[ 1, { channel => 'mobile', site_id => 'a', tags => [ 'x', 'y' ], metadata => { plan => 'pro', n => 1 } } ],
		[ 2, { channel => 'web', site_id => 'b', campaign_id => 'c1', path => '/it\'s', metadata => { plan => 'free', n => 2 } } ],
		[ 3, { channel => 'a,b', site_id => 'a', tags => ['z'], path => '/a\\b' } ]));
is(filtered(), 'f1 f2 f3', 'in order of time');
is(filtered(to => $day + 3), 'f1 f2', 'to is exclusive');
is(names(export(from => $day + 2)), 'f2 f3', 'from is inclusive');
is(names(export(from => '2024-08-22T12:00:02.000000Z', to => '2024-08-22T12:00:02.000001Z')), 'f2', 'a range of one microsecond');
is(filtered(event_name => 'f2'), 'f2', 'event_name');
is(filtered(channel => 'mobile,web'), 'f1 f2', 'several values');
is(filtered(channel => 'a\\,b'), 'f3', 'a value with a comma');
is(filtered(path => '/a\\\\b'), 'f3', 'a value with a backslash');
is(filtered(path => "/it's"), 'f2', 'a value with a quote');
is(filtered(page => "/it's"), 'f2', 'a breakdown');
is(filtered(site => 'a'), 'f1 f3', 'site');
is(filtered(campaign_id => 'c1'), 'f2', 'campaign_id');
is(filtered(tag => 'y,z'), 'f1 f3', 'tag');
is(filtered('metadata.plan' => 'pro,free', 'metadata.n' => 2), 'f2', 'members of metadata');
is(filtered(site => 'a', channel => 'mobile'), 'f1', 'two filters');
is(filtered('metadata.x%27+OR+true+OR+%27' => 'x'), '', 'a name is no SQL');
is(filtered(site => "x' OR true OR '"), '', 'a value is no SQL');

foreach (
	[ [ from => 'x' ], qr/from "x"/ ],
	[ [ from => 2, to => 2 ], qr/from is not before to/ ],
	[ [ format => 'json' ], qr/format "json" .* ndjson or csv/ ],
	[ [ limit => 0 ], qr/limit "0"/ ],
	[ [ cursor => 'x' ], qr/cursor "x" .*Next-Cursor/ ],
	[ [ cursor => '1_0_k00000000000000000000000000000000' ], qr/cursor/ ],
	[ [ cursor => '1_1_h123' ], qr/cursor/ ],
	[ [ site => 'a,' ], qr/site "a,"/ ],
	[ [ group_by => 'hour' ], qr/unknown parameter "group_by"/ ],
	[ [ 'metadata.' => 'x' ], qr/unknown parameter "metadata\."/ ],
	[ [ channel => '' ], qr/channel is empty/ ])
{
	my ($parameters, $pattern) = @$_;

	is_error(export(@$parameters), 400, $pattern, "wrong: @$parameters");
}
is($server->post('/export', '{}')->{status}, 405, 'POST is not allowed');

my $head = $server->request('HEAD', '/export');
is("$head->{status} $head->{headers}{'content-type'} $head->{body}", '200 application/x-ndjson ', 'HEAD');
is($server->request('HEAD', '/export?format=x')->{status}, 400, 'HEAD of what is wrong');
is(names(export(from => $day)), 'f1 f2 f3', 'after a HEAD the worker takes the next export');

# ---------------------------------------------------------------------------
# Pages
# ---------------------------------------------------------------------------

my $paged = $NOON + 20 * 86400;

# Rows without a key that are alike, and many of one time
$server->sql(
	"SELECT fi_create_partition('2024-09-01');
	 INSERT INTO fast_ingest.events (event_name, channel, user_id, ts, event_key)
	 SELECT 'p' || i % 9, 'web', 'u', to_timestamp($paged + i / 20), CASE WHEN i % 3 = 0 THEN gen_random_uuid() END
	 FROM generate_series(0, 199) i");
my $before = lines(export(from => $paged, to => $paged + 100));

sub pages
{
	my ($limit, $meanwhile) = @_;
	my ($body, $cursor, $pages) = ('', undef, 0);

	for (1 .. 1000)
	{
		my $answer =
		  export(from => $paged, to => $paged + 100, limit => $limit, defined $cursor ? (cursor => $cursor) : ());

		return "$answer->{status} $answer->{body}" if $answer->{status} ne '200' || !$answer->{complete};
		$body .= $answer->{body};
		$pages++;
		$cursor = $answer->{headers}{'next-cursor'};
		last unless defined $cursor;
		$meanwhile->() if $meanwhile;
	}
	return wantarray ? ($body, $pages) : $body;
}

foreach my $limit (1, 7, 199)
{
	my ($body, $pages) = pages($limit);

	is($body, $before, "pages of $limit are all rows in order");
	is($pages, POSIX::ceil(200 / $limit), "and as many as they must be");
}
is((pages(200))[1], 1, 'a page that is exactly full is the last');

# Events before and behind the cursor, at the same times
my $meanwhile = sub {
	$server->sql(
		"INSERT INTO fast_ingest.events (event_name, channel, user_id, ts, event_key)
		 SELECT 'new', 'web', 'new' || i, to_timestamp($paged + i), CASE WHEN i % 2 = 0 THEN gen_random_uuid() END FROM generate_series(0, 10) i");
};
my $page_body = pages(11, $meanwhile);
is(join('', grep { !/"event_name":"new"/ } split /^/, $page_body), $before, 'events that arrive hide none and repeat none');
like($page_body, qr/"new"/, 'those behind the cursor are exported');
my %times;
$times{$_}++ foreach grep { /"new".*event_key/ } split /^/, $page_body;
is(scalar(grep { $_ > 1 } values %times), 0, 'each of them once');

# ---------------------------------------------------------------------------
# Scope
# ---------------------------------------------------------------------------

my %keys = map { $_->[0] => $server->sql("SELECT fi_create_api_key('$_->[0]', $_->[1])") } (
	[ 'read', "scopes => '{read,write}'" ],
	[ 'admin', "scopes => '{admin}'" ],
	[ 'site', "scopes => '{admin}', site_ids => '{a,b}'" ],
	[ 'channel', "scopes => '{admin}', channels => '{\"a,b\",mobile}'" ]);

sub export_with
{
	my ($key, @parameters) = @_;

	return $server->get(query_path('/export', from => $day, to => $day + 100, @parameters),
		headers => $key ? [ 'X-API-Key', $keys{$key} ] : []);
}
$server->set('fast_ingest.require_api_key' => 'on');
$server->wait_for_answer(401, sub { export_with(undef) });
is($server->wait_for_answer(200, sub { export_with('admin') })->{status}, 200, 'a key with the scope admin');
is_error(export_with('read'), 403, qr/scope "admin"/, 'a key without it');
is_error(export_with('site'), 403, qr/\bsite\b/, 'a key for some websites must name them');
is_error(export_with('site', site => 'a,c'), 403, qr/\bsite\b/, 'and no other');
is(names(export_with('site', site => 'a')), 'f1 f3', 'one of them');
is(names(export_with('site', site => 'a,b')), 'f1 f2 f3', 'both of them');
is_error(export_with('channel', channel => 'web'), 403, qr/channel/, 'a key for some channels');
is_error(export_with('channel', channel => 'a,b'), 403, qr/channel/, 'values are told apart before they are compared');
is(names(export_with('channel', channel => 'a\\,b')), 'f3', 'a channel with a comma');
$server->set('fast_ingest.require_api_key' => 'off');
$server->wait_for_answer(200, sub { export_with(undef) });

# ---------------------------------------------------------------------------
# A million rows
# ---------------------------------------------------------------------------

my $many = 1_000_000;
my $begin = $NOON + 30 * 86400;
my @range = (from => $begin, to => $begin + 2 * 86400);
my ($query_pid, $listener_pid) = map { $server->worker_pid($_) } 'query', 'listener';

# without triggers, which would count them for a minute
$server->sql(
	"SELECT fi_create_partition(day::date) FROM generate_series('2024-09-11'::date, '2024-09-13', '1 day') day;
	 SET session_replication_role = replica;
	 INSERT INTO fast_ingest.events (event_name, channel, user_id, ts, site_id, path, metadata, event_key)
	 SELECT 'many', 'web', 'user-' || i % 1000, to_timestamp($begin + (i / 5000 * 5000 + i % 5000 * 7919 % 5000) * 0.1::numeric), 'shop.example', '/p/' || i,
	        jsonb_build_object('i', i), CASE WHEN i % 10 > 0 THEN lpad(to_hex(i), 32, '0')::uuid END
	 FROM generate_series(0, $many - 1) i");

# Read an export, and keep nothing of it but what is to be known of it
sub read_export
{
	my ($connection, $each) = @_;
	my %seen = (lines => 0, bytes => 0, last => '', unordered => 0);
	my $rest = '';

	my $answer = $connection->read_answer(
		take => sub {
			my @lines = split /^/, $rest . $_[0];

			$seen{bytes} += length $_[0];
			$rest = @lines && $lines[-1] !~ /\n\z/ ? pop @lines : '';
			$seen{lines} += @lines;
			foreach (@lines)
			{
				my $ts = substr $_, index($_, '"timestamp":"') + 13, 27;

				$seen{unordered}++ if $ts lt $seen{last};
				$seen{last} = $ts;
			}
			$each->(\%seen) if $each;
		});
	return { %$answer, %seen, rest => $rest };
}

is(names(export(@range, limit => 1)), 'many', 'one of many');    # what the caches of the worker need
my %before = map { $_ => memory_of($_, 'RssAnon') } $query_pid, $listener_pid;
my %peak = map { $_ => record_peak_memory($_) } $query_pid, $listener_pid;
my $start = time;
my $seen = read_export(send_query($server, query_path('/export', @range)));
my $took = time - $start;

is("$seen->{status} $seen->{complete} $seen->{lines} $seen->{unordered} '$seen->{rest}'",
	"200 1 $many 0 ''", 'a million rows in order');
note(sprintf '%d rows, %.0f MB, %.1f s, %.0f rows/s', $many, $seen->{bytes} / 1e6, $took, $many / $took);
foreach ([ 'query worker', $query_pid ], [ 'listener', $listener_pid ])
{
	my ($name, $pid) = @$_;
	my $peak = slurp_file($peak{$pid});

	note("$name: RssAnon $before{$pid} kB before, $peak kB at most");
	cmp_ok($peak, '<', $before{$pid} + 8 * 1024, "the $name needs no more memory for them");
}

my $page = export(@range, limit => 300_000);
is(scalar(() = $page->{body} =~ /\n/g), 300_000, 'a page of many rows');
ok($page->{headers}{'next-cursor'}, 'it has a cursor');
$seen = read_export(send_query($server, query_path('/export', @range, cursor => $page->{headers}{'next-cursor'})));
is("$seen->{complete} $seen->{lines}", '1 700000', 'the rest without a limit');
undef $page;

# ---------------------------------------------------------------------------
# One snapshot, and questions meanwhile
# ---------------------------------------------------------------------------

my $slow = send_query($server, query_path('/export', from => $begin));
# Does the worker wait for a client to read? It also waits for questions so, but in no transaction.
my $busy = sub {
	return $server->sql(
		"SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'fast_ingest query' AND query = 'GET /export' AND backend_xmin IS NOT NULL AND wait_event_type = 'Extension'") eq '1';
};

ok(wait_until($busy), 'a client that does not read has an export under way');
$server->post_event(event(1, event_name => 'later', timestamp => $begin + 86400 * 20));
is($server->get('/metrics?event_name=later')->{json}{total_events}, 1, 'the worker answers a question meanwhile, of now');
is_error($server->get('/metrics?event_name=later&limit=x'), 400, qr/limit/, 'and errors');
is($server->get('/metrics?event_name=later')->{json}{total_events}, 1, 'and goes on');
$seen = read_export($slow);
is("$seen->{complete} $seen->{lines}", "1 $many", 'the export has what was there when it began');
is(names(export(from => $begin + 2 * 86400)), 'later', 'the next has the rest');

# More than one at a time

$slow = send_query($server, query_path('/export', @range));
ok(wait_until($busy), 'an export whose client is slow');
$server->set('fast_ingest.query_timeout' => '500ms');
is_error($server->wait_for_answer(503, sub { export(from => $day, to => $day + 100) }),
	503, qr/too many exports at a time: at most 1 \(fast_ingest\.query_workers\)/, 'another one has to wait');
$server->set('fast_ingest.query_timeout' => '60s');
is(read_export($slow)->{complete}, 1, 'the first one is complete');
is(filtered(to => $day + 100), 'f1 f2 f3', 'then the next one is made');

# ---------------------------------------------------------------------------
# Clients that leave or stop
# ---------------------------------------------------------------------------

sub is_idle
{
	my ($name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;

	return ok(wait_until(sub { !$busy->() }) && filtered(to => $day + 100) eq 'f1 f2 f3', "$name: the worker is free again");
}

foreach (1 .. 3)
{
	my $gone = send_query($server, query_path('/export', @range));

	wait_until($busy);
	$gone->close;
}
is_idle('clients that left');
$server->set('fast_ingest.request_timeout' => '500ms');
$slow = send_query($server, query_path('/export', @range));
ok(wait_until($busy), 'a client that does not read');
is_idle('it is cut');
$seen = read_export($slow);
is("$seen->{status} $seen->{complete}", '200 0', 'its body is not complete');

# a reader that pauses for less than the timeout is none of these
my $paused = 0;
$server->set('fast_ingest.request_timeout' => '30s');
$server->wait_ready;
$seen = read_export(send_query($server, query_path('/export', @range)), sub { select undef, undef, undef, 0.2 if $_[0]{lines} > 100_000 * $paused && ++$paused });
is("$seen->{complete} $seen->{lines}", "1 $many", 'a client that pauses');

# ---------------------------------------------------------------------------
# Workers that end
# ---------------------------------------------------------------------------

sub broken_off
{
	my ($name, $break) = @_;
	my $connection = send_query($server, query_path('/export', @range));

	wait_until($busy);
	$break->();
	my $seen = read_export($connection);

	ok($seen->{status} eq '200' && !$seen->{complete} && $seen->{lines} < $many, "$name: the body is not complete");
	return $seen;
}

my $offset = -s $server->node->logfile;
$query_pid = $server->worker_pid('query');
broken_off('cancelled', sub { $server->sql("SELECT pg_cancel_backend($query_pid)") });
ok($server->wait_for_log_line(qr/fast_ingest query: canceling.*\n.*An export was broken off/, $offset), 'cancelled: the log has it');
is_idle('cancelled');
is($server->worker_pid('query'), $query_pid, 'cancelled: by the same worker');

$seen = broken_off('terminated', sub { $server->sql("SELECT pg_terminate_backend($query_pid)") });
$server->wait_for_other_pid('query', $query_pid);
ok(wait_for_query_worker($server), 'terminated: there is another worker');

# what a client does then: go on from the last line that it has
my $rest = read_export(send_query($server, query_path('/export', from => $seen->{last}, to => $begin + 2 * 86400)));
cmp_ok($rest->{lines} + $seen->{lines}, '>=', $many, 'from the last time on comes the rest');
cmp_ok($rest->{lines} + $seen->{lines}, '<=', $many + 2, 'and no more of what is known than that time');

my $listener = $server->worker_pid('listener');
broken_off('the listener ends', sub { $server->sql("SELECT pg_terminate_backend($listener)") });
$server->wait_for_other_pid('listener', $listener);
$server->wait_ready;
is_idle('the listener ends');

# a search that takes too long
$server->set('fast_ingest.query_timeout' => '300ms');
my $lock = block_queries($server);
is_error($server->wait_for_answer(503, sub { export(@range) }), 503, qr/fast_ingest\.query_timeout/, 'a search that waits for a lock');
$lock->quit;
$server->set('fast_ingest.query_timeout' => '60s');
is_idle('a search that took too long');

# ---------------------------------------------------------------------------
# Large events
# ---------------------------------------------------------------------------

my $large = $NOON + 90 * 86400;
my $text = join '', map { chr(97 + int rand 26) } 1 .. 1000;
foreach (1 .. 3)
{
	is( $server->post('/events', encode_json(event($_, timestamp => $large + $_, metadata => { text => $text x 5000, n => $_ })))->{status},
		202, 'an event of megabytes');
}
my $large_lines = lines(export(from => $large));
cmp_ok(length $large_lines, '>', 15_000_000, 'large events');
is(scalar(grep { /"n": \d, "text": "([a-z]*)"\}/ && $1 eq $text x 5000 } split /\n/, $large_lines), 3, 'are complete');

# ---------------------------------------------------------------------------
# A standby
# ---------------------------------------------------------------------------

my $standby = $server->standby('standby');
$server->node->wait_for_catchup('standby', 'replay');
wait_until(sub { export_of($standby, from => $day, to => $day + 100)->{status} eq '200' });
is(lines(export_of($standby, from => $day, to => $day + 100)), lines(export(from => $day, to => $day + 100)), 'a standby exports the same');
$standby->node->stop;

# ---------------------------------------------------------------------------
# Several workers
# ---------------------------------------------------------------------------

$server->sql("ALTER SYSTEM SET fast_ingest.query_workers = 3");
$server->sql("ALTER SYSTEM SET fast_ingest.query_timeout = '2s'");
$server->restart;
ok(wait_for_query_worker($server), 'three query workers');
my $exports = sub { $server->sql("SELECT count(*) FROM pg_stat_activity WHERE query = 'GET /export' AND backend_xmin IS NOT NULL AND backend_type = 'fast_ingest query'") };
my @slow = map { send_query($server, query_path('/export', @range)) } 1 .. 3;
ok(wait_until(sub { $exports->() eq '2' }), 'two exports at a time');
is_error($slow[2]->read_answer, 503, qr/at most 2/, 'the third one has to wait');
is($server->get('/metrics?event_name=later')->{json}{total_events}, 1, 'a worker is left for questions');
$start = time;
$server->node->stop('fast');
cmp_ok(time - $start, '<', 60, 'the server stops without them');
is(join(' ', map { read_export($_)->{complete} } @slow[ 0, 1 ]), '0 0', 'which are not complete');

done_testing();
