# Every function called with arguments that nobody means.
#
#   LEADSCORE_CALLS=20000   how many
#   LEADSCORE_SEED=1        which; without it others each time
use strict;
use warnings;

use HostileCalls;
use LeadscoreNode;
use Test::More;

need_long();
hostile_calls($ENV{LEADSCORE_CALLS} || 20000, $ENV{LEADSCORE_SEED} || time());
done_testing();
