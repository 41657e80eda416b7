/*-------------------------------------------------------------------------
 *
 * before_commit.h
 *		Models that a transaction has changed, brought up to date before it commits.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_BEFORE_COMMIT_H
#define LEADSCORE_BEFORE_COMMIT_H

#include "postgres.h"

extern void ls_count_now(void);
extern void ls_count_if_asked(void);
extern int64 ls_refresh_changed_models(void);

#endif							/* LEADSCORE_BEFORE_COMMIT_H */
