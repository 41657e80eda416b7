-- What costs more than it looks: many rules over many partitions; indexes of a
-- model's tables that others have made, or that are not there.
SET timezone = 'UTC';
SET datestyle = 'ISO';

--
-- 30 rules on 40 partitions: the advice about rules reads each table once a
-- statement, and not once for each rule.
--
CREATE TABLE c_guest (id int PRIMARY KEY);
CREATE TABLE c_act (guest int, at timestamptz, what text, v int) PARTITION BY RANGE (at);
CREATE INDEX ON c_act (guest, at);
DO $$
BEGIN
	FOR n IN 1..40 LOOP
		EXECUTE format('CREATE TABLE c_act%s PARTITION OF c_act FOR VALUES FROM (%L) TO (%L)', n,
			date '2026-01-01' + n, date '2026-01-01' + n + 1);
	END LOOP;
END$$;
INSERT INTO c_act SELECT n % 5, timestamptz '2026-01-02 00:00+00' + n % 40 * interval '1 day', 'ev' || n % 20, n
	FROM generate_series(1, 400) n;
SELECT leadscore.create_model('c_hotel', 'c_guest');
SELECT leadscore.attach('c_hotel', 'c_act', 'guest', 'at', event => 'what');

BEGIN;
SELECT seq_scan + coalesce(idx_scan, 0) AS before FROM pg_stat_xact_user_tables WHERE relname = 'c_act20' \gset
-- the last ten are of events that there are not, of every third the condition holds for no row,
-- of every seventh it fails
INSERT INTO leadscore.lead_rule (model, name, event, condition, points)
	SELECT 'c_hotel', 'r' || n, 'ev' || n, CASE WHEN n % 7 = 0 THEN '1 / (v - v) > 0' WHEN n % 3 = 0 THEN 'v < 0' ELSE 'v > 0' END, 1
	FROM generate_series(0, 29) n;
-- read by the advice, and by what counts the rules
SELECT seq_scan + coalesce(idx_scan, 0) - :before <= 5 AS read_a_few_times FROM pg_stat_xact_user_tables WHERE relname = 'c_act20';
COMMIT;
SELECT * FROM leadscore.verify('c_hotel') WHERE status <> 'ok';
-- two statements, and one that changes rules
INSERT INTO leadscore.lead_rule (model, name, event, points) VALUES ('c_hotel', 'slip', 'ev_1', 1), ('c_hotel', 'right', 'ev1', 1);
INSERT INTO leadscore.lead_rule (model, name, event, points) VALUES ('c_hotel', 'other slip', 'eW2', 1);
UPDATE leadscore.lead_rule SET event = 'ev1_' WHERE name IN ('slip', 'other slip');
UPDATE leadscore.lead_rule SET points = 2 WHERE name = 'slip';
-- a profile rule beside them, and the rows of another source
CREATE TABLE c_other (guest int, at timestamptz, what text, v int);
CREATE INDEX ON c_other (guest, at);
SELECT leadscore.attach('c_hotel', 'c_other', 'guest', 'at');
INSERT INTO c_guest VALUES (1);
INSERT INTO c_other VALUES (1, '2026-01-05', 'x', 1);
INSERT INTO leadscore.lead_rule (model, name, kind, source, event, condition, points, idle) VALUES
	('c_hotel', 'p', 'profile', NULL, NULL, 'id > 1', 1, NULL),
	('c_hotel', 'p2', 'profile', NULL, NULL, 'id > 0', 1, NULL),
	('c_hotel', 'o', 'event', 'c_other', NULL, 'v > 1', 1, NULL),
	('c_hotel', 'o2', 'event', 'c_other', NULL, 'v > 0', 1, NULL),
	('c_hotel', 'a', 'absence', NULL, 'ev3', NULL, -1, '30 days'),
	('c_hotel', 'a2', 'absence', NULL, 'e3', NULL, -1, '30 days');
-- a statement that fails leaves nothing to be told by the next
BEGIN;
SAVEPOINT s;
INSERT INTO leadscore.lead_rule (model, name, event, points) VALUES ('c_hotel', 'gone', 'never', 1), ('c_hotel', 'worse', 'never', NULL);
ROLLBACK TO s;
INSERT INTO leadscore.lead_rule (model, name, source, event, points) VALUES ('c_hotel', 'stays', 'c_act', 'ev2', 1);
COMMIT;
SELECT leadscore.drop_model('c_hotel');
DROP TABLE c_guest, c_act, c_other;

--
-- Indexes.  What is put aside is found by an index that has all rows, sorts as the
-- key does, and is valid.
--
CREATE TABLE c_guest (id text PRIMARY KEY);
CREATE TABLE c_act (guest text, at timestamptz);
CREATE INDEX ON c_act (guest, at);
SELECT leadscore.create_model('c_hotel', 'c_guest');
SELECT leadscore.attach('c_hotel', 'c_act', 'guest', 'at', on_delete => 'keep');
INSERT INTO leadscore.lead_rule (model, name, points) VALUES ('c_hotel', 'any', 1);
CREATE PROCEDURE c_aside() LANGUAGE plpgsql AS $$
BEGIN
	COMMIT;
	SET TRANSACTION ISOLATION LEVEL REPEATABLE READ;
	INSERT INTO c_act SELECT 'k' || n, '2026-01-01' FROM generate_series(1, 20) n;
	COMMIT;
END$$;
-- one that sorts the other way comes first
DROP INDEX leadscore.pending_c_hotel_contact;
CREATE INDEX c_desc ON leadscore.pending_c_hotel (contact_id DESC);
CREATE INDEX c_pattern ON leadscore.pending_c_hotel (contact_id text_pattern_ops);
CREATE INDEX c_some ON leadscore.pending_c_hotel (contact_id) WHERE contact_id > 'k5';
CREATE INDEX c_hash ON leadscore.pending_c_hotel USING hash (contact_id);
CREATE INDEX c_lower ON leadscore.pending_c_hotel (lower(contact_id));
CREATE INDEX c_second ON leadscore.pending_c_hotel (noted_at, contact_id);
CALL c_aside();
SELECT leadscore.refresh('c_hotel');	-- says what is missing, and loses nothing
SELECT leadscore.score('c_hotel', 'k3');
CREATE INDEX pending_c_hotel_contact ON leadscore.pending_c_hotel (contact_id);
SELECT leadscore.score('c_hotel', 'k3'), leadscore.refresh('c_hotel');
SELECT count(*) FROM leadscore.pending_c_hotel;
SELECT * FROM leadscore.verify('c_hotel') WHERE status <> 'ok';
-- another collation calls other keys equal
DROP INDEX leadscore.pending_c_hotel_contact;
CREATE COLLATION c_loose (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
CREATE INDEX pending_c_hotel_contact ON leadscore.pending_c_hotel (contact_id COLLATE c_loose);
CREATE INDEX pending_c_hotel_contact2 ON leadscore.pending_c_hotel (contact_id);
CALL c_aside();
BEGIN ISOLATION LEVEL REPEATABLE READ; INSERT INTO c_act VALUES ('K1', '2026-01-01'); COMMIT;
SELECT leadscore.score('c_hotel', 'k1'), leadscore.replay('c_hotel', 'k1'), leadscore.score('c_hotel', 'K1'), leadscore.refresh('c_hotel');
-- an invalid one, as a cancelled REINDEX CONCURRENTLY leaves behind
CALL c_aside();
CALL c_aside();
DROP INDEX leadscore.pending_c_hotel_contact, leadscore.pending_c_hotel_contact2;
\set VERBOSITY terse
CREATE UNIQUE INDEX CONCURRENTLY pending_c_hotel_contact ON leadscore.pending_c_hotel (contact_id);
\set VERBOSITY default
SELECT leadscore.refresh('c_hotel');
ALTER INDEX leadscore.pending_c_hotel_contact RENAME TO c_invalid;
CREATE INDEX ON leadscore.pending_c_hotel (contact_id);
SELECT leadscore.refresh('c_hotel');
DROP INDEX leadscore.c_invalid;
SELECT * FROM leadscore.verify('c_hotel') WHERE status <> 'ok';
-- the same of what is kept
DELETE FROM c_act WHERE guest = 'k1';
DROP INDEX leadscore.purged_c_hotel_contact;
INSERT INTO c_act VALUES ('k1', '2026-01-02');	-- is not stopped
SELECT leadscore.score('c_hotel', 'k1'), leadscore.replay('c_hotel', 'k1');
CREATE INDEX ON leadscore.purged_c_hotel (contact_id, source);
SELECT leadscore.rescore('c_hotel');
SELECT leadscore.score('c_hotel', 'k1'), leadscore.replay('c_hotel', 'k1');
-- primary keys
ALTER TABLE leadscore.score_c_hotel DROP CONSTRAINT score_c_hotel_pkey;
INSERT INTO c_act VALUES ('k1', '2026-01-03');
SELECT leadscore.rescore('c_hotel');
CREATE UNIQUE INDEX c_key ON leadscore.score_c_hotel (contact_id);
INSERT INTO c_act VALUES ('k1', '2026-01-03');
ALTER TABLE leadscore.score_c_hotel ADD PRIMARY KEY (contact_id);
ALTER TABLE leadscore.due_c_hotel DROP CONSTRAINT due_c_hotel_pkey;
INSERT INTO c_act VALUES ('k1', '2026-01-03');
SELECT leadscore.refresh('c_hotel');
ALTER TABLE leadscore.due_c_hotel ADD PRIMARY KEY (due_at, drift, contact_id);
DROP INDEX leadscore.history_c_hotel_contact;
SELECT leadscore.score('c_hotel', 'k1', '2026-01-02');
SELECT leadscore.rescore('c_hotel');
SELECT * FROM leadscore.verify('c_hotel') WHERE status <> 'ok';
SELECT leadscore.drop_model('c_hotel');
DROP TABLE c_guest, c_act;
DROP COLLATION c_loose;
DROP PROCEDURE c_aside;

--
-- Rights are asked for once a statement, not of each row
--
CREATE TABLE c_guest (id int PRIMARY KEY);
SELECT leadscore.create_model('c_hotel', 'c_guest');
INSERT INTO leadscore_internal.lead_rule_error (model, rule_id, name, failed_at, failures, sqlstate, message)
	SELECT 'c_hotel', n % 10, 'r', now(), 1, '22012', 'x' FROM generate_series(1, 500) n;
BEGIN;
SELECT seq_scan + idx_scan AS before FROM pg_stat_xact_all_tables WHERE relname = 'lead_model' \gset
SELECT count(*), sum(failures) FROM leadscore.rule_errors WHERE model = 'c_hotel';
SELECT count(*) FROM leadscore_internal.lead_rule_error WHERE leadscore_internal.may_dump(model) AND model = 'c_hotel';
SELECT seq_scan + idx_scan - :before <= 10 AS read_a_few_times FROM pg_stat_xact_all_tables WHERE relname = 'lead_model';
COMMIT;
DELETE FROM leadscore_internal.lead_rule_error WHERE model = 'c_hotel';
SELECT leadscore.drop_model('c_hotel');
DROP TABLE c_guest;
