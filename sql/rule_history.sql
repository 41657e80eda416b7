-- Versions of rules, what profile rules said, scores under the rules of another
-- day, and rules in draft.
SET timezone = 'UTC';
SET datestyle = 'ISO';
SET extra_float_digits = 0;
\pset null -
SET client_min_messages = warning;
CREATE ROLE regress_ls_hist_owner;
CREATE ROLE regress_ls_hist_admin IN ROLE regress_ls_hist_owner;
CREATE ROLE regress_ls_hist_other;
GRANT SET ON PARAMETER leadscore.clock TO regress_ls_hist_owner, regress_ls_hist_admin;
CREATE SCHEMA rule_history;
GRANT USAGE, CREATE ON SCHEMA rule_history TO regress_ls_hist_owner, regress_ls_hist_other;
SET search_path = rule_history;
SET ROLE regress_ls_hist_owner;
CREATE TABLE contact (id int PRIMARY KEY, country text, employees int, created timestamptz);
CREATE TABLE event (contact int, what text, at timestamptz, amount float8);
CREATE INDEX ON event (contact, at);
CREATE TABLE extra (contact int, at timestamptz, n int);
CREATE INDEX ON extra (contact, at);

SET leadscore.clock = '2026-03-02 12:00+00';
SELECT leadscore.create_model('hist', 'contact', created_at => 'created');
SELECT leadscore.attach('hist', 'event', 'contact', 'at', event => 'what');
SELECT leadscore.attach('hist', 'extra', 'contact', 'at');
INSERT INTO contact VALUES (1, 'DE', 10, '2026-01-01'), (2, 'US', 500, '2026-02-01'), (3, NULL, NULL, NULL);
INSERT INTO event VALUES (1, 'form', '2026-03-01', 1), (1, 'open', '2026-03-02', 1), (2, 'open', '2026-03-01', 2), (4, 'form', '2026-03-02', 1);
INSERT INTO extra VALUES (1, '2026-03-01', 3);

-- INSERT, UPDATE, DELETE: a version each, by whom, from when to when
CREATE VIEW versions AS
	SELECT history_id - min(history_id) OVER () + 1 AS no, name, points, condition, enabled, draft,
		   valid_from::timestamp(0), valid_to::timestamp(0), changed_by, operation,
		   backfilled_version IS NOT NULL AS counted, cardinality(versions) AS versions
	  FROM leadscore.lead_rule_history WHERE model = 'hist';
INSERT INTO leadscore.lead_rule (model, name, source, event, points) VALUES ('hist', 'form', 'event', 'form', 20), ('hist', 'open', 'event', 'open', 5);
INSERT INTO leadscore.lead_rule (model, name, source, points, weight) VALUES ('hist', 'extra', 'extra', 1, 'n');
INSERT INTO leadscore.lead_rule (model, name, kind, condition, points) VALUES ('hist', 'german', 'profile', 'country = ''DE''', 7);
SELECT * FROM versions ORDER BY no;
SET leadscore.clock = '2026-03-03 12:00+00';
SET ROLE regress_ls_hist_admin;
UPDATE leadscore.lead_rule SET points = 30 WHERE name = 'form';
-- nothing changed, nothing written
UPDATE leadscore.lead_rule SET points = 30 WHERE name = 'form';
RESET ROLE;
SET ROLE regress_ls_hist_owner;
-- what a rule is called, and whether it is enabled; several changes of one transaction are of one instant
SET leadscore.clock = '2026-03-04 12:00+00';
BEGIN;
UPDATE leadscore.lead_rule SET name = 'forms' WHERE name = 'form';
SET LOCAL leadscore.clock = '2026-03-04 12:00:05+00';
UPDATE leadscore.lead_rule SET enabled = false WHERE name = 'open';
UPDATE leadscore.lead_rule SET points = 6 WHERE name = 'open';
COMMIT;
SET leadscore.clock = '2026-03-05 12:00+00';
UPDATE leadscore.lead_rule SET condition = 'employees >= 100', name = 'large' WHERE name = 'german';
DELETE FROM leadscore.lead_rule WHERE name = 'open';
-- what is rolled back is not there
BEGIN;
DELETE FROM leadscore.lead_rule WHERE model = 'hist';
SELECT count(*) FROM versions WHERE operation = 'DELETE';
ROLLBACK;
SELECT * FROM versions ORDER BY no;
-- one rule is one thing at any instant
SELECT rule_id, count(*) FROM leadscore.lead_rule_history h
 WHERE model = 'hist' AND valid_to IS NULL GROUP BY rule_id HAVING count(*) <> 1;
SELECT count(*) AS current_differs FROM leadscore.lead_rule r FULL JOIN
	(SELECT * FROM leadscore.lead_rule_history WHERE valid_to IS NULL) h USING (rule_id)
 WHERE coalesce(r.model, h.model) = 'hist'
   AND (r.name, r.points, r.condition, r.enabled, r.backfilled_version) IS DISTINCT FROM (h.name, h.points, h.condition, h.enabled, h.backfilled_version);
-- its columns are those of lead_rule, and six of its own
SELECT count(*) FROM pg_attribute a FULL JOIN pg_attribute b
	ON b.attrelid = 'leadscore.lead_rule_history'::regclass AND b.attnum = a.attnum + CASE WHEN a.attnum > 33 THEN 6 ELSE 0 END
	AND b.attname = a.attname AND b.atttypid = a.atttypid
 WHERE a.attrelid = 'leadscore.lead_rule'::regclass AND a.attnum > 0 AND b.attnum IS NULL;

-- counted anew: the same version, under one more number
SELECT leadscore.detach('hist', 'extra');
SELECT leadscore.attach('hist', 'extra', 'contact', 'at');
SELECT name, operation, versions FROM versions WHERE name = 'extra';

-- what else the model says
SET leadscore.clock = '2026-03-06 12:00+00';
UPDATE leadscore.lead_category SET weight = 2, max_points = 50 WHERE model = 'hist' AND category = 'engagement';
UPDATE leadscore.lead_model SET min_score = 0, max_score = 100 WHERE model = 'hist';
UPDATE leadscore.lead_model SET max_drift = 0.25 WHERE model = 'hist';
INSERT INTO leadscore.lead_grade VALUES ('hist', 'fit', 'A', 5);
SELECT min_score, max_score, time_zone, categories, weights, min_points, max_points, valid_from::timestamp(0), valid_to::timestamp(0), changed_by
  FROM leadscore.lead_model_history WHERE model = 'hist' ORDER BY history_id;

-- the score of a day, and what it was made of
SELECT day, id, leadscore.score('hist', id, day, day) AS then, leadscore.score('hist', id, '2026-03-06 12:00+00', day) AS with_the_rules_of_then,
	   leadscore.score('hist', id, day, NULL) = leadscore.score('hist', id, day) AS null_is_now
  FROM unnest('{2026-03-02 12:00+00,2026-03-03 12:00+00,2026-03-04 12:00+00,2026-03-05 12:00+00,2026-03-06 12:00+00}'::timestamptz[]) day,
	generate_series(1, 4) id
 ORDER BY 1, 2;
SELECT name, category, kind, matched, last_match, raw, points FROM leadscore.explain('hist', 1, '2026-03-02 12:00+00', '2026-03-02 12:00+00');
SELECT name, raw, points FROM leadscore.explain('hist', '1', NULL, '2026-03-03 13:00+00');
SELECT leadscore.score('hist', '1'::text, NULL, now() + interval '10 years') = leadscore.score('hist', 1) AS rules_of_the_future;
SELECT leadscore.score('hist', 99, NULL, '2026-03-05 12:00+00'), leadscore.score(NULL, 1, NULL, '2026-03-05'),
	leadscore.score('hist', NULL::int, NULL, '2026-03-05');

-- what profile rules said, from when on
SET leadscore.clock = '2026-03-07 12:00+00';
UPDATE contact SET employees = 1 WHERE id = 2;
SET leadscore.clock = '2026-03-08 12:00+00';
UPDATE contact SET employees = 1000;
SET leadscore.clock = '2026-03-09 12:00+00';
UPDATE contact SET employees = 999, country = 'FR';		-- says the same
UPDATE leadscore.lead_rule SET points = 70 WHERE name = 'large';
INSERT INTO event VALUES (1, 'form', '2026-03-09', 1);
DELETE FROM contact WHERE id IN (1, 3);
SET leadscore.clock = '2026-03-10 12:00+00';
INSERT INTO contact VALUES (1, 'DE', 5, '2026-03-10'), (5, 'DE', 100, NULL);
INSERT INTO contact SELECT 10 + i, 'XX', 0, NULL FROM generate_series(1, 3) i;
SELECT contact_id, since::timestamp(0), backfilled, has_contact, created_at::date, cardinality(versions) AS hold, weights
  FROM leadscore.profile_hist ORDER BY contact_id, since;
SELECT day, id, (SELECT points FROM leadscore.explain('hist', id, day, day) WHERE kind = 'profile') AS profile,
	   (SELECT points FROM leadscore.explain('hist', id, day, '2026-03-10 12:00+00') WHERE kind = 'profile') AS with_the_rule_of_now
  FROM unnest('{2026-03-02 12:00+00,2026-03-06,2026-03-07 12:00+00,2026-03-08 12:00+00,2026-03-09 12:00+00,2026-03-10 12:00+00}'::timestamptz[]) day,
	   unnest('{1,2,3,5}'::int[]) id
 ORDER BY 1, 2;
-- a contact of which nothing is left, but what was known
SELECT leadscore.score('hist', 3), leadscore.score('hist', 3, '2026-03-08 12:00+00', '2026-03-08 12:00+00');

-- a model without profile rules writes nothing
SELECT leadscore.create_model('bare', 'contact');
SELECT leadscore.attach('bare', 'event', 'contact', 'at', event => 'what');
INSERT INTO leadscore.lead_rule (model, name, event, points) VALUES ('bare', 'form', 'form', 20);
UPDATE contact SET employees = 77;
SELECT count(*) FROM leadscore.profile_bare;
-- its first one: contacts of which it holds
INSERT INTO leadscore.lead_rule (model, name, kind, condition, points) VALUES ('bare', 'us', 'profile', 'country = ''FR''', 7);
SELECT contact_id, backfilled, has_contact, cardinality(versions) FROM leadscore.profile_bare ORDER BY 1;
SET leadscore.clock = '2026-03-11 12:00+00';
DELETE FROM contact WHERE id IN (5, 2);
SELECT contact_id, since::timestamp(0), backfilled, has_contact, cardinality(versions) FROM leadscore.profile_bare ORDER BY 1, 2;
SELECT day, leadscore.score('bare', 2, day, '2026-03-10 12:00+00') FROM unnest('{2026-03-10 12:00+00,2026-03-11 12:00+00}'::timestamptz[]) day;
SELECT leadscore.drop_model('bare');

-- rules in draft: evaluated, told, counted as nothing
INSERT INTO leadscore.lead_rule (model, name, source, event, points, draft) VALUES ('hist', 'try', 'event', 'form', 1000, true);
INSERT INTO leadscore.lead_rule (model, name, kind, condition, points, disqualifies, draft)
VALUES ('hist', 'competitor', 'profile', 'country = ''DE''', -1, true, true);
INSERT INTO leadscore.lead_rule (model, name, kind, source, idle, points, award, draft)
VALUES ('hist', 'silent', 'absence', 'event', '1 day', -5, 'each', true);
SELECT name, matched, raw, points FROM leadscore.explain('hist', 1);
SELECT contact_id, score, stage, disqualified FROM leadscore.score_hist WHERE contact_id IN (1, 4) ORDER BY 1;
SELECT contact_id, score, stage, disqualified FROM leadscore.live_hist WHERE contact_id IN (1, 4) ORDER BY 1;
SELECT leadscore.score('hist', 1) = leadscore.replay('hist', 1) AS same,
	leadscore.score('hist', 1) = leadscore.score('hist', 1, NULL, '2026-03-11 12:00+00') AS same_again;
SELECT * FROM leadscore.verify('hist');
-- publishing needs no events: the rules keep what is counted
SELECT backfilled_version FROM leadscore.lead_rule WHERE name = 'try' \gset
SET leadscore.clock = '2026-03-12 12:00+00';
UPDATE leadscore.lead_rule SET draft = false WHERE model = 'hist' AND draft;
SELECT backfilled_version = :backfilled_version AS kept FROM leadscore.lead_rule WHERE name = 'try';
SELECT name, matched, raw, points FROM leadscore.explain('hist', 1);
SELECT contact_id, score, stage, disqualified FROM leadscore.score_hist WHERE contact_id IN (1, 4) ORDER BY 1;
SELECT name, points FROM leadscore.explain('hist', 1, NULL, '2026-03-11 12:00+00') WHERE points = 0;
SELECT * FROM leadscore.verify('hist');
UPDATE leadscore.lead_rule SET draft = NULL WHERE name = 'try';
SELECT draft FROM leadscore.lead_rule WHERE name = 'try';

-- a rule whose table or column is gone is named
ALTER TABLE contact DROP COLUMN employees;
SELECT leadscore.score('hist', 1, NULL, '2026-03-12 12:00+00');
SET client_min_messages = notice;
SELECT name, raw FROM leadscore.explain('hist', 1, NULL, '2026-03-12 12:00+00') WHERE kind = 'profile';
SET client_min_messages = warning;
SELECT leadscore.score('hist', 1, '2026-03-02 13:00+00', '2026-03-02 13:00+00') AS before_it_was_used;
SELECT leadscore.detach('hist', 'extra');
SELECT leadscore.score('hist', 1, NULL, '2026-03-02 13:00+00');

-- mistakes
SELECT leadscore.score('hits', 1, NULL, '2026-03-05');
SELECT leadscore.score('hist', 1, NULL, '2026-02-01');
SELECT leadscore.score('hist', 1, NULL, 'infinity');
SELECT leadscore.score('hist', 1, NULL, '-infinity');
SELECT leadscore.score('hist', 1, 'infinity', '2026-03-05');
SELECT leadscore.score('hist', 'one', NULL, '2026-03-05');
SELECT leadscore.score('hist', 1, NULL, 'soon');
SELECT leadscore.score('hist', '2026-03-05'::date, NULL, '2026-03-05');
SELECT * FROM leadscore.explain('hits', 1, NULL, '2026-03-05');
SELECT * FROM leadscore.explain('hist', 1, NULL, '2026-02-01');
SELECT * FROM leadscore.explain('hist', 1, 'infinity', '2026-03-05');
INSERT INTO leadscore.lead_rule_history SELECT * FROM leadscore.lead_rule_history;
UPDATE leadscore.lead_rule_history SET points = 1;
DELETE FROM leadscore.lead_model_history;
DELETE FROM leadscore.profile_hist;
-- others see nothing
SET ROLE regress_ls_hist_other;
SELECT count(*) FROM leadscore.lead_rule_history;
SELECT count(*) FROM leadscore.lead_model_history;
SELECT leadscore.score('hist', 1, NULL, '2026-03-05');
SELECT * FROM leadscore.explain('hist', 1, NULL, '2026-03-05');
SELECT * FROM leadscore.profile_hist;
RESET ROLE;
UPDATE leadscore.profile_hist SET contact_id = 1;

-- a model takes its history along
SELECT leadscore.drop_model('hist');
SELECT (SELECT count(*) FROM leadscore.lead_rule_history), (SELECT count(*) FROM leadscore.lead_model_history), to_regclass('leadscore.profile_hist');

-- what purged events gave then counts under the rules of then
SET ROLE regress_ls_hist_owner;
SET leadscore.clock = '2026-04-01 12:00+00';
SELECT leadscore.create_model('purged', 'contact');
SELECT leadscore.attach('purged', 'event', 'contact', 'at', event => 'what', on_delete => 'keep');
INSERT INTO leadscore.lead_rule (model, name, event, points) VALUES ('purged', 'form', 'form', 20), ('purged', 'open', 'open', 5);
INSERT INTO leadscore.lead_rule (model, name, event, points, draft) VALUES ('purged', 'try', 'open', 50, true);
SET leadscore.clock = '2026-04-02 12:00+00';
UPDATE leadscore.lead_rule SET points = 30 WHERE model = 'purged' AND name = 'form';
DELETE FROM leadscore.lead_rule WHERE model = 'purged' AND name = 'open';
SELECT id, leadscore.score('purged', id) AS now,
	leadscore.score('purged', id, '2026-04-01 13:00+00', '2026-04-01 13:00+00') AS then
  FROM generate_series(1, 4) id;
DELETE FROM event WHERE at < '2026-03-02';
SELECT id, leadscore.score('purged', id) AS now,
	leadscore.score('purged', id, '2026-04-01 13:00+00', '2026-04-01 13:00+00') AS then
  FROM generate_series(1, 4) id;
SET client_min_messages = notice;
SELECT leadscore.score('purged', 1, '2026-02-28', '2026-04-01 13:00+00');
-- a rule that a job is to count knows what is left, and what was kept under other rules is not its
BEGIN;
SET LOCAL leadscore.inline_limit = 0;
SET LOCAL client_min_messages = error;
INSERT INTO leadscore.lead_rule (model, name, event, points) VALUES ('purged', 'first', 'form', 1), ('purged', 'second', 'open', 100);
SELECT part, before, after, round(mean_before::numeric, 6) AS mean_before, round(mean_after::numeric, 6) AS mean_after
  FROM leadscore.what_if('purged', full => true) WHERE part = 'all';
ROLLBACK;
SET client_min_messages = warning;
SELECT leadscore.drop_model('purged');
RESET ROLE;

-- At random: scores written down at the time are told again later, to the last one.
SET ROLE regress_ls_hist_owner;
CREATE TABLE person (id int PRIMARY KEY, country text, employees int, created timestamptz);
CREATE TABLE act (contact int, what text, at timestamptz, amount float8);
CREATE INDEX ON act (contact, at);
SET leadscore.clock = '2026-01-01 00:00+00';
SELECT leadscore.create_model('dice', 'person', created_at => 'created', time_zone => 'America/New_York');
SELECT leadscore.attach('dice', 'act', 'contact', 'at', event => 'what');
CREATE TABLE told (t timestamptz, contact int, score float8, replayed float8, rules jsonb);

CREATE FUNCTION word(VARIADIC text[]) RETURNS text LANGUAGE sql VOLATILE AS
	$$ SELECT $1[1 + floor(random() * cardinality($1))::int] $$;
CREATE FUNCTION number(VARIADIC float8[]) RETURNS float8 LANGUAGE sql VOLATILE AS
	$$ SELECT $1[1 + floor(random() * cardinality($1))::int] $$;
CREATE PROCEDURE throw_dice(steps int) LANGUAGE plpgsql AS $$
DECLARE
	now timestamptz := '2026-01-01 00:00+00';
	n int := 0;
BEGIN
	FOR step IN 1..steps LOOP
		now := now + random() * interval '2 days' + interval '1 second';
		PERFORM set_config('leadscore.clock', now::text, false);
		CASE word('event', 'event', 'event', 'contact', 'contact', 'insert', 'delete', 'rule', 'rule', 'edit', 'edit', 'drop', 'limits', 'rescore')
		WHEN 'event' THEN
			INSERT INTO act SELECT number(1, 2, 3, 4, 5, 6), word('a', 'b', 'c'), now - number(0, 0, 0.001) * random() * interval '1 second', random() * 5
			  FROM generate_series(1, 3);
		WHEN 'contact' THEN
			UPDATE person SET country = word('DE', 'US', 'FR'), employees = number(1, 10, 100, NULL),
				created = CASE WHEN random() < 0.1 THEN now - interval '3 days' ELSE created END
			 WHERE id = number(1, 2, 3, 4, 5, 6) OR random() < 0.2;
		WHEN 'insert' THEN
			INSERT INTO person SELECT i, word('DE', 'US', 'FR'), number(1, 10, 100), CASE WHEN random() < 0.5 THEN now END
			  FROM generate_series(1, 6) i WHERE random() < 0.5 ON CONFLICT DO NOTHING;
		WHEN 'delete' THEN
			DELETE FROM person WHERE random() < 0.2;
		WHEN 'rule' THEN
			n := n + 1;
			IF random() < 0.5 THEN
				INSERT INTO leadscore.lead_rule (model, name, kind, condition, weight, points, draft) VALUES ('dice', 'p' || n, 'profile',
					word('country = ''DE''', 'employees >= 10', 'country <> ''FR'''), word(NULL, NULL, 'employees'), n, random() < 0.2);
			ELSIF random() < 0.3 THEN
				INSERT INTO leadscore.lead_rule (model, name, kind, idle, points, award)
				VALUES ('dice', 'i' || n, 'absence', '1 day', -1, word('each', 'once'));
			ELSE
				INSERT INTO leadscore.lead_rule (model, name, event, weight, points, time_frame, decay, decay_interval, draft)
				SELECT 'dice', 'e' || n, word('a', 'b', 'c', NULL), word(NULL, 'amount'), n, word(NULL, '5 days')::interval, d,
					CASE WHEN d <> 'none' THEN interval '3 days' END, random() < 0.2
				  FROM word('none', 'half_life', 'linear') d;
			END IF;
		WHEN 'edit' THEN
			UPDATE leadscore.lead_rule SET points = points + number(1, -0.5, 3), draft = draft AND random() < 0.5, enabled = random() < 0.9,
				max_points = number(NULL, 20),
				condition = CASE WHEN kind = 'profile' AND random() < 0.4 THEN word('country = ''US''', 'employees < 50') ELSE condition END
			 WHERE model = 'dice' AND random() < 0.3 AND points + 3 <> 0 AND points <> 0.5 AND points <> -1;
		WHEN 'drop' THEN
			DELETE FROM leadscore.lead_rule WHERE model = 'dice' AND random() < 0.1;
		WHEN 'limits' THEN
			UPDATE leadscore.lead_category SET weight = number(1, 2, 0.5), max_points = number(NULL, 40) WHERE model = 'dice' AND random() < 0.5;
			UPDATE leadscore.lead_model SET min_score = number(NULL, -5), max_score = number(NULL, 60) WHERE model = 'dice' AND random() < 0.3;
		WHEN 'rescore' THEN
			PERFORM leadscore.rescore('dice');
		END CASE;
		COMMIT;
		INSERT INTO told
		SELECT now, s.contact_id, leadscore.score('dice', s.contact_id), leadscore.replay('dice', s.contact_id),
			   (SELECT jsonb_object_agg(x.rule_id, x.points) FROM leadscore.explain('dice', s.contact_id) x)
		  FROM leadscore.score_dice s;
		COMMIT;
	END LOOP;
END
$$;
SELECT setseed(0.14);
CALL throw_dice(150);
SET leadscore.clock = '2027-06-01 00:00+00';
SELECT count(*) > 300 AS many, count(DISTINCT t) > 100 AS often,
	   count(*) FILTER (WHERE NOT abs(score - replayed) <= 1e-9 * greatest(1, abs(score))) AS wrong_then
  FROM told;
SELECT (SELECT count(*) FROM leadscore.profile_dice) > 20 AS changed_often,
	   (SELECT count(*) FROM leadscore.lead_rule_history) > 30 AS edited_often;
SELECT t, contact, score, again FROM (
	SELECT t, contact, score, leadscore.score('dice', contact, t, t) AS again FROM told) x
 WHERE NOT abs(score - again) <= 1e-9 * greatest(1, abs(score)) OR again IS NULL ORDER BY 1, 2;
-- rule by rule
SELECT t, contact, x.rule_id, x.name, x.points, told.rules ->> x.rule_id::text AS then
  FROM told, leadscore.explain('dice', contact, t, t) x
 WHERE NOT abs(x.points - (told.rules ->> x.rule_id::text)::float8) <= 1e-9 * greatest(1, abs(x.points)) OR told.rules ->> x.rule_id::text IS NULL
 ORDER BY 1, 2, 3;
-- the same days under the rules of now would have been something else
SELECT count(*) > 100 AS other_rules_differ FROM told WHERE abs(score - leadscore.score('dice', contact, t, leadscore.clock())) > 0.1;
SELECT * FROM leadscore.verify('dice');
SELECT leadscore.drop_model('dice');
RESET ROLE;
DROP SCHEMA rule_history CASCADE;
REVOKE SET ON PARAMETER leadscore.clock FROM regress_ls_hist_owner, regress_ls_hist_admin;
DROP ROLE regress_ls_hist_admin, regress_ls_hist_owner, regress_ls_hist_other;
