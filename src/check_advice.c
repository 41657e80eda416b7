/*-------------------------------------------------------------------------
 *
 * check_advice.c
 *		Notices about rules that are allowed but probably not meant.
 *
 * An event name with a slip of the pen is the commonest mistake in a score
 * sheet, and nothing else would ever show it.  Advice must not cost more than
 * the counting that follows it, nor make anything fail: it looks at a limited
 * number of rows, as the model's owner, and keeps silent where that fails.
 *
 *-------------------------------------------------------------------------
 */
#include "check.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/resowner.h"
#include "utils/varlena.h"

#include "leadscore.h"
#include "rules.h"

/* how many rows are looked at, but for the search of an event's name */
#define MAX_ROWS	100000
/* how many names are compared with one that was not found */
#define MAX_NAMES	1000

/* What is found out about a rule */
typedef struct Survey
{
	const LsRuleRow *row;
	Oid			owner;
	List	   *sources;		/* of LsSourceRow, that the rule reads */
	Oid			contacts;		/* for a profile rule, which reads none */
	MemoryContext context;		/* for what outlives the survey */
	bool		rows;			/* there are some at all */
	bool		seen;			/* one has the event */
	bool		matched;		/* one has event and condition, or there are
								 * too many to look */
	List	   *names;			/* of events, where it was not seen */
	char	   *nearest;
} Survey;

/* found runs a query that asks whether there is a row; $1 is the event. */
static bool
found(const Survey *survey, const char *query)
{
	Oid			type = TEXTOID;
	Datum		event = 0;
	int			nargs = survey->row->event ? 1 : 0;

	if (nargs > 0)
		event = CStringGetTextDatum(survey->row->event);
	if (SPI_execute_with_args(query, nargs, &type, &event, NULL, true, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not look for rows");
	return SPI_processed > 0;
}

/* find_names reads names of events that there are, the commonest first. */
static void
find_names(Survey *survey, const char *table, const char *column)
{
	const char *query =
		psprintf("SELECT name FROM"
				 " (SELECT %s::pg_catalog.text COLLATE pg_catalog.\"C\" AS name"
				 " FROM %s LIMIT %d) AS few"
				 " WHERE name IS NOT NULL GROUP BY name"
				 " ORDER BY pg_catalog.count(*) DESC, name LIMIT %d",
				 column, table, MAX_ROWS, MAX_NAMES);

	if (SPI_execute(query, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read the names of events");
	for (uint64 i = 0; i < SPI_processed; i++)
		survey->names = lappend(survey->names,
								SPI_getvalue(SPI_tuptable->vals[i],
											 SPI_tuptable->tupdesc, 1));
}

/*
 * survey_table looks at one table.  The event is compared bytewise, and once
 * more by the column's own operator, for which there may be an index.
 */
static void
survey_table(Survey *survey, Oid relation, const char *event_column)
{
	const LsRuleRow *row = survey->row;
	const char *column = event_column ? quote_identifier(event_column) : NULL;
	const char *table;
	const char *has_event = "true";
	bool		seen;

	if (get_rel_relkind(relation) == '\0')
		return;
	table = quote_qualified_identifier(get_namespace_name(get_rel_namespace(relation)),
									   get_rel_name(relation));
	survey->rows = survey->rows || found(survey, psprintf("SELECT FROM %s LIMIT 1", table));
	if (row->event && column == NULL)
		return;
	if (row->event)
	{
		has_event = psprintf("%s::pg_catalog.text OPERATOR(pg_catalog.=) $1 AND"
							 " %s::pg_catalog.text COLLATE pg_catalog.\"C\""
							 " OPERATOR(pg_catalog.=) $1", column, column);
		seen = found(survey, psprintf("SELECT FROM %s WHERE %s LIMIT 1", table, has_event));
		survey->seen = survey->seen || seen;
		if (!seen)
		{
			find_names(survey, table, column);
			return;
		}
	}

	/* the condition was read as one expression: it cannot break out of here */
	survey->matched = survey->matched || row->condition == NULL ||
		found(survey, psprintf("SELECT FROM %s OFFSET %d LIMIT 1", table, MAX_ROWS)) ||
		found(survey, psprintf("SELECT FROM %s WHERE %s AND (\n%s\n) LIMIT 1",
							   table, has_event, row->condition));
}

/* make_survey looks at all tables that a rule reads. */
static void
make_survey(Survey *survey)
{
	LsIdentity	saved;
	ListCell   *lc;

	ls_become_to_compute(survey->owner, &saved);
	SPI_connect();
	if (OidIsValid(survey->contacts))
		survey_table(survey, survey->contacts, NULL);
	foreach(lc, survey->sources)
	{
		LsSourceRow *source = lfirst(lc);

		survey_table(survey, source->relation, source->event);
	}
	if (survey->names != NIL && !survey->seen)
	{
		const char *nearest = ls_nearest(survey->row->event, survey->names);

		if (nearest)
			survey->nearest = MemoryContextStrdup(survey->context, nearest);
	}
	SPI_finish();
	ls_return(&saved);
}

/*
 * try_survey makes a survey and tells whether it was completed.  What goes
 * wrong in it goes wrong again when the rows are counted, where it is
 * recorded; only what ends the statement anyway is passed on.
 */
static bool
try_survey(Survey *survey)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	volatile bool done = false;

	survey->context = context;
	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		make_survey(survey);
		ReleaseCurrentSubTransaction();
		done = true;
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(context);
		CurrentResourceOwner = owner;
		if (ls_error_passes(error->sqlerrcode))
			ReThrowError(error);
		FreeErrorData(error);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	return done;
}

/* source_text says what a rule reads. */
static char *
source_text(const LsRuleRow *row, const LsModelRow *model)
{
	if (strcmp(row->kind, "profile") == 0)
	{
		char	   *name = get_rel_name(model->contacts);

		return psprintf("table \"%s\"", name ? name : "?");
	}
	return row->source ? psprintf("source \"%s\"", row->source) : pstrdup("every source");
}

/*
 * advise_period says to what a limit applies where that is not a day: the
 * period follows from decay and time frame, which few will expect of a limit.
 */
static void
advise_period(const LsRuleRow *row)
{
	LsRule		rule = {0};

	if (row->max_per_period_null || row->period != NULL)
		return;
	ls_rule_derive(row, &rule);
	if (rule.period == LS_DAY)
		return;
	ereport(NOTICE,
			(errmsg("max_per_period of rule \"%s\" of model \"%s\" applies to periods of %s",
					row->name, row->model,
					rule.period == LS_WEEK ? "a week" :
					rule.period == LS_HOUR ? "an hour" :
					rule.period == LS_MINUTE ? "a minute" :
					rule.period == LS_SECOND ? "a second" : "its decay_interval"),
			 errdetail("The period follows from time_frame and decay_interval where none is given."),
			 errhint("Set period to '1 day' for a daily limit.")));
}

/* advise gives the notices about one rule. */
static void
advise(const LsRuleRow *row, const LsModelRow *model)
{
	bool		profile = strcmp(row->kind, "profile") == 0;
	const char *from = source_text(row, model);
	Survey		survey = {0};
	ListCell   *lc;

	if (row->event == NULL && row->condition == NULL)
	{
		ereport(NOTICE,
				(strcmp(row->kind, "absence") == 0 ?
				 errmsg("rule \"%s\" of model \"%s\" takes every row of %s for activity",
						row->name, model->model, from) :
				 errmsg("rule \"%s\" of model \"%s\" counts every row of %s",
						row->name, model->model, from),
				 profile ? errdetail("It has no condition.") :
				 errdetail("It has neither event nor condition.")));
		return;
	}

	survey.row = row;
	survey.owner = model->owner;
	if (profile)
		survey.contacts = model->contacts;
	else
		foreach(lc, ls_source_rows(model->model, NULL))
		{
			LsSourceRow *source = lfirst(lc);

			if (row->source == NULL || strcmp(source->source, row->source) == 0)
				survey.sources = lappend(survey.sources, source);
		}
	if (!profile && survey.sources == NIL)
	{
		ereport(NOTICE,
				(errmsg("rule \"%s\" of model \"%s\" counts nothing for now",
						row->name, model->model),
				 errdetail("Its source \"%s\" is not attached any more.", row->source)));
		return;
	}
	if (!try_survey(&survey) || !survey.rows)
		return;
	if (row->event && !survey.seen)
		ereport(NOTICE,
				(errmsg("event \"%s\" of rule \"%s\" of model \"%s\" has never been seen in %s",
						row->event, row->name, model->model,
						row->source ? from : "any source"),
				 survey.nearest ? errhint("Did you mean \"%s\"?", survey.nearest) : 0));
	else if (!survey.matched)
		ereport(NOTICE,
				(errmsg("rule \"%s\" of model \"%s\" matches no row of %s",
						row->name, model->model, from),
				 errdetail("There are rows, but its condition holds for none of them.")));
}

/*
 * ls_rule_advise gives notices about a rule that was written.  One whose matches
 * stay as they were has a counted_version.
 */
void
ls_rule_advise(const LsDefinition *change)
{
	LsRuleRow	row;
	LsModelRow *model;

	if (change->new == NULL)
		return;
	ls_rule_row_read(change->new, change->desc, &row);
	if (!row.counted_version_null)
		return;
	model = ls_model_row(row.model, NULL);
	if (model != NULL)
	{
		advise_period(&row);
		advise(&row, model);
	}
}

/* ---------- words ---------- */

/* ls_nearest finds the word that was probably meant, or NULL. */
const char *
ls_nearest(const char *word, List *words)
{
	const char *best = NULL;
	int			length = strlen(word);
	int			limit = Max(2, Min(length, 63) / 3) + 1;
	ListCell   *lc;

	if (length > 200)
		return NULL;
	foreach(lc, words)
		if (pg_strcasecmp(word, lfirst(lc)) == 0)
			return lfirst(lc);
	foreach(lc, words)
	{
		const char *candidate = lfirst(lc);
		int			distance;

		if (strlen(candidate) > 200)
			continue;
		distance = varstr_levenshtein_less_equal(word, length, candidate,
												 strlen(candidate), 1, 1, 1,
												 limit, true);
		if (distance < limit)
		{
			limit = distance;
			best = candidate;
		}
	}
	return best;
}
