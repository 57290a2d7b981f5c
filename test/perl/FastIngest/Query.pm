# What the tests of queries share: a few events to ask for, whole answers, and queries that
# wait.

package FastIngest::Query;

use strict;
use warnings;

use Exporter 'import';
use FastIngest::Event;
use FastIngest::Http;
use FastIngest::Wait;
use Test::More;

our @EXPORT = qw(post_views wait_for_query_worker without_raw_rows is_body groups send_query block_queries wait_until_blocked);

# Post five views of the site "shop" on two channels, from 13:20 to 15:20 UTC of $DAY, with
# user u1 on both. Returns the time of the first one.
sub post_views
{
	my ($server) = @_;
	my $begin = $NOON + 80 * 60;
	my @views = (
		[ 'web', 'u1', 0, '/home' ],
		[ 'web', 'u1', 1, '/home' ],
		[ 'web', 'u2', 59, '/pricing' ],
		[ 'mobile', 'u1', 7200, '/home' ],
		[ 'mobile', undef, 7201, undef ]);

	is( $server->post_bulk(
			[
				map {
					{
						event_name => 'view',
						channel => $_->[0],
						user_id => $_->[1] || 'u3',
						timestamp => $begin + $_->[2],
						site_id => 'shop',
						$_->[3] ? (path => $_->[3]) : ()
					}
				} @views
			])->{status},
		202,
		'events are stored');
	ok(wait_for_query_worker($server), 'the query worker answers');
	return $begin;
}

sub wait_for_query_worker
{
	my ($server) = @_;

	return wait_until(sub { $server->get('/stats?site_id=x')->{status} eq '200' });
}

# A body but for the number of raw rows, which depends on what is in the rollup already.
sub without_raw_rows
{
	my ($body) = @_;

	return $body =~ s/,"raw_rows":\d+|"raw_rows":\d+,//r;
}

# The whole body is this, byte for byte, but for the number of raw rows.
sub is_body
{
	my ($answer, $body, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;

	return is(
		"$answer->{status} $answer->{headers}{'content-type'} " . without_raw_rows($answer->{body}),
		"200 application/json $body", $name);
}

sub groups
{
	my ($answer) = @_;

	return [ map { $_->{group} } @{ $answer->{json}{data} || [] } ];
}

# Send a query on a connection of its own and wait for nothing. Returns the connection.
sub send_query
{
	my ($server, $path) = @_;
	my $connection = $server->connect;

	$connection->send(http_message('GET', $path));
	return $connection;
}

# A session that makes every query wait, until its quit()
sub block_queries
{
	my ($server) = @_;

	return $server->lock_table(
		$server->sql(
			"SELECT string_agg(oid::regclass::text, ', ') FROM pg_class
			 WHERE relnamespace = 'fast_ingest'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition"
		));
}

# Wait until the query worker waits for a lock.
sub wait_until_blocked
{
	my ($server) = @_;

	return wait_until(
		sub {
			$server->sql(
				"SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'fast_ingest query' AND wait_event_type = 'Lock'"
			);
		});
}

1;
