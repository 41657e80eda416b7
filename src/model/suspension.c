/*-------------------------------------------------------------------------
 *
 * suspension.c
 *		Models that cannot go by their contact tables, and can again.
 *
 * That a model is suspended is not stored: it follows from the tables (contact_table.c)
 * whenever its row is read.  Meanwhile nothing is counted and nothing evaluated; what
 * is deleted from sources that keep it, is kept.  What was missed is counted when the
 * model goes on, for which a job is left that waits so long.  Whoever sees first that
 * the model is suspended leaves it, a command that makes it so or a writer whose rows
 * are not counted: there is none where nothing was missed.
 *
 * What a command did is looked at when its transaction commits, as a restore with
 * --clean, and who swaps a key, drop the index on their way and make another.
 *
 *-------------------------------------------------------------------------
 */
#include "model/suspension.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/snapmgr.h"

#include "base/relation.h"
#include "base/sql.h"
#include "base/transaction.h"
#include "base/user.h"
#include "ddl/ddl.h"
#include "definitions/extension.h"
#include "definitions/job_table.h"
#include "definitions/locks.h"
#include "jobs/job_run.h"
#include "model/model.h"
#include "rules/model_compile.h"

/* A command of this transaction may have changed something */
static bool undecided = false;

/* ls_suspension_look has models be looked at when the transaction commits. */
void
ls_suspension_look(void)
{
	undecided = true;
}

/* ls_suspension_undecided tells whether they will be. */
bool
ls_suspension_undecided(void)
{
	return undecided;
}

/* the jobs of suspended models: what they wait for is their error */
#define WAITING_JOB \
	" WHERE model OPERATOR(pg_catalog.=) $1 AND phase OPERATOR(pg_catalog.=) 'start'" \
	" AND error IS NOT NULL AND retry_at IS NULL"

/* waits tells whether a job is left for a model. */
static bool
waits(const char *model)
{
	LsSqlArguments args = {0};
	LsUser		saved;
	bool		found;

	if (!ls_relation_has_pages(ls_extension_base_table("lead_job", false)))
		return false;
	ls_sql_add_text(&args, model);
	ls_user_switch(ls_extension_owner(), &saved);
	found = ls_sql_execute("SELECT FROM leadscore_internal.lead_job_range" WAITING_JOB " LIMIT 1", &args) > 0;
	ls_user_restore(&saved);
	return found;
}

/* note writes what the job of a model waits for, or that it waits no more. */
static void
note(const char *model, int64 job, const char *why)
{
	LsSqlArguments args = {0};
	LsUser		saved;

	ls_sql_add_text(&args, model);
	ls_sql_add_text(&args, why);
	ls_sql_add(&args, INT8OID, Int64GetDatum(job));
	ls_user_switch(ls_extension_owner(), &saved);
	ls_sql_execute(why ? "UPDATE leadscore_internal.lead_job_range SET error = $2"
				   " WHERE job_id OPERATOR(pg_catalog.=) $3" :
				   "UPDATE leadscore_internal.lead_job_range SET error = NULL" WAITING_JOB, &args);
	ls_user_restore(&saved);
}

/*
 * ask_for_rescore leaves a job for a model that is suspended, where there is none
 * yet, and tells whether it has.
 */
static bool
ask_for_rescore(const LsModelRow *row)
{
	if (waits(row->model))
		return false;
	note(row->model, ls_job_request(row->model, "rescore", "*"),
		 psprintf("model \"%s\" is suspended: %s", row->model, row->unreadable->message));
	return true;
}

/*
 * ls_suspension_defers is for those who count or evaluate: where a model is suspended
 * it is left to the job.
 */
bool
ls_suspension_defers(const char *model)
{
	LsModelRow *row = ls_model_row(model, NULL);

	if (row == NULL || row->unreadable == NULL)
		return false;
	(void) ask_for_rescore(row);
	return true;
}

/*
 * ls_suspension_missed is for a writer whose rows do not count for all rules, as roles
 * have changed and nobody has seen to the model since: they may change back before
 * somebody does, so a job is left that counts what was missed.
 */
void
ls_suspension_missed(const char *model)
{
	LsSqlArguments args = {0};
	LsUser	saved;
	bool		found;

	ls_sql_add_text(&args, model);
	ls_user_switch(ls_extension_owner(), &saved);
	found = ls_sql_execute("SELECT FROM leadscore_internal.lead_job WHERE model OPERATOR(pg_catalog.=) $1"
					   " AND kind OPERATOR(pg_catalog.=) 'rescore'"
					   " AND phase OPERATOR(pg_catalog.=) 'start' AND " LS_OPEN_JOBS " LIMIT 1", &args) > 0;
	ls_user_restore(&saved);
	if (!found)
		(void) ls_job_request(model, "rescore", "*");
}

/*
 * ls_suspension_refuse is an error where a model is suspended, which says why.  What is
 * wrong with it may have been mended since it was loaded, and nobody have noticed.
 */
void
ls_suspension_refuse(const LsModelRow *row)
{
	LsModel    *model = ls_model_load(row->model, NULL);

	if (model == NULL)
		return;
	ls_check_not_suspended(model);
	ls_model_release(model);
}

/* begin says that a model is suspended from now on. */
static void
begin(LsModelRow *row)
{
	LsModel    *model;

	if (!ask_for_rescore(row))
		return;
	CacheInvalidateRelcacheByRelid(ls_score_table(row->model, false));
	CommandCounterIncrement();
	model = ls_model_acquire(row->model, NULL);
	if (model == NULL)
		return;
	ls_rules_report(model);
	ls_model_release(model);
}

/*
 * end has a model go on: it is counted, or if that is much, or its tables are not free,
 * by the job that waits.
 */
static void
end(LsModelRow *row)
{
	if (!ls_lock_definitions_if_free(row->model))
		return;
	note(row->model, 0, NULL);
	CacheInvalidateRelcacheByRelid(ls_score_table(row->model, false));
	CommandCounterIncrement();
	ls_follow_again(row->model);
	ls_job_follow(row->model, true, false, true);
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

/* ls_suspension_before_commit looks at all models, if there was a command. */
void
ls_suspension_before_commit(void)
{
	List	   *rows;
	ListCell   *lc;

	if (!undecided)
		return;
	undecided = false;
	/* the extension may have been dropped since */
	if (!OidIsValid(ls_extension_base_table("lead_model", true)) ||
		!OidIsValid(ls_extension_base_table("lead_job", true)))
		return;
	PushActiveSnapshot(GetTransactionSnapshot());
	rows = ls_model_rows(NULL);
	list_sort(rows, ls_by_row_rank);
	foreach(lc, rows)
	{
		LsModelRow *row = lfirst(lc);
		ErrorData  *error;

		if (row->sheet || !row->switched_on || row->suspended || row->restoring ||
			!ls_model_complete(row->model))
			continue;
		if ((row->unreadable != NULL) == waits(row->model))
			continue;			/* which is known, one way or the other */
		error = ls_subtransaction_run(decide, row);
		if (error && ERRCODE_TO_CATEGORY(error->sqlerrcode) == ERRCODE_OPERATOR_INTERVENTION)
			ReThrowError(error);
		if (error)
			ereport(WARNING,
					(errcode(error->sqlerrcode),
					 errmsg("model \"%s\" was not looked at: %s", row->model, error->message),
					 errhint("Call leadscore.rescore('%s').", row->model)));
	}
	PopActiveSnapshot();
}

void
ls_suspension_end_transaction(void)
{
	undecided = false;
}
