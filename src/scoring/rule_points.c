/*-------------------------------------------------------------------------
 *
 * rule_points.c
 *		The points of one rule at an instant: periods, limits, decay; and their
 *		curve from there.
 *
 * The limit of a period (max_per_period) applies to each bucket, before its decay;
 * that of the rule (max_points) to the sum of the decayed buckets.
 *
 *-------------------------------------------------------------------------
 */
#include "scoring/rule_points.h"

#include <math.h>

#include "common/int.h"
#include "utils/memutils.h"

#include "base/clock.h"
#include "scoring/keyed_values.h"

/* decayed adds points x weight x decay to a sum, and to the size. */
static void
decayed(LsSum *sum, LsContribution *c, double value, double factor)
{
	value = ls_decay_finite(value * factor);
	ls_decay_sum_add(sum, value);
	c->size = ls_decay_finite(c->size + fabs(value));
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
		int64		held_at = ls_state_slot_held(rule, slot->more->compacted_to, compacted->bucket);

		decayed(&sum, c, points * ls_decay_sum_value(&compacted->sum),
				ls_decay(&rule->decay, Max(0, now - held_at) * rule->period));
	}
	for (int i = 0; i < slot->more->nbuckets; i++)
	{
		const LsBucket *bucket = &slot->more->buckets[i];
		int64		age = Max(0, now - bucket->bucket);

		if (rule->frame > 0 && age >= rule->frame)
			continue;
		in_frame += bucket->count;
		decayed(&sum, c, points * ls_state_bucket_value(rule, bucket),
				ls_decay(&rule->decay, age * rule->period));
	}
	c->matched = rule->frame > 0 ? in_frame : slot->count;
	c->raw = ls_decay_sum_value(&sum);
}

/*
 * half_life_at gives a rule's half-life, with what it gives for t.
 */
static inline const LsHalfLife *
half_life_at(LsModel *model, const LsRule *rule, TimestampTz t)
{
	LsHalfLife *half_life = &model->half_lives[rule->half_life];

	if (half_life->fall_at == t)
		return half_life;
	half_life->fall_at = t;
	if (!ls_decay_is_of_landmark(t, half_life->landmark, half_life->interval))
	{
		half_life->number = ls_decay_floor_div(t, half_life->interval);
		half_life->landmark = half_life->number * half_life->interval;
	}
	half_life->fall = ls_decay_half_life_fall(t, half_life->landmark, half_life->interval);
	return half_life;
}

/* continuous gives the points at t of a sum that is no buckets. */
static pg_attribute_always_inline double
continuous(LsModel *model, const LsRule *rule, const LsSlot *slot, TimestampTz t)
{
	const LsHalfLife *half_life;
	LsSum		sum = slot->sum;

	if (rule->half_life < 0)
		return ls_decay_finite(rule->points * ls_decay_sum_value(&sum));
	half_life = half_life_at(model, rule, t);
	/* mostly the latest event came after the last landmark */
	if (unlikely((uint64) slot->last - (uint64) half_life->landmark >= (uint64) half_life->interval))
		ls_decay_sum_shift(&sum, half_life->number -
						   ls_decay_floor_div(slot->last, half_life->interval));
	return ls_decay_finite(rule->points * ls_decay_sum_value(&sum) * half_life->fall);
}

static void
evaluate_continuous(LsModel *model, const LsRule *rule, const LsSlot *slot, TimestampTz t,
					LsContribution *c)
{
	c->matched = slot->count;
	c->raw = continuous(model, rule, slot, t);
	c->size = fabs(c->raw);
}

/* limited_values gives the events of each value of a rule by which it limits what they give. */
static LsKeyed *
limited_values(const LsSlot *slot)
{
	LsKeyed    *keyed = slot->more->keyed;

	if (keyed && keyed->bytes)
		ls_keyed_codec_read(keyed);
	return keyed;
}

/* evaluate_value gives the points of one value, within its limit, and their size without. */
static double
evaluate_value(LsModel *model, const LsRule *rule, const LsKeyedValue *value, TimestampTz t,
			   LsContribution *c)
{
	*c = (LsContribution) {.last_match = DT_NOBEGIN};
	if (value->counted.count == 0)
		return 0;
	if (ls_state_needs_buckets(rule))
		evaluate_buckets(model, rule, &value->counted, t, c);
	else
		evaluate_continuous(model, rule, &value->counted, t, c);
	return ls_decay_clamp(c->raw, -rule->max_per, rule->max_per);
}

/* evaluate_values sums up what the values of a rule give, each within its limit. */
static void
evaluate_values(LsModel *model, const LsRule *rule, const LsSlot *slot, TimestampTz t,
				LsContribution *c)
{
	LsKeyed    *keyed = limited_values(slot);
	LsSum		sum = {0, 0};

	for (int i = 0; keyed && i < keyed->nvalues; i++)
	{
		LsContribution one;

		ls_decay_sum_add(&sum, evaluate_value(model, rule, &keyed->values[i], t, &one));
		c->matched += one.matched;
		c->size = ls_decay_finite(c->size + one.size);
	}
	c->raw = ls_decay_sum_value(&sum);
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
	if (!isinf(rule->max_per))
		evaluate_values(model, rule, slot, t, c);
	else if (ls_state_needs_buckets(rule))
		evaluate_buckets(model, rule, slot, t, c);
	else if (!rule->once)
		evaluate_continuous(model, rule, slot, t, c);
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

/* absent_since tells since when there was no activity at t; DT_NOBEGIN: not known. */
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
	c->raw = ls_decay_finite(rule->points * (rule->once ? 1.0 : (double) c->matched));
	c->size = fabs(c->raw);
}

static void
evaluate_profile(const LsRule *rule, const LsSlot *slot, LsContribution *c)
{
	if (slot->count == 0)
		return;
	c->matched = 1;
	c->in_force = true;
	c->raw = ls_decay_finite(rule->points * ls_decay_sum_value(&slot->sum));
	c->size = fabs(c->raw);
}

/* ---------- the curve ---------- */

static void
add_jump(LsCurve *curve, TimestampTz at)
{
	if (at > curve->from && at < END_TIMESTAMP)
		curve->jump = Min(curve->jump, at);
}

/* add_jump_at_bucket adds the instant at which a period begins. */
static void
add_jump_at_bucket(LsModel *model, const LsRule *rule, LsCurve *curve,
				   int64 bucket)
{
	TimestampTz start = ls_rule_bucket_start(model, rule, bucket);

	/* where clocks are put back over midnight, a day may begin twice */
	if (rule->local && start <= curve->from)
		start = curve->from + (bucket * rule->period + LS_ORIGIN - ls_clock_local(curve->from, model->tz));
	add_jump(curve, start);
	if (rule->local && curve->zone_change == DT_NOBEGIN)
		curve->zone_change = ls_match_next_zone_change(curve->from, model->tz);
	if (rule->local)
		add_jump(curve, curve->zone_change);
}

/* next_step gives the age in periods of the next step of step decay. */
static int64
next_step(const LsRule *rule, int64 age)
{
	int64		phases = ls_state_slot_phases(rule);

	return (ls_decay_floor_div(age, phases) + 1) * phases;
}

/*
 * jump_of_buckets adds when a rule with periods changes next, if no event comes:
 * where a period leaves the time frame, and where its value falls.
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
	/* its size: parts that cancel out today may not tomorrow */
	if (c->size != 0 &&
		(rule->decay.kind == LS_DECAY_LINEAR || rule->decay.kind == LS_DECAY_HALF_LIFE))
		add_jump_at_bucket(model, rule, curve, now + 1);
}

/*
 * jump_of_latest adds when a rule that gives points for the latest event changes
 * next.
 */
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

/*
 * ls_rule_points_may_jump tells whether there may be a jump after one instant and not
 * after another.  A rule with periods may jump at the begin of each.
 */
bool
ls_rule_points_may_jump(LsModel *model, const LsState *state, TimestampTz from, TimestampTz to)
{
	if (state->nfuture > 0)
		return true;
	for (int i = 0; i < state->nslots; i++)
	{
		const LsSlot *slot = &state->slots[i];
		const LsRule *rule = ls_model_rule_by_version(model, slot->version);

		if (slot->more->nfuture > 0 ||
			(rule && !rule->plain && ls_rule_counts_events(rule) &&
			 (rule->bucketed || ls_state_needs_buckets(rule) ||
			  (!isinf(rule->max_per) && !isinf(rule->max_points)))))
			return true;
	}
	for (int i = 0; i < model->nabsences; i++)
	{
		const LsRule *rule = model->absences[i];
		const LsSlot *slot = ls_state_slot((LsState *) state, rule->version, false);
		LsContribution before = {.last_match = DT_NOBEGIN};
		LsContribution after = {.last_match = DT_NOBEGIN};

		evaluate_absence(state, rule, slot, from, &before);
		evaluate_absence(state, rule, slot, to, &after);
		/* where it takes effect no more, it may have in between */
		if (before.matched != after.matched ||
			(from < rule->events_before && to >= rule->events_before))
			return true;
	}
	return false;
}

/* new_piece makes room for a piece. */
static LsPiece *
new_piece(LsCurve *curve)
{
	if (curve->npieces >= curve->maxpieces)
	{
		curve->maxpieces = curve->maxpieces ? curve->maxpieces * 2 : 8;
		curve->pieces = curve->pieces ?
			repalloc(curve->pieces, sizeof(LsPiece) * curve->maxpieces) :
			MemoryContextAlloc(GetMemoryChunkContext(curve),
							   sizeof(LsPiece) * curve->maxpieces);
	}
	return &curve->pieces[curve->npieces++];
}

/*
 * add_piece adds what decays.  Rules without a limit go on together, by category and
 * half-life, those that fall and those that rise.
 */
static inline void
add_piece(LsCurve *curve, const LsRule *rule, bool limited, double value)
{
	int			place = limited ? -1 : 2 * rule->half_life + (value > 0);
	LsPiece    *piece;

	if (place >= 0 && curve->places[place] > 0)
	{
		piece = &curve->pieces[curve->places[place] - 1];
		piece->value = ls_decay_finite(piece->value + value);
		return;
	}
	piece = new_piece(curve);
	if (place >= 0)
		curve->places[place] = curve->npieces;
	piece->category = rule->category;
	piece->place = place;
	piece->half_life = rule->decay.interval;
	piece->value = value;
	piece->limit = isinf(rule->max_per) ? rule->max_points : rule->max_per;
}

/*
 * add_pieces adds what decays by value, each within its limit.  Beyond the limit of the
 * rule all stand still, until they can have come back to it at the earliest: those that
 * hold them there halve, and the others are gone.
 */
static void
add_pieces(LsModel *model, const LsRule *rule, const LsSlot *slot, const LsContribution *c,
		   LsCurve *curve)
{
	LsKeyed    *keyed = limited_values(slot);
	double		with = 0;
	double		against = 0;

	for (int i = 0; i < keyed->nvalues; i++)
	{
		LsContribution one;
		double		points = evaluate_value(model, rule, &keyed->values[i], curve->from, &one);

		if (fabs(c->raw) <= rule->max_points && one.raw != 0)
			add_piece(curve, rule, true, one.raw);
		if ((points > 0) == (c->raw > 0))
			with += fabs(points);
		else
			against += fabs(points);
	}
	if (fabs(c->raw) <= rule->max_points)
		return;
	curve->base[rule->category] += c->points;
	add_jump(curve, curve->from + (int64) fmax(1, fmin(rule->decay.interval *
													   log2(with / (rule->max_points + against)), LS_WEEK)));
}

/* curve_of_event adds the curve of an event rule. */
static void
curve_of_event(LsModel *model, const LsRule *rule, const LsSlot *slot,
			   const LsContribution *c, LsCurve *curve)
{
	if (!c->in_force)
		return;
	if (ls_state_needs_buckets(rule))
		jump_of_buckets(model, rule, slot, c, curve);
	if (rule->bucketed && rule->once)
		jump_of_latest(model, rule, slot, c, curve);
	if (!isinf(rule->max_per) && rule->half_life >= 0)
		add_pieces(model, rule, slot, c, curve);
	else if (rule->half_life >= 0 && c->raw != 0)
		add_piece(curve, rule, !isinf(rule->max_points), c->raw);
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

/* ls_rule_points_begin_curve starts the curve of an evaluation. */
void
ls_rule_points_begin_curve(LsModel *model, const LsState *state, TimestampTz t,
						   LsCurve *curve)
{
	curve->from = t;
	curve->jump = DT_NOEND;
	curve->zone_change = DT_NOBEGIN;
	curve->future = state->nfuture > 0 ? state->future[0] : DT_NOEND;
	for (int i = 0; i < curve->npieces; i++)
		if (curve->pieces[i].place >= 0)
			curve->places[curve->pieces[i].place] = 0;
	curve->npieces = 0;
	memset(curve->base, 0, sizeof(double) * model->ncategories);
	for (int i = 0; state->has_lists && i < state->nslots; i++)
		if (state->slots[i].more->nfuture > 0)
			curve->future = Min(curve->future, state->slots[i].more->future[0].at);
	add_jump(curve, curve->future);
}

/*
 * add_plain is add_rule() for an event rule that gives points for each
 * event, without periods and limits (LsRule.plain): most rules are.
 */
static inline void
add_plain(LsModel *model, const LsRule *rule, const LsSlot *slot, TimestampTz t,
		  LsScore *score)
{
	LsCurve    *curve = score->curve;
	double		points;

	if (slot->count == 0)
		return;
	points = continuous(model, rule, slot, t);
	ls_decay_sum_add(&score->sums[rule->category], points);
	score->size = ls_decay_finite(score->size + fabs(points));
	if (score->contributions)
	{
		LsContribution *c = &score->contributions[rule - model->rules];

		c->matched = slot->count;
		c->last_match = slot->last;
		c->raw = c->points = points;
		c->size = fabs(points);
		c->in_force = true;
	}
	if (curve == NULL)
		return;
	if (rule->half_life >= 0 && points != 0)
		add_piece(curve, rule, false, points);
	else
		curve->base[rule->category] += points;
}

/*
 * add_rule adds the points of a rule to its category; those of a draft are
 * only shown.
 */
static void
add_rule(LsModel *model, const LsState *state, LsRule *rule,
		 const LsSlot *slot, TimestampTz t, LsScore *score)
{
	bool		counts = rule->enabled && !rule->skip && !rule->backfilling;
	LsContribution c = {0};

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
		c.points = ls_decay_clamp(c.raw, -rule->max_points, rule->max_points);
	ls_decay_sum_add(&score->sums[rule->category], c.points);
	score->size = ls_decay_finite(score->size + c.size);
	if (c.in_force && rule->disqualifies)
		score->disqualified = true;
	if (score->contributions)
		score->contributions[rule - model->rules] = c;
	if (score->curve && counts)
	{
		if (ls_rule_counts_events(rule))
			curve_of_event(model, rule, slot, &c, score->curve);
		else
			score->curve->base[rule->category] += c.points;
		if (rule->kind == LS_ABSENCE)
			jump_of_absence(state, rule, &c, score->curve);
	}
}

/* ls_rule_points_add adds the points of all rules to their categories. */
void
ls_rule_points_add(LsModel *model, const LsState *state, TimestampTz t, LsScore *score)
{
	for (int i = 0; i < state->nslots; i++)
	{
		const LsSlot *slot = &state->slots[i];
		LsRule	   *rule = ls_model_rule_by_version(model, slot->version);

		if (rule == NULL || rule->kind == LS_ABSENCE || rule->category < 0)
			continue;
		if (rule->plain && !rule->skip)
			add_plain(model, rule, slot, t, score);
		else
			add_rule(model, state, rule, slot, t, score);
	}
	/* these give points even without any event */
	for (int i = 0; i < model->nabsences; i++)
	{
		LsRule	   *rule = model->absences[i];

		if (rule->version != 0 && rule->category >= 0)
			add_rule(model, state, rule,
					 ls_state_slot((LsState *) state, rule->version, false), t, score);
	}
}
