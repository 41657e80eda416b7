# Logical replication: publisher and subscriber each keep the scores of a model
# of their own.  What the subscriber applies, at first and later, is counted
# once, and the scores are the same row by row.
use strict;
use warnings;

use Crm;
use LeadscoreNode;
use PostgreSQL::Test::Utils;
use Test::More;

my $publisher = LeadscoreNode->create('publisher', streaming => 'logical',
	conf => { logical_decoding_work_mem => '64kB', max_wal_senders => 10 });
my $subscriber = LeadscoreNode->create('subscriber', streaming => 'logical',
	conf => {
		max_logical_replication_workers => 10,
		max_sync_workers_per_subscription => 4,
		wal_retrieve_retry_interval => '100ms',
	});
my @subscriptions = ('main');

sub both
{
	my ($sql) = @_;
	$_->safe_psql('postgres', $sql) for $publisher, $subscriber;
}

# the same happened to both
sub replicated
{
	my ($what) = @_;
	$subscriber->wait_for_subscriptions($publisher, 'postgres', @subscriptions);
	my $wanted = $publisher->scores('postgres');
	same_rows($subscriber->scores('postgres'), $wanted, "$what: the subscriber has the same");
	$subscriber->check_scores('postgres', $what);
	same_rows($subscriber->stored_scores('postgres'), $publisher->stored_scores('postgres'), "$what: the same is stored");
	return $wanted;
}

sub pending
{
	return $subscriber->safe_psql('postgres', 'SELECT count(*) FROM leadscore.pending_m');
}

$_->hold_clock('postgres') for $publisher, $subscriber;
both("CREATE EXTENSION leadscore; $crm");
$subscriber->safe_psql('postgres', <<'SQL');
ALTER TABLE event ADD COLUMN twice float8 GENERATED ALWAYS AS (amount * 2) STORED, ADD COLUMN here text
SQL

$publisher->safe_psql('postgres', <<'SQL');
INSERT INTO contact SELECT g, g || '@a.example', CASE g % 3 WHEN 0 THEN 'DE' ELSE 'FR' END FROM generate_series(1, 40) g;
INSERT INTO event
	SELECT g, g % 45, timestamptz '2026-01-05 00:00+00' + g * interval '3 hours',
		CASE g % 3 WHEN 0 THEN 'buy' ELSE 'open' END, g % 7
	  FROM generate_series(1, 300) g;
INSERT INTO visit
	SELECT g, g % 50, timestamptz '2026-01-05 00:00+00' + g * interval '6 hours',
		CASE g % 4 WHEN 0 THEN 'prices' ELSE 'home' END
	  FROM generate_series(1, 160) g;
SQL
$publisher->safe_psql('postgres', $rules);
# on the subscriber a rule reads what is generated there
(my $subscriber_rules = $rules) =~ s/'buy', 2, 'amount'/'buy', 1, 'twice'/;
isnt($subscriber_rules, $rules, 'the subscriber has a rule of its own');
$subscriber->safe_psql('postgres', $subscriber_rules);

my $connection = $publisher->connstr . ' dbname=postgres';
$publisher->safe_psql('postgres',
	'CREATE PUBLICATION p FOR TABLE contact, event, visit WITH (publish_via_partition_root = true)');

################################################################################
# What must not be published

$publisher->safe_psql('postgres', 'CREATE PUBLICATION everything FOR ALL TABLES');
my ($code, $out, $err) = $subscriber->psql('postgres', <<"SQL");
CREATE SUBSCRIPTION wrong CONNECTION '$connection' PUBLICATION everything WITH (create_slot = false,
	slot_name = 'nowhere')
SQL
like($err, qr/ERROR:  subscription "wrong" would write leadscore's own table "\w+"/, 'a subscription to all tables is refused');
like($err, qr/HINT:  Publish the contact and event tables only/, '... with what to do');
is($subscriber->safe_psql('postgres', 'SELECT count(*) FROM pg_subscription'), 0, '... and is not there');

# what is published without being subscribed to can be written all the same
is($publisher->safe_psql('postgres', <<'SQL'), '', 'every table has a replica identity');
SELECT relname FROM pg_class c
 WHERE relnamespace IN ('leadscore'::regnamespace, 'leadscore_internal'::regnamespace) AND relkind = 'r'
	AND relreplident <> 'f'
	AND NOT EXISTS (SELECT FROM pg_index WHERE indrelid = c.oid AND indisprimary)
SQL
$publisher->safe_psql('postgres', <<'SQL');
BEGIN ISOLATION LEVEL REPEATABLE READ;
INSERT INTO event VALUES (1000, 1, '2026-02-01', 'open');
COMMIT;
SELECT leadscore.refresh();
SQL
is($publisher->safe_psql('postgres', 'SELECT count(*) FROM leadscore.pending_m'), 0,
	'what is pending is folded in where all tables are published');
$publisher->safe_psql('postgres', 'DROP PUBLICATION everything');

################################################################################
# The initial copy

$subscriber->safe_psql('postgres', "CREATE SUBSCRIPTION main CONNECTION '$connection' PUBLICATION p WITH (streaming = on)");
replicated('the initial copy');
is($subscriber->safe_psql('postgres', 'SELECT count(*) FROM event'), 301, '... which is there');

# A model made afterwards counts the rows that are there, and goes on.
(my $late = $subscriber_rules) =~ s/'m'/'late'/g;
$subscriber->safe_psql('postgres', $late);
same_rows($subscriber->scores('postgres', 'late'), $subscriber->scores('postgres'), 'a model made later has the same');

################################################################################
# Changes

$publisher->safe_psql('postgres', <<'SQL');
INSERT INTO event SELECT g, g % 45, '2026-02-10', 'open' FROM generate_series(2000, 2050) g;
INSERT INTO visit VALUES
	(900, 3, '2026-01-20', 'prices'), (901, 3, '2026-02-10', 'prices'), (902, 99, '2026-02-10', 'home');
SQL
replicated('rows of several partitions');
$publisher->safe_psql('postgres', "INSERT INTO contact VALUES (99, 'x', 'DE'), (100, 'y', 'DE')");
replicated('new contacts');

is(pending(), 0, 'nothing is pending');
$publisher->safe_psql('postgres', "UPDATE event SET note = 'n'; UPDATE contact SET note = 'n'");
$subscriber->wait_for_subscriptions($publisher, 'postgres', @subscriptions);
is($subscriber->safe_psql('postgres', "SELECT count(*) FROM event WHERE note = 'n'"), 352, 'updates have come');
is(pending(), 0, '... and put nothing aside where no rule looks at the column');
$publisher->safe_psql('postgres', <<'SQL');
UPDATE event SET amount = amount + 1 WHERE id % 5 = 0;
UPDATE event SET contact = contact + 1 WHERE id % 11 = 0;
UPDATE event SET what = 'buy', amount = 3 WHERE id % 13 = 0;
SQL
replicated('updated events');
$publisher->safe_psql('postgres', <<'SQL');
UPDATE contact SET country = 'DE' WHERE id % 4 = 0;
UPDATE contact SET id = 200 WHERE id = 5;
DELETE FROM contact WHERE id IN (6, 100);
SQL
replicated('updated and deleted contacts');
$publisher->safe_psql('postgres', <<'SQL');
UPDATE visit SET at = '2026-02-15' WHERE id = 900;
UPDATE visit SET page = 'prices' WHERE id < 20;
SQL
replicated('rows that change their partition');
$publisher->safe_psql('postgres', <<'SQL');
DELETE FROM event WHERE id % 7 = 0;
DELETE FROM visit WHERE id % 9 = 0;
SQL
replicated('deleted events');
same_rows($subscriber->scores('postgres', 'late'), $subscriber->scores('postgres'), 'the later model followed');
$subscriber->check_scores('postgres', 'the later model', 'late');

################################################################################
# Transactions: with savepoints, large ones that are streamed, prepared ones

$publisher->safe_psql('postgres', <<'SQL');
BEGIN;
INSERT INTO event VALUES (3000, 7, '2026-02-11', 'open');
SAVEPOINT s;
INSERT INTO event VALUES (3001, 7, '2026-02-11', 'buy', 50);
DELETE FROM event WHERE contact = 8;
ROLLBACK TO s;
SAVEPOINT s;
INSERT INTO event VALUES (3002, 7, '2026-02-11', 'buy', 5);
UPDATE event SET amount = 9 WHERE id = 3002;
COMMIT;
BEGIN;
INSERT INTO event VALUES (3003, 7, '2026-02-11', 'buy', 50);
ROLLBACK;
SQL
replicated('savepoints');
$publisher->safe_psql('postgres', <<'SQL');
INSERT INTO event SELECT g, g % 45, '2026-02-12', 'open', 1, repeat('x', 50) FROM generate_series(4000, 6000) g
SQL
replicated('a transaction that is streamed');
is($publisher->safe_psql('postgres', "SELECT stream_txns > 0 FROM pg_stat_replication_slots WHERE slot_name = 'main'"),
	't', '... as it was');

both(<<'SQL');
CREATE TABLE call (id int PRIMARY KEY, contact int, at timestamptz);
CREATE INDEX ON call (contact, at);
SQL
both(<<'SQL');
SET client_min_messages = warning;
SELECT leadscore.attach('m', 'call', 'contact', 'at');
INSERT INTO leadscore.lead_rule (model, name, source, points) VALUES ('m', 'call', 'call', 5);
SQL
$publisher->safe_psql('postgres', <<'SQL');
INSERT INTO call SELECT g, g % 30, '2026-02-01' FROM generate_series(1, 60) g;
CREATE PUBLICATION two FOR TABLE call;
SQL
$subscriber->safe_psql('postgres', "CREATE SUBSCRIPTION two CONNECTION '$connection' PUBLICATION two WITH (two_phase = on)");
push @subscriptions, 'two';
replicated('a second subscription');
$subscriber->poll_query_until('postgres', "SELECT subtwophasestate = 'e' FROM pg_subscription WHERE subname = 'two'");
$publisher->safe_psql('postgres', <<'SQL');
BEGIN;
INSERT INTO call VALUES (700, 9, '2026-02-12');
DELETE FROM call WHERE id = 12;
PREPARE TRANSACTION 'two';
SQL
$publisher->wait_for_catchup('two');
is($subscriber->safe_psql('postgres', 'SELECT count(*) FROM pg_prepared_xacts'), 1, 'a prepared transaction has come');
$publisher->safe_psql('postgres', "COMMIT PREPARED 'two'");
my $scores = replicated('a prepared transaction');

################################################################################
# A conflict that is skipped

$subscriber->safe_psql('postgres', "INSERT INTO event VALUES (8000, 2, '2026-02-12', 'open')");
my $offset = -s $subscriber->logfile;
$publisher->safe_psql('postgres', <<'SQL');
BEGIN;
INSERT INTO event VALUES (8001, 11, '2026-02-12', 'open');
INSERT INTO event VALUES (8000, 2, '2026-02-12', 'buy', 2);
COMMIT;
SQL
$subscriber->wait_for_log(qr/conflict|duplicate key value violates unique constraint/, $offset);
$subscriber->wait_for_log(qr/finished at [0-9A-F\/]+/, $offset);
my ($lsn) = slurp_file($subscriber->logfile, $offset) =~ /finished at ([0-9A-F]+\/[0-9A-F]+)/;
$subscriber->safe_psql('postgres', "ALTER SUBSCRIPTION main SKIP (lsn = '$lsn')");
$subscriber->wait_for_subscriptions($publisher, 'postgres', @subscriptions);
$subscriber->check_scores('postgres', 'a transaction that was skipped');
is($subscriber->safe_psql('postgres', 'SELECT count(*) FROM event WHERE id IN (8000, 8001)'), 1, '... has not come');
$subscriber->safe_psql('postgres', 'DELETE FROM event WHERE id = 8000');
$publisher->safe_psql('postgres', 'DELETE FROM event WHERE id IN (8000, 8001)');
same_rows(replicated('taken back'), $scores, '... all is as before');

################################################################################
# A table that is added

both(<<'SQL');
CREATE TABLE mail (id int PRIMARY KEY, contact int, at timestamptz);
CREATE INDEX ON mail (contact, at);
SQL
$publisher->safe_psql('postgres', "INSERT INTO mail SELECT g, g % 30, '2026-02-01' FROM generate_series(1, 60) g");
both(<<'SQL');
SET client_min_messages = warning;
SELECT leadscore.attach('m', 'mail', 'contact', 'at');
INSERT INTO leadscore.lead_rule (model, name, source, points) VALUES ('m', 'mail', 'mail', 2);
SQL
$publisher->safe_psql('postgres', 'ALTER PUBLICATION p ADD TABLE mail');
$subscriber->safe_psql('postgres', 'ALTER SUBSCRIPTION main REFRESH PUBLICATION');
replicated('a table that was added');
$publisher->safe_psql('postgres', <<'SQL');
INSERT INTO mail VALUES (100, 1, '2026-02-02');
DELETE FROM mail WHERE id = 7;
SQL
replicated('... and goes on');

################################################################################
# Partitions one by one: each leaf published as itself

$publisher->safe_psql('postgres', 'ALTER PUBLICATION p SET (publish_via_partition_root = false)');
$subscriber->safe_psql('postgres', 'ALTER SUBSCRIPTION main REFRESH PUBLICATION WITH (copy_data = false)');
$publisher->safe_psql('postgres', <<'SQL');
INSERT INTO visit VALUES (910, 3, '2026-01-21', 'prices'), (911, 4, '2026-02-11', 'prices');
UPDATE visit SET at = '2026-01-22' WHERE id = 911;
DELETE FROM visit WHERE id = 901;
SQL
replicated('leaves published one by one');
# a new leaf, on both sides, that is copied
both("CREATE TABLE visit_3 PARTITION OF visit FOR VALUES FROM ('2025-12-01') TO ('2026-01-01')");
$publisher->safe_psql('postgres', "INSERT INTO visit SELECT g, g % 50, '2025-12-20', 'home' FROM generate_series(920, 960) g");
$subscriber->safe_psql('postgres', 'ALTER SUBSCRIPTION main REFRESH PUBLICATION');
replicated('a new leaf');

################################################################################
# TRUNCATE

$publisher->safe_psql('postgres', 'TRUNCATE call');
replicated('a table that was truncated');
$publisher->safe_psql('postgres', 'TRUNCATE visit, event, mail');
replicated('tables that were truncated together');
is($subscriber->safe_psql('postgres', "SELECT count(*) FROM leadscore.score_m WHERE engagement > 0"), 0, '... nothing is left');
$publisher->safe_psql('postgres', <<'SQL');
INSERT INTO event VALUES (1, 1, '2026-02-12', 'open');
INSERT INTO visit VALUES (1, 1, '2026-02-12', 'home');
SQL
replicated('rows after that');

################################################################################
# A failover: the subscriber is written by its own users from now on

$subscriber->safe_psql('postgres', "DROP SUBSCRIPTION $_") for @subscriptions;
both(<<'SQL');
INSERT INTO event SELECT g, g % 20, '2026-02-13', 'open', 1 FROM generate_series(10, 60) g;
UPDATE event SET what = 'buy' WHERE id % 6 = 0;
DELETE FROM event WHERE id % 8 = 0;
SQL
same_rows($subscriber->scores('postgres'), $publisher->scores('postgres'), 'what its own users write is counted once');
$subscriber->check_scores('postgres', 'its own users');
is(pending(), 0, '... and nothing of it was put aside');

$subscriber->stop;
$publisher->stop;
done_testing();
