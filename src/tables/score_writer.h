/*-------------------------------------------------------------------------
 *
 * score_writer.h
 *		Reads and writes score_<model>: the only writer.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_SCORE_WRITER_H
#define LEADSCORE_SCORE_WRITER_H

#include "postgres.h"

#include "rules/model_compile.h"
#include "scoring/stage.h"
#include "scoring/state.h"
#include "tables/due_table.h"
#include "tables/score_table.h"

/* Whether a contact had a row, which was locked, when its events were counted */
typedef enum LsRowThen
{
	LS_ROW_HELD,				/* others are kept away, it is as it was */
	LS_ROW_THERE,
	LS_ROW_NONE
} LsRowThen;

/*
 * How the state of one contact changes, once its row is locked.  What has to be
 * read then is read by the store's counters, with a snapshot newer than the
 * lock.
 */
typedef struct LsChange
{
	Datum		contact;
	const LsState *delta;		/* events to be added, or NULL */
	bool		test_entry;		/* of stages, at the latest of these events */
	const LsState *profile;		/* what the contact's row says now, or NULL */
	bool		count_profile;	/* ... to be read */
	bool		count_all;		/* events and profile to be counted anew */
	const LsState *whole;		/* events and profile counted anew, or NULL */
	const LsState *slots;		/* some rules counted anew, or NULL: those of ... */
	const int64 *versions;		/* ... these versions */
	int			nversions;
	LsRowThen	row_then;		/* when whole or slots were counted */
	bool		fold;			/* what is pending is to be added */
	bool		only_if_changed;	/* leave a row that is still true alone */
	bool		state_only;		/* leave what is shown alone: the transaction
								 * may be trying rules out */
	const LsDueRow *due;		/* time has come, says this row of due_<model> */
	bool		deferrable;		/* it is left for later where the model is
								 * suspended, not an error */
	bool		skip_locked;	/* do nothing where somebody holds the row */
	bool		remove;			/* its row goes: it counts for another now */
	const LsStanding *standing; /* what it begins with, if it has no row */
	bool		by_hand;		/* put into this stage, or where it is NULL */
	const char *stage;			/* leave it to the score again, ... */
	const char *reason;			/* ... for this reason, or NULL */
} LsChange;

typedef enum LsOutcome
{
	LS_UNCHANGED,
	LS_CHANGED,
	LS_SKIPPED					/* somebody held the row */
} LsOutcome;

/* fills in a state from the tables; what is dated after now waits in it */
typedef void (*LsCounter) (LsModel *model, Datum contact, TimestampTz now, LsState *state);

typedef struct LsStore LsStore;

extern LsStore *ls_store_open(LsModel *model, const char *cause,
							  LsCounter count_all, LsCounter count_profile);
extern LsOutcome ls_store_change(LsStore *store, const LsChange *change);
extern int64 ls_store_transitions(const LsStore *store);
extern void ls_store_close(LsStore *store);
extern bool ls_store_needs_change(LsStore *store, LsScoreRow *row);

extern void ls_store_set_profile(LsModel *model, LsState *state,
								 const LsState *profile);

#endif							/* LEADSCORE_SCORE_WRITER_H */
