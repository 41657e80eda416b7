/*-------------------------------------------------------------------------
 *
 * worker_tasks.c
 *		What a worker does for a model besides passes over contacts: jobs, days, roles.
 *
 *-------------------------------------------------------------------------
 */
#include "background/worker_internal.h"

#include "miscadmin.h"
#include "storage/lmgr.h"
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

/* ---------- the highest scores ---------- */

/* How long after all rows were read they are not read again, and a look that read none */
#define READ_WAIT			(3600 * USECS_PER_SEC)
#define LOOK_WAIT			(60 * USECS_PER_SEC)
#define READ_SHARE			1000	/* reading takes this part of the time at most */

/* choose_top_scores looks whether enough rows of the model have a top_score. */
static void
choose_top_scores(Work *work)
{
	LsSlice		time = ls_slice_begin(0);
	LsModel    *model;
	bool		read;

	work->top_step = LS_TOP_NOTHING;
	if (!ls_worker_step_lock_model(work) || (model = ls_model_acquire_to_write(work->task->model)) == NULL)
		return;
	work->top_step = ls_top_scores_choose(model, LS_TOP_SCORES_WANTED, &work->top_from, &read);
	ls_model_release(model);
	work->task->progress->top_scores_at = GetCurrentTimestamp() +
		(read ? Max(READ_WAIT, ls_slice_elapsed(&time) * 1000 * READ_SHARE) : LOOK_WAIT);
}

/*
 * begin_top_scores has writers set it from a lower score on.  It waits for them no longer
 * than lock_timeout.
 */
static void
begin_top_scores(Work *work)
{
	Oid			table = ls_lead_score_table(work->task->model, true);

	if (!OidIsValid(table))
		return;
	LockRelationOid(table, ShareRowExclusiveLock);
	if (ls_lead_score_table(work->task->model, true) == table)
		ls_top_scores_begin(work->task->model, work->top_from);
}

/* complete_top_scores gives the rows theirs that were written before. */
static void
complete_top_scores(Work *work)
{
	LsModel    *model;

	work->returned = 0;
	if (!ls_worker_step_lock_model(work) || (model = ls_model_acquire_to_write(work->task->model)) == NULL)
		return;
	work->returned = ls_top_scores_complete(model);
	ls_model_release(model);
}

/*
 * ls_worker_job_keep_top_scores keeps enough rows with a top_score; false if a step
 * failed.  What writers were in the way of is tried again after a while.
 */
bool
ls_worker_job_keep_top_scores(Work *work)
{
	ModelProgress *progress = work->task->progress;
	TimestampTz now = GetCurrentTimestamp();
	bool		well;

	if (progress->top_scores_at > now && progress->top_scores_at < now + 48 * READ_WAIT)
		return true;
	well = ls_worker_step_run(work, choose_top_scores);
	if (well && work->top_step == LS_TOP_BEGIN)
		well = ls_worker_step_run(work, begin_top_scores);
	if (well && work->top_step != LS_TOP_NOTHING)
		well = ls_worker_step_run(work, complete_top_scores) && work->returned;
	if (!well)
		progress->top_scores_at = now + LOOK_WAIT;
	well = well || !ls_worker_step_failed(work);
	work->busy = false;
	return well;
}
