/*-------------------------------------------------------------------------
 *
 * ddl.c
 *		Event triggers: what a command did, as far as it concerns models.
 *
 * One event trigger looks at what a command created or altered, another at what it
 * dropped; sync_tables.c brings models in line.  The first one, ddl_command_start,
 * fires before the command has locked anything: it locks the definitions of models that
 * will be changed for tables that the command is going to lock.
 *
 * A command that does not concern a model never fails because of this, and little work
 * is done for it.
 *
 *-------------------------------------------------------------------------
 */
#include "ddl/ddl.h"

#include "access/htup_details.h"
#include "catalog/index.h"
#include "catalog/namespace.h"
#include "catalog/partition.h"
#include "catalog/pg_class.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_policy.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_statistic_ext.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "commands/event_trigger.h"
#include "commands/extension.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "tcop/deparse_utility.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "base/compat.h"
#include "base/leadscore.h"
#include "base/relation.h"
#include "base/trusted_code.h"
#include "base/user.h"
#include "capture/purge.h"
#include "capture/restore.h"
#include "ddl/rename.h"
#include "definitions/ancestor.h"
#include "definitions/contact_table.h"
#include "definitions/extension.h"
#include "definitions/lead_tables.h"
#include "definitions/locks.h"
#include "definitions/model_tables.h"
#include "definitions/rights.h"
#include "definitions/source_triggers.h"
#include "definitions/table_change.h"
#include "model/model.h"

PG_FUNCTION_INFO_V1(ls_ddl_start);
PG_FUNCTION_INFO_V1(ls_ddl_command);
PG_FUNCTION_INFO_V1(ls_ddl_drop);

/* gives_values tells whether an ALTER TABLE subcommand rewrites the values of a column. */
static bool
gives_values(AlterTableType type)
{
	return type == AT_AlterColumnType || LS_AT_SET_EXPRESSION(type);
}

/* hides_rows tells whether an ALTER TABLE subcommand is about row security. */
static bool
hides_rows(AlterTableType type)
{
	return type == AT_EnableRowSecurity || type == AT_DisableRowSecurity ||
		type == AT_ForceRowSecurity || type == AT_NoForceRowSecurity;
}

/*
 * is_concerned tells whether commands have to be looked at: not where there are no
 * models, nor while leadscore itself is installed, updated or dropped.
 */
static bool
is_concerned(void)
{
	if (!OidIsValid(ls_extension_base_table("lead_model", true)) ||
		!OidIsValid(ls_extension_base_table("lead_relation_relation", true)))
		return false;
	if (creating_extension &&
		CurrentExtensionObject == get_extension_oid("leadscore", true))
		return false;
	return ls_lead_models(NULL) != NIL;
}

/* ---------- before a command ---------- */

/* The models that a command will change */
typedef struct Concerned
{
	List	   *models;			/* names */
	bool		own;			/* any model of the caller may be changed */
} Concerned;

/* concern_table adds the models that a table of the caller, or a table below it, feeds. */
static void
concern_table(Concerned *concerned, Oid relation)
{
	ListCell   *lc;
	ListCell   *rc;

	if (!OidIsValid(relation) || !ls_rights_may_drop_table(relation))
		return;
	foreach(lc, ls_relation_tree(relation))
		foreach(rc, ls_source_relation_rows(lfirst_oid(lc)))
			concerned->models = lappend(concerned->models,
									((LsRelationRow *) lfirst(rc))->model);
}

static void
concern_name(Concerned *concerned, const RangeVar *name)
{
	if (name)
		concern_table(concerned, RangeVarGetRelid(name, NoLock, true));
}

/*
 * concern_suspect adds the models that a table feeds where the owner of one must not
 * run code of the table's owner: expressions of the table concern them.
 */
static void
concern_suspect(Concerned *concerned, const RangeVar *name)
{
	Oid			relation = name ? RangeVarGetRelid(name, NoLock, true) : InvalidOid;
	ListCell   *lc;

	if (!OidIsValid(relation))
		return;
	foreach(lc, ls_source_relation_rows(relation))
	{
		LsModelRow *row = ls_lead_model(((LsRelationRow *) lfirst(lc))->model, NULL);

		if (row == NULL || ls_trust_role(ls_relation_find_owner(relation), row->owner))
			continue;
		concern_table(concerned, relation);
		return;
	}
}

/* concern_computed adds models for commands that add an expression to a table. */
static void
concern_computed(Concerned *concerned, const Node *stmt)
{
	ListCell   *lc;

	switch (nodeTag(stmt))
	{
		case T_AlterTableStmt:
			concern_suspect(concerned, ((const AlterTableStmt *) stmt)->relation);
			break;
		case T_IndexStmt:
			concern_suspect(concerned, ((const IndexStmt *) stmt)->relation);
			break;
		case T_CreatePolicyStmt:
			concern_suspect(concerned, ((const CreatePolicyStmt *) stmt)->table);
			break;
		case T_AlterPolicyStmt:
			concern_suspect(concerned, ((const AlterPolicyStmt *) stmt)->table);
			break;
		case T_CreateStatsStmt:
			foreach(lc, ((const CreateStatsStmt *) stmt)->relations)
				if (IsA(lfirst(lc), RangeVar))
					concern_suspect(concerned, lfirst(lc));
			break;
		default:
			break;
	}
}

/*
 * changes_models tells whether models follow an ALTER TABLE subcommand.  other is the
 * table that it names beside the altered one.
 */
static bool
changes_models(const AlterTableCmd *cmd, const RangeVar **other)
{
	*other = NULL;
	switch (cmd->subtype)
	{
		case AT_AttachPartition:
		case AT_DetachPartition:
		case AT_DetachPartitionFinalize:
			*other = ((PartitionCmd *) cmd->def)->name;
			return true;
		case AT_AddInherit:
		case AT_DropInherit:
			*other = (RangeVar *) cmd->def;
			return true;
		case AT_DropColumn:
		case AT_ChangeOwner:
			return true;
		default:
			return LS_AT_ADD_COLUMN(cmd->subtype) || gives_values(cmd->subtype) ||
				hides_rows(cmd->subtype);
	}
}

/* concern_altered adds the models that will be changed for an ALTER TABLE. */
static void
concern_altered(Concerned *concerned, const AlterTableStmt *stmt)
{
	ListCell   *lc;

	foreach(lc, stmt->cmds)
	{
		const RangeVar *other;

		if (!changes_models(lfirst(lc), &other))
			continue;
		concern_name(concerned, stmt->relation);
		concern_name(concerned, other);
	}
}

/*
 * concern adds the models that will be changed for tables that a command is going to
 * lock.  Where they are not known, as with CASCADE, all models of the caller are added;
 * others are locked when they turn out to be changed.
 */
static void
concern(Concerned *concerned, const Node *stmt)
{
	ListCell   *lc;

	concern_computed(concerned, stmt);
	concerned->models = list_concat(concerned->models, ls_rename_models(stmt));
	switch (nodeTag(stmt))
	{
		case T_AlterTableStmt:
			/* columns of a composite type are copied to its typed tables */
			if (((const AlterTableStmt *) stmt)->objtype == OBJECT_TYPE)
				concerned->own = true;
			else
				concern_altered(concerned, (const AlterTableStmt *) stmt);
			break;
		case T_RenameStmt:
			concern_name(concerned, ((const RenameStmt *) stmt)->relation);
			break;
		case T_AlterObjectSchemaStmt:
			concern_name(concerned, ((const AlterObjectSchemaStmt *) stmt)->relation);
			break;
		case T_AlterDomainStmt:
		case T_DropOwnedStmt:
			concerned->own = true;
			break;
		case T_DropStmt:
			/* the objects that CASCADE drops are not known yet */
			if (((const DropStmt *) stmt)->removeType != OBJECT_TABLE)
				concerned->own = ((const DropStmt *) stmt)->behavior == DROP_CASCADE;
			else
				foreach(lc, ls_drop_named((const DropStmt *) stmt))
					concern_table(concerned, lfirst_oid(lc));
			break;
		default:
			break;
	}
}

/* lock_concerned locks the definitions of the models that a command will change. */
static bool
lock_concerned(const Node *stmt)
{
	Concerned	concerned = {0};
	ListCell   *lc;

	concern(&concerned, stmt);
	if (concerned.own)
		ls_lock_own_definitions();
	list_sort(concerned.models, ls_lock_rank_order);
	foreach(lc, concerned.models)
	{
		LsModelRow *row;

		ls_lock_definitions(lfirst(lc));
		row = ls_lead_model(lfirst(lc), NULL);
		if (row)
			ls_model_accept_restored(row);
	}
	return concerned.own || concerned.models != NIL;
}

/*
 * detached gives the partition that ALTER TABLE detaches without CONCURRENTLY from a
 * table that the current user may alter, or InvalidOid.
 */
static Oid
detached(const AlterTableStmt *stmt)
{
	const PartitionCmd *cmd;
	Oid			parent;
	Oid			part;

	if (list_length(stmt->cmds) != 1 ||
		((const AlterTableCmd *) linitial(stmt->cmds))->subtype != AT_DetachPartition)
		return InvalidOid;
	cmd = (const PartitionCmd *) ((const AlterTableCmd *) linitial(stmt->cmds))->def;
	parent = RangeVarGetRelid(stmt->relation, NoLock, true);
	if (cmd->concurrent || !OidIsValid(parent) || !ls_class_ownercheck(parent, GetUserId()))
		return InvalidOid;
	part = RangeVarGetRelid(cmd->name, NoLock, true);
	return OidIsValid(part) && get_rel_relispartition(part) &&
		get_partition_parent(part, true) == parent ? part : InvalidOid;
}

/* drops_extension tells whether a command drops leadscore itself. */
static bool
drops_extension(const DropStmt *stmt)
{
	ListCell   *lc;

	if (!IsA(stmt, DropStmt) || stmt->removeType != OBJECT_EXTENSION)
		return false;
	foreach(lc, stmt->objects)
		if (strcmp(strVal(lfirst(lc)), "leadscore") == 0)
			return true;
	return false;
}

/*
 * before_extension_is_dropped refuses to drop the extension while there are models, and
 * with CASCADE drops them first, as PostgreSQL would hold a lock for each trigger.
 */
static void
before_extension_is_dropped(const DropStmt *stmt)
{
	List	   *models = ls_lead_models(NULL);

	if (!ls_extension_ownercheck(get_extension_oid("leadscore", true), GetUserId()))
		return;					/* PostgreSQL raises the error */
	if (stmt->behavior == DROP_CASCADE)
	{
		ls_models_detach(models);
		return;
	}
	ereport(ERROR,
			(errcode(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST),
			 errmsg("cannot drop extension leadscore because other objects depend on it"),
			 errdetail_plural("There is %d model, and triggers on the tables that it is counted from.",
							  "There are %d models, and triggers on the tables that they are counted from.",
							  list_length(models), list_length(models)),
			 errhint("Call leadscore.detach_all() first, which drops them, or leadscore.detach_all(model) for each model.")));
}

/*
 * keep_contacts makes score tables depend on contact tables before a command that drops
 * tables.  Those of a model that was restored do not yet.
 */
static void
keep_contacts(const Node *stmt)
{
	ListCell   *lc;

	if (!IsA(stmt, DropStmt) && !IsA(stmt, DropOwnedStmt))
		return;
	foreach(lc, ls_lead_models(NULL))
		ls_tables_depend(lfirst(lc));
	CommandCounterIncrement();
}

/* altered_extension gives the name of the extension that a command alters, or NULL. */
static const char *
altered_extension(const Node *stmt)
{
	if (IsA(stmt, AlterExtensionStmt))
		return ((const AlterExtensionStmt *) stmt)->extname;
	if (IsA(stmt, AlterExtensionContentsStmt))
		return ((const AlterExtensionContentsStmt *) stmt)->extname;
	return NULL;
}

/*
 * check_extension_altered refuses to alter leadscore itself unless the caller owns the
 * extension: the owner of the database manages models, but does not own it.
 */
static void
check_extension_altered(const Node *stmt)
{
	const char *name = altered_extension(stmt);
	Oid			extension;

	if (name == NULL || strcmp(name, "leadscore") != 0)
		return;
	extension = get_extension_oid(name, true);
	if (OidIsValid(extension) && !ls_extension_ownercheck(extension, GetUserId()))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("must be owner of extension %s", name),
				 errdetail("It belongs to role \"%s\".",
						   GetUserNameFromId(ls_extension_owner(), false)),
				 errhint("Have a superuser run the command: the extension has functions in C, which only superusers may make.")));
}

/* ls_ddl_start is the event trigger ddl_command_start. */
Datum
ls_ddl_start(PG_FUNCTION_ARGS)
{
	const Node *stmt = ls_sql_command(fcinfo);
	Oid			part;

	check_extension_altered(stmt);
	if (!is_concerned())
		PG_RETURN_NULL();
	if (drops_extension((const DropStmt *) stmt))
		before_extension_is_dropped((const DropStmt *) stmt);
	else if (lock_concerned(stmt))
	{
		keep_contacts(stmt);
		if (IsA(stmt, AlterTableStmt) &&
			OidIsValid(part = detached((const AlterTableStmt *) stmt)))
			ls_lock_against_all(list_make1_oid(part));
	}
	ls_ddl_object_before(stmt);
	ls_ancestors_lock_before(stmt);
	ls_rename_before(stmt);
	ls_drop_purge(stmt);
	PG_RETURN_NULL();
}

/* ---------- what a command did ---------- */

/* change_of gives the recorded changes of a table. */
static LsTableChange *
change_of(Ddl *ddl, Oid relation)
{
	LsTableChange *change;
	ListCell   *lc;

	foreach(lc, ddl->changes)
	{
		change = lfirst(lc);
		if (change->relation == relation)
			return change;
	}
	change = palloc0(sizeof(LsTableChange));
	change->relation = relation;
	ddl->changes = lappend(ddl->changes, change);
	return change;
}

/* record_part records that an object was created that belongs to a table. */
static void
record_part(Ddl *ddl, Oid table)
{
	if (OidIsValid(table) && get_rel_persistence(table) != RELPERSISTENCE_TEMP &&
		ls_source_relation_rows(table) != NIL)
		(void) change_of(ddl, table);
}

/* record_joined records that a table has become a partition or child of another. */
static void
record_joined(LsTableChange *change, Oid part, const RangeVar *name, Oid parent)
{
	LsNewPart  *new = palloc(sizeof(LsNewPart));

	new->part = part;
	new->name = name;
	new->parent = parent;
	change->joined = lappend(change->joined, new);
}

/* record_relation records what was done to a table; subid is that of a column. */
static void
record_relation(Ddl *ddl, Oid relid, int32 subid, CollectedCommand *command)
{
	char		relkind = get_rel_relkind(relid);
	LsTableChange *change;
	ListCell   *lc;

	if (command->type == SCT_AlterTable && ls_extension_has_schema(get_rel_namespace(relid)))
		foreach(lc, command->d.alterTable.subcmds)
		{
		AlterTableCmd *cmd = (AlterTableCmd *) ((CollectedATSubcmd *) lfirst(lc))->parsetree;

			ddl->owners |= IsA(cmd, AlterTableCmd) && cmd->subtype == AT_ChangeOwner;
		}

	if (relkind == RELKIND_COMPOSITE_TYPE)
		ls_ddl_object_note(ddl, TypeRelationId, get_rel_type_id(relid), command->parsetree);
	if ((relkind != RELKIND_RELATION && relkind != RELKIND_PARTITIONED_TABLE &&
		 relkind != RELKIND_FOREIGN_TABLE) ||
		get_rel_persistence(relid) == RELPERSISTENCE_TEMP ||
		ls_extension_has_schema(get_rel_namespace(relid)))
		return;

	change = change_of(ddl, relid);
	if (IsA(command->parsetree, CreateStmt))
		foreach(lc, ls_relation_parents(relid))
			record_joined(change, relid, NULL, lfirst_oid(lc));
	change->renamed = change->renamed || subid > 0;
	/* the model's owner may lack USAGE on the schema */
	change->rights = change->rights || IsA(command->parsetree, AlterObjectSchemaStmt);
	if (command->type != SCT_AlterTable)
		return;
	foreach(lc, command->d.alterTable.subcmds)
	{
		CollectedATSubcmd *sub = lfirst(lc);
		AlterTableCmd *cmd = (AlterTableCmd *) sub->parsetree;

		if (!IsA(cmd, AlterTableCmd))
			continue;
		change->added = change->added || LS_AT_ADD_COLUMN(cmd->subtype);
		change->owner = change->owner || cmd->subtype == AT_ChangeOwner;
		change->rights = change->rights || hides_rows(cmd->subtype);
		if (cmd->subtype == AT_AttachPartition)
			record_joined(change, InvalidOid, ((PartitionCmd *) cmd->def)->name, relid);
		if (cmd->subtype == AT_AddInherit)
			record_joined(change, relid, NULL, sub->address.objectId);
		if (gives_values(cmd->subtype) && cmd->name)
			change->columns = lappend(change->columns, pstrdup(cmd->name));
	}
}

/* granted_catalog gives the catalog of the objects of a GRANT. */
static Oid
granted_catalog(ObjectType type)
{
	switch (type)
	{
		case OBJECT_TABLE:
			return RelationRelationId;
		case OBJECT_FUNCTION:
		case OBJECT_PROCEDURE:
		case OBJECT_ROUTINE:
			return ProcedureRelationId;
		case OBJECT_SCHEMA:
			return NamespaceRelationId;
		case OBJECT_TYPE:
		case OBJECT_DOMAIN:
			return TypeRelationId;
		default:
			return InvalidOid;
	}
}

/*
 * record_schema_closed records the tables that feed models in a schema on which
 * privileges were revoked.
 */
static void
record_schema_closed(Ddl *ddl, Oid schema)
{
	ListCell   *lc;

	foreach(lc, ls_source_relation_rows(InvalidOid))
	{
		Oid			relid = ((LsRelationRow *) lfirst(lc))->relation;

		if (get_rel_namespace(relid) == schema)
			ddl->revoked = list_append_unique_oid(ddl->revoked, relid);
	}
}

/* record_grant records a GRANT or REVOKE.  Tables that feed no model are skipped. */
static void
record_grant(Ddl *ddl, InternalGrant *grant)
{
	Oid			classid = granted_catalog(grant->objtype);
	ListCell   *lc;

	if (!OidIsValid(classid))
		return;
	foreach(lc, grant->objects)
	{
		Oid			objid = lfirst_oid(lc);

		if (classid == RelationRelationId && ls_source_relation_rows(objid) == NIL)
			continue;
		if (grant->is_grant)
			ddl->granted = true;
		else if (classid == RelationRelationId)
			ddl->revoked = lappend_oid(ddl->revoked, objid);
		else
			ls_ddl_object_note(ddl, classid, objid, NULL);
		if (!grant->is_grant && classid == NamespaceRelationId)
			record_schema_closed(ddl, objid);
	}
}

/* record_command records one row of pg_event_trigger_ddl_commands(). */
static void
record_command(Ddl *ddl, HeapTuple tuple, TupleDesc desc)
{
	bool		isnull;
	bool		missing;
	Oid			classid = DatumGetObjectId(SPI_getbinval(tuple, desc, 1, &missing));
	Oid			objid = DatumGetObjectId(SPI_getbinval(tuple, desc, 2, &isnull));
	int32		subid = DatumGetInt32(SPI_getbinval(tuple, desc, 3, &isnull));
	CollectedCommand *command =
		(CollectedCommand *) DatumGetPointer(SPI_getbinval(tuple, desc, 4, &isnull));

	if (missing)
	{
		if (command->type == SCT_Grant)
			record_grant(ddl, command->d.grant.istmt);
	}
	else if (command->parsetree &&
			 (IsA(command->parsetree, CommentStmt) || IsA(command->parsetree, SecLabelStmt)))
		;						/* no model is affected */
	else if (classid == RelationRelationId &&
			 (get_rel_relkind(objid) == RELKIND_INDEX ||
			  get_rel_relkind(objid) == RELKIND_PARTITIONED_INDEX))
		record_part(ddl, IndexGetRelation(objid, true));
	else if (classid == PolicyRelationId || classid == StatisticExtRelationId)
		record_part(ddl, ls_relation_part_table(classid, objid));
	else if (classid == RelationRelationId)
		record_relation(ddl, objid, subid, command);
	else
		ls_ddl_object_note(ddl, classid, objid, command->parsetree);
}

/*
 * warn_of_trigger warns where a trigger of leadscore was dropped from a table that
 * feeds a model.
 */
static void
warn_of_trigger(List *names)
{
	Oid			schema;
	Oid			relid;

	if (list_length(names) != 3 || strncmp(lthird(names), "leadscore_", 10) != 0)
		return;
	schema = get_namespace_oid(linitial(names), true);
	relid = OidIsValid(schema) ? get_relname_relid(lsecond(names), schema) : InvalidOid;
	if (OidIsValid(relid) && ls_source_relation_rows(relid) != NIL)
		ereport(WARNING,
				(errmsg("changes of table \"%s\", which feeds a model, are no longer noticed",
						(char *) lsecond(names)),
				 errdetail("Trigger \"%s\" was dropped.", (char *) lthird(names)),
				 errhint("Detach the table and attach it again, or drop the model.")));
}

/* record_dropped records one row of pg_event_trigger_dropped_objects(). */
static void
record_dropped(Ddl *ddl, HeapTuple tuple, TupleDesc desc)
{
	bool		isnull;
	Oid			classid = DatumGetObjectId(SPI_getbinval(tuple, desc, 1, &isnull));
	Oid			objid = DatumGetObjectId(SPI_getbinval(tuple, desc, 2, &isnull));
	int32		subid = DatumGetInt32(SPI_getbinval(tuple, desc, 3, &isnull));
	bool		named = DatumGetBool(SPI_getbinval(tuple, desc, 4, &isnull));
	bool		original = DatumGetBool(SPI_getbinval(tuple, desc, 6, &isnull));
	Datum		array = SPI_getbinval(tuple, desc, 5, &isnull);
	char	   *type = SPI_getvalue(tuple, desc, 7);
	List	   *names = NIL;
	Datum	   *values;
	bool	   *nulls;
	int			n;

	if (isnull)
		return;
	deconstruct_array(DatumGetArrayTypeP(array), TEXTOID, -1, false, TYPALIGN_INT,
					  &values, &nulls, &n);
	for (int i = 0; i < n; i++)
		names = lappend(names, nulls[i] ? "" : TextDatumGetCString(values[i]));

	if (classid == RelationRelationId && subid > 0 && n == 3)
	{
		LsTableChange *change = change_of(ddl, objid);

		change->columns = lappend(change->columns, lthird(names));
		if (!original && ls_extension_has_schema(get_rel_namespace(objid)))
			ddl->bereft = list_append_unique_oid(ddl->bereft, objid);
	}
	else if (classid == RelationRelationId)
	{
		ddl->dropped = lappend_oid(ddl->dropped, objid);
		ddl->granted = ddl->granted || named;	/* it may be an index */
		if (named && (strcmp(type, "table") == 0 || strcmp(type, "view") == 0))
			ls_ddl_object_dropped(ddl, classid, objid, names);
		if (n == 2 && strcmp(linitial(names), LEADSCORE_SCHEMA) == 0 &&
			strncmp(lsecond(names), "score_", 6) == 0)
			ddl->dropped_models = lappend(ddl->dropped_models,
										  (char *) lsecond(names) + 6);
	}
	else if (classid == TriggerRelationId && named)
		warn_of_trigger(names);
	else if ((classid == PolicyRelationId || classid == StatisticExtRelationId ||
			  classid == ConstraintRelationId) && named)
		ddl->granted = true;
	else if (classid != TypeRelationId || named)
		ls_ddl_object_dropped(ddl, classid, objid, names);
}

/* read_ddl calls a function for each row of a query. */
static void
read_ddl(Ddl *ddl, const char *sql,
		 void (*note) (Ddl *, HeapTuple, TupleDesc))
{
	SPITupleTable *rows;
	LsUser		saved;

	ls_user_switch(ls_extension_owner(), &saved);
	rows = ls_sql_query(sql, NULL);
	for (uint64 i = 0; i < rows->numvals; i++)
		note(ddl, rows->vals[i], rows->tupdesc);
	ls_user_restore(&saved);
}

/*
 * enables tells whether an ALTER TABLE subcommand enables triggers, which may be those
 * of leadscore.
 */
static bool
enables(const AlterTableCmd *cmd)
{
	return cmd->subtype == AT_EnableTrig || cmd->subtype == AT_EnableTrigAll ||
		cmd->subtype == AT_EnableTrigUser;
}

/*
 * disables tells whether an ALTER TABLE subcommand disables triggers, which may be
 * those of leadscore.
 */
static bool
disables(const AlterTableCmd *cmd)
{
	if (cmd->subtype == AT_DisableTrigAll || cmd->subtype == AT_DisableTrigUser)
		return true;
	return (cmd->subtype == AT_DisableTrig || cmd->subtype == AT_EnableReplicaTrig) &&
		strncmp(cmd->name, "leadscore_", 10) == 0;
}

/* altered_table gives the table of an ALTER TABLE with such a subcommand, or InvalidOid. */
static Oid
altered_table(const Node *command, bool (*is_such) (const AlterTableCmd *))
{
	const AlterTableStmt *stmt = (const AlterTableStmt *) command;
	ListCell   *lc;

	if (!IsA(command, AlterTableStmt) || stmt->objtype != OBJECT_TABLE)
		return InvalidOid;
	foreach(lc, stmt->cmds)
		if (is_such(lfirst(lc)))
			return RangeVarGetRelid(stmt->relation, NoLock, true);
	return InvalidOid;
}

/*
 * keep_triggers follows ALTER TABLE ... ENABLE TRIGGER.  A dump has it at the end, too,
 * when models are not complete yet.
 */
static void
keep_triggers(const Node *command)
{
	Oid			relid = altered_table(command, enables);

	if (OidIsValid(relid))
		ls_source_keep_triggers(relid, ls_ancestors_row_trigger(relid));
}

/* feeds_complete tells whether a table feeds a model that is not being restored. */
static bool
feeds_complete(Oid relid)
{
	ListCell   *lc;

	foreach(lc, ls_source_relation_rows(relid))
	{
		LsModelRow *row = ls_lead_model(((LsRelationRow *) lfirst(lc))->model, NULL);

		if (row && !row->restoring)
			return true;
	}
	return false;
}

/*
 * tell_disabled warns of ALTER TABLE ... DISABLE TRIGGER where it disables triggers of
 * leadscore.
 */
static void
tell_disabled(const Node *command)
{
	Oid			relid = altered_table(command, disables);

	if (OidIsValid(relid) && feeds_complete(relid))
		ereport(WARNING,
				(errmsg("changes of table \"%s\", which feeds a model, are not noticed while triggers are disabled",
						get_rel_name(relid)),
				 errhint("Call leadscore.rescore() when they are enabled again.")));
}

/* ls_ddl_command is the event trigger ddl_command_end. */
Datum
ls_ddl_command(PG_FUNCTION_ARGS)
{
	Node	   *stmt = ls_sql_command(fcinfo);
	Ddl			ddl = {0};

	keep_triggers(stmt);
	ls_restore_command(stmt);
	if (is_concerned())
	{
		read_ddl(&ddl, "SELECT classid, objid, objsubid, command"
				 " FROM pg_catalog.pg_event_trigger_ddl_commands()", record_command);
		tell_disabled(stmt);
		ls_rename_after(stmt, &ddl);
		if (ddl.owners)
			ls_tables_check_owner();
		ls_contacts_undecided = true;
		ls_sync_models(&ddl);
	}
	PG_RETURN_NULL();
}

/* ls_ddl_drop is the event trigger sql_drop. */
Datum
ls_ddl_drop(PG_FUNCTION_ARGS)
{
	Ddl			ddl = {0};

	(void) ls_sql_command(fcinfo);
	if (is_concerned())
	{
		read_ddl(&ddl, "SELECT classid, objid, objsubid, original OR normal, address_names, original, object_type"
				 " FROM pg_catalog.pg_event_trigger_dropped_objects()"
				 " WHERE NOT is_temporary", record_dropped);
		ls_contacts_undecided = true;
		ls_sync_models(&ddl);
	}
	PG_RETURN_NULL();
}
