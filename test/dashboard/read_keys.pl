# Who may see the dashboard where keys are required: it asks for a key, keeps it for the tab alone,
# shows what the key allows, and lets no key out into an address or a log.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use FastIngest;
use FastIngest::Browser;
use FastIngest::Dashboard;
use PostgreSQL::Test::Utils;
use Test::More;

my $server = FastIngest->new('read_keys', conf => "fast_ingest.log_requests = 'all'");
# A browser says in the console that a request was refused
my @refused = map { qr/^console: error: Failed to load resource: the server responded with a status of $_ / } 401, 403;

post_shop($server, '2024-08-20');

my %key = map { $_->[0] => $server->sql("SELECT fi_create_api_key('$_->[0]', $_->[1])") } (
	[ 'reader', q('{read}') ],
	[ 'writer', q('{write}') ],
	[ 'operator', q('{read,admin}') ],
	[ 'shop', q('{read}', site_ids => '{shop.example}') ],
	[ 'two', q('{read}', site_ids => '{blog.example,docs.example}') ],
	[ 'web', q('{read}', channels => '{web}') ]);
my @month = (from => q(timestamptz '2024-07-22Z'), to => q(timestamptz '2024-08-21Z'));

$server->set('fast_ingest.require_api_key' => 'on');
$server->wait_for_answer(401, sub { $server->get('/key') });

my $browser = FastIngest::Browser->new($server);
my $dialog = 'role=dialog[name="An API key, please"]';

sub open_at
{
	my ($path, %options) = @_;
	my $page = $browser->open(undef, %options);

	$page->call(['clock'], [ 'setFixedTime', '2024-08-20T12:34:56Z' ]);
	$page->go($path);
	return $page;
}

sub give_key
{
	my ($page, $key) = @_;

	$page->wait_for($dialog);
	$page->fill('dialog input', $key);
	$page->press('Enter');
	return;
}

# The link that Share makes
sub shared_link
{
	my ($page) = @_;

	$page->click('role=button[name="Settings"]');
	$page->click('role=menuitem[name="Share"]');
	my $link = $page->call([ 'locator', 'dialog input[aria-label=Link]' ], ['inputValue']);
	$page->press('Escape');
	$page->wait_for('dialog', 'hidden');
	return substr $link, length $browser->origin;
}

# None

my $page = open_at('/?tz=UTC');
$page->wait_for($dialog);
is($page->js('document.activeElement.type'), 'password', 'without a key it asks for one');
unlike($page->text('body'), qr/\d{3}/, 'and shows no number');
$page->has_no_barriers('asking for a key');
is(join(' ', grep { !m{^GET /(?:key|overview)?(?:\?|\z)} } $page->requests), '', 'nor asks for more than what it shows first');

# A wrong one, one for something else, and the right one

give_key($page, 'fi_000000000000_' . '0' x 64);
$page->wait_for("$dialog >> text=The key is not valid");
give_key($page, $key{reader});
is_true($server, $page, 'with a key it shows the numbers', @month);
is($page->js('sessionStorage.length'), 1, 'it keeps the key');
is($page->js('localStorage.length + document.cookie.length'), 0, 'for the tab only');
$page->reload;
is_true($server, $page, 'also when it is loaded again', @month);
unlike($page->address, qr/fi_|key/, 'the key is not in the address');
$page->is_quiet('a key', @refused);
$page->go('/?tz=UTC&view=operator');
$page->wait_for('text=This view is for operators');
$page->is_quiet('no operator', @refused);

my $stranger = open_at('/?tz=UTC');
$stranger->wait_for($dialog);
pass('another tab has none');
give_key($stranger, $key{writer});
$stranger->wait_for('#notice:not([hidden])');
like($stranger->text('#notice'), qr/The key does not allow this.*scope "read"/s, 'a key for writing: in words');
$stranger->is_quiet('a key for writing', @refused);
$stranger->close;

# A shared link

my $shared = open_at("/?tz=UTC&period=7d#key=$key{reader}");
my @week = (from => q(timestamptz '2024-08-14Z'), to => q(timestamptz '2024-08-21Z'));
is_true($server, $shared, 'a link with a key shows the numbers', @week);
is($shared->address, '/?tz=UTC&period=7d', 'the key leaves the address');
is($shared->js('history.length'), 2, 'and the history') ;
$shared->reload;
is_true($server, $shared, 'it is kept', @week);
is(shared_link($shared), "/?period=7d&tz=UTC#key=$key{reader}", 'who has a link can share it');
$shared->is_quiet('a link');
$shared->close;

# A link with a wrong one
my $wrong = open_at('/?tz=UTC#key=<img src=x onerror=alert(1)>');
$wrong->wait_for($dialog);
$wrong->is_quiet('a link with nonsense', @refused);
$wrong->close;

# Websites and channels

my $shop = open_at("/?tz=UTC#key=$key{shop}");
is_true($server, $shop, 'a key for a website sees it', @month, site => 'shop.example');
like($shop->address, qr/site=shop\.example/, 'as the address says');
$shop->click('role=button[name=/^Website: /]');
$shop->wait_for('role=option >> nth=0');
is(join(' ', $shop->texts('role=option')), 'shop.example', 'there is no other to choose');
$shop->press('Escape');
is(card($shop, 'Websites'), undef, 'nor one to compare with');
$shop->press('0');
is_true($server, $shop, 'all websites are that one', @month, site => 'shop.example');
$shop->is_quiet('a key for a website');
$shop->go('/?tz=UTC&site=blog.example');
is_true($server, $shop, 'the address of another one leads to it', @month, site => 'shop.example');
$shop->close;

my $two = open_at("/?tz=UTC#key=$key{two}");
is_true($server, $two, 'a key for two shows the first', @month, site => 'blog.example');
$two->go('/?tz=UTC&site=docs.example');
is_true($server, $two, 'and the second', @month, site => 'docs.example');
$two->go('/?tz=UTC&site=blog.example,docs.example');
is_true($server, $two, 'and both', @month, site => [ 'blog.example', 'docs.example' ]);
$two->is_quiet('a key for two');
$two->close;

my $web = open_at("/?tz=UTC#key=$key{web}");
is_true($server, $web, 'a key for a channel sees it', @month, channel => 'web');
$web->press('Escape');
is_true($server, $web, 'whichever filters are taken away', @month, channel => 'web');
$web->go('/?tz=UTC&channel=web,email');
is_true($server, $web, 'or asked for', @month, channel => 'web');
$web->is_quiet('a key for a channel');
$web->close;

# An operator

my $operator = open_at("/?tz=UTC&view=operator#key=$key{operator}");
settled($operator, 'operator');
like($operator->text('role=main'), qr/Workers.*flusher/s, 'a key with admin sees how the server does');
is(shared_link($operator), '/?view=operator&tz=UTC', 'a key that may do more than read is in no link');
$operator->is_quiet('an operator');

# A key that is revoked while it is in use

$server->sql(q(SELECT fi_revoke_api_key('reader')));
$page->go('/?tz=UTC&period=7d');
$page->wait_for("$dialog >> text=The key is not valid");
is($page->js('sessionStorage.length'), 0, 'a revoked key is asked for again, and forgotten');
give_key($page, $key{operator});
is_true($server, $page, 'another one does', @week);

# To forget it

$page->click('role=button[name="Settings"]');
$page->click('role=menuitem[name="API key"]');
$page->click('role=button[name="Forget the key"]');
$page->wait_for($dialog);
is($page->js('sessionStorage.length'), 0, 'a key can be forgotten');
$page->is_quiet('keys', @refused);

# No key got out

my $log = slurp_file($server->node->logfile);
like($log, qr{GET.*/overview}, 'the log has the requests');
is(join(' ', grep { index($log, substr $key{$_}, -40) >= 0 } sort keys %key), '', 'and none of the keys');
$browser->close;

done_testing();
