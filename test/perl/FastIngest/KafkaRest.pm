# A stand-in for Kafka's REST proxies, with the topics that it writes to: no broker is needed. It
# answers as the sources of the proxies do. flavour says whose:
#
# redpanda	HTTP Proxy: an entry of the answer for each partition that was written to, with a code of
#		Kafka's protocol when that failed; a record has no fields but key, value and partition
# confluent	REST Proxy, API v2: an entry for each record; 401 or 403 when Kafka refuses the proxy
#
# Records go to the partition that murmur2 of the key says, as with Kafka's own producers, those
# without a key by turns. There are no replicas, groups, schemas and transactions.
#
#   my $kafka = FastIngest::KafkaRest->new(flavour => 'redpanda', topics => { events => 3 });
#   fi_create_stream(..., 'kafka_rest', $kafka->url, 'events', ...)
#   $kafka->plan({ partitions => { 1 => 6 } }, {});
#   my @records = $kafka->records('events');
#
# Besides those of FastIngest::StandIn, an order may ask:
# partitions => { number => code }	write nothing to these partitions (redpanda)
# records => { index => [ code, text ] }	do not write these records, but those behind them (confluent)
# status => n		answer so, and write nothing; the body is that of an error

package FastIngest::KafkaRest;

use strict;
use warnings;

use FastIngest::StandIn;
use JSON::PP ();
use MIME::Base64 ();

our @ISA = ('FastIngest::StandIn');

my $json = JSON::PP->new->utf8->canonical;

# Options, besides those of FastIngest::StandIn:
# flavour		redpanda (default) or confluent
# topics		{ name => number of partitions }
# username, password	of HTTP Basic, which requests must have
# max_body		bytes of a request, else 413
# max_record		bytes of a record's key and value, else the record is too large
sub new
{
	my ($class, %opt) = @_;

	return $class->SUPER::new(flavour => 'redpanda', %opt);
}

# The records of a topic, in the order in which they were written: { topic, partition, offset, key,
# value, event, request }. event is the value decoded; request counts from 0.
sub records
{
	my ($self, $topic) = @_;
	my @records;

	foreach my $line ($self->lines('records'))
	{
		my $record = $json->decode($line);

		next if $record->{topic} ne $topic;
		$record->{$_} = defined $record->{$_} ? MIME::Base64::decode_base64($record->{$_}) : undef
		  foreach qw(key value);
		$record->{event} = $json->decode($record->{value});
		push @records, $record;
	}
	return @records;
}

# --- in the process of the stand-in -----------------------------------------

sub answer
{
	my ($self, $request, $order, $opt) = @_;
	my @type = ('Content-Type', 'application/vnd.kafka.v2+json');
	my ($status, $body) = $self->judge($opt, $request, $order);

	return ($status, [ @type, @{ $order->{headers} || [] } ], ref $body ? $json->encode($body) : $body);
}

sub error
{
	my ($status, $code, $message) = @_;

	return ($status, { error_code => $code, message => $message });
}

sub judge
{
	my ($self, $opt, $request, $order) = @_;
	my $headers = $request->{headers};
	my ($topic) = $request->{path} =~ m{\A/topics/([A-Za-z0-9._-]+)\z};

	if ($opt->{username})
	{
		my $basic = 'Basic ' . MIME::Base64::encode_base64("$opt->{username}:$opt->{password}", '');

		return error(401, 40101, 'Unauthorized') if ($headers->{authorization} // '') ne $basic;
	}
	if ($order->{status})
	{
		return ($order->{status}, $order->{body}) if defined $order->{body};
		return error($order->{status}, $order->{status}, 'as ordered');
	}
	return error(404, 404, 'HTTP 404 Not Found') if !defined $topic || $request->{method} ne 'POST';
	return error(413, 413, 'Payload Too Large') if $opt->{max_body} && length $request->{body} > $opt->{max_body};
	return error(415, 415, 'HTTP 415 Unsupported Media Type')
	  if ($headers->{'content-type'} // '') !~ m{\Aapplication/vnd\.kafka\.(binary|json)\.v2\+json\z};
	my $format = $1;
	return error(406, 406, 'HTTP 406 Not Acceptable')
	  if ($headers->{accept} // '') !~ m{\A(application/vnd\.kafka\.v2\+json|\*/\*)\z};

	my ($records, $wrong) = read_records($request->{body}, $format);
	return error(422, 422, $wrong) if defined $wrong;
	return $opt->{flavour} eq 'redpanda'
	  ? $self->write_partitions($opt, $order, $topic, $records)
	  : $self->write_records($opt, $order, $topic, $records);
}

# The records of a body: [{ key, value, partition }], each text as bytes; or what is wrong with it.
sub read_records
{
	my ($body, $format) = @_;
	my $request = eval { $json->decode($body) };
	my @records;

	return (undef, 'parse error') if ref $request ne 'HASH' || join(',', keys %$request) ne 'records';
	return (undef, 'parse error') if ref $request->{records} ne 'ARRAY' || !@{ $request->{records} };
	foreach my $record (@{ $request->{records} })
	{
		return (undef, 'parse error') if ref $record ne 'HASH' || grep { !/\A(key|value|partition)\z/ } keys %$record;
		foreach my $field (grep { exists $record->{$_} } qw(key value))
		{
			if ($format eq 'json')
			{
				$record->{$field} = JSON::PP->new->utf8->canonical->allow_nonref->encode($record->{$field});
				next;
			}
			return (undef, 'parse error')
			  if !defined $record->{$field}
			  || $record->{$field} !~ m{\A(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?\z};
			$record->{$field} = MIME::Base64::decode_base64($record->{$field});
		}
		push @records, $record;
	}
	return (\@records, undef);
}

# The hash of Kafka's producers, as an unsigned number
sub murmur2
{
	my ($data) = @_;
	my $length = length $data;
	my $h = 0x9747b28c ^ $length;
	my $words = int($length / 4);
	my @rest = unpack 'C*', substr $data, $words * 4;

	foreach my $k (unpack "V$words", $data)
	{
		$k = multiply($k, 0x5bd1e995);
		$k ^= $k >> 24;
		$k = multiply($k, 0x5bd1e995);
		$h = multiply($h, 0x5bd1e995) ^ $k;
	}
	$h ^= $rest[2] << 16 if @rest > 2;
	$h ^= $rest[1] << 8 if @rest > 1;
	$h = multiply($h ^ $rest[0], 0x5bd1e995) if @rest;
	$h ^= $h >> 13;
	$h = multiply($h, 0x5bd1e995);
	return $h ^ $h >> 15;
}

# The lower 32 bits of a product
sub multiply
{
	my ($a, $b) = @_;

	use integer;
	return $a * $b & 0xffffffff;
}

sub partition_of
{
	my ($self, $record, $partitions) = @_;

	return $record->{partition} if defined $record->{partition};
	return (murmur2($record->{key}) & 0x7fffffff) % $partitions if defined $record->{key};
	return $self->{turn}++ % $partitions;
}

sub write_record
{
	my ($self, $topic, $partition, $record) = @_;
	my $offset = $self->{offsets}{$topic}{$partition}++ // 0;

	$self->append_line(
		'records',
		{
			topic => $topic,
			partition => $partition,
			offset => $offset,
			request => $self->{recorded} // 0,
			map { $_ => defined $record->{$_} ? MIME::Base64::encode_base64($record->{$_}, '') : undef } qw(key value)
		});
	return $offset;
}

sub is_too_large
{
	my ($opt, $record) = @_;

	return $opt->{max_record} && length($record->{key} // '') + length($record->{value} // '') > $opt->{max_record};
}

# Redpanda: the records of a partition are written together, or none of them.
sub write_partitions
{
	my ($self, $opt, $order, $topic, $records) = @_;
	my $partitions = $opt->{topics}{$topic};
	my (%of_partition, @entries);

	return (200, { offsets => [ { partition => 0, error_code => 3, offset => -1 } ] }) if !$partitions;
	push @{ $of_partition{ $self->partition_of($_, $partitions) } }, $_ foreach @$records;
	foreach my $partition (sort { $a <=> $b } keys %of_partition)
	{
		my $code = $order->{partitions}{$partition};

		$code //= 10 if grep { is_too_large($opt, $_) } @{ $of_partition{$partition} };
		if ($code)
		{
			push @entries, { partition => $partition + 0, error_code => $code, offset => -1 };
			next;
		}
		my @offsets = map { $self->write_record($topic, $partition, $_) } @{ $of_partition{$partition} };
		push @entries, { partition => $partition + 0, offset => $offsets[0] };
	}
	return (200, { offsets => \@entries });
}

# Confluent: each record for itself, so that one behind a failed one is written.
sub write_records
{
	my ($self, $opt, $order, $topic, $records) = @_;
	my $partitions = $opt->{topics}{$topic};
	my $status = 200;
	my @entries;

	foreach my $i (0 .. $#$records)
	{
		my $record = $records->[$i];
		my $size = length($record->{key} // '') + length($record->{value} // '');
		my ($code, $text) = @{ $order->{records}{$i} || [] };

		($code, $text) = (50002, "The message is $size bytes when serialized which is larger than $opt->{max_record},"
			  . ' which is the value of the max.request.size configuration.')
		  if !$code && is_too_large($opt, $record);
		($code, $text) = (50003, "Topic $topic not present in metadata after 60000 ms.") if !$code && !$partitions;
		if ($code)
		{
			$status = 401 if $code == 40101 && $status == 200;
			$status = 403 if $code == 40301 && $status == 200;
			push @entries, { partition => undef, offset => undef, error_code => $code, error => $text };
			next;
		}
		my $partition = $self->partition_of($record, $partitions);
		push @entries,
		  {
			partition => $partition + 0,
			offset => $self->write_record($topic, $partition, $record),
			error_code => undef,
			error => undef
		  };
	}
	return ($status, { offsets => \@entries, key_schema_id => undef, value_schema_id => undef });
}

1;
