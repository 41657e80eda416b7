/*-------------------------------------------------------------------------
 *
 * restore.c
 *		What is being restored, and kept away from until it is all there.
 *
 * A restore is known by its target: INSERT and COPY into a base table are of a
 * restore, whoever's they are, but for leadscore itself; into a view they are an
 * ordinary change.  A restored row is taken as it is, from who has the rights of the
 * model's owner.  Rows may come before that of their model: they are kept, and not
 * used until it is there.
 *
 * A dump brings tables in any order, keys and triggers after the rows.  Who wrote
 * anything to a model in between would have written what the dump still brings (a
 * row with its key would end the restore), or have worked with what is not all
 * there: a contact that is due and has no score yet, a day without contacts, a job
 * that finds nothing to count.
 *
 * Hence two conditions for a worker:
 *	- A session that brings rows of lead_model holds a lock until it ends, which a
 *	  transaction of a worker needs.  It is taken before the rows are there, so
 *	  whoever sees a model sees the lock.  A parallel restore has all its sessions
 *	  until everything is there.
 *	- A model is complete: what a dump brings after its rows is there, keys, triggers
 *	  and the number of a sequence.  So it is when a dump is restored in pieces, by
 *	  sessions that come and go.
 *
 * Until both hold for the first time, the model's row says that it is being restored.
 * Events that come while it does may be of the dump, which has their scores, too:
 * their contacts are only noted to be counted again.
 *
 *-------------------------------------------------------------------------
 */
#include "background/restore.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "commands/sequence.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "background/daily.h"
#include "base/advisory_lock.h"
#include "base/compat.h"
#include "base/leadscore.h"
#include "base/relation.h"
#include "base/user.h"
#include "definitions/extension.h"
#include "definitions/locks.h"
#include "definitions/model_tables.h"
#include "definitions/source_triggers.h"
#include "tables/outbox_writer.h"
#include "tables/score_table.h"

PG_FUNCTION_INFO_V1(ls_restore_row);
PG_FUNCTION_INFO_V1(ls_restore_models);
PG_FUNCTION_INFO_V1(ls_restored);

#define TRIGGER "restore_row"
#define STATEMENT_TRIGGER "restore_models"

/* The sequences of base tables, and which columns have their numbers */
static const struct
{
	const char *table;
	const char *column;
	const char *sequence;
}			numbers[] = {
	{"lead_model", "rules_version", "version_seq"},
	{"lead_rule", "counted_version", "version_seq"},
	{"lead_rule", "counting_version", "version_seq"},
	{"lead_rule", "rule_id", "lead_rule_rule_id_seq"},
	{"lead_rule_history", "counted_version", "version_seq"},
	{"lead_rule_history", "counting_version", "version_seq"},
	{"lead_rule_history", "rule_id", "lead_rule_rule_id_seq"},
	{"lead_rule_history", "history_id", "lead_rule_history_history_id_seq"},
	{"lead_sheet_history", "history_id", "lead_sheet_history_history_id_seq"},
	{"lead_action", "action_id", "lead_action_action_id_seq"},
	{"lead_job", "job_id", "lead_job_job_id_seq"},
};

static bool session_restores = false;

/* ---------- the lock ---------- */

/* begin holds the lock until the session ends. */
static void
begin(void)
{
	ls_share_advisory(LS_LOCK_RESTORE, MyDatabaseId);
	session_restores = true;
}

/* ---------- rows ---------- */

/* ls_restore_number has a sequence go on after a number. */
void
ls_restore_number(const char *name, int64 number)
{
	Oid			sequence = ls_extension_base_table(name, false);
	LsUser	saved;
	bool		behind;
	bool		isnull;

	if (number <= 0)
		return;
	ls_user_switch(ls_extension_owner(), &saved);
	/* one at a time: none may set it back to what it has read */
	LockRelationOid(sequence, ShareUpdateExclusiveLock);
	SPI_connect();
	if (SPI_execute(psprintf("SELECT last_value, is_called FROM leadscore_internal.%s", name),
					false, 1) != SPI_OK_SELECT || SPI_processed != 1)
		elog(ERROR, "could not read sequence \"%s\"", name);
	behind = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc,
										 1, &isnull)) < number ||
		!DatumGetBool(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc,
									2, &isnull));
	SPI_finish();
	if (behind)
		DirectFunctionCall2(setval_oid, ObjectIdGetDatum(sequence), Int64GetDatum(number));
	UnlockRelationOid(sequence, ShareUpdateExclusiveLock);
	ls_user_restore(&saved);
}

/*
 * move_sequences does so for the numbers of a row.  Each is looked at once in a
 * session, as rows come in ascending order mostly.
 */
static void
move_sequences(Relation rel, HeapTuple tuple)
{
	static int64 highest[lengthof(numbers)];

	for (int i = 0; i < (int) lengthof(numbers); i++)
	{
		bool		isnull;
		int64		number;

		if (strcmp(RelationGetRelationName(rel), numbers[i].table) != 0)
			continue;
		number = DatumGetInt64(heap_getattr(tuple, SPI_fnumber(RelationGetDescr(rel), numbers[i].column),
											RelationGetDescr(rel), &isnull));
		if (isnull || number <= highest[i])
			continue;
		ls_restore_number(numbers[i].sequence, number);
		highest[i] = number;
	}
}

/*
 * check_rights makes sure that who restores rows of a model has its owner's rights,
 * and gives the owner, or none where its contact table is gone.
 */
static Oid
check_rights(const char *model, Oid contacts)
{
	Oid			owner;

	if (!SearchSysCacheExists1(RELOID, ObjectIdGetDatum(contacts)))
		return InvalidOid;
	owner = ls_relation_owner(contacts);
	if (!has_privs_of_role(GetUserId(), owner))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied to restore model \"%s\"", model),
				 errdetail("Only members of role \"%s\", which owns its contact table, may do this.",
						   GetUserNameFromId(owner, false))));
	return owner;
}

/*
 * restore_model takes a row of lead_model.  Whoever restores a model answers for its
 * rules: the owner that the dump says accepted them is a number of another cluster.
 */
static HeapTuple
restore_model(const char *name, HeapTuple tuple, TupleDesc desc)
{
	int			columns[3] = {SPI_fnumber(desc, "accepted_owner"), SPI_fnumber(desc, "restoring"),
	SPI_fnumber(desc, "accepted_contacts")};
	bool		nulls[3] = {false, false, false};
	bool		isnull;
	Datum		values[3];
	Datum		contacts = heap_getattr(tuple, SPI_fnumber(desc, "contacts"), desc, &isnull);

	if (isnull)
		return tuple;			/* which is refused */
	values[0] = ObjectIdGetDatum(check_rights(name, DatumGetObjectId(contacts)));
	values[1] = BoolGetDatum(true);
	values[2] = contacts;
	return heap_modify_tuple_by_cols(tuple, desc, 3, columns, values, nulls);
}

/*
 * ls_restore_models is leadscore_internal.restore_models(), before each statement
 * that inserts into lead_model, always: it keeps the worker away.
 */
Datum
ls_restore_models(PG_FUNCTION_ARGS)
{
	(void) ls_extension_trigger_data(fcinfo, TRIGGER_EVENT_BEFORE, LS_FIRED_INSERT, "lead_model");
	if (!ls_user_is_engine())
		begin();
	return PointerGetDatum(NULL);
}

/*
 * ls_restore_row is leadscore_internal.restore_row(), before each row that is
 * inserted into a base table, always.
 */
Datum
ls_restore_row(PG_FUNCTION_ARGS)
{
	TriggerData *td = ls_extension_trigger_data(fcinfo, TRIGGER_EVENT_BEFORE | TRIGGER_EVENT_ROW,
									   LS_FIRED_INSERT, NULL);
	TupleDesc	desc = RelationGetDescr(td->tg_relation);
	HeapTuple	tuple = td->tg_trigtuple;
	bool		isnull;
	Datum		value;
	char	   *name;
	LsModelRow *model;
	Oid			table;

	if (ls_user_is_engine())
		return PointerGetDatum(tuple);
	value = heap_getattr(tuple, SPI_fnumber(desc, "model"), desc, &isnull);
	if (isnull)
		return PointerGetDatum(tuple);	/* which is refused */
	name = TextDatumGetCString(value);
	if (RelationGetRelid(td->tg_relation) == ls_extension_base_table("lead_model", false))
		tuple = restore_model(name, tuple, desc);
	else if ((model = ls_model_row(name, NULL)) != NULL)
		(void) check_rights(name, model->contacts);
	move_sequences(td->tg_relation, tuple);
	table = ls_score_table(name, true);
	if (OidIsValid(table))
		CacheInvalidateRelcacheByRelid(table);
	return PointerGetDatum(tuple);
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
	TriggerData *trigger = ls_sql_trigger_data(fcinfo, TRIGGER_EVENT_AFTER, LS_FIRED_INSERT);

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
 * catch_up does for the rows of a base table what its trigger would have done that
 * was disabled while they came, and has it fire always again.
 */
static void
catch_up(Oid relid)
{
	Relation	rel = table_open(relid, ShareRowExclusiveLock);
	SysScanDesc scan = systable_beginscan(rel, InvalidOid, false, NULL, 0, NULL);
	HeapTuple	tuple;
	LsUser	saved;

	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
		move_sequences(rel, tuple);
	systable_endscan(scan);
	ls_set_trigger_firing(rel, TRIGGER, TRIGGER_FIRES_ALWAYS, ShareRowExclusiveLock);
	if (relid == ls_extension_base_table("lead_model", false))
	{
		CommandCounterIncrement();
		ls_set_trigger_firing(rel, STATEMENT_TRIGGER, TRIGGER_FIRES_ALWAYS,
							  ShareRowExclusiveLock);
	}
	table_close(rel, NoLock);
	if (relid != ls_extension_base_table("lead_model", false))
		return;
	ls_user_switch(ls_extension_owner(), &saved);
	ls_sql_execute("UPDATE leadscore_internal.lead_model m SET restoring = true,"
			   " accepted_contacts = m.contacts,"
			   " accepted_owner = COALESCE((SELECT c.relowner FROM pg_catalog.pg_class c"
			   " WHERE c.oid OPERATOR(pg_catalog.=) m.contacts), m.accepted_owner)", NULL);
	ls_user_restore(&saved);
}

/*
 * ls_restore_command looks at commands that give a table its key, and at those that
 * disable all triggers of a table and enable them again, as a dump does with
 * --disable-triggers around the rows.
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
	if (get_rel_namespace(relid) != get_namespace_oid(LEADSCORE_INTERNAL, true) ||
		!OidIsValid(get_trigger_oid(relid, TRIGGER, true)))
		return;
	if (!disables)
		catch_up(relid);
	else if (relid == ls_extension_base_table("lead_model", true))
		begin();
}

bool
ls_restore_keep_away(void)
{
	return ls_hold_advisory(LS_LOCK_RESTORE, MyDatabaseId);
}

/* ---------- complete models ---------- */

/*
 * is_ahead tells whether a restored model waits for the end of the dump: sequences
 * come after all rows, those of event tables included.
 */
static bool
is_ahead(const LsModelRow *row)
{
	LsUser	saved;
	bool		ahead;
	bool		isnull;

	if (!row->restoring)
		return false;
	ls_user_switch(ls_extension_owner(), &saved);
	SPI_connect();
	if (SPI_execute("SELECT CASE WHEN is_called THEN last_value ELSE 0 END"
					" FROM leadscore_internal.dump_seq", false, 1) != SPI_OK_SELECT ||
		SPI_processed != 1)
		elog(ERROR, "could not read sequence \"dump_seq\"");
	ahead = row->dump_number >
		DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	SPI_finish();
	ls_user_restore(&saved);
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
	if (is_ahead(row))
		return "Sequence leadscore_internal.dump_seq has not come to its number.";
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
				 errhint("While a dump is restored this is as it should be. If nothing else is to come, call leadscore.rescore('%s').",
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
 * dump.  Where that is over it is noted, unless somebody else is at the model.
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

/* ls_restore_over notes that nothing of a model is to come any more. */
void
ls_restore_over(const char *model)
{
	Oid			table = ls_score_table(model, true);
	LsSqlArguments args = {0};
	LsUser	saved;

	ls_sql_add_text(&args, model);
	ls_user_switch(ls_extension_owner(), &saved);
	if (ls_sql_execute("UPDATE leadscore_internal.lead_model SET restoring = false"
				   " WHERE model OPERATOR(pg_catalog.=) $1 AND restoring", &args) > 0 &&
		OidIsValid(table))
		CacheInvalidateRelcacheByRelid(table);
	ls_user_restore(&saved);
}
