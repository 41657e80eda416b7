/*-------------------------------------------------------------------------
 *
 * suspension.c
 *		Suspended models: work that is deferred to a job.
 *
 * That a model is suspended is not stored: it follows from the contact table
 * (contact_table.c) whenever the model's row is read.  Meanwhile events are not counted
 * and scores not evaluated; deleted rows of a source that keeps them become purged
 * contributions.  What was missed is backfilled when the model is not suspended any
 * more, by a job that waits for that.  The job is requested by the first session that
 * finds the model suspended: a command that suspends it, or a writer whose rows are not
 * counted.  There is no job if nothing was missed.
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

/* the jobs of suspended models: the reason of the suspension is their error */
#define WAITING_JOB \
	" WHERE model = $1 AND phase = 'start' AND error IS NOT NULL AND retry_at IS NULL"

/*
 * ls_suspension_waits tells whether a job of a model waits for the end of a suspension.
 */
bool
ls_suspension_waits(const char *model)
{
	LsSqlArguments args = {0};

	if (!ls_relation_has_pages(ls_extension_base_table("lead_job", false)))
		return false;
	ls_sql_add_text(&args, model);
	return ls_extension_execute("SELECT FROM leadscore_internal.lead_job_range" WAITING_JOB " LIMIT 1", &args) > 0;
}

/*
 * ls_suspension_record records what the job of a model waits for; why is NULL: nothing.
 */
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
 * ls_suspension_request requests a job for a suspended model, unless there is one
 * already, and tells whether it has.
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
 * ls_suspension_defers tells whether a model is suspended, so that the caller must not
 * count or evaluate, and requests the job.
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
 * ls_suspension_missed requests a job for a model some of whose rules did not see a
 * writer's rows: memberships of roles have changed, and may change back before any
 * session finds the model suspended.
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
 * ls_suspension_refuse throws the reason of the suspension, if the model is still
 * suspended: this may have ended since its row was read.
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
