\echo Use "ALTER EXTENSION leadscore UPDATE TO '0.7.0'" to load this file. \quit
LOCK TABLE leadscore.lead_model IN ACCESS EXCLUSIVE MODE;

CREATE FUNCTION leadscore.top(model text, k integer DEFAULT 20,
		OUT contact text, OUT score float8, OUT grade text, OUT stage text)
	RETURNS SETOF record
	LANGUAGE c STABLE ROWS 20
	AS 'MODULE_PATHNAME', 'ls_top';
COMMENT ON FUNCTION leadscore.top(text, integer) IS
	'the contacts with the highest scores as they are now, the best first; none that is disqualified';

-- From which stored score on the rows of a model have a top_score.  Not dumped: what is
-- restored begins without it.
CREATE TABLE leadscore_internal.top_scores (
	model text COLLATE "C" PRIMARY KEY,
	written_from float8 NOT NULL,
	complete_from float8 NOT NULL
);
COMMENT ON TABLE leadscore_internal.top_scores IS
	'which rows of score_<model> have their top_score; a model without a row: none';
COMMENT ON COLUMN leadscore_internal.top_scores.model IS 'the model';
COMMENT ON COLUMN leadscore_internal.top_scores.written_from IS 'score from which on a row is written with it';
COMMENT ON COLUMN leadscore_internal.top_scores.complete_from IS 'score from which on all rows have it';

CREATE FUNCTION leadscore_internal.keep_top_scores(model text, wanted integer) RETURNS void
	LANGUAGE c STRICT
	AS 'MODULE_PATHNAME', 'ls_keep_top_scores';
REVOKE ALL ON FUNCTION leadscore_internal.keep_top_scores(text, integer) FROM PUBLIC;
COMMENT ON FUNCTION leadscore_internal.keep_top_scores(text, integer) IS
	'has about so many contacts of a model, those with the highest scores, be found without reading all, as the worker does by itself';

-- in the order in which writers lock them; a category of 0.6.0 may be called so: then top() goes on without
DO $$
DECLARE
	m record;
BEGIN
	FOR m IN
		SELECT c.oid, l.model
		  FROM leadscore_internal.lead_model l
		  JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) pg_catalog.to_regclass('leadscore.score_' || l.model)
		 WHERE c.relkind OPERATOR(pg_catalog.=) 'r'
		 ORDER BY c.oid
	LOOP
		EXECUTE pg_catalog.format('LOCK TABLE leadscore.score_%s IN ACCESS EXCLUSIVE MODE', m.model);
		CONTINUE WHEN EXISTS (SELECT FROM pg_catalog.pg_attribute a WHERE a.attrelid = m.oid AND a.attname = 'top_score');
		EXECUTE pg_catalog.format('ALTER TABLE leadscore.score_%s ADD COLUMN top_score pg_catalog.float4', m.model);
		EXECUTE pg_catalog.format('CREATE INDEX ON leadscore.score_%s (top_score) WHERE top_score IS NOT NULL', m.model);
		EXECUTE pg_catalog.format('COMMENT ON COLUMN leadscore.score_%s.top_score IS %L', m.model,
			'internal: at or a little above the score where that is among the highest of the model, for leadscore.top()');
	END LOOP;
END
$$;

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
COMMENT ON FUNCTION leadscore_internal.live(anyelement, oid, tid, timestamptz) IS
	'the contact that a row of a model''s table tells of, as it is at an instant: for views live_<model> of dumps of 0.6.0';

-- The views live_<model> call functions by column.  A view belongs to the model: only an
-- extension's own can be replaced by its script.
DO $$
DECLARE
	v record;
BEGIN
	FOR v IN
		SELECT m.model, l.reloptions,
			   (SELECT pg_catalog.string_agg(pg_catalog.format(', leadscore_internal.live_column(NULL::%s, %L::regclass, %s, k.place_table, k.place) AS %I',
														   pg_catalog.format_type(s.atttypid, NULL), 'leadscore.score_' || m.model, s.attnum, a.attname),
											 '' ORDER BY a.attnum)
				  FROM pg_catalog.pg_attribute a
				  JOIN pg_catalog.pg_attribute s ON s.attname OPERATOR(pg_catalog.=) a.attname
				   AND s.attrelid OPERATOR(pg_catalog.=) pg_catalog.to_regclass('leadscore.score_' || m.model)
				 WHERE a.attrelid OPERATOR(pg_catalog.=) l.oid AND a.attnum OPERATOR(pg_catalog.>) 1 AND NOT a.attisdropped) AS columns,
			   (SELECT pg_catalog.string_agg(pg_catalog.format('SELECT t.contact_id, t.tableoid AS place_table, t.ctid AS place FROM leadscore.%s t',
														   p.prefix || m.model), ' UNION ALL ' ORDER BY p.place)
				  FROM (VALUES (1, 'score_'), (2, 'pending_'), (3, 'identity_')) p (place, prefix)
				 WHERE pg_catalog.to_regclass('leadscore.' || p.prefix || m.model) IS NOT NULL) AS arms
		  FROM leadscore_internal.lead_model m
		  JOIN pg_catalog.pg_class l ON l.oid OPERATOR(pg_catalog.=) pg_catalog.to_regclass('leadscore.live_' || m.model)
		 WHERE l.relkind OPERATOR(pg_catalog.=) 'v' AND pg_catalog.to_regclass('leadscore.score_' || m.model) IS NOT NULL
		 ORDER BY m.model
	LOOP
		EXECUTE pg_catalog.format('ALTER EXTENSION leadscore ADD VIEW leadscore.live_%s', v.model);
		EXECUTE pg_catalog.format('CREATE OR REPLACE VIEW leadscore.live_%s %s AS SELECT k.contact_id%s FROM (%s) k'
								  ' WHERE leadscore_internal.live_shows(%L::regclass, k.place_table, k.place)',
								  v.model, 'WITH (' || pg_catalog.array_to_string(v.reloptions, ', ') || ')', v.columns, v.arms,
								  'leadscore.score_' || v.model);
		EXECUTE pg_catalog.format('ALTER EXTENSION leadscore DROP VIEW leadscore.live_%s', v.model);
	END LOOP;
END
$$;

-- Pages have room for another version of each of their rows.
DO $$
DECLARE
	score regclass;
BEGIN
	FOR score IN
		SELECT c.oid
		  FROM leadscore_internal.lead_model m
		  JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) pg_catalog.to_regclass('leadscore.score_' || m.model)
		 WHERE c.relkind OPERATOR(pg_catalog.=) 'r' AND 'fillfactor=70' OPERATOR(pg_catalog.=) ANY (c.reloptions)
		 ORDER BY m.model
	LOOP
		EXECUTE pg_catalog.format('ALTER TABLE %s SET (fillfactor = 45)', score);
	END LOOP;
END
$$;

-- A parallel restore loads these tables in any order.
ALTER TABLE leadscore_internal.lead_job_range DROP CONSTRAINT lead_job_range_job_id_fkey;
