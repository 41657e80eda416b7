/*-------------------------------------------------------------------------
 *
 * model_change.h
 *		Models whose meaning a transaction has changed.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_MODEL_CHANGE_H
#define LEADSCORE_MODEL_CHANGE_H

#include "postgres.h"

#include "nodes/pg_list.h"

/*
 * Models whose meaning has changed in this transaction, and whose stored rows
 * are brought up to date before it commits.
 */
extern void ls_model_change_record(const char *model);
extern void ls_model_change_version(const char *model);
extern void ls_model_change_refreshed(const char *model);
extern List *ls_model_change_stale(void);

/*
 * Models of which rules, or all contacts, are to be backfilled before the transaction
 * commits, or a statement reads scores.
 */
typedef struct LsBackfill
{
	const char *model;
	bool		all;			/* all contacts, not only rules that wait for a backfill */
	bool		by_user;		/* it fails where that cannot be done */
} LsBackfill;

extern void ls_model_change_backfill(const char *model, bool all, bool by_user);
extern bool ls_model_change_waits(void);
extern List *ls_model_change_take(void);

#endif							/* LEADSCORE_MODEL_CHANGE_H */
