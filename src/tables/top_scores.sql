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
