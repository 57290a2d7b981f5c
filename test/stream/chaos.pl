# Everything at once, in a random order: events over HTTP and by SQL, some of them rolled back;
# workers that are killed, crashes of the server and of ClickHouse; faults of the network; pauses,
# days that are sent again, partitions that come and go, a stream that is created in the midst of it.
# At the end ClickHouse has each event once, the webhook has each at least once, and neither has any
# that was not committed.
#
# FI_CHAOS_SEED: repeats the order of things, though not how they interleave (the seed is printed).
# FI_CHAOS_SECONDS: how long things happen (30, with make torture 600).

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use FastIngest::ClickHouse;
use FastIngest::Proxy;
use FastIngest::StreamState qw(clickhouse_table);
use FastIngest::Streams;
use FastIngest::Wait;
use FastIngest::Webhook;
use POSIX ();
use Test::More;
use Time::HiRes qw(time);

my $seconds = $ENV{FI_CHAOS_SECONDS} || ($ENV{FI_TORTURE} ? 600 : 30);
my $seed = $ENV{FI_CHAOS_SEED} || (time ^ ($$ << 8)) & 0x7fffffff;

diag("FI_CHAOS_SEED=$seed");
srand $seed;

my $clickhouse = FastIngest::ClickHouse->new;
my $webhook = FastIngest::Webhook->new;
my %proxy = (
	clickhouse => FastIngest::Proxy->new(target => $clickhouse->port, keep_bodies => 0),
	webhook => FastIngest::Proxy->new(target => $webhook->url =~ s/.*://r, keep_bodies => 0));
my $server = FastIngest::Streams->new('chaos', streams => 3, conf => "log_min_messages = log\nwal_sender_timeout = 0");
my @history;

# Days of one month, so that a batch is one part in ClickHouse, which it writes as a whole
my $first_day = 1;
my $last_day = 6;

sub day { return sprintf '2024-05-%02d', $_[0] }
sub chance { return rand() < $_[0] }
sub pick { return $_[ rand @_ ] }

# What fails because something was killed is tried again another time.
sub try_sql
{
	my ($sql) = @_;
	my ($code, $out, $error) = eval { $server->node->psql('postgres', "SET lock_timeout = '2s'; SET client_min_messages = error; $sql", timeout => 60) };

	return $out if defined $code && $code == 0;
	note("$sql: " . ($error // $@)) if defined $error && $error !~ /server closed|could not connect|connection to server|starting up|shutting down|crash of another|recovery mode/;
	return undef;
}

$server->sql('CREATE TABLE public.dropped (user_id text, strict boolean)');
$server->sql("SELECT fi_create_partition('" . day($_) . "')") foreach $first_day .. $last_day;
$server->sql("INSERT INTO fast_ingest.events (event_name, channel, user_id, ts, path)
	SELECT 'view', 'web', 'old' || i, '2024-05-01 00:00+00'::timestamptz + (i % 518400) * interval '1 s', '/' FROM generate_series(1, 300000, 61) i");
clickhouse_table($server, $clickhouse, $_) foreach qw(events later);
$server->create_stream('clickhouse', 'clickhouse', $proxy{clickhouse}->url, target => 'events', batch_rows => 150, backfill_since => '-infinity');
$server->create_stream('webhook', 'webhook', $proxy{webhook}->url . '/events', batch_rows => 100, batch_bytes => 20000);

# ---------------------------------------------------------------------------
# Writers, each a process, until a file is gone
# ---------------------------------------------------------------------------

my $go_on = PostgreSQL::Test::Utils::tempdir() . '/go_on';
my @writers;

sub run_writer
{
	my ($function) = @_;
	my $own_seed = int rand 0x7fffffff;
	my $number = @writers;
	my $pid = fork // die "could not fork: $!";

	if ($pid == 0)
	{
		srand $own_seed;
		for (my $n = 1; -e $go_on; $n++)
		{
			eval { $function->("w$number-$n") };
			Time::HiRes::sleep(rand 0.5);
		}
		POSIX::_exit(0);
	}
	push @writers, $pid;
	return;
}

sub any_time
{
	return sprintf '%sT%02d:%02d:%02dZ', day($first_day + 2 + int rand 4), rand 24, rand 60, rand 60;
}

sub post_bulk
{
	my ($name) = @_;
	my @events = map { { event_name => 'view', channel => 'web', user_id => "$name.$_", timestamp => any_time(), metadata => { text => 'x' x rand 300 } } } 1 .. 1 + rand 60;

	$server->post('/events/bulk', { events => \@events });
	return;
}

sub insert
{
	my ($name, $count) = @_;

	return "INSERT INTO fast_ingest.events (event_name, channel, user_id, ts)
		SELECT 'view', 'web', '$name.' || i, '" . any_time() . "' FROM generate_series(1, $count) i;";
}

sub copy
{
	my ($name, $count) = @_;

	return "COPY fast_ingest.events (event_name, channel, user_id, ts) FROM STDIN;\n"
	  . join('', map { "view\tweb\t$name.$_\t" . any_time() . "\n" } 1 .. $count) . "\\.\n";
}

sub run_transaction
{
	my ($name) = @_;
	my $sql = "BEGIN;\n";

	foreach my $step (1 .. 1 + rand 6)
	{
		my $part = "$name.$step";

		$sql .= chance(0.5) ? insert($part, 1 + int rand 300) : copy($part, 1 + int rand 100);
		$sql .= 'SELECT pg_sleep(' . rand(0.3) . ');' if chance(0.3);
		$sql .= "SAVEPOINT s$step;\n" . insert("$part.s", 1 + int rand 20) . (chance(0.5) ? "ROLLBACK TO s$step;\n" : "RELEASE s$step;\n") if chance(0.5);
	}
	try_sql($sql . (chance(0.8) ? 'COMMIT' : 'ROLLBACK'));
	return;
}

# ---------------------------------------------------------------------------
# What happens
# ---------------------------------------------------------------------------

my @streams = qw(clickhouse webhook);
my $partitions_dropped = 0;
my $breakdowns = 0;

sub spoil_network
{
	my $to = pick(sort keys %proxy);
	my $what = pick(
		{ cut_body => int rand 3000 },
		{ drop_answer => 1 },
		{ delay => rand 0.5 },
		{ delay_answer => rand 1 },
		{ hang_answer => 1 },
		{ hang => 1 },
		{ close => 1 },
		{ close => 1, reset => 1 },
		{ answer => "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n" });
	my $pattern = $to eq 'clickhouse' && chance(0.7) ? qr/INSERT/ : qr/POST/;

	$proxy{$to}->on($pattern, %$what, times => 1 + int rand 3);
	return "$to " . join ' ', %$what;
}

# Waits after failures grow up to minutes.
sub resume
{
	my @names = @_ ? @_ : @streams;

	try_sql(join '; ', map { "SELECT fi_resume_stream('$_')" } @names);
	return "@names";
}

sub drop_oldest
{
	return 'no' if ++$partitions_dropped > 2;
	my $partition = try_sql("SELECT i.inhrelid::regclass FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
		WHERE inhparent = 'fast_ingest.events'::regclass ORDER BY pg_get_expr(c.relpartbound, c.oid) LIMIT 1") or return 'not now';

	# whether a backfill may still have had to read it
	try_sql("BEGIN; LOCK TABLE $partition IN ACCESS EXCLUSIVE MODE;
		INSERT INTO public.dropped SELECT user_id, NOT EXISTS (SELECT FROM fast_ingest.stream_backfills WHERE done_at IS NULL) FROM $partition;
		DROP TABLE $partition; COMMIT");
	return $partition;
}

sub create_later
{
	return 'not again' if @streams > 2;
	my $before = try_sql('SELECT count(*) FROM fi_streams()') // return 'not now';
	eval { $server->create_stream('later', 'clickhouse', $proxy{clickhouse}->url, target => 'later', batch_rows => 200, backfill_since => '-infinity') };
	return 'not now' if (try_sql("SELECT count(*) FROM fi_streams() WHERE name = 'later'") // 0) != 1;
	push @streams, 'later';
	# a crash before that makes it lost, as it must
	wait_until(sub { (try_sql("SELECT start_lsn IS NOT NULL FROM fast_ingest.stream_progress JOIN fast_ingest.streams AS s ON s.id = stream_id WHERE name = 'later'") // '') eq 't' }, 60)
	  or die 'stream "later" does not begin';
	return '';
}

my @actions = (
	[ 12, network => \&spoil_network ],
	[ 4, resume => \&resume ],
	[ 2, 'kill a worker' => sub { my $pid = try_sql('SELECT pid FROM fi_streams() WHERE pid IS NOT NULL ORDER BY random() LIMIT 1'); kill 'KILL', $pid if $pid; $pid // 'none' } ],
	[ 4, 'end a worker' => sub { try_sql('SELECT pg_terminate_backend(pid) FROM fi_streams() ORDER BY random() LIMIT 1'); '' } ],
	[ 2, 'cancel a worker' => sub { try_sql('SELECT pg_cancel_backend(pid) FROM fi_streams() ORDER BY random() LIMIT 1'); '' } ],
	[ 1, 'crash' => sub { $server->node->stop('immediate'); $server->start_again; '' } ],
	[ 1, 'restart' => sub { $server->node->stop('fast'); $server->start_again; '' } ],
	[ 2, 'kill ClickHouse' => sub { $clickhouse->kill9; Time::HiRes::sleep(rand 1); $clickhouse->start; '' } ],
	[ 2, 'ClickHouse stands still' => sub { $clickhouse->pause; Time::HiRes::sleep(rand 2); $clickhouse->resume; '' } ],
	[ 2, 'refuse' => sub { my $to = pick(sort keys %proxy); $proxy{$to}->refuse; Time::HiRes::sleep(rand 1); $proxy{$to}->accept; $to } ],
	[ 4, 'pause' => sub { my $stream = pick(@streams); try_sql("SELECT fi_pause_stream('$stream')"); Time::HiRes::sleep(rand 1); resume($stream) } ],
	[ 5, 'send a day again' => sub { my $stream = pick(@streams); my $day = $first_day + 2 + int rand 4; try_sql("SELECT fi_resend_stream('$stream', '" . day($day) . " 00:00+00', '" . day($day + 1) . " 00:00+00')"); "$stream $day" } ],
	[ 2, 'a breakdown' => sub { try_sql("SELECT fi_add_breakdown('chaos" . ++$breakdowns . "', 'metadata->>''text''')"); '' } ],
	[ 2, 'a partition' => sub { try_sql("SELECT fi_create_partition('" . day(++$last_day) . "')") if $last_day < 28; '' } ],
	[ 1, 'drop a partition' => \&drop_oldest ],
	[ 2, 'vacuum' => sub { try_sql(chance(0.3) ? 'VACUUM FREEZE fast_ingest.events' : 'CHECKPOINT'); '' } ],
	[ 2, reload => sub { try_sql('SELECT pg_reload_conf()'); '' } ],
	[ 5, 'create a stream' => \&create_later ],
	[ 3, 'let go' => sub { $_->clear, $_->release foreach values %proxy; '' } ]);

sub act
{
	my $total = 0;
	my @chosen;

	$total += $_->[0] foreach @actions;
	my $at = rand $total;
	foreach my $action (@actions)
	{
		@chosen = @$action;
		last if ($at -= $action->[0]) < 0;
	}
	my $began = time;
	my $what = $chosen[2]->();
	push @history, sprintf '%s %s: %s (%.1f s)', POSIX::strftime('%H:%M:%S', localtime $began), $chosen[1], $what, time - $began;
	return;
}

$server->wait_for_state($_, 'running') or BAIL_OUT('streams do not run') foreach @streams;
open my $file, '>', $go_on or die "could not create $go_on: $!";
close $file;
run_writer(\&post_bulk);
run_writer(\&run_transaction) foreach 1, 2;

my $deadline = time + $seconds;

while (time < $deadline)
{
	act();
	Time::HiRes::sleep(rand 0.4);
}
unlink $go_on;
waitpid $_, 0 foreach @writers;
$_->accept, $_->clear, $_->release foreach values %proxy;
$clickhouse->start unless $clickhouse->pid;
$server->recover;

# ---------------------------------------------------------------------------
# What there must be
# ---------------------------------------------------------------------------

my %state = map { $_ => $server->stream($_, "concat_ws(': ', state, detail)") } @streams;

unlike($state{$_}, qr/\A(?:blocked|lost)/, "$_ needs nobody") foreach @streams;
resume();

my $seen = 0;

sub look_for_last
{
	my @requests = $webhook->requests($seen);

	$seen += @requests;
	return scalar grep { /"user_id":"last"/ } map { @{ $_->{rows} } } FastIngest::Webhook::taken(@requests);
}

# Events come in the order of their commits: behind the last one there is none on its way.
$server->sql("INSERT INTO fast_ingest.events (event_name, channel, user_id, ts) VALUES ('view', 'web', 'last', '" . day($last_day) . " 12:00+00')");
foreach my $stream (@streams)
{
	my $table = $stream eq 'later' ? 'later' : 'events';
	my $came = wait_until(
		sub {
			return look_for_last() if $stream eq 'webhook';
			return $clickhouse->count($table, "user_id = 'last'") > 0;
		});
	ok($came, "$stream sends what is left") or diag($server->stream($stream, "concat_ws(', ', state, detail, lag_events, lag_bytes, last_error)"));
}
ok(wait_until(sub { $server->sql('SELECT count(*) FROM fast_ingest.stream_backfills WHERE done_at IS NULL') == 0 }), 'all backfills are done');
is($server->sql('SELECT count(*) FROM fast_ingest.stream_dead_letters'), 0, 'no event is a dead letter');

my %here = map { $_ => 1 } split /\n/, $server->sql('SELECT user_id FROM fast_ingest.events');
my %strict;
my %dropped;

foreach (split /\n/, $server->sql('SELECT user_id, strict FROM public.dropped'))
{
	my ($user, $is_strict) = split /\|/;

	$dropped{$user} = 1;
	$strict{$user} = 1 if $is_strict eq 't';
}
is($server->sql('SELECT count(*) - count(DISTINCT user_id) FROM fast_ingest.events'), 0, 'the table has no event twice');
note(scalar(keys %here) . ' events, ' . scalar(keys %dropped) . ' dropped');

# all that come once at least, and how often each has come
sub compare
{
	my ($stream, $wanted, $count, $once) = @_;
	my @missing = grep { !$count->{$_} } sort keys %$wanted;
	my @unknown = grep { !$here{$_} && !$dropped{$_} } sort keys %$count;
	my @twice = grep { $count->{$_} > 1 } sort keys %$count;

	is(scalar @missing, 0, "$stream: no event is missing") or diag("missing: @missing[0 .. ($#missing < 9 ? $#missing : 9)]");
	is(scalar @unknown, 0, "$stream: none was not committed") or diag("unknown: @unknown[0 .. ($#unknown < 9 ? $#unknown : 9)]");
	return unless $once;
	is(scalar @twice, 0, "$stream: none is there twice") or diag("twice: @twice[0 .. ($#twice < 9 ? $#twice : 9)]");
	return;
}

foreach my $stream (grep { $_ ne 'webhook' } @streams)
{
	my $table = $stream eq 'later' ? 'later' : 'events';
	my %count;

	$count{ $_->[0] }++ foreach $clickhouse->rows("SELECT user_id FROM $table");
	compare($stream, $stream eq 'later' ? \%here : { %here, %strict }, \%count, 1);
}
my %came;

$came{ $_->{user_id} }++ foreach $webhook->events;
# it began behind the first events
compare('webhook', { map { $_ => 1 } grep { !/\Aold/ } keys %here, keys %strict }, \%came, 0);
diag("FI_CHAOS_SEED=$seed", map { "\n  $_" } @history) unless Test::More->builder->is_passing;
note(join "\n", @history);
$server->node->stop;

done_testing();
