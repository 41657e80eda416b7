-- Consequences: what an action may be, what is written when something happens,
-- and how consumers take it.
SET timezone = 'UTC';
SET datestyle = 'ISO';
SET extra_float_digits = 0;
\pset null -
\set SHOW_CONTEXT never
SET client_min_messages = warning;
SET leadscore.clock = '2026-03-01 00:00+00';
ALTER SEQUENCE leadscore_internal.outbox_id_seq RESTART;
CREATE ROLE regress_ls_sales;
CREATE ROLE regress_ls_rep IN ROLE regress_ls_sales;
CREATE ROLE regress_ls_else;
GRANT SET ON PARAMETER leadscore.clock TO regress_ls_sales;
CREATE SCHEMA crm;
CREATE SCHEMA hidden;
GRANT USAGE, CREATE ON SCHEMA crm TO regress_ls_sales, regress_ls_else;
SET search_path = crm;
CREATE FUNCTION crm.tell(jsonb) RETURNS void LANGUAGE sql AS 'SELECT';
CREATE FUNCTION crm.tell(text) RETURNS void LANGUAGE sql AS 'SELECT';
CREATE FUNCTION crm."Tell it"(jsonb) RETURNS void LANGUAGE sql AS 'SELECT';
CREATE FUNCTION crm.secret(jsonb) RETURNS void LANGUAGE sql AS 'SELECT';
REVOKE EXECUTE ON FUNCTION crm.secret FROM PUBLIC;
CREATE FUNCTION hidden.tell(jsonb) RETURNS void LANGUAGE sql AS 'SELECT';
CREATE PROCEDURE crm.proc(jsonb) LANGUAGE sql AS 'SELECT 1';
SET ROLE regress_ls_sales;
CREATE TABLE contact (id int PRIMARY KEY, banned bool);
CREATE TABLE event (contact int, what text, at timestamptz, points float8);
CREATE INDEX ON event (contact, at);
SELECT leadscore.create_model('deals', 'contact');
SELECT leadscore.attach('deals', 'event', 'contact', 'at', event => 'what');
INSERT INTO leadscore.lead_rule (model, name, event, points, weight) VALUES ('deals', 'p', 'p', 1, 'points');
INSERT INTO leadscore.lead_rule (model, name, event, points) VALUES ('deals', 'form sent', 'form', 0.25);
INSERT INTO leadscore.lead_rule (model, name, kind, condition, points, disqualifies) VALUES ('deals', 'banned', 'profile', 'banned', 0, true);
INSERT INTO leadscore.lead_stage (model, stage, position, enter_at, leave_below) VALUES ('deals', 'mql', 1, 50, 50), ('deals', 'sql', 2, 80, 80);

--
-- what an action may be
--
\set VERBOSITY default
INSERT INTO leadscore.lead_action (model, name, occasion) VALUES ('deal', 'a', 'stage_entered');
INSERT INTO leadscore.lead_action (model, name, occasion) VALUES (NULL, 'a', 'stage_entered');
INSERT INTO leadscore.lead_action (model, name, occasion) VALUES ('deals', NULL, 'stage_entered');
INSERT INTO leadscore.lead_action (model, name, occasion) VALUES ('deals', ' ', 'stage_entered');
INSERT INTO leadscore.lead_action (model, name, occasion) VALUES ('deals', 'a', 'stage_enterd');
INSERT INTO leadscore.lead_action (model, name, occasion) VALUES ('deals', 'a', 'birthday');
INSERT INTO leadscore.lead_action (model, name) VALUES ('deals', 'a');
INSERT INTO leadscore.lead_action (model, name, occasion, stage) VALUES ('deals', 'a', 'stage_entered', 'mqll');
INSERT INTO leadscore.lead_action (model, name, occasion, stage) VALUES ('deals', 'a', 'stage_left', 'customer');
INSERT INTO leadscore.lead_action (model, name, occasion, score_level) VALUES ('deals', 'a', 'stage_left', 5);
INSERT INTO leadscore.lead_action (model, name, occasion, rule) VALUES ('deals', 'a', 'stage_left', 'form sent');
INSERT INTO leadscore.lead_action (model, name, occasion) VALUES ('deals', 'a', 'score_rises');
INSERT INTO leadscore.lead_action (model, name, occasion, score_level) VALUES ('deals', 'a', 'score_rises', 'infinity');
INSERT INTO leadscore.lead_action (model, name, occasion, score_level) VALUES ('deals', 'a', 'score_falls', 'nan');
INSERT INTO leadscore.lead_action (model, name, occasion, score_level, stage) VALUES ('deals', 'a', 'score_falls', 5, 'mql');
INSERT INTO leadscore.lead_action (model, name, occasion) VALUES ('deals', 'a', 'rule_in_force');
INSERT INTO leadscore.lead_action (model, name, occasion, rule) VALUES ('deals', 'a', 'rule_in_force', 'from sent');
INSERT INTO leadscore.lead_action (model, name, occasion, rule, score_level) VALUES ('deals', 'a', 'rule_in_force', 'form sent', 1);
INSERT INTO leadscore.lead_action (model, name, occasion, causes) VALUES ('deals', 'a', 'stage_entered', '{event,tiem}');
INSERT INTO leadscore.lead_action (model, name, occasion, causes) VALUES ('deals', 'a', 'stage_entered', '{event,NULL}');
INSERT INTO leadscore.lead_action (model, name, occasion, causes) VALUES ('deals', 'a', 'stage_entered', '{}');
INSERT INTO leadscore.lead_action (model, name, occasion, causes) VALUES ('deals', 'a', 'stage_entered', NULL);
INSERT INTO leadscore.lead_action (model, name, occasion, deliver) VALUES ('deals', 'a', 'stage_entered', 'outbx');
INSERT INTO leadscore.lead_action (model, name, occasion, deliver) VALUES ('deals', 'a', 'stage_entered', NULL);
INSERT INTO leadscore.lead_action (model, name, occasion, channel) VALUES ('deals', 'a', 'stage_entered', 'c');
INSERT INTO leadscore.lead_action (model, name, occasion, deliver, channel) VALUES ('deals', 'a', 'stage_entered', 'notify', '');
INSERT INTO leadscore.lead_action (model, name, occasion, deliver, channel) VALUES ('deals', 'a', 'stage_entered', 'notify', repeat('c', 64));
INSERT INTO leadscore.lead_action (model, name, occasion, deliver) VALUES ('deals', 'a', 'stage_entered', 'function');
INSERT INTO leadscore.lead_action (model, name, occasion, function) VALUES ('deals', 'a', 'stage_entered', 'crm.tell');
INSERT INTO leadscore.lead_action (model, name, occasion, deliver, function) VALUES ('deals', 'a', 'stage_entered', 'function', 'tell');
INSERT INTO leadscore.lead_action (model, name, occasion, deliver, function) VALUES ('deals', 'a', 'stage_entered', 'function', 'crm.tell(jsonb)');
INSERT INTO leadscore.lead_action (model, name, occasion, deliver, function) VALUES ('deals', 'a', 'stage_entered', 'function', 'crm."tell');
INSERT INTO leadscore.lead_action (model, name, occasion, deliver, function) VALUES ('deals', 'a', 'stage_entered', 'function', 'crm.tel');
INSERT INTO leadscore.lead_action (model, name, occasion, deliver, function) VALUES ('deals', 'a', 'stage_entered', 'function', 'cmr.tell');
INSERT INTO leadscore.lead_action (model, name, occasion, deliver, function) VALUES ('deals', 'a', 'stage_entered', 'function', 'crm.proc');
INSERT INTO leadscore.lead_action (model, name, occasion, deliver, function) VALUES ('deals', 'a', 'stage_entered', 'function', 'crm.secret');
INSERT INTO leadscore.lead_action (model, name, occasion, deliver, function) VALUES ('deals', 'a', 'stage_entered', 'function', 'hidden.tell');
INSERT INTO leadscore.lead_action (model, name, occasion, timeout) VALUES ('deals', 'a', 'stage_entered', '0');
INSERT INTO leadscore.lead_action (model, name, occasion, timeout) VALUES ('deals', 'a', 'stage_entered', NULL);
INSERT INTO leadscore.lead_action (model, name, occasion, max_attempts) VALUES ('deals', 'a', 'stage_entered', 0);
TRUNCATE leadscore.lead_action;
RESET ROLE;
TRUNCATE leadscore.lead_action;
SET ROLE regress_ls_sales;
SELECT count(*) FROM leadscore.lead_action;

INSERT INTO leadscore.lead_action (model, name, occasion, stage, deliver, channel, function, score_level, rule, causes, max_attempts) VALUES
	('deals', 'any stage', 'stage_entered', NULL, DEFAULT, NULL, NULL, NULL, NULL, DEFAULT, DEFAULT),
	('deals', 'won', 'stage_entered', 'sql', DEFAULT, NULL, NULL, NULL, NULL, DEFAULT, 2),
	('deals', 'lost', 'stage_left', 'mql', 'notify', NULL, NULL, NULL, NULL, DEFAULT, DEFAULT),
	('deals', 'hot', 'score_rises', NULL, 'notify', 'hot leads', NULL, 70, NULL, DEFAULT, DEFAULT),
	('deals', 'cold', 'score_falls', NULL, 'function', NULL, 'crm.tell', 70, NULL, DEFAULT, DEFAULT),
	('deals', 'form', 'rule_in_force', NULL, 'function', NULL, 'crm."Tell it"', NULL, 'form sent', DEFAULT, DEFAULT),
	('deals', 'bad', 'stage_entered', 'disqualified', DEFAULT, NULL, NULL, NULL, NULL, '{profile}', DEFAULT),
	('deals', 'moved', 'stage_entered', 'mql', DEFAULT, NULL, NULL, NULL, NULL, '{backfill,rule}', DEFAULT);
INSERT INTO leadscore.lead_action (model, name, occasion, enabled) VALUES ('deals', 'nobody', 'stage_entered', false);
INSERT INTO leadscore.lead_action (model, name, occasion) VALUES ('deals', 'won', 'stage_left');
-- what broke since then does not keep its row from being changed
UPDATE leadscore.lead_action SET function = 'crm.nothing' WHERE name = 'cold';
RESET ROLE;
DROP FUNCTION crm.tell(jsonb);
SET ROLE regress_ls_sales;
UPDATE leadscore.lead_action SET description = 'the call list' WHERE name = 'cold';
UPDATE leadscore.lead_action SET model = 'other' WHERE name = 'cold';

--
-- what is written
--
CREATE VIEW box AS SELECT outbox_id AS id, action, contact AS c, occasion, stage, from_stage, to_stage, score_level AS level, rule, score, cause
	FROM leadscore.lead_outbox ORDER BY outbox_id;
INSERT INTO event VALUES (1, 'p', '2026-03-01', 55), (2, 'p', '2026-03-01', 85), (3, 'p', '2026-03-01', 20);
SELECT * FROM box;
SET timezone = 'Asia/Tokyo';
INSERT INTO event VALUES (3, 'form', '2026-03-01', NULL);
SET timezone = 'UTC';
-- a level within rounding of 70 is reached, and reached only once
SET leadscore.clock = '2026-03-02 00:00+00';
INSERT INTO event VALUES (1, 'p', '2026-03-02', 14.99999999999);
INSERT INTO event VALUES (1, 'p', '2026-03-02', 0.00000000001);
INSERT INTO event VALUES (1, 'p', '2026-03-02', -25);
SELECT * FROM box WHERE id > 4;
-- a statement that is rolled back tells nobody
BEGIN;
INSERT INTO event VALUES (9, 'p', '2026-03-02', 100);
ROLLBACK;
-- another cause
INSERT INTO contact VALUES (2, true);
UPDATE leadscore.lead_stage SET enter_at = 10, leave_below = 10 WHERE stage = 'mql';
SELECT action, c, occasion, stage, from_stage, to_stage, cause FROM box WHERE cause <> 'event';
-- all of it as JSON, the same whoever writes it
SELECT payload FROM leadscore.lead_outbox WHERE action IN ('won', 'form', 'hot') ORDER BY outbox_id;
SELECT action, deliver, channel, function, timeout, max_attempts, status, available_at, taken_by, attempts, last_error, finished_at
  FROM leadscore.lead_outbox WHERE contact = '1' ORDER BY outbox_id;

--
-- arguments of those who take
--
SELECT * FROM leadscore.outbox_take(NULL);
SELECT * FROM leadscore.outbox_take(' ');
SELECT * FROM leadscore.outbox_take('c', NULL);
SELECT * FROM leadscore.outbox_take('c', 0);
SELECT * FROM leadscore.outbox_take('c', lease => NULL);
SELECT * FROM leadscore.outbox_take('c', lease => '0');
SELECT * FROM leadscore.outbox_take('c', lease => '-1 s');
SELECT * FROM leadscore.outbox_take('c', lease => '300000 years');
SELECT * FROM leadscore.outbox_take('c', model => 'deal');
SELECT * FROM leadscore.outbox_take('c', action => 'wen');
SELECT * FROM leadscore.outbox_take('c', model => 'deals', action => 'anystage');
SELECT * FROM leadscore.outbox_take('c', model => 'deals', action => 'something else');
SELECT leadscore.outbox_done(NULL, '{1}');
SELECT leadscore.outbox_done('', '{1}');
SELECT leadscore.outbox_failed(NULL, '{1}', 'x');
SELECT leadscore.outbox_failed('c', '{1}', NULL);
SELECT leadscore.outbox_failed('c', '{1}', 'x', '-1 s');
-- none
SELECT leadscore.outbox_done('c', NULL), leadscore.outbox_failed('c', NULL, 'x'), leadscore.outbox_retry(NULL);

--
-- take and done: each row to one, until its lease ends
--
CREATE VIEW state AS SELECT outbox_id AS id, action, status, available_at, taken_by, attempts, last_error, finished_at
	FROM leadscore.lead_outbox WHERE deliver = 'outbox' ORDER BY outbox_id;
SELECT outbox_id, model, action, contact, occasion, stage, score, cause, happened_at, attempts, payload->>'outbox_id' AS id FROM leadscore.outbox_take('c1', 2);
SELECT outbox_id, action, attempts FROM leadscore.outbox_take('c2', 1);
SELECT outbox_id, action, attempts FROM leadscore.outbox_take('c3', lease => '2 minutes');
SELECT outbox_id FROM leadscore.outbox_take('c4');
SELECT * FROM state;
-- only what is one's own, and once
SELECT leadscore.outbox_done('c1', '{1,3,NULL,1000000}');
SELECT leadscore.outbox_done('c1', '{1}');
SELECT leadscore.outbox_done('c1', '{}');
SELECT * FROM state;
-- the leases of a minute end
SET leadscore.clock = '2026-03-02 00:01+00';
SELECT outbox_id, action, attempts FROM leadscore.outbox_take('c4', 1);
-- who lost a row cannot finish it; who is late but lost nothing can
SELECT leadscore.outbox_done('c1', '{1,2}');
SELECT leadscore.outbox_failed('c1', '{2}', 'too late');
SET leadscore.clock = '2026-03-02 00:02+00';
SELECT leadscore.outbox_done('c3', array_agg(outbox_id)) FROM leadscore.lead_outbox WHERE action = 'bad';
SELECT * FROM state;

--
-- failed: again after a second, two seconds ..., dead after max_attempts
--
SELECT leadscore.outbox_failed('c4', '{2}', 'no connection');
SELECT outbox_id FROM leadscore.outbox_take('c5', action => 'any stage') WHERE outbox_id = 2;
SET leadscore.clock = '2026-03-02 00:02:02+00';
SELECT outbox_id, attempts FROM leadscore.outbox_take('c5', 1, action => 'any stage', model => 'deals');
SELECT leadscore.outbox_failed('c5', '{2}', 'no connection', '1 hour');
SELECT * FROM state WHERE id = 2;
SELECT leadscore.outbox_done('c5', '{2}');
SELECT outbox_id, action, attempts FROM leadscore.outbox_take('c6', action => 'won');
SELECT leadscore.outbox_failed('c6', '{1,2,3}', 'refused');
SELECT outbox_id, action, attempts, last_error, died_at FROM leadscore.dead_letters;
SELECT leadscore.outbox_retry('{1,2,3}');
SELECT * FROM state WHERE id = 3;
-- what is taken and never heard of again dies as well
SET leadscore.clock = '2026-03-02 00:04+00';
SELECT action, count(*) FROM leadscore.outbox_take('c7') GROUP BY 1 ORDER BY 1;
UPDATE leadscore.outbox_deals SET attempts = max_attempts;
-- (nobody writes the table but leadscore)
RESET ROLE;
SET session_replication_role = replica;
UPDATE leadscore.outbox_deals SET attempts = max_attempts WHERE deliver = 'outbox' AND status = 'ready' AND taken_by = 'c7';
RESET session_replication_role;
SET ROLE regress_ls_sales;
SET leadscore.clock = '2026-03-02 00:10+00';
SELECT * FROM leadscore.outbox_take('c8');
SELECT outbox_id, model, action, contact, occasion, deliver, attempts, last_error, happened_at, died_at,
	payload->'outbox_id' AS id
  FROM leadscore.dead_letters ORDER BY 1;
-- and is revived
SELECT leadscore.outbox_retry('{1,2,3,1000000}');
SELECT leadscore.outbox_retry(array_agg(outbox_id)) FROM leadscore.dead_letters;
SELECT count(*) FROM leadscore.dead_letters;
SELECT count(*) FROM leadscore.outbox_take('c9');
-- the back-off doubles up to an hour
RESET ROLE;
SET session_replication_role = replica;
UPDATE leadscore.outbox_deals SET attempts = n
  FROM (SELECT row_number() OVER (ORDER BY outbox_id) * 3 AS n, outbox_id AS id FROM leadscore.outbox_deals
	 WHERE taken_by = 'c9') x
 WHERE outbox_id = id;
UPDATE leadscore.outbox_deals SET attempts = 1000000 WHERE outbox_id = (SELECT max(outbox_id) FROM leadscore.outbox_deals WHERE taken_by = 'c9');
UPDATE leadscore.outbox_deals SET max_attempts = 2000000;
RESET session_replication_role;
SET ROLE regress_ls_sales;
SELECT leadscore.outbox_failed('c9', (SELECT array_agg(outbox_id) FROM leadscore.lead_outbox), 'again');
SELECT attempts, available_at - leadscore.clock() AS next FROM leadscore.lead_outbox WHERE last_error = 'again' ORDER BY outbox_id;
SELECT leadscore.outbox_done('c9', (SELECT array_agg(outbox_id) FROM leadscore.lead_outbox));

--
-- who may: members of the model's owner
--
RESET ROLE;
SET session_replication_role = replica;
UPDATE leadscore.outbox_deals SET available_at = leadscore.clock() WHERE deliver = 'outbox';
RESET session_replication_role;
SET ROLE regress_ls_rep;
SELECT count(*) > 0 AS some FROM leadscore.lead_outbox;
UPDATE leadscore.lead_outbox SET function = 'crm.evil';
INSERT INTO leadscore.lead_outbox DEFAULT VALUES;
INSERT INTO leadscore.outbox_deals DEFAULT VALUES;
SELECT count(*) FROM leadscore.outbox_take('rep', 1);
SET ROLE regress_ls_else;
SELECT (SELECT count(*) FROM leadscore.lead_action) AS actions,
	(SELECT count(*) FROM leadscore.lead_outbox) AS outbox, (SELECT count(*) FROM leadscore.dead_letters) AS dead;
SELECT * FROM leadscore.outbox_take('else');
SELECT * FROM leadscore.outbox_take('else', model => 'deals');
SELECT * FROM leadscore.outbox_take('else', action => 'won');
SELECT leadscore.outbox_done('rep', array_agg(n)) FROM generate_series(1, 100) n;
SELECT leadscore.outbox_failed('rep', array_agg(n), 'x') FROM generate_series(1, 100) n;
SELECT leadscore.outbox_retry(array_agg(n)) FROM generate_series(1, 100) n;
INSERT INTO leadscore.lead_action (model, name, occasion) VALUES ('deals', 'spy', 'stage_entered');
UPDATE leadscore.lead_action SET function = 'crm.evil' WHERE model = 'deals';
DELETE FROM leadscore.lead_action;
SELECT leadscore.outbox_discard(array_agg(n)) FROM generate_series(1, 100) n;
SELECT count(*) FROM leadscore.outbox_deals;
-- a search_path of one's own changes nothing
CREATE FUNCTION crm.never(text, text) RETURNS boolean LANGUAGE sql AS 'SELECT false';
CREATE OPERATOR crm.= (LEFTARG = text, RIGHTARG = text, FUNCTION = crm.never);
SET search_path = crm, pg_catalog;
SELECT text 'a' = text 'a' AS same;
SET ROLE regress_ls_rep;
SELECT leadscore.outbox_failed('rep', array_agg(n), 'x') FROM generate_series(1, 100) n;
SELECT count(*) FROM leadscore.outbox_take('rep');
SELECT leadscore.outbox_discard('{1,1000000}'), leadscore.outbox_discard('{1}'), leadscore.outbox_discard(NULL);
-- or whom the owner lets: to see, to take, to discard
SET ROLE regress_ls_sales;
GRANT SELECT ON leadscore.outbox_deals TO regress_ls_else;
SET ROLE regress_ls_else;
SELECT count(*) > 0 AS some FROM leadscore.lead_outbox;
SELECT leadscore.outbox_take('else', model => 'deals');
SELECT leadscore.outbox_failed('rep', array_agg(n), 'x', '0') FROM generate_series(1, 100) n;
SET ROLE regress_ls_sales;
GRANT UPDATE ON leadscore.outbox_deals TO regress_ls_else;
SET ROLE regress_ls_rep;
SELECT leadscore.outbox_failed('rep', array_agg(n), 'x', '0') FROM generate_series(1, 100) n;
SET ROLE regress_ls_else;
SELECT count(*) FROM leadscore.outbox_take('else', 2, model => 'deals', action => 'any stage');
SELECT leadscore.outbox_failed('else', array_agg(n), 'x', '0') FROM generate_series(1, 100) n;
SELECT leadscore.outbox_discard(array_agg(n)) FROM generate_series(1, 100) n;
UPDATE leadscore.outbox_deals SET status = 'done';
SET ROLE regress_ls_sales;
-- rows that the owner's policies show or hide are not shown by views over all models
ALTER TABLE leadscore.outbox_deals ENABLE ROW LEVEL SECURITY;
CREATE POLICY few ON leadscore.outbox_deals USING (outbox_id > 0);
SET ROLE regress_ls_else;
SELECT (SELECT count(*) FROM leadscore.lead_outbox) AS over_all, (SELECT count(*) > 0 FROM leadscore.outbox_deals) AS of_model;
RESET ROLE;
SELECT leadscore_internal.write_definition();

--
-- an action that goes leaves what has happened; a model takes all with it
--
SET ROLE regress_ls_sales;
DELETE FROM leadscore.lead_action WHERE model = 'deals' AND name <> 'nobody';
SELECT count(*) > 0 AS some FROM leadscore.lead_outbox;
INSERT INTO event VALUES (77, 'p', '2026-03-02', 100);
SELECT count(*) FROM leadscore.lead_outbox WHERE contact = '77';
SELECT leadscore.drop_model('deals');
RESET ROLE;
SELECT (SELECT count(*) FROM leadscore.lead_action) AS actions, (SELECT count(*) FROM leadscore.lead_outbox) AS outbox;
REVOKE SET ON PARAMETER leadscore.clock FROM regress_ls_sales;
DROP SCHEMA crm, hidden CASCADE;
DROP ROLE regress_ls_rep, regress_ls_sales, regress_ls_else;
