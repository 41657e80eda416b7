# Sessions that set session_replication_role: each row counts once, whichever
# trigger sees it, and what restores do to triggers does not last.
use strict;
use warnings;

use Crm;
use LeadscoreNode;
use Test::More;

my $node = LeadscoreNode->create('replica');
$node->hold_clock('postgres');
$node->safe_psql('postgres', "CREATE EXTENSION leadscore; $crm $rules");
$node->safe_psql('postgres', crm_rows());

my $firing = <<'SQL';
SELECT string_agg(DISTINCT concat(tgname, ' ', tgenabled), ', ' ORDER BY concat(tgname, ' ', tgenabled))
  FROM pg_trigger WHERE tgname LIKE 'leadscore%' AND tgrelid = 'event'::regclass
SQL
my $as_made = join(', ', 'leadscore_apply R', 'leadscore_apply_truncate R', 'leadscore_delete O', 'leadscore_enter O',
	'leadscore_insert O', 'leadscore_truncate A', 'leadscore_update O');

# The same, done in a session that is a replica, in one that is none, and in one
# that is both by turns, gives what a model made afterwards gives.
sub counted
{
	my ($what, $sql) = @_;
	$node->safe_psql('postgres', $sql);
	my $wanted = scores_of_new_model($node, 'postgres');
	same_rows($node->scores('postgres'), $wanted, "$what: as a new model has it");
	$node->check_scores('postgres', $what);
	same_rows($node->scores('postgres'), $wanted, "$what: and so when it is folded in");
}

is($node->safe_psql('postgres', $firing), $as_made, 'triggers fire as they are to');
my $id = 1000;
for my $role ('replica', 'origin', 'local')
{
	my $set = "SET session_replication_role = $role;";
	my ($a, $b) = ($id + 1, $id + 20);
	counted("$role: rows that are inserted", <<"SQL");
$set
INSERT INTO event SELECT g, g % 25, '2026-02-10', 'open', 1 FROM generate_series($a, $b) g;
INSERT INTO contact VALUES ($a, 'x', 'DE');
SQL
	counted("$role: COPY", <<"SQL");
$set
COPY visit (id, contact, at, page) FROM stdin;
$a\t1\t2026-01-20\tprices
$b\t2\t2026-02-10\tprices
\\.
SQL
	counted("$role: updates", <<"SQL");
$set
UPDATE event SET amount = 5, what = 'buy' WHERE id % 9 = 0;
UPDATE event SET contact = 30 WHERE id = $b;
UPDATE visit SET at = '2026-01-21' WHERE id = $b;
UPDATE contact SET country = 'DE' WHERE id % 7 = 0;
SQL
	counted("$role: ON CONFLICT and MERGE", <<"SQL");
$set
INSERT INTO event
	SELECT g, 3, '2026-02-11', 'open', 1 FROM generate_series($b - 3, $b + 3) g ON CONFLICT (id) DO UPDATE
	   SET at = '2026-02-12', what = 'buy', amount = 2;
MERGE INTO event USING generate_series($b + 2, $b + 5) g ON id = g WHEN MATCHED THEN DELETE
	WHEN NOT MATCHED THEN INSERT VALUES (g, 4, '2026-02-12', 'open');
SQL
	counted("$role: deletes", <<"SQL");
$set
DELETE FROM event WHERE id % 10 = 3;
DELETE FROM visit WHERE id % 10 = 4;
DELETE FROM contact WHERE id = $a
SQL
	counted("$role: what is rolled back", <<"SQL");
$set
BEGIN;
INSERT INTO event VALUES ($b + 30, 1, '2026-02-10', 'open');
SAVEPOINT s;
DELETE FROM event WHERE contact = 2;
ROLLBACK TO s;
COMMIT;
BEGIN;
DELETE FROM event;
ROLLBACK;
SQL
	counted("$role: under a transaction snapshot", <<"SQL");
$set
BEGIN ISOLATION LEVEL SERIALIZABLE;
INSERT INTO event VALUES ($b + 31, 1, '2026-02-10', 'open');
DELETE FROM event WHERE contact = 5;
COMMIT;
SQL
	$id += 100;
}
counted('by turns', <<'SQL');
BEGIN;
INSERT INTO event VALUES (5001, 1, '2026-02-13', 'buy', 1), (5002, 2, '2026-02-13', 'buy', 1);
SET LOCAL session_replication_role = replica;
INSERT INTO event VALUES (5003, 1, '2026-02-13', 'buy', 1), (5004, 3, '2026-02-13', 'buy', 1);
UPDATE event SET amount = 2 WHERE id = 5001;
SET LOCAL session_replication_role = origin;
UPDATE event SET amount = 3 WHERE id = 5003;
DELETE FROM event WHERE id = 5004;
SET LOCAL session_replication_role = replica;
DELETE FROM event WHERE id = 5002;
COMMIT;
SQL

# Where a trigger of the user's writes within a statement, in another role
counted('within a statement', <<'SQL');
CREATE FUNCTION echo() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
	PERFORM set_config('session_replication_role', 'replica', true);
	INSERT INTO visit VALUES (NEW.id, NEW.contact, '2026-02-14', 'prices');
	TRUNCATE visit_1;
	PERFORM set_config('session_replication_role', 'origin', true);
	RETURN NEW; END $$;
CREATE TRIGGER echo BEFORE INSERT ON event FOR EACH ROW EXECUTE FUNCTION echo();
INSERT INTO event VALUES (6001, 1, '2026-02-14', 'open'), (6002, 2, '2026-02-14', 'open');
DROP TRIGGER echo ON event;
SQL

# Rows whose columns no rule looks at put nothing aside
$node->safe_psql('postgres', <<'SQL');
SET session_replication_role = replica;
UPDATE event SET note = 'n';
UPDATE contact SET note = 'n';
SQL
is($node->safe_psql('postgres', 'SELECT count(*) FROM leadscore.pending_m'), 0,
	'columns that no rule looks at put nothing aside');

# A rule that looks at the row as a whole
$node->safe_psql('postgres', <<'SQL');
SET client_min_messages = warning;
INSERT INTO leadscore.lead_rule (model, name, source, condition, points)
VALUES ('m', 'whole', 'event', $$event.note = 'yes'$$, 7);
SQL
$rules .= <<'SQL';
INSERT INTO leadscore.lead_rule (model, name, source, condition, points)
VALUES ('m', 'whole', 'event', $$event.note = 'yes'$$, 7);
SQL
counted('a column with its table', <<'SQL');
SET session_replication_role = replica;
UPDATE event SET note = 'yes' WHERE id % 3 = 0;
SQL

################################################################################
# What --disable-triggers does at its beginning and end

for my $user ('ALL', 'USER')
{
	counted("DISABLE TRIGGER $user", <<"SQL");
ALTER TABLE event DISABLE TRIGGER $user;
ALTER TABLE event ENABLE TRIGGER $user;
INSERT INTO event VALUES ($id, 1, '2026-02-15', 'buy', 1), ($id + 1, 2, '2026-02-15', 'buy', 1);
SQL
	is($node->safe_psql('postgres', $firing), $as_made, '... triggers fire as before');
	counted('... and what a replica does counts', <<"SQL");
SET session_replication_role = replica;
DELETE FROM event WHERE id = $id;
INSERT INTO event VALUES ($id, 3, '2026-02-15', 'buy', 1);
SQL
	$id += 10;
}
# The same by a replica
counted('ENABLE TRIGGER ALL by a replica', <<"SQL");
SET session_replication_role = replica;
ALTER TABLE event ENABLE TRIGGER ALL;
RESET session_replication_role;
INSERT INTO event VALUES ($id, 1, '2026-02-15', 'buy', 1);
SQL
is($node->safe_psql('postgres', $firing), $as_made, '... which is put right at once');

################################################################################
# A source that keeps what is deleted

$node->safe_psql('postgres', <<'SQL');
SET client_min_messages = warning;
CREATE TABLE mail (id int PRIMARY KEY, contact int, at timestamptz);
CREATE INDEX ON mail (contact, at);
SELECT leadscore.attach('m', 'mail', 'contact', 'at', on_delete => 'keep');
INSERT INTO leadscore.lead_rule (model, name, source, points) VALUES ('m', 'mail', 'mail', 2);
INSERT INTO mail SELECT g, g % 25, '2026-01-20' FROM generate_series(1, 100) g;
SQL
my $kept = $node->scores('postgres');
for my $role ('replica', 'origin')
{
	$node->safe_psql('postgres', <<"SQL");
SET session_replication_role = $role;
DELETE FROM mail WHERE id % 4 = 0 AND id > 20;
DELETE FROM mail WHERE id = 1;
SQL
	$node->check_scores('postgres', "$role: purged");
	is($node->safe_psql('postgres', 'SELECT count(*) FROM leadscore.purged_m') > 0, 1, "$role: ... which is kept");
	same_rows($node->safe_psql('postgres', <<'SQL'),
SELECT contact_id, round(leadscore.score('m', contact_id)::numeric, 6) FROM leadscore.score_m ORDER BY 1
SQL
		join("\n", map { join('|', (split /\|/)[ 0, 1 ]) } split /\n/, $kept), "$role: ... and changes no score");
	$node->safe_psql('postgres', <<"SQL");
SET session_replication_role = $role;
INSERT INTO mail SELECT g, g % 25, '2026-01-20' FROM generate_series(200, 210) g;
SET leadscore.on_delete = retract;
DELETE FROM mail WHERE id >= 200;
SQL
	same_rows($node->safe_psql('postgres', <<'SQL'),
SELECT contact_id, round(leadscore.score('m', contact_id)::numeric, 6) FROM leadscore.score_m ORDER BY 1
SQL
		join("\n", map { join('|', (split /\|/)[ 0, 1 ]) } split /\n/, $kept), "$role: ... nor does what is retracted");
}
$node->safe_psql('postgres', "SET session_replication_role = replica; TRUNCATE mail");
$node->check_scores('postgres', 'purged by TRUNCATE of a replica');
same_rows($node->safe_psql('postgres', <<'SQL'),
SELECT contact_id, round(leadscore.score('m', contact_id)::numeric, 6) FROM leadscore.score_m ORDER BY 1
SQL
	join("\n", map { join('|', (split /\|/)[ 0, 1 ]) } split /\n/, $kept), '... it changes no score');
$node->safe_psql('postgres', <<'SQL');
SET client_min_messages = error;
SELECT leadscore.detach('m', 'mail');
SQL

counted('TRUNCATE by a replica', 'SET session_replication_role = replica; TRUNCATE event');
counted('TRUNCATE', 'TRUNCATE visit');
is($node->safe_psql('postgres', 'SELECT count(*) FROM leadscore.score_m WHERE engagement > 0'), 0, 'nothing is left');

$node->safe_psql('postgres', "SET client_min_messages = warning; SELECT leadscore.drop_model('m')");
is($node->safe_psql('postgres', <<'SQL'), 0, 'all triggers go with the model');
SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'leadscore%' AND tgrelid::regclass::text !~ '^leadscore'
SQL
$node->stop;
done_testing();
