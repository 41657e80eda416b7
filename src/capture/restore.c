/*-------------------------------------------------------------------------
 *
 * restore.c
 *		Rows that a dump restores.
 *
 * A restore is known by its target: INSERT and COPY into a base table are a restore, in
 * any session, except for leadscore itself; into a view they are an ordinary change.  A
 * restored row is stored as it is, from a role with the privileges of the model's
 * owner.  Rows may be restored before that of their model, and are not used until then.
 * For models that are being restored see restore_state.c.
 *
 *-------------------------------------------------------------------------
 */
#include "capture/restore.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "commands/trigger.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "base/compat.h"
#include "base/leadscore.h"
#include "base/relation.h"
#include "base/user.h"
#include "definitions/extension.h"
#include "definitions/restore_state.h"
#include "tables/outbox_writer.h"
#include "tables/pending_table.h"

PG_FUNCTION_INFO_V1(ls_restore_row);
PG_FUNCTION_INFO_V1(ls_restore_models);
PG_FUNCTION_INFO_V1(ls_restored);

#define TRIGGER "restore_row"
#define STATEMENT_TRIGGER "restore_models"

/* The columns of base tables whose numbers are those of sequences */
static const struct
{
	const char *table;
	const char *column;
	const char *sequence;
}			numbers[] = {
	{"lead_model", "rules_version", "version_seq"},
	{"lead_rule", "backfilled_version", "version_seq"},
	{"lead_rule", "backfilling_version", "version_seq"},
	{"lead_rule", "rule_id", "lead_rule_rule_id_seq"},
	{"lead_rule_history", "backfilled_version", "version_seq"},
	{"lead_rule_history", "backfilling_version", "version_seq"},
	{"lead_rule_history", "rule_id", "lead_rule_rule_id_seq"},
	{"lead_rule_history", "history_id", "lead_rule_history_history_id_seq"},
	{"lead_model_history", "history_id", "lead_model_history_history_id_seq"},
	{"lead_action", "action_id", "lead_action_action_id_seq"},
	{"lead_job", "job_id", "lead_job_job_id_seq"},
};

/*
 * move_sequences advances sequences past the numbers of a row.  It remembers the
 * highest numbers of the session, as most rows come in ascending order, and of which
 * table they are: the extension may be dropped and made again.
 */
static void
move_sequences(Relation rel, HeapTuple tuple)
{
	static struct
	{
		Oid			table;
		int64		number;
	}			highest[lengthof(numbers)];

	for (int i = 0; i < (int) lengthof(numbers); i++)
	{
		bool		isnull;
		int64		number;

		if (strcmp(RelationGetRelationName(rel), numbers[i].table) != 0)
			continue;
		number = DatumGetInt64(heap_getattr(tuple, SPI_fnumber(RelationGetDescr(rel), numbers[i].column),
											RelationGetDescr(rel), &isnull));
		if (isnull || (highest[i].table == RelationGetRelid(rel) && number <= highest[i].number))
			continue;
		ls_restore_number(numbers[i].sequence, number);
		highest[i].table = RelationGetRelid(rel);
		highest[i].number = number;
	}
}

/*
 * check_rights ensures that the caller has the privileges of the owner of a model that
 * it restores, and gives the owner, or none if the contact table does not exist.
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
 * restore_model changes a row of lead_model before it is inserted.  The role that
 * restores a model accepts its rules: the owner in the dump is an oid of another
 * cluster.
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
		return tuple;			/* NOT NULL refuses it */
	values[0] = ObjectIdGetDatum(check_rights(name, DatumGetObjectId(contacts)));
	values[1] = BoolGetDatum(true);
	values[2] = contacts;
	return heap_modify_tuple_by_cols(tuple, desc, 3, columns, values, nulls);
}

/*
 * ls_restore_models is leadscore_internal.restore_models(), BEFORE each statement that
 * inserts into lead_model, enabled ALWAYS: it keeps the worker away.
 */
Datum
ls_restore_models(PG_FUNCTION_ARGS)
{
	(void) ls_extension_trigger_data(fcinfo, TRIGGER_EVENT_BEFORE, LS_FIRED_INSERT, "lead_model");
	if (!ls_user_is_engine())
		ls_restore_begin();
	return PointerGetDatum(NULL);
}

/*
 * ls_restore_row is leadscore_internal.restore_row(), BEFORE each row that is inserted
 * into a base table, enabled ALWAYS.
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
		return PointerGetDatum(tuple);	/* NOT NULL refuses it */
	name = TextDatumGetCString(value);
	if (RelationGetRelid(td->tg_relation) == ls_extension_base_table("lead_model", false))
		tuple = restore_model(name, tuple, desc);
	else if ((model = ls_lead_model(name, NULL)) != NULL)
		(void) check_rights(name, model->contacts);
	move_sequences(td->tg_relation, tuple);
	table = ls_lead_score_table(name, true);
	if (OidIsValid(table))
		CacheInvalidateRelcacheByRelid(table);
	return PointerGetDatum(tuple);
}

/* is_table tells whether a relation is a table of any model with the given prefix. */
static bool
is_table(Oid relid, const char *prefix)
{
	return get_rel_namespace(relid) == get_namespace_oid(LEADSCORE_SCHEMA, true) &&
		strncmp(get_rel_name(relid), prefix, strlen(prefix)) == 0;
}

/* rows_restored updates what depends on rows that were restored to a model's table. */
static void
rows_restored(Oid relid)
{
	if (is_table(relid, "pending_"))
		ls_pending_restored(relid);
	else if (is_table(relid, "outbox_"))
		ls_outbox_writer_pass_ids(relid);
}

/*
 * ls_restored is leadscore_internal.restored(), AFTER rows were inserted into such a
 * table.
 */
Datum
ls_restored(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = ls_sql_trigger_data(fcinfo, TRIGGER_EVENT_AFTER, LS_FIRED_INSERT);

	if (!ls_sql_is_writing())
		rows_restored(RelationGetRelid(trigger->tg_relation));
	return PointerGetDatum(NULL);
}

/*
 * adds_key tells whether a command adds a primary key to a table, as a dump does after
 * the rows.
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
 * catch_up processes the rows of a base table that were restored while its triggers
 * were disabled, and enables these ALWAYS again.
 */
static void
catch_up(Oid relid)
{
	Relation	rel = table_open(relid, ShareRowExclusiveLock);
	SysScanDesc scan = systable_beginscan(rel, InvalidOid, false, NULL, 0, NULL);
	HeapTuple	tuple;

	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
		move_sequences(rel, tuple);
	systable_endscan(scan);
	ls_set_trigger_firing(rel, TRIGGER, TRIGGER_FIRES_ALWAYS, ShareRowExclusiveLock);
	if (relid == ls_extension_base_table("lead_model", false))
	{
		CommandCounterIncrement();
		ls_set_trigger_firing(rel, STATEMENT_TRIGGER, TRIGGER_FIRES_ALWAYS,
							  ShareRowExclusiveLock);
		ls_extension_execute("UPDATE leadscore_internal.lead_model m SET restoring = true,"
							 " accepted_contacts = m.contacts,"
							 " accepted_owner = COALESCE((SELECT c.relowner FROM pg_catalog.pg_class c"
							 " WHERE c.oid OPERATOR(pg_catalog.=) m.contacts), m.accepted_owner)", NULL);
	}
	table_close(rel, NoLock);
}

/*
 * ls_restore_command handles commands that add a primary key to a table, and commands
 * that disable and enable all triggers of a table, which a dump with --disable-triggers
 * has around the rows.
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
		ls_restore_begin();
}
