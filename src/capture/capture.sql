CREATE FUNCTION leadscore_internal.enter() RETURNS trigger
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'ls_enter';
REVOKE ALL ON FUNCTION leadscore_internal.enter() FROM PUBLIC;
COMMENT ON FUNCTION leadscore_internal.enter() IS
	'fires before statements on event and contact tables, so that what they change is flushed when the outermost of them ends';

CREATE FUNCTION leadscore_internal.capture() RETURNS trigger
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'ls_capture';
REVOKE ALL ON FUNCTION leadscore_internal.capture() FROM PUBLIC;
COMMENT ON FUNCTION leadscore_internal.capture() IS
	'fires after statements on event and contact tables and keeps the scores right';

CREATE FUNCTION leadscore_internal.leave() RETURNS trigger
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'ls_leave';
REVOKE ALL ON FUNCTION leadscore_internal.leave() FROM PUBLIC;
COMMENT ON FUNCTION leadscore_internal.leave() IS
	'fires after statements on tables that event and contact tables are a part of, and feed nothing themselves';
