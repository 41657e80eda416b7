/*-------------------------------------------------------------------------
 *
 * ordered_events.h
 *		Events of a contact, put in the order of their instants.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_ORDERED_EVENTS_H
#define LEADSCORE_ORDERED_EVENTS_H

#include "postgres.h"

#include "rules/model_compile.h"

typedef struct LsOrderedEvents
{
	MemoryContext context;		/* of the events; NULL: none was ever added */
	int			n;
	int			room;
	LsEvent   **events;
	bool		sorted;
	int			next;
} LsOrderedEvents;

extern void ls_ordered_events_add(LsOrderedEvents *ordered, const LsEvent *event);
extern bool ls_ordered_events_next(LsOrderedEvents *ordered, LsEvent *event);
extern void ls_ordered_events_clear(LsOrderedEvents *ordered);

#endif							/* LEADSCORE_ORDERED_EVENTS_H */
