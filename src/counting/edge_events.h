/*-------------------------------------------------------------------------
 *
 * edge_events.h
 *		The earliest and the latest events of a contact, by an index.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_EDGE_EVENTS_H
#define LEADSCORE_EDGE_EVENTS_H

#include "postgres.h"

#include "scoring/state_subtract.h"

extern bool ls_edge_events_find(LsModel *model, Datum contact, TimestampTz t,
								LsLostEvents *lost);

#endif							/* LEADSCORE_EDGE_EVENTS_H */
