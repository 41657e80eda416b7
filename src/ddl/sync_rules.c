/*-------------------------------------------------------------------------
 *
 * sync_rules.c
 *		Rules and stages, compiled again after tables, functions or privileges changed.
 *
 *-------------------------------------------------------------------------
 */
#include "ddl/sync_internal.h"

#include "access/relation.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/guc.h"

#include "base/reachable_code.h"
#include "base/sql.h"
#include "counting/rule_versions.h"
#include "definitions/current_names.h"
#include "definitions/extension.h"
#include "definitions/locks.h"
#include "definitions/table_change.h"
#include "model/attach_source.h"
#include "rules/disclosure.h"
#include "rules/model_compile.h"
#include "tables/rule_error.h"

/* A source, and the error that reading it raises now; NULL: none */
typedef struct Feed
{
	LsSourceRow *row;
	ErrorData  *error;
} Feed;

/* The result of compiling a rule again */
typedef struct Verdict
{
	bool		unattached;		/* it is waiting for a source */
	bool		affected;		/* it uses what has changed */
	LsReach		reach;			/* what it depends on */
	Oid			relid;			/* the table that it reads; invalid: several */
	ErrorData  *error;			/* why it cannot be compiled */
} Verdict;

/*
 * look_at_text compiles one text of a rule.  The expression is kept until the verdict is
 * reached, which compares types of values.
 */
static LsExpr *
look_at_text(const Work *work, Oid relid, const LsRuleRow *rule, int number, Verdict *verdict)
{
	LsExprSpec	spec = {.use = ls_rule_text_use(number), .text = ls_current_names_meant(rule, number)};
	LsExpr	   *expr;

	if (spec.text == NULL || verdict->error)
		return NULL;
	spec.rel = try_relation_open(relid, AccessShareLock);
	if (spec.rel == NULL)
	{
		verdict->unattached = true;
		return NULL;
	}
	spec.role = work->row->owner;
	spec.where = psprintf("%s of rule \"%s\" of model \"%s\"", ls_current_names_texts[number].column,
						  rule->name, work->row->model);
	expr = ls_expr_try_compile(&spec, CurrentMemoryContext, &verdict->error);
	if (expr)
	{
		verdict->affected = verdict->affected ||
			ls_sync_affects(work->ddl, relid, expr);
		ls_reach_merge(&verdict->reach, &expr->reach);
	}
	relation_close(spec.rel, AccessShareLock);
	return expr;
}

/* look_at_texts compiles the texts of a rule, each against the table that it reads. */
static void
look_at_texts(const Work *work, const Oid *relids, const LsRuleRow *rule, Verdict *verdict)
{
	LsExpr	   *exprs[LS_RULE_NTEXTS];

	for (int i = 0; i < LS_RULE_NTEXTS; i++)
		exprs[i] = look_at_text(work, relids[ls_current_names_texts[i].row], rule, i, verdict);
	if (verdict->error == NULL)
		verdict->error = ls_rule_types_error(exprs, psprintf("rule \"%s\" of model \"%s\"",
															 rule->name, work->row->model));
	for (int i = 0; i < LS_RULE_NTEXTS; i++)
		if (exprs[i])
			ls_expr_free(exprs[i]);
}

/* read_feeds gives a model's sources, and the error of each that cannot be read. */
static List *
read_feeds(const LsModelRow *model)
{
	List	   *feeds = NIL;
	ListCell   *lc;

	foreach(lc, ls_lead_sources(model->model, NULL))
	{
		Feed	   *feed = palloc(sizeof(Feed));

		feed->row = lfirst(lc);
		feed->error = ls_attach_error(model, feed->row);
		feeds = lappend(feeds, feed);
	}
	return feeds;
}

/* judge_contacts finds the contact table, for a profile rule. */
static Oid
judge_contacts(const LsModelRow *model, Verdict *verdict)
{
	LsReach		reach = {NIL};

	verdict->error = ls_reach_key_error(&reach, ls_lead_key_type(model->model),
										model->contacts, model->owner);
	return model->contacts;
}

/*
 * judge_source finds the table of a source that a rule names.  A rule cannot be
 * compiled where its source cannot be read; one that names none needs all of them.
 */
static Oid
judge_source(List *feeds, const char *name, Verdict *verdict)
{
	Oid			relation = InvalidOid;
	ListCell   *lc;

	foreach(lc, feeds)
	{
		Feed	   *feed = lfirst(lc);

		if (name && strcmp(feed->row->source, name) != 0)
			continue;
		relation = feed->row->relation;
		if (feed->error && verdict->error == NULL)
			verdict->error = feed->error;
	}
	if (name && !OidIsValid(relation))
		verdict->unattached = true;
	return relation;
}

static void judge(const Work *work, List *feeds, const LsRuleRow *rule, Verdict *verdict);

/* judge_followed tells whether the sequence that a rule follows can be counted. */
static void
judge_followed(const Work *work, List *feeds, const LsRuleRow *rule, Verdict *verdict)
{
	ListCell   *lc;

	check_stack_depth();
	foreach(lc, ls_lead_rules(work->row->model, NULL))
		if (strcmp(((LsRuleRow *) lfirst(lc))->name, rule->follows) == 0)
			judge(work, feeds, lfirst(lc), verdict);
}

/* judge compiles a rule again and fills in the verdict. */
static void
judge(const Work *work, List *feeds, const LsRuleRow *rule, Verdict *verdict)
{
	Oid			relids[LS_NROWS];

	memset(verdict, 0, sizeof(Verdict));
	if (rule->follows)
		judge_followed(work, feeds, rule, verdict);
	if (verdict->error || verdict->unattached)
		return;
	if (strcmp(rule->kind, "profile") == 0)
		relids[LS_ROW_OWN] = judge_contacts(work->row, verdict);
	else if (rule->follows)
		relids[LS_ROW_OWN] = InvalidOid;
	else
		relids[LS_ROW_OWN] = judge_source(feeds, rule->source, verdict);
	relids[LS_ROW_FOLLOWER] = rule->followed_source ?
		judge_source(feeds, rule->followed_source, verdict) : relids[LS_ROW_OWN];
	relids[LS_ROW_CANCELLER] = rule->cancelled_source ?
		judge_source(feeds, rule->cancelled_source, verdict) : relids[LS_ROW_OWN];
	if (verdict->unattached)
		return;
	verdict->relid = rule->source == NULL && relids[LS_ROW_OWN] != work->row->contacts ?
		InvalidOid : relids[LS_ROW_OWN];
	look_at_texts(work, relids, rule, verdict);
	if (verdict->error == NULL && !verdict->affected)
		verdict->affected = ls_sync_redefined(work, rule, &verdict->reach);
}

/*
 * set_backfilled sets a rule's backfilled_version: NULL to be backfilled, or 0 for
 * disabled.
 */
static void
set_backfilled(const LsRuleRow *rule, bool disabled)
{
	LsSqlArguments args = {0};

	ls_lock_definitions(rule->model);
	ls_sql_add(&args, INT8OID, Int64GetDatum(rule->rule_id));
	ls_extension_execute(psprintf("UPDATE leadscore_internal.lead_rule"
								  " SET backfilled_version = %s, backfilling_version = NULL"
								  " WHERE rule_id = $1",
								  disabled ? "0" : "NULL"), &args);
}

/* ls_rule_disable disables a rule that cannot be compiled: it contributes nothing. */
void
ls_rule_disable(const LsModelRow *model, const LsRuleRow *rule, Oid relid,
				const ErrorData *error)
{
	if (ls_disclosure_may_see_table(model->owner, relid))
		ereport(WARNING,
				(errmsg("rule \"%s\" of model \"%s\" is now disabled: %s",
						rule->name, model->model, error->message),
				 errhint("%s", error->hint && error->sqlerrcode == ERRCODE_INSUFFICIENT_PRIVILEGE ?
						 error->hint :
						 "It is enabled again when it is corrected, or when what it uses is available again.")));
	else
		ereport(WARNING,
				(errmsg("rule \"%s\" of model \"%s\" is now disabled: SQLSTATE %s",
						rule->name, model->model, unpack_sql_state(error->sqlerrcode)),
				 errhint("Members of the role that owns the model find more in the view leadscore.rule_errors.")));
	set_backfilled(rule, true);
	ls_rule_error_write(model->model, rule->rule_id, rule->name, 1, error, NULL);
}

/* ls_rule_recompute has a rule backfilled that matches other events than before. */
void
ls_rule_recompute(const LsRuleRow *rule)
{
	set_backfilled(rule, false);
}

/* disable_rule disables a rule, with the name that an object in it has now. */
static void
disable_rule(Work *work, const LsRuleRow *rule, Oid relid, const ErrorData *error)
{
	const LsObject *moved = ls_sync_moved(work);
	ErrorData	why = *error;

	if (moved)
		why.message = moved->became;
	ls_rule_disable(work->row, rule, relid, &why);
	work->changed = true;
}

/*
 * ls_sync_rules disables and enables rules, and has those backfilled that mean
 * something else.
 */
void
ls_sync_rules(Work *work, bool sleeping_only)
{
	List	   *rules = ls_lead_rules(work->row->model, NULL);
	List	   *feeds;
	ListCell   *lc;
	bool		any = false;

	foreach(lc, rules)
		any = any || ls_lead_rule_is_disabled(lfirst(lc)) ||
		(!sleeping_only && ls_sync_concerns_rule(work, lfirst(lc)));
	if (!any)
		return;
	feeds = read_feeds(work->row);
	foreach(lc, rules)
	{
		LsRuleRow  *rule = lfirst(lc);
		bool		disabled = ls_lead_rule_is_disabled(rule);
		Verdict		verdict;

		if (!disabled && (sleeping_only || !ls_sync_concerns_rule(work, rule)))
			continue;
		judge(work, feeds, rule, &verdict);
		if (verdict.unattached)
			continue;
		if (verdict.error && !disabled)
			disable_rule(work, rule, verdict.relid, verdict.error);
		else if (verdict.error == NULL && disabled)
		{
			/*
			 * While its source could not be read, events of other rules were missed,
			 * too.  ls_recount_rescore() includes all disabled rules.
			 */
			work->rescore = true;
		}
		else if (verdict.error == NULL && verdict.affected)
		{
			set_backfilled(rule, false);
			work->changed = work->recount = true;
		}
	}
	(void) ls_rule_versions_follow(work->row->model);
}

/*
 * was_broken tells whether the condition of a stage could not be compiled before this
 * command.
 */
static bool
was_broken(const Work *work, const LsStageRow *stage)
{
	const LsDependent *part = work->before ?
		ls_dependencies_stage(work->before, stage->stage) : NULL;

	return part && part->broken;
}

/*
 * may_be_mended tells whether the condition of a stage may have been waiting for a
 * column that the contact table has now, where the table before the command is not
 * known.
 */
static bool
may_be_mended(const Work *work)
{
	ListCell   *lc;

	foreach(lc, work->before ? NIL : work->ddl->changes)
	{
		const LsTableChange *change = lfirst(lc);

		if (change->added && change->relation == work->row->contacts)
			return true;
	}
	return false;
}

/*
 * is_told tells whether a warning was given before that the condition of a stage cannot
 * be compiled: by an earlier command, or for a rename (rename.c).
 */
static bool
is_told(const Work *work, const LsStageRow *stage)
{
	const LsObject *moved = ls_sync_moved(work);

	return was_broken(work, stage) || (moved && ls_dependency_text_names(stage->condition, moved->names));
}

/*
 * ls_sync_stages warns of conditions of stages that can no longer be compiled, and
 * finds those that can be again.
 */
void
ls_sync_stages(Work *work)
{
	LsExprSpec	spec = {0};
	ListCell   *lc;

	spec.use = LS_EXPR_CONDITION;
	spec.role = work->row->owner;
	spec.variables = ls_lead_stage_variables(work->row->model);
	spec.rel = relation_open(work->row->contacts, AccessShareLock);
	foreach(lc, ls_lead_stages(work->row->model, NULL))
	{
		LsStageRow *stage = lfirst(lc);
		ErrorData  *error = NULL;
		LsExpr	   *expr;

		if (stage->condition == NULL || !ls_sync_concerns_stage(work, stage))
			continue;
		spec.text = stage->condition;
		spec.where = psprintf("condition of stage \"%s\" of model \"%s\"",
							  stage->stage, work->row->model);
		expr = ls_expr_try_compile(&spec, CurrentMemoryContext, &error);
		if (error && !is_told(work, stage))
			ereport(WARNING,
					(errmsg("the condition of stage \"%s\" of model \"%s\" can no longer be evaluated: %s",
							stage->stage, work->row->model,
							ls_disclosure_reason(ls_disclosure_may_see_table(work->row->owner, work->row->contacts),
												 error)),
					 errdetail("It counts as false: contacts leave the stage, and do not enter it."),
					 errhint("Correct it in leadscore.lead_stage.")));
		if ((expr == NULL) != was_broken(work, stage) || may_be_mended(work))
			work->changed = true;
		if (expr == NULL)
			continue;
		if (ls_sync_affects(work->ddl, work->row->contacts, expr) ||
			ls_sync_redefined_stage(work, stage, &expr->reach))
			work->changed = true;
		ls_expr_free(expr);
	}
	relation_close(spec.rel, AccessShareLock);
}
