# The tables of a model belong to the owner of its contact table, who may put on
# them whatever the owner of a table may: triggers, constraints, indexes, rules,
# policies.  It runs as the owner, whoever writes, a superuser or the worker
# included.  The owner changes, and goes.
use strict;
use warnings;

use LeadscoreNode;
use Test::More;

my $node = LeadscoreNode->create('owner');

my $db = 'crm';

# what a session writes and says, after a line for whose session it is
sub run
{
	my ($sql, $role) = @_;
	my ($out, $err) = ('', '');
	$node->psql($db, ($role ? "SET ROLE $role;\n" : '') . $sql, stdout => \$out, stderr => \$err, on_error_stop => 0);
	return ($out, $err);
}

sub is_run
{
	my ($sql, $role, $wanted, $name) = @_;
	my ($out, $err) = run($sql, $role);
	is("$out$err", $wanted, $name);
}

$node->safe_psql('postgres', <<'SQL');
CREATE ROLE owner; CREATE ROLE other; CREATE ROLE writer; CREATE ROLE reader; CREATE ROLE chief IN ROLE owner;
CREATE DATABASE crm;
ALTER DATABASE crm SET leadscore.clock = '2026-03-01 00:00+00';
SQL
$node->safe_psql($db, <<'SQL');
CREATE EXTENSION leadscore;
CREATE SCHEMA app AUTHORIZATION owner;
GRANT ALL ON SCHEMA app TO other, writer;
SET ROLE owner;
CREATE TABLE app.person (id int PRIMARY KEY, plan text);
CREATE TABLE app.act (person int, visitor text, at timestamptz, what text);
CREATE INDEX ON app.act (person, at); CREATE INDEX ON app.act (visitor, at);
GRANT INSERT, UPDATE, DELETE, SELECT ON app.act, app.person TO writer;
SELECT leadscore.create_model('m', 'app.person');
SELECT leadscore.attach('m', 'app.act', 'person', 'at', 'what', visitor => 'visitor', on_delete => 'keep');
INSERT INTO leadscore.lead_rule (model, name, event, points, decay, decay_interval) VALUES
	('m', 'buy', 'buy', 10, 'half_life', '1 day'), ('m', 'see', 'see', 1, 'none', NULL);
INSERT INTO leadscore.lead_rule (model, name, kind, condition, points) VALUES ('m', 'pro', 'profile', $$plan = 'pro'$$, 5);
INSERT INTO leadscore.lead_stage (model, stage, position, enter_at) VALUES ('m', 'hot', 1, 15);
UPDATE leadscore.lead_model SET daily = true;
SQL
is_run(<<'SQL', undef, 't', 'there are tables of the model');
SELECT count(*) > 20 FROM pg_class WHERE relnamespace = 'leadscore'::regnamespace AND relname ~ '_m(_|$)'
SQL
is_run(<<'SQL', undef, '',
SELECT relname FROM pg_class
 WHERE relnamespace = 'leadscore'::regnamespace AND relname ~ '_m(_|$)' AND relname NOT LIKE 'history_%'
	AND relowner <> 'owner'::regrole
SQL
	'all of them belong to the owner of the contact table, who may not create in the schema');

################################################################################
# What an owner can put on them

$node->safe_psql('postgres', <<'SQL');
CREATE DATABASE plain TEMPLATE crm;
ALTER DATABASE plain SET leadscore.clock = '2026-03-01 00:00+00';
SQL
# as the database's owner may: an index needs it
$node->safe_psql($db, 'GRANT CREATE ON SCHEMA leadscore TO owner');
$node->safe_psql($db, <<'SQL');
SET ROLE owner;
CREATE TABLE app.seen (who name, path text, relation name);
CREATE FUNCTION app.see() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO app.seen VALUES (current_user, current_setting('search_path'), TG_RELNAME);
	BEGIN
		SET ROLE postgres;
		INSERT INTO app.seen VALUES ('became postgres', '', TG_RELNAME);
	EXCEPTION WHEN others THEN
		NULL;
	END;
	RETURN NULL;
END $$;
CREATE FUNCTION app.only_owner(anyelement) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
	IF current_user <> 'owner' OR current_setting('search_path') NOT LIKE 'pg_catalog, pg_temp%' THEN
		RAISE EXCEPTION 'run as % with %', current_user, current_setting('search_path');
	END IF;
	RETURN true;
END $$;
SELECT format('CREATE TRIGGER see AFTER INSERT OR UPDATE OR DELETE ON leadscore.%I FOR EACH ROW EXECUTE FUNCTION app.see()', relname),
	format('CREATE TRIGGER see_statement AFTER INSERT OR UPDATE OR DELETE ON leadscore.%I FOR EACH STATEMENT EXECUTE FUNCTION app.see()',
		relname)
  FROM pg_class WHERE relnamespace = 'leadscore'::regnamespace AND relname ~ '_m(_|$)' AND relkind IN ('r', 'p') ORDER BY relname
\gexec
-- the search path of this session is not the one under which they are run otherwise
SET search_path = pg_catalog, pg_temp;
SELECT format('ALTER TABLE leadscore.%I ADD CHECK (app.only_owner(1))', relname)
  FROM pg_class WHERE relnamespace = 'leadscore'::regnamespace AND relname ~ '_m(_|$)' AND relkind IN ('r', 'p') ORDER BY relname
\gexec
SELECT format('CREATE INDEX ON leadscore.%I (app.only_owner(1), (1)) WHERE app.only_owner(2)', relname)
  FROM pg_class WHERE relnamespace = 'leadscore'::regnamespace AND relname ~ '_m(_|$)' AND relkind IN ('r', 'p') ORDER BY relname
\gexec
SELECT format('ALTER TABLE leadscore.%I ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', relname),
	format('CREATE POLICY p ON leadscore.%I USING (app.only_owner(3))', relname)
  FROM pg_class WHERE relnamespace = 'leadscore'::regnamespace AND relname ~ '_m(_|$)' AND relkind IN ('r', 'p') ORDER BY relname
\gexec
SQL
my $events = <<'SQL';
INSERT INTO app.act VALUES
	(1, NULL, '2026-02-28 12:00+00', 'buy'), (1, NULL, '2026-02-28 13:00+00', 'buy'), (2, NULL, '2026-02-28', 'see'),
	(NULL, 'v1', '2026-02-27', 'see')
SQL
my $all = <<"SQL";
INSERT INTO app.person VALUES (1, 'pro'), (2, 'free');
$events;
BEGIN ISOLATION LEVEL REPEATABLE READ;
$events;
COMMIT;
UPDATE app.act SET what = 'buy' WHERE person = 2 AND what = 'see';
UPDATE app.person SET plan = 'pro' WHERE id = 2;
DELETE FROM app.act WHERE at < '2026-02-28';
INSERT INTO app.act VALUES (3, NULL, '2026-02-28', 'see'), (4, NULL, '2026-02-28', 'see');
TRUNCATE app.act;
$events;
SQL
# TRUNCATE is the owner's right
is_run($all =~ s/TRUNCATE app.act;\n//r, 'writer', '', 'a writer');
is_run($all =~ s/INSERT INTO app.person.*\n//r, undef, '', 'a superuser');
is_run(<<'SQL', undef, "right", 'what else a superuser calls');
SET client_min_messages = error;
DO $$ BEGIN
	PERFORM leadscore.refresh('m');
	PERFORM leadscore.identify('m', 'v1', 1);
	PERFORM leadscore.merge_contacts('m', 2, 1);
	PERFORM leadscore.unmerge('m', 1);
	PERFORM leadscore.set_stage('m', 2, 'hot', 'by hand');
	PERFORM leadscore.rescore('m');
	PERFORM leadscore.explain('m', 1);
	PERFORM leadscore.score('m', 1, '2026-02-28');
END $$;
SET leadscore.clock = '2026-03-04 00:00+00';
DO $$ BEGIN IF leadscore.write_days('m') <> 3 THEN RAISE 'days'; END IF; END $$;
DO $$ BEGIN PERFORM leadscore.refresh('m'); END $$;
SELECT coalesce(string_agg(DISTINCT status, ','), 'right') FROM leadscore.verify('m');
SQL
is_run("SELECT DISTINCT who, path FROM app.seen", undef, 'owner|pg_catalog, pg_temp',
	'triggers run as the owner, under a search path of no consequence');
is_run("SELECT count(DISTINCT relation) > 5 FROM app.seen", undef, 't', '... on most of the tables');
# the worker
$node->append_settings('leadscore.enabled' => 'on');
$node->safe_psql($db, <<'SQL');
TRUNCATE app.seen;
ALTER DATABASE crm SET leadscore.clock = '2026-03-20 00:00+00';
SQL
$node->restart;
$node->within(20, "SELECT count(*) > 0 FROM app.seen", 'the worker writes what time has changed', $db);
$node->within(20, "SELECT written_to > '2026-03-18' FROM leadscore_internal.lead_day WHERE model = 'm'",
	'... and days, in partitions', $db);
is_run("SELECT DISTINCT who, path FROM app.seen", undef, 'owner|pg_catalog, pg_temp', '... as the owner');
is_run("SELECT * FROM leadscore.lead_worker_error", undef, '', '... without an error');
$node->append_settings('leadscore.enabled' => 'off');
$node->restart;

################################################################################
# Rights

is_run(<<'SQL', 'owner', '', 'the owner lets somebody read');
GRANT SELECT ON leadscore.daily_m, leadscore.score_m TO reader;
UPDATE leadscore.lead_model SET daily = true;
SQL
$node->safe_psql($db, "GRANT USAGE ON SCHEMA leadscore TO reader");
is_run(<<'SQL', 'owner', '', '... all in the schema');
SET client_min_messages = error;
GRANT SELECT ON ALL TABLES IN SCHEMA leadscore TO reader;
SQL
is_run(<<'SQL', undef, 't', 'a month later');
SET leadscore.clock = '2026-04-03 00:00+00';
SELECT leadscore.write_days('m') > 0;
SQL
is_run(<<'SQL', undef, '0', 'a new partition has the grants of its parent');
SELECT count(*) FROM pg_class
 WHERE relnamespace = 'leadscore'::regnamespace AND relname LIKE 'daily_m_2%' AND relkind = 'r'
	AND NOT has_table_privilege('reader', oid, 'SELECT')
SQL

################################################################################
# What an owner can spoil: nobody crashes, and is told what is not as it should be

$db = 'plain';
run(<<"SQL");
INSERT INTO app.person VALUES (1, 'pro'), (2, 'free'), (3, 'pro');
$events;
DELETE FROM app.act WHERE at < '2026-02-28';
SELECT leadscore.merge_contacts('m', 1, 3);
SELECT leadscore.identify('m', 'v1', 2);
SQL
for my $damage (
	[ 'due_m', 'ALTER TABLE leadscore.due_m ADD COLUMN x int' ],
	[ 'due_m', 'ALTER TABLE leadscore.due_m ALTER COLUMN drift TYPE text' ],
	[ 'pending_m', <<'SQL' ],
SET TRANSACTION ISOLATION LEVEL REPEATABLE READ;
ALTER TABLE leadscore.pending_m ALTER COLUMN noted_at TYPE text;
SQL
	[ 'purged_m', <<'SQL' ],
ALTER TABLE leadscore.purged_m ALTER COLUMN until TYPE text;
DELETE FROM app.act WHERE person = 1;
SQL
	[ 'profile_m', <<'SQL' ],
ALTER TABLE leadscore.profile_m ALTER COLUMN weights TYPE text;
UPDATE app.person SET plan = 'none' WHERE id = 1;
UPDATE app.person SET plan = 'pro' WHERE id = 2;
SQL
	[ 'merged_m', <<'SQL' ],
ALTER TABLE leadscore.merged_m ALTER COLUMN target_id TYPE text;
INSERT INTO app.act VALUES (3, NULL, now(), 1);
SQL
	[ 'due_m', <<'SQL' ],
ALTER TABLE leadscore.due_m DROP CONSTRAINT due_m_pkey;
ALTER TABLE leadscore.due_m ADD PRIMARY KEY (contact_id);
SQL
	[ 'score_m', <<'SQL', 'WARNING' ],
ALTER TABLE leadscore.score_m DROP CONSTRAINT score_m_pkey CASCADE;
ALTER TABLE leadscore.score_m ADD PRIMARY KEY (stage, contact_id);
SQL
	[ 'score_m', 'ALTER TABLE leadscore.score_m ADD COLUMN x int' ],
	[ 'pending_m', 'DROP TABLE leadscore.pending_m CASCADE' ],
	[ 'pending_m', <<'SQL' ])
SET TRANSACTION ISOLATION LEVEL REPEATABLE READ;
DROP VIEW leadscore.live_m;
DROP TRIGGER leadscore_guard ON leadscore.pending_m;
TRUNCATE leadscore.pending_m;
CREATE RULE "_RETURN" AS ON SELECT TO leadscore.pending_m DO INSTEAD
SELECT 1 AS contact_id, 2::int8 AS rules_version, now() AS noted_at, true AS profile, NULL::bytea AS delta;
SQL
{
	my ($table, $sql, $level) = (@$damage, 'ERROR');
	# where only a warning is given the transaction would be committed
	my $end = $level eq 'ERROR' ? 'COMMIT' : 'ROLLBACK';
	my (undef, $err) = run(<<"SQL");
BEGIN;
SET LOCAL client_min_messages = $level;
$sql;
INSERT INTO app.act VALUES (1, NULL, '2026-02-27', 'buy'), (77, NULL, '2026-02-26', 'buy');
DELETE FROM app.act WHERE person = 1;
SELECT leadscore.refresh('m');
$end
SQL
	like($err, qr/^psql:<stdin>:\d+: $level: .*\b(?:$table|model "m")/, "damage of $table: " . $sql =~ s/;\n.*//sr);
	run('ROLLBACK');
}
is_run('SELECT 1', undef, '1', 'the server is there');

################################################################################
# Another owner

$node->safe_psql($db, "GRANT ALL ON SCHEMA app TO chief; ALTER ROLE other NOLOGIN");
my $points = "SELECT contact_id, score FROM leadscore.live_m WHERE contact_id = 2";
my ($before) = run($points);
is_run('SET client_min_messages = error; ALTER TABLE leadscore.due_m OWNER TO other', undef,
	"psql:<stdin>:1: ERROR:  cannot change owner of table \"due_m\"
DETAIL:  The tables of model \"m\" belong to the owner of its contact table.
HINT:  Change the owner of table \"person\" instead.", 'a table of a model keeps its owner');
# what the former owner has put on them would run as the new one, unseen
$node->safe_psql($db, <<'SQL');
SET ROLE owner;
CREATE FUNCTION app.run() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE FUNCTION app.odd(anyelement) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT true';
SQL
for my $put (
	[ 'CREATE TRIGGER e BEFORE INSERT ON leadscore.score_m FOR EACH ROW EXECUTE FUNCTION app.run()',
		'DROP TRIGGER e ON leadscore.score_m',
		qr/"score_m".*trigger "e" of role "owner", which would run with the rights of role "postgres"/s ],
	[ 'CREATE RULE e AS ON INSERT TO leadscore.due_m DO ALSO SELECT 1', 'DROP RULE e ON leadscore.due_m', qr/"due_m".*rule/s ],
	[ <<'SQL', <<'SQL', qr/"outbox_m".*policy/s ],
CREATE POLICY e ON leadscore.outbox_m USING (true);
ALTER TABLE leadscore.outbox_m ENABLE ROW LEVEL SECURITY;
SQL
ALTER TABLE leadscore.outbox_m DISABLE ROW LEVEL SECURITY;
DROP POLICY e ON leadscore.outbox_m;
SQL
	[ <<'SQL', 'ALTER TABLE leadscore.purged_m DROP CONSTRAINT e', qr/"purged_m".*constraint "e"/s ],
ALTER TABLE leadscore.purged_m ADD CONSTRAINT e CHECK (pg_catalog.query_to_xml('SELECT 1', true, true,
	'') IS NOT NULL) NOT VALID
SQL
	[ "ALTER TABLE leadscore.history_m ALTER reason SET DEFAULT 'x'",
		'ALTER TABLE leadscore.history_m ALTER reason DROP DEFAULT', qr/"history_m".*default of column "reason"/s ],
	[ 'CREATE RULE e AS ON INSERT TO leadscore.live_m DO INSTEAD NOTHING', 'DROP RULE e ON leadscore.live_m',
		qr/"live_m".*rule/s ],
	[ <<'SQL', <<'SQL', qr/function app.odd\(anyelement\) of role "owner" must not run with the rights of role "postgres"/ ])
RESET ROLE;
GRANT CREATE ON SCHEMA leadscore TO owner;
SET ROLE owner;
CREATE INDEX e ON leadscore.profile_m ((app.odd(contact_id)));
SQL
DROP INDEX leadscore.e;
RESET ROLE;
REVOKE CREATE ON SCHEMA leadscore FROM owner;
SQL
{
	my ($do, $undo, $wanted) = @$put;
	$node->safe_psql($db, "SET client_min_messages = error; SET ROLE owner; $do");
	my (undef, $err) = run('ALTER TABLE app.person OWNER TO postgres');
	like($err, $wanted, "not handed over: $do");
	$node->safe_psql($db, "SET client_min_messages = error; SET ROLE owner; $undo");
}
# nor is read as the new owner what a view was made to show
my ($view) = run("SELECT pg_get_viewdef('leadscore.live_m'::regclass)");
run(<<'SQL');
GRANT CREATE ON SCHEMA leadscore TO owner;
SET ROLE owner;
CREATE OR REPLACE VIEW leadscore.live_m AS SELECT contact_id, score, fit, engagement, grade, stage, stage_since,
	disqualified, has_contact, last_event_at, scored_at
  FROM leadscore.score_m;
RESET ROLE;
REVOKE CREATE ON SCHEMA leadscore FROM owner;
SQL
my ($other) = run("SELECT pg_get_viewdef('leadscore.live_m'::regclass)");
isnt($other, $view, 'a view is replaced');
is_run(<<'SQL', undef, $view, '... and made anew for the next owner');
BEGIN;
SET client_min_messages = error;
ALTER TABLE app.person OWNER TO chief;
SELECT pg_get_viewdef('leadscore.live_m'::regclass);
SQL
is_run(<<'SQL', undef, $view, '... and for good');
SET client_min_messages = error;
ALTER TABLE app.person OWNER TO chief;
ALTER TABLE app.person OWNER TO owner;
UPDATE leadscore.lead_model SET enabled = true;
SELECT pg_get_viewdef('leadscore.live_m'::regclass);
SQL
# a member of the owner's role gives the table to that role: nothing that he could not do before
is_run(<<'SQL', undef,
ALTER TABLE app.person OWNER TO chief;
SELECT model, owner, enabled FROM leadscore.lead_model ORDER BY 1;
SQL
	"m|chief|f\nm_visitors|chief|fpsql:<stdin>:1: WARNING:  model \"m\" is suspended
DETAIL:  Table \"person\" now belongs to role \"chief\"."
	. "  The rules, stages and actions of its former owner would run with privileges that the former owner does not have.
HINT:  Look at them, and accept them with UPDATE leadscore.lead_model SET enabled = true WHERE model = 'm'.",
'a new owner with more privileges than the former: the model is suspended');
is_run(<<'SQL', undef, 'chief', '... all tables are the new owner\'s');
SELECT DISTINCT relowner::regrole FROM pg_class
 WHERE relnamespace = 'leadscore'::regnamespace AND relname ~ '_m(_|$)' AND relkind IN ('r', 'p', 'i')
SQL
my ($out, $err) = run("INSERT INTO app.act VALUES (2, NULL, '2026-02-28', 'buy')", 'writer');
unlike($err, qr/ERROR/, '... a writer goes on');
is_run(<<'SQL', 'owner', '0', '... the former owner cannot accept it');
UPDATE leadscore.lead_model SET enabled = true;
SELECT count(*) FROM leadscore.lead_model WHERE enabled;
SQL
is_run(<<'SQL', 'chief', '2', '... the new one can, and what was missed is counted');
SET client_min_messages = warning;
UPDATE leadscore.lead_model SET enabled = true;
SELECT count(*) FROM leadscore.lead_model WHERE enabled;
SELECT * FROM leadscore.verify('m');
SQL
($out) = run($points);
isnt($out, $before, '... in the scores');
is_run(<<'SQL', undef, '2',
SET client_min_messages = warning;
ALTER TABLE app.person OWNER TO owner;
SELECT count(*) FROM leadscore.lead_model WHERE enabled AND owner = 'owner'::regrole;
INSERT INTO app.act VALUES (2, NULL, '2026-02-28', 'buy');
SELECT * FROM leadscore.verify('m');
SQL
	'to an owner whose privileges the former one has: nothing is suspended');
$node->safe_psql($db, 'GRANT SELECT ON app.act TO other');
is_run("REASSIGN OWNED BY owner TO other; SELECT model, owner, enabled FROM leadscore.lead_model ORDER BY 1", undef,
	"m|other|f\nm_visitors|other|f", 'REASSIGN OWNED, of which nobody is told');
($out, $err) = run("INSERT INTO app.act VALUES (2, NULL, '2026-02-28', 'buy')", 'writer');
unlike($err, qr/ERROR/, '... a writer goes on');
is_run(<<'SQL', 'other', '2', '... and the new owner accepts the model');
SET client_min_messages = warning;
UPDATE leadscore.lead_model SET enabled = true;
SELECT count(*) FROM leadscore.lead_model WHERE enabled;
SELECT * FROM leadscore.verify('m');
SQL
is_run(<<'SQL', undef, '0', 'DROP OWNED leaves nothing of the model');
SET client_min_messages = error;
DROP OWNED BY other CASCADE;
SELECT count(*) FROM leadscore.lead_model;
SELECT relname FROM pg_class WHERE relnamespace = 'leadscore'::regnamespace AND relname ~ '_m(_|$)';
SQL
done_testing();
