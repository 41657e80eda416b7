/*-------------------------------------------------------------------------
 *
 * stage_context.c
 *		What the conditions of stages look at: the contact's row.
 *
 *-------------------------------------------------------------------------
 */
#include "scoring/stage.h"

#include "access/table.h"
#include "executor/executor.h"
#include "utils/rel.h"

#include "counting/event_reader.h"

/*
 * ls_contact_row fills a slot with a contact's row, or with NULLs where there is
 * none, as the active snapshot sees it.
 */
void
ls_contact_row(LsModel *model, Datum contact, TupleTableSlot *to)
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

/* ls_contact_slot makes a slot for rows of the contact table. */
TupleTableSlot *
ls_contact_slot(LsModel *model)
{
	Relation	contacts = table_open(model->contacts, AccessShareLock);
	TupleDesc	desc = CreateTupleDescCopy(RelationGetDescr(contacts));

	table_close(contacts, AccessShareLock);
	return MakeSingleTupleTableSlot(desc, &TTSOpsVirtual);
}

/*
 * ls_stage_context gives the context in which conditions of stages are
 * evaluated, with the contact's row where one of them needs it.
 */
ExprContext *
ls_stage_context(LsModel *model, EState *estate, Datum contact)
{
	ExprContext *econtext = CreateExprContext(estate);

	if (model->stages_read_contact)
	{
		econtext->ecxt_scantuple = ls_contact_slot(model);
		ls_contact_row(model, contact, econtext->ecxt_scantuple);
	}
	return econtext;
}
