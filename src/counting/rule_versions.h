/*-------------------------------------------------------------------------
 *
 * rule_versions.h
 *		Which rules are backfilled, and under which versions.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_RULE_VERSIONS_H
#define LEADSCORE_RULE_VERSIONS_H

#include "postgres.h"

#include "nodes/pg_list.h"


/* gives waiting rules the versions under which a job is to backfill them */
extern bool ls_rule_versions_follow(const char *name);
extern void ls_rule_versions_publish(const char *model, bool again);
/* how many rows have to be read for that, or for everything */
extern double ls_rule_versions_size(const char *model, bool all);
/* gives waiting rules their versions at once; list of int64 pointers */
extern List *ls_rule_versions_assign(const char *model, const char *source, bool again);

#endif							/* LEADSCORE_RULE_VERSIONS_H */
