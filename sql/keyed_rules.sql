-- Rules whose rows depend on other rows: what is refused and in which words, what is
-- compared as a value, which rules name others, and what follows when tables change.
-- What they count is in keyed.sql.
SET timezone = 'UTC';
SET datestyle = 'ISO';
\pset null -
SET leadscore.clock = '2026-03-02 00:00+00';
CREATE SCHEMA keyed;
SET search_path = keyed;
CREATE TYPE status AS ENUM ('sent', 'opened', 'unsubscribed');
CREATE TABLE contact (id int PRIMARY KEY, name text);
CREATE TABLE mail (contact int, at timestamptz, what text, mail int, big bigint, title text, status status, payload json,
	stati status[], words text[], code varchar(10), point point, amount numeric);
CREATE TABLE shop (contact int, at timestamptz, what text, cart int, code char(4), mail bigint);
CREATE TABLE bare (contact int, at timestamptz, cart int);
CREATE INDEX ON mail (contact, at);
CREATE INDEX ON shop (contact, at);
CREATE INDEX ON bare (contact, at);
INSERT INTO contact VALUES (1, 'Ann');
INSERT INTO mail VALUES (1, '2026-03-01', 'open', 1), (1, '2026-03-01', 'unsubscribe', 1);
INSERT INTO shop VALUES (1, '2026-03-01', 'cart', 1), (1, '2026-03-01', 'order', 1);
INSERT INTO bare VALUES (1, '2026-03-01', 1);
SELECT leadscore.create_model('m', 'contact');
SELECT leadscore.attach('m', 'mail', 'contact', 'at', 'what');
SELECT leadscore.attach('m', 'shop', 'contact', 'at', 'what');
SELECT leadscore.attach('m', 'bare', 'contact', 'at');

-- writes rule r, with columns and their values in pairs, and takes it back
CREATE FUNCTION try(VARIADIC pairs text[]) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	columns text := 'model, name';
	vals text := '''m'', ''r''';
	message text;
	detail text;
	hint text;
	state text;
BEGIN
	FOR i IN 1 .. array_length(pairs, 1) / 2 LOOP
		columns := columns || ', ' || pairs[2 * i - 1];
		vals := vals || ', ' || quote_nullable(pairs[2 * i]);
	END LOOP;
	BEGIN
		EXECUTE 'INSERT INTO leadscore.lead_rule (' || columns || ') VALUES (' || vals || ')';
		RAISE EXCEPTION USING errcode = 'YYYYY';
	EXCEPTION
		WHEN SQLSTATE 'YYYYY' THEN
			RETURN 'accepted';
		WHEN OTHERS THEN
			GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT,
				state = RETURNED_SQLSTATE;
			RETURN concat_ws(E'\n', state || ': ' || message, nullif(detail, ''), 'hint: ' || nullif(hint, ''));
	END;
END
$$;
\pset format unaligned
\pset tuples_only on
-- an event that nothing cancels
CREATE FUNCTION try_event(VARIADIC pairs text[]) RETURNS text LANGUAGE sql AS
	$$SELECT try(VARIADIC ARRAY['source', 'mail', 'event', 'open', 'points', '1'] || pairs)$$;
-- a sequence of mails
CREATE FUNCTION try_sequence(VARIADIC pairs text[]) RETURNS text LANGUAGE sql AS
	$$SELECT try(VARIADIC ARRAY['kind', 'sequence', 'source', 'mail', 'event', 'open', 'points', '1', 'max_gap', '1 day'] || pairs)$$;

--
-- which column goes with which kind, and with which other
--
SELECT try_event('max_gap', '1 day');
SELECT try_event('followed_by', 'open');
SELECT try_event('followed_per', 'mail');
SELECT try_event('follows', 'x');
SELECT try_event('negated', 'true');
SELECT try('kind', 'absence', 'idle', '1 day', 'points', '1', 'per', 'mail');
SELECT try('kind', 'absence', 'idle', '1 day', 'points', '1', 'cancelled_by', 'open');
SELECT try('kind', 'profile', 'points', '1', 'per', 'name');
SELECT try('kind', 'profile', 'points', '1', 'max_per', '1');
SELECT try_sequence('max_per', '1', 'per', 'mail');
SELECT try_event('max_per', '1');
SELECT try_event('max_per', '-1', 'per', 'mail');
SELECT try_event('max_per', 'NaN', 'per', 'mail');
SELECT try_event('max_per', '1', 'per', 'mail', 'award', 'once');
SELECT try_event('max_per', '1', 'per', 'mail', 'at_least', '2');
SELECT try_event('max_per', '1', 'per', 'mail', 'max_per_period', '1', 'period', '1 day');
SELECT try_event('max_per', '1', 'per', 'mail', 'at_least', '2', 'award', 'each');
SELECT try_event('cancelled_per', 'mail', 'cancelled_by', 'unsubscribe');
SELECT try_event('cancelled_per', 'mail', 'per', 'mail');
SELECT try_event('cancelled_source', 'bare');
SELECT try('kind', 'sequence', 'source', 'mail', 'event', 'open', 'points', '1');
SELECT try('kind', 'sequence', 'source', 'mail', 'event', 'open', 'points', '1', 'max_gap', '0 days');
SELECT try('kind', 'sequence', 'event', 'open', 'points', '1', 'max_gap', '1 day');
SELECT try_sequence('followed_per', 'mail');
SELECT try_sequence('award', 'once', 'weight', '2');
SELECT try_sequence('time_frame', '1 day', 'decay', 'linear', 'decay_interval', '1000 days', 'period', '1 day');
SELECT try_sequence('period', '1 day');
SELECT try_sequence('idle', '1 day');
SELECT try_sequence('negated', 'true', 'time_frame', '7 days', 'at_least', '2', 'disqualifies', 'true');

--
-- sources and events of rows that follow and cancel
--
SELECT try_event('cancelled_by', 'unsubscribe', 'cancelled_source', 'shp');
SELECT try_sequence('followed_source', 'mial');
SELECT try_event('cancelled_by', 'x', 'cancelled_source', 'bare');
SELECT try_sequence('followed_by', 'x', 'followed_source', 'bare');
SELECT try_event('cancelled_by', 'unsubscibe');
SELECT try_sequence('followed_by', 'ordr', 'followed_source', 'shop');
SELECT try_sequence('followed_by', 'order', 'followed_source', 'shop');

--
-- expressions, each over the columns of its own table
--
SELECT try_event('per', 'mial');
SELECT try_event('per', 'cart');
SELECT try_event('per', '');
SELECT try_event('per', 'mail, big');
SELECT try_event('per', 'now()');
SELECT try_event('per', 'random()');
SELECT try_event('per', '(SELECT 1)');
SELECT try_event('per', 'payload');
SELECT try_event('per', 'point');
SELECT try_event('per', 'stati');
SELECT try_event('per', 'payload::text');
SELECT try_event('per', 'status');
SELECT try_event('per', 'words');
SELECT try_event('per', 'amount');
SELECT try_event('per', 'code');
SELECT try_event('per', 'at');
SELECT try_event('per', '(at AT TIME ZONE ''UTC'')::date');
SELECT try_event('per', '''all''');
SELECT try_event('per', 'NULL');
SELECT try_event('per', 'ROW(mail, title)');
SELECT try_event('cancelled_condition', 'mial = 1');
SELECT try_event('cancelled_condition', 'mail');
SELECT try_event('cancelled_condition', 'cart = 1', 'cancelled_source', 'shop');
SELECT try_event('cancelled_condition', 'big = 1', 'cancelled_source', 'shop');
SELECT try_sequence('followed_condition', 'cart = 1', 'followed_source', 'shop');
SELECT try_sequence('followed_condition', 'big = 1', 'followed_source', 'shop');

--
-- values that are compared are of one type
--
SELECT try_event('per', 'mail', 'cancelled_by', 'unsubscribe', 'cancelled_per', 'big');
SELECT try_event('per', 'mail', 'cancelled_by', 'unsubscribe', 'cancelled_per', 'title');
SELECT try_event('per', 'mail::bigint', 'cancelled_by', 'unsubscribe', 'cancelled_per', 'big');
SELECT try_event('per', 'title', 'cancelled_by', 'unsubscribe', 'cancelled_per', 'code');
-- the text of per, over the other table
SELECT try_sequence('per', 'mail', 'followed_source', 'shop');
SELECT try_sequence('per', 'big', 'followed_source', 'shop');
SELECT try_sequence('per', 'code', 'followed_source', 'shop');
SELECT try_sequence('per', 'mail', 'followed_source', 'shop', 'followed_per', 'cart');

--
-- sequences that follow others
--
SELECT try('kind', 'sequence', 'follows', 'x', 'points', '1', 'max_gap', '1 day');
\pset format aligned
\pset tuples_only off
INSERT INTO leadscore.lead_rule (model, name, kind, source, event, per, followed_by, max_gap, points)
	VALUES ('m', 'visited', 'sequence', 'mail', 'open', NULL, 'unsubscribe', '30 days', 20),
	('m', 'by mail', 'sequence', 'mail', 'open', 'mail', 'unsubscribe', '30 days', 20);
INSERT INTO leadscore.lead_rule (model, name, source, event, points) VALUES ('m', 'event', 'mail', 'open', 1);
\pset format unaligned
\pset tuples_only on
CREATE FUNCTION try_follows(VARIADIC pairs text[]) RETURNS text LANGUAGE sql AS
	$$SELECT try(VARIADIC ARRAY['kind', 'sequence', 'points', '1', 'max_gap', '1 day', 'followed_by', 'open', 'follows'] || pairs)$$;
SELECT try_follows('visted');
SELECT try_follows('event');
SELECT try_follows('r');
SELECT try_follows('visited', 'source', 'mail');
SELECT try_follows('visited', 'event', 'open');
SELECT try_follows('visited', 'condition', 'true');
SELECT try_follows('visited', 'weight', '2');
SELECT try_follows('visited', 'events_from', '2026-01-01');
SELECT try_follows('visited', 'followed_per', 'mail');
SELECT try_follows('visited', 'per', 'mail');
SELECT try_follows('by mail');
SELECT try_follows('by mail', 'followed_per', 'big');
SELECT try_follows('by mail', 'followed_per', 'mail', 'cancelled_by', 'unsubscribe');
SELECT try_follows('by mail', 'followed_per', 'mail');
SELECT try_follows('by mail', 'followed_per', 'mail', 'cancelled_by', 'unsubscribe', 'cancelled_per', 'mail');
SELECT try_follows('visited');
\pset format aligned
\pset tuples_only off
-- in one statement in any order
INSERT INTO leadscore.lead_rule (model, name, kind, follows, followed_by, max_gap, points)
	VALUES ('m', 'third', 'sequence', 'second', 'open', '30 days', 20),
	('m', 'second', 'sequence', 'visited', 'open', '30 days', 20);
SELECT name, source, follows, followed_source FROM leadscore.lead_rule WHERE follows IS NOT NULL ORDER BY name;
UPDATE leadscore.lead_rule SET follows = 'third' WHERE name = 'second';
UPDATE leadscore.lead_rule SET follows = 'second' WHERE name = 'second';
DELETE FROM leadscore.lead_rule WHERE name = 'visited';
UPDATE leadscore.lead_rule SET name = 'seen' WHERE name = 'second';
UPDATE leadscore.lead_rule SET kind = 'event', followed_by = NULL, max_gap = NULL WHERE name = 'visited';
-- all of them at once
UPDATE leadscore.lead_rule SET name = name || '!', follows = follows || '!' WHERE name IN ('visited', 'second', 'third');
SELECT name, follows FROM leadscore.lead_rule WHERE follows IS NOT NULL ORDER BY name;
DELETE FROM leadscore.lead_rule WHERE follows IS NOT NULL OR name IN ('by mail', 'event');

-- what a statement counts again: the versions of rules that it changes, and of those that follow them
CREATE TABLE known (name text, version bigint);
CREATE FUNCTION counted() RETURNS TABLE (name text, per text, cancelled_per text, followed_per text, cancelled_condition text,
	followed_condition text, counted text)
LANGUAGE sql AS $$
	WITH known AS MATERIALIZED (SELECT name, version FROM keyed.known),
	now AS (SELECT r.*, k.version AS before FROM leadscore_internal.lead_rule r LEFT JOIN known k USING (name))
	SELECT name, per, cancelled_per, followed_per, cancelled_condition, followed_condition,
		CASE WHEN before IS NULL THEN 'new' WHEN backfilled_version = 0 THEN 'disabled'
			WHEN backfilled_version = before THEN 'as before' ELSE 'again' END
	FROM now ORDER BY name COLLATE "C"
$$;
CREATE FUNCTION know() RETURNS void LANGUAGE sql AS $$
	DELETE FROM keyed.known;
	INSERT INTO keyed.known SELECT name, backfilled_version FROM leadscore_internal.lead_rule
$$;
SET client_min_messages = warning;
INSERT INTO leadscore.lead_rule (model, name, source, event, per, cancelled_by, cancelled_condition, points) VALUES
	('m', 'mails', 'mail', 'open', 'mail', 'unsubscribe', 'mail > 0 AND title <> ''x''', 1);
INSERT INTO leadscore.lead_rule (model, name, kind, source, event, per, followed_source, followed_by, followed_condition,
		max_gap, points) VALUES
	('m', 'carts', 'sequence', 'shop', 'cart', 'cart', 'bare', NULL, 'cart > 0', '1 day', 1),
	('m', 'orders', 'sequence', 'shop', 'cart', 'cart', 'shop', 'order', 'cart > 0', '1 day', 1);
INSERT INTO leadscore.lead_rule (model, name, kind, follows, followed_by, followed_per, followed_source, max_gap, points) VALUES
	('m', 'then', 'sequence', 'carts', 'order', 'cart', 'shop', '1 day', 1);
SELECT know();
UPDATE leadscore.lead_rule SET points = 2;
SELECT name, counted FROM counted();
UPDATE leadscore.lead_rule SET max_gap = '2 days' WHERE name = 'carts';
SELECT name, counted FROM counted();
SELECT know();
UPDATE leadscore.lead_rule SET per = 'mail + 1' WHERE name = 'mails';
UPDATE leadscore.lead_rule SET followed_by = NULL WHERE name = 'orders';
SELECT name, counted FROM counted();
UPDATE leadscore.lead_rule SET followed_by = 'order' WHERE name = 'orders';
-- that which follows alone: from the rows that the other one has counted
INSERT INTO bare VALUES (1, '2026-03-01 06:00', 1);
INSERT INTO shop VALUES (1, '2026-03-01 12:00', 'order', 1);
UPDATE leadscore.lead_rule SET max_gap = '2 days' WHERE name = 'then';
SELECT name, matched, points FROM leadscore.explain('m', 1) ORDER BY name COLLATE "C";
SELECT * FROM leadscore.verify('m');

--
-- what is renamed is followed, and nothing is counted again
--
SELECT know();
ALTER TABLE shop RENAME cart TO basket;
SELECT name, per, followed_per, followed_condition, counted FROM counted() WHERE followed_condition IS NOT NULL;
ALTER TABLE bare RENAME cart TO trolley;
SELECT name, per, followed_per, followed_condition, counted FROM counted() WHERE followed_condition IS NOT NULL;
ALTER TABLE mail RENAME mail TO letter;
ALTER TABLE mail RENAME title TO subject;
-- of a type of which hashes are compared
INSERT INTO leadscore.lead_rule (model, name, source, per, points) VALUES
	('m', 'worth', 'mail', 'amount * 2', 1), ('m', 'words', 'mail', 'words || ''amount''::text', 1),
	('m', 'labels', 'mail', 'CASE status WHEN ''opened'' THEN amount ELSE 0 END', 1);
SELECT know();
ALTER TABLE mail RENAME amount TO worth;
ALTER TYPE status RENAME VALUE 'opened' TO 'read';
SELECT name, per, counted FROM counted() WHERE name IN ('worth', 'words', 'labels');
DELETE FROM leadscore.lead_rule WHERE name IN ('worth', 'words', 'labels');
SELECT name, per, cancelled_per, cancelled_condition, counted FROM counted() WHERE cancelled_condition IS NOT NULL;

-- a label, by whose text rows are told apart
INSERT INTO leadscore.lead_rule (model, name, source, per, points) VALUES ('m', 'status', 'mail', 'status', 1);
SELECT know();
ALTER TYPE status RENAME VALUE 'unsubscribed' TO 'left';
SELECT name, counted FROM counted();
DELETE FROM leadscore.lead_rule WHERE name = 'status';

--
-- a column that goes, a type that changes
--
SELECT know();
SET client_min_messages = notice;
ALTER TABLE bare ALTER trolley TYPE bigint;
SELECT name, counted FROM counted();
ALTER TABLE bare ALTER trolley TYPE int;
SELECT name, counted FROM counted();
SELECT know();
ALTER TABLE mail DROP subject;
ALTER TABLE mail ADD subject text;
SELECT know();
ALTER TABLE mail DROP letter;
SELECT name, counted FROM counted();

--
-- a source that rows come from which follow
--
SELECT know();
SELECT leadscore.detach('m', 'bare');
SELECT name, counted FROM counted();
SELECT leadscore.attach('m', 'bare', 'contact', 'at');
SELECT name, counted FROM counted();
SELECT leadscore.detach('m', 'shop');
SELECT leadscore.detach('m', 'bare');
SELECT leadscore.attach('m', 'shop', 'contact', 'at', 'what');
SELECT name, counted FROM counted();
SELECT leadscore.attach('m', 'bare', 'contact', 'at');
SELECT name, counted FROM counted();
SELECT leadscore.drop_model('m');
DROP SCHEMA keyed CASCADE;
