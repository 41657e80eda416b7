-- Damage of one model stops neither those who write events, nor commands, nor other models
\set VERBOSITY terse
SET client_min_messages = warning;
SET leadscore.clock = '2026-03-10 13:00+00';
CREATE TABLE guest (id int PRIMARY KEY); CREATE TABLE act (guest int, at timestamptz, n int); CREATE INDEX ON act (guest, at);
CREATE TABLE other (id int PRIMARY KEY);
SELECT leadscore.create_model('m','guest'); SELECT leadscore.attach('m','act','guest','at');
SELECT leadscore.create_model('o','other'); SELECT leadscore.attach('o','act','guest','at');
INSERT INTO leadscore.lead_rule (model,name,points) VALUES ('m','any',1),('o','any',1);
INSERT INTO leadscore.lead_stage (model,stage,position,enter_at) VALUES ('m','hot',1,3);
INSERT INTO guest VALUES (1),(2); INSERT INTO act SELECT g%2+1, '2026-03-10 11:00+00', g FROM generate_series(1,10) g;
SELECT contact_id, score, stage FROM leadscore.score_m ORDER BY 1;
SET session_replication_role = replica;
UPDATE leadscore.score_m SET state = '\xffffffff' WHERE contact_id = 1;
SET session_replication_role = origin;
-- insert
INSERT INTO act VALUES (1, '2026-03-10 12:00+00', 3), (2, '2026-03-10 12:00+00', 4);
SELECT contact_id, score, stage FROM leadscore.score_m ORDER BY 1;
SELECT * FROM leadscore.verify('m'); SELECT * FROM leadscore.verify('o');
SELECT name, sqlstate, message, contact FROM leadscore.rule_errors WHERE model = 'm';
SET session_replication_role = replica;
ALTER TABLE leadscore.score_m ALTER stage DROP NOT NULL;
UPDATE leadscore.score_m SET stage = NULL WHERE contact_id = 1;
SET session_replication_role = origin;
-- upsert, delete
DELETE FROM act WHERE guest = 1 AND n = 3;
SELECT contact_id, score, stage FROM leadscore.score_m ORDER BY 1;
SELECT * FROM leadscore.verify('m');
SET session_replication_role = replica;
UPDATE leadscore.score_m SET score = 'NaN' WHERE contact_id = 1;
SET session_replication_role = origin;
-- rescore, refresh
SELECT leadscore.refresh('m');
SELECT leadscore.score('m', 1);
SELECT leadscore.rescore('m');
SELECT * FROM leadscore.verify('m');
SELECT contact_id, score, stage FROM leadscore.score_m ORDER BY 1;
-- rule changes with a column more in lead_rule
ALTER TABLE leadscore_internal.lead_rule ADD COLUMN mine int;
INSERT INTO leadscore.lead_rule (model,name,points) VALUES ('m','two',2);
UPDATE leadscore.lead_rule SET points = 5 WHERE model = 'm' AND name = 'any';
DELETE FROM leadscore.lead_rule WHERE model = 'm' AND name = 'two';
INSERT INTO act VALUES (1, '2026-03-10 12:00+00', 3);
SELECT * FROM leadscore.verify('m');
ALTER TABLE leadscore_internal.lead_rule DROP COLUMN mine;
UPDATE leadscore.lead_rule SET points = 5 WHERE model = 'm' AND name = 'any';
SELECT * FROM leadscore.verify('m');
-- a table missing
SET allow_system_table_mods = on; 
DROP TABLE leadscore.due_m CASCADE;
INSERT INTO act VALUES (1, '2026-03-10 12:00+00', 3);
CREATE OR REPLACE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1';
ALTER TABLE act ADD COLUMN z int;
ALTER TABLE act RENAME z TO zz;
ALTER TABLE act DROP COLUMN zz;
CREATE TYPE ttt AS ENUM ('a'); ALTER TYPE ttt RENAME TO tt; DROP TYPE tt;
SELECT leadscore.refresh();
SELECT leadscore.refresh('o');
SELECT * FROM leadscore.verify('o');
UPDATE leadscore.lead_rule SET points = 7 WHERE model = 'o' AND name = 'any';
SELECT * FROM leadscore.verify('o');
SELECT * FROM leadscore.verify('m');
INSERT INTO leadscore.lead_rule (model,name,points) VALUES ('m','three',2);
UPDATE leadscore.lead_rule SET points = 3;
SELECT leadscore.drop_model('m');
SELECT leadscore.drop_model('o');
DROP FUNCTION f();
DROP TABLE guest, act, other;

-- the row of due_<model> that a damaged row had is there when it is written again
CREATE TABLE quiet (id int PRIMARY KEY, born timestamptz); CREATE TABLE sign (quiet int, at timestamptz); CREATE INDEX ON sign (quiet, at);
SELECT leadscore.create_model('q','quiet',created_at => 'born'); SELECT leadscore.attach('q','sign','quiet','at');
INSERT INTO leadscore.lead_rule (model,name,kind,points,idle) VALUES ('q','silent','absence',-5,'7 days');
INSERT INTO sign VALUES (1, '2026-03-09 12:00+00'); INSERT INTO quiet VALUES (1, '2026-03-09 00:00+00');
SELECT * FROM leadscore.due_q;
SET session_replication_role = replica;
UPDATE leadscore.score_q SET score = 'NaN';
SET session_replication_role = origin;
INSERT INTO sign VALUES (1, '2026-03-09 11:00+00');
SELECT * FROM leadscore.due_q;
SELECT * FROM leadscore.verify('q');
SELECT leadscore.drop_model('q');
DROP TABLE quiet, sign;
