/*-------------------------------------------------------------------------
 *
 * worker_settings.c
 *		Settings of the database, which a worker goes by as they are now.
 *
 * PostgreSQL reads what ALTER DATABASE ... SET and ALTER ROLE ... SET have stored
 * when a process connects.  That a running worker is to follow, too: with another
 * leadscore.clock than sessions have, it writes what they take to be in the future, or
 * leaves what they wait for.  pg_db_role_setting has no cache whose invalidation
 * messages it could hear, and the command may come from a session that has not loaded
 * the library.  So it looks, when a step begins and several times a second in a nap;
 * and the launcher does for databases that have no worker just now.
 *
 * Where something has changed the worker leaves, and the launcher starts one with the
 * new settings: a process cannot go back to what the configuration file says of a
 * setting that is stored no more.  What is compared was read by the launcher before
 * the worker connected, so that no change falls in between.
 *
 *-------------------------------------------------------------------------
 */
#include "worker_internal.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_db_role_setting.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/array.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"

static uint64 settings = 0;		/* those that this process has */

/* add_row adds what is stored for a database and a role, or for all, to a hash. */
static uint64
add_row(Relation rel, Oid database, Oid role, uint64 hash)
{
	ScanKeyData keys[2];
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&keys[0], Anum_pg_db_role_setting_setdatabase, BTEqualStrategyNumber,
				F_OIDEQ, ObjectIdGetDatum(database));
	ScanKeyInit(&keys[1], Anum_pg_db_role_setting_setrole, BTEqualStrategyNumber,
				F_OIDEQ, ObjectIdGetDatum(role));
	/* with no snapshot given, it sees all that is committed by now */
	scan = systable_beginscan(rel, DbRoleSettingDatidRolidIndexId, true, NULL, 2, keys);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
	{
		bool		isnull;
		Datum		stored = heap_getattr(tuple, Anum_pg_db_role_setting_setconfig,
										  RelationGetDescr(rel), &isnull);

		if (!isnull)
		{
			ArrayType  *array = DatumGetArrayTypeP(stored);

			hash = hash_bytes_extended((unsigned char *) array, VARSIZE(array), hash + 1);
		}
	}
	systable_endscan(scan);
	return hash * 31;
}

/*
 * ls_settings_stored gives a hash of all that is stored for a worker of a database,
 * within a transaction; 0 where somebody has locked the table: nobody is waited for.
 */
uint64
ls_settings_stored(Oid database)
{
	Oid			role = GetSessionUserId();	/* the same for launcher and workers */
	Relation	rel;
	uint64		hash;

	if (!ConditionalLockRelationOid(DbRoleSettingRelationId, AccessShareLock))
		return 0;
	rel = table_open(DbRoleSettingRelationId, NoLock);
	hash = add_row(rel, database, role, 1);
	hash = add_row(rel, InvalidOid, role, hash);
	hash = add_row(rel, database, InvalidOid, hash);
	hash = add_row(rel, InvalidOid, InvalidOid, hash);
	table_close(rel, AccessShareLock);
	return Max(hash, 1);
}

/* ls_worker_settings_begin notes which settings this process has, at the least. */
void
ls_worker_settings_begin(void)
{
	LWLockAcquire(&ls_board->lock, LW_SHARED);
	settings = ls_worker_slot->settings;
	LWLockRelease(&ls_board->lock);
}

/* ls_worker_settings_changed tells, in a transaction, whether others are stored by now. */
bool
ls_worker_settings_changed(void)
{
	uint64		stored = ls_settings_stored(MyDatabaseId);

	if (settings == 0)
		settings = stored;		/* the launcher could not read them */
	return stored != 0 && stored != settings;
}

/* ls_worker_settings_look does so in a nap, and has the worker leave. */
void
ls_worker_settings_look(Work *work)
{
	bool		changed;

	if (work->leaving)
		return;
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	changed = ls_worker_settings_changed();
	CommitTransactionCommand();
	if (changed)
		ls_worker_leave(work, LS_PHASE_WAITING, 0);
}
