/*-------------------------------------------------------------------------
 *
 * worker.c
 *		The worker of a database: rounds, naps, and lanes.
 *
 * A worker lives for about a minute, so that no memory can grow and every setting of
 * the database takes effect.  In each round it lists the models, and for each of them
 * writes what is due, batch by batch, and the days that have ended; then it delivers
 * and deletes expired rows.  Then it naps until something is due, at most for naptime.
 *
 * Everything is done in steps, each a transaction of its own: it locks the extension,
 * checks that it exists and has the right version, then works as the extension's owner.
 * Between steps, and in naps, the worker checks whether it is to leave (launcher.c
 * lists the reasons).
 *
 * A worker must never be part of a deadlock, as it holds the lock on the extension.  So
 * it does not wait: it locks what it needs of a model only if the locks are free, it
 * skips contacts that another session has locked, and lock_timeout ends any other wait
 * before deadlock_timeout.  A model whose locks are not free is left to the next round.
 *
 * A step that fails is rolled back.  A model's pass is tried once more at once, one
 * contact at a time, so that a contact that fails is recorded and postponed and the
 * others continue (contact_pass.c); if it fails all the same, the model is recorded in
 * lead_worker_error and skipped until retry_at.
 *
 *-------------------------------------------------------------------------
 */
#include "background/worker_internal.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/lock.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "background/helper_start.h"
#include "background/settings.h"
#include "base/advisory_lock.h"
#include "base/clock.h"
#include "base/compat.h"

PGDLLEXPORT void ls_worker_main(Datum main_arg);

#define LIFETIME_MS			60000
#define LOOK_MS				250 /* how often a nap is interrupted for checks */
#define LANE_MS				5000	/* before other slow models have their turn */

/* ---------- rounds and naps ---------- */

/* show_next_due shows the next due instant, and that the round is over. */
static void
show_next_due(Work *work)
{
	LWLockAcquire(&ls_shared_state->lock, LW_EXCLUSIVE);
	ls_shared_slot->next_due = work->next_due;
	ls_shared_slot->last_pass_at = GetCurrentTimestamp();
	ls_shared_slot->round_began = 0;
	LWLockRelease(&ls_shared_state->lock);
}

/*
 * restore_locks releases the advisory locks that a user's function has left behind, and
 * takes the worker's own again: such a function can release it.
 */
static void
restore_locks(Work *work)
{
	LockReleaseAll(USER_LOCKMETHOD, true);
	if (!ls_advisory_take(LS_LOCK_WORKER, MyDatabaseId))
		ls_worker_step_leave(work, LS_PHASE_WAITING, USECS_PER_SEC);
}

/*
 * begin_round resets the state of the last round, and lists the models; false: that
 * failed.
 */
static bool
begin_round(Work *work)
{
	MemoryContextReset(work->round);
	MemoryContextSwitchTo(work->round);
	work->task = NULL;
	work->began = ls_clock();
	work->next_due = DT_NOEND;
	work->wake_due = DT_NOEND;
	work->hurry = false;
	if (work->reloaded)
		ls_shared_slot->purged_at = 0;
	work->reloaded = false;

	ls_worker_step_phase(work, LS_PHASE_LOOKING);
	ls_worker_step_report(work, "looking for models");
	if (ls_worker_model_read_tasks(work))
		return true;
	ls_worker_step_record_error(work);
	if (ls_worker_step_failed(work))
		ls_worker_step_leave(work, LS_PHASE_FAILED, 0);
	return false;
}

/*
 * has_lane tells whether a slow model is left to a process of its own, running or
 * waiting for its turn.  Where none is available, the worker handles the model, and
 * others wait.
 */
static bool
has_lane(Work *work, Task *task)
{
	work->alone = false;
	if (ls_shared_slot_count_slow(task->model) == 0)
		return false;
	work->alone = !ls_helpers_lane(task->model);
	return !work->alone;
}

/* run_models gives each model its slices of time. */
static void
run_models(Work *work)
{
	ListCell   *lc;

	foreach(lc, work->tasks)
	{
		Task	   *task = lfirst(lc);

		if (work->leaving)
			break;
		if (ls_worker_model_left_alone(task) || has_lane(work, task))
			ls_worker_model_look_only(work, task);
		else
			ls_worker_model_run(work, task);
		/* the cancelled step starts again in a process of its own */
		if (task->slow)
			(void) has_lane(work, task);
	}
	work->alone = false;
}

/*
 * run_round runs one round.  False: there is nothing left to do, or the worker is to
 * leave.
 */
static bool
run_round(Work *work)
{
	LWLockAcquire(&ls_shared_state->lock, LW_EXCLUSIVE);
	ls_shared_slot->round_began = GetCurrentTimestamp();
	LWLockRelease(&ls_shared_state->lock);
	if (!begin_round(work))
		return !work->leaving;

	/* a worker of start_worker() is not woken up for new models */
	if (work->tasks == NIL && !work->incomplete && !work->suspended &&
		ls_shared_order.shared_state == DSM_HANDLE_INVALID)
	{
		ls_worker_step_leave(work, LS_PHASE_ABSENT, 0);
		return false;
	}
	if (ls_shared_slot->offender[0] != '\0')
		ls_worker_model_record_offender(work);
	run_models(work);
	if (!work->incomplete)
	{
		ls_delivery_run(work);
		ls_retention_purge(work);
	}
	restore_locks(work);
	show_next_due(work);
	pgstat_report_stat(true);
	return !work->leaving;
}

/* nap_ms gives the time until something is due, in milliseconds. */
static int64
nap_ms(const Work *work)
{
	TimestampTz now = ls_clock();

	if (work->hurry || work->wake_due <= now)
		return 0;
	if (work->wake_due == DT_NOEND || work->wake_due - now >= (int64) ls_setting_naptime * 1000)
		return ls_setting_naptime;
	return (work->wake_due - now) / 1000 + 1;
}

/*
 * nap_until_look waits until the next check, at most so many milliseconds, and has the
 * worker leave where stored settings have changed.
 */
static void
nap_until_look(Work *work, int64 left)
{
	static uint32 wait_event = 0;

	if (wait_event == 0)
		wait_event = ls_wait_event("LeadscoreWorker");
	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
					 Min(left, LOOK_MS), wait_event);
	ResetLatch(MyLatch);
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	if (ls_settings_changed())
		ls_worker_step_leave(work, LS_PHASE_WAITING, 0);
	CommitTransactionCommand();
}

/*
 * has_to_go tells whether a worker, whose lifetime is given, is to make room for
 * another.
 */
static bool
has_to_go(const LsSlice *life)
{
	return life && (ls_shared_state->leave_wanted || ls_slice_over(life));
}

/*
 * nap waits until there is something to do, with checks in between.  False: the worker
 * is to leave, and the launcher waits for the rest of the nap.  life is NULL for a
 * lane, which only time wakes up.
 */
static bool
nap(Work *work, const LsSlice *life)
{
	LsSlice		nap = ls_slice_begin(nap_ms(work));
	int64		left;

	work->task = NULL;
	ls_worker_step_phase(work, LS_PHASE_NAPPING);
	pgstat_report_activity(STATE_IDLE, NULL);
	while (ls_worker_step_look_around(work) && !work->reloaded && !(life && ls_shared_slot->woken) &&
		   (left = nap.ms - ls_slice_elapsed(&nap)) > 0 && !has_to_go(life))
		nap_until_look(work, left);
	if (!work->leaving && has_to_go(life))
	{
		/* without a worker no process checks whether settings have changed */
		left = Min(Max(0, nap.ms - ls_slice_elapsed(&nap)), LIFETIME_MS);
		ls_worker_step_leave(work, LS_PHASE_WAITING, ls_shared_state->leave_wanted &&
							 !work->reloaded && !ls_shared_slot->woken ? left * 1000 : 0);
	}
	if (life && ls_shared_slot->woken)
	{
		LWLockAcquire(&ls_shared_state->lock, LW_EXCLUSIVE);
		ls_shared_slot->woken = false;
		LWLockRelease(&ls_shared_state->lock);
	}
	return !work->leaving;
}

/* ---------- a process for one slow model ---------- */

/*
 * is_done tells whether a lane has nothing left to do, or is to let other slow models
 * have their turn: it is started again at its next turn.
 */
static bool
is_done(Work *work, const char *model, const LsSlice *turn)
{
	return ls_shared_slot_count_slow(model) == 0 ||
		(ls_slice_over(turn) && ls_shared_slot_count_slow(NULL) > LS_MAX_LANES);
}

/* run_alone handles one model, if it exists and is not postponed by an error. */
static bool
run_alone(Work *work, const char *model)
{
	ListCell   *lc;

	if (!begin_round(work))
		return false;
	foreach(lc, work->tasks)
	{
		Task	   *task = lfirst(lc);

		if (strcmp(task->model, model) != 0)
			continue;
		if (ls_worker_model_left_alone(task))
			return false;
		ls_worker_model_run(work, task);
		ls_delivery_call_for(work, model);
		/* advisory locks that a user's function has taken */
		LockReleaseAll(USER_LOCKMETHOD, true);
		pgstat_report_stat(true);
		return true;
	}
	return false;
}

/*
 * ls_worker_run_lane is the main loop of a lane: it handles one model as a worker does,
 * with more time, for as long as the model is slow.
 */
void
ls_worker_run_lane(Work *work, const char *model)
{
	LsSlice		turn = ls_slice_begin(LANE_MS);

	work->lane = work->alone = true;
	while (run_alone(work, model) && !is_done(work, model, &turn) && nap(work, NULL))
		;
}

/* ---------- the process ---------- */

/* ls_worker_main is the entry point of the process. */
void
ls_worker_main(Datum main_arg)
{
	LsWorkerOrder order;
	Work		work = {0};
	LsSlice		life;

	memcpy(&order, MyBgworkerEntry->bgw_extra, sizeof(order));
	if (!ls_worker_step_begin(&work, &order, 0))
		proc_exit(0);

	/* a worker of a former launcher may not have left yet */
	if (!ls_advisory_take(LS_LOCK_WORKER, MyDatabaseId))
	{
		ls_worker_step_leave(&work, LS_PHASE_WAITING, USECS_PER_SEC);
		proc_exit(0);
	}

	life = ls_slice_begin(LIFETIME_MS);
	while (run_round(&work) && nap(&work, &life))
		;
	pgstat_report_stat(true);
	proc_exit(0);
}
