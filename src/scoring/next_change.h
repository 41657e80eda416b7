/*-------------------------------------------------------------------------
 *
 * next_change.h
 *		The next instant at which time alone changes something of a contact.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_NEXT_CHANGE_H
#define LEADSCORE_NEXT_CHANGE_H

#include "postgres.h"

#include "scoring/contact_score.h"
#include "scoring/stage.h"
#include "scoring/state.h"

/* what is waited for */
#define LS_DUE_STAGE	0x01	/* stages, disqualification, levels, rules */
#define LS_DUE_GRADE	0x02
#define LS_DUE_DRIFT	0x04	/* numbers leave the drift around stored ones */

/* When a contact is due: a row of due_<model> */
typedef struct LsDueRow
{
	TimestampTz at;				/* DT_NOEND: no row */
	bool		drift;
	Datum		contact;
} LsDueRow;

/*
 * What is looked for, and from where.  score is what is true at from, with its
 * curve; the state has been advanced to from.
 */
typedef struct LsDue
{
	LsModel    *model;
	const LsState *state;
	LsScore    *score;			/* changed by the search */
	const LsStageState *stage;
	int			what;
	double		stored_score;	/* with LS_DUE_DRIFT */
	const double *stored_categories;
	TimestampTz until;			/* not interested in what is later */
	int			max_jumps;		/* after which the search gives up, early; 0:
								 * never, and instants are exact */
} LsDue;

extern TimestampTz ls_next_change_find(LsDue *due, bool *drift);

/*
 * A contact in time, from one change to the next.  The state is advanced and
 * the score evaluated at each.
 */
typedef struct LsPath
{
	LsModel    *model;
	LsState    *state;
	LsScore    *score;			/* with its curve; true at at */
	int			what;
	TimestampTz at;
} LsPath;

extern bool ls_next_change_advance(LsPath *path, const LsStageState *stage,
								   TimestampTz until);

#endif							/* LEADSCORE_NEXT_CHANGE_H */
