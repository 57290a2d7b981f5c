# A PostgreSQL server that runs fast_ingest: its start, its ends, SQL and settings.

package FastIngest::Server;

use strict;
use warnings;

use FastIngest::Process;
use FastIngest::Wait;
use POSIX ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;

my $test_pid = $$;

# END blocks stop the servers, and run only in a program that ends by itself. They must not run in
# its child processes.
$SIG{$_} = sub {
	die "ended by SIG$_[0]\n" if $$ == $test_pid;
	POSIX::_exit(1);
  } foreach qw(INT TERM);

# Options:
# conf		lines for postgresql.conf
# database	fast_ingest.database
# preload => 0	without shared_preload_libraries
# start => 0	only initdb
# extension => 0	started, but without CREATE EXTENSION
# directory	where its data is to be
# initdb		more options of initdb
# install_path	another installation of PostgreSQL
sub new
{
	my ($class, $name, %opt) = @_;
	my $cluster = 'PostgreSQL::Test::Cluster';
	# the new() of PostgreSQL 14 takes options for something else
	my $new = $cluster->can('get_new_node') || $cluster->can('new');
	my $node = $cluster->$new($name, $opt{install_path} ? (install_path => $opt{install_path}) : ());
	my $self = bless {
		node => $node,
		port => PostgreSQL::Test::Cluster::get_free_port(),
		database => $opt{database} || 'postgres'
	}, $class;

	$node->{_basedir} = $opt{directory} if $opt{directory};
	$node->init(extra => [ '--encoding=UTF8', '--locale=C', @{ $opt{initdb} || [] } ]);
	$node->append_conf('postgresql.conf', <<EOC);
shared_buffers = 32MB
log_statement = none
restart_after_crash = on
max_worker_processes = 16
EOC
	$node->append_conf('postgresql.conf', <<EOC)
shared_preload_libraries = 'fast_ingest'
fast_ingest.database = '$self->{database}'
fast_ingest.listen_addresses = '127.0.0.1'
fast_ingest.port = $self->{port}
fast_ingest.max_age = 0
EOC
	  unless defined $opt{preload} && !$opt{preload};
	$node->append_conf('postgresql.conf', $opt{conf}) if $opt{conf};

	return $self if defined $opt{start} && !$opt{start};
	$node->start;
	return $self if defined $opt{extension} && !$opt{extension};
	$self->create_extension;
	return $self;
}

# A standby that streams from it and has a port of its own. Options: conf: lines for
# postgresql.conf. The server needs max_wal_senders.
sub standby
{
	my ($self, $name, %opt) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name);
	my $standby = bless {
		node => $node,
		port => PostgreSQL::Test::Cluster::get_free_port(),
		database => $self->{database}
	}, ref $self;

	$self->node->append_conf('pg_hba.conf', 'local replication all trust');
	$self->node->reload;
	$self->node->backup($name);
	$node->init_from_backup($self->node, $name, has_streaming => 1);
	$node->append_conf('postgresql.conf', "fast_ingest.port = $standby->{port}");
	$node->append_conf('postgresql.conf', $opt{conf}) if $opt{conf};
	$node->start;
	return $standby;
}

sub node { return $_[0]->{node} }
sub port { return $_[0]->{port} }

# The major version of the running PostgreSQL, such as 15. The node of PostgreSQL 14 does not know
# it.
sub major_version
{
	my ($self) = @_;

	return int($self->sql('SHOW server_version_num') / 10000);
}

sub create_extension
{
	my ($self) = @_;

	$self->sql('CREATE EXTENSION fast_ingest');
	$self->wait_ready;
	return;
}

sub restart
{
	my ($self) = @_;

	$self->node->restart;
	$self->wait_ready;
	return;
}

# kill -9 of the postmaster, and with at_once also of its children, which otherwise end by
# themselves. Returns true when all have ended, so that the server can be started again.
sub crash
{
	my ($self, %opt) = @_;
	my @pids = split /\n/, $self->sql('SELECT pid FROM pg_stat_activity');

	my $pid_file = $self->node->data_dir . '/postmaster.pid';

	push @pids, PostgreSQL::Test::Utils::slurp_file($pid_file) =~ /\A(\d+)/;
	kill 'KILL', @pids if $opt{at_once};
	$self->node->kill9;
	return 0 unless wait_until(sub { !grep { is_running($_) } @pids });

	# Where init does not reap orphans, as in some containers, their process ids stay in use.
	unlink $pid_file, $self->node->host . '/.s.PGSQL.' . $self->node->port . '.lock'
	  if kill 0, $pids[-1];
	return 1;
}

# Start it after a crash or a stop, and wait for the workers.
sub start_again
{
	my ($self) = @_;

	wait_until(sub { $self->node->start(fail_ok => 1) }, 30);
	$self->wait_ready;
	return;
}

# Wait until the server has recovered by itself. Start it if it has ended.
sub recover
{
	my ($self) = @_;
	my $pid_file = $self->node->data_dir . '/postmaster.pid';

	wait_until(
		sub {
			my ($pid) = -e $pid_file ? PostgreSQL::Test::Utils::slurp_file($pid_file) =~ /\A(\d+)/ : ();

			$self->node->start(fail_ok => 1) unless $pid && is_running($pid);
			return $self->get('/ready')->{status} eq 200;
		}) or die 'the server has not recovered';
	return;
}

# Wait for GET /ready 200; returns the last answer.
sub wait_ready
{
	my ($self) = @_;
	my $answer = $self->wait_for_answer(200, sub { $self->get('/ready') });

	die "not ready in time: $answer->{status} $answer->{body}"
	  unless $answer->{status} eq 200;
	return $answer;
}

# Wait for GET /ready 503 with an error that matches the pattern.
sub wait_not_ready
{
	my ($self, $pattern) = @_;

	return wait_until(
		sub {
			my $answer = $self->get('/ready');

			return $answer->{status} eq 503
			  && $answer->{body} =~ ($pattern || qr/./);
		});
}

sub sql
{
	my ($self, $query, $database) = @_;

	return $self->node->safe_psql($database || $self->{database}, $query);
}

# ALTER SYSTEM SET and reload. The workers follow a moment later: wait for the behaviour that the
# settings ask for.
sub set
{
	my ($self, %settings) = @_;

	foreach my $name (sort keys %settings)
	{
		$self->sql("ALTER SYSTEM SET $name = '$settings{$name}'");
	}
	$self->node->reload;
	return;
}

# A session that holds ACCESS EXCLUSIVE on the table until its quit().
sub lock_table
{
	my ($self, $table) = @_;
	my $session = $self->node->background_psql($self->{database});

	$session->query_safe('BEGIN');
	$session->query_safe('LOCK TABLE '
		  . ($table || 'fast_ingest.events')
		  . ' IN ACCESS EXCLUSIVE MODE');
	return $session;
}

# Is there a line like this in the server's log, from this offset on?
sub wait_for_log_line
{
	my ($self, $pattern, $offset) = @_;

	return wait_until(
		sub {
			my $log = PostgreSQL::Test::Utils::slurp_file($self->node->logfile);

			return substr($log, $offset || 0) =~ $pattern;
		});
}

1;
