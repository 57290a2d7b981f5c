# A dump restores to the same answers though the rollup is refreshed, rebuilt and read while the
# restore is under way: after each of its statements, and by the maintenance worker. A refresh that
# came too early would stay wrong. So it is refused, with SQLSTATE 55000.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use FastIngest;
use PostgreSQL::Test::Utils;
use Test::More;

my $tempdir = PostgreSQL::Test::Utils::tempdir();
my $old = FastIngest->new('old', conf => "fast_ingest.refresh_backlog = 0\n");

my $ANSWERS = <<'EOQ';
SET timezone = 'UTC';
SELECT 'all', m.* FROM fi_metrics('page_view') m;
SELECT 'hour', m.* FROM fi_metrics('page_view', '2024-08-10 00:00Z', '2024-08-13 00:00Z', 'hour', fill => false) m;
SELECT 'day', m.* FROM fi_metrics('page_view', '2024-08-10 00:00Z', '2024-09-13 00:00Z', 'day', fill => false) m;
SELECT g, m.* FROM unnest('{channel,site,page,plan}'::text[]) g, fi_metrics('page_view', group_by => g) m;
SELECT 'dropped day', m.* FROM fi_metrics('page_view', '2024-08-10 00:00Z', '2024-08-11 00:00Z') m;
EOQ

# The same for days with raw rows
my $DIFFERENCES = <<'EOQ';
SELECT * FROM
  (SELECT g, k, t, u FROM unnest('{channel,site,page,plan}'::text[]) g, fi_metrics('page_view', '2024-08-11 00:00Z'::timestamptz, group_by => g) m (k, t, u)) ours
  FULL JOIN
  (SELECT g, k, count(*) AS t, count(DISTINCT user_id) AS u FROM fast_ingest.events,
    LATERAL (VALUES ('channel', channel), ('site', site_id), ('page', path), ('plan', metadata->>'plan')) keys (g, k)
    WHERE ts >= '2024-08-11 00:00Z' AND k IS NOT NULL GROUP BY 1, 2) raw USING (g, k)
WHERE (ours.t, ours.u) IS DISTINCT FROM (raw.t, raw.u)
EOQ

my $TOTAL = "SELECT total_events, unique_users FROM fi_metrics('page_view')";

# What others may do in the middle of a restore
my %MEANWHILE = (
	refreshed => [ 'SELECT fi_refresh()', $TOTAL ],
	rebuilt => [ 'SELECT fi_rebuild()', q(SELECT fi_erase_user('nobody')), q(SELECT fi_stats('site-1', '2024-08-11')), $TOTAL ]
);

sub insert_events
{
	my ($database, $first, $last) = @_;

	return $old->sql(<<"EOQ", $database);
INSERT INTO fast_ingest.events (event_name, channel, user_id, site_id, path, ts, metadata)
SELECT 'page_view', (array['web', 'mobile'])[1 + n % 2], 'user-' || n * 7 % 61, 'site-' || n % 3, '/' || n % 5,
  '2024-08-10 00:00Z'::timestamptz + n * 997 % (86400 * 3) * interval '1 second', jsonb_build_object('plan', n % 4)
FROM generate_series($first, $last) n;
INSERT INTO fast_ingest.events (event_name, channel, user_id, ts)
SELECT 'page_view', 'web', 'user-' || n % 67, '2024-09-10 00:00Z'::timestamptz + n * interval '1 minute'
FROM generate_series($first, $last) n;
EOQ
}

# Partitions of three days, one to be dropped, and one whose schema comes after ours
sub create_tables
{
	my ($database) = @_;

	$old->sql('CREATE EXTENSION fast_ingest', $database) if $database ne 'postgres';
	return $old->sql(<<'EOQ', $database);
SELECT fi_create_partition('2024-08-09'::date + n) FROM generate_series(1, 3) n;
CREATE SCHEMA zone;
CREATE TABLE zone.month PARTITION OF fast_ingest.events FOR VALUES FROM ('2024-09-01 00:00Z') TO ('2024-10-01 00:00Z');
SELECT fi_add_breakdown('plan', 'metadata->>''plan''', '{minute,hour,day}');
EOQ
}

my $CHANGES = <<'EOQ';
DELETE FROM fast_ingest.events WHERE path = '/4' AND ts > '2024-08-12 18:00Z' OR ts > '2024-09-10 04:30Z' AND user_id ~ '3$';
UPDATE fast_ingest.events SET ts = ts + interval '90 minutes' WHERE path = '/3' AND ts > '2024-08-11 08:00Z' AND ts < '2024-08-11 14:00Z';
EOQ

# Everything that a rollup can hold, partly merged
create_tables('postgres');
insert_events('postgres', 1, 300);
$old->sql('SELECT fi_refresh()');
$old->sql("SELECT fi_erase_user('user-1')");
$old->sql('DROP TABLE fast_ingest.events_20240810');
$old->sql("SELECT fi_create_partition('2024-08-10')");
insert_events('postgres', 301, 500);
$old->sql($CHANGES);

# Never refreshed
$old->sql('CREATE DATABASE never');
create_tables('never');
insert_events('never', 1, 300);
$old->sql($CHANGES, 'never');
is($old->sql('SELECT count(*) FROM fast_ingest.rollup_state', 'never'), 0, 'one database was never refreshed');
is($old->sql($DIFFERENCES, $_), '', "$_: the answers are those of the raw rows") foreach qw(postgres never);

my %answers = map { $_ => $old->sql($ANSWERS, $_) } qw(postgres never);

# The dump of a database, in pieces: a statement each
sub dump_of
{
	my ($database) = @_;
	my $file = "$tempdir/$database.sql";

	command_ok([ 'pg_dump', '-f', $file, '-d', $old->node->connstr($database) ], "$database: pg_dump");
	# newer versions restrict psql's commands, so that ours would fail
	my @pieces = split /^(?=--\n-- (?:Data for )?Name: )/m, slurp_file($file) =~ s/^\\(?:un)?restrict .*\n//mgr;
	like($pieces[0], qr/search_path/, 'the first piece is the settings');
	return @pieces;
}

sub restore
{
	my ($node, $database, $name, @pieces) = @_;
	my $file = "$tempdir/restore.sql";

	unlink $file;
	append_to_file($file, join '', @pieces);
	return command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-o', "$tempdir/out", '-f', $file, '-d', $node->connstr($database) ], $name);
}

# Restored, and answering; then it goes on with users that are known
sub is_restored
{
	my ($node, $database, $of, $name) = @_;

	is($node->safe_psql($database, $ANSWERS), $answers{$of}, "$name: the same answers");
	$node->safe_psql($database, 'SELECT fi_refresh()');
	is($node->safe_psql($database, $ANSWERS), $answers{$of}, "$name: and after a refresh");
	$node->safe_psql($database, "INSERT INTO fast_ingest.events (event_name, channel, user_id, ts) SELECT 'page_view', 'web', 'user-' || n, '2024-08-11 12:00Z' FROM generate_series(1, 80) n");
	is($node->safe_psql($database, $DIFFERENCES), '', "$name: and with events of users that are known");
	$node->safe_psql($database, 'SELECT fi_refresh()');
	is($node->safe_psql($database, $DIFFERENCES), '', "$name: merged, too");
	return;
}

# After each statement

my $plain = FastIngest->new('plain', preload => 0, extension => 0);

foreach my $of (qw(postgres never))
{
	my @pieces = dump_of($of);
	my $right = $old->sql($TOTAL, $of);

	foreach my $done (sort keys %MEANWHILE)
	{
		my $name = "${of}_$done";
		my $log = "$tempdir/$name";
		my $command = join ' ', 'psql -X -A -t -v VERBOSITY=sqlstate', (map { "-c \"$_\"" } @{ $MEANWHILE{$done} }),
		  '-h', $plain->node->host, '-p', $plain->node->port, "$name >>$log 2>&1";
		my $begun = 0;

		$plain->sql("CREATE DATABASE $name");
		restore($plain->node, $name, "$name after each statement of a restore",
			map { $begun ||= /EXTENSION fast_ingest/; $begun ? ($_, "\\! $command\n") : $_ } @pieces);
		my $answers = slurp_file($log);
		my $refused = () = $answers =~ /^ERROR:  55000$/mg;
		cmp_ok($refused, '>=', 10 * @{ $MEANWHILE{$done} }, "$name: it is refused while data comes in");
		unlike($answers, qr/ERROR:  (?!55000$)/m, "$name: with no other error");
		is_deeply([ grep { $_ ne $right && $_ ne '0|0' } $answers =~ /^(\d+\|\d+)$/mg ], [], "$name: no wrong answers");
		is_restored($plain->node, $name, $of, $name);
	}
}
$plain->node->stop;

# The maintenance worker, which looks once a second

my $server = FastIngest->new('server', conf => "fast_ingest.refresh_backlog_age = 1\n", extension => 0);
my @pieces = dump_of('postgres');
my ($end) = grep { $pieces[$_] =~ /^-- Name: \S+; Type: SEQUENCE SET/m } 0 .. $#pieces;

restore($server->node, 'postgres', 'all rows, while the maintenance worker runs', @pieces[ 0 .. $end - 1 ]);
ok($server->wait_for_log_line(qr/fast_ingest maintenance: the rollup is being restored/), 'it waits');
is($server->sql('SELECT count(*) FROM fast_ingest.rollup_delta') > 0, 1, 'and merges nothing');
restore($server->node, 'postgres', 'the rest', $pieces[0], @pieces[ $end .. $#pieces ]);
ok(wait_until(sub { $server->sql('SELECT count(*) FROM fast_ingest.rollup_delta') == 0 }), 'then it refreshes');
is(() = slurp_file($server->node->logfile) =~ /the rollup is being restored/g, 1, 'it has said once that it waits');
is_restored($server->node, 'postgres', 'postgres', 'with the maintenance worker');

# Replacing the secret affects its table alone

my $secret = $server->sql('SELECT secret FROM fast_ingest.secret');
my (undef, undef, $error) = $server->node->psql('postgres', <<'EOQ');
CREATE TABLE public.secret (LIKE fast_ingest.secret);
CREATE TRIGGER mine BEFORE INSERT ON public.secret FOR EACH STATEMENT EXECUTE FUNCTION fast_ingest.row_replaced();
INSERT INTO public.secret VALUES ('');
EOQ
like($error, qr/table "secret" is not one of fast_ingest/, 'a table of that name is not ours');
is($server->sql('SELECT secret FROM fast_ingest.secret'), $secret, 'and the secret stays');

$_->node->stop foreach $server, $old;
done_testing();
