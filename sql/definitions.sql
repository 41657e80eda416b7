-- What users do with rules, stages, grades and actions as tables works on the views.
SET client_min_messages = warning;
CREATE SCHEMA definitions;
SET search_path = definitions;
SELECT set_config('leadscore.clock', '2026-03-01 12:00+00', false);
CREATE TABLE guest (id int PRIMARY KEY, city text);
CREATE TABLE stay (guest int, at timestamptz, what text);
CREATE INDEX ON stay (guest, at);
SELECT leadscore.create_model('hotel', 'guest');
SELECT leadscore.attach('hotel', 'stay', 'guest', 'at', event => 'what');
INSERT INTO guest VALUES (1, 'Ulm'), (2, 'Bonn');
INSERT INTO stay VALUES (1, '2026-02-01', 'stay'), (1, '2026-02-02', 'bar'), (2, '2026-02-03', 'stay');

-- defaults and RETURNING, several rows, the number is given whatever comes
INSERT INTO leadscore.lead_rule (model, name, event, points) VALUES ('hotel', 'stay', 'stay', 10)
	RETURNING name, category, kind, source, at_least, decay, enabled, draft, backfilled_version IS NULL AS to_be_counted;
SELECT max(rule_id) AS before FROM leadscore.lead_rule \gset
INSERT INTO leadscore.lead_rule (rule_id, model, name, event, points, enabled) VALUES
	(DEFAULT, 'hotel', 'bar', 'bar', 1, DEFAULT), (1000000, 'hotel', 'spa', 'spa', 2, NULL), (NULL, 'hotel', 'pool', 'pool', 3, false)
	RETURNING rule_id - :before AS number, name, enabled;
INSERT INTO leadscore.lead_rule (rule_id, model, name, points, condition) OVERRIDING SYSTEM VALUE
	SELECT 7, 'hotel', name || ' twice', points * 2, 'true' FROM leadscore.lead_rule WHERE name = 'bar'
	RETURNING rule_id - :before AS number, name, points;
SELECT contact_id, score FROM leadscore.score_hotel ORDER BY 1;

-- UPDATE: joined, with several rows for one (which one is not said, but once), RETURNING
CREATE TABLE new_points (name text, points float8);
INSERT INTO new_points VALUES ('bar', 5), ('spa', 6), ('stay', 100), ('stay', 100);
UPDATE leadscore.lead_rule r SET points = n.points, description = 'joined' FROM new_points n WHERE n.name = r.name RETURNING r.name, r.points, r.description;
SELECT count(*) FROM leadscore.lead_rule_history WHERE name = 'stay';
UPDATE leadscore.lead_rule r SET points = points + 1
 WHERE EXISTS (SELECT FROM leadscore.lead_rule o WHERE o.points > 50 AND o.name = r.name) RETURNING name, points;
UPDATE leadscore.lead_rule SET rule_id = rule_id + 1 WHERE name = 'bar';
UPDATE leadscore.lead_rule SET model = 'other' WHERE name = 'bar';
WITH changed AS (UPDATE leadscore.lead_rule SET points = 4 WHERE name = 'bar' RETURNING rule_id)
	SELECT count(*), (SELECT points FROM leadscore.lead_rule WHERE name = 'bar') AS as_it_was FROM changed;
SELECT contact_id, score FROM leadscore.score_hotel ORDER BY 1;
-- DELETE
DELETE FROM leadscore.lead_rule r USING new_points n WHERE n.name = r.name AND n.name <> 'stay' RETURNING r.name, n.points;
DELETE FROM leadscore.lead_rule WHERE name = 'never' RETURNING name;
SELECT name FROM leadscore.lead_rule ORDER BY 1;

-- prepared
PREPARE add_rule (text, float8) AS INSERT INTO leadscore.lead_rule (model, name, event, points) VALUES ('hotel', $1, $1, $2) RETURNING name, points;
EXECUTE add_rule ('sauna', 7);
EXECUTE add_rule ('golf', 8);
EXECUTE add_rule ('golf', 8);
PREPARE set_points (text, float8) AS UPDATE leadscore.lead_rule SET points = $2 WHERE name = $1;
EXECUTE set_points ('golf', 9);
DEALLOCATE ALL;

-- COPY
COPY leadscore.lead_rule (model, name, event, points, time_frame) FROM stdin;
hotel	copied	stay	1	30 days
hotel	copied too	bar	2	\N
\.
COPY (SELECT name, points, category, source, time_frame FROM leadscore.lead_rule WHERE name ~ 'copied' ORDER BY name) TO stdout;
COPY leadscore.lead_rule (model, name, event, points, at_least) FROM stdin;
hotel	wrong	stay	1	0
\.
COPY leadscore.lead_stage (model, stage, position, enter_at, sticky) FROM stdin;
hotel	regular	1	20	f
hotel	vip	2	200	t
\.
COPY leadscore.lead_grade FROM stdin;
hotel	engagement	A	50
hotel	engagement	B	5
\.
COPY leadscore.lead_action (action_id, model, name, occasion, stage) FROM stdin;
99999	hotel	tell	stage_entered	regular
\.
SELECT action_id < 99999 AS own_number, name, deliver, timeout, max_attempts, enabled FROM leadscore.lead_action;
-- all of it counts, once, and has its history
SELECT contact_id, score, stage, grade FROM leadscore.score_hotel ORDER BY 1;
SELECT * FROM leadscore.verify('hotel');
SELECT name, operation, versions <> '{}' AS counted FROM leadscore.lead_rule_history WHERE name ~ 'copied' ORDER BY name;

-- what looks at catalogs
SELECT a.attname, format_type(a.atttypid, a.atttypmod) AS type, a.attnotnull, pg_get_expr(d.adbin, d.adrelid) AS def,
	col_description(a.attrelid, a.attnum) <> '' AS comment
  FROM pg_attribute a LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
 WHERE a.attrelid = 'leadscore.lead_stage'::regclass AND a.attnum > 0 ORDER BY a.attnum;
SELECT table_name, is_updatable, is_trigger_insertable_into, is_trigger_updatable, is_trigger_deletable
  FROM information_schema.views
 WHERE table_schema = 'leadscore'
	AND table_name IN ('lead_model', 'lead_category', 'lead_source', 'lead_rule', 'lead_stage', 'lead_grade',
		'lead_action')
 ORDER BY 1;
SELECT column_name, column_default, data_type FROM information_schema.columns
 WHERE table_schema = 'leadscore' AND table_name = 'lead_rule' AND column_default IS NOT NULL
 ORDER BY ordinal_position;
\d leadscore.lead_grade

-- what is not there
INSERT INTO leadscore.lead_rule (model, name, event, points) VALUES ('hotel', 'golf', 'golf', 8) ON CONFLICT DO NOTHING;
INSERT INTO leadscore.lead_rule (model, name, event, points)
VALUES ('hotel', 'golf', 'golf', 8)
	ON CONFLICT (model, name) DO UPDATE SET points = EXCLUDED.points;
WITH i AS (INSERT INTO leadscore.lead_grade VALUES ('hotel', 'engagement', 'C', 1)
	ON CONFLICT (model, category, grade) DO NOTHING RETURNING grade)
SELECT * FROM i;
DO $$BEGIN INSERT INTO leadscore.lead_action (model, name, occasion) VALUES ('hotel', 'tell', 'stage_left') ON CONFLICT DO NOTHING; END$$;
INSERT INTO leadscore.lead_model (model, contacts, key) VALUES ('other', 'guest', 'id');
DELETE FROM leadscore.lead_model;
INSERT INTO leadscore.lead_category VALUES ('hotel', 'third', 3);
DELETE FROM leadscore.lead_category;
UPDATE leadscore.lead_source SET mode = 'queued';
DELETE FROM leadscore.lead_source;
UPDATE leadscore.lead_model SET max_score = 100 RETURNING model, owner = current_user::regrole AS mine, max_score;
SELECT contact_id, score FROM leadscore.score_hotel ORDER BY 1;

-- a lock would stop others
CREATE ROLE regress_ls_locker;
GRANT ALL ON SCHEMA definitions TO regress_ls_locker;
SET ROLE regress_ls_locker;
CREATE VIEW over_rules AS SELECT r.name FROM leadscore.lead_rule r;
CREATE VIEW over_that AS SELECT * FROM over_rules WHERE name IN (SELECT name FROM over_rules);
BEGIN; LOCK TABLE leadscore.lead_rule IN ACCESS EXCLUSIVE MODE; ROLLBACK;
BEGIN; LOCK TABLE leadscore.lead_grade IN SHARE MODE; ROLLBACK;
BEGIN; LOCK TABLE over_that IN EXCLUSIVE MODE; ROLLBACK;
BEGIN; LOCK TABLE leadscore_internal.lead_rule IN ACCESS SHARE MODE; ROLLBACK;
BEGIN; LOCK TABLE leadscore.lead_rule IN ACCESS SHARE MODE; ROLLBACK;
RESET ROLE;
BEGIN; LOCK TABLE leadscore.lead_rule IN ACCESS EXCLUSIVE MODE; SELECT mode FROM pg_locks WHERE relation = 'leadscore_internal.lead_rule'::regclass; ROLLBACK;
DROP OWNED BY regress_ls_locker;
DROP ROLE regress_ls_locker;

-- a statement that fails leaves nothing behind for the next
DO $$
BEGIN
	INSERT INTO leadscore.lead_rule (model, name, event, points) VALUES ('hotel', 'one', 'stay', 1), ('hotel', 'one', 'stay', 1);
EXCEPTION WHEN unique_violation THEN
	RAISE WARNING 'refused';
END$$;
UPDATE leadscore.lead_rule SET description = 'x' WHERE name = 'golf';
SELECT count(*) FROM leadscore.lead_rule_history WHERE name = 'one';

-- in one transaction with the end of it all
BEGIN;
INSERT INTO leadscore.lead_stage (model, stage, position, enter_at) VALUES ('hotel', 'last', 9, 1000);
UPDATE leadscore.lead_rule SET points = points + 1;
DROP TABLE guest CASCADE;
DROP EXTENSION leadscore CASCADE;
SELECT to_regclass('stay') IS NOT NULL AS stay;
ROLLBACK;

SELECT leadscore.drop_model('hotel');
SELECT count(*) FROM leadscore.lead_rule;
DROP SCHEMA definitions CASCADE;
