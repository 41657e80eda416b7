/*-------------------------------------------------------------------------
 *
 * retention.h
 *		Deletes what is older than it is to be kept.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_RETENTION_H
#define LEADSCORE_RETENTION_H

#include "postgres.h"

/* deletes up to so many rows of history_<model>, or of lead_job; how many it has deleted */
extern int64 ls_purge_history(const char *model, int days, int limit);
extern int64 ls_purge_jobs(int days, int limit);

#endif							/* LEADSCORE_RETENTION_H */
