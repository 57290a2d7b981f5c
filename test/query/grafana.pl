# The dashboard product.json asks what PostgreSQL answers: each of its statements, with the macros
# and variables expanded as Grafana does, is run as a role that may only ask for metrics, over the
# real log, and compared with the raw rows. No Grafana is needed.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use FastIngest;
use IO::Uncompress::Gunzip qw(gunzip);
use JSON::PP ();
use PostgreSQL::Test::Utils qw(slurp_file);
use POSIX qw(strftime);
use Test::More;

my $top = "$FindBin::RealBin/../..";
my $dashboard = JSON::PP->new->utf8->decode(slurp_file("$top/docker/grafana/dashboards/product.json"));
my $server = FastIngest->new('grafana');

sub post_log
{
	gunzip("$top/test/data/web_events.ndjson.gz" => \my $log) or die 'the log cannot be read';
	my @lines = split /\n/, $log;

	while (my @part = splice @lines, 0, 1000)
	{
		is($server->post_bulk(join("\n", @part), type => 'application/x-ndjson')->{json}{accepted}, scalar @part, 'a part of the log is stored');
	}
	return;
}

# As Grafana writes a time: UTC with milliseconds
sub grafana_time
{
	my ($time) = @_;

	return sprintf q('%s.%03dZ'), strftime('%Y-%m-%dT%H:%M:%S', gmtime int $time), ($time - int $time) * 1000 + 0.5;
}

# Expand a statement: variables first, by the browser, then macros, by the data source
sub expand
{
	my ($sql, %with) = @_;
	my $quoted = sub { return q(') . $_[0] =~ s/'/''/gr . q(') };

	$sql =~ s/\$\{(\w+):sqlstring\}/$quoted->($with{$1} \/\/ die "no variable $1")/ge;
	$sql =~ s/\$__interval\b/$with{interval}/g;
	$sql =~ s/\$__timeFrom\(\)/grafana_time($with{from})/ge;
	$sql =~ s/\$__timeTo\(\)/grafana_time($with{to})/ge;
	die "not expanded: $sql" if $sql =~ /\$/;
	return $sql;
}

sub as_analyst
{
	my ($sql) = @_;

	return $server->sql("SET ROLE analyst; SET statement_timeout = '30s'; $sql");
}

# The condition on raw rows that the variables and the range, from minute to minute, stand for
sub raw_condition
{
	my (%with) = @_;
	my @conditions = sprintf 'ts >= to_timestamp(%d) AND ts < to_timestamp(%d)',
	  int($with{from} / $with{width}) * $with{width}, POSIX::ceil($with{to} / $with{width}) * $with{width};

	push @conditions, q(event_name = ') . $with{event} =~ s/'/''/gr . q(') if $with{event} ne '(all)';
	push @conditions, q(site_id = ') . $with{site} =~ s/'/''/gr . q(') if $with{site} ne '(all)';
	return join ' AND ', @conditions;
}

post_log();
$server->sql('CREATE ROLE analyst; SELECT fi_grant_metrics($$analyst$$)');

my %panel = map { ($_->{title} => $_) } @{ $dashboard->{panels} };
my %variable = map { ($_->{name} => $_) } @{ $dashboard->{templating}{list} };
my ($uid) = slurp_file("$top/docker/grafana/datasources/postgresql.yml") =~ /^\s*uid: (\S+)$/m;

is($variable{datasource}{current}{value}, $uid, 'the dashboard is about the data source of compose.yml');
is(join(' ', map { $_->{id} } @{ $dashboard->{panels} }), join(' ', 1 .. @{ $dashboard->{panels} }), 'panels are numbered');
is(
	join(' ', grep { $_ ne '${datasource}' } map { $_->{datasource}{uid} } map { ($_, @{ $_->{targets} }) } @{ $dashboard->{panels} }),
	'', 'each panel asks the data source that is chosen');

# 2015-05-17 10:05:03.250 to 2015-05-20 21:05:59.125, as a browser sends it
my %range = (from => 1431857103.25, to => 1432155959.125, interval => '30m');
my @events = split /\n/, as_analyst(expand($variable{event}{query}, %range));
my @sites = split /\n/, as_analyst(expand($variable{site}{query}, %range));
my @by = split /\n/, as_analyst(expand($variable{by}{query}, %range));

is_deeply([ sort @events ], [ sort '(all)', qw(asset_load page_view feed_fetch http_error) ], 'the events to choose from');
is_deeply(\@sites, [ '(all)', 'semicomplete.com' ], 'the sites');
is_deeply([ sort @by ], [qw(channel event page site)], 'what to break down by');

my %column = (event => 'event_name', channel => 'channel', page => 'path', site => 'site_id');

foreach my $refreshed ('before a refresh', 'after a refresh')
{
	$server->sql('SELECT fi_refresh()') if $refreshed eq 'after a refresh';
	foreach my $event ('(all)', 'page_view', q(it's nothing))
	{
		foreach my $site ('(all)', 'semicomplete.com', q(o'site))
		{
			my %with = (%range, event => $event, site => $site);
			my $what = "event $event, site $site, $refreshed";
			# the bucket to which the range is widened: without a site the channels answer
			my $raw = raw_condition(%with, width => 60);
			my $ask = sub { return as_analyst(expand($panel{ $_[0] }{targets}[0]{rawSql}, %with, by => $_[1] // 'channel')) };

			is($ask->('Users'), $server->sql("SELECT count(DISTINCT user_id) FROM fast_ingest.events WHERE $raw"), "users: $what");
			is($ask->('Events'), $server->sql("SELECT count(*) FROM fast_ingest.events WHERE $raw"), "events: $what");
			is($ask->('Events per user'),
				$server->sql("SELECT count(*)::float8 / nullif(count(DISTINCT user_id), 0) FROM fast_ingest.events WHERE $raw"), "events per user: $what");
			is($ask->('Users in the last 5 minutes'), '0', "nobody is there now: $what");

			# 30m is rounded up to hours
			is(
				join("\n", grep { !/\|0\|0$/ } split /\n/, $ask->('Users and events')),
				$server->sql("SELECT date_trunc('hour', ts, 'UTC'), count(DISTINCT user_id), count(*) FROM fast_ingest.events WHERE $raw GROUP BY 1 ORDER BY 1"),
				"points: $what");
			foreach my $by (@by)
			{
				my $wide = $by eq 'page' ? raw_condition(%with, width => 900) : $raw;
				my $expected = "SELECT $column{$by}, count(DISTINCT user_id), count(*) FROM fast_ingest.events WHERE $wide AND $column{$by} IS NOT NULL GROUP BY $column{$by}";

				is(
					join("\n", sort split /\n/, $ask->('Most by $by', $by)),
					join("\n", sort split /\n/, $server->sql("$expected ORDER BY 3 DESC, $column{$by} COLLATE \"C\" LIMIT 100")), "most by $by: $what");
				foreach my $title ('Users by $by', 'Events by $by')
				{
					my $value = $title =~ /^Users/ ? 'count(DISTINCT user_id)' : 'count(*)';
					my @rows = grep { !/\|0$/ } split /\n/, $ask->($title, $by);
					my @times = map { /^([^|]*)/ } @rows;

					is(join(' ', @times), join(' ', sort @times), "$title, $by: in the order of time: $what");
					is(
						join("\n", sort @rows),
						join("\n",
							sort split /\n/,
							$server->sql(<<"EOQ")),
WITH raw AS (SELECT date_trunc('hour', ts, 'UTC') AS hour, $column{$by} AS key, user_id FROM fast_ingest.events WHERE $wide AND $column{$by} IS NOT NULL),
largest AS (SELECT key FROM raw GROUP BY key ORDER BY count(*) DESC, key COLLATE "C" LIMIT 10)
SELECT hour, CASE WHEN key IN (SELECT key FROM largest) THEN key ELSE '(other)' END, $value FROM raw GROUP BY 1, 2
EOQ
						"$title, $by: $what");
				}
			}
			is(
				join("\n", sort split /\n/, $ask->('Event names')),
				join("\n", sort split /\n/, $server->sql(sprintf 'SELECT event_name, count(DISTINCT user_id), count(*), min(ts), max(ts) FROM fast_ingest.events WHERE %s GROUP BY 1',
					sprintf(q(ts >= %s AND ts < %s), grafana_time($range{from}), grafana_time($range{to})) . ($site eq '(all)' ? '' : q( AND site_id = ') . $site =~ s/'/''/gr . q(')))),
				"event names: $what");
		}
	}
}

done_testing();
