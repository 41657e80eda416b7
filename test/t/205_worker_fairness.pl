# What one model asks of the worker does not keep another from what it is due: slow
# actions, slow conditions, long days.  All of it is tested by order and progress, none of it by
# the time that something takes.
use strict;
use warnings;

use LeadscoreNode;
use Test::More;

my $node = LeadscoreNode->create('tenants', worker => 1,
	conf => { max_worker_processes => 16, 'leadscore.action_timeout' => '3s', 'leadscore.batch_size' => 5000 });
$node->safe_psql('postgres', 'CREATE DATABASE crm; CREATE ROLE a LOGIN; CREATE ROLE b LOGIN');
$node->safe_psql('crm', <<'SQL');
CREATE EXTENSION leadscore;
CREATE SCHEMA a AUTHORIZATION a;
CREATE SCHEMA b AUTHORIZATION b;
CREATE EXTENSION IF NOT EXISTS plpgsql;
SQL

# as runs SQL as a role in the database; what it gives, or the error.
sub as
{
	my ($role, $sql) = @_;
	my ($code, $out, $err) = $node->psql('crm', $sql, extra_params => [ '-U', $role ]);
	return $code == 0 ? $out : "failed: $err";
}

# Each tenant has contacts whose hundred points halve each three seconds: a second after
# their event they have left a stage.
for my $t (qw(a b))
{
	is(as($t, <<"SQL"), '', "a model of $t");
SET client_min_messages = warning;
SET search_path = $t;
CREATE TABLE contact (id int PRIMARY KEY);
CREATE TABLE event (contact int, at timestamptz DEFAULT now(), what text);
CREATE INDEX ON event (contact, at);
DO \$\$
BEGIN
	PERFORM leadscore.create_model('$t', '$t.contact');
	PERFORM leadscore.attach('$t', '$t.event', 'contact', 'at', 'what');
END \$\$;
INSERT INTO leadscore.lead_rule (model, name, points, decay, decay_interval) VALUES ('$t', 'visit', 100, 'half_life', '3 seconds');
INSERT INTO leadscore.lead_stage (model, stage, position, enter_at, leave_below) VALUES ('$t', 'hot', 2, 80, 80);
SQL
}

my $round = 0;

# Somebody of b is due now: within tests that it is done while a question is still answered with t.
sub b_is_served
{
	my ($what, $still) = @_;

	$round++;
	is(as('b', <<"SQL"), '', "$what: an event of b");
INSERT INTO b.contact VALUES ($round);
INSERT INTO b.event (contact) VALUES ($round);
SQL
	$node->within(120, <<"SQL", '... whose contact leaves its stage', 'crm');
SELECT count(*) = 1 FROM leadscore.lead_stage_history WHERE model = 'b' AND contact = '$round' AND cause = 'time'
SQL
	is($node->safe_psql('crm', $still), 't', '... while a is still at it');
}

################################################################################
# Actions that take for ever

is(as('a', <<'SQL'), '', 'an action that sleeps for ten years');
CREATE FUNCTION a.sleepy(what jsonb) RETURNS void LANGUAGE sql AS 'SELECT pg_catalog.pg_sleep(100000)';
INSERT INTO leadscore.lead_action (model, name, occasion, stage, deliver, function, timeout, max_attempts)
VALUES ('a', 'sleepy', 'stage_entered', 'hot', 'function', 'a.sleepy', '10 years', 2);
INSERT INTO a.contact SELECT generate_series(1, 20);
INSERT INTO a.event SELECT generate_series(1, 20);
SQL
$node->within(60, <<'SQL', 'it sleeps');
SELECT count(*) > 0 FROM pg_stat_activity WHERE backend_type LIKE 'leadscore %worker' AND wait_event = 'PgSleep'
SQL
$node->within(60, "SELECT lag > '0' FROM leadscore.activity WHERE database = 'crm'", '... and the lag is shown', 'crm');
b_is_served('actions', "SELECT count(*) > 0 FROM leadscore.lead_outbox WHERE model = 'a' AND status = 'ready'");
$node->within(120, <<'SQL', 'a call is cancelled at the limit that the administrator has set', 'crm');
SELECT count(*) > 0 FROM leadscore.lead_outbox WHERE model = 'a' AND last_error ~ 'statement timeout'
SQL
like(as('a', "SET leadscore.action_timeout = '1h'"), qr/permission denied to set parameter/, '... which a cannot change');
is(as('a', "DELETE FROM leadscore.lead_action WHERE model = 'a'"), '', 'no more of it');

################################################################################
# A condition that takes its time for each contact

is(as('a', <<'SQL'), '', 'a condition that takes 0.1 s');
CREATE FUNCTION a.slow(score float8) RETURNS boolean IMMUTABLE LANGUAGE plpgsql AS $$
BEGIN
	IF current_setting('application_name') <> 'writer' THEN
		PERFORM pg_catalog.pg_sleep(0.1);
	END IF;
	RETURN true;
END $$;
SET application_name = 'writer';
INSERT INTO leadscore.lead_stage (model, stage, position, enter_at, leave_below, condition)
VALUES ('a', 'warm', 1, 10, 10, 'a.slow(score)');
INSERT INTO a.contact SELECT generate_series(1001, 3000);
INSERT INTO a.event SELECT generate_series(1001, 3000);
SQL
my $left = <<'SQL';
SELECT count(*) < 2000 FROM leadscore.lead_stage_history WHERE model = 'a' AND contact::int > 1000 AND cause = 'time'
SQL
$node->within(120, <<'SQL', 'the worker is at it', 'crm');
SELECT count(*) > 0 FROM leadscore.lead_stage_history WHERE model = 'a' AND contact::int > 1000 AND cause = 'time'
SQL
b_is_served('two thousand slow contacts', $left);
b_is_served('... again', $left);
$node->within(60, "SELECT lag > '0' FROM leadscore.activity WHERE database = 'crm'", 'the lag of a is shown', 'crm');
is($node->safe_psql('crm', "SELECT count(*) FROM leadscore.lead_worker_error"), 0, 'nothing has failed');
as('a', <<'SQL');
SET application_name = 'writer';
DELETE FROM a.event WHERE contact > 1000;
DELETE FROM a.contact WHERE id > 1000;
SQL

################################################################################
# What takes long at once, and cannot be divided

is(as('a', <<'SQL'), '', 'a rule of which each contact takes 6 s');
SET application_name = 'writer';
CREATE FUNCTION a.long(what text) RETURNS boolean IMMUTABLE LANGUAGE plpgsql AS $$
BEGIN
	IF what = 'long' AND current_setting('application_name') <> 'writer' THEN
		PERFORM pg_catalog.pg_sleep(6);
	END IF;
	RETURN what IS NOT NULL;
END $$;
DELETE FROM leadscore.lead_stage WHERE model = 'a' AND stage = 'warm';
INSERT INTO leadscore.lead_rule (model, name, condition, points) VALUES ('a', 'long', 'a.long(what)', 1);
BEGIN ISOLATION LEVEL REPEATABLE READ;
INSERT INTO a.event (contact, what) SELECT g, 'long' FROM generate_series(1, 2) g;
UPDATE a.event SET at = at - interval '1 second' WHERE what = 'long';
COMMIT;
SQL
$node->within(120, "SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'leadscore model worker'",
	'it is left to a process of its own');
$left = "SELECT changes > 0 FROM leadscore.pending('a')";
b_is_served('long contacts', $left);
$node->within(300, "SELECT changes = 0 FROM leadscore.pending('a')", 'in the end they are done', 'crm');
is($node->safe_psql('crm', "SELECT count(*) FROM leadscore.lead_worker_error"), 0, '... and nothing has failed');

################################################################################
# What never ends

is(as('a', <<'SQL'), '', 'a rule that never ends, and does not let itself be cancelled');
SET application_name = 'writer';
CREATE OR REPLACE FUNCTION a.long(what text) RETURNS boolean IMMUTABLE LANGUAGE plpgsql AS $$
BEGIN
	WHILE what = 'long' AND current_setting('application_name') <> 'writer' LOOP
		BEGIN PERFORM pg_catalog.pg_sleep(1); EXCEPTION WHEN query_canceled THEN NULL; END;
	END LOOP;
	RETURN what IS NOT NULL;
END$$;
BEGIN ISOLATION LEVEL REPEATABLE READ;
UPDATE a.event SET at = at - interval '1 second' WHERE what = 'long';
COMMIT;
SQL
$node->within(180, <<'SQL', 'the model is written down and left alone', 'crm');
SELECT message ~ 'had to end' AND retry_at > last_failed_at FROM leadscore.lead_worker_error
 WHERE model = 'a' AND contact IS NULL
SQL
b_is_served('endless', $left);
$node->within(180, "SELECT failures >= 2 FROM leadscore.lead_worker_error WHERE model = 'a' AND contact IS NULL",
	'it is tried again', 'crm');
b_is_served('endless still', $left);

# The owner is not in the way of who drops the database either.
$node->timed(60, 'DROP DATABASE crm WITH (FORCE)', 'DROP DATABASE');
$node->stop;
done_testing();
