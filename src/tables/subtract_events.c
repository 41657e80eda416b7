/*-------------------------------------------------------------------------
 *
 * subtract_events.c
 *		Events that go are taken out of the state of a contact's row.
 *
 * The row has an event that is deleted, unless that is pending still: whoever inserted
 * it has committed, and written the row, or enqueued it, in the same transaction.  If the
 * row was read without a lock, and what was pending is merged with it meanwhile, it is
 * not the newest version any more, and the change starts again.
 *
 *-------------------------------------------------------------------------
 */
#include "tables/subtract_events.h"

#include "access/xact.h"
#include "utils/snapmgr.h"

#include "base/relation.h"
#include "scoring/state_subtract.h"
#include "tables/pending_table.h"

/* state_of gives the state of an event, which is not later than the clock, or NULL. */
static LsState *
state_of(LsModel *model, const LsEvent *event)
{
	LsState    *state;

	if (event == NULL)
		return NULL;
	state = palloc(sizeof(LsState));
	ls_state_init(state);
	ls_state_add(model, state, event, event->at);
	return state;
}

/*
 * read_first reads what a snapshot newer than the row has to tell before events of the
 * contact are subtracted: that nothing is pending of it, so that the row has all events
 * that are in the tables; and the earliest of these, unless state has it.
 */
static bool
read_first(LsModel *model, Datum contact, LsFirstEvent first_event, bool known, LsState *state)
{
	LsPending	pending;
	bool		found;

	if (known && !ls_relation_has_pages(model->pending_table))
		return true;
	ls_pending_init(&pending);
	CommandCounterIncrement();
	PushActiveSnapshot(GetLatestSnapshot());
	ls_pending_read(model, contact, &pending);
	found = pending.nrows == 0 &&
		(known || first_event(model, contact, &state->first));
	PopActiveSnapshot();
	return found && (known || state->first <= state->last);
}

/*
 * ls_subtract_events takes the events of a change that go out of the state of a row, after
 * those that come were added, and has the result replace it.  False if the contact has to
 * be recomputed.
 */
bool
ls_subtract_events(LsModel *model, const LsChange *change, const LsScoreRow *row, TimestampTz t,
				   LsFirstEvent first_event, LsCounted *counted)
{
	const LsState *gone = change->data.events.gone;
	const LsState *added = counted->delta;
	LsState    *left = palloc(sizeof(LsState));
	LsSubtraction result;

	if (row->rules_version != model->version || model->fault)
		return false;
	if (gone == NULL)
		gone = state_of(model, change->data.events.gone_event);
	if (counted->event)
		added = state_of(model, counted->event);
	if (gone->last > t)
		return false;
	result = ls_state_subtract(model, left, &row->state, added, gone);
	if (result == LS_SUBTRACT_NOT ||
		!read_first(model, change->contact, first_event, result == LS_SUBTRACT_DONE, left))
		return false;
	counted->whole = left;
	counted->event = NULL;
	counted->delta = NULL;
	return true;
}
