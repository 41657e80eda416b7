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

#include "scoring/evaluate.h"
#include "scoring/stage.h"
#include "tables/score_table.h"

typedef struct LsCourse
{
	LsModel    *model;
	LsScoreRow *row;			/* stage and state are moved on */
	LsScore    *score;			/* with its curve */
	ExprContext *econtext;		/* for conditions of stages */
	TimestampTz at;				/* when score was true; DT_NOBEGIN: never yet */
	double		last_score;
	bool	   *in_force;		/* by rule, where actions watch them */
	List	   *happened;		/* of LsOccasion */
	const char *reason;			/* of what is done by hand */
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
extern bool ls_row_outdated(LsModel *model, const LsScoreRow *row,
							const LsScore *at_stored, const LsScore *now);
extern void ls_row_take_score(LsModel *model, LsScoreRow *row, const LsScore *score);
extern LsStanding ls_row_standing(const LsScoreRow *row);
extern void ls_row_stand(LsScoreRow *row, const LsStanding *standing);

#endif							/* LEADSCORE_TRANSITION_H */
