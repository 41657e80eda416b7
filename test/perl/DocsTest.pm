# The documents are true: all SQL in them is run, what they show is what comes out,
# on servers of each kind; the reference describes all that there is, and its index
# leads there; links lead somewhere; messages are those of the sources.
#
# A block ```sql is run, those of one document in order, in one psql and in a
# database of their own.  A block ```text right after it is what psql -q
# prints; one with ERROR: says that the statement fails.  A document that
# says <!-- after FILE --> continues what the blocks of FILE have made.
package DocsTest;

use strict;
use warnings;

use Exporter 'import';
use File::Basename;
use File::Find;
use FindBin;
use IPC::Run;
use LeadscoreNode;
use Test::More;

our @EXPORT = qw(docs_server run_documents reference_is_complete links_lead_somewhere messages_exist);

my $top = "$FindBin::Bin/../..";
my $reference_index = 'docs/reference/README.md';
my @reference = ($reference_index, sort grep { $_ ne $reference_index } files_under('docs/reference', qr/\.md$/));

my $node;
my %was_run;

# The long test waits after each block, for workers to do whatever they can.
my $pause = $ENV{LEADSCORE_LONG} ? "\\! sleep 0.7\n" : '';

# docs_server starts the server on which documents are run: options of
# LeadscoreNode->create().
sub docs_server
{
	$node = LeadscoreNode->create(@_);
	return $node;
}

# files_under lists the files of a folder of the tree, whatever their depth.
sub files_under
{
	my ($folder, $name) = @_;
	my @files;

	find({ wanted => sub { push @files, $File::Find::name =~ s{^\Q$top/\E}{}r if -f && /$name/ }, no_chdir => 1 },
		"$top/$folder");
	return sort @files;
}

# What is read as a document: all Markdown of the tree.
sub documents
{
	my @folders = grep { -d "$top/$_" } qw(docs src sql test);
	return (map { s{^\Q$top/\E}{}r } sort glob("$top/*.md")), map { files_under($_, qr/\.md$/) } @folders;
}

# blocks gives the SQL of a document, each with its line and what it prints.
sub blocks
{
	my ($name) = @_;
	my ($number, $fence, @blocks) = (0);

	foreach my $line (split /^/, tree_file($name))
	{
		$number++;
		if (!defined $fence && $line =~ /^(\s*)```\s*(\w*)/)
		{
			$fence = $2;
			push @blocks, { sql => '', line => $number } if $fence eq 'sql';
			$blocks[-1]{output} = ''
			  if $fence eq 'text' && @blocks && !$blocks[-1]{over};
		}
		elsif (defined $fence && $line =~ /^\s*```\s*$/)
		{
			$blocks[-1]{over} = 1 if @blocks && $fence ne 'sql';
			undef $fence;
		}
		elsif (!defined $fence)
		{
			# anything but an empty line parts a block from its output
			$blocks[-1]{over} = 1 if @blocks && $line =~ /\S/;
		}
		elsif ($fence eq 'sql')
		{
			$blocks[-1]{sql} .= $line;
		}
		elsif ($fence eq 'text' && @blocks && defined $blocks[-1]{output} && !$blocks[-1]{over})
		{
			$blocks[-1]{output} .= $line;
		}
	}
	die "$name: a fence is not closed\n" if defined $fence;
	return @blocks;
}

# plain takes away what the eye does not see.
sub plain
{
	my ($text) = @_;
	$text =~ s/[ \t]+$//mg;
	$text =~ s/\n{2,}/\n/g;
	$text =~ s/^\n|\n$//g;
	return $text;
}

# run_documents runs the examples of README.md and of all that is under docs/;
# elsewhere there are none.
sub run_documents
{
	foreach my $name ('README.md', files_under('docs', qr/\.md$/))
	{
		run_document($name) if blocks($name);
	}
	ok($was_run{$_}, "$_ has examples")
		foreach 'README.md', map { "docs/$_.md" } qw(tutorial cheat-sheet operations reference/functions);
	foreach my $name (documents())
	{
		my %languages = map { $_ => 1 } tree_file($name) =~ /^[ ]*```[ ]*(\w+)/mg;
		delete @languages{qw(text sh python xml c)};
		ok(!delete $languages{sql} || $was_run{$name}, "$name: its examples are run");
		is(join(' ', sort keys %languages), '', "$name: no block in a language that nobody runs");
	}
}

# run_blocks runs blocks in a database of their own and returns what each printed.
sub run_blocks
{
	my ($database, @blocks) = @_;
	my ($script, $output) = ('', '');

	$node->safe_psql('postgres', "CREATE DATABASE $database");
	# each block ends in a line on stderr, which psql does not keep back
	$script .= "$blocks[$_]{sql}\n$pause\\warn -- end of block $_\n" foreach 0 .. $#blocks;
	local $ENV{PGCLIENTENCODING} = 'UTF8';
	utf8::encode($script);
	IPC::Run::run([ 'psql', '-X', '-q', '-d', $node->connstr($database) ],
		'<', \$script, '>&', \$output);
	utf8::decode($output);
	return map { $output =~ s/\A(.*?)^-- end of block $_\n//ms ? $1 : "psql ended: $output" } 0 .. $#blocks;
}

sub run_document
{
	my ($name) = @_;
	my $before = tree_file($name) =~ /^<!-- after (\S+) -->$/m ? dirname($name) . "/$1" : undef;
	my @blocks = ((map { { %$_, output => undef } } defined $before ? blocks($before) : ()), blocks($name));
	my @got = run_blocks(lc($name =~ s{^docs/|\.md$}{}gr) =~ s/\W/_/gr, @blocks);

	foreach my $i (0 .. $#blocks)
	{
		my $block = $blocks[$i];
		my $what = "$name, line $block->{line}";

		if (defined $block->{output})
		{
			is(plain($got[$i]), plain($block->{output}), $what);
		}
		else
		{
			ok($got[$i] !~ /^(?:ERROR|FATAL|PANIC|psql ended)/m, "$what: no error") or diag($got[$i]);
		}
	}
	$was_run{$name} = 1;
}

sub list { return split /\n/, $node->safe_psql('all_there_is', $_[0]) }

# section gives the text under the heading that matches, to the next heading.
sub section
{
	my ($text, $heading) = @_;
	return $text =~ /^#+ [^\n]*$heading(.*?)(?=^#|\z)/ms ? $1 : '';
}

sub reference_is_complete
{
	my $reference = join("\n", map { tree_file($_) } @reference);
	my $index = tree_file($reference_index);
	my $examples = join("\n", map { $_->{sql} } map { blocks($_) } @reference);
	my $members = <<'SQL';
SELECT objid FROM pg_depend d, pg_extension e
 WHERE d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid AND d.deptype = 'e' AND extname = 'leadscore'
	AND classid =
SQL

	$node->safe_psql('postgres', 'CREATE DATABASE all_there_is');
	$node->safe_psql('all_there_is', <<'SQL');
		CREATE EXTENSION leadscore;
		CREATE TABLE contact (id int PRIMARY KEY);
		SELECT leadscore.create_model('m', 'contact');
		UPDATE leadscore.lead_model SET daily = true;
SQL
	my @functions = list(<<"SQL");
SELECT DISTINCT proname FROM pg_proc
 WHERE pronamespace = 'leadscore'::regnamespace AND oid IN ($members 'pg_proc'::regclass)
SQL
	my @relations = list(<<"SQL");
SELECT relname FROM pg_class
 WHERE relkind IN ('r', 'v') AND relnamespace = 'leadscore'::regnamespace AND oid IN ($members 'pg_class'::regclass)
SQL
	my @model_relations = list(<<'SQL');
SELECT DISTINCT regexp_replace(relname, '_m$', '_<model>') FROM pg_class
 WHERE relnamespace = 'leadscore'::regnamespace AND relkind IN ('r', 'p', 'v') AND relname LIKE '%\_m'
SQL
	my @settings = list("SELECT name FROM pg_settings WHERE name LIKE 'leadscore.%'");
	my @columns = list(<<'SQL');
SELECT DISTINCT regexp_replace(relname, '_m$', '_<model>') || ' ' || attname
  FROM pg_class c JOIN pg_attribute a ON attrelid = c.oid AND attnum > 0 AND NOT attisdropped
 WHERE relnamespace = 'leadscore'::regnamespace AND relkind IN ('r', 'p', 'v')
	AND attname NOT IN ('fit', 'engagement')
 ORDER BY 1
SQL

	ok(@functions >= 10 && @relations >= 10 && @model_relations >= 5 && @settings > 0 && @columns >= 80,
		'the catalog has what the reference is compared with');
	foreach my $function (@functions)
	{
		like($reference, qr/^#+ .*`$function\(/m, "the reference has a heading for function $function()");
		like($examples, qr/leadscore\.$function\(/, "... and an example of it");
		like($index, qr/\[`$function\(\)`\]\(\S+#$function/, "... and its index leads there");
	}
	foreach my $name (@relations, @model_relations, @settings)
	{
		like($reference, qr/^#+ .*`\Q$name\E`/m, "the reference has a heading for $name");
		like($index, qr/\[`\Q$name\E`\]\(\S+#\w/, "... and its index leads there");
	}
	foreach my $column (@columns)
	{
		my ($relation, $name) = split / /, $column;
		like(section($reference, qr/`\Q$relation\E`/), qr/`$name`/, "the reference describes $relation.$name");
	}
	like($index, qr/\]\($_\)/, "the reference's index has $_") foreach map { basename($_) }
		grep { $_ ne $reference_index } @reference;
}

# links_lead_somewhere checks the links of all documents, that the README of a folder of sources
# names the files that it has, and the documents that sources name.
sub links_lead_somewhere
{
	my %anchors;
	my %sources = map { s{^src/}{}r => 1 } files_under('src', qr/\.[ch]$/);

	foreach my $name (documents())
	{
		my $text = tree_file($name) =~ s/^[ ]*```.*?^[ ]*```//msgr;

		while ($text =~ /\]\(([^)\s]+)\)/g)
		{
			my $link = $1;
			my ($target, $anchor) = $link =~ /^([^#]*)(?:#(.*))?$/;
			next if $target =~ /^\w+:/;
			my $file = $target eq '' ? $name : dirname($name) . "/$target";
			ok(-e "$top/$file", "$name: $link") or next;
			next if !defined $anchor;
			$anchors{$file} ||= anchors($file);
			ok($anchors{$file}{$anchor}, "$name: #$anchor in $file");
		}
		my ($folder) = $name =~ m{^src/(\w+)/README\.md$} or next;
		my %named = map { (m{/} ? $_ : "$folder/$_") => 1 } $text =~ m{`([\w/]+\.[ch])`}g;
		ok($sources{$_}, "$name: $_ is there") foreach sort keys %named;
		ok($named{$_}, "$name tells of $_") foreach grep { m{^$folder/.*\.c$} } sort keys %sources;
	}
	foreach my $name (map { files_under($_, qr/\.(?:[ch]|sql|spec|pl|pm)$/) } grep { -d "$top/$_" } qw(src sql test))
	{
		ok(-e "$top/$_", "$name: $_") foreach tree_file($name) =~ m{\b((?:docs|src)/[\w/-]+\.md)\b}g;
	}
}

# messages_exist checks that messages, quoted in documents for users as `four words or more`, with ... for
# what varies, are in the sources.
sub messages_exist
{
	my $sources = join('', map { tree_file($_) } files_under('src', qr/\.(?:c|sql)$/)) =~ s/\\"/\0/gr =~ s/"\s+"//gr =~ tr/\0/"/r;
	my $n = 0;

	foreach my $name ('README.md', files_under('docs', qr/\.md$/))
	{
		foreach my $message ((tree_file($name) =~ s/^[ ]*```.*?^[ ]*```//msgr) =~ /`([^`]+)`/g)
		{
			$message =~ s/\s+/ /g;
			next if $message !~ /^(?:[a-z.'_-]+|"\.\.\.")(?: (?:[a-z.'_-]+|"\.\.\.")){3,}$/;
			ok(index($sources, $message =~ s/\Q...\E/%s/gr) >= 0, "$name: $message");
			$n++;
		}
	}
	cmp_ok($n, '>', 5, 'documents quote messages');
}

# anchors gives the names by which GitHub and others link to the headings of a file.
sub anchors
{
	my ($file) = @_;
	my (%anchors, %times);

	foreach my $heading (tree_file($file) =~ s/^[ ]*```.*?^[ ]*```//msgr =~ /^#+ (.*)$/mg)
	{
		$heading = lc $heading =~ s/\s+$//r;
		$heading =~ s/[^\w\- ]//g;
		$heading =~ tr/ /-/;
		$anchors{ $times{$heading} ? "$heading-$times{$heading}" : $heading } = 1;
		$times{$heading}++;
	}
	return \%anchors;
}

1;
