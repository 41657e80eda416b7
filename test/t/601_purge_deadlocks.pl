# TRUNCATE, DELETE and dropped leaves beside those who write to other tables of the
# same models: autocommitted statements never end in a deadlock, and the scores are
# right in the end.
#
#   LEADSCORE_SOAK=60    seconds (default 12)
use strict;
use warnings;

use LeadscoreNode;
use PostgreSQL::Test::Utils;
use Test::More;

my $seconds = $ENV{LEADSCORE_SOAK} || 12;
my $node = LeadscoreNode->create('deadlocks', worker => 1, streaming => 0,
	conf => { deadlock_timeout => '100ms', log_error_verbosity => 'verbose', autovacuum => 'on' });

$node->safe_psql('postgres', <<'SQL');
SET client_min_messages = warning;
CREATE EXTENSION leadscore;
CREATE TABLE contacts (id int PRIMARY KEY, country text);
INSERT INTO contacts SELECT g, 'DE' FROM generate_series(1, 60) g;
CREATE TABLE clicks (id bigserial, contact int, at timestamptz NOT NULL DEFAULT now(), part int) PARTITION BY LIST (part);
CREATE TABLE clicks_0 PARTITION OF clicks FOR VALUES IN (0);
CREATE TABLE clicks_rest PARTITION OF clicks DEFAULT;
CREATE TABLE mails (id bigserial, contact int, at timestamptz NOT NULL DEFAULT now());
CREATE TABLE visits (id bigserial, contact int, at timestamptz NOT NULL DEFAULT now(), part int) PARTITION BY LIST (part);
CREATE TABLE visits_rest PARTITION OF visits DEFAULT;
CREATE INDEX ON clicks (contact, at);
CREATE INDEX ON clicks (id);
CREATE INDEX ON mails (contact, at);
CREATE INDEX ON mails (id);
CREATE INDEX ON visits (contact, at);
SELECT leadscore.create_model(m, 'contacts'), leadscore.attach(m, 'clicks', 'contact', 'at'), leadscore.attach(m, 'mails', 'contact', 'at'),
	leadscore.attach(m, 'visits', 'contact', 'at', on_delete => 'keep') FROM unnest(ARRAY['m', 'n']) m;
INSERT INTO leadscore.lead_rule (model, name, source, points, award, at_least, decay, decay_interval, max_per_period,
	period)
	SELECT m, s || '_' || n, s, 10, 'each', 1 + n, d, i, l, p
	FROM unnest(ARRAY['m', 'n']) m, unnest(ARRAY['clicks', 'mails', 'visits']) s,
	(VALUES (0, 'none', NULL::interval, NULL::float8, NULL::interval), (1, 'half_life', '7 days', NULL, NULL),
		(2, 'none', NULL, 25, '1 day')) r (n, d, i, l, p);
INSERT INTO leadscore.lead_rule (model, name, kind, points, condition) VALUES ('m', 'german', 'profile', 2, 'country = ''DE''');
INSERT INTO leadscore.lead_stage (model, stage, position, enter_at) VALUES ('m', 'warm', 1, 50);
SQL

my $some = 'generate_series(1, :n)';
my @files = pgbench_scripts(
	'click@8' => <<"SQL",
\\set n random(1, 9)
INSERT INTO clicks (contact, part) SELECT (random() * 70)::int, (random() * 2)::int FROM $some;
SQL
	'mail@8' => "\\set n random(1, 9)\nINSERT INTO mails (contact) SELECT (random() * 70)::int FROM $some;",
	'visit@8' => <<"SQL",
\\set n random(1, 9)
INSERT INTO visits (contact, part) SELECT (random() * 70)::int, (random() * 9)::int FROM $some;
SQL
	'unclick@4' => "\\set c random(1, 70)\nDELETE FROM clicks WHERE contact IN (:c, :c + 3, :c - 9);",
	'unmail@4' => "\\set c random(1, 70)\nDELETE FROM mails WHERE contact IN (:c, :c + 3, :c - 9);",
	'purge@3' => "DELETE FROM visits WHERE contact % 7 = 0;",
	'update@4' => "\\set c random(1, 70)\nUPDATE mails SET contact = :c WHERE contact = :c + 1;",
	'move@3' => "\\set c random(1, 70)\nUPDATE clicks SET contact = :c, part = 0 WHERE contact = :c + 1;",
	'person@3' => <<'SQL',
\set c random(1, 60)
UPDATE contacts SET country = CASE country WHEN 'DE' THEN 'FR' ELSE 'DE' END WHERE id = :c;
SQL
	'empty_clicks@1' => "TRUNCATE clicks;",
	'empty_leaf@2' => "TRUNCATE clicks_0;",
	'empty_mails@1' => "TRUNCATE mails;",
	'empty_visits@1' => "TRUNCATE visits;",
	'keep@1' => "SET leadscore.on_delete = keep;\nTRUNCATE mails;\nRESET leadscore.on_delete;",
	'leaf@2' => <<'SQL',
CREATE TABLE v_:client_id PARTITION OF visits FOR VALUES IN (100 + :client_id);
INSERT INTO visits (contact, part) SELECT g, 100 + :client_id FROM generate_series(1, 70, 7) g;
DROP TABLE v_:client_id;
SQL
	'snapshot@3' => <<"SQL",
\\set n random(1, 3)
BEGIN ISOLATION LEVEL REPEATABLE READ;
INSERT INTO mails (contact) SELECT (random() * 70)::int FROM $some;
COMMIT;
SQL
	'refresh@1' => "SELECT leadscore.refresh();");
my ($out, $err) = ('', '');
IPC::Run::run([ 'pgbench', '-n', '-h', $node->host, '-p', $node->port, '-c', 6, '-j', 1, '-T', $seconds, @files, 'postgres' ],
	'>', \$out, '2>', \$err);
unlike($err, qr/ERROR|aborted/, 'no statement failed') or diag($err);
my ($done) = $out =~ /transactions actually processed: (\d+)/;
cmp_ok($done // 0, '>', 20 * $seconds, "they did something: " . ($done // 'nothing'));
my $log = PostgreSQL::Test::Utils::slurp_file($node->logfile);
my @deadlocks = $log =~ /(ERROR:  deadlock detected\n(?:.*(?:DETAIL|HINT|CONTEXT|STATEMENT|\t).*\n)+)/g;
is(scalar @deadlocks, 0, 'the log has no deadlock') or diag($deadlocks[0]);
is($node->safe_psql('postgres', "SELECT deadlocks FROM pg_stat_database WHERE datname = 'postgres'"), 0,
	'nor have the statistics');
unlike($log, qr/PANIC|TRAP|terminated by signal|XX000/, 'no crash');
for my $model (qw(m n))
{
	is($node->safe_psql('postgres', "SELECT * FROM leadscore.verify('$model') WHERE status = 'wrong'"), '',
		"$model: nothing is wrong");
	$node->safe_psql('postgres', "SELECT leadscore.refresh('$model')");
	is($node->safe_psql('postgres', "SELECT * FROM leadscore.verify('$model')"), '', "$model: and nothing pending, refreshed");
}
cmp_ok($node->safe_psql('postgres', 'SELECT count(*) FROM leadscore.purged_m'), '>', 0, 'something was kept');

# A row that goes straight into a leaf asks for the parent after the leaf, who drops
# or detaches it before; in plain PostgreSQL this is a deadlock.
for my $command ('DROP TABLE clicks_0', 'ALTER TABLE clicks DETACH PARTITION clicks_0')
{
	my ($insert_err, $ddl_err) = ('', '');
	my @psql = ('psql', '-X', '-q', '-h', $node->host, '-p', $node->port, '-d', 'postgres');
	my $insert = IPC::Run::start([ @psql, '-c', 'INSERT INTO clicks_0 (contact, part) SELECT 1, 0 FROM pg_sleep(1.5)' ],
		'>', \my $none, '2>', \$insert_err);
	ok($node->poll_query_until('postgres', "SELECT count(*) = 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep'"),
		"an INSERT into the leaf, then $command");
	IPC::Run::run([ @psql, '-c', "BEGIN; $command; ROLLBACK" ], '>', \$none, '2>', \$ddl_err);
	$insert->finish;
	is("$insert_err$ddl_err", '', 'both end well');
}
$node->stop;
done_testing();
