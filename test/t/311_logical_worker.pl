# Logical replication with workers at work on both sides: writers at all levels and
# of queued sources on the publisher, whose worker folds; a subscriber that scores, whose
# worker folds what is applied meanwhile; and one without the extension that receives
# the score tables themselves.  In the end all have the same, row by row, and nobody
# but replication has written what is replicated.
use strict;
use warnings;

use Crm;
use LeadscoreNode;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

my $seconds = 8;
my %conf = (track_commit_timestamp => 'on', 'leadscore.naptime' => '20ms', max_worker_processes => 30);
my $publisher = LeadscoreNode->create('publisher', streaming => 'logical',
	conf => { %conf, max_wal_senders => 20, max_replication_slots => 20, log_lock_waits => 'on' });
my $subscriber = LeadscoreNode->create('subscriber', streaming => 'logical',
	conf => {
		%conf,
		max_logical_replication_workers => 12,
		max_sync_workers_per_subscription => 4,
		wal_retrieve_retry_interval => '100ms',
	});
my $dir = PostgreSQL::Test::Utils::tempdir;

sub both
{
	my ($sql) = @_;
	$_->safe_psql('postgres', $sql) for $publisher, $subscriber;
}

$_->hold_clock('postgres') for $publisher, $subscriber;
my $call = <<'SQL';
CREATE TABLE call (id int PRIMARY KEY, contact int, at timestamptz);
CREATE INDEX ON call (contact, at);
SQL
my $call_rules = <<'SQL';
SELECT leadscore.attach('m', 'call', 'contact', 'at', mode => 'queued');
INSERT INTO leadscore.lead_rule (model, name, source, points) VALUES ('m', 'call', 'call', 5);
SQL
both("CREATE EXTENSION leadscore; $crm $call $rules $call_rules CREATE SEQUENCE ids START 1000");
$publisher->safe_psql('postgres', <<'SQL');
INSERT INTO contact SELECT g, g || '@a.example', CASE g % 3 WHEN 0 THEN 'DE' ELSE 'FR' END FROM generate_series(1, 40) g;
INSERT INTO event
	SELECT g, g % 45, timestamptz '2026-01-05 00:00+00' + g * interval '3 hours',
		CASE g % 3 WHEN 0 THEN 'buy' ELSE 'open' END, g % 7
	  FROM generate_series(1, 300) g;
CREATE PUBLICATION crm FOR TABLE contact, event, visit, call WITH (publish_via_partition_root = true);
CREATE PUBLICATION scores FOR TABLE leadscore.score_m, leadscore.due_m, leadscore.pending_m, leadscore.profile_m;
SQL

# the one without the extension has but the tables
$subscriber->safe_psql('postgres', 'CREATE DATABASE plain');
command_ok([ 'pg_dump', '-s', map({ ('-t', "leadscore.${_}_m") } qw(score due pending profile)), '-f',
	"$dir/tables.sql", $publisher->connstr('postgres') ], 'the score tables');
{
	# what is the extension's own is not there
	my $sql = join '', grep { !/^CREATE TRIGGER leadscore|^COMMENT|^GRANT|^ALTER TABLE .* OWNER/ } split /^/,
		slurp_file("$dir/tables.sql");
	$subscriber->safe_psql('plain', "CREATE SCHEMA leadscore; $sql");
}

################################################################################
# All at once

$_->configure(enabled => 'on') for $publisher, $subscriber;
my $connection = $publisher->connstr . ' dbname=postgres';
# some contacts only get new events: a contact that is counted again would hide what was lost
my $writers = <<'SQL';
\set c random(0, 45)
\set d random(0, 25)
\set n random(1, 7)
SQL
append_to_file("$dir/snapshot.sql", $writers . <<'SQL');
BEGIN ISOLATION LEVEL REPEATABLE READ;
INSERT INTO event VALUES (nextval('ids'), :c, '2026-02-19', 'buy', :n);
INSERT INTO call VALUES (nextval('ids'), :d, '2026-02-19');
UPDATE event SET amount = :n WHERE id = (SELECT min(id) FROM event WHERE contact = :d);
INSERT INTO visit VALUES (nextval('ids'), :c, '2026-01-19', 'prices');
COMMIT;
SQL
append_to_file("$dir/serializable.sql", $writers . <<'SQL');
BEGIN ISOLATION LEVEL SERIALIZABLE;
INSERT INTO event VALUES (nextval('ids'), :c, '2026-02-18', 'open');
DELETE FROM call WHERE id = (SELECT max(id) FROM call WHERE contact = :d);
COMMIT;
SQL
append_to_file("$dir/ordinary.sql", $writers . <<'SQL');
INSERT INTO event VALUES (nextval('ids'), :c, '2026-02-17', 'open', :n), (nextval('ids'), :d, '2026-02-16', 'buy', :n);
INSERT INTO call SELECT nextval('ids'), g, '2026-02-15' FROM generate_series(:c, :c + 3) g;
UPDATE visit SET page = 'prices', at = '2026-02-10' WHERE id = (SELECT min(id) FROM visit WHERE contact = :d);
DELETE FROM event WHERE id = (SELECT min(id) FROM event WHERE contact = :d);
UPDATE contact SET country = CASE country WHEN 'DE' THEN 'FR' ELSE 'DE' END WHERE id = :d;
INSERT INTO contact VALUES (nextval('ids'), 'new', 'DE');
SQL
my @writers = map { IPC::Run::start([ 'pgbench', '-n', '-c', 2, '-T', $seconds, '--max-tries=50', '-f', "$dir/$_.sql",
	$publisher->connstr('postgres') ],
	'>', "$dir/$_.out", '2>&1') } qw(snapshot serializable ordinary);

# subscribed to in the midst of it
sleep 1;
$subscriber->safe_psql('postgres', "CREATE SUBSCRIPTION crm CONNECTION '$connection' PUBLICATION crm");
$subscriber->safe_psql('plain', "CREATE SUBSCRIPTION scores CONNECTION '$connection' PUBLICATION scores");

# and whoever applies or folds is ended now and then
my ($most, $until) = (0, time + $seconds - 2);
while (time < $until)
{
	my $pending = $subscriber->safe_psql('postgres', 'SELECT count(*) FROM leadscore.pending_m');
	$most = $pending if $pending > $most;
	$subscriber->safe_psql('postgres', <<'SQL') if rand() < 0.2;
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
 WHERE backend_type IN ('leadscore worker', 'logical replication worker') AND random() < 0.1
SQL
	sleep 0.1;
}
$_->finish for @writers;
for my $name (qw(snapshot serializable ordinary))
{
	my $out = slurp_file("$dir/$name.out");
	# one that is to be tried again when the time is over is not, in each client
	ok($out =~ /number of failed transactions: ([0-2]) / && $out !~ /aborted/, "$name: no writer failed") or diag($out);
	my ($done) = $out =~ /number of transactions actually processed: (\d+)/;
	cmp_ok($done // 0, '>', 20, "... $done transactions");
}
cmp_ok($most, '>', 0, "there was something pending while it was applied, $most rows at most");

################################################################################
# In the end

$subscriber->wait_for_subscriptions($publisher, 'postgres', 'crm');
for my $node ($publisher, $subscriber)
{
	my $name = $node->name;
	$node->within(60, 'SELECT count(*) = 0 FROM leadscore.pending_m', "$name: all is folded in");
	is($node->safe_psql('postgres', "SELECT * FROM leadscore.verify('m') LIMIT 5"), '', "$name: stored is what the events give");
	is($node->safe_psql('postgres', 'SELECT model, contact, message FROM leadscore.lead_worker_error'), '',
		"$name: the worker had no trouble");
}
$subscriber->wait_for_subscriptions($publisher, 'plain', 'scores');

my $stored = <<'SQL';
SELECT contact_id, round(score::numeric, 6), fit, round(engagement::numeric, 6), grade, disqualified, has_contact,
	last_event_at
  FROM leadscore.score_m ORDER BY contact_id
SQL
my $wanted = $publisher->safe_psql('postgres', $stored);
cmp_ok(scalar(split /\n/, $wanted), '>', 40, 'there are contacts');
same_rows($subscriber->safe_psql('postgres', $stored), $wanted, 'the subscriber that scores has stored the same');
same_rows($subscriber->scores('postgres'), $publisher->scores('postgres'), '... and knows the same');
for my $table (qw(contact event visit call))
{
	my $rows = "SELECT * FROM $table ORDER BY id";
	cmp_ok($subscriber->safe_psql('postgres', "SELECT count(*) FROM $table"), '>', 40, "$table has rows");
	same_rows($subscriber->safe_psql('postgres', $rows), $publisher->safe_psql('postgres', $rows),
		"... from the same rows of $table");
	is($subscriber->safe_psql('postgres', <<"SQL"), 0, '... which only replication has written');
SELECT count(*) FROM $table WHERE coalesce((pg_xact_commit_timestamp_origin(xmin)).roident, 0) = 0
SQL
}
is($subscriber->safe_psql('postgres', <<'SQL'), 0, '... and scores only by its own worker');
SELECT count(*) FROM leadscore.score_m WHERE (pg_xact_commit_timestamp_origin(xmin)).roident > 0
SQL

for my $table (qw(score due pending profile))
{
	my $rows = "SELECT t::text FROM leadscore.${table}_m t ORDER BY t::text";
	same_rows($subscriber->safe_psql('plain', $rows), $publisher->safe_psql('postgres', $rows),
		"the one without the extension has the same ${table}_m");
	is($subscriber->safe_psql('plain', <<"SQL"), 0, '... which only replication has written');
SELECT count(*) FROM leadscore.${table}_m WHERE coalesce((pg_xact_commit_timestamp_origin(xmin)).roident, 0) = 0
SQL
}
is($subscriber->safe_psql('postgres', <<'SQL'), 0, '... and no worker is there');
SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'leadscore worker' AND datname = 'plain'
SQL

# it goes on
$publisher->safe_psql('postgres', <<'SQL');
BEGIN ISOLATION LEVEL REPEATABLE READ;
INSERT INTO event VALUES (1, 1, '2026-02-20', 'buy', 100);
INSERT INTO call VALUES (1, 1, '2026-02-20');
COMMIT;
SQL
$subscriber->within(30, <<'SQL', 'a later transaction is folded in by the subscriber');
SELECT abs(score - leadscore.replay('m', 1)) < 1e-6 AND leadscore.replay('m', 1) > 200 FROM leadscore.score_m
 WHERE contact_id = 1
SQL
is($publisher->safe_psql('postgres', 'SELECT round(score::numeric, 6) FROM leadscore.score_m WHERE contact_id = 1'),
	$subscriber->safe_psql('postgres', 'SELECT round(score::numeric, 6) FROM leadscore.score_m WHERE contact_id = 1'),
	'... to the same');
unlike(slurp_file($_->logfile), qr/deadlock detected/, $_->name . ': no deadlock') for $publisher, $subscriber;

$subscriber->safe_psql('postgres', 'DROP SUBSCRIPTION crm');
$subscriber->safe_psql('plain', 'DROP SUBSCRIPTION scores');
$subscriber->stop;
$publisher->stop;
done_testing();
