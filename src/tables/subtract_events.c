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
#include "tables/pending_table.h"

/*
 * read_rest reads what a snapshot newer than the row has to tell before events of the
 * contact are subtracted: that nothing is pending of it, so that the row has all events
 * that are in the tables; and those of the events that are left that the state lost.
 */
static bool
read_rest(LsModel *model, Datum contact, TimestampTz t, LsFindEvents find_events,
		  LsLostEvents *lost)
{
	bool		known = !lost->lost_first && !ls_lost_events_latest(lost);
	LsPending	pending;
	bool		found;

	if (known && !ls_relation_has_pages(model->pending_table))
		return true;
	ls_pending_init(&pending);
	CommandCounterIncrement();
	PushActiveSnapshot(GetLatestSnapshot());
	ls_pending_read(model, contact, &pending);
	found = pending.nrows == 0 && (known || find_events(model, contact, t, lost));
	PopActiveSnapshot();
	return found;
}

/*
 * ls_subtract_events takes the events of a change that go out of the state of a row, after
 * those that come were added, and has the result replace it.  False if the contact has to
 * be recomputed.
 */
bool
ls_subtract_events(LsModel *model, const LsChange *change, const LsScoreRow *row, TimestampTz t,
				   LsFindEvents find_events, LsCounted *counted)
{
	const LsState *gone = change->data.events.gone;
	const LsState *added = counted->delta;
	LsState    *left = palloc(sizeof(LsState));
	LsLostEvents lost;

	if (row->rules_version != model->version || model->fault)
		return false;
	if (gone == NULL)
		gone = ls_state_of_event(model, change->data.events.gone_event);
	if (counted->event)
		added = ls_state_of_event(model, counted->event);
	if (gone->last > t)
		return false;
	if (!ls_state_subtract(model, left, &row->state, added, gone, &lost) ||
		!read_rest(model, change->contact, t, find_events, &lost) ||
		!ls_state_subtract_found(left, &lost))
		return false;
	counted->whole = left;
	counted->event = NULL;
	counted->delta = NULL;
	return true;
}
