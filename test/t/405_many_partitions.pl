# A table with very many partitions: what can be attached can be detached, and the
# extension dropped, with the settings that a server has by default.
use strict;
use warnings;

use LeadscoreNode;
use Test::More;

my $node = LeadscoreNode->create('partitions',
	conf => { max_connections => 100, max_locks_per_transaction => 64, max_prepared_transactions => 0 });
$node->safe_psql('postgres', 'CREATE DATABASE crm');
$node->safe_psql('crm', <<'SQL');
CREATE EXTENSION leadscore;
CREATE TABLE contact (id int PRIMARY KEY);
CREATE TABLE event (contact int, at timestamptz) PARTITION BY RANGE (at);
CREATE INDEX ON event (contact, at);
CREATE TABLE visit (contact int, at timestamptz);
CREATE INDEX ON visit (contact, at);
DO $$ BEGIN
	FOR i IN 0 .. 1399 LOOP
		EXECUTE format('CREATE TABLE event_%s PARTITION OF event FOR VALUES FROM (%L) TO (%L)', i,
			timestamptz '2026-01-01' + i * interval '1 day', timestamptz '2026-01-01' + (i + 1) * interval '1 day');
		IF i % 100 = 99 THEN COMMIT; END IF;
	END LOOP;
END $$;
SQL
my $attach = "SELECT leadscore.attach('m', 'event', 'contact', 'at');";
$node->safe_psql('crm', <<'SQL');
SELECT leadscore.create_model('m', 'contact');
SELECT leadscore.attach('m', 'visit', 'contact', 'at');
SQL
$node->safe_psql('crm', <<'SQL');
INSERT INTO leadscore.lead_rule (model, name, source, points) VALUES ('m', 'visit', 'visit', 5);
INSERT INTO visit VALUES (1, '2026-01-01');
SQL

sub runs
{
	my ($sql, $wanted, $name) = @_;
	is($node->said('crm', "SET client_min_messages = error; $sql", on_error_stop => 1), $wanted, $name);
}
my $triggers = <<'SQL';
SELECT count(*) FROM pg_trigger
 WHERE tgname LIKE 'leadscore%' AND tgrelid IN (SELECT inhrelid FROM pg_inherits WHERE inhparent = 'event'::regclass)
SQL
runs("$attach INSERT INTO leadscore.lead_rule (model, name, source, points) VALUES ('m', 'event', 'event', 1); $triggers",
	"\n9800" =~ s/^\n/\n/r, 'a table of 1,400 partitions is attached');
runs(<<'SQL', '6', '... and counts');
INSERT INTO event_7 VALUES (1, '2026-01-08');
SELECT score FROM leadscore.score_m;
SQL
runs(<<"SQL", "\n0\n5", '... detached');
SELECT leadscore.detach('m', 'event');
$triggers;
SELECT score FROM leadscore.score_m;
SQL
runs(<<'SQL', '5', '... and counts no more');
INSERT INTO event_7 VALUES (1, '2026-01-08');
INSERT INTO event VALUES (1, '2026-01-09');
SELECT score FROM leadscore.score_m;
SELECT * FROM leadscore.verify('m');
SQL
# how many there is room for depends on more than the settings
my $locks = 'SELECT count(*) FROM pg_locks WHERE pid = pg_backend_pid()';
my ($attached) = $node->safe_psql('crm', <<"SQL") =~ /(\d+)/;
SET client_min_messages = error;
BEGIN;
$attach $locks;
ROLLBACK;
SQL
$node->safe_psql('crm', "SET client_min_messages = error; $attach");
my ($detached) = $node->safe_psql('crm', <<"SQL") =~ /(\d+)/;
SET client_min_messages = error;
BEGIN;
SELECT leadscore.detach('m', 'event');
$locks;
ROLLBACK;
SQL
cmp_ok($detached, '<=', $attached, 'detaching takes no more locks than attaching');
my ($blocking) = $node->safe_psql('crm', <<"SQL") =~ /(\d+)/;
SET client_min_messages = error;
BEGIN;
SELECT leadscore.detach('m', 'event');
$locks AND mode = 'AccessExclusiveLock' AND relation::regclass::text LIKE 'event%';
ROLLBACK;
SQL
is($blocking, '0', '... and none against readers');
$node->safe_psql('crm', "SET client_min_messages = error; SELECT leadscore.detach('m', 'event')");
runs("$attach SELECT leadscore.drop_model('m'); $triggers", "\n\n0", '... and dropped with its model');
runs("SELECT leadscore.create_model('m', 'contact'); $attach", "leadscore.score_m\n", 'again');
runs(<<"SQL", "\n0\n0", '... and detached with detach_all(model)');
SELECT leadscore.detach_all('m');
$triggers;
SELECT count(*) FROM pg_depend
 WHERE classid = 'pg_trigger'::regclass AND NOT EXISTS (SELECT FROM pg_trigger t WHERE t.oid = objid);
SQL
runs("SELECT leadscore.create_model('m', 'contact'); $attach", "leadscore.score_m\n", 'again');
my ($out, $err) = ('', '');
$node->psql('crm', 'DROP EXTENSION leadscore', stderr => \$err);
like($err,
	qr/cannot drop extension leadscore because other objects depend on it.*HINT:  Call leadscore.detach_all\(\) first.*leadscore.detach_all\(model\)/s,
	'DROP EXTENSION says what to do');
runs(<<"SQL", '0', '... and works with CASCADE');
DROP EXTENSION leadscore CASCADE;
$triggers;
INSERT INTO event VALUES (1, '2026-01-09');
SQL
$node->stop;
done_testing();
