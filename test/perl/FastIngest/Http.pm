# Requests to a server, and what their answers must look like.

package FastIngest::Http;

use strict;
use warnings;

use Exporter 'import';
use FastIngest::Connection;
use FastIngest::Wait;
use JSON::PP ();
use Test::More;

our @EXPORT = qw(encode_json http_message query_path is_error);

my $json = JSON::PP->new->utf8->canonical->allow_nonref;

sub encode_json
{
	return $json->encode($_[0]);
}

# The bytes of one HTTP request. body: a string as it is, a reference as JSON.
sub http_message
{
	my ($method, $path, %opt) = @_;
	my $body = ref $opt{body} ? encode_json($opt{body}) : $opt{body};
	my @headers = ('Host', 'localhost', @{ $opt{headers} || [] });

	if (defined $body)
	{
		my $type = exists $opt{type} ? $opt{type} : 'application/json';

		push @headers, 'Content-Type', $type if defined $type;
		push @headers, 'Content-Length', length $body
		  unless grep { /^(Content-Length|Transfer-Encoding)$/i } @headers;
	}

	my $message = "$method $path HTTP/1.1\r\n";
	while (my ($name, $value) = splice @headers, 0, 2)
	{
		$message .= "$name: $value\r\n";
	}
	return "$message\r\n" . (defined $body ? $body : '');
}

# A path with parameters. Each value is escaped.
sub query_path
{
	my ($path, @parameters) = @_;
	my @pairs;

	while (my ($name, $value) = splice @parameters, 0, 2)
	{
		utf8::encode($value) if utf8::is_utf8($value);
		push @pairs, "$name=" . ($value =~ s/([^A-Za-z0-9._-])/sprintf '%%%02X', ord $1/ger);
	}
	return "$path?" . join('&', @pairs);
}

# A connection; undef when the server refuses it.
sub try_connect
{
	my ($self) = @_;

	return FastIngest::Connection->new($self->{port});
}

sub connect
{
	my ($self) = @_;

	return $self->try_connect || die "could not connect to the listener: $@";
}

# One request over a connection of its own.
sub request
{
	my ($self, $method, $path, %opt) = @_;
	my $connection = $self->try_connect
	  or return FastIngest::Connection::no_answer('closed');

	$connection->send(http_message($method, $path, %opt));
	return $connection->read_answer(head => $method eq 'HEAD');
}

sub get
{
	my ($self, $path, %opt) = @_;

	return $self->request('GET', $path, %opt);
}

# GET with parameters
sub query
{
	my ($self, $path, @parameters) = @_;

	return $self->get(query_path($path, @parameters));
}

sub post
{
	my ($self, $path, $body, %opt) = @_;

	return $self->request('POST', $path, %opt, body => $body);
}

# Ask until the answer has this status. Returns the last answer.
sub wait_for_answer
{
	my ($self, $status, $ask) = @_;
	my $answer;

	wait_until(sub { $answer = $ask->(); $answer->{status} eq $status });
	return $answer;
}

# Check that the answer is an error of the contract's form: {"error": "<what is wrong>"}.
sub is_error
{
	my ($answer, $status, $pattern, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;

	my $error = ref $answer->{json} eq 'HASH' ? $answer->{json}{error} : undef;
	my $ok =
		 $answer->{status} eq $status
	  && $answer->{headers}{'content-type'} eq 'application/json'
	  && $answer->{body} !~ /\n\z/
	  && defined $error
	  && !ref $error
	  && keys %{ $answer->{json} } == 1
	  && $error =~ $pattern;

	ok($ok, $name)
	  or diag("wanted $status with an error like $pattern\n",
		"got $answer->{status} ",
		$answer->{headers}{'content-type'} || '',
		": $answer->{body}");
	return $ok;
}

1;
