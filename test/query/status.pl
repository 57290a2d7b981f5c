# GET /status tells an operator what SQL and Prometheus tell, in one answer: workers, events, staging,
# latency, requests, the rollup, partitions, dead letters, streams and settings. Whatever is broken has
# its error in its place. Only a key with the scope admin and without limits may ask, also on a standby
# and where the workers have a role with few rights.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use FastIngest;
use FastIngest::Query;
use FastIngest::Streams;
use FastIngest::Webhook;
use PostgreSQL::Test::Utils;
use Test::More;

my $server = FastIngest::Streams->new('status', streams => 1, conf => <<'EOC');
hot_standby = on
fast_ingest.listeners = 2
fast_ingest.staging_size = '2MB'
fast_ingest.refresh_backlog = 0
fast_ingest.channels = 'web,mobile'
fast_ingest.retention = '36500d'
fast_ingest.ssl_key_file = '/secret/place/key.pem'
EOC

# Perl's JSON has 15 digits of a number
sub rounded { return sprintf '%.15g', $_[0] }

sub status { return $server->get('/status', @_) }

sub ask
{
	my $answer = status();

	is($answer->{status}, 200, 'answered') or diag($answer->{body});
	return $answer->{json};
}

# ---------------------------------------------------------------------------
# What happened
# ---------------------------------------------------------------------------

ok(wait_for_query_worker($server), 'the query worker answers');
# either listener may get an event, and each has a flusher that begins by itself
ok(wait_until(sub { $server->sql(q(SELECT bool_and(state = 'running') FROM fi_status() WHERE worker LIKE 'flusher%')) eq 't' }), 'both flushers run');
$server->sql(q{ALTER TABLE fast_ingest.events ADD CONSTRAINT no_bots CHECK (user_id NOT LIKE 'bot%')});
is($server->post_bulk([ map { event($_) } 1 .. 20 ])->{status}, 202, 'events');
is($server->post_event(event(1))->{status}, 202, 'one again');
is($server->post_event(event(30, channel => 'fax'))->{status}, 400, 'one that is not valid');
is($server->post_event(event(40 + $_, user_id => "bot-$_", path => '/' . '<b>ü' x 400, timestamp => $NOON + 86400 * $_))->{status}, 422, 'one that is refused') foreach 1 .. 2;
is($server->get('/nothing')->{status}, 404, 'a path that there is not');
is($server->get('/metrics')->{status}, 200, 'a question');

my $is = ask();

is_deeply(
	$is->{events}{received} . ' ' . join(' ', @{ $is->{events} }{qw(accepted rejected committed duplicate discarded dead_lettered staged)}),
	$server->sql('SELECT concat_ws($$ $$, sum(received), sum(accepted), sum(rejected), sum(committed), sum(duplicate), sum(discarded), sum(dead_lettered), sum(staged)) FROM fi_status()'),
	'events are those of fi_status()');
is("@{ $is->{events} }{qw(received accepted rejected committed duplicate dead_lettered)}", '24 23 1 20 1 2', 'and those that were sent');
is(rounded($is->{events}{last_commit}), rounded($server->sql('SELECT extract(epoch FROM max(last_commit)) FROM fi_status()')), 'last commit');
is(join("\n", map { "$_->{worker} $_->{pid} $_->{state}" } @{ $is->{workers} }),
	$server->sql('SELECT string_agg(concat_ws($$ $$, worker, pid, state), chr(10)) FROM fi_status()'),
	'workers');
is(rounded($is->{workers}[0]{since}), rounded($server->sql(q{SELECT extract(epoch FROM since) FROM fi_status() WHERE worker = 'listener 1'})), 'since when');
is($is->{version}, $server->sql('SELECT library FROM fi_version()'), 'the library');
is($is->{sql_version}, $server->sql('SELECT sql_objects FROM fi_version()'), 'the SQL objects');
is($is->{postgresql}, $server->sql('SHOW server_version'), 'the server');
is($is->{is_standby}, JSON::PP::false, 'no standby');
is(rounded($is->{started_at}), rounded($server->sql('SELECT extract(epoch FROM pg_postmaster_start_time())')), 'its start');
cmp_ok(abs($is->{now} - time), '<', 60, 'now');

# Requests and latency, against Prometheus
my $prometheus = $server->get('/metrics/prometheus')->{body};
my %of = map { /^fast_ingest_http_requests_total\{route="(.*)",code="(.*)"\} (\d+)$/ ? ("$1 $2" => $3) : () } split /\n/, $prometheus;

foreach ([ '/events', '202' ], [ '/events', '400' ], [ '/events', '422' ], [ '/events/bulk', '202' ], [ '/metrics', '200' ])
{
	my ($path, $code) = @$_;
	my ($route) = grep { ($_->{path} // '') eq $path } @{ $is->{http}{paths} };

	is($route->{requests}{$code}, $of{"$path $code"}, "$path answered $code");
}
is((grep { $_->{other} } @{ $is->{http}{paths} })[0]{requests}{404}, 1, 'other paths');
my %by_status;
foreach my $path (@{ $is->{http}{paths} })
{
	my $sum = 0;

	foreach my $code (keys %{ $path->{requests} })
	{
		$by_status{$code} += $path->{requests}{$code};
		$sum += $path->{requests}{$code};
	}
	is($path->{count}, $sum, 'all requests to ' . ($path->{path} // 'other paths') . ' have a duration');
}
is_deeply($is->{http}{requests}, \%by_status, 'by status they are the sums over paths');
ok(!grep({ $_ == 0 } values %by_status), 'what was not answered is not there');
is($is->{latency}{ingest}{count}, 5, 'latency of ingest: five requests');
is($is->{latency}{commit_wait}{count}, 4, 'of which four waited for a commit');
cmp_ok($is->{latency}{questions}{count}, '>=', 2, 'latency of questions');
foreach (qw(ingest questions commit commit_wait))
{
	my ($p50, $p95, $p99) = @{ $is->{latency}{$_} }{qw(p50 p95 p99)};

	ok($p50 > 0 && $p50 <= $p95 && $p95 <= $p99 && $p99 < 60, "$_: $p50 <= $p95 <= $p99");
}

# A quantile is in the bucket of a histogram that Prometheus computes it from
my %bucket = $prometheus =~ /^fast_ingest_commit_wait_seconds_bucket\{le="([\d.]+)"\} (\d+)$/gm;
my ($high) = grep { $bucket{$_} >= 4 * 0.95 } sort { $a <=> $b } keys %bucket;
my ($low) = grep { $bucket{$_} < 4 * 0.95 } sort { $b <=> $a } keys %bucket;
ok($is->{latency}{commit_wait}{p95} <= $high && $is->{latency}{commit_wait}{p95} >= ($low // 0), 'p95 is in the bucket of Prometheus')
  or diag("$is->{latency}{commit_wait}{p95} between $low and $high");

# Staging
is(scalar @{ $is->{staging} }, 4, 'two lanes of two listeners');
is_deeply([ map { "$_->{listener} $_->{lane} $_->{events} $_->{bytes} $_->{oldest_seconds}" } @{ $is->{staging} } ],
	[ '1 today 0 0 0', '1 other_days 0 0 0', '2 today 0 0 0', '2 other_days 0 0 0' ], 'nothing is staged');
is($is->{staging}[0]{size_bytes}, 2 * 1024 * 1024, 'its limit');
is($is->{staging}[0]{table_refuses_all}, JSON::PP::false, 'the table takes events');

my $lock = $server->lock_table('fast_ingest.events');
my @waiting = $server->send_events(map { event(1000 + $_) } 1 .. 3);
ok($server->wait_for_staged(3), 'three events wait');
my $staged = ask();
my $bytes = 0;
my $events = 0;
foreach (@{ $staged->{staging} }) { $bytes += $_->{bytes}; $events += $_->{events} }
is($events, 3, 'staged events');
cmp_ok($bytes, '>', 3 * 50, 'their bytes');
cmp_ok((grep { $_->{events} > 0 } @{ $staged->{staging} })[0]{oldest_seconds}, '>', 0, 'since when');
like($staged->{partitions}{error}, qr/lock timeout/, 'a part that waits for a lock has an error');
is($staged->{dead_letters}{count}, 2, 'and the others are there');
$lock->quit;
is($_->read_answer->{status}, 202, 'then it is stored') foreach @waiting;

# The rollup
cmp_ok($is->{rollup}{backlog_events}, '>=', 20, 'events wait for a refresh');
cmp_ok($is->{rollup}{backlog_deltas}, '>=', 1, 'in deltas');
cmp_ok($is->{rollup}{oldest_seconds}, '>', 0, 'the oldest of which has an age');
is($is->{rollup}{last_refresh}, undef, 'there was no refresh');
is($is->{rollup}{refresh}{p50}, undef, 'and has no duration');
$server->sql('SELECT fi_refresh()');
$is = ask();
is_deeply([ @{ $is->{rollup} }{qw(backlog_events backlog_deltas oldest_seconds)} ], [ 0, 0, 0 ], 'after a refresh nothing waits');
cmp_ok(abs($is->{rollup}{last_refresh} - time), '<', 60, 'it was just now');
is($is->{rollup}{refresh}{count}, 1, 'one refresh');

# Partitions
is("@{ $is->{partitions} }{qw(count first last)}", $server->sql('SELECT concat_ws($$ $$, count(*), min(day), max(day)) FROM fi_partitions()'), 'partitions');
is($is->{partitions}{bytes}, $server->sql(q{SELECT sum(pg_total_relation_size(partition)) FROM fi_partitions()}), 'their size');

# Dead letters: two days refused by the same constraint are one reason
my $letters = $is->{dead_letters};
is($letters->{count}, 2, 'dead letters');
is(scalar @{ $letters->{reasons} }, 1, 'of one reason');
is($letters->{reasons}[0]{count}, 2, 'that both have');
is($letters->{reasons}[0]{sqlstate}, '23514', 'its code');
is($letters->{reasons}[0]{reason}, 'new row for relation "events" violates check constraint "no_bots"', 'its words');
is(rounded($letters->{reasons}[0]{newest}), rounded($server->sql('SELECT extract(epoch FROM max(last_attempt)) FROM fast_ingest.dead_letters')), 'when it came last');
is(join(',', map { $_->{id} } @{ $letters->{newest} }), $server->sql('SELECT string_agg(id::text, $$,$$ ORDER BY id DESC) FROM fast_ingest.dead_letters'), 'the newest first');
is(length $letters->{newest}[0]{event}, 1000, 'an event is cut');
is($letters->{newest}[0]{event_is_cut}, JSON::PP::true, 'and says so');
like($letters->{newest}[0]{reason}, qr/events_\d{8}" violates check constraint "no_bots"/, 'with its own reason');
$server->sql(q{INSERT INTO fast_ingest.dead_letters (sqlstate, message, event) SELECT '22000', 'reason ' || i, '{"user_id": "<script>"}' FROM generate_series(1, 100) i});
$letters = ask()->{dead_letters};
is($letters->{count}, 102, 'many dead letters');
is(scalar @{ $letters->{reasons} }, 20, 'twenty reasons are shown');
is($letters->{reasons}[0]{count}, 2, 'the most frequent first');
is(scalar @{ $letters->{newest} }, 50, 'fifty letters are shown');
is($letters->{newest}[0]{event}, '{"user_id": "<script>"}', 'the last one first, as it is');
is($letters->{newest}[0]{event_is_cut}, JSON::PP::false, 'and whole');
$server->sql('DELETE FROM fast_ingest.dead_letters');

# Settings
my %settings = map { $_->{name} => $_ } @{ ask()->{settings} };
is(join(' ', sort keys %settings), $server->sql(q{SELECT string_agg(name, ' ' ORDER BY name) FROM pg_settings WHERE name LIKE 'fast\_ingest.%' AND setting IS DISTINCT FROM boot_val}), 'settings that differ from their defaults');
is_deeply($settings{'fast_ingest.staging_size'}, { name => 'fast_ingest.staging_size', value => 2048, unit => 'kB', default => 65536, pending_restart => JSON::PP::false }, 'one with a unit');
is($settings{'fast_ingest.channels'}{value}, 'web,mobile', 'one that is text');
ok(exists $settings{'fast_ingest.ssl_key_file'} && !defined $settings{'fast_ingest.ssl_key_file'}{value}, 'the name of a file is not told');
unlike(status()->{body}, qr/secret/, 'nowhere');

# Streams
is_deeply(ask()->{streams}, [], 'no stream');
my $hook = FastIngest::Webhook->new;
$server->create_stream('<hook>', 'webhook', $hook->url);
ok($server->wait_for_state('<hook>', 'running'), 'a stream runs');
$server->sql(q{INSERT INTO fast_ingest.stream_dead_letters (stream_id, lsn, n, reason, event) SELECT id, '0/1', i, 'no ' || i % 7, '{}' FROM fast_ingest.streams, generate_series(1, 20) i});
my ($stream) = @{ ask()->{streams} };
is("@{ $stream }{qw(name kind state url)}", '<hook> webhook running ' . $hook->url, 'it is there');
is($stream->{dead_letters}, 20, 'with its dead letters');
is_deeply([ map { $_->{count} } @{ $stream->{reasons} } ], [ 3, 3, 3, 3, 3 ], 'and the five most frequent reasons');
is($stream->{lag_events}, 0, 'without lag');
$server->sql('SELECT fi_drop_stream($$<hook>$$)');

# ---------------------------------------------------------------------------
# Who may ask
# ---------------------------------------------------------------------------

my %keys = map { $_->[0] => $server->sql("SELECT fi_create_api_key('$_->[0]', $_->[1])") } (
	[ admin => q('{admin}') ],
	[ read => q('{read,write}') ],
	[ site => q('{admin}', site_ids => '{shop}') ],
	[ channel => q('{admin}', channels => '{web}') ]);

sub as { return status(headers => [ 'X-API-Key' => $keys{ $_[0] } ]) }

$server->set('fast_ingest.require_api_key' => 'on');
$server->wait_for_answer(401, sub { status() });
is_error(status(), 401, qr/an API key is needed/, 'nobody without a key');
is_error(as('read'), 403, qr/has not the scope "admin"/, 'nor with a key that reads');
is_error(as('site'), 403, qr/for some websites only: GET \/status is about all/, 'nor with one for a website');
is_error(as('channel'), 403, qr/for some channels only: GET \/status is about all/, 'nor with one for a channel');
is(as('admin')->{status}, 200, 'an administrator');
$server->set('fast_ingest.require_api_key' => 'off');
$server->wait_for_answer(200, sub { status() });
is_error($server->get('/status?x=1'), 400, qr/unknown parameter "x": expected none/, 'no parameters');
is_error($server->post('/status', '{}'), 405, qr/expected GET, HEAD/, 'POST');

# ---------------------------------------------------------------------------
# A role with few rights, a standby, tables that are broken
# ---------------------------------------------------------------------------

sub parts_with_errors { my ($answer) = @_; return [ grep { ref $answer->{$_} eq 'HASH' && $answer->{$_}{error} } sort keys %$answer ] }

my $standby = $server->standby('status_standby', conf => "fast_ingest.listeners = 1\n");
ok(wait_for_query_worker($standby), 'a standby answers');
$is = $standby->get('/status')->{json};
is($is->{is_standby}, JSON::PP::true, 'it says what it is');
is_deeply(parts_with_errors($is), [], 'and all else');
is($is->{partitions}{count}, $server->sql('SELECT count(*) FROM fi_partitions()'), 'its tables');
$standby->node->stop;

my $login = $server->major_version >= 17 ? 'NOLOGIN' : 'LOGIN';
$server->sql("CREATE ROLE ingest NOSUPERUSER $login; SELECT fi_grant_ingest('ingest')");
$server->node->append_conf('postgresql.conf', "fast_ingest.role = 'ingest'");
$server->restart;
ok(wait_for_query_worker($server), 'the query worker has few rights');
is_deeply(parts_with_errors(ask()), [], 'and answers all');

$server->sql('ALTER TABLE fast_ingest.dead_letters RENAME TO lost');
$is = ask();
is_deeply(parts_with_errors($is), ['dead_letters'], 'what is broken has an error');
like($is->{dead_letters}{error}, qr/relation "fast_ingest.dead_letters" does not exist/, 'that says why');
is(scalar @{ $is->{workers} }, 7, 'the rest is there');
$server->sql('ALTER TABLE fast_ingest.lost RENAME TO dead_letters');

done_testing();
