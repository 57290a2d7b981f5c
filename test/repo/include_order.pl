# The folders of src/ include each other in one order, without circles, and stay small; and
# the check that says so names what breaks each of its rules.

use strict;
use warnings;

use FindBin;

use PostgreSQL::Test::Utils;
use Test::More;

chdir "$FindBin::RealBin/../.." or die "could not go to the top of the tree: $!";

# Exit code and lines of output of the check of a copy of src/
sub check
{
	my ($src) = @_;
	my $output = '';

	IPC::Run::run([ 'perl', 'test/dev/check_includes.pl', $src ], '>', \$output, '2>&1');
	return ($? >> 8, split /\n/, $output);
}

my ($status, @lines) = check('src');

is($status, 0, 'src/ keeps to the order of includes') or diag(join "\n", @lines);

my %known = map { $_ => 1 } @lines;

# Add text to files of a copy of src/, and expect the one line that the check says then
sub names_breach
{
	my ($rule, $expected, %added) = @_;
	my $copy = PostgreSQL::Test::Utils::tempdir();
	my ($status, @new);

	system_or_bail('cp', '-R', 'src/.', $copy);
	foreach my $file (sort keys %added)
	{
		system_or_bail('mkdir', '-p', "$copy/$1") if $file =~ m{(.*)/};
		append_to_file("$copy/$file", $added{$file});
	}
	($status, @new) = check($copy);
	s/^\Q$copy\E/src/ foreach @new;
	@new = grep { !$known{$_} } @new;
	isnt($status, 0, "$rule: the check fails");
	is(scalar @new, 1, "$rule: it complains once") or diag(join "\n", @new);
	like($new[0] // '', $expected, "$rule: it says where, and what is wrong");
	return;
}

my $seed_lines = () = slurp_file('src/base/seed.h') =~ /\n/g;
my $line = $seed_lines + 1;

names_breach(
	'an include of a folder below',
	qr{^src/base/seed\.h:$line: includes "maintain/below\.h", but maintain/ stands below base/$},
	'base/seed.h' => qq{#include "maintain/below.h"\n},
	'maintain/below.h' => "\n");
names_breach(
	'a circle in one folder',
	qr{^src/base/\w+\.h:\d+: closes the circle base/(?:clock -> base/seed -> base/clock|seed -> base/clock -> base/seed)$},
	'base/seed.h' => qq{#include "base/clock.h"\n},
	'base/clock.h' => qq{#include "base/seed.h"\n});
names_breach(
	'an include by a relative name',
	qr{^src/base/seed\.h:$line: includes "\.\./worker/worker\.h", which is to be named from src/ on$},
	'base/seed.h' => qq{#include "../worker/worker.h"\n});
names_breach(
	'a long file',
	qr{^src/base/seed\.h: has @{[$seed_lines + 500]} lines, more than 500$},
	'base/seed.h' => "\n" x 500);
names_breach(
	'a folder with many modules',
	qr{^src/maintain: has \d+ modules, more than 12$},
	map { ("maintain/module_$_.c" => "\n") } 1 .. 12);
names_breach(
	'a folder without a place in the order',
	qr{^src/elsewhere/x\.c: its folder is not in the list of test/dev/check_includes\.pl$},
	'elsewhere/x.c' => "\n");

done_testing();
