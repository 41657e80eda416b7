-- What time alone changes: due instants, crossings recorded at their own
-- instants, and who may touch the table of them.
SET client_min_messages = warning;
SET timezone = 'UTC';
SET datestyle = 'ISO';
SET extra_float_digits = 0;
SET leadscore.clock = '2026-01-01 00:00+00';
CREATE TABLE t_contact (id int PRIMARY KEY, name text, vip boolean NOT NULL DEFAULT false);
CREATE TABLE t_event (contact int, at timestamptz, what text, w float8 DEFAULT 1);
CREATE INDEX ON t_event (contact, at);
SELECT leadscore.create_model('timely', 't_contact', categories => '{points}');
SELECT leadscore.attach('timely', 't_event', 'contact', 'at', event => 'what');
INSERT INTO leadscore.lead_rule (model, name, category, event, points, weight, decay, decay_interval) VALUES
	('timely', 'form', 'points', 'form', 100, 'w', 'half_life', '10 days'),
	('timely', 'unsubscribe', 'points', 'unsubscribe', -80, NULL, 'half_life', '10 days'),
	('timely', 'order', 'points', 'order', 30, NULL, 'none', NULL);
INSERT INTO leadscore.lead_rule (model, name, category, event, points, time_frame) VALUES
	('timely', 'visit', 'points', 'visit', 10, '14 days');
INSERT INTO leadscore.lead_rule (model, name, category, kind, condition, points) VALUES ('timely', 'vip', 'points', 'profile', 'vip', 5);
INSERT INTO leadscore.lead_stage (model, stage, position, enter_at, leave_below, sticky) VALUES
	('timely', 'warm', 1, 20, 15, false),
	('timely', 'hot', 2, 80, 50, false),
	('timely', 'won', 3, 180, NULL, true);
INSERT INTO t_contact SELECT g FROM generate_series(1, 14) g;

CREATE FUNCTION t_history(who text, OUT from_stage text, OUT to_stage text, OUT score numeric,
	OUT changed_at timestamptz, OUT recorded_at timestamptz, OUT cause text)
	RETURNS SETOF record LANGUAGE sql AS $$
	SELECT h.from_stage, h.to_stage, round(h.score::numeric, 3), date_trunc('second', h.changed_at + interval '0.5 second'), h.recorded_at, h.cause
	  FROM leadscore.lead_stage_history h WHERE h.model = 'timely' AND h.contact = who ORDER BY h.changed_at, h.recorded_at $$;
CREATE VIEW t_now AS SELECT contact_id, round(score::numeric, 3) AS score, stage,
	date_trunc('second', stage_since + interval '0.5 second') AS stage_since, disqualified, scored_at
  FROM leadscore.score_timely;
CREATE VIEW t_due AS SELECT contact_id, date_trunc('minute', due_at) AS due_at, drift FROM leadscore.due_timely;

-- Who has nothing that decays is not due
SELECT * FROM t_due ORDER BY 1;

-- Several crossings while nobody looked: each at its own instant, in order ------
INSERT INTO t_event VALUES (1, '2026-01-01 00:00+00', 'form');
SELECT contact_id, drift, due_at > '2026-01-01 00:00+00' AS later FROM leadscore.due_timely;
SET leadscore.clock = '2026-03-01 12:00+00';
SELECT leadscore.refresh('timely');
SELECT * FROM t_history('1');
SELECT contact_id, score, stage, stage_since, scored_at FROM t_now WHERE contact_id = 1;
-- once only
SELECT leadscore.refresh('timely');
SELECT count(*) FROM t_history('1');
-- nothing that is still worth a drift: no longer due
SET leadscore.clock = '2026-05-01 00:00+00';
SELECT leadscore.refresh('timely');
SELECT * FROM t_due WHERE contact_id = 1;

-- Hysteresis: entered at 20, left below 15, and what falls less than 0 rises ----
INSERT INTO t_event VALUES (2, '2026-05-01 00:00+00', 'order'), (2, '2026-05-01 00:00+00', 'unsubscribe');
SELECT contact_id, score, stage FROM t_now WHERE contact_id = 2;
SET leadscore.clock = '2026-06-15 00:00+00';
SELECT leadscore.refresh('timely');
SELECT * FROM t_history('2');
-- below enter_at, not below leave_below: stays
INSERT INTO t_event VALUES (3, '2026-06-15 00:00+00', 'form', 0.3);
SET leadscore.clock = '2026-06-24 00:00+00';
SELECT leadscore.refresh('timely');
SELECT contact_id, score, stage FROM t_now WHERE contact_id = 3;
SET leadscore.clock = '2026-06-26 00:00+00';
SELECT leadscore.refresh('timely');
SELECT * FROM t_history('3');

-- Sticky: not left downwards, and never due for it ------------------------------
INSERT INTO t_event VALUES (4, '2026-06-26 00:00+00', 'form', 2);
SET leadscore.clock = '2026-12-01 00:00+00';
SELECT leadscore.refresh('timely');
SELECT * FROM t_history('4');

-- A crossing before an arriving event is recorded first -------------------------
INSERT INTO t_event VALUES (5, '2026-12-01 00:00+00', 'form');
SET leadscore.clock = '2026-12-20 00:00+00';
INSERT INTO t_event VALUES (5, '2026-12-20 00:00+00', 'form', 0.8);
SELECT * FROM t_history('5');
-- ... and before a change of the contact's row
SET leadscore.clock = '2027-01-10 00:00+00';
UPDATE t_contact SET vip = true WHERE id = 5;
SELECT * FROM t_history('5') OFFSET 3;

-- Late events never rewrite history ---------------------------------------------
SET leadscore.clock = '2027-01-20 00:00+00';
INSERT INTO t_event VALUES (6, '2027-01-20 00:00+00', 'form', 0.4);
SET leadscore.clock = '2027-02-10 00:00+00';
SELECT leadscore.refresh('timely') > 0;
-- with it, warm would have been left later
INSERT INTO t_event VALUES (6, '2027-01-20 00:00+00', 'form', 0.4);
SELECT * FROM t_history('6');
SELECT contact_id, score, stage, stage_since FROM t_now WHERE contact_id = 6;
SELECT * FROM leadscore.verify('timely');

-- A time frame: what leaves it does at midnight ----------------------------------
INSERT INTO t_event SELECT 7, '2027-02-10 00:00+00', 'visit' FROM generate_series(1, 2);
SELECT * FROM t_due WHERE contact_id = 7;
SET leadscore.clock = '2027-02-23 23:59:59+00';
SELECT leadscore.refresh('timely') > 0;
SELECT contact_id, score, stage FROM t_now WHERE contact_id = 7;
SET leadscore.clock = '2027-02-24 00:00+00';
SELECT leadscore.refresh('timely');
SELECT * FROM t_history('7');

-- An event that is dated later counts from its time on ---------------------------
INSERT INTO t_event VALUES (8, '2027-03-01 09:30+00', 'form', 0.5);
SELECT contact_id, score, stage FROM t_now WHERE contact_id = 8;
SELECT * FROM t_due WHERE contact_id = 8;
SET leadscore.clock = '2027-03-31 00:00+00';
SELECT leadscore.refresh('timely') > 0;
SELECT * FROM t_history('8');

-- Disqualified by silence, until it no longer counts ------------------------------
INSERT INTO leadscore.lead_rule (model, name, category, kind, source, event, points, idle, events_from, events_before, disqualifies) VALUES
	('timely', 'lost', 'points', 'absence', 't_event', 'visit', 0, '30 days', '2027-04-01 00:00+00', '2027-09-01 06:00+00', true);
SET leadscore.clock = '2027-04-10 00:00+00';
INSERT INTO t_event VALUES (9, '2027-04-10 00:00+00', 'form'), (9, '2027-04-10 00:00+00', 'visit'), (11, '2027-04-10 00:00+00', 'order');
INSERT INTO t_event VALUES (10, '2027-04-10 00:00+00', 'form', 2);
SET leadscore.clock = '2027-06-15 00:00+00';
INSERT INTO t_event VALUES (11, '2027-06-15 00:00+00', 'visit');
SET leadscore.clock = '2027-10-01 00:00+00';
SELECT leadscore.refresh('timely') > 0;
SELECT * FROM t_history('9');
-- the sticky stage comes back
SELECT * FROM t_history('10');
SELECT * FROM t_history('11');
SELECT contact_id, stage, disqualified FROM t_now WHERE contact_id IN (9, 10, 11) ORDER BY 1;
DELETE FROM leadscore.lead_rule WHERE model = 'timely' AND name = 'lost';

-- A condition is looked at when the score crosses, and when the row is written ---
INSERT INTO leadscore.lead_stage (model, stage, position, enter_at, leave_below, condition) VALUES ('timely', 'star', 4, 190, 60, 'vip');
UPDATE t_contact SET vip = true WHERE id = 13;
SET leadscore.clock = '2027-10-02 00:00+00';
INSERT INTO t_event
	SELECT g, '2027-10-02 00:00+00', w, 1
	  FROM generate_series(12, 13) g, unnest('{order,order,order,order,order,order,order,unsubscribe}'::text[]) w;
SET leadscore.clock = '2027-10-20 00:00+00';
SELECT leadscore.refresh('timely') > 0;
-- time makes a star of 13; of 12, when it becomes a vip
UPDATE t_contact SET vip = true WHERE id = 12;
SELECT * FROM t_history('12');
SELECT * FROM t_history('13');
-- what is no vip any more falls at once
UPDATE t_contact SET vip = false WHERE id = 12;
SELECT contact_id, score, stage FROM t_now WHERE contact_id IN (12, 13) ORDER BY 1;

-- What cancels out for a moment is not forgotten -----------------------------------
INSERT INTO leadscore.lead_rule (model, name, category, event, points, weight, decay, decay_interval) VALUES
	('timely', 'line', 'points', 'line', 100, 'w', 'linear', '10 days');
INSERT INTO t_event VALUES (14, '2027-10-20 00:00+00', 'line', 1), (14, '2027-10-15 00:00+00', 'line', -2);
SELECT contact_id, score, stage FROM t_now WHERE contact_id = 14;
SELECT * FROM t_due WHERE contact_id = 14;
SET leadscore.clock = '2027-10-24 00:00+00';
SELECT leadscore.refresh('timely') > 0;
SELECT * FROM t_history('14');

-- The clock set back: nothing happens, and nothing is undone ----------------------
INSERT INTO t_event VALUES (1, '2027-10-21 00:00+00', 'form');
SET leadscore.clock = '2027-10-01 00:00+00';
SELECT leadscore.refresh('timely');
SELECT contact_id, score, stage, scored_at FROM t_now WHERE contact_id = 1;
-- who writes then writes as of the later instant
INSERT INTO t_event VALUES (1, '2027-10-01 00:00+00', 'order');
SELECT contact_id, score, stage, scored_at FROM t_now WHERE contact_id = 1;
SET leadscore.clock = '2027-11-20 00:00+00';
SELECT leadscore.refresh('timely') > 0;
SELECT * FROM t_history('1') OFFSET 3;
SELECT * FROM leadscore.verify('timely');

-- A score that comes to a stand at a bound, but for rounding, holds nobody up ------
SELECT leadscore.create_model('stand', 't_contact', categories => '{points}');
SELECT leadscore.attach('stand', 't_event', 'contact', 'at', event => 'what');
INSERT INTO leadscore.lead_rule (model, name, category, event, points, weight, decay, decay_interval)
	SELECT 'stand', w, 'points', w, 1, 'w', CASE WHEN w < 'p' THEN 'half_life' ELSE 'none' END, CASE WHEN w < 'p' THEN interval '300 days' END
	  FROM unnest('{n1,n2,p1,p2,p3,p4}'::text[]) w;
INSERT INTO leadscore.lead_stage (model, stage, position, enter_at) VALUES ('stand', 'up', 1, 3000);
INSERT INTO t_event
	SELECT g, '2027-11-20 00:00+00', v.*
	  FROM generate_series(1, 12) g,
		LATERAL (SELECT sqrt(g) * 20 AS a, sqrt(g + 0.7) * 31 AS b, ln(g + 1.3) * 7 AS c) r,
	LATERAL (VALUES ('p1', a), ('p2', b), ('p3', -c), ('p4', 3000 - a - b + c), ('n1', -a), ('n2', -b)) v;
SELECT stage, count(*) FROM leadscore.score_stand GROUP BY 1;
SET leadscore.clock = '2450-01-01 00:00+00';
SET statement_timeout = '60 s';
SELECT leadscore.refresh('stand');
RESET statement_timeout;
SELECT stage, count(*) FROM leadscore.score_stand GROUP BY 1;
SELECT leadscore.drop_model('stand');
SET leadscore.clock = '2027-11-20 00:00+00';

-- In a series of events a drift moves the contact's row of due_ a few times, and not with
-- each event; where nothing follows, a contact is due when its score has drifted
SELECT leadscore.create_model('series', 't_contact', categories => '{points}');
SELECT leadscore.attach('series', 't_event', 'contact', 'at', event => 'what');
INSERT INTO leadscore.lead_rule (model, name, category, event, points, decay, decay_interval) VALUES
	('series', 'click', 'points', 'click', 10, 'half_life', '7 days');
INSERT INTO t_contact VALUES (21), (22);
CREATE FUNCTION t_click(who int, n int, pause interval, OUT moves int, OUT left_of_it numeric) LANGUAGE plpgsql AS $$
DECLARE
	due timestamptz;
	before timestamptz;
	exact float8;
BEGIN
	moves := 0;
	FOR i IN 1 .. n LOOP
		PERFORM set_config('leadscore.clock', (leadscore.clock() + pause)::text, false);
		INSERT INTO t_event VALUES (who, leadscore.clock(), 'click');
		SELECT due_at INTO due FROM leadscore.due_series WHERE contact_id = who;
		moves := moves + (due IS DISTINCT FROM before)::int;
		before := due;
	END LOOP;
	SELECT 7 * 86400 * ln(score / least(score - 0.5, score / 1.005)) / ln(2) INTO exact FROM leadscore.score_series WHERE contact_id = who;
	left_of_it := round((extract(epoch FROM due - leadscore.clock()) / exact)::numeric, 1);
END $$;
SELECT * FROM t_click(21, 1, '1 minute');
SELECT * FROM t_click(21, 1, '1 minute');
SELECT moves <= 2 AS seldom, left_of_it <= 1 AS not_late FROM t_click(21, 50, '1 minute');
SELECT moves, left_of_it FROM t_click(22, 3, '20 days');
SELECT leadscore.drop_model('series');
DROP FUNCTION t_click;
SET leadscore.clock = '2027-11-20 00:00+00';

-- What is dated very much later is looked at before
INSERT INTO t_event VALUES (8, '200000-01-01 00:00+00', 'form');
SELECT contact_id, due_at < '40000-01-01' AS before, drift FROM t_due WHERE contact_id = 8;

-- One row a contact at most, and what a stored row knows of it --------------------
SELECT contact_id FROM leadscore.due_timely GROUP BY 1 HAVING count(*) > 1;
SELECT count(*) > 0 AS due, count(*) FILTER (WHERE d.due_at || CASE WHEN d.drift THEN ' for drift' ELSE '' END
		IS DISTINCT FROM substring(leadscore.state_text(s.state) FROM E', due at ([^\n]*)')) AS others
  FROM leadscore.score_timely s LEFT JOIN leadscore.due_timely d USING (contact_id);
DELETE FROM t_event WHERE contact = 1;
SELECT * FROM t_due WHERE contact_id = 1;
DELETE FROM t_contact WHERE id = 5;
DELETE FROM t_event WHERE contact = 5;
SELECT * FROM t_due WHERE contact_id = 5;

-- Who has a trigger on the history is told of each row ----------------------------
CREATE FUNCTION t_tell() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	RAISE WARNING '% came from % to %', NEW.contact_id, NEW.from_stage, NEW.to_stage;
	RETURN NULL;
END $$;
CREATE TRIGGER t_tell AFTER INSERT ON leadscore.history_timely FOR EACH ROW EXECUTE FUNCTION t_tell();
INSERT INTO t_event VALUES (6, '2027-11-20 00:00+00', 'form');
SET leadscore.clock = '2027-12-10 00:00+00';
SELECT leadscore.refresh('timely') > 0;
DROP TRIGGER t_tell ON leadscore.history_timely;
DROP FUNCTION t_tell;

-- Nobody writes the table but leadscore -------------------------------------------
UPDATE leadscore.due_timely SET due_at = due_at + interval '1 day';
DELETE FROM leadscore.due_timely;
TRUNCATE leadscore.due_timely;
CREATE ROLE t_owner;
CREATE ROLE t_other;
ALTER TABLE t_event OWNER TO t_owner;
ALTER TABLE t_contact OWNER TO t_owner;
SET ROLE t_owner;
SELECT count(*) > 0 AS due FROM leadscore.due_timely;
DELETE FROM leadscore.due_timely;
SET ROLE t_other;
SELECT count(*) FROM leadscore.due_timely;
SELECT leadscore.refresh('timely');
RESET ROLE;

-- What is counted afterwards is recorded at its own instant, and told to nobody who
-- has not asked for it -------------------------------------------------------------
SET leadscore.clock = '2028-03-01 00:00+00';
CREATE TABLE t_old (contact int, at timestamptz, what text);
CREATE INDEX ON t_old (contact, at);
ALTER TABLE t_old OWNER TO t_owner;
INSERT INTO t_old VALUES (51, '2028-01-01 00:00+00', 'form'), (51, '2028-01-11 00:00+00', 'form'), (52, '2028-02-20 00:00+00', 'form');
SELECT leadscore.create_model('past', 't_contact');
INSERT INTO leadscore.lead_stage (model, stage, position, enter_at, leave_below) VALUES ('past', 'mql', 1, 50, 50), ('past', 'sql', 2, 80, 80);
INSERT INTO leadscore.lead_action (model, name, occasion, causes) VALUES
	('past', 'usual', 'stage_entered', DEFAULT), ('past', 'backfill too', 'stage_entered', '{backfill}');
SELECT leadscore.attach('past', 't_old', 'contact', 'at', 'what');
INSERT INTO leadscore.lead_rule (model, name, event, points, decay, decay_interval) VALUES ('past', 'form', 'form', 100, 'half_life', '10 days');
SELECT leadscore.detach('past', 't_old');
SELECT leadscore.attach('past', 't_old', 'contact', 'at', 'what');
SELECT contact_id, from_stage, to_stage, round(score::numeric, 1) AS score, date_trunc('minute', changed_at + interval '30 s') AS changed_at, recorded_at, cause
  FROM leadscore.history_past ORDER BY contact_id, recorded_at, history_past.changed_at;
SELECT action, contact, stage, cause FROM leadscore.lead_outbox WHERE model = 'past' ORDER BY outbox_id;
SELECT * FROM leadscore.verify('past');

-- Millions of periods may begin until something changes -----------------------------
SET leadscore.clock = '2028-03-01 00:00+00';
CREATE TABLE t_fine (contact int, at timestamptz, what text);
CREATE INDEX ON t_fine (contact, at);
ALTER TABLE t_fine OWNER TO t_owner;
SELECT leadscore.create_model('fine', 't_contact');
INSERT INTO leadscore.lead_stage (model, stage, position, enter_at, leave_below) VALUES ('fine', 'mql', 1, 50, 50);
SELECT leadscore.attach('fine', 't_fine', 'contact', 'at', 'what');
INSERT INTO leadscore.lead_rule (model, name, event, points, decay, decay_interval, max_per_period, period) VALUES
	('fine', 'form', 'form', 100, 'half_life', '100 days', 1000, '1 second'),
	('fine', 'mail', 'mail', -60, 'half_life', '10 days', 1000, '1 second');
INSERT INTO leadscore.lead_rule (model, name, kind, event, points, award, idle) VALUES ('fine', 'silent', 'absence', 'order', 3, 'once', '150 days');
INSERT INTO t_fine VALUES
	(61, '2028-03-01 00:00+00', 'form'), (62, '2028-03-01 00:00+00', 'form'), (62, '2028-03-01 00:00+00', 'mail'),
	(63, '2028-03-01 00:00+00', 'form'), (63, '2028-03-01 00:00+00', 'order');
SET leadscore.clock = '2029-03-01 00:00:00.5+00';
SELECT leadscore.refresh('fine');
SELECT contact_id, from_stage, to_stage, round(score::numeric, 4) AS score, changed_at FROM leadscore.history_fine ORDER BY contact_id, changed_at;
SELECT * FROM leadscore.verify('fine');
SELECT leadscore.drop_model('fine');
DROP TABLE t_fine;

DROP VIEW t_now, t_due;
DROP FUNCTION t_history;
SELECT leadscore.drop_model('timely');
SELECT leadscore.drop_model('past');
DROP TABLE t_old;
DROP TABLE t_contact, t_event;
DROP ROLE t_owner, t_other;

-- preloaded, and switched off: there is a launcher, but it starts nothing
SET client_min_messages = notice;
SELECT leadscore.start_worker();
SELECT leadscore.stop_worker();
