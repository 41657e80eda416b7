# Every function called with arguments that nobody means: a few hundred calls, the
# same each time.  test/t/long/513_hostile_calls_long.pl makes many more.
use strict;
use warnings;

use HostileCalls;
use Test::More;

hostile_calls(600, 10);
done_testing();
