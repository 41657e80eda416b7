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

/* makes funnel_daily_<model>; called as the extension's owner */
extern void ls_daily_make_funnel(const char *model);
/* makes daily_<model>, where it is not there; called as the extension's owner */
extern void ls_daily_make_table(const char *model);
/* drops both with their partitions */
extern void ls_daily_drop(const char *model);

/*
 * Writes the earliest midnight of a model that has passed and is not written.
 * False if there is none.
 */
extern bool ls_daily_write(const char *model);
/* the next midnight to be written, in the past where one is missing */
extern TimestampTz ls_daily_next(const char *model);

#endif							/* LEADSCORE_DAILY_H */
