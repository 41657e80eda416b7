# The documents are true: all SQL in them is run, what they show is what comes out,
# on servers of each kind, and the reference mentions all that there is.
#
# A block ```sql is run, those of one document in order, in one psql and in a
# database of their own.  A block ```text right after it is what psql -q
# prints; one with ERROR: says that the statement fails.
package DocsTest;

use strict;
use warnings;

use Exporter 'import';
use FindBin;
use IPC::Run;
use LeadscoreNode;
use Test::More;

our @EXPORT = qw(docs_server documents run_document has_sql reference_is_complete links_lead_somewhere);

my $top = "$FindBin::Bin/../..";
my @documents = map { s{^\Q$top/\E}{}r } ("$top/README.md", sort glob("$top/docs/*.md"));

my $node;

# The long test waits after each block, for workers to do whatever they can.
my $pause = $ENV{LEADSCORE_LONG} ? "\\! sleep 0.7\n" : '';

# docs_server starts the server on which documents are run: options of
# LeadscoreNode->create().
sub docs_server
{
	$node = LeadscoreNode->create(@_);
	return $node;
}

sub documents { return @documents }

sub has_sql
{
	my ($name) = @_;
	return scalar(blocks($name));
}

sub slurp
{
	my ($name) = @_;
	open(my $file, '<:encoding(UTF-8)', "$top/$name") or die "could not read $name: $!\n";
	local $/;
	return scalar <$file>;
}

# blocks gives the SQL of a document, each with its line and what it prints.
sub blocks
{
	my ($name) = @_;
	my ($number, $fence, @blocks) = (0);

	foreach my $line (split /^/, slurp($name))
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

sub run_document
{
	my ($name) = @_;
	my $database = lc(($name =~ /(\w+)\.md$/)[0]);
	my @blocks = blocks($name);
	my ($script, $output) = ('', '');

	$node->safe_psql('postgres', "CREATE DATABASE $database");
	# each block ends in a line on stderr, which psql does not keep back
	$script .= "$blocks[$_]{sql}\n$pause\\warn -- end of block $_\n" foreach 0 .. $#blocks;
	local $ENV{PGCLIENTENCODING} = 'UTF8';
	utf8::encode($script);
	IPC::Run::run([ 'psql', '-X', '-q', '-d', $node->connstr($database) ],
		'<', \$script, '>&', \$output);
	utf8::decode($output);

	foreach my $i (0 .. $#blocks)
	{
		my $block = $blocks[$i];
		my $what = "$name, line $block->{line}";
		my $got = $output =~ s/\A(.*?)^-- end of block $i\n//ms ? $1 : "psql ended: $output";

		if (defined $block->{output})
		{
			is(plain($got), plain($block->{output}), $what);
		}
		else
		{
			ok($got !~ /^(?:ERROR|FATAL|PANIC|psql ended)/m, "$what: no error") or diag($got);
		}
	}
}

sub list { return split /\n/, $node->safe_psql('all_there_is', $_[0]) }

sub reference_is_complete
{
	my $reference = slurp('docs/reference.md');
	my ($examples) = join("\n", map { $_->{sql} } blocks('docs/reference.md'));
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
	my @settings = list("SELECT name FROM pg_settings WHERE name LIKE 'leadscore.%'");
	my @columns = list(<<'SQL');
SELECT DISTINCT regexp_replace(relname, '_m$', '_<model>') || ' ' || attname
  FROM pg_class c JOIN pg_attribute a ON attrelid = c.oid AND attnum > 0 AND NOT attisdropped
 WHERE relnamespace = 'leadscore'::regnamespace AND relkind IN ('r', 'p', 'v')
	AND attname NOT IN ('fit', 'engagement')
 ORDER BY 1
SQL

	ok(@functions >= 10 && @relations >= 10 && @settings > 0 && @columns >= 80,
		'the catalog has what the reference is compared with');
	like($reference, qr/^#+ .*`$_\(/m, "docs/reference.md has a heading for function $_()") foreach @functions;
	like($examples, qr/leadscore\.$_\(/, "... and an example of it") foreach @functions;
	like($reference, qr/^#+ .*`$_`/m, "docs/reference.md has a heading for $_") foreach @relations, @settings;
	foreach my $column (@columns)
	{
		my ($relation, $name) = split / /, $column;
		my ($section) = $reference =~ /^#+ [^\n]*`\Q$relation\E`(.*?)(?=^#|\z)/ms;
		like($section // '', qr/`$name`/, "docs/reference.md describes $relation.$name");
	}
}

# Links between the documents lead somewhere.
sub links_lead_somewhere
{
	my ($name) = @_;
	my $directory = $name =~ s{[^/]*$}{}r;
	my $text = slurp($name) =~ s/^```.*?^```//msgr;

	while ($text =~ /\]\(([^)\s]+)\)/g)
	{
		my ($target, $anchor) = $1 =~ /^([^#]*)(?:#(.*))?$/;
		next if $target =~ /^\w+:/;
		my $file = $target eq '' ? $name : "$directory$target";
		ok(-e "$top/$file", "$name: $1") or next;
		next if !defined $anchor;
		my %anchors = map { heading_anchor($_) => 1 } slurp($file) =~ /^#+ (.*)$/mg;
		ok($anchors{$anchor}, "$name: #$anchor in $file");
	}
}

# heading_anchor is the name by which GitHub and others link to a heading.
sub heading_anchor
{
	my ($heading) = @_;
	$heading = lc $heading =~ s/\s+$//r;
	$heading =~ s/[^\w\- ]//g;
	return $heading =~ tr/ /-/r;
}

1;
