# A worker without preloading: leadscore.start_worker() and what becomes of it.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../perl";

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);
use WorkerTest;

my $node = new_node('start_worker', 0);
$node->start;
$node->safe_psql('postgres', "CREATE DATABASE $_") foreach qw(a b);
make_model($node, $_) foreach qw(a b);

my $none = "SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type LIKE 'leadscore%'";
my $start = "SELECT leadscore.start_worker()";

sub ask
{
	my ($sql, $database) = @_;
	my ($code, $out, $err) = $node->psql($database // 'a', $sql);
	return "$out$err";
}

is($node->safe_psql('postgres', $none), 't', 'nothing runs by itself');
is(ask('SELECT leadscore.stop_worker()'), 'f', 'there is nothing to be stopped');
is(ask($start), 't', 'start_worker()');
within($node, 5, has_worker('a'), 'there is a worker');
like(ask($start), qr/^fNOTICE:  the worker of this database is running|^f.*NOTICE:  the worker of this database is running/s, 'a second call says that there is one');
is($node->safe_psql('a', "SELECT string_agg(role || coalesce(' ' || database, ''), ',' ORDER BY role) FROM leadscore.activity"), 'launcher,worker a', 'the view shows both');
sleep 1.5;
is(workers($node), 1, 'it stays, and there is one');
is(ask($start, 'b'), 't', 'another database has its own');
within($node, 5, has_worker('b'), '... worker');
is(ask('SELECT leadscore.stop_worker()', 'b'), 't', 'stop_worker()');
within($node, 5, "SELECT NOT ($_)", 'ends it') foreach has_worker('b');
is(workers($node), 1, 'and not the other');

is(ask("BEGIN; $start; SELECT leadscore.stop_worker(); COMMIT", 'b'), "t\nt", 'started and stopped in one transaction');
is(workers($node), 1, '... it is gone');

# settings
$node->append_conf('postgresql.conf', 'leadscore.enabled = off');
$node->reload;
within($node, 3, "SELECT NOT ($_)", 'enabled = off: the worker leaves') foreach has_worker('a');
$node->append_conf('postgresql.conf', 'leadscore.enabled = on');
$node->reload;
within($node, 5, has_worker('a'), 'enabled = on: it is back');

# processes that end
kill 'TERM', worker_pid($node, 'a');
sleep 0.3;
within($node, 10, has_worker('a'), 'after SIGTERM for the worker it is back');
kill 'TERM', launcher_pid($node);
sleep 0.3;
within($node, 10, has_worker('a') . " AND EXISTS (SELECT FROM pg_stat_activity WHERE backend_type = 'leadscore launcher')", 'after SIGTERM for the launcher both are back');
for my $victim ('worker', 'launcher')
{
	my $pid = $victim eq 'worker' ? worker_pid($node, 'a') : launcher_pid($node);

	kill 9, $pid;
	sleep 0.3;
	within($node, 20, "SELECT count(*) = 2 FROM pg_stat_activity WHERE backend_type LIKE 'leadscore%' AND pid <> $pid", "after kill -9 of the $victim both are back");
}
is(ask($start) =~ /^f/, 1, 'and start_worker() knows');

# a restart ends it
$node->restart;
sleep 1;
is($node->safe_psql('postgres', $none), 't', 'it does not survive a restart');

# transactions
ask("BEGIN; $start; ROLLBACK");
within($node, 5, has_worker('a'), 'started by a transaction that was rolled back, it runs all the same');
is(ask('SELECT leadscore.stop_worker()'), 't', '... until it is stopped');
within($node, 5, $none, '... altogether');
$node->safe_psql('postgres', 'CREATE DATABASE c');
ask("BEGIN; CREATE EXTENSION leadscore; $start; ROLLBACK", 'c');
within($node, 10, $none, 'started with an extension that was rolled back, it ends by itself');
ask("BEGIN; CREATE EXTENSION leadscore; $start; SELECT pg_sleep(1); COMMIT", 'c');
within($node, 5, has_worker('c'), 'started with an extension that was committed later, it waits for that');
make_model($node, 'c');
within($node, 5, "SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'leadscore worker' AND query LIKE '%model m%'", 'a model that is made later is found');

# what it is for goes away
$node->safe_psql('c', 'SELECT leadscore.detach_all(); DROP EXTENSION leadscore');
within($node, 10, $none, 'DROP EXTENSION: it ends by itself');
ask($start);
within($node, 5, has_worker('a'), 'a worker in the database');
timed($node, 3, 'CREATE DATABASE copy TEMPLATE a', 'CREATE DATABASE with its database as template');
within($node, 5, has_worker('a'), 'it is back');
timed($node, 3, 'DROP DATABASE a', 'DROP DATABASE');
within($node, 10, $none, 'it ends by itself');
unlike(PostgreSQL::Test::Utils::slurp_file($node->logfile), qr/PANIC|TRAP|segmentation/i, 'nothing else in the log');

$node->stop;
done_testing();
