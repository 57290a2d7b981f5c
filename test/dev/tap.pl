# tap.pl [--jobs=N] [--limit=SECONDS] FILE PROGRAM... [-- PROGRAM...]: run TAP programs as
# prove does, N at a time (1), and then those behind "--" one at a time. Write how many of
# their tests passed and failed to FILE. Programs not named *.pl are executed.
#
# Each program has a harness in a process of its own: when it bails out, dies or hangs, it
# has failed, and the others still run. What it prints is shown as a whole when it ends. A
# program that takes longer than the limit (1800) is ended.

use strict;
use warnings;

use File::Spec;
use File::Temp qw(tempdir);
use Getopt::Long qw(:config require_order);
use POSIX qw(WNOHANG _exit);
use TAP::Harness;
use TAP::Parser::Aggregator;
use Time::HiRes qw(sleep time);

my ($jobs, $limit) = (1, 1800);

GetOptions('jobs=i' => \$jobs, 'limit=i' => \$limit) or exit 2;
my ($file, @programs) = @ARGV;
my ($dashes) = grep { $programs[$_] eq '--' } 0 .. $#programs;
my @alone = defined $dashes ? splice @programs, $dashes : ();
shift @alone;

my $width = (sort { $b <=> $a } map { length } @programs, @alone)[0];
my $directory = tempdir(CLEANUP => 1);
my %running;    # by the process id of its harness
my ($passed, $failed, $number) = (0, 0, 0);
my @bad;

# Its harness ignores signals, which the program would inherit.
my @default_signals = ($^X, '-e', '$SIG{$_} = "DEFAULT" foreach qw(INT TERM); exec @ARGV; die "could not execute @ARGV: $!"');

# Run a program, print what it comes to, and write how many of its tests passed and failed
# to the file.
sub run_program
{
	my ($program, $counts) = @_;
	my $begin = time;
	my $result = TAP::Parser::Aggregator->new;
	my $harness = TAP::Harness->new(
		{
			verbosity => -2,
			exec => sub { [ @default_signals, $_[1] =~ /\.pl$/ ? $^X : (), $_[1] ] }
		});
	my $trouble = 0;

	$result->start;
	unless (eval { $harness->aggregate_tests($result, $program); 1 })
	{
		print "$program: $@";
		$trouble++ unless eval { $result->parsers($program) };
	}
	$result->stop;
	$trouble += $result->failed;

	# A program that died or did not keep its plan is a failed test of its own.
	foreach my $parser ($result->parsers($result->descriptions))
	{
		$trouble++ if $parser->has_problems && !$parser->failed;
	}
	my $good = $result->passed - $result->skipped;

	$harness->summary($result) if $trouble;
	printf "%-*s  %s %5d tests %6.1f s%s\n", $width, $program, $trouble ? 'FAILED' : 'ok    ', $good + $trouble,
	  time - $begin, skipped($result);
	open my $out, '>', $counts or die "could not create $counts: $!";
	print $out "$good $trouble\n";
	close $out or die "could not write $counts: $!";
	return;
}

# What to say of tests that were skipped
sub skipped
{
	my ($result) = @_;
	my @reasons = map { $_->skip_all || () } $result->parsers($result->descriptions);

	return @reasons ? ", skipped: @reasons" : $result->skipped ? ', ' . $result->skipped . ' skipped' : '';
}

sub start
{
	my ($program) = @_;
	my $output = "$directory/" . ++$number;

	STDOUT->flush;
	my $pid = fork;
	die "could not fork: $!" unless defined $pid;
	if ($pid == 0)
	{
		# A signal is for the program, whose end the harness reports. A process group of its own
		# may not read from the terminal.
		setpgrp;
		$SIG{INT} = $SIG{TERM} = 'IGNORE';
		open STDIN, '<', File::Spec->devnull or die "could not open the null device: $!";
		open STDOUT, '>', $output or die "could not create $output: $!";
		open STDERR, '>&', \*STDOUT or die "could not copy a descriptor: $!";
		$_->autoflush(1) foreach \*STDOUT, \*STDERR;
		eval { run_program($program, "$output.counts"); 1 } or print $@;
		STDOUT->flush;
		_exit(0);
	}
	$running{$pid} = { program => $program, output => $output, end => time + $limit };
	return;
}

# End programs with all that they started, first by a signal upon which they clean up.
sub end_processes
{
	my (@pids) = @_;

	kill 'TERM', map { -$_ } @pids;
	for (1 .. 300)
	{
		waitpid $_, WNOHANG foreach @pids;
		last unless grep { kill 0, -$_ } @pids;
		sleep 0.1;
	}
	kill 'KILL', map { -$_ } @pids;
	return;
}

# Show what a program printed, and add up what it came to.
sub finish
{
	my ($pid) = @_;
	my $job = delete $running{$pid};
	my ($good, $trouble) = (0, 1);

	open my $output, '<', $job->{output} or die "could not open $job->{output}: $!";
	print while <$output>;
	if (open my $counts, '<', "$job->{output}.counts")
	{
		($good, $trouble) = split ' ', <$counts>;
	}
	else
	{
		print "$job->{program}: the harness broke off\n";
	}
	if ($job->{late})
	{
		print "$job->{program}: ended after $limit seconds\n";
		$trouble ||= 1;
	}
	STDOUT->flush;
	$passed += $good;
	$failed += $trouble;
	push @bad, $job->{program} if $trouble;
	return;
}

# Run programs, so many at a time, in this order.
sub run_programs
{
	my ($at_a_time, @waiting) = @_;

	while (@waiting || %running)
	{
		start(shift @waiting) while @waiting && keys %running < $at_a_time;
		my $pid = waitpid -1, WNOHANG;

		finish($pid) if $pid > 0 && $running{$pid};
		foreach my $late (grep { time > $running{$_}{end} } keys %running)
		{
			$running{$late}{late} = 1;
			end_processes($late);
			finish($late);
		}
		sleep 0.02 if $pid <= 0;
	}
	return;
}

$SIG{INT} = $SIG{TERM} = sub {
	end_processes(keys %running);
	exit 1;
};
run_programs($jobs, @programs);
run_programs(1, @alone);
print "failed: @bad\n" if @bad;

open my $counts, '>', $file or die "could not create $file: $!";
print $counts "$passed $failed\n";
close $counts or die "could not write $file: $!";
exit($failed ? 1 : 0);
