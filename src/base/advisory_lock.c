/*-------------------------------------------------------------------------
 *
 * advisory_lock.c
 *		Advisory locks of the extension's own, and whether a database is locked.
 *
 *-------------------------------------------------------------------------
 */
#include "base/advisory_lock.h"

#include "catalog/pg_database.h"
#include "storage/lock.h"

#define ADVISORY_CLASS		0x4C53	/* users have 1 and 2 */
#define ADVISORY_KEY		0x6C656164

static void
advisory_tag(LOCKTAG *tag, LsAdvisory lock, Oid database)
{
	SET_LOCKTAG_ADVISORY(*tag, database, ADVISORY_KEY, (uint32) lock, ADVISORY_CLASS);
}

/*
 * ls_advisory_take takes an exclusive lock for the session; false where another
 * session has it.
 */
bool
ls_advisory_take(LsAdvisory lock, Oid database)
{
	LOCKTAG		tag;

	advisory_tag(&tag, lock, database);
	return LockAcquire(&tag, ExclusiveLock, true, true) != LOCKACQUIRE_NOT_AVAIL;
}

void
ls_advisory_release(LsAdvisory lock, Oid database)
{
	LOCKTAG		tag;

	advisory_tag(&tag, lock, database);
	LockRelease(&tag, ExclusiveLock, true);
}

/* ls_advisory_share takes a shared lock for the session. */
void
ls_advisory_share(LsAdvisory lock, Oid database)
{
	LOCKTAG		tag;

	advisory_tag(&tag, lock, database);
	(void) LockAcquire(&tag, ShareLock, true, false);
}

/*
 * ls_advisory_hold takes a lock until the transaction ends; false where a session has
 * it shared or exclusively.
 */
bool
ls_advisory_hold(LsAdvisory lock, Oid database)
{
	LOCKTAG		tag;

	advisory_tag(&tag, lock, database);
	return LockAcquire(&tag, RowExclusiveLock, false, true) != LOCKACQUIRE_NOT_AVAIL;
}

/*
 * ls_advisory_database_wanted tells whether a session wants a database to itself, to
 * drop, copy or rename it: a new connection would have to wait for that session.
 */
bool
ls_advisory_database_wanted(Oid database)
{
	LOCKTAG		tag;

	SET_LOCKTAG_OBJECT(tag, InvalidOid, DatabaseRelationId, database, 0);
	if (LockAcquire(&tag, RowExclusiveLock, true, true) == LOCKACQUIRE_NOT_AVAIL)
		return true;
	LockRelease(&tag, RowExclusiveLock, true);
	return false;
}
