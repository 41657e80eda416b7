# A job done by several processes: ranges of contacts, which helpers of the worker
# take as it does.  Whoever is killed, told to leave, or fails: the scores are what
# the events give.
use strict;
use warnings;

use JobLoad;
use LeadscoreNode;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

my %conf = (
	'leadscore.inline_limit' => 1000, 'leadscore.naptime' => 100,
	log_lock_waits => 'on', deadlock_timeout => '200ms', restart_after_crash => 'on');
my $node = LeadscoreNode->create('job_ranges', worker => 1, conf => \%conf);
load_tables($node, 4000, 40_000);

# who has written ranges, and a way to slow jobs down that is no setting
$node->safe_psql('postgres', <<'SQL');
CREATE TABLE seen (pid int, job bigint, phase text, range int);
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO public.seen VALUES (pg_backend_pid(), NEW.job_id, NEW.phase, NEW.range);
	RETURN NULL;
END $$;
CREATE TRIGGER note AFTER UPDATE ON leadscore_internal.lead_job_range FOR EACH ROW EXECUTE FUNCTION note();
CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN PERFORM pg_sleep(0.004); RETURN NEW; END$$;
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF NEW.contact_id = 777 THEN
		RAISE EXCEPTION 'no room';
	END IF;
	RETURN NEW;
END $$;
SQL

my $helpers = "FROM pg_stat_activity WHERE backend_type = 'leadscore job worker'";
my $helper = "SELECT count(*) = 1 $helpers AND state = 'active'";
my $no_helper = "SELECT count(*) = 0 $helpers";
my $over = "SELECT count(*) = 0 FROM leadscore.lead_job WHERE state IN ('waiting', 'running')";
my $shared = "SELECT count(*) > 0 FROM (SELECT FROM seen GROUP BY job, phase HAVING count(DISTINCT pid) > 1) s";

sub ask { return $node->safe_psql('postgres', $_[0]) }

# half_way: both processes have done something of a phase, and much is left
sub half_way
{
	my ($phase) = @_;
	return <<"SQL";
SELECT count(*) FILTER (WHERE position IS NOT NULL) > 1 AND count(*) FILTER (WHERE NOT ended) > 6
  FROM leadscore.lead_job_range WHERE phase = '$phase'
SQL
}

# slow_job has a rule counted again, slowly.
my $changes = 1;
sub slow_job
{
	my ($what) = @_;
	ask(<<'SQL');
SET client_min_messages = warning;
TRUNCATE seen;
CREATE TRIGGER slow BEFORE INSERT OR UPDATE ON leadscore.score_m FOR EACH ROW EXECUTE FUNCTION slow();
SQL
	$changes++;
	ask(<<"SQL");
SET client_min_messages = warning;
UPDATE leadscore.lead_rule SET condition = 'n > 2 AND n <> $changes' WHERE model = 'm' AND name = 'form';
SQL
	$node->within(20, half_way('backfill'), "$what: a slow job counts");
}

sub let_it_end
{
	my ($what) = @_;
	ask('DROP TRIGGER slow ON leadscore.score_m');
	$node->within(60, $over, "$what: the job ends");
	is(ask('SELECT count(*) FROM leadscore.lead_job_range'), 0, "$what: no ranges are left");
	as_fresh($node, $what);
}

################################################################################
# Beside writers

job_beside_writers($node, 4000, limit => 60, bare => 1, quick => 1);
is(ask($shared), 't', 'ranges were done by more than one process');
is(ask("SELECT count(*) FROM seen WHERE phase NOT IN ('backfill', 'refresh')"), 0, 'in the phases that have them');
as_fresh($node, 'in two processes, beside writers');

################################################################################
# Helpers that end

slow_job('a helper is terminated');
$node->within(5, $helper, 'a helper is at work');
$node->within(5, "SELECT count(DISTINCT pid) > 1 FROM seen WHERE phase = 'backfill'", 'two processes count') or
  diag(ask('SELECT pid, job, phase, count(*), array_agg(DISTINCT range) FROM seen GROUP BY 1, 2, 3 ORDER BY 2, 3'));
is(ask("SELECT string_agg(query, ',') $helpers"), 'leadscore: model m, job', 'pg_stat_activity tells');
$node->within(5, <<'SQL', 'the job tells what the ranges add up to');
SELECT j.done = p.done AND j.position = p.position FROM leadscore.lead_job j,
	(SELECT max(b.done) + sum(r.done) AS done,
		(array_agg(coalesce(position, first) ORDER BY range) FILTER (WHERE NOT ended))[1] AS position
	   FROM leadscore_internal.lead_job b
	  JOIN leadscore_internal.lead_job_range r USING (job_id)) p WHERE state = 'running'
SQL
my $pid = ask("SELECT pid $helpers");
ask("SELECT pg_terminate_backend($pid, 5000)");
$node->within(10, "SELECT count(*) = 1 $helpers AND pid <> $pid", 'after SIGTERM another comes');
is(ask("SELECT count(*) = 1 FROM leadscore.lead_job WHERE state = 'running' AND error IS NULL"), 't',
	'that is no error of the job');
let_it_end('after SIGTERM for a helper');
$node->within(5, $no_helper, 'when there is nothing left to do helpers leave');

slow_job('a helper is killed');
$node->within(5, $helper, 'a helper is at work again');
my $before = ask("SELECT sum(done) FROM leadscore.lead_job_range");
kill 9, ask("SELECT pid $helpers");
$node->within(60, "SELECT count(*) = 1 FROM leadscore.lead_job WHERE state = 'running'", 'the server comes back');
cmp_ok(ask("SELECT coalesce(sum(done), 99999) FROM leadscore.lead_job_range"), '>=', $before, 'what was committed is done');
$node->within(20, $helper, 'a helper comes back');
let_it_end('after kill -9 of a helper');

slow_job('the worker is terminated');
$node->within(5, $helper, 'a helper is at work');
$pid = ask("SELECT pid $helpers");
ask("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE backend_type = 'leadscore worker'");
$node->within(5, "SELECT count(*) = 0 $helpers AND pid = $pid", 'its helper goes with it');
$node->within(10, $helper, '... and comes with the next');
let_it_end('after SIGTERM for the worker');

slow_job('a contact is erased');
my $bound = ask('SELECT first FROM leadscore.lead_job_range WHERE NOT ended AND first IS NOT NULL ORDER BY range DESC LIMIT 1');
ask("DELETE FROM event WHERE contact = $bound; DELETE FROM contact WHERE id = $bound");
cmp_ok(ask("SELECT leadscore.erase_contact('m', $bound)"), '>', 0, 'a contact that bounds a range is erased');
is(ask(<<"SQL"),
SELECT count(*)
  FROM (SELECT unnest(ARRAY[first, last, position]) AS bound FROM leadscore.lead_job_range UNION ALL SELECT position
	  FROM leadscore.lead_job) x
 WHERE bound = '$bound'
SQL
	0, '... and named by no job');
let_it_end('after a contact was erased');

################################################################################
# Told to leave

slow_job('leadscore.enabled = off');
$node->configure(enabled => 'off');
$node->within(3, "SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type LIKE 'leadscore%worker'",
	'worker and helper leave');
cmp_ok(ask('SELECT count(*) FROM leadscore.lead_job_range WHERE NOT ended'), '>', 2, 'ranges are left');
my $ranges = 'SELECT range, first, last, position, ended, done FROM leadscore.lead_job_range ORDER BY range';
my $dump = PostgreSQL::Test::Utils::tempdir . '/dump';
my @connection = ('-h', $node->host, '-p', $node->port);
command_ok([ 'pg_dump', @connection, '-Fc', '-f', $dump, 'postgres' ], 'pg_dump in the midst of it');
command_ok([ 'createdb', @connection, 'copy' ], 'another database');
command_ok([ 'pg_restore', @connection, '-e', '-j', 2, '-d', 'copy', $dump ], 'pg_restore');
is($node->safe_psql('copy', $ranges), ask($ranges), 'ranges are in the dump');
$node->configure(enabled => 'on');
let_it_end('after leadscore.enabled = off and on');
$node->safe_psql('copy', 'DROP TRIGGER slow ON leadscore.score_m');
$node->within(60, $over, 'the copy goes on and ends', 'copy');
my $scores = <<'SQL';
SELECT contact_id, stage, round(leadscore.score('m', contact_id, '2040-01-01')::numeric, 4) FROM leadscore.score_m
 ORDER BY 1
SQL
is($node->safe_psql('copy', $scores), ask($scores), 'the copy: the same scores');
is($node->safe_psql('copy', "SELECT * FROM leadscore.verify('m') LIMIT 5"), '', 'the copy: verify() finds nothing');
is($node->safe_psql('copy', 'SELECT count(*) FROM leadscore.lead_job_range'), 0, 'the copy: no ranges are left');

slow_job('leadscore.job_rate is set');
$node->within(5, $helper, 'a helper is at work');
$node->configure(job_rate => 2000);
$node->within(5, $no_helper, 'it leaves, and the worker goes on alone');
$node->configure(job_rate => 0);
$node->within(5, $helper, 'as fast as can be: it is back');
$node->configure(job_workers => 1);
$node->within(5, $no_helper, 'job_workers = 1: it leaves');
let_it_end('after other settings');

ask('TRUNCATE seen');
ask(<<'SQL');
SET client_min_messages = warning;
UPDATE leadscore.lead_rule SET condition = 'n > 4' WHERE model = 'm' AND name = 'form';
SQL
$node->within(60, $over, 'job_workers = 1: a job ends');
is(ask('SELECT count(*) > 0, max(range) FROM seen'), 't|1', '... and had one range in each phase');
as_fresh($node, 'job_workers = 1');
$node->configure(job_workers => 3);
slow_job('job_workers = 3');
$node->within(10, "SELECT count(*) = 2 $helpers", 'two helpers');
$node->within(10, "SELECT count(DISTINCT pid) = 3 FROM seen WHERE phase = 'backfill'", 'three processes count');

################################################################################
# Cancelled

$node->timed(3, "SELECT leadscore.cancel_job(job_id) FROM leadscore.lead_job WHERE state = 'running'", 'cancel_job()');
$node->within(5, 'SELECT count(*) = 0 FROM leadscore.lead_job_range', 'cancelled: no ranges are left');
$node->within(5, $no_helper, 'cancelled: helpers leave');
is(ask(<<'SQL'), 't', 'the rule waits');
SELECT backfilled_version IS NULL AND backfilling_version IS NULL FROM leadscore.lead_rule
 WHERE name = 'form' AND model = 'm'
SQL
ask('DROP TRIGGER slow ON leadscore.score_m');
ask("SELECT leadscore.rescore('m', online => true)");
$node->within(60, $over, 'cancelled: a rescore counts the rule');
as_fresh($node, 'after a job that was cancelled');
$node->configure(job_workers => 2);

################################################################################
# One range fails

ask('CREATE TRIGGER refuse BEFORE INSERT OR UPDATE ON leadscore.score_m FOR EACH ROW EXECUTE FUNCTION refuse()');
ask(<<'SQL');
SET client_min_messages = warning;
UPDATE leadscore.lead_rule SET condition = 'n > 5' WHERE model = 'm' AND name = 'form';
INSERT INTO event (contact, at, what, n) SELECT 778, now(), 'form', 9;
SQL
$node->within(30, <<'SQL', 'one range fails, the others end');
SELECT count(*) FILTER (WHERE NOT ended) = 1 AND count(*) > 4
	AND bool_and(ended OR attempts > 1 AND error = 'no room' AND retry_at IS NOT NULL)
  FROM leadscore.lead_job_range
SQL
is(ask("SELECT phase, error, attempts > 0, retry_at IS NOT NULL, position FROM leadscore.lead_job WHERE state = 'running'"),
	'backfill|no room|t|t|' . ask('SELECT coalesce(position, first) FROM leadscore.lead_job_range WHERE NOT ended'),
	'the job says so');
ask('DROP TRIGGER refuse ON leadscore.score_m');
$node->within(30, $over, 'when it is mended the job goes on by itself');
as_fresh($node, 'after a range that failed');

################################################################################
# In nobody's way

$node->safe_psql('postgres', "DROP DATABASE copy");
sub other
{
	my ($what) = @_;
	$node->safe_psql('postgres', 'CREATE DATABASE other');
	load_tables_in('other');
	$node->within(20, half_way('backfill'), "$what: a slow job counts in another database", 'other');
	$node->within(5, "SELECT count(*) = 1 $helpers AND datname = 'other'", "$what: a helper is at work", 'other');
}

# load_tables_in makes a model with a job under way that takes its time
sub load_tables_in
{
	my ($database) = @_;
	$node->safe_psql($database, <<'SQL');
SET client_min_messages = warning;
CREATE EXTENSION leadscore;
CREATE TABLE contact (id int PRIMARY KEY);
CREATE TABLE event (contact int, at timestamptz, what text);
CREATE INDEX ON event (contact, at);
INSERT INTO contact SELECT generate_series(1, 4000);
INSERT INTO event SELECT g, now(), 'form' FROM generate_series(1, 4000) g;
SELECT leadscore.create_model('m', 'contact');
SELECT leadscore.attach('m', 'event', 'contact', 'at', 'what');
CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN PERFORM pg_sleep(0.005); RETURN NEW; END$$;
CREATE TRIGGER slow BEFORE INSERT OR UPDATE ON leadscore.score_m FOR EACH ROW EXECUTE FUNCTION slow();
INSERT INTO leadscore.lead_rule (model, name, event, points) VALUES ('m', 'form', 'form', 1);
SQL
}
other('DROP EXTENSION');
$node->timed(3, <<'SQL', 'DROP EXTENSION beside a helper', 'other');
SET client_min_messages = warning;
DROP EXTENSION leadscore CASCADE;
SQL
$node->within(3, $no_helper, '... which leaves');
$node->timed(5, 'DROP DATABASE other', 'DROP DATABASE after that');
other('DROP DATABASE');
$node->timed(5, 'DROP DATABASE other', 'DROP DATABASE beside a helper');
other('drop_model()');
$node->timed(5, "SELECT leadscore.drop_model('m')", 'drop_model() beside a helper', 'other');
is($node->safe_psql('other', 'SELECT count(*) FROM leadscore.lead_job_range'), 0, '... takes the ranges along');
$node->timed(5, 'DROP DATABASE other', 'DROP DATABASE');

my $log = PostgreSQL::Test::Utils::slurp_file($node->logfile);
unlike($log, qr/deadlock detected/, 'no deadlock');
unlike($log, qr/PANIC|TRAP|signal 11/, 'no crash but those that were made');
$node->stop;

################################################################################
# No process to be had

$node = LeadscoreNode->create('job_ranges_small', worker => 1,
	conf => {
		%conf,
		max_worker_processes => 3,
		max_logical_replication_workers => 0,
		max_parallel_workers => 0,
		log_min_messages => 'log',
	});
load_tables($node, 4000, 40_000);
$node->safe_psql('postgres', 'CREATE DATABASE second');
$node->make_model('second');
$node->within(20, has_worker('second'), 'all processes are taken');
ask(<<'SQL');
CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(0.001); RETURN NEW; END';
CREATE TRIGGER slow BEFORE INSERT OR UPDATE ON leadscore.score_m FOR EACH ROW EXECUTE FUNCTION slow();
SQL
ask(<<'SQL');
SET client_min_messages = warning;
SELECT leadscore.attach('m', 'event', 'contact', 'at', 'what');
SQL
$node->within(20, half_way('backfill'), 'a job has ranges');
is(ask("SELECT count(*) $helpers"), 0, 'there is no helper');
$node->within(60, $over, 'a job without helpers ends');
is(ask("SELECT * FROM leadscore.verify('m') LIMIT 5"), '', 'verify() finds nothing');
my @said = PostgreSQL::Test::Utils::slurp_file($node->logfile) =~ /as many processes for a job/g;
is(scalar @said, 1, 'that is said once in the log');
is($node->safe_psql('postgres', <<'SQL'), '0',
SELECT count(*) FROM leadscore_internal.lead_job WHERE state = 'done' AND done IS DISTINCT FROM total
SQL
	'jobs that are done, by several processes or by others, have done what they were to do');
$node->stop;

done_testing();
