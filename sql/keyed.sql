-- Rows that count together by a value, cancel each other and follow each other: numbers, whatever the order in which rows come.
SET timezone = 'UTC';
SET datestyle = 'ISO';
SET extra_float_digits = 0;
\pset null -
SET client_min_messages = warning;
CREATE SCHEMA keyed;
SET search_path = keyed;
CREATE TABLE contact (id int PRIMARY KEY);
INSERT INTO contact VALUES (1), (2), (3);
CREATE TABLE event (id int PRIMARY KEY, contact int, what text, at timestamptz, mail int, person text, amount float8);
CREATE INDEX ON event (contact, at);
CREATE TABLE plan (id int, contact int, what text, at timestamptz, mail int, person text, amount float8);

-- what is said of a contact at instants: the score, and the same from events alone
CREATE FUNCTION said(model text, VARIADIC instants timestamptz[]) RETURNS TABLE (at timestamptz, score numeric) LANGUAGE sql AS $$
	SELECT i, round(leadscore.score(model, 1, i)::numeric, 6) FROM unnest(instants) i
$$;
-- rows of the plan come in one statement; one by one; backwards; after one of them had gone; queued at REPEATABLE READ; counted again
CREATE FUNCTION everyway(model text, VARIADIC instants timestamptz[]) RETURNS TABLE (way text, scores text, wrong bigint) LANGUAGE plpgsql AS $$
DECLARE
	r event;
BEGIN
	FOREACH way IN ARRAY ARRAY['one statement', 'row by row', 'backwards', 'at random', 'gone and back', 'updated', 'recomputed']
	LOOP
		IF way IN ('one statement', 'row by row', 'backwards', 'at random') THEN
			DELETE FROM event;
		END IF;
		CASE way
		WHEN 'one statement' THEN
			INSERT INTO event SELECT * FROM plan;
		WHEN 'row by row' THEN
			FOR r IN SELECT * FROM plan p ORDER BY p.at, p.id LOOP INSERT INTO event SELECT r.*; END LOOP;
		WHEN 'backwards' THEN
			FOR r IN SELECT * FROM plan p ORDER BY p.at DESC, p.id DESC LOOP INSERT INTO event SELECT r.*; END LOOP;
		WHEN 'at random' THEN
			FOR r IN SELECT * FROM plan p ORDER BY md5(p.id::text || 'x') LOOP INSERT INTO event SELECT r.*; END LOOP;
		WHEN 'gone and back' THEN
			FOR r IN SELECT * FROM plan LOOP
				DELETE FROM event e WHERE e.id = r.id;
				INSERT INTO event SELECT r.*;
			END LOOP;
		WHEN 'updated' THEN
			UPDATE event e SET what = 'other', mail = -1, person = 'nobody';
			UPDATE event e SET what = p.what, mail = p.mail, person = p.person FROM plan p WHERE p.id = e.id;
		ELSE
			PERFORM leadscore.rescore(model);
		END CASE;
		scores := (SELECT string_agg(coalesce(trim_scale(s.score)::text, '-'), ' ' ORDER BY s.at) FROM said(model, VARIADIC instants) s);
		wrong := (SELECT count(*) FROM leadscore.verify(model));
		RETURN NEXT;
	END LOOP;
	DELETE FROM event;
END $$;

--
-- per: five opens of one mail are one
--
SET leadscore.clock = '2026-03-02 12:00+00';
SELECT leadscore.create_model('opens', 'contact');
SELECT leadscore.attach('opens', 'event', 'contact', 'at', event => 'what');
INSERT INTO leadscore.lead_rule (model, name, event, points, per, at_least) VALUES ('opens', 'five mails', 'open', 25, 'mail', 5);
INSERT INTO plan SELECT n, 1, 'open', timestamptz '2026-02-20' + n * interval '1 hour', 7 FROM generate_series(1, 5) n;
SELECT * FROM everyway('opens', '2026-03-02 12:00+00');
UPDATE plan SET mail = id;
SELECT * FROM everyway('opens', '2026-03-02 12:00+00');
UPDATE plan SET mail = nullif(id, 3);
SELECT * FROM everyway('opens', '2026-03-02 12:00+00');

-- half-life of 7 days, mail 1 opened 14 and 7 days ago, mail 2 now: 3.0, and not 3.5
UPDATE leadscore.lead_rule SET points = 2, at_least = 1, award = 'each', decay = 'half_life', decay_interval = '7 days' WHERE model = 'opens';
TRUNCATE plan;
INSERT INTO plan VALUES (1, 1, 'open', '2026-02-16 12:00+00', 1), (2, 1, 'open', '2026-02-23 12:00+00', 1), (3, 1, 'open', '2026-03-02 12:00+00', 2);
SELECT * FROM everyway('opens', '2026-03-02 12:00+00', '2026-03-09 12:00+00', '2026-02-24 12:00+00');
-- of one instant the greatest weight
UPDATE leadscore.lead_rule SET weight = 'amount' WHERE model = 'opens';
TRUNCATE plan;
INSERT INTO plan SELECT n, 1, 'open', '2026-03-02 12:00+00', 1, NULL, 3 + n % 3 FROM generate_series(1, 3) n;
SELECT * FROM everyway('opens', '2026-03-02 12:00+00');

-- within a time frame, by periods, in steps
UPDATE leadscore.lead_rule SET weight = NULL, points = 1, decay = 'none', decay_interval = NULL, time_frame = '10 days' WHERE model = 'opens';
TRUNCATE plan;
INSERT INTO plan SELECT n, 1, 'open', timestamptz '2026-02-10 12:00+00' + n * interval '1 day', n % 4 FROM generate_series(1, 18) n;
SELECT * FROM everyway('opens', '2026-03-02 12:00+00', '2026-03-06 12:00+00', '2026-03-10 12:00+00');

--
-- max_per: what the rows of one value give is limited
--
DELETE FROM leadscore.lead_rule WHERE model = 'opens';
INSERT INTO leadscore.lead_rule (model, name, event, points, per, max_per) VALUES ('opens', 'people', 'visit', 10, 'person', 20);
TRUNCATE plan;
INSERT INTO plan SELECT n, 1, 'visit', timestamptz '2026-02-20' + n * interval '1 day', NULL, CASE WHEN n <= 5 THEN 'A' ELSE 'B' END
	FROM generate_series(1, 6) n;
SELECT * FROM everyway('opens', '2026-03-02 12:00+00');
UPDATE leadscore.lead_rule SET decay = 'half_life', decay_interval = '10 days' WHERE model = 'opens';
SELECT * FROM everyway('opens', '2026-03-02 12:00+00', '2026-03-12 12:00+00', '2026-03-22 12:00+00');
UPDATE leadscore.lead_rule SET max_points = 15 WHERE model = 'opens';
SELECT * FROM everyway('opens', '2026-03-02 12:00+00', '2026-03-12 12:00+00', '2026-03-22 12:00+00');
UPDATE leadscore.lead_rule SET max_points = NULL, decay = 'linear', decay_interval = '20 days' WHERE model = 'opens';
SELECT * FROM everyway('opens', '2026-03-02 12:00+00', '2026-03-12 12:00+00');
SELECT leadscore.drop_model('opens');

--
-- cancelled_by
--
SET leadscore.clock = '2026-03-10 12:00+00';
SELECT leadscore.create_model('news', 'contact');
SELECT leadscore.attach('news', 'event', 'contact', 'at', event => 'what');
INSERT INTO leadscore.lead_rule (model, name, event, points, award, cancelled_by)
VALUES ('news', 'subscribed', 'subscribe', 15, 'once', 'unsubscribe');
TRUNCATE plan;
INSERT INTO plan VALUES (1, 1, 'subscribe', '2026-02-01'), (2, 1, 'unsubscribe', '2026-02-10'), (3, 1, 'subscribe', '2026-02-20');
SELECT * FROM everyway('news', '2026-02-05', '2026-02-15', '2026-02-25');
-- each counts; a row that matches both cancels itself
UPDATE leadscore.lead_rule SET award = 'each', event = NULL, cancelled_condition = $$what = 'unsubscribe'$$, cancelled_by = NULL WHERE model = 'news';
TRUNCATE plan;
INSERT INTO plan SELECT n, 1, CASE WHEN n IN (3, 6) THEN 'unsubscribe' ELSE 'subscribe' END, timestamptz '2026-02-01' + n * interval '1 day'
	FROM generate_series(1, 8) n;
SELECT * FROM everyway('news', '2026-02-03', '2026-02-05', '2026-02-08', '2026-03-10 12:00+00');
-- by value: a mail unsubscribed from
UPDATE leadscore.lead_rule SET event = 'subscribe', per = 'mail', cancelled_by = 'unsubscribe', cancelled_condition = NULL,
	decay_interval = '30 days', decay = 'half_life' WHERE model = 'news';
TRUNCATE plan;
INSERT INTO plan VALUES (1, 1, 'subscribe', '2026-02-01', 1), (2, 1, 'subscribe', '2026-02-02', 2), (3, 1, 'unsubscribe', '2026-02-10', 1),
	(4, 1, 'unsubscribe', '2026-02-11', NULL), (5, 1, 'subscribe', '2026-02-20', 3), (6, 1, 'unsubscribe', '2026-02-20', 3);
SELECT * FROM everyway('news', '2026-02-05', '2026-02-15', '2026-03-10 12:00+00');
UPDATE leadscore.lead_rule SET max_per = 20 WHERE model = 'news';
SELECT * FROM everyway('news', '2026-02-05', '2026-02-15', '2026-03-10 12:00+00');
SELECT leadscore.drop_model('news');

--
-- Sequences: a visit, a meeting, a live broadcast, 30 days at most between two
--
SET leadscore.clock = '2026-03-12 12:00+00';
SELECT leadscore.create_model('path', 'contact');
SELECT leadscore.attach('path', 'event', 'contact', 'at', event => 'what');
INSERT INTO leadscore.lead_rule (model, name, kind, event, followed_by, max_gap, points)
VALUES ('path', 'met', 'sequence', 'visit', 'meeting', '30 days', 20);
INSERT INTO leadscore.lead_rule (model, name, kind, follows, followed_by, max_gap, points)
VALUES ('path', 'live', 'sequence', 'met', 'live', '30 days', 20);
TRUNCATE plan;
INSERT INTO plan VALUES (1, 1, 'visit', '2026-03-01'), (2, 1, 'meeting', '2026-03-10'), (3, 1, 'live', '2026-03-12');
SELECT * FROM everyway('path', '2026-03-09', '2026-03-11', '2026-03-12');
UPDATE plan SET at = CASE what WHEN 'live' THEN '2026-03-01' WHEN 'visit' THEN '2026-03-12' ELSE at END;
SELECT * FROM everyway('path', '2026-03-12');
-- two visits and two meetings: the first link counts 2, the second 1
TRUNCATE plan;
INSERT INTO plan VALUES (1, 1, 'visit', '2026-03-01'), (2, 1, 'visit', '2026-03-02'), (3, 1, 'meeting', '2026-03-10'), (4, 1, 'meeting', '2026-03-11'),
	(5, 1, 'live', '2026-03-12');
SELECT * FROM everyway('path', '2026-03-12');
INSERT INTO event SELECT * FROM plan;
SELECT name, matched, points FROM leadscore.explain('path', 1) ORDER BY rule_id;
DELETE FROM event;
SELECT leadscore.drop_model('path');

--
-- Negated: carts that no order follows within 24 hours
--
SET leadscore.clock = '2026-03-06 12:00+00';
SELECT leadscore.create_model('carts', 'contact');
SELECT leadscore.attach('carts', 'event', 'contact', 'at', event => 'what');
INSERT INTO leadscore.lead_rule (model, name, kind, event, followed_by, max_gap, per, negated, cancelled_by, points)
VALUES ('carts', 'abandoned', 'sequence', 'cart', 'order', '24 hours', 'mail', true, 'order', 1);
TRUNCATE plan;
INSERT INTO plan VALUES (1, 1, 'cart', '2026-03-01 10:00', 1), (2, 1, 'cart', '2026-03-01 15:00', 2), (3, 1, 'order', '2026-03-02 09:00', 1),
	(4, 1, 'order', '2026-03-05 12:00', 2);
SELECT * FROM everyway('carts', '2026-03-02 14:59', '2026-03-02 15:00', '2026-03-05 11:59', '2026-03-05 12:00', '2026-03-06 12:00');
-- unequal values, neither ordered
UPDATE leadscore.lead_rule SET cancelled_by = NULL WHERE model = 'carts';
TRUNCATE plan;
INSERT INTO plan VALUES (1, 1, 'cart', '2026-03-01 10:00', 1), (2, 1, 'cart', '2026-03-01 10:05', 2);
SELECT * FROM everyway('carts', '2026-03-02 10:00', '2026-03-02 10:05', '2026-03-06 12:00');
-- the same cart again within the time
UPDATE plan SET mail = 1;
SELECT * FROM everyway('carts', '2026-03-02 10:00', '2026-03-02 10:05', '2026-03-06 12:00');
-- not negated: cart at 10, its order at 11, the cart again at 12
UPDATE leadscore.lead_rule SET negated = false WHERE model = 'carts';
TRUNCATE plan;
INSERT INTO plan VALUES (1, 1, 'cart', '2026-03-01 10:00', 1), (2, 1, 'order', '2026-03-01 11:00', 1), (3, 1, 'cart', '2026-03-01 12:00', 1);
SELECT * FROM everyway('carts', '2026-03-01 10:30', '2026-03-06 12:00');
-- at one instant nothing follows
UPDATE plan SET at = '2026-03-01 10:00';
SELECT * FROM everyway('carts', '2026-03-06 12:00');
-- negated, at one instant: the order follows the cart; time alone counts what comes to count
UPDATE leadscore.lead_rule SET negated = true WHERE model = 'carts';
SELECT * FROM everyway('carts', '2026-03-06 12:00');
SET leadscore.clock = '2026-03-01 12:00+00';
INSERT INTO contact VALUES (9);
INSERT INTO event VALUES (1, 9, 'cart', '2026-03-01 11:00', 1);
SELECT contact_id, score FROM leadscore.score_carts WHERE contact_id = 9;
SELECT due_at FROM leadscore.due_carts WHERE contact_id = 9;
SELECT * FROM leadscore.forecast('carts', 9);
SET leadscore.clock = '2026-03-02 11:00+00';
SELECT leadscore.refresh('carts');
SELECT contact_id, score FROM leadscore.score_carts WHERE contact_id = 9;
SELECT * FROM leadscore.verify('carts');
-- an order that is told of late, when the cart has counted
INSERT INTO event VALUES (2, 9, 'order', '2026-03-02 11:00', 1);
SELECT contact_id, score FROM leadscore.score_carts WHERE contact_id = 9;
SELECT * FROM leadscore.verify('carts');
-- a gap that never ends
UPDATE leadscore.lead_rule SET max_gap = '290000 years' WHERE model = 'carts';
INSERT INTO event VALUES (3, 9, 'cart', '2026-03-02 10:00', 5);
SELECT contact_id, score FROM leadscore.score_carts WHERE contact_id = 9;
SELECT * FROM leadscore.due_carts WHERE contact_id = 9;
SELECT * FROM leadscore.verify('carts');

--
-- Signals: rules of 0 points, that an action waits for
--
SET leadscore.clock = '2026-03-01 12:00+00';
SELECT leadscore.create_model('signals', 'contact');
SELECT leadscore.attach('signals', 'event', 'contact', 'at', event => 'what');
INSERT INTO leadscore.lead_rule (model, name, event, points, per, at_least) VALUES ('signals', 'three mails', 'open', 0, 'mail', 3);
INSERT INTO leadscore.lead_rule (model, name, kind, event, followed_by, max_gap, negated, points)
VALUES ('signals', 'abandoned', 'sequence', 'cart', 'order', '24 hours', true, 0);
INSERT INTO leadscore.lead_rule (model, name, kind, event, points, idle) VALUES ('signals', 'silent', 'absence', 'open', 0, '3 days');
INSERT INTO leadscore.lead_action (model, name, occasion, rule) SELECT 'signals', r, 'rule_in_force', r FROM unnest('{three mails,abandoned,silent}'::text[]) r;
INSERT INTO contact VALUES (10);
INSERT INTO event VALUES (21, 10, 'open', '2026-03-01 09:00', 1), (22, 10, 'open', '2026-03-01 10:00', 2), (23, 10, 'open', '2026-03-01 11:00', 2),
	(24, 10, 'cart', '2026-03-01 11:30', NULL);
SELECT action, happened_at FROM leadscore.outbox_signals ORDER BY outbox_id;
INSERT INTO event VALUES (25, 10, 'open', '2026-03-01 12:00', 3);
SELECT name, matched, points FROM leadscore.explain('signals', 10) ORDER BY rule_id;
SET leadscore.clock = '2026-03-08 00:00+00';
SELECT leadscore.refresh('signals') > 0 AS refreshed;
SELECT o.action, o.contact_id, o.happened_at FROM leadscore.outbox_signals o WHERE contact_id = 10 ORDER BY happened_at;
SELECT name, matched, points FROM leadscore.explain('signals', 10) ORDER BY rule_id;
SELECT * FROM leadscore.verify('signals');
SELECT leadscore.detach_all();
DROP SCHEMA keyed CASCADE;
