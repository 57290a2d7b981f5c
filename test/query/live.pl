# fi_live equals the raw rows of the last minutes: fresh to the last commit, of a site and of all, from
# deltas and from the rollup.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use FastIngest;
use FastIngest::RandomSeries;
use Test::More;

my $server = FastIngest->new('live', conf => "fast_ingest.refresh_backlog = 0\njit = off\n");

$server->sql(<<'EOQ');
DO $$BEGIN
  PERFORM fi_create_partition(day::date) FROM generate_series(now() - interval '2 days', now() + interval '2 days', '1 day') day;
END$$;
-- so many events of the last and the next minutes
CREATE FUNCTION add_events(n integer, low interval, high interval, seed integer) RETURNS void LANGUAGE sql AS $$
  INSERT INTO fast_ingest.events (event_name, channel, user_id, ts, site_id, path)
  SELECT 'name' || h % 7, (ARRAY['web', 'mobile'])[1 + h % 2], CASE WHEN h % 11 > 0 THEN 'u' || h / 25 % 61 END,
    now() + low + (high - low) * (i::float8 / n), CASE WHEN h / 7 % 5 > 0 THEN 'site' || h / 7 % 3 END,
    CASE WHEN h % 9 > 0 THEN '/' || h / 13 % 17 END
  FROM generate_series(0, n - 1) i, LATERAL (SELECT abs(hashint4(i + seed) / 2) AS h) r
$$;
SELECT add_events(3000, '-3 hours', '20 minutes', 1);
EOQ

sub live_is_exact
{
	my ($state) = @_;
	my $differing = $server->sql(join '', map { live_comparison($_, 10) . live_comparison($_, 3) } undef, 'site0', 'site1', 'nothing');

	is(join("\n", grep { /^DIFFERS/ } split /\n/, $differing), '', $state);
	return;
}

live_is_exact('from deltas');
$server->sql('SELECT fi_refresh()');
live_is_exact('from the rollup');
$server->sql("SELECT add_events(500, '-40 minutes', '1 minute', 2)");
live_is_exact('with deltas');
$server->sql("DELETE FROM fast_ingest.events WHERE user_id = 'u3'");
live_is_exact('with rows that are to be counted again');
$server->sql('SELECT fi_refresh()');
live_is_exact('when they have been');

# An event is there with its commit
my $users = "SELECT unique_users FROM fi_live('fresh') WHERE part = 'last 5 minutes'";
is($server->sql($users), 0, 'nobody');
is( $server->sql("INSERT INTO fast_ingest.events (event_name, channel, user_id, ts, site_id, path) VALUES ('view', 'web', 'me', now(), 'fresh', '/');\n$users"),
	1, 'an event counts at once');
is( $server->sql("SELECT part, key, total_events, unique_users FROM fi_live('fresh') WHERE part IN ('page', 'event')"),
	"page|/|1|1\nevent|view|1|1", 'its page and its name, too');
is($server->sql("SELECT count(*) FILTER (WHERE part = 'minute'), count(*) FROM fi_live('nothing')"), '30|32', 'empty minutes are there');

foreach (
	[ "''", qr/site is empty/ ],
	[ "'s', 0", qr/top 0 is not valid: expected 1 to 100/ ],
	[ "'s', 101", qr/top 101 is not valid: expected 1 to 100/ ])
{
	my ($arguments, $expected) = @$_;
	my ($status, undef, $error) = $server->node->psql($server->{database}, "SELECT * FROM fi_live($arguments)");

	is($status, 3, "refused: $arguments");
	like($error, $expected, 'with the reason');
}

done_testing();
