/*-------------------------------------------------------------------------
 *
 * forecast.c
 *		What will happen if nothing happens: stages and grades to come.
 *
 * The way of a contact through the time to come is gone in memory, as the
 * worker will go it.  Who will be on the way by an instant is known from
 * due_<model>: a contact is looked at before anything changes.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "executor/executor.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/tuplestore.h"

#include "api/arguments.h"
#include "base/clock.h"
#include "counting/contact_snapshot.h"
#include "counting/stage_context.h"
#include "scoring/next_change.h"
#include "scoring/transition.h"
#include "tables/due_table.h"
#include "tables/identity_table.h"
#include "tables/pending_table.h"

PG_FUNCTION_INFO_V1(ls_forecast);
PG_FUNCTION_INFO_V1(ls_upcoming);

#define FORECAST_COLUMNS	5
#define UPCOMING_COLUMNS	6
#define CHUNK				1000

/* how far forecast() looks where it is not told */
#define FAR					(10 * 365 * LS_DAY)

/* The way of one contact from now on */
typedef struct Way
{
	LsCourse	course;
	LsScoreRow	row;
	EState	   *estate;
	LsPath		path;
	double		score_now;
} Way;

/* set_out puts a contact where it is now, whatever has been written down. */
static void
set_out(Way *way, LsModel *model, TimestampTz now)
{
	LsCourse   *course = &way->course;

	memset(course, 0, sizeof(LsCourse));
	way->estate = CreateExecutorState();
	course->model = model;
	course->row = &way->row;
	course->score = ls_course_score(model);
	course->econtext = ls_stage_context_make(model, way->estate, way->row.contact);
	now = Max(now, ls_score_row_instant(&way->row));
	ls_course_now(course, now);
	way->score_now = course->score->score;
	way->path = (LsPath) {model, &way->row.state, course->score,
	LS_DUE_STAGE | LS_DUE_GRADE, now};
}

/*
 * go gets to the next instant at which something may change, and gives the
 * stage before.  False where there is none.
 */
static bool
go(Way *way, TimestampTz until, const char **from_stage)
{
	LsStageState	standing = ls_score_row_stage_state(&way->row);

	CHECK_FOR_INTERRUPTS();
	*from_stage = way->row.stage;
	if (!ls_path_next(&way->path, &standing, until))
		return false;
	(void) ls_stage_step(way->course.model, way->course.score,
						 way->course.econtext, &standing, way->path.at);
	ls_score_row_set_stage_state(&way->row, &standing);
	return true;
}

/* foretell gives a row of forecast(). */
static void
foretell(ReturnSetInfo *result, const Way *way, const char *what,
		 const char *from, const char *to)
{
	Datum		values[FORECAST_COLUMNS];
	bool		nulls[FORECAST_COLUMNS] = {0};

	if (strcmp(from ? from : "", to ? to : "") == 0)
		return;
	values[0] = TimestampTzGetDatum(way->path.at);
	values[1] = CStringGetTextDatum(what);
	nulls[2] = from == NULL;
	values[2] = from ? CStringGetTextDatum(from) : 0;
	nulls[3] = to == NULL;
	values[3] = to ? CStringGetTextDatum(to) : 0;
	values[4] = Float8GetDatum(way->course.score->score);
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/* ls_forecast is leadscore.forecast(): one row a change of stage or grade. */
Datum
ls_forecast(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	TimestampTz now = ls_clock_of_statement();
	LsModel    *model;
	TimestampTz until;
	const char *stage;
	char	   *grade;
	Way			way;

	InitMaterializedSRF(fcinfo, 0);
	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		PG_RETURN_NULL();
	model = ls_asked_model(fcinfo, text_to_cstring(PG_GETARG_TEXT_PP(0)), NULL);
	until = PG_ARGISNULL(2) ? now + FAR : ls_asked_until(PG_GETARG_TIMESTAMPTZ(2));
	if (!ls_contact_stand(model, ls_asked_contact(fcinfo, model), &way.row))
		PG_RETURN_NULL();
	set_out(&way, model, now);
	grade = ls_score_grade(model, way.course.score);
	while (go(&way, until, &stage))
	{
		char	   *next = ls_score_grade(model, way.course.score);

		foretell(result, &way, "stage", stage, way.row.stage);
		foretell(result, &way, "grade", grade, next);
		grade = next;
	}
	FreeExecutorState(way.estate);
	PG_RETURN_NULL();
}

/* ---------- everybody ---------- */

/* A row of upcoming() */
typedef struct Coming
{
	char	   *contact;
	TimestampTz at;
	const char *from_stage;
	const char *to_stage;
	double		score_now;
	double		score_then;
} Coming;

static int
by_instant(const ListCell *a, const ListCell *b)
{
	const Coming *x = lfirst(a);
	const Coming *y = lfirst(b);

	if (x->at != y->at)
		return x->at < y->at ? -1 : 1;
	return strcmp(x->contact, y->contact);
}

/* go_all_the_way adds what will come of one contact to a list. */
static List *
go_all_the_way(List *coming, Way *to_go, LsModel *model, TimestampTz until,
			   MemoryContext context)
{
	Way			way = *to_go;
	Datum		contact = way.row.contact;
	const char *stage;

	set_out(&way, model, ls_clock_of_statement());
	while (go(&way, until, &stage))
	{
		MemoryContext old;
		Coming	   *one;

		if (strcmp(stage, way.row.stage) == 0)
			continue;
		old = MemoryContextSwitchTo(context);
		one = palloc(sizeof(Coming));
		one->contact = ls_key_text(&model->key, contact);
		one->at = way.path.at;
		one->from_stage = pstrdup(stage);
		one->to_stage = pstrdup(way.row.stage);
		one->score_now = way.score_now;
		one->score_then = way.course.score->score;
		coming = lappend(coming, one);
		MemoryContextSwitchTo(old);
	}
	FreeExecutorState(way.estate);
	return coming;
}

/* ask_due does so for one that is due; those of whom something is pending are left. */
static List *
ask_due(List *coming, LsModel *model, const LsDueRow *due, TimestampTz until,
		MemoryContext context)
{
	LsPending	pending;
	Way			way;

	/* a row of which its state does not know is not the contact's only one */
	if (!ls_score_table_find(model, due->contact, &way.row) || way.row.state.due != due->at)
		return coming;
	if (ls_pending_any(model))
	{
		ls_pending_init(&pending);
		ls_pending_read(model, due->contact, &pending);
		if (pending.nrows > 0)
			return coming;
	}
	if (ls_alias_pending(model, due->contact) &&
		!ls_contact_stand(model, due->contact, &way.row))
		return coming;
	return go_all_the_way(coming, &way, model, until, context);
}

/* ask_pending does so for those of whom something is pending, due or not. */
static List *
ask_pending(List *coming, LsModel *model, TimestampTz until, MemoryContext context)
{
	MemoryContext chunk = AllocSetContextCreate(context, "leadscore forecast of pending",
												ALLOCSET_DEFAULT_SIZES);
	MemoryContext one = AllocSetContextCreate(context, "leadscore forecast of one",
											  ALLOCSET_DEFAULT_SIZES);
	Datum	   *contacts = palloc(sizeof(Datum) * CHUNK);
	Datum		last;
	int			n;

	for (const Datum *after = NULL;; after = &last)
	{
		MemoryContextSwitchTo(chunk);
		n = ls_pending_contacts(model, after, CHUNK, contacts);
		for (int i = 0; i < n; i++)
		{
			Way			way;

			MemoryContextSwitchTo(one);
			if (ls_contact_stand(model, contacts[i], &way.row))
				coming = go_all_the_way(coming, &way, model, until, context);
			MemoryContextReset(one);
		}
		if (n < CHUNK)
			break;
		last = contacts[n - 1];
	}
	MemoryContextSwitchTo(context);
	MemoryContextDelete(one);
	MemoryContextDelete(chunk);
	return coming;
}

/* ask_all does so for all that are due by an instant. */
static List *
ask_all(LsModel *model, TimestampTz until)
{
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext contexts[2];
	LsDueRow   *last = NULL;
	List	   *coming = NIL;
	int			n = CHUNK;

	for (int i = 0; i < 2; i++)
		contexts[i] = AllocSetContextCreate(caller, "leadscore forecast",
											ALLOCSET_DEFAULT_SIZES);
	for (int chunk = 0; n == CHUNK; chunk++)
	{
		/* the last row of a chunk is needed until the next has been read */
		MemoryContext context = contexts[chunk % 2];
		MemoryContext one;
		LsDueRow   *rows;

		MemoryContextReset(context);
		MemoryContextSwitchTo(context);
		one = AllocSetContextCreate(context, "leadscore forecast of one",
									ALLOCSET_DEFAULT_SIZES);
		rows = palloc(sizeof(LsDueRow) * CHUNK);
		n = ls_due_table_read(model->name, last, until, CHUNK, rows);
		for (int i = 0; i < n; i++)
		{
			MemoryContextSwitchTo(one);
			coming = ask_due(coming, model, &rows[i], until, caller);
			MemoryContextReset(one);
		}
		last = n > 0 ? &rows[n - 1] : NULL;
	}
	MemoryContextSwitchTo(caller);
	for (int i = 0; i < 2; i++)
		MemoryContextDelete(contexts[i]);
	if (ls_pending_any(model))
		coming = ask_pending(coming, model, until, caller);
	list_sort(coming, by_instant);
	return coming;
}

/* ls_upcoming is leadscore.upcoming(): who will change stage, and when. */
Datum
ls_upcoming(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	LsModel    *model;
	ListCell   *lc;

	InitMaterializedSRF(fcinfo, 0);
	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	model = ls_asked_model(fcinfo, text_to_cstring(PG_GETARG_TEXT_PP(0)), NULL);
	if (PG_ARGISNULL(1))
		(void) ls_asked_until(DT_NOEND);
	foreach(lc, ask_all(model, ls_asked_until(PG_GETARG_TIMESTAMPTZ(1))))
	{
		Coming	   *one = lfirst(lc);
		Datum		values[UPCOMING_COLUMNS];
		bool		nulls[UPCOMING_COLUMNS] = {0};

		values[0] = CStringGetTextDatum(one->contact);
		values[1] = TimestampTzGetDatum(one->at);
		values[2] = CStringGetTextDatum(one->from_stage);
		values[3] = CStringGetTextDatum(one->to_stage);
		values[4] = Float8GetDatum(one->score_now);
		values[5] = Float8GetDatum(one->score_then);
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	PG_RETURN_NULL();
}
