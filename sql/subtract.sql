-- Events that go are subtracted where that is exact; else the contact is recomputed, for which its row and events are read.
SET timezone = 'UTC';
SET datestyle = 'ISO';
SET extra_float_digits = 0;
\pset null -
SET client_min_messages = warning;
SET leadscore.clock = '2026-03-02 12:00+00';
CREATE SCHEMA subtract;
SET search_path = subtract;
CREATE TABLE contact (id int PRIMARY KEY);
CREATE TABLE event (id int PRIMARY KEY, contact int, what text, at timestamptz, amount float8);
CREATE INDEX ON event (contact, at);
INSERT INTO contact SELECT generate_series(1, 40);
SET enable_seqscan = off;
SET enable_bitmapscan = off;
SELECT leadscore.create_model('less', 'contact');
SELECT leadscore.attach('less', 'event', 'contact', 'at', event => 'what');
INSERT INTO leadscore.lead_rule (model, name, event, weight, points, award, at_least, decay, decay_interval, time_frame, max_per_period, period) VALUES
	('less', 'each', 'v', NULL, 1, 'each', 1, 'none', NULL, NULL, NULL, NULL),
	('less', 'fresh', NULL, NULL, 8, 'each', 1, 'half_life', '3 days', NULL, NULL, NULL),
	('less', 'amount', 'v', 'amount', 0.1, 'each', 1, 'half_life', '30 days', NULL, NULL, NULL),
	('less', 'once', 'v', NULL, 20, 'once', 2, 'none', NULL, NULL, NULL, NULL),
	('less', 'framed', 'v', NULL, 3, 'each', 1, 'none', NULL, '20 days', 4, '1 day'),
	('less', 'steps', 'v', NULL, 5, 'each', 1, 'linear', '40 days', NULL, NULL, NULL);
INSERT INTO leadscore.lead_rule (model, name, kind, event, points, idle) VALUES ('less', 'silent', 'absence', 'v', -1, '2 days');

-- contact n % 10 = 0 has one event; the others one each day
INSERT INTO event SELECT c * 100 + d, c, CASE d % 3 WHEN 0 THEN 'w' ELSE 'v' END, timestamptz '2026-02-20 08:00+00' + d * interval '1 day', c + d / 3.0
  FROM generate_series(1, 40) c, generate_series(1, 8) d WHERE c % 10 <> 0 OR d = 1;

-- how often a statement looks up contacts in their table, and events by contact, and whether that leaves anything wrong
CREATE FUNCTION going(statement text, OUT contacts_read bigint, OUT events_read bigint, OUT wrong bigint)
LANGUAGE plpgsql AS $$
	BEGIN
		contacts_read := -pg_stat_get_xact_numscans('contact'::regclass) - pg_stat_get_xact_numscans('contact_pkey'::regclass);
		events_read := -pg_stat_get_xact_numscans('event_contact_at_idx'::regclass);
		EXECUTE statement;
		contacts_read := contacts_read + pg_stat_get_xact_numscans('contact'::regclass) + pg_stat_get_xact_numscans('contact_pkey'::regclass);
		events_read := events_read + pg_stat_get_xact_numscans('event_contact_at_idx'::regclass);
		SELECT count(*) INTO wrong FROM leadscore.verify('less');
	END $$;
CREATE VIEW now AS SELECT contact_id, score, score - leadscore.replay('less', contact_id) AS beside, last_event_at
  FROM leadscore.score_less WHERE contact_id IN (1, 2, 3, 10, 20) ORDER BY contact_id;
SELECT * FROM now;

--
-- DELETE
--
-- the only event; one of the middle; two of the middle; the first: by the index
SELECT * FROM going('DELETE FROM event WHERE id / 100 = 10');
SELECT * FROM going('DELETE FROM event WHERE id IN (104, 204, 304)');
SELECT * FROM going('DELETE FROM event WHERE id % 100 IN (2, 3) AND id / 100 BETWEEN 4 AND 6');
SELECT * FROM going('DELETE FROM event WHERE id IN (101, 201)');
-- all
SELECT * FROM going('DELETE FROM event WHERE id / 100 = 39');
SELECT * FROM now;
-- the latest, of the contact and of a rule: by the index
SELECT * FROM going('DELETE FROM event WHERE id = 708');
INSERT INTO event VALUES (850, 8, 'w', '2026-03-01', 1);
SELECT * FROM going('DELETE FROM event WHERE id = 808');
-- ... what came at the same time as another
INSERT INTO event SELECT id + 50, contact, what, at, amount FROM event WHERE id = 908;
SELECT * FROM going('DELETE FROM event WHERE id = 908');
-- ... all events of a rule: a negative weight, sums of which too little is left, and those that are too large
UPDATE event SET amount = -5 WHERE id = 1104;
SELECT * FROM going('DELETE FROM event WHERE id = 1104');
UPDATE event SET amount = 9e7 WHERE id = 1204;
SELECT * FROM going('DELETE FROM event WHERE id = 1204');
UPDATE event SET amount = 1e90 WHERE id = 1304;
SELECT * FROM going('DELETE FROM event WHERE id = 1304');
-- ... the latest, long after the others; and the latest of those of no weight
INSERT INTO event VALUES (3350, 33, 'v', '2026-02-10', 5), (3351, 33, 'v', '2024-01-10', 0),
	(3450, 34, 'v', '2026-03-02 11:00', 0), (3451, 34, 'v', '2024-01-10', 4);
DELETE FROM event WHERE id BETWEEN 3401 AND 3408;
SELECT * FROM going('DELETE FROM event WHERE id BETWEEN 3301 AND 3308');
SELECT * FROM going('DELETE FROM event WHERE id = 3450');
-- ... what was dropped from periods and is among them again
INSERT INTO event VALUES (3550, 35, 'v', '2026-01-20', 2);
SELECT * FROM going('DELETE FROM event WHERE id BETWEEN 3503 AND 3508');
-- recomputed: a negative weight goes, and of the rule there are too many; where the latest goes it is found
INSERT INTO event SELECT -n, 36, 'v', timestamptz '2026-02-10' + n * interval '1 minute', 1 FROM generate_series(1, 100) n;
UPDATE event SET amount = -5 WHERE id IN (3605, -50);
SELECT * FROM going('DELETE FROM event WHERE id = -50');
SELECT * FROM going('DELETE FROM event WHERE id = 3608');
SELECT * FROM going('DELETE FROM event WHERE id = 3605');
-- ... without an index
BEGIN;
DROP INDEX event_contact_at_idx;
DELETE FROM event WHERE id IN (3707, 3708);
SELECT * FROM leadscore.verify('less');
ROLLBACK;
-- ... where a rule fails
INSERT INTO leadscore.lead_rule (model, name, event, condition, points) VALUES ('less', 'fails', 'v', '1 / (amount - 18.25) > 0', 1);
INSERT INTO event VALUES (1450, 14, 'v', '2026-02-25', 18.25);
SELECT * FROM going('DELETE FROM event WHERE id = 1450');
DELETE FROM leadscore.lead_rule WHERE name = 'fails';
-- ... while the row has been written with former rules
BEGIN;
UPDATE leadscore.lead_rule SET points = 2 WHERE name = 'each';
SELECT contacts_read > 0 AS recomputed FROM going('DELETE FROM event WHERE id = 1504');
COMMIT;
-- ... with functions that may be replaced
CREATE FUNCTION is_v(text) RETURNS bool IMMUTABLE LANGUAGE sql AS $$ SELECT $1 = 'v' $$;
INSERT INTO leadscore.lead_rule (model, name, condition, points) VALUES ('less', 'by function', 'subtract.is_v(what)', 1);
SELECT * FROM going('DELETE FROM event WHERE id = 1604');
DELETE FROM leadscore.lead_rule WHERE name = 'by function';
-- ... events to come
INSERT INTO event VALUES (1750, 17, 'v', '2026-03-09', 1);
SELECT * FROM going('DELETE FROM event WHERE id = 1750');
-- ... and while something is pending: here the event itself
BEGIN ISOLATION LEVEL REPEATABLE READ;
INSERT INTO event VALUES (1850, 18, 'v', '2026-02-25 09:00+00', 1);
COMMIT;
SELECT * FROM going('DELETE FROM event WHERE id = 1850');

--
-- UPDATE: the old row goes, the new one comes
--
SELECT * FROM going('UPDATE event SET amount = amount + 1 WHERE id IN (104, 205, 208, 308)');
SELECT * FROM going($$UPDATE event SET at = at + interval '1 hour' WHERE id IN (1904, 1905, 2104)$$);
SELECT * FROM going('UPDATE event SET contact = 22 WHERE id = 2304');
SELECT * FROM going($$UPDATE event SET what = 'w' WHERE id = 2405$$);
SELECT * FROM going('UPDATE event SET at = NULL WHERE id = 2504');
SELECT * FROM going('UPDATE event SET at = at WHERE id = 2505');
SELECT * FROM now;

--
-- Several commands in one statement, and savepoints
--
SELECT * FROM going($$INSERT INTO event VALUES (2604, 26, 'v', '2026-02-24 09:00+00', 7), (2650, 26, 'v', '2026-02-26 09:00+00', 7)
	ON CONFLICT (id) DO UPDATE SET at = excluded.at, amount = excluded.amount$$);
SELECT * FROM going($$MERGE INTO event e USING (VALUES (2704, 27), (2705, 27), (2750, 27)) v (id, contact) ON e.id = v.id
	WHEN MATCHED AND v.id = 2704 THEN DELETE WHEN MATCHED THEN UPDATE SET amount = 3
	WHEN NOT MATCHED THEN INSERT VALUES (v.id, v.contact, 'v', '2026-02-26 10:00+00', 4)$$);
SELECT * FROM going('WITH gone AS (DELETE FROM event WHERE id = 2804 RETURNING *)
	INSERT INTO event SELECT 2850, contact, what, at, amount FROM gone');
CREATE FUNCTION drop_next() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN
		DELETE FROM event WHERE id IN (NEW.id, NEW.id - 47);
		RETURN NULL;
	END $$;
CREATE TRIGGER drop_next AFTER INSERT ON event FOR EACH ROW WHEN (NEW.id = 2951) EXECUTE FUNCTION drop_next();
SELECT wrong FROM going($$INSERT INTO event VALUES (2951, 29, 'v', '2026-02-25 10:00+00', 4), (2952, 29, 'v', '2026-02-25 11:00+00', 4)$$);
DROP TRIGGER drop_next ON event;
BEGIN;
DELETE FROM event WHERE id = 3102;
SAVEPOINT a;
DELETE FROM event WHERE id = 3103;
ROLLBACK TO a;
DELETE FROM event WHERE id = 3104;
SAVEPOINT b;
UPDATE event SET amount = 1 WHERE id = 3105;
RELEASE b;
COMMIT;
DO $$ BEGIN
	DELETE FROM event WHERE id = 3202;
	BEGIN
		DELETE FROM event WHERE id IN (3203, 3204);
		RAISE division_by_zero;
	EXCEPTION WHEN division_by_zero THEN
		DELETE FROM event WHERE id = 3205;
	END;
END $$;
SELECT * FROM leadscore.verify('less');

-- what has no room in memory is spilled, and subtracted none the less; several events of a contact come apart
INSERT INTO contact SELECT generate_series(1001, 4000);
INSERT INTO event SELECT c * 100 + d, c, 'v', timestamptz '2026-02-20 08:00+00' + d * interval '1 hour', c % 10
  FROM generate_series(1, 8) d, generate_series(1001, 4000) c;
SET work_mem = '64kB';
SELECT * FROM going('DELETE FROM event WHERE id % 100 IN (3, 5) AND id / 100 > 1000');
SELECT * FROM going('UPDATE event SET amount = amount + 1 WHERE id % 100 IN (2, 6) AND id / 100 > 1000');
BEGIN;
INSERT INTO event SELECT c * 100 + 9, c, 'v', timestamptz '2026-02-20 10:30+00', 1 FROM generate_series(1001, 4000) c;
SAVEPOINT a;
DELETE FROM event WHERE id % 100 IN (4, 9) AND contact > 1000;
RELEASE a;
SAVEPOINT b;
DELETE FROM event WHERE contact > 1000;
ROLLBACK TO b;
COMMIT;
RESET work_mem;
SELECT * FROM leadscore.verify('less');
DELETE FROM event WHERE contact > 1000;
SELECT count(*), sum(score) - sum(leadscore.replay('less', contact_id)) AS beside FROM leadscore.score_less WHERE contact_id > 1000;
DELETE FROM contact WHERE id > 1000;

-- a contact without a row in its table goes with its last event
INSERT INTO event VALUES (9901, 99, 'v', '2026-02-24', 1), (9902, 99, 'w', '2026-02-25', 1), (9903, 99, 'w', '2026-02-26', 1);
SELECT * FROM going('DELETE FROM event WHERE id = 9902');
SELECT contact_id, has_contact FROM leadscore.score_less WHERE contact_id = 99;
SELECT * FROM going('DELETE FROM event WHERE id / 100 = 99');
SELECT contact_id FROM leadscore.score_less WHERE contact_id = 99;

-- zero is exactly zero, however often something came and went
DO $$ BEGIN
	FOR i IN 1 .. 50 LOOP
		INSERT INTO event SELECT 100000 + n, 40, 'v', timestamptz '2026-02-10' + n * interval '3 hours', n * 0.1 + i / 7.0 FROM generate_series(1, 20) n;
		DELETE FROM event WHERE id > 100000 AND id % 7 = i % 7;
		DELETE FROM event WHERE id > 100000;
	END LOOP;
END $$;
DELETE FROM event WHERE contact = 40;
SELECT contact_id, score - leadscore.replay('less', 40) AS beside,
	   leadscore.score('less', 40, '2030-01-01') - leadscore.replay('less', 40, '2030-01-01') AS later
  FROM leadscore.score_less WHERE contact_id = 40;
SELECT * FROM leadscore.verify('less');

-- Times without a zone: an hour that is skipped comes after the next one as instants
CREATE TABLE local_event (id int PRIMARY KEY, contact int, at timestamp);
CREATE INDEX ON local_event (contact, at);
SELECT leadscore.attach('less', 'local_event', 'contact', 'at', time_zone => 'Europe/Berlin', source => 'local');
INSERT INTO leadscore.lead_rule (model, name, source, points, award, decay, decay_interval)
VALUES ('less', 'latest', 'local', 32, 'once', 'half_life', '1 hour');
SET leadscore.clock = '2026-03-29 06:00+00';
INSERT INTO local_event VALUES (1, 31, '2026-03-29 03:01'), (2, 31, '2026-03-29 02:59'), (3, 31, '2026-03-29 04:30'), (4, 31, '2026-03-29 01:30');
SELECT id, at AT TIME ZONE 'Europe/Berlin' AS instant FROM local_event ORDER BY at;
SELECT * FROM going('DELETE FROM local_event WHERE id = 3');
SELECT last_match, round(raw::numeric, 6) AS raw FROM leadscore.explain('less', 31) WHERE name = 'latest';

DROP VIEW now;
SELECT leadscore.detach_all();
DROP SCHEMA subtract CASCADE;
