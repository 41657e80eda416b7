# Instructions of statements, counted by valgrind's callgrind over a single-user
# server: the same number again and again, whatever else the machine does.
package Callgrind;

use strict;
use warnings;

use Exporter 'import';
use File::Temp qw(tempdir);
use Test::More;

our @EXPORT = qw(need_valgrind make_cluster instructions single use_server);

chomp(my $bindir = `\${PG_CONFIG:-pg_config} --bindir`);
my $scratch;

# use_server has another installation run from now on.
sub use_server
{
	my ($config) = @_;

	chomp($bindir = `$config --bindir`);
}

sub need_valgrind
{
	plan skip_all => 'no valgrind here: apt-get install valgrind' if system('valgrind --version >/dev/null 2>&1') != 0;
}

sub run
{
	my ($command) = @_;
	my $out = `$command 2>&1`;

	die "$command\nfailed: $out" if $? != 0;
	return $out;
}

# make_cluster makes a cluster for single-user servers.
sub make_cluster
{
	$scratch = tempdir('callgrind.XXXXXX', TMPDIR => 1, CLEANUP => 1);
	run("$bindir/initdb -D $scratch/data -U postgres -A trust -E UTF8 --locale=C -N");
	return "$scratch/data";
}

# single runs statements, of which each begins a line, in a single-user server,
# under a command if one is given, and gives what it wrote.
sub single
{
	my ($database, $sql, $under) = @_;

	# with -j a statement ends with a semicolon and an empty line
	$sql =~ s/;\n(?=\t?\w)/;\n\n/g;
	open(my $file, '>', "$scratch/sql") or die "could not write: $!\n";
	print $file "$sql\n\n";
	close($file);
	my $out = run(($under // '') . " $bindir/postgres --single -j -D $scratch/data -c session_preload_libraries=leadscore"
		  . " -c fsync=off -c autovacuum=off $database <$scratch/sql");
	die "$sql\nfailed: $out" if $out =~ /^[^\n]*(?:ERROR|FATAL|PANIC):/m;
	return $out;
}

# instructions gives what one statement costs in a session that has run it
# before: (the cost of 3n runs - the cost of n runs) / 2n.  Statements are made
# by a function of their number.
sub instructions
{
	my ($database, $statement, $n, $annotate) = @_;
	my @cost;

	$n //= 50;
	for my $runs ($n, 3 * $n)
	{
		# what is cold is made warm in both
		single($database, join("\n", map { $statement->($_) } 1 .. $runs) . "\n\n",
			"valgrind --tool=callgrind --callgrind-out-file=$scratch/out");
		open(my $file, '<', "$scratch/out") or die "no counts: $!\n";
		my ($total) = grep { s/^(?:totals|summary): // } <$file>;
		push @cost, $total;
	}
	print run("callgrind_annotate --threshold=99 $scratch/out") if $annotate;
	return ($cost[1] - $cost[0]) / (2 * $n);
}

1;
