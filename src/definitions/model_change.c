/*-------------------------------------------------------------------------
 *
 * model_change.c
 *		Models whose meaning this transaction has changed.
 *
 * Their stored rows are brought up to date before it commits.  Rules that match
 * something else by now are counted then as well, once for all statements that changed
 * some, or earlier where somebody looks at what they give: a statement that reads
 * scores, or calls a function that may, or writes events.  The tables that they are
 * counted from are locked from the first statement on.
 *
 *-------------------------------------------------------------------------
 */
#include "definitions/model_change.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/plancache.h"

#include "base/sql.h"
#include "definitions/catalog.h"
#include "definitions/extension.h"

static List *changed_models = NIL;	/* of char *, in TopTransactionContext */
static List *refreshed_models = NIL;

/* A model that is to be counted */
typedef struct Waiting
{
	char	   *model;
	bool		all;			/* every contact, not only what rules wait for */
	bool		by_user;		/* it fails where that cannot be done */
	SubTransactionId asked;		/* in which it was asked for */
	SubTransactionId taken;		/* in which it was done; invalid: not yet */
} Waiting;

static List *waiting = NIL;		/* of Waiting, in TopTransactionContext */

static bool
remember(List **models, const char *model)
{
	MemoryContext old;
	ListCell   *lc;

	foreach(lc, *models)
		if (strcmp(lfirst(lc), model) == 0)
			return false;
	old = MemoryContextSwitchTo(TopTransactionContext);
	*models = lappend(*models, pstrdup(model));
	MemoryContextSwitchTo(old);
	return true;
}

/*
 * ls_model_new_version gives a model a new version and tells every session's
 * cache of it.
 */
void
ls_model_new_version(const char *model)
{
	static const char *sql =
		"UPDATE leadscore_internal.lead_model"
		" SET rules_version = pg_catalog.nextval('leadscore_internal.version_seq')"
		" WHERE model OPERATOR(pg_catalog.=) $1";
	Oid			table = ls_score_table(model, true);
	LsSqlArguments args = {0};
	const char *visitors;

	ls_sql_add_text(&args, model);
	ls_extension_execute(sql, &args);
	if (OidIsValid(table))
		CacheInvalidateRelcacheByRelid(table);
	visitors = ls_visitors_model(model);
	if (visitors)
		ls_model_new_version(visitors);
}

/*
 * ls_model_changed does so where stored rows have to be brought up to date
 * before the transaction commits, or by a job.
 */
void
ls_model_changed(const char *model)
{
	const char *visitors = ls_visitors_model(model);

	ls_model_new_version(model);
	remember(&changed_models, model);
	if (visitors)
		remember(&changed_models, visitors);
}

/* ls_model_refreshed notes that the rows of a model have been brought up to date. */
void
ls_model_refreshed(const char *model)
{
	ListCell   *lc;

	foreach(lc, changed_models)
		if (strcmp(lfirst(lc), model) == 0)
			changed_models = foreach_delete_current(changed_models, lc);
	remember(&refreshed_models, model);
}

/* ls_changed_models are those whose stored rows may not be up to date. */
List *
ls_changed_models(void)
{
	return changed_models;
}

/* ls_changed_models_done notes that they are. */
void
ls_changed_models_done(void)
{
	ListCell   *lc;

	foreach(lc, changed_models)
		remember(&refreshed_models, lfirst(lc));
	changed_models = NIL;
}

/*
 * ls_changed_models_again is for a subtransaction that aborts: what it brought
 * up to date is not, after all.
 */
void
ls_changed_models_again(void)
{
	ListCell   *lc;

	foreach(lc, refreshed_models)
		remember(&changed_models, lfirst(lc));
	refreshed_models = NIL;
}

/* ls_changed_models_forget: the transaction is over, and its memory gone. */
void
ls_changed_models_forget(void)
{
	waiting = NIL;
	changed_models = NIL;
	refreshed_models = NIL;
}

/* ---------- what is to be counted ---------- */

/*
 * ls_count_later has a model counted later.  Statements of this session that were
 * planned before are planned again, which is where they are looked at
 * (definition_hooks.c).  by_user says that whoever asked changes the model itself: he is
 * told by an error where it cannot be counted.
 */
void
ls_count_later(const char *model, bool all, bool by_user)
{
	MemoryContext old;
	Waiting    *one;
	ListCell   *lc;

	foreach(lc, waiting)
	{
		one = lfirst(lc);
		if (one->taken == InvalidSubTransactionId && strcmp(one->model, model) == 0)
		{
			one->all = one->all || all;
			one->by_user = one->by_user || by_user;
			return;
		}
	}
	old = MemoryContextSwitchTo(TopTransactionContext);
	one = palloc0(sizeof(Waiting));
	one->model = pstrdup(model);
	one->all = all;
	one->by_user = by_user;
	one->asked = GetCurrentSubTransactionId();
	waiting = lappend(waiting, one);
	MemoryContextSwitchTo(old);
	ResetPlanCache();
}

/* ls_count_waits tells whether a model is to be counted. */
bool
ls_count_waits(void)
{
	ListCell   *lc;

	foreach(lc, waiting)
		if (((Waiting *) lfirst(lc))->taken == InvalidSubTransactionId)
			return true;
	return false;
}

static int
by_rank(const ListCell *a, const ListCell *b)
{
	uint64		x = ls_model_rank(((LsToCount *) lfirst(a))->model);
	uint64		y = ls_model_rank(((LsToCount *) lfirst(b))->model);

	return (x > y) - (x < y);
}

/*
 * ls_count_take gives what is to be counted (of LsToCount), in the order in which models
 * are locked, and notes that it is.
 */
List *
ls_count_take(void)
{
	List	   *models = NIL;
	ListCell   *lc;

	foreach(lc, waiting)
	{
		Waiting    *one = lfirst(lc);
		LsToCount  *result;

		if (one->taken != InvalidSubTransactionId)
			continue;
		one->taken = GetCurrentSubTransactionId();
		if (!OidIsValid(ls_score_table(one->model, true)))
			continue;
		result = palloc(sizeof(LsToCount));
		result->model = one->model;
		result->all = one->all;
		result->by_user = one->by_user;
		models = lappend(models, result);
	}
	list_sort(models, by_rank);
	return models;
}

/*
 * ls_count_end_subtransaction forgets what was asked for in a subtransaction that
 * aborts; what was done in it is not, after all.
 */
void
ls_count_end_subtransaction(SubTransactionId mine, SubTransactionId parent, bool committed)
{
	ListCell   *lc;

	foreach(lc, waiting)
	{
		Waiting    *one = lfirst(lc);

		if (one->asked >= mine && !committed)
		{
			waiting = foreach_delete_current(waiting, lc);
			continue;
		}
		if (one->asked >= mine)
			one->asked = parent;
		if (one->taken != InvalidSubTransactionId && one->taken >= mine)
			one->taken = committed ? parent : InvalidSubTransactionId;
	}
}
