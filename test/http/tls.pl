# HTTPS is the same server behind TLS. Certificate and key are checked before they are used, and
# are replaced while the server runs. A port for TLS never speaks anything else. A client that
# leaves its handshake unfinished, or sends none, harms nobody.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use FastIngest;
use FastIngest::Tls;
use IO::Socket::SSL;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes ();

my $authority = new_authority('authority');
my $other_authority = new_authority('other');
my $tls_port = PostgreSQL::Test::Cluster::get_free_port();
my $n = 0;
my $answer;

my $server = FastIngest->new('tls', start => 0, conf => <<"EOC");
fast_ingest.ssl_port = $tls_port
fast_ingest.max_connections = 400
fast_ingest.request_timeout = '30s'
EOC
my $data = $server->node->data_dir;

sub connect_tls { return tls_connect($tls_port, $authority, @_) || die "no TLS: $SSL_ERROR" }

sub ask
{
	my ($connection, @message) = @_;

	$connection->send(http_message(@message));
	return $connection->read_answer;
}

sub curl
{
	my (@arguments) = @_;
	my ($output, $error) = ('', '');

	IPC::Run::run([ 'curl', '-sS', '-m', $FastIngest::TIMEOUT, '-w', ' %{http_code}', @arguments ],
		'<', \'', '>', \$output, '2>', \$error);
	return $output . $error;
}

my @trust = ('--cacert', "$authority.crt");

# Wait until new connections are shown this certificate.
my %fingerprints;

sub serves
{
	my ($certificate) = @_;

	$fingerprints{$certificate} ||= fingerprint($certificate);
	return wait_until(
		sub {
			my $connection = tls_connect($tls_port, $authority, SSL_verify_mode => SSL_VERIFY_NONE);
			return $connection && $connection->fingerprint eq $fingerprints{$certificate};
		});
}

sub log_end { return -s $server->node->logfile }

# ---------------------------------------------------------------------------
# Without files, then with them
# ---------------------------------------------------------------------------

$server->node->start;
$server->create_extension;
ok( $server->wait_for_log_line(
		qr/LOG:  fast_ingest could not load the certificate "server.crt": No such file or directory\n.*HINT:  The port of fast_ingest.ssl_port stays closed/),
	'without a certificate the log says so');
is($server->get('/ready')->{status}, 200, 'and HTTP is served');
is( $server->sql(q(SELECT state || ': ' || last_error FROM fi_status() WHERE worker = 'listener 1')),
	'running: could not load the certificate "server.crt": No such file or directory',
	'fi_status() has the reason');
is(FastIngest::Connection->new($tls_port), undef, 'the port for TLS is closed');

my $certificate = give_certificate($server, $authority);

ok(serves($certificate), 'once there are files it is served, without a reload');
ok($server->wait_for_log_line(qr/LOG:  fast_ingest has loaded the certificate "server.crt", valid until 20\d\d-/),
	'which the log says');
ok($server->wait_for_log_line(qr/LOG:  fast_ingest listens on 127.0.0.1 TLS port $tls_port/), 'with the port');
ok( wait_until(
		sub {
			$server->sql(q(SELECT query FROM pg_stat_activity WHERE backend_type = 'fast_ingest listener')) =~
			  /^serving HTTP on 127.0.0.1 port \d+ and TLS port $tls_port, \d+ connections$/;
		}),
	'pg_stat_activity names both ports');

# ---------------------------------------------------------------------------
# Everything works as without TLS
# ---------------------------------------------------------------------------

my $url = "https://localhost:$tls_port";
my @json = ('-H', 'Content-Type: application/json');

is(curl(@trust, "$url/ready"), '{"status":"ready"} 200', 'curl that knows the authority: GET /ready');
is(curl(@trust, @json, '-d', encode_json(event(++$n)), "$url/events"), '{"status":"accepted"} 202', 'POST /events');
is($server->count('user_id = ' . "'user-$n'"), 1, 'is stored');
is(curl(@trust, "$url/metrics?event_name=page_view"), '{"event_name":"page_view","total_events":1,"unique_users":1,"raw_rows":0} 200', 'GET /metrics');
like(curl("$url/ready"), qr/unable to get local issuer certificate/, 'curl that does not know it goes away');
like(curl('--cacert', "$other_authority.crt", "$url/ready"), qr/SSL certificate problem/, 'or knows another');
like(curl(@trust, '--http2', "$url/ready"), qr/200$/, 'curl that would like HTTP/2');

foreach my $version ([ '1.2', 'TLSv1_2' ], [ '1.3', 'TLSv1_3' ])
{
	my $connection = connect_tls(SSL_version => $version->[1]);

	is($connection->{socket}->get_sslversion, $version->[1], "TLS $version->[0]");
	is(ask($connection, 'POST', '/events', body => event(++$n))->{status}, 202, "TLS $version->[0]: an event") foreach 1 .. 3;
}
{
	# blanks behind what says where a body ends
	my $connection = connect_tls();
	my @bodies = map { encode_json(event(++$n, path => '/blanks')) } 1 .. 3;

	foreach (@bodies[ 0, 1 ])
	{
		is(ask($connection, 'POST', '/events', body => $_, headers => [ 'Content-Length', length($_) . " \t" ])->{status},
			202, 'a blank behind Content-Length');
	}
	is( ask($connection, 'POST', '/events', body => sprintf("%x\r\n%s\r\n0\r\n\r\n", length $bodies[2], $bodies[2]),
			headers => [ 'Transfer-Encoding', 'chunked ' ])->{status},
		202, 'a blank behind Transfer-Encoding');
	is($server->count(q(path = '/blanks')), 3, 'all are stored');
}
my $old = IO::Socket::SSL->new(
	PeerAddr => '127.0.0.1', PeerPort => $tls_port,
	SSL_verify_mode => SSL_VERIFY_NONE,
	SSL_version => 'TLSv1_1',
	SSL_cipher_list => 'ALL:@SECLEVEL=0');
is($old, undef, 'TLS 1.1 is refused');

my $large = [ map { event(++$n, metadata => { filling => "$n" x 1000 }) } 1 .. 1000 ];
my $connection = connect_tls();

cmp_ok(length encode_json($large), '>', 3_000_000, 'a body of several MB');
$answer = ask($connection, 'POST', '/events/bulk', body => $large);
is($answer->{body}, '{"status":"accepted","accepted":1000}', 'POST /events/bulk');
$answer = ask($connection, 'POST', '/events/bulk', body => [ map { { event_name => 'x' x 300 } } 1 .. 1000 ]);
is($answer->{status}, 400, 'the connection is kept');
is(scalar(@{ $answer->{json}{errors} }), 100, 'an answer of many bytes');
is(ask($connection, 'GET', '/openapi.json')->{json}{openapi}, '3.1.0', 'and a larger one');
$connection->send(join '', map { http_message('POST', '/events', body => event(++$n)) } 1 .. 50);
is(join(' ', map { $connection->read_answer->{status} } 1 .. 50), join(' ', (202) x 50), '50 requests in one go');
is($server->count, $n, 'every event is stored, once');

# in pieces of a byte, each a record
$connection->send($_) foreach split //, http_message('GET', '/health');
is($connection->read_answer->{status}, 200, 'a request in records of one byte');

# Heads that two readers could take differently, and others, are answered as without TLS.
foreach my $head (
	"GET /health HTTP/1.1\r\nHost: x",
	"GET /health HTTP/1.1",
	"GET /health HTTP/1.1\r\nHost: x\r\nHost: y",
	"GET /health HTTP/1.1\r\nHost: x\nX-A: b",
	"GET /health HTTP/1.1\r\nHost : x",
	"GET /health HTTP/1.1\r\nHost: x\r\nA: b\r\n folded",
	"GET  /health HTTP/1.1\r\nHost: x",
	"GET /health?a b HTTP/1.1\r\nHost: x",
	"POST /events HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 5",
	"POST /events HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked",
	"POST /events HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip",
	"GET /nowhere HTTP/1.1\r\nHost: x",
	"DELETE /events HTTP/1.1\r\nHost: x",
	"GET /" . 'x' x 40_000 . " HTTP/1.1\r\nHost: x",
	"GET /health HTTP/1.1\r\nHost: x\r\nA: " . 'x' x 17_000,
	"GET /health HTTP/1.1\r\nHost: x\r\nA: " . 'x' x 40_000)
{
	my @answers = map {
		$_->send("$head\r\n\r\n");
		$_->read_answer
	} $server->connect, connect_tls();

	is("$answers[1]{status} $answers[1]{body}", "$answers[0]{status} $answers[0]{body}",
		"$answers[0]{status} for " . substr($head, 0, 60) =~ s/[\r\n]+/ | /gr);
}

# ---------------------------------------------------------------------------
# Another certificate
# ---------------------------------------------------------------------------

my $kept = connect_tls();
my $pid = $server->worker_pid('listener');
my $other = give_certificate($server, $other_authority);

is(ask($kept, 'GET', '/health')->{status}, 200, 'a connection is open');
ok(serves($certificate), 'new files are not looked at before the reload');
$server->node->reload;
ok(serves($other), 'after it new connections see the new certificate');
is(ask($kept, 'POST', '/events', body => event(++$n))->{status}, 202, 'the open one goes on');
is(tls_connect($tls_port, $authority), undef, 'who trusts the old authority only goes away');
like(curl('--cacert', "$other_authority.crt", "$url/health"), qr/200$/, 'who trusts the new one does not');
ok(!tls_connect($tls_port, $other_authority, SSL_verifycn_name => 'elsewhere.example'), 'the name counts');

my $long = new_certificate($authority, key => ['rsa:2048']);
$server->set('fast_ingest.ssl_cert_file' => "$long.crt", 'fast_ingest.ssl_key_file' => "$long.key");
ok(serves($long), 'files that the settings name, with a key of RSA');
ok(tls_connect($tls_port, $authority, SSL_version => 'TLSv1_2', SSL_cipher_list => 'ECDHE-RSA-AES128-GCM-SHA256'), 'which agrees on keys by ECDHE');
is( tls_connect($tls_port, $authority, SSL_version => 'TLSv1_2', SSL_cipher_list => 'AES128-GCM-SHA256'),
	undef, 'and not by RSA, which has no forward secrecy');

# Wrong files are refused, and the certificate in use stays.

sub refused
{
	my ($pattern, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $offset = log_end();

	$server->node->reload;
	ok( $server->wait_for_log_line(
			qr/LOG:  fast_ingest could not load the $pattern\n.*DETAIL:  It goes on with the certificate and the key that it has/, $offset),
		"$name: the log says so")
	  or diag(substr slurp_file($server->node->logfile), $offset);
	ok(serves($long), "$name: the old one is served");
	ok(wait_until(sub { $server->sql(q(SELECT last_error FROM fi_status() WHERE worker = 'listener 1')) =~ /could not load the $pattern/ }),
		"$name: fi_status() says so");
	return;
}

my $cert_file = "$long.crt";
my $key_file = "$long.key";
my $good_certificate = slurp_file($cert_file);
my $good_key = slurp_file($key_file);

sub write_file
{
	my ($file, $content) = @_;

	open my $out, '>', $file or die "could not write $file: $!";
	print $out $content;
	close $out;
	return;
}

chmod 0640, $key_file;
refused(qr/private key "\Q$key_file\E": others may read it: expected mode 0600, or 0640 if it belongs to root/, 'a key that others may read');
chmod 0600, $key_file;
unlink $key_file;
refused(qr/private key "\Q$key_file\E": No such file or directory/, 'no key');
mkdir $key_file;
refused(qr/private key "\Q$key_file\E": it is not a regular file/, 'a directory');
rmdir $key_file;
POSIX::mkfifo($key_file, 0600);
refused(qr/private key "\Q$key_file\E": it is not a regular file/, 'a pipe');
unlink $key_file;
umask 0077;
write_file($key_file, slurp_file("$certificate.key"));
refused(qr/private key "\Q$key_file\E": it is not the key of the certificate/, 'the key of another certificate');
write_file($key_file, openssl('pkey', '-in', "$certificate.key", '-aes256', '-passout', 'pass:secret'));
refused(qr/private key "\Q$key_file\E": it is protected by a passphrase/, 'a key with a passphrase');
write_file($key_file, substr $good_key, 0, 700);
refused(qr/private key "\Q$key_file\E": .+/, 'half a key');
write_file($key_file, '');
refused(qr/private key "\Q$key_file\E": .+/, 'an empty key');
write_file($key_file, 'x' x 2_000_000);
refused(qr/private key "\Q$key_file\E": it is too large/, 'a large file');
write_file($key_file, $good_key);
write_file($cert_file, "nonsense\n");
refused(qr/certificate "\Q$cert_file\E": .+/, 'no certificate');
unlink $cert_file;
refused(qr/certificate "\Q$cert_file\E": No such file or directory/, 'none at all');
write_file($cert_file, $good_certificate);

$server->set('fast_ingest.ssl_cert_file' => 'server.crt', 'fast_ingest.ssl_key_file' => 'server.key');
$certificate = give_certificate($server, $authority);
$server->node->reload;
ok(serves($certificate), 'what is right again is served');
give_certificate($server, $authority, new_certificate($authority, days => -1));
$server->node->reload;
ok($server->wait_for_log_line(qr/WARNING:  fast_ingest has loaded the certificate "server.crt", which expired on 20/), 'one that has expired is warned of');
give_certificate($server, $authority, $certificate);
$server->node->reload;
ok(serves($certificate), 'and replaced');
is($server->worker_pid('listener'), $pid, 'all of it by the same listener');
is(ask($kept, 'GET', '/health')->{status}, 200, 'and the first connection is still served');

# ---------------------------------------------------------------------------
# Clients that do not speak TLS
# ---------------------------------------------------------------------------

# The first bytes of a client
sub client_hello
{
	my $listener = IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1', Proto => 'tcp') or die $!;
	my $client = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $listener->sockport, Blocking => 0);
	my $served = $listener->accept;

	IO::Socket::SSL->start_SSL($client, SSL_startHandshake => 0, SSL_verify_mode => SSL_VERIFY_NONE);
	$client->blocking(0);
	$client->connect_SSL;
	sysread $served, my $hello, 65536;
	return $hello;
}

my $hello = client_hello();
my $load = $server->start_load(clients => 2, name => 'tls', connect => sub { tls_connect($_[0], $authority) }, ports => [$tls_port], only_202 => 1, pause => 0.002);

srand 41;
my %harm = (
	'plain HTTP' => http_message('GET', '/health'),
	'random bytes' => join('', map { chr rand 256 } 1 .. 5000),
	'a hello with random bytes behind it' => $hello . join('', map { chr rand 256 } 1 .. 5000),
	'a record of nothing' => "\x16\x03\x01\x00\x00" x 1000,
	'a record that is too large' => "\x16\x03\x01\xff\xff" . 'x' x 70_000,
	'a hello with a byte changed' => substr($hello, 0, 50) . chr(255) . substr($hello, 51),
	'an alert' => "\x15\x03\x03\x00\x02\x02\x28");
foreach my $what (sort keys %harm)
{
	my $client = FastIngest::Connection->new($tls_port);

	$client->send($harm{$what});
	$client->shutdown_write;
	$answer = $client->read_answer;
	like($answer->{status}, qr/^(closed|not HTTP)$/, "$what to the TLS port is not answered");
}
ok(!tls_connect($server->port, $authority), 'TLS to the port without it is refused');
is($server->get('/health')->{status}, 200, 'which goes on');

# A handshake that stops half way keeps nobody busy, and ends in time.

my @stalled = map { FastIngest::Connection->new($tls_port) || die $! } 1 .. 300;

foreach my $i (0 .. $#stalled)
{
	$stalled[$i]->send($i % 3 == 0 ? $hello : $i % 3 == 1 ? substr($hello, 0, 100) : '');
}
ok(wait_until(sub { $server->open_connections >= 300 }), '300 clients are half way in their handshake');
ok($load->wait_for_acknowledgements(50), 'others are served');
$load->stop;

# Each time that it waits is a voluntary switch to another process.
sub waits { return (slurp_file("/proc/$pid/status") =~ /^voluntary_ctxt_switches:\s*(\d+)/m)[0] }

# How often in two seconds?
my $waits = waits();
Time::HiRes::sleep(2);
cmp_ok(waits() - $waits, '<', 40, 'and who waits for a handshake does not wake the listener again and again');
$server->set('fast_ingest.request_timeout' => '1s');
is(scalar(grep { $_->read_until(sub { 0 }, Time::HiRes::time() + $FastIngest::TIMEOUT) eq 'closed' } @stalled), 300, 'after request_timeout they are cut');
ok(wait_until(sub { $server->get('/health'); $server->open_connections < 10 }), 'and gone');

# Half a request after the handshake is answered 408, as without TLS.

$connection = connect_tls();
$connection->send(http_message('POST', '/events', body => '{', headers => [ 'Content-Length', 1000 ]));
$answer = $connection->read_answer;
is_error($answer, 408, qr/did not arrive within fast_ingest.request_timeout/, 'half a request');
ok($connection->is_closed, 'is the connection\'s last');
$connection = connect_tls();
ok($connection->is_closed, 'an idle connection is closed');

$server->set('fast_ingest.request_timeout' => '30s', 'fast_ingest.max_body_size' => '1kB');
ok(wait_until(sub { ask(connect_tls(), 'POST', '/events', body => ' ' x 1500)->{status} eq 413 }), 'a large body');
$connection = connect_tls();
$connection->send(http_message('POST', '/events', body => ' ' x 1_000_000));
is_error($connection->read_answer, 413, qr/larger than/, 'a body that does not end');
$server->set('fast_ingest.max_body_size' => '20MB');

# More connections than there may be

@stalled = map { FastIngest::Connection->new($tls_port) } 1 .. 400;
ok(FastIngest::Connection->new($tls_port)->is_closed, 'too many connections: one more is closed without a word');
is($server->get('/health')->{status}, 503, 'and 503 without TLS');
$_->close foreach @stalled;
ok(wait_until(sub { tls_connect($tls_port, $authority) }), 'until there is room');

is($server->worker_pid('listener'), $pid, 'all of it by the same listener');
$server->stored_once($load, 'over TLS');
$server->books_balance;

# ---------------------------------------------------------------------------
# Shutdown
# ---------------------------------------------------------------------------

$load = $server->start_load(name => 'stop', connect => sub { tls_connect($_[0], $authority) }, ports => [$tls_port], bulks => 1);
foreach my $mode ('fast', 'smart')
{
	ok($load->wait_for_acknowledgements(200), "$mode: events are coming over TLS");
	my @half = map { FastIngest::Connection->new($tls_port) } 1 .. 20;
	$_->send($hello) foreach @half;
	$server->node->stop($mode);
	$server->start_again;
	$server->stored_once($load, "$mode shutdown");
}
ok($load->wait_for_acknowledgements(200), 'and again afterwards');
$load->stop;
$server->stored_once($load, 'all shutdowns');
unlike(slurp_file($server->node->logfile), qr/was terminated by signal/, 'no process died of it');

# ---------------------------------------------------------------------------
# HTTPS only, with two listeners
# ---------------------------------------------------------------------------

$server->node->append_conf('postgresql.conf', "fast_ingest.port = 0\nfast_ingest.listeners = 2");
rename "$data/server.key", "$data/gone.key";
$server->node->restart;
my $states = q(SELECT string_agg(state || ': ' || last_error, E'\n') FROM fi_status() WHERE worker LIKE 'listener %');
my $reason = 'waiting: could not load the private key "server.key": No such file or directory';

ok(wait_until(sub { ($server->sql($states) // '') eq "$reason\n$reason" }), 'HTTPS only, without a key: the listeners wait');
is(FastIngest::Connection->new($tls_port), undef, 'and nothing listens');
rename "$data/gone.key", "$data/server.key";
ok(serves($certificate), 'once it is there, they serve');
ok(wait_until(sub { $server->sql(q(SELECT bool_and(state = 'running') FROM fi_status() WHERE worker LIKE 'listener %')) eq 't' }), 'both');
is(FastIngest::Connection->new($server->port), undef, 'and no HTTP');
ok(wait_until(sub { ask(connect_tls(), 'GET', '/ready')->{status} eq 200 }), 'ready');

my @connections = map { connect_tls() } 1 .. 20;
my @before = split /\n/, $server->sql(q(SELECT received FROM fi_status() WHERE worker LIKE 'listener %' ORDER BY worker));

is(join(' ', map { ask($_, 'POST', '/events', body => event(++$n))->{status} } @connections), join(' ', (202) x 20), 'both take events over TLS');
my @after = split /\n/, $server->sql(q(SELECT received FROM fi_status() WHERE worker LIKE 'listener %' ORDER BY worker));
cmp_ok($after[$_] - $before[$_], '>', 0, 'listener ' . ($_ + 1) . ' too') foreach 0, 1;

$other = give_certificate($server, $authority);
$server->node->reload;
ok(wait_until(sub { my @seen = map { connect_tls()->fingerprint } 1 .. 8; 1 == keys %{ { map { $_ => 1 } @seen } } }), 'both load another certificate');
ok(serves($other), 'the new one');
$server->books_balance('two listeners');

# Both ports and both listeners: neither takes one port's sockets for the other's.

$server->node->append_conf('postgresql.conf', 'fast_ingest.port = ' . $server->port);
$server->restart;
ok(serves($other), 'both ports again');
foreach my $connect (\&connect_tls, sub { $server->connect })
{
	my @connections = map { $connect->() } 1 .. 20;

	is(join(' ', map { ask($_, 'GET', '/health')->{status} } @connections), join(' ', (200) x 20), '20 connections to both listeners');
}

# A listener that hangs, and has the fewest connections, keeps nobody waiting at either port.
$server->set('fast_ingest.request_timeout' => '1h'); # so that none ends and makes room
my $hanging = $server->sql(q(SELECT pid FROM fi_status() WHERE worker = 'listener 1'));
my @open = map { connect_tls() } 1 .. 20;

$server->pause($hanging);
foreach my $connect (\&connect_tls, sub { $server->connect })
{
	push @open, map { $connect->() } 1 .. 8;
	is(ask($open[-1], 'GET', '/health')->{status}, 200, 'one listener serves while another hangs');
}
$server->resume($hanging);
undef @open;

# ---------------------------------------------------------------------------
# The address that others can reach
# ---------------------------------------------------------------------------

sub warns
{
	my ($pattern, $name, %settings) = @_;
	my $offset = log_end();

	$server->node->append_conf('postgresql.conf', join "\n", map { "fast_ingest.$_ = '$settings{$_}'" } sort keys %settings);
	$server->node->restart;
	ok(serves($other), "$name: it listens");
	my $log = substr slurp_file($server->node->logfile), $offset;
	my $warnings = join '', $log =~ /WARNING:.*\n.*DETAIL:.*\n/g;

	like($warnings, $pattern, $name);
	return;
}

warns(qr/\A.*needs no API keys\n.*DETAIL:  Whoever reaches port $tls_port can store events and read metrics\.\n\z/,
	'TLS without keys is warned of', listen_addresses => '*', listeners => 1, port => 0);
warns(qr/\A\z/, 'TLS with keys is not', require_api_key => 'on');
warns(qr/\A.*without TLS\n.*DETAIL:  Whoever listens on the way to port @{[$server->port]} can read API keys and events\.\n\z/,
	'the port without TLS is, beside it', port => $server->port);

my $offset = log_end();
$server->node->append_conf('postgresql.conf', "fast_ingest.port = 0\nfast_ingest.ssl_port = 0");
$server->node->restart;
ok($server->wait_for_log_line(qr/LOG:  fast_ingest listens on no port/, $offset), 'no port at all is said');
is($server->sql(q(SELECT state FROM fi_status() WHERE worker = 'listener 1')), 'waiting', 'and shows');
$server->node->stop;

done_testing();
