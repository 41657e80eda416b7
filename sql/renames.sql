-- What is renamed is followed by whatever names it: nothing is counted again, and
-- scores, of now and of the past, stay what they are.
SET client_min_messages = warning;
SET leadscore.clock = '2026-03-01 00:00+00';
SET timezone = 'UTC';
CREATE SCHEMA crm;
CREATE TYPE crm.kind AS ENUM ('click', 'open', 'buy');
CREATE TYPE crm.money AS (amount numeric, unit text);
CREATE TYPE crm.line AS (price crm.money, amount int);
CREATE DOMAIN crm.some_kind AS crm.kind;
CREATE TYPE crm.kinds AS RANGE (subtype = crm.kind);
CREATE FUNCTION crm.amount(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1';
CREATE TABLE crm.guest (id int PRIMARY KEY, made_at timestamptz, country text, "Größe" int);
CREATE TABLE crm.act (guest int, at timestamptz NOT NULL, what crm.kind, amount int, note text,
	line crm.line, lines crm.line[], whats crm.kind[], other crm.some_kind, span crm.kinds, old crm.guest, "select" int);
CREATE INDEX ON crm.act (guest, at);
CREATE TABLE crm.mail (guest int, at timestamptz NOT NULL, what text, amount int) ;
CREATE INDEX ON crm.mail (guest, at);
SELECT leadscore.create_model('m', 'crm.guest', created_at => 'made_at');
SELECT leadscore.attach('m', 'crm.act', 'guest', 'at', 'what');
SELECT leadscore.attach('m', 'crm.mail', 'guest', 'at', 'what');
INSERT INTO leadscore.lead_rule (model, name, source, event, condition, points, weight) VALUES
	('m', 'plain', 'act', NULL, 'amount > 5 /* amount */ AND note <> ''amount''', 1, 'amount::float8'),
	('m', 'function', 'act', NULL, 'crm.amount(amount) = 10', 2, NULL),
	('m', 'qualified', 'act', NULL, E'act.amount > 5 AND act."amount" > 5 -- amount\n', 4, NULL),
	('m', 'schema', 'act', NULL, 'crm . act . amount > 5', 8, NULL),
	('m', 'escaped', 'act', NULL, 'U&"!0061mount" UESCAPE ''!'' > 5 AND U&"\0061mount" > 5 AND note IN (E''n'', $$n$$, $amount$amount$amount$)', 16, NULL),
	('m', 'upper', 'act', NULL, 'AMOUNT > 5', 32, NULL),
	('m', 'attribute', 'act', NULL, '(line).amount > 1 AND amount > 5 AND (line).price.amount > 1 AND (act.line).amount > 1', 64, NULL),
	('m', 'functional', 'act', NULL, 'amount(line) > 1', 128, NULL),
	('m', 'array', 'act', NULL, '(lines[1]).amount > 1 AND (lines[1]).price.unit = ''EUR''', 256, NULL),
	('m', 'row', 'act', NULL, '(old).country = ''DE''', 512, NULL),
	('m', 'label', 'act', 'click', 'what = ''click'' AND note <> ''click'' AND what IN (''click'', ''buy'') AND what <> ''open''', 1024, NULL),
	('m', 'labels', 'act', NULL,
		'whats = ''{click, open}'' AND whats && ARRAY[''click'']::crm.kind[] AND other::crm.kind = ''click'' AND other IS NOT NULL '
		'AND span @> ''click''::crm.kind AND span = ''[click,open)'' AND crm.kind ''click'' = what',
		2048, NULL),
	('m', 'case', 'act', NULL, 'CASE what WHEN ''click'' THEN true ELSE ''click'' = note END', 4096, NULL),
	('m', 'reserved', 'act', NULL, '"select" > 5', 8192, NULL),
	('m', 'sent', 'mail', 'click', 'amount > 5', 16384, NULL),
	('m', 'tapped', 'mail', 'tap', NULL, 32768, NULL);
INSERT INTO leadscore.lead_rule (model, name, kind, category, condition, points) VALUES
	('m', 'land', 'profile', DEFAULT, 'country = ''DE'' AND guest.country <> ''country''', 65536),
	('m', 'size', 'profile', DEFAULT, '"Größe" > 5', 131072);
INSERT INTO leadscore.lead_stage (model, stage, position, enter_at, condition) VALUES
	('m', 'hot', 1, 10, 'score > 10 AND country = ''DE'' AND engagement > 0');
INSERT INTO crm.guest VALUES (1, '2026-01-01 00:00+00', 'DE', 10);
INSERT INTO crm.act VALUES (1, '2026-02-01 00:00+00', 'click', 10, 'n', ROW(ROW(2, 'EUR'), 2), ARRAY[ROW(ROW(2, 'EUR'), 2)::crm.line],
	'{click,open}', 'click', '[click,open)', ROW(7, NULL, 'DE', 1), 10);
INSERT INTO crm.mail VALUES (1, '2026-02-01 00:00+00', 'click', 10), (1, '2026-02-02 00:00+00', 'tap', 10);
RESET client_min_messages;
SELECT leadscore.refresh('m');

CREATE FUNCTION look(OUT score float8, OUT replayed float8, OUT back float8, OUT stage text, OUT wrong bigint, OUT asleep text, OUT counted bigint)
	LANGUAGE sql AS $$
	SELECT leadscore.score('m', 1), leadscore.replay('m', 1),
		leadscore.score('m', 1, '2026-02-20 00:00+00', '2026-03-01 00:00+00'),
		(SELECT s.stage FROM leadscore.score_m s WHERE contact_id = 1),
		(SELECT count(*) FROM leadscore.verify('m')),
		(SELECT string_agg(name, ',') FROM leadscore.lead_rule WHERE backfilled_version IS NOT DISTINCT FROM 0),
		(SELECT sum(backfilled_version) FROM leadscore.lead_rule) $$;
CREATE FUNCTION texts(text) RETURNS TABLE (name text, event text, condition text, weight text) LANGUAGE sql AS $$
	SELECT name, event, condition, weight FROM leadscore.lead_rule
	 WHERE name = ANY (string_to_array($1, ' ')) ORDER BY rule_id $$;
SELECT score, replayed, back, stage, wrong, asleep FROM look();
SELECT counted AS before FROM look() \gset

-- columns
SET leadscore.clock = '2026-03-02 00:00+00';
ALTER TABLE crm.act RENAME amount TO quantity;
SELECT * FROM texts('plain function qualified schema escaped upper attribute functional');
SELECT score, replayed, back, stage, wrong, asleep, counted = :before AS same_versions FROM look();
SELECT name, operation, count(*) FROM leadscore.lead_rule_history WHERE name IN ('plain', 'row') GROUP BY 1, 2 ORDER BY 1, 2;
SELECT name, operation, condition, valid_from, valid_to FROM leadscore.lead_rule_history WHERE name = 'plain' ORDER BY history_id;
ALTER TABLE crm.act RENAME quantity TO "order";
ALTER TABLE crm.act RENAME "select" TO "Mixed ""Case""";
ALTER TABLE crm.act RENAME line TO item;
SELECT * FROM texts('plain attribute functional reserved');
SELECT score, replayed, back, stage, wrong, asleep, counted = :before AS same_versions FROM look();
ALTER TABLE crm.act RENAME "order" TO abs;
SELECT * FROM texts('plain attribute');
-- two columns change their names, in one transaction
BEGIN;
ALTER TABLE crm.act RENAME abs TO third;
ALTER TABLE crm.act RENAME note TO abs;
ALTER TABLE crm.act RENAME third TO note;
COMMIT;
SELECT * FROM texts('plain attribute escaped');
SELECT score, replayed, back, stage, wrong, asleep, counted = :before AS same_versions FROM look();
-- undone
BEGIN;
SAVEPOINT a;
ALTER TABLE crm.act RENAME note TO gone;
ROLLBACK TO a;
ALTER TABLE crm.act RENAME abs TO remark;
COMMIT;
DO $$ BEGIN
	BEGIN
		ALTER TABLE crm.act RENAME note TO gone;
		RAISE EXCEPTION 'undone';
	EXCEPTION WHEN raise_exception THEN
		NULL;
	END;
	SET check_function_bodies = off;
	EXECUTE 'ALTER TABLE crm.act RENAME note TO amount';
	RESET check_function_bodies;
END $$;
ALTER TABLE crm.act RENAME amount TO note;	-- not that of the others
ALTER TABLE crm.act RENAME note TO remark;	-- there is one already
SELECT * FROM texts('plain attribute');
SELECT score, replayed, back, stage, wrong, asleep, counted = :before AS same_versions FROM look();
-- what models and sources name
ALTER TABLE crm.act RENAME guest TO visitor;
ALTER TABLE crm.act RENAME at TO "when";
ALTER TABLE crm.act RENAME what TO event;
ALTER TABLE crm.guest RENAME id TO "Id";
ALTER TABLE crm.guest RENAME made_at TO "user";
SELECT key, created_at, source, contact, occurred_at, event FROM leadscore.lead_model JOIN leadscore.lead_source USING (model) ORDER BY source;
-- a name of a stage's condition that is a variable, and back
ALTER TABLE crm.guest RENAME country TO score;
SELECT condition FROM leadscore.lead_stage;
SELECT * FROM texts('land row');
SELECT score, replayed, back, stage, wrong, asleep, counted = :before AS same_versions FROM look();
ALTER TABLE crm.guest RENAME score TO "Land";
ALTER TABLE crm.guest RENAME "Größe" TO größe;
SELECT condition FROM leadscore.lead_stage;
SELECT * FROM texts('land row size');
-- attributes
ALTER TYPE crm.line RENAME ATTRIBUTE amount TO number;
ALTER TYPE crm.money RENAME ATTRIBUTE amount TO "from" CASCADE;
SELECT * FROM texts('attribute functional array');
SELECT score, replayed, back, stage, wrong, asleep, counted = :before AS same_versions FROM look();
-- tables and their schemas
ALTER TABLE crm.act RENAME TO acts;
ALTER TABLE crm.guest RENAME TO guests;
SELECT * FROM texts('qualified schema land attribute');
CREATE SCHEMA sales;
ALTER TABLE crm.acts SET SCHEMA sales;
SELECT * FROM texts('schema');
SELECT score, replayed, back, stage, wrong, asleep, counted = :before AS same_versions FROM look();
-- labels
ALTER TYPE crm.kind RENAME VALUE 'click' TO 'it''s a tap';
SELECT * FROM texts('label labels case sent tapped');
SELECT score, replayed, back, stage, wrong, asleep, counted = :before AS same_versions FROM look();
ALTER TYPE crm.kind RENAME VALUE 'it''s a tap' TO 'tap';
ALTER TYPE crm.kind RENAME VALUE 'open' TO 'opened';
ALTER TYPE crm.kind ADD VALUE 'click';
SELECT * FROM texts('label labels case sent tapped');
SELECT score, replayed, back, stage, wrong, asleep, counted = :before AS same_versions FROM look();
SELECT name, operation, count(*) FROM leadscore.lead_rule_history WHERE name IN ('label', 'sent') GROUP BY 1, 2 ORDER BY 1, 2;
INSERT INTO sales.acts (visitor, "when", event, note, remark) VALUES (1, '2026-02-02 00:00+00', 'tap', 10, 'n');
SELECT score, replayed, stage, wrong FROM look();
-- what another rule would do, and what is renamed in the same transaction
BEGIN;
ALTER TABLE sales.acts RENAME note TO length;
ALTER TYPE crm.kind RENAME VALUE 'tap' TO 'touch';
ALTER TABLE crm.guests RENAME "Land" TO country;
UPDATE leadscore.lead_rule SET condition = 'length > 100' WHERE name = 'plain';
UPDATE leadscore.lead_rule SET points = points + 1000 WHERE name = 'label';
SELECT DISTINCT mean_before, mean_after FROM leadscore.what_if('m', "full" => true) WHERE mean_before IS NOT NULL;
ROLLBACK;
SELECT score, replayed, back, stage, wrong, asleep FROM look();
-- a table with which the model has nothing to do
CREATE TABLE crm.other (amount int, note text);
BEGIN;
ALTER TABLE crm.other RENAME amount TO note_;
ALTER TABLE crm.other RENAME note TO amount;
SELECT count(*) FROM pg_locks WHERE locktype = 'object' AND classid = 'pg_class'::regclass AND objid = 'leadscore.score_m'::regclass;
COMMIT;
SELECT * FROM texts('plain attribute');
DROP FUNCTION look, texts;
SET client_min_messages = warning;
SELECT leadscore.detach_all();
DROP SCHEMA crm, sales CASCADE;
