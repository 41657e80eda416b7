/*-------------------------------------------------------------------------
 *
 * transition.h
 *		What happens to a contact in the course of a change, step by step.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_TRANSITION_H
#define LEADSCORE_TRANSITION_H

#include "postgres.h"

#include "nodes/pg_list.h"

#include "scoring/score_row.h"

/* What happened to a contact at one instant */
typedef struct LsTransitionEvent
{
	const char *from_stage;		/* the same as to_stage where it did not change */
	const char *to_stage;
	double		score_before;
	double		score;
	TimestampTz at;				/* when it happened */
	List	   *rules;			/* of LsRule *: came in force */
	const char *cause;			/* as in lead_stage_history */
} LsTransitionEvent;

typedef struct LsCourse
{
	LsModel    *model;
	LsScoreRow *row;			/* stage and state are moved on */
	LsScore    *score;			/* with its curve */
	ExprContext *econtext;		/* for conditions of stages */
	TimestampTz at;				/* when score was true; DT_NOBEGIN: never yet */
	double		last_score;
	bool	   *in_force;		/* by rule, where actions watch them */
	List	   *happened;		/* of LsTransitionEvent */
	const char *reason;			/* of a stage override */
} LsCourse;

extern LsScore *ls_course_score(LsModel *model);
extern void ls_course_begin(LsCourse *course, bool exists);
extern void ls_course_step(LsCourse *course, TimestampTz at, const char *cause);
extern void ls_course_catch_up(LsCourse *course, TimestampTz from,
							   TimestampTz to, const char *cause);
extern void ls_course_set_stage(LsCourse *course, TimestampTz at,
								const char *stage);
extern TimestampTz ls_course_entry(const LsModel *model, const LsScoreRow *row,
								   TimestampTz at, TimestampTz last, TimestampTz t);
extern void ls_course_now(LsCourse *course, TimestampTz now);

#endif							/* LEADSCORE_TRANSITION_H */
