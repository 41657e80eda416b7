-- From nothing to a score and back: what the README tells, step by step.
SET timezone = 'UTC';
SET datestyle = 'ISO';
SET extra_float_digits = 0;
\pset null -
SET leadscore.clock = '2026-03-02 12:00+00';
CREATE SCHEMA basics;
SET search_path = basics;

CREATE TABLE contacts (id int PRIMARY KEY, email text, title text);
CREATE TABLE activity (contact_id int, kind text, at timestamptz, pages int);
CREATE INDEX ON activity (contact_id, at);
INSERT INTO contacts VALUES (1, 'ann@b.example', 'CTO'), (2, 'bob@b.example', 'Student'), (3, 'cy@c.example', NULL);
INSERT INTO activity VALUES
	(1, 'visit', '2026-02-20 12:00+00', 4),
	(1, 'form', '2026-02-23 12:00+00', NULL),
	(9, 'visit', '2026-03-01 12:00+00', 1);

-- a model has a row for every contact from its beginning
SELECT leadscore.create_model('basics', 'contacts');
SELECT contact_id, score, fit, engagement, grade, stage, stage_since, disqualified, has_contact, last_event_at, scored_at
  FROM leadscore.score_basics ORDER BY contact_id;

-- what is there is counted; contact 9 has events only
SELECT leadscore.attach('basics', 'activity', contact => 'contact_id', occurred_at => 'at', event => 'kind');
SELECT source, relation, contact, occurred_at, event, time_zone FROM leadscore.lead_source WHERE model = 'basics';
SELECT contact_id, score, has_contact, last_event_at FROM leadscore.score_basics ORDER BY contact_id;

INSERT INTO leadscore.lead_stage (model, stage, position, enter_at) VALUES ('basics', 'mql', 1, 30);
INSERT INTO leadscore.lead_grade (model, category, grade, min_points)
	VALUES ('basics', 'fit', 'A', 10), ('basics', 'fit', 'B', '-infinity'),
		   ('basics', 'engagement', '1', 20), ('basics', 'engagement', '2', 0);
INSERT INTO leadscore.lead_rule (model, name, event, points, decay, decay_interval)
	VALUES ('basics', 'form', 'form', 40, 'half_life', '7 days');
INSERT INTO leadscore.lead_rule (model, name, event, points, weight, max_points)
	VALUES ('basics', 'pages', 'visit', 2, 'pages', 15);
INSERT INTO leadscore.lead_rule (model, name, kind, condition, points)
	VALUES ('basics', 'decides', 'profile', $$title IN ('CTO', 'CEO')$$, 10);

-- what was left out of a rule is filled in
SELECT name, category, kind, source, award, at_least, decay, negated, disqualifies, enabled, backfilled_version IS NOT NULL AS counted
  FROM leadscore.lead_rule WHERE model = 'basics' ORDER BY name;

-- 1: form 40 x 2^-1 = 20, 4 pages 8, CTO 10; 9: one page 2
SELECT contact_id, score, fit, engagement, grade, stage, scored_at FROM leadscore.score_basics ORDER BY contact_id;
SELECT name, category, kind, matched, last_match, raw, points FROM leadscore.explain('basics', 1);

-- a score follows within the statement: 1 gets 8 + 10 pages, limited to 15
INSERT INTO activity VALUES (1, 'visit', '2026-03-02 11:00+00', 5), (2, 'form', '2026-03-02 12:00+00', NULL);
SELECT contact_id, score, fit, engagement, grade, stage FROM leadscore.score_basics ORDER BY contact_id;
SELECT name, matched, last_match, raw, points FROM leadscore.explain('basics', 1);

-- at any instant: now, in a week, and before the latest events
SELECT at, leadscore.score('basics', 1, at), leadscore.replay('basics', 1, at)
  FROM unnest('{2026-02-19 12:00+00, 2026-02-20 12:00+00, 2026-02-23 12:00+00, 2026-03-02 10:59:59+00, '
	'2026-03-02 11:00+00, 2026-03-02 12:00+00, 2026-03-09 12:00+00}'::timestamptz[]) AS at;
SELECT leadscore.score('basics', 1) AS known, leadscore.score('basics', 4) AS unknown,
	leadscore.replay('basics', 4) AS unknown, leadscore.score('basics', NULL) AS none;
SELECT count(*) FROM leadscore.explain('basics', 4);
SELECT name, matched, last_match, raw, points FROM leadscore.explain('basics', 1, '2026-02-21 12:00+00');

-- time passes: the live view follows at once, the table when it is refreshed
SET leadscore.clock = '2026-03-09 12:00+00';
SELECT contact_id, l.score, l.stage, l.stage_since, l.scored_at, s.score, s.stage, s.stage_since, s.scored_at
  FROM leadscore.live_basics l JOIN leadscore.score_basics s USING (contact_id) ORDER BY contact_id;
SELECT leadscore.clock();
SELECT leadscore.refresh('basics');
SELECT contact_id, score, stage, stage_since, scored_at FROM leadscore.score_basics ORDER BY contact_id;
SELECT leadscore.refresh('basics'), leadscore.refresh();
SELECT * FROM leadscore.history_basics ORDER BY changed_at, contact_id;
SELECT * FROM leadscore.verify('basics');

-- the state as a person reads it
SELECT regexp_replace(regexp_replace(leadscore.state_text(state), 'slot [0-9]+', 'slot', 'g'), 'due at \S+ \S+', 'due then')
  FROM leadscore.score_basics WHERE contact_id IN (1, 3) ORDER BY contact_id;

-- what if: rules are tried, and left as they were
BEGIN;
UPDATE leadscore.lead_rule SET points = 80 WHERE model = 'basics' AND name = 'form';
SELECT contact_id, s.score AS stored, l.score AS live
  FROM leadscore.live_basics l JOIN leadscore.score_basics s USING (contact_id) ORDER BY contact_id;
SELECT * FROM leadscore.verify('basics') ORDER BY contact::int;
ROLLBACK;
SELECT contact_id, s.score AS stored, l.score AS live
  FROM leadscore.live_basics l JOIN leadscore.score_basics s USING (contact_id) ORDER BY contact_id;
BEGIN;
UPDATE leadscore.lead_rule SET points = 80 WHERE model = 'basics' AND name = 'form';
COMMIT;
SELECT contact_id, score, stage FROM leadscore.score_basics ORDER BY contact_id;
SELECT contact_id, from_stage, to_stage, score, changed_at, cause FROM leadscore.history_basics ORDER BY changed_at, contact_id;
UPDATE leadscore.lead_rule SET enabled = false WHERE model = 'basics' AND name = 'pages';
SELECT contact_id, score FROM leadscore.score_basics ORDER BY contact_id;
DELETE FROM leadscore.lead_rule WHERE model = 'basics' AND name = 'pages';
SELECT * FROM leadscore.verify('basics');

-- events that went past the triggers: verify shows them, rescore counts them
ALTER TABLE activity DISABLE TRIGGER ALL;
INSERT INTO activity VALUES (3, 'form', '2026-03-09 12:00+00', 0), (10, 'form', '2026-03-09 12:00+00', 0);
DELETE FROM activity WHERE contact_id = 9;
ALTER TABLE activity ENABLE TRIGGER ALL;
SELECT * FROM leadscore.verify('basics') ORDER BY contact::int;
-- that is warned of, for parts of a table and for the table of contacts too; not where triggers are others'
BEGIN;
ALTER TABLE activity DISABLE TRIGGER leadscore_update;
ALTER TABLE activity ENABLE REPLICA TRIGGER leadscore_insert;
ALTER TABLE activity ADD COLUMN more int, DISABLE TRIGGER USER;
ALTER TABLE contacts DISABLE TRIGGER ALL;
CREATE TRIGGER mine BEFORE UPDATE ON activity FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger();
ALTER TABLE activity DISABLE TRIGGER mine;
ROLLBACK;
SELECT leadscore.rescore('basics');
SELECT * FROM leadscore.verify('basics');
SELECT contact_id, score, has_contact FROM leadscore.score_basics ORDER BY contact_id;

-- a model that is switched off misses what happens, until it is switched on
UPDATE leadscore.lead_model SET enabled = false WHERE model = 'basics';
INSERT INTO activity VALUES (2, 'form', '2026-03-09 12:00+00', 0);
SELECT contact_id, score FROM leadscore.score_basics WHERE contact_id = 2;
UPDATE leadscore.lead_model SET enabled = true WHERE model = 'basics';
SELECT contact_id, score FROM leadscore.score_basics WHERE contact_id = 2;
SELECT * FROM leadscore.verify('basics');

-- what a source contributed leaves with it, and comes back with it
SELECT leadscore.detach('basics', 'activity');
SELECT contact_id, score, grade, last_event_at FROM leadscore.score_basics ORDER BY contact_id;
SELECT name, points FROM leadscore.explain('basics', 1);
SELECT * FROM leadscore.verify('basics');
SELECT leadscore.attach('basics', 'activity', contact => 'contact_id', occurred_at => 'at', event => 'kind');
SELECT contact_id, score, grade, last_event_at FROM leadscore.score_basics ORDER BY contact_id;
SELECT * FROM leadscore.verify('basics');

-- nothing of a dropped model is left, and the tables work on
SELECT leadscore.drop_model('basics');
SELECT relname FROM pg_class WHERE relnamespace = 'leadscore'::regnamespace AND relname LIKE '%\_basics%';
SELECT tgname FROM pg_trigger WHERE tgrelid IN ('contacts'::regclass, 'activity'::regclass) AND NOT tgisinternal;
SELECT count(*) FROM leadscore.lead_rule WHERE model = 'basics';
INSERT INTO activity VALUES (1, 'form', '2026-03-09 12:00+00', 0);
SET client_min_messages = warning;
DROP SCHEMA basics CASCADE;
