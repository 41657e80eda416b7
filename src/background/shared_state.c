/*-------------------------------------------------------------------------
 *
 * shared_state.c
 *		What launcher and workers know of each other, in shared memory.
 *
 *-------------------------------------------------------------------------
 */
#include "background/shared_state.h"

#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/shmem.h"

#include "base/compat.h"

#define TRANCHE		"leadscore"
#define SLOW_FOR	(600 * USECS_PER_SEC)

LsSharedState *ls_shared_state = NULL;

LsWorkerSlot *ls_shared_slot;
LsWorkerOrder ls_shared_order;

static shmem_request_hook_type previous_shmem_request = NULL;
static shmem_startup_hook_type previous_shmem_startup = NULL;

static Size
state_size(int nslots)
{
	return add_size(offsetof(LsSharedState, slots), mul_size(nslots, sizeof(LsWorkerSlot)));
}

static void
initialize(LsSharedState *state, int nslots, int tranche)
{
	memset(state, 0, state_size(nslots));
	LWLockInitialize(&state->lock, tranche);
	state->nslots = nslots;
}

static void
request_shmem(void)
{
	if (previous_shmem_request)
		previous_shmem_request();
	RequestAddinShmemSpace(state_size(LS_MAX_DATABASES));
	RequestNamedLWLockTranche(TRANCHE, 1);
}

/* start_shmem initialises the shared state, also after a crash. */
static void
start_shmem(void)
{
	bool		found;

	if (previous_shmem_startup)
		previous_shmem_startup();
	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	ls_shared_state = ShmemInitStruct("leadscore", state_size(LS_MAX_DATABASES), &found);
	if (!found)
		initialize(ls_shared_state, LS_MAX_DATABASES,
				   GetNamedLWLockTranche(TRANCHE)->lock.tranche);
	LWLockRelease(AddinShmemInitLock);
}

/* ls_shared_state_request requests shared memory, while the library is preloaded. */
void
ls_shared_state_request(void)
{
	previous_shmem_request = shmem_request_hook;
	shmem_request_hook = request_shmem;
	previous_shmem_startup = shmem_startup_hook;
	shmem_startup_hook = start_shmem;
}

/*
 * ls_shared_state_make creates a shared state of this process, which exists as long as
 * the process and its workers.
 */
dsm_handle
ls_shared_state_make(int nslots)
{
	dsm_segment *segment = dsm_create(state_size(nslots), 0);

	dsm_pin_mapping(segment);
	ls_shared_state = dsm_segment_address(segment);
	initialize(ls_shared_state, nslots, ls_new_tranche(TRANCHE));
	return dsm_segment_handle(segment);
}

/*
 * ls_shared_state_attach attaches a worker to such a shared state; false if it no
 * longer exists.
 */
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

/* ls_shared_state_copy gives a consistent copy. */
LsSharedState *
ls_shared_state_copy(void)
{
	Size		size = state_size(ls_shared_state->nslots);
	LsSharedState *copy = palloc(size);

	LWLockAcquire(&ls_shared_state->lock, LW_SHARED);
	memcpy(copy, ls_shared_state, size);
	LWLockRelease(&ls_shared_state->lock);
	return copy;
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

/* ls_shared_state_wake_launcher wakes up the launcher.  The lock is held. */
void
ls_shared_state_wake_launcher(void)
{
	if (ls_shared_state->launcher_pid != 0)
		SetLatch(ls_shared_state->launcher_latch);
}

/* ls_shared_state_wake_up wakes up the worker of a database, or has one started. */
void
ls_shared_state_wake_up(Oid database)
{
	LsWorkerSlot *slot;

	if (ls_shared_state == NULL)
		return;
	LWLockAcquire(&ls_shared_state->lock, LW_EXCLUSIVE);
	slot = ls_shared_state_find(database);
	if (slot == NULL)
		ls_shared_state->list_wanted = true;
	else
	{
		slot->woken = true;
		if (slot->pid != 0)
			SetLatch(slot->latch);
	}
	ls_shared_state_wake_launcher();
	LWLockRelease(&ls_shared_state->lock);
}

/* ls_shared_slot_phase shows the phase of a worker. */
void
ls_shared_slot_phase(LsPhase phase, const char *model)
{
	LWLockAcquire(&ls_shared_state->lock, LW_EXCLUSIVE);
	ls_shared_slot->phase = phase;
	strlcpy(ls_shared_slot->model, model ? model : "", sizeof(ls_shared_slot->model));
	ls_shared_slot->done = 0;
	ls_shared_slot->total = 0;
	LWLockRelease(&ls_shared_state->lock);
}

/* ls_shared_slot_progress shows the progress of a worker. */
void
ls_shared_slot_progress(int64 done, int64 total)
{
	LWLockAcquire(&ls_shared_state->lock, LW_EXCLUSIVE);
	ls_shared_slot->done = done;
	ls_shared_slot->total = total;
	LWLockRelease(&ls_shared_state->lock);
}

/* turn_minute updates the counts per minute.  The lock is held. */
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

/* ls_shared_slot_count adds to the counts of a worker. */
void
ls_shared_slot_count(int64 contacts, int64 transitions)
{
	LWLockAcquire(&ls_shared_state->lock, LW_EXCLUSIVE);
	turn_minute(ls_shared_slot, GetCurrentTimestamp());
	ls_shared_slot->contacts += contacts;
	ls_shared_slot->transitions += transitions;
	ls_shared_slot->this_minute += transitions;
	LWLockRelease(&ls_shared_state->lock);
}

/* ls_shared_slot_error records the latest error, for the view activity. */
void
ls_shared_slot_error(const char *message)
{
	int			length = pg_mbcliplen(message, strlen(message), sizeof(ls_shared_slot->last_error) - 1);

	LWLockAcquire(&ls_shared_state->lock, LW_EXCLUSIVE);
	memcpy(ls_shared_slot->last_error, message, length);
	ls_shared_slot->last_error[length] = '\0';
	ls_shared_slot->last_error_at = GetCurrentTimestamp();
	LWLockRelease(&ls_shared_state->lock);
}

/*
 * ls_shared_slot_set_slow remembers that a model is slow.  Where there are too many,
 * the one that has been slow for the longest time is forgotten.
 */
void
ls_shared_slot_set_slow(const char *model)
{
	LsSlow	   *place = NULL;

	LWLockAcquire(&ls_shared_state->lock, LW_EXCLUSIVE);
	for (int i = 0; i < LS_MAX_SLOW; i++)
		if (strcmp(ls_shared_slot->slow[i].model, model) == 0)
			place = &ls_shared_slot->slow[i];
	for (int i = 0; i < LS_MAX_SLOW && place == NULL; i++)
		if (ls_shared_slot->slow[i].until < GetCurrentTimestamp())
			place = &ls_shared_slot->slow[i];
	if (place == NULL)
	{
		place = &ls_shared_slot->slow[0];
		for (int i = 1; i < LS_MAX_SLOW; i++)
			if (ls_shared_slot->slow[i].until < place->until)
				place = &ls_shared_slot->slow[i];
	}
	strlcpy(place->model, model, sizeof(place->model));
	place->until = GetCurrentTimestamp() + SLOW_FOR;
	LWLockRelease(&ls_shared_state->lock);
}

/*
 * ls_shared_slot_count_slow counts the slow models that are remembered, or one (not
 * NULL).
 */
int
ls_shared_slot_count_slow(const char *model)
{
	TimestampTz now = GetCurrentTimestamp();
	int			n = 0;

	LWLockAcquire(&ls_shared_state->lock, LW_SHARED);
	for (int i = 0; i < LS_MAX_SLOW; i++)
		n += ls_shared_slot->slow[i].until > now &&
			(model == NULL || strcmp(ls_shared_slot->slow[i].model, model) == 0);
	LWLockRelease(&ls_shared_state->lock);
	return n;
}

/*
 * ls_shared_slot_per_minute gives the number of transitions in the last 60 seconds, as
 * if those of the last whole minute were evenly spread.
 */
double
ls_shared_slot_per_minute(LsWorkerSlot *slot)
{
	TimestampTz now = GetCurrentTimestamp();

	turn_minute(slot, now);
	return slot->this_minute + slot->last_minute *
		(1.0 - (double) (now - slot->minute) / USECS_PER_MINUTE);
}
