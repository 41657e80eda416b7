# Two simulated years, an hour at a time: see test/perl/SimulatedTime.pm.
use strict;
use warnings;

use SimulatedTime;
use Test::More;

simulate(14, 4, '1 hour');

done_testing();
