-- The removal of a contact from all tables of a model.

CREATE FUNCTION leadscore.erase_contact(model text, contact anyelement) RETURNS bigint
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'ls_erase_contact';
COMMENT ON FUNCTION leadscore.erase_contact(text, anyelement) IS
	'removes everything that leadscore knows of a contact whose own rows are gone; number of rows that were removed';
CREATE FUNCTION leadscore.erase_contact(model text, contact text) RETURNS bigint
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'ls_erase_contact';
COMMENT ON FUNCTION leadscore.erase_contact(text, text) IS
	'removes everything that leadscore knows of a contact whose own rows are gone; number of rows that were removed';
