# Events, and requests that post them.

package FastIngest::Event;

use strict;
use warnings;

use Exporter 'import';
use FastIngest::Http;

our @EXPORT = qw(event $DAY $NOON);

# The events of event() happen in the hours after $NOON of $DAY.
our $DAY = '2024-08-12';
our $NOON = 1723464000;

# The nth event. All of them differ.
sub event
{
	my ($n, %changes) = @_;

	return {
		event_name => 'page_view',
		channel => 'web',
		user_id => "user-$n",
		timestamp => $NOON + $n % 10000,
		path => "/page/$n",
		%changes
	};
}

sub post_event
{
	my ($self, $event, %opt) = @_;

	return $self->post('/events', $event, %opt);
}

sub post_bulk
{
	my ($self, $events, %opt) = @_;
	my $query = delete $opt{query};

	return $self->post('/events/bulk' . ($query ? "?$query" : ''),
		$events, %opt);
}

# Send each event on a connection of its own and wait for nothing. Returns the connections.
sub send_events
{
	my ($self, @events) = @_;

	return map {
		my $connection = $self->connect;

		$connection->send(http_message('POST', '/events', body => $_));
		$connection
	} @events;
}

1;
