# What stands in rows is told to those only who may read it: warnings, errors and
# notices of whoever writes events or asks for scores name the rule and SQLSTATE.
use strict;
use warnings;

use LeadscoreNode;
use Test::More;

my $node = LeadscoreNode->create('values');
$node->hold_clock('postgres');

# run runs SQL as a role; gives all that was said, with SQLSTATE and context.
sub run
{
	my ($role, $sql) = @_;
	return $node->said('postgres', "\\set VERBOSITY verbose\n$sql", login => $role);
}

my $secret = qr/DE89|\b4711\b|gold|\bcrow\b/;

# hidden tests that a role is told of something, and nothing that it must not see.
sub hidden
{
	my ($role, $sql, $wanted, $what) = @_;
	my $said = run($role, $sql);
	like($said, $wanted, "$what: $role is told of it");
	unlike($said, $secret, "$what: and not what is in the row");
}

# shown tests that a role is told what is in the row.
sub shown
{
	my ($role, $sql, $wanted, $what) = @_;
	like(run($role, $sql), $wanted, "$what: $role is told all");
}

$node->safe_psql('postgres', <<'SQL');
CREATE ROLE alice LOGIN;
CREATE ROLE web LOGIN;
CREATE ROLE reader LOGIN;
CREATE ROLE analyst LOGIN;
CREATE ROLE partly LOGIN;
CREATE ROLE bound LOGIN;
CREATE EXTENSION leadscore;
CREATE SCHEMA own AUTHORIZATION alice;
SQL
$node->safe_psql('postgres', <<'SQL', extra_params => [ '-U', 'alice' ]);
SET client_min_messages = error;
GRANT USAGE ON SCHEMA own TO PUBLIC;
CREATE TABLE own.secret (v text); INSERT INTO own.secret VALUES ('gold');
CREATE TABLE own.guest (id int PRIMARY KEY, iban text);
CREATE TABLE own.stay (guest int, at timestamptz, kind text, iban text);
CREATE INDEX ON own.stay (guest, at);
CREATE FUNCTION own.look_up(text) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN RAISE NOTICE 'looked at %', $1; RETURN (SELECT v FROM own.secret)::int; END $$;
CREATE FUNCTION own.sure(text) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN ASSERT $1 <> 'crow', 'it is ' || $1; RETURN true; END $$;
SELECT leadscore.create_model('hotel', 'own.guest'), leadscore.attach('hotel', 'own.stay', 'guest', 'at', 'kind');
INSERT INTO leadscore.lead_rule (model, name, event, condition, points) VALUES
	('hotel', 'rich', 'pay', 'iban::int > 5', 10), ('hotel', 'looks', 'look', 'own.look_up(iban) > 1', 10),
	('hotel', 'sure', 'sure', 'own.sure(iban)', 10);
INSERT INTO leadscore.lead_rule (model, name, event, weight, points) VALUES ('hotel', 'weighs', 'weigh', 'iban::float8', 10);
INSERT INTO leadscore.lead_rule (model, name, kind, condition, points) VALUES ('hotel', 'profile', 'profile', 'iban::int > 5', 10);
INSERT INTO leadscore.lead_stage (model, stage, position, enter_at, condition) VALUES ('hotel', 'hot', 1, 1, 'iban::int > 5');
INSERT INTO leadscore.lead_rule (model, name, points, event) VALUES ('hotel', 'any', 5, 'any');
GRANT INSERT, DELETE ON own.stay, own.guest TO web, analyst, partly, bound;
GRANT SELECT (guest, at, kind) ON own.stay TO web;
GRANT SELECT ON own.stay, own.guest TO analyst;
GRANT SELECT (guest, at, iban) ON own.stay TO partly; GRANT SELECT (id) ON own.guest TO web;
GRANT SELECT ON leadscore.score_hotel, leadscore.live_hotel TO reader, web;
SQL

# ---------- who writes ----------

my $failed = qr/WARNING:  22P02: rule "rich" of model "hotel" failed with SQLSTATE 22P02 and was skipped/;
hidden('web', "INSERT INTO own.stay VALUES (4711, '2026-02-01', 'pay', 'DE89 3704')", $failed, 'a condition');
hidden('web', "INSERT INTO own.stay VALUES (4711, '2026-02-01', 'weigh', 'DE89 3704')",
	qr/rule "weighs" of model "hotel" failed with SQLSTATE 22P02/, 'a weight');
hidden('web', "INSERT INTO own.guest VALUES (4711, 'DE89 3704')",
	qr/rule "profile" of model "hotel" failed with SQLSTATE 22P02/, 'a profile rule');
hidden('web', "INSERT INTO own.stay VALUES (4711, '2026-02-01', 'any', 'DE89 3704')",
	qr/condition of stage "hot" of model "hotel" failed with SQLSTATE 22P02/, 'a stage');
hidden('web', "INSERT INTO own.stay VALUES (4711, '2026-02-01', 'look', 'DE89 3704')",
	qr/rule "looks" of model "hotel" failed with SQLSTATE 22P02/, 'a function, what it reads and its notices');
hidden('web', "INSERT INTO own.stay VALUES (12, '2026-02-01', 'sure', 'crow')", qr/P0004/, 'an assertion');
hidden('web', <<'SQL', qr/ERROR:  22P02: rule "rich" of model "hotel" failed with SQLSTATE 22P02/, 'where it is an error');
SET leadscore.rule_error = 'error';
INSERT INTO own.stay VALUES (4711, '2026-02-01', 'pay', 'DE89 3704');
SQL
hidden('web', "DELETE FROM own.stay WHERE kind = 'any'", qr/failed with SQLSTATE 22P02/, 'where a contact is counted again');
hidden('web', <<'SQL', $failed, 'under a snapshot');
BEGIN ISOLATION LEVEL REPEATABLE READ;
INSERT INTO own.stay VALUES (4711, '2026-02-01', 'pay', 'DE89 3704');
COMMIT;
SQL
shown('analyst', "INSERT INTO own.stay VALUES (4711, '2026-02-01', 'pay', 'DE89 3704')",
	qr/failed and was skipped: invalid input syntax for type integer: "DE89 3704"\nDETAIL:  It failed on 1 row, of contact 4711/,
	'with SELECT on the table');
shown('partly', "INSERT INTO own.stay VALUES (4711, '2026-02-01', 'pay', 'DE89 3704')", qr/integer: "DE89 3704"/,
	'with SELECT on the columns of the rule');
hidden('analyst', "INSERT INTO own.stay VALUES (4711, '2026-02-01', 'look', 'x')",
	qr/rule "looks" of model "hotel" failed with SQLSTATE 22P02/, 'what a function has read elsewhere');
shown('alice', "INSERT INTO own.stay VALUES (4711, '2026-02-01', 'look', 'x')",
	qr/NOTICE:  00000: looked at x.*integer: "gold"/s, 'who manages the model');
shown('postgres', "INSERT INTO own.stay VALUES (4711, '2026-02-01', 'look', 'x')", qr/integer: "gold"/s, 'a superuser');

# a function of alice's that web calls: what it says goes to web
$node->safe_psql('postgres', <<'SQL', extra_params => [ '-U', 'alice' ]);
CREATE FUNCTION own.log(text) RETURNS void
	LANGUAGE sql SECURITY DEFINER AS $$INSERT INTO own.stay VALUES (4711, '2026-02-01', 'pay', 'DE89' || $1)$$;
CREATE TABLE own.inbox (x text); GRANT INSERT ON own.inbox TO web;
CREATE FUNCTION own.from_inbox() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
	INSERT INTO own.stay VALUES (4711, '2026-02-01', 'pay', 'DE89' || NEW.x);
	RETURN NULL;
END $$;
CREATE TRIGGER pass AFTER INSERT ON own.inbox FOR EACH ROW EXECUTE FUNCTION own.from_inbox();
SQL
hidden('web', "SELECT own.log('x')", $failed, 'by a function with the rights of the owner');
hidden('web', "INSERT INTO own.inbox VALUES ('x')", $failed, 'or a trigger');

# ---------- who asks ----------

for my $sql ("SELECT leadscore.replay('hotel', 4711)", "SELECT status FROM leadscore.verify('hotel')",
	"SELECT points FROM leadscore.explain('hotel', 4711, '2026-02-10')",
	"SELECT leadscore.score('hotel', 4711, '2026-02-01')")
{
	my $said = run('reader', $sql);
	unlike($said, qr/DE89|gold|crow|looked at/, "$sql: a reader is not told what is in the rows");
	unlike($said, qr/contact 4711/, "$sql: nor of whose row it is");
	unlike($said, qr/permission denied/, "$sql: and may ask");
}
shown('alice', <<'SQL', qr/DE89|gold/, 'replay');
DELETE FROM own.stay WHERE iban = 'crow';
SELECT leadscore.replay('hotel', 4711);
SQL

# ---------- what is recorded, and where rows are hidden ----------

like(run('alice', "SELECT string_agg(message, ',') FROM leadscore.rule_errors"), qr/DE89 3704/, 'what is recorded is complete');
for my $role ('web', 'reader', 'analyst')
{
	unlike(run($role, <<'SQL'), qr/DE89|gold/, "$role does not see it");
SELECT * FROM leadscore.rule_errors;
SELECT * FROM leadscore.lead_rule_error;
SELECT * FROM leadscore_internal.lead_rule_error;
SQL
}
$node->safe_psql('postgres', <<'SQL');
GRANT SELECT ON own.stay TO bound;
CREATE POLICY few ON own.stay USING (iban NOT LIKE 'DE%');
CREATE POLICY more ON own.stay FOR INSERT TO bound WITH CHECK (true);
ALTER TABLE own.stay ENABLE ROW LEVEL SECURITY;
SQL
hidden('bound', "INSERT INTO own.stay VALUES (4711, '2026-02-01', 'pay', 'DE89 3704')", $failed, 'row security');
$node->safe_psql('postgres', 'ALTER TABLE own.stay DISABLE ROW LEVEL SECURITY');

# what the owner has put on the score table tells of rows as well
$node->safe_psql('postgres', <<'SQL');
REVOKE SELECT ON leadscore.score_hotel FROM web;
ALTER TABLE leadscore.score_hotel ADD CONSTRAINT mine CHECK (contact_id <> 4712);
SQL
my $said = run('web', "INSERT INTO own.stay VALUES (4712, '2026-02-01', 'any', 'x')");
like($said, qr/23514/, 'a constraint of the score table');
unlike($said, qr/contains \(4712/, 'does not show the row');

# a change of the table by who may not read it
$node->safe_psql('postgres', <<'SQL');
ALTER TABLE leadscore.score_hotel DROP CONSTRAINT mine;
CREATE ROLE maker LOGIN;
GRANT USAGE, CREATE ON SCHEMA own TO maker;
SQL
is($node->safe_psql('postgres', "SELECT count(*) FROM leadscore.verify('hotel')"), '0', 'all is right');

$node->stop;
done_testing();
