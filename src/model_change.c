/*-------------------------------------------------------------------------
 *
 * model_change.c
 *		Models whose meaning this transaction has changed.
 *
 * Their stored rows are brought up to date before it commits.
 *
 *-------------------------------------------------------------------------
 */
#include "model_change.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/memutils.h"

#include "catalog.h"
#include "feed.h"
#include "leadscore.h"

static List *changed_models = NIL;	/* of char *, in TopTransactionContext */
static List *refreshed_models = NIL;

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
	LsArguments args = {0};
	const char *visitors;
	LsIdentity	saved;

	ls_add_text(&args, model);
	ls_become(ls_extension_owner(), &saved);
	(void) ls_execute(sql, &args);
	ls_return(&saved);
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
	changed_models = NIL;
	refreshed_models = NIL;
}
