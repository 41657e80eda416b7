/*-------------------------------------------------------------------------
 *
 * job_cancel.c
 *		Jobs cancelled: leadscore.cancel_job().
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"
#include "storage/lmgr.h"

#include "base/sql.h"
#include "definitions/extension.h"
#include "definitions/job_table.h"
#include "definitions/lead_tables.h"
#include "definitions/locks.h"
#include "definitions/model_change.h"
#include "definitions/rights.h"
#include "rules/source_locks.h"

PG_FUNCTION_INFO_V1(ls_cancel_job);

/* cancel_backfill leaves the rules of a cancelled job waiting for the next backfill. */
static void
cancel_backfill(const LsJob *job)
{
	LsSqlArguments args = {0};

	ls_sql_add_text(&args, job->model);
	ls_extension_execute("UPDATE leadscore_internal.lead_rule SET backfilling_version = NULL"
						 " WHERE model = $1 AND backfilling_version IS NOT NULL", &args);
	ls_model_change_record(job->model);
	ereport(NOTICE,
			(errmsg("rules of model \"%s\" that are not backfilled contribute nothing", job->model),
			 errhint("Delete or change them, or call leadscore.rescore('%s', online => true).",
					 job->model)));
}

/*
 * job_to_cancel ensures that the job exists, is open, and may be cancelled by the
 * caller.
 */
static LsJob *
job_to_cancel(int64 job_id, LsJob *job)
{
	if (job == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("there is no job " INT64_FORMAT, job_id),
				 errhint("The view leadscore.lead_job lists all jobs.")));
	(void) ls_rights_model(job->model, GetUserId());
	if (strcmp(job->state, "waiting") != 0 && strcmp(job->state, "running") != 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("job " INT64_FORMAT " is %s already", job_id, job->state)));
	return job;
}

/* may_be_left_out tells whether scores are right without a job. */
static bool
may_be_left_out(const LsJob *job)
{
	return strcmp(job->kind, "attach") != 0 && strcmp(job->kind, "refresh") != 0 &&
		(strcmp(job->kind, "rescore") != 0 || job->source == NULL) &&
		strcmp(job->phase, "drain") != 0 && strcmp(job->phase, "refresh") != 0;
}

/*
 * ls_cancel_job is leadscore.cancel_job().  A job without which scores would be wrong
 * is not cancelled.
 */
Datum
ls_cancel_job(PG_FUNCTION_ARGS)
{
	LsJob	   *job;

	ls_sql_require_argument(fcinfo, 0, "job_id");
	PreventCommandIfReadOnly("cancel_job()");
	job = job_to_cancel(PG_GETARG_INT64(0), ls_job_read(PG_GETARG_INT64(0)));
	/* the order of a step of the job: the score table, and the job's row last */
	ls_lock_definitions(job->model);
	ls_lock_before_writing(job->model);
	LockRelationOid(ls_lead_score_table(job->model, false), ShareRowExclusiveLock);
	job = job_to_cancel(job->job_id, ls_job_lock(job->job_id));
	if (!may_be_left_out(job))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("job " INT64_FORMAT " of model \"%s\" cannot be cancelled in phase \"%s\"",
						job->job_id, job->model, job->phase),
				 errdetail("Scores of contacts that it has not reached would stay wrong."),
				 strcmp(job->kind, "attach") == 0 ?
				 errhint("Call leadscore.detach('%s', '%s') to end it.", job->model, job->source) :
				 errhint("Change the rules back, or set leadscore.job_rate to slow it down.")));
	ls_job_cancel(job);
	if (strcmp(job->kind, "backfill") == 0)
		cancel_backfill(job);
	PG_RETURN_VOID();
}
