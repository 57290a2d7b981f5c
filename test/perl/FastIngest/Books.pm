# What became of the events: counts of the server and of its clients, compared.

package FastIngest::Books;

use strict;
use warnings;

use Exporter 'import';
use FastIngest::Load;
use FastIngest::Wait;
use JSON::PP ();
use Test::More;

our @EXPORT = qw(wrong_groups_query);

my $test_pid = $$;
my @loads;

# Rows of events, of those that match the condition.
sub count
{
	my ($self, $where) = @_;

	return $self->sql('SELECT count(*) FROM fast_ingest.events'
		  . ($where ? " WHERE $where" : ''));
}

sub wait_for_count
{
	my ($self, $count, $where) = @_;
	my $found;

	wait_until(sub { ($found = $self->count($where)) == $count });
	return $found;
}

# The counters of fi_status(), summed over the workers.
sub status
{
	my ($self) = @_;

	return JSON::PP::decode_json($self->sql(<<'EOQ'));
SELECT row_to_json(s) FROM (
  SELECT sum(received) AS received, sum(accepted) AS accepted,
    sum(rejected) AS rejected, sum(duplicate) AS duplicate, sum(discarded) AS discarded,
    sum(committed) AS committed, sum(dead_lettered) AS dead_lettered,
    sum(staged) AS staged
  FROM fi_status()) s
EOQ
}

sub wait_for_staged
{
	my ($self, $count) = @_;
	my $status;

	wait_until(sub { ($status = $self->status)->{staged} == $count });
	return $status->{staged};
}

# Check that at rest every accepted event is counted in one place, and only once.
sub books_balance
{
	my ($self, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $status;

	$name = $name ? "$name: the books balance" : 'the books balance';
	wait_until(sub { ($status = $self->status)->{staged} == 0 });

	my $ok =
		 defined $status->{received}
	  && defined $status->{staged}
	  && $status->{staged} == 0
	  && $status->{accepted} ==
	  $status->{committed} + $status->{duplicate} + $status->{discarded} + $status->{dead_lettered}
	  && $status->{received} == $status->{accepted} + $status->{rejected};

	ok($ok, $name) or diag(explain($status));
	return $ok;
}

# Rows in which the metrics of page_view differ from a count of the raw rows, in
# one snapshot: in total, by channel and by hour. Empty when there are none.
sub wrong_metrics
{
	my ($self) = @_;

	return $self->sql(<<'EOQ');
WITH metrics AS (
  SELECT * FROM fi_metrics('page_view')
  UNION ALL SELECT * FROM fi_metrics('page_view', group_by => 'channel')
  UNION ALL SELECT * FROM fi_metrics('page_view', group_by => 'hour', fill => false)),
raw AS (
  SELECT channel, to_char(ts AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:00:00Z') AS hour, user_id
  FROM fast_ingest.events WHERE event_name = 'page_view'),
recount AS (
  SELECT coalesce(channel, hour), count(*), count(DISTINCT user_id) FROM raw
  GROUP BY GROUPING SETS ((), (channel), (hour)))
(SELECT 'metrics', * FROM metrics EXCEPT SELECT 'metrics', * FROM recount)
UNION ALL (SELECT 'recount', * FROM recount EXCEPT SELECT 'recount', * FROM metrics)
EOQ
}

# What a row of events counts for in each breakdown
my %KEY = (
	channel => 'channel',
	site => 'site_id',
	page => 'path',
	campaign => 'campaign_id',
	plan => "metadata->>'plan'",
	hour => q(to_char(ts, 'YYYY-MM-DD"T"HH24:00:00"Z"')),
	day => q(to_char(ts, 'YYYY-MM-DD"T"00:00:00"Z"')));

# SQL that shows some of the groups of page_view, from a time on, in which the metrics differ from
# a count of the raw rows.
sub wrong_groups_query
{
	my ($since, @breakdowns) = @_;
	my $names = join ',', @breakdowns;
	my $keys = join ', ', map { "('$_', $KEY{$_})" } @breakdowns;

	return <<"EOQ";
SET timezone = 'UTC';
SELECT * FROM
  (SELECT g, k, t, u FROM unnest('{$names}'::text[]) g,
    LATERAL fi_metrics('page_view', '$since', NULL, g, fill => false) m (k, t, u)) ours
  FULL JOIN
  (SELECT g, k, count(*) AS t, count(DISTINCT user_id) AS u FROM fast_ingest.events,
    LATERAL (VALUES $keys) keys (g, k)
    WHERE event_name = 'page_view' AND ts >= '$since' AND k IS NOT NULL GROUP BY 1, 2) raw USING (g, k)
WHERE (ours.t, ours.u) IS DISTINCT FROM (raw.t, raw.u) ORDER BY 1, 2 LIMIT 10;
EOQ
}

# Clients that post until they are told to stop; see FastIngest::Load.
sub start_load
{
	my ($self, %opt) = @_;
	my $load = FastIngest::Load->new($self, %opt);

	push @loads, $load;
	return $load;
}

# Check that what was acknowledged is stored, that nothing is stored twice, and that clients got no
# answers other than those they may get.
sub stored_once
{
	my ($self, $load, $name, %opt) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $books = $load->books(%opt);

	ok( $books->{acknowledged} > 0
		  && $books->{lost} == 0
		  && $books->{twice} == 0
		  && $books->{unexpected} == 0,
		"$name: $books->{acknowledged} acknowledged events are stored, none twice")
	  or diag(explain($books));
	is(join("\n", $load->complaints), '', "$name: no other answer than 202 and 503");
	return $books;
}

END
{
	my $exit_code = $?;

	if ($$ == $test_pid)
	{
		$_->stop foreach @loads;
	}
	$? = $exit_code;
}

1;
