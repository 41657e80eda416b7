/*-------------------------------------------------------------------------
 *
 * helper_process.c
 *		The main function of helpers of a worker: with a job, or for a slow model.
 *
 * helper_start.c, which starts them, describes both.
 *
 *-------------------------------------------------------------------------
 */
#include "background/worker_internal.h"

#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/lock.h"
#include "utils/memutils.h"

#include "background/helper_start.h"
#include "base/compat.h"
#include "definitions/job_table.h"
#include "definitions/lead_tables.h"

PGDLLEXPORT void ls_helper_main(Datum main_arg);

#define IDLE_MS			1000
#define LOOK_MS			20

static LsHelperOrder order;

/* find_model reads the model that the helper is for. */
static void
find_model(Work *work)
{
	LsModelRow *row = ls_lead_model(order.model, NULL);

	if (row == NULL || !row->enabled)
		return;
	work->task = MemoryContextAllocZero(work->round, sizeof(Task));
	work->task->model = order.model;
	work->task->contacts = row->contacts;
}

/* is_wanted tells whether settings leave room for this helper. */
static bool
is_wanted(void)
{
	return order.number < ls_job_workers && ls_job_rate == 0;
}

/* help_on works on the job for a while.  False: there is nothing left to help with. */
static bool
help_on(Work *work)
{
	MemoryContextReset(work->round);
	MemoryContextSwitchTo(work->round);
	work->task = NULL;
	if (!ls_worker_step_run(work, find_model) || work->task == NULL || !is_wanted())
		return false;
	ls_worker_step_report(work, "job");
	ls_worker_job_steps(work);
	/* advisory locks that a user's function has taken */
	LockReleaseAll(USER_LOCKMETHOD, true);
	pgstat_report_stat(true);
	return !work->leaving && work->next_step != LS_JOB_NONE;
}

/* ls_helper_main is the entry point of the process. */
void
ls_helper_main(Datum main_arg)
{
	static uint32 wait_event = 0;
	Work		work = {0};
	LsSlice		idle;

	memcpy(&order, MyBgworkerEntry->bgw_extra, sizeof(order));
	if (!ls_worker_step_begin(&work, &order.worker, order.pid))
		proc_exit(0);
	if (order.number == LS_HELPER_LANE)
	{
		ls_worker_step_begin_lane(order.model);
		ls_worker_run_lane(&work, order.model);
		pgstat_report_stat(true);
		proc_exit(0);
	}
	wait_event = ls_wait_event("LeadscoreJobWorker");
	ls_job_run_of(order.model)->helper = true;
	work.alone = true;
	idle = ls_slice_begin(IDLE_MS);
	while (help_on(&work))
	{
		if (work.next_step == LS_JOB_MORE)
		{
			idle = ls_slice_begin(IDLE_MS);
			continue;
		}
		if (ls_slice_over(&idle))
			break;
		pgstat_report_activity(STATE_IDLE, NULL);
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 LOOK_MS, wait_event);
		ResetLatch(MyLatch);
	}
	pgstat_report_stat(true);
	proc_exit(0);
}
