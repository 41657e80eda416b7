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
#include "portability/instr_time.h"
#include "utils/guc.h"

#include "catalog.h"
#include "leadscore.h"
#include "retention.h"
#include "worker.h"

#define PURGE_INTERVAL		(3600 * USECS_PER_SEC)
#define PURGE_ROWS			5000
#define JOB_RETENTION	90	/* days */

/* look_for_deliveries finds the models of which something waits. */
static void
look_for_deliveries(Work *work)
{
	MemoryContext old = MemoryContextSwitchTo(work->round);

	work->models = ls_action_waiting();
	MemoryContextSwitchTo(old);
}

static void
send_notifications(Work *work)
{
	work->returned = ls_action_notify(work->model, ls_batch_size);
}

static void
claim_call(Work *work)
{
	MemoryContext old = MemoryContextSwitchTo(work->round);

	work->returned = ls_action_claim(work->model, &work->delivery);
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

/* notify_all sends all that waits to be sent, of one model after the other. */
static void
notify_all(Work *work)
{
	ListCell   *lc;

	foreach(lc, work->models)
	{
		work->model = lfirst(lc);
		while (ls_worker_attempt(work, send_notifications) && work->returned >= ls_batch_size)
			;
		ls_worker_note_error(work);
	}
}

/* call_one makes the next call of a model.  False: it has none, or cannot have it made. */
static bool
call_one(Work *work)
{
	if (!ls_worker_attempt(work, claim_call) || !work->returned)
	{
		ls_worker_note_error(work);
		return false;
	}
	if (!ls_worker_attempt(work, make_call) && work->error)
	{
		work->failure = work->error;
		(void) ls_worker_attempt(work, write_failed_call);
	}
	return true;
}

/*
 * ls_worker_deliver sends what has happened to whoever is told of it by the worker.
 * Scores come first: what is not sent within naptime waits for the next round.  Models
 * take their turns, so that the calls of one do not keep others from theirs.
 */
void
ls_worker_deliver(Work *work)
{
	static char last[NAMEDATALEN];	/* model that was served last */
	instr_time	start;
	bool		any = true;

	if (!ls_worker_attempt(work, look_for_deliveries) || work->models == NIL)
		return;
	INSTR_TIME_SET_CURRENT(start);
	ls_slot_phase(ls_worker_slot, LS_PHASE_DELIVERING, NULL);
	ls_worker_report(work, "telling what happened");
	notify_all(work);
	for (int i = 0; work->models != NIL && strcmp(llast(work->models), last) != 0 &&
		 i < list_length(work->models); i++)
	{
		work->models = lappend(work->models, linitial(work->models));
		work->models = list_delete_first(work->models);
	}
	while (any && !work->hurry)
	{
		ListCell   *lc;

		any = false;
		foreach(lc, work->models)
		{
			work->model = lfirst(lc);
			if (!call_one(work))
				continue;
			any = true;
			strlcpy(last, work->model, sizeof(last));
			if (ls_worker_elapsed_ms(&start) > ls_naptime)
			{
				work->hurry = true;
				break;
			}
		}
	}
}

/* ---------- what is no longer to be kept ---------- */

static void
look_for_models(Work *work)
{
	MemoryContext old = MemoryContextSwitchTo(work->round);
	ListCell   *lc;

	work->models = NIL;
	foreach(lc, ls_model_rows(NULL))
		work->models = lappend(work->models, ((LsModelRow *) lfirst(lc))->model);
	MemoryContextSwitchTo(old);
}

static void
purge_history(Work *work)
{
	work->returned = ls_purge_history(work->model, ls_history_retention, PURGE_ROWS);
}

static void
purge_outbox(Work *work)
{
	work->returned = ls_action_purge(work->model, ls_outbox_retention, PURGE_ROWS);
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
	ListCell   *lc;

	if (now >= ls_worker_slot->purged_at && now - ls_worker_slot->purged_at < PURGE_INTERVAL)
		return;
	ls_slot_phase(ls_worker_slot, LS_PHASE_PURGING, NULL);
	ls_worker_report(work, "deleting what is no longer to be kept");
	if (ls_worker_attempt(work, look_for_models))
		foreach(lc, work->models)
		{
			work->model = lfirst(lc);
			purge(work, ls_history_retention, purge_history);
			purge(work, ls_outbox_retention, purge_outbox);
		}
	purge(work, JOB_RETENTION, purge_jobs);
	LWLockAcquire(&ls_board->lock, LW_EXCLUSIVE);
	ls_worker_slot->purged_at = now;
	LWLockRelease(&ls_board->lock);
}
