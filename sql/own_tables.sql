-- The tables of a model belong to its owner: what he does to them never keeps a
-- writer in a loop.
SET timezone = 'UTC';
SET leadscore.clock = '2026-03-02 00:00+00';
CREATE SCHEMA own;
SET search_path = own;
CREATE TABLE contact (id int PRIMARY KEY, subscribed bool);
CREATE TABLE event (contact int, at timestamptz);
CREATE INDEX ON event (contact, at);
SELECT leadscore.create_model('own', 'contact');
SELECT leadscore.attach('own', 'event', 'contact', 'at');
INSERT INTO leadscore.lead_rule (model, name, condition, points, decay, decay_interval) VALUES ('own', 'any', 'true', 10, 'half_life', '7 days');
INSERT INTO leadscore.lead_rule (model, name, kind, condition, points) VALUES ('own', 'subscribed', 'profile', 'subscribed', 1);
INSERT INTO contact VALUES (1, false), (2, true);
SET statement_timeout = '20s';

-- the index by which a replica knows the rows is not the key's
CREATE UNIQUE INDEX score_by ON leadscore.score_own (stage, contact_id);
ALTER TABLE leadscore.score_own REPLICA IDENTITY USING INDEX score_by;
CREATE UNIQUE INDEX due_by ON leadscore.due_own (contact_id, due_at, drift);
ALTER TABLE leadscore.due_own REPLICA IDENTITY USING INDEX due_by;
INSERT INTO event VALUES (1, '2026-03-01'), (2, '2026-03-02'), (3, '2026-03-02');
INSERT INTO event VALUES (1, '2026-03-02'), (3, '2026-03-02');
UPDATE contact SET subscribed = NOT subscribed;
SET leadscore.clock = '2026-03-20 00:00+00';
SELECT leadscore.refresh('own');
SELECT contact_id, round(score::numeric, 2) AS score FROM leadscore.score_own ORDER BY 1;
SELECT count(*) = count(DISTINCT contact_id) AS each_due_once FROM leadscore.due_own;
SELECT * FROM leadscore.verify('own');
ALTER TABLE leadscore.score_own REPLICA IDENTITY FULL;
ALTER TABLE leadscore.due_own REPLICA IDENTITY NOTHING;
INSERT INTO event VALUES (1, '2026-03-20'), (4, '2026-03-20');
SELECT * FROM leadscore.verify('own');

-- a trigger that suppresses the rows
CREATE FUNCTION suppress() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE TRIGGER suppress BEFORE INSERT ON leadscore.score_own FOR EACH ROW EXECUTE FUNCTION suppress();
INSERT INTO event VALUES (5, '2026-03-20');
INSERT INTO event VALUES (1, '2026-03-20');
DROP TRIGGER suppress ON leadscore.score_own;
INSERT INTO event VALUES (5, '2026-03-20');
SELECT * FROM leadscore.verify('own');
SELECT leadscore.drop_model('own');
DROP SCHEMA own CASCADE;
