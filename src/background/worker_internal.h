/*-------------------------------------------------------------------------
 *
 * worker_internal.h
 *		Shared by the files of the worker.
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
#include "tables/top_scores.h"

/* one model in a round */
typedef struct Task
{
	char	   *model;
	Oid			contacts;
	TimestampTz retry_at;		/* 0: no failure */
	TimestampTz contact_retry_at;	/* 0: no contact has failed */
	bool		slow;			/* a step was cancelled, as other models wait */
	struct ModelProgress *progress; /* remembered from round to round */
} Task;

/* What a process remembers of a model between rounds; it may be lost */
typedef struct ModelProgress
{
	char		model[NAMEDATALEN];
	/* passes that were not finished in their slice, each in memory of its own */
	MemoryContext context[LS_PASS_KINDS];
	LsPass	   *pass[LS_PASS_KINDS];
	int64		total;			/* contacts that are due, 0: not known */
	int64		spent;			/* milliseconds, halved each round */
	TimestampTz next_due;		/* as of the last look at the model */
	int			failed_deliveries;	/* consecutive ones ... */
	TimestampTz deliver_at;		/* ... and the next attempt, in real time */
	TimestampTz top_scores_at;	/* next look at which rows have a top_score, in real time */
} ModelProgress;

/* State of a worker, which its steps share */
typedef struct Work
{
	MemoryContext round;		/* memory that lasts until the next nap */
	List	   *tasks;			/* of Task * */
	bool		incomplete;		/* some model is not complete */
	bool		suspended;		/* a suspended model may be resumed by time */
	Task	   *task;			/* current one, or NULL */
	LsPassKind	pass;			/* current one, ... */
	bool		one_by_one;		/* ... contact by contact, as one has failed */
	LsSlice		slice;			/* of the current task */
	int64		returned;		/* by the last step: a number of rows, or whether it did anything */
	LsJobNext	next_step;		/* of the model's job */
	LsJobRun   *job_run;		/* what is remembered of it */
	LsTopStep	top_step;		/* next one, to have enough rows with a top_score, ... */
	double		top_from;		/* ... from which score on */
	ErrorData  *error;			/* of the last step, NULL: success */
	ErrorData  *failure;		/* to be recorded */
	List	   *models;			/* names of models to be handled one after the other */
	const char *model;			/* ... and the current one */
	bool		unwatched;		/* the step has a timeout of its own */
	bool		busy;			/* another transaction has locked what the step needs */
	bool		stuck;			/* an expression, or a step, took too long */
	bool		slow;			/* a step was cancelled, as other models wait */
	bool		alone;			/* no other model waits for this process */
	bool		lane;			/* this process is for one slow model */
	bool		leaving;		/* no more steps */
	bool		reloaded;		/* settings have changed since the round began */
	TimestampTz began;			/* of the round, by leadscore.clock like the next two */
	TimestampTz next_due;		/* over all models */
	TimestampTz wake_due;		/* the same, without what was due when the round began */
	bool		hurry;			/* the next round follows immediately */
} Work;

typedef void (*Step) (Work *work);

/* slices of time for each model: what is due, what is pending, its days */
#define LS_SLICE_MS			250

/* start and end, also of a helper of the worker with a pid; in worker_step.c */
extern bool ls_worker_step_begin(Work *work, const LsWorkerOrder *given, pid_t of);
extern void ls_worker_step_begin_lane(const char *model);
extern bool ls_worker_step_look_around(Work *work);
extern void ls_worker_step_leave(Work *work, LsPhase phase, int64 wait);

/* steps, in worker_step.c */
extern bool ls_worker_step_run(Work *work, Step step);
extern bool ls_worker_step_lock_model(Work *work);
/* the process ends, as a function of an action did not stop after its timeout */
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

/* a lane, in worker.c */
extern void ls_worker_run_lane(Work *work, const char *model);

/* jobs, days and roles, in worker_tasks.c */
extern void ls_worker_job_run(Work *work);
extern bool ls_worker_job_write_days(Work *work);
extern void ls_worker_job_follow_roles(Work *work);
extern bool ls_worker_job_keep_top_scores(Work *work);
extern void ls_worker_job_steps(Work *work);

/* for all models together, in delivery.c and retention.c */
extern void ls_delivery_run(Work *work);
extern void ls_delivery_call_for(Work *work, const char *model);
extern void ls_retention_purge(Work *work);

#endif							/* LEADSCORE_WORKER_INTERNAL_H */
