# Waiting for a condition, with a deadline. Nothing in the tests waits for a time.

package FastIngest::Wait;

use strict;
use warnings;

use Exporter 'import';
use Time::HiRes qw(time);

our @EXPORT = qw(wait_until $TIMEOUT);

# In seconds, of everything that is waited for
our $TIMEOUT = $ENV{PG_TEST_TIMEOUT_DEFAULT} || 180;

# Call the function until it returns true, and return that; undef when the time is over.
sub wait_until
{
	my ($condition, $seconds) = @_;
	my $deadline = time + ($seconds || $TIMEOUT);

	for (;;)
	{
		my $result = $condition->();

		return $result if $result;
		return undef if time > $deadline;
		Time::HiRes::usleep(20_000);
	}
}

1;
