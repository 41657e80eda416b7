-- What a transaction changes is counted once: before it commits, or before a statement that looks
\set VERBOSITY terse
SET client_min_messages = error;
SET leadscore.clock = '2026-03-10 12:00+00';
CREATE TABLE once_lead (id int PRIMARY KEY);
CREATE TABLE once_act (lead int, at timestamptz, n int);
CREATE INDEX ON once_act (lead, at);
INSERT INTO once_lead SELECT generate_series(1, 20);
INSERT INTO once_act SELECT g % 20 + 1, '2026-03-10 10:00+00', g FROM generate_series(1, 2000) g;
ANALYZE once_act;
SELECT leadscore.create_model('once', 'once_lead');
SELECT leadscore.attach('once', 'once_act', 'lead', 'at');
-- how often the table has been read in this transaction
CREATE VIEW once_reads AS SELECT seq_scan + coalesce(idx_scan, 0) AS reads FROM pg_stat_xact_user_tables WHERE relname = 'once_act';
CREATE FUNCTION once_add(low int, high int) RETURNS void LANGUAGE plpgsql AS $$
	BEGIN
		FOR i IN low..high LOOP
			INSERT INTO leadscore.lead_rule (model, name, points) VALUES ('once', 'rule ' || i, 1);
		END LOOP;
	END $$;
RESET client_min_messages;

BEGIN;
SELECT reads FROM once_reads \gset before_
SET LOCAL client_min_messages = error;
SELECT once_add(1, 17);
RESET client_min_messages;
SELECT reads - :before_reads AS read_for_17_rules FROM once_reads;
SELECT leadscore.score('once', 1);
SELECT reads - :before_reads <= 1 AS read_once FROM once_reads;
-- the stored rows stay as they are until it commits
SELECT score FROM leadscore.score_once WHERE contact_id = 1;
SELECT score FROM leadscore.live_once WHERE contact_id = 1;
COMMIT;
SELECT score FROM leadscore.score_once WHERE contact_id = 1;
SELECT * FROM leadscore.verify('once');

-- savepoints, whichever side of them it is counted on
SET client_min_messages = error;
BEGIN;
SELECT once_add(18, 18);
SAVEPOINT a;
SELECT once_add(19, 19);
SELECT leadscore.score('once', 1) AS with_19;
ROLLBACK TO SAVEPOINT a;
SELECT leadscore.score('once', 1) AS with_18;
SAVEPOINT b;
SELECT once_add(19, 19);
RELEASE SAVEPOINT b;
SAVEPOINT c;
SELECT leadscore.score('once', 1) AS with_19;
ROLLBACK TO SAVEPOINT c;
COMMIT;
SELECT score FROM leadscore.score_once WHERE contact_id = 1;
SELECT * FROM leadscore.verify('once');
BEGIN;
SELECT once_add(20, 20);
ROLLBACK;
SELECT score FROM leadscore.score_once WHERE contact_id = 1;
SELECT * FROM leadscore.verify('once');

-- statements that were planned before, expressions of PL/pgSQL, cursors, functions of users
PREPARE ask AS SELECT leadscore.score('once', 1);
PREPARE ask_live AS SELECT score FROM leadscore.live_once WHERE contact_id = 1;
EXECUTE ask;
EXECUTE ask_live;
CREATE FUNCTION once_ask() RETURNS float8 LANGUAGE plpgsql AS $$DECLARE s float8; BEGIN s := leadscore.score('once', 1); RETURN s; END$$;
CREATE FUNCTION once_ask_stable() RETURNS float8 LANGUAGE sql STABLE AS $$SELECT leadscore.score('once', 1)$$;
SELECT once_ask(), once_ask_stable();
BEGIN; SELECT once_add(21, 21); EXECUTE ask; ROLLBACK;
BEGIN; SELECT once_add(21, 21); EXECUTE ask_live; ROLLBACK;
BEGIN; SELECT once_add(21, 21); SELECT once_ask(); ROLLBACK;
BEGIN; SELECT once_add(21, 21); SELECT once_ask_stable(); ROLLBACK;
BEGIN; SELECT once_add(21, 21); DECLARE look CURSOR FOR SELECT score FROM leadscore.live_once WHERE contact_id = 1; FETCH look; ROLLBACK;
BEGIN; SELECT once_add(21, 21); SELECT replay FROM leadscore.replay('once', 1); ROLLBACK;
BEGIN; SELECT once_add(21, 21); SELECT count(*) FROM leadscore.verify('once'); ROLLBACK;
BEGIN; SELECT once_add(21, 21); SELECT points FROM leadscore.explain('once', 1) WHERE name = 'rule 21'; ROLLBACK;
BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT once_add(21, 21); SELECT leadscore.score('once', 1); ROLLBACK;
DO $$ DECLARE s float8; BEGIN
	PERFORM once_add(21, 21);
	s := leadscore.score('once', 1);
	PERFORM once_add(22, 22);
	RAISE INFO '% then %', s, leadscore.score('once', 1);
	RAISE EXCEPTION 'undone';
END $$;

-- events between rules
BEGIN;
SELECT once_add(21, 21);
INSERT INTO once_act VALUES (1, '2026-03-10 11:00+00', 1);
SELECT once_add(22, 22);
DELETE FROM once_act WHERE lead = 1 AND n = 20;
SELECT leadscore.score('once', 1), leadscore.replay('once', 1);
COMMIT;
SELECT score, leadscore.replay('once', 1) FROM leadscore.score_once WHERE contact_id = 1;
SELECT * FROM leadscore.verify('once');

-- several commands that change what rules read
CREATE FUNCTION once_many(int) RETURNS float8 LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN 1; END';
INSERT INTO leadscore.lead_rule (model, name, points, weight) VALUES ('once', 'many', 1000, 'public.once_many(n)');
BEGIN;
SELECT reads FROM once_reads \gset before_
DO $$ BEGIN
	FOR i IN 2..9 LOOP
		EXECUTE format('CREATE OR REPLACE FUNCTION once_many(int) RETURNS float8 LANGUAGE plpgsql IMMUTABLE AS ''BEGIN RETURN %s; END''', i);
	END LOOP;
END $$;
ALTER TABLE once_act ALTER n TYPE bigint;
ALTER TABLE once_act ALTER n TYPE int;
COMMIT;
SELECT score, leadscore.replay('once', 1) FROM leadscore.score_once WHERE contact_id = 1;
SELECT * FROM leadscore.verify('once');
BEGIN;
SELECT once_add(30, 30);
SELECT leadscore.drop_model('once');
COMMIT;
DROP VIEW once_reads;
DROP FUNCTION once_add, once_ask, once_ask_stable, once_many;
DROP TABLE once_lead, once_act;
