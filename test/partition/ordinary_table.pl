# What users do to ordinary tables works on fast_ingest.events, or is refused at once with a
# reason: tablespaces, columns, constraints, replica identities, triggers that drop rows, rules,
# names.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use FastIngest;
use PostgreSQL::Test::Utils;
use Test::More;

my $server = FastIngest->new('ordinary', conf => <<'EOC');
wal_level = logical
max_wal_senders = 0
EOC
my $version = $server->sql('SHOW server_version_num');
my $n = 0;

# Noon of a day that no other test of this program uses
my $day = 0;
sub next_day { return $NOON + 86400 * ++$day }

sub partition
{
	my ($time) = @_;

	return $server->sql("SELECT 'events_' || to_char(to_timestamp($time) AT TIME ZONE 'UTC', 'YYYYMMDD')");
}

# Post one event of that time. Returns the status.
sub post
{
	my ($time, %changes) = @_;

	return $server->post_event(event(++$n, timestamp => $time, %changes))->{status};
}

sub refused
{
	my ($query, $sqlstate, $pattern, $name) = @_;
	my ($result, $stdout, $stderr) = $server->node->psql('postgres', "\\set VERBOSITY verbose\n$query");

	like($stderr =~ s/\n/ /gr, qr/ERROR:  $sqlstate: $pattern/, $name);
	return;
}

sub exact
{
	my ($name) = @_;

	is($server->wrong_metrics, '', "$name: the metrics are those of the raw rows");
	return;
}

# ---------------------------------------------------------------------------
# Partitions are like those that CREATE TABLE ... PARTITION OF creates
# ---------------------------------------------------------------------------

$server->sql(<<'EOQ');
CREATE TABLE public.sites (site_id text PRIMARY KEY);
INSERT INTO public.sites VALUES ('shop');
CREATE FUNCTION public.note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.campaign_id := 'noted'; RETURN NEW; END $$;
CREATE TRIGGER note BEFORE INSERT ON fast_ingest.events FOR EACH ROW EXECUTE FUNCTION public.note();
ALTER TABLE fast_ingest.events
  ADD COLUMN id bigint GENERATED ALWAYS AS IDENTITY,
  ADD COLUMN source text NOT NULL DEFAULT 'http',
  ADD COLUMN path_length integer GENERATED ALWAYS AS (length(path)) STORED,
  ADD COLUMN remark text,
  ADD COLUMN mistake integer DEFAULT 1,
  ADD CONSTRAINT no_fax CHECK (channel <> 'fax'),
  ADD FOREIGN KEY (site_id) REFERENCES public.sites,
  ALTER COLUMN metadata SET STORAGE EXTERNAL,
  ALTER COLUMN path SET COMPRESSION pglz;
ALTER TABLE fast_ingest.events DROP COLUMN mistake;
CREATE INDEX by_user ON fast_ingest.events (user_id);
EOQ
my $time = next_day();
is(post($time, site_id => 'shop', path => '/1234'), 202, 'an event, with columns of the user\'s');
$server->sql("CREATE TABLE fast_ingest.by_hand PARTITION OF fast_ingest.events FOR VALUES FROM ('2023-01-01Z') TO ('2023-01-02Z')");
my $properties = <<'EOQ';
SELECT attname, atttypid::regtype, attnotnull, atthasdef, attidentity, attgenerated, attstorage, attcompression
FROM pg_attribute WHERE attrelid = 'fast_ingest.%1$s'::regclass AND attnum > 0 ORDER BY attname;
SELECT contype, pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = 'fast_ingest.%1$s'::regclass ORDER BY 1, 2;
SELECT tgname, pg_get_triggerdef(oid) ~ 'BEFORE' FROM pg_trigger WHERE tgrelid = 'fast_ingest.%1$s'::regclass AND NOT tgisinternal ORDER BY 1;
SELECT relam, reltablespace, reloptions, relreplident, relowner FROM pg_class WHERE oid = 'fast_ingest.%1$s'::regclass;
SELECT replace(pg_get_indexdef(indexrelid), '%1$s', '') FROM pg_index WHERE indrelid = 'fast_ingest.%1$s'::regclass
  AND pg_get_indexdef(indexrelid) !~ 'brin' ORDER BY 1
EOQ
is($server->sql($properties =~ s/%1\$s/partition($time)/ger), $server->sql($properties =~ s/%1\$s/by_hand/gr),
	'a partition of the server\'s is what PostgreSQL makes, and what the user makes has what ours have');
is($server->sql("SELECT id, source, path_length, campaign_id FROM fast_ingest.events"), '1|http|5|noted',
	'defaults, identity, generated columns and triggers work');
is(post($time, channel => 'fax'), 422, 'so does a CHECK');
is(post(next_day(), channel => 'fax'), 422, 'in a new partition, too');
is(post($time, site_id => 'nowhere'), 422, 'and a foreign key');
exact('columns');

# A column is added or dropped while events come

$server->sql('ALTER TABLE fast_ingest.events ADD COLUMN later timestamptz DEFAULT clock_timestamp(), DROP COLUMN remark');
is(join(' ', map { post($_) } $time + 1, next_day()), '202 202', 'columns were added and dropped: the next events');
$server->sql(<<'EOQ');
DROP TRIGGER note ON fast_ingest.events;
ALTER TABLE fast_ingest.events DROP CONSTRAINT no_fax, DROP CONSTRAINT events_site_id_fkey,
  DROP COLUMN id, DROP COLUMN source, DROP COLUMN path_length, DROP COLUMN later;
DROP INDEX fast_ingest.by_user;
EOQ
is(join(' ', map { post($_) } $time + 2, next_day()), '202 202', 'all of them were dropped: the next events');
exact('dropped columns');

# ---------------------------------------------------------------------------
# Tablespaces
# ---------------------------------------------------------------------------

my %directories = map { $_ => PostgreSQL::Test::Utils::tempdir() } qw(first second);

$server->sql("CREATE TABLESPACE $_ LOCATION '$directories{$_}'") foreach sort keys %directories;

# Of the events's partition of that time and of its indexes
sub tablespaces
{
	my ($time) = @_;

	return $server->sql(<<"EOQ" =~ s/%/partition($time)/er);
SELECT string_agg(DISTINCT coalesce(t.spcname, 'default'), ' ' ORDER BY coalesce(t.spcname, 'default'))
FROM pg_class c LEFT JOIN pg_tablespace t ON t.oid = c.reltablespace
WHERE c.oid = 'fast_ingest.%'::regclass
  OR c.oid IN (SELECT indexrelid FROM pg_index WHERE indrelid = 'fast_ingest.@{[partition($time)]}'::regclass)
EOQ
}

$server->sql('ALTER TABLE fast_ingest.events SET TABLESPACE first');
$time = next_day();
is(post($time), 202, 'the table has a tablespace');
is(tablespaces($time), 'first', 'a new partition and its indexes are there');
$time = next_day();
$server->sql("SET default_tablespace = 'second'; SELECT fi_create_partition(to_timestamp($time)::date)");
is(tablespaces($time), 'first', 'the table\'s comes before default_tablespace');
$server->sql('ALTER TABLE fast_ingest.events SET TABLESPACE pg_default');
$time = next_day();
$server->sql("SET default_tablespace = 'second'; SELECT fi_create_partition(to_timestamp($time)::date)");
is(tablespaces($time), 'second', 'which is for a table that has none');
$time = next_day();
is(post($time), 202, 'no tablespace any more');
is(tablespaces($time), 'default', 'a new partition is where others are');
refused('ALTER TABLE fast_ingest.events SET (fillfactor = 50)', '42809|22023|0A000', qr/cannot specify storage parameters|"events" is not/, 'storage parameters are for partitions, as PostgreSQL says');

# ---------------------------------------------------------------------------
# Replica identity and publications
# ---------------------------------------------------------------------------

sub identity
{
	my ($relation) = @_;

	return $server->sql("SELECT relreplident FROM pg_class WHERE oid = 'fast_ingest.$relation'::regclass");
}

my @publications = ('FOR ALL TABLES', 'FOR TABLE fast_ingest.events',
	'FOR TABLE fast_ingest.events WITH (publish_via_partition_root)');
push @publications, 'FOR TABLES IN SCHEMA fast_ingest' if $version >= 150000;
foreach my $publication (@publications)
{
	$server->sql("CREATE PUBLICATION everything $publication");
	$time = next_day();
	is(post($time, user_id => 'erase'), 202, "$publication: an event");
	is($server->sql("UPDATE fast_ingest.events SET path = '/' WHERE user_id = 'erase' RETURNING 1"), 1, "$publication: UPDATE");
	is($server->sql("DELETE FROM fast_ingest.events WHERE user_id = 'erase' RETURNING 1"), 1, "$publication: DELETE");
	$server->sql('SELECT fi_refresh(); DROP PUBLICATION everything');
	exact($publication);
}
is(identity(partition($time)), 'f', 'partitions have the table\'s replica identity');
$time = next_day();
$server->sql("CREATE TABLE fast_ingest.attached (LIKE fast_ingest.events);
	ALTER TABLE fast_ingest.events ATTACH PARTITION fast_ingest.attached FOR VALUES FROM ('2023-02-01Z') TO ('2023-02-02Z')");
is(identity('attached'), 'f', 'and one that is attached gets it');
$server->sql('ALTER TABLE fast_ingest.events REPLICA IDENTITY NOTHING');
is(post($time), 202, 'the table has another one');
is(identity(partition($time)), 'n', 'so has a new partition');
$server->sql('CREATE PUBLICATION everything FOR ALL TABLES');
refused("DELETE FROM fast_ingest.events WHERE ts >= to_timestamp($time) AND ts < to_timestamp($time + 86400)", '55000', qr/cannot delete from table/,
	'then DELETE is refused, as the user wanted it');
$server->sql('DROP PUBLICATION everything');
$server->sql('TRUNCATE fast_ingest.events; ALTER TABLE fast_ingest.events ADD COLUMN id bigint NOT NULL DEFAULT 1;
	CREATE UNIQUE INDEX by_id ON fast_ingest.events (id, ts); ALTER TABLE fast_ingest.events REPLICA IDENTITY USING INDEX by_id');
$time = next_day();
is(post($time), 202, 'an index is the identity');
is($server->sql("SELECT relreplident, (SELECT count(*) FROM pg_index WHERE indrelid = c.oid AND indisreplident) FROM pg_class c
	WHERE oid = 'fast_ingest.@{[partition($time)]}'::regclass"), 'i|1', 'so it is in a new partition');
$server->sql('ALTER TABLE fast_ingest.events REPLICA IDENTITY DEFAULT; DROP INDEX fast_ingest.by_id; ALTER TABLE fast_ingest.events DROP COLUMN id');
$time = next_day();
is(post($time), 202, 'the default again');
is(identity(partition($time)), 'd', 'is a new partition\'s, too');
$server->sql('ALTER TABLE fast_ingest.events REPLICA IDENTITY FULL');

# ---------------------------------------------------------------------------
# Triggers that drop rows, or change them
# ---------------------------------------------------------------------------

sub books
{
	my $status = $server->status;

	return map { $status->{$_} } qw(committed duplicate discarded dead_lettered);
}

# The counters of a request
sub added
{
	my ($action) = @_;
	my @before = books();

	$action->();
	my @after = books();
	return join ' ', map { $after[$_] - $before[$_] } 0 .. $#after;
}

$server->sql(<<'EOQ');
CREATE FUNCTION public.no_bots() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN IF NEW.user_id LIKE 'bot%' THEN RETURN NULL; END IF; NEW.campaign_id := 'seen'; RETURN NEW; END $$;
CREATE TRIGGER no_bots BEFORE INSERT ON fast_ingest.events FOR EACH ROW EXECUTE FUNCTION public.no_bots();
EOQ
$time = next_day();
my @people = map { event(++$n, timestamp => $time) } 1 .. 5;
my @bots = map { event(++$n, timestamp => $time, user_id => "bot-$n") } 1 .. 7;
is(added(sub { is($server->post_event($bots[0])->{status}, 202, 'an event that a trigger drops is accepted') }),
	'0 0 1 0', 'and counted as discarded');
is(added(sub { $server->post_bulk([ @people[ 0 .. 2 ], @bots[ 0 .. 3 ] ]) }), '3 0 4 0', 'some of a batch');
is(added(sub { $server->post_bulk([ @people, @bots ]) }), '2 3 7 0', 'a batch that has duplicates as well');
is(added(sub { $server->post_bulk([ $people[0], $people[0], $bots[0], event(++$n, timestamp => $time), event(++$n, timestamp => $time, channel => "\x{e9}") ]) }),
	'2 2 1 0', 'and the next one, which is stored with care');
$server->sql("ALTER TABLE fast_ingest.events ADD CONSTRAINT no_fax CHECK (channel <> 'fax')");
is(added(sub { $server->post_bulk([ $people[0], $bots[0], event(++$n, timestamp => $time, channel => 'fax'), event(++$n, timestamp => $time) ]) }),
	'1 1 1 1', 'and one that is halved');
$server->sql('ALTER TABLE fast_ingest.events DROP CONSTRAINT no_fax');
$server->sql("DELETE FROM fast_ingest.dead_letters WHERE id < (SELECT max(id) FROM fast_ingest.dead_letters);
	UPDATE fast_ingest.dead_letters SET event = jsonb_set(event, '{user_id}', '\"bot\"')");
is($server->sql('SELECT retried, stored, duplicates, failed FROM fi_retry_dead_letters()'), '1|0|0|0',
	'a retry that the trigger drops is no duplicate');
$server->books_balance('triggers that drop');
like($server->get('/metrics/prometheus')->{body}, qr/^fast_ingest_events_total\{outcome="discarded"\} 14$/m, 'Prometheus is told');
exact('triggers that drop');

# A trigger of one partition only
$server->sql('DROP TRIGGER no_bots ON fast_ingest.events');
$server->sql("CREATE TRIGGER no_bots BEFORE INSERT ON fast_ingest.@{[partition($time)]} FOR EACH ROW EXECUTE FUNCTION public.no_bots()");
my $other = next_day();
is(added(sub { $server->post_bulk([ map { event(++$n, timestamp => $_, user_id => "bot-$n") } $time, $other ]) }), '1 0 1 0',
	'a trigger of one partition');
$server->sql('DROP FUNCTION public.no_bots() CASCADE');

# Changed rows: the key, the time within the day, another day; at the end of the transaction
$server->sql(<<'EOQ');
CREATE FUNCTION public.change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NEW.path = '/key' THEN NEW.event_key := '00000000-0000-0000-0000-000000000001'; END IF;
  IF NEW.path = '/time' THEN NEW.ts := date_trunc('day', NEW.ts, 'UTC'); NEW.user_id := 'changed'; NEW.channel := 'changed'; END IF;
  IF NEW.path = '/day' THEN NEW.ts := NEW.ts + interval '1 day'; END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER change BEFORE INSERT ON fast_ingest.events FOR EACH ROW EXECUTE FUNCTION public.change();
CREATE FUNCTION public.check_late() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN IF NEW.path = '/late' THEN RAISE check_violation USING MESSAGE = 'too late'; END IF; RETURN NULL; END $$;
CREATE CONSTRAINT TRIGGER check_late AFTER INSERT ON fast_ingest.events DEFERRABLE INITIALLY DEFERRED
  FOR EACH ROW EXECUTE FUNCTION public.check_late();
EOQ
is(added(sub { is(join(' ', map { post($time, path => '/key') } 1 .. 2), '202 202', 'a trigger gives two events one key') }), '1 1 0 0', 'they are one');
is(added(sub { is(post($time, path => '/time'), 202, 'a trigger changes time, user and channel') }), '1 0 0 0', 'that is stored');
is(added(sub { is(post($time, path => '/day'), 422, 'a trigger moves an event to another day: PostgreSQL refuses it') }), '0 0 0 1', 'it is a dead letter');
is(added(sub { $server->post_bulk([ map { event(++$n, timestamp => $time, path => $_) } '/1', '/late', '/2' ]) }), '2 0 0 1',
	'a constraint trigger refuses one event at the end of the transaction');
exact('triggers that change');
$server->sql('DROP FUNCTION public.change() CASCADE; DROP FUNCTION public.check_late() CASCADE');

# ---------------------------------------------------------------------------
# Changes that are refused at once, and those that work
# ---------------------------------------------------------------------------

refused('ALTER TABLE fast_ingest.events RENAME TO happenings', '0A000', qr/cannot rename table "fast_ingest\.events".*HINT:  Create a view/, 'RENAME');
refused('ALTER VIEW fast_ingest.events RENAME TO happenings', '0A000', qr/cannot rename table/, 'whatever it is called');
refused('ALTER TABLE fast_ingest.events SET SCHEMA public', '0A000', qr/cannot move table "fast_ingest\.events".*HINT:/, 'SET SCHEMA');
refused('ALTER SCHEMA fast_ingest RENAME TO happenings', '0A000', qr/cannot rename schema.*HINT:/, 'the schema\'s RENAME');
refused('CREATE RULE nothing AS ON INSERT TO fast_ingest.events DO INSTEAD NOTHING', '0A000', qr/cannot create a rule.*HINT:  Create a trigger/, 'a rule');
$server->sql(<<'EOQ');
CREATE SCHEMA other;
CREATE TABLE other.events (path text);
ALTER TABLE other.events RENAME COLUMN path TO url;
ALTER TABLE other.events RENAME TO happenings;
ALTER TABLE other.happenings DROP COLUMN url;
ALTER SCHEMA other RENAME TO another;
ALTER TABLE fast_ingest.events ADD COLUMN mine text, ADD COLUMN mine_too text;
ALTER TABLE fast_ingest.events RENAME COLUMN mine TO ours;
ALTER TABLE fast_ingest.events DROP COLUMN ours;
CREATE RULE ignored AS ON DELETE TO fast_ingest.events WHERE false DO INSTEAD NOTHING;
ALTER TABLE fast_ingest.events ENABLE ROW LEVEL SECURITY;
CREATE POLICY none ON fast_ingest.events USING (false);
CREATE ROLE proprietor;
EOQ
$server->sql(q{SELECT fi_grant_ingest('proprietor')});
is(post($time), 202, 'other tables can be renamed, columns of users as well; row security, rules for DELETE, another owner');
$server->sql('DROP RULE ignored ON fast_ingest.events; ALTER TABLE fast_ingest.events OWNER TO CURRENT_USER; ALTER TABLE fast_ingest.events DISABLE ROW LEVEL SECURITY');
$time = next_day();
is(post($time), 202, 'a new day');
exact('in the end');
$server->books_balance;
$server->node->stop;

done_testing();
