/*-------------------------------------------------------------------------
 *
 * batch.c
 *		Contacts changed one after the other.
 *
 * Recomputing, refreshing, merging what is pending and what time changes all use this
 * loop: a source of contacts in the order of their key, as all sessions lock them; a
 * change; memory that is freed after each; an end before the next contact when a time
 * slice is over.  Contacts that may fail one by one are changed in subtransactions.
 *
 *-------------------------------------------------------------------------
 */
#include "counting/batch.h"

#include "access/xact.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "base/transaction.h"
#include "tables/rule_error.h"

/* One contact of a batch, for ls_subtransaction_run() */
typedef struct One
{
	LsBatch    *batch;
	Datum		contact;
} One;

/* change changes a contact, and counts it if its row has changed. */
static void
change(LsBatch *batch, LsScoreWriter *writer, Datum contact)
{
	batch->changed += batch->change(batch, writer, contact) == LS_CHANGED;
}

static void
change_one(void *arg)
{
	One		   *one = arg;
	LsScoreWriter *writer = ls_score_writer_open(one->batch->model, one->batch->cause);

	change(one->batch, writer, one->contact);
	one->batch->transitions += ls_score_writer_transitions(writer);
	ls_score_writer_close(writer);
}

/*
 * change_alone changes a contact in a subtransaction of its own, so that an error of
 * one contact does not stop the others.
 */
static void
change_alone(LsBatch *batch, Datum contact)
{
	One			one = {batch, contact};
	ErrorData  *error = ls_subtransaction_run(change_one, &one);

	if (error == NULL)
		return;
	/* a cancelled process does not go on; a locked table is not the contact's fault */
	if (error->sqlerrcode == ERRCODE_QUERY_CANCELED ||
		error->sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE)
		ReThrowError(error);
	batch->failed(batch, contact, error);
}

/* ls_batch_run changes all contacts of a batch. */
void
ls_batch_run(LsBatch *batch)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "leadscore contact",
												  ALLOCSET_DEFAULT_SIZES);
	LsScoreWriter *writer = NULL;
	Datum		contact;

	CommandCounterIncrement();
	PushActiveSnapshot(GetLatestSnapshot());
	if (batch->failed == NULL)
		writer = ls_score_writer_open(batch->model, batch->cause);
	if (batch->spec.model)
		batch->reader = ls_reader_open(&batch->spec);
	batch->caller = CurrentMemoryContext;
	while (!batch->over)
	{
		bool		found;

		MemoryContextSwitchTo(batch->reader ? context : batch->caller);
		found = batch->reader ? ls_reader_next(batch->reader, &contact) : batch->next(batch, &contact);
		if (!found)
			break;
		batch->cut = batch->done > 0 && ls_slice_over(&batch->slice);
		if (batch->cut)
			break;
		batch->done++;
		MemoryContextSwitchTo(context);
		if (writer)
			change(batch, writer, contact);
		else
			change_alone(batch, contact);
		MemoryContextReset(context);
	}
	MemoryContextSwitchTo(batch->caller);
	if (batch->reader)
		ls_reader_close(batch->reader);
	if (writer)
	{
		batch->transitions += ls_score_writer_transitions(writer);
		ls_score_writer_close(writer);
	}
	PopActiveSnapshot();
	MemoryContextDelete(context);
	ls_rule_error_report(batch->model);
}
