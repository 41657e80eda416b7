-- Contacts that are too long to be keys: nobody's, in whatever way they come.
SET timezone = 'UTC';
SET datestyle = 'ISO';
\pset null -
\set SHOW_CONTEXT never
SET leadscore.clock = '2026-03-02 00:00+00';
SET client_min_messages = warning;
CREATE SCHEMA long_keys;
SET search_path = long_keys;
-- a garbage cookie: no two parts of it are equal
CREATE FUNCTION garbage(bytes int) RETURNS text
	LANGUAGE sql IMMUTABLE AS $$ SELECT left(string_agg(md5(n::text), '' ORDER BY n), bytes) FROM generate_series(1, bytes / 32 + 1) n $$;
CREATE TABLE person (id text PRIMARY KEY, vip boolean);
CREATE TABLE act (person text, cookie text, at timestamptz, n int);
CREATE INDEX ON act (at);
INSERT INTO person VALUES ('a', true), (garbage(1500), true), (repeat('z', 100000), true);
SELECT leadscore.create_model('long', 'person');
INSERT INTO act VALUES ('a', NULL, '2026-03-01', 1), (garbage(12816), NULL, '2026-03-01', 1);
SELECT leadscore.attach('long', 'act', 'person', 'at', visitor => 'cookie');
INSERT INTO leadscore.lead_rule (model, name, points) VALUES ('long', 'any', 1);
INSERT INTO leadscore.lead_rule (model, name, kind, points, condition) VALUES ('long', 'vip', 'profile', 100, 'vip');
CREATE VIEW scores AS SELECT left(contact_id, 4) || length(contact_id) AS contact, score FROM leadscore.score_long
	UNION ALL SELECT 'visitor ' || left(contact_id, 4) || length(contact_id), score FROM leadscore.score_long_visitors;
SELECT * FROM scores ORDER BY 1;

-- INSERT, of events and contacts, compressible or not, at the limit and beyond
INSERT INTO act VALUES (garbage(12816), NULL, '2026-03-01', 1), ('b', NULL, '2026-03-01', 1);
INSERT INTO act VALUES
	(repeat('x', 100000), NULL, '2026-03-01', 1), (NULL, garbage(12816), '2026-03-01', 1),
	(NULL, repeat('y', 100000), '2026-03-01', 1), (NULL, 'v', '2026-03-01', 1);
INSERT INTO act VALUES
	(repeat('m', 1000), NULL, '2026-03-01', 1), (repeat('m', 1001), NULL, '2026-03-01', 1),
	(repeat('ä', 500), NULL, '2026-03-01', 1), (repeat('ä', 501), NULL, '2026-03-01', 1);
INSERT INTO person VALUES (garbage(2000), true), (repeat('w', 100000), true), ('c', true);
SELECT * FROM scores ORDER BY 1;
-- UPDATE to and from one, DELETE, MERGE, COPY, TRUNCATE
UPDATE act SET person = garbage(5000) WHERE person = 'b';
UPDATE act SET person = 'd' WHERE length(person) = 100000;
UPDATE person SET id = garbage(1600) WHERE id = 'c';
UPDATE person SET id = 'e' WHERE length(id) = 1500;
DELETE FROM act WHERE length(person) = 12816;
DELETE FROM person WHERE length(id) = 2000;
MERGE INTO act USING (SELECT garbage(3000) AS p) s ON act.person = s.p WHEN NOT MATCHED THEN INSERT VALUES (s.p, NULL, '2026-03-01', 1);
\copy act (person, at) FROM PROGRAM 'head -c 3000 /dev/zero | tr "\\0" q; echo ",2026-03-01"' (FORMAT csv)
SELECT * FROM scores ORDER BY 1;
SELECT contact, status FROM leadscore.verify('long');
-- under a transaction snapshot, and what is applied by replication
BEGIN ISOLATION LEVEL REPEATABLE READ;
INSERT INTO act VALUES (garbage(12816), NULL, '2026-03-01', 1), ('f', NULL, '2026-03-01', 1), (NULL, garbage(12816), '2026-03-01', 1);
COMMIT;
SET session_replication_role = replica;
INSERT INTO act VALUES (garbage(12816), NULL, '2026-03-01', 1), ('g', NULL, '2026-03-01', 1);
UPDATE act SET person = repeat('n', 3000) WHERE person = 'f';
INSERT INTO person VALUES (repeat('o', 3000), true);
DELETE FROM person WHERE id = 'e';
RESET session_replication_role;
SELECT leadscore.refresh('long') > 0 AS refreshed;
SELECT leadscore.rescore('long');
SELECT * FROM scores ORDER BY 1;
SELECT contact, status FROM leadscore.verify('long');
SELECT name, sqlstate, message, contact, failures > 0 AS any FROM leadscore.rule_errors WHERE model LIKE 'long%' ORDER BY model, name;
-- functions: unknown to those who ask, refused by those who write
SELECT leadscore.score('long', garbage(12816)), leadscore.replay('long', garbage(12816)), leadscore.score('long', repeat('x', 100000), '2026-03-01 12:00'),
	(SELECT count(*) FROM leadscore.explain('long', garbage(12816)) WHERE matched > 0) AS matched, leadscore.erase_contact('long', garbage(12816)) AS erased;
SELECT leadscore.identify('long', garbage(12816), 'a');
SELECT leadscore.identify('long', 'v', garbage(1001));
SELECT leadscore.merge_contacts('long', 'a', repeat('x', 100000));
SELECT leadscore.merge_contacts('long', garbage(12816), 'a');
SELECT leadscore.set_stage('long', garbage(12816), 'unqualified');
-- a visitor who is known, and what is asked under other rules
SELECT leadscore.identify('long', 'v', 'a');
SELECT * FROM scores ORDER BY 1;
BEGIN;
UPDATE leadscore.lead_rule SET points = 2, condition = 'n > 0' WHERE name = 'any';
SELECT leadscore.score('long', 'd');
ROLLBACK;
-- what is purged is kept of those who have a key
UPDATE act SET person = repeat('p', 1500) WHERE person = 'g';
SET leadscore.on_delete = 'keep';
DELETE FROM act WHERE person IS NULL OR length(person) <> 1;
RESET leadscore.on_delete;
TRUNCATE act;
SELECT * FROM scores ORDER BY 1;
DROP VIEW scores;
SELECT leadscore.drop_model('long');

--
-- keys of other types
--
CREATE TYPE pair AS (x text, y int);
CREATE FUNCTION try(kind text, short text, long text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	said text;
BEGIN
	EXECUTE format('CREATE TABLE long_keys.who (id %s PRIMARY KEY)', kind);
	EXECUTE format('CREATE TABLE long_keys.did (who %s, at timestamptz)', kind);
	PERFORM leadscore.create_model('other', 'long_keys.who'), leadscore.attach('other', 'long_keys.did', 'who', 'at');
	INSERT INTO leadscore.lead_rule (model, name, points) VALUES ('other', 'any', 1);
	EXECUTE format('INSERT INTO long_keys.did VALUES (%L, ''2026-03-01''), (%L, ''2026-03-01'')', short, long);
	SELECT string_agg(left(contact_id::text, 20) || ' ' || score, ', ') INTO said FROM leadscore.score_other;
	PERFORM leadscore.rescore('other');
	SELECT concat_ws('; ', said, string_agg(left(contact_id::text, 20) || ' ' || score, ', '),
		(SELECT string_agg(message, ', ') FROM leadscore.rule_errors WHERE model = 'other')) INTO said FROM leadscore.score_other;
	PERFORM leadscore.drop_model('other');
	DROP TABLE long_keys.who, long_keys.did;
	RETURN said;
END $$;
SET client_min_messages = error;
SELECT try('bytea', '\x01', '\x' || repeat('00', 1000));
SELECT try('bytea', '\x' || repeat('00', 999), '\x' || repeat('01', 100000));
SELECT try('numeric', '1.5', '1e2001');
SELECT try('text[]', '{a}', '{' || repeat('b', 2500) || '}');
SELECT try('int[]', '{1}', '{' || repeat('1,', 300) || '1}');
SELECT try('pair', '(a,1)', '(' || repeat('b', 2500) || ',1)');
SELECT try('varchar', 'a', garbage(5000));
SELECT try('jsonb', '{"a": 1}', format('{"a": "%s"}', garbage(5000)));

SET client_min_messages = warning;
DROP SCHEMA long_keys CASCADE;
