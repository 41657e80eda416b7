-- What is said of slips of the pen, and of what was probably not meant.
SET timezone = 'UTC';
SET datestyle = 'ISO';
SET intervalstyle = 'postgres';
CREATE SCHEMA slips;
SET search_path = slips;
CREATE TABLE guest (id int PRIMARY KEY, joined timestamptz);
CREATE TABLE stay (guest int, at timestamptz, what text, visitor uuid);
CREATE INDEX ON stay (guest, at);
CREATE INDEX ON stay (visitor, at);
SELECT leadscore.create_model('hotel', 'guest');
SELECT leadscore.attach('hotel', 'stay', 'guest', 'at', event => 'what', visitor => 'visitor');

--
-- intervals without a unit
--
INSERT INTO leadscore.lead_rule (model, name, event, points, decay, decay_interval) VALUES ('hotel', 'fading', 'stay', 1, 'half_life', '14');
INSERT INTO leadscore.lead_rule (model, name, event, points, time_frame, period) VALUES ('hotel', 'lately', 'stay', 1, '59.5', '1');
INSERT INTO leadscore.lead_rule (model, name, kind, points, idle) VALUES ('hotel', 'away', 'absence', -1, '30');
INSERT INTO leadscore.lead_rule (model, name, event, points, time_frame) VALUES ('hotel', 'a minute', 'stay', 1, '1 minute');
-- told when it is written, not again with every other change
UPDATE leadscore.lead_rule SET points = 2 WHERE model = 'hotel';
UPDATE leadscore.lead_rule SET decay_interval = '20 s' WHERE name = 'fading';
UPDATE leadscore.lead_rule SET decay_interval = '14 days' WHERE name = 'fading';
UPDATE leadscore.lead_rule SET decay_interval = '0' WHERE name = 'fading';

--
-- periods, given or chosen
--
DELETE FROM leadscore.lead_rule WHERE model = 'hotel';
SET client_min_messages = warning;
INSERT INTO leadscore.lead_rule (model, name, event, points, decay, decay_interval, time_frame, max_per_period, period) VALUES
	('hotel', 'half-life', 'stay', 1, 'half_life', '14 days', NULL, NULL, NULL),
	('hotel', 'half-life, limit', 'stay', 1, 'half_life', '14 days', NULL, 5, NULL),
	('hotel', 'limit', 'stay', 1, 'none', NULL, NULL, 5, NULL),
	('hotel', 'year', 'stay', 1, 'none', NULL, '1 year', NULL, NULL),
	('hotel', 'years', 'stay', 1, 'none', NULL, '3 years', NULL, NULL),
	('hotel', 'day', 'stay', 1, 'none', NULL, '1 day', NULL, NULL),
	('hotel', 'minutes', 'stay', 1, 'linear', '10 minutes', NULL, NULL, NULL),
	('hotel', 'steps', 'stay', 1, 'linear', '90 days', NULL, NULL, '1 week'),
	('hotel', 'six hours', 'stay', 1, 'none', NULL, '2 days', NULL, '06:00');
RESET client_min_messages;
SELECT name, period, given, time_zone FROM leadscore.rule_periods WHERE model = 'hotel' ORDER BY rule_id;
CREATE ROLE regress_ls_stranger;
SET ROLE regress_ls_stranger;
SELECT count(*) FROM leadscore.rule_periods;
RESET ROLE;
SELECT leadscore_internal.rule_period('event', 'linear', '-1 day', NULL, NULL, NULL),
	leadscore_internal.rule_period('event', 'nonsense', NULL, '178000000 years', 'NaN', NULL),
	leadscore_internal.rule_period('event', 'step', NULL, NULL, NULL, NULL),
	leadscore_internal.rule_period(NULL, NULL, NULL, NULL, NULL, NULL);

--
-- keys that are none
--
SELECT leadscore.score('hotel', 'abc');
SELECT leadscore.score('hotel', '99999999999');
SELECT leadscore.explain('hotel', 1.5, now());
SELECT leadscore.score('hotel', now());
SELECT leadscore.set_stage('hotel', 'x', 'unqualified');

--
-- names: the nearest is told, wherever one is given
--
INSERT INTO leadscore.lead_stage (model, stage, position, enter_at) VALUES ('hotel', 'warm', 1, 1), ('hotel', 'hot', 2, 10);
INSERT INTO leadscore.lead_action (model, name, occasion, stage) VALUES ('hotel', 'tell', 'stage_entered', 'hot');
INSERT INTO guest VALUES (1, now());
SELECT leadscore.set_stage('hotel', 1, 'hto');
SELECT leadscore.set_stage('hotel', 1, 'HOT');
SELECT leadscore.set_stage('hotle', 1, 'hot');
SELECT * FROM leadscore.outbox_take('me', model => 'hotel', action => 'tll');
CREATE TABLE other (guest int, at timestamptz, what text);
SELECT leadscore.attach('hotel', 'other', 'gest', 'at');
SELECT leadscore.attach('hotel', 'other', 'guest', 'at', event => 'waht');
SELECT leadscore.attach('hotel', 'other', 'guest', 'at', on_delete => 'kept');
SELECT leadscore.attach('hotel', 'other', 'guest', 'at', mode => 'queue');
SELECT leadscore.attach('hotel', 'other', 'guest', 'at', mode => 'in the background');
SELECT leadscore.attach('hotel', 'other', 'guest', 'at', time_zone => 'Europe/Berln');
SELECT leadscore.attach('hotel', 'other', 'guest', 'at', time_zone => 'america/new york');
SELECT leadscore.create_model('inn', 'other', time_zone => 'nowhere at all');
SELECT leadscore.detach('hotel', 'say');
SELECT leadscore.detach('hotel', 'stay', purged => 'forgot');

--
-- a forged state: text that is no text of this encoding
--
SELECT leadscore.state_text('\x02100461ff620000');
SELECT leadscore.state_text('\x02100361006200');
SELECT leadscore.state_text('\x021002c3a400');

--
-- leadscore.on_delete: the owner decides
--
GRANT USAGE ON SCHEMA slips TO regress_ls_stranger;
GRANT SELECT, INSERT, DELETE, TRUNCATE ON stay TO regress_ls_stranger;
UPDATE leadscore.lead_rule SET enabled = name = 'half-life', decay = CASE name WHEN 'half-life' THEN 'none' ELSE decay END,
	decay_interval = CASE name WHEN 'half-life' THEN NULL ELSE decay_interval END WHERE model = 'hotel';
INSERT INTO stay SELECT 1, '2026-01-01', 'stay' FROM generate_series(1, 8) n;
SELECT leadscore.score('hotel', 1);
SET ROLE regress_ls_stranger;
SET leadscore.on_delete = keep;
BEGIN;
DELETE FROM stay WHERE ctid IN (SELECT ctid FROM stay LIMIT 1);
DELETE FROM stay WHERE ctid IN (SELECT ctid FROM stay LIMIT 1);	-- told once
COMMIT;
SET leadscore.on_delete = retract;	-- as the source has it
DELETE FROM stay WHERE ctid IN (SELECT ctid FROM stay LIMIT 1);
RESET ROLE;
RESET leadscore.on_delete;
SELECT leadscore.score('hotel', 1);	-- 5: none was kept
-- who is let do so by the owner
CREATE FUNCTION purge() RETURNS void LANGUAGE sql SECURITY DEFINER SET leadscore.on_delete = keep SET search_path = slips
	AS 'DELETE FROM stay WHERE ctid IN (SELECT ctid FROM stay LIMIT 1)';
SET ROLE regress_ls_stranger;
SELECT purge();
RESET ROLE;
SELECT count(*), leadscore.score('hotel', 1) FROM stay;
-- and the other way round
SELECT leadscore.detach('hotel', 'stay');
SELECT leadscore.attach('hotel', 'stay', 'guest', 'at', event => 'what', on_delete => 'keep');
SELECT leadscore.score('hotel', 1);
SET ROLE regress_ls_stranger;
SET leadscore.on_delete = retract;
TRUNCATE stay;
RESET leadscore.on_delete;
RESET ROLE;
SELECT leadscore.score('hotel', 1);
SET leadscore.on_delete = retract;
INSERT INTO stay SELECT 1, '2026-01-01', 'stay' FROM generate_series(1, 3) n;
DELETE FROM stay;
RESET leadscore.on_delete;
SELECT leadscore.score('hotel', 1);
SELECT * FROM leadscore.verify('hotel') WHERE status <> 'ok';

--
-- a job that was half done when all was done at once
--
INSERT INTO guest SELECT n FROM generate_series(2, 100) n;
INSERT INTO stay SELECT n, '2026-01-01', 'stay' FROM generate_series(2, 100) n;
SET leadscore.inline_limit = 10;
SET client_min_messages = warning;
INSERT INTO leadscore.lead_rule (model, name, event, points) VALUES ('hotel', 'more', 'stay', 1);
SELECT leadscore.run_job('hotel', 20) FROM generate_series(1, 4);
SELECT state, done > 0 AS some, done < total AS not_all FROM leadscore.lead_job WHERE model = 'hotel' ORDER BY job_id DESC LIMIT 1;
SELECT leadscore.refresh('hotel') > 0 AS changed;
SELECT state, phase, done > 0 AS some, done = total AS agrees, position, remaining FROM leadscore.lead_job WHERE model = 'hotel' ORDER BY job_id DESC LIMIT 1;
-- one that is taken over before it has begun, and one that is cancelled
INSERT INTO leadscore.lead_rule (model, name, event, points) VALUES ('hotel', 'still more', 'stay', 1);
UPDATE leadscore.lead_rule SET points = 3 WHERE name = 'more';
SELECT leadscore.rescore('hotel', true) > 0 AS asked;
SELECT leadscore.run_job('hotel', 20) FROM generate_series(1, 3);
SELECT leadscore.cancel_job(max(job_id)) FROM leadscore.lead_job WHERE model = 'hotel' AND state = 'running';
SELECT DISTINCT state, coalesce(done = total, false) AS agrees FROM leadscore.lead_job WHERE model = 'hotel' AND state IN ('done', 'cancelled') ORDER BY 1;
SELECT leadscore.rescore('hotel', true) > 0 AS asked;
DO $$ BEGIN FOR n IN 1..100 LOOP EXIT WHEN leadscore.run_job('hotel', 20) IS NULL; END LOOP; END $$;
SELECT state, count(*), bool_and(done = total) AS agrees FROM leadscore.lead_job WHERE model = 'hotel' GROUP BY state ORDER BY 1;
RESET leadscore.inline_limit;
SELECT leadscore.drop_model('hotel');
DROP SCHEMA slips CASCADE;
DROP ROLE regress_ls_stranger;
