/*-------------------------------------------------------------------------
 *
 * stage.c
 *		The stage that a contact is in: how it follows from score and past.
 *
 * The state machine (ls_stage_step):
 *
 *	now in		 | what holds						| then
 *	-------------+----------------------------------+-------------------------
 *	any			 | a disqualifying rule in force	| disqualified; a sticky
 *				 |									| stage is remembered
 *	disqualified | none in force any more			| the remembered stage,
 *				 |									| else determined afresh
 *	override,	 | its score alone would still put	| the same
 *	above		 | it lower							|
 *	override,	 | its score alone would still put	| the same
 *	below		 | it higher						|
 *	override	 | else								| as any other, from now
 *	any other	 | a higher stage is reached, and	| the highest such stage
 *				 | its condition holds				|
 *	sticky		 | else								| the same
 *	not sticky	 | else leave_below is reached and	| the same
 *				 | its condition holds				|
 *	not sticky	 | else								| the highest lower stage
 *				 |									| whose leave_below is
 *				 |									| reached
 *
 * A stage can be set above what the score (and the stage's condition) gives: that
 * override holds until the score has once reached it.  Or below: it holds until the
 * score has come down to it.
 *
 *-------------------------------------------------------------------------
 */
#include "scoring/stage.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "nodes/params.h"

/*
 * holds evaluates a stage's condition over the contact's row (in econtext, all
 * NULL where there is none), the score and the categories.  One that fails
 * does not hold, which is recorded.
 */
static bool
holds(LsModel *model, LsStage *stage, const LsScore *score, ExprContext *econtext)
{
	int			n = model->ncategories + 1;
	ParamListInfo params;
	ErrorData  *error = NULL;
	Datum		value;
	bool		isnull;

	if (stage->broken)
		return false;
	if (stage->condition == NULL)
		return true;
	params = makeParamList(n);
	for (int i = 0; i < n; i++)
	{
		params->params[i].value = Float8GetDatum(i == 0 ? score->score :
												 score->categories[i - 1]);
		params->params[i].isnull = false;
		params->params[i].pflags = PARAM_FLAG_CONST;
		params->params[i].ptype = FLOAT8OID;
	}
	econtext->ecxt_param_list_info = params;
	if (ls_expr_eval(stage->condition, econtext, &value, &isnull,
					 &error) == LS_EXPR_OK)
		return !isnull && DatumGetBool(value);
	ls_rule_failure_of_stage(model, stage, error);
	return false;
}

/* stage_by_name finds a stage of the model, or gives NULL. */
static LsStage *
stage_by_name(LsModel *model, const char *name)
{
	for (int i = 0; name && i < model->nstages; i++)
		if (strcmp(model->stages[i].name, name) == 0)
			return &model->stages[i];
	return NULL;
}

/* lower_stage gives the highest stage below one whose leave_below is reached. */
static LsStage *
lower_stage(LsModel *model, const LsScore *score, ExprContext *econtext,
			LsStage *now)
{
	for (int i = now - model->stages - 1; i > 0; i--)
		if (ls_decay_reached(score->score, model->stages[i].leave_below) &&
			holds(model, &model->stages[i], score, econtext))
			return &model->stages[i];
	return &model->stages[0];
}

/* next_stage gives the stage that follows from one, NULL being none yet. */
static LsStage *
next_stage(LsModel *model, const LsScore *score, ExprContext *econtext,
		   LsStage *now)
{
	int			place = now ? now - model->stages : -1;

	/* conditions would read the contact table */
	if (model->unreadable && now)
		return now;
	for (int i = model->nstages - 1; i > place; i--)
		if (ls_decay_reached(score->score, model->stages[i].enter_at) &&
			holds(model, &model->stages[i], score, econtext))
			return &model->stages[i];
	if (now == NULL)
		return model->nstages > 0 ? &model->stages[0] : NULL;
	if (now->sticky ||
		(ls_decay_reached(score->score, now->leave_below) &&
		 holds(model, now, score, econtext)))
		return now;
	return lower_stage(model, score, econtext, now);
}

/* override_of compares a stage that is set with the score's own. */
static LsStageOverride
override_of(const LsStage *own, const LsStage *chosen)
{
	return own < chosen ? LS_OVERRIDE_ABOVE :
		own > chosen ? LS_OVERRIDE_BELOW : LS_OVERRIDE_NONE;
}

/* move puts a contact into a stage, and tells whether that is another one. */
static bool
move(LsStageState *state, const char *next, TimestampTz t)
{
	if (state->stage && strcmp(state->stage, next) == 0)
		return false;
	state->stage = pstrdup(next);
	state->since = t;
	return true;
}

/*
 * ls_stage_step moves a contact to the stage in which it is at t, and tells
 * whether that is another one than before.
 */
bool
ls_stage_step(LsModel *model, const LsScore *score, ExprContext *econtext,
			  LsStageState *state, TimestampTz t)
{
	LsStage    *now = stage_by_name(model, state->stage);
	LsStage    *next;

	if (score->disqualified)
	{
		if (now && now->sticky)
			state->prior_stage = now->name;
		state->override = LS_OVERRIDE_NONE;
		return move(state, LS_DISQUALIFIED, t);
	}
	if (state->stage && strcmp(state->stage, LS_DISQUALIFIED) == 0)
		now = stage_by_name(model, state->prior_stage);
	state->prior_stage = NULL;
	if (now && state->override != LS_OVERRIDE_NONE &&
		override_of(next_stage(model, score, econtext, NULL), now) == state->override)
		return false;
	state->override = LS_OVERRIDE_NONE;
	next = next_stage(model, score, econtext, now);
	return move(state, next ? next->name : "unqualified", t);
}

/*
 * ls_stage_set overrides the stage of a contact.  Where stage is NULL, an overridden
 * or sticky stage is replaced by that of the score alone.
 */
void
ls_stage_set(LsModel *model, const LsScore *score, ExprContext *econtext,
			 const char *stage, LsStageState *state, TimestampTz t)
{
	LsStage    *own = next_stage(model, score, econtext, NULL);
	LsStage    *chosen = stage ? stage_by_name(model, stage) : own;

	state->override = override_of(own, chosen);
	state->prior_stage = NULL;
	(void) move(state, chosen ? chosen->name : "unqualified", t);
}

/* ---------- what will change it ---------- */

/* bound narrows bounds by a value that the score has reached, or has not. */
static void
bound(LsBounds *bounds, double score, double value)
{
	double		threshold;

	if (isinf(value))
		return;
	threshold = ls_decay_threshold(value);
	if (score >= threshold)
		bounds->low = fmax(bounds->low, threshold);
	else
		bounds->high = fmin(bounds->high, threshold);
}

/*
 * ls_stage_bounds narrows the bounds within which a score has to stay so that no
 * stage is entered or left, and no level is crossed that an action waits for.
 * Conditions of stages are evaluated when a bound is crossed.
 */
void
ls_stage_bounds(LsModel *model, double score, const LsStageState *state,
				LsBounds *bounds)
{
	LsStage    *now = stage_by_name(model, state->stage);
	int			place = now ? now - model->stages : -1;

	for (int i = 0; i < model->nlevels; i++)
		bound(bounds, score, model->levels[i]);
	if (state->stage && strcmp(state->stage, LS_DISQUALIFIED) == 0)
		return;
	if (now && state->override == LS_OVERRIDE_ABOVE)
		bound(bounds, score, now->enter_at);
	else if (now && !now->sticky)
		bound(bounds, score, now->leave_below);
	for (int i = place + 1; i < model->nstages; i++)
		bound(bounds, score, model->stages[i].enter_at);
}
