/*-------------------------------------------------------------------------
 *
 * settings.c
 *		Settings of launcher and workers, and settings that are stored for a database.
 *
 * PostgreSQL reads the settings of ALTER DATABASE ... SET and ALTER ROLE ... SET when a
 * process connects.  A running worker has to follow them, too: with another
 * leadscore.clock than sessions have, it writes what they take to be in the future, or
 * skips what they wait for.  pg_db_role_setting has no cache whose invalidation
 * messages could be used, and the command may come from a session that has not loaded
 * the library.  So the worker reads it when a step begins and several times a second in
 * a nap.  The launcher cannot, as it is connected to no database: it waits at most a
 * minute of the rest of a nap.
 *
 * Where something has changed the worker leaves, and the launcher starts one with the
 * new settings: a process cannot reset a setting that is no longer stored to the value
 * of the configuration file.
 *
 *-------------------------------------------------------------------------
 */
#include "background/settings.h"

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

bool		ls_setting_enabled = true;
int			ls_setting_max_workers = 3;
int			ls_setting_naptime = 1000;
int			ls_setting_batch_size = 500;
int			ls_setting_action_timeout = 30000;
int			ls_setting_history_retention = -1;
int			ls_setting_outbox_retention = 7;

static uint64 stored_settings = 0;	/* hash of those that this process has */

/* ls_settings_define defines the settings. */
void
ls_settings_define(void)
{
	DefineCustomBoolVariable("leadscore.enabled",
							 "Whether workers write what time changes.",
							 NULL, &ls_setting_enabled, true, PGC_SIGHUP, 0,
							 NULL, NULL, NULL);
	DefineCustomIntVariable("leadscore.max_workers",
							"How many databases are worked in at the same time.",
							"Each worker takes one of max_worker_processes.",
							&ls_setting_max_workers, 3, 1, 64, PGC_SIGHUP, 0,
							NULL, NULL, NULL);
	DefineCustomIntVariable("leadscore.naptime",
							"Longest time between two looks at what is due.",
							NULL, &ls_setting_naptime, 1000, 10, 3600000,
							PGC_SIGHUP, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomIntVariable("leadscore.batch_size",
							"How many contacts are written in one transaction.",
							NULL, &ls_setting_batch_size, 500, 1, 100000,
							PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("leadscore.action_timeout",
							"Longest time that a function of an action may take, whatever the action's own timeout.",
							NULL, &ls_setting_action_timeout, 30000, 1, 3600000,
							PGC_SUSET, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomIntVariable("leadscore.history_retention",
							"How many days rows of history_<model> are kept.",
							"-1: for ever.",
							&ls_setting_history_retention, -1, -1, 100000,
							PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("leadscore.outbox_retention",
							"How many days rows of outbox_<model> are kept that are done with.",
							"-1: for ever.",
							&ls_setting_outbox_retention, 7, -1, 100000,
							PGC_SIGHUP, 0, NULL, NULL, NULL);
}

/* ---------- settings stored for the database ---------- */

/* add_row adds the settings stored for a database and a role, or for all, to a hash. */
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
 * read_stored gives a hash of all settings stored for this process; 0 where another
 * session has locked the table, as a worker does not wait.  With apply, settings stored
 * since the process connected take effect.
 */
static uint64
read_stored(bool apply)
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

/* ls_settings_begin records which settings this process has, just after it connected. */
void
ls_settings_begin(void)
{
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	stored_settings = read_stored(true);
	CommitTransactionCommand();
}

/*
 * ls_settings_changed tells whether the stored settings have changed.  It needs a
 * transaction.
 */
bool
ls_settings_changed(void)
{
	uint64		stored = read_stored(false);

	return stored != 0 && stored != stored_settings;
}
