# A worker without preloading: leadscore.start_worker() and what becomes of it.
use strict;
use warnings;

use LeadscoreNode;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

my $node = LeadscoreNode->create('start_worker', library => 'none',
	conf => { restart_after_crash => 'on' });
$node->safe_psql('postgres', "CREATE DATABASE $_") foreach qw(a b);
$node->make_model($_) foreach qw(a b);

my $none = "SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type LIKE 'leadscore%'";
my $start = "SELECT leadscore.start_worker()";

sub ask
{
	my ($sql, $database) = @_;
	return $node->said($database // 'a', $sql);
}

is($node->safe_psql('postgres', $none), 't', 'nothing runs by itself');
is(ask('SELECT leadscore.stop_worker()'), 'f', 'there is nothing to be stopped');
is(ask($start), 't', 'start_worker()');
$node->within(5, has_worker('a'), 'there is a worker');
like(ask($start),
	qr/^fNOTICE:  the worker of this database is running|^f.*NOTICE:  the worker of this database is running/s,
	'a second call says that there is one');
is($node->safe_psql('a', <<'SQL'), 'launcher,worker a', 'the view shows both');
SELECT string_agg(role || coalesce(' ' || database, ''), ',' ORDER BY role) FROM leadscore.activity
SQL
sleep 1.5;
is($node->workers, 1, 'it stays, and there is one');
is(ask($start, 'b'), 't', 'another database has its own');
$node->within(5, has_worker('b'), '... worker');
is(ask('SELECT leadscore.stop_worker()', 'b'), 't', 'stop_worker()');
$node->within(5, "SELECT NOT ($_)", 'ends it') foreach has_worker('b');
is($node->workers, 1, 'and not the other');

is(ask("BEGIN; $start; SELECT leadscore.stop_worker(); COMMIT", 'b'), "t\nt", 'started and stopped in one transaction');
is($node->workers, 1, '... it is gone');

# settings
$node->append_settings('leadscore.enabled' => 'off');
$node->reload;
$node->within(3, "SELECT NOT ($_)", 'enabled = off: the worker leaves') foreach has_worker('a');
$node->append_settings('leadscore.enabled' => 'on');
$node->reload;
$node->within(5, has_worker('a'), 'enabled = on: it is back');

# processes that end
kill 'TERM', $node->worker_pid('a');
sleep 0.3;
$node->within(10, has_worker('a'), 'after SIGTERM for the worker it is back');
kill 'TERM', $node->launcher_pid;
sleep 0.3;
$node->within(10, has_worker('a')
	. " AND EXISTS (SELECT FROM pg_stat_activity WHERE backend_type = 'leadscore launcher')",
	'after SIGTERM for the launcher both are back');
for my $victim ('worker', 'launcher')
{
	my $pid = $victim eq 'worker' ? $node->worker_pid('a') : $node->launcher_pid;

	kill 9, $pid;
	sleep 0.3;
	$node->within(20,
		"SELECT count(*) = 2 FROM pg_stat_activity WHERE backend_type LIKE 'leadscore%' AND pid <> $pid",
		"after kill -9 of the $victim both are back");
}
is(ask($start) =~ /^f/, 1, 'and start_worker() knows');

# a restart ends it
$node->restart;
sleep 1;
is($node->safe_psql('postgres', $none), 't', 'it does not survive a restart');

# transactions
ask("BEGIN; $start; ROLLBACK");
$node->within(5, has_worker('a'), 'started by a transaction that was rolled back, it runs all the same');
is(ask('SELECT leadscore.stop_worker()'), 't', '... until it is stopped');
$node->within(5, $none, '... altogether');
$node->safe_psql('postgres', 'CREATE DATABASE c');
ask("BEGIN; CREATE EXTENSION leadscore; $start; ROLLBACK", 'c');
$node->within(10, $none, 'started with an extension that was rolled back, it ends by itself');
ask("BEGIN; CREATE EXTENSION leadscore; $start; SELECT pg_sleep(1); COMMIT", 'c');
$node->within(5, has_worker('c'), 'started with an extension that was committed later, it waits for that');
$node->make_model('c');
$node->within(5, <<'SQL', 'a model that is made later is found');
SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'leadscore worker' AND query LIKE '%model m%'
SQL

# what it is for goes away
$node->safe_psql('c', 'SELECT leadscore.detach_all(); DROP EXTENSION leadscore');
$node->within(10, $none, 'DROP EXTENSION: it ends by itself');
ask($start);
$node->within(5, has_worker('a'), 'a worker in the database');
$node->timed(3, 'CREATE DATABASE copy TEMPLATE a', 'CREATE DATABASE with its database as template');
$node->within(5, has_worker('a'), 'it is back');
$node->timed(3, 'DROP DATABASE a', 'DROP DATABASE');
$node->within(10, $none, 'it ends by itself');
unlike(PostgreSQL::Test::Utils::slurp_file($node->logfile), qr/PANIC|TRAP|segmentation/i, 'nothing else in the log');

$node->stop;
done_testing();
