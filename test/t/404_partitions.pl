# Tables above those that feed models, and contact tables that cannot be gone by: with a
# dump, with logical replication, with a worker, and with foreign tables on a server
# that is there.
use strict;
use warnings;

use LeadscoreNode;
use PostgreSQL::Test::Utils;
use Test::More;

my $scores = <<'SQL';
SELECT string_agg(contact_id || ':' || score, ' ' ORDER BY contact_id)
	|| coalesce((SELECT ' BUT ' || string_agg(v::text, ' ') FROM leadscore.verify('m') v), '')
  FROM leadscore.score_m
SQL

# one that has a table above that which feeds the model, whose columns lie elsewhere
my $tables = <<'SQL';
SET client_min_messages = warning;
CREATE TABLE guest (id int PRIMARY KEY, plan text);
INSERT INTO guest VALUES (1, 'no'), (2, 'no'), (3, 'no');
CREATE TABLE act (guest int, at timestamptz DEFAULT '2026-02-01 00:00+00', k int PRIMARY KEY) PARTITION BY RANGE (k);
CREATE TABLE act_1 PARTITION OF act FOR VALUES FROM (0) TO (100);
CREATE TABLE whole (k int PRIMARY KEY, guest int, at timestamptz DEFAULT '2026-02-01 00:00+00') PARTITION BY RANGE (k);
CREATE TABLE rest PARTITION OF whole FOR VALUES FROM (100) TO (1000);
SQL
my $model = <<'SQL';
SET client_min_messages = warning;
SELECT leadscore.create_model('m', 'guest');
SELECT leadscore.attach('m', 'act', 'guest', 'at');
INSERT INTO leadscore.lead_rule (model, name, points) VALUES ('m', 'act', 10);
INSERT INTO leadscore.lead_rule (model, name, kind, condition, points) VALUES ('m', 'pro', 'profile', 'plan = ''pro''', 100);
SET client_min_messages = error;
ALTER TABLE whole ATTACH PARTITION act FOR VALUES FROM (0) TO (100);
SQL

my $node = LeadscoreNode->create('parts', streaming => 'logical');

################################################################################
# A dump, of a database whose owner is no superuser, in which they are so

$node->safe_psql('postgres', <<'SQL');
CREATE ROLE landlord LOGIN;
CREATE DATABASE first OWNER landlord;
CREATE DATABASE second OWNER landlord;
SQL
$node->safe_psql($_, <<'SQL') for 'first', 'second';
SET client_min_messages = warning;
CREATE EXTENSION leadscore;
SQL
$node->hold_clock($_) for 'first', 'second';
$node->safe_psql('first', <<"SQL");
SET ROLE landlord;
$tables $model INSERT INTO whole (guest, k) VALUES (1, 1), (2, 200);
SQL
is($node->safe_psql('first', $scores), '1:10 2:0 3:0', 'a row through the table above counts');
my $dump = $node->basedir . '/first.dump';
$node->command_ok([ 'pg_dump', '-Fc', '-U', 'landlord', '-f', $dump, $node->connstr('first') ], 'its owner dumps it');
$node->command_ok([ 'pg_restore', '-1', '--no-owner', '-U', 'landlord', '-d', $node->connstr('second')
	. ' user=landlord', $dump ], '... and restores it');
$node->safe_psql('second', 'SELECT leadscore.refresh()');
is($node->safe_psql('second', $scores), '1:10 2:0 3:0', '... as it was');
$node->safe_psql('second', <<'SQL');
INSERT INTO whole (guest, k) VALUES (1, 2), (3, 3), (2, 201);
UPDATE whole SET guest = 2 WHERE k IN (1, 200);
DELETE FROM whole WHERE k = 3;
SQL
is($node->safe_psql('second', $scores), '1:10 2:10 3:0', 'it goes on there');
$node->safe_psql('second', 'ALTER TABLE whole DETACH PARTITION act CONCURRENTLY');
is($node->safe_psql('second', "SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'leadscore_above%'"), 0,
	'what is detached concurrently leaves no trigger behind');
$node->safe_psql('second', 'INSERT INTO act (guest, k) VALUES (3, 4)');
is($node->safe_psql('second', $scores), '1:10 2:10 3:10', '... and counts as any other');

# one is suspended when it is dumped, and goes on when it can in the other
$node->safe_psql('first', <<'SQL');
SET client_min_messages = error;
ALTER TABLE guest DROP CONSTRAINT guest_pkey;
INSERT INTO whole (guest, k) VALUES (2, 5);
SQL
$node->command_ok([ 'pg_dump', '-Fc', '-f', $dump, $node->connstr('first') ], 'a database with a suspended model is dumped');
$node->safe_psql('postgres', 'DROP DATABASE second; CREATE DATABASE second');
$node->hold_clock('second');
$node->command_ok([ 'pg_restore', '-1', '-d', $node->connstr('second'), $dump ], '... and restored');
$node->safe_psql('second', 'SELECT leadscore.refresh()');
is($node->safe_psql('second', <<'SQL'), '1:10 2:0 3:0', '... as it was');
SELECT string_agg(contact_id || ':' || score, ' ' ORDER BY contact_id) FROM leadscore.score_m
SQL
$node->safe_psql('second', <<'SQL');
SET client_min_messages = error;
ALTER TABLE guest ADD PRIMARY KEY (id);
SQL
is($node->safe_psql('second', $scores), '1:10 2:10 3:0', 'with its key it goes on, and what was missed counts');

################################################################################
# Logical replication into the table above, and into its parts

my $subscriber = LeadscoreNode->create('subscriber', streaming => 'logical',
	conf => { wal_retrieve_retry_interval => '100ms' });
$node->safe_psql('postgres',
	"$tables ALTER TABLE whole ATTACH PARTITION act FOR VALUES FROM (0) TO (100); INSERT INTO whole (guest, k) VALUES (1, 1), (2, 200)");
$subscriber->hold_clock('postgres');
$subscriber->safe_psql('postgres', <<"SQL");
SET client_min_messages = warning;
CREATE EXTENSION leadscore;
$tables DELETE FROM guest;
$model
SQL
$node->safe_psql('postgres', 'CREATE PUBLICATION p FOR TABLE whole, guest WITH (publish_via_partition_root = true)');
my $connection = $node->connstr . ' dbname=postgres';
$subscriber->safe_psql('postgres', "CREATE SUBSCRIPTION main CONNECTION '$connection' PUBLICATION p");

sub applied
{
	my ($wanted, $what) = @_;
	$subscriber->wait_for_subscriptions($node, 'postgres', 'main');
	$subscriber->safe_psql('postgres', 'SELECT leadscore.refresh()');
	is($subscriber->safe_psql('postgres', $scores), $wanted, $what);
	return;
}
applied('1:10 2:0 3:0', 'what is copied at first counts');
$node->safe_psql('postgres', <<'SQL');
INSERT INTO whole (guest, k) VALUES (3, 2), (3, 3), (3, 201);
UPDATE whole SET k = k + 300 WHERE k = 1;
UPDATE guest SET plan = $$pro$$ WHERE id = 2;
UPDATE whole SET k = 4 WHERE k = 200;
DELETE FROM whole WHERE k = 2;
SQL
applied('1:0 2:110 3:10', 'what is applied through the table above does, also what moves');
$node->safe_psql('postgres', 'ALTER PUBLICATION p SET (publish_via_partition_root = false)');
$subscriber->safe_psql('postgres', 'ALTER SUBSCRIPTION main REFRESH PUBLICATION WITH (copy_data = false)');
$subscriber->wait_for_subscriptions($node, 'postgres', 'main');
$node->safe_psql('postgres', <<'SQL');
INSERT INTO whole (guest, k) VALUES (1, 7), (1, 400);
DELETE FROM whole WHERE k = 3;
SQL
applied('1:10 2:110 3:0', 'what is applied to its parts does');
$subscriber->safe_psql('postgres', 'DROP SUBSCRIPTION main');
$subscriber->safe_psql('postgres', 'INSERT INTO whole (guest, k) VALUES (1, 8)');
is($subscriber->safe_psql('postgres', $scores), '1:20 2:110 3:0', 'and what is written there');

################################################################################
# A worker notices what no command tells

$subscriber->append_settings('leadscore.enabled' => 'on', 'leadscore.naptime' => '100ms');
$subscriber->restart;
$subscriber->safe_psql('postgres', <<'SQL');
SET client_min_messages = error;
CREATE ROLE keeper;
GRANT ALL ON SCHEMA public TO keeper;
ALTER TABLE act OWNER TO keeper;
ALTER TABLE act_1 OWNER TO keeper;
ALTER TABLE guest OWNER TO keeper;
UPDATE leadscore.lead_model SET enabled = true;
ALTER ROLE keeper BYPASSRLS;
ALTER TABLE guest ENABLE ROW LEVEL SECURITY;
ALTER TABLE guest FORCE ROW LEVEL SECURITY;
INSERT INTO whole (guest, k) VALUES (3, 9);
SQL
is($subscriber->safe_psql('postgres', $scores), '1:20 2:110 3:10', 'row security that the owner need not mind');
$subscriber->safe_psql('postgres', 'ALTER ROLE keeper NOBYPASSRLS');
$subscriber->safe_psql('postgres', <<'SQL');
SET client_min_messages = error;
INSERT INTO whole (guest, k) VALUES (3, 10);
UPDATE whole SET guest = 2 WHERE k = 8;
SQL
is($subscriber->safe_psql('postgres', 'SELECT score FROM leadscore.score_m WHERE contact_id = 3'), 10,
	'one that the owner has to mind suspends the model');
is($subscriber->safe_psql('postgres', <<'SQL'), 'waiting|t', '... and a job waits');
SELECT state, error LIKE 'model "m" is suspended: %' FROM leadscore.lead_job WHERE state <> 'done'
SQL
$subscriber->safe_psql('postgres', 'ALTER ROLE keeper BYPASSRLS');
$subscriber->within(60, "SELECT count(*) = 0 FROM leadscore.lead_job WHERE state <> 'done'",
	'the worker does the job when it need not any more', 'postgres');
is($subscriber->safe_psql('postgres', $scores), '1:10 2:120 3:20', '... and what was missed counts');

################################################################################
# Rows of foreign tables that can be read

SKIP:
{
	skip 'there is no postgres_fdw here', 6
		if $subscriber->safe_psql('postgres', "SELECT count(*) FROM pg_available_extensions WHERE name = 'postgres_fdw'") == 0;
	my ($host, $port) = ($subscriber->host, $subscriber->port);
	$subscriber->safe_psql('postgres', <<"SQL");
SET client_min_messages = error;
CREATE EXTENSION postgres_fdw;
CREATE SERVER here FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '$host', port '$port', dbname 'postgres');
CREATE USER MAPPING FOR PUBLIC SERVER here OPTIONS (user '${\ $subscriber->safe_psql('postgres', 'SELECT current_user')}',
	password_required 'false');
CREATE TABLE far_away (guest int, at timestamptz, k int);
INSERT INTO far_away VALUES (1, '2026-02-01 00:00+00', 50);
CREATE TABLE own (guest int, at timestamptz DEFAULT '2026-02-01 00:00+00', k int) PARTITION BY RANGE (k);
CREATE TABLE own_1 PARTITION OF own FOR VALUES FROM (0) TO (50);
GRANT SELECT ON own, own_1 TO keeper;
SELECT leadscore.attach('m', 'own', 'guest', 'at');
INSERT INTO leadscore.lead_rule (model, name, source, points) VALUES ('m', 'own', 'own', 1000);
CREATE FOREIGN TABLE far PARTITION OF own FOR VALUES FROM (50) TO (100) SERVER here OPTIONS (table_name 'far_away');
INSERT INTO own (guest, k) VALUES (1, 1);
SQL
	is($subscriber->safe_psql('postgres', 'SELECT count(*) FROM own WHERE guest = 1'), 2, 'two rows are there');
	is($subscriber->safe_psql('postgres', $scores), '1:1010 2:120 3:20', '... and the local one counts');
	$subscriber->safe_psql('postgres', "SELECT leadscore.rescore('m')");
	is($subscriber->safe_psql('postgres', $scores), '1:1010 2:120 3:20', '... also when all are counted again');
	$subscriber->safe_psql('postgres', 'UPDATE own_1 SET guest = 2');
	is($subscriber->safe_psql('postgres', $scores), '1:10 2:1120 3:20', '... and when one of them is changed');
	# a role that may read the table, and not its parts
	$subscriber->safe_psql('postgres', 'REVOKE SELECT ON own_1 FROM keeper');
	$subscriber->safe_psql('postgres', "SELECT leadscore.rescore('m')");
	is($subscriber->safe_psql('postgres', $scores), '1:10 2:1120 3:20', 'for an owner who may read the table only');
	isnt($subscriber->psql('postgres', 'INSERT INTO own (guest, k) VALUES (1, 51)'), 0,
		'what is written to it through the table fails, as the warning says');
}
$_->stop for $subscriber, $node;
done_testing();
