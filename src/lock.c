/*-------------------------------------------------------------------------
 *
 * lock.c
 *		Locks on the tables that a model reads, in an order that all keep.
 *
 * Event and contact tables come before score tables, and these before rows; see
 * docs/architecture.md.
 *
 *-------------------------------------------------------------------------
 */
#include "lock.h"

#include "catalog/pg_inherits.h"
#include "storage/lmgr.h"
#include "utils/syscache.h"

#include "catalog.h"
#include "look.h"

#define LOCK_ATTEMPTS 50

/* lock_tree waits for a table, then for those below it; it may be gone. */
static void
lock_tree(Oid relation, LOCKMODE mode)
{
	LockRelationOid(relation, mode);
	if (SearchSysCacheExists1(RELOID, ObjectIdGetDatum(relation)))
		(void) find_all_inheritors(relation, mode, NULL);
	else
		UnlockRelationOid(relation, mode);
}

/*
 * lock_at_once locks tables of which first is waited for, and the others only
 * taken if nobody is in the way.  Gives the place of one that was not to be
 * had, and then holds none; -1 if all are locked.
 */
static int
lock_at_once(List *tables, int first)
{
	LockRelationOid(list_nth_oid(tables, first), ShareRowExclusiveLock);
	for (int i = 0; i < list_length(tables); i++)
	{
		if (i == first ||
			ConditionalLockRelationOid(list_nth_oid(tables, i), ShareRowExclusiveLock))
			continue;
		for (int j = 0; j < i; j++)
			if (j != first)
				UnlockRelationOid(list_nth_oid(tables, j), ShareRowExclusiveLock);
		UnlockRelationOid(list_nth_oid(tables, first), ShareRowExclusiveLock);
		return i;
	}
	return -1;
}

/*
 * ls_lock_tables locks tables, with what is below them, so that nobody but us
 * writes to them.  As statements write to several tables in any order, by
 * cascades and triggers, we had better not hold one while waiting for another.
 * Where they are too busy for that we wait for each in its turn, a table before
 * its partitions and children, as statements that go through it do.
 */
void
ls_lock_tables(List *roots)
{
	List	   *tables = NIL;
	int			waited_for = 0;
	ListCell   *lc;

	list_sort(roots, list_oid_cmp);
	foreach(lc, roots)
		tables = list_concat_unique_oid(tables, ls_look_tree(lfirst_oid(lc)));
	for (int i = 0; i < LOCK_ATTEMPTS && tables != NIL && waited_for >= 0; i++)
		waited_for = lock_at_once(tables, waited_for);
	foreach(lc, roots)
		lock_tree(lfirst_oid(lc), ShareRowExclusiveLock);
}

/* ls_lock_sources locks all that a model is counted from. */
void
ls_lock_sources(const char *name)
{
	LsModelRow *row = ls_model_row(name, NULL);
	List	   *roots = NIL;
	ListCell   *lc;

	foreach(lc, ls_source_rows(name, NULL))
		roots = list_append_unique_oid(roots, ((LsSourceRow *) lfirst(lc))->relation);
	if (row)
		roots = list_append_unique_oid(roots, row->contacts);
	ls_lock_tables(roots);
}

/*
 * ls_lock_to_read locks what a contact is counted from, against those who
 * would drop or empty it.  Done before contacts are locked: they take tables
 * first, too.
 */
void
ls_lock_to_read(LsModel *model)
{
	for (int i = 0; i < model->nsources; i++)
		if (!model->sources[i].broken)
			lock_tree(model->sources[i].relation, AccessShareLock);
}

/*
 * ls_lock_to_read_if_free does so without waiting, the contact table included.
 * False where somebody is in the way.
 */
bool
ls_lock_to_read_if_free(LsModel *model)
{
	if (!ConditionalLockRelationOid(model->contacts, AccessShareLock))
		return false;
	for (int i = 0; i < model->nsources; i++)
	{
		ListCell   *lc;

		if (model->sources[i].broken)
			continue;
		if (!ConditionalLockRelationOid(model->sources[i].relation, AccessShareLock))
			return false;
		foreach(lc, ls_look_tree(model->sources[i].relation))
			if (!ConditionalLockRelationOid(lfirst_oid(lc), AccessShareLock))
				return false;
	}
	return true;
}

/*
 * ls_lock_before_writing does so for one who does not come from one of these
 * tables, before he locks a model's score table.
 */
void
ls_lock_before_writing(const char *name)
{
	LsModel    *model = ls_model_acquire(name, NULL);

	if (model == NULL)
		return;
	LockRelationOid(model->contacts, AccessShareLock);
	ls_lock_to_read(model);
	ls_model_release(model);
}
