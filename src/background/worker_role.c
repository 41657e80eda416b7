/*-------------------------------------------------------------------------
 *
 * worker_role.c
 *		As whose process a worker counts.
 *
 * Workers and their helpers are connected as the bootstrap superuser, but count
 * as processes of the database's owner: who owns a database may drop it with
 * WITH (FORCE) and terminate whatever is connected to it, and both fail at a
 * process of a superuser's.  It decides who may send the process signals, and
 * nothing else: the rights that it works with are not touched.
 *
 * DROP DATABASE locks the database as new connections do, and then looks at the
 * processes.  So the role has to be right before that lock is released the first
 * time, when the transaction commits in which the process was connected: until
 * then it goes by the owner whom the launcher saw.  Each further transaction looks
 * anew, as the owner may change.
 *
 *-------------------------------------------------------------------------
 */
#include "background/worker_role.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_database.h"
#include "miscadmin.h"
#include "utils/syscache.h"

#include "base/compat.h"

static Oid	database_owner = InvalidOid;

static void
before_commit(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_PRE_COMMIT)
		ls_set_process_role(database_owner);
}

/* ls_worker_role_begin is for a process that is about to be connected. */
void
ls_worker_role_begin(Oid owner)
{
	database_owner = owner;
	ls_set_process_role(owner);
	RegisterXactCallback(before_commit, NULL);
}

/* ls_worker_role_refresh looks who owns the database, in a transaction. */
void
ls_worker_role_refresh(void)
{
	HeapTuple	tuple = SearchSysCache1(DATABASEOID, ObjectIdGetDatum(MyDatabaseId));

	if (!HeapTupleIsValid(tuple))
		return;					/* it is being dropped */
	database_owner = ((Form_pg_database) GETSTRUCT(tuple))->datdba;
	ReleaseSysCache(tuple);
	ls_set_process_role(database_owner);
}
