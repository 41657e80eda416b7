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

-- a category of 0.6.0 may be called so: then top() goes on without
DO $$
DECLARE
	m record;
BEGIN
	FOR m IN SELECT l.model FROM leadscore_internal.lead_model l ORDER BY l.model COLLATE "C"
	LOOP
		CONTINUE WHEN EXISTS (SELECT FROM pg_catalog.pg_attribute a
			WHERE a.attrelid = pg_catalog.to_regclass(pg_catalog.format('leadscore.score_%s', m.model)) AND a.attname = 'top_score');
		EXECUTE pg_catalog.format('ALTER TABLE IF EXISTS leadscore.score_%s ADD COLUMN top_score pg_catalog.float4', m.model);
		CONTINUE WHEN pg_catalog.to_regclass(pg_catalog.format('leadscore.score_%s', m.model)) IS NULL;
		EXECUTE pg_catalog.format('CREATE INDEX score_%1$s_top ON leadscore.score_%1$s (top_score) WHERE top_score IS NOT NULL',
			m.model);
		EXECUTE pg_catalog.format('COMMENT ON COLUMN leadscore.score_%s.top_score IS %L', m.model,
			'internal: at or a little above the score where that is among the highest of the model, for leadscore.top()');
	END LOOP;
END
$$;
