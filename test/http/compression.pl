# Bodies may come compressed, in chunks, and after 100 Continue, and are stored like plain ones.
# The size limit counts the decompressed bytes. A body that is not what its Content-Encoding says
# is refused.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use Compress::Zlib ();
use FastIngest;
use IPC::Run ();
use PostgreSQL::Test::Utils;
use Test::More;

my $limit = 64 * 1024;
my $server = FastIngest->new('encodings', conf => "fast_ingest.max_body_size = '64kB'");
my $n = 0;

sub zstd
{
	my ($bytes) = @_;

	IPC::Run::run([ 'zstd', '-q', '-c' ], '<', \$bytes, '>', \my $compressed) or die 'zstd failed';
	return $compressed;
}

sub raw_deflate
{
	my ($bytes) = @_;
	my ($deflater) = Compress::Zlib::deflateInit(-WindowBits => -15);

	return $deflater->deflate($bytes) . $deflater->flush;
}

my %encode = (
	gzip => \&Compress::Zlib::memGzip,
	'x-gzip' => \&Compress::Zlib::memGzip,
	deflate => \&Compress::Zlib::compress,
	Deflate => \&raw_deflate,
	zstd => \&zstd,
	identity => sub { return $_[0] });

sub post
{
	my ($path, $encoding, $body, %opt) = @_;

	return $server->post($path, $body, headers => [ 'Content-Encoding', $encoding ], %opt);
}

# Add blanks up to a length.
sub of_length
{
	my ($body, $length) = @_;

	return $body . ' ' x ($length - length $body);
}

foreach my $encoding (sort keys %encode)
{
	my $encode = $encode{$encoding};
	my @events = map { event(++$n, metadata => { text => 'x' x 100 }) } 1 .. 50;
	my $whole = of_length(encode_json(event(++$n)), $limit);

	is(post('/events', $encoding, $encode->(encode_json(event(++$n))))->{status},
		202, "$encoding: an event");
	is(post('/events/bulk', $encoding, $encode->(encode_json(\@events)))->{json}{accepted},
		50, "$encoding: a bulk");
	is( post('/events/bulk', $encoding, $encode->(join "\n", map { encode_json(event(++$n)) } 1 .. 3),
			type => 'application/x-ndjson')->{json}{accepted},
		3, "$encoding: NDJSON");
	is(post('/events', $encoding, $encode->($whole))->{status}, 202, "$encoding: as much as may be");
	is_error(post('/events', $encoding, $encode->("$whole ")),
		413, qr/64 kB \(fast_ingest\.max_body_size\)/, "$encoding: a byte more");

	# every byte in a chunk of its own
	my $bytes = $encode->(encode_json(event(++$n)));
	my $connection = $server->connect;

	$connection->send(
		http_message(
			'POST', '/events',
			type => 'application/json',
			headers => [ 'Content-Type', 'application/json', 'Transfer-Encoding', 'chunked',
				'Content-Encoding', $encoding ])
		  . join('', map { "1\r\n$_\r\n" } split //, $bytes)
		  . "0\r\n\r\n");
	is($connection->read_answer->{status}, 202, "$encoding: byte by byte");

	$connection = $server->connect;
	$bytes = $encode->(encode_json(event(++$n)));
	$connection->send("POST /events HTTP/1.1\r\nHost: x\r\nContent-Encoding: $encoding\r\n"
		  . "Expect: 100-continue\r\nContent-Length: "
		  . length($bytes)
		  . "\r\n\r\n");
	is($connection->read_answer->{status}, 100, "$encoding: go on");
	$connection->send($bytes);
	is($connection->read_answer->{status}, 202, "$encoding: after 100 Continue");
	next if $encoding eq 'identity';

	$bytes = $encode->(encode_json(event(++$n, tags => [ map { "tag $_" } 1 .. 100 ])));
	is_error(post('/events', $encoding, substr $bytes, 0, -1),
		400, qr/"$encoding"/, "$encoding: the last byte is missing");
	is_error(post('/events', $encoding, substr $bytes, 0, 1), 400, qr/"$encoding"/, "$encoding: the first byte");
	is_error(post('/events', $encoding, "$bytes#"), 400, qr/"$encoding"/, "$encoding: a byte too many");
	is_error(post('/events', $encoding, "\xff" x 100), 400, qr/"$encoding"/, "$encoding: none of it");
	is_error(post('/events', $encoding, ''), 400, qr/body is empty/, "$encoding: no body");

	# a bomb: a thousand times its size, then again and again
	my $bomb = $encode->(' ' x 40_000_000);
	my $before = FastIngest::memory_of($server->worker_pid('listener'), 'RssAnon');

	is_error(post('/events', $encoding, $bomb), 413, qr/max_body_size/, "$encoding: a bomb")
	  foreach 1 .. 3;
	cmp_ok(FastIngest::memory_of($server->worker_pid('listener'), 'RssAnon'),
		'<', $before + 16 * 1024, "$encoding: of which the listener keeps nothing");
}

# Two compressed streams in one body are read as one text.
is( post('/events/bulk', 'gzip',
		join('', map { Compress::Zlib::memGzip($_) } '[', encode_json(event(++$n)), ']'))->{json}{accepted},
	1, 'gzip: members');
is( post('/events/bulk', 'zstd', join('', map { zstd($_) } '[', encode_json(event(++$n)), ']'))->{json}
	  {accepted},
	1, 'zstd: frames');

is(post('/events', '', encode_json(event(++$n)))->{status}, 202, 'an empty one is none');

foreach my $encoding ('br', 'gzip, zstd', 'gzip,gzip', 'gzipped')
{
	is_error(post('/events', $encoding, '{}'), 415, qr/expected gzip, deflate, zstd or identity/,
		"not supported: '$encoding'");
}

my $expected = $server->status->{accepted};
is($server->count, $expected, 'every event is stored');
is($server->sql('SELECT count(*) FROM fast_ingest.dead_letters'), 0, 'no dead letters');
$server->books_balance;
$server->node->stop;

done_testing();
