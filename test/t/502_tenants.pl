# Definitions among tenants who distrust each other: what each sees, what nobody can
# lock or guess, what goes into a view and what into a base table, and all of it in one
# transaction with the end of the extension.
use strict;
use warnings;

use LeadscoreNode;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = LeadscoreNode->create('tenants');
my $dir = PostgreSQL::Test::Utils::tempdir;
my @connection = ('-h', $node->host, '-p', $node->port);

# as runs SQL with a role's rights, and gives what it wrote and what it complained of.
sub as
{
	my ($role, $sql, $db) = @_;
	my ($code, $out, $err) = $node->psql($db // 'crm', "SET ROLE $role;\n$sql", extra_params => ['-q']);
	return ($out, $err // '');
}

$node->safe_psql('postgres', <<'SQL');
CREATE ROLE alice; CREATE ROLE bob; CREATE ROLE reader; CREATE ROLE nobody;
CREATE ROLE app LOGIN;
CREATE DATABASE crm OWNER app;
SQL
$node->safe_psql('crm', <<'SQL');
SET client_min_messages = warning;
CREATE EXTENSION leadscore;
GRANT CREATE ON SCHEMA public TO alice, bob, nobody;
CREATE FUNCTION make(tenant text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('SET ROLE %I', tenant);
	EXECUTE format('CREATE TABLE %s_guest (id int PRIMARY KEY, city text)', tenant);
	EXECUTE format('CREATE TABLE %s_stay (guest int, at timestamptz, what text, amount text)', tenant);
	EXECUTE format('CREATE INDEX ON %s_stay (guest, at)', tenant);
	PERFORM leadscore.create_model(tenant, format('%s_guest', tenant)::regclass);
	PERFORM leadscore.attach(tenant, format('%s_stay', tenant)::regclass, 'guest', 'at', 'what');
	INSERT INTO leadscore.lead_rule (model, name, event, points) VALUES (tenant, 'stay', 'stay', 10);
	INSERT INTO leadscore.lead_rule (model, name, condition, points) VALUES (tenant, 'much', 'amount::int > 100', 5);
	INSERT INTO leadscore.lead_stage (model, stage, position, enter_at) VALUES (tenant, 'hot', 1, 10);
	INSERT INTO leadscore.lead_action (model, name, occasion, stage, max_attempts) VALUES (tenant, 'tell', 'stage_entered', 'hot', 1);
	EXECUTE format('INSERT INTO %s_guest VALUES (1, %L), (2, %L)', tenant, 'Ulm', 'Bonn');
	EXECUTE format('INSERT INTO %s_stay VALUES (1, now(), %L, %L), (2, now(), %L, %L)', tenant, 'stay', '7', 'bar', 'DE89 ' || tenant);
	RESET ROLE;
END $$;
SELECT make('alice');
SELECT make('bob');
SELECT leadscore.outbox_failed('c', ARRAY(SELECT outbox_id FROM leadscore.outbox_take('c', model => tenant)), 'secret of '
	|| tenant)
  FROM unnest('{alice,bob}'::text[]) tenant;
GRANT SELECT ON leadscore.score_alice TO reader;
SQL

################################################################################
# What each sees, whatever he has evaluated on the way (0c)

$node->safe_psql('crm', <<'SQL');
SET ROLE nobody;
CREATE FUNCTION public.told(text) RETURNS bool LANGUAGE plpgsql COST 0.0000001 AS $$BEGIN RAISE NOTICE 'told %', $1; RETURN true; END$$;
SQL
my $views = $node->safe_psql('crm', <<'SQL');
SELECT c.relname FROM pg_class c WHERE relnamespace = 'leadscore'::regnamespace AND relkind = 'v'
	AND EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'model') ORDER BY 1
SQL
cmp_ok(scalar(split /\n/, $views), '>=', 18, 'there are views to look at');
foreach my $view (split /\n/, $views)
{
	my ($out, $err) = as('nobody', "SELECT count(*) FROM leadscore.$view v WHERE public.told(v::text)");
	unlike($err, qr/told .*(alice|bob)/, "$view tells nobody anything");
	($out, $err) = as('bob', "SELECT count(*) FROM leadscore.$view v WHERE public.told(v::text) AND v.model <> 'bob'");
	unlike($err, qr/told \(?.*alice/, "... nor another tenant");
}
is((as('bob', 'SELECT last_error FROM leadscore.dead_letters'))[0], 'secret of bob', 'what is his own is there');
is((as('reader', 'SELECT model, name, points FROM leadscore.lead_rule ORDER BY rule_id'))[0],
	"alice|stay|10\nalice|much|5", 'a reader of scores sees the rules');
is((as('reader', 'SELECT stage FROM leadscore.lead_stage ORDER BY position'))[0], "unqualified\nhot", '... and the stages');
like((as('reader', 'UPDATE leadscore.lead_rule SET points = 1'))[1], qr/ERROR:  permission denied for model "alice"/,
	'... and changes nothing');
is((as('reader', 'SELECT count(*) FROM leadscore.lead_job'))[0], 0, '... nor sees jobs');

################################################################################
# Who writes what

foreach my $sql ("INSERT INTO leadscore.lead_rule (model, name, event, points) VALUES ('alice', 'his', 'stay', 1)",
	"INSERT INTO leadscore.lead_stage (model, stage, position, enter_at) VALUES ('alice', 'his', 5, 1)",
	"INSERT INTO leadscore.lead_action (model, name, occasion) VALUES ('alice', 'his', 'stage_left')",
	"INSERT INTO leadscore.lead_grade VALUES ('alice', 'fit', 'A', 1)")
{
	like((as('bob', $sql))[1], qr/ERROR:  permission denied for model "alice"/, "refused: $sql");
}
is((as('bob', "DELETE FROM leadscore.lead_rule WHERE model = 'alice' RETURNING name"))[0], '', 'what is not seen is not deleted');
like((as($_, 'INSERT INTO leadscore_internal.lead_rule (model, name, category, points) VALUES (\'bob\', \'b\', \'fit\', 1)'))[1],
	qr/ERROR:  permission denied for schema leadscore_internal/, "$_ has no way into the base tables") for qw(alice bob nobody);
like((as('app', "INSERT INTO leadscore_internal.lead_rule (model, name, category, points) VALUES ('bob', 'b', 'fit', 1)"))[1],
	qr/ERROR:  permission denied to restore model "bob"\nDETAIL:  Only members of role "bob", which owns its contact table, may do this./,
	'the owner of the database restores rules of those only whose rights he has');
like((as('app', <<'SQL'))[1],
INSERT INTO leadscore_internal.lead_model (model, accepted_owner, contacts, key, rules_version, dump_number)
VALUES ('mine', 0, 'bob_guest', 'id', 1, 1)
SQL
	qr/ERROR:  permission denied to restore model "mine"/, '... and no model over another\'s table');
like((as('app', $_))[1], qr/ERROR:  permission denied for table/, "refused: $_")
  for ('UPDATE leadscore_internal.lead_rule SET points = 1', 'DELETE FROM leadscore_internal.lead_rule',
  	'TRUNCATE leadscore_internal.lead_rule', 'BEGIN; LOCK TABLE leadscore_internal.lead_rule IN SHARE MODE');

################################################################################
# Locks (0d)

my $held = $node->background_psql('crm', on_error_stop => 0);
$held->query_safe($_) for ('SET ROLE nobody', 'BEGIN', 'DELETE FROM leadscore.lead_rule WHERE false');
foreach my $table (split /\n/, $views)
{
	my ($out, $err) = as('nobody', <<"SQL");
BEGIN;
LOCK TABLE leadscore.$table IN ACCESS EXCLUSIVE MODE;
COMMIT;
SQL
	like($err, qr/ERROR:  permission denied/, "nobody locks $table");
}
is((as('bob', <<'SQL'))[0], 11, 'who changes nothing stops no one');
SET lock_timeout = '20s';
UPDATE leadscore.lead_rule SET points = 11 WHERE name = 'stay' RETURNING points;
SQL
$held->query_safe('COMMIT');
$held->query_safe($_) for ('SET ROLE alice', 'BEGIN', "UPDATE leadscore.lead_rule SET points = 12 WHERE name = 'stay'");
my ($out, $err) = as('bob', <<'SQL');
SET lock_timeout = '20s';
SET client_min_messages = warning;
UPDATE leadscore.lead_rule SET points = 13 WHERE name = 'stay' RETURNING points;
ALTER TABLE bob_stay ADD COLUMN note text;
INSERT INTO bob_stay VALUES (1, now(), 'stay', '1');
CREATE TABLE bob_other (id int PRIMARY KEY);
SELECT leadscore.create_model('bob_other', 'bob_other');
SELECT leadscore.detach('bob', 'bob_stay');
SELECT leadscore.drop_model('bob_other');
SQL
like("$out$err", qr/\A13\nleadscore.score_bob_other\s*\z/, 'one tenant\'s open transaction stops none of another\'s changes');
($out, $err) = as('alice', <<'SQL');
INSERT INTO alice_stay VALUES (2, now(), 'stay', '1');
SELECT leadscore.score('alice', 2);
SQL
is("$out$err", 10, '... nor any writer');
$held->query_safe('COMMIT');
$held->quit;

################################################################################
# Into a view goes an ordinary change, from a superuser too; into a base table a restore

my $cached = $node->background_psql('crm');
$cached->query_safe("SELECT leadscore.score('alice', 1)");
like(($node->psql('crm', <<'SQL'))[2],
COPY leadscore.lead_rule (model, name, event, points, at_least) FROM stdin;
alice	wrong	stay	1	0
\.
SQL
	qr/ERROR:  at_least of rule "wrong" of model "alice" must be at least 1/, "a superuser's COPY into a view is looked at");
$node->safe_psql('crm', <<'SQL');
SET check_function_bodies = off;
COPY leadscore.lead_rule (model, name, event, points) FROM stdin;
alice	copied	stay	100
\.
COPY leadscore.lead_stage (model, stage, position, enter_at) FROM stdin;
alice	copied	2	110
\.
SQL
is($node->safe_psql('crm', "SELECT score, stage FROM leadscore.score_alice WHERE contact_id = 1"), '112|copied',
	'... and counts, in a session that looks like a restore');
is($cached->query_safe("SELECT leadscore.score('alice', 1)"), '112', '... for those who had the rules already');
is($node->safe_psql('crm', "SELECT operation, versions <> '{}' FROM leadscore.lead_rule_history WHERE name = 'copied'"),
	'INSERT|t', '... with its history');
$cached->quit;
is($node->safe_psql('crm', "SELECT count(*) FROM leadscore.verify('alice')"), 0, '... and all is right');

$node->safe_psql('crm', <<'SQL');
BEGIN;
INSERT INTO leadscore_internal.lead_rule SELECT * FROM leadscore_internal.lead_rule LIMIT 0;
COMMIT;
SQL
my $id = $node->safe_psql('crm', "SELECT max(rule_id) + 1000 FROM leadscore_internal.lead_rule");
$node->safe_psql('crm', <<"SQL");
INSERT INTO leadscore_internal.lead_rule (rule_id, model, name, category, points, decay, backfilled_version)
VALUES ($id, 'to_come', 'waits', 'fit', 1, 'none', 1)
SQL
is($node->safe_psql('crm', <<'SQL'), $id + 1, 'a restored number is not given again');
INSERT INTO leadscore.lead_rule (model, name, event, points) VALUES ('alice', 'next', 'stay', 1) RETURNING rule_id
SQL
is((as('alice', "SELECT count(*) FROM leadscore.lead_rule WHERE model = 'to_come'"))[0], 0,
	'a row that came before its model is nobody\'s');
$node->safe_psql('crm', <<'SQL');
SET client_min_messages = warning;
SET ROLE alice;
SELECT leadscore.create_model('to_come', 'alice_guest');
SQL
is($node->safe_psql('crm', "SELECT count(*) FROM leadscore_internal.lead_rule WHERE model = 'to_come'"), 0,
	'... and goes when somebody makes one of that name');

# DDL is followed under any setting
($out, $err) = as('alice', <<'SQL');
SET check_function_bodies = off;
ALTER TABLE alice_stay DROP COLUMN amount;
SQL
like($err, qr/WARNING:  rule "much" of model "alice" is now disabled/,
	'a rule sleeps whose column went, with check_function_bodies off');
is($node->safe_psql('crm', "SELECT backfilled_version FROM leadscore.lead_rule WHERE model = 'alice' AND name = 'much'"),
	0, '... which its row says');
like((as('alice', <<'SQL'))[1], qr/ERROR/, '... and the key stays');
SET check_function_bodies = off;
ALTER TABLE alice_guest DROP COLUMN id CASCADE;
SQL

################################################################################
# One transaction

$node->safe_psql('crm', 'CREATE ROLE other_superuser SUPERUSER; GRANT alice, bob TO app');
command_ok([ 'pg_dump', @connection, '--clean', '--if-exists', '-f', "$dir/clean.sql", 'crm' ], 'pg_dump --clean');
command_ok([ 'pg_dump', @connection, '-Fc', '-f', "$dir/dump", 'crm' ], 'pg_dump -Fc');
my $scores = sub { $node->safe_psql($_[0], <<'SQL') };
SELECT contact_id, score, stage FROM leadscore.score_alice ORDER BY 1;
SELECT model, name, points FROM leadscore.lead_rule ORDER BY 1, 2;
SQL
my $before = $scores->('crm');
command_ok([ 'psql', '-X', '-q', '-1', '-v', 'ON_ERROR_STOP=1', @connection, '-d', 'crm', '-o', "$dir/out", '-f',
	"$dir/clean.sql" ], 'psql -1 of a dump with --clean');
is($scores->('crm'), $before, '... all is as it was');
command_ok([ 'pg_restore', '-1', '--clean', '--if-exists', @connection, '-d', 'crm', "$dir/dump" ],
	'pg_restore -1 --clean --if-exists');
is($scores->('crm'), $before, '... all is as it was');
$node->safe_psql('crm', <<'SQL');
INSERT INTO alice_stay (guest, at, what) VALUES (2, now(), 'stay');
SELECT leadscore.refresh();
SQL
is($node->safe_psql('crm', "SELECT count(*) FROM leadscore.verify('alice')"), 0, '... and goes on');
$node->safe_psql('crm', <<'SQL');
SET client_min_messages = warning;
BEGIN;
INSERT INTO leadscore.lead_stage (model, stage, position, enter_at) VALUES ('alice', 'late', 9, 1000);
UPDATE leadscore.lead_rule SET points = points + 1;
DROP TABLE alice_guest CASCADE;
DROP EXTENSION leadscore CASCADE;
COMMIT;
SQL
is($node->safe_psql('crm', "SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'leadscore%'"), 0,
	'rules changed, tables and extension dropped in one transaction');

done_testing();
