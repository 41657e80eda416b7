-- What `make demo` shows: a story in numbers on a generated CRM.
--
-- The data come from a hash of row numbers and the clock is held, so every run
-- shows the same.
\set QUIET on
\set ECHO none
\pset pager off
\pset border 1
\pset linestyle ascii
\pset null '-'
\pset footer off
SET client_min_messages = warning;
SET leadscore.clock = '2026-03-02 09:00:00+00';
SET timezone = 'UTC';
SET datestyle = 'ISO';

\echo
\echo '========================================================================'
\echo ' leadscore: a CRM whose leads score themselves'
\echo '========================================================================'
\echo ' Generated data; the clock is held at Monday 2 March 2026, 09:00 UTC, so'
\echo ' that every run shows the same numbers. Only the timings are this machine''s.'
\echo ' Near the end, time passes.'
\echo
\echo '1. A CRM of 20,000 contacts and 300,000 events in half a year'
\echo
CREATE EXTENSION leadscore;
CREATE SCHEMA crm;

-- a number from 0 to 1 that looks like chance and is the same everywhere
CREATE FUNCTION crm.chance(n bigint, salt bigint) RETURNS float8
	IMMUTABLE STRICT PARALLEL SAFE
	RETURN (hashint8extended(n, salt) & 1048575)::float8 / 1048576;
-- one word of a list
CREATE FUNCTION crm.pick(words text[], x float8) RETURNS text
	IMMUTABLE STRICT PARALLEL SAFE
	RETURN words[1 + floor(x * cardinality(words))::int];

CREATE TABLE crm.contact (
	contact_id int PRIMARY KEY,
	name       text NOT NULL,
	email      text NOT NULL,
	title      text NOT NULL,
	employees  int,
	created_at timestamptz NOT NULL
);
INSERT INTO crm.contact
SELECT n,
	   first || ' ' || last,
	   lower(first || '.' || last) || n || '@' ||
	   CASE WHEN crm.chance(n, 5) < 0.35
			THEN crm.pick('{gmail.com,outlook.com,gmx.net}', crm.chance(n, 6))
			ELSE crm.pick('{northwind,acme,globex,initech,umbra,hooli,vandelay,wonka}', crm.chance(n, 7)) || '.example' END,
	   crm.pick('{Student,Assistant,Analyst,Engineer,Engineer,Buyer,Consultant,Manager,Manager,
				  Head of Operations,VP Sales,Director IT,Chief Executive}', crm.chance(n, 3)),
	   (CASE WHEN crm.chance(n, 4) < 0.9 THEN exp(1 + 8 * crm.chance(n, 8)) END)::int,
	   timestamptz '2026-03-02 00:00+00' - (180 + 300 * crm.chance(n, 9)) * interval '1 day'
  FROM generate_series(1, 20000) n,
	   LATERAL (SELECT crm.pick('{Anna,Ben,Chen,Dora,Emil,Fatima,Goran,Hana,Ivan,Julia,Kofi,Lena,Mai,Noor,Omar,Paula}',
								crm.chance(n, 1)) AS first,
					   crm.pick('{Adler,Brandt,Costa,Diaz,Ek,Fischer,Gruber,Haas,Ito,Jansen,Kaya,Lind,Moreau,Novak}',
								crm.chance(n, 2)) AS last) names;

CREATE TABLE crm.activity (
	contact_id  int NOT NULL,
	occurred_at timestamptz NOT NULL,
	action      text NOT NULL,
	page        text,
	seconds     int
);
CREATE TABLE crm.orders (
	order_id   int PRIMARY KEY,
	contact_id int NOT NULL,
	ordered_at timestamptz NOT NULL,
	amount     numeric(10,2) NOT NULL
);

-- Few contacts do much and most do little; each has a time of interest.
CREATE TEMPORARY TABLE moment AS
SELECT n,
	   1 + floor(20000 * crm.chance(n, 11) ^ 2)::int AS contact_id,
	   crm.chance(n, 12) AS a, crm.chance(n, 13) AS b, crm.chance(n, 14) AS c,
	   timestamptz '2026-03-02 09:00+00' - interval '1 second' * floor(86400 * greatest(0.01, least(180,
			CASE WHEN crm.chance(n, 15) < 0.6
				 THEN 180 * crm.chance(1 + floor(20000 * crm.chance(n, 11) ^ 2)::bigint, 16) + 14 * (crm.chance(n, 17) - 0.5)
				 ELSE 180 * crm.chance(n, 18) END))) AS at
  FROM generate_series(1, 300000) n;
INSERT INTO crm.orders
SELECT n - 290000, contact_id, at, round((40 * exp(5 * a))::numeric, 2)
  FROM moment WHERE n > 290000;
INSERT INTO crm.activity
SELECT contact_id, at, action,
	   CASE WHEN action IN ('page_view', 'form')
			THEN crm.pick('{/,/,/,/blog/growth,/blog/teams,/product/suite,/product/suite,/product/edge,/pricing,/careers}', b) END,
	   CASE WHEN action = 'page_view' THEN (5 * exp(4 * c))::int END
  FROM moment,
	   LATERAL (SELECT CASE WHEN a < 0.46 THEN 'page_view' WHEN a < 0.85 THEN 'email_open'
							WHEN a < 0.95 THEN 'email_click' WHEN a < 0.97 THEN 'download'
							WHEN a < 0.985 THEN 'webinar' WHEN a < 0.994 THEN 'form'
							WHEN a < 0.997 THEN 'unsubscribe' ELSE 'demo_request' END AS action) kinds
 WHERE n <= 290000;
CREATE INDEX ON crm.activity (contact_id, occurred_at);
CREATE INDEX ON crm.orders (contact_id, ordered_at);
ANALYZE crm.contact, crm.activity, crm.orders;

SELECT 'contacts' AS what, count(*), min(created_at)::date AS first, max(created_at)::date AS last FROM crm.contact
UNION ALL SELECT 'activity', count(*), min(occurred_at)::date, max(occurred_at)::date FROM crm.activity
UNION ALL SELECT 'orders', count(*), min(ordered_at)::date, max(ordered_at)::date FROM crm.orders;

\echo
\echo '2. A model over the contacts. Both event tables feed it from now on'
\echo
-- no worker is at work yet: what is there is counted at once
SET leadscore.inline_limit = 10000000;
\timing on
\set ECHO queries
SELECT leadscore.create_model('b2b', 'crm.contact', created_at => 'created_at') \g /dev/null

SELECT leadscore.attach('b2b', 'crm.activity', contact => 'contact_id',
    occurred_at => 'occurred_at', event => 'action') \g /dev/null

SELECT leadscore.attach('b2b', 'crm.orders', contact => 'contact_id', occurred_at => 'ordered_at') \g /dev/null

\set ECHO none
\echo
\echo '3. What counts: rules are rows. Each INSERT counts the events that are there'
\echo
\echo '   What somebody does is worth less as it ages: by halves, or in a straight line'
\set ECHO queries
INSERT INTO leadscore.lead_rule
    (model, source, name, event, points, max_points, decay, decay_interval)
VALUES
    ('b2b', 'activity', 'demo request',  'demo_request', 40, 60, 'half_life', '30 days'),
    ('b2b', 'activity', 'form sent',     'form',         15, 40, 'half_life', '21 days'),
    ('b2b', 'activity', 'e-mail opened', 'email_open',    1, 10, 'half_life', '10 days'),
    ('b2b', 'activity', 'link clicked',  'email_click',   3, 15, 'linear',    '60 days');
\set ECHO none
\echo
\echo '   Conditions and weights are SQL over the row: seconds on a page, amounts of orders'
\set ECHO queries
INSERT INTO leadscore.lead_rule
    (model, source, name, condition, points, weight, max_points, decay, decay_interval)
VALUES
    ('b2b', 'activity', 'product pages', $$page LIKE '/product/%'$$, 2, 'least(seconds / 60.0, 3)', 20,
        'half_life', '14 days'),
    ('b2b', 'orders', 'orders', 'amount > 0', 5, 'amount / 1000', 50, 'half_life', '90 days');
\set ECHO none
\echo
\echo '   A daily limit, steps, minimum counts in a time frame, and points below zero'
\set ECHO queries
INSERT INTO leadscore.lead_rule
    (model, source, name, event, condition, points, max_points, max_per_period, period, decay, decay_interval)
VALUES
    ('b2b', 'activity', 'pricing page', 'page_view', $$page = '/pricing'$$, 6, 30, 12, '1 day', 'half_life', '14 days');

INSERT INTO leadscore.lead_rule
    (model, source, name, event, points, max_points, decay, decay_interval, decay_keep)
VALUES
    ('b2b', 'activity', 'webinar', 'webinar', 12, 24, 'step', '30 days', 0.5);

INSERT INTO leadscore.lead_rule
    (model, source, name, event, condition, points, at_least, time_frame, max_points)
VALUES
    ('b2b', 'activity', 'comes back', 'page_view', NULL, 10, 5, '14 days', NULL),
    ('b2b', 'activity', 'looks for a job', 'page_view', $$page = '/careers'$$, -5, 1, '90 days', 15),
    ('b2b', 'activity', 'unsubscribed', 'unsubscribe', NULL, -25, 1, NULL, 25);

INSERT INTO leadscore.lead_rule (model, kind, source, name, idle, points, award, max_points)
VALUES ('b2b', 'absence', 'activity', 'silence', '30 days', -5, 'each', 20);
\set ECHO none
\echo
\echo '   Who somebody is: rules over the contact''s own row'
\set ECHO queries
INSERT INTO leadscore.lead_rule (model, kind, name, condition, points, weight, disqualifies)
VALUES
    ('b2b', 'profile', 'decides',      $$title ~ 'Chief|Head|VP|Director'$$, 20, NULL, false),
    ('b2b', 'profile', 'company size', 'employees >= 20', 5, 'least(log(employees::float8), 4)', false),
    ('b2b', 'profile', 'free mail',    $$email ~ '@(gmail\.com|outlook\.com|gmx\.net)$'$$, -10, NULL, false),
    ('b2b', 'profile', 'student',      $$title = 'Student'$$, 0, NULL, true);
\set ECHO none
\echo
\echo '   Limits, stages that are left lower than they are entered, and grades from A1 to D4'
\set ECHO queries
UPDATE leadscore.lead_category SET max_points = 100 WHERE model = 'b2b' AND category = 'engagement';

INSERT INTO leadscore.lead_stage (model, stage, position, enter_at, leave_below, condition)
VALUES ('b2b', 'mql', 1, 50, 40, NULL), ('b2b', 'sql', 2, 80, 65, 'fit >= 15');

INSERT INTO leadscore.lead_grade (model, category, grade, min_points)
VALUES ('b2b', 'fit', 'A', 30), ('b2b', 'fit', 'B', 20), ('b2b', 'fit', 'C', 5), ('b2b', 'fit', 'D', '-infinity'),
    ('b2b', 'engagement', '1', 60), ('b2b', 'engagement', '2', 30), ('b2b', 'engagement', '3', 10),
    ('b2b', 'engagement', '4', '-infinity');
\timing off
\set ECHO none
ANALYZE leadscore.score_b2b;

\echo
\echo '4. The ten best, from a plain table'
\echo
\set ECHO queries
SELECT c.contact_id AS id, c.name, c.title, c.employees, round(s.score::numeric, 1) AS score,
       round(s.fit::numeric, 1) AS fit, round(s.engagement::numeric, 1) AS engagement, s.grade, s.stage
  FROM leadscore.score_b2b s JOIN crm.contact c USING (contact_id)
 WHERE NOT s.disqualified
 ORDER BY s.score DESC LIMIT 10;

SELECT stage, count(*) AS contacts, round(avg(score)::numeric, 1) AS average_score,
       count(*) FILTER (WHERE grade LIKE 'A%') AS "A",
       count(*) FILTER (WHERE grade LIKE 'B%') AS "B",
       count(*) FILTER (WHERE grade LIKE 'C%') AS "C",
       count(*) FILTER (WHERE grade LIKE 'D%') AS "D"
  FROM leadscore.score_b2b GROUP BY stage ORDER BY avg(score) DESC;

\set ECHO none
-- one that could become an sql, of whom there is much to tell, good and bad
SELECT contact_id AS id, score AS before, stage AS stage_before
  FROM leadscore.score_b2b,
	   LATERAL (SELECT count(*) FILTER (WHERE points <> 0) AS rules, min(points) AS worst
				  FROM leadscore.explain('b2b', contact_id)) AS e
 WHERE stage = 'mql' AND fit >= 15 AND engagement < 60 AND score BETWEEN 52 AND 62 AND e.worst < 0
 ORDER BY e.rules DESC, score DESC LIMIT 1 \gset
SELECT name FROM crm.contact WHERE contact_id = :id \gset
\echo '5. Why:' :name '(contact' :id), rule by rule
\echo
\set ECHO queries
SELECT name AS rule, category, matched, last_match::date, round(raw::numeric, 1) AS raw,
       round(points::numeric, 1) AS points
  FROM leadscore.explain('b2b', :id) WHERE matched > 0 ORDER BY points DESC;
\set ECHO none
\echo '   If nothing more happens: the score at any instant follows from what is known now'
\echo
\set ECHO queries
SELECT days AS "in days", at::date, round(leadscore.score('b2b', :id, at)::numeric, 1) AS score,
       repeat('#', leadscore.score('b2b', :id, at)::int) AS "#"
  FROM unnest('{0, 7, 30, 90}'::int[]) AS days,
       LATERAL (SELECT leadscore.clock() + days * interval '1 day' AS at) AS t;

SELECT at, what, from_value AS "from", to_value AS "to", round(score::numeric, 1) AS score
  FROM leadscore.forecast('b2b', :id, leadscore.clock() + interval '90 days');
\set ECHO none
\echo '6. A request for a demo arrives: the score commits with the event, or not at all'
\echo
\timing on
\set ECHO queries
INSERT INTO crm.activity VALUES (:id, leadscore.clock(), 'demo_request');
\timing off
\set ECHO none
\echo
SELECT round(:before::numeric, 1) AS before, :'stage_before' AS stage_before, round(score::numeric, 1) AS after,
       stage AS stage_after
  FROM leadscore.score_b2b WHERE contact_id = :id;
\set ECHO queries
SELECT changed_at, from_stage, to_stage, round(score::numeric, 1) AS score, cause
  FROM leadscore.history_b2b WHERE contact_id = :id ORDER BY changed_at, recorded_at;
\set ECHO none
\echo '   It was a robot: the event is deleted, and what it gave goes with it'
\echo
\timing on
\set ECHO queries
DELETE FROM crm.activity WHERE contact_id = :id AND occurred_at = leadscore.clock();
\timing off
\set ECHO none
\echo
SELECT round(score::numeric, 1) AS score, score - :before AS "differs from before by", stage
  FROM leadscore.score_b2b WHERE contact_id = :id;
\echo '7. What if a demo request were worth 60 and not 40? A transaction is the sandbox'
\echo
\timing on
\set ECHO queries
BEGIN;
UPDATE leadscore.lead_rule SET points = 60, max_points = 90 WHERE model = 'b2b' AND name = 'demo request';
SELECT part, name, before, after, came, went, round(mean_before::numeric, 1) AS mean_before,
       round(mean_after::numeric, 1) AS mean_after
  FROM leadscore.what_if('b2b') WHERE part <> 'grade';
ROLLBACK;
\timing off
\set ECHO none
\echo
\echo '8. What it costs: 10,000 events in one statement, without scoring and with it'
\echo
CREATE TABLE crm.bare (LIKE crm.activity INCLUDING ALL);
INSERT INTO crm.bare SELECT * FROM crm.activity;
VACUUM ANALYZE crm.bare;
VACUUM ANALYZE crm.activity;
VACUUM ANALYZE leadscore.score_b2b;
CREATE TEMPORARY TABLE burst AS
SELECT contact_id, leadscore.clock() - interval '1 minute' * (n % 50) AS occurred_at, 'page_view' AS action,
       crm.pick('{/,/product/suite,/pricing}', crm.chance(n, 22)) AS page, (n % 300)::int AS seconds
  FROM (SELECT n, 1 + floor(20000 * crm.chance(n, 21) ^ 2)::int AS contact_id
          FROM generate_series(1, 10000) n) generated;
CHECKPOINT;
\timing on
\set ECHO queries
INSERT INTO crm.bare SELECT * FROM burst;
INSERT INTO crm.activity SELECT * FROM burst;
\timing off

\set ECHO none
\echo
\echo '9. The call list: who will fall in the next seven days if nobody does anything'
\echo
\timing on
\set ECHO queries
CREATE TEMPORARY TABLE call_list AS
SELECT contact::int AS contact_id, at, from_stage, to_stage, score, score_then
  FROM leadscore.upcoming('b2b', leadscore.clock() + interval '7 days');
\timing off
SELECT from_stage, to_stage, count(*) AS changes, count(DISTINCT contact_id) AS contacts
  FROM call_list GROUP BY 1, 2 ORDER BY 3 DESC;

SELECT l.at, c.name, c.title, round(l.score::numeric, 1) AS score_now, l.from_stage AS "from", l.to_stage AS "to"
  FROM call_list l JOIN crm.contact c USING (contact_id) WHERE from_stage = 'sql' ORDER BY l.at LIMIT 5;
\set ECHO none
\echo '10. The seven days pass, in a moment: the clock is set, and the worker has it all to do'
\echo
SET client_min_messages = error;
-- sales wants to know
INSERT INTO leadscore.lead_action (model, name, occasion, stage) VALUES ('b2b', 'win back', 'stage_left', 'sql');
SET client_min_messages = warning;
SET leadscore.clock = '2026-03-09 09:00:00+00';
\set ECHO queries
ALTER SYSTEM SET leadscore.clock = '2026-03-09 09:00:00+00';
ALTER SYSTEM SET leadscore.enabled = on;
SELECT pg_reload_conf() \g /dev/null
\set ECHO none
\echo
\echo '   Until nothing is due any more and the last midnight is written:'
-- a minute at most
\timing on
DO $$
BEGIN
	FOR i IN 1 .. 1200 LOOP
		EXIT WHEN NOT EXISTS (SELECT FROM leadscore.due_b2b WHERE due_at <= leadscore.clock())
			AND (SELECT written_to FROM leadscore.lead_day WHERE model = 'b2b') = date '2026-03-08';
		PERFORM pg_sleep(0.05);
	END LOOP;
END $$;
\timing off
\echo
\set ECHO queries
SELECT count(*) AS contacts, count(*) FILTER (WHERE scored_at = leadscore.clock()) AS written,
       (SELECT count(*) FROM leadscore.history_b2b WHERE cause = 'time') AS changes_of_stage
  FROM leadscore.score_b2b;

SELECT h.changed_at, h.recorded_at, h.from_stage AS "from", h.to_stage AS "to", h.changed_at = l.at AS as_forecast
  FROM leadscore.history_b2b h JOIN call_list l USING (contact_id, from_stage, to_stage)
 WHERE h.cause = 'time' AND h.from_stage = 'sql' ORDER BY 1 LIMIT 5;
\set ECHO none
\echo '   All of them, beside what had been foretold'
\echo
\set ECHO queries
SELECT count(*) AS happened, count(*) FILTER (WHERE l.at = h.changed_at) AS as_foretold
  FROM leadscore.history_b2b h
  FULL JOIN call_list l ON (l.contact_id, l.at, l.to_stage) = (h.contact_id, h.changed_at, h.to_stage)
 WHERE h.cause = 'time' OR h.cause IS NULL;
\set ECHO none
\echo '   Whoever waits for it takes it from the outbox, once'
\echo
\set ECHO queries
SELECT action, contact, stage AS has_left, round(score::numeric, 1) AS score, happened_at
  FROM leadscore.outbox_take('win back team', max_rows => 3) ORDER BY outbox_id;
\set ECHO none
\echo '   And what the funnel was at each midnight'
\echo
\set ECHO queries
SELECT day, sum(contacts) FILTER (WHERE stage = 'sql') AS sql, sum("left") FILTER (WHERE stage = 'sql') AS sql_left,
       sum(contacts) FILTER (WHERE stage = 'mql') AS mql, sum(entered) FILTER (WHERE stage = 'mql') AS mql_entered,
       sum("left") FILTER (WHERE stage = 'mql') AS mql_left, round(sum(score_sum)::numeric) AS all_points
  FROM leadscore.funnel_daily_b2b GROUP BY day ORDER BY day;
\set ECHO none
\echo '11. To see it happen: in another database the clock runs, and interest halves in five seconds'
\echo
CREATE DATABASE live;
ALTER DATABASE live SET leadscore.clock = '';
\connect live
SET client_min_messages = warning;
SET timezone = 'UTC';
CREATE EXTENSION leadscore;
CREATE TABLE contact (contact_id int PRIMARY KEY);
CREATE TABLE visit (contact_id int, at timestamptz);
CREATE INDEX ON visit (contact_id, at);
SELECT leadscore.create_model('fast', 'contact') \g /dev/null
SELECT leadscore.attach('fast', 'visit', 'contact_id', 'at') \g /dev/null
\set ECHO queries
INSERT INTO leadscore.lead_rule (model, name, points, decay, decay_interval)
VALUES ('fast', 'visit', 100, 'half_life', '5 seconds');
INSERT INTO leadscore.lead_stage (model, stage, position, enter_at, leave_below)
VALUES ('fast', 'warm', 1, 50, 50), ('fast', 'hot', 2, 80, 80);
INSERT INTO visit VALUES (1, leadscore.clock());
\set ECHO none
\echo
\echo '   100 points, and from here on nobody does anything'
\echo
DO $$
BEGIN
	FOR i IN 1 .. 200 LOOP
		EXIT WHEN (SELECT count(*) FROM leadscore.history_fast WHERE cause = 'time') = 2;
		PERFORM pg_sleep(0.05);
	END LOOP;
END $$;
\set ECHO queries
SELECT from_stage, to_stage, cause, round(extract(epoch FROM changed_at - at), 3) AS seconds_after_the_visit,
       round(1000 * extract(epoch FROM recorded_at - changed_at), 1) AS "recorded ... ms later"
  FROM leadscore.history_fast JOIN visit USING (contact_id) ORDER BY changed_at;
\set ECHO none
\connect postgres
SET timezone = 'UTC';
SET leadscore.clock = '2026-03-09 09:00:00+00';
\echo '   Seeing it work: the launcher, and a worker in each database that has a model'
\echo
\set ECHO queries
SELECT role, database, phase, lag, round(transitions_per_minute::numeric) AS changes_per_minute, last_error
  FROM leadscore.activity WHERE database IS NULL OR database IN ('live', 'postgres') ORDER BY role, database;
\set ECHO none
\echo '12. A rule for 300,000 events that are there: a job counts it, and nobody waits'
\echo
RESET leadscore.inline_limit;
\timing on
\set ECHO queries
INSERT INTO leadscore.lead_rule (model, source, name, event, points, time_frame, max_per_period)
VALUES ('b2b', 'activity', 'clicks of a month', 'email_click', 1, '30 days', 3);
\timing off
\set ECHO none
DO $$
BEGIN
	FOR i IN 1 .. 600 LOOP
		EXIT WHEN NOT EXISTS (SELECT FROM leadscore.lead_job WHERE state IN ('waiting', 'running'));
		PERFORM pg_sleep(0.05);
	END LOOP;
END $$;
\set ECHO queries
SELECT kind, state, done AS contacts, finished_at - started_at AS took FROM leadscore.lead_job ORDER BY job_id;
\set ECHO none
\echo '   Two contacts turn out to be one person: scored on all that both have done, and taken apart again'
\echo
SELECT contact_id AS a, round(score::numeric, 1) AS score_a FROM leadscore.live_b2b WHERE engagement BETWEEN 8 AND 25 AND score > 10 AND NOT disqualified ORDER BY contact_id LIMIT 1 \gset
SELECT contact_id AS b, round(score::numeric, 1) AS score_b FROM leadscore.live_b2b WHERE engagement BETWEEN 8 AND 25 AND score > 10 AND NOT disqualified AND contact_id <> :a ORDER BY contact_id LIMIT 1 \gset
SELECT :a AS contact, :score_a AS score UNION ALL SELECT :b, :score_b;
\set ECHO queries
SELECT leadscore.merge_contacts('b2b', :a, :b) \g /dev/null
SELECT round(leadscore.score('b2b', :a)::numeric, 1) AS together;
SELECT leadscore.unmerge('b2b', :b) \g /dev/null
\set ECHO none
SELECT :a AS contact, round(leadscore.score('b2b', :a)::numeric, 1) AS score
UNION ALL SELECT :b, round(leadscore.score('b2b', :b)::numeric, 1);
SELECT leadscore.refresh('b2b') \g /dev/null
\echo '13. The proof: every stored score against one recomputed from the raw events alone'
\echo
\set ECHO queries
\timing on
SELECT * FROM leadscore.verify('b2b');
\timing off
\set ECHO none
SELECT count(*) = 0 AS right FROM leadscore.verify('b2b') \gset
\if :right
	\echo '   verify() found nothing: every stored score is what the events say.'
	\echo
\else
	DO $$ BEGIN RAISE 'verify() found stored scores that are not what the events say'; END $$;
\endif
