# GET /overview: every number of it equals the raw rows, of any range, filter, zone and comparison, from
# deltas and from the rollup, and all its parts are of one snapshot while events come in. A part whose
# raw rows are gone, or that comes too late, has an error in its place. Keys that are limited to
# websites or channels learn of nothing else, also of the last minutes.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use FastIngest;
use FastIngest::Query;
use Test::More;

my $server = FastIngest->new('overview', conf => <<'EOC');
fast_ingest.refresh_backlog = 0
jit = off
wal_level = replica
max_wal_senders = 3
hot_standby = on
EOC

my $json = JSON::PP->new->utf8->canonical;
my $DAY = 86400;
my $begin = 1709251200;    # 2024-03-01

sub overview { return $server->query('/overview', @_) }

# ---------------------------------------------------------------------------
# Events of ten days, and of the last and the next minutes
# ---------------------------------------------------------------------------

$server->sql(<<"EOQ");
CREATE FUNCTION add_events(low timestamptz, high timestamptz, n integer, seed integer) RETURNS void LANGUAGE sql AS \$\$
  INSERT INTO fast_ingest.events (event_name, channel, user_id, ts, site_id, path, metadata)
  SELECT (ARRAY['view', 'view', 'view', 'click', 'buy'])[1 + h % 5], (ARRAY['web', 'web', 'mobile', 'api', 'tv'])[1 + h / 5 % 5],
    CASE WHEN h % 11 > 0 THEN 'u' || h / 25 % 61 END, low + (high - low) * (i::float8 / n),
    CASE WHEN h / 7 % 5 > 0 THEN 'site' || h / 7 % 3 END, CASE WHEN h % 9 > 0 THEN '/' || h / 13 % 17 END,
    jsonb_build_object('plan', (ARRAY['free', 'pro'])[1 + h / 3 % 2], 'n', h % 3)
  FROM generate_series(0, n - 1) i, LATERAL (SELECT abs(hashint4(i + seed) / 2) AS h) r
\$\$;
DO \$\$BEGIN
  PERFORM fi_create_partition(day::date) FROM generate_series(to_timestamp($begin) - interval '1 day', to_timestamp($begin) + interval '11 days', '1 day') day;
  PERFORM fi_create_partition(day::date) FROM generate_series(now() - interval '1 day', now() + interval '1 day', '1 day') day;
END\$\$;
SELECT fi_add_breakdown('plan', 'metadata->>''plan''');
SELECT add_events(to_timestamp($begin), to_timestamp($begin) + interval '10 days', 2500, 1), add_events(now() - interval '1 hour', now() + interval '3 minutes', 500, 2);
EOQ
ok(wait_for_query_worker($server), 'the query worker answers');

# ---------------------------------------------------------------------------
# What the raw rows say
# ---------------------------------------------------------------------------

my %KEYS = (event => 'event_name', channel => 'channel', site => 'site_id', page => 'path', plan => q(metadata->>'plan'));
my @CARDS = qw(event channel site page plan);

sub condition
{
	my (%q) = @_;
	my @conditions = 'true';

	push @conditions, "ts >= to_timestamp($q{from})" if defined $q{from};
	push @conditions, "ts < to_timestamp($q{to})" if defined $q{to};
	push @conditions, "event_name = '$q{event_name}'" if defined $q{event_name};
	foreach ([ site => 'site_id' ], [ channel => 'channel' ], [ page => 'path' ], [ plan => $KEYS{plan} ], [ 'metadata.n' => q(metadata->>'n') ])
	{
		my ($name, $sql) = @$_;

		push @conditions, "$sql IN (" . join(', ', map { "'$_'" } split /,/, $q{$name}) . ')' if defined $q{$name};
	}
	return join ' AND ', @conditions;
}

my $COUNTS = "'total_events', count(*), 'unique_users', count(DISTINCT user_id)";

# A value that SQL makes
sub made { return $json->decode($server->sql("SELECT $_[0]")) }

sub raw_total { return made("json_build_object($COUNTS) FROM fast_ingest.events WHERE $_[0]") }

# Days with events, by when they begin in a zone
sub raw_points
{
	my ($condition, $zone) = @_;

	return made("coalesce(json_agg(point ORDER BY day), '[]') FROM (SELECT date_trunc('day', ts, '$zone') AS day,"
		  . " json_build_object('time', extract(epoch FROM date_trunc('day', ts, '$zone'))::bigint, $COUNTS) AS point"
		  . " FROM fast_ingest.events WHERE $condition GROUP BY 1) p");
}

sub raw_card
{
	my ($name, $condition, $top) = @_;
	my $key = "($KEYS{$name})";

	return made("json_build_object('name', '$name', 'groups', count(*),"
		  . " 'rows', coalesce(json_agg(json_build_object('group', k, 'total_events', t, 'unique_users', u) ORDER BY place) FILTER (WHERE place <= $top), '[]'))"
		  . " FROM (SELECT $key AS k, count(*) AS t, count(DISTINCT user_id) AS u,"
		  . " row_number() OVER (ORDER BY count(*) DESC, $key COLLATE \"C\") AS place FROM fast_ingest.events WHERE $condition AND $key IS NOT NULL GROUP BY 1) c");
}

sub raw_live
{
	my ($condition, $now) = @_;
	my $minute = "date_trunc('minute', to_timestamp($now))";
	my $range = sub { "$condition AND ts >= $minute - interval '$_[0] minutes' AND ts < $minute + interval '1 minute'" };

	return {
		last_5_minutes => raw_total($range->(4)),
		last_30_minutes => raw_total($range->(29)),
		minutes => made("json_agg(json_build_object('time', extract(epoch FROM m)::bigint, 'total_events', coalesce(t, 0), 'unique_users', coalesce(u, 0)) ORDER BY m)"
			  . " FROM generate_series($minute - interval '29 minutes', $minute, '1 minute') m LEFT JOIN"
			  . " (SELECT date_trunc('minute', ts) AS m, count(*) AS t, count(DISTINCT user_id) AS u FROM fast_ingest.events WHERE "
			  . $range->(29) . ' GROUP BY 1) c USING (m)')
	};
}

# Totals and points of a part as they must be; empty days are checked apart
sub with_events { return [ grep { $_->{total_events} > 0 } @{ $_[0] } ] }

sub is_exact
{
	my ($state, %q) = @_;
	my $name = "$state: " . query_path('', map { $_ => $q{$_} } sort keys %q);
	my $answer = overview(%q);
	my $is = $answer->{json};
	my $condition = condition(%q);
	my $zone = $q{timezone} || 'UTC';
	my $top = $q{top} || 9;
	my @cards = $q{cards} ? split /,/, $q{cards} : @CARDS;

	is($answer->{status}, 200, $name) or return diag($answer->{body});
	is_deeply({ map { $_ => $is->{$_} } qw(total_events unique_users) }, raw_total($condition), 'the total');
	is($is->{step}, '1d', 'by day');
	is_deeply(with_events($is->{points}), raw_points($condition, $zone), 'the points');
	is_deeply([ @$is{qw(from to)} ], [ @q{qw(from to)} ], 'the very range');
	is_deeply($is->{cards}, [ map { raw_card($_, $condition, $top) } @cards ], 'the cards');
	is_deeply($is->{live}, raw_live(condition(map { $_ => $q{$_} } qw(site channel)), $is->{now}), 'the last minutes');
	if (defined $q{compare_from})
	{
		my $before = condition(%q, from => $q{compare_from}, to => $q{compare_to});

		is_deeply({ map { $_ => $is->{compare}{$_} } qw(total_events unique_users) }, raw_total($before), 'the total before');
		is_deeply(with_events($is->{compare}{points}), raw_points($before, $zone), 'the points before');
		is_deeply([ @{ $is->{compare} }{qw(from to step)} ], [ @q{qw(compare_from compare_to)}, '1d' ], 'of the range that was asked for');
	}
	else
	{
		ok(!exists $is->{compare}, 'nothing is compared');
	}
	return;
}

my @month = (from => $begin, to => $begin + 10 * $DAY, step => '1d');
my @before = (compare_from => $begin, compare_to => $begin + 5 * $DAY);
my @cases = (
	{ step => '1d' },
	{@month},
	{ @month, event_name => 'view', top => 2 },
	{ @month, from => $begin + 5 * $DAY, @before },
	{ from => $begin + 4 * $DAY + 4711, to => $begin + 9 * $DAY + 815, step => '1d', timezone => 'Asia/Kathmandu', compare_from => $begin + 77, compare_to => $begin + 2 * $DAY, top => 100 },
	{ @month, site => 'site1', @before },
	{ @month, site => 'site0,site2', channel => 'web', cards => 'page,event' },
	{ @month, channel => 'mobile,tv', timezone => 'Europe/Berlin', top => 1, cards => 'channel' },
	{ @month, page => '/3', event_name => 'click', @before },
	{ @month, plan => 'pro', cards => 'plan,site' },
	{ @month, 'metadata.n' => '1,2', site => 'site1', @before, cards => 'event' },
	{ @month, channel => 'nothing', @before });

is_exact('deltas', %$_) foreach @cases;
$server->sql('SELECT fi_refresh()');
is_exact('rollup', %$_) foreach @cases;
$server->sql("DELETE FROM fast_ingest.events WHERE user_id = 'u3'; SELECT add_events(to_timestamp($begin), to_timestamp($begin) + interval '10 days', 200, 3)");
is_exact('deltas and rows to count again', %$_) foreach @cases[ 1, 5, 8 ];

my $filled = overview(@month)->{json};
is(scalar @{ $filled->{points} }, 10, 'every day is there');
is(overview(from => $begin, to => $begin + $DAY, compare_from => $begin, compare_to => $begin + 5 * $DAY)->{json}{compare}{step}, '5m', 'the step that is chosen is that of both charts');
cmp_ok(overview(@month, 'metadata.n' => 1)->{json}{raw_rows}, '>', 0, 'raw rows are counted');
is(overview(@month)->{json}{raw_rows} + overview(@month, site => 'site1', cards => 'event,site,page')->{json}{raw_rows}, 0, 'and there is none to count where the rollup answers')
  if $server->sql('SELECT fi_refresh()');

# Slow cards are left out, if the request says so: what raw rows alone could answer, and on a slow
# machine others, too
foreach my $case ([ {}, '' ], [ { site => 'site1' }, 'channel plan' ], [ { 'metadata.n' => 1 }, "@CARDS" ])
{
	my ($filters, $left_out) = @$case;
	my %is = map { $_->{name} => $_ } @{ overview(@month, %$filters, slow_cards => 'false')->{json}{cards} };
	my %all = map { $_->{name} => $_ } @{ overview(@month, %$filters)->{json}{cards} };

	is_deeply($is{$_}, { name => $_, left_out => JSON::PP::true }, "$_ is left out") foreach split / /, $left_out;
	is_deeply($is{$_}, $all{$_}, "$_ is as ever") foreach grep { !$is{$_}{left_out} } @CARDS;
	is(join(' ', sort keys %is), join(' ', sort @CARDS), 'all are named');
}

# Standby
my $standby = $server->standby('overview_standby');
$server->node->wait_for_catchup($standby->node);
ok(wait_for_query_worker($standby), 'a standby answers');
my ($here, $there) = map { my $answer = $_->query('/overview', @month, @before)->{json}; delete @$answer{qw(now live)}; $answer } $server, $standby;
is_deeply($there, $here, 'what the primary does');
$standby->node->stop;

# ---------------------------------------------------------------------------
# One snapshot
# ---------------------------------------------------------------------------

my $load = $server->start_load(clients => 2);
my $differing = 0;
my %seen;

foreach (1 .. 30)
{
	my $is = $server->query('/overview', step => '1h', from => $NOON - $DAY, to => $NOON + $DAY, compare_from => $NOON - $DAY, compare_to => $NOON + $DAY)->{json};
	my $sum = sub { my $n = 0; $n += $_->{total_events} foreach @{ $_[0] }; return $n };
	my %of = map { $_->{name} => $sum->($_->{rows}) } @{ $is->{cards} };

	$differing++ if grep { $_ != $is->{total_events} } $sum->($is->{points}), $is->{compare}{total_events}, $sum->($is->{compare}{points}), @of{qw(event channel)};
	$seen{ $is->{total_events} } = 1;
}
$load->stop;
is($differing, 0, 'all parts are of one snapshot');
cmp_ok(scalar keys %seen, '>', 5, 'while events come in');

# ---------------------------------------------------------------------------
# Keys
# ---------------------------------------------------------------------------

my %keys = map { $_->[0] => $server->sql("SELECT fi_create_api_key('$_->[0]', $_->[1])") } (
	[ read => q('{read}') ],
	[ write => q('{write}') ],
	[ site1 => q('{read}', site_ids => '{site1}') ],
	[ web => q('{read}', channels => '{web}') ]);

$server->set('fast_ingest.require_api_key' => 'on');
$server->wait_for_answer(401, sub { overview(@month) });

sub as { my $key = shift; return $server->get(query_path('/overview', @_), headers => [ 'X-API-Key' => $keys{$key} ]) }

is_error(overview(@month), 401, qr/an API key is needed/, 'no key');
is_error(as(write => @month), 403, qr/scope "read"/, 'a key that may only write');
is_error(as(site1 => @month), 403, qr/for some websites only: expected the parameter site/, 'all websites');
is_error(as(site1 => @month, site => 'site1,site2'), 403, qr/for some websites only/, 'another one, too');
is_error(as(web => @month, site => 'site1'), 403, qr/for some channels only: expected the parameter channel/, 'all channels');
is(as(read => @month)->{status}, 200, 'a key that may read all');
foreach ([ site1 => (site => 'site1') ], [ web => (channel => 'web') ])
{
	my ($key, @limit) = @$_;
	my $is = as($key, @month, @limit, @before)->{json};
	my $condition = condition(@month, @limit);

	is($is->{total_events}, raw_total($condition)->{total_events}, "$key: what the key is for");
	is_deeply($is->{cards}, [ map { raw_card($_, $condition, 9) } @CARDS ], 'the cards');
	is_deeply($is->{live}, raw_live(condition(@limit), $is->{now}), 'the last minutes');
}
$server->set('fast_ingest.require_api_key' => 'off');
$server->wait_for_answer(200, sub { overview(@month) });

# ---------------------------------------------------------------------------
# What is not valid
# ---------------------------------------------------------------------------

foreach (
	[ 'cards=nothing', qr/cards "nothing" is not allowed: expected some of event, channel, site, page, plan, each once/ ],
	[ 'cards=event,event', qr/cards "event,event" is not allowed: .*each once/ ],
	[ 'cards=event,', qr/cards "event," is not allowed/ ],
	[ 'cards=', qr/cards is empty/ ],
	[ 'cards=day', qr/cards "day" is not allowed/ ],
	[ 'top=0', qr/top "0" is not allowed: expected a whole number from 1 to 100/ ],
	[ 'top=101', qr/top "101" is not allowed/ ],
	[ 'compare_from=1', qr/compare_to is missing: expected a time, or neither compare_from nor compare_to/ ],
	[ 'compare_to=1', qr/compare_from is missing/ ],
	[ 'compare_from=2&compare_to=1', qr/compare_from must be before compare_to/ ],
	[ 'compare_from=x&compare_to=1', qr/compare_from "x"/ ],
	[ 'from=2&to=1', qr/from must be before to/ ],
	[ 'step=1x', qr/step "1x" is not valid: expected 1m/ ],
	[ 'step=1m&from=2000-01-01T00:00:00Z&to=2024-01-01T00:00:00Z', qr/step "1m" has too many points from "from" to "to"/ ],
	[ 'step=1m&from=1&to=600&compare_from=2000-01-01T00:00:00Z&compare_to=2024-01-01T00:00:00Z', qr/step "1m" has too many points from "compare_from" to "compare_to"/ ],
	[ 'timezone=Mars', qr/timezone "Mars" is not valid/ ],
	[ 'week_start=friday', qr/week_start "friday" is not allowed/ ],
	[ 'event_name=', qr/event_name is empty/ ],
	[ 'group_by=page', qr/unknown parameter "group_by": expected event_name, from, to, step, timezone, week_start, compare_from, compare_to, top, cards, slow_cards, or as a filter/ ],
	[ 'format=csv', qr/unknown parameter "format"/ ])
{
	my ($parameters, $expected) = @$_;

	is_error($server->get("/overview?$parameters"), 400, $expected, "refused: $parameters");
}
is_error($server->post('/overview', '{}'), 405, qr/expected GET, HEAD/, 'POST');
foreach my $name (qw(cards compare_from compare_to slow_cards))
{
	my ($status, undef, $error) = $server->node->psql($server->{database}, "SELECT fi_add_breakdown('$name', 'channel')");

	like($error, qr/name "$name" is not valid for a breakdown: questions use it/, "$name is no name for a breakdown");
}

# ---------------------------------------------------------------------------
# Parts that are late
# ---------------------------------------------------------------------------

$server->set('fast_ingest.query_timeout' => '6s');
my $lock = $server->lock_table('fast_ingest.events');
my $query = send_query($server, query_path('/overview', @month, @before));
ok(wait_until(sub { $server->sql("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'fast_ingest query' AND wait_event_type = 'Lock' AND clock_timestamp() - xact_start > '3.2 s'") }),
	'more than half of its time is over');
$lock->quit;
my $late = $query->read_answer;
is($late->{status}, 200, 'a request that has waited for long is answered');
is($late->{json}{total_events}, $here->{total_events}, 'with its total');
like($late->{json}{compare}{error}, qr/^not computed: the parts before it took half of fast_ingest.query_timeout; ask for a shorter range/, 'the comparison is left out');
is(scalar(grep { $_->{error} =~ /^not computed: .*; ask for it by cards, or by GET \/metrics/ } @{ $late->{json}{cards} }), 5, 'and so are the cards');
is(scalar @{ $late->{json}{live}{minutes} }, 30, 'the last minutes are there');
$server->set('fast_ingest.query_timeout' => '10s');

# ---------------------------------------------------------------------------
# After retention
# ---------------------------------------------------------------------------

my $whole = overview(@month)->{json};
my @cut = (from => $begin + $DAY + 4711, to => $begin + 10 * $DAY, step => '1d');
my $of_cut = overview(@cut)->{json};
$server->sql(<<"EOQ");
DROP TABLE fast_ingest.events_20240301, fast_ingest.events_20240302, fast_ingest.events_20240303;
EOQ

sub without_live { my $answer = { %{ $_[0] } }; delete @$answer{qw(now live)}; return $answer }

is_deeply(without_live(overview(@month)->{json}), without_live($whole), 'whole days are answered when raw rows are gone');
my $partly = overview(@cut)->{json};
my %card = map { $_->{name} => $_ } @{ $partly->{cards} };
my %before_it = map { $_->{name} => $_ } @{ $of_cut->{cards} };

is($partly->{total_events}, $of_cut->{total_events}, 'channels know the times of events, so a range that cuts a day has its total');
is_deeply($partly->{points}, $of_cut->{points}, 'and its points');
is_deeply($card{$_}, $before_it{$_}, "card $_") foreach qw(event channel);
is_deeply([ sort keys %{ $card{page} } ], [ 'error', 'name' ], 'a card that needs raw rows has an error');
like($card{page}{error}, qr/^raw events before 2024-03-03 00:00:00\+00 are needed and have been dropped$/, 'which says why');

my $filtered = overview(@month, 'metadata.n' => 1, compare_from => $begin + 4 * $DAY, compare_to => $begin + 5 * $DAY)->{json};
like($filtered->{error}, qr/are needed and have been dropped/, 'a total that needs raw rows has an error');
ok(!exists $filtered->{total_events}, 'and no number');
is($filtered->{compare}{total_events}, raw_total(condition(from => $begin + 4 * $DAY, to => $begin + 5 * $DAY, 'metadata.n' => 1))->{total_events}, 'the comparison is answered');
is(scalar(grep { $_->{error} } @{ $filtered->{cards} }), 5, 'no card is');
is_deeply($filtered->{live}, raw_live('true', $filtered->{now}), 'the last minutes are');
like(overview(from => $begin + 5 * $DAY, step => '1d', 'metadata.n' => 1, compare_from => $begin, compare_to => $begin + 5 * $DAY)->{json}{compare}{error},
	qr/are needed and have been dropped/, 'a comparison that needs raw rows has an error');
is(overview(@month)->{status}, 200, 'the worker goes on');

done_testing();
