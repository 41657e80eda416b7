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
extern void ls_helpers_keep(const char *model, int64 ranges);
extern void ls_helpers_terminate(void);

#endif							/* LEADSCORE_JOB_WORKER_H */
