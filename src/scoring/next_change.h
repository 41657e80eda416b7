/*-------------------------------------------------------------------------
 *
 * next_change.h
 *		The next instant at which time alone changes a contact.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_NEXT_CHANGE_H
#define LEADSCORE_NEXT_CHANGE_H

#include "postgres.h"

#include "storage/itemptr.h"

#include "scoring/contact_score.h"
#include "scoring/stage.h"
#include "scoring/state.h"

/* what is watched */
#define LS_DUE_STAGE	0x01	/* stages, disqualification, levels, rules */
#define LS_DUE_GRADE	0x02
#define LS_DUE_DRIFT	0x04	/* numbers leave the drift around stored ones */

/* When a contact is due: a row of due_<model> */
typedef struct LsDueRow
{
	TimestampTz at;				/* DT_NOEND: no row */
	bool		drift;
	Datum		contact;
	ItemPointerData place;		/* where a snapshot that is still active has seen it;
								 * invalid: not known */
} LsDueRow;

/*
 * What is watched, and from where.  score is evaluated at from, with its curve; the
 * state has been advanced to from.
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
	TimestampTz until;			/* later changes are not wanted */
	int			max_jumps;		/* then the search stops, early; 0: never, exact instants */
	bool		gradual;		/* found: numbers drift there, and not at a jump */
} LsDue;

extern TimestampTz ls_next_change_find(LsDue *due, bool *drift);
extern bool ls_next_change_was_none(LsModel *model, double before, bool disqualified,
									const LsStageState *stage, const LsScore *score);
extern TimestampTz ls_next_change_ahead(const LsDue *due, TimestampTz from, TimestampTz at);

/*
 * A contact from one change by time to the next.  The state is advanced and the score
 * evaluated at each.
 */
typedef struct LsPath
{
	LsModel    *model;
	LsState    *state;
	LsScore    *score;			/* with its curve; evaluated at at */
	int			what;
	TimestampTz at;
} LsPath;

extern bool ls_next_change_advance(LsPath *path, const LsStageState *stage,
								   TimestampTz until);

#endif							/* LEADSCORE_NEXT_CHANGE_H */
