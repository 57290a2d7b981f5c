# A webhook gets each event, signed as Standard Webhooks has it, and whatever it answers, no event
# is missing: lost answers, redirects, refusals, requests to wait and to stop.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use Digest::SHA ();
use FastIngest;
use FastIngest::Tls;
use FastIngest::Webhook;
use JSON::PP ();
use MIME::Base64 ();
use PostgreSQL::Test::Utils;
use Test::More;

my $server = FastIngest->new('webhook', conf => "wal_level = logical\nfast_ingest.max_streams = 4");
my $json = JSON::PP->new->utf8->canonical;
my $key = 'K3yOfTheFirstSecret_32_bytes_lng';
my $secret = 'whsec_' . MIME::Base64::encode_base64($key, '');
my $old_secret = 'whsec_' . MIME::Base64::encode_base64('TheSecretThatIsReplaced_', '');
my $private = 'VeryPrivate0123';
my $n = 0;

sub create_stream
{
	my ($name, $url, %opt) = @_;
	my $options = join '', map { ", $_ => '$opt{$_}'" } sort keys %opt;

	$server->sql("SELECT fi_create_stream('$name', 'webhook', '$url', flush_interval => '50 ms'$options)");
	return wait_for_stream($name, "state = 'running'");
}

# Wait until a condition holds for the stream's row of fi_streams().
sub wait_for_stream
{
	my ($name, $condition) = @_;
	my $holds = wait_until(sub { $server->sql("SELECT count(*) FROM fi_streams() WHERE name = '$name' AND $condition") });

	diag($server->sql("SELECT state, detail, last_error FROM fi_streams() WHERE name = '$name'")) if !$holds;
	return $holds;
}

sub drop_stream
{
	my ($name) = @_;

	$server->sql("SELECT fi_drop_stream('$name')");
	return wait_until(sub { !$server->sql("SELECT count(*) FROM pg_replication_slots") });
}

# Post so many events, in one transaction. Returns their user_ids.
sub post
{
	my ($count, %changes) = @_;
	my @events = map { event(++$n, %changes) } 1 .. $count;

	is($server->post_bulk(\@events)->{json}{accepted}, $count, "$count events are posted");
	return map { $_->{user_id} } @events;
}

# Wait until the collector has the events of these users, and check that it has no others, in
# requests from number $from on.
sub users_arrive
{
	my ($webhook, $from, $users, $name) = @_;
	my %seen;

	wait_until(
		sub {
			%seen = map { $json->decode($_)->{user_id} => 1 }
			  map { @{ $_->{rows} } } FastIngest::Webhook::taken($webhook->requests($from));
			return keys %seen >= @$users;
		});
	return is(join(' ', sort keys %seen), join(' ', sort @$users), $name);
}

sub counter
{
	my ($name, $column) = @_;

	return $server->sql("SELECT $column FROM fi_streams() WHERE name = '$name'");
}

my $webhook = FastIngest::Webhook->new;

# What is sent
ok(create_stream('hook', $webhook->url('/in?token=x'), secret => "$secret $old_secret"), 'the stream runs');
my @users = post(3, site_id => "s\xe4", tags => [ 'a', 'b"' ], metadata => { n => 1, deep => { x => [ 1, undef ] } });
users_arrive($webhook, 0, \@users, 'the events arrive');
{
	my ($request) = $webhook->requests;
	my $event = $json->decode($request->{rows}[0]);
	my $row = $json->decode(
		$server->sql("SELECT row_to_json(e) FROM fast_ingest.events e WHERE user_id = '$event->{user_id}'"));
	my $id = delete $event->{id};

	is($request->{path}, '/in?token=x', 'the path and query are those of the URL');
	is($request->{headers}{'content-type'}, 'application/x-ndjson', 'the body is NDJSON');
	is($request->{headers}{'content-encoding'}, 'gzip', 'compressed');
	like($request->{headers}{'webhook-id'}, qr/\Afi-[A-Za-z0-9]+-\d+-\d+\z/, 'the batch has an id');
	is($request->{headers}{'idempotency-key'}, $request->{headers}{'webhook-id'}, 'which is the Idempotency-Key');
	is($id, $row->{event_key}, 'the id of an event is its key');
	is_deeply([ @{$event}{qw(user_id event_name channel path site_id tags metadata)} ],
		[ @{$row}{qw(user_id event_name channel path site_id tags metadata)} ], 'it has what the table has');
	is($server->sql("SELECT '$event->{ts}'::timestamptz = ts AND '$event->{ingested_at}'::timestamptz = ingested_at"
			  . " FROM fast_ingest.events WHERE user_id = '$event->{user_id}'"), 't', 'and its times');
	is(join(' ', sort keys %$event), join(' ', sort keys %$row), 'and all columns');

	my $signed = "$request->{headers}{'webhook-id'}.$request->{headers}{'webhook-timestamp'}.$request->{text}";
	my $signature = 'v1,' . MIME::Base64::encode_base64(Digest::SHA::hmac_sha256($signed, $key), '');
	is((split / /, $request->{headers}{'webhook-signature'})[0], $signature, 'the lines are signed, before compression');
	cmp_ok(abs($request->{headers}{'webhook-timestamp'} - $request->{at}), '<', 5, 'with the time of the attempt');
}

# Lost answers, and answers that are no success
foreach my $case (
	[ { lose => 1 }, 'doubts', 'an answer is lost' ],
	[ { cut => 12 }, 'doubts', 'an answer is cut off' ],
	[ { refuse => 50 }, 'doubts', 'the connection is closed in the midst of the body' ],
	[ { status => 500 }, 'retries', 'status 500' ],
	[ { status => 404 }, 'retries', 'status 404' ],
	[ { status => 302, headers => [ 'Location', $webhook->url('/elsewhere') ] }, 'retries', 'a redirect' ])
{
	my ($order, $counter, $name) = @$case;
	my $from = $webhook->count;
	my $before = counter('hook', $counter);

	$webhook->plan($order, {});
	my @posted = post(4);
	my ($first, $second) = ($webhook->wait_for_requests($from + 2))[ $from, $from + 1 ];
	is($second->{path}, '/in?token=x', "$name: sent again to the same URL");
	is($second->{headers}{'webhook-id'}, $first->{headers}{'webhook-id'}, "$name: with the same id");
	is($second->{text}, $first->{text}, "$name: and the same bytes") if $first->{status} ne 'refused';
	users_arrive($webhook, $from, \@posted, "$name: no event is missing");
	cmp_ok(counter('hook', $counter), '>', $before, "$name: it is counted in $counter");
	ok(wait_for_stream('hook', "state = 'running'"), "$name: the stream runs again");
}

# Retry-After
{
	my $from = $webhook->count;

	$webhook->plan({ status => 429, headers => [ 'Retry-After', 3 ] }, {});
	my @posted = post(1);
	ok(wait_for_stream('hook', "state = 'retrying' AND last_error LIKE '%answered 429%'"), 'while it waits the stream says why');
	my ($first, $second) = ($webhook->wait_for_requests($from + 2))[ $from, $from + 1 ];
	cmp_ok($second->{at} - $first->{at}, '>=', 3, 'Retry-After is honoured');
	users_arrive($webhook, $from, \@posted, 'the event is not lost');
}

# 410
{
	my $from = $webhook->count;

	$webhook->plan({ status => 410 });
	my @posted = post(2);
	ok(wait_for_stream('hook', "state = 'paused' AND last_error LIKE '%410%'"), '410 pauses the stream');
	push @posted, post(2);
	is(join(' ', map { $_->{status} } $webhook->requests($from)), '410', 'nothing is sent while it is paused');
	$webhook->plan({});
	$server->sql("SELECT fi_resume_stream('hook')");
	users_arrive($webhook, $from + 1, \@posted, 'what came meanwhile is sent when it goes on');
}

# One row that the receiver refuses
{
	my $from = $webhook->count;

	$webhook->plan({ status => 422, only => '/bad/' });
	my @good = post(12);
	my @posted = (post(1, path => '/bad/one'), post(12));
	push @good, @posted[ 1 .. $#posted ];
	users_arrive($webhook, $from, \@good, 'the rows beside one that is refused arrive');
	ok(wait_for_stream('hook', 'dead_letters = 1'), 'the row is a dead letter');
	is($server->sql("SELECT reason LIKE '%422%' AND event::jsonb ->> 'user_id' = '$posted[0]' FROM fast_ingest.stream_dead_letters"),
		't', 'with the reason and the event');
	$webhook->plan({ status => 400 });
	@posted = post(16);
	ok(wait_for_stream('hook', "state = 'retrying' AND detail LIKE '%refuses each of%'"),
		'a receiver that refuses everything is suspected itself');
	cmp_ok(scalar(grep { @{ $_->{rows} } == 1 } $webhook->requests($from)), '<=', 2 * 8 + 2, 'after eight events');
	$from = $webhook->count;
	$webhook->plan({});
	users_arrive($webhook, $from, \@posted, 'the rows arrive once it takes them');
	ok(wait_for_stream('hook', 'dead_letters = 1'), 'none of them is a dead letter');
	is($server->sql('SELECT count(*) FROM fast_ingest.stream_dead_letters WHERE NOT retry'), 1, 'and none is buried');
}

# A receiver that refuses everything, of which little comes: it takes more events to see who is at
# fault.
{
	my $from = $webhook->count;
	my @posted;

	$webhook->plan({ status => 400 });
	foreach my $i (1 .. 4)
	{
		push @posted, post(1);
		ok(wait_until(sub { grep { $_->{text} =~ /$posted[-1]"/ } $webhook->requests($from) }), "event $i by itself is refused");
	}
	ok(wait_for_stream('hook', "state = 'retrying' AND detail LIKE '%refuses each of%'"), 'the receiver is suspected');
	$from = $webhook->count;
	$webhook->plan({});
	users_arrive($webhook, $from, \@posted, 'all arrive once it takes them');
	ok(wait_for_stream('hook', "state = 'running' AND dead_letters = 1"), 'none of them is a dead letter');

	$webhook->plan({ status => 422, only => '/bad/' });
	post(1, path => '/bad/two');
	ok(wait_for_stream('hook', "state = 'retrying'"), 'a single bad event may be the fault of the receiver');
	$from = $webhook->count;
	@posted = post(1);
	users_arrive($webhook, $from, \@posted, 'until it takes another');
	ok(wait_for_stream('hook', "state = 'running' AND dead_letters = 2"), 'then the bad one is a dead letter');
}

# A single event that is refused time and again does not hold up a stream to which nothing else comes
{
	my $from = $webhook->count;

	$webhook->plan({ status => 422, only => '/bad/' });
	my ($first) = post(1, path => '/bad/three');
	ok(wait_for_stream('hook', "state = 'running' AND dead_letters = 3"), 'an event that comes alone is put aside by itself');
	is(scalar(grep { $_->{text} =~ /$first"/ } $webhook->requests($from)), 5, 'after five tries');
	my ($second) = post(1, path => '/bad/four');
	ok(wait_until(sub { (grep { $_->{text} =~ /$second"/ } $webhook->requests($from)) >= 5 }), 'the next one is tried as often');
	$webhook->plan({});
	users_arrive($webhook, $from, [ $first, $second ], 'it was the receiver: it gets both, and the one that waited first');
	ok(wait_for_stream('hook', "state = 'running' AND dead_letters = 2"), 'neither is a dead letter');
}

# Checked by another's program
foreach my $each ($secret, $old_secret)
{
	is($webhook->verify($each), '', 'standardwebhooks finds all signatures right, with either secret');
}

# Secrets are shown nowhere. A statement that succeeds is logged if the server is told to log it.
{
	my %places;

	$server->node->append_conf('postgresql.conf', 'log_error_verbosity = verbose');
	$server->node->reload;
	foreach my $case (
		[ "'wrong', 'webhook', 'http://localhost/', secret => 'whsec_$private'", 'invalid secret of webhook stream "wrong"' ],
		[ "'hook', 'webhook', 'http://localhost/', secret => '$secret'", 'stream "hook" exists already' ],
		[ "'new', 'webhook', 'http://localhost/', secret => '$secret', batch_rows => 0", 'batch_rows 0 is not valid' ],
		[ "'new', 'clickhouse', 'http://localhost/', secret => '$private', max_retained_wal => '1 parsec'", 'parsec' ])
	{
		my ($arguments, $expected) = @$case;
		my ($status, $output, $error) = $server->node->psql('postgres', "DO \$\$BEGIN PERFORM fi_create_stream($arguments); END\$\$");

		like($error, qr/\Q$expected\E/, "an error with a secret: $expected");
		# the context is the caller's own statement, and not in the log either
		$places{'error texts'} .= $error =~ s/^CONTEXT:.*//mgr;
	}
	# a table of secrets has no rows in it
	IPC::Run::run([ 'pg_dump', '-d', $server->node->connstr('postgres') ], '>', \$places{'a dump'}) or die 'pg_dump failed';
	like($places{'a dump'}, qr/\QCOPY fast_ingest.streams\E.*hook/s, 'a dump has the stream');
	$places{'the server log'} = slurp_file($server->node->logfile);
	like($places{'the server log'}, qr/invalid secret of webhook stream "wrong"/, 'the log has the errors');
	$places{'pg_stat_activity'} =
	  $server->sql('SELECT string_agg(a::text, chr(10)) FROM pg_stat_activity a WHERE pid <> pg_backend_pid()');
	$places{'fi_streams()'} = $server->sql('SELECT string_agg(s::text, chr(10)) FROM fi_streams() s');
	$places{'tables'} = $server->sql(
		"SELECT string_agg(t, chr(10)) FROM (SELECT s::text FROM fast_ingest.streams s"
		  . ' UNION ALL SELECT p::text FROM fast_ingest.stream_progress p'
		  . ' UNION ALL SELECT l::text FROM fast_ingest.stream_dead_letters l) x (t)');
	$places{$_} = $server->get($_)->{body} foreach qw(/metrics/prometheus /health);
	foreach my $place (sort keys %places)
	{
		ok(length $places{$place}, "$place has something");
		unlike($places{$place}, qr/\Q$secret\E|\Q$old_secret\E|\Q$private\E|\Q$key\E/, "but no secret");
	}
	$server->sql('CREATE ROLE reader; GRANT pg_read_all_settings, pg_monitor TO reader');
	my ($status, $output, $error) =
	  $server->node->psql('postgres', 'SET ROLE reader; SELECT * FROM fast_ingest.stream_secrets');
	like($error, qr/permission denied/, 'a monitoring role cannot read the table of secrets');
}
ok(drop_stream('hook'), 'a dropped stream leaves no slot');

# TLS, zstd, a secret in a file
{
	my $authority = new_authority('own');
	my $clients = new_authority('clients');
	my $certificate = new_certificate($authority);
	my $client = new_certificate($clients);
	my $secured = FastIngest::Webhook->new(certificate => $certificate, client_authority => $clients);
	my %files = (ca_file => "$authority.crt", cert_file => "$client.crt", key_file => "$client.key");
	my $file = $server->node->data_dir . '/webhook_secret';

	append_to_file($file, "$secret\n");
	chmod 0600, $file;
	ok(create_stream('tls', $secured->url, %files, compression => 'zstd', secret_file => $file), 'a stream with TLS');
	my @posted = post(5);
	users_arrive($secured, 0, \@posted, 'events arrive by TLS');
	my ($request) = $secured->requests;
	is($request->{client}, '/CN=localhost', 'with the certificate of the client');
	is($request->{headers}{'content-encoding'}, 'zstd', 'compressed with zstd');
	is($secured->verify($secret), '', 'signed with the secret of the file');
	rename $file, "$file.away";
	$server->sql("SELECT fi_resend_stream('tls', '2020-01-01', '2020-01-02'), fi_retry_stream_dead_letters('tls')");
	pass('what only writes tables does not need it');
	drop_stream('tls');

	ok(create_stream('other', $secured->url, %files, ca_file => "$clients.crt"), 'a stream that trusts another authority');
	post(1);
	ok(wait_for_stream('other', "state = 'retrying' AND last_error LIKE '%certificate%'"), 'it says that it does not trust the receiver');
	is(scalar $secured->count, 1, 'and has sent nothing');
	drop_stream('other');
}

# Definitions that cannot be right
foreach my $case (
	[ "'http://u:p4ssw0rd\@h/'", 'user and password do not belong into it' ],
	[ "'ftp://h/'", 'must begin with http' ],
	[ "'http://h/#x'", 'fragment' ],
	[ "'http://h/', 't'", 'target of webhook stream "x" is "t": expected none' ],
	[ "'http://h/', username => 'u'", 'username of webhook stream "x" is "u": expected none' ],
	[ "'http://h/', secret => 'abc'", 'it does not begin with "whsec_"' ],
	[ "'http://h/', secret => 'whsec_abcd'", 'it has fewer than 24 bytes' ],
	[ "'http://h/', ca_file => '/nonexistent'", 'ca_file "/nonexistent"' ])
{
	my ($arguments, $expected) = @$case;
	my ($status, $output, $error) = $server->node->psql('postgres', "SELECT fi_create_stream('x', 'webhook', $arguments)");

	like($error, qr/\Q$expected\E/, "refused: $expected");
}
is($server->sql('SELECT count(*) FROM fast_ingest.streams'), 0, 'no stream is left of them');

done_testing;
