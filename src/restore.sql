-- What works by time keeps away from what is being restored.

CREATE FUNCTION leadscore._restoring() RETURNS trigger
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'ls_restoring_models';
REVOKE ALL ON FUNCTION leadscore._restoring() FROM PUBLIC;
COMMENT ON FUNCTION leadscore._restoring() IS
	'trigger: keeps the worker away until a session that restores models has ended';

CREATE TRIGGER restoring BEFORE INSERT ON leadscore.lead_model
	FOR EACH STATEMENT EXECUTE FUNCTION leadscore._restoring();
ALTER TABLE leadscore.lead_model ENABLE ALWAYS TRIGGER restoring;
