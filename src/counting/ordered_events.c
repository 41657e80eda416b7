/*-------------------------------------------------------------------------
 *
 * ordered_events.c
 *		Events of a contact, put in the order of their instants.
 *
 * What rows give to a keyed rule depends on rows before them, of several tables: a state
 * that gets them in order never has to be recomputed.  Tables are not read in that order, as
 * times without a zone are not in the order of the instants that they stand for.
 *
 *-------------------------------------------------------------------------
 */
#include "counting/ordered_events.h"

#include "utils/memutils.h"

/* ls_ordered_events_add adds a copy of an event; its contact is the caller's. */
void
ls_ordered_events_add(LsOrderedEvents *ordered, const LsEvent *event)
{
	MemoryContext old;

	if (ordered->context == NULL)
		ordered->context = AllocSetContextCreate(CurrentMemoryContext, "leadscore ordered events",
												 ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(ordered->context);
	if (ordered->n == ordered->room)
	{
		ordered->room = Max(64, ordered->room * 2);
		ordered->events = ordered->events ?
			repalloc_huge(ordered->events, sizeof(LsEvent *) * (Size) ordered->room) :
			palloc(sizeof(LsEvent *) * ordered->room);
	}
	ordered->events[ordered->n++] = ls_match_copy_event(event);
	ordered->sorted = false;
	MemoryContextSwitchTo(old);
}

static int
by_instant(const void *a, const void *b)
{
	const LsEvent *x = *(LsEvent *const *) a;
	const LsEvent *y = *(LsEvent *const *) b;

	return (x->at > y->at) - (x->at < y->at);
}

/* ls_ordered_events_next gives the next event, when all have been added. */
bool
ls_ordered_events_next(LsOrderedEvents *ordered, LsEvent *event)
{
	if (ordered->next == ordered->n)
		return false;
	if (!ordered->sorted)
		qsort(ordered->events, ordered->n, sizeof(LsEvent *), by_instant);
	ordered->sorted = true;
	*event = *ordered->events[ordered->next++];
	return true;
}

/* ls_ordered_events_clear forgets all events. */
void
ls_ordered_events_clear(LsOrderedEvents *ordered)
{
	if (ordered->n == 0)
		return;
	MemoryContextReset(ordered->context);
	ordered->events = NULL;
	ordered->n = ordered->room = ordered->next = 0;
}
