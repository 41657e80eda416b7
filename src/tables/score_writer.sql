CREATE FUNCTION leadscore_internal.guard() RETURNS trigger
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'ls_guard';
REVOKE ALL ON FUNCTION leadscore_internal.guard() FROM PUBLIC;
COMMENT ON FUNCTION leadscore_internal.guard() IS
	'refuses direct writes to score tables';

CREATE FUNCTION leadscore_internal.restored() RETURNS trigger
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'ls_restored';
REVOKE ALL ON FUNCTION leadscore_internal.restored() FROM PUBLIC;
COMMENT ON FUNCTION leadscore_internal.restored() IS
	'has contacts recomputed of which something pending was restored from a dump';
