-- What the owner of a model may try: nothing of his is run with other rights.
SET timezone = 'UTC';
SET datestyle = 'ISO';
\pset null -
\set SHOW_CONTEXT never
\set VERBOSITY terse
SET leadscore.clock = '2026-03-02 00:00+00';
SET client_min_messages = warning;
CREATE ROLE regress_ls_misuser;
CREATE SCHEMA misuse AUTHORIZATION regress_ls_misuser;

--
-- a key is not cast by functions of the type's owner
--
SET ROLE regress_ls_misuser;
SET search_path = misuse;
CREATE TYPE kind AS ENUM ('a', 'b');
CREATE DOMAIN word AS text;
CREATE FUNCTION become(text) RETURNS bool LANGUAGE plpgsql AS $$
BEGIN
	IF current_user <> 'regress_ls_misuser' THEN
		RAISE EXCEPTION 'run as another';
	END IF;
	RETURN true;
END $$;
CREATE FUNCTION to_kind(text) RETURNS kind LANGUAGE plpgsql AS $$ BEGIN PERFORM misuse.become($1); RETURN CASE $1 WHEN 'a' THEN 'a' ELSE 'b' END; END $$;
CREATE FUNCTION to_text(kind) RETURNS text LANGUAGE plpgsql AS $$ BEGIN PERFORM misuse.become(''); RETURN CASE $1 WHEN 'a' THEN 'a' ELSE 'b' END; END $$;
CREATE TABLE contact (id text PRIMARY KEY);
INSERT INTO contact VALUES ('a'), ('b');
SELECT leadscore.create_model('misuse', 'contact');
CREATE CAST (text AS kind) WITH FUNCTION to_kind(text);
ALTER TABLE contact ALTER id TYPE kind USING id::kind;
DROP CAST (text AS kind);
ALTER TABLE contact ALTER id TYPE kind USING id::kind;
CREATE CAST (kind AS text) WITH FUNCTION to_text(kind);
ALTER TABLE contact ALTER id TYPE text USING enum_range(id, id)::text;
DROP CAST (kind AS text);
ALTER TABLE contact ALTER id TYPE text USING id::text;
-- nor read where the constraints of a domain are checked
ALTER DOMAIN word ADD CHECK (misuse.become(VALUE));
ALTER TABLE contact ALTER id TYPE word[] USING ARRAY[id]::word[];
\set VERBOSITY default
ALTER TABLE contact ALTER id TYPE word USING id::word;
CREATE TYPE pair AS (x word);
ALTER TABLE contact ALTER id TYPE pair USING ROW(id)::pair;
\set VERBOSITY terse
SELECT contact_id, pg_typeof(contact_id) FROM leadscore.score_misuse ORDER BY 1;
SELECT leadscore.drop_model('misuse');

--
-- nor are keys cast when tables are read, or a contact is asked for
--
CREATE TABLE event (contact text, at timestamptz);
CREATE INDEX ON event (contact);
CREATE TABLE sort (id kind PRIMARY KEY);
INSERT INTO sort VALUES ('a'), ('b');
CREATE OR REPLACE FUNCTION to_kind(text) RETURNS kind LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
	PERFORM misuse.become('');
	IF $1 = 'a' THEN
		RETURN 'a'::misuse.kind;
	END IF;
	RETURN 'b'::misuse.kind;
END $$;
CREATE CAST (text AS kind) WITH FUNCTION to_kind(text) AS IMPLICIT;
SELECT leadscore.create_model('sort', 'sort');
SELECT leadscore.attach('sort', 'event', 'contact', 'at');
INSERT INTO leadscore.lead_rule (model, name, points) VALUES ('sort', 'any', 1);
INSERT INTO event VALUES ('a', '2026-03-01'), ('b', '2026-03-01');
RESET ROLE;
INSERT INTO misuse.event VALUES ('b', '2026-03-01');
DELETE FROM misuse.event WHERE contact = 'a';
SELECT * FROM leadscore.verify('sort');
SELECT leadscore.replay('sort', 'b'), leadscore.score('sort', 'b'::text);
SELECT leadscore.rescore('sort');
SET leadscore.clock = '2026-03-03 01:00+00';
SELECT leadscore.write_days('sort');
SET leadscore.clock = '2026-03-02 00:00+00';
SET ROLE regress_ls_misuser;
SELECT contact_id, score FROM leadscore.score_sort ORDER BY contact_id;
SELECT leadscore.drop_model('sort');

--
-- days of a key that is an array itself
--
CREATE TABLE crowd (id word[] PRIMARY KEY);
INSERT INTO crowd VALUES ('{a,b}'), ('{c}');
SELECT leadscore.create_model('crowd', 'crowd');
INSERT INTO leadscore.lead_rule (model, name, kind, condition, points) VALUES ('crowd', 'one', 'profile', 'cardinality(id) = 1', 1);
INSERT INTO leadscore.lead_grade (model, category, grade, min_points) VALUES ('crowd', 'fit', 'A', 1);
UPDATE leadscore.lead_model SET daily = true WHERE model = 'crowd';
RESET ROLE;
SET leadscore.clock = '2026-03-03 01:00+00';
SET ROLE regress_ls_misuser;
SELECT leadscore.write_days('crowd');
SELECT * FROM leadscore.daily_crowd ORDER BY contact_id;

--
-- an action that would be an error of those who write events
--
INSERT INTO leadscore.lead_action (model, name, occasion) SELECT 'crowd', string_agg(md5(n::text), ''), 'stage_entered' FROM generate_series(1, 84) n;
INSERT INTO leadscore.lead_action (model, name, occasion, timeout) VALUES ('crowd', 'long', 'stage_entered', '100000000 years');
INSERT INTO leadscore.lead_action (model, name, occasion, timeout) VALUES ('crowd', 'short', 'stage_entered', '0');

SELECT leadscore.drop_model('crowd');
RESET ROLE;
DROP SCHEMA misuse CASCADE;
DROP ROLE regress_ls_misuser;
