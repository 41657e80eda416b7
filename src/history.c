/*-------------------------------------------------------------------------
 *
 * history.c
 *		Writes down what happened to contacts: changes of stage, what is told.
 *
 * The tables are opened when there is first something to write.
 *
 *-------------------------------------------------------------------------
 */
#include "history.h"

#include "utils/builtins.h"
#include "utils/memutils.h"

#include "leadscore.h"
#include "outbox_row.h"
#include "row_writer.h"

/* columns of history_<model>, as table_layout.c has them */
enum
{
	HISTORY_CONTACT,
	HISTORY_FROM_STAGE,
	HISTORY_TO_STAGE,
	HISTORY_SCORE,
	HISTORY_CHANGED_AT,
	HISTORY_RECORDED_AT,
	HISTORY_CAUSE,
	HISTORY_REASON
};

struct LsHistory
{
	LsModel    *model;
	MemoryContext context;
	LsRowWriter *history;		/* NULL: not open yet */
	LsRowWriter *outbox;		/* likewise */
};

/* ls_history_open gets ready to write about the contacts of a model. */
LsHistory *
ls_history_open(LsModel *model)
{
	LsHistory  *history = palloc0(sizeof(LsHistory));

	history->model = model;
	history->context = CurrentMemoryContext;
	return history;
}

void
ls_history_close(LsHistory *history)
{
	if (history->history)
		ls_row_writer_close(history->history);
	if (history->outbox)
		ls_row_writer_close(history->outbox);
	pfree(history);
}

/* writer gives one of the two, opened. */
static LsRowWriter *
writer(LsHistory *history, LsRowWriter **place, const char *prefix)
{
	if (*place == NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(history->context);

		*place = ls_row_writer_open(history->model, prefix);
		MemoryContextSwitchTo(old);
	}
	return *place;
}

/* add_move writes a change of stage. */
static void
add_move(LsRowWriter *rows, Datum contact, const LsOccasion *occasion, const char *reason)
{
	ls_row_writer_clear(rows);
	ls_row_writer_set(rows, HISTORY_CONTACT, contact);
	ls_row_writer_set_text(rows, HISTORY_FROM_STAGE, occasion->from_stage);
	ls_row_writer_set_text(rows, HISTORY_TO_STAGE, occasion->to_stage);
	ls_row_writer_set(rows, HISTORY_SCORE, Float8GetDatum(occasion->score));
	ls_row_writer_set(rows, HISTORY_CHANGED_AT, TimestampTzGetDatum(occasion->at));
	ls_row_writer_set(rows, HISTORY_RECORDED_AT,
					  TimestampTzGetDatum(Max(ls_clock(), occasion->at)));
	ls_row_writer_set_text(rows, HISTORY_CAUSE, occasion->cause);
	ls_row_writer_set_text(rows, HISTORY_REASON, reason);
	ls_row_writer_add(rows);
}

/*
 * ls_history_add writes down what happened to a contact, and gives the number of
 * changes of stage.
 */
int
ls_history_add(LsHistory *history, Datum contact, const LsOccasion *occasion,
			   const char *reason)
{
	bool		moved = strcmp(occasion->from_stage, occasion->to_stage) != 0;

	if (moved)
		add_move(writer(history, &history->history, "history_"), contact, occasion, reason);
	if (ls_outbox_concerns(history->model, occasion))
		ls_outbox_add(writer(history, &history->outbox, "outbox_"), contact, occasion);
	return moved;
}
