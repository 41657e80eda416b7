/*-------------------------------------------------------------------------
 *
 * worker.c
 *		Does in one database what time asks for.
 *
 * A worker lives for about a minute, so that no memory can grow and every
 * setting of the database comes into force.  In each round it looks what models
 * there are, and for each of them writes what is due, batch by batch, and the
 * days that have ended; then it sends what is to be sent and deletes what is no
 * longer to be kept.  Then it naps until something is due, at most for naptime.
 *
 * Everything is done in steps, each a transaction of its own: the lock on the
 * extension, a look whether it is there and new enough, then the work, as the
 * extension's owner.  Between steps, and in naps, the worker looks whether it is
 * to leave (launcher.c says why and what for).
 *
 * A worker must never be one of those who wait in a circle, as it holds the lock
 * on the extension.  So it does not wait: what it needs of a model it locks only
 * if it can, contacts that somebody has locked it skips, and where it has to wait
 * all the same lock_timeout ends that before anybody looks for deadlocks.  A
 * model that is busy is left to the next round.
 *
 * A step that fails is undone.  A model's pass is tried once more at once, one
 * contact at a time, so that a contact that fails is written down and put off
 * and the others go on (pass.c); if it fails all the same, the model is written
 * down in lead_worker_error and left alone until retry_at.
 *
 *-------------------------------------------------------------------------
 */
#include "worker.h"

#include <limits.h>
#include <signal.h>

#include "access/xact.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "portability/instr_time.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/lmgr.h"
#include "storage/lock.h"
#include "storage/proc.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timeout.h"

#include "action.h"
#include "activity.h"
#include "catalog.h"
#include "compat.h"
#include "daily.h"
#include "expression.h"
#include "feed.h"
#include "fold.h"
#include "job_worker.h"
#include "launcher.h"
#include "leadscore.h"
#include "model.h"
#include "pass.h"
#include "restore.h"
#include "worker_error.h"
#include "worker_internal.h"
#include "worker_role.h"

PGDLLEXPORT void ls_worker_main(Datum main_arg);

#define LIFETIME_MS			60000
#define LOOK_MS				250 /* how often a nap is interrupted to look around */
#define LOCK_WAIT_MS		200	/* shorter than anybody waits to look for deadlocks */
#define FIRST_ABSENCE		(60 * USECS_PER_SEC)
#define LAST_ABSENCE		(900 * USECS_PER_SEC)
#define OUTDATED_WAIT		(10 * USECS_PER_SEC)
#define COUNT_LIMIT			1000000
#define WATCH_MS			5000	/* an expression may take twice as long */
#define FORGOTTEN			(60 * USECS_PER_SEC)
#define FORGIVEN			(1200 * USECS_PER_SEC)	/* a retry_at beyond is wrong */

int			ls_naptime = 1000;
int			ls_batch_size = 500;
int			ls_history_retention = -1;
int			ls_outbox_retention = 7;

LsWorkerOrder ls_worker_order;
LsSlot	   *ls_worker_slot;
static pid_t helped = 0;		/* worker that this process helps, 0: it is one */

/* how things stand with the database when the worker ends, see note_end() */
static LsPhase end_phase = LS_PHASE_FAILED;
static int64 end_wait = 0;

/* how many times the watch has found the same expression running */
static TimeoutId watch;
static volatile sig_atomic_t found_running = 0;

#define STUCK		2
#define OVERRAN		3
#define TOO_LONG	"an expression took longer than 10 s for one contact"

/* ---------- coming and going ---------- */

/*
 * look_at_expression cancels an expression that goes on for too long, so that
 * one model's owner does not hold up all models.  The process ends where that
 * has been handled.
 */
static void
look_at_expression(void)
{
	static uint64 run = 0;

	if (!ls_expr_running || ls_expr_runs != run)
	{
		run = ls_expr_runs;
		found_running = 0;
		return;
	}
	if (++found_running == STUCK)
		kill(MyProcPid, SIGINT);
	else if (found_running == OVERRAN)
		kill(MyProcPid, SIGTERM);
}

/*
 * is_expected tells whether the launcher that ordered this worker waits for it, or
 * the worker that ordered this helper.
 */
static bool
is_expected(void)
{
	return ls_board->launcher_pid != 0 &&
		ls_board->launcher_number == ls_worker_order.launcher_number &&
		(helped == 0 || ls_worker_slot->pid == helped);
}

/* note_end leaves word on the board when the process ends, however it does. */
static void
note_end(int code, Datum arg)
{
	TimestampTz now = GetCurrentTimestamp();

	if (ls_action_overran)
	{
		/* that is nobody's fault but the function's: the next worker soon begins */
		end_phase = LS_PHASE_WAITING;
		end_wait = USECS_PER_SEC;
		ls_slot_error(ls_worker_slot, "the worker had to end, as a function of an action went on after its timeout");
	}
	if (found_running == OVERRAN)
	{
		end_phase = LS_PHASE_WAITING;
		end_wait = USECS_PER_SEC;
		ls_slot_error(ls_worker_slot, "the worker had to end: " TOO_LONG);
	}
	LWLockAcquire(&ls_board->lock, LW_EXCLUSIVE);
	if (found_running == OVERRAN)
		strlcpy(ls_worker_slot->suspect, ls_worker_slot->model,
				sizeof(ls_worker_slot->suspect));
	ls_worker_slot->pid = 0;
	ls_worker_slot->latch = NULL;
	ls_worker_slot->started_at = 0;
	ls_worker_slot->model[0] = '\0';
	ls_worker_slot->phase = end_phase;
	switch (end_phase)
	{
		case LS_PHASE_FAILED:
			ls_worker_slot->failures++;
			ls_worker_slot->wake_at = now + ls_back_off(ls_worker_slot->failures);
			break;
		case LS_PHASE_ABSENT:
			ls_worker_slot->wake_at = now + Min(FIRST_ABSENCE << Min(ls_worker_slot->absences, 10), LAST_ABSENCE);
			ls_worker_slot->absences++;
			ls_worker_slot->failures = 0;
			break;
		default:
			ls_worker_slot->wake_at = now + end_wait;
			ls_worker_slot->absences = 0;
			ls_worker_slot->failures = 0;
	}
	ls_board_wake_launcher();
	LWLockRelease(&ls_board->lock);
}

/*
 * take_slot puts the worker on the board; false if it comes too late.  A helper
 * has no slot of its own.
 */
static bool
take_slot(void)
{
	bool		mine;

	ls_worker_slot = &ls_board->slots[ls_worker_order.slot];
	if (helped != 0)
		return is_expected();
	LWLockAcquire(&ls_board->lock, LW_EXCLUSIVE);
	mine = is_expected() && ls_worker_slot->database == ls_worker_order.database &&
		ls_worker_slot->phase == LS_PHASE_STARTING && ls_worker_slot->pid == 0;
	if (mine)
	{
		ls_worker_slot->pid = MyProcPid;
		ls_worker_slot->latch = MyLatch;
		ls_worker_slot->started_at = GetCurrentTimestamp();
	}
	LWLockRelease(&ls_board->lock);
	if (mine)
		before_shmem_exit(note_end, (Datum) 0);
	return mine;
}

/* leave ends the worker's work, and says how things stand with the database. */
static void
leave(Work *work, LsPhase phase, int64 wait)
{
	work->leaving = true;
	end_phase = phase;
	end_wait = wait;
}

/*
 * look_around sees to signals and settings, and tells whether the worker is to
 * go on.
 */
static bool
look_around(Work *work)
{
	QueryCancelPending = false; /* there is nothing to be cancelled now */
	CHECK_FOR_INTERRUPTS();
	if (ConfigReloadPending)
	{
		ConfigReloadPending = false;
		ProcessConfigFile(PGC_SIGHUP);
		work->reloaded = true;
	}
	if (!work->leaving && (!ls_enabled || !is_expected()))
		leave(work, LS_PHASE_WAITING, 0);
	if (!work->leaving && ls_database_wanted(MyDatabaseId))
	{
		ls_helpers_terminate();
		leave(work, LS_PHASE_WAITING, USECS_PER_SEC);
	}
	return !work->leaving;
}

/* may_work tells whether nobody restores models, and shows where somebody does. */
static bool
may_work(Work *work)
{
	static bool shown = false;

	work->busy = !ls_restore_keep_away();
	if (work->busy && !shown)
		ls_slot_error(ls_worker_slot, "a session restores models: nothing is done until it has ended");
	shown = work->busy;
	return !work->busy;
}

/*
 * enter locks the extension and makes sure that there is something to work with.
 *
 * It never waits: who holds one of these locks wants to drop or to update the
 * extension, and we are in his way.
 */
static bool
enter(Work *work)
{
	Oid			extension = get_extension_oid("leadscore", true);
	Oid			models;
	char	   *version;

	if (OidIsValid(extension) &&
		!ConditionalLockDatabaseObject(ExtensionRelationId, extension, 0, AccessShareLock))
	{
		leave(work, LS_PHASE_WAITING, USECS_PER_SEC);
		return false;
	}
	if (!OidIsValid(extension) || get_extension_oid("leadscore", true) != extension)
	{
		leave(work, LS_PHASE_ABSENT, 0);
		return false;
	}
	version = ls_extension_version(extension);
	if (strcmp(version, LEADSCORE_VERSION) != 0)
	{
		ls_slot_error(ls_worker_slot,
					  psprintf("the extension is of version %s, the library of %s: use ALTER EXTENSION leadscore UPDATE, or restart the server if the library is the older one",
							   version, LEADSCORE_VERSION));
		leave(work, LS_PHASE_OUTDATED, OUTDATED_WAIT);
		return false;
	}
	models = ls_base_table_oid("lead_model", false);
	if (!ConditionalLockRelationOid(models, AccessShareLock))
	{
		leave(work, LS_PHASE_WAITING, USECS_PER_SEC);
		return false;
	}
	return may_work(work);
}

/* ---------- steps ---------- */

/* describe adds to error messages what the worker was at. */
static void
describe(void *arg)
{
	Work	   *work = arg;

	if (work->task)
		errcontext("leadscore worker, model \"%s\"", work->task->model);
	else
		errcontext("leadscore worker");
}

/*
 * perform runs one step in a transaction, which may raise an error.  What the
 * step allocates goes with the transaction, unless it is put into work->round.
 */
static void
perform(Work *work, Step step)
{
	LsIdentity	saved;

	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	ls_worker_role_refresh();
	if (enter(work))
	{
		PushActiveSnapshot(GetTransactionSnapshot());
		ls_become(ls_extension_owner(), &saved);
		step(work);
		ls_return(&saved);
		PopActiveSnapshot();
	}
	CommitTransactionCommand();
}

/*
 * ls_worker_attempt runs one step and tells whether it went well.  Where it did not, it
 * is undone: the worker is to leave, something is busy, or there was an error,
 * which is logged and in work->error.
 */
bool
ls_worker_attempt(Work *work, Step step)
{
	ErrorContextCallback context = {error_context_stack, describe, work};

	work->error = NULL;
	work->busy = work->stuck = false;
	if (!look_around(work))
		return false;
	error_context_stack = &context;
	found_running = 0;
	if (work->task)
		enable_timeout_every(watch, TimestampTzPlusMilliseconds(GetCurrentTimestamp(), WATCH_MS),
							 WATCH_MS);
	PG_TRY();
	{
		perform(work, step);
		disable_timeout(watch, false);
	}
	PG_CATCH();
	{
		HOLD_INTERRUPTS();
		MemoryContextSwitchTo(work->round);
		work->error = CopyErrorData();
		work->stuck = found_running >= STUCK;
		if (work->stuck)
			work->error->message = pstrdup(TOO_LONG);
		work->busy = work->error->sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE;
		if (!work->busy)
			EmitErrorReport();
		AbortOutOfAnyTransaction();
		FlushErrorState();
		disable_all_timeouts(false);
		QueryCancelPending = false;
		RESUME_INTERRUPTS();
	}
	PG_END_TRY();
	error_context_stack = context.previous;
	MemoryContextSwitchTo(work->round);
	return work->error == NULL && !work->busy && !work->leaving;
}

/* ls_worker_failed tells whether the last step ended in an error that is one. */
bool
ls_worker_failed(const Work *work)
{
	return work->error != NULL && !work->busy;
}

/* ls_worker_note_error shows an error on the board. */
void
ls_worker_note_error(const Work *work)
{
	if (!ls_worker_failed(work))
		return;
	ls_slot_error(ls_worker_slot, work->task ?
				  psprintf("model \"%s\": %s", work->task->model, work->error->message) :
				  work->error->message);
}

/* ls_worker_report tells pg_stat_activity what the worker is at. */
void
ls_worker_report(const Work *work, const char *what)
{
	pgstat_report_activity(STATE_RUNNING, work->task ?
						   psprintf("leadscore: model %s, %s", work->task->model, what) :
						   psprintf("leadscore: %s", what));
}

/* ---------- what models there are ---------- */

/* read_tasks lists the models that are there in full and enabled. */
static void
read_tasks(Work *work)
{
	MemoryContext old = MemoryContextSwitchTo(work->round);
	List	   *errors = ls_worker_errors();
	ListCell   *lc;

	work->tasks = NIL;
	work->incomplete = false;
	foreach(lc, ls_model_rows(NULL))
	{
		LsModelRow *row = lfirst(lc);
		bool		complete = ls_restore_complete(row);
		Task	   *task;
		ListCell   *le;

		work->incomplete |= !complete;
		if (complete)
			ls_model_settle(row);
		if (!row->enabled || !complete)
			continue;
		(void) ls_restore_under_way(row);
		task = palloc0(sizeof(Task));
		task->model = row->model;
		task->contacts = row->contacts;
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

/* is_left_alone tells whether a model has failed too recently. */
static bool
is_left_alone(const Task *task)
{
	TimestampTz now = GetCurrentTimestamp();

	return task->retry_at > now && task->retry_at < now + FORGIVEN;
}

/* ---------- one model ---------- */

/*
 * ls_worker_lock_model takes the locks that its steps need, in the order in which
 * writers take them.  False: somebody has them, or the model is incomplete, as
 * while a dump is restored.
 */
bool
ls_worker_lock_model(Work *work)
{
	const Task *task = work->task;
	Oid			table = ls_score_table(task->model, true);

	if (!OidIsValid(table) ||
		!ConditionalLockRelationOid(task->contacts, AccessShareLock) ||
		!ConditionalLockRelationOid(table, RowExclusiveLock) ||
		ls_score_table(task->model, true) != table ||
		!ls_model_complete(task->model))
		work->busy = true;
	return !work->busy;
}

/* write_batch writes the next contacts that are due. */
static void
write_batch(Work *work)
{
	if (!ls_worker_lock_model(work))
		return;
	if (work->pass == NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(work->round);

		work->pass = ls_pass_begin(work->task->model);
		MemoryContextSwitchTo(old);
		work->pass->one_by_one = work->one_by_one;
		work->total = 0;
	}
	work->returned = ls_pass_batch(work->pass, ls_batch_size, true);
	if (work->total == 0 && work->returned >= ls_batch_size)
		work->total = work->pass->done + ls_pass_count(work->task->model, COUNT_LIMIT);
}

/* run_pass writes all that is due in a model; false if a step failed. */
static bool
run_pass(Work *work, bool one_by_one)
{
	int64		done = 0;
	int64		transitions = 0;

	work->pass = NULL;
	work->one_by_one = one_by_one;
	ls_worker_report(work, "looking for what is due");
	while (ls_worker_attempt(work, write_batch))
	{
		LsPass	   *pass = work->pass;

		ls_slot_count(ls_worker_slot, pass->done - done, pass->transitions - transitions);
		done = pass->done;
		transitions = pass->transitions;
		if (work->returned == 0)
			return true;
		ls_slot_progress(ls_worker_slot, done, Max(work->total, done));
		ls_worker_report(work, work->total > 0 ?
			   psprintf(INT64_FORMAT " of " INT64_FORMAT " due", done, Max(work->total, done)) :
			   psprintf(INT64_FORMAT " due", done));
	}
	return !ls_worker_failed(work);
}

/*
 * wake_for notes an instant at which there is something to do.  What was due
 * when the round began and has not been done (a contact that somebody has
 * locked) has to wait for the next round.
 */
static void
wake_for(Work *work, TimestampTz due)
{
	work->next_due = Min(work->next_due, due);
	if (due > work->began)
		work->wake_due = Min(work->wake_due, due);
}

/* look_ahead finds the next instants at which the model has something to do. */
static void
look_ahead(Work *work)
{
	if (!ls_worker_lock_model(work))
		return;
	wake_for(work, ls_pass_next_due(work->task->model));
	wake_for(work, ls_daily_next(work->task->model));
}

static void
forgive(Work *work)
{
	ls_worker_error_clear(work->task->model);
}

/* forget is for contacts: a minute after they were due again all is well. */
static void
forget(Work *work)
{
	ls_worker_error_forget(work->task->model, GetCurrentTimestamp() - FORGOTTEN);
}

static void
blame(Work *work)
{
	(void) ls_worker_error_record(work->task->model, work->failure->sqlerrcode,
								  work->failure->message);
}

/* blame_suspect does so for a model that the last worker had to end for. */
static void
blame_suspect(Work *work)
{
	ErrorData	failure = {.sqlerrcode = ERRCODE_QUERY_CANCELED, .message = TOO_LONG};
	ListCell   *lc;

	foreach(lc, work->tasks)
	{
		Task	   *task = lfirst(lc);

		if (strcmp(task->model, ls_worker_slot->suspect) != 0)
			continue;
		work->task = task;
		work->failure = &failure;
		if (ls_worker_attempt(work, blame))
			task->retry_at = GetCurrentTimestamp() + USECS_PER_SEC;
		work->task = NULL;
	}
	LWLockAcquire(&ls_board->lock, LW_EXCLUSIVE);
	ls_worker_slot->suspect[0] = '\0';
	LWLockRelease(&ls_board->lock);
}

/* settle_blame writes down how it went, where that is news. */
static void
settle_blame(Work *work, bool well)
{
	if (!well)
	{
		ls_worker_note_error(work);
		work->failure = work->error;
		if (work->failure->sqlerrcode != ERRCODE_QUERY_CANCELED || work->stuck)
			(void) ls_worker_attempt(work, blame);
	}
	else if (work->task->retry_at != 0)
		(void) ls_worker_attempt(work, forgive);
	if (well && work->task->contact_retry_at != 0 &&
		work->task->contact_retry_at < GetCurrentTimestamp() - FORGOTTEN)
		(void) ls_worker_attempt(work, forget);
}

/* run_model does all that one model asks for. */
static void
run_model(Work *work, Task *task)
{
	bool		well;

	work->task = task;
	ls_slot_phase(ls_worker_slot, LS_PHASE_SCORING, task->model);
	well = (ls_worker_attempt(work, ls_worker_follow_roles) || !ls_worker_failed(work)) && run_pass(work, false);
	if (!well && work->error->sqlerrcode != ERRCODE_QUERY_CANCELED)
		well = run_pass(work, true);
	if (well && !work->busy)
		well = ls_worker_fold(work);
	if (well && !work->busy && !work->leaving)
		ls_worker_job(work);
	if (well && !work->busy)
		well = ls_worker_days(work);
	if (well && !work->busy)
		well = ls_worker_attempt(work, look_ahead) || !ls_worker_failed(work);
	if (!work->busy)
		settle_blame(work, well);
	work->task = NULL;
}

/* ---------- rounds and naps ---------- */

/* ls_worker_elapsed_ms is how long ago something began, whatever is done to the clock. */
int64
ls_worker_elapsed_ms(const instr_time *start)
{
	instr_time	now;

	INSTR_TIME_SET_CURRENT(now);
	INSTR_TIME_SUBTRACT(now, *start);
	return (int64) INSTR_TIME_GET_MILLISEC(now);
}

/* show_next_due tells the board when something will be due, and of the round. */
static void
show_next_due(Work *work)
{
	LWLockAcquire(&ls_board->lock, LW_EXCLUSIVE);
	ls_worker_slot->next_due = work->next_due;
	ls_worker_slot->last_pass_at = GetCurrentTimestamp();
	LWLockRelease(&ls_board->lock);
}

/*
 * settle_locks lets go of the advisory locks that somebody's function has left
 * behind, and makes sure of the worker's own: such a function can release it.
 */
static void
settle_locks(Work *work)
{
	LockReleaseAll(USER_LOCKMETHOD, true);
	if (!ls_take_advisory(LS_LOCK_WORKER, MyDatabaseId))
		leave(work, LS_PHASE_WAITING, USECS_PER_SEC);
}

/*
 * run_round does once all that there is to do.  False: there is nothing to come
 * back for, or the worker is to leave.
 */
static bool
run_round(Work *work)
{
	ListCell   *lc;

	MemoryContextReset(work->round);
	MemoryContextSwitchTo(work->round);
	work->task = NULL;
	work->began = ls_clock();
	work->next_due = DT_NOEND;
	work->wake_due = DT_NOEND;
	work->hurry = false;
	if (work->reloaded)
		ls_worker_slot->purged_at = 0;
	work->reloaded = false;

	ls_slot_phase(ls_worker_slot, LS_PHASE_LOOKING, NULL);
	ls_worker_report(work, "looking for models");
	if (!ls_worker_attempt(work, read_tasks))
	{
		ls_worker_note_error(work);
		if (ls_worker_failed(work))
			leave(work, LS_PHASE_FAILED, 0);
		return !work->leaving;
	}

	/* one that start_worker() has started is not told of models to come */
	if (work->tasks == NIL && !work->incomplete &&
		ls_worker_order.board == DSM_HANDLE_INVALID)
	{
		leave(work, LS_PHASE_ABSENT, 0);
		return false;
	}
	if (ls_worker_slot->suspect[0] != '\0')
		blame_suspect(work);
	foreach(lc, work->tasks)
		if (!work->leaving && !is_left_alone(lfirst(lc)))
			run_model(work, lfirst(lc));
	if (!work->incomplete)
	{
		ls_worker_deliver(work);
		ls_worker_purge(work);
	}
	settle_locks(work);
	show_next_due(work);
	pgstat_report_stat(true);
	return !work->leaving;
}

/* nap_ms is how long there is nothing to do. */
static int64
nap_ms(const Work *work)
{
	TimestampTz now = ls_clock();

	if (work->hurry || work->wake_due <= now)
		return 0;
	if (work->wake_due == DT_NOEND || work->wake_due - now >= (int64) ls_naptime * 1000)
		return ls_naptime;
	return (work->wake_due - now) / 1000 + 1;
}

/*
 * nap waits until there is something to do, looking around meanwhile.  False:
 * the worker is to leave, and what is left of the nap is waited for by the
 * launcher.
 */
static bool
nap(Work *work, const instr_time *birth)
{
	static uint32 wait_event = 0;
	int64		length = nap_ms(work);
	instr_time	start;
	int64		left;

	if (wait_event == 0)
		wait_event = ls_wait_event("LeadscoreWorker");
	INSTR_TIME_SET_CURRENT(start);
	ls_slot_phase(ls_worker_slot, LS_PHASE_NAPPING, NULL);
	pgstat_report_activity(STATE_IDLE, NULL);
	while (look_around(work) && !work->reloaded && !ls_worker_slot->poked &&
		   (left = length - ls_worker_elapsed_ms(&start)) > 0)
	{
		if (ls_board->seats_wanted || ls_worker_elapsed_ms(birth) > LIFETIME_MS)
		{
			leave(work, LS_PHASE_WAITING, left * 1000);
			break;
		}
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 Min(left, LOOK_MS), wait_event);
		ResetLatch(MyLatch);
	}
	if (!work->leaving && (ls_board->seats_wanted || ls_worker_elapsed_ms(birth) > LIFETIME_MS))
		leave(work, LS_PHASE_WAITING, 0);
	if (ls_worker_slot->poked)
	{
		LWLockAcquire(&ls_board->lock, LW_EXCLUSIVE);
		ls_worker_slot->poked = false;
		LWLockRelease(&ls_board->lock);
	}
	return !work->leaving;
}

/*
 * settle sets what must not depend on how the server is set up for others.  There
 * are no parallel workers, which would be processes of a superuser's.  The worker
 * does not wait for standbys: what they have not got when one is
 * promoted is found due there again.
 */
static void
settle(void)
{
	const char *const settings[][2] = {
		{"lock_timeout", psprintf("%d", Max(1, Min(LOCK_WAIT_MS, DeadlockTimeout / 2)))},
		{"statement_timeout", "0"},
		LS_TRANSACTION_TIMEOUT
		{"idle_in_transaction_session_timeout", "0"},
		{"max_parallel_workers_per_gather", "0"},
		{"max_parallel_maintenance_workers", "0"},
		{"default_transaction_read_only", "false"},
		{"default_transaction_isolation", "read committed"},
		{"synchronous_commit", "local"}
	};

	for (size_t i = 0; i < lengthof(settings); i++)
		SetConfigOption(settings[i][0], settings[i][1], PGC_SUSET, PGC_S_SESSION);
}

/*
 * ls_worker_begin connects a worker, or a helper of one, to the database; false
 * if it comes too late.
 */
bool
ls_worker_begin(Work *work, const LsWorkerOrder *given, pid_t of)
{
	ls_worker_order = *given;
	helped = of;
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	if (!ls_board_attach(given->board) || !take_slot())
		return false;
	ls_worker_role_begin(given->owner);
	BackgroundWorkerInitializeConnectionByOid(given->database, InvalidOid, 0);
	/* a reload while the process was being started has passed it by */
	ProcessConfigFile(PGC_SIGHUP);
	settle();
	watch = RegisterTimeout(USER_TIMEOUT, look_at_expression);
	work->round = AllocSetContextCreate(TopMemoryContext, "leadscore worker",
										ALLOCSET_DEFAULT_SIZES);
	return true;
}

/* ls_worker_main is where the process begins. */
void
ls_worker_main(Datum main_arg)
{
	LsWorkerOrder order;
	Work		work = {0};
	instr_time	birth;

	memcpy(&order, MyBgworkerEntry->bgw_extra, sizeof(order));
	if (!ls_worker_begin(&work, &order, 0))
		proc_exit(0);

	/* one that a former launcher has started may not have left yet */
	if (!ls_take_advisory(LS_LOCK_WORKER, MyDatabaseId))
	{
		leave(&work, LS_PHASE_WAITING, USECS_PER_SEC);
		proc_exit(0);
	}

	INSTR_TIME_SET_CURRENT(birth);
	while (run_round(&work) && nap(&work, &birth))
		;
	pgstat_report_stat(true);
	proc_exit(0);
}

/* ls_worker_define defines the settings. */
void
ls_worker_define(void)
{
	DefineCustomIntVariable("leadscore.naptime",
							"Longest time between two looks at what is due.",
							NULL, &ls_naptime, 1000, 10, 3600000,
							PGC_SIGHUP, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomIntVariable("leadscore.batch_size",
							"How many contacts are written in one transaction.",
							NULL, &ls_batch_size, 500, 1, 100000,
							PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("leadscore.history_retention",
							"How many days rows of history_<model> are kept.",
							"-1: for ever.",
							&ls_history_retention, -1, -1, 100000,
							PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("leadscore.outbox_retention",
							"How many days rows of outbox_<model> are kept that are done with.",
							"-1: for ever.",
							&ls_outbox_retention, 7, -1, 100000,
							PGC_SIGHUP, 0, NULL, NULL, NULL);
}
