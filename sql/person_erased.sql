-- Erasure of a contact that others were merged into, and that visitors were
-- identified as; of a visitor: no table of leadscore's names any of them afterwards.
SET timezone = 'UTC';
SET datestyle = 'ISO';
SET extra_float_digits = 0;
\pset null -
SET client_min_messages = warning;
SET leadscore.clock = '2026-03-02 12:00+00';
CREATE SCHEMA erase;
SET search_path = erase;
CREATE TABLE contact (id text PRIMARY KEY, country text);
CREATE TABLE web (contact text, cookie text, at timestamptz, page text, n text);
CREATE INDEX ON web (contact, at);
CREATE INDEX ON web (cookie, at);
INSERT INTO contact SELECT 'person-' || g, 'DE' FROM unnest('{a,b,c,d,e}'::text[]) g;
SELECT leadscore.create_model('e', 'contact');
UPDATE leadscore.lead_model SET daily = true WHERE model = 'e';
SELECT leadscore.attach('e', 'web', 'contact', 'at', 'page', visitor => 'cookie', on_delete => 'keep');
UPDATE leadscore.lead_model SET daily = true WHERE model = 'e_visitors';
INSERT INTO leadscore.lead_rule (model, name, event, points, decay, decay_interval) VALUES ('e', 'home', 'home', 30, 'half_life', '1 day');
INSERT INTO leadscore.lead_rule (model, name, condition, points) VALUES ('e', 'fails', '(n || coalesce(contact, cookie))::int > 0', 1);
INSERT INTO leadscore.lead_rule (model, name, kind, condition, points) VALUES ('e', 'german', 'profile', $$country = 'DE'$$, 5);
INSERT INTO leadscore.lead_stage (model, stage, position, enter_at) VALUES ('e', 'warm', 1, 20);
INSERT INTO leadscore.lead_action (model, name, occasion) VALUES ('e', 'tell', 'stage_entered');
INSERT INTO web SELECT 'person-' || g, NULL, '2026-03-01 12:00+00', 'home', 'x' FROM unnest('{a,b,c,d,e}'::text[]) g;
INSERT INTO web SELECT NULL, 'cookie-' || g, '2026-03-01 13:00+00', 'home', 'x' FROM generate_series(1, 5) g;
SELECT leadscore.set_stage('e', 'person-a', 'warm', 'a call');
SET leadscore.clock = '2026-03-03 12:00+00';
SELECT leadscore.write_days('e'), leadscore.write_days('e_visitors');
SELECT leadscore.refresh('e') > 0 AS done;
-- c into b, b into a; visitor 1 is a, 2 is c; d and visitors 4 and 5 are others
SELECT leadscore.identify('e', 'cookie-2', 'person-c');
SELECT leadscore.merge_contacts('e', 'person-b', 'person-c');
SELECT leadscore.merge_contacts('e', 'person-a', 'person-b');
SELECT leadscore.identify('e', 'cookie-1', 'person-a');
SELECT leadscore.identify('e', 'cookie-4', 'person-d');
BEGIN ISOLATION LEVEL REPEATABLE READ;
INSERT INTO web SELECT 'person-' || g, NULL, '2026-03-02 12:00+00', 'home', 'x' FROM unnest('{a,b,c,d,e}'::text[]) g;
INSERT INTO web SELECT NULL, 'cookie-' || g, '2026-03-02 13:00+00', 'home', 'x' FROM generate_series(1, 5) g;
COMMIT;
SET session_replication_role = replica;
INSERT INTO leadscore.worker_error_e VALUES
	('person-b', 1, now(), now(), now(), '22012', 'division by zero'),
	('person-d', 1, now(), now(), now(), '22012', 'after "person-b"');
INSERT INTO leadscore.worker_error_e_visitors VALUES ('cookie-2', 1, now(), now(), now(), '22012', 'of "cookie-2"');
RESET session_replication_role;
WITH j AS (INSERT INTO leadscore_internal.lead_job (model, kind, requested_by, state, phase)
	VALUES ('e', 'refresh', 'somebody', 'running', 'refresh') RETURNING job_id)
	INSERT INTO leadscore_internal.lead_job_range (job_id, range, model, phase, position, error)
		SELECT job_id, 1, 'e', 'refresh', 'person-b', 'could not do "person-c"' FROM j;
CREATE FUNCTION found(text, OUT place text, OUT rows bigint) RETURNS SETOF record LANGUAGE plpgsql AS $$
	DECLARE t regclass;
	BEGIN
		FOR t IN SELECT oid FROM pg_class
		 WHERE relnamespace IN ('leadscore'::regnamespace, 'leadscore_internal'::regnamespace) AND relkind = 'r'
		 ORDER BY relname COLLATE "C" LOOP
			EXECUTE format('SELECT count(*) FROM ONLY %s t WHERE t::text ~ $1', t) INTO rows USING $1;
			place := t;
			IF rows > 0 THEN RETURN NEXT; END IF;
		END LOOP;
	END $$;
SELECT place FROM found('person-[abc]|cookie-[12]');
CREATE VIEW scores AS SELECT contact_id, round(score::numeric, 3) AS score, stage FROM leadscore.score_e
	UNION ALL SELECT contact_id, round(score::numeric, 3), stage FROM leadscore.score_e_visitors ORDER BY 1;
CREATE VIEW wrong AS SELECT * FROM leadscore.verify('e') WHERE status = 'wrong' UNION ALL SELECT * FROM leadscore.verify('e_visitors') WHERE status = 'wrong';

-- as long as any of them has rows
SELECT leadscore.erase_contact('e', 'person-b');
SELECT leadscore.erase_contact('e', 'person-a');
DELETE FROM contact WHERE id = 'person-a';
SELECT leadscore.erase_contact('e', 'person-a');
DELETE FROM web WHERE contact = 'person-a';
SELECT leadscore.erase_contact('e', 'person-a');
DELETE FROM web WHERE cookie IN ('cookie-1', 'cookie-2');
SELECT leadscore.erase_contact('e', 'person-a');
DELETE FROM web WHERE contact IN ('person-b', 'person-c');
SELECT leadscore.erase_contact('e', 'person-a');
DELETE FROM contact WHERE id IN ('person-b', 'person-c');
SELECT place FROM found('person-[abc]|cookie-[12]');
SELECT leadscore.erase_contact('e', 'person-a') > 0 AS erased;
SELECT * FROM found('person-[abc]|cookie-[12]');
SELECT leadscore.erase_contact('e', 'person-a');
SELECT model, phase, position, error FROM leadscore.lead_job WHERE state = 'running';
SELECT leadscore.refresh('e') > 0 AS done;
SELECT * FROM found('person-[abc]|cookie-[12]');
SELECT * FROM scores;
SELECT * FROM wrong;
-- new ones of the same names are new
INSERT INTO web VALUES ('person-b', NULL, '2026-03-03 12:00+00', 'home', '1'), (NULL, 'cookie-2', '2026-03-03 12:00+00', 'home', '1');
SELECT * FROM scores WHERE contact_id ~ 'person-[abc]|cookie-[12]';

-- a visitor who is somebody, and of whom something is kept
DELETE FROM web WHERE cookie = 'cookie-4' AND at < '2026-03-02';
SELECT leadscore.erase_contact('e_visitors', 'cookie-4');
DELETE FROM web WHERE cookie = 'cookie-4';
SELECT leadscore.refresh('e') > 0 AS done;
SELECT * FROM scores WHERE contact_id = 'person-d';
SELECT leadscore.erase_contact('e_visitors', 'cookie-4') > 0 AS erased;
SELECT * FROM found('cookie-4');
SELECT * FROM leadscore.identity_e;
SELECT * FROM scores;
SELECT * FROM wrong;
-- one who is nobody
SELECT leadscore.erase_contact('e_visitors', 'cookie-5');
DELETE FROM web WHERE cookie = 'cookie-5';
SELECT leadscore.erase_contact('e_visitors', 'cookie-5') > 0 AS erased;
SELECT * FROM found('cookie-5');
-- one of whom nothing is known
SELECT leadscore.erase_contact('e_visitors', 'cookie-6');
SELECT leadscore.erase_contact('e_visitors', NULL::text);
-- who is merged, by way of one that another was merged into
SELECT leadscore.merge_contacts('e', 'person-d', 'person-e');
SELECT leadscore.identify('e', 'cookie-3', 'person-e');
SELECT * FROM scores;
DELETE FROM web WHERE cookie = 'cookie-3';
SELECT leadscore.refresh('e') > 0 AS done;
SELECT * FROM scores;
SELECT leadscore.erase_contact('e_visitors', 'cookie-3') > 0 AS erased;
SELECT * FROM found('cookie-3');
SELECT * FROM scores;
SELECT * FROM wrong;
DROP VIEW scores, wrong;
SELECT leadscore.drop_model('e');
DROP SCHEMA erase CASCADE;
