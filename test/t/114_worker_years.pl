# Two years pass in half a minute: the server's clock is set from month to month,
# and the worker alone has it all to do.  What it records is what had been foretold
# on the first day; what it stores is true; every midnight is written.
use strict;
use warnings;

use LeadscoreNode;
use Test::More;

my $node = LeadscoreNode->create('years', worker => 1,
	conf => { 'leadscore.naptime' => 100, 'leadscore.clock' => '2026-01-05 00:00+00' });
$node->safe_psql('postgres', <<'SQL');
SET client_min_messages = warning;
CREATE EXTENSION leadscore;
CREATE TABLE contact (id int PRIMARY KEY, fits boolean);
CREATE TABLE event (contact int, at timestamptz, what text);
CREATE INDEX ON event (contact, at);
INSERT INTO contact SELECT g, g % 2 = 0 FROM generate_series(1, 200) g;
SELECT leadscore.create_model('m', 'contact', time_zone => 'America/New_York');
SELECT leadscore.attach('m', 'event', 'contact', 'at', 'what');
INSERT INTO leadscore.lead_rule (model, name, event, points, decay, decay_interval, decay_keep, time_frame, at_least,
	max_per_period, award) VALUES
	('m', 'half', 'form', 80, 'half_life', '45 days', NULL, NULL, 1, NULL, NULL),
	('m', 'against', 'refund', -60, 'half_life', '20 days', NULL, NULL, 1, NULL, NULL),
	('m', 'linear', 'visit', 12, 'linear', '200 days', NULL, NULL, 1, NULL, NULL),
	('m', 'steps', 'open', 20, 'step', '30 days', 0.7, NULL, 1, NULL, NULL),
	('m', 'window', 'visit', 5, 'none', NULL, NULL, '90 days', 1, NULL, NULL),
	('m', 'often', 'visit', 40, 'none', NULL, NULL, '300 days', 3, NULL, 'once'),
	('m', 'daily', 'open', 10, 'half_life', '60 days', NULL, '400 days', 1, 15, 'each');
INSERT INTO leadscore.lead_rule (model, name, kind, points, idle, award, disqualifies) VALUES
	('m', 'silent', 'absence', -4, '45 days', 'each', false), ('m', 'gone', 'absence', 0, '600 days', 'once', true);
INSERT INTO leadscore.lead_rule (model, name, kind, condition, points) VALUES ('m', 'fits', 'profile', 'fits', 25);
INSERT INTO leadscore.lead_stage (model, stage, position, enter_at, leave_below, sticky) VALUES
	('m', 'warm', 1, 30, 20, false), ('m', 'hot', 2, 90, NULL, false), ('m', 'won', 3, 300, NULL, true);
INSERT INTO leadscore.lead_grade (model, category, grade, min_points) VALUES
	('m', 'fit', 'A', 20), ('m', 'fit', 'B', '-infinity'), ('m', 'engagement', '1', 60), ('m', 'engagement', '2', 0),
	('m', 'engagement', '3', '-infinity');
-- some events lie in the time to come
INSERT INTO event
	SELECT g % 200 + 1,
		timestamptz '2026-01-04 20:00+00' - (g * 37 % 1500) * interval '1 hour' + (g % 9 / 8) * interval '200 days',
	(ARRAY['form', 'visit', 'open', 'visit', 'refund'])[1 + g % 5] FROM generate_series(1, 1500) g;
CREATE TABLE foretold AS SELECT s.contact_id, f.at, f.from_value, f.to_value
	FROM leadscore.score_m s, leadscore.forecast('m', s.contact_id, '2028-01-05') f WHERE f.what = 'stage';
SQL
cmp_ok($node->safe_psql('postgres', 'SELECT count(*) FROM foretold'), '>', 250, 'much is foretold');

my $wrong = <<'SQL';
SELECT contact_id, s.score, l.score, s.fit, l.fit, s.engagement, l.engagement, s.grade, l.grade, s.stage, l.stage,
	s.disqualified, l.disqualified
  FROM leadscore.score_m s JOIN leadscore.live_m l USING (contact_id)
 WHERE abs(s.score - l.score) > greatest(0.5, 0.005 * abs(l.score)) + 1e-6 OR abs(s.fit - l.fit) > greatest(0.5, 0.005 * abs(l.fit)) + 1e-6
	OR abs(s.engagement - l.engagement) > greatest(0.5, 0.005 * abs(l.engagement)) + 1e-6
	OR (s.grade, s.stage, s.disqualified) IS DISTINCT FROM (l.grade, l.stage, l.disqualified)
SQL
my @differ;
for my $month (1 .. 24)
{
	my $clock = sprintf('%d-%02d-05 00:00:00+00', 2026 + int($month / 12), $month % 12 + 1);
	$node->configure(clock => $clock);
	$node->poll_query_until('postgres', <<"SQL") or die "$clock: the worker does not come to an end";
SELECT leadscore.clock() = '$clock' AND NOT EXISTS (SELECT FROM leadscore.due_m WHERE due_at <= leadscore.clock())
	AND written_to >= (leadscore.clock() AT TIME ZONE 'America/New_York')::date - 1 FROM leadscore.lead_day
	 WHERE model = 'm'
SQL
	my $rows = $node->safe_psql('postgres', $wrong);
	push @differ, "$clock: $rows" if $rows ne '';
}
is_deeply(\@differ, [], 'after each month every stored row is true, as far as it has to be');
is($node->safe_psql('postgres', <<'SQL'), '', 'what happened is what had been foretold, to the microsecond');
SELECT * FROM (SELECT contact_id, changed_at, from_stage, to_stage FROM leadscore.history_m WHERE cause = 'time') h
  FULL JOIN foretold f ON (f.contact_id, f.at, f.from_value, f.to_value) = (h.contact_id, h.changed_at, h.from_stage, h.to_stage)
 WHERE h.contact_id IS NULL OR f.contact_id IS NULL LIMIT 5;
SQL
is($node->safe_psql('postgres', "SELECT count(*) FROM leadscore.history_m WHERE recorded_at < changed_at"), 0,
	'nothing is recorded before it happens');
is($node->safe_psql('postgres', "SELECT count(DISTINCT day), min(day), max(day) FROM leadscore.funnel_daily_m"),
	'730|2026-01-04|2028-01-03', 'every day has its funnel');
is($node->safe_psql('postgres', <<'SQL'), '', '... with every contact in it');
SELECT day, sum(contacts) FROM leadscore.funnel_daily_m GROUP BY day HAVING sum(contacts) <> 200
SQL
is($node->safe_psql('postgres', <<'SQL'), '', '... and who came in and went out of each stage makes the difference to the day before');
SELECT *
  FROM (SELECT day, stage, sum(contacts) AS contacts, sum(entered) - sum("left") AS moved,
	lag(sum(contacts), 1, 0::numeric) OVER (PARTITION BY stage ORDER BY day) AS before,
	lag(day) OVER (PARTITION BY stage ORDER BY day) AS yesterday
	FROM leadscore.funnel_daily_m GROUP BY 1, 2) d WHERE yesterday = day - 1 AND contacts <> before + moved;
SQL
is($node->safe_psql('postgres', "SELECT * FROM leadscore.verify('m')"), '', 'verify() finds nothing');
is($node->safe_psql('postgres', 'SELECT count(*) FROM leadscore.lead_worker_error'), 0, 'nothing failed');
$node->stop;
done_testing();
