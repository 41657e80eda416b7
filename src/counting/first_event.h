/*-------------------------------------------------------------------------
 *
 * first_event.h
 *		The earliest event of a contact, by an index.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_FIRST_EVENT_H
#define LEADSCORE_FIRST_EVENT_H

#include "postgres.h"

#include "rules/model_compile.h"

extern bool ls_first_event(LsModel *model, Datum contact, TimestampTz *first);

#endif							/* LEADSCORE_FIRST_EVENT_H */
