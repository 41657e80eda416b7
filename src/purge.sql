-- Rows of event tables that go, and contacts about which nothing is to be kept.

CREATE FUNCTION leadscore._ddl_purge() RETURNS event_trigger
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'ls_ddl_purge';
REVOKE ALL ON FUNCTION leadscore._ddl_purge() FROM PUBLIC;
COMMENT ON FUNCTION leadscore._ddl_purge() IS
	'keeps what the rows of partitions and children of event tables gave, before a command drops them';

CREATE EVENT TRIGGER leadscore_ddl_purge ON ddl_command_start
	WHEN TAG IN ('DROP TABLE', 'DROP SCHEMA', 'DROP OWNED')
	EXECUTE FUNCTION leadscore._ddl_purge();
COMMENT ON EVENT TRIGGER leadscore_ddl_purge IS
	'leadscore: what is dropped with a part of an event table stays in the scores';

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
