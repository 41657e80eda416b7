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
#include "utils/timestamp.h"

#include "background/shared_state.h"
#include "base/time_slice.h"
#include "counting/contact_pass.h"
#include "jobs/job_run.h"

/* one model in a round */
typedef struct Task
{
	char	   *model;
	Oid			contacts;
	TimestampTz retry_at;		/* 0: it has not failed */
	TimestampTz contact_retry_at;	/* 0: none of its contacts has */
	bool		slow;			/* a step was cancelled, as others wait */
	struct ModelProgress *progress; /* what is remembered from round to round */
} Task;

/* What a process remembers of a model between rounds; it can do without */
typedef struct ModelProgress
{
	char		model[NAMEDATALEN];
	/* passes that were not done when their time was over, each in memory of its own */
	MemoryContext context[LS_PASS_KINDS];
	LsPass	   *pass[LS_PASS_KINDS];
	int64		total;			/* contacts that are due, 0: not known */
	int64		spent;			/* milliseconds, halved each round */
	TimestampTz next_due;		/* when it was last looked at */
	int			failed_deliveries;	/* one after the other ... */
	TimestampTz deliver_at;		/* ... and when it is tried again, by the real clock */
} ModelProgress;

/* What the steps of a worker share */
typedef struct Work
{
	MemoryContext round;		/* what lives from one nap to the next */
	List	   *tasks;			/* of Task * */
	bool		incomplete;		/* a model is not there in full */
	bool		suspended;		/* a suspended model may go on by itself */
	Task	   *task;			/* in hand, or NULL */
	LsPassKind	pass;			/* that it is at, ... */
	bool		one_by_one;		/* ... as one of the contacts has failed */
	LsSlice		slice;			/* for what is being done to the model */
	int64		returned;		/* by the last step: rows, or whether it did anything */
	LsJobNext	next_step;		/* of the model's job */
	LsJobRun   *job_run;		/* what is remembered of it */
	ErrorData  *error;			/* of the last step, NULL: it went well */
	ErrorData  *failure;		/* to be written down */
	List	   *models;			/* names of those that are looked at one after the other */
	const char *model;			/* ... and of the one in hand */
	bool		unwatched;		/* a step that sees to its time itself */
	bool		busy;			/* another transaction has locked what the step needs */
	bool		stuck;			/* an expression, or a step, took too long */
	bool		slow;			/* a step was cancelled, as others wait */
	bool		alone;			/* no other model waits for this process */
	bool		lane;			/* this process is for one slow model */
	bool		leaving;		/* no more steps */
	bool		reloaded;		/* settings have changed since the round began */
	TimestampTz began;			/* the round, by the clock like the next two */
	TimestampTz next_due;		/* over all models */
	TimestampTz wake_due;		/* the same, of what was not due when it began */
	bool		hurry;			/* there is more to be done at once */
} Work;

typedef void (*Step) (Work *work);

/* a model has so long for each of: what is due, what is pending, its days */
#define LS_SLICE_MS			250

/* coming and going, also for a helper of the worker with a process number; in worker_step.c */
extern bool ls_worker_step_begin(Work *work, const LsWorkerOrder *given, pid_t of);
extern void ls_worker_step_begin_lane(const char *model);
extern bool ls_worker_step_look_around(Work *work);
extern void ls_worker_step_leave(Work *work, LsPhase phase, int64 wait);

/* steps, in worker_step.c */
extern bool ls_worker_step_run(Work *work, Step step);
extern bool ls_worker_step_lock_model(Work *work);
/* the process ends, as a function of an action went on after its timeout */
extern bool ls_worker_step_call_overran;
extern bool ls_worker_step_failed(const Work *work);
extern void ls_worker_step_record_error(const Work *work);
extern void ls_worker_step_report(const Work *work, const char *what);
extern void ls_worker_step_phase(const Work *work, LsPhase phase);

/* models, in worker_model.c */
extern bool ls_worker_model_read_tasks(Work *work);
extern bool ls_worker_model_left_alone(const Task *task);
extern void ls_worker_model_run(Work *work, Task *task);
extern void ls_worker_model_look_only(Work *work, Task *task);
extern void ls_worker_model_record_offender(Work *work);
extern void ls_worker_model_leave_to_lane(const char *model);
extern bool ls_worker_model_delivery_waits(const char *model);
extern void ls_worker_model_delivered(const char *model, bool well);

/* a process that is for one model alone, in worker.c */
extern void ls_worker_run_lane(Work *work, const char *model);

/* jobs, days and roles, in worker_tasks.c */
extern void ls_worker_job_run(Work *work);
extern bool ls_worker_job_write_days(Work *work);
extern void ls_worker_job_follow_roles(Work *work);
extern void ls_worker_job_steps(Work *work);

/* what is for all models together, in delivery.c and retention.c */
extern void ls_delivery_run(Work *work);
extern void ls_delivery_call_for(Work *work, const char *model);
extern void ls_retention_purge(Work *work);

#endif							/* LEADSCORE_WORKER_INTERNAL_H */
