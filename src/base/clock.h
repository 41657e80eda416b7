/*-------------------------------------------------------------------------
 *
 * clock.h
 *		The only place where time is read.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_CLOCK_H
#define LEADSCORE_CLOCK_H

#include "postgres.h"

#include "pgtime.h"
#include "utils/timestamp.h"

extern TimestampTz ls_clock(void);
extern bool ls_clock_is_held(void);
extern TimestampTz ls_clock_of_statement(void);
extern int64 ls_clock_back_off(int failures);
extern int64 ls_clock_local(TimestampTz t, pg_tz *tz);

extern void ls_clock_define(void);
extern bool ls_clock_has_shown(TimestampTz at);

#endif							/* LEADSCORE_CLOCK_H */
