/*-------------------------------------------------------------------------
 *
 * rule_sample.c
 *		What existing rows say of rules that were just written.
 *
 * The rules of a statement are surveyed together: each table that they read is planned
 * and read once, however many rules there are and however many partitions it has.
 * Conditions are compiled and run as in a backfill, and fail one by one.
 *
 * A survey must not cost more than the backfill that follows, nor make anything fail:
 * it reads a limited number of rows, as the model's owner, and gives no notice about a
 * rule where that fails.
 *
 *-------------------------------------------------------------------------
 */
#include "model/validate.h"

#include "access/table.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "base/sql.h"
#include "base/suggest.h"
#include "base/transaction.h"
#include "base/user.h"
#include "counting/local_rows.h"

/* how many rows are read, unless event names are searched for */
#define MAX_ROWS	100000
/* how many names are compared with one that was not found */
#define MAX_NAMES	1000
#define BATCH		1000

/* A rule that reads the rows of a table */
typedef struct Asking
{
	LsSurvey   *survey;
	LsExpr	   *condition;		/* NULL: always */
	bool		seen;			/* the table has its event */
	bool		open;			/* there is something left to look for */
} Asking;

/* A table that is read */
typedef struct Visit
{
	Oid			relation;
	Oid			owner;			/* of the model */
	const char *table;			/* its name, quoted */
	const char *event_column;	/* quoted; NULL: none */
	int			nasking;
	Asking	   *asking;			/* by event, those without one first */
	int			nopen;
	EState	   *estate;
	ExprContext *econtext;
	TupleTableSlot *slot;
	uint64		nrows;
} Visit;

static const char *
event_of(const Asking *asking)
{
	return asking->survey->event;
}

static int
by_event(const void *a, const void *b)
{
	const char *x = event_of(a);
	const char *y = event_of(b);

	if (x == NULL || y == NULL)
		return (x != NULL) - (y != NULL);
	return strcmp(x, y);
}

/* ask adds a rule to those that read a table. */
static void
ask(Visit *visit, LsSurvey *survey, Relation rel)
{
	Asking	   *asking = &visit->asking[visit->nasking];
	ErrorData  *error = NULL;
	LsExprSpec	spec = {.use = LS_EXPR_CONDITION, .rel = rel, .role = visit->owner,
	.text = survey->condition};

	if (survey->event && visit->event_column == NULL)
		return;
	*asking = (Asking) {.survey = survey, .open = true};
	visit->nasking++;
	if (spec.text == NULL)
		return;
	spec.where = psprintf("condition of rule \"%s\"", survey->row->name);
	asking->condition = ls_expr_try_compile(&spec, CurrentMemoryContext, &error);
	if (error != NULL)
		survey->failed = true;
}

/* open_rows starts to read a table, up to the limit. */
static Portal
open_rows(const Visit *visit, TupleDesc desc)
{
	StringInfoData sql;
	LsUser		saved;
	SPIPlanPtr	plan;
	Portal		portal;

	initStringInfo(&sql);
	appendStringInfoString(&sql, "SELECT ");
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		/* where the table has them, as conditions are compiled for it */
		if (att->attisdropped)
			appendStringInfoString(&sql, "NULL, ");
		else
			appendStringInfo(&sql, "t.%s, ", quote_identifier(NameStr(att->attname)));
	}
	if (visit->event_column)
		appendStringInfo(&sql, "t.%s::pg_catalog.text", visit->event_column);
	else
		appendStringInfoString(&sql, "NULL");
	appendStringInfo(&sql, " FROM %s t LIMIT %d", visit->table, MAX_ROWS + 1);
	ls_user_switch_to_compute(visit->owner, &saved);
	plan = SPI_prepare(sql.data, 0, NULL);
	if (plan == NULL)
		elog(ERROR, "could not prepare a query of table %s", visit->table);
	portal = SPI_cursor_open(NULL, plan, NULL, NULL, true);
	ls_user_restore(&saved);
	return portal;
}

/* show_row evaluates a row for a rule that has something left to look for. */
static void
show_row(Visit *visit, Asking *asking)
{
	LsSurvey   *survey = asking->survey;
	ErrorData  *error = NULL;
	Datum		value = BoolGetDatum(true);
	bool		isnull = false;

	asking->seen = survey->seen = true;
	if (asking->condition && !survey->matched && !survey->failed &&
		ls_expr_eval(asking->condition, visit->econtext, &value, &isnull, &error) != LS_EXPR_OK)
		survey->failed = true;
	if (!isnull && DatumGetBool(value))
		survey->matched = true;
	if (!survey->matched && !survey->failed)
		return;
	asking->open = false;
	visit->nopen--;
}

/* first_of finds the first rule with an event. */
static int
first_of(const Visit *visit, const char *event)
{
	int			low = 0;
	int			high = visit->nasking;

	while (low < high)
	{
		int			middle = (low + high) / 2;
		const char *other = event_of(&visit->asking[middle]);

		if (other == NULL || strcmp(other, event) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* show_to_all evaluates a row for all rules with its event. */
static void
show_to_all(Visit *visit)
{
	bool		isnull;
	Datum		value = slot_getattr(visit->slot, visit->slot->tts_tupleDescriptor->natts, &isnull);

	visit->econtext->ecxt_scantuple = visit->slot;
	ResetExprContext(visit->econtext);
	for (int i = 0; i < visit->nasking && event_of(&visit->asking[i]) == NULL; i++)
		if (visit->asking[i].open)
			show_row(visit, &visit->asking[i]);
	if (!isnull && visit->event_column)
	{
		MemoryContext old = MemoryContextSwitchTo(visit->econtext->ecxt_per_tuple_memory);
		char	   *event = TextDatumGetCString(value);

		MemoryContextSwitchTo(old);
		for (int i = first_of(visit, event); i < visit->nasking &&
			 strcmp(event_of(&visit->asking[i]), event) == 0; i++)
			if (visit->asking[i].open)
				show_row(visit, &visit->asking[i]);
	}
}

/* read_rows reads rows until no rule has anything left to look for. */
static void
read_rows(Visit *visit, TupleDesc desc)
{
	Portal		portal = open_rows(visit, desc);

	visit->estate = CreateExecutorState();
	visit->econtext = CreateExprContext(visit->estate);
	visit->nopen = visit->nasking;
	while (visit->nopen > 0 && visit->nrows <= MAX_ROWS)
	{
		SPITupleTable *rows;
		uint64		n;
		LsUser		saved;

		ls_user_switch_to_compute(visit->owner, &saved);
		SPI_cursor_fetch(portal, true, BATCH);
		ls_user_restore(&saved);
		rows = SPI_tuptable;
		n = SPI_processed;
		if (n == 0)
			break;
		if (visit->slot == NULL)
			visit->slot = MakeSingleTupleTableSlot(CreateTupleDescCopy(rows->tupdesc),
												   &TTSOpsHeapTuple);
		for (uint64 i = 0; i < n && visit->nopen > 0 && visit->nrows <= MAX_ROWS; i++)
		{
			CHECK_FOR_INTERRUPTS();
			visit->nrows++;
			ExecStoreHeapTuple(rows->vals[i], visit->slot, false);
			show_to_all(visit);
		}
		if (visit->slot)
			ExecClearTuple(visit->slot);
		SPI_freetuptable(rows);
	}
	if (visit->slot)
		ExecDropSingleTupleTableSlot(visit->slot);
	FreeExecutorState(visit->estate);
	SPI_cursor_close(portal);
}

/* mark_seen records that an event exists. */
static void
mark_seen(Visit *visit, const char *event)
{
	for (int i = first_of(visit, event); i < visit->nasking &&
		 strcmp(event_of(&visit->asking[i]), event) == 0; i++)
		visit->asking[i].seen = visit->asking[i].survey->seen = true;
}

/*
 * find_events looks for events beyond the rows that were read: all that were not seen,
 * in one query.  They are compared bytewise, and once more by the column's own
 * operator, for which there may be an index.
 */
static void
find_events(Visit *visit)
{
	Datum	   *events = palloc(sizeof(Datum) * Max(1, visit->nasking));
	LsSqlArguments args = {.read_only = true};
	SPITupleTable *rows;
	int			n = 0;
	const char *column = visit->event_column;

	for (int i = 0; i < visit->nasking; i++)
		if (event_of(&visit->asking[i]) && !visit->asking[i].seen &&
			(i == 0 || by_event(&visit->asking[i - 1], &visit->asking[i]) != 0))
			events[n++] = CStringGetTextDatum(event_of(&visit->asking[i]));
	if (n == 0)
		return;
	ls_sql_add(&args, TEXTARRAYOID,
			   PointerGetDatum(construct_array(events, n, TEXTOID, -1, false, TYPALIGN_INT)));
	rows = ls_sql_query(psprintf("SELECT e FROM pg_catalog.unnest($1) e WHERE EXISTS"
								 " (SELECT FROM %s t WHERE"
								 " t.%s::pg_catalog.text OPERATOR(pg_catalog.=) e AND"
								 " t.%s::pg_catalog.text COLLATE pg_catalog.\"C\""
								 " OPERATOR(pg_catalog.=) e)",
								 visit->table, column, column), &args);
	for (uint64 i = 0; i < rows->numvals; i++)
		mark_seen(visit, ls_sql_text(rows, i, 1));
}

/* find_names gives names of existing events, the commonest first. */
static List *
find_names(const Visit *visit)
{
	LsSqlArguments args = {.read_only = true};
	SPITupleTable *rows;
	List	   *names = NIL;

	rows = ls_sql_query(psprintf("SELECT name FROM"
								 " (SELECT t.%s::pg_catalog.text COLLATE pg_catalog.\"C\" AS name"
								 " FROM %s t LIMIT %d) AS few"
								 " WHERE name IS NOT NULL GROUP BY name"
								 " ORDER BY pg_catalog.count(*) DESC, name LIMIT %d",
								 visit->event_column, visit->table, MAX_ROWS, MAX_NAMES), &args);
	for (uint64 i = 0; i < rows->numvals; i++)
		names = lappend(names, ls_sql_text(rows, i, 1));
	return names;
}

/* visit_names finds which events do not exist, and which names do. */
static void
visit_names(Visit *visit)
{
	List	   *names = NIL;
	LsUser		saved;

	ls_user_switch_to_compute(visit->owner, &saved);
	if (visit->nrows > MAX_ROWS)
		find_events(visit);
	for (int i = 0; i < visit->nasking; i++)
	{
		Asking	   *asking = &visit->asking[i];

		if (event_of(asking) == NULL || asking->seen)
			continue;
		if (names == NIL)
			names = find_names(visit);
		asking->survey->names = list_concat_copy(asking->survey->names, names);
	}
	ls_user_restore(&saved);
}

/* visit_table reads one table for the rules that read it. */
static void
visit_table(Visit *visit, List *surveys)
{
	Relation	rel = try_table_open(visit->relation, AccessShareLock);
	ListCell   *lc;

	if (rel == NULL)
		return;
	visit->table = ls_local_rows(visit->relation, visit->owner);
	visit->asking = palloc(sizeof(Asking) * list_length(surveys));
	foreach(lc, surveys)
		ask(visit, lfirst(lc), rel);
	qsort(visit->asking, visit->nasking, sizeof(Asking), by_event);
	read_rows(visit, RelationGetDescr(rel));
	visit_names(visit);
	foreach(lc, surveys)
	{
		LsSurvey   *survey = lfirst(lc);

		survey->rows |= visit->nrows > 0;
		/* there are too many rows to say that none matches */
		survey->matched |= visit->nrows > MAX_ROWS && survey->seen;
	}
	table_close(rel, NoLock);
}

/* reads tells whether a rule reads a source. */
static bool
reads(const LsSurvey *survey, const LsSourceRow *source)
{
	return strcmp(survey->row->kind, "profile") != 0 &&
		(survey->source == NULL || strcmp(survey->source, source->source) == 0);
}

/* Arguments of the survey, for a subtransaction */
typedef struct Job
{
	const LsModelRow *model;
	List	   *surveys;
	MemoryContext context;		/* for what outlives it */
} Job;

/* survey_all visits all tables that rules read, each once. */
static void
survey_all(void *arg)
{
	Job		   *job = arg;
	List	   *profiles = NIL;
	ListCell   *lc,
			   *each;

	SPI_connect();
	foreach(each, job->surveys)
		if (strcmp(((LsSurvey *) lfirst(each))->row->kind, "profile") == 0)
			profiles = lappend(profiles, lfirst(each));
	if (profiles != NIL)
	{
		Visit		visit = {.relation = job->model->contacts, .owner = job->model->owner};

		visit_table(&visit, profiles);
	}
	foreach(lc, ls_lead_sources(job->model->model, NULL))
	{
		LsSourceRow *source = lfirst(lc);
		Visit		visit = {.relation = source->relation, .owner = job->model->owner};
		List	   *readers = NIL;

		foreach(each, job->surveys)
			if (reads(lfirst(each), source))
				readers = lappend(readers, lfirst(each));
		if (source->event)
			visit.event_column = quote_identifier(source->event);
		if (readers != NIL)
			visit_table(&visit, readers);
	}
	foreach(each, job->surveys)
	{
		LsSurvey   *survey = lfirst(each);
		const char *nearest = survey->event && !survey->seen ?
			ls_suggest_word(survey->event, survey->names) : NULL;

		survey->nearest = nearest ? MemoryContextStrdup(job->context, nearest) : NULL;
		survey->names = NIL;
	}
	SPI_finish();
}

/*
 * ls_rule_sample surveys existing rows for rules of one model.  An error in it recurs
 * in the backfill, where it is recorded; only an error that ends the statement anyway
 * is rethrown.  False: the survey failed.
 */
bool
ls_rule_sample(const LsModelRow *model, List *surveys)
{
	Job			job = {.model = model, .surveys = surveys, .context = CurrentMemoryContext};

	return ls_subtransaction_try(survey_all, &job) == NULL;
}
