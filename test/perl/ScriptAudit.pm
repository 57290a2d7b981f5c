# Reads an extension's install script as one who wants to run code of his own with
# the rights of who runs it, and complains of what would help him: what pgspot looks
# for, and what CVE-2022-2625 and CVE-2023-39417 were about.
#
#   my @complaints = audit_script($text);

package ScriptAudit;

use strict;
use warnings;

use Exporter 'import';

our @EXPORT = qw(audit_script);

# The schema of our tables and our plumbing, and the functions that are ours: those of that
# schema, and those whose names begin with fi_
my $TABLES = qr/fast_ingest\./;
my $CALLED = qr/fi_\w+/;
my $OURS = qr/fast_ingest\.\w+|$CALLED/;
my $PINNED = qr/\bSET\s+search_path\s*(?:=|TO)\s*pg_catalog\s*,\s*pg_temp\b/i;

# Statements: [ text without comments, literals and bodies; literals; bodies ]
sub statements
{
	my ($text) = @_;
	my @statements;
	my $current = { sql => '', literals => [], bodies => [] };

	while ($text =~ /\G(?:
		(?<comment> --[^\n]* | \/\*.*?\*\/ )
		| (?<meta> ^\\[^\n]* )
		| '(?<literal> (?:[^']|'')* )'
		| (?<tag> \$\w*\$ )(?<body> .*? )\k<tag>
		| (?<quoted> "(?:[^"]|"")*" )
		| (?<end> ; )
		| (?<other> . )
		)/gmsx)
	{
		my %part = %+;

		if (defined $part{literal}) { push @{ $current->{literals} }, $part{literal}; $current->{sql} .= "''"; }
		elsif (defined $part{body}) { push @{ $current->{bodies} }, $part{body}; $current->{sql} .= '$$'; }
		elsif (defined $part{quoted}) { $current->{sql} .= $part{quoted}; }
		elsif (defined $part{other}) { $current->{sql} .= $part{other}; }
		elsif (defined $part{end})
		{
			push @statements, $current;
			$current = { sql => '', literals => [], bodies => [] };
		}
	}
	push @statements, $current if $current->{sql} =~ /\S/;
	$_->{sql} =~ s/\A\s+|\s+\z//g foreach @statements;
	return @statements;
}

# The same of a function's body: statements would be cut, but literals are told apart
sub without_literals
{
	my ($body) = @_;
	my @literals;

	$body =~ s/--[^\n]*//g;
	$body =~ s/'((?:[^']|'')*)'/push @literals, $1; "''"/ge;
	return ($body, @literals);
}

# Names of relations and functions that are looked up in the search path
sub unqualified
{
	my ($sql) = @_;
	my @names;
	# what the statement itself names
	my %with = map { lc $_ => 1 } $sql =~ /(?:\bWITH|,)\s+(\w+)\s*(?:\([^()]*\)\s*)?AS\s+(?:NOT\s+)?MATERIALIZED\s*\(/gi;

	# a relation
	push @names, grep { !/^(?:pg_\w+|select|lateral|unnest)$/i && !$with{ lc $_ } }
	  $sql =~ /\b(?:FROM|JOIN|UPDATE|LOCK\s+TABLE(?:\s+ONLY)?+|TRUNCATE)\s+(\w+)\b(?!\s*[.(@])/gi;
	push @names, $sql =~ /\bINSERT\s+INTO\s+(\w+)\b(?!\s*[.@])/gi;
	# a function of ours
	push @names, $sql =~ /(?<![\w.])($CALLED)\s*\(/g;
	return @names;
}

sub audit_function
{
	my ($statement) = @_;
	my $sql = $statement->{sql};
	my ($name) = $sql =~ /^CREATE\s+FUNCTION\s+(\S+?)\s*\(/i;
	my ($language) = $sql =~ /\bLANGUAGE\s+(\w+)/i;
	my @complaints;

	return 'a function without a language' unless defined $name && defined $language;
	push @complaints, "$name: not one of ours: $name" unless $name =~ /^(?:$OURS)$/;

	# C functions that run no SQL: they compute, or read shared memory
	my $runs_sql = lc $language ne 'c' || $sql !~ /\bIMMUTABLE\b|\bPARALLEL\s+SAFE\b/i;

	push @complaints, "$name: search_path is not pinned" if $runs_sql && $sql !~ $PINNED;
	push @complaints, "$name: SECURITY DEFINER without a pinned search_path"
	  if $sql =~ /\bSECURITY\s+DEFINER\b/i && $sql !~ $PINNED;

	my ($arguments) = $sql =~ /^CREATE\s+FUNCTION\s+\S+?\s*\((.*?)\)\s*RETURNS/is;
	my %free = map { $_ => 1 } ($arguments || '') =~ /(\w+)\s+(?:text|name|cstring|varchar)\b/gi;

	foreach my $body (lc $language eq 'c' ? () : @{ $statement->{bodies} })
	{
		my ($code, @literals) = without_literals($body);

		push @complaints, map { "$name: unqualified $_" } unqualified($code);
		push @complaints, "$name: OR REPLACE or IF NOT EXISTS" if $code =~ /\bOR\s+REPLACE\b|\bIF\s+NOT\s+EXISTS\b/i;
		push @complaints, "$name: EXECUTE of strings put together" while $code =~ /\bEXECUTE\b[^;]*\|\|/gi;
		push @complaints, "$name: \@extschema\@ in a literal" if grep { /\@extschema\@/ } @literals;
		push @complaints, "$name: \@extschema\@ is not a qualification" if $code =~ /\@extschema\@(?!\.)/;
		while ($body =~ /\bEXECUTE\s+format\s*\(\s*'((?:[^']|'')*)'\s*,([^;]*)\)/gi)
		{
			my ($format, $values) = ($1, $2);

			push @complaints, "$name: EXECUTE of an argument that is not quoted"
			  if $format =~ /%s/ && grep { $free{$_} } $values =~ /(?<![\w.])(\w+)(?![\w.(])/g;
		}
	}
	return @complaints;
}

sub audit_statement
{
	my ($statement) = @_;
	my $sql = $statement->{sql};
	my ($begin) = $sql =~ /\A([^\n]{0,60})/;
	my @complaints;

	push @complaints, 'OR REPLACE' if $sql =~ /\bOR\s+REPLACE\b/i;
	push @complaints, 'IF NOT EXISTS' if $sql =~ /\bIF\s+NOT\s+EXISTS\b/i;
	push @complaints, '@extschema@ in a literal or quoted' if grep { /\@extschema\@/ } @{ $statement->{literals} }, $sql =~ /"([^"]*)"/g;
	push @complaints, 'a grant to everybody' if $sql =~ /^GRANT\b.*\bTO\b.*\bPUBLIC\b/is;
	push @complaints, 'DO' if $sql =~ /^DO\b/i;

	if ($sql =~ /^CREATE\s+(?:OR\s+REPLACE\s+)?FUNCTION\b/i)
	{
		$sql =~ s/\bOR\s+REPLACE\s+//i;
		push @complaints, audit_function({ %$statement, sql => $sql });
	}
	elsif ($sql =~ /^CREATE\s+(?:UNIQUE\s+)?INDEX\b/i)
	{
		push @complaints, 'a table that is not qualified' unless $sql =~ /\bON\s+$TABLES/;
	}
	elsif ($sql =~ /^(?:CREATE|ALTER|COMMENT\s+ON)\s+(?:TABLE|COLUMN|VIEW|SEQUENCE|MATERIALIZED\s+VIEW)\s+(?:IF\s+NOT\s+EXISTS\s+)?(\S+)/i)
	{
		push @complaints, "a relation that is not qualified: $1" unless $1 =~ /^$TABLES/;
	}
	elsif ($sql =~ /^(?:CREATE|COMMENT\s+ON)\s+TYPE\s+$TABLES/i)
	{
		# a row type, beside the tables
	}
	elsif ($sql =~ /^CREATE\s+TRIGGER\b/i)
	{
		push @complaints, 'a table that is not qualified' unless $sql =~ /\bON\s+$TABLES/;
		push @complaints, 'a function of others' unless $sql =~ /\bEXECUTE\s+FUNCTION\s+(?:$OURS)\(\)/;
	}
	elsif ($sql =~ /^CREATE\s+OPERATOR\b/i)
	{
		push @complaints, "unqualified $1" while $sql =~ /\b(?:RESTRICT|JOIN)\s*=\s*(?!pg_catalog\.)(\w+)/gi;
		push @complaints, "a function of others: $1" while $sql =~ /\bFUNCTION\s*=\s*(?!$OURS)(\w+)/gi;
	}
	elsif ($sql =~ /^(?:CREATE\s+(?:TYPE|AGGREGATE)|COMMENT\s+ON\s+(?:TYPE|AGGREGATE|FUNCTION))\s+([\w.]+)/i)
	{
		push @complaints, "not one of ours: $1" unless $1 =~ /^(?:$OURS)$/;
		push @complaints, "a function of others: $1"
		  while $sql =~ /\b(?:INPUT|OUTPUT|RECEIVE|SEND|\w*FUNC)\s*=\s*(?!$OURS)(\w+)/gi;
	}

	# expressions that are kept: defaults, checks, predicates, views
	if ($sql =~ /^(?:CREATE|ALTER)\s+(?:UNIQUE\s+)?(?:TABLE|INDEX|VIEW)\b/i)
	{
		push @complaints, "unqualified $1"
		  while $sql =~ /\b(?:DEFAULT|CHECK\s*\(|WHERE|AND|OR|SELECT)\s*(?:NOT\s+)?(?!pg_catalog\.|EXISTS\b)([a-z_]\w*)\s*\(/gi;
		push @complaints, map { "unqualified $_" } unqualified($sql) if $sql =~ /^CREATE\s+VIEW\b/i;
	}
	push @complaints, "unqualified $1" while $sql =~ /^SELECT\s+(?!pg_catalog\.|$TABLES)([\w.]+)/gi;
	push @complaints, map { "unqualified $_" } unqualified($sql) if $sql =~ /^(?:SELECT|INSERT|UPDATE|DELETE)\b/i;

	return map { "$_: $begin" } @complaints;
}

sub audit_script
{
	my ($text) = @_;

	return map { audit_statement($_) } statements($text);
}

1;
