-- Changes of tables, functions and privileges that models follow, also in sessions with
-- session_replication_role = replica.

CREATE FUNCTION leadscore_internal.ddl_command() RETURNS event_trigger
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'ls_ddl_command';
REVOKE ALL ON FUNCTION leadscore_internal.ddl_command() FROM PUBLIC;
COMMENT ON FUNCTION leadscore_internal.ddl_command() IS
	'brings models in line with what a command has made or altered';

CREATE FUNCTION leadscore_internal.ddl_drop() RETURNS event_trigger
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'ls_ddl_drop';
REVOKE ALL ON FUNCTION leadscore_internal.ddl_drop() FROM PUBLIC;
COMMENT ON FUNCTION leadscore_internal.ddl_drop() IS
	'brings models in line with what a command has dropped';

CREATE FUNCTION leadscore_internal.ddl_start() RETURNS event_trigger
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'ls_ddl_start';
REVOKE ALL ON FUNCTION leadscore_internal.ddl_start() FROM PUBLIC;
COMMENT ON FUNCTION leadscore_internal.ddl_start() IS
	'before a command locks tables that feed models: locks their definitions, and keeps what partitions and children gave that it drops';

CREATE EVENT TRIGGER leadscore_ddl_start ON ddl_command_start
	WHEN TAG IN ('ALTER TABLE', 'ALTER TYPE', 'ALTER DOMAIN', 'ALTER FOREIGN TABLE', 'ALTER VIEW',
		'ALTER MATERIALIZED VIEW', 'ALTER FUNCTION', 'ALTER ROUTINE', 'ALTER OPERATOR', 'ALTER SCHEMA',
		'ALTER AGGREGATE', 'ALTER COLLATION', 'ALTER TEXT SEARCH CONFIGURATION', 'ALTER TEXT SEARCH DICTIONARY', 'CREATE INDEX',
		'CREATE STATISTICS', 'CREATE POLICY', 'ALTER POLICY', 'DROP TABLE', 'DROP SCHEMA', 'DROP OWNED', 'DROP TYPE', 'DROP DOMAIN',
		'DROP FUNCTION', 'DROP ROUTINE', 'DROP AGGREGATE', 'DROP OPERATOR', 'DROP OPERATOR CLASS', 'DROP OPERATOR FAMILY', 'DROP CAST',
		'DROP TEXT SEARCH CONFIGURATION', 'DROP TEXT SEARCH DICTIONARY',
		'DROP COLLATION', 'DROP EXTENSION', 'ALTER EXTENSION', 'DROP FOREIGN TABLE')
	EXECUTE FUNCTION leadscore_internal.ddl_start();
ALTER EVENT TRIGGER leadscore_ddl_start ENABLE ALWAYS;
COMMENT ON EVENT TRIGGER leadscore_ddl_start IS
	'leadscore: changes of tables wait for changes of models; what is dropped with a part of an event table stays in the scores';

CREATE EVENT TRIGGER leadscore_ddl_command ON ddl_command_end
	WHEN TAG IN ('CREATE TABLE', 'CREATE FOREIGN TABLE', 'CREATE SCHEMA',
		'ALTER TABLE', 'ALTER FOREIGN TABLE', 'ALTER VIEW', 'ALTER MATERIALIZED VIEW', 'ALTER SCHEMA',
		'CREATE INDEX', 'ALTER INDEX',
		'CREATE STATISTICS', 'CREATE POLICY', 'ALTER POLICY',
		'CREATE AGGREGATE', 'ALTER AGGREGATE', 'CREATE FUNCTION', 'ALTER FUNCTION', 'ALTER ROUTINE',
		'CREATE OPERATOR', 'ALTER OPERATOR', 'CREATE CAST',
		'CREATE TYPE', 'ALTER TYPE', 'CREATE DOMAIN', 'ALTER DOMAIN',
		'CREATE COLLATION', 'ALTER COLLATION',
		'CREATE TEXT SEARCH CONFIGURATION', 'ALTER TEXT SEARCH CONFIGURATION', 'ALTER TEXT SEARCH DICTIONARY',
		'CREATE EXTENSION', 'ALTER EXTENSION', 'GRANT', 'REVOKE')
	EXECUTE FUNCTION leadscore_internal.ddl_command();
ALTER EVENT TRIGGER leadscore_ddl_command ENABLE ALWAYS;
COMMENT ON EVENT TRIGGER leadscore_ddl_command IS
	'leadscore: models follow changes of tables, functions and rights';

CREATE EVENT TRIGGER leadscore_ddl_drop ON sql_drop
	EXECUTE FUNCTION leadscore_internal.ddl_drop();
ALTER EVENT TRIGGER leadscore_ddl_drop ENABLE ALWAYS;
COMMENT ON EVENT TRIGGER leadscore_ddl_drop IS
	'leadscore: models follow what is dropped';
