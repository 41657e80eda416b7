/*-------------------------------------------------------------------------
 *
 * rule_failure.c
 *		Expressions that fail, and models that are suspended.
 *
 * A rule that fails on a row is skipped for the row, and the statement goes on.
 * While rows are matched failures are only counted; tables/rule_error.c reports them
 * when a statement, or a batch, is done.
 *
 *-------------------------------------------------------------------------
 */
#include "rules/model_compile.h"

#include "utils/builtins.h"
#include "utils/memutils.h"

#include "base/error.h"
#include "base/leadscore.h"
#include "rules/disclosure.h"

/* ---------- failures ---------- */

static void
set_text(LsModel *model, char **to, const char *text)
{
	if (*to)
		pfree(*to);
	*to = text ? MemoryContextStrdup(model->context, text) : NULL;
}

/*
 * count_failure counts a failure, on the row of a contact (NULL: not known).  The
 * first is recorded to be reported; the others must not cost anything, least of all
 * memory.
 */
static void
count_failure(LsModel *model, LsFailures *failures, ErrorData *error, const Datum *contact)
{
	if (failures->number++ > 0)
		return;
	model->nfailing++;
	failures->code = error->sqlerrcode;
	set_text(model, &failures->message, error->message);
	set_text(model, &failures->contact, contact ? ls_key_text(&model->key, *contact) : NULL);
}

/* ---------- internal errors ---------- */

/*
 * how long nothing of a model is stored after an internal error, unless it is
 * compiled again
 */
#define FAULT_LASTS		(60 * LS_SECOND)

/*
 * ls_rule_failure_set_fault records an internal error in a model, if the error is
 * one.  Its results are not trusted then: new rows are enqueued to be processed later
 * (pending_table.c), and nothing is stored until the model is compiled again: when
 * it, or a function of it, is changed, by another session, and after a while by this
 * one.
 */
void
ls_rule_failure_set_fault(LsModel *model, const ErrorData *error)
{
	MemoryContext old;

	if (model->fault || ls_error_class(error->sqlerrcode) != LS_ERROR_INTERNAL)
		return;
	old = MemoryContextSwitchTo(model->context);
	model->fault = palloc0(sizeof(ErrorData));
	model->fault->sqlerrcode = error->sqlerrcode;
	model->fault->message = pstrdup(error->message ? error->message : "");
	model->fault_at = GetCurrentTimestamp();
	MemoryContextSwitchTo(old);
}

/*
 * ls_rule_failure_fault_over tells whether to compile a model again after an internal
 * error.
 */
bool
ls_rule_failure_fault_over(const LsModel *model)
{
	TimestampTz now;

	if (likely(model->fault == NULL))
		return false;
	now = GetCurrentTimestamp();
	return now < model->fault_at || now - model->fault_at >= FAULT_LASTS;
}

/* ls_rule_failure_report_fault reports an internal error, as a warning or an error. */
void
ls_rule_failure_report_fault(const LsModel *model, int level)
{
	bool		told = ls_disclosure_may_see_table(model->owner, InvalidOid);

	ereport(level,
			(errcode(model->fault->sqlerrcode),
			 errmsg("model \"%s\" is suspended", model->name),
			 told ? errdetail("Nothing of it is stored after an internal error: %s.", model->fault->message) :
			 errdetail("Nothing of it is stored after an internal error, SQLSTATE %s.",
					   unpack_sql_state(model->fault->sqlerrcode)),
			 errhint("Rows that come meanwhile are counted later. It goes on when the model or a function of it is changed, and is tried again after a minute.")));
}

/* ls_rule_failed records that a rule could not be evaluated on a row. */
void
ls_rule_failed(LsModel *model, LsRule *rule, ErrorData *error, const Datum *contact)
{
	if (ls_rule_error == LS_RULE_ERROR_ERROR)
		ereport(ERROR,
				(errcode(error->sqlerrcode),
				 ls_disclosure_may_see_rule(model, rule) ?
				 errmsg("rule \"%s\" of model \"%s\" failed: %s",
						rule->name, model->name, error->message) :
				 errmsg("rule \"%s\" of model \"%s\" failed with SQLSTATE %s",
						rule->name, model->name, unpack_sql_state(error->sqlerrcode)),
				 errhint("With leadscore.rule_error = 'warning' the rule is skipped for such rows.")));
	ls_rule_failure_set_fault(model, error);
	count_failure(model, &rule->failures, error, contact);
}

/*
 * ls_rule_failure_of_key records a row of a source, or of the contact table where it
 * is NULL, of which no key can be made.  That is never an error: the row belongs to
 * no contact.
 */
void
ls_rule_failure_of_key(LsModel *model, LsSource *source, ErrorData *error)
{
	ls_rule_failure_set_fault(model, error);
	count_failure(model, source ? &source->failures : &model->key_failures, error, NULL);
}

/*
 * ls_rule_failure_of_stage records that a stage's condition could not be evaluated.
 * That is never an error: conditions are evaluated for readers, too.
 */
void
ls_rule_failure_of_stage(LsModel *model, LsStage *stage, ErrorData *error)
{
	ls_rule_failure_set_fault(model, error);
	count_failure(model, &stage->failures, error, NULL);
}

/* ---------- suspended models ---------- */

/* suspended_hint gives the hint for a model of which nothing is run. */
static int
suspended_hint(const LsModel *model)
{
	if (model->unreadable)
		return errhint("%s", model->suspended->hint);
	if (!model->former)
		return errhint("Correct that, and then call leadscore.rescore('%s').",
					   model->visitors_of ? model->visitors_of : model->name);
	return errhint("Look at its rules, stages and actions, and accept them with UPDATE leadscore.lead_model SET enabled = true WHERE model = '%s'.",
				   model->visitors_of ? model->visitors_of : model->name);
}

/* suspended_detail gives the reason, for callers that may see it. */
static int
suspended_detail(const LsModel *model)
{
	if (!model->former && !ls_disclosure_may_see_table(model->owner, InvalidOid))
		return errdetail("Nothing of it is run: SQLSTATE %s.", unpack_sql_state(model->suspended->sqlerrcode));
	if (model->unreadable)
		return errdetail("Nothing is counted, and the scores stay as they are: %s.",
						 model->suspended->message);
	return errdetail("Nothing of it is run: %s.", model->suspended->message);
}

/*
 * ls_rule_failure_refuse_suspended raises an error for a suspended model, whose rules
 * are not run: what is stored must not be compared with them.
 */
void
ls_rule_failure_refuse_suspended(const LsModel *model)
{
	if (model->suspended)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("model \"%s\" is suspended", model->name),
				 suspended_detail(model),
				 suspended_hint(model)));
	if (model->fault)
		ls_rule_failure_report_fault(model, ERROR);
}

static void
report_suspended(const LsModel *model)
{
	ereport(WARNING,
			(errcode(model->suspended->sqlerrcode),
			 errmsg("model \"%s\" is suspended", model->name),
			 suspended_detail(model),
			 suspended_hint(model)));
}

/* report_rules counts rules that could not be compiled as failures, each once. */
static void
report_rules(LsModel *model)
{
	model->rules_unreported = false;
	for (int i = 0; i < model->nrules; i++)
	{
		LsRule	   *rule = &model->rules[i];

		if (rule->broken == NULL || rule->broken_reported || rule->version == 0)
			continue;
		rule->broken_reported = true;
		ls_rule_failed(model, rule, rule->broken, NULL);
	}
}

/*
 * ls_rule_failure_report_broken warns once that a model is suspended or has a fault,
 * and counts its rules and stages that could not be compiled as failures: with those
 * that were compiled since.
 */
void
ls_rule_failure_report_broken(LsModel *model)
{
	if (!model->broken_reported)
	{
		model->broken_reported = true;
		if (model->suspended)
			report_suspended(model);
		report_rules(model);
		for (int i = 0; i < model->nstages && model->suspended == NULL; i++)
			if (model->stages[i].broken)
				ls_rule_failure_of_stage(model, &model->stages[i], model->stages[i].broken);
	}
	if (unlikely(model->rules_unreported))
		report_rules(model);
	if (unlikely(model->fault != NULL) && !model->fault_reported)
	{
		model->fault_reported = true;
		ls_rule_failure_report_fault(model, WARNING);
	}
}

int			ls_rule_error = LS_RULE_ERROR_WARNING;
int			ls_rule_error_retention = 30;

static const struct config_enum_entry rule_error_options[] = {
	{"warning", LS_RULE_ERROR_WARNING, false},
	{"error", LS_RULE_ERROR_ERROR, false},
	{NULL, 0, false}
};

void
ls_rule_failure_define(void)
{
	DefineCustomEnumVariable("leadscore.rule_error",
							 "What happens to a statement when a rule fails on one of its rows.",
							 "warning: the rule is skipped for the row and the failure is recorded; error: the statement fails.",
							 &ls_rule_error, LS_RULE_ERROR_WARNING,
							 rule_error_options, PGC_USERSET, 0,
							 NULL, NULL, NULL);
	DefineCustomIntVariable("leadscore.rule_error_retention",
							"How many days failures of rules are kept, which rule_errors sums up.",
							"-1: for ever.",
							&ls_rule_error_retention, 30, -1, 100000,
							PGC_SIGHUP, 0, NULL, NULL, NULL);
}
