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
	LS_LOCK_STOP,				/* a session waits for the launcher to end */
	LS_LOCK_RESTORE				/* of sessions that restore models, see restore_state.c */
} LsAdvisory;

extern bool ls_advisory_take(LsAdvisory lock, Oid database);
extern void ls_advisory_release(LsAdvisory lock, Oid database);
extern void ls_advisory_share(LsAdvisory lock, Oid database);
extern bool ls_advisory_hold(LsAdvisory lock, Oid database);
extern bool ls_advisory_database_wanted(Oid database);

#endif							/* LEADSCORE_ADVISORY_LOCK_H */
