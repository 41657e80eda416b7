/*-------------------------------------------------------------------------
 *
 * job_table.h
 *		The rows of lead_job: what is done in the background, and how far it is.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_JOB_TABLE_H
#define LEADSCORE_JOB_TABLE_H

#include "postgres.h"

#include "access/htup.h"
#include "utils/timestamp.h"


/*
 * A job that is open.  Its way through the phases:
 *
 *	start	rules that wait to be counted get the versions under which they are
 *	wait	... until nobody writes any more who does not know that
 *	count	contacts in the order of their key: their events are counted
 *	settle	the rules count from now on; until nobody writes who does not know it
 *	refresh	contacts in the order of their key: what is shown is made true
 *	end
 *
 * A refresh begins with settle.
 */
typedef struct LsJob
{
	int64		job_id;
	char	   *model;
	char	   *state;
	char	   *kind;			/* count, refresh, attach, rescore */
	char	   *source;			/* NULL: none in particular */
	char	   *phase;
	char	   *position;		/* contact up to which the phase is done, or NULL */
	int64		done;
	int64		total;			/* -1: not known */
	int			attempts;
	TimestampTz started_at;		/* 0: not yet */
	TimestampTz retry_at;		/* 0: at once */
	bool		in_parts;		/* the phase has been cut into ranges, job_range.h */
} LsJob;

/* condition on rows of lead_job */
#define LS_OPEN_JOBS "state OPERATOR(pg_catalog.=) ANY (ARRAY['waiting', 'running'])"

/* SQL for how long it will take yet, going by the contacts done so far */
#define LS_JOB_REMAINING(now, started, total, done) \
	"CASE WHEN " done " OPERATOR(pg_catalog.>) 0 THEN" \
	" (" now " OPERATOR(pg_catalog.-) " started ") OPERATOR(pg_catalog.*)" \
	" ((" total " OPERATOR(pg_catalog.-) " done ")::pg_catalog.float8" \
	" OPERATOR(pg_catalog./) " done "::pg_catalog.float8) END"

extern int	ls_inline_limit;
extern int	ls_job_rate;
extern int	ls_job_workers;

extern double ls_estimate_rows(Oid relation);
extern bool ls_is_large(double rows);
extern int64 ls_job_request(const char *model, const char *kind, const char *source);
extern LsJob *ls_job_open(const char *model);
extern bool ls_job_lock(const LsJob *job);
extern void ls_job_progress(LsJob *job, const char *phase, const char *position,
							int64 contacts);
extern void ls_job_take_over(const LsJob *job);
extern void ls_job_failed(LsJob *job, const char *error);
extern void ls_job_superseded(const char *model);
extern void ls_job_define(void);
extern char *ls_spi_text(HeapTuple tuple, int column, MemoryContext context);

#endif							/* LEADSCORE_JOB_TABLE_H */
