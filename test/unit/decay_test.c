/*-------------------------------------------------------------------------
 *
 * decay_test.c
 *		The mathematics of decay, without PostgreSQL.
 *
 *-------------------------------------------------------------------------
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <float.h>
#include <math.h>

#include "base/decay.h"

static void
near(double got, double wanted)
{
	assert_true(fabs(got - wanted) <= 1e-14 * fmax(1.0, fabs(wanted)));
}

static void
test_floor_div(void **state)
{
	assert_int_equal(ls_decay_floor_div(7, 2), 3);
	assert_int_equal(ls_decay_floor_div(-7, 2), -4);
	assert_int_equal(ls_decay_floor_div(-8, 2), -4);
	assert_int_equal(ls_decay_floor_div(0, 5), 0);
}

static void
test_decay(void **state)
{
	LsDecay		none = {LS_DECAY_NONE, 0, 0};
	LsDecay		half = {LS_DECAY_HALF_LIFE, LS_DAY, 0};
	LsDecay		linear = {LS_DECAY_LINEAR, 10 * LS_DAY, 0};
	LsDecay		step = {LS_DECAY_STEP, 30 * LS_DAY, 0.75};
	LsDecay		nothing = {LS_DECAY_STEP, LS_DAY, 0};

	near(ls_decay(&none, 1000 * LS_DAY), 1.0);
	near(ls_decay(&half, 0), 1.0);
	near(ls_decay(&half, LS_DAY), 0.5);
	near(ls_decay(&half, 12 * LS_HOUR), sqrt(0.5));
	near(ls_decay(&linear, 3 * LS_DAY), 0.7);
	near(ls_decay(&linear, 10 * LS_DAY), 0.0);
	near(ls_decay(&linear, 11 * LS_DAY), 0.0);
	near(ls_decay(&step, 30 * LS_DAY - 1), 1.0);
	near(ls_decay(&step, 30 * LS_DAY), 0.75);
	near(ls_decay(&step, 60 * LS_DAY), 0.5625);
	near(ls_decay(&nothing, LS_DAY - 1), 1.0);
	near(ls_decay(&nothing, LS_DAY), 0.0);
}

/* a sum of half-lives does not depend on the order of its events */
static void
test_landmarks(void **state)
{
	LsDecay		half = {LS_DECAY_HALF_LIFE, 7 * LS_DAY + 1, 0};
	int64_t		instants[] = {-3 * LS_DAY, 5 * LS_HOUR, 400 * LS_DAY, 9 * LS_DAY};
	int64_t		t = 500 * LS_DAY;
	double		wanted = 0;
	double		got = 0;

	for (int i = 0; i < 4; i++)
	{
		int64_t		halvings = ls_decay_floor_div(t, half.interval) -
			ls_decay_floor_div(instants[i], half.interval);

		wanted += ls_decay(&half, t - instants[i]);
		got += ldexp(ls_decay_half_life_rise(instants[i], ls_decay_landmark(instants[i], half.interval),
											 half.interval), -(int) halvings) *
			ls_decay_half_life_fall(t, ls_decay_landmark(t, half.interval), half.interval);
	}
	near(got, wanted);
}

static void
test_buckets(void **state)
{
	/* Monday 2000-01-03 begins period 0, whatever the period */
	assert_int_equal(ls_decay_bucket(2 * LS_DAY, LS_WEEK), 0);
	assert_int_equal(ls_decay_bucket(2 * LS_DAY - 1, LS_WEEK), -1);
	assert_int_equal(ls_decay_bucket(9 * LS_DAY, LS_WEEK), 1);
	assert_int_equal(ls_decay_span_periods(14 * LS_DAY, LS_DAY), 14);
	assert_int_equal(ls_decay_span_periods(14 * LS_DAY + 1, LS_DAY), 15);
	assert_int_equal(ls_decay_span_periods(0, LS_DAY), 0);
}

static void
test_default_period(void **state)
{
	LsDecay		none = {LS_DECAY_NONE, 0, 0};
	LsDecay		half = {LS_DECAY_HALF_LIFE, 8 * LS_HOUR, 0};
	LsDecay		linear = {LS_DECAY_LINEAR, 600 * LS_DAY, 0};
	LsDecay		month = {LS_DECAY_STEP, 30 * LS_DAY, 0.5};
	LsDecay		odd = {LS_DECAY_STEP, 90 * LS_MINUTE, 0.5};
	LsDecay		tiny = {LS_DECAY_STEP, LS_SECOND / 2, 0.5};

	assert_int_equal(ls_decay_default_period(&none, 0), LS_DAY);
	assert_int_equal(ls_decay_default_period(&none, 8 * LS_DAY), LS_DAY);
	assert_int_equal(ls_decay_default_period(&none, 8 * LS_DAY - 1), LS_HOUR);
	assert_int_equal(ls_decay_default_period(&half, 30 * LS_DAY), LS_HOUR);
	assert_int_equal(ls_decay_default_period(&none, 512 * LS_DAY), LS_DAY);
	assert_int_equal(ls_decay_default_period(&none, 513 * LS_DAY), LS_WEEK);
	assert_int_equal(ls_decay_default_period(&linear, 0), LS_WEEK);
	assert_int_equal(ls_decay_default_period(&month, 0), LS_DAY);
	assert_int_equal(ls_decay_default_period(&month, 600 * LS_DAY), 30 * LS_DAY);
	assert_int_equal(ls_decay_default_period(&odd, 0), LS_MINUTE);
	assert_int_equal(ls_decay_default_period(&tiny, 0), LS_SECOND / 2);
}

/* what is taken away again leaves what was there, however large it was */
static void
test_sums(void **state)
{
	LsSum		sum = {0, 0};
	LsSum		other = {0, 0};

	ls_decay_sum_add(&sum, 0.1);
	ls_decay_sum_add(&sum, 1e12);
	ls_decay_sum_add(&sum, -1e12);
	assert_true(fabs(ls_decay_sum_value(&sum) - 0.1) < 1e-9);

	sum = (LsSum) {0, 0};
	for (int i = 0; i < 1000000; i++)
		ls_decay_sum_add(&sum, 0.1);
	assert_true(fabs(ls_decay_sum_value(&sum) - 100000.0) < 1e-9);
	ls_decay_sum_add(&other, 7);
	ls_decay_sum_merge(&sum, &other);
	near(ls_decay_sum_value(&sum), 100007.0);

	sum = (LsSum) {DBL_MAX, 0};
	ls_decay_sum_add(&sum, DBL_MAX);
	assert_true(ls_decay_sum_value(&sum) == DBL_MAX);
	ls_decay_sum_shift(&sum, 100000);
	near(ls_decay_sum_value(&sum), 0.0);

	sum = (LsSum) {3, 0};
	ls_decay_sum_shift(&sum, 2);
	near(ls_decay_sum_value(&sum), 0.75);
	ls_decay_sum_shift(&sum, -3);
	near(ls_decay_sum_value(&sum), 6.0);
}

/* a sum is moved by any number of landmarks as ldexp() moves its parts */
static void
test_shift(void **state)
{
	static const double values[] = {0.0, 1.0, -3.0, 0.1, 1e100, -1e-100, DBL_MAX, DBL_MIN, DBL_MIN / 8, 1e16 + 2};

	for (size_t i = 0; i < sizeof(values) / sizeof(*values); i++)
		for (int n = -2200; n <= 2200; n++)
		{
			LsSum		sum = {values[i], (float) fmin(values[i] / 3e17, 1e30)};
			double		hi = ldexp(sum.hi, -n);
			double		lo = (float) ldexp(sum.lo, -n);

			ls_decay_sum_shift(&sum, n);
			assert_true(sum.hi == fmin(fmax(hi, -DBL_MAX), DBL_MAX));
			assert_true(sum.lo == (isfinite(lo) ? lo : 0.0));
		}
}

static void
test_reached(void **state)
{
	assert_true(ls_decay_reached(50, 50));
	assert_true(ls_decay_reached(50 - 4e-8, 50));
	assert_false(ls_decay_reached(50 - 6e-8, 50));
	assert_true(ls_decay_reached(-1e-9, 0));
	assert_true(ls_decay_reached(-DBL_MAX, -INFINITY));
	assert_false(ls_decay_reached(DBL_MAX, INFINITY));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_floor_div),
		cmocka_unit_test(test_decay),
		cmocka_unit_test(test_landmarks),
		cmocka_unit_test(test_buckets),
		cmocka_unit_test(test_default_period),
		cmocka_unit_test(test_sums),
		cmocka_unit_test(test_shift),
		cmocka_unit_test(test_reached),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
