/*-------------------------------------------------------------------------
 *
 * worker_internal.h
 *		What the files of the worker share.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_WORKER_INTERNAL_H
#define LEADSCORE_WORKER_INTERNAL_H

#include "postgres.h"

#include "nodes/pg_list.h"
#include "portability/instr_time.h"
#include "utils/timestamp.h"

#include "action.h"
#include "activity.h"
#include "fold.h"
#include "job_run.h"
#include "launcher.h"
#include "pass.h"

/* one model in a round */
typedef struct Task
{
	char	   *model;
	Oid			contacts;
	TimestampTz retry_at;		/* 0: it has not failed */
	TimestampTz contact_retry_at;	/* 0: none of its contacts has */
} Task;

/* What the steps of a worker share */
typedef struct Work
{
	MemoryContext round;		/* what lives from one nap to the next */
	List	   *tasks;			/* of Task * */
	bool		incomplete;		/* a model is not there in full */
	Task	   *task;			/* in hand, or NULL */
	LsPass	   *pass;
	LsFold	   *fold;
	bool		one_by_one;
	int64		returned;		/* by the last step: rows, or whether it did anything */
	int64		total;
	LsJobNext	next_step;		/* of the model's job */
	LsJobRun   *job_run;		/* what is remembered of it */
	ErrorData  *error;			/* of the last step, NULL: it went well */
	ErrorData  *failure;		/* to be written down */
	List	   *models;			/* names of those that are looked at one after the other */
	const char *model;			/* ... and of the one in hand */
	LsDelivery	delivery;		/* call that is made */
	bool		busy;			/* somebody has locked what the step needs */
	bool		stuck;			/* an expression took too long */
	bool		leaving;		/* no more steps */
	bool		reloaded;		/* settings have changed since the round began */
	TimestampTz began;			/* the round, by the clock like the next two */
	TimestampTz next_due;		/* over all models */
	TimestampTz wake_due;		/* the same, of what was not due when it began */
	bool		hurry;			/* there is more to be delivered */
} Work;

typedef void (*Step) (Work *work);

/* the worker's own row on the board, and what it was told when it was started */
extern LsSlot *ls_worker_slot;
extern LsWorkerOrder ls_worker_order;

/* beginning, also for a helper of the worker with a process number; in worker.c */
extern bool ls_worker_begin(Work *work, const LsWorkerOrder *given, pid_t of);

/* steps, in worker.c */
extern bool ls_worker_attempt(Work *work, Step step);
extern bool ls_worker_lock_model(Work *work);
extern bool ls_worker_failed(const Work *work);
extern void ls_worker_note_error(const Work *work);
extern void ls_worker_report(const Work *work, const char *what);
extern int64 ls_worker_elapsed_ms(const instr_time *start);

/* what is done for writers to a model, in worker_job.c */
extern bool ls_worker_fold(Work *work);
extern void ls_worker_job(Work *work);
extern bool ls_worker_days(Work *work);
extern void ls_worker_follow_roles(Work *work);
extern void ls_worker_job_steps(Work *work);

/* what is for all models together, in worker_deliver.c */
extern void ls_worker_deliver(Work *work);
extern void ls_worker_purge(Work *work);

#endif							/* LEADSCORE_WORKER_INTERNAL_H */
