/*-------------------------------------------------------------------------
 *
 * restore_state.c
 *		Whether something of a model is being restored, so that workers skip it.
 *
 * A dump brings tables in any order, keys and triggers after the rows.  Another
 * session that wrote to a model in between would write rows that the dump still
 * brings (a duplicate key would end the restore), or work with incomplete data: a
 * contact that is due and has no score yet, a day without contacts, a job that finds
 * no events.
 *
 * Hence two conditions for a worker:
 *	- A session that brings rows of lead_model holds a lock until it ends, which a
 *	  transaction of a worker needs.  It is taken before the rows are there, so
 *	  a session that sees a model sees the lock.  A parallel restore has all its sessions
 *	  until everything is there.
 *	- A model is complete: what a dump brings after its rows is there, keys, triggers
 *	  and the number of a sequence.  This covers a dump that is restored in pieces, by
 *	  sessions that come and go.
 *
 * Until both hold for the first time, the model's row says that it is being restored.
 * Events that come while it does may be of the dump, which has their scores, too:
 * their contacts are only enqueued to be recomputed.
 *
 *-------------------------------------------------------------------------
 */
#include "definitions/restore_state.h"

#include "access/xact.h"
#include "catalog/pg_class.h"
#include "commands/sequence.h"
#include "commands/trigger.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/syscache.h"

#include "base/advisory_lock.h"
#include "base/compat.h"
#include "base/relation.h"
#include "base/user.h"
#include "definitions/daily_tables.h"
#include "definitions/extension.h"
#include "definitions/locks.h"
#include "definitions/model_tables.h"
#include "definitions/source_triggers.h"

static bool session_restores = false;

/* ls_restore_begin keeps workers away until the session ends. */
void
ls_restore_begin(void)
{
	ls_advisory_share(LS_LOCK_RESTORE, MyDatabaseId);
	session_restores = true;
}

/* last_number gives the last number that a sequence has given; 0: none. */
static int64
last_number(const char *sequence)
{
	bool		isnull;

	return DatumGetInt64(ls_sql_value(ls_extension_query(psprintf("SELECT CASE WHEN is_called THEN last_value ELSE 0 END"
																  " FROM leadscore_internal.%s", sequence), NULL),
									  0, 1, &isnull));
}

/* ls_restore_number advances a sequence to a number. */
void
ls_restore_number(const char *name, int64 number)
{
	Oid			sequence = ls_extension_base_table(name, false);
	LsUser		saved;

	if (number <= 0)
		return;
	ls_user_switch(ls_extension_owner(), &saved);
	/* one session at a time: none may set it back to what it has read */
	LockRelationOid(sequence, ShareUpdateExclusiveLock);
	if (last_number(name) < number)
		DirectFunctionCall2(setval_oid, ObjectIdGetDatum(sequence), Int64GetDatum(number));
	UnlockRelationOid(sequence, ShareUpdateExclusiveLock);
	ls_user_restore(&saved);
}

bool
ls_restore_keep_away(void)
{
	return ls_advisory_hold(LS_LOCK_RESTORE, MyDatabaseId);
}

/* table_without_trigger gives a table that feeds the model and lacks our triggers. */
static Oid
table_without_trigger(const char *model)
{
	ListCell   *lc;

	foreach(lc, ls_source_relation_rows(InvalidOid))
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

	if (!ls_tables_complete(row->model))
		return "Its tables have no keys, or no table feeds it.";
	if (!ls_daily_begun(row->model))
		return "It has no row in leadscore.lead_day.";
	table = ls_tables_without_index(row->model);
	if (OidIsValid(table))
		return psprintf("Table \"%s\" has no index.", ls_relation_qualified_name(table));
	table = table_without_trigger(row->model);
	if (OidIsValid(table))
		return psprintf("Table \"%s\" has no trigger of leadscore's.", ls_relation_qualified_name(table));
	/* sequences come after all rows, those of event tables included */
	if (row->restoring && row->dump_number > last_number("dump_seq"))
		return "Sequence leadscore_internal.dump_seq has not come to its number.";
	return NULL;
}

/* ls_restore_complete checks a model until it has once been complete. */
bool
ls_restore_complete(const LsModelRow *row)
{
	static List *complete = NIL;	/* OIDs of score tables */
	static List *reported = NIL;
	Oid			table = ls_lead_score_table(row->model, true);
	MemoryContext old;
	char	   *lack;

	if (OidIsValid(table) && list_member_oid(complete, table))
		return true;
	lack = missing(row);
	if (lack && list_member_oid(reported, table))
		return false;
	if (lack)
		ereport(LOG,
				(errmsg("skipping incomplete model \"%s\"", row->model),
				 errdetail("%s", lack),
				 errhint("This is expected while a dump is restored. If the restore has ended, call leadscore.rescore('%s').",
						 row->model)));
	old = MemoryContextSwitchTo(TopMemoryContext);
	if (lack)
		reported = lappend_oid(reported, table);
	else
		complete = lappend_oid(complete, table);
	MemoryContextSwitchTo(old);
	return lack == NULL;
}

/*
 * ls_restore_under_way tells whether something of a model may still come from a
 * dump.  When that is over it is recorded, unless another session has the model
 * locked.
 */
bool
ls_restore_under_way(const LsModelRow *row)
{
	if (!row->restoring)
		return false;
	if (session_restores || IsolationUsesXactSnapshot() || XactReadOnly ||
		!ls_restore_complete(row) || !ls_restore_keep_away() ||
		!ls_lock_definitions_if_free(row->model))
		return true;
	ls_restore_over(row->model);
	return false;
}

/* ls_restore_over records that nothing of a model is to come any more. */
void
ls_restore_over(const char *model)
{
	Oid			table = ls_lead_score_table(model, true);
	LsSqlArguments args = {0};

	ls_sql_add_text(&args, model);
	if (ls_extension_execute("UPDATE leadscore_internal.lead_model SET restoring = false"
							 " WHERE model OPERATOR(pg_catalog.=) $1 AND restoring", &args) > 0 &&
		OidIsValid(table))
		CacheInvalidateRelcacheByRelid(table);
}
