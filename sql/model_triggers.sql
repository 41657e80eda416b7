-- What users put on the tables of a model: row triggers fire in every way a row is written; what would fail for others is refused.
SET timezone = 'UTC';
SET datestyle = 'ISO';
\set SHOW_CONTEXT never
SET client_min_messages = warning;
SET leadscore.clock = '2026-03-02 00:00+00';
CREATE SCHEMA model_triggers;
SET search_path = model_triggers;
CREATE TABLE person (id text PRIMARY KEY, vip boolean);
CREATE TABLE act (person text, visitor text, at timestamptz, n int);
CREATE INDEX ON act (person, at);
CREATE INDEX ON act (visitor, at);
SELECT leadscore.create_model('fired', 'person'), leadscore.attach('fired', 'act', 'person', 'at', visitor => 'visitor');
INSERT INTO leadscore.lead_rule (model, name, points, decay, decay_interval) VALUES ('fired', 'any', 10, 'half_life', '10 days');
INSERT INTO leadscore.lead_rule (model, name, kind, points, condition) VALUES ('fired', 'vip', 'profile', 100, 'vip');
INSERT INTO leadscore.lead_stage (model, stage, position, enter_at) VALUES ('fired', 'hot', 1, 25);
INSERT INTO person VALUES ('a'), ('b');
INSERT INTO act SELECT 'a', NULL, '2026-03-02', 1 FROM generate_series(1, 2);

CREATE TABLE seen (n serial, op text, contact text, was float8, score float8);
CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO model_triggers.seen (op, contact, was, score)
	VALUES (lower(TG_OP) || ' ' || TG_TABLE_NAME, coalesce(NEW.contact_id, OLD.contact_id), OLD.score, NEW.score);
	RETURN NULL;
END $$;
CREATE FUNCTION take_seen() RETURNS TABLE (op text, contact text, was float8, score float8) LANGUAGE sql AS $$
	WITH gone AS (DELETE FROM model_triggers.seen RETURNING *)
	SELECT op, contact, round(was::numeric, 3)::float8, round(score::numeric, 3)::float8 FROM gone ORDER BY contact, n
$$;
CREATE TRIGGER see AFTER INSERT OR UPDATE OR DELETE ON leadscore.score_fired FOR EACH ROW EXECUTE FUNCTION see();
CREATE TRIGGER see AFTER INSERT OR UPDATE OR DELETE ON leadscore.score_fired_visitors FOR EACH ROW EXECUTE FUNCTION see();

-- events and contacts
INSERT INTO act VALUES ('a', NULL, '2026-03-02', 1), ('c', NULL, '2026-03-02', 1), (NULL, 'v', '2026-03-02', 1);
SELECT * FROM take_seen();
UPDATE person SET vip = true WHERE id = 'b';
SELECT * FROM take_seen();
DELETE FROM act WHERE person = 'c';
SELECT * FROM take_seen();
-- rules, at commit
BEGIN;
UPDATE leadscore.lead_rule SET points = 20 WHERE model = 'fired' AND name = 'any';
SELECT * FROM take_seen();
COMMIT;
SELECT * FROM take_seen();
UPDATE leadscore.lead_rule SET condition = 'n > 0' WHERE model = 'fired' AND name = 'any';
SELECT * FROM take_seen();
-- what is pending, and what is due
BEGIN ISOLATION LEVEL REPEATABLE READ;
INSERT INTO act VALUES ('a', NULL, '2026-03-02', 1), ('d', NULL, '2026-03-02', 1);
COMMIT;
SELECT * FROM take_seen();
SELECT leadscore.refresh('fired') > 0 AS refreshed;
SELECT * FROM take_seen();
SET leadscore.clock = '2026-03-12 00:00+00';
SELECT leadscore.refresh('fired') > 0 AS refreshed;
SELECT * FROM take_seen();
-- a transaction that sees its own snapshot
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT leadscore.set_stage('fired', 'b', 'hot');
COMMIT;
SELECT * FROM take_seen();
-- who is whose
SELECT leadscore.identify('fired', 'v', 'a');
SELECT * FROM take_seen();
SELECT leadscore.merge_contacts('fired', 'a', 'd');
SELECT * FROM take_seen();
SELECT leadscore.unmerge('fired', 'd');
SELECT * FROM take_seen();
SELECT leadscore.unidentify('fired', 'v');
SELECT * FROM take_seen();
-- counted anew, purged, emptied, erased
DELETE FROM leadscore.score_fired WHERE false;
SELECT leadscore.rescore('fired');
SELECT * FROM take_seen();
TRUNCATE act;
SELECT leadscore.refresh('fired') >= 0 AS refreshed;
SELECT * FROM take_seen();
-- a trigger of it may change what comes next, of the same model
CREATE FUNCTION more() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO model_triggers.act VALUES ('z', NULL, '2026-03-12', 1); RETURN NULL; END $$;
CREATE TRIGGER more AFTER UPDATE ON leadscore.score_fired FOR EACH ROW WHEN (NEW.contact_id = 'a') EXECUTE FUNCTION more();
INSERT INTO act VALUES ('a', NULL, '2026-03-12', 1);
SELECT * FROM take_seen();
SELECT leadscore.refresh('fired') >= 0 AS refreshed;
SELECT contact_id, score FROM leadscore.score_fired ORDER BY 1;
SELECT contact, status FROM leadscore.verify('fired');
DROP TRIGGER more ON leadscore.score_fired;
-- also for the same contact, whose one due instant is the last that is known
CREATE FUNCTION same() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN INSERT INTO model_triggers.act VALUES (NEW.contact_id, NULL, '2026-03-11', 1); RETURN NULL; END $$;
CREATE TRIGGER same AFTER INSERT ON leadscore.score_fired FOR EACH ROW WHEN (NEW.contact_id = 'x') EXECUTE FUNCTION same();
INSERT INTO leadscore.lead_rule (model, name, points, time_frame) VALUES ('fired', 'lately', 10, '3 days');
SELECT count(*) > 0 AS changed FROM take_seen();
INSERT INTO act VALUES ('x', NULL, '2026-03-12', 1);
SELECT * FROM take_seen();
SELECT count(*) FROM leadscore.due_fired WHERE contact_id = 'x';
DROP TRIGGER same ON leadscore.score_fired;
DELETE FROM leadscore.lead_rule WHERE model = 'fired' AND name = 'lately';
DELETE FROM act WHERE person = 'x';
SELECT count(*) > 0 AS changed FROM take_seen();
-- and for one whose events are read before those are added that a trigger has written
CREATE FUNCTION next() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN INSERT INTO model_triggers.act VALUES ('next', NULL, '2026-03-10', 1); RETURN NULL; END $$;
INSERT INTO act SELECT p, NULL, date '2026-03-01' + d, d FROM unnest('{first,next}'::text[]) p, generate_series(1, 9) d;
CREATE TRIGGER next AFTER UPDATE ON leadscore.score_fired FOR EACH ROW WHEN (NEW.contact_id = 'first') EXECUTE FUNCTION next();
DELETE FROM act WHERE person IN ('first', 'next') AND n = 9;
SELECT contact, status FROM leadscore.verify('fired');
DROP TRIGGER next ON leadscore.score_fired;
DELETE FROM act WHERE person IN ('first', 'next');
SELECT count(*) > 0 AS changed FROM take_seen();
-- functions with settings or rights of their own, which keep something from one row to the next
CREATE FUNCTION own() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = model_triggers AS $$
BEGIN
	INSERT INTO seen (op, contact) VALUES (lower(TG_WHEN || ' ' || TG_OP || ' ' || TG_TABLE_NAME), NEW.contact_id);
	RETURN NEW;
END $$;
CREATE TRIGGER own_before BEFORE INSERT OR UPDATE ON leadscore.score_fired FOR EACH ROW EXECUTE FUNCTION own();
CREATE TRIGGER own_after AFTER INSERT OR UPDATE ON leadscore.score_fired FOR EACH ROW EXECUTE FUNCTION own();
CREATE TRIGGER own_before BEFORE INSERT ON leadscore.history_fired FOR EACH ROW EXECUTE FUNCTION own();
CREATE TRIGGER own_after AFTER INSERT ON leadscore.history_fired FOR EACH ROW EXECUTE FUNCTION own();
INSERT INTO act SELECT g, NULL, '2026-03-12', 1 FROM generate_series(1, 500) g, generate_series(1, 3);
INSERT INTO act SELECT g, NULL, '2026-03-12', 1 FROM generate_series(1, 500) g;
SELECT op, count(*) FROM take_seen() GROUP BY 1 ORDER BY 1;
DELETE FROM act WHERE person ~ '^[0-9]';
DROP FUNCTION own CASCADE;
SELECT count(*) FROM take_seen();
-- one that suppresses the row of a new contact is named
CREATE FUNCTION suppress() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
CREATE TRIGGER suppress BEFORE INSERT ON leadscore.score_fired FOR EACH ROW EXECUTE FUNCTION suppress();
INSERT INTO act VALUES ('y', NULL, '2026-03-12', 1);
DROP TRIGGER suppress ON leadscore.score_fired;

--
-- what would make others fail, or could not fire as it should, is refused
--
SELECT count(*) FROM take_seen() HAVING false;
CREATE CONSTRAINT TRIGGER later AFTER INSERT OR UPDATE ON leadscore.score_fired DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION see();
CREATE CONSTRAINT TRIGGER later AFTER INSERT ON leadscore.history_fired DEFERRABLE FOR EACH ROW EXECUTE FUNCTION see();
CREATE TRIGGER rows AFTER UPDATE ON leadscore.score_fired REFERENCING NEW TABLE AS n FOR EACH STATEMENT EXECUTE FUNCTION see();
CREATE TRIGGER rows AFTER INSERT ON leadscore.outbox_fired REFERENCING NEW TABLE AS n FOR EACH ROW EXECUTE FUNCTION see();
CREATE TABLE mine (contact text REFERENCES leadscore.score_fired);
CREATE TABLE mine (contact text);
ALTER TABLE mine ADD FOREIGN KEY (contact) REFERENCES leadscore.score_fired ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED;
ALTER TABLE leadscore.score_fired ADD CONSTRAINT known FOREIGN KEY (contact_id) REFERENCES person NOT VALID;
ALTER TABLE leadscore.due_fired ADD FOREIGN KEY (contact_id) REFERENCES leadscore.score_fired;
-- but not these
CREATE CONSTRAINT TRIGGER now AFTER INSERT OR UPDATE ON leadscore.score_fired FOR EACH ROW EXECUTE FUNCTION see();
ALTER TABLE mine ADD FOREIGN KEY (contact) REFERENCES person;
CREATE CONSTRAINT TRIGGER later AFTER INSERT ON act DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION suppress();
INSERT INTO act VALUES ('a', NULL, '2026-03-12', 1);
SELECT op, contact FROM take_seen();
SELECT tgname FROM pg_trigger WHERE tgrelid = 'leadscore.score_fired'::regclass AND NOT tgisinternal ORDER BY 1;

SELECT leadscore.drop_model('fired');
DROP SCHEMA model_triggers CASCADE;
