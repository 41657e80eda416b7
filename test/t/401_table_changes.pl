# Tables that are rewritten, renamed, moved, or get other columns and partitions:
# after each the scores are right row by row, and those of a model that is made
# anew over the same tables.  What must change nothing changes nothing.
use strict;
use warnings;

use Crm;
use LeadscoreNode;
use Test::More;

my $node = LeadscoreNode->create('tables');
$node->hold_clock('postgres');
$node->safe_psql('postgres', "CREATE EXTENSION leadscore; $crm $rules");
my $id = 1000;

# what users do
sub use_tables
{
	$id += 10;
	$node->safe_psql('postgres', <<"SQL");
INSERT INTO event (id, contact, at, what, amount) VALUES
	($id, 3, '2026-02-11', 'open', 2), ($id + 1, 77, '2026-02-12', 'buy', 2);
UPDATE event SET amount = amount + 1 WHERE id % 8 = 0;
DELETE FROM event WHERE id = $id - 9;
INSERT INTO visit (id, contact, at, page) VALUES
	($id, 3, '2026-01-11', 'prices'), ($id + 1, 3, '2026-02-11', 'prices');
SQL
}

my %changes = (same => 0, other => 0);

# changed does something to the tables and tests what is known then.  kind tells
# whether the scores are to be the same.
sub changed
{
	my ($kind, $what, $sql) = @_;
	my $before = $node->scores('postgres');
	my $stored = $node->stored_scores('postgres');

	$node->safe_psql('postgres', "SET client_min_messages = error; $sql");
	if ($kind eq 'same')
	{
		same_rows($node->scores('postgres'), $before, "$what: changes nothing");
		same_rows($node->stored_scores('postgres'), $stored, "$what: nor what is stored");
	}
	else
	{
		isnt($node->scores('postgres'), $before, "$what: changes something");
	}
	$node->check_scores('postgres', $what);
	use_tables();
	$node->check_scores('postgres', "$what, and then");
	same_rows($node->scores('postgres'), scores_of_new_model($node, 'postgres'), "$what, and then: a new model has the same");
	$changes{$kind}++;
}

$node->safe_psql('postgres', crm_rows());
$node->check_scores('postgres', 'to begin with');

################################################################################
# Rewrites

changed('same', 'VACUUM FULL', <<'SQL');
VACUUM FULL event;
VACUUM FULL visit_1;
VACUUM FULL contact;
VACUUM FULL leadscore.score_m;
VACUUM FULL leadscore.pending_m;
VACUUM FULL leadscore.due_m;
SQL
changed('same', 'CLUSTER',
	'CLUSTER event USING event_pkey; CLUSTER visit_1 USING visit_1_pkey; CLUSTER leadscore.score_m USING score_m_pkey');
changed('same', 'SET UNLOGGED and LOGGED', <<'SQL');
ALTER TABLE event SET UNLOGGED;
ALTER TABLE event SET LOGGED;
ALTER TABLE visit_2 SET UNLOGGED;
ALTER TABLE visit_2 SET LOGGED;
SQL
changed('same', 'the type of another column', <<'SQL');
ALTER TABLE event ALTER COLUMN note TYPE varchar(100);
ALTER TABLE event ALTER COLUMN id TYPE bigint;
ALTER TABLE contact ALTER COLUMN note TYPE varchar(50);
SQL
changed('same', 'columns that come and go', <<'SQL');
ALTER TABLE event ADD COLUMN extra int DEFAULT 7;
ALTER TABLE event ADD COLUMN volatile float8 DEFAULT random();
ALTER TABLE event DROP COLUMN note, DROP COLUMN extra;
ALTER TABLE visit ADD COLUMN extra int DEFAULT 3;
ALTER TABLE visit DROP COLUMN extra;
ALTER TABLE contact DROP COLUMN note;
SQL
changed('same', 'REINDEX and SET TABLESPACE', <<'SQL');
REINDEX TABLE event;
REINDEX TABLE leadscore.score_m;
ALTER TABLE event SET TABLESPACE pg_default;
ALTER TABLE event REPLICA IDENTITY FULL;
ALTER TABLE event SET (fillfactor = 60);
SQL

################################################################################
# Columns that are read

changed('same', 'the type of the contact column', <<'SQL');
ALTER TABLE event ALTER COLUMN contact TYPE smallint;
ALTER TABLE event ALTER COLUMN contact TYPE int;
SQL
changed('other', 'contacts that become others', 'ALTER TABLE event ALTER COLUMN contact TYPE int USING contact + 1');
changed('same', 'the type of the time column', "ALTER TABLE event ALTER COLUMN at TYPE timestamp USING at AT TIME ZONE 'UTC'");
changed('other', 'times that become days', 'ALTER TABLE event ALTER COLUMN at TYPE date');
changed('same', 'days that become instants', 'ALTER TABLE event ALTER COLUMN at TYPE timestamptz');
changed('same', 'the type of the event column', 'ALTER TABLE event ALTER COLUMN what TYPE varchar(20)');
changed('other', 'events that get other names', <<'SQL');
ALTER TABLE event ALTER COLUMN what TYPE text USING CASE WHEN id % 2 = 0 THEN 'open' ELSE what END
SQL
changed('same', 'the type of a column that a rule reads', <<'SQL');
ALTER TABLE event ALTER COLUMN amount TYPE numeric;
ALTER TABLE event ALTER COLUMN amount TYPE float8;
SQL
changed('other', 'a column that a rule reads with other values',
	'ALTER TABLE event ALTER COLUMN amount TYPE float8 USING amount * 2');
changed('same', 'the type of the key', <<'SQL');
ALTER TABLE contact ALTER COLUMN id TYPE bigint;
ALTER TABLE event ALTER COLUMN contact TYPE bigint;
SQL
changed('same', 'the type of the key, with something pending', <<'SQL');
BEGIN ISOLATION LEVEL REPEATABLE READ;
UPDATE event SET amount = amount + 1 WHERE id % 7 = 0;
UPDATE event SET amount = amount - 1 WHERE id % 7 = 0;
COMMIT;
ALTER TABLE event ALTER COLUMN contact TYPE int;
ALTER TABLE contact ALTER COLUMN id TYPE int;
SQL

################################################################################
# Names

$rules =~ s/attach\('m', 'event', 'contact', 'at', 'what'\)/attach('m', 'app.happened', 'who', 'moment', 'name', source => 'event')/;
{
	my $sql = <<'SQL';
ALTER TABLE event RENAME COLUMN at TO moment;
ALTER TABLE event RENAME COLUMN contact TO who;
ALTER TABLE event RENAME COLUMN what TO name;
ALTER TABLE event RENAME TO happened;
CREATE SCHEMA app;
ALTER TABLE happened SET SCHEMA app;
SQL
	my $before = $node->scores('postgres');
	$node->safe_psql('postgres', "SET client_min_messages = error; $sql");
	same_rows($node->scores('postgres'), $before, 'names: change nothing');
	$node->check_scores('postgres', 'names');
	same_rows($node->scores('postgres'), scores_of_new_model($node, 'postgres'), 'names: a new model has the same');
	$node->safe_psql('postgres', <<'SQL');
INSERT INTO app.happened (id, who, moment, name, amount) VALUES (5000, 3, '2026-02-11', 'open', 2);
UPDATE app.happened SET amount = 9 WHERE id % 6 = 0;
DELETE FROM app.happened WHERE id % 9 = 0;
SQL
	$node->check_scores('postgres', 'names, and then');
	same_rows($node->scores('postgres'), scores_of_new_model($node, 'postgres'), 'names, and then: a new model has the same');
	$node->safe_psql('postgres', <<'SQL');
ALTER SCHEMA app RENAME TO elsewhere;
ALTER TABLE contact RENAME TO person;
ALTER TABLE person RENAME COLUMN id TO number;
ALTER TABLE person SET SCHEMA elsewhere;
ALTER TABLE visit RENAME TO visited;
ALTER TABLE visit_1 RENAME TO visited_1;
SQL
	$rules =~ s/app\.happened/elsewhere.happened/;
	$rules =~ s/create_model\('m', 'contact'\)/create_model('m', 'elsewhere.person')/;
	$rules =~ s/attach\('m', 'visit', 'contact', 'at'\)/attach('m', 'visited', 'contact', 'at', source => 'visit')/;
	$node->safe_psql('postgres', <<'SQL');
UPDATE elsewhere.person SET country = 'DE' WHERE number % 4 = 0;
DELETE FROM elsewhere.person WHERE number = 5;
INSERT INTO visited (id, contact, at, page) VALUES (5000, 2, '2026-01-30', 'prices');
SQL
	$node->check_scores('postgres', 'a schema that is renamed');
	same_rows($node->scores('postgres'), scores_of_new_model($node, 'postgres'),
		'a schema that is renamed: a new model has the same');
	# and back
	$node->safe_psql('postgres', <<'SQL');
ALTER TABLE elsewhere.person RENAME COLUMN number TO id;
ALTER TABLE elsewhere.person RENAME TO contact;
ALTER TABLE elsewhere.contact SET SCHEMA public;
ALTER TABLE elsewhere.happened RENAME COLUMN moment TO at;
ALTER TABLE elsewhere.happened RENAME COLUMN who TO contact;
ALTER TABLE elsewhere.happened RENAME COLUMN name TO what;
ALTER TABLE elsewhere.happened RENAME TO event;
ALTER TABLE elsewhere.event SET SCHEMA public;
ALTER TABLE visited RENAME TO visit;
ALTER TABLE visited_1 RENAME TO visit_1;
SQL
	$rules =~ s/attach\('m', 'elsewhere.happened'[^)]*\)/attach('m', 'event', 'contact', 'at', 'what')/;
	$rules =~ s/elsewhere\.person/contact/;
	$rules =~ s/attach\('m', 'visited'[^)]*\)/attach('m', 'visit', 'contact', 'at')/;
}
changed('same', 'names as before', 'SELECT 1');

################################################################################
# Partitions

changed('other', 'a leaf that is attached with rows', <<'SQL');
CREATE TABLE visit_old (page text, contact int, more int, id int NOT NULL, at timestamptz NOT NULL,
	PRIMARY KEY (id, at));
ALTER TABLE visit_old DROP COLUMN more;
INSERT INTO visit_old VALUES ('prices', 1, 1, '2025-12-20'), ('home', 88, 2, '2025-12-21');
ALTER TABLE visit ATTACH PARTITION visit_old FOR VALUES FROM ('2025-12-01') TO ('2026-01-01');
SQL
changed('same', 'a leaf without rows',
	"CREATE TABLE visit_3 PARTITION OF visit FOR VALUES FROM ('2026-03-01') TO ('2026-04-01')");
changed('other', 'rows written straight to leaves', <<'SQL');
INSERT INTO visit_old VALUES ('prices', 2, 3, '2025-12-22');
UPDATE visit_old SET page = 'prices' WHERE id = 2;
INSERT INTO visit_3 (id, contact, at, page) VALUES (1, 1, '2026-03-02', 'prices'), (2, 1, '2026-03-03', 'home');
UPDATE visit SET at = '2025-12-23' WHERE id = 10;
DELETE FROM visit_old WHERE id = 1;
SQL
changed('other', 'a leaf that is detached', 'ALTER TABLE visit DETACH PARTITION visit_old');
changed('same', 'what happens to it then', <<'SQL');
INSERT INTO visit_old VALUES ('prices', 2, 9, '2025-12-22');
DELETE FROM visit_old WHERE id = 3;
SQL
is($node->safe_psql('postgres', <<'SQL'), 0, 'it has no triggers any more');
SELECT count(*) FROM pg_trigger WHERE tgrelid = 'visit_old'::regclass AND tgname LIKE 'leadscore%'
SQL
changed('other', 'it is attached again',
	"ALTER TABLE visit ATTACH PARTITION visit_old FOR VALUES FROM ('2025-12-01') TO ('2026-01-01')");
changed('other', 'it is detached concurrently', 'ALTER TABLE visit DETACH PARTITION visit_old CONCURRENTLY');
changed('other', 'sub-partitions with rows', <<'SQL');
CREATE TABLE visit_deep (LIKE visit) PARTITION BY LIST (contact);
CREATE TABLE visit_deep_1 PARTITION OF visit_deep FOR VALUES IN (1, 2);
CREATE TABLE visit_deep_d PARTITION OF visit_deep DEFAULT;
INSERT INTO visit_deep SELECT g, g, '2025-11-20', 'prices' FROM generate_series(1, 10) g;
ALTER TABLE visit_deep ADD PRIMARY KEY (id, at, contact);
ALTER TABLE visit_deep DROP CONSTRAINT visit_deep_pkey;
ALTER TABLE visit DROP CONSTRAINT visit_pkey;
ALTER TABLE visit ATTACH PARTITION visit_deep FOR VALUES FROM ('2025-11-01') TO ('2025-12-01');
SQL
changed('other', 'rows of sub-partitions', <<'SQL');
INSERT INTO visit VALUES (50, 1, '2025-11-21', 'prices');
UPDATE visit SET contact = 7 WHERE id = 2 AND at = '2025-11-20';
DELETE FROM visit_deep_d WHERE id = 9;
INSERT INTO visit_deep_1 VALUES (51, 2, '2025-11-22', 'home');
SQL
changed('other', 'a sub-partition that is detached', 'ALTER TABLE visit_deep DETACH PARTITION visit_deep_d');
changed('other', 'and the rest', 'ALTER TABLE visit DETACH PARTITION visit_deep');
changed('other', 'a leaf that is emptied', 'TRUNCATE visit_2');
# What is dropped with its rows is a purge: the scores stay, and a new model does
# not know of them.
{
	my $before = $node->scores('postgres');
	$node->safe_psql('postgres', 'DROP TABLE visit_1');
	same_rows($node->safe_psql('postgres', "SELECT contact_id, round(score::numeric, 6) FROM leadscore.live_m ORDER BY 1"),
		join("\n", map { join('|', (split /\|/)[ 0, 1 ]) } split /\n/, $before),
		'a leaf that is dropped: the scores are the same');
	$node->check_scores('postgres', 'a leaf that is dropped');
	isnt(scores_of_new_model($node, 'postgres'), $before, 'a leaf that is dropped: a new model knows nothing of it');
	$node->safe_psql('postgres', "CREATE TABLE visit_1 PARTITION OF visit FOR VALUES FROM ('2026-01-01') TO ('2026-02-01')");
	use_tables();
	$node->check_scores('postgres', 'a leaf that is dropped, and then');
}
is($node->safe_psql('postgres', <<'SQL'), 0, 'nothing that is gone is remembered')
SELECT count(*) FROM leadscore.lead_relation r WHERE NOT EXISTS (SELECT FROM pg_class c WHERE c.oid = r.relation)
SQL
  or diag($node->safe_psql('postgres', 'TABLE leadscore.lead_relation'));

################################################################################
# A copy of it all

$node->safe_psql('postgres', 'CREATE DATABASE copy TEMPLATE postgres');
$node->hold_clock('copy');
my $original = $node->scores('postgres');
same_rows($node->scores('copy'), $original, 'a copy has the same');
$node->safe_psql('copy', <<'SQL');
INSERT INTO event (id, contact, at, what, amount) VALUES (9000, 3, '2026-02-11', 'open', 2);
DELETE FROM event WHERE id % 5 = 0;
SQL
$node->check_scores('copy', 'a copy');
same_rows($node->scores('postgres'), $original, 'the original knows nothing of it');
note("$changes{same} changes that change nothing, $changes{other} that do");

$node->stop;
done_testing();
