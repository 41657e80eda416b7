/*-------------------------------------------------------------------------
 *
 * model_access.c
 *		Tables of models that the caller may read, or take from.
 *
 * Privileges on what is stored of a model's contacts are those on the model's tables,
 * as its owner grants them: with SELECT on history_<model> a role sees its rows in
 * lead_stage_history, with UPDATE on outbox_<model> it may take from it.  Members of
 * the owner may do all of it.
 *
 * The views over all models also show rows to callers that did not name a model.  So
 * nothing of a model's owner may run there, nor may the owner make callers wait: a
 * table is scanned and not queried; one with row security that applies to the caller
 * is left out, as its policies would have to be run; so is a locked table of another
 * role.
 *
 *-------------------------------------------------------------------------
 */
#include "definitions/model_access.h"

#include "access/table.h"
#include "access/tableam.h"
#include "catalog/pg_class.h"
#include "executor/tuptable.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/rls.h"
#include "utils/snapmgr.h"
#include "utils/tuplestore.h"

#include "base/compat.h"
#include "base/relation.h"
#include "definitions/extension.h"
#include "definitions/rights.h"
#include "definitions/table_layout.h"

PG_FUNCTION_INFO_V1(ls_readable_models);
PG_FUNCTION_INFO_V1(ls_history_rows);
PG_FUNCTION_INFO_V1(ls_outbox_rows);
PG_FUNCTION_INFO_V1(ls_worker_error_rows);

/* ---------- rights ---------- */

/* may_use tells whether the caller has rights on a table of a model. */
static bool
may_use(const LsModelRow *model, Oid table, AclMode rights)
{
	Oid			role = GetUserId();

	if (get_rel_relkind(table) != RELKIND_RELATION)
		return false;
	if (ls_rights_may_manage_model(model, role))
		return true;
	return pg_class_aclcheck(table, role, rights) == ACLCHECK_OK &&
		check_enable_rls(table, role, true) != RLS_ENABLED;
}

/* table_with gives a table of a model, with the type of its keys; NULL: none. */
static LsModelTable *
table_with(const LsModelRow *model, const char *prefix)
{
	Oid			table = ls_extension_table(psprintf("%s%s", prefix, model->model), true);
	LsModelTable *result;
	AttrNumber	column = OidIsValid(table) ? get_attnum(table, "contact_id") : InvalidAttrNumber;

	if (column == InvalidAttrNumber)
		return NULL;
	result = palloc0(sizeof(LsModelTable));
	result->model = (LsModelRow *) model;
	result->table = table;
	ls_key_type(table, column, model->owner, model->model, &result->key);
	return result;
}

/*
 * ls_model_tables_for gives the tables with a prefix on which the caller has
 * privileges, of one model or of all; without privileges to ask for, those that
 * exist.
 */
List *
ls_model_tables_for(const char *prefix, const char *model, AclMode rights)
{
	List	   *tables = NIL;
	ListCell   *lc;

	foreach(lc, ls_lead_models(NULL))
	{
		LsModelRow *row = lfirst(lc);
		LsModelTable *table = model == NULL || strcmp(row->model, model) == 0 ?
			table_with(row, prefix) : NULL;

		if (table && (rights == ACL_NO_RIGHTS || may_use(row, table->table, rights)))
			tables = lappend(tables, table);
	}
	return tables;
}

/*
 * ls_model_table_lock locks a table until the transaction ends.  False: it has never
 * had a row, has been dropped, or is locked by a session for which the caller does
 * not wait.
 */
bool
ls_model_table_lock(const LsModelTable *table, LOCKMODE mode, bool wait)
{
	if (wait)
		LockRelationOid(table->table, mode);
	else if (!ConditionalLockRelationOid(table->table, mode))
		return false;
	if (get_rel_relkind(table->table) == RELKIND_RELATION && ls_relation_has_pages(table->table))
		return true;
	UnlockRelationOid(table->table, mode);
	return false;
}

/*
 * ls_model_table_take locks a table for the caller, which waits only if it is the
 * caller's own.
 */
bool
ls_model_table_take(const LsModelTable *table, LOCKMODE mode)
{
	return ls_model_table_lock(table, mode, ls_rights_may_manage_model(table->model, GetUserId()));
}

/* ---------- views over all models ---------- */

/* ls_readable_models gives the models whose tables with a prefix the caller may read. */
Datum
ls_readable_models(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	ListCell   *lc;

	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	if (PG_ARGISNULL(0))
		return (Datum) 0;
	foreach(lc, ls_model_tables_for(text_to_cstring(PG_GETARG_TEXT_PP(0)), NULL, ACL_SELECT))
	{
		LsModelTable *table = lfirst(lc);
		Datum		value = CStringGetTextDatum(table->model->model);
		bool		isnull = false;

		tuplestore_putvalues(result->setResult, result->setDesc, &value, &isnull);
	}
	return (Datum) 0;
}

/* is_other_status tells whether a row of outbox_<model> is not of a status. */
static bool
is_other_status(TupleTableSlot *slot, AttrNumber column, const char *status)
{
	bool		isnull;
	Datum		value = slot_getattr(slot, column, &isnull);

	return isnull || strcmp(TextDatumGetCString(value), status) != 0;
}

/* show_rows gives the rows of a table, all or those of a status, with the text of keys. */
static void
show_rows(ReturnSetInfo *result, const LsTableLayout *layout, LsModelTable *table,
		  const char *status)
{
	Relation	rel = table_open(table->table, NoLock);
	TupleTableSlot *slot = table_slot_create(rel, NULL);
	TableScanDesc scan;
	AttrNumber	column = status ? get_attnum(table->table, "status") : InvalidAttrNumber;
	int			n = RelationGetDescr(rel)->natts;
	Datum	   *values = palloc(sizeof(Datum) * result->setDesc->natts);
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "leadscore row",
												  ALLOCSET_DEFAULT_SIZES);

	ls_table_layout_check(rel, layout->prefix, table->key.type);
	scan = ls_table_beginscan(rel, GetActiveSnapshot());
	while (table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		MemoryContext old = MemoryContextSwitchTo(context);

		CHECK_FOR_INTERRUPTS();
		if (status == NULL || !is_other_status(slot, column, status))
		{
			slot_getallattrs(slot);
			for (int i = 0; i < n; i++)
				values[i] = layout->columns[i].type == LS_TYPE_KEY ?
					CStringGetTextDatum(ls_key_text(&table->key, slot->tts_values[i])) :
					slot->tts_values[i];
			tuplestore_putvalues(result->setResult, result->setDesc, values, slot->tts_isnull);
		}
		MemoryContextSwitchTo(old);
		MemoryContextReset(context);
	}
	table_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	table_close(rel, NoLock);
	MemoryContextDelete(context);
}

/*
 * rows is for functions that give the rows of a model's table, in the order of its
 * columns.  A caller sees the rows that its privileges allow, or none.
 */
static Datum
rows(FunctionCallInfo fcinfo, const char *prefix)
{
	char	   *status = PG_NARGS() > 1 && !PG_ARGISNULL(1) ?
		text_to_cstring(PG_GETARG_TEXT_PP(1)) : NULL;
	ListCell   *lc;

	InitMaterializedSRF(fcinfo, 0);
	if (PG_ARGISNULL(0))
		return (Datum) 0;
	foreach(lc, ls_model_tables_for(prefix, text_to_cstring(PG_GETARG_TEXT_PP(0)), ACL_SELECT))
		if (ls_model_table_take(lfirst(lc), AccessShareLock))
			show_rows((ReturnSetInfo *) fcinfo->resultinfo, ls_table_layout(prefix),
				  lfirst(lc), status);
	return (Datum) 0;
}

/* ls_history_rows is leadscore_internal.history_rows(). */
Datum
ls_history_rows(PG_FUNCTION_ARGS)
{
	return rows(fcinfo, "history_");
}

/* ls_outbox_rows is leadscore_internal.outbox_rows(). */
Datum
ls_outbox_rows(PG_FUNCTION_ARGS)
{
	return rows(fcinfo, "outbox_");
}

/* ls_worker_error_rows is leadscore_internal.worker_error_rows(). */
Datum
ls_worker_error_rows(PG_FUNCTION_ARGS)
{
	return rows(fcinfo, "worker_error_");
}
