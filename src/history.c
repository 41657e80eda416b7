/*-------------------------------------------------------------------------
 *
 * history.c
 *		Writes down changes of stage, many of them.
 *
 * A pass may move thousands of contacts.  SQL would set up an executor for each
 * row, and read the table's CHECK constraint anew, which takes as long as all
 * else that is done about a contact: so the table is opened once, and rows are
 * inserted without SQL.  A table that is not as leadscore
 * made it (somebody has added a trigger, or a column) is written by SQL.
 *
 *-------------------------------------------------------------------------
 */
#include "history.h"

#include "utils/builtins.h"
#include "utils/rel.h"

#include "leadscore.h"
#include "score_table.h"
#include "target.h"

/* columns of lead_stage_history */
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
	LsTarget	target;
	bool		by_sql;
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
		desc->natts != HISTORY_NCOLUMNS)
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
	ls_target_open(&history->target, ls_base_table_oid("lead_stage_history", false), 0, NULL, 0);
	history->by_sql = !as_made(history->target.rel);
	return history;
}

void
ls_history_close(LsHistory *history)
{
	ls_target_close(&history->target);
	pfree(history);
}

/* fill puts a change of stage into the slot. */
static void
fill(LsHistory *history, Datum contact, const LsOccasion *occasion,
	 const char *reason)
{
	TupleTableSlot *slot = history->target.written;
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
	slot->tts_isnull[HISTORY_REASON] = reason == NULL;
	values[HISTORY_REASON] = reason ? CStringGetTextDatum(reason) : (Datum) 0;
	ExecStoreVirtualTuple(slot);
}

/* ls_history_add records a change of stage. */
void
ls_history_add(LsHistory *history, Datum contact, const LsOccasion *occasion,
			   const char *reason)
{
	if (history->by_sql)
	{
		ls_row_history(history->model, contact, occasion, reason);
		return;
	}
	fill(history, contact, occasion, reason);
	ls_target_insert(&history->target);
}
