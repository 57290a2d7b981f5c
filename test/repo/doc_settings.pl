# doc/reference-settings.md is the server's: every setting is there with its default, its limits
# and when it can change, and nothing else is. The Docker image accepts the same ones.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use FastIngest::Doc;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $page = page_text('doc/reference-settings.md');
my %documented;

while ($page =~ /^\| `(fast_ingest\.\w+)` \| (?:`([^`]*)`|empty) \|([^|]*)\| (restart|reload) \| \S/mg)
{
	ok(!exists $documented{$1}, "$1 is documented once");
	$documented{$1} = { default => defined $2 ? $2 : '', values => $3, change => $4 };
}
cmp_ok(scalar keys %documented, '>', 10, 'the page has tables of settings');

# What SHOW prints of a default is what a server prints that has nothing set.
my $plain = PostgreSQL::Test::Cluster->new('plain');

$plain->init;
$plain->append_conf('postgresql.conf', <<"EOC");
shared_preload_libraries = 'fast_ingest'
fast_ingest.port = @{[PostgreSQL::Test::Cluster::get_free_port()]}
EOC
$plain->start;

# The limits of a number are written with units, which the server reads
my @columns = qw(name change default type unit min max enum);
my @rows = split /\n/, $plain->safe_psql('postgres', <<'EOQ');
SELECT name, CASE context WHEN 'postmaster' THEN 'restart' WHEN 'sighup' THEN 'reload' ELSE context END,
  current_setting(name), vartype, unit, min_val, max_val, array_to_string(enumvals, ' ')
FROM pg_settings WHERE name LIKE 'fast\_ingest.%' ORDER BY name
EOQ
my %base = (B => 1, kB => 1 << 10, MB => 1 << 20, GB => 1 << 30, ms => 1, s => 1000, min => 60_000, h => 3_600_000);

sub in_unit
{
	my ($written, $unit) = @_;
	my ($number, $its_unit) = $written =~ /^(\d+)(\w*)$/ or return $written;

	return $unit eq '' || $its_unit eq '' ? $number : $number * $base{$its_unit} / $base{$unit};
}

my %actual;
foreach my $row (@rows)
{
	my %setting;

	@setting{@columns} = split /\|/, $row, -1;
	$actual{ $setting{name} } = \%setting;
}

is(join(' ', sort keys %documented), join(' ', sort keys %actual), 'it has all of them');
foreach my $name (sort keys %actual)
{
	my ($written, $is) = ($documented{$name}, $actual{$name});

	next if !$written;
	is($written->{change}, $is->{change}, "$name: when it can change");
	is($written->{default}, $name eq 'fast_ingest.port' ? '8080' : $is->{default}, "$name: default");
	if ($is->{type} eq 'integer')
	{
		my ($min, $max) = $written->{values} =~ /^ (\S+) to (\S+) $/;

		is(join(' ', map { defined $_ ? in_unit($_, $is->{unit}) : '' } $min, $max), "$is->{min} $is->{max}", "$name: limits");
	}
	elsif ($is->{type} eq 'enum')
	{
		is(join(' ', $written->{values} =~ /`(\w+)`/g), $is->{enum}, "$name: values");
	}
}

$plain->stop;

# The image's list is made by a command of the Dockerfile
my $top = top_directory();
my ($command) = slurp_file("$top/docker/Dockerfile") =~ m{(sed -n '.*' src/\S+ \| sort) >/install/usr/share/fast_ingest/settings};
chomp(my @accepted = map { "fast_ingest.$_" } split /^/, `cd '$top' && $command`);
is(join(' ', @accepted), join(' ', sort keys %actual), 'the Docker image has a list of all of them');

done_testing();
