\echo Use "CREATE EXTENSION leadscore" to load this file. \quit

-- The schema is made here, and not named in the control file, so that the
-- extension fails to install where another role's schema already stands.
CREATE SCHEMA leadscore;
COMMENT ON SCHEMA leadscore IS 'lead scoring: models, rules and the scores kept from them';
GRANT USAGE ON SCHEMA leadscore TO PUBLIC;

CREATE FUNCTION leadscore.clock() RETURNS timestamptz
	LANGUAGE c STABLE PARALLEL SAFE
	AS 'MODULE_PATHNAME', 'ls_clock_now';
COMMENT ON FUNCTION leadscore.clock() IS
	'the instant that scores are asked for when none is given; the setting leadscore.clock can hold it still';
-- What a DBA describes: models, categories, sources, rules, stages, grades.
-- Names are compared bytewise, hence COLLATE "C".  Every table is dumped.
--
-- There are no foreign keys among them: a parallel restore loads the tables in
-- any order and makes foreign keys of members of an extension beforehand.  The
-- triggers of check.sql see to it that a row's model exists.

CREATE SEQUENCE leadscore.version_seq;
COMMENT ON SEQUENCE leadscore.version_seq IS
	'versions of rule sets and of what rules match; from a sequence, so that one that was rolled back never recurs';

CREATE TABLE leadscore.lead_model (
	model text COLLATE "C" PRIMARY KEY
		CHECK (model OPERATOR(pg_catalog.~) '^[a-z][a-z0-9_]{0,40}$'),
	owner regrole NOT NULL,
	contacts regclass NOT NULL,
	key text NOT NULL,
	created_at text,
	time_zone text NOT NULL DEFAULT 'UTC',
	max_drift float8 NOT NULL DEFAULT 0.5
		CHECK (max_drift OPERATOR(pg_catalog.>=) 0 AND max_drift OPERATOR(pg_catalog.<) 'infinity'),
	max_drift_ratio float8 NOT NULL DEFAULT 0.005
		CHECK (max_drift_ratio OPERATOR(pg_catalog.>=) 0 AND max_drift_ratio OPERATOR(pg_catalog.<) 1),
	min_score float8
		CHECK (min_score OPERATOR(pg_catalog.>) '-infinity' AND min_score OPERATOR(pg_catalog.<) 'infinity'),
	max_score float8
		CHECK (max_score OPERATOR(pg_catalog.>) '-infinity' AND max_score OPERATOR(pg_catalog.<) 'infinity'),
	enabled boolean NOT NULL DEFAULT true,
	rules_version bigint NOT NULL DEFAULT pg_catalog.nextval('leadscore.version_seq'),
	CONSTRAINT lead_model_limits CHECK (min_score OPERATOR(pg_catalog.<=) max_score)
);
COMMENT ON TABLE leadscore.lead_model IS 'score sheets, made by leadscore.create_model()';
COMMENT ON COLUMN leadscore.lead_model.model IS 'name of the model: what its tables and views are called after';
COMMENT ON COLUMN leadscore.lead_model.owner IS 'owner of the contact table; its members manage the model, and its rights are used to read tables and run rules';
COMMENT ON COLUMN leadscore.lead_model.contacts IS 'table of the contacts';
COMMENT ON COLUMN leadscore.lead_model.key IS 'column that identifies a contact';
COMMENT ON COLUMN leadscore.lead_model.created_at IS 'column with the time at which a contact was made; null: its first event counts as its beginning';
COMMENT ON COLUMN leadscore.lead_model.time_zone IS 'zone in which days and longer periods begin, and in which times without a zone are read';
COMMENT ON COLUMN leadscore.lead_model.max_drift IS 'how far a stored score may be from the exact one, in points';
COMMENT ON COLUMN leadscore.lead_model.max_drift_ratio IS 'how far a stored score may be from the exact one, as a part of it, where that is more';
COMMENT ON COLUMN leadscore.lead_model.min_score IS 'lowest score; null: none';
COMMENT ON COLUMN leadscore.lead_model.max_score IS 'highest score; null: none';
COMMENT ON COLUMN leadscore.lead_model.enabled IS 'whether scores are kept; when it is set again, what was missed is counted';
COMMENT ON COLUMN leadscore.lead_model.rules_version IS 'version of all that the model says, a new one with each change';

CREATE TABLE leadscore.lead_category (
	model text COLLATE "C" NOT NULL,
	category text COLLATE "C" NOT NULL,
	position integer NOT NULL,
	weight float8 NOT NULL DEFAULT 1
		CHECK (weight OPERATOR(pg_catalog.>) '-infinity' AND weight OPERATOR(pg_catalog.<) 'infinity'),
	min_points float8
		CHECK (min_points OPERATOR(pg_catalog.>) '-infinity' AND min_points OPERATOR(pg_catalog.<) 'infinity'),
	max_points float8
		CHECK (max_points OPERATOR(pg_catalog.>) '-infinity' AND max_points OPERATOR(pg_catalog.<) 'infinity'),
	PRIMARY KEY (model, category),
	UNIQUE (model, position),
	CONSTRAINT lead_category_limits CHECK (min_points OPERATOR(pg_catalog.<=) max_points)
);
COMMENT ON TABLE leadscore.lead_category IS 'the parts of a score: each has a column in score_<model>';
COMMENT ON COLUMN leadscore.lead_category.model IS 'the model';
COMMENT ON COLUMN leadscore.lead_category.category IS 'name of the category, and of its column in score_<model>';
COMMENT ON COLUMN leadscore.lead_category.position IS 'place in the order of the columns and of the letters of a grade';
COMMENT ON COLUMN leadscore.lead_category.weight IS 'what the points are multiplied with for the score';
COMMENT ON COLUMN leadscore.lead_category.min_points IS 'lowest points; null: none';
COMMENT ON COLUMN leadscore.lead_category.max_points IS 'highest points; null: none';

CREATE TABLE leadscore.lead_source (
	model text COLLATE "C" NOT NULL,
	source text COLLATE "C" NOT NULL,
	relation regclass NOT NULL,
	contact text NOT NULL,
	occurred_at text NOT NULL,
	event text,
	time_zone text,
	PRIMARY KEY (model, source)
);
COMMENT ON TABLE leadscore.lead_source IS 'event tables that feed a model, written by leadscore.attach()';
COMMENT ON COLUMN leadscore.lead_source.model IS 'the model that is fed';
COMMENT ON COLUMN leadscore.lead_source.source IS 'name of the source, by which rules refer to it';
COMMENT ON COLUMN leadscore.lead_source.relation IS 'the event table';
COMMENT ON COLUMN leadscore.lead_source.contact IS 'column with the contact';
COMMENT ON COLUMN leadscore.lead_source.occurred_at IS 'column with the time of the event';
COMMENT ON COLUMN leadscore.lead_source.event IS 'column with the name of the event; null: none';
COMMENT ON COLUMN leadscore.lead_source.time_zone IS 'zone in which times without a zone are read; null: the models';

CREATE TABLE leadscore.lead_rule (
	rule_id bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
	model text COLLATE "C" NOT NULL,
	name text COLLATE "C" NOT NULL,
	category text COLLATE "C" NOT NULL,
	kind text NOT NULL DEFAULT 'event',
	source text COLLATE "C",
	event text,
	condition text,
	points float8 NOT NULL,
	weight text,
	award text,
	time_frame interval,
	at_least integer NOT NULL DEFAULT 1,
	decay text NOT NULL DEFAULT 'none',
	decay_interval interval,
	decay_keep float8,
	max_points float8,
	max_per_period float8,
	period interval,
	idle interval,
	max_gap interval,
	followed_by text,
	followed_condition text,
	followed_source text COLLATE "C",
	negated boolean NOT NULL DEFAULT false,
	disqualifies boolean NOT NULL DEFAULT false,
	enabled boolean NOT NULL DEFAULT true,
	events_from timestamptz,
	events_before timestamptz,
	description text,
	counted_version bigint,
	UNIQUE (model, name)
);
COMMENT ON TABLE leadscore.lead_rule IS
	'what counts, and how much: written with plain INSERT, UPDATE and DELETE by members of the model''s owner';
COMMENT ON COLUMN leadscore.lead_rule.rule_id IS 'number of the rule';
COMMENT ON COLUMN leadscore.lead_rule.model IS 'the model';
COMMENT ON COLUMN leadscore.lead_rule.name IS 'name of the rule, as explain() shows it';
COMMENT ON COLUMN leadscore.lead_rule.category IS 'category that the points go to; left out: fit for a profile rule, else engagement';
COMMENT ON COLUMN leadscore.lead_rule.kind IS 'what counts: event, absence of events, or profile, a property of the contact';
COMMENT ON COLUMN leadscore.lead_rule.source IS 'source whose rows are read; left out where the model has one only; null: every source (absence) or the contact table (profile)';
COMMENT ON COLUMN leadscore.lead_rule.event IS 'name of the event, compared byte by byte; null: any';
COMMENT ON COLUMN leadscore.lead_rule.condition IS 'SQL expression over the columns of the sources table, or of the contact table for a profile rule; null: always';
COMMENT ON COLUMN leadscore.lead_rule.points IS 'points of one event, of one period of absence, or of the profile';
COMMENT ON COLUMN leadscore.lead_rule.weight IS 'SQL expression that the points are multiplied with; null: 1';
COMMENT ON COLUMN leadscore.lead_rule.award IS 'each: points for each event; once: points for the latest only; left out: once where at_least is above 1 or the kind is absence';
COMMENT ON COLUMN leadscore.lead_rule.time_frame IS 'how old an event may be to count, in whole periods; null: any age';
COMMENT ON COLUMN leadscore.lead_rule.at_least IS 'how many events there must be for the rule to give anything';
COMMENT ON COLUMN leadscore.lead_rule.decay IS 'how points fall with age: none, half_life, linear or step';
COMMENT ON COLUMN leadscore.lead_rule.decay_interval IS 'time in which points fall to a half (half_life), to nothing (linear), or by one step';
COMMENT ON COLUMN leadscore.lead_rule.decay_keep IS 'part of the points that is left after each step, from 0 to 1';
COMMENT ON COLUMN leadscore.lead_rule.max_points IS 'limit of what the rule gives, above and below zero; null: none';
COMMENT ON COLUMN leadscore.lead_rule.max_per_period IS 'limit of what the events of one period give before their decay, above and below zero; null: none';
COMMENT ON COLUMN leadscore.lead_rule.period IS 'unit in which age is counted; null: one is chosen';
COMMENT ON COLUMN leadscore.lead_rule.idle IS 'length of time without events that counts as one period of absence';
COMMENT ON COLUMN leadscore.lead_rule.max_gap IS 'how long after an event another may follow it';
COMMENT ON COLUMN leadscore.lead_rule.followed_by IS 'name of the event that follows';
COMMENT ON COLUMN leadscore.lead_rule.followed_condition IS 'SQL expression over the row that follows';
COMMENT ON COLUMN leadscore.lead_rule.followed_source IS 'source of the event that follows; null: the same';
COMMENT ON COLUMN leadscore.lead_rule.negated IS 'whether events count that none follows';
COMMENT ON COLUMN leadscore.lead_rule.disqualifies IS 'whether contacts are disqualified while the rule is in force';
COMMENT ON COLUMN leadscore.lead_rule.enabled IS 'whether the rule counts';
COMMENT ON COLUMN leadscore.lead_rule.events_from IS 'events before this do not count; null: any';
COMMENT ON COLUMN leadscore.lead_rule.events_before IS 'events from this on do not count; null: any';
COMMENT ON COLUMN leadscore.lead_rule.description IS 'for people';
COMMENT ON COLUMN leadscore.lead_rule.counted_version IS 'internal: version of what the rule matches, as it is counted; null or 0: not counted';

CREATE TABLE leadscore.lead_stage (
	model text COLLATE "C" NOT NULL,
	stage text COLLATE "C" NOT NULL CHECK (stage OPERATOR(pg_catalog.<>) 'disqualified'),
	position integer NOT NULL,
	enter_at float8 NOT NULL CHECK (enter_at OPERATOR(pg_catalog.<) 'infinity'),
	leave_below float8 CHECK (leave_below OPERATOR(pg_catalog.<) 'infinity'),
	sticky boolean NOT NULL DEFAULT false,
	condition text,
	PRIMARY KEY (model, stage),
	UNIQUE (model, position),
	CONSTRAINT lead_stage_hysteresis CHECK (leave_below OPERATOR(pg_catalog.<=) enter_at)
);
COMMENT ON TABLE leadscore.lead_stage IS 'stages of a model: where they are entered and left';
COMMENT ON COLUMN leadscore.lead_stage.model IS 'the model';
COMMENT ON COLUMN leadscore.lead_stage.stage IS 'name of the stage';
COMMENT ON COLUMN leadscore.lead_stage.position IS 'place in the order of the stages; that of the first stage is the lowest';
COMMENT ON COLUMN leadscore.lead_stage.enter_at IS 'score at which the stage is entered';
COMMENT ON COLUMN leadscore.lead_stage.leave_below IS 'score below which it is left; null: a little below enter_at';
COMMENT ON COLUMN leadscore.lead_stage.sticky IS 'whether it is left upwards only, by hand, or by disqualification';
COMMENT ON COLUMN leadscore.lead_stage.condition IS 'SQL expression over contact, score and categories that must hold, too; null: always';

CREATE TABLE leadscore.lead_grade (
	model text COLLATE "C" NOT NULL,
	category text COLLATE "C" NOT NULL,
	grade text NOT NULL CHECK (grade OPERATOR(pg_catalog.<>) ''),
	min_points float8 NOT NULL CHECK (min_points OPERATOR(pg_catalog.<) 'infinity'),
	PRIMARY KEY (model, category, grade),
	UNIQUE (model, category, min_points)
);
COMMENT ON TABLE leadscore.lead_grade IS 'bands of a category''s points and the letter that each gives';
COMMENT ON COLUMN leadscore.lead_grade.model IS 'the model';
COMMENT ON COLUMN leadscore.lead_grade.category IS 'category whose points are graded';
COMMENT ON COLUMN leadscore.lead_grade.grade IS 'what the band adds to the grade, such as a letter';
COMMENT ON COLUMN leadscore.lead_grade.min_points IS 'points from which the band reaches up to the next';

CREATE TABLE leadscore.lead_stage_history (
	model text COLLATE "C" NOT NULL,
	contact text NOT NULL,
	from_stage text,
	to_stage text NOT NULL,
	score float8 NOT NULL,
	changed_at timestamptz NOT NULL,
	recorded_at timestamptz NOT NULL,
	cause text NOT NULL
		CHECK (cause OPERATOR(pg_catalog.=) ANY (ARRAY['event', 'time', 'rule', 'profile', 'manual', 'merge', 'backfill']))
);
CREATE INDEX lead_stage_history_contact ON leadscore.lead_stage_history (model, contact, changed_at);
COMMENT ON TABLE leadscore.lead_stage_history IS 'every change of stage: when it happened, when it was recorded, and why';
COMMENT ON COLUMN leadscore.lead_stage_history.model IS 'the model';
COMMENT ON COLUMN leadscore.lead_stage_history.contact IS 'key of the contact, as text; the view history_<model> has it in its own type';
COMMENT ON COLUMN leadscore.lead_stage_history.from_stage IS 'stage that it left; null: its first';
COMMENT ON COLUMN leadscore.lead_stage_history.to_stage IS 'stage that it entered';
COMMENT ON COLUMN leadscore.lead_stage_history.score IS 'its score at that instant';
COMMENT ON COLUMN leadscore.lead_stage_history.changed_at IS 'when it happened';
COMMENT ON COLUMN leadscore.lead_stage_history.recorded_at IS 'when it was written down';
COMMENT ON COLUMN leadscore.lead_stage_history.cause IS 'why: event, time, rule, profile, manual, merge or backfill';

CREATE TABLE leadscore.lead_rule_error (
	model text COLLATE "C" NOT NULL,
	rule_id bigint,
	name text NOT NULL,
	failed_at timestamptz NOT NULL,
	failures bigint NOT NULL,
	sqlstate text NOT NULL,
	message text NOT NULL,
	contact text
);
COMMENT ON TABLE leadscore.lead_rule_error IS
	'rules that failed on a row and were skipped; see the view leadscore.rule_errors';
COMMENT ON COLUMN leadscore.lead_rule_error.model IS 'the model';
COMMENT ON COLUMN leadscore.lead_rule_error.rule_id IS 'number of the rule that failed';
COMMENT ON COLUMN leadscore.lead_rule_error.name IS 'name of the rule';
COMMENT ON COLUMN leadscore.lead_rule_error.failed_at IS 'when it was written down';
COMMENT ON COLUMN leadscore.lead_rule_error.failures IS 'how many rows it failed on since the last time';
COMMENT ON COLUMN leadscore.lead_rule_error.sqlstate IS 'code of the first of the errors';
COMMENT ON COLUMN leadscore.lead_rule_error.message IS 'message of the first of the errors';
COMMENT ON COLUMN leadscore.lead_rule_error.contact IS 'contact of the first of the rows';

-- Members of a model's owner see and manage what belongs to it; superusers and
-- the extension's owner are not bound by these policies.

CREATE FUNCTION leadscore._may_manage(model text) RETURNS boolean
	LANGUAGE c STABLE STRICT
	AS 'MODULE_PATHNAME', 'ls_may_manage';
COMMENT ON FUNCTION leadscore._may_manage(text) IS
	'whether the current user has the rights of the model''s owner';

ALTER TABLE leadscore.lead_model ENABLE ROW LEVEL SECURITY;
ALTER TABLE leadscore.lead_category ENABLE ROW LEVEL SECURITY;
ALTER TABLE leadscore.lead_source ENABLE ROW LEVEL SECURITY;
ALTER TABLE leadscore.lead_rule ENABLE ROW LEVEL SECURITY;
ALTER TABLE leadscore.lead_stage ENABLE ROW LEVEL SECURITY;
ALTER TABLE leadscore.lead_grade ENABLE ROW LEVEL SECURITY;
ALTER TABLE leadscore.lead_stage_history ENABLE ROW LEVEL SECURITY;
ALTER TABLE leadscore.lead_rule_error ENABLE ROW LEVEL SECURITY;

CREATE POLICY owner ON leadscore.lead_model USING (leadscore._may_manage(model));
CREATE POLICY owner ON leadscore.lead_category USING (leadscore._may_manage(model));
CREATE POLICY owner ON leadscore.lead_source USING (leadscore._may_manage(model));
CREATE POLICY owner ON leadscore.lead_rule USING (leadscore._may_manage(model));
CREATE POLICY owner ON leadscore.lead_stage USING (leadscore._may_manage(model));
CREATE POLICY owner ON leadscore.lead_grade USING (leadscore._may_manage(model));
CREATE POLICY owner ON leadscore.lead_stage_history USING (leadscore._may_manage(model));
CREATE POLICY owner ON leadscore.lead_rule_error USING (leadscore._may_manage(model));

GRANT SELECT ON leadscore.lead_model, leadscore.lead_category, leadscore.lead_source,
	leadscore.lead_rule, leadscore.lead_stage, leadscore.lead_grade,
	leadscore.lead_stage_history, leadscore.lead_rule_error TO PUBLIC;
GRANT UPDATE (max_drift, max_drift_ratio, min_score, max_score, enabled)
	ON leadscore.lead_model TO PUBLIC;
GRANT UPDATE (weight, min_points, max_points) ON leadscore.lead_category TO PUBLIC;
GRANT INSERT, UPDATE, DELETE ON leadscore.lead_rule, leadscore.lead_stage,
	leadscore.lead_grade TO PUBLIC;

SELECT pg_catalog.pg_extension_config_dump('leadscore.version_seq', '');
SELECT pg_catalog.pg_extension_config_dump('leadscore.lead_model', '');
SELECT pg_catalog.pg_extension_config_dump('leadscore.lead_category', '');
SELECT pg_catalog.pg_extension_config_dump('leadscore.lead_source', '');
SELECT pg_catalog.pg_extension_config_dump('leadscore.lead_rule', '');
SELECT pg_catalog.pg_extension_config_dump('leadscore.lead_rule_rule_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('leadscore.lead_stage', '');
SELECT pg_catalog.pg_extension_config_dump('leadscore.lead_grade', '');
SELECT pg_catalog.pg_extension_config_dump('leadscore.lead_stage_history', '');
SELECT pg_catalog.pg_extension_config_dump('leadscore.lead_rule_error', '');
CREATE FUNCTION leadscore._guard() RETURNS trigger
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'ls_guard';
REVOKE ALL ON FUNCTION leadscore._guard() FROM PUBLIC;
COMMENT ON FUNCTION leadscore._guard() IS
	'refuses direct writes to score tables';
CREATE FUNCTION leadscore.refresh(model text DEFAULT NULL) RETURNS bigint
	LANGUAGE c VOLATILE
	AS 'MODULE_PATHNAME', 'ls_refresh_model';
COMMENT ON FUNCTION leadscore.refresh(text) IS
	'writes the scores that time or rules have changed, now and in this session; NULL: of every model of yours. Returns how many contacts';

CREATE FUNCTION leadscore.rescore(model text) RETURNS bigint
	LANGUAGE c VOLATILE STRICT
	AS 'MODULE_PATHNAME', 'ls_rescore_model';
COMMENT ON FUNCTION leadscore.rescore(text) IS
	'counts every contact of a model anew from the events. Returns how many contacts there are';
-- What is refused when a DBA writes to the tables of catalog.sql, and what
-- follows when nothing is.  Triggers of one table and time run by name.

CREATE FUNCTION leadscore._check_rule() RETURNS trigger
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'ls_check_rule';
REVOKE ALL ON FUNCTION leadscore._check_rule() FROM PUBLIC;
COMMENT ON FUNCTION leadscore._check_rule() IS
	'trigger: fills in the defaults of a rule and refuses one that could not be evaluated';

CREATE FUNCTION leadscore._advise_rule() RETURNS trigger
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'ls_advise_rule';
REVOKE ALL ON FUNCTION leadscore._advise_rule() FROM PUBLIC;
COMMENT ON FUNCTION leadscore._advise_rule() IS
	'trigger: notices about rules that match nothing, or everything';

CREATE FUNCTION leadscore._rules_changed() RETURNS trigger
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'ls_rules_changed';
REVOKE ALL ON FUNCTION leadscore._rules_changed() FROM PUBLIC;
COMMENT ON FUNCTION leadscore._rules_changed() IS
	'trigger: gives the models of changed rules a new version and counts rules that match something new';

CREATE FUNCTION leadscore._check_stage() RETURNS trigger
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'ls_check_stage';
REVOKE ALL ON FUNCTION leadscore._check_stage() FROM PUBLIC;
COMMENT ON FUNCTION leadscore._check_stage() IS
	'trigger: refuses stages without meaning, and to delete the first one';

CREATE FUNCTION leadscore._check_grade() RETURNS trigger
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'ls_check_grade';
REVOKE ALL ON FUNCTION leadscore._check_grade() FROM PUBLIC;
COMMENT ON FUNCTION leadscore._check_grade() IS
	'trigger: refuses grades without meaning';

CREATE FUNCTION leadscore._check_category() RETURNS trigger
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'ls_check_category_row';
REVOKE ALL ON FUNCTION leadscore._check_category() FROM PUBLIC;
COMMENT ON FUNCTION leadscore._check_category() IS
	'trigger: refuses weights and limits of categories without meaning';

CREATE FUNCTION leadscore._check_model() RETURNS trigger
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'ls_check_model';
REVOKE ALL ON FUNCTION leadscore._check_model() FROM PUBLIC;
COMMENT ON FUNCTION leadscore._check_model() IS
	'trigger: refuses drifts and limits of models without meaning';

CREATE FUNCTION leadscore._sheet_changed() RETURNS trigger
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'ls_sheet_changed';
REVOKE ALL ON FUNCTION leadscore._sheet_changed() FROM PUBLIC;
COMMENT ON FUNCTION leadscore._sheet_changed() IS
	'trigger: gives the models of changed stages, grades and categories a new version';

CREATE FUNCTION leadscore._model_changed() RETURNS trigger
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'ls_model_row_changed';
REVOKE ALL ON FUNCTION leadscore._model_changed() FROM PUBLIC;
COMMENT ON FUNCTION leadscore._model_changed() IS
	'trigger: gives a changed model a new version, and counts anew what it missed while it was not enabled';

CREATE FUNCTION leadscore._refuse_truncate() RETURNS trigger
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'ls_refuse_truncate';
REVOKE ALL ON FUNCTION leadscore._refuse_truncate() FROM PUBLIC;
COMMENT ON FUNCTION leadscore._refuse_truncate() IS
	'trigger: refuses TRUNCATE, which scores would not follow';

CREATE FUNCTION leadscore._refresh_changed() RETURNS trigger
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'ls_refresh_changed';
REVOKE ALL ON FUNCTION leadscore._refresh_changed() FROM PUBLIC;
COMMENT ON FUNCTION leadscore._refresh_changed() IS
	'trigger, at the end of the transaction: brings the stored scores of changed models up to date';

CREATE TRIGGER check_rule BEFORE INSERT OR UPDATE ON leadscore.lead_rule
	FOR EACH ROW EXECUTE FUNCTION leadscore._check_rule();
CREATE TRIGGER advise_rule AFTER INSERT OR UPDATE ON leadscore.lead_rule
	FOR EACH ROW WHEN (NEW.counted_version IS NULL)
	EXECUTE FUNCTION leadscore._advise_rule();
CREATE TRIGGER rules_inserted AFTER INSERT ON leadscore.lead_rule
	REFERENCING NEW TABLE AS new_rows
	FOR EACH STATEMENT EXECUTE FUNCTION leadscore._rules_changed();
CREATE TRIGGER rules_updated AFTER UPDATE ON leadscore.lead_rule
	REFERENCING NEW TABLE AS new_rows
	FOR EACH STATEMENT EXECUTE FUNCTION leadscore._rules_changed();
CREATE TRIGGER rules_deleted AFTER DELETE ON leadscore.lead_rule
	REFERENCING OLD TABLE AS old_rows
	FOR EACH STATEMENT EXECUTE FUNCTION leadscore._rules_changed();

CREATE TRIGGER check_stage BEFORE INSERT OR UPDATE OR DELETE ON leadscore.lead_stage
	FOR EACH ROW EXECUTE FUNCTION leadscore._check_stage();
CREATE TRIGGER stages_inserted AFTER INSERT ON leadscore.lead_stage
	REFERENCING NEW TABLE AS new_rows
	FOR EACH STATEMENT EXECUTE FUNCTION leadscore._sheet_changed();
CREATE TRIGGER stages_updated AFTER UPDATE ON leadscore.lead_stage
	REFERENCING NEW TABLE AS new_rows
	FOR EACH STATEMENT EXECUTE FUNCTION leadscore._sheet_changed();
CREATE TRIGGER stages_deleted AFTER DELETE ON leadscore.lead_stage
	REFERENCING OLD TABLE AS old_rows
	FOR EACH STATEMENT EXECUTE FUNCTION leadscore._sheet_changed();

CREATE TRIGGER check_grade BEFORE INSERT OR UPDATE ON leadscore.lead_grade
	FOR EACH ROW EXECUTE FUNCTION leadscore._check_grade();
CREATE TRIGGER grades_inserted AFTER INSERT ON leadscore.lead_grade
	REFERENCING NEW TABLE AS new_rows
	FOR EACH STATEMENT EXECUTE FUNCTION leadscore._sheet_changed();
CREATE TRIGGER grades_updated AFTER UPDATE ON leadscore.lead_grade
	REFERENCING NEW TABLE AS new_rows
	FOR EACH STATEMENT EXECUTE FUNCTION leadscore._sheet_changed();
CREATE TRIGGER grades_deleted AFTER DELETE ON leadscore.lead_grade
	REFERENCING OLD TABLE AS old_rows
	FOR EACH STATEMENT EXECUTE FUNCTION leadscore._sheet_changed();

-- categories come and go with their model only
CREATE TRIGGER check_category BEFORE UPDATE ON leadscore.lead_category
	FOR EACH ROW EXECUTE FUNCTION leadscore._check_category();
CREATE TRIGGER categories_updated AFTER UPDATE ON leadscore.lead_category
	REFERENCING NEW TABLE AS new_rows
	FOR EACH STATEMENT EXECUTE FUNCTION leadscore._sheet_changed();

CREATE TRIGGER check_model BEFORE UPDATE ON leadscore.lead_model
	FOR EACH ROW EXECUTE FUNCTION leadscore._check_model();
CREATE TRIGGER model_changed AFTER UPDATE ON leadscore.lead_model
	FOR EACH ROW EXECUTE FUNCTION leadscore._model_changed();

CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON leadscore.lead_model
	FOR EACH STATEMENT EXECUTE FUNCTION leadscore._refuse_truncate();
CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON leadscore.lead_category
	FOR EACH STATEMENT EXECUTE FUNCTION leadscore._refuse_truncate();
CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON leadscore.lead_source
	FOR EACH STATEMENT EXECUTE FUNCTION leadscore._refuse_truncate();
CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON leadscore.lead_rule
	FOR EACH STATEMENT EXECUTE FUNCTION leadscore._refuse_truncate();
CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON leadscore.lead_stage
	FOR EACH STATEMENT EXECUTE FUNCTION leadscore._refuse_truncate();
CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON leadscore.lead_grade
	FOR EACH STATEMENT EXECUTE FUNCTION leadscore._refuse_truncate();

-- At the end of the transaction, so that rules can be changed, looked at and
-- rolled back at no cost.
CREATE CONSTRAINT TRIGGER refresh_changed AFTER INSERT OR UPDATE OR DELETE ON leadscore.lead_model
	DEFERRABLE INITIALLY DEFERRED
	FOR EACH ROW EXECUTE FUNCTION leadscore._refresh_changed();
CREATE CONSTRAINT TRIGGER refresh_changed AFTER INSERT OR UPDATE OR DELETE ON leadscore.lead_category
	DEFERRABLE INITIALLY DEFERRED
	FOR EACH ROW EXECUTE FUNCTION leadscore._refresh_changed();
CREATE CONSTRAINT TRIGGER refresh_changed AFTER INSERT OR UPDATE OR DELETE ON leadscore.lead_rule
	DEFERRABLE INITIALLY DEFERRED
	FOR EACH ROW EXECUTE FUNCTION leadscore._refresh_changed();
CREATE CONSTRAINT TRIGGER refresh_changed AFTER INSERT OR UPDATE OR DELETE ON leadscore.lead_stage
	DEFERRABLE INITIALLY DEFERRED
	FOR EACH ROW EXECUTE FUNCTION leadscore._refresh_changed();
CREATE CONSTRAINT TRIGGER refresh_changed AFTER INSERT OR UPDATE OR DELETE ON leadscore.lead_grade
	DEFERRABLE INITIALLY DEFERRED
	FOR EACH ROW EXECUTE FUNCTION leadscore._refresh_changed();
CREATE FUNCTION leadscore._enter() RETURNS trigger
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'ls_enter';
REVOKE ALL ON FUNCTION leadscore._enter() FROM PUBLIC;
COMMENT ON FUNCTION leadscore._enter() IS
	'fires before statements on event and contact tables, so that what they change is settled when the outermost of them ends';

CREATE FUNCTION leadscore._capture() RETURNS trigger
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'ls_capture';
REVOKE ALL ON FUNCTION leadscore._capture() FROM PUBLIC;
COMMENT ON FUNCTION leadscore._capture() IS
	'fires after statements on event and contact tables and keeps the scores right';
CREATE FUNCTION leadscore.create_model(model text, contacts regclass, key text DEFAULT NULL,
		categories text[] DEFAULT '{fit,engagement}', created_at text DEFAULT NULL,
		time_zone text DEFAULT 'UTC') RETURNS regclass
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'ls_create_model';
COMMENT ON FUNCTION leadscore.create_model(text, regclass, text, text[], text, text) IS
	'makes a model, a score sheet over a contact table, and gives every contact its score; returns its score table';

CREATE FUNCTION leadscore.drop_model(model text) RETURNS void
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'ls_drop_model_sql';
COMMENT ON FUNCTION leadscore.drop_model(text) IS
	'drops a model with its rules, scores and history';

CREATE FUNCTION leadscore.detach_all() RETURNS void
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'ls_detach_all';
REVOKE ALL ON FUNCTION leadscore.detach_all() FROM PUBLIC;
COMMENT ON FUNCTION leadscore.detach_all() IS
	'drops every model, so that the extension can be dropped';
-- Tables that feed models, each with the partitions and children it has: what
-- has our triggers, and what a change of tables is compared with.

CREATE TABLE leadscore.lead_relation (
	model text COLLATE "C" NOT NULL,
	source text COLLATE "C",
	relation regclass NOT NULL,
	UNIQUE NULLS NOT DISTINCT (model, source, relation)
);
CREATE INDEX lead_relation_relation ON leadscore.lead_relation (relation);
COMMENT ON TABLE leadscore.lead_relation IS
	'every table that feeds a model: the contact table (source is null) and attached ones, with their partitions and children';
COMMENT ON COLUMN leadscore.lead_relation.model IS 'the model that is fed';
COMMENT ON COLUMN leadscore.lead_relation.source IS 'the source that the table belongs to; null: it is the contact table or a part of it';
COMMENT ON COLUMN leadscore.lead_relation.relation IS 'the table, which has triggers named leadscore_...';

ALTER TABLE leadscore.lead_relation ENABLE ROW LEVEL SECURITY;
CREATE POLICY owner ON leadscore.lead_relation USING (leadscore._may_manage(model));
GRANT SELECT ON leadscore.lead_relation TO PUBLIC;
SELECT pg_catalog.pg_extension_config_dump('leadscore.lead_relation', '');

CREATE FUNCTION leadscore.attach(model text, events regclass, contact text, occurred_at text,
		event text DEFAULT NULL, source text DEFAULT NULL, time_zone text DEFAULT NULL) RETURNS void
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'ls_attach';
COMMENT ON FUNCTION leadscore.attach(text, regclass, text, text, text, text, text) IS
	'has an event table feed a model, as a source named after the table unless named; the rows that are there are counted';

CREATE FUNCTION leadscore.detach(model text, source text) RETURNS void
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'ls_detach';
COMMENT ON FUNCTION leadscore.detach(text, text) IS
	'takes a source from a model: what it contributed leaves the scores, its rules wait until it is attached again';
-- Changes of tables, functions and rights that models have to follow.

CREATE FUNCTION leadscore._ddl_command() RETURNS event_trigger
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'ls_ddl_command';
REVOKE ALL ON FUNCTION leadscore._ddl_command() FROM PUBLIC;
COMMENT ON FUNCTION leadscore._ddl_command() IS
	'brings models in line with what a command has made or altered';

CREATE FUNCTION leadscore._ddl_drop() RETURNS event_trigger
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'ls_ddl_drop';
REVOKE ALL ON FUNCTION leadscore._ddl_drop() FROM PUBLIC;
COMMENT ON FUNCTION leadscore._ddl_drop() IS
	'brings models in line with what a command has dropped';

CREATE EVENT TRIGGER leadscore_ddl_command ON ddl_command_end
	WHEN TAG IN ('CREATE TABLE', 'CREATE FOREIGN TABLE', 'CREATE SCHEMA',
		'ALTER TABLE', 'ALTER FOREIGN TABLE', 'ALTER SCHEMA',
		'CREATE FUNCTION', 'ALTER FUNCTION', 'ALTER ROUTINE',
		'CREATE OPERATOR', 'ALTER OPERATOR', 'CREATE CAST',
		'CREATE TYPE', 'ALTER TYPE', 'CREATE DOMAIN', 'ALTER DOMAIN',
		'CREATE COLLATION', 'ALTER COLLATION',
		'CREATE TEXT SEARCH CONFIGURATION', 'ALTER TEXT SEARCH CONFIGURATION',
		'CREATE EXTENSION', 'ALTER EXTENSION', 'GRANT', 'REVOKE')
	EXECUTE FUNCTION leadscore._ddl_command();
COMMENT ON EVENT TRIGGER leadscore_ddl_command IS
	'leadscore: models follow changes of tables, functions and rights';

CREATE EVENT TRIGGER leadscore_ddl_drop ON sql_drop
	EXECUTE FUNCTION leadscore._ddl_drop();
COMMENT ON EVENT TRIGGER leadscore_ddl_drop IS
	'leadscore: models follow what is dropped';
-- Two overloads each: a contact is given in the key's own type, or as text.

CREATE FUNCTION leadscore.score(model text, contact anyelement, at timestamptz DEFAULT NULL)
	RETURNS float8
	LANGUAGE c STABLE
	AS 'MODULE_PATHNAME', 'ls_score';
COMMENT ON FUNCTION leadscore.score(text, anyelement, timestamptz) IS
	'the exact score of a contact at an instant, past or future; NULL for an unknown contact';
CREATE FUNCTION leadscore.score(model text, contact text, at timestamptz DEFAULT NULL)
	RETURNS float8
	LANGUAGE c STABLE
	AS 'MODULE_PATHNAME', 'ls_score';
COMMENT ON FUNCTION leadscore.score(text, text, timestamptz) IS
	'the exact score of a contact at an instant, past or future; NULL for an unknown contact';

CREATE FUNCTION leadscore.replay(model text, contact anyelement, at timestamptz DEFAULT NULL)
	RETURNS float8
	LANGUAGE c STABLE
	AS 'MODULE_PATHNAME', 'ls_replay';
COMMENT ON FUNCTION leadscore.replay(text, anyelement, timestamptz) IS
	'the score of a contact computed from the raw events alone';
CREATE FUNCTION leadscore.replay(model text, contact text, at timestamptz DEFAULT NULL)
	RETURNS float8
	LANGUAGE c STABLE
	AS 'MODULE_PATHNAME', 'ls_replay';
COMMENT ON FUNCTION leadscore.replay(text, text, timestamptz) IS
	'the score of a contact computed from the raw events alone';

CREATE FUNCTION leadscore.explain(model text, contact anyelement, at timestamptz DEFAULT NULL,
		OUT rule_id bigint, OUT name text, OUT category text, OUT kind text,
		OUT matched bigint, OUT last_match timestamptz, OUT raw float8, OUT points float8)
	RETURNS SETOF record
	LANGUAGE c STABLE ROWS 20
	AS 'MODULE_PATHNAME', 'ls_explain';
COMMENT ON FUNCTION leadscore.explain(text, anyelement, timestamptz) IS
	'what each rule contributes to a contact''s score at an instant';
CREATE FUNCTION leadscore.explain(model text, contact text, at timestamptz DEFAULT NULL,
		OUT rule_id bigint, OUT name text, OUT category text, OUT kind text,
		OUT matched bigint, OUT last_match timestamptz, OUT raw float8, OUT points float8)
	RETURNS SETOF record
	LANGUAGE c STABLE ROWS 20
	AS 'MODULE_PATHNAME', 'ls_explain';
COMMENT ON FUNCTION leadscore.explain(text, text, timestamptz) IS
	'what each rule contributes to a contact''s score at an instant';

CREATE FUNCTION leadscore.verify(model text,
		OUT contact text, OUT stored float8, OUT replayed float8, OUT status text)
	RETURNS SETOF record
	LANGUAGE c STABLE STRICT ROWS 10
	AS 'MODULE_PATHNAME', 'ls_verify';
COMMENT ON FUNCTION leadscore.verify(text) IS
	'contacts whose stored score is not what the raw events give; no rows are the proof that all are right';

CREATE FUNCTION leadscore.state_text(state bytea) RETURNS text
	LANGUAGE c STABLE STRICT PARALLEL SAFE
	AS 'MODULE_PATHNAME', 'ls_state_text';
COMMENT ON FUNCTION leadscore.state_text(bytea) IS
	'the state of a contact as a person reads it';

CREATE FUNCTION leadscore._live(contact anyelement, at timestamptz) RETURNS anyelement
	LANGUAGE c STABLE STRICT
	AS 'MODULE_PATHNAME', 'ls_live';
COMMENT ON FUNCTION leadscore._live(anyelement, timestamptz) IS
	'a row of a score table as it is at an instant: for the views live_<model>';

CREATE VIEW leadscore.rule_errors AS
	SELECT model, rule_id, name, max(failed_at) AS last_failed_at,
		   sum(failures) AS failures,
		   (array_agg(sqlstate ORDER BY failed_at DESC))[1] AS sqlstate,
		   (array_agg(message ORDER BY failed_at DESC))[1] AS message,
		   (array_agg(contact ORDER BY failed_at DESC))[1] AS contact
	  FROM leadscore.lead_rule_error
	 WHERE leadscore._may_manage(model)
	 GROUP BY model, rule_id, name;
COMMENT ON VIEW leadscore.rule_errors IS
	'rules that failed and were skipped: how often, when last, why, and on whose row';
COMMENT ON COLUMN leadscore.rule_errors.model IS 'the model';
COMMENT ON COLUMN leadscore.rule_errors.rule_id IS 'number of the rule';
COMMENT ON COLUMN leadscore.rule_errors.name IS 'name of the rule';
COMMENT ON COLUMN leadscore.rule_errors.last_failed_at IS 'when a failure was last written down';
COMMENT ON COLUMN leadscore.rule_errors.failures IS 'how many rows it failed on, as far as written down';
COMMENT ON COLUMN leadscore.rule_errors.sqlstate IS 'code of the latest error';
COMMENT ON COLUMN leadscore.rule_errors.message IS 'message of the latest error';
COMMENT ON COLUMN leadscore.rule_errors.contact IS 'contact of the latest row';
GRANT SELECT ON leadscore.rule_errors TO PUBLIC;
