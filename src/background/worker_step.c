/*-------------------------------------------------------------------------
 *
 * worker_step.c
 *		A worker's process, and its steps, each a transaction of its own.
 *
 * A watchdog observes each step for a model.  In a worker, which has other models to
 * handle, the step is cancelled after 5 s, and the model is left to a process of its
 * own (helper_start.c); there, and where no such process is available, after an hour.
 * An expression that runs for 10 s for one contact is cancelled in either.  Where a
 * function traps that error and continues, the process ends.
 *
 * Workers and their helpers are connected as the bootstrap superuser, but count as
 * processes of the database's owner: the owner may drop the database WITH (FORCE) and
 * terminate its sessions, and both would fail at a process of a superuser.  The role in
 * PGPROC decides which roles may signal the process, and nothing else: the privileges
 * of the process do not change.
 *
 * DROP DATABASE locks the database as new connections do, and then checks the
 * processes.  So the role has to be right before that lock is first released, when the
 * transaction commits in which the process connected: until then it is the owner as the
 * launcher saw it.  Each further transaction reads the owner again, as it may change.
 *
 *-------------------------------------------------------------------------
 */
#include "background/worker_internal.h"

#include <signal.h>

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_database.h"
#include "catalog/pg_extension.h"
#include "commands/extension.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/lmgr.h"
#include "storage/proc.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/timeout.h"

#include "background/helper_start.h"
#include "background/settings.h"
#include "base/advisory_lock.h"
#include "base/clock.h"
#include "base/compat.h"
#include "base/user.h"
#include "definitions/extension.h"
#include "definitions/restore_state.h"
#include "model/model.h"
#include "rules/expression.h"

#define LOCK_WAIT_MS		200	/* shorter than deadlock_timeout */
#define FIRST_ABSENCE		(60 * USECS_PER_SEC)
#define LAST_ABSENCE		(900 * USECS_PER_SEC)
#define OUTDATED_WAIT		(10 * USECS_PER_SEC)
#define WATCH_MS			5000

/* numbers of ticks of the watchdog */
#define SHARED_LOOKS		1	/* for a step where other models wait */
#define ALONE_LOOKS			720 /* ... where none do */
#define EXPRESSION_LOOKS	2	/* ... for one expression */
#define GRACE_LOOKS			1	/* ... to end after cancellation */

#define TOO_LONG	"an expression took longer than 10 s for one contact"
#define CALL_OVERRAN	"the worker had to end, as a function of an action went on after its timeout"
#define TOO_SLOW	"a step took longer than is allowed"

bool		ls_worker_step_call_overran = false;

static Oid	database_owner = InvalidOid;
static pid_t helped = 0;		/* the worker that this process helps, 0: it is a worker */

/* phase of the database after the worker has ended, see at_exit() */
static LsPhase end_phase = LS_PHASE_FAILED;
static int64 end_wait = 0;

/* The watchdog's view of the current step; written by a signal handler */
static TimeoutId watch;
static volatile struct
{
	int			step;			/* ticks so far */
	int			expression;		/* ... in the same run of an expression */
	int			allowed;		/* ticks allowed for a step */
	enum
	{
		NOTHING, STEP, EXPRESSION
	}			cancelled;
	bool		overran;		/* it was cancelled, and continued */
}			watched;

/* ---------- the role of the process ---------- */

static void
set_role_before_commit(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_PRE_COMMIT)
		ls_set_process_role(database_owner);
}

/* begin_role sets the role of a process that is about to connect. */
static void
begin_role(Oid owner)
{
	database_owner = owner;
	ls_set_process_role(owner);
	RegisterXactCallback(set_role_before_commit, NULL);
}

/* refresh_role reads the owner of the database, in a transaction. */
static void
refresh_role(void)
{
	HeapTuple	tuple = SearchSysCache1(DATABASEOID, ObjectIdGetDatum(MyDatabaseId));

	if (!HeapTupleIsValid(tuple))
		return;					/* it is being dropped */
	database_owner = ((Form_pg_database) GETSTRUCT(tuple))->datdba;
	ReleaseSysCache(tuple);
	ls_set_process_role(database_owner);
}

/* ---------- start and end ---------- */

/*
 * look_at_step is the watchdog's timeout handler.  It cancels a step, or an expression
 * in it, that runs for too long, so that one model's owner does not block all models.
 * The process ends where that error was trapped.
 */
static void
look_at_step(void)
{
	static uint64 run = 0;

	if (!ls_expr_running || ls_expr_runs != run)
	{
		run = ls_expr_runs;
		watched.expression = 0;
	}
	else
		watched.expression++;
	watched.step++;
	if (watched.expression == EXPRESSION_LOOKS || watched.step == watched.allowed)
	{
		watched.cancelled = watched.expression == EXPRESSION_LOOKS ? EXPRESSION : STEP;
		kill(MyProcPid, SIGINT);
	}
	else if (watched.expression == EXPRESSION_LOOKS + GRACE_LOOKS ||
			 watched.step == watched.allowed + GRACE_LOOKS)
	{
		watched.overran = true;
		kill(MyProcPid, SIGTERM);
	}
}

/*
 * is_expected tells whether the launcher that started this worker, or the worker that
 * started this helper, is still there.
 */
static bool
is_expected(void)
{
	return ls_shared_state->launcher_pid != 0 &&
		ls_shared_state->launcher_number == ls_shared_order.launcher_number &&
		(helped == 0 || ls_shared_slot->pid == helped);
}

/* record_offender records the model because of which a process has to end. */
static void
record_offender(const char *model)
{
	ls_shared_slot_error(watched.cancelled == EXPRESSION ?
						 "the worker had to end: " TOO_LONG : "the worker had to end: " TOO_SLOW);
	LWLockAcquire(&ls_shared_state->lock, LW_EXCLUSIVE);
	strlcpy(ls_shared_slot->offender, model, sizeof(ls_shared_slot->offender));
	LWLockRelease(&ls_shared_state->lock);
}

/* helper_at_exit is the exit callback of a helper, which has no slot of its own. */
static void
helper_at_exit(int code, Datum model)
{
	if (ls_worker_step_call_overran)
		ls_shared_slot_error(CALL_OVERRAN);
	if (watched.overran)
		record_offender((const char *) DatumGetPointer(model));
}

/* ls_worker_step_begin_lane registers the exit callback of a lane. */
void
ls_worker_step_begin_lane(const char *model)
{
	before_shmem_exit(helper_at_exit, PointerGetDatum(model));
}

/* at_exit sets the slot's phase when the process ends, for whatever reason. */
static void
at_exit(int code, Datum arg)
{
	TimestampTz now = GetCurrentTimestamp();

	if (ls_worker_step_call_overran)
	{
		/* the model is not at fault: the next worker starts soon */
		end_phase = LS_PHASE_WAITING;
		end_wait = USECS_PER_SEC;
		ls_shared_slot_error(CALL_OVERRAN);
		ls_shared_slot_set_slow(ls_shared_slot->model);
	}
	if (watched.overran)
	{
		end_phase = LS_PHASE_WAITING;
		end_wait = USECS_PER_SEC;
		record_offender(ls_shared_slot->model);
	}
	LWLockAcquire(&ls_shared_state->lock, LW_EXCLUSIVE);
	ls_shared_slot->pid = 0;
	ls_shared_slot->latch = NULL;
	ls_shared_slot->started_at = 0;
	ls_shared_slot->model[0] = '\0';
	ls_shared_slot->phase = end_phase;
	switch (end_phase)
	{
		case LS_PHASE_FAILED:
			ls_shared_slot->failures++;
			ls_shared_slot->wake_at = now + ls_clock_back_off(ls_shared_slot->failures);
			break;
		case LS_PHASE_ABSENT:
			ls_shared_slot->wake_at = now + Min(FIRST_ABSENCE << Min(ls_shared_slot->absences, 10), LAST_ABSENCE);
			ls_shared_slot->absences++;
			ls_shared_slot->failures = 0;
			break;
		default:
			ls_shared_slot->wake_at = now + end_wait;
			ls_shared_slot->absences = 0;
			ls_shared_slot->failures = 0;
	}
	ls_shared_state_wake_launcher();
	LWLockRelease(&ls_shared_state->lock);
}

/*
 * take_slot takes the worker's slot; false if it comes too late.  A helper has no slot
 * of its own.
 */
static bool
take_slot(void)
{
	bool		mine;

	ls_shared_slot = &ls_shared_state->slots[ls_shared_order.slot];
	if (helped != 0)
		return is_expected();
	LWLockAcquire(&ls_shared_state->lock, LW_EXCLUSIVE);
	mine = is_expected() && ls_shared_slot->database == ls_shared_order.database &&
		ls_shared_slot->phase == LS_PHASE_STARTING && ls_shared_slot->pid == 0;
	if (mine)
	{
		ls_shared_slot->pid = MyProcPid;
		ls_shared_slot->latch = MyLatch;
		ls_shared_slot->started_at = GetCurrentTimestamp();
	}
	LWLockRelease(&ls_shared_state->lock);
	if (mine)
		before_shmem_exit(at_exit, (Datum) 0);
	return mine;
}

/*
 * ls_worker_step_leave has the worker end, and sets the phase of the database after
 * that.
 */
void
ls_worker_step_leave(Work *work, LsPhase phase, int64 wait)
{
	work->leaving = true;
	end_phase = phase;
	end_wait = wait;
}

/*
 * ls_worker_step_look_around handles signals and settings, and tells whether the worker
 * is to continue.
 */
bool
ls_worker_step_look_around(Work *work)
{
	QueryCancelPending = false; /* there is no query to cancel */
	CHECK_FOR_INTERRUPTS();
	if (ConfigReloadPending)
	{
		ConfigReloadPending = false;
		ProcessConfigFile(PGC_SIGHUP);
		work->reloaded = true;
	}
	if (!work->leaving && (!ls_setting_enabled || !is_expected()))
		ls_worker_step_leave(work, LS_PHASE_WAITING, 0);
	if (!work->leaving && ls_advisory_database_wanted(MyDatabaseId))
	{
		ls_helpers_terminate();
		ls_worker_step_leave(work, LS_PHASE_WAITING, USECS_PER_SEC);
	}
	return !work->leaving;
}

/* may_work tells whether no session is restoring models, and shows where one is. */
static bool
may_work(Work *work)
{
	static bool shown = false;

	work->busy = !ls_restore_keep_away();
	if (work->busy && !shown)
		ls_shared_slot_error("a session restores models: nothing is done until it has ended");
	shown = work->busy;
	return !work->busy;
}

/*
 * enter locks the extension and checks that it can be used.
 *
 * It never waits: a session that holds one of these locks is about to drop or to update
 * the extension.
 */
static bool
enter(Work *work)
{
	Oid			extension = get_extension_oid("leadscore", true);
	Oid			models;
	char	   *version;

	if (ls_settings_changed())
	{
		ls_worker_step_leave(work, LS_PHASE_WAITING, 0);
		return false;
	}
	if (OidIsValid(extension) &&
		!ls_try_lock_object(ExtensionRelationId, extension, AccessShareLock))
	{
		ls_worker_step_leave(work, LS_PHASE_WAITING, USECS_PER_SEC);
		return false;
	}
	if (!OidIsValid(extension) || get_extension_oid("leadscore", true) != extension)
	{
		ls_worker_step_leave(work, LS_PHASE_ABSENT, 0);
		return false;
	}
	version = ls_extension_version(extension);
	if (strcmp(version, LEADSCORE_VERSION) != 0)
	{
		ls_shared_slot_error(psprintf("the extension is of version %s, the library of %s: use ALTER EXTENSION leadscore UPDATE, or restart the server if the library is the older one",
									  version, LEADSCORE_VERSION));
		ls_worker_step_leave(work, LS_PHASE_OUTDATED, OUTDATED_WAIT);
		return false;
	}
	models = ls_extension_base_table("lead_model", false);
	if (!ConditionalLockRelationOid(models, AccessShareLock))
	{
		ls_worker_step_leave(work, LS_PHASE_WAITING, USECS_PER_SEC);
		return false;
	}
	return may_work(work);
}

/* ---------- steps ---------- */

/* describe adds the model to the context of error messages. */
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
 * perform runs one step in a transaction, which may raise an error.  Memory of the step
 * is freed with the transaction, unless it is in work->round.
 */
static void
perform(Work *work, Step step)
{
	LsUser		saved;

	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	refresh_role();
	if (enter(work))
	{
		PushActiveSnapshot(GetTransactionSnapshot());
		ls_user_switch(ls_extension_owner(), &saved);
		step(work);
		ls_user_restore(&saved);
		PopActiveSnapshot();
	}
	CommitTransactionCommand();
}

/*
 * ls_worker_step_run runs one step and tells whether it succeeded.  Otherwise it is
 * rolled back: the worker is to leave, a lock is not free, or there was an error, which
 * is logged and in work->error.
 */
bool
ls_worker_step_run(Work *work, Step step)
{
	ErrorContextCallback context = {error_context_stack, describe, work};

	work->error = NULL;
	work->busy = work->stuck = work->slow = false;
	if (!ls_worker_step_look_around(work))
		return false;
	error_context_stack = &context;
	memset((void *) &watched, 0, sizeof(watched));
	watched.allowed = work->alone ? ALONE_LOOKS : SHARED_LOOKS;
	if ((work->task || work->model) && !work->unwatched)
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
		if (work->error->sqlerrcode != ERRCODE_QUERY_CANCELED)
			watched.cancelled = NOTHING;
		work->stuck = watched.cancelled == EXPRESSION || (watched.cancelled == STEP && work->alone);
		work->slow = watched.cancelled == STEP && !work->alone;
		if (work->slow && work->task)
			work->task->slow = true;
		if (watched.cancelled != NOTHING)
			work->error->message = pstrdup(watched.cancelled == EXPRESSION ? TOO_LONG : TOO_SLOW);
		work->busy = work->error->sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE;
		if (!work->busy && !work->slow)
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

/*
 * ls_worker_step_lock_model takes the locks that a model's steps need, in the order in
 * which writers take them.  False: another transaction has them, or the model is
 * incomplete, as while a dump is restored.
 */
bool
ls_worker_step_lock_model(Work *work)
{
	const Task *task = work->task;
	Oid			table = ls_lead_score_table(task->model, true);

	if (!OidIsValid(table) ||
		!ConditionalLockRelationOid(task->contacts, AccessShareLock) ||
		!ConditionalLockRelationOid(table, RowExclusiveLock) ||
		ls_lead_score_table(task->model, true) != table ||
		!ls_tables_complete(task->model))
		work->busy = true;
	return !work->busy;
}

/*
 * ls_worker_step_failed tells whether the last step ended with an error, lock conflicts
 * excepted.
 */
bool
ls_worker_step_failed(const Work *work)
{
	return work->error != NULL && !work->busy;
}

/* ls_worker_step_record_error shows an error in view activity. */
void
ls_worker_step_record_error(const Work *work)
{
	if (!ls_worker_step_failed(work))
		return;
	ls_shared_slot_error(work->task ?
						 psprintf("model \"%s\": %s", work->task->model, work->error->message) :
						 work->error->message);
}

/* ls_worker_step_phase shows the phase of the worker. */
void
ls_worker_step_phase(const Work *work, LsPhase phase)
{
	if (!work->lane)
		ls_shared_slot_phase(phase, work->task ? work->task->model : work->model);
}

/* ls_worker_step_report shows what the worker is doing in pg_stat_activity. */
void
ls_worker_step_report(const Work *work, const char *what)
{
	pgstat_report_activity(STATE_RUNNING, work->task ?
						   psprintf("leadscore: model %s, %s", work->task->model, what) :
						   psprintf("leadscore: %s", what));
}

/*
 * force_settings sets what must not depend on the server's configuration.  There are no
 * parallel workers, which would be processes of a superuser.  The worker does not wait
 * for standbys: what a standby has not received when it is promoted is due there again.
 */
static void
force_settings(void)
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
 * ls_worker_step_begin connects a worker, or a helper of one, to the database; false if
 * it comes too late.
 */
bool
ls_worker_step_begin(Work *work, const LsWorkerOrder *given, pid_t of)
{
	ls_shared_order = *given;
	helped = of;
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	if (!ls_shared_state_attach(given->shared_state) || !take_slot())
		return false;
	begin_role(given->owner);
	BackgroundWorkerInitializeConnectionByOid(given->database, InvalidOid, 0);
	/* a reload during the start of the process was missed */
	ProcessConfigFile(PGC_SIGHUP);
	force_settings();
	ls_settings_begin();
	watch = RegisterTimeout(USER_TIMEOUT, look_at_step);
	work->round = AllocSetContextCreate(TopMemoryContext, "leadscore worker",
										ALLOCSET_DEFAULT_SIZES);
	return true;
}
