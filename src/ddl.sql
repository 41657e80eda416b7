-- Changes of tables, functions and rights that models have to follow.

CREATE FUNCTION leadscore._ddl_command() RETURNS event_trigger
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'ls_ddl_command';
REVOKE ALL ON FUNCTION leadscore._ddl_command() FROM PUBLIC;
COMMENT ON FUNCTION leadscore._ddl_command() IS
	'brings models in line with what a command has made or altered';

CREATE FUNCTION leadscore._ddl_drop() RETURNS event_trigger
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'ls_ddl_drop';
REVOKE ALL ON FUNCTION leadscore._ddl_drop() FROM PUBLIC;
COMMENT ON FUNCTION leadscore._ddl_drop() IS
	'brings models in line with what a command has dropped';

CREATE EVENT TRIGGER leadscore_ddl_command ON ddl_command_end
	WHEN TAG IN ('CREATE TABLE', 'CREATE FOREIGN TABLE', 'CREATE SCHEMA',
		'ALTER TABLE', 'ALTER FOREIGN TABLE', 'ALTER SCHEMA',
		'CREATE FUNCTION', 'ALTER FUNCTION', 'ALTER ROUTINE',
		'CREATE OPERATOR', 'ALTER OPERATOR', 'CREATE CAST',
		'CREATE TYPE', 'ALTER TYPE', 'CREATE DOMAIN', 'ALTER DOMAIN',
		'CREATE COLLATION', 'ALTER COLLATION',
		'CREATE TEXT SEARCH CONFIGURATION', 'ALTER TEXT SEARCH CONFIGURATION',
		'CREATE EXTENSION', 'ALTER EXTENSION', 'GRANT', 'REVOKE')
	EXECUTE FUNCTION leadscore._ddl_command();
COMMENT ON EVENT TRIGGER leadscore_ddl_command IS
	'leadscore: models follow changes of tables, functions and rights';

CREATE EVENT TRIGGER leadscore_ddl_drop ON sql_drop
	EXECUTE FUNCTION leadscore._ddl_drop();
COMMENT ON EVENT TRIGGER leadscore_ddl_drop IS
	'leadscore: models follow what is dropped';
