/*-------------------------------------------------------------------------
 *
 * daily_tables.h
 *		Days of a model: its midnights, and the tables that days are written to.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_DAILY_TABLES_H
#define LEADSCORE_DAILY_TABLES_H

#include "postgres.h"

#include "pgtime.h"
#include "utils/date.h"
#include "utils/timestamp.h"

#include "definitions/lead_tables.h"

extern TimestampTz ls_daily_midnight(DateADT day, pg_tz *tz);
extern DateADT ls_daily_date(TimestampTz t, pg_tz *tz);
extern pg_tz *ls_daily_zone(const LsModelRow *row);

/*
 * the last day that is written; false: the days of a model that is being made have
 * not begun
 */
extern bool ls_daily_written_to(const char *model, DateADT *day);
extern bool ls_daily_begun(const char *model);

/*
 * the next midnight to be written, in the past where one is missing; DT_NOEND where
 * none ever will be
 */
extern TimestampTz ls_daily_next(const char *model);

/* from when on the history is needed for days that are still to be written */
extern TimestampTz ls_daily_needs(const char *model);

/*
 * The first makes funnel_daily_<model> and records the current day as the first to be
 * written; the others make what does not exist.
 */
extern void ls_daily_begin(const LsModelRow *row);
extern void ls_daily_make_funnel(const LsModelRow *row);
extern void ls_daily_make_table(const LsModelRow *row);
extern void ls_daily_make_partition(const char *model, DateADT day);

#endif							/* LEADSCORE_DAILY_TABLES_H */
