# Partitions that a user created work: an event that comes by HTTP goes into the partition that
# takes it, and is stored and counted once, whatever the partition is called. The server creates
# partitions for what such a partition leaves of a day.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use FastIngest;
use PostgreSQL::Test::Utils;
use Test::More;

my $server = FastIngest->new('user_partitions');
my $log = $server->node->logfile;
my $n = 0;

sub at { return 0 + $server->sql("SELECT extract(epoch FROM timestamptz '$_[0]')::bigint") }

# Post events of these times, and once more: each is stored once
sub post_twice
{
	my ($name, @times) = @_;
	my @events = map { event(++$n, timestamp => at($_)) } @times;
	my $before = $server->count;

	is(join(' ', map { $server->post_event($_)->{status} } @events, @events), join(' ', (202) x (2 * @events)), "$name: accepted");
	is($server->post_bulk(\@events)->{status}, 202, "$name: all of them in bulk");
	is($server->count - $before, scalar @events, "$name: stored once");
	return;
}

sub exact
{
	my ($name) = @_;

	is($server->wrong_metrics, '', "$name: counted once");
	return;
}

sub rows
{
	my ($relation) = @_;

	return $server->sql("SELECT count(*) FROM ONLY $relation");
}

sub insert
{
	my ($relation, $time) = @_;

	$server->sql("INSERT INTO $relation (event_name, channel, user_id, ts) VALUES ('page_view', 'web', 'by name', '$time')");
	return;
}

sub refused
{
	my ($query, $pattern, $name) = @_;
	my ($result, $stdout, $stderr) = $server->node->psql('postgres', "\\set VERBOSITY verbose\n$query");

	like($stderr =~ s/\n/ /gr, qr/ERROR:  $pattern/, $name);
	return;
}

# Whole days: a month; a table of another schema with a name to be quoted, and rows

$server->sql(<<'EOQ');
CREATE TABLE fast_ingest.month PARTITION OF fast_ingest.events FOR VALUES FROM ('2024-03-01Z') TO ('2024-04-01Z');
CREATE SCHEMA "Else Where";
CREATE TABLE "Else Where"."Old Events" (LIKE fast_ingest.events INCLUDING DEFAULTS);
INSERT INTO "Else Where"."Old Events" SELECT 'seed', 'web', 'u', '2024-04-01 12:00Z';
ALTER TABLE fast_ingest.events ATTACH PARTITION "Else Where"."Old Events" FOR VALUES FROM ('2024-04-01Z') TO ('2024-04-02Z');
EOQ
post_twice('a month', '2024-03-05 10:00Z', '2024-03-31 23:59:59Z');
is(rows('fast_ingest.month'), 2, 'a month: they are in it');
post_twice('an attached table', '2024-04-01 10:00Z');
is(rows('"Else Where"."Old Events"'), 2, 'an attached table: it is in it');
insert('fast_ingest.month', '2024-03-07 10:00Z');
insert('"Else Where"."Old Events"', '2024-04-01 11:00Z');
exact('rows by the partition\'s name');
$server->sql("DELETE FROM fast_ingest.month WHERE user_id = 'by name'; UPDATE \"Else Where\".\"Old Events\" SET user_id = 'another' WHERE user_id = 'by name'");
exact('changed by the partition\'s name');

# A key belongs to its day, also in a partition of several days

foreach my $time ('2024-03-08 10:00Z', '2024-03-09 10:00Z')
{
	is($server->post_event(event(++$n, timestamp => at($time), idempotency_key => 'one', user_id => 'one key'))->{status}, 202, "one key on two days: $time")
	  foreach 1, 2;
}
is($server->count("user_id = 'one key'"), 2, 'one key on two days: two events');

# A table is attached with its indexes: a suitable index is used, and a missing one is created

$server->sql(<<'EOQ');
CREATE TABLE public.good (LIKE fast_ingest.events);
CREATE UNIQUE INDEX ON public.good (event_key);
CREATE TABLE public.poor (LIKE fast_ingest.events);
CREATE UNIQUE INDEX ON public.poor (event_key) WHERE channel = 'web';
CREATE INDEX ON public.poor (event_key);
SET quote_all_identifiers = on;
ALTER TABLE fast_ingest.events ATTACH PARTITION public.good FOR VALUES FROM ('2024-04-02Z') TO ('2024-04-03Z');
ALTER TABLE fast_ingest.events ATTACH PARTITION public.poor FOR VALUES FROM ('2024-04-03Z') TO ('2024-04-04Z');
EOQ
is($server->sql("SELECT string_agg(indrelid::regclass::text, ' ' ORDER BY 1) FROM pg_index WHERE indrelid IN ('public.good'::regclass, 'public.poor'::regclass)"),
	'good poor poor poor', 'an index that will do is enough');
post_twice('attached with indexes', '2024-04-02 10:00Z', '2024-04-03 10:00Z');

# Detached and attached again: the same partition
$server->sql("ALTER TABLE fast_ingest.events DETACH PARTITION public.good; ALTER TABLE fast_ingest.events ATTACH PARTITION public.good FOR VALUES FROM ('2024-04-02Z') TO ('2024-04-03Z')");
post_twice('attached again', '2024-04-02 11:00Z');
is($server->sql("SELECT count(*) FROM pg_index WHERE indrelid = 'public.good'::regclass"), 1, 'attached again: nothing is made twice');

# Rows with the same key cannot be attached
$server->sql(<<'EOQ');
CREATE TABLE public.doubled (LIKE fast_ingest.events);
INSERT INTO public.doubled (event_name, channel, user_id, ts, ingested_at, event_key)
SELECT 'seed', 'web', 'u', '2024-04-04 12:00Z', now(), '00000000-0000-0000-0000-000000000001' FROM generate_series(1, 2);
EOQ
refused("ALTER TABLE fast_ingest.events ATTACH PARTITION public.doubled FOR VALUES FROM ('2024-04-04Z') TO ('2024-04-05Z')",
	qr/23505: could not create unique index.*CONTEXT: .*making "doubled" a partition of fast_ingest\.events/,
	'rows with one key are not attached: the context says why');
post_twice('the refused table\'s day', '2024-04-04 10:00Z');

# Nested: leaves of a month, and a table that is attached with its partitions

$server->sql(<<'EOQ');
CREATE TABLE fast_ingest.nested PARTITION OF fast_ingest.events FOR VALUES FROM ('2024-05-01Z') TO ('2024-06-01Z') PARTITION BY LIST (channel);
CREATE TABLE fast_ingest.nested_web PARTITION OF fast_ingest.nested FOR VALUES IN ('web');
CREATE TABLE fast_ingest.nested_rest PARTITION OF fast_ingest.nested DEFAULT PARTITION BY HASH (user_id);
CREATE TABLE fast_ingest.nested_0 PARTITION OF fast_ingest.nested_rest FOR VALUES WITH (MODULUS 1, REMAINDER 0);
CREATE TABLE public.tree (LIKE fast_ingest.events INCLUDING DEFAULTS) PARTITION BY RANGE (ts);
CREATE TABLE public.leaf PARTITION OF public.tree DEFAULT;
ALTER TABLE fast_ingest.events ATTACH PARTITION public.tree FOR VALUES FROM ('2024-06-01Z') TO ('2024-07-01Z');
EOQ
post_twice('nested', '2024-05-05 10:00Z', '2024-06-05 10:00Z');
is($server->post_event(event(++$n, timestamp => at('2024-05-05 11:00Z'), channel => 'mobile'))->{status}, 202, 'nested: another leaf') foreach 1 .. 2;
is(join(' ', map { rows($_) } qw(fast_ingest.nested_web fast_ingest.nested_0 public.leaf)), '1 2 1', 'nested: they are in the leaves');
insert($_, '2024-05-06 10:00Z') foreach 'fast_ingest.nested', 'fast_ingest.nested_web';
insert($_, '2024-06-06 10:00Z') foreach 'public.tree', 'public.leaf';
exact('nested');
$server->sql('DELETE FROM fast_ingest.nested_0; SELECT fi_refresh(); DROP TABLE fast_ingest.nested_0');
is($server->post_event(event(++$n, timestamp => at('2024-05-05 11:00Z'), channel => 'mobile'))->{status}, 422,
	'nested: an event without a leaf is refused');
is($server->post_event(event(++$n, timestamp => at('2024-05-05 11:00Z')))->{status}, 202, 'nested: the others are not');

# In local time: what it takes goes into it, what it leaves of two days has partitions as well

$server->sql("SET timezone = 'Europe/Istanbul'; CREATE TABLE fast_ingest.local PARTITION OF fast_ingest.events FOR VALUES FROM ('2024-02-10') TO ('2024-02-11')");
post_twice('local time', '2024-02-09 20:59:59Z', '2024-02-09 21:00Z', '2024-02-10 20:59:59Z', '2024-02-10 21:00Z');
is(rows('fast_ingest.local'), 2, 'local time: what the partition takes is in it');
like(slurp_file($log), qr/LOG:  partition "local" takes a part of the UTC day 2024-02-10: "events_20240210_2100" was made for 2024-02-10 21:00:00\+00 to 2024-02-11 00:00:00\+00/,
	'local time: the log names it');
is($server->get('/ready')->{status}, 200, 'local time: the server is ready');
$server->sql(<<'EOQ');
CREATE TABLE fast_ingest.hour_a PARTITION OF fast_ingest.events FOR VALUES FROM ('2024-02-20 00:00Z') TO ('2024-02-20 01:30:00.5Z');
CREATE TABLE fast_ingest.hour_b PARTITION OF fast_ingest.events FOR VALUES FROM ('2024-02-20 10:00Z') TO ('2024-02-20 11:00Z');
EOQ
post_twice('hours', '2024-02-20 01:30Z', '2024-02-20 01:30:01Z', '2024-02-20 10:30Z', '2024-02-20 23:00Z');
is($server->sql("SELECT fi_create_partition('2024-02-20')"), 'fast_ingest.hour_a', 'hours: nothing is missing of the day');
exact('parts of days');
$server->sql('DELETE FROM fast_ingest.local; SELECT fi_refresh(); DROP TABLE fast_ingest.local');
post_twice('local time, dropped', '2024-02-10 10:00Z', '2024-02-10 22:00Z');

# A table of the same name in another schema is left alone

$server->sql('CREATE SCHEMA strange; CREATE TABLE strange.events (ts timestamptz) PARTITION BY RANGE (ts); CREATE TABLE strange.part PARTITION OF strange.events DEFAULT');
is($server->sql("SELECT count(*) FROM pg_trigger WHERE tgrelid = 'strange.part'::regclass"), 0, 'another table has no triggers of ours');

# A foreign table takes none of the events, and says so; other days go on

SKIP:
{
	skip 'there is no file_fdw', 3
	  if $server->sql("SELECT count(*) FROM pg_available_extensions WHERE name = 'file_fdw'") == 0;
	$server->sql(<<'EOQ');
CREATE EXTENSION file_fdw;
CREATE SERVER files FOREIGN DATA WRAPPER file_fdw;
CREATE FOREIGN TABLE fast_ingest.archive PARTITION OF fast_ingest.events FOR VALUES FROM ('2024-01-01Z') TO ('2024-02-01Z')
  SERVER files OPTIONS (filename '/dev/null');
EOQ
	my $answer = $server->post_event(event(++$n, timestamp => at('2024-01-05 10:00Z')));
	is("$answer->{status} $answer->{json}{error}", '422 the database refused the event: cannot insert into foreign table "archive"', 'a foreign table: an event is refused');
	post_twice('beside a foreign table', '2024-02-01 10:00Z');
	$server->sql('DROP FOREIGN TABLE fast_ingest.archive');
}

# What is restored is not counted again: pg_dump attaches before it copies

my $dump = $server->node->data_dir . '/dump.sql';

$server->node->command_ok([ 'pg_dump', '-h', $server->node->host, '-p', $server->node->port, '-f', $dump, 'postgres' ], 'pg_dump');
$server->sql('CREATE DATABASE restored TEMPLATE template0');
my ($result, $stdout, $stderr) = $server->node->psql('restored', "\\i $dump");
is($stderr =~ s/.*NOTICE.*\n//gr, '', 'a dump is restored without an error');
is($server->sql("SELECT total_events FROM fi_metrics('page_view')", 'restored'), $server->sql("SELECT total_events FROM fi_metrics('page_view')"),
	'with the same metrics');
# A default partition: days get their partitions beside it

$server->sql('CREATE TABLE fast_ingest.rest PARTITION OF fast_ingest.events DEFAULT');
insert('fast_ingest.events', '2024-10-05 10:00Z');
post_twice('beside a default partition', '2024-10-04 10:00Z', '2024-10-06 10:00Z');
is(rows('fast_ingest.rest'), 1, 'beside a default partition: it takes what has none');
is($server->sql("SELECT to_regclass('fast_ingest.events_20241004')"), 'fast_ingest.events_20241004', 'beside a default partition: a day has its own');

# unless it has rows of the day
post_twice('a day of the default partition', '2024-10-05 11:00Z');
is(rows('fast_ingest.rest'), 2, 'a day of the default partition: they are in it');
like(slurp_file($log), qr/LOG:  events of 2024-10-05 go into the default partition: .*updated partition constraint for default partition "rest" would be violated/,
	'a day of the default partition: the log says why');
insert('fast_ingest.rest', '2024-10-05 12:00Z');
exact('a default partition');
is($server->sql("SELECT string_agg(DISTINCT action, ' ') FROM fi_maintain()"), 'created', 'fi_maintain() makes partitions beside it');
insert('fast_ingest.events', $server->sql("SELECT now() + interval '3 days'"));
$server->set('fast_ingest.partitions_ahead' => 3);
ok(wait_until(sub { $server->sql('SHOW fast_ingest.partitions_ahead') == 3 }), 'partitions_ahead = 3');
like($server->sql('SELECT * FROM fi_maintain()'), qr/^skipped\|\|the partition of .*default partition "rest" would be violated by some row$/, 'and goes on where it cannot');

# or somebody reads it for longer than a moment
my $reader = $server->node->background_psql('postgres');
$reader->query_safe('BEGIN; SELECT count(*) FROM fast_ingest.events');
post_twice('somebody reads the default partition', '2024-10-07 10:00Z');
like(slurp_file($log), qr/LOG:  events of 2024-10-07 go into the default partition: .*lock timeout/, 'somebody reads it: the log says so');
$reader->quit;

# A dead letter that is retried goes the same way
$server->sql("ALTER TABLE fast_ingest.events ADD CONSTRAINT no_fax CHECK (channel <> 'fax')");
is($server->post_event(event(++$n, timestamp => at('2024-10-05 13:00Z'), channel => 'fax'))->{status}, 422, 'a dead letter');
$server->sql('ALTER TABLE fast_ingest.events DROP CONSTRAINT no_fax');
is($server->sql('SELECT * FROM fi_retry_dead_letters(reason => $$no_fax$$)'), '1|1|0|0', 'is retried into the default partition');

# Without the default partition, days get their own partitions again
$server->sql('ALTER TABLE fast_ingest.events DETACH PARTITION fast_ingest.rest');
post_twice('without it', '2024-10-05 10:00Z', '2024-10-08 10:00Z');
$server->sql('DROP TABLE fast_ingest.rest');

$server->books_balance;
$server->node->stop;

done_testing();
