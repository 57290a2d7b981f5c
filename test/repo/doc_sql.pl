# doc/reference-sql.md is the catalog's: functions with their arguments and results, views with
# their columns, tables and operators. And no page names an object or setting that there is not.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use FastIngest;
use FastIngest::Doc;
use Test::More;

my $server = FastIngest->new('doc_sql');
my $page = page_text('doc/reference-sql.md');

# The rows of a query as a hash of the first column to the second
sub pairs
{
	my ($query) = @_;

	return { map { split /\|/, $_, 2 } split /\n/, $server->sql($query) };
}

# `a`, `b` = 1 as a, b
sub names
{
	my ($cell) = @_;

	return join ', ', $cell =~ /`(\w+)`/g;
}

# Functions that people call: those of the extension that are not in its own schema. A function that
# returns a single value has no names of results.
my $extension = q{pg_depend d JOIN pg_extension e ON e.oid = d.refobjid AND d.deptype = 'e' AND e.extname = 'fast_ingest'};
my $arguments = pairs(<<"EOQ");
SELECT p.proname, coalesce((SELECT string_agg(a.name, ', ' ORDER BY a.n) FROM unnest(p.proargnames) WITH ORDINALITY a (name, n)
    WHERE coalesce(p.proargmodes[a.n], 'i') IN ('i', 'b')), '')
FROM pg_proc p JOIN $extension ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid
WHERE p.pronamespace <> 'fast_ingest'::regnamespace AND p.proname NOT IN ('fi_cardinality', 'fi_union')
EOQ
my $results = pairs(<<"EOQ");
SELECT p.proname, coalesce(
    (SELECT string_agg(a.name, ', ' ORDER BY a.n) FROM unnest(p.proargnames) WITH ORDINALITY a (name, n)
        WHERE p.proargmodes[a.n] IN ('o', 'b', 't')),
    (SELECT string_agg(a.attname, ', ' ORDER BY a.attnum) FROM pg_type t JOIN pg_attribute a ON a.attrelid = t.typrelid
        WHERE t.oid = p.prorettype AND a.attnum > 0), '')
FROM pg_proc p JOIN $extension ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid
WHERE p.pronamespace <> 'fast_ingest'::regnamespace AND p.proname NOT IN ('fi_cardinality', 'fi_union')
EOQ
my (%arguments, %results);

while ($page =~ /^\| `(fi_\w+)` \|([^|]*)\|([^|]*)\|[^|]*\|$/mg)
{
	ok(!exists $arguments{$1}, "$1 is documented once");
	($arguments{$1}, $results{$1}) = (names($2), names($3));
}
is_deeply(\%arguments, $arguments, 'functions and their arguments');
is_deeply(\%results, $results, 'and what they return');

# Sets of users
my %operators = map { (split / /)[1] =~ s/\\//r => 1 } $page =~ /^\| `(a \S+ \w)` \|/mg;
is(join(' ', sort keys %operators),
	$server->sql("SELECT string_agg(o.oprname, ' ' ORDER BY o.oprname COLLATE \"C\") FROM pg_operator o JOIN $extension"
		  . " ON d.classid = 'pg_operator'::regclass AND d.objid = o.oid"), 'operators of sets of users');
like($page, qr/^\| `\Q$_\E\(users\)` \|/m, $_) foreach qw(fi_cardinality fi_union);

# Views and tables
my $columns = 'SELECT c.oid::regclass, string_agg(a.attname, \', \' ORDER BY a.attnum)'
  . " FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped JOIN $extension"
  . " ON d.classid = 'pg_class'::regclass AND d.objid = c.oid";
my ($views) = $page =~ /^## Views\n(.*?)^## /ms;
is_deeply({ map { $_->[0] => names($_->[1]) } map { [split /` \|/, $_, 2] } $views =~ /^\| `(fast_ingest\.\w+` \|.*)$/mg },
	pairs("$columns AND c.relkind = 'v' GROUP BY 1"), 'views and their columns');

my ($tables) = $page =~ /^## Tables\n(.*?)^Write to/ms;
is(join(' ', sort $tables =~ /^\| `(fast_ingest\.\w+)` \|/mg),
	join(' ', sort keys %{ pairs("$columns AND c.relkind IN ('r', 'p') GROUP BY 1") }), 'tables');
my ($events) = $page =~ /^\| column of `fast_ingest\.events` .*?\n(.*?)\n\n/ms;
is(join(', ', map { names($_) } $events =~ /^\| (`[^|]*) \|/mg),
	pairs("$columns AND c.oid = 'fast_ingest.events'::regclass GROUP BY 1")->{'fast_ingest.events'}, 'columns of the events');

# What the pages name
my %known = map { $_ => 1 } split /\n/, $server->sql(<<"EOQ");
SELECT proname FROM pg_proc WHERE proname LIKE 'fi\\_%' UNION SELECT typname FROM pg_type WHERE typname LIKE 'fi\\_%'
UNION SELECT tgname FROM pg_trigger WHERE tgname LIKE 'fi\\_%'
UNION SELECT name FROM pg_settings WHERE name LIKE 'fast\\_ingest.%'
UNION SELECT 'fast_ingest.' || relname FROM pg_class WHERE relnamespace = 'fast_ingest'::regnamespace
EOQ
foreach my $name (doc_pages())
{
	my $text = page_text($name);
	my %named = map { $_ => 1 } $text =~ /(?<![\w.])(fi_[a-z_]*[a-z])\b/g,
	  grep { !/\.(?:c|so|sql|control|json|http|key|md|postman_collection|events_(?:\d+|YYYYMMDD))$/ } $text =~ m{(?<![\w/.-])(fast_ingest\.\w+)}g;

	is(join(' ', grep { !$known{$_} } sort keys %named), '', "$name names what there is");
}

$server->node->stop;

done_testing();
