# A session that asks again looks up again only what is new: users of deltas that it has not read
# yet. What it keeps of deltas has a limit, and is freed when they have been merged. Beyond the limit
# and without a cache, answers are the same. (test/isolation/specs/delta_cache.spec has what others
# may do meanwhile.)

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use FastIngest;
use Test::More;

my $LIMIT = 200;    # kB
my $server = FastIngest->new('delta_cache',
	conf => "fast_ingest.refresh_backlog = 0\nfast_ingest.delta_cache_size = ${LIMIT}kB\nautovacuum = off\n");

my $ASK = "SELECT total_events || ' ' || unique_users FROM fi_metrics('e', '2024-08-12 00:00Z', '2024-08-13 00:00Z')";
my $RAW = "SELECT count(*) || ' ' || count(DISTINCT user_id) FROM fast_ingest.events WHERE event_name = 'e'";
my $LOOKUPS = "SELECT pg_stat_get_xact_numscans('fast_ingest.users_pkey'::regclass)";
my $KEPT = "SELECT coalesce(sum(used_bytes), 0)::bigint / 1024 FROM pg_backend_memory_contexts WHERE name = 'fast_ingest delta cache'";

# A statement, and so a delta, of events of users from a number on
sub insert
{
	my ($from, $n) = @_;
	my $to = $from + ($n // 100) - 1;

	return "INSERT INTO fast_ingest.events (event_name, channel, user_id, ts)"
	  . " SELECT 'e', 'web', 'user-' || u, '2024-08-12 12:00Z' FROM generate_series($from, $to) u;\n";
}

$server->sql("SELECT fi_create_partition('2024-08-12');\n" . insert(1) . 'SELECT fi_refresh()');

# Half of the users of the first two deltas have numbers, and none of the third
my @lines = split /\n/, $server->sql(insert(1) . insert(51) . <<"EOQ" . insert(201) . <<"EOQ");
BEGIN;
$ASK;
$LOOKUPS;
$ASK;
$LOOKUPS;
EOQ
$ASK;
$LOOKUPS;
$ASK;
$LOOKUPS;
$RAW;
COMMIT;
EOQ
is($lines[0], '300 150', 'the first answer');
is($lines[1], 150, 'looks up each user once');
is($lines[2], '300 150', 'the second answer');
is($lines[3], 150, 'looks up nobody');
is($lines[4], '400 250', 'an answer with a new delta');
is($lines[5], 250, 'looks up its users');
is($lines[6], '400 250', 'the last answer');
is($lines[7], 350, 'looks up again those of the delta of this transaction, which is not kept');
is($lines[8], '400 250', 'which is that of the raw rows');

# A transaction that empties the table twice uses it from its beginning again: its second delta is
# where the first one was. (A refresh forgets that raw rows are to be counted after TRUNCATE.)
my $empty = "TRUNCATE fast_ingest.events;\nDO 'BEGIN PERFORM fi_refresh(); END';\n";
my ($first, $second, $rows) = split /\n/,
  $server->sql("BEGIN;\n$empty" . insert(1) . "$ASK;\n$empty" . insert(1, 50) . "$ASK;\n$RAW;\nROLLBACK");
is($first, '100 100', 'a delta after TRUNCATE');
is($second, '50 50', 'another one in its place');
is($rows, '50 50', 'which is that of the raw rows');

# 101 deltas of more than 2 kB
my $many = join '', map { insert($_ * 10) } 1 .. 100;
my ($kept, $answer, $raw, $again, $later, $merged, $freed) = split /\n/, $server->sql($many . <<"EOQ");
\\o /dev/null
$ASK;
\\o
$KEPT;
$ASK;
$RAW;
$ASK;
$KEPT;
\\o /dev/null
SELECT fi_refresh();
\\o
$ASK;
$KEPT;
EOQ
cmp_ok($kept, '>', $LIMIT / 2, 'deltas are kept');
cmp_ok($kept, '<', $LIMIT + 64, 'up to the limit');
is($answer, $raw, 'the answer is that of the raw rows');
is($again, $raw, 'and again');
cmp_ok($later, '<', $LIMIT + 64, 'up to the limit');
is($merged, $raw, 'and after a refresh');
cmp_ok($freed, '<', 64, 'which frees them');

$server->set('fast_ingest.delta_cache_size', '0');
$server->node->poll_query_until($server->{database}, 'SHOW fast_ingest.delta_cache_size', '0')
  or BAIL_OUT('the setting was not taken up');
($answer, $again, $kept, $raw) = split /\n/, $server->sql(insert(301) . "$ASK;\n$ASK;\n$KEPT;\n$RAW");
is($answer, $raw, 'no cache: the answer is that of the raw rows');
is($again, $raw, 'and again');
cmp_ok($kept, '<', 64, 'nothing is kept');

done_testing();
