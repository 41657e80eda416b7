/*-------------------------------------------------------------------------
 *
 * drop_partition.c
 *		Partitions and children of event tables that are dropped: a purge.
 *
 * The points of a dropped partition or child of an attached table stay, unless it is
 * detached before.  So before a command drops tables, the partitions and children
 * of sources among them are read, and their rows become purged contributions.  Rows of
 * the attached table itself are dropped with their source.
 *
 * This is done for DROP TABLE, DROP SCHEMA and DROP OWNED.  A partition that is dropped
 * in another way (DROP EXTENSION, DROP TYPE ... CASCADE) is found missing afterwards,
 * and its points are retracted.
 *
 * Locks are those that the command will take, and are taken only if the role may drop
 * the table.
 *
 *-------------------------------------------------------------------------
 */
#include "capture/purge.h"

#include "access/table.h"
#include "catalog/namespace.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_namespace.h"
#include "commands/event_trigger.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/parsenodes.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/syscache.h"

#include "base/compat.h"
#include "base/relation.h"
#include "base/transaction.h"
#include "definitions/locks.h"
#include "definitions/rights.h"
#include "definitions/source_triggers.h"

/* A relation that was read before a command of this transaction dropped it */
typedef struct ReadBefore
{
	SubTransactionId subid;
	Oid			relation;
} ReadBefore;

static LsTransactionList read_before;

/* ls_drop_purged tells whether a dropped table's rows became purged contributions. */
bool
ls_drop_purged(Oid relation)
{
	ListCell   *lc;

	foreach(lc, read_before.members)
		if (((ReadBefore *) lfirst(lc))->relation == relation)
			return true;
	return false;
}

static void
remember(Oid relation)
{
	ReadBefore *read = MemoryContextAlloc(TopTransactionContext, sizeof(ReadBefore));

	read->relation = relation;
	ls_transaction_list_add(&read_before, read);
}

/*
 * lock_table locks a table that is to be dropped, with its descendants, and gives all
 * of them.  NIL if it has been dropped meanwhile.
 */
static List *
lock_table(Oid relation)
{
	LockRelationOid(relation, AccessExclusiveLock);
	if (!SearchSysCacheExists1(RELOID, ObjectIdGetDatum(relation)))
		return NIL;
	return find_all_inheritors(relation, AccessExclusiveLock, NULL);
}

/* ls_drop_named gives the tables that DROP TABLE names and that feed models. */
List *
ls_drop_named(const DropStmt *stmt)
{
	List	   *relations = NIL;
	ListCell   *lc;

	foreach(lc, stmt->objects)
	{
		RangeVar   *name = makeRangeVarFromNameList(lfirst(lc));
		Oid			relation = RangeVarGetRelid(name, NoLock, true);

		if (OidIsValid(relation) && ls_source_feeds(relation) && ls_rights_may_drop_table(relation))
			relations = list_append_unique_oid(relations, relation);
	}
	return relations;
}

/* names_schema tells whether DROP SCHEMA names a table's. */
static bool
names_schema(const DropStmt *stmt, Oid relation)
{
	Oid			schema = get_rel_namespace(relation);
	ListCell   *lc;

	foreach(lc, stmt->objects)
		if (get_namespace_oid(strVal(lfirst(lc)), true) == schema)
			return ls_namespace_ownercheck(schema, GetUserId());
	return false;
}

/* owner_goes tells whether DROP OWNED names a table's owner. */
static bool
owner_goes(const DropOwnedStmt *stmt, Oid relation)
{
	Oid			owner = ls_relation_find_owner(relation);
	ListCell   *lc;

	if (!OidIsValid(owner))
		return false;
	foreach(lc, stmt->roles)
		if (get_rolespec_oid(lfirst(lc), true) == owner)
			return has_privs_of_role(GetUserId(), owner);
	return false;
}

/* in_bulk gives the tables that feed models and are dropped with a schema or an owner. */
static List *
in_bulk(const Node *stmt)
{
	List	   *relations = NIL;
	ListCell   *lc;

	foreach(lc, ls_source_relation_rows(InvalidOid))
	{
		Oid			relation = ((LsRelationRow *) lfirst(lc))->relation;

		if (get_rel_relkind(relation) != '\0' &&
			(IsA(stmt, DropStmt) ? names_schema((const DropStmt *) stmt, relation) :
			 owner_goes((const DropOwnedStmt *) stmt, relation)))
			relations = list_append_unique_oid(relations, relation);
	}
	list_sort(relations, list_oid_cmp);
	return relations;
}

/* dropped_by gives the tables that a command will drop and that feed models. */
static List *
dropped_by(const Node *stmt)
{
	if (IsA(stmt, DropOwnedStmt))
		return in_bulk(stmt);
	if (!IsA(stmt, DropStmt))
		return NIL;
	if (((const DropStmt *) stmt)->removeType == OBJECT_TABLE)
		return ls_drop_named((const DropStmt *) stmt);
	if (((const DropStmt *) stmt)->removeType == OBJECT_SCHEMA)
		return in_bulk(stmt);
	return NIL;
}

/*
 * lock_models locks the models that are removed with their contact tables, and all
 * tables that lose their triggers by that, before a table is locked in ACCESS EXCLUSIVE
 * mode.
 */
static void
lock_models(List *relations)
{
	List	   *models = ls_lead_models(NULL);
	ListCell   *lc;

	list_sort(models, ls_lock_row_order);
	foreach(lc, models)
	{
		LsModelRow *row = lfirst(lc);

		if (list_member_oid(relations, row->contacts))
			ls_lock_for_removal(row->model, NULL);
	}
}

/*
 * ls_drop_purge turns rows of tables that a command is about to drop into purged
 * contributions.
 */
void
ls_drop_purge(const Node *stmt)
{
	List	   *relations = dropped_by(stmt);
	List	   *dropped = NIL;
	ListCell   *lc;

	lock_models(relations);
	ls_lock_against_all(relations);
	foreach(lc, relations)
		dropped = list_concat_unique_oid(dropped, lock_table(lfirst_oid(lc)));
	foreach(lc, dropped)
	{
		Relation	rel;

		if (ls_source_relation_rows(lfirst_oid(lc)) == NIL)
			continue;
		rel = table_open(lfirst_oid(lc), NoLock);
		if (ls_purge_read(rel, dropped))
			remember(lfirst_oid(lc));
		table_close(rel, NoLock);
	}
}
