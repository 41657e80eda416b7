-- What works by time keeps away from what is being restored.

CREATE FUNCTION leadscore_internal.restoring() RETURNS trigger
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'ls_restoring_models';
REVOKE ALL ON FUNCTION leadscore_internal.restoring() FROM PUBLIC;
COMMENT ON FUNCTION leadscore_internal.restoring() IS
	'trigger: keeps the worker away until a session that restores models has ended';

CREATE TRIGGER restoring BEFORE INSERT ON leadscore_internal.lead_model
	FOR EACH STATEMENT EXECUTE FUNCTION leadscore_internal.restoring();
ALTER TABLE leadscore_internal.lead_model ENABLE ALWAYS TRIGGER restoring;
