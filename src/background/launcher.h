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
	Oid			owner;			/* of the database, when the launcher last looked */
	int			slot;			/* of the board */
	uint64		launcher_number;
	dsm_handle	board;			/* DSM_HANDLE_INVALID: the server's */
} LsWorkerOrder;

extern void ls_launcher_define(void);
extern void ls_launcher_poke_at_commit(void);
extern void ls_launcher_end_transaction(bool committed);

#endif							/* LEADSCORE_LAUNCHER_H */
