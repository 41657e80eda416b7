-- What a change of rules would do: called in the transaction that has changed them,
-- before it is committed or rolled back.

CREATE FUNCTION leadscore.what_if(model text, sample integer DEFAULT NULL,
		"full" boolean DEFAULT false, publish boolean DEFAULT false,
		OUT part text, OUT name text, OUT before bigint, OUT after bigint,
		OUT came bigint, OUT went bigint, OUT mean_before float8, OUT mean_after float8,
		OUT error float8)
	RETURNS SETOF record
	LANGUAGE c STABLE ROWS 20
	AS 'MODULE_PATHNAME', 'ls_what_if';
COMMENT ON FUNCTION leadscore.what_if(text, integer, boolean, boolean) IS
	'contacts by stage and grade under the committed rules and under those of this transaction';

CREATE FUNCTION leadscore.what_if_contacts(model text, sample integer DEFAULT NULL,
		"full" boolean DEFAULT false, publish boolean DEFAULT false,
		OUT contact text, OUT score_before float8, OUT score_after float8,
		OUT stage_before text, OUT stage_after text, OUT grade_before text, OUT grade_after text)
	RETURNS SETOF record
	LANGUAGE c STABLE ROWS 1000
	AS 'MODULE_PATHNAME', 'ls_what_if_contacts';
COMMENT ON FUNCTION leadscore.what_if_contacts(text, integer, boolean, boolean) IS
	'contacts that the rules of this transaction would move to another stage or grade';

CREATE FUNCTION leadscore.what_if_distribution(model text, bands integer DEFAULT 10,
		sample integer DEFAULT NULL, "full" boolean DEFAULT false, publish boolean DEFAULT false,
		OUT from_score float8, OUT to_score float8, OUT before bigint, OUT after bigint,
		OUT error float8)
	RETURNS SETOF record
	LANGUAGE c STABLE ROWS 10
	AS 'MODULE_PATHNAME', 'ls_what_if_distribution';
COMMENT ON FUNCTION leadscore.what_if_distribution(text, integer, integer, boolean, boolean) IS
	'contacts by bands of the score under the committed rules and under those of this transaction';
