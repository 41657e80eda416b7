# Two and eight sessions write the events of the same three contacts, whose rows they
# read without a lock: with savepoints, rollbacks, waits that are given up and statements
# that are cancelled, also in the midst of writing.  What is stored is right in the end.
use strict;
use warnings;

use LeadscoreNode;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = LeadscoreNode->create('same_contacts', conf => { deadlock_timeout => '20ms' });

$node->safe_psql('postgres', <<'SQL');
SET client_min_messages = warning;
CREATE EXTENSION leadscore;
CREATE TABLE contacts (id int PRIMARY KEY, country text);
INSERT INTO contacts SELECT g, 'DE' FROM generate_series(1, 3) g;
CREATE TABLE events (contact int, at timestamptz NOT NULL, what text);
CREATE INDEX ON events (contact, at);
SELECT leadscore.create_model('m', 'contacts');
SELECT leadscore.attach('m', 'events', 'contact', 'at', 'what');
INSERT INTO leadscore.lead_rule (model, name, event, points, at_least, decay, decay_interval) VALUES
	('m', 'open', 'open', 10, DEFAULT, 'half_life', '1 second'),
	('m', 'fresh', NULL, 8, DEFAULT, 'half_life', '7 days'),
	('m', 'often', 'open', 100, 50, DEFAULT, NULL);
INSERT INTO leadscore.lead_rule (model, name, kind, condition, points) VALUES ('m', 'here', 'profile', 'country = ''DE''', 1);
INSERT INTO leadscore.lead_stage (model, stage, position, enter_at) VALUES ('m', 'warm', 1, 300), ('m', 'hot', 2, 2000);
-- a statement that is given up, or cancelled, leaves nothing, and the transaction goes on
CREATE FUNCTION try(sql text) RETURNS boolean LANGUAGE plpgsql AS $$
	BEGIN
		EXECUTE sql;
		RETURN true;
	EXCEPTION WHEN lock_not_available OR deadlock_detected OR query_canceled THEN
		RETURN false;
	END $$;
CREATE FUNCTION cancel_one() RETURNS boolean LANGUAGE sql AS $$
	SELECT pg_cancel_backend(pid) FROM pg_stat_activity
	 WHERE query LIKE '%try(%' AND state = 'active' AND pid <> pg_backend_pid() AND (wait_event_type = 'Lock' OR random() < 0.02)
	 ORDER BY random() LIMIT 1 $$;
SQL

my $event = "INSERT INTO events SELECT c, now() - random() * interval ''3 days'', ''open'' FROM generate_series(:c, :d) c";
my @files = pgbench_scripts(
	'one@6' => <<'SQL',
\set c random(1, 3)
INSERT INTO events VALUES (:c, now(), 'open');
SQL
	# who waits for this one has read the row before
	'holds@3' => <<'SQL',
\set c random(1, 3)
BEGIN;
SELECT contact_id FROM leadscore.score_m WHERE contact_id = :c FOR NO KEY UPDATE;
INSERT INTO events VALUES (:c, now(), 'open');
COMMIT;
SQL
	'several@3' => <<"SQL",
\\set c random(1, 3)
\\set d random(:c, 3)
\\set wait random(1, 6)
BEGIN;
SET LOCAL lock_timeout = :wait;
SELECT try('$event');
SAVEPOINT a;
SELECT try('$event');
ROLLBACK TO a;
SELECT try('$event');
COMMIT;
SQL
	'undone@2' => <<"SQL",
\\set c random(1, 3)
\\set d random(:c, 3)
BEGIN;
SET LOCAL lock_timeout = 20;
SELECT try('$event');
ROLLBACK;
SQL
	'moves@1' => <<'SQL',
\set c random(1, 3)
BEGIN;
SET LOCAL lock_timeout = 20;
SELECT try('UPDATE contacts SET country = CASE country WHEN ''DE'' THEN ''FR'' ELSE ''DE'' END WHERE id = :c');
COMMIT;
SQL
	'taken_back@1' => <<'SQL',
\set c random(1, 3)
BEGIN;
SET LOCAL lock_timeout = 20;
SELECT try('DELETE FROM events WHERE ctid = (SELECT ctid FROM events WHERE contact = :c ORDER BY at DESC LIMIT 1)');
COMMIT;
SQL
	'altered@1' => <<'SQL',
BEGIN;
SET LOCAL lock_timeout = 20;
SELECT try('ALTER TABLE leadscore.score_m ALTER COLUMN state SET STATISTICS 10');
COMMIT;
SQL
	'cancel@1' => "SELECT cancel_one();\n\\sleep 2 ms");

for my $clients (2, 8)
{
	# a session that is cancelled between two statements goes
	my ($out, $err) = run_command([ 'pgbench', '-n', '-c', $clients, '-j', 2, '-T', 4, '-h', $node->host, '-p', $node->port, @files, 'postgres' ]);
	like($out, qr/number of transactions actually processed: [1-9]/, "$clients sessions have written");
	unlike($err, qr/ERROR: (?!.*cancel)/, 'nothing has failed but what was cancelled') or diag($err);
	is($node->safe_psql('postgres', "SELECT leadscore.refresh('m'); SELECT * FROM leadscore.verify('m')") =~ s/^\d+\n?//r,
		'', "what is stored is right after $clients sessions");
}
is($node->safe_psql('postgres', <<'SQL'), '3|t', 'each contact has a row, and is due at most once');
SELECT count(*), (SELECT count(*) = count(DISTINCT contact_id) FROM leadscore.due_m) FROM leadscore.score_m
SQL

done_testing();
