/*-------------------------------------------------------------------------
 *
 * action.h
 *		Consequences: who is told of what happened to a contact, and how.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_ACTION_H
#define LEADSCORE_ACTION_H

#include "postgres.h"

#include "nodes/pg_list.h"
#include "utils/timestamp.h"

#include "rules.h"

/* What happened to a contact at one instant */
typedef struct LsOccasion
{
	const char *from_stage;		/* the same as to_stage where it did not change */
	const char *to_stage;
	double		score_before;
	double		score;
	TimestampTz at;				/* when it happened */
	List	   *rules;			/* of LsRule *: came in force */
	const char *cause;			/* as in lead_stage_history */
} LsOccasion;

/* called by the store, in the transaction of what happened */
extern void ls_action_note(LsModel *model, Datum contact,
						   const LsOccasion *occasion);

#endif							/* LEADSCORE_ACTION_H */
