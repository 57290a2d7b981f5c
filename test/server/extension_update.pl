# An update from one version to the next loses nothing: the new library works with the old SQL
# objects, ALTER EXTENSION UPDATE runs under load, and the old library works with the new SQL
# objects. The next version is made here from a copy of the tree: it has a column, and a function
# in C, that this version lacks, and it writes the column.

use strict;
use warnings;

use File::Copy qw(copy);
use FindBin;
use lib "$FindBin::RealBin/../perl";

use FastIngest;
use PostgreSQL::Test::Utils;
use Test::More;

my $tree = "$FindBin::RealBin/../..";
my $directory = PostgreSQL::Test::Utils::tempdir();

sub run
{
	my (@command) = @_;

	system(@command) == 0 or die "failed: @command";
	return;
}

sub write_file
{
	my ($name, $text) = @_;

	open my $file, '>', $name or die "could not write $name: $!";
	print $file $text;
	close $file or die "could not write $name: $!";
	return;
}

sub edit
{
	my ($name, $what, $instead) = @_;
	my $text = slurp_file($name);

	$text =~ s/$what/$instead/ or die "$name has no $what";
	write_file($name, $text);
	return;
}

# ---------------------------------------------------------------------------
# The next version, and an installation of both
# ---------------------------------------------------------------------------

chomp(my $version = `sed -n "s/^default_version = '\\(.*\\)'/\\1/p" $tree/fast_ingest.control`);
my $next_version = $version =~ s/(\d+)\z/$1 + 1/er;
my $script = "fast_ingest--$version--$next_version.sql";

run('mkdir', "$directory/tree");
run('cp', '-a', map({ "$tree/$_" } qw(Makefile fast_ingest.control src sql)), "$directory/tree");
edit("$directory/tree/fast_ingest.control", qr/default_version = '.*'/, "default_version = '$next_version'");
edit("$directory/tree/src/flush/dead_letter.c", qr/message, event\)"/, 'message, event, origin)"');
edit("$directory/tree/src/flush/dead_letter.c", qr/ FROM staged/, ', \'http\' FROM staged');
write_file("$directory/tree/src/next.c", <<'EOF_C');
#include "postgres.h"

#include "fmgr.h"

PG_FUNCTION_INFO_V1(fi_next);

Datum
fi_next(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT32(11);
}
EOF_C
write_file("$directory/$script", <<'EOF_SQL');
ALTER TABLE fast_ingest.dead_letters ADD COLUMN origin text;
ALTER TABLE fast_ingest.events ADD COLUMN country text;
CREATE FUNCTION fi_next() RETURNS integer AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE PARALLEL SAFE;
EOF_SQL
{
	# neither the make that runs the tests, nor the copy of PostgreSQL they run with
	local @ENV{qw(MAKEFLAGS MAKELEVEL MFLAGS)};
	local $ENV{PATH} = join ':', grep { !/tmp_install/ } split /:/, $ENV{PATH};

	run('make', '-s', '-C', "$directory/tree", 'fast_ingest.so');
}

chomp(my $bin = `pg_config --bindir`);
chomp(my $lib = `pg_config --pkglibdir`);
chomp(my $share = `pg_config --sharedir`);
my ($root) = $bin =~ m{\A(.*/tmp_install)/} or die "not a private installation: $bin";
my $private = "$directory/install";

run('cp', '-a', $root, $private);
s/\A\Q$root\E/$private/ foreach $bin, $lib, $share;

my %libraries = ($version => "$directory/old.so", $next_version => "$directory/tree/fast_ingest.so");
my %controls = ($version => "$tree/fast_ingest.control", $next_version => "$directory/tree/fast_ingest.control");

copy("$lib/fast_ingest.so", $libraries{$version}) or die "no library: $!";

# make install: files are replaced, not written to
sub install
{
	my ($which) = @_;

	copy($libraries{$which}, "$lib/new.so") or die $!;
	rename "$lib/new.so", "$lib/fast_ingest.so" or die $!;
	copy($controls{$which}, "$share/extension/fast_ingest.control") or die $!;
	copy("$directory/$script", "$share/extension/$script") or die $!;
	return;
}

# ---------------------------------------------------------------------------
# From version to version
# ---------------------------------------------------------------------------

my %options = (install_path => $bin =~ s{/bin\z}{}r, conf => "fast_ingest.request_timeout = '2s'\n");
my $server = FastIngest->new('upgrade', %options);
my $bots = 0;
my $n = 0;

sub forbid
{
	$server->sql("ALTER TABLE fast_ingest.events ADD CONSTRAINT no_bots CHECK (user_id <> 'bot') NOT VALID");
	return;
}

sub permit
{
	$server->sql('ALTER TABLE fast_ingest.events DROP CONSTRAINT no_bots');
	return;
}

sub sql_version
{
	return $server->sql("SELECT extversion FROM pg_extension WHERE extname = 'fast_ingest'");
}

# Days and pages in which the answers are not those of the raw rows
my $DIFFERENCES = <<'EOQ';
SET timezone = 'UTC';
SELECT * FROM
  (SELECT g, k, t, u FROM unnest('{channel,page,day}'::text[]) g, LATERAL fi_metrics('page_view', group_by => g, fill => false) m (k, t, u)) ours
  FULL JOIN
  (SELECT g, k, count(*) AS t, count(DISTINCT user_id) AS u FROM fast_ingest.events,
    LATERAL (VALUES ('channel', channel), ('page', path), ('day', to_char(ts, 'YYYY-MM-DD"T"00:00:00"Z"'))) keys (g, k)
    WHERE event_name = 'page_view' GROUP BY 1, 2) raw USING (g, k)
WHERE (ours.t, ours.u) IS DISTINCT FROM (raw.t, raw.u) ORDER BY 1, 2 LIMIT 10;
EOQ

# Events come in, are merged and counted, whichever versions meet
sub works
{
	my ($name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $count = $server->count;
	my $events = [ map { event(++$n, timestamp => $NOON + 86400 * ($n % 4), path => '/' . $n % 7) } 1 .. 100 ];

	is($server->post_bulk($events)->{json}{accepted}, 100, "$name: events");
	is($server->post_bulk($events)->{json}{accepted}, 100, "$name: again");
	is($server->count, $count + 100, "$name: are stored once");
	is($server->sql($DIFFERENCES), '', "$name: and counted");
	$server->sql('SELECT fi_refresh()');
	is($server->sql($DIFFERENCES), '', "$name: merged, too");
	is($server->get('/metrics?event_name=page_view')->{json}{total_events}, $server->count("event_name = 'page_view'"), "$name: over HTTP");
	return;
}

works("$version");

# make install, and not restarted yet: the server runs the old library

install($next_version);

my ($status, $out, $error) = $server->node->psql('postgres', 'ALTER EXTENSION fast_ingest UPDATE');

like($error, qr/could not find function "fi_next"/, 'updated before the restart: an error');
is(sql_version(), $version, 'nothing has changed');
is($server->sql("SELECT count(*) FROM pg_attribute WHERE attname IN ('origin', 'country') AND attrelid::regclass::text ~ '^fast_ingest'"), 0, 'no column is left');
works('after that');

# The new library with the old SQL objects

my $offset = -s $server->node->logfile;

$server->restart;
is(sql_version(), $version, 'restarted: the SQL objects are the old ones');
ok($server->wait_for_log_line(qr/library is that of fast_ingest \Q$next_version\E, the SQL objects in database "postgres" are those of \Q$version\E.*ALTER EXTENSION fast_ingest UPDATE/s, $offset),
	'the log says so, and what to do');
works('the new library with the old SQL objects');

# Events that need the new SQL objects wait, and the error says for what; nothing is lost
forbid();
is_error($server->post_event(event(0, user_id => 'bot')), 503, qr/./, 'what needs the new SQL objects is not acknowledged');
ok($server->wait_not_ready(qr/origin.*library of fast_ingest \Q$next_version\E found the SQL objects of \Q$version\E: run ALTER EXTENSION fast_ingest UPDATE/),
	'/ready says what is missing, and what to do');
permit();
$server->wait_ready;
is($server->wait_for_count(1, "user_id = 'bot'"), 1, 'it was staged all the time');

# ALTER EXTENSION UPDATE under load

my $load = $server->start_load(clients => 4);

is(wait_until(sub { $server->count("user_id LIKE 'load-%'") > 100 }), 1, 'load');
$server->sql('ALTER EXTENSION fast_ingest UPDATE');

my $count = $server->count;

is(wait_until(sub { $server->count > $count + 100 }), 1, 'goes on');
$load->stop;
$server->stored_once($load, 'updated under load');
is(sql_version(), $next_version, 'updated');
is($server->sql('SELECT fi_next()'), 11, 'the new function is there');
is($server->sql($DIFFERENCES), '', 'what came meanwhile is counted');
works('the new library with the new SQL objects');
forbid();
is($server->post_event(event(0, user_id => 'bot', path => '/2'))->{status}, 422, 'what had to wait works');
is($server->sql('SELECT origin FROM fast_ingest.dead_letters'), 'http', 'with what is new about it');
$server->books_balance;

# Dump and restore

my $restored = FastIngest->new('restored', %options, extension => 0);
my $picture = <<'EOQ';
SELECT extversion FROM pg_extension WHERE extname = 'fast_ingest';
SELECT count(*), md5(string_agg(md5(e::text), '' ORDER BY md5(e::text))) FROM fast_ingest.events e;
SELECT id, sqlstate, origin FROM fast_ingest.dead_letters;
SELECT * FROM fi_metrics('page_view', group_by => 'day');
EOQ

command_ok([ "$bin/pg_dump", '-f', "$directory/dump.sql", '-d', $server->node->connstr('postgres') ], 'pg_dump');
command_ok([ "$bin/psql", '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', "$directory/dump.sql", '-d', $restored->node->connstr('postgres') ], 'psql reads it');
is($restored->sql($picture), $server->sql($picture), 'the same is there');
$restored->wait_ready;
is($restored->post_event(event(1, timestamp => $NOON + 86400, path => '/1'))->{status}, 202, 'an event it has');
is($restored->sql($picture), $server->sql($picture), 'is not stored again');
is($restored->sql('SELECT fi_refresh() IS NOT NULL'), 't', 'it goes on');
is($restored->sql($DIFFERENCES), '', 'exactly');
$restored->node->stop;

# The old library with the new SQL objects

permit();
install($version);
$offset = -s $server->node->logfile;
$server->restart;
ok($server->wait_for_log_line(qr/library is that of fast_ingest \Q$version\E, the SQL objects in database "postgres" are those of \Q$next_version\E/, $offset),
	'the old library: the log says so');
works('the old library with the new SQL objects');
forbid();
is($server->post_event(event(0, user_id => 'bot', path => '/3'))->{status}, 422, 'a dead letter');
permit();
is($server->sql(q(SELECT string_agg(coalesce(origin, 'none'), ' ' ORDER BY id) FROM fast_ingest.dead_letters)), 'http none', 'without what the library does not know');
($status, $out, $error) = $server->node->psql('postgres', 'SELECT fi_next()');
like($error, qr/could not find function "fi_next"/, 'a function that it has not: an error');

# SQL objects of an unknown version

$server->sql("UPDATE pg_extension SET extversion = '9.0' WHERE extname = 'fast_ingest'");
$server->node->restart;
ok($server->wait_not_ready(qr/library of fast_ingest \Q$version\E does not know the SQL objects of 9\.0 .*install the library of 9\.0/),
	'SQL objects that it cannot know: /ready says so');
is_error($server->post_event(event(++$n)), 503, qr/does not know/, 'events are refused');
is_error($server->get('/metrics?event_name=page_view'), 503, qr/does not know/, 'so are queries');
$server->sql("UPDATE pg_extension SET extversion = '$next_version' WHERE extname = 'fast_ingest'");
$server->wait_ready;
works('with the right ones again');
$server->node->stop;

done_testing();
