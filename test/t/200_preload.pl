# The library preloaded for the server, for a session, or loaded when it is first
# used: the same scores in each.
use strict;
use warnings;

use LeadscoreNode;
use Test::More;

my $node = LeadscoreNode->create('preload', library => 'none');

my $do = <<'SQL';
INSERT INTO events VALUES (1, '2026-01-08 00:00+00'), (9, '2026-01-08 00:00+00');
BEGIN; SAVEPOINT a; DELETE FROM events WHERE contact = 1; ROLLBACK TO a; COMMIT;
UPDATE contacts SET country = 'FR' WHERE id = 2;
SQL
my $see = <<'SQL';
SELECT contact_id, score FROM leadscore.score_m ORDER BY 1;
SELECT * FROM leadscore.verify('m');
SQL

for my $setting ('', "shared_preload_libraries = 'leadscore'", "session_preload_libraries = 'leadscore'")
{
	my $what = $setting || 'not preloaded';
	$node->adjust_conf('postgresql.conf', $_, undef) for qw(shared_preload_libraries session_preload_libraries);
	$node->append_conf('postgresql.conf', $setting);
	$node->restart;
	$node->safe_psql('postgres', 'DROP DATABASE IF EXISTS crm');
	$node->safe_psql('postgres', 'CREATE DATABASE crm');
	$node->safe_psql('crm', <<'SQL');
SET client_min_messages = warning;
CREATE EXTENSION leadscore;
CREATE TABLE contacts (id int PRIMARY KEY, country text);
CREATE TABLE events (contact int, at timestamptz);
CREATE INDEX ON events (contact);
INSERT INTO contacts VALUES (1, 'DE'), (2, 'DE');
SELECT leadscore.create_model('m', 'contacts');
SELECT leadscore.attach('m', 'events', 'contact', 'at');
INSERT INTO leadscore.lead_rule (model, name, points) VALUES ('m', 'event', 10);
INSERT INTO leadscore.lead_rule (model, name, kind, condition, points) VALUES ('m', 'german', 'profile', 'country = ''DE''', 1);
SQL
	# a session that has not called any of its functions
	$node->safe_psql('crm', $do);
	is($node->safe_psql('crm', $see), "1|11\n2|0\n9|10", "$what: in a session of its own");
	# settings are known before it is loaded, and checked when it is
	my ($code, $out, $err) = $node->psql('crm', <<"SQL",
SET leadscore.clock = '2030-02-01 00:00+00';
INSERT INTO events VALUES (2, '2026-01-08 00:00+00');
SELECT leadscore.clock();
SELECT scored_at FROM leadscore.score_m WHERE contact_id = 2;
$see
SQL
		on_error_stop => 0, extra_params => [ '-v', 'VERBOSITY=terse' ]);
	like($out, qr/^2030-02-01 00:00:00\+00\n2030-02-01 00:00:00\+00\n1\|11\n2\|10\n9\|10$/m, "$what: the clock is held");
	is($err, '', "$what: without a word");
	($code, $out, $err) = $node->psql('crm', <<"SQL", on_error_stop => 0);
SET leadscore.nonsense = 1;
INSERT INTO events VALUES (2, '2026-01-08 00:00+00');
$see
SQL
	like($out, qr/2\|20\n/, "$what: a setting that does not exist does no harm");
	# rules, tables and the extension change in a session that has just begun
	is($node->safe_psql('crm', "UPDATE leadscore.lead_rule SET points = 20 WHERE name = 'event'"), '', "$what: a rule changes");
	is($node->safe_psql('crm', $see), "1|21\n2|40\n9|20", "$what: the stored scores follow at commit");
	$node->safe_psql('crm', <<'SQL');
SET client_min_messages = warning;
ALTER TABLE events RENAME at TO happened;
DROP TABLE events;
SQL
	is($node->safe_psql('crm', $see), "1|1\n2|0", "$what: a table goes");
	$node->safe_psql('crm', "SELECT leadscore.detach_all(); DROP EXTENSION leadscore");
}

$node->stop;
done_testing();
