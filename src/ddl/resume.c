/*-------------------------------------------------------------------------
 *
 * resume.c
 *		Models that are suspended or resumed when a transaction commits.
 *
 * The effect of commands is determined at commit: a restore with --clean, or a
 * transaction that replaces the key, drops the index for a while and creates another.
 *
 *-------------------------------------------------------------------------
 */
#include "ddl/resume.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/snapmgr.h"

#include "base/transaction.h"
#include "counting/suspension.h"
#include "ddl/ddl.h"
#include "definitions/contact_table.h"
#include "definitions/extension.h"
#include "definitions/locks.h"
#include "jobs/job_run.h"
#include "model/model.h"
#include "rules/disclosure.h"
#include "rules/model_compile.h"
#include "tables/rule_error.h"

/* begin suspends a model. */
static void
begin(LsModelRow *row)
{
	LsModel    *model;

	if (!ls_suspension_request(row))
		return;
	CacheInvalidateRelcacheByRelid(ls_lead_score_table(row->model, false));
	CommandCounterIncrement();
	model = ls_model_acquire(row->model, NULL);
	if (model == NULL)
		return;
	ls_rule_error_report(model);
	ls_model_release(model);
}

/*
 * end resumes a model.  It is recomputed by the waiting job, or at once where it is
 * small and its tables are free.
 */
static void
end(LsModelRow *row)
{
	if (!ls_lock_definitions_if_free(row->model))
		return;
	ls_suspension_record(row->model, 0, NULL);
	CacheInvalidateRelcacheByRelid(ls_lead_score_table(row->model, false));
	CommandCounterIncrement();
	ls_sync_again(row->model);
	ls_job_run_follow(row->model, true, false, true);
}

static void
decide(void *arg)
{
	LsModelRow *row = arg;

	if (row->unreadable)
		begin(row);
	else
		end(row);
}

/*
 * ls_resume_before_commit suspends and resumes models at commit, if the transaction had
 * DDL.
 */
void
ls_resume_before_commit(void)
{
	List	   *rows;
	ListCell   *lc;

	if (!ls_contacts_undecided)
		return;
	ls_contacts_undecided = false;
	/* the extension may have been dropped since */
	if (!OidIsValid(ls_extension_base_table("lead_model", true)) ||
		!OidIsValid(ls_extension_base_table("lead_job", true)))
		return;
	PushActiveSnapshot(GetTransactionSnapshot());
	rows = ls_lead_models(NULL);
	list_sort(rows, ls_lock_row_order);
	foreach(lc, rows)
	{
		LsModelRow *row = lfirst(lc);
		ErrorData  *error;

		if (row->visitors_of || !row->switched_on || row->suspended || row->restoring ||
			!ls_tables_complete(row->model))
			continue;
		if ((row->unreadable != NULL) == ls_suspension_waits(row->model))
			continue;			/* nothing has changed */
		error = ls_subtransaction_run(decide, row);
		if (error && ERRCODE_TO_CATEGORY(error->sqlerrcode) == ERRCODE_OPERATOR_INTERVENTION)
			ReThrowError(error);
		if (error)
			ereport(WARNING,
					(errcode(error->sqlerrcode),
					 errmsg("skipping model \"%s\": %s", row->model,
							ls_disclosure_reason(ls_disclosure_may_see_table(row->owner, row->contacts), error)),
					 errhint("Call leadscore.rescore('%s').", row->model)));
	}
	PopActiveSnapshot();
}

void
ls_resume_end_transaction(void)
{
	ls_contacts_undecided = false;
}
