/*-------------------------------------------------------------------------
 *
 * pending_list.c
 *		How many changes are pending, and for how long.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "funcapi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/tuplestore.h"

#include "api/arguments.h"
#include "base/relation.h"
#include "definitions/extension.h"
#include "definitions/lead_tables.h"
#include "definitions/rights.h"

PG_FUNCTION_INFO_V1(ls_pending_list);

#define PENDING_LIST_COLUMNS 5

/* list_model gives the row of one model. */
static void
list_model(ReturnSetInfo *result, const char *model)
{
	Oid			table = ls_extension_table(psprintf("pending_%s", model), false);
	Datum		values[PENDING_LIST_COLUMNS] = {CStringGetTextDatum(model)};
	bool		nulls[PENDING_LIST_COLUMNS] = {0};
	LsSqlArguments args = {.read_only = true};
	SPITupleTable *rows;

	rows = ls_sql_query_as_owner(table,
								 psprintf("SELECT count(*), count(DISTINCT contact_id), min(noted_at),"
										  " leadscore.clock() - min(noted_at) FROM %s",
										  ls_relation_qualified_name(table)), &args);
	for (int i = 1; i < PENDING_LIST_COLUMNS; i++)
		values[i] = ls_sql_value(rows, 0, i, &nulls[i]);
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/* ls_pending_list is leadscore.pending(). */
Datum
ls_pending_list(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	ListCell   *lc;

	InitMaterializedSRF(fcinfo, 0);
	if (!PG_ARGISNULL(0))
	{
		list_model(result, ls_argument_model(fcinfo, text_to_cstring(PG_GETARG_TEXT_PP(0)), NULL)->name);
		PG_RETURN_NULL();
	}
	foreach(lc, ls_lead_models(NULL))
	{
		LsModelRow *row = lfirst(lc);

		if (ls_rights_may_read_model(row, GetUserId()))
			list_model(result, row->model);
	}
	PG_RETURN_NULL();
}
