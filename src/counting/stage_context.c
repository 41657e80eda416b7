/*-------------------------------------------------------------------------
 *
 * stage_context.c
 *		What the conditions of stages look at: the contact's row.
 *
 *-------------------------------------------------------------------------
 */
#include "counting/stage_context.h"

#include "access/table.h"
#include "executor/executor.h"
#include "utils/rel.h"

#include "counting/event_reader.h"

/*
 * read_contact fills a slot with a contact's row, or with NULLs where there is
 * none, as the active snapshot sees it.
 */
static void
read_contact(LsModel *model, Datum contact, TupleTableSlot *to)
{
	LsReaderSpec spec = {.model = model, .what = LS_READ_CONTACTS,
	.source = -1, .one = true, .contact = contact};
	LsReader   *reader = ls_reader_open(&spec);
	ExprContext *unused;
	TupleTableSlot *slot;
	Datum		key;

	ExecStoreAllNullTuple(to);
	if (ls_reader_next(reader, &key) &&
		(slot = ls_reader_contact(reader, &unused)) != NULL)
	{
		int			natts = to->tts_tupleDescriptor->natts;

		slot_getallattrs(slot);
		memcpy(to->tts_values, slot->tts_values, sizeof(Datum) * natts);
		memcpy(to->tts_isnull, slot->tts_isnull, sizeof(bool) * natts);
		ExecMaterializeSlot(to);
	}
	ls_reader_close(reader);
}

/* make_slot makes a slot for rows of the contact table. */
static TupleTableSlot *
make_slot(LsModel *model)
{
	Relation	contacts = table_open(model->contacts, AccessShareLock);
	TupleDesc	desc = CreateTupleDescCopy(RelationGetDescr(contacts));

	table_close(contacts, AccessShareLock);
	return MakeSingleTupleTableSlot(desc, &TTSOpsVirtual);
}

/*
 * ls_stage_context_fill puts a contact's row, as the active snapshot sees it, where
 * the conditions of stages look for it, if one of them does.
 */
void
ls_stage_context_fill(LsModel *model, Datum contact, ExprContext *econtext)
{
	if (!model->stages_read_contact)
		return;
	if (econtext->ecxt_scantuple == NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(econtext->ecxt_per_query_memory);

		econtext->ecxt_scantuple = make_slot(model);
		MemoryContextSwitchTo(old);
	}
	read_contact(model, contact, econtext->ecxt_scantuple);
}

/* ls_stage_context_make gives the context in which a contact's are evaluated. */
ExprContext *
ls_stage_context_make(LsModel *model, EState *estate, Datum contact)
{
	ExprContext *econtext = CreateExprContext(estate);

	ls_stage_context_fill(model, contact, econtext);
	return econtext;
}
