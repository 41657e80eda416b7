-- Visitors, who they are, and contacts that are merged and unmerged.
SET client_min_messages = warning;
SET timezone = 'UTC';
SET datestyle = 'ISO';
SET leadscore.clock = '2026-03-02 00:00+00';
CREATE TABLE contact (id int PRIMARY KEY, country text, born timestamptz);
CREATE TABLE web (contact int, cookie text, at timestamptz DEFAULT leadscore.clock(), what text);
CREATE TABLE mail (contact int, at timestamptz DEFAULT leadscore.clock(), what text);
CREATE INDEX ON web (contact, at);
CREATE INDEX ON web (cookie, at);
CREATE INDEX ON mail (contact, at);
INSERT INTO contact SELECT g, 'DE' FROM generate_series(1, 9) g;
SELECT leadscore.create_model('b2b', 'contact', created_at => 'born');

-- what cannot be
SELECT leadscore.identify('b2b', 'c1', 1);
SELECT leadscore.attach('b2b', 'web', 'contact', 'at', 'what', visitor => 'cooky');
SELECT leadscore.attach('b2b', 'web', 'contact', 'at', 'what', visitor => 'contact');
BEGIN;
SELECT leadscore.create_model('b2b_visitors', 'contact');
SELECT leadscore.attach('b2b', 'web', 'contact', 'at', 'what', visitor => 'cookie');
ROLLBACK;
BEGIN;
SELECT leadscore.create_model('a_name_that_is_too_long_for_visitors', 'contact');
SELECT leadscore.attach('a_name_that_is_too_long_for_visitors', 'web', 'contact', 'at', 'what', visitor => 'cookie');
ROLLBACK;

-- visitors are scored as contacts are, by the same rules, those that are there and those to come
INSERT INTO web (cookie, what) VALUES ('c1', 'view'), ('c1', 'view'), ('c2', 'form'), ('c9', 'view'), (NULL, 'view');
INSERT INTO web (contact, cookie, what) VALUES (3, 'c1', 'view');
SELECT leadscore.attach('b2b', 'web', 'contact', 'at', 'what', visitor => 'cookie');
SELECT leadscore.attach('b2b', 'mail', 'contact', 'at', 'what');
INSERT INTO leadscore.lead_rule (model, name, source, event, points, max_points) VALUES ('b2b', 'view', 'web', 'view', 1, 5);
INSERT INTO leadscore.lead_rule (model, name, source, event, points, award, decay, decay_interval)
VALUES ('b2b', 'form', 'web', 'form', 60, 'once', 'half_life', '10 days');
INSERT INTO leadscore.lead_rule (model, name, source, event, points, at_least, time_frame) VALUES ('b2b', 'three', 'web', 'view', 20, 3, '7 days');
INSERT INTO leadscore.lead_rule (model, name, source, event, points) VALUES ('b2b', 'click', 'mail', 'click', 10);
INSERT INTO leadscore.lead_rule (model, name, kind, condition, points) VALUES ('b2b', 'country', 'profile', $$country = 'DE'$$, 0.5);
INSERT INTO leadscore.lead_rule (model, name, kind, points, idle, max_points) VALUES ('b2b', 'silent', 'absence', -2, '5 days', 2);
INSERT INTO leadscore.lead_stage (model, stage, position, enter_at, sticky) VALUES
	('b2b', 'mql', 1, 20, false), ('b2b', 'sql', 2, 50, false), ('b2b', 'customer', 3, 1000, true);
CREATE VIEW contacts AS SELECT contact_id, round(score::numeric, 2) AS score, stage, has_contact, leadscore.score('b2b', contact_id) = score AS now,
	round(leadscore.replay('b2b', contact_id)::numeric, 2) AS replayed FROM leadscore.score_b2b
	 WHERE last_event_at IS NOT NULL OR stage <> 'unqualified' ORDER BY 1;
CREATE VIEW visitors AS SELECT contact_id, round(score::numeric, 2) AS score, stage, has_contact,
	round(leadscore.replay('b2b_visitors', contact_id)::numeric, 2) AS replayed
	FROM leadscore.score_b2b_visitors ORDER BY 1;
CREATE VIEW wrong AS SELECT 'contact' AS kind, v.* FROM leadscore.verify('b2b') v UNION ALL SELECT 'visitor', v.* FROM leadscore.verify('b2b_visitors') v;
SELECT * FROM contacts;
SELECT * FROM visitors;
SELECT * FROM wrong;
SELECT name, matched, points FROM leadscore.explain('b2b_visitors', 'c1') ORDER BY rule_id;
INSERT INTO web (cookie, what) VALUES ('c1', 'view'), ('c3', 'view');
SELECT * FROM visitors;
SELECT from_stage, to_stage, cause FROM leadscore.history_b2b_visitors WHERE contact_id = 'c1';
-- a change of the model is one for them too
BEGIN;
UPDATE leadscore.lead_rule SET points = 2, event = NULL WHERE name = 'view';
UPDATE leadscore.lead_category SET weight = 2 WHERE model = 'b2b' AND category = 'engagement';
UPDATE leadscore.lead_model SET max_score = 100 WHERE model = 'b2b';
SELECT leadscore.refresh() > 0 AS refreshed;
SELECT * FROM visitors;
SELECT * FROM wrong;
SELECT model, max_score FROM leadscore.lead_model ORDER BY 1;
ROLLBACK;
-- but not of the model of the visitors
INSERT INTO leadscore.lead_rule (model, name, event, points) VALUES ('b2b_visitors', 'view', 'view', 1);
INSERT INTO leadscore.lead_stage (model, stage, position, enter_at) VALUES ('b2b_visitors', 'x', 1, 20);
UPDATE leadscore.lead_model SET max_score = 1 WHERE model = 'b2b_visitors';
SELECT leadscore.attach('b2b_visitors', 'mail', 'contact', 'at');
SELECT leadscore.detach('b2b_visitors', 'web');
SELECT leadscore.drop_model('b2b_visitors');
SELECT leadscore.merge_contacts('b2b_visitors', 'c1', 'c2');
-- a row that gets its contact later is not the visitor's any more
BEGIN;
UPDATE web SET contact = 4 WHERE cookie = 'c2';
SELECT * FROM contacts;
SELECT * FROM visitors;
DELETE FROM web WHERE cookie = 'c1' AND contact IS NULL;
SELECT * FROM visitors;
SELECT * FROM wrong;
ROLLBACK;

-- identified: the visitor's events are the contact's, those that are there ...
SELECT leadscore.identify('b2b', 'c1', 3);
SELECT * FROM contacts;
SELECT * FROM visitors;
SELECT * FROM wrong;
SELECT leadscore.score('b2b_visitors', 'c1') IS NULL AS gone;
-- ... and those to come
INSERT INTO web (cookie, what) VALUES ('c1', 'form'), ('c1', 'view');
SELECT round(leadscore.score('b2b', 3)::numeric, 2), round((SELECT score FROM leadscore.live_b2b WHERE contact_id = 3)::numeric, 2) AS live;
SELECT leadscore.refresh('b2b');
SELECT * FROM contacts;
SELECT * FROM visitors;
SELECT * FROM wrong;
-- said again; and said of another
SELECT leadscore.identify('b2b', 'c1', 3);
SELECT leadscore.identify('b2b', 'c1', '4');
SELECT visitor, contact_id, identified_at IS NOT NULL AS at, identified_by = current_user AS by FROM leadscore.identity_b2b;
-- several of one contact; one who has not come yet; a contact that has not either
SELECT leadscore.identify('b2b', 'c2', '3');
SELECT leadscore.identify('b2b', 'c7', 3);
SELECT leadscore.identify('b2b', 'c8', 77);
SELECT * FROM visitors;
INSERT INTO web (cookie, what) VALUES ('c7', 'view'), ('c8', 'form');
SELECT leadscore.score('b2b', 77), (SELECT count(*) FROM leadscore.score_b2b WHERE contact_id = 77) AS rows;
SELECT leadscore.refresh('b2b');
SELECT * FROM contacts;
SELECT kind, key FROM leadscore.identities('b2b', 3) ORDER BY 1, 2;
SELECT * FROM wrong;
SELECT leadscore.rescore('b2b');
SELECT * FROM contacts;
SELECT * FROM visitors;
-- taken back
SELECT leadscore.unidentify('b2b', 'c1');
SELECT leadscore.unidentify('b2b', 'c1');
SELECT * FROM contacts;
SELECT * FROM visitors;
SELECT * FROM wrong;
SELECT from_stage, to_stage, cause FROM leadscore.history_b2b WHERE contact_id = 3;
SELECT from_stage, to_stage, cause FROM leadscore.history_b2b_visitors WHERE contact_id = 'c1';
-- deleted and changed events of one who is identified
DELETE FROM web WHERE cookie = 'c8';
UPDATE web SET what = 'view' WHERE cookie = 'c2';
SELECT leadscore.refresh('b2b');
SELECT * FROM contacts;
SELECT * FROM visitors;
SELECT * FROM wrong;

-- contacts: limits, once and minimum counts are those of both together
INSERT INTO web (contact, what) VALUES (1, 'view'), (1, 'view'), (2, 'view'), (2, 'form'), (1, 'form'), (5, 'view');
INSERT INTO mail (contact, what) VALUES (2, 'click');
SELECT leadscore.set_stage('b2b', 5, 'customer', 'bought');
SELECT * FROM contacts;
SELECT leadscore.merge_contacts('b2b', 1, 1);
SELECT leadscore.merge_contacts('b2b', 1, 4711);
SELECT leadscore.merge_contacts('b2b', '4711', '1');
SELECT leadscore.merge_contacts('b2b', NULL, 1);
SELECT leadscore.merge_contacts('b2b', 1, 2);
SELECT * FROM contacts;
SELECT * FROM wrong;
SELECT leadscore.merge_contacts('b2b', 1, 2);
SELECT leadscore.merge_contacts('b2b', 3, 2);
SELECT leadscore.merge_contacts('b2b', 2, 3);
-- asked about, it is the other
SELECT round(leadscore.score('b2b', 2)::numeric, 2) AS score, round(leadscore.replay('b2b', 2)::numeric, 2) AS replay;
SELECT round(leadscore.score('b2b', 2, '2026-03-01 23:59+00')::numeric, 2) AS before;
-- what comes later, and what goes; its profile does not count
INSERT INTO web (contact, what) VALUES (2, 'view'), (2, 'view'), (6, 'view');
UPDATE contact SET country = 'FR' WHERE id = 2;
SELECT leadscore.score('b2b', 1) = leadscore.replay('b2b', 1) AS pending_is_there;
SELECT leadscore.refresh('b2b');
SELECT * FROM contacts;
SELECT * FROM wrong;
DELETE FROM mail;
SELECT leadscore.refresh('b2b');
SELECT * FROM contacts WHERE contact_id IN (1, 2);
-- under a transaction snapshot, and queued
BEGIN ISOLATION LEVEL REPEATABLE READ;
INSERT INTO mail (contact, what) VALUES (2, 'click'), (1, 'click');
SELECT round(leadscore.score('b2b', 1)::numeric, 2) AS score, round(leadscore.replay('b2b', 1)::numeric, 2) AS replayed;
SELECT contact_id, round(score::numeric, 2) FROM leadscore.live_b2b WHERE contact_id IN (1, 2);
COMMIT;
SELECT leadscore.refresh('b2b');
SELECT * FROM contacts WHERE contact_id IN (1, 2);
SELECT * FROM wrong;
-- a target that is merged takes its sources along, and each is undone by itself
SELECT leadscore.merge_contacts('b2b', 5, 1);
SELECT leadscore.identify('b2b', 'c3', 2);
SELECT leadscore.refresh('b2b');
SELECT source_id, target_id, merged_into FROM leadscore.merged_b2b ORDER BY 1;
SELECT kind, key FROM leadscore.identities('b2b', 2) ORDER BY 1, 2;
SELECT leadscore.identify('b2b', 'c3', 5);
SELECT visitor, contact_id FROM leadscore.identity_b2b WHERE visitor = 'c3';
SELECT * FROM contacts;
SELECT * FROM wrong;
SELECT leadscore.unmerge('b2b', 1);
SELECT source_id, target_id, merged_into FROM leadscore.merged_b2b ORDER BY 1;
SELECT * FROM contacts;
SELECT * FROM wrong;
SELECT leadscore.merge_contacts('b2b', 5, 1);
SELECT leadscore.unmerge('b2b', '2');
SELECT leadscore.unmerge('b2b', 2);
SELECT * FROM contacts;
SELECT leadscore.unmerge('b2b', 1);
SELECT * FROM contacts;
SELECT * FROM wrong;
-- a stage set by hand comes back
SELECT leadscore.merge_contacts('b2b', 6, 5);
SELECT * FROM contacts WHERE contact_id IN (5, 6);
SELECT leadscore.unmerge('b2b', 5);
SELECT * FROM contacts WHERE contact_id IN (5, 6);
SELECT key, from_stage, to_stage, cause, reason FROM leadscore.history_of('b2b', '1');
SELECT leadscore.merge_contacts('b2b', 1, 5);
SELECT kind, key, from_stage, to_stage, cause, reason FROM leadscore.history_of('b2b', '1');
-- time goes on for both together
SET leadscore.clock = '2026-03-20 00:00+00';
SELECT leadscore.refresh('b2b');
SELECT * FROM contacts;
SELECT * FROM visitors;
SELECT * FROM wrong;
SELECT leadscore.unmerge('b2b', 5);
SELECT * FROM wrong;
-- erased: nobody else instead
SELECT leadscore.merge_contacts('b2b', 1, 2);
SELECT leadscore.erase_contact('b2b', 2);
SELECT leadscore.erase_contact('b2b', 1);
SELECT leadscore.unmerge('b2b', 2);
-- the tables are ours to write
DELETE FROM leadscore.merged_b2b;
UPDATE leadscore.identity_b2b SET contact_id = 1;
-- rescored and detached
SELECT leadscore.merge_contacts('b2b', 1, 2);
SELECT leadscore.identify('b2b', 'c9', 1);
SELECT leadscore.rescore('b2b');
SELECT * FROM contacts;
SELECT * FROM wrong;
ALTER TABLE web RENAME COLUMN cookie TO visitor;
ALTER TABLE web RENAME COLUMN contact TO who;
INSERT INTO web (visitor, what) VALUES ('c9', 'form'), ('c10', 'form');
SELECT leadscore.refresh('b2b');
SELECT * FROM contacts;
SELECT * FROM visitors;
SELECT * FROM wrong;
-- another type of the key
DROP VIEW contacts, visitors;
ALTER TABLE mail ALTER contact TYPE bigint;
ALTER TABLE web ALTER who TYPE bigint;
ALTER TABLE contact ALTER id TYPE bigint;
SELECT * FROM leadscore.score_b2b_visitors WHERE false;
SELECT leadscore.attach('b2b', 'mail', 'contact', 'at', 'what');
SELECT leadscore.rescore('b2b');
SELECT contact_id, round(score::numeric, 2), pg_typeof(contact_id) FROM leadscore.score_b2b WHERE contact_id IN (1, 2);
SELECT source_id, pg_typeof(target_id), pg_typeof(merged_into) FROM leadscore.merged_b2b;
SELECT leadscore.unmerge('b2b', 2);
SELECT * FROM wrong;
SELECT leadscore.attach('b2b', 'web', 'who', 'at', 'what', visitor => 'visitor');
SELECT count(*) FROM leadscore.score_b2b_visitors;
SELECT * FROM wrong;
SELECT leadscore.detach('b2b', 'web');
SELECT count(*) FROM leadscore.score_b2b_visitors;
SELECT * FROM wrong;
DROP VIEW wrong;
SELECT leadscore.drop_model('b2b');
SELECT relname FROM pg_class WHERE relnamespace = 'leadscore'::regnamespace AND relname LIKE '%b2b%' AND relkind IN ('r', 'v');
SELECT tgname FROM pg_trigger WHERE tgname LIKE 'leadscore%' AND tgrelid IN ('web'::regclass, 'mail'::regclass, 'contact'::regclass);
DROP TABLE contact, web, mail;

-- a model of somebody who is no superuser; visitors by uuid, events in partitions
CREATE ROLE regress_ls_crm;
CREATE ROLE regress_ls_other;
GRANT CREATE ON SCHEMA public TO regress_ls_crm;
SET ROLE regress_ls_crm;
CREATE TABLE person (mail text PRIMARY KEY);
CREATE TABLE hit (mail text, visit uuid, at timestamptz DEFAULT leadscore.clock(), what text) PARTITION BY LIST (what);
CREATE TABLE hit_a PARTITION OF hit FOR VALUES IN ('a');
CREATE TABLE hit_b (what text, at timestamptz DEFAULT leadscore.clock(), visit uuid, mail text);
ALTER TABLE hit ATTACH PARTITION hit_b FOR VALUES IN ('b');
INSERT INTO person VALUES ('x@e.example'), ('y@e.example');
SELECT leadscore.create_model('crm', 'person');
SELECT leadscore.attach('crm', 'hit', 'mail', 'at', 'what', visitor => 'visit');
INSERT INTO leadscore.lead_rule (model, name, event, points) VALUES ('crm', 'a', 'a', 1), ('crm', 'b', 'b', 10);
INSERT INTO hit (mail, visit, what) VALUES
	(NULL, '00000000-0000-0000-0000-000000000001', 'a'), (NULL, '00000000-0000-0000-0000-000000000001', 'b'),
	('x@e.example', NULL, 'a'), ('y@e.example', NULL, 'b');
INSERT INTO hit_b (visit, what) VALUES ('00000000-0000-0000-0000-000000000002', 'b');
SELECT contact_id, score FROM leadscore.score_crm_visitors ORDER BY 1;
SELECT leadscore.identify('crm', '00000000-0000-0000-0000-000000000001', 'x@e.example');
SELECT leadscore.identify('crm', 'no uuid', 'x@e.example');
SELECT leadscore.merge_contacts('crm', 'y@e.example', 'x@e.example');
INSERT INTO hit_b (visit, what) VALUES ('00000000-0000-0000-0000-000000000001', 'b');
SELECT leadscore.refresh('crm');
SELECT contact_id, score FROM leadscore.score_crm ORDER BY 1;
SELECT leadscore.rescore('crm');
SELECT contact_id, score FROM leadscore.score_crm ORDER BY 1;
SELECT * FROM leadscore.verify('crm');
SELECT * FROM leadscore.verify('crm_visitors');
-- a partition that goes takes its rows from whom they count for, one that comes brings them
ALTER TABLE hit DETACH PARTITION hit_b;
SELECT contact_id, score FROM leadscore.score_crm ORDER BY 1;
SELECT contact_id, score FROM leadscore.score_crm_visitors ORDER BY 1;
ALTER TABLE hit ATTACH PARTITION hit_b FOR VALUES IN ('b');
SELECT contact_id, score FROM leadscore.score_crm ORDER BY 1;
SELECT contact_id, score FROM leadscore.score_crm_visitors ORDER BY 1;
TRUNCATE hit_a;
SELECT leadscore.refresh('crm');
SELECT contact_id, score FROM leadscore.score_crm ORDER BY 1;
SELECT source_id, target_id, merged_by FROM leadscore.merged_crm;
SELECT visitor, contact_id, identified_by FROM leadscore.identity_crm;
-- others
SET ROLE regress_ls_other;
SELECT leadscore.merge_contacts('crm', 'y@e.example', 'x@e.example');
SELECT leadscore.unmerge('crm', 'x@e.example');
SELECT leadscore.identify('crm', '00000000-0000-0000-0000-000000000002', 'x@e.example');
SELECT leadscore.unidentify('crm', '00000000-0000-0000-0000-000000000001');
SELECT * FROM leadscore.identities('crm', 'x@e.example'::text);
SELECT * FROM leadscore.merged_crm;
SET ROLE regress_ls_crm;
SELECT leadscore.unmerge('crm', 'x@e.example');
SELECT leadscore.unidentify('crm', '00000000-0000-0000-0000-000000000001');
SELECT contact_id, score FROM leadscore.score_crm ORDER BY 1;
SELECT contact_id, score FROM leadscore.score_crm_visitors ORDER BY 1;
SELECT * FROM leadscore.verify('crm');
SELECT * FROM leadscore.verify('crm_visitors');
-- goes with its table, of which the visitors' part is gone before
ALTER TABLE hit DROP COLUMN visit;
SELECT contact_id, score FROM leadscore.score_crm ORDER BY 1;
SELECT count(*) FROM leadscore.score_crm_visitors;
DROP TABLE person, hit CASCADE;
RESET ROLE;
SELECT relname FROM pg_class WHERE relnamespace = 'leadscore'::regnamespace AND relname LIKE '%crm%';
SELECT model FROM leadscore.lead_model;
REVOKE CREATE ON SCHEMA public FROM regress_ls_crm;
DROP ROLE regress_ls_crm;
DROP ROLE regress_ls_other;
