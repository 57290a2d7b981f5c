# 9,999 events of a real website are stored as they were sent, once each.

use strict;
use warnings;

use File::Temp;
use FindBin;
use lib "$FindBin::RealBin/../perl";

use FastIngest;
use IO::Uncompress::Gunzip qw(gunzip $GunzipError);
use Test::More;

my $source = "$FindBin::RealBin/../data/web_events.ndjson.gz";
my $text;

gunzip $source => \$text or die "could not read $source: $GunzipError";
my @lines = split /\n/, $text;
is(scalar @lines, 9999, 'the file is all there');

my $server = FastIngest->new('real_events');

sub post_all
{
	my $accepted = 0;

	for (my $i = 0; $i < @lines; $i += 1000)
	{
		my $last = $i + 999 < $#lines ? $i + 999 : $#lines;
		my $answer = $server->post_bulk(join("\n", @lines[ $i .. $last ]),
			type => 'application/x-ndjson');

		die "$answer->{status}: $answer->{body}"
		  unless $answer->{status} eq 202 && !exists $answer->{json}{rejected};
		$accepted += $answer->{json}{accepted};
	}
	return $accepted;
}

sub is_all_there
{
	my ($when) = @_;

	is($server->count, 9999, "$when: rows");
	is($server->sql('SELECT count(DISTINCT user_id) FROM fast_ingest.events'),
		1753, "$when: users");
	is($server->sql(<<'EOQ'), <<'EOR' =~ s/\n\z//r, "$when: by event_name");
SELECT event_name, count(*) FROM fast_ingest.events GROUP BY 1 ORDER BY 2 DESC
EOQ
asset_load|5418
page_view|3301
feed_fetch|1060
http_error|220
EOR
	return;
}

is(post_all(), 9999, 'all are accepted');
is_all_there('posted');

# Row by row: what the database reads in the file is what is stored.

my $file = File::Temp->new;
print $file $text;
close $file;
is($server->sql(<<EOQ), '0', 'every row is what the file says');
CREATE TEMP TABLE line (j jsonb);
\\copy line FROM '$file' WITH (FORMAT csv, QUOTE E'\\x01', DELIMITER E'\\x02')
CREATE TEMP TABLE wanted
  (event_name, channel, user_id, ts, campaign_id, site_id, path, tags, metadata) AS
SELECT j->>'event_name', j->>'channel', j->>'user_id',
  to_timestamp((j->>'timestamp')::bigint), j->>'campaign_id', j->>'site_id',
  j->>'path', ARRAY(SELECT jsonb_array_elements_text(j->'tags')), j->'metadata'
FROM line;
CREATE TEMP TABLE found AS
SELECT event_name, channel, user_id, ts, campaign_id, site_id, path, tags, metadata
FROM fast_ingest.events;
SELECT count(*) FROM (
  (TABLE wanted EXCEPT ALL TABLE found) UNION ALL (TABLE found EXCEPT ALL TABLE wanted)) difference;
EOQ

is( $server->sql(<<'EOQ'), '0', 'each row is in the partition of its day');
SELECT count(*) FROM fast_ingest.events
WHERE tableoid::regclass::text <>
  'fast_ingest.events_' || to_char(ts AT TIME ZONE 'UTC', 'YYYYMMDD')
EOQ

is(post_all(), 9999, 'posted again, all are accepted');
is_all_there('posted again');
is($server->status->{duplicate}, 9999, 'the second ones are duplicates');

$server->books_balance;
$server->node->stop;
done_testing();
