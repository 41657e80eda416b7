-- Labels that events, keys and other rules are told by, and names that cannot be followed.
SET client_min_messages = warning;
SET leadscore.clock = '2026-03-01 00:00+00';
SET timezone = 'UTC';
CREATE TYPE kind AS ENUM ('click', 'open');
CREATE TYPE plan AS ENUM ('free', 'pro');
CREATE DOMAIN some_kind AS kind;
CREATE TABLE firm (plan plan PRIMARY KEY, kind kind);
CREATE TABLE act (firm plan, at timestamptz NOT NULL, what some_kind);
CREATE INDEX ON act (firm, at);
CREATE TABLE mail (firm plan, at timestamptz NOT NULL, what text);
CREATE INDEX ON mail (firm, at);
SELECT leadscore.create_model('m', 'firm');
SELECT leadscore.attach('m', 'act', 'firm', 'at', 'what');
SELECT leadscore.attach('m', 'mail', 'firm', 'at', 'what');
INSERT INTO leadscore.lead_rule (model, name, kind, source, event, points, idle) VALUES
	('m', 'acted', 'event', 'act', 'click', 1, NULL),
	('m', 'tapped', 'event', 'act', 'tap', 10, NULL),
	('m', 'mailed', 'event', 'mail', 'click', 100, NULL),
	('m', 'silent', 'absence', NULL, 'click', -1000, '10 days'),
	('m', 'quiet', 'absence', 'act', 'click', -100000, '10 days');
INSERT INTO leadscore.lead_rule (model, name, kind, condition, points) VALUES ('m', 'paying', 'profile', 'plan <> ''free''', 10000);
INSERT INTO leadscore.lead_stage (model, stage, position, enter_at) VALUES ('m', 'hot', 1, 10);
INSERT INTO leadscore.lead_action (model, name, occasion, stage) VALUES ('m', 'tell', 'stage_entered', 'hot');
INSERT INTO firm VALUES ('pro', 'open');
INSERT INTO act VALUES ('pro', '2026-02-28 00:00+00', 'click');
INSERT INTO mail VALUES ('pro', '2026-02-28 00:00+00', 'click');
RESET client_min_messages;
CREATE FUNCTION look(OUT score float8, OUT replayed float8, OUT wrong bigint, OUT asleep text)
	LANGUAGE sql AS $$
	SELECT sum(leadscore.score('m', plan)), sum(leadscore.replay('m', plan)), (SELECT count(*) FROM leadscore.verify('m')),
		(SELECT string_agg(name, ',' ORDER BY name) FROM leadscore.lead_rule WHERE backfilled_version IS NOT DISTINCT FROM 0)
	FROM firm $$;
SELECT * FROM look();
-- another rule names the new label, and one names an event of every source
ALTER TYPE kind RENAME VALUE 'click' TO 'tap';
SELECT name, event FROM leadscore.lead_rule ORDER BY rule_id;
SELECT * FROM look();
SELECT leadscore.score('m', 'pro', '2026-03-08 00:00+00'), leadscore.replay('m', 'pro', '2026-03-08 00:00+00'),
	   leadscore.score('m', 'pro', '2026-03-12 00:00+00'), leadscore.replay('m', 'pro', '2026-03-12 00:00+00');
-- the key: what is kept of it as text
SELECT contact, payload->>'contact' AS told FROM leadscore.outbox_take('t', model => 'm');
ALTER TYPE plan RENAME VALUE 'pro' TO 'paid';
ALTER TYPE plan RENAME VALUE 'free' TO 'pro';
SELECT condition FROM leadscore.lead_rule WHERE name = 'paying';
SELECT contact_id, payload->>'contact' AS told FROM leadscore.outbox_m;
SELECT * FROM look();
INSERT INTO act VALUES ('paid', '2026-02-28 00:00+00', 'tap');
INSERT INTO act VALUES ('pro', '2026-02-28 00:00+00', 'open');
SELECT * FROM look();
-- who may not rename it changes nothing
CREATE ROLE renames_other;
SET ROLE renames_other;
ALTER TYPE plan RENAME VALUE 'pro' TO 'free';
RESET ROLE;
DROP ROLE renames_other;
ALTER TYPE plan RENAME VALUE 'paid' TO 'pro';
ALTER TYPE plan RENAME VALUE 'none' TO 'nil';
SELECT * FROM look();

-- what other names stand for is not followed
CREATE SCHEMA tool;
CREATE FUNCTION tool.good(kind) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN $1 IS NOT NULL; END';
CREATE DOMAIN tool.number AS int;
CREATE FUNCTION tool.same(kind, kind) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN $1 = $2; END';
CREATE OPERATOR tool.== (LEFTARG = kind, RIGHTARG = kind, FUNCTION = tool.same);
INSERT INTO leadscore.lead_rule (model, name, source, condition, points) VALUES
	('m', 'function', 'act', 'tool.good(what)', 1000000),
	('m', 'type', 'act', '7::tool.number = 7', 2000000),
	('m', 'operator', 'act', 'what::public.kind OPERATOR(tool.==) ''tap''::public.kind', 4000000);
SELECT * FROM look();
ALTER FUNCTION tool.good RENAME TO fine;
ALTER DOMAIN tool.number RENAME TO figure;
ALTER OPERATOR tool.== (kind, kind) SET SCHEMA public;
SELECT * FROM look();
ALTER FUNCTION tool.fine RENAME TO good;
ALTER DOMAIN tool.figure RENAME TO number;
ALTER OPERATOR public.== (kind, kind) SET SCHEMA tool;
SELECT * FROM look();
ALTER SCHEMA tool RENAME TO tools;
SELECT * FROM look();
ALTER SCHEMA tools RENAME TO tool;
SELECT * FROM look();
ALTER TYPE kind RENAME TO sort;
SELECT * FROM look();
ALTER TYPE sort RENAME TO kind;
-- nor what an action calls
CREATE FUNCTION tool.tell(jsonb) RETURNS void LANGUAGE sql AS 'SELECT';
INSERT INTO leadscore.lead_action (model, name, occasion, stage, deliver, function) VALUES ('m', 'call', 'stage_entered', 'hot', 'function', 'tool.tell');
ALTER FUNCTION tool.tell RENAME TO say;
UPDATE leadscore.lead_action SET function = 'tool.say' WHERE name = 'call';
ALTER FUNCTION tool.say SET SCHEMA public;
DELETE FROM leadscore.lead_action WHERE name = 'call';
DROP FUNCTION say;
-- nor what a rule that sleeps cannot be read for
ALTER FUNCTION tool.good RENAME TO fine;
ALTER TABLE act RENAME what TO event;
ALTER TABLE act RENAME event TO what;
ALTER FUNCTION tool.fine RENAME TO good;
SELECT * FROM look();
-- an attribute that takes the name of a function
CREATE TYPE place AS (town text);
ALTER TABLE mail ADD place place;
INSERT INTO leadscore.lead_rule (model, name, source, condition, points) VALUES
	('m', 'hash', 'mail', 'coalesce((place).hash_record, 1) > 0', 8000000);
SELECT * FROM look();
ALTER TYPE place RENAME ATTRIBUTE town TO hash_record;
SELECT * FROM look();
SELECT name, sqlstate, message FROM leadscore.rule_errors WHERE name = 'hash';
ALTER TYPE place RENAME ATTRIBUTE hash_record TO town;
SELECT * FROM look();

DROP FUNCTION look;
SET client_min_messages = warning;
SELECT leadscore.drop_model('m');
DROP TABLE act, mail, firm;
DROP SCHEMA tool CASCADE;
DROP TYPE kind, plan, place CASCADE;
