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

#include "scoring/state_subtract.h"
#include "scoring/transition.h"

/*
 * finds events of a contact that the active snapshot sees, none of which is later than
 * t; false: they are not known
 */
typedef bool (*LsFindEvents) (LsModel *model, Datum contact, TimestampTz t, LsLostEvents *lost);

extern bool ls_subtract_events(LsModel *model, const LsChange *change, const LsScoreRow *row,
							   TimestampTz t, LsFindEvents find_events, LsCounted *counted);

#endif							/* LEADSCORE_SUBTRACT_EVENTS_H */
