/*-------------------------------------------------------------------------
 *
 * job_table.c
 *		The rows of lead_job: what is done in the background, and how far it is.
 *
 * Asking for a job only inserts a row, which waits for nobody.  Jobs of a model
 * are done one after the other, in the order of their numbers.  One that begins
 * takes over those that wait and ask for no more than it does: what they were
 * asked for has been committed, and it sees it.
 *
 *-------------------------------------------------------------------------
 */
#include "definitions/job_table.h"

#include "access/relation.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "optimizer/plancat.h"
#include "storage/bufmgr.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "base/clock.h"
#include "base/relation.h"
#include "base/sql.h"
#include "base/user.h"
#include "definitions/extension.h"
#include "definitions/locks.h"
#include "definitions/model_change.h"
#include "definitions/rights.h"
#include "rules/source_locks.h"
#include "tables/job_range.h"

PG_FUNCTION_INFO_V1(ls_cancel_job);

int			ls_inline_limit = 100000;
int			ls_job_rate = 0;
int			ls_job_workers = 2;

/*
 * ls_estimate_rows estimates how many rows a table has, with all below it.  No lock
 * is kept: they may have to be locked together.  One that somebody holds against
 * everybody is taken for what it was when it was last analyzed.
 */
double
ls_estimate_rows(Oid relation)
{
	double		rows = 0;
	ListCell   *lc;

	foreach(lc, ls_relation_tree(relation))
	{
		bool		locked;
		Relation	rel = ls_relation_open(lfirst_oid(lc), &locked);
		BlockNumber pages;
		double		tuples = 0,
					visible;

		if (rel == NULL)
			continue;
		if (rel->rd_rel->relkind == RELKIND_RELATION && !locked)
			tuples = Max(0, rel->rd_rel->reltuples);
		/* one that was never analyzed and has few pages is taken for ten pages */
		else if (rel->rd_rel->relkind == RELKIND_RELATION && RelationGetNumberOfBlocks(rel) > 0)
			estimate_rel_size(rel, NULL, &pages, &tuples, &visible);
		rows += tuples;
		ls_relation_close(rel, locked);
	}
	return rows;
}

/* ls_is_large tells whether so many rows are left to a job. */
bool
ls_is_large(double rows)
{
	return rows > ls_inline_limit;
}

/* ---------- asking ---------- */

/*
 * waiting_job gives the number of one that this transaction has asked for, or 0;
 * where kind is NULL, of any kind.
 */
static int64
waiting_job(const char *model, const char *kind, const char *source)
{
	LsSqlArguments args = {0};
	int64		job = 0;
	bool		isnull;

	ls_sql_add_text(&args, model);
	ls_sql_add_text(&args, kind);
	ls_sql_add_text(&args, source);
	SPI_connect();
	if (ls_sql_run("SELECT job_id FROM leadscore_internal.lead_job"
			   " WHERE model OPERATOR(pg_catalog.=) $1"
			   " AND ($2 IS NULL OR kind OPERATOR(pg_catalog.=) $2 AND source IS NOT DISTINCT FROM $3)"
			   " AND state OPERATOR(pg_catalog.=) 'waiting'"
			   " AND xmin OPERATOR(pg_catalog.=) pg_catalog.pg_current_xact_id()::pg_catalog.xid"
			   " LIMIT 1", &args) > 0)
		job = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0],
										  SPI_tuptable->tupdesc, 1, &isnull));
	SPI_finish();
	return job;
}

/* ls_job_request asks for a job and gives its number. */
int64
ls_job_request(const char *model, const char *kind, const char *source)
{
	char	   *requested_by = GetUserNameFromId(GetUserId(), false);
	LsSqlArguments args = {0};
	LsUser	saved;
	int64		job;
	bool		isnull;

	ls_user_switch(ls_extension_owner(), &saved);
	/* whatever is done for a model ends with a refresh */
	job = waiting_job(model, strcmp(kind, "refresh") == 0 ? NULL : kind, source);
	if (job == 0)
	{
		ls_sql_add_text(&args, model);
		ls_sql_add_text(&args, kind);
		ls_sql_add_text(&args, source);
		ls_sql_add_text(&args, requested_by);
		SPI_connect();
		(void) ls_sql_run("INSERT INTO leadscore_internal.lead_job (model, kind, source, requested_by)"
					  " VALUES ($1, $2, $3, $4::pg_catalog.name) RETURNING job_id", &args);
		job = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0],
										  SPI_tuptable->tupdesc, 1, &isnull));
		SPI_finish();
	}
	ls_user_restore(&saved);
	ls_transaction_wake_worker();
	return job;
}

/* ---------- doing ---------- */

/* ls_spi_text gives a column of what SPI found, as text, or NULL. */
char *
ls_spi_text(HeapTuple tuple, int column, MemoryContext context)
{
	char	   *value = SPI_getvalue(tuple, SPI_tuptable->tupdesc, column);

	return value ? MemoryContextStrdup(context, value) : NULL;
}

static int64
number_of(HeapTuple tuple, int column, int64 missing)
{
	bool		isnull;
	Datum		value = SPI_getbinval(tuple, SPI_tuptable->tupdesc, column, &isnull);

	return isnull ? missing : DatumGetInt64(value);
}

/*
 * read_job reads the first of the jobs for which a condition holds, or NULL; what
 * is added to the statement comes after it.
 */
static LsJob *
read_job(const char *condition, const char *added, LsSqlArguments *args)
{
	MemoryContext caller = CurrentMemoryContext;
	LsJob	   *job = NULL;
	LsUser	saved;

	ls_user_switch(ls_extension_owner(), &saved);
	SPI_connect();
	if (ls_sql_run(psprintf("SELECT job_id, model, state, kind, source, phase, position, done, total,"
						" attempts::pg_catalog.int8, started_at, retry_at,"
						" (SELECT 1 FROM leadscore_internal.lead_job_part p"
						" WHERE p.job_id OPERATOR(pg_catalog.=) j.job_id"
						" AND p.phase OPERATOR(pg_catalog.=) j.phase LIMIT 1)::pg_catalog.int8"
						" FROM leadscore_internal.lead_job j WHERE %s ORDER BY job_id LIMIT 1%s",
						condition, added), args) > 0)
	{
		HeapTuple	tuple = SPI_tuptable->vals[0];

		job = MemoryContextAllocZero(caller, sizeof(LsJob));
		job->job_id = number_of(tuple, 1, 0);
		job->model = ls_spi_text(tuple, 2, caller);
		job->state = ls_spi_text(tuple, 3, caller);
		job->kind = ls_spi_text(tuple, 4, caller);
		job->source = ls_spi_text(tuple, 5, caller);
		job->phase = ls_spi_text(tuple, 6, caller);
		job->position = ls_spi_text(tuple, 7, caller);
		job->done = number_of(tuple, 8, 0);
		job->total = number_of(tuple, 9, -1);
		job->attempts = (int) number_of(tuple, 10, 0);
		job->started_at = number_of(tuple, 11, 0);
		job->retry_at = number_of(tuple, 12, 0);
		job->in_parts = number_of(tuple, 13, 0) != 0;
	}
	SPI_finish();
	ls_user_restore(&saved);
	return job;
}

/* ls_job_open gives the job of a model that is next, or being done; or NULL. */
LsJob *
ls_job_open(const char *model)
{
	LsSqlArguments args = {0};
	LsModelRow *row;

	/* mostly there never was one, which costs next to nothing to see */
	if (!ls_relation_has_pages(ls_extension_base_table("lead_job", false)))
		return NULL;
	/* those of a suspended model wait until it goes on */
	row = ls_model_row(model, NULL);
	if (row && row->unreadable)
		return NULL;
	ls_sql_add_text(&args, model);
	return read_job("model OPERATOR(pg_catalog.=) $1 AND " LS_OPEN_JOBS, "", &args);
}

/*
 * ls_job_lock locks a job's row, if nobody has it and it is still in the phase
 * that was read of it.
 */
bool
ls_job_lock(const LsJob *job)
{
	LsSqlArguments args = {0};
	LsUser	saved;
	bool		locked;

	ls_sql_add(&args, INT8OID, Int64GetDatum(job->job_id));
	ls_sql_add_text(&args, job->phase);
	ls_user_switch(ls_extension_owner(), &saved);
	locked = ls_sql_execute("SELECT FROM leadscore_internal.lead_job"
						" WHERE job_id OPERATOR(pg_catalog.=) $1"
						" AND phase OPERATOR(pg_catalog.=) $2 AND " LS_OPEN_JOBS
						" FOR NO KEY UPDATE SKIP LOCKED", &args) > 0;
	ls_user_restore(&saved);
	return locked;
}

/*
 * ls_job_progress writes down how far a job is: in which phase, and up to which
 * contact.  Nothing where it was cancelled meanwhile.
 */
void
ls_job_progress(LsJob *job, const char *phase, const char *position, int64 contacts)
{
	bool		ended = strcmp(phase, "end") == 0;
	TimestampTz now = GetCurrentTimestamp();
	LsSqlArguments args = {0};
	LsUser	saved;

	job->done += contacts;
	if (job->started_at == 0)
		job->started_at = now;
	ls_sql_add(&args, INT8OID, Int64GetDatum(job->job_id));
	ls_sql_add_text(&args, phase);
	ls_sql_add_text(&args, position);
	ls_sql_add(&args, INT8OID, Int64GetDatum(job->done));
	ls_sql_add(&args, INT8OID, Int64GetDatum(ended ? job->done : Max(job->total, job->done)));
	ls_sql_add(&args, TIMESTAMPTZOID, TimestampTzGetDatum(job->started_at));
	ls_sql_add(&args, TIMESTAMPTZOID, TimestampTzGetDatum(now));
	ls_user_switch(ls_extension_owner(), &saved);
	ls_sql_execute(psprintf("UPDATE leadscore_internal.lead_job SET phase = $2, position = $3, done = $4, total = $5,"
						" started_at = $6, updated_at = $7, attempts = 0, retry_at = NULL, error = NULL,"
						" state = '%s', finished_at = %s,"
						" remaining = " LS_JOB_REMAINING("$7", "$6", "$5", "$4")
						" WHERE job_id OPERATOR(pg_catalog.=) $1 AND " LS_OPEN_JOBS,
						ended ? "done" : "running", ended ? "$7" : "NULL"), &args);
	ls_user_restore(&saved);
}

/*
 * What a job is that somebody else has done the rest of, or all of it: like one that
 * has ended by itself, it was to do what it did.
 */
#define DONE_BY_OTHERS \
	"state = 'done', phase = 'end', total = done, remaining = NULL, position = NULL," \
	" attempts = 0, retry_at = NULL, error = NULL," \
	" finished_at = pg_catalog.clock_timestamp()"

/* ls_job_take_over ends the waiting jobs that ask for no more than one which begins. */
void
ls_job_take_over(const LsJob *job)
{
	LsSqlArguments args = {0};
	LsUser	saved;

	ls_sql_add_text(&args, job->model);
	ls_sql_add(&args, INT8OID, Int64GetDatum(job->job_id));
	ls_sql_add_text(&args, job->kind);
	ls_sql_add_text(&args, job->source);
	ls_user_switch(ls_extension_owner(), &saved);
	ls_sql_execute("UPDATE leadscore_internal.lead_job SET " DONE_BY_OTHERS ", taken_over_by = $2"
			   " WHERE model OPERATOR(pg_catalog.=) $1 AND job_id OPERATOR(pg_catalog.<>) $2"
			   " AND state OPERATOR(pg_catalog.=) 'waiting'"
			   " AND (kind OPERATOR(pg_catalog.=) 'refresh'"
			   " OR kind OPERATOR(pg_catalog.=) 'count' AND $3 OPERATOR(pg_catalog.<>) 'refresh'"
			   " OR kind OPERATOR(pg_catalog.=) $3 AND source IS NOT DISTINCT FROM $4)", &args);
	ls_user_restore(&saved);
}

/* ls_job_failed writes down why a job does not go on, and when it is tried again. */
void
ls_job_failed(LsJob *job, const char *error)
{
	TimestampTz now = GetCurrentTimestamp();
	LsSqlArguments args = {0};
	LsUser	saved;

	ls_sql_add(&args, INT8OID, Int64GetDatum(job->job_id));
	ls_sql_add_text(&args, error);
	ls_sql_add(&args, TIMESTAMPTZOID, TimestampTzGetDatum(now + ls_clock_back_off(job->attempts + 1)));
	ls_user_switch(ls_extension_owner(), &saved);
	ls_sql_execute("UPDATE leadscore_internal.lead_job SET error = $2, retry_at = $3,"
			   " attempts = attempts OPERATOR(pg_catalog.+) 1"
			   " WHERE job_id OPERATOR(pg_catalog.=) $1 AND " LS_OPEN_JOBS, &args);
	ls_user_restore(&saved);
}

/*
 * ls_job_superseded ends the open jobs of a model for one who has done at once,
 * under locks, what they are for.
 */
void
ls_job_superseded(const char *model)
{
	LsSqlArguments args = {0};
	LsUser	saved;

	ls_sql_add_text(&args, model);
	ls_user_switch(ls_extension_owner(), &saved);
	ls_sql_execute("UPDATE leadscore_internal.lead_job SET " DONE_BY_OTHERS
			   " WHERE model OPERATOR(pg_catalog.=) $1 AND " LS_OPEN_JOBS, &args);
	ls_user_restore(&saved);
	(void) ls_parts_sweep(model);
}

/* ---------- cancelling ---------- */

/* cancel_count has the rules that a job counts wait until somebody asks again. */
static void
cancel_count(const LsJob *job)
{
	LsSqlArguments args = {0};
	LsUser	saved;

	ls_sql_add_text(&args, job->model);
	ls_user_switch(ls_extension_owner(), &saved);
	ls_sql_execute("UPDATE leadscore_internal.lead_rule SET counting_version = NULL"
				   " WHERE model OPERATOR(pg_catalog.=) $1 AND counting_version IS NOT NULL", &args);
	ls_user_restore(&saved);
	ls_model_changed(job->model);
	ereport(NOTICE,
			(errmsg("rules of model \"%s\" that are not counted contribute nothing", job->model),
			 errhint("Delete or change them, or have them counted: leadscore.rescore('%s', online => true).",
					 job->model)));
}

/*
 * job_to_cancel reads an open job by its number.  Whoever does a step of it has the
 * model's score table locked, and the job's row in the end: it is waited for in
 * the same order.
 */
static LsJob *
job_to_cancel(int64 job_id, bool locked)
{
	LsSqlArguments args = {0};
	LsJob	   *job;

	ls_sql_add(&args, INT8OID, Int64GetDatum(job_id));
	job = read_job("job_id OPERATOR(pg_catalog.=) $1", locked ? " FOR UPDATE OF j" : "", &args);
	if (job == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("there is no job " INT64_FORMAT, job_id),
				 errhint("leadscore.lead_job lists them.")));
	(void) ls_model_row_for(job->model, GetUserId());
	if (strcmp(job->state, "waiting") != 0 && strcmp(job->state, "running") != 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("job " INT64_FORMAT " is %s already", job_id, job->state)));
	return job;
}

/* may_be_left_out tells whether scores are right if a job is not done. */
static bool
may_be_left_out(const LsJob *job)
{
	return strcmp(job->kind, "attach") != 0 && strcmp(job->kind, "refresh") != 0 &&
		(strcmp(job->kind, "rescore") != 0 || job->source == NULL) &&
		strcmp(job->phase, "settle") != 0 && strcmp(job->phase, "refresh") != 0;
}

/*
 * ls_cancel_job is leadscore.cancel_job().  A job that would leave scores wrong
 * if it did not end is not cancelled.
 */
Datum
ls_cancel_job(PG_FUNCTION_ARGS)
{
	LsJob	   *job;
	LsSqlArguments args = {0};
	LsUser	saved;

	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("job_id must not be NULL")));
	PreventCommandIfReadOnly("cancel_job()");
	job = job_to_cancel(PG_GETARG_INT64(0), false);
	ls_lock_definitions(job->model);
	ls_lock_before_writing(job->model);
	LockRelationOid(ls_score_table(job->model, false), ShareRowExclusiveLock);
	job = job_to_cancel(job->job_id, true);
	if (!may_be_left_out(job))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("job " INT64_FORMAT " of model \"%s\" cannot be cancelled in phase \"%s\"",
						job->job_id, job->model, job->phase),
				 errdetail("Scores of contacts that it has not come to would stay wrong."),
				 strcmp(job->kind, "attach") == 0 ?
				 errhint("leadscore.detach('%s', '%s') ends it.", job->model, job->source) :
				 errhint("Change the rules back, or set leadscore.job_rate to slow it down.")));
	ls_sql_add(&args, INT8OID, Int64GetDatum(job->job_id));
	ls_user_switch(ls_extension_owner(), &saved);
	ls_sql_execute("UPDATE leadscore_internal.lead_job SET state = 'cancelled', remaining = NULL,"
			   " finished_at = pg_catalog.clock_timestamp()"
			   " WHERE job_id OPERATOR(pg_catalog.=) $1", &args);
	ls_user_restore(&saved);
	(void) ls_parts_sweep(job->model);
	if (strcmp(job->kind, "count") == 0)
		cancel_count(job);
	PG_RETURN_VOID();
}

/* ls_job_define defines the settings. */
void
ls_job_define(void)
{
	DefineCustomIntVariable("leadscore.inline_limit",
							"How many rows are counted at once when a rule changes; more are left to a job.",
							"As estimated from the size of the tables.",
							&ls_inline_limit, 100000, 0, INT_MAX,
							PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("leadscore.job_rate",
							"How many contacts a second a job takes, at most.",
							"0: as many as it can.",
							&ls_job_rate, 0, 0, INT_MAX,
							PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("leadscore.job_workers",
							"How many processes a job uses, at most, the worker included.",
							"Each but the worker takes one of max_worker_processes while the job is under way.",
							&ls_job_workers, 2, 1, 64,
							PGC_SIGHUP, 0, NULL, NULL, NULL);
}
