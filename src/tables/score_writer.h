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

/* How the row of a contact changes, once it is locked */
typedef enum LsChangeKind
{
	LS_CHANGE_EVENTS,			/* events are added, its profile is set */
	LS_CHANGE_PENDING,			/* what is pending is merged */
	LS_CHANGE_RECOMPUTE,		/* its state is computed from the tables */
	LS_CHANGE_REPLACE,			/* its state was computed by the caller */
	LS_CHANGE_RULES,			/* some rules were computed by the caller */
	LS_CHANGE_REFRESH,			/* it is written where it is not true any more */
	LS_CHANGE_DUE,				/* time has come, says a row of due_<model> */
	LS_CHANGE_SET_STAGE,		/* its stage is overridden, or is so no more */
	LS_CHANGE_REMOVE			/* it goes: it counts for another contact now */
} LsChangeKind;

typedef struct LsChange
{
	LsChangeKind kind;
	Datum		contact;
	bool		deferrable;		/* it is left for later where the model is
								 * suspended, not an error */
	bool		skip_locked;	/* do nothing where another session holds the row */
	union
	{
		struct
		{
			const LsState *delta;	/* to be added, or NULL */
			const LsState *profile; /* what the contact's row says now, or NULL */
			bool		read_profile;	/* ... to be read */
			bool		merge_pending;
			bool		only_if_changed;	/* leave a row that is still true alone */
		}			events;
		struct
		{
			bool		state_only; /* leave what is shown alone: the transaction
									 * may be trying rules out */
		}			pending;
		struct
		{
			const LsState *delta;	/* events that it is because of, or NULL */
			const LsStageState *stage;	/* that a new row begins with, or NULL */
		}			recompute;
		struct
		{
			const LsState *state;
			LsRowThen	row_then;
			bool		test_entry; /* of stages, at the latest event */
		}			replace;
		struct
		{
			const LsState *slots;	/* of ... */
			const int64 *versions;	/* ... these versions */
			int			nversions;
			LsRowThen	row_then;
			bool		state_only; /* as above */
		}			rules;
		const LsDueRow *due;
		struct
		{
			const char *stage;	/* NULL: leave it to the score again */
			const char *reason; /* NULL: none */
			bool		merge_pending;
		}			set_stage;
	}			data;
} LsChange;

typedef enum LsOutcome
{
	LS_UNCHANGED,
	LS_CHANGED,
	LS_SKIPPED					/* another session held the row */
} LsOutcome;

/* fills in a state from the tables; what is dated after now waits in it */
typedef void (*LsCounter) (LsModel *model, Datum contact, TimestampTz now, LsState *state);

/*
 * What has to be read under a row's lock, with a snapshot newer than the lock, is
 * read by others, who use the writer: they are made known when the module is loaded.
 */
typedef struct LsScoreWriterCallbacks
{
	LsCounter	count_all;		/* events and profile */
	LsCounter	count_profile;
	/* gives conditions of stages the contact's row */
	void		(*stage_context) (LsModel *model, Datum contact, ExprContext *econtext);
} LsScoreWriterCallbacks;

typedef struct LsScoreWriter LsScoreWriter;

extern void ls_score_writer_define(const LsScoreWriterCallbacks *callbacks);
extern LsScoreWriter *ls_score_writer_open(LsModel *model, const char *cause);
extern LsOutcome ls_score_writer_change(LsScoreWriter *writer, const LsChange *change);
extern int64 ls_score_writer_transitions(const LsScoreWriter *writer);
extern void ls_score_writer_close(LsScoreWriter *writer);
extern bool ls_score_writer_would_change(LsScoreWriter *writer, LsScoreRow *row);

#endif							/* LEADSCORE_SCORE_WRITER_H */
