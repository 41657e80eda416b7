# A server for benchmarks, in a cluster of its own that goes with the program.
package BenchServer;

use strict;
use warnings;

use Callgrind;
use Exporter 'import';

our @EXPORT = qw(start_bench run median);

chomp(my $bindir = `\${PG_CONFIG:-pg_config} --bindir`);
my ($data, $dir);

# start_bench starts it, with settings besides those that all benchmarks have,
# and gives a directory for files.
sub start_bench
{
	my (@settings) = @_;
	my $options = join ' ', map { "-c $_" } qw(fsync=off shared_buffers=256MB max_wal_size=8GB autovacuum=off), @settings;

	$data = make_cluster();
	$dir = $data =~ s{/data$}{}r;
	system("$bindir/pg_ctl -D $data -l $dir/log -w -o \"-k $dir -h '' $options\" start >$dir/started") == 0
	  or die "the server did not start\n";
	return $dir;
}

END { system("$bindir/pg_ctl -D $data -m immediate -w stop >/dev/null 2>&1") if $data }

# run runs statements and gives what they tell.
sub run
{
	my ($sql) = @_;
	open(my $file, '>', "$dir/sql") or die "could not write: $!\n";
	print $file $sql;
	close($file);
	my $out = `$bindir/psql -h $dir -U postgres -XqAt -v ON_ERROR_STOP=1 postgres -f $dir/sql 2>&1`;
	die $out if $?;
	return $out;
}

sub median { return (sort { $a <=> $b } @_)[ $#_ / 2 ] }

1;
