/*-------------------------------------------------------------------------
 *
 * activity.c
 *		The board: what launcher and workers are at, for them and for all to see.
 *
 *-------------------------------------------------------------------------
 */
#include "background/activity.h"

#include "catalog/pg_authid.h"
#include "commands/dbcommands.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/shmem.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "mb/pg_wchar.h"
#include "utils/memutils.h"
#include "utils/tuplestore.h"

#include "background/worker.h"
#include "base/compat.h"
#include "definitions/catalog.h"
#include "definitions/extension.h"
#include "definitions/rights.h"

PG_FUNCTION_INFO_V1(ls_activity);

#define TRANCHE		"leadscore"
#define SLOW_FOR	(600 * USECS_PER_SEC)

/* columns of leadscore_internal.activity() */
enum
{
	COL_ROLE,
	COL_PID,
	COL_DATABASE,
	COL_PHASE,
	COL_MODEL,
	COL_DONE,
	COL_TOTAL,
	COL_NEXT_DUE,
	COL_TRANSITIONS,
	COL_LAST_PASS_AT,
	COL_LAST_ERROR,
	COL_LAST_ERROR_AT,
	COL_STARTED_AT,
	COL_ROUND_BEGAN,
	NCOLUMNS
};

LsSharedState    *ls_shared_state = NULL;

static shmem_request_hook_type previous_shmem_request = NULL;
static shmem_startup_hook_type previous_shmem_startup = NULL;

static Size
board_size(int nslots)
{
	return add_size(offsetof(LsSharedState, slots), mul_size(nslots, sizeof(LsWorkerSlot)));
}

static void
initialize(LsSharedState *board, int nslots, int tranche)
{
	memset(board, 0, board_size(nslots));
	LWLockInitialize(&board->lock, tranche);
	board->nslots = nslots;
}

static void
request_shmem(void)
{
	if (previous_shmem_request)
		previous_shmem_request();
	RequestAddinShmemSpace(board_size(LS_MAX_DATABASES));
	RequestNamedLWLockTranche(TRANCHE, 1);
}

/* start_shmem makes the board; after a crash once more, and empty. */
static void
start_shmem(void)
{
	bool		found;

	if (previous_shmem_startup)
		previous_shmem_startup();
	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	ls_shared_state = ShmemInitStruct("leadscore board", board_size(LS_MAX_DATABASES), &found);
	if (!found)
		initialize(ls_shared_state, LS_MAX_DATABASES,
				   GetNamedLWLockTranche(TRANCHE)->lock.tranche);
	LWLockRelease(AddinShmemInitLock);
}

/* ls_shared_state_request asks for shared memory, while the library is preloaded. */
void
ls_shared_state_request(void)
{
	previous_shmem_request = shmem_request_hook;
	shmem_request_hook = request_shmem;
	previous_shmem_startup = shmem_startup_hook;
	shmem_startup_hook = start_shmem;
}

/*
 * ls_shared_state_make makes a board of this process's own, which lives as long as
 * it and its workers do.
 */
dsm_handle
ls_shared_state_make(int nslots)
{
	dsm_segment *segment = dsm_create(board_size(nslots), 0);

	dsm_pin_mapping(segment);
	ls_shared_state = dsm_segment_address(segment);
	initialize(ls_shared_state, nslots, ls_new_tranche(TRANCHE));
	return dsm_segment_handle(segment);
}

/* ls_shared_state_attach shows a worker such a board; false if it is gone. */
bool
ls_shared_state_attach(dsm_handle handle)
{
	dsm_segment *segment;

	if (handle == DSM_HANDLE_INVALID)
		return ls_shared_state != NULL;
	segment = dsm_attach(handle);
	if (segment == NULL)
		return false;
	dsm_pin_mapping(segment);
	ls_shared_state = dsm_segment_address(segment);
	ls_name_tranche(ls_shared_state->lock.tranche, TRANCHE);
	return true;
}

/* ls_shared_state_find finds a database's slot, or NULL.  The lock is held. */
LsWorkerSlot *
ls_shared_state_find(Oid database)
{
	for (int i = 0; i < ls_shared_state->nslots; i++)
		if (ls_shared_state->slots[i].database == database)
			return &ls_shared_state->slots[i];
	return NULL;
}

/* ls_shared_state_wake_launcher has the launcher look at the board.  The lock is held. */
void
ls_shared_state_wake_launcher(void)
{
	if (ls_shared_state->launcher_pid != 0)
		SetLatch(ls_shared_state->launcher_latch);
}

/* ls_shared_state_poke has a database looked at now. */
void
ls_shared_state_poke(Oid database)
{
	LsWorkerSlot	   *slot;

	if (ls_shared_state == NULL)
		return;
	LWLockAcquire(&ls_shared_state->lock, LW_EXCLUSIVE);
	slot = ls_shared_state_find(database);
	if (slot == NULL)
		ls_shared_state->list_wanted = true;
	else
	{
		slot->poked = true;
		if (slot->pid != 0)
			SetLatch(slot->latch);
	}
	ls_shared_state_wake_launcher();
	LWLockRelease(&ls_shared_state->lock);
}

/* ls_worker_slot_phase tells what a worker has turned to. */
void
ls_worker_slot_phase(LsWorkerSlot *slot, LsPhase phase, const char *model)
{
	LWLockAcquire(&ls_shared_state->lock, LW_EXCLUSIVE);
	slot->phase = phase;
	strlcpy(slot->model, model ? model : "", sizeof(slot->model));
	slot->done = 0;
	slot->total = 0;
	LWLockRelease(&ls_shared_state->lock);
}

/* ls_worker_slot_progress tells how far it is. */
void
ls_worker_slot_progress(LsWorkerSlot *slot, int64 done, int64 total)
{
	LWLockAcquire(&ls_shared_state->lock, LW_EXCLUSIVE);
	slot->done = done;
	slot->total = total;
	LWLockRelease(&ls_shared_state->lock);
}

/* turn_minute brings the counts per minute up to now.  The lock is held. */
static void
turn_minute(LsWorkerSlot *slot, TimestampTz now)
{
	TimestampTz minute = now - now % USECS_PER_MINUTE;

	if (minute == slot->minute)
		return;
	slot->last_minute = minute == slot->minute + USECS_PER_MINUTE ? slot->this_minute : 0;
	slot->this_minute = 0;
	slot->minute = minute;
}

/* ls_worker_slot_count adds to what a worker has done. */
void
ls_worker_slot_count(LsWorkerSlot *slot, int64 contacts, int64 transitions)
{
	LWLockAcquire(&ls_shared_state->lock, LW_EXCLUSIVE);
	turn_minute(slot, GetCurrentTimestamp());
	slot->contacts += contacts;
	slot->transitions += transitions;
	slot->this_minute += transitions;
	LWLockRelease(&ls_shared_state->lock);
}

/* ls_worker_slot_error keeps the latest error for all to see. */
void
ls_worker_slot_error(LsWorkerSlot *slot, const char *message)
{
	int			length = pg_mbcliplen(message, strlen(message), sizeof(slot->last_error) - 1);

	LWLockAcquire(&ls_shared_state->lock, LW_EXCLUSIVE);
	memcpy(slot->last_error, message, length);
	slot->last_error[length] = '\0';
	slot->last_error_at = GetCurrentTimestamp();
	LWLockRelease(&ls_shared_state->lock);
}

/*
 * ls_worker_slot_set_slow remembers that a model is slow.  Where there are too many, the one
 * is forgotten that has been slow for the longest time.
 */
void
ls_worker_slot_set_slow(LsWorkerSlot *slot, const char *model)
{
	LsSlow	   *place = NULL;

	LWLockAcquire(&ls_shared_state->lock, LW_EXCLUSIVE);
	for (int i = 0; i < LS_MAX_SLOW; i++)
		if (strcmp(slot->slow[i].model, model) == 0)
			place = &slot->slow[i];
	for (int i = 0; i < LS_MAX_SLOW && place == NULL; i++)
		if (slot->slow[i].until < GetCurrentTimestamp())
			place = &slot->slow[i];
	if (place == NULL)
	{
		place = &slot->slow[0];
		for (int i = 1; i < LS_MAX_SLOW; i++)
			if (slot->slow[i].until < place->until)
				place = &slot->slow[i];
	}
	strlcpy(place->model, model, sizeof(place->model));
	place->until = GetCurrentTimestamp() + SLOW_FOR;
	LWLockRelease(&ls_shared_state->lock);
}

/* ls_worker_slot_is_slow tells whether it is remembered. */
bool
ls_worker_slot_is_slow(LsWorkerSlot *slot, const char *model)
{
	TimestampTz now = GetCurrentTimestamp();
	bool		slow = false;

	LWLockAcquire(&ls_shared_state->lock, LW_SHARED);
	for (int i = 0; i < LS_MAX_SLOW; i++)
		slow |= slot->slow[i].until > now && strcmp(slot->slow[i].model, model) == 0;
	LWLockRelease(&ls_shared_state->lock);
	return slow;
}

/* ls_worker_slot_count_slow tells of how many models it is. */
int
ls_worker_slot_count_slow(LsWorkerSlot *slot)
{
	TimestampTz now = GetCurrentTimestamp();
	int			n = 0;

	LWLockAcquire(&ls_shared_state->lock, LW_SHARED);
	for (int i = 0; i < LS_MAX_SLOW; i++)
		n += slot->slow[i].until > now;
	LWLockRelease(&ls_shared_state->lock);
	return n;
}

/*
 * per_minute is the number of transitions in the last 60 seconds, those of the
 * last whole minute being taken as evenly spread.
 */
static double
per_minute(LsWorkerSlot *slot, TimestampTz now)
{
	turn_minute(slot, now);
	return slot->this_minute + slot->last_minute *
		(1.0 - (double) (now - slot->minute) / USECS_PER_MINUTE);
}

static const char *
phase_name(LsPhase phase)
{
	switch (phase)
	{
		case LS_PHASE_OFF:
			return "off";
		case LS_PHASE_WATCHING:
			return "watching";
		case LS_PHASE_NEW:
			return "new";
		case LS_PHASE_STARTING:
			return "starting";
		case LS_PHASE_WAITING:
			return "waiting";
		case LS_PHASE_ABSENT:
			return "absent";
		case LS_PHASE_OUTDATED:
			return "outdated";
		case LS_PHASE_FAILED:
			return "failed";
		case LS_PHASE_LOOKING:
			return "looking";
		case LS_PHASE_SCORING:
			return "scoring";
		case LS_PHASE_DAYS:
			return "days";
		case LS_PHASE_DELIVERING:
			return "delivering";
		case LS_PHASE_PURGING:
			return "purging";
		case LS_PHASE_NAPPING:
			return "napping";
	}
	return NULL;
}

/* put fills in a column where there is something to tell. */
static void
put(Datum *values, bool *nulls, int column, bool known, Datum value)
{
	values[column] = value;
	nulls[column] = !known;
}

static void
put_time(Datum *values, bool *nulls, int column, TimestampTz t)
{
	put(values, nulls, column, t != 0 && !TIMESTAMP_NOT_FINITE(t),
		TimestampTzGetDatum(t));
}

static void
start_row(Datum *values, bool *nulls)
{
	memset(values, 0, sizeof(Datum) * NCOLUMNS);
	memset(nulls, true, sizeof(bool) * NCOLUMNS);
}

static void
put_launcher(ReturnSetInfo *rsinfo, const LsSharedState *board)
{
	Datum		values[NCOLUMNS];
	bool		nulls[NCOLUMNS];

	start_row(values, nulls);
	put(values, nulls, COL_ROLE, true, CStringGetTextDatum("launcher"));
	put(values, nulls, COL_PID, true, Int32GetDatum(board->launcher_pid));
	put(values, nulls, COL_PHASE, true,
		CStringGetTextDatum(phase_name(board->launcher_phase)));
	put_time(values, nulls, COL_STARTED_AT, board->launcher_started_at);
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

/* may_see tells whether a model of this database is one of the caller's. */
static bool
may_see(const char *model)
{
	LsModelRow *row = ls_model_row(model, NULL);

	return row != NULL && ls_may_manage_model(row, GetUserId());
}

/*
 * readable gives a message that may come from a database with another encoding:
 * where it is none in ours, other characters than those of ASCII are lost.
 */
static char *
readable(char *message)
{
	if (!pg_verifymbstr(message, strlen(message), true))
		for (char *c = message; *c; c++)
			if (IS_HIGHBIT_SET(*c))
				*c = '?';
	return message;
}

/*
 * put_slot shows a database.  Those who may not see what others are doing see
 * more than its name for their own database only, of models their own only, and
 * no messages, which may quote what is in the tables.
 */
static void
put_slot(ReturnSetInfo *rsinfo, LsWorkerSlot *slot, bool all)
{
	char	   *name = get_database_name(slot->database);
	bool		details = all || slot->database == MyDatabaseId;
	Datum		values[NCOLUMNS];
	bool		nulls[NCOLUMNS];

	if (name == NULL)
		return;					/* just dropped */
	start_row(values, nulls);
	put(values, nulls, COL_ROLE, true,
		CStringGetTextDatum(slot->pid ? "worker" : "database"));
	put(values, nulls, COL_PID, slot->pid != 0, Int32GetDatum(slot->pid));
	put(values, nulls, COL_DATABASE, true, CStringGetTextDatum(name));
	if (details)
	{
		put(values, nulls, COL_PHASE, true, CStringGetTextDatum(phase_name(slot->phase)));
		put(values, nulls, COL_MODEL, slot->model[0] != '\0' && (all || may_see(slot->model)),
			CStringGetTextDatum(slot->model));
		put(values, nulls, COL_DONE, slot->phase == LS_PHASE_SCORING,
			Int64GetDatum(slot->done));
		put(values, nulls, COL_TOTAL, slot->total > 0, Int64GetDatum(slot->total));
		put_time(values, nulls, COL_NEXT_DUE, slot->next_due);
		put(values, nulls, COL_TRANSITIONS, slot->last_pass_at != 0,
			Float8GetDatum(per_minute(slot, GetCurrentTimestamp())));
		put_time(values, nulls, COL_LAST_PASS_AT, slot->last_pass_at);
		put(values, nulls, COL_LAST_ERROR, all && slot->last_error_at != 0,
			CStringGetTextDatum(readable(slot->last_error)));
		put_time(values, nulls, COL_LAST_ERROR_AT, slot->last_error_at);
		put_time(values, nulls, COL_STARTED_AT, slot->started_at);
		if (slot->pid != 0 &&
			GetCurrentTimestamp() - slot->round_began > (int64) ls_naptime * 1000)
			put_time(values, nulls, COL_ROUND_BEGAN, slot->round_began);
	}
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

/* ls_activity is leadscore_internal.activity(), from which the view activity is made. */
Datum
ls_activity(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	bool		all = has_privs_of_role(GetUserId(), ROLE_PG_MONITOR) ||
		has_privs_of_role(GetUserId(), ls_extension_owner());
	LsSharedState    *copy;

	InitMaterializedSRF(fcinfo, 0);
	if (ls_shared_state == NULL)
		PG_RETURN_NULL();

	/* names are looked up without the lock */
	copy = palloc(board_size(ls_shared_state->nslots));
	LWLockAcquire(&ls_shared_state->lock, LW_SHARED);
	memcpy(copy, ls_shared_state, board_size(ls_shared_state->nslots));
	LWLockRelease(&ls_shared_state->lock);

	if (copy->launcher_pid != 0)
		put_launcher(rsinfo, copy);
	for (int i = 0; i < copy->nslots; i++)
		if (OidIsValid(copy->slots[i].database))
			put_slot(rsinfo, &copy->slots[i], all);
	pfree(copy);
	PG_RETURN_NULL();
}
