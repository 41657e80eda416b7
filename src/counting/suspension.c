/*-------------------------------------------------------------------------
 *
 * suspension.c
 *		Models that cannot go by their contact tables: what is left for later.
 *
 * That a model is suspended is not stored: it follows from the tables (contact_table.c)
 * whenever its row is read.  Meanwhile nothing is counted and nothing evaluated; what
 * is deleted from sources that keep it, is kept.  What was missed is counted when the
 * model goes on, for which a job is left that waits so long.  Whoever sees first that
 * the model is suspended leaves it, a command that makes it so or a writer whose rows
 * are not counted: there is none where nothing was missed.
 *
 *-------------------------------------------------------------------------
 */
#include "counting/suspension.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"

#include "base/relation.h"
#include "base/sql.h"
#include "definitions/extension.h"
#include "definitions/job_table.h"
#include "rules/model_compile.h"

/* the jobs of suspended models: what they wait for is their error */
#define WAITING_JOB \
	" WHERE model = $1 AND phase = 'start' AND error IS NOT NULL AND retry_at IS NULL"

/* ls_suspension_waits tells whether a job is left for a model. */
bool
ls_suspension_waits(const char *model)
{
	LsSqlArguments args = {0};

	if (!ls_relation_has_pages(ls_extension_base_table("lead_job", false)))
		return false;
	ls_sql_add_text(&args, model);
	return ls_extension_execute("SELECT FROM leadscore_internal.lead_job_range" WAITING_JOB " LIMIT 1", &args) > 0;
}

/* ls_suspension_record writes what the job of a model waits for, or that it waits no more. */
void
ls_suspension_record(const char *model, int64 job, const char *why)
{
	LsSqlArguments args = {0};

	ls_sql_add_text(&args, model);
	ls_sql_add_text(&args, why);
	ls_sql_add(&args, INT8OID, Int64GetDatum(job));
	ls_extension_execute(why ? "UPDATE leadscore_internal.lead_job_range SET error = $2 WHERE job_id = $3" :
						 "UPDATE leadscore_internal.lead_job_range SET error = NULL" WAITING_JOB, &args);
}

/*
 * ls_suspension_request leaves a job for a model that is suspended, where there is none
 * yet, and tells whether it has.
 */
bool
ls_suspension_request(const LsModelRow *row)
{
	if (ls_suspension_waits(row->model))
		return false;
	ls_suspension_record(row->model, ls_job_request(row->model, "rescore", "*"),
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
	LsModelRow *row = ls_lead_model(model, NULL);

	if (row == NULL || row->unreadable == NULL)
		return false;
	(void) ls_suspension_request(row);
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

	ls_sql_add_text(&args, model);
	if (ls_extension_execute("SELECT FROM leadscore_internal.lead_job WHERE model = $1 AND kind = 'rescore'"
							 " AND phase = 'start' AND " LS_OPEN_JOBS " LIMIT 1", &args) == 0)
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
	ls_rule_failure_refuse_suspended(model);
	ls_model_release(model);
}
