/*-------------------------------------------------------------------------
 *
 * launcher.c
 *		Starts workers where something is due.
 *
 * The launcher is connected to no database and so blocks no session.  It knows the
 * databases from pg_database and, for each, when a worker is due there.  Workers are
 * connected to one database and end by themselves (worker.c).
 *
 * Phases of a database; capitals are values of LsWorkerSlot.phase:
 *
 *		NEW ---------> STARTING -> LOOKING -> SCORING -> DAYS -> DELIVERING
 *		  ^  wake_at,     |           ^                            |
 *		  |  max_workers  |           |    due or naptime over     v
 *		  |  not reached  |        NAPPING <----- PURGING, hourly -+
 *		  |               |           |
 *		  |               | no fork   | a minute is over, another database
 *		  |               v           | waits, or this one is wanted
 *		  |  FAILED    FAILED         v
 *		  +- ABSENT    <----------- WAITING
 *		     OUTDATED   no extension, no model, an error
 *
 * WAITING, ABSENT, OUTDATED and FAILED go on to STARTING at wake_at.  WAITING: after
 * the rest of the nap.  ABSENT: when a transaction that created a model wakes it up,
 * and as a safety net after 60 s, doubling to 15 min.  OUTDATED: after 10 s.  FAILED:
 * after 1 s, doubling to 10 min.
 *
 * Scenarios, and why they do no harm:
 *
 * CREATE EXTENSION, committed or not: nothing until there is a model.  The
 *		transaction that creates one (or restores its row) wakes the launcher up when it
 *		commits; one that is rolled back does not.
 * DROP EXTENSION takes ACCESS EXCLUSIVE on the extension.  Each of a worker's
 *		transactions takes ACCESS SHARE on it first and checks again, so it either sees
 *		the extension unchanged until the transaction ends, or does not get the lock and
 *		leaves; it never waits for it, so there is no deadlock.  Committed: the next
 *		worker finds no extension, ABSENT.  Rolled back: the next one, a second later,
 *		continues where the last transaction ended.
 * DROP DATABASE, RENAME, SET TABLESPACE of a worker's database, CREATE DATABASE
 *		with it as the template: they lock the database and give other sessions 5 s to
 *		leave.  The worker checks, between batches and each 250 ms of a nap, whether it
 *		could take the lock that a new connection takes; if not it leaves.  A worker
 *		that is still there half a second after the launcher has seen this (in a long
 *		batch or function) is terminated: its transaction is rolled back, and the next
 *		worker repeats it.  No worker is started while the lock is held.
 * DROP DATABASE of another database: requires a barrier of every process.  Launcher
 *		and workers check for interrupts in every iteration of every loop.
 * A copy made by CREATE DATABASE: has another OID, is listed within 2 s, NEW.
 * A dump is restored: nothing is done until the session that restores models has
 *		ended, nor for a model that is not complete (restore_state.c).
 * ALTER EXTENSION UPDATE: an update script locks lead_model first.  A worker's
 *		transaction takes ACCESS SHARE on lead_model after that on the extension, and
 *		leaves where it does not get it.  An extension of another version than the
 *		library is OUTDATED and left alone.
 * Restart: all databases are NEW.  What has become due meanwhile is recorded in
 *		order, each at its own instant (contact_pass.c).
 * kill -9 of a backend, a worker or the launcher, immediate shutdown: the server
 *		restarts all processes and initialises shared memory, as in a restart.  The
 *		postmaster forgets dynamic workers and starts the launcher again.
 * The launcher ends by SIGTERM or an error: exit code 1, so the postmaster starts
 *		it again.  Workers see that their launcher has ended and leave; the new one
 *		treats a slot as occupied only while its worker is still there.
 * A worker ends by SIGTERM or an error: its exit callback, or the handle in the
 *		launcher, shows it: FAILED, and another is tried after a while.
 * Standby: neither launcher nor workers are started before recovery has ended;
 *		promotion starts the launcher.
 * A model that fails: is skipped for a while (lead_worker_error), the others
 *		continue (worker.c).
 * The server's clock set back: naps are measured by a monotonic clock.  Where the
 *		launcher sees the time go back all databases are due.
 * leadscore.clock set back: nothing is due until the former instant; scored_at
 *		never goes back.
 * Settings of a database changed: its worker leaves, another one has them
 *		(settings.c).
 * A worker that was stopped (SIGSTOP, a suspended machine): handles what is due, as
 *		after a restart.
 * More databases than leadscore.max_workers: leave_wanted tells workers to leave
 *		after their pass.  The database that has waited longest comes first.
 * No free slot for background workers: logged once, tried again each second.
 *
 * Without preloading, leadscore.start_worker() starts a launcher for the current
 * database.  It is the same code with a shared state of one slot.  It holds an advisory
 * lock, so that there is one per database; it ends when the database or the extension
 * is dropped, and is started again by the postmaster after a crash, though not after a
 * restart.  It waits for the transaction that started it to end, so that the worker
 * sees whether it committed.
 *
 *-------------------------------------------------------------------------
 */
#include "background/launcher.h"

#include <limits.h>

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/pg_database.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "storage/procarray.h"
#include "tcop/tcopprot.h"
#include "utils/acl.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "background/settings.h"
#include "background/shared_state.h"
#include "base/advisory_lock.h"
#include "base/clock.h"
#include "base/compat.h"
#include "base/transaction.h"
#include "definitions/extension.h"

PGDLLEXPORT void ls_launcher_main(Datum main_arg);

PG_FUNCTION_INFO_V1(ls_start_worker);
PG_FUNCTION_INFO_V1(ls_stop_worker);

#define RESTART_SECONDS		1	/* of a launcher that ended with an error */
#define LIST_INTERVAL		(2 * USECS_PER_SEC)
#define TURN				(USECS_PER_SEC / 2) /* longest nap with workers */
#define INVALID_DATABASE	(-2)	/* datconnlimit of a database that is partly dropped */

/* what start_worker() passes to a launcher, in bgw_extra */
typedef struct LauncherOrder
{
	Oid			database;
	int			caller;			/* pid */
	VirtualTransactionId transaction;	/* of the caller */
} LauncherOrder;

/* what only the launcher knows of the worker of a slot */
typedef struct Launched
{
	BackgroundWorkerHandle *handle;
	TimestampTz wanted_at;		/* a session waits for the worker to leave */
	bool		terminated;
} Launched;

static Launched *launched;
static Oid	only_database = InvalidOid; /* of a launcher for one database */
static dsm_handle private_state = DSM_HANDLE_INVALID;
static bool no_worker_said = false;
static bool no_slot_said = false;

/* ---------- the databases ---------- */

/* A database that may have a worker */
typedef struct Database
{
	Oid			oid;
	Oid			owner;
} Database;

/* list_databases gives the databases that allow connections and are not templates. */
static List *
list_databases(void)
{
	MemoryContext context = CurrentMemoryContext;
	List	   *databases = NIL;
	Relation	rel;
	SysScanDesc scan;
	HeapTuple	tuple;

	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	rel = table_open(DatabaseRelationId, AccessShareLock);
	scan = systable_beginscan(rel, InvalidOid, false, NULL, 0, NULL);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_database form = (Form_pg_database) GETSTRUCT(tuple);
		MemoryContext old;
		Database   *database;

		if (!form->datallowconn || form->datistemplate ||
			form->datconnlimit == INVALID_DATABASE ||
			(OidIsValid(only_database) && form->oid != only_database))
			continue;
		old = MemoryContextSwitchTo(context);
		database = palloc(sizeof(Database));
		database->oid = form->oid;
		database->owner = form->datdba;
		databases = lappend(databases, database);
		MemoryContextSwitchTo(old);
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	PopActiveSnapshot();
	CommitTransactionCommand();
	MemoryContextSwitchTo(context);
	return databases;
}

/* is_occupied tells whether a slot has a worker, or will have.  The lock is held. */
static bool
is_occupied(const LsWorkerSlot *slot)
{
	return OidIsValid(slot->database) &&
		(slot->pid != 0 || slot->phase == LS_PHASE_STARTING);
}

static bool
is_listed(List *databases, Oid oid)
{
	ListCell   *lc;

	foreach(lc, databases)
		if (((Database *) lfirst(lc))->oid == oid)
			return true;
	return false;
}

/* update_slots gives new databases a slot, and frees those of dropped ones. */
static void
update_slots(void)
{
	List	   *databases = list_databases();
	bool		full = false;
	ListCell   *lc;

	LWLockAcquire(&ls_shared_state->lock, LW_EXCLUSIVE);
	ls_shared_state->list_wanted = false;
	for (int i = 0; i < ls_shared_state->nslots; i++)
	{
		LsWorkerSlot *slot = &ls_shared_state->slots[i];

		if (OidIsValid(slot->database) && !is_occupied(slot) &&
			!is_listed(databases, slot->database))
			memset(slot, 0, sizeof(LsWorkerSlot));
	}
	foreach(lc, databases)
	{
		Database   *database = lfirst(lc);
		LsWorkerSlot *slot = ls_shared_state_find(database->oid);

		if (slot)
		{
			slot->owner = database->owner;
			continue;
		}
		slot = ls_shared_state_find(InvalidOid);
		if (slot == NULL)
		{
			full = true;
			break;
		}
		memset(slot, 0, sizeof(LsWorkerSlot));
		slot->database = database->oid;
		slot->owner = database->owner;
		slot->phase = LS_PHASE_NEW;
		slot->next_due = DT_NOEND;
	}
	LWLockRelease(&ls_shared_state->lock);

	if (full && !no_slot_said)
		ereport(LOG,
				(errmsg("leadscore serves at most %d databases", ls_shared_state->nslots),
				 errdetail("In the others scores change by writing and refresh() only.")));
	no_slot_said = full;
}

/* all_due makes every database due, where the clock was set back. */
static void
all_due(void)
{
	LWLockAcquire(&ls_shared_state->lock, LW_EXCLUSIVE);
	for (int i = 0; i < ls_shared_state->nslots; i++)
		ls_shared_state->slots[i].wake_at = 0;
	LWLockRelease(&ls_shared_state->lock);
}

/* ---------- the workers ---------- */

/*
 * ls_launcher_describe fills in the fields of a BackgroundWorker that launcher and
 * workers share.
 */
void
ls_launcher_describe(BackgroundWorker *worker, const char *type, const char *function,
					 const void *order, Size size)
{
	Assert(size <= BGW_EXTRALEN);
	memset(worker, 0, sizeof(BackgroundWorker));
	worker->bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker->bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker->bgw_restart_time = RESTART_SECONDS;
	snprintf(worker->bgw_name, BGW_MAXLEN, "leadscore %s", type);
	snprintf(worker->bgw_type, BGW_MAXLEN, "leadscore %s", type);
	strlcpy(worker->bgw_library_name, "leadscore", BGW_MAXLEN);
	strlcpy(worker->bgw_function_name, function, BGW_MAXLEN);
	memcpy(worker->bgw_extra, order, size);
}

/* start_worker starts a worker; false if no process is available. */
static bool
start_worker(int number)
{
	LsWorkerSlot *slot = &ls_shared_state->slots[number];
	BackgroundWorker worker;
	LsWorkerOrder order = {0};
	MemoryContext old;
	bool		started;

	LWLockAcquire(&ls_shared_state->lock, LW_EXCLUSIVE);
	slot->phase = LS_PHASE_STARTING;
	slot->woken = false;
	order.database = slot->database;
	order.owner = slot->owner;
	order.launcher_number = ls_shared_state->launcher_number;
	LWLockRelease(&ls_shared_state->lock);
	order.slot = number;
	order.shared_state = private_state;

	ls_launcher_describe(&worker, "worker", "ls_worker_main", &order, sizeof(order));
	snprintf(worker.bgw_name, BGW_MAXLEN, "leadscore worker for database %u", order.database);
	worker.bgw_flags |= BGWORKER_INTERRUPTIBLE;
	worker.bgw_restart_time = BGW_NEVER_RESTART;
	worker.bgw_notify_pid = MyProcPid;

	old = MemoryContextSwitchTo(TopMemoryContext);
	started = RegisterDynamicBackgroundWorker(&worker, &launched[number].handle);
	MemoryContextSwitchTo(old);
	launched[number].wanted_at = 0;
	launched[number].terminated = false;
	if (started)
	{
		no_worker_said = false;
		return true;
	}

	LWLockAcquire(&ls_shared_state->lock, LW_EXCLUSIVE);
	slot->phase = LS_PHASE_WAITING;
	slot->wake_at = GetCurrentTimestamp() + ls_clock_back_off(1);
	LWLockRelease(&ls_shared_state->lock);
	if (!no_worker_said)
		ereport(LOG,
				(errcode(ERRCODE_INSUFFICIENT_RESOURCES),
				 errmsg("leadscore could not start a worker"),
				 errhint("You might need to increase max_worker_processes.")));
	no_worker_said = true;
	return false;
}

/*
 * record_failure sets the slot of a worker that ended before it could do so itself.
 * The lock is held.
 */
static void
record_failure(LsWorkerSlot *slot)
{
	slot->pid = 0;
	slot->latch = NULL;
	slot->phase = LS_PHASE_FAILED;
	slot->failures++;
	slot->wake_at = GetCurrentTimestamp() + ls_clock_back_off(slot->failures);
	if (slot->last_error_at == 0)
	{
		strlcpy(slot->last_error, "the worker could not be started, see the server's log",
				sizeof(slot->last_error));
		slot->last_error_at = GetCurrentTimestamp();
	}
}

/* mind_worker checks the worker of a slot, and terminates one that has to leave. */
static void
mind_worker(int number)
{
	LsWorkerSlot *slot = &ls_shared_state->slots[number];
	Launched   *worker = &launched[number];
	TimestampTz now = GetCurrentTimestamp();
	pid_t		pid;

	if (worker->handle == NULL)
		return;
	if (GetBackgroundWorkerPid(worker->handle, &pid) == BGWH_STOPPED)
	{
		LWLockAcquire(&ls_shared_state->lock, LW_EXCLUSIVE);
		if (is_occupied(slot))
			record_failure(slot);
		LWLockRelease(&ls_shared_state->lock);
		pfree(worker->handle);
		memset(worker, 0, sizeof(Launched));
	}
	else if (!ls_advisory_database_wanted(slot->database))
		worker->wanted_at = 0;
	else if (worker->wanted_at == 0)
		worker->wanted_at = now;
	else if (!worker->terminated && now - worker->wanted_at >= TURN)
	{
		TerminateBackgroundWorker(worker->handle);
		worker->terminated = true;
	}
}

/* next_due_slot gives the database that has been due longest, or -1. */
static int
next_due_slot(TimestampTz now, int *running)
{
	int			found = -1;

	*running = 0;
	LWLockAcquire(&ls_shared_state->lock, LW_EXCLUSIVE);
	for (int i = 0; i < ls_shared_state->nslots; i++)
	{
		LsWorkerSlot *slot = &ls_shared_state->slots[i];

		if (!OidIsValid(slot->database))
			continue;
		if (is_occupied(slot))
		{
			(*running)++;
			continue;
		}
		if (slot->woken)
		{
			slot->woken = false;
			slot->absences = 0;
			slot->wake_at = 0;
		}
		if (slot->wake_at <= now &&
			(found < 0 || slot->wake_at < ls_shared_state->slots[found].wake_at))
			found = i;
	}
	LWLockRelease(&ls_shared_state->lock);
	return found;
}

/* want_leave tells workers whether to leave after their pass. */
static void
want_leave(bool wanted)
{
	LWLockAcquire(&ls_shared_state->lock, LW_EXCLUSIVE);
	if (wanted && !ls_shared_state->leave_wanted)
		for (int i = 0; i < ls_shared_state->nslots; i++)
			if (ls_shared_state->slots[i].pid != 0)
				SetLatch(ls_shared_state->slots[i].latch);
	ls_shared_state->leave_wanted = wanted;
	LWLockRelease(&ls_shared_state->lock);
}

/* start_workers starts due workers, up to leadscore.max_workers. */
static void
start_workers(void)
{
	TimestampTz now = GetCurrentTimestamp();
	int			running;
	int			number;

	while ((number = next_due_slot(now, &running)) >= 0 && running < ls_setting_max_workers)
	{
		LsWorkerSlot *slot = &ls_shared_state->slots[number];

		CHECK_FOR_INTERRUPTS();
		if (ls_advisory_database_wanted(slot->database))
		{
			LWLockAcquire(&ls_shared_state->lock, LW_EXCLUSIVE);
			slot->wake_at = now + ls_clock_back_off(1);
			LWLockRelease(&ls_shared_state->lock);
		}
		else if (!start_worker(number))
			break;
	}
	want_leave((number >= 0 && running >= ls_setting_max_workers) || running > ls_setting_max_workers);
}

/* ---------- the launcher ---------- */

/* leave removes the launcher from the shared state; its workers then leave. */
static void
leave(int code, Datum arg)
{
	LWLockAcquire(&ls_shared_state->lock, LW_EXCLUSIVE);
	ls_shared_state->launcher_pid = 0;
	ls_shared_state->launcher_latch = NULL;
	for (int i = 0; i < ls_shared_state->nslots; i++)
		if (ls_shared_state->slots[i].pid != 0)
			SetLatch(ls_shared_state->slots[i].latch);
	LWLockRelease(&ls_shared_state->lock);
}

/* enter registers the launcher in the shared state. */
static void
enter(void)
{
	launched = MemoryContextAllocZero(TopMemoryContext,
									  sizeof(Launched) * ls_shared_state->nslots);
	before_shmem_exit(leave, (Datum) 0);
	LWLockAcquire(&ls_shared_state->lock, LW_EXCLUSIVE);
	ls_shared_state->launcher_pid = MyProcPid;
	ls_shared_state->launcher_latch = MyLatch;
	ls_shared_state->launcher_number++;
	ls_shared_state->launcher_started_at = GetCurrentTimestamp();
	ls_shared_state->launcher_phase = LS_PHASE_WATCHING;
	for (int i = 0; i < ls_shared_state->nslots; i++)
	{
		LsWorkerSlot *slot = &ls_shared_state->slots[i];

		/* a worker ordered by the last launcher will see that it is not expected */
		if (slot->phase == LS_PHASE_STARTING && slot->pid == 0)
			slot->phase = LS_PHASE_NEW;
		slot->wake_at = 0;
	}
	LWLockRelease(&ls_shared_state->lock);
}

/* set_phase shows whether the launcher is active. */
static void
set_phase(LsPhase phase)
{
	if (ls_shared_state->launcher_phase == phase)
		return;
	LWLockAcquire(&ls_shared_state->lock, LW_EXCLUSIVE);
	ls_shared_state->launcher_phase = phase;
	LWLockRelease(&ls_shared_state->lock);
}

/* nap_length gives the time until the next action, in milliseconds. */
static long
nap_length(TimestampTz list_at)
{
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz until = list_at;

	LWLockAcquire(&ls_shared_state->lock, LW_SHARED);
	for (int i = 0; i < ls_shared_state->nslots; i++)
	{
		LsWorkerSlot *slot = &ls_shared_state->slots[i];

		if (!OidIsValid(slot->database))
			continue;
		if (is_occupied(slot))
			until = Min(until, now + TURN);
		else if (!ls_shared_state->leave_wanted)
			until = Min(until, slot->wake_at);
	}
	LWLockRelease(&ls_shared_state->lock);
	return until <= now ? 1 : (until - now) / 1000 + 1;
}

/* nap waits for the latch, at most so many milliseconds. */
static void
nap(long milliseconds)
{
	static uint32 wait_event = 0;

	if (wait_event == 0)
		wait_event = ls_wait_event("LeadscoreLauncher");
	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
					 milliseconds, wait_event);
	ResetLatch(MyLatch);
	QueryCancelPending = false; /* there is no query to cancel */
	CHECK_FOR_INTERRUPTS();
	if (ConfigReloadPending)
	{
		ConfigReloadPending = false;
		ProcessConfigFile(PGC_SIGHUP);
	}
}

/*
 * is_over tells whether a launcher for one database has to end: database or extension
 * were dropped.
 */
static bool
is_over(void)
{
	LsWorkerSlot *slot = &ls_shared_state->slots[0];

	if (!OidIsValid(only_database) || is_occupied(slot))
		return false;
	return !OidIsValid(slot->database) || slot->phase == LS_PHASE_ABSENT;
}

static bool
stop_asked_for(void)
{
	if (!OidIsValid(only_database))
		return false;
	if (!ls_advisory_take(LS_LOCK_STOP, only_database))
		return true;
	ls_advisory_release(LS_LOCK_STOP, only_database);
	return false;
}

/* watch is the launcher's main loop; it returns where there is nothing left to do. */
static void
watch(void)
{
	MemoryContext context = AllocSetContextCreate(TopMemoryContext, "leadscore launcher",
												  ALLOCSET_DEFAULT_SIZES);
	TimestampTz list_at = 0;
	TimestampTz before = 0;

	while (!stop_asked_for())
	{
		TimestampTz now = GetCurrentTimestamp();

		CHECK_FOR_INTERRUPTS();
		MemoryContextSwitchTo(context);
		MemoryContextReset(context);
		set_phase(ls_setting_enabled ? LS_PHASE_WATCHING : LS_PHASE_OFF);
		if (now < before)
		{
			all_due();
			list_at = 0;
		}
		before = now;

		if (now >= list_at || ls_shared_state->list_wanted)
		{
			update_slots();
			list_at = now + LIST_INTERVAL;
			if (is_over())
				return;
		}
		for (int i = 0; i < ls_shared_state->nslots; i++)
			mind_worker(i);
		if (ls_setting_enabled)
			start_workers();
		nap(ls_setting_enabled ? nap_length(list_at) : LIST_INTERVAL / 1000);
	}
}

/*
 * wait_for_caller waits until the transaction that started this launcher has ended.
 * After a crash there is no such process, or the pid is another's.
 */
static void
wait_for_caller(const LauncherOrder *order)
{
	while (!stop_asked_for())
	{
		PGPROC	   *proc = BackendPidGetProc(order->caller);
		VirtualTransactionId transaction;

		if (proc == NULL)
			return;
		GET_VXID_FROM_PGPROC(transaction, *proc);
		if (!VirtualTransactionIdEquals(transaction, order->transaction))
			return;
		nap(100);
	}
}

/* ls_launcher_main is the entry point of the process. */
void
ls_launcher_main(Datum main_arg)
{
	LauncherOrder order;

	memcpy(&order, MyBgworkerEntry->bgw_extra, sizeof(order));
	only_database = order.database;
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnection(NULL, NULL, 0);
	/* a reload during the start of the process was missed */
	ProcessConfigFile(PGC_SIGHUP);
	pgstat_report_activity(STATE_RUNNING, OidIsValid(only_database) ?
						   psprintf("leadscore: looking after database %u", only_database) :
						   "leadscore: looking after all databases");

	if (OidIsValid(only_database))
	{
		/* another session may hold it for an instant */
		for (int tries = 1; !ls_advisory_take(LS_LOCK_LAUNCHER, only_database); tries++)
		{
			if (tries == 5)
				proc_exit(0);
			nap(100);
		}
		wait_for_caller(&order);
		private_state = ls_shared_state_make(1);
	}
	enter();
	watch();
	proc_exit(0);
}

/*
 * ls_launcher_define defines the settings and, where the library is preloaded by the
 * server, registers the launcher.
 */
void
ls_launcher_define(void)
{
	LauncherOrder all = {0};
	BackgroundWorker worker;

	ls_settings_define();
	if (!process_shared_preload_libraries_in_progress || IsBinaryUpgrade)
		return;
	ls_shared_state_request();
	ls_launcher_describe(&worker, "launcher", "ls_launcher_main", &all, sizeof(all));
	RegisterBackgroundWorker(&worker);
}

/* ---------- without preloading ---------- */

/*
 * check_may_start refuses callers that own neither the database nor the extension, and
 * refuses during recovery.
 */
static void
check_may_start(void)
{
	if (!has_privs_of_role(GetUserId(), ls_extension_owner()) &&
		!ls_database_ownercheck(MyDatabaseId, GetUserId()))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied to start or stop the worker"),
				 errhint("Only the owner of the database, or of extension leadscore, may do this.")));
	if (RecoveryInProgress())
		ereport(ERROR,
				(errcode(ERRCODE_READ_ONLY_SQL_TRANSACTION),
				 errmsg("there is no worker during recovery"),
				 errdetail("Scores come from the primary server.")));
}

static void
wait_a_moment(void)
{
	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
					 20, PG_WAIT_EXTENSION);
	ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
}

/*
 * wait_for_lock waits until the started launcher holds its lock, or has ended, so that
 * a second call sees the result.
 */
static void
wait_for_lock(BackgroundWorkerHandle *handle)
{
	pid_t		pid;

	while (ls_advisory_take(LS_LOCK_LAUNCHER, MyDatabaseId))
	{
		ls_advisory_release(LS_LOCK_LAUNCHER, MyDatabaseId);
		if (GetBackgroundWorkerPid(handle, &pid) != BGWH_STARTED)
			return;
		wait_a_moment();
	}
}

/* ls_start_worker is leadscore.start_worker(). */
Datum
ls_start_worker(PG_FUNCTION_ARGS)
{
	BackgroundWorker worker;
	BackgroundWorkerHandle *handle;
	LauncherOrder order = {0};
	pid_t		pid;

	check_may_start();
	if (ls_shared_state != NULL)
	{
		ereport(NOTICE,
				(errmsg("the launcher already serves this database"),
				 errdetail("The library is preloaded for the server."),
				 ls_setting_enabled ? 0 : errhint("It starts no worker while leadscore.enabled is off: set it to on and reload.")));
		ls_transaction_wake_worker();
		PG_RETURN_BOOL(false);
	}
	if (!ls_advisory_take(LS_LOCK_LAUNCHER, MyDatabaseId))
	{
		ereport(NOTICE, (errmsg("the worker of this database is running")));
		PG_RETURN_BOOL(false);
	}
	ls_advisory_release(LS_LOCK_LAUNCHER, MyDatabaseId);

	order.database = MyDatabaseId;
	order.caller = MyProcPid;
	GET_VXID_FROM_PGPROC(order.transaction, *MyProc);
	ls_launcher_describe(&worker, "launcher", "ls_launcher_main", &order, sizeof(order));
	worker.bgw_notify_pid = MyProcPid;
	if (!RegisterDynamicBackgroundWorker(&worker, &handle))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_RESOURCES),
				 errmsg("could not register a background process"),
				 errhint("You might need to increase max_worker_processes.")));
	if (WaitForBackgroundWorkerStartup(handle, &pid) != BGWH_STARTED)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_RESOURCES),
				 errmsg("could not start a background process"),
				 errhint("More details may be available in the server log.")));
	wait_for_lock(handle);
	PG_RETURN_BOOL(true);
}

/* ls_stop_worker is leadscore.stop_worker(). */
Datum
ls_stop_worker(PG_FUNCTION_ARGS)
{
	bool		stopped = false;

	check_may_start();
	if (ls_shared_state != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the launcher serves all databases"),
				 errdetail("The library is preloaded for the server."),
				 errhint("Set leadscore.enabled to off and reload.")));
	if (ls_advisory_take(LS_LOCK_LAUNCHER, MyDatabaseId))
	{
		ls_advisory_release(LS_LOCK_LAUNCHER, MyDatabaseId);
		PG_RETURN_BOOL(false);
	}

	/* the launcher sees that it cannot take this lock, and ends */
	if (!ls_advisory_take(LS_LOCK_STOP, MyDatabaseId))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_IN_USE),
				 errmsg("the worker is already being stopped")));
	PG_TRY();
	{
		while (!(stopped = ls_advisory_take(LS_LOCK_LAUNCHER, MyDatabaseId)))
			wait_a_moment();
	}
	PG_FINALLY();
	{
		if (stopped)
			ls_advisory_release(LS_LOCK_LAUNCHER, MyDatabaseId);
		ls_advisory_release(LS_LOCK_STOP, MyDatabaseId);
	}
	PG_END_TRY();
	PG_RETURN_BOOL(true);
}
