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
