-- What an expression means that its author may not have meant, and what to write where something is refused.
SET timezone = 'UTC';
SET datestyle = 'SQL, DMY';
\set SHOW_CONTEXT never
SET leadscore.clock = '2026-03-02 00:00+00';
SET client_min_messages = warning;
CREATE SCHEMA advice;
CREATE SCHEMA ext;
CREATE EXTENSION citext SCHEMA ext;
SET search_path = advice, ext;
CREATE DOMAIN plain AS varchar(20) CHECK (VALUE <> '');
CREATE DOMAIN lax AS citext;
CREATE TYPE mood AS ENUM ('glad', 'sad');
CREATE TABLE person (id int PRIMARY KEY, plan citext);
CREATE TABLE act (person int, at timestamptz, plan citext, v varchar(20), d plain, lax lax, plans citext[], mood mood,
	seconds numeric, written text, more jsonb);
CREATE INDEX ON act (person, at);
SELECT leadscore.create_model('advice', 'person');
SELECT leadscore.attach('advice', 'act', 'person', 'at');
CREATE FUNCTION try(condition text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO leadscore.lead_rule (model, name, points, condition) VALUES ('advice', 'r', 1, condition);
	DELETE FROM leadscore.lead_rule WHERE model = 'advice';
END $$;
INSERT INTO act VALUES (1, '2026-03-01', 'PRO');
SET client_min_messages = notice;

--
-- a type from elsewhere is taken for one of PostgreSQL's own
--
INSERT INTO leadscore.lead_rule (model, name, points, condition) VALUES ('advice', 'pro', 1, 'plan = ''pro''');
UPDATE leadscore.lead_rule SET points = 2 WHERE model = 'advice';
UPDATE leadscore.lead_rule SET condition = 'plan OPERATOR(ext.=) ''pro''' WHERE model = 'advice';
SELECT contact_id, score FROM leadscore.score_advice;
SET client_min_messages = warning;
DELETE FROM leadscore.lead_rule WHERE model = 'advice';
TRUNCATE act;
SET client_min_messages = notice;
SELECT try('plan LIKE ''p%''');
SELECT try('plan !~ ''p''');
SELECT try('plan IN (''pro'', ''team'')');
SELECT try('plan NOT IN (''pro'', ''team'')');
SELECT try('plan BETWEEN ''a'' AND ''p''');
SELECT try('v = ''x'' OR lax = ''x''');
SELECT try('plan IS DISTINCT FROM ''pro''');
SELECT try('(plan, v) = (''pro'', ''x'')');
SELECT try('''pro'' = ANY (plans)');
SELECT try('CASE plan WHEN ''pro'' THEN true ELSE false END');
SELECT try('coalesce(plan, ''x'') = v');
SELECT try('strpos(plan, ''x'') > 0');
SELECT try('greatest(plan, v) = ''x''');
INSERT INTO leadscore.lead_rule (model, name, kind, points, weight) VALUES ('advice', 'r', 'profile', 1, 'CASE WHEN plan > ''p'' THEN 1 ELSE 2 END');
INSERT INTO leadscore.lead_stage (model, stage, position, enter_at, condition) VALUES ('advice', 'hot', 1, 1, 'plan = ''pro''');
DELETE FROM leadscore.lead_rule WHERE model = 'advice';
-- but this is not
SELECT try('plan::text = ''pro'' AND lower(plan) = ''pro'' AND length(plan) > 2 AND v = ''x'' AND d = ''x'' AND mood = ''glad'' AND plan IS NOT NULL');
SELECT try('plan OPERATOR(ext.=) ''pro'' AND plan OPERATOR(ext.~~) ''p%'' AND plan OPERATOR(ext.=) ANY (''{pro,team}'')');

--
-- events are told apart as text
--
CREATE COLLATION blind (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
ALTER TABLE act ADD kind citext DEFAULT 'VISIT', ADD sort text COLLATE blind DEFAULT 'VISIT', ADD said lax DEFAULT 'VISIT';
INSERT INTO act (person, at) VALUES (2, '2026-03-01');
SELECT leadscore.attach('advice', 'act', 'person', 'at', source => 'kind', event => 'kind');
SELECT leadscore.attach('advice', 'act', 'person', 'at', source => 'sort', event => 'sort');
SELECT leadscore.attach('advice', 'act', 'person', 'at', source => 'said', event => 'v');
UPDATE leadscore.lead_source SET event = 'said' WHERE source = 'said';
SELECT leadscore.attach('advice', 'act', 'person', 'at', source => 'mood', event => 'mood');
SET client_min_messages = warning;
INSERT INTO leadscore.lead_rule (model, name, source, event, points, condition) VALUES
	('advice', 'kind', 'kind', 'visit', 1, NULL), ('advice', 'kind as is', 'kind', 'VISIT', 2, NULL),
	('advice', 'kind in a condition', 'kind', NULL, 4, 'kind OPERATOR(ext.=) ''visit'''),
	('advice', 'sort', 'sort', 'visit', 10, NULL), ('advice', 'sort as is', 'sort', 'VISIT', 20, NULL),
	('advice', 'sort in a condition', 'sort', NULL, 40, 'sort = ''visit''');
SELECT contact_id, score FROM leadscore.score_advice ORDER BY 1;
SELECT count(leadscore.detach('advice', source)) FROM leadscore.lead_source WHERE model = 'advice' AND source <> 'act';
DELETE FROM leadscore.lead_rule WHERE model = 'advice';
ALTER TABLE act DROP kind, DROP sort, DROP said;
TRUNCATE act;
SET client_min_messages = notice;

--
-- what to write instead of what is refused
--
CREATE FUNCTION looks_up(text) RETURNS boolean LANGUAGE sql STABLE AS $$ SELECT EXISTS (SELECT FROM advice.person WHERE plan = $1) $$;
SELECT try('plan IN (SELECT plan FROM advice.person)');
SELECT try('advice.looks_up(v)');
SELECT try('at > ''31.12.2024''');
SELECT leadscore.attach('advice', 'act', 'person', 'written', source => 'written');
SELECT leadscore.attach('advice', 'act', 'person', 'seconds', source => 'seconds');
SELECT leadscore.attach('advice', 'act', 'person', 'more', source => 'more');
-- which works
ALTER TABLE act
	ADD written_at timestamp GENERATED ALWAYS AS (make_timestamp(substr(written, 1, 4)::int,
		substr(written, 6, 2)::int, substr(written, 9, 2)::int, substr(written, 12, 2)::int,
		substr(written, 15, 2)::int, substr(written, 18, 2)::float8)) STORED,
	ADD seconds_at timestamptz GENERATED ALWAYS AS (to_timestamp(seconds)) STORED;
INSERT INTO act (person, written, seconds) VALUES (1, '2024-01-31 12:34:56', 1706704496);
SELECT to_char(written_at, 'YYYY-MM-DD HH24:MI:SS') AS written_at,
	to_char(seconds_at, 'YYYY-MM-DD HH24:MI:SS') AS seconds_at
  FROM act WHERE written IS NOT NULL;
SELECT leadscore.attach('advice', 'act', 'person', 'written_at', source => 'written');

SET client_min_messages = warning;
SELECT leadscore.drop_model('advice');
DROP SCHEMA advice CASCADE;
DROP SCHEMA ext CASCADE;
