/*-------------------------------------------------------------------------
 *
 * relation.c
 *		Tables whose definition is looked at, without waiting for a lock.
 *
 * Rules are compiled against all tables of a model, also by a statement that has an
 * ACCESS EXCLUSIVE lock on one of them (TRUNCATE, DROP TABLE).  If it waited for
 * another table, which another session has locked in the same way, and that session
 * waited for the first one, that would be a deadlock.  But no row of these tables is
 * read, and a definition that another transaction is changing is the old one until
 * that transaction commits, whose invalidations then have every session compile
 * again.
 *
 * What an object is a part of, what depends on it, and what code runs when rows of a
 * table are written is found here, too.
 *
 *-------------------------------------------------------------------------
 */
#include "base/relation.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/transam.h"
#include "catalog/indexing.h"
#include "catalog/pg_am.h"
#include "catalog/pg_attrdef.h"
#include "catalog/pg_attribute.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_index.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_policy.h"
#include "catalog/pg_rewrite.h"
#include "catalog/pg_statistic_ext.h"
#include "catalog/pg_trigger.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/plancat.h"
#include "parser/parse_relation.h"
#include "storage/bufmgr.h"
#include "storage/lmgr.h"
#include "storage/smgr.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/relcache.h"
#include "utils/reltrigger.h"
#include "utils/syscache.h"

#include "base/compat.h"

/*
 * ls_relation_open opens a table to look at its columns; NULL where there is none.
 * locked tells ls_relation_close whether it could be locked.
 */
Relation
ls_relation_open(Oid relation, bool *locked)
{
	Relation	rel = NULL;

	CHECK_FOR_INTERRUPTS();
	*locked = ConditionalLockRelationOid(relation, AccessShareLock);
	if (SearchSysCacheExists1(RELOID, ObjectIdGetDatum(relation)))
		rel = RelationIdGetRelation(relation);
	if (rel == NULL && *locked)
		UnlockRelationOid(relation, AccessShareLock);
	return rel;
}

void
ls_relation_close(Relation rel, bool locked)
{
	Oid			relation = RelationGetRelid(rel);

	RelationClose(rel);
	if (locked)
		UnlockRelationOid(relation, AccessShareLock);
}

/*
 * relatives gives the tables that are directly a part of a table, or that it is a
 * part of.
 */
static List *
relatives(Relation inherits, Oid relation, bool parts)
{
	List	   *found = NIL;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key, parts ? Anum_pg_inherits_inhparent : Anum_pg_inherits_inhrelid,
				BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(relation));
	scan = systable_beginscan(inherits,
							  parts ? InheritsParentIndexId : InheritsRelidSeqnoIndexId,
							  true, NULL, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_inherits row = (Form_pg_inherits) GETSTRUCT(tuple);

		if (!parts || !row->inhdetachpending)
			found = lappend_oid(found, parts ? row->inhrelid : row->inhparent);
	}
	systable_endscan(scan);
	return found;
}

/* children_of gives the tables that are directly a part of a table, by oid. */
static List *
children_of(Relation inherits, Oid relation)
{
	List	   *children = relatives(inherits, relation, true);

	list_sort(children, list_oid_cmp);
	return children;
}

/* ls_relation_parents gives the tables that a table is directly a part of. */
List *
ls_relation_parents(Oid relation)
{
	Relation	inherits = table_open(InheritsRelationId, AccessShareLock);
	List	   *parents = relatives(inherits, relation, false);

	table_close(inherits, AccessShareLock);
	return parents;
}

/*
 * may_have_parts tells whether a table has, or had, partitions or children.
 */
static bool
may_have_parts(Oid relation)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relation));
	bool		may = true;

	if (HeapTupleIsValid(tuple))
	{
		may = ((Form_pg_class) GETSTRUCT(tuple))->relhassubclass;
		ReleaseSysCache(tuple);
	}
	return may;
}

/*
 * ls_relation_tree gives a table with its partitions and children, the table first.
 * find_all_inheritors() wants them locked: it fails on one that is dropped
 * meanwhile.
 */
List *
ls_relation_tree(Oid relation)
{
	List	   *tree = list_make1_oid(relation);
	Relation	inherits;

	if (!may_have_parts(relation))
		return tree;
	inherits = table_open(InheritsRelationId, AccessShareLock);
	for (int i = 0; i < list_length(tree); i++)
		tree = list_concat_unique_oid(tree, children_of(inherits, list_nth_oid(tree, i)));
	table_close(inherits, AccessShareLock);
	return tree;
}

/* ---------- what an object is a part of ---------- */

/*
 * ls_relation_part gives the table or the domain that an object of some catalogs is a
 * part of; false where it is none.
 */
bool
ls_relation_part(Oid classid, Oid objid, Oid *relid, Oid *domain)
{
	static const struct
	{
		Oid			classid;
		Oid			index;
		AttrNumber	oid;
		AttrNumber	relid;
	}			parts[] = {
		{ConstraintRelationId, ConstraintOidIndexId, Anum_pg_constraint_oid, Anum_pg_constraint_conrelid},
		{AttrDefaultRelationId, AttrDefaultOidIndexId, Anum_pg_attrdef_oid, Anum_pg_attrdef_adrelid},
		{RewriteRelationId, RewriteOidIndexId, Anum_pg_rewrite_oid, Anum_pg_rewrite_ev_class},
		{PolicyRelationId, PolicyOidIndexId, Anum_pg_policy_oid, Anum_pg_policy_polrelid},
		{TriggerRelationId, TriggerOidIndexId, Anum_pg_trigger_oid, Anum_pg_trigger_tgrelid},
		{StatisticExtRelationId, StatisticExtOidIndexId, Anum_pg_statistic_ext_oid, Anum_pg_statistic_ext_stxrelid},
	};
	bool		found = false;

	*relid = *domain = InvalidOid;
	for (size_t i = 0; i < lengthof(parts); i++)
	{
		Relation	rel;
		ScanKeyData key;
		SysScanDesc scan;
		HeapTuple	tuple;
		bool		isnull;

		if (parts[i].classid != classid)
			continue;
		rel = table_open(classid, AccessShareLock);
		/* get_catalog_object_by_oid() does not know defaults */
		ScanKeyInit(&key, parts[i].oid, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(objid));
		scan = systable_beginscan(rel, parts[i].index, true, NULL, 1, &key);
		tuple = systable_getnext(scan);
		found = HeapTupleIsValid(tuple);
		if (found)
			*relid = DatumGetObjectId(heap_getattr(tuple, parts[i].relid,
												   RelationGetDescr(rel), &isnull));
		if (found && classid == ConstraintRelationId)
			*domain = ((Form_pg_constraint) GETSTRUCT(tuple))->contypid;
		systable_endscan(scan);
		table_close(rel, AccessShareLock);
	}
	return found;
}

/* ls_relation_part_table gives the table only; invalid where there is none. */
Oid
ls_relation_part_table(Oid classid, Oid objid)
{
	Oid			relid;
	Oid			domain;

	(void) ls_relation_part(classid, objid, &relid, &domain);
	return relid;
}

/*
 * ls_relation_dependents gives what pg_depend has of others' use of an object, or of
 * its parts.
 */
List *
ls_relation_dependents(Oid classid, Oid objid)
{
	Relation	rel = table_open(DependRelationId, AccessShareLock);
	List	   *found = NIL;
	ScanKeyData key[2];
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key[0], Anum_pg_depend_refclassid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(classid));
	ScanKeyInit(&key[1], Anum_pg_depend_refobjid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(objid));
	scan = systable_beginscan(rel, DependReferenceIndexId, true, NULL, 2, key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_depend form = palloc(sizeof(FormData_pg_depend));

		memcpy(form, GETSTRUCT(tuple), sizeof(FormData_pg_depend));
		found = lappend(found, form);
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return found;
}

/*
 * ls_relation_lacks_pages tells from a table's row of pg_class, under a lock on the
 * table, whether it has no pages: it has had no row since it was vacuumed.  Nothing
 * is built in the session's cache for that.
 */
bool
ls_relation_lacks_pages(Form_pg_class row)
{
	return row->relkind == RELKIND_RELATION && row->relam == HEAP_TABLE_AM_OID &&
		row->relpersistence != RELPERSISTENCE_TEMP && OidIsValid(row->relfilenode) &&
		smgrnblocks(ls_smgr_open(OidIsValid(row->reltablespace) ? row->reltablespace : MyDatabaseTableSpace,
								 row->relfilenode), MAIN_FORKNUM) == 0;
}

/*
 * ls_relation_has_pages tells, at next to no cost, whether a table of ours may have
 * rows: it has had one since it was vacuumed.
 */
bool
ls_relation_has_pages(Oid table)
{
	HeapTuple	tuple;
	bool		any;

	if (!OidIsValid(table))
		return false;
	LockRelationOid(table, AccessShareLock);
	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(table));
	if (!HeapTupleIsValid(tuple))
	{
		/* dropped while we waited */
		UnlockRelationOid(table, AccessShareLock);
		return false;
	}
	any = !ls_relation_lacks_pages((Form_pg_class) GETSTRUCT(tuple));
	ReleaseSysCache(tuple);
	return any;
}

/*
 * ls_relation_column finds a column of an open table by its name, 0 where there is
 * none, without the look-up in the catalog that get_attnum() is.
 */
AttrNumber
ls_relation_column(Relation rel, const char *name)
{
	return attnameAttNum(rel, name, false);
}

/*
 * ls_relation_read_types reads the types of a table's columns from the catalog, as
 * many as there is room for; that of one that was dropped is invalid.
 */
void
ls_relation_read_types(Oid relation, int most, Oid *types)
{
	Relation	attributes = table_open(AttributeRelationId, AccessShareLock);
	ScanKeyData key[2];
	SysScanDesc scan;
	HeapTuple	tuple;

	memset(types, 0, sizeof(Oid) * most);
	ScanKeyInit(&key[0], Anum_pg_attribute_attrelid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(relation));
	ScanKeyInit(&key[1], Anum_pg_attribute_attnum, BTGreaterStrategyNumber, F_INT2GT,
				Int16GetDatum(0));
	scan = systable_beginscan(attributes, AttributeRelidNumIndexId, true, NULL, 2, key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_attribute row = (Form_pg_attribute) GETSTRUCT(tuple);

		if (row->attnum <= most && !row->attisdropped)
			types[row->attnum - 1] = row->atttypid;
	}
	systable_endscan(scan);
	table_close(attributes, AccessShareLock);
}

/*
 * ls_relation_index_not_null gives the column of which an index (a row of pg_index) has
 * all rows where it is not null, and no others; InvalidAttrNumber: it has all rows, or
 * those that another predicate says.
 */
AttrNumber
ls_relation_index_not_null(HeapTuple index)
{
	bool		isnull;
	Datum		stored = SysCacheGetAttr(INDEXRELID, index, Anum_pg_index_indpred, &isnull);
	Node	   *predicate = isnull ? NULL : stringToNode(TextDatumGetCString(stored));
	NullTest   *test = predicate && IsA(predicate, NullTest) ? (NullTest *) predicate : NULL;

	return test && test->nulltesttype == IS_NOT_NULL && IsA(test->arg, Var) ?
		((Var *) test->arg)->varattno : InvalidAttrNumber;
}

/* has_all_rows tells whether an index is not a partial one. */
static bool
has_all_rows(Oid index)
{
	HeapTuple	tuple = SearchSysCache1(INDEXRELID, ObjectIdGetDatum(index));
	bool		all = HeapTupleIsValid(tuple) && heap_attisnull(tuple, Anum_pg_index_indpred, NULL);

	if (HeapTupleIsValid(tuple))
		ReleaseSysCache(tuple);
	return all;
}

/*
 * ls_relation_has_index tells whether a table has an index of all rows: a dump creates it
 * after the rows.  It does not wait for a lock: it is asked of all models, and a table that
 * its owner has locked exclusively must not make other sessions wait.
 */
bool
ls_relation_has_index(Oid table)
{
	Relation	rel;
	bool		locked;
	bool		any = false;
	List	   *indexes;
	ListCell   *lc;

	if (get_rel_relkind(table) != RELKIND_RELATION)
		return false;
	rel = ls_relation_open(table, &locked);
	if (rel == NULL)
		return false;
	indexes = RelationGetIndexList(rel);
	foreach(lc, indexes)
		any |= has_all_rows(lfirst_oid(lc));
	list_free(indexes);
	ls_relation_close(rel, locked);
	return any;
}

/* ls_relation_find_owner gives the owner of a table or view; InvalidOid where it is gone. */
Oid
ls_relation_find_owner(Oid relid)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	Oid			owner = InvalidOid;

	if (HeapTupleIsValid(tuple))
	{
		owner = ((Form_pg_class) GETSTRUCT(tuple))->relowner;
		ReleaseSysCache(tuple);
	}
	return owner;
}

/* ls_relation_owner is the role that owns a table or view. */
Oid
ls_relation_owner(Oid relid)
{
	Oid			owner = ls_relation_find_owner(relid);

	if (!OidIsValid(owner))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("relation with OID %u does not exist", relid)));
	return owner;
}

/* ls_relation_may_read tells whether a role may read a table by its own name. */
bool
ls_relation_may_read(Oid relid, Oid role)
{
	return pg_class_aclcheck(relid, role, ACL_SELECT) == ACLCHECK_OK &&
		ls_schema_aclcheck(get_rel_namespace(relid), role) == ACLCHECK_OK;
}

/* ls_relation_qualified_name gives a table's name as SQL takes it anywhere. */
char *
ls_relation_qualified_name(Oid relid)
{
	return quote_qualified_identifier(get_namespace_name(get_rel_namespace(relid)),
									  get_rel_name(relid));
}

/*
 * ls_relation_estimate_rows estimates how many rows a table has, with its partitions
 * and children.  No lock is kept: the caller may have to lock them together.  For a
 * table that another session has locked exclusively, the estimate is that of its last
 * ANALYZE.
 */
double
ls_relation_estimate_rows(Oid relation)
{
	double		rows = 0;
	ListCell   *lc;

	foreach(lc, ls_relation_tree(relation))
	{
		bool		locked;
		Relation	rel = ls_relation_open(lfirst_oid(lc), &locked);
		BlockNumber pages;
		double		tuples = 0,
					visible;

		if (rel == NULL)
			continue;
		if (rel->rd_rel->relkind == RELKIND_RELATION && !locked)
			tuples = Max(0, rel->rd_rel->reltuples);
		/* a small table that was never analyzed is taken to have ten pages */
		else if (rel->rd_rel->relkind == RELKIND_RELATION && RelationGetNumberOfBlocks(rel) > 0)
			estimate_rel_size(rel, NULL, &pages, &tuples, &visible);
		rows += tuples;
		ls_relation_close(rel, locked);
	}
	return rows;
}

/* ---------- code that runs when rows are written ---------- */

/*
 * has_expressions tells whether an index of a table has expressions, or a predicate that
 * may call a function.
 */
static bool
has_expressions(Relation rel)
{
	List	   *indexes = RelationGetIndexList(rel);
	bool		found = false;
	ListCell   *lc;

	foreach(lc, indexes)
	{
		HeapTuple	tuple = SearchSysCache1(INDEXRELID, ObjectIdGetDatum(lfirst_oid(lc)));

		if (!HeapTupleIsValid(tuple))
			continue;
		found |= !heap_attisnull(tuple, Anum_pg_index_indexprs, NULL) ||
			(!heap_attisnull(tuple, Anum_pg_index_indpred, NULL) &&
			 ls_relation_index_not_null(tuple) == InvalidAttrNumber);
		ReleaseSysCache(tuple);
	}
	list_free(indexes);
	return found;
}

/* has_own_types tells whether a column is of a type that is not built in. */
static bool
has_own_types(Relation rel)
{
	for (int i = 0; i < RelationGetDescr(rel)->natts; i++)
		if (TupleDescAttr(RelationGetDescr(rel), i)->atttypid >= FirstNormalObjectId)
			return true;
	return false;
}

/* ls_relation_queues_triggers tells whether there are AFTER triggers for each row. */
bool
ls_relation_queues_triggers(Relation rel)
{
	const TriggerDesc *triggers = rel->trigdesc;

	return triggers &&
		(triggers->trig_insert_after_row || triggers->trig_update_after_row ||
		 triggers->trig_delete_after_row);
}

/* is_own tells whether initdb has not made a function. */
static bool
is_own(Oid function, void *context)
{
	return function >= FirstNormalObjectId;
}

static bool
calls_own(Node *node, void *context)
{
	if (node == NULL)
		return false;
	return IsA(node, CoerceToDomain) || check_functions_in_node(node, is_own, context) ||
		expression_tree_walker(node, calls_own, context);
}

/* has_own_checks tells whether a check constraint calls a function that initdb has not made. */
static bool
has_own_checks(Relation rel)
{
	const TupleConstr *constraints = RelationGetDescr(rel)->constr;

	for (int i = 0; constraints && i < constraints->num_check; i++)
		if (calls_own(stringToNode(constraints->check[i].ccbin), NULL))
			return true;
	return false;
}

/*
 * ls_relation_runs_own_code tells whether functions of the owner may run where rows of
 * a table are written or found to be written.
 */
bool
ls_relation_runs_own_code(Relation rel)
{
	const TriggerDesc *triggers = rel->trigdesc;
	const TupleConstr *constraints = RelationGetDescr(rel)->constr;

	if (ls_has_virtual_columns(RelationGetDescr(rel)) ||
		(constraints && constraints->has_generated_stored))
		return true;
	if (triggers &&
		(triggers->trig_insert_before_row || triggers->trig_update_before_row ||
		 triggers->trig_delete_before_row || ls_relation_queues_triggers(rel)))
		return true;
	return has_own_types(rel) || has_expressions(rel) || has_own_checks(rel);
}

/*
 * ls_relation_runs_code tells the same, or whether the owner has chosen by a check
 * constraint what runs.
 */
bool
ls_relation_runs_code(Relation rel)
{
	const TupleConstr *constraints = RelationGetDescr(rel)->constr;

	return (constraints && constraints->num_check > 0) || ls_relation_runs_own_code(rel);
}
