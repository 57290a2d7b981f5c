# GET /openapi.json describes exactly the routes that exist and their answers: every example is
# sent, and every answer is checked against its schema. The files made from it are up to date.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use FastIngest;
use JSON::PP ();
use JSON::Validator;
use PostgreSQL::Test::Utils;
use Test::More;

my $top = "$FindBin::RealBin/../..";
my $text = slurp_file("$top/web/openapi.json");
my $api = JSON::PP->new->utf8->decode($text);
my $server = FastIngest->new('openapi', conf => "fast_ingest.max_body_size = '64kB'");

my $answer = $server->get('/openapi.json');
is($answer->{status}, 200, 'GET /openapi.json');
is($answer->{body}, $text, 'it is the file');
is($answer->{headers}{'content-type'}, 'application/json', 'as JSON');

# The description that a $ref names
sub resolve
{
	my ($node) = @_;
	my $at = $api;

	return $node unless ref $node eq 'HASH' && $node->{'$ref'};
	$at = $at->{$_} foreach split m{/}, substr $node->{'$ref'}, 2;
	return $at;
}

# A schema with what it refers to. (A validator of its own, as they cache.)
sub schema_errors
{
	my ($schema, $value) = @_;
	my $whole = { %{ JSON::PP->new->decode(JSON::PP->new->encode($schema)) },
		components => $api->{components}, '$schema' => 'https://json-schema.org/draft/2020-12/schema' };

	return join '; ', JSON::Validator->new->schema($whole)->validate($value);
}

# Check that the operation's description has this answer.
sub is_described
{
	my ($got, $operation, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $response = resolve($operation->{responses}{ $got->{status} });

	return ok(0, "$name: $got->{status} is described") unless $response;

	my ($type) = split /;/, $got->{headers}{'content-type'};
	my $media = $got->{body} ne '' ? ($response->{content} || {})->{$type} : undef;
	my @errors;

	push @errors, "type $type" if $got->{body} ne '' && !$media;
	push @errors, 'an empty body' if $got->{body} eq '' && $response->{content};
	push @errors, schema_errors($media->{schema}, $got->{json}) if $media && $got->{json};
	push @errors, "no header $_"
	  foreach grep { $response->{headers}{$_}{required} && !defined $got->{headers}{ lc $_ } }
	  keys %{ $response->{headers} || {} };
	is(join("\n", grep { $_ ne '' } @errors), '', "$name: $got->{status} as described");
	return;
}

# Every route is described, and nothing else is

my %described = map {
	my $path = $_;
	map { (uc($_) . " $path" => 1) } keys %{ $api->{paths}{$path} }
} keys %{ $api->{paths} };
my %paths = slurp_file("$top/src/shared/request_counters.c") =~ /\[(ROUTE_\w+)\] = "([^"]*)"/g;
my %methods = slurp_file("$top/src/http/admit/route.c") =~ /\[(ROUTE_\w+)\] = \{"([A-Z]+)"/g;
my %routes = map { ("$methods{$_} $paths{$_}" => 1) } keys %paths;
is_deeply(\%described, \%routes, 'the routes are those of the source');

# Every example

foreach my $path (sort keys %{ $api->{paths} })
{
	foreach my $method (sort keys %{ $api->{paths}{$path} })
	{
		my $operation = $api->{paths}{$path}{$method};
		my $name = uc($method) . " $path";
		my $query = join '&',
		  map { "$_->{name}=$_->{example}" }
		  grep { $_->{in} eq 'query' && defined $_->{example} }
		  map { resolve($_) } @{ $operation->{parameters} || [] };
		my $content = $operation->{requestBody}{content} || { '' => undef };

		foreach my $type (sort keys %$content)
		{
			my $body = $content->{$type}{example};

			is(schema_errors($content->{$type}{schema}, $body), '', "$name: its example is valid")
			  if ref $body;

			my $got = $server->request(
				uc $method, $path . ($query ne '' ? "?$query" : ''),
				defined $body ? (body => $body, type => $type) : ());

			like($got->{status}, qr/^2/, "$name $type: the example works");
			is_described($got, $operation, "$name $type");
		}
		foreach my $status (sort keys %{ $operation->{responses} })
		{
			my $response = resolve($operation->{responses}{$status});
			my $media = $response->{content}{'application/json'} or next;
			my @examples = defined $media->{example} ? $media->{example} : ();

			push @examples, map { $_->{value} } values %{ $media->{examples} || {} };
			is(schema_errors($media->{schema}, $_), '', "$name: its example of $status is valid")
			  foreach @examples;
		}
		is_described($server->request($method eq 'get' ? 'DELETE' : 'GET', $path),
			$operation, "$name: wrong method");
	}
}

# Errors

my $post = $api->{paths}{'/events'}{post};
my $bulk = $api->{paths}{'/events/bulk'}{post};
my $metrics = $api->{paths}{'/metrics'}{get};

is_described($server->post_event({}), $post, 'an event without anything');
is_described($server->post('/events', '{'), $post, 'half an event');
is_described($server->post('/events', '{}', type => 'text/html'), $post, 'HTML');
is_described($server->post('/events', ' ' x 100_000), $post, 'much of nothing');
is_described(
	$server->post('/events', '{}', headers => [ 'X-Long', 'x' x 20_000 ]),
	$post, 'a long header');
is_described($server->post_bulk([ {}, event(1) ]), $bulk, 'bulk, partly valid');
is_described($server->post_bulk([ {} ]), $bulk, 'bulk, not valid');
is_described($server->post_bulk([ {}, event(1) ], query => 'atomic=true'), $bulk, 'bulk, atomic');
is_described($server->get('/metrics'), $metrics, 'metrics of everything');
is_described($server->get('/metrics?event_name=x&limit=0'), $metrics, 'metrics without groups');
is_described($server->get("/metrics?$_"), $metrics, "metrics with $_")
  foreach 'group_by=event', 'group_by=week', 'align=true&from=1723420801&to=1723424401', 'site=shop&group_by=page', 'tag=homepage', 'metadata.currency=TRY,EUR',
  'colour=red';
foreach my $path (qw(/series /event_names /live))
{
	my $operation = $api->{paths}{$path}{get};

	is_described($server->get("$path?$_"), $operation, "$path with '$_'")
	  foreach '', 'format=csv', 'site=shop', 'site=nobody', 'site=', 'colour=red', 'top=1', 'channel=web,mobile', 'group_by=event', 'fill=false';
}
is_described($server->get("/overview?$_"), $api->{paths}{'/overview'}{get}, "/overview with '$_'")
  foreach '', 'cards=site&top=1', 'cards=nothing', 'compare_from=1723334400', 'compare_from=1723334400&compare_to=1723420800&step=1d', 'site=shop&channel=web';
is_described($server->get('/status?x=y'), $api->{paths}{'/status'}{get}, '/status with a parameter');
is_described($server->post('/dead_letters/retry', $_), $api->{paths}{'/dead_letters/retry'}{post}, "a retry of $_")
  foreach '{"ids":[1]}', '{"ids":[]}', '', '{"all":true,"stream":"nothing"}', ' ' x 70_000;
is_described($server->post('/dead_letters/retry', '{}', type => 'text/plain'), $api->{paths}{'/dead_letters/retry'}{post}, 'a retry as text');
is_described($server->get('/metrics?event_name=page_view&group_by=hour&format=csv'),
	$metrics, 'metrics as CSV');
is_described($server->get("/ready?for=$_"), $api->{paths}{'/ready'}{get}, "ready for $_") foreach qw(read write lunch);
$server->sql("ALTER TABLE fast_ingest.events ADD CONSTRAINT no_robots CHECK (user_id <> 'robot')");
is_described($server->post_event(event(2, user_id => 'robot')), $post, 'a robot');
is_described($server->post_bulk([ event(3, user_id => 'robot') ]), $bulk, 'robots');

# Keys and limits: which answers an operation has follows from what it says it needs

my %key = map { $_ => $server->sql("SELECT fi_create_api_key('$_', '{$_}')") } qw(write admin);
my @operations = map {
	my $path = $_;
	map { [ uc($_), $path, $api->{paths}{$path}{$_} ] } sort keys %{ $api->{paths}{$path} }
} sort keys %{ $api->{paths} };

my @all_operations = @operations;

# The scope that an operation needs; "" if any will do.
sub scope_of
{
	my ($description) = @_;

	return join ' ', map { @$_ } values %{ ($description->{security} || [])->[1] || {} };
}

# headers: those that a request for an operation of this scope gets
sub ask_all
{
	my ($status, $name, $headers) = @_;

	foreach my $operation (@operations)
	{
		my ($method, $path, $description) = @$operation;
		my $got = $server->request($method, $path,
			$headers ? (headers => $headers->(scope_of($description))) : (),
			$method eq 'POST' ? (body => '{}', type => 'application/json') : ());

		is($got->{status} == $status ? 1 : 0, $description->{security} ? 1 : 0, "$name: $method $path")
		  or diag("$got->{status} $got->{body}");
		is_described($got, $description, "$name: $method $path");
	}
	return;
}

$server->set('fast_ingest.require_api_key' => 'on');
$server->wait_for_answer(401, sub { $server->get('/metrics?event_name=x') });
ask_all(401, 'no key');
@operations = grep { scope_of($_->[2]) ne '' || !$_->[2]{security} } @operations;    # any key is the right one for the others
ask_all(403, 'a key for something else',
	sub { [ 'Authorization', 'Bearer ' . $key{ $_[0] eq 'admin' ? 'write' : 'admin' } ] });
@operations = @all_operations;
foreach my $operation (grep { $_->[2]{security} } @operations)
{
	my ($method, $path, $description) = @$operation;

	foreach my $need (grep { %$_ } @{ $description->{security} })
	{
		my ($scheme) = map { $api->{components}{securitySchemes}{$_} } keys %$need;
		my ($scope) = (map({ @$_ } values %$need), 'write');
		my $in = $scheme->{in} || 'bearer';
		my $right = $server->sql("SELECT fi_create_api_key('$path $in', '{$scope}')");
		my $got = $server->request(
			$method, $path . ($in eq 'query' ? "?$scheme->{name}=$right" : ''),
			$method eq 'POST' ? (body => '{}', type => 'application/json') : (),
			$in eq 'query' ? ()
			: (headers => $in eq 'bearer' ? [ 'Authorization', "Bearer $right" ] : [ $scheme->{name}, $right ]));

		# where a parameter or a body is required, it is missing
		my $required = $method eq 'POST' || grep { $_->{required} } @{ $description->{parameters} || [] };

		is($got->{status}, $required ? 400 : 200, "$method $path: a key for $scope, as $in, lets in");
	}
}
$server->set(
	'fast_ingest.require_api_key' => 'off',
	'fast_ingest.rate_limit_per_client' => 1,
	'fast_ingest.rate_limit_burst' => '1ms');
is_described($server->wait_for_answer(413, sub { $server->post_bulk([ event(5), event(6) ]) }), $bulk, 'more than a limit ever allows');

# Send more than a low limit allows and fewer than a high one
$server->set('fast_ingest.rate_limit_burst' => '1000s');
ok(wait_until(sub { $server->post_bulk([ map { event($_) } 1 .. 200 ])->{status} == 429 }), 'all that a limit allows');
$server->set('fast_ingest.rate_limit_burst' => '1ms');
ok(wait_until(sub { ($server->get('/metrics')->{headers}{'ratelimit-limit'} || 0) == 1 }), 'a lower limit');
ask_all(429, 'too many');
$server->set('fast_ingest.rate_limit_per_client' => 0);
ok( wait_until(sub { !defined $server->get('/metrics')->{headers}{'ratelimit-limit'} }), 'none');

$server->sql('DROP EXTENSION fast_ingest');
$server->wait_not_ready(qr/extension/i);
is_described($server->post_event(event(4)), $post, 'no extension');
is_described($server->post_bulk([ event(4) ]), $bulk, 'no extension, bulk');
is_described($server->get('/ready'), $api->{paths}{'/ready'}{get}, 'no extension, ready');
is_described(
	$server->wait_for_answer(503, sub { $server->get('/metrics?event_name=x') }),
	$metrics, 'no extension, metrics');

# The files made from the description

my $directory = PostgreSQL::Test::Utils::tempdir();
system_or_bail($^X, "$top/test/api/generate.pl", $directory);
foreach my $file (map { s{.*/}{}r } glob "$directory/*")
{
	is(slurp_file("$top/test/api/$file"), slurp_file("$directory/$file"),
		"test/api/$file is up to date (make api-files)");
}
$server->node->stop;

done_testing();
