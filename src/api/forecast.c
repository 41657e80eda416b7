/*-------------------------------------------------------------------------
 *
 * forecast.c
 *		Forecasts without new events: stages and grades to come.
 *
 * The transitions that time alone causes are computed in memory, as the worker will
 * compute them.  due_<model> tells which contacts change by an instant: a contact is
 * due before anything changes.
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
#include "base/leadscore.h"
#include "counting/contact_snapshot.h"
#include "scoring/next_change.h"
#include "scoring/transition.h"
#include "tables/due_table.h"
#include "tables/identity_table.h"
#include "tables/pending_table.h"
#include "tables/score_table.h"

PG_FUNCTION_INFO_V1(ls_forecast);
PG_FUNCTION_INFO_V1(ls_upcoming);

#define FORECAST_COLUMNS	5
#define UPCOMING_COLUMNS	6
#define CHUNK				1000

/* how far forecast() looks by default */
#define FAR					(10 * 365 * LS_DAY)

/* foretell adds a row of forecast(), where stage or grade changes. */
static void
foretell(ReturnSetInfo *result, const LsTransitionEvent *event, const char *what,
		 const char *from, const char *to)
{
	Datum		values[FORECAST_COLUMNS];
	bool		nulls[FORECAST_COLUMNS] = {0};

	if (ls_same_text(from, to))
		return;
	values[0] = TimestampTzGetDatum(event->at);
	values[1] = CStringGetTextDatum(what);
	nulls[2] = from == NULL;
	values[2] = from ? CStringGetTextDatum(from) : 0;
	nulls[3] = to == NULL;
	values[3] = to ? CStringGetTextDatum(to) : 0;
	values[4] = Float8GetDatum(event->score);
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/* ls_forecast is leadscore.forecast(): one row for each change of stage or grade. */
Datum
ls_forecast(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	TimestampTz now = ls_clock_of_statement();
	LsModel    *model;
	TimestampTz until;
	LsScoreRow	row;
	ListCell   *lc;

	InitMaterializedSRF(fcinfo, 0);
	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		PG_RETURN_NULL();
	model = ls_argument_model(fcinfo, text_to_cstring(PG_GETARG_TEXT_PP(0)), NULL);
	until = PG_ARGISNULL(2) ? now + FAR : ls_argument_until(PG_GETARG_TIMESTAMPTZ(2));
	if (!ls_contact_snapshot_find_current(model, ls_argument_contact(fcinfo, model), &row))
		PG_RETURN_NULL();
	foreach(lc, ls_contact_snapshot_forecast(model, &row, now, until, true))
	{
		LsTransitionEvent *event = lfirst(lc);

		foretell(result, event, "stage", event->from_stage, event->to_stage);
		foretell(result, event, "grade", event->from_grade, event->to_grade);
	}
	PG_RETURN_NULL();
}

/* ---------- all contacts ---------- */

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

/* add_coming adds the coming transitions of one contact to a list. */
static List *
add_coming(List *coming, LsModel *model, LsScoreRow *row, TimestampTz until,
		   MemoryContext context)
{
	ListCell   *lc;

	foreach(lc, ls_contact_snapshot_forecast(model, row, ls_clock_of_statement(), until, false))
	{
		LsTransitionEvent *event = lfirst(lc);
		MemoryContext old;
		Coming	   *one;

		if (strcmp(event->from_stage, event->to_stage) == 0)
			continue;
		old = MemoryContextSwitchTo(context);
		one = palloc(sizeof(Coming));
		one->contact = ls_key_text(&model->key, row->contact);
		one->at = event->at;
		one->from_stage = pstrdup(event->from_stage);
		one->to_stage = pstrdup(event->to_stage);
		one->score_now = row->score;
		one->score_then = event->score;
		coming = lappend(coming, one);
		MemoryContextSwitchTo(old);
	}
	return coming;
}

/* ask_due adds a contact that is due, unless it has pending changes. */
static List *
ask_due(List *coming, LsModel *model, const LsDueRow *due, TimestampTz until,
		MemoryContext context)
{
	LsPending	pending;
	LsScoreRow	row;

	/* the contact has several rows; the state is that of another */
	if (!ls_score_table_find(model, due->contact, &row) || row.state.due != due->at)
		return coming;
	if (ls_pending_any(model))
	{
		ls_pending_init(&pending);
		ls_pending_read(model, due->contact, &pending);
		if (pending.nrows > 0)
			return coming;
	}
	if (ls_identity_pending(model, due->contact) &&
		!ls_contact_snapshot_find_current(model, due->contact, &row))
		return coming;
	return add_coming(coming, model, &row, until, context);
}

/* ask_pending adds all contacts with pending changes, due or not. */
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
			LsScoreRow	row;

			MemoryContextSwitchTo(one);
			if (ls_contact_snapshot_find_current(model, contacts[i], &row))
				coming = add_coming(coming, model, &row, until, context);
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

/* ask_all adds all contacts that are due by an instant. */
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

/* ls_upcoming is leadscore.upcoming(): which contacts will change stage, and when. */
Datum
ls_upcoming(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	LsModel    *model;
	ListCell   *lc;

	InitMaterializedSRF(fcinfo, 0);
	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	model = ls_argument_model(fcinfo, text_to_cstring(PG_GETARG_TEXT_PP(0)), NULL);
	if (PG_ARGISNULL(1))
		(void) ls_argument_until(DT_NOEND);
	foreach(lc, ask_all(model, ls_argument_until(PG_GETARG_TIMESTAMPTZ(1))))
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
