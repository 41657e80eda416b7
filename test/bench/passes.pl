# What a pass over due contacts costs, with 1,000,000 contacts that all have a
# due instant: buffers and WAL where none is due, and where 10,000 are, the time
# beside plain SQL that writes the same rows in batches of 500.
#
#   PG_CONFIG=... perl -I test/perl test/bench/passes.pl [contacts]
#
# not as root, with PostgreSQL's test modules in PERL5LIB; leadscore must be
# installed.  make installcheck PROVE_TESTS=test/bench/passes.pl does, too.
use strict;
use warnings;

use PassCost;
use Test::More;

my $contacts = $ARGV[0] // 1_000_000;
my $node = pass_cluster($contacts);
my ($rows, $buffers, $records) = idle_pass($node);
is($rows, "$contacts|0", 'every contact has a due row, nobody is due');
cmp_ok($buffers, '<=', 8, "a pass where nobody is due reads $buffers buffers (at most 8)");
is($records, 0, 'and writes no WAL');

my @pairs = busy_passes($node, 5);
my @ratios = sort { $a <=> $b } map { $_->[0] / $_->[1] } @pairs;
my @ours = sort { $a <=> $b } map { $_->[0] } @pairs;
my @plain = sort { $a <=> $b } map { $_->[1] } @pairs;
cmp_ok($ratios[2], '<=', 2, sprintf('%d contacts due: %.0f ms, plain SQL %.0f ms, %.2f times (at most 2; medians of 5)',
	$pairs[0][2], $ours[2], $plain[2], $ratios[2]));

done_testing();
