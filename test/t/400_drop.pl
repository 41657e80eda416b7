# What goes away: the extension, tables, partitions, columns, functions, owners.
# The user's tables go on working, the scores of what is left stay right.
use strict;
use warnings;

use LeadscoreNode;
use Test::More;

my $node = LeadscoreNode->create('drop', worker => 1, streaming => 0);

# The library is loaded, the extension is not there: nothing is noticed of it.
$node->safe_psql('postgres', <<'SQL');
CREATE TABLE t (id int PRIMARY KEY);
BEGIN; SAVEPOINT a; INSERT INTO t VALUES (1); ROLLBACK TO a; INSERT INTO t VALUES (2); COMMIT;
ALTER TABLE t ADD COLUMN x int; CREATE INDEX ON t (x); DROP TABLE t;
SHOW leadscore.clock;
SQL
pass('a server with the library alone');

# What a session restores into an extension that it has made again is not taken for what it has restored before.
my $restored = <<'SQL';
CREATE EXTENSION leadscore;
INSERT INTO leadscore_internal.lead_model_history (model, time_zone, categories, weights, min_points, max_points, valid_from, history_id)
	VALUES ('m', 'UTC', '{}', '{}', '{}', '{}', now(), %d);
SELECT last_value FROM leadscore_internal.lead_model_history_history_id_seq;
DROP EXTENSION leadscore;
SQL
is($node->safe_psql('postgres', sprintf($restored, 100) . sprintf($restored, 50)), "100\n50", 'numbers of an extension that is made again');

$node->safe_psql('postgres', 'CREATE ROLE sales; CREATE DATABASE base');
$node->safe_psql('base', <<'SQL');
SET client_min_messages = warning;
ALTER DATABASE base SET leadscore.clock = '2026-01-15 00:00+00';
SET leadscore.clock = '2026-01-15 00:00+00';
CREATE EXTENSION leadscore;
CREATE SCHEMA app;
GRANT ALL ON SCHEMA app TO sales;
SET ROLE sales;
CREATE TABLE app.contacts (id int PRIMARY KEY, country text DEFAULT 'DE', note text, since timestamptz DEFAULT '2026-01-01 00:00+00');
CREATE TABLE app.events (contact int, at timestamptz DEFAULT '2026-01-10 00:00+00', what text DEFAULT 'open',
	amount float8 DEFAULT 1, extra int) PARTITION BY LIST (what);
CREATE TABLE app.e_open PARTITION OF app.events FOR VALUES IN ('open');
CREATE TABLE app.e_buy PARTITION OF app.events FOR VALUES IN ('buy');
CREATE INDEX ON app.events (contact, at);
CREATE TABLE app.visits (contact int, at timestamptz DEFAULT '2026-01-10 00:00+00');
CREATE INDEX ON app.visits (contact, at);
CREATE FUNCTION app.worth(amount float8) RETURNS float8 LANGUAGE sql IMMUTABLE AS 'SELECT 2 * amount';
CREATE FUNCTION app.local(country text) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RETURN country = 'DE'; END $$;
SELECT leadscore.create_model('m', 'app.contacts', created_at => 'since');
SELECT leadscore.attach('m', 'app.events', 'contact', 'at', 'what');
SELECT leadscore.attach('m', 'app.visits', 'contact', 'at');
INSERT INTO app.contacts (id) SELECT generate_series(1, 3);
INSERT INTO app.events (contact, what) SELECT g, w FROM generate_series(1, 4) g, unnest('{open,buy}'::text[]) w;
INSERT INTO app.visits VALUES (1), (2), (9);
INSERT INTO leadscore.lead_rule (model, name, source, event, points, condition, weight) VALUES
	('m', 'open', 'events', 'open', 10, NULL, NULL),
	('m', 'buy', 'events', 'buy', 100, 'amount > 0', 'app.worth(amount)'),
	('m', 'extra', 'events', NULL, 7, 'extra > 0', NULL),
	('m', 'visit', 'visits', NULL, 1000, NULL, NULL);
INSERT INTO leadscore.lead_rule (model, name, kind, points, condition) VALUES
	('m', 'local', 'profile', 3, 'app.local(country)'), ('m', 'noted', 'profile', 4, 'note IS NOT NULL');
INSERT INTO leadscore.lead_stage (model, stage, position, enter_at, condition) VALUES ('m', 'hot', 1, 200, 'country = ''DE''');
RESET ROLE;
SQL
my $scores = "SELECT string_agg(contact_id || ':' || score, ' ' ORDER BY contact_id) FROM leadscore.score_m";
my $before = '1:1213 2:1213 3:213 4:210 9:1000';
is($node->safe_psql('base', $scores), $before, 'what all begin with');

# A copy of the database to do something to.
my $copies = 0;

sub copy
{
	my $db = 'copy' . ++$copies;
	$node->safe_psql('postgres', "CREATE DATABASE $db TEMPLATE base");
	$node->safe_psql('postgres', "ALTER DATABASE $db SET leadscore.clock = '2026-01-15 00:00+00'");
	return $db;
}

# Runs SQL in one session and gives its output and messages.
sub run
{
	my ($db, $sql) = @_;
	my ($code, $out, $err) = $node->psql($db, $sql, on_error_stop => 0);
	return wantarray ? ($out, $err) : $out;
}

# Does something, expects messages and scores, and that replay gives the same.
sub after
{
	my ($what, $sql, $message, $wanted, $db) = @_;
	$db ||= copy();
	my ($out, $err) = run($db, $sql);
	ref $message ? like($err, $message, "$what: messages") : is($err, $message, "$what: messages");
	is(run($db, "$scores; SELECT * FROM leadscore.verify('m')"), $wanted, "$what: scores");
	return $db;
}

# The user's tables work without a trigger of ours.
my $works = <<'SQL';
INSERT INTO app.contacts (id) VALUES (77);
INSERT INTO app.events (contact, what) VALUES (77, 'open'), (1, 'buy');
UPDATE app.events SET contact = 2 WHERE contact = 77;
DELETE FROM app.events WHERE contact = 3;
TRUNCATE app.visits;
DELETE FROM app.contacts WHERE id = 2;
CREATE TABLE app.e_new PARTITION OF app.events FOR VALUES IN ('new'); ALTER TABLE app.events ADD COLUMN y int; DROP TABLE app.e_new;
SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'leadscore%';
SELECT count(*) FROM pg_event_trigger;
SELECT count(*) FROM pg_namespace WHERE nspname = 'leadscore';
SQL
my $make = <<'SQL';
SET client_min_messages = warning;
CREATE EXTENSION leadscore;
SELECT leadscore.create_model('m', 'app.contacts') IS NULL;
SELECT leadscore.attach('m', 'app.events', 'contact', 'at', 'what') IS NULL;
INSERT INTO leadscore.lead_rule (model, name, event, points) VALUES ('m', 'open', 'open', 5);
INSERT INTO app.events (contact) VALUES (1), (8);
SQL
my $look = "$scores; SELECT * FROM leadscore.verify('m');\n";
my $again = $make . $look;

################################################################################
# The extension

my $db = copy();
my ($out, $err) = run($db, 'DROP EXTENSION leadscore');
like($err, qr/cannot drop extension leadscore because other objects depend on it/, 'DROP EXTENSION is refused');
like($err, qr/DETAIL:  There is 1 model, and triggers .*\nHINT:  Call leadscore.detach_all\(\) first/,
	'... and says why, and what to do');
is(run($db, "$scores; SELECT * FROM leadscore.verify('m')"), $before, '... and nothing has happened');
# one session: it has used the triggers before, and does it all again after
my $here = <<'SQL';
INSERT INTO app.events (contact, what) VALUES (5, 'buy'), (5, 'open');
SELECT score FROM leadscore.score_m WHERE contact_id = 5;
SQL
($out, $err) = run($db, "${here}SET client_min_messages = warning; DROP EXTENSION leadscore CASCADE;\n$works$again");
is($err, '', 'DROP EXTENSION CASCADE, and all again in the same session');
is($out, "210\n0\n0\n0\nf\nf\n1:10 2:10 3:0 4:5 5:5 8:5 77:0", '... nothing is left of it, and all works again');

# another session that has used it stays connected
$db = copy();
my $other = $node->background_psql($db, on_error_stop => 0);
$other->query_safe("INSERT INTO app.events (contact) VALUES (5)");
is(run($db, <<"SQL"), "f\n0\n0\n0", 'DROP EXTENSION after detach_all()');
SET client_min_messages = warning;
SELECT leadscore.detach_all() IS NULL;
DROP EXTENSION leadscore;
$works
SQL
$other->query_safe("INSERT INTO app.events (contact) VALUES (5)");
is(run($db, $again), "f\nf\n1:10 2:10 3:0 4:5 5:10 8:5 77:0", '... and all again');
$other->query_safe("INSERT INTO app.events (contact) VALUES (5), (1)");
is(run($db, "$scores; SELECT * FROM leadscore.verify('m')"), '1:15 2:10 3:0 4:5 5:15 8:5 77:0',
	'... and for a session that had it in its cache');
$other->quit;

$db = copy();
($out, $err) = run($db, <<"SQL");
SET client_min_messages = warning;
$here BEGIN;
DROP EXTENSION leadscore CASCADE;
INSERT INTO app.events (contact) VALUES (6);
ROLLBACK;
$here $scores;
SELECT * FROM leadscore.verify('m');
SQL
is("$out$err", "210\n420\n1:1213 2:1213 3:213 4:210 5:420 9:1000", 'DROP EXTENSION rolled back');
($out, $err) = run($db, <<"SQL");
SET client_min_messages = warning;
BEGIN;
SELECT leadscore.detach_all() IS NULL;
INSERT INTO app.events (contact) VALUES (6);
ROLLBACK;
BEGIN;
SAVEPOINT a;
SELECT leadscore.drop_model('m') IS NULL;
ROLLBACK TO a;
$here COMMIT;
$scores;
SELECT * FROM leadscore.verify('m');
SQL
is("$out$err", "f\nf\n630\n1:1213 2:1213 3:213 4:210 5:630 9:1000", 'detach_all() and drop_model() rolled back');

# made and dropped in one transaction, twice: versions of rules begin anew
$db = copy();
my $other_points = $make =~ s/5\);/6);/r;
($out, $err) = run($db, <<"SQL");
SET client_min_messages = warning;
DROP EXTENSION leadscore CASCADE;
BEGIN;
${make}ROLLBACK; BEGIN;
${other_points}COMMIT;
$look
SQL
is("$out$err", "f\nf\nf\nf\n1:12 2:6 3:6 4:6 8:6", 'CREATE EXTENSION rolled back and done again in one session');

################################################################################
# Tables

after('DROP TABLE of a source', <<'SQL',
DROP TABLE app.visits;
INSERT INTO app.events (contact) VALUES (1);
SQL
	qr/^psql:<stdin>:1: NOTICE:  source "visits" was detached from model "m": its table was dropped\n.*1 rule waits for it/,
	'1:223 2:213 3:213 4:210');
after('DROP TABLE of a partitioned source', <<'SQL',
DROP TABLE app.events;
INSERT INTO app.visits (contact) VALUES (1);
SQL
	qr/^psql:<stdin>:1: NOTICE:  source "events" was detached from model "m": its table was dropped\n.*3 rules wait/,
	'1:2003 2:1003 3:3 9:1000');
after('DROP TABLE of a partition', <<'SQL', '', '1:1223 2:1213 3:213 4:210 9:1000');
DROP TABLE app.e_buy;
INSERT INTO app.events (contact) VALUES (1);
SQL
after('TRUNCATE of a partition', <<'SQL', '', '1:1023 2:1013 3:13 4:10 9:1000');
TRUNCATE app.e_buy;
INSERT INTO app.events (contact) VALUES (1);
SQL
after('DROP TABLE in a transaction that is rolled back', <<'SQL',
SET client_min_messages = warning;
BEGIN;
DROP TABLE app.visits;
INSERT INTO app.events (contact) VALUES (1);
ROLLBACK;
INSERT INTO app.visits (contact) VALUES (1);
SQL
	'', '1:2213 2:1213 3:213 4:210 9:1000');
$db = copy();
($out, $err) = run($db, "DROP TABLE app.contacts");
like($err,
	qr/ERROR:  cannot drop table app.contacts because other objects depend on it\nDETAIL:  table leadscore.score_m depends on table app.contacts/,
	'DROP TABLE of the contact table is refused');
is(run($db, "$scores; SELECT * FROM leadscore.verify('m')"), $before, '... and nothing has happened');
# a dump knows nothing of the dependency, and there may be no worker
run($db, "DELETE FROM pg_depend WHERE objid = 'leadscore.score_m'::regclass AND refobjid = 'app.contacts'::regclass");
($out, $err) = run($db, "DROP TABLE app.contacts");
like($err, qr/ERROR:  cannot drop table app.contacts because/, '... also where it has not been recorded yet');
($out, $err) = run($db, <<'SQL');
ALTER TABLE app.contacts ALTER id TYPE bigint;
ALTER TABLE app.contacts RENAME TO people;
ALTER TABLE app.people SET SCHEMA public;
ALTER TABLE people RENAME id TO no;
ALTER TABLE people RENAME no TO id;
ALTER TABLE people SET SCHEMA app;
ALTER TABLE app.people RENAME TO contacts;
SQL
unlike($err, qr/ERROR/, '... which is in the way of nothing else');
($out, $err) = run($db, <<'SQL');
SET client_min_messages = warning;
SET client_min_messages = notice;
DROP TABLE app.contacts CASCADE;
SQL
like($err, qr(NOTICE:  model "m" was dropped with its table), 'DROP TABLE ... CASCADE of the contact table drops the model');
is(run($db, <<'SQL'), "0\n0\nt", '... and leaves nothing');
INSERT INTO app.events (contact) VALUES (1);
INSERT INTO app.visits VALUES (1);
SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'leadscore%';
SELECT count(*) FROM leadscore.lead_rule;
SELECT to_regclass('leadscore.score_m') IS NULL;
DROP EXTENSION leadscore;
SQL
$db = copy();
($out, $err) = run($db, <<'SQL');
SET client_min_messages = warning;
DROP SCHEMA app CASCADE;
SELECT count(*) FROM leadscore.lead_model;
SELECT count(*) FROM leadscore.lead_relation;
SELECT to_regclass('leadscore.score_m') IS NULL;
DROP EXTENSION leadscore;
SQL
is("$out$err", "0\n0\nt", 'DROP SCHEMA CASCADE around all');
$db = copy();
($out, $err) = run($db, <<'SQL');
SET client_min_messages = warning;
DROP OWNED BY sales CASCADE;
SELECT count(*) FROM leadscore.lead_model;
SELECT count(*) FROM leadscore.lead_rule;
SELECT to_regclass('app.contacts') IS NULL;
CREATE TABLE t (id int PRIMARY KEY);
SELECT leadscore.create_model('n', 't');
DROP EXTENSION leadscore CASCADE;
SQL
is("$out$err", "0\n0\nt\nleadscore.score_n", 'DROP OWNED');
$db = copy();
($out, $err) = run($db, <<'SQL');
SET client_min_messages = warning;
DROP TABLE app.events, app.contacts, app.visits CASCADE;
SELECT count(*) FROM leadscore.lead_model;
DROP EXTENSION leadscore;
SQL
is("$out$err", '0', 'DROP TABLE of all in one statement');
$db = copy();
($out, $err) = run($db, <<'SQL');
DROP TABLE leadscore.score_m CASCADE;
INSERT INTO app.events (contact) VALUES (1);
SELECT count(*) FROM leadscore.lead_model;
SQL
like("$out$err", qr/^0.*model "m" was dropped with its table/s, 'DROP TABLE of the score table drops the model');

################################################################################
# Alterations

my $more = "INSERT INTO app.events (contact) VALUES (1)";
after('tables renamed and moved', <<'SQL', '', '1:2227 2:1007 3:217 4:210 9:1000');
CREATE SCHEMA b;
GRANT USAGE ON SCHEMA b TO sales;
ALTER TABLE app.visits SET SCHEMA b;
ALTER TABLE b.visits RENAME TO v;
ALTER TABLE app.contacts RENAME TO c;
ALTER TABLE app.events RENAME TO e;
ALTER TABLE app.e_open RENAME TO o;
INSERT INTO app.o (contact) VALUES (1);
INSERT INTO b.v (contact) VALUES (1);
UPDATE app.c SET note = 'x';
DELETE FROM app.e WHERE contact = 2;
SQL
after('a schema renamed', <<'SQL',
ALTER SCHEMA app RENAME TO crm;
INSERT INTO crm.visits (contact) VALUES (1);
UPDATE crm.events SET amount = 2 WHERE contact = 3;
SQL
	qr/rule "(buy|local)" of model "m" is now disabled: schema app is now crm/, '1:2010 2:1010 3:10 4:10 9:1000');
after('columns renamed', <<'SQL', '', '1:1223 2:1217 3:403 4:210 9:1000');
ALTER TABLE app.events RENAME contact TO who;
ALTER TABLE app.events RENAME at TO happened;
ALTER TABLE app.events RENAME what TO kind;
ALTER TABLE app.contacts RENAME id TO key;
INSERT INTO app.events (who) VALUES (1);
UPDATE app.contacts SET note = 'x' WHERE key = 2;
UPDATE app.events SET kind = 'buy' WHERE who = 3;
SQL
after('a column under a condition dropped', "ALTER TABLE app.events DROP COLUMN amount; $more",
	qr/rule "buy" of model "m" is now disabled: column "amount" does not exist/,
	'1:1023 2:1013 3:13 4:10 9:1000');
$db = after('a column under a condition comes back', <<"SQL", '', '1:1623 2:1613 3:613 4:610 9:1000');
SET client_min_messages = error;
ALTER TABLE app.events DROP COLUMN amount;
ALTER TABLE app.events ADD COLUMN amount float8 DEFAULT 3;
$more
SQL
after('another column dropped', "ALTER TABLE app.events DROP COLUMN extra; $more",
	qr/rule "extra" of model "m" is now disabled/, '1:1223 2:1213 3:213 4:210 9:1000');
after('the time column dropped', <<'SQL', qr/source "visits" was detached from model "m": column "at" no longer exists/, '1:213 2:213 3:213 4:210');
ALTER TABLE app.visits DROP COLUMN at;
INSERT INTO app.visits VALUES (1);
SQL
after('the key dropped', "ALTER TABLE app.contacts DROP COLUMN id; $more",
	qr/cannot drop column "id" of table "contacts" because model "m" depends on it/,
	'1:1223 2:1213 3:213 4:210 9:1000');
after('the type of a column changed', <<'SQL', '', '1:1813 2:1813 3:1813 4:810 9:1000');
ALTER TABLE app.events ALTER amount TYPE real USING 4;
INSERT INTO app.visits VALUES (3);
SQL
after('the type of the time changed', <<'SQL', '', '1:1213 2:1213 3:1213 4:210 9:1000');
SET timezone = 'UTC';
ALTER TABLE app.visits ALTER at TYPE timestamp;
INSERT INTO app.visits VALUES (3);
SQL
after('the type of the key changed', <<"SQL", '', '1:1227 2:1217 3:217 4:210 9:1000');
SET client_min_messages = warning;
ALTER TABLE app.contacts ALTER id TYPE bigint;
$more;
UPDATE app.contacts SET note = 'x';
SQL
after('columns added', <<"SQL", '', '1:1233 2:1213 3:213 4:210 9:1000');
ALTER TABLE app.events ADD COLUMN z int DEFAULT 1;
ALTER TABLE app.contacts ADD z text;
INSERT INTO app.e_open (contact, z) VALUES (1, 2);
ALTER TABLE app.events DROP COLUMN z;
$more
SQL

################################################################################
# Partitions

my $detach = 'ALTER TABLE app.events DETACH PARTITION app.e_buy';
for my $how ($detach, "$detach CONCURRENTLY")
{
	$db = after($how =~ /CONC/ ? 'DETACH CONCURRENTLY' : 'DETACH',
		"$how; INSERT INTO app.e_buy (contact, what) VALUES (1, 'buy')", '', '1:1013 2:1013 3:13 4:10 9:1000');
	is(run($db, <<'SQL'), 0, '... the partition has no triggers any more');
SELECT count(*) FROM pg_trigger WHERE tgrelid = 'app.e_buy'::regclass AND tgname LIKE 'leadscore%'
SQL
	after('ATTACH', <<'SQL', '', '1:1413 2:1213 3:413 4:210 9:1000', $db);
ALTER TABLE app.events ATTACH PARTITION app.e_buy FOR VALUES IN ('buy');
INSERT INTO app.e_buy (contact, what) VALUES (3, 'buy');
SQL
}
after('rolled back', <<"SQL", '', '1:1213 2:1213 3:413 4:210 9:1000');
BEGIN;
$detach;
INSERT INTO app.e_buy (contact, what) VALUES (1, 'buy');
ROLLBACK;
INSERT INTO app.e_buy (contact, what) VALUES (3, 'buy');
SQL
# of another owner, whose rows the model's owner may read through the table that they are attached to
after('partitions that the model may not read by themselves', <<'SQL', '', '1:1220 2:1227 3:220 4:210 9:1000');
CREATE TABLE app.sub (LIKE app.events) PARTITION BY RANGE (contact);
CREATE TABLE app.sub_1 PARTITION OF app.sub FOR VALUES FROM (0) TO (100);
INSERT INTO app.sub (contact, at, what, extra) VALUES (1, '2026-01-10', 'more', 1);
ALTER TABLE app.events ATTACH PARTITION app.sub FOR VALUES IN ('more');
INSERT INTO app.sub_1 (contact, at, what, extra) VALUES (2, '2026-01-10', 'more', 1);
INSERT INTO app.sub (contact, at, what, extra) VALUES (2, '2026-01-10', 'more', 1);
INSERT INTO app.events (contact, what, extra) VALUES (3, 'more', 1);
SQL

################################################################################
# Functions

after('CREATE OR REPLACE of an inlined function',
	"$here CREATE OR REPLACE FUNCTION app.worth(amount float8) RETURNS float8 LANGUAGE sql IMMUTABLE AS 'SELECT 3 * amount'; $here",
	'', '1:1313 2:1313 3:313 4:310 5:620 9:1000');
after('CREATE OR REPLACE of a plpgsql function', <<"SQL", '', '1:1220 2:1210 3:213 4:210 9:1000');
CREATE OR REPLACE FUNCTION app.local(country text) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS \$\$
BEGIN
	RETURN country = 'FR';
END \$\$;
UPDATE app.contacts SET country = 'FR' WHERE id = 3;
$more
SQL
$db = after('DROP FUNCTION', "DROP FUNCTION app.worth; $more",
	qr/rule "buy" of model "m" is now disabled: function app.worth\(double precision\) does not exist/,
	'1:1023 2:1013 3:13 4:10 9:1000');
after('a function that comes back', <<"SQL", '', '1:1533 2:1513 3:513 4:510 9:1000', $db);
CREATE FUNCTION app.worth(amount float8) RETURNS float8 LANGUAGE sql IMMUTABLE AS 'SELECT 5 * amount';
$more
SQL
after('a function that is not immutable any more', "ALTER FUNCTION app.local STABLE; $more",
	qr/rule "local" of model "m" is now disabled/, '1:1220 2:1210 3:210 4:210 9:1000');

################################################################################
# Sessions that have a snapshot, and rules and functions that change meanwhile

for my $level ('READ COMMITTED', 'REPEATABLE READ', 'SERIALIZABLE')
{
	$db = copy();
	my $writer = $node->background_psql($db);
	my $buy = "INSERT INTO app.events (contact, what) VALUES (%d, 'buy');";
	$writer->query_safe(sprintf($buy, 21));
	$writer->query_safe("BEGIN ISOLATION LEVEL $level; SELECT count(*) FROM app.events;");
	run($db, <<'SQL');
SET client_min_messages = warning;
UPDATE leadscore.lead_rule SET points = 1 WHERE name = 'open';
UPDATE leadscore.lead_rule SET event = 'open' WHERE name = 'buy';
CREATE OR REPLACE FUNCTION app.worth(amount float8) RETURNS float8 LANGUAGE sql IMMUTABLE AS 'SELECT 10 * amount';
SQL
	$writer->query_safe("INSERT INTO app.events (contact) VALUES (22);");
	is(run($db, "SELECT score FROM leadscore.score_m WHERE contact_id = 22"), '', "$level: not committed");
	$writer->query_safe("COMMIT;");
	$writer->query_safe(<<'SQL');
INSERT INTO app.events (contact) VALUES (23);
BEGIN;
INSERT INTO app.events (contact) VALUES (21);
SQL
	$writer->query_safe('COMMIT');
	# what it had put aside is folded in
	run($db, "SELECT leadscore.refresh('m')");
	is(run($db, <<'SQL'), "21|1001\n22|1001\n23|1001",
SELECT contact_id, score FROM leadscore.score_m WHERE contact_id > 20 ORDER BY 1;
SELECT * FROM leadscore.verify('m');
SQL
		"$level: a transaction that began before the rules changed counts with the new ones, and so do those after it");
	$writer->quit;
}

$node->stop;
done_testing();
