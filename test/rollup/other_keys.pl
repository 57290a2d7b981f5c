# Clients may invent more event_names, channels, sites, paths and keys than the rollup keeps apart,
# and send the text "(other)" in all of them. Every answer is that of the raw rows, what is counted
# together differs from every text of a client, and the rollup has no more rows than its limits
# allow.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use FastIngest;
use PostgreSQL::Test::Utils;
use Test::More;

my $NAMES = 4;    # fast_ingest.max_event_names
my $KEYS = 3;     # max_keys of every breakdown
my %EXPRESSIONS = (channel => 'channel', site => 'site_id', page => 'path', plan => "metadata->>'plan'");
my ($from, $to) = ($NOON, $NOON + 3 * 3600);
my $n = 0;

my $server = FastIngest->new('other', conf => <<EOC);
fast_ingest.refresh_backlog = 0
fast_ingest.max_event_names = $NAMES
EOC
$server->sql("UPDATE fast_ingest.breakdowns SET max_keys = $KEYS;"
	  . "SELECT fi_add_breakdown('plan', \$\$metadata->>'plan'\$\$, '{hour,day}', $KEYS)");

# An event of some name, channel, site, path, plan and user.
sub made
{
	my ($name, $channel, $site, $path, $plan, $user) = @_;

	return {
		event_name => $name,
		channel => $channel,
		user_id => $user || 'user-' . ++$n % 17,
		timestamp => $NOON + ++$n % 9000,
		site_id => $site,
		path => $path,
		metadata => { plan => $plan, n => $n }
	};
}

sub post_all
{
	my ($name, @events) = @_;

	while (my @some = splice @events, 0, 1000)
	{
		is($server->post_bulk(\@some)->{json}{accepted}, scalar @some, $name);
	}
	return;
}

# The counts of an answer
sub counts
{
	my ($row) = @_;

	return join '|', map { defined $_ ? $_ : 'none' } @{$row}{qw(total_events unique_users)};
}

# Counts of raw rows by some columns: a hash from their texts to "events|users"
sub raw
{
	my ($by, $where) = @_;
	my $rows = $server->sql("SELECT concat_ws('~', $by), count(*), count(DISTINCT user_id)"
		  . " FROM fast_ingest.events WHERE ts >= to_timestamp($from) AND ts < to_timestamp($to)"
		  . ($where ? " AND $where" : '') . " GROUP BY $by");

	return { map { /^(.*)\|(\d+\|\d+)$/ ? ($1 => $2) : () } split /\n/, $rows };
}

# Filters on what is kept apart, and on what may be among others, and what they stand for
my %FILTERS = (
	'{"channel": "web"}' => "channel = 'web'",
	'{"channel": ["channel-3", "(other)"]}' => "channel IN ('channel-3', '(other)')",
	'{"site": "site-0"}' => "site_id = 'site-0'",
	'{"site": ["(other)", "site-77"]}' => "site_id IN ('(other)', 'site-77')",
	'{"page": "/0"}' => "path = '/0'",
	'{"page": "/50"}' => "path = '/50'",
	'{"site": "site-0", "path": "/1"}' => "site_id = 'site-0' AND path = '/1'",
	'{"site": "site-1", "path": "/0"}' => "site_id = 'site-1' AND path = '/0'",
	'{"plan": ["plan-1", "plan-8"]}' => "metadata->>'plan' IN ('plan-1', 'plan-8')",
	'{"metadata": {"plan": "(other)"}}' => "metadata->>'plan' = '(other)'");

# All event_names and some, with every filter, against raw rows
sub filters_are_exact
{
	my ($name) = @_;
	my @questions;

	foreach my $event_name ('NULL', "'name-0'", "'(other)'", "'name-3'")
	{
		foreach my $filter ('{}', sort keys %FILTERS)
		{
			my $where = join ' AND ', "ts >= to_timestamp($from) AND ts < to_timestamp($to)", $FILTERS{$filter} || (),
			  $event_name eq 'NULL' ? () : "event_name = $event_name";

			push @questions,
				"SELECT \$q\$$event_name $filter\$q\$ AS question, (total_events, unique_users)::text AS ours,"
			  . " (SELECT (count(*), count(DISTINCT user_id))::text FROM fast_ingest.events WHERE $where) AS raw"
			  . " FROM fi_metrics($event_name, to_timestamp($from), to_timestamp($to), filter => '$filter')";
		}
	}
	is($server->sql('SELECT * FROM (' . join(' UNION ALL ', @questions) . ') q WHERE ours IS DISTINCT FROM raw'), '', "$name: filters, all event_names");
	return;
}

# Everything that can be asked, against raw rows
sub is_exact
{
	my ($name) = @_;
	my %range = (from => $from, to => $to);
	my $names = raw('event_name');
	my $channels = raw('event_name, channel');
	my %known = map { (split /~/)[1] => 1 } keys %$channels;
	my (@wrong, %sets);

	foreach my $event_name ((grep { !/^name-\d\d/ || /^name-(1?7|3.77)$/ } sort keys %$names), 'never')
	{
		my $got = $server->query('/metrics', event_name => $event_name, %range);
		my $wanted = $names->{$event_name} || '0|0';

		push @wrong, "$event_name: $got->{body}" if counts($got->{json}) ne $wanted;
		my $hours = $server->query('/metrics', event_name => $event_name, group_by => 'hour');
		my $sum = 0;

		$sum += $_->{total_events} foreach @{ $hours->{json}{data} };
		push @wrong, "$event_name by hour: $hours->{body}" if "$sum|" ne $wanted =~ s/\d+$//r;
	}
	is("@wrong", '', "$name: every event_name");

	@wrong = ();
	foreach my $event_name (grep { /^(name-[0-3]|\(other\))$/ } sort keys %$names)
	{
		foreach my $channel (grep { !/^channel-\d\d/ || /^channel-3.77$/ } sort keys %known)
		{
			my $got = $server->query('/metrics', event_name => $event_name, channel => $channel, %range);

			push @wrong, "$event_name, $channel: $got->{body}"
			  if counts($got->{json}) ne ($channels->{"$event_name~$channel"} || '0|0');
		}
	}
	is("@wrong", '', "$name: every channel");

	@wrong = ();
	foreach my $group (sort keys %EXPRESSIONS)
	{
		my $raw = raw("event_name, $EXPRESSIONS{$group}");

		foreach my $event_name (grep { /^(name-[0-3]|\(other\))$/ } sort keys %$names)
		{
			my $got = $server->query('/metrics', event_name => $event_name, group_by => $group, limit => 10000, %range);
			my ($others, @others) = 0;
			my $sum = 0;
			my $wanted = 0;

			foreach my $row (@{ $got->{json}{data} })
			{
				my $all = defined $row->{group} ? $raw->{"$event_name~$row->{group}"} : undef;

				$sum += $row->{total_events};
				push @others, $row unless defined $row->{group};
				push @wrong, "$event_name by $group: " . encode_json($row)
				  if defined $row->{group} ? exists $row->{other} : !$row->{other};
				push @wrong, "$event_name by $group: " . encode_json($row) . " not $all"
				  if defined $row->{group}
				  && ($got->{json}{capped} ? $row->{total_events} > (split /\|/, $all)[0] : counts($row) ne $all);
			}
			$wanted += (split /\|/, $raw->{$_})[0] foreach grep { /^\Q$event_name\E~/ } keys %$raw;
			push @wrong, "$event_name by $group: $sum not $wanted" if $sum != $wanted;
			push @wrong, "$event_name by $group: " . @others . ' groups of others'
			  if @others != ($got->{json}{capped} ? 1 : 0);
		}
	}
	is("@wrong", '', "$name: every breakdown");

	@wrong = ();
	my $sites = raw('site_id', 'site_id IS NOT NULL');
	my $paths = raw('site_id, path', 'site_id IS NOT NULL AND path IS NOT NULL');
	foreach my $site ((grep { !/^site-\d\d/ || /^site-(1?7|3.77)$/ } sort keys %$sites), 'never')
	{
		my $got = $server->query('/stats', site_id => $site, date => $DAY, limit => 10000);
		my $json = $got->{json};
		my $views = join ' ', sort map { "$_->{path}=$_->{views}" } @{ $json->{top_paths} };
		my $wanted = join ' ', sort map { /^\Q$site\E~(.*)/ ? "$1=" . (split /\|/, $paths->{$_})[0] : () } keys %$paths;

		push @wrong, "$site: $got->{body}" if "$json->{total_views}|$json->{unique_users}" ne ($sites->{$site} || '0|0');
		push @wrong, "$site: $views not $wanted" if $views ne $wanted;
	}
	is("@wrong", '', "$name: /stats of every site");
	filters_are_exact($name);
	return;
}

# Most groups that a day and three hours of it may have, by breakdown. A day of hours has
# the keys of all of them, and a group now and then more than one row.
sub has_few_rows
{
	my ($name) = @_;

	is( $server->sql(
			"SELECT string_agg(format('%s level %s: %s', breakdown, level, n), ', ') FROM (
			SELECT breakdown, level, count(DISTINCT (bucket, event_name, is_other_name, scope, key, is_other)) AS n,
				count(DISTINCT bucket) AS buckets FROM fast_ingest.rollup GROUP BY 1, 2) r
			LEFT JOIN fast_ingest.breakdowns b ON b.id IN (breakdown, ~breakdown)
			WHERE n > ($NAMES + 1) * buckets * CASE WHEN breakdown IN (0, -1) THEN 1
				WHEN level = 3 AND finest < 3 THEN 3 ELSE 1 END
				* CASE WHEN scope <> key THEN 10 * $KEYS + 11 ELSE $KEYS + 1 END"),
		'',
		"$name: no breakdown has more rows than its limits allow");
	is($server->sql('SELECT count(*) FROM fast_ingest.event_names'), $NAMES + 1, "$name: nor has the list of event_names");
	return;
}

wait_until(sub { $server->query('/stats', site_id => 'x')->{status} eq 200 });

# A client's "(other)" in every field, while all is kept apart

post_all('a few events, some of them called (other)',
	map {
		made('name-0', 'web', 'site-0', '/0', 'plan-0'),
		  made('(other)', '(other)', '(other)', '(other)', '(other)', '(other)')
	} 1 .. 20);
is_exact('deltas');
$server->sql('SELECT fi_refresh()');
is_exact('merged');
my $answer = $server->query('/metrics', event_name => '(other)', group_by => 'page');
is($answer->{body} =~ s/,"raw_rows":\d+//r,
	'{"event_name":"(other)","grouped_by":"page","total_events":20,"unique_users":1,"data":[{"group":"(other)","total_events":20,"unique_users":1}]}',
	'a client\'s (other) is a key');
is($server->sql('SELECT count(*) FROM fast_ingest.rollup WHERE is_other OR is_other_name'), 0, 'nothing is counted together');
is($server->sql("SELECT sum(rows_read) FROM fi_metrics_sources('(other)', channel => '(other)') WHERE source = 'raw'"),
	0, 'and it takes no raw rows');

# More of everything than is kept apart

sub flood
{
	my ($first) = @_;

	return map {
		made('name-' . $_ % 23, 'channel-' . $_ % 7, "site-$_", "/$_", 'plan-' . $_ % 9),
		  made('name-' . $_ % 5, 'web', 'site-' . $_ % 3, '/0', 'plan-1'),
		  made('name-' . $_ % 5, '(other)', '(other)', '(other)', '(other)'),
		  made("(other)", 'channel-' . $_ % 4, 'site-0', '/' . $_ % 6, 'plan-' . $_ % 5)
	} $first .. $first + 99;
}

post_all('many that are made up', flood(0));
is_exact('a flood, deltas');
$server->sql('SELECT fi_refresh()');
is_exact('a flood');
has_few_rows('a flood');
my $rows = $server->sql('SELECT count(*) FROM fast_ingest.rollup');
post_all('more of them', flood(1000), map { made("name-$_", "channel-$_", "site-$_", "/$_", "plan-$_") } 3000 .. 3999);
$server->sql('SELECT fi_refresh()');
has_few_rows('another flood');
cmp_ok($server->sql('SELECT count(*) FROM fast_ingest.rollup'), '<', 2 * $rows, "$rows rows were nearly enough for another flood, too");
is($server->sql('SELECT string_agg(DISTINCT scope || key || event_name, \'\') FROM fast_ingest.rollup WHERE is_other AND is_other_name'),
	'', 'what is counted together has no texts');

# The first keys are kept apart, and their answers need no raw rows

is( $server->sql("SELECT string_agg(event_name, ' ' ORDER BY event_name) FROM fast_ingest.event_names WHERE NOT is_other"),
	'(other) name-0 name-1 name-2',
	'first come, first served');
foreach my $query ("'name-1'", "'(other)', channel => '(other)'", "'name-0', channel => 'web', since => to_timestamp($NOON)")
{
	is($server->sql("SELECT sum(rows_read) FROM fi_metrics_sources($query) WHERE source = 'raw'"), 0, "fi_metrics($query) takes no raw rows");
}

# Deleting counts again what is left, and keeps what is counted together so

$server->sql("DELETE FROM fast_ingest.events WHERE ts >= to_timestamp($NOON + 600) AND ts < to_timestamp($NOON + 660) OR event_name = 'name-3077'");
is_exact('deleted');
$server->sql('SELECT fi_refresh()');
is_exact('counted again');
has_few_rows('counted again');

# A key that was counted with others gets no rows of its own when there is room again: its
# events of before stay where they are

$server->sql(<<EOQ);
SELECT fi_create_partition('2024-07-01');
INSERT INTO fast_ingest.events (event_name, channel, user_id, ts)
SELECT 'room', 'c' || n, 'u' || n, '2024-07-01 18:00Z'::timestamptz + n * interval '1 minute' FROM generate_series(1, $KEYS + 1) n;
SELECT fi_refresh();
DELETE FROM fast_ingest.events WHERE channel = 'c1';
SELECT fi_refresh();
INSERT INTO fast_ingest.events (event_name, channel, user_id, ts) VALUES ('room', 'c4', 'u5', '2024-07-01 18:30Z');
SELECT fi_refresh();
EOQ
is(counts($server->query('/metrics', event_name => 'room', channel => "c$_")->{json}), $_ == 1 ? '0|0' : $_ == 4 ? '2|2' : '1|1',
	"channel c$_ after another was deleted") foreach 1 .. 4;

# Pages of an answer with a group of others: every group once, in order

my @all = map { defined $_->{group} ? "=$_->{group}" : 'others' }
  @{ $server->query('/metrics', event_name => '(other)', group_by => 'plan')->{json}{data} };
my (@paged, $cursor);
do
{
	my $page = $server->query('/metrics', event_name => '(other)', group_by => 'plan', limit => 1, defined $cursor ? (cursor => $cursor) : ())->{json};

	push @paged, map { defined $_->{group} ? "=$_->{group}" : 'others' } @{ $page->{data} };
	$cursor = $page->{next_cursor};
} while (defined $cursor && @paged < 100);
is("@paged", "@all", 'pages have every group once');
is(scalar(grep { $_ eq 'others' } @all), 1, 'among them the others');

# Equal totals: the others come first
$server->sql(<<EOQ);
INSERT INTO fast_ingest.events (event_name, channel, user_id, ts, path)
SELECT 'tie', 'web', 'u', '2024-07-01 12:00Z', '/' || n FROM generate_series(1, 10 * $KEYS + 1) n;
SELECT fi_refresh();
EOQ
(@paged, $cursor) = ();
do
{
	my $page = $server->query('/metrics', event_name => 'tie', group_by => 'page', limit => 1, defined $cursor ? (cursor => $cursor) : ())->{json};

	push @paged, map { defined $_->{group} ? $_->{group} : 'others' } @{ $page->{data} };
	$cursor = $page->{next_cursor};
} while (defined $cursor && @paged < 100);
is("@paged", join(' ', 'others', map { "/$_" } sort 1 .. 10 * $KEYS), 'pages of groups with the same total; pages of no website have the limit of all');

# Websites and pages of a day on which nobody sends an "(other)"

$server->sql(<<EOQ);
INSERT INTO fast_ingest.events (event_name, channel, user_id, ts, site_id, path)
SELECT 'visit', 'web', 'user-' || n % 5, '2024-07-01 15:00Z', 'site-' || n % 8, '/' || n % 10 FROM generate_series(1, 240) n;
SELECT fi_refresh();
EOQ
is( $server->query('/stats', site_id => "site-$_", date => '2024-07-01')->{body},
	$server->sql("SELECT format('{\"site_id\":\"site-$_\",\"date\":\"2024-07-01\",\"total_views\":%s,\"unique_users\":%s,\"top_paths\":[%s]}',"
		  . ' sum(n), (SELECT count(DISTINCT user_id) FROM fast_ingest.events WHERE site_id = min(s) AND ts < \'2024-07-02\'),'
		  . " string_agg(format('{\"path\":\"%s\",\"views\":%s}', path, n), ',' ORDER BY n DESC, path))"
		  . " FROM (SELECT min(site_id) AS s, path, count(*) AS n FROM fast_ingest.events WHERE site_id = 'site-$_' AND ts < '2024-07-02' GROUP BY path) p"),
	"/stats beyond max_keys: site-$_") foreach 0, 1, 7;
is( $server->sql("SELECT count(*), count(*) FILTER (WHERE scope = '') FROM fast_ingest.rollup"
		  . " WHERE is_other AND breakdown = 3 AND bucket = '2024-07-01' AND event_name = 'visit'"),
	'8|0', 'every website has its own others');

# In CSV and SQL

like($server->query('/metrics', event_name => '(other)', group_by => 'plan', format => 'csv')->{body},
	qr/^group,total_events,unique_users,is_other\r\n(?=[^\0]*^,\d+,\d+,true\r?$)(?=[^\0]*^\(other\),\d+,\d+,false\r?$)/m,
	'CSV has a column for it');
unlike($server->query('/metrics', event_name => '(other)', group_by => 'hour', format => 'csv')->{body}, qr/other/, 'hours have none');
is($server->sql("SELECT count(*) FILTER (WHERE group_key IS NULL), count(*) FILTER (WHERE group_key = '(other)') FROM fi_metrics('(other)', group_by => 'plan')"),
	'1|1', 'in SQL its key is NULL');

# Raw rows are gone: what was kept apart is answered as before, what may be among
# others is an error

my @kept = (
	[ '/metrics', event_name => 'name-1' ],
	[ '/metrics', event_name => '(other)', channel => '(other)' ],
	[ '/metrics', event_name => '(other)', group_by => 'plan' ]);
my @before = map { $server->query(@$_)->{body} } @kept;
$server->sql('DROP TABLE fast_ingest.events_20240812');
is(join("\n", map { $server->query(@$_)->{body} } @kept), join("\n", @before), 'without raw rows, what is kept apart is known');
is_error($server->query(@$_), 422, qr/raw events .* are needed and have been dropped/, "without them, an error: @$_")
  foreach [ '/metrics', event_name => 'name-4' ],
  [ '/metrics', event_name => 'name-4', group_by => 'hour' ],
  [ '/metrics', event_name => 'never', group_by => 'page' ],
  [ '/metrics', event_name => '(other)', channel => 'channel-9' ],
  [ '/stats', site_id => 'site-0', date => $DAY ];
is(counts($server->query('/metrics', event_name => 'never', to => $NOON - 86400)->{json}), '0|0', 'other times know that there is none');
is($server->sql("SELECT total_events > 0 FROM fi_metrics()"), 't', 'all event_names are known together');
foreach my $question ("filter => '{\"site\": \"site-99\"}'", "filter => '{\"page\": \"/0\"}'", "'name-0', filter => '{\"channel\": \"channel-9\"}'")
{
	my ($status, undef, $stderr) = $server->node->psql('postgres', "SELECT * FROM fi_metrics($question)");

	like("$status $stderr", qr/raw events .* are needed and have been dropped/, "without them, an error: $question");
}

# With room for all keys, a day that is counted again keeps all of them apart

my $ten_names = "INSERT INTO fast_ingest.events (event_name, channel, user_id, ts, site_id)"
  . " SELECT 'name-' || n, 'web', 'u', '2024-07-01 13:00Z', 'site-' || n FROM generate_series(1, 10) n; SELECT fi_refresh()";

$server->sql($ten_names);
$server->set('fast_ingest.max_event_names' => 1000);
wait_until(sub { $server->sql('SHOW fast_ingest.max_event_names') == 1000 });
$server->sql("UPDATE fast_ingest.breakdowns SET max_keys = 1000; $ten_names");
my @twice = grep { counts($server->query('/metrics', event_name => "name-$_", from => $NOON - 50 * 86400, to => $NOON - 86400)->{json}) ne '2|1' } 1 .. 10;
is("@twice", '', 'a limit that is raised changes no answer');
$server->sql('SELECT fi_rebuild()');
is($server->sql("SELECT count(*), bool_or(is_other) FROM fast_ingest.event_names WHERE day = '2024-07-01'"), '13|f', 'fi_rebuild() chooses anew');
is($server->sql("SELECT count(*) FROM fast_ingest.rollup WHERE (is_other OR is_other_name) AND bucket < '2024-08-01'"), 0, 'nothing is counted together any more');
is($server->query('/metrics', event_name => 'tie', group_by => 'page')->{json}{capped}, undef, 'nor in answers');

$server->node->stop;
done_testing();
