/*-------------------------------------------------------------------------
 *
 * job_range.h
 *		The rows of lead_job_part: ranges of contacts that the processes of a job share.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_JOB_RANGE_H
#define LEADSCORE_JOB_RANGE_H

#include "postgres.h"

#include "nodes/pg_list.h"

#include "definitions/job_table.h"

/* A range that this transaction has taken */
typedef struct LsPart
{
	int			number;
	char	   *position;		/* contact after which it goes on, NULL: the first */
	char	   *last;			/* contact with which it ends, NULL: the last */
} LsPart;

/* How many ranges of a phase have not ended */
typedef struct LsPartsOpen
{
	int64		all;
	int64		due;			/* those that have not failed just now */
} LsPartsOpen;

/* Contacts that a job has still to count: those after one, up to one, NULL: all */
typedef struct LsJobLeft
{
	char	   *after;
	char	   *upto;
} LsJobLeft;

extern bool ls_parts_pay(double contacts);
extern void ls_parts_make(const LsJob *job, const char *phase, double contacts);
extern bool ls_part_take(const LsJob *job, bool at_once, int avoid, LsPart *part);
extern void ls_part_progress(const LsJob *job, const LsPart *part,
							 const char *position, bool ended, int64 contacts);
extern void ls_part_failed(const LsJob *job, int number, const char *error);
extern void ls_parts_open(const LsJob *job, LsPartsOpen *open);
extern void ls_parts_end(LsJob *job);
extern bool ls_parts_sweep(const char *model);

/* of LsJobLeft *, as the active snapshot sees it */
extern List *ls_job_left(const char *model);

#endif							/* LEADSCORE_JOB_RANGE_H */
