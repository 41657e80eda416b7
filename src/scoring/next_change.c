/*-------------------------------------------------------------------------
 *
 * next_change.c
 *		The next instant at which time alone changes a contact.
 *
 * Between two jumps (a period begins, an idle time is complete, an event that was
 * dated later takes effect) a score is a sum of constants and of pieces that lose a
 * half of their value with each half-life.  Nothing falls or rises faster than if all
 * pieces that do were one, which halves at their speed at the start: a bound of the
 * score cannot be reached earlier than so, whatever the signs of the pieces.  Repeating
 * this with the remaining distance and speed approaches the bound: never late, and where
 * all pieces fall with the accuracy of Newton's method, at once where their half-lives
 * are the same.  Limits of rules and categories hold a part constant for a known time.
 *
 * At each jump the score is evaluated again, in memory.  Where there are many, as with
 * periods of seconds, they are passed over: between two instants a score is within bounds
 * that follow from what each rule contributes at either, as time moves that in one
 * direction.  A search with a bound on its
 * work stops early after some jumps, or, when numbers only drift, shortly before the
 * bound is reached: the contact is due once more then.  So it is where a series of
 * events would move an instant of a drift again and again (ls_next_change_ahead).
 *
 *-------------------------------------------------------------------------
 */
#include "scoring/next_change.h"

#include <math.h>

#include "miscadmin.h"

#include "definitions/model_tables.h"

#define LN2				0.69314718055994530942

/*
 * How early the instant of a drift may be, as a fraction of the time until it; and where
 * all pieces of a curve fall, or all rise, what the last step may be: as a fraction of
 * that time, as what is left after it is a fraction of its square, or of the shortest
 * half-life, as it is early by less than log(2) / 2 of that
 */
#define EARLY			0.01
#define LAST_STEP		0.1
/* in a series of events a part of the time until it, at least, ... */
#define AHEAD			0.125
/* ... and so much less than where the ratio counts, as what falls gets slower */
#define NEARER			0.9
/* how many steps a search makes towards a bound that may be found early */
#define MAX_STEPS		64
/* how many jumps are looked at one by one before it is tried to pass over many */
#define ONE_BY_ONE		16
/* ... at most so long at once: 100 years */
#define LONGEST			(INT64CONST(36525) * USECS_PER_DAY)
/* precision of a score, as a fraction of all that goes into it */
#define ROUNDING		1e-15

/* The bounds within which the contact does not change */
typedef struct Watch
{
	LsBounds	score;
	LsBounds	categories[LS_MAX_CATEGORIES];
} Watch;

/* The score at an instant of the curve, and how fast it changes */
typedef struct Motion
{
	double		value[LS_MAX_CATEGORIES];	/* before the category's limits */
	double		fall[LS_MAX_CATEGORIES];	/* speed per microsecond */
	double		rise[LS_MAX_CATEGORIES];
	double		fall_left[LS_MAX_CATEGORIES];	/* how far it can fall */
	double		rise_left[LS_MAX_CATEGORIES];
	double		kink;			/* microseconds until a limit no longer applies */
} Motion;

typedef struct Search
{
	LsDue	   *due;
	Watch		crossing;
	Watch		drifting;
	bool		disqualified;
	bool	   *in_force;		/* by rule, where actions watch them */
	/* over many jumps */
	LsScore    *here;			/* with contributions; NULL: not made yet */
	LsScore    *there;
	double		stretch;		/* microseconds that were passed over last */
	int			wait;			/* jumps until the next attempt */
} Search;

/* ---------- what is waited for ---------- */

static void
no_bounds(LsBounds *bounds)
{
	bounds->low = -INFINITY;
	bounds->high = INFINITY;
}

/*
 * drift_bounds gives the bounds of the exact number around a stored one, where the
 * allowed drift grows with the exact number (ls_score_drift).
 */
static void
drift_bounds(const LsModel *model, double stored, LsBounds *bounds)
{
	double		ratio = model->max_drift_ratio;
	double		further = stored / (1 - ratio);
	double		nearer = stored / (1 + ratio);

	bounds->low = fmin(stored - model->max_drift, stored >= 0 ? nearer : further);
	bounds->high = fmax(stored + model->max_drift, stored >= 0 ? further : nearer);
}

/* within removes the bounds that limits keep a number from reaching. */
static void
within(LsBounds *bounds, double least, double most)
{
	if (bounds->low <= least)
		bounds->low = -INFINITY;
	if (bounds->high > most)
		bounds->high = INFINITY;
}

static void
grade_bounds(const LsCategory *category, int band, LsBounds *bounds)
{
	if (band >= 0)
		bounds->low = ls_decay_threshold(category->grade_min[band]);
	if (band + 1 < category->ngrades)
		bounds->high = ls_decay_threshold(category->grade_min[band + 1]);
}

/* watch sets the bounds from the score at the start. */
static void
watch(Search *search)
{
	LsDue	   *due = search->due;
	LsModel    *model = due->model;
	LsScore    *score = due->score;

	no_bounds(&search->crossing.score);
	no_bounds(&search->drifting.score);
	search->disqualified = score->disqualified;
	search->in_force = NULL;
	search->here = NULL;
	search->wait = ONE_BY_ONE;
	if (due->what & LS_DUE_STAGE)
		ls_stage_bounds(model, score->score, due->stage, &search->crossing.score);
	if (due->what & LS_DUE_DRIFT)
		drift_bounds(model, due->stored_score, &search->drifting.score);
	within(&search->crossing.score, model->min_score, model->max_score);
	within(&search->drifting.score, model->min_score, model->max_score);
	for (int i = 0; i < model->ncategories; i++)
	{
		LsCategory *category = &model->categories[i];

		no_bounds(&search->crossing.categories[i]);
		no_bounds(&search->drifting.categories[i]);
		if (due->what & LS_DUE_GRADE)
			grade_bounds(category, score->bands[i], &search->crossing.categories[i]);
		if (due->what & LS_DUE_DRIFT)
			drift_bounds(model, due->stored_categories[i],
						 &search->drifting.categories[i]);
		within(&search->crossing.categories[i], category->min_points, category->max_points);
		within(&search->drifting.categories[i], category->min_points, category->max_points);
	}
	if (!model->watches_rules || score->contributions == NULL)
		return;
	search->in_force = palloc(sizeof(bool) * model->nrules);
	for (int i = 0; i < model->nrules; i++)
		search->in_force[i] = score->contributions[i].in_force;
}

static bool
outside(const LsBounds *bounds, double value)
{
	return value < bounds->low || value >= bounds->high;
}

static bool
watch_notices(const Watch *watch, LsModel *model, const LsScore *score)
{
	if (outside(&watch->score, score->score))
		return true;
	for (int i = 0; i < model->ncategories; i++)
		if (outside(&watch->categories[i], score->categories[i]))
			return true;
	return false;
}

/* crosses tells whether a score is outside the bounds. */
static bool
crosses(Search *search)
{
	LsModel    *model = search->due->model;
	LsScore    *score = search->due->score;

	if (score->disqualified != search->disqualified)
		return true;
	for (int i = 0; search->in_force && i < model->nrules; i++)
		if (model->rules[i].watched && score->contributions[i].in_force &&
			!search->in_force[i])
			return true;
	return watch_notices(&search->crossing, model, score);
}

/* ---------- between two jumps ---------- */

/* add_piece adds a piece of a curve, whose size without its limit is given. */
static inline void
add_piece(Motion *motion, const LsPiece *piece, double size)
{
	double		half_life = (double) piece->half_life;
	double		speed = size * LN2 / half_life;
	int			c = piece->category;

	if (unlikely(size > piece->limit))
	{
		motion->kink = fmin(motion->kink, half_life * log2(size / piece->limit));
		size = piece->limit;
		speed = 0;
	}
	if (piece->value > 0)
	{
		motion->value[c] += size;
		motion->fall[c] += speed;
		motion->fall_left[c] += size;
	}
	else
	{
		motion->value[c] -= size;
		motion->rise[c] += speed;
		motion->rise_left[c] += size;
	}
}

/* look gives the score some time after the start of a curve. */
static void
look(LsModel *model, const LsCurve *curve, double offset, Motion *motion)
{
	memset(motion, 0, offsetof(Motion, kink));
	motion->kink = INFINITY;
	for (int i = 0; i < model->ncategories; i++)
		motion->value[i] = curve->base[i];
	for (int i = 0; i < curve->npieces; i++)
	{
		const LsPiece *piece = &curve->pieces[i];
		double		size = fabs(piece->value);

		if (offset > 0)
			size *= exp2(-offset / (double) piece->half_life);
		add_piece(motion, piece, size);
	}
}

/*
 * time_to gives the least time in which a distance can be covered by what has a speed
 * now and no more left than that.  What is left is a sum of parts that halve, whose
 * logarithm falls the slower the longer it falls: so it takes at least as long as one
 * part with that speed, and so long where there is but one.
 */
static double
time_to(double distance, double speed, double left)
{
	if (isinf(distance) || distance >= left)
		return INFINITY;
	if (distance <= 0)
		return 0;
	return speed > 0 ? -log1p(-distance / left) * (left / speed) : INFINITY;
}

/*
 * score_speed adds up how fast the categories move the score, downwards or upwards.
 * A category beyond its limits does not move it until it comes back to them, which
 * sets motion->kink.
 */
static double
score_speed(LsModel *model, Motion *motion, bool down, double *left)
{
	double		speed = 0;

	*left = 0;
	for (int i = 0; i < model->ncategories; i++)
	{
		LsCategory *category = &model->categories[i];
		bool		falls = (category->weight > 0) == down;
		double		own = falls ? motion->fall[i] : motion->rise[i];
		double		beyond = falls ? motion->value[i] - category->max_points :
			category->min_points - motion->value[i];

		*left += fabs(category->weight) *
			(falls ? motion->fall_left[i] : motion->rise_left[i]);
		if (beyond <= 0)
			speed += fabs(category->weight) * own;
		else if (own > 0)
			motion->kink = fmin(motion->kink, beyond / own);
	}
	return speed;
}

/*
 * time_inside gives the least time for which all stays within the bounds, widened by
 * an amount.
 */
static double
time_inside(LsModel *model, const Watch *watch, Motion *motion, double further)
{
	double		time = INFINITY;
	double		score = 0;
	double		speed,
				left;

	for (int i = 0; i < model->ncategories; i++)
	{
		const LsBounds *bounds = &watch->categories[i];
		LsCategory *category = &model->categories[i];

		time = fmin(time, time_to(motion->value[i] - bounds->low + further,
								  motion->fall[i], motion->fall_left[i]));
		time = fmin(time, time_to(bounds->high - motion->value[i] + further,
								  motion->rise[i], motion->rise_left[i]));
		score += category->weight * ls_decay_clamp(motion->value[i], category->min_points,
												   category->max_points);
	}
	if (!isinf(watch->score.low))
	{
		speed = score_speed(model, motion, true, &left);
		time = fmin(time, time_to(score - watch->score.low + further, speed, left));
	}
	if (!isinf(watch->score.high))
	{
		speed = score_speed(model, motion, false, &left);
		time = fmin(time, time_to(watch->score.high - score + further, speed, left));
	}
	return time;
}

/*
 * push gives how far to go on from where a bound is reached but for rounding: at
 * least as far as the score takes to change noticeably.  Where the score is almost
 * constant at a bound that can be days.
 */
static double
push(Search *search, const LsCurve *curve, Motion *motion)
{
	LsModel    *model = search->due->model;
	double		weight = 1;
	double		longest = 1;
	double		further;

	for (int i = 0; i < model->ncategories; i++)
		weight = fmax(weight, fabs(model->categories[i].weight));
	for (int i = 0; i < curve->npieces; i++)
		longest = fmax(longest, (double) curve->pieces[i].half_life);
	further = ROUNDING * fmax(search->due->score->size, 1) * weight;
	return fmax(1, fmin(longest, fmin(time_inside(model, &search->crossing, motion, further),
									  time_inside(model, &search->drifting, motion, further))));
}

/*
 * last_step tells whether a step towards a drift is short enough to be the last one;
 * shortest is the shortest half-life where all pieces fall, or all rise, else 0.
 */
static bool
last_step(double time, double until, double shortest)
{
	return time <= fmax(until * (shortest > 0 ? LAST_STEP : EARLY), shortest * LAST_STEP);
}

/* shortest_half_life gives that of a curve's pieces; 0: some fall and some rise. */
static double
shortest_half_life(const LsCurve *curve)
{
	double		shortest = INFINITY;

	for (int i = 0; i < curve->npieces; i++)
	{
		if ((curve->pieces[i].value > 0) != (curve->pieces[0].value > 0))
			return 0;
		shortest = fmin(shortest, (double) curve->pieces[i].half_life);
	}
	return shortest;
}

/*
 * smooth looks for the first instant of a curve at which a bound is reached;
 * end where there is none before it.
 */
static TimestampTz
smooth(Search *search, TimestampTz start, TimestampTz end, bool *drift)
{
	LsDue	   *due = search->due;
	LsCurve    *curve = due->score->curve;
	bool		exact = due->max_jumps == 0;
	double		length = (double) end - (double) curve->from;
	double		before = (double) (curve->from - start);
	double		shortest = shortest_half_life(curve);
	double		offset = 0;

	if (curve->npieces == 0)
		return end;
	for (int steps = 1;; steps++)
	{
		Motion		motion;
		double		crossing,
					drifting,
					time;

		look(due->model, curve, offset, &motion);
		crossing = time_inside(due->model, &search->crossing, &motion, 0);
		drifting = due->what & LS_DUE_DRIFT ?
			time_inside(due->model, &search->drifting, &motion, 0) : INFINITY;
		time = fmin(crossing, drifting);
		*drift = drifting < crossing;
		if (motion.kink + 1 < time)
		{
			/* to just beyond the kink, where speeds differ */
			offset += motion.kink + 1;
			if (offset >= length)
				return end;
			continue;
		}
		if (offset + time >= length)
			return end;
		if (steps == 1 && time < 1)
		{
			time = push(search, curve, &motion);
			return time >= length ? end : curve->from + (int64) time;
		}
		offset += time;
		if (time < 1 || (!exact && steps >= MAX_STEPS) ||
			(!exact && *drift && last_step(time, before + offset, shortest)))
			return curve->from + Max((int64) offset, 1) +
				(time < 1 && offset >= 1 ? 1 : 0);
		if (steps % 1000 == 0)
			CHECK_FOR_INTERRUPTS();
	}
}

/* ---------- over many jumps ---------- */

/*
 * points_between gives the bounds of what a rule contributes between two instants.
 * Without events each part of an event rule, of either sign, gets smaller or is lost, and
 * inactivity only lasts longer.
 */
static void
points_between(const LsRule *rule, const LsContribution *a, const LsContribution *b,
			   LsBounds *points)
{
	if (!isinf(rule->max_per))
	{
		/* limits by value, too: values may have parts of either sign */
		bool		one_sign = a->size == fabs(a->raw) && b->size == fabs(b->raw);

		points->low = one_sign ? fmin(a->points, b->points) : fmax(-a->size, -rule->max_points);
		points->high = one_sign ? fmax(a->points, b->points) : fmin(a->size, rule->max_points);
	}
	else if (ls_rule_counts_events(rule))
	{
		points->low = (b->size + b->raw) / 2 - (a->size - a->raw) / 2;
		points->high = (a->size + a->raw) / 2 - (b->size - b->raw) / 2;
		points->low = ls_decay_clamp(points->low, -rule->max_points, rule->max_points);
		points->high = ls_decay_clamp(points->high, -rule->max_points, rule->max_points);
	}
	else
	{
		points->low = fmin(a->points, b->points);
		points->high = fmax(a->points, b->points);
	}
}

/* reaches tells whether a number between two bounds may be outside the watched ones. */
static bool
reaches(const LsBounds *watched, LsBounds number, double low, double high, double rounding)
{
	if (number.low < number.high)
	{
		number.low -= rounding;
		number.high += rounding;
	}
	return outside(watched, ls_decay_clamp(number.low, low, high)) ||
		outside(watched, ls_decay_clamp(number.high, low, high));
}

/*
 * may_cross tells whether something watched may change between two instants, at which
 * the score with its contributions is known.
 */
static bool
may_cross(const Search *search, const LsScore *a, const LsScore *b)
{
	const LsModel *model = search->due->model;
	LsBounds	categories[LS_MAX_CATEGORIES] = {{0, 0}};
	LsBounds	score = {0, 0};
	double		rounding = 1e-12 * fmax(1, fmax(a->size, b->size));
	double		weights = 1;

	for (int i = 0; i < model->nrules; i++)
	{
		const LsRule *rule = &model->rules[i];
		LsBounds	points;

		if (rule->draft || rule->category < 0)
			continue;
		if (a->contributions[i].in_force != b->contributions[i].in_force &&
			(rule->disqualifies || rule->watched))
			return true;
		points_between(rule, &a->contributions[i], &b->contributions[i], &points);
		categories[rule->category].low += points.low;
		categories[rule->category].high += points.high;
	}
	for (int i = 0; i < model->ncategories; i++)
	{
		const LsCategory *category = &model->categories[i];
		LsBounds   *points = &categories[i];

		if (reaches(&search->crossing.categories[i], *points, category->min_points, category->max_points, rounding) ||
			reaches(&search->drifting.categories[i], *points, category->min_points, category->max_points, rounding))
			return true;
		points->low = ls_decay_clamp(points->low, category->min_points, category->max_points);
		points->high = ls_decay_clamp(points->high, category->min_points, category->max_points);
		score.low += category->weight * (category->weight > 0 ? points->low : points->high);
		score.high += category->weight * (category->weight > 0 ? points->high : points->low);
		weights = fmax(weights, fabs(category->weight));
	}
	return reaches(&search->crossing.score, score, model->min_score, model->max_score, rounding * weights) ||
		reaches(&search->drifting.score, score, model->min_score, model->max_score, rounding * weights);
}

/*
 * stretch_end gives the last instant until which what rules contribute goes one way:
 * before an event takes effect, inactivity does no more, or the clocks of the model's
 * zone are changed, by which periods may come again.
 */
static TimestampTz
stretch_end(const LsModel *model, TimestampTz from, TimestampTz future, TimestampTz last)
{
	TimestampTz end = Min(last, future - 1);
	bool		local = false;

	/* instants near the end of all time cannot be turned into local ones */
	if ((double) end - (double) from > LONGEST)
		end = from + LONGEST;

	for (int i = 0; i < model->nrules; i++)
		local |= model->rules[i].local;
	if (local)
		end = Min(end, ls_match_next_zone_change(from, model->tz) - 1);
	for (int i = 0; i < model->nabsences; i++)
		if (model->absences[i]->events_before > from)
			end = Min(end, model->absences[i]->events_before - 1);
	return end;
}

/* swap exchanges the scores of the two ends of a stretch. */
static void
swap(Search *search)
{
	LsScore    *there = search->here;

	search->here = search->there;
	search->there = there;
}

/*
 * pass_over goes on over many jumps, each stretch twice as long as the one before, until
 * in one something may change; then half of it, as long as that is more than some jumps.
 * The score is evaluated where it ends.
 */
static void
pass_over(Search *search, TimestampTz last, TimestampTz future)
{
	LsDue	   *due = search->due;
	LsModel    *model = due->model;
	TimestampTz from = due->score->curve->from;
	TimestampTz end = stretch_end(model, from, future, last);
	TimestampTz at = from;
	double		gap = (double) due->score->curve->jump - (double) from;
	bool		shorter = false;

	if (search->here == NULL)
	{
		search->here = ls_score_make(model, true);
		search->there = ls_score_make(model, true);
		search->stretch = gap * ONE_BY_ONE;
	}
	search->stretch = fmax(search->stretch, 4 * gap);
	ls_score_evaluate(model, due->state, at, search->here);
	while (at < end && search->stretch >= 2 * gap)
	{
		TimestampTz to = (double) end - (double) at > search->stretch ? at + (int64) search->stretch : end;

		CHECK_FOR_INTERRUPTS();
		ls_score_evaluate(model, due->state, to, search->there);
		if (may_cross(search, search->here, search->there))
		{
			search->stretch = fmin(search->stretch, (double) (to - at)) / 2;
			shorter = true;
			continue;
		}
		at = to;
		swap(search);
		if (!shorter)
			search->stretch *= 2;
	}
	search->wait = at > from ? ONE_BY_ONE : Min(2 * search->wait, 1024);
	if (at > from)
		ls_score_evaluate(model, due->state, at, due->score);
}

/* ---------- over jumps ---------- */

/* find is ls_next_change_find() once it is known what is watched. */
static TimestampTz
find(Search *search, bool *drift)
{
	LsDue	   *due = search->due;
	LsCurve    *curve = due->score->curve;
	TimestampTz start = curve->from;
	TimestampTz future = curve->future;
	TimestampTz last = Min(due->until, END_TIMESTAMP - 1);
	int			next = search->wait;

	for (int jumps = 0;; jumps++)
	{
		TimestampTz end = Min(curve->jump, last + 1);
		TimestampTz at = smooth(search, start, end, drift);

		if (at < end)
		{
			due->gradual = *drift;
			return at;
		}
		if (end > last)
			return DT_NOEND;
		*drift = false;
		if (end >= future)
			return end;
		if (due->max_jumps > 0 && jumps >= due->max_jumps)
		{
			*drift = true;
			return end;
		}
		if (jumps % 1000 == 999)
			CHECK_FOR_INTERRUPTS();
		ls_score_evaluate(due->model, due->state, end, due->score);
		if (crosses(search))
			return end;
		*drift = true;
		if (watch_notices(&search->drifting, due->model, due->score))
			return end;
		if (jumps < next)
			continue;
		pass_over(search, last, future);
		next = jumps + search->wait;
	}
}

/*
 * ls_next_change_find gives the earliest instant after that of the score at which
 * something watched changes, or may change; DT_NOEND where that is later than until,
 * or never.  drift tells whether only numbers change.
 */
TimestampTz
ls_next_change_find(LsDue *due, bool *drift)
{
	Search		search;
	TimestampTz at;

	search.due = due;
	watch(&search);
	due->gradual = false;
	at = find(&search, drift);
	if (search.here)
	{
		ls_score_free(search.here);
		ls_score_free(search.there);
	}
	if (search.in_force)
		pfree(search.in_force);
	return at;
}

/*
 * ls_next_change_was_none tells whether time can have changed nothing but numbers from
 * an earlier instant, with its score and stage, to that of a score with its curve, where
 * there was no jump between them.  So it is if all that has changed the score has
 * changed it in one direction: then it was within its bounds if it is at either end.
 * False where that is not known.
 */
bool
ls_next_change_was_none(LsModel *model, double before, bool disqualified,
						const LsStageState *stage, const LsScore *score)
{
	const LsCurve *curve = score->curve;
	double		direction = 0;
	LsBounds	bounds;

	if (disqualified != score->disqualified)
		return false;
	for (int i = 0; i < curve->npieces; i++)
	{
		const LsPiece *piece = &curve->pieces[i];
		double		moves = (piece->value > 0) == (model->categories[piece->category].weight > 0) ? 1 : -1;

		if (moves * direction < 0)
			return false;
		direction = moves;
	}
	no_bounds(&bounds);
	ls_stage_bounds(model, before, stage, &bounds);
	within(&bounds, model->min_score, model->max_score);
	return !outside(&bounds, before) && !outside(&bounds, score->score);
}

/*
 * ls_next_change_ahead gives the instant from which on a contact is due for a gradual
 * drift at an instant, where events follow each other.  While a number is so small that
 * max_drift counts, and not max_drift_ratio, each event that adds to it makes it drift
 * earlier, and the row of due_<model> would be moved each time: so the instant is as
 * near as if the ratio counted already, whatever the events still add.  With the ratio
 * it does not depend on the number, and remains as it is.
 */
TimestampTz
ls_next_change_ahead(const LsDue *due, TimestampTz from, TimestampTz at)
{
	const LsModel *model = due->model;
	const LsCurve *curve = due->score->curve;
	double		least = fabs(due->stored_score);
	double		part;

	for (int i = 0; i < curve->npieces; i++)
		least = fmin(least, fabs(due->stored_categories[curve->pieces[i].category]));
	if (model->max_drift_ratio * least >= model->max_drift)
		return at;
	part = NEARER * model->max_drift_ratio * least / model->max_drift;
	return from + Max((int64) ((double) (at - from) * fmax(part, AHEAD)), 1);
}

/*
 * ls_next_change_advance goes on to the next instant not after until at which
 * something may change, and evaluates the score there; stage is the state that the
 * contact is in.  False where nothing does; then only the score of the path has
 * changed.
 */
bool
ls_next_change_advance(LsPath *path, const LsStageState *stage, TimestampTz until)
{
	LsDue		due = {0};
	TimestampTz at;
	bool		drift;

	CHECK_FOR_INTERRUPTS();
	due.model = path->model;
	due.state = path->state;
	due.score = path->score;
	due.stage = stage;
	due.what = path->what;
	due.until = until;
	at = ls_next_change_find(&due, &drift);
	if (at == DT_NOEND)
		return false;
	ls_state_advance(path->model, path->state, at);
	ls_score_evaluate(path->model, path->state, at, path->score);
	path->at = at;
	return true;
}
