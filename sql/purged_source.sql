-- What purged events gave outlasts their source: it counts again when the source
-- is attached again, whatever detached it.
SET timezone = 'UTC';
SET datestyle = 'ISO';
SET leadscore.clock = '2026-03-02 00:00+00';
CREATE SCHEMA purged_source;
SET search_path = purged_source;
SET client_min_messages = warning;
CREATE TABLE guest (id int PRIMARY KEY);
INSERT INTO guest VALUES (1);
CREATE TABLE act (guest int, at timestamptz, what text, amount int);
CREATE INDEX ON act (guest, at);
SELECT leadscore.create_model('hotel', 'guest');
SELECT leadscore.attach('hotel', 'act', 'guest', 'at', 'what', on_delete => 'keep');
INSERT INTO leadscore.lead_rule (model, name, event, points, weight, max_per_period, period) VALUES
	('hotel', 'any', NULL, 10, NULL, NULL, NULL), ('hotel', 'stay', 'stay', 1, 'amount', NULL, NULL), ('hotel', 'daily', NULL, 1, NULL, 2, '1 day');
-- guest 7 is in no table but for his events, which go
INSERT INTO act SELECT 1, '2023-01-01 00:00+00', 'stay', 3 FROM generate_series(1, 5);
INSERT INTO act VALUES (1, '2026-03-01 00:00+00', 'stay', 100), (7, '2023-01-01 00:00+00', 'stay', 1);
SELECT contact_id, score FROM leadscore.score_hotel ORDER BY 1;
DELETE FROM act WHERE at < '2025-01-01';
-- 60 + 115 + 3, 10 + 1 + 1
SELECT contact_id, score FROM leadscore.score_hotel ORDER BY 1;
CREATE FUNCTION shown() RETURNS TABLE (contact_id text, score float8, replayed float8, verified bigint) LANGUAGE sql AS $$
	SELECT s.contact_id::text, s.score, leadscore.replay('hotel', s.contact_id::text), (SELECT count(*) FROM leadscore.verify('hotel'))
	  FROM leadscore.score_hotel s ORDER BY s.contact_id $$;

-- the types of both columns change
SET client_min_messages = notice;
BEGIN;
ALTER TABLE act ALTER guest TYPE bigint;
ALTER TABLE guest ALTER id TYPE bigint;
COMMIT;
SET client_min_messages = warning;
SELECT * FROM shown();
SET client_min_messages = notice;
SELECT leadscore.attach('hotel', 'act', 'guest', 'at', 'what', on_delete => 'keep');
SET client_min_messages = warning;
SELECT * FROM shown();

-- that of a column of a rule: the rule is counted anew
ALTER TABLE act ALTER amount TYPE numeric;
SELECT * FROM shown();
-- it goes and comes back: the rule sleeps and wakes; the row has lost 100
ALTER TABLE act DROP amount;
SELECT * FROM shown();
ALTER TABLE act ADD amount int;
SELECT * FROM shown();
UPDATE act SET amount = 100;
SELECT * FROM shown();

-- the column with the event's name, and with its time
ALTER TABLE act DROP what;
SELECT * FROM shown();
ALTER TABLE act ADD what text DEFAULT 'stay';
SELECT leadscore.attach('hotel', 'act', 'guest', 'at', 'what', on_delete => 'keep');
SELECT * FROM shown();
ALTER TABLE act DROP at;
ALTER TABLE act ADD at timestamptz DEFAULT '2026-03-01 00:00+00';
CREATE INDEX ON act (guest, at);
SELECT leadscore.attach('hotel', 'act', 'guest', 'at', 'what', on_delete => 'keep');
SELECT * FROM shown();
-- renamed columns are followed
ALTER TABLE act RENAME at TO happened;
ALTER TABLE act RENAME happened TO at;
SELECT * FROM shown();

-- a table that is rebuilt, and late events beside it
CREATE TABLE new_act (LIKE act INCLUDING ALL);
INSERT INTO new_act SELECT * FROM act;
DROP TABLE act;
SELECT * FROM shown();
ALTER TABLE new_act RENAME TO act;
SELECT leadscore.attach('hotel', 'act', 'guest', 'at', 'what', on_delete => 'keep');
SELECT * FROM shown();
-- all of the day is within its limit already
INSERT INTO act (guest, at, what, amount) VALUES (1, '2023-01-01 00:00+00', 'stay', 1), (8, '2023-01-01 00:00+00', 'walk', 1);
SELECT * FROM shown();

-- by hand; rules change, go and come meanwhile
SET client_min_messages = notice;
SELECT leadscore.detach('hotel', 'act');
SET client_min_messages = warning;
SELECT * FROM shown();
UPDATE leadscore.lead_rule SET points = 20 WHERE name = 'any';
DELETE FROM leadscore.lead_rule WHERE name = 'daily';
SET client_min_messages = notice;
SELECT leadscore.attach('hotel', 'act', 'guest', 'at', 'what', on_delete => 'retract');
SET client_min_messages = warning;
SELECT * FROM shown();
SELECT count(*) FROM leadscore.what_if('hotel');
-- 20 for each of 7, 5 * 3 + 100 + 1; under the rules of before
SELECT leadscore.score('hotel', '1'), leadscore.score('hotel', '7', '2026-03-02 00:00+00', '2026-03-02 00:00+00');
-- a rule that matches something else knows nothing of them, nor does it when it is changed back
UPDATE leadscore.lead_rule SET event = 'walk' WHERE name = 'stay';
SELECT * FROM shown();

-- by jobs
SET leadscore.inline_limit = 0;
CREATE PROCEDURE jobs() LANGUAGE plpgsql AS $$
	BEGIN
		FOR i IN 1 .. 200 LOOP
			EXIT WHEN leadscore.run_job('hotel') IS NULL;
			COMMIT;
		END LOOP;
	END $$;
SELECT leadscore.detach('hotel', 'act');
CALL jobs();
SELECT * FROM shown();
SELECT leadscore.attach('hotel', 'act', 'guest', 'at', 'what', on_delete => 'keep');
CALL jobs();
SELECT * FROM shown();
RESET leadscore.inline_limit;

-- forgotten for good: with the source, or when it was detached already
SELECT count(*) > 0 AS kept FROM leadscore.purged_hotel;
SELECT leadscore.detach('hotel', 'act', purged => 'forgotten');
SELECT leadscore.detach('hotel', 'act');
SELECT leadscore.detach('hotel', 'act');
SELECT leadscore.detach('hotel', 'act', purged => 'forget');
SELECT leadscore.detach('hotel', 'act', purged => 'forget');
SELECT count(*) FROM leadscore.purged_hotel;
SELECT leadscore.attach('hotel', 'act', 'guest', 'at', 'what', on_delete => 'keep');
SELECT * FROM shown();
DELETE FROM act WHERE guest = 8;
SELECT count(*) FROM leadscore.purged_hotel;
SELECT leadscore.detach('hotel', 'act', purged => 'forget');
SELECT count(*) FROM leadscore.purged_hotel;

-- one who is erased is not kept
SELECT leadscore.attach('hotel', 'act', 'guest', 'at', 'what', on_delete => 'keep');
INSERT INTO act (guest, at) VALUES (9, '2026-03-01 00:00+00');
DELETE FROM act WHERE guest = 9;
SELECT leadscore.detach('hotel', 'act');
SELECT leadscore.erase_contact('hotel', 9) > 0 AS erased;
SELECT count(*) FROM leadscore.purged_hotel;
SELECT leadscore.drop_model('hotel');

-- of contacts that were merged, and of visitors, identified or not
CREATE TABLE click (guest int, visitor text, at timestamptz);
CREATE INDEX ON click (guest, at);
CREATE INDEX ON click (visitor, at);
SELECT leadscore.create_model('hotel', 'guest');
SELECT leadscore.attach('hotel', 'click', 'guest', 'at', visitor => 'visitor', on_delete => 'keep');
INSERT INTO leadscore.lead_rule (model, name, points) VALUES ('hotel', 'any', 10);
INSERT INTO click SELECT g, v, '2026-03-01 00:00+00' FROM (VALUES (1, NULL), (8, NULL), (9, NULL), (NULL, 'a'), (NULL, 'b'), (NULL, 'c')) AS c (g, v);
SELECT leadscore.merge_contacts('hotel', 8, 9);
SELECT leadscore.identify('hotel', 'a', 1), leadscore.identify('hotel', 'b', 7);
DELETE FROM click;
SELECT * FROM shown();
SELECT leadscore.detach('hotel', 'click');
SELECT * FROM shown();
SELECT contact_id, score FROM leadscore.score_hotel_visitors;
SELECT leadscore.attach('hotel', 'click', 'guest', 'at', visitor => 'visitor', on_delete => 'keep');
SELECT * FROM shown();
SELECT contact_id, score FROM leadscore.score_hotel_visitors;
SELECT leadscore.unmerge('hotel', '9');
SELECT * FROM shown();
SELECT leadscore.detach('hotel', 'click', purged => 'forget');
SELECT (SELECT count(*) FROM leadscore.purged_hotel) + (SELECT count(*) FROM leadscore.purged_hotel_visitors) AS kept;
SELECT leadscore.drop_model('hotel');
DROP SCHEMA purged_source CASCADE;
