/*-------------------------------------------------------------------------
 *
 * history.c
 *		Writes down changes of stage, many of them.
 *
 * A pass may move thousands of contacts.  SQL would set up an executor for each
 * row, and read the table's CHECK constraint anew, which takes as long as all
 * else that is done about a contact: so the table is opened once, and rows are
 * inserted as logical replication does it.  A table that is not as leadscore
 * made it (somebody has added a trigger, or a column) is written by SQL.
 *
 *-------------------------------------------------------------------------
 */
#include "history.h"

#include "access/table.h"
#include "access/xact.h"
#include "executor/executor.h"
#include "utils/builtins.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "leadscore.h"
#include "score_table.h"

/* columns of lead_stage_history; version 0.1 had no reason */
enum
{
	HISTORY_MODEL,
	HISTORY_CONTACT,
	HISTORY_FROM_STAGE,
	HISTORY_TO_STAGE,
	HISTORY_SCORE,
	HISTORY_CHANGED_AT,
	HISTORY_RECORDED_AT,
	HISTORY_CAUSE,
	HISTORY_REASON,
	HISTORY_NCOLUMNS
};

struct LsHistory
{
	LsModel    *model;
	Relation	rel;
	EState	   *estate;			/* NULL: rows are written by SQL */
	ResultRelInfo *target;
	TupleTableSlot *slot;
};

/* as_made tells whether a table has the columns that rows are made for, and no more. */
static bool
as_made(Relation rel)
{
	static const char *const names[HISTORY_NCOLUMNS] = {
		"model", "contact", "from_stage", "to_stage", "score", "changed_at",
		"recorded_at", "cause", "reason"
	};
	TupleDesc	desc = RelationGetDescr(rel);

	if (rel->rd_rel->relkind != RELKIND_RELATION || rel->trigdesc != NULL ||
		(desc->natts != HISTORY_NCOLUMNS && desc->natts != HISTORY_REASON))
		return false;
	for (int i = 0; i < desc->natts; i++)
		if (TupleDescAttr(desc, i)->attisdropped ||
			strcmp(NameStr(TupleDescAttr(desc, i)->attname), names[i]) != 0)
			return false;
	return true;
}

/* ls_history_open gets ready to write rows about the contacts of a model. */
LsHistory *
ls_history_open(LsModel *model)
{
	LsHistory  *history = palloc0(sizeof(LsHistory));

	history->model = model;
	history->rel = table_open(ls_table_oid("lead_stage_history", false),
							  RowExclusiveLock);
	if (!as_made(history->rel))
		return history;
	history->estate = CreateExecutorState();
	history->estate->es_snapshot = ActiveSnapshotSet() ? GetActiveSnapshot() : NULL;
	history->target = makeNode(ResultRelInfo);
	InitResultRelInfo(history->target, history->rel, 0, NULL, 0);
	ExecOpenIndices(history->target, false);
	history->slot = MakeSingleTupleTableSlot(RelationGetDescr(history->rel),
											 &TTSOpsVirtual);
	return history;
}

void
ls_history_close(LsHistory *history)
{
	if (history->estate)
	{
		ExecCloseIndices(history->target);
		ExecDropSingleTupleTableSlot(history->slot);
		FreeExecutorState(history->estate);
	}
	table_close(history->rel, NoLock);
	pfree(history);
}

/* fill puts a change of stage into the slot. */
static void
fill(LsHistory *history, Datum contact, const LsOccasion *occasion,
	 const char *reason)
{
	TupleTableSlot *slot = history->slot;
	Datum	   *values = slot->tts_values;

	ExecClearTuple(slot);
	memset(slot->tts_isnull, false, slot->tts_tupleDescriptor->natts);
	values[HISTORY_MODEL] = CStringGetTextDatum(history->model->name);
	values[HISTORY_CONTACT] = CStringGetTextDatum(ls_key_text(&history->model->key,
															  contact));
	values[HISTORY_FROM_STAGE] = CStringGetTextDatum(occasion->from_stage);
	values[HISTORY_TO_STAGE] = CStringGetTextDatum(occasion->to_stage);
	values[HISTORY_SCORE] = Float8GetDatum(occasion->score);
	values[HISTORY_CHANGED_AT] = TimestampTzGetDatum(occasion->at);
	values[HISTORY_RECORDED_AT] = TimestampTzGetDatum(Max(ls_clock(), occasion->at));
	values[HISTORY_CAUSE] = CStringGetTextDatum(occasion->cause);
	if (slot->tts_tupleDescriptor->natts > HISTORY_REASON)
	{
		slot->tts_isnull[HISTORY_REASON] = reason == NULL;
		values[HISTORY_REASON] = reason ? CStringGetTextDatum(reason) : (Datum) 0;
	}
	ExecStoreVirtualTuple(slot);
}

/* ls_history_add records a change of stage. */
void
ls_history_add(LsHistory *history, Datum contact, const LsOccasion *occasion,
			   const char *reason)
{
	EState	   *estate = history->estate;

	if (estate == NULL)
	{
		ls_row_history(history->model, contact, occasion, reason);
		return;
	}
	fill(history, contact, occasion, reason);
	estate->es_output_cid = GetCurrentCommandId(true);
	ExecSimpleRelationInsert(history->target, estate, history->slot);
	ResetPerTupleExprContext(estate);
}
