# A job on 5,000,000 events while four clients write.
use strict;
use warnings;

use JobLoad;
use LeadscoreNode;
use Test::More;

need_long();
my $node = LeadscoreNode->create('job_load', worker => 1,
	conf => {
		log_lock_waits => 'on',
		deadlock_timeout => '200ms',
		shared_buffers => '512MB',
		max_wal_size => '4GB',
		autovacuum => 'on',
		restart_after_crash => 'on',
	});
load_tables($node, 500_000, 5_000_000);
job_beside_writers($node, 500_000, limit => 900, bare => 10, crash => 1);
done_testing();
