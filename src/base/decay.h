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

extern int64_t ls_decay_floor_div(int64_t a, int64_t b);
extern double ls_decay(const LsDecay *decay, int64_t age);
extern double ls_decay_half_life_rise(int64_t t, int64_t interval);
extern double ls_decay_half_life_fall(int64_t t, int64_t interval);
extern int64_t ls_decay_bucket(int64_t local, int64_t period);
extern int64_t ls_decay_default_period(const LsDecay *decay, int64_t time_frame);
extern int64_t ls_decay_span(const LsDecay *decay, int64_t time_frame);
extern int64_t ls_decay_span_periods(int64_t span, int64_t period);

extern void ls_decay_sum_add(LsSum *sum, double value);
extern void ls_decay_sum_merge(LsSum *sum, const LsSum *other);
extern void ls_decay_sum_shift(LsSum *sum, int64_t halvings);
extern void ls_decay_sum_scale(LsSum *sum, double factor);
extern double ls_decay_sum_value(const LsSum *sum);

extern double ls_decay_clamp(double value, double low, double high);
extern double ls_decay_threshold(double bound);
extern bool ls_decay_reached(double value, double bound);

#endif							/* LEADSCORE_DECAY_H */
