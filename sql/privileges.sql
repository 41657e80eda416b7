-- Who may do what, whose code is run, and who sees it.
SET timezone = 'UTC';
SET datestyle = 'ISO';
SET extra_float_digits = 0;
\pset null -
\set SHOW_CONTEXT never
SET leadscore.clock = '2026-03-02 00:00+00';
SET client_min_messages = warning;
CREATE ROLE regress_ls_owner;
CREATE ROLE regress_ls_member IN ROLE regress_ls_owner;
CREATE ROLE regress_ls_writer;
CREATE ROLE regress_ls_reader;
CREATE ROLE regress_ls_other;
CREATE SCHEMA crm;
GRANT USAGE ON SCHEMA crm TO PUBLIC;
GRANT CREATE ON SCHEMA crm TO regress_ls_owner, regress_ls_other;
CREATE SCHEMA evil AUTHORIZATION regress_ls_writer;
SET search_path = crm;

SET ROLE regress_ls_owner;
CREATE TABLE contact (id int PRIMARY KEY, title text);
CREATE TABLE event (id int GENERATED ALWAYS AS IDENTITY, contact int, what text, at timestamptz, amount numeric);
CREATE INDEX ON event (contact, at);
INSERT INTO contact VALUES (1, 'CTO'), (2, 'clerk');
SELECT leadscore.create_model('crm', 'contact');
SELECT leadscore.attach('crm', 'event', 'contact', 'at', event => 'what');
-- a function that shows as whom it is run, if it lies about being immutable
CREATE FUNCTION whoami(numeric) RETURNS bool LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
	IF current_user <> 'regress_ls_owner' OR current_setting('search_path') NOT LIKE 'pg\_catalog, pg\_temp' THEN
		RAISE EXCEPTION 'run as %, with path %', current_user, current_setting('search_path');
	END IF;
	RETURN $1 > 5;
END $$;
INSERT INTO leadscore.lead_rule (model, name, event, condition, points) VALUES ('crm', 'big', 'buy', 'crm.whoami(amount)', 10);
INSERT INTO leadscore.lead_rule (model, name, event, condition, points, weight)
VALUES ('crm', 'amount', 'buy', 'lower(what) = ''buy'' AND amount > 0', 1, 'amount + 1');
INSERT INTO leadscore.lead_rule (model, name, kind, condition, points) VALUES ('crm', 'title', 'profile', 'title LIKE ''C%''', 100);
INSERT INTO leadscore.lead_stage (model, stage, position, enter_at, condition) VALUES ('crm', 'hot', 1, 100, 'title <> ''clerk''');
GRANT INSERT ON event TO regress_ls_writer;
RESET ROLE;

--
-- a writer of events writes events, and sees nothing
--
SET ROLE regress_ls_writer;
INSERT INTO event (contact, what, at, amount) VALUES (1, 'buy', '2026-03-01', 7);
COPY event (contact, what, at, amount) FROM stdin;
2	buy	2026-03-01 00:00+00	1
3	buy	2026-03-01 00:00+00	10
\.
SELECT * FROM event;
SELECT * FROM leadscore.score_crm;
SELECT * FROM leadscore.live_crm;
SELECT * FROM leadscore.history_crm;
SELECT leadscore.score('crm', 1);
SELECT leadscore.replay('crm', 1);
SELECT * FROM leadscore.explain('crm', 1);
SELECT * FROM leadscore.verify('crm');
SELECT leadscore_internal.live(NULL::leadscore.score_crm, 'leadscore.score_crm'::regclass, '(0,1)', now());
SELECT leadscore.refresh('crm');
SELECT leadscore.rescore('crm');
-- of what others describe it sees nothing
SELECT (SELECT count(*) FROM leadscore.lead_model) AS models, (SELECT count(*) FROM leadscore.lead_rule) AS rules,
	(SELECT count(*) FROM leadscore.lead_source) AS sources, (SELECT count(*) FROM leadscore.lead_category) AS categories,
	(SELECT count(*) FROM leadscore.lead_stage) AS stages, (SELECT count(*) FROM leadscore.lead_grade) AS grades,
	(SELECT count(*) FROM leadscore.lead_stage_history) AS history, (SELECT count(*) FROM leadscore.rule_errors) AS errors,
	(SELECT count(*) FROM leadscore.lead_relation) AS relations;
SELECT leadscore.refresh();
-- nor does it manage anything
SELECT leadscore.attach('crm', 'event', 'contact', 'at', source => 'mine');
SELECT leadscore.detach('crm', 'event');
SELECT leadscore.drop_model('crm');
SELECT leadscore.detach_all();
SELECT leadscore.create_model('mine', 'contact');
INSERT INTO leadscore.lead_rule (model, name, points) VALUES ('crm', 'mine', 1000);
UPDATE leadscore.lead_rule SET points = 1000;
DELETE FROM leadscore.lead_rule;
UPDATE leadscore.lead_rule SET points = 1000 WHERE model = 'crm';
INSERT INTO leadscore.lead_stage (model, stage, position, enter_at) VALUES ('crm', 'mine', 5, 0);
INSERT INTO leadscore.lead_grade (model, category, grade, min_points) VALUES ('crm', 'fit', 'A', 0);
UPDATE leadscore.lead_model SET max_drift = 100;
UPDATE leadscore.lead_category SET weight = 100;
UPDATE leadscore.lead_model SET owner = 'regress_ls_writer';
INSERT INTO leadscore.lead_source VALUES ('crm', 'mine', 'event', 'contact', 'at');
INSERT INTO leadscore.lead_stage_history VALUES ('crm', '1', 'a', 'b', 0, now(), now(), 'event');
DELETE FROM leadscore.lead_stage_history;
INSERT INTO leadscore.lead_rule_error VALUES ('crm', 1, 'x', now(), 1, 'x', 'x', 'x');
TRUNCATE leadscore.lead_rule;
INSERT INTO leadscore.score_crm SELECT * FROM leadscore.score_crm;
DELETE FROM leadscore.score_crm;
SET leadscore.clock = '2020-01-01';
CREATE TABLE evil.bait (contact int, at timestamptz);
CREATE TRIGGER bait AFTER INSERT ON evil.bait EXECUTE FUNCTION leadscore_internal.capture();
CREATE TRIGGER bait BEFORE INSERT ON evil.bait EXECUTE FUNCTION leadscore_internal.enter();
SELECT nextval('leadscore_internal.version_seq');
CREATE TABLE leadscore.bait ();
RESET ROLE;

--
-- operators and functions of a writer are never run
--
SET ROLE regress_ls_writer;
SET search_path = evil, pg_catalog, crm;
CREATE FUNCTION evil.trap(numeric, int) RETURNS bool LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'trapped'; END $$;
CREATE FUNCTION evil.trap(int, int) RETURNS bool LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'trapped'; END $$;
CREATE FUNCTION evil.trap(text, text) RETURNS bool LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'trapped'; END $$;
CREATE FUNCTION evil.trap(oid, oid) RETURNS bool LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'trapped'; END $$;
CREATE FUNCTION evil.lower(text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'trapped'; END $$;
CREATE FUNCTION evil.whoami(numeric) RETURNS bool LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'trapped'; END $$;
CREATE FUNCTION evil.clock() RETURNS timestamptz LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'trapped'; END $$;
CREATE OPERATOR evil.> (LEFTARG = numeric, RIGHTARG = int, FUNCTION = evil.trap);
CREATE OPERATOR evil.+ (LEFTARG = numeric, RIGHTARG = int, FUNCTION = evil.trap);
CREATE OPERATOR evil.= (LEFTARG = int, RIGHTARG = int, FUNCTION = evil.trap);
CREATE OPERATOR evil.= (LEFTARG = text, RIGHTARG = text, FUNCTION = evil.trap);
CREATE OPERATOR evil.<> (LEFTARG = text, RIGHTARG = text, FUNCTION = evil.trap);
CREATE OPERATOR evil.= (LEFTARG = oid, RIGHTARG = oid, FUNCTION = evil.trap);
CREATE OPERATOR evil.~~ (LEFTARG = text, RIGHTARG = text, FUNCTION = evil.trap);
CREATE TABLE evil.event (contact int, what text, at timestamptz, amount numeric);
CREATE TABLE evil.lead_rule (x int);
CREATE DOMAIN evil.float8 AS text;
INSERT INTO crm.event (contact, what, at, amount) VALUES (1, 'buy', '2026-03-01', 3), (4, 'buy', '2026-03-01', 8);
CREATE TEMP TABLE event (contact int, what text, at timestamptz, amount numeric);
INSERT INTO crm.event (contact, what, at, amount) VALUES (4, 'buy', '2026-03-01', 1);
CREATE TABLE evil.another (id int);
DROP TABLE evil.another;
RESET ROLE;
GRANT INSERT, UPDATE, DELETE, SELECT ON crm.contact TO regress_ls_writer;
GRANT UPDATE, DELETE, SELECT ON crm.event TO regress_ls_writer;
SET ROLE regress_ls_writer;
INSERT INTO crm.contact VALUES (5, 'CEO');
UPDATE crm.contact SET title = 'clerk' WHERE id OPERATOR(pg_catalog.=) 5;
DELETE FROM crm.contact WHERE id OPERATOR(pg_catalog.=) 5;
UPDATE crm.event SET at = at WHERE contact OPERATOR(pg_catalog.=) 4;
UPDATE crm.event SET amount = 4 WHERE contact OPERATOR(pg_catalog.=) 1;
DELETE FROM crm.event WHERE contact OPERATOR(pg_catalog.=) 4 AND amount OPERATOR(pg_catalog.=) 1::numeric;
DROP TABLE pg_temp.event;
-- 1: 100 + 5 + 5; 2: 2; 3: 10 + 11; 4: 10 + 9
RESET ROLE;
SET ROLE regress_ls_owner;
SET search_path = evil, pg_catalog, crm;
SELECT contact_id, score, leadscore.replay('crm', contact_id), stage FROM leadscore.score_crm ORDER BY contact_id;
SELECT contact_id, score FROM leadscore.live_crm ORDER BY contact_id;
-- nor when the owner's path leads there while a rule is written or counted
UPDATE leadscore.lead_rule SET condition = 'amount > 1', weight = 'amount + 2' WHERE name OPERATOR(pg_catalog.=) 'amount'::pg_catalog.text;
INSERT INTO leadscore.lead_rule (model, name, kind, condition, points) VALUES ('crm', 'also', 'profile', 'title = ''clerk'' AND id > 1', 0.5);
INSERT INTO leadscore.lead_rule (model, name, event, condition, points) VALUES ('crm', 'unqualified name', 'buy', 'whoami(amount)', 1);
SELECT leadscore.rescore('crm'), leadscore.refresh('crm');
SELECT contact_id, score, leadscore.replay('crm', contact_id), stage FROM leadscore.score_crm ORDER BY contact_id;
SELECT * FROM leadscore.verify('crm');
RESET ROLE;
SET search_path = crm;

--
-- scores are read with a grant, and then with all functions
--
SET ROLE regress_ls_owner;
GRANT SELECT ON leadscore.score_crm TO regress_ls_reader;
SET ROLE regress_ls_reader;
SELECT contact_id, score FROM leadscore.score_crm WHERE contact_id = 1;
SELECT leadscore.score('crm', 1), leadscore.score('crm', 1, '2026-02-01'), leadscore.replay('crm', 1);
SELECT name, points FROM leadscore.explain('crm', 1) ORDER BY points DESC;
SELECT count(*) FROM leadscore.verify('crm');
SELECT contact_id, score FROM leadscore.live_crm;
SELECT * FROM leadscore.history_crm;
SELECT * FROM event;
SELECT count(*) FROM leadscore.lead_rule;
SELECT leadscore.rescore('crm');
UPDATE leadscore.score_crm SET score = 1;
RESET ROLE;
SET ROLE regress_ls_owner;
-- functions do not show what a policy hides
CREATE POLICY one ON leadscore.score_crm USING (contact_id = 1);
ALTER TABLE leadscore.score_crm ENABLE ROW LEVEL SECURITY;
SET ROLE regress_ls_reader;
SELECT count(*) FROM leadscore.score_crm;
SELECT leadscore.score('crm', 2);
SELECT * FROM leadscore.top('crm');
SELECT count(*) FROM leadscore.explain('crm', 2);
SELECT count(*) FROM leadscore.what_if('crm');
SET ROLE regress_ls_owner;
ALTER TABLE leadscore.score_crm FORCE ROW LEVEL SECURITY;
SELECT leadscore.score('crm', 2) IS NOT NULL AS owner_may;
GRANT SELECT ON leadscore.live_crm TO regress_ls_reader;
SET ROLE regress_ls_reader;
SELECT count(*) AS of_live FROM leadscore.top('crm', 1);
SET ROLE regress_ls_owner;
REVOKE SELECT ON leadscore.live_crm FROM regress_ls_reader;
DROP POLICY one ON leadscore.score_crm;
ALTER TABLE leadscore.score_crm NO FORCE ROW LEVEL SECURITY;
ALTER TABLE leadscore.score_crm DISABLE ROW LEVEL SECURITY;
REVOKE SELECT ON leadscore.score_crm FROM regress_ls_reader;
GRANT SELECT ON leadscore.live_crm, leadscore.history_crm TO regress_ls_reader;
SET ROLE regress_ls_reader;
SELECT contact_id, score FROM leadscore.live_crm WHERE contact_id = 1;
SELECT contact_id, to_stage FROM leadscore.history_crm;
SELECT leadscore.score('crm', 1);
SELECT contact_id, score FROM leadscore.score_crm WHERE contact_id = 1;
RESET ROLE;

--
-- the owner and its members manage the model, and only what is theirs
--
SET ROLE regress_ls_member;
UPDATE leadscore.lead_rule SET points = 2 WHERE name = 'amount';
SELECT name, points FROM leadscore.lead_rule ORDER BY name;
DELETE FROM leadscore.lead_rule WHERE name = 'also';
SELECT contact_id, score FROM leadscore.score_crm ORDER BY contact_id;
DELETE FROM leadscore.score_crm;
UPDATE leadscore.score_crm SET score = 0;
DROP TABLE leadscore.score_crm;
UPDATE leadscore.lead_model SET owner = 'regress_ls_member';
UPDATE leadscore.lead_model SET rules_version = 1;
INSERT INTO leadscore.lead_rule (model, name, points, backfilled_version) VALUES ('crm', 'forged', 1, 1);
SELECT name, backfilled_version > 1 AS counted FROM leadscore.lead_rule WHERE name = 'forged';
DELETE FROM leadscore.lead_rule WHERE name = 'forged';
RESET ROLE;
SET ROLE regress_ls_other;
CREATE TABLE lead (id int PRIMARY KEY);
SELECT leadscore.create_model('other', 'lead');
SELECT model, name FROM leadscore.lead_rule;
SELECT model, owner FROM leadscore.lead_model;
UPDATE leadscore.lead_stage SET stage = 'start';
INSERT INTO leadscore.lead_rule (model, name, kind, points) SELECT 'other', 'known', 'profile', 1;
UPDATE leadscore.lead_rule SET model = 'crm';
SELECT leadscore.attach('other', 'event', 'contact', 'at');
SELECT leadscore.drop_model('crm');
RESET ROLE;
SELECT model, stage FROM leadscore.lead_stage WHERE model IN ('crm', 'other') ORDER BY model, position;

--
-- a rule reads what the model's owner may read
--
SET ROLE regress_ls_owner;
GRANT TRIGGER ON event TO regress_ls_other;
SET ROLE regress_ls_other;
SELECT leadscore.attach('other', 'event', 'contact', 'at', event => 'what');
SET ROLE regress_ls_owner;
GRANT SELECT (contact, at) ON event TO regress_ls_other;
SET ROLE regress_ls_other;
SELECT leadscore.attach('other', 'event', 'contact', 'at', event => 'what');
SELECT leadscore.attach('other', 'event', 'contact', 'at');
INSERT INTO leadscore.lead_rule (model, name, points) VALUES ('other', 'any', 1);
INSERT INTO leadscore.lead_rule (model, name, condition, points) VALUES ('other', 'secret', 'amount > 5', 10);
INSERT INTO leadscore.lead_rule (model, name, points, weight) VALUES ('other', 'secret', 10, 'amount');
INSERT INTO leadscore.lead_rule (model, name, condition, points) VALUES ('other', 'secret', 'crm.whoami(7)', 10);
SET ROLE regress_ls_owner;
GRANT SELECT (amount) ON event TO regress_ls_other;
REVOKE EXECUTE ON FUNCTION whoami FROM PUBLIC;
SET ROLE regress_ls_other;
INSERT INTO leadscore.lead_rule (model, name, condition, points) VALUES ('other', 'secret', 'amount > 5', 10);
INSERT INTO leadscore.lead_rule (model, name, condition, points) VALUES ('other', 'function', 'crm.whoami(amount)', 10);
SELECT contact_id, score FROM leadscore.score_other ORDER BY contact_id;
-- and no more when it is taken away
SET ROLE regress_ls_owner;
REVOKE SELECT (amount) ON event FROM regress_ls_other;
SET ROLE regress_ls_writer;
INSERT INTO crm.event (contact, what, at, amount) VALUES (4, 'buy', '2026-03-01', 8);
SET ROLE regress_ls_other;
SELECT contact_id, score FROM leadscore.score_other ORDER BY contact_id;
SET ROLE regress_ls_owner;
GRANT SELECT (amount) ON event TO regress_ls_other;
SET ROLE regress_ls_other;
SELECT contact_id, score, leadscore.replay('other', contact_id) FROM leadscore.score_other ORDER BY contact_id;
-- rows that a policy hides are no model's
SET ROLE regress_ls_owner;
CREATE TABLE hidden (contact int, at timestamptz);
CREATE INDEX ON hidden (contact);
ALTER TABLE hidden ENABLE ROW LEVEL SECURITY;
GRANT ALL ON hidden TO regress_ls_other;
SET ROLE regress_ls_other;
SELECT leadscore.attach('other', 'hidden', 'contact', 'at');
SET ROLE regress_ls_owner;
ALTER TABLE hidden DISABLE ROW LEVEL SECURITY;
SET ROLE regress_ls_other;
SELECT leadscore.attach('other', 'hidden', 'contact', 'at');
INSERT INTO leadscore.lead_rule (model, name, source, points) VALUES ('other', 'seen', 'hidden', 100);
SET ROLE regress_ls_owner;
ALTER TABLE hidden ENABLE ROW LEVEL SECURITY;
INSERT INTO hidden VALUES (1, '2026-03-01');
SELECT leadscore.attach('crm', 'hidden', 'contact', 'at');
SET ROLE regress_ls_other;
SELECT contact_id, score, leadscore.replay('other', contact_id) FROM leadscore.score_other ORDER BY contact_id;
SELECT * FROM leadscore.verify('other');
INSERT INTO leadscore.lead_rule (model, name, source, points) VALUES ('other', 'hidden', 'hidden', 10);
SELECT contact_id, score, leadscore.replay('other', contact_id) FROM leadscore.score_other ORDER BY contact_id;
RESET ROLE;

-- whom only rows name that cannot be read keeps a row in which nothing counts
INSERT INTO leadscore.lead_rule (model, name, source, points) VALUES ('other', 'of strangers', 'hidden', 1000);
SET ROLE regress_ls_owner;
ALTER TABLE hidden DISABLE ROW LEVEL SECURITY;
INSERT INTO hidden VALUES (900, '2026-03-01');
ALTER TABLE hidden ENABLE ROW LEVEL SECURITY;
SET ROLE regress_ls_other;
SELECT contact_id, score FROM leadscore.score_other WHERE contact_id = 900;
SELECT * FROM leadscore.verify('other');
SET ROLE regress_ls_owner;
ALTER TABLE hidden DISABLE ROW LEVEL SECURITY;
SET ROLE regress_ls_other;
SELECT contact_id, score FROM leadscore.score_other WHERE contact_id = 900;
SELECT * FROM leadscore.verify('other');
-- a contact table that comes back from another owner
RESET ROLE;
ALTER TABLE lead OWNER TO regress_ls_reader;
ALTER TABLE lead OWNER TO regress_ls_other;
SELECT model, owner, enabled FROM leadscore.lead_model WHERE model = 'other';
SET ROLE regress_ls_other;
UPDATE leadscore.lead_model SET enabled = true WHERE model = 'other';
SELECT * FROM leadscore.verify('other');
RESET ROLE;

--
-- the contact table's new owner has the model
--
ALTER TABLE lead OWNER TO regress_ls_member;
SELECT model, owner FROM leadscore.lead_model WHERE model = 'other';
SET ROLE regress_ls_other;
SELECT leadscore.drop_model('other');
SET ROLE regress_ls_member;
SELECT leadscore.drop_model('other');
RESET ROLE;

--
-- what PUBLIC may call, and what runs with other rights than the caller's
--
SELECT p.oid::regprocedure AS function, p.prosecdef
  FROM pg_proc p
 WHERE p.pronamespace IN ('leadscore'::regnamespace, 'leadscore_internal'::regnamespace) AND has_function_privilege('regress_ls_writer', p.oid, 'EXECUTE')
 ORDER BY p.oid::regprocedure::text COLLATE "C";
SELECT p.oid::regprocedure AS function, p.prosecdef
  FROM pg_proc p
 WHERE p.pronamespace IN ('leadscore'::regnamespace, 'leadscore_internal'::regnamespace) AND NOT has_function_privilege('regress_ls_writer', p.oid, 'EXECUTE')
 ORDER BY p.oid::regprocedure::text COLLATE "C";
-- tables: to read under row security, or written by triggers only
SELECT c.relname, c.relkind, c.relrowsecurity,
	array_to_string(ARRAY(SELECT lower(left(privilege, 3))
		FROM unnest('{SELECT,INSERT,UPDATE,DELETE,TRUNCATE,REFERENCES,TRIGGER}'::text[]) privilege
		WHERE has_table_privilege('regress_ls_writer', c.oid, privilege)),
		' ') AS privileges
  FROM pg_class c
 WHERE c.relnamespace IN ('leadscore'::regnamespace, 'leadscore_internal'::regnamespace) AND c.relkind IN ('r', 'v', 'p') AND c.relname NOT LIKE '%\_crm'
 ORDER BY c.relname COLLATE "C", c.relkind;

SET ROLE regress_ls_owner;
SELECT leadscore.drop_model('crm');
RESET ROLE;
DROP SCHEMA crm, evil CASCADE;
DROP OWNED BY regress_ls_owner, regress_ls_member, regress_ls_writer, regress_ls_reader, regress_ls_other;
DROP ROLE regress_ls_owner, regress_ls_member, regress_ls_writer, regress_ls_reader, regress_ls_other;
