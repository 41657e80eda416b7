# Every function called with arguments that nobody means: a few hundred calls, the
# same each time.  test/t/long/410_hostile_calls.pl makes many more.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../perl";
use HostileCalls;
use Test::More;

hostile_calls(600, 10);
done_testing();
