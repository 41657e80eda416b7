/*-------------------------------------------------------------------------
 *
 * model_change.c
 *		Models whose meaning this transaction has changed.
 *
 * Their stored rows are brought up to date before it commits.  Changed rules are
 * backfilled then as well, once for all statements that changed some, or earlier when
 * a statement reads scores, calls a function that may, or writes events.  The tables
 * that they are computed from are locked from the first statement on.
 *
 *-------------------------------------------------------------------------
 */
#include "definitions/model_change.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "definitions/locks.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/plancache.h"

#include "base/sql.h"
#include "base/transaction.h"
#include "definitions/extension.h"
#include "definitions/lead_tables.h"

/*
 * A step that was deferred, or one that was done: the last one of a model holds.  So
 * what was done in a subtransaction that aborts has to be done again.
 */
typedef struct Step
{
	SubTransactionId subid;
	bool		done;
	LsBackfill	what;
} Step;

static LsTransactionList refreshes; /* of Step: stored rows to be brought up to date */
static LsTransactionList counts;	/* of Step: rules or contacts to be backfilled */

/* last_step finds the last step of a model, or NULL. */
static Step *
last_step(const LsTransactionList *steps, const char *model)
{
	for (int i = list_length(steps->members) - 1; i >= 0; i--)
	{
		Step	   *step = list_nth(steps->members, i);

		if (strcmp(step->what.model, model) == 0)
			return step;
	}
	return NULL;
}

/* add_step records a step for a model, to be done or done. */
static Step *
add_step(LsTransactionList *steps, const char *model, bool done)
{
	Step	   *step = last_step(steps, model);

	if (step && step->done == done)
		return step;
	step = MemoryContextAllocZero(TopTransactionContext, sizeof(Step));
	step->what.model = MemoryContextStrdup(TopTransactionContext, model);
	step->done = done;
	ls_transaction_list_add(steps, step);
	return step;
}

/* undone gives the steps that are to be done (of LsBackfill). */
static List *
undone(const LsTransactionList *steps)
{
	List	   *result = NIL;
	ListCell   *lc;

	foreach(lc, steps->members)
	{
		Step	   *step = lfirst(lc);

		if (!step->done && last_step(steps, step->what.model) == step)
			result = lappend(result, &step->what);
	}
	return result;
}

/*
 * ls_model_change_version gives a model a new version and tells every session's
 * cache of it.
 */
void
ls_model_change_version(const char *model)
{
	static const char *sql =
		"UPDATE leadscore_internal.lead_model"
		" SET rules_version = pg_catalog.nextval('leadscore_internal.version_seq')"
		" WHERE model OPERATOR(pg_catalog.=) $1";
	Oid			table = ls_lead_score_table(model, true);
	LsSqlArguments args = {0};
	const char *visitors;

	ls_sql_add_text(&args, model);
	ls_extension_execute(sql, &args);
	if (OidIsValid(table))
		CacheInvalidateRelcacheByRelid(table);
	visitors = ls_lead_visitors_model(model);
	if (visitors)
		ls_model_change_version(visitors);
}

/*
 * ls_model_change_record gives a model a new version, and records that its stored
 * rows have to be brought up to date before the transaction commits, or by a job.
 */
void
ls_model_change_record(const char *model)
{
	const char *visitors = ls_lead_visitors_model(model);

	ls_model_change_version(model);
	(void) add_step(&refreshes, model, false);
	if (visitors)
		(void) add_step(&refreshes, visitors, false);
}

/* ls_model_change_refreshed records that the rows of a model have been refreshed. */
void
ls_model_change_refreshed(const char *model)
{
	(void) add_step(&refreshes, model, true);
}

/* ls_model_change_stale gives the models whose stored rows may not be up to date. */
List *
ls_model_change_stale(void)
{
	List	   *models = NIL;
	ListCell   *lc;

	foreach(lc, undone(&refreshes))
		models = lappend(models, unconstify(char *, ((LsBackfill *) lfirst(lc))->model));
	return models;
}

/* ---------- what is to be backfilled ---------- */

/*
 * ls_model_change_backfill defers a backfill of a model.  Statements of this session
 * that were planned before are planned again, when the planner hook runs the backfill
 * (definition_hooks.c).  by_user: the caller changes the model itself, and gets an
 * error where it cannot be backfilled.
 */
void
ls_model_change_backfill(const char *model, bool all, bool by_user)
{
	Step	   *step = last_step(&counts, model);

	if (step == NULL || step->done)
		ResetPlanCache();
	step = add_step(&counts, model, false);
	step->what.all |= all;
	step->what.by_user |= by_user;
}

/* ls_model_change_waits tells whether a model is to be backfilled. */
bool
ls_model_change_waits(void)
{
	return counts.members != NIL && undone(&counts) != NIL;
}

static int
by_rank(const ListCell *a, const ListCell *b)
{
	uint64		x = ls_lock_rank(((LsBackfill *) lfirst(a))->model);
	uint64		y = ls_lock_rank(((LsBackfill *) lfirst(b))->model);

	return (x > y) - (x < y);
}

/*
 * ls_model_change_take gives the deferred backfills (of LsBackfill), in the order in
 * which models are locked, and records them as done.
 */
List *
ls_model_change_take(void)
{
	List	   *models = undone(&counts);
	ListCell   *lc;

	foreach(lc, models)
	{
		const char *model = ((LsBackfill *) lfirst(lc))->model;

		(void) add_step(&counts, model, true);
		if (!OidIsValid(ls_lead_score_table(model, true)))
			models = foreach_delete_current(models, lc);
	}
	list_sort(models, by_rank);
	return models;
}
