/*-------------------------------------------------------------------------
 *
 * fold.c
 *		What is pending, folded into the rows of score_<model>.
 *
 * Contacts come in the order of their key, as everybody locks them.  All that is
 * pending of one when its row is locked is folded in at once, so that a hot
 * contact costs one new version of its row, however many wrote.
 *
 *-------------------------------------------------------------------------
 */
#include "fold.h"

#include "access/xact.h"
#include "storage/lmgr.h"
#include "utils/datum.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "leadscore.h"
#include "pending.h"
#include "recount.h"
#include "store.h"

LsFold *
ls_fold_begin(const char *model)
{
	LsFold	   *fold = palloc0(sizeof(LsFold));

	fold->model = pstrdup(model);
	return fold;
}

/* stop_at notes where the next batch begins. */
static void
stop_at(LsFold *fold, const LsModel *model, Datum contact)
{
	MemoryContext old = MemoryContextSwitchTo(GetMemoryChunkContext(fold));

	if (fold->has_place && !model->key.typbyval)
		pfree(DatumGetPointer(fold->place));
	fold->place = datumCopy(contact, model->key.typbyval, model->key.typlen);
	fold->has_place = true;
	MemoryContextSwitchTo(old);
}

static void
fold_contacts(LsFold *fold, LsModel *model, Datum *contacts, int n, bool skip_locked)
{
	LsStore    *store = ls_store_open(model, "event", ls_count_contact, ls_count_profile);

	for (int i = 0; i < n; i++)
	{
		LsChange	change = {0};
		LsOutcome	outcome;

		change.contact = contacts[i];
		change.fold = true;
		change.skip_locked = skip_locked;
		change.only_if_changed = true;
		outcome = ls_store_change(store, &change);
		fold->done++;
		fold->changed += outcome == LS_CHANGED;
		fold->skipped += outcome == LS_SKIPPED;
	}
	fold->transitions += ls_store_transitions(store);
	ls_store_close(store);
	ls_rules_report(model);
}

/*
 * ls_fold_batch folds in what is pending of the next contacts, at most limit, in
 * the transaction that the caller has begun.  How many there were; 0 at the
 * end, or where the model is locked by somebody who changes it.
 */
int
ls_fold_batch(LsFold *fold, int limit, bool skip_locked)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext,
												  "leadscore fold",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	Oid			table = ls_score_table(fold->model, true);
	LsModel    *model = NULL;
	int			n = 0;

	CommandCounterIncrement();
	PushActiveSnapshot(GetLatestSnapshot());
	if (OidIsValid(table) &&
		(!skip_locked || ConditionalLockRelationOid(table, RowExclusiveLock)))
		model = ls_model_acquire_to_write(fold->model);
	if (model && model->enabled)
	{
		Datum	   *contacts = palloc(sizeof(Datum) * limit);

		n = ls_pending_contacts(model, fold->has_place ? &fold->place : NULL, limit, contacts);
		if (n > 0)
		{
			stop_at(fold, model, contacts[n - 1]);
			fold_contacts(fold, model, contacts, n, skip_locked);
		}
	}
	if (model)
		ls_model_release(model);
	PopActiveSnapshot();
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
	return n;
}

/* ls_fold_all folds in all that is pending, and gives the number of changes. */
int64
ls_fold_all(const char *model)
{
	LsFold	   *fold = ls_fold_begin(model);

	while (ls_fold_batch(fold, 1000, false) > 0)
		;
	return fold->changed;
}
