/*-------------------------------------------------------------------------
 *
 * extension_schema.c
 *		What other roles may not create in the extension's schemas.
 *
 * The owner of the database may create in schema leadscore, where a dump has the tables
 * of models.  A function, operator or type there could be mistaken for one of the
 * extension's, so it is refused, however it gets there.  Tables and views are refused
 * where they could be mistaken for those of another role's model.  Scripts of
 * extensions, leadscore's included, run as superuser and are not checked.
 *
 *-------------------------------------------------------------------------
 */
#include "base/leadscore.h"

#include "commands/event_trigger.h"
#include "commands/extension.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"

#include "definitions/extension.h"
#include "definitions/model_tables.h"
#include "definitions/rights.h"

PG_FUNCTION_INFO_V1(ls_own_schemas);
PG_FUNCTION_INFO_V1(ls_own_tables);

/* is_privileged tells whether a command is not checked, as its session is a superuser's. */
static bool
is_privileged(FunctionCallInfo fcinfo)
{
	(void) ls_sql_command(fcinfo);
	return creating_extension || !OidIsValid(ls_extension_base_table("lead_model", true)) ||
		ls_rights_may_manage_all();
}

/* ls_own_schemas is leadscore_internal.own_schemas(), an event trigger after a command. */
Datum
ls_own_schemas(PG_FUNCTION_ARGS)
{
	/*
	 * the multirange type of a range type may be in another schema, which the command
	 * does not report
	 */
	static const char sql[] =
		"SELECT c.object_type, c.object_identity FROM pg_catalog.pg_event_trigger_ddl_commands() c"
		" WHERE c.schema_name = ANY (ARRAY['" LEADSCORE_SCHEMA "', '" LEADSCORE_INTERNAL "'])"
		" AND NOT c.in_extension"
		" UNION ALL SELECT 'type', t.oid::pg_catalog.regtype::pg_catalog.text FROM pg_catalog.pg_type t"
		" WHERE t.typnamespace IN ('" LEADSCORE_SCHEMA "'::pg_catalog.regnamespace, '" LEADSCORE_INTERNAL "'::pg_catalog.regnamespace)"
		" AND t.typtype = 'm' AND t.typowner = %u LIMIT 1";
	SPITupleTable *rows;

	if (is_privileged(fcinfo))
		PG_RETURN_NULL();
	rows = ls_extension_query(psprintf(sql, GetUserId()), NULL);
	if (rows->numvals > 0)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied to have %s %s in a schema of leadscore",
						ls_sql_text(rows, 0, 1), ls_sql_text(rows, 0, 2)),
				 errdetail("It could be taken for one of the extension's."),
				 errhint("Use another schema.")));
	PG_RETURN_NULL();
}

/* ls_own_tables is leadscore_internal.own_tables(), an event trigger after a command. */
Datum
ls_own_tables(PG_FUNCTION_ARGS)
{
	static const char sql[] =
		"SELECT DISTINCT c.objid FROM pg_catalog.pg_event_trigger_ddl_commands() c"
		" WHERE c.schema_name = '" LEADSCORE_SCHEMA "'"
		" AND c.classid = 'pg_catalog.pg_class'::pg_catalog.regclass";
	SPITupleTable *rows;

	if (is_privileged(fcinfo))
		PG_RETURN_NULL();
	rows = ls_extension_query(sql, NULL);
	for (uint64 i = 0; i < rows->numvals; i++)
		ls_tables_check_made(DatumGetObjectId(ls_sql_value(rows, i, 1, NULL)));
	PG_RETURN_NULL();
}
