# The README's table of settings has every setting of the server with its default, and no other.

use strict;
use warnings;

use FindBin;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $readme = slurp_file("$FindBin::RealBin/../../README.md");
my %documented;

while ($readme =~ /^\| `(fast_ingest\.\w+)` \| (?:`([^`]*)`|empty) \|[^|]*\| (restart|reload) \| \S/mg)
{
	ok(!exists $documented{$1}, "$1 is documented once");
	$documented{$1} = [ defined $2 ? $2 : '', $3 ];
}
cmp_ok(scalar keys %documented, '>', 10, 'the README has a table of settings');

# A server without any setting shows the defaults as SHOW prints them.
my $plain = PostgreSQL::Test::Cluster->new('plain');

$plain->init;
$plain->append_conf('postgresql.conf', <<"EOC");
shared_preload_libraries = 'fast_ingest'
fast_ingest.port = @{[PostgreSQL::Test::Cluster::get_free_port()]}
EOC
$plain->start;

my %actual = map { my ($name, $context, $value) = split /\|/, $_, 3; ($name => [ $value, $context ]) }
  split /\n/, $plain->safe_psql('postgres', <<'EOQ');
SELECT name, CASE context WHEN 'postmaster' THEN 'restart' WHEN 'sighup' THEN 'reload' ELSE context END,
  current_setting(name)
FROM pg_settings WHERE name LIKE 'fast\_ingest.%' ORDER BY name
EOQ

is(join(' ', sort keys %documented), join(' ', sort keys %actual), 'it has all of them');
foreach my $name (sort keys %actual)
{
	next if $name eq 'fast_ingest.port' || !$documented{$name};
	is($documented{$name}[0], $actual{$name}[0], "$name: default");
	is($documented{$name}[1], $actual{$name}[1], "$name: when it can change");
}
is($documented{'fast_ingest.port'}[0], '8080', 'fast_ingest.port: default');

$plain->stop;

done_testing();
