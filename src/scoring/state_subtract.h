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

typedef enum LsSubtraction
{
	LS_SUBTRACT_NOT,			/* the contact has to be recomputed */
	LS_SUBTRACT_FIRST,			/* the earliest event is not known any more */
	LS_SUBTRACT_DONE
} LsSubtraction;

extern LsSubtraction ls_state_subtract(LsModel *model, LsState *to, const LsState *state,
									   const LsState *added, const LsState *gone);

#endif							/* LEADSCORE_STATE_SUBTRACT_H */
