-- Every kind of rule, every column of it: numbers computed by hand.
SET timezone = 'UTC';
SET datestyle = 'ISO';
SET extra_float_digits = 0;
\pset null -
SET client_min_messages = warning;	-- advice is looked at in bad_input
SET leadscore.clock = '2026-06-01 00:00+00';	-- a Monday
CREATE SCHEMA rules_kinds;
SET search_path = rules_kinds;
CREATE TABLE contact (id int PRIMARY KEY, seats numeric, title text, since timestamptz);
CREATE TABLE event (contact int, what text, at timestamptz, amount float8);
CREATE INDEX ON event (contact, at);
-- to be asked: the contact that only one rule speaks of, and when
CREATE TABLE probe (contact int, at timestamptz);

SELECT leadscore.create_model('kinds', 'contact');
SELECT leadscore.attach('kinds', 'event', 'contact', 'at', event => 'what');
CREATE VIEW answer AS
	SELECT contact, p.at, leadscore.score('kinds', contact, p.at), leadscore.replay('kinds', contact, p.at)
	  FROM probe p ORDER BY contact, p.at;

--
-- award, at_least, weight, max_points, events_from and events_before
--
INSERT INTO leadscore.lead_rule (model, name, event, points, weight, award, at_least, max_points, events_from, events_before) VALUES
	('kinds', '1 weight', 'e1', 2, 'amount', NULL, 1, NULL, NULL, NULL),
	('kinds', '2 once', 'e2', 5, NULL, 'once', 1, NULL, NULL, NULL),
	('kinds', '3 at least 3, each', 'e3', 2, NULL, 'each', 3, NULL, NULL, NULL),
	('kinds', '4 at least 3', 'e4', 2, NULL, NULL, 3, NULL, NULL, NULL),
	('kinds', '5 limit', 'e5', 10, NULL, NULL, 1, 25, NULL, NULL),
	('kinds', '6 limit below zero', 'e6', -10, NULL, NULL, 1, 25, NULL, NULL),
	('kinds', '7 from and before', 'e7', 1, NULL, NULL, 1, NULL, '2026-05-10', '2026-05-20');
-- 1: 2 x (3 + 0 - 1) = 4; the rest is no row that can be scored
INSERT INTO event VALUES (1, 'e1', '2026-05-01', 3), (1, 'e1', '2026-05-01', NULL), (1, 'e1', '2026-05-01', -1),
	(NULL, 'e1', '2026-05-01', 100), (1, 'e1', NULL, 100), (1, 'e1', 'infinity', 100), (1, 'e1', '-infinity', 100),
	(1, 'E1', '2026-05-01', 100), (1, 'e1 ', '2026-05-01', 100), (1, NULL, '2026-05-01', 100);
-- 2: 5; 3: 0, 0, then 6; 4: 0, 0, then 2
INSERT INTO event SELECT c, 'e' || c, timestamptz '2026-05-01' + n * interval '10 days' FROM generate_series(2, 4) c, generate_series(0, 2) n;
-- 5: 30, limited to 25; 6: -30, limited to -25
INSERT INTO event SELECT c, 'e' || c, '2026-05-01' FROM generate_series(5, 6) c, generate_series(1, 3);
-- 7: the second and the third: 2
INSERT INTO event SELECT 7, 'e7', unnest('{2026-05-09 23:59:59.999999, 2026-05-10 00:00, 2026-05-19 23:59:59.999999, 2026-05-20 00:00}'::timestamptz[]);
INSERT INTO probe SELECT c, '2026-06-01' FROM generate_series(1, 7) c;
INSERT INTO probe
	SELECT c, at::timestamptz
	  FROM generate_series(2, 4) c,
		unnest('{2026-04-30 23:59, 2026-05-01, 2026-05-11, 2026-05-20 23:59, 2026-05-21}'::text[]) at;
SELECT * FROM answer;
SELECT name, matched, last_match, raw, points FROM leadscore.explain('kinds', 5) WHERE matched > 0;
SELECT contact_id, score FROM leadscore.score_kinds ORDER BY contact_id;
TRUNCATE probe;

--
-- decay: half_life, linear, step; with award once, of the latest
--
INSERT INTO leadscore.lead_rule (model, name, event, points, award, decay, decay_interval, decay_keep) VALUES
	('kinds', '11 half-life', 'e11', 8, 'each', 'half_life', '10 days', NULL),
	('kinds', '12 half-life, once', 'e12', 8, 'once', 'half_life', '10 days', NULL),
	('kinds', '13 linear', 'e13', 10, 'each', 'linear', '10 days', NULL),
	('kinds', '14 linear, once', 'e14', 10, 'once', 'linear', '10 days', NULL),
	('kinds', '15 step', 'e15', 16, 'each', 'step', '7 days', 0.5),
	('kinds', '16 step to 0', 'e16', 16, 'once', 'step', '7 days', 0),
	('kinds', '17 step of nothing', 'e17', 16, 'each', 'step', '7 days', 1);
-- 11: 8 x (1/4 + 1/2) = 6 now, 3 in 10 days; 12: of the latest, 4, then 2
INSERT INTO event SELECT c, 'e' || c, at::timestamptz FROM generate_series(11, 12) c, unnest('{2026-05-12, 2026-05-22}'::text[]) at;
-- 13 to 17 count in days: in 13, the 28th is 10, the 29th 9, the 1st 6;
-- with the second on the 30th, 8 on the 1st.  14: 8 on the 1st
INSERT INTO event SELECT c, 'e' || c, at::timestamptz FROM generate_series(13, 14) c, unnest('{2026-05-28 13:00, 2026-05-30 23:59}'::text[]) at;
-- 15: 16 until the 26th has ended, 8 from the 27th, 4 from 3 June
INSERT INTO event SELECT c, 'e' || c, '2026-05-20 18:00' FROM generate_series(15, 17) c;
INSERT INTO probe
	SELECT c, at::timestamptz
	  FROM generate_series(11, 12) c,
		unnest('{2026-05-21 23:59:59.999999, 2026-05-22, 2026-06-01, 2026-06-11}'::text[]) at
	UNION ALL SELECT c, at::timestamptz
	  FROM generate_series(13, 14) c,
		unnest('{2026-05-28 23:59, 2026-05-29, 2026-05-30 23:59, 2026-06-01, 2026-06-07, 2026-06-08, 2026-06-09}'::text[]) at
	UNION ALL SELECT c, at::timestamptz FROM generate_series(15, 17) c, unnest('{2026-05-26 23:59:59, 2026-05-27, 2026-06-03}'::text[]) at;
SELECT * FROM answer;
TRUNCATE probe;

--
-- time_frame and period
--
INSERT INTO leadscore.lead_rule (model, name, event, points, award, at_least, decay, decay_interval, decay_keep, time_frame, period) VALUES
	('kinds', '21 two weeks', 'e21', 3, NULL, 1, 'none', NULL, NULL, '14 days', NULL),
	('kinds', '22 two hours', 'e22', 3, NULL, 1, 'none', NULL, NULL, '2 hours', NULL),
	('kinds', '23 600 days', 'e23', 3, NULL, 1, 'none', NULL, NULL, '600 days', NULL),
	('kinds', '24 half-life in days', 'e24', 8, 'each', 2, 'half_life', '7 days', NULL, '14 days', '1 day'),
	('kinds', '25 half-life in hours', 'e25', 8, 'each', 2, 'half_life', '7 days', NULL, '14 days', NULL),
	('kinds', '26 linear', 'e26', 10, NULL, 1, 'linear', '10 days', NULL, '4 days', '1 day'),
	('kinds', '27 step', 'e27', 16, NULL, 1, 'step', '2 days', 0.5, '5 days', NULL),
	('kinds', '28 once', 'e28', 16, 'once', 1, 'half_life', '1 day', NULL, '5 days', '1 day');
-- 21: the 18th is the 14th day before the 1st, and out from 00:00
-- 22: the 121st minute is out
INSERT INTO event VALUES (21, 'e21', '2026-05-18 23:00'), (22, 'e22', '2026-05-31 22:00:30');
-- 23: weeks from Monday: on 1 June the 85 weeks before are in, from 14 October 2024
INSERT INTO event VALUES (23, 'e23', '2024-10-13 23:59:59'), (23, 'e23', '2024-10-14');
-- 24: 4 + 8 = 12; 25: 168 hours, 4 + 8 = 12; on 8 June one is left, less than two
INSERT INTO event VALUES (24, 'e24', '2026-05-25 12:00'), (24, 'e24', '2026-06-01'), (25, 'e25', '2026-05-25 00:30'), (25, 'e25', '2026-06-01');
-- 26: on the 31st 3 days old: 7, out on the 1st; 27: 16 16 8 8 4, out on 2 June
INSERT INTO event VALUES (26, 'e26', '2026-05-28 12:00'), (27, 'e27', '2026-05-28 12:00');
-- 28: 16 / 2^4 on the last day
INSERT INTO event VALUES (28, 'e28', '2026-05-28 12:00'), (28, 'e28', '2026-05-27 12:00');
INSERT INTO probe SELECT c, at::timestamptz FROM (VALUES
	(21, '{2026-05-18 23:00, 2026-05-31 23:59:59.999999, 2026-06-01}'::text[]),
	(22, '{2026-05-31 23:59:59.999999, 2026-06-01}'),
	(23, '{2026-05-31, 2026-06-01, 2026-06-07 23:59:59, 2026-06-08}'),
	(24, '{2026-05-31, 2026-06-01, 2026-06-07, 2026-06-08}'),
	(25, '{2026-06-01, 2026-06-07 23:59:59, 2026-06-08}'),
	(26, '{2026-05-28 23:00, 2026-05-31 23:59:59, 2026-06-01}'),
	(27, '{2026-05-29, 2026-05-30, 2026-06-01, 2026-06-01 23:59:59, 2026-06-02}'),
	(28, '{2026-05-27 23:00, 2026-05-28 12:00, 2026-06-01, 2026-06-02}')) v (c, ats), unnest(ats) at;
SELECT * FROM answer;
TRUNCATE probe;

--
-- max_per_period; what is older than 512 periods is folded
--
INSERT INTO leadscore.lead_rule (model, name, event, points, weight, max_per_period, decay, decay_interval, decay_keep, period) VALUES
	('kinds', '31 a day', 'e31', 4, 'amount', 10, 'none', NULL, NULL, NULL),
	('kinds', '32 half-life', 'e32', 4, 'amount', 10, 'half_life', '1 day', NULL, '1 day'),
	('kinds', '33 old', 'e33', 4, 'amount', 10, 'none', NULL, NULL, NULL),
	('kinds', '34 old step', 'e34', 16, NULL, NULL, 'step', '100 days', 0.5, NULL);
-- 31: 12 is 10, -20 is -10, 4: 4, 8 - 4: together 8
INSERT INTO event VALUES (31, 'e31', '2026-05-28 00:00', 1), (31, 'e31', '2026-05-28 12:00', 1), (31, 'e31', '2026-05-28 23:59:59', 1),
	(31, 'e31', '2026-05-29', -5), (31, 'e31', '2026-05-30', 1), (31, 'e31', '2026-05-31', 2), (31, 'e31', '2026-05-31', -1);
-- 32: limited before its decay: 10 / 2 + 10 / 8
INSERT INTO event VALUES (32, 'e32', '2026-05-31 01:00', 3), (32, 'e32', '2026-05-29 01:00', 100);
-- 33: 10 + 4
INSERT INTO event VALUES (33, 'e33', '2024-01-05 01:00', 2), (33, 'e33', '2024-01-05 02:00', 0.5), (33, 'e33', '2026-06-01', 1);
-- 34: 700 days ago: 16 / 2^7; 699: 16 / 2^6
INSERT INTO event VALUES (34, 'e34', timestamptz '2026-06-01' - interval '700 days'), (34, 'e34', timestamptz '2026-06-01' - interval '699 days');
INSERT INTO probe SELECT c, '2026-06-01' FROM generate_series(31, 34) c;
INSERT INTO probe VALUES (31, '2026-05-28 12:00'), (32, '2026-05-31 12:00'), (34, '2026-06-02'), (34, '2028-06-01');
SELECT * FROM answer;
-- later than what was folded: 33's day has its 10 already, 34 gets 16 / 2^8
INSERT INTO event VALUES (33, 'e33', '2024-01-05 03:00', 5), (34, 'e34', timestamptz '2026-06-01' - interval '800 days', NULL);
SELECT * FROM answer WHERE contact IN (33, 34);
TRUNCATE probe;

--
-- events dated later than now count from their time on, out of order or not
--
INSERT INTO event VALUES
	(2, 'e2', '2026-06-05'), (41, 'e11', '2026-06-05'), (41, 'e13', '2026-06-03'), (41, 'e21', '2026-06-04'),
	(41, 'e3', '2026-06-03'), (41, 'e3', '2026-05-02'), (41, 'e3', '2026-05-01');
INSERT INTO probe SELECT 41, at::timestamptz FROM unnest('{2026-05-31, 2026-06-02, 2026-06-03, 2026-06-04, 2026-06-05, 2026-06-15}'::text[]) at;
SELECT * FROM answer;
SELECT contact_id, score, last_event_at FROM leadscore.score_kinds WHERE contact_id IN (2, 41) ORDER BY contact_id;
SET leadscore.clock = '2026-06-05 00:00+00';
SELECT leadscore.refresh('kinds') > 0 AS refreshed;
SELECT contact_id, score, last_event_at FROM leadscore.score_kinds WHERE contact_id IN (2, 41) ORDER BY contact_id;
SELECT * FROM answer;
SELECT * FROM leadscore.verify('kinds');
TRUNCATE probe;
SET leadscore.clock = '2026-06-06 00:00+00';

--
-- profile: the row as it is now, whatever the instant
--
INSERT INTO leadscore.lead_rule (model, name, kind, condition, points, weight, max_points) VALUES
	('kinds', '51 decides', 'profile', $$title ~* '^c.o$'$$, 20, NULL, NULL),
	('kinds', '52 seats', 'profile', 'seats > 0', 0.5, 'seats::float8', 30),
	('kinds', '53 known', 'profile', NULL, 1, NULL, NULL);
INSERT INTO contact VALUES (51, 10, 'CTO', NULL), (52, 100, 'clerk', NULL), (53, NULL, NULL, NULL), (54, 0, 'cfo', NULL);
INSERT INTO probe SELECT c, at::timestamptz FROM generate_series(51, 55) c, unnest('{2020-01-01, 2026-06-01, 2030-01-01}'::text[]) at;
SELECT * FROM answer;
SELECT name, category, kind, matched, raw, points FROM leadscore.explain('kinds', 52) WHERE matched > 0;
UPDATE contact SET title = 'COO', seats = 'NaN' WHERE id = 52;
SELECT * FROM answer WHERE contact = 52;
SELECT name, failures > 0 AS failed, message FROM leadscore.rule_errors WHERE model = 'kinds';
TRUNCATE probe;

--
-- a rule that is disabled contributes nothing and is not in force
--
INSERT INTO leadscore.lead_rule (model, name, kind, condition, points, disqualifies) VALUES
	('kinds', '61 competitor', 'profile', $$title = 'spy'$$, 0, true);
INSERT INTO leadscore.lead_rule (model, name, event, points, at_least, time_frame, disqualifies) VALUES
	('kinds', '62 bot', 'e62', -5, 3, '3 days', true);
INSERT INTO contact VALUES (61, NULL, 'spy', NULL);
INSERT INTO event SELECT 62, 'e62', timestamptz '2026-06-05' FROM generate_series(1, 3);
SELECT contact_id, score, stage, disqualified FROM leadscore.score_kinds WHERE contact_id IN (61, 62) ORDER BY contact_id;
UPDATE leadscore.lead_rule SET enabled = false WHERE model = 'kinds' AND disqualifies;
SELECT contact_id, score, stage, disqualified FROM leadscore.score_kinds WHERE contact_id IN (61, 62) ORDER BY contact_id;
UPDATE leadscore.lead_rule SET enabled = true WHERE model = 'kinds' AND disqualifies;
SELECT contact_id, score, stage, disqualified FROM leadscore.score_kinds WHERE contact_id IN (61, 62) ORDER BY contact_id;
-- from the 8th on the three are not within three days any more
SET leadscore.clock = '2026-06-08 00:00+00';
SELECT contact_id, score, stage, disqualified FROM leadscore.live_kinds WHERE contact_id IN (61, 62) ORDER BY contact_id;
SELECT * FROM leadscore.verify('kinds');
SELECT leadscore.drop_model('kinds');

--
-- absence: periods without events, exactly
--
SET leadscore.clock = '2026-06-01 00:00+00';
TRUNCATE event, contact;
CREATE TABLE call (contact int, started timestamptz);
CREATE INDEX ON call (contact, started);
SELECT leadscore.create_model('kinds', 'contact', created_at => 'since');
SELECT leadscore.attach('kinds', 'event', 'contact', 'at', event => 'what');
SELECT leadscore.attach('kinds', 'call', 'contact', 'started');
INSERT INTO leadscore.lead_rule (model, name, kind, source, event, condition, points, idle, award, max_points, events_from, events_before) VALUES
	('kinds', 'a once', 'absence', 'event', 'visit', NULL, -1, '10 days', NULL, NULL, NULL, NULL),
	('kinds', 'b each, limited', 'absence', 'event', 'visit', NULL, -10, '10 days', 'each', 30, NULL, NULL),
	('kinds', 'c every source', 'absence', NULL, NULL, NULL, -100, '10 days', 'once', NULL, NULL, NULL),
	('kinds', 'd between', 'absence', 'event', NULL, 'amount > 0', -1000, '5 days', 'each', NULL, '2026-05-20', '2026-06-03');
-- 1 from its creation, 2 from its first event, 3 from its visit, 4 called, 5 is
-- created later, 6 has an infinite beginning and no events
INSERT INTO contact (id, since) VALUES (1, '2026-05-01'), (2, NULL), (3, '2026-01-01'), (4, '2026-05-01'), (5, '2026-06-02'), (6, '-infinity');
INSERT INTO event VALUES (2, 'open', '2026-05-22', NULL), (3, 'visit', '2026-05-25', 1);
INSERT INTO call VALUES (4, '2026-05-31');
-- 1: 31 days: -1 - 30 - 100; d: 12 days since the 20th: -2000
-- 2: 10 days: -1 - 10 - 100; d: -2000
-- 3: 7 days: nothing; d: -1000
-- 4: as 1, but for the call
SELECT contact_id, score, leadscore.replay('kinds', contact_id) FROM leadscore.score_kinds ORDER BY contact_id;
SELECT name, matched, last_match, raw, points FROM leadscore.explain('kinds', 1);
SELECT name, matched, last_match, raw, points FROM leadscore.explain('kinds', 3);
INSERT INTO probe
	SELECT c, at::timestamptz
	  FROM generate_series(1, 6) c,
		unnest('{2026-05-10 23:59:59.999999, 2026-05-11, 2026-05-24 23:59:59.999999, 2026-05-25, '
		'2026-06-02 23:59:59.999999, 2026-06-03, 2026-06-11 23:59, 2026-06-12}'::text[]) at;
SELECT * FROM answer;
SELECT * FROM leadscore.verify('kinds');
SELECT leadscore.drop_model('kinds');
TRUNCATE probe, event, contact;

--
-- categories: weights, limits, grades; limits of the model
--
SELECT leadscore.create_model('kinds', 'contact', categories => '{fit,engagement,intent}');
SELECT leadscore.attach('kinds', 'event', 'contact', 'at', event => 'what');
INSERT INTO leadscore.lead_rule (model, name, category, event, points, weight) VALUES
	('kinds', 'f', 'fit', 'f', 1, 'amount'), ('kinds', 'e', 'engagement', 'e', 1, 'amount'), ('kinds', 'i', 'intent', 'i', 1, 'amount');
UPDATE leadscore.lead_category SET weight = 2, max_points = 40 WHERE model = 'kinds' AND category = 'fit';
UPDATE leadscore.lead_category SET weight = -0.5, min_points = -10 WHERE model = 'kinds' AND category = 'intent';
INSERT INTO leadscore.lead_grade (model, category, grade, min_points) VALUES
	('kinds', 'fit', 'A', 30), ('kinds', 'fit', 'B', 10), ('kinds', 'fit', 'C', 0),
	('kinds', 'engagement', '1', 20), ('kinds', 'engagement', '2', 0),
	('kinds', 'intent', '+', 0.3);
-- 1: 2 x 40 + 5 - 0.5 x 0 = 85, A2; 2: 2 x -100 + 30 - 0.5 x -10 = -165, 1
-- 3: 0.1 + 0.2 has reached 0.3: 20 + 0 - 0.15
INSERT INTO event VALUES (1, 'f', '2026-05-01', 50), (1, 'e', '2026-05-01', 5),
	(2, 'f', '2026-05-01', -100), (2, 'e', '2026-05-01', 30), (2, 'i', '2026-05-01', -20),
	(3, 'f', '2026-05-01', 10), (3, 'i', '2026-05-01', 0.1), (3, 'i', '2026-05-01', 0.2);
SELECT contact_id, score, leadscore.replay('kinds', contact_id), fit, engagement, intent, grade
  FROM leadscore.score_kinds ORDER BY contact_id;
UPDATE leadscore.lead_model SET min_score = 0, max_score = 50 WHERE model = 'kinds';
SELECT contact_id, score, leadscore.replay('kinds', contact_id), fit, engagement, intent, grade
  FROM leadscore.score_kinds ORDER BY contact_id;
SELECT * FROM leadscore.verify('kinds');
SELECT leadscore.drop_model('kinds');
TRUNCATE event;

--
-- a model of New York: its days end at 04:00 UTC, and times without a zone are
-- its times, or those of the source
--
CREATE TABLE local (contact int, at timestamp, day date);
CREATE INDEX ON local (contact, at);
CREATE INDEX ON local (contact, day);
SELECT leadscore.create_model('kinds', 'contact', time_zone => 'America/New_York');
SELECT leadscore.attach('kinds', 'local', 'contact', 'at', source => 'here');
SELECT leadscore.attach('kinds', 'local', 'contact', 'day', source => 'day', time_zone => 'Asia/Tokyo');
INSERT INTO leadscore.lead_rule (model, name, source, condition, points, time_frame) VALUES
	('kinds', 'here', 'here', NULL, 1, '14 days'), ('kinds', 'there', 'day', NULL, 100, '14 days');
-- 23:30 of 10 May is 11 May 03:30 UTC; out on 24 May at 04:00 UTC.  10 May in
-- Tokyo begins on 9 May at 11:00 in New York; out on 23 May at 04:00 UTC
INSERT INTO local VALUES (1, '2026-05-10 23:30', '2026-05-10');
INSERT INTO probe
	SELECT 1, at::timestamptz
	  FROM unnest('{2026-05-09 14:59:59, 2026-05-09 15:00, 2026-05-11 03:29:59, 2026-05-11 03:30, '
		'2026-05-23 03:59:59, 2026-05-23 04:00, 2026-05-24 03:59:59, 2026-05-24 04:00}'::text[]) at;
SELECT * FROM answer;
-- the session's zone is not asked
SET timezone = 'Asia/Tokyo';
SELECT score, replay FROM answer;
SELECT * FROM leadscore.verify('kinds');
SELECT leadscore.drop_model('kinds');

--
-- what is folded away is kept by phase, in the order in which the phases came
--
SELECT leadscore.create_model('kinds', 'contact');
SELECT leadscore.attach('kinds', 'event', 'contact', 'at', event => 'what');
INSERT INTO leadscore.lead_rule (model, name, points, decay, decay_interval, decay_keep, period) VALUES
	('kinds', 'long ago', 64, 'step', '7 days', 0.99, '1 day');
INSERT INTO event SELECT 1, 'read', leadscore.clock() - n * interval '1 day' FROM generate_series(593, 599) n;
INSERT INTO event VALUES (1, 'read', leadscore.clock());
SELECT round(score::numeric, 6) AS score, round((64 * (1 + 2 * 0.99 ^ 84 + 5 * 0.99 ^ 85))::numeric, 6) AS wanted
  FROM leadscore.live_kinds WHERE contact_id = 1;
SELECT * FROM leadscore.verify('kinds');
SELECT leadscore.drop_model('kinds');
DROP SCHEMA rules_kinds CASCADE;
