-- What time will do.  Two overloads: a contact is given in the key's own type,
-- or as text.

CREATE FUNCTION leadscore.forecast(model text, contact anyelement, until timestamptz DEFAULT NULL,
		OUT at timestamptz, OUT what text, OUT from_value text, OUT to_value text, OUT score float8)
	RETURNS SETOF record
	LANGUAGE c STABLE ROWS 5
	AS 'MODULE_PATHNAME', 'ls_forecast';
COMMENT ON FUNCTION leadscore.forecast(text, anyelement, timestamptz) IS
	'when a contact will change stage or grade if nothing happens, up to an instant; NULL: ten years from now';
CREATE FUNCTION leadscore.forecast(model text, contact text, until timestamptz DEFAULT NULL,
		OUT at timestamptz, OUT what text, OUT from_value text, OUT to_value text, OUT score float8)
	RETURNS SETOF record
	LANGUAGE c STABLE ROWS 5
	AS 'MODULE_PATHNAME', 'ls_forecast';
COMMENT ON FUNCTION leadscore.forecast(text, text, timestamptz) IS
	'when a contact will change stage or grade if nothing happens, up to an instant; NULL: ten years from now';

CREATE FUNCTION leadscore.upcoming(model text, until timestamptz,
		OUT contact text, OUT at timestamptz, OUT from_stage text, OUT to_stage text,
		OUT score float8, OUT score_then float8)
	RETURNS SETOF record
	LANGUAGE c STABLE ROWS 100
	AS 'MODULE_PATHNAME', 'ls_upcoming';
COMMENT ON FUNCTION leadscore.upcoming(text, timestamptz) IS
	'contacts that will change stage by an instant if nothing happens, when and to what: the call list';
