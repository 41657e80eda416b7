-- Expressions that fail: how often it is told, what is none of theirs, and numbers that are too large.
SET timezone = 'UTC';
SET datestyle = 'ISO';
SET client_min_messages = warning;
\pset null -
\set SHOW_CONTEXT never
SET leadscore.clock = '2026-03-02 00:00+00';
CREATE SCHEMA failures;
SET search_path = failures;
CREATE TABLE person (id int PRIMARY KEY);
CREATE TABLE act (person int, at timestamptz, what text, n float8);
CREATE INDEX ON act (person, at);
SELECT leadscore.create_model('failures', 'person');
SELECT leadscore.attach('failures', 'act', 'person', 'at', 'what');

--
-- a rule that fails is told of once a minute, by statements and by whoever asks for a score of the past
--
INSERT INTO leadscore.lead_rule (model, name, event, points, weight) VALUES ('failures', 'ratio', 'ratio', 1, '12 / n');
INSERT INTO act VALUES (1, '2026-03-01', 'ratio', 0);
INSERT INTO act VALUES (1, '2026-03-01', 'ratio', 0), (2, '2026-03-01', 'ratio', 3);
DELETE FROM act WHERE person = 2;
SELECT leadscore.score('failures', 1, '2026-03-01 12:00'), leadscore.replay('failures', 1);
SELECT leadscore.score('failures', 1, '2026-03-01 12:00') FROM generate_series(1, 3);
SELECT * FROM leadscore.verify('failures');
SELECT leadscore.rescore('failures');
-- other rules are told of, and so is this one when the model was changed
INSERT INTO leadscore.lead_rule (model, name, event, points, weight) VALUES ('failures', 'ratio too', 'ratio', 1, 'n / 0');
INSERT INTO act VALUES (1, '2026-03-01', 'ratio', 0);
INSERT INTO act VALUES (1, '2026-03-01', 'ratio', 0);
SELECT name, sqlstate, message FROM leadscore.rule_errors WHERE model = 'failures' ORDER BY name;
-- so is the condition of a stage
INSERT INTO leadscore.lead_rule (model, name, event, points) VALUES ('failures', 'plain', 'plain', 10);
INSERT INTO leadscore.lead_stage (model, stage, position, enter_at, condition) VALUES ('failures', 'hot', 1, 5, '1 / (score - 10) > 0');
INSERT INTO act VALUES (3, '2026-03-01', 'plain', 0);
INSERT INTO act VALUES (4, '2026-03-01', 'plain', 0);
DELETE FROM leadscore.lead_rule WHERE name LIKE 'ratio%' AND model = 'failures';
DELETE FROM leadscore.lead_stage WHERE stage = 'hot' AND model = 'failures';

--
-- the contact that is told of is the one for whom the row counts, also where the row names a merged one
--
CREATE TABLE member (email text PRIMARY KEY);
CREATE TABLE sale (member text, at timestamptz, n float8);
CREATE INDEX ON sale (member, at);
SELECT leadscore.create_model('merged_failures', 'member');
SELECT leadscore.attach('merged_failures', 'sale', 'member', 'at');
INSERT INTO member VALUES ('mary@example.org'), ('polly@example.org');
INSERT INTO sale VALUES ('polly@example.org', '2026-03-01', 0);
INSERT INTO leadscore.lead_rule (model, name, points, weight) VALUES ('merged_failures', 'ratio', 1, '12 / n');
INSERT INTO leadscore.lead_rule (model, name, points) VALUES ('merged_failures', 'any', 1);
SELECT leadscore.merge_contacts('merged_failures', 'mary@example.org', 'polly@example.org');
SELECT leadscore.unmerge('merged_failures', 'polly@example.org');
SELECT leadscore.drop_model('merged_failures');
DROP TABLE member, sale;

--
-- failures are kept for so many days, by whoever records one too
--
SHOW leadscore.rule_error_retention;
INSERT INTO leadscore_internal.lead_rule_error SELECT 'failures', 1, 'old', now() - d * interval '1 day', 1, '22012', 'old', NULL FROM unnest(ARRAY[29, 31]) d;
INSERT INTO leadscore.lead_rule (model, name, event, points, weight) VALUES ('failures', 'ratio', 'ratio', 1, '12 / n');
INSERT INTO act VALUES (5, '2026-03-01', 'ratio', 0);
SELECT now() - failed_at < interval '30 days' AS young FROM leadscore_internal.lead_rule_error WHERE name = 'old';
-- but for what tells why a rule sleeps, which goes by the time of the day as the others do
ALTER TABLE act ADD COLUMN gone int;
INSERT INTO leadscore.lead_rule (model, name, points, condition) VALUES ('failures', 'sleeper', 1, 'gone > 0');
SET leadscore.clock = '2026-03-01';
ALTER TABLE act DROP COLUMN gone;
RESET leadscore.clock;
SELECT now() - failed_at < interval '1 day' AS today FROM leadscore_internal.lead_rule_error WHERE name = 'sleeper';
UPDATE leadscore_internal.lead_rule_error SET failed_at = failed_at - interval '40 days' WHERE name = 'sleeper';
INSERT INTO leadscore_internal.lead_rule_error SELECT 'failures', 1, 'old', now() - interval '31 days', 1, '22012', 'old', NULL;
UPDATE leadscore.lead_rule SET weight = '13 / n' WHERE name = 'ratio' AND model = 'failures';
SELECT name, sqlstate, now() - failed_at > interval '30 days' AS old FROM leadscore_internal.lead_rule_error WHERE name IN ('sleeper', 'old') ORDER BY 1, 3;
DELETE FROM leadscore.lead_rule WHERE name = 'sleeper' AND model = 'failures';

--
-- numbers beyond 1e100 are none: their sum would depend on the order
--
UPDATE leadscore.lead_rule SET weight = 'n' WHERE name = 'ratio' AND model = 'failures';
INSERT INTO act VALUES (6, '2026-03-01', 'ratio', 1e308);
INSERT INTO act VALUES (6, '2026-03-01', 'ratio', 1e308);
INSERT INTO act VALUES (6, '2026-03-01', 'ratio', -1e308);
INSERT INTO act VALUES (6, '2026-03-01', 'ratio', 'NaN'), (6, '2026-03-01', 'ratio', 1.0000001e100), (6, '2026-03-01', 'ratio', 7);
INSERT INTO act VALUES (7, '2026-03-01', 'ratio', 1e100), (7, '2026-03-01', 'ratio', -1e100), (7, '2026-03-01', 'ratio', 3);
SELECT contact_id, score, leadscore.replay('failures', contact_id) FROM leadscore.score_failures WHERE contact_id IN (6, 7) ORDER BY 1;
-- what points make of it is finite
UPDATE leadscore.lead_rule SET points = 1e100 WHERE name = 'ratio' AND model = 'failures';
INSERT INTO act VALUES (8, '2026-03-01', 'ratio', 1e100), (8, '2026-03-01', 'ratio', 1e100);
SELECT contact_id, score, leadscore.replay('failures', contact_id) FROM leadscore.score_failures WHERE contact_id = 8;
SELECT * FROM leadscore.verify('failures');
\set VERBOSITY terse
UPDATE leadscore.lead_rule SET points = 1.1e100 WHERE name = 'ratio' AND model = 'failures';
UPDATE leadscore.lead_rule SET points = -1e308 WHERE name = 'ratio' AND model = 'failures';
UPDATE leadscore.lead_rule SET max_points = 1e101 WHERE name = 'ratio' AND model = 'failures';
UPDATE leadscore.lead_rule SET max_per_period = 'infinity' WHERE name = 'ratio' AND model = 'failures';
UPDATE leadscore.lead_rule SET max_per_period = 1e101 WHERE name = 'ratio' AND model = 'failures';
UPDATE leadscore.lead_category SET weight = 1e101 WHERE model = 'failures';
UPDATE leadscore.lead_category SET max_points = 1e101 WHERE model = 'failures';
UPDATE leadscore.lead_model SET min_score = -1e101 WHERE model = 'failures';
UPDATE leadscore.lead_model SET max_drift = 1e101 WHERE model = 'failures';
INSERT INTO leadscore.lead_stage (model, stage, position, enter_at) VALUES ('failures', 'hot', 1, 1e101);
INSERT INTO leadscore.lead_stage (model, stage, position, enter_at, leave_below) VALUES ('failures', 'hot', 1, 1, -1e101);
INSERT INTO leadscore.lead_grade (model, category, grade, min_points) VALUES ('failures', 'engagement', 'A', 1e101);
INSERT INTO leadscore.lead_action (model, name, occasion, score_level) VALUES ('failures', 'tell', 'score_rises', 1e101);
\set VERBOSITY default
SELECT points, max_points, max_per_period FROM leadscore.lead_rule WHERE name = 'ratio' AND model = 'failures';

--
-- what is none of the expression's is not caught, neither when it is run nor when it is compiled
--
CREATE FUNCTION raises(text) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
	IF current_setting('failures.code', true) <> '' THEN
		RAISE 'raised' USING ERRCODE = current_setting('failures.code');
	END IF;
	RETURN true;
END $$;
INSERT INTO leadscore.lead_rule (model, name, event, points, condition) VALUES
	('failures', 'run', 'run', 1, 'failures.raises(what)'),
	('failures', 'compiled', 'comp', 2, 'failures.raises(''constant'')');
CREATE FUNCTION outcome(code text, sql text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	PERFORM set_config('failures.code', code, true);
	EXECUTE sql;
	RETURN 'caught';
EXCEPTION WHEN OTHERS OR query_canceled OR assert_failure THEN
	RETURN SQLSTATE || ' ' || SQLERRM;
END $$;
SET client_min_messages = error;
CREATE VIEW codes AS SELECT unnest(ARRAY['22012', 'P0001', 'P0004', '54000', '54001', '55000', '23505', '42883', '0A000', '25006',
	'40001', '40P01', '40003', '53100', '53200', '57014', '57P03', '58030', '55P03', 'XX001', 'XX002']) AS code;
SELECT code, outcome(code, $$INSERT INTO failures.act VALUES (10, '2026-03-01', 'run', 1)$$) FROM codes;
SELECT contact_id, score, leadscore.replay('failures', contact_id) FROM leadscore.score_failures WHERE contact_id = 10;
-- compiled: what is not caught is not kept for the session either
SELECT code, outcome('', $$ALTER TABLE failures.act ALTER n SET STATISTICS 100$$) AS compiled_again,
	outcome(code, $$INSERT INTO failures.act VALUES (11, '2026-03-01', 'comp', 1)$$),
	outcome('', $$INSERT INTO failures.act VALUES (11, '2026-03-01', 'comp', 1)$$) AS after
	FROM codes WHERE code = ANY ('{40001,53200,57014,58030,55P03,XX001}');
SELECT contact_id, score, leadscore.replay('failures', contact_id) FROM leadscore.score_failures WHERE contact_id = 11;
SELECT name, sqlstate, message FROM leadscore.rule_errors WHERE model = 'failures' AND name IN ('run', 'compiled') ORDER BY name;
-- an error, where that is wanted
SET leadscore.rule_error = 'error';
SELECT outcome('22012', $$INSERT INTO failures.act VALUES (12, '2026-03-01', 'run', 1)$$);
RESET leadscore.rule_error;
-- a statement that takes too long does not give a score without the rule
UPDATE leadscore.lead_rule SET event = 'sleep' WHERE name = 'run' AND model = 'failures';
CREATE OR REPLACE FUNCTION raises(text) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
	PERFORM pg_sleep(CASE $1 WHEN 'sleep' THEN 60 ELSE 0 END);
	RETURN true;
END $$;
SET statement_timeout = '50ms';
INSERT INTO act VALUES (13, '2026-03-01', 'sleep', 1);
RESET statement_timeout;
SELECT count(*) FROM leadscore.score_failures WHERE contact_id = 13;
RESET client_min_messages;

--
-- an internal error suspends the model: rows that come are counted later, and no statement fails
--
DELETE FROM leadscore.lead_rule WHERE model = 'failures';
TRUNCATE act;
SET client_min_messages = error;
CREATE OR REPLACE FUNCTION raises(text) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
	IF $1 = 'bad' THEN
		RAISE 'not as it should be' USING ERRCODE = 'XX000';
	END IF;
	RETURN true;
END $$;
INSERT INTO leadscore.lead_rule (model, name, points, condition) VALUES ('failures', 'raises', 1, 'failures.raises(what)');
INSERT INTO leadscore.lead_rule (model, name, points) VALUES ('failures', 'any', 10);
INSERT INTO act VALUES (20, '2026-03-01', 'good', 1), (21, '2026-03-01', 'good', 1);
SET client_min_messages = warning;
INSERT INTO act VALUES (20, '2026-03-01', 'good', 1), (22, '2026-03-01', 'bad', 1);
INSERT INTO act VALUES (23, '2026-03-01', 'good', 1);
UPDATE act SET what = 'better' WHERE person = 21;
INSERT INTO person VALUES (24);
SELECT contact_id, score FROM leadscore.score_failures WHERE contact_id >= 20 ORDER BY 1;
SELECT contact_id FROM leadscore.pending_failures GROUP BY 1 ORDER BY 1;
\set VERBOSITY terse
SELECT * FROM leadscore.verify('failures');
SELECT leadscore.rescore('failures');
\set VERBOSITY default
SELECT leadscore.refresh('failures');
SELECT contact_id, score FROM leadscore.score_failures WHERE contact_id >= 20 ORDER BY 1;
SELECT name, sqlstate, message FROM leadscore.rule_errors WHERE model = 'failures' AND name = 'raises';
-- when what is wrong is mended it goes on, and nothing is lost
CREATE OR REPLACE FUNCTION raises(text) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RETURN true; END $$;
SELECT leadscore.refresh('failures') > 0 AS refreshed;
SELECT contact_id, score FROM leadscore.score_failures WHERE contact_id >= 20 ORDER BY 1;
SELECT * FROM leadscore.verify('failures');
-- it may come up where contacts are counted again, and under a transaction snapshot
CREATE OR REPLACE FUNCTION raises(text) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
	IF $1 = 'worse' THEN
		RAISE 'not as it should be' USING ERRCODE = 'XX000';
	END IF;
	RETURN true;
END $$;
UPDATE act SET what = 'worse' WHERE person = 21;
SELECT contact_id, score FROM leadscore.score_failures WHERE contact_id = 21;
CREATE OR REPLACE FUNCTION raises(text) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
	IF $1 = 'worst' THEN
		RAISE 'not as it should be' USING ERRCODE = 'XX000';
	END IF;
	RETURN true;
END $$;
BEGIN ISOLATION LEVEL REPEATABLE READ;
INSERT INTO act VALUES (25, '2026-03-01', 'worst', 1), (25, '2026-03-01', 'good', 1);
COMMIT;
CREATE OR REPLACE FUNCTION raises(text) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RETURN $1 <> 'worst'; END $$;
SELECT leadscore.refresh('failures') > 0 AS refreshed;
SELECT contact_id, score FROM leadscore.score_failures WHERE contact_id IN (21, 25) ORDER BY 1;
SELECT * FROM leadscore.verify('failures');

SELECT leadscore.drop_model('failures');
SET client_min_messages = warning;
DROP SCHEMA failures CASCADE;
