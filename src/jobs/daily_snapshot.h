/*-------------------------------------------------------------------------
 *
 * daily_snapshot.h
 *		Days: what the scores were at each of the model's midnights.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_DAILY_SNAPSHOT_H
#define LEADSCORE_DAILY_SNAPSHOT_H

#include "postgres.h"

/*
 * Writes the earliest midnight of a model that has passed and is not written.  False if
 * there is none, or another session is writing it: callers wait before they try again.
 */
extern bool ls_daily_write(const char *model, bool wait);

#endif							/* LEADSCORE_DAILY_SNAPSHOT_H */
