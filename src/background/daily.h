/*-------------------------------------------------------------------------
 *
 * daily.h
 *		Days: what the scores were at each of the model's midnights.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_DAILY_H
#define LEADSCORE_DAILY_H

#include "postgres.h"

#include "utils/timestamp.h"

#include "definitions/catalog.h"

/*
 * Makes funnel_daily_<model> and notes that the current day is the first to be
 * written; called as the extension's owner.
 */
extern void ls_daily_begin(const LsModelRow *row);

/* tells whether that was noted */
extern bool ls_daily_begun(const char *model);

/* makes daily_<model>, where it is not there; called as the extension's owner */
extern void ls_daily_make_table(const LsModelRow *row);

/*
 * Writes the earliest midnight of a model that has passed and is not written.
 * False if there is none, or somebody else is about it: whoever calls it again
 * then naps first.
 */
extern bool ls_daily_write(const char *model, bool wait);

/* the next midnight to be written, in the past where one is missing; DT_NOEND
 * where none ever will be */
extern TimestampTz ls_daily_next(const char *model);

/* from when on the history is needed for days that are still to be written */
extern TimestampTz ls_daily_needs(const char *model);

#endif							/* LEADSCORE_DAILY_H */
