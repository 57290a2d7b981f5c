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
		my $began = time;
		my $result = $condition->();
		my $took = time - $began;

		return $result if $result;
		return undef if time > $deadline;
		# where asking takes long, because much else runs, it is asked less often
		Time::HiRes::sleep($took < 0.02 ? 0.02 : $took > 0.5 ? 0.5 : $took);
	}
}

1;
