# A job on 5,000,000 events while four clients write.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../../perl";

use IPC::Run;
use JobLoad;
use LeadscoreTest;
use Test::More;
use WorkerTest;

need_long();
my $node = new_node('job_load', 1, "log_lock_waits = on\ndeadlock_timeout = 200ms\nshared_buffers = 512MB\nmax_wal_size = 4GB\nautovacuum = on\n");
$node->start;
load_tables($node, 500_000, 5_000_000);
job_beside_writers($node, 500_000, limit => 900, bare => 10, crash => 1);
done_testing();
