/*-------------------------------------------------------------------------
 *
 * retention.c
 *		Deletes expired rows, of all models.
 *
 *-------------------------------------------------------------------------
 */
#include "background/worker_internal.h"

#include "catalog/pg_type.h"

#include "background/settings.h"
#include "base/clock.h"
#include "base/sql.h"
#include "definitions/daily_tables.h"
#include "definitions/extension.h"
#include "definitions/lead_tables.h"
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
	foreach(lc, ls_lead_models(NULL))
		work->models = lappend(work->models, ((LsModelRow *) lfirst(lc))->model);
	MemoryContextSwitchTo(old);
}

/*
 * purge_table deletes rows of a table of the model: those that a query's FROM clause
 * selects.
 */
static void
purge_table(Work *work, const char *prefix, const char *rows, TimestampTz before)
{
	List	   *tables = ls_model_tables_for(prefix, work->model, ACL_NO_RIGHTS);
	LsSqlArguments args = {.newest = true,.by_index = true};

	work->returned = 0;
	if (tables == NIL || !ls_model_table_lock(linitial(tables), RowExclusiveLock, false))
		return;
	ls_sql_add(&args, TIMESTAMPTZOID, TimestampTzGetDatum(before));
	ls_sql_add(&args, INT4OID, Int32GetDatum(PURGE_ROWS));
	work->returned =
		ls_sql_execute_as_owner(((LsModelTable *) linitial(tables))->table,
								psprintf("DELETE FROM leadscore.%1$s%2$s WHERE ctid = ANY (ARRAY("
										 "SELECT ctid FROM leadscore.%1$s%2$s WHERE %3$s))",
										 prefix, work->model, rows), &args);
}

/* purge_history leaves what a day needs that is still to be written, in any time zone. */
static void
purge_history(Work *work)
{
	purge_table(work, "history_", "recorded_at < $1 LIMIT $2",
				Min(ls_clock() - ls_setting_history_retention * USECS_PER_DAY, ls_daily_needs(work->model)));
}

/* purge_outbox leaves dead letters, which need a person's decision. */
static void
purge_outbox(Work *work)
{
	purge_table(work, "outbox_", "status = 'done' AND finished_at < $1"
				" ORDER BY finished_at LIMIT $2 FOR UPDATE SKIP LOCKED",
				ls_clock() - ls_setting_outbox_retention * USECS_PER_DAY);
}

/* purge_jobs deletes rows of lead_job that ended long ago. */
static void
purge_jobs(Work *work)
{
	LsSqlArguments args = {0};

	ls_sql_add(&args, TIMESTAMPTZOID,
			   TimestampTzGetDatum(GetCurrentTimestamp() - JOB_RETENTION * USECS_PER_DAY));
	ls_sql_add(&args, INT4OID, Int32GetDatum(PURGE_ROWS));
	work->returned = ls_extension_execute("DELETE FROM leadscore_internal.lead_job"
										  " WHERE ctid OPERATOR(pg_catalog.=) ANY (ARRAY("
										  "SELECT ctid FROM leadscore_internal.lead_job"
										  " WHERE finished_at OPERATOR(pg_catalog.<) $1 LIMIT $2))", &args);
}

static void
purge_rule_errors(Work *work)
{
	work->returned = ls_rule_error_purge(PURGE_ROWS);
}

/* purge deletes rows of one kind, unless they never expire (days is negative). */
static void
purge(Work *work, int days, Step step)
{
	if (days >= 0)
		while (ls_worker_step_run(work, step) && work->returned >= PURGE_ROWS)
			;
	ls_worker_step_record_error(work);
}

/* ls_retention_purge deletes expired rows, about once an hour. */
void
ls_retention_purge(Work *work)
{
	TimestampTz now = GetCurrentTimestamp();
	ListCell   *lc;

	if (now >= ls_shared_slot->purged_at && now - ls_shared_slot->purged_at < PURGE_INTERVAL)
		return;
	ls_worker_step_phase(work, LS_PHASE_PURGING);
	ls_worker_step_report(work, "deleting what is no longer to be kept");
	if (ls_worker_step_run(work, find_models))
		foreach(lc, work->models)
		{
			work->model = lfirst(lc);
			ls_worker_step_phase(work, LS_PHASE_PURGING);
			purge(work, ls_setting_history_retention, purge_history);
			purge(work, ls_setting_outbox_retention, purge_outbox);
		}
	work->model = NULL;
	purge(work, JOB_RETENTION, purge_jobs);
	purge(work, ls_rule_error_retention, purge_rule_errors);
	LWLockAcquire(&ls_shared_state->lock, LW_EXCLUSIVE);
	ls_shared_slot->purged_at = now;
	LWLockRelease(&ls_shared_state->lock);
}
