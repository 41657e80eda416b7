# Rules are found by the event's name in one probe: 1,000 rules over 300 names
# cost an INSERT at most 1.2 times the instructions that 20 rules cost it.
use strict;
use warnings;

use Callgrind;
use InsertCost;
use Test::More;

need_valgrind();

my $twenty = insert_cost('rules_20', 40);
my $thousand = insert_cost('rules_1000', 40);
cmp_ok($thousand / $twenty, '<=', 1.2, "1,000 rules: $thousand instructions an INSERT, 20 rules: $twenty");

done_testing();
