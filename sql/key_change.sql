-- Other columns for contacts and events, as an online migration to another type
-- has them; types that a key cannot do without.
SET timezone = 'UTC';
SET datestyle = 'ISO';
SET leadscore.clock = '2026-03-02 00:00+00';
CREATE SCHEMA key_change;
SET search_path = key_change, public;
SET client_min_messages = warning;
CREATE TABLE guest (id int PRIMARY KEY, country text);
INSERT INTO guest SELECT g, 'DE' FROM generate_series(1, 4) g;
CREATE TABLE act (guest int, visitor int, at timestamptz, what text);
CREATE INDEX ON act (guest, at);
CREATE INDEX ON act (visitor, at);
SELECT leadscore.create_model('hotel', 'guest');
SELECT leadscore.attach('hotel', 'act', 'guest', 'at', 'what', visitor => 'visitor', on_delete => 'keep');
INSERT INTO leadscore.lead_rule (model, name, points) VALUES ('hotel', 'any', 10);
INSERT INTO leadscore.lead_rule (model, name, kind, condition, points) VALUES ('hotel', 'german', 'profile', 'country = ''DE''', 1);
INSERT INTO leadscore.lead_stage (model, stage, position, enter_at) VALUES ('hotel', 'hot', 1, 20);
INSERT INTO leadscore.lead_action (model, name, occasion) VALUES ('hotel', 'tell', 'stage_entered');
UPDATE leadscore.lead_model SET daily = true;
INSERT INTO act SELECT 1 + g % 3, NULL, '2023-01-01 00:00+00' FROM generate_series(1, 9) g;
INSERT INTO act VALUES
	(1, NULL, '2026-03-01 00:00+00'), (NULL, 100, '2026-03-01 00:00+00'), (NULL, 101, '2026-03-01 00:00+00'),
	(77, NULL, '2026-03-01 00:00+00');
DELETE FROM act WHERE at < '2025-01-01';
SELECT leadscore.set_stage('hotel', 4, 'hot', 'known');
SELECT leadscore.merge_contacts('hotel', 3, 2);
SELECT leadscore.identify('hotel', '100', 4);
BEGIN ISOLATION LEVEL REPEATABLE READ;
INSERT INTO act VALUES (1, NULL, '2026-03-01 00:00+00');
COMMIT;
-- all that is kept of contacts, as text
CREATE FUNCTION kept() RETURNS TABLE (place text, what jsonb) LANGUAGE plpgsql AS $$
	DECLARE name text;
	BEGIN
		FOR name IN SELECT relname FROM pg_class WHERE relnamespace = 'leadscore'::regnamespace AND relkind IN ('r', 'p') AND relname LIKE '%\_hotel%' LOOP
			RETURN QUERY EXECUTE format('SELECT %L::text, to_jsonb(t) FROM leadscore.%I t', name, name);
		END LOOP;
	END $$;
CREATE TABLE was AS SELECT * FROM kept();
SELECT replace(place, '_hotel', ' ') AS "table", count(*) FROM was WHERE place !~ 'funnel' GROUP BY place ORDER BY place COLLATE "C";
CREATE FUNCTION shown() RETURNS TABLE (contact_id text, score float8, stage text, replayed float8, "now" bigint) LANGUAGE sql AS $$
	SELECT l.contact_id::text, l.score, l.stage, leadscore.replay('hotel', l.contact_id::text),
		   (SELECT count(*) FROM leadscore.verify('hotel') WHERE status = 'wrong')
	  FROM leadscore.live_hotel l ORDER BY l.contact_id $$;
SELECT * FROM shown();

--
-- what is refused, and changes nothing
--
ALTER TABLE guest ADD id_new bigint;
UPDATE leadscore.lead_model SET key = 'id_new' WHERE model = 'hotel';
CREATE UNIQUE INDEX guest_id_new ON guest (id_new);
UPDATE leadscore.lead_model SET key = 'id_new' WHERE model = 'hotel';
UPDATE guest SET id_new = id WHERE id <> 3;
UPDATE leadscore.lead_model SET key = 'id_new' WHERE model = 'hotel';
UPDATE guest SET id_new = 3000000000 WHERE id = 3;
UPDATE leadscore.lead_model SET key = 'id_new' WHERE model = 'hotel';
UPDATE guest SET id_new = id;
UPDATE leadscore.lead_model SET key = NULL WHERE model = 'hotel';
UPDATE leadscore.lead_model SET key = 'nothing' WHERE model = 'hotel';
UPDATE leadscore.lead_model SET key = 'id_new' WHERE model = 'hotel_visitors';
ALTER TABLE act ADD guest_new bigint;
UPDATE act SET guest_new = guest;
CREATE INDEX ON act (guest_new, at);
UPDATE leadscore.lead_source SET contact = 'guest_new' WHERE model = 'hotel';
UPDATE leadscore.lead_source SET contact = 'at' WHERE model = 'hotel';
UPDATE leadscore.lead_source SET contact = NULL WHERE model = 'hotel';
UPDATE leadscore.lead_source SET visitor = NULL WHERE model = 'hotel';
UPDATE leadscore.lead_source SET occurred_at = 'what' WHERE model = 'hotel';
UPDATE leadscore.lead_source SET contact = 'guest' WHERE model = 'hotel_visitors';
UPDATE leadscore.lead_source SET source = 'other' WHERE model = 'hotel';
SELECT * FROM kept() EXCEPT SELECT * FROM was;

--
-- in one transaction
--
SET client_min_messages = notice;
GRANT SELECT ON leadscore.live_hotel TO pg_monitor;
BEGIN;
ALTER TABLE guest RENAME id TO id_old;
ALTER TABLE guest RENAME id_new TO id;
ALTER TABLE act RENAME guest TO guest_old;
ALTER TABLE act RENAME guest_new TO guest;
UPDATE leadscore.lead_model SET key = 'id' WHERE model = 'hotel';
UPDATE leadscore.lead_source SET contact = 'guest' WHERE model = 'hotel';
ALTER TABLE guest DROP CONSTRAINT guest_pkey, ADD PRIMARY KEY USING INDEX guest_id_new;
COMMIT;
ALTER TABLE guest DROP id_old;
ALTER TABLE act DROP guest_old;
SET client_min_messages = warning;
SELECT model, key FROM leadscore.lead_model ORDER BY model;
SELECT model, contact FROM leadscore.lead_source ORDER BY model;
SELECT c.relname, a.attname, a.atttypid::regtype FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
 WHERE c.relnamespace = 'leadscore'::regnamespace AND c.relkind IN ('r', 'v', 'p') AND c.relname LIKE '%\_hotel'
   AND a.attname IN ('contact_id', 'target_id', 'source_id', 'merged_into', 'visitor') ORDER BY c.relname COLLATE "C", a.attnum;
-- nothing was counted, nothing is lost
SELECT * FROM kept() EXCEPT SELECT * FROM was;
SELECT * FROM was EXCEPT SELECT * FROM kept();
SELECT * FROM shown();
SELECT has_table_privilege('pg_monitor', 'leadscore.live_hotel', 'SELECT');
INSERT INTO guest (id, country) VALUES (5000000000, 'DE');
INSERT INTO act (guest, at) VALUES (5000000000, '2026-03-01 00:00+00'), (4, '2026-03-01 00:00+00');
SELECT leadscore.refresh('hotel') > 0 AS refreshed;
SELECT * FROM shown();
SELECT leadscore.unmerge('hotel', '2');
SELECT leadscore.release_stage('hotel', 4);
SELECT leadscore.rescore('hotel');
SELECT * FROM shown();
SELECT to_stage, cause, reason FROM leadscore.history_of('hotel', '4');

--
-- step by step: the key first, as old contacts fit it; to text, whose order is another, in a job
--
ALTER TABLE guest ADD name text;
UPDATE guest SET name = id;
CREATE UNIQUE INDEX ON guest (name);
UPDATE leadscore.lead_model SET key = 'name' WHERE model = 'hotel';
SELECT source FROM leadscore.lead_source WHERE model = 'hotel';
ALTER TABLE act ADD name varchar(20);
UPDATE act SET name = guest;
CREATE INDEX ON act (name, at);
SELECT leadscore.attach('hotel', 'act', 'name', 'at', 'what', visitor => 'visitor', on_delete => 'keep');
SELECT * FROM shown();

--
-- columns of a source with other values: counted anew
--
UPDATE leadscore.lead_rule SET event = 'walk' WHERE name = 'any';
ALTER TABLE act ADD kind text;
UPDATE act SET kind = 'walk' WHERE name <> '77';
SELECT * FROM shown();
UPDATE leadscore.lead_source SET event = 'kind' WHERE model = 'hotel';
SELECT * FROM shown();
ALTER TABLE act ADD visitor_new int;
CREATE INDEX ON act (visitor_new);
UPDATE leadscore.lead_source SET visitor = 'visitor_new' WHERE model = 'hotel';
SELECT model, contact, visitor FROM leadscore.lead_source ORDER BY model;
SELECT count(*) FROM leadscore.score_hotel_visitors;
UPDATE leadscore.lead_source SET visitor = 'visitor' WHERE model = 'hotel';
SELECT contact_id FROM leadscore.score_hotel_visitors;
ALTER TABLE act ADD day date;
UPDATE act SET day = '2026-03-03';
UPDATE leadscore.lead_source SET occurred_at = 'day' WHERE model = 'hotel';
-- tomorrow
SELECT * FROM shown();
SELECT count(*) FROM leadscore.verify('hotel');
SELECT leadscore.drop_model('hotel');

--
-- types that are dropped with CASCADE
--
CREATE TYPE kind AS ENUM ('a', 'b');
CREATE TABLE one (id kind PRIMARY KEY);
CREATE TABLE one_act (id kind, at timestamptz);
CREATE TABLE other (id int PRIMARY KEY);
CREATE TABLE other_act (id int, at timestamptz);
SELECT leadscore.create_model('other', 'other');
SELECT leadscore.attach('other', 'other_act', 'id', 'at');
SELECT leadscore.create_model('one', 'one');
SELECT leadscore.attach('one', 'one_act', 'id', 'at');
INSERT INTO leadscore.lead_rule (model, name, points) VALUES ('one', 'any', 1), ('other', 'any', 1);
INSERT INTO one_act VALUES ('a', '2026-03-01 00:00+00');
DROP TYPE kind CASCADE;
INSERT INTO one_act VALUES ('a', '2026-03-01 00:00+00');
INSERT INTO other_act VALUES (1, '2026-03-01 00:00+00');
SELECT leadscore.refresh();
SELECT contact_id, score FROM leadscore.score_one;
BEGIN;
SELECT leadscore.drop_model('one');
DROP TYPE kind CASCADE;
COMMIT;
DROP TABLE one, one_act;
-- in an extension, a schema, a collation, an attribute of what is in the key
CREATE EXTENSION citext;
CREATE TABLE mail (id citext PRIMARY KEY);
SELECT leadscore.create_model('mail', 'mail');
DROP EXTENSION citext CASCADE;
SELECT leadscore.drop_model('mail');
DROP EXTENSION citext CASCADE;
DROP TABLE mail;
CREATE SCHEMA of_types;
CREATE TYPE of_types.pair AS (a int, b int);
CREATE TABLE pairs (id of_types.pair PRIMARY KEY);
SELECT leadscore.create_model('pairs', 'pairs');
DROP SCHEMA of_types CASCADE;
-- together with the table: the model goes with it
ALTER TABLE pairs SET SCHEMA of_types;
DROP SCHEMA of_types CASCADE;
SELECT model FROM leadscore.lead_model;
-- visitors, and the event's name, which a source has for itself
CREATE TYPE kind AS ENUM ('a', 'b');
CREATE TYPE visitor AS ENUM ('v', 'w');
CREATE TABLE met (id int, who visitor, at timestamptz, what kind);
CREATE INDEX ON met (id, at);
CREATE INDEX ON met (who, at);
SELECT leadscore.attach('other', 'met', 'id', 'at', 'what', visitor => 'who');
DROP TYPE visitor CASCADE;
DROP TYPE kind CASCADE;
SELECT source FROM leadscore.lead_source WHERE model = 'other';
DROP TYPE visitor CASCADE;
SELECT leadscore.drop_model('other');
DROP TYPE visitor CASCADE;
DROP SCHEMA key_change CASCADE;

-- a key that goes to another type and back: the source is never lost, its rules sleep while the types do not fit
SET client_min_messages = warning;
CREATE TABLE walker (id varchar PRIMARY KEY);
CREATE TABLE step (walker varchar, at timestamptz NOT NULL);
CREATE INDEX ON step (walker, at);
SELECT leadscore.create_model('walk', 'walker');
SELECT leadscore.attach('walk', 'step', 'walker', 'at', on_delete => 'keep');
INSERT INTO leadscore.lead_rule (model, name, points) VALUES ('walk', 'step', 1);
INSERT INTO walker VALUES ('1');
INSERT INTO step VALUES ('1', '2026-01-01');
ALTER TABLE walker ALTER id TYPE int USING id::int;
INSERT INTO step VALUES ('1', '2026-01-02');
SELECT contact_id, score, leadscore.replay('walk', contact_id) FROM leadscore.score_walk;
ALTER TABLE walker ALTER id TYPE varchar;
SELECT contact_id, score, leadscore.replay('walk', contact_id) FROM leadscore.score_walk;
ALTER TABLE walker ALTER id TYPE int USING id::int;
ALTER TABLE step ALTER walker TYPE int USING walker::int;
SELECT contact_id, score, leadscore.replay('walk', contact_id) FROM leadscore.score_walk;
SELECT * FROM leadscore.verify('walk');
SELECT leadscore.drop_model('walk');
DROP TABLE walker, step;
