# How often a contact is touched: no oftener than its score leaves the drift
# around what is stored, or crosses a boundary, whatever the score is.  The held
# clock goes from each due instant to the next for a year.
use strict;
use warnings;

use LeadscoreNode;
use Test::More;

my $node = LeadscoreNode->create('touches', library => 'session');

my $steps = $node->safe_psql('postgres', <<'SQL');
SET client_min_messages = warning;
SET leadscore.clock = '2026-01-05 00:00+00';
CREATE EXTENSION leadscore;
CREATE TABLE contacts (id int PRIMARY KEY, name text);
CREATE TABLE events (contact int, at timestamptz, what text, w float8);
CREATE TABLE mixed_events (LIKE events);
CREATE INDEX ON events (contact, at);
CREATE INDEX ON mixed_events (contact, at);
CREATE TABLE mixed (id int PRIMARY KEY);
SELECT leadscore.create_model('t', 'contacts');
SELECT leadscore.create_model('mixed', 'mixed');
SELECT leadscore.attach('t', 'events', 'contact', 'at', event => 'what');
SELECT leadscore.attach('mixed', 'mixed_events', 'contact', 'at', event => 'what');
INSERT INTO leadscore.lead_rule (model, name, kind, event, points, weight, decay, decay_interval, award, idle) VALUES
	('t', 'form', 'event', 'form', 1, 'w', 'half_life', '30 days', NULL, NULL),
	('mixed', 'form', 'event', 'mixed', 1, 'w', 'half_life', '30 days', NULL, NULL),
	('mixed', 'week', 'event', 'week', 1, 'w', 'half_life', '7 days', NULL, NULL),
	('mixed', 'quarter', 'event', 'quarter', 1, 'w', 'half_life', '90 days', NULL, NULL),
	('mixed', 'line', 'event', 'line', 1, 'w', 'linear', '60 days', NULL, NULL),
	('mixed', 'silent', 'absence', 'line', -5, NULL, 'none', NULL, 'each', '30 days');
INSERT INTO leadscore.lead_stage (model, stage, position, enter_at, leave_below) 
	SELECT m, v.* FROM unnest('{t,mixed}'::text[]) m, (VALUES ('warm', 1, 20, NULL::float8), ('hot', 2, 70, 60)) v;
INSERT INTO leadscore.lead_grade (model, category, grade, min_points) 
	SELECT m, 'engagement', v.* FROM unnest('{t,mixed}'::text[]) m, (VALUES ('1', 1000), ('2', 30)) v;
INSERT INTO contacts VALUES (1, '10'), (2, '100'), (3, '10,000');
INSERT INTO mixed VALUES (4);
INSERT INTO events VALUES (1, leadscore.clock(), 'form', 10), (2, leadscore.clock(), 'form', 100), (3, leadscore.clock(), 'form', 10000);
INSERT INTO mixed_events VALUES
	(4, leadscore.clock(), 'mixed', 170), (4, leadscore.clock(), 'week', -120),
	(4, leadscore.clock(), 'quarter', -20),
	(4, leadscore.clock(), 'line', 30);
CREATE TABLE touch (contact int, at timestamptz, score float8);
CREATE TABLE step (contact int, at timestamptz, score float8);

-- what refresh() does at each due instant of a year
DO $$
DECLARE
	due timestamptz;
	until CONSTANT timestamptz := timestamptz '2026-01-05 00:00+00' + interval '365 days';
BEGIN
	LOOP
		SELECT min(due_at) INTO due FROM (SELECT due_at FROM leadscore.due_t UNION ALL SELECT due_at FROM leadscore.due_mixed) d;
		EXIT WHEN due IS NULL OR due > until;
		PERFORM set_config('leadscore.clock', due::text, false);
		IF leadscore.refresh() = 0 THEN
			RAISE 'nothing done at %', due;
		END IF;
		INSERT INTO touch SELECT contact_id, due, score FROM leadscore.score_t WHERE scored_at = due
			UNION ALL SELECT contact_id, due, score FROM leadscore.score_mixed WHERE scored_at = due;
		IF EXISTS (SELECT FROM (SELECT * FROM leadscore.score_t UNION ALL SELECT * FROM leadscore.score_mixed) s
				JOIN (SELECT * FROM leadscore.live_t UNION ALL SELECT *
					  FROM leadscore.live_mixed) l USING (contact_id)
				 WHERE s.stage <> l.stage OR s.grade IS DISTINCT FROM l.grade
				OR abs(s.score - l.score) > greatest(0.5, 0.005 * abs(l.score)) + 1e-6) THEN
			RAISE 'a row is not true at %', due;
		END IF;
	END LOOP;
END $$;

-- the steps that such a score makes, from its half-life alone
DO $$
DECLARE
	score float8;
	bound float8;
	next float8;
BEGIN
	FOR c IN 1 .. 3 LOOP
		score := 10 ^ (ARRAY[1, 2, 4])[c];
		LOOP
			next := least(score - 0.5, score / 1.005);
			-- leave_below of both stages, grades
			FOREACH bound IN ARRAY ARRAY[19.5, 60, 30, 1000] LOOP
				IF next < bound AND score >= bound THEN
					next := bound * (1 - 1e-12);
				END IF;
			END LOOP;
			EXIT WHEN next <= 0 OR log(2, (10 ^ (ARRAY[1, 2, 4])[c] / next)::numeric) * 30 > 365;
			INSERT INTO step VALUES
				(c,
					timestamptz '2026-01-05 00:00+00' + log(2, (10 ^ (ARRAY[1, 2,
						4])[c] / next)::numeric)::float8 * interval '30 days',
					next);
			score := next;
		END LOOP;
	END LOOP;
END $$;

-- ... and those of the mixed one, by looking each hour, and halving
CREATE FUNCTION place(score float8, hot bool) RETURNS text LANGUAGE sql IMMUTABLE AS $$
	SELECT CASE WHEN score >= 70 OR hot AND score >= 60 THEN 'hot' WHEN score >= 20 THEN 'warm' ELSE 'low' END $$;
CREATE FUNCTION leaves(old float8, new float8) RETURNS bool LANGUAGE sql IMMUTABLE AS $$
	SELECT abs(old - new) >= greatest(0.5, 0.005 * abs(new)) OR (old >= 30) <> (new >= 30) OR (old >= 1000) <> (new >= 1000)
		OR (old >= 70) <> (new >= 70) OR (old >= 60) <> (new >= 60) OR (old >= 20) <> (new >= 20) OR (old >= 19.5) <> (new >= 19.5) $$;
DO $$
DECLARE
	score float8 := leadscore.replay('mixed', 4, '2026-01-05 00:00+00');
	now timestamptz := '2026-01-05 00:00+00';
	low timestamptz;
	high timestamptz;
	mid timestamptz;
BEGIN
	WHILE now < timestamptz '2026-01-05 00:00+00' + interval '365 days' LOOP
		low := now;
		high := now + interval '1 hour';
		IF NOT leaves(score, leadscore.replay('mixed', 4, high)) THEN
			now := high;
			CONTINUE;
		END IF;
		WHILE high - low > interval '1 ms' LOOP
			mid := low + (high - low) / 2;
			IF leaves(score, leadscore.replay('mixed', 4, mid)) THEN high := mid; ELSE low := mid; END IF;
		END LOOP;
		now := high;
		score := leadscore.replay('mixed', 4, now);
		INSERT INTO step VALUES (4, now, score);
	END LOOP;
END $$;

SELECT 'x'
	|| concat_ws('|', c.name, (SELECT count(*) FROM touch WHERE contact = c.id),
		(SELECT count(*) FROM step WHERE contact = c.id))
  FROM (TABLE contacts UNION ALL SELECT id, 'several kinds' FROM mixed) c ORDER BY id;
SQL

my $seen = 0;
for (grep { s/^x// } split /\n/, $steps)
{
	my ($name, $touches, $drift_steps) = split /\|/;
	$seen++;
	ok($touches > 0 && $touches <= 1.1 * $drift_steps,
		"a score of $name was touched $touches times in a year, and made $drift_steps steps; sweeping each hour: 8760");
}
is($seen, 4, 'four contacts');
is($node->safe_psql('postgres', <<'SQL'),
SELECT contact, from_stage, to_stage, round(score::numeric, 6) FROM leadscore.lead_stage_history
 WHERE cause = 'time' AND model = 't' ORDER BY 1, changed_at
SQL
	"2|hot|warm|60.000000\n2|warm|unqualified|19.500000\n3|hot|warm|60.000000\n3|warm|unqualified|19.500000",
	'each stage was left where its bound is');
note($node->safe_psql('postgres', <<'SQL'));
SELECT from_stage, to_stage, changed_at, score FROM leadscore.lead_stage_history WHERE model = 'mixed'
 ORDER BY changed_at
SQL

done_testing();
