/*-------------------------------------------------------------------------
 *
 * stage_history.c
 *		Events of transitions, written: changes of stage, and triggered actions.
 *
 * A table is opened when the first row is written to it.
 *
 *-------------------------------------------------------------------------
 */
#include "tables/stage_history.h"

#include "utils/builtins.h"

#include "base/clock.h"
#include "base/table_scan.h"
#include "definitions/extension.h"
#include "definitions/table_layout.h"
#include "tables/outbox_writer.h"
#include "tables/row_writer.h"

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

struct LsStageHistory
{
	LsModel    *model;
	MemoryContext context;
	LsRowWriter *history;		/* NULL: not open yet */
	LsRowWriter *outbox;		/* likewise */
};

/* ls_stage_history_open prepares to write events of transitions of a model. */
LsStageHistory *
ls_stage_history_open(LsModel *model)
{
	LsStageHistory *history = palloc0(sizeof(LsStageHistory));

	history->model = model;
	history->context = CurrentMemoryContext;
	return history;
}

void
ls_stage_history_close(LsStageHistory *history)
{
	if (history->history)
		ls_row_writer_close(history->history);
	if (history->outbox)
		ls_row_writer_close(history->outbox);
	pfree(history);
}

/* writer gives one of the two tables, opened. */
static LsRowWriter *
writer(LsStageHistory *history, LsRowWriter **place, const char *prefix)
{
	if (*place == NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(history->context);

		*place = ls_row_writer_open(history->model, prefix,
									ls_extension_table(psprintf("%s%s", prefix, history->model->name), false), 0);
		MemoryContextSwitchTo(old);
	}
	return *place;
}

/* add_change inserts a change of stage. */
static void
add_change(LsRowWriter *rows, Datum contact, const LsTransitionEvent *event)
{
	ls_row_writer_clear(rows);
	ls_row_writer_set(rows, HISTORY_CONTACT, contact);
	ls_row_writer_set_text(rows, HISTORY_FROM_STAGE, event->from_stage);
	ls_row_writer_set_text(rows, HISTORY_TO_STAGE, event->to_stage);
	ls_row_writer_set(rows, HISTORY_SCORE, Float8GetDatum(event->score));
	ls_row_writer_set(rows, HISTORY_CHANGED_AT, TimestampTzGetDatum(event->at));
	ls_row_writer_set(rows, HISTORY_RECORDED_AT,
					  TimestampTzGetDatum(Max(ls_clock(), event->at)));
	ls_row_writer_set_text(rows, HISTORY_CAUSE, event->cause);
	ls_row_writer_set_text(rows, HISTORY_REASON, event->reason);
	ls_row_writer_add(rows);
}

/* is_move tells whether an event is a change of stage. */
static bool
is_move(const LsTransitionEvent *event)
{
	return strcmp(event->from_stage, event->to_stage) != 0;
}

/*
 * ls_stage_history_runs_code tells whether code of the owner's may run when an event is
 * written.
 */
bool
ls_stage_history_runs_code(LsStageHistory *history, const LsTransitionEvent *event)
{
	return (is_move(event) &&
			writer(history, &history->history, "history_")->rows.runs_code) ||
		(ls_outbox_writer_concerns(history->model, event) &&
		 writer(history, &history->outbox, "outbox_")->rows.runs_code);
}

/*
 * ls_stage_history_add writes an event of a transition, and returns the number of
 * changes of stage.
 */
int
ls_stage_history_add(LsStageHistory *history, Datum contact, const LsTransitionEvent *event)
{
	bool		moved = is_move(event);

	if (moved)
		add_change(writer(history, &history->history, "history_"), contact, event);
	if (ls_outbox_writer_concerns(history->model, event))
		ls_outbox_writer_add(writer(history, &history->outbox, "outbox_"), contact, event);
	return moved;
}

/* ---------- reading ---------- */

/* ls_stage_history_compare orders changes of stage as they happened, then as written. */
int
ls_stage_history_compare(const void *a, const void *b)
{
	const LsStageChange *x = a;
	const LsStageChange *y = b;

	if (x->changed_at != y->changed_at)
		return x->changed_at > y->changed_at ? 1 : -1;
	if (x->recorded_at != y->recorded_at)
		return x->recorded_at > y->recorded_at ? 1 : -1;
	return (x->place > y->place) - (x->place < y->place);
}

static char *
text_of(const LsTableScan *scan, int column)
{
	return scan->nulls[column] ? NULL : TextDatumGetCString(scan->values[column]);
}

static void
read_change(const LsTableScan *scan, LsStageChange *change)
{
	change->from_stage = text_of(scan, HISTORY_FROM_STAGE);
	change->to_stage = text_of(scan, HISTORY_TO_STAGE);
	change->score = DatumGetFloat8(scan->values[HISTORY_SCORE]);
	change->changed_at = DatumGetTimestampTz(scan->values[HISTORY_CHANGED_AT]);
	change->recorded_at = DatumGetTimestampTz(scan->values[HISTORY_RECORDED_AT]);
	change->cause = text_of(scan, HISTORY_CAUSE);
	change->reason = text_of(scan, HISTORY_REASON);
	change->place = (uint64) ItemPointerGetBlockNumber(&scan->tuple->t_self) << 16 |
		ItemPointerGetOffsetNumber(&scan->tuple->t_self);
}

/*
 * ls_stage_history_read gives the changes of stage of a contact from an instant on that
 * the active snapshot sees, in the order in which they happened.
 */
LsStageChange *
ls_stage_history_read(LsModel *model, Datum contact, TimestampTz from, int *n)
{
	int			size = 8;
	LsStageChange *changes = palloc(sizeof(LsStageChange) * size);
	LsTableScan scan;

	ls_table_scan_open(&scan, ls_extension_table(psprintf("history_%s", model->name), false),
					   AccessShareLock, &model->key);
	ls_table_layout_check(scan.rel, "history_", model->key.type);
	ls_table_scan_by(&scan, HISTORY_CONTACT + 1, BTEqualStrategyNumber, &contact);
	*n = 0;
	while (ls_table_scan_next(&scan))
	{
		if (*n == size)
			changes = repalloc(changes, sizeof(LsStageChange) * (size *= 2));
		read_change(&scan, &changes[*n]);
		if (changes[*n].changed_at >= from)
			(*n)++;
	}
	ls_table_scan_close(&scan, AccessShareLock);
	qsort(changes, *n, sizeof(LsStageChange), ls_stage_history_compare);
	return changes;
}
