# generate.pl [DIRECTORY]: write fast_ingest.http and
# fast_ingest.postman_collection.json, made from web/openapi.json, to a
# directory (default: this one). `make api-files` runs it, and a test sees
# whether they are up to date.

use strict;
use warnings;

use FindBin;
use JSON::PP ();

my $directory = $ARGV[0] || $FindBin::RealBin;
my $json = JSON::PP->new->utf8->canonical->pretty->indent_length(2);
my $api = $json->decode(slurp("$FindBin::RealBin/../../web/openapi.json"));
my $host = 'http://127.0.0.1:8080';
my $key = 'looked at where fast_ingest.require_api_key is on';

sub slurp
{
	my ($file) = @_;

	open my $handle, '<:raw', $file or die "could not open $file: $!";
	local $/;
	return scalar <$handle>;
}

sub write_file
{
	my ($name, $text) = @_;

	open my $handle, '>:raw', "$directory/$name" or die "could not create $directory/$name: $!";
	print {$handle} $text;
	close $handle or die "could not write $directory/$name: $!";
	return;
}

# What a $ref stands for
sub resolve
{
	my ($node) = @_;
	my $at = $api;

	return $node unless $node->{'$ref'};
	$at = $at->{$_} foreach split m{/}, substr $node->{'$ref'}, 2;
	return $at;
}

sub encode_query
{
	my ($text) = @_;

	$text =~ s/([^A-Za-z0-9_.~-])/sprintf '%%%02X', ord $1/ge;
	return $text;
}

# One request for each way in which a body can be sent
my %by_tag;
foreach my $path (sort keys %{ $api->{paths} })
{
	my $methods = $api->{paths}{$path};

	foreach my $method (sort keys %$methods)
	{
		my $operation = $methods->{$method};
		my $content = $operation->{requestBody}{content} || { '' => undef };
		my @query = map { [ $_->{name}, $_->{example} ] }
		  grep { $_->{in} eq 'query' && defined $_->{example} }
		  map { resolve($_) } @{ $operation->{parameters} || [] };

		foreach my $type (sort keys %$content)
		{
			my $example = $content->{$type}{example};

			push @{ $by_tag{ $operation->{tags}[0] } },
			  {
				name => $operation->{summary} . (keys %$content > 1 ? " ($type)" : ''),
				method => uc $method,
				path => $path,
				query => \@query,
				headers => [
					$operation->{security} ? [ 'Authorization', 'Bearer {{key}}' ] : (),
					defined $example ? [ 'Content-Type', $type ] : () ],
				body => ref $example ? $json->encode($example) =~ s/\n\z//r : $example
			  };
		}
	}
}

my $http = "# Made by test/api/generate.pl from web/openapi.json.\n\n\@host = $host\n\@key = $key\n";
my @folders;

foreach my $tag (map { $_->{name} } @{ $api->{tags} })
{
	my @items;

	foreach my $request (@{ $by_tag{$tag} })
	{
		my $query = join '&', map { "$_->[0]=" . encode_query($_->[1]) } @{ $request->{query} };
		my $target = $request->{path} . ($query ne '' ? "?$query" : '');

		$http .= "\n### $request->{name}\n$request->{method} {{host}}$target\n";
		$http .= "$_->[0]: $_->[1]\n" foreach @{ $request->{headers} };
		$http .= "\n$request->{body}\n" if defined $request->{body};
		push @items,
		  {
			name => $request->{name},
			request => {
				method => $request->{method},
				url => {
					raw => "{{host}}$target",
					host => ['{{host}}'],
					path => [ split m{/}, substr $request->{path}, 1 ],
					query => [ map { { key => $_->[0], value => "$_->[1]" } } @{ $request->{query} } ]
				},
				header => [ map { { key => $_->[0], value => $_->[1] } } @{ $request->{headers} } ],
				defined $request->{body}
				? (body => { mode => 'raw', raw => $request->{body} })
				: ()
			}
		  };
	}
	push @folders, { name => $tag, item => \@items };
}

write_file('fast_ingest.http', $http);
write_file(
	'fast_ingest.postman_collection.json',
	$json->encode(
		{
			info => {
				name => $api->{info}{title},
				description => $api->{info}{description},
				schema => 'https://schema.getpostman.com/json/collection/v2.1.0/collection.json'
			},
			variable => [ { key => 'host', value => $host }, { key => 'key', value => $key } ],
			item => \@folders
		}));
