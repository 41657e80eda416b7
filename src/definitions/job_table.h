/*-------------------------------------------------------------------------
 *
 * job_table.h
 *		The rows of lead_job and lead_job_range: what is done in the background,
 *		and how far it is.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_JOB_TABLE_H
#define LEADSCORE_JOB_TABLE_H

#include "postgres.h"

#include "nodes/pg_list.h"


/*
 * A job that is open.  Its way through the phases:
 *
 *	start	rules that wait for a backfill get the versions under which they are
 *			backfilled
 *	wait	... until all writers have ended that do not know that
 *	backfill	contacts in the order of their key: computed from their events
 *	drain	the rules count from now on; until all writers have ended that do not know it
 *	refresh	contacts in the order of their key: stored rows are brought up to date
 *	end
 *
 * A refresh goes from start to drain.
 */
typedef struct LsJob
{
	int64		job_id;
	char	   *model;
	char	   *state;
	char	   *kind;			/* backfill, refresh, attach, rescore */
	char	   *source;			/* NULL: no source in particular */
	char	   *phase;
} LsJob;

/* A range of a job that this transaction has taken */
typedef struct LsJobRange
{
	int			number;
	char	   *position;		/* contact after which it goes on, NULL: the first */
	char	   *last;			/* contact with which it ends, NULL: the last */
} LsJobRange;

/* Contacts that a job has still to process: those after one, up to one, NULL: all */
typedef struct LsJobLeft
{
	char	   *after;
	char	   *upto;
} LsJobLeft;

/* condition on rows of lead_job */
#define LS_OPEN_JOBS "state = ANY (ARRAY['waiting', 'running'])"

extern int	ls_job_rate;
extern int	ls_job_workers;

extern bool ls_job_pays(double rows);
extern int64 ls_job_request(const char *model, const char *kind, const char *source);
extern LsJob *ls_job_open(const char *model);
extern bool ls_job_is_seen(const char *model);
extern LsJob *ls_job_lock(int64 job_id);
extern LsJob *ls_job_read(int64 job_id);
extern void ls_job_begin(const LsJob *job, double total);
extern void ls_job_advance(const LsJob *job, const char *phase, List *bounds);
extern void ls_job_take_over(const LsJob *job);
extern void ls_job_supersede(const char *model);
extern void ls_job_cancel(const LsJob *job);

extern bool ls_job_range_take(const LsJob *job, bool at_once, int avoid, LsJobRange *range);
extern bool ls_job_range_take_ended(const LsJob *job, bool at_once, LsJobRange *range);
extern void ls_job_range_progress(const LsJob *job, const LsJobRange *range,
								  const char *position, bool ended, int64 contacts);
extern void ls_job_range_failed(const LsJob *job, int number, const char *error);
extern int64 ls_job_ranges_due(const LsJob *job);

/* of LsJobLeft *, as the active snapshot sees it */
extern List *ls_job_left(const char *model);

extern void ls_job_define(void);

#endif							/* LEADSCORE_JOB_TABLE_H */
