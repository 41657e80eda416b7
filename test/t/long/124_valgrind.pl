# The way of a row through the triggers, and of merged contacts and visitors, also
# where rules fail; and of statements over many contacts, which are spilled, undone by
# a savepoint and subtracted; under valgrind: no errors with anything of ours on the stack.  A
# palloc overrun is only seen by a server built with USE_VALGRIND:
# test/bin/valgrind-server builds one from Debian's source, and
# LEADSCORE_VALGRIND_PG_CONFIG names one that there is, with leadscore installed.
use strict;
use warnings;

use Callgrind;
use FindBin;
use LeadscoreNode;
use Test::More;

BEGIN { need_long() }

need_valgrind();
my $top = "$FindBin::Bin/../../..";
my $script = do { local $/; <DATA> };

# PostgreSQL's own, which its cache of regular expressions draws from anybody; and the
# rest of a tape's last block, which a server built with USE_VALGRIND calls defined.
my $known = qr/Source\ and\ destination\ overlap\ in\ memcpy.*RE_compile_and_cache
	|Syscall\ param\ pwrite64\(buf\)\ points\ to\ uninitialised.*LogicalTape.*tuplesort_/sx;

# check runs the script under valgrind; what it finds is counted where the
# stack goes through leadscore.so.
sub check
{
	my ($what, $suppressions) = @_;
	my $data = make_cluster();
	my $log = "$data.valgrind";

	single('postgres', "CREATE DATABASE crm;\n");
	my $out = single('crm', $script, "valgrind --leak-check=no --gen-suppressions=no --num-callers=30 --error-limit=no"
		  . " --trace-children=no" . ($suppressions ? " --suppressions=$suppressions" : '') . " --log-file=$log");
	open(my $file, '<', $log) or die "no log of valgrind: $!\n";
	my @blocks = split /^==\d+== \n/m, do { local $/; <$file> };
	my $files = join '|', map { s{.*/}{}r } glob("$top/src/*/*.c");
	my @ours = grep { /leadscore\.so|\((?:$files):\d+\)/ && !/$known/ } @blocks;

	like($out, qr/verified = "0".*again = "0".*many = "0"/s, "$what: the script ran");
	ok(scalar(grep { /ERROR SUMMARY/ } @blocks), "$what: valgrind ran to the end");
	is(join("\n", @ours), '', "$what: no errors of ours");
}

check('this server');

SKIP: {
	my $config = $ENV{LEADSCORE_VALGRIND_PG_CONFIG} // '';
	my $reason;
	if ($config eq '')
	{
		my $out = `$top/test/bin/valgrind-server build $top 2>&1`;
		($config) = $out =~ /^PG_CONFIG=(.*)$/m;
		$reason = (grep { /\S/ } split /\n/, $out)[-1] unless $config;
	}
	skip "no server built with USE_VALGRIND: $reason", 3 unless $config;
	my ($suppressions) = grep { -r } (($config =~ s{/[^/]*/[^/]*$}{}r) . '/valgrind.supp');
	use_server($config);
	check('a server built with USE_VALGRIND', $suppressions);
}

done_testing();

__DATA__
CREATE EXTENSION leadscore;
CREATE TABLE contact (id text PRIMARY KEY, country text, since timestamptz);
CREATE TABLE event (who text, at timestamptz, opened timestamp, what text, url text, amount float8) PARTITION BY RANGE (at);
CREATE TABLE event_2026 PARTITION OF event FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
CREATE TABLE event_rest PARTITION OF event DEFAULT;
CREATE INDEX ON event (who, at);
CREATE TABLE view (who text, cookie text, at timestamptz, n int);
CREATE INDEX ON view (who, at);
CREATE INDEX ON view (cookie, at);
SELECT leadscore.create_model('m', 'contact', created_at => 'since', time_zone => 'Europe/London');
SELECT leadscore.attach('m', 'event', 'who', 'at', event => 'what');
SELECT leadscore.attach('m', 'event', 'who', 'opened', source => 'opened');
INSERT INTO leadscore.lead_rule (model, source, name, event, condition, points, weight, award, decay, decay_interval,
	decay_keep, time_frame, at_least, max_points, max_per_period) VALUES
 ('m', 'event', 'half', 'a', NULL, 1, NULL, NULL, 'half_life', '7 days', NULL, NULL, 1, NULL, NULL),
 ('m', 'event', 'linear', 'a', 'url ~ ''x''', 1, NULL, NULL, 'linear', '30 days', NULL, NULL, 1, 10, NULL),
 ('m', 'event', 'step', 'b', NULL, 1, 'ln(amount)', NULL, 'step', '7 days', 0.5, NULL, 1, NULL, NULL),
 ('m', 'event', 'frame', NULL, 'amount / (amount - 5) > 0', 2, NULL, NULL, 'half_life', '3 days', NULL, '14 days', 2, NULL, NULL),
 ('m', 'event', 'limit', NULL, NULL, 2, 'amount', 'each', 'none', NULL, NULL, NULL, 1, NULL, 5),
 ('m', 'opened', 'once', NULL, NULL, 5, NULL, 'once', 'half_life', '7 days', NULL, NULL, 3, NULL, NULL);
INSERT INTO leadscore.lead_rule (model, name, kind, points, award, idle) VALUES ('m', 'idle', 'absence', -1, 'each', '3 days');
INSERT INTO leadscore.lead_rule (model, name, kind, condition, points) VALUES ('m', 'near', 'profile', 'country = ''FR''', 3);
INSERT INTO leadscore.lead_rule (model, source, name, event, points, disqualifies) VALUES ('m', 'event', 'out', 'out', 0, true);
INSERT INTO leadscore.lead_stage (model, stage, position, enter_at, condition) VALUES
	('m', 'mql', 1, 5, 'country IS NOT NULL AND score > 5'), ('m', 'sql', 2, 40, NULL);
INSERT INTO leadscore.lead_grade (model, category, grade, min_points) VALUES ('m', 'engagement', '1', 50), ('m', 'engagement', '2', 0);
INSERT INTO leadscore.lead_action (model, name, occasion, stage, score_level, rule, deliver)
VALUES ('m', 'moved', 'stage_entered', NULL, NULL, NULL, 'outbox'),
 ('m', 'hot', 'score_rises', NULL, 20, NULL, 'outbox'), ('m', 'quiet', 'rule_in_force', NULL, NULL, 'idle', 'notify');
UPDATE leadscore.lead_model SET daily = true WHERE model = 'm';
INSERT INTO contact SELECT 'lead ' || n, (ARRAY['FR', 'DE'])[1 + n % 2], '2025-12-01' FROM generate_series(1, 20) n;
INSERT INTO event VALUES ('lead 1', '2026-01-05 10:00+00', NULL, 'a', 'xyz', 3);
INSERT INTO event
	SELECT 'lead ' || n % 40, timestamptz '2024-01-01' + n * interval '2 days',
		CASE WHEN n % 3 = 0 THEN timestamp '2026-01-01' + n * interval '1 hour' END,
		(ARRAY['a', 'b', 'out', NULL])[1 + n % 4], repeat('x', n % 7), n % 11
	  FROM generate_series(1, 600) n;
INSERT INTO event VALUES
	('lead 1', '2099-01-05 10:00+00', NULL, 'a', 'xyz', 3), (NULL, '2026-01-01', NULL, 'a', 'x', 1),
	('lead 2', 'infinity', NULL, 'a', 'x', 1), (repeat('long ', 100), '2026-02-01', NULL, 'a', 'x', 1);
INSERT INTO event_2026 VALUES ('lead 3', '2026-01-07 10:00+00', '2026-01-08 10:00', 'b', 'xyz', 3);
INSERT INTO contact VALUES ('lead 1', 'FR', NULL) ON CONFLICT (id) DO UPDATE SET country = 'IT';
MERGE INTO contact c USING (VALUES ('lead 2'), ('lead 99')) v (id) ON c.id = v.id
	WHEN MATCHED THEN UPDATE SET since = NULL WHEN NOT MATCHED THEN INSERT VALUES (v.id, 'FR', '2026-01-01');
UPDATE event SET amount = amount + 1 WHERE who = 'lead 7';
UPDATE event SET at = at + interval '1 year' WHERE who = 'lead 8';
DELETE FROM event WHERE who = 'lead 9' AND what = 'out';
DELETE FROM contact WHERE id = 'lead 10';
UPDATE leadscore.lead_rule SET points = 3 WHERE name = 'half';
UPDATE leadscore.lead_rule SET condition = 'amount > 3' WHERE name = 'linear';
SELECT sum(leadscore.score('m', contact_id)), sum(leadscore.score('m', contact_id, '2025-06-01')),
	sum(leadscore.replay('m', contact_id))
  FROM leadscore.score_m;
SELECT count(*) FROM leadscore.score_m s, leadscore.explain('m', s.contact_id) e;
SELECT count(leadscore.state_text(state)) FROM leadscore.score_m;
SELECT count(*), sum(score) FROM leadscore.live_m;
SELECT leadscore.set_stage('m', contact_id, 'sql', 'by hand') FROM leadscore.score_m WHERE NOT disqualified AND contact_id < 'lead 3';
SELECT leadscore.release_stage('m', contact_id) FROM leadscore.score_m WHERE NOT disqualified AND contact_id < 'lead 2';
SELECT count(*) FROM leadscore.score_m s, leadscore.forecast('m', s.contact_id, leadscore.clock() + interval '1 year') f;
SELECT count(*) FROM leadscore.upcoming('m', leadscore.clock() + interval '90 days');
SET leadscore.clock = '2027-02-01 00:00+00';
INSERT INTO event VALUES ('lead 4', '2027-02-01', NULL, 'a', 'xyz', 3);
SELECT leadscore.refresh('m');
SELECT count(*), sum(contacts) FROM leadscore.funnel_daily_m;
SELECT count(*) FROM leadscore.daily_m;
SELECT count(leadscore.outbox_done('c', ARRAY[outbox_id])) FROM leadscore.outbox_take('c', 50);
SELECT leadscore.outbox_failed('c', array_agg(outbox_id), 'no') FROM leadscore.outbox_take('c', 50);
SELECT count(*) AS verified FROM leadscore.verify('m');
SELECT leadscore.attach('m', 'view', 'who', 'at', visitor => 'cookie');
INSERT INTO leadscore.lead_rule (model, source, name, points, weight) VALUES ('m', 'view', 'fails', 1, '12 / n'), ('m', 'view', 'any', 1, NULL);
INSERT INTO view SELECT CASE WHEN n % 2 = 0 THEN 'lead ' || n % 6 END, 'cookie ' || n % 5, timestamptz '2027-01-01' + n * interval '1 hour', n % 3
  FROM generate_series(1, 60) n;
INSERT INTO contact VALUES ('lead 90', 'FR', '2026-01-01');
SELECT leadscore.identify('m', 'cookie 3', 'lead 90');
SELECT leadscore.merge_contacts('m', 'lead 2', 'lead 4');
INSERT INTO view VALUES ('lead 4', NULL, '2027-01-20', 0), (NULL, 'cookie 3', '2027-01-20', 0);
SELECT count(*) FROM leadscore.identities('m', 'lead 2'), leadscore.history_of('m', 'lead 2');
SELECT sum(leadscore.score('m', contact_id)), sum(leadscore.replay('m', contact_id)) FROM leadscore.score_m;
SELECT count(*) FROM leadscore.rule_errors;
SELECT leadscore.unmerge('m', 'lead 4');
SELECT leadscore.unidentify('m', 'cookie 3');
SELECT leadscore.refresh('m');
SELECT count(*) AS again FROM leadscore.verify('m');
TRUNCATE event;
SELECT leadscore.rescore('m');
SELECT leadscore.detach('m', 'opened');
SELECT leadscore.drop_model('m');
CREATE TABLE lead (id int PRIMARY KEY, country text);
CREATE TABLE click (lead int, at timestamptz, what text, n int) PARTITION BY HASH (lead);
CREATE TABLE click_0 PARTITION OF click FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE click_1 PARTITION OF click FOR VALUES WITH (MODULUS 2, REMAINDER 1);
CREATE INDEX ON click (lead, at);
INSERT INTO lead SELECT n, (ARRAY['FR', 'DE'])[1 + n % 2] FROM generate_series(1, 1500) n;
SELECT leadscore.create_model('k', 'lead');
SELECT leadscore.attach('k', 'click', 'lead', 'at', 'what');
INSERT INTO leadscore.lead_rule (model, name, event, condition, points, at_least, time_frame, decay, decay_interval, weight) VALUES
 ('k', 'plain', NULL, NULL, 5, 1, NULL, 'none', NULL, NULL),
 ('k', 'weighed', 'open', 'n > 1', 1, 1, NULL, 'half_life', '7 days', 'n'),
 ('k', 'often', 'form', NULL, 30, 3, NULL, 'none', NULL, NULL),
 ('k', 'frame', 'form', NULL, 7, 1, '2 days', 'none', NULL, NULL),
 ('k', 'linear', 'open', 'n <> 3', 9, 1, NULL, 'linear', '5 days', NULL);
INSERT INTO leadscore.lead_rule (model, name, kind, condition, points) VALUES ('k', 'here', 'profile', 'country = ''DE''', 1);
INSERT INTO leadscore.lead_stage (model, stage, position, enter_at) VALUES ('k', 'warm', 1, 20), ('k', 'hot', 2, 40);
INSERT INTO click SELECT n, timestamptz '2027-01-20' + n * interval '1 minute', (ARRAY['open', 'form'])[1 + n % 2], n % 7
  FROM generate_series(1, 1500) n;
INSERT INTO click SELECT n, timestamptz '2027-01-25' + n * interval '1 minute', 'open', 2 FROM generate_series(3, 1500, 3) n;
SET work_mem = '64kB';
BEGIN;
INSERT INTO click SELECT n, timestamptz '2027-01-28' + n * interval '1 minute', 'form', 1 FROM generate_series(1, 1500) n;
SAVEPOINT a;
INSERT INTO click SELECT n, timestamptz '2027-01-29' + n * interval '1 minute', 'open', 4 FROM generate_series(1500, 1, -1) n;
DELETE FROM click WHERE lead % 5 = 0;
ROLLBACK TO a;
DELETE FROM click WHERE lead BETWEEN 100 AND 900 AND what = 'form';
RELEASE a;
COMMIT;
DELETE FROM click c WHERE lead > 1200 AND at = (SELECT max(at) FROM click WHERE lead = c.lead);
DELETE FROM click c WHERE lead < 200 AND at = (SELECT min(at) FROM click WHERE lead = c.lead);
UPDATE click SET n = n + 1 WHERE lead BETWEEN 400 AND 700;
UPDATE click SET lead = lead + 1 WHERE lead BETWEEN 300 AND 500 AND n = 2;
UPDATE lead SET country = 'FR' WHERE id % 3 = 0;
RESET work_mem;
SELECT avg(score) FROM leadscore.live_k;
SELECT count(l.score) FROM lead JOIN leadscore.live_k l ON l.contact_id = lead.id WHERE lead.id < 50;
SELECT score FROM leadscore.live_k WHERE contact_id = 77;
SELECT sum(score) FROM leadscore.top('k', 20);
SET leadscore.clock = '2027-02-05 00:00+00';
SELECT sum(score) FROM leadscore.top('k', 20);
SELECT leadscore.refresh('k');
SELECT sum(score) FROM leadscore.top('k', 700);
UPDATE leadscore.lead_rule SET condition = 'n <> 2' WHERE name = 'linear';
INSERT INTO click VALUES (1, '2027-02-04', NULL, 3);
SELECT leadscore.refresh('k');
SELECT count(*) AS many FROM leadscore.verify('k');
