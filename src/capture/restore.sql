-- Dump and restore.  INSERT and COPY into a base table are a restore: see restore.c.
-- The owner of the database dumps and restores as a superuser does.  Sequences are not
-- dumped, but advanced past the numbers of restored rows.  One sequence is dumped, as
-- pg_dump writes it after all rows: its number marks the end of a restore and is not
-- used otherwise.

CREATE FUNCTION leadscore_internal.may_dump(model text) RETURNS boolean
	LANGUAGE c STABLE STRICT
	AS 'MODULE_PATHNAME', 'ls_may_dump';
COMMENT ON FUNCTION leadscore_internal.may_dump(text) IS
	'whether the rows of a model are in a dump that the caller makes';

CREATE FUNCTION leadscore_internal.restore_row() RETURNS trigger
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'ls_restore_row';
REVOKE ALL ON FUNCTION leadscore_internal.restore_row() FROM PUBLIC;
COMMENT ON FUNCTION leadscore_internal.restore_row() IS
	'trigger: takes a row that is inserted into a base table for one of a dump';

CREATE FUNCTION leadscore_internal.restore_models() RETURNS trigger
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'ls_restore_models';
REVOKE ALL ON FUNCTION leadscore_internal.restore_models() FROM PUBLIC;
COMMENT ON FUNCTION leadscore_internal.restore_models() IS
	'trigger: keeps the worker away until a session that restores models has ended';

DO $$
DECLARE
	name text;
BEGIN
	FOR name IN
		SELECT c.relname FROM pg_catalog.pg_class c
		 WHERE c.relnamespace OPERATOR(pg_catalog.=) 'leadscore_internal'::pg_catalog.regnamespace
		   AND c.relkind OPERATOR(pg_catalog.=) 'r'
		   AND c.relname OPERATOR(pg_catalog.<>) 'top_scores'	-- restored rows begin without
		 ORDER BY c.relname
	LOOP
		EXECUTE pg_catalog.format('GRANT SELECT, INSERT ON leadscore_internal.%I TO pg_database_owner', name);
		PERFORM pg_catalog.pg_extension_config_dump(pg_catalog.format('leadscore_internal.%I', name)::pg_catalog.regclass,
													'WHERE leadscore_internal.may_dump(model)');
		EXECUTE pg_catalog.format('CREATE TRIGGER restore_row BEFORE INSERT ON leadscore_internal.%I'
								  ' FOR EACH ROW EXECUTE FUNCTION leadscore_internal.restore_row()', name);
		EXECUTE pg_catalog.format('ALTER TABLE leadscore_internal.%I ENABLE ALWAYS TRIGGER restore_row', name);
	END LOOP;
END
$$;

CREATE TRIGGER restore_models BEFORE INSERT ON leadscore_internal.lead_model
	FOR EACH STATEMENT EXECUTE FUNCTION leadscore_internal.restore_models();
ALTER TABLE leadscore_internal.lead_model ENABLE ALWAYS TRIGGER restore_models;

GRANT SELECT, UPDATE ON SEQUENCE leadscore_internal.dump_seq TO pg_database_owner;
SELECT pg_catalog.pg_extension_config_dump('leadscore_internal.dump_seq', '');
