-- Queries of live_<model> use some of its columns in many ways: each gives what it does of
-- a subquery that has all of them.
SET client_min_messages = warning;
SET timezone = 'UTC';
SET datestyle = 'ISO';
SET leadscore.clock = '2026-03-02 00:00+00';
CREATE TABLE person (id int PRIMARY KEY, name text);
CREATE TABLE act (id int PRIMARY KEY, person int, at timestamptz DEFAULT leadscore.clock());
INSERT INTO person SELECT g, 'p' || g FROM generate_series(1, 20) g;
SELECT leadscore.create_model('m', 'person');
SELECT leadscore.attach('m', 'act', 'person', 'at');
INSERT INTO leadscore.lead_rule (model, name, points, decay, decay_interval) VALUES ('m', 'any', 10, 'half_life', '1 day');
INSERT INTO leadscore.lead_grade (model, category, grade, min_points) VALUES ('m', 'engagement', 'A', 12), ('m', 'engagement', 'B', 1);
INSERT INTO act (id, person) SELECT g, 1 + g % 15 FROM generate_series(1, 40) g;
SET leadscore.clock = '2026-03-03 00:00+00';
CREATE VIEW above AS SELECT contact_id, score, grade FROM leadscore.live_m;

-- rows reads a query as it stands, not as part of another
CREATE FUNCTION rows(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	r record;
	found text[] := '{}';
BEGIN
	FOR r IN EXECUTE query LOOP
		found := found || r::text;
	END LOOP;
	RETURN (SELECT count(*) || ' ' || coalesce(string_agg(f, ' ' ORDER BY f), '') FROM unnest(found) f);
END $$;
CREATE TABLE query (n int GENERATED ALWAYS AS IDENTITY, query text);
INSERT INTO query (query) VALUES
	('SELECT score FROM @ l'),
	('SELECT l FROM @ l'),
	('SELECT l.* FROM @ l'),
	('SELECT contact_id FROM @ l WHERE grade = ''A'''),
	('SELECT count(*) FROM @ l'),
	('SELECT grade, count(*), max(score) FROM @ l GROUP BY grade'),
	('SELECT contact_id FROM @ l GROUP BY contact_id, stage HAVING max(score) > 12'),
	('SELECT DISTINCT grade FROM @ l'),
	('SELECT DISTINCT ON (grade) grade FROM @ l ORDER BY grade, score DESC'),
	('SELECT contact_id FROM @ l ORDER BY score DESC, last_event_at, contact_id LIMIT 3'),
	('SELECT contact_id, rank() OVER (PARTITION BY stage ORDER BY score) FROM @ l'),
	('SELECT p.name, l.score FROM person p JOIN @ l ON l.contact_id = p.id'),
	('SELECT p.name, l.grade FROM person p LEFT JOIN @ l ON l.contact_id = p.id AND l.score > 12'),
	('SELECT j FROM (person p JOIN @ l ON l.contact_id = p.id) j'),
	('SELECT j.grade, j.name FROM (person p JOIN @ l ON l.contact_id = p.id) j'),
	('SELECT x, z FROM (person p JOIN @ l ON l.contact_id = p.id) j (x, y, z, s)'),
	('SELECT contact_id, grade FROM @ l JOIN (SELECT 3 AS contact_id) v USING (contact_id)'),
	('SELECT score FROM @ l FULL JOIN (SELECT score FROM @ x WHERE contact_id < 5) v USING (score)'),
	('SELECT * FROM @ l NATURAL JOIN (SELECT 3 AS contact_id) v'),
	('SELECT a.stage, b.score FROM @ a JOIN @ b USING (contact_id) WHERE a.has_contact'),
	('SELECT k.grade, k.score FROM ((person p JOIN @ l ON l.contact_id = p.id) JOIN (SELECT 4 AS n) v ON v.n = p.id) k'),
	('SELECT p.name, (SELECT l.score FROM @ l WHERE l.contact_id = p.id) FROM person p'),
	('SELECT l.contact_id, (SELECT l.grade || p.name FROM person p WHERE p.id = l.contact_id) FROM @ l'),
	('SELECT l.contact_id, (SELECT max(v.x) FROM (SELECT (SELECT l.score) AS x) v) FROM @ l'),
	('SELECT l.contact_id FROM @ l WHERE EXISTS (SELECT FROM person p WHERE p.id = l.contact_id AND l.score > p.id)'),
	('SELECT v.x FROM @ l, LATERAL (SELECT l.score + 1 AS x) v'),
	('SELECT v.x FROM @ l, LATERAL (SELECT l.stage AS x UNION ALL SELECT l.grade) v'),
	('SELECT v.x FROM @ l, LATERAL (SELECT j.x FROM (person p JOIN (SELECT l.grade AS x, 7 AS n) w ON w.n = p.id) j) v'),
	('SELECT f FROM @ l, unnest(ARRAY[l.grade, l.stage]) f'),
	('SELECT v.a FROM @ l, LATERAL (VALUES (l.last_event_at)) v (a)'),
	('WITH c AS (SELECT * FROM @ l) SELECT score FROM c'),
	('WITH c AS MATERIALIZED (SELECT contact_id, stage FROM @ l) SELECT c.stage, l.score FROM c JOIN @ l USING (contact_id)'),
	('SELECT score FROM @ l WHERE contact_id < 3 UNION ALL SELECT extract(epoch FROM scored_at) FROM @ l'),
	('SELECT q.score FROM (SELECT * FROM @ l OFFSET 0) q'),
	('SELECT to_jsonb(l) ->> ''grade'' FROM @ l'),
	('SELECT l.contact_id, p.name FROM @ l JOIN person p ON p.id = l.contact_id FOR UPDATE OF p'),
	('SELECT grade FROM @ l FOR KEY SHARE');
SELECT n, query, rows(replace(query, '@', 'leadscore.live_m')) AS found,
	rows(replace(query, '@', '(SELECT * FROM leadscore.live_m OFFSET 0)')) AS wanted
  FROM query WHERE query !~ 'KEY SHARE$' AND rows(replace(query, '@', 'leadscore.live_m'))
	IS DISTINCT FROM rows(replace(query, '@', '(SELECT * FROM leadscore.live_m OFFSET 0)'));
SELECT n, left(rows(replace(query, '@', 'leadscore.live_m')), 60) FROM query ORDER BY n;
-- a view above it, a plan that is kept, and what writes what it reads
SELECT rows('SELECT grade FROM above') = rows('SELECT grade FROM leadscore.live_m') AS same;
PREPARE one (int) AS SELECT p.name, l.score, l.grade FROM person p JOIN leadscore.live_m l ON l.contact_id = p.id WHERE p.id = $1;
SET plan_cache_mode = force_generic_plan;
EXECUTE one (3);
INSERT INTO act (id, person) VALUES (100, 3);
EXECUTE one (3);
CREATE TABLE copied AS SELECT contact_id, stage, score FROM leadscore.live_m;
INSERT INTO copied SELECT contact_id + 100, stage, score FROM leadscore.live_m;
SELECT count(*), count(stage), count(score) FROM copied;
UPDATE copied c SET stage = l.grade FROM leadscore.live_m l WHERE l.contact_id = c.contact_id AND l.score > 12;
SELECT stage, count(*) FROM copied GROUP BY 1 ORDER BY 1;
DROP TABLE query, copied;
DROP VIEW above;
DROP FUNCTION rows;
SELECT leadscore.drop_model('m');
DROP TABLE person, act;
