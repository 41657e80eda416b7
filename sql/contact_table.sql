-- A model whose contact table cannot be gone by: it is suspended, and counted again when
-- it can.
CREATE SCHEMA contact_table;
CREATE ROLE regress_ls_ct_owner;
CREATE ROLE regress_ls_ct_other;
GRANT ALL ON SCHEMA contact_table TO regress_ls_ct_owner, regress_ls_ct_other;
SET search_path = contact_table;
SET leadscore.clock = '2026-03-10 12:00+00';
SET client_min_messages = warning;
SET timezone = 'UTC';

SET ROLE regress_ls_ct_owner;
CREATE TABLE guest (id int PRIMARY KEY, plan text);
INSERT INTO guest VALUES (1, 'pro'), (2, 'no'), (3, 'pro');
CREATE TABLE act (guest int, at timestamptz DEFAULT '2026-03-10 00:00+00', k int);
CREATE INDEX ON act (guest, at);
SELECT leadscore.create_model('ct', 'guest');
CREATE FUNCTION stored() RETURNS text LANGUAGE sql AS $$
	SELECT string_agg(contact_id || ':' || score || CASE stage WHEN 'pro' THEN '!' ELSE '' END, ' ' ORDER BY contact_id) FROM leadscore.score_ct $$;
CREATE FUNCTION correct() RETURNS text LANGUAGE sql AS $$
	SELECT stored() || coalesce((SELECT ' BUT ' || string_agg(v::text, ' ') FROM leadscore.verify('ct') v), '')
		|| coalesce((SELECT ' OPEN ' || j.kind FROM leadscore.lead_job j WHERE j.state <> 'done' OR j.error IS NOT NULL LIMIT 1), '') $$;
SELECT leadscore.attach('ct', 'act', 'guest', 'at', on_delete => 'keep');
INSERT INTO leadscore.lead_rule (model, name, points) VALUES ('ct', 'act', 10);
INSERT INTO leadscore.lead_rule (model, name, kind, condition, points) VALUES ('ct', 'pro', 'profile', 'plan = ''pro''', 100);
INSERT INTO leadscore.lead_stage (model, stage, position, enter_at, condition) VALUES ('ct', 'pro', 1, 50, 'plan = ''pro''');
INSERT INTO act (guest, k) VALUES (1, 1), (2, 2);
SELECT correct();

-- row security: nothing is counted, lost or evaluated; what is purged is kept
CREATE POLICY one ON guest USING (id = 1);
ALTER TABLE guest ENABLE ROW LEVEL SECURITY;
SELECT correct();
ALTER TABLE guest FORCE ROW LEVEL SECURITY;
SELECT kind, state, error FROM leadscore.lead_job;
INSERT INTO act (guest, k) VALUES (1, 3), (2, 4);
DELETE FROM act WHERE k = 2;
INSERT INTO guest VALUES (1, 'no') ON CONFLICT (id) DO UPDATE SET plan = 'no';
SELECT stored();
SELECT contact_id, score, stage FROM leadscore.live_ct ORDER BY 1;
SELECT leadscore.refresh('ct');
SELECT leadscore.rescore('ct');
SELECT leadscore.rescore('ct', online => true) > 0;
SELECT leadscore.run_job('ct');
SELECT * FROM leadscore.verify('ct');
SELECT leadscore.replay('ct', 3), leadscore.score('ct', 3);
SELECT leadscore.set_stage('ct', 3, 'unqualified');
-- rules may be changed, tables attached and taken away
INSERT INTO leadscore.lead_rule (model, name, points) VALUES ('ct', 'more', 1);
UPDATE leadscore.lead_rule SET points = 20 WHERE name = 'act';
CREATE TABLE act_2 (guest int, at timestamptz);
INSERT INTO act_2 VALUES (3, '2026-03-10 00:00+00');
CREATE INDEX ON act_2 (guest, at);
SELECT leadscore.attach('ct', 'act_2', 'guest', 'at');
INSERT INTO leadscore.lead_rule (model, name, source, points) VALUES ('ct', 'two', 'act_2', 7);
ALTER TABLE act_2 ADD more int;
SELECT stored();
ALTER TABLE guest NO FORCE ROW LEVEL SECURITY;
SELECT correct();
SELECT leadscore.detach('ct', 'act_2');
SELECT correct();

-- rights
REVOKE SELECT ON guest FROM regress_ls_ct_owner;
INSERT INTO act (guest, k) VALUES (2, 5);
SELECT stored();
GRANT SELECT (plan) ON guest TO regress_ls_ct_owner;
SELECT stored();
GRANT SELECT ON guest TO regress_ls_ct_owner;
SELECT correct();
RESET ROLE;
REVOKE ALL ON SCHEMA contact_table FROM regress_ls_ct_owner;
INSERT INTO act (guest, k) VALUES (2, 6);
SELECT stored();
GRANT ALL ON SCHEMA contact_table TO regress_ls_ct_owner;
SELECT correct();
-- forced, and to be read by an owner who need not mind, until that is taken
ALTER ROLE regress_ls_ct_owner BYPASSRLS;
ALTER TABLE guest FORCE ROW LEVEL SECURITY;
INSERT INTO act (guest, k) VALUES (2, 7);
SELECT correct();
ALTER ROLE regress_ls_ct_owner NOBYPASSRLS;
INSERT INTO act (guest, k) VALUES (2, 8);
SELECT stored();
ALTER ROLE regress_ls_ct_owner BYPASSRLS;
SELECT leadscore.refresh('ct') >= 0;
SELECT correct();
-- nothing was missed, so there is nothing to be counted
ALTER ROLE regress_ls_ct_owner NOBYPASSRLS;
ALTER ROLE regress_ls_ct_owner BYPASSRLS;
INSERT INTO act (guest, k) VALUES (2, 9);
SELECT correct();
-- another owner, to whom the policies apply
BEGIN;
ALTER TABLE guest OWNER TO regress_ls_ct_other;
GRANT SELECT ON act TO regress_ls_ct_other;
SELECT enabled FROM leadscore.lead_model WHERE model = 'ct';
ROLLBACK;
ALTER ROLE regress_ls_ct_owner NOBYPASSRLS;
ALTER TABLE guest DISABLE ROW LEVEL SECURITY;
SELECT correct();

-- what keeps the key unique
ALTER TABLE guest DROP CONSTRAINT guest_pkey;
INSERT INTO guest VALUES (3, 'pro'), (4, 'pro');
SELECT stored();
ALTER TABLE guest ADD PRIMARY KEY (id);
DELETE FROM guest WHERE ctid = (SELECT max(ctid) FROM guest WHERE id = 3);
SELECT stored();
CREATE UNIQUE INDEX CONCURRENTLY one ON guest (id);
SELECT correct();
-- no false alarms
ALTER TABLE guest ADD PRIMARY KEY USING INDEX one;
REINDEX INDEX CONCURRENTLY one;
REINDEX TABLE guest;
CREATE UNIQUE INDEX CONCURRENTLY two ON guest (id);
ALTER TABLE guest DROP CONSTRAINT one;
ALTER INDEX two RENAME TO three;
BEGIN;
DROP INDEX three;
INSERT INTO guest VALUES (5, 'pro');
INSERT INTO act (guest, k) VALUES (5, 10);
CREATE UNIQUE INDEX three ON guest (id);
COMMIT;
SELECT correct();
BEGIN;
SAVEPOINT s;
DROP INDEX three;
ROLLBACK TO s;
COMMIT;
SELECT correct();
-- others that do not do
BEGIN;
CREATE UNIQUE INDEX partial ON guest (id) WHERE plan = 'pro';
CREATE UNIQUE INDEX expression ON guest ((id + 0));
CREATE UNIQUE INDEX wide ON guest (id, plan);
ALTER TABLE guest ADD CONSTRAINT late UNIQUE (id) DEFERRABLE;
CREATE INDEX plain ON guest (id);
DROP INDEX three;
COMMIT;
INSERT INTO act (guest, k) VALUES (5, 11);
SELECT stored();
CREATE UNIQUE INDEX with_more ON guest (id) INCLUDE (plan);
SELECT correct();
-- an event table that roles may read, may not, and may again before anybody has seen to it
RESET ROLE;
ALTER ROLE regress_ls_ct_owner BYPASSRLS;
ALTER TABLE act ENABLE ROW LEVEL SECURITY;
ALTER TABLE act FORCE ROW LEVEL SECURITY;
ALTER ROLE regress_ls_ct_owner NOBYPASSRLS;
INSERT INTO act (guest, k) VALUES (5, 14);
ALTER ROLE regress_ls_ct_owner BYPASSRLS;
SELECT leadscore.refresh('ct') >= 0;
SELECT correct();
ALTER TABLE act DISABLE ROW LEVEL SECURITY;
ALTER ROLE regress_ls_ct_owner NOBYPASSRLS;
-- an event table in a schema that the owner may not use
CREATE SCHEMA contact_table_events;
GRANT USAGE ON SCHEMA contact_table_events TO regress_ls_ct_owner;
ALTER TABLE act SET SCHEMA contact_table_events;
SELECT correct();
REVOKE USAGE ON SCHEMA contact_table_events FROM regress_ls_ct_owner;
INSERT INTO contact_table_events.act (guest, k) VALUES (5, 15);
SELECT correct();
GRANT USAGE ON SCHEMA contact_table_events TO regress_ls_ct_owner;
SELECT correct();
-- by moving there as well, and neither is one attached
CREATE SCHEMA contact_table_closed;
ALTER TABLE contact_table_events.act SET SCHEMA contact_table_closed;
SELECT leadscore.detach('ct', 'act');
SELECT leadscore.attach('ct', 'contact_table_closed.act', 'guest', 'at', on_delete => 'keep');
ALTER TABLE contact_table_closed.act SET SCHEMA contact_table;
SELECT leadscore.attach('ct', 'act', 'guest', 'at', on_delete => 'keep');
SELECT correct();
DROP SCHEMA contact_table_closed;
DROP SCHEMA contact_table_events;
-- how it fails is told to those who may read the contact table
ALTER ROLE regress_ls_ct_owner BYPASSRLS;
ALTER TABLE guest ENABLE ROW LEVEL SECURITY;
ALTER TABLE guest FORCE ROW LEVEL SECURITY;
CREATE FUNCTION fails() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'plan of guest 5 is pro'; END $$;
CREATE TRIGGER fails BEFORE INSERT ON leadscore_internal.lead_job FOR EACH ROW EXECUTE FUNCTION fails();
ALTER ROLE regress_ls_ct_owner NOBYPASSRLS;
SET ROLE regress_ls_ct_owner;
CREATE TABLE mine ();
SET ROLE regress_ls_ct_other;
CREATE TABLE theirs ();
RESET ROLE;
ALTER ROLE regress_ls_ct_owner BYPASSRLS;
DROP TRIGGER fails ON leadscore_internal.lead_job;
ALTER TABLE guest DISABLE ROW LEVEL SECURITY;
ALTER TABLE leadscore.due_ct DROP CONSTRAINT due_ct_pkey;
GRANT INSERT ON act TO regress_ls_ct_owner, regress_ls_ct_other;
SET ROLE regress_ls_ct_owner;
INSERT INTO act (guest, k) VALUES (5, 16);
SET ROLE regress_ls_ct_other;
INSERT INTO act (guest, k) VALUES (5, 17);
RESET ROLE;
ALTER TABLE leadscore.due_ct ADD PRIMARY KEY (due_at, drift, contact_id);
ALTER ROLE regress_ls_ct_owner NOBYPASSRLS;
SELECT leadscore.rescore('ct') > 0;
SELECT correct();
-- one suspended model is no reason for another to stop
CREATE TABLE client (id int PRIMARY KEY);
INSERT INTO client VALUES (5);
SELECT leadscore.create_model('ct_2', 'client');
SELECT leadscore.attach('ct_2', 'act', 'guest', 'at');
INSERT INTO leadscore.lead_rule (model, name, points) VALUES ('ct_2', 'act', 1);
DROP INDEX with_more;
INSERT INTO act (guest, k) VALUES (5, 13);
SELECT contact_id, score FROM leadscore.score_ct_2 ORDER BY 1;
SELECT leadscore.drop_model('ct');
SELECT leadscore.drop_model('ct_2');
SET client_min_messages = error;
DROP SCHEMA contact_table CASCADE;
DROP ROLE regress_ls_ct_owner, regress_ls_ct_other;
