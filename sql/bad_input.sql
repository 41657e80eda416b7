-- What is refused, what draws a notice, and in which words.
SET timezone = 'UTC';
SET datestyle = 'ISO';
SET extra_float_digits = 0;
\pset null -
SET leadscore.clock = '2026-03-02 00:00+00';
CREATE SCHEMA bad;
SET search_path = bad;
CREATE TABLE contact (id int PRIMARY KEY, email text, title text, tags text[], born date, active bool, data jsonb);
CREATE TABLE event (contact int, what text, at timestamptz, amount numeric, url text, day timestamp, ok bool);
CREATE INDEX ON event (contact, at);
INSERT INTO contact VALUES (1, 'ann@x', 'CTO');
INSERT INTO event VALUES (1, 'form', '2026-03-01', 10, '/prices'), (1, 'page_view', '2026-03-01', 0, '/');

--
-- models
--
SELECT leadscore.create_model('M', 'contact');
SELECT leadscore.create_model('1st', 'contact');
SELECT leadscore.create_model('', 'contact');
SELECT leadscore.create_model(repeat('a', 42), 'contact');
SELECT leadscore.create_model(NULL, 'contact');
SELECT leadscore.create_model('bad', NULL);
SELECT leadscore.create_model('bad', 'contacts');
SELECT leadscore.create_model('bad', 'contact', key => 'ID');
SELECT leadscore.create_model('bad', 'contact', key => 'emial');
SELECT leadscore.create_model('bad', 'contact', key => 'ctid');
SELECT leadscore.create_model('bad', 'contact', created_at => 'birthday');
SELECT leadscore.create_model('bad', 'contact', created_at => 'title');
SELECT leadscore.create_model('bad', 'contact', time_zone => 'Mars/Olympus');
SELECT leadscore.create_model('bad', 'contact', categories => '{}');
SELECT leadscore.create_model('bad', 'contact', categories => '{fit,fit}');
SELECT leadscore.create_model('bad', 'contact', categories => '{fit,score}');
SELECT leadscore.create_model('bad', 'contact', categories => '{Fit}');
SELECT leadscore.create_model('bad', 'contact', categories => '{fit,NULL}');
SELECT leadscore.create_model('bad', 'contact', categories => '{{fit}}');
SELECT leadscore.create_model('bad', 'contact', categories => '{xmin}');
-- the key: unique, of one column, with operators for hash and btree
SELECT leadscore.create_model('bad', 'contact', key => 'email');
SELECT leadscore.create_model('bad', 'contact', key => 'data');
CREATE TABLE keyless (id int, at timestamptz);
SELECT leadscore.create_model('bad', 'keyless');
CREATE TABLE two (a int, b int, c xml, d point, e tsvector UNIQUE, f int UNIQUE DEFERRABLE, g int, h text, i jsonb UNIQUE, PRIMARY KEY (a, b));
CREATE UNIQUE INDEX ON two (g) WHERE g > 0;
CREATE UNIQUE INDEX ON two (lower(h));
SELECT leadscore.create_model('bad', 'two');
SELECT leadscore.create_model('bad', 'two', key => 'a');
SELECT leadscore.create_model('bad', 'two', key => 'c');
SELECT leadscore.create_model('bad', 'two', key => 'd');
SELECT leadscore.create_model('bad', 'two', key => 'e');
SELECT leadscore.create_model('bad', 'two', key => 'f');
SELECT leadscore.create_model('bad', 'two', key => 'g');
SELECT leadscore.create_model('bad', 'two', key => 'h');
-- what can be no contact table
CREATE VIEW seen AS SELECT * FROM event;
CREATE MATERIALIZED VIEW kept AS SELECT * FROM event;
CREATE SEQUENCE counter;
CREATE TEMP TABLE passing (id int PRIMARY KEY, contact int, at timestamptz);
CREATE FOREIGN DATA WRAPPER nothing;
CREATE SERVER nowhere FOREIGN DATA WRAPPER nothing;
CREATE FOREIGN TABLE remote (id int, contact int, at timestamptz) SERVER nowhere;
SELECT leadscore.create_model('bad', 'seen', key => 'contact');
SELECT leadscore.create_model('bad', 'remote', key => 'contact');
SELECT leadscore.create_model('bad', 'passing');
SELECT leadscore.create_model('bad', 'pg_catalog.pg_class');
SELECT leadscore.create_model('bad', 'leadscore.lead_model');
SELECT leadscore.create_model('bad', 'contact');
SELECT leadscore.create_model('bad', 'contact');
CREATE TABLE leadscore.score_taken ();
SELECT leadscore.create_model('taken', 'contact');
DROP TABLE leadscore.score_taken;
-- models that are called as the indexes of another model's tables would be
SELECT leadscore.create_model('ours', 'contact');
CREATE TABLE named AS SELECT DISTINCT substring(relname, 'ours_.*') AS model FROM pg_class
 WHERE relnamespace = 'leadscore'::regnamespace AND relkind = 'i' AND relname ~ '_ours_';
SELECT leadscore.drop_model('ours');
SELECT count(leadscore.create_model(model, 'contact')) > 5 AS some FROM named;
SELECT leadscore.create_model('ours', 'contact');
SELECT count(leadscore.drop_model(model)) > 5 AS some FROM named;
SELECT leadscore.drop_model('ours');
DROP TABLE named;
SELECT leadscore.drop_model('bda');
SELECT leadscore.drop_model('something else');

--
-- sources
--
SELECT leadscore.attach('bda', 'event', 'contact', 'at');
SELECT leadscore.attach(NULL, 'event', 'contact', 'at');
SELECT leadscore.attach('bad', 'events', 'contact', 'at');
SELECT leadscore.attach('bad', 'event', 'contacts', 'at');
SELECT leadscore.attach('bad', 'event', NULL, 'at');
SELECT leadscore.attach('bad', 'event', 'contact', 'att');
SELECT leadscore.attach('bad', 'event', 'contact', 'url');
SELECT leadscore.attach('bad', 'event', 'contact', 'at', event => 'wat');
SELECT leadscore.attach('bad', 'event', 'what', 'at');
SELECT leadscore.attach('bad', 'event', 'contact', 'at', time_zone => 'Europe/Berlni');
SELECT leadscore.attach('bad', 'event', 'contact', 'at', source => '');
SELECT leadscore.attach('bad', 'seen', 'contact', 'at');
SELECT leadscore.attach('bad', 'kept', 'contact', 'at');
SELECT leadscore.attach('bad', 'remote', 'contact', 'at');
SELECT leadscore.attach('bad', 'counter', 'contact', 'at');
SELECT leadscore.attach('bad', 'passing', 'contact', 'at');
SELECT leadscore.attach('bad', 'leadscore.score_bad', 'contact_id', 'scored_at');
SELECT leadscore.attach('bad', 'leadscore.live_bad', 'contact_id', 'scored_at');
SELECT leadscore.attach('bad', 'pg_catalog.pg_class', 'relpages', 'at');
INSERT INTO leadscore.lead_rule (model, name, points) VALUES ('bad', 'too early', 1);
SELECT leadscore.attach('bad', 'event', 'contact', 'at', event => 'what');
SELECT leadscore.attach('bad', 'event', 'contact', 'at', event => 'what');
SELECT leadscore.attach('bad', 'event', 'contact', 'at', event => 'what', source => 'again');
SELECT leadscore.attach('bad', 'event', 'contact', 'day', source => 'event');
-- no index: a hint
CREATE TABLE slow (contact int, "When" timestamptz, "group" int);
SELECT leadscore.attach('bad', 'slow', 'contact', 'When');
SELECT leadscore.detach('bad', 'slwo');
SELECT leadscore.detach('bad', 'something else');
SELECT leadscore.detach('bda', 'slow');

--
-- rules: the model, names and words
--
CREATE FUNCTION try(VARIADIC rule text[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	columns text := 'model, name, points';
	vals text := format('%L, %L, %L', 'bad', 'r', '1');
BEGIN
	FOR i IN 1 .. array_length(rule, 1) BY 2 LOOP
		columns := columns || ', ' || quote_ident(rule[i]);
		vals := vals || ', ' || quote_nullable(rule[i + 1]);
	END LOOP;
	EXECUTE format('INSERT INTO leadscore.lead_rule (%s) VALUES (%s)', columns, vals);
	EXECUTE 'DELETE FROM leadscore.lead_rule WHERE model = ''bad'' AND name = ''r''';
END $$;
\set SHOW_CONTEXT never
INSERT INTO leadscore.lead_rule (name, points) VALUES ('r', 1);
INSERT INTO leadscore.lead_rule (model, name, points) VALUES ('bda', 'r', 1);
INSERT INTO leadscore.lead_rule (model, points) VALUES ('bad', 1);
INSERT INTO leadscore.lead_rule (model, name, points) VALUES ('bad', '  ', 1);
INSERT INTO leadscore.lead_rule (model, name) VALUES ('bad', 'r');
INSERT INTO leadscore.lead_rule (model, name, source, event, points) VALUES ('bad', 'form', 'event', 'form', 1);
INSERT INTO leadscore.lead_rule (model, name, source, event, points) VALUES ('bad', 'form', 'event', 'form', 1);
UPDATE leadscore.lead_rule SET model = 'other' WHERE model = 'bad' AND name = 'form';
UPDATE leadscore.lead_rule SET rule_id = 0 WHERE model = 'bad' AND name = 'form';
UPDATE leadscore.lead_rule SET kind = 'profile' WHERE model = 'bad' AND name = 'form';
UPDATE leadscore.lead_rule SET points = 'NaN' WHERE model = 'bad' AND name = 'form';
SELECT try('kind', 'event');
SELECT try('source', 'evnt');
SELECT try('source', 'something');
SELECT try('source', 'slow', 'event', 'form');
SELECT try('source', 'event', 'kind', 'evnt');
SELECT try('source', 'event', 'kind', 'sequence', 'max_gap', '1 day');
SELECT try('source', 'event', 'decay', 'halflife');
SELECT try('source', 'event', 'award', 'twice');
SELECT try('source', 'event', 'category', 'engagment');
SELECT try('source', 'event', 'category', 'something');
SELECT try('kind', 'profile', 'category', '');

--
-- numbers and intervals
--
INSERT INTO leadscore.lead_rule (model, name, source, points) VALUES ('bad', 'r', 'event', 'NaN');
INSERT INTO leadscore.lead_rule (model, name, source, points) VALUES ('bad', 'r', 'event', 'infinity');
SELECT try('source', 'event', 'at_least', '0');
SELECT try('source', 'event', 'at_least', '-1');
SELECT try('source', 'event', 'max_points', '-5');
SELECT try('source', 'event', 'max_points', 'NaN');
SELECT try('source', 'event', 'max_points', 'infinity');
SELECT try('source', 'event', 'max_per_period', '-0.5');
SELECT try('source', 'event', 'time_frame', '0');
SELECT try('source', 'event', 'time_frame', '-1 day');
SELECT try('source', 'event', 'time_frame', '1 month -40 days');
SELECT try('source', 'event', 'time_frame', '170000000 years');
SELECT try('source', 'event', 'time_frame', '14 days', 'period', '0');
SELECT try('source', 'event', 'decay', 'half_life', 'decay_interval', '-1 day');
SELECT try('kind', 'absence', 'source', 'event', 'idle', '0');
SELECT try('kind', 'absence', 'source', 'event');
SELECT try('source', 'event', 'decay', 'none', 'decay_interval', '1 day');
SELECT try('source', 'event', 'decay', 'half_life');
SELECT try('source', 'event', 'decay', 'linear');
SELECT try('source', 'event', 'decay', 'step', 'decay_interval', '1 day');
SELECT try('source', 'event', 'decay', 'step', 'decay_keep', '0.5');
SELECT try('source', 'event', 'decay', 'step', 'decay_interval', '1 day', 'decay_keep', '1.5');
SELECT try('source', 'event', 'decay', 'step', 'decay_interval', '1 day', 'decay_keep', 'NaN');
SELECT try('source', 'event', 'decay', 'half_life', 'decay_interval', '1 day', 'decay_keep', '0.5');
SELECT try('source', 'event', 'decay_keep', '0.5');
SELECT try('source', 'event', 'period', '1 day');
SELECT try('source', 'event', 'decay', 'half_life', 'decay_interval', '1 day', 'period', '1 hour');
SELECT try('source', 'event', 'time_frame', '10 years', 'period', '1 day');
SELECT try('source', 'event', 'time_frame', '100 years');
SELECT try('source', 'event', 'time_frame', '1 year', 'decay', 'half_life', 'decay_interval', '1 hour');
SELECT try('source', 'event', 'decay', 'linear', 'decay_interval', '600 days', 'period', '1 day');
SELECT try('source', 'event', 'decay', 'step', 'decay_interval', '1 day', 'decay_keep', '0.9', 'period', '5 hours');
SELECT try('source', 'event', 'decay', 'step', 'decay_interval', '1 hour', 'decay_keep', '0.9', 'time_frame', '1 year');
SELECT try('source', 'event', 'decay', 'step', 'decay_interval', '7 days', 'decay_keep', '0.9', 'time_frame', '1 year', 'period', '1 hour');
SELECT try('source', 'event', 'events_from', '2026-03-01', 'events_before', '2026-03-01');
SELECT try('source', 'event', 'events_from', '-infinity');

--
-- each column that a kind has no use for
--
SELECT try('kind', 'absence', 'idle', '1 day', 'weight', '1');
SELECT try('kind', 'absence', 'idle', '1 day', 'at_least', '2');
SELECT try('kind', 'absence', 'idle', '1 day', 'time_frame', '1 day');
SELECT try('kind', 'absence', 'idle', '1 day', 'decay', 'half_life');
SELECT try('kind', 'absence', 'idle', '1 day', 'decay_interval', '1 day');
SELECT try('kind', 'absence', 'idle', '1 day', 'decay_keep', '0.1');
SELECT try('kind', 'absence', 'idle', '1 day', 'period', '1 day');
SELECT try('kind', 'absence', 'idle', '1 day', 'max_per_period', '1');
SELECT try('kind', 'absence', 'idle', '1 day', 'max_gap', '1 day');
SELECT try('kind', 'absence', 'idle', '1 day', 'condition', 'ok');
SELECT try('kind', 'profile', 'source', 'event');
SELECT try('kind', 'profile', 'event', 'form');
SELECT try('kind', 'profile', 'events_from', '2026-01-01');
SELECT try('kind', 'profile', 'events_before', '2026-01-01');
SELECT try('kind', 'profile', 'award', 'each');
SELECT try('kind', 'profile', 'at_least', '2');
SELECT try('kind', 'profile', 'time_frame', '1 day');
SELECT try('kind', 'profile', 'decay', 'linear');
SELECT try('kind', 'profile', 'decay_interval', '1 day');
SELECT try('kind', 'profile', 'decay_keep', '0.1');
SELECT try('kind', 'profile', 'period', '1 day');
SELECT try('kind', 'profile', 'max_per_period', '1');
SELECT try('kind', 'profile', 'idle', '1 day');
SELECT try('kind', 'profile', 'negated', 'true');
SELECT try('source', 'event', 'idle', '1 day');
SELECT try('source', 'event', 'max_gap', '1 day');
SELECT try('source', 'event', 'followed_by', 'form');
SELECT try('source', 'event', 'followed_condition', 'ok');
SELECT try('source', 'event', 'followed_source', 'event');
SELECT try('source', 'event', 'negated', 'true');
SELECT try('source', 'event', 'award', 'once', 'weight', 'amount');
SELECT try('source', 'event', 'award', 'once', 'max_per_period', '5');
SELECT try('source', 'event', 'at_least', '2', 'weight', 'amount');

--
-- expressions
--
SELECT try('source', 'event', 'condition', 'url');
SELECT try('source', 'event', 'condition', 'amuont > 5');
SELECT try('source', 'event', 'condition', 'title = ''CTO''');
SELECT try('source', 'event', 'condition', 'amount >');
SELECT try('source', 'event', 'condition', '');
SELECT try('source', 'event', 'condition', 'ok; DROP TABLE event');
SELECT try('source', 'event', 'condition', 'ok, ok');
SELECT try('source', 'event', 'condition', 'ok FROM event');
SELECT try('source', 'event', 'condition', 'ok) OR (ok');
SELECT try('source', 'event', 'condition', 'ok -- and so on');
SELECT try('source', 'event', 'condition', 'amount > (SELECT avg(amount) FROM event)');
SELECT try('source', 'event', 'condition', 'EXISTS (SELECT FROM contact)');
SELECT try('source', 'event', 'condition', 'count(*) > 5');
SELECT try('source', 'event', 'condition', 'row_number() OVER () > 5');
SELECT try('source', 'event', 'condition', 'generate_series(1, 3) > 5');
SELECT try('source', 'event', 'condition', 'event IS NOT NULL');
SELECT try('source', 'event', 'condition', 'event.* IS NOT NULL');
SELECT try('source', 'event', 'condition', 'ctid IS NOT NULL');
SELECT try('source', 'event', 'condition', '$1');
SELECT try('source', 'event', 'condition', 'random() < 0.5');
SELECT try('source', 'event', 'condition', 'at > now()');
SELECT try('source', 'event', 'condition', 'at > current_date');
SELECT try('source', 'event', 'condition', 'at > ''yesterday''');
SELECT try('source', 'event', 'condition', 'concat(url, what) = ''x''');
SELECT try('source', 'event', 'condition', 'concat_ws(''/'', url, what) = ''x''');
SELECT try('source', 'event', 'condition', 'format(''%s'', url) = ''x''');
SELECT try('source', 'event', 'condition', 'date(at) = ''2026-01-01''');
SELECT try('source', 'event', 'condition', 'at::date = ''2026-01-01''');
SELECT try('source', 'event', 'condition', 'at::text LIKE ''2026%''');
SELECT try('source', 'event', 'condition', 'to_char(at, ''DY'') = ''MON''');
SELECT try('source', 'event', 'condition', 'extract(hour FROM at) > 12');
SELECT try('source', 'event', 'condition', 'date_trunc(''day'', at) = ''2026-01-01 00:00+00''');
SELECT try('source', 'event', 'condition', 'at > day');
SELECT try('source', 'event', 'condition', 'nosuch(url)');
SELECT try('source', 'event', 'condition', 'lower(amount) = ''x''');
SELECT try('source', 'event', 'condition', 'url ~ ''(''');
SELECT try('source', 'event', 'condition', 'amount = ''ten''');
SELECT try('source', 'event', 'condition', '1 / 0 > 1');
-- where nothing hides it, the context says which expression it is
\set SHOW_CONTEXT errors
INSERT INTO leadscore.lead_rule (model, name, source, condition, points) VALUES ('bad', 'r', 'event', 'amuont > 5', 1);
INSERT INTO leadscore.lead_rule (model, name, source, condition, points) VALUES ('bad', 'r', 'event', '1 / 0 > 1', 1);
\set SHOW_CONTEXT never
SELECT try('source', 'event', 'weight', 'url');
SELECT try('source', 'event', 'weight', 'ok');
SELECT try('source', 'event', 'weight', 'amout');
SELECT try('source', 'event', 'weight', 'nextval(''bad.counter'')');
SELECT try('kind', 'profile', 'condition', 'amount > 1');
SELECT try('kind', 'profile', 'condition', 'tittle = ''CTO''');
CREATE FUNCTION chance(text) RETURNS bool LANGUAGE sql AS 'SELECT random() < 0.5';
CREATE FUNCTION stable(text) RETURNS bool LANGUAGE sql STABLE AS 'SELECT $1 = current_setting(''x'')';
SELECT try('source', 'event', 'condition', 'chance(url)');
SELECT try('source', 'event', 'condition', 'bad.chance(url)');
SELECT try('source', 'event', 'condition', 'bad.stable(url)');

--
-- notices: allowed, but perhaps not meant
--
SELECT try('source', 'event', 'event', 'from');
SELECT try('source', 'event', 'event', 'Form');
SELECT try('source', 'event', 'event', 'pageview');
SELECT try('source', 'event', 'event', 'something else');
SELECT try('source', 'event', 'event', 'form', 'condition', 'amount > 1000');
SELECT try('source', 'event');
SELECT try('kind', 'absence', 'idle', '1 day');
SELECT try('source', 'event', 'event', 'form', 'max_per_period', '3', 'decay', 'half_life', 'decay_interval', '7 days');
SELECT try('source', 'event', 'event', 'form', 'max_per_period', '3', 'time_frame', '2 years');
SELECT try('kind', 'absence', 'idle', '1 day', 'event', 'from');
SELECT try('kind', 'profile');
SELECT try('kind', 'profile', 'condition', 'title = ''CEO''');

--
-- stages, grades, categories, the model
--
INSERT INTO leadscore.lead_stage (stage, position, enter_at) VALUES ('x', 1, 1);
INSERT INTO leadscore.lead_stage (model, stage, position, enter_at) VALUES ('bda', 'x', 1, 1);
INSERT INTO leadscore.lead_stage (model, stage, position, enter_at) VALUES ('bad', 'disqualified', 1, 1);
INSERT INTO leadscore.lead_stage (model, stage, position, enter_at) VALUES ('bad', '', 1, 1);
INSERT INTO leadscore.lead_stage (model, stage, position, enter_at) VALUES ('bad', 'x', 1, 'NaN');
INSERT INTO leadscore.lead_stage (model, stage, position, enter_at) VALUES ('bad', 'x', 1, 'infinity');
INSERT INTO leadscore.lead_stage (model, stage, position, enter_at, leave_below) VALUES ('bad', 'x', 1, 10, 11);
INSERT INTO leadscore.lead_stage (model, stage, position, enter_at) VALUES ('bad', 'x', 0, 10);
INSERT INTO leadscore.lead_stage (model, stage, position, enter_at) VALUES ('bad', 'x', -1, 10);
INSERT INTO leadscore.lead_stage (model, stage, position) VALUES ('bad', 'x', 1);
INSERT INTO leadscore.lead_stage (model, stage, position, enter_at, condition) VALUES ('bad', 'x', 1, 10, 'engagment > 5');
INSERT INTO leadscore.lead_stage (model, stage, position, enter_at, condition) VALUES ('bad', 'x', 1, 10, 'fit + 5');
INSERT INTO leadscore.lead_stage (model, stage, position, enter_at, condition) VALUES ('bad', 'x', 1, 10, 'now() > born');
DELETE FROM leadscore.lead_stage WHERE model = 'bad';
UPDATE leadscore.lead_stage SET enter_at = 5 WHERE model = 'bad';
UPDATE leadscore.lead_stage SET condition = 'fit > 5' WHERE model = 'bad';
INSERT INTO leadscore.lead_grade (model, category, grade, min_points) VALUES ('bad', 'fti', 'A', 1);
INSERT INTO leadscore.lead_grade (model, category, grade, min_points) VALUES ('bad', NULL, 'A', 1);
INSERT INTO leadscore.lead_grade (model, category, grade, min_points) VALUES ('bad', 'fit', '', 1);
INSERT INTO leadscore.lead_grade (model, category, grade, min_points) VALUES ('bad', 'fit', 'A', 'NaN');
INSERT INTO leadscore.lead_grade (model, category, grade, min_points) VALUES ('bad', 'fit', 'A', 1), ('bad', 'fit', 'B', 1);
UPDATE leadscore.lead_category SET weight = 'NaN' WHERE model = 'bad';
UPDATE leadscore.lead_category SET min_points = 5, max_points = 1 WHERE model = 'bad';
UPDATE leadscore.lead_category SET max_points = 'infinity' WHERE model = 'bad';
UPDATE leadscore.lead_category SET category = 'other' WHERE model = 'bad' AND category = 'fit';
UPDATE leadscore.lead_model SET max_drift = -1 WHERE model = 'bad';
UPDATE leadscore.lead_model SET max_drift = 'infinity' WHERE model = 'bad';
UPDATE leadscore.lead_model SET max_drift_ratio = 1 WHERE model = 'bad';
UPDATE leadscore.lead_model SET min_score = 10, max_score = 1 WHERE model = 'bad';
UPDATE leadscore.lead_model SET max_score = 'NaN' WHERE model = 'bad';
UPDATE leadscore.lead_model SET model = 'worse' WHERE model = 'bad';
UPDATE leadscore.lead_model SET time_zone = 'Europe/Berln' WHERE model = 'bad';
UPDATE leadscore.lead_model SET key = 'nothing' WHERE model = 'bad';
UPDATE leadscore.lead_model SET contacts = 'pg_class' WHERE model = 'bad';
UPDATE leadscore.lead_model SET created_at = 'nothing', visitors_of = 'bad' WHERE model = 'bad';
UPDATE leadscore.lead_source SET contact = 'nothing' WHERE model = 'bad';
TRUNCATE leadscore.lead_rule;
TRUNCATE leadscore.lead_model CASCADE;

--
-- score tables are read only
--
INSERT INTO leadscore.score_bad SELECT * FROM leadscore.score_bad;
UPDATE leadscore.score_bad SET score = 100;
DELETE FROM leadscore.score_bad;
TRUNCATE leadscore.score_bad;
MERGE INTO leadscore.score_bad s USING contact c ON s.contact_id = c.id WHEN MATCHED THEN DELETE;
UPDATE leadscore.live_bad SET score = 100;
SELECT contact_id, score FROM leadscore.score_bad;

--
-- what is asked
--
SELECT leadscore.score('bda', 1), leadscore.score('bad', 'x');
SELECT leadscore.score('bad', 'x');
SELECT leadscore.score('bad', '2026-01-01'::date);
SELECT leadscore.score('bad', 1, '-infinity');
SELECT leadscore.replay('bda', 1);
SELECT * FROM leadscore.explain('bda', 1);
SELECT * FROM leadscore.verify('bda');
SELECT leadscore.refresh('bda');
SELECT leadscore.rescore('bda');
SELECT leadscore.state_text('\x');
SELECT leadscore.state_text('\x0903');
SELECT leadscore.state_text('\x010000');
SELECT leadscore_internal.capture();
SET leadscore.clock = 'soon';
SET leadscore.rule_error = 'ignore';
SET leadscore.colck = 'x';

--
-- rules that fail while events come in
--
INSERT INTO leadscore.lead_rule (model, name, source, event, condition, points) VALUES ('bad', 'ratio', 'event', 'form', '100 / amount > 5', 3);
INSERT INTO event VALUES (1, 'form', '2026-03-01', 0), (1, 'form', '2026-03-01', 10), (2, 'form', '2026-03-01', 0);
SELECT contact_id, score, leadscore.replay('bad', contact_id) FROM leadscore.score_bad ORDER BY contact_id;
SELECT name, failures > 0 AS failed, sqlstate, message, contact FROM leadscore.rule_errors WHERE model = 'bad' ORDER BY name;
SET leadscore.rule_error = 'error';
INSERT INTO event VALUES (1, 'form', '2026-03-01', 0);
RESET leadscore.rule_error;
SELECT count(*) FROM event;

--
-- columns, functions and tables that go, or change, under a rule
--
SET client_min_messages = warning;
DELETE FROM leadscore.lead_rule WHERE model = 'bad' AND name = 'ratio';
INSERT INTO leadscore.lead_rule (model, name, source, condition, points) VALUES ('bad', 'prices', 'event', 'url = ''/prices''', 10);
CREATE FUNCTION is_big(numeric) RETURNS bool LANGUAGE sql IMMUTABLE AS 'SELECT $1 > 5';
INSERT INTO leadscore.lead_rule (model, name, source, condition, points) VALUES ('bad', 'big', 'event', 'bad.is_big(amount)', 100);
RESET client_min_messages;
SELECT contact_id, score FROM leadscore.score_bad ORDER BY contact_id;
DROP VIEW seen;
DROP MATERIALIZED VIEW kept;
ALTER TABLE event DROP url;
SELECT contact_id, score FROM leadscore.score_bad ORDER BY contact_id;
INSERT INTO event VALUES (1, 'form', '2026-03-01', 6);
DROP FUNCTION is_big;
INSERT INTO event VALUES (1, 'form', '2026-03-01', 6);
SELECT contact_id, score FROM leadscore.score_bad ORDER BY contact_id;
SELECT name, points FROM leadscore.explain('bad', 1);
-- such a rule can be switched off, and put right
UPDATE leadscore.lead_rule SET enabled = false WHERE model = 'bad' AND name = 'prices';
UPDATE leadscore.lead_rule SET enabled = true WHERE model = 'bad' AND name = 'prices';
UPDATE leadscore.lead_rule SET condition = 'amount > 5' WHERE model = 'bad' AND name = 'big';
SELECT contact_id, score FROM leadscore.score_bad ORDER BY contact_id;
CREATE FUNCTION is_big(numeric) RETURNS bool LANGUAGE sql IMMUTABLE AS 'SELECT $1 > 5';
UPDATE leadscore.lead_rule SET condition = 'bad.is_big(amount)' WHERE model = 'bad' AND name = 'big';
CREATE OR REPLACE FUNCTION is_big(numeric) RETURNS bool LANGUAGE sql IMMUTABLE AS 'SELECT $1 > 8';
SELECT contact_id, score FROM leadscore.score_bad ORDER BY contact_id;
SELECT * FROM leadscore.verify('bad');
CREATE OR REPLACE FUNCTION is_big(numeric) RETURNS bool LANGUAGE plpgsql VOLATILE AS 'BEGIN RETURN $1 > 8; END';
CREATE OR REPLACE FUNCTION is_big(numeric) RETURNS bool LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN $1 > 9; END';
SELECT contact_id, score, leadscore.replay('bad', contact_id) FROM leadscore.score_bad ORDER BY contact_id;
ALTER TABLE event RENAME amount TO value;
ALTER TABLE event RENAME value TO amount;
ALTER FUNCTION is_big STABLE;
DROP FUNCTION is_big;
SELECT contact_id, score, leadscore.replay('bad', contact_id) FROM leadscore.score_bad ORDER BY contact_id;
-- columns that the source and the model are made of
ALTER TABLE event ALTER contact TYPE text;
ALTER TABLE event ALTER contact TYPE int USING contact::int;
SELECT contact_id, score, leadscore.replay('bad', contact_id) FROM leadscore.score_bad ORDER BY contact_id;
SELECT leadscore.attach('bad', 'event', 'contact', 'at', event => 'what');
SELECT contact_id, score, leadscore.replay('bad', contact_id) FROM leadscore.score_bad ORDER BY contact_id;
ALTER TABLE contact DROP id;
DROP TRIGGER leadscore_insert ON event;
ALTER TABLE event DROP at;
SELECT contact_id, score, leadscore.replay('bad', contact_id) FROM leadscore.score_bad ORDER BY contact_id;
INSERT INTO leadscore.lead_rule (model, name, source, points) VALUES ('bad', 'r', 'event', 1);
DROP TABLE slow;
SELECT contact_id, score FROM leadscore.score_bad ORDER BY contact_id;
SELECT leadscore.drop_model('bad');
SET client_min_messages = warning;
DROP FOREIGN DATA WRAPPER nothing CASCADE;
DROP SCHEMA bad CASCADE;
