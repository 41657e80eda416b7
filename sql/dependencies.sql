-- What rules lead to, changed: they are read anew, fall asleep, wake, and are counted again; only those that it concerns
\set VERBOSITY terse
SET client_min_messages = error;
SET leadscore.clock = '2026-03-10 12:00+00';
CREATE SCHEMA tools;
CREATE TABLE lead (id int PRIMARY KEY, plan text);
CREATE TYPE tools.pair AS (a int, b int);
CREATE FUNCTION tools.below(int) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT $1 < 100';
CREATE DOMAIN tools.small AS int CHECK (tools.below(VALUE));
CREATE COLLATION tools.plain (provider = icu, locale = 'und');
CREATE TABLE deed (lead int, at timestamptz, what text, n int, m bigint, d tools.small, p tools.pair);
CREATE INDEX ON deed (lead, at);
CREATE FUNCTION tools.big(int) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT $1 > 5';
CREATE FUNCTION tools.twice(int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN $1 * 2; END';
CREATE FUNCTION tools.nested(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT tools.twice($1) + 1';
CREATE FUNCTION tools.atomic(int) RETURNS int LANGUAGE sql IMMUTABLE BEGIN ATOMIC SELECT tools.twice($1) + 2; END;
CREATE FUNCTION tools.near(int, int) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN abs($1 - $2) < 3; END';
CREATE OPERATOR tools.~~~ (FUNCTION = tools.near, LEFTARG = int, RIGHTARG = int);
CREATE FUNCTION tools.to_int(tools.pair) RETURNS int LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN $1.a + $1.b; END';
CREATE CAST (tools.pair AS int) WITH FUNCTION tools.to_int(tools.pair);
CREATE TEXT SEARCH CONFIGURATION tools.words (COPY = simple);
SELECT leadscore.create_model('m', 'lead');
SELECT leadscore.attach('m', 'deed', 'lead', 'at', 'what');
INSERT INTO lead VALUES (1, 'pro');
INSERT INTO deed
	SELECT 1, timestamptz '2026-03-10 10:00+00' + g * interval '1 minute', 'say ' || g, g, g, g, ROW(g, 1)::tools.pair
	  FROM generate_series(1, 10) g;
-- each rule has a place of its own in the score
INSERT INTO leadscore.lead_rule (model, name, points, condition) VALUES
	('m', 'plain', 1, 'n > 9'),
	('m', 'function', 100, 'tools.big(n)'),
	('m', 'nested', 10000, 'tools.nested(n) > 13'),
	('m', 'operator', 1000000, 'n OPERATOR(tools.~~~) 5'),
	('m', 'cast', 100000000, 'p::int > 9'),
	('m', 'domain', 10000000000, 'd > 8'),
	('m', 'collation', 1000000000000, 'what COLLATE tools.plain > ''say 8'''),
	('m', 'search', 100000000000000, 'to_tsvector(''tools.words'', what) @@ ''say & 7''::tsquery');
CREATE VIEW shown AS
	SELECT leadscore.score('m', 1) AS score, leadscore.replay('m', 1) AS replayed,
		(SELECT string_agg(name, ' ' ORDER BY name) FROM leadscore.lead_rule WHERE model = 'm' AND backfilled_version = 0) AS asleep,
		(SELECT count(*) FROM leadscore.verify('m')) AS wrong;
CREATE FUNCTION shown() RETURNS text LANGUAGE sql AS
	$$SELECT score::numeric || CASE WHEN score <> replayed THEN ' but replayed ' || replayed::numeric ELSE '' END ||
		CASE WHEN wrong > 0 THEN ' wrong' ELSE '' END || coalesce(' asleep: ' || asleep, '') FROM shown$$;
RESET client_min_messages;
SELECT shown();

-- functions
CREATE OR REPLACE FUNCTION tools.big(int) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT $1 > 7';
SELECT shown();
CREATE OR REPLACE FUNCTION tools.twice(int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN $1 * 3; END';
SELECT shown();
ALTER FUNCTION tools.big(int) VOLATILE;
SELECT shown();
ALTER FUNCTION tools.big(int) IMMUTABLE;
SELECT shown();
CREATE OR REPLACE FUNCTION tools.big(int) RETURNS boolean LANGUAGE sql STABLE AS 'SELECT $1 > 7';
SELECT shown();
CREATE OR REPLACE FUNCTION tools.big(int) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT $1 > 7';
SELECT shown();
-- another of its name that fits better, and back
CREATE FUNCTION tools.big(bigint) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT $1 > 2';
DROP FUNCTION tools.big(int);
SELECT shown();
CREATE FUNCTION tools.big(int) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT $1 > 7';
SELECT shown();
DROP FUNCTION tools.big(bigint);
SELECT shown();
DROP FUNCTION tools.big(int);
SELECT shown();
CREATE FUNCTION tools.big(int) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT $1 > 7';
SELECT shown();
ALTER FUNCTION tools.big(int) RENAME TO large;
SELECT shown();
ALTER FUNCTION tools.large(int) RENAME TO big;
SELECT shown();
ALTER FUNCTION tools.big(int) SET SCHEMA public;
SELECT shown();
ALTER FUNCTION public.big(int) SET SCHEMA tools;
SELECT shown();
-- within another's body
ALTER FUNCTION tools.twice(int) RENAME TO doubled;
SELECT shown();
ALTER FUNCTION tools.doubled(int) RENAME TO twice;
SELECT shown();

-- operators
CREATE OR REPLACE FUNCTION tools.near(int, int) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN abs($1 - $2) < 2; END';
SELECT shown();
DROP OPERATOR tools.~~~ (int, int);
SELECT shown();
CREATE OPERATOR tools.~~~ (FUNCTION = tools.near, LEFTARG = int, RIGHTARG = int);
SELECT shown();
ALTER OPERATOR tools.~~~ (int, int) SET SCHEMA public;
ALTER OPERATOR public.~~~ (int, int) SET SCHEMA tools;
SELECT shown();
DROP FUNCTION tools.near(int, int) CASCADE;
SELECT shown();
CREATE FUNCTION tools.near(int, int) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN abs($1 - $2) < 2; END';
CREATE OPERATOR tools.~~~ (FUNCTION = tools.near, LEFTARG = int, RIGHTARG = int);
SELECT shown();

-- casts
CREATE OR REPLACE FUNCTION tools.to_int(tools.pair) RETURNS int LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN $1.a; END';
SELECT shown();
DROP CAST (tools.pair AS int);
SELECT shown();
CREATE CAST (tools.pair AS int) WITH FUNCTION tools.to_int(tools.pair);
SELECT shown();
ALTER FUNCTION tools.to_int(tools.pair) RENAME TO as_int;
SELECT shown();

-- domains
CREATE OR REPLACE FUNCTION tools.below(int) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT $1 < 50';
SELECT shown();
UPDATE leadscore.lead_rule SET condition = 'n::tools.small > 8' WHERE name = 'domain';
SELECT shown();
ALTER DOMAIN tools.small ADD CONSTRAINT not_ten CHECK (VALUE <> 10) NOT VALID;
SELECT shown();
ALTER DOMAIN tools.small DROP CONSTRAINT not_ten;
SELECT shown();

-- collations and text search
ALTER COLLATION tools.plain RENAME TO simple;
SELECT shown();
ALTER COLLATION tools.simple RENAME TO plain;
SELECT shown();
DROP COLLATION tools.plain;
SELECT shown();
CREATE COLLATION tools.plain (provider = icu, locale = 'und');
SELECT shown();
ALTER TEXT SEARCH CONFIGURATION tools.words DROP MAPPING FOR uint;
SELECT shown();
ALTER TEXT SEARCH CONFIGURATION tools.words ADD MAPPING FOR uint WITH simple;
SELECT shown();
ALTER TEXT SEARCH CONFIGURATION tools.words RENAME TO terms;
SELECT shown();
ALTER TEXT SEARCH CONFIGURATION tools.terms RENAME TO words;
SELECT shown();

-- columns
ALTER TABLE deed ALTER n TYPE bigint;
SELECT shown();
ALTER TABLE deed ALTER n TYPE int;
SELECT shown();

-- schemas and types
ALTER SCHEMA tools RENAME TO instruments;
SELECT shown();
ALTER SCHEMA instruments RENAME TO tools;
SELECT shown();
ALTER TYPE tools.small RENAME TO little;
SELECT shown();
ALTER TYPE tools.little RENAME TO small;
SELECT shown();

-- rights and owners: the model's owner is no superuser
SET client_min_messages = error;
CREATE ROLE regress_dep_owner;
CREATE ROLE regress_dep_other;
GRANT CREATE ON SCHEMA public TO regress_dep_owner;
GRANT USAGE ON SCHEMA tools TO regress_dep_owner;
ALTER FUNCTION tools.near(int, int) OWNER TO regress_dep_owner;
GRANT CREATE ON SCHEMA tools TO regress_dep_owner;
SET ROLE regress_dep_owner;
CREATE TABLE own (id int PRIMARY KEY);
CREATE TABLE own_deed (own int, at timestamptz, n int);
CREATE INDEX ON own_deed (own, at);
SELECT leadscore.create_model('o', 'own');
SELECT leadscore.attach('o', 'own_deed', 'own', 'at');
INSERT INTO own VALUES (1);
INSERT INTO own_deed SELECT 1, '2026-03-10 10:00+00', g FROM generate_series(1, 10) g;
INSERT INTO leadscore.lead_rule (model, name, points, condition) VALUES
	('o', 'plain', 1, 'n > 9'),
	('o', 'function', 100, 'tools.near(n, 5)'),
	('o', 'operator', 10000, 'n OPERATOR(tools.~~~) 5');
RESET ROLE;
CREATE FUNCTION own() RETURNS text LANGUAGE sql AS
	$$SELECT leadscore.score('o', 1) || coalesce(' asleep: ' || string_agg(name, ' ' ORDER BY name) FILTER (WHERE backfilled_version = 0), '')
		FROM leadscore.lead_rule WHERE model = 'o'$$;
RESET client_min_messages;
SELECT own();
REVOKE EXECUTE ON FUNCTION tools.near(int, int) FROM PUBLIC, regress_dep_owner;
SELECT own();
GRANT EXECUTE ON FUNCTION tools.near(int, int) TO regress_dep_owner;
SELECT own();
REVOKE USAGE ON SCHEMA tools FROM regress_dep_owner;
SELECT own();
GRANT USAGE ON SCHEMA tools TO regress_dep_owner;
SELECT own();
ALTER FUNCTION tools.near(int, int) OWNER TO regress_dep_other;
SELECT own();
ALTER FUNCTION tools.near(int, int) OWNER TO regress_dep_owner;
SELECT own();
ALTER FUNCTION tools.near(int, int) VOLATILE;
SELECT own();
ALTER FUNCTION tools.near(int, int) IMMUTABLE;
SELECT own();
REVOKE SELECT (n) ON own_deed FROM regress_dep_owner;
REVOKE SELECT ON own_deed FROM regress_dep_owner;
SELECT own();
GRANT SELECT ON own_deed TO regress_dep_owner;
SELECT own();
-- in a block, and undone
DO $$ BEGIN
	BEGIN
		DROP OPERATOR tools.~~~ (int, int);
		RAISE EXCEPTION 'undone';
	EXCEPTION WHEN raise_exception THEN RAISE NOTICE '%', own();
	END;
	CREATE OR REPLACE FUNCTION tools.near(int, int) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN abs($1 - $2) < 4; END';
END $$;
SELECT own();
BEGIN;
DROP OPERATOR tools.~~~ (int, int);
SELECT own();
SAVEPOINT s;
CREATE OPERATOR tools.~~~ (FUNCTION = tools.near, LEFTARG = int, RIGHTARG = int);
SELECT own();
ROLLBACK TO SAVEPOINT s;
SELECT own();
ROLLBACK;
SELECT own();
SELECT * FROM leadscore.verify('o');
SELECT leadscore.drop_model('o');
DROP TABLE own, own_deed;
DROP FUNCTION own();

-- extensions
SET client_min_messages = error;
CREATE SCHEMA ext;
CREATE EXTENSION citext SCHEMA ext;
INSERT INTO leadscore.lead_rule (model, name, points, condition) VALUES ('m', 'extension', 0.5, 'what::ext.citext OPERATOR(ext.=) ''SAY 3''::ext.citext');
RESET client_min_messages;
SELECT shown();
ALTER EXTENSION citext SET SCHEMA public;
SELECT shown();
ALTER EXTENSION citext SET SCHEMA ext;
SELECT shown();
DROP EXTENSION citext;
SELECT shown();
CREATE EXTENSION citext SCHEMA ext;
SELECT shown();
DROP SCHEMA ext CASCADE;
SELECT shown();

-- whatever else uses them is looked at as well
SET client_min_messages = error;
CREATE TYPE tools.kind AS ENUM ('a', 'b');
CREATE FUNCTION tools.rank(tools.kind) RETURNS int LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN 1; END';
ALTER TABLE deed ADD kind tools.kind DEFAULT 'a', ADD CHECK (kind IS NULL OR tools.rank(kind) > 0);
CREATE TABLE tools.used (k tools.kind DEFAULT 'a', i int DEFAULT tools.rank('a'),
	g int GENERATED ALWAYS AS (tools.rank('b')) STORED, CHECK (tools.rank(k) > 0));
CREATE INDEX ON tools.used (tools.rank(k));
CREATE STATISTICS tools.used_rank ON (tools.rank(k)), i FROM tools.used;
CREATE POLICY used ON tools.used USING (tools.rank(k) > 0);
CREATE VIEW tools.seen AS SELECT * FROM tools.used WHERE k = 'a' AND tools.rank(k) > 0;
CREATE RULE nothing AS ON UPDATE TO tools.seen WHERE tools.rank(NEW.k) > 0 DO INSTEAD NOTHING;
CREATE DOMAIN tools.ranked AS tools.kind DEFAULT 'a' CHECK (tools.rank(VALUE) > 0);
CREATE TRIGGER ranked AFTER UPDATE ON tools.used FOR EACH ROW WHEN (tools.rank(NEW.k) > 0) EXECUTE FUNCTION suppress_redundant_updates_trigger();
CREATE TABLE tools.split (k tools.kind) PARTITION BY LIST (tools.rank(k));
INSERT INTO leadscore.lead_rule (model, name, points, condition) VALUES ('m', 'kind', 0.5, 'kind = ''a'''), ('m', 'rank', 0.25, 'tools.rank(kind) > 0');
RESET client_min_messages;
SELECT shown();
ALTER TYPE tools.kind RENAME TO sort;
SELECT shown();
ALTER TYPE tools.sort SET SCHEMA public;
SELECT shown();
ALTER FUNCTION tools.rank(public.sort) RENAME TO grade;
SELECT shown();
ALTER FUNCTION tools.grade(public.sort) RENAME TO rank;
SELECT shown();
CREATE OR REPLACE FUNCTION tools.rank(public.sort) RETURNS int LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN -1; END';
SELECT shown();
SET client_min_messages = error;
DROP FUNCTION tools.rank(public.sort) CASCADE;
SELECT shown();
DROP TYPE public.sort CASCADE;
SELECT shown();

-- conditions of stages
SET client_min_messages = error;
CREATE FUNCTION tools.is_pro(text) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$BEGIN RETURN $1 = 'pro'; END$$;
INSERT INTO leadscore.lead_stage (model, stage, position, enter_at, condition) VALUES ('m', 'pro', 1, 1, 'tools.is_pro(plan)');
RESET client_min_messages;
SELECT stage FROM leadscore.score_m;
CREATE OR REPLACE FUNCTION tools.is_pro(text) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$BEGIN RETURN $1 = 'free'; END$$;
SELECT stage FROM leadscore.score_m;
CREATE OR REPLACE FUNCTION tools.is_pro(text) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$BEGIN RETURN $1 = 'pro'; END$$;
SELECT stage FROM leadscore.score_m;
ALTER FUNCTION tools.is_pro(text) RENAME TO pro;
CREATE FUNCTION tools.unused() RETURNS int LANGUAGE sql AS 'SELECT 1';
ALTER FUNCTION tools.pro(text) RENAME TO is_pro;
SELECT stage FROM leadscore.score_m;
-- conditions that cannot be evaluated count as false in what is stored, too, and again when they can be
ALTER TABLE lead DROP plan;
SELECT s.stage AS stored, l.stage AS live FROM leadscore.score_m s JOIN leadscore.live_m l USING (contact_id);
ALTER TABLE lead ADD plan text DEFAULT 'pro';
SELECT s.stage AS stored, l.stage AS live FROM leadscore.score_m s JOIN leadscore.live_m l USING (contact_id);
ALTER FUNCTION tools.is_pro(text) RENAME TO pro;
SELECT s.stage AS stored, l.stage AS live FROM leadscore.score_m s JOIN leadscore.live_m l USING (contact_id);
ALTER FUNCTION tools.pro(text) RENAME TO is_pro;
SELECT s.stage AS stored, l.stage AS live FROM leadscore.score_m s JOIN leadscore.live_m l USING (contact_id);
ALTER TABLE lead ALTER plan DROP DEFAULT, ALTER plan TYPE varchar(10)[] USING ARRAY[plan];
SELECT s.stage AS stored, l.stage AS live FROM leadscore.score_m s JOIN leadscore.live_m l USING (contact_id);
ALTER TABLE lead ALTER plan TYPE text USING plan[1];
SELECT s.stage AS stored, l.stage AS live FROM leadscore.score_m s JOIN leadscore.live_m l USING (contact_id);
SELECT leadscore.drop_model('m');
SET client_min_messages = error;
DROP TABLE lead, deed CASCADE;
DROP VIEW shown CASCADE;
DROP SCHEMA tools CASCADE;
REVOKE ALL ON SCHEMA public FROM regress_dep_owner;
DROP ROLE regress_dep_owner, regress_dep_other;
