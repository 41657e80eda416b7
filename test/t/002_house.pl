# Rules of the house for the tests: a program's number is its own, and stands in
# test/README.md; no line is longer than 160 columns.  And one for the sources:
# what stands twice is listed in src/README.md.
use strict;
use warnings;

use File::Basename qw(basename);
use FindBin;
use LeadscoreNode;
use Test::More;

my $top = "$FindBin::Bin/../..";

my %programs;
foreach my $name (map { basename($_) } glob("$top/test/t/*.pl $top/test/t/long/*.pl"))
{
	my ($number) = $name =~ /^(\d{3})_[a-z0-9_]+\.pl$/;
	push @{ $programs{ $number // 'none' } }, $name;
}
my %listed;
foreach my $range (tree_file('test/README.md') =~ /^\| (\d{3} to \d{3}) \|/mg)
{
	my ($from, $to) = split / to /, $range;
	$listed{$_} = 1 foreach $from .. $to;
}

cmp_ok(scalar(keys %programs), '>', 50, 'there are programs');
is(join(' ', @{ $programs{none} // [] }), '', 'the name of each begins with a number');
is(join(' ', map { @$_ } grep { @$_ > 1 } values %programs), '', 'no number is used twice');
is(join(' ', grep { !$listed{$_} } sort keys %programs), '', 'test/README.md says what each number is about');

# a tab is four columns
sub columns
{
	my ($line) = @_;
	1 while $line =~ s/^([^\t]*)\t/$1 . ' ' x (4 - length($1) % 4)/e;
	return length $line;
}

foreach my $folder (qw(test/t test/t/long test/perl test/bench test/bin sql test/isolation/specs))
{
	my @long;
	foreach my $file (grep { -f } glob("$top/$folder/*"))
	{
		my $n = 0;
		foreach my $line (split /\n/, tree_file($file =~ s{^\Q$top/\E}{}r))
		{
			$n++;
			push @long, basename($file) . ":$n" if columns($line) > 160;
		}
	}
	is(join(' ', @long), '', "no line of $folder is longer than 160 columns");
}

# six lines of code that stand in two files of the sources, but for comments and space
my (%first, %twice);
foreach my $file (map { s{^\Q$top/\E}{}r } glob("$top/src/*/*.[ch]"))
{
	my $text = tree_file($file) =~ s{/\*.*?\*/}{}gsr;
	my @lines = grep { !/^(?:[{}]?|#include .*)$/ } map { s/^\s+|\s+$//gr =~ s/\s+/ /gr } split /\n/, $text;
	foreach my $i (0 .. $#lines - 5)
	{
		my $run = join("\n", @lines[ $i .. $i + 5 ]);
		my $other = $first{$run} //= $file;
		$twice{ join(' ', sort $other, $file) } = $run if $other ne $file;
	}
}
my ($reason) = tree_file('src/README.md') =~ /^(Lines that stand twice, and why: .*?)(?:\n\n|\z)/ms;
my %reason = map { ("src/$_" => 1) } ($reason // '') =~ /`([\w\/]+\.[ch])`/g;
is(join("\n", map { "$_:\n$twice{$_}" } grep { grep { !$reason{$_} } split / / } sort keys %twice), '',
	'no six lines of the sources stand twice without a reason');
is(join(' ', grep { my $file = $_; !grep { /(?:^| )\Q$file\E(?: |$)/ } keys %twice } sort keys %reason), '',
	'... and no reason is told for lines that do not');

done_testing();
