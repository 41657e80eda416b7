-- What is renamed by way of a parent, a type or a view, and with visitors and purged events.
SET client_min_messages = warning;
SET leadscore.clock = '2026-03-01 00:00+00';
SET timezone = 'UTC';
CREATE TYPE kind AS ENUM ('click', 'open');
CREATE TYPE place AS (town text, street text);
CREATE TYPE event AS (guest int, at timestamptz, place place, amount int);
CREATE VIEW person AS SELECT 'a'::text AS name, 'b'::text AS first;
CREATE TABLE guest (id int PRIMARY KEY, who person);
-- parent not attached, a child that is
CREATE TABLE base (guest int, at timestamptz, amount int);
CREATE TABLE child (extra int) INHERITS (base);
CREATE INDEX ON base (guest, at);
-- partitioned, typed
CREATE TABLE part (guest int, at timestamptz, amount int, what kind) PARTITION BY RANGE (at);
CREATE TABLE part_1 PARTITION OF part FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
CREATE INDEX ON part (guest, at);
CREATE TABLE typed OF event;
CREATE INDEX ON typed (guest, at);
-- visitors
CREATE TABLE hit (guest int, visitor text, at timestamptz, amount int, what kind);
CREATE INDEX ON hit (guest, at); CREATE INDEX ON hit (visitor, at);
SELECT leadscore.create_model('m', 'guest');
SELECT leadscore.attach('m', 'base', 'guest', 'at');
SELECT leadscore.attach('m', 'part', 'guest', 'at', 'what');
SELECT leadscore.attach('m', 'typed', 'guest', 'at');
SELECT leadscore.attach('m', 'hit', 'guest', 'at', 'what', visitor => 'visitor', on_delete => 'keep');
INSERT INTO leadscore.lead_rule (model, name, source, event, condition, points, draft) VALUES
	('m', 'base', 'base', NULL, 'amount > 1', 1, false),
	('m', 'part', 'part', 'click', 'amount > 1 AND part.amount > 1', 10, false),
	('m', 'typed', 'typed', NULL, '(place).town = ''town'' AND amount > 1', 100, false),
	('m', 'hit', 'hit', 'click', 'amount > 1', 1000, false),
	('m', 'draft', 'hit', 'click', 'amount > 1', 3000, true);
INSERT INTO leadscore.lead_rule (model, name, kind, condition, points) VALUES ('m', 'person', 'profile', '(who).name = ''a''', 10000);
INSERT INTO guest VALUES (1, ROW('a', 'b'));
INSERT INTO child VALUES (1, '2026-02-01', 10, 0);
INSERT INTO part VALUES (1, '2026-02-01', 10, 'click');
INSERT INTO typed VALUES (1, '2026-02-01', ROW('town', 'x'), 10);
INSERT INTO hit VALUES (1, NULL, '2026-02-01', 10, 'click'), (NULL, 'v', '2026-02-01', 10, 'click'), (NULL, 'w', '2026-02-01', 10, 'click');
SELECT leadscore.identify('m', 'v', 1);
DELETE FROM hit WHERE visitor = 'v';
RESET client_min_messages;
CREATE FUNCTION look(OUT score float8, OUT replayed float8, OUT visitor float8, OUT wrong text, OUT asleep text) LANGUAGE sql AS $$
	SELECT leadscore.score('m', 1), leadscore.replay('m', 1), (SELECT leadscore.score(model, 'w'::text) FROM leadscore.lead_model WHERE model <> 'm'),
		(SELECT string_agg(v::text, ' ') FROM (SELECT m.model, x.* FROM leadscore.lead_model m, leadscore.verify(m.model) x) v),
		(SELECT string_agg(name, ',') FROM leadscore.lead_rule WHERE backfilled_version IS NOT DISTINCT FROM 0) $$;
CREATE FUNCTION texts(OUT name text, OUT event text, OUT condition text) RETURNS SETOF record LANGUAGE sql AS $$
	SELECT name, event, condition FROM leadscore.lead_rule ORDER BY rule_id $$;
SELECT * FROM look();
ALTER TABLE base RENAME amount TO quantity;
ALTER TABLE base RENAME guest TO person;
ALTER TABLE base RENAME at TO time;
ALTER TABLE part RENAME amount TO quantity;
ALTER TABLE part RENAME guest TO person;
ALTER TABLE ONLY part RENAME at TO time;
ALTER TABLE part RENAME at TO time;
ALTER TYPE event RENAME ATTRIBUTE amount TO quantity CASCADE;
ALTER TYPE event RENAME ATTRIBUTE at TO time CASCADE;
ALTER TYPE event RENAME ATTRIBUTE place TO position CASCADE;
ALTER TYPE place RENAME ATTRIBUTE town TO city;
ALTER VIEW person RENAME name TO last;
ALTER VIEW person RENAME TO people;
ALTER VIEW people RENAME COLUMN last TO "Last";
ALTER TABLE hit RENAME visitor TO cookie;
ALTER TABLE hit RENAME guest TO "user";
ALTER TYPE kind RENAME VALUE 'click' TO 'tap';
ALTER TABLE hit RENAME amount TO quantity;
SELECT model, source, contact, occurred_at, event, visitor FROM leadscore.lead_source ORDER BY 1, 2;
SELECT * FROM texts();
SELECT * FROM look();
SELECT leadscore.rescore('m');
SELECT * FROM look();
INSERT INTO hit ("user", cookie, at, quantity, what) VALUES (NULL, 'w', '2026-02-03', 10, 'tap'), (1, NULL, '2026-02-03', 10, 'tap');
INSERT INTO base VALUES (1, '2026-02-03', 10);
INSERT INTO child VALUES (1, '2026-02-03', 10, 1);
INSERT INTO part_1 VALUES (1, '2026-02-03', 10, 'tap');
SELECT * FROM look();
SELECT leadscore.detach_all();
DROP FUNCTION look, texts;
SET client_min_messages = warning;
DROP TABLE guest, base, part, typed, hit CASCADE;
DROP VIEW people;
DROP TYPE event, place, kind;
