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

CREATE FUNCTION leadscore_internal.live(row_type anyelement, place_table oid, place tid, at timestamptz) RETURNS anyelement
	LANGUAGE c STABLE COST 100
	AS 'MODULE_PATHNAME', 'ls_live';
COMMENT ON FUNCTION leadscore_internal.live(anyelement, oid, tid, timestamptz) IS
	'the contact that a row of a model''s table tells of, as it is at an instant: for views live_<model> of dumps of 0.6.0';

CREATE FUNCTION leadscore_internal.live_support(internal) RETURNS internal
	LANGUAGE c STRICT
	AS 'MODULE_PATHNAME', 'ls_live_support';
COMMENT ON FUNCTION leadscore_internal.live_support(internal) IS
	'what the planner asks of the conditions of the views live_<model>';
CREATE FUNCTION leadscore_internal.live_column(value_type anyelement, score_table regclass, number integer, place_table oid, place tid)
	RETURNS anyelement
	LANGUAGE c STABLE COST 100
	AS 'MODULE_PATHNAME', 'ls_live_column';
COMMENT ON FUNCTION leadscore_internal.live_column(anyelement, regclass, integer, oid, tid) IS
	'a column of the contact that a row of a model''s table tells of, as it is now: for the views live_<model>';
CREATE FUNCTION leadscore_internal.live_shows(score_table regclass, place_table oid, place tid) RETURNS boolean
	LANGUAGE c STABLE COST 10 SUPPORT leadscore_internal.live_support
	AS 'MODULE_PATHNAME', 'ls_live_shows';
COMMENT ON FUNCTION leadscore_internal.live_shows(regclass, oid, tid) IS
	'whether a row of a model''s table is the one that shows a contact: for the views live_<model>';
CREATE FUNCTION leadscore_internal.live_shows_new(score_table regclass, place_table oid, place tid) RETURNS boolean
	LANGUAGE c STABLE COST 100 SUPPORT leadscore_internal.live_support
	AS 'MODULE_PATHNAME', 'ls_live_shows';
COMMENT ON FUNCTION leadscore_internal.live_shows_new(regclass, oid, tid) IS
	'live_shows() for rows of contacts that have none in the score table';
CREATE FUNCTION leadscore_internal.live_any_pending(score_table regclass) RETURNS boolean
	LANGUAGE c STABLE COST 1 SUPPORT leadscore_internal.live_support
	AS 'MODULE_PATHNAME', 'ls_live_any_pending';
COMMENT ON FUNCTION leadscore_internal.live_any_pending(regclass) IS
	'whether contacts without a row may have something pending: tested once, before they are looked for';

CREATE VIEW leadscore.rule_errors WITH (security_barrier) AS
	SELECT model, rule_id, name, max(failed_at) AS last_failed_at,
		   sum(failures) AS failures,
		   (array_agg(sqlstate ORDER BY failed_at DESC))[1] AS sqlstate,
		   (array_agg(message ORDER BY failed_at DESC))[1] AS message,
		   (array_agg(contact ORDER BY failed_at DESC))[1] AS contact
	  FROM leadscore_internal.lead_rule_error
	 WHERE model OPERATOR(pg_catalog.=) ANY ((SELECT leadscore_internal.managed_models())::text[])
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
