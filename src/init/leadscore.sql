\echo Use "CREATE EXTENSION leadscore" to load this file. \quit

-- Before any object is created: the versions that the library is built for.
DO $$
BEGIN
	IF pg_catalog.current_setting('server_version_num')::pg_catalog.int4 OPERATOR(pg_catalog./) 10000 NOT BETWEEN 15 AND 19 THEN
		RAISE feature_not_supported USING
			MESSAGE = 'leadscore supports PostgreSQL 15 to 19',
			DETAIL = 'This server is of version ' OPERATOR(pg_catalog.||) pg_catalog.current_setting('server_version') OPERATOR(pg_catalog.||) '.';
	END IF;
END
$$;

-- The schema is created here, and not named in the control file, so that CREATE
-- EXTENSION fails if another role's schema of that name exists.
CREATE SCHEMA leadscore;
COMMENT ON SCHEMA leadscore IS 'lead scoring: models, rules and the scores kept from them';
GRANT USAGE ON SCHEMA leadscore TO PUBLIC;

-- Base tables, and functions that are not called by users.  pg_dump by the owner of the
-- database needs USAGE.
CREATE SCHEMA leadscore_internal;
COMMENT ON SCHEMA leadscore_internal IS 'what leadscore keeps for itself; use the views and functions of schema leadscore';
GRANT USAGE ON SCHEMA leadscore_internal TO pg_database_owner;

CREATE FUNCTION leadscore.clock() RETURNS timestamptz
	LANGUAGE c STABLE PARALLEL SAFE
	AS 'MODULE_PATHNAME', 'ls_clock_now';
COMMENT ON FUNCTION leadscore.clock() IS
	'the instant that scores are asked for when none is given; the setting leadscore.clock can hold it still';
