# The same two years as in 110_simulated_years.pl for more contacts, ten minutes at a time.
use strict;
use warnings;

use LeadscoreNode;
use SimulatedTime;
use Test::More;

need_long();
simulate(60, 12, '10 minutes');

done_testing();
