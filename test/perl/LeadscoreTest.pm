# What the TAP tests share.
package LeadscoreTest;

use strict;
use warnings;

use Exporter 'import';
use Test::More;

our @EXPORT = qw(need_data data_file need_long);

# Skips the whole program where no test data are to be had.
sub need_data
{
	plan skip_all => 'LEADSCORE_DATA names no test data' unless $ENV{LEADSCORE_DATA};
}

# The path of a file of the test data; it dies where the file is missing.
sub data_file
{
	my ($name) = @_;
	my $path = "$ENV{LEADSCORE_DATA}/$name";

	die "no such test data: $path\n" unless -r $path;
	return $path;
}

# Skips the whole program unless the long tests were asked for.
sub need_long
{
	plan skip_all => 'a long test: make test-long' unless $ENV{LEADSCORE_LONG};
}

1;
