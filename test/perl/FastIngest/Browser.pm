# A real Chromium that looks at the pages of a server.
#
#   my $browser = FastIngest::Browser->new($server);
#   my $page = $browser->open('/?period=30d', viewport => { width => 320, height => 640 });
#   $page->click('role=button[name="Users"]');
#   is($page->text('role=status'), '5 users');
#   $page->is_quiet('the users');
#
# What to act on is a selector of playwright's. Everything waits until it can be done. A page whose
# console says anything, that asks anybody but its server, or in which a script fails, is not quiet.
# `make dashboard-packages` installs what drives the browser. Screenshots are in FI_SCREENSHOTS, or in
# tmp_check/tap/screenshots; the tests must be allowed to write there.

package FastIngest::Browser;

use strict;
use warnings;

use Cwd ();
use FastIngest::Browser::Page;
use FastIngest::Wait;
use File::Basename ();
use File::Path ();
use IPC::Run;
use JSON::PP ();

my $json = JSON::PP->new->utf8->canonical->allow_nonref;
my @browsers;
my $tree = Cwd::abs_path(File::Basename::dirname(__FILE__) . '/../../..');

sub new
{
	my ($class, $server) = @_;
	my $packages = $ENV{FI_DASHBOARD_PACKAGES} || "$tree/tmp_dashboard_packages";

	die "playwright-core is missing in $packages: make dashboard-packages\n" unless -d "$packages/node_modules/playwright-core";
	my $self = bless { server => $server, in => '', out => '', err => '', screenshots => $ENV{FI_SCREENSHOTS} || "$ENV{TESTDIR}/screenshots" }, $class;

	File::Path::make_path($self->{screenshots});

	# Its profile is below TMPDIR, and gone when it ends
	$self->{driver} = IPC::Run::start([ 'node', "$tree/test/dashboard/driver.mjs", $packages ], \$self->{in}, \$self->{out}, \$self->{err},
		$self->{timer} = IPC::Run::timer($TIMEOUT));
	push @browsers, $self;
	return $self;
}

# The server's address, for its pages
sub origin
{
	my ($self, $server) = @_;

	return 'http://127.0.0.1:' . ($server || $self->{server})->port;
}

# Have the driver do something; returns what it says.
sub command
{
	my ($self, %command) = @_;

	$self->{in} .= $json->encode(\%command) . "\n";
	$self->{timer}->start($TIMEOUT);
	until ($self->{out} =~ /\n/)
	{
		die "the browser says nothing: $self->{err}\n" if $self->{timer}->is_expired;
		die "the browser has ended: $self->{err}\n" unless $self->{driver}->pumpable;
		$self->{driver}->pump;
	}
	my ($line) = $self->{out} =~ s/\A(.*\n)// ? $1 : ();
	my $answer = $json->decode($line);
	if (defined $answer->{error})
	{
		utf8::encode($answer->{error});
		die "$answer->{error}\n";
	}
	return $answer->{value};
}

# Open a page, in a profile of its own. Options: server => another one; else those of playwright's
# newContext.
sub open
{
	my ($self, $path, %options) = @_;
	my $origin = $self->origin(delete $options{server});
	my $number = $self->command(open => { origin => $origin, timeout => $TIMEOUT * 1000 / 4, %options });
	my $page = FastIngest::Browser::Page->new($self, $number, $origin);

	$page->go($path) if defined $path;
	return $page;
}

sub close
{
	my ($self) = @_;

	return unless $self->{driver};
	# A server that was started meanwhile may have inherited the other end of its input
	eval { $self->command(quit => JSON::PP::true) };
	$self->{timer}->reset;
	IPC::Run::finish(delete $self->{driver});
	return;
}

# A program that dies leaves no browser behind.
END
{
	my $exit_code = $?;

	eval { $_->{driver}->kill_kill(grace => 5) } foreach grep { $_ && $_->{driver} } @browsers;
	$? = $exit_code;
}

1;
