# Whose code runs as the owner of a model: that of roles who have the owner's
# privileges anyway, whatever somebody does to a type, a domain, a function, an
# index, or the table with the events that is his own.
use strict;
use warnings;

use LeadscoreNode;
use Test::More;

my $node = LeadscoreNode->create('trust');
$node->hold_clock('postgres');

# run runs SQL as a role; gives what came out, and what was said.
sub run
{
	my ($role, $sql) = @_;
	my ($ret, $out, $err) = $node->psql('postgres', $sql, extra_params => [ '-U', $role ]);
	return wantarray ? ($out, $err) : $out;
}

# tells tests what is said to a role.
sub tells
{
	my ($role, $sql, $wanted, $what) = @_;
	my ($out, $err) = run($role, $sql);
	like($err, $wanted, $what);
	return $out;
}

# quiet tests that nothing is said to a role.
sub quiet
{
	my ($role, $sql, $what) = @_;
	my ($out, $err) = run($role, $sql);
	is($err, '', $what);
	return $out;
}

sub robbed { return $node->safe_psql('postgres', 'SELECT string_agg(who, \',\') FROM mal.loot') }
sub asleep { return run('alice',
	"SELECT string_agg(name, ',' ORDER BY name) FROM leadscore.lead_rule WHERE backfilled_version = 0") }
sub score { return run('alice', "SELECT leadscore.score('hotel', $_[0])") }

$node->safe_psql('postgres', <<'SQL');
CREATE ROLE alice LOGIN; CREATE ROLE deputy LOGIN IN ROLE alice; CREATE ROLE mallory LOGIN; CREATE ROLE web LOGIN;
CREATE EXTENSION leadscore;
CREATE SCHEMA own AUTHORIZATION alice; CREATE SCHEMA mal AUTHORIZATION mallory; CREATE SCHEMA dep AUTHORIZATION deputy;
GRANT USAGE ON SCHEMA own, mal, dep TO PUBLIC;
SQL
quiet('alice', <<'SQL', 'a model');
CREATE TABLE own.secret (v text); INSERT INTO own.secret VALUES ('gold');
CREATE TABLE own.guest (id int PRIMARY KEY);
SET client_min_messages = warning;
SELECT leadscore.create_model('hotel', 'own.guest');
INSERT INTO own.guest VALUES (1), (2);
SQL

# who robs writes down as whom it was run, but for who made it or writes events
quiet('mallory', <<'SQL', 'what lies in wait');
CREATE TABLE mal.loot (who text); GRANT INSERT ON mal.loot TO PUBLIC;
CREATE FUNCTION mal.rob() RETURNS void LANGUAGE plpgsql AS $$
BEGIN IF current_user NOT IN ('mallory', 'web') THEN INSERT INTO mal.loot VALUES (current_user); END IF; END $$;
CREATE FUNCTION mal.same(anyelement) RETURNS anyelement LANGUAGE plpgsql IMMUTABLE AS 'BEGIN PERFORM mal.rob(); RETURN $1; END';
CREATE FUNCTION mal.fine(text) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS 'BEGIN PERFORM mal.rob(); RETURN true; END';
CREATE FUNCTION mal.call(jsonb) RETURNS void LANGUAGE plpgsql AS 'BEGIN PERFORM mal.rob(); END';
CREATE TYPE mal.key AS (id int);
CREATE FUNCTION mal.to_int(mal.key) RETURNS int LANGUAGE plpgsql IMMUTABLE AS 'BEGIN PERFORM mal.rob(); RETURN ($1).id; END';
CREATE FUNCTION mal.to_key(int) RETURNS mal.key LANGUAGE sql IMMUTABLE AS 'SELECT ROW($1)::mal.key';
CREATE CAST (mal.key AS int) WITH FUNCTION mal.to_int AS IMPLICIT;
CREATE CAST (int AS mal.key) WITH FUNCTION mal.to_key AS ASSIGNMENT;
CREATE DOMAIN mal.word AS text;
CREATE DOMAIN mal.part AS text CHECK (mal.fine(VALUE)); CREATE TYPE mal.pair AS (a mal.part, b int);
CREATE TABLE mal.stay (guest int, at timestamptz, kind text, note mal.word, pair mal.pair);
CREATE INDEX ON mal.stay (guest, at);
GRANT SELECT, TRIGGER ON mal.stay TO alice; GRANT INSERT ON mal.stay TO web; GRANT USAGE ON SCHEMA mal TO web;
SQL
quiet('alice', <<'SQL', 'rules on his table');
SET client_min_messages = warning;
SELECT leadscore.attach('hotel', 'mal.stay', 'guest', 'at', 'kind');
INSERT INTO leadscore.lead_rule (model, name, points) VALUES ('hotel', 'stay', 10);
INSERT INTO leadscore.lead_rule (model, name, condition, points) VALUES ('hotel', 'plain', $$kind = 'suite'$$, 1);
SQL
quiet('web', "INSERT INTO mal.stay VALUES (1, '2026-02-01', 'suite', 'x', NULL), (2, '2026-02-01', 'room', 'x', NULL)", 'events');
is(score(1), 11, 'they count');

# ---------- what is refused when it is written ----------

my $refused = qr/function mal\.\w+\([\w. ]*\) of role "mallory" must not run with the rights of role "alice"/;
tells('alice', <<'SQL', $refused, 'a function of others');
INSERT INTO leadscore.lead_rule (model, name, condition, points) VALUES ('hotel', 'x', 'mal.fine(kind)', 1)
SQL
tells('alice', <<'SQL', $refused, 'one in the body of a function of her own');
CREATE FUNCTION own.wrapped(text) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT mal.fine($1)';
INSERT INTO leadscore.lead_rule (model, name, condition, points) VALUES ('hotel', 'x', 'own.wrapped(kind)', 1);
SQL
tells('alice', <<'SQL', $refused, 'also where the body is not text');
CREATE FUNCTION own.atomic(text) RETURNS boolean LANGUAGE sql IMMUTABLE RETURN mal.fine($1);
INSERT INTO leadscore.lead_rule (model, name, condition, points) VALUES ('hotel', 'x', 'own.atomic(kind)', 1);
SQL
tells('alice', <<'SQL', $refused, 'nor when it is folded');
INSERT INTO leadscore.lead_rule (model, name, weight, points) VALUES ('hotel', 'x', 'mal.same(1)', 1)
SQL
tells('alice', <<'SQL', $refused, 'a stage');
INSERT INTO leadscore.lead_stage (model, stage, position, enter_at, condition)
VALUES ('hotel', 'x', 1, 1, 'mal.fine(NULL)')
SQL
tells('alice', <<'SQL', $refused, 'an action');
INSERT INTO leadscore.lead_action (model, name, occasion, deliver, function)
VALUES ('hotel', 'x', 'stage_entered', 'function', 'mal.call')
SQL
quiet('mallory', 'ALTER DOMAIN mal.word ADD CHECK (mal.fine(VALUE))', 'a domain gets a constraint');
is(robbed(), '', 'which nothing runs');
tells('alice', <<'SQL', $refused, 'a domain');
INSERT INTO leadscore.lead_rule (model, name, condition, points) VALUES ('hotel', 'x', 'kind::mal.word = ''a''', 1)
SQL
tells('alice', <<'SQL', $refused, 'a literal that his type reads');
INSERT INTO leadscore.lead_rule (model, name, condition, points)
VALUES ('hotel', 'x', 'pair = ''(a,1)''::mal.pair', 1)
SQL
tells('alice', <<'SQL', $refused, 'and one that is cast');
INSERT INTO leadscore.lead_rule (model, name, condition, points)
VALUES ('hotel', 'x', '(''(a,1)''::mal.pair).b = 1', 1)
SQL
tells('alice', <<'SQL', $refused, 'a key');
CREATE TABLE own.odd (k mal.pair PRIMARY KEY);
SELECT leadscore.create_model('odd', 'own.odd');
SQL
is(robbed(), '', 'nothing of his was run');
is(asleep(), '', 'nor is anything asleep');

# ---------- functions of the server that run what a text says ----------

my $runs = q(pg_catalog.query_to_xml('SELECT mal.rob()', true, true, '') IS NOT NULL);
quiet('mallory', <<'SQL', 'another table of his');
CREATE TABLE mal.turn (guest int, at timestamptz, kind text);
CREATE INDEX turned ON mal.turn (guest, at);
CREATE DOMAIN mal.said AS text;
GRANT SELECT, TRIGGER ON mal.turn TO alice;
SQL
run('alice', <<'SQL');
SET client_min_messages = error;
SELECT leadscore.attach('hotel', 'mal.turn', 'guest', 'at', 'kind');
INSERT INTO leadscore.lead_rule (model, name, source, points) VALUES ('hotel', 'turn', 'turn', 1);
INSERT INTO leadscore.lead_rule (model, name, source, condition, points)
VALUES ('hotel', 'said', 'stay', $$(kind || 'a')::mal.said = 'ba'$$, 1);
SQL
is(asleep(), '', 'rules on it, and with a domain of his');
run('mallory', <<"SQL");
SET client_min_messages = error;
ALTER DOMAIN mal.said ADD CHECK ($runs) NOT VALID;
SQL
is(asleep(), 'said', 'the domain gets a constraint with code in a text');
run('mallory', "SET client_min_messages = error; DROP INDEX mal.turned; " . join('; ', map { "DROP TRIGGER $_ ON mal.turn" }
	split /\n/, $node->safe_psql('postgres', "SELECT tgname FROM pg_trigger WHERE tgrelid = 'mal.turn'::regclass")));
SKIP:
{
	# since 16 a table is never made a view
	skip 'no such tables', 1 if $node->safe_psql('postgres', "SHOW server_version_num") >= 160000;
	quiet('mallory', 'VACUUM mal.turn', 'a table without triggers');
	run('mallory', <<"SQL");
CREATE RULE "_RETURN" AS ON SELECT TO mal.turn DO INSTEAD SELECT ($runs)::int AS guest, now() AS at, 'x'::text AS kind
SQL
	is($node->safe_psql('postgres', "SELECT relkind FROM pg_class WHERE oid = 'mal.turn'::regclass"), 'v', '... is a view now');
	run('alice', <<'SQL');
SET client_min_messages = error;
SELECT leadscore.replay('hotel', 1);
SELECT * FROM leadscore.verify('hotel');
SELECT leadscore.rescore('hotel');
SQL
}
is(robbed(), '', 'none of it was run');
run('alice', <<'SQL');
SET client_min_messages = error;
DELETE FROM leadscore.lead_rule WHERE name IN ('turn', 'said');
SELECT leadscore.detach('hotel', 'turn');
SQL
is(score(1), 11, 'all is as before');

# ---------- his own table ----------

for my $change (
	[ 'the type of the contact', 'ALTER TABLE mal.stay ALTER guest TYPE mal.key USING ROW(guest)::mal.key',
		'ALTER TABLE mal.stay ALTER guest TYPE int USING (guest).id' ],
	[ 'an index', 'CREATE INDEX odd ON mal.stay ((mal.same(1) + guest))', 'DROP INDEX mal.odd' ],
	[ 'a partial index', 'CREATE INDEX odd ON mal.stay (at) WHERE mal.fine(kind)', 'DROP INDEX mal.odd' ],
	[ 'a constraint', 'ALTER TABLE mal.stay ADD CONSTRAINT odd CHECK (mal.fine(kind))',
		'ALTER TABLE mal.stay DROP CONSTRAINT odd' ],
	[ 'statistics', 'CREATE STATISTICS mal.odd ON (mal.same(guest)), at FROM mal.stay', 'DROP STATISTICS mal.odd' ],
	[ 'a policy', <<'SQL', <<'SQL' ],
CREATE POLICY odd ON mal.stay USING (mal.fine(kind));
ALTER TABLE mal.stay ENABLE ROW LEVEL SECURITY;
SQL
ALTER TABLE mal.stay DISABLE ROW LEVEL SECURITY;
DROP POLICY odd ON mal.stay;
SQL
	[ 'a child', 'CREATE TABLE mal.child (CHECK (mal.fine(kind))) INHERITS (mal.stay)', 'DROP TABLE mal.child' ])
{
	my ($what, $do, $undo) = @$change;
	tells('mallory', $do, qr/WARNING:  rule "stay" of model "hotel" is now disabled: /, "$what: rules fall asleep");
	is(asleep(), 'plain,stay', "$what: all");
	is(score(1), 0, "$what: nothing counts");
	like(run('alice', "SELECT message FROM leadscore.rule_errors WHERE name = 'stay'"),
		qr/must not run with the rights of role "alice"|row-level security/, "$what: it is written down");
	run('web', "INSERT INTO mal.stay (guest, at, kind) VALUES (2, '2026-02-02', 'suite')") if $what ne 'a policy'
		&& $what ne 'the type of the contact';
	run('alice', <<'SQL');
SELECT leadscore.rescore('hotel'), leadscore.replay('hotel', 2);
SELECT * FROM leadscore.verify('hotel');
SQL
	tells('alice', "SELECT leadscore.attach('hotel', 'mal.stay', 'guest', 'at', 'kind', source => 'again')",
		qr/must not run|row-level security/, "$what: such a table is not attached");
	run('mallory', $undo);
	is(asleep(), '', "$what: it is undone, and they wake");
	is(score(1), 11, "$what: with what was there");
	is($node->safe_psql('postgres', "SELECT * FROM leadscore.verify('hotel')"), '', "$what: all is right");
}
is(score(2), 10 + 11 * 5, 'as is what came meanwhile');

# another table of his does not suffer for it
quiet('mallory', <<'SQL', 'a second table');
CREATE TABLE mal.visit (guest int, at timestamptz); CREATE INDEX ON mal.visit (guest, at);
GRANT SELECT, TRIGGER ON mal.visit TO alice; GRANT INSERT ON mal.visit TO web;
SQL
quiet('alice', <<'SQL', 'with a rule');
SET client_min_messages = warning;
SELECT leadscore.attach('hotel', 'mal.visit', 'guest', 'at');
INSERT INTO leadscore.lead_rule (model, name, source, points) VALUES ('hotel', 'visit', 'visit', 100);
SQL
tells('mallory', 'CREATE INDEX odd ON mal.stay (at) WHERE mal.fine(kind)',
	qr/rule "stay" of model "hotel" is now disabled/, 'one table leads to a function of his');
quiet('web', "INSERT INTO mal.visit VALUES (1, '2026-02-01')", 'an event of the other');
is(asleep(), 'plain,stay', 'only the rules of the one are asleep');
is(score(1), 100, 'the other counts');
run('mallory', 'DROP INDEX mal.odd');
is(score(1), 111, 'both again');
quiet('alice', <<'SQL', 'as it was');
DELETE FROM leadscore.lead_rule WHERE name = 'visit';
SELECT leadscore.detach('hotel', 'visit');
SQL
is(robbed(), '', 'nothing of his was run as anybody else');

# ---------- functions that change hands ----------

quiet('deputy', <<'SQL', 'functions of a role that has her privileges');
CREATE FUNCTION dep.nice(text) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$SELECT $1 = 'room'$$;
CREATE FUNCTION dep.deep(text) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT dep.nice($1)';
CREATE FUNCTION dep.call(jsonb) RETURNS void LANGUAGE plpgsql AS '
BEGIN
	INSERT INTO mal.loot VALUES (current_user);
END';
SQL
quiet('alice', <<'SQL', 'are used');
SET client_min_messages = warning;
INSERT INTO leadscore.lead_rule (model, name, condition, points) VALUES ('hotel', 'deep', 'dep.deep(kind)', 100);
SQL
is(score(2), 165, 'and count');
tells('postgres', 'ALTER FUNCTION dep.nice OWNER TO mallory',
	qr/rule "deep" of model "hotel" is now disabled: function dep\.nice\(text\) of role "mallory".*ALTER FUNCTION dep\.nice\(text\) OWNER TO alice/s,
	'until one within them goes to somebody else');
is(asleep(), 'deep', 'then the rule sleeps');
$node->safe_psql('postgres', 'ALTER FUNCTION dep.nice OWNER TO deputy');
is(asleep() . score(2), '165', 'and wakes when it is back');

# roles change without an event
$node->safe_psql('postgres', 'REVOKE alice FROM deputy');
tells('web', "INSERT INTO mal.stay (guest, at, kind) VALUES (2, '2026-02-03', 'room')",
	qr/WARNING:  rule "deep" of model "hotel" failed with SQLSTATE 42501 and was skipped/,
	'a role that loses the privileges: its functions are not run');
tells('alice', "SELECT leadscore.refresh('hotel')",
	qr/rule "deep" of model "hotel" is now disabled: function dep\.\w+\(text\) of role "deputy"/,
	'refresh has the rule fall asleep');
is(asleep() . score(2), 'deep75', 'with its points');
$node->safe_psql('postgres', 'GRANT alice TO deputy');
run('alice', "SELECT leadscore.refresh('hotel')");
is(asleep() . score(2), '275', 'and wake');
$node->safe_psql('postgres', 'REASSIGN OWNED BY deputy TO mallory');
tells('web', "INSERT INTO mal.stay (guest, at, kind) VALUES (2, '2026-02-03', 'room')",
	qr/rule "deep" of model "hotel" failed with SQLSTATE 42501/, 'REASSIGN OWNED: not run either');
$node->safe_psql('postgres', <<'SQL');
ALTER FUNCTION dep.nice OWNER TO deputy;
ALTER FUNCTION dep.deep OWNER TO deputy;
ALTER FUNCTION dep.call OWNER TO deputy;
SQL
is(asleep() . score(2), '385', 'all is well again');


# ---------- what is called immutable and is not ----------

quiet('alice', <<'SQL', 'a function that lies');
CREATE TABLE own.log (x int);
CREATE FUNCTION own.note() RETURNS void LANGUAGE plpgsql AS 'BEGIN INSERT INTO own.log VALUES (1); END';
CREATE FUNCTION own.lie(text) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS '
BEGIN
	PERFORM own.note();
	RETURN true;
EXCEPTION
	WHEN division_by_zero THEN
		RETURN false;
END';
SQL
tells('alice', <<'SQL', qr/cannot execute INSERT in a read-only transaction/, 'cannot write');
INSERT INTO leadscore.lead_rule (model, name, condition, points) VALUES ('hotel', 'lie', 'own.lie(kind)', 1000)
SQL
tells('alice', "INSERT INTO mal.stay (guest) SELECT 1 WHERE false; SELECT 1", qr/permission denied/, 'she cannot write events');
tells('web', "INSERT INTO mal.stay (guest, at, kind) VALUES (1, '2026-02-04', 'suite')",
	qr/rule "lie" of model "hotel" failed with SQLSTATE 25006 and was skipped/, 'nor in a trigger');
is($node->safe_psql('postgres', <<'SQL'), "0\n1", 'the event is there, nothing else');
SELECT count(*) FROM own.log;
SELECT count(*) FROM mal.stay WHERE at = '2026-02-04';
SQL
is(score(1), 22, 'and counts');
is($node->safe_psql('postgres', <<'SQL'), 'off', 'the transaction goes on as it was');
BEGIN;
INSERT INTO mal.stay (guest, at, kind) VALUES (1, '2026-02-05', 'suite');
SHOW transaction_read_only;
CREATE TABLE own.more ();
ROLLBACK;
SQL

# ---------- actions ----------

quiet('alice', <<'SQL', 'an action');
SET client_min_messages = warning;
DELETE FROM leadscore.lead_rule WHERE name = 'lie';
INSERT INTO leadscore.lead_stage (model, stage, position, enter_at) VALUES ('hotel', 'hot', 1, 1000);
INSERT INTO leadscore.lead_action (model, name, occasion, stage, deliver, function)
VALUES ('hotel', 'tell', 'stage_entered', 'hot', 'function', 'dep.call');
SQL
$node->safe_psql('postgres', 'ALTER FUNCTION dep.call OWNER TO mallory');
quiet('web', "INSERT INTO mal.stay (guest, at, kind) SELECT 3, '2026-02-06', 'suite' FROM generate_series(1, 100)", 'is caused');
$node->append_settings('leadscore.enabled' => 'on', 'leadscore.naptime' => '1s');
$node->reload;
ok($node->poll_query_until('postgres', <<'SQL'), 'but the function of somebody else is not called');
SELECT count(*) = 1 FROM leadscore.lead_outbox
 WHERE last_error LIKE 'function dep.call(jsonb) of role "mallory" must not run%'
SQL
is(robbed(), '', 'nothing was run');
$node->safe_psql('postgres', 'ALTER FUNCTION dep.call OWNER TO deputy');
$node->safe_psql('postgres', <<'SQL');
SET session_replication_role = replica;
UPDATE leadscore.outbox_hotel SET available_at = '2026-02-01';
SQL
ok($node->poll_query_until('postgres', 'SELECT count(*) = 1 FROM mal.loot WHERE who = \'alice\''), 'and is when it may be');
$node->safe_psql('postgres', 'REVOKE alice FROM deputy');
ok($node->poll_query_until('postgres', "SELECT backfilled_version = 0 FROM leadscore.lead_rule WHERE name = 'deep'"),
	'the worker has rules fall asleep, too');
$node->safe_psql('postgres', 'GRANT alice TO deputy');
ok($node->poll_query_until('postgres', "SELECT backfilled_version > 0 FROM leadscore.lead_rule WHERE name = 'deep'"), 'and wake');
is($node->safe_psql('postgres', "SELECT * FROM leadscore.verify('hotel')"), '', 'all is right');

$node->stop;
done_testing();
