/*-------------------------------------------------------------------------
 *
 * job_run.h
 *		Runs jobs: step by step in the worker, or all at once.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_JOB_RUN_H
#define LEADSCORE_JOB_RUN_H

#include "postgres.h"

#include "storage/lock.h"


/* What follows a step */
typedef enum LsJobNext
{
	LS_JOB_NONE,				/* there is no job */
	LS_JOB_WAIT,				/* waits for a transaction, or for its pace */
	LS_JOB_MORE
} LsJobNext;

/* What a process remembers of a job between its steps; all of it can be lost */
typedef struct LsJobRun
{
	int64		job_id;
	char		phase[16];
	bool		looked;			/* writers are recorded */
	int			nwriters;
	VirtualTransactionId *writers;	/* ... that were writing when the phase began */
	int			limit;			/* contacts in a chunk */
	int			floor;			/* ... at least */
	TimestampTz not_before;		/* real time: of the next chunk */
	bool		helper;			/* this process only works on ranges */
	int			range;			/* that a step has taken and not finished, 0: none */
	int			avoid;			/* a locked or failed range, to be taken last */
	int64		ranges_due;		/* ranges that any process could take before the last step */
} LsJobRun;

extern LsJobNext ls_job_run_step(const char *model, LsJobRun *run, int limit,
								 int64 *contacts);
extern void ls_job_run_step_failed(const char *model, const LsJobRun *run,
								   const char *error);
extern LsJobRun *ls_job_run_of(const char *model);
extern void ls_job_run_pace(LsJobRun *run, int64 contacts, int64 milliseconds);
extern void ls_job_run_all(const char *model);
extern void ls_job_run_rescore(const char *model, const char *source);
extern bool ls_job_run_backfill(const char *model);
extern void ls_job_run_follow(const char *model, bool all, bool backfill, bool holds_tables);
extern void ls_job_run_announce(const char *model, const char *kind, const char *source,
								double rows);

#endif							/* LEADSCORE_JOB_RUN_H */
