/*-------------------------------------------------------------------------
 *
 * retention.c
 *		Deletes what is older than it is to be kept, for all models together.
 *
 *-------------------------------------------------------------------------
 */
#include "background/worker_internal.h"

#include "catalog/pg_type.h"

#include "definitions/daily_tables.h"
#include "background/settings.h"
#include "base/clock.h"
#include "base/sql.h"
#include "definitions/catalog.h"
#include "definitions/model_access.h"
#include "tables/rule_error.h"

#define PURGE_INTERVAL		(3600 * USECS_PER_SEC)
#define PURGE_ROWS			5000	/* in one transaction */
#define JOB_RETENTION		90	/* days */

static void
find_models(Work *work)
{
	MemoryContext old = MemoryContextSwitchTo(work->round);
	ListCell   *lc;

	work->models = NIL;
	foreach(lc, ls_model_rows(NULL))
		work->models = lappend(work->models, ((LsModelRow *) lfirst(lc))->model);
	MemoryContextSwitchTo(old);
}

/*
 * purge_history deletes rows of history_<model>, found by the index on recorded_at.  A
 * day that is still to be written needs those of its own, in whatever zone.
 */
static void
purge_history(Work *work)
{
	List	   *tables = ls_model_tables_for("history_", work->model, ACL_NO_RIGHTS);
	LsSqlArguments args = {.newest = true};

	work->returned = 0;
	if (tables == NIL || !ls_model_table_lock(linitial(tables), RowExclusiveLock, false))
		return;
	ls_sql_add(&args, TIMESTAMPTZOID,
			   TimestampTzGetDatum(Min(ls_clock() - ls_history_retention * USECS_PER_DAY,
									   ls_daily_needs(work->model))));
	ls_sql_add(&args, INT4OID, Int32GetDatum(PURGE_ROWS));
	work->returned =
		ls_sql_execute_as_owner(((LsModelTable *) linitial(tables))->table,
								psprintf("DELETE FROM leadscore.history_%1$s WHERE ctid = ANY (ARRAY("
										 "SELECT ctid FROM leadscore.history_%1$s"
										 " WHERE recorded_at < $1 LIMIT $2))", work->model), &args);
}

static void
purge_outbox(Work *work)
{
	work->returned = ls_action_purge(work->model, ls_outbox_retention, PURGE_ROWS);
}

/* purge_jobs deletes rows of lead_job that ended long ago. */
static void
purge_jobs(Work *work)
{
	LsSqlArguments args = {0};

	ls_sql_add(&args, TIMESTAMPTZOID,
			   TimestampTzGetDatum(GetCurrentTimestamp() - JOB_RETENTION * USECS_PER_DAY));
	ls_sql_add(&args, INT4OID, Int32GetDatum(PURGE_ROWS));
	work->returned = ls_sql_execute("DELETE FROM leadscore_internal.lead_job"
									" WHERE ctid OPERATOR(pg_catalog.=) ANY (ARRAY("
									"SELECT ctid FROM leadscore_internal.lead_job"
									" WHERE finished_at OPERATOR(pg_catalog.<) $1 LIMIT $2))", &args);
}

static void
purge_rule_errors(Work *work)
{
	work->returned = ls_rule_error_purge(PURGE_ROWS);
}

/* purge deletes rows of one kind, where they are not kept for ever (days is negative). */
static void
purge(Work *work, int days, Step step)
{
	if (days >= 0)
		while (ls_worker_attempt(work, step) && work->returned >= PURGE_ROWS)
			;
	ls_worker_note_error(work);
}

/* ls_retention_purge deletes what is older than it is to be kept, now and then. */
void
ls_retention_purge(Work *work)
{
	TimestampTz now = GetCurrentTimestamp();
	ListCell   *lc;

	if (now >= ls_worker_slot->purged_at && now - ls_worker_slot->purged_at < PURGE_INTERVAL)
		return;
	ls_worker_phase(work, LS_PHASE_PURGING);
	ls_worker_report(work, "deleting what is no longer to be kept");
	if (ls_worker_attempt(work, find_models))
		foreach(lc, work->models)
		{
			work->model = lfirst(lc);
			ls_worker_phase(work, LS_PHASE_PURGING);
			purge(work, ls_history_retention, purge_history);
			purge(work, ls_outbox_retention, purge_outbox);
		}
	work->model = NULL;
	purge(work, JOB_RETENTION, purge_jobs);
	purge(work, ls_rule_error_retention, purge_rule_errors);
	LWLockAcquire(&ls_shared_state->lock, LW_EXCLUSIVE);
	ls_worker_slot->purged_at = now;
	LWLockRelease(&ls_shared_state->lock);
}
