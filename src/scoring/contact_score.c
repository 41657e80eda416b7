/*-------------------------------------------------------------------------
 *
 * contact_score.c
 *		From a state and the rules to the score at an instant.
 *
 * No table is read here, and nothing but the results is changed: the same state gives
 * the score of any instant not before its last event.
 *
 *-------------------------------------------------------------------------
 */
#include "scoring/contact_score.h"

#include <float.h>
#include <math.h>

#include "utils/memutils.h"

#include "scoring/rule_points.h"

/* ls_score_make makes room for the results of one model. */
LsScore *
ls_score_make(LsModel *model, bool contributions)
{
	LsScore    *score = palloc0(sizeof(LsScore));

	score->categories = palloc0(sizeof(double) * Max(1, model->ncategories));
	score->bands = palloc0(sizeof(int) * Max(1, model->ncategories));
	score->sums = palloc0(sizeof(LsSum) * Max(1, model->ncategories));
	if (contributions)
		score->contributions = palloc0(sizeof(LsContribution) *
									   Max(1, model->nrules));
	return score;
}

/* ls_score_free frees what ls_score_make has made. */
void
ls_score_free(LsScore *score)
{
	pfree(score->categories);
	pfree(score->bands);
	pfree(score->sums);
	if (score->contributions)
		pfree(score->contributions);
	pfree(score);
}

/* ls_score_want_curve makes evaluations also give the curve of the score. */
void
ls_score_want_curve(LsModel *model, LsScore *score)
{
	score->curve = palloc0(sizeof(LsCurve));
	score->curve->base = palloc0(sizeof(double) * Max(1, model->ncategories));
	score->curve->places = palloc0(sizeof(int) * 2 * Max(1, model->nhalf_lives));
}

/* ls_score_finish turns the sums of categories into a score and a grade. */
void
ls_score_finish(LsModel *model, LsScore *score)
{
	LsSum		total = {0, 0};

	for (int i = 0; i < model->ncategories; i++)
	{
		LsCategory *category = &model->categories[i];
		double		value = ls_decay_clamp(ls_decay_sum_value(&score->sums[i]),
										   category->min_points, category->max_points);
		int			band = category->ngrades - 1;

		score->categories[i] = value;
		ls_decay_sum_add(&total, ls_decay_finite(category->weight * value));
		while (band >= 0 && !ls_decay_reached(value, category->grade_min[band]))
			band--;
		score->bands[i] = band;
	}
	score->score = ls_decay_clamp(ls_decay_sum_value(&total), model->min_score, model->max_score);
}

/* ls_score_grade writes the letters of the grades reached; NULL: none. */
char *
ls_score_grade(LsModel *model, const LsScore *score)
{
	int			length = 0;
	char	   *grade;

	for (int i = 0; i < model->ncategories; i++)
		if (score->bands[i] >= 0)
			length += strlen(model->categories[i].grades[score->bands[i]]);
	if (length == 0)
		return NULL;
	grade = palloc0(length + 1);
	for (int i = 0; i < model->ncategories; i++)
		if (score->bands[i] >= 0)
			strcat(grade, model->categories[i].grades[score->bands[i]]);
	return grade;
}

/*
 * ls_score_evaluate gives the score at t.  Events that were in the future when the
 * state was written, and are not at t, must have been added (ls_state_advance).
 *
 * A state is never evaluated before its last event: what decays would be worth more
 * than it ever was.  Where t is earlier, the score is that of the last event;
 * score->at has its instant.
 */
void
ls_score_evaluate(LsModel *model, const LsState *state, TimestampTz t, LsScore *score)
{
	t = Max(t, ls_state_known_from(state));
	score->at = t;
	memset(score->sums, 0, sizeof(LsSum) * model->ncategories);
	score->size = 0;
	score->disqualified = false;
	if (score->curve)
		ls_rule_points_begin_curve(model, state, t, score->curve);
	if (score->contributions)
	{
		memset(score->contributions, 0, sizeof(LsContribution) * model->nrules);
		for (int i = 0; i < model->nrules; i++)
			score->contributions[i].last_match = DT_NOBEGIN;
	}
	ls_rule_points_add(model, state, t, score);
	ls_score_finish(model, score);
}

/* ls_score_drift is how far a stored score may be from the exact one. */
double
ls_score_drift(const LsModel *model, double score)
{
	return Max(model->max_drift, model->max_drift_ratio * fabs(score));
}

/*
 * ls_score_grid gives the next score at or above one on a grid, which is some drifts wide
 * and a power of two, so that small changes of a score seldom change it.
 */
float4
ls_score_grid(const LsModel *model, double score)
{
	double		drift = ls_score_drift(model, score);
	double		width = drift > DBL_MIN ? ldexp(1, ilogb(drift) + 2) : 0;
	double		above = width > 0 ? ceil(score / width) * width : score;
	float4		rounded = (float4) above;

	return rounded < above ? nextafterf(rounded, INFINITY) : rounded;
}

/*
 * ls_score_highest is the highest that an exact score can be, but for rounding, while a
 * stored one is within the drift of it.
 */
double
ls_score_highest(const LsModel *model, double stored)
{
	double		ratio = model->max_drift_ratio;
	double		highest = fmax(stored + model->max_drift, stored >= 0 ? stored / (1 - ratio) : stored / (1 + ratio));

	return highest + 1e-9 * fmax(1, fabs(highest));
}
