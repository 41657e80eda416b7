# Jobs: what many rows have to be read for is done by the worker, in chunks, beside
# writers; it goes on after the worker, or the server, was killed.
use strict;
use warnings;

use JobLoad;
use LeadscoreNode;
use Test::More;
use Time::HiRes qw(sleep time);

my $node = LeadscoreNode->create('jobs', worker => 1,
	conf => {
		'leadscore.inline_limit' => 1000,
		'leadscore.naptime' => 100,
		log_lock_waits => 'on',
		deadlock_timeout => '200ms',
		restart_after_crash => 'on',
	});
load_tables($node, 4000, 40_000);
# where a job has been, however rarely anybody looks
$node->safe_psql('postgres', <<'SQL');
CREATE TABLE moved (job bigint, phase text, position text);
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO public.moved VALUES (NEW.job_id, NEW.phase, NEW.position);
	RETURN NULL;
END $$;
-- which each step writes
CREATE TRIGGER note AFTER INSERT OR UPDATE ON leadscore_internal.lead_job_range
	FOR EACH ROW WHEN (NEW.phase <> 'start') EXECUTE FUNCTION note();
SQL
$node->configure(job_rate => 1500);
job_beside_writers($node, 4000, limit => 60, bare => 1, quick => 1);
# a job that another has overtaken, or that finds all done, does not move
cmp_ok($node->safe_psql('postgres', <<'SQL'), '>=', 3, 'each job was at several places');
SELECT count(*) FROM (SELECT job FROM moved GROUP BY job HAVING count(DISTINCT (phase, position)) > 2) m
SQL
$node->safe_psql('postgres', 'DROP TRIGGER note ON leadscore_internal.lead_job_range');
$node->configure(job_rate => 0);

as_fresh($node, 'jobs beside writers');

################################################################################
# Killed in the middle, with the server

sub slowly { $node->configure(job_rate => $_[0]) }

# kill_at sends a signal when the job has counted something.
sub half_way
{
	my ($phase) = @_;
	return "SELECT count(*) = 1 FROM leadscore.lead_job WHERE state = 'running' AND phase = '$phase' AND position IS NOT NULL";
}

slowly(1000);
$node->safe_psql('postgres', <<'SQL');
SET client_min_messages = warning;
UPDATE leadscore.lead_rule SET condition = 'n > 2' WHERE model = 'm' AND name = 'form';
SQL
$node->within(20, half_way('backfill'), 'a slow job counts');
my $position = $node->safe_psql('postgres', "SELECT position FROM leadscore.lead_job WHERE state = 'running'");
is($node->safe_psql('postgres', "SELECT count(*) > 0 FROM leadscore.explain('m', 5) WHERE name = 'form' AND points <> 0"),
	'f', 'a rule contributes nothing until it is counted');
kill 9, $node->worker_pid('postgres');
$node->within(30, half_way('backfill'), 'the server comes back, and the job goes on');
cmp_ok($node->safe_psql('postgres', "SELECT coalesce(position::int, 999999) FROM leadscore.lead_job WHERE state = 'running'"),
	'>=', $position, '... where it was');
$node->within(30, half_way('refresh'), 'rows are refreshed');
$node->stop('immediate');
$node->start;
slowly(0);
$node->within(30, "SELECT count(*) = 0 FROM leadscore.lead_job WHERE state IN ('waiting', 'running')",
	'after a crash of the server it goes on to its end');
as_fresh($node, 'after two crashes');

################################################################################
# How fast, how far

slowly(500);
$node->safe_psql('postgres', "SELECT leadscore.rescore('m', online => true)");
$node->within(20, <<'SQL', 'it says how long it will take');
SELECT count(*) = 1 FROM leadscore.lead_job WHERE state = 'running' AND done > 500 AND remaining > '0.5 s'
SQL
my ($t, $n) = (time, $node->safe_psql('postgres', "SELECT done FROM leadscore.lead_job WHERE state = 'running'"));
sleep 1;
my $rate = ($node->safe_psql('postgres', "SELECT done FROM leadscore.lead_job WHERE state = 'running'") - $n) / (time - $t);
cmp_ok($rate, '<', 1000, sprintf('leadscore.job_rate holds it back (%.0f contacts a second)', $rate));
$node->safe_psql('postgres', "SELECT leadscore.cancel_job(job_id) FROM leadscore.lead_job WHERE state = 'running'");
is($node->safe_psql('postgres', "SELECT state, finished_at IS NOT NULL FROM leadscore.lead_job ORDER BY job_id DESC LIMIT 1"),
	'cancelled|t', 'it can be cancelled');
slowly(0);
as_fresh($node, 'after a job that was cancelled');

################################################################################
# A job that fails is tried again, and says why

$node->safe_psql('postgres', <<'SQL');
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''no room''; END';
CREATE TRIGGER refuse BEFORE INSERT OR UPDATE ON leadscore.score_m FOR EACH ROW EXECUTE FUNCTION refuse();
SQL
$node->safe_psql('postgres', <<'SQL');
SET client_min_messages = warning;
UPDATE leadscore.lead_rule SET condition = 'n > 3' WHERE model = 'm' AND name = 'form';
SQL
$node->within(20, <<'SQL', 'an error is shown');
SELECT count(*) = 1 FROM leadscore.lead_job
 WHERE state = 'running' AND attempts > 1 AND error = 'no room' AND retry_at IS NOT NULL
SQL
$node->safe_psql('postgres', 'DROP TRIGGER refuse ON leadscore.score_m');
$node->within(30, "SELECT count(*) = 0 FROM leadscore.lead_job WHERE state IN ('waiting', 'running')",
	'when it is mended the job goes on by itself');
as_fresh($node, 'after errors');

################################################################################
# Bad input

sub refused
{
	my ($sql, $error, $what) = @_;
	my ($code, $out, $err) = $node->psql('postgres', $sql);
	like($err, $error, $what);
}
refused('SELECT leadscore.cancel_job(4711)', qr/there is no job 4711.*HINT:  The view leadscore.lead_job lists all jobs/s,
	'a job that is not there');
refused('SELECT leadscore.cancel_job(NULL)', qr/job_id must not be NULL/, 'no job');
refused('SELECT leadscore.cancel_job(1)', qr/job 1 is done already/, 'one that is done');
refused("SELECT leadscore.run_job('n')", qr/model "n" does not exist.*Did you mean "m"/s, 'a model that is not there');
refused(<<'SQL',
BEGIN;
SET LOCAL leadscore.inline_limit = 0;
SELECT leadscore.rescore('m', online => true);
CREATE TABLE late (contact int, at timestamptz);
INSERT INTO late VALUES (1, now());
SELECT leadscore.attach('m', 'late', 'contact', 'at');
SELECT leadscore.cancel_job(max(job_id)) FROM leadscore.lead_job;
SQL
	qr/job \d+ of model "m" cannot be cancelled in phase "start".*HINT:  Call leadscore.detach\('m', 'late'\) to end it/s,
	'the rows of a source, though another job comes first');
refused("SELECT leadscore.run_job('m', 0)", qr/contacts must be at least 1/, 'no contacts');
refused(<<'SQL', qr/run_job\(\) cannot be used under a transaction snapshot/, 'under a snapshot');
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT leadscore.run_job('m');
SQL

done_testing();
