# The same two years as in 230_time.pl for more contacts, ten minutes at a time.
use strict;
use warnings;

use LeadscoreTest;
use SimulatedTime;
use Test::More;

need_long();
simulate(60, 12, '10 minutes');

done_testing();
