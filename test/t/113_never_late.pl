# Never late: random models, and at each due instant everything is still as it
# is stored 3 microseconds before it, and is again once refresh() has run.  What
# only rounding tells apart (a score that comes to a stand at a bound) is left out.
#
#   LEADSCORE_LONG=1     more of them
use strict;
use warnings;

use LeadscoreNode;
use Test::More;

my $models = $ENV{LEADSCORE_LONG} ? 150 : 12;
my $node = LeadscoreNode->create('never_late', library => 'session', conf => { jit => 'off' });
$node->safe_psql('postgres', <<'SQL');
SET client_min_messages = warning;
CREATE EXTENSION leadscore;
CREATE TABLE c (id int PRIMARY KEY);
CREATE TABLE e (contact int, at timestamptz, what text, w float8);
CREATE INDEX ON e (contact, at);
CREATE TABLE bad (seed int, at timestamptz, contact int, what text, stored jsonb, exact jsonb);
CREATE TABLE looked (seed int, dues int);
CREATE PROCEDURE fuzz(seed int, n int) LANGUAGE plpgsql AS $$
DECLARE
	m text := 'f' || seed;
	due timestamptz;
	k int := 0;
	tz text;
	compare CONSTANT text := $compare$
		INSERT INTO bad
		SELECT $1, leadscore.clock(), contact_id, $2, to_jsonb(s) - 'state', to_jsonb(l)
		  FROM leadscore.score_@ s JOIN leadscore.live_@ l USING (contact_id), leadscore.lead_model m
		 WHERE m.model = $3 AND (EXISTS (SELECT FROM (VALUES (s.score, l.score), (s.fit, l.fit), (s.engagement, l.engagement)) v (a, b)
				WHERE abs(a - b) > greatest(max_drift, max_drift_ratio * abs(b)) + 1e-9 * greatest(1, abs(b)))
			OR (s.stage, s.grade, s.stage_since) IS DISTINCT FROM (l.stage, l.grade, l.stage_since)
				AND abs(s.score - l.score) + abs(s.fit - l.fit) + abs(s.engagement - l.engagement) > 1e-9)
		$compare$;
BEGIN
	PERFORM setseed(seed / 1000.0);
	TRUNCATE e;
	PERFORM set_config('leadscore.clock', '2026-03-01 00:00+00', false);
	tz := (ARRAY['UTC','America/New_York','Australia/Lord_Howe'])[1 + floor(random() * 3)::int];
	PERFORM leadscore.create_model(m, 'c', time_zone => tz);
	PERFORM leadscore.attach(m, 'e', 'contact', 'at', event => 'what');
	FOR i IN 1 .. 10 LOOP
		BEGIN
			INSERT INTO leadscore.lead_rule (model, name, category, kind, event, points, weight, award, at_least,
					time_frame, decay, decay_interval, decay_keep, max_points, max_per_period, idle, events_before)
				SELECT m, 'r' || i, (ARRAY['fit', 'engagement'])[1 + floor(random() * 2)::int], kind, 'e' || floor(random() * 5)::int,
					round((random() * 60 - 25)::numeric),
					CASE WHEN award <> 'once' AND kind = 'event' THEN 'w' END, award,
					CASE WHEN kind = 'event' AND random() < 0.2 THEN 2 ELSE 1 END,
					CASE WHEN kind = 'event' AND random() < 0.3 THEN (1 + floor(random() * 40)) * interval '1 day' END,
					decay,
					CASE
						WHEN decay <> 'none' THEN (ARRAY['1 day', '3 days', '7 days', '20 days', '50 hours',
							'300 days'])[1 + floor(random() * 6)::int]::interval END,
					CASE WHEN decay = 'step' THEN random() END,
					CASE WHEN random() < 0.4 THEN round((random() * 40)::numeric) END,
					CASE WHEN kind = 'event' AND award = 'each' AND random() < 0.2 THEN 20 END,
					CASE WHEN kind = 'absence' THEN (1 + floor(random() * 20)) * interval '17 hours' END,
					CASE WHEN kind = 'absence' AND random() < 0.3 THEN timestamptz '2026-03-01' + random() * interval '90 days' END
				  FROM (SELECT CASE WHEN random() < 0.2 THEN 'absence' ELSE 'event' END AS kind,
						(ARRAY['once', 'each', 'each'])[1 + floor(random() * 3)::int] AS award OFFSET 0) a,
					LATERAL (SELECT CASE WHEN kind = 'absence' THEN 'none' ELSE
						(ARRAY['half_life', 'half_life', 'half_life', 'linear', 'step',
							'none'])[1 + floor(random() * 6)::int] END AS decay OFFSET 0) d;
		EXCEPTION WHEN OTHERS THEN
			NULL;	-- refused: too many periods, or no points
		END;
	END LOOP;
	IF random() < 0.6 THEN
		UPDATE leadscore.lead_category SET weight = round((random() * 4 - 2)::numeric, 1),
			min_points = CASE WHEN random() < 0.5 THEN -round((random() * 30)::numeric) END,
			max_points = CASE WHEN random() < 0.5 THEN round((random() * 60)::numeric) END WHERE model = m;
	END IF;
	IF random() < 0.5 THEN
		UPDATE leadscore.lead_model
		   SET min_score = -5, max_score = 50, max_drift = 0.3 + random(), max_drift_ratio = random() * 0.1
		 WHERE model = m;
	END IF;
	INSERT INTO leadscore.lead_stage (model, stage, position, enter_at, leave_below) VALUES
		(m, 'a', 1, 5, 2), (m, 'b', 2, 20, NULL), (m, 'x', 3, 40, 11);
	INSERT INTO leadscore.lead_grade (model, category, grade, min_points) VALUES
		(m, 'fit', 'A', 10), (m, 'fit', 'B', 0), (m, 'engagement', '1', 30), (m, 'engagement', '2', 10),
		(m, 'engagement', '3', -10);
	INSERT INTO e SELECT 1 + floor(random() * 30)::int, timestamptz '2026-03-01' + (random() * 40 - 33) * interval '1 day',
		'e' || floor(random() * 5)::int, round((random() * 3 - 0.7)::numeric, 1) FROM generate_series(1, 200);
	WHILE k < n LOOP
		EXECUTE format('SELECT min(due_at) FROM leadscore.due_%s', m) INTO due;
		EXIT WHEN due IS NULL;
		FOR i IN 0 .. 1 LOOP
			PERFORM set_config('leadscore.clock', (due - CASE i WHEN 0 THEN interval '3 microseconds' ELSE '0' END)::text, false);
			IF i = 1 THEN
				PERFORM leadscore.refresh(m);
			END IF;
			EXECUTE replace(compare, '@', m) USING seed, CASE i WHEN 0 THEN 'before' ELSE 'at' END, m;
		END LOOP;
		k := k + 1;
	END LOOP;
	INSERT INTO looked VALUES (seed, k);
	PERFORM leadscore.drop_model(m);
	COMMIT;
END $$;
SQL
for my $seed (1 .. $models)
{
	$node->safe_psql('postgres', <<"SQL");
SET client_min_messages = warning;
SET timezone = 'UTC';
CALL fuzz($seed, 200);
SQL
}
my $dues = $node->safe_psql('postgres', 'SELECT sum(dues) FROM looked');
cmp_ok($dues, '>', 100 * $models, "$dues due instants of $models models");
is($node->safe_psql('postgres', 'SELECT * FROM bad ORDER BY seed, at LIMIT 12'), '',
	'none of them was late, and all is true once it has been looked at');

done_testing();
