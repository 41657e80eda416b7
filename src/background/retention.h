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

/* days that failures of rules are kept; -1: for ever */
extern int	ls_rule_error_retention;

/* deletes up to so many rows of history_<model>, lead_job, or lead_rule_error; how many it has deleted */
extern int64 ls_purge_history(const char *model, int days, int limit);
extern int64 ls_purge_jobs(int days, int limit);
extern int64 ls_purge_rule_errors(int days, int limit);

#endif							/* LEADSCORE_RETENTION_H */
