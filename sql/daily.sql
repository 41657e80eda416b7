-- Days: what is written at a model's midnights, compared with what score() and
-- explain() say of these instants and with the history of stages.
SET timezone = 'UTC';
SET datestyle = 'ISO';
SET extra_float_digits = 0;
\pset null -
SET client_min_messages = warning;
CREATE SCHEMA daily;
SET search_path = daily;
CREATE TABLE contact (id int PRIMARY KEY, title text, created_at timestamptz);
CREATE TABLE event (contact int, what text, at timestamptz, points float8);
CREATE INDEX ON event (contact, at);

-- New York's clocks go forward on 2026-03-08, India's never do; a model of
-- India knows nothing of when contacts were made
SET leadscore.clock = '2026-03-06 12:00+00';
SELECT leadscore.create_model('east', 'contact', created_at => 'created_at', time_zone => 'America/New_York');
SELECT leadscore.create_model('india', 'contact', time_zone => 'Asia/Kolkata');
SELECT leadscore.attach(model, 'event', 'contact', 'at', event => 'what') FROM unnest('{east,india}'::text[]) model;
INSERT INTO leadscore.lead_rule (model, name, event, points, weight, decay, decay_interval)
	SELECT model, 'cooling', 'hot', 1, 'points', 'half_life', interval '1 day' FROM unnest('{east,india}'::text[]) model;
INSERT INTO leadscore.lead_rule (model, name, event, points, weight)
	SELECT model, 'kept', 'kept', 1, 'points' FROM unnest('{east,india}'::text[]) model;
INSERT INTO leadscore.lead_rule (model, name, kind, condition, points)
	SELECT model, 'chief', 'profile', 'title = ''chief''', 20 FROM unnest('{east,india}'::text[]) model;
INSERT INTO leadscore.lead_rule (model, name, event, points, disqualifies)
	SELECT model, 'spam', 'spam', -5, true FROM unnest('{east,india}'::text[]) model;
INSERT INTO leadscore.lead_rule (model, name, event, points, time_frame, at_least, decay, decay_interval, decay_keep)
	VALUES ('india', 'again', 'kept', 7, '3 days', 2, 'step', '1 day', 0.5);
INSERT INTO leadscore.lead_rule (model, name, kind, points, idle, max_points, award) VALUES ('india', 'silent', 'absence', -1, '2 days', 4, 'each');
INSERT INTO leadscore.lead_grade (model, category, grade, min_points)
	SELECT model, category, grade, min_points
	  FROM unnest('{east,india}'::text[]) model,
		   (VALUES ('fit', 'A', 20), ('fit', 'B', 0), ('engagement', '1', 60), ('engagement', '2', 10)) g (category, grade, min_points);
INSERT INTO leadscore.lead_stage (model, stage, position, enter_at, leave_below, sticky)
	SELECT model, stage, position, enter_at, leave_below, sticky
	  FROM unnest('{east,india}'::text[]) model,
		   (VALUES ('mql', 1, 30, 25, false), ('sql', 2, 80, 60, false), ('customer', 3, 200, NULL, true)) s (stage, position, enter_at, leave_below, sticky);

-- of a model and a day: what stood there when it ended
CREATE FUNCTION stood(model text, day date) RETURNS TABLE (contact_id int, score float8, fit float8, engagement float8, grade text, stage text)
	LANGUAGE plpgsql AS $$
DECLARE
	midnight timestamptz;
BEGIN
	SELECT (stood.day + 1)::timestamp AT TIME ZONE m.time_zone INTO midnight FROM leadscore.lead_model m WHERE m.model = stood.model;
	RETURN QUERY EXECUTE format($sql$
		SELECT s.contact_id, leadscore.score(%1$L, s.contact_id, $1), p.fit, p.engagement,
			   nullif(concat((SELECT g.grade FROM leadscore.lead_grade g WHERE g.model = %1$L AND category = 'fit' AND min_points <= p.fit
							   ORDER BY min_points DESC LIMIT 1),
							 (SELECT g.grade FROM leadscore.lead_grade g WHERE g.model = %1$L AND category = 'engagement' AND min_points <= p.engagement
							   ORDER BY min_points DESC LIMIT 1)), ''),
			   coalesce((SELECT to_stage FROM leadscore.history_%1$I h WHERE h.contact_id = s.contact_id AND changed_at < $1
						  ORDER BY changed_at DESC LIMIT 1),
						(SELECT from_stage FROM leadscore.history_%1$I h WHERE h.contact_id = s.contact_id AND changed_at >= $1
						  ORDER BY changed_at LIMIT 1),
						s.stage)
		  FROM leadscore.score_%1$I s LEFT JOIN contact c ON c.id = s.contact_id,
			   LATERAL (SELECT coalesce(sum(points) FILTER (WHERE category = 'fit'), 0) AS fit,
							   coalesce(sum(points) FILTER (WHERE category = 'engagement'), 0) AS engagement
						  FROM leadscore.explain(%1$L, s.contact_id, $1)) p
		 WHERE EXISTS (SELECT FROM event e WHERE e.contact = s.contact_id AND at < $1)
			OR (c.id IS NOT NULL AND CASE WHEN %1$L = 'east' AND c.created_at IS NOT NULL THEN c.created_at < $1
										  ELSE s.stage_since < $1
											OR EXISTS (SELECT FROM leadscore.history_%1$I h WHERE h.contact_id = s.contact_id) END)$sql$, model)
		USING midnight;
END $$;
CREATE FUNCTION moved(model text, day date) RETURNS TABLE (contact_id int, stage text, entered int, "left" int)
	LANGUAGE sql AS $$
	SELECT contact::int, v.stage, v.entered, v."left"
	  FROM leadscore.lead_model m
	  JOIN leadscore.lead_stage_history h USING (model),
		LATERAL (VALUES (to_stage, 1, 0), (from_stage, 0, 1)) v (stage, entered, "left")
	 WHERE m.model = moved.model
	   AND changed_at >= day::timestamp AT TIME ZONE time_zone AND changed_at < (day + 1)::timestamp AT TIME ZONE time_zone
$$;
-- what differs from what was written
CREATE FUNCTION wrong(model text, days date[]) RETURNS TABLE (day date, what text)
	LANGUAGE plpgsql AS $$
BEGIN
	RETURN QUERY EXECUTE format($sql$
		WITH stood AS MATERIALIZED (SELECT d.day, s.* FROM unnest($1) AS d (day), stood(%1$L, d.day) s),
			funnel AS (
				SELECT day, stage, grade, sum(contacts) AS contacts, sum(entered) AS entered, sum("left") AS "left",
					round(sum(score_sum)::numeric, 6) AS score_sum
				  FROM (SELECT s.day, s.stage, s.grade, 1, 0, 0, s.score FROM stood s
						UNION ALL
						SELECT s.day, m.stage, s.grade, 0, m.entered, m."left", 0 FROM stood s, moved(%1$L, s.day) m WHERE m.contact_id = s.contact_id)
					   x (day, stage, grade, contacts, entered, "left", score_sum)
				 GROUP BY 1, 2, 3)
		(SELECT day, 'to be written: ' || funnel::text FROM funnel EXCEPT
		 SELECT day, 'to be written: ' || (day, stage, grade, contacts, entered, "left", round(score_sum::numeric, 6))::text FROM leadscore.funnel_daily_%1$I)
		UNION ALL
		(SELECT day, 'written: ' || (day, stage, grade, contacts, entered, "left", round(score_sum::numeric, 6))::text
		   FROM leadscore.funnel_daily_%1$I WHERE day = ANY ($1) EXCEPT
		 SELECT day, 'written: ' || funnel::text FROM funnel)$sql$, model)
		USING days;
	IF to_regclass('leadscore.daily_' || model) IS NOT NULL THEN
		RETURN QUERY EXECUTE format($sql$
			WITH stood AS (SELECT d.day, s.contact_id, round(s.score::numeric, 6), round(s.fit::numeric, 6), round(s.engagement::numeric, 6), s.grade, s.stage
							 FROM unnest($1) AS d (day), stood(%1$L, d.day) s),
				daily AS (SELECT day, contact_id, round(score::numeric, 6), round(fit::numeric, 6), round(engagement::numeric, 6), grade, stage
							FROM leadscore.daily_%1$I WHERE day = ANY ($1))
			(SELECT day, 'to be kept: ' || stood::text FROM stood EXCEPT SELECT day, 'to be kept: ' || daily::text FROM daily)
			UNION ALL
			(SELECT day, 'kept: ' || daily::text FROM daily EXCEPT SELECT day, 'kept: ' || stood::text FROM stood)$sql$, model)
			USING days;
	END IF;
END $$;
CREATE VIEW east AS SELECT day, stage, grade, contacts, entered, "left", round(score_sum::numeric, 4) AS score_sum
  FROM leadscore.funnel_daily_east ORDER BY day, stage, grade;
CREATE VIEW india AS SELECT day, stage, grade, contacts, entered, "left", round(score_sum::numeric, 4) AS score_sum
  FROM leadscore.funnel_daily_india ORDER BY day, stage, grade;

--
-- nothing has ended yet
--
SELECT * FROM leadscore.lead_day ORDER BY model;
SELECT leadscore.write_days('east'), leadscore.write_days('india');
INSERT INTO contact VALUES (1, 'chief', '2026-01-01'), (2, NULL, '2026-01-01'), (3, NULL, '2026-03-07 05:00+00'), (4, NULL, NULL);
INSERT INTO event VALUES (1, 'hot', '2026-03-06 10:00+00', 64), (2, 'kept', '2026-03-06 11:00+00', 40), (5, 'kept', '2026-03-06 11:30+00', 12);
SET leadscore.clock = '2026-03-06 18:29:59+00';
SELECT leadscore.write_days('india');
-- midnight in India; events up to it count
SET leadscore.clock = '2026-03-06 18:30+00';
SELECT leadscore.write_days('india'), leadscore.write_days('india'), leadscore.write_days('east');
SELECT * FROM india;
SELECT * FROM wrong('india', '{2026-03-06}');

--
-- what happens after a midnight is not of the day before
--
SET leadscore.clock = '2026-03-07 04:00+00';
INSERT INTO event VALUES (2, 'hot', '2026-03-07 04:00+00', 50);
-- dated later: counts on the next day
INSERT INTO event VALUES (4, 'kept', '2026-03-07 20:00+00', 35);
SET leadscore.clock = '2026-03-07 06:00+00';
INSERT INTO event VALUES (1, 'hot', '2026-03-07 05:30+00', 100), (3, 'kept', '2026-03-07 05:30+00', 31);
UPDATE contact SET title = 'chief' WHERE id = 4;
SELECT leadscore.write_days('east');
SELECT * FROM east;
SELECT * FROM wrong('east', '{2026-03-06}');

--
-- every contact on request; the score rows are not touched by that
--
CREATE TABLE version AS SELECT rules_version FROM leadscore.lead_model WHERE model = 'east';
UPDATE leadscore.lead_model SET daily = true WHERE model = 'east';
SELECT v.rules_version = m.rules_version AS same FROM version v, leadscore.lead_model m WHERE model = 'east';
SELECT count(*) FROM leadscore.daily_east;
-- clocks go forward: the 8th has 23 hours
SET leadscore.clock = '2026-03-09 03:59:59+00';
SELECT leadscore.write_days('east');
SET leadscore.clock = '2026-03-09 04:00+00';
INSERT INTO event VALUES (6, 'spam', '2026-03-08 22:00+00', 0), (1, 'kept', '2026-03-08 23:00+00', 250);
SELECT leadscore.write_days('east');
SELECT * FROM wrong('east', '{2026-03-08}');
SELECT * FROM east WHERE day > '2026-03-06';
SELECT day, contact_id, round(score::numeric, 4) AS score, fit, round(engagement::numeric, 4) AS engagement, grade,
	stage
  FROM leadscore.daily_east ORDER BY 1, 2;
-- that day began at 05:00 and ended at 04:00
SELECT count(*) FROM leadscore.daily_east d WHERE day = '2026-03-08'
	AND score IS DISTINCT FROM leadscore.score('east', contact_id, '2026-03-09 04:00+00');

--
-- missed days are written in order, each as it was; a late event does not change
-- what is written
--
SELECT * FROM leadscore.lead_day ORDER BY model;
SET leadscore.clock = '2026-03-30 12:00+00';
INSERT INTO event SELECT 1 + n % 7, (ARRAY['hot', 'kept', 'other'])[1 + n % 3], timestamptz '2026-03-09 05:00+00' + n * interval '7 hours', n % 11 * 5
	FROM generate_series(0, 70) n;
INSERT INTO event VALUES (8, 'kept', '2026-03-20 00:00+00', 33);
DELETE FROM event WHERE contact = 6 AND what = 'spam';
SELECT leadscore.write_days('east'), leadscore.write_days('india'), leadscore.write_days('india');
SELECT * FROM wrong('east', (SELECT array_agg(d::date) FROM generate_series(date '2026-03-09', '2026-03-29', '1 day') d));
SELECT * FROM wrong('india', (SELECT array_agg(d::date) FROM generate_series(date '2026-03-07', '2026-03-29', '1 day') d));
SELECT min(day), max(day), count(DISTINCT day), sum(contacts), sum(entered) AS entered, sum("left") AS "left" FROM leadscore.funnel_daily_east;
SELECT min(day), max(day), count(DISTINCT day), count(*) FROM leadscore.daily_east;
CREATE TABLE before AS SELECT * FROM leadscore.daily_east;
INSERT INTO event VALUES (2, 'kept', '2026-03-10 12:00+00', 1000);
-- nor does a contact that goes
DELETE FROM contact WHERE id = 4;
DELETE FROM event WHERE contact = 4;
SELECT leadscore.write_days('east');
SELECT count(*) FROM (SELECT * FROM leadscore.daily_east EXCEPT SELECT * FROM before) x;
SELECT * FROM leadscore.verify('east');
SELECT * FROM leadscore.verify('india');

--
-- partitions by month
--
SET leadscore.clock = '2026-05-02 12:00+00';
SELECT leadscore.write_days('east');
SELECT * FROM wrong('east', (SELECT array_agg(d::date) FROM generate_series(date '2026-03-30', '2026-05-01', '1 day') d));
SELECT c.oid::regclass AS partition, pg_get_expr(relpartbound, c.oid) AS of, obj_description(c.oid, 'pg_class') AS comment
  FROM pg_inherits JOIN pg_class c ON c.oid = inhrelid WHERE inhparent = 'leadscore.daily_east'::regclass ORDER BY 1;
SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint
 WHERE conrelid IN ('leadscore.daily_east'::regclass, 'leadscore.funnel_daily_east'::regclass)
	AND contype IN ('p', 'u')
 ORDER BY 1;
-- another model may have the name of one: then it gets the next
SELECT leadscore.create_model('east_202606', 'contact');
UPDATE leadscore.lead_model SET daily = true WHERE model = 'east_202606';
SET leadscore.clock = '2026-06-02 12:00+00';
SELECT leadscore.write_days('east');
SELECT inhrelid::regclass FROM pg_inherits WHERE inhparent = 'leadscore.daily_east'::regclass ORDER BY 1;
SELECT leadscore.create_model('east_202605', 'contact');
SELECT leadscore.drop_model('east_202606');
SET leadscore.clock = '2026-06-03 12:00+00';
SELECT leadscore.write_days('east');
-- switched off, the table stays as it is
UPDATE leadscore.lead_model SET daily = false WHERE model = 'east';
SET leadscore.clock = '2026-06-04 12:00+00';
SELECT leadscore.write_days('east');
SELECT (SELECT max(day) FROM leadscore.daily_east) AS kept, (SELECT max(day) FROM leadscore.funnel_daily_east) AS written;

--
-- days too long ago are left out; a model that is not enabled waits
--
UPDATE leadscore.lead_model SET enabled = false WHERE model = 'india';
SET leadscore.clock = '2028-01-01 00:00+00';
SELECT leadscore.write_days('india');
UPDATE leadscore.lead_model SET enabled = true WHERE model = 'india';
SELECT leadscore.write_days('india');
SELECT min(day), max(day), count(DISTINCT day) FROM leadscore.funnel_daily_india WHERE day > '2026-04-01';
SELECT * FROM wrong('india', '{2026-11-27,2027-02-01,2027-12-31}');
-- a clock that is set back waits until it comes to what is not written
SET leadscore.clock = '2027-01-01 00:00+00';
SELECT leadscore.write_days('india');

--
-- where clocks skip midnight, a day begins at the first instant there is
--
SET leadscore.clock = '2018-11-03 12:00+00';
SELECT leadscore.create_model('brazil', 'contact', time_zone => 'America/Sao_Paulo');
SET leadscore.clock = '2018-11-04 02:59:59+00';
SELECT leadscore.write_days('brazil');
SET leadscore.clock = '2018-11-04 03:00+00';
SELECT leadscore.write_days('brazil');
SET leadscore.clock = '2018-11-05 01:59:59+00';
SELECT leadscore.write_days('brazil');
SET leadscore.clock = '2018-11-05 02:00+00';
SELECT leadscore.write_days('brazil');
SELECT * FROM leadscore.funnel_daily_brazil ORDER BY day;

--
-- nothing there: the day is over all the same
--
CREATE TABLE nobody (id text COLLATE "C" PRIMARY KEY);
SET leadscore.clock = '2026-03-06 12:00+00';
SELECT leadscore.create_model('nobody', 'nobody');
SET leadscore.clock = '2026-03-08 12:00+00';
SELECT leadscore.write_days('nobody');
SELECT count(*) FROM leadscore.funnel_daily_nobody;
SELECT written_to FROM leadscore.lead_day WHERE model = 'nobody';
-- the key may become another type, and be one that has no arrays
INSERT INTO nobody VALUES ('{1,2}'), ('{3}');
UPDATE leadscore.lead_model SET daily = true WHERE model = 'nobody';
SET leadscore.clock = '2026-03-09 12:00+00';
SELECT leadscore.write_days('nobody');
SELECT day, contact_id, score, grade, stage FROM leadscore.daily_nobody ORDER BY 1, 2;
ALTER TABLE nobody ALTER id TYPE int[] USING id::int[];
SELECT format_type(atttypid, atttypmod), col_description(attrelid, attnum) FROM pg_attribute
 WHERE attrelid = 'leadscore.daily_nobody'::regclass AND attname = 'contact_id';
SET leadscore.clock = '2026-03-10 12:00+00';
SELECT leadscore.write_days('nobody');
SELECT day, contact_id, score, grade, stage FROM leadscore.daily_nobody ORDER BY 1, 2;
-- lost tables are made again
DROP TABLE leadscore.daily_nobody, leadscore.funnel_daily_nobody;
SET leadscore.clock = '2026-03-11 12:00+00';
SELECT leadscore.write_days('nobody');
SELECT * FROM leadscore.daily_nobody ORDER BY 1, 2;
SELECT * FROM leadscore.funnel_daily_nobody;
-- a model without a row is being restored: the row is in the dump, and nobody else makes it
DELETE FROM leadscore.lead_day WHERE model = 'nobody';
SELECT leadscore.write_days('nobody'), leadscore.write_days('nobody');
SELECT written_to FROM leadscore.lead_day WHERE model = 'nobody';
-- a category of the name of a column
SELECT leadscore.create_model('clash', 'contact', categories => '{day}');
UPDATE leadscore.lead_model SET daily = true WHERE model = 'clash';
-- the longest name
SET leadscore.clock = '2026-03-06 12:00+00';
SELECT leadscore.create_model(rpad('long', 41, '_name'), 'contact');
UPDATE leadscore.lead_model SET daily = true WHERE model LIKE 'long%';
SET leadscore.clock = '2026-03-07 12:00+00';
SELECT leadscore.write_days(rpad('long', 41, '_name'));
SELECT relname FROM pg_class WHERE relnamespace = 'leadscore'::regnamespace AND relname LIKE '%daily%long%' ORDER BY 1;

--
-- rights
--
CREATE ROLE daily_owner;
CREATE ROLE daily_reader;
GRANT USAGE, CREATE ON SCHEMA daily TO daily_owner;
GRANT USAGE ON SCHEMA leadscore TO daily_owner, daily_reader;
SET leadscore.clock = '2026-03-06 12:00+00';
SET ROLE daily_owner;
CREATE TABLE owned (id int PRIMARY KEY);
SELECT leadscore.create_model('owned', 'owned');
UPDATE leadscore.lead_model SET daily = true WHERE model = 'owned';
INSERT INTO owned VALUES (1);
RESET ROLE;
SET leadscore.clock = '2026-03-07 12:00+00';
SET ROLE daily_owner;
SELECT leadscore.write_days('owned');
SELECT * FROM leadscore.daily_owned;
GRANT SELECT ON leadscore.funnel_daily_owned TO daily_reader;
INSERT INTO leadscore.funnel_daily_owned SELECT * FROM leadscore.funnel_daily_owned;
DELETE FROM leadscore.daily_owned;
UPDATE leadscore.lead_day SET written_to = '2020-01-01';
SELECT * FROM leadscore.lead_day;
SET ROLE daily_reader;
SELECT * FROM leadscore.funnel_daily_owned;
SELECT * FROM leadscore.daily_owned;
SELECT leadscore.write_days('owned');
SELECT * FROM leadscore.lead_day;
RESET ROLE;
CREATE ROLE daily_other;
GRANT USAGE, CREATE ON SCHEMA daily TO daily_other;
GRANT USAGE ON SCHEMA leadscore TO daily_other;
ALTER TABLE owned OWNER TO daily_other;
SET ROLE daily_other;
SELECT count(*) FROM leadscore.daily_owned;
SELECT count(*) FROM leadscore.funnel_daily_owned;
RESET ROLE;
SELECT relname FROM pg_class WHERE relnamespace = 'leadscore'::regnamespace AND relname LIKE '%daily\_owned%'
	AND relowner <> 'daily_other'::regrole;
SELECT relname, array_agg(privilege_type || ' ' || grantee::regrole || ' ' || is_grantable ORDER BY grantee::regrole::text, privilege_type)
  FROM pg_class c, aclexplode(relacl)
 WHERE relnamespace = 'leadscore'::regnamespace AND relname LIKE '%daily_owned' AND grantee <> relowner GROUP BY 1
 ORDER BY 1;

SELECT leadscore.write_days(NULL);
SELECT leadscore.write_days('nowhere');

--
-- the end
--
DROP VIEW east, india;
SELECT count(leadscore.drop_model(model)::text) FROM leadscore.lead_model;
SELECT relname FROM pg_class WHERE relnamespace = 'leadscore'::regnamespace AND relname LIKE '%daily%';
SELECT * FROM leadscore.lead_day;
DROP SCHEMA daily CASCADE;
DROP OWNED BY daily_owner, daily_reader, daily_other;
DROP ROLE daily_owner, daily_reader, daily_other;
