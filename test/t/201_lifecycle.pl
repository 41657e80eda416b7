# What launcher and workers do when extensions and databases come and go, when
# processes are killed, settings change and servers are promoted: the lines of
# the table at the head of src/background/launcher.c.  203_worker.pl has those
# that need scores to change.
use strict;
use warnings;

use LeadscoreNode;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

my $node = LeadscoreNode->create('lifecycle', worker => 1,
	conf => { max_worker_processes => 16, restart_after_crash => 'on' });
# the view is looked at from here
$node->safe_psql('postgres', 'CREATE EXTENSION leadscore');

################################################################################
# Databases without models, and the first model

$node->safe_psql('postgres', "CREATE DATABASE $_") foreach qw(a b);
$node->within(10, phase('a', 'absent'), 'a database without the extension is looked at and left alone');
is($node->workers, 0, 'no worker stays');
is($node->safe_psql('postgres', "SELECT count(*) FROM leadscore.activity WHERE database LIKE 'template%'"), 0,
	'templates are none of its business');
is($node->safe_psql('postgres', "SELECT phase FROM leadscore.activity WHERE role = 'launcher'"), 'watching',
	'the launcher is watching');

$node->safe_psql('a', 'CREATE EXTENSION leadscore');
$node->safe_psql('a', <<'SQL');
BEGIN;
CREATE TABLE c (id int PRIMARY KEY);
SELECT leadscore.create_model('m', 'c');
ROLLBACK;
SQL
sleep 0.5;
is($node->safe_psql('postgres', phase('a', 'absent')), 't', 'an extension without models, and a model rolled back: nothing');
$node->make_model('a');
$node->within(3, has_worker('a'), 'a model brings a worker at once');
$node->within(3, <<'SQL', 'which has done its pass and naps');
SELECT last_pass_at IS NOT NULL AND phase = 'napping' AND lag = '0' FROM leadscore.activity
 WHERE database = 'a' AND role = 'worker'
SQL

$node->safe_psql('b', <<'SQL');
BEGIN;
CREATE EXTENSION leadscore;
CREATE TABLE c (id int PRIMARY KEY);
SELECT leadscore.create_model('m', 'c');
ROLLBACK;
SQL
sleep 0.5;
is($node->safe_psql('postgres', phase('b', 'absent')), 't', 'CREATE EXTENSION rolled back: nothing');
$node->safe_psql('b', <<'SQL');
BEGIN;
CREATE EXTENSION leadscore;
CREATE TABLE contact (id int PRIMARY KEY);
SELECT leadscore.create_model('m', 'contact');
COMMIT;
SQL
$node->within(3, has_worker('b'), 'CREATE EXTENSION and a model in one transaction: a worker');

# who sees what
$node->safe_psql('postgres', <<'SQL');
CREATE ROLE nobody LOGIN;
CREATE ROLE watcher LOGIN;
GRANT pg_monitor TO watcher;
SQL
my $seen = <<'SQL';
SELECT string_agg(database, ',' ORDER BY database) FROM leadscore.activity
 WHERE phase IS NOT NULL AND database IN ('a', 'b')
SQL
is($node->safe_psql('a', "SET ROLE nobody; $seen"), 'a', 'anybody sees his own database');
is($node->safe_psql('a', "SET ROLE watcher; $seen"), 'a,b', 'pg_monitor sees all');
like(($node->psql('a', "SET ROLE nobody; SELECT leadscore.start_worker()"))[2],
	qr/permission denied to start or stop the worker.*HINT:  Only the owner of the database, or of extension leadscore, may do this/s,
	'start_worker is not for everybody');
my ($code, $out, $err) = $node->psql('a', 'SELECT leadscore.start_worker()');
is($out, 'f', 'start_worker: there is a launcher');
like($err, qr/NOTICE:  the launcher already serves this database/, '... it says');
like(($node->psql('a', 'SELECT leadscore.stop_worker()'))[2], qr/Set leadscore.enabled to off/, 'stop_worker says what does it');

################################################################################
# DROP EXTENSION, committed and not, while the worker is at it all the time

$node->configure(naptime => '10ms');
$node->safe_psql('a', 'CREATE TABLE other (id int PRIMARY KEY)');
my $longest = 0;
for my $round (1 .. 10)
{
	for my $end ('ROLLBACK', 'COMMIT')
	{
		my $start = time;
		my ($code, $out, $err) = $node->psql('a', <<"SQL");
BEGIN;
SET LOCAL client_min_messages = warning;
SELECT leadscore.detach_all();
DROP EXTENSION leadscore;
$end
SQL
		BAIL_OUT("DROP EXTENSION failed: $err") if $code != 0;
		$longest = time - $start if time - $start > $longest;
	}
	$node->safe_psql('a', <<'SQL');
SET client_min_messages = warning;
CREATE EXTENSION leadscore;
SELECT leadscore.create_model('m', 'contact');
SQL
}
in_time($longest, 3, sprintf('DROP EXTENSION is not held up: %.2f s at most', $longest));
$node->within(5, has_worker('a'), 'the worker is back after the last CREATE EXTENSION');
$node->safe_psql('a', <<'SQL');
BEGIN;
SELECT leadscore.detach_all();
DROP EXTENSION leadscore;
SELECT pg_sleep(1);
ROLLBACK;
SQL
$node->within(5, has_worker('a'), 'and after a DROP EXTENSION that was rolled back late');
is($node->safe_psql('postgres', "SELECT sum(deadlocks) FROM pg_stat_database"), 0, 'no deadlock');
$node->configure(naptime => '1s');

################################################################################
# DROP DATABASE, CREATE DATABASE TEMPLATE, RENAME

$node->within(5, has_worker('a'), 'a worker is connected');
$node->timed(3, 'CREATE DATABASE copy TEMPLATE a', 'CREATE DATABASE with its database as template');
$node->within(6, has_worker('copy'), 'the copy gets a worker');
$node->within(5, has_worker('a'), 'and the template has one again');
$node->timed(3, 'ALTER DATABASE copy RENAME TO copied', 'ALTER DATABASE RENAME');
$node->within(5, has_worker('copied'), 'the renamed database has a worker');
$node->timed(3, 'DROP DATABASE copied', 'DROP DATABASE');
$node->timed(3, 'CREATE DATABASE plain', 'CREATE DATABASE');
$node->timed(3, 'DROP DATABASE plain', 'DROP DATABASE of another database');
$node->within(10, "SELECT count(*) = 0 FROM leadscore.activity WHERE database IN ('copied', 'plain')",
	'what is dropped is not shown');

# A worker in the midst of something long: a trigger that sleeps while it deletes old history.
$node->safe_psql('postgres', 'CREATE DATABASE busy TEMPLATE a');
$node->safe_psql('busy', <<'SQL');
CREATE FUNCTION sleepy() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(100); RETURN OLD; END';
CREATE TRIGGER sleepy BEFORE DELETE ON leadscore.history_m FOR EACH ROW EXECUTE FUNCTION sleepy();
SET session_replication_role = replica;
INSERT INTO leadscore.history_m VALUES (1, NULL, 'unqualified', 0, '2020-01-01', '2020-01-01', 'event');
SQL
$node->configure(history_retention => 30);
my $busy = <<'SQL';
SELECT count(*) = 1 FROM pg_stat_activity
 WHERE backend_type = 'leadscore worker' AND datname = 'busy' AND wait_event = 'PgSleep'
SQL
$node->within(10, $busy, 'a worker is busy');
is($node->safe_psql('postgres', "SELECT phase FROM leadscore.activity WHERE database = 'busy'"), 'purging',
	'... deleting history');
$node->timed(3, 'CREATE DATABASE plain', 'CREATE DATABASE meanwhile');
$node->timed(3, 'DROP DATABASE plain', 'DROP DATABASE of another database meanwhile');
$node->timed(3, 'CREATE DATABASE copy TEMPLATE busy', 'CREATE DATABASE from the busy one');
$node->within(10, $busy, 'it is busy again');
$node->timed(3, 'DROP DATABASE busy', 'DROP DATABASE of the busy one');
$node->timed(3, 'DROP DATABASE copy', 'and of its copy');

$node->safe_psql('b', <<'SQL');
SET session_replication_role = replica;
INSERT INTO leadscore.history_m
	SELECT g, NULL, 'unqualified', 0, '2020-01-01', now() - g * interval '1 day', 'event'
	  FROM generate_series(0, 12000) g;
SQL
$node->configure(history_retention => 29);
$node->within(10, 'SELECT count(*) = 29 AND max(contact::int) = 28 FROM leadscore.lead_stage_history',
	'history is kept as long as it is to be kept', 'b');
$node->configure(history_retention => -1);

################################################################################
# Processes that end

sub ended
{
	my ($what, $limit, $act) = @_;
	my $launcher = $node->launcher_pid;
	my $worker = $node->worker_pid('a');

	$act->($launcher, $worker);
	$node->within(10, <<"SQL", "$what: the worker is gone");
SELECT count(*) = 0 FROM pg_stat_activity WHERE pid = $worker AND backend_type = 'leadscore worker'
SQL
	my $took = $node->within($limit, <<'SQL', "$what: launcher and workers are back");
SELECT (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'leadscore launcher') = 1
	AND (SELECT count(DISTINCT datname) = 2 AND count(*) = 2 FROM pg_stat_activity
		WHERE backend_type = 'leadscore worker')
SQL
}

ended('SIGTERM for the worker', 10, sub { kill 'TERM', $_[1] });
ended('SIGTERM for the launcher', 10, sub { kill 'TERM', $_[0] });
ended('kill -9 of the worker', 20, sub { kill 9, $_[1] });
ended('kill -9 of the launcher', 20, sub { kill 9, $_[0] });
ended('kill -9 of a backend', 20, sub {
	my $session = $node->background_psql('postgres');
	kill 9, scalar($session->query('SELECT pg_backend_pid()'));
	eval { $session->quit };
});
ended('restart', 10, sub { $node->restart });
ended('immediate shutdown', 20, sub { $node->stop('immediate'); $node->start });

# A worker that is stopped for a while goes on.
my $pid = $node->worker_pid('a');
kill 'STOP', $pid;
sleep 1.5;
my $before = $node->safe_psql('postgres', "SELECT last_pass_at FROM leadscore.activity WHERE database = 'a'");
kill 'CONT', $pid;
$node->within(10, "SELECT last_pass_at > '$before' FROM leadscore.activity WHERE database = 'a'",
	'a worker that was stopped goes on');

# pg_cancel_backend() ends what a worker is at, not the worker.
$pid = $node->worker_pid('a');
$node->safe_psql('postgres', "SELECT pg_cancel_backend($pid)");
sleep 0.5;
is($node->worker_pid('a'), $pid, 'a worker survives pg_cancel_backend()');
$pid = $node->launcher_pid;
$node->safe_psql('postgres', "SELECT pg_cancel_backend($pid)");
sleep 0.5;
is($node->launcher_pid, $pid, 'and so does the launcher');

################################################################################
# Settings

$node->configure(enabled => 'off');
$node->within(3, no_worker(), 'enabled = off: the workers leave');
$node->within(3, "SELECT phase = 'off' FROM leadscore.activity WHERE role = 'launcher'", 'the launcher idles');
$node->configure(enabled => 'on');
$node->within(5, has_worker('a'), 'enabled = on: they are back');

# More databases than workers: each gets its turn
$node->configure(max_workers => 1);
$node->within(10, "SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'leadscore worker'",
	'no more workers than max_workers');
$node->configure(max_workers => 2, naptime => '200ms');
$node->safe_psql('postgres', "CREATE DATABASE d$_ TEMPLATE a") foreach 1 .. 4;
my $start = $node->safe_psql('postgres', 'SELECT clock_timestamp()');
my $most = 0;
my $turns = <<"SQL";
SELECT count(*) = 6 FROM leadscore.activity
 WHERE last_pass_at > '$start' AND database IN ('a', 'b', 'd1', 'd2', 'd3', 'd4')
SQL
for (my $since = time; time - $since < patience(15);)
{
	# the view also has processes that have given up their place, and are about to end
	my ($n, $done) = split /\n/, $node->safe_psql('postgres', <<"SQL");
SELECT count(*) FROM leadscore_internal.activity() WHERE role = 'worker';
$turns
SQL
	$most = $n if $n > $most;
	last if $done eq 't';
	sleep 0.05;
}
is($node->safe_psql('postgres', $turns), 't', 'six databases had their turn');
cmp_ok($most, '<=', 2, 'with two workers');
$node->timed(3, "DROP DATABASE d$_", 'DROP DATABASE while workers change places') foreach 1 .. 4;

# One database that fails does not keep the others from their turn
$node->safe_psql('b', 'ALTER TABLE leadscore_internal.lead_worker_error RENAME retry_at TO elsewhere');
$node->within(10, <<'SQL', 'a database that fails is left alone for a while');
SELECT phase = 'failed' AND last_error LIKE '%retry_at%' FROM leadscore.activity WHERE database = 'b'
SQL
$start = $node->safe_psql('postgres', 'SELECT clock_timestamp()');
$node->within(10, "SELECT last_pass_at > '$start' FROM leadscore.activity WHERE database = 'a'", 'the others go on');
$node->safe_psql('b', 'ALTER TABLE leadscore_internal.lead_worker_error RENAME elsewhere TO retry_at');
$node->within(30, has_worker('b'), 'it is tried again');
$node->configure(max_workers => 3, naptime => '1s');

# No process left for a worker: said once
$node->append_settings(max_worker_processes => 2);
my $offset = -s $node->logfile;
$node->restart;
$node->within(10, <<'SQL', 'no process for a worker: waiting');
SELECT last_pass_at IS NULL AND role = 'database' AND phase = 'waiting' FROM leadscore.activity
 WHERE database IN ('a', 'b') LIMIT 1
SQL
sleep 2.5;
my $log = substr(PostgreSQL::Test::Utils::slurp_file($node->logfile), $offset);
is(scalar(() = $log =~ /leadscore could not start a worker/g), 1, '... which is logged once');
$node->append_settings(max_worker_processes => 16);
$node->restart;
$node->within(10, has_worker('a'), 'with more processes it goes on');

################################################################################
# An extension that is not of the library's version (320_upgrade.pl updates one)

my $version = $node->safe_psql('a', "SELECT extversion FROM pg_extension WHERE extname = 'leadscore'");
$node->safe_psql('a', "UPDATE pg_extension SET extversion = '0.0.1' WHERE extname = 'leadscore'");
$node->within(10, phase('a', 'outdated'), 'an extension of another version is left alone');
is($node->safe_psql('postgres', "SELECT last_error FROM leadscore.activity WHERE database = 'a'"),
	"the extension is of version 0.0.1, the library of $version: use ALTER EXTENSION leadscore UPDATE, or restart the server if the library is the older one",
	'... and says so');
$node->safe_psql('a', "UPDATE pg_extension SET extversion = '$version' WHERE extname = 'leadscore'");
$node->within(20, has_worker('a'), 'of the same version again, it gets its worker');

################################################################################
# A standby, and its promotion

$node->backup('base');
my $standby = LeadscoreNode->new('standby');
$standby->init_from_backup($node, 'base', has_streaming => 1);
$standby->start;
$node->wait_for_catchup($standby);
sleep 1;
is($standby->safe_psql('postgres', "SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'leadscore%'"), 0,
	'nothing runs on a standby');
like(($standby->psql('a', 'SELECT leadscore.start_worker()'))[2], qr/there is no worker during recovery/,
	'nor can it be started');
$node->stop;
$standby->promote;
$standby->within(10, has_worker('a'), 'promotion starts launcher and worker');
$standby->stop;

done_testing();
