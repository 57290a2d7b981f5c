# Whatever strangers write into the fields of an event is text on the page: no markup of it becomes
# an element, nothing of it runs, none of it turns or widens what stands around it, and as a filter,
# in an address and in SQL it means itself.

use strict;
use warnings;
use utf8;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use Encode qw(encode);
use FastIngest;
use FastIngest::Browser;
use FastIngest::Dashboard;
use Test::More;

my $server = FastIngest->new('hostile_text');

# Each is the value of a field of one event by one user, and longer than any card is wide, or markup,
# or what means something in an address, in SQL, in a filter or in a template
my @texts = (
	'<img src=x onerror=alert(1)>', '"><script>alert(1)</script>', q{'--><svg onload=alert(1)>}, '</title></style></script><h1>big</h1>',
	'javascript:alert(1)', '{{7*7}}${alert(1)}<%= 7*7 %>', '&lt;b&gt;&amp;&#60;', q{Robert'); DROP TABLE students;--}, 'a,b\\,c\\', 'a=b&c=d#e?f%20g%',
	'+ plus  two blanks ', "\x{202e}right to left\x{202c}", "\x{5e9}\x{5dc}\x{5d5}\x{5dd} (123)", "\x{627}\x{644}\x{633}\x{644}\x{627}\x{645} <b>", "\x{1f469}\x{200d}\x{1f680}\x{1f1f9}\x{1f1f7}",
	'x' x 190, '<' x 150, "line\nbreak\tand tab", "z\x{35c}\x{34f}" x 20, '__proto__', 'constructor', 'toString', 'null', '(other)', 'filter.site', '0', '-1', '*',
	# what a terminal acts on
	"\e[201~\x15SELECT\x7f");

my $time = 1723464000;
my @events = map {
	{
		event_name => $_,
		channel => $_,
		user_id => "$_",
		timestamp => $time,
		site_id => $_,
		path => $_,
		campaign_id => $_,
		tags => [ $_, 'two' ],
		metadata => { label => $_, $_ => $_ }
	}
} @texts;

$server->sql(q(SELECT fi_add_breakdown('label', metadata => 'label', levels => '{minute,hour,day}'), fi_add_breakdown('campaign', 'campaign_id'), fi_add_breakdown('topic', 'tags')));
is($server->post_bulk(\@events)->{json}{accepted}, scalar @texts, 'all of them are events');
$server->sql('SELECT fi_refresh()');

my $browser = FastIngest::Browser->new($server);
my $page = $browser->open(undef);
my $day = '?tz=UTC&from=2024-08-12&to=2024-08-12';

# An element that the page did not make, or that loads or runs anything
my $foreign = <<'EOJ';
[...document.querySelectorAll("img, iframe, object, embed, script:not(:last-of-type), h1:not(.brand), [onerror], [onload], [href^='javascript'], b, base")].map(node => node.outerHTML.slice(0, 100)).join("\n")
EOJ

# Go on with a page of which everything hostile has been shown.
sub is_harmless
{
	my ($name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;

	is($page->js($foreign), '', "$name: no element of a stranger's");
	$page->is_quiet($name);
	$page->fits($name);
	return;
}

# A name as the page shows it: HTML would take several blanks for one, innerText cuts them at the ends
sub shown { return $_[0] =~ s/\s+/ /gr =~ s/\A | \z//gr }

$page->go("/$day");
is(totals($page)->{Events}, scalar @texts, 'they are counted');
is_harmless('the view');
foreach my $title ('Events', 'Channels', 'Websites', 'Pages', 'Labels', 'Campaigns', 'Topic')
{
	my @names = map { $_->[0] } @{ card($page, $title) || [] };

	is(scalar(@names), 9, "$title: a card of nine") or diag("@names");
}

# Whole lists, in which all of them stand

foreach my $title ('Events', 'Channels', 'Websites', 'Pages', 'Labels', 'Campaigns')
{
	$page->click("role=button[name=\"Whole list: $title\"]");
	$page->wait_for('dialog tbody tr >> nth=' . (@texts - 1));
	my @names = @{ $page->js('() => [...document.querySelectorAll("dialog tbody th bdi, dialog tbody th .row-link")].filter(one => one.matches("bdi") || !one.querySelector("bdi")).map(one => one.textContent)') };
	is(join("\n", sort @names), join("\n", sort @texts), "$title: every text as it was sent");
	is_harmless("the list of $title");
	$page->press('Escape');
	$page->wait_for('dialog', 'hidden');
}
$page->go("/$day&site=" . encode_query($texts[0]));
is_harmless('a website in the title');

# Each as a filter, by its address and by its link

sub encode_query { return encode('UTF-8', $_[0]) =~ s/([^A-Za-z0-9_.-])/sprintf '%%%02X', ord $1/ger }

foreach my $text (@texts)
{
	my $name = substr(shown($text), 0, 30) =~ s/[^ -~]/?/gr;
	my $value = encode_query($text =~ s/([\\,])/\\$1/gr);

	$page->go("/$day&label=$value&channel=$value");
	is(totals($page)->{Events}, 1, "$name: an address with it as a filter");
	like(join('', chips($page)), qr/\Q@{[substr shown($text), 0, 20]}\E/, "$name: a chip") unless $text =~ /\n/;
	is_harmless($name);

	# The statement of a filter is of the very text
	$page->click('role=button[name="SQL of the chart"]');
	my $shown = $page->text('dialog pre');
	unlike($shown, qr/[\x00-\x09\x0b-\x1f\x7f\x{202e}]/, "$name: nothing in its SQL that a terminal acts on");
	my $statement = encode('UTF-8', $shown);
	$page->press('Escape');
	is(eval { $server->sql("SELECT sum(total_events) FROM (" . ($statement =~ s/;\s*\z//r) . ') s') } // $@, '1', "$name: its SQL");
}

$page->go("/$day&compare=off");
settled($page);
foreach my $n (0 .. 8)
{
	$page->click("section.group-card:has(h3:has-text(\"Labels\")) tbody tr >> nth=$n >> a");
	is(totals($page)->{Events}, 1, "row $n as a filter");
	$page->back;
	is(totals($page)->{Events}, scalar @texts, 'and back');
}
is_harmless('links');

# Pickers

foreach my $picker ('Website', 'Event')
{
	$page->click("role=button[name=/^$picker: /]");
	$page->wait_for('role=option >> nth=5');
	is($page->count('role=option'), @texts + 1, "$picker: all to choose from");
	is_harmless("$picker: a list");
	$page->press('Escape');
}

# Now, and in all colours for those who look

my @now = map { { %$_, timestamp => time - 1 } } @events;
post_all($server, @now);
$page->go('/?tz=UTC&view=live');
settled($page, 'live');
is_harmless('the live view');
$page->go('/?tz=UTC&period=day');
settled($page);
$page->screenshot('hostile_text');
$page->resize(320, 640);
is_harmless('today on a phone');
$page->go('/?tz=UTC&view=live');
settled($page, 'live');
is_harmless('the live view on a phone');

# What the database refuses, with a reason in which the event has its say

$server->sql(<<'EOS');
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION '% is refused', NEW.path; END $$;
CREATE TRIGGER refuse BEFORE INSERT ON fast_ingest.events FOR EACH ROW WHEN (NEW.event_name = 'refused') EXECUTE FUNCTION refuse();
EOS
is($server->post_event({ %$_, event_name => 'refused', timestamp => time - 2 })->{status}, 422, 'refused') foreach @now[ 0 .. 2, 11, 15 ];
foreach my $width (320, 1280)
{
	$page->resize($width, 900);
	$page->go('/?tz=UTC&view=operator');
	settled($page, 'operator');
	like($page->text('#operator-dead-letters'), qr/onerror=alert/, 'the reasons are shown');
	$page->js('() => { for (const one of document.querySelectorAll("details")) one.open = true; }');
	is_harmless("dead letters, $width");
	$page->has_no_barriers("dead letters, $width");
}
$browser->close;

done_testing();
