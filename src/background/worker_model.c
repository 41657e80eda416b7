/*-------------------------------------------------------------------------
 *
 * worker_model.c
 *		What a worker does for one model, one slice of time after the other.
 *
 * No model has a worker to itself.  In each round it has a slice for what is due, one
 * for what is pending, one for its days, and one for its job (worker_tasks.c); the rest
 * is left to the next round, which follows immediately.  Models that needed the least
 * time recently come first.  A batch ends where the slice does, so that only what
 * cannot be divided (one contact, one day) takes longer.
 *
 *-------------------------------------------------------------------------
 */
#include "background/worker_internal.h"

#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/memutils.h"

#include "background/settings.h"
#include "base/clock.h"
#include "definitions/daily_tables.h"
#include "definitions/lead_tables.h"
#include "definitions/restore_state.h"
#include "model/model.h"
#include "tables/worker_error.h"

#define COUNT_LIMIT			1000000
#define FORGOTTEN			(60 * USECS_PER_SEC)
#define RETRY_LIMIT			(1200 * USECS_PER_SEC)	/* a retry_at beyond that is wrong */

/* ---------- the models of a round ---------- */

/* progress_of gives what is remembered of a model between rounds. */
static ModelProgress *
progress_of(const char *model)
{
	static List *all = NIL;
	MemoryContext old;
	ModelProgress *progress;
	ListCell   *lc;

	foreach(lc, all)
		if (strcmp(((ModelProgress *) lfirst(lc))->model, model) == 0)
			return lfirst(lc);
	old = MemoryContextSwitchTo(TopMemoryContext);
	progress = palloc0(sizeof(ModelProgress));
	strlcpy(progress->model, model, sizeof(progress->model));
	for (int i = 0; i < LS_PASS_KINDS; i++)
		progress->context[i] = AllocSetContextCreate(TopMemoryContext, "leadscore worker's pass",
													 ALLOCSET_SMALL_SIZES);
	progress->next_due = DT_NOEND;
	all = lappend(all, progress);
	MemoryContextSwitchTo(old);
	return progress;
}

static int
by_time_spent(const ListCell *a, const ListCell *b)
{
	const ModelProgress *x = ((const Task *) lfirst(a))->progress;
	const ModelProgress *y = ((const Task *) lfirst(b))->progress;

	return (x->spent > y->spent) - (x->spent < y->spent);
}

/* read_tasks lists the models that are complete and enabled. */
static void
read_tasks(Work *work)
{
	MemoryContext old = MemoryContextSwitchTo(work->round);
	List	   *errors = ls_worker_errors();
	ListCell   *lc;

	work->tasks = NIL;
	work->incomplete = false;
	work->suspended = false;
	foreach(lc, ls_lead_models(NULL))
	{
		LsModelRow *row = lfirst(lc);
		bool		complete = ls_restore_complete(row);
		Task	   *task;
		ListCell   *le;

		work->incomplete |= !complete;
		work->suspended |= row->unreadable != NULL;
		if (complete)
			ls_model_settle(row);
		if (!row->enabled || !complete)
			continue;
		(void) ls_restore_under_way(row);
		task = palloc0(sizeof(Task));
		task->model = row->model;
		task->contacts = row->contacts;
		task->progress = progress_of(row->model);
		foreach(le, errors)
		{
			LsWorkerError *error = lfirst(le);

			if (strcmp(error->model, row->model) != 0)
				continue;
			task->retry_at = error->retry_at;
			task->contact_retry_at = error->contact_retry_at;
		}
		work->tasks = lappend(work->tasks, task);
	}
	MemoryContextSwitchTo(old);
}

/*
 * ls_worker_model_read_tasks lists these models, those first that needed the least time
 * recently; false if that failed.
 */
bool
ls_worker_model_read_tasks(Work *work)
{
	ListCell   *lc;

	if (!ls_worker_step_run(work, read_tasks))
		return false;
	foreach(lc, work->tasks)
		((Task *) lfirst(lc))->progress->spent /= 2;
	list_sort(work->tasks, by_time_spent);
	return true;
}

/* ls_worker_model_left_alone tells whether a model is postponed after a failure. */
bool
ls_worker_model_left_alone(const Task *task)
{
	TimestampTz now = GetCurrentTimestamp();

	return task->retry_at > now && task->retry_at < now + RETRY_LIMIT;
}

/* ---------- one model ---------- */

/* forget_pass ends a pass. */
static void
forget_pass(ModelProgress *progress, LsPassKind kind)
{
	progress->pass[kind] = NULL;
	if (kind == LS_PASS_DUE)
		progress->total = 0;
	MemoryContextReset(progress->context[kind]);
}

/* run_batch handles the next contacts of a pass. */
static void
run_batch(Work *work)
{
	ModelProgress *progress = work->task->progress;
	LsPassKind	kind = work->pass;

	if (!ls_worker_step_lock_model(work))
		return;
	if (progress->pass[kind] == NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(progress->context[kind]);

		progress->pass[kind] = ls_contact_pass_begin(kind, progress->model);
		MemoryContextSwitchTo(old);
	}
	progress->pass[kind]->one_by_one = work->one_by_one;
	progress->pass[kind]->slice = work->slice;
	work->returned = ls_contact_pass_batch(progress->pass[kind], ls_setting_batch_size, true);
	if (kind == LS_PASS_DUE && progress->total == 0 && work->returned >= ls_setting_batch_size)
		progress->total = progress->pass[kind]->done + ls_contact_pass_count(progress->model, COUNT_LIMIT);
}

/* show_due shows the progress of the pass over what is due. */
static void
show_due(Work *work)
{
	ModelProgress *progress = work->task->progress;
	int64		done = progress->pass[LS_PASS_DUE]->done;

	if (!work->lane)
		ls_shared_slot_progress(done, Max(progress->total, done));
	ls_worker_step_report(work, progress->total > 0 ?
						  psprintf(INT64_FORMAT " of " INT64_FORMAT " due", done, Max(progress->total, done)) :
						  psprintf(INT64_FORMAT " due", done));
}

/*
 * run_batches runs a pass to its end, or to the end of its slice; false if a step
 * failed.
 */
static bool
run_batches(Work *work, LsPassKind kind, bool one_by_one)
{
	LsPass	  **pass = &work->task->progress->pass[kind];
	int64		done = *pass ? (*pass)->done : 0;
	int64		transitions = *pass ? (*pass)->transitions : 0;

	work->pass = kind;
	work->one_by_one = one_by_one;
	work->slice = ls_slice_begin(LS_SLICE_MS);
	ls_worker_step_report(work, kind == LS_PASS_DUE ? "looking for what is due" : "merging what is pending");
	while (ls_worker_step_run(work, run_batch))
	{
		ls_shared_slot_count(kind == LS_PASS_DUE ? (*pass)->done - done : 0,
							 (*pass)->transitions - transitions);
		done = (*pass)->done;
		transitions = (*pass)->transitions;
		if (work->returned == 0)
		{
			forget_pass(work->task->progress, kind);
			return true;
		}
		if (kind == LS_PASS_DUE)
			show_due(work);
		if (ls_slice_over(&work->slice))
		{
			work->hurry = true;
			return true;
		}
	}
	forget_pass(work->task->progress, kind);
	return !ls_worker_step_failed(work);
}

/*
 * run_pass runs a pass, and where a step failed once more, contact by contact; false if
 * that failed as well.
 */
static bool
run_pass(Work *work, LsPassKind kind, bool one_by_one)
{
	if (run_batches(work, kind, one_by_one))
		return true;
	return !one_by_one && work->error->sqlerrcode != ERRCODE_QUERY_CANCELED &&
		run_batches(work, kind, true);
}

/*
 * wake_for records an instant at which something is due.  What was due when the round
 * began and has not been done (another session has locked the contact) waits for the
 * next round.
 */
static void
wake_for(Work *work, TimestampTz due)
{
	work->next_due = Min(work->next_due, due);
	if (due > work->began)
		work->wake_due = Min(work->wake_due, due);
}

/* look_ahead finds the next instants at which something is due for the model. */
static void
look_ahead(Work *work)
{
	TimestampTz due,
				day;

	if (!ls_worker_step_lock_model(work))
		return;
	due = ls_contact_pass_next_due(work->task->model);
	day = ls_daily_next(work->task->model);
	work->task->progress->next_due = Min(due, day);
	wake_for(work, due);
	wake_for(work, day);
}

/*
 * ls_worker_model_look_only finds when a model is due that is not handled in this
 * round, so that its delay can be shown.
 */
void
ls_worker_model_look_only(Work *work, Task *task)
{
	TimestampTz wake_due = work->wake_due;

	work->task = task;
	if (!ls_worker_step_run(work, look_ahead))
		wake_for(work, task->progress->next_due);
	work->task = NULL;
	/* the process that handles it wakes up by itself */
	work->wake_due = wake_due;
}

static void
clear_error(Work *work)
{
	ls_worker_error_clear(work->task->model);
}

/*
 * forget removes the errors of contacts that have not failed again within a minute of
 * their retry.
 */
static void
forget(Work *work)
{
	ls_worker_error_forget(work->task->model, GetCurrentTimestamp() - FORGOTTEN);
}

static void
record_error(Work *work)
{
	(void) ls_worker_error_record(work->task->model, work->failure->sqlerrcode,
								  work->failure->message);
}

/*
 * ls_worker_model_record_offender records the error of the model because of which a
 * process had to end; the slot has both.
 */
void
ls_worker_model_record_offender(Work *work)
{
	ErrorData	failure = {.sqlerrcode = ERRCODE_QUERY_CANCELED};
	ListCell   *lc;

	failure.message = pstrdup(ls_shared_slot->last_error);
	foreach(lc, work->tasks)
	{
		Task	   *task = lfirst(lc);

		if (strcmp(task->model, ls_shared_slot->offender) != 0)
			continue;
		work->task = task;
		work->failure = &failure;
		if (ls_worker_step_run(work, record_error))
			task->retry_at = GetCurrentTimestamp() + USECS_PER_SEC;
		work->task = NULL;
	}
	LWLockAcquire(&ls_shared_state->lock, LW_EXCLUSIVE);
	ls_shared_slot->offender[0] = '\0';
	LWLockRelease(&ls_shared_state->lock);
}

/* record_outcome records success or failure, where it differs from before. */
static void
record_outcome(Work *work, bool well)
{
	if (!well)
	{
		ls_worker_step_record_error(work);
		work->failure = work->error;
		if (work->failure->sqlerrcode != ERRCODE_QUERY_CANCELED || work->stuck)
			(void) ls_worker_step_run(work, record_error);
	}
	else if (work->task->retry_at != 0)
		(void) ls_worker_step_run(work, clear_error);
	if (well && work->task->contact_retry_at != 0 &&
		work->task->contact_retry_at < GetCurrentTimestamp() - FORGOTTEN)
		(void) ls_worker_step_run(work, forget);
}

/* ls_worker_model_leave_to_lane leaves a model to a process of its own from now on. */
void
ls_worker_model_leave_to_lane(const char *model)
{
	if (ls_shared_slot_count_slow(model) == 0)
		ereport(LOG,
				(errmsg("model \"%s\" is left to a worker process of its own for a while", model),
				 errdetail("A step, or a call of a function, took so long that other models would have had to wait.")));
	ls_shared_slot_set_slow(model);
}

/*
 * ls_worker_model_delivery_waits tells whether deliveries of a model are postponed:
 * they failed, as where the owner has damaged the outbox.  Rows that fail are not
 * meant: they have attempts of their own.
 */
bool
ls_worker_model_delivery_waits(const char *model)
{
	TimestampTz now = GetCurrentTimestamp();
	ModelProgress *progress = progress_of(model);

	return progress->deliver_at > now && progress->deliver_at < now + RETRY_LIMIT;
}

/* ls_worker_model_delivered records whether a delivery succeeded. */
void
ls_worker_model_delivered(const char *model, bool well)
{
	ModelProgress *progress = progress_of(model);

	progress->failed_deliveries = well ? 0 : Min(progress->failed_deliveries + 1, 1000);
	progress->deliver_at = well ? 0 : GetCurrentTimestamp() + ls_clock_back_off(progress->failed_deliveries);
}

/* do_all handles a model, as far as its slices allow; false if a step failed. */
static bool
do_all(Work *work)
{
	bool		well = ls_worker_step_run(work, ls_worker_job_follow_roles);

	/* the failure may concern one contact */
	if (well || ls_worker_step_failed(work))
		well = (well || work->error->sqlerrcode != ERRCODE_QUERY_CANCELED) &&
			run_pass(work, LS_PASS_DUE, !well);
	else
		well = true;
	if (well && !work->busy)
		well = run_pass(work, LS_PASS_PENDING, work->task->contact_retry_at != 0);
	if (well && !work->busy && !work->leaving)
		ls_worker_job_run(work);
	if (work->task->slow)
		return false;
	if (well && !work->busy)
		well = ls_worker_job_write_days(work);
	if (well && !work->busy)
		well = ls_worker_job_keep_top_scores(work);
	if (well && !work->busy)
		well = ls_worker_step_run(work, look_ahead) || !ls_worker_step_failed(work);
	return well;
}

/* ls_worker_model_run gives a model its slices of a round. */
void
ls_worker_model_run(Work *work, Task *task)
{
	LsSlice		time = ls_slice_begin(0);
	bool		well;

	work->task = task;
	ls_worker_step_phase(work, LS_PHASE_SCORING);
	well = do_all(work);
	if (task->slow)
		ls_worker_model_leave_to_lane(task->model);
	else if (!work->busy)
		record_outcome(work, well);
	task->progress->spent += ls_slice_elapsed(&time);
	work->task = NULL;
}
