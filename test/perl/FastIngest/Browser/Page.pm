# A page in the browser: see FastIngest::Browser.

package FastIngest::Browser::Page;

use strict;
use warnings;

use Test::More;

sub new
{
	my ($class, $browser, $number, $origin) = @_;

	return bless { browser => $browser, number => $number, origin => $origin }, $class;
}

# Call methods of playwright's Page, each of what the one before gave: [ name, arguments ], ...
sub call
{
	my ($self, @calls) = @_;

	return $self->{browser}->command(page => $self->{number}, calls => \@calls);
}

sub go
{
	my ($self, $path) = @_;

	return $self->call([ 'goto', "$self->{origin}$path" ]);
}

# What its address is, without the server's
sub address
{
	my ($self) = @_;

	# the page knows it at once, the driver a moment later
	return substr $self->js('location.href'), length $self->{origin};
}

sub reload { return $_[0]->call(['reload']) }
sub back { return $_[0]->call(['goBack']) }
sub forward { return $_[0]->call(['goForward']) }
sub press { return $_[0]->call(['keyboard'], [ 'press', $_[1] ]) }
sub click { return $_[0]->call([ 'locator', $_[1] ], ['click']) }
sub fill { return $_[0]->call([ 'locator', $_[1] ], [ 'fill', $_[2] ]) }
sub choose { return $_[0]->call([ 'locator', $_[1] ], [ 'selectOption', $_[2] ]) }
sub text { return $_[0]->call([ 'locator', $_[1] ], ['innerText']) }
sub texts { return @{ $_[0]->call([ 'locator', $_[1] ], ['allInnerTexts']) } }
sub count { return $_[0]->call([ 'locator', $_[1] ], ['count']) }
sub attribute { return $_[0]->call([ 'locator', $_[1] ], [ 'getAttribute', $_[2] ]) }

# Wait until it can be seen, or, with a state, until it is 'hidden'.
sub wait_for { return $_[0]->call([ 'locator', $_[1] ], [ 'waitFor', { state => $_[2] || 'visible' } ]) }

# What the driver takes for a function: one as it is, or an expression
sub function_of { return 'js:' . ($_[0] =~ /\A\s*(?:async )?(?:\([^()]*\)|\w+) =>/ ? $_[0] : "() => ($_[0])") }

# The value of a JavaScript expression, or of a function of one argument.
sub js { return $_[0]->call([ 'evaluate', function_of($_[1]), @_[ 2 .. $#_ ] ]) }

# Wait until an expression is true.
sub wait_for_js { return $_[0]->call([ 'waitForFunction', function_of($_[1]) ]) }

sub resize { return $_[0]->call([ 'setViewportSize', { width => $_[1], height => $_[2] } ]) }

# Of the whole page, in a file NAME.png. Options are those of playwright.
sub screenshot
{
	my ($self, $name, %options) = @_;
	my $file = "$self->{browser}{screenshots}/$name.png";

	$self->call([ 'screenshot', { path => $file, fullPage => JSON::PP::true, animations => 'disabled', %options } ]);
	return $file;
}

# What it complained of since it was asked, but for what was to be expected
sub complaints
{
	my ($self, @expected) = @_;

	return grep {
		my $complaint = $_;
		!grep { $complaint =~ $_ } @expected
	} @{ $self->{browser}->command(page => $self->{number}, seen => JSON::PP::true) };
}

# The requests that it sent since it was asked, such as "GET /key"
sub requests { return @{ $_[0]->{browser}->command(page => $_[0]{number}, requests => JSON::PP::true) } }

# Check that nothing was complained of but what matches.
sub is_quiet
{
	my ($self, $name, @expected) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;

	return is(join("\n", $self->complaints(@expected)), '', "no complaint: $name");
}

# Check that axe-core finds no barrier.
sub has_no_barriers
{
	my ($self, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;

	return is(join("\n", @{ $self->{browser}->command(page => $self->{number}, barriers => JSON::PP::true) }), '', "no barrier: $name");
}

# Check that the page scrolls in one direction only.
sub fits
{
	my ($self, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $beyond = $self->js(<<'EOJ');
() => {
  const width = document.documentElement.clientWidth;
  if (document.documentElement.scrollWidth <= width) return "";
  return [...document.body.querySelectorAll("*")].filter(element => element.getBoundingClientRect().right > width + 1)
    .slice(0, 5).map(element => `${element.tagName}.${element.getAttribute("class") ?? ""} ends at ${Math.round(element.getBoundingClientRect().right)}`).join("\n")
    || `${document.documentElement.scrollWidth} of ${width}`;
}
EOJ

	return is($beyond, '', "fits: $name");
}

sub close { return $_[0]->{browser}->command(page => $_[0]{number}, close => JSON::PP::true) }

1;
