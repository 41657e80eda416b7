CREATE FUNCTION leadscore._guard() RETURNS trigger
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'ls_guard';
REVOKE ALL ON FUNCTION leadscore._guard() FROM PUBLIC;
COMMENT ON FUNCTION leadscore._guard() IS
	'refuses direct writes to score tables';
