# bundle.pl DIRECTORY FILE...: make of files of web/ what the listener serves, in a directory. For
# FILE.html or FILE.json:
#
#   FILE        the page with its stylesheets and scripts in it
#   FILE.gz     the same, compressed
#   FILE.csp    of a page: its Content-Security-Policy, which allows only these and no others
#   FILE.etag   its entity tag. It is written last
#
# A page names its files by <link rel="stylesheet" href="..."> and <script src="..."></script>,
# each alone on its line. All scripts together become one function, in the place of the last one:
# they share their names, and leave none to the window. esbuild makes them short, where it is
# installed; without it, the pages do the same and are larger.

use strict;
use warnings;

use Digest::SHA qw(sha256_base64 sha256_hex);
use File::Basename;

# What keeps everything out that the page does not bring along. frame-ancestors: only pages of this
# server may show it in a frame. Trusted types: no script can turn a text into markup.
my $policy = "default-src 'none'; script-src 'sha256-%s'; style-src 'sha256-%s'; connect-src 'self'; img-src data:; "
  . "base-uri 'none'; form-action 'none'; frame-ancestors 'self'; require-trusted-types-for 'script'; trusted-types 'none'";

sub slurp
{
	my ($file) = @_;

	open my $in, '<:raw', $file or die "could not open $file: $!\n";
	local $/;
	return scalar <$in>;
}

sub write_file
{
	my ($file, $text) = @_;

	open my $out, '>:raw', $file or die "could not create $file: $!\n";
	print {$out} $text;
	close $out or die "could not write $file: $!\n";
	return;
}

# As in Content-Security-Policy: Digest::SHA leaves out what base64 ends with
sub hash_of
{
	return sha256_base64($_[0]) . '=';
}

# A file that a page names
sub part_of
{
	my ($page, $name) = @_;
	my $text = slurp(dirname($page) . "/$name");

	die "$page: $name has markup that would end it\n" if $text =~ m{</(?:script|style)|<!--}i;
	return $text;
}

# Without comments and blanks, and with short names. The type is js or css; the file is for the time
# being
sub minify
{
	my ($type, $text, $file) = @_;
	my $short;

	return $text unless grep { -x "$_/esbuild" } split /:/, $ENV{PATH};
	write_file($file, $text);
	$short = qx(esbuild --minify --charset=utf8 --loader=$type <'$file');
	die "esbuild refused the $type of $file\n" if $? != 0;
	unlink $file;
	return $short;
}

# The page with its files in it, and its policy
sub bundle
{
	my ($page, $made) = @_;
	my $html = slurp($page);
	my @styles = $html =~ /^<link rel="stylesheet" href="([^"]+)">\n/mg;
	my @scripts = $html =~ m{^<script src="([^"]+)"></script>\n}mg;
	my $style = minify('css', join('', map { part_of($page, $_) } @styles), "$made.css");
	my $script = minify('js', join('', "\n(() => {\n'use strict';\n\n", map({ part_of($page, $_) . "\n" } @scripts), "})();\n"), "$made.js");

	die "$page: expected at least one stylesheet and one script, each in a line of its own\n" unless @styles && @scripts;
	$html =~ s{^<link rel="stylesheet" href="\Q$styles[0]\E">\n}{<style></style>\n}m;
	$html =~ s{^<link rel="stylesheet" href="[^"]+">\n}{}mg;
	$html =~ s{^<script src="\Q$scripts[-1]\E"></script>\n}{<script></script>\n}m;
	$html =~ s{^<script src="[^"]+"></script>\n}{}mg;
	die "$page: its policy would not allow $1\n"
	  if $html =~ s{<(?:script|style)></(?:script|style)>}{}gr =~ m{(<(?:script|style|link rel="stylesheet")\b[^>]*>|<[^>]*\s(?:style|on\w+)=[^>]*>)};
	$html =~ s{<style>}{<style>$style};
	$html =~ s{<script>}{<script>$script};
	return ($html, sprintf $policy, hash_of($script), hash_of($style));
}

my ($directory, @files) = @ARGV;
foreach my $file (@files)
{
	my $made = "$directory/" . basename($file);
	my ($text, $csp) = $file =~ /\.html\z/ ? bundle($file, $made) : slurp($file);

	write_file($made, $text);
	write_file("$made.csp", $csp) if defined $csp;
	system("gzip -9nc '$made' >'$made.gz'") == 0 or die "could not compress $made\n";
	# weak: the compressed one has the same
	write_file("$made.etag", 'W/"' . substr(sha256_hex($text), 0, 32) . '"');
}
