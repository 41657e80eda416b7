/*-------------------------------------------------------------------------
 *
 * model_update.c
 *		Models that a transaction has changed, brought up to date before it commits.
 *
 * However many statements have changed a model (model_change.c), its rules are counted
 * once and its stored rows evaluated once.  One model that cannot be brought up to date
 * does not stop the transaction, which may have changed no more than a table of others.
 *
 *-------------------------------------------------------------------------
 */
#include "counting/model_update.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/snapmgr.h"

#include "base/error.h"
#include "base/relation.h"
#include "base/statement.h"
#include "base/transaction.h"
#include "base/user.h"
#include "counting/recount.h"
#include "definitions/extension.h"
#include "definitions/job_table.h"
#include "definitions/lead_tables.h"
#include "definitions/model_change.h"
#include "rules/disclosure.h"
#include "rules/expression.h"
#include "rules/source_locks.h"

/* ---------- one of several models ---------- */

/*
 * ls_model_update_stops tells whether an error ends the statement: it is not about the model
 * that was being worked on, or rules that fail are to end it.
 */
bool
ls_model_update_stops(const ErrorData *error)
{
	return ls_rule_error == LS_RULE_ERROR_ERROR ||
		ls_error_class(error->sqlerrcode) == LS_ERROR_OF_STATEMENT;
}

/* ls_model_update_reason gives what the caller may be told of an error about a model. */
char *
ls_model_update_reason(const char *model, const ErrorData *error)
{
	LsModelRow *row = ls_lead_model(model, NULL);

	if (row && ls_disclosure_may_see_table(row->owner, row->contacts))
		return error->message;
	return psprintf("SQLSTATE %s", unpack_sql_state(error->sqlerrcode));
}

/*
 * ls_model_update_try does something that brings the rows of a model up to date.  False, with
 * a warning, where that fails: it is undone then.
 */
bool
ls_model_update_try(const char *model, void (*body) (void *), void *arg)
{
	ErrorData  *error = ls_subtransaction_run(body, arg);

	if (error == NULL)
		return true;
	if (ls_model_update_stops(error))
		ReThrowError(error);
	ereport(WARNING,
			(errcode(error->sqlerrcode),
			 errmsg("could not bring model \"%s\" up to date: %s", model, ls_model_update_reason(model, error)),
			 errhint("Repair the model and call leadscore.rescore('%s'), or drop it with leadscore.drop_model('%s').",
					 model, model)));
	return false;
}

static void
read_model(void *arg)
{
	LsModel    *model = ls_model_acquire(arg, NULL);

	if (model)
		ls_model_release(model);
}

/* ls_model_update_is_sound tells whether a model can be read, and says so where it cannot. */
bool
ls_model_update_is_sound(const char *model)
{
	return ls_model_update_try(model, read_model, unconstify(char *, model));
}

/* ---------- rules ---------- */

/* count_one counts a model, for ls_model_update_try(). */
static void
count_one(void *arg)
{
	const LsBackfill *one = arg;

	if (one->all)
		(void) ls_recount_rescore(one->model, "backfill");
	else
		ls_recount_rules(one->model);
}

/* backfill counts what was left for later (model_change.c). */
static void
backfill(void)
{
	ListCell   *lc;
	List	   *models;

	/* the extension may have been dropped since */
	if (!OidIsValid(ls_extension_base_table("lead_model", true)))
		return;
	models = ls_model_change_take();
	PushActiveSnapshot(GetTransactionSnapshot());
	foreach(lc, models)
	{
		LsBackfill *one = lfirst(lc);

		if (one->by_user)
			count_one(one);
		else
			(void) ls_model_update_try(one->model, count_one, one);
	}
	PopActiveSnapshot();
	CommandCounterIncrement();
}

/*
 * ls_model_update_if_asked does so before a statement that looks at it, but not in the midst
 * of another, nor of something that leadscore or a rule does.
 */
void
ls_model_update_if_asked(void)
{
	if (ls_model_change_waits() && !ls_statement_under_way() && !ls_user_is_engine() && !ls_expr_running &&
		!InSecurityRestrictedOperation() && !XactReadOnly && !IsInParallelMode())
		backfill();
}

/* ---------- rows ---------- */

/* What is done about one changed model, for ls_model_update_try() */
typedef struct Refresh
{
	const char *model;
	bool		small;			/* to be done now */
	int64		changed;
} Refresh;

/* prepare_refresh locks what is read, or leaves it to a job. */
static void
prepare_refresh(void *arg)
{
	Refresh    *refresh = arg;

	refresh->small = !ls_job_pays(ls_relation_estimate_rows(ls_lead_score_table(refresh->model, false)));
	if (refresh->small)
		ls_lock_before_writing(refresh->model);
	else
		(void) ls_job_request(refresh->model, "refresh", NULL);
}

static void
do_refresh(void *arg)
{
	Refresh    *refresh = arg;
	LsModelRow *row;

	LockRelationOid(ls_lead_score_table(refresh->model, false), ShareRowExclusiveLock);
	row = ls_lead_model(refresh->model, NULL);
	if (row && row->enabled)
		refresh->changed = ls_recount_refresh(refresh->model, "rule");
}

/*
 * ls_model_update_refresh brings the stored rows of models that this
 * transaction has changed up to date, just before it commits.
 *
 * The lock makes it final: writers that evaluated with the old rules have
 * ended, and those that wait will see the new ones.  Where there are many rows it
 * is left to a job, and nobody waits.  Returns how many contacts changed.
 */
int64
ls_model_update_refresh(void)
{
	List	   *models = ls_model_change_stale();
	List	   *small = NIL;
	int64		changed = 0;
	ListCell   *lc;

	foreach(lc, models)
		ls_model_change_refreshed(lfirst(lc));
	/* the extension may have been dropped since */
	if (!OidIsValid(ls_extension_base_table("lead_model", true)))
		return 0;
	list_sort(models, ls_lead_rank_order);	/* as writers lock them */
	foreach(lc, models)
	{
		Refresh    *refresh = palloc0(sizeof(Refresh));

		refresh->model = lfirst(lc);
		if (OidIsValid(ls_lead_score_table(refresh->model, true)) &&
			ls_model_update_try(refresh->model, prepare_refresh, refresh) && refresh->small)
			small = lappend(small, refresh);
	}
	foreach(lc, small)
	{
		Refresh    *refresh = lfirst(lc);

		if (ls_model_update_try(refresh->model, do_refresh, refresh))
			changed += refresh->changed;
	}
	return changed;
}

/*
 * ls_model_update_before_commit does both.  It is done before the commit, so that rules
 * can be changed, looked at and rolled back at no cost.
 */
void
ls_model_update_before_commit(void)
{
	if (ls_model_change_waits())
		backfill();
	if (ls_model_change_stale() == NIL)
		return;
	ls_transaction_wake_worker();
	PushActiveSnapshot(GetTransactionSnapshot());
	(void) ls_model_update_refresh();
	PopActiveSnapshot();
}
