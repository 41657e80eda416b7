# Cost follows change: a pass where nobody is due reads next to nothing and
# writes nothing, one where a hundredth is takes about what plain SQL takes to
# write the same rows.  test/bench/passes.pl says the same of 1,000,000.
use strict;
use warnings;

use PassCost;
use Test::More;

my $node = pass_cluster(100_000);
my ($rows, $buffers, $records) = idle_pass($node);
is($rows, '100000|0', 'every contact has a due row, nobody is due');
cmp_ok($buffers, '<=', 8, 'a pass where nobody is due reads at most 8 buffers');
is($records, 0, 'and writes no WAL');

# times mean something where nothing else runs
my @ratios = sort { $a <=> $b } map { $_->[0] / $_->[1] } busy_passes($node, $ENV{LEADSCORE_LONG} ? 5 : 1);
my $median = $ratios[ @ratios / 2 ];
my $what = sprintf('a pass where one in a hundred is due takes %.2f times plain SQL (2, but for noise)', $median);
$ENV{LEADSCORE_LONG} ? cmp_ok($median, '<=', 3, $what) : note($what);
is($node->safe_psql('postgres', "SELECT count(*) FROM leadscore.verify('m')"), '0', 'what is stored is what replay() gives');

done_testing();
