# The pages lead somewhere: each link, anchor and file that README.md and doc/ name exists, each
# page can be found and is run as a test, and doc/reference-http.md has the routes and codes of
# the API's description.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use FastIngest::Doc;
use File::Basename qw(dirname);
use File::Spec;
use JSON::PP ();
use PostgreSQL::Test::Utils;
use Test::More;

my $top = top_directory();
my @pages = doc_pages();

# A page without its blocks and comments, in which nothing is a link or a heading
sub prose_of
{
	my ($page) = @_;

	return page_text($page) =~ s/^\s*```.*?^\s*```$//msgr =~ s/<!--.*?-->//sgr;
}

# The anchors that headings of a page have, as GitHub makes them
sub anchors_of
{
	my ($page) = @_;
	my (%anchors, %seen);

	foreach my $heading (prose_of($page) =~ /^#+ +(.+?) *$/mg)
	{
		my $anchor = lc($heading) =~ s/`|\[([^\]]*)\]\([^)]*\)/defined $1 ? $1 : ''/egr =~ s/[^\w\- ]//gr =~ tr/ /-/r;

		$anchor .= "-$seen{$anchor}" if $seen{$anchor}++;
		$anchors{$anchor} = 1;
	}
	return \%anchors;
}

# What does not exist of the links of a page
sub broken_links
{
	my ($page) = @_;
	my @broken;

	foreach my $link (prose_of($page) =~ /\]\(([^)\s]+)\)/g)
	{
		my ($path, $anchor) = $link =~ /^([^#]*)(?:#(.*))?$/;

		next if $path =~ /^https?:/;
		my $target = $path eq '' ? $page : File::Spec->canonpath(dirname($page) . "/$path");
		1 while $target =~ s{[^/]+/\.\./}{};
		push @broken, $link
		  if !-e "$top/$target" || defined $anchor && !($target =~ /\.md$/ && anchors_of($target)->{$anchor});
	}
	return @broken;
}

# What does not exist of the files that a page names in backticks; make docker-up makes one of them
sub missing_files
{
	my ($page) = @_;

	return grep { my @found = glob "$top/$_"; !@found || !-e $found[0] } grep { $_ ne 'docker/settings.env' }
	  prose_of($page) =~ m{`((?:src|test|sql|expected|docker|doc)/[\w./*-]+)`}g;
}

foreach my $page (@pages)
{
	is(join(' ', broken_links($page)), '', "$page: links");
	is(join(' ', missing_files($page)), '', "$page: files");
	next if $page eq 'README.md';
	like(page_text($page), qr/\A# .+\n\nFor (?:who|every)/, "$page: begins with who it is for");
	like(page_text($page), qr/\n(?:Next: |If the cause is not here: )[^\n]*\]\([^\n]*(?:\n[^\n]+)?\n\z/, "$page: ends with where to go next");
}

# What a developer is told to look for is somewhere
my $code = join '', map { slurp_file($_) } glob("$top/{Makefile,META.json,fast_ingest.control,sql/fast_ingest.sql,test/dev/*.sh}"),
  map { glob "$top/$_*.[ch]" } 'src/', 'src/*/', 'src/*/*/';
foreach my $page ('doc/internals.md', 'doc/contributing.md')
{
	is(join(' ', grep { !/^(?:[A-Z]+|SIG\w+|pg_\w+)\z/ && $code !~ /\b\Q$_\E\b/ } prose_of($page) =~ /`(\w*[A-Z_]\w*)`/g),
		'', "$page: names in the code");
}

# The messages that doc/troubleshoot.md explains are the code's, or PostgreSQL's. A page writes
# ... where a message has a value.
my $postgresql = join '|', 'too many background workers', 'Address already in use', 'must be owner of table', '[Pp]ermission denied',
  'date/time field value out of range', 'function \w+\(.*\) does not exist', 'no partition of relation', 'could not find function', 'cannot collect transition tuples';

# Literals that were written in several pieces as one
my $messages = join '', map { slurp_file($_) =~ s/\\"/"/gr =~ s/"\s*\n\s*"//gr }
  glob "$top/{src/*/*.[ch],src/*/*/*.[ch],sql/fast_ingest.sql}";

sub unknown_messages
{
	my @symptoms = map { (split / \| /)[0] } page_text('doc/troubleshoot.md') =~ /^\| (.*) \|$/mg;
	my @parts = map { split / *\.\.\. */ } grep { / / && !/$postgresql/ } map { /`([^`]+)`/g } @symptoms;

	return grep { index($messages, $_) < 0 } @parts;
}

is(join("\n", unknown_messages()), '', 'doc/troubleshoot.md explains messages that there are');

# Each alert has its cause and cure
is(join(' ', page_text('doc/troubleshoot.md') =~ /^## Alerts\n(.*?)^If /ms ? $1 =~ /^\| `(\w+)` \|/mg : ()),
	join(' ', page_text('doc/monitor.md') =~ /- alert: (\w+)/g),
	'doc/troubleshoot.md explains every alert of doc/monitor.md');

my $readme = page_text('README.md');

cmp_ok($readme =~ tr/\n//, '<=', 300, 'README.md has at most 300 lines');
is(join(' ', grep { $_ ne 'README.md' && index($readme, "]($_)") < 0 } @pages), '', 'README.md leads to every page');

my $programs = join '', map { slurp_file($_) } glob "$top/test/repo/doc_*.pl";
is(join(' ', grep { my $name = s{.*/|\.md$}{}gr; $programs !~ /run_pages\([^;]*\b\Q$name\E\b/ } @pages),
	'', 'the commands of every page are run');

# The API

my $api = JSON::PP->new->utf8->decode(slurp_file("$top/web/openapi.json"));
my (%described, %documented, %codes);

foreach my $path (keys %{ $api->{paths} })
{
	foreach my $method (grep { /^(?:get|post)$/ } keys %{ $api->{paths}{$path} })
	{
		my @codes = sort keys %{ $api->{paths}{$path}{$method}{responses} };

		$described{ uc($method) . " $path" } = join ', ', @codes;
		@codes{@codes} = ();
	}
}

my $reference = page_text('doc/reference-http.md');

$documented{$1} = $2 while $reference =~ m{^\| `((?:GET|POST) /\S*)` \|[^|]*\|[^|]*\| ([\d, ]+) \|$}mg;
is_deeply(\%documented, \%described, 'doc/reference-http.md has the routes and their codes');

my ($table) = $reference =~ /^## Codes\n(.*?)^## /ms;
my %explained = map { $_ => 1 } map { /(\d{3})/g } $table =~ /^\| (\d{3}[^|]*) \|/mg;
is(join(' ', grep { !$explained{$_} } sort keys %codes), '', 'it says what each code means');

done_testing();
