# Whatever is asked at whatever moment, fi_metrics answers what count(*) and
# count(DISTINCT user_id) say of the raw rows in the same snapshot.
#
# Random sessions write in every way there is (HTTP, INSERT, COPY, MERGE, into partitions, with
# conflicts, savepoints, prepared transactions, late, into the future, on the edges of buckets).
# They delete, update, truncate and erase, refresh at the same time, and are cancelled and killed,
# while the server's clock runs through days on which zones change their offset. Readers compare
# all the while, each in a snapshot of its own, and after every phase at rest.
#
# FI_EXACTNESS_SEED: repeats what sessions do, though not how they interleave (the seed is
# printed). FI_EXACTNESS_ROUNDS: how many rounds (10, which take about two minutes).

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use FastIngest;
use FastIngest::Clock;
use FastIngest::RandomEvents;
use FastIngest::RandomQueries;
use FastIngest::Sessions;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::Local qw(timegm);

my $rounds = $ENV{FI_EXACTNESS_ROUNDS} || 10;
my $seed = $ENV{FI_EXACTNESS_SEED} || (time ^ ($$ << 8)) & 0x7fffffff;

diag("FI_EXACTNESS_SEED=$seed");
srand $seed;

# The Sunday of a month, counted from 1, on which some zone changes its offset.
sub sunday
{
	my ($year, $month, $nth) = @_;
	my $first = timegm(0, 0, 0, 1, $month - 1, $year);

	return $first + (((7 - (gmtime $first)[6]) % 7) + ($nth - 1) * 7) * $DAY_LENGTH;
}

# Where the clock is put at the beginning of each round: a day before New York or
# Lord Howe changes. All in the years to come, as a server's clock must not be
# behind that of the machine.
my @starts = map {
	my $year = $_;
	map { $_ - $DAY_LENGTH - 3 * $HOUR } sunday($year, 3, 2), sunday($year, 4, 1),
	  sunday($year, 10, 1), sunday($year, 11, 1)
} (gmtime)[5] + 1901 .. (gmtime)[5] + 1901 + int($rounds / 4);

my $clock = FastIngest::Clock->new;
$clock->set_ahead($starts[0] - time);
my $server = $clock->run(
	sub {
		FastIngest->new('exactness', conf => <<'EOC') });
max_prepared_transactions = 20
max_connections = 40
fast_ingest.refresh_backlog = 0
fast_ingest.deduplicate = 'key'
fast_ingest.max_event_names = 3
autovacuum_naptime = 2s
EOC
my $directory = PostgreSQL::Test::Utils::tempdir();
my $sessions = FastIngest::Sessions->new(server => $server, clock => $clock, directory => $directory, seed => $seed);

make_for($server, $clock, $directory);
make_raw_rows($server);

foreach my $round (1 .. $rounds)
{
	my $r = "round $round";

	$clock->set_ahead($starts[ $round - 1 ] - time) if $starts[ $round - 1 ] - time > $clock->ahead;
	make_partitions();
	if ($round == int($rounds / 2) + 1)
	{
		%capped = map { $_ => 1 } keys %MAX_KEYS;
		$server->sql(join '', map { "UPDATE fast_ingest.breakdowns SET max_keys = $MAX_KEYS{$_} WHERE name = '$_';\n" } keys %MAX_KEYS);
	}

	# Nothing refreshes: answers come from the deltas alone, or with what the
	# rounds before left.
	$server->set('fast_ingest.refresh_backlog' => 0);
	$sessions->run("$r, events arrive",
		[ (map { writer(transactions => 12) } 1 .. 3), http_writer(10), reader(6) ],
		meanwhile => $sessions->leaping(3, 2000));
	$sessions->at_rest("$r, events arrived");
	$sessions->refresh if chance(0.5);

	# Hours and days close while several refresh and late events come in.
	foreach my $turn (1 .. 2)
	{
		$clock->advance(between(1, 20 * $HOUR));
		make_partitions();
		$sessions->run("$r, hours close $turn",
			[
				(map { refresher(8) } 1 .. 3),
				(map { writer(transactions => 10, queries => \&query) } 1 .. 2),
				http_writer(8),
				reader(10)
			],
			meanwhile => $sessions->leaping(4, 2 * $HOUR));
		$sessions->at_rest("$r, hours closed $turn");
	}

	# Everything at once, the maintenance worker too
	$server->set('fast_ingest.refresh_backlog' => 50);
	make_partitions();
	my @ddl;
	if ($round == 1)
	{
		@ddl = (
			{
				kind => 'refresher',
				sql => "DO \$\$BEGIN PERFORM fi_add_breakdown('campaign', 'campaign_id', per_site => true); END\$\$;\n"
				  . "DO \$\$BEGIN PERFORM fi_add_breakdown('plan', levels => '{quarter,hour,day}', metadata => 'plan', fine_days => 2); END\$\$;\n"
				  . "DO \$\$BEGIN PERFORM fi_add_breakdown('person', 'user_id', '{hour,day}', $MAX_KEYS{person}, fine_days => 1); END\$\$;\n"
			});
	}
	$sessions->run("$r, changes",
		[
			(map { writer(transactions => 15, queries => \&query, changes => 1, prepare => 1) } 1 .. 3),
			http_writer(10),
			(map { refresher(6) } 1 .. 2),
			cancelled(12),
			rebuilder(),
			eraser(2),
			(map { reader(8) } 1 .. 2),
			@ddl
		],
		meanwhile => $sessions->leaping(4, 2 * $HOUR));
	if (@ddl)
	{
		push @breakdowns, qw(campaign plan person);
		$capped{person} = 1;
	}
	$sessions->at_rest("$r, changed");

	# TRUNCATE shows in snapshots taken before it, so nobody reads meanwhile.
	make_partitions();
	my ($gone, $kept) = (partition(any_day()), partition(any_day()));
	$sessions->run("$r, a partition is truncated",
		[
			(map { writer(transactions => 8, changes => 1) } 1 .. 2),
			http_writer(5),
			(map { { kind => 'refresher', sql => join '', map { refresh_call() } 1 .. 8 } } 1 .. 2),
			{
				kind => 'writer',
				sql => "SELECT pg_sleep(0.1);\nTRUNCATE $gone;\nBEGIN;\nTRUNCATE $kept;\n" . statement() . "ROLLBACK;\n"
			}
		],
		meanwhile => $sessions->leaping(2, $HOUR));
	$sessions->at_rest("$r, a partition was truncated");
	$sessions->refresh;
	$sessions->at_rest("$r, refreshed");

	# A process is killed, or the whole server
	my $victim = $round % 2 ? 'server' : 'refresher';
	my $kill = $sessions->killing($victim);
	make_partitions();
	$sessions->run("$r, $victim killed",
		[
			(map { writer(transactions => 80, changes => 1, prepare => 1) } 1 .. 3),
			http_writer(30),
			(map { refresher(40) } 1 .. 2)
		],
		meanwhile => $kill,
		killed => 1);
	$kill->(1);
	$victim eq 'server' ? $clock->run(sub { $server->start_again }) : $server->wait_ready;
	$sessions->end_prepared;
	$sessions->at_rest("$r, started again");
	$sessions->refresh;
	$sessions->at_rest("$r, refreshed again");

	# A breakdown is dropped and added again, and answers from raw rows.
	if (chance(0.5))
	{
		my @all = @breakdowns;

		$server->sql("SELECT fi_drop_breakdown('campaign')");
		@breakdowns = grep { $_ ne 'campaign' } @all;
		$sessions->run("$r, a breakdown comes again",
			[
				writer(transactions => 10, changes => 1),
				refresher(4),
				{
					kind => 'refresher',
					sql => "DO \$\$BEGIN PERFORM fi_add_breakdown('campaign', 'campaign_id', '{day}'); END\$\$;\n"
				}
			]);
		@breakdowns = @all;
		$sessions->at_rest("$r, a breakdown came again");
	}
}

# The test is worth something: it asked about many events, and every source has answered.

my $seen = $sessions->{seen};
cmp_ok($seen->{events} / ($seen->{asked} || 1), '>', 20, "$seen->{asked} queries in all, about many events");
is(join(' ', sort keys %{ $seen->{sources} }), 'day delta hour minute raw', 'answers came from every source');
cmp_ok($server->sql('SELECT count(*) FROM fast_ingest.event_names WHERE is_other'), '>', 0, 'there were too many event_names');
is($server->sql('SELECT max(n) FROM (SELECT count(*) AS n FROM fast_ingest.event_names WHERE NOT is_other GROUP BY day) d'), 3,
	'so many of them are kept apart on a day');
is($server->sql('SELECT string_agg(DISTINCT b.name, \' \' ORDER BY b.name) FROM fast_ingest.rollup r'
		. ' JOIN fast_ingest.breakdowns b ON b.id = r.breakdown WHERE r.is_other'),
	join(' ', sort keys %MAX_KEYS), 'and too many keys of every breakdown whose keys are limited');

# All of it is recomputed from raw rows, and all is emptied.

$server->sql(sprintf "SELECT fi_rebuild('%s', '%s')", day_name(first_day()), day_name(now() / $DAY_LENGTH + 5));
$sessions->at_rest('rebuilt');
$server->sql('TRUNCATE fast_ingest.events');
$sessions->at_rest('truncated');
$sessions->refresh;
$sessions->at_rest('truncated and refreshed');
is($server->sql('SELECT count(*) FROM fast_ingest.rollup WHERE events <> 0'), 0, 'the rollup is empty');
is($server->sql('SELECT (SELECT count(*) FROM fast_ingest.rollup_delta) + (SELECT count(*) FROM fast_ingest.recount)'
		. ' + (SELECT count(*) FROM fast_ingest.event_names)'),
	0, 'nothing is left to be merged');

$server->node->stop;
done_testing();
