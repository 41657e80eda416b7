/*-------------------------------------------------------------------------
 *
 * activity_view.c
 *		leadscore_internal.activity(): what launcher and workers are doing.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_authid.h"
#include "commands/dbcommands.h"
#include "fmgr.h"
#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/tuplestore.h"

#include "background/settings.h"
#include "background/shared_state.h"
#include "base/compat.h"
#include "definitions/extension.h"
#include "definitions/lead_tables.h"
#include "definitions/rights.h"

PG_FUNCTION_INFO_V1(ls_activity);

/* columns of leadscore_internal.activity() */
enum
{
	COL_ROLE,
	COL_PID,
	COL_DATABASE,
	COL_PHASE,
	COL_MODEL,
	COL_DONE,
	COL_TOTAL,
	COL_NEXT_DUE,
	COL_TRANSITIONS,
	COL_LAST_PASS_AT,
	COL_LAST_ERROR,
	COL_LAST_ERROR_AT,
	COL_STARTED_AT,
	COL_ROUND_BEGAN,
	NCOLUMNS
};

static const char *const phase_names[] = {
	[LS_PHASE_OFF] = "off",
	[LS_PHASE_WATCHING] = "watching",
	[LS_PHASE_NEW] = "new",
	[LS_PHASE_STARTING] = "starting",
	[LS_PHASE_WAITING] = "waiting",
	[LS_PHASE_ABSENT] = "absent",
	[LS_PHASE_OUTDATED] = "outdated",
	[LS_PHASE_FAILED] = "failed",
	[LS_PHASE_LOOKING] = "looking",
	[LS_PHASE_SCORING] = "scoring",
	[LS_PHASE_DAYS] = "days",
	[LS_PHASE_DELIVERING] = "delivering",
	[LS_PHASE_PURGING] = "purging",
	[LS_PHASE_NAPPING] = "napping"
};

/* put fills in a column, unless it is NULL. */
static void
put(Datum *values, bool *nulls, int column, bool known, Datum value)
{
	values[column] = value;
	nulls[column] = !known;
}

static void
put_time(Datum *values, bool *nulls, int column, TimestampTz t)
{
	put(values, nulls, column, t != 0 && !TIMESTAMP_NOT_FINITE(t),
		TimestampTzGetDatum(t));
}

static void
start_row(Datum *values, bool *nulls)
{
	memset(values, 0, sizeof(Datum) * NCOLUMNS);
	memset(nulls, true, sizeof(bool) * NCOLUMNS);
}

static void
put_launcher(ReturnSetInfo *rsinfo, const LsSharedState *state)
{
	Datum		values[NCOLUMNS];
	bool		nulls[NCOLUMNS];

	start_row(values, nulls);
	put(values, nulls, COL_ROLE, true, CStringGetTextDatum("launcher"));
	put(values, nulls, COL_PID, true, Int32GetDatum(state->launcher_pid));
	put(values, nulls, COL_PHASE, true,
		CStringGetTextDatum(phase_names[state->launcher_phase]));
	put_time(values, nulls, COL_STARTED_AT, state->launcher_started_at);
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

/* may_see tells whether the caller may see a model of this database. */
static bool
may_see(const char *model)
{
	LsModelRow *row = ls_lead_model(model, NULL);

	return row != NULL && ls_rights_may_manage_model(row, GetUserId());
}

/*
 * readable converts a message that may come from a database with another encoding:
 * where it is invalid in ours, non-ASCII characters are lost.
 */
static char *
readable(char *message)
{
	if (!pg_verifymbstr(message, strlen(message), true))
		for (char *c = message; *c; c++)
			if (IS_HIGHBIT_SET(*c))
				*c = '?';
	return message;
}

/*
 * put_slot shows a database.  Callers without the privileges of pg_monitor see nothing
 * but the name of other databases, no models but their own, and no messages, which may
 * quote data of tables.
 */
static void
put_slot(ReturnSetInfo *rsinfo, LsWorkerSlot *slot, bool all)
{
	char	   *name = get_database_name(slot->database);
	bool		details = all || slot->database == MyDatabaseId;
	Datum		values[NCOLUMNS];
	bool		nulls[NCOLUMNS];

	if (name == NULL)
		return;					/* the database was just dropped */
	start_row(values, nulls);
	put(values, nulls, COL_ROLE, true,
		CStringGetTextDatum(slot->pid ? "worker" : "database"));
	put(values, nulls, COL_PID, slot->pid != 0, Int32GetDatum(slot->pid));
	put(values, nulls, COL_DATABASE, true, CStringGetTextDatum(name));
	if (details)
	{
		put(values, nulls, COL_PHASE, true, CStringGetTextDatum(phase_names[slot->phase]));
		put(values, nulls, COL_MODEL, slot->model[0] != '\0' && (all || may_see(slot->model)),
			CStringGetTextDatum(slot->model));
		put(values, nulls, COL_DONE, slot->phase == LS_PHASE_SCORING,
			Int64GetDatum(slot->done));
		put(values, nulls, COL_TOTAL, slot->total > 0, Int64GetDatum(slot->total));
		put_time(values, nulls, COL_NEXT_DUE, slot->next_due);
		put(values, nulls, COL_TRANSITIONS, slot->last_pass_at != 0,
			Float8GetDatum(ls_shared_slot_per_minute(slot)));
		put_time(values, nulls, COL_LAST_PASS_AT, slot->last_pass_at);
		put(values, nulls, COL_LAST_ERROR, all && slot->last_error_at != 0,
			CStringGetTextDatum(readable(slot->last_error)));
		put_time(values, nulls, COL_LAST_ERROR_AT, slot->last_error_at);
		put_time(values, nulls, COL_STARTED_AT, slot->started_at);
		if (slot->pid != 0 &&
			GetCurrentTimestamp() - slot->round_began > (int64) ls_setting_naptime * 1000)
			put_time(values, nulls, COL_ROUND_BEGAN, slot->round_began);
	}
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

/* ls_activity is leadscore_internal.activity(), the function of the view activity. */
Datum
ls_activity(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	bool		all = has_privs_of_role(GetUserId(), ROLE_PG_MONITOR) ||
		has_privs_of_role(GetUserId(), ls_extension_owner());
	LsSharedState *copy;

	InitMaterializedSRF(fcinfo, 0);
	if (ls_shared_state == NULL)
		PG_RETURN_NULL();
	/* names are looked up without the lock */
	copy = ls_shared_state_copy();
	if (copy->launcher_pid != 0)
		put_launcher(rsinfo, copy);
	for (int i = 0; i < copy->nslots; i++)
		if (OidIsValid(copy->slots[i].database))
			put_slot(rsinfo, &copy->slots[i], all);
	PG_RETURN_NULL();
}
