# GET /, /docs and /openapi.json: each is sent once to whoever keeps it, compressed to whoever
# takes it so, and a browser runs nothing in the pages but what the server sent with them.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use Digest::SHA qw(sha256_base64);
use FastIngest;
use IO::Uncompress::Gunzip qw(gunzip $GunzipError);
use PostgreSQL::Test::Utils;
use Test::More;

my $web = "$FindBin::RealBin/../../web";
my $server = FastIngest->new('pages');

sub ask
{
	my ($path, @headers) = @_;

	return $server->get($path, headers => \@headers);
}

sub unzipped
{
	my ($bytes) = @_;
	my $text;

	gunzip(\$bytes => \$text) or die "no gzip: $GunzipError";
	return $text;
}

# What a page consists of: the element's text, which must be the only one of its name
sub only_text
{
	my ($html, $name) = @_;
	my @texts = $html =~ m{<$name\b[^>]*>(.*?)</$name>}gs;

	is(scalar(@texts), 1, "one $name");
	return $texts[0];
}

my %type = ('/' => 'text/html; charset=utf-8', '/docs' => 'text/html; charset=utf-8', '/openapi.json' => 'application/json');
my %etag;

foreach my $path (sort keys %type)
{
	my $answer = ask($path);
	my $headers = $answer->{headers};
	my %same = map { $_ => $headers->{$_} } grep { !/^(?:date|x-request-id|content-length)$/ } keys %$headers;

	is($answer->{status}, 200, "GET $path");
	is($headers->{'content-type'}, $type{$path}, 'its type');
	is($headers->{'content-encoding'}, undef, 'as it is');
	is($headers->{'cache-control'}, 'no-cache', 'a browser asks whether there is another one');
	is($headers->{vary}, 'Accept-Encoding', 'a cache keeps two');
	is($headers->{'x-content-type-options'}, 'nosniff', 'it is what its type says');
	like($etag{$path} = $headers->{etag}, qr{\AW/"[0-9a-f]{32}"\z}, 'it has a tag');

	my $small = ask($path, 'Accept-Encoding', 'gzip, deflate, br, zstd');
	is(unzipped($small->{body}), $answer->{body}, 'compressed: the same');
	cmp_ok(length $small->{body}, '<', length($answer->{body}) / 2, 'and less than half as long');
	my %small_headers = map { $_ => $small->{headers}{$_} } grep { !/^(?:date|x-request-id|content-length)$/ } keys %{ $small->{headers} };
	is_deeply(\%small_headers, { %same, 'content-encoding' => 'gzip' }, 'its head, too, but for the encoding');

	# Over one connection, so that a body too many would show
	my $connection = $server->connect;

	foreach my $encoding ('gzip', 'identity')
	{
		my $full = length(($encoding eq 'gzip' ? $small : $answer)->{body});
		my @accept = ('Accept-Encoding', $encoding);

		$connection->send(http_message('HEAD', $path, headers => \@accept));
		my $head = $connection->read_answer(head => 1);
		is("$head->{status} $head->{headers}{'content-length'}", "200 $full", "HEAD, $encoding: the length");
		is($head->{headers}{etag}, $etag{$path}, 'and the tag');

		foreach my $method ('GET', 'HEAD')
		{
			$connection->send(http_message($method, $path, headers => [ @accept, 'If-None-Match', $etag{$path} ]));
			my $known = $connection->read_answer(head => $method eq 'HEAD');

			is($known->{status}, 304, "$method of one that the client has, $encoding");
			is($known->{headers}{'content-length'} // $full, $full, 'with no other length');
			is_deeply(
				[ @{ $known->{headers} }{qw(etag cache-control vary content-security-policy)} ],
				[ @{$headers}{qw(etag cache-control vary content-security-policy)} ],
				'and what a cache replaces');
		}
	}
	is(ask($path, 'If-None-Match', $_)->{status}, 304, "If-None-Match: $_")
	  foreach '*', $etag{$path} =~ s{W/}{}r, qq("x", $etag{$path}, "y");
	is(ask($path, 'If-None-Match', $_)->{status}, 200, "If-None-Match: $_")
	  foreach '"x"', $etag{$path} =~ s/"//gr, substr($etag{$path}, 0, -2) . '"', '"' x 9, 'W/', "\xff";
	is(ask($path, 'If-None-Match', '"x"', 'If-None-Match', $etag{$path})->{status}, 304, 'the second of two lines');
	is_error($server->request('POST', $path, body => ''), 405, qr/expected GET, HEAD/, "POST $path");
}
isnt($etag{'/'}, $etag{'/docs'}, 'another page has another tag');
is(ask('/openapi.json')->{body}, slurp_file("$web/openapi.json"), '/openapi.json is the file');

# What of Accept-Encoding leads to which form: test/unit/conditions_test.c has more

sub encoding
{
	return ask('/', @_)->{headers}{'content-encoding'} // 'none';
}

is(encoding('Accept-Encoding', $_), 'gzip', "Accept-Encoding: $_") foreach 'GZIP', 'x-gzip', '*', 'br, gzip;q=0.5', "br ,\tgzip ; q=0.001";
is(encoding('Accept-Encoding', $_), 'none', "Accept-Encoding: $_")
  foreach '', 'identity', 'gzip;q=0', '*;q=0', 'gzip;q=0, *', 'identity, gzip;q=0.5', 'gzip;q=7', 'gzipx', "gzip\xff", 'gzip' x 3000;
is(encoding('accept-encoding', 'br', 'ACCEPT-ENCODING', 'gzip'), 'gzip', 'two lines');
is(encoding('Accept-Encoding', 'gzip, ' x 2000 . 'gzip;q=0'), 'none', 'a long one');

# The parameters of the page are no business of the server

is(ask('/?' . $_)->{body}, ask('/')->{body}, "/?$_") foreach 'site=shop.example&period=30d', 'x', 'site=a&site=b&site=', '%3Cscript%3E=1';
is(ask('/?key=' . 'x' x 100)->{status}, 200, 'nor is a key');
is(ask("/$_")->{status}, 404, "/$_ is none") foreach 'index.html', '%2F', '/', 'web/index.html', 'docs/', 'docs.html', 'style.css';

# Content-Security-Policy

foreach my $path ('/', '/docs')
{
	my $answer = ask($path);
	my $html = $answer->{body};
	my %allowed = map { my ($name, @values) = split ' '; ($name => "@values") } split /;/, $answer->{headers}{'content-security-policy'};

	is_deeply(
		\%allowed,
		{
			'default-src' => q('none'),
			'script-src' => "'sha256-" . sha256_base64(only_text($html, 'script')) . "='",
			'style-src' => "'sha256-" . sha256_base64(only_text($html, 'style')) . "='",
			'connect-src' => q('self'),
			'img-src' => 'data:',
			'base-uri' => q('none'),
			'form-action' => q('none'),
			'frame-ancestors' => q('self'),
			'require-trusted-types-for' => q('script'),
			'trusted-types' => q('none')
		},
		"$path: what a browser may do with it");
	is($answer->{headers}{'referrer-policy'}, 'no-referrer', 'it tells nobody where its reader comes from');
	is(ask('/openapi.json')->{headers}{'content-security-policy'}, undef, 'data has no policy');

	# What the policy would stop, and what would come from elsewhere
	unlike($html, qr{<[^>]*\s(?:style|on[a-z]+)=}, 'no style and no code in attributes');
	unlike($html, qr{(?<![.\w])(?:src|href)=(?!"data:|"openapi\.json|"docs"|"\./?"|"#)[^>]|\@import|url\((?!#)|\b(?:innerHTML|outerHTML|insertAdjacentHTML|document\.write)\b|\beval\(|new Function},
		'nothing from elsewhere, nor markup made of text');
	cmp_ok(length $html, '<', 150_000, 'at most 150 kB');
	cmp_ok(length ask($path, 'Accept-Encoding', 'gzip')->{body}, '<', 60_000, 'and 60 kB compressed');
}

# What the build refuses, as a browser would not run it

my $directory = PostgreSQL::Test::Utils::tempdir();

# Make a page; returns what went wrong
sub bundle_error
{
	my (%files) = @_;

	%files = ('s.css' => 'p { color: red }', 's.js' => 'f();', %files);
	append_to_file("$directory/$_", $files{$_}) foreach map { unlink "$directory/$_"; $_ } keys %files;
	my (undef, $error) = run_command([ $^X, "$web/bundle.pl", $directory, "$directory/p.html" ]);
	return $error;
}

mkdir "$directory/out" or die $!;
my $both = qq(<link rel="stylesheet" href="s.css">\n<script src="s.js"></script>\n);
like(bundle_error('p.html' => $_->[0], @$_[ 2 .. $#$_ ]), $_->[1], "a page with $_->[0]")
  foreach [ "<p>\n", qr/expected at least one stylesheet and one script/ ],
  [ "$both<p onclick=\"f()\">", qr/policy would not allow <p onclick=/ ],
  [ "$both<p style=\"color: red\">", qr/policy would not allow <p style=/ ],
  [ "$both<script>f()</script>", qr/policy would not allow <script>/ ],
  [ "$both <script src=\"s.js\"></script>", qr/policy would not allow <script src=/ ],
  [ "$both<style>p {}</style>", qr/policy would not allow <style>/ ],
  [ $both, qr{s\.js has markup that would end it}, 's.js' => 'x = "</script>";' ],
  [ $both, qr{s\.css has markup that would end it}, 's.css' => '/* <!-- */' ],
  [ qq(<link rel="stylesheet" href="none.css">\n$both), qr/could not open .*none\.css/ ];
$server->node->stop;

done_testing();
