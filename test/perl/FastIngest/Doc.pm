# The commands of README.md and doc/, and what the pages say that they print.
#
#   run_pages('doc/metrics.md');    # as a test: each command of the page, in its order
#
# A page is Markdown that says by itself what is to be run:
#
#   ```sh              is typed into a shell at the top of the tree, which is the same for the
#                      whole page; in it psql finds the database of the events, and make the
#                      cluster, as if make run had started it
#   ```sql             is typed into psql
#   ```python, ```js   is a program of its own, where there is python3 or node
#   ```conf            is a part of postgresql.conf: the server must know the settings
#   ```text            right after one of these is all that it prints. ... stands for anything
#                      within a line; alone on a line, for any number of lines. Widths of
#                      columns do not count. Elsewhere it is a picture, and nothing is run
#   <!-- not run: why -->
#                      before a block: it is shown, but not run
#   <!-- server: without extension -->
#                      anywhere: the page creates the extension itself
#   <!-- server: streams -->
#                      anywhere: the server can have streams; a test names their targets by
#                      lead_port()
#
# What has no text after it need only succeed. A block of any other language needs a reason.
#
# What differs between the reader's server and the test's is here alone: the pages' port 8080 is
# the test server's port, and PGHOST, PGPORT, PGUSER, PGDATABASE and FI_RUN lead to it. Ports of
# other servers are led to those that a test has started.

package FastIngest::Doc;

use strict;
use warnings;

use Exporter 'import';
use FastIngest;
use File::Basename qw(dirname);
use File::Spec;
use IO::Select;
use IPC::Open2;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

our @EXPORT = qw(top_directory doc_pages page_text block_of output_matches lead_port run_pages);

my $top = File::Spec->rel2abs(dirname(__FILE__) . '/../../..');
my %interpreter = (python => 'python3', js => 'node');
my $mark = 'end-of-block-of-the-page';
my %port_of;    # of the test, by the port that pages name

sub top_directory
{
	return $top;
}

# All pages, as paths from the top of the tree.
sub doc_pages
{
	return ('README.md', map { s{^\Q$top\E/}{}r } sort glob "$top/doc/*.md");
}

sub page_text
{
	my ($page) = @_;

	return slurp_file("$top/$page");
}

# ---------------------------------------------------------------------------
# Reading a page
# ---------------------------------------------------------------------------

# The fenced blocks of a page: { page, line, language, text, reason, output }. output is that of
# the text block which follows; it is no block of its own then.
sub page_blocks
{
	my ($page) = @_;
	my @blocks;
	my ($block, $reason, $fence, $text_follows);
	my $number = 0;

	foreach my $line (split /\n/, page_text($page), -1)
	{
		$number++;
		if ($block)
		{
			if ($line =~ /^\s*```\s*$/)
			{
				if ($text_follows && $block->{language} eq 'text')
				{
					$blocks[-1]{output} = $block->{text};
				}
				else
				{
					push @blocks, $block;
				}
				$text_follows = $block->{language} ne 'text';
				undef $block;
				next;
			}
			$block->{text} .= $line =~ s/^ {0,$fence}//r . "\n";
		}
		elsif ($line =~ /^(\s*)```(\w*)\s*$/)
		{
			$fence = length $1;
			$block = { page => $page, line => $number, language => $2, text => '', reason => $reason };
			undef $reason;
		}
		elsif ($line =~ /^\s*<!-- not run: (.+?) -->\s*$/)
		{
			$reason = $1;
			$text_follows = 0;
		}
		elsif ($line =~ /\S/)
		{
			undef $reason;
			$text_follows = 0;
		}
	}
	die "$page: the block of line $block->{line} does not end" if $block;
	return @blocks;
}

# The block of a page whose text matches.
sub block_of
{
	my ($page, $pattern) = @_;
	my ($block) = grep { $_->{text} =~ $pattern } page_blocks($page);

	die "$page has no block like $pattern" unless $block;
	return $block;
}

# Widths of columns, and what no reader sees, are not compared.
sub normalize
{
	my ($text) = @_;

	$text =~ s/\r//g;
	$text =~ s/-{3,}/---/g;
	$text =~ s/[ \t]+/ /g;
	$text =~ s/ $//mg;
	$text =~ s/\n+\z//;
	return "$text\n";
}

# Does the output look like what a page shows of it?
sub output_matches
{
	my ($output, $expected) = @_;
	my $pattern = join '', map {
		$_ eq '...' ? '(?:.*\n)*?' : join('.*?', map { quotemeta } split /\.\.\./, $_, -1) . '\n'
	} split /\n/, normalize($expected);

	return normalize($output) =~ /\A$pattern\z/;
}

# ---------------------------------------------------------------------------
# Running it
# ---------------------------------------------------------------------------

# The pages' localhost:PORT is this port of the test.
sub lead_port
{
	my ($named, $port) = @_;

	$port_of{$named} = $port;
	return;
}

# A text with the ports of the test, and one with those that the pages name
sub with_our_ports
{
	my ($text) = @_;
	my $named = join '|', keys %port_of;

	return $text =~ s/\b(?:localhost|127\.0\.0\.1):($named)\b/127.0.0.1:$port_of{$1}/gr;
}

sub with_named_ports
{
	my ($text) = @_;
	my %named = reverse %port_of;
	my $ours = join '|', keys %named;

	return $text =~ s/\b127\.0\.0\.1:($ours)\b/127.0.0.1:$named{$1}/gr;
}

# A server as make run starts it, but with no clock and no alarm: the rollup is refreshed when
# the page says so.
sub start_server
{
	my ($name, %opt) = @_;

	$ENV{PGUSER} = 'postgres';
	my $server = FastIngest->new(
		$name,
		database => 'events',
		initdb => ['--username=postgres'],
		start => 0,
		conf => <<'EOC');
shared_preload_libraries = 'pg_cron,fast_ingest'
cron.database_name = 'events'
fast_ingest.max_age = '7300d'
fast_ingest.refresh_backlog = 0
EOC
	$server->node->append_conf('postgresql.conf', "wal_level = logical\nfast_ingest.max_streams = 2") if $opt{streams};
	$server->node->append_conf('postgresql.conf', "cron.host = '" . $server->node->host . "'");
	$server->node->start;
	$server->sql('CREATE DATABASE events', 'postgres');
	if (!$opt{without_extension})
	{
		$server->sql('CREATE EXTENSION pg_cron');
		$server->create_extension;
		wait_until(sub { $server->sql("SELECT bool_and(state = 'running') FROM fi_status()") eq 't' })
		  or die 'not all workers run';
	}

	my $run = PostgreSQL::Test::Utils::tempdir_short();
	symlink $server->node->data_dir, "$run/data" or die "could not make a link: $!";
	symlink $server->node->logfile, "$run/log" or die "could not make a link: $!";
	$server->{environment} = {
		FI_RUN => $run,
		PGHOST => $server->node->host,
		PGPORT => $server->node->port,
		PGDATABASE => 'events',
		PGUSER => 'postgres',
		LC_ALL => 'C.UTF-8'
	};
	return $server;
}

sub open_shell
{
	my ($server) = @_;
	my $directory = PostgreSQL::Test::Utils::tempdir();
	local %ENV = (%ENV, %{ $server->{environment} });

	delete @ENV{qw(MAKEFLAGS MAKELEVEL MFLAGS SECONDS CONNECTIONS TESTS)};
	my $pid = open2(my $out, my $in, 'bash', '--norc');
	$in->autoflush(1);
	print {$in} "exec 2>&1\n";
	return { pid => $pid, in => $in, out => $out, directory => $directory };
}

# What the command prints, and its exit code.
sub run_in_shell
{
	my ($shell, $command) = @_;
	my $select = IO::Select->new($shell->{out});
	my $output = '';
	my $deadline = time + $TIMEOUT;
	my $code;

	print { $shell->{in} } "cd '$top'; $command\nprintf '\\n%s %d\\n' $mark \$?\n";
	until (defined $code)
	{
		die "no end of the command within $TIMEOUT s:\n$command\n$output"
		  unless $select->can_read($deadline - time);
		sysread $shell->{out}, $output, 65536, length $output
		  or die "the shell ended:\n$command\n$output";
		$code = $1 if $output =~ s/\n$mark (\d+)\n\z//;
	}
	return ($output, $code);
}

sub write_block
{
	my ($shell, $block, $text) = @_;
	my $file = "$shell->{directory}/$block->{line}.$block->{language}";

	open my $handle, '>', $file or die "could not write $file: $!";
	print {$handle} $text;
	close $handle or die "could not write $file: $!";
	return $file;
}

# The settings of a block that the server does not know.
sub unknown_settings
{
	my ($server, $text) = @_;
	my %known = map { $_ => 1 } split /\n/, $server->sql('SELECT name FROM pg_settings');

	return grep { !$known{$_} } $text =~ /^([\w.]+) *=/mg;
}

# Until the listener has the configuration that was loaded: it is asked for what follows from a
# setting, which is set and taken back. GET /health needs no API key and counts for no rate limit.
sub wait_for_reload
{
	my ($server) = @_;
	my $origin = 'https://reload.example';
	my $setting = 'fast_ingest.cors_origins';
	my $before = $server->sql("SHOW $setting");

	foreach my $allowed (1, 0)
	{
		$server->set($setting => join ', ', grep { length } $before, $allowed ? $origin : ());
		wait_until(
			sub {
				my $answer = $server->get('/health', headers => [ Origin => $origin ]);

				return $allowed == (defined $answer->{headers}{'access-control-allow-origin'} ? 1 : 0);
			}) or die 'the listener has not loaded the configuration';
	}
	return;
}

sub run_block
{
	my ($server, $shell, $block) = @_;
	my $language = $block->{language};
	my $name = "$block->{page} line $block->{line}";
	my ($output, $code);

	if ($language eq 'conf')
	{
		is(join(' ', unknown_settings($server, $block->{text})), '', "$name: settings that there are");
		return;
	}

	lead_port(8080, $server->port);
	my $text = with_our_ports($block->{text});
	my $file = write_block($shell, $block, $text);

	($output, $code) = run_in_shell($shell,
		  $language eq 'sh' ? ". '$file' </dev/null"
		: $language eq 'sql' ? "psql -X <'$file'"
		: "$interpreter{$language} '$file' </dev/null");
	$output = with_named_ports($output);
	wait_for_reload($server) if $text =~ /pg_reload_conf/;

	my $good =
	  defined $block->{output}
	  ? output_matches($output, $block->{output})
	  : $code == 0 && $output !~ /^(?:ERROR|FATAL):/m;
	ok($good, $name) or diag("$block->{text}--- printed (exit code $code)\n$output\n--- expected\n",
		defined $block->{output} ? $block->{output} : 'success');
	return;
}

# Why a block is not run; undef for one that is.
sub reason_not_to_run
{
	my ($block) = @_;
	my $language = $block->{language};

	return $block->{reason} if defined $block->{reason};
	return undef if $language =~ /^(?:sh|sql|conf)$/;
	return "there is no $interpreter{$language} on this machine"
	  if $interpreter{$language} && system("command -v $interpreter{$language} >/dev/null") != 0;
	return undef if $interpreter{$language};
	return '';
}

# As a test: run the commands of each page in their order, on a server of its own.
sub run_pages
{
	my @pages = @_;

	foreach my $page (@pages)
	{
		my @blocks = grep { $_->{language} ne 'text' } page_blocks($page);
		my $name = $page =~ s{.*/|\.md$}{}gr;
		my ($run, %not_run, $server, $shell) = (0);

		foreach my $block (@blocks)
		{
			my $reason = reason_not_to_run($block);

			if (defined $reason)
			{
				isnt($reason, '', "$page line $block->{line}: a reason why it is not run");
				$not_run{$reason}++;
				next;
			}
			$server ||= start_server("doc_$name",
				map { tr/ /_/r => 1 } page_text($page) =~ /^<!-- server: (without extension|streams) -->$/mg);
			$shell ||= open_shell($server);
			run_block($server, $shell, $block);
			$run++;
		}
		note("$page: $run blocks run, ", scalar @blocks - $run, ' not run');
		note("    $not_run{$_} not run: $_") foreach sort keys %not_run;
		pass("$page: read") unless @blocks;
		if ($shell)
		{
			close $shell->{in};
			waitpid $shell->{pid}, 0;
			$server->node->stop;
		}
	}
	done_testing();
	return;
}

1;
