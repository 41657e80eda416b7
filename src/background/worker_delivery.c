/*-------------------------------------------------------------------------
 *
 * worker_delivery.c
 *		The worker delivers what its models' actions ask for: notifications, calls.
 *
 *-------------------------------------------------------------------------
 */
#include "background/worker_internal.h"

#include "pgstat.h"
#include "utils/guc.h"

#include "background/helpers.h"
#include "background/settings.h"

#define SLOW_CALL_MS	1000	/* a model that calls for longer does not keep others waiting again */

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

/* make_call calls a user's function, which may wait as it likes. */
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

/* note_failure has a model left alone for a while where the last step failed. */
static void
note_failure(Work *work)
{
	ls_worker_note_error(work);
	if (ls_worker_failed(work))
		ls_worker_told(work->model, false);
}

/* notify_all sends all that waits to be sent, of one model after the other. */
static void
notify_all(Work *work)
{
	ListCell   *lc;

	foreach(lc, work->models)
	{
		work->model = lfirst(lc);
		if (ls_worker_telling_waits(work->model))
			continue;
		while (ls_worker_attempt(work, send_notifications) && work->returned >= ls_batch_size)
			;
		note_failure(work);
	}
}

/*
 * call_one makes the next call of a model.  False: it has none, or cannot have it made.
 * A call is not watched as other steps are: it has a limit of its own.
 */
static bool
call_one(Work *work)
{
	LsSlice		time;

	if (ls_worker_telling_waits(work->model))
		return false;
	if (!ls_worker_attempt(work, claim_call))
	{
		note_failure(work);
		return false;
	}
	if (!work->returned)
	{
		ls_worker_told(work->model, true);
		return false;
	}
	time = ls_slice_begin(SLOW_CALL_MS);
	ls_worker_phase(work, LS_PHASE_DELIVERING);
	work->unwatched = true;
	if (!ls_worker_attempt(work, make_call) && work->error)
	{
		work->unwatched = false;
		work->failure = work->error;
		(void) ls_worker_attempt(work, write_failed_call);
	}
	work->unwatched = false;
	note_failure(work);
	if (!ls_worker_failed(work))
		ls_worker_told(work->model, true);
	if (ls_slice_over(&time))
		ls_worker_leave_to_lane(work->model);
	return true;
}

/* show_waiting has it count as late that calls were waiting when the round began. */
static void
show_waiting(Work *work)
{
	work->next_due = Min(work->next_due, work->began);
}

/* is_elsewhere tells whether the calls of a model are left to a process of its own. */
static bool
is_elsewhere(Work *work, const char *model)
{
	if (ls_worker_slot_count_slow(ls_worker_slot, model) == 0 || !ls_helpers_lane(model))
		return false;
	show_waiting(work);
	return true;
}

/* call_all makes calls, of the models in turn, for as long as naptime. */
static void
call_all(Work *work)
{
	static char last[NAMEDATALEN];	/* model that was served last */
	LsSlice		slice = ls_slice_begin(ls_naptime);
	bool		any = true;

	for (int i = 0; work->models != NIL && strcmp(llast(work->models), last) != 0 &&
		 i < list_length(work->models); i++)
	{
		work->models = lappend(work->models, linitial(work->models));
		work->models = list_delete_first(work->models);
	}
	while (any)
	{
		ListCell   *lc;

		any = false;
		foreach(lc, work->models)
		{
			work->model = lfirst(lc);
			if (is_elsewhere(work, work->model) || !call_one(work))
				continue;
			any = true;
			strlcpy(last, work->model, sizeof(last));
			if (!ls_slice_over(&slice))
				continue;
			work->hurry = true;
			show_waiting(work);
			return;
		}
	}
}

/*
 * ls_worker_deliver sends what has happened where the worker is to deliver it.
 * Scores come first: what is not sent within naptime waits for the next round.  Models
 * take their turns, so that the calls of one do not keep others from theirs; one whose
 * calls take long has them made by a process of its own.
 */
void
ls_worker_deliver(Work *work)
{
	if (!ls_worker_attempt(work, look_for_deliveries) || work->models == NIL)
		return;
	ls_worker_phase(work, LS_PHASE_DELIVERING);
	ls_worker_report(work, "telling what happened");
	notify_all(work);
	call_all(work);
	work->model = NULL;
}

/* ls_worker_call_alone makes the calls of one model, in the process that it has. */
void
ls_worker_call_alone(Work *work, const char *model)
{
	LsSlice		slice = ls_slice_begin(ls_naptime);

	work->model = model;
	while (!work->leaving && call_one(work))
		if (ls_slice_over(&slice))
		{
			work->hurry = true;
			break;
		}
	work->model = NULL;
}
