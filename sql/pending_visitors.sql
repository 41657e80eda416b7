-- What is pending of an identified visitor, or of a contact that was merged, is
-- pending of the contact for whom it counts: verify() says so, live_<model> shows it.
SET client_min_messages = warning;
SET timezone = 'UTC';
SET datestyle = 'ISO';
SET leadscore.clock = '2026-03-02 00:00+00';
CREATE TABLE guest (id int PRIMARY KEY);
CREATE TABLE act (id int PRIMARY KEY, guest int, visitor text, at timestamptz DEFAULT leadscore.clock());
CREATE INDEX ON act (guest, at);
CREATE INDEX ON act (visitor, at);
INSERT INTO guest SELECT generate_series(1, 3);
SELECT leadscore.create_model('p', 'guest');
SELECT leadscore.attach('p', 'act', 'guest', 'at', visitor => 'visitor');
INSERT INTO leadscore.lead_rule (model, name, points) VALUES ('p', 'any', 1);
INSERT INTO act (id, visitor) VALUES (1, '1'), (2, '2'), (3, '3');
SELECT leadscore.identify('p', '1', 1);
CREATE VIEW proof AS SELECT contact_id, s.score AS stored, l.score AS live, leadscore.score('p', contact_id) AS asked,
	leadscore.replay('p', contact_id) AS replayed, v.stored AS v_stored, v.replayed AS v_replayed, status
	FROM leadscore.score_p s FULL JOIN leadscore.live_p l USING (contact_id)
	  FULL JOIN leadscore.verify('p') v ON v.contact = contact_id::text
	 ORDER BY contact_id;
CREATE VIEW visitors AS SELECT contact_id, s.score AS stored, l.score AS live, v.stored AS v_stored, v.replayed AS v_replayed, status
	FROM leadscore.score_p_visitors s FULL JOIN leadscore.live_p_visitors l USING (contact_id)
	  FULL JOIN leadscore.verify('p_visitors') v ON v.contact = contact_id
	 ORDER BY contact_id;

-- an event of the visitor's, under a transaction snapshot
BEGIN ISOLATION LEVEL REPEATABLE READ; INSERT INTO act (id, visitor) VALUES (4, '1'); COMMIT;
SELECT * FROM proof;
SELECT * FROM visitors;
SELECT leadscore.refresh('p');
SELECT * FROM proof;
-- one that changes, and is somebody else's then
BEGIN ISOLATION LEVEL REPEATABLE READ; UPDATE act SET visitor = '2' WHERE id = 4; COMMIT;
SELECT * FROM proof;
SELECT * FROM visitors;
SELECT leadscore.refresh('p');
SELECT * FROM proof;
-- one that goes
BEGIN ISOLATION LEVEL REPEATABLE READ; DELETE FROM act WHERE id = 1; COMMIT;
SELECT * FROM proof;
SELECT leadscore.refresh('p');
SELECT * FROM proof;
-- one of a visitor who is identified as somebody who is merged then
SELECT leadscore.identify('p', '2', 3);
SELECT leadscore.merge_contacts('p', 2, 3);
BEGIN ISOLATION LEVEL REPEATABLE READ; INSERT INTO act (id, visitor) VALUES (5, '2'); COMMIT;
SELECT * FROM proof;
SELECT * FROM visitors;
SELECT leadscore.refresh('p');
SELECT * FROM proof;
-- of the contact that was merged himself
BEGIN ISOLATION LEVEL REPEATABLE READ; INSERT INTO act (id, guest) VALUES (6, 3); COMMIT;
SELECT * FROM proof;
BEGIN ISOLATION LEVEL REPEATABLE READ; UPDATE act SET guest = 1 WHERE id = 6; COMMIT;
SELECT * FROM proof;
SELECT leadscore.refresh('p');
SELECT * FROM proof;
-- of a visitor who is identified as somebody of whom nothing else is known
SELECT leadscore.identify('p', '3', 77);
BEGIN ISOLATION LEVEL REPEATABLE READ; INSERT INTO act (id, visitor) VALUES (7, '3'), (8, '3'); COMMIT;
SELECT * FROM proof;
BEGIN ISOLATION LEVEL REPEATABLE READ; DELETE FROM act WHERE visitor = '3'; COMMIT;
SELECT * FROM proof;
SELECT leadscore.refresh('p');
SELECT * FROM proof;
-- the same, and nothing at all before
SELECT leadscore.identify('p', '4', 78);
BEGIN ISOLATION LEVEL REPEATABLE READ; INSERT INTO act (id, visitor) VALUES (11, '4'); COMMIT;
SELECT * FROM proof;
SELECT leadscore.refresh('p');
SELECT * FROM proof;
-- what is wrong stays wrong, whatever is pending of others
ALTER TABLE act DISABLE TRIGGER USER;
INSERT INTO act (id, visitor) VALUES (9, '1');
ALTER TABLE act ENABLE TRIGGER USER;
BEGIN ISOLATION LEVEL REPEATABLE READ; INSERT INTO act (id, visitor) VALUES (10, '2'); COMMIT;
SELECT * FROM proof;
SELECT leadscore.rescore('p');
SELECT * FROM proof;
DROP VIEW proof, visitors;
SELECT leadscore.drop_model('p');
DROP TABLE guest, act;
-- a change of the rules that is left to a job is one of the visitors' scores, too
CREATE TABLE guest (id text PRIMARY KEY);
CREATE TABLE act (guest text, visitor text, at timestamptz, what text);
CREATE INDEX ON act (guest, at);
CREATE INDEX ON act (visitor, at);
SELECT leadscore.create_model('p', 'guest');
SELECT leadscore.attach('p', 'act', 'guest', 'at', event => 'what', visitor => 'visitor');
INSERT INTO leadscore.lead_rule (model, name, event, points) VALUES ('p', 'any', 'open', 1);
INSERT INTO act VALUES ('g', NULL, '2026-01-01', 'open'), (NULL, 'v', '2026-01-01', 'open'), (NULL, 'v', '2026-01-02', 'click');
SET leadscore.inline_limit = 0;
UPDATE leadscore.lead_rule SET event = 'click', points = 7 WHERE model = 'p';
SELECT leadscore.refresh('p');
SELECT contact_id, score FROM leadscore.score_p UNION ALL SELECT contact_id, score FROM leadscore.score_p_visitors ORDER BY 1;
SELECT * FROM leadscore.verify('p') UNION ALL SELECT * FROM leadscore.verify('p_visitors');
SELECT model, kind, state FROM leadscore.lead_job WHERE state <> 'done' AND model LIKE 'p%';
RESET leadscore.inline_limit;
SELECT leadscore.drop_model('p');
DROP TABLE guest, act;
