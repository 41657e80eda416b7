/*-------------------------------------------------------------------------
 *
 * stage.h
 *		The stage that a contact is in: how it follows from score and past.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_STAGE_H
#define LEADSCORE_STAGE_H

#include "postgres.h"

#include "rules/model_compile.h"
#include "scoring/contact_score.h"
#include "scoring/state.h"

#define LS_DISQUALIFIED "disqualified"

/* What a stage depends on besides the score: the stage before */
typedef struct LsStageState
{
	char	   *stage;			/* NULL: none yet */
	TimestampTz since;
	char	   *prior_stage;	/* sticky stage before disqualification */
	LsStageOverride override;	/* whether the stage is overridden */
} LsStageState;

/* Bounds of a score: below low, or at high and above, something changes */
typedef struct LsBounds
{
	double		low;
	double		high;
} LsBounds;

extern bool ls_stage_step(LsModel *model, const LsScore *score,
						  ExprContext *econtext, LsStageState *state,
						  TimestampTz t);
extern void ls_stage_set(LsModel *model, const LsScore *score,
						 ExprContext *econtext, const char *stage,
						 LsStageState *state, TimestampTz t);
extern void ls_stage_bounds(LsModel *model, double score,
							const LsStageState *state, LsBounds *bounds);

#endif							/* LEADSCORE_STAGE_H */
