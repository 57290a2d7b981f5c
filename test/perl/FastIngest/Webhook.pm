# A collector of webhooks: FastIngest::StandIn that takes all requests with 204, or does as its
# plan says.
#
#   my $webhook = FastIngest::Webhook->new;
#   fi_create_stream(..., 'webhook', $webhook->url('/events'), ...)
#   $webhook->plan({ status => 503, headers => [ 'Retry-After', 1 ] }, { status => 204 });
#   my @events = $webhook->events;		# of all requests that were taken, as they came
#   is($webhook->verify($secret), '', 'all signatures are right');
#
# Besides those of FastIngest::StandIn, an order may ask:
# only => pattern	the status is for requests whose lines match the pattern, others get 204

package FastIngest::Webhook;

use strict;
use warnings;

use Cwd ();
use FastIngest::StandIn;
use FastIngest::Wait;
use File::Basename qw(dirname);
use IPC::Run ();
use JSON::PP ();
use MIME::Base64 ();

our @ISA = ('FastIngest::StandIn');

my $json = JSON::PP->new->utf8->canonical;
my $packages = $ENV{FI_STREAM_PACKAGES} || Cwd::abs_path(dirname(__FILE__) . '/../../..') . '/tmp_stream_packages';

sub answer
{
	my ($self, $request, $order) = @_;

	if (defined $order->{only})
	{
		my $text = FastIngest::StandIn::uncompress($request->{body}, $request->{headers}{'content-encoding'});

		return (204, [], '') unless $text =~ /$order->{only}/;
	}
	return ($order->{status} // 204, $order->{headers} || [], $order->{body} // '');
}

# Of requests, those whose events the collector has: they had 2xx as their answer, even if it got
# lost
sub taken
{
	return grep { $_->{status} =~ /^2|^lost$|^hung$/ } @_;
}

# The events of the requests that were taken, decoded
sub events
{
	my ($self, $from) = @_;

	return map { $json->decode($_) } map { @{ $_->{rows} } } taken($self->requests($from));
}

# Wait until so many different ids of events have come, and return the number of them.
sub wait_for_events
{
	my ($self, $count, $seconds) = @_;
	my ($seen, %ids) = (0);

	wait_until(
		sub {
			my @requests = $self->requests($seen);

			$seen += @requests;
			$ids{ $json->decode($_)->{id} } = 1 foreach map { @{ $_->{rows} } } taken(@requests);
			return keys %ids >= $count;
		},
		$seconds);
	return scalar keys %ids;
}

# Check the signatures of all whole requests with npm's standardwebhooks. Returns '' when all are
# right, else what is wrong.
sub verify
{
	my ($self, $secret) = @_;
	my @requests = grep { $_->{status} ne 'refused' } $self->requests;
	my $program = <<'EOP';
const { Webhook } = require('standardwebhooks');
const webhook = new Webhook(process.env.FI_SECRET);
let input = '';
process.stdin.on('data', (part) => { input += part; }).on('end', () => {
	for (const line of input.split('\n').filter((line) => line !== '')) {
		const { headers, text } = JSON.parse(line);
		try {
			// The body is a line of JSON per event, not one JSON text
			webhook.verify(Buffer.from(text, 'base64'), headers, { jsonParse: false });
		} catch (error) {
			console.log(`${headers['webhook-id']}: ${error.message}`);
		}
	}
});
EOP
	my ($output, $error);
	my $input = join '',
	  map { $json->encode({ headers => $_->{headers}, text => MIME::Base64::encode_base64($_->{text}, '') }) . "\n" }
	  @requests;
	local $ENV{FI_SECRET} = $secret;
	local $ENV{NODE_PATH} = "$packages/node_modules";

	return "standardwebhooks is not in $packages: run make stream-packages" unless -d "$packages/node_modules/standardwebhooks";
	return 'no request' if !@requests;
	return "node failed: $error"
	  unless eval { IPC::Run::run([ 'node', '-e', $program ], '<', \$input, '>', \$output, '2>', \$error) };
	return $output;
}

1;
