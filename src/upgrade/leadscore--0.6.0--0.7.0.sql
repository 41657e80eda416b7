\echo Use "ALTER EXTENSION leadscore UPDATE TO '0.7.0'" to load this file. \quit
LOCK TABLE leadscore.lead_model IN ACCESS EXCLUSIVE MODE;

CREATE FUNCTION leadscore.top(model text, k integer DEFAULT 20,
		OUT contact text, OUT score float8, OUT grade text, OUT stage text)
	RETURNS SETOF record
	LANGUAGE c STABLE ROWS 20
	AS 'MODULE_PATHNAME', 'ls_top';
COMMENT ON FUNCTION leadscore.top(text, integer) IS
	'the contacts with the highest scores as they are now, the best first; none that is disqualified';
