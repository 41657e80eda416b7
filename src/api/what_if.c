/*-------------------------------------------------------------------------
 *
 * what_if.c
 *		What a change of rules would do: by stage and grade, by contact, by score.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/tuplestore.h"

#include "api/arguments.h"
#include "api/what_if_trial.h"
#include "base/compat.h"
#include "base/leadscore.h"
#include "base/sql.h"
#include "scoring/stage.h"

PG_FUNCTION_INFO_V1(ls_what_if);
PG_FUNCTION_INFO_V1(ls_what_if_contacts);
PG_FUNCTION_INFO_V1(ls_what_if_distribution);

#define MAX_BANDS 1000

/* quantile of the normal distribution for a confidence of 95 % */
#define NORMAL_95 1.96

/* ---------- arguments ---------- */

/*
 * begin reads the arguments, from the sample on, and prepares the trial.  It refuses
 * callers that may not read the model's scores.
 */
static LsTrial *
begin(FunctionCallInfo fcinfo, int first)
{
	char	   *name = ls_sql_text_argument(fcinfo, 0, "model");
	LsTrialSpec spec = {0};
	LsModel    *model = ls_argument_model(fcinfo, name, psprintf("live_%s", name));

	if (!PG_ARGISNULL(first))
	{
		spec.sample = PG_GETARG_INT32(first);
		if (spec.sample < 1)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("sample must be at least 1, not %d", spec.sample),
					 errhint("It is a number of contacts; leave it out for one that is large enough.")));
	}
	spec.full = !PG_ARGISNULL(first + 1) && PG_GETARG_BOOL(first + 1);
	spec.publish = !PG_ARGISNULL(first + 2) && PG_GETARG_BOOL(first + 2);
	if (spec.full && spec.sample > 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("sample and full exclude each other"),
				 errhint("Use full => true for all contacts, or sample for some of them.")));
	return ls_trial_make(model, &spec);
}

/* ---------- estimates ---------- */

/* estimate extrapolates a number of tried contacts to all contacts. */
static int64
estimate(const LsTrial *trial, int64 n)
{
	if (ls_trial_tried(trial) == 0)
		return 0;
	return (int64) rint((double) n * (double) ls_trial_population(trial) /
						(double) ls_trial_tried(trial));
}

/*
 * bound gives the half width of the confidence interval at 95 %: with two successes and
 * failures added, so that it holds for small numbers as well (Agresti and Coull), and
 * narrower the more of all contacts were tried.
 */
static double
bound(const LsTrial *trial, int64 n)
{
	double		all = (double) ls_trial_population(trial);
	double		tried = (double) ls_trial_tried(trial);
	double		p = ((double) n + 2) / (tried + 4);

	if (all <= tried)
		return 0;
	return NORMAL_95 * all * sqrt(p * (1 - p) / (tried + 4) * (all - tried) / (all - 1));
}

/* is_estimate tells whether not all contacts were tried. */
static bool
is_estimate(const LsTrial *trial)
{
	return ls_trial_tried(trial) < ls_trial_population(trial);
}

/* ---------- by stage and grade ---------- */

/* A line of the result */
typedef struct Line
{
	const char *part;			/* all, stage or grade */
	char	   *name;			/* NULL: all, or without a grade */
	int64		before;
	int64		after;
	int64		came;
	int64		went;
	LsSum		sum_before;		/* of scores */
	LsSum		sum_after;
} Line;

typedef struct Lines
{
	MemoryContext context;
	List	   *lines;			/* of Line */
} Lines;

/* find gives the line of a stage or grade, adding it where there is none. */
static Line *
find(Lines *lines, const char *part, const char *name)
{
	MemoryContext old;
	Line	   *line;
	ListCell   *lc;

	foreach(lc, lines->lines)
	{
		line = lfirst(lc);
		if (strcmp(line->part, part) == 0 && ls_same_text(line->name, name))
			return line;
	}
	old = MemoryContextSwitchTo(lines->context);
	line = palloc0(sizeof(Line));
	line->part = part;
	line->name = name ? pstrdup(name) : NULL;
	lines->lines = lappend(lines->lines, line);
	MemoryContextSwitchTo(old);
	return line;
}

static void
count(Line *before, Line *after, const LsTried *tried, bool moved)
{
	before->before++;
	after->after++;
	ls_decay_sum_add(&before->sum_before, tried->before.score);
	ls_decay_sum_add(&after->sum_after, tried->after.score);
	before->went += moved;
	after->came += moved;
}

static void
take_line(LsTrial *trial, const LsTried *tried, void *arg)
{
	Lines	   *lines = arg;
	Line	   *all = find(lines, "all", NULL);
	bool		stage = !ls_same_text(tried->before.stage, tried->after.stage);
	bool		grade = !ls_same_text(tried->before.grade, tried->after.grade);

	count(all, all, tried, stage || grade);
	count(find(lines, "stage", tried->before.stage),
		  find(lines, "stage", tried->after.stage), tried, stage);
	count(find(lines, "grade", tried->before.grade),
		  find(lines, "grade", tried->after.grade), tried, grade);
}

/* rank sorts all before stages before grades. */
static int
rank(const Line *line)
{
	return *line->part == 'a' ? 0 : *line->part == 's' ? 1 : 2;
}

/* grades are sorted by name; stages stay in the order of the model */
static int
by_part(const ListCell *a, const ListCell *b)
{
	const Line *x = lfirst(a);
	const Line *y = lfirst(b);

	if (rank(x) != rank(y))
		return rank(x) - rank(y);
	if (x->name == NULL || y->name == NULL)
		return (x->name == NULL) - (y->name == NULL);
	return strcmp(x->name, y->name);
}

static void
put_line(ReturnSetInfo *result, const LsTrial *trial, const Line *line)
{
	Datum		values[9];
	bool		nulls[9] = {0};
	double		error = Max(bound(trial, line->before), bound(trial, line->after));

	error = Max(error, Max(bound(trial, line->came), bound(trial, line->went)));
	values[0] = CStringGetTextDatum(line->part);
	nulls[1] = line->name == NULL;
	values[1] = line->name ? CStringGetTextDatum(line->name) : (Datum) 0;
	values[2] = Int64GetDatum(estimate(trial, line->before));
	values[3] = Int64GetDatum(estimate(trial, line->after));
	values[4] = Int64GetDatum(estimate(trial, line->came));
	values[5] = Int64GetDatum(estimate(trial, line->went));
	nulls[6] = line->before == 0;
	values[6] = Float8GetDatum(ls_decay_sum_value(&line->sum_before) / Max(1, line->before));
	nulls[7] = line->after == 0;
	values[7] = Float8GetDatum(ls_decay_sum_value(&line->sum_after) / Max(1, line->after));
	nulls[8] = !is_estimate(trial);
	values[8] = Float8GetDatum(error);
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/* ls_what_if is leadscore.what_if(). */
Datum
ls_what_if(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	LsTrial    *trial = begin(fcinfo, 1);
	LsModel    *model = ls_trial_model(trial);
	Lines		lines = {CurrentMemoryContext, NIL};
	List	   *grades = NIL;
	ListCell   *lc;

	InitMaterializedSRF(fcinfo, 0);
	(void) find(&lines, "all", NULL);
	for (int i = 0; i < model->nstages; i++)
		(void) find(&lines, "stage", model->stages[i].name);
	(void) find(&lines, "stage", LS_DISQUALIFIED);
	ls_trial_run(trial, take_line, &lines);
	foreach(lc, lines.lines)
	{
		if (rank(lfirst(lc)) == 2)
			grades = lappend(grades, lfirst(lc));
		else
			put_line(result, trial, lfirst(lc));
	}
	list_sort(grades, by_part);
	foreach(lc, grades)
		put_line(result, trial, lfirst(lc));
	ls_trial_end(trial);
	PG_RETURN_NULL();
}

/* ---------- by contact ---------- */

static void
put_text(Datum *value, bool *isnull, const char *text)
{
	*isnull = text == NULL;
	*value = text ? CStringGetTextDatum(text) : (Datum) 0;
}

static void
take_contact(LsTrial *trial, const LsTried *tried, void *arg)
{
	ReturnSetInfo *result = arg;
	Datum		values[7];
	bool		nulls[7] = {0};

	if (ls_same_text(tried->before.stage, tried->after.stage) &&
		ls_same_text(tried->before.grade, tried->after.grade))
		return;
	values[0] = CStringGetTextDatum(ls_key_text(&ls_trial_model(trial)->key,
												tried->contact));
	values[1] = Float8GetDatum(tried->before.score);
	values[2] = Float8GetDatum(tried->after.score);
	put_text(&values[3], &nulls[3], tried->before.stage);
	put_text(&values[4], &nulls[4], tried->after.stage);
	put_text(&values[5], &nulls[5], tried->before.grade);
	put_text(&values[6], &nulls[6], tried->after.grade);
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/* ls_what_if_contacts is leadscore.what_if_contacts(). */
Datum
ls_what_if_contacts(PG_FUNCTION_ARGS)
{
	LsTrial    *trial = begin(fcinfo, 1);

	InitMaterializedSRF(fcinfo, 0);
	ls_trial_run(trial, take_contact, fcinfo->resultinfo);
	ls_trial_end(trial);
	PG_RETURN_NULL();
}

/* ---------- by score ---------- */

typedef struct Scores
{
	Size		n;
	Size		room;
	double	   *scores;			/* before and after, in turn */
	double		low;
	double		high;
} Scores;

static void
take_scores(LsTrial *trial, const LsTried *tried, void *arg)
{
	Scores	   *s = arg;

	if (s->n + 2 > s->room)
	{
		s->room *= 2;
		s->scores = repalloc_huge(s->scores, sizeof(double) * s->room);
	}
	s->scores[s->n++] = tried->before.score;
	s->scores[s->n++] = tried->after.score;
	s->low = Min(s->low, Min(tried->before.score, tried->after.score));
	s->high = Max(s->high, Max(tried->before.score, tried->after.score));
}

/* ls_what_if_distribution is leadscore.what_if_distribution(). */
Datum
ls_what_if_distribution(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	int			nbands = PG_ARGISNULL(1) ? 10 : PG_GETARG_INT32(1);
	Scores		s = {0, 1024, NULL, INFINITY, -INFINITY};
	int64	   *counts[2];
	LsTrial    *trial;

	if (nbands < 1 || nbands > MAX_BANDS)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("bands must be between 1 and %d, not %d", MAX_BANDS, nbands)));
	trial = begin(fcinfo, 2);
	InitMaterializedSRF(fcinfo, 0);
	s.scores = palloc(sizeof(double) * s.room);
	ls_trial_run(trial, take_scores, &s);
	if (s.low >= s.high)
		nbands = s.n > 0 ? 1 : 0;
	counts[0] = palloc0(sizeof(int64) * (nbands + 1));
	counts[1] = palloc0(sizeof(int64) * (nbands + 1));
	for (Size i = 0; i < s.n; i++)
	{
		double		place = (s.scores[i] / 2 - s.low / 2) / (s.high / 2 - s.low / 2) * nbands;

		counts[i % 2][place >= nbands ? nbands - 1 : place > 0 ? (int) place : 0]++;
	}
	for (int i = 0; i < nbands; i++)
	{
		Datum		values[5];
		bool		nulls[5] = {0};

		values[0] = Float8GetDatum(s.low + (s.high / nbands - s.low / nbands) * i);
		values[1] = Float8GetDatum(i == nbands - 1 ? s.high :
								   s.low + (s.high / nbands - s.low / nbands) * (i + 1));
		values[2] = Int64GetDatum(estimate(trial, counts[0][i]));
		values[3] = Int64GetDatum(estimate(trial, counts[1][i]));
		nulls[4] = !is_estimate(trial);
		values[4] = Float8GetDatum(Max(bound(trial, counts[0][i]), bound(trial, counts[1][i])));
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	ls_trial_end(trial);
	PG_RETURN_NULL();
}
