# Instructions of statements, counted by valgrind's callgrind over a single-user
# server: the same number again and again, whatever else the machine does.
package Callgrind;

use strict;
use warnings;

use Exporter 'import';
use File::Temp qw(tempdir);
use Test::More;

our @EXPORT = qw(need_valgrind make_cluster spans annotated single use_server);

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

# spans gives the instructions of each of some lists of statements, which one
# session runs after what is in the first argument, which is not counted.
# Between them stands a function of the server's that nothing else calls: callgrind
# writes down what there was since its last call.  What a mark costs itself is
# seen from two of them.
my $mark = 'SELECT pg_conf_load_time();';

sub spans
{
	my ($database, $before, @lists) = @_;

	unlink glob("$scratch/out*");
	single($database, join("\n", @$before, $mark, $mark, (map { (@$_, $mark) } @lists), ''),
		"valgrind --tool=callgrind --dump-before=pg_conf_load_time --compress-strings=no --callgrind-out-file=$scratch/out");
	# parts: until the first mark, between the first two, the lists
	my @counts = map { counted("$scratch/out." . ($_ + 1)) } 1 .. 1 + @lists;
	my $of_mark = shift @counts;
	return map { $_ - $of_mark } @counts;
}

sub counted
{
	my ($name) = @_;

	open(my $file, '<', $name) or die "no counts: $!\n";
	my ($total) = grep { s/^(?:totals|summary): // } <$file>;
	return $total + 0;
}

# annotated gives callgrind's report of the list of that number, from 1.
sub annotated
{
	my ($list) = @_;
	my $name = "$scratch/out." . ($list + 2);

	open(my $file, '<', $name) or die "no counts: $!\n";
	my $text = do { local $/; <$file> };
	# callgrind_annotate takes calls that have not ended for a function's own
	$text =~ s/^calls=0 .*\n.*\n//mg;
	open($file, '>', "$name.ended") or die "could not write: $!\n";
	print $file $text;
	close($file);
	return run("callgrind_annotate --threshold=99 $name.ended");
}

1;
