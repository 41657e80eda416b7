/*-------------------------------------------------------------------------
 *
 * before_commit.c
 *		Models that a transaction has changed, brought up to date before it commits.
 *
 * However many statements have changed a model (model_change.c), its rules are counted
 * once and its stored rows evaluated once.  One model that cannot be brought up to date
 * does not stop the transaction, which may have changed no more than a table of others.
 *
 *-------------------------------------------------------------------------
 */
#include "counting/before_commit.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/snapmgr.h"

#include "base/statement.h"
#include "base/relation.h"
#include "base/user.h"
#include "counting/one_model.h"
#include "counting/recount.h"
#include "definitions/catalog.h"
#include "definitions/extension.h"
#include "definitions/job_table.h"
#include "definitions/model_change.h"
#include "rules/expression.h"
#include "rules/source_locks.h"

/* ---------- rules ---------- */

/* count_one counts a model, for ls_up_to_date(). */
static void
count_one(void *arg)
{
	const LsToCount *one = arg;

	if (one->all)
		(void) ls_rescore(one->model, "backfill");
	else
		ls_recount_rules(one->model);
}

/* ls_count_now counts what was left for later (model_change.c). */
void
ls_count_now(void)
{
	ListCell   *lc;
	List	   *models;

	/* the extension may have been dropped since */
	if (!OidIsValid(ls_extension_base_table("lead_model", true)))
		return;
	models = ls_count_take();
	PushActiveSnapshot(GetTransactionSnapshot());
	foreach(lc, models)
	{
		LsToCount  *one = lfirst(lc);

		if (one->by_user)
			count_one(one);
		else
			(void) ls_up_to_date(one->model, count_one, one);
	}
	PopActiveSnapshot();
	CommandCounterIncrement();
}

/*
 * ls_count_if_asked does so before a statement that looks at it, but not in the midst
 * of another, nor of something that leadscore or a rule does.
 */
void
ls_count_if_asked(void)
{
	if (ls_count_waits() && !ls_statement_under_way() && !ls_user_is_engine() && !ls_expr_running &&
		!InSecurityRestrictedOperation() && !XactReadOnly && !IsInParallelMode())
		ls_count_now();
}

/* ---------- rows ---------- */

/* What is done about one changed model, for ls_up_to_date() */
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

	refresh->small = !ls_job_pays(ls_relation_estimate_rows(ls_score_table(refresh->model, false)));
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

	LockRelationOid(ls_score_table(refresh->model, false), ShareRowExclusiveLock);
	row = ls_model_row(refresh->model, NULL);
	if (row && row->enabled)
		refresh->changed = ls_refresh(refresh->model, "rule");
}

/*
 * ls_refresh_changed_models brings the stored rows of models that this
 * transaction has changed up to date, just before it commits.
 *
 * The lock makes it final: writers that evaluated with the old rules have
 * ended, and those that wait will see the new ones.  Where there are many rows it
 * is left to a job, and nobody waits.  Returns how many contacts changed.
 */
int64
ls_refresh_changed_models(void)
{
	List	   *models = ls_changed_models();
	List	   *small = NIL;
	int64		changed = 0;
	ListCell   *lc;

	foreach(lc, models)
		ls_model_refreshed(lfirst(lc));
	/* the extension may have been dropped since */
	if (!OidIsValid(ls_extension_base_table("lead_model", true)))
		return 0;
	list_sort(models, ls_by_model_rank);	/* as writers lock them */
	foreach(lc, models)
	{
		Refresh    *refresh = palloc0(sizeof(Refresh));

		refresh->model = lfirst(lc);
		if (OidIsValid(ls_score_table(refresh->model, true)) &&
			ls_up_to_date(refresh->model, prepare_refresh, refresh) && refresh->small)
			small = lappend(small, refresh);
	}
	foreach(lc, small)
	{
		Refresh    *refresh = lfirst(lc);

		if (ls_up_to_date(refresh->model, do_refresh, refresh))
			changed += refresh->changed;
	}
	return changed;
}
