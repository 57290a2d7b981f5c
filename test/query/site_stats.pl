# GET /stats answers byte for byte what the contract says of a website's day, the same by SQL,
# and refuses each bad parameter with its name and value.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use FastIngest;
use FastIngest::Query;
use Test::More;

my $server = FastIngest->new('site_stats');
my $answer;

sub stats { return $server->query('/stats', @_) }

post_views($server);

is_body(
	stats(site_id => 'shop', date => $DAY),
	"{\"site_id\":\"shop\",\"date\":\"$DAY\",\"total_views\":5,\"unique_users\":3,"
	  . '"top_paths":[{"path":"/home","views":3},{"path":"/pricing","views":1}]}',
	'/stats');
is_body(
	stats(site_id => 'shop', date => $DAY, limit => 1),
	"{\"site_id\":\"shop\",\"date\":\"$DAY\",\"total_views\":5,\"unique_users\":3,"
	  . '"top_paths":[{"path":"/home","views":3}]}',
	'/stats: limit');
is_body(
	stats(site_id => 'shop', date => '2024-08-11'),
	'{"site_id":"shop","date":"2024-08-11","total_views":0,"unique_users":0,"top_paths":[]}',
	'/stats: a day without events');
$answer = stats(site_id => 'nowhere');
is( $answer->{json}{date},
	$server->sql("SELECT (now() AT TIME ZONE 'UTC')::date"),
	'/stats: today');
is($server->post('/event', { site_id => 'live', event_type => 'page_view', path => '/now', user_id => 'u' })->{status},
	204, '/event');
is_deeply(
	stats(site_id => 'live')->{json}{top_paths},
	[ { path => '/now', views => 1 } ],
	'/stats: an event of now is counted');
$server->post_bulk(
	[ map { event($_, site_id => 'big', path => '/' . int(sqrt $_)) } 0 .. 399 ]);
is_deeply(
	[ map { $_->{path} } @{ stats(site_id => 'big', date => $DAY)->{json}{top_paths} } ],
	[ map { "/$_" } reverse 10 .. 19 ],
	'/stats: ten paths, most viewed first');
$answer = $server->request('HEAD', "/stats?site_id=shop&date=$DAY");
is( "$answer->{status} $answer->{headers}{'content-length'}",
	'200 ' . length stats(site_id => 'shop', date => $DAY)->{body},
	'/stats: HEAD');
foreach my $case (
	[ 'no site_id', [ date => $DAY ], qr/site_id/ ],
	[ 'an empty site_id', [ site_id => '' ], qr/site_id/ ],
	[ 'a day that does not exist', [ site_id => 'a', date => '2025-02-29' ], qr/date.*2025-02-29/ ],
	[ 'month 13', [ site_id => 'a', date => '2025-13-01' ], qr/date.*2025-13-01/ ],
	[ 'a date of another form', [ site_id => 'a', date => '14.11.2025' ], qr/date.*YYYY-MM-DD/ ],
	[ 'a short date', [ site_id => 'a', date => '2025-1-1' ], qr/date.*YYYY-MM-DD/ ],
	[ 'limit 0', [ site_id => 'a', limit => 0 ], qr/limit/ ],
	[ 'an unknown parameter', [ site_id => 'a', event_name => 'b' ], qr/event_name.*site_id, date/ ])
{
	my ($name, $parameters, $pattern) = @$case;

	is_error(stats(@$parameters), 400, $pattern, "/stats: $name");
}

$answer = $server->post('/stats', {});
is_error($answer, 405, qr/GET, HEAD/, 'POST /stats');
is($answer->{headers}{allow}, 'GET, HEAD', 'POST /stats: Allow');

# The same by SQL

$answer = stats(site_id => 'shop', date => $DAY)->{json};
is( $server->sql("SELECT * FROM fi_stats('shop', '$DAY')"),
	"$answer->{total_views}|$answer->{unique_users}",
	'fi_stats');
is( $server->sql("SELECT * FROM fi_top_paths('shop', '$DAY')"),
	join("\n", map { "$_->{path}|$_->{views}" } @{ $answer->{top_paths} }),
	'fi_top_paths');
is( $server->sql("SELECT * FROM fi_top_paths('shop', '$DAY', max_rows => 1)"),
	"$answer->{top_paths}[0]{path}|$answer->{top_paths}[0]{views}",
	'fi_top_paths: max_rows');
foreach my $call ("fi_stats(NULL)", "fi_stats('a', 'infinity')", "fi_top_paths(NULL)", "fi_top_paths('a', max_rows => 0)")
{
	my ($result, $stdout, $stderr) =
	  $server->node->psql('postgres', "\\set VERBOSITY sqlstate\nSELECT $call");

	like($stderr, qr/22023/, "$call is refused");
}

$server->node->stop;
done_testing();
