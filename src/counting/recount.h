/*-------------------------------------------------------------------------
 *
 * recount.h
 *		From events to state: attach, new rules, rescore, retraction.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_RECOUNT_H
#define LEADSCORE_RECOUNT_H

#include "postgres.h"

#include "rules/model_compile.h"
#include "scoring/state.h"

/* compute the state of one contact, for the score writer */
extern void ls_recount_contact(LsModel *model, Datum contact, TimestampTz now,
							   LsState *state);
extern void ls_recount_profile(LsModel *model, Datum contact, TimestampTz now,
							   LsState *state);

/* what a row of the contact table says */
extern void ls_recount_read_profile(LsModel *model, Datum contact, TupleTableSlot *slot,
									ExprContext *econtext, LsState *profile);

/* refreshes stored rows; returns how many had changed */
extern int64 ls_recount_refresh(const char *model, const char *cause);

/*
 * The following read the newest committed rows (and the transaction's own).  The caller
 * holds locks that keep concurrent writers of these tables away: SHARE ROW EXCLUSIVE on
 * event and contact tables.  cause is that of changes of stage in lead_stage_history.
 */

/* inserts the score row of every contact of the contact table (create_model) */
extern void ls_recount_contact_table(const char *model, const char *cause);

/*
 * adds the rows of a source that has been attached, or, if relation is valid, of a
 * partition that has been attached to it
 */
extern void ls_recount_source(const char *model, const char *source,
							  Oid relation, const char *cause);

/*
 * backfills rules whose backfilled_version is NULL; those that cannot be compiled
 * (source not attached, expression broken) get 0
 */
extern void ls_recount_rules(const char *model);

/*
 * A chunk of a job: the next contacts, beside writers, in the caller's transaction.
 */
typedef struct LsChunk
{
	const char *model;
	const char *cause;
	bool		whole;			/* all of a contact is recomputed, not only some rules */
	int			limit;			/* how many contacts, approximately */
	char	   *position;		/* last contact of the previous chunk or NULL, then of this */
	const char *last;			/* does not go beyond this contact, or NULL */
	bool		ended;			/* there are no more */
	int64		contacts;
} LsChunk;

extern void ls_recount_chunk(LsChunk *chunk);
extern void ls_recount_refresh_chunk(LsChunk *chunk);

/* recomputes everything from the events; number of contacts */
extern int64 ls_recount_rescore(const char *model, const char *cause);

/* recomputes the contacts that have rows in a relation (a detached partition) */
extern void ls_recount_relation(const char *model, const char *source, Oid relation);

#endif							/* LEADSCORE_RECOUNT_H */
