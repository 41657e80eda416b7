-- Rules with the same condition or weight over a table: it is evaluated once a row, for all of them.
SET timezone = 'UTC';
SET client_min_messages = warning;
\set SHOW_CONTEXT never
SET leadscore.clock = '2026-03-02 00:00+00';
CREATE SCHEMA equal_conditions;
SET search_path = equal_conditions;
CREATE TABLE person (id int PRIMARY KEY, n float8);
CREATE TABLE act (person int, at timestamptz, what text, n float8);
CREATE TABLE visit (person int, at timestamptz, n int);
CREATE INDEX ON act (person, at);
CREATE INDEX ON visit (person, at);
CREATE FUNCTION high(n float8) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RAISE NOTICE 'is % high?', n; RETURN n >= 10; END $$;
CREATE FUNCTION much(n float8) RETURNS float8 LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RAISE NOTICE 'how much is %?', n; RETURN n / 10; END $$;
SELECT leadscore.create_model('equal_conditions', 'person');
SELECT leadscore.attach('equal_conditions', 'act', 'person', 'at', 'what');
SELECT leadscore.attach('equal_conditions', 'visit', 'person', 'at');
INSERT INTO leadscore.lead_rule (model, name, source, event, condition, weight, points) VALUES
	('equal_conditions', 'a', 'act', 'click', 'equal_conditions.high(n)', NULL, 1),
	('equal_conditions', 'b', 'act', NULL, 'equal_conditions.high(n)', NULL, 10),
	('equal_conditions', 'c', 'act', 'click', 'equal_conditions.high(n)', 'equal_conditions.much(n)', 100),
	('equal_conditions', 'd', 'act', 'click', NULL, 'equal_conditions.much(n)', 1000),
	('equal_conditions', 'e', 'visit', NULL, 'equal_conditions.high(n)', NULL, 100000);

-- each row is looked at once, and no row is taken for another
SET client_min_messages = notice;
INSERT INTO act VALUES (1, '2026-03-01', 'click', 10);
INSERT INTO act VALUES (2, '2026-03-01', 'click', 20), (3, '2026-03-01', 'click', 0), (4, '2026-03-01', 'open', 30);
-- nor a table for another
INSERT INTO visit VALUES (1, '2026-03-01', 5), (2, '2026-03-01', 15);
SET client_min_messages = warning;
SELECT contact_id, score FROM leadscore.score_equal_conditions ORDER BY 1;
SELECT * FROM leadscore.verify('equal_conditions');

-- what fails has failed for each of them
INSERT INTO leadscore.lead_rule (model, name, source, event, condition, weight, points) VALUES
	('equal_conditions', 'f', 'act', 'ratio', '100 / n > 20', NULL, 1),
	('equal_conditions', 'g', 'act', 'ratio', '100 / n > 20', NULL, 10),
	('equal_conditions', 'h', 'act', 'ratio', NULL, '100 / n', 100),
	('equal_conditions', 'i', 'act', 'ratio', NULL, '100 / n', 1000);
INSERT INTO act VALUES (5, '2026-03-01', 'ratio', 0), (6, '2026-03-01', 'ratio', 4), (7, '2026-03-01', 'ratio', 10), (8, '2026-03-01', 'ratio', 0);
SELECT contact_id, score FROM leadscore.score_equal_conditions WHERE contact_id > 4 ORDER BY 1;
SELECT name, failures, message FROM leadscore.rule_errors WHERE model = 'equal_conditions' ORDER BY 1;

-- rules go, change and are compiled again by themselves
DELETE FROM leadscore.lead_rule WHERE model = 'equal_conditions' AND name IN ('a', 'f');
UPDATE leadscore.lead_rule SET condition = 'equal_conditions.high(n - 5)' WHERE model = 'equal_conditions' AND name = 'c';
CREATE OR REPLACE FUNCTION high(n float8) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT n >= 20';
INSERT INTO act VALUES (9, '2026-03-01', 'click', 24), (10, '2026-03-01', 'click', 25), (11, '2026-03-01', 'ratio', 4);
SELECT contact_id, score FROM leadscore.score_equal_conditions WHERE contact_id > 8 ORDER BY 1;

-- rules over the contact table
INSERT INTO leadscore.lead_rule (model, name, kind, condition, points) VALUES
	('equal_conditions', 'j', 'profile', 'n > 1', 1),
	('equal_conditions', 'k', 'profile', 'n > 1', 10);
INSERT INTO person VALUES (20, 1), (21, 2);
UPDATE person SET n = 3 - n;
SELECT contact_id, score FROM leadscore.score_equal_conditions WHERE contact_id >= 20 ORDER BY 1;

SELECT leadscore.drop_model('equal_conditions');
DROP SCHEMA equal_conditions CASCADE;
