CREATE FUNCTION leadscore._guard() RETURNS trigger
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'ls_guard';
REVOKE ALL ON FUNCTION leadscore._guard() FROM PUBLIC;
COMMENT ON FUNCTION leadscore._guard() IS
	'refuses direct writes to score tables';

CREATE FUNCTION leadscore._restored() RETURNS trigger
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'ls_restored';
REVOKE ALL ON FUNCTION leadscore._restored() FROM PUBLIC;
COMMENT ON FUNCTION leadscore._restored() IS
	'has contacts counted again of which something pending was restored from a dump';
