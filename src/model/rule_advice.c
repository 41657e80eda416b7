/*-------------------------------------------------------------------------
 *
 * rule_advice.c
 *		Notices about rules that are allowed but probably not meant.
 *
 * A misspelt event name is the commonest mistake in a definition, and nothing else
 * would ever show it.  rule_sample.c reads existing rows for all rules of a statement
 * at once, when the statement ends.
 *
 *-------------------------------------------------------------------------
 */
#include "model/validate.h"

#include "utils/lsyscache.h"

#include "rules/model_compile.h"

/* source_text describes what a rule reads; source NULL: every one. */
static char *
source_text(const LsRuleRow *row, const char *source, const LsModelRow *model)
{
	if (strcmp(row->kind, "profile") == 0)
	{
		char	   *name = get_rel_name(model->contacts);

		return psprintf("table \"%s\"", name ? name : "?");
	}
	return source ? psprintf("source \"%s\"", source) : pstrdup("every source");
}

/*
 * advise_period gives a NOTICE where the period of a limit is not a day: it follows
 * from decay and time frame, which few expect of a limit.
 */
static void
advise_period(const LsRuleRow *row)
{
	LsRule		rule = {0};

	if (row->max_per_period_null || row->period != NULL)
		return;
	ls_model_derive_rule(row, &rule);
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

/*
 * advise_alone gives the notices about a rule that need no rows.  False where no others
 * are needed.
 */
static bool
advise_alone(const LsRuleRow *row, const LsModelRow *model)
{
	bool		profile = strcmp(row->kind, "profile") == 0;
	const char *from = source_text(row, row->source, model);

	advise_period(row);
	if (row->follows)
		return false;
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
		return false;
	}
	if (profile || row->source == NULL ||
		ls_lead_source(ls_lead_sources(model->model, NULL), row->source))
		return true;
	ereport(NOTICE,
			(errmsg("rule \"%s\" of model \"%s\" contributes nothing for now",
					row->name, model->model),
			 errdetail("Its source \"%s\" is no longer attached.", row->source)));
	return false;
}

/* advise gives the notices about a rule of which rows have been looked at. */
static void
advise(const LsSurvey *survey, const LsModelRow *model)
{
	static const char *const columns[LS_NROWS] = {"event", "followed_by", "cancelled_by"};
	const LsRuleRow *row = survey->row;
	const char *from = source_text(row, survey->source, model);

	if (!survey->rows)
		return;
	if (survey->event && !survey->seen)
		ereport(NOTICE,
				(errmsg("%s \"%s\" of rule \"%s\" of model \"%s\" has never been seen in %s",
						columns[survey->of], survey->event, row->name, model->model,
						survey->source ? from : "any source"),
				 survey->nearest ? errhint("Did you mean \"%s\"?", survey->nearest) : 0));
	else if (survey->of == LS_ROW_OWN && !survey->matched && !survey->failed)
		ereport(NOTICE,
				(errmsg("rule \"%s\" of model \"%s\" matches no row of %s",
						row->name, model->model, from),
				 errdetail("There are rows, but its condition holds for none of them.")));
}

/* add_survey adds a survey of rows that count, follow or cancel. */
static List *
add_survey(List *surveys, const LsRuleRow *row, LsRuleTextRow of)
{
	char	   *const events[] = {row->event, row->followed_by, row->cancelled_by};
	char	   *const conditions[] = {row->condition, row->followed_condition, row->cancelled_condition};
	LsSurvey   *survey = palloc0(sizeof(LsSurvey));

	survey->row = row;
	survey->of = of;
	survey->source = ls_current_names_row_source(row, of);
	survey->event = events[of];
	survey->condition = conditions[of];
	return lappend(surveys, survey);
}

static int
by_number(const void *a, const void *b)
{
	int64		x = *(const int64 *) a;
	int64		y = *(const int64 *) b;

	return (x > y) - (x < y);
}

static int
by_rule_id(const ListCell *a, const ListCell *b)
{
	return by_number(&((const LsRuleRow *) lfirst(a))->rule_id,
					 &((const LsRuleRow *) lfirst(b))->rule_id);
}

/*
 * ls_rules_advise gives notices about the rules that a statement has written, by their
 * numbers.  Rules with a backfilled_version are skipped: their matches have not
 * changed.
 */
void
ls_rules_advise(const char *name, int64 *rule_ids, int n)
{
	LsModelRow *model = ls_lead_model(name, NULL);
	List	   *rows = ls_lead_rules(name, NULL);
	List	   *surveys = NIL;
	ListCell   *lc;

	if (model == NULL)
		return;
	list_sort(rows, by_rule_id);
	qsort(rule_ids, n, sizeof(int64), by_number);
	foreach(lc, rows)
	{
		LsRuleRow  *row = lfirst(lc);

		if (!row->backfilled_version_null ||
			bsearch(&row->rule_id, rule_ids, n, sizeof(int64), by_number) == NULL)
			continue;
		if (advise_alone(row, model))
			surveys = add_survey(surveys, row, LS_ROW_OWN);
		if (row->followed_by)
			surveys = add_survey(surveys, row, LS_ROW_FOLLOWER);
		if (row->cancelled_by)
			surveys = add_survey(surveys, row, LS_ROW_CANCELLER);
	}
	if (surveys == NIL || !ls_rule_sample(model, surveys))
		return;
	foreach(lc, surveys)
		advise(lfirst(lc), model);
}
