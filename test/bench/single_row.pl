# Instructions that a single-row INSERT takes: bare, with leadscore and 20 rules
# in force (half with a condition, all with half-lives), the same queued, with 100 such rules,
# with 1,000 rules over 300 event names, and with the leanest plpgsql row trigger
# that does one decayed upsert.
#
#   PG_CONFIG=... perl -I test/perl test/bench/single_row.pl [--annotate]
#
# not as root; leadscore must be installed.
use strict;
use warnings;

use Callgrind;
use InsertCost;
use Test::More;

my $annotate = grep { $_ eq '--annotate' } @ARGV;

need_valgrind();
my %cost;
for my $case (qw(bare plpgsql rules_20 rules_100 queued rules_1000))
{
	$cost{$case} = insert_cost($case, 100, $annotate && $case eq 'rules_20');
	printf "%-12s %9d instructions an INSERT", $case, $cost{$case};
	printf ", %9d added", $cost{$case} - $cost{bare} if $case ne 'bare';
	print "\n";
}
printf "leadscore adds %.2f of what plpgsql adds (the roadmap wants 0.70)\n",
  ($cost{rules_20} - $cost{bare}) / ($cost{plpgsql} - $cost{bare});
printf "a rule more on the event: %d instructions\n", ($cost{rules_100} - $cost{rules_20}) / 80;
printf "1,000 rules instead of 20: %.3f times the instructions (at most 1.2)\n", $cost{rules_1000} / $cost{rules_20};
