/*-------------------------------------------------------------------------
 *
 * source_locks.c
 *		Locks on what a model is computed from, for readers.
 *
 *-------------------------------------------------------------------------
 */
#include "rules/source_locks.h"

#include "storage/lmgr.h"

#include "base/relation.h"
#include "definitions/locks.h"

/*
 * ls_lock_to_read locks the tables that a contact is recomputed from, against being
 * dropped or truncated.  This comes before locks on contacts, as statements lock
 * tables first, too.
 */
void
ls_lock_to_read(LsModel *model)
{
	for (int i = 0; i < model->nsources; i++)
		if (!model->sources[i].broken)
			ls_lock_with_parts(model->sources[i].relation, AccessShareLock);
}

/*
 * ls_lock_to_read_if_free locks them, and the contact table, without waiting.  False
 * where another session has one locked.
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
		foreach(lc, ls_relation_tree(model->sources[i].relation))
			if (!ConditionalLockRelationOid(lfirst_oid(lc), AccessShareLock))
				return false;
	}
	return true;
}

/*
 * ls_lock_before_writing locks them, and the contact table, for a caller that was not
 * called by a trigger of one of them, before it locks the score table.
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
