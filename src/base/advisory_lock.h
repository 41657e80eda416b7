/*-------------------------------------------------------------------------
 *
 * advisory_lock.h
 *		Advisory locks of the extension's own.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_ADVISORY_LOCK_H
#define LEADSCORE_ADVISORY_LOCK_H

#include "postgres.h"

/* advisory locks, apart from those that users can take */
typedef enum LsAdvisory
{
	LS_LOCK_LAUNCHER,			/* of a launcher that start_worker() started */
	LS_LOCK_WORKER,				/* one worker in a database */
	LS_LOCK_STOP,				/* somebody waits for the launcher to end */
	LS_LOCK_RESTORE				/* of sessions that restore models, see restore.c */
} LsAdvisory;

extern bool ls_take_advisory(LsAdvisory lock, Oid database);
extern void ls_release_advisory(LsAdvisory lock, Oid database);
extern void ls_share_advisory(LsAdvisory lock, Oid database);
extern bool ls_hold_advisory(LsAdvisory lock, Oid database);
extern bool ls_database_wanted(Oid database);

#endif							/* LEADSCORE_ADVISORY_LOCK_H */
