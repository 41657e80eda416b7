-- The owner of the database restores tables of models in schema leadscore, and may not
-- create there what could be mistaken for one of the extension's functions.

CREATE FUNCTION leadscore_internal.own_schemas() RETURNS event_trigger
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'ls_own_schemas';
REVOKE ALL ON FUNCTION leadscore_internal.own_schemas() FROM PUBLIC;
COMMENT ON FUNCTION leadscore_internal.own_schemas() IS
	'refuses functions, operators and types of others in the schemas of leadscore';

CREATE EVENT TRIGGER leadscore_own_schemas ON ddl_command_end
	WHEN TAG IN ('CREATE FUNCTION', 'CREATE PROCEDURE', 'CREATE AGGREGATE',
		'ALTER FUNCTION', 'ALTER PROCEDURE', 'ALTER ROUTINE', 'ALTER AGGREGATE',
		'CREATE OPERATOR', 'ALTER OPERATOR',
		'CREATE OPERATOR CLASS', 'ALTER OPERATOR CLASS', 'CREATE OPERATOR FAMILY', 'ALTER OPERATOR FAMILY',
		'CREATE TYPE', 'ALTER TYPE', 'CREATE DOMAIN', 'ALTER DOMAIN',
		'CREATE COLLATION', 'ALTER COLLATION', 'CREATE CONVERSION', 'ALTER CONVERSION',
		'CREATE TEXT SEARCH CONFIGURATION', 'ALTER TEXT SEARCH CONFIGURATION',
		'CREATE TEXT SEARCH DICTIONARY', 'ALTER TEXT SEARCH DICTIONARY',
		'CREATE TEXT SEARCH PARSER', 'CREATE TEXT SEARCH TEMPLATE')
	EXECUTE FUNCTION leadscore_internal.own_schemas();
ALTER EVENT TRIGGER leadscore_own_schemas ENABLE ALWAYS;
COMMENT ON EVENT TRIGGER leadscore_own_schemas IS
	'leadscore: nobody else has functions in its schemas';

CREATE FUNCTION leadscore_internal.own_tables() RETURNS event_trigger
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'ls_own_tables';
REVOKE ALL ON FUNCTION leadscore_internal.own_tables() FROM PUBLIC;
COMMENT ON FUNCTION leadscore_internal.own_tables() IS
	'refuses tables and views that could be taken for those of another role''s model';

CREATE EVENT TRIGGER leadscore_own_tables ON ddl_command_end
	WHEN TAG IN ('CREATE TABLE', 'CREATE TABLE AS', 'SELECT INTO', 'CREATE FOREIGN TABLE',
		'CREATE VIEW', 'CREATE MATERIALIZED VIEW', 'CREATE SEQUENCE', 'CREATE INDEX',
		'ALTER TABLE', 'ALTER FOREIGN TABLE', 'ALTER VIEW', 'ALTER MATERIALIZED VIEW',
		'ALTER SEQUENCE', 'ALTER INDEX')
	EXECUTE FUNCTION leadscore_internal.own_tables();
ALTER EVENT TRIGGER leadscore_own_tables ENABLE ALWAYS;
COMMENT ON EVENT TRIGGER leadscore_own_tables IS
	'leadscore: a model has no table that somebody else has made';

CREATE FUNCTION leadscore_internal.model_table_ddl() RETURNS event_trigger
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'ls_model_table_ddl';
REVOKE ALL ON FUNCTION leadscore_internal.model_table_ddl() FROM PUBLIC;
COMMENT ON FUNCTION leadscore_internal.model_table_ddl() IS
	'refuses deferrable triggers, transition tables and foreign keys on the tables of models';

CREATE EVENT TRIGGER leadscore_model_tables ON ddl_command_end
	WHEN TAG IN ('CREATE TRIGGER', 'CREATE TABLE', 'ALTER TABLE', 'CREATE SCHEMA')
	EXECUTE FUNCTION leadscore_internal.model_table_ddl();
ALTER EVENT TRIGGER leadscore_model_tables ENABLE ALWAYS;
COMMENT ON EVENT TRIGGER leadscore_model_tables IS
	'leadscore: nothing on the tables of a model makes those fail who write events';

GRANT CREATE ON SCHEMA leadscore TO pg_database_owner;
-- which the triggers in a dump call
GRANT EXECUTE ON FUNCTION leadscore_internal.enter(), leadscore_internal.capture(),
	leadscore_internal.leave(), leadscore_internal.apply(), leadscore_internal.guard(), leadscore_internal.restored()
	TO pg_database_owner;
