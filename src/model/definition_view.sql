-- Definitions as users see and write them: views over functions that give the rows of
-- the models that the caller manages, or whose scores the caller may read.  See
-- definition_view.c.

CREATE FUNCTION leadscore_internal.lead_model_rows() RETURNS SETOF leadscore_internal.lead_model
	LANGUAGE c STABLE PARALLEL RESTRICTED ROWS 50
	AS 'MODULE_PATHNAME', 'ls_definition_rows';
COMMENT ON FUNCTION leadscore_internal.lead_model_rows() IS
	'rows of lead_model of models that the caller manages, or whose scores he may read: for the view';
CREATE VIEW leadscore.lead_model AS
	SELECT m.model,
		   (SELECT c.relowner::pg_catalog.regrole FROM pg_catalog.pg_class c
			 WHERE c.oid OPERATOR(pg_catalog.=) m.contacts) AS owner,
		   m.contacts, m.key, m.created_at, m.time_zone, m.max_drift, m.max_drift_ratio,
		   m.min_score, m.max_score, m.enabled, m.rules_version, m.daily, m.visitors_of
	  FROM leadscore_internal.lead_model_rows() m;

CREATE FUNCTION leadscore_internal.lead_category_rows() RETURNS SETOF leadscore_internal.lead_category
	LANGUAGE c STABLE PARALLEL RESTRICTED ROWS 50
	AS 'MODULE_PATHNAME', 'ls_definition_rows';
COMMENT ON FUNCTION leadscore_internal.lead_category_rows() IS
	'rows of lead_category of models that the caller manages, or whose scores he may read: for the view';
CREATE VIEW leadscore.lead_category AS
	SELECT model, category, position, weight, min_points, max_points
	  FROM leadscore_internal.lead_category_rows();

CREATE FUNCTION leadscore_internal.lead_source_rows() RETURNS SETOF leadscore_internal.lead_source
	LANGUAGE c STABLE PARALLEL RESTRICTED ROWS 50
	AS 'MODULE_PATHNAME', 'ls_definition_rows';
COMMENT ON FUNCTION leadscore_internal.lead_source_rows() IS
	'rows of lead_source of models that the caller manages, or whose scores he may read: for the view';
CREATE VIEW leadscore.lead_source AS
	SELECT model, source, relation, contact, occurred_at, event, time_zone, visitor,
		   on_delete, mode
	  FROM leadscore_internal.lead_source_rows();

CREATE FUNCTION leadscore_internal.lead_rule_rows() RETURNS SETOF leadscore_internal.lead_rule
	LANGUAGE c STABLE PARALLEL RESTRICTED ROWS 50
	AS 'MODULE_PATHNAME', 'ls_definition_rows';
COMMENT ON FUNCTION leadscore_internal.lead_rule_rows() IS
	'rows of lead_rule of models that the caller manages, or whose scores he may read: for the view';
CREATE VIEW leadscore.lead_rule AS
	SELECT rule_id, model, name, category, kind, source, event, condition, points,
		   weight, award, time_frame, at_least, decay, decay_interval, decay_keep,
		   max_points, max_per_period, period, idle, max_gap, followed_by,
		   followed_condition, followed_source, negated, disqualifies, enabled,
		   events_from, events_before, description, backfilled_version, draft,
		   backfilling_version, per, max_per, tag, cancelled_by, cancelled_condition,
		   cancelled_source, cancelled_per, followed_per, follows, holds_from,
		   holds_until, members, unless
	  FROM leadscore_internal.lead_rule_rows();

CREATE FUNCTION leadscore_internal.lead_stage_rows() RETURNS SETOF leadscore_internal.lead_stage
	LANGUAGE c STABLE PARALLEL RESTRICTED ROWS 50
	AS 'MODULE_PATHNAME', 'ls_definition_rows';
COMMENT ON FUNCTION leadscore_internal.lead_stage_rows() IS
	'rows of lead_stage of models that the caller manages, or whose scores he may read: for the view';
CREATE VIEW leadscore.lead_stage AS
	SELECT model, stage, position, enter_at, leave_below, sticky, condition
	  FROM leadscore_internal.lead_stage_rows();

CREATE FUNCTION leadscore_internal.lead_grade_rows() RETURNS SETOF leadscore_internal.lead_grade
	LANGUAGE c STABLE PARALLEL RESTRICTED ROWS 50
	AS 'MODULE_PATHNAME', 'ls_definition_rows';
COMMENT ON FUNCTION leadscore_internal.lead_grade_rows() IS
	'rows of lead_grade of models that the caller manages, or whose scores he may read: for the view';
CREATE VIEW leadscore.lead_grade AS
	SELECT model, category, grade, min_points
	  FROM leadscore_internal.lead_grade_rows();

CREATE FUNCTION leadscore_internal.lead_action_rows() RETURNS SETOF leadscore_internal.lead_action
	LANGUAGE c STABLE PARALLEL RESTRICTED ROWS 50
	AS 'MODULE_PATHNAME', 'ls_definition_rows';
COMMENT ON FUNCTION leadscore_internal.lead_action_rows() IS
	'rows of lead_action of models that the caller manages, or whose scores he may read: for the view';
CREATE VIEW leadscore.lead_action AS
	SELECT action_id, model, name, occasion, stage, score_level, rule, causes, deliver,
		   channel, function, timeout, max_attempts, enabled, description
	  FROM leadscore_internal.lead_action_rows();

CREATE FUNCTION leadscore_internal.enter_definitions() RETURNS trigger
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'ls_enter_definitions';
REVOKE ALL ON FUNCTION leadscore_internal.enter_definitions() FROM PUBLIC;
COMMENT ON FUNCTION leadscore_internal.enter_definitions() IS
	'trigger: locks the definitions of the caller''s models before a statement that changes some';

CREATE FUNCTION leadscore_internal.write_definition() RETURNS trigger
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'ls_write_definition';
REVOKE ALL ON FUNCTION leadscore_internal.write_definition() FROM PUBLIC;
COMMENT ON FUNCTION leadscore_internal.write_definition() IS
	'trigger: refuses rows without meaning, and writes the others to the base table';

CREATE FUNCTION leadscore_internal.leave_definitions() RETURNS trigger
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'ls_leave_definitions';
REVOKE ALL ON FUNCTION leadscore_internal.leave_definitions() FROM PUBLIC;
COMMENT ON FUNCTION leadscore_internal.leave_definitions() IS
	'trigger: gives the models that a statement has changed a new version, and has new rules backfilled';

-- The views have the defaults of the base tables, and the same triggers.
DO $$
DECLARE
	name text;
	col record;
BEGIN
	FOREACH name IN ARRAY ARRAY['lead_model', 'lead_category', 'lead_source', 'lead_rule',
								'lead_stage', 'lead_grade', 'lead_action']
	LOOP
		FOR col IN
			SELECT a.attname, pg_catalog.pg_get_expr(d.adbin, d.adrelid) AS value
			  FROM pg_catalog.pg_attribute a
			  JOIN pg_catalog.pg_attribute v ON v.attname OPERATOR(pg_catalog.=) a.attname
			   AND v.attrelid OPERATOR(pg_catalog.=) pg_catalog.format('leadscore.%I', name)::pg_catalog.regclass
			  JOIN pg_catalog.pg_attrdef d ON d.adrelid OPERATOR(pg_catalog.=) a.attrelid
			   AND d.adnum OPERATOR(pg_catalog.=) a.attnum
			 WHERE a.attrelid OPERATOR(pg_catalog.=) pg_catalog.format('leadscore_internal.%I', name)::pg_catalog.regclass
			   AND a.attname OPERATOR(pg_catalog.<>) ALL (ARRAY['rules_version', 'dump_number'])
		LOOP
			EXECUTE pg_catalog.format('ALTER VIEW leadscore.%I ALTER COLUMN %I SET DEFAULT %s',
									  name, col.attname, col.value);
		END LOOP;
		EXECUTE pg_catalog.format('CREATE TRIGGER enter_definitions BEFORE UPDATE OR DELETE ON leadscore.%I'
								  ' FOR EACH STATEMENT EXECUTE FUNCTION leadscore_internal.enter_definitions()', name);
		EXECUTE pg_catalog.format('CREATE TRIGGER write_definition INSTEAD OF INSERT OR UPDATE OR DELETE ON leadscore.%I'
								  ' FOR EACH ROW EXECUTE FUNCTION leadscore_internal.write_definition()', name);
		EXECUTE pg_catalog.format('CREATE TRIGGER leave_definitions AFTER INSERT OR UPDATE OR DELETE ON leadscore.%I'
								  ' FOR EACH STATEMENT EXECUTE FUNCTION leadscore_internal.leave_definitions()', name);
	END LOOP;
END
$$;

GRANT SELECT ON leadscore.lead_model, leadscore.lead_category, leadscore.lead_source,
	leadscore.lead_rule, leadscore.lead_stage, leadscore.lead_grade, leadscore.lead_action TO PUBLIC;
GRANT UPDATE (key, max_drift, max_drift_ratio, min_score, max_score, enabled, daily)
	ON leadscore.lead_model TO PUBLIC;
GRANT UPDATE (contact, occurred_at, event, visitor) ON leadscore.lead_source TO PUBLIC;
GRANT INSERT, UPDATE, DELETE ON leadscore.lead_category, leadscore.lead_rule, leadscore.lead_stage,
	leadscore.lead_grade, leadscore.lead_action TO PUBLIC;

-- The period of a rule follows from other columns where none is given.
CREATE FUNCTION leadscore_internal.rule_period(kind text, decay text, decay_interval interval,
		time_frame interval, max_per_period float8, period interval) RETURNS interval
	LANGUAGE c STABLE PARALLEL SAFE
	AS 'MODULE_PATHNAME', 'ls_rule_period';
COMMENT ON FUNCTION leadscore_internal.rule_period(text, text, interval, interval, float8, interval) IS
	'the period in which a rule with such columns counts; null: in none';

CREATE VIEW leadscore.rule_periods AS
	SELECT p.model, p.rule_id, p.name, p.period, p.given,
		   CASE WHEN p.period OPERATOR(pg_catalog.<) interval '1 day' THEN 'UTC' ELSE p.time_zone END AS time_zone
	  FROM (SELECT r.model, r.rule_id, r.name, r.period IS NOT NULL AS given, m.time_zone,
				   leadscore_internal.rule_period(r.kind, r.decay, r.decay_interval, r.time_frame,
												  r.max_per_period, r.period) AS period
			  FROM leadscore.lead_rule r
			  JOIN leadscore.lead_model m ON m.model OPERATOR(pg_catalog.=) r.model) p
	 WHERE p.period IS NOT NULL;
COMMENT ON VIEW leadscore.rule_periods IS
	'rules that count in periods: how long these are, and where that is from';
COMMENT ON COLUMN leadscore.rule_periods.model IS 'the model';
COMMENT ON COLUMN leadscore.rule_periods.rule_id IS 'number of the rule';
COMMENT ON COLUMN leadscore.rule_periods.name IS 'name of the rule';
COMMENT ON COLUMN leadscore.rule_periods.period IS
	'how long a period is: time_frame, decay and max_per_period go by whole periods';
COMMENT ON COLUMN leadscore.rule_periods.given IS
	'whether the rule says so in its column period; else it follows from time_frame and decay_interval';
COMMENT ON COLUMN leadscore.rule_periods.time_zone IS
	'where periods begin: the model''s time zone for those of a day or more, else UTC';
GRANT SELECT ON leadscore.rule_periods TO PUBLIC;
