/*-------------------------------------------------------------------------
 *
 * refresh.c
 *		What a worker does for a model, done immediately: refresh(), write_days(),
 *		rescore().
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"

#include "base/sql.h"
#include "counting/contact_pass.h"
#include "counting/model_update.h"
#include "counting/recount.h"
#include "counting/suspension.h"
#include "ddl/ddl.h"
#include "definitions/job_table.h"
#include "definitions/lead_tables.h"
#include "definitions/locks.h"
#include "definitions/model_change.h"
#include "definitions/model_tables.h"
#include "definitions/restore_state.h"
#include "definitions/rights.h"
#include "jobs/daily_snapshot.h"
#include "jobs/job_run.h"
#include "rules/source_locks.h"
#include "tables/purged_table.h"

PG_FUNCTION_INFO_V1(ls_refresh_model);
PG_FUNCTION_INFO_V1(ls_write_days);
PG_FUNCTION_INFO_V1(ls_rescore_model);
PG_FUNCTION_INFO_V1(ls_rescore_online);

/* Arguments for one of several models, for ls_model_update_try() */
typedef struct Refresh
{
	const char *model;
	bool		job;			/* run its job, too */
	int64		changed;
} Refresh;

static void
refresh_one(void *arg)
{
	Refresh    *refresh = arg;

	if (refresh->job)
		ls_job_run_all(refresh->model);
	refresh->changed = ls_contact_pass_all(refresh->model);
	while (ls_daily_write(refresh->model, true))
		;
}

/*
 * refresh_models does what the worker would do for some models, deliveries excepted.
 * Jobs that are requested meanwhile are left to the next call.  With each, for all
 * models, one that fails does not stop the others.
 */
static int64
refresh_models(List *rows, bool each)
{
	List	   *models = NIL;
	List	   *jobs = NIL;
	int64		changed = 0;
	ListCell   *lc;

	/* models that this transaction has changed, which its commit would refresh */
	if (ls_model_change_stale() != NIL)
		changed += ls_model_update_refresh();
	foreach(lc, rows)
	{
		LsModelRow *row = lfirst(lc);

		(void) ls_restore_under_way(row);
		if (!each || ls_model_update_is_sound(row->model))
			models = lappend(models, row->model);
	}
	foreach(lc, models)
		ls_sync_roles(lfirst(lc), false);
	foreach(lc, models)
		if (ls_job_open(lfirst(lc)))
			jobs = lappend(jobs, lfirst(lc));
	foreach(lc, jobs)
		ls_lock_definitions(lfirst(lc));
	/* tables of all models before any row */
	foreach(lc, jobs)
		ls_lock_sources(lfirst(lc));
	foreach(lc, models)
		ls_lock_before_writing(lfirst(lc));
	/* the score table comes first, as in a command that alters all tables */
	foreach(lc, models)
	{
		Oid			table = ls_lead_score_table(lfirst(lc), true);

		if (OidIsValid(table))
			LockRelationOid(table, RowExclusiveLock);
	}
	foreach(lc, models)
	{
		Refresh		refresh = {lfirst(lc), list_member_ptr(jobs, lfirst(lc)), 0};

		if (!each)
			refresh_one(&refresh);
		else
			(void) ls_model_update_try(refresh.model, refresh_one, &refresh);
		changed += refresh.changed;
	}
	return changed;
}

/* ls_refresh_model is leadscore.refresh(). */
Datum
ls_refresh_model(PG_FUNCTION_ARGS)
{
	const char *model = PG_ARGISNULL(0) ? NULL : TextDatumGetCString(PG_GETARG_DATUM(0));
	List	   *rows = NIL;
	bool		found = model == NULL;
	ListCell   *lc;

	PreventCommandIfReadOnly("refresh()");
	foreach(lc, ls_lead_models(NULL))
	{
		LsModelRow *row = lfirst(lc);

		if (model == NULL && row->enabled && ls_rights_may_manage_model(row, GetUserId()))
			rows = lappend(rows, row);
		else if (model && strcmp(row->model, model) == 0)
		{
			ls_rights_require_managed(row, GetUserId());
			rows = lappend(rows, row);
			found = true;
		}
		else if (model && row->visitors_of && strcmp(row->visitors_of, model) == 0)
			rows = lappend(rows, row);
	}
	if (!found)
		(void) ls_rights_model(model, GetUserId());	/* raises the error */
	/* visitors come before their model: their pending changes become its own */
	list_sort(rows, ls_lock_row_order);
	PG_RETURN_INT64(refresh_models(rows, model == NULL));
}

/* ls_write_days is leadscore.write_days(). */
Datum
ls_write_days(PG_FUNCTION_ARGS)
{
	char	   *model = ls_sql_text_argument(fcinfo, 0, "model");
	int32		days = 0;

	PreventCommandIfReadOnly("write_days()");
	(void) ls_rights_model(model, GetUserId());
	ls_lock_before_writing(model);
	/* transitions that were due before must be in the history */
	(void) ls_contact_pass_all(model);
	while (ls_daily_write(model, true))
		days++;
	PG_RETURN_INT32(days);
}

/* rescore recomputes all contacts of a model, and gives its tables what later ones have. */
static int64
rescore(const LsModelRow *row)
{
	const char *visitors = ls_lead_visitors_model(row->model);

	ls_lock_definitions(row->model);
	ls_lock_sources(row->model);
	if (visitors)
		ls_tables_update(ls_lead_model(visitors, NULL));
	ls_tables_update(row);
	return ls_recount_rescore(row->model, "backfill");
}

/* ls_rescore_online is leadscore.rescore() with argument online, beside writers. */
Datum
ls_rescore_online(PG_FUNCTION_ARGS)
{
	LsModelRow *row;

	PreventCommandIfReadOnly("rescore()");
	row = ls_rights_model(TextDatumGetCString(PG_GETARG_DATUM(0)), GetUserId());
	ls_sync_roles(row->model, false);
	/* a job waits until the contact table can be read */
	if (!row->unreadable || !PG_GETARG_BOOL(1))
		ls_suspension_refuse(row);
	if (PG_GETARG_BOOL(1))
		PG_RETURN_INT64(ls_job_request(row->model, "rescore", NULL));
	PG_RETURN_INT64(rescore(row));
}

/* ls_rescore_model is leadscore.rescore(). */
Datum
ls_rescore_model(PG_FUNCTION_ARGS)
{
	LsModelRow *row;
	LsModel    *model;
	int64		contacts;

	PreventCommandIfReadOnly("rescore()");
	row = ls_rights_model(TextDatumGetCString(PG_GETARG_DATUM(0)), GetUserId());
	ls_sync_roles(row->model, false);
	ls_suspension_refuse(row);
	contacts = rescore(row);
	model = ls_model_acquire(row->model, NULL);
	ls_purged_report(model, "Their contributions are kept, and were added to those of the events that are still there.");
	ls_model_release(model);
	PG_RETURN_INT64(contacts);
}
