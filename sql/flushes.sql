-- What statements have deferred and no trigger flushed: it belongs to the subtransaction that deferred it, and to no other.
CREATE SCHEMA flushes;
SET search_path = flushes;
SET leadscore.clock = '2026-03-10 12:00+00';
SET client_min_messages = warning;
SET timezone = 'UTC';
CREATE TABLE lead (id text PRIMARY KEY, plan text);
INSERT INTO lead SELECT chr(96 + g) FROM generate_series(1, 5) g;
CREATE TABLE part (k int PRIMARY KEY, contact text, at timestamptz DEFAULT '2026-03-10 00:00+00', what text DEFAULT 'x');
CREATE TABLE other (contact text, at timestamptz DEFAULT '2026-03-10 00:00+00', what text DEFAULT 'x');
CREATE TABLE whole (k int NOT NULL, contact text, at timestamptz DEFAULT '2026-03-10 00:00+00', what text DEFAULT 'x') PARTITION BY RANGE (k);
CREATE TABLE leads (id text NOT NULL, plan text) PARTITION BY LIST (id);
SELECT leadscore.create_model('flushes', 'lead'), leadscore.attach('flushes', 'part', 'contact', 'at', 'what'),
	leadscore.attach('flushes', 'other', 'contact', 'at', 'what');
INSERT INTO leadscore.lead_rule (model, name, source, event, points) VALUES ('flushes', 'x', 'part', 'x', 10), ('flushes', 'y', 'other', 'x', 1);
INSERT INTO leadscore.lead_rule (model, name, kind, condition, points) VALUES ('flushes', 'pro', 'profile', 'plan = ''pro''', 100);
CREATE FUNCTION stored() RETURNS text LANGUAGE sql AS $$
	SELECT (SELECT string_agg(contact_id || ':' || score, ' ' ORDER BY contact_id) FROM leadscore.score_flushes WHERE score <> 0)
		|| coalesce((SELECT ' BUT ' || string_agg(v::text, ' ') FROM leadscore.verify('flushes') v), '')
$$;
ALTER TABLE whole ATTACH PARTITION part FOR VALUES FROM (0) TO (100);
ALTER TABLE leads ATTACH PARTITION lead DEFAULT;

-- rows that are written through a table above whose triggers are disabled
ALTER TABLE whole DISABLE TRIGGER leadscore_above_enter;
ALTER TABLE whole DISABLE TRIGGER leadscore_above_leave;
ALTER TABLE leads DISABLE TRIGGER leadscore_above_enter;
ALTER TABLE leads DISABLE TRIGGER leadscore_above_leave;
BEGIN;
INSERT INTO whole (k, contact) VALUES (1, 'a'), (2, 'b');
INSERT INTO leads VALUES ('f', 'pro');
SAVEPOINT s;
INSERT INTO whole (k, contact) VALUES (3, 'b'), (4, 'c');
INSERT INTO other (contact) VALUES ('b'), ('d');
ROLLBACK TO s;
INSERT INTO whole (k, contact) VALUES (5, 'e');
COMMIT;
SELECT stored();
BEGIN;
INSERT INTO whole (k, contact) VALUES (11, 'a'), (12, 'b');
UPDATE leads SET plan = 'pro' WHERE id IN ('a', 'b');
SAVEPOINT s;
INSERT INTO whole (k, contact) VALUES (13, 'b'), (14, 'c');
INSERT INTO other (contact) VALUES ('b'), ('d');
UPDATE lead SET plan = 'no' WHERE id = 'b';
RELEASE s;
COMMIT;
SELECT stored();
DO $$
BEGIN
	DELETE FROM flushes.whole WHERE k = 11;
	BEGIN
		INSERT INTO flushes.other (contact) VALUES ('a'), ('c');
		RAISE EXCEPTION 'undone';
	EXCEPTION WHEN raise_exception THEN NULL;
	END;
	BEGIN
		INSERT INTO flushes.other (contact) VALUES ('a');
	EXCEPTION WHEN raise_exception THEN NULL;
	END;
END $$;
SELECT stored();
ALTER TABLE whole ENABLE TRIGGER USER;
ALTER TABLE leads ENABLE TRIGGER USER;

-- where only the end of a statement is not seen; what is recomputed meanwhile includes its rows
ALTER TABLE whole DISABLE TRIGGER leadscore_above_leave;
BEGIN;
INSERT INTO whole (k, contact) VALUES (21, 'a'), (22, 'b');
UPDATE lead SET plan = 'pro' WHERE id = 'e';
SAVEPOINT s;
ALTER TABLE other DISABLE TRIGGER leadscore_enter;
UPDATE other SET what = 'z' WHERE contact = 'b';
RELEASE s;
SELECT stored();
COMMIT;
SELECT stored();
ALTER TABLE whole ENABLE TRIGGER USER;
ALTER TABLE other ENABLE TRIGGER USER;

-- a trigger of the owner's on score_<model> that has a contact recomputed whose events are still to be added
CREATE FUNCTION change() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN UPDATE flushes.other SET at = at - interval '1 second' WHERE contact = 'd'; RETURN NULL; END $$;
CREATE TRIGGER change AFTER UPDATE ON leadscore.score_flushes FOR EACH ROW WHEN (NEW.contact_id = 'c') EXECUTE FUNCTION change();
INSERT INTO other (contact) VALUES ('c'), ('d');
SELECT stored();
DROP TRIGGER change ON leadscore.score_flushes;
-- and one that never ends
CREATE FUNCTION again() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN INSERT INTO flushes.other (contact) VALUES (NEW.contact_id); RETURN NULL; END $$;
CREATE TRIGGER again AFTER UPDATE ON leadscore.score_flushes FOR EACH ROW EXECUTE FUNCTION again();
\set VERBOSITY terse
INSERT INTO other (contact) VALUES ('c');
\set VERBOSITY default
DROP TRIGGER again ON leadscore.score_flushes;
SELECT stored();

-- a trigger of the owner's on pending_<model>, within whose statements more is enqueued
CREATE TABLE queued (k int PRIMARY KEY, contact text, at timestamptz DEFAULT '2026-03-10 00:00+00', what text DEFAULT 'x');
CREATE TABLE queue (k int NOT NULL, contact text, at timestamptz DEFAULT '2026-03-10 00:00+00', what text DEFAULT 'x') PARTITION BY RANGE (k);
SELECT leadscore.attach('flushes', 'queued', 'contact', 'at', 'what', mode => 'queued');
ALTER TABLE queue ATTACH PARTITION queued FOR VALUES FROM (0) TO (100);
INSERT INTO leadscore.lead_rule (model, name, source, event, points) VALUES ('flushes', 'z', 'queued', 'x', 1000);
INSERT INTO queued (k, contact) VALUES (1, 'a');
SELECT leadscore.refresh('flushes') AS refreshed;
CREATE FUNCTION more() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	FOR i IN 1..4 LOOP
		INSERT INTO flushes.queued (k, contact) SELECT 10 * i + g, 'g' || i * 100 + g FROM generate_series(1, 5) g;
	END LOOP;
	RETURN NULL;
END $$;
CREATE TRIGGER more AFTER INSERT ON leadscore.pending_flushes FOR EACH ROW
	WHEN (NEW.contact_id = 'a' AND NEW.delta IS NOT NULL) EXECUTE FUNCTION more();
INSERT INTO queued (k, contact) VALUES (1, 'a'), (2, 'a') ON CONFLICT (k) DO UPDATE SET contact = 'b';
SELECT left(contact_id, 1) AS contact, count(delta) AS deltas, count(*) FROM leadscore.pending_flushes GROUP BY 1 ORDER BY 1;
SELECT leadscore.refresh('flushes') AS refreshed;
DELETE FROM queued WHERE contact ~ '^g.';
SELECT leadscore.refresh('flushes') AS refreshed;
SELECT stored();
SELECT leadscore.drop_model('flushes');
DROP SCHEMA flushes CASCADE;
