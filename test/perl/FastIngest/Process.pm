# The processes of a server: which there are, what they use, and stopping them.

package FastIngest::Process;

use strict;
use warnings;

use Exporter 'import';
use FastIngest::Wait;
use POSIX ();
use PostgreSQL::Test::Utils;
use Time::HiRes qw(usleep);

our @EXPORT = qw(is_running memory_of record_peak_memory cpu_time);

my $test_pid = $$;
my %stopped_processes;

# Does the process run? One that was not reaped yet (state Z) does not.
sub is_running
{
	my ($pid) = @_;

	return 0 unless kill 0, $pid;
	open my $stat, '<', "/proc/$pid/stat" or return kill 0, $pid;
	return <$stat> !~ /\) Z /;
}

# A line of the process's /proc/<pid>/status, in kB
sub memory_of
{
	my ($pid, $what) = @_;
	my ($kb) = PostgreSQL::Test::Utils::slurp_file("/proc/$pid/status") =~ /^$what:\s*(\d+) kB/m;

	return $kb;
}

# Start a process that records the largest RssAnon of a process, in kB, in a file, for as long as
# both live. Returns the file.
sub record_peak_memory
{
	my ($pid) = @_;
	my $file = PostgreSQL::Test::Utils::tempdir() . "/$pid";
	my $max = 0;

	append_to_file($file, '');
	return $file if fork;
	while (kill 0, $pid)
	{
		my $now = eval { memory_of($pid, 'RssAnon') } // 0;

		if ($now > $max)
		{
			$max = $now;
			open my $out, '>', $file;
			print $out $max;
			close $out;
		}
		usleep(5_000);
		last if getppid() == 1;
	}
	POSIX::_exit(0);
}

# Seconds of processor time that a process has used.
sub cpu_time
{
	my ($pid) = @_;
	my ($user, $system) = (split / /,
		PostgreSQL::Test::Utils::slurp_file("/proc/$pid/stat") =~ s/^.*\) //sr)[ 11, 12 ];

	return ($user + $system) / POSIX::sysconf(&POSIX::_SC_CLK_TCK);
}

# The connections that the listener shows in pg_stat_activity, which it updates at most once a
# second
sub open_connections
{
	my ($self) = @_;

	return $self->sql("SELECT substring(query from '(\\d+) connections') FROM pg_stat_activity"
		  . " WHERE backend_type = 'fast_ingest listener'");
}

# The pid of a worker ('listener', 'flusher', 'query' ...); empty when there is none.
sub worker_pid
{
	my ($self, $which, $database) = @_;

	return $self->sql(
		'SELECT pid FROM pg_stat_activity'
		  . " WHERE backend_type = 'fast_ingest $which'",
		$database);
}

# The worker's pid, once there is one.
sub any_worker_pid
{
	my ($self, $which) = @_;

	return $self->wait_for_other_pid($which, '');
}

# Wait until the worker has another pid than this, and return it; undef when it never has.
sub wait_for_other_pid
{
	my ($self, $which, $old_pid) = @_;
	my $pid;

	return wait_until(
		sub {
			$pid = eval { $self->worker_pid($which) };
			return defined $pid && $pid ne '' && $pid ne $old_pid;
		}) ? $pid : undef;
}

# SIGSTOP a process until resume(). END resumes it in any case.
sub pause
{
	my ($self, $pid) = @_;

	kill 'STOP', $pid or die "could not stop process $pid: $!";
	$stopped_processes{$pid} = 1;
	return;
}

sub resume
{
	my ($self, $pid) = @_;

	delete $stopped_processes{$pid};
	kill 'CONT', $pid;
	return;
}

END
{
	my $exit_code = $?;

	if ($$ == $test_pid)
	{
		kill 'CONT', $_ foreach keys %stopped_processes;
	}
	$? = $exit_code;
}

1;
