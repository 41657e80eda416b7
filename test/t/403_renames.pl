# What is renamed while the worker counts and others write, in sessions that have known
# the models for long, and in a dump.
use strict;
use warnings;

use LeadscoreNode;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = LeadscoreNode->create('renames', worker => 1,
	conf => {
		'leadscore.inline_limit' => 100,
		'leadscore.naptime' => 100,
		'leadscore.job_rate' => 1500,
		deadlock_timeout => '200ms',
	});
$node->safe_psql('postgres', <<'SQL');
SET client_min_messages = warning;
CREATE EXTENSION leadscore;
CREATE TYPE kind AS ENUM ('click', 'open');
CREATE TABLE guest (id int PRIMARY KEY, country text);
CREATE TABLE act (guest int, at timestamptz NOT NULL, what kind, amount int);
CREATE INDEX ON act (guest, at);
CREATE TABLE letter (guest int, at timestamptz NOT NULL, what kind, amount int);
CREATE INDEX ON letter (guest, at);
SELECT leadscore.create_model('m', 'guest');
SELECT leadscore.attach('m', 'act', 'guest', 'at', 'what');
SELECT leadscore.attach('m', 'letter', 'guest', 'at', 'what', mode => 'queued');
INSERT INTO leadscore.lead_rule (model, name, source, event, condition, points) VALUES
	('m', 'click', 'act', 'click', NULL, 1),
	('m', 'large', 'act', NULL, 'amount > 5', 100),
	('m', 'both', 'act', NULL, 'what = ''click'' AND amount > 5', 10000),
	('m', 'letter', 'letter', 'click', 'amount > 5', 1000000);
INSERT INTO leadscore.lead_rule (model, name, kind, condition, points) VALUES ('m', 'here', 'profile', 'country = ''DE''', 0.5);
INSERT INTO guest SELECT g, 'DE' FROM generate_series(1, 2000) g;
INSERT INTO act
	SELECT 1 + g % 2000, '2026-01-01', CASE g % 2 WHEN 0 THEN 'click'::kind ELSE 'open' END, g % 10
	  FROM generate_series(1, 5000) g;
INSERT INTO letter SELECT 1 + g % 2000, '2026-01-01', 'click', g % 10 FROM generate_series(1, 1000) g;
SQL

my $idle = <<'SQL';
SELECT NOT EXISTS (SELECT FROM leadscore.lead_job WHERE state IN ('waiting', 'running'))
	AND (SELECT coalesce(sum(changes), 0) = 0 FROM leadscore.pending('m'))
SQL
$node->within(60, $idle, 'all is counted');

sub right
{
	my ($what) = @_;
	is($node->safe_psql('postgres', "SELECT count(*) FROM leadscore.verify('m')"), '0', $what);
	is($node->safe_psql('postgres', "SELECT count(*) FROM leadscore.lead_rule WHERE backfilled_version IS NOT DISTINCT FROM 0"),
		'0', '... and no rule sleeps');
}

################################################################################
# Beside the worker, and writers who do not name what is renamed

right('before');
my $counted = $node->safe_psql('postgres',
	"SELECT string_agg(backfilled_version::text, ' ' ORDER BY rule_id) FROM leadscore.lead_rule");
my $writer = $node->background_psql('postgres');
my $known = $node->background_psql('postgres');
$known->query_safe("SELECT leadscore.score('m', 1)");
$known->query_safe(<<'SQL');
PREPARE write AS INSERT INTO act SELECT g, '2026-01-02', enum_first(NULL::kind), 10 FROM generate_series(1, 3) g
SQL
$known->query_safe("PREPARE ask AS SELECT leadscore.score('m', 1) = leadscore.replay('m', 1)");
$known->query_safe('EXECUTE write');
is($known->query_safe('EXECUTE ask'), 't', 'a session that goes on');

$node->safe_psql('postgres', "SELECT leadscore.rescore('m', online => true)");
$node->within(30, "SELECT count(*) = 1 FROM leadscore.lead_job WHERE state = 'running' AND done > 100", 'a job counts');
$writer->query_until(qr/began/, <<'SQL');
\echo began
DO $$ BEGIN FOR i IN 1 .. 60 LOOP
	INSERT INTO act SELECT 1 + i * g % 2000, '2026-01-03', enum_first(NULL::kind), 10 FROM generate_series(1, 5) g;
	INSERT INTO letter SELECT 1 + i * g % 2000, '2026-01-03', enum_first(NULL::kind), 10 FROM generate_series(1, 5) g;
	PERFORM pg_sleep(0.01);
	COMMIT;
END LOOP; END $$;
SQL
foreach my $i (1 .. 6)
{
	my ($from, $to) = $i % 2 ? ('click', "it's a tap") : ("it's a tap", 'click');
	my ($old, $new) = $i % 2 ? ('amount', '"the amount"') : ('"the amount"', 'amount');
	$node->safe_psql('postgres', <<"SQL");
ALTER TYPE kind RENAME VALUE \$\$$from\$\$ TO \$\$$to\$\$;
ALTER TABLE act RENAME $old TO $new;
ALTER TABLE letter RENAME $old TO $new;
SQL
	$known->query_safe('EXECUTE write');
	is($known->query_safe('EXECUTE ask'), 't', "... and on, $i");
}
$node->safe_psql('postgres', <<'SQL');
ALTER TYPE kind RENAME VALUE $$click$$ TO $$tap$$;
ALTER TABLE guest RENAME country TO land;
ALTER TABLE guest RENAME id TO number;
ALTER TABLE act RENAME at TO moment;
ALTER TABLE letter RENAME guest TO addressee;
SQL
$writer->quit;
$node->within(60, $idle, 'the job ends, what was queued is folded in');
is($node->safe_psql('postgres', "SELECT count(*) FROM leadscore.lead_job WHERE error IS NOT NULL"), '0', 'no job has failed');
is($node->safe_psql('postgres', 'SELECT count(*) FROM leadscore.lead_worker_error'), '0', 'nor the worker');
right('after it');
is($node->safe_psql('postgres', "SELECT string_agg(backfilled_version::text, ' ' ORDER BY rule_id) FROM leadscore.lead_rule"),
	$counted, '... and is counted under the version of before');
is($node->safe_psql('postgres', <<'SQL'),
SELECT string_agg(concat_ws($$: $$, name, event, condition), $$; $$ ORDER BY rule_id) FROM leadscore.lead_rule
SQL
	q{click: tap; large: amount > 5; both: what = 'tap' AND amount > 5; letter: tap: amount > 5; here: land = 'DE'},
	'... by its new names');
is($known->query_safe('EXECUTE ask'), 't', 'the session that goes on');
$known->quit;

################################################################################
# Dumped and restored

my $sum = <<'SQL';
SELECT count(*), sum(score), (SELECT count(*) FROM leadscore.lead_rule_history WHERE operation = 'RENAME')
  FROM leadscore.score_m
SQL
my $before = $node->safe_psql('postgres', $sum);
my $dump = $node->basedir . '/dump';
$node->command_ok([ 'pg_dump', '-Fc', '-f', $dump, '-d', $node->connstr('postgres') ], 'a dump');
$node->safe_psql('postgres', 'CREATE DATABASE again');
$node->command_ok([ 'pg_restore', '-1', '-d', $node->connstr('again'), $dump ], '... is restored');
is($node->safe_psql('again', $sum), $before, '... with what was renamed');
is($node->safe_psql('again', "SELECT count(*) FROM leadscore.verify('m')"), '0', '... and right');
$node->safe_psql('again', 'ALTER TYPE kind RENAME VALUE $$tap$$ TO $$touch$$');
is($node->safe_psql('again', "SELECT event FROM leadscore.lead_rule WHERE name = 'click'"), 'touch',
	'... and followed from then on');

$node->stop;
done_testing();
