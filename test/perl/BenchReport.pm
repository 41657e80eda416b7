# What a benchmark found: medians of rounds beside each other, as a table, as
# comma-separated values, and as plots where gnuplot is installed.
package BenchReport;

use strict;
use warnings;

use LeadscoreNode;
use Test::More;

# new takes the directory into which files go.
sub new
{
	my ($class, $dir) = @_;

	mkdir $dir;
	die "no directory $dir\n" unless -d $dir && -w $dir;
	return bless { dir => $dir, rows => [] }, $class;
}

# add keeps the values of rounds: group and x say what was done, variant what to.
# The ratio is that of the medians to those of another variant of the same x.
sub add
{
	my ($self, $group, $x, $variant, $unit, $values, $of) = @_;
	my @sorted = sort { $a <=> $b } @$values;
	my $row = { group => $group, x => $x, variant => $variant, unit => $unit, median => median(@sorted),
		least => $sorted[0], most => $sorted[-1], rounds => scalar(@sorted) };
	my ($other) = grep { defined $of && $_->{group} eq $group && $_->{x} eq $x && $_->{variant} eq $of } @{ $self->{rows} };

	@{$row}{qw(ratio of)} = ($row->{median} / $other->{median}, $of) if $other && $other->{median} > 0;
	push @{ $self->{rows} }, $row;
	diag(sprintf '%-34s %-20s %-18s %10s %-7s%s', $group, $x, $variant, number($row->{median}), $unit,
		$row->{of} ? sprintf(' %.2f of %s', $row->{ratio}, $row->{of}) : '');
	return $row->{median};
}

sub number
{
	my ($value) = @_;
	return sprintf($value < 10 ? '%.3f' : $value < 1000 ? '%.1f' : '%.0f', $value);
}

sub written
{
	my ($self, $name, $text) = @_;

	open(my $file, '>', "$self->{dir}/$name") or die "could not write $name: $!\n";
	print $file $text;
	close($file) or die "could not write $name: $!\n";
}

# finish writes the files, with a head that says where this was measured.
sub finish
{
	my ($self, $head) = @_;
	my $group = '';
	my $table = "$head\n";
	my $csv = "group,x,variant,unit,median,least,most,rounds,ratio,of\n";

	foreach my $row (map { my $of = $_; grep { $_->{group} eq $of } @{ $self->{rows} } } $self->groups)
	{
		$table .= sprintf "\n%s\n  %-20s %-18s %12s %12s %12s  %-10s %6s\n", $row->{group}, '', '', 'median', 'least', 'most', '', 'ratio'
			if $row->{group} ne $group;
		$group = $row->{group};
		$table .= sprintf "  %-20s %-18s %12s %12s %12s  %-10s %6s%s\n", $row->{x}, $row->{variant},
			(map { number($row->{$_}) } qw(median least most)), $row->{unit},
			$row->{of} ? (sprintf('%.2f', $row->{ratio}), " of $row->{of}") : ('', '');
		$csv .= join(',', map { $row->{$_} // '' } qw(group x variant unit median least most rounds ratio of)) . "\n";
	}
	$self->written('report.txt', $table);
	$self->written('results.csv', $csv);
	if (system('gnuplot --version >/dev/null 2>&1') == 0)
	{
		$self->plot($_) foreach $self->groups;
	}
	else
	{
		diag("no plots: apt-get install gnuplot-nox");
	}
}

sub groups
{
	my ($self) = @_;
	my %seen;
	return grep { !$seen{$_}++ } map { $_->{group} } @{ $self->{rows} };
}

# plot draws a group: lines where x is a number, else bars, with the spread.
sub plot
{
	my ($self, $group) = @_;
	my @rows = grep { $_->{group} eq $group } @{ $self->{rows} };
	my (%seen, %names);
	my @variants = grep { !$seen{$_}++ } map { $_->{variant} } @rows;
	my @x = grep { !$names{$_}++ } map { $_->{x} } @rows;
	my $numbers = !grep { !/^[\d.]+$/ } @x;
	my $name = $group =~ s/\W+/_/gr;
	my ($n, $plots, $data) = (0, '', '');
	my $width = 0.8 / @variants;

	foreach my $variant (@variants)
	{
		my $title = $variant =~ s/_/ /gr;
		$data .= "\$data$n << EOD\n";
		foreach my $row (grep { $_->{variant} eq $variant } @rows)
		{
			my ($at) = grep { $x[$_] eq $row->{x} } 0 .. $#x;
			my $where = $numbers ? $row->{x} : $at - 0.4 + ($n + 0.5) * $width;
			$data .= "$where $row->{median} $row->{least} $row->{most}\n";
		}
		$data .= "EOD\n";
		$plots .= ', ' if $n;
		$plots .= $numbers ? "\$data$n using 1:2:3:4 with yerrorlines title '$title' pt 7 ps 0.5"
		  : "\$data$n using 1:2:($width * 0.95) with boxes title '$title', \$data$n using 1:2:3:4 with yerrorbars notitle lc black ps 0";
		$n++;
	}
	my $axis = $numbers ? (@x > 2 && $x[-1] > 20 * $x[0] ? "set logscale x\n" : '')
	  : "set xtics (" . join(', ', map { "'" . ($x[$_] =~ s/_/ /gr) . "' $_" } 0 .. $#x) . ")\nset xrange [-0.5:@{[ @x - 0.5 ]}]\n"
	  . "set style fill solid 0.7\n";
	$self->written("$name.gnuplot", <<"GNUPLOT");
set terminal svg size 720,400 font 'sans,12' background 'white'
set output '$self->{dir}/$name.svg'
set title '$group'
set ylabel '$rows[0]{unit}'
set yrange [0:*]
set key outside right noenhanced
set grid ytics
$axis$data
plot $plots
GNUPLOT
	system("gnuplot $self->{dir}/$name.gnuplot 2>&1") == 0 or diag("no plot of $group");
	unlink "$self->{dir}/$name.gnuplot";
}

1;
