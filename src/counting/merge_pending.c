/*-------------------------------------------------------------------------
 *
 * merge_pending.c
 *		What is pending, folded into the rows of score_<model>.
 *
 * Contacts come in the order of their key, as everybody locks them.  All that is
 * pending of one when its row is locked is folded in at once, so that a hot
 * contact costs one new version of its row, however many wrote.
 *
 *-------------------------------------------------------------------------
 */
#include "counting/merge_pending.h"

#include "access/xact.h"
#include "storage/lmgr.h"
#include "utils/datum.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "base/statement.h"
#include "base/transaction.h"
#include "tables/pending_table.h"
#include "tables/rule_error.h"
#include "tables/score_writer.h"
#include "tables/worker_error.h"

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

/* Contacts that are folded together */
typedef struct Some
{
	LsFold	   *fold;
	LsModel    *model;
	Datum	   *contacts;
	int			n;
	bool		skip_locked;
} Some;

/* is_cut ends a batch before its contact number i, where it has taken long enough. */
static bool
is_cut(Some *some, int i)
{
	if (i == 0 || !ls_slice_over(&some->fold->slice))
		return false;
	some->n = i;
	return true;
}

/* fold_some folds in what is pending of some contacts, as far as the fold knows of it. */
static void
fold_some(void *arg)
{
	Some	   *some = arg;
	LsFold	   *fold = some->fold;
	LsScoreWriter *writer = ls_score_writer_open(some->model, "event");

	for (int i = 0; i < some->n && !is_cut(some, i); i++)
	{
		LsChange	change = {.kind = LS_CHANGE_PENDING, .contact = some->contacts[i],
		.skip_locked = some->skip_locked, .data.pending.state_only = fold->state_only};
		LsOutcome	outcome;

		outcome = ls_score_writer_change(writer, &change);
		fold->done++;
		fold->changed += outcome == LS_CHANGED;
		fold->skipped += outcome == LS_SKIPPED;
	}
	fold->transitions += ls_score_writer_transitions(writer);
	ls_score_writer_close(writer);
}

/*
 * fold_alone folds each in a subtransaction of its own, so that one which fails
 * does not hold up the others.  What is pending of it stays, and is tried again
 * after a while.
 */
static void
fold_alone(Some *all)
{
	for (int i = 0; i < all->n && !is_cut(all, i); i++)
	{
		Some		one = *all;
		ErrorData  *error;

		if (ls_worker_error_waits(all->model, all->contacts[i]))
			continue;
		one.contacts = &all->contacts[i];
		one.n = 1;
		error = ls_subtransaction_run(fold_some, &one);
		if (error == NULL)
			continue;
		if (error->sqlerrcode == ERRCODE_QUERY_CANCELED ||
			error->sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE)
			ReThrowError(error);
		(void) ls_worker_error_record_contact(all->model, all->contacts[i],
											  error->sqlerrcode, error->message);
	}
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
	Oid			table = ls_pending_none(fold->model) ? InvalidOid :
		ls_score_table(fold->model, true);
	LsModel    *model = NULL;
	int			n = 0;

	CommandCounterIncrement();
	PushActiveSnapshot(GetLatestSnapshot());
	if (OidIsValid(table) &&
		(!skip_locked || ConditionalLockRelationOid(table, RowExclusiveLock)))
		model = ls_model_acquire_to_write(fold->model);
	if (model && model->enabled && !model->fault)
	{
		Datum	   *contacts = palloc(sizeof(Datum) * limit);
		Some		some = {fold, model, contacts, 0, skip_locked};

		some.n = n = ls_pending_contacts(model, fold->has_place ? &fold->place : NULL, limit, contacts);
		if (n > 0)
		{
			if (fold->one_by_one)
				fold_alone(&some);
			else
				fold_some(&some);
			n = some.n;
			stop_at(fold, model, contacts[n - 1]);
			ls_rule_error_report(model);
		}
	}
	if (model)
		ls_model_release(model);
	PopActiveSnapshot();
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
	return n;
}

/*
 * ls_fold_all folds in all that is pending, and gives the number of changes.  In
 * the midst of a statement nothing is: a contact might be counted with rows that
 * are still to be added.  state_only is for who counts rules after that: scores
 * without them, and stages that follow from such scores, are nobody's.
 */
int64
ls_fold_all(const char *model, bool state_only)
{
	int64		changed = 0;
	LsFold	   *fold;

	if (ls_statement_under_way())
		return 0;
	/* what is pending of contacts that were merged becomes their targets' */
	for (int i = 0; i < 3; i++)
	{
		fold = ls_fold_begin(model);
		fold->state_only = state_only;
		while (ls_fold_batch(fold, 1000, false) > 0)
			;
		changed += fold->changed;
		if (fold->done == 0)
			break;
	}
	return changed;
}
