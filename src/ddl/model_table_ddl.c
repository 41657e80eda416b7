/*-------------------------------------------------------------------------
 *
 * model_table_ddl.c
 *		What may not be put on the tables of a model.
 *
 * The tables of a model belong to its owner, and row triggers on them fire as the
 * owner, whichever session writes.  But rows are written one by one, without an SQL
 * statement, by sessions that write events.  A deferred trigger would make the
 * transactions of other roles fail at commit, and would run as those roles; a
 * transition table would be empty; a foreign key would fail where the contact does not
 * exist, or keep it from being deleted.  So these are refused.
 *
 *-------------------------------------------------------------------------
 */
#include "base/leadscore.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_class.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_trigger.h"
#include "commands/event_trigger.h"
#include "commands/extension.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "definitions/extension.h"
#include "definitions/lead_tables.h"
#include "definitions/model_tables.h"

PG_FUNCTION_INFO_V1(ls_model_table_ddl);

/* model_of gives the model whose table a relation is, or NULL. */
static LsModelRow *
model_of(Oid relation)
{
	char		relkind = get_rel_relkind(relation);
	ListCell   *lc;

	if ((relkind != RELKIND_RELATION && relkind != RELKIND_PARTITIONED_TABLE) ||
		!ls_extension_has_schema(get_rel_namespace(relation)))
		return NULL;
	foreach(lc, ls_lead_models(NULL))
	{
		LsModelRow *row = lfirst(lc);

		if (ls_tables_is_of(get_rel_name(relation), row->model))
			return row;
	}
	return NULL;
}

/* check_trigger refuses a trigger that is deferrable, or has transition tables. */
static void
check_trigger(HeapTuple tuple, TupleDesc desc)
{
	Form_pg_trigger trigger = (Form_pg_trigger) GETSTRUCT(tuple);
	bool		no_old,
				no_new;

	(void) heap_getattr(tuple, Anum_pg_trigger_tgoldtable, desc, &no_old);
	(void) heap_getattr(tuple, Anum_pg_trigger_tgnewtable, desc, &no_new);
	if (trigger->tgisinternal || (!trigger->tgdeferrable && no_old && no_new) ||
		model_of(trigger->tgrelid) == NULL)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 trigger->tgdeferrable ?
			 errmsg("trigger \"%s\" on table \"%s\" cannot be deferrable",
					NameStr(trigger->tgname), get_rel_name(trigger->tgrelid)) :
			 errmsg("trigger \"%s\" on table \"%s\" cannot have transition tables",
					NameStr(trigger->tgname), get_rel_name(trigger->tgrelid)),
			 errdetail("leadscore writes the table row by row, in the transactions of those who write events."),
			 errhint("Make it a trigger FOR EACH ROW that is not deferrable and has no transition tables, or have an action call a function: see leadscore.lead_action.")));
}

/* check_constraint refuses a foreign key from or to a table of a model. */
static void
check_constraint(HeapTuple tuple)
{
	Form_pg_constraint constraint = (Form_pg_constraint) GETSTRUCT(tuple);
	LsModelRow *from,
			   *to;

	if (constraint->contype != CONSTRAINT_FOREIGN)
		return;
	from = model_of(constraint->conrelid);
	to = model_of(constraint->confrelid);
	if (from == NULL && to == NULL)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 from ? errmsg("table \"%s\" cannot have foreign key constraint \"%s\"",
						   get_rel_name(constraint->conrelid), NameStr(constraint->conname)) :
			 errmsg("foreign key constraint \"%s\" cannot refer to table \"%s\"",
					NameStr(constraint->conname), get_rel_name(constraint->confrelid)),
			 errdetail("Its rows come and go with events and contacts, whose statements would fail with the constraint."),
			 from ? errhint("Have an action call a function instead: see leadscore.lead_action.") :
			 errhint("Refer to the contact table \"%s\" instead, or have an action write to your table: see leadscore.lead_action.",
					 get_rel_name(to->contacts))));
}

/* check_catalog checks the rows of a catalog that belong to an object. */
static void
check_catalog(Oid catalog, Oid index, AttrNumber attno, Oid object)
{
	Relation	rel = table_open(catalog, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key, attno, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(object));
	scan = systable_beginscan(rel, index, true, NULL, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		if (catalog == TriggerRelationId)
			check_trigger(tuple, RelationGetDescr(rel));
		else
			check_constraint(tuple);
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
}

/*
 * ls_model_table_ddl is leadscore_internal.model_table_ddl(), an event trigger after a
 * command.
 */
Datum
ls_model_table_ddl(PG_FUNCTION_ARGS)
{
	static const char sql[] =
		"SELECT DISTINCT c.classid, c.objid FROM pg_catalog.pg_event_trigger_ddl_commands() c"
		" WHERE c.classid IN ('pg_catalog.pg_class'::pg_catalog.regclass, 'pg_catalog.pg_trigger'::pg_catalog.regclass)";
	SPITupleTable *rows;

	(void) ls_sql_command(fcinfo);
	if (creating_extension || !OidIsValid(ls_extension_base_table("lead_model", true)) ||
		ls_lead_models(NULL) == NIL)
		PG_RETURN_NULL();
	rows = ls_extension_query(sql, NULL);
	for (uint64 i = 0; i < rows->numvals; i++)
	{
		Oid			object = DatumGetObjectId(ls_sql_value(rows, i, 2, NULL));

		if (DatumGetObjectId(ls_sql_value(rows, i, 1, NULL)) == TriggerRelationId)
			check_catalog(TriggerRelationId, TriggerOidIndexId, Anum_pg_trigger_oid, object);
		else
			check_catalog(ConstraintRelationId, ConstraintRelidTypidNameIndexId,
						  Anum_pg_constraint_conrelid, object);
	}
	PG_RETURN_NULL();
}
