# How many single rows a second 16 clients insert for one contact: into a table
# that feeds no model, a source in queued mode, one in immediate mode, and one in
# immediate mode under REPEATABLE READ, which puts aside as well (beside a bare one
# at that level).  Each round
# runs all of them, in another order; medians are compared.
#
#   PG_CONFIG=... perl -I test/perl test/bench/queued.pl [rounds [seconds [clients]]]
#
# not as root, with PostgreSQL's test modules in PERL5LIB; leadscore must be installed.
use strict;
use warnings;

use LeadscoreNode;
use PostgreSQL::Test::Utils;
use QueuedCost;
use Test::More;

my ($rounds, $seconds, $clients) = ($ARGV[0] // 7, $ARGV[1] // 5, $ARGV[2] // 16);
my $node = LeadscoreNode->create('queued', library => 'session',
	conf => { shared_buffers => '256MB', max_wal_size => '8GB', max_connections => 50 });

sub run { return $node->safe_psql('postgres', $_[0]) }

run(queued_setup());
my %tps = queued_rounds(\&run, '-h ' . $node->host . ' -p ' . $node->port, PostgreSQL::Test::Utils::tempdir,
	rounds => $rounds, how_long => "-T $seconds", clients => $clients);
for my $case (queued_cases())
{
	note(sprintf '%-16s %7.0f inserts a second (median of %d), %.2f of the bare table',
		$case, median(@{ $tps{$case} }), $rounds, median(@{ $tps{$case} }) / median(@{ $tps{bare} }));
}
note('errors: ' . join(' ', map { "$_ $tps{errors}{$_}" } queued_cases()));
note(run(queued_proof()));
