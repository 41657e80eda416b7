-- A row of a statement that is, in what rules read, like the last one of its event name matches what that has matched.
SET timezone = 'UTC';
SET client_min_messages = warning;
\set SHOW_CONTEXT never
SET leadscore.clock = '2026-03-02 00:00+00';
CREATE SCHEMA equal_rows;
SET search_path = equal_rows;
CREATE TABLE person (id int PRIMARY KEY);
CREATE TABLE act (id int, person int, at timestamptz, what text, url text, n numeric, note text);
CREATE INDEX ON act (person, at);
SELECT leadscore.create_model('equal_rows', 'person');
SELECT leadscore.attach('equal_rows', 'act', 'person', 'at', 'what');
INSERT INTO leadscore.lead_rule (model, name, event, condition, weight, points) VALUES
	('equal_rows', 'any', NULL, 'n > 0', NULL, 1),
	('equal_rows', 'docs', 'click', 'url LIKE ''/docs%''', NULL, 10),
	('equal_rows', 'weight', 'click', NULL, 'n', 100),
	('equal_rows', 'no url', 'click', 'url IS NULL', NULL, 1000),
	('equal_rows', 'written', 'click', 'n::text = ''1.0''', NULL, 10000),
	('equal_rows', 'ratio', 'ratio', '100 / n > 20', NULL, 1000000);
INSERT INTO leadscore.lead_rule (model, name, event, points, events_from, events_before) VALUES
	('equal_rows', 'window', 'click', 100000, '2026-02-01', '2026-02-03');

-- alike, then with another value, NULL, and another event in between
INSERT INTO act (id, person, at, what, url, n) VALUES
	(1, 1, '2026-01-01', 'click', '/docs', 2), (2, 2, '2026-01-01', 'click', '/docs', 2), (3, 3, '2026-01-01', 'click', '/docs', 2),
	(4, 4, '2026-01-01', 'click', '/doc', 2), (5, 5, '2026-01-01', 'open', '/doc', 2), (6, 6, '2026-01-01', 'click', '/doc', 2),
	(7, 7, '2026-01-01', 'click', NULL, 2), (8, 8, '2026-01-01', 'click', NULL, 2), (9, 9, '2026-01-01', 'click', '/doc', NULL),
	(10, 10, '2026-01-01', 'click', '/doc', 1), (11, 11, '2026-01-01', 'click', '/doc', 1.0), (12, 12, '2026-01-01', 'click', '/doc', 1.0),
	(13, 13, '2026-01-01', 'open', '/doc', 2), (14, 14, '2026-01-01', 'open', '/doc', -2), (15, 15, '2026-01-01', NULL, '/doc', 2);
SELECT contact_id, score FROM leadscore.score_equal_rows ORDER BY 1;

-- rules count for events from and before some instants
INSERT INTO act (id, person, at, what, n) VALUES
	(21, 21, '2026-01-31', 'click', 1), (22, 22, '2026-02-01', 'click', 1), (23, 23, '2026-02-02', 'click', 1), (24, 24, '2026-02-03', 'click', 1),
	(25, 25, '2026-02-02', 'click', 1), (26, 26, '2026-01-01', 'click', 1);
SELECT contact_id, score FROM leadscore.score_equal_rows WHERE contact_id BETWEEN 21 AND 29 ORDER BY 1;

-- what fails, fails for each row
INSERT INTO act (id, person, at, what, n) VALUES
	(31, 31, '2026-01-01', 'ratio', 4), (32, 32, '2026-01-01', 'ratio', 4), (33, 33, '2026-01-01', 'ratio', 0), (34, 34, '2026-01-01', 'ratio', 0),
	(35, 35, '2026-01-01', 'ratio', 4);
SELECT contact_id, score FROM leadscore.score_equal_rows WHERE contact_id BETWEEN 31 AND 39 ORDER BY 1;
SELECT name, failures, message FROM leadscore.rule_errors WHERE model = 'equal_rows' ORDER BY 1;

-- many that are alike, none that is, and values of all lengths, some of them stored elsewhere
INSERT INTO act SELECT n, 100 + n % 7, '2026-01-01', 'click', '/docs', 3 FROM generate_series(1, 50) n;
INSERT INTO act SELECT n, 110 + n % 7, '2026-01-01', 'click', '/docs' || n, n FROM generate_series(1, 500) n;
INSERT INTO act SELECT n, 120 + n % 7, '2026-01-01', CASE WHEN n % 3 = 0 THEN 'open' ELSE 'click' END,
		CASE n / 4 % 3 WHEN 1 THEN '/docs' || repeat('x', n * 4)
			WHEN 2 THEN '/docs' || (SELECT string_agg(md5(i::text), '') FROM generate_series(1, n) i) END, n / 8
	FROM generate_series(1, 300) n;
SELECT count(*), sum(score) FROM leadscore.score_equal_rows WHERE contact_id >= 100;
SELECT * FROM leadscore.verify('equal_rows');

-- rules with functions of others are tried on each row
CREATE FUNCTION high(n numeric) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RAISE NOTICE 'is % high?', n; RETURN n >= 10; END $$;
INSERT INTO leadscore.lead_rule (model, name, event, condition, points) VALUES ('equal_rows', 'high', 'click', 'equal_rows.high(n)', 10000000);
SET client_min_messages = notice;
INSERT INTO act VALUES (51, 51, '2026-01-01', 'click', '', 10), (52, 52, '2026-01-01', 'click', '', 10);
SET client_min_messages = warning;
SELECT contact_id, score FROM leadscore.score_equal_rows WHERE contact_id BETWEEN 51 AND 59 ORDER BY 1;

-- a statement remembers nothing of rules that have changed
UPDATE leadscore.lead_rule SET condition = 'url LIKE ''/x%''' WHERE model = 'equal_rows' AND name IN ('docs', 'high');
INSERT INTO act VALUES (61, 61, '2026-01-01', 'click', '', 10), (62, 62, '2026-01-01', 'click', '/x', 10), (63, 63, '2026-01-01', 'click', '/x', 10);
SELECT contact_id, score FROM leadscore.score_equal_rows WHERE contact_id BETWEEN 61 AND 69 ORDER BY 1;
SET client_min_messages = error;
SELECT * FROM leadscore.verify('equal_rows');

SELECT leadscore.drop_model('equal_rows');
DROP SCHEMA equal_rows CASCADE;
