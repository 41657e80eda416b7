-- Stages: entered and left at different scores, sticky or not, with
-- conditions, disqualification; and what is recorded of it.
SET timezone = 'UTC';
SET datestyle = 'ISO';
SET extra_float_digits = 0;
\pset null -
SET client_min_messages = warning;
CREATE SCHEMA stages;
SET search_path = stages;
CREATE TABLE contact (id int PRIMARY KEY, region text, banned bool);
CREATE TABLE event (contact int, what text, at timestamptz, points float8);
CREATE INDEX ON event (contact, at);
SET leadscore.clock = '2026-03-01 00:00+00';
SELECT leadscore.create_model('stages', 'contact');
SELECT leadscore.attach('stages', 'event', 'contact', 'at', event => 'what');
INSERT INTO leadscore.lead_rule (model, name, event, points, weight) VALUES ('stages', 'p', 'p', 1, 'points');
CREATE VIEW now AS SELECT contact_id, score, stage, stage_since FROM leadscore.score_stages ORDER BY contact_id;
CREATE VIEW history AS SELECT contact_id, from_stage, to_stage, score, changed_at, recorded_at, cause
  FROM leadscore.history_stages ORDER BY contact_id, changed_at, recorded_at;

--
-- hysteresis: leave_below is enter_at - least(max_drift, |enter_at| / 2) unless given
--
INSERT INTO leadscore.lead_stage (model, stage, position, enter_at, leave_below)
	VALUES ('stages', 'mql', 1, 50, NULL), ('stages', 'sql', 2, 80, 60);
INSERT INTO event VALUES (1, 'p', '2026-03-01', 50), (2, 'p', '2026-03-01', 80), (3, 'p', '2026-03-01', 49.9), (4, 'p', '2026-03-01', 80);
SELECT * FROM now;
SET leadscore.clock = '2026-03-02 00:00+00';
-- 49.5 is still mql, 60 still sql; 49.9 was never mql, and from sql to 59 it is mql
INSERT INTO event VALUES (1, 'p', '2026-03-02', -0.5), (2, 'p', '2026-03-02', -20), (4, 'p', '2026-03-02', -21);
SELECT * FROM now;
SET leadscore.clock = '2026-03-03 00:00+00';
-- 49.49 is not; 49.5 coming from sql is mql, as its leave_below is reached
INSERT INTO event VALUES (1, 'p', '2026-03-03', -0.01), (2, 'p', '2026-03-03', -10.5), (4, 'p', '2026-03-03', -50);
SELECT * FROM now;
SELECT * FROM history;
-- max_drift is 0.5: with 4 it is 46, for an enter_at of 6 it is 3
UPDATE leadscore.lead_model SET max_drift = 4 WHERE model = 'stages';
INSERT INTO event VALUES (1, 'p', '2026-03-03', 10), (1, 'p', '2026-03-03', -13);
SELECT * FROM now WHERE contact_id = 1;
INSERT INTO event VALUES (1, 'p', '2026-03-03', 5);
INSERT INTO event VALUES (1, 'p', '2026-03-03', -5);
SELECT * FROM now WHERE contact_id = 1;
INSERT INTO event VALUES (1, 'p', '2026-03-03', -0.5);
SELECT * FROM now WHERE contact_id = 1;
UPDATE leadscore.lead_stage SET enter_at = 6 WHERE model = 'stages' AND stage = 'mql';
INSERT INTO event VALUES (5, 'p', '2026-03-03', 6);
INSERT INTO event VALUES (5, 'p', '2026-03-03', -3);
SELECT * FROM now;
INSERT INTO event VALUES (5, 'p', '2026-03-03', -0.001);
SELECT * FROM now WHERE contact_id = 5;
SELECT * FROM leadscore.verify('stages');

--
-- entry at the event's own instant, while events come in order
--
TRUNCATE event;
UPDATE leadscore.lead_model SET max_drift = 0.5 WHERE model = 'stages';
UPDATE leadscore.lead_stage SET enter_at = 50 WHERE model = 'stages' AND stage = 'mql';
DELETE FROM leadscore.lead_rule WHERE model = 'stages';
INSERT INTO leadscore.lead_rule (model, name, event, points, decay, decay_interval) VALUES ('stages', 'form', 'form', 80, 'half_life', '1 day');
SELECT count(*) FROM now;
SET leadscore.clock = '2026-03-10 12:00+00';
-- worth 80 half a day ago: sql then; 56.6 now, which is less than 60: mql now
INSERT INTO event VALUES (1, 'form', '2026-03-10 00:00+00', NULL);
-- a day and a half ago: 28 now, so mql is passed as well
INSERT INTO event VALUES (2, 'form', '2026-03-09 00:00+00', NULL);
-- now
INSERT INTO event VALUES (3, 'form', '2026-03-10 12:00+00', NULL);
-- tomorrow is not yet
INSERT INTO event VALUES (4, 'form', '2026-03-11 12:00+00', NULL);
-- late for the one that is there already: looked at now, 80 / 8 + 80 / 2^1.5 = 38.3
INSERT INTO event VALUES (5, 'form', '2026-03-09 00:00+00', NULL);
INSERT INTO event VALUES (5, 'form', '2026-03-07 12:00+00', NULL);
-- several of a statement: once, at the latest
INSERT INTO event VALUES (6, 'form', '2026-03-08 12:00+00', NULL), (6, 'form', '2026-03-09 12:00+00', NULL);
SELECT * FROM now;
SELECT * FROM history WHERE changed_at > '2026-03-04';

--
-- sticky: left only upwards, by hand or by disqualification
--
TRUNCATE event;
DELETE FROM leadscore.lead_rule WHERE model = 'stages';
INSERT INTO leadscore.lead_rule (model, name, event, points, weight) VALUES ('stages', 'p', 'p', 1, 'points');
INSERT INTO leadscore.lead_rule (model, name, kind, condition, points, disqualifies) VALUES ('stages', 'banned', 'profile', 'banned', 0, true);
UPDATE leadscore.lead_stage SET sticky = true, condition = 'engagement > 0' WHERE model = 'stages' AND stage = 'mql';
SET leadscore.clock = '2026-03-20 00:00+00';
INSERT INTO contact VALUES (1), (2), (3);
INSERT INTO event VALUES (1, 'p', '2026-03-20', 55), (2, 'p', '2026-03-20', 85), (3, 'p', '2026-03-20', 55);
SELECT * FROM now;
SET leadscore.clock = '2026-03-21 00:00+00';
-- mql stays, whatever its condition; sql is not sticky and falls to mql, whose
-- condition holds at 55
INSERT INTO event VALUES (1, 'p', '2026-03-21', -100), (2, 'p', '2026-03-21', -30), (3, 'p', '2026-03-21', 30);
SELECT * FROM now;
SET leadscore.clock = '2026-03-22 00:00+00';
-- disqualified, and back in what was sticky; from sql, which is not, anew
UPDATE contact SET banned = true;
SELECT contact_id, score, stage, stage_since, disqualified FROM leadscore.score_stages ORDER BY contact_id;
SET leadscore.clock = '2026-03-23 00:00+00';
INSERT INTO event VALUES (3, 'p', '2026-03-23', -84);
UPDATE contact SET banned = false;
SELECT contact_id, score, stage, stage_since, disqualified FROM leadscore.score_stages ORDER BY contact_id;
SELECT * FROM history WHERE changed_at > '2026-03-19';
SELECT * FROM leadscore.verify('stages');

--
-- conditions over score, categories and the contact's columns
--
TRUNCATE event;
TRUNCATE contact;
SELECT count(*) FROM leadscore.score_stages;
SET leadscore.clock = '2026-04-01 00:00+00';
DELETE FROM leadscore.lead_stage WHERE model = 'stages' AND position > 0;
INSERT INTO leadscore.lead_rule (model, name, kind, condition, points) VALUES ('stages', 'north', 'profile', $$region = 'north'$$, 10);
INSERT INTO leadscore.lead_stage (model, stage, position, enter_at, condition) VALUES
	('stages', 'cold', 1, -100, 'score < 0'),
	('stages', 'warm', 2, 20, 'fit >= 10'),
	('stages', 'hot', 3, 40, $$region IN ('north', 'south') AND engagement > fit$$);
INSERT INTO contact VALUES (1, 'north'), (2, 'south'), (3, NULL);
INSERT INTO event SELECT c, 'p', '2026-04-01', CASE c WHEN 4 THEN -1 ELSE 40 END FROM generate_series(1, 5) c;
-- 1 hot, 2 hot, 3 and 5 neither (no fit, no region), 4 cold
SELECT * FROM now;
SET leadscore.clock = '2026-04-02 00:00+00';
UPDATE contact SET region = 'west' WHERE id = 1;
UPDATE contact SET region = 'north' WHERE id = 3;
DELETE FROM contact WHERE id = 2;
INSERT INTO contact VALUES (5, 'north');
SELECT * FROM now;
SET leadscore.clock = '2026-04-03 00:00+00';
-- 3 has 10 + 20: not hot, but warm; 4 is above 0
INSERT INTO event VALUES (3, 'p', '2026-04-03', -20), (4, 'p', '2026-04-03', 5);
SELECT * FROM now;
SELECT * FROM history WHERE changed_at > '2026-03-31';
-- a condition that fails does not hold
UPDATE leadscore.lead_stage SET condition = '1 / (score - 30)::int > 0' WHERE model = 'stages' AND stage = 'warm';
SELECT contact_id, stage FROM leadscore.live_stages ORDER BY contact_id;
SELECT model, rule_id, name, sqlstate, message FROM leadscore.rule_errors;

--
-- what a change of rules, time or the backfill has caused is called so
--
SET leadscore.clock = '2026-04-04 00:00+00';
SELECT leadscore.detach('stages', 'event');
DELETE FROM leadscore.lead_stage WHERE model = 'stages' AND position > 0;
INSERT INTO leadscore.lead_stage (model, stage, position, enter_at) VALUES ('stages', 'hot', 1, 40);
TRUNCATE event;
INSERT INTO event VALUES (3, 'p', '2026-04-01', 50);
SET leadscore.clock = '2026-04-05 00:00+00';
SELECT leadscore.attach('stages', 'event', 'contact', 'at', event => 'what');
SET leadscore.clock = '2026-04-06 00:00+00';
UPDATE leadscore.lead_rule SET points = 0.1 WHERE model = 'stages' AND name = 'p';
SET leadscore.clock = '2026-04-07 00:00+00';
UPDATE leadscore.lead_rule SET points = 1, decay = 'linear', decay_interval = '100 days' WHERE model = 'stages' AND name = 'p';
SET leadscore.clock = '2026-07-01 00:00+00';
SELECT leadscore.refresh('stages') > 0 AS refreshed;
SELECT * FROM history WHERE contact_id = 3 AND changed_at > '2026-04-03';
-- the view has the type of the key
SELECT pg_typeof(contact_id), count(*) FROM history GROUP BY 1;
SELECT pg_typeof(contact), count(*) = (SELECT count(*) FROM history) AS same FROM leadscore.lead_stage_history WHERE model = 'stages' GROUP BY 1;

--
-- the first stage is open to everyone, and can be called otherwise
--
UPDATE leadscore.lead_stage SET stage = 'nobody' WHERE model = 'stages' AND position = 0;
SELECT contact_id, stage FROM leadscore.score_stages ORDER BY contact_id;
INSERT INTO contact VALUES (7);
SELECT contact_id, stage FROM leadscore.score_stages WHERE contact_id = 7;
SELECT * FROM leadscore.verify('stages');
-- what others have built on a model is not dropped with it
SELECT leadscore.drop_model('stages');
DROP VIEW now, history;
SELECT leadscore.drop_model('stages');
DROP SCHEMA stages CASCADE;
