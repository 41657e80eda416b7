/*-------------------------------------------------------------------------
 *
 * model_cache.c
 *		The session's cache of compiled models.
 *
 * A compiled model is kept under its name and rules version.  Versions come from a
 * sequence, so one is never another's; a reader gets the version that its snapshot
 * sees, a writer the newest.  What else a compiled model depends on (the tables'
 * columns, the functions in expressions) makes it stale: an invalidation of any of
 * its relations sets a flag, and the next to ask for the model compiles it again.  A
 * model in use is never freed: uses are counted.
 *
 *-------------------------------------------------------------------------
 */
#include "rules/model_compile.h"

#include "executor/spi.h"
#include "storage/lmgr.h"
#include "utils/memutils.h"


static List *cache = NIL;		/* of LsModel, in CacheMemoryContext */

/*
 * Relations invalidated while a model is being loaded, which may have been read
 * before or after the change.  Too many to record means all.
 */
#define MAX_INVALIDATED 32
static int	loading = 0;
static int	ninvalidated = 0;
static Oid	invalidated[MAX_INVALIDATED];

static bool
expressions_valid(LsModel *model)
{
	for (int i = 0; i < model->nrules; i++)
	{
		LsExpr	  **exprs = model->rules[i].exprs;

		for (int j = 0; j < LS_RULE_NTEXTS; j++)
			if (exprs[j] && !ls_expr_valid(exprs[j]))
				return false;
	}
	for (int i = 0; i < model->nstages; i++)
		if (model->stages[i].condition &&
			!ls_expr_valid(model->stages[i].condition))
			return false;
	return true;
}

static void
free_plan(struct _SPI_plan *plan)
{
	if (plan)
		SPI_freeplan(plan);
}

static void
free_expr(LsExpr *expr)
{
	if (expr)
		ls_expr_free(expr);
}

static void
free_model(LsModel *model)
{
	for (int i = 0; i < model->nrules; i++)
	{
		for (int j = 0; j < LS_RULE_NTEXTS; j++)
			free_expr(model->rules[i].exprs[j]);
	}
	for (int i = 0; i < model->nstages; i++)
		free_expr(model->stages[i].condition);
	for (int i = 0; i < model->nsources; i++)
	{
		free_expr(model->sources[i].contact);
		free_expr(model->sources[i].event);
		free_plan(model->sources[i].by_contact);
		free_plan(model->sources[i].by_visitor);
	}
	free_expr(model->contact_key);
	free_plan(model->contact_by_key);
	MemoryContextDelete(model->context);
}

static void
sweep(void)
{
	ListCell   *lc;

	foreach(lc, cache)
	{
		LsModel    *model = lfirst(lc);

		if (model->stale && model->refcount == 0 && model->pins == 0)
		{
			cache = foreach_delete_current(cache, lc);
			free_model(model);
		}
	}
}

/* depends_on tells whether a model was compiled from a relation. */
static bool
depends_on(LsModel *model, Oid relation)
{
	if (relation == InvalidOid || relation == model->score_table ||
		relation == model->contacts || relation == model->due_table ||
		relation == model->pending_table || relation == model->profile_table ||
		relation == model->purged_table || relation == model->merged_table ||
		relation == model->identity_table)
		return true;
	for (int i = 0; i < model->nsources; i++)
		if (model->sources[i].relation == relation)
			return true;
	return false;
}

/* load_recording loads a model, while invalidations are recorded. */
static LsModel *
load_recording(const char *name, Snapshot snapshot, bool lazily)
{
	LsModel    *model = NULL;

	loading++;
	PG_TRY();
	{
		model = lazily ? ls_model_load_lazily(name, snapshot) : ls_model_load(name, snapshot);
	}
	PG_FINALLY();
	{
		loading--;
	}
	PG_END_TRY();
	return model;
}

/*
 * load_current loads a model, and again if one of its relations changed meanwhile: an
 * invalidation that comes while loading must not be lost.
 */
static LsModel *
load_current(const char *name, Snapshot snapshot, bool lazily)
{
	for (int attempt = 0;; attempt++)
	{
		LsModel    *model;
		bool		changed;

		if (loading == 0)
			ninvalidated = 0;
		model = load_recording(name, snapshot, lazily);
		changed = ninvalidated > MAX_INVALIDATED;
		for (int i = 0; model && i < ninvalidated && !changed; i++)
			changed = depends_on(model, invalidated[i]);
		if (model == NULL || !changed || attempt == 8)
			return model;
		free_model(model);
	}
}

/*
 * acquire gives the compiled model that a snapshot sees.  If it is loaded now, lazily
 * has rules wait; one of the cache may have such rules in any case.
 */
static LsModel *
acquire(const char *name, Snapshot snapshot, bool lazily)
{
	LsModelRow *row = ls_lead_model(name, snapshot);
	LsModel    *model;
	MemoryContext old;
	ListCell   *lc;

	if (row == NULL)
		return NULL;
	foreach(lc, cache)
	{
		model = lfirst(lc);
		if (model->stale || strcmp(model->name, name) != 0 ||
			model->version != row->rules_version)
			continue;
		if (!expressions_valid(model) || ls_rule_failure_fault_over(model))
		{
			model->stale = true;
			continue;
		}
		model->refcount++;
		return model;
	}
	sweep();

	model = load_current(name, snapshot, lazily);
	if (model == NULL)
		return NULL;
	MemoryContextSetParent(model->context, CacheMemoryContext);
	old = MemoryContextSwitchTo(CacheMemoryContext);
	cache = lappend(cache, model);
	MemoryContextSwitchTo(old);
	model->refcount++;
	return model;
}

/*
 * ls_model_acquire gives the compiled model that a snapshot sees, NULL being the
 * newest; NULL if there is none of the name.  The caller releases it.  All of its rules
 * are compiled: what changes in the midst of that makes it stale.
 */
LsModel *
ls_model_acquire(const char *name, Snapshot snapshot)
{
	for (int attempt = 0;; attempt++)
	{
		LsModel    *model = acquire(name, snapshot, false);

		if (model == NULL || model->nuncompiled == 0)
			return model;
		ls_rule_compile_rest(model);
		if (!model->stale || attempt == 8)
			return model;
		ls_model_release(model);
	}
}

/*
 * ls_model_acquire_lazily gives the newest model, some of whose rules may not be
 * compiled until an event reaches them.
 */
LsModel *
ls_model_acquire_lazily(const char *name)
{
	return acquire(name, NULL, true);
}

/*
 * ls_model_acquire_to_write gives the newest model to a caller that will write its
 * scores.  The score table is locked first: a transaction that changes the rules
 * holds a stronger lock until it commits, and old rules must not be applied to states
 * of the new ones.
 */
LsModel *
ls_model_acquire_to_write(const char *name)
{
	Oid			table = ls_lead_score_table(name, true);

	if (!OidIsValid(table))
		return NULL;
	LockRelationOid(table, RowExclusiveLock);
	return ls_model_acquire(name, NULL);
}

/*
 * ls_model_to_change gives the newest model to a function that was called for it by
 * name: it must exist, and be enabled where enabled is true.
 */
LsModel *
ls_model_to_change(const char *name, bool enabled)
{
	LsModel    *model = ls_model_acquire_to_write(name);

	if (model == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("model \"%s\" does not exist", name)));
	if (enabled)
		ls_rule_failure_refuse_suspended(model);
	if (enabled && !model->enabled)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("model \"%s\" is not enabled", model->name)));
	return model;
}

/* ls_model_release ends a use; a model that was loaded, not acquired, ends. */
void
ls_model_release(LsModel *model)
{
	if (list_member_ptr(cache, model))
		model->refcount--;
	else
		free_model(model);
}

/*
 * ls_model_cache_forget marks models that depend on a relation as stale; it reads no
 * catalog.
 */
void
ls_model_cache_forget(Oid relation)
{
	ListCell   *lc;

	if (loading > 0 && (ninvalidated >= MAX_INVALIDATED || relation == InvalidOid))
		ninvalidated = MAX_INVALIDATED + 1;
	else if (loading > 0)
		invalidated[ninvalidated++] = relation;
	foreach(lc, cache)
	{
		LsModel    *model = lfirst(lc);

		if (depends_on(model, relation))
			model->stale = true;
	}
}

/* ls_model_cache_forget_rights marks models as stale when roles or schemas change. */
void
ls_model_cache_forget_rights(bool schemas)
{
	ListCell   *lc;

	if (loading > 0)
		ninvalidated = MAX_INVALIDATED + 1;
	foreach(lc, cache)
		((LsModel *) lfirst(lc))->stale |= schemas || ((LsModel *) lfirst(lc))->by_roles;
}

/* has_broken tells whether something of a model might be read with other privileges. */
static bool
has_broken(const LsModel *model)
{
	for (int i = 0; i < model->nrules; i++)
		if (model->rules[i].broken)
			return true;
	for (int i = 0; i < model->nstages; i++)
		if (model->stages[i].broken)
			return true;
	return false;
}

/*
 * ls_model_cache_forget_reach marks models as stale that reach functions or types of
 * users, which have changed or may not run any more; it reads no catalog.
 */
void
ls_model_cache_forget_reach(void)
{
	ListCell   *lc;

	if (loading > 0)
		ninvalidated = MAX_INVALIDATED + 1;
	foreach(lc, cache)
	{
		LsModel    *model = lfirst(lc);

		if (model->suspended || model->reach.functions != NIL || model->reach.types != NIL ||
			has_broken(model))
			model->stale = true;
	}
}

/*
 * ls_model_cache_end_transaction drops the uses that an error left behind, and
 * failures that were never reported.
 */
void
ls_model_cache_end_transaction(void)
{
	ListCell   *lc;

	loading = 0;
	foreach(lc, cache)
	{
		LsModel    *model = lfirst(lc);

		model->refcount = 0;
		if (model->nfailing == 0)
			continue;
		for (int i = 0; i < model->nrules; i++)
			model->rules[i].failures.number = 0;
		for (int i = 0; i < model->nstages; i++)
			model->stages[i].failures.number = 0;
		for (int i = 0; i < model->nsources; i++)
			model->sources[i].failures.number = 0;
		model->key_failures.number = 0;
		model->nfailing = 0;
	}
}
