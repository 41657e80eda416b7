-- Checks the oracle against examples worked out by hand, on stand-ins for the extension's tables.
-- Run in a database without the extension:  psql -v oracle=test/oracle.sql -f test/oracle_check.sql
-- Prints one line a check: ok or not ok, name, value got, value wanted.

SET client_min_messages = warning;
SET timezone = 'Asia/Tokyo';	-- must not matter

CREATE SCHEMA leadscore;
CREATE TABLE leadscore.lead_model (model text, owner regrole, contacts regclass, key text, created_at text, time_zone text,
	max_drift float8, max_drift_ratio float8, min_score float8, max_score float8, enabled bool, rules_version int8);
CREATE TABLE leadscore.lead_category (model text, category text, position int, weight float8 DEFAULT 1,
	min_points float8, max_points float8);
CREATE TABLE leadscore.lead_source (model text, source text, relation regclass, contact text, occurred_at text, event text,
	time_zone text, visitor text);
CREATE TABLE leadscore.lead_grade (model text, category text, grade text, min_points float8);
CREATE TABLE leadscore.lead_rule (rule_id int8 GENERATED ALWAYS AS IDENTITY, model text, name text, category text,
	kind text DEFAULT 'event', source text, event text, condition text, points float8, weight text, award text,
	time_frame interval, at_least int DEFAULT 1, decay text DEFAULT 'none', decay_interval interval, decay_keep float8,
	max_points float8, max_per_period float8, period interval, idle interval, max_gap interval,
	followed_by text, followed_condition text, followed_source text, negated bool DEFAULT false,
	disqualifies bool DEFAULT false, enabled bool DEFAULT true, events_from timestamptz, events_before timestamptz,
	description text, backfilled_version int8);

\i :oracle

CREATE TABLE checked (id int GENERATED ALWAYS AS IDENTITY, name text, got numeric, want numeric);


-- Intervals, buckets and periods -----------------------------------------------------------------------------

INSERT INTO checked (name, got, want)
SELECT format('seconds of %s', i), oracle.usec(i::interval), want * 1000000
FROM (VALUES ('1 day', 86400), ('1 mon', 2592000), ('1 year', 31536000), ('14 mons', 31536000 + 2 * 2592000),
	('1 day 25:00:01.5', 86400 + 90001.5), ('1 mon -3 days', 27 * 86400), ('0.000001 s', 0.000001)) v (i, want);

INSERT INTO checked (name, got, want)
SELECT format('bucket of %s, %s s in %s', x, seconds, zone), oracle.bucket(x::timestamptz, seconds * 1000000, zone), want
FROM (VALUES
	('2000-01-03 00:00+00', 86400::bigint, 'UTC', 0),
	('2000-01-02 23:59:59.999999+00', 86400, 'UTC', -1),
	('2000-01-02 00:00+00', 86400, 'UTC', -1),
	('2000-01-10 00:00+00', 7 * 86400, 'UTC', 1),
	('2000-01-09 23:59+00', 7 * 86400, 'UTC', 0),
	('2000-01-03 04:59+00', 86400, 'America/New_York', -1),
	('2000-01-03 05:00+00', 86400, 'America/New_York', 0),
	-- summer time: the wall clock is one hour ahead
	('2000-07-01 03:59+00', 86400, 'America/New_York', 179),
	('2000-07-01 04:00+00', 86400, 'America/New_York', 180),
	-- an hour is shorter than a day: UTC, even where the zone has half hours
	('2000-01-03 00:30+00', 3600, 'Asia/Kolkata', 0),
	('2000-01-03 01:00+00', 3600, 'Asia/Kolkata', 1)) v (x, seconds, zone, want);

INSERT INTO leadscore.lead_model (model, time_zone) VALUES ('periods', 'UTC');
INSERT INTO leadscore.lead_rule (model, name, points, time_frame, decay, decay_interval, decay_keep, max_per_period, period) VALUES
	('periods', 'none',                   1, NULL, 'none', NULL, NULL, NULL, NULL),
	('periods', 'half-life only',         1, NULL, 'half_life', '1 hour', NULL, NULL, NULL),
	('periods', '86400 daily limit',      1, NULL, 'none', NULL, NULL, 5, NULL),
	('periods', '86400 14 days',          1, '14 days', 'none', NULL, NULL, NULL, NULL),
	('periods', '86400 8 days',           1, '8 days', 'none', NULL, NULL, NULL, NULL),
	('periods', '3600 7 days',            1, '7 days', 'none', NULL, NULL, NULL, NULL),
	('periods', '60 1 hour',              1, '1 hour', 'none', NULL, NULL, NULL, NULL),
	('periods', '1 8 seconds',            1, '8 seconds', 'none', NULL, NULL, NULL, NULL),
	('periods', '86400 512 days',         1, '512 days', 'none', NULL, NULL, NULL, NULL),
	('periods', '604800 513 days',        1, '513 days', 'none', NULL, NULL, NULL, NULL),
	('periods', '3600 shorter is decay',  1, '20 days', 'half_life', '9 hours', NULL, NULL, NULL),
	('periods', '86400 linear month',     1, NULL, 'linear', '1 mon', NULL, NULL, NULL),
	('periods', '604800 linear 2 years',  1, NULL, 'linear', '2 years', NULL, NULL, NULL),
	('periods', '3600 half-life, limit',  1, NULL, 'half_life', '1 day', NULL, 5, NULL),
	('periods', '86400 step week',        1, NULL, 'step', '7 days', 0.5, NULL, NULL),
	('periods', '3600 step 36 hours',     1, NULL, 'step', '36 hours', 0.5, NULL, NULL),
	('periods', '1 step 90 seconds',      1, NULL, 'step', '61 seconds', 0.5, NULL, NULL),
	('periods', '1.5 step 1.5 seconds',   1, NULL, 'step', '1.5 seconds', 0.5, NULL, NULL),
	('periods', '3600 step in 512 hours', 1, '512 hours', 'step', '36 hours', 0.5, NULL, NULL),
	('periods', '129600 step in 30 days', 1, '30 days', 'step', '36 hours', 0.5, NULL, NULL),
	('periods', '7776000 step in 2 years', 1, '2 years', 'step', '90 days', 0.5, NULL, NULL),
	('periods', '108000 given',           1, '30 days', 'none', NULL, NULL, NULL, '30 hours');
INSERT INTO checked (name, got, want)
SELECT 'period in seconds: ' || name, coalesce(oracle.period(r) / 1000000.0, -1),
	coalesce(substring(name FROM '^[0-9.]+')::numeric, -1)
FROM leadscore.lead_rule r WHERE model = 'periods';


-- Rules ------------------------------------------------------------------------------------------------------

CREATE TABLE contacts (id int PRIMARY KEY, country text, employees int, created timestamptz);
INSERT INTO contacts VALUES
	(1, 'DE', 100, '2025-01-01 00:00+00'),
	(2, 'US', NULL, NULL),
	(3, 'XX', 0, 'infinity');
CREATE TABLE events (who int, at timestamptz, what text, n int, x float8);
INSERT INTO events VALUES	-- 2025-03-03 is a Monday
	(1, '2025-03-03 12:00+00', 'form', 1, 1),
	(1, '2025-03-03 18:00+00', 'open', 2, 1e308),
	(1, '2025-03-04 06:00+00', 'open', 4, 'NaN'),
	(1, '2025-03-10 00:00+00', 'open', NULL, 3),
	(1, NULL, 'open', 1, 1),
	(1, 'infinity', 'open', 1, 1),
	(1, '-infinity', 'open', 1, 1),
	(NULL, '2025-03-01 00:00+00', 'open', 1, 1),
	(1, '2025-03-05 00:00+00', 'Open', 1, 1),
	(1, '2025-03-05 00:00+00', NULL, 1, 1),
	(2, '2025-03-05 00:00+00', 'open', 0, '-Infinity'),
	(4, '2025-03-06 00:00+00', 'page', 3, 1);
CREATE TABLE others (who bigint, at date);
INSERT INTO others VALUES (4, '2025-04-20'), (2, 'infinity'), (3, NULL);

INSERT INTO leadscore.lead_model (model, contacts, key, created_at, time_zone) VALUES ('m', 'contacts', 'id', 'created', 'UTC');
INSERT INTO leadscore.lead_category (model, category, position) VALUES ('m', 'all', 1);
INSERT INTO leadscore.lead_source (model, source, relation, contact, occurred_at, event) VALUES
	('m', 'events', 'events', 'who', 'at', 'what'),
	('m', 'others', 'others', 'who', 'at', NULL);
INSERT INTO leadscore.lead_rule (model, name, category, kind, source, event, condition, points, weight, award, at_least,
	time_frame, decay, decay_interval, decay_keep, max_points, max_per_period, period, idle, events_from, events_before) VALUES
	--                                                          source    event   condition  pts  weight award least frame    decay        interval    keep   maxp  maxpp period idle  from before
	('m', 'form with half-life', 'all',     'event',   'events', 'form', NULL,      80,  NULL,  NULL,  1, NULL,      'half_life', '10 days',  NULL,  NULL, NULL, NULL, NULL, NULL, NULL),
	('m', 'opens by n', 'all',              'event',   'events', 'open', NULL,       2,  'n',   NULL,  1, NULL,      'none',      NULL,       NULL,  NULL, NULL, NULL, NULL, NULL, NULL),
	('m', 'at least 3 opens', 'all',        'event',   'events', 'open', NULL,      25,  NULL,  NULL,  3, NULL,      'none',      NULL,       NULL,  NULL, NULL, NULL, NULL, NULL, NULL),
	('m', 'at least 2 opens, each', 'all',  'event',   'events', 'open', NULL,      25,  NULL, 'each', 2, '7 days',  'none',      NULL,       NULL,  NULL, NULL, NULL, NULL, NULL, NULL),
	('m', 'opens in 7 days', 'all',         'event',   'events', 'open', NULL,      10,  NULL,  NULL,  1, '7 days',  'none',      NULL,       NULL,  NULL, NULL, NULL, NULL, NULL, NULL),
	('m', 'opens in 14 days', 'all',        'event',   'events', 'open', NULL,      10,  NULL,  NULL,  1, '14 days', 'none',      NULL,       NULL,  NULL, NULL, NULL, NULL, NULL, NULL),
	('m', 'daily limit', 'all',             'event',   'events', 'open', NULL,      10,  'n',   NULL,  1, NULL,      'none',      NULL,       NULL,  NULL,   15, NULL, NULL, NULL, NULL),
	('m', 'daily limit, negative', 'all',   'event',   'events', 'open', NULL,     -10,  'n',   NULL,  1, NULL,      'none',      NULL,       NULL,  NULL,   15, NULL, NULL, NULL, NULL),
	('m', 'weekly limit, decay', 'all',     'event',   'events', 'open', NULL,      10,  'n',   NULL,  1, NULL,      'half_life', '7 days',   NULL,  NULL,   15, '7 days', NULL, NULL, NULL),
	('m', 'linear', 'all',                  'event',   'events', 'form', NULL,      10,  NULL,  NULL,  1, NULL,      'linear',    '10 days',  NULL,  NULL, NULL, NULL, NULL, NULL, NULL),
	('m', 'step', 'all',                    'event',   'events', 'form', NULL,     100,  NULL,  NULL,  1, NULL,      'step',      '7 days',   0.75,  NULL, NULL, NULL, NULL, NULL, NULL),
	('m', 'step keeps nothing', 'all',      'event',   'events', 'form', NULL,     100,  NULL,  NULL,  1, NULL,      'step',      '7 days',   0,     NULL, NULL, NULL, NULL, NULL, NULL),
	('m', 'once, half-life', 'all',         'event',   'events', 'open', NULL,       8,  NULL, 'once', 1, NULL,      'half_life', '84 hours', NULL,  NULL, NULL, NULL, NULL, NULL, NULL),
	('m', 'idle, each', 'all',              'absence', 'events', 'open', NULL,      -5,  NULL, 'each', 1, NULL,      'none',      NULL,       NULL,  NULL, NULL, NULL, '10 days', NULL, NULL),
	('m', 'idle, anything', 'all',          'absence', NULL,     NULL,   NULL,     -30,  NULL,  NULL,  1, NULL,      'none',      NULL,       NULL,  NULL, NULL, NULL, '1 mon', NULL, NULL),
	('m', 'idle until', 'all',              'absence', 'events', NULL,   'n > 2',   -1,  NULL, 'each', 1, NULL,      'none',      NULL,       NULL,     3, NULL, NULL, '1 day', '2025-03-08 00:00+00', '2025-03-20 00:00+00'),
	('m', 'German', 'all',                  'profile', NULL, NULL, 'country = ''DE''', 5, NULL, NULL, 1, NULL,     'none',      NULL,       NULL,  NULL, NULL, NULL, NULL, NULL, NULL),
	('m', 'employees', 'all',               'profile', NULL, NULL, NULL,           0.5, 'employees', NULL, 1, NULL, 'none',      NULL,       NULL,  NULL, NULL, NULL, NULL, NULL, NULL),
	('m', 'some employees', 'all',          'profile', NULL, NULL, '100 / employees >= 1', 7, NULL, NULL, 1, NULL, 'none',      NULL,       NULL,  NULL, NULL, NULL, NULL, NULL, NULL),
	('m', 'division by zero', 'all',        'event',   'events', 'open', NULL,       1,  '12 / n', NULL, 1, NULL,    'none',      NULL,       NULL,  NULL, NULL, NULL, NULL, NULL, NULL),
	('m', 'not finite', 'all',              'event',   'events', 'open', NULL,      10,  'x',   NULL,  1, NULL,      'none',      NULL,       NULL,  NULL, NULL, NULL, NULL, NULL, NULL),
	('m', 'limit', 'all',                   'event',   'events', 'open', NULL,     -10,  'n',   NULL,  1, NULL,      'none',      NULL,       NULL,    12, NULL, NULL, NULL, NULL, NULL),
	('m', 'between', 'all',                 'event',   'events', 'open', NULL,       1,  NULL,  NULL,  1, NULL,      'none',      NULL,       NULL,  NULL, NULL, NULL, NULL, '2025-03-04 06:00+00', '2025-03-10 00:00+00'),
	('m', 'everything', 'all',              'event',   'events', NULL,   NULL,       1,  NULL,  NULL,  1, NULL,      'none',      NULL,       NULL,  NULL, NULL, NULL, NULL, NULL, NULL),
	('m', 'others', 'all',                  'event',   'others', NULL,   NULL,       1,  NULL,  NULL,  1, NULL,      'none',      NULL,       NULL,  NULL, NULL, NULL, NULL, NULL, NULL),
	('m', 'half-life in a frame', 'all',    'event',   'events', 'form', NULL,      80,  NULL,  NULL,  1, '30 days', 'half_life', '10 days',  NULL,  NULL, NULL, NULL, NULL, NULL, NULL),
	('m', 'once, linear', 'all',            'event',   'events', 'open', NULL,      10,  NULL, 'once', 1, NULL,      'linear',    '10 days',  NULL,  NULL, NULL, NULL, NULL, NULL, NULL),
	('m', 'at least 3, limit', 'all',       'event',   'events', 'open', NULL,      10,  NULL, 'each', 3, NULL,      'none',      NULL,       NULL,  NULL,    6, NULL, NULL, NULL, NULL),
	('m', 'step, limit', 'all',             'event',   'events', 'open', NULL,      10,  'n',   NULL,  1, NULL,      'step',      '7 days',   0.5,   NULL,   15, NULL, NULL, NULL, NULL),
	('m', 'disabled', 'all',                'event',   'events', 'open', NULL,       1,  NULL,  NULL,  1, NULL,      'none',      NULL,       NULL,  NULL, NULL, NULL, NULL, NULL, NULL);
UPDATE leadscore.lead_rule SET enabled = false WHERE name = 'disabled';

CREATE TABLE wanted (rule text, contact text, t timestamptz, points numeric, in_force bool);
INSERT INTO wanted VALUES
	('form with half-life', 1, '2025-03-03 11:59:59.999999+00', 0, false),
	('form with half-life', 1, '2025-03-03 12:00+00', 80, true),
	('form with half-life', 1, '2025-03-13 12:00+00', 40, true),
	('form with half-life', 1, '2025-04-02 12:00+00', 10, true),
	('form with half-life', 1, '2125-04-02 12:00+00', 0, true),
	('opens by n', 1, '2025-03-03 18:00+00', 4, true),
	('opens by n', 1, '2025-03-13 00:00+00', 12, true),
	('opens by n', 2, '2025-03-13 00:00+00', 0, true),		-- weight 0, and yet a match
	('opens by n', 3, '2025-03-13 00:00+00', 0, false),
	('at least 3 opens', 1, '2025-03-09 00:00+00', 0, false),
	('at least 3 opens', 1, '2025-03-10 00:00+00', 25, true),
	('at least 2 opens, each', 1, '2025-03-10 01:00+00', 75, true),
	('at least 2 opens, each', 1, '2025-03-11 05:59+00', 50, true),
	('at least 2 opens, each', 1, '2025-03-11 06:00+00', 0, false),
	('opens in 7 days', 1, '2025-03-11 05:59:59+00', 20, true),	-- by the hour
	('opens in 7 days', 1, '2025-03-11 06:00+00', 10, true),
	('opens in 7 days', 1, '2025-03-16 23:59:59+00', 10, true),
	('opens in 7 days', 1, '2025-03-17 00:00+00', 0, false),
	('opens in 14 days', 1, '2025-03-16 23:59:59+00', 30, true),	-- 14 days means 13 to 14
	('opens in 14 days', 1, '2025-03-17 00:00+00', 20, true),
	('daily limit', 1, '2025-03-13 00:00+00', 30, true),
	('daily limit, negative', 1, '2025-03-13 00:00+00', -30, true),
	('weekly limit, decay', 1, '2025-03-09 23:59+00', 15, true),
	('weekly limit, decay', 1, '2025-03-16 23:59+00', 7.5, true),
	('weekly limit, decay', 1, '2025-03-17 00:00+00', 3.75, true),
	('linear', 1, '2025-03-03 13:00+00', 10, true),
	('linear', 1, '2025-03-12 00:00+00', 1, true),
	('linear', 1, '2025-03-13 00:00+00', 0, true),
	('linear', 1, '2026-03-13 00:00+00', 0, true),
	('step', 1, '2025-03-09 23:59+00', 100, true),
	('step', 1, '2025-03-10 00:00+00', 75, true),
	('step', 1, '2025-03-17 00:00+00', 56.25, true),
	('step keeps nothing', 1, '2025-03-09 23:59+00', 100, true),
	('step keeps nothing', 1, '2025-03-10 00:00+00', 0, true),
	('once, half-life', 1, '2025-03-03 18:00+00', 8, true),
	('once, half-life', 1, '2025-03-13 12:00+00', 4, true),
	('idle, each', 1, '2025-02-15 00:00+00', -20, true),		-- 45 days since created
	('idle, each', 1, '2025-03-19 23:59:59+00', 0, false),
	('idle, each', 1, '2025-03-20 00:00+00', -5, true),
	('idle, each', 1, '2025-03-30 00:00+00', -10, true),
	('idle, each', 2, '2025-03-04 00:00+00', 0, false),		-- nothing is known yet
	('idle, each', 2, '2025-03-15 00:00+00', -5, true),		-- its first event is its last match
	('idle, each', 3, '2025-06-01 00:00+00', 0, false),		-- no beginning
	('idle, each', 4, '2025-03-15 23:59:59+00', 0, false),
	('idle, each', 4, '2025-03-26 00:00+00', -10, true),		-- since its first event, though that is a page
	('idle, anything', 4, '2025-04-04 23:59:59+00', 0, false),
	('idle, anything', 4, '2025-04-05 00:00+00', -30, true),
	('idle, anything', 4, '2025-04-20 00:00+00', 0, false),		-- an event of the other source
	('idle, anything', 4, '2025-07-01 00:00+00', -30, true),
	('idle until', 1, '2025-03-10 12:00+00', -2, true),		-- from events_from, 2.5 days
	('idle until', 1, '2025-03-19 12:00+00', -3, true),		-- its limit
	('idle until', 1, '2025-03-20 00:00+00', 0, false),
	('German', 1, '2020-01-01 00:00+00', 5, true),			-- whatever t
	('German', 2, '2025-01-01 00:00+00', 0, false),
	('German', 4, '2025-01-01 00:00+00', 0, false),
	('employees', 1, '2025-01-01 00:00+00', 50, true),
	('employees', 2, '2025-01-01 00:00+00', 0, true),
	('employees', 4, '2025-01-01 00:00+00', 0, false),
	('some employees', 1, '2025-01-01 00:00+00', 7, true),
	('some employees', 2, '2025-01-01 00:00+00', 0, false),
	('some employees', 3, '2025-01-01 00:00+00', 0, false),
	('division by zero', 1, '2025-03-13 00:00+00', 9, true),
	('division by zero', 2, '2025-03-13 00:00+00', 0, false),
	('not finite', 1, '2025-03-13 00:00+00', 30, true),		-- 10 x 1e308 and NaN are left out
	('not finite', 1, '2025-03-09 00:00+00', 0, false),
	('not finite', 2, '2025-03-13 00:00+00', 0, false),
	('limit', 1, '2025-03-13 00:00+00', -12, true),
	('between', 1, '2025-03-13 00:00+00', 1, true),
	('everything', 1, '2025-03-13 00:00+00', 6, true),
	('others', 4, '2025-04-19 23:59:59+00', 0, false),
	('others', 4, '2025-04-20 00:00+00', 1, true),
	('others', 2, '2025-04-20 00:00+00', 0, false),
	('half-life in a frame', 1, '2025-03-13 00:00+00', 40, true),	-- bucketed: by the day
	('half-life in a frame', 1, '2025-03-23 23:59+00', 20, true),
	('half-life in a frame', 1, '2025-04-02 00:00+00', 0, false),
	('once, linear', 1, '2025-03-12 05:00+00', 8, true),
	('at least 3, limit', 1, '2025-03-09 23:59+00', 0, false),
	('at least 3, limit', 1, '2025-03-10 00:00+00', 18, true),
	('step, limit', 1, '2025-03-10 23:00+00', 22.5, true),
	('step, limit', 1, '2025-03-13 00:00+00', 15, true),
	('idle, each', 1, '2024-12-01 00:00+00', 0, false),		-- before its beginning
	('disabled', 1, '2025-03-13 00:00+00', 0, false);

INSERT INTO checked (name, got, want)
SELECT format('%s, contact %s, %s: points', w.rule, w.contact, w.t), o.points, w.points
FROM wanted w
JOIN leadscore.lead_rule r ON r.model = 'm' AND r.name = w.rule
LEFT JOIN (SELECT o.* FROM (SELECT array_agg(contact) AS contacts, array_agg(t) AS instants FROM wanted) AS p,
		oracle.rules('m', p.contacts, p.instants) o) AS o
	ON o.rule_id = r.rule_id AND o.contact = w.contact AND o.t = w.t
UNION ALL
SELECT format('%s, contact %s, %s: in force', w.rule, w.contact, w.t), o.in_force::int, w.in_force::int
FROM wanted w
JOIN leadscore.lead_rule r ON r.model = 'm' AND r.name = w.rule
LEFT JOIN (SELECT o.* FROM (SELECT array_agg(contact) AS contacts, array_agg(t) AS instants FROM wanted) AS p,
		oracle.rules('m', p.contacts, p.instants) o) AS o
	ON o.rule_id = r.rule_id AND o.contact = w.contact AND o.t = w.t;


-- Time zones: days begin at midnight in New York, on both sides of 2025-11-02 when its clocks go back -----------

CREATE TABLE zoned (who text, at timestamp, day date);
INSERT INTO zoned VALUES
	('a', '2025-11-01 23:59', NULL),	-- 2025-11-02 03:59 UTC
	('b', '2025-11-02 12:00', NULL),	-- 2025-11-02 17:00 UTC
	('c', NULL, '2025-11-02');		-- 2025-11-01 15:00 UTC, read in Tokyo
CREATE TABLE people (name text PRIMARY KEY, since date);
INSERT INTO people VALUES ('d', '2025-11-02');	-- 2025-11-02 04:00 UTC
INSERT INTO leadscore.lead_model (model, contacts, key, created_at, time_zone)
	VALUES ('zoned', 'people', 'name', 'since', 'America/New_York');
INSERT INTO leadscore.lead_category (model, category, position) VALUES ('zoned', 'all', 1);
INSERT INTO leadscore.lead_source (model, source, relation, contact, occurred_at, time_zone) VALUES
	('zoned', 'at', 'zoned', 'who', 'at', NULL),
	('zoned', 'day', 'zoned', 'who', 'day', 'Asia/Tokyo');
INSERT INTO leadscore.lead_rule (model, name, category, kind, source, points, time_frame, idle, award) VALUES
	('zoned', 'in 8 days', 'all', 'event', 'at', 1, '8 days', NULL, NULL),
	('zoned', 'by date', 'all', 'event', 'day', 10, NULL, NULL, NULL),
	('zoned', 'idle', 'all', 'absence', NULL, 100, NULL, '1 day', 'each');
INSERT INTO checked (name, got, want)
SELECT format('zoned, %s at %s', contact, t), oracle.score('zoned', contact, t::timestamptz), want
FROM (VALUES
	('a', '2025-11-02 03:58:59.999999+00', 0),
	('a', '2025-11-02 03:59+00', 1),
	('a', '2025-11-03 03:58:59.999999+00', 1),
	('a', '2025-11-03 03:59+00', 101),		-- idle is exact: 24 hours, though the day had 25
	('a', '2025-11-09 04:59:59.999999+00', 701),
	('a', '2025-11-09 05:00+00', 700),
	('b', '2025-11-02 16:59+00', 0),
	('b', '2025-11-02 17:00+00', 1),
	('b', '2025-11-10 04:59+00', 701),
	('b', '2025-11-10 05:00+00', 700),
	('c', '2025-11-01 14:59+00', 0),
	('c', '2025-11-01 15:00+00', 10),
	('d', '2025-11-03 03:59+00', 0),
	('d', '2025-11-03 04:00+00', 100)) v (contact, t, want);


-- Categories, score, grade, disqualified, bound ---------------------------------------------------------------

CREATE TABLE leads (id int PRIMARY KEY, fit float8, eng float8, banned bool);
INSERT INTO leads VALUES
	(1, 8, 12, false),	-- 2 x 8 + 12 = 28, at most 22
	(2, 20, -20, NULL),	-- 2 x min(20, 10) + max(-20, -5) = 15
	(3, -1, 5, true),	-- -2 + 5
	(4, -1, -1, false),	-- -3, no letter
	(5, 8 - 4e-9, 4, false);	-- reached
INSERT INTO leadscore.lead_model (model, contacts, key, time_zone, min_score, max_score) VALUES ('leads', 'leads', 'id', 'UTC', -100, 22);
INSERT INTO leadscore.lead_category (model, category, position, weight, min_points, max_points) VALUES
	('leads', 'engagement', 2, 1, -5, NULL), ('leads', 'fit', 1, 2, NULL, 10);
INSERT INTO leadscore.lead_grade VALUES ('leads', 'fit', 'A', 8), ('leads', 'fit', 'B', 0),
	('leads', 'engagement', '2', 5), ('leads', 'engagement', '1', 10);
INSERT INTO leadscore.lead_rule (model, name, category, kind, condition, points, weight, disqualifies) VALUES
	('leads', 'fit', 'fit', 'profile', NULL, 1, 'fit', false),
	('leads', 'engagement', 'engagement', 'profile', NULL, 1, 'eng', false),
	('leads', 'banned', 'fit', 'profile', 'banned', 0, NULL, true);
INSERT INTO checked (name, got, want)
SELECT format('lead %s: %s', contact, what), got, want
FROM (VALUES ('1', 22, 'A1', 20e-9, 8), ('2', 15, 'A', 40e-9, 10), ('3', 3, '2', 6e-9, -1), ('4', -3, NULL, 2e-9, -1), ('5', 20, 'A', 12e-9, 8))
	w (contact, score, grade, bound, fit)
JOIN oracle.scores('leads', ARRAY['2025-01-01'::timestamptz]) o USING (contact),
LATERAL (VALUES ('score', round(o.score::numeric, 6), w.score::numeric),
	('grade', (o.grade IS NOT DISTINCT FROM w.grade)::int::numeric, 1),
	('disqualified', o.disqualified::int::numeric, (w.contact = '3')::int::numeric),
	('bound', round(o.bound::numeric, 15), w.bound::numeric),
	('fit', round((o.categories->>'fit')::numeric, 6), w.fit::numeric)) v (what, got, want);

-- The worked examples that are pure arithmetic: a car dealer's lead, and one tag's weight.
CREATE TABLE deeds (who int, at timestamptz, what text, url_weight float8, behaviour_weight float8);
INSERT INTO deeds VALUES (1, '2025-03-01 10:00+00', 'enquiry', 1, 1), (1, '2025-03-01 11:00+00', 'mail opened', 1, 1),
	(1, '2025-03-01 11:01+00', 'link clicked', 1, 1), (1, '2025-03-04 09:00+00', 'directions', 1, 1),
	(2, '2025-03-01 12:00+00', 'saved', 0.7, 0.8);
CREATE TABLE buyers (id int PRIMARY KEY);
INSERT INTO buyers VALUES (1), (2);
INSERT INTO leadscore.lead_model (model, contacts, key, time_zone) VALUES ('deeds', 'buyers', 'id', 'UTC');
INSERT INTO leadscore.lead_category (model, category, position) VALUES ('deeds', 'engagement', 1);
INSERT INTO leadscore.lead_source (model, source, relation, contact, occurred_at, event) VALUES ('deeds', 'deeds', 'deeds', 'who', 'at', 'what');
INSERT INTO leadscore.lead_rule (model, name, category, source, event, points, weight, decay, decay_interval, decay_keep) VALUES
	('deeds', 'enquiry', 'engagement', 'deeds', 'enquiry', 10, NULL, 'none', NULL, NULL),
	('deeds', 'mail', 'engagement', 'deeds', 'mail opened', 3, NULL, 'none', NULL, NULL),
	('deeds', 'link', 'engagement', 'deeds', 'link clicked', 7, NULL, 'none', NULL, NULL),
	('deeds', 'directions', 'engagement', 'deeds', 'directions', 20, NULL, 'none', NULL, NULL),
	('deeds', 'tag', 'engagement', 'deeds', 'saved', 1, 'url_weight * behaviour_weight', 'step', '7 days', 0.8);
INSERT INTO checked (name, got, want)
SELECT format('worked example, contact %s at %s', contact, t), round(oracle.score('deeds', contact, t::timestamptz)::numeric, 12), want
FROM (VALUES ('1', '2025-03-01 10:00+00', 10), ('1', '2025-03-01 11:00+00', 13), ('1', '2025-03-01 11:01+00', 20),
	('1', '2025-03-04 09:00+00', 40), ('2', '2025-03-08 12:00+00', 0.448)) v (contact, t, want);

\pset tuples_only on
\pset format unaligned
SELECT concat_ws('|', CASE WHEN got = want THEN 'ok' ELSE 'not ok' END, name, coalesce(got::text, 'NULL'), want)
FROM checked ORDER BY id;
