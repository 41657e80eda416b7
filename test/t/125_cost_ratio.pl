# What a model adds to an INSERT, in instructions, beside what the leanest trigger
# in plpgsql adds in the same run: not more than test/bench/ratios.csv says, but for
# 5 %.  The ratio is of this machine and this server as of any other; one commits a
# lower one with what made it lower: test/bench/instructions.pl --ratios says it.
use strict;
use warnings;

use Callgrind;
use InsertCost;
use LeadscoreNode;
use Test::More;

need_valgrind();

my ($head, @lines) = split /\n/, tree_file('test/bench/ratios.csv');
my ($major) = $head =~ /PostgreSQL (\d+)/;
my ($server) = `pg_config --version` =~ /(\d+)/;
plan skip_all => "the ratios are those of PostgreSQL $major" if $server != $major;

cmp_ok(scalar(@lines), '>=', 3, 'there are cases');
foreach my $line (@lines)
{
	my ($case, $committed) = split /,/, $line;
	my $ratio = insert_ratio($case, 50);
	my $what = sprintf('%s: adds %.3f of what plpgsql adds, committed %.3f', $case, $ratio, $committed);

	cmp_ok($ratio, '<=', 1.05 * $committed, $what);
	note('commit the lower one') if $ratio < 0.97 * $committed;
}

done_testing();
