/*-------------------------------------------------------------------------
 *
 * model_update.c
 *		Models that a transaction has changed, brought up to date before it commits.
 *
 * However many statements have changed a model (model_change.c), its rules are
 * backfilled once and its stored rows evaluated once.  If one model cannot be brought
 * up to date, that does not stop the transaction, which may have changed only a table
 * that belongs to other roles' models.
 *
 *-------------------------------------------------------------------------
 */
#include "counting/model_update.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "definitions/locks.h"
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
 * ls_model_update_stops tells whether an error ends the statement: it is not an error
 * of the model, or leadscore.rule_error is error.
 */
bool
ls_model_update_stops(const ErrorData *error)
{
	return ls_rule_error == LS_RULE_ERROR_ERROR ||
		ls_error_class(error->sqlerrcode) == LS_ERROR_OF_STATEMENT;
}

/*
 * ls_model_update_try runs body, which brings the rows of a model up to date, in a
 * subtransaction.  False, with a warning, if it fails.
 */
bool
ls_model_update_try(const char *model, void (*body) (void *), void *arg)
{
	ErrorData  *error = ls_subtransaction_run(body, arg);
	LsModelRow *row;

	if (error == NULL)
		return true;
	if (ls_model_update_stops(error))
		ReThrowError(error);
	row = ls_lead_model(model, NULL);
	ereport(WARNING,
			(errcode(error->sqlerrcode),
			 errmsg("could not bring model \"%s\" up to date: %s", model,
					ls_disclosure_reason(row && ls_disclosure_may_see_table(row->owner, row->contacts), error)),
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

/* ls_model_update_is_sound tells whether a model can be loaded, and warns if not. */
bool
ls_model_update_is_sound(const char *model)
{
	return ls_model_update_try(model, read_model, unconstify(char *, model));
}

/* ---------- rules ---------- */

/* backfill_one backfills a model, for ls_model_update_try(). */
static void
backfill_one(void *arg)
{
	const LsBackfill *one = arg;

	if (one->all)
		(void) ls_recount_rescore(one->model, "backfill");
	else
		ls_recount_rules(one->model);
}

/* backfill backfills the rules that statements have deferred (model_change.c). */
static void
backfill(void)
{
	ListCell   *lc;
	List	   *models;

	/* the extension may have been dropped meanwhile */
	if (!OidIsValid(ls_extension_base_table("lead_model", true)))
		return;
	models = ls_model_change_take();
	PushActiveSnapshot(GetTransactionSnapshot());
	foreach(lc, models)
	{
		LsBackfill *one = lfirst(lc);

		if (one->by_user)
			backfill_one(one);
		else
			(void) ls_model_update_try(one->model, backfill_one, one);
	}
	PopActiveSnapshot();
	CommandCounterIncrement();
}

/*
 * ls_model_update_if_asked backfills before a statement that may read scores, except
 * within another statement, or one of leadscore's own or of a rule.
 */
void
ls_model_update_if_asked(void)
{
	if (ls_model_change_waits() && !ls_statement_under_way() && !ls_user_is_engine() && !ls_expr_running &&
		!InSecurityRestrictedOperation() && !XactReadOnly && !IsInParallelMode())
		backfill();
}

/* ---------- rows ---------- */

/* The refresh of one changed model, for ls_model_update_try() */
typedef struct Refresh
{
	const char *model;
	bool		small;			/* small enough not to be left to a job */
	int64		changed;
} Refresh;

/* prepare_refresh locks what the refresh reads, or leaves it to a job. */
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
 * ls_model_update_refresh refreshes the stored rows of models that this transaction has
 * changed, just before it commits.
 *
 * Its lock ensures that writers that evaluated with the old rules have ended, and that
 * waiting writers will see the new ones.  Many rows are left to a job, so that no
 * session waits.  Returns the number of changed contacts.
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
	/* the extension may have been dropped meanwhile */
	if (!OidIsValid(ls_extension_base_table("lead_model", true)))
		return 0;
	list_sort(models, ls_lock_rank_order);	/* as writers lock them */
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
 * ls_model_update_before_commit backfills and refreshes.  That is not done earlier, so
 * that rules can be changed, looked at and rolled back at no cost.
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
