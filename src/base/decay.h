/*-------------------------------------------------------------------------
 *
 * decay.h
 *		The mathematics of points that decay: ages, buckets, decay, sums.
 *
 * No PostgreSQL in here, so that it is tested on its own.  Instants and
 * lengths of time are int64 microseconds, numbers are double.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_DECAY_H
#define LEADSCORE_DECAY_H

#include <float.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>

#define LS_SECOND	INT64_C(1000000)
#define LS_MINUTE	(60 * LS_SECOND)
#define LS_HOUR		(60 * LS_MINUTE)
#define LS_DAY		(24 * LS_HOUR)
#define LS_WEEK		(7 * LS_DAY)

/* Monday 2000-01-03 00:00, counted from 2000-01-01 00:00 */
#define LS_ORIGIN	(2 * LS_DAY)

/* how many periods a span may have, and how many are stored separately without one */
#define LS_MAX_PERIODS	512

/*
 * The largest number, in absolute value, that a definition may have and a weight
 * may be: products of them and sums of very many are finite, so that they are the
 * same in any order.
 */
#define LS_LARGEST_NUMBER	1e100

typedef enum LsDecayKind
{
	LS_DECAY_NONE,
	LS_DECAY_HALF_LIFE,
	LS_DECAY_LINEAR,
	LS_DECAY_STEP
} LsDecayKind;

typedef struct LsDecay
{
	LsDecayKind kind;
	int64_t		interval;		/* decay_interval, > 0 unless kind is none */
	double		keep;			/* decay_keep, for step */
} LsDecay;

/*
 * A compensated sum: the value is hi + lo, and lo holds what hi has lost.
 * lo is kept to the precision of a float, which is how it is stored.
 */
typedef struct LsSum
{
	double		hi;
	double		lo;
} LsSum;

extern double ls_decay(const LsDecay *decay, int64_t age);
extern int64_t ls_decay_bucket(int64_t local, int64_t period);
extern int64_t ls_decay_default_period(const LsDecay *decay, int64_t time_frame);
extern int64_t ls_decay_span(const LsDecay *decay, int64_t time_frame);
extern int64_t ls_decay_span_periods(int64_t span, int64_t period);

extern void ls_decay_sum_halve(LsSum *sum, int64_t halvings);
extern void ls_decay_sum_scale(LsSum *sum, double factor);

extern double ls_decay_threshold(double bound);
extern bool ls_decay_reached(double value, double bound);

/* ---------- what is done for each rule and event ---------- */

/* ls_decay_floor_div divides, rounding towards minus infinity; b is positive. */
static inline int64_t
ls_decay_floor_div(int64_t a, int64_t b)
{
	int64_t		q = a / b;

	return (a % b < 0) ? q - 1 : q;
}

/* ls_decay_landmark gives the last landmark of a half-life that is not after t. */
static inline int64_t
ls_decay_landmark(int64_t t, int64_t interval)
{
	return ls_decay_floor_div(t, interval) * interval;
}

/* ls_decay_is_of_landmark tells whether a landmark is the last one that is not after t. */
static inline bool
ls_decay_is_of_landmark(int64_t t, int64_t landmark, int64_t interval)
{
	return (uint64_t) t - (uint64_t) landmark < (uint64_t) interval;
}

/*
 * ls_decay_half_life_rise gives 2^((t - landmark) / interval) for the last landmark
 * not after t: the weight, from 1 up to below 2, with which an event at t
 * enters a sum that is held at that landmark.
 */
static inline double
ls_decay_half_life_rise(int64_t t, int64_t landmark, int64_t interval)
{
	return exp2((double) (t - landmark) / (double) interval);
}

/* ls_decay_half_life_fall gives the value at t of one held at t's last landmark. */
static inline double
ls_decay_half_life_fall(int64_t t, int64_t landmark, int64_t interval)
{
	return exp2(-(double) (t - landmark) / (double) interval);
}

static inline double
ls_decay_clamp(double value, double low, double high)
{
	return value < low ? low : value > high ? high : value;
}

/*
 * ls_decay_finite replaces an infinite number by the largest finite one, as
 * ls_decay_clamp() would: comparisons as a processor makes them in one instruction.
 */
static inline double
ls_decay_finite(double value)
{
	double		not_above = DBL_MAX < value ? DBL_MAX : value;

	return -DBL_MAX > not_above ? -DBL_MAX : not_above;
}

/* ls_decay_sum_add adds one value. */
static inline void
ls_decay_sum_add(LsSum *sum, double value)
{
	double		hi = ls_decay_finite(sum->hi + value);
	double		lost;
	float		lo;

	if (fabs(sum->hi) >= fabs(value))
		lost = (sum->hi - hi) + value;
	else
		lost = (value - hi) + sum->hi;
	lost += sum->lo;

	/* renormalise, so that lo stays small beside hi */
	sum->hi = ls_decay_finite(hi + lost);
	lo = (float) (lost - (sum->hi - hi));
	/* not so where it is not finite */
	sum->lo = fabsf(lo) <= FLT_MAX ? lo : 0.0;
}

/* ls_decay_sum_merge adds another sum. */
static inline void
ls_decay_sum_merge(LsSum *sum, const LsSum *other)
{
	ls_decay_sum_add(sum, other->hi);
	if (other->lo != 0.0)
		ls_decay_sum_add(sum, other->lo);
}

/* ls_decay_sum_shift halves a sum so many times, or doubles it where negative. */
static inline void
ls_decay_sum_shift(LsSum *sum, int64_t halvings)
{
	if (halvings != 0)
		ls_decay_sum_halve(sum, halvings);
}

static inline double
ls_decay_sum_value(const LsSum *sum)
{
	return ls_decay_finite(sum->hi + sum->lo);
}

#endif							/* LEADSCORE_DECAY_H */
