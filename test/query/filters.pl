# GET /metrics counts what its filters say, by raw rows as by the rollup: names, sites, channels,
# pages, breakdowns, columns, tags and members of metadata, several at once, whatever text they hold.
# It says how many raw rows that took. Weeks, months and names are groups; align widens a range.

use strict;
use warnings;
use utf8;

use Encode ();
use FindBin;
use lib "$FindBin::RealBin/../perl";

use FastIngest;
use FastIngest::Query;
use Test::More;

my $server = FastIngest->new('filters');

sub metrics { return $server->query('/metrics', @_) }

# ---------------------------------------------------------------------------
# Events
# ---------------------------------------------------------------------------

# What clients may put into any text
my @strange = (
	'a,b', '\\', 'a\\,b', ',', ' ', '%', '%2C', '+', '&=?#', q('), q("), q('; DROP TABLE fast_ingest.events; --), '$$x$$', '$1', 'NULL', 'null', '{}',
	'<script>alert(1)</script>', "\x{7}", "two\nlines", 'çömert', "\x{1F600}", 'x' x 9000, 'x' x 8999 . 'y');
my @events = (
	(map {
		{
			event_name => qw(view view buy) [ $_ % 3 ], channel => qw(web mobile api) [ $_ / 3 % 3 ], user_id => 'u' . $_ * 7 % 11,
			timestamp => $NOON + $_ * 977 % 86000, site_id => qw(shop shop.example blog) [ $_ / 2 % 3 ], path => '/' . $_ % 5,
			campaign_id => 'c' . $_ % 4, tags => [ 't' . $_ % 2, 't' . $_ % 3, 't2' ],
			metadata => { plan => qw(free pro) [ $_ / 5 % 2 ], n => $_ % 4, half => $_ % 4 / 2, ok => $_ % 2 ? JSON::PP::true : JSON::PP::false, none => undef, 'with.dot' => 'd', list => [ 1, 2 ] }
		}
	} 0 .. 179),
	map {
		{
			event_name => 'strange', channel => $_, user_id => 'u', timestamp => $NOON, site_id => $_, path => $_, campaign_id => $_,
			tags => [ $_, 'tag' ], metadata => { $_ => $_ }
		}
	} @strange);

is($server->post_bulk(\@events)->{json}{accepted}, scalar @events, 'events are stored');
ok(wait_for_query_worker($server), 'the query worker answers');
$server->sql(q(SELECT fi_add_breakdown('plan', 'metadata->>''plan''', '{day}'), fi_add_breakdown('Ü x', 'campaign_id', '{hour,day}')));

# What the raw rows say
sub raw
{
	my ($condition) = @_;

	return $server->sql("SELECT count(*), count(DISTINCT user_id) FROM fast_ingest.events WHERE $condition");
}

sub total
{
	my ($answer) = @_;

	return $answer->{status} eq 200 ? "$answer->{json}{total_events}|$answer->{json}{unique_users}" : "$answer->{status} $answer->{body}";
}

# ---------------------------------------------------------------------------
# Every filter, before and after a refresh
# ---------------------------------------------------------------------------

my @cases = (
	[ [], 'true' ],
	[ [ event_name => 'view' ], "event_name = 'view'" ],
	[ [ channel => 'web' ], "channel = 'web'" ],
	[ [ channel => 'web,mobile' ], "channel IN ('web', 'mobile')" ],
	[ [ channel => 'web,web' ], "channel = 'web'" ],
	[ [ channel => 'nothing,web' ], "channel = 'web'" ],
	[ [ channel => 'nothing' ], 'false' ],
	[ [ site => 'shop' ], "site_id = 'shop'" ],
	[ [ site => 'shop,blog' ], "site_id IN ('shop', 'blog')" ],
	[ [ site => 'shop', page => '/1' ], "site_id = 'shop' AND path = '/1'" ],
	[ [ site => 'shop', page => '/1,/2', event_name => 'buy' ], "site_id = 'shop' AND path IN ('/1', '/2') AND event_name = 'buy'" ],
	[ [ page => '/1' ], "path = '/1'" ],
	[ [ path => '/1' ], "path = '/1'" ],
	[ [ path => '/1', page => '/2' ], 'false' ],
	[ [ campaign_id => 'c1,c2', channel => 'api' ], "campaign_id IN ('c1', 'c2') AND channel = 'api'" ],
	[ [ tag => 't1' ], "'t1' = ANY (tags)" ],
	[ [ tag => 't0,t1,t2' ], "tags && '{t0,t1,t2}'" ],
	[ [ tag => 't1', site => 'shop' ], "'t1' = ANY (tags) AND site_id = 'shop'" ],
	[ [ plan => 'pro' ], "metadata->>'plan' = 'pro'" ],
	[ [ plan => 'pro,free' ], "metadata->>'plan' IN ('pro', 'free')" ],
	[ [ 'metadata.plan' => 'pro' ], "metadata->>'plan' = 'pro'" ],
	[ [ 'metadata.n' => '1' ], "metadata->>'n' = '1'" ],
	[ [ 'metadata.n' => '1,3', plan => 'free', site => 'blog', channel => 'web' ],
		"metadata->>'n' IN ('1', '3') AND metadata->>'plan' = 'free' AND site_id = 'blog' AND channel = 'web'" ],
	[ [ 'metadata.half' => '0.5' ], "metadata->>'half' = '0.5'" ],
	[ [ 'metadata.ok' => 'true' ], "metadata->>'ok' = 'true'" ],
	[ [ 'metadata.none' => 'null' ], 'false' ],
	[ [ 'metadata.with.dot' => 'd' ], "metadata->>'with.dot' = 'd'" ],
	[ [ 'metadata.list' => '[1\\, 2]' ], "metadata->>'list' = '[1, 2]'" ],
	[ [ 'metadata.nothing' => 'x' ], 'false' ],
	[ [ from => $NOON + 1, to => $NOON + 50000, channel => 'web', 'metadata.plan' => 'pro' ],
		"ts >= to_timestamp($NOON + 1) AND ts < to_timestamp($NOON + 50000) AND channel = 'web' AND metadata->>'plan' = 'pro'" ]);

sub is_exact
{
	my ($state) = @_;

	foreach my $case (@cases)
	{
		my ($parameters, $condition) = @$case;
		my $name = substr query_path('', @$parameters), 0, 100;
		my $answer = metrics(@$parameters);

		is(total($answer), raw($condition), "$state: $name");
		next if grep { $_ eq 'event_name' } @$parameters;

		# the groups of an answer are of the same events
		my $by_name = metrics(@$parameters, group_by => 'event');
		my %raw = map { /(.*)\|(.*)\|(.*)/s ? ($1 => "$2|$3") : () } split /\n(?=[a-z])/,
		  $server->sql("SELECT event_name, count(*), count(DISTINCT user_id) FROM fast_ingest.events WHERE $condition GROUP BY 1");

		is(total($by_name), raw($condition), "$state: $name by name: the total");
		is_deeply({ map { $_->{group} => "$_->{total_events}|$_->{unique_users}" } @{ $by_name->{json}{data} } }, \%raw, "$state: $name by name");
	}
	return;
}

is_exact('deltas');
$server->sql('SELECT fi_refresh()');
is_exact('rollup');

# ---------------------------------------------------------------------------
# Any text
# ---------------------------------------------------------------------------

sub escaped { return $_[0] =~ s/([\\,])/\\$1/gr }

foreach my $text (@strange)
{
	my $name = Encode::encode('UTF-8', substr $text, 0, 40);

	foreach my $filter (qw(channel site page path campaign_id tag), "Ü x", length $text < 100 ? "metadata.$text" : ())
	{
		my $parameter = Encode::encode('UTF-8', $filter) =~ s/([^A-Za-z0-9._-])/sprintf '%%%02X', ord $1/ger;
		my $answer = metrics(event_name => 'strange', $parameter => escaped($text));

		is(total($answer), '1|1', "$filter is '$name'");
		$answer = metrics($parameter => 'nothing,' . escaped($text) . ',' . escaped('a\\b'));
		is(total($answer), '1|1', 'among others');
	}
}
is(total(metrics(tag => join ',', map { escaped($_) } grep { length $_ < 1000 } @strange)), (@strange - 2) . '|1', 'all of them, once each');
is(metrics(site => 'x' x 9001)->{json}{total_events}, 0, 'a long value that is not there');
is(metrics(site => join ',', 1 .. 2000)->{json}{total_events}, 0, 'many values');
is($server->count, scalar @events, 'the events are still there');

# ---------------------------------------------------------------------------
# Raw rows
# ---------------------------------------------------------------------------

foreach my $case (
	[ [ channel => 'web' ], q('{"channel":"web"}') ],
	[ [ site => 'shop', group_by => 'page' ], q('{"site":"shop"}'), 'page' ],
	[ [ 'metadata.n' => '1,2' ], q('{"metadata":{"n":["1","2"]}}') ],
	[ [ 'metadata.n' => 1, group_by => 'channel' ], q('{"metadata":{"n":1}}'), 'channel' ])
{
	my ($parameters, $filter, $group_by) = @$case;
	my $answer = metrics(@$parameters);
	my $sql = sub { return $server->sql("SELECT sum(rows_read) FROM fi_metrics_sources(filter => $filter@_) WHERE source = 'raw'") };

	is($answer->{json}{raw_rows}, $sql->() + ($group_by ? $sql->(", group_by => '$group_by'") : 0), query_path('raw_rows of ', @$parameters));
}
is(metrics($_ => 'shop')->{json}{raw_rows}, 0, "$_: the rollup answers") foreach qw(channel site page plan);
cmp_ok(metrics('metadata.n' => '1')->{json}{raw_rows}, '>', 0, 'raw rows are counted');
like(metrics(event_name => 'view', group_by => 'channel')->{body}, qr/^\{"event_name":"view","grouped_by":"channel","total_events":\d+,"unique_users":\d+,"raw_rows":\d+,"data":\[/, 'where they are in the answer');
like(metrics()->{body}, qr/^\{"total_events":\d+,"unique_users":\d+,"raw_rows":0\}$/, 'no event_name, none in the answer');

# ---------------------------------------------------------------------------
# Weeks, months, aligned ranges
# ---------------------------------------------------------------------------

is_deeply(groups(metrics(group_by => 'week', from => '2024-08-01T00:00:00Z', to => '2024-08-20T00:00:00Z')),
	[ '2024-07-29T00:00:00Z', map { "2024-08-${_}T00:00:00Z" } qw(05 12 19) ], 'weeks begin on Monday');
is_deeply(
	groups(metrics(group_by => 'week', week_start => 'sunday', timezone => 'Asia/Kathmandu', from => '2024-08-04T00:00:00Z', to => '2024-08-20T00:00:00Z')),
	[ map { "2024-08-${_}T00:00:00+05:45" } qw(04 11 18) ], 'or on Sunday, in any zone');
is_deeply(groups(metrics(group_by => 'month', timezone => 'Europe/Berlin', from => '2024-01-31T23:00:00Z', to => '2024-05-01T00:00:00Z')),
	[ '2024-02-01T00:00:00+01:00', '2024-03-01T00:00:00+01:00', '2024-04-01T00:00:00+02:00', '2024-05-01T00:00:00+02:00' ], 'months');
is_deeply(groups(metrics(group_by => 'month', fill => 'false', from => '2024-01-01T00:00:00Z')), ['2024-08-01T00:00:00Z'], 'months with events');

my $aligned = metrics(from => $NOON + 61.5, to => $NOON + 3599, align => 'true', channel => 'web,api')->{json};

is("$aligned->{from} $aligned->{to}", $NOON + 60 . ' ' . ($NOON + 3600), 'the range that was answered is echoed');
is("$aligned->{total_events}|$aligned->{unique_users}",
	raw("ts >= to_timestamp($NOON + 60) AND ts < to_timestamp($NOON + 3600) AND channel IN ('web', 'api')"), 'and was answered');
is($aligned->{raw_rows}, 0, 'from the rollup alone');
foreach my $group (qw(page plan channel event hour week))
{
	my $answer = metrics(from => $NOON + 61, to => $NOON + 50000, align => 'true', group_by => $group)->{json};
	my $condition = "ts >= to_timestamp($answer->{from}) AND ts < to_timestamp($answer->{to})";
	my $key = { page => 'path', plan => q(metadata->>'plan') }->{$group} || 'channel';

	is("$answer->{total_events}|$answer->{unique_users}", raw($condition), "aligned by $group: the total is of the range that is echoed");
	cmp_ok($answer->{from}, '<=', $NOON + 61, 'which holds the one that was asked for');
	cmp_ok($answer->{to}, '>=', $NOON + 50000, 'at both ends');
	is($answer->{raw_rows}, 0, 'without raw rows');
	next unless $group eq 'page' || $group eq 'plan' || $group eq 'channel';
	my $sum = 0;
	$sum += $_->{total_events} foreach @{ $answer->{data} };
	is($sum, $server->sql("SELECT count(*) FROM fast_ingest.events WHERE $condition AND $key IS NOT NULL"), 'and so are the groups');
}

# ---------------------------------------------------------------------------
# Bad filters
# ---------------------------------------------------------------------------

foreach my $case (
	[ [ site => '' ], qr/^site is empty: expected a value, or no site$/ ],
	[ [ site => 'a,' ], qr/^site "a," is not allowed: expected values with commas between them/ ],
	[ [ site => ',a' ], qr/^site ",a" is not allowed: expected values with commas/ ],
	[ [ path => 'a,,b' ], qr/^path "a,,b" is not allowed: expected values with commas/ ],
	[ [ path => 'a\\b' ], qr/^path "a\\b" is not allowed: expected \\\\ for a backslash, and \\, for a comma/ ],
	[ [ 'metadata.x' => 'a\\' ], qr/^metadata\.x "a\\" is not allowed: expected \\\\ for a backslash/ ],
	[ [ colour => 'red' ], qr/^unknown parameter "colour": expected event_name, from.* or as a filter channel, site, page, campaign_id, path, tag, metadata\.<member> or a breakdown made by fi_add_breakdown\(\)$/ ])
{
	my ($parameters, $pattern) = @$case;

	is_error(metrics(@$parameters), 400, $pattern, query_path('bad: ', @$parameters));
}
foreach my $unknown (qw(metadata metadata. METADATA.plan site_id user_id Channel tags event step top date total))
{
	is_error(metrics($unknown => 'x'), 400, qr/^unknown parameter "\Q$unknown\E": expected event_name, from, to/, "unknown: $unknown");
}
is_error(metrics(site => 'a', site => 'b'), 400, qr/"site".*more than once/, 'a filter twice');
is_error(metrics('%3Cb%3E%27%22' => 'x'), 400, qr/^unknown parameter "<b>'""/, 'markup in a name');
is_error(metrics(site => "a\xff"), 400, qr/"site".*UTF-8/, 'a value that is not UTF-8');
is_error(metrics('%ff' => 'a'), 400, qr/UTF-8/, 'a name that is not');
is_error(metrics(site => "a\0b"), 400, qr/%00/, 'NUL');
is_error($server->get('/metrics?s%00=a'), 400, qr/%00/, 'NUL in a name');
is_error(metrics(map { ("metadata.m$_" => 'x') } 1 .. 33), 400, qr/at most 32/, 'too many');
is(metrics(map { ("metadata.m$_" => 'x') } 1 .. 32)->{json}{total_events}, 0, 'not too many');

$server->sql(q(SELECT fi_add_breakdown('colour', 'metadata->>''colour''')));
is(metrics(colour => 'red')->{json}{total_events}, 0, 'a breakdown is a filter once it is there');

$server->node->stop;
done_testing();
