# tap.pl FILE PROGRAM...: run TAP programs as prove does, and write how many of
# their tests passed and failed to FILE. Programs not named *.pl are executed.

use strict;
use warnings;

use TAP::Harness;
use TAP::Parser::Aggregator;

my ($file, @programs) = @ARGV;
my $harness = TAP::Harness->new(
	{
		timer => 1,
		exec => sub { $_[1] =~ /\.pl$/ ? undef : [ $_[1] ] }
	});
my $result = TAP::Parser::Aggregator->new;
my $failed = 0;

# One at a time: a program that bails out is one that failed, and the others still run
$result->start;
foreach my $program (@programs)
{
	next if eval { $harness->aggregate_tests($result, $program); 1 };
	print "$program: $@";
	$failed++ unless eval { $result->parsers($program) };
}
$result->stop;
$harness->formatter->prepare(@programs);
$harness->summary($result);

$failed += $result->failed;

# A program that died or did not keep its plan is a failed test of its own
foreach my $parser ($result->parsers($result->descriptions))
{
	$failed++ if $parser->has_problems && !$parser->failed;
}

open my $counts, '>', $file or die "could not create $file: $!";
print $counts $result->passed - $result->skipped, " $failed\n";
close $counts;
exit($failed ? 1 : 0);
