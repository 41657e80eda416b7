/*-------------------------------------------------------------------------
 *
 * state_subtract.h
 *		Taking events out of a state, where what is left is known exactly.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_STATE_SUBTRACT_H
#define LEADSCORE_STATE_SUBTRACT_H

#include "postgres.h"

#include "scoring/state.h"

/* Events of a rule that can be found, at most: recomputing the contact is not much dearer */
#define LS_LOST_EVENTS_MOST 64

/* A rule whose latest event went, but not its last one, or what it has is not known */
typedef struct LsLostRule
{
	LsRule	   *rule;
	int64		count;			/* events that are left */
	TimestampTz last;			/* the latest there was */
	bool		all;			/* all events are lost */
} LsLostRule;

/* What a state does not know any more when events were taken out of it */
typedef struct LsLostEvents
{
	bool		lost_first;		/* the earliest event */
	bool		lost_last;		/* the latest event */
	int			nrules;
	LsLostRule *rules;
	TimestampTz first;			/* the earliest event, once found; DT_NOEND */
	LsState		found;			/* of the latest events, as far as they were found */
} LsLostEvents;

/* ls_lost_events_latest tells whether latest events have to be looked for. */
static inline bool
ls_lost_events_latest(const LsLostEvents *lost)
{
	return lost->lost_last || lost->nrules > 0;
}

extern bool ls_state_subtract_knows(LsLostEvents *lost, int source, TimestampTz upto);

extern bool ls_state_subtract(LsModel *model, LsState *to, const LsState *state,
							  const LsState *added, const LsState *gone, LsLostEvents *lost);
extern bool ls_state_subtract_found(LsState *state, LsLostEvents *lost);

#endif							/* LEADSCORE_STATE_SUBTRACT_H */
