-- What a DBA describes: models, categories, sources, stages, grades; rules are in
-- lead_rule.sql.
-- Names are compared bytewise, hence COLLATE "C".  Every table is dumped.
--
-- There are no foreign keys among them: a parallel restore loads the tables in
-- any order and makes foreign keys of members of an extension beforehand.  The
-- views through which they are written make sure that a row's model exists
-- (definition_view.sql).

CREATE SEQUENCE leadscore_internal.version_seq;
COMMENT ON SEQUENCE leadscore_internal.version_seq IS
	'versions of rule sets and of what rules match; from a sequence, so that one that was rolled back never recurs';

CREATE SEQUENCE leadscore_internal.dump_seq;
COMMENT ON SEQUENCE leadscore_internal.dump_seq IS
	'numbers models; the only sequence that is dumped: it comes after all rows, so that a restored model is known to be complete when it has come to its number';

CREATE TABLE leadscore_internal.lead_model (
	model text COLLATE "C" PRIMARY KEY
		CHECK (model OPERATOR(pg_catalog.~) '^[a-z][a-z0-9_]{0,40}$'),
	accepted_owner oid NOT NULL,
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
	rules_version bigint NOT NULL DEFAULT pg_catalog.nextval('leadscore_internal.version_seq'),
	daily boolean NOT NULL DEFAULT false,
	visitors_of text COLLATE "C",
	restoring boolean NOT NULL DEFAULT false,
	dump_number bigint NOT NULL DEFAULT pg_catalog.nextval('leadscore_internal.dump_seq'),
	accepted_contacts oid NOT NULL,
	CONSTRAINT lead_model_limits CHECK (min_score OPERATOR(pg_catalog.<=) max_score)
);
COMMENT ON TABLE leadscore_internal.lead_model IS 'models, made by leadscore.create_model()';
COMMENT ON COLUMN leadscore_internal.lead_model.model IS 'name of the model: what its tables and views are called after';
COMMENT ON COLUMN leadscore_internal.lead_model.accepted_owner IS 'owner of the contact table when the model was made, restored or last accepted: with the rights of another one, rules and actions are not run';
COMMENT ON COLUMN leadscore_internal.lead_model.contacts IS 'table of the contacts';
COMMENT ON COLUMN leadscore_internal.lead_model.key IS 'column that identifies a contact';
COMMENT ON COLUMN leadscore_internal.lead_model.created_at IS 'column with the time at which a contact was made; null: a contact is first seen at its first event';
COMMENT ON COLUMN leadscore_internal.lead_model.time_zone IS 'zone in which days and longer periods begin, and in which times without a zone are read';
COMMENT ON COLUMN leadscore_internal.lead_model.max_drift IS 'how far a stored score may be from the exact one, in points';
COMMENT ON COLUMN leadscore_internal.lead_model.max_drift_ratio IS 'how far a stored score may be from the exact one, as a part of it, where that is more';
COMMENT ON COLUMN leadscore_internal.lead_model.min_score IS 'lowest score; null: none';
COMMENT ON COLUMN leadscore_internal.lead_model.max_score IS 'highest score; null: none';
COMMENT ON COLUMN leadscore_internal.lead_model.enabled IS 'whether scores are kept; when it is set again, what was missed is counted';
COMMENT ON COLUMN leadscore_internal.lead_model.rules_version IS 'version of all that the model says, a new one with each change';
COMMENT ON COLUMN leadscore_internal.lead_model.daily IS 'whether every contact is kept by day, in daily_<model>; funnel_daily_<model> always is';
COMMENT ON COLUMN leadscore_internal.lead_model.visitors_of IS 'model whose visitors this one scores, by its rules; null: it has rules of its own';
COMMENT ON COLUMN leadscore_internal.lead_model.restoring IS 'internal: whether something of it may still come from a dump';
COMMENT ON COLUMN leadscore_internal.lead_model.accepted_contacts IS 'internal: OID of the contact table when accepted_owner was written; with another one the row was restored, and accepted_owner is of another cluster';
COMMENT ON COLUMN leadscore_internal.lead_model.dump_number IS 'internal: number that dump_seq has when all of a dump has been restored';

CREATE TABLE leadscore_internal.lead_category (
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
COMMENT ON TABLE leadscore_internal.lead_category IS 'the parts of a score: each has a column in score_<model>';
COMMENT ON COLUMN leadscore_internal.lead_category.model IS 'the model';
COMMENT ON COLUMN leadscore_internal.lead_category.category IS 'name of the category, and of its column in score_<model>';
COMMENT ON COLUMN leadscore_internal.lead_category.position IS 'place in the order of the columns and of the letters of a grade';
COMMENT ON COLUMN leadscore_internal.lead_category.weight IS 'what the points are multiplied with for the score';
COMMENT ON COLUMN leadscore_internal.lead_category.min_points IS 'lowest points; null: none';
COMMENT ON COLUMN leadscore_internal.lead_category.max_points IS 'highest points; null: none';

CREATE TABLE leadscore_internal.lead_source (
	model text COLLATE "C" NOT NULL,
	source text COLLATE "C" NOT NULL,
	relation regclass NOT NULL,
	contact text NOT NULL,
	occurred_at text NOT NULL,
	event text,
	time_zone text,
	visitor text,
	on_delete text NOT NULL DEFAULT 'retract'
		CHECK (on_delete OPERATOR(pg_catalog.=) ANY (ARRAY['retract', 'keep'])),
	mode text NOT NULL DEFAULT 'immediate'
		CHECK (mode OPERATOR(pg_catalog.=) ANY (ARRAY['immediate', 'queued'])),
	PRIMARY KEY (model, source)
);
COMMENT ON TABLE leadscore_internal.lead_source IS 'event tables that feed a model, written by leadscore.attach()';
COMMENT ON COLUMN leadscore_internal.lead_source.model IS 'the model that is fed';
COMMENT ON COLUMN leadscore_internal.lead_source.source IS 'name of the source, by which rules refer to it';
COMMENT ON COLUMN leadscore_internal.lead_source.relation IS 'the event table';
COMMENT ON COLUMN leadscore_internal.lead_source.contact IS 'column with the contact';
COMMENT ON COLUMN leadscore_internal.lead_source.occurred_at IS 'column with the time of the event';
COMMENT ON COLUMN leadscore_internal.lead_source.event IS 'column with the name of the event; null: none';
COMMENT ON COLUMN leadscore_internal.lead_source.time_zone IS 'zone in which times without a zone are read; null: the models';
COMMENT ON COLUMN leadscore_internal.lead_source.visitor IS 'column with the key of a visitor whose contact is not known yet; null: none';
COMMENT ON COLUMN leadscore_internal.lead_source.on_delete IS 'what deleting a row means: retract, it never happened; keep, it is only not kept any longer';
COMMENT ON COLUMN leadscore_internal.lead_source.mode IS 'how rows reach the scores: immediate, or queued, to be merged by the worker';

CREATE TABLE leadscore_internal.lead_stage (
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
COMMENT ON TABLE leadscore_internal.lead_stage IS 'stages of a model: where they are entered and left';
COMMENT ON COLUMN leadscore_internal.lead_stage.model IS 'the model';
COMMENT ON COLUMN leadscore_internal.lead_stage.stage IS 'name of the stage';
COMMENT ON COLUMN leadscore_internal.lead_stage.position IS 'place in the order of the stages; that of the first stage is the lowest';
COMMENT ON COLUMN leadscore_internal.lead_stage.enter_at IS 'score at which the stage is entered';
COMMENT ON COLUMN leadscore_internal.lead_stage.leave_below IS 'score below which it is left; null: a little below enter_at';
COMMENT ON COLUMN leadscore_internal.lead_stage.sticky IS 'whether it is left upwards only, by an override, or by disqualification';
COMMENT ON COLUMN leadscore_internal.lead_stage.condition IS 'SQL expression over contact, score and categories that must hold, too; null: always';

CREATE TABLE leadscore_internal.lead_grade (
	model text COLLATE "C" NOT NULL,
	category text COLLATE "C" NOT NULL,
	grade text NOT NULL CHECK (grade OPERATOR(pg_catalog.<>) ''),
	min_points float8 NOT NULL CHECK (min_points OPERATOR(pg_catalog.<) 'infinity'),
	PRIMARY KEY (model, category, grade),
	UNIQUE (model, category, min_points)
);
COMMENT ON TABLE leadscore_internal.lead_grade IS 'bands of a category''s points and the letter that each gives';
COMMENT ON COLUMN leadscore_internal.lead_grade.model IS 'the model';
COMMENT ON COLUMN leadscore_internal.lead_grade.category IS 'category whose points are graded';
COMMENT ON COLUMN leadscore_internal.lead_grade.grade IS 'what the band adds to the grade, such as a letter';
COMMENT ON COLUMN leadscore_internal.lead_grade.min_points IS 'points from which the band reaches up to the next';

CREATE TABLE leadscore_internal.lead_rule_error (
	model text COLLATE "C" NOT NULL,
	rule_id bigint,
	name text NOT NULL,
	failed_at timestamptz NOT NULL,
	failures bigint NOT NULL,
	sqlstate text NOT NULL,
	message text NOT NULL,
	contact text
);
CREATE INDEX lead_rule_error_failed_at ON leadscore_internal.lead_rule_error (failed_at);
COMMENT ON TABLE leadscore_internal.lead_rule_error IS
	'rules that failed on a row and were skipped; see the view leadscore.rule_errors';
COMMENT ON COLUMN leadscore_internal.lead_rule_error.model IS 'the model';
COMMENT ON COLUMN leadscore_internal.lead_rule_error.rule_id IS 'number of the rule that failed; null: it is no rule';
COMMENT ON COLUMN leadscore_internal.lead_rule_error.name IS 'name of the rule; stage or source and its name; or contacts';
COMMENT ON COLUMN leadscore_internal.lead_rule_error.failed_at IS 'when it was written down';
COMMENT ON COLUMN leadscore_internal.lead_rule_error.failures IS 'how many rows it failed on since the last time';
COMMENT ON COLUMN leadscore_internal.lead_rule_error.sqlstate IS 'code of the first of the errors';
COMMENT ON COLUMN leadscore_internal.lead_rule_error.message IS 'message of the first of the errors';
COMMENT ON COLUMN leadscore_internal.lead_rule_error.contact IS 'contact of the first of the rows';

-- Asked once a statement, in a scalar subquery, and not of each row.

CREATE FUNCTION leadscore_internal.managed_models() RETURNS text[]
	LANGUAGE c STABLE PARALLEL RESTRICTED
	AS 'MODULE_PATHNAME', 'ls_managed_models';
COMMENT ON FUNCTION leadscore_internal.managed_models() IS
	'models that the caller manages: for the views';

