# GET /metrics/prometheus is what Prometheus expects, and its figures are true: a real Prometheus
# scrapes it and is asked for what was sent. It answers when nothing else does. Streams have
# metrics by name. The table of doc/monitor.md and the dashboard in docker/ name only metrics
# that exist.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use FastIngest;
use FastIngest::Webhook;
use HTTP::Tiny;
use JSON::PP ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $top = "$FindBin::RealBin/../..";
my $directory = PostgreSQL::Test::Utils::tempdir();
my $prometheus_port = PostgreSQL::Test::Cluster::get_free_port();
my $prometheus_pid;
my $path = '/metrics/prometheus';
my $answer;

# What a program prints, and its exit code
sub run_program
{
	my ($input, @command) = @_;
	my $output = '';

	IPC::Run::run(\@command, '<', \$input, '>', \$output, '2>&1', IPC::Run::timeout($TIMEOUT));
	return "exit $?\n$output";
}

sub write_file
{
	my ($name, $text) = @_;

	open my $handle, '>', "$directory/$name" or die "could not create $directory/$name: $!";
	print {$handle} $text;
	close $handle or die "could not write $directory/$name: $!";
	return "$directory/$name";
}

sub bearer { return (headers => [ 'Authorization', "Bearer $_[0]" ]) }

# The samples of an exposition by metric and labels
sub samples
{
	my ($text) = @_;

	return { map { /^([^#]\S*(?:\{.*\})?) (\S+)$/ ? ($1 => $2) : () } split /\n/, $text };
}

# The same of a server, asked over a connection of its own or over this one
sub scrape
{
	my ($server, $connection) = @_;

	return samples($server->get($path)->{body}) unless $connection;
	$connection->send(http_message('GET', $path));
	return samples($connection->read_answer->{body});
}

# ---------------------------------------------------------------------------
# The format, and bytes, while nobody else asks
# ---------------------------------------------------------------------------

my $server = FastIngest->new('one', conf => <<'EOC');
wal_level = replica
max_wal_senders = 8
hot_standby = on
fast_ingest.max_body_size = '64kB'
fast_ingest.refresh_backlog = 0
EOC
my $admin = $server->sql(q(SELECT fi_create_api_key('scraper', '{admin}')));
my $reader = $server->sql(q(SELECT fi_create_api_key('reader', '{read}')));

$answer = $server->get($path);
is($answer->{status}, 200, 'it is answered');
is($answer->{headers}{'content-type'}, 'text/plain; version=0.0.4; charset=utf-8', 'as text');
is(run_program($answer->{body}, 'promtool', 'check', 'metrics'), "exit 0\n", 'promtool finds nothing wrong');

my $exposition = $answer->{body};
my %type = map { /^# TYPE (\S+) (\S+)/ ? ($1 => $2) : () } split /\n/, $exposition;
my $before = samples($exposition);
my $now = scrape($server);
my $sent = 'fast_ingest_http_response_body_bytes_total';

is($now->{$sent} - $before->{$sent}, length $exposition, 'it counts its own bytes');
is($server->request('HEAD', $path)->{status}, 200, 'HEAD is answered');
$before = $now;
$now = scrape($server);
cmp_ok($now->{$sent} - $before->{$sent}, '<', 2 * length $exposition, 'HEAD counts no bytes of a body');
is($now->{qq(fast_ingest_http_requests_total{route="$path",code="200"})}, 3, 'and three requests were made before');

# Every histogram grows from bucket to bucket up to its count
foreach my $name (grep { $type{$_} eq 'histogram' } sort keys %type)
{
	my %last;
	my $falls = 0;

	foreach my $line (grep { /^${name}_bucket/ } split /\n/, $exposition)
	{
		my ($route, $le, $count) = $line =~ /^\w+\{(?:route="([^"]*)",)?le="([^"]+)"\} (\d+)$/ or $falls++;

		$route ||= '';
		$le = 9**9**9 if $le eq '+Inf';
		$falls++ if $last{$route} && ($le <= $last{$route}[0] || $count < $last{$route}[1]);
		$last{$route} = [ $le, $count ];
	}
	foreach my $route (keys %last)
	{
		my $label = $route eq '' ? '' : qq({route="$route"});

		$falls++
		  if $last{$route}[0] != 9**9**9 || $last{$route}[1] != samples($exposition)->{"${name}_count$label"};
	}
	is($falls, 0, "$name is cumulative");
}

# Each code that is sent has a place of its own
my $account = slurp_file("$top/src/shared/request_counters.c");
my %sent_codes = map { ($_ => 1) }
  map { slurp_file($_) =~ /\b(MHD_HTTP_(?!METHOD_|HEADER_|VERSION_)[A-Z_]+)/g } glob "$top/src/*/*.c $top/src/*/*/*.c";

$sent_codes{MHD_HTTP_METHOD_NOT_ALLOWED} = 1;
is(join(' ', grep { $account !~ /\t$_,/ } sort keys %sent_codes), '', 'every code that is sent is counted apart');

# ---------------------------------------------------------------------------
# A real Prometheus
# ---------------------------------------------------------------------------

my $two = FastIngest->new('two', conf => "fast_ingest.listeners = 2\nfast_ingest.max_connections = 12");
my $standby = $server->standby('standby');
my $streams = FastIngest->new('streams', conf => "wal_level = logical\nfast_ingest.max_streams = 1");

sub job
{
	my ($name, $target, $more) = @_;

	return <<"EOC" . ($more || '');
  - job_name: $name
    metrics_path: $path
    static_configs:
      - targets: ['127.0.0.1:@{[$target->port]}']
EOC
}

my $config = write_file('prometheus.yml',
	"global:\n  scrape_interval: 250ms\n  scrape_timeout: 250ms\nscrape_configs:\n"
	  . job('one', $server, "    authorization:\n      credentials: $admin\n")
	  . job('keyless', $server)
	  . job('two', $two)
	  . job('standby', $standby)
	  . job('streams', $streams));

like(run_program('', 'promtool', 'check', 'config', $_), qr/\Aexit 0\n/, "$_ is valid")
  foreach $config, "$top/docker/prometheus.yml";

$prometheus_pid = fork;
die "could not fork: $!" unless defined $prometheus_pid;
if ($prometheus_pid == 0)
{
	open STDOUT, '>', "$directory/log";
	open STDERR, '>&', \*STDOUT;
	exec 'prometheus', "--config.file=$config", "--storage.tsdb.path=$directory/data",
	  "--web.listen-address=127.0.0.1:$prometheus_port", '--log.level=warn'
	  or POSIX::_exit(1);
}

sub stop_prometheus
{
	return unless $prometheus_pid;
	kill 'TERM', $prometheus_pid;
	waitpid $prometheus_pid, 0;
	$prometheus_pid = 0;
	return;
}

END { local $?; stop_prometheus() if $prometheus_pid; }

# What Prometheus says: a reference to the values, by the labels that are left
sub ask_prometheus
{
	my ($expression) = @_;
	my $got = HTTP::Tiny->new->post_form("http://127.0.0.1:$prometheus_port/api/v1/query", { query => $expression });
	my $content = eval { JSON::PP->new->utf8->decode($got->{content}) };

	return undef unless $content && $content->{status} eq 'success';
	return {
		map {
			my $labels = $_->{metric};
			(join(' ', map { $labels->{$_} } grep { !/^(?:__name__|instance|job)$/ } sort keys %$labels) => $_->{value}[1])
		} @{ $content->{data}{result} } };
}

# Wait until Prometheus says that, after one of the next scrapes.
sub scraped
{
	my ($expression, $expected, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $got;

	$expected = { '' => $expected } unless ref $expected;
	wait_until(
		sub {
			$got = ask_prometheus($expression);
			return $got
			  && keys %$got == keys %$expected
			  && !grep { !defined $got->{$_} || $got->{$_} ne $expected->{$_} } keys %$expected;
		});
	is_deeply($got, $expected, $name);
	return;
}

ok(wait_until(sub { ask_prometheus('vector(1)') }), 'Prometheus runs')
  or diag(slurp_file("$directory/log"));
scraped(qq(up{job="$_"}), 1, "it scrapes $_") foreach qw(one keyless two standby streams);

# ---------------------------------------------------------------------------
# What was sent is counted
# ---------------------------------------------------------------------------

my $body_bytes = 0;

sub send_body
{
	my ($expected, $route, $body, %opt) = @_;
	my $text = ref $body ? encode_json($body) : $body;

	$body_bytes += length $text;
	is($server->post($route, $text, %opt)->{status}, $expected, "POST $route: $expected");
}

$server->sql(q(ALTER TABLE fast_ingest.events ADD CONSTRAINT no_bots CHECK (user_id <> 'bot')));
send_body(202, '/events', event($_)) foreach 1 .. 3;
send_body(202, '/events', event(1));
send_body(400, '/events', event(4, user_id => 7));
send_body(400, '/events', '{');
send_body(422, '/events', event(5, user_id => 'bot'));
send_body(415, '/events', '{}', type => 'text/html');
send_body(413, '/events', ' ' x 100_000);
send_body(202, '/events/bulk', [ map { event($_) } 10 .. 29 ]);
send_body(202, '/events/bulk', [ event(30), {}, event(31, user_id => 'bot'), event(10) ]);
send_body(400, '/events/bulk', [ {}, {} ]);
send_body(204, '/event', { site_id => 's', event_type => 'e' });
is($server->get('/events')->{status}, 405, 'a wrong method');
is($server->get('/events', headers => [ 'Host', 'twice' ])->{status}, 400, 'a malformed request');
my $by_library = $server->connect;

$by_library->send("POST /events HTTP/1.1\r\nHost: localhost\r\nContent-Length: x\r\n\r\n");
is($by_library->read_answer->{status}, 400, 'one that libmicrohttpd refuses');
is($server->get("/no/$_")->{status}, 404, 'an unknown path') foreach 1 .. 3;
is($server->request('HEAD', '/health')->{status}, 200, 'HEAD');
is($server->get('/metrics?event_name=page_view')->{json}{total_events}, 24, 'a query');
is($server->get('/metrics?event_name=')->{status}, 400, 'half a query');
is($server->get($_)->{status}, 400, $_) foreach qw(/series?step=x /event_names?to=x /live?top=x);

# (The listener has read all that is there when it answers 100 Continue.)
my $broken = $server->connect;

$broken->send("POST /events HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\nExpect: 100-continue\r\n\r\n");
is($broken->read_answer->{status}, 100, 'half a request');
$broken->close;

my $one = '{job="one"';

scraped(
	qq(fast_ingest_http_requests_total$one,route!~"/ready|$path"} > 0),
	{
		'202 /events' => 4, '400 /events' => 2, '405 /events' => 1,
		'413 /events' => 1, '415 /events' => 1, '422 /events' => 1,
		'202 /events/bulk' => 2, '400 /events/bulk' => 1, '204 /event' => 1, '200 /health' => 1,
		'200 /metrics' => 1, '400 /metrics' => 1, '400 /series' => 1, '400 /event_names' => 1, '400 /live' => 1, '404 other' => 3, '400 other' => 2
	},
	'requests by path and code');
scraped(
	qq(sum by (route) (fast_ingest_http_requests_total$one})
	  - on (route) fast_ingest_http_request_duration_seconds_count$one} != 0),
	{}, 'durations of as many requests');
scraped(qq(fast_ingest_http_requests_aborted_total$one}), 1, 'a broken request');
scraped(
	qq(fast_ingest_events_total$one}),
	{ committed => 25, duplicate => 2, discarded => 0, dead_lettered => 2, rejected => 4 },
	'events by what became of them');
scraped(qq(fast_ingest_events_received_total$one}), 33, 'are all events');
scraped(qq(fast_ingest_events_total$one} - on (outcome) fast_ingest_events_total{job="keyless"}),
	{ committed => 0, duplicate => 0, discarded => 0, dead_lettered => 0, rejected => 0 }, 'whoever asks');
scraped(qq(fast_ingest_http_request_body_bytes_total$one}), $body_bytes, 'bytes of bodies');
scraped(qq(fast_ingest_batch_events_sum$one}), 29, 'events of transactions');
scraped(qq(fast_ingest_batch_events_count$one} - fast_ingest_commit_duration_seconds_count$one}), 0, 'have as many durations');
scraped(qq(fast_ingest_batch_events_bucket$one,le="1"} >= bool 6), { 1 => 1 }, 'those of single events are in their bucket');
scraped(qq(fast_ingest_commit_wait_seconds_count$one}), 8, 'requests that waited for a commit');
scraped(qq(fast_ingest_delta_backlog_events$one}), 25, 'events that wait for a refresh');
scraped(qq(abs(fast_ingest_last_commit_timestamp_seconds$one} - time()) < bool 600), 1, 'the last commit');
scraped(qq(fast_ingest_standby$one}), 0, 'it is no standby');
scraped(qq(fast_ingest_build_info$one,version="1.0"}), { $server->sql('SHOW server_version') . ' 1.0' => 1 }, 'versions');

# Waiting, in seconds: longer than the lock was held, shorter than the client waited

$before = scrape($server);

my $began = time;
my $lock = $server->lock_table;
my ($waiting) = $server->send_events(event(100));

$server->wait_for_staged(1);
my $lock_began = time;
scraped(qq|sum by (pair) (fast_ingest_staged_events$one})|, { 1 => 1 }, 'an event is staged');
scraped(qq|sum by (pair) (fast_ingest_staging_bytes$one}) > bool 0|, { 1 => 1 }, 'and takes room');
scraped(qq|max by (pair) (fast_ingest_oldest_staged_seconds$one}) > bool 0.2|, { 1 => 1 }, 'and waits');
scraped(qq|max by (pair) (fast_ingest_staging_size_bytes$one})|, { 1 => 64 * 1024 * 1024 }, 'in a ring of that size');
my $held = time - $lock_began;
$lock->quit;
is($waiting->read_answer->{status}, 202, 'it is committed');
my $waited = time - $began;
$now = scrape($server);
foreach my $name ('fast_ingest_http_request_duration_seconds_sum{route="/events"}', 'fast_ingest_commit_wait_seconds_sum',
	'fast_ingest_commit_duration_seconds_sum')
{
	my $seconds = $now->{$name} - $before->{$name};

	ok($seconds >= $held && $seconds <= $waited, "$name grows by the time that it took")
	  or diag("$held <= $seconds <= $waited");
}
is($now->{'fast_ingest_staged_events{pair="1",lane="other_days"}'}, 0, 'nothing is staged');
is($now->{'fast_ingest_oldest_staged_seconds{pair="1",lane="other_days"}'}, 0, 'or waits');

# ---------------------------------------------------------------------------
# Refreshes
# ---------------------------------------------------------------------------

# How many refreshes succeeded, and how many failed
sub refreshes
{
	my $got = scrape($server);

	return "$got->{fast_ingest_refresh_duration_seconds_count} $got->{fast_ingest_refresh_failures_total}";
}

is(refreshes(), '0 0', 'no refresh');
ok(!defined scrape($server)->{fast_ingest_last_refresh_timestamp_seconds}, 'so no time of the last one');
$server->sql('SELECT fi_refresh()');
is(refreshes(), '1 0', 'a refresh');
scraped(qq(fast_ingest_delta_backlog_events$one}), 0, 'after which nothing waits');
scraped(qq(abs(fast_ingest_last_refresh_timestamp_seconds$one} - time()) < bool 600), 1, 'the last one was that');
$server->sql('BEGIN; SELECT fi_refresh(); ROLLBACK');
is(refreshes(), '1 1', 'one that is rolled back is none');
$server->sql('BEGIN; SAVEPOINT s; SELECT fi_refresh(); ROLLBACK TO s; SELECT 1; COMMIT');
is(refreshes(), '1 2', 'nor is one that is rolled back to a savepoint');
$server->sql('BEGIN; SAVEPOINT s; SELECT fi_refresh(); RELEASE s; SAVEPOINT s; SELECT 1; ROLLBACK TO s; COMMIT');
is(refreshes(), '2 2', 'what is rolled back after it does not matter');
$server->sql('ALTER TABLE fast_ingest.rollup_state ADD CONSTRAINT never CHECK (users < 0) NOT VALID');
is($server->post_event(event(200))->{status}, 202, 'an event');
isnt($server->node->psql('postgres', 'SELECT fi_refresh()'), 0, 'a refresh that fails');
is(refreshes(), '2 3', 'is one that failed');
isnt($server->node->psql('postgres', 'BEGIN ISOLATION LEVEL SERIALIZABLE; SELECT fi_refresh(); COMMIT'), 0, 'one that is refused');
is(refreshes(), '2 4', 'has failed, too');
$server->set('fast_ingest.refresh_backlog' => 1);
ok(wait_until(sub { refreshes() =~ / (\d+)$/ && $1 > 4 }), 'so is one of the maintenance worker');
$server->sql('ALTER TABLE fast_ingest.rollup_state DROP CONSTRAINT never');
ok(wait_until(sub { refreshes() =~ /^3 / }), 'which does it later');

# ---------------------------------------------------------------------------
# Keys
# ---------------------------------------------------------------------------

$server->set('fast_ingest.require_api_key' => 'on');
is_error($server->wait_for_answer(401, sub { $server->get($path) }), 401, qr/an API key is needed/, 'a key is needed');
is_error($server->get($path, bearer($reader)), 403, qr/"admin"/, 'one that may');
is($server->get($path, bearer($admin))->{status}, 200, 'as this one');
scraped('up{job="keyless"}', 0, 'a Prometheus without a key gets nothing');
scraped('up{job="one"}', 1, 'one with a key does');
scraped(qq(fast_ingest_events_total$one,outcome="committed"}), { committed => 27 }, 'and knows more');
$server->set('fast_ingest.require_api_key' => 'off');
$server->wait_for_answer(200, sub { $server->get($path) });

# ---------------------------------------------------------------------------
# Two listeners
# ---------------------------------------------------------------------------

my @connections = map { $two->connect } 1 .. 10;

foreach my $n (0 .. $#connections)
{
	$connections[$n]->send(http_message('POST', '/events', body => event(1000 + $n)));
	is($connections[$n]->read_answer->{status}, 202, 'an event');
}
my @received = split /\n/, $two->sql(q(SELECT received FROM fi_status() WHERE worker LIKE 'listener%'));
ok((!grep { $_ == 0 } @received), 'both listeners have events') or diag("@received");
is( join(' ', map { $_->{'fast_ingest_events_total{outcome="committed"}'} . '/'
	  . $_->{'fast_ingest_http_requests_total{route="/events",code="202"}'} } map { scrape($two, $_) } @connections),
	join(' ', ('10/10') x 10),
	'whichever is asked knows those of both');

my $refused = scrape($two, $connections[0])->{fast_ingest_http_connections_refused_total};
push @connections, map { $two->connect } 1 .. 5;
$_->send(http_message('GET', '/health')) foreach @connections[ 10 .. 14 ];
my $answers_503 = grep { $_->read_answer->{status} eq 503 } @connections[ 10 .. 14 ];
cmp_ok($answers_503, '>=', 3, 'more connections than are allowed');
cmp_ok(scrape($two, $connections[0])->{fast_ingest_http_connections_refused_total} - $refused,
	'>=', $answers_503, 'are counted');
$_->close foreach @connections;
scraped('fast_ingest_http_connections_limit{job="two"}', 12, 'max_connections');
scraped('sum(fast_ingest_http_connections{job="two"}) < bool 3', 1, 'the others have gone');
scraped('fast_ingest_events_received_total{job="two"}', 10, 'Prometheus knows the sum');

foreach my $worker ('listener 1', 'flusher 2', 'query 1')
{
	my $restarts = 'fast_ingest_worker_restarts_total{job="two",worker="' . $worker . '"}';

	scraped($restarts, { $worker => 0 }, "$worker has not been restarted");
	kill 'TERM', $two->sql("SELECT pid FROM fi_status() WHERE worker = '$worker'");
	scraped($restarts, { $worker => 1 }, "$worker was terminated: one restart");
}
scraped('fast_ingest_worker_up{job="two"}',
	{ map { ($_ => 1) } 'listener 1', 'listener 2', 'flusher 1', 'flusher 2', 'query 1', 'maintenance' },
	'all workers run');
scraped('fast_ingest_events_received_total{job="two"}', 10, 'nothing is forgotten');
scraped(join(' + ', map { 'sum(resets(' . $_ . '{job="two"}[1h]))' } grep { $type{$_} eq 'counter' } sort keys %type),
	0, 'no counter ever fell');
kill 'KILL', $two->sql("SELECT pid FROM fi_status() WHERE worker = 'query 1'");
scraped('fast_ingest_events_received_total{job="two"}', 0, 'after a crash they begin at zero');

# ---------------------------------------------------------------------------
# When nothing else is answered
# ---------------------------------------------------------------------------

scraped('fast_ingest_standby{job="standby"}', 1, 'a standby says that it is one');
scraped(
	'fast_ingest_worker_up{job="standby"}',
	{ 'listener 1' => 1, 'flusher 1' => 0, 'query 1' => 1, 'maintenance' => 0 },
	'and which workers run');
$server->sql('DROP EXTENSION fast_ingest');
$server->wait_not_ready(qr/extension/);
is($server->get($path)->{status}, 200, 'without the extension it answers');
scraped('fast_ingest_worker_up{job="one",worker="flusher 1"}', { 'flusher 1' => 0 }, 'that its flusher does not');
$server->sql('CREATE EXTENSION fast_ingest');
scraped('fast_ingest_worker_up{job="one",worker="flusher 1"}', { 'flusher 1' => 1 }, 'until it does');

# ---------------------------------------------------------------------------
# Streams
# ---------------------------------------------------------------------------

# Nobody listens there
my $target = 'http://127.0.0.1:' . PostgreSQL::Test::Cluster::get_free_port() . '/hook';
my $stream_name = q(it's "a" \ stream);
my $quoted = $stream_name =~ s/(["\\])/\\$1/gr;
my $stream = 'job="streams",stream="' . $quoted . '",kind="webhook"';

is(join(' ', grep { /stream/ } sort keys %{ scrape($streams) }),
	'fast_ingest_worker_restarts_total{worker="stream 1"} fast_ingest_worker_up{worker="stream 1"}',
	'without a stream there is only its worker');
$streams->sql(<<"EOQ");
SELECT fi_create_stream(\$\$$stream_name\$\$, 'webhook', '$target', max_retained_wal => '1GB',
    secret => 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw')
EOQ
# What is committed before its slot is made is not the stream's
scraped("fast_ingest_stream_state{$stream} == 1", { "webhook running $stream_name" => 1 }, 'a stream runs once it has its slot');
is($streams->post_event(event($_))->{status}, 202, 'an event') foreach 1 .. 3;
scraped("fast_ingest_stream_state{$stream} == 1",
	{ "webhook retrying $stream_name" => 1 }, 'a stream whose target is away retries');
scraped("sum(fast_ingest_stream_state{$stream})", 1, 'it is in one state');
scraped("fast_ingest_stream_lag_events{$stream}", { "webhook $stream_name" => 3 }, 'three events wait');
scraped("fast_ingest_stream_lag_bytes{$stream} > bool 0", { "webhook $stream_name" => 1 }, 'in WAL');
scraped("fast_ingest_stream_lag_seconds{$stream} > bool 0.2", { "webhook $stream_name" => 1 }, 'for some time');
scraped("fast_ingest_stream_lag_seconds{$stream} < bool 600", { "webhook $stream_name" => 1 }, 'which is in seconds');
scraped("fast_ingest_stream_retained_limit_bytes{$stream}", { "webhook $stream_name" => 2**30 }, 'the limit of its disk');
scraped("fast_ingest_stream_retained_bytes{$stream} > bool 0", { "webhook $stream_name" => 1 }, 'some of which it holds');
scraped("fast_ingest_stream_retries_total{$stream} > bool 0", { "webhook $stream_name" => 1 }, 'it tried again');
scraped("fast_ingest_stream_sent_events_total{$stream}", { "webhook $stream_name" => 0 }, 'nothing was sent');
scraped("fast_ingest_stream_last_sent_timestamp_seconds{$stream}", {}, 'at no time');
scraped("abs(fast_ingest_stream_last_error_timestamp_seconds{$stream} - time()) < bool 600",
	{ "webhook $stream_name" => 1 }, 'its last error was then');
scraped('fast_ingest_worker_up{job="streams",worker="stream 1"}', { 'stream 1' => 1 }, 'its worker runs');
is($streams->sql(q(SELECT worker FROM fast_ingest.workers WHERE worker LIKE 'stream%')), 'stream 1', 'and has a row');

# ---------------------------------------------------------------------------
# The table of doc/monitor.md and the dashboard
# ---------------------------------------------------------------------------

my $dashboard = JSON::PP->new->utf8->decode(slurp_file("$top/docker/grafana/dashboards/fast_ingest.json"));
my ($uid) = slurp_file("$top/docker/grafana/datasources/prometheus.yml") =~ /^\s*uid: (\S+)$/m;
my @targets = map { @{ $_->{targets} } } @{ $dashboard->{panels} };
my @unknown;
my $rules = '';

cmp_ok(scalar @targets, '>', 20, 'there is a dashboard');
is(
	join(' ', grep { $_ ne $uid } map { $_->{datasource}{uid} } @targets, @{ $dashboard->{panels} }, @{ $dashboard->{templating}{list} }),
	'', 'of the Prometheus of compose.yml');
is(join(' ', map { $_->{id} } @{ $dashboard->{panels} }), join(' ', 1 .. @{ $dashboard->{panels} }), 'panels are numbered');

# A server with a stream and a refresh has all metrics
$streams->sql('SELECT fi_refresh()');
$exposition = $streams->get($path)->{body};
is(run_program($exposition, 'promtool', 'check', 'metrics'), "exit 0\n", 'promtool finds nothing wrong with streams');
%type = map { /^# TYPE (\S+) (\S+)/ ? ($1 => $2) : () } split /\n/, $exposition;
my %series = map { my ($name) = /^([a-z_]+)/; ($name => 1) } keys %{ samples($exposition) };

foreach my $expression (map { $_->{expr} } @targets)
{
	push @unknown, grep { !$series{$_} } $expression =~ /(fast_ingest_\w+)/g;
	$expression =~ s/\$__rate_interval/1m/g;
	$expression =~ s/\$instance/.*/g;
	ok(ask_prometheus($expression), "Prometheus understands $expression");
	$rules .= "  - record: panel_" . ($rules =~ tr/\n//) . "\n    expr: " . encode_json($expression) . "\n";
}
push @unknown, grep { !$series{$_} } map { $_->{definition} =~ /(fast_ingest_\w+)/g } @{ $dashboard->{templating}{list} };
is(join(' ', @unknown), '', 'it names what there is');
like(run_program('', 'promtool', 'check', 'rules', write_file('rules.yml', "groups:\n- name: dashboard\n  rules:\n$rules")),
	qr/\Aexit 0\n.*SUCCESS/s, 'promtool finds nothing wrong with its queries');

my $page = slurp_file("$top/doc/monitor.md");
my %documented = $page =~ /^\| `(fast_ingest_\w+)` \| (\w+)/mg;
my ($scrape_config) = $page =~ /^```yaml\n(scrape_configs:.*?)^```/ms;
my ($alerts) = $page =~ /^```yaml\n(groups:.*?)^```/ms;

is_deeply(\%documented, \%type, 'doc/monitor.md lists all metrics, and no others');
like(run_program('', 'promtool', 'check', 'config', '--syntax-only', write_file('monitor.yml', $scrape_config)),
	qr/\Aexit 0\n/, 'its example of a configuration is valid');
like(run_program('', 'promtool', 'check', 'rules', write_file('alerts.yml', $alerts)),
	qr/\Aexit 0\n/, 'so are its alerts');
is(join(' ', grep { !$series{$_} } $alerts =~ /(fast_ingest_\w+)/g), '', 'which name what there is');

is(run_program($server->get($path)->{body}, 'promtool', 'check', 'metrics'), "exit 0\n", 'promtool still finds nothing wrong');

$streams->sql("SELECT fi_drop_stream(\$\$$stream_name\$\$)");
scraped('count by (stream) ({__name__=~"fast_ingest_stream_.*",job="streams"})', {}, 'a stream that was dropped is not shown');

# ---------------------------------------------------------------------------
# A stream that sends, and what its target has got
# ---------------------------------------------------------------------------

my $webhook = FastIngest::Webhook->new;

sub figure { return scrape($streams)->{qq(fast_ingest_stream_$_[0]\{stream="figures",kind="webhook"})} }

# Post events, of which the receiver refuses those that are bad, and wait until they are dealt with.
sub send_events
{
	my ($first, @kinds) = @_;
	my @events = map { event($first++, path => "/$_/") } @kinds;

	is($streams->post_bulk(\@events)->{json}{accepted}, scalar @events, 'events are stored');
	ok(wait_until(sub { $streams->sql(<<'EOQ') eq 't' }), 'and dealt with');
SELECT events_sent + dead_letters = (SELECT count(*) FROM fast_ingest.events WHERE path ~ '^/(good|bad)/$') AND lag_events = 0 FROM fi_streams()
EOQ
	return;
}

$streams->sql("SELECT fi_create_stream('figures', 'webhook', '" . $webhook->url . "', flush_interval => '20 ms')");
ok(wait_until(sub { $streams->sql('SELECT state FROM fi_streams()') eq 'running' }), 'another stream runs');
$webhook->plan({ lose => 1 }, { status => 503 }, {});
send_events(11, ('good') x 3);
$webhook->plan({ status => 422, only => '/bad/' });
send_events(21, qw(good bad bad bad good));
send_events(31, ('good') x 2);
my $updated = $streams->sql(q(WITH u AS (UPDATE fast_ingest.events SET path = '/updated/' RETURNING 1) SELECT count(*) FROM u));
ok(wait_until(sub { figure('ignored_changes_total') == $updated }), 'rows that were updated are counted');
my @requests = $webhook->requests;
my %taken = map { $_->{headers}{'webhook-id'} => 1 } FastIngest::Webhook::taken(@requests);
my $bytes = 0;

$bytes += $_->{bytes} foreach @requests;
is(figure('sent_events_total'), 7, 'so are the events that were sent');
is(figure('sent_batches_total'), scalar keys %taken, 'their batches');
is(figure('sent_bytes_total'), $bytes, 'the bytes of all requests');
is(figure('dead_letters_total'), 3, 'dead letters');
is(figure('retries_total'), 2, 'requests that were repeated');
is(figure('doubts_total'), 1, 'those of which nothing was known');
is(figure('lag_events'), 0, 'no event waits');
is(figure('lag_seconds'), 0, 'for no time');
cmp_ok(abs(figure('last_sent_timestamp_seconds') - $requests[-1]{at}), '<', 60, 'the last one was sent when it came');

$server->sql('DROP DATABASE postgres', 'template1');
$server->wait_not_ready(qr/database/);
is($server->get($path)->{status}, 200, 'without the database it answers');
scraped('fast_ingest_worker_up{job="one",worker="listener 1"}', { 'listener 1' => 1 }, 'as its listener runs');

stop_prometheus();
$_->node->stop('fast') foreach $standby, $server, $two, $streams;

done_testing();
