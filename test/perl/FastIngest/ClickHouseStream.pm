# A stream into ClickHouse, old or new, through a proxy that breaks requests: what the tests of both
# do, and the checks that hold for both.
#
#   my $stream = FastIngest::ClickHouseStream->new($server, $clickhouse);
#   $stream->create(compression => 'none');
#   $stream->proxy->on(qr/INSERT/, drop_answer => 1);
#   $stream->post(100);
#   $stream->all_arrive('an answer is lost');
#   $stream->drop;

package FastIngest::ClickHouseStream;

use strict;
use warnings;

use FastIngest;
use FastIngest::Proxy;
use Test::More;

# The tables are those of fi_clickhouse_ddl(), with a partition of events for each day.
sub new
{
	my ($class, $server, $clickhouse) = @_;
	my $self = bless {
		server => $server,
		clickhouse => $clickhouse,
		proxy => FastIngest::Proxy->new(target => $clickhouse->port),
		old => $clickhouse->query('SELECT version()') =~ /\A18\./ ? 1 : 0,
		posted => 0
	}, $class;

	$clickhouse->query($_) foreach $self->statements;
	return $self;
}

sub proxy { return $_[0]->{proxy} }

# The statements that fi_clickhouse_ddl() prints, with these arguments
sub statements
{
	my ($self, $arguments) = @_;
	my $version = $self->{old} ? 'old' : 'modern';
	my $ddl = $self->{server}->sql("SELECT fi_clickhouse_ddl(" . ($arguments ? "$arguments, " : '') . "version => '$version')");

	$ddl =~ s/toYYYYMM\(ts\)/toYYYYMMDD(ts)/;
	$ddl =~ s/^--.*\n//mg;
	return grep { /\S/ } split /;\s*(?:\n|\z)/, $ddl;
}

# fi_create_stream() with arguments by name, also name, url and target
sub create
{
	my ($self, %arguments) = @_;

	%arguments = (
		name => 'ch',
		kind => 'clickhouse',
		url => $self->{proxy}->url,
		target => 'events',
		username => 'streams',
		flush_interval => '50 ms',
		$arguments{secret_file} ? () : (secret => 'first'),
		%arguments);
	$self->{server}->sql('SELECT fi_create_stream(' . join(', ', map { "$_ => '$arguments{$_}'" } sort keys %arguments) . ')');
	return;
}

sub drop
{
	my ($self) = @_;

	$self->{server}->sql('SELECT fi_drop_stream(name) FROM fi_streams()');
	return wait_until(sub { !$self->{server}->sql('SELECT count(*) FROM pg_replication_slots') });
}

# Wait until a condition holds for a stream
sub is_so
{
	my ($self, $condition, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $holds = wait_until(sub { $self->{server}->sql("SELECT count(*) FROM fi_streams() WHERE $condition") });

	diag($self->describe) if !$holds;
	return ok($holds, $name);
}

sub describe
{
	my ($self) = @_;

	return $self->{server}->sql('SELECT name, state, detail, last_error FROM fi_streams()');
}

# Have ClickHouse merge, which may take away a row that is there twice, or not.
sub merge
{
	my ($self, $may) = @_;

	return $self->{clickhouse}->query('SYSTEM ' . ($may ? 'START' : 'STOP') . ' MERGES');
}

# Post so many events, in one transaction
sub post
{
	my ($self, $count) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my @events = map { event(++$self->{posted}, path => "/page/$self->{posted}") } 1 .. $count;

	return is($self->{server}->post_bulk(\@events)->{json}{accepted}, $count, "$count events are posted");
}

# Insert rows by SQL into the day of event(), with expressions for columns ingested_at and tags
sub insert_rows
{
	my ($self, $count, $values) = @_;

	$self->{server}->sql('INSERT INTO fast_ingest.events (event_name, channel, ts, ingested_at, tags)'
		  . " SELECT 'inserted', 'web', '$DAY 12:00Z', $values FROM generate_series(1, $count) i");
	return;
}

# Wait until the stream has nothing more to do, and check that ClickHouse has each event of the
# table, once
sub all_arrive
{
	my ($self, $name, $table) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;

	$self->{server}->wait_until_sent('ch');
	my $wanted = $self->{server}->sql(q{SELECT count(*) || ' ' || count(*) FROM fast_ingest.events WHERE isfinite(ingested_at)});
	my $got = $self->{clickhouse}->wait_for(
		"SELECT concat(toString(count()), ' ', toString(uniqExact(_lsn, _n))) FROM " . ($table || 'events'), $wanted);

	diag($self->describe) if $got ne $wanted;
	return is($got, $wanted, $name);
}

# Check that the view has counted each event once
sub view_agrees
{
	my ($self, $name) = @_;
	my ($events, $hours) = map {
		join "\n", map { join ' ', @$_ } $self->{clickhouse}->rows($_)
	} (
		'SELECT event_name, toUnixTimestamp(toStartOfHour(ts)) AS h, toString(count()), toString(uniqExact(user_id))'
		  . ' FROM events GROUP BY event_name, h ORDER BY event_name, h',
		'SELECT event_name, toUnixTimestamp(hour) AS h, toString(countMerge(events)), toString(uniqExactMerge(users))'
		  . ' FROM events_by_hour GROUP BY event_name, h ORDER BY event_name, h');

	return is($hours, $events, $name);
}

# Delete rows, as a person would, and wait until they are gone
sub delete_rows
{
	my ($self, $statement) = @_;

	$self->merge(1);
	$self->{clickhouse}->query($statement);
	is($self->{clickhouse}->wait_for('SELECT toString(count()) FROM system.mutations WHERE is_done = 0', '0'), '0', 'rows are deleted');
	return;
}

# Run the statement that a blocked stream names, and resume it
sub do_what_it_says
{
	my ($self) = @_;
	my $detail = $self->{server}->sql('SELECT detail FROM fi_streams()');
	my ($statement) = $detail =~ /run (ALTER TABLE .*?), then fi_resume_stream\(\)/;

	ok($statement, 'it says what to run') or diag($detail);
	$self->delete_rows($statement);
	$self->{server}->sql("SELECT fi_resume_stream('ch')");
	return;
}

# ------------------------------------------------------------------------------------------
# Checks

# Whatever happens to a request, its events are there once, and the view has counted them once.
sub test_doubts
{
	my ($self) = @_;
	my $proxy = $self->{proxy};

	$self->merge(0);
	$self->post(100);
	$self->all_arrive('events arrive');
	$proxy->on(qr/INSERT/, drop_answer => 1);
	$self->post(100);
	$self->all_arrive('an answer is lost: the events are there once');
	$self->is_so("doubts > 0 AND state = 'running'", 'and it was in doubt');

	$proxy->on(qr/INSERT/, cut_rows => 30);
	$self->post(100);
	$self->all_arrive('a compressed body is cut off behind a row');
	$proxy->on(qr/INSERT/, cut_body => 500);
	$self->post(100);
	$self->all_arrive('a compressed body is cut off anywhere');
	$proxy->on(qr/INSERT/, cut_answer => $_) foreach 0, 20;
	$self->post(100);
	$self->all_arrive('answers are cut off');
	$proxy->on(qr/INSERT/, close => 1, reset => 1);
	$self->post(100);
	$self->all_arrive('a connection is reset');
	$proxy->on(qr/INSERT/, answer => "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 3\r\n\r\nno!");
	$self->post(100);
	$self->all_arrive('a gateway answers');
	$proxy->on(qr/INSERT/, answer => "HTTP/1.1 200 OK\r\nContent-Length: 38\r\n\r\nCode: 241. DB::Exception: Memory limit");
	$self->post(100);
	$self->all_arrive('an error comes with status 200');
	$self->is_so("state = 'running'", 'the stream runs on');
	$self->view_agrees('the hours of the view agree with the events');
	$self->merge(1);
	return;
}

# The worker ends in the midst of a request that nobody has read, or that is written already: the
# next one sends the same batch, or finds it there.
sub test_killed_worker
{
	my ($self) = @_;
	my ($server, $proxy) = @$self{qw(server proxy)};

	$self->merge(0);
	foreach my $case (
		[ 'ended', 'hang', sub { $server->sql("SELECT pg_terminate_backend(pid) FROM fi_streams()") } ],
		[ 'killed by kill -9', 'hang', sub { kill 'KILL', $server->sql('SELECT pid FROM fi_streams()') } ],
		[ 'killed by kill -9', 'hang_answer', sub { kill 'KILL', $server->sql('SELECT pid FROM fi_streams()') } ])
	{
		my ($how, $rule, $end) = @$case;
		my $name = "the worker is $how" . ($rule eq 'hang' ? ' before the target reads' : ' before the answer');
		my $pid = $server->sql('SELECT pid FROM fi_streams()');

		$proxy->forget;
		$proxy->on(qr/INSERT/, $rule => 1);
		$self->post(100);
		ok( wait_until(
				sub {
					my ($request) = $proxy->requests(qr/INSERT/);

					return $request && ($rule eq 'hang' || $request->{answer} ne '');
				}),
			"$name: the request is under way");
		$end->();
		ok(wait_until(sub { (eval { $server->sql('SELECT pid FROM fi_streams()') } || $pid) ne $pid }), "$name: another one comes");
		$proxy->release;
		$self->all_arrive("$name: the events are there once");

		my @requests = $proxy->requests(qr/INSERT/);
		my @ids = map { $_->{head} =~ /query_id=([^& ]+)/ } @requests;

		if ($rule eq 'hang')
		{
			is(scalar @requests, 2, "$name: the batch is sent again");
			is($ids[1], $ids[0], 'with the same id');
			ok($requests[1]{body} ne '' && $requests[1]{body} eq $requests[0]{body}, 'and the same bytes');
		}
		else
		{
			is(scalar @requests, 1, "$name: the batch is not sent again");
		}
		$server->wait_ready;
	}
	$self->merge(1);
	return;
}

sub test_rows
{
	my ($self) = @_;
	my $server = $self->{server};

	$self->insert_rows(50, "CASE WHEN i = 17 THEN 'infinity' ELSE now() END, '{a}'");
	$self->all_arrive('one row in fifty has no time that fits: the others arrive');
	is($server->sql('SELECT count(*), min(reason) FROM fast_ingest.stream_dead_letters'),
		'1|ingested_at is not a time that the column can hold', 'it is a dead letter');
	like($server->sql('SELECT event FROM fast_ingest.stream_dead_letters'), qr/"ingested_at":"infinity"/, 'which shows the time');
	$self->insert_rows(50, q{now(), CASE WHEN i = 17 THEN '{a,NULL,""}'::text[] END});
	$self->all_arrive('tags are NULL, or have a NULL');
	is($self->{clickhouse}->query(q{SELECT tags FROM events WHERE length(tags) = 3 AND event_name = 'inserted'}),
		q{['a',NULL,'']}, 'which stays one');
	return;
}

# What is wrong with the target is waited for.
sub test_target
{
	my ($self) = @_;
	my $clickhouse = $self->{clickhouse};

	$clickhouse->query('RENAME TABLE events TO elsewhere');
	$self->post(10);
	$self->is_so("state = 'retrying' AND last_error ~ 'events'", 'the table is missing: the stream waits and says so');
	$clickhouse->query('RENAME TABLE elsewhere TO events');
	$self->all_arrive('and goes on when it is there');

	$clickhouse->set_password('second');
	$self->post(10);
	$self->is_so("state = 'retrying' AND last_error ~* 'password|authentication'", 'the password is wrong');
	$clickhouse->set_password('first');
	$self->all_arrive('and is right again');

	$clickhouse->query('ALTER TABLE events DROP COLUMN path');
	$self->post(10);
	$self->is_so("state = 'retrying' AND last_error ~ 'path'", 'a column is missing');
	$clickhouse->query('ALTER TABLE events ADD COLUMN path Nullable(String)');
	$self->all_arrive('and there again');
	return;
}

# A batch with rows of so many days, each of which is a partition. A new ClickHouse refuses more than
# 100 unless it is told to take them.
sub test_days
{
	my ($self, $days) = @_;
	my $server = $self->{server};
	my $check = "SELECT count(*), bool_and(equal), sum(target) FROM fi_check_stream('ch', '2025-01-01', '2025-01-01'::date + $days)";

	$server->sql("SELECT fi_create_partition('2025-01-01'::date + i) FROM generate_series(0, $days - 1) i");
	$server->sql('INSERT INTO fast_ingest.events (event_name, channel, ts)'
		  . " SELECT 'inserted', 'web', '2025-01-01 00:00Z'::timestamptz + i * interval '1 day' FROM generate_series(0, $days - 1) i");
	$self->all_arrive("a batch has rows of $days days");
	is($server->sql($check), "$days|t|$days", 'the counts of each day are equal');
	$server->sql(q{SELECT fi_resend_stream('ch', '2025-01-11 00:00Z', '2025-01-21 00:00Z')});
	ok(wait_until(sub { $server->sql('SELECT count(*) FROM fast_ingest.stream_backfills WHERE done_at IS NULL') == 0 }),
		'ten of them are sent again')
	  or diag($self->describe);
	is($server->sql($check), "$days|t|$days", 'and are there once, on the same days');
	return;
}

# Tables that cannot keep what is promised are refused, and the stream says why. Each case is a
# table, its statement and what the stream says.
sub test_refusals
{
	my ($self, @cases) = @_;

	foreach my $case (@cases)
	{
		my ($table, $statement) = @$case;

		$self->{clickhouse}->query($statement);
		$self->create(name => $table, target => $table);
	}
	$self->{proxy}->forget;
	$self->post(1);
	foreach my $case (@cases)
	{
		my ($table, undef, $wanted) = @$case;

		$self->is_so("name = '$table' AND state = 'retrying' AND last_error ~ '$wanted'", "$table is refused: $wanted");
	}
	is(scalar $self->{proxy}->requests(qr/INSERT/), 0, 'no row is sent to them');
	$self->drop;
	return;
}

# The statement that makes events, changed for another table
sub table_like_events
{
	my ($self, $table, $pattern, $replacement) = @_;
	my ($statement) = $self->statements("'$table'");

	$statement =~ s/$pattern/$replacement/s or die "there is no $pattern in $statement";
	return $statement;
}

1;
