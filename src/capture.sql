CREATE FUNCTION leadscore._enter() RETURNS trigger
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'ls_enter';
REVOKE ALL ON FUNCTION leadscore._enter() FROM PUBLIC;
COMMENT ON FUNCTION leadscore._enter() IS
	'fires before statements on event and contact tables, so that what they change is settled when the outermost of them ends';

CREATE FUNCTION leadscore._capture() RETURNS trigger
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'ls_capture';
REVOKE ALL ON FUNCTION leadscore._capture() FROM PUBLIC;
COMMENT ON FUNCTION leadscore._capture() IS
	'fires after statements on event and contact tables and keeps the scores right';
