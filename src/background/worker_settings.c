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
 * the library.  So it looks, when a step begins and several times a second in a nap.
 * The launcher cannot, as it is connected to no database: it does not wait for the
 * rest of a nap longer than a minute.
 *
 * Where something has changed the worker leaves, and the launcher starts one with the
 * new settings: a process cannot go back to what the configuration file says of a
 * setting that is stored no more.
 *
 *-------------------------------------------------------------------------
 */
#include "background/worker_internal.h"

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
#include "utils/guc.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

static uint64 settings = 0;		/* those that this process has */

/* add_row adds what is stored for a database and a role, or for all, to a hash. */
static uint64
add_row(Relation rel, Snapshot snapshot, Oid database, Oid role, uint64 hash)
{
	ScanKeyData keys[2];
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&keys[0], Anum_pg_db_role_setting_setdatabase, BTEqualStrategyNumber,
				F_OIDEQ, ObjectIdGetDatum(database));
	ScanKeyInit(&keys[1], Anum_pg_db_role_setting_setrole, BTEqualStrategyNumber,
				F_OIDEQ, ObjectIdGetDatum(role));
	scan = systable_beginscan(rel, DbRoleSettingDatidRolidIndexId, true, snapshot, 2, keys);
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
 * read_settings gives a hash of all that is stored for this process, as it is now; 0
 * where somebody has locked the table: a worker waits for nobody.  apply has what was
 * stored since the process connected come into force.
 */
static uint64
read_settings(bool apply)
{
	const Oid	whose[][2] = {
		{MyDatabaseId, GetSessionUserId()}, {InvalidOid, GetSessionUserId()},
		{MyDatabaseId, InvalidOid}, {InvalidOid, InvalidOid}
	};
	const GucSource sources[] = {PGC_S_DATABASE_USER, PGC_S_USER, PGC_S_DATABASE, PGC_S_GLOBAL};
	Relation	rel;
	Snapshot	snapshot;
	uint64		hash = 1;

	if (!ConditionalLockRelationOid(DbRoleSettingRelationId, AccessShareLock))
		return 0;
	rel = table_open(DbRoleSettingRelationId, NoLock);
	snapshot = RegisterSnapshot(GetCatalogSnapshot(DbRoleSettingRelationId));
	for (size_t i = 0; i < lengthof(whose); i++)
	{
		hash = add_row(rel, snapshot, whose[i][0], whose[i][1], hash);
		if (apply)
			ApplySetting(snapshot, whose[i][0], whose[i][1], rel, sources[i]);
	}
	UnregisterSnapshot(snapshot);
	table_close(rel, AccessShareLock);
	return Max(hash, 1);
}

/* ls_worker_settings_begin notes which settings this process, just connected, has. */
void
ls_worker_settings_begin(void)
{
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	settings = read_settings(true);
	CommitTransactionCommand();
}

/* ls_worker_settings_changed tells, in a transaction, whether others are stored by now. */
bool
ls_worker_settings_changed(void)
{
	uint64		stored = read_settings(false);

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
