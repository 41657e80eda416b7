/*-------------------------------------------------------------------------
 *
 * clock.c
 *		The only place where time is read.
 *
 *-------------------------------------------------------------------------
 */
#include "base/clock.h"

#include "base/compat.h"
#include "base/decay.h"
#include "base/statement.h"

/* no clock shows a later instant, unless it is held; a held one none so far ahead */
#define FAR_FUTURE	(1000 * 366 * LS_DAY)
#define FAR_AHEAD	(1000 * 366 * LS_DAY)

PG_FUNCTION_INFO_V1(ls_clock_now);

#define FIRST_BACK_OFF		(1 * USECS_PER_SEC)
#define LAST_BACK_OFF		(600 * USECS_PER_SEC)

static char *clock_setting = NULL;

static TimestampTz held_clock = DT_NOBEGIN; /* DT_NOBEGIN: the clock runs */

/*
 * check_clock accepts a timestamp, or nothing for the running clock.  Settings
 * are checked outside transactions too, hence no timestamptz_in().
 */
static bool
check_clock(char **newval, void **extra, GucSource source)
{
	TimestampTz *held = ls_guc_malloc(sizeof(TimestampTz));
	char		buf[MAXDATELEN + MAXDATEFIELDS];
	char	   *field[MAXDATEFIELDS];
	int			ftype[MAXDATEFIELDS];
	int			nf,
				dtype,
				tz;
	struct pg_tm tm;
	fsec_t		fsec;

	if (held == NULL)
		return false;
	*held = DT_NOBEGIN;
	*extra = held;
	if (*newval == NULL || **newval == '\0')
		return true;

	if (ParseDateTime(*newval, buf, sizeof(buf), field, ftype,
					  MAXDATEFIELDS, &nf) != 0 ||
		ls_decode_datetime(field, ftype, nf, &dtype, &tm, &fsec, &tz) != 0 ||
		dtype != DTK_DATE ||
		tm2timestamp(&tm, fsec, &tz, held) != 0)
	{
		GUC_check_errdetail("Give a timestamp such as 2026-01-01 00:00:00+00, or nothing for the running clock.");
		return false;
	}
	return true;
}

static void
assign_clock(const char *newval, void *extra)
{
	held_clock = extra ? *(TimestampTz *) extra : DT_NOBEGIN;
}

/*
 * ls_clock is the only place where time is read.
 */
TimestampTz
ls_clock(void)
{
	return held_clock != DT_NOBEGIN ? held_clock : GetCurrentTimestamp();
}

/* ls_clock_is_held tells whether the clock is held, and does not run. */
bool
ls_clock_is_held(void)
{
	return held_clock != DT_NOBEGIN;
}

/*
 * ls_clock_of_statement gives one instant to everything that a statement asks.
 *
 * It is the clock at the first use under a snapshot: statement_timestamp()
 * would lie before what the transaction itself has just written where several
 * statements come in one string or from a procedural language.
 */
TimestampTz
ls_clock_of_statement(void)
{
	static TimestampTz instant;
	static LsStatement asked;
	LsStatement statement;

	if (held_clock != DT_NOBEGIN || !ActiveSnapshotSet())
		return ls_clock();
	statement = ls_statement_active();
	if (!ls_statement_same(&asked, &statement))
	{
		instant = ls_clock();
		asked = statement;
	}
	return instant;
}

/* ls_clock_now is leadscore.clock(). */
Datum
ls_clock_now(PG_FUNCTION_ARGS)
{
	PG_RETURN_TIMESTAMPTZ(ls_clock_of_statement());
}

/* ls_clock_back_off is the delay before the next attempt after so many failures. */
int64
ls_clock_back_off(int failures)
{
	int64		wait = FIRST_BACK_OFF;

	while (--failures > 0 && wait < LAST_BACK_OFF)
		wait *= 2;
	return Min(wait, LAST_BACK_OFF);
}

void
ls_clock_define(void)
{
	DefineCustomStringVariable("leadscore.clock",
							   "Instant at which leadscore's clock is held, for tests.",
							   "Empty: the clock runs.",
							   &clock_setting, "", PGC_SUSET, 0,
							   check_clock, assign_clock, NULL);
}

/*
 * ls_clock_local gives the local time of a time zone as a timestamp; at the far ends
 * of time, where there is no local time, that of UTC.
 */
int64
ls_clock_local(TimestampTz t, pg_tz *tz)
{
	struct pg_tm tm;
	fsec_t		fsec;
	int			offset;

	if (timestamp2tm(t, &offset, &tm, &fsec, NULL, tz) != 0)
		return t;
	return t - (int64) offset * LS_SECOND;
}

/*
 * ls_clock_has_shown tells whether a clock, even one that is ahead, can have shown a
 * stored instant: only from such an instant on is time gone through step by step.
 */
bool
ls_clock_has_shown(TimestampTz at)
{
	return at <= FAR_FUTURE || (!TIMESTAMP_NOT_FINITE(at) && at <= ls_clock() + FAR_AHEAD);
}
