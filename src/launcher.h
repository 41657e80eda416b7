/*-------------------------------------------------------------------------
 *
 * launcher.h
 *		Starts workers where time has something to change.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_LAUNCHER_H
#define LEADSCORE_LAUNCHER_H

#include "postgres.h"

#include "storage/dsm.h"
#include "storage/lock.h"
#include "utils/timestamp.h"

/* leadscore.enabled, leadscore.max_workers */
extern bool ls_enabled;
extern int	ls_max_workers;

/* what a worker is told by the launcher that starts it, in bgw_extra */
typedef struct LsWorkerOrder
{
	Oid			database;
	int			slot;			/* of the board */
	uint64		launcher_number;
	dsm_handle	board;			/* DSM_HANDLE_INVALID: the server's */
} LsWorkerOrder;

/* advisory locks, apart from those that users can take */
typedef enum LsAdvisory
{
	LS_LOCK_LAUNCHER,			/* of a launcher that start_worker() started */
	LS_LOCK_WORKER,				/* one worker in a database */
	LS_LOCK_STOP,				/* somebody waits for the launcher to end */
	LS_LOCK_RESTORE				/* of sessions that restore models, see restore.c */
} LsAdvisory;

extern void ls_launcher_define(void);
extern void ls_launcher_poke_at_commit(void);
extern void ls_launcher_end_transaction(bool committed);

extern bool ls_database_wanted(Oid database);
extern bool ls_take_advisory(LsAdvisory lock, Oid database);
extern void ls_release_advisory(LsAdvisory lock, Oid database);
extern void ls_share_advisory(LsAdvisory lock, Oid database);
extern bool ls_hold_advisory(LsAdvisory lock, Oid database);

#endif							/* LEADSCORE_LAUNCHER_H */
