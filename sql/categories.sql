-- Categories are added, renamed and removed by plain SQL.
SET timezone = 'UTC';
SET datestyle = 'ISO';
SET leadscore.clock = '2026-03-02 00:00+00';
CREATE SCHEMA categories;
SET search_path = categories;
SET client_min_messages = warning;
CREATE ROLE categories_owner;
CREATE ROLE categories_reader;
GRANT ALL ON SCHEMA categories TO categories_owner, categories_reader;
SET ROLE categories_owner;
CREATE TABLE guest (id int PRIMARY KEY, country text, fame float8);
INSERT INTO guest SELECT g, 'DE', g FROM generate_series(1, 3) g;
CREATE TABLE act (guest int, visitor int, at timestamptz, what text);
CREATE INDEX ON act (guest, at);
CREATE INDEX ON act (visitor, at);
SELECT leadscore.create_model('m', 'guest');
SELECT leadscore.attach('m', 'act', 'guest', 'at', 'what', visitor => 'visitor', on_delete => 'keep');
INSERT INTO leadscore.lead_rule (model, name, points) VALUES ('m', 'any', 10);
INSERT INTO leadscore.lead_rule (model, name, kind, condition, points) VALUES ('m', 'german', 'profile', 'country = ''DE''', 1);
INSERT INTO leadscore.lead_stage (model, stage, position, enter_at, condition)
VALUES ('m', 'hot', 1, 10, '"fit" >= 1 AND engagement > fit AND guest.fame > 0 AND country = ''DE''');
INSERT INTO leadscore.lead_grade (model, category, grade, min_points) VALUES ('m', 'fit', 'A', 1), ('m', 'engagement', '1', 10);
UPDATE leadscore.lead_model SET daily = true WHERE model = 'm';
INSERT INTO act VALUES (1, NULL, '2026-03-01 00:00+00', 'stay'), (2, NULL, '2026-03-01 00:00+00', 'stay'), (NULL, 9, '2026-03-01 00:00+00', 'stay');
GRANT SELECT ON leadscore.live_m TO categories_reader WITH GRANT OPTION;
GRANT SELECT (contact_id, fit) ON leadscore.live_m TO PUBLIC;
SELECT contact_id, score, fit, engagement, grade, stage FROM leadscore.live_m ORDER BY 1;
CREATE FUNCTION columns_of(pattern text) RETURNS TABLE (relation name, columns text) LANGUAGE sql AS $$
	SELECT c.relname, string_agg(a.attname, ' ' ORDER BY a.attnum) FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
	 WHERE c.relnamespace = 'leadscore'::regnamespace AND c.relname ~ pattern AND c.relkind IN ('r', 'v', 'p') AND a.attnum > 0 AND NOT a.attisdropped
	 GROUP BY c.relname ORDER BY c.relname COLLATE "C" $$;

--
-- added
--
INSERT INTO leadscore.lead_category (model, category) VALUES ('m', 'loyalty');
SELECT * FROM columns_of('^(score|live|daily)_m');
SELECT category, position, weight FROM leadscore.lead_category WHERE model = 'm' ORDER BY position;
INSERT INTO leadscore.lead_rule (model, name, category, event, points) VALUES ('m', 'stays', 'loyalty', 'stay', 100);
INSERT INTO leadscore.lead_grade (model, category, grade, min_points) VALUES ('m', 'loyalty', '+', 100);
SELECT contact_id, score, fit, engagement, loyalty, grade, stage FROM leadscore.score_m ORDER BY 1;
SELECT contact_id, score, loyalty FROM leadscore.score_m_visitors;
INSERT INTO act VALUES (3, NULL, '2026-03-01 00:00+00', 'stay'), (7, NULL, '2026-03-01 00:00+00', 'walk'), (NULL, 8, '2026-03-01 00:00+00', 'stay');
SELECT contact_id, score, fit, engagement, loyalty, grade, stage FROM leadscore.live_m ORDER BY 1;
SELECT * FROM leadscore.verify('m');
BEGIN ISOLATION LEVEL REPEATABLE READ;
INSERT INTO act VALUES (3, NULL, '2026-03-01 00:00+00', 'stay');
SELECT leadscore.refresh('m') > 0 AS refreshed;
SELECT leadscore.set_stage('m', 2, 'hot');
COMMIT;
SELECT contact_id, score, loyalty FROM leadscore.score_m ORDER BY 1;
-- limits that give points by themselves
INSERT INTO leadscore.lead_category (model, category, position, weight, min_points) VALUES ('m', 'basis', 0, 2, 5);
SELECT contact_id, score, basis FROM leadscore.score_m ORDER BY 1;
SELECT * FROM leadscore.verify('m');
-- days
RESET ROLE;
SET leadscore.clock = '2026-03-03 00:00+00';
SELECT leadscore.write_days('m');
SET ROLE categories_owner;
SELECT contact_id, score, fit, engagement, loyalty, basis FROM leadscore.daily_m ORDER BY day, contact_id;

--
-- renamed
--
CREATE VIEW bi AS SELECT contact_id, fit AS suits, score FROM leadscore.live_m;
UPDATE leadscore.lead_category SET category = 'suit' WHERE model = 'm' AND category = 'fit';
SELECT * FROM columns_of('^(score|live|daily)_m');
SELECT name, category FROM leadscore.lead_rule WHERE model = 'm' ORDER BY name;
SELECT category, grade FROM leadscore.lead_grade WHERE model = 'm' ORDER BY category;
SELECT condition FROM leadscore.lead_stage WHERE stage = 'hot';
SELECT operation, category,
	versions = (SELECT max(versions) FROM leadscore.lead_rule_history i
		WHERE i.name = 'german' AND i.operation = 'INSERT') AS same
  FROM leadscore.lead_rule_history h WHERE name = 'german' ORDER BY history_id;
SELECT contact_id, suits FROM bi ORDER BY 1;
SELECT contact_id, score, suit, engagement, loyalty, basis, grade, stage FROM leadscore.live_m ORDER BY 1;
SELECT name, category, points FROM leadscore.explain('m', 1) ORDER BY name;
INSERT INTO act VALUES (1, NULL, '2026-03-01 00:00+00', 'walk');
SELECT contact_id, score, suit, engagement FROM leadscore.score_m WHERE contact_id = 1;
SELECT * FROM leadscore.verify('m');
UPDATE leadscore.lead_category SET category = 'loyalty' WHERE model = 'm' AND category = 'suit';
UPDATE leadscore.lead_category SET category = 'country' WHERE model = 'm' AND category = 'suit';
UPDATE leadscore.lead_category SET category = 'score' WHERE model = 'm' AND category = 'suit';
UPDATE leadscore.lead_category SET category = 'day' WHERE model = 'm' AND category = 'suit';
UPDATE leadscore.lead_category SET category = 'Suit' WHERE model = 'm' AND category = 'suit';
UPDATE leadscore.lead_category SET model = 'n' WHERE model = 'm' AND category = 'suit';
UPDATE leadscore.lead_category SET category = 'x' WHERE model = 'm_visitors';
-- a column of the table, said so, is not meant
UPDATE leadscore.lead_category SET category = 'fame' WHERE model = 'm' AND category = 'suit';
SELECT condition FROM leadscore.lead_stage WHERE stage = 'hot';
UPDATE leadscore.lead_category SET category = 'suit' WHERE model = 'm' AND category = 'fame';
SELECT condition FROM leadscore.lead_stage WHERE stage = 'hot';

--
-- removed
--
DELETE FROM leadscore.lead_category WHERE model = 'm' AND category = 'suit';
DELETE FROM leadscore.lead_rule WHERE name = 'german';
DELETE FROM leadscore.lead_category WHERE model = 'm' AND category = 'suit';
DELETE FROM leadscore.lead_grade WHERE model = 'm' AND category = 'suit';
DELETE FROM leadscore.lead_category WHERE model = 'm' AND category = 'suit';
UPDATE leadscore.lead_stage SET condition = 'loyalty > 0' WHERE stage = 'hot';
DELETE FROM leadscore.lead_category WHERE model = 'm' AND category = 'suit';
DROP VIEW bi;
CREATE VIEW bi AS SELECT suit FROM leadscore.score_m;
DELETE FROM leadscore.lead_category WHERE model = 'm' AND category = 'suit';
DROP VIEW bi;
CREATE VIEW bi AS SELECT loyalty FROM leadscore.score_m;
GRANT SELECT (suit) ON leadscore.live_m TO categories_reader;
BEGIN;
DELETE FROM leadscore.lead_category WHERE model = 'm' AND category = 'suit';
SELECT contact_id, score, engagement, loyalty, basis, grade, stage FROM leadscore.live_m ORDER BY 1;
ROLLBACK;
SELECT contact_id, score, suit, engagement FROM leadscore.live_m ORDER BY 1;
DELETE FROM leadscore.lead_category WHERE model = 'm' AND category = 'suit';
SELECT * FROM columns_of('^(score|live|daily)_m');
SELECT contact_id, score, engagement, loyalty, basis, grade, stage FROM leadscore.live_m ORDER BY 1;
INSERT INTO act VALUES (1, NULL, '2026-03-01 00:00+00', 'stay'), (11, NULL, '2026-03-01 00:00+00', 'stay'), (NULL, 12, '2026-03-01 00:00+00', 'stay');
BEGIN ISOLATION LEVEL REPEATABLE READ;
INSERT INTO act VALUES (1, NULL, '2026-03-01 00:00+00', 'stay'), (13, NULL, '2026-03-01 00:00+00', 'stay');
SELECT leadscore.refresh('m') > 0 AS refreshed;
SELECT leadscore.release_stage('m', 2);
COMMIT;
SELECT contact_id, score, engagement, loyalty, basis, grade, stage FROM leadscore.live_m ORDER BY 1;
SELECT * FROM leadscore.verify('m');
SELECT leadscore.rescore('m');
SELECT contact_id, score, engagement, loyalty, basis, grade, stage FROM leadscore.score_m ORDER BY 1;
-- a rule that names it, and the score of another day
INSERT INTO leadscore.lead_rule (model, name, category, points) VALUES ('m', 'new', 'suit', 1);
INSERT INTO leadscore.lead_rule (model, name, kind, points) VALUES ('m', 'new', 'profile', 1);
SELECT leadscore.score('m', 1, '2026-03-02 00:00+00', '2026-03-02 00:00+00');
SELECT category, points FROM leadscore.explain('m', 1, '2026-03-02 00:00+00', '2026-03-02 00:00+00') ORDER BY name;
-- of limits that gave points
DELETE FROM leadscore.lead_category WHERE model = 'm' AND category = 'basis';
SELECT contact_id, score FROM leadscore.score_m WHERE contact_id = 1;
-- one is left
UPDATE leadscore.lead_stage SET condition = NULL WHERE stage = 'hot';
DELETE FROM leadscore.lead_rule WHERE model = 'm' AND category = 'loyalty';
DELETE FROM leadscore.lead_grade WHERE model = 'm';
DROP VIEW bi;
DELETE FROM leadscore.lead_category WHERE model = 'm' AND category = 'loyalty';
DELETE FROM leadscore.lead_rule WHERE model = 'm';
DELETE FROM leadscore.lead_category WHERE model = 'm';
SELECT category FROM leadscore.lead_category WHERE model = 'm';
-- several at once, and again what was there
INSERT INTO leadscore.lead_category (model, category) SELECT 'm', c FROM unnest('{loyalty,suit,fit}'::text[]) c;
SELECT * FROM columns_of('^(score|live|daily)_m');
UPDATE leadscore.lead_category SET position = 100 WHERE model = 'm' AND category = 'engagement';
INSERT INTO leadscore.lead_category (model, category) SELECT 'm', 'c' || g FROM generate_series(1, 28) g;
INSERT INTO leadscore.lead_category (model, category) VALUES ('m', 'one_more');
DELETE FROM leadscore.lead_category WHERE model = 'm' AND category ~ '^c[0-9]';
-- what is refused
INSERT INTO leadscore.lead_category (model, category) VALUES ('m', 'state');
INSERT INTO leadscore.lead_category (model, category) VALUES ('m', 'ctid');
INSERT INTO leadscore.lead_category (model, category) VALUES ('m', 'day');
INSERT INTO leadscore.lead_category (model, category) VALUES ('m', 'fit');
INSERT INTO leadscore.lead_category (model, category) VALUES ('m', 'a234567890123456789012345678901234567890_42');
INSERT INTO leadscore.lead_category (model, category) VALUES ('m', NULL);
INSERT INTO leadscore.lead_category (model, category) VALUES ('n', 'x');
INSERT INTO leadscore.lead_category (model, category, weight) VALUES ('m', 'x', 'NaN');
INSERT INTO leadscore.lead_category (model, category, min_points, max_points) VALUES ('m', 'x', 2, 1);
INSERT INTO leadscore.lead_category (model, category) VALUES ('m_visitors', 'x');
UPDATE leadscore.lead_stage SET condition = 'country = ''DE''' WHERE stage = 'hot';
INSERT INTO leadscore.lead_category (model, category) VALUES ('m', 'country');
RESET ROLE;
SET ROLE categories_reader;
INSERT INTO leadscore.lead_category (model, category) VALUES ('m', 'x');
DELETE FROM leadscore.lead_category WHERE model = 'm';
UPDATE leadscore.lead_category SET category = 'x' WHERE model = 'm';
SELECT count(*) FROM leadscore.live_m;
RESET ROLE;
-- rights on the view have outlasted all that; by a superuser's COPY
SELECT grantee, privilege_type, is_grantable FROM information_schema.role_table_grants WHERE table_name = 'live_m' AND grantee ~ 'reader';
COPY leadscore.lead_category (model, category) FROM stdin;
m	copied
\.
SELECT copied FROM leadscore.score_m LIMIT 1;
COPY leadscore.lead_rule (model, name, points, category) FROM stdin;
m	copied	3	copied
\.
COPY leadscore.lead_stage (model, stage, position, enter_at) FROM stdin;
m	disqualified	5	3
\.
COPY leadscore.lead_stage (model, stage, position, enter_at) FROM stdin;
m	warm	5	3
\.
SELECT contact_id, score, copied, stage FROM leadscore.score_m ORDER BY 1;
SELECT name, operation FROM leadscore.lead_rule_history WHERE name = 'copied';
SELECT * FROM leadscore.verify('m');
SELECT leadscore.drop_model('m');
DROP SCHEMA categories CASCADE;
DROP ROLE categories_owner, categories_reader;
