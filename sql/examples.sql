-- The worked examples of the field: an agency, a car dealer, B2B in China.
SET timezone = 'UTC';
SET datestyle = 'ISO';
SET extra_float_digits = 0;
\pset null -
SET leadscore.clock = '2026-03-02 09:00+00';
CREATE SCHEMA examples;
SET search_path = examples;

--
-- An agency: MQL from 50, SQL from 80.  Form 80; five or more marketing
-- e-mails opened 25; newsletter 15; two or more visits in 30 days 10; points
-- lost for not visiting, for unsubscribing and for a place out of the region.
--
CREATE TABLE lead (email text PRIMARY KEY, country text, created date NOT NULL);
CREATE TABLE activity (email text, what text, at timestamptz);
CREATE INDEX ON activity (email, at);
SELECT leadscore.create_model('agency', 'lead', created_at => 'created');
SELECT leadscore.attach('agency', 'activity', 'email', 'at', event => 'what');
INSERT INTO leadscore.lead_stage (model, stage, position, enter_at, leave_below)
	VALUES ('agency', 'MQL', 1, 50, 50), ('agency', 'SQL', 2, 80, 80);
INSERT INTO leadscore.lead_rule (model, name, event, condition, points, award, at_least, time_frame) VALUES
	('agency', 'consultation or evaluation', NULL, $$what IN ('consultation', 'evaluation')$$, 80, 'once', 1, NULL),
	('agency', 'opens e-mails', 'e-mail opened', NULL, 25, NULL, 5, NULL),
	('agency', 'newsletter', 'newsletter', NULL, 15, 'once', 1, NULL),
	('agency', 'visits', 'visit', NULL, 10, NULL, 2, '30 days'),
	('agency', 'unsubscribed', 'unsubscribe', NULL, -40, 'once', 1, NULL);
INSERT INTO leadscore.lead_rule (model, name, kind, event, points, idle)
	VALUES ('agency', 'no visit', 'absence', 'visit', -20, '30 days');
INSERT INTO leadscore.lead_rule (model, name, kind, condition, points)
	VALUES ('agency', 'out of region', 'profile', $$country NOT IN ('DE', 'AT', 'CH')$$, -30);

INSERT INTO lead VALUES
	('form@x', 'DE', '2026-03-02'),		-- 80: SQL
	('warm@x', 'DE', '2026-02-20'),		-- opens 25 + newsletter 15 + visits 10 = 50: MQL
	('cool@x', 'DE', '2026-02-20'),		-- four opens are not five: 15
	('away@x', 'US', '2026-02-20'),		-- 80 - 30 = 50: MQL
	('idle@x', 'AT', '2026-01-01'),		-- no visit for 60 days: -20, once
	('gone@x', 'CH', '2026-02-20');		-- 80 - 40 = 40
INSERT INTO activity
	SELECT 'warm@x', 'e-mail opened', timestamptz '2026-02-20 08:00+00' + n * interval '1 day' FROM generate_series(1, 5) n
	UNION ALL
	SELECT 'cool@x', 'e-mail opened', timestamptz '2026-02-20 08:00+00' + n * interval '1 day' FROM generate_series(1, 4) n;
INSERT INTO activity VALUES
	('form@x', 'consultation', '2026-03-02 08:00+00'),
	('warm@x', 'newsletter', '2026-02-26 08:00+00'),
	('warm@x', 'visit', '2026-02-26 08:00+00'),
	('warm@x', 'visit', '2026-02-27 08:00+00'),
	('cool@x', 'newsletter', '2026-02-26 08:00+00'),
	('cool@x', 'visit', '2026-02-27 08:00+00'),
	('away@x', 'evaluation', '2026-02-26 08:00+00'),
	('gone@x', 'evaluation', '2026-02-26 08:00+00'),
	('gone@x', 'unsubscribe', '2026-02-27 08:00+00');
SELECT contact_id, score, leadscore.replay('agency', contact_id), fit, engagement, stage
  FROM leadscore.score_agency ORDER BY contact_id;
SELECT name, matched, points FROM leadscore.explain('agency', 'warm@x');

-- on 27 March the last visit of warm and cool, on 27 February, is 28 days old,
-- and form was created 25 days ago; on 28 March warm's first visit is 30 days
-- old: one is left, and not two
SET leadscore.clock = '2026-03-27 09:00+00';
SELECT contact_id, score, stage FROM leadscore.live_agency ORDER BY contact_id;
SET leadscore.clock = '2026-03-28 09:00+00';
SELECT contact_id, score, stage FROM leadscore.live_agency WHERE contact_id = 'warm@x';
SET leadscore.clock = '2026-04-01 09:00+00';
SELECT leadscore.refresh('agency');
SELECT contact_id, score, leadscore.replay('agency', contact_id), stage FROM leadscore.score_agency ORDER BY contact_id;
SELECT * FROM leadscore.verify('agency');

-- the same contacts on scales of 1 to 100, 1 to 50 and 1 to 3
UPDATE leadscore.lead_model SET min_score = 1, max_score = 100 WHERE model = 'agency';
UPDATE leadscore.lead_category SET weight = 0.5 WHERE model = 'agency';
UPDATE leadscore.lead_model SET max_score = 50 WHERE model = 'agency';
SELECT contact_id, score FROM leadscore.score_agency ORDER BY contact_id;
UPDATE leadscore.lead_category SET weight = 0.03 WHERE model = 'agency';
UPDATE leadscore.lead_model SET max_score = 3 WHERE model = 'agency';
SELECT contact_id, score FROM leadscore.score_agency ORDER BY contact_id;
SELECT * FROM leadscore.verify('agency');
SELECT leadscore.drop_model('agency');

--
-- A car dealer: MQL at 30.  Enquiry 10, e-mail opened 3 (13), link clicked 7
-- (20), days later the page "Directions" 20 (40).
--
CREATE TABLE prospect (id int PRIMARY KEY, name text, email text, age int, occupation text);
CREATE TABLE touch (prospect int, kind text, page text, at timestamptz);
CREATE INDEX ON touch (prospect, at);
SELECT leadscore.create_model('dealer', 'prospect');
SELECT leadscore.attach('dealer', 'touch', 'prospect', 'at', event => 'kind');
INSERT INTO leadscore.lead_stage (model, stage, position, enter_at) VALUES ('dealer', 'MQL', 1, 30);
INSERT INTO leadscore.lead_rule (model, name, event, condition, points, award) VALUES
	('dealer', 'model enquiry', 'enquiry', NULL, 10, 'once'),
	('dealer', 'e-mail opened', 'open', NULL, 3, 'once'),
	('dealer', 'link clicked', 'click', NULL, 7, 'once'),
	('dealer', 'directions', 'page', $$page = 'Directions'$$, 20, 'once'),
	('dealer', 'careers', 'page', $$page = 'Careers'$$, -15, 'once'),
	('dealer', 'unsubscribed', 'unsubscribe', NULL, -25, 'once');
INSERT INTO leadscore.lead_rule (model, name, kind, condition, points, disqualifies)
	VALUES ('dealer', 'student', 'profile', $$occupation = 'Student'$$, 0, true);

SET leadscore.clock = '2026-03-02 10:00+00';
INSERT INTO prospect VALUES (1, 'Ann', 'ann@x', 44, NULL), (2, 'Bob', 'bob@x', 51, NULL), (3, 'Cy', 'cy@x', 20, NULL);
INSERT INTO touch SELECT id, 'enquiry', NULL, leadscore.clock() FROM prospect;
SELECT contact_id, score, stage FROM leadscore.score_dealer ORDER BY contact_id;
SET leadscore.clock = '2026-03-02 11:00+00';
INSERT INTO touch SELECT id, 'open', NULL, leadscore.clock() FROM prospect;
SELECT contact_id, score, stage FROM leadscore.score_dealer ORDER BY contact_id;
INSERT INTO touch SELECT id, 'click', NULL, leadscore.clock() FROM prospect;
SELECT contact_id, score, stage FROM leadscore.score_dealer ORDER BY contact_id;
SET leadscore.clock = '2026-03-06 11:00+00';
INSERT INTO touch SELECT id, 'page', 'Directions', leadscore.clock() FROM prospect;
SELECT contact_id, score, stage FROM leadscore.score_dealer ORDER BY contact_id;

-- Bob looks for a job and unsubscribes, Cy turns out to be a student
SET leadscore.clock = '2026-03-07 11:00+00';
INSERT INTO touch VALUES (2, 'page', 'Careers', leadscore.clock());
SELECT contact_id, score, stage FROM leadscore.score_dealer ORDER BY contact_id;
INSERT INTO touch VALUES (2, 'unsubscribe', NULL, leadscore.clock());
UPDATE prospect SET occupation = 'Student' WHERE id = 3;
SELECT contact_id, score, leadscore.replay('dealer', contact_id), stage, disqualified
  FROM leadscore.score_dealer ORDER BY contact_id;
SELECT contact_id, from_stage, to_stage, score, changed_at, cause FROM leadscore.history_dealer ORDER BY changed_at, contact_id;
SELECT name, kind, matched, points FROM leadscore.explain('dealer', 3);

-- a second model for another audience over the same tables: estate planning
SELECT leadscore.create_model('estate', 'prospect');
SELECT leadscore.attach('estate', 'touch', 'prospect', 'at', event => 'kind');
INSERT INTO leadscore.lead_rule (model, name, kind, condition, points, weight)
	VALUES ('estate', 'age', 'profile', 'age IS NOT NULL', 1, 'age - 20');
SELECT contact_id, d.score AS dealer, e.score AS estate
  FROM leadscore.score_dealer d JOIN leadscore.score_estate e USING (contact_id) ORDER BY contact_id;
SELECT * FROM leadscore.verify('dealer');
SELECT * FROM leadscore.verify('estate');
SELECT leadscore.drop_model('dealer'), leadscore.drop_model('estate');

--
-- B2B in China: offline event +50, live broadcast +30, download +10, no
-- interaction in the past month -30.
--
CREATE TABLE customer (id bigint PRIMARY KEY, name text);
CREATE TABLE interaction (customer bigint, kind text, topic text, url text, at timestamptz);
CREATE INDEX ON interaction (customer, at);
SELECT leadscore.create_model('china', 'customer', categories => '{engagement,acquisition,content}', time_zone => 'Asia/Shanghai');
SELECT leadscore.attach('china', 'interaction', 'customer', 'at', event => 'kind');
INSERT INTO leadscore.lead_rule (model, name, event, points) VALUES
	('china', 'offline event', 'offline', 50),
	('china', 'live broadcast', 'broadcast', 30),
	('china', 'download', 'download', 10);
INSERT INTO leadscore.lead_rule (model, name, kind, points, idle)
	VALUES ('china', 'no interaction', 'absence', -30, '1 month');

SET leadscore.clock = '2026-03-02 09:00+08';
INSERT INTO customer VALUES (1, 'Li'), (2, 'Wang'), (3, 'Zhang');
INSERT INTO interaction (customer, kind, at) VALUES
	(1, 'offline', '2026-03-01 09:00+08'), (1, 'broadcast', '2026-03-02 08:00+08'), (1, 'download', '2026-03-02 09:00+08'),
	(2, 'offline', '2026-01-30 09:00+08'), (2, 'download', '2026-01-31 09:00+08');
SELECT contact_id, score, leadscore.replay('china', contact_id) FROM leadscore.score_china ORDER BY contact_id;
SELECT name, matched, points FROM leadscore.explain('china', 2);
-- Wang reads again: nothing is missing any more; a month of 30 days later all is
INSERT INTO interaction (customer, kind, at) VALUES (2, 'download', leadscore.clock());
SELECT contact_id, score FROM leadscore.score_china ORDER BY contact_id;
SELECT contact_id, leadscore.score('china', contact_id, '2026-04-01 08:59:59+08') AS before,
	leadscore.score('china', contact_id, '2026-04-01 09:00+08') AS after
  FROM leadscore.score_china ORDER BY contact_id;

-- Tag weight = when x where x what: saved an article a week ago, 0.8 x 0.7 x 0.8
INSERT INTO leadscore.lead_rule (model, name, category, condition, points, weight, decay, decay_interval, decay_keep)
	VALUES ('china', 'content marketing', 'content', $$topic = 'content marketing'$$, 1,
			$$CASE WHEN url LIKE '/article/%' THEN 0.7 ELSE 0.5 END * CASE kind WHEN 'save' THEN 0.8 ELSE 0.3 END$$,
			'step', '7 days', 0.8);
INSERT INTO leadscore.lead_rule (model, name, category, condition, points, weight, decay, decay_interval, decay_keep)
	VALUES ('china', 'customer acquisition', 'acquisition', $$topic = 'customer acquisition'$$, 1,
			$$CASE WHEN url LIKE '/product%' THEN 1.0 ELSE 0.5 END * CASE kind WHEN 'try' THEN 0.9 ELSE 0.3 END$$,
			'step', '7 days', 0.8);
INSERT INTO interaction VALUES
	(3, 'save', 'content marketing', '/article/7', '2026-02-23 09:00+08'),
	(3, 'try', 'customer acquisition', '/product', '2026-03-02 09:00+08');
SELECT contact_id, content, acquisition, engagement, score FROM leadscore.score_china WHERE contact_id = 3;
SELECT leadscore.replay('china', 3);
SELECT * FROM leadscore.verify('china');
SELECT leadscore.drop_model('china');
SET client_min_messages = warning;
DROP SCHEMA examples CASCADE;
