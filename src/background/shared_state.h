/*-------------------------------------------------------------------------
 *
 * shared_state.h
 *		What launcher and workers know of each other, in shared memory.
 *
 * With the library preloaded by the server there is one shared state.  A launcher
 * started by leadscore.start_worker() creates one of its own, for its database.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_SHARED_STATE_H
#define LEADSCORE_SHARED_STATE_H

#include "postgres.h"

#include "storage/dsm.h"
#include "storage/latch.h"
#include "storage/lwlock.h"
#include "utils/timestamp.h"

/* the maximum number of databases of a launcher */
#define LS_MAX_DATABASES	1024

/*
 * The phase of a process, or of a database without a worker.  launcher.c has a diagram
 * of the phases.
 */
typedef enum LsPhase
{
	/* of the launcher */
	LS_PHASE_OFF,				/* leadscore.enabled is off */
	LS_PHASE_WATCHING,			/* it starts workers where they are due */
	/* of a database */
	LS_PHASE_NEW,				/* no worker has been started yet */
	LS_PHASE_STARTING,			/* a worker is being started */
	LS_PHASE_WAITING,			/* there are models: a worker is started when due */
	LS_PHASE_ABSENT,			/* no extension, or no model */
	LS_PHASE_OUTDATED,			/* the extension is of another version than the library */
	LS_PHASE_FAILED,			/* the worker failed and will be started again */
	/* of a worker */
	LS_PHASE_LOOKING,			/* it lists the models */
	LS_PHASE_SCORING,			/* contacts that are due */
	LS_PHASE_DAYS,				/* what the scores were at midnight */
	LS_PHASE_DELIVERING,		/* consequences: notifications, functions */
	LS_PHASE_PURGING,			/* expired rows */
	LS_PHASE_NAPPING			/* until something is due, or naptime is over */
} LsPhase;

/* slow models that are remembered for a database */
#define LS_MAX_SLOW			8

/* A model with a step that was cancelled because other models wait */
typedef struct LsSlow
{
	char		model[NAMEDATALEN];
	TimestampTz until;			/* it has a process of its own until then; real time */
} LsSlow;

/* One database, with its worker if there is one */
typedef struct LsWorkerSlot
{
	Oid			database;		/* InvalidOid: the slot is free */
	Oid			owner;			/* of the database */
	LsPhase		phase;
	pid_t		pid;			/* of the worker, 0: none */
	Latch	   *latch;			/* of the worker */
	TimestampTz started_at;		/* when the worker began */
	bool		woken;			/* there is something to do now */
	bool		helper_missed;	/* no process was available for one, and this was logged */

	/* for the launcher; real time, whatever leadscore.clock says */
	TimestampTz wake_at;		/* when a worker is to be started */
	int			failures;		/* consecutive ones */
	int			absences;		/* consecutive ones */

	/* what the worker shows */
	char		model[NAMEDATALEN];
	int64		done;
	int64		total;			/* 0: unknown */
	TimestampTz next_due;		/* by the clock; DT_NOEND: nothing */
	int64		contacts;		/* evaluated, since the server started */
	int64		transitions;
	TimestampTz minute;			/* transitions of this minute and the last */
	int64		this_minute;
	int64		last_minute;
	TimestampTz last_pass_at;	/* real time; 0: none yet */
	TimestampTz purged_at;		/* real time; 0: none yet */
	TimestampTz last_error_at;	/* real time; 0: none */
	char		last_error[256];
	char		offender[NAMEDATALEN];	/* model because of which a worker had to end, or empty */
	TimestampTz round_began;	/* real time; 0: it naps */
	LsSlow		slow[LS_MAX_SLOW];
} LsWorkerSlot;

typedef struct LsSharedState
{
	LWLock		lock;			/* of all that follows */
	pid_t		launcher_pid;	/* 0: none */
	Latch	   *launcher_latch;
	uint64		launcher_number;	/* workers belong to the launcher with this number */
	LsPhase		launcher_phase;
	TimestampTz launcher_started_at;
	bool		list_wanted;	/* a database has no slot */
	bool		leave_wanted;	/* databases wait: naps are to end */
	int			nslots;
	LsWorkerSlot slots[FLEXIBLE_ARRAY_MEMBER];
} LsSharedState;

/* what the launcher passes to a worker, in bgw_extra */
typedef struct LsWorkerOrder
{
	Oid			database;
	Oid			owner;			/* of the database, when the launcher last listed it */
	int			slot;			/* of the shared state */
	uint64		launcher_number;
	dsm_handle	shared_state;	/* DSM_HANDLE_INVALID: the server's */
} LsWorkerOrder;

/* NULL: the library is not preloaded, and this process has none */
extern LsSharedState *ls_shared_state;

extern void ls_shared_state_request(void);
extern dsm_handle ls_shared_state_make(int nslots);
extern bool ls_shared_state_attach(dsm_handle handle);
extern LsWorkerSlot *ls_shared_state_find(Oid database);
extern void ls_shared_state_wake_launcher(void);
extern void ls_shared_state_wake_up(Oid database);
extern LsSharedState *ls_shared_state_copy(void);

/* for the worker of a slot and its helpers: the slot, and what was passed to them */
extern LsWorkerSlot *ls_shared_slot;
extern LsWorkerOrder ls_shared_order;

extern void ls_shared_slot_phase(LsPhase phase, const char *model);
extern void ls_shared_slot_progress(int64 done, int64 total);
extern void ls_shared_slot_count(int64 contacts, int64 transitions);
extern void ls_shared_slot_error(const char *message);
extern void ls_shared_slot_set_slow(const char *model);
extern int	ls_shared_slot_count_slow(const char *model);
extern double ls_shared_slot_per_minute(LsWorkerSlot *slot);

#endif							/* LEADSCORE_SHARED_STATE_H */
