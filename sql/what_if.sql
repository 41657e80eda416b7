-- What a change of rules would do, compared with what it did.
SET timezone = 'UTC';
SET datestyle = 'ISO';
SET extra_float_digits = 0;
\pset null -
SET client_min_messages = warning;
CREATE ROLE regress_ls_what_reader;
CREATE ROLE regress_ls_what_other;
CREATE SCHEMA what_if;
GRANT USAGE ON SCHEMA what_if TO regress_ls_what_reader, regress_ls_what_other;
SET search_path = what_if;
CREATE TABLE contact (id int PRIMARY KEY, country text, employees int);
CREATE TABLE event (contact int, what text, at timestamptz);
CREATE INDEX ON event (contact, at);
SET leadscore.clock = '2026-03-02 12:00+00';
INSERT INTO contact SELECT i, (ARRAY['DE', 'US', 'FR'])[1 + i % 3], i % 50 FROM generate_series(1, 600) i;
INSERT INTO event
	SELECT 1 + (i * 7919) % 620, (ARRAY['open', 'form', 'visit'])[1 + i * i % 7 % 3],
		'2026-03-02 12:00+00'::timestamptz - (i % 40) * interval '1 day'
  FROM generate_series(1, 2400) i;
SELECT leadscore.create_model('b2b', 'contact');
SELECT leadscore.attach('b2b', 'event', 'contact', 'at', event => 'what');
INSERT INTO leadscore.lead_rule (model, name, event, points, decay, decay_interval) VALUES
	('b2b', 'open', 'open', 5, 'half_life', '10 days'), ('b2b', 'form', 'form', 20, 'none', NULL);
INSERT INTO leadscore.lead_rule (model, name, kind, condition, points) VALUES ('b2b', 'german', 'profile', 'country = ''DE''', 7);
INSERT INTO leadscore.lead_stage (model, stage, position, enter_at, sticky) VALUES ('b2b', 'mql', 1, 30, false), ('b2b', 'sql', 2, 60, true);
INSERT INTO leadscore.lead_grade VALUES ('b2b', 'fit', 'A', 5), ('b2b', 'fit', 'B', -1);
-- time goes by, and nobody looks: what is stored has drifted
SET leadscore.clock = '2026-03-05 12:00+00';

-- nothing has changed, nobody moves
SELECT * FROM leadscore.what_if('b2b') WHERE came + went > 0 OR before <> after OR mean_before <> mean_after;
SELECT part, name, before, after, came, went, error FROM leadscore.what_if('b2b');

-- the usage, and what comes of it
CREATE TABLE trial (contact text, score_before float8, score_after float8, stage_before text, stage_after text, grade_before text, grade_after text);
CREATE TABLE earlier AS SELECT contact_id, score, stage, grade FROM leadscore.live_b2b;
BEGIN;
UPDATE leadscore.lead_rule SET points = 35 WHERE name = 'form';
UPDATE leadscore.lead_grade SET min_points = 8 WHERE grade = 'A';
SELECT part, name, before, after, came, went, round(mean_before::numeric, 6) AS mean_before,
	round(mean_after::numeric, 6) AS mean_after, error
  FROM leadscore.what_if('b2b');
SELECT stage_before, stage_after, grade_before, grade_after, count(*), round(avg(score_after - score_before)::numeric, 6) AS more
  FROM leadscore.what_if_contacts('b2b') GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4;
SELECT from_score::numeric(10,3), to_score::numeric(10,3), before, after, error FROM leadscore.what_if_distribution('b2b', 6);
INSERT INTO trial SELECT * FROM leadscore.what_if_contacts('b2b');
CREATE TEMP TABLE seen AS SELECT part, name, before, after, came, went, mean_before, mean_after FROM leadscore.what_if('b2b');
COMMIT;
-- those who were to move have moved, and nobody else
SELECT count(*) FILTER (WHERE t.contact IS NOT NULL) > 50 AS moved,
	   count(*) FILTER (WHERE (t.contact IS NOT NULL) IS DISTINCT FROM (e.stage <> l.stage OR e.grade <> l.grade)) AS wrong,
	   count(*) FILTER (WHERE t.stage_before <> e.stage OR t.grade_before <> e.grade OR abs(t.score_before - e.score) > 1e-9) AS wrong_before,
	   count(*) FILTER (WHERE t.stage_after <> l.stage OR t.grade_after <> l.grade OR abs(t.score_after - l.score) > 1e-9) AS wrong_after
  FROM earlier e JOIN leadscore.live_b2b l USING (contact_id) LEFT JOIN trial t ON t.contact = l.contact_id::text;
SELECT s.part, s.name FROM seen s JOIN (
	SELECT 'stage' AS part, stage AS name, count(*) AS n, avg(l.score) AS mean
	  FROM leadscore.score_b2b JOIN leadscore.live_b2b l USING (contact_id, stage) GROUP BY stage
	UNION ALL SELECT 'grade', grade, count(*), avg(l.score)
	  FROM leadscore.score_b2b JOIN leadscore.live_b2b l USING (contact_id, grade)
	 GROUP BY grade) l USING (part, name)
 WHERE s.after <> l.n OR abs(s.mean_after - l.mean) > 1e-6;
SELECT sum(before) AS before, sum(after) AS after FROM leadscore.what_if_distribution('b2b');

-- rolled back, it was nothing
BEGIN;
SAVEPOINT one;
DELETE FROM leadscore.lead_rule WHERE model = 'b2b';
SELECT part, name, before, after, came, went FROM leadscore.what_if('b2b') WHERE part <> 'grade';
ROLLBACK TO one;
SELECT count(*) FROM leadscore.what_if_contacts('b2b');
ROLLBACK;
SELECT count(*) FROM leadscore.what_if_contacts('b2b');

CREATE VIEW told AS
	SELECT format('%s %s %s %s %s %s %s', part, name, before, after, came, went,
		round(mean_after::numeric, 3)) AS line
	  FROM leadscore.what_if('b2b', full => true) WHERE error IS NULL
	UNION ALL SELECT format('%s %s>%s %s>%s %s', contact, stage_before, stage_after, grade_before, grade_after,
		round(score_after::numeric, 3))
	  FROM leadscore.what_if_contacts('b2b', full => true)
	UNION ALL SELECT format('%s-%s %s %s', round(from_score::numeric, 3), round(to_score::numeric, 3), before, after)
	  FROM leadscore.what_if_distribution('b2b', 5, full => true) WHERE error IS NULL;
-- rules that match something else: counted at once, before is what it was
BEGIN ISOLATION LEVEL REPEATABLE READ;
UPDATE leadscore.lead_rule SET condition = 'employees > 25', name = 'large' WHERE name = 'german';
UPDATE leadscore.lead_rule SET event = 'visit' WHERE name = 'form';
SELECT part, name, before, after, came, went FROM leadscore.what_if('b2b');
SELECT string_agg(line, ',' ORDER BY line) AS counted, count(*) > 100 AS many FROM told \gset
SELECT :'many' AS many;
ROLLBACK;

-- the same where a job is to count them: from the events
BEGIN;
SET LOCAL leadscore.inline_limit = 0;
UPDATE leadscore.lead_rule SET condition = 'employees > 25', name = 'large' WHERE name = 'german';
UPDATE leadscore.lead_rule SET event = 'visit' WHERE name = 'form';
SELECT count(*) AS uncounted FROM leadscore.lead_rule WHERE backfilled_version IS NULL;
SELECT string_agg(line, ',' ORDER BY line) = :'counted' AS the_same FROM told;
-- fewer contacts than the sample has: all of them
SELECT count(*) FROM leadscore.what_if('b2b') WHERE error IS NOT NULL;
-- a sample of some: estimates, with their bounds
SELECT part, name, before, after, error > 0 AS has_bound FROM leadscore.what_if('b2b', sample => 100);
-- the same contacts each time
SELECT count(*) FROM (SELECT * FROM leadscore.what_if('b2b', 100) EXCEPT SELECT * FROM leadscore.what_if('b2b', 100)) x;
SELECT count(*) AS not_of_the_larger
  FROM (SELECT contact FROM leadscore.what_if_contacts('b2b', 50) EXCEPT SELECT contact
	  FROM leadscore.what_if_contacts('b2b', 100)) x;
ROLLBACK;
SELECT count(*) FROM leadscore.lead_job;

-- drafts, and their publishing
INSERT INTO leadscore.lead_rule (model, name, event, points, draft) VALUES ('b2b', 'visit', 'visit', 40, true);
SELECT count(*) FROM leadscore.what_if_contacts('b2b');
DELETE FROM trial;
INSERT INTO trial SELECT * FROM leadscore.what_if_contacts('b2b', publish => true);
SELECT count(*) > 50 AS some FROM trial;
BEGIN;
UPDATE leadscore.lead_rule SET draft = false WHERE name = 'visit';
SELECT *
  FROM leadscore.what_if_contacts('b2b')
  FULL JOIN trial t USING (contact, stage_before, stage_after, grade_before, grade_after)
 WHERE t.score_after IS NULL OR t.score_before IS NULL;
ROLLBACK;

-- a disqualifying rule; a model made in the transaction
BEGIN;
INSERT INTO leadscore.lead_rule (model, name, kind, condition, points, disqualifies) VALUES ('b2b', 'small', 'profile', 'employees < 3', 0, true);
SELECT part, name, before, after, came, went FROM leadscore.what_if('b2b') WHERE part = 'stage';
SELECT leadscore.create_model('fresh', 'contact');
SELECT part, name, before, after, came, went FROM leadscore.what_if('fresh');
ROLLBACK;
BEGIN;
CREATE TABLE nobody (id int PRIMARY KEY);
SELECT leadscore.create_model('empty', 'nobody');
SELECT * FROM leadscore.what_if('empty');
SELECT * FROM leadscore.what_if('empty', 10);
SELECT * FROM leadscore.what_if_distribution('empty');
ROLLBACK;

-- bounds hold: of 20 samples of other contacts, nearly always (at 95 %)
CREATE TABLE estimates (n int, part text, name text, off float8, error float8);
DO $$
BEGIN
	FOR n IN 1..20 LOOP
		EXECUTE format('CREATE TABLE c%s AS SELECT i AS id, (i * i + i / 7) %% 10 AS x FROM generate_series(%s, %s) i', n, n * 1000 + 1, n * 1000 + 300);
		EXECUTE format('ALTER TABLE c%s ADD PRIMARY KEY (id)', n);
		PERFORM leadscore.create_model('m' || n, format('c%s', n)::regclass);
		INSERT INTO leadscore.lead_stage (model, stage, position, enter_at) VALUES ('m' || n, 'good', 1, 3), ('m' || n, 'better', 2, 8);
		INSERT INTO leadscore.lead_rule (model, name, kind, condition, weight, points) VALUES ('m' || n, 'x', 'profile', 'true', 'x', 1);
		UPDATE leadscore.lead_rule SET points = 1.5 WHERE model = 'm' || n;
		INSERT INTO estimates SELECT n, part, name, greatest(abs(a.before - b.before), abs(a.after - b.after)), b.error
		  FROM leadscore.what_if('m' || n) a JOIN leadscore.what_if('m' || n, sample => 60) b USING (part, name) WHERE part = 'stage';
		PERFORM leadscore.drop_model('m' || n);
		EXECUTE format('DROP TABLE c%s', n);
	END LOOP;
END
$$;
SELECT count(*), avg((off <= error)::int) > 0.9 AS within, avg((off > 0)::int) > 0.6 AS are_estimates, avg((off > error / 4)::int) > 0.3 AS not_too_wide
  FROM estimates WHERE name <> 'disqualified';

-- mistakes
SELECT * FROM leadscore.what_if('b2c');
SELECT * FROM leadscore.what_if(NULL);
SELECT * FROM leadscore.what_if('b2b', sample => 0);
SELECT * FROM leadscore.what_if('b2b', sample => -5);
SELECT * FROM leadscore.what_if('b2b', sample => 'many');
SELECT * FROM leadscore.what_if('b2b', sample => 10, full => true);
SELECT * FROM leadscore.what_if('b2b', full => 'maybe');
SELECT * FROM leadscore.what_if('b2b', publish => 'soon');
SELECT count(*) FROM leadscore.what_if('b2b', NULL, NULL, NULL);
SELECT * FROM leadscore.what_if_contacts('b2c');
SELECT * FROM leadscore.what_if_contacts('b2b', sample => 0);
SELECT * FROM leadscore.what_if_contacts('b2b', sample => 10, full => true);
SELECT * FROM leadscore.what_if_distribution('b2c');
SELECT * FROM leadscore.what_if_distribution('b2b', bands => 0);
SELECT * FROM leadscore.what_if_distribution('b2b', bands => 1001);
SELECT * FROM leadscore.what_if_distribution('b2b', sample => 0);
SELECT * FROM leadscore.what_if_distribution('b2b', sample => 10, full => true);

-- who may read the scores may ask
SET ROLE regress_ls_what_other;
SELECT * FROM leadscore.what_if('b2b');
SELECT * FROM leadscore.what_if_contacts('b2b');
SELECT * FROM leadscore.what_if_distribution('b2b');
RESET ROLE;
GRANT SELECT ON leadscore.live_b2b TO regress_ls_what_reader;
SET ROLE regress_ls_what_reader;
SELECT count(*) > 3 AS answered FROM leadscore.what_if('b2b');
RESET ROLE;

SELECT leadscore.drop_model('b2b');
DROP SCHEMA what_if CASCADE;
DROP ROLE regress_ls_what_reader, regress_ls_what_other;
