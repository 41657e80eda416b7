/*-------------------------------------------------------------------------
 *
 * look.c
 *		Tables whose definition is looked at, without waiting for anybody.
 *
 * Rules are compiled against all tables of a model, also by a statement that
 * holds one of them against everybody (TRUNCATE, DROP TABLE).  Would it wait for
 * another that somebody holds in the same way, and who waits for the first, that
 * would be a deadlock.  But nothing is read from these tables, and a definition
 * that another transaction is about to change is what it was until that commits;
 * then everybody hears of it and compiles again.
 *
 *-------------------------------------------------------------------------
 */
#include "look.h"

#include "storage/lmgr.h"
#include "utils/relcache.h"
#include "utils/syscache.h"

/*
 * ls_look_open opens a table to look at its columns; NULL where there is none.
 * locked tells ls_look_close whether it could be locked.
 */
Relation
ls_look_open(Oid relation, bool *locked)
{
	Relation	rel = NULL;

	*locked = ConditionalLockRelationOid(relation, AccessShareLock);
	if (SearchSysCacheExists1(RELOID, ObjectIdGetDatum(relation)))
		rel = RelationIdGetRelation(relation);
	if (rel == NULL && *locked)
		UnlockRelationOid(relation, AccessShareLock);
	return rel;
}

void
ls_look_close(Relation rel, bool locked)
{
	Oid			relation = RelationGetRelid(rel);

	RelationClose(rel);
	if (locked)
		UnlockRelationOid(relation, AccessShareLock);
}
