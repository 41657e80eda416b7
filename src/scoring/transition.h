/*-------------------------------------------------------------------------
 *
 * transition.h
 *		What happens to a contact in a change: from a row to the next, and events.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_TRANSITION_H
#define LEADSCORE_TRANSITION_H

#include "postgres.h"

#include "nodes/pg_list.h"

#include "scoring/next_change.h"
#include "scoring/score_row.h"

/* ---------- changes of a contact's row ---------- */

typedef enum LsChangeKind
{
	LS_CHANGE_EVENTS,			/* events are added, its profile is set */
	LS_CHANGE_PENDING,			/* what is pending is merged */
	LS_CHANGE_RECOMPUTE,		/* its state is computed from the tables */
	LS_CHANGE_REPLACE,			/* its state was computed by the caller */
	LS_CHANGE_RULES,			/* some rules were computed by the caller */
	LS_CHANGE_REFRESH,			/* it is written if it is outdated */
	LS_CHANGE_DUE,				/* its row of due_<model> is due */
	LS_CHANGE_SET_STAGE,		/* its stage is overridden, or the override removed */
	LS_CHANGE_REMOVE			/* it is removed: its events belong to another contact now */
} LsChangeKind;

/* Whether a contact had a row, which was locked, when its events were read */
typedef enum LsRowThen
{
	LS_ROW_HELD,				/* other sessions are locked out: it is as it was */
	LS_ROW_THERE,
	LS_ROW_NONE
} LsRowThen;

typedef struct LsChange
{
	LsChangeKind kind;
	Datum		contact;
	bool		deferrable;		/* enqueued if the model is suspended, not an error */
	bool		skip_locked;	/* do nothing where another session holds the row */
	union
	{
		struct
		{
			const LsEvent *event;	/* the only one, matched with this model, or NULL */
			const LsState *delta;	/* else: what events add up to, or NULL */
			const LsState *profile; /* profile according to the contact's row, or NULL */
			bool		read_profile;	/* ... to be read */
			bool		merge_pending;
			bool		only_if_changed;	/* leave a row unchanged that is up to date */
		}			events;
		struct
		{
			bool		state_only; /* leave the shown columns unchanged: rules may be tried out */
		}			pending;
		struct
		{
			const LsEvent *event;	/* the only new event, which requires it, or NULL */
			const LsState *delta;	/* else: of new events, or NULL */
			const LsStageState *stage;	/* stage with which a new row begins, or NULL */
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
		struct
		{
			bool		known;		/* the caller has seen that it is outdated */
		}			refresh;
		const LsDueRow *due;
		struct
		{
			const char *stage;	/* NULL: remove the override */
			const char *reason; /* NULL: none */
			bool		merge_pending;
		}			set_stage;
	}			data;
} LsChange;

/* ls_change_is_state_only tells whether a change leaves the shown columns unchanged. */
static inline bool
ls_change_is_state_only(const LsChange *change)
{
	return (change->kind == LS_CHANGE_PENDING && change->data.pending.state_only) ||
		(change->kind == LS_CHANGE_RULES && change->data.rules.state_only);
}

/* What was read for a change: the new state is made of it */
typedef struct LsCounted
{
	const LsState *whole;		/* replaces the state, or NULL */
	const LsState *pending;		/* else: to be added, or NULL */
	const LsState *delta;		/* likewise */
	const LsEvent *event;		/* likewise; not after the clock */
	const LsState *slots;		/* some rules computed, or NULL: those of ... */
	const int64 *versions;		/* ... these versions */
	int			nversions;
	const LsState *profile;		/* profile according to the contact's row, or NULL */
	TimestampTz latest;			/* latest new event, DT_NOBEGIN: none */
} LsCounted;

/* ---------- events of a transition ---------- */

/* What happened to a contact at one instant */
typedef struct LsTransitionEvent
{
	const char *from_stage;		/* the same as to_stage where it did not change */
	const char *to_stage;
	const char *from_grade;		/* where grades are watched; NULL: none */
	const char *to_grade;
	double		score_before;
	double		score;
	TimestampTz at;				/* when it happened */
	List	   *rules;			/* of LsRule *: those that came into force */
	const char *cause;			/* as in lead_stage_history */
	const char *reason;			/* reason of a stage override, or NULL */
} LsTransitionEvent;

typedef enum LsTransitionResult
{
	LS_TRANSITION_NONE,			/* the row is up to date */
	LS_TRANSITION_WRITE,
	LS_TRANSITION_REMOVE		/* nothing is known of the contact */
} LsTransitionResult;

typedef struct LsTransition
{
	LsModel    *model;
	LsScoreRow *row;			/* before the transition, and then after it */
	bool		exists;			/* it was in the table */
	const char *cause;			/* of the change */
	TimestampTz now;			/* the row is brought up to date to this */
	ExprContext *econtext;		/* for conditions of stages */
	LsScore    *score;			/* scratch space; with its curve, unless time is only read */
	int			watch;			/* LS_DUE_GRADE: grades are, besides stages */
	List	   *events;			/* of LsTransitionEvent, as they happened */
	/* between its steps */
	TimestampTz previous;		/* in a series of events, when the row was written
								 * last; DT_NOBEGIN: it is none */
	TimestampTz at;				/* instant of score; DT_NOBEGIN: not evaluated yet */
	double		last_score;
	char	   *last_grade;
	bool	   *in_force;		/* by rule, where actions watch them */
} LsTransition;

extern LsScore *ls_transition_score(LsModel *model);
extern LsTransitionResult ls_transition_run(LsTransition *tr, const LsChange *change,
											const LsCounted *counted);
extern void ls_transition_read(LsTransition *tr);
extern void ls_transition_forecast(LsTransition *tr, TimestampTz until);
extern void ls_transition_merge(LsModel *model, LsScoreRow *row,
								const LsCounted *counted, TimestampTz now);
extern bool ls_transition_changes_nothing(LsTransition *tr);

#endif							/* LEADSCORE_TRANSITION_H */
