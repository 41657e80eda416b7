-- Stage overrides.  Two overloads: a contact is given in the key's own type,
-- or as text.

CREATE FUNCTION leadscore.set_stage(model text, contact anyelement, stage text, reason text DEFAULT NULL)
	RETURNS void
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'ls_set_stage';
COMMENT ON FUNCTION leadscore.set_stage(text, anyelement, text, text) IS
	'overrides the stage of a contact, which stays in it while its score alone would put it elsewhere';
CREATE FUNCTION leadscore.set_stage(model text, contact text, stage text, reason text DEFAULT NULL)
	RETURNS void
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'ls_set_stage';
COMMENT ON FUNCTION leadscore.set_stage(text, text, text, text) IS
	'overrides the stage of a contact, which stays in it while its score alone would put it elsewhere';

CREATE FUNCTION leadscore.release_stage(model text, contact anyelement, reason text DEFAULT NULL)
	RETURNS void
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'ls_release_stage';
COMMENT ON FUNCTION leadscore.release_stage(text, anyelement, text) IS
	'leaves the stage of a contact to its score again';
CREATE FUNCTION leadscore.release_stage(model text, contact text, reason text DEFAULT NULL)
	RETURNS void
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'ls_release_stage';
COMMENT ON FUNCTION leadscore.release_stage(text, text, text) IS
	'leaves the stage of a contact to its score again';
