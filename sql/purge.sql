-- What deleting events means: retract or keep; purges, and what is said of them
-- afterwards; contacts erased.
SET timezone = 'UTC';
SET datestyle = 'ISO';
SET extra_float_digits = 0;
\pset null -
SET client_min_messages = warning;
SET leadscore.clock = '2026-03-02 00:00+00';
CREATE SCHEMA purge;
SET search_path = purge;
CREATE TABLE contact (id text PRIMARY KEY, country text, created timestamptz);
INSERT INTO contact SELECT 'contact-' || g, 'DE', '2026-01-01 00:00+00' FROM generate_series(1, 4) g;
CREATE TABLE mail (id int PRIMARY KEY, contact text, sent timestamptz, opened timestamptz, what text NOT NULL DEFAULT 'mail', amount float8);
CREATE INDEX ON mail (contact, sent);
CREATE TABLE visit (contact text, at timestamptz, page text) PARTITION BY RANGE (at);
CREATE INDEX ON visit (contact, at);
CREATE TABLE visit_1 PARTITION OF visit FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
CREATE TABLE visit_2 PARTITION OF visit FOR VALUES FROM ('2026-02-01') TO ('2026-03-01') PARTITION BY LIST (page);
CREATE TABLE visit_2_home PARTITION OF visit_2 FOR VALUES IN ('home');
CREATE TABLE visit_2_rest (page text, at timestamptz, gone int, contact text);
ALTER TABLE visit_2_rest DROP gone;
ALTER TABLE visit_2 ATTACH PARTITION visit_2_rest DEFAULT;
SELECT leadscore.create_model('p', 'contact', created_at => 'created');
SELECT leadscore.attach('p', 'mail', 'contact', 'sent', 'what', source => 'sent');
SELECT leadscore.attach('p', 'mail', 'contact', 'opened', 'what', source => 'opened', on_delete => 'keep');
SELECT leadscore.attach('p', 'visit', 'contact', 'at', 'page', on_delete => 'keep');
SELECT leadscore.attach('p', 'mail', 'contact', 'sent', source => 'wrong', on_delete => 'forget');
INSERT INTO leadscore.lead_rule (model, name, source, event, points, weight, award, at_least, time_frame, decay,
	decay_interval, max_points, max_per_period, period) VALUES
	('p', 'sum', 'visit', NULL, 1, NULL, NULL, 1, NULL, 'none', NULL, NULL, NULL, NULL),
	('p', 'half', 'visit', NULL, 8, NULL, NULL, 1, NULL, 'half_life', '7 days', NULL, NULL, NULL),
	('p', 'daily', 'visit', 'home', 3, NULL, NULL, 1, NULL, 'none', NULL, NULL, 5, '1 day'),
	('p', 'frame', 'visit', NULL, 1, NULL, NULL, 2, '40 days', 'linear', '60 days', 30, NULL, NULL),
	('p', 'once', 'visit', 'price', 50, NULL, 'once', 2, NULL, 'half_life', '30 days', NULL, NULL, NULL),
	('p', 'most', 'visit', NULL, 4, NULL, NULL, 1, NULL, 'none', NULL, 10, NULL, NULL),
	('p', 'sent', 'sent', NULL, 0.5, NULL, NULL, 1, NULL, 'none', NULL, NULL, NULL, NULL),
	('p', 'opened', 'opened', NULL, 7, 'amount', NULL, 1, NULL, 'none', NULL, NULL, NULL, NULL),
	('p', 'opens', 'opened', NULL, 20, NULL, 'once', 3, '30 days', 'none', NULL, NULL, NULL, NULL);
INSERT INTO leadscore.lead_rule (model, name, kind, event, points, idle) VALUES
	('p', 'silent', 'absence', 'price', -1, '3 days'), ('p', 'no home', 'absence', 'home', -0.01, '1 day');
INSERT INTO leadscore.lead_rule (model, name, kind, condition, points) VALUES ('p', 'german', 'profile', 'country = ''DE''', 2);
INSERT INTO visit
	SELECT 'contact-' || 1 + g % 3, timestamptz '2026-01-01 00:00+00' + g * interval '7 hours',
		(ARRAY['home', 'price', 'blog'])[1 + g % 7 % 3]
	  FROM generate_series(0, 190) g;
INSERT INTO visit VALUES ('visitor', '2026-01-05 00:00+00', 'price'), ('visitor', '2026-02-05 00:00+00', 'price'), ('visitor', '2026-02-27 00:00+00', 'home');
INSERT INTO mail
	SELECT g, 'contact-' || 1 + g % 4, '2026-02-01 00:00+00',
		CASE WHEN g % 2 = 0 THEN timestamptz '2026-02-02 00:00+00' + g * interval '1 hour' END, 'mail', g
	  FROM generate_series(1, 24) g;
SELECT * FROM leadscore.verify('p');
-- all that has to stay
CREATE TABLE was AS SELECT contact_id, score, fit, engagement, stage, last_event_at FROM leadscore.live_p;
CREATE VIEW other AS
	SELECT coalesce(w.contact_id, l.contact_id) AS contact_id, w.score AS was, l.score AS "is" FROM was w FULL JOIN leadscore.live_p l USING (contact_id)
	 WHERE abs(w.score - l.score) > 1e-9 IS NOT FALSE OR abs(w.engagement - l.engagement) > 1e-9 OR w.stage <> l.stage
		OR w.last_event_at IS DISTINCT FROM l.last_event_at;
CREATE FUNCTION as_replayed() RETURNS TABLE (contact_id text, score float8, replayed float8) LANGUAGE sql AS
	$$ SELECT contact_id, leadscore.score('p', contact_id), leadscore.replay('p', contact_id) FROM leadscore.live_p
	    WHERE abs(leadscore.score('p', contact_id) - leadscore.replay('p', contact_id)) > 1e-9 IS NOT FALSE $$;

CREATE PROCEDURE leadscore_jobs(m text) LANGUAGE plpgsql AS $$
	DECLARE phase text;
	BEGIN
		FOR i IN 1 .. 200 LOOP
			phase := leadscore.run_job(m);
			EXIT WHEN phase IS NULL;
			COMMIT;
		END LOOP;
	END $$;

--
-- keep: by DELETE, TRUNCATE, DROP of partitions
--
DELETE FROM visit WHERE at < '2026-01-10 00:00+00';
TRUNCATE visit_1;
DELETE FROM visit_2 WHERE contact = 'contact-2' AND at < '2026-02-10 00:00+00';
SELECT * FROM other;
SELECT count(*) > 5 AS kept, count(DISTINCT source) AS sources, max(until) FROM leadscore.purged_p;
SET client_min_messages = notice;
SELECT * FROM leadscore.verify('p');
SELECT leadscore.rescore('p');
SET client_min_messages = warning;
SELECT * FROM other;
SELECT * FROM as_replayed();
-- a leaf, and a partition with partitions
DROP TABLE visit_2_rest;
SELECT * FROM other;
SELECT * FROM leadscore.verify('p');
DROP TABLE visit_2;
DROP TABLE visit_1;
SELECT * FROM other;
SELECT count(*) FROM visit;
SELECT relation FROM leadscore.lead_relation WHERE source = 'visit' ORDER BY relation::text;
SELECT * FROM leadscore.verify('p');
SELECT leadscore.rescore('p');
SELECT * FROM other;
SELECT leadscore.refresh('p');
SELECT * FROM other;
-- what is retracted beside it is; what comes is counted with it: limits per day and once
CREATE TABLE visit_3 PARTITION OF visit FOR VALUES FROM ('2026-01-01') TO ('2026-05-01');
INSERT INTO visit VALUES ('contact-1', '2026-01-20 00:00+00', 'home'), ('visitor', '2026-02-27 00:00+00', 'home'), ('new', '2026-03-01 00:00+00', 'price');
SELECT * FROM as_replayed();
SELECT * FROM leadscore.verify('p');
SELECT name, matched, raw, points FROM leadscore.explain('p', 'visitor') WHERE matched > 0 ORDER BY name;
SET leadscore.on_delete = retract;
DELETE FROM visit;
SELECT * FROM other;
RESET leadscore.on_delete;
SELECT * FROM leadscore.verify('p');
-- the way of time is the same as if all were there
SELECT contact_id,
	leadscore.score('p', contact_id, '2026-06-01 00:00+00') = leadscore.replay('p', contact_id,
		'2026-06-01 00:00+00') AS same
  FROM was ORDER BY 1;

--
-- retract, and both at once: a table that is two sources
--
SELECT count(*) AS rows, sum(amount) AS amount FROM mail WHERE opened IS NOT NULL AND contact = 'contact-1';
DELETE FROM mail WHERE id <= 8;
SELECT contact_id, was - "is" AS less FROM other ORDER BY 1;
SELECT * FROM leadscore.verify('p');
SELECT * FROM as_replayed();
UPDATE mail SET opened = '2026-03-01 00:00+00' WHERE id BETWEEN 9 AND 11;
UPDATE mail SET opened = NULL WHERE id IN (10, 12);
SELECT * FROM leadscore.verify('p');
SELECT * FROM as_replayed();
TRUNCATE mail;
SELECT name, matched, points FROM leadscore.explain('p', 'contact-1') WHERE name IN ('sent', 'opened', 'opens') ORDER BY name;
SELECT * FROM leadscore.verify('p');
SELECT * FROM as_replayed();
-- the session decides over the source
INSERT INTO mail SELECT g, 'contact-3', '2026-02-01 00:00+00', '2026-02-02 00:00+00', 'mail', 1 FROM generate_series(1, 3) g;
DROP TABLE was CASCADE;
CREATE TEMP TABLE was AS SELECT contact_id, score FROM leadscore.live_p;
SET leadscore.on_delete = keep;
DELETE FROM mail WHERE id = 1;
TRUNCATE mail;
SELECT * FROM was EXCEPT SELECT contact_id, score FROM leadscore.live_p;
SELECT * FROM leadscore.verify('p');
SET leadscore.on_delete = sometimes;
RESET leadscore.on_delete;
-- rolled back, nothing is kept twice
INSERT INTO mail VALUES (1, 'contact-3', '2026-02-01 00:00+00', '2026-02-02 00:00+00', 'mail', 1);
BEGIN;
SAVEPOINT a;
SET LOCAL leadscore.on_delete = keep;
TRUNCATE mail;
ROLLBACK TO a;
DELETE FROM mail;
ROLLBACK;
SELECT * FROM leadscore.verify('p');

-- purged between a change of rules and the job that counts it: kept as the new rule matched it
SET leadscore.inline_limit = 0;
CREATE TABLE hint (contact text, at timestamptz, amount float8);
CREATE INDEX ON hint (contact, at);
INSERT INTO hint SELECT 'contact-' || g, '2026-02-01 00:00+00', g FROM generate_series(1, 4) g, generate_series(1, 3);
SELECT leadscore.attach('p', 'hint', 'contact', 'at', on_delete => 'keep');
CALL leadscore_jobs('p');
INSERT INTO leadscore.lead_rule (model, name, source, points, weight) VALUES ('p', 'hint', 'hint', 1000, 'amount');
SELECT state, kind FROM leadscore.lead_job WHERE model = 'p' ORDER BY job_id;
DELETE FROM hint WHERE contact = 'contact-4' AND ctid = (SELECT min(ctid) FROM hint WHERE contact = 'contact-4');
SELECT leadscore.run_job('p');
SELECT leadscore.run_job('p');
DELETE FROM hint WHERE contact = 'contact-2' AND ctid = (SELECT min(ctid) FROM hint WHERE contact = 'contact-2');
INSERT INTO hint VALUES ('contact-3', '2026-02-02 00:00+00', 100), ('new', '2026-02-02 00:00+00', 7);
DELETE FROM hint WHERE contact IN ('contact-3', 'new');
CALL leadscore_jobs('p');
SELECT state, kind FROM leadscore.lead_job WHERE model = 'p' ORDER BY job_id;
SELECT c AS contact, matched, points FROM (SELECT DISTINCT contact_id AS c FROM leadscore.score_p) x, leadscore.explain('p', c) WHERE name = 'hint' ORDER BY c;
SELECT * FROM leadscore.verify('p');
SELECT leadscore.rescore('p') > 0 AS done;
SELECT c AS contact, matched, points FROM (SELECT DISTINCT contact_id AS c FROM leadscore.score_p) x, leadscore.explain('p', c) WHERE name = 'hint' ORDER BY c;
SELECT leadscore.detach('p', 'hint');
CALL leadscore_jobs('p');
DELETE FROM leadscore.lead_rule WHERE name = 'hint';
RESET leadscore.inline_limit;

--
-- what is said
--
SET client_min_messages = notice;
INSERT INTO leadscore.lead_rule (model, name, source, event, points) VALUES ('p', 'later', 'visit', 'blog', 1);
UPDATE leadscore.lead_rule SET points = 2 WHERE name = 'later';
SELECT leadscore.replay('p', 'contact-1') = leadscore.score('p', 'contact-1') AS same;
SELECT leadscore.replay('p', 'contact-1', '2026-01-15 00:00+00') = leadscore.score('p', 'contact-1', '2026-01-15 00:00+00') AS same;
SELECT leadscore.replay('p', 'new', '2026-01-15 00:00+00');
SELECT * FROM leadscore.verify('p');
SET client_min_messages = warning;
DELETE FROM leadscore.lead_rule WHERE name = 'later';

--
-- detached partitions take their points, with them or after a drop; a source
-- takes all of its own
--
INSERT INTO visit VALUES ('contact-4', '2026-03-01 00:00+00', 'price'), ('contact-4', '2026-03-01 01:00+00', 'price');
SELECT matched, points FROM leadscore.explain('p', 'contact-4') WHERE name = 'most';
ALTER TABLE visit DETACH PARTITION visit_3;
DROP TABLE visit_3;
SELECT matched, points FROM leadscore.explain('p', 'contact-4') WHERE name = 'most';
SELECT * FROM leadscore.verify('p');
-- with a schema, and with all that a role owns
CREATE SCHEMA archive;
CREATE TABLE archive.visit_4 PARTITION OF visit FOR VALUES FROM ('2026-02-01') TO ('2026-03-01');
CREATE TABLE visit_5 PARTITION OF visit FOR VALUES FROM ('2026-03-01') TO ('2026-04-01');
CREATE ROLE regress_ls_purger;
ALTER TABLE visit_5 OWNER TO regress_ls_purger;
INSERT INTO visit VALUES ('contact-4', '2026-03-01 00:00+00', 'price'), ('contact-4', '2026-02-01 00:00+00', 'price');
SELECT matched, points FROM leadscore.explain('p', 'contact-4') WHERE name = 'most';
DROP SCHEMA archive CASCADE;
DROP OWNED BY regress_ls_purger;
SELECT matched, points FROM leadscore.explain('p', 'contact-4') WHERE name = 'most';
SELECT * FROM leadscore.verify('p');
DROP ROLE regress_ls_purger;
-- not noticed before, as by DROP EXTENSION: then they are gone with what they gave
CREATE TABLE visit_6 PARTITION OF visit FOR VALUES FROM ('2026-03-01') TO ('2026-04-01');
INSERT INTO visit VALUES ('contact-4', '2026-03-01 00:00+00', 'price');
ALTER EVENT TRIGGER leadscore_ddl_start DISABLE;
DROP TABLE visit_6;
ALTER EVENT TRIGGER leadscore_ddl_start ENABLE ALWAYS;
SELECT matched, points FROM leadscore.explain('p', 'contact-4') WHERE name = 'most';
SELECT * FROM leadscore.verify('p');
-- what fails to be dropped is not kept
CREATE TABLE visit_7 PARTITION OF visit FOR VALUES FROM ('2026-03-01') TO ('2026-04-01');
INSERT INTO visit VALUES ('contact-4', '2026-03-01 00:00+00', 'price');
CREATE VIEW on_visit_7 AS SELECT FROM visit_7;
DROP TABLE visit_7;
DROP TABLE IF EXISTS visit_7, nowhere, pg_class;
DELETE FROM visit WHERE contact = 'contact-2';
SELECT matched, points FROM leadscore.explain('p', 'contact-4') WHERE name = 'most';
BEGIN;
DROP TABLE visit_7 CASCADE;
ROLLBACK;
SELECT * FROM leadscore.verify('p');
BEGIN;
SAVEPOINT s;
DROP TABLE visit_7 CASCADE;
ROLLBACK TO s;
ALTER EVENT TRIGGER leadscore_ddl_start DISABLE;
DROP TABLE visit_7 CASCADE;
ALTER EVENT TRIGGER leadscore_ddl_start ENABLE ALWAYS;
COMMIT;
SELECT matched, points FROM leadscore.explain('p', 'contact-4') WHERE name = 'most';
SELECT * FROM leadscore.verify('p');
-- the table itself
SELECT count(*) > 0 AS kept FROM leadscore.purged_p WHERE source = 'visit';
DROP TABLE visit CASCADE;
SELECT count(*) FROM leadscore.purged_p WHERE source = 'visit';
SELECT * FROM leadscore.verify('p');
SELECT matched, points FROM leadscore.explain('p', 'contact-4') WHERE name = 'most';

-- children of an inherited table
CREATE TABLE call (contact text, at timestamptz);
CREATE TABLE call_old () INHERITS (call);
CREATE TABLE call_older () INHERITS (call_old);
SELECT leadscore.attach('p', 'call', 'contact', 'at', on_delete => 'keep');
INSERT INTO leadscore.lead_rule (model, name, source, points) VALUES ('p', 'call', 'call', 100);
INSERT INTO call VALUES ('contact-1', '2026-02-01 00:00+00');
INSERT INTO call_old VALUES ('contact-1', '2026-01-01 00:00+00');
INSERT INTO call_older VALUES ('contact-1', '2025-01-01 00:00+00');
TRUNCATE ONLY call_old;
SELECT points FROM leadscore.explain('p', 'contact-1') WHERE name = 'call';
DROP TABLE call_old CASCADE;
TRUNCATE call;
SELECT points FROM leadscore.explain('p', 'contact-1') WHERE name = 'call';
SELECT * FROM leadscore.verify('p');
SELECT leadscore.rescore('p') > 0 AS done;
SELECT points FROM leadscore.explain('p', 'contact-1') WHERE name = 'call';

--
-- a contact erased
--
UPDATE leadscore.lead_model SET daily = true WHERE model = 'p';
INSERT INTO leadscore.lead_stage (model, stage, position, enter_at) VALUES ('p', 'warm', 1, 50);
INSERT INTO leadscore.lead_action (model, name, occasion) VALUES ('p', 'tell', 'stage_entered');
INSERT INTO leadscore.lead_rule (model, name, source, condition, points) VALUES ('p', 'fails', 'call', '1 / length(substr(contact, 10)) > 0', 1);
INSERT INTO contact VALUES ('contact-5', 'DE', '2026-01-01 00:00+00');
INSERT INTO call VALUES ('contact-5', '2026-02-01 00:00+00'), ('contact-5', '2026-02-02 00:00+00');
SET leadscore.clock = '2026-03-03 00:00+00';
SELECT leadscore.refresh('p') > 0 AS done;
DELETE FROM call WHERE at = '2026-02-01 00:00+00';
BEGIN ISOLATION LEVEL REPEATABLE READ;
INSERT INTO call VALUES ('contact-5', '2026-02-03 00:00+00');
COMMIT;
CREATE FUNCTION found(text, OUT place text, OUT rows bigint) RETURNS SETOF record LANGUAGE plpgsql AS $$
	DECLARE t regclass;
	BEGIN
		FOR t IN SELECT oid FROM pg_class
		 WHERE relnamespace IN ('leadscore'::regnamespace, 'leadscore_internal'::regnamespace)
			AND relkind IN ('r', 'p')
		 ORDER BY relname COLLATE "C" LOOP
			EXECUTE format('SELECT count(*) FROM ONLY %s t WHERE strpos(t::text, $1) > 0', t) INTO rows USING $1;
			place := t;
			IF rows > 0 THEN RETURN NEXT; END IF;
		END LOOP;
	END $$;
SELECT place FROM found('contact-5');
SELECT leadscore.erase_contact('p', 'contact-5');
DELETE FROM contact WHERE id = 'contact-5';
SELECT leadscore.erase_contact('p', 'contact-5');
DELETE FROM call WHERE contact = 'contact-5';
SELECT leadscore.erase_contact('p', 'contact-5');
SELECT * FROM found('contact-5');
SELECT leadscore.erase_contact('p', 'contact-5');
SELECT * FROM leadscore.verify('p');
SELECT leadscore.refresh('p') >= 0 AS done;
SELECT * FROM found('contact-5');
SELECT count(*) FROM leadscore.score_p WHERE contact_id = 'contact-4';
SELECT leadscore.erase_contact('p', NULL::text);
SELECT leadscore.erase_contact('q', 'contact-5');
CREATE ROLE regress_ls_eraser;
GRANT USAGE ON SCHEMA leadscore TO regress_ls_eraser;
SET ROLE regress_ls_eraser;
SELECT leadscore.erase_contact('p', 'contact-4');
RESET ROLE;
REVOKE USAGE ON SCHEMA leadscore FROM regress_ls_eraser;
DROP ROLE regress_ls_eraser;
-- in the key's own type
CREATE TABLE person (id int PRIMARY KEY);
INSERT INTO person VALUES (1), (11);
SELECT leadscore.create_model('n', 'person');
INSERT INTO leadscore.lead_rule_error VALUES
	('n', 1, 'x', now(), 1, '22012', 'not about 11', '1'), ('n', 1, 'x', now(), 1, '22012', 'value "1"', NULL),
	('n', 1, 'x', now(), 1, '22012', 'value 1', NULL);
DELETE FROM person WHERE id = 1;
SELECT leadscore.erase_contact('n', 1);
SELECT contact, message FROM leadscore.lead_rule_error WHERE model = 'n';
SELECT contact_id FROM leadscore.score_n;
SELECT leadscore.drop_model('n');
SELECT leadscore.drop_model('p');
DROP SCHEMA purge CASCADE;
