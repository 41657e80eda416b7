/*-------------------------------------------------------------------------
 *
 * score_row.c
 *		A contact's row of score_<model>, in memory.
 *
 *-------------------------------------------------------------------------
 */
#include "scoring/score_row.h"

#include <math.h>

#include "base/leadscore.h"

/* ls_score_row_start makes the row of a contact that has none yet. */
void
ls_score_row_start(LsModel *model, Datum contact, LsScoreRow *row, TimestampTz t)
{
	memset(row, 0, sizeof(LsScoreRow));
	row->contact = contact;
	row->categories = palloc0(sizeof(double) * Max(1, model->ncategories));
	row->stage = model->nstages > 0 ? model->stages[0].name : "unqualified";
	row->stage_since = t;
	row->scored_at = t;
	ls_state_init(&row->state);
}

/* ls_score_row_stage_state gives the stage state of a row. */
LsStageState
ls_score_row_stage_state(const LsScoreRow *row)
{
	LsStageState state = {row->stage, row->stage_since, row->state.prior_stage,
	row->state.override};

	return state;
}

/* ls_score_row_set_stage_state puts a stage state into a row. */
void
ls_score_row_set_stage_state(LsScoreRow *row, const LsStageState *state)
{
	row->stage = state->stage;
	row->stage_since = state->since;
	row->state.prior_stage = state->prior_stage;
	row->state.override = state->override;
}

/* ls_score_row_take_score puts an evaluated score into a row. */
void
ls_score_row_take_score(LsModel *model, LsScoreRow *row, const LsScore *score)
{
	Size		size = sizeof(double) * Max(1, model->ncategories);

	row->score = score->score;
	row->categories = memcpy(palloc(size), score->categories, size);
	row->grade = ls_score_grade(model, score);
	row->disqualified = score->disqualified;
	row->scored_at = score->at;
}

/* differs compares stored numbers with evaluated ones. */
static bool
differs(double stored, double exact, double allowed)
{
	return fabs(stored - exact) > allowed;
}

static bool
other_grade(LsModel *model, const LsScoreRow *row, const LsScore *now)
{
	return !ls_same_text(row->grade, ls_score_grade(model, now));
}

/*
 * ls_score_row_is_of_other_rules tells whether a row's numbers are outdated because the
 * rules changed.  at_stored is the score at the row's own instant.
 */
bool
ls_score_row_is_of_other_rules(LsModel *model, const LsScoreRow *row, const LsScore *at_stored)
{
	double		exact = 1e-9 * Max(1.0, at_stored->size);

	if (row->rules_version == model->version)
		return false;
	if (differs(row->score, at_stored->score, exact))
		return true;
	for (int i = 0; i < model->ncategories; i++)
		if (differs(row->categories[i], at_stored->categories[i], exact))
			return true;
	return false;
}

/*
 * ls_score_row_is_outdated tells whether a row's numbers are outdated: because time
 * moved them further than the model's drift, or because what is not a number is not that
 * of the score now.
 */
bool
ls_score_row_is_outdated(LsModel *model, const LsScoreRow *row, const LsScore *now)
{
	if (row->disqualified != now->disqualified ||
		other_grade(model, row, now) ||
		differs(row->score, now->score, ls_score_drift(model, now->score)))
		return true;
	for (int i = 0; i < model->ncategories; i++)
		if (differs(row->categories[i], now->categories[i],
					ls_score_drift(model, now->categories[i])))
			return true;
	return false;
}
