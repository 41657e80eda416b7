/*-------------------------------------------------------------------------
 *
 * evaluate.h
 *		State x rules x instant: points, categories, score, grade, stage.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_EVALUATE_H
#define LEADSCORE_EVALUATE_H

#include "postgres.h"

#include "rules.h"
#include "state.h"

/* What a rule contributes at an instant */
typedef struct LsContribution
{
	int64		matched;		/* events in the time frame; periods of absence */
	TimestampTz last_match;		/* DT_NOBEGIN: none */
	double		raw;			/* before max_points */
	double		points;			/* after it */
	double		size;			/* sum of |points x weight x decay| */
	bool		in_force;
} LsContribution;

typedef struct LsScore
{
	double		score;
	double	   *categories;
	char	   *grade;			/* NULL: no letter */
	bool		disqualified;
	double		size;			/* of all contributions together */
	LsContribution *contributions;	/* by rule, or NULL where not asked for */
} LsScore;

/* What a stage depends on beside the score: where the contact was before */
typedef struct LsStanding
{
	char	   *stage;			/* NULL: none yet */
	TimestampTz since;
	char	   *prior_stage;	/* sticky stage before disqualification */
} LsStanding;

extern LsScore *ls_score_make(LsModel *model, bool contributions);
extern void ls_evaluate(LsModel *model, const LsState *state, TimestampTz t,
						LsScore *score);
extern void ls_score_finish(LsModel *model, LsScore *score, LsSum *sums);
extern bool ls_stage_step(LsModel *model, const LsScore *score,
						  ExprContext *econtext, LsStanding *standing,
						  TimestampTz t);
extern double ls_drift(const LsModel *model, double score);

#endif							/* LEADSCORE_EVALUATE_H */
