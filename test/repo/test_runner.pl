# The runner of the TAP programs (test/dev/tap.pl) counts every check, and a program that
# fails, dies, bails out, breaks its plan or hangs is a failed one that stops no other. No two
# programs have the same name.

use strict;
use warnings;

use File::Basename;
use FindBin;
use PostgreSQL::Test::Utils;
use Test::More;

my $runner = "$FindBin::RealBin/../dev/tap.pl";
my $directory = PostgreSQL::Test::Utils::tempdir();

# Write a test program; returns its path.
sub program
{
	my ($name, $text) = @_;

	append_to_file("$directory/$name.pl", "use Test::More;\n$text\n");
	return "$directory/$name.pl";
}

# Run programs: the exit status, the counts and the output.
sub run_tap
{
	my (@arguments) = @_;
	my @options = grep { /^--./ } @arguments;
	my @programs = grep { !/^--./ } @arguments;
	my $output = '';

	IPC::Run::run([ $^X, $runner, @options, "$directory/counts", @programs ], '>', \$output, '2>&1');
	return ($? >> 8, slurp_file("$directory/counts"), $output);
}

my $good = program('good', 'ok(1, "check $_") foreach 1 .. 3; done_testing();');
my $skips = program('skips', 'ok(1); SKIP: { skip "not here", 2 } done_testing();');
my $all_skipped = program('all_skipped', 'plan skip_all => "no such thing";');

my ($status, $counts, $output) = run_tap('--jobs=3', $good, $skips, $all_skipped);
is("$status: $counts", "0: 4 0\n", 'checks that were skipped are not counted');
like($output, qr/^\S+good\.pl +ok +3 tests +\d+\.\d s$/m, 'a line for each program');
like($output, qr/skips\.pl +ok .*, 2 skipped$/m, 'which says how many checks were skipped');
like($output, qr/all_skipped\.pl +ok .*, skipped: no such thing$/m, 'and why');

# Each of them is one failed check. The good one beside it passes.
foreach my $case (
	[ 'fails', 'ok(1); ok(0, "the promise"); done_testing();', '1', qr/Failed test 'the promise'/ ],
	[ 'dies', 'ok(1); die "oh no\n";', '1', qr/^oh no$/m ],
	[ 'is_killed', 'ok(1); kill KILL => $$; sleep 10;', '1', qr/Non-zero wait status: 9/ ],
	[ 'bails_out', 'ok(1); BAIL_OUT("no server");', '1', qr/stopped: +no server/ ],
	[ 'breaks_its_plan', 'plan tests => 2; ok(1);', '1', qr/planned 2 tests but ran 1/ ],
	[ 'has_no_check', 'exit 0;', '0', qr/No plan found/ ],
	[ 'exits_with_3', 'ok(1); done_testing(); exit 3;', '1', qr/Non-zero exit status: 3/ ],
	[ 'hangs', 'ok(1); END { diag("cleaned up") } $SIG{TERM} = sub { die "told to stop" }; sleep 600;', '1', qr/cleaned up.*ended after 10 seconds/s ],
	[ 'hangs_and_passes', 'ok(1); $SIG{TERM} = sub { done_testing(); exit 0 }; sleep 600;', '1', qr/ended after 10 seconds/ ])
{
	my ($name, $text, $passed, $pattern) = @$case;
	my $path = program($name, $text);

	($status, $counts, $output) = run_tap('--jobs=2', $name =~ /^hangs/ ? ('--limit=10', $path) : ($path, $good));
	is("$status: $counts", '1: ' . ($passed + ($name =~ /^hangs/ ? 0 : 3)) . " 1\n", "a program that $name is a failed check, and no other");
	like($output, $pattern, "a program that $name: what it printed is shown");
	like($output, qr/^failed: \S+$name\.pl$/m, "a program that $name is named at the end");
}

# Two at a time, each of which waits for the other, and then one that is alone.

sub meets
{
	my ($name, $other) = @_;

	return program($name, <<"EOP");
use Time::HiRes;
open my \$file, '>', "$directory/$name.begun";
Time::HiRes::sleep(0.02) until -e "$directory/$other.begun";
ok(1);
open \$file, '>', "$directory/$name.ended";
done_testing();
EOP
}

my @pair = (meets('one', 'two'), meets('two', 'one'));
my $alone = program('alone', "is(scalar(() = glob '$directory/*.ended'), 2); done_testing();");

($status, $counts, $output) = run_tap('--jobs=2', @pair, '--', $alone);
is("$status: $counts", "0: 3 0\n", 'two run side by side, and the one behind "--" after them') or diag($output);

# PostgreSQL::Test names directories after the program, without its folder.
my %programs;
push @{ $programs{ basename($_) } }, $_ foreach glob "$FindBin::RealBin/../*/*.pl";
is(join(' ', map { @$_ } grep { @$_ > 1 } values %programs), '', 'no two programs have the same name');

done_testing();
