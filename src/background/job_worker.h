/*-------------------------------------------------------------------------
 *
 * job_worker.h
 *		Processes that help a worker with a job.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_JOB_WORKER_H
#define LEADSCORE_JOB_WORKER_H

#include "postgres.h"

/* both for the worker */
/* slow models that have a process of their own at the same time, in one database */
#define LS_MAX_LANES	2

extern bool ls_helpers_lane(const char *model);
extern void ls_helpers_keep(const char *model, int64 ranges);
extern void ls_helpers_terminate(void);

#endif							/* LEADSCORE_JOB_WORKER_H */
