/*-------------------------------------------------------------------------
 *
 * helper_start.h
 *		Processes that help a worker: with a job, or with a slow model.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_HELPER_START_H
#define LEADSCORE_HELPER_START_H

#include "postgres.h"

#include "background/shared_state.h"

/* slow models of one database that have lanes at the same time */
#define LS_MAX_LANES	2

#define LS_HELPER_LANE	0		/* number of the helper that is a lane */

/* what the worker passes to a helper, in bgw_extra */
typedef struct LsHelperOrder
{
	LsWorkerOrder worker;		/* the worker's own */
	pid_t		pid;			/* of the worker */
	int			number;			/* of the helper: LS_HELPER_LANE, or 1 ... job_workers - 1 */
	char		model[NAMEDATALEN];
} LsHelperOrder;

extern bool ls_helpers_lane(const char *model);
extern void ls_helpers_keep(const char *model, int64 ranges);
extern void ls_helpers_terminate(void);

#endif							/* LEADSCORE_HELPER_START_H */
