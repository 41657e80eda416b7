/*-------------------------------------------------------------------------
 *
 * pending_list.c
 *		How much is put aside, and for how long.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "executor/spi.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/tuplestore.h"

#include "api/arguments.h"
#include "base/relation.h"
#include "base/user.h"
#include "definitions/catalog.h"
#include "definitions/extension.h"

PG_FUNCTION_INFO_V1(ls_pending_list);

#define PENDING_LIST_COLUMNS 5

/* list_model gives the row of one model. */
static void
list_model(ReturnSetInfo *result, const char *model)
{
	char	   *name = psprintf("pending_%s", model);
	Oid			table = ls_extension_table(name, false);
	Datum		values[PENDING_LIST_COLUMNS] = {CStringGetTextDatum(model)};
	bool		nulls[PENDING_LIST_COLUMNS] = {0};
	LsUser	saved;

	ls_user_switch_to_owner(ls_relation_owner(table), &saved);
	SPI_connect();
	if (SPI_execute(psprintf("SELECT pg_catalog.count(*), pg_catalog.count(DISTINCT contact_id),"
							 " pg_catalog.min(noted_at),"
							 " leadscore.clock() OPERATOR(pg_catalog.-) pg_catalog.min(noted_at)"
							 " FROM leadscore.%s", quote_identifier(name)),
					true, 0) != SPI_OK_SELECT || SPI_processed != 1)
		elog(ERROR, "could not read what is pending of model \"%s\"", model);
	for (int i = 1; i < PENDING_LIST_COLUMNS; i++)
		values[i] = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, i, &nulls[i]);
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	SPI_finish();
	ls_user_restore(&saved);
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
		list_model(result, ls_asked_model(fcinfo, text_to_cstring(PG_GETARG_TEXT_PP(0)), NULL)->name);
		PG_RETURN_NULL();
	}
	foreach(lc, ls_model_rows(NULL))
	{
		const char *model = ((LsModelRow *) lfirst(lc))->model;
		Oid			table = ls_score_table(model, true);

		if (OidIsValid(table) &&
			pg_class_aclcheck(table, GetUserId(), ACL_SELECT) == ACLCHECK_OK)
			list_model(result, model);
	}
	PG_RETURN_NULL();
}
