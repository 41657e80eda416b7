-- Expressions whose planning wants to know of a column whether it may be NULL, and
-- functions that are built into a planned expression and change.
SET timezone = 'UTC';
SET leadscore.clock = '2026-03-02 00:00+00';
CREATE SCHEMA planned;
SET search_path = planned;
CREATE TYPE place AS (town text, floor int);
CREATE TABLE contact (id int PRIMARY KEY, country text NOT NULL, city text);
CREATE TABLE event (contact int, at timestamptz, what text NOT NULL, amount int, url text, at_home place);
CREATE INDEX ON event (contact, at);
INSERT INTO contact VALUES (1, 'DE', NULL), (2, 'US', 'Boston');
SELECT leadscore.create_model('planned', 'contact');
SELECT leadscore.attach('planned', 'event', 'contact', 'at', 'what');
CREATE FUNCTION limit_of(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT coalesce($1, 0) + 1';
CREATE FUNCTION is_much(int) RETURNS bool LANGUAGE sql IMMUTABLE AS 'SELECT $1 IS NOT NULL AND $1 > planned.limit_of(9)';
CREATE FUNCTION known(text, text) RETURNS bool LANGUAGE sql IMMUTABLE AS 'SELECT $1 IS NOT DISTINCT FROM $2 OR coalesce($1, $2) IS NULL';
SET client_min_messages = error;
INSERT INTO leadscore.lead_rule (model, name, condition, points) VALUES
	('planned', 'is null', 'amount IS NULL AND what IS NOT NULL', 1),
	('planned', 'is not null', 'NOT (amount IS NOT NULL) IS NOT UNKNOWN AND what IS NULL', 2),
	('planned', 'coalesce', 'coalesce(amount, contact, 0) > 5 AND coalesce(what, url) <> ''x''', 4),
	('planned', 'distinct', 'what IS DISTINCT FROM url AND amount IS NOT DISTINCT FROM NULL', 8),
	('planned', 'nullif', 'nullif(what, url) IS NULL OR nullif(amount, 10) IS NULL', 16),
	('planned', 'row', 'ROW(what, amount) IS NOT NULL AND (amount, url) IS DISTINCT FROM (10, what)', 32),
	('planned', 'composite', '(at_home).floor IS NULL AND at_home IS NOT NULL IS NOT TRUE', 64),
	('planned', 'case', 'CASE WHEN amount IS NULL THEN what IS NOT NULL ELSE greatest(amount, NULL) = amount END', 128),
	('planned', 'array', 'what = ANY (ARRAY[''a'', coalesce(url, what)]) AND array_position(ARRAY[amount, NULL], NULL) IS NOT NULL', 256),
	('planned', 'inlined', 'planned.known(what, url)', 512),
	('planned', 'much', 'planned.is_much(amount)', 1024);
INSERT INTO leadscore.lead_rule (model, name, kind, condition, points) VALUES
	('planned', 'city', 'profile', 'city IS NULL AND country IS NOT NULL', 4096),
	('planned', 'country', 'profile', 'coalesce(city, country) IS DISTINCT FROM country', 8192);
RESET client_min_messages;
INSERT INTO event VALUES (1, '2026-03-01', 'a', NULL, NULL, NULL), (2, '2026-03-01', 'b', 10, 'b', ('x', 1));
-- what PostgreSQL itself makes of them
CREATE FUNCTION matches(rule text, contact int) RETURNS bool LANGUAGE plpgsql AS $$
DECLARE
	found bool;
BEGIN
	EXECUTE (SELECT format('SELECT %s FROM planned.%s WHERE %s = %s', condition, CASE kind WHEN 'event' THEN 'event' ELSE 'contact' END,
			CASE kind WHEN 'event' THEN 'contact' ELSE 'id' END, matches.contact)
		FROM leadscore.lead_rule WHERE model = 'planned' AND name = rule) INTO found;
	RETURN coalesce(found, false);
END
$$;
CREATE FUNCTION agreed() RETURNS TABLE (contact int, rules text, score float8, wrong bigint) LANGUAGE sql AS $$
	SELECT id, string_agg(e.name, ', ' ORDER BY e.name) FILTER (WHERE e.points <> 0), leadscore.score('planned', id),
		count(*) FILTER (WHERE (e.points <> 0) <> planned.matches(e.name, id))
	FROM planned.contact, leadscore.explain('planned', id) e GROUP BY id ORDER BY id
$$;
SELECT * FROM agreed();
SELECT * FROM leadscore.verify('planned');
-- a function in a function, replaced: by column and by constants only
CREATE OR REPLACE FUNCTION limit_of(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT coalesce($1, 0) - 1';
SELECT * FROM agreed();
SELECT * FROM leadscore.verify('planned');
CREATE OR REPLACE FUNCTION known(text, text) RETURNS bool LANGUAGE sql IMMUTABLE AS 'SELECT $1 IS NULL OR $2 IS NULL';
INSERT INTO event VALUES (1, '2026-03-01', 'c', 11, 'c', ('x', NULL));
SELECT contact, score FROM agreed();
SELECT * FROM leadscore.verify('planned');
-- a column that becomes NOT NULL, and may be NULL again
UPDATE event SET amount = 0 WHERE amount IS NULL;
ALTER TABLE event ALTER amount SET NOT NULL, ALTER what DROP NOT NULL;
INSERT INTO event VALUES (2, '2026-03-01', NULL, 1);
ALTER TABLE event ALTER amount DROP NOT NULL;
INSERT INTO event VALUES (2, '2026-03-01', NULL, NULL);
SELECT contact, score FROM agreed();
SELECT * FROM leadscore.verify('planned');
-- columns of numbers beside numbers: the operator is the one that PostgreSQL finds, here 1.1::real > 1.1 and 16777217 = 16777216::real
CREATE TABLE number (contact int, at timestamptz, i2 smallint, i4 int, i8 bigint, f4 real, f8 float8, n numeric, what text);
CREATE INDEX ON number (contact, at);
SELECT leadscore.create_model('numbers', 'contact');
SELECT leadscore.attach('numbers', 'number', 'contact', 'at');
INSERT INTO leadscore.lead_rule (model, name, condition, points)
	SELECT 'numbers', c || op || n || side, CASE side WHEN 'right' THEN format('%s %s %s', c, op, n) ELSE format('%s %s %s', n, op, c) END, 1
	  FROM unnest(ARRAY['i2', 'i4', 'i8', 'f4', 'f8', 'n']) c, unnest(ARRAY['>', '=', '<=']) op,
		unnest(ARRAY['1.1', '3', '-7', '16777216', '16777217', '3000000000', '1e20']) n, unnest(ARRAY['left', 'right']) side;
INSERT INTO leadscore.lead_rule (model, name, weight, points) VALUES
	('numbers', 'sum', 'f4 * 0.1 + 3 / i2 + 7 % i4 + i8 % 5 - n / 3', 1);
INSERT INTO number VALUES (1, '2026-03-01', 3, 3, 3000000000, 1.1, 1.1, 1.1), (2, '2026-03-01', -7, 16777217, 16777217, 16777217, 16777217, 16777217);
CREATE FUNCTION scored(of int) RETURNS float8 LANGUAGE plpgsql AS $$
DECLARE
	sum float8;
BEGIN
	EXECUTE (SELECT format('SELECT %s FROM planned.number WHERE contact = %s',
			string_agg(coalesce('(' || condition || ')::int', weight), ' + ' ORDER BY rule_id), of)
			   FROM leadscore.lead_rule WHERE model = 'numbers') INTO sum;
	RETURN sum;
END$$;
SELECT contact_id, score, round(score::numeric - planned.scored(contact_id)::numeric, 6) AS differs FROM leadscore.score_numbers ORDER BY 1;
INSERT INTO leadscore.lead_rule (model, name, condition, points) VALUES ('numbers', 'parameter', 'f8 > 3 AND f8 > $1', 1);
SELECT leadscore.drop_model('numbers');

SELECT leadscore.drop_model('planned');
DROP SCHEMA planned CASCADE;
