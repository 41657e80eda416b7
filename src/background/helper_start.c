/*-------------------------------------------------------------------------
 *
 * helper_start.c
 *		Starts processes that help a worker: with a job, or with a slow model.
 *
 * There are two kinds.  A lane (worker.c) does for one model everything that a worker
 * does, after a step of the model took so long that other models would have had to
 * wait: the worker leaves the model to it.  The other kind helps with a job.
 *
 * Where a job is divided into ranges (job_table.c), the worker starts helpers, dynamic
 * background workers that take ranges as it does, and nothing else: only the worker
 * moves the job from phase to phase.  A helper's transactions are like a worker's: the
 * same locks, none of which it waits for, and the same settings (worker.c).  So it ends
 * where a worker would: the extension is locked or dropped, a session wants the
 * database, leadscore.enabled is off, the launcher has ended; and when its worker has
 * ended, which after a minute is followed by another that starts helpers of its own.
 * It also ends when it has found no range for a second.
 *
 * What may happen besides:
 *
 * A helper is killed -9: the server restarts.  Its chunk is rolled back.
 * SIGTERM, or an error that ends it: its chunk is rolled back, the range is free,
 *		the worker starts another after a second.
 * The worker ends by an error or SIGTERM: it terminates its helpers.
 * The database is wanted: each helper checks between chunks; the worker, when it
 *		sees that, terminates its helpers, as one may be in a long chunk.
 * No background worker is available: logged once; the job continues without it.
 * job_workers is lowered, job_rate set: helpers with too high a number leave.
 *
 *-------------------------------------------------------------------------
 */
#include "background/helper_start.h"

#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "storage/ipc.h"
#include "utils/memutils.h"

#include "background/launcher.h"
#include "background/shared_state.h"
#include "base/compat.h"
#include "definitions/job_table.h"

#define SHORT_LIFE		USECS_PER_SEC	/* a helper that ends earlier is not restarted at once */

/* what a worker knows of a helper */
typedef struct Helper
{
	BackgroundWorkerHandle *handle;
	int			number;
	char		model[NAMEDATALEN];
	TimestampTz started_at;
} Helper;

static List *helpers = NIL;		/* of Helper *, in TopMemoryContext */
static TimestampTz not_before = 0;	/* when the next may be started */
static TimestampTz lane_not_before = 0;

/* ls_helpers_terminate terminates all helpers. */
void
ls_helpers_terminate(void)
{
	ListCell   *lc;

	foreach(lc, helpers)
		TerminateBackgroundWorker(((Helper *) lfirst(lc))->handle);
}

/* at_exit terminates the helpers where the worker ends with an error. */
static void
at_exit(int code, Datum arg)
{
	if (code != 0)
		ls_helpers_terminate();
}

/*
 * forget_ended forgets helpers that have ended, and delays the next where one ended at
 * once.
 */
static void
forget_ended(void)
{
	TimestampTz now = GetCurrentTimestamp();
	ListCell   *lc;
	pid_t		pid;

	foreach(lc, helpers)
	{
		Helper	   *helper = lfirst(lc);

		if (GetBackgroundWorkerPid(helper->handle, &pid) != BGWH_STOPPED)
			continue;
		if (now - helper->started_at < SHORT_LIFE && helper->number == LS_HELPER_LANE)
			lane_not_before = now + SHORT_LIFE;
		else if (now - helper->started_at < SHORT_LIFE)
			not_before = now + SHORT_LIFE;
		pfree(helper->handle);
		pfree(helper);
		helpers = foreach_delete_current(helpers, lc);
	}
}

static bool
is_there(const char *model, int number)
{
	ListCell   *lc;

	foreach(lc, helpers)
	{
		Helper	   *helper = lfirst(lc);

		if (helper->number == number && strcmp(helper->model, model) == 0)
			return true;
	}
	return false;
}

/* tell_missing logs, once, that there is no process for a helper. */
static void
tell_missing(bool missing)
{
	if (missing && !ls_shared_slot->helper_missed)
		ereport(LOG,
				(errcode(ERRCODE_INSUFFICIENT_RESOURCES),
				 errmsg("could not start as many processes for a job as leadscore.job_workers allows"),
				 errhint("You might need to increase max_worker_processes.")));
	ls_shared_slot->helper_missed = missing;
}

/* start starts one helper; false if there is no process for it. */
static bool
start(const char *model, int number)
{
	static bool first = true;
	MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);
	BackgroundWorker worker;
	LsHelperOrder given = {0};
	Helper	   *helper = palloc0(sizeof(Helper));
	bool		started;

	given.worker = ls_shared_order;
	given.pid = MyProcPid;
	given.number = helper->number = number;
	strlcpy(given.model, model, NAMEDATALEN);
	strlcpy(helper->model, model, NAMEDATALEN);
	helper->started_at = GetCurrentTimestamp();
	ls_launcher_describe(&worker, number == LS_HELPER_LANE ? "model worker" : "job worker",
						 "ls_helper_main", &given, sizeof(given));
	snprintf(worker.bgw_name, BGW_MAXLEN, "%s for database %u", worker.bgw_type, MyDatabaseId);
	worker.bgw_flags |= BGWORKER_INTERRUPTIBLE;
	worker.bgw_restart_time = BGW_NEVER_RESTART;
	if (first)
		before_shmem_exit(at_exit, (Datum) 0);
	first = false;
	started = RegisterDynamicBackgroundWorker(&worker, &helper->handle);
	if (started)
		helpers = lappend(helpers, helper);
	else
		pfree(helper);
	MemoryContextSwitchTo(old);
	tell_missing(!started);
	return started;
}

/*
 * ls_helpers_keep makes sure that there are as many helpers for a model's job as there
 * are ranges, less the one that the worker takes.
 */
void
ls_helpers_keep(const char *model, int64 ranges)
{
	TimestampTz now = GetCurrentTimestamp();

	forget_ended();
	if (ls_job_rate > 0 || not_before > now)
		return;
	for (int number = 1; number < Min(ls_job_workers, ranges); number++)
	{
		if (is_there(model, number) || start(model, number))
			continue;
		not_before = now + SHORT_LIFE;
		break;
	}
}

/*
 * ls_helpers_lane makes sure that there is a process for a slow model, or that there
 * will be one when a lane of another model ends.  False: no process is available.
 */
bool
ls_helpers_lane(const char *model)
{
	int			lanes = 0;
	ListCell   *lc;

	forget_ended();
	if (is_there(model, LS_HELPER_LANE))
		return true;
	foreach(lc, helpers)
		lanes += ((Helper *) lfirst(lc))->number == LS_HELPER_LANE;
	if (lanes >= LS_MAX_LANES || lane_not_before > GetCurrentTimestamp())
		return true;
	return start(model, LS_HELPER_LANE);
}
