# check_includes.pl [SRC]: the order of the folders of src/. A file may include files of its
# own folder and of folders above it in the list. No module may lead back to itself. A folder
# has at most MAX_MODULES modules, a file at most MAX_LINES lines. Prints each breach with its
# place and rule; the exit status is 1 if there is one.

use strict;
use warnings;

use File::Basename;
use File::Find;

use constant MAX_MODULES => 12;
use constant MAX_LINES => 500;

my @folders = qw(
  base
  db
  shared/types
  shared
  worker
  event
  auth
  partition
  rollup/users
  rollup/sets
  rollup/breakdown
  rollup/delta
  rollup/state
  rollup/refresh
  rollup/changes
  rollup/calendar
  rollup/metrics
  rollup/questions
  query/parameters
  query/answers
  query/export
  query/operation
  query
  flush
  stream
  stream/wire
  stream/sink
  stream/clickhouse
  stream/decode
  stream/backfill
  stream/run
  http/server
  http/listen
  http/admit
  http/answer
  http/pages
  http/export
  http
  maintain
);
my %place = map { $folders[$_] => $_ } 0 .. $#folders;
my $breaches = 0;

sub breach
{
	print @_, "\n";
	$breaches++;
}

my $src = $ARGV[0] // 'src';
my @files;
find({ no_chdir => 1, wanted => sub { push @files, s{^\Q$src\E/}{}r if /\.[ch]$/ } }, $src);
@files = sort @files;

# A .c and a .h of one name are one module, and so is what several .c share in private
sub module_of
{
	return $_[0] =~ s/(?:_private)?\.[ch]$//r;
}
my (%modules, %leads_to);
foreach my $file (@files)
{
	my $folder = dirname($file);
	my $module = module_of($file);

	# it loads everything
	next if $file eq 'fast_ingest.c';
	if (!exists $place{$folder})
	{
		breach("$src/$file: its folder is not in the list of test/dev/check_includes.pl");
		next;
	}
	$modules{$folder}{$module} = 1;

	open my $in, '<', "$src/$file" or die "could not open $src/$file: $!";
	while (my $line = <$in>)
	{
		my ($included) = $line =~ /^\s*#\s*include\s+"([^"]+)"/ or next;
		my $from = dirname($included);

		if (-f dirname("$src/$file") . "/$included")
		{
			breach("$src/$file:$.: includes \"$included\", which is to be named from src/ on");
			next;
		}
		# PostgreSQL's
		next unless -f "$src/$included";
		$leads_to{$module}{ module_of($included) } //= "$src/$file:$.";
		breach("$src/$file:$.: includes \"$included\", but $from/ stands below $folder/")
		  if !exists $place{$from} || $place{$from} > $place{$folder};
	}
	breach("$src/$file: has $. lines, more than @{[MAX_LINES]}") if $. > MAX_LINES;
	close $in;
}

foreach my $folder (@folders)
{
	my $n = keys %{ $modules{$folder} };

	breach("$src/$folder: has $n modules, more than @{[MAX_MODULES]}") if $n > MAX_MODULES;
}

# visit(MODULE, PATH...): report a way that leads back to a module on it
my %visited;
sub visit
{
	my ($module, @path) = @_;

	if (grep { $_ eq $module } @path)
	{
		shift @path while $path[0] ne $module;
		breach("$leads_to{$path[-1]}{$module}: closes the circle ", join(' -> ', @path, $module));
		return;
	}
	return if $visited{$module}++;
	foreach my $next (sort keys %{ $leads_to{$module} })
	{
		visit($next, @path, $module) unless $next eq $module;
	}
}
visit($_) foreach sort keys %leads_to;

print scalar(@files), " files in ", scalar(keys %modules), " folders keep to the order of includes\n" unless $breaches;
exit($breaches ? 1 : 0);
