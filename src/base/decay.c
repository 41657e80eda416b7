/*-------------------------------------------------------------------------
 *
 * decay.c
 *		The mathematics of points that decay.
 *
 * A half-life is summed with the landmark (forward decay) method of Cormode,
 * Shkapenyuk, Srivastava and Xu, "Forward Decay: A Practical Time Decay Model
 * for Streaming Systems", ICDE 2009.  Our landmarks are the multiples of the
 * half-life itself, so that moving a sum from one landmark to another is a
 * multiplication by a power of two, which loses nothing: the sum of a set of
 * events does not depend on the order in which they came.
 *
 * Sums are compensated after Neumaier, "Rundungsfehleranalyse einiger
 * Verfahren zur Summation endlicher Summen", ZAMM 54 (1974).
 *
 *-------------------------------------------------------------------------
 */
#include "base/decay.h"

#include <float.h>
#include <math.h>
#include <string.h>

/* ls_decay gives the value that is left of one point at an age >= 0. */
double
ls_decay(const LsDecay *decay, int64_t age)
{
	double		intervals;

	switch (decay->kind)
	{
		case LS_DECAY_NONE:
			return 1.0;
		case LS_DECAY_HALF_LIFE:
			return exp2(-(double) age / (double) decay->interval);
		case LS_DECAY_LINEAR:
			intervals = (double) age / (double) decay->interval;
			return intervals < 1.0 ? 1.0 - intervals : 0.0;
		case LS_DECAY_STEP:
			return pow(decay->keep,
					   (double) ls_decay_floor_div(age, decay->interval));
	}
	return 0.0;
}

/* ls_decay_bucket numbers the period in which an instant lies. */
int64_t
ls_decay_bucket(int64_t local, int64_t period)
{
	return ls_decay_floor_div(local - LS_ORIGIN, period);
}

/* ls_decay_span_periods counts the periods in a span, a started one being whole. */
int64_t
ls_decay_span_periods(int64_t span, int64_t period)
{
	return -ls_decay_floor_div(-span, period);
}

/* ls_decay_span is what bounds the age of events that count, or 0. */
int64_t
ls_decay_span(const LsDecay *decay, int64_t time_frame)
{
	if (time_frame > 0)
		return time_frame;
	return decay->kind == LS_DECAY_LINEAR ? decay->interval : 0;
}

/*
 * ls_decay_default_period chooses the period of a bucketed rule that names none.
 * time_frame is 0 where there is none.
 */
int64_t
ls_decay_default_period(const LsDecay *decay, int64_t time_frame)
{
	static const int64_t units[] = {LS_DAY, LS_HOUR, LS_MINUTE, LS_SECOND};
	int64_t		shorter = time_frame;
	int64_t		span = ls_decay_span(decay, time_frame);

	if (decay->kind == LS_DECAY_STEP)
	{
		for (int i = 0; i < 4; i++)
			if (decay->interval % units[i] == 0 &&
				(time_frame == 0 ||
				 ls_decay_span_periods(time_frame, units[i]) <= LS_MAX_PERIODS))
				return units[i];
		return decay->interval;
	}

	if (decay->kind != LS_DECAY_NONE &&
		(shorter == 0 || decay->interval < shorter))
		shorter = decay->interval;
	if (shorter == 0)
		return LS_DAY;
	for (int i = 0; i < 4; i++)
	{
		if (units[i] > shorter / 8)
			continue;
		if (units[i] == LS_DAY &&
			ls_decay_span_periods(span, LS_DAY) > LS_MAX_PERIODS)
			return LS_WEEK;
		return units[i];
	}
	return LS_SECOND;
}

/* power_of_two gives 2^n for an exponent that a normal number has. */
static double
power_of_two(int n)
{
	uint64_t	bits = (uint64_t) (DBL_MAX_EXP - 1 + n) << (DBL_MANT_DIG - 1);
	double		power;

	memcpy(&power, &bits, sizeof(power));
	return power;
}

/*
 * ls_decay_sum_halve is ls_decay_sum_shift() for a number of halvings that is not 0.
 * A product with a power of two is rounded as ldexp() rounds, for less.
 */
void
ls_decay_sum_halve(LsSum *sum, int64_t halvings)
{
	if (halvings > -DBL_MAX_EXP && halvings < DBL_MAX_EXP - 1)
	{
		double		factor = power_of_two(-(int) halvings);

		sum->hi = ls_decay_finite(sum->hi * factor);
		sum->lo = (float) (sum->lo * factor);
	}
	else
	{
		int			n = halvings > 4000 ? 4000 : halvings < -4000 ? -4000 : (int) halvings;

		sum->hi = ls_decay_finite(ldexp(sum->hi, -n));
		sum->lo = (float) ldexp(sum->lo, -n);
	}
	if (!isfinite(sum->lo))
		sum->lo = 0.0;
}

/* ls_decay_sum_scale multiplies a sum. */
void
ls_decay_sum_scale(LsSum *sum, double factor)
{
	float		lo = (float) (sum->lo * factor);

	sum->hi = ls_decay_finite(sum->hi * factor);
	sum->lo = isfinite(lo) ? lo : 0.0;
}

/* ls_decay_threshold is from where on a bound counts as reached, with room for rounding. */
double
ls_decay_threshold(double bound)
{
	return bound - 1e-9 * fmax(1.0, fabs(bound));
}

/* ls_decay_reached compares as stages and grades do. */
bool
ls_decay_reached(double value, double bound)
{
	if (isinf(bound))
		return bound < 0;
	return value >= ls_decay_threshold(bound);
}
