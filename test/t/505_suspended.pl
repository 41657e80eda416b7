# A model whose contact table has a new owner, whose privileges the former one does
# not have: who asks is told, and calls of its actions wait.
use strict;
use warnings;

use LeadscoreNode;
use Test::More;

my $node = LeadscoreNode->create('suspended', worker => 1, streaming => 0,
	conf => { 'leadscore.naptime' => '100ms' });
$node->safe_psql('postgres', <<'SQL');
SET client_min_messages = warning;
CREATE ROLE former;
CREATE ROLE chief;
CREATE EXTENSION leadscore;
GRANT ALL ON SCHEMA public TO former, chief;
SET ROLE former;
CREATE TABLE called (payload jsonb, role name DEFAULT current_user);
GRANT INSERT ON called TO chief;
CREATE FUNCTION call(jsonb) RETURNS void LANGUAGE sql AS 'INSERT INTO public.called VALUES ($1)';
CREATE TABLE person (id int PRIMARY KEY);
CREATE TABLE act (person int, at timestamptz NOT NULL, what text);
CREATE INDEX ON act (person, at);
GRANT SELECT ON act TO chief;
SELECT leadscore.create_model('m', 'person');
SELECT leadscore.attach('m', 'act', 'person', 'at', 'what');
INSERT INTO leadscore.lead_rule (model, name, event, points) VALUES
	('m', 'one', 'one', 10), ('m', 'two', 'two', 10), ('m', 'three', 'three', 10);
INSERT INTO leadscore.lead_stage (model, stage, position, enter_at) VALUES ('m', 'hot', 1, 10);
INSERT INTO leadscore.lead_action (model, name, occasion, stage, deliver, function, max_attempts)
VALUES ('m', 'call', 'stage_entered', 'hot', 'function', 'public.call', 1);
INSERT INTO person VALUES (1), (2);
RESET ROLE;
ALTER FUNCTION call(jsonb) OWNER TO chief;
BEGIN;
INSERT INTO act VALUES (1, now(), 'one');
ALTER TABLE person OWNER TO chief;
COMMIT;
SQL

sub said
{
	my ($sql) = @_;
	my ($out, $err) = ('', '');
	$node->psql('postgres', $sql, stdout => \$out, stderr => \$err);
	return $err =~ s/^psql:<stdin>:\d+: //mgr =~ s/^LOCATION.*\n?//mgr;
}

my $why = "DETAIL:  Nothing of it is run: its contact table has a new owner.
HINT:  Look at its rules, stages and actions, and accept them with UPDATE leadscore.lead_model SET enabled = true WHERE model = 'm'.";

is(said("SELECT * FROM leadscore.verify('m')"), "ERROR:  model \"m\" is suspended\n$why", 'verify() says so');
is(said("SELECT leadscore.replay('m', 1), leadscore.replay('m', 2)"), "WARNING:  model \"m\" is suspended\n$why",
	'who asks for scores is told once, not for every rule');

# the worker delivers others' while this one waits
$node->safe_psql('postgres', <<'SQL');
SET client_min_messages = warning;
CREATE FUNCTION call_own(jsonb) RETURNS void LANGUAGE sql AS 'INSERT INTO public.called VALUES ($1)';
CREATE TABLE own (id int PRIMARY KEY);
CREATE TABLE own_act (person int, at timestamptz NOT NULL, what text);
CREATE INDEX ON own_act (person, at);
SELECT leadscore.create_model('own', 'own');
SELECT leadscore.attach('own', 'own_act', 'person', 'at', 'what');
INSERT INTO leadscore.lead_rule (model, name, event, points) VALUES ('own', 'one', 'one', 10);
INSERT INTO leadscore.lead_stage (model, stage, position, enter_at) VALUES ('own', 'hot', 1, 10);
INSERT INTO leadscore.lead_action (model, name, occasion, stage, deliver, function)
VALUES ('own', 'call', 'stage_entered', 'hot', 'function', 'public.call_own');
INSERT INTO own VALUES (1);
INSERT INTO own_act VALUES (1, now(), 'one');
SQL
$node->within(60, "SELECT count(*) = 1 FROM leadscore.outbox_own WHERE status = 'done'", 'the worker calls', 'postgres');
is($node->safe_psql('postgres', 'SELECT status, attempts FROM leadscore.outbox_m'), 'ready|0',
	'... not for the suspended model, whose call has all its attempts');
$node->safe_psql('postgres', <<'SQL');
SET client_min_messages = error;
SET ROLE chief;
UPDATE leadscore.lead_model SET enabled = true;
SQL
$node->within(60, "SELECT count(*) = 1 FROM leadscore.outbox_m WHERE status = 'done' AND attempts = 1",
	'when it is accepted, it is called', 'postgres');
is($node->safe_psql('postgres', "SELECT role FROM called WHERE payload->>'model' = 'm'"), 'chief', '... as its new owner');
is(said("SELECT * FROM leadscore.verify('m')"), '', 'verify() compares again');

# What is the administrator's: the extension, and the clock
$node->safe_psql('postgres', 'CREATE DATABASE his OWNER former');
$node->safe_psql('his', 'CREATE EXTENSION leadscore');
my $superuser = $node->safe_psql('his', 'SELECT current_user');
for my $sql ('UPDATE', 'DROP SCHEMA leadscore')
{
	$node->psql('his', "SET ROLE former; ALTER EXTENSION leadscore $sql", stderr => \my $err);
	is($err =~ s/^psql:<stdin>:\d+: //mgr, "ERROR:  must be owner of extension leadscore
DETAIL:  It belongs to role \"$superuser\".
HINT:  Have a superuser run the command: the extension has functions in C, which only superusers may make.",
"ALTER EXTENSION leadscore $sql by the database's owner");
}
SKIP:
{
	skip 'rights to parameters came with 15', 2 if $node->safe_psql('his', 'SHOW server_version_num') < 150000;
	my $clock = <<'SQL';
SET ROLE former;
SET leadscore.clock = '2030-01-01 12:00+00';
SELECT extract(year FROM leadscore.clock());
SQL
	isnt($node->psql('his', $clock), 0, 'the clock is the superuser\'s');
	$node->safe_psql('his', 'GRANT SET ON PARAMETER leadscore.clock TO former');
	is($node->safe_psql('his', $clock), 2030, '... until he gives the right to somebody');
}
$node->stop;
done_testing();
