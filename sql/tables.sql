-- Event and contact tables of all shapes: partitioned, inherited, with columns
-- that were dropped, are generated, or have names that need quotes.
SET timezone = 'UTC';
SET datestyle = 'ISO';
SET extra_float_digits = 0;
\pset null -
SET client_min_messages = warning;
SET leadscore.clock = '2026-03-02 00:00+00';
CREATE SCHEMA tables;
SET search_path = tables;
CREATE TABLE contact (id int PRIMARY KEY, vip bool);
INSERT INTO contact VALUES (1, true), (2, false);

--
-- partitions: rows by way of the table, straight into a partition, before and
-- after; created later, attached with rows, of another order of columns
--
CREATE TABLE event (contact int, what text, at timestamptz, amount float8) PARTITION BY RANGE (at);
CREATE INDEX ON event (contact, at);
CREATE TABLE event_1 PARTITION OF event FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
CREATE TABLE event_2 (amount float8, gone int, at timestamptz, also_gone text, what text, contact int);
ALTER TABLE event_2 DROP gone, DROP also_gone;
ALTER TABLE event ATTACH PARTITION event_2 FOR VALUES FROM ('2026-02-01') TO ('2026-03-01');
INSERT INTO event VALUES (1, 'buy', '2026-01-10', 1), (1, 'buy', '2026-02-10', 10);
SELECT leadscore.create_model('parts', 'contact');
SELECT leadscore.attach('parts', 'event', 'contact', 'at', event => 'what');
INSERT INTO leadscore.lead_rule (model, name, event, condition, points, weight) VALUES ('parts', 'buy', 'buy', 'amount > 0', 1, 'amount');
INSERT INTO leadscore.lead_rule (model, name, event, points, at_least) VALUES ('parts', 'twice', 'visit', 1000000, 2);
SELECT contact_id, score FROM leadscore.score_parts ORDER BY contact_id;
-- 11 + 100 + 1000
INSERT INTO event VALUES (1, 'buy', '2026-01-11', 100), (1, 'buy', '2026-02-11', 1000), (2, 'buy', '2026-02-01', -5), (2, 'visit', '2026-01-05', 0);
-- straight into partitions: 10000 and 0.5; 2 gets the second of its visits
INSERT INTO event_1 VALUES (1, 'buy', '2026-01-12', 10000);
INSERT INTO event_2 (contact, what, at, amount) VALUES (1, 'buy', '2026-02-12', 0.5), (2, 'visit', '2026-02-12', 0);
SELECT contact_id, score FROM leadscore.score_parts ORDER BY contact_id;
SELECT * FROM leadscore.verify('parts');
-- created later, by way of the table and straight
CREATE TABLE event_3 PARTITION OF event FOR VALUES FROM ('2026-03-01') TO ('2026-04-01');
INSERT INTO event VALUES (3, 'buy', '2026-03-01', 1);
INSERT INTO event_3 VALUES (3, 'buy', '2026-03-01', 10);
SELECT contact_id, score FROM leadscore.score_parts WHERE contact_id = 3;
-- attached with rows, and detached with them
CREATE TABLE event_0 (at timestamptz, contact int, what text, amount float8, note text);
ALTER TABLE event_0 DROP note;
INSERT INTO event_0 VALUES ('2025-12-01', 3, 'buy', 100), ('2025-12-01', 4, 'buy', 1);
ALTER TABLE event ATTACH PARTITION event_0 FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
SELECT contact_id, score, last_event_at FROM leadscore.score_parts WHERE contact_id IN (3, 4) ORDER BY contact_id;
INSERT INTO event_0 VALUES ('2025-12-02', 4, 'buy', 1);
ALTER TABLE event DETACH PARTITION event_1;
INSERT INTO event_1 VALUES (1, 'buy', '2026-01-12', 77777);
SELECT contact_id, score FROM leadscore.score_parts ORDER BY contact_id;
SELECT * FROM leadscore.verify('parts');
-- a partition with partitions
CREATE TABLE event_default PARTITION OF event DEFAULT PARTITION BY LIST (what);
CREATE TABLE event_buy PARTITION OF event_default FOR VALUES IN ('buy');
CREATE TABLE event_rest PARTITION OF event_default DEFAULT;
INSERT INTO event_buy VALUES (5, 'buy', '2020-01-01', 1);
INSERT INTO event_default VALUES (5, 'buy', '2020-01-02', 10), (5, 'visit', '2020-01-02', 10);
INSERT INTO event VALUES (5, 'buy', '2020-01-03', 100), (5, 'visit', '2020-01-03', 100);
INSERT INTO event_rest VALUES (5, 'visit', '2020-01-04', 100);
SELECT contact_id, score FROM leadscore.score_parts WHERE contact_id = 5;
-- rows that move from one to another, and leave with their table
UPDATE event SET at = '2026-03-01' WHERE contact = 5 AND what = 'buy';
UPDATE event SET what = 'buy' WHERE contact = 5 AND what = 'visit' AND at = '2020-01-04';
SELECT contact_id, score, leadscore.replay('parts', contact_id), last_event_at FROM leadscore.score_parts WHERE contact_id = 5;
UPDATE event_2 SET amount = 20 WHERE amount = 10;
DELETE FROM event_2 WHERE amount = 1000;
TRUNCATE event_0;
SELECT contact_id, score, leadscore.replay('parts', contact_id) FROM leadscore.score_parts ORDER BY contact_id;
DROP TABLE event_default;
SELECT contact_id, score, leadscore.replay('parts', contact_id) FROM leadscore.score_parts ORDER BY contact_id;
-- a column of another name and type while we are there
ALTER TABLE event RENAME amount TO value;
INSERT INTO event VALUES (6, 'buy', '2026-03-01', 1);
SELECT name, weight FROM leadscore.lead_rule WHERE model = 'parts' ORDER BY name;
UPDATE leadscore.lead_rule SET condition = 'value > 0', weight = 'value' WHERE model = 'parts' AND name = 'buy';
SELECT contact_id, score, leadscore.replay('parts', contact_id) FROM leadscore.score_parts ORDER BY contact_id;
ALTER TABLE event ALTER value TYPE numeric(10, 2);
ALTER TABLE event ADD extra int DEFAULT 5;
INSERT INTO event VALUES (6, 'buy', '2026-03-01', 1.005, NULL);
UPDATE leadscore.lead_rule SET weight = 'value + extra' WHERE model = 'parts' AND name = 'buy';
SELECT contact_id, score, leadscore.replay('parts', contact_id) FROM leadscore.score_parts ORDER BY contact_id;
ALTER TABLE event DROP extra;
INSERT INTO event VALUES (6, 'buy', '2026-03-01', 10);
SELECT contact_id, score, leadscore.replay('parts', contact_id) FROM leadscore.score_parts ORDER BY contact_id;
SELECT * FROM leadscore.verify('parts');
SELECT leadscore.drop_model('parts');
SELECT tgrelid::regclass, tgname FROM pg_trigger WHERE tgname LIKE 'leadscore%' AND tgrelid::regclass::text LIKE 'event%';
DROP TABLE event, event_1;

--
-- partitioned contacts
--
CREATE TABLE client (id int PRIMARY KEY, size int) PARTITION BY RANGE (id);
CREATE TABLE client_1 PARTITION OF client FOR VALUES FROM (0) TO (100);
CREATE TABLE event (contact int, at timestamptz);
CREATE INDEX ON event (contact);
SELECT leadscore.create_model('parts', 'client');
SELECT leadscore.attach('parts', 'event', 'contact', 'at');
INSERT INTO leadscore.lead_rule (model, name, points) VALUES ('parts', 'event', 1);
INSERT INTO leadscore.lead_rule (model, name, kind, points, weight) VALUES ('parts', 'size', 'profile', 10, 'size');
INSERT INTO client VALUES (1, 1);
INSERT INTO client_1 VALUES (2, 2);
CREATE TABLE client_2 (size int, id int NOT NULL);
INSERT INTO client_2 VALUES (3, 103), (4, 104);
INSERT INTO event VALUES (1, '2026-03-01'), (103, '2026-03-01'), (105, '2026-03-01');
ALTER TABLE client ATTACH PARTITION client_2 FOR VALUES FROM (100) TO (200);
INSERT INTO client_2 VALUES (5, 105);
UPDATE client SET id = id + 100 WHERE id = 2;
SELECT contact_id, score, leadscore.replay('parts', contact_id), has_contact FROM leadscore.score_parts ORDER BY contact_id;
ALTER TABLE client DETACH PARTITION client_2;
SELECT contact_id, score, leadscore.replay('parts', contact_id), has_contact FROM leadscore.score_parts ORDER BY contact_id;
SELECT * FROM leadscore.verify('parts');
SELECT leadscore.drop_model('parts');
DROP TABLE event, client, client_2;

--
-- inherited: the children's rows count with the parent's
--
CREATE TABLE event (contact int, dropped int, at timestamptz, points float8);
ALTER TABLE event DROP dropped;
CREATE INDEX ON event (contact);
CREATE TABLE form (answer text, points float8, contact int) INHERITS (event);
CREATE INDEX ON form (contact);
INSERT INTO event VALUES (1, '2026-03-01', 1);
INSERT INTO form (contact, at, points) VALUES (1, '2026-03-01', 10);
SELECT leadscore.create_model('heirs', 'contact');
SELECT leadscore.attach('heirs', 'event', 'contact', 'at');
INSERT INTO leadscore.lead_rule (model, name, points, weight) VALUES ('heirs', 'points', 1, 'points');
INSERT INTO event VALUES (1, '2026-03-01', 100);
INSERT INTO form (contact, at, points) VALUES (1, '2026-03-01', 1000);
CREATE TABLE call (extra int) INHERITS (event);
INSERT INTO call VALUES (1, '2026-03-01', 10000, 0), (2, '2026-03-01', 1, 0);
SELECT contact_id, score, leadscore.replay('heirs', contact_id) FROM leadscore.score_heirs ORDER BY contact_id;
UPDATE event SET points = points * 2;
DELETE FROM event WHERE points = 20;
DELETE FROM ONLY event WHERE points = 2;
TRUNCATE ONLY event;
SELECT contact_id, score, leadscore.replay('heirs', contact_id) FROM leadscore.score_heirs ORDER BY contact_id;
ALTER TABLE call NO INHERIT event;
SELECT contact_id, score, leadscore.replay('heirs', contact_id) FROM leadscore.score_heirs ORDER BY contact_id;
ALTER TABLE call INHERIT event;
DROP TABLE form;
SELECT contact_id, score, leadscore.replay('heirs', contact_id) FROM leadscore.score_heirs ORDER BY contact_id;
SELECT * FROM leadscore.verify('heirs');
-- a child beside its parent would count twice
SELECT leadscore.attach('heirs', 'call', 'contact', 'at');
CREATE TABLE other (contact int, at timestamptz, points float8);
CREATE INDEX ON other (contact);
SELECT leadscore.attach('heirs', 'other', 'contact', 'at');
ALTER TABLE other INHERIT event;
SELECT leadscore.drop_model('heirs');
DROP TABLE event, call, other;

--
-- generated columns
--
CREATE TABLE event (contact_text text, at_text text, a float8, b float8,
	contact int GENERATED ALWAYS AS (contact_text::int) STORED,
	at timestamp GENERATED ALWAYS AS (make_timestamp(left(at_text, 4)::int, substr(at_text, 6, 2)::int, substr(at_text, 9, 2)::int, 0, 0, 0)) STORED,
	product float8 GENERATED ALWAYS AS (a * b) STORED);
CREATE INDEX ON event (contact);
SELECT leadscore.create_model('made', 'contact');
SELECT leadscore.attach('made', 'event', 'contact', 'at');
INSERT INTO leadscore.lead_rule (model, name, condition, points, weight) VALUES ('made', 'product', 'product > 1', 1, 'product');
INSERT INTO event VALUES ('1', '2026-03-01', 2, 3), ('1', '2026-03-01', 1, 1), ('2', '2026-03-03', 5, 5);
UPDATE event SET a = 10 WHERE b = 3;
SELECT contact_id, score, leadscore.replay('made', contact_id), last_event_at FROM leadscore.score_made ORDER BY contact_id;
SELECT leadscore.score('made', 2, '2026-03-03 00:00+00');
SELECT * FROM leadscore.verify('made');
SELECT leadscore.drop_model('made');
DROP TABLE event;

--
-- names
--
CREATE SCHEMA "Schöne ""Welt""";
CREATE TABLE "Schöne ""Welt"""."Kontakte; DROP" ("Schlüssel""" int PRIMARY KEY, "größe" int, "select" text, "Seit wann?" date);
CREATE TABLE "Schöne ""Welt"""."活动" ("客户" int, "時間" timestamptz, "类型" text, "$1" float8, "user" text);
CREATE INDEX ON "Schöne ""Welt"""."活动" ("客户");
SELECT leadscore.create_model('names', '"Schöne ""Welt"""."Kontakte; DROP"', key => 'Schlüssel"',
	created_at => 'Seit wann?', categories => '{user,select,engagement}');
SELECT leadscore.attach('names', '"Schöne ""Welt"""."活动"', contact => '客户', occurred_at => '時間', event => '类型');
INSERT INTO leadscore.lead_rule (model, name, category, event, condition, points, weight) VALUES
	('names', 'Preise ''"; --', 'engagement', '看''了"', $$"user" <> 'bot' AND "$1" > 0$$, 1, '"$1"');
INSERT INTO leadscore.lead_rule (model, name, category, kind, condition, points)
VALUES ('names', 'groß', 'select', 'profile', $$"größe" > 1 AND "select" = 'from'$$, 10);
INSERT INTO leadscore.lead_rule (model, name, category, kind, points, idle) VALUES ('names', 'still', 'user', 'absence', -100, '10 days');
INSERT INTO leadscore.lead_stage (model, stage, position, enter_at, condition)
VALUES ('names', 'heiß "!"', 1, 15, $$"select" >= 10 AND "Seit wann?" > '2020-01-01'$$);
INSERT INTO "Schöne ""Welt"""."Kontakte; DROP" VALUES (1, 2, 'from', '2026-03-01'), (2, 1, 'from', '2026-01-01');
INSERT INTO "Schöne ""Welt"""."活动" VALUES (1, '2026-03-01', '看''了"', 5, 'ann'), (1, '2026-03-01', '看''了"', 5, 'bot'), (1, '2026-03-01', '看', 5, 'ann');
SELECT contact_id, score, leadscore.replay('names', contact_id), "user", "select", engagement, stage FROM leadscore.score_names ORDER BY contact_id;
SELECT contact_id, score, "user", "select", engagement, stage FROM leadscore.live_names ORDER BY contact_id;
SELECT name, category, points FROM leadscore.explain('names', 1);
ALTER TABLE "Schöne ""Welt"""."活动" RENAME "客户" TO "клиент";
ALTER TABLE "Schöne ""Welt"""."活动" RENAME TO "Événements";
ALTER SCHEMA "Schöne ""Welt""" RENAME TO "Neue Welt";
INSERT INTO "Neue Welt"."Événements" VALUES (2, '2026-03-01', '看''了"', 7, 'bob');
DELETE FROM "Neue Welt"."Événements" WHERE "user" = 'ann';
SELECT contact_id, score, leadscore.replay('names', contact_id), stage FROM leadscore.score_names ORDER BY contact_id;
SELECT source, relation, contact FROM leadscore.lead_source WHERE model = 'names';
SELECT * FROM leadscore.verify('names');
SELECT leadscore.drop_model('names');
DROP SCHEMA "Neue Welt" CASCADE;

--
-- a score table whose columns are not the model's any more, which only a
-- superuser can bring about: refused by all who read it
--
SELECT leadscore.create_model('columns', 'contact');
BEGIN;
DELETE FROM leadscore_internal.lead_category WHERE model = 'columns' AND category = 'fit';
SAVEPOINT changed;
SELECT leadscore.score('columns', 1);
ROLLBACK TO changed;
SELECT score FROM leadscore.live_columns;
ROLLBACK TO changed;
SELECT * FROM leadscore.verify('columns');
ROLLBACK TO changed;
SELECT leadscore.forecast('columns', 1);
ROLLBACK TO changed;
SELECT leadscore.rescore('columns');
ROLLBACK TO changed;
SET leadscore.clock = '2026-03-04 00:00+00';
SELECT leadscore.write_days('columns');
ROLLBACK;
ALTER TABLE leadscore.score_columns ADD COLUMN mine int;
SELECT leadscore.score('columns', 1);
SELECT leadscore.drop_model('columns');

--
-- tables that go: the source, then the contacts with the model
--
CREATE TABLE event (contact int, at timestamptz);
CREATE INDEX ON event (contact);
SELECT leadscore.create_model('going', 'contact');
SELECT leadscore.attach('going', 'event', 'contact', 'at');
INSERT INTO leadscore.lead_rule (model, name, points) VALUES ('going', 'event', 1);
INSERT INTO event VALUES (1, '2026-03-01'), (3, '2026-03-01');
SET client_min_messages = notice;
DROP TABLE event;
SELECT contact_id, score FROM leadscore.score_going ORDER BY contact_id;
SELECT * FROM leadscore.verify('going');
DROP TABLE contact;
DROP TABLE contact CASCADE;
SELECT model FROM leadscore.lead_model WHERE model = 'going';
SELECT relname FROM pg_class WHERE relname LIKE '%\_going%';
SET client_min_messages = warning;
DROP SCHEMA tables CASCADE;
