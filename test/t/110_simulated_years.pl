# Two simulated years, an hour at a time: see test/perl/SimulatedTime.pm.
use strict;
use warnings;

use SimulatedTime;
use Test::More;

simulate(12, 3, '1 hour');

done_testing();
