/*-------------------------------------------------------------------------
 *
 * evaluate.c
 *		From a state and the rules to what is true at an instant.
 *
 * Nothing is read here but the arguments, and nothing is changed but results:
 * the same state gives the score of any instant not before its last event.
 *
 *-------------------------------------------------------------------------
 */
#include "scoring/evaluate.h"

#include <float.h>
#include <math.h>

#include "common/int.h"
#include "utils/memutils.h"

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
	score->bands = palloc0(sizeof(int) * Max(1, model->ncategories));
	score->sums = palloc0(sizeof(LsSum) * Max(1, model->ncategories));
	if (contributions)
		score->contributions = palloc0(sizeof(LsContribution) *
									   Max(1, model->nrules));
	return score;
}

/* ls_score_want_curve has evaluations tell how the score goes on, too. */
void
ls_score_want_curve(LsModel *model, LsScore *score)
{
	score->curve = palloc0(sizeof(LsCurve));
	score->curve->base = palloc0(sizeof(double) * Max(1, model->ncategories));
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

	for (int i = 0; i < slot->more->ncompacted; i++)
	{
		const LsBucket *compacted = &slot->more->compacted[i];
		int64		phases = ls_slot_phases(rule);
		int64		past = slot->more->compacted_to - compacted->bucket;
		int64		purged_at = slot->more->compacted_to -
			(past - ls_floor_div(past, phases) * phases);

		decayed(&sum, c, points * ls_sum_value(&compacted->sum),
				ls_decay(&rule->decay, Max(0, now - purged_at) * rule->period));
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

/* absent_since tells since when there was no activity at t; DT_NOBEGIN: none is known. */
static TimestampTz
absent_since(const LsState *state, const LsRule *rule, TimestampTz last_match,
			 TimestampTz t)
{
	TimestampTz since = state->created_at;

	if (since == DT_NOBEGIN && state->events > 0 && state->first <= t)
		since = state->first;
	since = Max(since, last_match);
	return since == DT_NOBEGIN ? since : Max(since, rule->events_from);
}

static void
evaluate_absence(const LsState *state, const LsRule *rule, const LsSlot *slot,
				 TimestampTz t, LsContribution *c)
{
	TimestampTz since;

	if (slot)
		c->last_match = slot->last;
	since = absent_since(state, rule, c->last_match, t);
	if (since == DT_NOBEGIN || t >= rule->events_before)
		return;
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

/* ---------- how it goes on ---------- */

static void
add_jump(LsCurve *curve, TimestampTz at)
{
	if (at > curve->from && at < END_TIMESTAMP)
		curve->jump = Min(curve->jump, at);
}

/* add_jump_at_bucket notes the instant at which a period begins. */
static void
add_jump_at_bucket(LsModel *model, const LsRule *rule, LsCurve *curve,
				   int64 bucket)
{
	add_jump(curve, ls_rule_bucket_start(model, rule, bucket));
	/* where clocks are put back over midnight, a day may begin twice */
	if (rule->local && curve->zone_change == DT_NOBEGIN)
		curve->zone_change = ls_next_zone_change(curve->from, model->tz);
	if (rule->local)
		add_jump(curve, curve->zone_change);
}

/* next_step gives the age in periods at which step decay takes the next step. */
static int64
next_step(const LsRule *rule, int64 age)
{
	int64		phases = ls_slot_phases(rule);

	return (ls_floor_div(age, phases) + 1) * phases;
}

/*
 * jump_of_buckets adds when a rule that counts by periods changes next, as far
 * as no event comes: where a period leaves the time frame, and where its value
 * falls.
 */
static void
jump_of_buckets(LsModel *model, const LsRule *rule, const LsSlot *slot,
				const LsContribution *c, LsCurve *curve)
{
	int64		now = ls_rule_bucket(model, rule, curve->from);
	bool		oldest = true;

	for (int i = 0; i < slot->more->nbuckets; i++)
	{
		int64		bucket = slot->more->buckets[i].bucket;
		int64		age = Max(0, now - bucket);

		if (rule->frame > 0 && age >= rule->frame)
			continue;
		if (rule->frame > 0 && oldest)
			add_jump_at_bucket(model, rule, curve, bucket + rule->frame);
		oldest = false;
		if (rule->decay.kind == LS_DECAY_STEP)
			add_jump_at_bucket(model, rule, curve, bucket + next_step(rule, age));
	}
	for (int i = 0; i < slot->more->ncompacted && rule->decay.kind == LS_DECAY_STEP; i++)
	{
		int64		phase = slot->more->compacted[i].bucket;

		add_jump_at_bucket(model, rule, curve,
						   phase + next_step(rule, now - phase));
	}
	/* its size, as what cancels out today need not tomorrow */
	if (c->size != 0 &&
		(rule->decay.kind == LS_DECAY_LINEAR || rule->decay.kind == LS_DECAY_HALF_LIFE))
		add_jump_at_bucket(model, rule, curve, now + 1);
}

/* jump_of_latest does so for a rule that gives points for the latest event. */
static void
jump_of_latest(LsModel *model, const LsRule *rule, const LsSlot *slot,
			   const LsContribution *c, LsCurve *curve)
{
	int64		now = ls_rule_bucket(model, rule, curve->from);
	int64		age = latest_age(model, rule, slot, curve->from) / rule->period;

	if (c->raw == 0 || rule->decay.kind == LS_DECAY_NONE)
		return;
	if (rule->decay.kind == LS_DECAY_STEP)
		add_jump_at_bucket(model, rule, curve, now + next_step(rule, age) - age);
	else
		add_jump_at_bucket(model, rule, curve, now + 1);
}

static void
add_piece(LsCurve *curve, const LsRule *rule, double value)
{
	LsPiece    *piece;

	for (int i = 0; i < curve->npieces; i++)
	{
		piece = &curve->pieces[i];
		if (piece->category == rule->category && isinf(piece->limit) &&
			piece->half_life == rule->decay.interval && isinf(rule->max_points) &&
			(piece->value > 0) == (value > 0))
		{
			piece->value = bounded(piece->value + value);
			return;
		}
	}
	if (curve->npieces >= curve->maxpieces)
	{
		curve->maxpieces = curve->maxpieces ? curve->maxpieces * 2 : 8;
		curve->pieces = curve->pieces ?
			repalloc(curve->pieces, sizeof(LsPiece) * curve->maxpieces) :
			MemoryContextAlloc(GetMemoryChunkContext(curve),
							   sizeof(LsPiece) * curve->maxpieces);
	}
	piece = &curve->pieces[curve->npieces++];
	piece->category = rule->category;
	piece->half_life = rule->decay.interval;
	piece->value = value;
	piece->limit = rule->max_points;
}

/* curve_of_event adds how the contribution of an event rule goes on. */
static void
curve_of_event(LsModel *model, const LsRule *rule, const LsSlot *slot,
			   const LsContribution *c, LsCurve *curve)
{
	if (!c->in_force)
		return;
	if (ls_rule_needs_buckets(rule))
		jump_of_buckets(model, rule, slot, c, curve);
	if (rule->bucketed && rule->once)
		jump_of_latest(model, rule, slot, c, curve);
	if (!rule->bucketed && rule->decay.kind == LS_DECAY_HALF_LIFE && c->raw != 0)
		add_piece(curve, rule, c->raw);
	else
		curve->base[rule->category] += c->points;
}

/*
 * jump_of_absence adds when the next period of inactivity is complete, and when
 * inactivity takes effect no more.
 */
static void
jump_of_absence(const LsState *state, const LsRule *rule,
				const LsContribution *c, LsCurve *curve)
{
	TimestampTz since = absent_since(state, rule, c->last_match, curve->from);
	int64		next;

	if (since == DT_NOBEGIN || curve->from >= rule->events_before)
		return;
	if (c->in_force && rule->events_before != DT_NOEND)
		add_jump(curve, rule->events_before);
	if (c->in_force &&
		(rule->once || fabs(c->raw) >= rule->max_points || rule->points == 0))
		return;
	if (!pg_mul_s64_overflow(c->matched + 1, rule->idle, &next) &&
		!pg_add_s64_overflow(since, next, &next) && next < rule->events_before)
		add_jump(curve, next);
}

/* begin_curve starts the curve of an evaluation. */
static void
begin_curve(LsModel *model, const LsState *state, TimestampTz t, LsCurve *curve)
{
	curve->from = t;
	curve->jump = DT_NOEND;
	curve->zone_change = DT_NOBEGIN;
	curve->npieces = 0;
	memset(curve->base, 0, sizeof(double) * model->ncategories);
	/* events dated later take effect */
	if (state->nfuture > 0)
		add_jump(curve, state->future[0]);
	for (int i = 0; i < state->nslots; i++)
		if (state->slots[i].more->nfuture > 0)
			add_jump(curve, state->slots[i].more->future[0].at);
}

/* ---------- together ---------- */

/*
 * evaluate_rule adds what one rule brings to its category.  What a draft would
 * bring is only told.
 */
static void
evaluate_rule(LsModel *model, const LsState *state, LsRule *rule,
			  const LsSlot *slot, TimestampTz t, LsScore *score)
{
	LsContribution c = {0};
	bool		counts = rule->enabled && !rule->skip && !rule->counting;

	c.last_match = DT_NOBEGIN;
	if (counts)
	{
		if (rule->kind == LS_ABSENCE)
			evaluate_absence(state, rule, slot, t, &c);
		else if (rule->kind == LS_PROFILE)
			evaluate_profile(rule, slot, &c);
		else
			evaluate_event(model, rule, slot, t, &c);
	}
	if (rule->draft)
	{
		c.in_force = false;
		c.size = 0;
		counts = false;
	}
	else
		c.points = ls_clamp(c.raw, -rule->max_points, rule->max_points);
	ls_sum_add(&score->sums[rule->category], c.points);
	score->size = bounded(score->size + c.size);
	if (c.in_force && rule->disqualifies)
		score->disqualified = true;
	if (score->contributions)
		score->contributions[rule - model->rules] = c;
	if (score->curve && counts)
	{
		if (rule->kind == LS_EVENT)
			curve_of_event(model, rule, slot, &c, score->curve);
		else
			score->curve->base[rule->category] += c.points;
		if (rule->kind == LS_ABSENCE)
			jump_of_absence(state, rule, &c, score->curve);
	}
}

/* ls_score_finish turns the sums of categories into a score and a grade. */
void
ls_score_finish(LsModel *model, LsScore *score)
{
	LsSum		total = {0, 0};

	for (int i = 0; i < model->ncategories; i++)
	{
		LsCategory *category = &model->categories[i];
		double		value = ls_clamp(ls_sum_value(&score->sums[i]),
									 category->min_points, category->max_points);
		int			band = category->ngrades - 1;

		score->categories[i] = value;
		ls_sum_add(&total, bounded(category->weight * value));
		while (band >= 0 && !ls_reached(value, category->grade_min[band]))
			band--;
		score->bands[i] = band;
	}
	score->score = ls_clamp(ls_sum_value(&total), model->min_score, model->max_score);
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
 * ls_evaluate gives what is true at t.  What is dated later than the clock was when
 * the state was written but not later than t must have been counted
 * (ls_state_advance).
 *
 * A state does not tell what was before its last event: it is never evaluated
 * before that, which would have what decays grow.  Callers see to it that they ask
 * for no such instant; score->at has the one that the answer is of.
 */
void
ls_evaluate(LsModel *model, const LsState *state, TimestampTz t, LsScore *score)
{
	t = Max(t, state->last);
	score->at = t;
	memset(score->sums, 0, sizeof(LsSum) * model->ncategories);
	score->size = 0;
	score->disqualified = false;
	if (score->curve)
		begin_curve(model, state, t, score->curve);
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
			evaluate_rule(model, state, rule, slot, t, score);
	}
	/* these count where nothing was ever seen */
	for (int i = 0; i < model->nabsences; i++)
	{
		LsRule	   *rule = model->absences[i];

		if (rule->version != 0 && rule->category >= 0)
			evaluate_rule(model, state, rule,
						  ls_state_slot((LsState *) state, rule->version, false),
						  t, score);
	}
	ls_score_finish(model, score);
}

/* ls_drift is how far a stored score may be from the exact one. */
double
ls_drift(const LsModel *model, double score)
{
	return Max(model->max_drift, model->max_drift_ratio * fabs(score));
}
