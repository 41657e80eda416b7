# Minutes of writers of every kind while rules, stages, sources, partitions and
# models come and go: verify finds nothing, during and after.  No statement may end in
# a deadlock, neither of a writer nor of one who changes tables, rules or models.
#
#   LEADSCORE_SOAK=600    seconds (default 150)
use strict;
use warnings;

use LeadscoreNode;
use PostgreSQL::Test::Utils;
use Test::More;

need_long();
my $seconds = $ENV{LEADSCORE_SOAK} || 150;

my $node = LeadscoreNode->create('soak', worker => 1, streaming => 0,
	conf => { log_lock_waits => 'on', autovacuum => 'on' });

$node->safe_psql('postgres', <<'SQL');
SET client_min_messages = warning;
CREATE EXTENSION leadscore;
CREATE FUNCTION worth(float8) RETURNS float8 LANGUAGE sql IMMUTABLE AS 'SELECT 2 * $1';
CREATE TABLE contacts (id int PRIMARY KEY, country text, note text);
CREATE TABLE events (id bigint NOT NULL, contact int, at timestamptz NOT NULL, what text, amount float8) PARTITION BY RANGE (id);
CREATE SEQUENCE ids;
CREATE TABLE e_0 PARTITION OF events FOR VALUES FROM (0) TO (1000);
CREATE TABLE e_rest PARTITION OF events DEFAULT;
CREATE TABLE e_loose (LIKE events);
ALTER TABLE e_loose ADD CHECK (id >= -1000 AND id < 0);
CREATE INDEX ON events (contact, at);
CREATE INDEX ON events (id);
CREATE TABLE visits (contact int, at timestamptz NOT NULL, opened timestamptz);
CREATE INDEX ON visits (contact, at);
INSERT INTO contacts SELECT g, 'DE' FROM generate_series(1, 150) g;
INSERT INTO events SELECT g, g % 170, now() - g * interval '1 hour', 'open', 1 FROM generate_series(1, 800) g;
INSERT INTO e_loose SELECT -g, g % 170, now() - g * interval '1 hour', 'open', 1 FROM generate_series(1, 200) g;
SELECT leadscore.create_model('m', 'contacts');
SELECT leadscore.attach('m', 'events', 'contact', 'at', 'what');
SELECT leadscore.attach('m', 'visits', 'contact', 'at');
SELECT leadscore.create_model('n', 'contacts', categories => '{heat}');
SELECT leadscore.attach('n', 'events', 'contact', 'at', 'what');
INSERT INTO leadscore.lead_rule (model, name, source, event, points, weight, decay, decay_interval, time_frame,
	at_least, max_per_period) VALUES
	('m', 'open', 'events', 'open', 10, NULL, 'half_life', '7 days', NULL, DEFAULT, NULL),
	('m', 'buy', 'events', 'buy', 3, 'public.worth(amount)', 'none', NULL, NULL, DEFAULT, NULL),
	('m', 'often', 'events', NULL, 25, NULL, 'none', NULL, '30 days', 5, NULL),
	('m', 'daily', 'visits', NULL, 1, NULL, 'linear', '20 days', NULL, DEFAULT, 3);
INSERT INTO leadscore.lead_rule (model, category, name, points, at_least) VALUES ('n', 'heat', 'all', 1, 3);
INSERT INTO leadscore.lead_rule (model, name, kind, points, idle) VALUES ('m', 'silent', 'absence', -5, '3 days');
INSERT INTO leadscore.lead_rule (model, name, kind, points, condition) VALUES ('m', 'german', 'profile', 2, 'country = ''DE''');
INSERT INTO leadscore.lead_stage (model, stage, position, enter_at) VALUES ('m', 'warm', 1, 50), ('m', 'hot', 2, 200);
SQL

my $rows = <<'SQL';
SELECT nextval('ids') + 10000, (random() * 170)::int, now() - random() * interval '40 days',
	(ARRAY['open', 'buy', 'other'])[1 + (random() * 2)::int], random() * 9
  FROM generate_series(1, :n)
SQL
my @files = pgbench_scripts(
	'insert@6' => "\\set n random(1, 20)\nINSERT INTO events $rows;",
	'visit@3' => <<'SQL',
\set n random(1, 8)
INSERT INTO visits SELECT (random() * 170)::int, now() - random() * interval '9 days' FROM generate_series(1, :n);
SQL
	'both@2' => <<"SQL",
\\set n random(1, 8)
WITH v AS (INSERT INTO visits SELECT (random() * 170)::int, now()
	  FROM generate_series(1, 4)) INSERT INTO events $rows;
SQL
	'delete@2' => "\\set id random(1, 800)\nDELETE FROM events WHERE id = :id;",
	'again@2' => <<'SQL',
\set id random(1, 800)
\set c random(1, 170)
INSERT INTO events SELECT :id, :c, now(), 'open', 1 WHERE NOT EXISTS (SELECT FROM events WHERE id = :id);
SQL
	'update@2' => <<'SQL',
\set id random(1, 800)
\set c random(1, 170)
UPDATE events SET contact = :c, amount = :id WHERE id = :id;
SQL
	'contact@2' => <<'SQL',
\set c random(1, 150)
UPDATE contacts SET country = CASE country WHEN 'DE' THEN 'FR' ELSE 'DE' END WHERE id = :c;
SQL
	'newcomer@1' => <<'SQL',
\set c random(151, 170)
INSERT INTO contacts VALUES (:c, 'DE') ON CONFLICT (id) DO UPDATE SET country = 'FR';
SQL
	'gone@1' => "\\set c random(140, 170)\nDELETE FROM contacts WHERE id = :c;",
	'rolled@2' => <<"SQL",
\\set n random(1, 5)
\\set c random(1, 170)
BEGIN;
SAVEPOINT a;
INSERT INTO events VALUES (1, :c, now(), 'open');
ROLLBACK TO a;
INSERT INTO events $rows;
COMMIT;
SQL
	'snapshot@2' => <<"SQL");
\\set n random(1, 3)
BEGIN ISOLATION LEVEL REPEATABLE READ;
INSERT INTO events $rows;
COMMIT;
SQL

# What is done meanwhile, each in a session of its own.
my @changes = (
	"UPDATE leadscore.lead_rule SET points = points + 1 WHERE name = 'open'",
	"UPDATE leadscore.lead_rule SET points = points * 1.01",
	"UPDATE leadscore.lead_rule SET event = CASE event WHEN 'buy' THEN 'other' ELSE 'buy' END WHERE name = 'buy'",
	"UPDATE leadscore.lead_rule SET decay_interval = decay_interval + '1 hour' WHERE name IN ('open', 'daily')",
	<<'SQL',
INSERT INTO leadscore.lead_rule (model, name, source, event, points) VALUES ('m', 'passing', 'events', 'other', 4);
DELETE FROM leadscore.lead_rule WHERE name = 'passing';
SQL
	<<'SQL',
BEGIN;
UPDATE leadscore.lead_rule SET points = 0.5 WHERE name = 'often';
SELECT count(*) FROM leadscore.live_m;
ROLLBACK;
SQL
	<<'SQL',
BEGIN;
UPDATE leadscore.lead_rule SET enabled = NOT enabled WHERE name = 'silent';
UPDATE leadscore.lead_rule SET points = points + 1 WHERE name = 'all';
COMMIT;
SQL
	<<'SQL',
BEGIN;
UPDATE leadscore.lead_rule SET points = points + 1 WHERE name = 'all';
UPDATE leadscore.lead_rule SET enabled = NOT enabled WHERE name = 'silent';
COMMIT;
SQL
	"UPDATE leadscore.lead_stage SET enter_at = enter_at + 1 WHERE stage = 'warm'",
	"UPDATE leadscore.lead_model SET enabled = NOT enabled WHERE model = 'n'",
	"SELECT leadscore.refresh()", "SELECT leadscore.rescore('m')",
	<<'SQL',
SELECT leadscore.attach('m', 'visits', 'contact', 'opened', source => 'opened');
UPDATE visits SET opened = at WHERE ctid = '(0,1)';
SELECT leadscore.detach('m', 'opened');
SQL
	<<'SQL',
SELECT leadscore.attach('n', 'visits', 'contact', 'at');
SELECT leadscore.detach('n', 'visits');
SQL
	(map { "CREATE OR REPLACE FUNCTION worth(float8) RETURNS float8 LANGUAGE sql IMMUTABLE AS 'SELECT $_ * \$1'" } 2, 3),
	<<'SQL',
SELECT leadscore.create_model('o', 'contacts');
SELECT leadscore.attach('o', 'events', 'contact', 'at');
SELECT leadscore.drop_model('o');
SQL
	<<'SQL',
ALTER TABLE events ATTACH PARTITION e_loose FOR VALUES FROM (-1000) TO (0);
INSERT INTO e_loose SELECT -500, 3, now(), 'open';
ALTER TABLE events DETACH PARTITION e_loose;
SQL
	<<'SQL',
CREATE TABLE e_new PARTITION OF events FOR VALUES FROM (1000) TO (1010);
INSERT INTO e_new VALUES (1001, 1, now(), 'open');
DROP TABLE e_new;
SQL
	"ALTER TABLE contacts ADD COLUMN z int; ALTER TABLE contacts DROP COLUMN z",
	<<'SQL',
CREATE TABLE calls (contact int, at timestamptz NOT NULL);
INSERT INTO calls SELECT g, now() FROM generate_series(1, 170) g;
SELECT leadscore.attach('m', 'calls', 'contact', 'at');
DROP TABLE calls;
SQL
	<<'SQL',
ALTER TABLE visits ALTER opened TYPE timestamp;
ALTER TABLE visits ALTER opened TYPE timestamptz;
SQL
	"UPDATE leadscore.lead_rule SET draft = NOT draft WHERE name IN ('open', 'all')",
	"SELECT leadscore.rescore('m', online => true)", "TRUNCATE visits",
	<<'SQL',
CREATE TABLE people (id int PRIMARY KEY, at timestamptz NOT NULL DEFAULT now());
INSERT INTO people SELECT generate_series(1, 50);
SELECT leadscore.create_model('p', 'people');
SELECT leadscore.attach('p', 'events', 'contact', 'at');
DROP TABLE people CASCADE;
SQL
	<<'SQL',
SET leadscore.inline_limit = 0;
UPDATE leadscore.lead_rule SET event = CASE event WHEN 'buy' THEN 'other' ELSE 'buy' END WHERE name = 'buy';
SQL
	"SELECT count(*) FROM leadscore.live_m JOIN contacts ON contact_id = id JOIN visits ON visits.contact = id",
	<<'SQL', "VACUUM leadscore.score_m", "ANALYZE");
SELECT leadscore.merge_contacts('m', 149, 148);
SELECT leadscore.unmerge('m', 148);
SQL

my ($stdout, $stderr) = ('', '');
my @connection = ('-h', $node->host, '-p', $node->port);
my $bench = IPC::Run::start([ 'pgbench', '-n', @connection, '-c', 5, '-j', 1, '-T', $seconds, '--max-tries', 100,
	@files, 'postgres' ], '>', \$stdout, '2>', \$stderr);
my $end = time + $seconds;
my ($done, @errors, $wrong) = (0);
srand($ENV{LEADSCORE_SEED} || time);
# two sessions may well want the same of a name
my $crossed = qr/already exists|already feeds|does not exist|is not a partition|already a partition|duplicate key/;
$crossed = qr/$crossed|tuple concurrently updated|would overlap|cannot feed/;
while (time < $end)
{
	# two at a time
	my @pair = map { $changes[ rand @changes ] } 1 .. 2;
	my @runs = map { my ($out, $err) = ('', ''); { out => \$out, err => \$err, what => $_,
		run => IPC::Run::start([ 'psql', '-X', '-q', @connection, '-d', 'postgres', '-c',
			'SET client_min_messages = warning', map { ('-c', $_) } /^BEGIN/ ? $_ : split(/;\s+/, $_) ], '<', \undef,
			'>', \$out, '2>', \$err) } } @pair;
	for my $r (@runs)
	{
		$r->{run}->finish;
		$done++;
		push @errors, "$r->{what}: ${$r->{err}}" if ${ $r->{err} } && ${ $r->{err} } !~ $crossed;
	}
	next if rand() > 0.2;
	# stored rows and events of one snapshot belong together
	$wrong = $node->safe_psql('postgres', "SELECT v.* FROM leadscore.verify('m') v WHERE status = 'wrong' LIMIT 3");
	is($wrong, '', 'verify finds nothing wrong while they write') if $wrong;
}
$bench->finish;
note($stdout =~ s/SQL script 1:.*//sr, "changes: $done");
unlike($stderr, qr/aborted|ERROR/, 'the writers ran to their end') or diag($stderr);
ok(!$wrong, 'verify found nothing wrong while they wrote');

my $log = PostgreSQL::Test::Utils::slurp_file($node->logfile);
my @deadlocks = $log =~ /(ERROR:  deadlock detected\n(?:.*(?:DETAIL|HINT|CONTEXT|STATEMENT|\t).*\n)+)/g;
note(scalar(@deadlocks) . " deadlocks");
is(scalar @deadlocks, 0, 'no deadlocks') or diag(@deadlocks);
diag($_) for grep { !/deadlock detected/ } @errors;
is(scalar(grep { !/deadlock detected/ } @errors), 0, 'no other errors');
unlike($log, qr/PANIC|TRAP|terminated by signal|XX000/, 'no crash');

$node->safe_psql('postgres', <<'SQL');
SET client_min_messages = warning;
UPDATE leadscore.lead_model SET enabled = true WHERE NOT enabled;
SQL
# what was put aside, and what jobs have still to count
$node->safe_psql('postgres', "SELECT leadscore.refresh()");
is($node->safe_psql('postgres', "SELECT '$_', v.* FROM leadscore.verify('$_') v LIMIT 5"), '',
	"$_: verify finds nothing in the end") for qw(m n);
$node->stop;
done_testing();
