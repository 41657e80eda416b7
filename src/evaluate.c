/*-------------------------------------------------------------------------
 *
 * evaluate.c
 *		From a state and the rules to what is true at an instant.
 *
 * Nothing is read here but the arguments, and nothing is changed but results:
 * the same state gives the score of any instant not before its last event.
 *
 * The state machine of stages (ls_stage_step):
 *
 *	now in		 | what holds						| then
 *	-------------+----------------------------------+-------------------------
 *	any			 | a disqualifying rule in force	| disqualified; a sticky
 *				 |									| stage is kept in mind
 *	disqualified | none in force any more			| the stage kept in mind,
 *				 |									| else found anew
 *	any other	 | a higher stage is reached, and	| the highest such stage
 *				 | its condition holds				|
 *	sticky		 | else								| the same
 *	not sticky	 | else leave_below is reached and	| the same
 *				 | its condition holds				|
 *	not sticky	 | else								| the highest lower stage
 *				 |									| whose leave_below is
 *				 |									| reached
 *
 *-------------------------------------------------------------------------
 */
#include "evaluate.h"

#include <float.h>
#include <math.h>

#include "catalog/pg_type.h"
#include "lib/stringinfo.h"
#include "nodes/params.h"

#define DISQUALIFIED "disqualified"

static double
bounded(double value)
{
	return ls_clamp(value, -DBL_MAX, DBL_MAX);
}

/* ls_score_make makes room for the results of one model. */
LsScore *
ls_score_make(LsModel *model, bool contributions)
{
	LsScore    *score = palloc0(sizeof(LsScore));

	score->categories = palloc0(sizeof(double) * Max(1, model->ncategories));
	if (contributions)
		score->contributions = palloc0(sizeof(LsContribution) *
									   Max(1, model->nrules));
	return score;
}

/* decayed adds points x weight x decay to a sum, and to the size. */
static void
decayed(LsSum *sum, LsContribution *c, double value, double factor)
{
	value = bounded(value * factor);
	ls_sum_add(sum, value);
	c->size = bounded(c->size + fabs(value));
}

static void
evaluate_buckets(LsModel *model, const LsRule *rule, const LsSlot *slot,
				 TimestampTz t, LsContribution *c)
{
	int64		now = ls_rule_bucket(model, rule, t);
	double		points = isinf(rule->max_per_period) ? rule->points : 1.0;
	LsSum		sum = {0, 0};
	int64		in_frame = 0;

	for (int i = 0; i < slot->more->nfolded; i++)
	{
		const LsBucket *folded = &slot->more->folded[i];
		int64		phases = ls_slot_phases(rule);
		int64		past = slot->more->folded_to - folded->bucket;
		int64		held = slot->more->folded_to -
			(past - ls_floor_div(past, phases) * phases);

		decayed(&sum, c, points * ls_sum_value(&folded->sum),
				ls_decay(&rule->decay, Max(0, now - held) * rule->period));
	}
	for (int i = 0; i < slot->more->nbuckets; i++)
	{
		const LsBucket *bucket = &slot->more->buckets[i];
		int64		age = Max(0, now - bucket->bucket);

		if (rule->frame > 0 && age >= rule->frame)
			continue;
		in_frame += bucket->count;
		decayed(&sum, c, points * ls_bucket_points(rule, bucket),
				ls_decay(&rule->decay, age * rule->period));
	}
	c->matched = rule->frame > 0 ? in_frame : slot->count;
	c->raw = ls_sum_value(&sum);
}

static void
evaluate_continuous(const LsRule *rule, const LsSlot *slot, TimestampTz t,
					LsContribution *c)
{
	LsSum		sum = slot->sum;
	double		fall = 1.0;

	c->matched = slot->count;
	if (rule->decay.kind == LS_DECAY_HALF_LIFE)
	{
		ls_sum_shift(&sum, ls_floor_div(t, rule->decay.interval) -
					 ls_floor_div(slot->last, rule->decay.interval));
		fall = ls_half_life_fall(t, rule->decay.interval);
	}
	c->raw = bounded(rule->points * ls_sum_value(&sum) * fall);
	c->size = fabs(c->raw);
}

/* latest_age is the age of a rule's latest event, as the rule sees ages. */
static int64
latest_age(LsModel *model, const LsRule *rule, const LsSlot *slot, TimestampTz t)
{
	if (!rule->bucketed)
		return Max(0, t - slot->last);
	return Max(0, ls_rule_bucket(model, rule, t) -
			   ls_rule_bucket(model, rule, slot->last)) * rule->period;
}

static void
evaluate_event(LsModel *model, const LsRule *rule, const LsSlot *slot,
			   TimestampTz t, LsContribution *c)
{
	if (slot->count == 0)
		return;
	c->last_match = slot->last;
	if (ls_rule_needs_buckets(rule))
		evaluate_buckets(model, rule, slot, t, c);
	else if (!rule->once)
		evaluate_continuous(rule, slot, t, c);
	else
		c->matched = slot->count;

	if (c->matched < rule->at_least)
	{
		c->raw = c->size = 0;
		return;
	}
	c->in_force = true;
	if (rule->once)
	{
		c->raw = rule->points *
			ls_decay(&rule->decay, latest_age(model, rule, slot, t));
		c->size = fabs(c->raw);
	}
}

static void
evaluate_absence(const LsState *state, const LsRule *rule, const LsSlot *slot,
				 TimestampTz t, LsContribution *c)
{
	TimestampTz since = state->created_at;

	if (since == DT_NOBEGIN && state->events > 0 && state->first <= t)
		since = state->first;
	if (slot && slot->last != DT_NOBEGIN)
	{
		c->last_match = slot->last;
		since = Max(since, slot->last);
	}
	if (since == DT_NOBEGIN || t >= rule->events_before)
		return;
	since = Max(since, rule->events_from);
	if (t > since)
		c->matched = (t - since) / rule->idle;
	if (c->matched == 0)
		return;
	c->in_force = true;
	c->raw = bounded(rule->points * (rule->once ? 1.0 : (double) c->matched));
	c->size = fabs(c->raw);
}

static void
evaluate_profile(const LsRule *rule, const LsSlot *slot, LsContribution *c)
{
	if (slot->count == 0)
		return;
	c->matched = 1;
	c->in_force = true;
	c->raw = bounded(rule->points * ls_sum_value(&slot->sum));
	c->size = fabs(c->raw);
}

/* evaluate_rule adds what one rule brings to its category. */
static void
evaluate_rule(LsModel *model, const LsState *state, LsRule *rule,
			  const LsSlot *slot, TimestampTz t, LsScore *score, LsSum *sums)
{
	LsContribution c = {0};

	c.last_match = DT_NOBEGIN;
	if (rule->enabled && !rule->skip)
	{
		if (rule->kind == LS_ABSENCE)
			evaluate_absence(state, rule, slot, t, &c);
		else if (rule->kind == LS_PROFILE)
			evaluate_profile(rule, slot, &c);
		else
			evaluate_event(model, rule, slot, t, &c);
	}
	c.points = ls_clamp(c.raw, -rule->max_points, rule->max_points);
	ls_sum_add(&sums[rule->category], c.points);
	score->size = bounded(score->size + c.size);
	if (c.in_force && rule->disqualifies)
		score->disqualified = true;
	if (score->contributions)
		score->contributions[rule - model->rules] = c;
}

/* ls_score_finish turns the sums of categories into a score and a grade. */
void
ls_score_finish(LsModel *model, LsScore *score, LsSum *sums)
{
	LsSum		total = {0, 0};
	StringInfoData grade;

	initStringInfo(&grade);
	for (int i = 0; i < model->ncategories; i++)
	{
		LsCategory *category = &model->categories[i];
		double		value = ls_clamp(ls_sum_value(&sums[i]),
									 category->min_points, category->max_points);

		score->categories[i] = value;
		ls_sum_add(&total, bounded(category->weight * value));
		for (int g = category->ngrades - 1; g >= 0; g--)
			if (ls_reached(value, category->grade_min[g]))
			{
				appendStringInfoString(&grade, category->grades[g]);
				break;
			}
	}
	score->score = ls_clamp(ls_sum_value(&total), model->min_score, model->max_score);
	score->grade = grade.len > 0 ? grade.data : NULL;
}

/*
 * ls_evaluate gives what is true at t, which must not lie before the state's
 * last event.  What is dated later than the clock was when the state was
 * written but not later than t must have been counted (ls_state_advance).
 */
void
ls_evaluate(LsModel *model, const LsState *state, TimestampTz t, LsScore *score)
{
	LsSum	   *sums = palloc0(sizeof(LsSum) * Max(1, model->ncategories));

	score->size = 0;
	score->disqualified = false;
	if (score->contributions)
	{
		memset(score->contributions, 0, sizeof(LsContribution) * model->nrules);
		for (int i = 0; i < model->nrules; i++)
			score->contributions[i].last_match = DT_NOBEGIN;
	}
	for (int i = 0; i < state->nslots; i++)
	{
		const LsSlot *slot = &state->slots[i];
		LsRule	   *rule = ls_rule_by_version(model, slot->version);

		if (rule && rule->kind != LS_ABSENCE && rule->category >= 0)
			evaluate_rule(model, state, rule, slot, t, score, sums);
	}
	/* these count where nothing was ever seen */
	for (int i = 0; i < model->nabsences; i++)
	{
		LsRule	   *rule = model->absences[i];

		if (rule->version != 0 && rule->category >= 0)
			evaluate_rule(model, state, rule,
						  ls_state_slot((LsState *) state, rule->version, false),
						  t, score, sums);
	}
	ls_score_finish(model, score, sums);
}

/* ls_drift is how far a stored score may be from the exact one. */
double
ls_drift(const LsModel *model, double score)
{
	return Max(model->max_drift, model->max_drift_ratio * fabs(score));
}

/* ---------- stages ---------- */

/*
 * holds evaluates a stage's condition over the contact's row (in econtext, all
 * NULL where there is none), the score and the categories.  One that fails
 * does not hold.
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
	return ls_expr_eval(stage->condition, econtext, &value, &isnull,
						&error) == LS_EXPR_OK && !isnull && DatumGetBool(value);
}

static LsStage *
find_stage(LsModel *model, const char *name)
{
	for (int i = 0; name && i < model->nstages; i++)
		if (strcmp(model->stages[i].name, name) == 0)
			return &model->stages[i];
	return NULL;
}

/* next_stage is the stage that follows from one, NULL being none yet. */
static LsStage *
next_stage(LsModel *model, const LsScore *score, ExprContext *econtext,
		   LsStage *now)
{
	int			place = now ? now - model->stages : -1;

	for (int i = model->nstages - 1; i > place; i--)
		if (ls_reached(score->score, model->stages[i].enter_at) &&
			holds(model, &model->stages[i], score, econtext))
			return &model->stages[i];
	if (now == NULL)
		return model->nstages > 0 ? &model->stages[0] : NULL;
	if (now->sticky ||
		(ls_reached(score->score, now->leave_below) &&
		 holds(model, now, score, econtext)))
		return now;
	for (int i = place - 1; i > 0; i--)
		if (ls_reached(score->score, model->stages[i].leave_below) &&
			holds(model, &model->stages[i], score, econtext))
			return &model->stages[i];
	return &model->stages[0];
}

/*
 * ls_stage_step moves a contact to the stage in which it is at t, and tells
 * whether that is another one than before.
 */
bool
ls_stage_step(LsModel *model, const LsScore *score, ExprContext *econtext,
			  LsStanding *standing, TimestampTz t)
{
	LsStage    *now = find_stage(model, standing->stage);
	bool		was_disqualified = standing->stage &&
		strcmp(standing->stage, DISQUALIFIED) == 0;
	const char *next;
	LsStage    *stage;

	if (score->disqualified)
	{
		if (now && now->sticky)
			standing->prior_stage = now->name;
		next = DISQUALIFIED;
	}
	else
	{
		if (was_disqualified)
			now = find_stage(model, standing->prior_stage);
		standing->prior_stage = NULL;
		stage = next_stage(model, score, econtext, now);
		next = stage ? stage->name : "unqualified";
	}
	if (standing->stage && strcmp(standing->stage, next) == 0)
		return false;
	standing->stage = pstrdup(next);
	standing->since = t;
	return true;
}
