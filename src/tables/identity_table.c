/*-------------------------------------------------------------------------
 *
 * identity_table.c
 *		Who is whose: contacts that were merged, visitors that are identified.
 *
 * merged_<model> says for a contact that was merged for whom its rows count;
 * identity_<model> says so for a visitor.  Neither has a row of its own in its
 * score table as long as it does.  In the order in which contacts are locked,
 * the row that says so takes the place of the one that is not there: who has
 * something to bring to such a contact holds it (FOR KEY SHARE) until his
 * transaction ends, and who changes it waits for him.
 *
 * What he brings is not added anywhere: he leaves word in pending_<model> that
 * the contact for whom it counts has to be recomputed.  That locks nothing,
 * so the other's place in the order does not matter.
 *
 *-------------------------------------------------------------------------
 */
#include "tables/identity_table.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "base/leadscore.h"
#include "base/relation.h"
#include "base/user.h"
#include "tables/pending_table.h"
#include "tables/score_table.h"

typedef struct LsAliasPlans
{
	SPIPlanPtr	target;
	SPIPlanPtr	hold;
	SPIPlanPtr	sources;
	SPIPlanPtr	visitors;
	SPIPlanPtr	pending;
} LsAliasPlans;

static LsAliasPlans *
plans_of(LsModel *model)
{
	if (model->aliases == NULL)
		model->aliases = MemoryContextAllocZero(model->context, sizeof(LsAliasPlans));
	return model->aliases;
}

void
ls_alias_free_plans(LsModel *model)
{
	ls_row_free(model->aliases, sizeof(LsAliasPlans));
}

/* ls_alias_merges tells whether contacts of a model may have been merged. */
bool
ls_alias_merges(LsModel *model)
{
	return ls_relation_has_pages(model->merged_table);
}

/* ls_alias_visitors tells whether visitors of a model may have been identified. */
bool
ls_alias_visitors(LsModel *model)
{
	return ls_relation_has_pages(model->identity_table);
}

static const char *
name_of(Oid table)
{
	return psprintf("%s.%s", LEADSCORE_SCHEMA, quote_identifier(get_rel_name(table)));
}

/*
 * ls_alias_place names the row that says for whom a contact, or a visitor where the
 * model is of visitors, counts: "table WHERE column = $1".
 */
char *
ls_alias_place(LsModel *model)
{
	return psprintf("%s WHERE %s %s $1",
					name_of(model->visitors_of ? model->identity_table : model->merged_table),
					model->visitors_of ? "visitor" : "source_id", ls_row_key_operator(model));
}

/* A look-up by one key: its plan, which is kept, and the types of key and result */
typedef struct LookUp
{
	SPIPlanPtr *plan;
	const char *sql;
	Oid			key;
	Oid			result;
} LookUp;

/*
 * look_up runs a plan of one argument, whose text is prepared when it is first
 * needed, and gives the values of its only column in the caller's context.
 */
static Datum *
look_up(LsModel *model, const LookUp *what, Datum value, Snapshot snapshot, int *n)
{
	MemoryContext caller = CurrentMemoryContext;
	Oid			type = what->key;
	Datum	   *values;
	LsUser	saved;

	ls_user_switch_to_owner(ls_relation_owner(model->score_table), &saved);
	SPI_connect();
	(void) ls_row_plan(what->plan, what->sql, 1, &type);
	if (snapshot)
		(void) ls_row_run(*what->plan, &value, NULL, 1, snapshot);
	else if (SPI_execute_plan(*what->plan, &value, NULL, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not run \"%s\"", what->sql);
	if (SPI_tuptable == NULL ||
		TupleDescAttr(SPI_tuptable->tupdesc, 0)->atttypid != what->result)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("tables of model \"%s\" do not have the columns that leadscore gave them",
						model->name),
				 errhint("Undo what was done to them, or drop the model.")));
	*n = SPI_processed;
	values = MemoryContextAlloc(caller, sizeof(Datum) * Max(1, *n));
	MemoryContextSwitchTo(caller);
	for (int i = 0; i < *n; i++)
	{
		Form_pg_attribute att = TupleDescAttr(SPI_tuptable->tupdesc, 0);
		bool		isnull;

		values[i] = datumCopy(SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc,
											1, &isnull),
							  att->attbyval, att->attlen);
	}
	SPI_finish();
	ls_user_restore(&saved);
	return values;
}

/*
 * ls_alias_find tells for whom the rows of a contact, or of a visitor where the
 * model is of visitors, count.  False: for itself.  A visitor's target is the
 * contact as whom it was identified, who may have been merged himself.
 */
bool
ls_alias_find(LsModel *model, Datum contact, LsAliasLook look, Datum *target)
{
	bool		hold = look == LS_ALIAS_HELD;
	Oid			table = model->visitors_of ? model->identity_table : model->merged_table;
	LookUp		what = {.key = model->key.type};
	Datum	   *found;
	int			n;

	if (!ls_relation_has_pages(table))
		return false;
	what.plan = hold ? &plans_of(model)->hold : &plans_of(model)->target;
	what.sql = psprintf("SELECT %s FROM %s%s", model->visitors_of ? "contact_id" : "target_id",
						ls_alias_place(model), hold ? " FOR KEY SHARE" : "");
	what.result = model->visitors_of ? model->target_type : model->key.type;
	if (look != LS_ALIAS_SEEN)
		PushActiveSnapshot(GetLatestSnapshot());
	found = look_up(model, &what, contact, hold ? GetActiveSnapshot() : NULL, &n);
	if (look != LS_ALIAS_SEEN)
		PopActiveSnapshot();
	if (n > 0)
		*target = found[0];
	return n > 0;
}

/* visitors_of adds the visitors who were identified as one contact. */
static void
visitors_of(LsModel *model, Datum contact, LsAliases *aliases)
{
	LookUp		what = {&plans_of(model)->visitors,
		psprintf("SELECT visitor FROM %s WHERE contact_id %s $1",
				 name_of(model->identity_table), ls_row_key_operator(model)),
	model->key.type, model->visitor_key.type};
	int			n;
	Datum	   *found = look_up(model, &what, contact, NULL, &n);

	if (n == 0)
		return;
	aliases->visitors = aliases->visitors ?
		repalloc(aliases->visitors, sizeof(Datum) * (aliases->nvisitors + n)) :
		palloc(sizeof(Datum) * n);
	memcpy(aliases->visitors + aliases->nvisitors, found, sizeof(Datum) * n);
	aliases->nvisitors += n;
}

/*
 * ls_alias_of tells whose rows count for a contact beside its own, as the active
 * snapshot sees it.
 */
void
ls_alias_of(LsModel *model, Datum contact, LsAliases *aliases)
{
	LookUp		what = {.key = model->key.type, .result = model->key.type};
	Datum		target;

	memset(aliases, 0, sizeof(LsAliases));
	aliases->taken = ls_alias_find(model, contact, LS_ALIAS_SEEN, &target);
	if (aliases->taken || model->visitors_of)
		return;
	if (ls_alias_merges(model))
	{
		what.plan = &plans_of(model)->sources;
		what.sql = psprintf("SELECT source_id FROM %s WHERE target_id %s $1",
							name_of(model->merged_table), ls_row_key_operator(model));
		aliases->sources = look_up(model, &what, contact, NULL, &aliases->nsources);
	}
	if (!ls_alias_visitors(model))
		return;
	visitors_of(model, contact, aliases);
	for (int i = 0; i < aliases->nsources; i++)
		visitors_of(model, aliases->sources[i], aliases);
}

/*
 * ls_alias_mark leaves word that a contact has to be recomputed: something
 * has happened to one whose rows count for it.
 */
void
ls_alias_mark(LsModel *model, Datum target)
{
	LsModel    *owner;

	if (model->visitors_of == NULL)
	{
		ls_pending_add_one(model, target, NULL, false);
		return;
	}
	owner = ls_model_acquire(model->visitors_of, NULL);
	if (owner == NULL)
		return;					/* dropped, with its visitors */
	ls_pending_add_one(owner, target, NULL, false);
	ls_model_release(owner);
}

/* ls_alias_may_be_pending tells, once for all contacts, whether visitors may be concerned. */
bool
ls_alias_may_be_pending(LsModel *model)
{
	return model->visitors_of == NULL && ls_alias_visitors(model) &&
		ls_pending_any_visitors(model);
}

/*
 * ls_alias_pending tells whether the active snapshot sees anything pending of
 * those whose rows count for a contact.
 */
bool
ls_alias_pending(LsModel *model, Datum contact)
{
	LsAliases	aliases;
	LsPending	pending;
	LookUp		what = {.key = model->visitor_key.type, .result = INT4OID};
	int			n = 0;

	if (model->visitors_of || (!ls_alias_merges(model) && !ls_alias_visitors(model)))
		return false;
	ls_alias_of(model, contact, &aliases);
	ls_pending_init(&pending);
	if (aliases.nvisitors > 0)
	{
		what.plan = &plans_of(model)->pending;
		what.sql = psprintf("SELECT 1 FROM %s WHERE contact_id %s $1 LIMIT 1",
							name_of(model->visitors_table),
							ls_row_operator(&model->visitor_key));
	}
	for (int i = 0; i < aliases.nsources && pending.nrows == 0; i++)
		ls_pending_read(model, aliases.sources[i], &pending);
	for (int i = 0; i < aliases.nvisitors && pending.nrows + n == 0 &&
		 ls_pending_any_visitors(model); i++)
		(void) look_up(model, &what, aliases.visitors[i], NULL, &n);
	return pending.nrows + n > 0;
}
