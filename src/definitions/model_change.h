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
extern void ls_model_changed(const char *model);
extern void ls_model_new_version(const char *model);
extern void ls_model_refreshed(const char *model);
extern List *ls_changed_models(void);

/*
 * Models of which rules, or all contacts, are to be counted before the transaction
 * commits, or somebody looks.
 */
typedef struct LsToCount
{
	const char *model;
	bool		all;			/* every contact, not only what rules wait for */
	bool		by_user;		/* it fails where that cannot be done */
} LsToCount;

extern void ls_count_later(const char *model, bool all, bool by_user);
extern bool ls_count_waits(void);
extern List *ls_count_take(void);

#endif							/* LEADSCORE_MODEL_CHANGE_H */
