-- Keys of every type, contact columns of others, models that share tables, and
-- tables that feed a model several times.
SET timezone = 'UTC';
SET datestyle = 'ISO';
SET extra_float_digits = 0;
\pset null -
SET client_min_messages = warning;
SET leadscore.clock = '2026-03-02 00:00+00';
CREATE EXTENSION IF NOT EXISTS citext SCHEMA public;
CREATE SCHEMA keys;
SET search_path = keys, public;
CREATE DOMAIN customer_no AS int CHECK (VALUE > 0);
CREATE DOMAIN handle AS citext CHECK (VALUE <> '');

-- makes a model over a key of a type; a is a contact, b becomes one, c does not
CREATE FUNCTION make(type text, a text, b text, c text, event_type text DEFAULT NULL)
	RETURNS TABLE (key_type text, contact text, score float8, by_text float8, replayed float8, has_contact bool)
	LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('CREATE TABLE contact (key %s PRIMARY KEY, vip bool)', type);
	EXECUTE format('CREATE TABLE event (who %s, at timestamptz)', coalesce(event_type, type));
	CREATE INDEX ON event (who, at);
	EXECUTE format('INSERT INTO contact VALUES (%L, true)', a);
	EXECUTE format('INSERT INTO event VALUES (%L, %L)', b, '2026-03-01');
	PERFORM leadscore.create_model('keys', 'contact');
	PERFORM leadscore.attach('keys', 'event', 'who', 'at');
	INSERT INTO leadscore.lead_rule (model, name, points) VALUES ('keys', 'event', 1);
	INSERT INTO leadscore.lead_rule (model, name, kind, condition, points) VALUES ('keys', 'vip', 'profile', 'vip', 10);
	EXECUTE format('INSERT INTO event VALUES (%L, %L), (%L, %L), (%L, %L), (%L, %L)',
		a, '2026-03-01', c, '2026-03-01', a, '2026-03-01', NULL, '2026-03-01');
	EXECUTE format('INSERT INTO contact VALUES (%L, false)', b);
	RETURN QUERY EXECUTE 'SELECT pg_typeof(s.contact_id)::text, s.contact_id::text, s.score, leadscore.score(''keys'', s.contact_id::text),
		leadscore.replay(''keys'', s.contact_id), s.has_contact FROM leadscore.score_keys s ORDER BY s.contact_id';
	IF EXISTS (SELECT FROM leadscore.verify('keys')) THEN
		RAISE WARNING 'verify finds something';
	END IF;
	PERFORM leadscore.drop_model('keys');
	DROP TABLE contact, event;
END $$;

-- a has two events and is a VIP: 12; b and c have one
SELECT * FROM make('int2', '1', '2', '-3');
SELECT * FROM make('int4', '1', '2', '2147483647');
SELECT * FROM make('int8', '1', '2', '9223372036854775807');
SELECT * FROM make('numeric', '1.0', '2', '3');
SELECT * FROM make('uuid', '00000000-0000-0000-0000-00000000000a', '00000000-0000-0000-0000-00000000000b', 'ffffffff-0000-0000-0000-00000000000c');
SELECT * FROM make('text', 'a@x', '', 'ö''"\');
SELECT * FROM make('text COLLATE "C"', 'a@x', 'B@x', 'A@x');
SELECT * FROM make('varchar(8)', 'a@x', 'A@x', 'b@x');
SELECT * FROM make('char(4)', 'a', 'b  ', 'c');
SELECT * FROM make('citext', 'A@x', 'b@X', 'C@x');
SELECT * FROM make('customer_no', '1', '2', '3');
SELECT * FROM make('handle', 'Ann', 'BOB', 'cy');
SELECT * FROM make('timestamptz', '2026-01-01 00:00+00', '2026-01-02 00:00+00', '2026-01-03 00:00+00');

-- the contact column has another type, which casts to the key's implicitly
SELECT * FROM make('int8', '1', '2', '3', 'int4');
SELECT * FROM make('int4', '1', '2', '3', 'int2');
SELECT * FROM make('text', 'a', 'b', 'c', 'varchar(8)');
SELECT * FROM make('varchar(8)', 'a', 'b', 'c', 'text');
SELECT * FROM make('citext', 'Ann', 'bob', 'cy', 'handle');
SELECT * FROM make('customer_no', '1', '2', '3', 'int4');
SELECT * FROM make('int4', '1', '2', '3', 'customer_no');
SELECT * FROM make('text', 'a', 'b', 'c', 'citext');
-- and one that does not
SELECT * FROM make('int4', '1', '2', '3', 'int8');
SELECT * FROM make('int8', '1', '2', '3', 'text');

-- citext: one contact, however it is written
CREATE TABLE person (name handle PRIMARY KEY);
CREATE TABLE hit (name text, at timestamptz);
CREATE INDEX ON hit (name);
INSERT INTO person VALUES ('Ann');
SELECT leadscore.create_model('nocase', 'person');
-- text casts to citext by assignment only, so the column must be citext
SELECT leadscore.attach('nocase', 'hit', 'name', 'at');
ALTER TABLE hit ALTER COLUMN name TYPE citext;
SELECT leadscore.attach('nocase', 'hit', 'name', 'at');
INSERT INTO leadscore.lead_rule (model, name, points) VALUES ('nocase', 'hit', 1);
INSERT INTO hit VALUES ('ANN', '2026-03-01'), ('ann', '2026-03-01'), ('Bob', '2026-03-01');
INSERT INTO hit VALUES ('aNN', '2026-03-01'), ('BOB', '2026-03-01');
SELECT contact_id, score, has_contact FROM leadscore.score_nocase ORDER BY contact_id;
SELECT leadscore.score('nocase', 'aNn'), leadscore.score('nocase', 'ann'::citext),
	leadscore.score('nocase', 'ann'::varchar), leadscore.score('nocase', 'ANN'::handle),
	leadscore.score('nocase', 'Zoe');
SELECT * FROM leadscore.verify('nocase');
SELECT leadscore.drop_model('nocase');

--
-- contacts asked for as literals and as values of types
--
CREATE TABLE contact (id int8 PRIMARY KEY, email text UNIQUE, company int);
CREATE TABLE mail (id int PRIMARY KEY, contact int8, sent_at timestamptz, opened_at timestamptz, clicked_at timestamptz);
CREATE INDEX ON mail (contact);
CREATE TABLE visit (contact int4, url text, at timestamp);
CREATE INDEX ON visit (contact);
INSERT INTO contact VALUES (1, 'ann@x', 7), (2, 'bob@x', 7), (3, 'cy@x', 8);
SELECT leadscore.create_model('ids', 'contact');
SELECT leadscore.create_model('mails', 'contact', key => 'email');
SELECT leadscore.attach('ids', 'visit', 'contact', 'at');
INSERT INTO leadscore.lead_rule (model, name, condition, points) VALUES ('ids', 'prices', $$url = '/prices'$$, 5);
INSERT INTO visit VALUES (1, '/prices', '2026-03-01');
SELECT leadscore.score('ids', 1), leadscore.score('ids', '1'), leadscore.score('ids', 1::int2), leadscore.score('ids', 1::int8),
	leadscore.score('ids', 1::numeric), leadscore.score('ids', '1'::text), leadscore.score('ids', NULL::int8);
PREPARE asked AS SELECT leadscore.score('ids', $1), leadscore.score('mails', $2);
EXECUTE asked (1, 'ann@x');
PREPARE typed (int8, text) AS SELECT leadscore.score('ids', $1), leadscore.replay('ids', $1),
	leadscore.score('mails', $2), count(*)
  FROM leadscore.explain('ids', $1);
EXECUTE typed (1, 'ann@x');
SELECT id, leadscore.score('ids', id), leadscore.score('mails', email) FROM contact ORDER BY id;
SELECT leadscore.score('ids', 'one');
SELECT leadscore.score('ids', true);
SELECT leadscore.score('mails', 1);
SELECT leadscore.score('nobody', 1);
SELECT leadscore.score('id', 1);
SELECT leadscore.score('ids', 1, 'infinity');

--
-- one table as three sources: what was sent, opened and clicked
--
SELECT leadscore.attach('ids', 'mail', 'contact', 'sent_at', source => 'sent');
SELECT leadscore.attach('ids', 'mail', 'contact', 'opened_at', source => 'opened');
SELECT leadscore.attach('ids', 'mail', 'contact', 'clicked_at', source => 'clicked');
INSERT INTO leadscore.lead_rule (model, name, source, points, award, time_frame) VALUES
	('ids', 'sent', 'sent', -1, 'each', '7 days'), ('ids', 'opened', 'opened', 3, 'each', NULL), ('ids', 'clicked', 'clicked', 7, 'once', NULL);
INSERT INTO leadscore.lead_rule (model, name, kind, points, idle) VALUES ('ids', 'idle', 'absence', -100, '30 days');
INSERT INTO mail VALUES (1, 1, '2026-02-20'), (2, 1, '2026-02-27'), (3, 1, '2026-02-28'), (4, 2, '2026-02-28');
-- 1: prices 5, two mails in 7 days; 2: one mail
SELECT contact_id, score, last_event_at FROM leadscore.score_ids ORDER BY contact_id;
UPDATE mail SET opened_at = '2026-03-01 10:00+00' WHERE id IN (2, 4);
UPDATE mail SET opened_at = '2026-03-01 11:00+00', clicked_at = '2026-03-01 11:01+00' WHERE id = 3;
-- 1: 5 - 2 + 6 + 7; 2: -1 + 3
SELECT contact_id, score, leadscore.replay('ids', contact_id), last_event_at FROM leadscore.score_ids ORDER BY contact_id;
UPDATE mail SET opened_at = NULL WHERE id = 2;
UPDATE mail SET contact = 2 WHERE id = 3;
-- 1: 5 - 1; 2: -2 + 6 + 7
SELECT contact_id, score, leadscore.replay('ids', contact_id), last_event_at FROM leadscore.score_ids ORDER BY contact_id;
DELETE FROM mail WHERE id = 3;
SELECT contact_id, score, leadscore.replay('ids', contact_id), last_event_at FROM leadscore.score_ids ORDER BY contact_id;
SELECT name, matched, points FROM leadscore.explain('ids', 1);
SELECT leadscore.detach('ids', 'sent');
SELECT contact_id, score, leadscore.replay('ids', contact_id) FROM leadscore.score_ids ORDER BY contact_id;
SELECT * FROM leadscore.verify('ids');

--
-- accounts: the company is the contact; and three models are fed by one event
--
CREATE TABLE company (id int PRIMARY KEY, name text);
CREATE TABLE deal (id int PRIMARY KEY, company int, contact int8, email text, closed_at date, amount numeric);
CREATE INDEX ON deal (company);
CREATE INDEX ON deal (contact);
CREATE INDEX ON deal (email);
INSERT INTO company VALUES (7, 'Seven'), (8, 'Eight');
SELECT leadscore.create_model('accounts', 'company', categories => '{revenue}');
SELECT leadscore.attach('accounts', 'deal', 'company', 'closed_at');
SELECT leadscore.attach('ids', 'deal', 'contact', 'closed_at');
SELECT leadscore.attach('mails', 'deal', 'email', 'closed_at');
INSERT INTO leadscore.lead_rule (model, name, category, source, points, weight) VALUES
	('accounts', 'revenue', 'revenue', 'deal', 0.001, 'amount'), ('ids', 'deal', 'engagement', 'deal', 1000, NULL), ('mails', 'deal', 'fit', 'deal', 1, NULL);
INSERT INTO deal VALUES
	(1, 7, 1, 'ann@x', '2026-02-01', 5000), (2, 7, 2, 'bob@x', '2026-02-02', 7000),
	(3, 8, NULL, 'x@y', '2026-02-02', 1), (4, 7, 1, NULL, '2026-02-02', 100);
SELECT contact_id, score FROM leadscore.score_accounts ORDER BY contact_id;
SELECT contact_id, score FROM leadscore.score_ids ORDER BY contact_id;
SELECT contact_id, score FROM leadscore.score_mails ORDER BY contact_id;
UPDATE deal SET company = 8, contact = 3, email = 'cy@x' WHERE id = 2;
SELECT contact_id, score FROM leadscore.score_accounts ORDER BY contact_id;
SELECT contact_id, score FROM leadscore.score_ids ORDER BY contact_id;
SELECT contact_id, score FROM leadscore.score_mails ORDER BY contact_id;
SELECT m, v.* FROM unnest('{accounts,ids,mails}'::text[]) m, leadscore.verify(m) v;

-- the contact table feeds its own model: signed up, and last seen
ALTER TABLE contact ADD signed_up date, ADD seen timestamptz;
SELECT leadscore.create_model('own', 'contact');
SELECT leadscore.attach('own', 'contact', 'id', 'signed_up', source => 'sign-up');
SELECT leadscore.attach('own', 'contact', 'id', 'seen', source => 'seen');
INSERT INTO leadscore.lead_rule (model, name, source, points, decay, decay_interval) VALUES
	('own', 'seen', 'seen', 8, 'half_life', '1 day'), ('own', 'new', 'sign-up', 100, 'half_life', '10 days');
INSERT INTO leadscore.lead_rule (model, name, kind, condition, points) VALUES ('own', 'x', 'profile', $$email LIKE '%@x'$$, 1000);
UPDATE contact SET signed_up = '2026-02-20', seen = '2026-03-01' WHERE id < 3;
INSERT INTO contact VALUES (4, 'dee@x', 8, '2026-03-02', '2026-03-02');
-- 50 + 4 + 1000; 1000; 100 + 8 + 1000
SELECT contact_id, score, leadscore.replay('own', contact_id) FROM leadscore.score_own ORDER BY contact_id;
UPDATE contact SET seen = '2026-03-02', email = 'ann@y' WHERE id = 1;
DELETE FROM contact WHERE id = 4;
SELECT contact_id, score, leadscore.replay('own', contact_id) FROM leadscore.score_own ORDER BY contact_id;
SELECT m, v.* FROM unnest('{accounts,ids,mails,own}'::text[]) m, leadscore.verify(m) v;
SELECT leadscore.drop_model(m) FROM unnest('{accounts,ids,mails,own}'::text[]) m;

-- composite keys with nulls in them, also after an attribute was added
CREATE TYPE pair AS (a int, b int);
CREATE TABLE duo (id pair PRIMARY KEY, next pair UNIQUE);
CREATE TABLE duo_act (duo pair, visitor text, at timestamptz NOT NULL);
CREATE INDEX ON duo_act (duo, at);
CREATE INDEX ON duo_act (visitor, at);
SELECT leadscore.create_model('duos', 'duo');
SELECT leadscore.attach('duos', 'duo_act', 'duo', 'at', visitor => 'visitor');
INSERT INTO leadscore.lead_rule (model, name, points) VALUES ('duos', 'act', 1);
INSERT INTO duo (id) VALUES ('(1,1)'), ('(2,)'), ('(,)');
INSERT INTO duo_act VALUES ('(1,1)', 'v', '2026-02-01'), ('(2,)', 'v', '2026-02-01'), ('(,)', 'v', '2026-02-01'), (NULL, 'v', '2026-02-01');
SELECT leadscore.identify('duos', 'v', '(2,)'::pair);
SELECT contact_id, score, leadscore.replay('duos', contact_id) FROM leadscore.score_duos ORDER BY contact_id;
SELECT * FROM leadscore.verify('duos');
ALTER TYPE pair ADD ATTRIBUTE c int;
INSERT INTO duo_act VALUES ('(1,1,)', 'v', '2026-02-01');
SELECT * FROM leadscore.verify('duos');
SELECT leadscore.rescore('duos');
UPDATE leadscore.lead_rule SET condition = 'visitor = ''v''' WHERE model = 'duos';
SELECT contact_id, score, leadscore.replay('duos', contact_id) FROM leadscore.score_duos ORDER BY contact_id;
UPDATE duo SET next = id WHERE (id).b IS NOT DISTINCT FROM NULL;
UPDATE leadscore.lead_model SET key = 'next' WHERE model = 'duos';
UPDATE duo SET next = id;
UPDATE duo SET next = NULL WHERE (id).a = 1;
UPDATE leadscore.lead_model SET key = 'next' WHERE model = 'duos';
UPDATE duo SET next = id;
UPDATE leadscore.lead_model SET key = 'next' WHERE model = 'duos';
ALTER TYPE pair DROP ATTRIBUTE b;
SELECT contact_id, score, leadscore.replay('duos', contact_id) FROM leadscore.score_duos ORDER BY contact_id;
SELECT * FROM leadscore.verify('duos');
SELECT leadscore.drop_model('duos');
DROP SCHEMA keys CASCADE;
