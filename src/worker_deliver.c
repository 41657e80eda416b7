/*-------------------------------------------------------------------------
 *
 * worker_deliver.c
 *		The worker's part that is for all models together: what is to be told is
 *		told, and what is no longer to be kept is deleted.
 *
 *-------------------------------------------------------------------------
 */
#include "worker_internal.h"

#include "pgstat.h"
#include "utils/guc.h"

#include "leadscore.h"
#include "retention.h"
#include "worker.h"

#define PURGE_INTERVAL		(3600 * USECS_PER_SEC)
#define PURGE_ROWS			5000
#define JOB_RETENTION	90	/* days */

/* look_for_deliveries: in work->returned, whether anything waits. */
static void
look_for_deliveries(Work *work)
{
	work->returned = ls_action_waiting();
}

static void
send_notifications(Work *work)
{
	work->returned = ls_action_notify(ls_batch_size);
}

static void
claim_call(Work *work)
{
	MemoryContext old = MemoryContextSwitchTo(work->round);

	work->returned = ls_action_claim(&work->delivery);
	MemoryContextSwitchTo(old);
}

/* make_call calls a function of somebody's, which may wait as it likes. */
static void
make_call(Work *work)
{
	(void) set_config_option("lock_timeout", "0", PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_LOCAL, true, 0, false);
	ls_action_call(&work->delivery);
}

static void
write_failed_call(Work *work)
{
	ls_action_failed(&work->delivery, work->failure->message);
}

/*
 * ls_worker_deliver sends what has happened to whoever is told of it by the worker.
 * Scores come first: what is not sent within naptime waits for the next round.
 */
void
ls_worker_deliver(Work *work)
{
	LsSlice		slice;

	if (!ls_worker_attempt(work, look_for_deliveries) || !work->returned)
		return;
	slice = ls_slice_begin(ls_naptime);
	ls_worker_phase(work, LS_PHASE_DELIVERING);
	ls_worker_report(work, "telling what happened");
	while (ls_worker_attempt(work, send_notifications) && work->returned >= ls_batch_size)
		;
	ls_worker_note_error(work);
	while (ls_worker_attempt(work, claim_call) && work->returned)
	{
		if (!ls_worker_attempt(work, make_call) && work->error)
		{
			work->failure = work->error;
			(void) ls_worker_attempt(work, write_failed_call);
		}
		if (ls_slice_over(&slice))
		{
			work->hurry = true;
			break;
		}
	}
	ls_worker_note_error(work);
}

static void
purge_history(Work *work)
{
	work->returned = ls_purge_history(ls_history_retention, PURGE_ROWS);
}

static void
purge_outbox(Work *work)
{
	work->returned = ls_action_purge(ls_outbox_retention, PURGE_ROWS);
}

static void
purge_jobs(Work *work)
{
	work->returned = ls_purge_jobs(JOB_RETENTION, PURGE_ROWS);
}

/* purge deletes rows of one kind, where they are not kept for ever. */
static void
purge(Work *work, int days, Step step)
{
	if (days >= 0)
		while (ls_worker_attempt(work, step) && work->returned >= PURGE_ROWS)
			;
	ls_worker_note_error(work);
}

/* ls_worker_purge deletes what is older than it is to be kept, now and then. */
void
ls_worker_purge(Work *work)
{
	TimestampTz now = GetCurrentTimestamp();

	if (now >= ls_worker_slot->purged_at && now - ls_worker_slot->purged_at < PURGE_INTERVAL)
		return;
	ls_worker_phase(work, LS_PHASE_PURGING);
	ls_worker_report(work, "deleting what is no longer to be kept");
	purge(work, ls_history_retention, purge_history);
	purge(work, ls_outbox_retention, purge_outbox);
	purge(work, JOB_RETENTION, purge_jobs);
	LWLockAcquire(&ls_board->lock, LW_EXCLUSIVE);
	ls_worker_slot->purged_at = now;
	LWLockRelease(&ls_board->lock);
}
