/*-------------------------------------------------------------------------
 *
 * restore.c
 *		What works by time keeps away from what is being restored.
 *
 * A dump brings tables in any order, keys and triggers after the rows, numbers of
 * sequences last.  Who wrote anything to a model in between would have written
 * what the dump still brings (a row with its key would end the restore), or have
 * worked with what is not all there: a contact that is due and has no score yet,
 * a day without contacts, a job that finds nothing to count.
 *
 * Hence two conditions for a worker, and neither is a guess at who restores:
 *	- A session that brings rows of lead_model holds a lock until it ends, which a
 *	  transaction of a worker needs.  It is taken before the rows are there, so
 *	  whoever sees a model sees the lock.  A parallel restore has all its sessions
 *	  until everything is there.
 *	- A model is complete: what a dump brings after its rows is there.  So it
 *	  is when a dump is restored in pieces, by sessions that come and go.
 *
 *-------------------------------------------------------------------------
 */
#include "restore.h"

#include "access/table.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "storage/lmgr.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "check.h"
#include "compat.h"
#include "daily.h"
#include "feed.h"
#include "launcher.h"
#include "leadscore.h"
#include "model.h"
#include "model_tables.h"
#include "outbox_row.h"
#include "score_table.h"

PG_FUNCTION_INFO_V1(ls_restoring_models);
PG_FUNCTION_INFO_V1(ls_restored);

#define TRIGGER "restoring"

/* ---------- the lock ---------- */

/* begin holds the lock until the session ends. */
static void
begin(void)
{
	ls_share_advisory(LS_LOCK_RESTORE, MyDatabaseId);
}

/*
 * ls_restoring_models fires before rows of lead_model are inserted, always: those
 * of a dump are inserted by COPY or, in a session that restores, by INSERT; those
 * that create_model() and attach() make, by a SELECT.
 */
Datum
ls_restoring_models(PG_FUNCTION_ARGS)
{
	(void) ls_check_trigger(fcinfo, "lead_model");
	if (ls_session_inserts())
		ls_session_restores_models();
	if (ls_restoring())
		begin();
	return PointerGetDatum(NULL);
}

/* is_table tells whether a relation is the table of ours with a prefix, of whatever model. */
static bool
is_table(Oid relid, const char *prefix)
{
	return get_rel_namespace(relid) == get_namespace_oid(LEADSCORE_SCHEMA, true) &&
		strncmp(get_rel_name(relid), prefix, strlen(prefix)) == 0;
}

/* rows_restored sees to what rows that were restored to a table of a model ask for. */
static void
rows_restored(Oid relid)
{
	if (is_table(relid, "pending_"))
		ls_row_restored(relid);
	else if (is_table(relid, "outbox_"))
		ls_outbox_pass_ids(relid);
}

/* ls_restored fires after rows of such a table were inserted. */
Datum
ls_restored(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;

	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function was not called by trigger manager")));
	if (!ls_row_writing())
		rows_restored(RelationGetRelid(trigger->tg_relation));
	return PointerGetDatum(NULL);
}

/*
 * adds_key tells whether a command gives a table its primary key, as a dump does when
 * its rows are there.
 */
static bool
adds_key(const AlterTableStmt *stmt)
{
	ListCell   *lc;

	foreach(lc, stmt->cmds)
	{
		const AlterTableCmd *cmd = lfirst(lc);

		if (cmd->subtype == AT_AddConstraint && cmd->def && IsA(cmd->def, Constraint) &&
			((const Constraint *) cmd->def)->contype == CONSTR_PRIMARY)
			return true;
	}
	return false;
}

/*
 * ls_restore_command looks at commands that give a table its key, and at those that
 * disable all triggers of a table and enable them again, as a dump does with --disable-triggers around the rows.  It
 * does what the triggers would have done, and has that of lead_model, which has
 * become an ordinary one, fire always.
 */
void
ls_restore_command(Node *command)
{
	AlterTableStmt *stmt = (AlterTableStmt *) command;
	AlterTableType type;
	bool		disables;
	Oid			relid;

	if (!IsA(command, AlterTableStmt) || stmt->objtype != OBJECT_TABLE)
		return;
	if (adds_key(stmt))
	{
		relid = RangeVarGetRelid(stmt->relation, NoLock, true);
		if (OidIsValid(relid) && is_table(relid, "outbox_"))
			rows_restored(relid);
		return;
	}
	if (list_length(stmt->cmds) != 1)
		return;
	type = ((AlterTableCmd *) linitial(stmt->cmds))->subtype;
	disables = type == AT_DisableTrigAll || type == AT_DisableTrigUser;
	if (!disables && type != AT_EnableTrigAll && type != AT_EnableTrigUser)
		return;
	relid = RangeVarGetRelid(stmt->relation, NoLock, true);
	if (!OidIsValid(relid))
		return;
	if (type == AT_EnableTrigAll)
		rows_restored(relid);
	if (relid != ls_base_table_oid("lead_model", true) ||
		!OidIsValid(get_trigger_oid(relid, TRIGGER, true)))
		return;
	if (disables)
		begin();
	else
	{
		Relation	rel = table_open(relid, ShareRowExclusiveLock);

		ls_set_trigger_firing(rel, TRIGGER, TRIGGER_FIRES_ALWAYS, ShareRowExclusiveLock);
		table_close(rel, NoLock);
	}
}

bool
ls_restore_keep_away(void)
{
	return ls_hold_advisory(LS_LOCK_RESTORE, MyDatabaseId);
}

/* ---------- complete models ---------- */

/*
 * ahead_of_sequence tells whether a model has a version that its sequence has not
 * given yet: the numbers of sequences come after all rows.
 */
static bool
ahead_of_sequence(const LsModelRow *row)
{
	bool		ahead = false;
	bool		isnull;

	SPI_connect();
	if (SPI_execute("SELECT last_value FROM leadscore_internal.version_seq", false, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not read sequence \"version_seq\"");
	if (SPI_processed == 1)
		ahead = row->rules_version >
			DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	SPI_finish();
	return ahead;
}

/* table_without_trigger gives a table that feeds the model and does not tell of it. */
static Oid
table_without_trigger(const char *model)
{
	ListCell   *lc;

	foreach(lc, ls_relation_rows(InvalidOid))
	{
		LsRelationRow *row = lfirst(lc);

		if (strcmp(row->model, model) == 0 &&
			SearchSysCacheExists1(RELOID, ObjectIdGetDatum(row->relation)) &&
			get_rel_relkind(row->relation) != RELKIND_FOREIGN_TABLE &&
			!OidIsValid(get_trigger_oid(row->relation, "leadscore_enter", true)))
			return row->relation;
	}
	return InvalidOid;
}

/* missing says what a model lacks; NULL: nothing. */
static char *
missing(const LsModelRow *row)
{
	Oid			table;

	if (!ls_model_complete(row->model))
		return "Its tables have no keys, or no table feeds it.";
	if (!ls_daily_begun(row->model))
		return "It has no row in leadscore.lead_day.";
	table = ls_tables_without_index(row->model);
	if (OidIsValid(table))
		return psprintf("Table \"%s\" has no index.", ls_qualified_name(table));
	table = table_without_trigger(row->model);
	if (OidIsValid(table))
		return psprintf("Table \"%s\" has no trigger of leadscore's.", ls_qualified_name(table));
	if (ahead_of_sequence(row))
		return "Sequence leadscore.version_seq has not come to its version.";
	return NULL;
}

/* ls_restore_complete does not ask again about what has once been there in full. */
bool
ls_restore_complete(const LsModelRow *row)
{
	static List *complete = NIL;	/* OIDs of score tables */
	static List *reported = NIL;
	Oid			table = ls_score_table(row->model, true);
	MemoryContext old;
	char	   *lack;

	if (OidIsValid(table) && list_member_oid(complete, table))
		return true;
	lack = missing(row);
	if (lack && list_member_oid(reported, table))
		return false;
	if (lack)
		ereport(LOG,
				(errmsg("model \"%s\" is left alone, as it is not complete", row->model),
				 errdetail("%s", lack),
				 errhint("While a dump is restored this is as it should be.")));
	old = MemoryContextSwitchTo(TopMemoryContext);
	if (lack)
		reported = lappend_oid(reported, table);
	else
		complete = lappend_oid(complete, table);
	MemoryContextSwitchTo(old);
	return lack == NULL;
}
