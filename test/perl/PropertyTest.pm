# What the property tests share: chance, instants, quoting, and running SQL in a
# session whose clock is that of the test's world.
package PropertyTest;

use strict;
use warnings;

use Exporter 'import';
use POSIX qw(floor);
use Test::More;

our @EXPORT = qw(between chance pick pick_of shuffled wall_clock instant quoted name typed_row column_list
	insert_values insert_select copy_in run is_empty run_seeds);

################################################################################
# Chance

# A number in [low, high].
sub between
{
	my ($low, $high) = @_;
	return $low + int(rand($high - $low + 1));
}

sub chance { return rand() < $_[0] }

sub pick { return $_[ int(rand(@_)) ] }

# pick_of(3 => 'a', 1 => 'b'): 'a' three times as often as 'b'.
sub pick_of
{
	my @weighted = @_;
	my $total = 0;
	for (my $i = 0; $i < @weighted; $i += 2) { $total += $weighted[$i] }
	my $at = rand($total);
	while (1)
	{
		my ($weight, $value) = splice(@weighted, 0, 2);
		return $value if $at < $weight || !@weighted;
		$at -= $weight;
	}
}

sub shuffled
{
	my @list = @_;
	for my $i (reverse 1 .. $#list)
	{
		my $j = int(rand($i + 1));
		@list[ $i, $j ] = @list[ $j, $i ];
	}
	return @list;
}

################################################################################
# Time: integers, microseconds since 1970, UTC

my $second = 1_000_000;

# 'YYYY-MM-DD HH:MM:SS.ffffff'
sub wall_clock
{
	my ($us) = @_;
	my $seconds = floor($us / $second);
	my @t = gmtime($seconds);
	return sprintf('%04d-%02d-%02d %02d:%02d:%02d.%06d',
		$t[5] + 1900, $t[4] + 1, @t[ 3, 2, 1, 0 ], $us - $seconds * $second);
}

sub instant { return wall_clock($_[0]) . '+00' }

################################################################################
# SQL

sub quoted
{
	my ($value) = @_;
	return 'NULL' unless defined $value;
	$value =~ s/'/''/g;
	return "'$value'";
}

sub name { return $_[0] =~ /^[a-z_][a-z0-9_]*$/ ? $_[0] : qq("$_[0]") }

# Rows are lists of texts or undef in the order of the table's columns.
sub typed_row
{
	my ($table, $row) = @_;
	my $n = 0;
	return '(' . join(', ', map { quoted($_) . '::' . $table->{types}[ $n++ ] } @$row) . ')';
}

sub column_list { return join(', ', map { name($_) } @{ $_[0]{columns} }) }

sub insert_values
{
	my ($table, $rows, $tail) = @_;
	return "INSERT INTO $table->{into} (" . column_list($table) . ")\nVALUES "
	  . join(",\n\t", map { typed_row($table, $_) } @$rows) . ($tail // '') . ";\n";
}

sub insert_select
{
	my ($table, $rows) = @_;
	my $columns = column_list($table);
	return "INSERT INTO $table->{into} ($columns)\nSELECT * FROM (VALUES "
	  . join(",\n\t", map { typed_row($table, $_) } @$rows) . ") v ($columns);\n";
}

sub copy_in
{
	my ($table, $rows) = @_;
	return "COPY $table->{into} (" . column_list($table) . ") FROM stdin;\n"
	  . join('', map { join("\t", map { $_ // '\\N' } @$_) . "\n" } @$rows) . "\\.\n";
}

################################################################################
# Running

# Runs a piece of SQL in a session of its own, goes on after errors, and returns
# what it printed.
sub run
{
	my ($w, $what, $sql, $level) = @_;
	my ($out, $err) = ('', '');
	$sql = "SET default_transaction_isolation = '$level';\n$sql" if defined $level;
	$sql = "-- $what\nSET client_min_messages = warning;\nSET timezone = '$w->{session_zone}';\nSET leadscore.clock = '"
		. instant($w->{clock}) . "';\n$sql";
	print { $w->{trace} } "\\connect - \n$sql\n";
	$w->{trace}->flush;
	$w->{node}->psql($w->{db}, $sql, on_error_stop => 0, stdout => \$out, stderr => \$err);
	my @errors = grep { /ERROR|FATAL|PANIC|server closed|terminated/ } split /\n/, $err;
	if (@errors)
	{
		push @{ $w->{errors} }, @errors;
		diag("seed $w->{seed}, $what: " . join("\n", splice(@errors, 0, 5)) . "\n$err" =~ s/^(.{0,2000}).*/$1/sr);
	}
	$w->{session_zone} = pick('UTC', 'Asia/Tokyo', 'America/Los_Angeles');
	return $out;
}

# No row of a query: the test passes.
sub is_empty
{
	my ($w, $sql, $what) = @_;
	my $errors = @{ $w->{errors} };
	my $out = run($w, $what, $sql);
	my @rows = split /\n/, $out;
	my $ok = ok(!@rows && @{ $w->{errors} } == $errors, "seed $w->{seed}: $what");
	if (@rows)
	{
		diag(scalar(@rows) . " rows; seed $w->{seed}, key $w->{key_type}, zone " . ($w->{zone} // 'UTC') . ", clock "
			. instant($w->{clock}));
		diag(join("\n", splice(@rows, 0, 6)));
	}
	return $out;
}

# run_seeds(what, more, seeds): these, or those in LEADSCORE_SEED; one at random,
# and with LEADSCORE_LONG as many more.
sub run_seeds
{
	my ($run_seed, $more, @seeds) = @_;
	if ($ENV{LEADSCORE_SEED})
	{
		@seeds = split /,/, $ENV{LEADSCORE_SEED};
	}
	else
	{
		srand();
		my $random = !$ENV{LEADSCORE_LONG} ? 1 : $ENV{LEADSCORE_LONG} > 1 ? $ENV{LEADSCORE_LONG} : $more;
		push @seeds, map { between(1000, 999_999_999) } 1 .. $random;
	}
	for my $seed (@seeds)
	{
		my $started = time;
		eval { $run_seed->($seed); 1 } or fail("seed $seed ran to its end: $@");
		note("seed $seed took " . (time - $started) . ' s');
	}
}

1;
