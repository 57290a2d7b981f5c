# TLS for tests: authorities and certificates made by openssl, and clients that trust
# one of these authorities and no other.
#
#   my $authority = new_authority('mine');
#   give_certificate($server, $authority);           # server.crt, server.key of the data directory
#   my $connection = tls_connect($port, $authority); # as FastIngest::Connection

package FastIngest::Tls;

use strict;
use warnings;

use Exporter 'import';
use File::Copy ();
use File::Temp ();
use PostgreSQL::Test::Utils;

our @EXPORT = qw(new_authority new_certificate give_certificate fingerprint tls_connect openssl);

my $directory = File::Temp::tempdir(CLEANUP => 1);
my $number = 0;

sub openssl
{
	my (@arguments) = @_;
	my ($output, $error);

	IPC::Run::run([ 'openssl', @arguments ], '<', \'', '>', \$output, '2>', \$error)
	  or die "openssl @arguments: $error";
	return $output;
}

# The path of an authority's files, without .crt and .key.
sub new_authority
{
	my ($name) = @_;

	openssl(qw(req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2),
		'-subj', "/CN=$name", '-keyout', "$directory/$name.key", '-out', "$directory/$name.crt");
	return "$directory/$name";
}

# The path of a certificate for localhost and of its key, without .crt and .key. key:
# what openssl is to make (an elliptic curve's).
sub new_certificate
{
	my ($authority, %opt) = @_;
	my $path = "$directory/certificate" . ++$number;
	my @key = @{ $opt{key} || [qw(ec -pkeyopt ec_paramgen_curve:prime256v1)] };

	append_to_file("$path.ext", 'subjectAltName = DNS:localhost, IP:127.0.0.1');
	openssl(qw(req -new -nodes -subj /CN=localhost -newkey), @key, '-keyout', "$path.key", '-out', "$path.csr");
	openssl(qw(x509 -req -days), $opt{days} // 2, '-in', "$path.csr", '-extfile', "$path.ext", '-CA', "$authority.crt",
		'-CAkey', "$authority.key", '-CAcreateserial', '-out', "$path.crt");
	return $path;
}

# Put a certificate, or a new one of the authority, where the settings look by default.
sub give_certificate
{
	my ($server, $authority, $certificate) = @_;
	my $data = $server->node->data_dir;

	$certificate ||= new_certificate($authority);
	File::Copy::copy("$certificate.crt", "$data/server.crt") or die $!;
	unlink "$data/server.key";
	File::Copy::copy("$certificate.key", "$data/server.key") or die $!;
	chmod 0600, "$data/server.key";
	return $certificate;
}

# The same of a certificate's file as of a connection.
sub fingerprint
{
	my ($certificate) = @_;
	my $output = openssl('x509', '-in', "$certificate.crt", qw(-noout -fingerprint -sha256));

	return 'sha256$' . lc($output =~ s/^.*=|[:\n]//gr);
}

# A connection, or undef; $IO::Socket::SSL::SSL_ERROR then says why. Further options are
# those of IO::Socket::SSL.
sub tls_connect
{
	my ($port, $authority, %opt) = @_;

	return FastIngest::TlsConnection->new($port, $authority, %opt);
}

package FastIngest::TlsConnection;

use strict;
use warnings;

use FastIngest::Connection;
use FastIngest::Wait;
use IO::Socket::SSL;
use Socket qw(IPPROTO_TCP TCP_NODELAY);

our @ISA = ('FastIngest::Connection');

sub new
{
	my ($class, $port, $authority, %opt) = @_;
	my $socket = IO::Socket::SSL->new(
		PeerAddr => '127.0.0.1',
		PeerPort => $port,
		Timeout => $TIMEOUT,
		SSL_ca_file => "$authority.crt",
		SSL_verifycn_name => 'localhost',
		SSL_verifycn_scheme => 'http',
		%opt) or return undef;

	$socket->blocking(0);
	setsockopt($socket, IPPROTO_TCP, TCP_NODELAY, 1);
	return bless { socket => $socket, buffer => '', end => 0 }, $class;
}

# What has been decrypted does not show in the socket.
sub wait_for_socket
{
	my ($self, $deadline, $want_write) = @_;

	return (1, $want_write) if $self->{socket}->pending;
	return $self->SUPER::wait_for_socket($deadline, $want_write);
}

# Of the certificate that the server showed.
sub fingerprint
{
	my ($self) = @_;

	return $self->{socket}->get_fingerprint('sha256');
}

1;
