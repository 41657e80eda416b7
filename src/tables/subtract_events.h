/*-------------------------------------------------------------------------
 *
 * subtract_events.h
 *		Events that go are taken out of the state of a contact's row.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_SUBTRACT_EVENTS_H
#define LEADSCORE_SUBTRACT_EVENTS_H

#include "postgres.h"

#include "scoring/transition.h"

/* gives the earliest event of a contact; false: it is not known */
typedef bool (*LsFirstEvent) (LsModel *model, Datum contact, TimestampTz *first);

extern bool ls_subtract_events(LsModel *model, const LsChange *change, const LsScoreRow *row,
							   TimestampTz t, LsFirstEvent first_event, LsCounted *counted);

#endif							/* LEADSCORE_SUBTRACT_EVENTS_H */
