-- One key can have several texts, and settings decide how many types are written.
-- Whatever is kept about a contact is found by its key: rows of the history and the
-- outbox, worker errors, merges, identities, jobs; and everything goes with erase_contact().
\pset null -
SET client_min_messages = error;
SET leadscore.clock = '2026-03-02 00:00+00';
CREATE EXTENSION IF NOT EXISTS citext SCHEMA public;
CREATE SCHEMA texts;
SET search_path = texts, public;

-- a session writes values as no other one does
CREATE PROCEDURE session(n int) LANGUAGE plpgsql AS $$
DECLARE
	settings text[] := '{
		{ISO,postgres,hex,1,UTC}, {German,iso_8601,escape,0,Asia/Tokyo}, {"SQL, DMY",sql_standard,escape,-5,America/New_York}}';
BEGIN
	PERFORM set_config('DateStyle', settings[n][1], false), set_config('IntervalStyle', settings[n][2], false),
		set_config('bytea_output', settings[n][3], false), set_config('extra_float_digits', settings[n][4], false),
		set_config('TimeZone', settings[n][5], false);
END $$;

-- rows of leadscore's tables that have a contact, but for the definitions
CREATE FUNCTION left_of(key_type text, key text) RETURNS TABLE (place text, n bigint) LANGUAGE plpgsql AS $$
DECLARE
	r record;
BEGIN
	FOR r IN SELECT c.relname, a.attname FROM pg_class c JOIN pg_attribute a ON attrelid = c.oid
		WHERE relnamespace = 'leadscore'::regnamespace AND relkind = 'r' AND a.attname IN ('contact_id', 'source_id', 'target_id', 'merged_into', 'visitor')
		AND format_type(atttypid, NULL) = key_type ORDER BY 1, 2
	LOOP
		place := r.relname || '.' || r.attname;
		EXECUTE format('SELECT count(*) FROM leadscore.%I WHERE %I = %L::%s', r.relname, r.attname, key, key_type) INTO n;
		IF n > 0 THEN RETURN NEXT; END IF;
	END LOOP;
	SELECT count(*) INTO n FROM leadscore.lead_rule_error WHERE contact IS NOT NULL;
	place := 'lead_rule_error';
	IF n > 0 THEN RETURN NEXT; END IF;
END $$;

-- all that can happen to a contact: a1 and a2 are two texts of one key, b another
CREATE FUNCTION try(type text, a1 text, a2 text, b text, OUT what text, OUT result text) RETURNS SETOF record LANGUAGE plpgsql AS $$
DECLARE
	key_type text;
	n bigint;
	phase text;
BEGIN
	CALL session(1);
	EXECUTE format('CREATE TABLE guest (key %s PRIMARY KEY, n int)', type);
	EXECUTE format('CREATE TABLE stay (guest %s, cookie %1$s, at timestamptz, n int)', type);
	CREATE INDEX ON stay (guest, at);
	CREATE INDEX ON stay (cookie, at);
	SELECT format_type(atttypid, NULL) INTO key_type FROM pg_attribute WHERE attrelid = 'guest'::regclass AND attname = 'key';
	PERFORM leadscore.create_model('hotel', 'guest');
	PERFORM leadscore.attach('hotel', 'stay', 'guest', 'at', visitor => 'cookie');
	INSERT INTO leadscore.lead_rule (model, name, points, decay, decay_interval) VALUES ('hotel', 'stay', 10, 'half_life', '1 day');
	INSERT INTO leadscore.lead_rule (model, name, source, condition, points) VALUES ('hotel', 'fails', 'stay', '1 / n > 0', 1);
	INSERT INTO leadscore.lead_stage (model, stage, position, enter_at) VALUES ('hotel', 'hot', 1, 10);
	INSERT INTO leadscore.lead_action (model, name, occasion, stage) VALUES ('hotel', 'tell', 'stage_entered', 'hot');
	-- the contact has the first text, what it does the second, and the sessions differ
	EXECUTE format('INSERT INTO guest VALUES (%L)', a1);
	CALL session(2);
	EXECUTE format('INSERT INTO stay VALUES (%L, NULL, %L, 0)', a2, '2026-03-02 00:00+00');
	CALL session(3);
	what := 'history';
	SELECT string_agg(concat_ws(' ', contact, from_stage, to_stage, cause), ', ' ORDER BY changed_at,
		to_stage) INTO result
	  FROM leadscore.lead_stage_history WHERE model = 'hotel';
	RETURN NEXT;
	what := 'outbox'; SELECT string_agg(concat_ws(' ', contact, payload->>'contact', action, stage), ', ') INTO result FROM leadscore.lead_outbox; RETURN NEXT;
	what := 'taken'; SELECT string_agg(contact, ', ') INTO result FROM leadscore.outbox_take('c', lease => '1 hour'); RETURN NEXT;
	what := 'rule error'; SELECT string_agg(contact, ', ') INTO result FROM leadscore.lead_rule_error; RETURN NEXT;
	what := 'by its key'; EXECUTE format('SELECT count(*) FROM leadscore.history_hotel WHERE contact_id = %L::%s', a2, type) INTO result; RETURN NEXT;
	what := 'history_of';
	SELECT string_agg(concat_ws(' ', kind, key, to_stage), ', ' ORDER BY changed_at, to_stage) INTO result
	  FROM leadscore.history_of('hotel', a2);
	RETURN NEXT;
	what := 'upcoming';
	SELECT string_agg(concat_ws(' ', contact, from_stage, to_stage), ', ') INTO result
	  FROM leadscore.upcoming('hotel', leadscore.clock() + interval '2 days');
	RETURN NEXT;
	what := 'forecast';
	SELECT string_agg(concat_ws(' ', f.what, from_value, to_value), ', ') INTO result
	  FROM leadscore.forecast('hotel', a2, leadscore.clock() + interval '2 days') f;
	RETURN NEXT;
	PERFORM leadscore.set_stage('hotel', a2, 'unqualified', 'by hand');
	PERFORM leadscore.release_stage('hotel', a1);
	-- who is whose
	EXECUTE format('INSERT INTO stay VALUES (%L, NULL, %L), (NULL, %L, %L)', b, '2026-03-02 00:00+00', a2, '2026-03-02 00:00+00');
	CALL session(2);
	PERFORM leadscore.identify('hotel', a1, a2);
	PERFORM leadscore.merge_contacts('hotel', a2, b);
	CALL session(1);
	what := 'identities';
	SELECT string_agg(concat_ws(' ', i.kind, i.key), ', ' ORDER BY i.kind) INTO result
	  FROM leadscore.identities('hotel', b) i;
	RETURN NEXT;
	what := 'history_of all';
	SELECT string_agg(concat_ws(' ', h.kind, key, to_stage, reason), ', ' ORDER BY changed_at, h.kind, to_stage,
		reason) INTO result
	  FROM leadscore.history_of('hotel', a2) h;
	RETURN NEXT;
	what := 'score'; result := concat_ws(' ', leadscore.score('hotel', a2), leadscore.score('hotel', b), leadscore.replay('hotel', a1)); RETURN NEXT;
	PERFORM leadscore.unmerge('hotel', b);
	PERFORM leadscore.unidentify('hotel', a2);
	-- a job that goes by the order of keys
	CALL session(3);
	PERFORM leadscore.rescore('hotel', true);
	LOOP
		CALL session(1 + (random() * 2)::int);
		phase := leadscore.run_job('hotel', 1);
		EXIT WHEN phase IS NULL;
	END LOOP;
	what := 'verify'; SELECT string_agg(concat_ws(' ', contact, status), ', ') INTO result FROM leadscore.verify('hotel'); RETURN NEXT;
	-- the worker failed on it, and a job is at it
	SET session_replication_role = replica;
	EXECUTE format('INSERT INTO leadscore.worker_error_hotel VALUES (%L, 1, now(), now(), now(), %L, %L)', a2, '22012', 'division by zero');
	SET session_replication_role = origin;
	what := 'worker error'; SELECT string_agg(contact, ', ') INTO result FROM leadscore.lead_worker_error; RETURN NEXT;
	-- all of it goes
	PERFORM leadscore.identify('hotel', a2, a1);
	DELETE FROM stay;
	DELETE FROM guest;
	CALL session(2);
	what := 'there'; SELECT string_agg(place, ', ') INTO result FROM left_of(key_type, a1) l; RETURN NEXT;
	what := 'erased'; result := leadscore.erase_contact('hotel', a2) > 0; RETURN NEXT;
	what := 'left'; SELECT string_agg(place || ': ' || l.n, ', ') INTO result FROM left_of(key_type, a1) l; RETURN NEXT;
	PERFORM leadscore.drop_model('hotel');
	DROP TABLE guest, stay;
END $$;

-- a guest who writes his address as he likes
CREATE TABLE guest (mail citext PRIMARY KEY);
CREATE TABLE stay (mail citext, at timestamptz);
CREATE INDEX ON stay (mail, at);
SELECT leadscore.create_model('hotel', 'guest');
SELECT leadscore.attach('hotel', 'stay', 'mail', 'at');
INSERT INTO leadscore.lead_rule (model, name, points) VALUES ('hotel', 'stay', 10);
INSERT INTO leadscore.lead_stage (model, stage, position, enter_at) VALUES ('hotel', 'hot', 1, 10);
INSERT INTO leadscore.lead_action (model, name, occasion, stage) VALUES ('hotel', 'tell', 'stage_entered', 'hot');
INSERT INTO guest VALUES ('Zoe@Example.com');
INSERT INTO stay VALUES ('zoe@example.com', leadscore.clock());
DELETE FROM stay;
DELETE FROM guest;
SELECT contact, from_stage, to_stage FROM leadscore.lead_stage_history ORDER BY to_stage;
SELECT leadscore.erase_contact('hotel', 'zoe@example.com');
SELECT (SELECT count(*) FROM leadscore.history_hotel) AS history, (SELECT count(*) FROM leadscore.outbox_hotel) AS outbox;
SELECT leadscore.drop_model('hotel');
DROP TABLE guest, stay;

SELECT * FROM try('citext', 'Zoe@Example.com', 'zoe@example.com', 'bob@example.com');
SELECT * FROM try('numeric', '1.0', '1.00', '2');
SELECT * FROM try('bytea', '\xdead00ff', E'\\336\\255\\000\\377', '\x01');
SELECT * FROM try('date', '2026-02-01', '1 Feb 2026', '2026-02-02');
SELECT * FROM try('timestamp', '2026-02-01 10:00', '1 Feb 2026 10:00', '2026-02-02 10:00');
SELECT * FROM try('timestamptz', '2026-02-01 10:00+00', '2026-02-01 19:00+09', '2026-02-02 10:00+00');
SELECT * FROM try('interval', '1 day 02:00', 'P1DT2H', '2 days');
SELECT * FROM try('interval', '1 month', '30 days', '2 months');
SELECT * FROM try('float8', '0.1', '1e-1', '0.30000000000000004');
SELECT * FROM try('char(5)', 'a', 'a  ', 'b');
SELECT * FROM try('timestamptz[]', '{2026-02-01 10:00+00}', '{2026-02-01 19:00+09}', '{2026-02-02 10:00+00}');
SELECT * FROM try('daterange', '[2026-02-01,2026-02-03)', '[2026-02-01,2026-02-02]', '[2026-02-05,2026-02-06)');
CREATE TYPE pair AS (d date, t citext);
SELECT * FROM try('pair', '(2026-02-01,Zoe)', '(2026-02-01,zoe)', '(2026-02-02,Bob)');

RESET session_replication_role;
DROP SCHEMA texts CASCADE;
