-- The contacts with the highest scores
\set VERBOSITY terse
SET client_min_messages = warning;
SET timezone = 'UTC';
SET datestyle = 'ISO';
SET leadscore.clock = '2026-03-02 00:00+00';
CREATE TABLE lead (id int PRIMARY KEY, country text);
CREATE TABLE act (id int PRIMARY KEY, lead int, visitor text, at timestamptz DEFAULT leadscore.clock(), what text);
CREATE INDEX ON act (lead, at);
CREATE INDEX ON act (visitor, at);
INSERT INTO lead SELECT g, 'DE' FROM generate_series(1, 2000) g;
SELECT leadscore.create_model('m', 'lead');
SELECT leadscore.attach('m', 'act', 'lead', 'at', event => 'what', visitor => 'visitor');
INSERT INTO leadscore.lead_stage (model, stage, position, enter_at) VALUES ('m', 'hot', 1, 100);
INSERT INTO leadscore.lead_grade (model, category, grade, min_points) SELECT 'm', 'engagement', 'A', 60;
INSERT INTO leadscore.lead_rule (model, name, event, points, decay, decay_interval, disqualifies) VALUES
	('m', 'slow', 'slow', 10, 'half_life', '30 days', false),
	('m', 'fast', 'fast', 90, 'half_life', '1 day', false),
	('m', 'spam', 'spam', 0, NULL, NULL, true);
INSERT INTO leadscore.lead_rule (model, name, kind, points, idle) VALUES ('m', 'silent', 'absence', -40, '3 days');
INSERT INTO act (id, lead, what) SELECT g * 100 + n, g, 'slow' FROM generate_series(1, 2000) g, generate_series(1, 1 + g % 7) n;
INSERT INTO act (id, lead, what) VALUES (1, 11, 'fast'), (2, 12, 'fast'), (3, 13, 'fast'), (4, 13, 'spam'), (5, 14, 'slow'), (6, 14, 'fast');

-- what differs from live_<model>; of equal scores the lowest keys
CREATE FUNCTION different(k int, model text) RETURNS TABLE (place bigint, contact text, score float8, grade text, stage text) LANGUAGE plpgsql AS $$ BEGIN
	RETURN QUERY EXECUTE format('WITH best AS (
		SELECT row_number() OVER () AS place, t.contact, t.score, t.grade, t.stage FROM leadscore.top(%1$L, $1) t),
	wanted AS (
		SELECT row_number() OVER (ORDER BY score DESC, contact_id) AS place, contact_id::text AS contact, score, grade, stage
		  FROM leadscore.live_%1$s WHERE NOT disqualified ORDER BY 1 LIMIT $1)
	(TABLE best EXCEPT TABLE wanted) UNION ALL (TABLE wanted EXCEPT TABLE best)', model) USING k; END $$;
CREATE FUNCTION wrong(ks int[] DEFAULT '{1,3,20,300,10000}', model text DEFAULT 'm') RETURNS TABLE (k int, n bigint, example text) LANGUAGE sql AS $$
	SELECT k, count(*), min(d::text) FROM unnest(ks) k, different(k, model) d GROUP BY k ORDER BY k $$;
SELECT * FROM leadscore.top('m', 5);
SELECT count(*), min(score) FROM leadscore.top('m');
SELECT count(*), min(score) FROM leadscore.top('m', 10000);
SELECT * FROM wrong(ARRAY[1, 3, 20, 300, 1999, 10000]);

-- time: what has drifted, what is due, what is worth more again
SET leadscore.clock = '2026-03-02 01:00+00';
SELECT * FROM wrong();
SET leadscore.clock = '2026-03-04 23:59+00';
SELECT * FROM leadscore.top('m', 4);
SELECT * FROM wrong();
SET leadscore.clock = '2026-03-05 00:01+00';
INSERT INTO act (id, lead, what) VALUES (7, 21, 'slow'), (8, 22, 'slow');
SELECT * FROM leadscore.top('m', 4);
SELECT * FROM wrong();
SELECT leadscore.refresh('m') > 0 AS refreshed;
SELECT * FROM wrong();
-- an event that takes effect later
INSERT INTO act (id, lead, what, at) VALUES (9, 31, 'fast', '2026-03-06 00:00+00');
SELECT * FROM leadscore.top('m', 1);
SET leadscore.clock = '2026-03-06 00:01+00';
SELECT * FROM leadscore.top('m', 1);
-- a clock that is set back
SET leadscore.clock = '2026-03-02 00:30+00';
SELECT * FROM wrong();
SET leadscore.clock = '2026-03-06 00:01+00';

-- what is pending: of those who have a row, and of those who have none, of merged contacts and visitors
SELECT leadscore.merge_contacts('m', 41, 42), leadscore.identify('m', 'v1', 43), leadscore.identify('m', 'v2', 3001);
BEGIN ISOLATION LEVEL REPEATABLE READ;
INSERT INTO act (id, lead, what) VALUES (60, 51, 'fast'), (61, 3000, 'fast'), (62, 42, 'fast'), (64, 11, 'spam'), (65, 31, 'fast');
SELECT contact, score FROM leadscore.top('m', 5);
COMMIT;
SELECT * FROM wrong(ARRAY[1, 3, 4, 20, 300, 10000]);
BEGIN ISOLATION LEVEL REPEATABLE READ;
INSERT INTO act (id, visitor, what) VALUES (66, 'v1', 'fast'), (67, 'v2', 'fast'), (68, 'v2', 'fast');
COMMIT;
SELECT contact, score FROM leadscore.top('m', 7);
SELECT * FROM wrong(ARRAY[1, 3, 4, 20, 300, 10000]);
SELECT count(*) > 0 AS pending FROM leadscore.pending_m;
-- two visitors that are one contact, the only ones of whom something is pending, while rules are tried out
SELECT leadscore.identify('m', 'v3', 43);
SELECT leadscore.refresh('m') > 0 AS refreshed;
BEGIN ISOLATION LEVEL REPEATABLE READ;
INSERT INTO act (id, visitor, what) VALUES (69, 'v1', 'fast'), (70, 'v3', 'fast');
COMMIT;
BEGIN;
UPDATE leadscore.lead_rule SET points = points + 1 WHERE name = 'fast';
SELECT contact, score FROM leadscore.top('m', 3);
SELECT * FROM wrong();
ROLLBACK;
SELECT * FROM wrong();
SELECT leadscore.refresh('m') > 0 AS refreshed;
SELECT contact, score FROM leadscore.top('m', 7);
SELECT * FROM wrong(ARRAY[1, 3, 4, 20, 300, 10000]);

-- rules that have changed: in the same transaction, for a job to come, of a model that is off
BEGIN;
UPDATE leadscore.lead_rule SET points = -points WHERE name = 'slow';
SELECT * FROM wrong();
ROLLBACK;
SET leadscore.inline_limit = 0;
UPDATE leadscore.lead_rule SET points = 5 WHERE name = 'slow';
SELECT state, kind FROM leadscore.lead_job;
SELECT * FROM wrong();
SELECT leadscore.refresh('m') > 0 AS refreshed;
SELECT state, kind FROM leadscore.lead_job;
SELECT * FROM wrong();
RESET leadscore.inline_limit;
UPDATE leadscore.lead_model SET enabled = false WHERE model = 'm';
UPDATE leadscore.lead_rule SET points = 7 WHERE name = 'slow';
SELECT * FROM wrong();
UPDATE leadscore.lead_model SET enabled = true WHERE model = 'm';
SELECT * FROM leadscore.verify('m');
SELECT * FROM wrong();

-- by the index of those with a top_score, with the running clock: the rows were written before it
RESET leadscore.clock;
SELECT leadscore.refresh('m') > 0 AS refreshed;
CREATE VIEW kept AS
	SELECT count(*) FILTER (WHERE score >= complete_from) AS highest, count(top_score) FILTER (WHERE score >= complete_from) AS have_it,
		count(top_score) FILTER (WHERE top_score < score) AS too_low, count(top_score) AS all_that_have, written_from = complete_from AS complete
	  FROM leadscore.score_m, leadscore_internal.top_scores GROUP BY written_from, complete_from;
SELECT leadscore_internal.keep_top_scores('m', 100);
SELECT highest BETWEEN 100 AND 500 AS some, highest = have_it AS all, highest = all_that_have AS no_others, too_low, complete FROM kept;
SELECT * FROM wrong(ARRAY[1, 3, 20, 90, 300, 1999, 10000]);
INSERT INTO act (id, lead, what, at) SELECT 500000 + g, g, 'slow', now() - g * interval '1 minute' FROM generate_series(1, 2000) g;
INSERT INTO act (id, lead, what, at) SELECT 600000 + g, g, 'fast', now() - g * interval '1 hour' FROM generate_series(1, 2000, 50) g;
SELECT * FROM wrong(ARRAY[1, 3, 20, 90, 300, 1999, 10000]);
-- now nearly all are above: raised; then below it again: lowered
SELECT highest > 500 AS many, highest = have_it AS all, too_low, complete FROM kept;
SELECT leadscore_internal.keep_top_scores('m', 40);
SELECT highest BETWEEN 40 AND 200 AS some, highest = have_it AS all, all_that_have > highest AS others, too_low, complete FROM kept;
SELECT * FROM wrong(ARRAY[1, 3, 20, 39, 300, 10000]);
BEGIN ISOLATION LEVEL REPEATABLE READ;
INSERT INTO act (id, lead, what) VALUES (700000, 1777, 'fast'), (700001, 1778, 'fast'), (700002, 3002, 'fast'), (700003, 1, 'spam');
COMMIT;
SELECT * FROM wrong();
SELECT leadscore.refresh('m') > 0 AS refreshed;
SELECT * FROM wrong();
DELETE FROM act WHERE id >= 600000;
SELECT highest < 40 AS few, highest = have_it AS all, too_low, complete FROM kept;
SELECT * FROM wrong();
SELECT leadscore_internal.keep_top_scores('m', 200);
SELECT highest BETWEEN 200 AND 1000 AS some, highest = have_it AS all, too_low, complete FROM kept;
SELECT * FROM wrong(ARRAY[1, 3, 20, 90, 300, 10000]);
-- how many rows are read: none but the first
INSERT INTO act (id, lead, what) SELECT 800000 + g * 100 + n, g * 70, 'fast' FROM generate_series(1, 28) g, generate_series(0, g) n;
SELECT pg_stat_force_next_flush();
SELECT pg_stat_reset_single_table_counters(c) FROM unnest('{leadscore.score_m, leadscore.score_m_top_score_idx}'::regclass[]) c;
SELECT count(*) FROM leadscore.top('m', 3);
SELECT pg_stat_force_next_flush();
SELECT idx_scan, idx_tup_read BETWEEN 3 AND 300 AS few FROM pg_stat_user_indexes WHERE indexrelname = 'score_m_top_score_idx';
SELECT seq_scan FROM pg_stat_user_tables WHERE relname = 'score_m';
-- in the same transaction, and taken back
BEGIN;
SAVEPOINT lowered;
SELECT leadscore_internal.keep_top_scores('m', 900);
INSERT INTO act (id, lead, what) VALUES (700004, 1555, 'fast');
SELECT highest = have_it AS all, too_low, complete FROM kept;
SELECT * FROM wrong();
ROLLBACK TO lowered;
INSERT INTO act (id, lead, what) VALUES (700005, 1556, 'fast');
SELECT * FROM wrong();
COMMIT;
SELECT * FROM wrong();
-- a row that the owner restores is not known to have it; nor is one known without the index
INSERT INTO leadscore.score_m SELECT 9999, 99999, fit, engagement, grade, stage, stage_since, disqualified, has_contact, last_event_at,
	scored_at, rules_version, state FROM leadscore.score_m WHERE contact_id = 1555;
SELECT count(*) FROM kept;
SELECT leadscore_internal.keep_top_scores('m', 100);
DROP INDEX leadscore.score_m_top_score_idx;
SELECT * FROM wrong(ARRAY[3, 300]);
SELECT leadscore_internal.keep_top_scores('m', 1);
CREATE INDEX score_m_top_score_idx ON leadscore.score_m (top_score) WHERE top_score IS NOT NULL;
SELECT leadscore.rescore('m') > 0 AS counted;
SELECT * FROM wrong();
-- many that have the same: none has it
BEGIN;
UPDATE leadscore.lead_model SET max_score = 5 WHERE model = 'm';
SELECT leadscore.rescore('m') > 0 AS counted;
SELECT leadscore_internal.keep_top_scores('m', 30);
SELECT complete_from FROM leadscore_internal.top_scores;
SELECT * FROM wrong();
ROLLBACK;
SELECT highest = have_it AS all, too_low, complete FROM kept;
SELECT * FROM wrong();
SELECT leadscore_internal.keep_top_scores('m', 0);
DROP VIEW kept;

-- what is pending where no rows of others count: it is added to the state of each, and few are merged
CREATE TABLE note (id int PRIMARY KEY, lead int, at timestamptz DEFAULT now(), what text);
CREATE INDEX ON note (lead, at);
SELECT leadscore.create_model('q', 'lead');
SELECT leadscore.attach('q', 'note', 'lead', 'at', event => 'what', mode => 'queued');
INSERT INTO leadscore.lead_stage (model, stage, position, enter_at) VALUES ('q', 'hot', 1, 100);
INSERT INTO leadscore.lead_rule (model, name, event, points, decay, decay_interval, max_per_period, period, disqualifies) VALUES
	('q', 'slow', 'slow', 10, 'half_life', '30 days', NULL, NULL, false),
	('q', 'fast', 'fast', 90, 'half_life', '1 day', NULL, NULL, false),
	('q', 'often', 'often', 1, NULL, NULL, 3, '1 day', false),
	('q', 'spam', 'spam', 0, NULL, NULL, NULL, NULL, true);
INSERT INTO leadscore.lead_rule (model, name, kind, condition, points) VALUES ('q', 'here', 'profile', 'country = ''AT''', 300);
INSERT INTO leadscore.lead_rule (model, name, kind, points, idle) VALUES ('q', 'silent', 'absence', -40, '3 days');
INSERT INTO note (id, lead, at, what) SELECT g, g, now() - g * interval '1 hour', (ARRAY['slow', 'often'])[1 + g % 2] FROM generate_series(1, 2000) g;
SELECT leadscore.refresh('q') > 0 AS refreshed;
SELECT leadscore_internal.keep_top_scores('q', 100);
SELECT * FROM wrong(ARRAY[1, 3, 20, 90, 320, 10000], 'q');
-- of some more than one row, of some who have none, of the first and the last
INSERT INTO note (id, lead, what) SELECT 10000 + g, 3 * g, (ARRAY['slow', 'often', 'fast'])[1 + g % 3] FROM generate_series(1, 700) g;
INSERT INTO note (id, lead, what) SELECT 20000 + g, 5 * g, (ARRAY['often', 'fast'])[1 + g % 2] FROM generate_series(1, 200) g;
SELECT * FROM wrong(ARRAY[1, 3, 20, 90, 320, 10000], 'q');
-- and some that has to be counted: of the best a disqualified one, of the past, of the future, a profile, what is gone
INSERT INTO note (id, lead, at, what) VALUES (30000, 1995, now(), 'spam'), (30001, 1900, now() - interval '80 days', 'fast'),
	(30002, 1800, now() + interval '1 hour', 'fast'), (30003, 1700, now() - interval '10 days', 'often'), (30004, 9000, now(), 'spam');
SELECT * FROM wrong(ARRAY[1, 3, 20, 90, 320, 10000], 'q');
BEGIN ISOLATION LEVEL REPEATABLE READ;
UPDATE lead SET country = 'AT' WHERE id IN (6, 1776);
DELETE FROM note WHERE lead % 100 = 15;
UPDATE note SET what = 'fast', at = now() WHERE id IN (1994, 1996);
SELECT * FROM wrong(ARRAY[1, 3, 20, 90, 320, 10000], 'q');
COMMIT;
SELECT * FROM wrong(ARRAY[1, 3, 20, 90, 320, 10000], 'q');
SELECT leadscore.refresh('q') > 0 AS refreshed;
SELECT * FROM wrong(ARRAY[1, 3, 20, 90, 320, 10000], 'q');
-- stored scores that are far away, of some that are due, and of so many that all rows are read
SELECT leadscore_internal.keep_top_scores('q', 100);
CREATE FUNCTION let_be_due(every int) RETURNS TABLE (due bigint) LANGUAGE sql SET session_replication_role = replica AS $$
	UPDATE leadscore.due_q SET due_at = now() - interval '1 hour' WHERE contact_id % every = 0;
	UPDATE leadscore.score_q s SET score = -100, top_score = CASE WHEN d.contact_id % 8 < 4 THEN top_score END
	  FROM leadscore.due_q d WHERE d.contact_id = s.contact_id AND d.due_at < now();
	SELECT count(*) FROM leadscore.due_q WHERE due_at < now() $$;
SELECT due BETWEEN 100 AND 900 AS some FROM let_be_due(4);
SELECT * FROM wrong(ARRAY[1, 3, 20, 90, 320, 10000], 'q');
SELECT due > 300 AS more FROM let_be_due(3);
SELECT due BETWEEN 1001 AND 1900 AS many FROM let_be_due(2);
SELECT * FROM wrong(ARRAY[1, 3, 20, 90, 320, 10000], 'q');
DROP FUNCTION let_be_due;
SELECT leadscore.rescore('q') > 0 AS counted;
SELECT * FROM wrong(ARRAY[1, 3, 20, 90, 320, 10000], 'q');
INSERT INTO note (id, lead, what) SELECT 40000 + g, g, 'often' FROM generate_series(1, 2000, 3) g;
SELECT pg_stat_force_next_flush();
SELECT pg_stat_reset_single_table_counters(indexrelid) FROM pg_stat_user_indexes WHERE relname = 'pending_q';
SELECT count(*) FROM leadscore.top('q', 3);
SELECT pg_stat_force_next_flush();
SELECT idx_scan < 60 AS few, idx_tup_read > 600 AS all FROM pg_stat_user_indexes WHERE relname = 'pending_q';
-- without top_score, as a dump of 0.6.0 restores it: all rows are read
ALTER TABLE leadscore.score_q DROP COLUMN top_score;
SELECT * FROM wrong(ARRAY[1, 3, 20, 90, 320, 10000], 'q');
INSERT INTO note (id, lead, at, what) SELECT 50000 + g, 7 * g, now() - g * interval '1 minute', 'fast' FROM generate_series(1, 300) g;
SELECT * FROM wrong(ARRAY[1, 3, 20, 90, 320, 10000], 'q');
SELECT leadscore_internal.keep_top_scores('q', 100);
SELECT leadscore.refresh('q') > 0 AS refreshed;
SELECT * FROM wrong(ARRAY[1, 3, 20, 90, 320, 10000], 'q');
SELECT * FROM leadscore.verify('q');
SELECT leadscore.drop_model('q');
DROP TABLE note;

-- a row that is damaged, at the top or where its number is none
SET session_replication_role = replica;
UPDATE leadscore.score_m SET score = 'NaN' WHERE contact_id = 7 OR contact_id = 1960;
SET session_replication_role = origin;
SELECT * FROM leadscore.top('m', 3);
SET session_replication_role = replica;
UPDATE leadscore.score_m SET score = 1 WHERE contact_id = 1960;
DROP INDEX leadscore.score_m_top_score_idx;
SET session_replication_role = origin;
SELECT * FROM leadscore.top('m', 3);

-- arguments and rights
SELECT * FROM leadscore.top(NULL);
SELECT * FROM leadscore.top('mm');
SELECT * FROM leadscore.top('m', 0);
SELECT * FROM leadscore.top('m', NULL);
\set VERBOSITY default
SELECT * FROM leadscore.top('m', 10001);
SELECT * FROM leadscore.top('n');
\set VERBOSITY terse
CREATE ROLE top_reader;
CREATE ROLE top_other;
GRANT SELECT ON leadscore.live_m TO top_reader;
SET ROLE top_reader;
SELECT count(*) FROM leadscore.top('m', 3);
SET ROLE top_other;
SELECT count(*) FROM leadscore.top('m', 3);
RESET ROLE;
SELECT leadscore.drop_model('m');
DROP FUNCTION wrong, different;
DROP TABLE lead, act;
DROP ROLE top_reader, top_other;
