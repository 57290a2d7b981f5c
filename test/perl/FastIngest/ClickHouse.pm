# A ClickHouse server for tests: Debian's clickhouse-server 18.16, with a configuration, data and
# ports of its own. It knows no deduplication token, and takes a body that was cut off for a whole
# one. FastIngest::Chdb is a new one.

package FastIngest::ClickHouse;

use strict;
use warnings;

use FastIngest::Http ();
use FastIngest::Process;
use FastIngest::Wait;
use File::Path ();
use HTTP::Tiny;
use JSON::PP ();
use POSIX ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;

my $test_pid = $$;
my $json = JSON::PP->new->utf8->allow_nonref;
my %running;    # by process id

# Options:
# directory	where its data is to be
# user, password	the only user, instead of "default" without a password
# certificate	path of a certificate and of its key without .crt and .key: it answers over TLS, too
# settings	{ name => value }, of every query that does not say otherwise
# start => 0	only write the configuration
sub new
{
	my ($class, %opt) = @_;
	my $self = bless {
		directory => $opt{directory} || PostgreSQL::Test::Utils::tempdir() . '/' . lc($class =~ s/.*:://r),
		user => $opt{user} || 'default',
		password => $opt{password} // '',
		settings => $opt{settings} || {},
		port => PostgreSQL::Test::Cluster::get_free_port(),
		$opt{certificate}
		? (certificate => $opt{certificate}, https_port => PostgreSQL::Test::Cluster::get_free_port())
		: ()
	}, $class;

	File::Path::make_path($self->{directory});
	$self->configure;
	$self->start unless defined $opt{start} && !$opt{start};
	return $self;
}

sub port { return $_[0]->{port} }
sub https_port { return $_[0]->{https_port} }
sub pid { return $_[0]->{pid} }
sub directory { return $_[0]->{directory} }
sub url { return 'http://127.0.0.1:' . $_[0]->{port} }
sub log_file { return $_[0]->{directory} . '/log' }

sub configure
{
	my ($self) = @_;
	my $directory = $self->{directory};
	my $tcp_port = PostgreSQL::Test::Cluster::get_free_port();
	my $tls = $self->{certificate} ? <<EOX : '';
	<https_port>$self->{https_port}</https_port>
	<openSSL>
		<server>
			<certificateFile>$self->{certificate}.crt</certificateFile>
			<privateKeyFile>$self->{certificate}.key</privateKeyFile>
			<verificationMode>none</verificationMode>
			<loadDefaultCAFile>false</loadDefaultCAFile>
		</server>
	</openSSL>
EOX

	# "here" is a cluster of this server alone
	write_file("$directory/config.xml", <<EOX);
<yandex>
	<logger><level>information</level><console>1</console></logger>
	<http_port>$self->{port}</http_port>
	<tcp_port>$tcp_port</tcp_port>
$tls	<remote_servers>
		<here><shard><replica><host>127.0.0.1</host><port>$tcp_port</port></replica></shard></here>
	</remote_servers>
	<listen_host>127.0.0.1</listen_host>
	<max_connections>100</max_connections>
	<keep_alive_timeout>10</keep_alive_timeout>
	<uncompressed_cache_size>8388608</uncompressed_cache_size>
	<mark_cache_size>67108864</mark_cache_size>
	<path>$directory/data/</path>
	<tmp_path>$directory/data/tmp/</tmp_path>
	<user_files_path>$directory/data/user_files/</user_files_path>
	<users_config>users.xml</users_config>
	<default_profile>default</default_profile>
	<default_database>default</default_database>
	<timezone>UTC</timezone>
	<mlock_executable>false</mlock_executable>
</yandex>
EOX
	$self->configure_users;
	return;
}

sub configure_users
{
	my ($self) = @_;
	my $settings = join '', map { "<$_>$self->{settings}{$_}</$_>" } sort keys %{ $self->{settings} };

	write_file("$self->{directory}/users.xml", <<EOX);
<yandex>
	<profiles><default><max_memory_usage>2000000000</max_memory_usage>$settings</default></profiles>
	<quotas><default></default></quotas>
	<users>
		<$self->{user}>
			<password>$self->{password}</password>
			<networks><ip>127.0.0.1</ip></networks>
			<profile>default</profile>
			<quota>default</quota>
		</$self->{user}>
	</users>
</yandex>
EOX
	return;
}

# The server reads its users again when their file has changed. Wait until it has. It tells files apart
# by the second in which they were written, so this one is written until the server has noticed.
sub set_password
{
	my ($self, $password) = @_;

	$self->{password} = $password;
	$self->configure_users;
	wait_until(
		sub {
			return 1 if $self->request('SELECT 1')->{status} eq 200;
			$self->configure_users;
			return 0;
		}) or die 'the password has not changed';
	return;
}

# The program that runs it and its arguments
sub command
{
	my ($self) = @_;
	my ($program) = grep { -x } qw(/usr/sbin/clickhouse-server /usr/bin/clickhouse-server);

	die "clickhouse-server is missing: test/dev/packages.sh test, or as root apt-get install clickhouse-server clickhouse-client\n"
	  unless $program;
	return ($program, "--config-file=$self->{directory}/config.xml");
}

# Start it, and wait until it answers. It ends with the test.
sub start
{
	my ($self) = @_;
	my @command = $self->command;
	my $pid = fork;

	die "could not fork: $!" unless defined $pid;
	if ($pid == 0)
	{
		$SIG{$_} = 'DEFAULT' foreach qw(INT TERM PIPE);
		open STDIN, '<', '/dev/null' or POSIX::_exit(1);
		open STDOUT, '>>', $self->log_file or POSIX::_exit(1);
		open STDERR, '>&', \*STDOUT or POSIX::_exit(1);
		chdir $self->{directory} or POSIX::_exit(1);
		{ exec 'setpriv', '--pdeathsig', 'KILL', @command }
		POSIX::_exit(1);
	}
	$self->{pid} = $pid;
	$running{$pid} = 1;

	my $answer;
	my $ready = wait_until(
		sub {
			die "$command[0] has ended: " . $self->end_of_log if waitpid($pid, POSIX::WNOHANG) == $pid;
			$answer = $self->request('SELECT 1');
			return $answer->{status} eq 200;
		});
	die "$command[0] is not ready: $answer->{body} " . $self->end_of_log unless $ready;
	return;
}

sub end_of_log
{
	my ($self) = @_;
	my @lines = split /\n/, PostgreSQL::Test::Utils::slurp_file($self->log_file);

	return join "\n", splice @lines, @lines > 20 ? -20 : 0;
}

# End it by a signal, and wait until it has gone.
sub end
{
	my ($self, $signal) = @_;
	my $pid = delete $self->{pid} or return;

	kill $signal, $pid;
	kill 'CONT', $pid;
	unless (wait_until(sub { waitpid($pid, POSIX::WNOHANG) != 0 }, 60))
	{
		kill 'KILL', $pid;
		waitpid $pid, 0;
	}
	delete $running{$pid};
	return;
}

sub stop { my ($self) = @_; return $self->end('TERM') }

# kill -9
sub kill9 { my ($self) = @_; return $self->end('KILL') }

sub restart
{
	my ($self) = @_;

	$self->stop;
	$self->start;
	return;
}

# It stands still, with its connections open, until resume().
sub pause { return kill 'STOP', $_[0]->{pid} }
sub resume { return kill 'CONT', $_[0]->{pid} }

# One request: { status, headers, body }; status 599 if none was answered. Options: body; headers:
# { name => value }; settings: { name => value }, of the URL.
sub request
{
	my ($self, $query, %opt) = @_;
	my %settings = %{ $opt{settings} || {} };
	my $has_body = defined $opt{body};
	my $target = FastIngest::Http::query_path('/', $has_body ? (query => $query) : (),
		map { $_ => $settings{$_} } sort keys %settings);
	my $http = HTTP::Tiny->new(
		timeout => $opt{seconds} || $TIMEOUT,
		keep_alive => 0,
		max_redirect => 0,
		map { $_ => undef } qw(proxy http_proxy https_proxy));
	my $answer = $http->request('POST', $self->url . $target,
		{
			content => $has_body ? $opt{body} : $query,
			headers => {
				'X-ClickHouse-User' => $self->{user},
				$self->{password} eq '' ? () : ('X-ClickHouse-Key' => $self->{password}),
				%{ $opt{headers} || {} }
			}
		});

	return { status => $answer->{status}, headers => $answer->{headers}, body => $answer->{content} };
}

# The answer to a query, as text; dies if it is an error. Options as of request().
sub query
{
	my ($self, $query, %opt) = @_;
	my $answer = $self->request($query, %opt);

	die "ClickHouse answered $answer->{status} to $query: $answer->{body}\n"
	  if $answer->{status} ne 200 || $answer->{headers}{'x-clickhouse-exception-code'};
	return $answer->{body} =~ s/\n\z//r;
}

# The rows of a SELECT, each an array of values. 64-bit numbers and times are text.
sub rows
{
	my ($self, $query, %opt) = @_;
	my %settings = (output_format_json_quote_64bit_integers => 1, %{ $opt{settings} || {} });

	return @{ $json->decode($self->query("$query FORMAT JSONCompact", %opt, settings => \%settings))->{data} };
}

# How many rows a table has, or how many of them a condition is true of
sub count
{
	my ($self, $table, $condition) = @_;

	return $self->query("SELECT toString(count()) FROM $table" . ($condition ? " WHERE $condition" : ''));
}

# Wait until a query gives this text. Returns the last answer.
sub wait_for
{
	my ($self, $query, $wanted) = @_;
	my $got;

	wait_until(sub { $got = eval { $self->query($query) } // "$@"; $got eq $wanted });
	return $got;
}

sub write_file
{
	my ($path, $content) = @_;

	open my $out, '>', "$path.new" or die "could not create $path.new: $!";
	print $out $content;
	close $out or die "could not write $path.new: $!";
	rename "$path.new", $path or die "could not rename $path.new: $!";
	return;
}

END
{
	my $exit_code = $?;

	if ($$ == $test_pid)
	{
		kill 'KILL', $_ foreach keys %running;
		waitpid $_, 0 foreach keys %running;
	}
	$? = $exit_code;
}

1;
