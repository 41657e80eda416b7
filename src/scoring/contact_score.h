/*-------------------------------------------------------------------------
 *
 * contact_score.h
 *		State x rules x instant: points, categories, score, grade.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_CONTACT_SCORE_H
#define LEADSCORE_CONTACT_SCORE_H

#include "postgres.h"

#include "rules/model_compile.h"
#include "scoring/state.h"

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

/* What a rule with a half-life contributes, from one instant on */
typedef struct LsPiece
{
	int			category;
	int			place;			/* in curve->places; -1: it has none */
	int64		half_life;
	double		value;			/* at that instant, before the rule's limit */
	double		limit;			/* max_points */
} LsPiece;

/*
 * How a score goes on from an instant: constant parts and pieces that lose a half of
 * their value with each half-life, until the next jump.
 */
typedef struct LsCurve
{
	TimestampTz from;
	TimestampTz jump;			/* the first after from; DT_NOEND: none */
	TimestampTz future;			/* when an event dated later takes effect; DT_NOEND: none */
	TimestampTz zone_change;	/* of the model's time zone; DT_NOBEGIN: not
								 * looked for */
	double	   *base;			/* by category */
	int			npieces;
	int			maxpieces;
	LsPiece    *pieces;
	int		   *places;			/* by half-life of the model, falling and rising: where
								 * the piece of rules without a limit is, plus 1 */
} LsCurve;

typedef struct LsScore
{
	double		score;
	double	   *categories;
	int		   *bands;			/* by category: the grade reached, -1: none */
	bool		disqualified;
	double		size;			/* of all contributions together */
	LsContribution *contributions;	/* by rule, or NULL if not wanted */
	LsCurve    *curve;			/* or NULL if not wanted */
	LsSum	   *sums;			/* for the evaluation itself */
	TimestampTz at;				/* the instant of these values */
} LsScore;

extern LsScore *ls_score_make(LsModel *model, bool contributions);
extern void ls_score_free(LsScore *score);
extern void ls_score_want_curve(LsModel *model, LsScore *score);
extern void ls_score_evaluate(LsModel *model, const LsState *state, TimestampTz t,
							  LsScore *score);
extern void ls_score_finish(LsModel *model, LsScore *score);
extern char *ls_score_grade(LsModel *model, const LsScore *score);
extern double ls_score_drift(const LsModel *model, double score);
extern float4 ls_score_grid(const LsModel *model, double score);
extern double ls_score_highest(const LsModel *model, double stored);

#endif							/* LEADSCORE_CONTACT_SCORE_H */
