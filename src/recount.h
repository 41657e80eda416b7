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

#include "rules.h"
#include "state.h"

/* counters for the store, of one contact */
extern void ls_count_contact(LsModel *model, Datum contact, LsState *state);
extern void ls_count_profile(LsModel *model, Datum contact, LsState *state);

/* what a row of the contact table says */
extern void ls_profile_of(LsModel *model, Datum contact, TupleTableSlot *slot,
						  ExprContext *econtext, LsState *profile);

/* brings stored rows up to date; number of those that were not */
extern int64 ls_refresh(const char *model, const char *cause);
extern int	ls_by_score_table(const ListCell *a, const ListCell *b);

/*
 * All of these read the newest committed rows (and the transaction's own) and
 * expect the caller to hold locks that keep concurrent writers of what they
 * count away: SHARE ROW EXCLUSIVE on the event or contact tables read.
 * cause is what lead_stage_history gets.
 */

/* gives every contact of the contact table its row (create_model) */
extern void ls_recount_contacts(const char *model, const char *cause);

/* adds the rows of a source just attached, or of one relation below it
 * (a partition just attached) where relation is valid */
extern void ls_recount_source(const char *model, const char *source,
							  Oid relation, const char *cause);

/* counts rules whose counted_version is NULL; those that cannot be counted
 * (source not attached, expression broken) get 0 */
extern void ls_recount_rules(const char *model);

/* gives waiting rules their versions, see there; list of int64 pointers */
extern List *ls_recount_assign(const char *model, bool again);

/* rebuilds everything from the events; number of contacts */
extern int64 ls_rescore(const char *model, const char *cause);

/* replays the contacts that occur in one relation (a partition detached) */
extern void ls_recount_relation(const char *model, const char *source, Oid relation);

/* takes SHARE ROW EXCLUSIVE on a model's event tables, with all their
 * partitions and children, and its contact table, in oid order */
extern void ls_lock_sources(const char *model);

/* takes ACCESS SHARE on a model's event tables, before contacts are replayed */
extern void ls_lock_to_read(LsModel *model);
extern void ls_lock_before_writing(const char *name);

#endif							/* LEADSCORE_RECOUNT_H */
