-- live_<model> beside other tables: only the contacts that are asked for are evaluated.
SET client_min_messages = warning;
SET timezone = 'UTC';
SET datestyle = 'ISO';
SET leadscore.clock = '2026-03-02 00:00+00';
CREATE TABLE person (id int PRIMARY KEY, name text, country text);
CREATE TABLE act (id int PRIMARY KEY, person int, visitor text, at timestamptz DEFAULT leadscore.clock());
CREATE INDEX ON act (person, at);
CREATE INDEX ON act (visitor, at);
INSERT INTO person SELECT g, 'p' || g, CASE WHEN g % 500 = 0 THEN 'LI' ELSE 'DE' END FROM generate_series(1, 5000) g;
CREATE INDEX ON person (name);
SELECT leadscore.create_model('m', 'person');
SELECT leadscore.attach('m', 'act', 'person', 'at', visitor => 'visitor');
INSERT INTO leadscore.lead_rule (model, name, points, decay, decay_interval) VALUES ('m', 'any', 10, 'half_life', '1 day');
INSERT INTO act (id, person) SELECT g, g FROM generate_series(1, 5000) g;
INSERT INTO act (id, visitor) VALUES (9001, 'v1'), (9002, 'v2');
ANALYZE person, leadscore.score_m, leadscore.pending_m, leadscore.identity_m;
SET leadscore.clock = '2026-03-03 00:00+00';

-- how the score table is read
CREATE FUNCTION plan(query text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	line text;
BEGIN
	FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || query LOOP
		IF line ~ 'Scan.* score_m' THEN
			RETURN NEXT ltrim(line, ' ->');
		END IF;
	END LOOP;
END $$;
-- how many contacts a query evaluates: the calls for one column
SET track_functions = 'all';
CREATE FUNCTION calls() RETURNS bigint LANGUAGE sql
	AS $$ SELECT coalesce(pg_stat_get_xact_function_calls('leadscore_internal.live_column'::regproc), 0) $$;
CREATE FUNCTION evaluated(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	before bigint := calls();
BEGIN
	EXECUTE format('SELECT count(score) FROM (%s) AS q', query);
	RETURN calls() - before || ' evaluated';
END $$;
SELECT plan('SELECT p.name, l.score FROM person p JOIN leadscore.live_m l ON l.contact_id = p.id WHERE p.name = ''p7''');
SELECT plan('SELECT * FROM leadscore.live_m WHERE contact_id = 7');
SELECT plan('SELECT * FROM leadscore.live_m WHERE contact_id IN (7, 8, 4711)');
SELECT evaluated('SELECT p.name, l.score FROM person p JOIN leadscore.live_m l ON l.contact_id = p.id WHERE p.name = ''p7''');
SELECT p.name, l.score FROM person p JOIN leadscore.live_m l ON l.contact_id = p.id WHERE p.name = 'p7';
SELECT evaluated('SELECT p.name, l.score FROM person p LEFT JOIN leadscore.live_m l ON l.contact_id = p.id WHERE p.name = ''p7''');
SELECT p.name, l.score FROM person p LEFT JOIN leadscore.live_m l ON l.contact_id = p.id WHERE p.name = 'p7';
SELECT evaluated('SELECT * FROM leadscore.live_m WHERE contact_id = 7');
SELECT evaluated('SELECT * FROM leadscore.live_m WHERE contact_id IN (7, 8, 4711)');
SELECT evaluated('SELECT * FROM leadscore.live_m WHERE contact_id IN (SELECT id FROM person WHERE name IN (''p1'', ''p2''))');
SELECT evaluated('SELECT * FROM person p, LATERAL (SELECT score FROM leadscore.live_m l WHERE l.contact_id = p.id) l WHERE p.name = ''p7''');
SELECT evaluated('SELECT l.score FROM leadscore.live_m l JOIN leadscore.score_m s USING (contact_id) WHERE s.contact_id = 7');
-- however they are joined, those that are left when the join is done
SELECT evaluated('SELECT p.name, l.score FROM person p JOIN leadscore.live_m l ON l.contact_id = p.id WHERE p.country = ''LI''');
SELECT evaluated('SELECT * FROM leadscore.live_m');
SELECT evaluated('SELECT contact_id, score FROM leadscore.live_m ORDER BY score DESC LIMIT 50');
-- in a function of a reader who has the view only
CREATE ROLE live_reader;
GRANT SELECT ON leadscore.live_m, person TO live_reader;
SET ROLE live_reader;
SELECT p.name, l.* FROM person p JOIN leadscore.live_m l ON l.contact_id = p.id WHERE p.name = 'p8';
SELECT contact_id FROM leadscore.score_m WHERE contact_id = 8;
RESET ROLE;

-- those of whom something is pending only, once each; and of whom nothing will be left
CREATE VIEW odd AS SELECT contact_id, score, has_contact FROM leadscore.live_m WHERE contact_id > 5000 OR contact_id IN (1, 2) ORDER BY 1;
SELECT * FROM odd;
BEGIN ISOLATION LEVEL REPEATABLE READ;
INSERT INTO act (id, person) VALUES (6001, 6001), (6002, 6001), (6003, 6003), (6004, 1);
SELECT * FROM odd;
COMMIT;
BEGIN ISOLATION LEVEL REPEATABLE READ; INSERT INTO act (id, person) VALUES (6005, 6001); COMMIT;
SELECT * FROM odd;
SELECT evaluated('SELECT l.* FROM (VALUES (6001), (6002), (7)) v (id) JOIN leadscore.live_m l ON l.contact_id = v.id');
SELECT l.contact_id, score FROM (VALUES (6001), (6002), (7)) v (id) JOIN leadscore.live_m l ON l.contact_id = v.id ORDER BY 1;
-- of visitors who are identified as somebody who has nothing else
SELECT leadscore.identify('m', 'v3', 7001), leadscore.identify('m', 'v4', 7001), leadscore.identify('m', 'v5', 7002), leadscore.identify('m', 'v6', 2);
BEGIN ISOLATION LEVEL REPEATABLE READ; INSERT INTO act (id, visitor) VALUES (7001, 'v3'), (7002, 'v4'), (7003, 'v6'); COMMIT;
SELECT * FROM odd;
BEGIN ISOLATION LEVEL REPEATABLE READ; INSERT INTO act (id, person) VALUES (7004, 7001); COMMIT;
SELECT * FROM odd;
SELECT leadscore.refresh('m');
SELECT * FROM odd;
SELECT contact_id, score FROM leadscore.score_m WHERE contact_id > 5000 ORDER BY 1;
BEGIN ISOLATION LEVEL REPEATABLE READ; DELETE FROM act WHERE person = 6001; COMMIT;
SELECT * FROM odd;
SELECT * FROM leadscore.verify('m');
SELECT leadscore.refresh('m');
SELECT * FROM odd;
SELECT * FROM leadscore.verify('m');

-- the function believes nothing that it is told
SELECT leadscore_internal.live(NULL::leadscore.score_m, 'person'::regclass, '(0,1)', now());
SELECT leadscore_internal.live(NULL::leadscore.score_m, 0, '(0,1)', now());
SELECT leadscore_internal.live(1, 'person'::regclass, '(0,1)', now());
SELECT leadscore_internal.live(NULL::person, 'person'::regclass, '(0,1)', now());
SELECT leadscore_internal.live(NULL::leadscore.score_m, 'leadscore.score_m'::regclass, p, now()) IS NULL
  FROM unnest('{"(0,0)", "(0,60000)", "(4294967295,1)", "(4294967294,1)", "(1000000,1)", "(0,1)", NULL}'::tid[]) p;
SELECT leadscore_internal.live(NULL::leadscore.score_m, 'leadscore.pending_m'::regclass, p, now()) IS NULL
  FROM unnest('{"(0,0)", "(0,60000)", "(4294967294,1)"}'::tid[]) p;
SELECT leadscore_internal.live(NULL::leadscore.score_m, NULL, NULL, NULL);
SELECT leadscore_internal.live(NULL::leadscore.score_m, 'leadscore.score_m'::regclass, '(0,1)', 'infinity');
SELECT leadscore_internal.live_column(NULL::float8, 'leadscore.score_m', 2, 'person'::regclass, '(0,1)');
SELECT leadscore_internal.live_column(NULL::float8, 'person', 2, 'person'::regclass, '(0,1)');
SELECT leadscore_internal.live_column(NULL::text, 'leadscore.score_m', 2, 'leadscore.score_m'::regclass, '(0,1)');
SELECT leadscore_internal.live_column(NULL::float8, 'leadscore.score_m', n, 'leadscore.score_m'::regclass, '(0,1)') FROM (VALUES (-1)) v (n);
SELECT leadscore_internal.live_column(NULL::float8, 'leadscore.score_m', n, 'leadscore.score_m'::regclass, '(0,1)') FROM (VALUES (99)) v (n);
SELECT leadscore_internal.live_column(NULL::bytea, 'leadscore.score_m', a.attnum, 'leadscore.score_m'::regclass, '(0,1)')
  FROM pg_attribute a WHERE attrelid = 'leadscore.score_m'::regclass AND attname = 'state';
SELECT leadscore_internal.live_column(NULL::float8, 'leadscore.score_m', 2, 'leadscore.score_m'::regclass, p) IS NULL AS no_row,
	leadscore_internal.live_shows_new('leadscore.score_m', 'leadscore.pending_m'::regclass, p) AS shows
  FROM unnest('{"(0,0)", "(0,60000)", "(4294967295,1)", "(4294967294,1)", "(1000000,1)", "(0,1)", NULL}'::tid[]) p;
-- what two contacts of a row give in one expression
SELECT a.contact_id, b.contact_id, a.stage || '|' || b.stage AS stages, a.score + b.score AS sum, a.scored_at = b.scored_at AS same
  FROM leadscore.live_m a JOIN leadscore.live_m b ON b.contact_id = a.contact_id + 1 WHERE a.contact_id IN (10, 20) ORDER BY 1;
-- a cursor has one instant, whenever rows are fetched
BEGIN;
DECLARE c CURSOR FOR SELECT contact_id, score FROM leadscore.live_m WHERE contact_id IN (10, 20, 30);
FETCH 1 FROM c;
SET LOCAL leadscore.clock = '2026-03-04 00:00+00';
FETCH 2 FROM c;
SELECT contact_id, score FROM leadscore.live_m WHERE contact_id = 10;
ROLLBACK;
-- pages of many rows, beside those of a snapshot of before
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT count(score), sum(score) FROM leadscore.live_m WHERE contact_id < 100;
DELETE FROM act WHERE person < 50;
SELECT count(score), sum(score) FROM leadscore.live_m WHERE contact_id < 100;
ROLLBACK;
SELECT count(score), sum(score), count(*) FILTER (WHERE score <> leadscore.score('m', contact_id)) AS others FROM leadscore.live_m WHERE contact_id < 100;
-- nor is anything left of a row that failed, where the next is read by the same expression
SET session_replication_role = replica;
UPDATE leadscore.score_m SET state = '\xff' WHERE contact_id = 8;
SET session_replication_role = origin;
CREATE TABLE read_so (contact int, score float8, failed text);
DO $$
DECLARE
	r record;
	live leadscore.score_m;
BEGIN
	FOR r IN SELECT contact_id, ctid FROM leadscore.score_m WHERE contact_id IN (7, 8, 9) ORDER BY contact_id LOOP
		BEGIN
			live := leadscore_internal.live(NULL::leadscore.score_m, 'leadscore.score_m'::regclass, r.ctid, leadscore.clock());
			INSERT INTO read_so VALUES (live.contact_id, live.score);
		EXCEPTION WHEN data_corrupted THEN
			INSERT INTO read_so VALUES (r.contact_id, NULL, SQLERRM);
		END;
	END LOOP;
END $$;
SELECT * FROM read_so;
DROP TABLE read_so;
DROP VIEW odd;
SELECT leadscore.drop_model('m');
DROP TABLE person, act;
DROP ROLE live_reader;
