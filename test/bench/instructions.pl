# Instructions that an INSERT takes, bare, with leadscore, and with the leanest
# trigger in plpgsql, in each of the cases of test/perl/InsertCost.pm: a table, and
# a file of comma-separated values where one is named.
#
#   PG_CONFIG=... perl -I test/perl test/bench/instructions.pl [--annotate=case] [--csv=file] [--n=50] [case ...]
#   PG_CONFIG=... perl -I test/perl test/bench/instructions.pl --ratios >test/bench/ratios.csv
#
# not as root; leadscore must be installed.  --annotate shows where a case's
# instructions go, by functions.
use strict;
use warnings;

use Callgrind;
use Getopt::Long;
use InsertCost;
use Test::More;

my ($annotate, $csv, $ratios, $n) = (undef, undef, 0, 50);
GetOptions('annotate=s' => \$annotate, 'csv=s' => \$csv, 'ratios' => \$ratios, 'n=i' => \$n) or die "see the head of $0\n";
my @names = @ARGV ? @ARGV : insert_cases();

need_valgrind();
$| = 1;
if ($ratios)
{
	my ($major) = `\${PG_CONFIG:-pg_config} --version` =~ /(\d+)/;

	print "# added / added by plpgsql, PostgreSQL $major: written by test/bench/instructions.pl --ratios, held by test/t/125_cost_ratio.pl\n";
	printf "%s,%.3f\n", $_, insert_ratio($_, $n) foreach qw(rules_20 due_moves repeated_all);
	exit 0;
}
printf "%-18s %12s  %-24s %6s  %6s\n", 'case', 'instructions', 'compared', 'ratio', 'wanted';
my $file;
if ($csv)
{
	open($file, '>', $csv) or die "could not write $csv: $!\n";
	print $file "case,instructions,compared,ratio,wanted\n";
}
foreach my $name (@names)
{
	my ($line) = insert_report($n, $annotate, $name);
	my (undef, $cost, $with, $ratio, $most) = @$line;
	printf "%-18s %12.0f  %-24s %6s  %6s\n", $name, $cost, $with // '', defined $ratio ? sprintf('%.3f', $ratio) : '', $most // '';
	printf $file "%s,%.0f,%s,%s,%s\n", $name, $cost, $with // '', defined $ratio ? sprintf('%.4f', $ratio) : '', $most // '' if $file;
}
