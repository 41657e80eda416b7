/*-------------------------------------------------------------------------
 *
 * rule_points.h
 *		The points of one rule at an instant: periods, limits, decay; and their curve.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_RULE_POINTS_H
#define LEADSCORE_RULE_POINTS_H

#include "postgres.h"

#include "scoring/contact_score.h"

extern void ls_rule_points_begin_curve(LsModel *model, const LsState *state, TimestampTz t,
									   LsCurve *curve);
extern bool ls_rule_points_may_jump(LsModel *model, const LsState *state, TimestampTz from,
									TimestampTz to);
extern void ls_rule_points_add(LsModel *model, const LsState *state, TimestampTz t,
							   LsScore *score);

#endif							/* LEADSCORE_RULE_POINTS_H */
