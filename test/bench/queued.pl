# How many single rows a second 16 clients insert for one contact: into a table
# that feeds no model, a source in queued mode, one in immediate mode, and one in
# immediate mode under REPEATABLE READ, which puts aside as well (beside a bare one
# at that level).  Each round
# runs all of them, in another order; medians are compared.
#
#   PG_CONFIG=... perl -I test/perl test/bench/queued.pl [rounds [seconds [clients]]]
#
# not as root; leadscore must be installed.
use strict;
use warnings;

use BenchServer;
use QueuedCost;

my ($rounds, $seconds, $clients) = ($ARGV[0] // 7, $ARGV[1] // 5, $ARGV[2] // 16);
my $dir = start_bench('session_preload_libraries=leadscore', 'max_connections=50');
run(queued_setup());
my %tps = queued_rounds(\&run, "-h $dir -U postgres", $dir, $rounds, "-T $seconds", $clients);
for my $case (queued_cases())
{
	printf "%-16s %7.0f inserts a second (median of %d), %.2f of the bare table\n",
	  $case, median(@{ $tps{$case} }), $rounds, median(@{ $tps{$case} }) / median(@{ $tps{bare} });
}
print "errors: ", join(' ', map { "$_ $tps{errors}{$_}" } queued_cases()), "\n";
print run(queued_proof());
