-- Stage overrides, and stages left to the score again.
SET client_min_messages = warning;
SET timezone = 'UTC';
SET datestyle = 'ISO';
SET leadscore.clock = '2026-03-02 00:00+00';
CREATE TABLE contact (id int PRIMARY KEY, country text);
CREATE TABLE event (contact int, at timestamptz DEFAULT leadscore.clock(), what text);
CREATE INDEX ON event (contact, at);
INSERT INTO contact SELECT g, 'DE' FROM generate_series(1, 9) g;
SELECT leadscore.create_model('hand', 'contact');
SELECT leadscore.attach('hand', 'event', 'contact', 'at', 'what');
INSERT INTO leadscore.lead_rule (model, name, event, points, decay, decay_interval) VALUES ('hand', 'form', 'form', 60, 'half_life', '10 days');
INSERT INTO leadscore.lead_rule (model, name, event, points, disqualifies, time_frame) VALUES ('hand', 'spam', 'spam', 0, true, '7 days');
INSERT INTO leadscore.lead_stage (model, stage, position, enter_at, sticky, condition) VALUES
	('hand', 'mql', 1, 50, false, $$country = 'DE'$$), ('hand', 'sql', 2, 100, false, NULL), ('hand', 'customer', 3, 500, true, NULL);
CREATE VIEW now AS SELECT contact_id, round(score::numeric, 1) AS score, stage FROM leadscore.score_hand
 WHERE last_event_at IS NOT NULL OR stage <> 'unqualified' ORDER BY 1;
CREATE VIEW history AS SELECT contact_id, from_stage, to_stage, round(score::numeric, 1) AS score, date_trunc('minute', changed_at) AS changed_at, cause, reason
	FROM leadscore.history_hand h ORDER BY h.changed_at, contact_id, recorded_at, cause, from_stage;

-- above what the score gives: kept until it is reached, then as any other
SELECT leadscore.set_stage('hand', 1, 'mql', 'met at a fair');
SELECT leadscore.set_stage('hand', '2', 'customer');
SELECT * FROM now;
INSERT INTO event (contact, what) VALUES (1, 'form');
SELECT * FROM now;
SELECT at, what, from_value, to_value FROM leadscore.forecast('hand', 1);
SELECT at, what, from_value, to_value FROM leadscore.forecast('hand', 2);
SET leadscore.clock = '2026-03-20 00:00+00';
SELECT leadscore.refresh('hand');
SELECT * FROM now;

-- below: kept until the score has come down to it
INSERT INTO event (contact, what) SELECT 3, 'form' FROM generate_series(1, 3);
SELECT * FROM now WHERE contact_id = 3;
SELECT leadscore.set_stage('hand', 3, 'mql', 'cannot be reached');
INSERT INTO event (contact, what) VALUES (3, 'form');
SELECT * FROM now WHERE contact_id = 3;
SELECT date_trunc('minute', at) AS at, what, from_value, to_value FROM leadscore.forecast('hand', 3);
SET leadscore.clock = '2026-04-06 00:00+00';
SELECT leadscore.refresh('hand');
SELECT * FROM now WHERE contact_id = 3;
INSERT INTO event (contact, what) SELECT 3, 'form' FROM generate_series(1, 2);
SELECT * FROM now WHERE contact_id = 3;

-- where the score is already: as any other
INSERT INTO event (contact, what) VALUES (4, 'form');
SELECT leadscore.set_stage('hand', 4, 'mql', 'confirmed');
INSERT INTO event (contact, what) VALUES (4, 'form');
SELECT * FROM now WHERE contact_id = 4;
-- a stage whose condition does not hold
UPDATE contact SET country = 'FR' WHERE id = 5;
INSERT INTO event (contact, what) VALUES (5, 'form');
SELECT * FROM now WHERE contact_id = 5;
SELECT leadscore.set_stage('hand', 5, 'mql', 'an exception');
INSERT INTO event (contact, what) VALUES (5, 'other');
SELECT * FROM now WHERE contact_id = 5;
-- a sticky stage that is confirmed does not fall
INSERT INTO event (contact, what) SELECT 6, 'form' FROM generate_series(1, 10);
SELECT leadscore.set_stage('hand', 6, 'customer', 'signed');
SELECT leadscore.set_stage('hand', 2, 'customer', 'again');

-- left to the score again, also a sticky stage
SELECT leadscore.release_stage('hand', 5, 'no more exceptions');
SELECT leadscore.release_stage('hand', 2);
SELECT leadscore.release_stage('hand', 7);
-- disqualification overrides, and an override does not come back
SELECT leadscore.set_stage('hand', 8, 'sql');
INSERT INTO event (contact, what) VALUES (8, 'spam');
SELECT leadscore.set_stage('hand', 8, 'mql');
SET leadscore.clock = '2026-07-01 00:00+00';
SELECT leadscore.refresh('hand');
SELECT * FROM now;
-- what counts anew does not touch it
SELECT leadscore.set_stage('hand', 9, 'sql', 'kept');
SELECT leadscore.rescore('hand');
UPDATE leadscore.lead_rule SET points = 61 WHERE name = 'form';
SELECT * FROM now WHERE contact_id = 9;
SELECT substring(leadscore.state_text(state) FROM 'stage overridden[^,]*') FROM leadscore.score_hand WHERE contact_id = 9;
SELECT * FROM history;
SELECT * FROM leadscore.verify('hand');
SELECT count(*) = count(DISTINCT contact_id) AS once FROM leadscore.due_hand;

-- what is refused, and changes nothing
SELECT leadscore.set_stage('hadn', 1, 'mql');
SELECT leadscore.set_stage('hand', 99, 'mql');
-- also where a row is still there, but nothing that is known, when what is pending has been merged
INSERT INTO event (contact, what) VALUES (98, 'form');
BEGIN ISOLATION LEVEL REPEATABLE READ;
DELETE FROM event WHERE contact = 98;
SELECT leadscore.set_stage('hand', 98, 'mql');
ROLLBACK;
DELETE FROM event WHERE contact = 98;
SELECT leadscore.set_stage('hand', 'x', 'mql');
SELECT leadscore.set_stage('hand', 1.5, 'mql');
SELECT leadscore.set_stage('hand', 1, 'mqls');
SELECT leadscore.set_stage('hand', 1, 'MQL');
SELECT leadscore.set_stage('hand', 1, 'nonsense');
SELECT leadscore.set_stage('hand', 1, 'disqualified');
SELECT leadscore.set_stage('hand', 1, NULL);
SELECT leadscore.set_stage('hand', NULL::int, 'mql');
SELECT leadscore.set_stage(NULL, 1, 'mql');
SELECT leadscore.release_stage('hand', 99);
SELECT leadscore.release_stage('hand', NULL::int);
SELECT leadscore.forecast('hadn', 1);
SELECT leadscore.forecast('hand', 99);
SELECT leadscore.forecast('hand', 'x');
SELECT leadscore.forecast('hand', 1, 'infinity');
SELECT leadscore.upcoming('hadn', '2026-08-01');
SELECT leadscore.upcoming('hand', NULL);
SELECT leadscore.upcoming('hand', '-infinity');
SELECT leadscore.refresh('hadn');

-- nothing is written where nothing may be; what only reads, does
BEGIN READ ONLY;
SAVEPOINT here;
SELECT leadscore.set_stage('hand', 1, 'mql');
ROLLBACK TO here;
SELECT leadscore.release_stage('hand', 1);
ROLLBACK TO here;
SELECT leadscore.refresh('hand');
ROLLBACK TO here;
SELECT leadscore.write_days('hand');
ROLLBACK TO here;
SELECT leadscore.rescore('hand');
ROLLBACK TO here;
SELECT leadscore.outbox_take('anna');
ROLLBACK TO here;
SELECT leadscore.outbox_done('anna', '{1}');
ROLLBACK TO here;
SELECT leadscore.outbox_failed('anna', '{1}', 'no connection');
ROLLBACK TO here;
SELECT leadscore.outbox_retry('{1}');
ROLLBACK TO here;
SELECT count(*) >= 0 AS reads FROM leadscore.forecast('hand', 1), leadscore.upcoming('hand', '2026-08-01'), leadscore.live_hand, leadscore.verify('hand');
COMMIT;

CREATE ROLE regress_ls_stranger;
SET ROLE regress_ls_stranger;
\set VERBOSITY terse
SELECT leadscore.set_stage('hand', 1, 'mql');
SELECT leadscore.release_stage('hand', 1);
SELECT leadscore.forecast('hand', 1);
SELECT leadscore.upcoming('hand', '2026-08-01');
SELECT leadscore.refresh('hand');
SELECT * FROM leadscore.due_hand;
RESET ROLE;
\set VERBOSITY default
DROP ROLE regress_ls_stranger;
UPDATE leadscore.lead_model SET enabled = false WHERE model = 'hand';
SELECT leadscore.set_stage('hand', 1, 'mql');
DROP VIEW now, history;
SELECT leadscore.drop_model('hand');
DROP TABLE contact, event;
