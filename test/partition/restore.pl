# A database whose fast_ingest.events has columns and indexes of the user's survives a dump: its
# partitions are attached again with rows, columns and indexes, the table has them, too, and the
# metrics are the same. This holds for every way to restore, with the library preloaded or not.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use FastIngest;
use PostgreSQL::Test::Utils;
use Test::More;

my $server = FastIngest->new('old', conf => "fast_ingest.refresh_backlog = 0\n");
my $dump = PostgreSQL::Test::Utils::tempdir() . '/dump';

# What must be the same on both sides, grants among it
my $PICTURE = <<'EOQ';
SET timezone = 'UTC';
SET search_path = pg_catalog;
SELECT 'column', attname, format_type(atttypid, atttypmod), attcollation::regcollation, attnotnull, attgenerated, pg_get_expr(adbin, adrelid)
FROM pg_attribute LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
WHERE attrelid = 'fast_ingest.events'::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attname;
SELECT 'partition', relid::regclass, parentrelid::regclass, pg_get_expr(relpartbound, relid) FROM pg_partition_tree('fast_ingest.events') JOIN pg_class ON pg_class.oid = relid ORDER BY relid::regclass::text COLLATE "C";
SELECT 'index', indexrelid::regclass, indisvalid, pg_get_indexdef(indexrelid), conname, contype FROM pg_index LEFT JOIN pg_constraint ON conindid = indexrelid
WHERE indrelid IN (SELECT relid FROM pg_partition_tree('fast_ingest.events')) ORDER BY indexrelid::regclass::text COLLATE "C";
SELECT 'row', event_name, user_id, ts, tenant, "Price €", country, weight FROM fast_ingest.events ORDER BY ts, user_id;
SELECT 'privilege', has_column_privilege('reader', 'fast_ingest.events', 'tenant', 'SELECT'), has_column_privilege('reader', 'fast_ingest.events', 'user_id', 'SELECT');
SELECT 'metrics', m.* FROM public.fi_metrics('page_view', group_by => 'tenant') m;
EOQ

$server->sql(<<'EOQ');
CREATE ROLE reader;
CREATE TYPE public.weight AS ENUM ('light', 'heavy');
ALTER TABLE fast_ingest.events ADD COLUMN tenant text;
ALTER TABLE fast_ingest.events ADD COLUMN soon_gone text;
EOQ
is($server->post_event(event(1))->{status}, 202, 'an event');
$server->sql(<<'EOQ');
CREATE TABLE public.month PARTITION OF fast_ingest.events FOR VALUES FROM ('2024-09-01 00:00Z') TO ('2024-10-01 00:00Z') PARTITION BY RANGE (ts);
CREATE TABLE public.month_rest PARTITION OF public.month DEFAULT;
ALTER TABLE fast_ingest.events DROP COLUMN soon_gone,
  ADD COLUMN "Price €" numeric(10,2) NOT NULL DEFAULT 9.50,
  ADD COLUMN country text COLLATE "C" DEFAULT lower('TR'),
  ADD COLUMN weight public.weight,
  ADD COLUMN name_length integer GENERATED ALWAYS AS (length(event_name)) STORED;
CREATE INDEX by_tenant ON fast_ingest.events (tenant text_pattern_ops DESC, lower(country)) INCLUDE (weight) WHERE tenant <> ' USING ';
ALTER TABLE fast_ingest.events ADD CONSTRAINT "One of a kind" UNIQUE (ts, event_name, user_id);
SELECT fi_add_breakdown('tenant', 'tenant');
GRANT USAGE ON SCHEMA fast_ingest TO reader;
GRANT SELECT (tenant) ON fast_ingest.events TO reader;
INSERT INTO fast_ingest.events (event_name, channel, user_id, ts, tenant, weight, country) VALUES
  ('page_view', 'web', 'u1', '2024-08-12 14:00Z', 'a', 'heavy', 'de'), ('page_view', 'web', 'u2', '2024-09-12 14:00Z', 'b', NULL, DEFAULT);
EOQ
is($server->post_event(event(2, timestamp => $NOON + 86400))->{status}, 202, 'an event of another day');
my $picture = $server->sql($PICTURE);

like($picture, qr/^column\|Price €\|numeric\(10,2\)\|-\|t\|\|9.50$/m, 'there are columns');
my @from = $server->node->connstr('postgres');

# Restored, it goes on
sub is_restored
{
	my ($name, $node) = @_;
	my $sql = sub { $node->safe_psql($name, $_[0]) };

	is($sql->($PICTURE), $picture, "$name: columns, partitions, rows, privileges and metrics are there");
	$sql->("SELECT fi_create_partition('2024-08-20'); INSERT INTO fast_ingest.events (event_name, channel, user_id, ts, tenant) VALUES ('page_view', 'web', 'new', '2024-08-20 12:00Z', 'a')");
	is($sql->(q(SELECT "Price €", country, name_length FROM fast_ingest.events WHERE user_id = 'new')), '9.50|tr|9', "$name: a new partition has them");
	is($sql->("SELECT total_events FROM fi_metrics('page_view', group_by => 'tenant') WHERE group_key = 'a'"), 2, "$name: and is counted");
	is($sql->("SELECT count(*) FROM pg_index i, pg_inherits WHERE inhrelid = i.indexrelid AND indrelid = 'fast_ingest.events_20240820'::regclass"), 2, "$name: and the indexes");
	return;
}

command_ok([ 'pg_dump', '-f', "$dump.sql", '-d', @from ], 'pg_dump');
command_ok([ 'pg_dump', '-Fc', '-f', "$dump.custom", '-d', @from ], 'pg_dump -Fc');
foreach my $name (qw(plain parallel sections parts))
{
	my @to = ('-d', $server->node->connstr($name));
	my @restore = ('pg_restore', '--exit-on-error', @to);

	$server->sql("CREATE DATABASE $name");
	if ($name eq 'plain')
	{
		command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', "$dump.sql", @to ], 'psql');
	}
	elsif ($name eq 'parallel')
	{
		command_ok([ @restore, '-j', '2', "$dump.custom" ], 'pg_restore -j 2');
	}
	elsif ($name eq 'sections')
	{
		command_ok([ @restore, "--section=$_", "$dump.custom" ], "pg_restore --section=$_") foreach qw(pre-data data post-data);
	}
	else
	{
		command_ok([ @restore, '--schema-only', "$dump.custom" ], 'pg_restore --schema-only');
		command_ok([ @restore, '--data-only', '--disable-triggers', "$dump.custom" ], 'pg_restore --data-only --disable-triggers');
	}
	is_restored($name, $server->node);
}

# A dump of the restored database

$server->sql('CREATE DATABASE again');
command_ok([ 'pg_dump', '-f', "$dump.again", '-d', $server->node->connstr('plain') ], 'pg_dump of a restored database');
command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', "$dump.again", '-d', $server->node->connstr('again') ], 'psql');
is($server->node->safe_psql('again', $PICTURE), $server->node->safe_psql('plain', $PICTURE), 'it is the same');

# Outside a restore, a partition with a column too many is refused

my ($status, undef, $error) = $server->node->psql('again', <<'EOQ');
CREATE TABLE public.wide (LIKE fast_ingest.events, one_more text);
ALTER TABLE fast_ingest.events ATTACH PARTITION public.wide FOR VALUES FROM ('2024-12-01 00:00Z') TO ('2024-12-02 00:00Z');
EOQ
like($error, qr/"one_more" not found in parent/, 'a user is told of a column that the table has not');

# Without preloading, which may come after the restore

my $plain = FastIngest->new('new', preload => 0, extension => 0);

$plain->sql('CREATE ROLE reader');
$plain->sql('CREATE DATABASE unloaded');
command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', "$dump.sql", '-d', $plain->node->connstr('unloaded') ], 'psql into a server that has not loaded the library');
is_restored('unloaded', $plain->node);

$_->node->stop foreach $server, $plain;
done_testing();
