-- Tables that feed models and become a part of others which do not: their rows count
-- however they are written.
CREATE SCHEMA ancestors;
SET search_path = ancestors;
SET leadscore.clock = '2026-03-10 12:00+00';
SET client_min_messages = warning;
SET timezone = 'UTC';

CREATE FUNCTION stored(model text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE t text;
BEGIN
	EXECUTE format('SELECT string_agg(contact_id || '':'' || score, '' '' ORDER BY contact_id) FILTER (WHERE score <> 0) FROM leadscore.score_%s',
		model) INTO t;
	RETURN t || coalesce((SELECT ' BUT ' || string_agg(v::text, ' ') FROM leadscore.verify(model) v), '');
END $$;

CREATE TABLE lead (id int PRIMARY KEY, plan text);
INSERT INTO lead SELECT generate_series(1, 5);
CREATE TABLE part (contact int, at timestamptz DEFAULT '2026-03-10 00:00+00', what text, k int) PARTITION BY RANGE (k);
CREATE TABLE part_1 PARTITION OF part FOR VALUES FROM (0) TO (10);
CREATE TABLE part_2 (k int, contact int, what text, at timestamptz DEFAULT '2026-03-10 00:00+00');
ALTER TABLE part ATTACH PARTITION part_2 FOR VALUES FROM (10) TO (20);
CREATE UNIQUE INDEX ON part_1 (k);
CREATE UNIQUE INDEX ON part_2 (k);
-- the columns lie elsewhere above
CREATE TABLE whole (what text, k int, contact int, at timestamptz DEFAULT '2026-03-10 00:00+00') PARTITION BY RANGE (k);
CREATE TABLE other PARTITION OF whole FOR VALUES FROM (20) TO (40);
CREATE UNIQUE INDEX ON other (k);
CREATE TABLE top (contact int, at timestamptz DEFAULT '2026-03-10 00:00+00', what text, k int) PARTITION BY LIST (what);
SELECT leadscore.create_model('ancestors', 'lead');
SELECT leadscore.attach('ancestors', 'part', 'contact', 'at', 'what');
INSERT INTO leadscore.lead_rule (model, name, event, points) VALUES ('ancestors', 'x', 'x', 10);
INSERT INTO leadscore.lead_rule (model, name, kind, condition, points) VALUES ('ancestors', 'pro', 'profile', 'plan = ''pro''', 100);

-- in the midst of a transaction
INSERT INTO part VALUES (1, DEFAULT, 'x', 1);
BEGIN;
INSERT INTO part VALUES (1, DEFAULT, 'x', 2);
ALTER TABLE whole ATTACH PARTITION part FOR VALUES FROM (0) TO (20);
INSERT INTO whole VALUES ('x', 3, 1), ('x', 25, 1), ('x', 13, 2);
SELECT stored('ancestors');
COMMIT;
SELECT tgrelid::regclass, tgname, tgenabled FROM pg_trigger
 WHERE tgname IN ('leadscore_apply', 'leadscore_above_enter', 'leadscore_above_leave')
	AND tgrelid::regclass::text !~ 'leadscore'
 ORDER BY tgrelid::regclass::text, 2;

-- rows written to the attached table, to a part of it, and by COPY through the one above
INSERT INTO part VALUES (3, DEFAULT, 'x', 4);
INSERT INTO part_2 (k, contact, what) VALUES (14, 3, 'x');
COPY whole (what, k, contact) FROM stdin;
x	5	4
x	15	4
x	35	4
\.
SELECT stored('ancestors');
UPDATE whole SET contact = 5 WHERE contact = 4;
SELECT stored('ancestors');
-- rows that leave, that come, and that move within
UPDATE whole SET k = 36 WHERE k = 5;
UPDATE whole SET k = 6 WHERE k = 35;
UPDATE whole SET k = 16 WHERE k = 1;
DELETE FROM whole WHERE contact = 3;
SELECT stored('ancestors');
-- one statement that does several things
WITH new AS (INSERT INTO whole VALUES ('x', 7, 4) RETURNING k), gone AS (DELETE FROM part WHERE k = 2 RETURNING k)
UPDATE whole SET what = 'y' FROM new WHERE whole.k = 13;
SELECT stored('ancestors');
INSERT INTO part_1 VALUES (5, DEFAULT, 'x', 7), (5, DEFAULT, 'x', 8) ON CONFLICT (k) DO UPDATE SET contact = EXCLUDED.contact;
SELECT stored('ancestors');
-- several levels
ALTER TABLE top ATTACH PARTITION whole FOR VALUES IN ('x', 'y');
INSERT INTO top (contact, what, k) VALUES (4, 'x', 9);
SELECT stored('ancestors');
BEGIN;
INSERT INTO top (contact, what, k) VALUES (4, 'x', 0);
SAVEPOINT s;
INSERT INTO whole (contact, what, k) VALUES (4, 'x', 17);
UPDATE whole SET contact = 4 WHERE contact = 5;
ROLLBACK TO s;
SELECT stored('ancestors');
COMMIT;
-- under a snapshot it is pending
BEGIN ISOLATION LEVEL REPEATABLE READ;
INSERT INTO top (contact, what, k) VALUES (2, 'x', 19);
DELETE FROM whole WHERE k = 0;
SELECT leadscore.score('ancestors', 2), leadscore.score('ancestors', 4);
COMMIT;
SELECT leadscore.refresh('ancestors');
SELECT stored('ancestors');
-- as a replica
SET session_replication_role = replica;
INSERT INTO top (contact, what, k) VALUES (2, 'x', 18);
UPDATE top SET contact = 1 WHERE k = 19;
RESET session_replication_role;
SELECT leadscore.refresh('ancestors') > 0;
SELECT stored('ancestors');
-- triggers enabled as a restore does
ALTER TABLE part_1 DISABLE TRIGGER ALL;
ALTER TABLE part_1 ENABLE TRIGGER ALL;
INSERT INTO whole (contact, what, k) VALUES (2, 'x', 0);
SELECT stored('ancestors');
TRUNCATE top;
SELECT stored('ancestors');
-- one is enough to keep the triggers above; none is not
ALTER TABLE top DETACH PARTITION whole;
SELECT DISTINCT tgrelid::regclass FROM pg_trigger WHERE tgname ~ '^leadscore_above';
ALTER TABLE whole DETACH PARTITION part;
SELECT tgrelid::regclass, tgname, tgenabled FROM pg_trigger
 WHERE tgname IN ('leadscore_apply', 'leadscore_above_enter', 'leadscore_above_leave')
	AND tgrelid::regclass::text !~ 'leadscore'
 ORDER BY tgrelid::regclass::text, 2;
INSERT INTO part VALUES (1, DEFAULT, 'x', 1);
INSERT INTO whole VALUES ('x', 21, 1);
SELECT stored('ancestors');

-- the contact table
CREATE TABLE lead_all (plan text, id int PRIMARY KEY) PARTITION BY RANGE (id);
ALTER TABLE lead_all ATTACH PARTITION lead FOR VALUES FROM (0) TO (100);
INSERT INTO lead_all VALUES ('pro', 50), ('pro', 51);
UPDATE lead_all SET plan = 'pro' WHERE id = 1;
SELECT stored('ancestors');
INSERT INTO lead_all VALUES ('no', 50), ('pro', 2) ON CONFLICT (id) DO UPDATE SET plan = EXCLUDED.plan;
SELECT stored('ancestors');
DELETE FROM lead_all WHERE id = 51;
UPDATE lead_all SET id = 60 WHERE id = 2;
SELECT stored('ancestors');
CREATE FUNCTION writes() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	BEGIN
		INSERT INTO part VALUES (NEW.id, DEFAULT, 'x', NEW.id % 10);
		INSERT INTO lead_all VALUES ('pro', NEW.id + 1000);
	EXCEPTION WHEN OTHERS THEN NULL;
	END;
	INSERT INTO part VALUES (NEW.id, DEFAULT, 'x', 10 + NEW.id % 10);
	RETURN NULL;
END $$;
CREATE TRIGGER aa AFTER INSERT ON lead FOR EACH ROW EXECUTE FUNCTION writes();
CREATE TRIGGER zz AFTER UPDATE ON lead FOR EACH ROW EXECUTE FUNCTION writes();
INSERT INTO lead_all VALUES ('pro', 92), ('no', 93);
SELECT stored('ancestors');
UPDATE lead_all SET id = id + 2 WHERE id > 91;
SELECT stored('ancestors');
DROP TRIGGER aa ON lead;
DROP TRIGGER zz ON lead;
TRUNCATE lead_all;
SELECT stored('ancestors');

-- inheritance, and a source that keeps what is deleted, not what is moved
CREATE TABLE heir (contact int, at timestamptz DEFAULT '2026-03-10 00:00+00', what text, k int);
CREATE TABLE elder (what text, k int, contact int, at timestamptz);
SELECT leadscore.attach('ancestors', 'heir', 'contact', 'at', 'what', on_delete => 'keep');
INSERT INTO leadscore.lead_rule (model, name, source, event, points) VALUES ('ancestors', 'heir', 'heir', 'x', 10);
ALTER TABLE heir INHERIT elder;
CREATE TABLE heir_2 () INHERITS (heir);
INSERT INTO heir VALUES (70, DEFAULT, 'x', 1);
INSERT INTO heir_2 VALUES (71, DEFAULT, 'x', 2);
INSERT INTO elder VALUES ('x', 3, 72, '2026-03-10 00:00+00');
SELECT stored('ancestors');
UPDATE elder SET contact = contact + 1;
SELECT stored('ancestors');
DELETE FROM elder WHERE k = 2;
SELECT stored('ancestors');
ALTER TABLE heir NO INHERIT elder;
-- a child that has another parent besides
CREATE TABLE heir_3 () INHERITS (heir, elder);
INSERT INTO heir_3 VALUES (74, DEFAULT, 'x', 4);
UPDATE elder SET contact = 75 WHERE k = 4;
SELECT stored('ancestors');
DROP TABLE heir_3;
SELECT DISTINCT tgrelid::regclass FROM pg_trigger WHERE tgname ~ '^leadscore_above';
SELECT stored('ancestors');
SELECT leadscore.detach('ancestors', 'part');
CREATE TABLE shelf (LIKE part) PARTITION BY RANGE (k);
SELECT leadscore.attach('ancestors', 'part', 'contact', 'at', 'what', on_delete => 'keep');
ALTER TABLE shelf ATTACH PARTITION part FOR VALUES FROM (0) TO (20);
CREATE TABLE shelf_2 PARTITION OF shelf DEFAULT;
DELETE FROM shelf;
INSERT INTO shelf SELECT 80, '2026-03-10 00:00+00', 'x', k FROM generate_series(1, 18) k;
SELECT stored('ancestors');
DROP INDEX part_1_k_idx, part_2_k_idx;
UPDATE shelf SET k = k + 5;
SELECT stored('ancestors');
DELETE FROM shelf WHERE k < 10;
SELECT stored('ancestors');
SELECT count(*) FROM leadscore.purged_ancestors;

-- a command that nobody was told of: what is written straight to the table counts on
CREATE TABLE loose (LIKE heir);
CREATE TABLE loose_all (LIKE heir) PARTITION BY RANGE (k);
SELECT leadscore.attach('ancestors', 'loose', 'contact', 'at');
INSERT INTO leadscore.lead_rule (model, name, source, points) VALUES ('ancestors', 'loose', 'loose', 1000);
ALTER EVENT TRIGGER leadscore_ddl_command DISABLE;
ALTER TABLE loose_all ATTACH PARTITION loose DEFAULT;
ALTER EVENT TRIGGER leadscore_ddl_command ENABLE ALWAYS;
INSERT INTO loose VALUES (90, '2026-03-10 00:00+00', 'x', 1);
SELECT stored('ancestors');
ALTER TABLE loose ALTER k SET STATISTICS 10;
INSERT INTO loose_all VALUES (90, '2026-03-10 00:00+00', 'x', 2);
INSERT INTO loose VALUES (90, '2026-03-10 00:00+00', 'x', 3);
SELECT stored('ancestors');
SELECT leadscore.detach('ancestors', 'loose');
-- what is a part of another is not attached by itself
CREATE TABLE px (contact int, at timestamptz, what text) PARTITION BY LIST (what);
CREATE TABLE px_1 PARTITION OF px FOR VALUES IN ('x');
CREATE TABLE px_2 PARTITION OF px FOR VALUES IN ('y') PARTITION BY LIST (contact);
CREATE TABLE px_2_1 PARTITION OF px_2 DEFAULT;
SELECT leadscore.attach('ancestors', 'px_1', 'contact', 'at', 'what');
SELECT leadscore.attach('ancestors', 'px_2_1', 'contact', 'at', 'what');
SELECT leadscore.create_model('ancestors_2', 'lead');
-- not even beside the model that has all
SELECT leadscore.attach('ancestors', 'px', 'contact', 'at', 'what');
CREATE TABLE client (id int PRIMARY KEY);
SELECT leadscore.create_model('ancestors_2', 'client');
SELECT leadscore.attach('ancestors_2', 'px_1', 'contact', 'at', 'what');
-- one that has a child with another parent is
SELECT leadscore.detach('ancestors', 'heir');
CREATE TABLE heir_4 () INHERITS (heir, elder);
SELECT leadscore.attach('ancestors', 'heir', 'contact', 'at', 'what', on_delete => 'keep');
INSERT INTO heir_4 VALUES (76, '2026-03-10 00:00+00', 'x', 5);
UPDATE elder SET contact = 77 WHERE contact = 76;
SELECT stored('ancestors');

SELECT leadscore.drop_model('ancestors');
SELECT leadscore.drop_model('ancestors_2');
SELECT tgrelid::regclass, tgname FROM pg_trigger WHERE tgname ~ '^leadscore' AND tgrelid::regclass::text !~ 'leadscore';
RESET client_min_messages;
SET client_min_messages = error;
DROP SCHEMA ancestors CASCADE;
