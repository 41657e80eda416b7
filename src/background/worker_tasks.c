/*-------------------------------------------------------------------------
 *
 * worker_tasks.c
 *		What a worker does for a model besides passes over contacts: jobs, days, roles.
 *
 *-------------------------------------------------------------------------
 */
#include "background/worker_internal.h"

#include "miscadmin.h"
#include "utils/guc.h"

#include "background/helper_start.h"
#include "base/clock.h"
#include "ddl/ddl.h"
#include "jobs/daily_snapshot.h"

#define JOB_MS				300 /* slice of time of a job */
#define JOB_WAIT_MS			50

/* job_step runs the next step of the model's job. */
static void
job_step(Work *work)
{
	work->next_step = LS_JOB_WAIT;
	work->returned = 0;
	if (ls_worker_step_lock_model(work))
		work->next_step = ls_job_run_step(work->task->model, work->job_run, 0, &work->returned);
}

/*
 * run_job_step runs a step of the job, which does not wait until its commit is on disk.
 * A chunk that a crash undoes is repeated, as its position is undone with it; steps
 * that are more than that ask for the wait (job_run.c).
 */
static bool
run_job_step(Work *work)
{
	bool		done;

	SetConfigOption("synchronous_commit", "off", PGC_SUSET, PGC_S_SESSION);
	done = ls_worker_step_run(work, job_step);
	SetConfigOption("synchronous_commit", "local", PGC_SUSET, PGC_S_SESSION);
	return done;
}

static void
job_failed(Work *work)
{
	ls_job_run_step_failed(work->task->model, work->job_run, work->failure->message);
}

/*
 * ls_worker_job_steps runs steps of the model's job for a slice of time, for the worker
 * or a helper.  A step that fails is recorded in the job, and is tried again later.
 */
void
ls_worker_job_steps(Work *work)
{
	LsSlice		slice = ls_slice_begin(JOB_MS);

	work->job_run = ls_job_run_of(work->task->model);
	do
	{
		int64		before = ls_slice_elapsed(&slice);

		if (!run_job_step(work))
		{
			/* what can be divided need not be left to a process of its own */
			if (work->slow && work->job_run->limit > work->job_run->floor)
				work->task->slow = false;
			work->job_run->limit = Max(work->job_run->floor,
									   work->job_run->limit / (work->slow ? 8 : 2));
			if (ls_worker_step_failed(work) && !work->slow)
			{
				ls_worker_step_record_error(work);
				work->failure = work->error;
				(void) ls_worker_step_run(work, job_failed);
			}
			work->next_step = LS_JOB_WAIT;
			work->busy = false;
			break;
		}
		if (work->next_step == LS_JOB_MORE)
			ls_job_run_pace(work->job_run, work->returned, ls_slice_elapsed(&slice) - before);
		if (!work->job_run->helper && !work->lane)
			ls_helpers_keep(work->task->model, work->job_run->ranges_due);
	} while (work->next_step == LS_JOB_MORE && !ls_slice_over(&slice));
}

/* ls_worker_job_run runs steps of the job, and records when the next is due. */
void
ls_worker_job_run(Work *work)
{
	ls_worker_job_steps(work);
	if (work->next_step != LS_JOB_NONE)
		work->wake_due = Min(work->wake_due, ls_clock() +
							 (work->next_step == LS_JOB_MORE ? 1 : JOB_WAIT_MS) * 1000);
}

/* ---------- days and roles ---------- */

/* write_day writes one of the model's midnights, if one has passed. */
static void
write_day(Work *work)
{
	work->returned = ls_worker_step_lock_model(work) && ls_daily_write(work->task->model, false);
}

/*
 * ls_worker_job_write_days writes the midnights that have passed, until the slice ends;
 * false if a step failed.
 */
bool
ls_worker_job_write_days(Work *work)
{
	work->slice = ls_slice_begin(LS_SLICE_MS);
	ls_worker_step_phase(work, LS_PHASE_DAYS);
	ls_worker_step_report(work, "days");
	while (ls_worker_step_run(work, write_day) && work->returned)
		if (ls_slice_over(&work->slice))
		{
			work->hurry = true;
			return true;
		}
	return !ls_worker_step_failed(work);
}

/* ls_worker_job_follow_roles disables or enables rules after roles changed. */
void
ls_worker_job_follow_roles(Work *work)
{
	if (ls_worker_step_lock_model(work))
		ls_sync_roles(work->task->model, true);
}
